// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <semaphore.h>

#include "background.h"

struct errand {
	struct background *background;
	sem_t go_on;
	unsigned worked, done, rounds;
};

static struct event_base *base;

static void work(void *ctx)
{
	struct errand *e = ctx;
	while (sem_wait(&e->go_on) != 0)
		;
	e->worked++;
}

static void done(void *ctx)
{
	struct errand *e = ctx;
	e->done++;
	if (e->done < e->rounds)
		assert_int_equal(background_start(e->background), ST_OK);
	else
		event_base_loopbreak(base);
}

static int set_up(void **state)
{
	static struct errand errand;
	base = event_base_new();
	errand = (struct errand){ .rounds = 1 };
	errand.background = background_new(base, "test", work, done, &errand);
	*state = &errand;
	return base && errand.background && sem_init(&errand.go_on, 0, 0) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	struct errand *e = *state;
	background_free(e->background);
	event_base_free(base);
	return sem_destroy(&e->go_on);
}

static void the_end_is_told_in_the_event_loop(void **state)
{
	struct errand *e = *state;
	assert_int_equal(background_start(e->background), ST_OK);
	assert_int_equal(background_start(e->background), ST_BUSY);
	assert_true(background_is_busy(e->background));
	sem_post(&e->go_on);
	assert_int_equal(event_base_dispatch(base), 0);
	assert_false(background_is_busy(e->background));
	assert_int_equal(e->worked, 1);
	assert_int_equal(e->done, 1);
}

static void the_end_of_one_may_start_the_next(void **state)
{
	struct errand *e = *state;
	e->rounds = 3;
	for (unsigned i = 0; i < e->rounds; i++)
		sem_post(&e->go_on);
	assert_int_equal(background_start(e->background), ST_OK);
	assert_int_equal(event_base_dispatch(base), 0);
	assert_int_equal(e->worked, 3);
	assert_int_equal(e->done, 3);
}

static void who_waits_is_not_told(void **state)
{
	struct errand *e = *state;
	assert_false(background_wait(e->background));
	assert_int_equal(background_start(e->background), ST_OK);
	sem_post(&e->go_on);
	assert_true(background_wait(e->background));
	assert_int_equal(e->worked, 1);
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(e->done, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_end_is_told_in_the_event_loop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_end_of_one_may_start_the_next, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_waits_is_not_told, set_up, tear_down),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	return r ? 1 : 0;
}
