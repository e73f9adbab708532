// SPDX-License-Identifier: BSD-3-Clause
// One TCP or TLS connection to one server, kept for many questions (RFC 7766 6.2.1, RFC 7858 3.3): each goes out at
// once with an id of its own, replies come back in any order. Closes itself after `idle_ms` without questions.
// One event loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/tree.h>

#include <event2/event.h>

#include "tls.h"

#define STREAM_QUESTIONS 128 // at once on one connection; servers limit what they take

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

struct stream_options {
	const struct sockaddr *address;
	socklen_t address_bytes;
	unsigned idle_ms;
	struct tls_profile *tls; // NULL: clear text
	SSL_SESSION **session;	 // to resume, see tls_start()
	// It is set up; `resumed`: TLS took an earlier session up again. May be NULL.
	void (*connected)(void *ctx, bool resumed);
	// It could not be set up, and why; before the questions hear of it. May be NULL.
	void (*failed)(void *ctx, const char *reason);
	void *ctx;
};

// Takes over the unconnected socket `fd`, also when it fails (NULL). *owner points to the stream as long as
// it is open, and is NULL afterwards.
struct stream *stream_open(struct event_base *, int fd, const struct stream_options *, struct stream **owner);
// Questions under way get NULL. NULL is fine.
void stream_close(struct stream *);
// Sends the message with a fresh id in its first two octets. False: no memory, or no id is free.
bool stream_ask(struct stream *, struct stream_question *, uint8_t *wire, unsigned bytes);
void stream_forget(struct stream_question *);	    // no longer wanted; its reply will match nothing
unsigned stream_questions(const struct stream *);   // under way
bool stream_is_up(const struct stream *);	    // connected, and the handshake done
bool stream_has_answered(const struct stream *);    // some question, ever
uint64_t stream_heard_at_us(const struct stream *); // when it was opened, or brought the last octet
