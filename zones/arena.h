// SPDX-License-Identifier: BSD-3-Clause
// Memory with one lifetime: many small pieces, freed together. One thread.
#pragma once

#include <stddef.h>

struct arena;

struct arena *arena_new(void); // NULL: no memory
void arena_free(struct arena *); // NULL is fine
void *arena_take(struct arena *, size_t bytes); // 8-aligned, not zeroed; NULL: no memory
