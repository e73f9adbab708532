// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include <pollux/bytes.h>

#include "denial.h"
#include "sha1.h"

static void add(struct proofs *proofs, uint32_t node_ref)
{
	for (unsigned i = 0; i < proofs->count; i++) {
		if (proofs->node_ref[i] == node_ref)
			return;
	}
	if (node_ref && proofs->count < PROOFS_MAX)
		proofs->node_ref[proofs->count++] = node_ref;
}

static uint32_t self_of(const struct image *image, const struct node *node)
{
	const struct proof *proof = node_proof(image, node);
	return proof ? proof->self_ref : 0;
}

static uint32_t wildcard_of(const struct image *image, const struct node *node)
{
	const struct proof *proof = node_proof(image, node);
	return proof ? proof->wildcard_ref : 0;
}

// --- NSEC ---

// The octets of a name in an order that memcmp() knows: labels from the apex down, each ended by 0. The
// octets 0 and 1 become 1 0 and 1 1, so that they stay apart from the end.
static unsigned sortable(uint8_t *to, unsigned room, const struct folded_name *name, unsigned apex_labels)
{
	unsigned bytes = 0;
	for (unsigned depth = apex_labels + 1; depth <= name->labels && bytes < room; depth++) {
		const uint8_t *label = name->wire + name->label_at[depth];
		for (unsigned i = 1; i <= label[0] && bytes + 1 < room; i++) {
			if (label[i] < 2)
				to[bytes++] = 1;
			to[bytes++] = label[i];
		}
		if (bytes < room)
			to[bytes++] = 0;
	}
	return bytes;
}

uint64_t canonical_key(const struct folded_name *name, unsigned apex_labels, unsigned skip)
{
	uint8_t octets[2 * NAME_MAX_BYTES + 8] = { 0 };
	sortable(octets, skip + 8, name, apex_labels);
	uint64_t key;
	memcpy(&key, octets + skip, sizeof(key));
	return __builtin_bswap64(key);
}

static const uint8_t *link_name(const struct image *image, const struct nsec_link *link, uint8_t *to)
{
	return image_node_name(image, image_at(image, link->node_ref), to);
}

// <0: the name lies before every link but the apex's; >0: behind them all; 0: among them.
static int compare_common(const struct image *image, const struct nsec_link *links, const struct folded_name *name)
{
	if (!image->nsec_skip)
		return 0;
	struct folded_name second;
	uint8_t ours[2 * NAME_MAX_BYTES + 8] = { 0 }, common[2 * NAME_MAX_BYTES + 8] = { 0 };
	uint8_t wire[NAME_MAX_BYTES];
	link_name(image, &links[1], wire);
	name_prepare(&second, wire, name_length(wire, NAME_MAX_BYTES), 0);
	sortable(ours, image->nsec_skip + 8u, name, image->apex_labels);
	sortable(common, image->nsec_skip + 8u, &second, image->apex_labels);
	return memcmp(ours, common, image->nsec_skip);
}

uint32_t nsec_at_or_before(const struct image *image, const struct folded_name *name)
{
	const struct nsec_link *links = image_at(image, image->nsec_ref);
	uint32_t low = 0, high = image->nsec_count; // links[low] <= name < links[high]
	if (high > 1) {
		int place = compare_common(image, links, name);
		if (place)
			return links[place < 0 ? 0 : high - 1].node_ref;
	}
	uint64_t key = canonical_key(name, image->apex_labels, image->nsec_skip);
	uint8_t wire[NAME_MAX_BYTES];
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		bool before = links[middle].key != key ? links[middle].key < key :
			name_compare(link_name(image, &links[middle], wire), name->wire) <= 0;
		if (before)
			low = middle;
		else
			high = middle;
	}
	return links[low].node_ref;
}

// --- NSEC3 ---

void nsec3_hash(uint8_t hash[20], const uint8_t *name, unsigned bytes, const uint8_t *salt, unsigned salt_bytes,
	unsigned iterations)
{
	uint8_t input[NAME_MAX_BYTES + 255];
	memcpy(input, name, bytes);
	memcpy(input + bytes, salt, salt_bytes);
	sha1(hash, input, bytes + salt_bytes);
	memcpy(input + SHA1_BYTES, salt, salt_bytes);
	for (unsigned i = 0; i < iterations; i++) {
		memcpy(input, hash, SHA1_BYTES);
		sha1(hash, input, SHA1_BYTES + salt_bytes);
	}
}

uint32_t nsec3_place(const void *links, uint32_t count, const uint8_t hash[20], bool *matches)
{
	const struct nsec3_link *link = links;
	uint32_t low = (uint32_t)((uint64_t)load_be32(hash) * count >> 32), step = 1, high;
	while (low && memcmp(link[low].hash, hash, 20) > 0) {
		low = low > step ? low - step : 0;
		step *= 2;
	}
	for (high = low + 1, step = 1; high < count && memcmp(link[high].hash, hash, 20) <= 0; step *= 2) {
		low = high;
		high = count - high > step ? high + step : count;
	}
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		if (memcmp(link[middle].hash, hash, 20) <= 0)
			low = middle;
		else
			high = middle;
	}
	int place = memcmp(link[low].hash, hash, 20);
	*matches = place == 0;
	return place > 0 ? count - 1 : low; // before the first: the last one goes round
}

uint32_t nsec3_at_or_before(const struct image *image, const uint8_t hash[20], bool *matches)
{
	const struct nsec3_link *links = image_at(image, image->nsec3_ref);
	*matches = false;
	return image->nsec3_count ? links[nsec3_place(links, image->nsec3_count, hash, matches)].node_ref : 0;
}

static uint32_t nsec3_for(const struct image *image, const struct folded_name *name, unsigned depth, bool *matches)
{
	uint8_t hash[20];
	unsigned at = name->label_at[depth];
	nsec3_hash(hash, name->wire + at, name->bytes - at, image_at(image, image->salt_ref), image->salt_bytes,
		image->iterations);
	return nsec3_at_or_before(image, hash, matches);
}

// RFC 5155 7.2.1: the closest encloser that has an NSEC3, and the one that covers the next closer name. With
// opt-out a name may exist and have none. Returns the encloser that was proved.
static const struct node *prove_closest_encloser(struct proofs *proofs, const struct image *image,
	const struct folded_name *name, const struct node *encloser)
{
	bool matches;
	for (unsigned depth = encloser->labels;; depth--) {
		const struct node *node = depth == encloser->labels ? encloser : image_find(image, name, depth);
		uint32_t self = node ? self_of(image, node) : 0;
		if (self || depth <= image->apex_labels) {
			add(proofs, self);
			if (depth < name->labels)
				add(proofs, nsec3_for(image, name, depth + 1, &matches));
			return node ? node : encloser;
		}
	}
}

// --- what a question asks for ---

void prove_no_name(struct proofs *proofs, const struct image *image, const struct folded_name *name,
	const struct image_hit *hit)
{
	const struct node *encloser = hit->encloser;
	if (image->nsec3_count) // RFC 5155 7.2.2
		encloser = prove_closest_encloser(proofs, image, name, encloser);
	else if (image->nsec_count) // RFC 4035 3.1.3.2
		add(proofs, nsec_at_or_before(image, name));
	add(proofs, wildcard_of(image, encloser));
}

void prove_no_closer_name(struct proofs *proofs, const struct image *image, const struct folded_name *name,
	const struct image_hit *hit)
{
	bool matches;
	if (image->nsec3_count) // RFC 5155 7.2.6
		add(proofs, nsec3_for(image, name, hit->encloser->labels + 1u, &matches));
	else if (image->nsec_count) // RFC 4035 3.1.3.3
		add(proofs, nsec_at_or_before(image, name));
}

void prove_no_type(struct proofs *proofs, const struct image *image, const struct folded_name *name,
	const struct image_hit *hit)
{
	uint32_t self = self_of(image, hit->node);
	if (hit->match == IMAGE_WILDCARD) { // RFC 4035 3.1.3.4, RFC 5155 7.2.5
		if (image->nsec3_count)
			add(proofs, self_of(image, hit->encloser));
		prove_no_closer_name(proofs, image, name, hit);
		add(proofs, self);
	} else if (self || !image->nsec3_count) { // RFC 4035 3.1.3.1, RFC 5155 7.2.3
		add(proofs, self);
	} else { // RFC 5155 7.2.4: opted out
		prove_closest_encloser(proofs, image, name, hit->node);
	}
}

void prove_no_ds(struct proofs *proofs, const struct image *image, const struct folded_name *name,
	const struct image_hit *hit)
{
	uint32_t self = self_of(image, hit->node);
	if (self || !image->nsec3_count) // RFC 4035 3.1.4, RFC 5155 7.2.7
		add(proofs, self);
	else
		prove_closest_encloser(proofs, image, name, hit->node);
}
