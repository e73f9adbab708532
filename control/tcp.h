// SPDX-License-Identifier: BSD-3-Clause
// TCP clients (RFC 7766) on the service addresses: listens inside the TAP's namespace, takes messages
// apart and asks the resolver. One event loop's thread.
#pragma once

#include <event2/event.h>

#include <pollux/config.h>
#include <pollux/status.h>

#include "resolve.h"
#include "tap.h"

struct tcp_server;

CHECKED enum status tcp_server_new(struct tcp_server **, struct event_base *, const struct config *, struct tap *,
	struct resolver *);
void tcp_server_free(struct tcp_server *);
void tcp_server_reconfigure(struct tcp_server *, const struct config *); // limits of connections to come

struct tcp_counters {
	uint64_t accepted, open, refused_total, refused_per_client, idle_closed, queries, answers, malformed;
};
const struct tcp_counters *tcp_counters(const struct tcp_server *);
// Each open connection, for `polluxctl connections`.
void tcp_each(const struct tcp_server *, void (*visit)(void *ctx, const struct sockaddr *peer, uint64_t age_ms,
	uint64_t queries), void *ctx);
