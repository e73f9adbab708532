// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>

#include "checksum.h"
#include "packet.h"

static unsigned folded(const uint8_t *bytes, unsigned count)
{
	uint16_t sum = checksum_fold(checksum_add(0, bytes, count));
	uint8_t wire[2];
	memcpy(wire, &sum, 2);
	return (unsigned)wire[0] << 8 | wire[1];
}

static void every_length_and_offset_sums_as_word_by_word(void **state)
{
	(void)state;
	uint8_t bytes[600];
	uint32_t seed = 1;
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(seed >> 24);
	}
	for (unsigned at = 0; at < 9; at++)
		for (unsigned count = 0; count + at <= sizeof(bytes); count++)
			assert_int_equal(folded(bytes + at, count), plain_sum(bytes + at, count, 0));
}

static void a_frame_of_ones_does_not_run_over(void **state)
{
	(void)state;
	static uint8_t bytes[65535];
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(folded(bytes, 65534), 0xffff);
	assert_int_equal(folded(bytes, 65535), plain_sum(bytes, 65535, 0));
}

static void the_example_of_rfc_1071_comes_out(void **state)
{
	(void)state;
	const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	assert_int_equal(folded(bytes, sizeof(bytes)), 0xddf2);
}

static void a_sum_may_be_continued_at_an_even_offset(void **state)
{
	(void)state;
	uint8_t bytes[100];
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37);
	uint64_t whole = checksum_add(0, bytes, sizeof(bytes));
	for (unsigned cut = 0; cut <= sizeof(bytes); cut += 2) {
		uint64_t parts = checksum_add(checksum_add(0, bytes, cut), bytes + cut, sizeof(bytes) - cut);
		assert_int_equal(checksum_fold(parts), checksum_fold(whole));
	}
}

static void a_sum_goes_on_at_an_odd_offset_when_it_is_shifted(void **state)
{
	(void)state;
	uint8_t bytes[100];
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37);
	uint16_t whole = checksum_fold(checksum_add(0, bytes, sizeof(bytes)));
	for (unsigned cut = 0; cut <= sizeof(bytes); cut++) {
		uint64_t rest = checksum_add(0, bytes + cut, sizeof(bytes) - cut);
		assert_int_equal(
			checksum_fold(checksum_add(0, bytes, cut) + checksum_shifted(rest, cut & 1)), whole);
	}
	assert_int_equal(checksum_shifted(0, true), 0);
	assert_int_equal(checksum_fold(checksum_shifted(UINT32_MAX, true)), 0xffff);
}

static void a_word_adds_what_its_octets_do(void **state)
{
	(void)state;
	uint64_t word = UINT64_C(0xfedcba9876543210);
	for (unsigned i = 0; i < 64; i++, word = word << 63 | word >> 1)
		assert_int_equal(checksum_fold(checksum_of_64(word)),
			checksum_fold(checksum_add(0, &word, sizeof(word))));
	assert_int_equal(checksum_fold(checksum_of_64(UINT64_MAX)), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_and_offset_sums_as_word_by_word),
		cmocka_unit_test(a_frame_of_ones_does_not_run_over),
		cmocka_unit_test(the_example_of_rfc_1071_comes_out),
		cmocka_unit_test(a_sum_may_be_continued_at_an_even_offset),
		cmocka_unit_test(a_sum_goes_on_at_an_odd_offset_when_it_is_shifted),
		cmocka_unit_test(a_word_adds_what_its_octets_do),
	};
	return cmocka_run_group_tests_name("checksum", tests, NULL, NULL) ? 1 : 0;
}
