// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pollux/query.h>

#define HEAD(flags, qd, an, ns, ar) "\x12\x34" flags "\0" qd "\0" an "\0" ns "\0" ar
#define QUESTION "\3wWw\7example\3com\0\0\1\0\1"
#define OPT_HEAD(size, version, flags) "\0\0\x29" size "\0" version flags
#define OPT_RR(size, version, flags) OPT_HEAD(size, version, flags) "\0\0"

static struct query q;
static enum rcode rcode;

// Parses a copy of exactly that size, so that a sanitizer sees a read outside it.
static enum query_verdict parse(const char *bytes, size_t count)
{
	static uint8_t *copy;
	free(copy);
	copy = malloc(count ? count : 1);
	memcpy(copy, bytes, count);
	return query_parse(&q, copy, count, 7, &rcode);
}
#define PARSE(literal) parse(literal, sizeof(literal) - 1)

static void a_plain_question_is_valid(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\0") QUESTION), QUERY_VALID);
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.type, 1);
	assert_int_equal(q.class, 1);
	assert_int_equal(q.question_bytes, 21);
	assert_int_equal(q.name.labels, 3);
	assert_memory_equal(q.name.wire, "\3www\7example\3com", 17);
	assert_false(q.edns);
	assert_int_equal(q.udp_size, 512);
}

static void less_than_a_header_is_never_answered(void **state)
{
	(void)state;
	assert_int_equal(PARSE(""), QUERY_SHORT);
	assert_int_equal(PARSE("\x12\x34\1\0\0\1\0\0\0\0\0"), QUERY_SHORT);
}

static void a_response_is_never_answered(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\x81\0", "\1", "\0", "\0", "\0") QUESTION), QUERY_IS_RESPONSE);
}

static void an_empty_question_is_refused(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\0", "\0", "\0", "\0")), QUERY_ERROR);
	assert_int_equal(rcode, RCODE_REFUSED);
}

static void two_questions_are_a_format_error(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\2", "\0", "\0", "\0") QUESTION QUESTION), QUERY_ERROR);
	assert_int_equal(rcode, RCODE_FORMERR);
	assert_int_equal(q.question_bytes, 0);
}

static void every_other_opcode_is_not_implemented(void **state)
{
	(void)state;
	for (unsigned opcode = 1; opcode < 16; opcode++) {
		char message[] = HEAD("\1\0", "\1", "\0", "\0", "\0") QUESTION;
		message[2] = (char)(opcode << 3);
		assert_int_equal(parse(message, sizeof(message) - 1), QUERY_ERROR);
		assert_int_equal(rcode, RCODE_NOTIMP);
		assert_int_equal(q.question_bytes, 21);
		assert_int_equal(parse(message, sizeof(message) - 3), QUERY_ERROR); // whatever its sections hold
		assert_int_equal(rcode, RCODE_NOTIMP);
	}
}

static void every_cut_of_a_question_is_a_format_error(void **state)
{
	(void)state;
	static const char whole[] = HEAD("\1\0", "\1", "\0", "\0", "\0") QUESTION;
	for (size_t bytes = 12; bytes < sizeof(whole) - 1; bytes++) {
		assert_int_equal(parse(whole, bytes), QUERY_ERROR);
		assert_int_equal(rcode, RCODE_FORMERR);
	}
}

static void odd_labels_are_a_format_error(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\0") "\xc0\x0c\0\1\0\1"), QUERY_ERROR);
	assert_int_equal(rcode, RCODE_FORMERR);
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\0") "\x41" "a\0\0\1\0\1"), QUERY_ERROR);
	assert_int_equal(rcode, RCODE_FORMERR);
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\0") "\x81" "a\0\0\1\0\1"), QUERY_ERROR);
	assert_int_equal(rcode, RCODE_FORMERR);
}

static void an_opt_tells_size_and_do(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION OPT_RR("\x10\0", "\0", "\x80\0")), QUERY_VALID);
	assert_true(q.edns);
	assert_true(q.dnssec_ok);
	assert_int_equal(q.udp_size, 4096);
}

static void an_opt_size_below_512_counts_as_512(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION OPT_RR("\0\1", "\0", "\0\0")), QUERY_VALID);
	assert_int_equal(q.udp_size, 512);
	assert_false(q.dnssec_ok);
}

static void an_opt_is_found_behind_other_records(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\2") QUESTION
		"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4" OPT_RR("\x10\0", "\0", "\0\0")), QUERY_VALID);
	assert_true(q.edns);
}

static void two_opts_are_a_format_error(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\2") QUESTION OPT_RR("\x10\0", "\0", "\0\0")
		OPT_RR("\x10\0", "\0", "\0\0")), QUERY_ERROR);
	assert_int_equal(rcode, RCODE_FORMERR);
}

static void an_opt_must_belong_to_the_root(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION "\1a" OPT_RR("\x10\0", "\0", "\0\0")),
		QUERY_ERROR);
	assert_int_equal(rcode, RCODE_FORMERR);
}

static void another_edns_version_is_badvers(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION OPT_RR("\x10\0", "\1", "\0\0")), QUERY_ERROR);
	assert_int_equal(rcode, RCODE_BADVERS);
	assert_true(q.edns);
}

static void unknown_options_are_ignored_and_broken_ones_refused(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION
		"\0\0\x29\x10\0\0\0\0\0\0\6\xff\xff\0\2ab"), QUERY_VALID);
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION
		"\0\0\x29\x10\0\0\0\0\0\0\6\xff\xff\0\3ab"), QUERY_ERROR);
	assert_int_equal(rcode, RCODE_FORMERR);
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION
		"\0\0\x29\x10\0\0\0\0\0\0\7\xff\xff\0\2ab"), QUERY_ERROR);
}

static void announced_records_that_are_missing_are_a_format_error(void **state)
{
	(void)state;
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\1", "\0", "\0") QUESTION), QUERY_ERROR);
	assert_int_equal(rcode, RCODE_FORMERR);
	assert_int_equal(PARSE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION), QUERY_ERROR);
	assert_int_equal(rcode, RCODE_FORMERR);
}

// --- what is usual is known at a glance; the glance must see the same as the long look ---

static uint32_t random_state = 1035;

static unsigned random_below(unsigned n)
{
	random_state = random_state * 1103515245 + 12345;
	return (unsigned)((uint64_t)random_state * n >> 32);
}

static void assert_same_query(const struct query *a, const struct query *b)
{
	assert_int_equal(a->bytes, b->bytes);
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->class, b->class);
	assert_int_equal(a->questions, b->questions);
	assert_int_equal(a->question_bytes, b->question_bytes);
	assert_int_equal(a->udp_size, b->udp_size);
	assert_int_equal(a->edns, b->edns);
	assert_int_equal(a->edns_version, b->edns_version);
	assert_int_equal(a->dnssec_ok, b->dnssec_ok);
	assert_int_equal(a->options, b->options);
	if (a->options & OPTION_COOKIE) {
		assert_int_equal(a->cookie_at, b->cookie_at);
		assert_int_equal(a->cookie_bytes, b->cookie_bytes);
	}
	if (!a->question_bytes)
		return;
	assert_int_equal(a->name.bytes, b->name.bytes);
	assert_int_equal(a->name.labels, b->name.labels);
	assert_memory_equal(a->name.wire, b->name.wire, a->name.bytes);
	assert_memory_equal(a->name.label_at, b->name.label_at, a->name.labels + 1u);
	assert_memory_equal(a->name.hash, b->name.hash, (a->name.labels + 1u) * sizeof(a->name.hash[0]));
}

// A sound message, a little damaged: most often where it is decided what it is.
static size_t random_message(uint8_t *to)
{
#define MESSAGE(literal) { literal, sizeof(literal) - 1 }
	static const struct {
		const char *octets;
		size_t count;
	} sound[] = {
		MESSAGE(HEAD("\1\0", "\1", "\0", "\0", "\0") QUESTION),
		MESSAGE(HEAD("\1\0", "\1", "\0", "\0", "\0") "\0\0\2\0\1"),
		MESSAGE(HEAD("\1\0", "\1", "\0", "\0", "\0") "\1a\1b\0\0\1\0\1"),
		MESSAGE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION OPT_HEAD("\4\xd0", "\0", "\x80\0") "\0\0"),
		MESSAGE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION OPT_HEAD("\0\0", "\0", "\0\0") "\0\14"
			"\0\12\0\10" "12345678"),
		MESSAGE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION OPT_HEAD("\x10\0", "\0", "\0\0") "\0\12"
			"\0\3\0\0" "\0\14\0\2\0\0"),
		MESSAGE(HEAD("\1\0", "\1", "\0", "\0", "\1") QUESTION OPT_HEAD("\x10\0", "\0", "\0\0") "\0\7"
			"\0\12\0\3" "bad"),
		MESSAGE(HEAD("\1\0", "\1", "\0", "\0", "\2") QUESTION OPT_HEAD("\x10\0", "\0", "\0\0") "\0\0"
			"\0\0\1\0\1\0\0\0\0\0\4" "1234"),
		MESSAGE(HEAD("\1\0", "\1", "\1", "\1", "\0") QUESTION "\xc0\14\0\1\0\1\0\0\0\0\0\4" "1234"
			"\xc0\14\0\1\0\1\0\0\0\0\0\4" "1234"),
	};
	static const uint8_t values[] = { 0, 1, 2, 7, 8, 41, 63, 64, 0x80, 0xc0, 0xff };
	unsigned which = random_below(sizeof(sound) / sizeof(*sound));
	size_t count = sound[which].count;
	memcpy(to, sound[which].octets, count);
	for (unsigned changes = random_below(4); changes; changes--) {
		size_t room = random_below(3) ? count : DNS_HEADER_BYTES;
		to[random_below((unsigned)room)] = random_below(2) ? values[random_below(sizeof(values))] :
								     (uint8_t)random_below(256);
	}
	if (random_below(8) == 0)
		count = random_below((unsigned)count + 1);
	for (unsigned more = random_below(8) ? 0 : random_below(20); more; more--)
		to[count++] = (uint8_t)random_below(256);
	return count;
}

// RFC 1071, by the book: pairs of octets as they stand in memory, counted from the start of the message.
static uint64_t sum_of(const uint8_t *wire, size_t from, size_t to)
{
	uint64_t sum = 0;
	for (size_t at = from; at < to; at++)
		sum += (uint64_t)wire[at] << ((at - DNS_HEADER_BYTES) & 1) * 8;
	return sum;
}

static bool assert_sum_beside(const uint8_t *wire, size_t count)
{
	if (!q.beside_sum)
		return false;
	assert_true(q.beside_sum < UINT64_C(1) << 48);
	assert_int_equal(q.beside_sum % 0xffff,
		(sum_of(wire, 0, DNS_HEADER_BYTES) + sum_of(wire, DNS_HEADER_BYTES + q.question_bytes, count)) % 0xffff);
	return true;
}

static void a_message_is_judged_alike_at_a_glance_and_by_a_long_look(void **state)
{
	(void)state;
	unsigned valid = 0, with_options = 0, error = 0, summed = 0;
	for (unsigned round = 0; round < 100000; round++) {
		static struct query other;
		uint8_t message[256];
		enum rcode other_rcode;
		size_t count = random_message(message);
		enum query_verdict verdict = parse((const char *)message, count);
		// Of one question or none it says what query_parse() does, but never at a glance.
		uint8_t *copy = malloc(count ? count : 1);
		memcpy(copy, message, count);
		enum query_verdict other_verdict = query_parse_first(&other, copy, count, 7, &other_rcode);
		bool several = count >= DNS_HEADER_BYTES && (message[4] || message[5] > 1);
		assert_true(verdict == other_verdict || (several && verdict == QUERY_ERROR));
		if (!several && verdict != QUERY_SHORT) {
			assert_int_equal(rcode, other_rcode);
			assert_same_query(&q, &other);
		}
		valid += verdict == QUERY_VALID;
		summed += verdict == QUERY_VALID && assert_sum_beside(message, count);
		with_options += verdict == QUERY_VALID && q.options;
		error += verdict == QUERY_ERROR;
		free(copy);
	}
	assert_true(valid > 20000 && with_options > 2000 && error > 20000 && summed > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_question_is_valid),
		cmocka_unit_test(less_than_a_header_is_never_answered),
		cmocka_unit_test(a_response_is_never_answered),
		cmocka_unit_test(an_empty_question_is_refused),
		cmocka_unit_test(two_questions_are_a_format_error),
		cmocka_unit_test(every_other_opcode_is_not_implemented),
		cmocka_unit_test(every_cut_of_a_question_is_a_format_error),
		cmocka_unit_test(odd_labels_are_a_format_error),
		cmocka_unit_test(an_opt_tells_size_and_do),
		cmocka_unit_test(an_opt_size_below_512_counts_as_512),
		cmocka_unit_test(an_opt_is_found_behind_other_records),
		cmocka_unit_test(two_opts_are_a_format_error),
		cmocka_unit_test(an_opt_must_belong_to_the_root),
		cmocka_unit_test(another_edns_version_is_badvers),
		cmocka_unit_test(unknown_options_are_ignored_and_broken_ones_refused),
		cmocka_unit_test(announced_records_that_are_missing_are_a_format_error),
		cmocka_unit_test(a_message_is_judged_alike_at_a_glance_and_by_a_long_look),
	};
	return cmocka_run_group_tests_name("query", tests, NULL, NULL) ? 1 : 0;
}
