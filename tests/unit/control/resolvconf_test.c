// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/resolvconf.h"

static struct resolv_conf conf;
static char said[2000];

static void collect(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	size_t used = strlen(said);
	(void)ctx;
	(void)severity;
	(void)file;
	(void)column;
	snprintf(said + used, sizeof(said) - used, "%u: %s\n", line, text);
}

static void take(const char *text)
{
	struct report report = { .emit = collect };
	said[0] = 0;
	resolv_conf_read(&conf, text, strlen(text), "resolv.conf", &report);
}

static void is_server(unsigned i, const char *address)
{
	char text[INET6_ADDRSTRLEN];
	const struct sockaddr_storage *s = &conf.servers[i];
	const void *bytes = s->ss_family == AF_INET ? (const void *)&((const struct sockaddr_in *)s)->sin_addr
						    : (const void *)&((const struct sockaddr_in6 *)s)->sin6_addr;
	assert_true(i < conf.server_count);
	assert_string_equal(inet_ntop(s->ss_family, bytes, text, sizeof(text)), address);
	assert_int_equal(ntohs(((const struct sockaddr_in *)s)->sin_port), 53);
}

static void servers_of_both_families_are_taken_in_their_order(void **state)
{
	(void)state;
	take("# made by hand\n; as well\n\nnameserver 198.18.0.1\nnameserver\t2001:db8::1  # primary\nnameserver 198.18.0.2");
	assert_int_equal(conf.server_count, 3);
	is_server(0, "198.18.0.1");
	is_server(1, "2001:db8::1");
	is_server(2, "198.18.0.2");
	assert_int_equal(conf.line[2], 6);
	assert_string_equal(said, "");
}

static void a_scope_names_its_interface(void **state)
{
	(void)state;
	take("nameserver fe80::1%lo\nnameserver fe80::2%3\nnameserver fe80::3%nosuchinterface\n");
	assert_int_equal(conf.server_count, 2);
	assert_int_equal(((const struct sockaddr_in6 *)&conf.servers[0])->sin6_scope_id, 1);
	assert_int_equal(((const struct sockaddr_in6 *)&conf.servers[1])->sin6_scope_id, 3);
	assert_non_null(strstr(said, "3: nameserver 'fe80::3%nosuchinterface' is no address"));
}

static void options_are_taken_and_bounded(void **state)
{
	(void)state;
	take("options timeout:3 attempts:4 rotate edns0 ndots:2\n");
	assert_int_equal(conf.timeout_s, 3);
	assert_int_equal(conf.attempts, 4);
	assert_true(conf.rotate);
	assert_string_equal(said, "");
	take("options timeout:300 attempts:0\n");
	assert_int_equal(conf.timeout_s, 30);
	assert_int_equal(conf.attempts, 1);
	assert_false(conf.rotate);
}

static void bad_lines_are_named_and_skipped(void **state)
{
	(void)state;
	take("nameserver\nnameserver 198.18.0.300\nnamserver 198.18.0.1\noptions timeout:x\nnameserver 198.18.0.7\nnameserver 198.18.0.7\r\n");
	assert_int_equal(conf.server_count, 1);
	is_server(0, "198.18.0.7");
	assert_string_equal(said, "1: nameserver without an address\n"
				  "2: nameserver '198.18.0.300' is no address, or has no such interface\n"
				  "3: 'namserver' is no keyword of resolv.conf\n"
				  "4: option timeout is no number: 'x'\n"
				  "6: nameserver '198.18.0.7' a second time\n");
}

static void octets_that_are_no_text_do_no_harm(void **state)
{
	(void)state;
	struct report report = { .emit = collect };
	char line[3000];
	said[0] = 0;
	memset(line, 'x', sizeof(line));
	resolv_conf_read(&conf, line, sizeof(line), "resolv.conf", &report);
	resolv_conf_read(&conf, "name\0server 1\nnameserver 198.18.0.1\n", 36, "resolv.conf", &report);
	assert_string_equal(said, "1: not a line of text\n1: not a line of text\n");
	is_server(0, "198.18.0.1");
}

static void domain_and_search_are_kept_and_may_be_empty(void **state)
{
	(void)state;
	take("domain\nsearch\n");
	assert_int_equal(conf.search_count, 0);
	assert_string_equal(said, "");
	take("domain corp.example\nsearch a.example b.example\n");
	assert_int_equal(conf.search_count, 2);
	assert_string_equal(conf.search[1], "b.example");
}

static void without_a_server_or_a_file_it_is_this_machine(void **state)
{
	(void)state;
	take("");
	assert_int_equal(conf.server_count, 1);
	is_server(0, "127.0.0.1");
	assert_int_equal(conf.line[0], 0);
	struct report report = { .emit = collect };
	assert_int_equal(resolv_conf_load(&conf, "/nonexistent/resolv.conf", &report), ST_OK);
	is_server(0, "127.0.0.1");
	assert_int_equal(report.errors, 0);
	assert_int_equal(resolv_conf_load(&conf, "/", &report), ST_SYSTEM);
	assert_int_equal(report.errors, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_of_both_families_are_taken_in_their_order),
		cmocka_unit_test(a_scope_names_its_interface),
		cmocka_unit_test(options_are_taken_and_bounded),
		cmocka_unit_test(bad_lines_are_named_and_skipped),
		cmocka_unit_test(octets_that_are_no_text_do_no_harm),
		cmocka_unit_test(domain_and_search_are_kept_and_may_be_empty),
		cmocka_unit_test(without_a_server_or_a_file_it_is_this_machine),
	};
	return cmocka_run_group_tests_name("resolvconf", tests, NULL, NULL) ? 1 : 0;
}
