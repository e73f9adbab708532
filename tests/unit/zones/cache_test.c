// SPDX-License-Identifier: BSD-3-Clause
// What the cache keeps, for how long, and what it says about it. Time is an argument.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cached.h"

#define NOW 1000u // any time

static struct cache *cache;
static const struct policy policy = { .udp_size = 1232, .has_chain = 1 };
static struct question q;
static uint8_t room[DNS_MAX_BYTES];
static struct reply reply;
static struct cache_hit hit;

static int begin(void **state)
{
	(void)state;
	assert_int_equal(cache_open_private(&cache, CACHE_MIN_BYTES, CACHED_SEED), ST_OK);
	return 0;
}

static int end(void **state)
{
	(void)state;
	cache_close(cache);
	return 0;
}

static void ask(const char *name, uint16_t type, uint16_t flags, int udp_size, bool dnssec_ok)
{
	ask_question(&q, name, type, flags, udp_size, dnssec_ok);
}

// What a reply brings is what its octets add up to (RFC 1071, from an even offset, in the byte order of the wire).
static void check_sum(void)
{
	uint64_t sum = 0;
	for (unsigned at = DNS_HEADER_BYTES + q.query.question_bytes, i = 0; at + i < reply.bytes; i++)
		sum += (uint64_t)room[at + i] << 8 * (i & 1);
	if (reply.summed)
		assert_int_equal(reply.sections_sum % 0xffff, sum % 0xffff);
}

static bool answer(enum transport transport, uint32_t now_s)
{
	struct cache_key key = cache_key_of_query(&q.query);
	memset(room, 0xee, sizeof(room));
	reply = (struct reply){ .wire = room, .room = transport == OVER_UDP ? DNS_UDP_CEILING_BYTES : sizeof(room) };
	if (!cache_answer(cache, &policy, &q.query, &key, transport, now_s, &reply, &hit))
		return false;
	check_sum();
	return true;
}

static bool answer_stale(uint32_t now_s, uint32_t stale_ttl_s)
{
	struct cache_key key = cache_key_of_query(&q.query);
	reply = (struct reply){ .wire = room, .room = 1232 };
	if (!cache_answer_stale(cache, &policy, &q.query, &key, OVER_UDP, now_s, stale_ttl_s, &reply, &hit))
		return false;
	check_sum();
	return true;
}

static void keep(const char *name, uint16_t type, uint32_t ttl, uint32_t now_s, uint8_t fill)
{
	ask(name, type, FLAG_RD, 0, false);
	struct cache_key key = cache_key_of_query(&q.query);
	assert_int_equal(keep_address(cache, &key, ttl, now_s, fill, NULL), ST_OK);
}

// A message of the test's own for the question asked last.
static enum status keep_message(struct writer *w, struct cache_record record)
{
	struct cache_key key = cache_key_of_query(&q.query);
	record.wire = w->start;
	record.bytes = (uint32_t)writer_bytes(w);
	return cache_insert(cache, &key, &record, NULL);
}

static struct writer message(unsigned answers, unsigned authorities, unsigned additionals)
{
	static uint8_t wire[DNS_MAX_BYTES + 64];
	struct cache_key key = cache_key_of_query(&q.query);
	return begin_message(wire, sizeof(wire), &key, answers, authorities, additionals);
}

static uint16_t flags_of_reply(void)
{
	return load_be16(room + 2);
}

static uint16_t count_of_reply(unsigned section)
{
	return load_be16(room + 6 + 2 * section);
}

static uint32_t first_ttl(void)
{
	return load_be32(room + DNS_HEADER_BYTES + q.query.question_bytes + 6);
}

static uint8_t first_octet(void)
{
	return room[DNS_HEADER_BYTES + q.query.question_bytes + 12];
}

static void what_was_kept_is_answered(void **state)
{
	(void)state;
	keep("www.example", TYPE_A, 300, NOW, 7);
	ask("www.example", TYPE_A, FLAG_RD, 0, false);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(reply.bytes, DNS_HEADER_BYTES + q.query.question_bytes + 16);
	assert_int_equal(reply.rcode, RCODE_NOERROR);
	assert_false(reply.truncated);
	assert_int_equal(load_be16(room), 0x4711);
	assert_int_equal(flags_of_reply(), FLAG_QR | FLAG_RD | FLAG_RA);
	assert_int_equal(load_be16(room + 4), 1);
	assert_int_equal(count_of_reply(0), 1);
	assert_int_equal(count_of_reply(1) + count_of_reply(2), 0);
	assert_int_equal(first_octet(), 7);
	assert_int_equal(hit.ttl_left_s, 300);
}

static void nothing_else_is_answered(void **state)
{
	(void)state;
	keep("www.example", TYPE_A, 300, NOW, 7);
	ask("www.example", TYPE_AAAA, FLAG_RD, 0, false);
	assert_false(answer(OVER_UDP, NOW));
	ask("ww.example", TYPE_A, FLAG_RD, 0, false);
	assert_false(answer(OVER_UDP, NOW));
	ask("example", TYPE_A, FLAG_RD, 0, false);
	assert_false(answer(OVER_UDP, NOW));
}

static void ttls_count_down_to_the_end(void **state)
{
	(void)state;
	keep("www.example", TYPE_A, 300, NOW, 7);
	ask("www.example", TYPE_A, FLAG_RD, 0, false);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(first_ttl(), 300);
	assert_true(answer(OVER_UDP, NOW + 1));
	assert_int_equal(first_ttl(), 299);
	assert_true(answer(OVER_UDP, NOW + 299));
	assert_int_equal(first_ttl(), 1);
	assert_int_equal(hit.ttl_left_s, 1);
	assert_false(answer(OVER_UDP, NOW + 300));
	assert_false(answer(OVER_UDP, NOW + 100000));
}

// A lifetime may be longer than the TTL of a record that matters less, and the clock may be read a moment too early.
static void no_ttl_is_ever_below_nought_nor_grows(void **state)
{
	(void)state;
	ask("www.example", TYPE_A, FLAG_RD, 0, false);
	struct writer w = message(2, 0, 0);
	put_record(&w, TYPE_A, 10, 4, 1);
	put_record(&w, TYPE_A, 100, 4, 2);
	assert_int_equal(keep_message(&w, (struct cache_record){ .now_s = NOW, .lifetime_s = 100, .why = EDE_NONE }), ST_OK);
	assert_true(answer(OVER_UDP, NOW + 50));
	assert_int_equal(first_ttl(), 0);
	assert_int_equal(load_be32(room + DNS_HEADER_BYTES + q.query.question_bytes + 16 + 6), 50);
	assert_true(answer(OVER_UDP, NOW - 1));
	assert_int_equal(first_ttl(), 10);
}

static void case_is_the_askers(void **state)
{
	(void)state;
	keep("www.example", TYPE_A, 300, NOW, 7);
	ask("wWw.eXAMPle", TYPE_A, FLAG_RD, 0, false);
	assert_true(answer(OVER_UDP, NOW));
	assert_memory_equal(room + DNS_HEADER_BYTES, "\3wWw\7eXAMPle", 13);
}

static void do_and_cd_are_kept_apart(void **state)
{
	(void)state;
	keep("www.example", TYPE_A, 300, NOW, 7);
	ask("www.example", TYPE_A, FLAG_RD, 1232, true);
	assert_false(answer(OVER_UDP, NOW));
	ask("www.example", TYPE_A, FLAG_RD | FLAG_CD, 0, false);
	assert_false(answer(OVER_UDP, NOW));
	struct cache_key key = cache_key_of_query(&q.query);
	assert_int_equal(keep_address(cache, &key, 300, NOW, 8, NULL), ST_OK);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(first_octet(), 8);
	assert_int_equal(flags_of_reply() & FLAG_CD, FLAG_CD);
	ask("www.example", TYPE_A, FLAG_RD, 0, false);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(first_octet(), 7);
}

// RFC 6840 5.7, 5.8.
static void ad_goes_to_who_asks_for_it(void **state)
{
	(void)state;
	ask("www.example", TYPE_A, FLAG_RD, 0, false);
	struct writer w = message(1, 0, 0);
	put_record(&w, TYPE_A, 60, 4, 1);
	struct cache_record record = { .now_s = NOW, .lifetime_s = 60, .authentic = true, .why = EDE_NONE };
	assert_int_equal(keep_message(&w, record), ST_OK);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(flags_of_reply() & FLAG_AD, 0);
	ask("www.example", TYPE_A, FLAG_RD | FLAG_AD, 0, false);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(flags_of_reply() & FLAG_AD, FLAG_AD);
	ask("www.example", TYPE_A, FLAG_RD, 1232, true);
	assert_int_equal(keep_message(&w, record), ST_OK);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(flags_of_reply() & FLAG_AD, FLAG_AD);
	record.authentic = false;
	assert_int_equal(keep_message(&w, record), ST_OK);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(flags_of_reply() & FLAG_AD, 0);
}

static void a_question_without_rd_is_answered_without_it(void **state)
{
	(void)state;
	keep("www.example", TYPE_A, 300, NOW, 7);
	ask("www.example", TYPE_A, 0, 0, false);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(flags_of_reply(), FLAG_QR | FLAG_RA);
}

static void a_no_has_its_rcode_and_soa(void **state)
{
	(void)state;
	ask("gone.example", TYPE_A, FLAG_RD, 0, false);
	struct writer w = message(0, 1, 0);
	put_record(&w, TYPE_SOA, 30, 22, 0);
	struct cache_record record = { .now_s = NOW, .lifetime_s = 30, .rcode = RCODE_NXDOMAIN, .why = EDE_NONE };
	assert_int_equal(keep_message(&w, record), ST_OK);
	assert_true(answer(OVER_UDP, NOW + 10));
	assert_int_equal(flags_of_reply() & FLAG_RCODE, RCODE_NXDOMAIN);
	assert_int_equal(reply.rcode, RCODE_NXDOMAIN);
	assert_int_equal(count_of_reply(0), 0);
	assert_int_equal(count_of_reply(1), 1);
	assert_int_equal(first_ttl(), 20);
	assert_false(answer(OVER_UDP, NOW + 30));
}

// RFC 9520: a failure is remembered without any records.
static void a_failure_has_its_reason(void **state)
{
	(void)state;
	ask("broken.example", TYPE_A, FLAG_RD, 1232, false);
	struct cache_key key = cache_key_of_query(&q.query);
	struct cache_record record = { .now_s = NOW, .lifetime_s = 5, .rcode = RCODE_SERVFAIL, .why = EDE_NO_REACHABLE_AUTHORITY };
	assert_int_equal(cache_insert(cache, &key, &record, NULL), ST_OK);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(reply.rcode, RCODE_SERVFAIL);
	static const char option[] = "\0\17\0\70\0\26no server that could know gave a usable answer in time";
	assert_memory_equal(room + reply.bytes - (sizeof(option) - 1), option, sizeof(option) - 1);
	assert_int_equal(count_of_reply(2), 1);
	ask("broken.example", TYPE_A, FLAG_RD, 0, false);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(count_of_reply(2), 0);
	assert_int_equal(reply.bytes, DNS_HEADER_BYTES + q.query.question_bytes);
}

static void an_opt_is_given_and_none_is_kept(void **state)
{
	(void)state;
	ask("www.example", TYPE_A, FLAG_RD, 4096, false);
	struct writer w = message(1, 0, 1);
	put_record(&w, TYPE_A, 60, 4, 1);
	static const uint8_t opt[] = { 0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0 };
	write_bytes(&w, opt, sizeof(opt));
	struct cache_record record = { .now_s = NOW, .lifetime_s = 60, .why = EDE_NONE };
	assert_int_equal(keep_message(&w, record), ST_OK);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(count_of_reply(2), 1);
	assert_int_equal(reply.bytes, DNS_HEADER_BYTES + q.query.question_bytes + 16 + OPT_BYTES);
	static const uint8_t ours[] = { 0, 0, 41, 1232 / 256, 1232 % 256, 0, 0, 0, 0, 0, 0 };
	assert_memory_equal(room + reply.bytes - OPT_BYTES, ours, OPT_BYTES);
	w = message(1, 0, 2);
	put_record(&w, TYPE_A, 60, 4, 1);
	write_bytes(&w, opt, sizeof(opt));
	put_record(&w, TYPE_A, 60, 4, 1);
	assert_int_equal(keep_message(&w, record), ST_INVALID);
}

// RFC 2181 9: first the additional section goes, then all of it, and TC says so.
static void what_is_too_long_over_udp_is_cut_in_order(void **state)
{
	(void)state;
	ask("long.example", TYPE_TXT, FLAG_RD, 0, false);
	struct writer w = message(1, 1, 1);
	put_record(&w, TYPE_TXT, 60, 200, 1);
	put_record(&w, TYPE_NS, 60, 100, 2);
	put_record(&w, TYPE_A, 60, 200, 3);
	struct cache_record record = { .now_s = NOW, .lifetime_s = 60, .why = EDE_NONE };
	assert_int_equal(keep_message(&w, record), ST_OK);
	assert_true(answer(OVER_UDP, NOW + 1));
	assert_false(reply.truncated);
	assert_int_equal(count_of_reply(1), 1);
	assert_int_equal(count_of_reply(2), 0);
	assert_int_equal(reply.bytes, DNS_HEADER_BYTES + q.query.question_bytes + 212 + 112);
	ask("long.example", TYPE_TXT, FLAG_RD, 1232, false);
	assert_true(answer(OVER_UDP, NOW + 1));
	assert_int_equal(count_of_reply(2), 2);
	w = message(2, 0, 0);
	put_record(&w, TYPE_TXT, 60, 700, 1);
	put_record(&w, TYPE_TXT, 60, 700, 1);
	assert_int_equal(keep_message(&w, record), ST_OK);
	assert_true(answer(OVER_UDP, NOW));
	assert_true(reply.truncated);
	assert_int_equal(flags_of_reply() & FLAG_TC, FLAG_TC);
	assert_int_equal(count_of_reply(0), 0);
	assert_int_equal(reply.bytes, DNS_HEADER_BYTES + q.query.question_bytes + OPT_BYTES);
	assert_true(answer(OVER_TCP, NOW));
	assert_false(reply.truncated);
	assert_int_equal(count_of_reply(0), 2);
}

static void the_longest_message_there_can_be_is_kept_whole(void **state)
{
	(void)state;
	ask("x", TYPE_TXT, FLAG_RD, 0, false);
	unsigned bytes = DNS_MAX_BYTES - DNS_HEADER_BYTES - q.query.question_bytes - 12;
	struct writer w = message(1, 0, 0);
	put_record(&w, TYPE_TXT, 60, bytes, 9);
	struct cache_record record = { .now_s = NOW, .lifetime_s = 60, .why = EDE_NONE };
	assert_int_equal(keep_message(&w, record), ST_OK);
	assert_true(answer(OVER_TCP, NOW));
	assert_int_equal(reply.bytes, DNS_MAX_BYTES);
	assert_int_equal(room[DNS_MAX_BYTES - 1], 9);
	w = message(2, 0, 0);
	put_record(&w, TYPE_TXT, 60, bytes, 9);
	put_record(&w, TYPE_A, 60, 4, 9);
	assert_int_equal(keep_message(&w, record), ST_FULL);
	assert_int_equal(cache_usage(cache).refused, 1);
	assert_true(answer(OVER_TCP, NOW)); // what was there stays
}

static void a_message_that_is_none_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	keep("www.example", TYPE_A, 300, NOW, 7);
	struct cache_record record = { .now_s = NOW, .lifetime_s = 60, .why = EDE_NONE };
	struct writer w = message(1, 0, 0);
	put_record(&w, TYPE_A, 60, 4, 1);
	unsigned whole = (unsigned)writer_bytes(&w);
	for (unsigned bytes = 0; bytes < whole; bytes++) {
		w.at = w.start + bytes;
		assert_int_equal(keep_message(&w, record), ST_SYNTAX);
	}
	w.at = w.start + whole;
	write_u8(&w, 0); // an octet too many
	assert_int_equal(keep_message(&w, record), ST_SYNTAX);
	w.at = w.start + whole;
	w.start[DNS_HEADER_BYTES + 1] ^= 1; // another question
	assert_int_equal(keep_message(&w, record), ST_SYNTAX);
	w.start[DNS_HEADER_BYTES + 1] ^= 1;
	w.start[DNS_HEADER_BYTES + 1] ^= 0x20; // the same in another case
	assert_int_equal(keep_message(&w, (struct cache_record){ .now_s = NOW }), ST_INVALID); // no lifetime
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(first_octet(), 7);
	assert_int_equal(keep_message(&w, record), ST_OK);
	assert_true(answer(OVER_UDP, NOW));
	assert_int_equal(first_octet(), 1);
}

// RFC 8767 4, RFC 8914 4.4, 4.20.
static void an_expired_entry_is_told_as_stale(void **state)
{
	(void)state;
	keep("www.example", TYPE_A, 300, NOW, 7);
	ask("www.example", TYPE_A, FLAG_RD, 1232, false);
	struct cache_key key = cache_key_of_query(&q.query);
	assert_true(answer_stale(NOW + 299, 30));
	assert_int_equal(first_ttl(), 1);
	assert_int_equal(reply.bytes, DNS_HEADER_BYTES + q.query.question_bytes + 16 + OPT_BYTES);
	assert_true(answer_stale(NOW + 300, 30));
	assert_int_equal(first_ttl(), 30);
	assert_int_equal(hit.ttl_left_s, 0);
	static const uint8_t option[] = { 0, 15, 0, 2, 0, EDE_STALE };
	assert_memory_equal(room + reply.bytes - sizeof(option), option, sizeof(option));
	struct cache_record record = { .now_s = NOW, .lifetime_s = 5, .rcode = RCODE_NXDOMAIN, .why = EDE_NONE };
	assert_int_equal(cache_insert(cache, &key, &record, NULL), ST_OK);
	assert_true(answer_stale(NOW + 5, 30));
	assert_int_equal(room[reply.bytes - 1], EDE_STALE_NXDOMAIN);
}

static void a_newer_answer_takes_the_place_of_the_older(void **state)
{
	(void)state;
	for (uint8_t i = 1; i <= 100; i++)
		keep("www.example", TYPE_A, 300, NOW + i, i);
	assert_true(answer(OVER_UDP, NOW + 101));
	assert_int_equal(first_octet(), 100);
	struct cache_usage usage = cache_usage(cache);
	assert_int_equal(usage.entries, 1);
	assert_int_equal(usage.inserted, 100);
	assert_int_equal(usage.replaced, 99);
	struct cache_entry entry;
	uint64_t position = CACHE_START;
	assert_true(cache_next(cache, &position, &entry));
	assert_int_equal(entry.stored_at_s, NOW + 100);
	assert_int_equal(usage.used_bytes, entry.bytes);
	assert_false(cache_next(cache, &position, &entry));
}

static void a_view_tells_everything(void **state)
{
	(void)state;
	ask("www.example", TYPE_TXT, FLAG_RD, 1232, true);
	struct cache_key key = cache_key_of_query(&q.query);
	struct writer w = message(1, 1, 0);
	put_record(&w, TYPE_TXT, 60, 5, 1);
	put_record(&w, TYPE_NS, 90, 7, 2);
	struct cache_record record = { .now_s = NOW, .lifetime_s = 60, .authentic = true, .why = EDE_BLOCKED, .note = 4711 };
	assert_int_equal(keep_message(&w, record), ST_OK);
	struct cache_entry entry;
	assert_true(cache_find(cache, &key, &entry));
	assert_memory_equal(entry.key.name, "\3www\7example", 13);
	assert_int_equal(entry.key.type, TYPE_TXT);
	assert_int_equal(entry.key.flags, CACHE_KEY_DO);
	assert_int_equal(entry.stored_at_s, NOW);
	assert_int_equal(entry.expires_at_s, NOW + 60);
	assert_int_equal(entry.ttl_s, 60);
	assert_true(entry.authentic);
	assert_false(entry.used);
	assert_int_equal(entry.why, EDE_BLOCKED);
	assert_int_equal(entry.note, 4711);
	assert_int_equal(entry.count[0] + entry.count[1] * 10 + entry.count[2] * 100, 11);
	assert_int_equal(entry.end[0], 17);
	assert_int_equal(entry.end[1], 17 + 19);
	assert_int_equal(entry.end[2], entry.body_bytes);
	assert_int_equal(entry.ttl_count, 2);
	assert_int_equal(load_be32(entry.body + entry.ttl_at[1]), 90);
	assert_memory_equal(entry.body, w.start + DNS_HEADER_BYTES + q.query.question_bytes, entry.body_bytes);
}

// What a dump writes is what a load takes.
static void an_entry_comes_out_as_a_message_that_goes_in_again(void **state)
{
	(void)state;
	ask("WWW.example", TYPE_A, FLAG_RD | FLAG_CD, 0, false);
	struct cache_key key = cache_key_of_query(&q.query);
	assert_int_equal(keep_address(cache, &key, 300, NOW, 7, NULL), ST_OK);
	struct cache_entry entry;
	uint8_t wire[512];
	assert_true(cache_find(cache, &key, &entry));
	uint32_t bytes = cache_entry_message(&entry, NOW + 100, 0, wire, sizeof(wire));
	assert_int_equal(bytes, DNS_HEADER_BYTES + q.query.question_bytes + 16);
	assert_int_equal(cache_entry_message(&entry, NOW + 100, 0, wire, bytes - 1), 0);
	assert_int_equal(load_be16(wire + 2), FLAG_QR | FLAG_RD | FLAG_RA | FLAG_CD);
	assert_true(cache_remove(cache, &key));
	struct cache_record record = { .wire = wire, .bytes = bytes, .now_s = 5, .lifetime_s = 200, .why = EDE_NONE };
	assert_int_equal(cache_insert(cache, &key, &record, NULL), ST_OK);
	assert_true(answer(OVER_UDP, 105));
	assert_int_equal(first_ttl(), 100);
	assert_true(cache_find(cache, &key, &entry));
	assert_int_equal(cache_entry_message(&entry, 205, 30, wire, sizeof(wire)), bytes);
	assert_int_equal(load_be32(wire + bytes - 10), 30);
}

static void what_is_removed_is_gone(void **state)
{
	(void)state;
	static const uint8_t example[] = "\7example", host1[] = "\5host1\7example";
	char name[32];
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "host%u.%s", i, i % 2 ? "example" : "test");
		keep(name, TYPE_A, 300, NOW, (uint8_t)i);
		keep(name, TYPE_AAAA, 300, NOW, (uint8_t)i);
	}
	uint64_t at = CACHE_START;
	assert_int_equal(cache_remove_some(cache, &(struct cache_filter){ .name = host1 }, &at, 1000), 2);
	assert_true(at == CACHE_END);
	assert_int_equal(cache_remove_some(cache, &(struct cache_filter){ .name = host1 }, &at, 1000), 0);
	uint64_t removed = 0;
	for (at = CACHE_START; at != CACHE_END;)
		removed += cache_remove_some(cache, &(struct cache_filter){ .name = example, .subtree = true, .type = TYPE_A }, &at, 7);
	assert_int_equal(removed, 49);
	at = CACHE_START;
	assert_int_equal(cache_remove_some(cache, &(struct cache_filter){ .type = TYPE_AAAA }, &at, 1000), 99);
	assert_int_equal(cache_usage(cache).entries, 50);
	ask("host3.example", TYPE_A, FLAG_RD, 0, false);
	assert_false(answer(OVER_UDP, NOW));
	ask("host2.test", TYPE_A, FLAG_RD, 0, false);
	assert_true(answer(OVER_UDP, NOW));
	struct cache_key key = cache_key_of_query(&q.query);
	assert_true(cache_remove(cache, &key));
	assert_false(cache_remove(cache, &key));
	assert_false(answer(OVER_UDP, NOW));
	cache_remove_all(cache);
	ask("host4.test", TYPE_A, FLAG_RD, 0, false);
	assert_false(answer(OVER_UDP, NOW));
	struct cache_usage usage = cache_usage(cache);
	assert_int_equal(usage.entries + usage.used_bytes, 0);
	assert_int_equal(usage.removed, 200);
	keep("host4.test", TYPE_A, 300, NOW, 4);
	assert_true(answer(OVER_UDP, NOW));
}

// --- eviction ---

static void keep_number(unsigned i, uint32_t ttl, uint32_t now_s)
{
	char name[32];
	snprintf(name, sizeof(name), "host%u.example", i);
	keep(name, TYPE_A, ttl, now_s, (uint8_t)i);
}

static bool holds_number(unsigned i, uint32_t now_s)
{
	char name[32];
	snprintf(name, sizeof(name), "host%u.example", i);
	ask(name, TYPE_A, FLAG_RD, 0, false);
	bool found = answer(OVER_UDP, now_s);
	assert_true(!found || first_octet() == (uint8_t)i);
	return found;
}

static unsigned entries_that_fit(void)
{
	keep_number(0, 300, NOW);
	struct cache_usage usage = cache_usage(cache);
	return (unsigned)(usage.room_bytes / usage.used_bytes);
}

static void many_more_than_fit_need_no_more_memory_and_leave_the_newest(void **state)
{
	(void)state;
	unsigned fit = entries_that_fit(), all = 10 * fit;
	for (unsigned i = 1; i < all; i++)
		keep_number(i, 300, NOW);
	struct cache_usage usage = cache_usage(cache);
	assert_true(usage.entries <= fit && usage.entries > fit * 9 / 10);
	assert_true(usage.used_bytes <= usage.room_bytes);
	assert_int_equal(usage.evicted, all - usage.entries);
	assert_int_equal(usage.expired + usage.spared, 0);
	unsigned found = 0;
	for (unsigned i = all - fit / 2; i < all; i++)
		found += holds_number(i, NOW);
	assert_true(found > fit / 2 * 97 / 100); // but for the few whose bucket was full
	for (unsigned i = 0; i < all - fit - 1; i++)
		assert_false(holds_number(i, NOW));
}

static void what_has_expired_is_counted_apart(void **state)
{
	(void)state;
	unsigned fit = entries_that_fit();
	for (unsigned i = 1; i < fit + 100; i++)
		keep_number(i, i < fit ? 10 : 300, i < fit ? NOW : NOW + 10);
	assert_true(cache_usage(cache).expired >= 90);
}

// A tenth of the names is asked for all the time: these stay, whatever else comes.
static void what_is_used_stays(void **state)
{
	(void)state;
	unsigned fit = entries_that_fit();
	for (unsigned i = 1; i < 10 * fit; i++) {
		keep_number(i, 300, NOW);
		unsigned asked = i * 7 % fit / 10 * 10;
		if (asked > i)
			continue;
		assert_true(holds_number(asked, NOW));
		assert_true(cache_mark_used(cache, hit.position, NULL));
	}
	for (unsigned i = 0; i < fit; i += 10)
		assert_true(holds_number(i, NOW));
	assert_true(cache_usage(cache).spared > fit / 10 * 7);
}

// Not even then: an insertion has to end.
static void when_everything_is_used_something_goes_all_the_same(void **state)
{
	(void)state;
	unsigned fit = entries_that_fit();
	for (unsigned i = 0; i < 5 * fit; i++) {
		keep_number(i, 300, NOW);
		assert_true(holds_number(i, NOW));
		assert_true(cache_mark_used(cache, hit.position, NULL));
	}
	struct cache_usage usage = cache_usage(cache);
	assert_true(usage.entries <= fit && usage.evicted > 3 * fit);
}

// RFC 8767: what was used is of use when nobody can be asked.
static void used_entries_are_spared_after_their_end_only_as_long_as_is_wanted(void **state)
{
	(void)state;
	for (unsigned stale_s = 0; stale_s <= 100; stale_s += 100) {
		cache_remove_all(cache);
		cache_keep_stale(cache, stale_s);
		unsigned fit = entries_that_fit();
		assert_true(holds_number(0, NOW));
		assert_true(cache_mark_used(cache, hit.position, NULL));
		for (unsigned i = 1; i < fit + 10; i++)
			keep_number(i, 300, NOW + 350);
		ask("host0.example", TYPE_A, FLAG_RD, 0, false);
		struct cache_key key = cache_key_of_query(&q.query);
		struct cache_entry entry;
		assert_int_equal(cache_find(cache, &key, &entry), stale_s == 100);
	}
}

static void entries_of_all_lengths_share_the_log(void **state)
{
	(void)state;
	uint32_t random = 1;
	for (unsigned i = 0; i < 3000; i++) {
		char name[32];
		random = random * 1103515245 + 12345;
		unsigned bytes = (random >> 16) % (i % 50 ? 500 : 60000);
		snprintf(name, sizeof(name), "host%u.example", i);
		ask(name, TYPE_TXT, FLAG_RD, 0, false);
		struct writer w = message(1, 0, 0);
		put_record(&w, TYPE_TXT, 60, bytes, (uint8_t)i);
		assert_int_equal(keep_message(&w, (struct cache_record){ .now_s = NOW, .lifetime_s = 60, .why = EDE_NONE }), ST_OK);
		assert_true(answer(OVER_TCP, NOW));
		assert_int_equal(reply.bytes, writer_bytes(&w));
		assert_memory_equal(room + 12, w.start + 12, reply.bytes - 12);
		if (hit.position % 3 == 0)
			assert_true(cache_mark_used(cache, hit.position, NULL));
	}
	uint64_t position = CACHE_START, entries = 0, octets = 0;
	struct cache_entry entry;
	for (; cache_next(cache, &position, &entry); entries++)
		octets += entry.bytes;
	assert_int_equal(entries, cache_usage(cache).entries);
	assert_int_equal(octets, cache_usage(cache).used_bytes);
}

// Records of odd and even lengths, TTLs that come to nothing before others do, larger ones for what is stale.
static void a_reply_from_the_cache_brings_its_sum(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%.*s.example", (int)(1 + i % 8), "abcdefgh");
		ask(name, TYPE_TXT, FLAG_RD, 0, false);
		struct writer w = message(3, 1, 1);
		for (unsigned k = 0; k < 5; k++)
			put_record(&w, TYPE_TXT, k == 3 ? 0x10001u * (i + 1) : 10 + 60 * k, 3 + (i >> k & 1), (uint8_t)(i + k));
		assert_int_equal(keep_message(&w, (struct cache_record){ .now_s = NOW, .lifetime_s = 300, .why = EDE_NONE }), ST_OK);
		for (uint32_t later = 0; later < 300; later += 23) {
			ask(name, TYPE_TXT, FLAG_RD, later & 1 ? 1232 : 0, false);
			assert_true(answer(OVER_UDP, NOW + later));
			assert_true(reply.summed);
		}
		assert_true(answer_stale(NOW + 300, 1u << i % 32)); // with a reason, of which nobody knows the sum
		assert_false(reply.summed);
		ask(name, TYPE_TXT, FLAG_RD, 0, false);
		assert_true(answer_stale(NOW + 300, 1u << i % 32));
		assert_true(reply.summed);
	}
}

// Positions come from another process.
static void a_position_is_not_believed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		keep_number(i, 300, NOW);
	assert_true(holds_number(50, NOW));
	uint64_t good = hit.position;
	struct cache_entry entry;
	assert_true(cache_mark_used(cache, good, &entry));
	assert_true(entry.used);
	static const uint64_t bad[] = { 0, 1, UINT64_MAX, UINT32_MAX, UINT64_C(1) << 32 | UINT32_MAX, UINT64_C(2) << 32 };
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(cache_mark_used(cache, bad[i], NULL));
	assert_false(cache_mark_used(cache, good + 1, NULL));
	struct cache_key key = cache_key_of_query(&q.query);
	assert_true(cache_remove(cache, &key));
	assert_false(cache_mark_used(cache, good, NULL));
}

// --- files ---

static char path[64];

static int begin_file(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/dev/shm/cache-test-%d", (int)getpid());
	unlink(path);
	assert_int_equal(cache_open_writer(&cache, path, CACHE_MIN_BYTES, CACHED_SEED), ST_OK);
	return 0;
}

static int end_file(void **state)
{
	unlink(path);
	return end(state);
}

static void open_again(uint64_t bytes, uint64_t seed)
{
	cache_close(cache);
	assert_int_equal(cache_open_writer(&cache, path, bytes, seed), ST_OK);
}

static void a_reader_sees_what_the_writer_does(void **state)
{
	(void)state;
	struct cache *reader, *other;
	assert_int_equal(cache_open_writer(&other, path, CACHE_MIN_BYTES, CACHED_SEED), ST_BUSY);
	assert_int_equal(cache_open_reader(&reader, path), ST_OK);
	keep("www.example", TYPE_A, 300, NOW, 7);
	struct cache *writer = cache;
	cache = reader;
	assert_true(answer(OVER_UDP, NOW));
	cache_remove_all(writer);
	assert_false(answer(OVER_UDP, NOW));
	cache = writer;
	assert_false(cache_was_replaced(reader, path));
	open_again(2 * CACHE_MIN_BYTES, CACHED_SEED);
	assert_true(cache_was_replaced(reader, path));
	cache_close(reader);
}

static void a_file_that_is_none_is_not_read(void **state)
{
	(void)state;
	struct cache *reader;
	char other[80];
	snprintf(other, sizeof(other), "%s.other", path);
	assert_int_equal(cache_open_reader(&reader, other), ST_NOT_FOUND);
	FILE *file = fopen(other, "w");
	for (unsigned i = 0; i < 10000; i++)
		fputs("no cache ", file);
	fclose(file);
	assert_int_equal(cache_open_reader(&reader, other), ST_CORRUPT);
	struct cache *writer;
	assert_int_equal(cache_open_writer(&writer, other, CACHE_MIN_BYTES, CACHED_SEED), ST_OK);
	cache_close(writer);
	assert_int_equal(cache_open_reader(&reader, other), ST_OK);
	cache_close(reader);
	unlink(other);
	assert_int_equal(cache_open_writer(&writer, other, CACHE_MIN_BYTES - 1, CACHED_SEED), ST_INVALID);
}

static void the_next_writer_keeps_what_is_there(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		keep_number(i, 300, NOW);
	assert_true(holds_number(7, NOW));
	assert_true(cache_mark_used(cache, hit.position, NULL));
	struct cache_usage before = cache_usage(cache);
	uint64_t generation = cache_generation(cache);
	open_again(CACHE_MIN_BYTES, CACHED_SEED);
	struct cache_usage usage = cache_usage(cache);
	assert_int_equal(usage.taken_over, before.entries);
	assert_int_equal(usage.entries, before.entries);
	assert_int_equal(usage.used_bytes, before.used_bytes);
	assert_int_equal(cache_generation(cache), generation + 1);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(holds_number(i, NOW));
	ask("host7.example", TYPE_A, FLAG_RD, 0, false);
	struct cache_key key = cache_key_of_query(&q.query);
	struct cache_entry entry;
	assert_true(cache_find(cache, &key, &entry));
	assert_true(entry.used);
	assert_false(holds_number(1000, NOW));
	keep_number(1000, 300, NOW);
	assert_true(holds_number(1000, NOW));
	open_again(2 * CACHE_MIN_BYTES, CACHED_SEED); // another size: empty
	assert_int_equal(cache_usage(cache).entries, 0);
}

static void removed_entries_do_not_come_back(void **state)
{
	(void)state;
	keep_number(1, 300, NOW);
	keep_number(2, 300, NOW);
	keep_number(2, 300, NOW);
	assert_true(holds_number(1, NOW));
	struct cache_key key = cache_key_of_query(&q.query);
	assert_true(cache_remove(cache, &key));
	open_again(CACHE_MIN_BYTES, CACHED_SEED);
	assert_int_equal(cache_usage(cache).entries, 1);
	assert_false(holds_number(1, NOW));
	assert_true(holds_number(2, NOW));
}

// The seed of the zones region is another one when that region was made anew.
static void with_another_seed_entries_are_found_by_their_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		keep_number(i, 300, NOW);
	open_again(CACHE_MIN_BYTES, CACHED_SEED + 1);
	assert_int_equal(cache_usage(cache).entries, 1000);
	assert_false(holds_number(7, NOW)); // whose hash has the old seed
	struct cache_key key = cache_key_of(cache, (const uint8_t *)"\5host7\7example", TYPE_A, CLASS_IN, false, false);
	struct cache_entry entry;
	assert_true(cache_find(cache, &key, &entry));
	open_again(CACHE_MIN_BYTES, CACHED_SEED);
	assert_int_equal(cache_usage(cache).entries, 1000);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(holds_number(i, NOW));
}

static void a_full_region_is_taken_over_at_any_lap(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 60000; i++) {
		keep_number(i, 300, NOW);
		if (i % 7919)
			continue;
		struct cache_usage before = cache_usage(cache);
		open_again(CACHE_MIN_BYTES, CACHED_SEED);
		assert_int_equal(cache_usage(cache).entries, before.entries);
		assert_int_equal(cache_usage(cache).used_bytes, before.used_bytes);
		assert_true(holds_number(i, NOW));
	}
}

#define ON_MEMORY(name) cmocka_unit_test_setup_teardown(name, begin, end)
#define ON_FILE(name) cmocka_unit_test_setup_teardown(name, begin_file, end_file)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_MEMORY(what_was_kept_is_answered),
		ON_MEMORY(nothing_else_is_answered),
		ON_MEMORY(ttls_count_down_to_the_end),
		ON_MEMORY(no_ttl_is_ever_below_nought_nor_grows),
		ON_MEMORY(case_is_the_askers),
		ON_MEMORY(do_and_cd_are_kept_apart),
		ON_MEMORY(ad_goes_to_who_asks_for_it),
		ON_MEMORY(a_question_without_rd_is_answered_without_it),
		ON_MEMORY(a_no_has_its_rcode_and_soa),
		ON_MEMORY(a_failure_has_its_reason),
		ON_MEMORY(an_opt_is_given_and_none_is_kept),
		ON_MEMORY(what_is_too_long_over_udp_is_cut_in_order),
		ON_MEMORY(the_longest_message_there_can_be_is_kept_whole),
		ON_MEMORY(a_message_that_is_none_is_refused_and_changes_nothing),
		ON_MEMORY(an_expired_entry_is_told_as_stale),
		ON_MEMORY(a_newer_answer_takes_the_place_of_the_older),
		ON_MEMORY(a_view_tells_everything),
		ON_MEMORY(an_entry_comes_out_as_a_message_that_goes_in_again),
		ON_MEMORY(what_is_removed_is_gone),
		ON_MEMORY(many_more_than_fit_need_no_more_memory_and_leave_the_newest),
		ON_MEMORY(what_has_expired_is_counted_apart),
		ON_MEMORY(what_is_used_stays),
		ON_MEMORY(when_everything_is_used_something_goes_all_the_same),
		ON_MEMORY(used_entries_are_spared_after_their_end_only_as_long_as_is_wanted),
		ON_MEMORY(entries_of_all_lengths_share_the_log),
		ON_MEMORY(a_reply_from_the_cache_brings_its_sum),
		ON_MEMORY(a_position_is_not_believed),
		ON_FILE(a_reader_sees_what_the_writer_does),
		ON_FILE(a_file_that_is_none_is_not_read),
		ON_FILE(the_next_writer_keeps_what_is_there),
		ON_FILE(removed_entries_do_not_come_back),
		ON_FILE(with_another_seed_entries_are_found_by_their_names),
		ON_FILE(a_full_region_is_taken_over_at_any_lap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
