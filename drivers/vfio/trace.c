// SPDX-License-Identifier: GPL-2.0
/* The tracepoints as functions, for the Rust code. */

#include "helpers.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

void compsc_vfio_trace_state(const char *function, u32 from, u32 to, int error, u64 ns)
{
	trace_compsc_vfio_state(function, from, to, error, ns);
}

void compsc_vfio_trace_stop(const char *function, u64 drain_ns, u64 bus_ns, u64 unsent)
{
	trace_compsc_vfio_stop(function, drain_ns, bus_ns, unsent);
}

void compsc_vfio_trace_freeze(const char *function, u32 counters, u32 pages, int error, u64 ns)
{
	trace_compsc_vfio_freeze(function, counters, pages, error, ns);
}

void compsc_vfio_trace_wake(const char *function, u32 version, bool kicked, u64 ns)
{
	trace_compsc_vfio_wake(function, version, kicked, ns);
}
