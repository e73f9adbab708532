// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pollux/name.h>

static const uint8_t *wire(const char *text)
{
	static uint8_t buffers[8][NAME_MAX_BYTES];
	static unsigned next;
	uint8_t *to = buffers[next++ % 8];
	assert_int_equal(name_from_text(to, NULL, text, strlen(text), NULL), ST_OK);
	return to;
}

static void assert_refused(const char *text)
{
	uint8_t to[NAME_MAX_BYTES];
	assert_int_not_equal(name_from_text(to, NULL, text, strlen(text), wire("example.")), ST_OK);
}

static void text_and_wire_are_each_others_inverse(void **state)
{
	(void)state;
	static const char *const names[] = { ".", "example.com.", "a\\.b.example.", "*.example.", "\\000\\255.x.",
		"with\\032space.x.", "\\@.\\$.\\;.", "MiXeD.CaSe." };
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char text[NAME_TEXT_BYTES];
		assert_string_equal(name_to_text(text, wire(names[i])), names[i]);
	}
}

static void relative_names_get_the_origin(void **state)
{
	(void)state;
	uint8_t to[NAME_MAX_BYTES];
	unsigned bytes;
	char text[NAME_TEXT_BYTES];
	assert_int_equal(name_from_text(to, &bytes, "www", 3, wire("example.com.")), ST_OK);
	assert_int_equal(bytes, 17);
	assert_string_equal(name_to_text(text, to), "www.example.com.");
	assert_int_equal(name_from_text(to, &bytes, "@", 1, wire("example.com.")), ST_OK);
	assert_string_equal(name_to_text(text, to), "example.com.");
	assert_int_equal(name_from_text(to, &bytes, "www", 3, NULL), ST_INVALID);
}

static void malformed_text_is_refused(void **state)
{
	(void)state;
	assert_refused("");
	assert_refused("a..b");
	assert_refused(".a");
	assert_refused("a\\");
	assert_refused("a\\25");
	assert_refused("a\\256");
	assert_refused("a\\2x5");
}

static void a_label_of_63_octets_is_taken_and_one_of_64_refused(void **state)
{
	(void)state;
	char text[80];
	memset(text, 'a', 64);
	strlcpy(text + 63, ".", sizeof(text) - 63);
	assert_int_equal(wire(text)[0], 63);
	strlcpy(text + 63, "a.", sizeof(text) - 63);
	assert_refused(text);
}

static void a_name_of_255_octets_is_taken_and_one_of_256_refused(void **state)
{
	(void)state;
	char text[512] = "";
	for (int i = 0; i < 3; i++)
		strlcat(text, "123456789012345678901234567890123456789012345678901234567890123.", sizeof(text));
	strlcat(text, "1234567890123456789012345678901234567890123456789012345678901.", sizeof(text));
	assert_int_equal(name_length(wire(text), NAME_MAX_BYTES), 255);
	text[strlen(text) - 1] = '\0';
	strlcat(text, "2.", sizeof(text));
	assert_refused(text);
}

static void pointers_and_cut_names_have_no_length(void **state)
{
	(void)state;
	assert_int_equal(name_length((const uint8_t *)"\xc0\x0c", 2), 0);
	assert_int_equal(name_length((const uint8_t *)"\x40" "a", 2), 0);
	assert_int_equal(name_length((const uint8_t *)"\3abc", 4), 0);
	assert_int_equal(name_length((const uint8_t *)"\3ab", 3), 0);
	assert_int_equal(name_length((const uint8_t *)"", 0), 0);
	assert_int_equal(name_length((const uint8_t *)"\0", 1), 1);
}

static void names_are_compared_without_case_label_by_label(void **state)
{
	(void)state;
	assert_true(name_equal(wire("Example.COM."), wire("example.com.")));
	assert_false(name_equal(wire("example.com."), wire("example.org.")));
	assert_true(name_is_under(wire("www.Example.com."), wire("example.COM.")));
	assert_true(name_is_under(wire("example.com."), wire("example.com.")));
	assert_true(name_is_under(wire("example.com."), wire(".")));
	assert_false(name_is_under(wire("notexample.com."), wire("example.com.")));
	assert_false(name_is_under(wire("com."), wire("example.com.")));
}

static void canonical_order_is_that_of_rfc_4034(void **state)
{
	(void)state;
	static const char *const sorted[] = { "example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.",
		"zABC.a.EXAMPLE.", "z.example.", "\\001.z.example.", "*.z.example.", "\\200.z.example." };
	for (size_t i = 0; i + 1 < sizeof(sorted) / sizeof(*sorted); i++) {
		assert_true(name_compare(wire(sorted[i]), wire(sorted[i + 1])) < 0);
		assert_true(name_compare(wire(sorted[i + 1]), wire(sorted[i])) > 0);
		assert_true(name_compare(wire(sorted[i]), wire(sorted[i])) == 0);
	}
}

static void a_prepared_name_hashes_each_suffix_as_that_suffix_alone(void **state)
{
	(void)state;
	struct folded_name whole, part;
	const uint8_t *name = wire("WWW.averyverylonglabelindeed.Example.com.");
	name_prepare(&whole, name, name_length(name, 255), 42);
	assert_int_equal(whole.labels, 4);
	assert_int_equal(whole.label_at[4], 0);
	assert_int_equal(whole.label_at[0], whole.bytes - 1);
	for (unsigned depth = 0; depth <= 4; depth++) {
		name_prepare(&part, whole.wire + whole.label_at[depth], whole.bytes - whole.label_at[depth], 42);
		assert_true(part.hash[depth] == whole.hash[depth]);
		assert_int_equal(part.labels, depth);
	}
	name_prepare(&part, name, name_length(name, 255), 43);
	assert_true(part.hash[4] != whole.hash[4]);
}

static void names_that_differ_in_label_borders_hash_differently(void **state)
{
	(void)state;
	struct folded_name a, b;
	name_prepare(&a, wire("ab.c."), 6, 1);
	name_prepare(&b, wire("a.bc."), 6, 1);
	assert_true(a.hash[2] != b.hash[2]);
}

static uint32_t random_state = 53;

static unsigned random_below(unsigned n)
{
	random_state = random_state * 1103515245 + 12345;
	return (unsigned)((uint64_t)random_state * n >> 32);
}

// Octets of any value. Returns how many.
static unsigned random_name(uint8_t *to)
{
	unsigned at = 0, most = 1 + random_below(NAME_MAX_BYTES);
	for (;;) {
		unsigned length = 1 + random_below(random_below(2) ? 10 : LABEL_MAX_BYTES);
		if (at + 1 + length + 1 > most)
			break;
		to[at++] = (uint8_t)length;
		while (length--)
			to[at++] = (uint8_t)random_below(256);
	}
	to[at] = 0;
	return at + 1;
}

static void assert_same_name(const struct folded_name *a, const struct folded_name *b)
{
	assert_int_equal(a->bytes, b->bytes);
	assert_int_equal(a->labels, b->labels);
	assert_memory_equal(a->wire, b->wire, a->bytes);
	assert_memory_equal(a->label_at, b->label_at, a->labels + 1u);
	assert_memory_equal(a->hash, b->hash, (a->labels + 1u) * sizeof(a->hash[0]));
}

static void what_follows_a_name_changes_nothing_and_is_not_read_behind_the_room_given(void **state)
{
	(void)state;
	static const unsigned more[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 300 };
	for (unsigned round = 0; round < 3000; round++) {
		uint8_t name[NAME_MAX_BYTES];
		struct folded_name exact, other;
		unsigned bytes = random_name(name), room = bytes + more[round % (sizeof(more) / sizeof(*more))];
		uint8_t *copy = malloc(room); // so that a sanitizer sees a step behind it
		memset(copy, 'A', room);
		memcpy(copy, name, bytes);
		name_prepare(&exact, name, bytes, round);
		assert_int_equal(exact.bytes, bytes);
		assert_int_equal(name_take(&other, copy, room, round), bytes);
		assert_same_name(&exact, &other);
		for (unsigned i = 0; i < bytes; i++)
			assert_int_equal(exact.wire[i], fold_byte(name[i]));
		free(copy);
		if (bytes == 1)
			continue;
		room = 1 + random_below(bytes - 1); // the name does not end in it
		copy = malloc(room);
		memcpy(copy, name, room);
		assert_int_equal(name_take(&other, copy, room, round), 0);
		free(copy);
	}
}

static void a_name_taken_is_as_long_as_its_length(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		uint8_t octets[300];
		struct folded_name name;
		unsigned room = random_below(sizeof(octets)), most = round % 2 ? 66 : 12;
		for (unsigned i = 0; i < sizeof(octets); i++)
			octets[i] = (uint8_t)random_below(random_below(20) ? most : 256);
		assert_int_equal(name_take(&name, octets, room, 1), name_length(octets, room));
	}
}

static void every_bit_but_that_of_case_counts_in_the_hash(void **state)
{
	(void)state;
	for (unsigned length = 1; length <= LABEL_MAX_BYTES; length++) {
		uint8_t octets[LABEL_MAX_BYTES + 3] = { (uint8_t)length };
		struct folded_name name, other;
		for (unsigned i = 1; i <= length; i++)
			octets[i] = (uint8_t)random_below(256);
		octets[length + 1] = 0;
		name_prepare(&name, octets, length + 2, 9);
		for (unsigned bit = 8; bit < 8 * (length + 1); bit++) {
			octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
			name_prepare(&other, octets, length + 2, 9);
			assert_int_equal(name.hash[1] == other.hash[1], memcmp(name.wire, other.wire, name.bytes) == 0);
			octets[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_wire_are_each_others_inverse),
		cmocka_unit_test(relative_names_get_the_origin),
		cmocka_unit_test(malformed_text_is_refused),
		cmocka_unit_test(a_label_of_63_octets_is_taken_and_one_of_64_refused),
		cmocka_unit_test(a_name_of_255_octets_is_taken_and_one_of_256_refused),
		cmocka_unit_test(pointers_and_cut_names_have_no_length),
		cmocka_unit_test(names_are_compared_without_case_label_by_label),
		cmocka_unit_test(canonical_order_is_that_of_rfc_4034),
		cmocka_unit_test(a_prepared_name_hashes_each_suffix_as_that_suffix_alone),
		cmocka_unit_test(names_that_differ_in_label_borders_hash_differently),
		cmocka_unit_test(what_follows_a_name_changes_nothing_and_is_not_read_behind_the_room_given),
		cmocka_unit_test(a_name_taken_is_as_long_as_its_length),
		cmocka_unit_test(every_bit_but_that_of_case_counts_in_the_hash),
	};
	return cmocka_run_group_tests_name("name", tests, NULL, NULL) ? 1 : 0;
}
