// SPDX-License-Identifier: BSD-3-Clause
// Answers one name, the options' or hello.example, with A, AAAA and a text; also with what it is told not to.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <pollux/plugin.h>

#define TYPE_A 1
#define TYPE_TXT 16

struct hello {
	const struct pollux_host *host;
	char name[256];
};

static bool hello_init(const struct pollux_host *host, const char *options, void **state)
{
	struct hello *hello = calloc(1, sizeof(*hello));
	if (!hello || strcmp(options, "broken") == 0) {
		host->log(host, POLLUX_LOG_ERROR, "the option '%s' makes no sense\nat all", options);
		free(hello);
		return false;
	}
	hello->host = host;
	snprintf(hello->name, sizeof(hello->name), "%s", *options ? options : "hello.example.");
	host->log(host, POLLUX_LOG_INFO, "answers %s", hello->name);
	*state = hello;
	return true;
}

static void hello_fini(void *state)
{
	const struct hello *hello = state;
	hello->host->log(hello->host, POLLUX_LOG_INFO, "no longer answers %s", hello->name);
	free(state);
}

static enum pollux_result hello_lookup(
	void *state, const struct pollux_question *q, struct pollux_reply *reply)
{
	const struct hello *hello = state;
	char line[512];
	if (strcasecmp(q->name, "nobody.example.") == 0) {
		hello->host->set_rcode(reply, 3);
		hello->host->add(
			reply, POLLUX_IN_AUTHORITY, "example. 60 SOA ns.example. host.example. 1 2 3 4 60");
		return POLLUX_ANSWER;
	}
	if (strcasecmp(q->name, "error.example.") == 0)
		return POLLUX_ERROR;
	if (strcasecmp(q->name, hello->name) != 0)
		return POLLUX_PASS;
	if (q->qtype == TYPE_A) {
		snprintf(line, sizeof(line), "%s 300 IN A 198.18.9.9", q->name);
		hello->host->add(reply, POLLUX_IN_ANSWER, line);
	} else if (q->qtype == TYPE_TXT) {
		hello->host->add_wire(
			reply, POLLUX_IN_ANSWER, q->wire_name, TYPE_TXT, 300, (const uint8_t *)"\5hello", 6);
	}
	return POLLUX_ANSWER;
}

const struct pollux_plugin pollux_plugin = {
	POLLUX_PLUGIN,
	.about = "answers one name",
	.init = hello_init,
	.fini = hello_fini,
	.lookup = hello_lookup,
};
