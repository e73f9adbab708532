// SPDX-License-Identifier: BSD-3-Clause
// Proofs that something does not exist: which NSEC (RFC 4035 3.1.3) or NSEC3 (RFC 5155 7.2) RRsets a signed
// zone has to show. Pure; any thread.
#pragma once

#include <stdint.h>

#include <pollux/image.h>
#include <pollux/name.h>

#define NSEC3_ITERATIONS_MAX 150 // more are refused when a zone is loaded, RFC 9276 3.1

// Nodes whose NSEC or NSEC3 RRset belongs in the authority section, each once.
#define PROOFS_MAX 4
struct proofs {
	unsigned count;
	uint32_t node_ref[PROOFS_MAX];
};

// The name does not exist, nor does a wildcard that would stand for it. `hit` is IMAGE_NO_NAME.
void prove_no_name(struct proofs *, const struct image *, const struct folded_name *, const struct image_hit *hit);
// The name (or the wildcard that stands for it) exists, the type does not.
void prove_no_type(struct proofs *, const struct image *, const struct folded_name *, const struct image_hit *hit);
// A wildcard answered: no closer name exists.
void prove_no_closer_name(struct proofs *, const struct image *, const struct folded_name *,
	const struct image_hit *hit);
// The cut has no DS. `hit` is IMAGE_DELEGATION.
void prove_no_ds(struct proofs *, const struct image *, const struct folded_name *, const struct image_hit *hit);

// The node of the last NSEC at or before the name in canonical order: it matches or covers the name.
uint32_t nsec_at_or_before(const struct image *, const struct folded_name *);
// Eight octets of the name's place below the apex in canonical order (RFC 4034 6.1), from octet `skip` on.
uint64_t canonical_key(const struct folded_name *, unsigned apex_labels, unsigned skip);

// RFC 5155 5. `name` is folded wire.
void nsec3_hash(uint8_t hash[20], const uint8_t *name, unsigned bytes, const uint8_t *salt, unsigned salt_bytes,
	unsigned iterations);
// Where in a chain the last link at or before the hash is, round the circle; *matches when it is that very hash.
// `links` are `count` (at least one) of 24 octets, the first 20 their hash, in rising order. Hashes are spread
// evenly, so the place of one can be guessed; from there it is a few links to either side.
uint32_t nsec3_place(const void *links, uint32_t count, const uint8_t hash[20], bool *matches);
// The last link at or before the hash, round the circle; *matches when it is that very hash. 0: no chain.
uint32_t nsec3_at_or_before(const struct image *, const uint8_t hash[20], bool *matches);
