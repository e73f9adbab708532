// SPDX-License-Identifier: BSD-3-Clause
// Pieces lie in one tree by offset, so that neighbours join; the free ones also in a tree by size, so
// that the best fit is found at once.
#include <stdlib.h>

#include <sys/queue.h>
#include <sys/tree.h>

#include "space.h"

enum piece_state { PIECE_FREE, PIECE_USED, PIECE_RETIRED };

struct piece {
	RB_ENTRY(piece) by_offset, by_size;
	TAILQ_ENTRY(piece) retired;
	uint64_t at, bytes, epoch;
	enum piece_state state;
};

static int compare_offsets(const struct piece *a, const struct piece *b)
{
	return a->at < b->at ? -1 : a->at > b->at;
}

static int compare_sizes(const struct piece *a, const struct piece *b)
{
	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? -1 : 1;
	return compare_offsets(a, b);
}

RB_HEAD(offsets, piece);
RB_HEAD(sizes, piece);
#ifndef __unused
#define __unused __attribute__((unused)) // what tree.h marks its static functions with
#endif
RB_GENERATE_STATIC(offsets, piece, by_offset, compare_offsets)
RB_GENERATE_STATIC(sizes, piece, by_size, compare_sizes)

struct space {
	struct offsets offsets;
	struct sizes sizes;
	TAILQ_HEAD(, piece) retired; // oldest epoch first
	uint64_t epoch, used_bytes, retired_bytes;
};

struct space *space_new(void)
{
	struct space *space = calloc(1, sizeof(*space));
	if (space) {
		RB_INIT(&space->offsets);
		RB_INIT(&space->sizes);
		TAILQ_INIT(&space->retired);
	}
	return space;
}

void space_free(struct space *space)
{
	if (!space)
		return;
	struct piece *piece;
	while ((piece = RB_ROOT(&space->offsets))) {
		RB_REMOVE(offsets, &space->offsets, piece);
		free(piece);
	}
	free(space);
}

static struct piece *find(struct space *space, uint64_t at)
{
	struct piece key = { .at = at };
	return RB_FIND(offsets, &space->offsets, &key);
}

// Takes a neighbour in, if it is free and touches.
static struct piece *join(struct space *space, struct piece *left, struct piece *right)
{
	if (!left || !right || left->state != PIECE_FREE || right->state != PIECE_FREE ||
		left->at + left->bytes != right->at)
		return NULL;
	RB_REMOVE(sizes, &space->sizes, left);
	RB_REMOVE(sizes, &space->sizes, right);
	RB_REMOVE(offsets, &space->offsets, right);
	left->bytes += right->bytes;
	free(right);
	RB_INSERT(sizes, &space->sizes, left);
	return left;
}

static void make_free(struct space *space, struct piece *piece)
{
	piece->state = PIECE_FREE;
	RB_INSERT(sizes, &space->sizes, piece);
	struct piece *joined = join(space, RB_PREV(offsets, &space->offsets, piece), piece);
	if (joined)
		piece = joined;
	join(space, piece, RB_NEXT(offsets, &space->offsets, piece));
}

enum status space_add(struct space *space, uint64_t at, uint64_t bytes)
{
	struct piece *piece = calloc(1, sizeof(*piece));
	if (!piece)
		return ST_NO_MEMORY;
	piece->at = at;
	piece->bytes = bytes;
	RB_INSERT(offsets, &space->offsets, piece);
	make_free(space, piece);
	return ST_OK;
}

// Cuts [at, at + bytes) out of a free piece; what is left on both sides stays free.
static bool cut(struct space *space, struct piece *piece, uint64_t at, uint64_t bytes)
{
	uint64_t before = at - piece->at, after = piece->bytes - before - bytes;
	struct piece *head = before ? calloc(1, sizeof(*head)) : NULL;
	struct piece *tail = after ? calloc(1, sizeof(*tail)) : NULL;
	if ((before && !head) || (after && !tail)) {
		free(head);
		free(tail);
		return false;
	}
	RB_REMOVE(sizes, &space->sizes, piece);
	RB_REMOVE(offsets, &space->offsets, piece);
	piece->at = at;
	piece->bytes = bytes;
	piece->state = PIECE_USED;
	RB_INSERT(offsets, &space->offsets, piece);
	if (head) {
		*head = (struct piece){ .at = at - before, .bytes = before };
		RB_INSERT(offsets, &space->offsets, head);
		RB_INSERT(sizes, &space->sizes, head);
	}
	if (tail) {
		*tail = (struct piece){ .at = at + bytes, .bytes = after };
		RB_INSERT(offsets, &space->offsets, tail);
		RB_INSERT(sizes, &space->sizes, tail);
	}
	space->used_bytes += bytes;
	return true;
}

bool space_take(struct space *space, uint64_t bytes, uint64_t *at)
{
	struct piece key = { .bytes = bytes };
	struct piece *piece = RB_NFIND(sizes, &space->sizes, &key);
	if (!piece || !cut(space, piece, piece->at, bytes))
		return false;
	*at = piece->at;
	return true;
}

bool space_has(const struct space *space, uint64_t bytes)
{
	struct piece key = { .bytes = bytes };
	return RB_NFIND(sizes, (struct sizes *)&space->sizes, &key) != NULL;
}

bool space_claim(struct space *space, uint64_t at, uint64_t bytes)
{
	struct piece key = { .at = at };
	struct piece *piece = RB_NFIND(offsets, &space->offsets, &key);
	if (!piece || piece->at != at)
		piece = piece ? RB_PREV(offsets, &space->offsets, piece) : RB_MAX(offsets, &space->offsets);
	if (!piece || piece->state != PIECE_FREE || bytes == 0 || at - piece->at >= piece->bytes ||
		bytes > piece->bytes - (at - piece->at))
		return false;
	return cut(space, piece, at, bytes);
}

void space_trim(struct space *space, uint64_t at, uint64_t bytes)
{
	struct piece *piece = find(space, at);
	if (!piece || piece->state != PIECE_USED || bytes >= piece->bytes)
		return;
	struct piece *rest = calloc(1, sizeof(*rest));
	if (!rest)
		return; // stays part of the piece
	*rest = (struct piece){ .at = at + bytes, .bytes = piece->bytes - bytes };
	piece->bytes = bytes;
	space->used_bytes -= rest->bytes;
	RB_INSERT(offsets, &space->offsets, rest);
	make_free(space, rest);
}

void space_give_back(struct space *space, uint64_t at)
{
	struct piece *piece = find(space, at);
	if (!piece || piece->state != PIECE_USED)
		return;
	space->used_bytes -= piece->bytes;
	make_free(space, piece);
}

void space_retire(struct space *space, uint64_t at)
{
	struct piece *piece = find(space, at);
	if (!piece || piece->state != PIECE_USED)
		return;
	piece->state = PIECE_RETIRED;
	piece->epoch = space->epoch;
	space->retired_bytes += piece->bytes;
	TAILQ_INSERT_TAIL(&space->retired, piece, retired);
}

void space_set_epoch(struct space *space, uint64_t epoch)
{
	space->epoch = epoch;
}

void space_reclaim(struct space *space, uint64_t epoch)
{
	struct piece *piece;
	while ((piece = TAILQ_FIRST(&space->retired)) && piece->epoch <= epoch) {
		TAILQ_REMOVE(&space->retired, piece, retired);
		space->retired_bytes -= piece->bytes;
		space->used_bytes -= piece->bytes;
		make_free(space, piece);
	}
}

uint64_t space_used(const struct space *space)
{
	return space->used_bytes;
}

uint64_t space_retired(const struct space *space)
{
	return space->retired_bytes;
}
