// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pollux/zonefile.h>

#include "../../../zones/rrtype_table.h"
#include "../../../zones/text.h"

static const uint8_t origin[] = "\7example\3com";

struct wire {
	uint8_t octets[65535];
	unsigned bytes, records;
	uint16_t type;
};

static enum status keep(void *ctx, const struct record *record)
{
	struct wire *wire = ctx;
	memcpy(wire->octets, record->rdata, record->rdata_bytes);
	wire->bytes = record->rdata_bytes;
	wire->type = record->type;
	wire->records++;
	return ST_OK;
}

// RDATA text of a type to wire; false when it is refused.
static bool to_wire(struct wire *wire, const char *type, const char *rdata)
{
	char line[16384];
	struct report report = { 0 };
	wire->records = 0;
	snprintf(line, sizeof(line), "@ 300 IN %s %s\n", type, rdata);
	enum status status = zonefile_read_text(line, strlen(line), "line", origin, keep, wire, &report);
	assert_int_equal(status == ST_OK, report.errors == 0);
	return status == ST_OK && wire->records == 1;
}

static void join_examples(char *to, size_t room, const struct rrtype *row)
{
	*to = '\0';
	for (const uint8_t *field = row->field; *field != F_END; field++) {
		if (field != row->field)
			strlcat(to, " ", room);
		strlcat(to, field_kinds[*field].example, room);
	}
}

// The next type of the table with the wire of its examples.
static const struct rrtype *next_type(unsigned *i, struct wire *wire, char *text, size_t room)
{
	char name[16];
	if (*i == RRTYPE_ROWS)
		return NULL;
	const struct rrtype *row = &rrtypes[(*i)++];
	join_examples(text, room, row);
	if (!to_wire(wire, rrtype_to_text(name, row->code), text))
		fail_msg("%s %s is refused", row->name, text);
	assert_int_equal(wire->type, row->code);
	return row;
}

static bool is_open_ended(const struct rrtype *row)
{
	const uint8_t *field = row->field;
	while (field[1] != F_END)
		field++;
	return field_kinds[*field].to_end;
}

static void every_field_kind_is_complete(void **state)
{
	(void)state;
	for (unsigned kind = F_END + 1; kind < F_COUNT; kind++) {
		assert_non_null(field_kinds[kind].scan);
		assert_non_null(field_kinds[kind].print);
		assert_non_null(field_kinds[kind].check);
		assert_non_null(field_kinds[kind].example);
	}
}

static void every_type_comes_back_from_wire_as_it_was_written(void **state)
{
	(void)state;
	static struct wire wire, again;
	char text[2048], printed[2048], name[16];
	const struct rrtype *row;
	for (unsigned i = 0; (row = next_type(&i, &wire, text, sizeof(text)));) {
		assert_null(rdata_check(row->code, wire.octets, wire.bytes));
		size_t needed = rdata_to_text(printed, sizeof(printed), row->code, wire.octets, wire.bytes);
		assert_string_equal(printed, text);
		assert_int_equal(needed, strlen(text));
		assert_true(to_wire(&again, rrtype_to_text(name, row->code), printed));
		assert_int_equal(again.bytes, wire.bytes);
		assert_memory_equal(again.octets, wire.octets, wire.bytes);
	}
}

static void every_type_comes_back_from_the_text_of_unknown_types(void **state)
{
	(void)state;
	static struct wire wire, again;
	char text[2048], unknown[8192], name[16], number[16];
	const struct rrtype *row;
	for (unsigned i = 0; (row = next_type(&i, &wire, text, sizeof(text)));) {
		size_t at = (size_t)snprintf(unknown, sizeof(unknown), "\\# %u ", wire.bytes);
		for (unsigned octet = 0; octet < wire.bytes; octet++)
			at += (size_t)snprintf(unknown + at, sizeof(unknown) - at, "%02x%s", wire.octets[octet],
				octet % 5 == 4 ? " " : "");
		snprintf(number, sizeof(number), "TYPE%u", row->code);
		const char *const ways[] = { rrtype_to_text(name, row->code), number };
		for (unsigned way = 0; way < 2; way++) {
			assert_true(to_wire(&again, ways[way], unknown));
			assert_int_equal(again.type, row->code);
			assert_int_equal(again.bytes, wire.bytes);
			assert_memory_equal(again.octets, wire.octets, wire.bytes);
		}
	}
}

// Octets that the fields before an open-ended last one take.
static unsigned fixed_bytes(const struct rrtype *row, const struct wire *wire)
{
	struct reader in = reader_of(wire->octets, wire->bytes);
	for (const uint8_t *field = row->field; *field != F_END && !field_kinds[*field].to_end; field++)
		assert_null(field_kinds[*field].check(&in));
	return (unsigned)(in.at - in.start);
}

static void every_type_refuses_each_shorter_wire(void **state)
{
	(void)state;
	static struct wire wire, again;
	char text[2048], printed[2048], name[16];
	const struct rrtype *row;
	for (unsigned i = 0; (row = next_type(&i, &wire, text, sizeof(text)));) {
		unsigned fixed = fixed_bytes(row, &wire);
		for (unsigned bytes = 0; bytes < wire.bytes; bytes++) {
			// Exactly so many octets, so that a sanitizer sees a look behind them.
			uint8_t *cut = malloc(bytes ? bytes : 1);
			assert_non_null(cut);
			memcpy(cut, wire.octets, bytes);
			const char *wrong = rdata_check(row->code, cut, bytes);
			if (!wrong && (bytes < fixed || !is_open_ended(row)))
				fail_msg("%s accepts %u octets of %u", row->name, bytes, wire.bytes);
			// An open end may be anywhere; then the rest has a text of its own.
			rdata_to_text(printed, sizeof(printed), row->code, cut, bytes);
			if (!wrong) {
				assert_true(to_wire(&again, rrtype_to_text(name, row->code), printed));
				rdata_to_text(text, sizeof(text), row->code, again.octets, again.bytes);
				assert_string_equal(text, printed);
			} else {
				assert_memory_equal(printed, "\\# ", 3);
			}
			free(cut);
		}
	}
}

static void every_type_of_fixed_form_refuses_an_octet_too_many(void **state)
{
	(void)state;
	static struct wire wire;
	char text[2048];
	unsigned refused = 0;
	const struct rrtype *row;
	for (unsigned i = 0; (row = next_type(&i, &wire, text, sizeof(text)));) {
		if (is_open_ended(row))
			continue;
		wire.octets[wire.bytes] = 0;
		assert_non_null(rdata_check(row->code, wire.octets, wire.bytes + 1));
		refused++;
	}
	assert_true(refused > 30);
}

static void every_type_refuses_text_without_its_last_word_and_with_a_word_too_many(void **state)
{
	(void)state;
	static struct wire wire, other;
	char text[2048], name[16];
	const struct rrtype *row;
	for (unsigned i = 0; (row = next_type(&i, &wire, text, sizeof(text)));) {
		if (is_open_ended(row))
			continue;
		size_t bytes = strlen(text);
		strlcat(text, " x", sizeof(text));
		if (row->code != TYPE_LOC) // whose "m" is optional, and so are its last words
			assert_false(to_wire(&other, rrtype_to_text(name, row->code), text));
		text[bytes] = '\0';
		char *blank = strrchr(text, ' ');
		if (blank && row->code != TYPE_LOC && row->field[1] != F_END) {
			*blank = '\0';
			if (to_wire(&other, name, text))
				fail_msg("%s accepts %s", name, text);
		}
		assert_false(to_wire(&other, name, ""));
	}
}

static void names_of_types_are_read_in_any_case_and_by_number(void **state)
{
	(void)state;
	uint16_t code;
	char text[16];
	for (unsigned i = 0; i < RRTYPE_ROWS; i++) {
		rrtype_to_text(text, rrtypes[i].code);
		assert_int_equal(rrtype_from_text(&code, text, strlen(text)), ST_OK);
		assert_int_equal(code, rrtypes[i].code);
		for (char *c = text; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		assert_int_equal(rrtype_from_text(&code, text, strlen(text)), ST_OK);
		assert_int_equal(code, rrtypes[i].code);
		assert_ptr_equal(rrtype_by_code(code), &rrtypes[i]);
	}
	assert_int_equal(rrtype_from_text(&code, "type65280", 9), ST_OK);
	assert_int_equal(code, 65280);
	assert_string_equal(rrtype_to_text(text, 65280), "TYPE65280");
	assert_string_equal(rrtype_to_text(text, TYPE_NSAP_PTR), "NSAP-PTR");
	assert_string_equal(rrtype_to_text(text, TYPE_AXFR), "AXFR");
	static const char *const none[] = { "", "AA", "TYPE", "TYPE65536", "TYPE-1", "NSAP_PTR", "TYPE1x", "MXX" };
	for (unsigned i = 0; i < sizeof(none) / sizeof(*none); i++)
		assert_int_equal(rrtype_from_text(&code, none[i], strlen(none[i])), ST_NOT_FOUND);
}

static void the_length_that_was_needed_is_told_however_small_the_room(void **state)
{
	(void)state;
	static const uint8_t mx[] = { 0, 10, 4, 'm', 'a', 'i', 'l', 0 };
	static const char full[] = "10 mail.";
	for (size_t room = 0; room <= sizeof(full); room++) {
		char to[16];
		memset(to, '!', sizeof(to));
		assert_int_equal(rdata_to_text(to, room, TYPE_MX, mx, sizeof(mx)), sizeof(full) - 1);
		size_t shown = room == 0 ? 0 : room < sizeof(full) ? room - 1 : sizeof(full) - 1;
		if (room)
			assert_int_equal(strlen(to), shown);
		assert_memory_equal(to, full, shown);
		assert_int_equal(to[room], '!');
	}
}

struct found {
	unsigned count, at[4];
	bool compressible[4];
};

static void remember(void *ctx, unsigned at, bool compressible)
{
	struct found *found = ctx;
	assert_true(found->count < 4);
	found->at[found->count] = at;
	found->compressible[found->count++] = compressible;
}

static void names_in_rdata_are_found_where_they_are(void **state)
{
	(void)state;
	static const struct {
		const char *type, *rdata;
		unsigned count, at[2];
		bool compressible;
	} cases[] = {
		{ "A", "192.0.2.1", 0, { 0 }, false },
		{ "NS", "a.", 1, { 0 }, true },
		{ "SOA", "a. bc. 1 2 3 4 5", 2, { 0, 3 }, true },
		{ "MX", "1 a.", 1, { 2 }, true },
		{ "SRV", "1 2 3 a.", 1, { 6 }, false },
		{ "NAPTR", "1 2 \"s\" \"\" \"\" a.", 1, { 8 }, false },
		{ "RP", "a. .", 2, { 0, 3 }, false },
		{ "IPSECKEY", "1 3 0 gw.", 1, { 3 }, false },
		{ "IPSECKEY", "1 1 0 192.0.2.1", 0, { 0 }, false },
		{ "AMTRELAY", "1 1 3 a.", 1, { 2 }, false },
		{ "A6", "120 ::1 a.", 1, { 2 }, false },
		{ "A6", "0 ::1", 0, { 0 }, false },
		{ "HIP", "2 00 AA== a. bc.", 2, { 6, 9 }, false },
		{ "SVCB", "1 a. port=1", 1, { 2 }, false },
		{ "TYPE65280", "\\# 1 00", 0, { 0 }, false },
	};
	static struct wire wire;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct found found = { 0 };
		assert_true(to_wire(&wire, cases[i].type, cases[i].rdata));
		rdata_names(wire.type, wire.octets, wire.bytes, remember, &found);
		assert_int_equal(found.count, cases[i].count);
		for (unsigned n = 0; n < found.count; n++) {
			assert_int_equal(found.at[n], cases[i].at[n]);
			assert_int_equal(found.compressible[n], cases[i].compressible);
		}
	}
}

// Text in, canonical text out.
static void one_value_has_many_spellings_and_one_print(void **state)
{
	(void)state;
	static const struct {
		const char *type, *in, *out;
	} cases[] = {
		{ "TXT", "plain \"with blank\" \\065\\\"\\059 \"\"", "\"plain\" \"with blank\" \"A\\\";\" \"\"" },
		{ "TXT", "a\"b\"c", "\"a\" \"b\" \"c\"" },
		{ "SOA", "@ root 1 1d 2h 4w 1h30m", "example.com. root.example.com. 1 86400 7200 2419200 5400" },
		{ "SOA", "@ root 1 1D 2H 4W 1h30M10s", "example.com. root.example.com. 1 86400 7200 2419200 5410" },
		{ "AAAA", "2001:0DB8:0:0::0053", "2001:db8::53" },
		{ "AAAA", "::ffff:192.0.2.1", "::ffff:192.0.2.1" },
		{ "MX", "( 10\n mail ) ; comment", "10 mail.example.com." },
		{ "DS", "1 RSASHA256 2 aa bb ( cc\n dd )", "1 8 2 AABBCCDD" },
		{ "DNSKEY", "256 3 ED25519 A w = =", "256 3 15 Aw==" },
		{ "CERT", "pkix 0 0 AA==", "1 0 0 AA==" },
		{ "CAA", "0 issue \"\"", "0 issue \"\"" },
		{ "CAA", "0 Issue ca.example", "0 Issue \"ca.example\"" },
		{ "NSEC", "@ TYPE1 MX a NSEC", "example.com. A MX NSEC" },
		{ "NSEC3PARAM", "1 0 0 -", "1 0 0 -" },
		{ "NSEC3", "1 0 0 - 00", "1 0 0 - 00" },
		{ "RRSIG", "TYPE1 8 2 300 1893456000 20240229000000 7 @ AA==",
			"A 8 2 300 20300101000000 20240229000000 7 example.com. AA==" },
		{ "RRSIG", "A 8 2 300 4294967295 21060207062816 7 @ AA==",
			"A 8 2 300 21060207062815 19700101000000 7 example.com. AA==" },
		{ "WKS", "192.0.2.1 UDP domain 53 tftp", "192.0.2.1 17 53 69" },
		{ "LOC", "90 N 180 W 0", "90 0 0.000 N 180 0 0.000 W 0.00m 1m 10000m 10m" },
		{ "LOC", "1 2 3.5 S 4 5 E -100000.00m 0.01m 90000000m 2.5",
			"1 2 3.500 S 4 5 0.000 E -100000.00m 0.01m 90000000m 2m" },
		{ "APL", "2:2001:DB8::/32 !1:0.0.0.0/0", "2:2001:db8::/32 !1:0.0.0.0/0" },
		{ "APL", "", "" },
		{ "NSAP", "0x47.0005.80", "0x47000580" },
		{ "ISDN", "123", "\"123\"" },
		{ "A6", "128 a", "128 a.example.com." },
		{ "A6", "60 2001:db8:0:5f:1:2:3:4 a", "60 ::f:1:2:3:4 a.example.com." },
		{ "NID", "1 0:0:0:00ff", "1 0:0:0:ff" },
		{ "IPSECKEY", "1 0 0 .", "1 0 0 ." },
		{ "SVCB", "0 a", "0 a.example.com." },
		{ "HTTPS", "1 . port=1 alpn=h2", "1 . alpn=\"h2\" port=1" },
		{ "HTTPS", "1 . key3=\\000\\080 no-default-alpn alpn=\"h2\"", "1 . alpn=\"h2\" no-default-alpn port=80" },
		{ "HTTPS", "1 . alpn=\"f\\\\\\\\oo\\\\,bar,h2\"", "1 . alpn=\"f\\\\\\\\oo\\\\,bar,h2\"" },
		{ "HTTPS", "1 . alpn=f\\\\\\092oo\\092,bar,h2", "1 . alpn=\"f\\\\\\\\oo\\\\,bar,h2\"" },
		{ "HTTPS", "1 . mandatory=port,alpn port=\"1\" ALPN=h2", "1 . mandatory=alpn,port alpn=\"h2\" port=1" },
		{ "HTTPS", "1 . key667=hello key668 key9=\"a b\"", "1 . key9=\"a b\" key667=\"hello\" key668" },
		{ "HTTPS", "1 . key667=\\210qoo", "1 . key667=\"\\210qoo\"" },
		{ "SVCB", "1 . ohttp dohpath=/q{?dns}", "1 . dohpath=\"/q{?dns}\" ohttp" },
	};
	static struct wire wire;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[512];
		if (!to_wire(&wire, cases[i].type, cases[i].in))
			fail_msg("%s %s is refused", cases[i].type, cases[i].in);
		rdata_to_text(text, sizeof(text), wire.type, wire.octets, wire.bytes);
		assert_string_equal(text, cases[i].out);
	}
}

static void wire_that_no_text_makes_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *type, *hex;
	} cases[] = {
		{ "NS", "c00c" },		    // compressed
		{ "TXT", "" },			    // no string
		{ "TXT", "0261" },		    // a cut string
		{ "CAA", "000078" },		    // an empty tag
		{ "CAA", "00012d78" },	    // a tag that is no letter or digit
		{ "NSEC", "00000100" },	    // a window that ends with a zero octet
		{ "NSEC", "00000140000140" },	    // the same window twice
		{ "NSEC", "000000" },		    // an empty window
		{ "LOC", "01121613800000008000000000989680" }, // version 1
		{ "LOC", "00a21613800000008000000000989680" }, // mantissa 10
		{ "LOC", "00121613ffffffff8000000000989680" }, // beyond the pole
		{ "APL", "00030000" },	    // neither IPv4 nor IPv6
		{ "APL", "0001210100" },	    // prefix 33, and a zero at the end
		{ "A6", "81" },		    // prefix 129
		{ "A6", "7cff00" },		    // bits set in the padding
		{ "IPSECKEY", "01040000" },	    // gateway kind 4
		{ "IPSECKEY", "01000000" },	    // a key without an algorithm
		{ "AMTRELAY", "0004" },	    // relay kind 4
		{ "HIP", "00000000" },	    // neither tag nor key
		{ "SVCB", "000100000300020050fffe00" }, // a cut parameter
		{ "SVCB", "00010000030002005000010003026832" }, // keys out of order
		{ "SVCB", "00010000030000" },	    // port without a number
		{ "SVCB", "000100000000020003" }, // mandatory: port, which is not there
		{ "SVCB", "00010000020000" },	    // no-default-alpn without alpn
		{ "SVCB", "000100ffff0000" },	    // key 65535
		{ "SVCB", "0001000001000100" },   // an empty protocol
	};
	static struct wire wire;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[128];
		snprintf(text, sizeof(text), "\\# %zu %s", strlen(cases[i].hex) / 2, cases[i].hex);
		if (to_wire(&wire, cases[i].type, text))
			fail_msg("%s %s is accepted", cases[i].type, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_kind_is_complete),
		cmocka_unit_test(every_type_comes_back_from_wire_as_it_was_written),
		cmocka_unit_test(every_type_comes_back_from_the_text_of_unknown_types),
		cmocka_unit_test(every_type_refuses_each_shorter_wire),
		cmocka_unit_test(every_type_of_fixed_form_refuses_an_octet_too_many),
		cmocka_unit_test(every_type_refuses_text_without_its_last_word_and_with_a_word_too_many),
		cmocka_unit_test(names_of_types_are_read_in_any_case_and_by_number),
		cmocka_unit_test(the_length_that_was_needed_is_told_however_small_the_room),
		cmocka_unit_test(names_in_rdata_are_found_where_they_are),
		cmocka_unit_test(one_value_has_many_spellings_and_one_print),
		cmocka_unit_test(wire_that_no_text_makes_is_refused),
	};
	return cmocka_run_group_tests_name("rrtype", tests, NULL, NULL) ? 1 : 0;
}
