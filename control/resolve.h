// SPDX-License-Identifier: BSD-3-Clause
// The chain: one question, asked of each step in turn until one answers. Steps are asynchronous; a
// question that waits costs memory, never a thread. One event loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <event2/event.h>

#include <pollux/access.h>
#include <pollux/answer.h>
#include <pollux/catalog.h>
#include <pollux/config.h>

struct resolver;
struct tap; // the ways out into the network, see tap.h

// NULL: no memory. `catalog` and `tap` outlive the resolver; `tap` may be NULL (no ports: management only).
struct resolver *resolver_new(struct event_base *, const struct config *, const struct catalog *, struct tap *);
void resolver_free(struct resolver *); // waiting questions get `done` with NULL first
// Takes over the parts of a new configuration that concern the chain. Waiting questions go on.
void resolver_reconfigure(struct resolver *, const struct config *);

// Told by whoever loads zones: the name may be in one that is on its way. Such questions are SERVFAIL, "not ready".
typedef bool zone_awaited(void *ctx, const uint8_t *name);
void resolver_await_zones(struct resolver *, zone_awaited *, void *ctx);

// Who asks, for logs, limits and cookies.
struct asker {
	struct sockaddr_storage address;
	enum transport transport;
	unsigned idle_ms; // over TCP: how long its connection may be idle
	unsigned room_bytes; // over UDP: what a packet of its link has room for; 0: not known
};

// Called exactly once for each question, perhaps before resolver_ask() returns. `wire` is the whole reply, made for the
// asker's transport and limits, valid during the call only. NULL: drop the question, say nothing.
typedef void ask_done(void *ctx, const uint8_t *wire, unsigned bytes);

// A whole DNS message as it came. Malformed ones are answered FORMERR like in the dataplane, or dropped.
void resolver_ask(struct resolver *, const struct asker *, const uint8_t *wire, unsigned bytes, ask_done *, void *ctx);

// Messages over TCP, each behind its length (RFC 1035 4.2.2), that will be asked one behind the other: brings what the zones
// know of their names near, so that each question need not wait for memory by itself. Returns the octets that were looked at,
// at most `count`; some messages are enough for one call.
size_t resolver_foresee(const struct resolver *, const uint8_t *framed, size_t count);

// As resolver_ask(), and every step of the way is written into `trace`, which is the caller's (zeroed, see chain.h) and lives until `done`.
struct trace;
void resolver_ask_traced(struct resolver *, const struct asker *, const uint8_t *wire, unsigned bytes, struct trace *,
	ask_done *, void *ctx);
// Asks the steps behind the cache for nobody, so that they learn the answer anew. `name` is wire. `done` is called once, perhaps
// before this returns. ST_NO_MEMORY: it will not be.
CHECKED enum status resolver_refresh(struct resolver *, const uint8_t *name, uint16_t type, bool dnssec_ok,
	bool checking_disabled, ask_done *done, void *ctx);

// Answers are told to this log from now on; NULL: to none. It outlives the resolver.
struct query_log;
void resolver_log_to(struct resolver *, struct query_log *);

// The steps as the configuration orders them; those that nothing is configured for take part, and pass.
struct chain_order;
struct step_kind;
struct chain_order resolver_order(const struct resolver *);
const struct step_kind *resolver_step(enum chain_step); // NULL: not in this build
bool resolver_uses_step(const struct resolver *, enum chain_step);

// What this address may do (enum access_right); one that is not known (AF_UNSPEC) is ourselves and may everything.
unsigned resolver_rights(const struct resolver *, const struct sockaddr_storage *);
// Whether a TCP client with this address may stay.
bool resolver_accepts(const struct resolver *, const struct sockaddr_storage *);
// Bit n: somebody handles opcode n, bit 0: a plugin wants to see every question; for the policy, so that the dataplane passes such messages up.
uint16_t resolver_opcodes(const struct resolver *);

struct resolver_counters {
	uint64_t answered[STEP_COUNT]; // by step
	uint64_t negative;  // answered at the end, with what a step said on the way: there is no such name
	uint64_t refreshed; // asked for nobody
	uint64_t asked, refused, servfail, dropped, open, coalesced;
	uint64_t prohibited; // answered REFUSED, or not at all: the asker has not got the right
	uint64_t in_flight, turns_waiting, turns_clients; // now: asking others, and waiting for that with their clients
	uint64_t turns_queued, turns_refused, turns_late;
	uint64_t malformed; // answered FORMERR, NOTIMP or BADVERS
	uint64_t full;	    // answered SERVFAIL at once: forward.max-open questions were waiting
	// Of the forwarders; see client/upstream.h.
	uint64_t upstream_sent, upstream_retries, upstream_tcp, upstream_tls, upstream_probes, upstream_connections;
	uint64_t upstream_resumed, upstream_replies, upstream_mismatched, upstream_late, upstream_floods;
	uint64_t upstream_malformed, upstream_errors; // replies: unreadable, or with an rcode that is no answer
	uint64_t upstream_timeouts, upstream_unreachable, upstream_no_socket, upstream_without_edns, upstream_exhausted;
	uint64_t upstream_open, upstream_sockets;
};
// Whom to forward to, see forward_groups.h.
struct group;
void resolver_each_forward_group(const struct resolver *, void (*visit)(void *ctx, struct group *), void *ctx);
void resolver_reload_forwarders(struct resolver *); // reads the resolver file again
// "198.18.0.1@53", as in the configuration. `to` has room for FORWARDER_TEXT_BYTES and is returned.
#define FORWARDER_TEXT_BYTES 64
char *forwarder_to_text(char *to, const struct sockaddr *);

const struct resolver_counters *resolver_counters(struct resolver *); // as of now
