// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "client/server.h"

#define SECOND UINT64_C(1000000)
#define TIMEOUT_US 400000

static struct server_list *list;
static uint64_t now;

static struct sockaddr_storage address(unsigned i)
{
	struct sockaddr_storage a;
	memset(&a, 0, sizeof(a));
	((struct sockaddr_in *)&a)->sin_family = AF_INET;
	((struct sockaddr_in *)&a)->sin_port = htons((uint16_t)(5300 + i));
	return a;
}

static int set_up(void **state)
{
	(void)state;
	struct sockaddr_storage addresses[3] = { address(0), address(1), address(2) };
	list = server_list_new(addresses, 3, NULL);
	now = 1000 * SECOND;
	return list ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	server_list_drop(list);
	return 0;
}

static int first_choice(void)
{
	struct server_tries tries = { 0 };
	return server_choose(list, &tries, now);
}

static void answered(struct server *server, uint64_t rtt_us)
{
	server_answered(server, now - rtt_us, now);
}

// Time passes meanwhile.
static void kept_silent(struct server *server)
{
	now += TIMEOUT_US;
	server_kept_silent(server, now - TIMEOUT_US, now);
}

static void all_answer(uint64_t a, uint64_t b, uint64_t c)
{
	answered(&list->server[0], a);
	answered(&list->server[1], b);
	answered(&list->server[2], c);
}

static void unknown_servers_are_tried_in_the_order_given(void **state)
{
	(void)state;
	assert_int_equal(first_choice(), 0);
	answered(&list->server[0], 5000);
	assert_int_equal(first_choice(), 1);
}

static void the_fastest_is_asked_first_then_the_others(void **state)
{
	(void)state;
	all_answer(30000, 10000, 20000);
	struct server_tries tries = { 0 };
	assert_int_equal(server_choose(list, &tries, now), 1);
	assert_int_equal(server_choose(list, &tries, now), 2);
	assert_int_equal(server_choose(list, &tries, now), 0);
	assert_int_equal(server_choose(list, &tries, now), 1);
}

static void who_failed_for_a_question_is_not_asked_again_for_it(void **state)
{
	(void)state;
	struct server_tries tries = { .failed = 1 };
	assert_int_equal(server_choose(list, &tries, now), 1);
	tries.failed = 5;
	assert_int_equal(server_choose(list, &tries, now), 1);
	tries.failed = 7;
	assert_int_equal(server_choose(list, &tries, now), -1);
}

static void one_slow_answer_does_not_undo_many_fast_ones(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++)
		all_answer(10000, 15000, 15000);
	answered(&list->server[0], 40000);
	assert_int_equal(first_choice(), 0);
	for (unsigned i = 0; i < 10; i++)
		answered(&list->server[0], 40000);
	assert_int_not_equal(first_choice(), 0);
}

static void an_unused_slow_server_gets_another_try_in_the_end(void **state)
{
	(void)state;
	all_answer(10000, 20000, 900000);
	bool again = false;
	for (unsigned i = 0; i < 1000 && !again; i++) {
		int choice = first_choice();
		again = choice == 1;
		answered(&list->server[choice], choice == 0 ? 10000 : 20000);
	}
	assert_true(again);
}

static void a_silent_server_waits_until_its_back_off_ends_and_is_then_tried_by_one_question(void **state)
{
	(void)state;
	all_answer(1000, 20000, 30000);
	now++;
	kept_silent(&list->server[0]);
	kept_silent(&list->server[0]);
	list->server[0].srtt_us = 1; // the back-off alone keeps it waiting
	assert_int_equal(first_choice(), 1);
	now += SECOND - 1;
	assert_int_equal(first_choice(), 1);
	now += 1;
	assert_int_equal(first_choice(), 0);
	assert_int_equal(first_choice(), 1);
}

static void the_back_off_doubles_up_to_64_seconds(void **state)
{
	(void)state;
	struct server *server = &list->server[0];
	kept_silent(server);
	assert_int_equal(server->down_until_us, 0); // one lost packet is no silence
	for (unsigned i = 0; i < 20; i++) {
		kept_silent(server);
		assert_int_equal(server->down_until_us - now, SECOND << (i < 6 ? i : 6));
	}
	answered(server, 5000);
	assert_int_equal(server->down_until_us, 0);
	assert_int_equal(server->srtt_us, 5000);
}

static void many_lost_at_once_are_one_silence(void **state)
{
	(void)state;
	struct server *server = &list->server[0];
	for (unsigned i = 0; i < 500; i++)
		server_kept_silent(server, now - TIMEOUT_US + i, now + i);
	assert_int_equal(server->silences, 1);
	server_kept_silent(server, now + 1000, now + TIMEOUT_US);
	assert_int_equal(server->silences, 2);
}

static void a_loss_among_answers_is_no_silence(void **state)
{
	(void)state;
	struct server *server = &list->server[0];
	for (unsigned i = 0; i < 10; i++) {
		now += 1000;
		server_answered(server, now - 300, now);
		server_kept_silent(server, now - TIMEOUT_US, now);
	}
	assert_int_equal(server->silences, 0);
	assert_int_equal(server->srtt_us, 300);
}

static void news_are_that_it_fell_silent_and_that_it_answers_again(void **state)
{
	(void)state;
	struct server *server = &list->server[0];
	assert_false(server_has_news(server, now));
	kept_silent(server);
	assert_false(server_has_news(server, now));
	kept_silent(server);
	assert_true(server_has_news(server, now));
	assert_false(server_has_news(server, now));
	answered(server, 5000);
	assert_false(server_has_news(server, now + 9 * SECOND)); // not so soon
	assert_true(server_has_news(server, now + 10 * SECOND));
	assert_false(server_has_news(server, now + 30 * SECOND));
}

static void when_all_are_silent_the_one_due_first_is_asked(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; k < 5 - i; k++)
			kept_silent(&list->server[i]);
	assert_int_equal(first_choice(), 2);
}

static void what_was_learned_goes_on_in_a_new_list(void **state)
{
	(void)state;
	all_answer(1000, 2000, 3000);
	struct sockaddr_storage addresses[2] = { address(7), address(2) };
	struct server_list *fresh = server_list_new(addresses, 2, list);
	assert_non_null(fresh);
	assert_int_equal(fresh->server[0].srtt_us, 0);
	assert_int_equal(fresh->server[1].srtt_us, 3000);
	server_list_drop(fresh);
}

static void more_servers_than_fit_are_left_out(void **state)
{
	(void)state;
	struct sockaddr_storage addresses[SERVERS_MAX + 5];
	for (unsigned i = 0; i < SERVERS_MAX + 5; i++)
		addresses[i] = address(i);
	struct server_list *many = server_list_new(addresses, SERVERS_MAX + 5, NULL);
	assert_int_equal(many->count, SERVERS_MAX);
	server_list_drop(many);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unknown_servers_are_tried_in_the_order_given),
		TEST(the_fastest_is_asked_first_then_the_others),
		TEST(who_failed_for_a_question_is_not_asked_again_for_it),
		TEST(one_slow_answer_does_not_undo_many_fast_ones),
		TEST(an_unused_slow_server_gets_another_try_in_the_end),
		TEST(a_silent_server_waits_until_its_back_off_ends_and_is_then_tried_by_one_question),
		TEST(the_back_off_doubles_up_to_64_seconds),
		TEST(many_lost_at_once_are_one_silence),
		TEST(a_loss_among_answers_is_no_silence),
		TEST(news_are_that_it_fell_silent_and_that_it_answers_again),
		TEST(when_all_are_silent_the_one_due_first_is_asked),
		TEST(what_was_learned_goes_on_in_a_new_list),
		TEST(more_servers_than_fit_are_left_out),
	};
	return cmocka_run_group_tests_name("server", tests, NULL, NULL) ? 1 : 0;
}
