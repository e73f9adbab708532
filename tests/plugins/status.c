// SPDX-License-Identifier: BSD-3-Clause
// Answers opcode 2, STATUS (RFC 1035 4.1.1), and passes opcode 3 on.
#include <stdio.h>

#include <pollux/plugin.h>

static const struct pollux_host *host;

static bool status_init(const struct pollux_host *its_host, const char *options, void **state)
{
	(void)options, (void)state;
	host = its_host;
	return true;
}

static enum pollux_result status_opcode(
	void *state, const struct pollux_question *q, struct pollux_reply *reply)
{
	char line[1400];
	(void)state;
	if (q->opcode != 2)
		return POLLUX_PASS;
	snprintf(
		line, sizeof(line), "%s 0 TXT \"up, %u octets\"", *q->name ? q->name : ".", q->message_bytes);
	return host->add(reply, POLLUX_IN_ANSWER, line) ? POLLUX_ANSWER : POLLUX_ERROR;
}

const struct pollux_plugin pollux_plugin = {
	POLLUX_PLUGIN,
	.init = status_init,
	.opcode = status_opcode,
	.opcodes = 1 << 2 | 1 << 3,
};
