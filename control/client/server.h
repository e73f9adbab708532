// SPDX-License-Identifier: BSD-3-Clause
// The servers that may be asked, and which one to ask next. A list never changes, it is replaced: questions
// under way keep theirs. Times are microseconds of the monotonic clock, given as arguments.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tls.h"

#define SERVERS_MAX 64
#define SERVER_STREAMS 4 // connections to one server at once

struct ports;
struct stream;
struct upstream;

// How a server is spoken to. UDP goes on over TCP after TC; TLS never becomes anything else.
enum peer_protocol { PEER_UDP, PEER_TCP, PEER_TLS };

struct upstream_peer {
	struct sockaddr_storage address; // AF_INET or AF_INET6, with its port; octets that mean nothing are 0
	enum peer_protocol protocol;
	struct tls_profile *tls; // for PEER_TLS; kept by who takes the peer over
};

struct server {
	struct upstream *upstream; // whose it is
	struct upstream_peer peer;
	socklen_t address_bytes;
	uint32_t srtt_us;		     // smoothed round trip time; 0: not asked yet
	uint64_t heard_at_us, silence_at_us; // its last answer; when it was last found silent
	unsigned silences;		     // in a row
	uint64_t down_until_us;		     // silent, and not to be probed before then
	uint64_t plain_until_us;	     // no EDNS before then: it answered FORMERR to it
	uint64_t one_case_until_us;	     // no mixed case before then: it does not give it back
	uint64_t connect_at_us;		     // no new TLS connection before then: the last one could not be set up
	uint64_t questions, timeouts;	     // tries: sent, without an answer in time
	unsigned open;			     // tries under way
	bool probed;			     // a probe is under way
	bool said_silent;		     // the last thing told about it
	uint64_t said_at_us;
	char trouble[TLS_PROBLEM_BYTES];     // why no connection could be set up; "": none known
	uint64_t trouble_said_at_us;
	struct ports *ports;		     // for UDP; NULL: none yet
	struct stream *stream[SERVER_STREAMS]; // see stream.h; NULL: not open
	SSL_SESSION *session;		     // to resume; NULL: none
};

struct server_list {
	unsigned references, count;
	unsigned turn; // whose turn it is, when they take turns
	struct server server[];
};

// With one reference. What `former` (may be NULL) learned about a peer goes on. At most SERVERS_MAX;
// NULL: no memory.
struct server_list *server_list_new(const struct upstream_peer *, unsigned count, const struct server_list *former);
struct server_list *server_list_keep(struct server_list *);
void server_list_drop(struct server_list *); // frees with the last reference, connections and ports included

// Where a question stands with each server of its list.
struct server_tries {
	uint64_t failed; // bit i: server i gave an answer that is none, so it is not asked again
	uint8_t count[SERVERS_MAX], last[SERVERS_MAX]; // how often it was asked, and as which try last
	uint8_t tries;
};
struct server_choice {
	unsigned most_open; // tries under way to one server
	bool in_turn;	    // each question starts with another one, instead of the fastest
};
// The server for the next try, or -1 when all have failed or have enough to do: the one asked least for this question,
// then one that is not silent, then the fastest. Marks the choice.
int server_choose(struct server_list *, struct server_tries *, const struct server_choice *);

void server_answered(struct server *, uint64_t sent_at_us, uint64_t now_us);
bool server_is_silent(const struct server *); // more than once in a row
// It is silent, and the time has come to see whether it still is. Questions do not find out: they avoid it.
bool server_wants_probe(const struct server *, uint64_t now_us);
// True when that has changed since it was last told, and enough time has passed to tell it again.
bool server_has_news(struct server *, uint64_t now_us);
// A try sent then had no answer. Many at once are one silence, and a loss among answers is none. Backs off:
// 1, 2, 4 ... 64 seconds from the second silence in a row on.
void server_kept_silent(struct server *, uint64_t sent_at_us, uint64_t now_us);
// True when this is to be told: it is another reason, or the same one a minute later.
bool server_has_trouble(struct server *, const char *reason, uint64_t now_us);
