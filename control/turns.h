// SPDX-License-Identifier: BSD-3-Clause
// Only so many questions are out to others at once. Beyond that clients take turns: each has a queue of its own, and
// whenever a question has ended the next client in the circle sends one, so that a flood delays nobody but its sender. While there is
// room nothing is queued, and nothing is allocated. One event loop's thread.
#pragma once

#include <stdint.h>

#include <event2/event.h>

#include <pollux/config.h>

#include "chain.h"

struct turns;

struct turns *turns_new(struct event_base *, const struct config *); // NULL: no memory
void turns_free(struct turns *); // who waits is dropped; NULL is fine
void turns_reconfigure(struct turns *, const struct config *);

enum turn {
	TURN_NOW,   // it may ask others until turns_end()
	TURN_LATER, // it waits, and will go on by ask_retry(), or end with SERVFAIL when that takes too long. `forget` is set
	TURN_NEVER, // its client has too many that wait, or everybody together
};
enum turn turns_take(struct turns *, struct ask *);
// A question that had its turn has ended. May be called from anywhere: the next one starts from the event loop.
void turns_end(struct turns *);

struct turns_counters {
	uint64_t in_flight, waiting, clients; // now; clients are those that have questions waiting
	uint64_t queued, refused, late;	      // so far
};
const struct turns_counters *turns_counters(const struct turns *);
