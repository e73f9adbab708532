// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pollux/bytes.h>

#include "query_log.h"

static struct event_base *base;
static struct query_log *query_log;
static struct config config;
static char path[] = "/tmp/query_log_test.XXXXXX";
static char text[1 << 16];
static uint8_t wire[512];

static int set_up(void **state)
{
	(void)state;
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	close(mkstemp(path));
	config = (struct config){ .log_queries = 1, .log_sample = 1, .log_query_file = path };
	base = event_base_new();
	query_log = query_log_new(base, &config);
	return query_log ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	query_log_free(query_log);
	event_base_free(base);
	unlink(path);
	return 0;
}

static const char *written(void)
{
	event_base_dispatch(base); // until the held lines are out
	FILE *file = fopen(path, "re");
	size_t bytes = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	if (file)
		fclose(file);
	text[bytes] = '\0';
	return text;
}

// One A record for a name.
static unsigned write_answer(const char *name, size_t name_bytes, uint16_t flags)
{
	struct writer w = writer_of(wire, sizeof(wire));
	write_be16(&w, 0x1234);
	write_be16(&w, (uint16_t)(FLAG_QR | flags));
	write_bytes(&w, "\0\1\0\1\0\0\0\0", 8);
	write_bytes(&w, name, name_bytes);
	write_bytes(&w, "\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x12\0\1", 20);
	assert_false(w.failed);
	return (unsigned)writer_bytes(&w);
}

static void log_answer(unsigned bytes)
{
	struct sockaddr_in client = { .sin_family = AF_INET, .sin_port = htons(4000), .sin_addr.s_addr = htonl(0xc6120007) };
	const struct logged_answer a = { .client = (struct sockaddr *)&client,
		.transport = OVER_TCP,
		.wire = wire,
		.bytes = bytes,
		.rcode = load_be16(wire + 2) & FLAG_RCODE,
		.step = "forwarders",
		.note = "198.18.0.3@53",
		.took_us = 42 };
	query_log_answer(query_log, &a);
}

#define NAME "\3www\7example"

static void a_short_line_says_who_asked_what_and_what_came_of_it(void **state)
{
	(void)state;
	log_answer(write_answer(NAME, sizeof(NAME), FLAG_RD));
	const char *line = written();
	assert_true(strlen(line) > 24);
	assert_string_equal(line + 24,
		" 198.18.0.7@4000 tcp www.example. IN A NOERROR 1 answers 45 octets 42 us forwarders (198.18.0.3@53)\n");
}

static void level_2_shows_header_question_and_records(void **state)
{
	(void)state;
	query_log_set_level(query_log, 2);
	log_answer(write_answer(NAME, sizeof(NAME), FLAG_RD | FLAG_AA | FLAG_AD));
	const char *found = strchr(written(), '\n');
	assert_non_null(found);
	assert_string_equal(found,
		"\n  header id 4660 qr aa rd ad\n  question www.example. IN A\n  answer www.example. 60 IN A 198.18.0.1\n");
}

static void level_0_writes_nothing(void **state)
{
	(void)state;
	query_log_set_level(query_log, 0);
	log_answer(write_answer(NAME, sizeof(NAME), 0));
	assert_string_equal(written(), "");
	assert_int_equal(query_log_counters(query_log)->answers, 0);
}

static void nothing_a_stranger_sends_is_unprintable_in_a_line(void **state)
{
	(void)state;
	query_log_set_level(query_log, 2);
	for (unsigned c = 0; c < 256; c++) {
		const char name[] = { 3, (char)c, '\n', (char)c, 0 };
		log_answer(write_answer(name, sizeof(name), 0));
	}
	unsigned lines = 0;
	for (const char *at = written(); *at; at++) {
		assert_true(*at == '\n' || (*at >= ' ' && *at <= '~'));
		lines += *at == '\n';
	}
	assert_int_equal(lines, 256 * 4);
}

static void of_so_many_answers_one_is_written(void **state)
{
	(void)state;
	config.log_sample = 5;
	query_log_reconfigure(query_log, &config);
	for (unsigned i = 0; i < 23; i++)
		log_answer(write_answer(NAME, sizeof(NAME), 0));
	assert_int_equal(query_log_counters(query_log)->answers, 4);
}

static void a_message_that_is_cut_anywhere_is_survived(void **state)
{
	(void)state;
	query_log_set_level(query_log, 2);
	unsigned bytes = write_answer(NAME, sizeof(NAME), 0);
	for (unsigned shorter = 0; shorter < bytes; shorter++)
		log_answer(shorter);
	assert_int_equal(query_log_counters(query_log)->answers, bytes - DNS_HEADER_BYTES);
	written();
}

static void a_full_disk_loses_lines_and_counts_them(void **state)
{
	(void)state;
	config.log_query_file = (char *)(uintptr_t)"/dev/full";
	query_log_reconfigure(query_log, &config);
	for (unsigned i = 0; i < 3; i++)
		log_answer(write_answer(NAME, sizeof(NAME), 0));
	event_base_dispatch(base);
	assert_int_equal(query_log_counters(query_log)->lost, 3);
	config.log_query_file = path;
	query_log_reconfigure(query_log, &config);
	log_answer(write_answer(NAME, sizeof(NAME), 0));
	assert_non_null(strstr(written(), "www.example."));
}

static void a_reload_leaves_a_level_that_was_set_alone_unless_the_file_changed_it(void **state)
{
	(void)state;
	query_log_set_level(query_log, 2);
	query_log_reconfigure(query_log, &config);
	assert_int_equal(query_log_level(query_log), 2);
	config.log_queries = 0;
	query_log_reconfigure(query_log, &config);
	assert_int_equal(query_log_level(query_log), 0);
}

// As a worker sends it: headers of the answer, then the answer.
static unsigned frame_of(uint8_t *frame, bool ip6, struct msg *msg)
{
	unsigned bytes = write_answer(NAME, sizeof(NAME), FLAG_AA), network = 14, dns = network + (ip6 ? 48u : 28u);
	memset(frame, 0, 256);
	frame[network] = ip6 ? 0x60 : 0x45;
	memcpy(frame + network + (ip6 ? 24 : 16), ip6 ? "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7" : "\xc6\x12\0\x08", ip6 ? 16 : 4);
	store_be16(frame + dns - 6, 53000);
	memcpy(frame + dns, wire, bytes);
	*msg = (struct msg){ .type = MSG_LOG,
		.bytes = (uint16_t)(dns + bytes),
		.network_at = (uint16_t)network,
		.dns_at = (uint16_t)dns,
		.took_us = 7,
		.source = 1 + STEP_AUTHORITIES };
	return dns + bytes;
}

static void a_workers_copy_becomes_the_same_line(void **state)
{
	(void)state;
	struct msg msg;
	uint8_t frame[256];
	frame_of(frame, false, &msg);
	query_log_take(query_log, &msg, frame);
	frame_of(frame, true, &msg);
	msg.source = 999;
	query_log_take(query_log, &msg, frame);
	const char *first = written(), *second = strchr(first, '\n');
	assert_non_null(strstr(first, " 198.18.0.8@53000 udp www.example. IN A NOERROR 1 answers 45 octets 7 us authorities\n"));
	assert_non_null(strstr(second, " 2001:db8::7@53000 udp www.example. IN A NOERROR 1 answers 45 octets 7 us -\n"));
}

static void a_copy_with_headers_that_cannot_be_is_counted(void **state)
{
	(void)state;
	struct msg msg;
	uint8_t frame[256];
	frame_of(frame, false, &msg);
	frame[14] = 0x65; // IPv6 in the room of an IPv4 header
	query_log_take(query_log, &msg, frame);
	frame[14] = 0;
	query_log_take(query_log, &msg, frame);
	assert_int_equal(query_log_counters(query_log)->malformed, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_short_line_says_who_asked_what_and_what_came_of_it),
		TEST(level_2_shows_header_question_and_records),
		TEST(level_0_writes_nothing),
		TEST(nothing_a_stranger_sends_is_unprintable_in_a_line),
		TEST(of_so_many_answers_one_is_written),
		TEST(a_message_that_is_cut_anywhere_is_survived),
		TEST(a_full_disk_loses_lines_and_counts_them),
		TEST(a_reload_leaves_a_level_that_was_set_alone_unless_the_file_changed_it),
		TEST(a_workers_copy_becomes_the_same_line),
		TEST(a_copy_with_headers_that_cannot_be_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
