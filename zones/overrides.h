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

#define READ_BEHIND 8 // octets behind a name or pattern that may be read and mean nothing: they are compared in words
#define DIGITS_MARK '0'

// A label with each run of digits as one mark, which is what patterns alike but for their numbers have in common: the hash of it.
struct skeleton {
	uint64_t hash;
	bool has_digits;
};
// The label must be readable for 16 octets more than it is long. Nothing is written down and read back on the way.
struct skeleton skeleton_of(const uint8_t *label);

// The key of patterns of `labels` labels: whole ones go on from the hash of the name behind them.
static inline uint64_t pattern_key(uint64_t hash, bool whole, const struct skeleton *skeletons, unsigned labels)
{
	hash ^= whole ? UINT64_C(0x5bd1e995f00d4a13) : UINT64_C(0xc2b2ae3d27d4eb4f);
	while (labels--)
		hash = name_hash_label(hash, skeletons[labels].hash);
	return hash;
}

// Octets of a number whose length does not depend on the name; 0: it does.
static inline unsigned piece_bytes(const struct override_piece *piece)
{
	static const uint8_t bytes[PIECE_KINDS] = { [PIECE_OCTET] = 1, [PIECE_U16] = 2, [PIECE_U32] = 4, [PIECE_GROUP] = 2 };
	return bytes[piece->kind];
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
