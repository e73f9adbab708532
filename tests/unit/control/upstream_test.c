// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "client/upstream.h"
#include "fake_server.h"

// Long enough for a loaded machine where nothing is waited for, short where silence is the point.
#define TIMEOUT_MS 1000
#define DEADLINE_MS 5000
#define SHORT_TIMEOUT_MS 30
#define SHORT_DEADLINE_MS 300
#define ASKED_MAX 64
#define NAME "\3www\7example\3com"

static struct event_base *base;
static struct fake_server one, two;
static struct upstream *up;
static struct upstream_options options;

// What `done` said, question by question.
static struct outcome {
	unsigned calls;
	enum lookup lookup;
	unsigned rcode, answers;
	uint16_t flags;
	uint64_t after_ms;
} asked[ASKED_MAX];
static unsigned asked_count, open_count;
static uint64_t asked_at_ms;

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_done(void *ctx, const struct upstream_end *end)
{
	struct outcome *o = ctx;
	const struct message *reply = end->reply;
	o->calls++;
	o->lookup = end->lookup;
	o->after_ms = now_ms() - asked_at_ms;
	if (reply) {
		o->rcode = reply->rcode;
		o->flags = reply->flags;
		o->answers = reply->section_at[SECTION_ANSWER + 1];
	}
	if (!--open_count)
		event_base_loopbreak(base);
}

static enum status ask_name(const char *name, bool dnssec_ok)
{
	struct upstream_question question = { (const uint8_t *)name, TYPE_A, CLASS_IN, dnssec_ok, false };
	assert_true(asked_count < ASKED_MAX);
	struct outcome *o = &asked[asked_count];
	*o = (struct outcome){ .rcode = 99 };
	if (!open_count)
		asked_at_ms = now_ms();
	enum status status = upstream_ask(up, &question, on_done, o);
	if (status == ST_OK) {
		asked_count++;
		open_count++;
		assert_int_equal(o->calls, 0);
	}
	return status;
}

static void wait_for_all(void)
{
	if (open_count)
		event_base_dispatch(base);
	assert_int_equal(open_count, 0);
	for (unsigned i = 0; i < asked_count; i++)
		assert_int_equal(asked[i].calls, 1);
}

static const struct outcome *ask(void)
{
	assert_int_equal(ask_name(NAME, false), ST_OK);
	wait_for_all();
	return &asked[asked_count - 1];
}

static struct upstream_peer peer_of(const struct fake_server *server)
{
	return (struct upstream_peer){ .address = fake_address(server) };
}

static void use_servers(unsigned count)
{
	struct upstream_peer addresses[] = { peer_of(&one), peer_of(&two) };
	assert_int_equal(upstream_set_servers(up, addresses, count), ST_OK);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;
	DIR *dir = opendir("/proc/self/fd");
	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static int set_up(void **state)
{
	(void)state;
	base = event_base_new();
	asked_count = open_count = 0;
	options = (struct upstream_options){ .timeouts_ms = { TIMEOUT_MS },
		.timeout_count = 1,
		.max_per_server = 1000,
		.max_tries = 50,
		.deadline_ms = DEADLINE_MS,
		.idle_ms = 1000,
		.max_open = 1000,
		.udp_size = 1232,
		.mix_case = true };
	fake_start(&one, base, AF_INET, fake_answers);
	fake_start(&two, base, AF_INET, fake_answers);
	up = upstream_new(base, &options);
	use_servers(1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	upstream_free(up);
	fake_stop(&one);
	fake_stop(&two);
	event_base_free(base);
	return 0;
}

static void change_options(void)
{
	upstream_set_options(up, &options);
}

static void lose_patience(void)
{
	options.timeouts_ms[0] = SHORT_TIMEOUT_MS;
	options.deadline_ms = SHORT_DEADLINE_MS;
	change_options();
}

static void a_question_goes_out_with_rd_edns_and_our_size_and_its_answer_comes_back(void **state)
{
	(void)state;
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_ANSWER);
	assert_int_equal(o->rcode, RCODE_NOERROR);
	assert_int_equal(o->answers, 1);
	const struct heard *h = &one.heard[0];
	assert_int_equal(load_be16(h->wire + 2), FLAG_RD);
	assert_int_equal(load_be16(h->wire + 4), 1);
	assert_int_equal(load_be16(h->wire + 10), 1);
	assert_int_equal(h->bytes, DNS_HEADER_BYTES + sizeof(NAME) + 4 + OPT_BYTES);
	assert_memory_equal(h->wire + h->bytes - OPT_BYTES, "\0\0\x29\x04\xd0\0\0\0\0\0\0", OPT_BYTES);
	assert_int_equal(upstream_counters(up)->sent, 1);
	assert_int_equal(upstream_counters(up)->replies, 1);
	assert_int_equal(upstream_counters(up)->open, 0);
}

static void do_and_cd_travel_on(void **state)
{
	(void)state;
	struct upstream_question question = { (const uint8_t *)NAME, TYPE_A, CLASS_IN, true, true };
	asked_count = open_count = 1;
	assert_int_equal(upstream_ask(up, &question, on_done, &asked[0]), ST_OK);
	asked[0].calls = 0;
	wait_for_all();
	const struct heard *h = &one.heard[0];
	assert_int_equal(load_be16(h->wire + 2), FLAG_RD | FLAG_CD);
	assert_int_equal(h->wire[h->bytes - 4], 0x80);
}

static void an_ip6_server_is_asked_over_ip6(void **state)
{
	(void)state;
	struct fake_server six;
	fake_start(&six, base, AF_INET6, fake_truncates);
	struct upstream_peer address = peer_of(&six);
	assert_int_equal(upstream_set_servers(up, &address, 1), ST_OK);
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(six.heard_udp, 1);
	assert_int_equal(six.heard_tcp, 1);
	assert_int_equal(six.heard[0].peer.ss_family, AF_INET6);
	fake_stop(&six);
}

static uint16_t source_port(unsigned i)
{
	return ((const struct sockaddr_in *)&one.heard[i].peer)->sin_port;
}

// Chance alone makes two of 20 ports of 64512 equal once in 340 runs, two pairs never.
static void every_query_has_its_own_port_id_and_case(void **state)
{
	(void)state;
	unsigned equal_ports = 0, equal_ids = 0, equal_names = 0, low_ports = 0;
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(one.heard_udp, 20);
	for (unsigned i = 0; i < 20; i++) {
		const uint8_t *name = one.heard[i].wire + DNS_HEADER_BYTES;
		low_ports += ntohs(source_port(i)) < 32768; // the kernel by itself would start there
		assert_true(name_equal(name, (const uint8_t *)NAME));
		for (unsigned j = 0; j < i; j++) {
			equal_ports += source_port(i) == source_port(j);
			equal_ids += load_be16(one.heard[i].wire) == load_be16(one.heard[j].wire);
			equal_names += !memcmp(name, one.heard[j].wire + DNS_HEADER_BYTES, sizeof(NAME));
		}
	}
	assert_true(equal_ports <= 2);
	assert_true(equal_ids <= 2);
	assert_true(equal_names <= 5);
	assert_true(low_ports > 0);
}

static void retries_have_their_own_port_and_id_too(void **state)
{
	(void)state;
	lose_patience();
	one.script = NULL;
	assert_int_equal(ask()->lookup, LOOKUP_TIMEOUT);
	assert_true(one.heard_udp >= 2);
	assert_int_not_equal(source_port(0), source_port(1));
	assert_true(load_be16(one.heard[0].wire) != load_be16(one.heard[1].wire) ||
		    (one.heard_udp > 2 && load_be16(one.heard[1].wire) != load_be16(one.heard[2].wire)));
	assert_int_equal(upstream_counters(up)->retries, one.heard_udp - 1);
}

static void the_case_stays_as_it_is_without_mixing(void **state)
{
	(void)state;
	options.mix_case = false;
	change_options();
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_memory_equal(one.heard[0].wire + DNS_HEADER_BYTES, NAME, sizeof(NAME));
}

// Forgeries: something wrong first, the right answer behind it.
static void send_changed(struct heard *heard, unsigned at, uint8_t flip)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, 0);
	fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_A, 300, "\6\6\6\6", 4);
	fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_A, 300, "\6\6\6\7", 4);
	wire[at] ^= flip;
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static unsigned change_at;
static uint8_t change_flip;

static void forge_then_answer(struct heard *heard)
{
	send_changed(heard, change_at, change_flip);
	fake_answers(heard);
}

static void a_reply_with_anything_wrong_is_passed_over_for_the_right_one(void **state)
{
	(void)state;
	static const struct {
		unsigned at;
		uint8_t flip;
	} changes[] = {
		{ 0, 1 }, { 1, 0x80 },			    // id
		{ 2, 0x80 },				    // QR
		{ 2, 0x08 },				    // opcode
		{ 4, 1 }, { 5, 1 }, { 5, 3 },		    // QDCOUNT
		{ DNS_HEADER_BYTES + 1, 0x20 },		    // case
		{ DNS_HEADER_BYTES + 1, 0x01 },		    // name
		{ DNS_HEADER_BYTES + sizeof(NAME) + 1, 1 }, // type
		{ DNS_HEADER_BYTES + sizeof(NAME) + 3, 2 }, // class
	};
	one.script = forge_then_answer;
	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		change_at = changes[i].at;
		change_flip = changes[i].flip;
		const struct outcome *o = ask();
		assert_int_equal(o->lookup, LOOKUP_ANSWER);
		assert_int_equal(o->answers, 1);
		assert_int_equal(upstream_counters(up)->mismatched, i + 1);
		assert_int_equal(upstream_counters(up)->retries, 0);
	}
}

static void send_short_ones_first(struct heard *heard)
{
	for (unsigned bytes = 0; bytes < DNS_HEADER_BYTES; bytes++)
		fake_send(heard, heard->wire, bytes);
	fake_answers(heard);
}

static void datagrams_shorter_than_a_header_are_passed_over(void **state)
{
	(void)state;
	one.script = send_short_ones_first;
	assert_int_equal(ask()->answers, 1);
	assert_int_equal(upstream_counters(up)->mismatched, DNS_HEADER_BYTES);
}

static void answer_from_elsewhere_too(struct heard *heard)
{
	struct heard forged = *heard;
	forged.server = &two; // the right reply, but from another socket
	send_changed(&forged, 0, 0);
	fake_answers(heard);
}

static void a_reply_from_another_port_is_never_seen(void **state)
{
	(void)state;
	one.script = answer_from_elsewhere_too;
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_ANSWER);
	assert_int_equal(o->answers, 1);
	assert_int_equal(upstream_counters(up)->replies, 1);
}

static void answer_in_lower_case(struct heard *heard)
{
	for (unsigned i = 0; i < heard->question_bytes; i++)
		heard->wire[DNS_HEADER_BYTES + i] = fold_byte(heard->wire[DNS_HEADER_BYTES + i]);
	fake_answers(heard);
}

static void a_server_that_loses_the_case_is_asked_over_tcp(void **state)
{
	(void)state;
	lose_patience();
	one.script = answer_in_lower_case;
	assert_int_equal(ask_name("\36aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\3com", false), ST_OK);
	wait_for_all();
	assert_int_equal(asked[0].lookup, LOOKUP_ANSWER);
	assert_true(one.heard_tcp >= 1);
	assert_true(upstream_counters(up)->mismatched >= 1);
	// it does so over TCP, too, so it is no forger; from now on it gets one case
	unsigned before = one.heard_tcp;
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(one.heard_tcp, before);
	assert_memory_equal(
		one.heard[one.heard_udp + before - 1].wire + DNS_HEADER_BYTES, NAME, sizeof(NAME));
}

static void forge_case_over_udp(struct heard *heard)
{
	if (heard->over_tcp)
		fake_answers(heard);
	else
		answer_in_lower_case(heard);
}

static void a_forger_of_the_case_does_not_end_its_mixing(void **state)
{
	(void)state;
	lose_patience();
	one.script = forge_case_over_udp;
	assert_int_equal(ask_name("\36aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\3com", false), ST_OK);
	wait_for_all();
	assert_int_equal(asked[0].lookup, LOOKUP_ANSWER);
	one.script = fake_answers;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	unsigned last = one.heard_udp + one.heard_tcp - 1;
	assert_true(memcmp(one.heard[last].wire + DNS_HEADER_BYTES, NAME, sizeof(NAME)) ||
		    memcmp(one.heard[last - 1].wire + DNS_HEADER_BYTES, NAME, sizeof(NAME)) ||
		    memcmp(one.heard[last - 2].wire + DNS_HEADER_BYTES, NAME, sizeof(NAME)));
}

static unsigned told_silent, told_answering;

static void on_server(void *ctx, const struct sockaddr *address, bool answers)
{
	(void)ctx;
	assert_int_equal(address->sa_family, AF_INET);
	if (answers)
		told_answering++;
	else
		told_silent++;
}

static void visit_server(void *ctx, const struct upstream_server *server)
{
	struct upstream_server *to = ctx;
	*to = *server;
}

static void silence_is_told_once(void **state)
{
	(void)state;
	struct upstream_server server;
	told_silent = told_answering = 0;
	options.on_server = on_server;
	lose_patience();
	one.script = NULL;
	assert_int_equal(ask()->lookup, LOOKUP_TIMEOUT);
	assert_int_equal(ask()->lookup, LOOKUP_TIMEOUT);
	assert_int_equal(told_silent, 1);
	upstream_each_server(up, visit_server, &server);
	assert_true(server.silent);
	assert_int_equal(server.sent, one.heard_udp);
	assert_int_equal(server.timeouts, one.heard_udp);
	one.script = fake_answers;
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	upstream_each_server(up, visit_server, &server);
	assert_false(server.silent);
	assert_true(server.srtt_us > 0);
	assert_int_equal(told_answering, 0); // too soon: a server that comes and goes fills no log
}

static void wait_for_idle_ports(void)
{
	while (upstream_counters(up)->sockets)
		event_base_loop(base, EVLOOP_ONCE);
}

static void many_questions_share_ports_and_few_do_not(void **state)
{
	(void)state;
	lose_patience();
	one.script = NULL;
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(ask_name(NAME, false), ST_OK);
	assert_int_equal(upstream_counters(up)->sockets, 40);
	wait_for_all();
	one.script = fake_answers;
	for (unsigned i = 0; i < 10; i++) {
		asked_count = 0;
		for (unsigned k = 0; k < ASKED_MAX; k++)
			assert_int_equal(ask_name(NAME, false), ST_OK);
		wait_for_all();
	}
	assert_true(upstream_counters(up)->sockets < 100);
	wait_for_idle_ports();
}

static void a_truncated_reply_is_fetched_over_tcp_from_the_same_server(void **state)
{
	(void)state;
	one.script = fake_truncates;
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_ANSWER);
	assert_int_equal(o->answers, 1);
	assert_int_equal(o->flags & FLAG_TC, 0);
	assert_int_equal(one.heard_udp, 1);
	assert_int_equal(one.heard_tcp, 1);
	assert_int_equal(two.heard_udp + two.heard_tcp, 0);
	assert_int_equal(upstream_counters(up)->retries, 0);
}

static void one_connection_carries_many_questions(void **state)
{
	(void)state;
	one.script = fake_truncates;
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(ask_name(NAME, false), ST_OK);
	wait_for_all();
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(asked[i].lookup, LOOKUP_ANSWER);
	for (unsigned i = 0; i < one.heard_udp + one.heard_tcp; i++)
		for (unsigned j = 0; j < i && one.heard[i].over_tcp; j++)
			assert_true(!one.heard[j].over_tcp ||
				    load_be16(one.heard[i].wire) != load_be16(one.heard[j].wire));
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(one.heard_tcp, 21);
	assert_int_equal(one.connections, 1);
	assert_int_equal(upstream_counters(up)->connections, 1);
}

static struct heard held[2];
static unsigned held_count;

static void answer_pairs_in_reverse(struct heard *heard)
{
	if (!heard->over_tcp) {
		fake_truncates(heard);
		return;
	}
	held[held_count++] = *heard;
	if (held_count == 2) {
		fake_answers(&held[1]);
		fake_answers(&held[0]);
	}
}

static void replies_over_tcp_may_come_in_any_order(void **state)
{
	(void)state;
	held_count = 0;
	one.script = answer_pairs_in_reverse;
	assert_int_equal(ask_name(NAME, false), ST_OK);
	assert_int_equal(ask_name("\4mail\7example\3com", false), ST_OK);
	wait_for_all();
	assert_int_equal(asked[0].lookup, LOOKUP_ANSWER);
	assert_int_equal(asked[1].lookup, LOOKUP_ANSWER);
	assert_int_equal(upstream_counters(up)->mismatched, 0);
}

static void forge_over_tcp_then_answer(struct heard *heard)
{
	if (heard->over_tcp)
		send_changed(heard, DNS_HEADER_BYTES + 1, 1);
	fake_truncates(heard);
}

static void a_wrong_question_over_tcp_is_passed_over(void **state)
{
	(void)state;
	one.script = forge_over_tcp_then_answer;
	assert_int_equal(ask()->answers, 1);
	assert_int_equal(upstream_counters(up)->mismatched, 1);
}

static void an_idle_connection_is_closed(void **state)
{
	(void)state;
	options.idle_ms = 10;
	change_options();
	one.script = fake_truncates;
	unsigned before = open_descriptors();
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	for (unsigned i = 0; i < 200 && one.open[0]; i++)
		event_base_loop(base, EVLOOP_ONCE);
	assert_null(one.open[0]);
	wait_for_idle_ports();
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(one.connections, 2);
}

static void hang_up_the_second_time(struct heard *heard)
{
	struct fake_server *server = heard->server;
	if (heard->over_tcp && server->heard_tcp == 2) {
		bufferevent_free(heard->connection);
		server->open[0] = NULL;
		return;
	}
	fake_truncates(heard);
}

static void a_question_on_a_used_connection_that_ends_goes_out_again(void **state)
{
	(void)state;
	one.script = hang_up_the_second_time;
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(one.connections, 2);
	assert_int_equal(one.heard_tcp, 3);
}

static void refused_tcp_is_a_clean_error_and_another_server_takes_over(void **state)
{
	(void)state;
	one.script = fake_truncates;
	fake_stop_tcp(&one);
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_IO);
	assert_true(o->after_ms < DEADLINE_MS);
	use_servers(2);
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(two.heard_udp, 1);
}

static void mute_over_tcp(struct heard *heard)
{
	if (!heard->over_tcp)
		fake_truncates(heard);
}

static void a_mute_connection_ends_at_the_deadline(void **state)
{
	(void)state;
	lose_patience();
	one.script = mute_over_tcp;
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_TIMEOUT);
	assert_true(o->after_ms >= SHORT_DEADLINE_MS - 10 && o->after_ms < SHORT_DEADLINE_MS + 1000);
}

static void silence_ends_at_the_deadline_after_several_tries(void **state)
{
	(void)state;
	lose_patience();
	one.script = NULL;
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_TIMEOUT);
	assert_true(o->after_ms >= SHORT_DEADLINE_MS - 10 && o->after_ms < SHORT_DEADLINE_MS + 1000);
	assert_in_range(one.heard_udp, 2, SHORT_DEADLINE_MS / SHORT_TIMEOUT_MS + 1);
	assert_int_equal(upstream_counters(up)->timeouts, one.heard_udp);
}

static void late_answer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	fake_answers(ctx);
}

static struct heard slow;

static void answer_the_first_one_slowly(struct heard *heard)
{
	static const struct timeval wait = { 0, (SHORT_TIMEOUT_MS + 20) * 1000 };
	if (heard->server->heard_udp != 1)
		return;
	slow = *heard;
	event_base_once(base, -1, EV_TIMEOUT, late_answer, &slow, &wait);
}

static void an_answer_to_an_earlier_try_still_counts(void **state)
{
	(void)state;
	lose_patience();
	one.script = answer_the_first_one_slowly;
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_ANSWER);
	assert_true(one.heard_udp >= 2);
}

static void the_second_server_takes_over_from_a_mute_one(void **state)
{
	(void)state;
	lose_patience();
	one.script = NULL;
	use_servers(2);
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_ANSWER);
	assert_true(one.heard_udp >= 1);
	assert_true(two.heard_udp >= 1);
}

static void a_mute_server_is_asked_rarely(void **state)
{
	(void)state;
	lose_patience();
	one.script = NULL;
	use_servers(2);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_true(two.heard_udp >= 40);
	assert_true(one.heard_udp <= 5);
}

static uint16_t say_rcode;

static void answer_rcode(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, say_rcode);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void every_other_rcode_sends_the_question_to_the_next_server(void **state)
{
	(void)state;
	one.script = answer_rcode;
	for (say_rcode = 1; say_rcode < 16; say_rcode++) {
		if (say_rcode == RCODE_NXDOMAIN)
			continue;
		use_servers(1);
		const struct outcome *o = ask();
		assert_int_equal(o->lookup, lookup_of_rcode(say_rcode));
		assert_true(o->lookup >= LOOKUP_FORMERR && o->lookup <= LOOKUP_OTHER_RCODE);
		assert_true(o->after_ms < DEADLINE_MS);
		use_servers(2);
		assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	}
	say_rcode = RCODE_NXDOMAIN;
	use_servers(1);
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_NXDOMAIN);
	assert_int_equal(o->rcode, RCODE_NXDOMAIN);
}

static void refuse_with_a_bare_header(struct heard *heard)
{
	heard->wire[2] |= 0x80;
	heard->wire[3] = RCODE_REFUSED;
	memset(heard->wire + 4, 0, 8);
	fake_send(heard, heard->wire, DNS_HEADER_BYTES);
}

static void an_error_without_the_question_counts(void **state)
{
	(void)state;
	one.script = refuse_with_a_bare_header;
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_REFUSED);
	assert_int_equal(one.heard_udp, 1);
}

static void knows_no_edns(struct heard *heard)
{
	if (heard->bytes == DNS_HEADER_BYTES + heard->question_bytes) {
		fake_answers(heard);
		return;
	}
	say_rcode = RCODE_FORMERR;
	answer_rcode(heard);
}

static void formerr_to_edns_is_followed_by_one_query_without(void **state)
{
	(void)state;
	one.script = knows_no_edns;
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(one.heard_udp, 2);
	assert_int_equal(upstream_counters(up)->without_edns, 1);
	// and the server is remembered for it
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(one.heard_udp, 3);
}

static void formerr_without_edns_is_final_for_that_server(void **state)
{
	(void)state;
	one.script = answer_rcode;
	say_rcode = RCODE_FORMERR;
	assert_int_equal(ask()->lookup, LOOKUP_FORMERR);
	assert_int_equal(one.heard_udp, 2);
}

static void answer_garbage(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, 0);
	fake_record(
		&w, 0, (unsigned)writer_bytes(&w), TYPE_A, 1, "\1\2\3\4", 4); // a name that points at itself
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void a_malformed_reply_fails_the_server(void **state)
{
	(void)state;
	one.script = answer_garbage;
	assert_int_equal(ask()->lookup, LOOKUP_LOCAL);
	assert_int_equal(upstream_counters(up)->malformed, 1);
	use_servers(2);
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
}

static void a_closed_port_is_noticed_at_once(void **state)
{
	(void)state;
	struct fake_server gone;
	fake_start(&gone, base, AF_INET, NULL);
	struct upstream_peer addresses[] = { peer_of(&gone), peer_of(&one) };
	fake_stop(&gone);
	assert_int_equal(upstream_set_servers(up, addresses, 1), ST_OK);
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_IO);
	assert_true(o->after_ms < TIMEOUT_MS);
	assert_int_equal(upstream_counters(up)->unreachable, 1);
	assert_int_equal(upstream_set_servers(up, addresses, 2), ST_OK);
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
}

static void more_questions_than_allowed_are_refused(void **state)
{
	(void)state;
	lose_patience();
	options.max_open = 3;
	change_options();
	one.script = NULL;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ask_name(NAME, false), ST_OK);
	assert_int_equal(ask_name(NAME, false), ST_FULL);
	assert_int_equal(upstream_counters(up)->full, 1);
	one.script = fake_answers;
	wait_for_all();
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
}

static void without_servers_there_is_nobody_to_ask(void **state)
{
	(void)state;
	use_servers(0);
	assert_int_equal(ask_name(NAME, false), ST_NOT_FOUND);
}

static int no_socket(void *ctx, int family, int type)
{
	(void)family;
	(void)type;
	++*(unsigned *)ctx;
	errno = EMFILE;
	return -1;
}

static void without_descriptors_the_question_fails_cleanly(void **state)
{
	(void)state;
	unsigned calls = 0;
	options.open_socket = no_socket;
	options.socket_ctx = &calls;
	change_options();
	assert_int_equal(ask_name(NAME, false), ST_SYSTEM);
	assert_int_equal(calls, 1);
	assert_int_equal(upstream_counters(up)->no_socket, 1);
	assert_int_equal(upstream_counters(up)->open, 0);
}

static void the_real_descriptor_limit_is_survived(void **state)
{
	(void)state;
	lose_patience();
	struct rlimit limit, low;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = open_descriptors() + 4;
	one.script = NULL;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	unsigned accepted = 0;
	for (unsigned i = 0; i < 20; i++)
		accepted += ask_name(NAME, false) == ST_OK;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(accepted, 20); // those without a port of their own share one
	assert_true(upstream_counters(up)->no_socket > 0);
	one.script = fake_answers;
	wait_for_all();
	assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
}

static void no_descriptor_is_left_behind(void **state)
{
	(void)state;
	lose_patience();
	use_servers(2);
	unsigned before = open_descriptors();
	one.script = NULL;
	two.script = answer_garbage;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(ask_name(NAME, false), ST_OK);
	wait_for_all();
	one.script = two.script = fake_answers;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(ask_name(NAME, false), ST_OK);
	wait_for_all();
	wait_for_idle_ports();
	assert_int_equal(open_descriptors(), before);
}

static void questions_under_way_are_cancelled_at_the_end(void **state)
{
	(void)state;
	one.script = mute_over_tcp;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(ask_name(NAME, false), ST_OK);
	for (unsigned i = 0; i < 20 && one.heard_tcp < 5; i++)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(one.heard_tcp, 5);
	upstream_free(up);
	up = NULL;
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(asked[i].calls, 1);
		assert_int_equal(asked[i].lookup, LOOKUP_CANCELLED);
	}
}

static void new_servers_are_for_new_questions(void **state)
{
	(void)state;
	lose_patience();
	one.script = answer_the_first_one_slowly;
	assert_int_equal(ask_name(NAME, false), ST_OK);
	struct upstream_peer address = peer_of(&two);
	assert_int_equal(upstream_set_servers(up, &address, 1), ST_OK);
	assert_int_equal(ask_name(NAME, false), ST_OK);
	wait_for_all();
	assert_int_equal(asked[0].lookup, LOOKUP_ANSWER);
	assert_int_equal(asked[1].lookup, LOOKUP_ANSWER);
	assert_true(one.heard_udp >= 2);
	assert_true(two.heard_udp >= 1);
}

static void new_servers_end_connections_only_with_their_questions(void **state)
{
	(void)state;
	one.script = fake_truncates;
	assert_int_equal(ask_name(NAME, false), ST_OK);
	for (unsigned i = 0; i < 20 && !one.heard_tcp; i++)
		event_base_loop(base, EVLOOP_ONCE);
	struct upstream_peer address = peer_of(&two);
	assert_int_equal(upstream_set_servers(up, &address, 1), ST_OK);
	wait_for_all();
	assert_int_equal(asked[0].lookup, LOOKUP_ANSWER);
	for (unsigned i = 0; i < 20 && one.open[0]; i++)
		event_base_loop(base, EVLOOP_ONCE);
	assert_null(one.open[0]);
}

static void tcp_from_the_start_never_sends_a_datagram(void **state)
{
	(void)state;
	struct upstream_peer peer = peer_of(&one);
	peer.protocol = PEER_TCP;
	assert_int_equal(upstream_set_servers(up, &peer, 1), ST_OK);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(ask_name(NAME, false), ST_OK);
	wait_for_all();
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(asked[i].lookup, LOOKUP_ANSWER);
	assert_int_equal(one.heard_udp, 0);
	assert_int_equal(one.heard_tcp, 20);
	assert_int_equal(one.connections, 1);
}

static void guess_ids(struct heard *heard)
{
	if (heard->over_tcp) {
		fake_answers(heard);
		return;
	}
	for (unsigned i = 1; i <= 50; i++) {
		struct heard forged = *heard;
		store_be16(forged.wire, (uint16_t)(load_be16(heard->wire) + i));
		send_changed(&forged, 0, 0);
	}
	send_changed(heard, 0, 0); // one guess is right in the end
}

static void a_flood_of_guessed_ids_sends_the_question_to_tcp(void **state)
{
	(void)state;
	one.script = guess_ids;
	const struct outcome *o = ask();
	assert_int_equal(o->lookup, LOOKUP_ANSWER);
	assert_int_equal(o->answers, 1); // the true answer: forgeries have two
	assert_int_equal(one.heard_udp, 1);
	assert_int_equal(one.heard_tcp, 1);
	assert_int_equal(upstream_counters(up)->floods, 1);
}

static void a_question_sends_no_more_messages_than_its_quota(void **state)
{
	(void)state;
	lose_patience();
	options.max_tries = 3;
	change_options();
	use_servers(2);
	one.script = two.script = NULL;
	assert_int_equal(ask()->lookup, LOOKUP_TIMEOUT);
	assert_int_equal(one.heard_udp + two.heard_udp, 3);
	assert_int_equal(upstream_counters(up)->exhausted, 1);
	// the worst of everything: case lost, EDNS refused, truncated
	one.script = two.script = knows_no_edns;
	options.max_tries = 1;
	change_options();
	unsigned before = one.heard_udp + two.heard_udp;
	use_servers(1);
	assert_int_not_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(one.heard_udp + two.heard_udp, before + 1);
}

static uint64_t heard_at_ms[16];
static unsigned heard_from[16], heard_all;

static void note_time(struct heard *heard)
{
	if (heard_all < 16) {
		heard_from[heard_all] = heard->server == &two;
		heard_at_ms[heard_all++] = now_ms() - asked_at_ms;
	}
}

static void tries_follow_their_plan(unsigned servers, const unsigned *expected_ms, unsigned count)
{
	heard_all = 0;
	one.script = two.script = note_time;
	options.timeouts_ms[0] = 20;
	options.timeouts_ms[1] = 60;
	options.timeouts_ms[2] = 220;
	options.timeouts_ms[3] = 900;
	options.timeout_count = 4;
	options.deadline_ms = 1200 * servers;
	change_options();
	use_servers(servers);
	assert_int_equal(ask()->lookup, LOOKUP_TIMEOUT);
	assert_in_range(asked[asked_count - 1].after_ms, 1200 * servers - 2, 1200 * servers + 150);
	assert_int_equal(heard_all, count);
	for (unsigned i = 0; i < count; i++) {
		assert_in_range(heard_at_ms[i], expected_ms[i] ? expected_ms[i] - 2 : 0, expected_ms[i] + 60);
		assert_true(i == 0 || servers == 1 || heard_from[i] != heard_from[i - 1]);
	}
}

// 1 3 11 45 of the library's plan, fifty times as fast.
static void one_mute_server_is_asked_at_0_1_4_15(void **state)
{
	(void)state;
	static const unsigned expected_ms[] = { 0, 20, 80, 300 };
	tries_follow_their_plan(1, expected_ms, 4);
}

static void two_mute_servers_are_asked_by_turns_at_0_1_2_5_8_19_30_75(void **state)
{
	(void)state;
	static const unsigned expected_ms[] = { 0, 20, 40, 100, 160, 380, 600, 1500 };
	tries_follow_their_plan(2, expected_ms, 8);
}

static void a_silent_server_is_probed_and_no_question_waits_for_it(void **state)
{
	(void)state;
	lose_patience();
	use_servers(2);
	one.script = NULL;
	struct upstream_server servers[1];
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ask()->lookup, LOOKUP_ANSWER);
	assert_int_equal(one.heard_udp, 1);
	use_servers(1); // the first is the mute one
	options.deadline_ms = 20; // its second silence
	change_options();
	assert_int_equal(ask()->lookup, LOOKUP_TIMEOUT);
	upstream_each_server(up, visit_server, servers);
	assert_true(servers[0].silent);
	one.script = fake_answers;
	uint64_t began = now_ms();
	while (servers[0].silent && now_ms() - began < 4000) { // nobody asks meanwhile
		event_base_loop(base, EVLOOP_ONCE);
		upstream_each_server(up, visit_server, servers);
	}
	assert_false(servers[0].silent);
	const struct upstream_counters *c = upstream_counters(up);
	assert_in_range(c->probes, 1, 3);
	const struct heard *h = &one.heard[one.heard_udp - 1];
	assert_memory_equal(h->wire + DNS_HEADER_BYTES, "\0\0\2\0\1", 5); // . NS
	assert_int_equal(c->open, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_question_goes_out_with_rd_edns_and_our_size_and_its_answer_comes_back),
		TEST(do_and_cd_travel_on),
		TEST(an_ip6_server_is_asked_over_ip6),
		TEST(every_query_has_its_own_port_id_and_case),
		TEST(retries_have_their_own_port_and_id_too),
		TEST(the_case_stays_as_it_is_without_mixing),
		TEST(a_reply_with_anything_wrong_is_passed_over_for_the_right_one),
		TEST(datagrams_shorter_than_a_header_are_passed_over),
		TEST(a_reply_from_another_port_is_never_seen),
		TEST(a_server_that_loses_the_case_is_asked_over_tcp),
		TEST(a_forger_of_the_case_does_not_end_its_mixing),
		TEST(silence_is_told_once),
		TEST(many_questions_share_ports_and_few_do_not),
		TEST(a_truncated_reply_is_fetched_over_tcp_from_the_same_server),
		TEST(one_connection_carries_many_questions),
		TEST(replies_over_tcp_may_come_in_any_order),
		TEST(a_wrong_question_over_tcp_is_passed_over),
		TEST(an_idle_connection_is_closed),
		TEST(a_question_on_a_used_connection_that_ends_goes_out_again),
		TEST(refused_tcp_is_a_clean_error_and_another_server_takes_over),
		TEST(a_mute_connection_ends_at_the_deadline),
		TEST(silence_ends_at_the_deadline_after_several_tries),
		TEST(an_answer_to_an_earlier_try_still_counts),
		TEST(the_second_server_takes_over_from_a_mute_one),
		TEST(a_mute_server_is_asked_rarely),
		TEST(every_other_rcode_sends_the_question_to_the_next_server),
		TEST(an_error_without_the_question_counts),
		TEST(formerr_to_edns_is_followed_by_one_query_without),
		TEST(formerr_without_edns_is_final_for_that_server),
		TEST(a_malformed_reply_fails_the_server),
		TEST(a_closed_port_is_noticed_at_once),
		TEST(more_questions_than_allowed_are_refused),
		TEST(without_servers_there_is_nobody_to_ask),
		TEST(without_descriptors_the_question_fails_cleanly),
		TEST(the_real_descriptor_limit_is_survived),
		TEST(no_descriptor_is_left_behind),
		TEST(questions_under_way_are_cancelled_at_the_end),
		TEST(new_servers_are_for_new_questions),
		TEST(new_servers_end_connections_only_with_their_questions),
		TEST(tcp_from_the_start_never_sends_a_datagram),
		TEST(a_flood_of_guessed_ids_sends_the_question_to_tcp),
		TEST(a_question_sends_no_more_messages_than_its_quota),
		TEST(one_mute_server_is_asked_at_0_1_4_15),
		TEST(two_mute_servers_are_asked_by_turns_at_0_1_2_5_8_19_30_75),
		TEST(a_silent_server_is_probed_and_no_question_waits_for_it),
	};
	return cmocka_run_group_tests_name("upstream", tests, NULL, NULL) ? 1 : 0;
}
