// SPDX-License-Identifier: BSD-3-Clause
// Answers by rule: which rule a question finds, what it is answered, and which rules are refused.
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>
#include <pollux/bytes.h>
#include <pollux/overrides.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

static struct catalog *catalog;
static struct policy policy = { .udp_size = 1232 };

__attribute__((format(printf, 3, 4))) static char *put(char *at, const char *end, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int bytes = vsnprintf(at, (size_t)(end - at), format, args);
	va_end(args);
	assert_in_range(bytes, 0, end - at - 1);
	return at + bytes;
}

// --- rules into a block ---

struct findings {
	char text[32768];
	char *at;
};

static void note(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	struct findings *f = ctx;
	f->at = put(f->at, f->text + sizeof(f->text), "%s:%u:%u: %s%s\n", file, line, column,
		severity == SEVERITY_ERROR ? "" : "warning: ", text);
}

static struct override_rules *read_rules(const char *text, enum status expected, struct findings *findings)
{
	struct findings own;
	findings = findings ? findings : &own;
	findings->at = findings->text;
	*findings->at = '\0';
	struct report report = { .emit = note, .ctx = findings };
	struct override_rules *rules = override_rules_new();
	assert_non_null(rules);
	enum status status = override_rules_read_text(rules, text, strlen(text), "rules", &report);
	if (status != expected)
		fail_msg("%s: %s", status_text(status), findings->text);
	return rules;
}

static struct overrides *compile(const struct override_rules *rules, bool before_clients)
{
	void *block;
	uint64_t bytes;
	struct report report = { .emit = NULL };
	assert_int_equal(override_rules_compile(rules, catalog_seed(catalog), before_clients, &report, &block, &bytes), ST_OK);
	assert_int_equal(overrides_check(block, bytes, catalog_seed(catalog)), ST_OK);
	return block;
}

static struct overrides *current; // what ask() asks

static void use_with(const char *text, bool before_clients)
{
	struct override_rules *rules = read_rules(text, ST_OK, NULL);
	free(current);
	current = compile(rules, before_clients);
	override_rules_free(rules);
}

static void use(const char *text)
{
	use_with(text, false);
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
	assert_int_equal(catalog_reserve(catalog, zone_builder_image_bytes(builder, NULL), &room), ST_OK);
	zone_builder_write(builder, room, NULL, 1);
	assert_int_equal(catalog_publish(catalog, room), ST_OK);
	zone_builder_free(builder);
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(catalog_open_private(&catalog, 11), ST_OK);
	load("$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.20\nalias CNAME ns\nout CNAME www.far.example.\n", "zone.test.");
	catalog_set_ready(catalog);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(current);
	catalog_close(catalog);
	return 0;
}

// --- questions ---

enum { EDNS = 1, TCP = 2, CHAIN = 4 };

static unsigned read_name(const uint8_t *wire, unsigned at, uint8_t *name)
{
	unsigned end = 0, length = 0;
	for (;;) {
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
		assert_true(length < NAME_MAX_BYTES);
	}
}

// RDATA with its pointers followed, so that the table can print it.
static unsigned expand(const uint8_t *wire, unsigned at, unsigned bytes, uint16_t type, uint8_t *to)
{
	if (type == TYPE_CNAME) {
		assert_int_equal(read_name(wire, at, to), at + bytes);
		return name_length(to, NAME_MAX_BYTES);
	}
	if (type != TYPE_SOA) {
		memcpy(to, wire + at, bytes);
		return bytes;
	}
	unsigned mname = 0, rname = 0, next = read_name(wire, at, to);
	mname = name_length(to, NAME_MAX_BYTES);
	next = read_name(wire, next, to + mname);
	rname = name_length(to + mname, NAME_MAX_BYTES);
	memcpy(to + mname + rname, wire + next, 20);
	assert_int_equal(next + 20, at + bytes);
	return mname + rname + 20;
}

static const char *describe(const uint8_t *wire, unsigned bytes)
{
	static char text[65536];
	static const char *const rcodes[16] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };
	static uint8_t rdata[65536];
	char *at = text, *end = text + sizeof(text), name[NAME_TEXT_BYTES], type[16];
	uint8_t owner[NAME_MAX_BYTES];
	unsigned flags = load_be16(wire + 2), in = read_name(wire, 12, owner) + 4;
	at = put(at, end, "%s%s%s", rcodes[flags & 15], flags & FLAG_AA ? " aa" : "", flags & FLAG_TC ? " tc" : "");
	for (unsigned section = 0; section < 3; section++) {
		unsigned count = load_be16(wire + 6 + 2 * section);
		if (count)
			at = put(at, end, "%s", section == 0 ? " |" : section == 1 ? " || authority:" : " ||| additional:");
		while (count--) {
			in = read_name(wire, in, owner);
			uint16_t code = load_be16(wire + in), length = load_be16(wire + in + 8);
			if (code == TYPE_OPT) {
				at = put(at, end, " OPT");
				if (length) // RFC 8914 2
					at = put(at, end, " option %u: %u", load_be16(wire + in + 10), load_be16(wire + in + 14));
				in += 10u + length;
				continue;
			}
			at = put(at, end, " %s %u %s ", name_to_text(name, owner), load_be32(wire + in + 4), rrtype_to_text(type, code));
			unsigned expanded = expand(wire, in + 10, length, code, rdata);
			assert_null(rdata_check(code, rdata, expanded));
			at += rdata_to_text(at, (size_t)(end - at), code, rdata, expanded);
			in += 10u + length;
		}
	}
	assert_int_equal(in, bytes);
	return text;
}

// RFC 1071 as it is written there, from an even offset, in the byte order of the wire.
static unsigned sum_over(const uint8_t *at, unsigned bytes)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < bytes; i++)
		sum += (uint64_t)at[i] << 8 * (i & 1);
	return (unsigned)(sum % 0xffff);
}

static bool was_summed; // the reply of the last ask()

// "pass": no rule, or one that says so. "drop". "..., continue": somebody else may know the target of the CNAME.
static const char *ask(const char *name, const char *type_text, unsigned how)
{
	static const uint8_t opt[] = { 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0 };
	static uint8_t wire[600], reply_wire[DNS_MAX_BYTES];
	static struct query q;
	static char text[65536 + 16];
	uint16_t type;
	unsigned bytes;
	enum rcode rcode;
	struct override_hit hit;
	assert_int_equal(rrtype_from_text(&type, type_text, strlen(type_text)), ST_OK);
	memcpy(wire, "\x12\x34\1\0\0\1\0\0\0\0\0\0", 12);
	assert_int_equal(name_from_text(wire + 12, &bytes, name, strlen(name), (const uint8_t *)""), ST_OK);
	store_be16(wire + 12 + bytes, type);
	store_be16(wire + 14 + bytes, CLASS_IN);
	wire[11] = how & EDNS;
	memcpy(wire + 16 + bytes, opt, sizeof(opt));
	assert_int_equal(query_parse(&q, wire, 16 + bytes + (how & EDNS ? sizeof(opt) : 0), catalog_seed(catalog), &rcode), QUERY_VALID);
	if (!overrides_match(current, &q, overrides_probe(current, &q.name), &hit)) {
		assert_null(hit.rule);
		return "pass";
	}
	if (hit.rule->action == OVERRIDE_DROP)
		return "drop";
	policy.has_chain = how & CHAIN ? 1 : 0;
	struct reply reply = { .wire = reply_wire, .room = sizeof(reply_wire) };
	enum transport transport = how & TCP ? OVER_TCP : OVER_UDP;
	enum answer_verdict verdict = answer_override(catalog, &policy, &q, current, &hit, transport, &reply);
	assert_true(reply.bytes <= answer_limit(&policy, &q, transport));
	assert_memory_equal(reply_wire + 12, wire + 12, q.question_bytes); // its case, too
	assert_int_equal(load_be16(reply_wire), 0x1234);
	was_summed = reply.summed;
	if (reply.summed)
		assert_int_equal(reply.sections_sum % 0xffff,
			sum_over(reply_wire + 12 + q.question_bytes, reply.bytes - 12 - q.question_bytes));
	snprintf(text, sizeof(text), "%s%s", describe(reply_wire, reply.bytes), verdict == ANSWER_CONTINUE ? ", continue" : "");
	return text;
}

#define answers(name, type, how, text) assert_string_equal(ask(name, type, how), text)

// --- tests ---

static void a_name_is_answered_alone_in_any_case_and_for_its_type(void **state)
{
	(void)state;
	use("www.Example.test 300 A 192.0.2.1\nwww.example.test A 192.0.2.2 # a second one\nwww.example.test TXT \"a;b #c\" d\n");
	answers("www.example.test", "A", 0, "NOERROR | www.example.test. 300 A 192.0.2.1 www.example.test. 300 A 192.0.2.2");
	answers("WWW.eXample.test", "A", 0, "NOERROR | WWW.eXample.test. 300 A 192.0.2.1 WWW.eXample.test. 300 A 192.0.2.2");
	answers("www.example.test", "TXT", 0, "NOERROR | www.example.test. 60 TXT \"a;b #c\" \"d\"");
	answers("www.example.test", "AAAA", 0, "pass");
	answers("example.test", "A", 0, "pass");
	answers("x.www.example.test", "A", 0, "pass");
	answers("www.example.test", "ANY", EDNS, "NOERROR | www.example.test. 300 A 192.0.2.1 www.example.test. 300 A 192.0.2.2 ||| additional: OPT");
	answers("www.example.test", "AXFR", 0, "pass");
}

static void a_star_is_all_below_and_a_dot_the_name_itself_as_well(void **state)
{
	(void)state;
	use("*.below.test A 192.0.2.1\n.both.test A 192.0.2.2\n");
	answers("x.below.test", "A", 0, "NOERROR | x.below.test. 60 A 192.0.2.1");
	answers("x.y.below.test", "A", 0, "NOERROR | x.y.below.test. 60 A 192.0.2.1");
	answers("below.test", "A", 0, "pass");
	answers("both.test", "A", 0, "NOERROR | both.test. 60 A 192.0.2.2");
	answers("x.y.both.test", "A", 0, "NOERROR | x.y.both.test. 60 A 192.0.2.2");
	answers("xboth.test", "A", 0, "pass");
	use("* A 192.0.2.3\n");
	answers("anything.test", "A", 0, "NOERROR | anything.test. 60 A 192.0.2.3");
	answers(".", "A", 0, "pass");
	use(". A 192.0.2.4\n");
	answers(".", "A", 0, "NOERROR | . 60 A 192.0.2.4");
}

// FEATURES of the transcript: what does not fit goes on to the next source.
static void a_number_in_a_name_becomes_an_octet(void **state)
{
	(void)state;
	use("workstation<N> 0 A 172.0.2.<N>\n");
	answers("workstation1.example.com", "A", 0, "NOERROR | workstation1.example.com. 0 A 172.0.2.1");
	answers("workstation100.example.com", "A", 0, "NOERROR | workstation100.example.com. 0 A 172.0.2.100");
	answers("WorkStation7.example.com", "A", 0, "NOERROR | WorkStation7.example.com. 0 A 172.0.2.7");
	answers("workstation255", "A", 0, "NOERROR | workstation255. 0 A 172.0.2.255");
	answers("workstation0.a.b", "A", 0, "NOERROR | workstation0.a.b. 0 A 172.0.2.0");
	answers("www.example.com", "A", 0, "pass");
	answers("workstation.example.com", "A", 0, "pass");
	answers("workstation300.example.com", "A", 0, "pass");
	answers("workstation256.example.com", "A", 0, "pass");
	answers("workstation99999999999.example.com", "A", 0, "pass");
	answers("workstation1x.example.com", "A", 0, "pass");
	answers("xworkstation1.example.com", "A", 0, "pass");
	answers("workstation1.example.com", "AAAA", 0, "pass");
	answers("x.workstation1.example.com", "A", 0, "pass");
}

static void captures_stand_in_several_labels_with_ranges_and_widths(void **state)
{
	(void)state;
	use("host<A>.rack<B:1-16>.example.com. A 10.1.<B>.<A>\n"
	    "node<N:3> A 10.2.0.<N>\n"
	    "<A:2><B:2>x A 10.3.<A>.<B>\n"
	    "v<N>0 A 10.4.0.<N>\n"
	    "r7-<N:10-20>-<M> A 10.<N>.<M>.<N>\n"
	    "<A>.<B>.2.172.in-addr.arpa. PTR host<A>.net-<B:3>.example.com.\n");
	answers("host3.rack16.example.com", "A", 0, "NOERROR | host3.rack16.example.com. 60 A 10.1.16.3");
	answers("host3.rack17.example.com", "A", 0, "pass");
	answers("host3.rack0.example.com", "A", 0, "pass");
	answers("host3.rack1.example.org", "A", 0, "pass");
	answers("host3.rack1.example.com.net", "A", 0, "pass");
	answers("x.host3.rack1.example.com", "A", 0, "pass");
	answers("node007.any", "A", 0, "NOERROR | node007.any. 60 A 10.2.0.7");
	answers("node7.any", "A", 0, "pass");
	answers("node0007.any", "A", 0, "pass");
	answers("node300.any", "A", 0, "pass");
	answers("1234x.any", "A", 0, "NOERROR | 1234x.any. 60 A 10.3.12.34");
	answers("v120.any", "A", 0, "NOERROR | v120.any. 60 A 10.4.0.12");
	answers("v0.any", "A", 0, "pass");
	answers("v12.any", "A", 0, "pass");
	answers("r7-15-200.any", "A", 0, "NOERROR | r7-15-200.any. 60 A 10.15.200.15");
	answers("r8-15-200.any", "A", 0, "pass");
	answers("5.14.2.172.in-addr.arpa", "PTR", 0, "NOERROR | 5.14.2.172.in-addr.arpa. 60 PTR host5.net-014.example.com.");
	answers("5.14.3.172.in-addr.arpa", "PTR", 0, "pass");
}

static void captures_go_into_every_plain_field(void **state)
{
	(void)state;
	use("n<N> AAAA 2001:db8::<N>\nm<N>-<M> AAAA 2001:db8:<M>:0:<N>::1\nn<N> TXT \"I am <N>\" \"<N:4>/<N>\"\n"
	    "n<N> MX <N> mail<N>.example.\nn<N:0-99> SRV 1 <N> <N> srv\nn<N> A 192.0.2.1 # without\n");
	answers("n0042.a", "AAAA", 0, "NOERROR | n0042.a. 60 AAAA 2001:db8::42");
	answers("n9999.a", "AAAA", 0, "NOERROR | n9999.a. 60 AAAA 2001:db8::9999");
	answers("n10000.a", "AAAA", 0, "pass");
	answers("m7-8.a", "AAAA", 0, "NOERROR | m7-8.a. 60 AAAA 2001:db8:8:0:7::1");
	answers("n5.a", "TXT", 0, "NOERROR | n5.a. 60 TXT \"I am 5\" \"0005/5\"");
	answers("n05.a", "MX", 0, "NOERROR | n05.a. 60 MX 5 mail05.example.");
	answers("n65536.a", "MX", 0, "pass");
	answers("n7.a", "SRV", 0, "NOERROR | n7.a. 60 SRV 1 7 7 srv.");
	answers("n4294967295.a", "A", 0, "NOERROR | n4294967295.a. 60 A 192.0.2.1");
	answers("n4294967296.a", "A", 0, "pass");
}

static void a_name_goes_before_a_pattern_and_that_before_the_longest_suffix(void **state)
{
	(void)state;
	use("* A 10.0.0.1\n*.b.test A 10.0.0.2\n.c.b.test A 10.0.0.3\nx<N> A 10.0.0.4\nx<N>.y<M> A 10.0.0.5\n"
	    "x<N>.c.b.test. A 10.0.0.6\nx1.c.b.test A 10.0.0.7\n.c.b.test nxdomain\nx2.c.b.test any pass\nx3.c.b.test TXT t\n");
	answers("x1.c.b.test", "A", 0, "NOERROR | x1.c.b.test. 60 A 10.0.0.7");
	answers("x2.c.b.test", "A", 0, "pass");
	answers("x3.c.b.test", "A", 0, "NOERROR | x3.c.b.test. 60 A 10.0.0.6");
	answers("x3.d.b.test", "A", 0, "NOERROR | x3.d.b.test. 60 A 10.0.0.4");
	answers("x3.y4.b.test", "A", 0, "NOERROR | x3.y4.b.test. 60 A 10.0.0.5");
	answers("c.b.test", "A", 0, "NOERROR | c.b.test. 60 A 10.0.0.3");
	answers("z.c.b.test", "A", 0, "NOERROR | z.c.b.test. 60 A 10.0.0.3");
	answers("z.b.test", "A", 0, "NOERROR | z.b.test. 60 A 10.0.0.2");
	answers("b.test", "A", 0, "NOERROR | b.test. 60 A 10.0.0.1");
	answers("x1.c.b.test", "AAAA", 0,
		"NXDOMAIN || authority: c.b.test. 60 SOA c.b.test. nobody.invalid. 1 3600 1200 604800 60");
}

static void a_no_brings_an_soa_that_clients_remember_it_by(void **state)
{
	(void)state;
	use("$TTL 2m\n*.ads.test nxdomain\nno4.test 30 A nodata\nno.test nodata\nstop.test refused\ngone.test drop\nn<N> NXDOMAIN\n");
	answers("a.b.ads.test", "A", 0, "NXDOMAIN || authority: ads.test. 120 SOA ads.test. nobody.invalid. 1 3600 1200 604800 120");
	answers("a.ads.test", "MX", EDNS, "NXDOMAIN || authority: ads.test. 120 SOA ads.test. nobody.invalid. 1 3600 1200 604800 120 ||| additional: OPT option 15: 15");
	answers("no4.test", "A", 0, "NOERROR || authority: no4.test. 30 SOA no4.test. nobody.invalid. 1 3600 1200 604800 30");
	answers("no4.test", "AAAA", 0, "pass");
	answers("no4.test", "ANY", 0, "pass");
	answers("no.test", "AAAA", 0, "NOERROR || authority: no.test. 120 SOA no.test. nobody.invalid. 1 3600 1200 604800 120");
	answers("stop.test", "A", 0, "REFUSED");
	answers("stop.test", "A", EDNS, "REFUSED ||| additional: OPT option 15: 15");
	answers("gone.test", "A", 0, "drop");
	answers("n5.a.b", "A", 0, "NXDOMAIN || authority: n5.a.b. 120 SOA n5.a.b. nobody.invalid. 1 3600 1200 604800 120");
}

static void an_alias_is_followed_through_rules_and_zones(void **state)
{
	(void)state;
	use("a.test CNAME b.test\nb.test CNAME n7.c.test\nn<N>.c.test. A 10.0.0.<N>\nw<N> CNAME n<N>.c.test\n"
	    "z.test CNAME alias.zone.test\nfar.test CNAME www.far.example\nzfar.test CNAME out.zone.test\nnone.test CNAME gone.zone.test\n"
	    "loop1.test CNAME loop2.test\nloop2.test CNAME loop1.test\nblock.test CNAME x.ads.test\n*.ads.test nxdomain\n"
	    "quiet.test CNAME q.drop.test\n.drop.test drop\nns.zone.test AAAA 2001:db8::1\n");
	answers("a.test", "A", 0, "NOERROR | a.test. 60 CNAME b.test. b.test. 60 CNAME n7.c.test. n7.c.test. 60 A 10.0.0.7");
	answers("a.test", "CNAME", 0, "NOERROR | a.test. 60 CNAME b.test.");
	answers("a.test", "ANY", 0, "NOERROR | a.test. 60 CNAME b.test.");
	answers("w08.x", "A", 0, "NOERROR | w08.x. 60 CNAME n08.c.test. n08.c.test. 60 A 10.0.0.8");
	answers("z.test", "A", 0, "NOERROR | z.test. 60 CNAME alias.zone.test. alias.zone.test. 300 CNAME ns.zone.test. ns.zone.test. 300 A 192.0.2.20");
	answers("none.test", "A", 0, "NXDOMAIN | none.test. 60 CNAME gone.zone.test. || authority: zone.test. 5 SOA ns.zone.test. h.zone.test. 1 2 3 4 5");
	answers("far.test", "A", CHAIN, "NOERROR | far.test. 60 CNAME www.far.example., continue");
	answers("far.test", "A", 0, "NOERROR | far.test. 60 CNAME www.far.example.");
	answers("zfar.test", "A", CHAIN, "NOERROR | zfar.test. 60 CNAME out.zone.test. out.zone.test. 300 CNAME www.far.example., continue");
	answers("loop1.test", "A", CHAIN, "NOERROR | loop1.test. 60 CNAME loop2.test. loop2.test. 60 CNAME loop1.test.");
	answers("block.test", "A", CHAIN, "NXDOMAIN | block.test. 60 CNAME x.ads.test. || authority: ads.test. 60 SOA ads.test. nobody.invalid. 1 3600 1200 604800 60");
	answers("quiet.test", "A", CHAIN, "NOERROR | quiet.test. 60 CNAME q.drop.test.");
	use_with("v.test CNAME ns.zone.test\nns.zone.test A 10.9.9.9\n", true);
	answers("v.test", "A", 0, "NOERROR | v.test. 60 CNAME ns.zone.test. ns.zone.test. 300 A 192.0.2.20");
}

static void what_does_not_fit_is_truncated(void **state)
{
	(void)state;
	char text[8192], *at = text;
	for (unsigned i = 0; i < 60; i++)
		at = put(at, text + sizeof(text), "big.test A 192.0.2.%u\np<N> A 10.0.%u.<N>\n", i, i);
	use(text);
	answers("big.test", "A", 0, "NOERROR tc");
	answers("p1.test", "A", 0, "NOERROR tc");
	assert_non_null(strstr(ask("big.test", "A", TCP), "192.0.2.59"));
	assert_non_null(strstr(ask("p1.test", "A", EDNS), "10.0.59.1"));
}

static void what_stands_ready_brings_its_sum(void **state)
{
	static const struct {
		const char *name, *type;
		bool summed, summed_edns;
	} cases[] = {
		{ "www.test", "A", true, true }, { "www.test", "TXT", true, true }, { "x.ads.test", "A", true, false },
		{ "n5.test", "A", true, true }, { "n65535.test", "MX", true, true }, { "n0.test", "MX", true, true },
		{ "m7-1999.test", "AAAA", true, true }, { "t1-4294967295.test", "A", true, false }, { "n5.test", "TXT", false, false },
		{ "to.test", "CNAME", false, false },
	};
	(void)state;
	use("www.test A 192.0.2.1\nwww.test A 192.0.2.2\nwww.test TXT odd\n*.ads.test 65537 nxdomain\nto.test CNAME www.test\n"
	    "n<N> MX <N> odd.\nn<N> MX <N> even.a.\nn<N> A 10.<N>.<N>.<N>\nn<N> TXT \"<N>\"\nm<N>-<M> AAAA 2001:db8:<M>:0:<N>::1\n"
	    "t<N>-<M> A nodata\n");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_string_not_equal(ask(cases[i].name, cases[i].type, 0), "pass");
		assert_int_equal(was_summed, cases[i].summed);
		ask(cases[i].name, cases[i].type, EDNS);
		assert_int_equal(was_summed, cases[i].summed_edns);
	}
}

// As many digits as a number can have, in front of everything that can stand behind them.
static void every_length_of_a_number_is_read(void **state)
{
	(void)state;
	use("d<N> TXT <N:10>\nw<N:7><M:3> TXT \"<N:10> <M:10>\"\ne<N>77 TXT <N:10>\n");
	uint64_t value = 0;
	for (unsigned digits = 1; digits <= 10; digits++) {
		static const char *const behind[] = { "", ".0123456789.test", ".a" };
		value = value * 10 + (digits * 7 + 3) % 10;
		for (unsigned i = 0; i < 3; i++) {
			char name[128], expected[256];
			snprintf(name, sizeof(name), "d%0*llu%s", (int)digits, (unsigned long long)value, behind[i]);
			snprintf(expected, sizeof(expected), "NOERROR | %s. 60 TXT \"%010llu\"", name, (unsigned long long)value);
			answers(name, "TXT", 0, value > UINT32_MAX ? "pass" : expected);
			snprintf(name, sizeof(name), "e%0*llu77%s", (int)digits, (unsigned long long)value, behind[i]);
			snprintf(expected, sizeof(expected), "NOERROR | %s. 60 TXT \"%010llu\"", name, (unsigned long long)value);
			answers(name, "TXT", 0, value > UINT32_MAX ? "pass" : expected);
		}
	}
	answers("w1234567890.a", "TXT", 0, "NOERROR | w1234567890.a. 60 TXT \"0001234567 0000000890\"");
	answers("w12345678901.a", "TXT", 0, "pass");
	answers("w123456789.a", "TXT", 0, "pass");
	answers("e77.a", "TXT", 0, "pass");
	answers("d00000000001.a", "TXT", 0, "pass"); // eleven digits
	answers("d.123", "TXT", 0, "pass");
	// The length of a label that is a digit itself.
	answers("d5.012345678901234567890123456789012345678901234567.a", "TXT", 0,
		"NOERROR | d5.012345678901234567890123456789012345678901234567.a. 60 TXT \"0000000005\"");
}

static void one_answer_for_a_name_and_type(void **state)
{
	(void)state;
	struct findings findings;
	// The same again is no harm: lists are often put together.
	struct override_rules *rules = read_rules("a.test A 192.0.2.1\na.test A 192.0.2.1\nb.test nxdomain\nb.test nxdomain\nc.test CNAME d\nc.test CNAME d.\n",
		ST_OK, &findings);
	assert_int_equal(override_rules_count(rules), 3);
	assert_string_equal(findings.text, "");
	override_rules_free(rules);
	rules = read_rules("a.test nxdomain\na.test nodata\nb.test A 192.0.2.1\nb.test A nodata\nc.test CNAME d\n c.test CNAME e\n"
			   "d.test 5 A 192.0.2.1\nd.test 6 A 192.0.2.2\n", ST_SYNTAX, &findings);
	assert_string_equal(findings.text,
		"rules:2:1: another answer for this name and type; the first is at rules:1\n"
		"rules:4:1: another answer for this name and type; the first is at rules:3\n"
		"rules:6:2: another answer for this name and type; the first is at rules:5\n"
		"rules:8:1: warning: the TTL is that of the first record of this name and type, 5 s, at rules:7\n");
	override_rules_free(rules);
}

static void every_bad_line_is_named_with_its_place(void **state)
{
	(void)state;
	static const char *const lines[][2] = {
		{ "x", "2: expected a TTL, a type, or nxdomain, nodata, refused, drop or pass, found the end of the line" },
		{ "x 60", "5: expected a TTL, a type, or nxdomain, nodata, refused, drop or pass, found the end of the line" },
		{ "x 60 60", "6: expected a TTL, a type, or nxdomain, nodata, refused, drop or pass, found '60'" },
		{ "x 192.0.2.1", "3: expected a TTL, a type, or nxdomain, nodata, refused, drop or pass, found '192.0.2.1'" },
		{ "x A", "4: expected an answer: a record, or nxdomain, nodata, refused, drop or pass" },
		{ "x  A 192.0.2.300", "6: A: expected an IPv4 address, found \"192.0.2.300\"" },
		{ "x A 192.0.2.<N>", "5: A: expected an IPv4 address, found \"192.0.2.<N>\"" },
		{ "x MX 10", "8: MX: expected a domain name, found the end of the record" },
		{ "x A 192.0.2.1 2", "15: A: expected the end of the record, found \"2\"" },
		{ "x A nxdomain", "3: nxdomain is about a name with all its types; for one type write nodata" },
		{ "x any 192.0.2.1", "7: expected nxdomain, nodata, refused, drop or pass, or a type for the record" },
		{ "x AXFR x", "3: AXFR is no type of records" },
		{ "x..y A 192.0.2.1", "1: 'x..y' is not a domain name" },
		{ "x.*.y drop", "3: a * stands in front of a dot and a name, for all that lies below; a plain one is written \\*" },
		{ "*x.y drop", "1: a * stands in front of a dot and a name, for all that lies below; a plain one is written \\*" },
		{ "*.x<N> drop", "1: a pattern has no * and no dot in front: without a final dot it fits below any name" },
		{ "x<N A 192.0.2.1", "2: expected a capture such as <N>, <N:3> or <N:0-255>; a plain < is written \\<" },
		{ "x<N>y<n> drop", "6: <n> a second time" },
		{ "x<N:11> drop", "5: expected digits (1 to 10), a range such as 0-255, or both as in 3:0-255" },
		{ "x<N:9-1> drop", "5: expected digits (1 to 10), a range such as 0-255, or both as in 3:0-255" },
		{ "x<A><B> drop", "1: where <A> ends cannot be told: of captures side by side all but one need a width, such as <A:3>" },
		{ "x<N:0-256> A 10.0.0.<N>", "14: A: <N> may be up to 256, but an octet of an address ends at 255" },
		{ "x<N> A 10.0.0.1<N>", "8: A: expected an IPv4 address of four octets, some of them captures, found \"10.0.0.1<N>\"" },
		{ "x<N> A 10.0.0.<N>1", "8: A: a number of this kind is written out, or is one capture" },
		{ "x<N> A 10.0.0.<M>", "8: A: there is no <M> in the name" },
		{ "x<N> AAAA 2001:db8::1<N>", "11: AAAA: a capture is a whole group of an IPv6 address" },
		{ "x<N> AAAA 2001::db8::<N>", "11: AAAA: expected an IPv6 address, some groups of it captures, found \"2001::db8::<N>\"" },
		{ "x<N> CNAME a..<N>", "12: CNAME: a name with an empty label" },
		{ "x<N> CNAME aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeefffff<N>",
			"12: CNAME: with the longest numbers a label may have 65 octets (63 is the most) and the name 67 (255)" },
		{ "x<N> CAA 0 issue \"<N>\"", "18: CAA: a capture cannot stand here: they go into addresses, names, character-strings and plain numbers" },
		{ "a1<N>.b.c.d.e.f.g.h.i drop", "1: captures may stand in the first 8 labels, and a pattern without a final dot has no more" },
		{ "x A 192.0.2.1\x01", "5: A: expected an IPv4 address, found \"192.0.2.1\\001\"" },
		{ "$TTL", "5: expected $TTL and one time, such as 300 or 1h, found the end of the line" },
		{ "x TXT \"open", "7: a quoted string does not end on its line" },
	};
	char text[16384], expected[16384], *at = text, *to = expected;
	struct findings findings;
	for (unsigned i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		at = put(at, text + sizeof(text), "%s\n", lines[i][0]);
		to = put(to, expected + sizeof(expected), "rules:%u:%s\n", i + 1, lines[i][1]);
	}
	put(at, text + sizeof(text), "good.test A 192.0.2.1\n");
	struct override_rules *rules = read_rules(text, ST_SYNTAX, &findings);
	assert_string_equal(findings.text, expected);
	assert_int_equal(override_rules_count(rules), 1);
	override_rules_free(rules);
}

static void comments_blank_lines_and_line_ends_of_every_kind_are_read(void **state)
{
	(void)state;
	use("# a comment\n; another\n\n   \t\r\nwin.test A 192.0.2.1\r\n\tindented.test   300   A\t192.0.2.2   ; behind\n"
	    "esc\\032aped.test A 192.0.2.3\nstar.\\*.test A 192.0.2.4\n\\<N\\>.test A 192.0.2.5\nlast.test A 192.0.2.6");
	answers("win.test", "A", 0, "NOERROR | win.test. 60 A 192.0.2.1");
	answers("indented.test", "A", 0, "NOERROR | indented.test. 300 A 192.0.2.2");
	answers("esc\\032aped.test", "A", 0, "NOERROR | esc\\032aped.test. 60 A 192.0.2.3");
	answers("star.*.test", "A", 0, "NOERROR | star.*.test. 60 A 192.0.2.4");
	answers("<N>.test", "A", 0, "NOERROR | <N>.test. 60 A 192.0.2.5");
	answers("last.test", "A", 0, "NOERROR | last.test. 60 A 192.0.2.6");
	use("");
	answers("last.test", "A", 0, "pass");
}

static void more_patterns_alike_than_a_question_can_try_are_refused(void **state)
{
	(void)state;
	char text[8192], *at = text;
	for (unsigned i = 0; i <= OVERRIDE_ALIKE_MAX; i++)
		at = put(at, text + sizeof(text), "rack%u-<N> A 10.0.%u.<N>\n", i, i);
	struct override_rules *rules = read_rules(text, ST_OK, NULL);
	struct findings findings = { .at = findings.text };
	struct report report = { .emit = note, .ctx = &findings };
	void *block;
	uint64_t bytes;
	assert_int_equal(override_rules_compile(rules, 1, false, &report, &block, &bytes), ST_FULL);
	assert_null(block);
	assert_non_null(strstr(findings.text, "rules:65:0: more than 64 rules for names that differ in their numbers alone"));
	override_rules_free(rules);
}

static void a_block_of_another_seed_version_or_length_is_refused(void **state)
{
	(void)state;
	use("x<N> A 10.0.0.<N>\nb.test A 192.0.2.1\n*.c.test nxdomain\n");
	uint64_t bytes = current->bytes, seed = catalog_seed(catalog);
	assert_int_equal(overrides_check(current, bytes, seed), ST_OK);
	assert_int_equal(overrides_check(current, bytes, seed + 1), ST_CORRUPT);
	assert_int_equal(overrides_check(current, bytes - 1, seed), ST_CORRUPT);
	assert_int_equal(overrides_check(current, 16, seed), ST_CORRUPT);
	current->format++;
	assert_int_equal(overrides_check(current, bytes, seed), ST_VERSION);
	current->format--;
	current->magic++;
	assert_int_equal(overrides_check(current, bytes, seed), ST_CORRUPT);
	current->magic--;
}

static void a_damaged_block_is_refused_or_harmless(void **state)
{
	(void)state;
	use("x<N> A 10.0.0.<N>\nx<N> CNAME y<N>.x<N:3>\nb.test A 192.0.2.1\nb.test A 192.0.2.2\n*.c.test nxdomain\n"
	    "d.test CNAME x5.test\n<A>.<B>.test. PTR a<A>.b<B>\n");
	struct overrides *good = current;
	unsigned refused = 0;
	for (uint64_t at = 0; at < good->bytes; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			current = aligned_alloc(64, good->bytes);
			memcpy(current, good, good->bytes);
			((uint8_t *)current)[at] ^= (uint8_t)(1u << bit);
			if (overrides_check(current, good->bytes, catalog_seed(catalog)) != ST_OK) {
				refused++;
			} else {
				static const char *const names[] = { "x5.a", "b.test", "q.c.test", "d.test", "1.2.test", "x12345.q" };
				for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
					uint8_t wire[128] = "\0\0\0\0\0\1\0\0\0\0\0\0", out[DNS_UDP_PLAIN_BYTES];
					unsigned bytes;
					struct query q;
					enum rcode rcode;
					struct override_hit hit;
					assert_int_equal(name_from_text(wire + 12, &bytes, names[i], strlen(names[i]), (const uint8_t *)""), ST_OK);
					store_be16(wire + 12 + bytes, i == 4 ? TYPE_PTR : TYPE_A);
					store_be16(wire + 14 + bytes, CLASS_IN);
					assert_int_equal(query_parse(&q, wire, 16 + bytes, catalog_seed(catalog), &rcode), QUERY_VALID);
					struct reply reply = { .wire = out, .room = sizeof(out) };
					if (overrides_match(current, &q, overrides_probe(current, &q.name), &hit))
						answer_override(catalog, &policy, &q, current, &hit, OVER_UDP, &reply);
				}
			}
			free(current);
		}
	}
	current = good;
	assert_true(refused > 1000);
}

// --- the look-up against one that goes through the rules one by one ---

struct plain_rule {
	char name[96], type[8];
	unsigned number; // in the list; UINT32_MAX: the same as one before
};

static unsigned random_state = 12345;
static unsigned pick(unsigned below)
{
	random_state = random_state * 1103515245u + 12345u;
	return (random_state >> 16) % below;
}

static char *put_random_label(char *at, const char *end, bool pattern, unsigned *captures)
{
	static const char *const stems[] = { "a", "b", "ws", "h-" }, *const tails[] = { "", "", "x", "0" };
	at = put(at, end, "%s", stems[pick(4)]);
	if (pattern && *captures < 4 && pick(3)) {
		char letter = (char)('A' + (*captures)++);
		switch (pick(4)) {
		case 0:
			at = put(at, end, "<%c:2>", letter);
			break;
		case 1:
			at = put(at, end, "<%c:%u-%u>", letter, pick(5), 5 + pick(100));
			break;
		case 2:
			at = put(at, end, "<%c:1><%c>", letter, (char)('A' + (*captures)++));
			break;
		default:
			at = put(at, end, "<%c>", letter);
		}
	} else if (pick(2)) {
		at = put(at, end, "%u", pick(pick(2) ? 12 : 120));
	}
	return put(at, end, "%s", tails[pick(4)]);
}

static void put_random_name(char *to, size_t room, bool pattern, bool *has_capture)
{
	char *at = to;
	unsigned captures = 0, labels = 1 + pick(3);
	for (unsigned i = 0; i < labels; i++) {
		if (i)
			*at++ = '.';
		at = put_random_label(at, to + room, pattern, &captures);
	}
	*has_capture = captures > 0;
}

static void make_random_rule(struct plain_rule *rule)
{
	bool has_capture, pattern = pick(2);
	char name[80];
	put_random_name(name, sizeof(name), pattern, &has_capture);
	if (has_capture)
		snprintf(rule->name, sizeof(rule->name), "%s%s", name, pick(2) ? "." : "");
	else
		snprintf(rule->name, sizeof(rule->name), "%s%s", (const char *[]){ "", "*.", "." }[pick(3)], name);
	snprintf(rule->type, sizeof(rule->type), "%s", (const char *[]){ "A", "TXT", "any" }[pick(3)]);
}

// The text of one label against that of a pattern, every length of a number tried.
static bool label_fits(const char *pattern, const char *text)
{
	if (*pattern != '<') {
		if (!*pattern || *pattern == '.')
			return !*text || *text == '.';
		return *text && *text != '.' && *pattern == *text && label_fits(pattern + 1, text + 1);
	}
	const char *behind = strchr(pattern, '>') + 1;
	unsigned width = 0, low = 0, high = UINT32_MAX;
	if (pattern[2] == ':' && sscanf(pattern + 3, "%u-%u>", &low, &high) != 2) {
		width = low;
		low = 0;
	}
	uint64_t value = 0;
	for (unsigned digits = 0; digits < 10 && isdigit((unsigned char)text[digits]); digits++) {
		value = value * 10 + (unsigned)(text[digits] - '0');
		if ((!width || width == digits + 1) && value >= low && value <= high && label_fits(behind, text + digits + 1))
			return true;
	}
	return false;
}

static const char *next_label(const char *name)
{
	const char *dot = strchr(name, '.');
	return dot ? dot + 1 : name + strlen(name);
}

// Its rank among those that fit, higher is better; 0: it does not fit.
static unsigned rank_of(const struct plain_rule *rule, const char *name)
{
	const char *pattern = rule->name;
	if (!strchr(pattern, '<')) {
		bool below = pattern[0] == '*' || pattern[0] == '.';
		const char *suffix = pattern[0] == '*' ? pattern + 2 : pattern + below;
		size_t bytes = strlen(suffix), all = strlen(name);
		if (!below)
			return strcmp(pattern, name) == 0 ? 100000 : 0;
		if (bytes == all)
			return pattern[0] == '.' && strcmp(suffix, name) == 0 ? 1 + (unsigned)bytes : 0;
		return bytes < all && name[all - bytes - 1] == '.' && strcmp(name + all - bytes, suffix) == 0 ? 1 + (unsigned)bytes : 0;
	}
	bool whole = pattern[strlen(pattern) - 1] == '.';
	unsigned labels = 0, last_capture = 0;
	while (*pattern) {
		if (!*name || !label_fits(pattern, name))
			return 0;
		labels++;
		const char *next = next_label(pattern), *capture = strchr(pattern, '<');
		if (capture && capture < next)
			last_capture = labels;
		pattern = next;
		name = next_label(name);
	}
	if (whole && *name)
		return 0;
	return 1000 + 10 * (whole ? last_capture : labels) + whole;
}

static void many_random_names_find_the_rule_that_a_plain_search_finds(void **state)
{
	(void)state;
	enum { ROUNDS = 60, RULES = 60, NAMES = 400 };
	static struct plain_rule rule[RULES];
	static char text[RULES * 128];
	unsigned found = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned count = 0;
		char *at = text;
		for (unsigned i = 0; i < RULES; i++) {
			make_random_rule(&rule[count]);
			unsigned other = 0;
			while (other < count && (strcmp(rule[other].name, rule[count].name) != 0 || strcmp(rule[other].type, rule[count].type) != 0))
				other++;
			if (other < count)
				continue;
			at = put(at, text + sizeof(text), "%s %s %s\n", rule[count].name, rule[count].type, "pass");
			rule[count].number = count;
			count++;
		}
		use(text);
		for (unsigned i = 0; i < NAMES; i++) {
			char name[80];
			bool ignored;
			uint8_t wire[NAME_MAX_BYTES];
			unsigned bytes;
			struct folded_name folded;
			struct override_hit hit;
			put_random_name(name, sizeof(name), false, &ignored);
			uint16_t type = pick(2) ? TYPE_A : TYPE_TXT;
			assert_int_equal(name_from_text(wire, &bytes, name, strlen(name), (const uint8_t *)""), ST_OK);
			name_prepare(&folded, wire, bytes, catalog_seed(catalog));
			const struct plain_rule *best = NULL;
			unsigned best_rank = 0;
			for (unsigned k = 0; k < count; k++) {
				bool any = strcmp(rule[k].type, "any") == 0;
				if (!any && strcmp(rule[k].type, type == TYPE_A ? "A" : "TXT") != 0)
					continue;
				unsigned rank = rank_of(&rule[k], name);
				if (rank && 2 * rank + !any > best_rank) {
					best_rank = 2 * rank + !any;
					best = &rule[k];
				}
			}
			bool hits = overrides_find(current, &folded, type, &hit);
			struct override_hit again;
			struct query asked = { .name = folded, .type = type, .class = CLASS_IN };
			bool matches = overrides_match(current, &asked, overrides_probe(current, &folded), &again);
			assert_int_equal(matches, hits && hit.rule->action != OVERRIDE_PASS);
			assert_true(!matches || again.rule == hit.rule);
			if (hits != (best != NULL) || (hits && hit.rule->number != best->number))
				fail_msg("%s: expected %s, found %s; rules:\n%s", name, best ? best->name : "none",
					hits ? rule[hit.rule->number].name : "none", text);
			found += hits;
		}
	}
	assert_in_range(found, ROUNDS * NAMES / 10, ROUNDS * NAMES * 9 / 10); // else it would show nothing
}

static void deep_names_and_many_rules_find_their_way(void **state)
{
	(void)state;
	static char text[5000 * 40], *at;
	char name[512] = "", suffix[512] = "";
	at = text;
	for (unsigned i = 0; i < 120; i++)
		strlcat(name, "a.", sizeof(name));
	for (unsigned i = 0; i < 70; i++)
		strlcat(suffix, "a.", sizeof(suffix));
	for (unsigned i = 0; i < 4000; i++)
		at = put(at, text + sizeof(text), "name%u.test A 10.0.%u.%u\n", i, i / 256, i % 256);
	at = put(at, text + sizeof(text), "*.%s A 10.1.1.1\n*.a.a A 10.2.2.2\n", suffix);
	use(text);
	for (unsigned i = 0; i < 4000; i += 7) {
		char asked[32], expected[64];
		snprintf(asked, sizeof(asked), "name%u.test", i);
		snprintf(expected, sizeof(expected), "NOERROR | name%u.test. 60 A 10.0.%u.%u", i, i / 256, i % 256);
		answers(asked, "A", 0, expected);
	}
	answers("name4000.test", "A", 0, "pass");
	assert_non_null(strstr(ask(name, "A", 0), "10.1.1.1"));
	assert_non_null(strstr(ask("a.a.a.a", "A", 0), "10.2.2.2"));
	answers("a.a", "A", 0, "pass");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_answered_alone_in_any_case_and_for_its_type),
		cmocka_unit_test(a_star_is_all_below_and_a_dot_the_name_itself_as_well),
		cmocka_unit_test(a_number_in_a_name_becomes_an_octet),
		cmocka_unit_test(captures_stand_in_several_labels_with_ranges_and_widths),
		cmocka_unit_test(captures_go_into_every_plain_field),
		cmocka_unit_test(a_name_goes_before_a_pattern_and_that_before_the_longest_suffix),
		cmocka_unit_test(a_no_brings_an_soa_that_clients_remember_it_by),
		cmocka_unit_test(an_alias_is_followed_through_rules_and_zones),
		cmocka_unit_test(what_does_not_fit_is_truncated),
		cmocka_unit_test(what_stands_ready_brings_its_sum),
		cmocka_unit_test(every_length_of_a_number_is_read),
		cmocka_unit_test(one_answer_for_a_name_and_type),
		cmocka_unit_test(every_bad_line_is_named_with_its_place),
		cmocka_unit_test(comments_blank_lines_and_line_ends_of_every_kind_are_read),
		cmocka_unit_test(more_patterns_alike_than_a_question_can_try_are_refused),
		cmocka_unit_test(a_block_of_another_seed_version_or_length_is_refused),
		cmocka_unit_test(a_damaged_block_is_refused_or_harmless),
		cmocka_unit_test(many_random_names_find_the_rule_that_a_plain_search_finds),
		cmocka_unit_test(deep_names_and_many_rules_find_their_way),
	};
	return cmocka_run_group_tests_name("overrides", tests, set_up, tear_down) ? 1 : 0;
}
