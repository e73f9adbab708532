// SPDX-License-Identifier: BSD-3-Clause
// The cache step in a whole chain, with a clock that stands still unless the test moves it. The name server is real,
// on loopback, and says what the scene wants.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pollux/rrtype.h>

#include "cache_file.h"
#include "fake_server.h"
#include "findings.h"
#include "learned.h"

#define START_S 100000u // of the clock
#define NAME "\3www\7example\3com"
#define REPLIES_MAX 64

enum says { ANSWERS, NO_SUCH_NAME, NO_SUCH_TYPE, FAILS, NOTHING };

static struct event_base *base;
static struct fake_server server;
static struct catalog *catalog;
static struct config *config;
static struct resolver *resolver;
static struct learned *learned;
static uint64_t clock_ms;

// What the name server says now.
static enum says says;
static uint32_t says_ttl;

static struct reply_seen {
	bool done;
	unsigned rcode, answers, flags;
	uint32_t ttl; // of the first record
	int why;      // -1: none
} seen[REPLIES_MAX];
static unsigned seen_count, waiting;

static uint64_t now_ms(void *ctx)
{
	(void)ctx;
	return clock_ms;
}

static void set_second(unsigned second)
{
	clock_ms = (START_S + second) * UINT64_C(1000);
}

// --- the name server ---

static void script(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w;
	if (says == NOTHING)
		return;
	w = fake_reply(wire, sizeof(wire), heard, says == NO_SUCH_NAME ? RCODE_NXDOMAIN : says == FAILS ? RCODE_SERVFAIL : 0);
	if (says == ANSWERS)
		fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_A, says_ttl, "\xc0\0\2\1", 4);
	if (says == NO_SUCH_NAME || says == NO_SUCH_TYPE) {
		uint8_t soa[22] = { 0 };
		store_be32(soa + 18, says_ttl);
		fake_record(&w, 1, DNS_HEADER_BYTES, TYPE_SOA, 86400, soa, sizeof(soa));
	}
	if (heard->bytes > heard->question_bytes + DNS_HEADER_BYTES)
		fake_opt(&w);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

// --- the client ---

// RFC 8914 2: the code in an option, with its text, that ends the message.
static int reason_of(const uint8_t *wire, unsigned bytes)
{
	static const uint8_t head[] = { 0, 15 };
	for (unsigned i = DNS_HEADER_BYTES; i + 6 <= bytes; i++) {
		if (memcmp(wire + i, head, sizeof(head)) == 0 && load_be16(wire + i + 2) == bytes - i - 4)
			return load_be16(wire + i + 4);
	}
	return -1;
}

static void on_done(void *ctx, const uint8_t *wire, unsigned bytes)
{
	struct reply_seen *to = ctx;
	struct message m;
	waiting--;
	to->done = true;
	event_base_loopbreak(base);
	if (!wire)
		return;
	assert_int_equal(message_read(&m, wire, bytes), ST_OK);
	to->rcode = m.rcode;
	to->flags = m.flags;
	to->answers = m.section_at[SECTION_ANSWER + 1];
	to->ttl = m.section_at[SECTION_COUNT] ? m.rr[0].ttl : 0;
	to->why = reason_of(wire, bytes);
	message_clear(&m);
}

static struct reply_seen *start(const char *name, uint16_t type, uint16_t flags, bool dnssec_ok, enum transport transport)
{
	uint8_t wire[QUERY_WIRE_BYTES], question[NAME_MAX_BYTES + 4];
	unsigned bytes = (unsigned)strlen(name) + 1;
	struct asker asker = { .transport = transport };
	memcpy(question, name, bytes);
	store_be16(question + bytes, type);
	store_be16(question + bytes + 2, CLASS_IN);
	assert_true(seen_count < REPLIES_MAX);
	struct reply_seen *to = &seen[seen_count++];
	*to = (struct reply_seen){ .why = -1 };
	waiting++;
	resolver_ask(resolver, &asker, wire, message_write_query(wire, 7, flags, question, bytes + 4, 1232, dnssec_ok, 0), on_done,
		to);
	return to;
}

static const struct reply_seen *finish(const struct reply_seen *reply)
{
	while (!reply->done)
		event_base_loop(base, EVLOOP_ONCE);
	return reply;
}

static const struct reply_seen *ask(const char *name)
{
	return finish(start(name, TYPE_A, FLAG_RD, false, OVER_UDP));
}

static const struct learned_counters *counters(void)
{
	return learned_counters(learned);
}

// Until nothing is under way any more.
static void settle(void)
{
	while (resolver_counters(resolver)->open || counters()->prefetches_open)
		event_base_loop(base, EVLOOP_ONCE);
}

// --- set up ---

static struct config *read_config(const char *forward, const char *cache, const char *more)
{
	struct report report = { 0 };
	struct config *read;
	char text[512];
	snprintf(text, sizeof(text),
		"forward: {servers: [127.0.0.1@%u], via: management, timeout: 20ms, deadline: 60ms%s}\n"
		"cache: {size: 1MiB, negative-max-ttl: 100s%s}\n%s",
		server.port, forward, cache, more);
	assert_int_equal(config_read_text(&read, text, strlen(text), "test", &report), ST_OK);
	return read;
}

static void reconfigure(const char *forward, const char *cache, const char *more)
{
	struct config *fresh = read_config(forward, cache, more);
	resolver_reconfigure(resolver, fresh);
	config_free(config);
	config = fresh;
}

static int set_up(void **state)
{
	(void)state;
	base = event_base_new();
	seen_count = waiting = 0;
	says = ANSWERS;
	says_ttl = 300;
	set_second(0);
	fake_start(&server, base, AF_INET, script);
	config = read_config("", "", "");
	assert_int_equal(catalog_open_private(&catalog, 5), ST_OK);
	catalog_set_ready(catalog);
	resolver = resolver_new(base, config, catalog, NULL);
	assert_non_null(resolver);
	learned = learned_of(resolver);
	assert_int_equal(learned_open(learned, NULL), ST_OK);
	learned_set_clock(learned, now_ms, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	resolver_free(resolver);
	catalog_close(catalog);
	fake_stop(&server);
	event_base_free(base);
	config_free(config);
	return 0;
}

// --- scenes ---

// At that second somebody asks, while the name server says that; so is the answer, and so often was it asked by then.
struct scene {
	unsigned second;
	enum says says;
	uint32_t says_ttl;
	unsigned rcode;
	uint32_t ttl;
	int why;
	unsigned heard;
};

static void play(const struct scene *scene, unsigned count)
{
	for (unsigned i = 0; i < count; i++, scene++) {
		says = scene->says;
		says_ttl = scene->says_ttl;
		set_second(scene->second);
		const struct reply_seen *reply = ask(NAME);
		settle();
		if (reply->rcode != scene->rcode || reply->ttl != scene->ttl || reply->why != scene->why ||
			server.heard_udp != scene->heard)
			fail_msg("scene %u, second %u: rcode %u, TTL %u, reason %d, asked %u times", i, scene->second,
				reply->rcode, reply->ttl, reply->why, server.heard_udp);
	}
}
#define PLAY(scenes) play(scenes, sizeof(scenes) / sizeof(scenes[0]))

static void an_answer_lives_exactly_as_long_as_its_ttl(void **state)
{
	(void)state;
	static const struct scene scenes[] = {
		{ 0, ANSWERS, 5, 0, 5, -1, 1 },
		{ 2, ANSWERS, 5, 0, 3, -1, 1 },
		{ 4, ANSWERS, 5, 0, 1, -1, 1 },
		{ 5, ANSWERS, 5, 0, 5, -1, 2 }, // exactly at its end it is over
		{ 9, ANSWERS, 5, 0, 1, -1, 2 },
		{ 60, ANSWERS, 0, 0, 0, -1, 3 }, // TTL 0 is for this one client
		{ 60, ANSWERS, 0, 0, 0, -1, 4 },
		{ 60, ANSWERS, 200000, 0, 200000, -1, 5 },
		{ 61, ANSWERS, 5, 0, 86399, -1, 5 }, // the ceiling
	};
	PLAY(scenes);
}

static void a_no_lives_as_long_as_its_soa_allows(void **state)
{
	(void)state;
	static const struct scene scenes[] = {
		{ 0, NO_SUCH_NAME, 10, 3, 86400, -1, 1 },
		{ 3, ANSWERS, 10, 3, 7, -1, 1 },
		{ 10, NO_SUCH_TYPE, 20, 0, 86400, -1, 2 },
		{ 27, ANSWERS, 10, 0, 3, -1, 2 },
		{ 30, NO_SUCH_NAME, 500, 3, 86400, -1, 3 },
		{ 31, ANSWERS, 10, 3, 99, -1, 3 }, // the ceiling of negative answers
		{ 130, NO_SUCH_NAME, 0, 3, 86400, -1, 4 },
		{ 131, ANSWERS, 30, 0, 30, -1, 5 }, // a MINIMUM of 0
	};
	PLAY(scenes);
}

static void a_failure_is_remembered_for_five_seconds(void **state)
{
	(void)state;
	static const struct scene scenes[] = {
		{ 0, FAILS, 0, 2, 0, 22, 1 },
		{ 4, ANSWERS, 60, 2, 0, 22, 1 },
		{ 5, ANSWERS, 60, 0, 60, -1, 2 },
	};
	PLAY(scenes);
}

static void expired_answers_serve_when_nobody_can_answer_and_not_for_ever(void **state)
{
	(void)state;
	static const struct scene scenes[] = {
		{ 0, ANSWERS, 60, 0, 60, -1, 1 },
		{ 60, FAILS, 0, 0, 30, 3, 2 },	// RFC 8767
		{ 61, FAILS, 0, 0, 29, 3, 2 },	// RFC 8767 5: not asked again at once
		{ 89, ANSWERS, 60, 0, 1, 3, 2 },
		{ 90, FAILS, 0, 0, 30, 3, 3 },
		{ 120, ANSWERS, 50, 0, 50, -1, 4 }, // found again
		{ 170, FAILS, 0, 0, 30, 3, 5 },
		{ 170 + 86400, FAILS, 0, 0, 30, 3, 6 }, // a day after its end
		{ 171 + 86400 + 30, FAILS, 0, 2, 0, 22, 7 },
	};
	PLAY(scenes);
}

static void an_expired_no_serves_with_a_reason_of_its_own(void **state)
{
	(void)state;
	static const struct scene scenes[] = {
		{ 0, NO_SUCH_NAME, 60, 3, 86400, -1, 1 },
		{ 60, FAILS, 0, 3, 30, 19, 2 },
		{ 95, NO_SUCH_NAME, 60, 3, 86400, -1, 3 },
	};
	PLAY(scenes);
}

static void when_stale_answers_are_not_wanted_there_are_none(void **state)
{
	(void)state;
	reconfigure("", ", stale: false", "");
	static const struct scene scenes[] = {
		{ 0, ANSWERS, 60, 0, 60, -1, 1 },
		{ 60, FAILS, 0, 2, 0, 22, 2 },
	};
	PLAY(scenes);
}

// --- prefetch ---

static void what_is_in_use_is_asked_for_in_the_last_tenth_of_its_life(void **state)
{
	(void)state;
	static const struct scene scenes[] = {
		{ 0, ANSWERS, 100, 0, 100, -1, 1 },
		{ 89, ANSWERS, 100, 0, 11, -1, 1 },
		{ 90, ANSWERS, 100, 0, 10, -1, 2 }, // asked again behind the client's back
		{ 91, ANSWERS, 100, 0, 99, -1, 2 },
	};
	PLAY(scenes);
	assert_int_equal(counters()->prefetches, 1);
	// One try: that it failed does not shorten the life of what is there.
	says = FAILS;
	set_second(185);
	assert_int_equal(ask(NAME)->ttl, 5);
	settle();
	unsigned heard = server.heard_udp;
	set_second(186);
	assert_int_equal(ask(NAME)->ttl, 4);
	settle();
	assert_int_equal(server.heard_udp, heard);
	assert_int_equal(counters()->prefetches, 2);
}

static void workers_reports_of_use_count_as_well_and_only_those_that_fit(void **state)
{
	(void)state;
	says_ttl = 100;
	ask(NAME);
	uint64_t position = CACHE_START;
	struct cache_entry entry;
	assert_true(cache_next(learned_cache(learned), &position, &entry));
	set_second(50);
	learned_used(learned, entry.position);
	assert_int_equal(counters()->prefetches, 0);
	set_second(95);
	learned_used(learned, entry.position + 12345);
	learned_used(learned, UINT64_MAX);
	assert_int_equal(counters()->prefetches, 0);
	learned_used(learned, entry.position);
	learned_used(learned, entry.position);
	assert_int_equal(counters()->prefetches, 1);
	settle();
	assert_int_equal(server.heard_udp, 2);
	assert_int_equal(ask(NAME)->ttl, 100);
}

static void short_lives_and_unwanted_ones_are_not_prolonged(void **state)
{
	(void)state;
	static const struct scene scenes[] = {
		{ 0, ANSWERS, 9, 0, 9, -1, 1 },
		{ 8, ANSWERS, 9, 0, 1, -1, 1 },
		{ 9, ANSWERS, 100, 0, 100, -1, 2 },
	};
	PLAY(scenes);
	reconfigure("", ", prefetch: false", "");
	set_second(105);
	assert_int_equal(ask(NAME)->ttl, 4);
	settle();
	assert_int_equal(server.heard_udp, 2);
}

// --- while others are silent ---

static void a_client_of_a_silent_server_gets_the_expired_answer_in_time(void **state)
{
	(void)state;
	says_ttl = 60;
	ask(NAME);
	says = NOTHING;
	set_second(100);
	struct reply_seen *reply = start(NAME, TYPE_A, FLAG_RD, false, OVER_UDP);
	clock_ms += 1799;
	learned_tick(learned);
	assert_false(reply->done);
	clock_ms += 1;
	learned_tick(learned);
	assert_true(reply->done);
	assert_int_equal(reply->why, EDE_STALE);
	assert_int_equal(reply->ttl, 30);
	assert_int_equal(reply->answers, 1);
	assert_int_equal(counters()->waiting, 0);
	// The search goes on; the name server has found its voice.
	says = ANSWERS;
	while (counters()->stored < 2)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(ask(NAME)->why, -1);
}

static void an_answer_in_time_is_the_fresh_one(void **state)
{
	(void)state;
	says_ttl = 60;
	ask(NAME);
	set_second(100);
	const struct reply_seen *reply = ask(NAME);
	assert_int_equal(reply->why, -1);
	assert_int_equal(reply->ttl, 60);
	assert_int_equal(counters()->waiting, 0);
	clock_ms += 5000;
	learned_tick(learned);
}

static void a_question_that_is_dropped_leaves_no_trace(void **state)
{
	(void)state;
	ask(NAME);
	says = NOTHING;
	set_second(400);
	struct reply_seen *reply = start(NAME, TYPE_A, FLAG_RD, false, OVER_UDP);
	assert_int_equal(counters()->waiting, 1);
	resolver_free(resolver);
	assert_true(reply->done);
	resolver = resolver_new(base, config, catalog, NULL);
	learned = learned_of(resolver);
}

static void when_nobody_may_be_asked_now_the_expired_answer_is_all_there_is(void **state)
{
	(void)state;
	ask(NAME);
	reconfigure(", max-open: 1", "", "");
	says = NOTHING;
	set_second(400);
	struct reply_seen *first = start("\5other\7example\3com", TYPE_A, FLAG_RD, false, OVER_UDP);
	const struct reply_seen *reply = start(NAME, TYPE_A, FLAG_RD, false, OVER_UDP);
	assert_true(reply->done);
	assert_int_equal(reply->why, EDE_STALE);
	assert_int_equal(finish(first)->rcode, RCODE_SERVFAIL);
}

// --- what is told apart ---

static void do_and_cd_have_entries_of_their_own(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 4; i++)
			finish(start(NAME, TYPE_A, (uint16_t)(FLAG_RD | (i & 1 ? FLAG_CD : 0)), i & 2, OVER_UDP));
		assert_int_equal(server.heard_udp, 4);
	}
	assert_int_equal(cache_usage(learned_cache(learned)).entries, 4);
}

static void any_is_never_kept(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 2; i++) {
		finish(start(NAME, TYPE_ANY, FLAG_RD, false, OVER_TCP));
		assert_int_equal(server.heard_udp, i);
	}
	assert_int_equal(counters()->refused[KEEP_NOT_QUESTION], 2);
	assert_int_equal(cache_usage(learned_cache(learned)).entries, 0);
}

static void case_and_transport_are_not_told_apart(void **state)
{
	(void)state;
	ask(NAME);
	const struct reply_seen *reply = finish(start("\3WwW\7eXAMPLE\3CoM", TYPE_A, FLAG_RD, false, OVER_TCP));
	assert_int_equal(reply->answers, 1);
	assert_int_equal(server.heard_udp, 1);
	assert_int_equal(reply->flags & (FLAG_AA | FLAG_RA), FLAG_RA);
}

static void a_chain_without_the_step_forgets_everything(void **state)
{
	(void)state;
	ask(NAME);
	assert_int_equal(cache_usage(learned_cache(learned)).entries, 1);
	reconfigure("", "", "chain: [authorities, forwarders]\n");
	assert_int_equal(cache_usage(learned_cache(learned)).entries, 0);
	ask(NAME);
	assert_int_equal(cache_usage(learned_cache(learned)).entries, 0);
	assert_int_equal(server.heard_udp, 2);
}

// --- dump and load ---

#define WALL_S 1800000000u
static char path[64];

static uint64_t dump(void)
{
	struct cache_dump *out;
	struct cache_dump_counts counts;
	snprintf(path, sizeof(path), "/tmp/pollux-learned-test-%d", (int)getpid());
	assert_int_equal(cache_dump_new(&out, learned, path, WALL_S), ST_OK);
	while (cache_dump_some(out))
		;
	assert_int_equal(cache_dump_end(out, true, &counts), ST_OK);
	return counts.written;
}

static struct cache_load_counts load(uint64_t wall_s, struct report *report)
{
	struct cache_load *in;
	struct cache_load_counts counts = { 0 };
	if (cache_load_new(&in, learned, path, wall_s, report) != ST_OK)
		return counts;
	while (cache_load_some(in))
		;
	cache_load_end(in, &counts);
	return counts;
}

static void a_dump_comes_back_with_less_to_live(void **state)
{
	(void)state;
	struct report report = { .emit = report_to_stream };
	says_ttl = 300;
	finish(start(NAME, TYPE_A, FLAG_RD, true, OVER_UDP));
	says_ttl = 50;
	ask("\5short\7example\3com");
	says = NO_SUCH_NAME;
	says_ttl = 80;
	ask("\2no\7example\3com");
	says = FAILS;
	ask("\4fail\7example\3com");
	set_second(20);
	assert_int_equal(dump(), 3);
	cache_remove_all(learned_cache(learned));
	set_second(1000);
	struct cache_load_counts counts = load(WALL_S + 40, &report);
	assert_int_equal(counts.loaded, 2);
	assert_int_equal(counts.expired, 1);
	assert_int_equal(counts.malformed, 0);
	unsigned heard = server.heard_udp;
	assert_int_equal(finish(start(NAME, TYPE_A, FLAG_RD, true, OVER_UDP))->ttl, 240);
	const struct reply_seen *no = ask("\2no\7example\3com");
	assert_int_equal(no->rcode, RCODE_NXDOMAIN);
	assert_int_equal(no->ttl, 20);
	assert_int_equal(server.heard_udp, heard);
	assert_int_equal(load(WALL_S + 40, &report).known, 2);
	unlink(path);
}

static void every_damaged_line_is_named_and_the_others_are_taken(void **state)
{
	(void)state;
	struct findings findings;
	static const char text[] = "{\"pollux-cache\":1,\"written_s\":1800000000}\n"
				   "junk\n"
				   "[]\n"
				   "{\"name\":\"a.example.\",\"type\":\"A\"}\n"
#define ENTRY(name, type, rcode, ttl, answer)                                                                       \
	"{\"name\":\"" name "\",\"type\":\"" type "\",\"rcode\":\"" rcode "\",\"ttl\":" ttl ",\"answer\":[" answer           \
	"],\"authority\":[],\"additional\":[]}\n"
		ENTRY("good.example.", "A", "NOERROR", "60", "\"good.example. 60 IN A 192.0.2.1\"")
		ENTRY("relative", "A", "NOERROR", "60", "")
		ENTRY("a.example.", "NONSENSE", "NOERROR", "60", "")
		ENTRY("a.example.", "A", "REFUSED", "60", "")
		ENTRY("a.example.", "A", "NOERROR", "-5", "")
		ENTRY("a.example.", "A", "NOERROR", "60", "\"a.example. 60 IN A 192.0.2\"")
		ENTRY("a.example.", "A", "NOERROR", "60", "\"$GENERATE 1-9 a 60 A 192.0.2.$\"")
		ENTRY("a.example.", "A", "NOERROR", "60", "\"a.example. 60 IN A 192.0.2.1\\n\"")
		ENTRY("a.example.", "A", "NOERROR", "60", "7")
		ENTRY("also.example.", "A", "NOERROR", "60", "\"also.example. 60 IN A 192.0.2.1\"")
		"{\"name\":";
#undef ENTRY
	snprintf(path, sizeof(path), "/tmp/pollux-learned-test-%d", (int)getpid());
	FILE *out = fopen(path, "w");
	assert_int_equal(fwrite(text, 1, sizeof(text) - 1, out), sizeof(text) - 1);
	fclose(out);
	findings_init(&findings);
	struct cache_load_counts counts = load(WALL_S, &findings.report);
	assert_int_equal(counts.loaded, 2);
	assert_int_equal(counts.malformed, 12);
	static const unsigned lines[] = { 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 15 };
	assert_int_equal(findings.lines, 12);
	for (unsigned i = 0; i < 12; i++) {
		char place[96];
		snprintf(place, sizeof(place), "%s:%u: error: ", path, lines[i]);
		assert_int_equal(strncmp(findings.line[i], place, strlen(place)), 0);
	}
	findings_clear(&findings);
	unlink(path);
}

static void a_dump_that_is_given_up_leaves_the_old_file(void **state)
{
	(void)state;
	struct cache_dump *out;
	struct cache_dump_counts counts;
	ask(NAME);
	assert_int_equal(dump(), 1);
	assert_int_equal(cache_dump_new(&out, learned, path, WALL_S + 1), ST_OK);
	assert_int_equal(cache_dump_end(out, false, &counts), ST_OK);
	struct report report = { 0 };
	cache_remove_all(learned_cache(learned));
	assert_int_equal(load(WALL_S, &report).loaded, 1);
	char fresh[80];
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	assert_int_not_equal(access(fresh, F_OK), 0);
	unlink(path);
	assert_int_equal(cache_dump_new(&out, learned, "/no/such/directory/dump", WALL_S), ST_SYSTEM);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_lives_exactly_as_long_as_its_ttl),
		TEST(a_no_lives_as_long_as_its_soa_allows),
		TEST(a_failure_is_remembered_for_five_seconds),
		TEST(expired_answers_serve_when_nobody_can_answer_and_not_for_ever),
		TEST(an_expired_no_serves_with_a_reason_of_its_own),
		TEST(when_stale_answers_are_not_wanted_there_are_none),
		TEST(what_is_in_use_is_asked_for_in_the_last_tenth_of_its_life),
		TEST(workers_reports_of_use_count_as_well_and_only_those_that_fit),
		TEST(short_lives_and_unwanted_ones_are_not_prolonged),
		TEST(a_client_of_a_silent_server_gets_the_expired_answer_in_time),
		TEST(an_answer_in_time_is_the_fresh_one),
		TEST(a_question_that_is_dropped_leaves_no_trace),
		TEST(when_nobody_may_be_asked_now_the_expired_answer_is_all_there_is),
		TEST(do_and_cd_have_entries_of_their_own),
		TEST(any_is_never_kept),
		TEST(case_and_transport_are_not_told_apart),
		TEST(a_chain_without_the_step_forgets_everything),
		TEST(a_dump_comes_back_with_less_to_live),
		TEST(every_damaged_line_is_named_and_the_others_are_taken),
		TEST(a_dump_that_is_given_up_leaves_the_old_file),
	};
	int failed = cmocka_run_group_tests_name("learned", tests, NULL, NULL);
	return failed ? 1 : 0;
}
