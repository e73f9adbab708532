// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

static const uint8_t origin[] = "\4test\7example"; // the final NUL is the root

#define RECORDS_KEPT 64

// What came out of a file: a line per record, a line per message.
struct result {
	char records[1 << 16], messages[1 << 14];
	unsigned count, last_line;
	uint64_t hash; // of every record, for files with too many to keep
	enum status answer; // of the handler
	enum status status;
	struct report report;
};

static enum status take(void *ctx, const struct record *record)
{
	struct result *r = ctx;
	char owner[NAME_TEXT_BYTES], type[16], rdata[4096], line[8192];
	rdata_to_text(rdata, sizeof(rdata), record->type, record->rdata, record->rdata_bytes);
	snprintf(line, sizeof(line), "%s %u %s %s\n", name_to_text(owner, record->owner), record->ttl,
		rrtype_to_text(type, record->type), rdata);
	if (r->count < RECORDS_KEPT)
		strlcat(r->records, line, sizeof(r->records));
	for (const char *c = line; *c; c++)
		r->hash = (r->hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	assert_int_equal(record->class, 1);
	r->last_line = record->line;
	r->count++;
	return r->answer;
}

static void note(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	struct result *r = ctx;
	char all[2048];
	const char *name = strrchr(file, '/');
	snprintf(all, sizeof(all), "%s:%u:%u: %s%s\n", name ? name + 1 : file, line, column,
		severity == SEVERITY_WARNING ? "warning: " : "", text);
	strlcat(r->messages, all, sizeof(r->messages));
}

static void prepare(struct result *r)
{
	r->records[0] = r->messages[0] = '\0';
	r->count = r->last_line = 0;
	r->hash = 1;
	r->answer = ST_OK;
	r->report = (struct report){ .emit = note, .ctx = r };
}

static void read_bytes_of(struct result *r, const char *text, size_t bytes)
{
	prepare(r);
	// Exactly so many octets, so that a sanitizer sees a look behind them.
	char *copy = malloc(bytes ? bytes : 1);
	assert_non_null(copy);
	memcpy(copy, text, bytes);
	r->status = zonefile_read_text(copy, bytes, "zone", origin, take, r, &r->report);
	free(copy);
}

static void read_text(struct result *r, const char *text)
{
	read_bytes_of(r, text, strlen(text));
}

static struct result result; // too large for a stack

// Reads `text` below "$TTL 3600" (line 1) and expects exactly these records and no message.
static void gives(const char *text, const char *records)
{
	char zone[8192];
	snprintf(zone, sizeof(zone), "$TTL 3600\n%s", text);
	read_text(&result, zone);
	assert_string_equal(result.messages, "");
	assert_string_equal(result.records, records);
	assert_int_equal(result.status, ST_OK);
}

// Expects exactly these messages, the text being line 1 and what follows.
static void complains(const char *text, const char *messages)
{
	read_text(&result, text);
	assert_string_equal(result.messages, messages);
	assert_int_equal(result.status, result.report.errors ? ST_SYNTAX : ST_OK);
}

static void ttl_and_class_stand_in_either_order_or_not_at_all(void **state)
{
	(void)state;
	gives("@ 60 IN A 192.0.2.1\n", "test.example. 60 A 192.0.2.1\n");
	gives("@ IN 60 A 192.0.2.1\n", "test.example. 60 A 192.0.2.1\n");
	gives("www A 192.0.2.1\n", "www.test.example. 3600 A 192.0.2.1\n");
	gives("www 60 A 192.0.2.1\n", "www.test.example. 60 A 192.0.2.1\n");
	gives("www IN A 192.0.2.1\n", "www.test.example. 3600 A 192.0.2.1\n");
	gives("www CLASS1 A 192.0.2.1\n", "www.test.example. 3600 A 192.0.2.1\n");
}

static void ttls_have_units(void **state)
{
	(void)state;
	gives("www 1H A 192.0.2.1\n", "www.test.example. 3600 A 192.0.2.1\n");
	gives("www IN 1h30m A 192.0.2.1\n", "www.test.example. 5400 A 192.0.2.1\n");
	gives("$TTL 1w\nwww A 192.0.2.1\n", "www.test.example. 604800 A 192.0.2.1\n");
	gives("$ttl 1W2D3h4M5s\nwww A 192.0.2.1\n", "www.test.example. 788645 A 192.0.2.1\n");
	gives("@ SOA ns root 1 1d 2h 4w 1h\n",
		"test.example. 3600 SOA ns.test.example. root.test.example. 1 86400 7200 2419200 3600\n");
}

static void a_line_that_begins_with_a_blank_keeps_the_owner(void **state)
{
	(void)state;
	gives("www IN A 192.0.2.1\n\tIN A 192.0.2.2\n A 192.0.2.3\n\n ; comment\n  AAAA ::1\n",
		"www.test.example. 3600 A 192.0.2.1\nwww.test.example. 3600 A 192.0.2.2\n"
		"www.test.example. 3600 A 192.0.2.3\nwww.test.example. 3600 AAAA ::1\n");
	gives("www A 192.0.2.1\n$ORIGIN sub\n A 192.0.2.2\n",
		"www.test.example. 3600 A 192.0.2.1\nwww.test.example. 3600 A 192.0.2.2\n");
}

static void owners_may_look_like_anything(void **state)
{
	(void)state;
	gives("12 IN PTR h.\n", "12.test.example. 3600 PTR h.\n");
	gives("in in a 192.0.2.1\n", "in.test.example. 3600 A 192.0.2.1\n");
	gives("a a 192.0.2.1\n", "a.test.example. 3600 A 192.0.2.1\n");
	gives("*.wild IN A 192.0.2.1\n", "*.wild.test.example. 3600 A 192.0.2.1\n");
	gives("a\\.b IN A 192.0.2.1\n", "a\\.b.test.example. 3600 A 192.0.2.1\n");
	gives("\\065 IN A 192.0.2.1\n", "A.test.example. 3600 A 192.0.2.1\n");
	gives("\\@ IN A 192.0.2.1\n", "\\@.test.example. 3600 A 192.0.2.1\n");
	gives("a\\;\\(\\ \\\" IN A 192.0.2.1\n", "a\\;\\(\\032\\\".test.example. 3600 A 192.0.2.1\n");
	gives("Www.TEST.example. A 192.0.2.1\n", "Www.TEST.example. 3600 A 192.0.2.1\n");
	gives(". NS a.\n", ". 3600 NS a.\n");
	gives("other.org. A 192.0.2.1\n", "other.org. 3600 A 192.0.2.1\n"); // for the zone to ignore
}

static void class_and_type_are_read_in_any_case(void **state)
{
	(void)state;
	gives("www in a 192.0.2.1\n", "www.test.example. 3600 A 192.0.2.1\n");
	gives("www iN cNaMe x\n", "www.test.example. 3600 CNAME x.test.example.\n");
	gives("www nsap-ptr x\n", "www.test.example. 3600 NSAP-PTR x.test.example.\n");
}

static void relative_names_in_rdata_get_the_origin(void **state)
{
	(void)state;
	gives("@ IN NS ns1\n@ IN MX 10 mail\n@ IN NS @\n@ NS a.b.\n",
		"test.example. 3600 NS ns1.test.example.\ntest.example. 3600 MX 10 mail.test.example.\n"
		"test.example. 3600 NS test.example.\ntest.example. 3600 NS a.b.\n");
}

static void quotes_keep_what_stands_between_them(void **state)
{
	(void)state;
	gives("@ IN TXT \"hello world\" \"a;b\" plain\n", "test.example. 3600 TXT \"hello world\" \"a;b\" \"plain\"\n");
	gives("@ TXT \"(\" \")\" \"\" \"\\\"\" \"\\\\\"\n", "test.example. 3600 TXT \"(\" \")\" \"\" \"\\\"\" \"\\\\\"\n");
	gives("@ TXT a;b\n", "test.example. 3600 TXT \"a\"\n");
}

static void parentheses_stand_anywhere(void **state)
{
	(void)state;
	const char *mx = "test.example. 3600 MX 10 mail.test.example.\n";
	gives("@ IN MX ( 10 mail )\n", mx);
	gives("@ IN MX ( 10\n mail\n )\n", mx);
	gives("@ IN MX (10 mail)\n", mx);
	gives("@ (IN MX ; comment )\n\n10 ) mail\n", mx);
	gives("( @ IN\nMX 10\nmail )\n", mx);
	gives("@ IN MX ((10) (mail))\n", mx);
	gives("@ IN MX 10(mail)\n", mx);
	gives("@ TXT (\na\nb )\n", "test.example. 3600 TXT \"a\" \"b\"\n");
}

static void origin_may_be_relative(void **state)
{
	(void)state;
	gives("$ORIGIN sub\nwww A 192.0.2.1\n$origin a.b\n@ A 192.0.2.2\n$ORIGIN c.\n@ A 192.0.2.3\n",
		"www.sub.test.example. 3600 A 192.0.2.1\na.b.sub.test.example. 3600 A 192.0.2.2\nc. 3600 A 192.0.2.3\n");
	gives("$ORIGIN .\nwww A 192.0.2.1\n", "www. 3600 A 192.0.2.1\n");
}

static void every_listed_type_is_accepted(void **state)
{
	(void)state;
	gives("@ IN TYPE65534 \\# 2 0102\n", "test.example. 3600 TYPE65534 \\# 2 0102\n");
	gives("@ IN TYPE65534 \\# 0\n", "test.example. 3600 TYPE65534 \\# 0\n");
	gives("@ CAA 0 issue x\n@ DS 1 8 200 aabb\n", "test.example. 3600 CAA 0 issue \"x\"\ntest.example. 3600 DS 1 8 200 AABB\n");
	gives("@ NAPTR 1 2 \"u\" \"s\" \"!a!b!\" .\n@ DNAME o.\n",
		"test.example. 3600 NAPTR 1 2 \"u\" \"s\" \"!a!b!\" .\ntest.example. 3600 DNAME o.\n");
}

static void a_digest_of_a_wrong_length_is_a_warning_and_served(void **state)
{
	(void)state;
	complains("@ 1 SSHFP 1 1 aabb\n@ 1 DS 1 8 2 aabb\n@ 1 TLSA 3 1 1 00\n@ 1 ZONEMD 1 1 1 00\n@ 1 CDS 0 0 0 00\n",
		"zone:1:19: warning: SSHFP: a digest of kind 1 has 20 octets, this one 2\n"
		"zone:2:18: warning: DS: a digest of kind 2 has 32 octets, this one 2\n"
		"zone:3:18: warning: TLSA: a digest of kind 1 has 32 octets, this one 1\n"
		"zone:4:20: warning: ZONEMD: a digest of kind 1 has 48 octets, this one 1\n");
	assert_string_equal(result.records, "test.example. 1 SSHFP 1 1 AABB\ntest.example. 1 DS 1 8 2 AABB\n"
					    "test.example. 1 TLSA 3 1 1 00\ntest.example. 1 ZONEMD 1 1 1 00\n"
					    "test.example. 1 CDS 0 0 0 00\n");
}

static void generate_makes_a_record_for_each_number(void **state)
{
	(void)state;
	gives("$GENERATE 1-3 h$ A 198.18.0.$\n",
		"h1.test.example. 3600 A 198.18.0.1\nh2.test.example. 3600 A 198.18.0.2\n"
		"h3.test.example. 3600 A 198.18.0.3\n");
	gives("$GENERATE 0-6/3 ${10,4,d}.x 60 IN CNAME ${-0,0,x}$\n",
		"0010.x.test.example. 60 CNAME 00.test.example.\n0013.x.test.example. 60 CNAME 33.test.example.\n"
		"0016.x.test.example. 60 CNAME 66.test.example.\n");
	gives("$GENERATE 26-26 ${0,0,n} PTR ${0,3,X}.${0,5,N}.${0,0,o}\n",
		"a.1.test.example. 3600 PTR 01A.A.1.0.32.test.example.\n");
	gives("$GENERATE 5-5 a\\$b$$c TXT \"$ \\$\"\n", "a\\$b\\$c.test.example. 3600 TXT \"5 $\"\n");
	gives("$GENERATE 1-1 ( h$ ; comment\nA 198.18.0.$ )\nx A 198.18.0.9\n",
		"h1.test.example. 3600 A 198.18.0.1\nx.test.example. 3600 A 198.18.0.9\n");
}

static void a_missing_ttl_is_the_default_or_the_last_or_the_soa_minimum(void **state)
{
	(void)state;
	read_text(&result, "@ 60 A 192.0.2.1\n@ A 192.0.2.2\n$TTL 7\n@ A 192.0.2.3\n@ 60 A 192.0.2.4\n@ A 192.0.2.5\n");
	assert_string_equal(result.messages, "");
	assert_string_equal(result.records,
		"test.example. 60 A 192.0.2.1\ntest.example. 60 A 192.0.2.2\ntest.example. 7 A 192.0.2.3\n"
		"test.example. 60 A 192.0.2.4\ntest.example. 7 A 192.0.2.5\n");
	complains("@ SOA a b 1 2 3 4 5\n@ NS a\n", "zone:1:20: warning: no TTL for the SOA and no $TTL: its MINIMUM of 5 s is taken\n");
	assert_string_equal(result.records,
		"test.example. 5 SOA a.test.example. b.test.example. 1 2 3 4 5\ntest.example. 5 NS a.test.example.\n");
	complains("@ NS a\n", "zone:1:7: expected a TTL: there is none here, none before, and no $TTL\n");
}

static void a_ttl_with_its_top_bit_set_counts_as_zero(void **state)
{
	(void)state;
	complains("@ 2147483647 NS a\n", "");
	assert_string_equal(result.records, "test.example. 2147483647 NS a.test.example.\n");
	complains("@ 2147483648 NS a\n$TTL 4294967295\n@ NS b\n",
		"zone:1:3: warning: TTL 2147483648 is above 2147483647 and counts as 0 (RFC 2181 8)\n"
		"zone:2:6: warning: TTL 4294967295 is above 2147483647 and counts as 0 (RFC 2181 8)\n");
	assert_string_equal(result.records, "test.example. 0 NS a.test.example.\ntest.example. 0 NS b.test.example.\n");
	complains("@ 4294967296 NS a\n",
		"zone:1:3: expected a TTL of at most 4294967295 seconds, a class or an RR type, found \"4294967296\"\n");
}

static void line_ends_of_any_system_are_read(void **state)
{
	(void)state;
	gives("www A 192.0.2.1\r\n\r\n A 192.0.2.2\r\n@ MX ( 10\r\nmail )\r\n@ TXT a\r\n",
		"www.test.example. 3600 A 192.0.2.1\nwww.test.example. 3600 A 192.0.2.2\n"
		"test.example. 3600 MX 10 mail.test.example.\ntest.example. 3600 TXT \"a\"\n");
	gives("www A 192.0.2.1", "www.test.example. 3600 A 192.0.2.1\n");
	gives("www TXT a ; no newline", "www.test.example. 3600 TXT \"a\"\n");
	gives("", "");
}

static void a_byte_order_mark_is_skipped(void **state)
{
	(void)state;
	complains("\xef\xbb\xbf$TTL 60\nwww A 192.0.2.1\n", "");
	assert_string_equal(result.records, "www.test.example. 60 A 192.0.2.1\n");
}

static void longest_names_and_strings_fit_and_longer_ones_do_not(void **state)
{
	(void)state;
	char line[2048], label[65], string[258];
	memset(label, 'a', sizeof(label));
	memset(string, 's', sizeof(string));
	snprintf(line, sizeof(line), "@ 1 TXT %.255s\n", string);
	complains(line, "");
	snprintf(line, sizeof(line), "@ 1 TXT x %.256s\n", string);
	complains(line, "zone:1:11: TXT: a text longer than 255 octets\n");
	snprintf(line, sizeof(line), "%.63s.\\097%.62s.%.63s.%.61s. 1 NS a\n", label, label, label, label);
	complains(line, "");
	snprintf(line, sizeof(line), "%.63s.%.63s.%.63s.%.62s. 1 NS a\n", label, label, label, label);
	complains(line, "zone:1:1: a name longer than 255 octets\n");
	snprintf(line, sizeof(line), "\\097%.62s.%.63s.%.63s.%.62s. 1 NS a\n", label, label, label, label);
	complains(line, "zone:1:1: a name longer than 255 octets\n");
	snprintf(line, sizeof(line), "%.63s.%.63s.%.63s.%.50s 1 NS a\n", label, label, label, label);
	complains(line, "zone:1:1: a name longer than 255 octets\n");
	snprintf(line, sizeof(line), "%.64s 1 NS a\n", label);
	complains(line, "zone:1:1: a label longer than 63 octets\n");
	snprintf(line, sizeof(line), "@ 1 NS x.\\097%.63s\n", label);
	complains(line, "zone:1:8: NS: a label longer than 63 octets\n");
}

static void rdata_of_65535_octets_fits_and_of_65536_does_not(void **state)
{
	(void)state;
	static char zone[1 << 18];
	for (unsigned octets = 65535; octets <= 65536; octets++) {
		size_t at = (size_t)snprintf(zone, sizeof(zone), "@ 1 TYPE65280 \\# 65535 ");
		for (unsigned i = 0; i < octets; i++)
			at += (size_t)snprintf(zone + at, sizeof(zone) - at, "00");
		complains(zone, octets == 65535 ? "" : "zone:1:131096: TYPE65280: the hex is not 65535 octets long, as announced\n");
		assert_int_equal(result.count, octets == 65535);
	}
	size_t at = (size_t)snprintf(zone, sizeof(zone), "@ 1 TXT (");
	for (unsigned i = 0; i < 257; i++)
		at += (size_t)snprintf(zone + at, sizeof(zone) - at, "\n%0255u", i);
	snprintf(zone + at, sizeof(zone) - at, " )\n@ 1 NS a\n");
	complains(zone, "zone:258:258: TXT: the RDATA is longer than 65535 octets\n");
	assert_string_equal(result.records, "test.example. 1 NS a.test.example.\n");
}

static void every_kind_of_error_names_its_place(void **state)
{
	(void)state;
	static const struct {
		const char *line, *message;
	} cases[] = {
		{ "@ 1 A 1.2.3.999", "zone:1:7: A: expected an IPv4 address, found \"1.2.3.999\"\n" },
		{ "@ 1 A 1.2.3.04", "zone:1:7: A: expected an IPv4 address, found \"1.2.3.04\"\n" },
		{ "@ 1 A 1.2.3", "zone:1:7: A: expected an IPv4 address, found \"1.2.3\"\n" },
		{ "@ 1 A \"1.2.3.4\"x", "zone:1:7: A: expected an IPv4 address, found \"1.2.3.4\"\n" },
		{ "@ 1 A 1.2.3.4 x", "zone:1:15: A: expected the end of the record, found \"x\"\n" },
		{ "@ 1 AAAA 1.2.3.4", "zone:1:10: AAAA: expected an IPv6 address, found \"1.2.3.4\"\n" },
		{ "@ 1 FOO x", "zone:1:5: expected a TTL, a class or an RR type, found \"FOO\"\n" },
		{ "@ 1 IN FOO x", "zone:1:8: expected an RR type, found \"FOO\"\n" },
		{ "@ 1 IN IN A 1.2.3.4", "zone:1:8: the class stands there twice\n" },
		{ "@ 1 2 A 1.2.3.4", "zone:1:5: expected an RR type behind the TTL, found \"2\"\n" },
		{ "@ 1x A 1.2.3.4",
			"zone:1:3: expected a TTL of at most 4294967295 seconds, a class or an RR type, found \"1x\"\n" },
		{ "@ 1h30 A 1.2.3.4",
			"zone:1:3: expected a TTL of at most 4294967295 seconds, a class or an RR type, found \"1h30\"\n" },
		{ "@ 1", "zone:1:4: expected an RR type, found the end of the record\n" },
		{ "@", "zone:1:2: expected an RR type, found the end of the record\n" },
		{ "@ 1 IN MX", "zone:1:10: MX: expected a number up to 65535, found the end of the record\n" },
		{ "@ 1 MX 65536 a", "zone:1:8: MX: expected a number up to 65535, found \"65536\"\n" },
		{ "@ 1 MX 10", "zone:1:10: MX: expected a domain name, found the end of the record\n" },
		{ "@ 1 SOA a b 1 2 3 4",
			"zone:1:20: SOA: expected a time in seconds or with units (1h30m), found the end of the record\n" },
		{ "@ 1 SOA a b 1 2 3 4 5 6", "zone:1:23: SOA: expected the end of the record, found \"6\"\n" },
		{ "@ 1 NS a..b", "zone:1:8: NS: a name with an empty label\n" },
		{ ".a 1 NS b", "zone:1:1: a name with an empty label\n" },
		{ "@ 1 NS a\\300", "zone:1:8: NS: a backslash needs a character or three digits up to 255 behind it\n" },
		{ "@ 1 NS a\\1", "zone:1:8: NS: a backslash needs a character or three digits up to 255 behind it\n" },
		{ "@ 1 NS \"a\"", "zone:1:8: NS: expected a domain name, found \"a\"\n" },
		{ "@ 1 TXT", "zone:1:8: TXT: expected a character-string, found the end of the record\n" },
		{ "@ 1 TXT a \"b", "zone:1:11: TXT: a quoted string does not end on its line\n" },
		{ "@ 1 TXT a \\", "zone:1:11: TXT: a backslash needs a character or three digits up to 255 behind it\n" },
		{ "@ 1 MX 10 a )", "zone:1:13: MX: a closing parenthesis without an opening one\n" },
		{ "@ 1 MX ( 10 a", "zone:1:8: MX: this parenthesis is never closed\n" },
		{ " 1 A 1.2.3.4", "zone:1:2: a record without an owner, and none before it to take it from\n" },
		{ "@ 1 CH TXT a", "zone:1:5: expected class IN, found CH; no other class is served\n" },
		{ "@ HS 1 TXT a", "zone:1:3: expected class IN, found HS; no other class is served\n" },
		{ "@ CLASS4 1 TXT a", "zone:1:3: expected class IN, found CLASS4; no other class is served\n" },
		{ "@ 1 ANY a", "zone:1:5: expected an RR type that zones may hold, found \"ANY\"\n" },
		{ "@ 1 TYPE0 \\# 0", "zone:1:5: expected an RR type that zones may hold, found \"TYPE0\"\n" },
		{ "@ 1 OPT \\# 0", "zone:1:5: expected an RR type that zones may hold, found \"OPT\"\n" },
		{ "@ 1 TYPE65536 \\# 0", "zone:1:5: expected a TTL, a class or an RR type, found \"TYPE65536\"\n" },
		{ "@ 1 TYPE65280 a",
			"zone:1:15: TYPE65280: expected \"\\#\", for this type has no text of its own (RFC 3597), found \"a\"\n" },
		{ "@ 1 TYPE65280 \\# 2 01", "zone:1:22: TYPE65280: the hex is not 2 octets long, as announced\n" },
		{ "@ 1 TYPE65280 \\# x", "zone:1:18: TYPE65280: expected the number of octets, found \"x\"\n" },
		{ "@ 1 TYPE65280 \\# 1 0g", "zone:1:20: TYPE65280: expected hex digits, found \"0g\"\n" },
		{ "@ 1 TYPE65280 \\# 1 0",
			"zone:1:21: TYPE65280: expected an even number of hex digits, found the end of the record\n" },
		{ "@ 1 A \\# 3 010203", "zone:1:18: A: the RDATA is too short\n" },
		{ "@ 1 A \\# 5 0102030405", "zone:1:22: A: octets behind the last field\n" },
		{ "@ 1 MX \\# 4 0001c00c", "zone:1:21: MX: a name that is cut, too long or compressed\n" },
		{ "@ 1 CAA 0 is-sue x", "zone:1:11: CAA: expected a property tag of letters and digits, found \"is-sue\"\n" },
		{ "@ 1 CAA 0 issue x y", "zone:1:19: CAA: expected the end of the record, found \"y\"\n" },
		{ "@ 1 URI 1 2 \"\"", "zone:1:13: URI: expected a text that is not empty, found \"\"\n" },
		{ "@ 1 DS 1 FOO 2 00", "zone:1:10: DS: expected a DNSSEC algorithm, found \"FOO\"\n" },
		{ "@ 1 DS 1 8 2 0", "zone:1:15: DS: expected an even number of hex digits, found the end of the record\n" },
		{ "@ 1 DS 1 8 2", "zone:1:13: DS: expected hex digits, found the end of the record\n" },
		{ "@ 1 DNSKEY 1 3 8 A", "zone:1:19: DNSKEY: expected the rest of a base64 group of four characters, "
					"found the end of the record\n" },
		{ "@ 1 DNSKEY 1 3 8 A===", "zone:1:18: DNSKEY: expected base64, found \"A===\"\n" },
		{ "@ 1 DNSKEY 1 3 8 AA==AA==", "zone:1:18: DNSKEY: expected base64, found \"AA==AA==\"\n" },
		{ "@ 1 NSEC a FOO", "zone:1:12: NSEC: expected an RR type, found \"FOO\"\n" },
		{ "@ 1 NSEC3 1 0 0 - 0", "zone:1:19: NSEC3: expected whole octets of base32hex, found \"0\"\n" },
		{ "@ 1 NSEC3 1 0 0 - wx", "zone:1:19: NSEC3: expected base32hex, found \"wx\"\n" },
		{ "@ 1 NSEC3PARAM 1 0 0 abc",
			"zone:1:22: NSEC3PARAM: expected an even number of hex digits, or \"-\", found \"abc\"\n" },
		{ "@ 1 RRSIG A 8 2 1 20260229000000 0 1 a AA==",
			"zone:1:19: RRSIG: expected a time as YYYYMMDDHHmmSS or in seconds, found \"20260229000000\"\n" },
		{ "@ 1 LOC 91 N 0 E 0", "zone:1:9: LOC: expected degrees of latitude, then of longitude, found \"91\"\n" },
		{ "@ 1 LOC 90 1 N 0 E 0", "zone:1:14: LOC: more than 90 degrees\n" },
		{ "@ 1 LOC 1 2 3 4 N", "zone:1:15: LOC: expected N or S, found \"4\"\n" },
		{ "@ 1 APL 3:1.2.3.4/5", "zone:1:9: APL: expected [!]1:IPv4/prefix or [!]2:IPv6/prefix, found \"3:1.2.3.4/5\"\n" },
		{ "@ 1 APL 1:1.2.3.4/33", "zone:1:9: APL: expected [!]1:IPv4/prefix or [!]2:IPv6/prefix, found \"1:1.2.3.4/33\"\n" },
		{ "@ 1 WKS 1.2.3.4 6 nosuch",
			"zone:1:19: WKS: expected a port number or the name of a well-known service, found \"nosuch\"\n" },
		{ "@ 1 EUI48 00-11-22-33-44", "zone:1:11: EUI48: expected six octets of hex with hyphens between them, "
					      "found \"00-11-22-33-44\"\n" },
		{ "@ 1 HTTPS 1 . foo=1",
			"zone:1:15: HTTPS: expected a service parameter (a known key or keyNNNNN), found \"foo=1\"\n" },
		{ "@ 1 HTTPS 1 . key01=1",
			"zone:1:15: HTTPS: expected a service parameter (a known key or keyNNNNN), found \"key01=1\"\n" },
		{ "@ 1 HTTPS 1 . key65535",
			"zone:1:15: HTTPS: expected a service parameter (a known key or keyNNNNN), found \"key65535\"\n" },
		{ "@ 1 HTTPS 1 . port=x", "zone:1:15: HTTPS: port: expected a number up to 65535\n" },
		{ "@ 1 HTTPS 1 . port", "zone:1:15: HTTPS: port needs a value\n" },
		{ "@ 1 HTTPS 1 . ohttp=1", "zone:1:15: HTTPS: ohttp has no value\n" },
		{ "@ 1 HTTPS 1 . port=1 port=2", "zone:1:22: HTTPS: the same parameter twice\n" },
		{ "@ 1 HTTPS 1 . alpn=h2,,h3", "zone:1:15: HTTPS: alpn: a protocol of no octets\n" },
		{ "@ 1 HTTPS 1 . alpn=\"a\\\\b\"",
			"zone:1:15: HTTPS: alpn: in the list a backslash hides only a comma or a backslash\n" },
		{ "@ 1 HTTPS 1 . mandatory=port,port port=1", "zone:1:15: HTTPS: mandatory: \"port\" stands there twice\n" },
		{ "@ 1 HTTPS 1 . mandatory=alpn port=1", "zone:1:36: HTTPS: mandatory: a key that is not there\n" },
		{ "@ 1 HTTPS 1 . mandatory=mandatory",
			"zone:1:34: HTTPS: mandatory: keys out of order, twice, or \"mandatory\" itself\n" },
		{ "@ 1 HTTPS 1 . no-default-alpn", "zone:1:30: HTTPS: no-default-alpn without alpn\n" },
		{ "@ 1 HTTPS 1 . ipv4hint=1.2.3.4,",
			"zone:1:15: HTTPS: ipv4hint: expected IPv4 addresses with commas between them\n" },
		{ "@ 1 HTTPS 1 . ipv6hint=1.2.3.4",
			"zone:1:15: HTTPS: ipv6hint: expected IPv6 addresses with commas between them\n" },
		{ "@ 1 HTTPS 1 . ech=a", "zone:1:15: HTTPS: ech: expected base64\n" },
		{ "@ 1 HTTPS 1 . dohpath=x", "zone:1:15: HTTPS: dohpath: expected a path template with {?dns}\n" },
		{ "$FOO x", "zone:1:1: expected $ORIGIN, $TTL, $INCLUDE or $GENERATE, found \"$FOO\"\n" },
		{ "$TTL", "zone:1:5: expected a TTL in seconds or with units (1h30m), found the end of the record\n" },
		{ "$TTL 1y", "zone:1:6: expected a TTL in seconds or with units (1h30m), found \"1y\"\n" },
		{ "$TTL 1 2", "zone:1:8: expected the end of the line, found \"2\"\n" },
		{ "$ORIGIN", "zone:1:8: expected a domain name, found the end of the record\n" },
		{ "$ORIGIN a..b", "zone:1:9: a name with an empty label\n" },
		{ "$INCLUDE", "zone:1:9: expected a file name, found the end of the record\n" },
		{ "$INCLUDE x", "zone:1:10: $INCLUDE is not possible here\n" },
		{ "$GENERATE 3-1 a$ A 1.2.3.4",
			"zone:1:11: expected a range start-stop or start-stop/step, found \"3-1\"\n" },
		{ "$GENERATE 1-2/0 a$ A 1.2.3.4",
			"zone:1:11: expected a range start-stop or start-stop/step, found \"1-2/0\"\n" },
		{ "$GENERATE 0-2147483647 a$ A 1.2.3.4", "zone:1:11: $GENERATE of more than 16777216 records\n" },
		{ "$GENERATE 1-2 a$", "zone:1:17: expected an owner, an RR type and RDATA, found the end of the record\n" },
		{ "$GENERATE 1-2 a$ 1 A 1.2.3.x", "zone:1:11: A: expected an IPv4 address, found \"1.2.3.x\"\n" },
		{ "$GENERATE 1-2 ${-2} 1 A 1.2.3.4", "zone:1:32: expected ${offset,width,base} with base d, o, x, X, n or N "
						     "and a number from 0 on\n" },
		{ "$GENERATE 1-2 $TTL 60 x", "zone:1:11: expected a TTL, a class or an RR type, found \"x\"\n" },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[512];
		snprintf(text, sizeof(text), "%s\n", cases[i].line);
		complains(text, cases[i].message);
		assert_string_equal(result.records, "");
	}
}

static void reading_goes_on_behind_each_error(void **state)
{
	(void)state;
	complains("$TTL 60\n"
		  "@ A 1.2.3.999\n"
		  "a A 192.0.2.1\n"
		  "@ MX ( x\n"
		  "  10 mail )\n"
		  "b A 192.0.2.2\n"
		  "@ TXT \"open\n"
		  "c A 192.0.2.3\n"
		  "d A 192.0.2.4 )\n"
		  "e A 192.0.2.5\n"
		  "f NS a..b\n"
		  "g A ( 192.0.2.6\n",
		"zone:2:5: A: expected an IPv4 address, found \"1.2.3.999\"\n"
		"zone:4:8: MX: expected a number up to 65535, found \"x\"\n"
		"zone:7:7: a quoted string does not end on its line\n"
		"zone:9:15: A: a closing parenthesis without an opening one\n"
		"zone:11:6: NS: a name with an empty label\n"
		"zone:12:5: A: this parenthesis is never closed\n");
	assert_string_equal(result.records, "a.test.example. 60 A 192.0.2.1\nb.test.example. 60 A 192.0.2.2\n"
					    "c.test.example. 60 A 192.0.2.3\ne.test.example. 60 A 192.0.2.5\n");
}

static void a_record_after_a_bad_owner_does_not_get_another_owner(void **state)
{
	(void)state;
	complains("a 1 NS x\n..b 1 NS x\n 1 NS y\n",
		"zone:2:1: a name with an empty label\n"
		"zone:3:2: a record without an owner, and none before it to take it from\n");
	assert_string_equal(result.records, "a.test.example. 1 NS x.test.example.\n");
}

static void reading_ends_at_the_limit_of_errors(void **state)
{
	(void)state;
	char text[8192] = "";
	for (unsigned i = 0; i < 300; i++)
		strlcat(text, "@ 1 A x\n", sizeof(text));
	read_text(&result, text);
	assert_int_equal(result.report.errors, REPORT_MAX_ERRORS);
	assert_int_equal(result.status, ST_SYNTAX);
	assert_non_null(strstr(result.messages, "too many errors"));
}

static void the_handler_ends_the_reading_with_its_own_status(void **state)
{
	(void)state;
	prepare(&result);
	result.answer = ST_NO_SPACE;
	static const char text[] = "a 1 NS x\nb 1 NS x\n";
	assert_int_equal(zonefile_read_text(text, strlen(text), "zone", origin, take, &result, &result.report), ST_NO_SPACE);
	assert_int_equal(result.count, 1);
}

static void a_record_tells_the_line_it_starts_on(void **state)
{
	(void)state;
	gives("\n; x\n@ MX ( 10\n\n mail ) ; y\n", "test.example. 3600 MX 10 mail.test.example.\n");
	assert_int_equal(result.last_line, 4);
}

// The window of the scanner moves over the text: nothing may change where it ends inside a token.
static void it_does_not_matter_where_the_window_of_the_scanner_ends(void **state)
{
	(void)state;
	static const char block[] = "a\\.b.c 60 TXT \"quoted \\\" string\" plain\\032word ; comment\r\n"
				    "\tIN MX ( 10 ; comment (\n mail ) \r\n"
				    "svc HTTPS 1 . alpn=\"h2,h3\" key65280=\"a b\"\n";
	const size_t total = (256 << 10) + 4 * sizeof(block); // a window and a little
	char *text = malloc(total + 256);
	assert_non_null(text);
	uint64_t expected = 0;
	unsigned expected_count = 0;
	for (unsigned shift = 0; shift < sizeof(block); shift++) {
		size_t at = 0;
		text[at++] = ';';
		memset(text + at, 'x', shift);
		at += shift;
		text[at++] = '\n';
		for (unsigned n = 0; n < total / (sizeof(block) - 1) - 1; n++) {
			memcpy(text + at, block, sizeof(block) - 1);
			at += sizeof(block) - 1;
		}
		read_bytes_of(&result, text, at);
		assert_string_equal(result.messages, "");
		assert_int_equal(result.status, ST_OK);
		if (shift == 0) {
			expected = result.hash;
			expected_count = result.count;
			assert_true(expected_count > 5000);
		}
		assert_int_equal(result.count, expected_count);
		assert_true(result.hash == expected);
	}
	free(text);
}

static char directory[64];

static int make_directory(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/pollux-parse-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	char sub[128];
	snprintf(sub, sizeof(sub), "%s/sub", directory);
	return mkdir(sub, 0700);
}

static int remove_directory(void **state)
{
	(void)state;
	static const char *const names[] = { "zone", "a", "b", "sub/a", "sub/b", "gone", "sub" };
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		remove(path);
	}
	return rmdir(directory);
}

static void write_file(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void read_zone_file(struct zonefile_source *source)
{
	char path[128];
	prepare(&result);
	snprintf(path, sizeof(path), "%s/zone", directory);
	result.status = zonefile_read(path, origin, take, &result, &result.report, source);
}

static void included_files_have_their_own_origin_and_owner(void **state)
{
	(void)state;
	struct zonefile_source source;
	write_file("zone", "$TTL 60\nx NS a\n$INCLUDE sub/a inc\n NS c\n$INCLUDE \"b\" ; comment\n NS d\n");
	write_file("sub/a", " NS b\n@ NS b1\n$ORIGIN deep\n$INCLUDE b\ny NS b2\n");
	write_file("sub/b", "z NS b3\n");
	write_file("b", "w NS e\n$TTL 30\n");
	read_zone_file(&source);
	assert_string_equal(result.messages, "");
	assert_string_equal(result.records, "x.test.example. 60 NS a.test.example.\n"
					    "x.test.example. 60 NS b.inc.test.example.\n"
					    "inc.test.example. 60 NS b1.inc.test.example.\n"
					    "z.deep.inc.test.example. 60 NS b3.deep.inc.test.example.\n"
					    "y.deep.inc.test.example. 60 NS b2.deep.inc.test.example.\n"
					    "x.test.example. 60 NS c.test.example.\n"
					    "w.test.example. 60 NS e.test.example.\n"
					    "x.test.example. 30 NS d.test.example.\n");
	unsigned files = 0;
	const char *path = source.paths;
	for (; *path; path += strlen(path) + 1)
		files++;
	assert_int_equal(files, 4);
	assert_int_equal(path + 1 - source.paths, source.bytes);
	assert_string_equal(source.paths + strlen(source.paths) - 5, "/zone");
	zonefile_source_free(&source);
}

static void the_stamp_changes_with_any_of_the_files(void **state)
{
	(void)state;
	struct zonefile_source source;
	write_file("zone", "$TTL 60\n$INCLUDE sub/a\n");
	write_file("sub/a", "@ NS a\n");
	read_zone_file(&source);
	assert_int_equal(result.status, ST_OK);
	assert_true(source.stamp != 0);
	assert_true(zonefile_stamp(source.paths) == source.stamp);
	write_file("sub/a", "@ NS ab\n");
	assert_true(zonefile_stamp(source.paths) != source.stamp);
	char path[128];
	snprintf(path, sizeof(path), "%s/sub/a", directory);
	assert_int_equal(remove(path), 0);
	assert_true(zonefile_stamp(source.paths) == 0);
	zonefile_source_free(&source);
}

static void an_error_in_an_included_file_names_that_file(void **state)
{
	(void)state;
	write_file("zone", "$TTL 60\n$INCLUDE sub/a\n@ A x\n");
	write_file("sub/a", "@ NS a\n  A y\n@ MX ( 1\n");
	read_zone_file(NULL);
	assert_int_equal(result.status, ST_SYNTAX);
	assert_string_equal(result.messages, "a:2:5: A: expected an IPv4 address, found \"y\"\n"
					     "a:3:6: MX: this parenthesis is never closed\n"
					     "zone:3:5: A: expected an IPv4 address, found \"x\"\n");
}

static void a_file_that_includes_itself_is_found_out(void **state)
{
	(void)state;
	char path[128], expected[512];
	write_file("zone", "$TTL 60\n@ NS a\n$INCLUDE sub/a\n@ NS b\n");
	write_file("sub/a", "$INCLUDE ../zone\n@ NS c\n");
	read_zone_file(NULL);
	assert_int_equal(result.status, ST_SYNTAX);
	snprintf(path, sizeof(path), "%s/sub/../zone", directory);
	snprintf(expected, sizeof(expected), "a:1:10: $INCLUDE of %s: it includes itself\n", path);
	assert_string_equal(result.messages, expected);
	assert_int_equal(result.count, 3);
}

static void files_are_included_so_deep_and_no_deeper(void **state)
{
	(void)state;
	char name[16], text[64];
	for (unsigned i = 1; i <= INCLUDE_MAX_DEPTH; i++) { // the zone file is the first
		snprintf(name, sizeof(name), "f%u", i);
		snprintf(text, sizeof(text), "f NS a\n%sf%u\n", i < INCLUDE_MAX_DEPTH ? "$INCLUDE " : ";", i + 1);
		write_file(name, text);
	}
	write_file("zone", "$TTL 60\n$INCLUDE f2\n");
	read_zone_file(NULL);
	assert_string_equal(result.messages, "");
	assert_int_equal(result.count, INCLUDE_MAX_DEPTH - 1);
	write_file("zone", "$TTL 60\n$INCLUDE f1\n");
	read_zone_file(NULL);
	assert_int_equal(result.status, ST_SYNTAX);
	snprintf(text, sizeof(text), "f%u:2:10: $INCLUDE more than %u deep\n", INCLUDE_MAX_DEPTH - 1, INCLUDE_MAX_DEPTH);
	assert_string_equal(result.messages, text);
	for (unsigned i = 1; i <= INCLUDE_MAX_DEPTH; i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/f%u", directory, i);
		assert_int_equal(remove(path), 0);
	}
}

// Fourteen files that include the next one eight times: an alarm ends what would never end.
static void files_that_include_each_other_many_times_are_stopped(void **state)
{
	(void)state;
	char path[128], text[256] = "";
	for (unsigned i = 1; i < INCLUDE_MAX_DEPTH; i++) {
		unsigned bytes = 0;
		for (unsigned k = 0; i < INCLUDE_MAX_DEPTH - 1 && k < 8; k++)
			bytes += (unsigned)snprintf(text + bytes, sizeof(text) - bytes, "$INCLUDE g%u\n", i + 1);
		snprintf(path, sizeof(path), "g%u", i);
		write_file(path, i < INCLUDE_MAX_DEPTH - 1 ? text : "@ NS a\n");
	}
	write_file("zone", "$TTL 60\n$INCLUDE g1\n");
	alarm(60);
	read_zone_file(NULL);
	alarm(0);
	assert_int_equal(result.status, ST_SYNTAX);
	assert_non_null(strstr(result.messages, "more than 10000 files included\n"));
	for (unsigned i = 1; i < INCLUDE_MAX_DEPTH; i++) {
		snprintf(path, sizeof(path), "%s/g%u", directory, i);
		assert_int_equal(remove(path), 0);
	}
}

static void a_pipe_is_not_waited_for(void **state)
{
	(void)state;
	char path[128];
	snprintf(path, sizeof(path), "%s/pipe", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	write_file("zone", "$TTL 60\n$INCLUDE pipe\n");
	alarm(20);
	read_zone_file(NULL);
	assert_non_null(strstr(result.messages, "pipe: it is not a regular file\n"));
	prepare(&result);
	assert_int_equal(zonefile_read(path, origin, take, &result, &result.report, NULL), ST_OK); // nobody writes: it is empty
	alarm(0);
	assert_int_equal(result.count, 0);
	assert_int_equal(remove(path), 0);
}

static void an_included_file_that_cannot_be_read_is_an_error_at_its_name(void **state)
{
	(void)state;
	write_file("zone", "$TTL 60\n$INCLUDE gone\n$INCLUDE sub other extra\n$INCLUDE sub\n@ NS b\n");
	read_zone_file(NULL);
	assert_int_equal(result.status, ST_SYNTAX);
	assert_non_null(strstr(result.messages, "zone:2:10: $INCLUDE of "));
	assert_non_null(strstr(result.messages, "gone: No such file or directory\n"));
	assert_non_null(strstr(result.messages, "zone:3:20: expected the end of the line, found \"extra\"\n"));
	assert_non_null(strstr(result.messages, "zone:4:10: $INCLUDE of "));
	assert_non_null(strstr(result.messages, "sub: Is a directory\n"));
	assert_int_equal(result.count, 1);
}

static void a_zone_file_that_cannot_be_read_is_told(void **state)
{
	(void)state;
	prepare(&result);
	assert_int_equal(zonefile_read("/nonexistent/zone", origin, take, &result, &result.report, NULL), ST_NOT_FOUND);
	assert_string_equal(result.messages, "zone:0:0: cannot read: No such file or directory\n");
	struct zonefile_source source = { .paths = (char *)1 };
	assert_int_equal(zonefile_read("/tmp", origin, take, &result, &result.report, &source), ST_SYSTEM);
	assert_int_equal(result.report.errors, 2);
	zonefile_source_free(&source);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ttl_and_class_stand_in_either_order_or_not_at_all),
		cmocka_unit_test(ttls_have_units),
		cmocka_unit_test(a_line_that_begins_with_a_blank_keeps_the_owner),
		cmocka_unit_test(owners_may_look_like_anything),
		cmocka_unit_test(class_and_type_are_read_in_any_case),
		cmocka_unit_test(relative_names_in_rdata_get_the_origin),
		cmocka_unit_test(quotes_keep_what_stands_between_them),
		cmocka_unit_test(parentheses_stand_anywhere),
		cmocka_unit_test(origin_may_be_relative),
		cmocka_unit_test(every_listed_type_is_accepted),
		cmocka_unit_test(a_digest_of_a_wrong_length_is_a_warning_and_served),
		cmocka_unit_test(generate_makes_a_record_for_each_number),
		cmocka_unit_test(a_missing_ttl_is_the_default_or_the_last_or_the_soa_minimum),
		cmocka_unit_test(a_ttl_with_its_top_bit_set_counts_as_zero),
		cmocka_unit_test(line_ends_of_any_system_are_read),
		cmocka_unit_test(a_byte_order_mark_is_skipped),
		cmocka_unit_test(longest_names_and_strings_fit_and_longer_ones_do_not),
		cmocka_unit_test(rdata_of_65535_octets_fits_and_of_65536_does_not),
		cmocka_unit_test(every_kind_of_error_names_its_place),
		cmocka_unit_test(reading_goes_on_behind_each_error),
		cmocka_unit_test(a_record_after_a_bad_owner_does_not_get_another_owner),
		cmocka_unit_test(reading_ends_at_the_limit_of_errors),
		cmocka_unit_test(the_handler_ends_the_reading_with_its_own_status),
		cmocka_unit_test(a_record_tells_the_line_it_starts_on),
		cmocka_unit_test(it_does_not_matter_where_the_window_of_the_scanner_ends),
		cmocka_unit_test_setup_teardown(included_files_have_their_own_origin_and_owner, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(the_stamp_changes_with_any_of_the_files, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(an_error_in_an_included_file_names_that_file, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(a_file_that_includes_itself_is_found_out, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(files_are_included_so_deep_and_no_deeper, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(files_that_include_each_other_many_times_are_stopped, make_directory,
			remove_directory),
		cmocka_unit_test_setup_teardown(a_pipe_is_not_waited_for, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(an_included_file_that_cannot_be_read_is_an_error_at_its_name, make_directory,
			remove_directory),
		cmocka_unit_test(a_zone_file_that_cannot_be_read_is_told),
	};
	return cmocka_run_group_tests_name("parse", tests, NULL, NULL) ? 1 : 0;
}
