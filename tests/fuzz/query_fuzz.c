// SPDX-License-Identifier: BSD-3-Clause
// Any octets that come as a DNS message: read, and answered over UDP and TCP by a server that tells all it can.
// Whatever was asked, the reply is well-formed, within its limit, and has an OPT when the question's could be read. The
// first octet says how the server is configured.
#include <stdlib.h>
#include <string.h>

#include <pollux/answer.h>
#include <pollux/bytes.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEED = 53, NOW_S = 1559731985 };
static const char zone_text[] = "$TTL 60\n@ SOA ns h 7 2 3 4 5\n@ NS ns\n@ MX 1 ns\nns A 192.0.2.1\nsub NS ns.sub\n"
	"ns.sub A 192.0.2.2\n* TXT \"any\"\nalias CNAME ns\nlong DNAME ns\n";
static struct catalog *catalog;

static void must(bool good)
{
	if (!good)
		abort();
}

static void make_catalog(void)
{
	static const uint8_t apex[] = "\7example\4test";
	struct report report = { .emit = NULL };
	void *room;
	must(catalog_open_private(&catalog, SEED) == ST_OK);
	struct zone_builder *builder = zone_builder_new(apex, SEED);
	zone_builder_set_report(builder, &report);
	must(zonefile_read_text(zone_text, sizeof(zone_text) - 1, "zone", apex, zone_builder_add, builder, &report) == ST_OK);
	must(zone_builder_check(builder) == ST_OK);
	must(catalog_reserve(catalog, zone_builder_image_bytes(builder, NULL), &room) == ST_OK);
	zone_builder_write(builder, room, NULL, 1);
	must(catalog_publish(catalog, room) == ST_OK);
	zone_builder_free(builder);
}

static size_t skip_name(const struct reply *reply, size_t at)
{
	while (at < reply->bytes && reply->wire[at] && reply->wire[at] < 0xc0)
		at += reply->wire[at] + 1u;
	must(at < reply->bytes);
	return at + (reply->wire[at] ? 2 : 1);
}

static void check_options(const uint8_t *data, unsigned bytes)
{
	struct reader r = reader_of(data, bytes);
	while (reader_left(&r)) {
		read_be16(&r);
		read_bytes(&r, read_be16(&r));
		must(!r.failed);
	}
}

static void check_message(const struct query *query, const struct reply *reply, uint32_t limit)
{
	const uint8_t *wire = reply->wire;
	must(reply->bytes >= DNS_HEADER_BYTES && reply->bytes <= limit && wire[2] & 0x80);
	must(memcmp(wire, query->wire, 2) == 0);
	size_t at = DNS_HEADER_BYTES;
	unsigned opts = 0, records = load_be16(wire + 6) + load_be16(wire + 8) + load_be16(wire + 10);
	for (unsigned questions = load_be16(wire + 4); questions; questions--)
		at = skip_name(reply, at) + 4;
	for (; records; records--) {
		at = skip_name(reply, at);
		must(at + 10 <= reply->bytes);
		unsigned bytes = load_be16(wire + at + 8);
		must(at + 10 + bytes <= reply->bytes);
		if (load_be16(wire + at) == TYPE_OPT) {
			opts++;
			check_options(wire + at + 10, bytes);
		}
		at += 10 + bytes;
	}
	must(at == reply->bytes && opts == query->edns);
}

static void answer(const struct query *query, enum rcode rcode, const struct policy *policy, struct parties *parties,
	enum transport transport)
{
	static uint8_t stream[DNS_MAX_BYTES];
	uint32_t limit = rcode == RCODE_NOERROR ? answer_limit(policy, query, transport) : DNS_UDP_PLAIN_BYTES;
	// Exactly as much as the answer may take, so that a sanitizer sees a step behind it.
	uint8_t *exact = transport == OVER_UDP ? malloc(limit) : stream;
	must(exact != NULL);
	struct reply reply = { .wire = exact, .room = transport == OVER_UDP ? limit : sizeof(stream), .parties = parties };
	parties->idle_100ms = transport == OVER_TCP ? 100 : 0;
	enum answer_verdict verdict = ANSWER_READY;
	if (rcode == RCODE_NOERROR)
		verdict = answer_query(catalog, policy, query, catalog_find(catalog, &query->name), transport, &reply);
	else
		answer_error(policy, query, rcode, &reply);
	if (verdict == ANSWER_READY)
		check_message(query, &reply, limit);
	if (transport == OVER_UDP)
		free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct query query;
	static const uint8_t address[16] = { 198, 51, 100, 100 };
	if (!catalog)
		make_catalog();
	if (size < 1)
		return 0;
	unsigned how = data[0];
	struct server_identity identity = { .cookie_mode = (uint8_t)(how % 3), .secret_count = (uint8_t)(1 + how / 4 % 2),
		.nsid_bytes = how & 8 ? IDENTITY_TEXT_BYTES : 4, .version_bytes = CHAOS_TEXT_BYTES, .id_bytes = 1 };
	struct parties parties = { .identity = how & 16 ? NULL : &identity, .client = how & 32 ? NULL : address,
		.client_bytes = how & 64 ? 4 : 16, .now_s = NOW_S };
	const struct policy policy = { .udp_size = 1232, .minimal = how >> 7 };
	uint8_t *wire = malloc(size);
	must(wire != NULL);
	memcpy(wire, data + 1, size - 1);
	enum rcode rcode;
	enum query_verdict verdict = query_parse(&query, wire, size - 1, SEED, &rcode);
	if (verdict == QUERY_VALID || verdict == QUERY_ERROR) {
		must((verdict == QUERY_ERROR) == (rcode != RCODE_NOERROR));
		answer(&query, rcode, &policy, &parties, OVER_UDP);
		answer(&query, rcode, &policy, &parties, OVER_TCP);
	}
	if (verdict == QUERY_ERROR && query_parse_first(&query, wire, size - 1, SEED, &rcode) == QUERY_VALID) {
		must(query.questions > 1 && query.question_bytes <= NAME_MAX_BYTES + 4);
		answer(&query, rcode, &policy, &parties, OVER_UDP);
		answer(&query, rcode, &policy, &parties, OVER_TCP);
	}
	free(wire);
	return 0;
}
