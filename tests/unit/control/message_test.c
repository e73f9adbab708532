// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pollux/rrtype.h>

#include "client/message.h"

#define HEAD(an, ns, ar) "\x12\x34\x81\x80\0\1\0" an "\0" ns "\0" ar
#define QUESTION "\3wWw\7example\3com\0\0\1\0\1"
#define RR(owner, type, ttl, length, rdata) owner "\0" type "\0\1" ttl "\0" length rdata
#define TTL "\0\0\1\x2c"

static struct message m;

// Reads a copy of exactly that size, so that a sanitizer sees a read outside it.
static enum status read_copy(const void *wire, size_t bytes)
{
	uint8_t *copy = malloc(bytes ? bytes : 1);
	memcpy(copy, wire, bytes);
	message_clear(&m);
	enum status status = message_read(&m, copy, bytes);
	free(copy);
	return status;
}
#define READ(literal) read_copy(literal, sizeof(literal) - 1)

static int tear_down(void **state)
{
	(void)state;
	message_clear(&m);
	return 0;
}

static void a_message_comes_apart_into_records_with_whole_names(void **state)
{
	(void)state;
	assert_int_equal(READ(HEAD("\1", "\1", "\1") QUESTION RR("\xc0\x0c", "\1", TTL, "\4", "\xc0\0\2\1")
					 RR("\xc0\x10", "\2", TTL, "\5", "\2ns\xc0\x10")
						 RR("\2ns\xc0\x10", "\1", TTL, "\4", "\1\2\3\4")),
		ST_OK);
	assert_int_equal(m.id, 0x1234);
	assert_int_equal(m.rcode, 0);
	assert_memory_equal(m.name, "\3wWw\7example\3com", 17);
	assert_int_equal(m.section_at[SECTION_COUNT], 3);
	assert_memory_equal(m.rr[0].owner, "\3wWw\7example\3com", 17);
	assert_int_equal(m.rr[0].ttl, 300);
	assert_memory_equal(m.rr[1].owner, "\7example\3com", 13);
	assert_int_equal(m.rr[1].rdata_bytes, 16);
	assert_memory_equal(m.rr[1].rdata, "\2ns\7example\3com", 16);
	assert_memory_equal(m.rr[2].owner, "\2ns\7example\3com", 16);
}

static void pointers_are_followed_in_every_type_with_a_known_name(void **state)
{
	(void)state;
	// SRV may not be compressed, but is by some (RFC 3597 4)
	assert_int_equal(READ(HEAD("\1", "\0", "\0") QUESTION RR(
				 "\xc0\x0c", "\x21", TTL, "\x08", "\0\1\0\2\0\3\xc0\x10")),
		ST_OK);
	assert_memory_equal(m.rr[0].rdata, "\0\1\0\2\0\3\7example\3com", 19);
	// NAPTR: three strings before the name
	assert_int_equal(READ(HEAD("\1", "\0", "\0") QUESTION RR(
				 "\xc0\x0c", "\x23", TTL, "\x0b", "\0\1\0\2\1u\1s\0\xc0\x10")),
		ST_OK);
	assert_int_equal(m.rr[0].rdata_bytes, 22);
	// an unknown type stays as it is
	assert_int_equal(
		READ(HEAD("\1", "\0", "\0") QUESTION "\xc0\x0c\xff\0\0\1" TTL "\0\2\xc0\x10"), ST_OK);
	assert_memory_equal(m.rr[0].rdata, "\xc0\x10", 2);
}

static void a_ttl_with_the_top_bit_is_zero(void **state)
{
	(void)state;
	assert_int_equal(
		READ(HEAD("\1", "\0", "\0") QUESTION RR("\xc0\x0c", "\1", "\x80\0\0\1", "\4", "\1\2\3\4")),
		ST_OK);
	assert_int_equal(m.rr[0].ttl, 0);
}

static void the_opt_is_read_and_is_no_record(void **state)
{
	(void)state;
	assert_int_equal(READ(HEAD("\0", "\0", "\1") QUESTION "\0\0\x29\x10\0\1\0\0\0\0\0"), ST_OK);
	assert_true(m.edns);
	assert_int_equal(m.udp_size, 4096);
	assert_int_equal(m.rcode, 16);
	assert_int_equal(m.section_at[SECTION_COUNT], 0);
	assert_int_equal(
		READ(HEAD("\0", "\0", "\2") QUESTION "\0\0\x29\x10\0\0\0\0\0\0\0\0\0\x29\x10\0\0\0\0\0\0\0"),
		ST_SYNTAX);
	assert_int_equal(READ(HEAD("\1", "\0", "\0") QUESTION "\0\0\x29\x10\0\0\0\0\0\0\0"), ST_SYNTAX);
	assert_int_equal(READ(HEAD("\0", "\0", "\1") QUESTION "\1x\0\0\x29\x10\0\0\0\0\0\0\0"), ST_SYNTAX);
}

static void malformed_messages_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *wire;
		size_t bytes;
	} bad[] = {
#define BAD(literal) { literal, sizeof(literal) - 1 }
		BAD("\x12\x34\x81\x80\0\2\0\0\0\0\0\0" QUESTION QUESTION),
		BAD(HEAD("\1", "\0", "\0") QUESTION), BAD(HEAD("\0", "\0", "\0") QUESTION "x"),
		BAD(HEAD("\1", "\0", "\0") QUESTION RR("\xc0\x21", "\1", TTL, "\4", "\1\2\3\4")), // at itself
		BAD(HEAD("\1", "\0", "\0")
				QUESTION RR("\xc0\xff", "\1", TTL, "\4", "\1\2\3\4")), // behind the end
		BAD(HEAD("\1", "\0", "\0") QUESTION RR("\x40", "\1", TTL, "\4", "\1\2\3\4")),
		BAD(HEAD("\1", "\0", "\0") QUESTION RR("\x80", "\1", TTL, "\4", "\1\2\3\4")),
		BAD(HEAD("\1", "\0", "\0") QUESTION RR("\1x\xc0\x21", "\1", TTL, "\4", "\1\2\3\4")), // a loop
		BAD(HEAD("\1", "\0", "\0") QUESTION RR("\xc0\x0c", "\1", TTL, "\5", "\1\2\3\4")),
		BAD(HEAD("\1", "\0", "\0") QUESTION RR("\xc0\x0c", "\1", TTL, "\5", "\1\2\3\4\5")),
		BAD(HEAD("\1", "\0", "\0") QUESTION RR("\xc0\x0c", "\1", TTL, "\3", "\1\2\3")),
		BAD(HEAD("\1", "\0", "\0") QUESTION RR("\xc0\x0c", "\2", TTL, "\0", "")),
		BAD(HEAD("\1", "\0", "\0") QUESTION RR(
			"\xc0\x0c", "\2", TTL, "\3", "\xc0\x10x")), // octets behind a name
		BAD(HEAD("\2", "\0", "\0") QUESTION RR("\xc0\x0c", "\2", TTL, "\2", "\2n") RR(
			"\xc0\x0c", "\1", TTL, "\4", "\1\2\3\4")), // a name that runs out of its RDATA
	};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (read_copy(bad[i].wire, bad[i].bytes) != ST_SYNTAX)
			fail_msg("message %u was read", i);
}

static void a_name_longer_than_255_octets_is_refused(void **state)
{
	(void)state;
	uint8_t wire[600] = HEAD("\1", "\0", "\0");
	struct writer w = writer_of(wire, sizeof(wire));
	w.at += DNS_HEADER_BYTES;
	for (unsigned i = 0; i < 4; i++) { // 4 * 62 + 1 = 249 octets
		write_u8(&w, 61);
		memset(write_room(&w, 61), 'a', 61);
	}
	write_bytes(&w, "\0\0\1\0\1", 5);
	struct writer name = w;
	write_bytes(&w, "\5abcde\xc0\x0c\0\1\0\1" TTL "\0\4\1\2\3\4", 22);
	assert_int_equal(read_copy(wire, writer_bytes(&w)), ST_OK);
	w = name;
	write_bytes(&w, "\6abcdef\xc0\x0c\0\1\0\1" TTL "\0\4\1\2\3\4", 23);
	assert_int_equal(read_copy(wire, writer_bytes(&w)), ST_SYNTAX);
}

static void every_cut_message_is_refused(void **state)
{
	(void)state;
	static const char wire[] =
		HEAD("\2", "\1", "\1") QUESTION RR("\xc0\x0c", "\1", TTL, "\4", "\xc0\0\2\1")
			RR("\xc0\x0c", "\x0f", TTL, "\x09", "\0\5\4mail\xc0\x10")
				RR("\xc0\x10", "\2", TTL, "\5", "\2ns\xc0\x10") "\0\0\x29\x10\0\0\0\0\0\0\0";
	assert_int_equal(READ(wire), ST_OK);
	for (size_t bytes = 0; bytes < sizeof(wire) - 1; bytes++)
		assert_int_equal(read_copy(wire, bytes), ST_SYNTAX);
}

static const uint8_t question[] = QUESTION;
#define QUESTION_BYTES (sizeof(question) - 1)

static struct message_rr record(const char *owner, uint16_t type, const char *rdata, unsigned bytes)
{
	return (struct message_rr){ (const uint8_t *)owner, (const uint8_t *)rdata, 300, type, CLASS_IN,
		(uint16_t)bytes };
}
#define RECORD(owner, type, rdata) record(owner, type, rdata, sizeof(rdata) - 1)

static void names_are_compressed_against_all_that_stands_before(void **state)
{
	(void)state;
	static struct composer c;
	uint8_t wire[512];
	const struct message_rr rrs[] = {
		RECORD("\3www\7EXAMPLE\3com", TYPE_CNAME, "\3cdn\7example\3net\0"),
		RECORD("\3cdn\7example\3net", TYPE_MX, "\0\5\4mail\7example\3com\0"),
		RECORD("\4mail\7example\3com", TYPE_SRV, "\0\1\0\2\0\3\3cdn\7example\3net\0"),
	};
	assert_true(composer_start(&c, wire, sizeof(wire), 7, FLAG_QR, question, QUESTION_BYTES, false));
	for (unsigned i = 0; i < 3; i++)
		assert_true(composer_add(&c, SECTION_ANSWER, &rrs[i]));
	unsigned bytes = composer_end(&c, 0, 0, false);
	static const char expected[] = "\0\7\x80\0\0\1\0\3\0\0\0\0" QUESTION //
				       "\xc0\x0c\0\5\0\1" TTL "\0\x11\3cdn\7example\3net\0"
				       "\xc0\x2d\0\x0f\0\1" TTL "\0\x09\0\5\4mail\xc0\x10"
				       "\xc0\x4c\0\x21\0\1" TTL "\0\x17\0\1\0\2\0\3\3cdn\7example\3net\0";
	assert_int_equal(bytes, sizeof(expected) - 1);
	assert_memory_equal(wire, expected, bytes);
	assert_int_equal(read_copy(wire, bytes), ST_OK);
}

static void what_finds_no_room_leaves_no_trace(void **state)
{
	(void)state;
	static struct composer c;
	uint8_t wire[DNS_HEADER_BYTES + 21 + 30];
	const struct message_rr big =
		RECORD("\4mail\7example\3com", TYPE_CNAME, "\20abcdefghijklmnop\7example\3net\0");
	const struct message_rr small = RECORD("\4mail\7example\3com", TYPE_A, "\1\2\3\4");
	assert_true(composer_start(&c, wire, sizeof(wire), 7, FLAG_QR, question, QUESTION_BYTES, false));
	assert_false(composer_add(&c, SECTION_ANSWER, &big));
	assert_true(composer_add(&c, SECTION_ANSWER, &small));
	unsigned bytes = composer_end(&c, 0, 0, false);
	assert_int_equal(read_copy(wire, bytes), ST_OK);
	assert_int_equal(m.section_at[SECTION_COUNT], 1);
	assert_memory_equal(m.rr[0].owner, "\4mail\7example\3com", 18);
}

static void the_opt_keeps_its_room(void **state)
{
	(void)state;
	static struct composer c;
	uint8_t wire[DNS_HEADER_BYTES + 21 + 16 + OPT_BYTES];
	const struct message_rr rr = RECORD("\3www\7example\3com", TYPE_A, "\1\2\3\4");
	assert_true(composer_start(&c, wire, sizeof(wire), 7, FLAG_QR, question, QUESTION_BYTES, true));
	assert_true(composer_add(&c, SECTION_ANSWER, &rr));
	assert_false(composer_add(&c, SECTION_ANSWER, &rr));
	assert_int_equal(composer_end(&c, 1232, RCODE_BADVERS, true), sizeof(wire));
	assert_memory_equal(wire + sizeof(wire) - OPT_BYTES, "\0\0\x29\x04\xd0\1\0\x80\0\0\0", OPT_BYTES);
	assert_false(composer_start(&c, wire, sizeof(wire) - 17, 7, FLAG_QR, question, QUESTION_BYTES, true));
}

// More names than the table holds, and more octets than pointers reach.
static void large_messages_read_back_as_they_were(void **state)
{
	(void)state;
	static struct composer c;
	static uint8_t wire[DNS_MAX_BYTES];
	static char owner[3000][16], target[3000][20];
	assert_true(composer_start(&c, wire, sizeof(wire), 7, FLAG_QR, question, QUESTION_BYTES, false));
	unsigned added = 0;
	for (; added < 3000; added++) {
		snprintf(owner[added], sizeof(owner[0]), "\5o%04u\3com", added);
		snprintf(target[added], sizeof(target[0]), "\5t%04u\7example", added);
		struct message_rr rr = record(owner[added], TYPE_NS, target[added], 15);
		if (!composer_add(&c, SECTION_ANSWER, &rr))
			break;
	}
	assert_in_range(added, 1500, 2999);
	assert_int_equal(read_copy(wire, composer_end(&c, 0, 0, false)), ST_OK);
	assert_int_equal(m.section_at[SECTION_COUNT], added);
	for (unsigned i = 0; i < added; i++) {
		assert_string_equal(m.rr[i].owner, owner[i]);
		assert_string_equal(m.rr[i].rdata, target[i]);
	}
}

static void a_message_is_made_of_copies_of_records(void **state)
{
	(void)state;
	message_clear(&m);
	for (unsigned i = 0; i < 37; i++) {
		uint8_t address[4] = { 192, 0, 2, (uint8_t)i }, owner[] = "\3www\7example";
		const struct message_rr rr = { owner, address, 60 + i, TYPE_A, CLASS_IN, 4 };
		assert_int_equal(message_add(&m, i < 30 ? SECTION_ANSWER : SECTION_ADDITIONAL, &rr), ST_OK);
		memset(address, 0, sizeof(address));
		memset(owner, 0, sizeof(owner));
	}
	const struct message_rr late = { (const uint8_t *)"", (const uint8_t *)"", 0, TYPE_A, CLASS_IN, 0 };
	assert_int_equal(message_add(&m, SECTION_ANSWER, &late), ST_INVALID);
	const unsigned ends[] = { 0, 30, 30, 37 };
	assert_memory_equal(m.section_at, ends, sizeof(ends));
	for (unsigned i = 0; i < 37; i++) {
		const uint8_t address[4] = { 192, 0, 2, (uint8_t)i };
		assert_memory_equal(m.rr[i].owner, "\3www\7example", 13);
		assert_memory_equal(m.rr[i].rdata, address, 4);
		assert_int_equal(m.rr[i].ttl, 60 + i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_message_comes_apart_into_records_with_whole_names, tear_down),
		cmocka_unit_test_teardown(pointers_are_followed_in_every_type_with_a_known_name, tear_down),
		cmocka_unit_test_teardown(a_ttl_with_the_top_bit_is_zero, tear_down),
		cmocka_unit_test_teardown(a_message_is_made_of_copies_of_records, tear_down),
		cmocka_unit_test_teardown(the_opt_is_read_and_is_no_record, tear_down),
		cmocka_unit_test_teardown(malformed_messages_are_refused, tear_down),
		cmocka_unit_test_teardown(a_name_longer_than_255_octets_is_refused, tear_down),
		cmocka_unit_test_teardown(every_cut_message_is_refused, tear_down),
		cmocka_unit_test_teardown(names_are_compressed_against_all_that_stands_before, tear_down),
		cmocka_unit_test_teardown(what_finds_no_room_leaves_no_trace, tear_down),
		cmocka_unit_test_teardown(the_opt_keeps_its_room, tear_down),
		cmocka_unit_test_teardown(large_messages_read_back_as_they_were, tear_down),
	};
	return cmocka_run_group_tests_name("message", tests, NULL, NULL) ? 1 : 0;
}
