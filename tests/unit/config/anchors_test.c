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
#include <pollux/config.h>

static char path[] = "/tmp/pollux-anchors-XXXXXX";

// What a report said, one "line: text" per line.
static char said[4096];

static void remember(
	void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	(void)ctx;
	(void)column;
	assert_string_equal(file, path);
	assert_int_equal(severity, SEVERITY_ERROR);
	size_t used = strlen(said);
	snprintf(said + used, sizeof(said) - used, "%u: %s\n", line, text);
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fputs(text, file) >= 0, 1);
	assert_int_equal(fclose(file), 0);
	said[0] = 0;
}

static enum status read_anchors(const char *text, struct trust_anchors *anchors)
{
	struct report report = { .emit = remember };
	write_file(text);
	return config_trust_anchors(path, anchors, &report);
}

static enum status read_hints(const char *text)
{
	struct report report = { .emit = remember };
	write_file(text);
	return config_check_hints(path, &report);
}

#define DIGEST "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"

static void anchors_are_read_with_and_without_ttls_and_with_the_comments_of_a_tracker(void **state)
{
	(void)state;
	struct trust_anchors anchors;
	assert_int_equal(read_anchors("; autotrust trust anchor file\n"
				      ". IN DS 20326 8 2 " DIGEST "\n"
				      "island.example. 3600 IN DNSKEY 257 3 13 AAAA ;;state=2 [  VALID  ]\n"
				      "$ORIGIN example.\n"
				      "other DS 1 13 2 (" DIGEST ")\n",
				 &anchors),
		ST_OK);
	assert_int_equal(anchors.count, 3);
	assert_string_equal(anchors.line[0], ". IN DS 20326 8 2 " DIGEST);
	assert_string_equal(anchors.line[1], "island.example. IN DNSKEY 257 3 13 AAAA");
	assert_string_equal(anchors.line[2], "other.example. IN DS 1 13 2 " DIGEST);
	trust_anchors_free(&anchors);
	assert_string_equal(said, "");
}

static void every_wrong_line_is_named_and_then_there_are_no_anchors(void **state)
{
	(void)state;
	struct trust_anchors anchors;
	assert_int_equal(read_anchors(". IN DS 20326 8 2 " DIGEST "\n"
				      ". IN DS 20326 8 2 E06D4\n"
				      "\n"
				      ". IN A 198.18.0.1\n"
				      ". CH DS 20326 8 2 " DIGEST "\n"
				      ". IN DS 20326 8 2 E06D\n",
				 &anchors),
		ST_SYNTAX);
	assert_int_equal(anchors.count, 0);
	assert_null(anchors.line);
	assert_non_null(strstr(said, "2: "));
	assert_non_null(strstr(said, "4: expected a DS or DNSKEY record of class IN, found A\n"));
	assert_non_null(strstr(said, "5: "));
	assert_non_null(strstr(said, "6: DS: a digest of kind 2 has 32 octets, this one 2\n"));
}

static void a_file_without_anchors_or_that_is_not_there_is_an_error_of_the_file(void **state)
{
	(void)state;
	struct trust_anchors anchors;
	struct report report = { .emit = remember };
	assert_int_equal(read_anchors("; nothing\n", &anchors), ST_INVALID);
	assert_string_equal(said, "0: no trust anchor in it: expected DS or DNSKEY records\n");
	unlink(path);
	said[0] = 0;
	assert_int_equal(config_trust_anchors(path, &anchors, &report), ST_SYSTEM);
	assert_string_equal(said, "0: No such file or directory\n");
	assert_int_equal(mkfifo(path, 0600), 0);
	said[0] = 0;
	assert_int_equal(config_trust_anchors(path, &anchors, &report), ST_SYSTEM);
	assert_string_equal(said, "0: not a regular file\n");
	unlink(path);
}

static void hints_lead_to_a_root_server_with_an_address(void **state)
{
	(void)state;
	assert_int_equal(read_hints(".  3600000  NS  A.ROOTS.\na.roots. 3600000 A 198.18.0.2\n"), ST_OK);
	assert_int_equal(read_hints(". NS b.roots.\nb.roots. AAAA 2001:db8::2\n"), ST_OK);
	assert_int_equal(read_hints(". NS a.roots.\nb.roots. A 198.18.0.2\n"), ST_INVALID);
	assert_string_equal(said, "0: no address for any of the root servers it names\n");
	assert_int_equal(read_hints("a.roots. A 198.18.0.2\n"), ST_INVALID);
	assert_string_equal(said, "0: no NS records of the root in it\n");
	assert_int_equal(read_hints(". NS a.roots.\na.roots. A 198.18.0\n"), ST_SYNTAX);
	assert_int_equal(strncmp(said, "2: ", 3), 0);
}

static int make_file(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd < 0 || close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anchors_are_read_with_and_without_ttls_and_with_the_comments_of_a_tracker),
		cmocka_unit_test(every_wrong_line_is_named_and_then_there_are_no_anchors),
		cmocka_unit_test(a_file_without_anchors_or_that_is_not_there_is_an_error_of_the_file),
		cmocka_unit_test(hints_lead_to_a_root_server_with_an_address),
	};
	int r = cmocka_run_group_tests(tests, make_file, remove_file);
	return r ? 1 : 0;
}
