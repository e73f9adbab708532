// SPDX-License-Identifier: BSD-3-Clause
// Memory with one lifetime: many small pieces, freed together. One thread at a time.
#pragma once

#include <stddef.h>

struct arena;

struct arena *arena_new(void); // NULL: no memory
void arena_free(struct arena *); // NULL is fine
void *arena_take(struct arena *, size_t bytes); // 8-aligned, not zeroed; NULL: no memory
void *arena_take_octets(struct arena *, size_t bytes); // not aligned, nothing lost between two
// All that `from` holds belongs to `to` from now on; `from` is empty.
void arena_hand_over(struct arena *to, struct arena *from);

// Gives back what was taken since the mark.
struct arena_mark {
	void *block;
	size_t used;
};
struct arena_mark arena_mark(const struct arena *);
void arena_rewind(struct arena *, struct arena_mark);
