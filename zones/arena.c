// SPDX-License-Identifier: BSD-3-Clause
#include <stdint.h>
#include <stdlib.h>

#include "arena.h"
#include "bulk.h"

#define FIRST_BLOCK_BYTES 4096u // 13,000 small zones are as common as one large
#define LAST_BLOCK_BYTES (8u << 20) // large enough for huge pages, and to go back to the kernel at once

struct block {
	struct block *next;
	size_t used, bytes; // of data
	uint8_t data[];
};

struct arena {
	struct block *block;
};

static struct block *new_block(struct block *next, size_t bytes)
{
	struct block *block = bulk_resize(NULL, 0, bytes);
	if (block)
		*block = (struct block){ .next = next, .bytes = bytes - sizeof(*block) };
	return block;
}

struct arena *arena_new(void)
{
	return calloc(1, sizeof(struct arena));
}

static void free_newest(struct arena *arena)
{
	struct block *block = arena->block;
	arena->block = block->next;
	bulk_free(block, sizeof(*block) + block->bytes);
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	while (arena->block)
		free_newest(arena);
	free(arena);
}

void arena_hand_over(struct arena *to, struct arena *from)
{
	struct block **end = &from->block;
	while (*end)
		end = &(*end)->next;
	*end = to->block;
	to->block = from->block;
	from->block = NULL;
}

struct arena_mark arena_mark(const struct arena *arena)
{
	return (struct arena_mark){ arena->block, arena->block ? arena->block->used : 0 };
}

void arena_rewind(struct arena *arena, struct arena_mark mark)
{
	while (arena->block != mark.block)
		free_newest(arena);
	if (arena->block)
		arena->block->used = mark.used;
}

void *arena_take_octets(struct arena *arena, size_t bytes)
{
	struct block *block = arena->block;
	if (!block || block->bytes - block->used < bytes) {
		size_t wanted = block ? (sizeof(*block) + block->bytes) * 2 : FIRST_BLOCK_BYTES;
		size_t least = sizeof(*block) + ((bytes + 7) & ~(size_t)7); // so aligning never leads out of a block
		if (wanted > LAST_BLOCK_BYTES)
			wanted = LAST_BLOCK_BYTES;
		block = new_block(block, least > wanted ? least : wanted);
		if (!block)
			return NULL;
		arena->block = block;
	}
	void *room = block->data + block->used;
	block->used += bytes;
	return room;
}

void *arena_take(struct arena *arena, size_t bytes)
{
	if (arena->block)
		arena->block->used = (arena->block->used + 7) & ~(size_t)7;
	return arena_take_octets(arena, bytes);
}
