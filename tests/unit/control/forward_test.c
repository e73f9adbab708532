// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pollux/catalog.h>
#include <pollux/config.h>
#include <pollux/log.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "client/upstream.h"
#include "fake_server.h"
#include "forward_groups.h"
#include "resolve.h"

static struct event_base *base;
static struct catalog *catalog;
static struct resolver *resolver;
static struct fake_server one, two, three;
static struct message reply;
static unsigned waiting;
static char file[64];

static struct config *config_of(const char *format, ...)
{
	char text[2000];
	struct report report = { .emit = report_to_stream };
	struct config *config;
	va_list args;
	va_start(args, format);
	int bytes = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	assert_int_equal(config_read_text(&config, text, (size_t)bytes, "/etc/pollux/t.conf", &report), ST_OK);
	return config;
}

#define COMMON "via: management, timeout: 100ms, deadline: 300ms"

static void configure(struct config *config)
{
	if (resolver)
		resolver_reconfigure(resolver, config);
	else
		resolver = resolver_new(base, config, catalog, NULL);
	assert_non_null(resolver);
	config_free(config);
}

static void on_done(void *ctx, const uint8_t *wire, unsigned bytes)
{
	(void)ctx;
	message_clear(&reply);
	assert_int_equal(message_read(&reply, wire, bytes), ST_OK);
	if (!--waiting)
		event_base_loopbreak(base);
}

static void start(const char *name, uint16_t flags)
{
	uint8_t wire[QUERY_WIRE_BYTES], question[NAME_MAX_BYTES + 4], root[1] = { 0 };
	unsigned bytes;
	static const struct asker asker = { .transport = OVER_TCP };
	assert_int_equal(name_from_text(question, &bytes, name, strlen(name), root), ST_OK);
	store_be16(question + bytes, TYPE_A);
	store_be16(question + bytes + 2, CLASS_IN);
	bytes = message_write_query(wire, 7, flags, question, bytes + 4, 1232, false, 0);
	waiting++;
	resolver_ask(resolver, &asker, wire, bytes, on_done, NULL);
}

static unsigned ask_with(const char *name, uint16_t flags)
{
	start(name, flags);
	if (waiting)
		event_base_dispatch(base);
	assert_int_equal(waiting, 0);
	return reply.rcode;
}

static unsigned ask(const char *name)
{
	return ask_with(name, FLAG_RD);
}

static void say_no(struct heard *heard)
{
	static const char soa[] = "\2ns\0\4root\0\0\0\0\7\0\0\xe\x10\0\0\xe\x10\0\0\xe\x10\0\0\0\x3c";
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, RCODE_NXDOMAIN);
	fake_record(&w, 1, DNS_HEADER_BYTES, TYPE_SOA, 60, soa, sizeof(soa) - 1);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void refuse(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, RCODE_REFUSED);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void answer_with_ad(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, FLAG_AD);
	fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_A, 300, "\xc0\0\2\1", 4);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static int set_up(void **state)
{
	(void)state;
	base = event_base_new();
	waiting = 0;
	resolver = NULL;
	assert_int_equal(catalog_open_private(&catalog, 5), ST_OK);
	fake_start(&one, base, AF_INET, fake_answers);
	fake_start(&two, base, AF_INET, fake_answers);
	fake_start(&three, base, AF_INET, fake_answers);
	strlcpy(file, "/tmp/pollux-resolv-XXXXXX", sizeof(file));
	close(mkstemp(file));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	resolver_free(resolver);
	message_clear(&reply);
	catalog_close(catalog);
	fake_stop(&one);
	fake_stop(&two);
	fake_stop(&three);
	event_base_free(base);
	unlink(file);
	return 0;
}

static void heard(unsigned a, unsigned b, unsigned c)
{
	assert_int_equal(one.heard_udp + one.heard_tcp, a);
	assert_int_equal(two.heard_udp + two.heard_tcp, b);
	assert_int_equal(three.heard_udp + three.heard_tcp, c);
}

static void the_longest_zone_that_holds_the_name_is_asked(void **state)
{
	(void)state;
	configure(config_of("forward: {servers: [127.0.0.1@%u], " COMMON "}\n"
			    "forward-zones:\n"
			    "  - {zone: corp.example, servers: [127.0.0.1@%u]}\n"
			    "  - {zone: lab.corp.example, servers: [127.0.0.1@%u]}\n",
		one.port, two.port, three.port));
	assert_int_equal(ask("www.example"), RCODE_NOERROR);
	heard(1, 0, 0);
	assert_int_equal(ask("corp.example"), RCODE_NOERROR);
	assert_int_equal(ask("a.b.CORP.example"), RCODE_NOERROR);
	heard(1, 2, 0);
	assert_int_equal(ask("x.lab.corp.example"), RCODE_NOERROR);
	heard(1, 2, 1);
	assert_int_equal(ask("notcorp.example"), RCODE_NOERROR); // no label border
	heard(2, 2, 1);
}

static void a_zone_without_servers_is_never_forwarded(void **state)
{
	(void)state;
	configure(config_of("forward: {servers: [127.0.0.1@%u], " COMMON "}\n"
			    "forward-zones: [{zone: home.example, servers: []}]\n",
		one.port));
	assert_int_equal(ask("www.home.example"), RCODE_REFUSED);
	heard(0, 0, 0);
	assert_int_equal(ask("www.example"), RCODE_NOERROR);
	heard(1, 0, 0);
}

static void a_failed_zone_does_not_fall_back_to_others(void **state)
{
	(void)state;
	two.script = refuse;
	configure(config_of("forward: {servers: [127.0.0.1@%u], " COMMON "}\n"
			    "forward-zones: [{zone: corp.example, servers: [127.0.0.1@%u]}]\n",
		one.port, two.port));
	assert_int_equal(ask("www.corp.example"), RCODE_SERVFAIL);
	heard(0, 1, 0);
}

static void after_nxdomain_the_next_group_of_the_zone_is_asked(void **state)
{
	(void)state;
	one.script = say_no;
	configure(config_of("forward: {servers: [127.0.0.1@%u], " COMMON "}\n"
			    "forward-zones: [{zone: ., servers: [127.0.0.1@%u]}, {zone: ., servers: [127.0.0.1@%u]}]\n",
		one.port, two.port, three.port));
	assert_int_equal(ask("www.example"), RCODE_NOERROR);
	heard(1, 1, 0);
	two.script = say_no;
	three.script = refuse;
	assert_int_equal(ask("other.example"), RCODE_NXDOMAIN); // the best that is known
	assert_int_equal(reply.section_at[2] - reply.section_at[1], 1);
	heard(2, 2, 1);
}

static void final_nxdomain_ends_the_search(void **state)
{
	(void)state;
	one.script = say_no;
	configure(config_of("forward: {servers: [127.0.0.1@%u], on-nxdomain: final, " COMMON "}\n"
			    "forward-zones: [{zone: ., servers: [127.0.0.1@%u]}]\n",
		one.port, two.port));
	assert_int_equal(ask("www.example"), RCODE_NXDOMAIN);
	heard(1, 0, 0);
}

static void a_group_that_fails_is_followed_by_the_next(void **state)
{
	(void)state;
	one.script = NULL;
	configure(config_of("forward: {servers: [127.0.0.1@%u], " COMMON "}\n"
			    "forward-zones: [{zone: ., servers: [127.0.0.1@%u]}]\n",
		one.port, two.port));
	assert_int_equal(ask("www.example"), RCODE_NOERROR);
	assert_int_equal(two.heard_udp, 1);
}

static void equal_questions_share_one_query_in_each_group(void **state)
{
	(void)state;
	one.script = say_no;
	configure(config_of("forward: {servers: [127.0.0.1@%u], " COMMON "}\n"
			    "forward-zones: [{zone: ., servers: [127.0.0.1@%u]}]\n",
		one.port, two.port));
	for (unsigned i = 0; i < 9; i++)
		start("www.example", FLAG_RD);
	assert_int_equal(ask("www.example"), RCODE_NOERROR);
	heard(1, 1, 0);
	assert_int_equal(resolver_counters(resolver)->coalesced, 18);
}

static void ad_is_passed_on_only_from_servers_that_are_trusted(void **state)
{
	(void)state;
	one.script = two.script = answer_with_ad;
	configure(config_of("forward: {servers: [127.0.0.1@%u], " COMMON "}\n"
			    "forward-zones: [{zone: corp.example, servers: [127.0.0.1@%u], trust-ad: true}]\n",
		one.port, two.port));
	ask_with("www.example", FLAG_RD | FLAG_AD);
	assert_false(reply.flags & FLAG_AD);
	assert_false(load_be16(one.heard[0].wire + 2) & FLAG_AD);
	ask_with("www.corp.example", FLAG_RD | FLAG_AD);
	assert_true(reply.flags & FLAG_AD);
	assert_true(load_be16(two.heard[0].wire + 2) & FLAG_AD); // RFC 6840 5.7
}

static void a_new_configuration_is_for_new_questions(void **state)
{
	(void)state;
	one.script = NULL;
	configure(config_of("forward: {servers: [127.0.0.1@%u], " COMMON "}\n"
			    "forward-zones: [{zone: corp.example, servers: [127.0.0.1@%u]}]\n",
		one.port, one.port));
	start("www.example", FLAG_RD);
	start("www.corp.example", FLAG_RD); // its group will be gone: it ends
	configure(config_of("forward: {servers: [127.0.0.1@%u], " COMMON "}\n", two.port));
	assert_int_equal(waiting, 1);
	assert_int_equal(reply.rcode, RCODE_SERVFAIL);
	event_base_dispatch(base);
	assert_int_equal(reply.rcode, RCODE_SERVFAIL); // its servers were mute
	heard(one.heard_udp, 0, 0);
	assert_int_equal(ask("www.corp.example"), RCODE_NOERROR);
	assert_int_equal(two.heard_udp, 1);
}

static void tls_without_readable_authorities_asks_nobody(void **state)
{
	(void)state;
	configure(config_of("forward: {servers: [127.0.0.1@%u], protocol: tls, tls-name: a.example, tls-ca: /nonexistent, " COMMON
			    "}\n",
		one.port));
	assert_int_equal(ask("www.example"), RCODE_SERVFAIL);
	heard(0, 0, 0);
	assert_int_equal(one.connections, 0);
}

static unsigned servers_seen;
static char first_seen[FORWARDER_TEXT_BYTES];

static void see_server(void *ctx, const struct upstream_server *server)
{
	(void)ctx;
	if (!servers_seen++)
		forwarder_to_text(first_seen, server->address);
}

static void see_group(void *ctx, struct group *group)
{
	(void)ctx;
	if (group->upstream && group->servers)
		upstream_each_server(group->upstream, see_server, NULL);
}

static void look(void)
{
	servers_seen = 0;
	first_seen[0] = 0;
	resolver_each_forward_group(resolver, see_group, NULL);
}

static void write_file(const char *text)
{
	FILE *to = fopen(file, "w");
	assert_non_null(to);
	fputs(text, to);
	fclose(to);
}

static void a_resolver_file_gives_the_servers_and_is_followed(void **state)
{
	(void)state;
	write_file("nameserver 198.18.0.1\nnameserver 2001:db8::1\n");
	configure(config_of("forward: {resolv-conf: %s, " COMMON "}\n", file));
	look();
	assert_int_equal(servers_seen, 2);
	assert_string_equal(first_seen, "198.18.0.1@53");
	write_file("nameserver 198.18.0.2\n");
	for (unsigned i = 0; i < 2000 && strcmp(first_seen, "198.18.0.2@53") != 0; i++) {
		event_base_loop(base, EVLOOP_ONCE);
		look();
	}
	assert_string_equal(first_seen, "198.18.0.2@53");
	assert_int_equal(servers_seen, 1);
	write_file("nameserver 198.18.0.3\n");
	resolver_reload_forwarders(resolver); // at once
	look();
	assert_string_equal(first_seen, "198.18.0.3@53");
	unlink(file);
	resolver_reload_forwarders(resolver);
	look();
	assert_string_equal(first_seen, "127.0.0.1@53");
}

static void servers_of_the_configuration_replace_the_file(void **state)
{
	(void)state;
	write_file("nameserver 198.18.0.1\n");
	configure(config_of("forward: {resolv-conf: %s, servers: [198.18.0.9], " COMMON "}\n", file));
	look();
	assert_int_equal(servers_seen, 1);
	assert_string_equal(first_seen, "198.18.0.9@53");
}

static void our_own_address_in_the_file_is_refused(void **state)
{
	(void)state;
	write_file("nameserver 198.18.0.53\nnameserver 198.18.0.2\n");
	configure(config_of("ports: [{device: x, addresses: [198.18.0.53/24]}]\n"
			    "forward: {resolv-conf: %s, " COMMON "}\n",
		file));
	look();
	assert_int_equal(servers_seen, 1);
	assert_string_equal(first_seen, "198.18.0.2@53");
}

static void this_machine_cannot_be_asked_by_way_of_the_ports(void **state)
{
	(void)state;
	unlink(file);
	configure(config_of("ports: [{device: x, addresses: [198.18.0.53/24]}]\n"
			    "forward: {resolv-conf: %s, via: ports}\n",
		file));
	look();
	assert_int_equal(servers_seen, 0);
	assert_int_equal(ask("www.example"), RCODE_SERVFAIL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_longest_zone_that_holds_the_name_is_asked),
		TEST(a_zone_without_servers_is_never_forwarded),
		TEST(a_failed_zone_does_not_fall_back_to_others),
		TEST(after_nxdomain_the_next_group_of_the_zone_is_asked),
		TEST(final_nxdomain_ends_the_search),
		TEST(a_group_that_fails_is_followed_by_the_next),
		TEST(equal_questions_share_one_query_in_each_group),
		TEST(ad_is_passed_on_only_from_servers_that_are_trusted),
		TEST(a_new_configuration_is_for_new_questions),
		TEST(tls_without_readable_authorities_asks_nobody),
		TEST(a_resolver_file_gives_the_servers_and_is_followed),
		TEST(servers_of_the_configuration_replace_the_file),
		TEST(our_own_address_in_the_file_is_refused),
		TEST(this_machine_cannot_be_asked_by_way_of_the_ports),
	};
	return cmocka_run_group_tests_name("forward", tests, NULL, NULL) ? 1 : 0;
}
