// SPDX-License-Identifier: BSD-3-Clause
// What the recursion step lets others see and do. One event loop's thread.
#pragma once

#include "client/recursor.h"
#include "resolve.h"

struct recursion_thread {
	struct recursor_counters counters;
	uint64_t late; // questions that the deadline ended
};
// Threads of the running configuration; 0: no recursion.
unsigned recursion_threads(const struct resolver *);
struct recursion_thread recursion_thread(const struct resolver *, unsigned thread);

// Forgets what the threads remember of the world: delegations, keys, answers. Questions under way go on.
void recursion_flush(struct resolver *);
