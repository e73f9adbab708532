// SPDX-License-Identifier: BSD-3-Clause
// What was learned from others: the step of the chain that answers from the cache region, and the policy of what goes
// into it. Positive and negative answers (RFC 2308), failures (RFC 9520), answers that have expired (RFC 8767), and those in
// use asked for again before they expire. The event loop's thread.
#pragma once

#include <pollux/cache.h>

#include "chain.h"
#include "keep.h"

struct learned;

// The state of the chain's step. It keeps and answers nothing until it has a region.
struct learned *learned_of(const struct resolver *);
// The region in that directory, so that the dataplane answers from it, too; it is made when the configuration names
// somebody to learn from. NULL, or where that is not possible (said in the log): memory of this process alone. ST_NO_MEMORY.
CHECKED enum status learned_open(struct learned *, const char *directory);
struct cache *learned_cache(struct learned *); // NULL: there is none (yet)
uint32_t learned_now_s(const struct learned *); // by the clock of the region's times
// For tests: milliseconds instead of CLOCK_MONOTONIC, and what the timer would do.
void learned_set_clock(struct learned *, uint64_t (*now_ms)(void *ctx), void *ctx);
void learned_tick(struct learned *);

// A question to others has an answer, of whatever kind. Once per exchange, before those who wait for it are answered.
// Takes what may be kept; a chain without the step `cache` keeps nothing.
void learned_store(struct learned *, const struct learned_key *, const struct message *, const struct verdict *);
// The same from a file: what is fresh in the cache is left alone.
enum learned_result { LEARNED_KEPT, LEARNED_KNOWN, LEARNED_REFUSED };
enum learned_result learned_restore(
	struct learned *, const struct learned_key *, const struct message *, const struct verdict *);
// Nobody could answer it. For a while it will not be asked again: those who ask get what has expired of late, or
// SERVFAIL with this reason.
void learned_failure(struct learned *, const struct learned_key *, enum extended_error);
// A worker says it has answered from there (see msg.def).
void learned_used(struct learned *, uint64_t position);

struct learned_counters {
	uint64_t hits;	  // of the step, on answers that have not expired
	uint64_t misses;
	uint64_t stale;	  // answers that had expired
	uint64_t stored, stored_negative, stored_failures, stored_stale;
	uint64_t refused[KEEP_REASON_COUNT];
	uint64_t used;	  // reports of workers
	uint64_t prefetches, prefetches_open;
	uint64_t waiting; // questions with an expired answer in reserve, now
};
const struct learned_counters *learned_counters(const struct learned *);
