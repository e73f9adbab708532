// SPDX-License-Identifier: BSD-3-Clause
// Asks other name servers and calls back with what they said. Over UDP from a random port with a random id for each
// try (RFC 5452 9.2), after TC over TCP to the same server (RFC 7766 5); or over TCP or TLS from the start. One object
// per event loop and set of servers, its thread only. Knows nothing of the chain that uses it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "lookup.h"
#include "message.h"
#include "server.h"

#define UPSTREAM_TIMEOUTS_MAX 8

struct upstream;

struct upstream_options {
	unsigned timeouts_ms[UPSTREAM_TIMEOUTS_MAX]; // the first time a server is asked, the second ...; the last goes on.
	unsigned timeout_count;	 // Over TCP and TLS a try gets twice that.
	unsigned deadline_ms;	 // one question, from upstream_ask() on
	unsigned idle_ms;	 // a connection without questions is closed after so long
	unsigned max_open;	 // questions under way
	unsigned max_per_server; // tries under way to one server
	unsigned max_tries;	 // messages sent for one question, of whatever kind
	uint16_t udp_size;	 // EDNS size announced; 0: no EDNS
	bool mix_case;		 // random case in the question, to be echoed: more to guess for a forger
	bool in_turn;		 // each question starts with another server, instead of the fastest
	bool trusts_ad;		 // says so in questions (RFC 6840 5.7)
	// A non-blocking, close-on-exec socket (SOCK_DGRAM, SOCK_STREAM), or -1 with errno. NULL: socket().
	int (*open_socket)(void *ctx, int family, int type);
	void *socket_ctx;
	// A server has kept silent for several tries in a row, or answers again. May be NULL.
	void (*on_server)(void *ctx, const struct sockaddr *, bool answers);
	// No connection could be set up to it: the network, or no trust in its certificate. May be NULL.
	void (*on_trouble)(void *ctx, const struct sockaddr *, const char *reason);
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
	enum peer_protocol protocol;
	uint32_t srtt_us;	 // smoothed round trip time; 0: not asked yet
	bool silent;		 // several tries in a row without an answer: probed now and then, asked only when all are
	bool plain;		 // asked without EDNS
	bool one_case;		 // asked without mixed case
	unsigned connections;	 // over TCP or TLS
	unsigned open;		 // tries under way
	uint64_t sent, timeouts; // tries
	const char *trouble;	 // why no connection could be set up; "": none known
};

// How a question ended. Everything is valid during the call only.
struct upstream_end {
	enum lookup lookup;
	const struct message *reply;   // with LOOKUP_ANSWER and LOOKUP_NXDOMAIN; the question as asked but for case
	const struct sockaddr *server; // who gave the reply, or the error code; else NULL
	enum peer_protocol over;
	unsigned sent; // messages that it took
};
// Called exactly once for each accepted question, never before upstream_ask() returns.
typedef void upstream_done(void *ctx, const struct upstream_end *);

struct upstream *upstream_new(struct event_base *, const struct upstream_options *); // NULL: no memory
void upstream_free(struct upstream *); // open questions get LOOKUP_CANCELLED first; NULL is fine
// For the questions to come; those under way keep their servers.
void upstream_set_options(struct upstream *, const struct upstream_options *);
// The first SERVERS_MAX count. What was learned about a peer goes on.
CHECKED enum status upstream_set_servers(struct upstream *, const struct upstream_peer *, unsigned count);

// ST_OK: `done` will be called. ST_FULL: max_open questions are under way, or each server has enough to do.
// ST_NOT_FOUND: no servers. ST_SYSTEM: no socket. ST_NO_MEMORY.
CHECKED enum status upstream_ask(
	struct upstream *, const struct upstream_question *, upstream_done *, void *ctx);

struct upstream_counters {
	uint64_t asked, full;
	uint64_t sent;	       // datagrams and messages over TCP and TLS
	uint64_t retries;      // of them, because an earlier try brought nothing
	uint64_t tcp;	       // of them, over TCP
	uint64_t tls;	       // of them, over TLS
	uint64_t probes;       // of them, to see whether a silent server is back
	uint64_t connections;  // opened
	uint64_t resumed;      // of them, by a TLS session of before
	uint64_t replies;      // that matched a question
	uint64_t mismatched;   // wrong id, question, case; no reply at all. Ignored.
	uint64_t late;	       // to a question that had its answer, or was given up
	uint64_t floods;       // ports given up because somebody guessed ids there
	uint64_t malformed;    // matched, but could not be read
	uint64_t errors;       // matched, with an rcode that is no answer
	uint64_t timeouts;     // tries
	uint64_t unreachable;  // tries that a network error ended
	uint64_t no_socket;    // sockets that could not be had: descriptors, ports
	uint64_t without_edns; // questions sent again without EDNS
	uint64_t exhausted;    // questions that used up max_tries
	uint64_t open;	       // questions under way now; from here on no sums
	uint64_t sockets;      // for UDP, open now
};
const struct upstream_counters *upstream_counters(struct upstream *); // as of now
// All but `open` and `sockets`, which are gone with their owner.
void upstream_counters_add(struct upstream_counters *sum, const struct upstream_counters *);
// Each server, in the order given.
void upstream_each_server(
	const struct upstream *, void (*visit)(void *ctx, const struct upstream_server *), void *ctx);
