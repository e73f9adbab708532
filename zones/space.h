// SPDX-License-Identifier: BSD-3-Clause
// Which octets of a region are free, in use, or retired: given up, but perhaps still read by somebody.
// Offsets only, nothing of the region itself is touched. One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <pollux/status.h>

struct space;

struct space *space_new(void); // NULL: no memory
void space_free(struct space *); // NULL is fine

// More room: [at, at + bytes), free, behind everything known so far. Also joins with a free end.
CHECKED enum status space_add(struct space *, uint64_t at, uint64_t bytes);
// The smallest free piece that is large enough. False: none, or no memory.
CHECKED bool space_take(struct space *, uint64_t bytes, uint64_t *at);
bool space_has(const struct space *, uint64_t bytes); // space_take() would find a piece
// Marks exactly [at, at + bytes) as in use. False: not all of it is free.
CHECKED bool space_claim(struct space *, uint64_t at, uint64_t bytes);
// Free again at once: nobody has seen it. What is in use is known by its offset and length alone; a part of it may be
// given back, too.
void space_give_back(struct space *, uint64_t at, uint64_t bytes);
// Free when its epoch, the one set last, is reclaimed.
void space_retire(struct space *, uint64_t at, uint64_t bytes);
// All that is free now counts as retired.
void space_retire_free(struct space *);
void space_set_epoch(struct space *, uint64_t epoch);
void space_reclaim(struct space *, uint64_t epoch); // everything retired in this epoch or before

uint64_t space_used(const struct space *);    // octets, the retired ones included
uint64_t space_retired(const struct space *);
