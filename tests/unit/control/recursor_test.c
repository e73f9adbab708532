// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "client/handover.h"
#include "client/library.h"
#include "client/recursor.h"
#include "fake_server.h"

#define SECURE 2
#define BOGUS 1
#define INSECURE 0

// --- the queue between threads ---

static bool is_rung(const struct handover *h)
{
	struct pollfd fd = { .fd = handover_fd(h), .events = POLLIN };
	return poll(&fd, 1, 0) == 1;
}

static void a_queue_hands_over_in_order_and_says_when_it_is_full(void **state)
{
	(void)state;
	int item[4];
	struct handover *h = handover_new(4);
	assert_null(handover_take(h));
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 4; i++)
			assert_true(handover_give(h, &item[i]));
		assert_false(handover_give(h, &item[0]));
		for (unsigned i = 0; i < 4; i++)
			assert_ptr_equal(handover_take(h), &item[i]);
		assert_null(handover_take(h));
	}
	handover_free(h);
}

static void a_queue_rings_once_until_the_taker_is_awake(void **state)
{
	(void)state;
	int item;
	struct handover *h = handover_new(8);
	assert_false(is_rung(h));
	assert_true(handover_give(h, &item));
	assert_true(handover_give(h, &item));
	assert_true(is_rung(h));
	handover_wake(h);
	assert_false(is_rung(h));
	while (handover_take(h))
		;
	assert_true(handover_give(h, &item));
	assert_true(is_rung(h));
	handover_free(h);
}

#define CROSSINGS 200000

static void *give_all(void *ctx)
{
	static uint8_t items[CROSSINGS];
	for (unsigned i = 0; i < CROSSINGS; i++)
		while (!handover_give(ctx, &items[i]))
			sched_yield();
	return NULL;
}

static void nothing_is_lost_between_two_threads_of_which_one_sleeps(void **state)
{
	(void)state;
	struct handover *h = handover_new(64);
	pthread_t giver;
	uint8_t *last = NULL;
	assert_int_equal(pthread_create(&giver, NULL, give_all, h), 0);
	for (unsigned taken = 0; taken < CROSSINGS;) {
		struct pollfd fd = { .fd = handover_fd(h), .events = POLLIN };
		assert_int_equal(poll(&fd, 1, 5000), 1);
		handover_wake(h);
		for (uint8_t *item; (item = handover_take(h)); taken++) {
			assert_true(!last || item == last + 1);
			last = item;
		}
	}
	pthread_join(giver, NULL);
	handover_free(h);
}

// --- results of the library ---

#define HEADER(flags, rcode, answers) 0, 0, flags, 0x80 | rcode, 0, 1, 0, answers, 0, 0, 0, 0
#define QUESTION 1, 'a', 0, 0, 1, 0, 1
#define RECORD 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1

static const uint8_t positive[] = { HEADER(0x81, 0, 1), QUESTION, RECORD };
static const uint8_t no_such_name[] = { HEADER(0x81, 3, 0), QUESTION };
static const uint8_t too_long[] = { HEADER(0x81, 6, 0), QUESTION };
static const uint8_t servfail[] = { HEADER(0x81, 2, 0), QUESTION };
static const uint8_t refused[] = { HEADER(0x81, 5, 0), QUESTION };

static struct recursor_answer read_answer(int rcode, const uint8_t *packet, size_t bytes, int security, const char *why)
{
	struct recursor_answer answer;
	library_read_answer(&answer, rcode, packet, (int)bytes, security, why);
	return answer;
}

static void expect_failure(struct recursor_answer answer, enum security security, enum extended_error why)
{
	assert_int_equal(answer.rcode, RCODE_SERVFAIL);
	assert_int_equal(answer.security, security);
	assert_int_equal(answer.why, why);
	assert_null(answer.message.rr);
	assert_null(answer.message.chunks);
}

static void a_message_is_an_answer_with_what_validation_said(void **state)
{
	(void)state;
	static const struct {
		int said;
		enum security security;
	} cases[] = { { SECURE, SECURITY_SECURE }, { INSECURE, SECURITY_INSECURE } };
	for (unsigned i = 0; i < 2; i++) {
		struct recursor_answer answer = read_answer(0, positive, sizeof(positive), cases[i].said, NULL);
		assert_int_equal(answer.rcode, RCODE_NOERROR);
		assert_int_equal(answer.security, cases[i].security);
		assert_int_equal(answer.why, EDE_NONE);
		assert_int_equal(answer.message.section_at[SECTION_AUTHORITY], 1);
		message_clear(&answer.message);
	}
}

static void a_result_of_zero_may_hold_nxdomain_or_a_name_too_long(void **state)
{
	(void)state;
	struct recursor_answer answer = read_answer(0, no_such_name, sizeof(no_such_name), SECURE, NULL);
	assert_int_equal(answer.rcode, RCODE_NXDOMAIN);
	assert_int_equal(answer.security, SECURITY_SECURE);
	message_clear(&answer.message);
	answer = read_answer(0, too_long, sizeof(too_long), INSECURE, NULL);
	assert_int_equal(answer.rcode, RCODE_YXDOMAIN);
	message_clear(&answer.message);
}

static void records_of_other_classes_are_not_part_of_the_answer(void **state)
{
	(void)state;
	static const uint8_t packet[] = { 0, 0, 0x81, 0x80, 0, 1, 0, 3, 0, 1, 0, 0, QUESTION, 0xc0, 12, 0, 16, 0, 3, 0, 0,
		0, 60, 0, 2, 1, 'x', RECORD, 0xc0, 12, 0, 16, 0, 3, 0, 0, 0, 60, 0, 2, 1, 'x', RECORD };
	struct recursor_answer answer = read_answer(0, packet, sizeof(packet), INSECURE, NULL);
	assert_int_equal(answer.rcode, RCODE_NOERROR);
	assert_int_equal(answer.message.section_at[SECTION_AUTHORITY], 1);
	assert_int_equal(answer.message.section_at[SECTION_ADDITIONAL], 2);
	assert_int_equal(answer.message.section_at[SECTION_COUNT], 2);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(answer.message.rr[i].type, TYPE_A);
	message_clear(&answer.message);
}

static void an_error_is_servfail_wherever_it_stands(void **state)
{
	(void)state;
	static const uint8_t garbage[] = { 1, 2, 3 };
	for (int rcode = 1; rcode < 12; rcode++)
		expect_failure(read_answer(rcode, NULL, 0, INSECURE, NULL), SECURITY_NONE, EDE_NO_REACHABLE_AUTHORITY);
	expect_failure(read_answer(2, positive, sizeof(positive), SECURE, NULL), SECURITY_NONE, EDE_NO_REACHABLE_AUTHORITY);
	expect_failure(read_answer(0, servfail, sizeof(servfail), INSECURE, NULL), SECURITY_NONE,
		EDE_NO_REACHABLE_AUTHORITY);
	expect_failure(read_answer(0, refused, sizeof(refused), INSECURE, NULL), SECURITY_NONE,
		EDE_NO_REACHABLE_AUTHORITY);
	expect_failure(read_answer(0, garbage, sizeof(garbage), SECURE, NULL), SECURITY_NONE, EDE_NO_REACHABLE_AUTHORITY);
	expect_failure(read_answer(0, NULL, 0, SECURE, NULL), SECURITY_NONE, EDE_NO_REACHABLE_AUTHORITY);
}

static void bogus_data_are_never_handed_on_and_the_reason_is_a_code(void **state)
{
	(void)state;
	static const struct {
		const char *why;
		enum extended_error code;
	} cases[] = {
		{ "validation failure <a. A IN>: signature crypto failed from 198.18.0.4", EDE_BOGUS },
		{ "validation failure <a. A IN>: signature expired from 198.18.0.4", EDE_SIGNATURE_EXPIRED },
		{ "validation failure <a. A IN>: signature before inception date", EDE_SIGNATURE_NOT_YET_VALID },
		{ "validation failure <a. A IN>: no signatures from 198.18.0.4", EDE_RRSIGS_MISSING },
		{ "validation failure <a. A IN>: No DNSKEY record for key a. while building chain of trust", EDE_DNSKEY_MISSING },
		{ "validation failure <a. A IN>: nodata proof failed: no NSEC record", EDE_NSEC_MISSING },
		{ "", EDE_BOGUS },
		{ NULL, EDE_BOGUS },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_failure(read_answer(0, positive, sizeof(positive), BOGUS, cases[i].why), SECURITY_BOGUS,
			cases[i].code);
}

// --- the recursor, with a stub zone on loopback ---

struct result {
	unsigned calls;
	enum status status;
	enum rcode rcode;
	enum security security;
	unsigned answers;
	uint32_t ttl;
};

static struct event_base *base;
static struct fake_server server;
static char hints[64] = "/tmp/pollux-root-XXXXXX"; // a root that nobody serves

static void on_answer(void *ctx, enum status status, const struct recursor_answer *answer)
{
	struct result *result = ctx;
	result->calls++;
	result->status = status;
	if (answer) {
		result->rcode = answer->rcode;
		result->security = answer->security;
		result->answers = answer->message.section_at[SECTION_AUTHORITY];
		result->ttl = result->answers ? answer->message.rr[0].ttl : 0;
	}
	event_base_loopbreak(base);
}

static const uint8_t stub_zone[] = "\7example";

static struct recursor *start(unsigned threads, unsigned max_open)
{
	static struct sockaddr_storage address;
	static const struct recursor_stub stub = { stub_zone, &address, 1 };
	address = fake_address(&server);
	const struct recursor_options options = { .threads = threads, .max_open = max_open, .max_sent = 16, .sockets = 64,
		.cache_bytes = 1 << 20, .validate = true, .ask_loopback = true, .ip4 = true, .ip6 = true, .namespace = -1, .hints = hints,
		.stubs = &stub, .stub_count = 1 };
	struct recursor *r;
	assert_int_equal(recursor_new(&r, base, &options), ST_OK);
	assert_true(recursor_has_options(r, &options));
	struct recursor_options others = options;
	others.max_sent = 17;
	assert_false(recursor_has_options(r, &others));
	return r;
}

static void await(struct result *result)
{
	struct timeval most = { .tv_sec = 10 };
	event_base_loopexit(base, &most);
	for (unsigned calls = result->calls; result->calls == calls && !event_base_got_exit(base);)
		event_base_dispatch(base);
	assert_int_equal(result->calls, 1);
}

static void ask(struct recursor *r, const char *name, bool refresh, struct result *result)
{
	const struct recursor_question question = { (const uint8_t *)name, TYPE_A, CLASS_IN, false, refresh };
	*result = (struct result){ 0 };
	assert_int_equal(recursor_ask(r, &question, on_answer, result), ST_OK);
	assert_int_equal(result->calls, 0);
}

// As an authoritative server: A 192.0.2.1 for every name.
static void authoritative(struct heard *heard)
{
	uint8_t wire[512];
	static const uint8_t address[4] = { 192, 0, 2, 1 };
	struct writer out = fake_reply(wire, sizeof(wire), heard, FLAG_AA);
	fake_record(&out, 0, DNS_HEADER_BYTES, TYPE_A, 300, address, sizeof(address));
	fake_send(heard, wire, (unsigned)writer_bytes(&out));
}

static int open_all(void **state)
{
	(void)state;
	base = event_base_new();
	fake_start(&server, base, AF_INET, authoritative);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	fake_stop(&server);
	event_base_free(base);
	return recursor_await_threads(5000) ? 0 : 1;
}

static void a_question_comes_back_with_its_answer_and_is_remembered(void **state)
{
	(void)state;
	struct result result;
	struct recursor *r = start(2, 8);
	for (unsigned round = 0; round < 2; round++) {
		ask(r, "\3www\7example", false, &result);
		assert_int_equal(recursor_open(r), 1);
		await(&result);
		assert_int_equal(result.status, ST_OK);
		assert_int_equal(result.rcode, RCODE_NOERROR);
		assert_int_equal(result.security, SECURITY_INSECURE);
		assert_int_equal(result.answers, 1);
	}
	unsigned thread = recursor_thread_of(r, (const uint8_t *)"\3www\7example");
	struct recursor_counters counters = recursor_counters(r, thread);
	assert_int_equal(counters.asked, 2);
	assert_int_equal(counters.insecure, 2);
	assert_int_equal(counters.recalled, 1);
	assert_int_equal(counters.open, 0);
	assert_int_equal(recursor_counters(r, 1 - thread).asked, 0);
	recursor_free(r);
}

static void what_is_to_be_refreshed_is_asked_for_though_it_is_remembered(void **state)
{
	(void)state;
	struct result result;
	struct recursor *r = start(1, 8);
	ask(r, "\3www\7example", false, &result);
	await(&result);
	unsigned heard = server.heard_udp;
	ask(r, "\3www\7example", true, &result);
	await(&result);
	assert_true(server.heard_udp > heard);
	assert_int_equal(result.ttl, 300);
	recursor_free(r);
}

static void more_questions_than_may_be_open_are_refused(void **state)
{
	(void)state;
	struct result results[3];
	server.script = NULL;
	struct recursor *r = start(1, 2);
	ask(r, "\1a\7example", false, &results[0]);
	ask(r, "\1b\7example", false, &results[1]);
	const struct recursor_question question = { (const uint8_t *)"\1c\7example", TYPE_A, CLASS_IN, false, false };
	assert_int_equal(recursor_ask(r, &question, on_answer, &results[2]), ST_FULL);
	recursor_free(r);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(results[i].calls, 1);
		assert_int_equal(results[i].status, ST_CANCELLED);
	}
}

static void a_name_belongs_to_one_thread_whatever_its_case_and_names_are_spread(void **state)
{
	(void)state;
	unsigned count[4] = { 0 };
	struct recursor *r = start(4, 8);
	assert_int_equal(recursor_thread_of(r, (const uint8_t *)"\3wWw\7eXAMPLe"),
		recursor_thread_of(r, (const uint8_t *)"\3www\7example"));
	for (unsigned i = 0; i < 4000; i++) {
		uint8_t name[] = "\4n000\7example";
		for (unsigned digit = 0, left = i; digit < 3; digit++, left /= 16)
			name[4 - digit] = (uint8_t)("0123456789abcdef"[left % 16]);
		count[recursor_thread_of(r, name)]++;
	}
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(count[i], 800, 1200);
	recursor_free(r);
}

static void a_thread_that_hangs_keeps_nobody_waiting(void **state)
{
	(void)state;
	struct result result;
	char pipe[sizeof(hints)], regular[sizeof(hints)];
	snprintf(pipe, sizeof(pipe), "/tmp/pollux-pipe-%d", (int)getpid());
	assert_int_equal(mkfifo(pipe, 0600), 0);
	memcpy(regular, hints, sizeof(hints));
	memcpy(hints, pipe, sizeof(pipe)); // the library opens it, and waits for whoever writes into it
	struct recursor *r = start(1, 8);
	memcpy(hints, regular, sizeof(hints));
	ask(r, "\3www\7example", false, &result);
	assert_false(recursor_await_threads(50));
	assert_int_equal(recursor_open(r), 1);
	recursor_free(r);
	assert_int_equal(result.status, ST_CANCELLED);
	assert_false(recursor_await_threads(50));
	int writer = open(pipe, O_WRONLY | O_CLOEXEC);
	assert_true(writer >= 0);
	close(writer);
	assert_true(recursor_await_threads(5000));
	unlink(pipe);
}

static void freed_with_questions_everywhere_nothing_is_left(void **state)
{
	(void)state;
	struct result results[32];
	struct recursor *r = start(4, 64);
	for (unsigned i = 0; i < 32; i++) {
		char name[] = "\1a\7example";
		name[1] = (char)('A' + i);
		ask(r, name, i % 2, &results[i]);
	}
	recursor_free(r);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(results[i].status, ST_CANCELLED);
	assert_true(recursor_await_threads(5000));
}

static int write_hints(void **state)
{
	(void)state;
	static const char text[] = ". 3600 IN NS a.roots.\na.roots. 3600 IN A 127.255.255.254\n";
	int fd = mkstemp(hints);
	if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
		return 1;
	close(fd);
	return 0;
}

static int remove_hints(void **state)
{
	(void)state;
	return unlink(hints);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_queue_hands_over_in_order_and_says_when_it_is_full),
		cmocka_unit_test(a_queue_rings_once_until_the_taker_is_awake),
		cmocka_unit_test(nothing_is_lost_between_two_threads_of_which_one_sleeps),
		cmocka_unit_test(a_message_is_an_answer_with_what_validation_said),
		cmocka_unit_test(a_result_of_zero_may_hold_nxdomain_or_a_name_too_long),
		cmocka_unit_test(records_of_other_classes_are_not_part_of_the_answer),
		cmocka_unit_test(an_error_is_servfail_wherever_it_stands),
		cmocka_unit_test(bogus_data_are_never_handed_on_and_the_reason_is_a_code),
		cmocka_unit_test_setup_teardown(
			a_question_comes_back_with_its_answer_and_is_remembered, open_all, close_all),
		cmocka_unit_test_setup_teardown(
			what_is_to_be_refreshed_is_asked_for_though_it_is_remembered, open_all, close_all),
		cmocka_unit_test_setup_teardown(more_questions_than_may_be_open_are_refused, open_all, close_all),
		cmocka_unit_test_setup_teardown(
			a_name_belongs_to_one_thread_whatever_its_case_and_names_are_spread, open_all, close_all),
		cmocka_unit_test_setup_teardown(a_thread_that_hangs_keeps_nobody_waiting, open_all, close_all),
		cmocka_unit_test_setup_teardown(freed_with_questions_everywhere_nothing_is_left, open_all, close_all),
	};
	int r = cmocka_run_group_tests(tests, write_hints, remove_hints);
	return r ? 1 : 0;
}
