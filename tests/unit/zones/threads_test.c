// SPDX-License-Identifier: BSD-3-Clause
// What several threads make of a zone is what one makes of it, to the octet.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pollux/name.h>
#include <pollux/zonefile.h>

#define FILE_BYTES (1800u << 10) // some pieces
#define HEAD "$TTL 3600\n@ IN SOA ns1 host 1 2 3 4 5\n@ NS ns1\n@ NS ns2.sub\nns1 A 198.18.0.1\n"

static const uint8_t origin[] = "\4test\7example"; // the final NUL is the root

static char directory[] = "/tmp/pollux-threads-XXXXXX";
static char path[64];
static FILE *file;
static uint64_t state;

static unsigned below(unsigned bound)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state >> 32) * bound >> 32);
}

struct outcome {
	enum status read, checked;
	unsigned errors, warnings;
	char *words;
	size_t word_bytes;
	FILE *notes;
	uint8_t *image; // NULL: none
	uint64_t bytes;
};

static void note(void *ctx, enum severity severity, const char *name, unsigned line, unsigned column, const char *text)
{
	struct outcome *o = ctx;
	fprintf(o->notes, "%s:%u:%u: %d: %s\n", name, line, column, (int)severity, text);
}

static void load(struct outcome *o, unsigned threads)
{
	struct report report = { .emit = note, .ctx = o };
	struct zonefile_source source;
	*o = (struct outcome){ .checked = ST_OK };
	o->notes = open_memstream(&o->words, &o->word_bytes);
	struct zone_builder *builder = zone_builder_new(origin, 7);
	assert_non_null(builder);
	zone_builder_set_report(builder, &report);
	zone_builder_set_threads(builder, threads);
	o->read = zone_builder_read(builder, path, origin, &report, &source);
	if (o->read == ST_OK || (o->read == ST_SYNTAX && !report_is_full(&report)))
		o->checked = zone_builder_check(builder);
	if (o->read == ST_OK && o->checked == ST_OK) {
		uint64_t room = zone_builder_image_bytes(builder, &source);
		o->image = aligned_alloc(64, room);
		assert_non_null(o->image);
		memset(o->image, 0xa5, room);
		zone_builder_write(builder, o->image, &source, 1);
		o->bytes = ((struct image *)o->image)->bytes;
		assert_true(o->bytes <= room);
		assert_int_equal(image_check(o->image, room), ST_OK);
	}
	o->errors = report.errors;
	o->warnings = report.warnings;
	fclose(o->notes);
	zone_builder_free(builder);
	zonefile_source_free(&source);
}

static void forget(struct outcome *o)
{
	free(o->words);
	free(o->image);
}

static void open_file(void)
{
	state = 1;
	file = fopen(path, "w");
	assert_non_null(file);
}

// Reads the file by one thread, two, and more; returns what one made of it.
static struct outcome compare(void)
{
	struct outcome one, many;
	assert_int_equal(fclose(file), 0);
	load(&one, 1);
	for (unsigned threads = 2; threads <= 5; threads += 3) {
		load(&many, threads);
		assert_int_equal(many.read, one.read);
		assert_int_equal(many.checked, one.checked);
		assert_string_equal(many.words, one.words);
		assert_int_equal(many.errors, one.errors);
		assert_int_equal(many.warnings, one.warnings);
		assert_int_equal(many.bytes, one.bytes);
		assert_int_equal(!many.image, !one.image);
		if (one.image)
			assert_memory_equal(many.image, one.image, one.bytes);
		forget(&many);
	}
	return one;
}

static void is_good(void)
{
	struct outcome one = compare();
	assert_int_equal(one.read, ST_OK);
	assert_int_equal(one.checked, ST_OK);
	forget(&one);
}

static void is_bad(unsigned errors)
{
	struct outcome one = compare();
	assert_int_equal(one.errors, errors);
	forget(&one);
}

static void put_one(unsigned i)
{
	switch (below(12)) {
	case 0:
		fprintf(file, "d%u 60 NS ns1.d%u\nd%u NS ns2.elsewhere.example.\nns1.d%u A 198.18.1.%u\n", i, i, i, i, below(256));
		break;
	case 1:
		fprintf(file, "m%u MX 10 mail.m%u\nmail.m%u AAAA 2001:db8::%x\n\tAAAA 2001:db8::1\n", i, i, i, below(65536));
		break;
	case 2:
		fprintf(file, "*.w%u TXT \"one ; \\\" two ( \" three\\;four\n", i);
		break;
	case 3:
		fprintf(file, "a.b.c.D%u A 198.18.2.1 ; a comment ( \" \n", below(i + 1));
		break;
	case 4:
		fprintf(file, "_s._tcp.s%u SRV 0 1 53 d%u\ns%u HTTPS 1 m%u alpn=h2\n", i, below(i + 1), i, below(i + 1));
		break;
	case 5:
		fprintf(file, "c%u CNAME m%u\n\n; nothing here\n", i, below(i + 1));
		break;
	case 6:
		fprintf(file, "e%u DNAME other.example.\n", i);
		break;
	default:
		fprintf(file, "a%u A 198.18.%u.%u\n", i - below(i > 400 ? 400 : i + 1), below(256), below(256));
	}
}

static void put_many(unsigned bytes)
{
	long end = ftell(file) + (long)bytes;
	for (unsigned i = (unsigned)ftell(file) / 8; ftell(file) < end; i++)
		put_one(i);
}

static void plain_records_of_all_kinds(void **unused)
{
	(void)unused;
	open_file();
	fputs(HEAD, file);
	put_many(FILE_BYTES);
	is_good();
}

static void a_name_may_come_again_in_any_piece(void **unused)
{
	(void)unused;
	open_file();
	fputs(HEAD, file);
	for (unsigned i = 0; ftell(file) < (long)FILE_BYTES; i++)
		fprintf(file, "n%u %s\n", below(5000), i % 3 == 0 ? "A 198.18.0.1" : i % 3 == 1 ? "TXT a" : "MX 5 n7");
	is_good();
}

static void parentheses_run_over_the_ends_of_pieces(void **unused)
{
	(void)unused;
	open_file();
	fputs(HEAD, file);
	for (unsigned i = 0; ftell(file) < (long)FILE_BYTES; i++) {
		fprintf(file, "p%u TXT (\n", i);
		for (unsigned lines = below(40); lines; lines--)
			fprintf(file, "a%u A 198.18.0.1\n", lines); // words of the text, though they look like records
		fputs("x )\n", file);
	}
	is_good();
}

static void a_long_line_may_be_longer_than_a_look(void **unused)
{
	(void)unused;
	open_file();
	fputs(HEAD, file);
	for (unsigned i = 0; ftell(file) < (long)FILE_BYTES; i++) {
		fprintf(file, "t%u TXT", i);
		for (unsigned texts = 1 + below(400); texts; texts--)
			fprintf(file, " \"%0120u\"", below(1000));
		fputs("\n", file);
		put_many(below(3000));
	}
	is_good();
}

static void origins_and_ttls_may_change_anywhere(void **unused)
{
	(void)unused;
	for (unsigned every = 2000; every <= 500000; every *= 16) {
		open_file();
		fputs(HEAD, file);
		for (unsigned i = 1; ftell(file) < (long)FILE_BYTES; i++) {
			put_many(below(every));
			if (i & 1)
				fprintf(file, "$ORIGIN o%u.test.example.\n", i);
			else
				fprintf(file, "$TTL %u\n", i);
		}
		is_good();
	}
}

static void a_ttl_left_out_is_that_of_the_record_before(void **unused)
{
	(void)unused;
	for (unsigned every = 50; every <= 50000; every *= 10) {
		open_file();
		fputs("@ 7 IN SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 198.18.0.1\n", file);
		for (unsigned i = 0; ftell(file) < (long)FILE_BYTES; i++) {
			if (i % every == every - 1)
				fprintf(file, "l%u %u A 198.18.0.1\n", i, i);
			else
				fprintf(file, "l%u A 198.18.0.2\n", i);
		}
		is_good();
	}
}

static void files_may_be_included_and_lines_generated(void **unused)
{
	(void)unused;
	char other[80];
	snprintf(other, sizeof(other), "%s/other", directory);
	file = fopen(other, "w");
	assert_non_null(file);
	fputs("i A 198.18.0.9\nj TXT x\n", file);
	fclose(file);
	open_file();
	fputs(HEAD, file);
	for (unsigned i = 0; ftell(file) < (long)FILE_BYTES; i++) {
		put_many(120000);
		fprintf(file, "$INCLUDE other i%u\n$GENERATE 1-40 g%u-$ A 198.18.3.$\n", i, i);
	}
	is_good();
	unlink(other);
}

static void carriage_returns_a_mark_and_no_last_line_end_are_fine(void **unused)
{
	(void)unused;
	open_file();
	fputs("\xef\xbb\xbf" HEAD, file);
	for (unsigned i = 0; ftell(file) < (long)FILE_BYTES; i++)
		fprintf(file, "r%u A 198.18.0.1\r\n", i);
	fputs("last A 198.18.0.1", file);
	is_good();
}

static void errors_and_warnings_come_in_order(void **unused)
{
	(void)unused;
	open_file();
	fputs(HEAD, file);
	for (unsigned i = 0; i < 60; i++) {
		put_many(below(FILE_BYTES / 30));
		fprintf(file, "%s\n", i % 4 == 0 ? "bad A 1.2.3" : i % 4 == 1 ? "out.example. A 198.18.0.1" :
			i % 4 == 2 ? "x4 TXT \"open" : "y DS 1 2 2 00");
	}
	is_bad(30);
}

static void reading_ends_at_the_same_error_of_too_many(void **unused)
{
	(void)unused;
	open_file();
	fputs(HEAD, file);
	for (unsigned i = 0; i < 300; i++) {
		put_many(below(FILE_BYTES / 100));
		fputs("bad A 1.2.3\nout.example. A 198.18.0.1\n", file);
	}
	is_bad(100);
}

static void a_parenthesis_never_closed_is_told_where_it_opens(void **unused)
{
	(void)unused;
	open_file();
	fputs(HEAD, file);
	put_many(FILE_BYTES / 2);
	fputs("open TXT ( a\n", file);
	for (unsigned i = 0; ftell(file) < (long)FILE_BYTES; i++)
		fprintf(file, "q%u A 198.18.0.1\n", i);
	struct outcome one = compare();
	assert_int_equal(one.read, ST_SYNTAX);
	forget(&one);
}

static void rules_of_the_whole_zone_are_judged_alike(void **unused)
{
	(void)unused;
	open_file();
	fputs(HEAD, file);
	for (unsigned i = 0; i < 40; i++) {
		put_many(FILE_BYTES / 40);
		fprintf(file, "k%u CNAME a\nk%u A 198.18.0.1\n", i, i);
		fprintf(file, "v%u 60 A 198.18.0.1\nv%u 70 A 198.18.0.2\nx.e%u TXT hidden\n", i, i, i);
	}
	is_bad(40);
}

static void reading_ends_when_it_is_interrupted(void **unused)
{
	(void)unused;
	static const _Atomic bool interrupted = true;
	open_file();
	fputs(HEAD, file);
	put_many(FILE_BYTES);
	fclose(file);
	for (unsigned threads = 1; threads <= 2; threads++) {
		struct report report = { 0 };
		struct zone_builder *builder = zone_builder_new(origin, 7);
		assert_non_null(builder);
		zone_builder_set_threads(builder, threads);
		zone_builder_set_interrupt(builder, &interrupted);
		assert_int_equal(zone_builder_read(builder, path, origin, &report, NULL), ST_REFUSED);
		zone_builder_free(builder);
	}
}

static int make_directory(void **unused)
{
	(void)unused;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/zone", directory);
	return 0;
}

static int remove_directory(void **unused)
{
	(void)unused;
	unlink(path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_records_of_all_kinds),
		cmocka_unit_test(a_name_may_come_again_in_any_piece),
		cmocka_unit_test(parentheses_run_over_the_ends_of_pieces),
		cmocka_unit_test(a_long_line_may_be_longer_than_a_look),
		cmocka_unit_test(origins_and_ttls_may_change_anywhere),
		cmocka_unit_test(a_ttl_left_out_is_that_of_the_record_before),
		cmocka_unit_test(files_may_be_included_and_lines_generated),
		cmocka_unit_test(carriage_returns_a_mark_and_no_last_line_end_are_fine),
		cmocka_unit_test(errors_and_warnings_come_in_order),
		cmocka_unit_test(reading_ends_at_the_same_error_of_too_many),
		cmocka_unit_test(a_parenthesis_never_closed_is_told_where_it_opens),
		cmocka_unit_test(rules_of_the_whole_zone_are_judged_alike),
		cmocka_unit_test(reading_ends_when_it_is_interrupted),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory) ? 1 : 0;
}
