// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../zones/space.h"

static struct space *new_space(uint64_t bytes)
{
	struct space *space = space_new();
	assert_non_null(space);
	assert_int_equal(space_add(space, 4096, bytes), ST_OK);
	return space;
}

static void the_smallest_piece_that_fits_is_taken(void **state)
{
	(void)state;
	struct space *space = new_space(1024);
	uint64_t a, b, c, d;
	assert_true(space_take(space, 256, &a));
	assert_true(space_take(space, 64, &b));
	assert_true(space_take(space, 128, &c));
	assert_true(space_take(space, 64, &d));
	space_give_back(space, a, 256);
	space_give_back(space, c, 128);
	uint64_t fit;
	assert_true(space_take(space, 100, &fit));
	assert_int_equal(fit, c);
	space_free(space);
}

static void neighbours_join_when_they_are_free_again(void **state)
{
	(void)state;
	struct space *space = new_space(1024);
	uint64_t piece[4], whole;
	for (unsigned i = 0; i < 4; i++)
		assert_true(space_take(space, 256, &piece[i]));
	assert_false(space_take(space, 64, &whole));
	space_give_back(space, piece[1], 256);
	space_give_back(space, piece[3], 256);
	space_give_back(space, piece[0], 256);
	space_give_back(space, piece[2], 256);
	assert_true(space_take(space, 1024, &whole));
	assert_int_equal(whole, 4096);
	space_free(space);
}

static void retired_space_is_used_again_only_after_its_epoch(void **state)
{
	(void)state;
	struct space *space = new_space(256);
	uint64_t at;
	assert_true(space_take(space, 256, &at));
	space_set_epoch(space, 5);
	space_retire(space, at, 256);
	assert_int_equal(space_retired(space), 256);
	space_reclaim(space, 4);
	assert_false(space_take(space, 256, &at));
	space_reclaim(space, 5);
	assert_int_equal(space_retired(space), 0);
	assert_true(space_take(space, 256, &at));
	space_free(space);
}

static void a_piece_can_be_claimed_once(void **state)
{
	(void)state;
	struct space *space = new_space(1024);
	assert_true(space_claim(space, 4096 + 128, 128));
	assert_false(space_claim(space, 4096 + 128, 128));
	assert_false(space_claim(space, 4096 + 64, 128));
	assert_false(space_claim(space, 4096 + 960, 128));
	assert_false(space_claim(space, 1024, 128));
	assert_true(space_claim(space, 4096, 128));
	assert_true(space_claim(space, 4096 + 256, 768));
	assert_int_equal(space_used(space), 1024);
	space_free(space);
}

static void the_end_of_a_piece_can_be_given_back_alone(void **state)
{
	(void)state;
	struct space *space = new_space(1024);
	uint64_t at, rest;
	assert_true(space_take(space, 1024, &at));
	space_give_back(space, at + 256, 768);
	assert_int_equal(space_used(space), 256);
	assert_true(space_take(space, 768, &rest));
	assert_int_equal(rest, at + 256);
	space_free(space);
}

// A thousand random moves against a map with one flag per unit.
static void no_two_pieces_ever_overlap(void **state)
{
	(void)state;
	enum { UNITS = 512, STEPS = 20000 };
	struct space *space = new_space(UNITS);
	uint8_t taken[UNITS] = { 0 };
	struct { uint64_t at, bytes; } held[64] = { 0 };
	unsigned seed = 1;
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)rand_r(&seed) % 64;
		if (held[i].bytes) {
			space_give_back(space, held[i].at, held[i].bytes);
			memset(taken + held[i].at - 4096, 0, held[i].bytes);
			held[i].bytes = 0;
			continue;
		}
		uint64_t bytes = 1 + (unsigned)rand_r(&seed) % 40, at;
		if (!space_take(space, bytes, &at))
			continue;
		for (uint64_t k = 0; k < bytes; k++)
			assert_int_equal(taken[at - 4096 + k]++, 0);
		held[i].at = at;
		held[i].bytes = bytes;
	}
	space_free(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_piece_that_fits_is_taken),
		cmocka_unit_test(neighbours_join_when_they_are_free_again),
		cmocka_unit_test(retired_space_is_used_again_only_after_its_epoch),
		cmocka_unit_test(a_piece_can_be_claimed_once),
		cmocka_unit_test(the_end_of_a_piece_can_be_given_back_alone),
		cmocka_unit_test(no_two_pieces_ever_overlap),
	};
	return cmocka_run_group_tests_name("space", tests, NULL, NULL) ? 1 : 0;
}
