// SPDX-License-Identifier: BSD-3-Clause
// What the text of rules, their compiler and the look-up share inside this room.
#pragma once

#include <pollux/bytes.h>
#include <pollux/overrides.h>

#include "arena.h"

static inline const void *overrides_at(const struct overrides *o, uint32_t ref)
{
	return (const uint8_t *)o + (uint64_t)ref * 8;
}

static inline uint64_t depth_bit(unsigned depth)
{
	return UINT64_C(1) << (depth < 63 ? depth : 63);
}

static inline const uint8_t *pattern_code(const struct override_pattern *p)
{
	return (const uint8_t *)&p->capture[p->captures];
}

static inline const uint8_t *pattern_suffix(const struct override_pattern *p)
{
	return pattern_code(p) + p->code_bytes;
}

static inline size_t pattern_bytes(const struct override_pattern *p)
{
	return sizeof(*p) + p->captures * sizeof(struct override_capture) + p->code_bytes + p->suffix_bytes;
}

// A label with each run of digits as one mark, which is what patterns alike but for their numbers have in common.
// Starts with the length octet.
struct skeleton {
	uint8_t label[1 + LABEL_MAX_BYTES + 16]; // and room for blocks that are copied whole
};
#define DIGITS_MARK '0'
// True: there were digits. The label must be readable for 16 octets more than it is long.
bool skeleton_of(struct skeleton *, const uint8_t *label);

static inline uint64_t skeleton_hash(uint64_t hash, const struct skeleton *s)
{
	const uint8_t *label = s->label;
	unsigned left = label[0] + 1u;
	for (; left > 8; left -= 8, label += 8)
		hash = name_mix(hash ^ load_64(label), UINT64_C(0x9e3779b97f4a7c15));
	return name_hash_label(hash, load_64(label) & UINT64_MAX >> (8 * (8 - left)));
}

// The key of patterns of `labels` labels: whole ones go on from the hash of the name behind them.
static inline uint64_t pattern_key(uint64_t hash, bool whole, const struct skeleton *skeletons, unsigned labels)
{
	hash ^= whole ? UINT64_C(0x5bd1e995f00d4a13) : UINT64_C(0xc2b2ae3d27d4eb4f);
	while (labels--)
		hash = skeleton_hash(hash, &skeletons[labels]);
	return hash;
}

// A rule as it was read. Its pieces lie in the arena of the rules.
struct rule {
	struct rule *next;	 // of the same name and type: more records, in the order of reading
	struct rule *same_key;	 // in the table of rules read
	const char *name_text, *answer_text, *file;
	unsigned line;
	uint32_t number, ttl_s;
	uint16_t type;		 // 0: any
	uint16_t written_type;	 // the same, but CNAME for an alias
	uint8_t action;
	uint8_t flags;
	bool below;		 // what lies below the name
	bool first;		 // not the `next` of another
	uint8_t name_bytes;	 // 0: a pattern
	const uint8_t *name;	 // folded
	struct override_pattern *pattern;
	uint16_t record_count;
	struct rule_record {
		const uint8_t *rdata; // what does not change of it
		struct override_piece *pieces;
		uint16_t bytes, piece_count;
	} *records;
};

struct override_rules {
	struct arena *arena;
	struct rule **rules;
	unsigned count, room;
	struct rule **table; // of those that are first, by key
	unsigned table_mask;
	const char *file; // the last one named
};
