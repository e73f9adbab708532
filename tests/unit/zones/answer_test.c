// SPDX-License-Identifier: BSD-3-Clause
// Whole answers, read back as text: what a client would see.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pollux/answer.h>
#include <pollux/bytes.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

static const char zone_text[] =
	"$TTL 3600\n"
	"@ SOA ns1 root 7 3600 600 86400 300\n"
	"@ NS ns1\n@ NS ns2.other.test.\n@ MX 10 mail\n@ MX 20 mail\n"
	"ns1 A 192.0.2.1\n"
	"mail A 192.0.2.2\nmail AAAA 2001:db8::2\n"
	"www CNAME web\nweb A 192.0.2.3\n"
	"out CNAME www.elsewhere.test.\n"
	"hop CNAME a.second.test.\n"
	"loop1 CNAME loop2\nloop2 CNAME loop1\n"
	"*.wild A 192.0.2.4\n*.wild MX 5 mail\nhost.wild TXT \"here\"\n"
	"*.cwild CNAME web\n"
	"a.b.c.deep A 192.0.2.5\n"
	"sub NS ns.sub\nsub NS ns2.other.test.\nns.sub A 192.0.2.6\nns.sub AAAA 2001:db8::6\nsub DS 1 8 2 00ff\n"
	"old DNAME new\nhost.new A 192.0.2.7\n"
	"many A 192.0.2.10\nmany A 192.0.2.11\n"
	"big TXT \"" /* filled below */;

// Prints at `at` and returns where the text ends; every line here is short.
__attribute__((format(printf, 2, 3))) static char *put(char *at, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int bytes = vsnprintf(at, 2048, format, args);
	va_end(args);
	assert_in_range(bytes, 0, 2047);
	return at + bytes;
}

static struct catalog *catalog;
static struct policy policy = { .udp_size = 1232 };
static char *big_text(void)
{
	char *text = malloc(200000), *at = text;
	at = put(at, "%s", zone_text);
	at = put(at, "x\"\n");
	for (unsigned i = 0; i < 40; i++)
		at = put(at, "forty A 198.51.100.%u\n", i);
	for (unsigned i = 0; i < 120; i++)
		at = put(at, "huge TXT \"%03u %0200u\"\n", i, i);
	for (unsigned i = 0; i < 60; i++)
		at = put(at, "huge NS long-name-server-%03u.provider.example.test.\n", i);
	return text;
}

static void load(const char *text, const char *origin)
{
	uint8_t apex[NAME_MAX_BYTES];
	struct report report = { .emit = NULL };
	assert_int_equal(name_from_text(apex, NULL, origin, strlen(origin), NULL), ST_OK);
	struct zone_builder *builder = zone_builder_new(apex, catalog_seed(catalog));
	zone_builder_set_report(builder, &report);
	assert_int_equal(zonefile_read_text(text, strlen(text), "test", apex, zone_builder_add, builder, &report), ST_OK);
	assert_int_equal(zone_builder_check(builder), ST_OK);
	void *room;
	uint64_t bytes = zone_builder_image_bytes(builder, NULL);
	assert_int_equal(catalog_reserve(catalog, bytes, &room), ST_OK);
	zone_builder_write(builder, room, NULL, 1);
	assert_true(((struct image *)room)->bytes <= bytes);
	assert_int_equal(image_check(room, ((struct image *)room)->bytes), ST_OK);
	assert_int_equal(catalog_publish(catalog, room), ST_OK);
	zone_builder_free(builder);
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(catalog_open_private(&catalog, 11), ST_OK);
	char *text = big_text();
	load(text, "example.test.");
	free(text);
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.20\na CNAME b\nb A 192.0.2.21\n", "second.test.");
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.22\n", "child.example.test.");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	catalog_close(catalog);
	return 0;
}

// --- a reader of its own: names by following pointers, RDATA by the type table ---

static unsigned read_name(const uint8_t *wire, unsigned bytes, unsigned at, uint8_t *name)
{
	unsigned end = 0, length = 0;
	for (unsigned hops = 0; hops < 64; hops++) {
		assert_true(at < bytes);
		if (wire[at] >= 0xc0) {
			unsigned to = load_be16(wire + at) & 0x3fffu;
			assert_true(to < at); // RFC 1035 4.1.4: a prior occurrence
			end = end ? end : at + 2;
			at = to;
			continue;
		}
		memcpy(name + length, wire + at, wire[at] + 1u);
		length += wire[at] + 1u;
		if (!wire[at])
			return end ? end : at + 1;
		at += wire[at] + 1u;
	}
	fail_msg("compression loop");
	return 0;
}

static char *print_records(char *text, const uint8_t *wire, unsigned bytes, unsigned *at, unsigned count)
{
	while (count--) {
		uint8_t owner[NAME_MAX_BYTES];
		char name[NAME_TEXT_BYTES], type[16];
		*at = read_name(wire, bytes, *at, owner);
		assert_true(*at + 10 <= bytes);
		uint16_t code = load_be16(wire + *at), length = load_be16(wire + *at + 8);
		uint32_t ttl = load_be32(wire + *at + 4);
		*at += 10;
		assert_true(*at + length <= bytes);
		const struct rrtype *row = rrtype_by_code(code);
		text = put(text, "%s %u %s", name_to_text(name, owner), ttl, rrtype_to_text(type, code));
		// Only types whose names may be compressed need a hand here.
		unsigned in = *at;
		for (unsigned f = 0; row && (code == TYPE_NS || code == TYPE_CNAME || code == TYPE_MX || code == TYPE_SOA ||
			code == TYPE_DNAME) && row->field[f] != F_END; f++) {
			if (row->field[f] == F_NAME_COMPRESSIBLE || row->field[f] == F_NAME) {
				in = read_name(wire, bytes, in, owner);
				text = put(text, " %s", name_to_text(name, owner));
			} else {
				in += row->field[f] == F_U16 ? 2 : 4;
			}
		}
		if (code == TYPE_A)
			text = put(text, " %u.%u.%u.%u", wire[*at], wire[*at + 1], wire[*at + 2], wire[*at + 3]);
		text = put(text, "\n");
		*at += length;
		if (in != *at - length)
			assert_int_equal(in, *at);
	}
	return text;
}

static uint8_t reply_wire[65535];
static struct reply reply;
static enum answer_verdict verdict;

enum { EDNS = 1, WITH_DO = 2, TCP = 4, NO_RD = 8 };

// RFC 1071, as one word after the other, in the byte order of the wire.
static unsigned sum_over(const uint8_t *at, unsigned bytes)
{
	unsigned sum = 0;
	for (unsigned i = 0; i < bytes; i++)
		sum += (unsigned)at[i] << (i & 1) * 8;
	return sum % 0xffff;
}

static const char *ask(const char *name, const char *type_text, unsigned how)
{
	static char text[1 << 20];
	static uint8_t wire[600];
	uint16_t type;
	unsigned bytes;
	assert_int_equal(rrtype_from_text(&type, type_text, strlen(type_text)), ST_OK);
	memcpy(wire, "\x12\x34\1\0\0\1\0\0\0\0\0\0", 12);
	if (how & NO_RD)
		wire[2] = 0;
	assert_int_equal(name_from_text(wire + 12, &bytes, name, strlen(name), NULL), ST_OK);
	store_be16(wire + 12 + bytes, type);
	store_be16(wire + 14 + bytes, 1);
	unsigned length = 16 + bytes;
	if (how & (EDNS | WITH_DO)) {
		static const uint8_t opt[] = { 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0 };
		memcpy(wire + length, opt, sizeof(opt));
		wire[length + 7] = how & WITH_DO ? 0x80 : 0;
		wire[11] = 1;
		length += sizeof(opt);
	}
	static struct query q;
	enum rcode rcode;
	assert_int_equal(query_parse(&q, wire, length, catalog_seed(catalog), &rcode), QUERY_VALID);
	memset(reply_wire, 0xee, sizeof(reply_wire));
	reply = (struct reply){ .wire = reply_wire, .room = sizeof(reply_wire) };
	verdict = answer_query(catalog, &policy, &q, catalog_find(catalog, &q.name), how & TCP ? OVER_TCP : OVER_UDP, &reply);
	if (verdict == ANSWER_NOT_HERE)
		return "not here";
	assert_int_equal(reply_wire[reply.bytes], 0xee);
	assert_true(reply.bytes <= answer_limit(&policy, &q, how & TCP ? OVER_TCP : OVER_UDP));
	assert_memory_equal(reply_wire + 12, wire + 12, q.question_bytes);
	if (reply.summed)
		assert_int_equal(reply.sections_sum % 0xffff,
			sum_over(reply_wire + 12 + q.question_bytes, reply.bytes - 12 - q.question_bytes));
	unsigned flags = load_be16(reply_wire + 2), at = 12u + q.question_bytes;
	char *to = put(text, "rcode %u%s%s%s\n", flags & 15, flags & FLAG_AA ? " aa" : "",
		flags & FLAG_TC ? " tc" : "", flags & FLAG_RA ? " ra" : "");
	static const char *const heads[] = { "answer:\n", "authority:\n", "additional:\n" };
	for (unsigned s = 0; s < 3; s++) {
		unsigned count = load_be16(reply_wire + 6 + 2 * s);
		if (s == 2 && q.edns)
			count--;
		if (count)
			to = print_records(put(to, "%s", heads[s]), reply_wire, reply.bytes, &at, count);
	}
	assert_int_equal(at + (q.edns ? OPT_BYTES : 0), reply.bytes);
	return text;
}

#define SOA_LINE "authority:\nexample.test. 300 SOA ns1.example.test. root.example.test.\n"

static void an_exact_name_is_answered(void **state)
{
	(void)state;
	assert_string_equal(ask("web.example.test.", "A", 0), "rcode 0 aa\nanswer:\nweb.example.test. 3600 A 192.0.2.3\n");
	assert_string_equal(ask("many.example.test.", "A", 0), "rcode 0 aa\nanswer:\nmany.example.test. 3600 A 192.0.2.10\n"
		"many.example.test. 3600 A 192.0.2.11\n");
}

static void the_case_of_the_question_comes_back(void **state)
{
	(void)state;
	assert_string_equal(ask("WeB.eXample.test.", "A", 0), "rcode 0 aa\nanswer:\nWeB.eXample.test. 3600 A 192.0.2.3\n");
}

static void nothing_is_said_of_a_zone_that_could_not_be_loaded(void **state)
{
	(void)state;
	struct catalog *full = catalog;
	static const uint8_t blank[] = "\5blank\4test";
	void *room;
	assert_int_equal(catalog_open_private(&catalog, 7), ST_OK);
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.2\n*.w A 192.0.2.3\na CNAME x.blank\n", "test.");
	assert_int_equal(catalog_reserve(catalog, image_blank_bytes(sizeof(blank)), &room), ST_OK);
	image_write_blank(room, blank, sizeof(blank), catalog_seed(catalog));
	assert_int_equal(((struct image *)room)->bytes, image_blank_bytes(sizeof(blank)));
	assert_int_equal(image_check(room, image_blank_bytes(sizeof(blank))), ST_OK);
	assert_int_equal(catalog_publish(catalog, room), ST_OK);
	static const char *const types[] = { "A", "SOA", "NS", "ANY", "RRSIG", "CNAME", "TYPE65280" };
	for (unsigned chain = 0; chain < 2; chain++) { // who else could know is not asked
		policy.has_chain = chain;
		const char *expected = chain ? "rcode 2 ra\n" : "rcode 2\n";
		for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
			assert_string_equal(ask("blank.test.", types[i], 0), expected);
			assert_string_equal(ask("x.y.Blank.test.", types[i], TCP), expected);
			assert_int_equal(verdict, ANSWER_READY);
		}
		assert_string_equal(ask("a.test.", "A", 0), chain ?
			"rcode 2 aa ra\nanswer:\na.test. 60 CNAME x.blank.test.\n" :
			"rcode 2 aa\nanswer:\na.test. 60 CNAME x.blank.test.\n");
		assert_int_equal(verdict, ANSWER_READY);
	}
	policy.has_chain = 0;
	// The parent speaks for itself.
	assert_string_equal(ask("x.w.test.", "A", 0), "rcode 0 aa\nanswer:\nx.w.test. 60 A 192.0.2.3\n");
	catalog_close(catalog);
	catalog = full;
}

static void a_missing_type_is_no_data_with_the_negative_ttl(void **state)
{
	(void)state;
	assert_string_equal(ask("web.example.test.", "AAAA", 0), "rcode 0 aa\n" SOA_LINE);
	assert_string_equal(ask("web.example.test.", "TYPE65280", 0), "rcode 0 aa\n" SOA_LINE);
}

static void a_missing_name_is_nxdomain(void **state)
{
	(void)state;
	assert_string_equal(ask("nope.example.test.", "A", 0), "rcode 3 aa\n" SOA_LINE);
	assert_string_equal(ask("x.y.nope.example.test.", "A", 0), "rcode 3 aa\n" SOA_LINE);
}

static void an_empty_non_terminal_exists(void **state)
{
	(void)state;
	assert_string_equal(ask("b.c.deep.example.test.", "A", 0), "rcode 0 aa\n" SOA_LINE);
	assert_string_equal(ask("x.c.deep.example.test.", "A", 0), "rcode 3 aa\n" SOA_LINE);
	assert_string_equal(ask("wild.example.test.", "A", 0), "rcode 0 aa\n" SOA_LINE);
}

static void an_alias_is_followed_in_the_zone(void **state)
{
	(void)state;
	assert_string_equal(ask("www.example.test.", "A", 0), "rcode 0 aa\nanswer:\n"
		"www.example.test. 3600 CNAME web.example.test.\nweb.example.test. 3600 A 192.0.2.3\n");
	assert_string_equal(ask("www.example.test.", "CNAME", 0), "rcode 0 aa\nanswer:\n"
		"www.example.test. 3600 CNAME web.example.test.\n");
	assert_string_equal(ask("www.example.test.", "MX", 0), "rcode 0 aa\nanswer:\n"
		"www.example.test. 3600 CNAME web.example.test.\n" SOA_LINE);
}

static void an_alias_is_followed_into_another_zone_of_ours(void **state)
{
	(void)state;
	assert_string_equal(ask("hop.example.test.", "A", 0), "rcode 0 aa\nanswer:\n"
		"hop.example.test. 3600 CNAME a.second.test.\na.second.test. 60 CNAME b.second.test.\n"
		"b.second.test. 60 A 192.0.2.21\n");
}

static void an_alias_is_followed_alike_with_and_without_zones_below(void **state)
{
	(void)state;
	struct catalog *full = catalog;
	static const char *const names[] = { "a.three.test.", "*.w.three.test.", "x.w.three.test.", "apex.three.test.",
		"self.three.test.", "cut.three.test.", "no.three.test.", "deep.three.test." };
	static const char *const types[] = { "A", "TXT", "AAAA", "CNAME", "ANY" };
	char *alone[sizeof(names) / sizeof(names[0])][sizeof(types) / sizeof(types[0])];
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(catalog_open_private(&catalog, 7), ST_OK);
		load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n@ A 192.0.2.1\nns A 192.0.2.2\na CNAME b\nb A 192.0.2.3\n"
		     "b TXT x\n*.w CNAME B\napex CNAME @\nself CNAME self.a\nself.a A 192.0.2.4\ncut CNAME sub\nsub NS ns.sub\n"
		     "ns.sub A 192.0.2.5\nno CNAME nobody\ndeep CNAME www.low\nwww.low A 192.0.2.6\n", "three.test.");
		if (round) // the same depth as the targets, so that each may be in a zone of its own
			load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.7\n", "other.test.example.");
		for (unsigned n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
			for (unsigned t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
				const char *got = ask(names[n], types[t], EDNS);
				if (round) {
					assert_string_equal(got, alone[n][t]);
					free(alone[n][t]);
				} else {
					alone[n][t] = strdup(got);
				}
			}
		}
		if (round) { // its name is in both; the longest apex holds it
			load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.7\nwww A 192.0.2.8\n", "low.three.test.");
			assert_string_equal(ask("deep.three.test.", "A", 0), "rcode 0 aa\nanswer:\n"
				"deep.three.test. 60 CNAME www.low.three.test.\nwww.low.three.test. 60 A 192.0.2.8\n");
		}
		catalog_close(catalog);
	}
	catalog = full;
}

static void an_alias_that_leads_out_ends_the_answer_or_asks_the_chain(void **state)
{
	(void)state;
	const char *alone = "rcode 0 aa\nanswer:\nout.example.test. 3600 CNAME www.elsewhere.test.\n";
	assert_string_equal(ask("out.example.test.", "A", 0), alone);
	assert_int_equal(verdict, ANSWER_READY);
	policy.has_chain = 1;
	ask("out.example.test.", "A", NO_RD);
	assert_int_equal(verdict, ANSWER_READY);
	ask("out.example.test.", "A", 0);
	policy.has_chain = 0;
	assert_int_equal(verdict, ANSWER_CONTINUE);
}

static void an_alias_loop_ends(void **state)
{
	(void)state;
	assert_string_equal(ask("loop1.example.test.", "A", 0), "rcode 0 aa\nanswer:\n"
		"loop1.example.test. 3600 CNAME loop2.example.test.\nloop2.example.test. 3600 CNAME loop1.example.test.\n");
}

static void a_wildcard_answers_under_the_name_asked_for(void **state)
{
	(void)state;
	assert_string_equal(ask("q.wild.example.test.", "A", 0), "rcode 0 aa\nanswer:\nq.wild.example.test. 3600 A 192.0.2.4\n");
	assert_string_equal(ask("p.q.wild.example.test.", "A", 0),
		"rcode 0 aa\nanswer:\np.q.wild.example.test. 3600 A 192.0.2.4\n");
	assert_string_equal(ask("q.wild.example.test.", "MX", 0), "rcode 0 aa\nanswer:\n"
		"q.wild.example.test. 3600 MX mail.example.test.\nadditional:\nmail.example.test. 3600 A 192.0.2.2\n"
		"mail.example.test. 3600 AAAA\n");
	assert_string_equal(ask("q.wild.example.test.", "TXT", 0), "rcode 0 aa\n" SOA_LINE);
	assert_string_equal(ask("host.wild.example.test.", "A", 0), "rcode 0 aa\n" SOA_LINE);
	assert_string_equal(ask("x.host.wild.example.test.", "A", 0), "rcode 3 aa\n" SOA_LINE);
	assert_string_equal(ask("z.cwild.example.test.", "A", 0), "rcode 0 aa\nanswer:\n"
		"z.cwild.example.test. 3600 CNAME web.example.test.\nweb.example.test. 3600 A 192.0.2.3\n");
}

#define REFERRAL "authority:\nsub.example.test. 3600 NS ns.sub.example.test.\nsub.example.test. 3600 NS ns2.other.test.\n"
#define GLUE "additional:\nns.sub.example.test. 3600 A 192.0.2.6\nns.sub.example.test. 3600 AAAA\n"

static void a_cut_gives_a_referral_with_glue_and_no_aa(void **state)
{
	(void)state;
	assert_string_equal(ask("sub.example.test.", "A", 0), "rcode 0\n" REFERRAL GLUE);
	assert_string_equal(ask("host.sub.example.test.", "A", 0), "rcode 0\n" REFERRAL GLUE);
	assert_string_equal(ask("ns.sub.example.test.", "A", 0), "rcode 0\n" REFERRAL GLUE);
	// RFC 4035 3.1.4 is for signed zones.
	assert_string_equal(ask("sub.example.test.", "A", WITH_DO), "rcode 0\n" REFERRAL GLUE);
}

static void the_ds_of_a_cut_is_the_parents(void **state)
{
	(void)state;
	assert_string_equal(ask("sub.example.test.", "DS", 0), "rcode 0 aa\nanswer:\nsub.example.test. 3600 DS\n");
	// Both sides served: the parent says whether the child is there.
	assert_string_equal(ask("child.example.test.", "DS", 0), "rcode 3 aa\n" SOA_LINE);
	assert_string_equal(ask("child.example.test.", "NS", 0), "rcode 0 aa\nanswer:\nchild.example.test. 60 NS ns.child.example.test.\n"
		"additional:\nns.child.example.test. 60 A 192.0.2.22\n");
}

static void a_dname_gives_itself_and_a_cname(void **state)
{
	(void)state;
	assert_string_equal(ask("host.old.example.test.", "A", 0), "rcode 0 aa\nanswer:\n"
		"old.example.test. 3600 DNAME new.example.test.\nhost.old.example.test. 3600 CNAME host.new.example.test.\n"
		"host.new.example.test. 3600 A 192.0.2.7\n");
	assert_string_equal(ask("old.example.test.", "A", 0), "rcode 0 aa\n" SOA_LINE);
}

static void a_dname_target_that_grows_too_long_is_yxdomain(void **state)
{
	(void)state;
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.20\nd DNAME a-long-target-that-makes-names-grow.second.test.\n",
		"d.test.");
	char name[260] = "";
	for (int i = 0; i < 60; i++)
		strlcat(name, "ab.", sizeof(name));
	strlcat(name, "12345678901234567890123456789012345.d.d.test.", sizeof(name));
	assert_non_null(strstr(ask(name, "A", TCP), "rcode 6 aa\nanswer:\nd.d.test. 60 DNAME "));
	assert_int_equal(load_be16(reply_wire + 6), 1);
}

static void addresses_of_names_in_the_answer_are_added_once(void **state)
{
	(void)state;
	assert_string_equal(ask("example.test.", "MX", 0), "rcode 0 aa\nanswer:\n"
		"example.test. 3600 MX mail.example.test.\nexample.test. 3600 MX mail.example.test.\n"
		"additional:\nmail.example.test. 3600 A 192.0.2.2\nmail.example.test. 3600 AAAA\n");
	assert_string_equal(ask("example.test.", "NS", 0), "rcode 0 aa\nanswer:\n"
		"example.test. 3600 NS ns1.example.test.\nexample.test. 3600 NS ns2.other.test.\n"
		"additional:\nns1.example.test. 3600 A 192.0.2.1\n");
}

static void what_does_not_fit_sets_tc_and_leaves_whole_rrsets(void **state)
{
	(void)state;
	assert_string_equal(ask("forty.example.test.", "A", 0), "rcode 0 aa tc\n");
	assert_int_equal(load_be16(reply_wire + 6), 0);
	ask("forty.example.test.", "A", EDNS);
	assert_int_equal(load_be16(reply_wire + 6), 40);
	ask("forty.example.test.", "A", TCP);
	assert_int_equal(load_be16(reply_wire + 6), 40);
}

static void any_is_one_rrset_over_udp_and_all_over_tcp(void **state)
{
	(void)state;
	ask("mail.example.test.", "ANY", 0);
	assert_int_equal(load_be16(reply_wire + 6), 1);
	ask("mail.example.test.", "ANY", TCP);
	assert_int_equal(load_be16(reply_wire + 6), 2);
	policy.any_full = 1;
	ask("mail.example.test.", "ANY", 0);
	policy.any_full = 0;
	assert_int_equal(load_be16(reply_wire + 6), 2);
}

static void names_beyond_the_reach_of_pointers_are_written_in_full(void **state)
{
	(void)state;
	// The MX RRset lies behind 24 KB of addresses: pointers into it cannot reach.
	char *text = malloc(1 << 20), *at = text;
	at = put(at, "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.20\n");
	for (unsigned i = 0; i < 1500; i++)
		at = put(at, "x A 10.0.%u.%u\n", i / 256, i % 256);
	for (unsigned i = 0; i < 5; i++)
		at = put(at, "x MX %u mx%u.provider.elsewhere.test.\nx MX %u mx%u\n", i, i, i, i);
	load(text, "far.test.");
	free(text);
	const char *seen = ask("x.far.test.", "ANY", TCP);
	assert_non_null(strstr(seen, "x.far.test. 60 MX mx0.provider.elsewhere.test.\n"));
	assert_non_null(strstr(seen, "x.far.test. 60 MX mx4.provider.elsewhere.test.\n"));
	assert_non_null(strstr(seen, "x.far.test. 60 MX mx4.far.test.\n"));
	assert_int_equal(load_be16(reply_wire + 6), 1510);
}

// Each alias carries 3 KiB of signatures, so that the sixth target lies where no pointer reaches.
static void an_alias_chain_ends_where_pointers_do_not_reach(void **state)
{
	(void)state;
	char *text = malloc(200000), *at = put(text, "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n");
	for (unsigned i = 0; i < 12; i++) {
		at = put(at, "c%u CNAME c%u\n", i, i + 1);
		for (unsigned k = 0; k < 4; k++)
			at = put(at, "c%u RRSIG CNAME 8 3 60 20300101000000 20200101000000 %u @ %01000u\n", i, k, k);
	}
	put(at, "c12 DNAME elsewhere.test.\n");
	load(text, "chain.test.");
	free(text);
	const char *seen = ask("c0.chain.test.", "A", TCP | WITH_DO);
	assert_non_null(strstr(seen, "c5.chain.test. 60 CNAME c6.chain.test.\n"));
	assert_null(strstr(seen, "c7.chain.test. 60 CNAME"));
	assert_non_null(strstr(ask("c0.chain.test.", "A", TCP), "c11.chain.test. 60 CNAME c12.chain.test.\n"));
}

// RFC 2181 5: no record twice.
static void a_wildcard_alias_to_itself_is_followed_once(void **state)
{
	(void)state;
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n*.round CNAME a.round\n", "loop.test.");
	assert_string_equal(ask("b.round.loop.test.", "A", 0), "rcode 0 aa\nanswer:\n"
		"b.round.loop.test. 60 CNAME a.round.loop.test.\na.round.loop.test. 60 CNAME a.round.loop.test.\n");
}

// RFC 3403 4.1.
static void what_a_naptr_leads_to_is_added_as_its_flags_say(void **state)
{
	(void)state;
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
	     "@ NAPTR 1 1 s \"SIP+D2U\" \"\" _sip._udp\n@ NAPTR 2 1 \"A\" x \"!^.*!abc!\" host\n@ NAPTR 3 1 u x \"!a!b!\" .\n"
	     "@ NAPTR 4 1 \"\" \"\" \"\" other\n@ NAPTR 5 1 A \"\" \"\" nowhere\n"
	     "_sip._udp SRV 1 1 5060 host\n_sip._udp SRV 2 1 5060 more\nmore A 192.0.2.4\nhost A 192.0.2.2\nhost AAAA 2001:db8::2\nother A 192.0.2.3\n"
	     "none NAPTR 3 1 u x \"!a!b!\" .\nnone NAPTR 4 1 \"\" \"\" \"\" other\n", "naptr.test.");
	const char *found = ask("naptr.test.", "NAPTR", EDNS);
	assert_non_null(strstr(found, "additional:\n_sip._udp.naptr.test. 60 SRV\n_sip._udp.naptr.test. 60 SRV\nhost.naptr.test. 60 A 192.0.2.2\n"
		"host.naptr.test. 60 AAAA\nmore.naptr.test. 60 A 192.0.2.4\n"));
	assert_null(strstr(found, "other"));
	assert_null(strstr(ask("none.naptr.test.", "NAPTR", EDNS), "additional"));
	policy.minimal = 1;
	assert_null(strstr(ask("naptr.test.", "NAPTR", EDNS), "additional"));
	policy.minimal = 0;
}

static void the_cname_of_a_dname_answers_a_question_for_cname(void **state)
{
	(void)state;
	assert_string_equal(ask("host.old.example.test.", "CNAME", 0), "rcode 0 aa\nanswer:\n"
		"old.example.test. 3600 DNAME new.example.test.\nhost.old.example.test. 3600 CNAME host.new.example.test.\n");
}

static void a_dname_that_is_met_again_is_not_repeated(void **state)
{
	(void)state;
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.20\nloop DNAME loop.loop\n", "round.test.");
	const char *seen = ask("x.loop.round.test.", "A", TCP);
	const char *first = strstr(seen, " DNAME ");
	assert_non_null(first);
	assert_null(strstr(first + 1, " DNAME "));
	assert_int_equal(load_be16(reply_wire + 6), 17); // CHAIN_MAX_STEPS CNAMEs and the DNAME
}

static void the_ds_behind_an_alias_is_the_parents_too(void **state)
{
	(void)state;
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.20\nkid NS ns\nkid DS 1 8 2 00ff\n", "up.test.");
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.20\n", "kid.up.test.");
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.20\nto CNAME kid.up.test.\n", "from.test.");
	assert_string_equal(ask("to.from.test.", "DS", 0),
		"rcode 0 aa\nanswer:\nto.from.test. 60 CNAME kid.up.test.\nkid.up.test. 60 DS\n");
}

// A signed zone with made-up signatures; each RRSIG fills 190 octets of a message.
#define SIGNED(type) "RRSIG " type " 13 3 60 20270101000000 20260101000000 1038 sig.test. " \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" \
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"

static void load_signed(void)
{
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n@ DNSKEY 257 3 13 AAAA\n@ NSEC mx NS SOA NSEC DNSKEY\n"
		"mx MX 1 ns\nmx MX 2 ns2\nmx MX 3 ns3\nmx MX 4 ns4\nmx MX 5 ns5\nmx " SIGNED("MX") "mx NSEC ns MX NSEC\n"
		"ns A 192.0.2.1\nns " SIGNED("A") "ns2 A 192.0.2.2\nns2 " SIGNED("A") "ns3 A 192.0.2.3\nns3 " SIGNED("A")
		"ns4 A 192.0.2.4\nns4 " SIGNED("A") "ns5 A 192.0.2.5\nns5 " SIGNED("A")
		"ns NSEC @ A NSEC\nsvc HTTPS 1 ns\nsvc NSEC @ NSEC HTTPS\n"
		"*.a CNAME x.b\n*.b CNAME x.c\n*.c CNAME x.d\n*.d CNAME x.e\n*.e CNAME x.f\n*.f CNAME x.g\n*.g CNAME x.h\n*.h CNAME x.i\n"
		"*.i CNAME x.j\n*.j CNAME none\n"
		"*.a NSEC @ CNAME NSEC\n*.b NSEC @ CNAME NSEC\n*.c NSEC @ CNAME NSEC\n*.d NSEC @ CNAME NSEC\n*.e NSEC @ CNAME NSEC\n"
		"*.f NSEC @ CNAME NSEC\n*.g NSEC @ CNAME NSEC\n*.h NSEC @ CNAME NSEC\n*.i NSEC @ CNAME NSEC\n*.j NSEC @ CNAME NSEC\n",
		"sig.test.");
}

static void addresses_go_without_their_signatures_when_space_is_short(void **state)
{
	(void)state;
	load_signed();
	const char *seen = ask("mx.sig.test.", "MX", WITH_DO);
	unsigned count = 0;
	assert_null(strstr(seen, " tc"));
	for (const char *at = strstr(seen, "additional:"); (at = strstr(at, " A 192.0.2.")); at++)
		count++;
	assert_int_equal(count, 5);
	assert_true(load_be16(reply_wire + 10) < 11); // five addresses, OPT, not every RRSIG
	ask("mx.sig.test.", "MX", WITH_DO | TCP);
	assert_int_equal(load_be16(reply_wire + 10), 11);
}

static void any_leads_with_data_and_keeps_links_for_who_wants_them(void **state)
{
	(void)state;
	load_signed();
	assert_string_equal(ask("svc.sig.test.", "ANY", 0), "rcode 0 aa\nanswer:\nsvc.sig.test. 60 HTTPS\n"
		"additional:\nns.sig.test. 60 A 192.0.2.1\n");
	assert_non_null(strstr(ask("svc.sig.test.", "ANY", TCP | WITH_DO), "svc.sig.test. 60 NSEC"));
	assert_null(strstr(ask("svc.sig.test.", "ANY", TCP), "NSEC"));
}

static void every_wildcard_of_a_chain_is_proved(void **state)
{
	(void)state;
	load_signed();
	const char *seen = ask("x.a.sig.test.", "A", TCP | WITH_DO);
	char name[] = "*.a.sig.test. ";
	for (; name[2] <= 'j'; name[2]++)
		assert_non_null(strstr(strstr(seen, "authority:"), name));
}

static void outside_our_zones_is_refused_or_a_miss(void **state)
{
	(void)state;
	assert_string_equal(ask("www.elsewhere.test.", "A", 0), "rcode 5\n");
	assert_string_equal(ask("notexample.test.", "A", 0), "rcode 5\n");
	policy.has_chain = 1;
	assert_string_equal(ask("www.elsewhere.test.", "A", 0), "not here");
	assert_string_equal(ask("www.elsewhere.test.", "A", NO_RD), "rcode 5 ra\n");
	assert_string_equal(ask("web.example.test.", "A", 0), "rcode 0 aa ra\nanswer:\nweb.example.test. 3600 A 192.0.2.3\n");
	policy.has_chain = 0;
}

static void transfers_are_refused(void **state)
{
	(void)state;
	assert_string_equal(ask("example.test.", "AXFR", 0), "rcode 5\n");
	assert_string_equal(ask("example.test.", "IXFR", TCP), "rcode 5\n");
}

// The same question once more, to both halves of answer_query(); true: the first one could.
static bool halves_agree(const char *name, const char *type_text, unsigned how)
{
	static uint8_t copied[65535], made[65535];
	uint8_t wire[300] = { 0x12, 0x34, how & NO_RD ? 0 : 1, 0x10, 0, 1, 0, 0, 0, 0, 0, how & (EDNS | WITH_DO) ? 1 : 0 };
	const uint8_t opt[] = { 0, 0, 41, 0x10, 0, 0, 0, how & WITH_DO ? 0x80 : 0, 0, 0, 0 };
	uint16_t type;
	unsigned bytes;
	enum rcode rcode;
	static struct query q;
	assert_int_equal(rrtype_from_text(&type, type_text, strlen(type_text)), ST_OK);
	assert_int_equal(name_from_text(wire + 12, &bytes, name, strlen(name), NULL), ST_OK);
	store_be16(wire + 12 + bytes, type);
	store_be16(wire + 14 + bytes, 1);
	memcpy(wire + 16 + bytes, opt, sizeof(opt));
	bytes += 16 + (wire[11] ? (unsigned)sizeof(opt) : 0);
	assert_int_equal(query_parse(&q, wire, bytes, catalog_seed(catalog), &rcode), QUERY_VALID);
	const struct image *zone = catalog_find(catalog, &q.name);
	enum transport transport = how & TCP ? OVER_TCP : OVER_UDP;
	struct reply fast = { .wire = copied, .room = answer_limit(&policy, &q, transport) }, slow = { .wire = made, .room = sizeof(made) };
	memset(copied, 0xee, sizeof(copied));
	memcpy(copied + 12, wire + 12, q.question_bytes);
	bool plain = answer_plain(catalog, &policy, &q, zone, image_probe(zone, &q.name), &fast);
	if (!plain) {
		assert_true(copied[0] == 0xee && copied[12 + q.question_bytes] == 0xee);
		return false;
	}
	assert_int_equal(answer_thorough(catalog, &policy, &q, zone, transport, &slow), ANSWER_READY);
	assert_int_equal(fast.bytes, slow.bytes);
	assert_memory_equal(copied, made, fast.bytes);
	assert_int_equal(copied[fast.bytes], 0xee);
	assert_int_equal(fast.rcode, slow.rcode);
	assert_int_equal(fast.truncated, slow.truncated);
	assert_true(fast.summed || how & WITH_DO);
	if (fast.summed)
		assert_int_equal(fast.sections_sum % 0xffff,
			sum_over(copied + 12 + q.question_bytes, fast.bytes - 12 - q.question_bytes));
	for (fast.room = fast.bytes - 1; fast.room > fast.bytes - 20; fast.room--)
		assert_false(answer_plain(catalog, &policy, &q, zone, image_probe(zone, &q.name), &fast));
	return true;
}

static void what_is_copied_is_what_thought_would_have_made(void **state)
{
	(void)state;
	struct catalog *full = catalog;
	static const char *const plain[][2] = { { "odd.four.test.", "TXT" }, { "short.four.test.", "TXT" }, { "b.four.test.", "A" },
		{ "a.four.test.", "A" }, { "a.four.test.", "TXT" }, { "far.four.test.", "TXT" }, { "a.four.test.", "CNAME" },
		{ "apex.four.test.", "A" }, { "four.test.", "SOA" }, { "no.four.test.", "A" }, { "x.y.z.no.four.test.", "A" },
		{ "odd.four.test.", "A" }, { "w.four.test.", "A" }, { "x.w.four.test.", "TXT" }, { "x.y.w.four.test.", "A" },
		{ "sub.four.test.", "A" }, { "x.sub.four.test.", "TXT" }, { "x.y.sub.four.test.", "A" }, { "self.four.test.", "A" }, { "x.y.z.out2.four.test.", "A" }, { "text.four.test.", "TXT" }, { "rp.four.test.", "RP" }, { "soa.four.test.", "A" } };
	static const char *const others[][2] = { { "sub.four.test.", "DS" }, { "four.test.", "MX" }, { "four.test.", "ANY" },
		{ "odd.four.test.", "RRSIG" }, { "x.d.four.test.", "A" }, { "s.four.test.", "NS" }, { "x.case.four.test.", "NS" },
		{ "mixed.four.test.", "A" }, { "out.four.test.", "A" }, { "b.four.test.", "AXFR" } };
	assert_int_equal(catalog_open_private(&catalog, 7), ST_OK);
	load("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n@ MX 1 b\n@ A 192.0.2.1\nns A 192.0.2.2\na CNAME b\nb A 192.0.2.3\nb TXT even\n"
	     "odd TXT odd\nodd TXT even\nshort TXT \"\"\n*.w TXT wild\nfar CNAME b.far\nb.far TXT x\nb.far TXT y\napex CNAME @\n"
	     "sub NS ns.sub\nsub NS ns.odd.sub\nsub NS elsewhere.test.\nns.sub A 192.0.2.5\nns.odd.sub A 192.0.2.6\n"
	     "ns.odd.sub AAAA 2001:db8::1\ns NS ns.sub\ncase NS ns.case\ncase NS NS.case\nns.case A 192.0.2.7\nself NS self\n"
	     "self A 192.0.2.8\nout2 NS ns.elsewhere.\nmixed NS ns\nmixed NS ns.mixed\nns.mixed AAAA 2001:db8::2\n"
	     "text TXT \"0123456789 0123456789 0123456789\"\nrp RP odd.rp b.rp\nd DNAME b\nout CNAME b.out.\n", "four.test.");
	for (unsigned how = 0; how < 16; how++) {
		for (unsigned i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
			if (!halves_agree(plain[i][0], plain[i][1], how))
				fail_msg("%s %s %u", plain[i][0], plain[i][1], how);
		for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			assert_false(halves_agree(others[i][0], others[i][1], how));
	}
	catalog_close(catalog);
	catalog = full;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_copied_is_what_thought_would_have_made),
		cmocka_unit_test(an_exact_name_is_answered),
		cmocka_unit_test(what_a_naptr_leads_to_is_added_as_its_flags_say),
		cmocka_unit_test(the_case_of_the_question_comes_back),
		cmocka_unit_test(a_missing_type_is_no_data_with_the_negative_ttl),
		cmocka_unit_test(a_missing_name_is_nxdomain),
		cmocka_unit_test(an_empty_non_terminal_exists),
		cmocka_unit_test(an_alias_is_followed_in_the_zone),
		cmocka_unit_test(an_alias_is_followed_into_another_zone_of_ours),
		cmocka_unit_test(an_alias_is_followed_alike_with_and_without_zones_below),
		cmocka_unit_test(an_alias_that_leads_out_ends_the_answer_or_asks_the_chain),
		cmocka_unit_test(an_alias_loop_ends),
		cmocka_unit_test(a_wildcard_answers_under_the_name_asked_for),
		cmocka_unit_test(a_cut_gives_a_referral_with_glue_and_no_aa),
		cmocka_unit_test(the_ds_of_a_cut_is_the_parents),
		cmocka_unit_test(a_dname_gives_itself_and_a_cname),
		cmocka_unit_test(a_dname_target_that_grows_too_long_is_yxdomain),
		cmocka_unit_test(addresses_of_names_in_the_answer_are_added_once),
		cmocka_unit_test(what_does_not_fit_sets_tc_and_leaves_whole_rrsets),
		cmocka_unit_test(any_is_one_rrset_over_udp_and_all_over_tcp),
		cmocka_unit_test(names_beyond_the_reach_of_pointers_are_written_in_full),
		cmocka_unit_test(an_alias_chain_ends_where_pointers_do_not_reach),
		cmocka_unit_test(a_wildcard_alias_to_itself_is_followed_once),
		cmocka_unit_test(the_cname_of_a_dname_answers_a_question_for_cname),
		cmocka_unit_test(a_dname_that_is_met_again_is_not_repeated),
		cmocka_unit_test(the_ds_behind_an_alias_is_the_parents_too),
		cmocka_unit_test(addresses_go_without_their_signatures_when_space_is_short),
		cmocka_unit_test(any_leads_with_data_and_keeps_links_for_who_wants_them),
		cmocka_unit_test(every_wildcard_of_a_chain_is_proved),
		cmocka_unit_test(nothing_is_said_of_a_zone_that_could_not_be_loaded),
		cmocka_unit_test(outside_our_zones_is_refused_or_a_miss),
		cmocka_unit_test(transfers_are_refused),
	};
	return cmocka_run_group_tests_name("answer", tests, set_up, tear_down) ? 1 : 0;
}
