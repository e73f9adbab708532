// SPDX-License-Identifier: BSD-3-Clause
// Only free pieces are kept, in a tree by offset, so that neighbours join, and in one by size, so that the best fit
// is found at once. What is in use is all the rest: a million images cost nothing here.
#include <stdlib.h>

#include <sys/queue.h>
#include <sys/tree.h>

#include "space.h"

struct piece {
	RB_ENTRY(piece) by_offset, by_size;
	uint64_t at, bytes;
};

struct retired {
	STAILQ_ENTRY(retired) link;
	uint64_t at, bytes, epoch;
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
	STAILQ_HEAD(, retired) retired; // oldest epoch first
	uint64_t epoch, used_bytes, retired_bytes;
};

struct space *space_new(void)
{
	struct space *space = calloc(1, sizeof(*space));
	if (space) {
		RB_INIT(&space->offsets);
		RB_INIT(&space->sizes);
		STAILQ_INIT(&space->retired);
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
	struct retired *retired;
	while ((retired = STAILQ_FIRST(&space->retired))) {
		STAILQ_REMOVE_HEAD(&space->retired, link);
		free(retired);
	}
	free(space);
}

static void unlink_piece(struct space *space, struct piece *piece)
{
	RB_REMOVE(offsets, &space->offsets, piece);
	RB_REMOVE(sizes, &space->sizes, piece);
}

static void link_piece(struct space *space, struct piece *piece)
{
	RB_INSERT(offsets, &space->offsets, piece);
	RB_INSERT(sizes, &space->sizes, piece);
}

// The last piece that starts before `at`.
static struct piece *piece_before(const struct space *space, uint64_t at)
{
	struct piece key = { .at = at };
	struct piece *next = RB_NFIND(offsets, (struct offsets *)&space->offsets, &key);
	return next ? RB_PREV(offsets, (struct offsets *)&space->offsets, next) :
		RB_MAX(offsets, (struct offsets *)&space->offsets);
}

// Makes [at, at + bytes) free, joined with free neighbours.
static enum status make_free(struct space *space, uint64_t at, uint64_t bytes)
{
	struct piece *left = piece_before(space, at);
	struct piece *right = left ? RB_NEXT(offsets, &space->offsets, left) : RB_MIN(offsets, &space->offsets);
	bool joins_left = left && left->at + left->bytes == at, joins_right = right && at + bytes == right->at;
	struct piece *piece = joins_left ? left : joins_right ? right : calloc(1, sizeof(*piece));
	if (!piece)
		return ST_NO_MEMORY;
	if (joins_left || joins_right)
		unlink_piece(space, piece);
	if (joins_left && joins_right) {
		unlink_piece(space, right);
		left->bytes += right->bytes;
		free(right);
	}
	piece->at = joins_left ? piece->at : at;
	piece->bytes += bytes;
	link_piece(space, piece);
	return ST_OK;
}

enum status space_add(struct space *space, uint64_t at, uint64_t bytes)
{
	return make_free(space, at, bytes);
}

// Cuts [at, at + bytes) out of a free piece; what is left on both sides stays free.
static bool cut(struct space *space, struct piece *piece, uint64_t at, uint64_t bytes)
{
	uint64_t before = at - piece->at, after = piece->bytes - before - bytes;
	struct piece *tail = before && after ? calloc(1, sizeof(*tail)) : NULL;
	if (before && after && !tail)
		return false;
	unlink_piece(space, piece);
	if (tail) {
		*tail = (struct piece){ .at = at + bytes, .bytes = after };
		link_piece(space, tail);
	}
	if (before || after) {
		piece->at = before ? piece->at : at + bytes;
		piece->bytes = before ? before : after;
		link_piece(space, piece);
	} else {
		free(piece);
	}
	space->used_bytes += bytes;
	return true;
}

bool space_take(struct space *space, uint64_t bytes, uint64_t *at)
{
	struct piece key = { .bytes = bytes };
	struct piece *piece = RB_NFIND(sizes, &space->sizes, &key);
	if (!piece)
		return false;
	*at = piece->at;
	return cut(space, piece, piece->at, bytes);
}

bool space_has(const struct space *space, uint64_t bytes)
{
	struct piece key = { .bytes = bytes };
	return RB_NFIND(sizes, (struct sizes *)&space->sizes, &key) != NULL;
}

bool space_claim(struct space *space, uint64_t at, uint64_t bytes)
{
	struct piece *piece = piece_before(space, at + 1);
	if (!piece || bytes == 0 || at - piece->at >= piece->bytes || bytes > piece->bytes - (at - piece->at))
		return false;
	return cut(space, piece, at, bytes);
}

void space_give_back(struct space *space, uint64_t at, uint64_t bytes)
{
	if (bytes && make_free(space, at, bytes) == ST_OK)
		space->used_bytes -= bytes; // else it stays in use until the next start
}

void space_retire(struct space *space, uint64_t at, uint64_t bytes)
{
	struct retired *retired = calloc(1, sizeof(*retired));
	if (!retired)
		return; // stays in use until the next start
	*retired = (struct retired){ .at = at, .bytes = bytes, .epoch = space->epoch };
	space->retired_bytes += bytes;
	STAILQ_INSERT_TAIL(&space->retired, retired, link);
}

void space_retire_free(struct space *space)
{
	struct piece *piece;
	while ((piece = RB_MIN(offsets, &space->offsets))) {
		space->used_bytes += piece->bytes;
		space_retire(space, piece->at, piece->bytes);
		unlink_piece(space, piece);
		free(piece);
	}
}

void space_set_epoch(struct space *space, uint64_t epoch)
{
	space->epoch = epoch;
}

void space_reclaim(struct space *space, uint64_t epoch)
{
	struct retired *retired;
	while ((retired = STAILQ_FIRST(&space->retired)) && retired->epoch <= epoch) {
		STAILQ_REMOVE_HEAD(&space->retired, link);
		space->retired_bytes -= retired->bytes;
		space_give_back(space, retired->at, retired->bytes);
		free(retired);
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
