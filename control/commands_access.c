// SPDX-License-Identifier: BSD-3-Clause
// client show, log queries.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <pollux/access.h>

#include "commands.h"
#include "query_log.h"

static bool read_client(struct sockaddr_storage *client, const char *text)
{
	memset(client, 0, sizeof(*client));
	client->ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return client->ss_family == AF_INET ? inet_pton(AF_INET, text, &((struct sockaddr_in *)client)->sin_addr) == 1 :
					      inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)client)->sin6_addr) == 1;
}

void command_client_show(struct call *call)
{
	struct sockaddr_storage client;
	const char *text = call_arg(call, 0);
	if (!read_client(&client, text)) {
		call_misused(call, "client show: '%s' is not an IP address", text);
		return;
	}
	unsigned rights = resolver_rights(call_control(call)->resolver, &client);
	json_t *facts = json_object();
	json_object_set_new(facts, "client", json_string(text));
	json_object_set_new(facts, "query", json_boolean(rights & ACCESS_QUERY));
	json_object_set_new(facts, "recursion", json_boolean((rights & ACCESS_QUERY) && (rights & ACCESS_RECURSION)));
	json_object_set_new(facts, "transfer", json_boolean((rights & ACCESS_QUERY) && (rights & ACCESS_TRANSFER)));
	call_reply(call, facts, NULL);
}

void command_log_queries(struct call *call)
{
	struct control *control = call_control(call);
	const char *text = call_arg(call, 0);
	if (text && (strlen(text) != 1 || *text < '0' || *text > '0' + QUERY_LOG_LEVEL_MAX)) {
		call_misused(call, "log queries: no such level '%s'", text);
		return;
	}
	if (text)
		control_log_queries(control, (unsigned)(*text - '0'));
	call_reply(call, json_pack("{s:i}", "level", (int)query_log_level(control->query_log)), NULL);
}
