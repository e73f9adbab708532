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

static const struct server_choice usual = { .most_open = 1000 };

static struct upstream_peer address(unsigned i)
{
	struct upstream_peer p;
	memset(&p, 0, sizeof(p));
	((struct sockaddr_in *)&p.address)->sin_family = AF_INET;
	((struct sockaddr_in *)&p.address)->sin_port = htons((uint16_t)(5300 + i));
	return p;
}

static int set_up(void **state)
{
	(void)state;
	struct upstream_peer addresses[3] = { address(0), address(1), address(2) };
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
	return server_choose(list, &tries, &usual);
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
	assert_int_equal(server_choose(list, &tries, &usual), 1);
	assert_int_equal(server_choose(list, &tries, &usual), 2);
	assert_int_equal(server_choose(list, &tries, &usual), 0);
	assert_int_equal(server_choose(list, &tries, &usual), 1);
}

static void who_failed_for_a_question_is_not_asked_again_for_it(void **state)
{
	(void)state;
	struct server_tries tries = { .failed = 1 };
	assert_int_equal(server_choose(list, &tries, &usual), 1);
	tries.failed = 5;
	assert_int_equal(server_choose(list, &tries, &usual), 1);
	tries.failed = 7;
	assert_int_equal(server_choose(list, &tries, &usual), -1);
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

static void a_silent_server_is_left_alone_by_questions_and_probed_when_its_back_off_ends(void **state)
{
	(void)state;
	all_answer(1000, 20000, 30000);
	now++;
	struct server *server = &list->server[0];
	kept_silent(server);
	assert_false(server_wants_probe(server, now)); // one lost packet is no silence
	kept_silent(server);
	server->srtt_us = 1; // that it is silent alone keeps questions away
	assert_int_equal(first_choice(), 1);
	assert_false(server_wants_probe(server, now + SECOND - 1));
	now += SECOND;
	assert_true(server_wants_probe(server, now));
	assert_int_equal(first_choice(), 1);
	server->probed = true;
	assert_false(server_wants_probe(server, now)); // one at a time
	server->probed = false;
	answered(server, 500);
	assert_false(server_wants_probe(server, now));
	assert_int_equal(first_choice(), 0);
}

static void who_has_enough_to_do_is_spared(void **state)
{
	(void)state;
	all_answer(1000, 20000, 30000);
	const struct server_choice few = { .most_open = 2 };
	struct server_tries tries = { 0 };
	list->server[0].open = 2;
	assert_int_equal(server_choose(list, &tries, &few), 1);
	list->server[1].open = list->server[2].open = 5;
	assert_int_equal(server_choose(list, &tries, &few), -1);
	list->server[0].open = 1;
	assert_int_equal(server_choose(list, &tries, &few), 0);
}

static void in_turn_each_question_starts_with_the_next_one_that_answers(void **state)
{
	(void)state;
	const struct server_choice in_turn = { .most_open = 1000, .in_turn = true };
	all_answer(30000, 10000, 20000);
	for (unsigned i = 0; i < 7; i++) {
		struct server_tries tries = { 0 };
		assert_int_equal(server_choose(list, &tries, &in_turn), i % 3);
	}
	now++;
	kept_silent(&list->server[1]);
	kept_silent(&list->server[1]);
	for (unsigned i = 0; i < 6; i++) {
		struct server_tries tries = { 0 };
		assert_int_not_equal(server_choose(list, &tries, &in_turn), 1);
	}
}

static void a_faster_server_that_recovers_is_found_again(void **state)
{
	(void)state;
	all_answer(300000, 20000, 20000); // it was slow for a while
	unsigned asked[3] = { 0 };
	for (unsigned i = 0; i < 5000; i++) {
		int choice = first_choice();
		asked[choice]++;
		answered(&list->server[choice], choice == 0 ? 2000 : 20000);
	}
	assert_true(asked[0] > 4000);
	assert_true(asked[1] + asked[2] > 20); // a small share goes on exploring
}

static void trouble_is_told_when_it_changes_or_goes_on_for_long(void **state)
{
	(void)state;
	struct server *server = &list->server[0];
	assert_true(server_has_trouble(server, "expired", now));
	assert_false(server_has_trouble(server, "expired", now + SECOND));
	assert_true(server_has_trouble(server, "refused", now + 2 * SECOND));
	assert_true(server_has_trouble(server, "refused", now + 62 * SECOND));
	answered(server, 500);
	assert_string_equal(server->trouble, "");
}

static void a_server_is_another_one_over_another_protocol(void **state)
{
	(void)state;
	all_answer(1000, 2000, 3000);
	struct upstream_peer peer = address(0);
	peer.protocol = PEER_TCP;
	struct server_list *fresh = server_list_new(&peer, 1, list);
	assert_int_equal(fresh->server[0].srtt_us, 0);
	server_list_drop(fresh);
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
	struct upstream_peer addresses[2] = { address(7), address(2) };
	struct server_list *fresh = server_list_new(addresses, 2, list);
	assert_non_null(fresh);
	assert_int_equal(fresh->server[0].srtt_us, 0);
	assert_int_equal(fresh->server[1].srtt_us, 3000);
	server_list_drop(fresh);
}

static void more_servers_than_fit_are_left_out(void **state)
{
	(void)state;
	struct upstream_peer addresses[SERVERS_MAX + 5];
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
		TEST(a_silent_server_is_left_alone_by_questions_and_probed_when_its_back_off_ends),
		TEST(who_has_enough_to_do_is_spared),
		TEST(in_turn_each_question_starts_with_the_next_one_that_answers),
		TEST(a_faster_server_that_recovers_is_found_again),
		TEST(trouble_is_told_when_it_changes_or_goes_on_for_long),
		TEST(a_server_is_another_one_over_another_protocol),
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
