// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <time.h>

#include "slices.h"

static struct event_base *base;
static struct slices *slices;

struct job {
	unsigned left, pieces, ends, unfinished;
};

static bool work(void *ctx)
{
	struct job *job = ctx;
	struct timespec pause = { .tv_nsec = 200000 };
	nanosleep(&pause, NULL);
	job->pieces++;
	return --job->left > 0;
}

static void end(void *ctx, bool finished)
{
	struct job *job = ctx;
	job->ends++;
	job->unfinished += !finished;
}

static int set_up(void **state)
{
	(void)state;
	base = event_base_new();
	slices = slices_new(base);
	return slices ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	slices_free(slices);
	event_base_free(base);
	return 0;
}

static void jobs_take_turns_and_end_once(void **state)
{
	(void)state;
	struct job large = { .left = 100 }, small = { .left = 3 };
	assert_int_equal(slices_start(slices, work, end, &large), ST_OK);
	assert_int_equal(slices_start(slices, work, end, &small), ST_OK);
	assert_int_equal(large.pieces + small.pieces, 0);
	while (!small.ends)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(large.ends, 0);
	assert_true(large.pieces < 50);
	event_base_dispatch(base);
	assert_int_equal(large.pieces, 100);
	assert_int_equal(small.pieces, 3);
	assert_int_equal(large.ends + small.ends, 2);
	assert_int_equal(large.unfinished + small.unfinished, 0);
}

static void what_is_under_way_ends_unfinished_with_everything_else(void **state)
{
	(void)state;
	struct job job = { .left = 1000 };
	assert_int_equal(slices_start(slices, work, end, &job), ST_OK);
	event_base_loop(base, EVLOOP_ONCE);
	slices_free(slices);
	slices = NULL;
	assert_int_equal(job.ends, 1);
	assert_int_equal(job.unfinished, 1);
	assert_true(job.pieces > 0 && job.pieces < 1000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(jobs_take_turns_and_end_once),
		TEST(what_is_under_way_ends_unfinished_with_everything_else),
	};
	int failed = cmocka_run_group_tests_name("slices", tests, NULL, NULL);
	return failed ? 1 : 0;
}
