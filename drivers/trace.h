/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints of the recorder: replay and restore. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM compsc

#if !defined(COMPSC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define COMPSC_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(compsc_replay,
	TP_PROTO(const char *function, const char *name, unsigned int index, u32 offset, u32 value),
	TP_ARGS(function, name, index, offset, value),
	TP_STRUCT__entry(
		__string(function, function)
		__string(name, name)
		__field(unsigned int, index)
		__field(u32, offset)
		__field(u32, value)
	),
	TP_fast_assign(
		__assign_str(function);
		__assign_str(name);
		__entry->index = index;
		__entry->offset = offset;
		__entry->value = value;
	),
	TP_printk("%s %s[%u] @%#06x = %#010x", __get_str(function), __get_str(name),
		  __entry->index, __entry->offset, __entry->value)
);

TRACE_EVENT(compsc_restore_begin,
	TP_PROTO(const char *function, u32 version),
	TP_ARGS(function, version),
	TP_STRUCT__entry(
		__string(function, function)
		__field(u32, version)
	),
	TP_fast_assign(
		__assign_str(function);
		__entry->version = version;
	),
	TP_printk("%s version=%u", __get_str(function), __entry->version)
);

TRACE_EVENT(compsc_restore_end,
	TP_PROTO(const char *function, u32 version, u64 ns, u64 resent),
	TP_ARGS(function, version, ns, resent),
	TP_STRUCT__entry(
		__string(function, function)
		__field(u32, version)
		__field(u64, ns)
		__field(u64, resent)
	),
	TP_fast_assign(
		__assign_str(function);
		__entry->version = version;
		__entry->ns = ns;
		__entry->resent = resent;
	),
	TP_printk("%s version=%u ns=%llu resent=%llu", __get_str(function), __entry->version,
		  __entry->ns, __entry->resent)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
