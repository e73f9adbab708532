// SPDX-License-Identifier: BSD-3-Clause
// Domain names. On the wire: uncompressed labels, each behind its length octet, ended by the root
// octet (RFC 1035 3.1). Everything here is pure and may be called from any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <pollux/bounds.h>
#include <pollux/status.h>

// A name made ready for look-ups: lower-case (RFC 4343), with the start of every label and one hash
// for every suffix. Depth d is the suffix of d labels: 0 is the root, `labels` the whole name.
struct folded_name {
	uint8_t bytes;		// with the root octet, 1..255
	uint8_t labels;		// without the root, 0..127
	uint8_t label_at[NAME_MAX_LABELS + 1]; // label_at[d]: offset of the suffix of depth d
	uint8_t wire[NAME_MAX_BYTES + 33];     // padded, so that vector and 8-octet loads stay inside
	uint64_t hash[NAME_MAX_LABELS + 1];    // hash[d]: seeded hash of the suffix of depth d
};

// Length octets are below 'A', so a whole wire name can be folded without a look at its labels.
static inline uint8_t fold_byte(uint8_t c)
{
	return (uint8_t)(c | (uint8_t)((uint8_t)(c - 'A') < 26) << 5);
}

// Length in octets of the name at `wire`, root octet included; 0 when it runs over `room`, has a
// label type other than 00 (pointers included), or is longer than 255 octets.
static inline unsigned name_length(const uint8_t *wire, size_t room)
{
	size_t at = 0;
	while (at < room && at < NAME_MAX_BYTES) {
		if (wire[at] == 0)
			return (unsigned)at + 1;
		if (wire[at] > LABEL_MAX_BYTES)
			return 0;
		at += wire[at] + 1u;
	}
	return 0;
}

// Labels of a well-formed wire name, without the root.
unsigned name_labels(const uint8_t *wire);
// Equal but for case (RFC 4343). Both names well-formed.
bool name_equal(const uint8_t *a, const uint8_t *b);
// `name` is `suffix` or lies below it, label-wise.
bool name_is_under(const uint8_t *name, const uint8_t *suffix);
// <0, 0, >0 in the canonical order of RFC 4034 6.1.
int name_compare(const uint8_t *a, const uint8_t *b);
// Lower-case copy; `to` has room for the name. Returns its length in octets.
unsigned name_fold(uint8_t *to, const uint8_t *wire);

// Takes the name at `wire` apart, in one walk: its length in octets, or 0 as name_length() gives it. `seed` keys
// the hashes. Never reads outside of [wire, wire + room). What lies behind the name in `to` means nothing.
unsigned name_take(struct folded_name *to, const uint8_t *wire, size_t room, uint64_t seed);
// The same for a name of `bytes` octets known to be well-formed.
void name_prepare(struct folded_name *to, const uint8_t *wire, unsigned bytes, uint64_t seed);

// Text of a wire name with its final dot, special characters as \X or \DDD (RFC 1035 5.1). `to` has
// room for NAME_TEXT_BYTES. Returns `to`.
char *name_to_text(char *to, const uint8_t *wire);
// Wire of a text name. A name without a final dot gets `origin` appended; NULL refuses it with
// ST_INVALID. "@" alone is the origin. `to` has room for NAME_MAX_BYTES. `bytes` may be NULL.
CHECKED enum status name_from_text(uint8_t *to, unsigned *bytes, const char *text, size_t length,
	const uint8_t *origin);

static inline uint64_t name_mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// The hash of a suffix whose hash is `hash`, with one more label in front of it.
static inline uint64_t name_hash_label(uint64_t hash, uint64_t label_hash)
{
	return name_mix(hash ^ label_hash, UINT64_C(0xd6e8feb86659fd93));
}
