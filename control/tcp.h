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
// The same on sockets that already listen, any family; the server owns them from now on, even when it fails.
CHECKED enum status tcp_server_new_on(struct tcp_server **, struct event_base *, const struct config *,
	const int *listeners, unsigned count, struct resolver *);
// Closes every connection. Answers still owed to them are dropped when they come, before or after this.
void tcp_server_free(struct tcp_server *);
// Takes over the limits. Nobody who is in is sent away for a lower count.
void tcp_server_reconfigure(struct tcp_server *, const struct config *);

struct tcp_counters {
	uint64_t accepted, open;
	uint64_t refused_total;	     // no room, and no idle connection to make some
	uint64_t refused_per_client; // one address had its share
	uint64_t refused_access;     // an address without the right to ask
	uint64_t evicted;	     // idle longest, closed for a newcomer
	uint64_t idle_closed;	     // no question, or answers not read, for the idle time
	uint64_t overrun_closed;     // more unread answers than the bound
	uint64_t reset;		     // broken by the client or the network
	uint64_t accept_paused;	     // out of descriptors or memory
	uint64_t queries, answers;
	uint64_t malformed;	     // messages too short to be answered
};
const struct tcp_counters *tcp_counters(const struct tcp_server *);
// Each open connection, for `polluxctl connections`.
void tcp_each(const struct tcp_server *, void (*visit)(void *ctx, const struct sockaddr *peer, uint64_t age_ms,
	uint64_t queries), void *ctx);
