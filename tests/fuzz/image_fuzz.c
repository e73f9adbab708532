// SPDX-License-Identifier: BSD-3-Clause
// Whatever is done to an image: its check refuses it, or every question can be answered from it within the asker's
// limit. The first octet of the input chooses the image; each eight that follow change it: where, and to what.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/answer.h>
#include <pollux/bytes.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DATA                                                                                                      \
	"$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\n@ NS ns.sub\n@ MX 1 mail\n@ MX 2 mail.sub\n"                   \
	"@ RRSIG SOA 13 1 60 20270101000000 20260101000000 1 s. AAAA\n@ DNSKEY 257 3 13 AAAA\n"                   \
	"ns1 A 192.0.2.1\nmail A 192.0.2.2\nmail AAAA 2001:db8::1\nmail RRSIG A 13 2 60 20270101000000 20260101000000 1 s. AAAA\n" \
	"alias CNAME x.wild\n*.wild A 192.0.2.3\n*.wild MX 1 mail\nx.y.ent TXT \"t\"\nold DNAME wild\nround DNAME round.round\n" \
	"sub NS ns.sub\nsub DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000\nns.sub A 192.0.2.4\n" \
	"plain NS ns.sub\n*.more CNAME alias\n"

static const char *const zone_text[] = {
	DATA,
	DATA "@ NSEC alias NS SOA MX RRSIG NSEC DNSKEY\nalias NSEC mail CNAME\nmail NSEC *.more A\n*.more NSEC *.wild CNAME\n"
	     "*.wild NSEC @ A\n",
	DATA "@ NSEC3PARAM 1 0 2 aabb\n"
	     "00000000000000000000000000000000 NSEC3 1 1 2 aabb 80000000000000000000000000000000 A\n"
	     "80000000000000000000000000000000 NSEC3 1 1 2 aabb g0000000000000000000000000000000 A\n"
	     "g0000000000000000000000000000000 NSEC3 1 0 2 aabb 00000000000000000000000000000000 A\n",
};
enum { ZONES = sizeof(zone_text) / sizeof(*zone_text) };

static const uint8_t apex[] = "\1s";
static const char *const names[] = {
	"s.", "ns1.s.", "mail.s.", "alias.s.", "q.wild.s.", "*.wild.s.", "wild.s.", "y.ent.s.", "z.y.ent.s.", "q.wild.old.s.",
	"x.old.s.", "x.round.s.", "sub.s.", "host.sub.s.", "plain.s.", "x.plain.s.", "q.more.s.", "none.s.", "a.s.", "zz.s.",
};
enum { NAMES = sizeof(names) / sizeof(*names) };

static struct catalog *catalog;
static const struct image *whole[ZONES];
static struct query query[NAMES];
static uint8_t wire[NAMES][64];

static void make_images(void)
{
	struct report report = { .emit = NULL };
	for (unsigned z = 0; z < ZONES; z++) {
		struct zone_builder *builder = zone_builder_new(apex, catalog_seed(catalog));
		void *room;
		zone_builder_set_report(builder, &report);
		if (zonefile_read_text(zone_text[z], strlen(zone_text[z]), "zone", apex, zone_builder_add, builder, &report) != ST_OK ||
			zone_builder_check(builder) != ST_OK)
			abort();
		uint64_t bytes = (zone_builder_image_bytes(builder, NULL) + 63) & ~UINT64_C(63);
		if (!(room = aligned_alloc(64, bytes)))
			abort();
		memset(room, 0, bytes);
		zone_builder_write(builder, room, NULL, 1);
		whole[z] = room;
		zone_builder_free(builder);
	}
}

static void make_questions(void)
{
	static const uint8_t head[] = { 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1 }, tail[] = { 0, 1, 0, 1, 0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0 };
	for (unsigned i = 0; i < NAMES; i++) {
		unsigned bytes;
		enum rcode rcode;
		memcpy(wire[i], head, sizeof(head));
		if (name_from_text(wire[i] + 12, &bytes, names[i], strlen(names[i]), NULL) != ST_OK)
			abort();
		memcpy(wire[i] + 12 + bytes, tail, sizeof(tail));
		if (query_parse(&query[i], wire[i], 12 + bytes + sizeof(tail), catalog_seed(catalog), &rcode) != QUERY_VALID)
			abort();
	}
}

static void ask(const struct image *image)
{
	static const uint16_t types[] = { TYPE_A, TYPE_MX, TYPE_NS, TYPE_CNAME, TYPE_DS, TYPE_RRSIG, TYPE_NSEC, TYPE_ANY };
	static const struct policy policy = { .udp_size = 1232 };
	static uint8_t room[DNS_MAX_BYTES];
	for (unsigned i = 0; i < 2 * NAMES * sizeof(types) / sizeof(*types); i++) {
		struct query *q = &query[i / 2 % NAMES];
		enum transport transport = i % 2 ? OVER_TCP : OVER_UDP;
		q->type = types[i / 2 / NAMES];
		uint32_t limit = answer_limit(&policy, q, transport);
		uint8_t *exact = transport == OVER_UDP ? malloc(limit) : room;
		struct reply reply = { .wire = exact, .room = limit };
		if (!exact || answer_query(catalog, &policy, q, image, transport, &reply) != ANSWER_READY || reply.bytes > limit)
			abort();
		if (transport == OVER_UDP)
			free(exact);
	}
}

// How an input changes the image: one octet, two, four, or eight copied from elsewhere in it.
static void change(uint8_t *image, uint64_t bytes, const uint8_t *how)
{
	uint32_t where = load_be32(how), what = load_be32(how + 4);
	unsigned kind = where >> 30;
	uint64_t at = (where & 0x3fffffff) % bytes;
	if (kind == 0)
		image[at] = (uint8_t)what;
	else if (kind == 1)
		memcpy(image + at / 2 * 2, &(uint16_t){ (uint16_t)what }, 2);
	else if (kind == 2)
		memcpy(image + at / 4 * 4, &what, 4);
	else
		memmove(image + at / 8 * 8, image + what % bytes / 8 * 8, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!catalog) {
		if (catalog_open_private(&catalog, 7) != ST_OK)
			abort();
		make_images();
		make_questions();
	}
	if (!size)
		return 0;
	const struct image *original = whole[data[0] % ZONES];
	uint8_t *image = aligned_alloc(64, original->bytes); // as large as it is, so that a sanitizer sees a step behind it
	if (!image)
		abort();
	memcpy(image, original, original->bytes);
	for (size_t at = 1; at + 8 <= size; at += 8)
		change(image, original->bytes, data + at);
	if (image_check(image, original->bytes) == ST_OK)
		ask((const struct image *)(const void *)image);
	free(image);
	return 0;
}
