// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#include "chain.h"
#include "client/message.h"
#include "fake_server.h"
#include "resolve.h"
#include "tap.h"

#define ASKED_MAX 64
#define APEX "\7example\3org"
#define OUTSIDE "\3wWw\7eXample\3com"
#define TYPE_NSEC_BITMAP "\0\1\x40"

static struct event_base *base;
static struct fake_server server;
static struct catalog *catalog;
static unsigned timeouts_ms[1];
static struct ip_endpoint endpoints[2];
static struct config config;
static struct resolver *resolver;
static unsigned tap_sockets;

// Stands in for the TAP: the test has no ports.
int tap_namespace(const struct tap *tap)
{
	(void)tap;
	return -1;
}

int tap_socket(struct tap *tap, int family, int type)
{
	(void)tap;
	tap_sockets++;
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static struct answer {
	unsigned calls, bytes;
	uint8_t wire[DNS_MAX_BYTES];
	struct message message; // of `wire`
	uint64_t after_ms;
} answers[ASKED_MAX];
static unsigned asked, waiting;
static uint64_t asked_at_ms;

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_done(void *ctx, const uint8_t *wire, unsigned bytes)
{
	struct answer *a = ctx;
	a->calls++;
	a->bytes = bytes;
	a->after_ms = now_ms() - asked_at_ms;
	if (wire) {
		memcpy(a->wire, wire, bytes);
		assert_int_equal(message_read(&a->message, wire, bytes), ST_OK);
	}
	if (!--waiting)
		event_base_loopbreak(base);
}

struct client {
	const char *name;
	uint16_t id, flags, type, class;
	uint16_t udp_size; // 0: no EDNS
	bool dnssec_ok;
	enum transport transport;
};

static const struct client plain = { OUTSIDE, 0x1234, FLAG_RD, TYPE_A, CLASS_IN, 0, false, OVER_UDP };
static const struct client edns = { OUTSIDE, 0x1234, FLAG_RD, TYPE_A, CLASS_IN, 1232, false, OVER_UDP };

static unsigned write_query(uint8_t *wire, const struct client *c)
{
	struct writer w = writer_of(wire, QUERY_WIRE_BYTES);
	write_be16(&w, c->id);
	write_be16(&w, c->flags);
	write_bytes(&w, "\0\1\0\0\0\0\0", 7);
	write_u8(&w, c->udp_size ? 1 : 0);
	write_bytes(&w, c->name, strlen(c->name) + 1);
	write_be16(&w, c->type);
	write_be16(&w, c->class);
	if (c->udp_size) {
		write_bytes(&w, "\0\0\x29", 3);
		write_be16(&w, c->udp_size);
		write_bytes(&w, c->dnssec_ok ? "\0\0\x80\0\0\0" : "\0\0\0\0\0\0", 6);
	}
	assert_false(w.failed);
	return (unsigned)writer_bytes(&w);
}

static struct sockaddr_storage from; // who asks; AF_UNSPEC: ourselves
static unsigned room_bytes; // of the asker's link; 0: not known

static struct answer *ask_wire(const uint8_t *wire, unsigned bytes, enum transport transport)
{
	struct asker asker = { .address = from, .transport = transport, .room_bytes = room_bytes };
	assert_true(asked < ASKED_MAX);
	struct answer *a = &answers[asked++];
	a->calls = a->bytes = 0;
	if (!waiting++)
		asked_at_ms = now_ms();
	// A copy of exactly that size that is gone afterwards.
	uint8_t *copy = malloc(bytes ? bytes : 1);
	memcpy(copy, wire, bytes);
	resolver_ask(resolver, &asker, copy, bytes, on_done, a);
	free(copy);
	return a;
}

static struct answer *start(const struct client *c)
{
	uint8_t wire[QUERY_WIRE_BYTES];
	return ask_wire(wire, write_query(wire, c), c->transport);
}

static void wait_for_all(void)
{
	if (waiting)
		event_base_dispatch(base);
	for (unsigned i = 0; i < asked; i++)
		assert_int_equal(answers[i].calls, 1);
}

static const struct answer *ask(const struct client *c)
{
	struct answer *a = start(c);
	wait_for_all();
	const uint8_t *wire = a->wire;
	assert_true(a->bytes >= DNS_HEADER_BYTES);
	// True of every reply: the client's id, question and RD, octet for octet; never AD.
	assert_int_equal(load_be16(wire), c->id);
	assert_int_equal(load_be16(wire + 2) & (FLAG_QR | FLAG_OPCODE | FLAG_RD | FLAG_CD | FLAG_AD | FLAG_Z),
		FLAG_QR | (c->flags & (FLAG_OPCODE | FLAG_RD | FLAG_CD)));
	assert_int_equal(load_be16(wire + 4), 1);
	assert_memory_equal(wire + DNS_HEADER_BYTES, c->name, strlen(c->name) + 1);
	assert_int_equal(a->message.type, c->type);
	assert_int_equal(a->message.edns, c->udp_size != 0);
	if (c->transport == OVER_UDP)
		assert_true(a->bytes <= (c->udp_size ? c->udp_size : DNS_UDP_PLAIN_BYTES));
	return a;
}

static unsigned count(const struct answer *a, enum section section)
{
	return a->message.section_at[section + 1] - a->message.section_at[section];
}

static const struct message_rr *record(const struct answer *a, enum section section, unsigned i)
{
	assert_true(i < count(a, section));
	return &a->message.rr[a->message.section_at[section] + i];
}

static void add(
	struct zone_builder *builder, const char *owner, uint16_t type, const char *rdata, unsigned bytes)
{
	struct record r = { .owner = (const uint8_t *)owner,
		.rdata = (const uint8_t *)rdata,
		.type = type,
		.class = CLASS_IN,
		.rdata_bytes = (uint16_t)bytes,
		.ttl = 3600,
		.file = "test",
		.line = 1 };
	assert_int_equal(zone_builder_add(builder, &r), ST_OK);
}
#define ADD(owner, type, rdata) add(builder, owner, type, rdata, sizeof(rdata) - 1)

static void publish_zone(void)
{
	struct report report = { 0 };
	struct zonefile_source source = { .paths = (char[]){ 0 }, .bytes = 1 };
	struct zone_builder *builder = zone_builder_new((const uint8_t *)APEX, catalog_seed(catalog));
	zone_builder_set_report(builder, &report);
	ADD(APEX, TYPE_SOA,
		"\2ns" APEX "\0\4root" APEX "\0\0\0\0\7\0\0\xe\x10\0\0\xe\x10\0\0\xe\x10\0\0\xe\x10");
	ADD(APEX, TYPE_NS, "\2ns" APEX "\0");
	ADD("\2ns" APEX, TYPE_A, "\xc0\0\2\x35");
	ADD("\3www" APEX, TYPE_A, "\xc0\0\2\x50");
	ADD("\1a" APEX, TYPE_CNAME, "\1b" APEX "\0");
	ADD("\1b" APEX, TYPE_CNAME, "\3www\7example\3com\0");
	assert_int_equal(zone_builder_check(builder), ST_OK);
	void *room;
	assert_int_equal(catalog_reserve(catalog, zone_builder_image_bytes(builder, &source), &room), ST_OK);
	zone_builder_write(builder, room, &source, 0);
	assert_int_equal(catalog_publish(catalog, room), ST_OK);
	zone_builder_free(builder);
}

static int set_up(void **state)
{
	(void)state;
	base = event_base_new();
	asked = waiting = tap_sockets = 0;
	memset(&from, 0, sizeof(from));
	fake_start(&server, base, AF_INET, fake_answers);
	endpoints[0] =
		(struct ip_endpoint){ .family = AF_INET, .bytes = { 127, 0, 0, 1 }, .port = server.port };
	timeouts_ms[0] = 1000;
	config = (struct config){ .forward = { .servers = endpoints, .server_count = 1 },
		.forward_via = "management",
		.forward_timeouts_ms = timeouts_ms,
		.forward_timeout_count = 1,
		.forward_max_tries = 12,
		.forward_max_per_server = 1000,
		.forward_deadline_ms = 5000,
		.forward_max_open = 50,
		.client_max_in_flight = 60,
		.client_max_misses = 40,
		.udp_size = 1232 };
	assert_int_equal(catalog_open_private(&catalog, 5), ST_OK);
	publish_zone();
	resolver = resolver_new(base, &config, catalog, NULL);
	assert_non_null(resolver);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	resolver_free(resolver);
	for (unsigned i = 0; i < ASKED_MAX; i++)
		message_clear(&answers[i].message);
	catalog_close(catalog);
	fake_stop(&server);
	event_base_free(base);
	return 0;
}

static void lose_patience(void)
{
	timeouts_ms[0] = 30;
	config.forward_deadline_ms = 200;
	resolver_reconfigure(resolver, &config);
}

static void our_zones_answer_first(void **state)
{
	(void)state;
	struct client c = plain;
	c.name = "\3WWW" APEX;
	const struct answer *a = ask(&c);
	assert_int_equal(a->message.rcode, RCODE_NOERROR);
	assert_int_equal(a->message.flags & (FLAG_AA | FLAG_RA), FLAG_AA | FLAG_RA);
	assert_memory_equal(record(a, SECTION_ANSWER, 0)->rdata, "\xc0\0\2\x50", 4);
	c.name = "\2no" APEX;
	a = ask(&c);
	assert_int_equal(a->message.rcode, RCODE_NXDOMAIN);
	assert_int_equal(record(a, SECTION_AUTHORITY, 0)->type, TYPE_SOA);
	assert_int_equal(server.heard_udp, 0);
	assert_int_equal(resolver_counters(resolver)->answered[STEP_AUTHORITIES], 2);
}

static void other_names_are_forwarded_and_answered_without_aa(void **state)
{
	(void)state;
	const struct answer *a = ask(&plain);
	assert_int_equal(a->message.rcode, RCODE_NOERROR);
	assert_int_equal(a->message.flags & (FLAG_AA | FLAG_RA | FLAG_TC), FLAG_RA);
	assert_int_equal(count(a, SECTION_ANSWER), 1);
	const struct message_rr *rr = record(a, SECTION_ANSWER, 0);
	assert_memory_equal(rr->rdata, "\xc0\0\2\1", 4);
	assert_int_equal(rr->ttl, 300);
	assert_memory_equal(rr->owner, OUTSIDE, sizeof(OUTSIDE)); // in the client's case
	assert_int_equal(server.heard_udp, 1);
	assert_int_equal(resolver_counters(resolver)->answered[STEP_FORWARDERS], 1);
}

static void edns_is_between_neighbours(void **state)
{
	(void)state;
	struct client c = edns;
	c.dnssec_ok = true;
	const struct answer *a = ask(&c);
	assert_int_equal(a->message.udp_size, 1232);
	assert_memory_equal(a->wire + a->bytes - OPT_BYTES, "\0\0\x29\x04\xd0\0\0\x80\0\0\0", OPT_BYTES);
	const struct heard *h = &server.heard[0];
	assert_int_equal(h->wire[h->bytes - 4], 0x80); // DO goes on
	ask(&plain);
	h = &server.heard[1];
	assert_int_equal(load_be16(h->wire + 10), 1); // we speak EDNS ourselves
	assert_int_equal(h->wire[h->bytes - 4], 0);
}

static void answer_with_opt_and_ad(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, FLAG_AD | FLAG_AA);
	fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_A, 300, "\xc0\0\2\1", 4);
	fake_opt(&w);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void the_servers_opt_aa_and_ad_stay_behind(void **state)
{
	(void)state;
	server.script = answer_with_opt_and_ad;
	assert_int_equal(ask(&plain)->message.flags & FLAG_AA, 0);
	assert_int_equal(ask(&edns)->message.flags & FLAG_AA, 0);
}

static void cd_is_copied_both_ways(void **state)
{
	(void)state;
	struct client c = plain;
	c.flags |= FLAG_CD;
	ask(&c);
	assert_int_equal(load_be16(server.heard[0].wire + 2), FLAG_RD | FLAG_CD);
}

static void say_nxdomain(struct heard *heard)
{
	static const char soa[] =
		"\2ns\xc0\x0c\4root\xc0\x0c\0\0\0\7\0\0\xe\x10\0\0\xe\x10\0\0\xe\x10\0\0\xe\x10";
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, RCODE_NXDOMAIN);
	fake_record(&w, 1, DNS_HEADER_BYTES + 4, TYPE_SOA, 900, soa, sizeof(soa) - 1);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void nxdomain_brings_the_servers_soa(void **state)
{
	(void)state;
	server.script = say_nxdomain;
	const struct answer *a = ask(&plain);
	assert_int_equal(a->message.rcode, RCODE_NXDOMAIN);
	assert_int_equal(count(a, SECTION_ANSWER), 0);
	const struct message_rr *rr = record(a, SECTION_AUTHORITY, 0);
	assert_int_equal(rr->type, TYPE_SOA);
	assert_int_equal(rr->ttl, 900);
	assert_memory_equal(rr->owner, &OUTSIDE[4], sizeof(OUTSIDE) - 4);
	assert_memory_equal(rr->rdata, "\2ns" OUTSIDE "\0\4root" OUTSIDE, 2 * sizeof(OUTSIDE) + 8);
}

static uint16_t say_rcode;

static void answer_rcode(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, say_rcode);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void every_error_of_the_servers_becomes_servfail(void **state)
{
	(void)state;
	server.script = answer_rcode;
	for (say_rcode = 1; say_rcode < 16; say_rcode++) {
		if (say_rcode == RCODE_NXDOMAIN)
			continue;
		const struct answer *a = ask(&plain);
		assert_int_equal(a->message.rcode, RCODE_SERVFAIL);
		assert_int_equal(a->message.flags & FLAG_RA, FLAG_RA);
	}
	assert_int_equal(resolver_counters(resolver)->servfail, 14);
}

static void silence_becomes_servfail_at_the_deadline(void **state)
{
	(void)state;
	lose_patience();
	server.script = NULL;
	const struct answer *a = ask(&edns);
	assert_int_equal(a->message.rcode, RCODE_SERVFAIL);
	assert_in_range(a->after_ms, 190, 1200);
	assert_true(server.heard_udp >= 2);
}

static void answer_garbage(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, 0);
	fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_A, 300, "\xc0\0\2\1\0", 5);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void garbage_becomes_servfail(void **state)
{
	(void)state;
	server.script = answer_garbage;
	assert_int_equal(ask(&plain)->message.rcode, RCODE_SERVFAIL);
	assert_int_equal(resolver_counters(resolver)->upstream_malformed, 1);
}

static void without_forwarders_the_rest_is_refused_without_ra(void **state)
{
	(void)state;
	config.forward.server_count = 0;
	resolver_reconfigure(resolver, &config);
	const struct answer *a = ask(&edns);
	assert_int_equal(a->message.rcode, RCODE_REFUSED);
	assert_int_equal(a->message.flags & FLAG_RA, 0);
	assert_int_equal(resolver_counters(resolver)->refused, 1);
	struct client c = plain;
	c.name = "\3www" APEX;
	assert_int_equal(ask(&c)->message.flags & FLAG_RA, 0);
}

static void without_rd_nothing_is_forwarded(void **state)
{
	(void)state;
	struct client c = plain;
	c.flags = 0;
	const struct answer *a = ask(&c);
	assert_int_equal(a->message.rcode, RCODE_REFUSED);
	assert_int_equal(a->message.flags & FLAG_RA, FLAG_RA);
	assert_int_equal(server.heard_udp, 0);
}

static void transfers_and_other_classes_are_refused_not_forwarded(void **state)
{
	(void)state;
	static const struct {
		uint16_t type, class;
	} refused[] = { { TYPE_AXFR, 1 }, { TYPE_IXFR, 1 }, { TYPE_OPT, 1 }, { 249, 1 }, { 250, 1 },
		{ TYPE_A, CLASS_CH } };
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct client c = plain;
		c.type = refused[i].type;
		c.class = refused[i].class;
		c.transport = OVER_TCP;
		assert_int_equal(ask(&c)->message.rcode, RCODE_REFUSED);
	}
	assert_int_equal(server.heard_udp, 0);
}

static void unknown_types_pass_unchanged(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, 0);
	fake_record(&w, 0, DNS_HEADER_BYTES, 65280, 300, "\xc0\x0c\0\xff\x41\x61", 6);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void rdata_of_unknown_types_passes_unchanged(void **state)
{
	(void)state;
	server.script = unknown_types_pass_unchanged;
	struct client c = plain;
	c.type = 65280;
	const struct message_rr *rr = record(ask(&c), SECTION_ANSWER, 0);
	assert_int_equal(rr->rdata_bytes, 6);
	assert_memory_equal(rr->rdata, "\xc0\x0c\0\xff\x41\x61", 6);
}

// Three RRsets of 40, 1 and 1 records; the first alone is larger than 512 octets.
static void answer_much(struct heard *heard)
{
	static uint8_t wire[4096];
	struct writer w = fake_reply(wire, sizeof(wire), heard, 0);
	for (unsigned i = 0; i < 40; i++)
		fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_A, 300, (uint8_t[]){ 192, 0, 2, (uint8_t)i }, 4);
	fake_record(&w, 1, DNS_HEADER_BYTES + 4, TYPE_NS, 300, "\2ns\xc0\x0c", 5);
	fake_record(&w, 2, DNS_HEADER_BYTES, TYPE_AAAA, 300, "0123456789abcdef", 16);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void what_does_not_fit_is_left_out_as_whole_rrsets_with_tc(void **state)
{
	(void)state;
	server.script = answer_much;
	const struct answer *a = ask(&plain);
	assert_int_equal(a->message.flags & FLAG_TC, FLAG_TC);
	assert_int_equal(count(a, SECTION_ANSWER), 0);
	a = ask(&edns);
	assert_int_equal(a->message.flags & FLAG_TC, 0);
	assert_int_equal(count(a, SECTION_ANSWER), 40);
	assert_int_equal(count(a, SECTION_AUTHORITY), 1);
	assert_int_equal(count(a, SECTION_ADDITIONAL), 1);
	struct client c = plain;
	c.transport = OVER_TCP;
	a = ask(&c);
	assert_int_equal(a->message.flags & FLAG_TC, 0);
	assert_int_equal(count(a, SECTION_ANSWER), 40);
}

static void additional_records_are_left_out_without_tc(void **state)
{
	(void)state;
	server.script = answer_much;
	struct client c = edns;
	// header, question, 40 A, NS, OPT: the AAAA does not fit
	c.udp_size = DNS_HEADER_BYTES + sizeof(OUTSIDE) + 4 + 40 * 16 + 12 + 5 + OPT_BYTES + 10;
	const struct answer *a = ask(&c);
	assert_int_equal(a->message.flags & FLAG_TC, 0);
	assert_int_equal(count(a, SECTION_AUTHORITY), 1);
	assert_int_equal(count(a, SECTION_ADDITIONAL), 0);
}

static void an_answer_that_does_not_fit_the_askers_link_is_truncated(void **state)
{
	(void)state;
	server.script = answer_much;
	room_bytes = 600;
	const struct answer *a = ask(&edns);
	room_bytes = 0;
	assert_int_equal(a->message.flags & FLAG_TC, FLAG_TC);
	assert_in_range(a->bytes, 1, 600);
	assert_int_equal(ask(&edns)->message.flags & FLAG_TC, 0);
}

static void big_answers_come_over_tcp_from_the_server(void **state)
{
	(void)state;
	server.script = fake_truncates;
	assert_int_equal(count(ask(&plain), SECTION_ANSWER), 1);
	assert_int_equal(server.heard_udp, 1);
	assert_int_equal(server.heard_tcp, 1);
}

static void answer_signed(struct heard *heard)
{
	static const char sig[] = "\0\1\10\3\0\0\1\54\x66\0\0\0\x65\0\0\0\x30\x39\7example\3com\0SIGNATURE";
	static const char nsec[] = "\1z\7example\3com\0" TYPE_NSEC_BITMAP;
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, 0);
	fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_A, 300, "\xc0\0\2\1", 4);
	fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_RRSIG, 300, sig, sizeof(sig) - 1);
	fake_record(&w, 1, DNS_HEADER_BYTES, TYPE_NSEC, 300, nsec, sizeof(nsec) - 1);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void signatures_are_for_those_who_ask_for_them(void **state)
{
	(void)state;
	server.script = answer_signed;
	const struct answer *a = ask(&plain);
	assert_int_equal(count(a, SECTION_ANSWER), 1);
	assert_int_equal(count(a, SECTION_AUTHORITY), 0);
	struct client c = edns;
	c.dnssec_ok = true;
	a = ask(&c);
	assert_int_equal(count(a, SECTION_ANSWER), 2);
	assert_int_equal(count(a, SECTION_AUTHORITY), 1);
	assert_int_equal(record(a, SECTION_ANSWER, 1)->rdata_bytes, 18 + 13 + 9);
	c = plain;
	c.type = TYPE_RRSIG;
	a = ask(&c);
	assert_int_equal(count(a, SECTION_ANSWER), 2);
	assert_int_equal(count(a, SECTION_AUTHORITY), 0);
}

static void equal_questions_share_one_query(void **state)
{
	(void)state;
	struct client c = plain;
	for (unsigned i = 0; i < 10; i++) {
		c.id = (uint16_t)(0x2000 + i);
		c.name = i % 2 ? OUTSIDE : "\3WwW\7EXAMPLE\3COM";
		start(&c);
	}
	assert_int_equal(resolver_counters(resolver)->open, 10);
	wait_for_all();
	assert_int_equal(server.heard_udp, 1);
	assert_int_equal(resolver_counters(resolver)->coalesced, 9);
	assert_int_equal(resolver_counters(resolver)->open, 0);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(load_be16(answers[i].wire), 0x2000 + i);
		assert_memory_equal(answers[i].wire + DNS_HEADER_BYTES,
			i % 2 ? OUTSIDE : "\3WwW\7EXAMPLE\3COM", sizeof(OUTSIDE));
		assert_int_equal(count(&answers[i], SECTION_ANSWER), 1);
	}
	ask(&plain); // nothing is remembered
	assert_int_equal(server.heard_udp, 2);
}

static void different_questions_do_not_share(void **state)
{
	(void)state;
	struct client c = edns;
	start(&c);
	c.dnssec_ok = true;
	start(&c);
	c.flags |= FLAG_CD;
	start(&c);
	c.type = TYPE_AAAA;
	start(&c);
	c.name = "\3ftp\7example\3com";
	start(&c);
	wait_for_all();
	assert_int_equal(server.heard_udp, 5);
	assert_int_equal(resolver_counters(resolver)->coalesced, 0);
}

static void an_error_is_shared_by_all_who_wait(void **state)
{
	(void)state;
	server.script = answer_rcode;
	say_rcode = RCODE_REFUSED;
	for (unsigned i = 0; i < 5; i++)
		start(&plain);
	wait_for_all();
	assert_int_equal(server.heard_udp, 1);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(answers[i].message.rcode, RCODE_SERVFAIL);
}

static void answer_with_alias(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, 0);
	unsigned target_at = (unsigned)writer_bytes(&w) + 12;
	fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_CNAME, 60, "\3cdn\xc0\x10", 6);
	fake_record(&w, 0, target_at, TYPE_A, 60, "\xc0\0\2\1", 4);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

static void an_alias_out_of_our_zones_is_followed_by_the_forwarder(void **state)
{
	(void)state;
	server.script = answer_with_alias;
	struct client c = edns;
	c.name = "\1A" APEX;
	const struct answer *a = ask(&c);
	assert_int_equal(a->message.rcode, RCODE_NOERROR);
	assert_int_equal(
		a->message.flags & (FLAG_AA | FLAG_RA), FLAG_AA | FLAG_RA); // the first owner is ours
	assert_int_equal(count(a, SECTION_ANSWER), 4);
	assert_memory_equal(record(a, SECTION_ANSWER, 0)->owner, "\1A" APEX, sizeof("\1A" APEX));
	assert_memory_equal(record(a, SECTION_ANSWER, 0)->rdata, "\1b" APEX, sizeof("\1b" APEX));
	assert_memory_equal(record(a, SECTION_ANSWER, 1)->rdata, "\3www\7example\3com", 17);
	assert_memory_equal(record(a, SECTION_ANSWER, 2)->owner, "\3www\7example\3com", 17);
	assert_memory_equal(record(a, SECTION_ANSWER, 2)->rdata, "\3cdn\7example\3com", 17);
	assert_memory_equal(record(a, SECTION_ANSWER, 3)->owner, "\3cdn\7example\3com", 17);
	assert_int_equal(record(a, SECTION_ANSWER, 3)->type, TYPE_A);
	assert_int_equal(server.heard_udp, 1);
	// the name asked for is the target's, in one query with others who want it
	assert_int_equal(server.heard[0].wire[DNS_HEADER_BYTES], 3);
}

static void an_alias_that_leads_to_nothing_is_nxdomain_with_the_alias(void **state)
{
	(void)state;
	server.script = say_nxdomain;
	struct client c = plain;
	c.name = "\1b" APEX;
	const struct answer *a = ask(&c);
	assert_int_equal(a->message.rcode, RCODE_NXDOMAIN); // RFC 6604 3: of the last name
	assert_int_equal(count(a, SECTION_ANSWER), 1);
	assert_int_equal(count(a, SECTION_AUTHORITY), 1);
}

static void an_alias_is_given_alone_to_who_wants_no_recursion(void **state)
{
	(void)state;
	struct client c = plain;
	c.name = "\1b" APEX;
	c.flags = 0;
	const struct answer *a = ask(&c);
	assert_int_equal(a->message.rcode, RCODE_NOERROR);
	assert_int_equal(count(a, SECTION_ANSWER), 1);
	assert_int_equal(server.heard_udp, 0);
}

static void an_alias_whose_target_cannot_be_found_out_is_servfail(void **state)
{
	(void)state;
	server.script = answer_rcode;
	say_rcode = RCODE_SERVFAIL;
	struct client c = plain;
	c.name = "\1b" APEX;
	assert_int_equal(ask(&c)->message.rcode, RCODE_SERVFAIL);
}

static void more_waiting_questions_than_allowed_are_servfail_at_once(void **state)
{
	(void)state;
	lose_patience();
	config.forward_max_open = 3;
	resolver_reconfigure(resolver, &config);
	server.script = NULL;
	for (unsigned i = 0; i < 5; i++)
		start(&plain);
	assert_int_equal(answers[2].calls, 0);
	assert_int_equal(answers[3].calls, 1);
	assert_int_equal(answers[4].message.rcode, RCODE_SERVFAIL);
	assert_int_equal(resolver_counters(resolver)->full, 2);
	wait_for_all();
}

static void malformed_questions_are_answered_or_dropped_as_in_the_dataplane(void **state)
{
	(void)state;
	uint8_t wire[QUERY_WIRE_BYTES];
	unsigned bytes = write_query(wire, &plain);
	struct answer *a = ask_wire(wire, DNS_HEADER_BYTES - 1, OVER_UDP);
	assert_int_equal(a->calls, 1);
	assert_int_equal(a->bytes, 0);
	a = ask_wire(wire, bytes - 1, OVER_UDP);
	assert_int_equal(a->message.rcode, RCODE_FORMERR);
	wire[2] |= 4 << 3; // NOTIFY
	a = ask_wire(wire, bytes, OVER_UDP);
	assert_int_equal(a->message.rcode, RCODE_NOTIMP);
	wire[2] = 0x80;
	a = ask_wire(wire, bytes, OVER_UDP);
	assert_int_equal(a->bytes, 0);
	assert_int_equal(resolver_counters(resolver)->dropped, 2);
	assert_int_equal(resolver_counters(resolver)->malformed, 2);
	assert_int_equal(waiting, 0);
}

static void waiting_questions_are_dropped_at_the_end(void **state)
{
	(void)state;
	server.script = NULL;
	struct client c = plain;
	start(&c);
	start(&c);
	c.name = "\1b" APEX;
	start(&c);
	resolver_free(resolver);
	resolver = NULL;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(answers[i].calls, 1);
		assert_int_equal(answers[i].bytes, 0);
	}
}

static void the_way_out_is_the_configured_one(void **state)
{
	(void)state;
	ask(&plain);
	assert_int_equal(tap_sockets, 0);
	resolver_free(resolver);
	config.forward_via = "ports";
	static int ports;
	resolver = resolver_new(base, &config, catalog, (struct tap *)&ports);
	ask(&plain);
	assert_int_equal(tap_sockets, 1);
}

static unsigned asked_again;

static void on_done_ask_again(void *ctx, const uint8_t *wire, unsigned bytes)
{
	uint8_t query[QUERY_WIRE_BYTES];
	struct asker asker = { .transport = OVER_UDP };
	(void)ctx;
	(void)bytes;
	assert_non_null(wire);
	if (++asked_again == 5) {
		event_base_loopbreak(base);
		return;
	}
	resolver_ask(resolver, &asker, query, write_query(query, &plain), on_done_ask_again, NULL);
}

static void a_step_left_out_of_the_chain_is_not_asked(void **state)
{
	(void)state;
	struct client c = plain;
	config.chain = (enum chain_step[]){ STEP_FORWARDERS };
	config.chain_count = 1;
	resolver_reconfigure(resolver, &config);
	c.name = "\3www" APEX; // in our zones, of which nobody is asked
	assert_int_equal(ask(&c)->message.rcode, RCODE_NOERROR);
	assert_int_equal(server.heard_udp, 1);
	config.chain = (enum chain_step[]){ STEP_AUTHORITIES };
	resolver_reconfigure(resolver, &config);
	const struct answer *a = ask(&plain);
	assert_int_equal(a->message.rcode, RCODE_REFUSED);
	assert_int_equal(a->message.flags & FLAG_RA, 0);
	assert_int_equal(server.heard_udp, 1);
}

static void a_traced_question_tells_what_each_step_said(void **state)
{
	(void)state;
	uint8_t wire[QUERY_WIRE_BYTES];
	struct asker asker = { .transport = OVER_UDP };
	struct trace trace = { 0 };
	struct client c = plain;
	c.name = "\1a" APEX;
	struct answer *a = &answers[asked++];
	a->calls = 0;
	waiting++;
	resolver_ask_traced(resolver, &asker, wire, write_query(wire, &c), &trace, on_done, a);
	wait_for_all();
	assert_true(trace.count >= 2);
	assert_string_equal(trace.step[0].name, "overrides");
	assert_string_equal(trace.step[0].outcome, "pass");
	assert_string_equal(trace.step[0].note, "");
	assert_string_equal(trace.step[1].name, "authorities");
	assert_string_equal(trace.step[1].outcome, "pass");
	assert_string_equal(trace.step[1].note, "an alias leads to www.example.com.");
	assert_string_equal(trace.step[trace.count - 1].name, "forwarders");
	assert_string_equal(trace.step[trace.count - 1].outcome, "answer");
}

static void count_call(void *ctx, const uint8_t *wire, unsigned bytes)
{
	(void)wire;
	(void)bytes;
	++*(unsigned *)ctx;
}

static void what_is_asked_for_nobody_passes_zones_and_cache_by(void **state)
{
	(void)state;
	unsigned calls = 0;
	assert_int_equal(resolver_refresh(resolver, (const uint8_t *)"\3www" APEX, TYPE_A, false, false, count_call, &calls),
		ST_OK);
	assert_int_equal(ask(&plain)->message.rcode, RCODE_NOERROR); // behind it in the queue of the same server
	assert_int_equal(calls, 1);
	assert_int_equal(server.heard_udp, 2);
	assert_int_equal(resolver_counters(resolver)->refreshed, 1);
	assert_int_equal(resolver_counters(resolver)->open, 0);
}

static void the_same_may_be_asked_again_from_within_done(void **state)
{
	(void)state;
	asked_again = 0;
	on_done_ask_again(NULL, (const uint8_t *)"", 0);
	event_base_dispatch(base);
	assert_int_equal(asked_again, 5);
	assert_int_equal(server.heard_udp, 4);
}

// --- who may what ---

static void come_from(uint8_t host)
{
	struct sockaddr_in *ip4 = (struct sockaddr_in *)&from;
	ip4->sin_family = AF_INET;
	ip4->sin_addr.s_addr = htonl(0xc6120000u | host);
}

// 198.18.0.1 may everything, .2 only ask, the others nothing.
static void set_lists(bool drops)
{
	const struct access_rule may[] = { { .address_bytes = 4, .length = 32, .address = { 198, 18, 0, 1 } },
		{ .address_bytes = 4, .length = 32, .address = { 198, 18, 0, 2 } } };
	const struct access_list lists[ACCESS_RIGHTS] = { { may, 2 }, { may, 1 }, { NULL, 0 } };
	const struct access_terms terms = { .drops = drops };
	void *block;
	uint64_t bytes;
	assert_int_equal(access_compile(lists, &terms, &block, &bytes), ST_OK);
	assert_int_equal(catalog_set_block(catalog, BLOCK_ACCESS, block, bytes), ST_OK);
	free(block);
}

static void who_may_not_recurse_sees_our_zones_alone(void **state)
{
	(void)state;
	struct client c = edns;
	set_lists(false);
	catalog_set_ready(catalog);
	come_from(2);
	const struct answer *a = ask(&c);
	assert_int_equal(a->message.rcode, RCODE_REFUSED);
	assert_int_equal(a->message.flags & FLAG_RA, 0);
	assert_int_equal(load_be16(a->wire + a->bytes - 2), EDE_PROHIBITED);
	c.name = "\3WWW" APEX;
	a = ask(&c);
	assert_int_equal(a->message.rcode, RCODE_NOERROR);
	assert_int_equal(a->message.flags & FLAG_RA, 0);
	come_from(1);
	a = ask(&edns);
	assert_int_equal(a->message.rcode, RCODE_NOERROR);
	assert_int_equal(a->message.flags & FLAG_RA, FLAG_RA);
	assert_int_equal(server.heard_udp, 1);
}

static void who_may_not_recurse_does_not_when_the_zones_are_left_out_of_the_chain(void **state)
{
	(void)state;
	enum chain_step alone[] = { STEP_FORWARDERS };
	config.chain = alone;
	config.chain_count = 1;
	resolver_reconfigure(resolver, &config);
	set_lists(false);
	come_from(2);
	assert_int_equal(ask(&plain)->message.rcode, RCODE_REFUSED);
	assert_int_equal(server.heard_udp, 0);
}

static void who_may_not_ask_is_refused_or_hears_nothing(void **state)
{
	(void)state;
	struct client c = plain;
	c.name = "\3WWW" APEX;
	set_lists(false);
	come_from(3);
	assert_int_equal(ask(&c)->message.rcode, RCODE_REFUSED);
	c.flags = 2 << 11;
	assert_int_equal(ask(&c)->message.rcode, RCODE_REFUSED);
	set_lists(true);
	assert_int_equal(start(&c)->bytes, 0);
	assert_int_equal(answers[asked - 1].calls, 1);
	assert_int_equal(resolver_counters(resolver)->prohibited, 3);
}

// --- other opcodes ---

static enum outcome handler_says;

static enum outcome handle(void *ctx, struct ask *ask)
{
	assert_ptr_equal(ctx, &handler_says);
	assert_int_equal(ask->query.flags & FLAG_OPCODE, 4 << 11);
	ask_face_client(ask);
	answer_error(&ask->policy, &ask->query, RCODE_YXDOMAIN, &ask->resolver->reply);
	return handler_says;
}

static void an_opcode_goes_to_its_handler_and_the_others_are_not_implemented(void **state)
{
	(void)state;
	struct client c = plain;
	c.name = "\3WWW" APEX;
	assert_int_equal(resolver_on_opcode(resolver, 0, 0, handle, NULL), ST_INVALID);
	assert_int_equal(resolver_on_opcode(resolver, 16, 0, handle, NULL), ST_INVALID);
	assert_int_equal(resolver_on_opcode(resolver, 4, 0, handle, &handler_says), ST_OK);
	assert_int_equal(resolver_on_opcode(resolver, 4, 0, handle, NULL), ST_EXISTS);
	assert_int_equal(resolver_opcodes(resolver), 1 << 4);
	for (c.flags = 1 << 11; c.flags; c.flags = (uint16_t)(c.flags + (1 << 11)) & FLAG_OPCODE) {
		handler_says = ANSWER;
		const struct answer *a = ask(&c);
		assert_int_equal(a->message.rcode, c.flags == 4 << 11 ? RCODE_YXDOMAIN : RCODE_NOTIMP);
		assert_int_equal(load_be16(a->wire + 2) & FLAG_OPCODE, c.flags);
	}
	c.flags = 4 << 11;
	handler_says = PASS;
	assert_int_equal(ask(&c)->message.rcode, RCODE_NOTIMP);
	assert_int_equal(resolver_on_opcode(resolver, 4, 0, NULL, NULL), ST_OK);
	assert_int_equal(resolver_opcodes(resolver), 0);
	assert_int_equal(ask(&c)->message.rcode, RCODE_NOTIMP);
}

static void a_handler_may_want_rights_of_its_sender(void **state)
{
	(void)state;
	struct client c = plain;
	c.flags = 4 << 11;
	handler_says = ANSWER;
	set_lists(false);
	come_from(3);
	assert_int_equal(resolver_on_opcode(resolver, 4, 0, handle, &handler_says), ST_OK);
	assert_int_equal(ask(&c)->message.rcode, RCODE_YXDOMAIN);
	assert_int_equal(resolver_on_opcode(resolver, 4, 0, NULL, NULL), ST_OK);
	assert_int_equal(resolver_on_opcode(resolver, 4, ACCESS_QUERY, handle, &handler_says), ST_OK);
	assert_int_equal(ask(&c)->message.rcode, RCODE_REFUSED);
}

// --- turns ---

static void take_turns(unsigned in_flight, unsigned per_client)
{
	config.client_max_in_flight = in_flight;
	config.client_max_misses = per_client;
	resolver_reconfigure(resolver, &config);
}

// A question of its own for each.
static struct answer *start_from(uint8_t host)
{
	static uint8_t number;
	char name[] = "\3nXX\7example\3com";
	struct client c = plain;
	name[2] = (char)('a' + number / 26 % 26);
	name[3] = (char)('a' + number++ % 26);
	c.name = name;
	c.id = host;
	come_from(host);
	return start(&c);
}

static unsigned order_of[ASKED_MAX], ended;

static void note_order(struct heard *heard)
{
	fake_answers(heard);
	for (unsigned i = 0; i < asked; i++)
		order_of[i] += !answers[i].calls; // a round more that it has to wait
	ended++;
}

static void a_client_with_many_questions_stands_before_nobody_else(void **state)
{
	(void)state;
	memset(order_of, 0, sizeof(order_of));
	ended = 0;
	take_turns(1, 40);
	server.script = note_order;
	for (unsigned i = 0; i < 30; i++)
		start_from(1);
	start_from(2);
	start_from(3);
	start_from(2);
	assert_int_equal(resolver_counters(resolver)->in_flight, 1);
	assert_int_equal(resolver_counters(resolver)->turns_waiting, 32);
	assert_int_equal(resolver_counters(resolver)->turns_clients, 3);
	wait_for_all();
	for (unsigned i = 0; i < asked; i++)
		assert_int_equal(answers[i].message.rcode, RCODE_NOERROR);
	assert_int_equal(ended, 33);
	assert_in_range(order_of[30], 1, 4); // of 33 rounds
	assert_in_range(order_of[31], 1, 5);
	assert_in_range(order_of[32], 4, 7);
	assert_int_equal(order_of[29], 33);
	assert_int_equal(resolver_counters(resolver)->in_flight, 0);
	assert_int_equal(resolver_counters(resolver)->turns_clients, 0);
}

static void a_client_with_too_many_questions_waiting_is_told_so(void **state)
{
	(void)state;
	take_turns(2, 5);
	server.script = NULL;
	lose_patience();
	for (unsigned i = 0; i < 8; i++)
		start_from(1);
	assert_int_equal(answers[7].calls, 1);
	assert_int_equal(answers[7].message.rcode, RCODE_SERVFAIL);
	assert_int_equal(answers[6].calls, 0);
	assert_int_equal(start_from(2)->calls, 0);
	assert_int_equal(resolver_counters(resolver)->turns_refused, 1);
	server.script = fake_answers;
	wait_for_all();
	assert_int_equal(resolver_counters(resolver)->open, 0);
}

static void more_turns_start_those_who_wait(void **state)
{
	(void)state;
	take_turns(1, 40);
	for (unsigned i = 0; i < 10; i++)
		start_from(1);
	assert_int_equal(resolver_counters(resolver)->in_flight, 1);
	take_turns(20, 40);
	wait_for_all();
	assert_int_equal(server.heard_udp, 10);
}

static void who_waits_for_a_turn_is_dropped_at_the_end(void **state)
{
	(void)state;
	take_turns(1, 40);
	server.script = NULL;
	for (unsigned i = 0; i < 4; i++)
		start_from((uint8_t)(1 + i % 2));
	resolver_free(resolver);
	resolver = NULL;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(answers[i].calls, 1);
		assert_int_equal(answers[i].bytes, 0);
	}
}

// Whole messages only, sixteen at most; an array of exactly that size tells who reads further.
static void looking_ahead_reads_whole_messages_only(void **state)
{
	(void)state;
	struct client ours = plain;
	ours.name = "\3www" APEX;
	uint8_t one[2 + QUERY_WIRE_BYTES];
	unsigned bytes = write_query(one + 2, &ours);
	store_be16(one, (uint16_t)bytes);
	bytes += 2;
	for (unsigned messages = 0; messages <= 20; messages++) {
		for (unsigned more = 0; more < bytes; more++) {
			size_t count = messages * bytes + more;
			uint8_t *framed = malloc(count ? count : 1);
			for (unsigned i = 0; i < count; i++)
				framed[i] = one[i % bytes];
			assert_int_equal(resolver_foresee(resolver, framed, count), (messages < 16 ? messages : 16) * bytes);
			free(framed);
		}
	}
	// What is no question is passed over.
	static const uint8_t odd[] = { 0, 0, 0, 1, 9, 0, 3, 1, 2, 3, 0, 12, 0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	assert_int_equal(resolver_foresee(resolver, odd, sizeof(odd)), sizeof(odd));
	assert_int_equal(resolver_foresee(resolver, odd, 1), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(looking_ahead_reads_whole_messages_only),
		TEST(our_zones_answer_first),
		TEST(other_names_are_forwarded_and_answered_without_aa),
		TEST(edns_is_between_neighbours),
		TEST(the_servers_opt_aa_and_ad_stay_behind),
		TEST(cd_is_copied_both_ways),
		TEST(nxdomain_brings_the_servers_soa),
		TEST(every_error_of_the_servers_becomes_servfail),
		TEST(silence_becomes_servfail_at_the_deadline),
		TEST(garbage_becomes_servfail),
		TEST(without_forwarders_the_rest_is_refused_without_ra),
		TEST(without_rd_nothing_is_forwarded),
		TEST(transfers_and_other_classes_are_refused_not_forwarded),
		TEST(rdata_of_unknown_types_passes_unchanged),
		TEST(what_does_not_fit_is_left_out_as_whole_rrsets_with_tc),
		TEST(additional_records_are_left_out_without_tc),
		TEST(an_answer_that_does_not_fit_the_askers_link_is_truncated),
		TEST(big_answers_come_over_tcp_from_the_server),
		TEST(signatures_are_for_those_who_ask_for_them),
		TEST(equal_questions_share_one_query),
		TEST(different_questions_do_not_share),
		TEST(an_error_is_shared_by_all_who_wait),
		TEST(an_alias_out_of_our_zones_is_followed_by_the_forwarder),
		TEST(an_alias_that_leads_to_nothing_is_nxdomain_with_the_alias),
		TEST(an_alias_is_given_alone_to_who_wants_no_recursion),
		TEST(an_alias_whose_target_cannot_be_found_out_is_servfail),
		TEST(more_waiting_questions_than_allowed_are_servfail_at_once),
		TEST(malformed_questions_are_answered_or_dropped_as_in_the_dataplane),
		TEST(waiting_questions_are_dropped_at_the_end),
		TEST(the_way_out_is_the_configured_one),
		TEST(a_step_left_out_of_the_chain_is_not_asked),
		TEST(a_traced_question_tells_what_each_step_said),
		TEST(what_is_asked_for_nobody_passes_zones_and_cache_by),
		TEST(the_same_may_be_asked_again_from_within_done),
		TEST(who_may_not_recurse_sees_our_zones_alone),
		TEST(who_may_not_recurse_does_not_when_the_zones_are_left_out_of_the_chain),
		TEST(who_may_not_ask_is_refused_or_hears_nothing),
		TEST(an_opcode_goes_to_its_handler_and_the_others_are_not_implemented),
		TEST(a_handler_may_want_rights_of_its_sender),
		TEST(a_client_with_many_questions_stands_before_nobody_else),
		TEST(a_client_with_too_many_questions_waiting_is_told_so),
		TEST(more_turns_start_those_who_wait),
		TEST(who_waits_for_a_turn_is_dropped_at_the_end),
	};
	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL) ? 1 : 0;
}
