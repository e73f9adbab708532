// SPDX-License-Identifier: BSD-3-Clause
// plugin list.
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "plugins.h"

static const char *state_of(const struct plugin *p)
{
	if (!p->door)
		return "failed";
	if (plugin_is_awake(p))
		return "ready";
	return p->rests_until_ms == UINT64_MAX ? "disabled" : "resting";
}

static void add_hook(char *to, size_t room, const char *hook)
{
	if (*to)
		strlcat(to, ", ", room);
	strlcat(to, hook, room);
}

// "lookup, opcode 2, respond": what it does.
static json_t *hooks_of(const struct pollux_plugin *door)
{
	char text[256] = "", opcode[16];
	if (!door)
		return json_null();
	if (door->lookup)
		add_hook(text, sizeof(text), "lookup");
	for (unsigned i = 1; door->opcode && i < 16; i++) {
		snprintf(opcode, sizeof(opcode), "opcode %u", i);
		if (door->opcodes >> i & 1)
			add_hook(text, sizeof(text), opcode);
	}
	if (door->allow)
		add_hook(text, sizeof(text), "allow");
	if (door->accept)
		add_hook(text, sizeof(text), "accept");
	if (door->respond)
		add_hook(text, sizeof(text), "respond");
	return json_string(text);
}

static void list_plugin(void *ctx, const struct plugin *p)
{
	const struct {
		const char *key;
		uint64_t value;
	} counters[] = {
		{ "calls", p->counters.calls },
		{ "answers", p->counters.answers },
		{ "errors", atomic_load(&p->counters.errors) },
		{ "refused", p->counters.refused },
		{ "dropped", p->counters.dropped },
		{ "added", p->counters.added },
		{ "slow", p->counters.slow },
		{ "late", p->counters.late },
		{ "passed_by", p->counters.passed_by },
		{ "open", p->open_count },
	};
	json_t *row = json_object();
	json_object_set_new(row, "name", json_text(p->name));
	json_object_set_new(row, "state", json_string(state_of(p)));
	json_object_set_new(row, "hooks", hooks_of(p->door));
	for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		json_object_set_new(row, counters[i].key, json_integer((json_int_t)counters[i].value));
	json_object_set_new(row, "file", json_text(p->file));
	json_object_set_new(
		row, "about", p->door && p->door->about ? json_text(p->door->about) : json_null());
	json_object_set_new(row, "failed", p->door ? json_null() : json_text(p->failed));
	json_array_append_new(ctx, row);
}

void command_plugin_list(struct call *call)
{
	json_t *rows = json_array();
	plugins_each(call_control(call)->resolver, list_plugin, rows);
	call_reply(call, rows, NULL);
}
