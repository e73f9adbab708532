// SPDX-License-Identifier: BSD-3-Clause
// recursion stats.
#include "commands.h"
#include "recursion.h"

static void set_number(json_t *row, const char *key, uint64_t number)
{
	json_object_set_new(row, key, json_integer((json_int_t)number));
}

void command_recursion_stats(struct call *call)
{
	const struct resolver *resolver = call_control(call)->resolver;
	json_t *rows = json_array();
	for (unsigned i = 0; i < recursion_threads(resolver); i++) {
		struct recursion_thread thread = recursion_thread(resolver, i);
		json_t *row = json_object();
		set_number(row, "thread", i);
		set_number(row, "asked", thread.counters.asked);
		set_number(row, "open", thread.counters.open);
		set_number(row, "recalled", thread.counters.recalled);
		set_number(row, "secure", thread.counters.secure);
		set_number(row, "insecure", thread.counters.insecure);
		set_number(row, "bogus", thread.counters.bogus);
		set_number(row, "failed", thread.counters.failed);
		set_number(row, "late", thread.late);
		json_array_append_new(rows, row);
	}
	call_reply(call, rows, NULL);
}
