// SPDX-License-Identifier: BSD-3-Clause
// Says what makes no sense, in every way there is.
#include <string.h>

#include <pollux/plugin.h>

static const struct pollux_host *host;

static bool garbage_init(const struct pollux_host *its_host, const char *options, void **state)
{
	(void)options, (void)state;
	host = its_host;
	return true;
}

static enum pollux_result garbage_lookup(
	void *state, const struct pollux_question *q, struct pollux_reply *reply)
{
	static const uint8_t long_label[] = { 70, 'a' }, no_end[300] = { 1, 'a' };
	(void)state;
	if (strncmp(q->name, "odd", 3) == 0)
		return (enum pollux_result)77;
	if (strncmp(q->name, "garbage", 7) != 0)
		return POLLUX_PASS;
	bool refused =
		!host->add(reply, POLLUX_IN_ANSWER, "this is no record") &&
		!host->add(reply, POLLUX_IN_ANSWER, "a.example. 60 A 198.18.0.256") &&
		!host->add(
			reply, POLLUX_IN_ANSWER, "a.example. 60 A 198.18.0.1\nb.example. 60 A 198.18.0.1") &&
		!host->add(reply, POLLUX_IN_ANSWER, "$INCLUDE /etc/passwd") &&
		!host->add(reply, POLLUX_IN_ANSWER, "") && !host->add(reply, POLLUX_IN_ANSWER, NULL) &&
		!host->add(reply, (enum pollux_section)9, "a.example. 60 A 198.18.0.1") &&
		!host->add_wire(reply, POLLUX_IN_ANSWER, long_label, 1, 60, (const uint8_t *)"\1\2\3\4", 4) &&
		!host->add_wire(reply, POLLUX_IN_ANSWER, no_end + 1, 1, 60, (const uint8_t *)"\1\2\3", 3) &&
		!host->add_wire(reply, POLLUX_IN_ANSWER, q->wire_name, 41, 60, (const uint8_t *)"", 0) &&
		!host->add_wire(
			reply, POLLUX_IN_ANSWER, q->wire_name, 5, 60, (const uint8_t *)"\300\14", 2) &&
		!host->record(reply, POLLUX_IN_ANSWER, 0);
	if (!refused)
		return POLLUX_PASS;
	host->set_rcode(reply, 70000);
	host->add(reply, POLLUX_IN_ANSWER, "garbage.example. 60 TXT \"refused, all of it\"");
	return POLLUX_ANSWER;
}

static void garbage_respond(void *state, const struct pollux_question *q, struct pollux_reply *reply)
{
	(void)state, (void)q;
	host->set_rcode(reply, 3);
	host->add(reply, POLLUX_IN_ANSWER, "not a record");
	host->complete(reply, POLLUX_ANSWER);
}

const struct pollux_plugin pollux_plugin = {
	POLLUX_PLUGIN,
	.init = garbage_init,
	.lookup = garbage_lookup,
	.respond = garbage_respond,
};
