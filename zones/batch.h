// SPDX-License-Identifier: BSD-3-Clause
// Records on their way into the tree of a zone: one run after the other of records with the same owner, which is
// folded and hashed already. One thread at a time makes a batch; hanging it on the tree is then little work.
#pragma once

#include "arena.h"
#include "builder.h"

struct batch_owner {
	struct draft_record *first, *last; // last one first
	uint64_t hash, parent_hash;
	uint32_t name_at;
	uint8_t bytes, labels;
	uint8_t parent_at; // offset of its parent in the name
};

struct batch {
	struct arena *arena; // for the records
	struct batch_owner *owner;
	unsigned owner_count, owner_room;
	uint8_t *names; // folded
	uint32_t name_bytes, name_room;
	uint32_t record_count;
	bool has_nsec3; // or a signature of one
};

// What is outside of the zone is reported and left out. `file`: index in the builder's files. ST_NO_MEMORY.
CHECKED enum status batch_add(struct batch *, const struct zone_builder *, struct report *, const struct record *,
	uint16_t file);
void batch_empty(struct batch *); // the records stay in the arena
void batch_free(struct batch *);  // so they do here
