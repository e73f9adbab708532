// SPDX-License-Identifier: BSD-3-Clause
// Options in, options out: whole questions, and what a client finds in the OPT of the answer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pollux/answer.h>
#include <pollux/bytes.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

enum { NSID = 3, COOKIE = 10, KEEPALIVE = 11, PADDING = 12, EDE = 15, ZONEVERSION = 19 };
#define NOW_S 1559731985u
#define CLIENT_COOKIE "\x24\x64\xc4\xab\xcf\x10\xc9\x57"
#define OURS "\1\0\0\0\x5c\xf7\x9f\x11\x1f\x81\x30\xc3\xee\xe2\x94\x80"

static const char zone_text[] =
	"$TTL 60\n@ SOA ns h 4711 2 3 4 5\n@ NS ns\n@ MX 1 ns\nns A 192.0.2.1\n"
	"sub NS ns.sub\nsub NS ns.peer\nns.sub A 192.0.2.2\nns.peer A 192.0.2.3\npeer NS ns.peer\n";

static struct catalog *catalog;
static struct policy policy;
static struct server_identity identity;
static struct parties parties;
static const uint8_t address[4] = { 198, 51, 100, 100 };

static void load(struct zone_builder *builder, const uint8_t *apex)
{
	struct report report = { .emit = NULL };
	char *text = malloc(20000);
	int at = snprintf(text, 20000, "%s", zone_text);
	for (unsigned i = 0; i < 60; i++)
		at += snprintf(text + at, 64, "many A 198.51.100.%u\n", i);
	zone_builder_set_report(builder, &report);
	assert_int_equal(zonefile_read_text(text, (size_t)at, "test", apex, zone_builder_add, builder, &report), ST_OK);
	assert_int_equal(zone_builder_check(builder), ST_OK);
	free(text);
}

static int set_up(void **state)
{
	(void)state;
	static const uint8_t apex[] = "\7example\4test";
	void *room;
	assert_int_equal(catalog_open_private(&catalog, 11), ST_OK);
	struct zone_builder *builder = zone_builder_new(apex, catalog_seed(catalog));
	load(builder, apex);
	assert_int_equal(catalog_reserve(catalog, zone_builder_image_bytes(builder, NULL), &room), ST_OK);
	zone_builder_write(builder, room, NULL, 1);
	assert_int_equal(catalog_publish(catalog, room), ST_OK);
	catalog_set_ready(catalog);
	zone_builder_free(builder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	catalog_close(catalog);
	return 0;
}

static int begin(void **state)
{
	(void)state;
	static const uint8_t secret[16] = "\xe5\xe9\x73\xe5\xa6\xb2\xa4\x3f\x48\xe7\xdc\x84\x9e\x37\xbf\xcf";
	policy = (struct policy){ .udp_size = 1232 };
	identity = (struct server_identity){ .cookie_mode = COOKIES_ON, .secret_count = 1, .nsid_bytes = 4 };
	memcpy(identity.secret[0], secret, sizeof(secret));
	memcpy(identity.nsid, "ams1", 4);
	parties = (struct parties){ .identity = &identity, .client = address, .client_bytes = 4, .now_s = NOW_S };
	return 0;
}

// --- a question with options ---

static struct query q;
static enum rcode rcode;
static uint8_t wire[4096];
static unsigned wire_bytes;

static void start(const char *name, unsigned type, unsigned class, unsigned udp_size)
{
	unsigned bytes = 0;
	memcpy(wire, "\x12\x34\0\0\0\0\0\0\0\0\0\1", 12);
	if (name) {
		assert_int_equal(name_from_text(wire + 12, &bytes, name, strlen(name), NULL), ST_OK);
		store_be16(wire + 12 + bytes, (uint16_t)type);
		store_be16(wire + 14 + bytes, (uint16_t)class);
		wire[5] = 1;
		bytes += 4;
	}
	wire_bytes = 12 + bytes;
	memcpy(wire + wire_bytes, "\0\0\x29\0\0\0\0\0\0\0\0", OPT_BYTES);
	store_be16(wire + wire_bytes + 3, (uint16_t)udp_size);
	wire_bytes += OPT_BYTES;
}

static void add(unsigned code, const void *data, unsigned bytes)
{
	unsigned opt = 12;
	while (wire[5] && wire[opt])
		opt += wire[opt] + 1u;
	opt += wire[5] ? 5 : 0;
	store_be16(wire + wire_bytes, (uint16_t)code);
	store_be16(wire + wire_bytes + 2, (uint16_t)bytes);
	if (bytes)
		memcpy(wire + wire_bytes + 4, data, bytes);
	wire_bytes += 4 + bytes;
	store_be16(wire + opt + 9, (uint16_t)(load_be16(wire + opt + 9) + 4 + bytes));
}

// A copy of exactly that size, so that a sanitizer sees a read outside it.
static enum query_verdict parse(void)
{
	static uint8_t *copy;
	free(copy);
	copy = malloc(wire_bytes);
	memcpy(copy, wire, wire_bytes);
	return query_parse(&q, copy, wire_bytes, catalog_seed(catalog), &rcode);
}

// --- what comes back ---

static uint8_t reply_wire[65535];
static struct reply reply;
static unsigned reply_flags, reply_rcode, opt_at;

static unsigned behind_name(unsigned at)
{
	while (reply_wire[at] && reply_wire[at] < 0xc0)
		at += reply_wire[at] + 1u;
	return at + (reply_wire[at] ? 2 : 1);
}

static void read_reply(void)
{
	assert_int_equal(reply_wire[reply.bytes], 0xee);
	reply_flags = load_be16(reply_wire + 2);
	unsigned at = 12, records = load_be16(reply_wire + 6) + load_be16(reply_wire + 8) + load_be16(reply_wire + 10);
	if (load_be16(reply_wire + 4))
		at = behind_name(at) + 4;
	opt_at = 0;
	for (; records; records--) {
		unsigned owner_at = at;
		at = behind_name(at);
		if (load_be16(reply_wire + at) == TYPE_OPT)
			opt_at = owner_at;
		at += 10 + load_be16(reply_wire + at + 8);
		assert_true(at <= reply.bytes);
	}
	assert_int_equal(at, reply.bytes);
	reply_rcode = (reply_flags & FLAG_RCODE) | (opt_at ? reply_wire[opt_at + 5] << 4 : 0);
	assert_int_equal(reply_rcode, reply.rcode);
}

static void answer(enum transport transport)
{
	memset(reply_wire, 0xee, sizeof(reply_wire));
	reply = (struct reply){ .wire = reply_wire, .room = sizeof(reply_wire) - 1, .parties = &parties };
	parties.idle_100ms = transport == OVER_TCP ? 100 : 0;
	if (parse() == QUERY_VALID)
		assert_int_equal(answer_query(catalog, &policy, &q, catalog_find(catalog, &q.name), transport, &reply), ANSWER_READY);
	else
		answer_error(&policy, &q, rcode, &reply);
	read_reply();
}

// The option's data, NULL when it is not there; it is there once at most.
static const uint8_t *option(unsigned wanted, unsigned *bytes)
{
	const uint8_t *found = NULL;
	*bytes = 0;
	if (!opt_at)
		return NULL;
	unsigned at = opt_at + OPT_BYTES, end = at + load_be16(reply_wire + opt_at + 9);
	while (at < end) {
		unsigned code = load_be16(reply_wire + at), length = load_be16(reply_wire + at + 2);
		if (code == wanted) {
			assert_null(found);
			found = reply_wire + at + 4;
			*bytes = length;
		}
		at += 4 + length;
	}
	assert_int_equal(at, end);
	return found;
}

static bool has(unsigned code)
{
	unsigned bytes;
	return option(code, &bytes) != NULL;
}

static void assert_option(unsigned code, const void *data, unsigned bytes)
{
	unsigned found_bytes;
	const uint8_t *found = option(code, &found_bytes);
	assert_non_null(found);
	assert_int_equal(found_bytes, bytes);
	assert_memory_equal(found, data, bytes);
}

// --- sentences ---

static void a_plain_edns_question_gets_no_options(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	answer(OVER_UDP);
	assert_int_equal(load_be16(reply_wire + opt_at + 9), 0);
	assert_int_equal(opt_at + OPT_BYTES, reply.bytes);
}

static void nsid_is_told_to_who_asks(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(NSID, NULL, 0);
	answer(OVER_UDP);
	assert_option(NSID, "ams1", 4);
	identity.nsid_bytes = 0;
	answer(OVER_UDP);
	assert_false(has(NSID));
}

static void unknown_options_are_ignored_among_known_ones(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(65001, "abc", 3);
	add(NSID, "ignored", 7);
	add(8, "\0\1\x18\0\xc0\0\2", 7); // a client subnet
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_NOERROR);
	assert_option(NSID, "ams1", 4);
	assert_false(has(65001));
	assert_false(has(8));
}

static void a_client_cookie_gets_a_server_cookie(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(COOKIE, CLIENT_COOKIE, 8);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_NOERROR);
	assert_int_equal(load_be16(reply_wire + 6), 1);
	assert_option(COOKIE, CLIENT_COOKIE OURS, 24);
}

static void cookies_that_are_off_or_have_no_client_are_ignored(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(COOKIE, CLIENT_COOKIE, 8);
	identity.cookie_mode = COOKIES_OFF;
	answer(OVER_UDP);
	assert_false(has(COOKIE));
	identity.cookie_mode = COOKIES_ON;
	parties.client = NULL;
	answer(OVER_UDP);
	assert_false(has(COOKIE));
	assert_int_equal(reply_rcode, RCODE_NOERROR);
}

static void a_cookie_of_an_impossible_length_is_a_format_error(void **state)
{
	(void)state;
	static const uint8_t octets[64];
	for (unsigned bytes = 0; bytes <= 48; bytes++) {
		start("ns.example.test.", 1, 1, 1232);
		add(NSID, NULL, 0);
		add(COOKIE, octets, bytes);
		bool possible = bytes == 8 || (bytes >= 16 && bytes <= 40);
		answer(OVER_UDP);
		assert_int_equal(reply_rcode, possible ? RCODE_NOERROR : RCODE_FORMERR);
		assert_true(opt_at); // RFC 6891 6.1.1
		assert_int_equal(has(NSID), possible);
	}
}

static void options_that_are_no_list_are_a_format_error_without_opt(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(NSID, "abc", 3);
	wire[wire_bytes - 4]++; // its length
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_FORMERR);
	assert_false(opt_at);
}

static void of_two_cookies_the_first_counts(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(COOKIE, CLIENT_COOKIE, 8);
	add(COOKIE, "secondly", 8);
	answer(OVER_UDP);
	assert_option(COOKIE, CLIENT_COOKIE OURS, 24);
}

static void a_wrong_cookie_is_answered_all_the_same(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(COOKIE, CLIENT_COOKIE "not one of ours.", 24);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_NOERROR);
	assert_option(COOKIE, CLIENT_COOKIE OURS, 24);
}

static void a_strict_server_wants_its_cookie_back_over_udp(void **state)
{
	(void)state;
	identity.cookie_mode = COOKIES_STRICT;
	start("ns.example.test.", 1, 1, 1232);
	add(COOKIE, CLIENT_COOKIE, 8);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_BADCOOKIE);
	assert_int_equal(load_be16(reply_wire + 6), 0);
	assert_option(COOKIE, CLIENT_COOKIE OURS, 24);
	answer(OVER_TCP);
	assert_int_equal(reply_rcode, RCODE_NOERROR);
	start("ns.example.test.", 1, 1, 1232);
	add(COOKIE, CLIENT_COOKIE OURS, 24);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_NOERROR);
	start("ns.example.test.", 1, 1, 1232); // who knows no cookies is served, RFC 7873 5.2.1
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_NOERROR);
}

static void a_query_for_nothing_but_a_cookie_gets_one(void **state)
{
	(void)state;
	start(NULL, 0, 0, 1232);
	add(COOKIE, CLIENT_COOKIE, 8);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_NOERROR);
	assert_int_equal(load_be16(reply_wire + 4), 0);
	assert_option(COOKIE, CLIENT_COOKIE OURS, 24);
	start(NULL, 0, 0, 1232);
	add(COOKIE, CLIENT_COOKIE OURS, 24);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_NOERROR);
	start(NULL, 0, 0, 1232);
	add(COOKIE, CLIENT_COOKIE "not one of ours.", 24);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_BADCOOKIE);
	assert_option(COOKIE, CLIENT_COOKIE OURS, 24);
}

static void a_query_for_nothing_is_refused(void **state)
{
	(void)state;
	start(NULL, 0, 0, 1232);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_REFUSED);
	identity.cookie_mode = COOKIES_OFF;
	start(NULL, 0, 0, 1232);
	add(COOKIE, CLIENT_COOKIE, 8);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_REFUSED);
}

static void errors_carry_cookie_and_nsid(void **state)
{
	(void)state;
	start("www.elsewhere.test.", 1, 1, 1232);
	add(NSID, NULL, 0);
	add(COOKIE, CLIENT_COOKIE, 8);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_REFUSED);
	assert_option(NSID, "ams1", 4);
	assert_option(COOKIE, CLIENT_COOKIE OURS, 24);
}

static void another_version_gets_badvers_and_no_options(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(NSID, NULL, 0);
	wire[12 + 17 + 4 + 6] = 1;
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_BADVERS);
	assert_false(has(NSID));
	assert_int_equal(reply_wire[opt_at + 6], 0);
}

static void another_opcode_gets_its_opt_back(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(NSID, NULL, 0);
	wire[2] = 2 << 3;
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_NOTIMP);
	assert_option(NSID, "ams1", 4);
}

static void a_refusal_says_why(void **state)
{
	(void)state;
	start("www.elsewhere.test.", 1, 1, 1232);
	answer(OVER_UDP);
	assert_option(EDE, "\0\x14", 2);
	start("example.test.", 252, 1, 1232);
	answer(OVER_TCP);
	assert_option(EDE, "\0\x12", 2);
	start("ns.example.test.", 1, 1, 1232);
	answer(OVER_UDP);
	assert_false(has(EDE));
}

static void before_the_zones_are_loaded_a_refusal_says_that(void **state)
{
	(void)state;
	struct catalog *loaded = catalog;
	assert_int_equal(catalog_open_private(&catalog, 11), ST_OK);
	start("www.elsewhere.test.", 1, 1, 1232);
	answer(OVER_UDP);
	assert_option(EDE, "\0\x0e", 2);
	catalog_close(catalog);
	catalog = loaded;
}

static void the_version_of_the_zone_is_told_to_who_asks(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		unsigned type;
	} cases[] = { { "ns.example.test.", 1 }, { "nope.example.test.", 1 }, { "ns.example.test.", 16 }, { "x.sub.example.test.", 1 } };
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start(cases[i].name, cases[i].type, 1, 1232);
		add(ZONEVERSION, NULL, 0);
		answer(OVER_UDP);
		assert_option(ZONEVERSION, "\2\0\0\0\x12\x67", 6);
	}
	start("www.elsewhere.test.", 1, 1, 1232);
	add(ZONEVERSION, NULL, 0);
	answer(OVER_UDP);
	assert_false(has(ZONEVERSION));
}

static void a_zone_version_in_a_question_is_a_format_error(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(ZONEVERSION, "\2\0\0\0\0\1", 6);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_FORMERR);
}

static void keepalive_is_for_tcp(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(KEEPALIVE, NULL, 0);
	answer(OVER_UDP);
	assert_false(has(KEEPALIVE));
	answer(OVER_TCP);
	assert_option(KEEPALIVE, "\0\x64", 2);
	start("ns.example.test.", 1, 1, 1232);
	answer(OVER_TCP);
	assert_false(has(KEEPALIVE));
}

static void a_keepalive_with_a_time_is_an_error_over_tcp_only(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(KEEPALIVE, "\0\1", 2);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_NOERROR);
	answer(OVER_TCP);
	assert_int_equal(reply_rcode, RCODE_FORMERR);
}

static void padding_fills_blocks_over_tcp(void **state)
{
	(void)state;
	static const uint8_t zeros[64];
	for (unsigned bytes = 0; bytes < 64; bytes++) {
		start("many.example.test.", 1, 1, 1232);
		add(PADDING, zeros, bytes);
		add(65001, zeros, bytes);
		answer(OVER_TCP);
		assert_int_equal(reply.bytes % 468, 0);
		assert_true(has(PADDING));
	}
	answer(OVER_UDP);
	assert_false(has(PADDING));
}

static void options_never_push_an_answer_over_its_limit(void **state)
{
	(void)state;
	memset(identity.nsid, 'x', IDENTITY_TEXT_BYTES);
	identity.nsid_bytes = IDENTITY_TEXT_BYTES;
	for (unsigned size = 512; size < 1232; size++) {
		start("many.example.test.", 1, 1, size);
		add(NSID, NULL, 0);
		add(COOKIE, CLIENT_COOKIE, 8);
		add(ZONEVERSION, NULL, 0);
		answer(OVER_UDP);
		unsigned whole = 12 + 19 + 4 + 60 * 16 + OPT_BYTES + (4 + 128) + (4 + 24) + (4 + 6);
		assert_true(reply.bytes <= size);
		assert_int_equal(!(reply_flags & FLAG_TC), size >= whole);
		assert_int_equal(load_be16(reply_wire + 6), size >= whole ? 60 : 0);
		assert_true(has(NSID) && has(COOKIE) && has(ZONEVERSION));
	}
}

static void the_longest_error_fits_into_512_octets(void **state)
{
	(void)state;
	char name[256];
	int at = 0;
	for (unsigned i = 0; i < 126; i++)
		at += snprintf(name + at, sizeof(name) - (size_t)at, "x.");
	identity.nsid_bytes = IDENTITY_TEXT_BYTES;
	start(name, 1, 1, 512);
	add(NSID, NULL, 0);
	add(COOKIE, CLIENT_COOKIE, 8);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_REFUSED);
	assert_true(has(NSID) && has(COOKIE) && has(EDE));
	assert_true(reply.bytes <= 512);
}

static void every_cut_of_a_question_with_options_is_a_format_error(void **state)
{
	(void)state;
	start("ns.example.test.", 1, 1, 1232);
	add(NSID, NULL, 0);
	add(COOKIE, CLIENT_COOKIE OURS, 24);
	unsigned whole = wire_bytes;
	for (wire_bytes = 12; wire_bytes < whole; wire_bytes++) {
		assert_int_equal(parse(), QUERY_ERROR);
		assert_int_equal(rcode, RCODE_FORMERR);
		assert_false(q.edns);
	}
}

// --- CH ---

static void assert_text(const char *text)
{
	unsigned at = behind_name(12) + 4, bytes = (unsigned)strlen(text);
	assert_int_equal(reply_rcode, RCODE_NOERROR);
	assert_int_equal(load_be16(reply_wire + 6), 1);
	assert_memory_equal(reply_wire + at, "\xc0\x0c\0\x10\0\3\0\0\0\0", 10);
	assert_int_equal(load_be16(reply_wire + at + 10), bytes + 1);
	assert_int_equal(reply_wire[at + 12], bytes);
	assert_memory_equal(reply_wire + at + 13, text, bytes);
}

static void who_and_what_we_are_is_refused_unless_configured(void **state)
{
	(void)state;
	static const char *const names[] = { "version.bind.", "version.server.", "id.server.", "hostname.bind.", "authors.bind." };
	for (unsigned i = 0; i < 5; i++) {
		start(names[i], 16, 3, 1232);
		answer(OVER_UDP);
		assert_int_equal(reply_rcode, RCODE_REFUSED);
	}
}

static void who_and_what_we_are_is_told_when_configured(void **state)
{
	(void)state;
	identity.version_bytes = 5;
	memcpy(identity.version, "seven", 5);
	identity.id_bytes = 255;
	memset(identity.id, 'i', 255);
	char id[256];
	memset(id, 'i', 255);
	id[255] = 0;
	static const char *const names[] = { "version.bind.", "Version.SERVER.", "id.server.", "hostname.bind." };
	for (unsigned i = 0; i < 4; i++) {
		start(names[i], 16, 3, 1232);
		add(NSID, NULL, 0);
		answer(OVER_UDP);
		assert_text(i < 2 ? "seven" : id);
		assert_true(has(NSID));
	}
	start("version.bind.", 1, 3, 1232);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_REFUSED);
	start("authors.bind.", 16, 3, 1232);
	answer(OVER_UDP);
	assert_int_equal(reply_rcode, RCODE_REFUSED);
}

// --- minimal answers ---

static void minimal_answers_have_no_additional_but_glue(void **state)
{
	(void)state;
	start("example.test.", 15, 1, 1232);
	answer(OVER_UDP);
	assert_int_equal(load_be16(reply_wire + 10), 2);
	policy.minimal = 1;
	answer(OVER_UDP);
	assert_int_equal(load_be16(reply_wire + 6), 1);
	assert_int_equal(load_be16(reply_wire + 10), 1);
	start("x.sub.example.test.", 1, 1, 1232);
	answer(OVER_UDP);
	assert_int_equal(load_be16(reply_wire + 8), 2);
	assert_int_equal(load_be16(reply_wire + 10), 3);
}

#define SENTENCE(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SENTENCE(a_plain_edns_question_gets_no_options),
		SENTENCE(nsid_is_told_to_who_asks),
		SENTENCE(unknown_options_are_ignored_among_known_ones),
		SENTENCE(a_client_cookie_gets_a_server_cookie),
		SENTENCE(cookies_that_are_off_or_have_no_client_are_ignored),
		SENTENCE(a_cookie_of_an_impossible_length_is_a_format_error),
		SENTENCE(options_that_are_no_list_are_a_format_error_without_opt),
		SENTENCE(of_two_cookies_the_first_counts),
		SENTENCE(a_wrong_cookie_is_answered_all_the_same),
		SENTENCE(a_strict_server_wants_its_cookie_back_over_udp),
		SENTENCE(a_query_for_nothing_but_a_cookie_gets_one),
		SENTENCE(a_query_for_nothing_is_refused),
		SENTENCE(errors_carry_cookie_and_nsid),
		SENTENCE(another_version_gets_badvers_and_no_options),
		SENTENCE(another_opcode_gets_its_opt_back),
		SENTENCE(a_refusal_says_why),
		SENTENCE(before_the_zones_are_loaded_a_refusal_says_that),
		SENTENCE(the_version_of_the_zone_is_told_to_who_asks),
		SENTENCE(a_zone_version_in_a_question_is_a_format_error),
		SENTENCE(keepalive_is_for_tcp),
		SENTENCE(a_keepalive_with_a_time_is_an_error_over_tcp_only),
		SENTENCE(padding_fills_blocks_over_tcp),
		SENTENCE(options_never_push_an_answer_over_its_limit),
		SENTENCE(the_longest_error_fits_into_512_octets),
		SENTENCE(every_cut_of_a_question_with_options_is_a_format_error),
		SENTENCE(who_and_what_we_are_is_refused_unless_configured),
		SENTENCE(who_and_what_we_are_is_told_when_configured),
		SENTENCE(minimal_answers_have_no_additional_but_glue),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down) ? 1 : 0;
}
