// SPDX-License-Identifier: BSD-3-Clause
// What is told of signed zones. The signatures are made up: nobody here computes them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pollux/zonefile.h>

#define NOW_S 1795219200 // 2026-11-21
#define RRSIG(type, labels) " RRSIG " type " 13 " labels " 60 20270101000000 20260101000000 1038 s.test. AAAA\n"

static const char nsec_zone[] =
	"$TTL 60\n"
	"@ SOA ns h 1 2 3 4 5\n@" RRSIG("SOA", "2")
	"@ NS ns\n@" RRSIG("NS", "2")
	"@ DNSKEY 257 3 13 AAAA\n@" RRSIG("DNSKEY", "2") // key tag 1038
	"@ NSEC *.a NS SOA RRSIG NSEC DNSKEY\n@" RRSIG("NSEC", "2")
	"*.a A 192.0.2.1\n*.a" RRSIG("A", "3")
	"*.a TYPE65280 \\# 0\n*.a" RRSIG("TYPE65280", "3")
	"*.a NSEC b A RRSIG NSEC TYPE65280\n*.a" RRSIG("NSEC", "3")
	"b DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000\nb" RRSIG("DS", "3")
	"b NS ns.b\nns.b A 192.0.2.2\nb A 192.0.2.3\n"
	"b NSEC c NS DS RRSIG NSEC\nb" RRSIG("NSEC", "3")
	"c NS ns.b\nc NSEC ns NS RRSIG NSEC\nc" RRSIG("NSEC", "3")
	"ns A 192.0.2.4\nns" RRSIG("A", "3")
	"ns NSEC x.y.z A RRSIG NSEC\nns" RRSIG("NSEC", "3")
	"x.y.z A 192.0.2.5\nx.y.z" RRSIG("A", "5")
	"x.y.z NSEC @ A RRSIG NSEC\nx.y.z" RRSIG("NSEC", "5");

#define HASH_OF_APEX "gp9orhrv0qefkv7gtjttk8vnocvsoojo"
#define HASH_OF_WWW "gdkbrbc24lbk4chu0kbo918c2mtmmtu8"
static const char nsec3_zone[] = // with opt-out
	"$TTL 60\n"
	"@ SOA ns h 1 2 3 4 5\n@" RRSIG("SOA", "2")
	"@ NS ns.x.\n@" RRSIG("NS", "2")
	"@ DNSKEY 257 3 13 AAAA\n@" RRSIG("DNSKEY", "2")
	"@ NSEC3PARAM 1 0 0 -\n@" RRSIG("NSEC3PARAM", "2")
	"www A 192.0.2.1\nwww" RRSIG("A", "3")
	HASH_OF_APEX " NSEC3 1 1 0 - " HASH_OF_WWW " NS SOA RRSIG DNSKEY NSEC3PARAM\n" HASH_OF_APEX RRSIG("NSEC3", "3")
	HASH_OF_WWW " NSEC3 1 1 0 - " HASH_OF_APEX " A RRSIG\n" HASH_OF_WWW RRSIG("NSEC3", "3");

static char told[1 << 16];
static unsigned lines;
static uint32_t expires; // of the image

static void take_line(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	(void)ctx;
	(void)file;
	(void)line;
	(void)column;
	lines++;
	strlcat(told, severity == SEVERITY_ERROR ? "error: " : "", sizeof(told));
	strlcat(told, text, sizeof(told));
	strlcat(told, "\n", sizeof(told));
}

static const char *judge_at(const char *text, uint64_t now_s)
{
	static const uint8_t apex[] = "\1s\4test";
	struct report report = { .emit = take_line };
	told[0] = '\0';
	lines = 0;
	struct zone_builder *builder = zone_builder_new(apex, 1);
	zone_builder_set_report(builder, &report);
	zone_builder_set_time(builder, now_s);
	assert_int_equal(zonefile_read_text(text, strlen(text), "zone", apex, zone_builder_add, builder, &report), ST_OK);
	enum status status = zone_builder_check(builder);
	assert_int_equal(status, report.errors ? ST_INVALID : ST_OK);
	if (status == ST_OK) {
		static uint8_t room[1 << 16] __attribute__((aligned(64)));
		assert_true(zone_builder_image_bytes(builder, NULL) <= sizeof(room));
		zone_builder_write(builder, room, NULL, 1);
		expires = ((struct image *)(void *)room)->expires;
	}
	zone_builder_free(builder);
	return told;
}

// The zone with the first of these words replaced.
static const char *judge_with(const char *zone, const char *instead_of, const char *put)
{
	static char text[1 << 16];
	const char *at = strstr(zone, instead_of);
	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - zone), zone, put, at + strlen(instead_of));
	return judge_at(text, NOW_S);
}

static void a_zone_in_order_is_passed_over_in_silence(void **state)
{
	(void)state;
	assert_string_equal(judge_at(nsec_zone, NOW_S), "");
	assert_string_equal(judge_at(nsec3_zone, NOW_S), "");
}

static void an_rrset_without_a_signature_is_told(void **state)
{
	(void)state;
	assert_string_equal(judge_with(nsec_zone, "\n*.a" RRSIG("TYPE65280", "3"), "\n"), "*.a.s.test.: TYPE65280: no RRSIG\n");
	assert_string_equal(judge_with(nsec_zone, "\n*.a" RRSIG("NSEC", "3"), "\n"), "*.a.s.test.: NSEC: no RRSIG\n");
	assert_string_equal(judge_with(nsec_zone, "\nb" RRSIG("DS", "3"), "\n"), "b.s.test.: DS: no RRSIG\n");
}

static void a_signature_for_nothing_is_told(void **state)
{
	(void)state;
	assert_string_equal(judge_with(nsec_zone, "ns A 192.0.2.4\n", "ns A 192.0.2.4\nns" RRSIG("TXT", "3")),
		"ns.s.test.: TXT: an RRSIG for records that are not there\n");
}

static void signatures_are_judged_by_the_time_given(void **state)
{
	(void)state;
	assert_non_null(strstr(judge_at(nsec_zone, NOW_S + 366 * 86400), "s.test.: SOA: this RRSIG has expired\n"));
	assert_non_null(strstr(judge_at(nsec_zone, NOW_S - 366 * 86400), "s.test.: SOA: this RRSIG is not valid yet\n"));
	assert_string_equal(judge_at(nsec_zone, 0), "");
}

static void the_image_says_when_its_first_signature_runs_out(void **state)
{
	(void)state;
	judge_at(nsec_zone, NOW_S);
	assert_int_equal(expires, 1798761600); // 2027-01-01
	judge_with(nsec_zone, "NSEC 13 5 60 20270101000000", "NSEC 13 5 60 20261202000000");
	assert_int_equal(expires, 1796169600);
	judge_with(nsec_zone, "NSEC 13 5 60 20270101000000", "NSEC 13 5 60 20280101000000");
	assert_int_equal(expires, 1798761600);
	judge_at("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns.x.\n", NOW_S);
	assert_int_equal(expires, 0);
}

static void of_each_kind_ten_are_told_and_the_rest_counted(void **state)
{
	(void)state;
	judge_at(nsec_zone, NOW_S + 366 * 86400);
	assert_int_equal(lines, 11);
	assert_non_null(strstr(told, "s.test.: 4 times more: this RRSIG has expired\n"));
}

static void a_signature_by_an_unknown_key_or_another_zone_is_told(void **state)
{
	(void)state;
	assert_string_equal(judge_with(nsec_zone, "SOA 13 2 60 20270101000000 20260101000000 1038", "SOA 13 2 60 20270101000000 20260101000000 1039"),
		"s.test.: SOA: no DNSKEY with the key tag and the algorithm of this RRSIG\n");
	assert_string_equal(judge_with(nsec_zone, "SOA 13 2", "SOA 8 2"),
		"s.test.: SOA: no DNSKEY with the key tag and the algorithm of this RRSIG\n");
	assert_string_equal(judge_with(nsec_zone, "1038 s.test.", "1038 test."),
		"s.test.: SOA: the signer of this RRSIG is not the zone\n");
	assert_string_equal(judge_with(nsec_zone, "SOA 13 2", "SOA 13 3"),
		"s.test.: SOA: the number of labels in this RRSIG is not that of the name\n");
}

static void a_name_without_its_nsec_is_told(void **state)
{
	(void)state;
	assert_string_equal(judge_with(nsec_zone, "ns NSEC x.y.z A RRSIG NSEC\nns" RRSIG("NSEC", "3"), ""),
		"c.s.test.: the next name of this NSEC is not that of the next link of the chain\nns.s.test.: no NSEC at this name\n");
}

static void types_that_differ_from_those_of_the_name_are_told(void **state)
{
	(void)state;
	static const char *const wrong[] = { "A RRSIG NSEC TXT", "RRSIG NSEC", "A NSEC", "A RRSIG NSEC TYPE65281", "" };
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char put[100];
		snprintf(put, sizeof(put), "ns NSEC x.y.z %s\n", wrong[i]);
		assert_string_equal(judge_with(nsec_zone, "ns NSEC x.y.z A RRSIG NSEC\n", put),
			"ns.s.test.: NSEC: the types listed are not those of the name\n");
	}
}

static void addresses_at_a_cut_are_not_the_zones_own(void **state)
{
	(void)state;
	assert_string_equal(judge_with(nsec_zone, "b NSEC c NS DS RRSIG NSEC", "b NSEC c A NS DS RRSIG NSEC"),
		"b.s.test.: NSEC: the types listed are not those of the name\n");
}

static void a_ds_without_a_delegation_is_told(void **state)
{
	(void)state;
	assert_non_null(strstr(judge_with(nsec_zone, "ns A 192.0.2.4\n",
		"ns A 192.0.2.4\nns DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000\n"),
		"ns.s.test.: a DS without a delegation at this name\n"));
}

static void a_key_without_a_chain_is_told(void **state)
{
	(void)state;
	const char *said = judge_at("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@" RRSIG("SOA", "2") "@ NS ns.x.\n@" RRSIG("NS", "2")
		"@ DNSKEY 257 3 13 AAAA\n@" RRSIG("DNSKEY", "2"), NOW_S);
	assert_string_equal(said, "s.test.: neither NSEC nor NSEC3PARAM beside the DNSKEY: denials cannot be proved\n");
	said = judge_with(nsec3_zone, "NSEC3PARAM 1 0 0 -", "NSEC3PARAM 1 0 0 aa");
	assert_non_null(strstr(said, "s.test.: no NSEC3 has the parameters of this NSEC3PARAM: denials cannot be proved\n"));
}

static void too_many_iterations_are_an_error(void **state)
{
	(void)state;
	assert_non_null(strstr(judge_with(nsec3_zone, "NSEC3PARAM 1 0 0 -", "NSEC3PARAM 1 0 151 -"), "error: NSEC3 with 151 iterations"));
}

static void a_name_without_its_nsec3_is_told_unless_it_may_opt_out(void **state)
{
	(void)state;
	assert_string_equal(judge_with(nsec3_zone, "www A 192.0.2.1\n", "www A 192.0.2.1\nmore A 192.0.2.2\nmore" RRSIG("A", "3")),
		"more.s.test.: no NSEC3 for this name\n");
	assert_string_equal(judge_with(nsec3_zone, "www A 192.0.2.1\n", "www A 192.0.2.1\nx.more NS ns.x.\n"), "");
	assert_string_equal(judge_with(nsec3_zone, "www A 192.0.2.1\nwww" RRSIG("A", "3"), ""), HASH_OF_WWW ".s.test.: this NSEC3 is for a name that is not there\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_zone_in_order_is_passed_over_in_silence),
		cmocka_unit_test(an_rrset_without_a_signature_is_told),
		cmocka_unit_test(a_signature_for_nothing_is_told),
		cmocka_unit_test(signatures_are_judged_by_the_time_given),
		cmocka_unit_test(the_image_says_when_its_first_signature_runs_out),
		cmocka_unit_test(of_each_kind_ten_are_told_and_the_rest_counted),
		cmocka_unit_test(a_signature_by_an_unknown_key_or_another_zone_is_told),
		cmocka_unit_test(a_name_without_its_nsec_is_told),
		cmocka_unit_test(types_that_differ_from_those_of_the_name_are_told),
		cmocka_unit_test(addresses_at_a_cut_are_not_the_zones_own),
		cmocka_unit_test(a_ds_without_a_delegation_is_told),
		cmocka_unit_test(a_key_without_a_chain_is_told),
		cmocka_unit_test(too_many_iterations_are_an_error),
		cmocka_unit_test(a_name_without_its_nsec3_is_told_unless_it_may_opt_out),
	};
	return cmocka_run_group_tests_name("signed", tests, NULL, NULL) ? 1 : 0;
}
