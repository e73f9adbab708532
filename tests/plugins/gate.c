// SPDX-License-Identifier: BSD-3-Clause
// Refuses names that begin with "refused", drops those with "dropped", and closes TCP connections of the
// address in its options.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include <pollux/plugin.h>

static struct in_addr closed;

static bool gate_init(const struct pollux_host *host, const char *options, void **state)
{
	(void)host, (void)state;
	return !*options || inet_pton(AF_INET, options, &closed) == 1;
}

static bool is_closed(const struct sockaddr *client)
{
	return client->sa_family == AF_INET &&
	       memcmp(&((const struct sockaddr_in *)client)->sin_addr, &closed, sizeof(closed)) == 0;
}

static enum pollux_access gate_allow(void *state, const struct pollux_question *q)
{
	(void)state;
	if (strncasecmp(q->name, "refused", 7) == 0)
		return POLLUX_REFUSE;
	return strncasecmp(q->name, "dropped", 7) == 0 ? POLLUX_DROP : POLLUX_ALLOW;
}

static enum pollux_access gate_accept(void *state, const struct sockaddr *client)
{
	(void)state;
	return is_closed(client) ? POLLUX_REFUSE : POLLUX_ALLOW;
}

const struct pollux_plugin pollux_plugin = { POLLUX_PLUGIN, .init = gate_init, .allow = gate_allow,
	.accept = gate_accept };
