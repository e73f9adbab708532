// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <signal.h>
#include <string.h>

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "certificates.h"
#include "client/upstream.h"
#include "fake_server.h"

#define NAME "\3www\7example\3com"
#define SERVER_NAME "dns.example.net"
#define DAY_S 86400

static struct authority authority, stranger;
static struct event_base *base;
static struct fake_server server;
static struct upstream *up;
static struct upstream_options options;
static uint8_t pin[32];
static SSL_CTX *context;
static unsigned open_count, answered;
static enum lookup last;
static enum peer_protocol last_over;
static char trouble[TLS_PROBLEM_BYTES];
static unsigned troubles;

static void on_done(void *ctx, const struct upstream_end *end)
{
	(void)ctx;
	last = end->lookup;
	last_over = end->over;
	answered += end->lookup == LOOKUP_ANSWER;
	if (!--open_count)
		event_base_loopbreak(base);
}

static void start_question(void)
{
	const struct upstream_question question = { (const uint8_t *)NAME, TYPE_A, CLASS_IN, false, false };
	if (upstream_ask(up, &question, on_done, NULL) == ST_OK)
		open_count++;
	else
		last = LOOKUP_IO;
}

static enum lookup ask(void)
{
	start_question();
	if (open_count)
		event_base_dispatch(base);
	assert_int_equal(open_count, 0);
	return last;
}

static void on_trouble(void *ctx, const struct sockaddr *address, const char *reason)
{
	(void)ctx;
	assert_int_equal(address->sa_family, AF_INET);
	strlcpy(trouble, reason, sizeof(trouble));
	troubles++;
}

static void serve(const struct authority *signer, const char *name, long valid_s)
{
	SSL_CTX_free(context);
	context = server_context(signer, name, valid_s, pin);
	server.tls = context;
}

static void expect(const char *name, const char *ca_file, const uint8_t (*pins)[32], unsigned pin_count)
{
	char problem[TLS_PROBLEM_BYTES];
	const struct tls_options wanted = { name, ca_file, pins, pin_count };
	struct tls_profile *profile = tls_profile_new(&wanted, problem);
	assert_non_null(profile);
	const struct upstream_peer peer = { .address = fake_address(&server), .protocol = PEER_TLS, .tls = profile };
	assert_int_equal(upstream_set_servers(up, &peer, 1), ST_OK);
	tls_profile_drop(profile);
}

static int set_up(void **state)
{
	(void)state;
	base = event_base_new();
	open_count = answered = troubles = 0;
	trouble[0] = 0;
	options = (struct upstream_options){ .timeouts_ms = { 1000 },
		.timeout_count = 1,
		.deadline_ms = 3000,
		.idle_ms = 1000,
		.max_open = 1000,
		.max_per_server = 1000,
		.max_tries = 8,
		.udp_size = 1232,
		.mix_case = true,
		.on_trouble = on_trouble };
	fake_start(&server, base, AF_INET, fake_answers);
	up = upstream_new(base, &options);
	serve(&authority, SERVER_NAME, DAY_S);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	upstream_free(up);
	fake_stop(&server);
	event_base_free(base);
	SSL_CTX_free(context);
	context = NULL;
	return 0;
}

static void a_question_over_tls_is_padded_and_answered_and_nothing_goes_in_clear_text(void **state)
{
	(void)state;
	expect(SERVER_NAME, authority.path, NULL, 0);
	assert_int_equal(ask(), LOOKUP_ANSWER);
	assert_int_equal(last_over, PEER_TLS);
	assert_int_equal(server.heard_udp, 0);
	assert_int_equal(server.heard_tcp, 1);
	assert_int_equal(server.heard[0].bytes, 128); // RFC 8467 4.1
	assert_int_equal(upstream_counters(up)->tls, 1);
	assert_int_equal(troubles, 0);
}

static void one_connection_serves_many_questions(void **state)
{
	(void)state;
	expect(SERVER_NAME, authority.path, NULL, 0);
	for (unsigned i = 0; i < 100; i++)
		start_question();
	ask();
	assert_int_equal(answered, 101);
	assert_int_equal(server.connections, 1);
}

static struct heard held[200];
static unsigned held_count;

static void hold(struct heard *heard)
{
	held[held_count++] = *heard;
	if (held_count < 150)
		return;
	while (held_count)
		fake_answers(&held[--held_count]); // and in reverse
}

static void a_full_connection_is_joined_by_another_and_answers_come_in_any_order(void **state)
{
	(void)state;
	held_count = 0;
	server.script = hold;
	expect(SERVER_NAME, authority.path, NULL, 0);
	for (unsigned i = 0; i < 149; i++)
		start_question();
	ask();
	assert_int_equal(answered, 150);
	assert_int_equal(server.connections, 2);
}

static void refused(const char *why)
{
	assert_int_equal(ask(), LOOKUP_IO);
	if (!strstr(trouble, why))
		fail_msg("%s: not for %s", trouble, why);
	assert_int_equal(server.heard_udp + server.heard_tcp, 0);
}

static void a_certificate_for_another_name_is_refused(void **state)
{
	(void)state;
	expect("other.example.net", authority.path, NULL, 0);
	refused("certificate: hostname mismatch");
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
	(void)state;
	expect(SERVER_NAME, stranger.path, NULL, 0);
	refused("certificate: unable to get local issuer certificate");
}

static void a_certificate_that_the_system_does_not_know_is_refused(void **state)
{
	(void)state;
	expect(SERVER_NAME, NULL, NULL, 0);
	refused("certificate: ");
}

static void an_expired_certificate_is_refused(void **state)
{
	(void)state;
	serve(&authority, SERVER_NAME, -60);
	expect(SERVER_NAME, authority.path, NULL, 0);
	refused("certificate: certificate has expired");
}

static void a_pinned_key_needs_no_authority(void **state)
{
	(void)state;
	uint8_t pins[2][32] = { { 1 } };
	memcpy(pins[1], pin, sizeof(pin));
	expect(NULL, NULL, (const uint8_t(*)[32])pins, 2);
	assert_int_equal(ask(), LOOKUP_ANSWER);
}

static void another_key_than_the_pinned_is_refused(void **state)
{
	(void)state;
	const uint8_t pins[1][32] = { { 1 } };
	expect(NULL, NULL, pins, 1);
	refused("no pin fits");
}

static void name_and_pin_must_both_hold(void **state)
{
	(void)state;
	const uint8_t wrong[1][32] = { { 1 } };
	uint8_t right[1][32];
	memcpy(right[0], pin, sizeof(pin));
	expect(SERVER_NAME, authority.path, wrong, 1);
	refused("no pin fits");
	expect("other.example.net", authority.path, (const uint8_t(*)[32])right, 1);
	refused("hostname mismatch");
	expect(SERVER_NAME, authority.path, (const uint8_t(*)[32])right, 1);
	assert_int_equal(ask(), LOOKUP_ANSWER);
}

static void visit_server(void *ctx, const struct upstream_server *view)
{
	char *to = ctx;
	strlcpy(to, view->trouble, TLS_PROBLEM_BYTES);
}

static void trouble_is_told_once_and_held_off_and_seen_in_the_list(void **state)
{
	(void)state;
	char seen[TLS_PROBLEM_BYTES];
	expect("other.example.net", authority.path, NULL, 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(ask(), LOOKUP_IO);
	assert_int_equal(troubles, 1);
	assert_true(upstream_counters(up)->connections <= 2); // not one for each question
	upstream_each_server(up, visit_server, seen);
	assert_non_null(strstr(seen, "hostname mismatch"));
	expect(SERVER_NAME, authority.path, NULL, 0); // another profile starts afresh
	assert_int_equal(ask(), LOOKUP_ANSWER);
	upstream_each_server(up, visit_server, seen);
	assert_string_equal(seen, "");
}

static void a_server_without_tls_is_refused(void **state)
{
	(void)state;
	server.tls = NULL;
	options.timeouts_ms[0] = 100;
	options.deadline_ms = 500;
	upstream_set_options(up, &options);
	expect(SERVER_NAME, authority.path, NULL, 0);
	assert_int_not_equal(ask(), LOOKUP_ANSWER);
	assert_int_equal(server.heard_udp, 0);
	assert_true(*trouble);
}

static void nobody_there_is_a_network_error(void **state)
{
	(void)state;
	fake_stop_tcp(&server);
	expect(SERVER_NAME, authority.path, NULL, 0);
	assert_int_equal(ask(), LOOKUP_IO);
	assert_int_equal(server.heard_udp, 0);
	assert_true(*trouble);
}

static void close_now(struct heard *heard)
{
	for (unsigned i = 0; i < heard->server->connections; i++) {
		if (heard->server->open[i] == heard->connection)
			heard->server->open[i] = NULL;
	}
	bufferevent_free(heard->connection);
}

static void close_in_the_middle(struct heard *heard)
{
	static const uint8_t piece[] = { 0, 60, 1, 2, 3 };
	if (heard->server->connections > 1) {
		fake_answers(heard);
		return;
	}
	bufferevent_write(heard->connection, piece, sizeof(piece));
	bufferevent_flush(heard->connection, EV_WRITE, BEV_FLUSH);
	close_now(heard);
}

static void a_connection_that_ends_in_the_middle_of_a_message_brings_no_answer(void **state)
{
	(void)state;
	server.script = close_in_the_middle;
	expect(SERVER_NAME, authority.path, NULL, 0);
	assert_int_equal(ask(), LOOKUP_IO);
	assert_int_equal(ask(), LOOKUP_ANSWER);
}

static void answer_and_close(struct heard *heard)
{
	if (heard->server->heard_tcp == 2)
		close_now(heard);
	else
		fake_answers(heard);
}

static void a_used_connection_that_ends_is_opened_again_with_the_session_resumed(void **state)
{
	(void)state;
	server.script = answer_and_close;
	expect(SERVER_NAME, authority.path, NULL, 0);
	assert_int_equal(ask(), LOOKUP_ANSWER);
	assert_int_equal(ask(), LOOKUP_ANSWER);
	assert_int_equal(server.connections, 2);
	assert_int_equal(server.resumed, 1);
	assert_int_equal(upstream_counters(up)->resumed, 1);
}

static void old_tls_is_refused(void **state)
{
	(void)state;
	SSL_CTX_set_security_level(context, 0);
	SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION);
	expect(SERVER_NAME, authority.path, NULL, 0);
	assert_int_equal(ask(), LOOKUP_IO);
	assert_non_null(strstr(trouble, "TLS: "));
}

static void tls_1_2_is_good_enough(void **state)
{
	(void)state;
	SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
	expect(SERVER_NAME, authority.path, NULL, 0);
	assert_int_equal(ask(), LOOKUP_ANSWER);
}

static void a_profile_needs_somebody_to_trust_and_a_readable_file(void **state)
{
	(void)state;
	char problem[TLS_PROBLEM_BYTES];
	const struct tls_options nobody = { NULL, NULL, NULL, 0 };
	assert_null(tls_profile_new(&nobody, problem));
	assert_non_null(strstr(problem, "neither a name nor a pin"));
	const struct tls_options missing = { SERVER_NAME, "/nonexistent/ca.pem", NULL, 0 };
	assert_null(tls_profile_new(&missing, problem));
	assert_non_null(strstr(problem, "/nonexistent/ca.pem"));
	const struct tls_options empty = { SERVER_NAME, "/dev/null", NULL, 0 };
	assert_null(tls_profile_new(&empty, problem));
	assert_non_null(strstr(problem, "/dev/null"));
}

static int make_authorities(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	authority_make(&authority);
	authority_make(&stranger);
	return 0;
}

static int drop_authorities(void **state)
{
	(void)state;
	authority_drop(&authority);
	authority_drop(&stranger);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_question_over_tls_is_padded_and_answered_and_nothing_goes_in_clear_text),
		TEST(one_connection_serves_many_questions),
		TEST(a_full_connection_is_joined_by_another_and_answers_come_in_any_order),
		TEST(a_certificate_for_another_name_is_refused),
		TEST(a_certificate_of_another_authority_is_refused),
		TEST(a_certificate_that_the_system_does_not_know_is_refused),
		TEST(an_expired_certificate_is_refused),
		TEST(a_pinned_key_needs_no_authority),
		TEST(another_key_than_the_pinned_is_refused),
		TEST(name_and_pin_must_both_hold),
		TEST(trouble_is_told_once_and_held_off_and_seen_in_the_list),
		TEST(a_server_without_tls_is_refused),
		TEST(nobody_there_is_a_network_error),
		TEST(a_connection_that_ends_in_the_middle_of_a_message_brings_no_answer),
		TEST(a_used_connection_that_ends_is_opened_again_with_the_session_resumed),
		TEST(old_tls_is_refused),
		TEST(tls_1_2_is_good_enough),
		TEST(a_profile_needs_somebody_to_trust_and_a_readable_file),
	};
	return cmocka_run_group_tests_name("dot", tests, make_authorities, drop_authorities) ? 1 : 0;
}
