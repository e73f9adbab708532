// SPDX-License-Identifier: BSD-3-Clause
// Asks other name servers and calls back with what they said. UDP first, from a random port with a random
// id for each try (RFC 5452 9.2); after TC over TCP, to the same server (RFC 7766 5). One object per event
// loop, its thread only. Knows nothing of the chain that uses it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "message.h"

struct upstream;

struct upstream_options {
	unsigned timeout_ms;  // one try over UDP; a try over TCP gets twice that
	unsigned deadline_ms; // one question, from upstream_ask() on
	unsigned idle_ms;     // a TCP connection without questions is closed after so long
	unsigned max_open;    // questions under way
	uint16_t udp_size;    // EDNS size announced; 0: no EDNS
	bool mix_case;	      // random case in the question, to be echoed: more to guess for a forger
	// A non-blocking, close-on-exec socket (SOCK_DGRAM, SOCK_STREAM), or -1 with errno. NULL: socket().
	int (*open_socket)(void *ctx, int family, int type);
	void *socket_ctx;
	// A server has kept silent for several tries in a row, or answers again. May be NULL.
	void (*on_server)(void *ctx, const struct sockaddr *, bool answers);
	void *server_ctx;
};

struct upstream_question {
	const uint8_t *name; // wire, uncompressed; copied
	uint16_t type, class;
	bool dnssec_ok;		// DO, RFC 3225 3; lost when a server refuses EDNS
	bool checking_disabled; // CD, RFC 4035 3.2.2
};

// What is known about a server. Times are microseconds.
struct upstream_server {
	const struct sockaddr *address;
	uint32_t srtt_us;	 // smoothed round trip time; 0: not asked yet
	bool silent;		 // several tries in a row without an answer: asked now and then only
	bool plain;		 // asked without EDNS
	bool one_case;		 // asked without mixed case
	bool connected;		 // over TCP
	uint64_t sent, timeouts; // tries
};

// Called exactly once for each accepted question, never before upstream_ask() returns. `reply` is valid
// during the call only.
// ST_OK        the reply: NOERROR or NXDOMAIN, the question as asked but for case
// ST_REFUSED   each server gave another rcode, or nonsense, or cannot be reached; the last rcode in `reply`,
// or NULL ST_TIMEOUT   the deadline passed ST_SYSTEM    no socket could be had ST_CANCELLED upstream_free()
typedef void upstream_done(void *ctx, enum status, const struct message *reply);

struct upstream *upstream_new(struct event_base *, const struct upstream_options *); // NULL: no memory
void upstream_free(struct upstream *); // open questions get ST_CANCELLED first; NULL is fine
// For the questions to come; those under way keep their servers.
void upstream_set_options(struct upstream *, const struct upstream_options *);
// AF_INET and AF_INET6, ports included; the first SERVERS_MAX count. What was learned about an address goes
// on.
CHECKED enum status upstream_set_servers(struct upstream *, const struct sockaddr_storage *, unsigned count);

// ST_OK: `done` will be called. ST_FULL: max_open questions are under way. ST_NOT_FOUND: no servers.
// ST_SYSTEM: no socket. ST_NO_MEMORY.
CHECKED enum status upstream_ask(
	struct upstream *, const struct upstream_question *, upstream_done *, void *ctx);

struct upstream_counters {
	uint64_t asked, full;
	uint64_t sent;	       // datagrams and messages over TCP
	uint64_t retries;      // of them, because an earlier try brought nothing
	uint64_t tcp;	       // of them, over TCP
	uint64_t connections;  // TCP connections opened
	uint64_t replies;      // that matched a question
	uint64_t mismatched;   // wrong id, question, case; no reply at all. Ignored.
	uint64_t malformed;    // matched, but could not be read
	uint64_t errors;       // matched, with an rcode that is no answer
	uint64_t timeouts;     // tries
	uint64_t unreachable;  // tries that a network error ended
	uint64_t no_socket;    // sockets that could not be had: descriptors, ports
	uint64_t without_edns; // questions sent again without EDNS
	uint64_t open;	       // questions under way now
	uint64_t sockets;      // for UDP, open now
};
const struct upstream_counters *upstream_counters(const struct upstream *);
// Each server, in the order given.
void upstream_each_server(
	const struct upstream *, void (*visit)(void *ctx, const struct upstream_server *), void *ctx);
