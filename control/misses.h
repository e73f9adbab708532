// SPDX-License-Identifier: BSD-3-Clause
// What the dataplane could not answer goes to the chain, and the chain's reply back to the dataplane. One
// event loop's thread.
#pragma once

#include <stdint.h>

#include "resolve.h"
#include "side_door.h"

struct misses;

// Registers itself for MISS messages. Both outlive it, and its waiting questions: free the resolver first.
// NULL: no memory.
struct misses *misses_new(struct side_door *, struct resolver *);
void misses_free(struct misses *); // NULL is fine

struct misses_counters {
	uint64_t taken, replied, unsaid, malformed; // unsaid: the chain had no reply, or no ring took it
};
const struct misses_counters *misses_counters(const struct misses *);
