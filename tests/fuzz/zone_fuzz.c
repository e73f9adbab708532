// SPDX-License-Identifier: BSD-3-Clause
// Any text that passes as a zone becomes an image that its own check accepts; and every question about the
// names in it, beside them and below them gets a well-formed message within the asker's limit, over UDP and
// TCP.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/answer.h>
#include <pollux/bytes.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#define NAMES_MAX 24
#define ZONE_BYTES_MAX (1u << 20) // $GENERATE makes much of little

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t apex[] = "\7example\3com";
static struct catalog *catalog;

struct zone {
	struct zone_builder *builder;
	unsigned records, names;
	uint8_t name[NAMES_MAX][NAME_MAX_BYTES];
	uint16_t type[NAMES_MAX];
};

static enum status take(void *ctx, const struct record *record)
{
	struct zone *zone = ctx;
	if (zone->names < NAMES_MAX) {
		memcpy(zone->name[zone->names], record->owner, name_length(record->owner, NAME_MAX_BYTES));
		zone->type[zone->names++] = record->type;
	}
	if (++zone->records > 2000)
		return ST_FULL;
	return zone_builder_add(zone->builder, record);
}

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

// Moves over a name that may be compressed: pointers go backwards (RFC 1035 4.1.4).
static size_t skip_name(const uint8_t *wire, size_t bytes, size_t at)
{
	size_t end = 0, limit = at, total = 0;
	for (;;) {
		if (at >= bytes)
			fail("a name that is cut");
		unsigned length = wire[at];
		if (length == 0)
			return end ? end : at + 1;
		if (length >= 0xc0) {
			if (at + 2 > bytes)
				fail("a pointer that is cut");
			size_t to = (size_t)(length & 0x3f) << 8 | wire[at + 1];
			if (!end)
				end = at + 2;
			if (to >= limit)
				fail("a pointer that does not go backwards");
			limit = at = to;
			continue;
		}
		total += length + 1;
		if (length > LABEL_MAX_BYTES || total >= NAME_MAX_BYTES)
			fail("a label or name that is too long");
		at += length + 1;
	}
}

static void check_message(const uint8_t *query, const struct reply *reply, uint32_t limit)
{
	const uint8_t *wire = reply->wire;
	if (reply->bytes < DNS_HEADER_BYTES || reply->bytes > limit || memcmp(query, wire, 2) != 0 ||
		!(wire[2] & 0x80))
		fail("a header or length that cannot be");
	size_t at = DNS_HEADER_BYTES;
	for (unsigned questions = load_be16(wire + 4); questions; questions--)
		at = skip_name(wire, reply->bytes, at) + 4;
	unsigned records = load_be16(wire + 6) + load_be16(wire + 8) + load_be16(wire + 10);
	for (; records; records--) {
		at = skip_name(wire, reply->bytes, at);
		if (at + 10 > reply->bytes)
			fail("a record that is cut");
		at += 10u + load_be16(wire + at + 8);
	}
	if (at != reply->bytes)
		fail("sections that do not fill the message");
}

static void ask(const uint8_t *name, uint16_t type, bool edns, enum transport transport)
{
	static uint8_t room[DNS_MAX_BYTES];
	uint8_t wire[DNS_HEADER_BYTES + NAME_MAX_BYTES + 4 + OPT_BYTES] = { 0x12, 0x34, 0x01, 0x00, 0, 1, 0,
		0, 0, 0, 0, edns };
	unsigned bytes = name_length(name, NAME_MAX_BYTES), at = DNS_HEADER_BYTES;
	memcpy(wire + at, name, bytes);
	at += bytes;
	store_be16(wire + at, type);
	store_be16(wire + at + 2, CLASS_IN);
	at += 4;
	if (edns) {
		static const uint8_t opt[OPT_BYTES] = { 0, 0, TYPE_OPT, 0x05, 0x78, 0, 0, 0x80 };
		memcpy(wire + at, opt, sizeof(opt));
		at += sizeof(opt);
	}
	struct query query;
	enum rcode rcode;
	const struct policy policy = { .udp_size = 1232, .any_full = type % 2 };
	if (query_parse(&query, wire, at, catalog_seed(catalog), &rcode) != QUERY_VALID)
		fail("a question that is refused");
	const uint32_t limit = answer_limit(&policy, &query, transport);
	// Exactly as much room as the answer may take, so that a sanitizer sees a step behind it.
	uint8_t *exact = transport == OVER_UDP ? malloc(limit) : room;
	if (!exact)
		abort();
	struct reply reply = { .wire = exact, .room = transport == OVER_UDP ? limit : sizeof(room) };
	if (answer_query(catalog, &policy, &query, catalog_find(catalog, &query.name), transport, &reply) ==
		ANSWER_READY)
		check_message(wire, &reply, limit);
	else
		fail("no answer although nobody else could be asked");
	if (transport == OVER_UDP)
		free(exact);
}

static void ask_about(const uint8_t *name, uint16_t own_type)
{
	static const uint16_t types[] = { TYPE_A, TYPE_NS, TYPE_SOA, TYPE_CNAME, TYPE_DS, TYPE_RRSIG,
		TYPE_ANY, TYPE_TXT };
	for (unsigned i = 0; i <= sizeof(types) / sizeof(*types); i++) {
		uint16_t type = i ? types[i - 1] : own_type;
		ask(name, type, i & 1, OVER_UDP);
		ask(name, type, !(i & 1), OVER_TCP);
	}
}

static void ask_about_all(const struct zone *zone)
{
	for (unsigned i = 0; i < zone->names; i++) {
		uint8_t below[NAME_MAX_BYTES + 2] = { 1, 'x' };
		const uint8_t *name = zone->name[i];
		unsigned bytes = name_length(name, NAME_MAX_BYTES);
		ask_about(name, zone->type[i]);
		memcpy(below + 2, name, bytes);
		if (bytes + 2 <= NAME_MAX_BYTES)
			ask_about(below, zone->type[i]);
		if (*name) { // beside it, and its parent
			memcpy(below + 2, name + *name + 1, bytes - *name - 1u);
			ask_about(below, zone->type[i]);
			ask_about(name + *name + 1, zone->type[i]);
		}
	}
}

static void publish(struct zone *zone)
{
	uint64_t bytes = zone_builder_image_bytes(zone->builder, NULL);
	if (bytes > ZONE_BYTES_MAX)
		return;
	// First into memory of just that size, then where zones live.
	bytes = (bytes + 63) & ~UINT64_C(63);
	void *exact = aligned_alloc(64, bytes), *room;
	if (!exact)
		abort();
	memset(exact, 0, bytes);
	zone_builder_write(zone->builder, exact, NULL, 1);
	const struct image *image = exact;
	if (image->bytes > bytes || image_check(image, image->bytes) != ST_OK)
		fail("an image that its own check refuses");
	if (catalog_reserve(catalog, bytes, &room) != ST_OK)
		abort();
	memcpy(room, exact, image->bytes);
	if (catalog_publish(catalog, room) != ST_OK)
		abort();
	free(exact);
	ask_about_all(zone);
	if (catalog_withdraw(catalog, apex) != ST_OK)
		abort();
	static uint64_t epoch = 1;
	catalog_set_epoch(catalog, ++epoch);
	catalog_reclaim(catalog, epoch - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report report = { .emit = NULL };
	static struct zone zone;
	if (!catalog && catalog_open_private(&catalog, 7) != ST_OK)
		abort();
	zone.records = zone.names = 0;
	zone.builder = zone_builder_new(apex, catalog_seed(catalog));
	if (!zone.builder)
		abort();
	zone_builder_set_report(zone.builder, &report);
	enum status status = zonefile_read_text((const char *)data, size, "fuzz", apex, take, &zone, &report);
	if (status == ST_OK ||
		status == ST_SYNTAX) { // with errors nobody would serve it, but nothing may break
		if (zone_builder_check(zone.builder) == ST_OK)
			publish(&zone);
	}
	zone_builder_free(zone.builder);
	return 0;
}
