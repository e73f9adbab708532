// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#include "keep.h"

#define QNAME "\3www\7example\3com"
#define SOA(ttl, minimum) "example.com. " ttl " SOA ns.example.com. root.example.com. 1 2 3 4 " minimum "\n"
#define SIGNATURE(type) type " 13 3 300 20300101000000 20200101000000 1 example.com. AAAA\n"

static struct message m;
static const struct keep_rules rules = { .max_ttl_s = 86400, .min_ttl_s = 0, .negative_max_ttl_s = 3600 };
static struct learned_key key;

static enum status add_record(void *ctx, const struct record *record)
{
	const struct message_rr rr = { record->owner, record->rdata, record->ttl, record->type, record->class,
		record->rdata_bytes };
	return message_add(&m, *(enum section *)ctx, &rr);
}

// Three sections in the form of a master file.
static void make(uint16_t rcode, const char *answer, const char *authority, const char *additional)
{
	const char *texts[] = { answer, authority, additional };
	struct report report = { .emit = report_to_stream };
	message_clear(&m);
	for (enum section s = SECTION_ANSWER; s < SECTION_COUNT; s++)
		assert_int_equal(zonefile_read_text(texts[s], strlen(texts[s]), "test", (const uint8_t *)"", add_record, &s,
					 &report), ST_OK);
	m.rcode = rcode;
	key = (struct learned_key){ (const uint8_t *)QNAME, TYPE_A, CLASS_IN, false, false };
}

static int tear_down(void **state)
{
	(void)state;
	message_clear(&m);
	return 0;
}

static void expect_kept(uint32_t expected_s)
{
	struct keep keep = { 0 };
	assert_int_equal(keep_judge(&keep, &rules, &key, &m), KEEP_IT);
	assert_int_equal(keep.ttl_s, expected_s);
}

static void expect_refused(enum keep_reason reason)
{
	struct keep keep;
	assert_string_equal(keep_reason_key[keep_judge(&keep, &rules, &key, &m)], keep_reason_key[reason]);
}

static void an_answer_lives_as_long_as_its_shortest_ttl_within_the_ceiling(void **state)
{
	(void)state;
	make(RCODE_NOERROR, "www.example.com. 300 CNAME al.example.com.\nal.example.com. 60 A 192.0.2.1\n", "",
		"x.example.com. 5 A 192.0.2.2\n");
	expect_kept(60);
	make(RCODE_NOERROR, "www.example.com. 604800 A 192.0.2.1\n", "", "");
	expect_kept(86400);
}

static void an_answer_of_ttl_zero_is_not_kept_but_lifted_by_a_floor(void **state)
{
	(void)state;
	make(RCODE_NOERROR, "www.example.com. 0 A 192.0.2.1\n", "", "");
	expect_refused(KEEP_NOT_TTL);
	const struct keep_rules with_floor = { .max_ttl_s = 86400, .min_ttl_s = 30, .negative_max_ttl_s = 3600 };
	struct keep keep = { 0 };
	assert_int_equal(keep_judge(&keep, &with_floor, &key, &m), KEEP_IT);
	assert_int_equal(keep.ttl_s, 30);
	make(RCODE_NOERROR, "www.example.com. 31 A 192.0.2.1\n", "", "");
	assert_int_equal(keep_judge(&keep, &with_floor, &key, &m), KEEP_IT);
	assert_int_equal(keep.ttl_s, 31);
}

static void a_no_lives_as_long_as_its_soa_says_and_at_most_an_hour(void **state)
{
	(void)state;
	for (uint16_t rcode = RCODE_NOERROR; rcode <= RCODE_NXDOMAIN; rcode += RCODE_NXDOMAIN) {
		make(rcode, "", SOA("900", "60"), "");
		expect_kept(60);
		make(rcode, "", SOA("20", "60"), "");
		expect_kept(20);
		make(rcode, "", SOA("86400", "86400"), "");
		expect_kept(3600);
		make(rcode, "", SOA("900", "0"), "");
		expect_refused(KEEP_NOT_TTL);
		make(rcode, "", "", "");
		expect_refused(KEEP_NOT_NO_SOA);
	}
}

static void aliases_that_lead_to_nothing_are_a_no(void **state)
{
	(void)state;
	const char *alias = "www.example.com. 30 CNAME al.example.com.\n";
	make(RCODE_NXDOMAIN, alias, SOA("900", "60"), "");
	expect_kept(30);
	make(RCODE_NOERROR, alias, SOA("900", "20"), "");
	expect_kept(20);
	make(RCODE_NOERROR, alias, "", "");
	expect_refused(KEEP_NOT_NO_SOA);
	key.type = TYPE_CNAME;
	expect_kept(30);
	make(RCODE_NOERROR, "www.example.com. 30 CNAME www.example.com.\n", "", "");
	expect_refused(KEEP_NOT_NO_SOA);
}

static void only_answers_about_data_are_kept(void **state)
{
	(void)state;
	static const uint16_t types[] = { 0, TYPE_ANY, TYPE_AXFR, TYPE_IXFR, TYPE_OPT, 249, 250, 128 };
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		make(RCODE_NOERROR, "www.example.com. 300 A 192.0.2.1\n", "", "");
		key.type = types[i];
		expect_refused(KEEP_NOT_QUESTION);
	}
	make(RCODE_NOERROR, "www.example.com. 300 A 192.0.2.1\n", "", "");
	key.class = CLASS_ANY;
	expect_refused(KEEP_NOT_QUESTION);
	make(RCODE_NOERROR, "www.example.com. 300 TYPE65280 \\# 1 00\n", "", "");
	key.type = 65280;
	expect_kept(300);
	make(RCODE_NOERROR, "www.example.com. 300 A 192.0.2.1\n", "", "");
	m.flags = FLAG_TC;
	expect_refused(KEEP_NOT_TRUNCATED);
	for (uint16_t rcode = 0; rcode < 24; rcode++) {
		make(rcode, "www.example.com. 300 A 192.0.2.1\n", SOA("900", "60"), "");
		if (rcode != RCODE_NOERROR && rcode != RCODE_NXDOMAIN)
			expect_refused(KEEP_NOT_RCODE);
	}
}

// What was written, read again.
static unsigned write_and_read(struct message *out, const struct keep_rules *with)
{
	static struct composer composer;
	static uint8_t wire[DNS_MAX_BYTES];
	struct keep keep = { 0 };
	assert_int_equal(keep_judge(&keep, with, &key, &m), KEEP_IT);
	unsigned bytes = keep_write(&composer, wire, sizeof(wire), with, &key, &m, keep.ttl_s);
	assert_int_equal(message_read(out, wire, bytes), ST_OK);
	return bytes;
}

static void records_that_die_sooner_are_left_out_and_ttls_of_an_rrset_are_one(void **state)
{
	(void)state;
	struct message out;
	make(RCODE_NOERROR, "www.example.com. 300 A 192.0.2.1\nwww.example.com. 200 A 192.0.2.2\n",
		"example.com. 900 NS ns.example.com.\nexample.com. 100 TXT short\n",
		"ns.example.com. 500 A 192.0.2.3\nns.example.com. 199 AAAA 2001:db8::1\n");
	write_and_read(&out, &rules);
	assert_int_equal(out.section_at[SECTION_COUNT], 4);
	assert_int_equal(out.rr[0].ttl, 200);
	assert_int_equal(out.rr[1].ttl, 200);
	assert_int_equal(out.rr[2].type, TYPE_NS);
	assert_int_equal(out.rr[2].ttl, 900);
	assert_int_equal(out.rr[3].ttl, 500);
	message_clear(&out);
}

static void the_soa_of_a_no_dies_with_it_and_ttls_stay_inside_the_rules(void **state)
{
	(void)state;
	const struct keep_rules tight = { .max_ttl_s = 100, .min_ttl_s = 50, .negative_max_ttl_s = 40 };
	struct message out;
	make(RCODE_NXDOMAIN, "", SOA("900", "500"), "");
	write_and_read(&out, &tight);
	assert_int_equal(out.rr[0].ttl, 40);
	message_clear(&out);
	make(RCODE_NOERROR, "www.example.com. 900 CNAME al.example.com.\nal.example.com. 5 A 192.0.2.1\n", "", "");
	write_and_read(&out, &tight);
	assert_int_equal(out.rr[0].ttl, 100);
	assert_int_equal(out.rr[1].ttl, 50);
	message_clear(&out);
}

static void signatures_and_proofs_are_kept_for_those_who_want_them_and_end_the_answer(void **state)
{
	(void)state;
	const char *answer = "www.example.com. 300 A 192.0.2.1\nwww.example.com. 250 RRSIG " SIGNATURE("A");
	const char *proof = "example.com. 100 NSEC z.example.com. A\nexample.com. 90 RRSIG " SIGNATURE("NSEC");
	struct message out;
	make(RCODE_NOERROR, answer, proof, "");
	expect_kept(300);
	write_and_read(&out, &rules);
	assert_int_equal(out.section_at[SECTION_COUNT], 1);
	message_clear(&out);
	key.dnssec_ok = true;
	expect_kept(90);
	write_and_read(&out, &rules);
	assert_int_equal(out.section_at[SECTION_COUNT], 4);
	message_clear(&out);
	key.dnssec_ok = false;
	key.type = TYPE_RRSIG;
	expect_kept(250);
}

static void nothing_outlives_its_signatures(void **state)
{
	(void)state;
	struct keep_rules now = rules;
	struct keep keep = { 0 };
	make(RCODE_NOERROR, "www.example.com. 300 A 192.0.2.1\nwww.example.com. 300 RRSIG " SIGNATURE("A"), "", "");
	key.dnssec_ok = true;
	now.wall_s = 1893456000 - 40; // 2030-01-01 less 40 s
	assert_int_equal(keep_judge(&keep, &now, &key, &m), KEEP_IT);
	assert_int_equal(keep.ttl_s, 40);
	now.wall_s = 1893456000 + 40; // it has run out: whoever validates will see that
	assert_int_equal(keep_judge(&keep, &now, &key, &m), KEEP_IT);
	assert_int_equal(keep.ttl_s, 300);
	key.dnssec_ok = false;
	now.wall_s = 1893456000 - 40;
	assert_int_equal(keep_judge(&keep, &now, &key, &m), KEEP_IT);
	assert_int_equal(keep.ttl_s, 300);
}

static void owners_equal_to_the_question_become_pointers_to_it(void **state)
{
	(void)state;
	struct message out;
	make(RCODE_NOERROR, "WWW.eXample.com. 300 A 192.0.2.1\nwwW.example.com. 300 A 192.0.2.2\n", "", "");
	unsigned bytes = write_and_read(&out, &rules);
	assert_int_equal(bytes, DNS_HEADER_BYTES + 17 + 4 + 2 * 16);
	assert_memory_equal(out.rr[1].owner, QNAME, 17);
	message_clear(&out);
}

static void what_finds_no_room_is_not_kept_at_all(void **state)
{
	(void)state;
	static struct composer composer;
	uint8_t wire[64];
	make(RCODE_NOERROR, "www.example.com. 300 A 192.0.2.1\nwww.example.com. 300 A 192.0.2.2\n", "", "");
	assert_int_equal(keep_write(&composer, wire, sizeof(wire), &rules, &key, &m, 300), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(an_answer_lives_as_long_as_its_shortest_ttl_within_the_ceiling, tear_down),
		cmocka_unit_test_teardown(an_answer_of_ttl_zero_is_not_kept_but_lifted_by_a_floor, tear_down),
		cmocka_unit_test_teardown(a_no_lives_as_long_as_its_soa_says_and_at_most_an_hour, tear_down),
		cmocka_unit_test_teardown(aliases_that_lead_to_nothing_are_a_no, tear_down),
		cmocka_unit_test_teardown(only_answers_about_data_are_kept, tear_down),
		cmocka_unit_test_teardown(records_that_die_sooner_are_left_out_and_ttls_of_an_rrset_are_one, tear_down),
		cmocka_unit_test_teardown(the_soa_of_a_no_dies_with_it_and_ttls_stay_inside_the_rules, tear_down),
		cmocka_unit_test_teardown(
			signatures_and_proofs_are_kept_for_those_who_want_them_and_end_the_answer, tear_down),
		cmocka_unit_test_teardown(nothing_outlives_its_signatures, tear_down),
		cmocka_unit_test_teardown(owners_equal_to_the_question_become_pointers_to_it, tear_down),
		cmocka_unit_test_teardown(what_finds_no_room_is_not_kept_at_all, tear_down),
	};
	int failed = cmocka_run_group_tests_name("keep", tests, NULL, NULL);
	return failed ? 1 : 0;
}
