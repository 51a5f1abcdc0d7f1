/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints of the variant driver: where the time of a migration goes on the host. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM compsc_vfio

#if !defined(COMPSC_VFIO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define COMPSC_VFIO_TRACE_H

#include <linux/tracepoint.h>
#include <linux/vfio.h>

#define COMPSC_VFIO_STATE(state) __print_symbolic(state, \
	{ VFIO_DEVICE_STATE_ERROR, "ERROR" }, \
	{ VFIO_DEVICE_STATE_STOP, "STOP" }, \
	{ VFIO_DEVICE_STATE_RUNNING, "RUNNING" }, \
	{ VFIO_DEVICE_STATE_STOP_COPY, "STOP_COPY" }, \
	{ VFIO_DEVICE_STATE_RESUMING, "RESUMING" }, \
	{ VFIO_DEVICE_STATE_RUNNING_P2P, "RUNNING_P2P" }, \
	{ VFIO_DEVICE_STATE_PRE_COPY, "PRE_COPY" }, \
	{ VFIO_DEVICE_STATE_PRE_COPY_P2P, "PRE_COPY_P2P" })

TRACE_EVENT(compsc_vfio_state,
	TP_PROTO(const char *function, u32 from, u32 to, int error, u64 ns),
	TP_ARGS(function, from, to, error, ns),
	TP_STRUCT__entry(
		__string(function, function)
		__field(u32, from)
		__field(u32, to)
		__field(int, error)
		__field(u64, ns)
	),
	TP_fast_assign(
		__assign_str(function);
		__entry->from = from;
		__entry->to = to;
		__entry->error = error;
		__entry->ns = ns;
	),
	TP_printk("%s %s -> %s error=%d ns=%llu", __get_str(function),
		  COMPSC_VFIO_STATE(__entry->from), COMPSC_VFIO_STATE(__entry->to),
		  __entry->error, __entry->ns)
);

TRACE_EVENT(compsc_vfio_stop,
	TP_PROTO(const char *function, u64 drain_ns, u64 bus_ns, u64 unsent),
	TP_ARGS(function, drain_ns, bus_ns, unsent),
	TP_STRUCT__entry(
		__string(function, function)
		__field(u64, drain_ns)
		__field(u64, bus_ns)
		__field(u64, unsent)
	),
	TP_fast_assign(
		__assign_str(function);
		__entry->drain_ns = drain_ns;
		__entry->bus_ns = bus_ns;
		__entry->unsent = unsent;
	),
	TP_printk("%s drain_ns=%llu bus_ns=%llu unsent=%llu", __get_str(function),
		  __entry->drain_ns, __entry->bus_ns, __entry->unsent)
);

TRACE_EVENT(compsc_vfio_freeze,
	TP_PROTO(const char *function, u32 counters, u32 pages, int error, u64 ns),
	TP_ARGS(function, counters, pages, error, ns),
	TP_STRUCT__entry(
		__string(function, function)
		__field(u32, counters)
		__field(u32, pages)
		__field(int, error)
		__field(u64, ns)
	),
	TP_fast_assign(
		__assign_str(function);
		__entry->counters = counters;
		__entry->pages = pages;
		__entry->error = error;
		__entry->ns = ns;
	),
	TP_printk("%s counters=%u pages=%u error=%d ns=%llu", __get_str(function),
		  __entry->counters, __entry->pages, __entry->error, __entry->ns)
);

TRACE_EVENT(compsc_vfio_wake,
	TP_PROTO(const char *function, u32 version, bool kicked, u64 ns),
	TP_ARGS(function, version, kicked, ns),
	TP_STRUCT__entry(
		__string(function, function)
		__field(u32, version)
		__field(bool, kicked)
		__field(u64, ns)
	),
	TP_fast_assign(
		__assign_str(function);
		__entry->version = version;
		__entry->kicked = kicked;
		__entry->ns = ns;
	),
	TP_printk("%s version=%u kicked=%d ns=%llu", __get_str(function), __entry->version,
		  __entry->kicked, __entry->ns)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH vfio
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
