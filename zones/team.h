// SPDX-License-Identifier: BSD-3-Clause
// Work that falls into parts, done by several threads and brought together in order: what comes out does not
// depend on how many there were.
#pragma once

#include <stdbool.h>

#define TEAM_THREADS_MAX 16
#define TEAM_SLOTS_MAX (2 * TEAM_THREADS_MAX)

struct team_work {
	unsigned parts;
	// In any order, several at once, each in one of the threads (from 0). A part has slot part % team_slots() for
	// what it makes, until it is settled.
	void (*run)(void *ctx, unsigned part, unsigned thread);
	// In order, one at a time, in any of the threads. False: no part behind this one is of use. NULL: nothing to settle.
	bool (*settle)(void *ctx, unsigned part);
};

// Returns when all is done. The calling thread is one of them, and does it all when no other can be had. They have its
// priority, its signal mask and its CPUs.
void team_run(unsigned threads, const struct team_work *, void *ctx);
unsigned team_slots(unsigned threads);
