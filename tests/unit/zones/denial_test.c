// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pollux/bytes.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#include "../../../zones/denial.h"

#define NAMES_MAX 300

static uint32_t random_state = 20261121;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)random_state * limit >> 32);
}

// Labels of few kinds of octets, so that many names are near each other.
static unsigned random_name(uint8_t *to, const uint8_t *prefix, unsigned prefix_bytes)
{
	static const uint8_t octets[] = { 0, 1, 2, '*', 'a', 'b', 255 };
	unsigned at = 0, labels = 1 + random_below(3);
	while (labels--) {
		unsigned bytes = 1 + random_below(3);
		to[at++] = (uint8_t)bytes;
		while (bytes--)
			to[at++] = octets[random_below(sizeof(octets))];
	}
	memcpy(to + at, prefix, prefix_bytes);
	return at + prefix_bytes;
}

static void add(struct zone_builder *builder, const uint8_t *owner, uint16_t type, const void *rdata, uint16_t bytes)
{
	struct record record = { .owner = owner, .type = type, .class = 1, .rdata = rdata, .rdata_bytes = bytes, .ttl = 60,
		.file = "test", .line = 1 };
	assert_int_equal(zone_builder_add(builder, &record), ST_OK);
}

// An image of the zone "s." in which each of the names, and the apex, has an NSEC.
static const struct image *image_of(struct catalog **catalog, uint8_t name[][NAME_MAX_BYTES], unsigned count)
{
	static const uint8_t apex[] = "\1s", soa[22] = { 0 }, nsec[] = "\1s\0\0\1\x40", a[4] = { 192, 0, 2, 1 };
	assert_int_equal(catalog_open_private(catalog, 1), ST_OK);
	struct zone_builder *builder = zone_builder_new(apex, catalog_seed(*catalog));
	add(builder, apex, TYPE_SOA, soa, sizeof(soa));
	add(builder, apex, TYPE_NS, "\2ns\1x", 6);
	add(builder, apex, TYPE_DNSKEY, "\1\1\3\15\0\0\0", 7);
	add(builder, apex, TYPE_NSEC, nsec, 7);
	for (unsigned i = 0; i < count; i++) {
		add(builder, name[i], TYPE_A, a, sizeof(a));
		add(builder, name[i], TYPE_NSEC, nsec, 7);
	}
	assert_int_equal(zone_builder_check(builder), ST_OK);
	void *room;
	assert_int_equal(catalog_reserve(*catalog, zone_builder_image_bytes(builder, NULL), &room), ST_OK);
	zone_builder_write(builder, room, NULL, 0);
	assert_int_equal(catalog_publish(*catalog, room), ST_OK);
	zone_builder_free(builder);
	const struct image *image = catalog_zone(*catalog, apex);
	assert_non_null(image);
	return image;
}

// What a walk over the whole chain finds: the last name not behind this one.
static uint32_t walk(const struct image *image, const uint8_t *name)
{
	const struct nsec_link *link = image_at(image, image->nsec_ref);
	uint32_t found = link[0].node_ref;
	for (uint32_t i = 1; i < image->nsec_count; i++) {
		const struct node *node = image_at(image, link[i].node_ref);
		uint8_t wire[NAME_MAX_BYTES];
		if (name_compare(image_node_name(image, node, wire), name) <= 0)
			found = link[i].node_ref;
	}
	return found;
}

static void look_up_around(const uint8_t *under, unsigned under_bytes, unsigned names)
{
	static uint8_t name[NAMES_MAX][NAME_MAX_BYTES];
	struct catalog *catalog;
	for (unsigned i = 0; i < names; i++)
		random_name(name[i], under, under_bytes);
	const struct image *image = image_of(&catalog, name, names);
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t wire[NAME_MAX_BYTES];
		struct folded_name folded;
		// Both below the common part and beside it.
		unsigned bytes = i % 3 ? random_name(wire, under, under_bytes) : random_name(wire, (const uint8_t *)"\1s", 3);
		name_prepare(&folded, wire, bytes, catalog_seed(catalog));
		assert_int_equal(nsec_at_or_before(image, &folded), walk(image, folded.wire));
	}
	for (uint32_t i = 0; i + 1 < image->nsec_count; i++) {
		const struct nsec_link *link = image_at(image, image->nsec_ref);
		const struct node *one = image_at(image, link[i].node_ref), *next = image_at(image, link[i + 1].node_ref);
		uint8_t wire[NAME_MAX_BYTES], next_wire[NAME_MAX_BYTES];
		assert_true(name_compare(image_node_name(image, one, wire), image_node_name(image, next, next_wire)) < 0);
	}
	catalog_close(catalog);
}

static void the_nsec_at_or_before_a_name_is_the_one_that_a_walk_finds(void **state)
{
	(void)state;
	for (unsigned names = 0; names < 12; names++)
		look_up_around((const uint8_t *)"\1s", 3, names);
	look_up_around((const uint8_t *)"\1s", 3, NAMES_MAX);
}

static void names_that_all_begin_alike_in_canonical_order_are_told_apart(void **state)
{
	(void)state;
	static const uint8_t shared[] = "\1\0\13commonlabel\1s";
	for (unsigned names = 0; names < 12; names++)
		look_up_around((const uint8_t *)"\5label\1s", 9, names);
	look_up_around((const uint8_t *)"\13commonlabel\1s", 15, NAMES_MAX);
	look_up_around(shared, sizeof(shared), NAMES_MAX);
}

static void a_chain_of_one_link_covers_every_name(void **state)
{
	(void)state;
	struct catalog *catalog;
	struct folded_name folded;
	const struct image *image = image_of(&catalog, NULL, 0);
	assert_int_equal(image->nsec_count, 1);
	name_prepare(&folded, (const uint8_t *)"\3www\1s", 7, 0);
	assert_int_equal(nsec_at_or_before(image, &folded), image->apex_ref);
	name_prepare(&folded, (const uint8_t *)"\1s", 3, 0);
	assert_int_equal(nsec_at_or_before(image, &folded), image->apex_ref);
	catalog_close(catalog);
}

static void keys_rise_with_the_canonical_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t a[NAME_MAX_BYTES], b[NAME_MAX_BYTES];
		struct folded_name one, other;
		name_prepare(&one, a, random_name(a, (const uint8_t *)"\1s", 3), 0);
		name_prepare(&other, b, random_name(b, (const uint8_t *)"\1s", 3), 0);
		uint64_t key_a = canonical_key(&one, 1, 0), key_b = canonical_key(&other, 1, 0);
		int order = name_compare(one.wire, other.wire);
		if (key_a != key_b)
			assert_int_equal(key_a < key_b, order < 0);
		if (order == 0)
			assert_true(key_a == key_b);
	}
}

// RFC 5155 appendix A: salt aabbccdd, 12 iterations.
static void hashes_are_those_of_the_rfc(void **state)
{
	(void)state;
	uint8_t hash[20];
	char text[33];
	nsec3_hash(hash, (const uint8_t *)"\7example", 9, (const uint8_t *)"\xaa\xbb\xcc\xdd", 4, 12);
	for (unsigned i = 0; i < 32; i++) {
		unsigned value = 0;
		for (unsigned bit = 0; bit < 5; bit++)
			value = value << 1 | (hash[(i * 5 + bit) / 8] >> (7 - (i * 5 + bit) % 8) & 1);
		text[i] = (char)(value < 10 ? '0' + value : 'a' + value - 10);
	}
	text[32] = '\0';
	assert_string_equal(text, "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom");
}

static int compare_links(const void *a, const void *b)
{
	return memcmp(a, b, 20);
}

static void places_in_a_ring_of_hashes_are_those_that_a_walk_finds(void **state)
{
	(void)state;
	static const unsigned sizes[] = { 1, 2, 3, 7, 64, 1000 };
	static struct nsec3_link link[1000];
	for (unsigned s = 0; s < 2 * sizeof(sizes) / sizeof(*sizes); s++) {
		unsigned count = sizes[s / 2];
		memset(link, 0, sizeof(link));
		for (unsigned i = 0; i < count; i++) {
			for (unsigned k = 0; k < 20; k++)
				link[i].hash[k] = (uint8_t)random_below(256);
			if (s % 2) // all in one corner of the ring
				memset(link[i].hash, i % 2 ? 0 : 255, 3);
		}
		qsort(link, count, sizeof(*link), compare_links);
		for (unsigned i = 0; i < 3000; i++) {
			uint8_t hash[20];
			bool matches;
			for (unsigned k = 0; k < 20; k++)
				hash[k] = (uint8_t)random_below(256);
			if (i % 4 == 0)
				memcpy(hash, link[random_below(count)].hash, i % 8 ? 20 : 19);
			if (i == 1)
				memset(hash, 0, 20);
			if (i == 2)
				memset(hash, 255, 20);
			uint32_t expected = count - 1;
			for (unsigned k = 0; k < count; k++) {
				if (memcmp(link[k].hash, hash, 20) <= 0)
					expected = k;
			}
			if (memcmp(link[0].hash, hash, 20) > 0)
				expected = count - 1; // before the first: the last goes round
			assert_int_equal(nsec3_place(link, count, hash, &matches), expected);
			assert_int_equal(matches, memcmp(link[expected].hash, hash, 20) == 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nsec_at_or_before_a_name_is_the_one_that_a_walk_finds),
		cmocka_unit_test(names_that_all_begin_alike_in_canonical_order_are_told_apart),
		cmocka_unit_test(a_chain_of_one_link_covers_every_name),
		cmocka_unit_test(keys_rise_with_the_canonical_order),
		cmocka_unit_test(hashes_are_those_of_the_rfc),
		cmocka_unit_test(places_in_a_ring_of_hashes_are_those_that_a_walk_finds),
	};
	return cmocka_run_group_tests_name("denial", tests, NULL, NULL) ? 1 : 0;
}
