// SPDX-License-Identifier: BSD-3-Clause
// The chains of a signed zone, put in order and judged: NSEC (RFC 4034 4) by name, NSEC3 (RFC 5155 3) by hash.
#include <stdlib.h>
#include <string.h>

#include <pollux/bytes.h>
#include <pollux/rrtype.h>

#include "builder.h"
#include "denial.h"

#define HASH_ALGORITHM_SHA1 1 // RFC 5155 11
#define HASH_TEXT_BYTES 32    // 20 octets in base32hex

static int compare_links(const void *a, const void *b)
{
	const struct draft_link *x = a, *y = b;
	return memcmp(x->place, y->place, sizeof(x->place));
}

// qsort() has no context: names are compared by their keys first, and equal runs sorted once more.
static int compare_names(const void *a, const void *b, void *ctx)
{
	const struct zone_builder *builder = ctx;
	const struct draft_link *i = a, *k = b;
	uint8_t x[NAME_MAX_BYTES], y[NAME_MAX_BYTES];
	return name_compare(draft_wire(builder, &builder->names[i->name], x), draft_wire(builder, &builder->names[k->name], y));
}

static uint64_t key_of(const struct zone_builder *b, uint32_t index, unsigned skip)
{
	struct folded_name name;
	uint8_t wire[NAME_MAX_BYTES];
	name_prepare(&name, draft_wire(b, &b->names[index], wire), b->names[index].bytes, 0);
	return canonical_key(&name, b->names[0].labels, skip);
}

static uint64_t link_key(const struct draft_link *link)
{
	uint64_t key;
	memcpy(&key, link->place, sizeof(key));
	return __builtin_bswap64(key);
}

static void set_key(struct draft_link *link, uint64_t key)
{
	key = __builtin_bswap64(key);
	memset(link->place, 0, sizeof(link->place));
	memcpy(link->place, &key, sizeof(key));
}

static void sort_nsec(struct zone_builder *b)
{
	struct draft_chain *chain = &b->nsec;
	qsort(chain->link, chain->count, sizeof(*chain->link), compare_links);
	for (uint32_t i = 0, end; i < chain->count; i = end) {
		for (end = i + 1; end < chain->count && link_key(&chain->link[end]) == link_key(&chain->link[i]);)
			end++;
		if (end - i > 1)
			qsort_r(&chain->link[i], end - i, sizeof(*chain->link), compare_names, b);
	}
}

// Octets that all names but the apex begin with, in canonical order: they would only blunt the keys.
static unsigned common_octets(const struct draft_chain *chain)
{
	if (chain->count < 3)
		return 0;
	uint64_t difference = link_key(&chain->link[1]) ^ link_key(&chain->link[chain->count - 1]);
	return difference ? (unsigned)__builtin_clzll(difference) / 8 : 8;
}

static void order_nsec(struct zone_builder *b)
{
	struct draft_chain *chain = &b->nsec;
	for (uint32_t i = 0; i < chain->count; i++)
		set_key(&chain->link[i], key_of(b, chain->link[i].name, 0));
	sort_nsec(b);
	// One step is enough: names that share more than eight octets are told apart by comparing them.
	chain->skip = (uint16_t)common_octets(chain);
	for (uint32_t i = 0; i < chain->count; i++)
		set_key(&chain->link[i], i ? key_of(b, chain->link[i].name, chain->skip) : 0);
}

static enum status add_link(struct draft_chain *chain, uint32_t name)
{
	if (chain->count == chain->room) {
		uint32_t room = chain->room ? chain->room * 2 : 64;
		struct draft_link *link = reallocarray(chain->link, room, sizeof(*link));
		if (!link)
			return ST_NO_MEMORY;
		chain->link = link;
		chain->room = room;
	}
	chain->link[chain->count++] = (struct draft_link){ .name = name };
	return ST_OK;
}

static void warn(struct zone_builder *b, const struct draft_record *record, const struct draft_name *name,
	const char *sentence)
{
	char text[NAME_TEXT_BYTES];
	report_at(b->report, SEVERITY_WARNING, builder_file(b, record), builder_line(b, record), 1, "%s: %s",
		draft_text(b, name, text), sentence);
}

// RFC 4034 4.1.1: the next name is that of the next link, and the last one's is the apex.
static void check_nsec(struct zone_builder *b)
{
	const struct draft_chain *chain = &b->nsec;
	for (uint32_t i = 0; i < chain->count; i++) {
		const struct draft_name *name = &b->names[chain->link[i].name];
		const struct draft_name *next = &b->names[chain->link[i + 1 < chain->count ? i + 1 : 0].name];
		const struct draft_record *record = draft_first(name, TYPE_NSEC);
		uint8_t wire[NAME_MAX_BYTES];
		if (!name_equal(record->rdata, draft_wire(b, next, wire)))
			warn(b, record, name, "the next name of this NSEC is not that of the next link of the chain");
	}
}

bool draft_is_of_chain(const struct draft_chain *chain, const struct draft_record *record)
{
	const uint8_t *rdata = record->rdata;
	return record->type == TYPE_NSEC3 && !record->ignored && record->rdata_bytes > 5u + chain->salt_bytes &&
		rdata[0] == HASH_ALGORITHM_SHA1 && load_be16(rdata + 2) == chain->iterations &&
		rdata[4] == chain->salt_bytes && memcmp(rdata + 5, chain->salt, chain->salt_bytes) == 0;
}

// The hash that an NSEC3 owner's first label spells in base32hex (RFC 4648 7). False: it does not.
static bool hash_of_label(uint8_t hash[20], const uint8_t *label)
{
	if (label[0] != HASH_TEXT_BYTES)
		return false;
	memset(hash, 0, 20);
	for (unsigned i = 0; i < HASH_TEXT_BYTES; i++) {
		uint8_t c = label[1 + i];
		unsigned value = c >= '0' && c <= '9' ? c - (unsigned)'0' : c >= 'a' && c <= 'v' ? c - (unsigned)'a' + 10 : 99;
		if (value > 31)
			return false;
		for (unsigned bit = 0; bit < 5; bit++) {
			unsigned at = i * 5 + bit;
			hash[at / 8] |= (uint8_t)((value >> (4 - bit) & 1) << (7 - at % 8));
		}
	}
	return true;
}

// RFC 5155 4: the parameters that the apex announces. False: none that we know.
static bool take_parameters(struct zone_builder *b)
{
	const struct draft_record *param = draft_first(&b->names[0], TYPE_NSEC3PARAM);
	if (!param || param->rdata_bytes < 5 || param->rdata[0] != HASH_ALGORITHM_SHA1)
		return false;
	b->nsec3.iterations = load_be16(param->rdata + 2);
	b->nsec3.salt_bytes = param->rdata[4];
	b->nsec3.salt = param->rdata + 5;
	if (b->nsec3.iterations > NSEC3_ITERATIONS_MAX)
		report_at(b->report, SEVERITY_ERROR, builder_file(b, param), builder_line(b, param), 1,
			"NSEC3 with %u iterations: at most %u are served (RFC 9276 3.1 asks for 0)", b->nsec3.iterations,
			NSEC3_ITERATIONS_MAX);
	return b->nsec3.iterations <= NSEC3_ITERATIONS_MAX;
}

static enum status collect_nsec3(struct zone_builder *b)
{
	for (uint32_t i = 1; i < b->name_count; i++) {
		struct draft_name *name = &b->names[i];
		if (name->occluded || name->parent != 0)
			continue;
		for (const struct draft_record *r = name->first; r; r = r->next) {
			if (!draft_is_of_chain(&b->nsec3, r))
				continue;
			uint8_t hash[20];
			if (!hash_of_label(hash, name->own)) {
				warn(b, r, name, "the owner of this NSEC3 is no hash: ignored");
				break;
			}
			if (add_link(&b->nsec3, i) != ST_OK)
				return ST_NO_MEMORY;
			memcpy(b->nsec3.link[b->nsec3.count - 1].place, hash, sizeof(hash));
			break;
		}
	}
	if (b->nsec3.count)
		qsort(b->nsec3.link, b->nsec3.count, sizeof(*b->nsec3.link), compare_links);
	return ST_OK;
}

// RFC 5155 3.1.7: the next hash is that of the next link, round the circle.
static void check_nsec3(struct zone_builder *b)
{
	const struct draft_chain *chain = &b->nsec3;
	for (uint32_t i = 0; i < chain->count; i++) {
		const struct draft_link *next = &chain->link[i + 1 < chain->count ? i + 1 : 0];
		const struct draft_name *name = &b->names[chain->link[i].name];
		for (const struct draft_record *r = name->first; r; r = r->next) {
			unsigned at = 5u + chain->salt_bytes;
			if (draft_is_of_chain(chain, r) && (r->rdata_bytes < at + 21u || r->rdata[at] != 20 ||
				memcmp(r->rdata + at + 1, next->place, 20) != 0))
				warn(b, r, name, "the next hash of this NSEC3 is not that of the next link of the chain");
		}
	}
}

// A name that only NSEC3 records give rise to does not exist, RFC 5155 7.2.8.
static void mark_hashed(struct zone_builder *b)
{
	for (uint32_t i = 1; i < b->name_count; i++) {
		struct draft_name *name = &b->names[i];
		bool hashed = false, other = false;
		for (const struct draft_record *r = name->first; r; r = r->next) {
			if (draft_rrset_type(r) == TYPE_NSEC3)
				hashed = true;
			else if (!r->ignored)
				other = true;
		}
		name->hashed = hashed && !other && !name->has_child;
	}
}

enum status builder_make_chains(struct zone_builder *b)
{
	if (b->has_nsec3)
		mark_hashed(b);
	if (!draft_first(&b->names[0], TYPE_DNSKEY))
		return ST_OK;
	for (uint32_t i = 0; i < b->name_count; i++) {
		const struct draft_name *name = &b->names[i];
		if (!name->occluded && draft_first(name, TYPE_NSEC) && add_link(&b->nsec, i) != ST_OK)
			return ST_NO_MEMORY;
	}
	if (b->nsec.count && draft_first(&b->names[0], TYPE_NSEC)) {
		order_nsec(b);
		check_nsec(b);
	} else {
		b->nsec.count = 0;
		if (take_parameters(b) && collect_nsec3(b) != ST_OK)
			return ST_NO_MEMORY;
		check_nsec3(b);
	}
	return ST_OK;
}
