// SPDX-License-Identifier: BSD-3-Clause
// Adds a text to the additional section of each reply that says how many records there were in the answer,
// and the last of them.
#include <stdio.h>
#include <string.h>

#include <pollux/plugin.h>

static const struct pollux_host *host;

static bool sign_init(const struct pollux_host *its_host, const char *options, void **state)
{
	(void)options, (void)state;
	host = its_host;
	return true;
}

static void sign_respond(void *state, const struct pollux_question *q, struct pollux_reply *reply)
{
	char line[2048];
	unsigned count = host->count(reply, POLLUX_IN_ANSWER);
	const char *last = count ? host->record(reply, POLLUX_IN_ANSWER, count - 1) : "nothing";
	(void)state;
	if (strchr(last, '"') || strlen(last) > 200)
		last = "something";
	snprintf(line, sizeof(line), "signed.example. 0 TXT \"rcode %u, %u answers\" \"%s\"",
		host->rcode(reply), count, last);
	host->add(reply, POLLUX_IN_ADDITIONAL, line);
	if (strncmp(q->name, "many", 4) == 0) {
		for (unsigned i = 0; i < 200; i++)
			host->add(reply, POLLUX_IN_ADDITIONAL,
				"many.example. 0 TXT many.many.many.many.many.many.many.many.many.many");
	}
}

const struct pollux_plugin pollux_plugin = { POLLUX_PLUGIN, .init = sign_init, .respond = sign_respond };
