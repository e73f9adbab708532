// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include <pollux/name.h>

#include "hosts_table.h"

static char path[64];
static struct hosts_table *table;
static char said[4096];
static struct report report;

static void keep(
	void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	size_t used = strlen(said);
	(void)ctx;
	assert_int_equal(severity, SEVERITY_WARNING);
	assert_string_equal(file, path);
	snprintf(said + used, sizeof(said) - used, "%u:%u: %s\n", line, column, text);
}

static int start(void **state)
{
	(void)state;
	strlcpy(path, "/tmp/pollux-hosts-XXXXXX", sizeof(path));
	close(mkstemp(path));
	said[0] = 0;
	report = (struct report){ .emit = keep };
	table = hosts_table_new(42);
	return table ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	hosts_table_free(table);
	unlink(path);
	rmdir(path);
	return 0;
}

static void read_text(const char *text, size_t bytes)
{
	FILE *file = fopen(path, "w");
	fwrite(text, 1, bytes, file);
	fclose(file);
	assert_int_equal(hosts_table_read(table, path, &report, NULL), ST_OK);
}

#define READ(text) read_text(text, sizeof(text) - 1)

// The addresses of a name as text, "address:line" with blanks between them.
static const char *addresses(const char *name)
{
	static char text[HOST_ADDRESSES_MAX * 64];
	static const uint8_t root[1] = { 0 };
	uint8_t wire[NAME_MAX_BYTES];
	struct host_address found[HOST_ADDRESSES_MAX];
	size_t used = 0;
	assert_int_equal(name_from_text(wire, NULL, name, strlen(name), root), ST_OK);
	unsigned count = hosts_table_find(table, wire, found);
	text[0] = 0;
	for (unsigned i = 0; i < count; i++) {
		char one[INET6_ADDRSTRLEN];
		inet_ntop(found[i].length == 4 ? AF_INET : AF_INET6, found[i].bytes, one, sizeof(one));
		assert_string_equal(found[i].place.file, path);
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%s:%u", i ? " " : "", one, found[i].place.line);
	}
	return text;
}

static const char *name_of(const char *address)
{
	static char text[NAME_TEXT_BYTES];
	uint8_t bytes[16];
	struct host_place place;
	bool is_ip4 = inet_pton(AF_INET, address, bytes) == 1;
	if (!is_ip4)
		assert_int_equal(inet_pton(AF_INET6, address, bytes), 1);
	const uint8_t *name = hosts_table_name_of(table, bytes, is_ip4 ? 4 : 16, &place);
	return name ? name_to_text(text, name) : "";
}

static void a_name_has_all_addresses_of_its_lines_in_their_order(void **state)
{
	(void)state;
	READ("198.18.7.7 hostsname.example alias.example # c\n"
	     "fd00:1::7\thostsname.example\n"
	     "198.18.7.6 hostsname.example\n"
	     "198.18.7.7 hostsname.example\n");
	assert_string_equal(addresses("hostsname.example"), "198.18.7.7:1 fd00:1::7:2 198.18.7.6:3");
	assert_string_equal(addresses("alias.example"), "198.18.7.7:1");
	assert_string_equal(addresses("other.example"), "");
	assert_string_equal(addresses("example"), "");
	assert_string_equal(said, "");
	assert_int_equal(hosts_table_names(table), 2);
	assert_int_equal(hosts_table_addresses(table), 3);
}

static void names_are_the_same_in_any_case_and_with_a_final_dot(void **state)
{
	(void)state;
	READ("198.18.7.7 HostsName.Example\n198.18.7.8 hostsname.example.\n");
	assert_string_equal(addresses("HOSTSNAME.eXAMPLE."), "198.18.7.7:1 198.18.7.8:2");
	assert_string_equal(name_of("198.18.7.7"), "hostsname.example.");
}

static void the_scope_of_an_address_is_left_out(void **state)
{
	(void)state;
	READ("fe80::1%lo0 lo\nfe80::2%eth0.17 far\nfe80::3 near\n::ffff:198.18.7.7 mapped\n");
	assert_string_equal(addresses("lo"), "fe80::1:1");
	assert_string_equal(addresses("far"), "fe80::2:2");
	assert_string_equal(addresses("near"), "fe80::3:3");
	assert_string_equal(addresses("mapped"), "::ffff:198.18.7.7:4");
	assert_string_equal(said, "");
}

static void an_address_has_the_first_name_of_its_first_line(void **state)
{
	(void)state;
	READ("127.0.0.1 localhost me\n127.0.0.1 other\n::1 localhost6\n0.0.0.1 x\n");
	assert_string_equal(name_of("127.0.0.1"), "localhost.");
	assert_string_equal(name_of("::1"), "localhost6.");
	assert_string_equal(name_of("0.0.0.1"), "x."); // not ::1 or 1:: by chance
	assert_string_equal(name_of("127.0.0.2"), "");
}

static void comments_empty_lines_and_any_blanks_are_fine(void **state)
{
	(void)state;
	READ("# a comment\n\n   \t\r\n#198.18.0.1 no.example\n  198.18.0.2 \t "
	     "a.example\tb.example#c.example\r\n"
	     "198.18.0.3 last.example");
	assert_string_equal(addresses("a.example"), "198.18.0.2:5");
	assert_string_equal(addresses("b.example"), "198.18.0.2:5");
	assert_string_equal(addresses("last.example"), "198.18.0.3:6");
	assert_int_equal(hosts_table_names(table), 3);
	assert_string_equal(said, "");
}

static void a_bad_line_is_told_with_its_place_and_skipped(void **state)
{
	(void)state;
	READ("junk hostsname.example\n"
	     "198.18.0 short.example\n"
	     "198.18.0.256 large.example\n"
	     "198.18.0.1\n"
	     "198.18.0.2 good.example bad..example fine.example b\\097d.example @\n"
	     "fe80::1% scope.example\n"
	     "\33[1m x\n"
	     "198.18.0.3 good.example\n");
	assert_string_equal(addresses("good.example"), "198.18.0.2:5 198.18.0.3:8");
	assert_string_equal(addresses("fine.example"), "198.18.0.2:5");
	assert_int_equal(hosts_table_names(table), 2);
	assert_string_equal(said, "1:1: 'junk' is not an address\n"
				  "2:1: '198.18.0' is not an address\n"
				  "3:1: '198.18.0.256' is not an address\n"
				  "4:1: '198.18.0.1' has no name\n"
				  "5:25: 'bad..example' is not a host name\n"
				  "5:51: 'b\\097d.example' is not a host name\n"
				  "5:66: '@' is not a host name\n"
				  "6:1: 'fe80::1%' is not an address\n"
				  "7:1: '?[1m' is not an address\n");
}

static void a_line_with_a_nul_or_a_label_too_long_is_skipped(void **state)
{
	(void)state;
	char text[512];
	READ("198.18.0.1 a\0b.example\n198.18.0.2 c.example\n");
	assert_string_equal(addresses("c.example"), "198.18.0.2:2");
	assert_string_equal(said, "1:0: the line holds a NUL\n");
	int bytes = snprintf(text, sizeof(text), "198.18.0.3 d.example %064d.example %063d.example\n", 0, 0);
	said[0] = 0;
	read_text(text, (size_t)bytes);
	assert_int_equal(report.warnings, 2);
	assert_string_equal(addresses("d.example"), "198.18.0.3:1");
	assert_int_equal(hosts_table_names(table), 3);
}

static void files_are_added_to_each_other(void **state)
{
	(void)state;
	READ("198.18.0.1 a.example\n");
	READ("198.18.0.2 a.example b.example\n");
	assert_string_equal(addresses("a.example"), "198.18.0.1:1 198.18.0.2:1");
	assert_string_equal(addresses("b.example"), "198.18.0.2:1");
}

static void a_file_that_is_not_there_or_no_file_is_a_warning(void **state)
{
	(void)state;
	unlink(path);
	assert_int_equal(hosts_table_read(table, path, &report, NULL), ST_NOT_FOUND);
	assert_string_equal(said, "0:0: cannot be read: No such file or directory\n");
	said[0] = 0;
	mkdir(path, 0700);
	assert_int_equal(hosts_table_read(table, path, &report, NULL), ST_SYSTEM);
	assert_string_equal(said, "0:0: cannot be read: Is a directory\n");
	rmdir(path);
	said[0] = 0;
	mkfifo(path, 0600);
	assert_int_equal(hosts_table_read(table, path, &report, NULL), ST_SYSTEM);
	assert_string_equal(said, "0:0: cannot be read: not a regular file\n");
	assert_string_equal(addresses("a.example"), "");
	assert_string_equal(name_of("198.18.0.1"), "");
}

static void a_name_has_a_bounded_number_of_addresses(void **state)
{
	(void)state;
	FILE *file = fopen(path, "w");
	for (unsigned i = 0; i < HOST_ADDRESSES_MAX + 2; i++)
		fprintf(file, "198.18.%u.%u many.example\n", i / 256, i % 256);
	fclose(file);
	assert_int_equal(hosts_table_read(table, path, &report, NULL), ST_OK);
	struct host_address found[HOST_ADDRESSES_MAX];
	assert_int_equal(
		hosts_table_find(table, (const uint8_t *)"\4many\7example", found), HOST_ADDRESSES_MAX);
	assert_string_equal(said, "257:12: 'many.example' has 256 addresses already\n"
				  "258:12: 'many.example' has 256 addresses already\n");
}

static void a_read_ends_when_it_is_interrupted(void **state)
{
	(void)state;
	static const _Atomic bool interrupted = true;
	FILE *file = fopen(path, "w");
	for (unsigned i = 0; i < 10000; i++)
		fprintf(file, "198.18.0.1 n%u.example\n", i);
	fclose(file);
	assert_int_equal(hosts_table_read(table, path, &report, &interrupted), ST_CANCELLED);
}

static void a_million_lines_are_read_and_found(void **state)
{
	(void)state;
	struct timespec began, ended;
	FILE *file = fopen(path, "w");
	for (unsigned i = 0; i < 1000000; i++)
		fprintf(file, "%u.%u.%u.%u host%u.lan.example h%u\n", 10 + (i >> 24), i >> 16 & 255,
			i >> 8 & 255, i & 255, i, i);
	fclose(file);
	clock_gettime(CLOCK_MONOTONIC, &began);
	assert_int_equal(hosts_table_read(table, path, &report, NULL), ST_OK);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	print_message("# a million lines in %ld ms\n",
		(ended.tv_sec - began.tv_sec) * 1000 + (ended.tv_nsec - began.tv_nsec) / 1000000);
	assert_int_equal(hosts_table_names(table), 2000000);
	assert_int_equal(hosts_table_addresses(table), 1000000);
	assert_string_equal(addresses("host999999.lan.example"), "10.15.66.63:1000000");
	assert_string_equal(addresses("H123456"), "10.1.226.64:123457");
	assert_string_equal(name_of("10.1.226.64"), "host123456.lan.example.");
	assert_string_equal(said, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
	const struct CMUnitTest tests[] = {
		TEST(a_name_has_all_addresses_of_its_lines_in_their_order),
		TEST(names_are_the_same_in_any_case_and_with_a_final_dot),
		TEST(the_scope_of_an_address_is_left_out),
		TEST(an_address_has_the_first_name_of_its_first_line),
		TEST(comments_empty_lines_and_any_blanks_are_fine),
		TEST(a_bad_line_is_told_with_its_place_and_skipped),
		TEST(a_line_with_a_nul_or_a_label_too_long_is_skipped),
		TEST(files_are_added_to_each_other),
		TEST(a_file_that_is_not_there_or_no_file_is_a_warning),
		TEST(a_name_has_a_bounded_number_of_addresses),
		TEST(a_read_ends_when_it_is_interrupted),
		TEST(a_million_lines_are_read_and_found),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	return r ? 1 : 0;
}
