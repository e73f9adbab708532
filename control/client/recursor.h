// SPDX-License-Identifier: BSD-3-Clause
// Iterative resolution from the root by libunbound, in threads of its own: questions are spread over them by
// their names' hash. Knows nothing of the chain that uses it. The thread of one event loop; that of
// `done` is the same one.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <event2/event.h>

#include <pollux/answer.h>
#include <pollux/status.h>

#include "message.h"

struct recursor;

#define RECURSOR_THREADS_MAX 16

struct recursor_options {
	unsigned threads;    // 1 to RECURSOR_THREADS_MAX
	unsigned max_open;   // questions under way, in all threads together
	unsigned max_sent;   // packets to the servers of one zone for one question
	unsigned sockets;    // UDP sockets of a thread at once
	size_t cache_bytes;  // of what the threads remember of zones, servers and keys, together
	bool validate;	     // DNSSEC
	bool mix_case;	     // random case in questions
	bool local_names;    // names of RFC 6303 and RFC 6761 are answered here, not asked for
	bool ask_loopback;   // a server may have a loopback address: only as a stub's
	bool ip4, ip6;	     // addresses of servers that are asked
	int preferred;	     // of the two: AF_INET, AF_INET6; 0: the faster one
	int namespace;	     // network namespace for the sockets; -1: that of the process. Copied.
	const char *hints;   // file of the root servers' addresses; the library has some of its own that are never used
	const char *const *anchors; // trust anchors: lines of DS and DNSKEY records
	unsigned anchor_count;
	const uint8_t *const *insecure; // names below which nothing is validated (RFC 7646)
	unsigned insecure_count;
	const struct recursor_stub {
		const uint8_t *zone;
		const struct sockaddr_storage *servers; // authoritative ones, asked instead of those that delegations lead to
		unsigned server_count;
	} *stubs;
	unsigned stub_count;
};

struct recursor_question {
	const uint8_t *name; // wire, uncompressed; copied
	uint16_t type, class;
	bool checking_disabled; // the data without validation, RFC 4035 3.2.2
	bool refresh;		// what is still remembered will not do: it is about to expire
};

enum security { SECURITY_NONE, SECURITY_INSECURE, SECURITY_SECURE, SECURITY_BOGUS };

// Signatures and proofs are always in it.
struct recursor_answer {
	struct message message;	 // all zeros unless its rcode is NOERROR, NXDOMAIN or YXDOMAIN
	enum rcode rcode;	 // of the message; SERVFAIL when there is none
	enum security security;	 // BOGUS: there is no message
	enum extended_error why; // there is none; EDE_NONE otherwise
	char text[160];		 // the same for people; "" when there is nothing to say
};

// Exactly once for each accepted question, never before recursor_ask() returns, perhaps as late as a minute after
// it: whoever has a deadline keeps it himself. ST_OK: the answer, valid during the call. ST_CANCELLED: recursor_free().
typedef void recursor_done(void *ctx, enum status, const struct recursor_answer *);

// ST_NO_MEMORY. ST_SYSTEM: no thread, no descriptors.
CHECKED enum status recursor_new(struct recursor **, struct event_base *, const struct recursor_options *);
// Whether one made with these options would do the same.
bool recursor_has_options(const struct recursor *, const struct recursor_options *);
// Open questions get ST_CANCELLED first. The threads end on their own, whatever they are busy with; NULL is fine.
void recursor_free(struct recursor *);
// Before the process ends: waits for the threads of freed ones. False: some have not ended.
bool recursor_await_threads(unsigned timeout_ms);

// ST_FULL: max_open questions are under way. ST_NO_MEMORY.
CHECKED enum status recursor_ask(struct recursor *, const struct recursor_question *, recursor_done *, void *ctx);

struct recursor_counters {
	uint64_t asked, open, secure, insecure, bogus, failed;
	uint64_t recalled; // answered from memory at once
};
unsigned recursor_threads(const struct recursor *);
struct recursor_counters recursor_counters(const struct recursor *, unsigned thread);
// The thread that resolves this name, for counters of the caller's own.
unsigned recursor_thread_of(const struct recursor *, const uint8_t *name);
unsigned recursor_open(const struct recursor *); // questions under way in all threads
