// SPDX-License-Identifier: BSD-3-Clause
#include <pollux/counters.h>

const struct counter_info counter_info[COUNTER_COUNT] = {
#define COUNTER(id, kind, text, measure, words)                                                                   \
	[COUNTER_##id] = { .name = text, .unit = measure, .help = words, .class = COUNTS_##kind },
#include <pollux/counters.def>
#undef COUNTER
};
