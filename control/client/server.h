// SPDX-License-Identifier: BSD-3-Clause
// The servers that may be asked, and which one to ask next. A list never changes, it is replaced: questions
// under way keep theirs. Times are microseconds of the monotonic clock, given as arguments.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define SERVERS_MAX 64

struct stream;

struct server {
	struct sockaddr_storage address;
	socklen_t address_bytes;
	uint32_t srtt_us;		     // smoothed round trip time; 0: not asked yet
	uint64_t heard_at_us, silence_at_us; // its last answer; when it was last found silent
	unsigned silences;		     // in a row
	uint64_t down_until_us;		     // not the first choice before then
	uint64_t plain_until_us;	     // no EDNS before then: it answered FORMERR to it
	uint64_t one_case_until_us;	     // no mixed case before then: it does not give it back
	uint64_t questions, timeouts;	     // tries: sent, without an answer in time
	bool said_silent;		     // the last thing told about it
	uint64_t said_at_us;
	struct stream *stream; // the TCP connection, or NULL; see stream.h
};

struct server_list {
	unsigned references, count;
	struct server server[];
};

// With one reference. What `former` (may be NULL) learned about an address goes on. At most SERVERS_MAX;
// NULL: no memory.
struct server_list *server_list_new(
	const struct sockaddr_storage *, unsigned count, const struct server_list *former);
struct server_list *server_list_keep(struct server_list *);
void server_list_drop(struct server_list *); // frees with the last reference, connections included

// Where a question stands with each server of its list.
struct server_tries {
	uint64_t failed; // bit i: server i gave an answer that is none, so it is not asked again
	uint8_t count[SERVERS_MAX];
};
// The server for the next try, or -1 when all have failed: the one asked least for this question, then one
// that keeps silent only when its time to be tried again has come, then the fastest. Marks the choice.
int server_choose(struct server_list *, struct server_tries *, uint64_t now_us);

void server_answered(struct server *, uint64_t sent_at_us, uint64_t now_us);
bool server_is_silent(const struct server *); // more than once in a row
// True when that has changed since it was last told, and enough time has passed to tell it again.
bool server_has_news(struct server *, uint64_t now_us);
// A try sent then had no answer. Many at once are one silence, and a loss among answers is none. Backs off:
// 1, 2, 4 ... 64 seconds from the second silence in a row on.
void server_kept_silent(struct server *, uint64_t sent_at_us, uint64_t now_us);
