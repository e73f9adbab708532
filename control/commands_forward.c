// SPDX-License-Identifier: BSD-3-Clause
// forward list, forward reload.
#include "client/upstream.h"
#include "commands.h"
#include "forward_groups.h"

// "no EDNS, no mixed case": what the questions to it go without.
static json_t *limits_of(const struct upstream_server *server)
{
	if (server->plain && server->one_case)
		return json_string("no EDNS, no mixed case");
	return json_string(server->plain ? "no EDNS" : server->one_case ? "no mixed case" : "none");
}

struct listing {
	json_t *rows;
	const struct group *group;
};

static void list_server(void *ctx, const struct upstream_server *server)
{
	static const char *const protocols[] = { [PEER_UDP] = "udp", [PEER_TCP] = "tcp", [PEER_TLS] = "tls" };
	const struct listing *list = ctx;
	char text[FORWARDER_TEXT_BYTES], zone[NAME_TEXT_BYTES];
	json_t *row = json_object();
	const char *state = server->silent ? "silent" : server->srtt_us ? "answers" : "unknown";
	json_object_set_new(row, "zone", json_string(name_to_text(zone, list->group->zone)));
	json_object_set_new(row, "group", json_integer(list->group->place + 1));
	json_object_set_new(row, "server", json_string(forwarder_to_text(text, server->address)));
	json_object_set_new(row, "protocol", json_string(protocols[server->protocol]));
	json_object_set_new(row, "state", json_string(*server->trouble ? "trouble" : state));
	json_object_set_new(row, "rtt_ms", server->srtt_us ? json_real(server->srtt_us / 1000.0) : json_null());
	json_object_set_new(row, "sent", json_integer((json_int_t)server->sent));
	json_object_set_new(row, "timeouts", json_integer((json_int_t)server->timeouts));
	json_object_set_new(row, "open", json_integer(server->open));
	json_object_set_new(row, "connections", json_integer(server->connections));
	json_object_set_new(row, "limits", limits_of(server));
	json_object_set_new(row, "trouble", json_string(*server->trouble ? server->trouble : "none"));
	json_array_append_new(list->rows, row);
}

static void list_group(void *ctx, struct group *group)
{
	struct listing list = { ctx, group };
	if (group->upstream && group->servers)
		upstream_each_server(group->upstream, list_server, &list);
}

void command_forward_list(struct call *call)
{
	json_t *rows = json_array();
	resolver_each_forward_group(call_control(call)->resolver, list_group, rows);
	call_reply(call, rows, NULL);
}

void command_forward_reload(struct call *call)
{
	resolver_reload_forwarders(call_control(call)->resolver);
	command_forward_list(call);
}
