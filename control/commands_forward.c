// SPDX-License-Identifier: BSD-3-Clause
// forward list.
#include "client/upstream.h"
#include "commands.h"

// "no EDNS, no mixed case": what the questions to it go without.
static json_t *limits_of(const struct upstream_server *server)
{
	if (server->plain && server->one_case)
		return json_string("no EDNS, no mixed case");
	return json_string(server->plain ? "no EDNS" : server->one_case ? "no mixed case" : "none");
}

static void list_server(void *ctx, const struct upstream_server *server)
{
	char text[FORWARDER_TEXT_BYTES];
	json_t *row = json_object();
	const char *state = server->silent ? "silent" : server->srtt_us ? "answers" : "unknown";
	json_object_set_new(row, "server", json_string(forwarder_to_text(text, server->address)));
	json_object_set_new(row, "state", json_string(state));
	json_object_set_new(
		row, "rtt_ms", server->srtt_us ? json_real(server->srtt_us / 1000.0) : json_null());
	json_object_set_new(row, "sent", json_integer((json_int_t)server->sent));
	json_object_set_new(row, "timeouts", json_integer((json_int_t)server->timeouts));
	json_object_set_new(row, "tcp", json_boolean(server->connected));
	json_object_set_new(row, "limits", limits_of(server));
	json_array_append_new(ctx, row);
}

void command_forward_list(struct call *call)
{
	json_t *rows = json_array();
	resolver_each_forwarder(call_control(call)->resolver, list_server, rows);
	call_reply(call, rows, NULL);
}
