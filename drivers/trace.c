// SPDX-License-Identifier: GPL-2.0
/* The tracepoints as functions, for the Rust glue layer. */

#include <linux/types.h>

#define CREATE_TRACE_POINTS
#include "trace.h"
#include "helpers.h"

void compsc_trace_replay(const char *function, const char *name, unsigned int index, u32 offset,
			 u32 value)
{
	trace_compsc_replay(function, name, index, offset, value);
}
EXPORT_SYMBOL_GPL(compsc_trace_replay);

void compsc_trace_restore_begin(const char *function, u32 version)
{
	trace_compsc_restore_begin(function, version);
}
EXPORT_SYMBOL_GPL(compsc_trace_restore_begin);

void compsc_trace_restore_end(const char *function, u32 version, u64 ns, u64 resent)
{
	trace_compsc_restore_end(function, version, ns, resent);
}
EXPORT_SYMBOL_GPL(compsc_trace_restore_end);
