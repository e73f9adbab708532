// SPDX-License-Identifier: BSD-3-Clause
// One TCP connection to one server, kept for many questions (RFC 7766 6.2.1): each goes out at once with
// an id of its own, replies come back in any order. Closes itself after `idle_ms` without questions.
// One event loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/tree.h>

#include <event2/event.h>

struct stream;

// A question on the way; lives inside its asker's own object, which outlives it.
struct stream_question {
	RB_ENTRY(stream_question) by_id;
	struct stream *stream; // NULL: not on the way
	uint16_t id;
	// A message with this id, or NULL: the connection has ended. The first octets up to the question are
	// there. False: not the answer, keep waiting. `wire` is valid during the call only.
	bool (*answered)(struct stream_question *, const uint8_t *wire, unsigned bytes);
};

// Takes over the unconnected socket `fd`, also when it fails (NULL). *owner points to the stream as long as
// it is open, and is NULL afterwards.
struct stream *stream_open(struct event_base *, int fd, const struct sockaddr *, socklen_t, unsigned idle_ms,
	struct stream **owner);
// Questions under way get NULL. NULL is fine.
void stream_close(struct stream *);
// Sends the message with a fresh id in its first two octets. False: no memory, or no id is free.
bool stream_ask(struct stream *, struct stream_question *, uint8_t *wire, unsigned bytes);
void stream_forget(struct stream_question *);	    // no longer wanted; its reply will match nothing
bool stream_has_answered(const struct stream *);    // some question, ever
uint64_t stream_heard_at_us(const struct stream *); // when it was opened, or brought the last octet
