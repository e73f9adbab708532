// SPDX-License-Identifier: BSD-3-Clause
// A bounded queue of pointers from one thread to another, and the descriptor that wakes the taker. One thread
// gives, one takes; neither ever waits for the other.
#pragma once

#include <stdbool.h>

struct handover;

// Room for that many pointers at least. NULL: no memory, or no descriptor (errno).
struct handover *handover_new(unsigned room);
void handover_free(struct handover *); // what is still in it is the caller's; NULL is fine

bool handover_give(struct handover *, void *item); // false: full
void handover_ring(struct handover *);		 // wakes the taker, with nothing given
// Readable when something has been given since the last handover_wake().
int handover_fd(const struct handover *);
// The taker is awake and takes until there is nothing left: what is given from now on wakes it again.
void handover_wake(struct handover *);
void *handover_take(struct handover *); // NULL: empty
