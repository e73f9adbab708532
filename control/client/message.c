// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "message.h"

#define CHUNK_BYTES 4096
#define POINTER_MASK 0xc000u // RFC 1035 4.1.4
#define RR_FIXED_BYTES 10    // type, class, TTL, RDLENGTH
#define RR_LEAST_BYTES 11
#define PADDING_CODE 12

// Memory of one message: blocks that are freed together.
struct message_chunk {
	struct message_chunk *next;
	size_t used, room;
	uint8_t bytes[];
};

static uint8_t *take(struct message *m, size_t bytes)
{
	struct message_chunk *chunk = m->chunks;
	if (!chunk || chunk->room - chunk->used < bytes) {
		size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		chunk->room = room;
		chunk->used = 0;
		chunk->next = m->chunks;
		m->chunks = chunk;
	}
	uint8_t *at = chunk->bytes + chunk->used;
	chunk->used += bytes;
	return at;
}

void message_clear(struct message *m)
{
	while (m->chunks) {
		struct message_chunk *next = m->chunks->next;
		free(m->chunks);
		m->chunks = next;
	}
	free(m->rr);
	*m = (struct message){ 0 };
}

// Each pointer has to point before the labels it ends (RFC 1035 4.1.4: "a prior occurrence"), so the walk
// comes to an end.
size_t message_expand_name(uint8_t *to, const uint8_t *wire, size_t bytes, size_t at)
{
	size_t behind = 0, run_at = at;
	unsigned length = 0;
	while (at < bytes) {
		uint8_t label = wire[at];
		if (label >= POINTER_MASK >> 8) {
			if (at + 2 > bytes)
				return 0;
			if (!behind)
				behind = at + 2;
			at = load_be16(wire + at) & ~POINTER_MASK;
			if (at >= run_at)
				return 0;
			run_at = at;
			continue;
		}
		if (label > LABEL_MAX_BYTES || at + 1 + label > bytes || length + 1 + label > NAME_MAX_BYTES)
			return 0;
		memcpy(to + length, wire + at, label + 1u);
		length += label + 1u;
		at += label + 1u;
		if (label == 0)
			return behind ? behind : at;
	}
	return 0;
}

// Octets that a field of this kind takes at the front of `at`; 0: not known without its own rules; -1: not
// there as a whole.
static int field_span(uint8_t kind, const uint8_t *at, size_t left)
{
	static const uint8_t fixed[F_COUNT] = {
		[F_U8] = 1,
		[F_U16] = 2,
		[F_U32] = 4,
		[F_TTL] = 4,
		[F_IP4] = 4,
		[F_IP6] = 16,
		[F_TYPE] = 2,
		[F_TIME] = 4,
		[F_ALGORITHM] = 1,
		[F_CERT_TYPE] = 2,
	};
	size_t span = kind < F_COUNT ? fixed[kind] : 0;
	if (kind == F_STRING)
		span = left ? 1u + at[0] : 1;
	return span <= left ? (int)span : -1;
}

static bool is_name(uint8_t kind)
{
	return kind == F_NAME || kind == F_NAME_COMPRESSIBLE;
}

// The fields of that type: addresses are laid out for class IN alone, and what has no row goes through as
// it is (RFC 3597 3).
static const uint8_t *fields_of(uint16_t type, uint16_t class)
{
	static const uint8_t none[] = { F_END };
	const struct rrtype *row = rrtype_by_code(type);
	if (!row || (class != CLASS_IN && row->field[0] == F_IP4))
		return none;
	return row->field;
}

// RDATA with its names expanded. Pointers are followed in every known name (RFC 3597 4). `to` has room
// for two names more than there are octets. Returns the length, -1 when malformed.
static int expand_rdata(uint8_t *to, const uint8_t *wire, size_t at, size_t end, const uint8_t *field)
{
	const uint8_t *start = to;
	bool opaque = *field == F_END;
	for (unsigned names = 0; *field != F_END && !opaque; field++) {
		if (is_name(*field)) {
			size_t behind = names++ < 2 ? message_expand_name(to, wire, end, at) : 0;
			if (!behind)
				return -1;
			to += name_length(to, NAME_MAX_BYTES);
			at = behind;
			continue;
		}
		int span = field_span(*field, wire + at, end - at);
		if (span < 0)
			return -1;
		opaque = span == 0; // from here to the end
		memcpy(to, wire + at, (size_t)span);
		to += span;
		at += (size_t)span;
	}
	if (at > end || (at < end && !opaque))
		return -1;
	memcpy(to, wire + at, end - at);
	size_t length = (size_t)(to - start) + (end - at);
	return length <= UINT16_MAX ? (int)length : -1;
}

static const uint8_t *read_name(struct message *m, struct reader *r, enum status *status)
{
	uint8_t name[NAME_MAX_BYTES];
	size_t behind =
		message_expand_name(name, r->start, (size_t)(r->end - r->start), (size_t)(r->at - r->start));
	if (!behind) {
		*status = ST_SYNTAX;
		return NULL;
	}
	r->at = r->start + behind;
	unsigned length = name_length(name, NAME_MAX_BYTES);
	uint8_t *copy = take(m, length);
	if (!copy) {
		*status = ST_NO_MEMORY;
		return NULL;
	}
	memcpy(copy, name, length);
	return copy;
}

// RFC 6891 6.1.2: CLASS is the size, TTL holds extended rcode, version and flags.
static enum status read_opt(struct message *m, const struct message_rr *rr, enum section section)
{
	if (m->edns || section != SECTION_ADDITIONAL || rr->owner[0] != 0)
		return ST_SYNTAX;
	m->edns = true;
	m->udp_size = rr->class;
	m->rcode |= (uint16_t)(rr->ttl >> 24 << 4);
	return ST_OK;
}

static enum status read_rr(struct message *m, struct reader *r, enum section section)
{
	enum status status = ST_OK;
	struct message_rr rr = { .owner = read_name(m, r, &status) };
	if (!rr.owner)
		return status;
	rr.type = read_be16(r);
	rr.class = read_be16(r);
	rr.ttl = read_be32(r);
	uint16_t wire_bytes = read_be16(r);
	size_t at = (size_t)(r->at - r->start);
	if (!read_bytes(r, wire_bytes))
		return ST_SYNTAX;
	if (rr.type == TYPE_OPT)
		return read_opt(m, &rr, section);
	if (rr.ttl > TTL_MAX_S)
		rr.ttl = 0;
	const uint8_t *field = fields_of(rr.type, rr.class);
	uint8_t *rdata = take(m, wire_bytes + (*field == F_END ? 0u : 2u * NAME_MAX_BYTES));
	if (!rdata)
		return ST_NO_MEMORY;
	int length = expand_rdata(rdata, r->start, at, at + wire_bytes, field);
	if (length < 0)
		return ST_SYNTAX;
	if (*field != F_END) // give back what the names did not need
		m->chunks->used -= wire_bytes + 2u * NAME_MAX_BYTES - (unsigned)length;
	rr.rdata = rdata;
	rr.rdata_bytes = (uint16_t)length;
	m->rr[m->section_at[section + 1]++] = rr;
	return ST_OK;
}

static enum status read_sections(struct message *m, struct reader *r)
{
	enum status status = ST_OK;
	unsigned questions = load_be16(r->start + 4), total = 0;
	if (questions > 1)
		return ST_SYNTAX;
	if (questions == 1) {
		if (!(m->name = read_name(m, r, &status)))
			return status;
		m->type = read_be16(r);
		m->class = read_be16(r);
	}
	for (unsigned s = 0; s < SECTION_COUNT; s++)
		total += load_be16(r->start + 6 + 2 * s);
	if (total > reader_left(r) / RR_LEAST_BYTES) // nor allocate for records that cannot be there
		return ST_SYNTAX;
	if (total && !(m->rr = calloc(total, sizeof(*m->rr))))
		return ST_NO_MEMORY;
	for (unsigned s = 0; s < SECTION_COUNT; s++) {
		m->section_at[s + 1] = m->section_at[s];
		for (unsigned i = load_be16(r->start + 6 + 2 * s); i && status == ST_OK; i--)
			status = read_rr(m, r, (enum section)s);
	}
	if (status == ST_OK && (r->failed || reader_left(r)))
		status = ST_SYNTAX;
	return status;
}

enum status message_read(struct message *m, const uint8_t *wire, size_t bytes)
{
	*m = (struct message){ 0 };
	if (bytes < DNS_HEADER_BYTES || bytes > DNS_MAX_BYTES)
		return ST_SYNTAX;
	m->id = load_be16(wire);
	m->flags = load_be16(wire + 2);
	m->rcode = m->flags & FLAG_RCODE;
	struct reader r = reader_of(wire, bytes);
	r.at += DNS_HEADER_BYTES;
	enum status status = read_sections(m, &r);
	if (status != ST_OK)
		message_clear(m);
	return status;
}

// Goes behind a name.
static bool skip_name(struct reader *r, const uint8_t *wire, size_t bytes)
{
	uint8_t name[NAME_MAX_BYTES];
	size_t end = message_expand_name(name, wire, bytes, (size_t)(r->at - wire));
	if (end)
		r->at = wire + end;
	return end;
}

unsigned message_find_opt(const uint8_t *wire, size_t bytes, unsigned *at)
{
	if (bytes < DNS_HEADER_BYTES)
		return 0;
	struct reader r = reader_of(wire, bytes);
	r.at += DNS_HEADER_BYTES;
	for (unsigned i = load_be16(wire + 4); i--;) {
		if (!skip_name(&r, wire, bytes) || !read_bytes(&r, 4))
			return 0;
	}
	for (unsigned i = load_be16(wire + 6) + load_be16(wire + 8) + load_be16(wire + 10); i--;) {
		*at = (unsigned)(r.at - wire);
		if (!skip_name(&r, wire, bytes))
			return 0;
		uint16_t type = read_be16(&r);
		read_bytes(&r, 6);
		read_bytes(&r, read_be16(&r));
		if (r.failed)
			return 0;
		if (type == TYPE_OPT)
			return (unsigned)(r.at - wire) - *at;
	}
	return 0;
}

// The array has room for a power of two of records.
static bool make_room(struct message *m)
{
	unsigned count = m->section_at[SECTION_COUNT];
	if (count & (count - 1))
		return true;
	struct message_rr *rr = reallocarray(m->rr, count ? 2 * count : 1, sizeof(*rr));
	if (!rr)
		return false;
	m->rr = rr;
	return true;
}

enum status message_add(struct message *m, enum section section, const struct message_rr *rr)
{
	unsigned count = m->section_at[SECTION_COUNT], owner_bytes = name_length(rr->owner, NAME_MAX_BYTES);
	if (!owner_bytes || m->section_at[section + 1] != count)
		return ST_INVALID;
	uint8_t *copy = make_room(m) ? take(m, owner_bytes + rr->rdata_bytes) : NULL;
	if (!copy)
		return ST_NO_MEMORY;
	memcpy(copy, rr->owner, owner_bytes);
	if (rr->rdata_bytes)
		memcpy(copy + owner_bytes, rr->rdata, rr->rdata_bytes);
	m->rr[count] = *rr;
	m->rr[count].owner = copy;
	m->rr[count].rdata = copy + owner_bytes;
	for (unsigned s = section + 1u; s <= SECTION_COUNT; s++)
		m->section_at[s]++;
	return ST_OK;
}

static void write_opt(struct writer *out, uint16_t udp_size, uint16_t rcode, bool dnssec_ok)
{
	write_u8(out, 0);
	write_be16(out, TYPE_OPT);
	write_be16(out, udp_size);
	write_u8(out, (uint8_t)(rcode >> 4));
	write_u8(out, 0);			 // version
	write_be16(out, dnssec_ok ? 0x8000 : 0); // RFC 3225 3
	write_be16(out, 0);
}

unsigned message_write_query(uint8_t *to, uint16_t id, uint16_t flags, const uint8_t *question,
	unsigned question_bytes, uint16_t udp_size, bool dnssec_ok, unsigned pad_to)
{
	memset(to, 0, DNS_HEADER_BYTES);
	store_be16(to, id);
	store_be16(to + 2, flags);
	store_be16(to + 4, 1);
	store_be16(to + 10, udp_size ? 1 : 0);
	struct writer out = writer_of(to, QUERY_WIRE_BYTES);
	out.at += DNS_HEADER_BYTES;
	write_bytes(&out, question, question_bytes);
	if (udp_size)
		write_opt(&out, udp_size, 0, dnssec_ok);
	if (udp_size && pad_to > 1) { // RFC 7830 3
		unsigned bytes = (unsigned)writer_bytes(&out) + 4, padding = (pad_to - bytes % pad_to) % pad_to;
		store_be16(out.at - 2, (uint16_t)(4 + padding)); // RDLENGTH of the OPT
		write_be16(&out, PADDING_CODE);
		write_be16(&out, (uint16_t)padding);
		uint8_t *zeros = write_room(&out, padding);
		if (zeros)
			memset(zeros, 0, padding);
	}
	return (unsigned)writer_bytes(&out);
}

// One hash for each suffix, made from the root outwards. Returns the labels.
static unsigned hash_suffixes(uint16_t *hash, uint8_t *label_at, const uint8_t *name)
{
	unsigned labels = 0, at = 0;
	for (; name[at]; at += name[at] + 1u)
		label_at[labels++] = (uint8_t)at;
	uint32_t h = 5381;
	for (unsigned i = labels; i--;) {
		const uint8_t *label = name + label_at[i];
		for (unsigned j = 0; j <= label[0]; j++)
			h = (h ^ fold_byte(label[j])) * 16777619u;
		hash[i] = (uint16_t)(h >> 16);
	}
	return labels;
}

static const struct composer_name *find_name(const struct composer *c, const uint8_t *suffix, uint16_t hash)
{
	for (unsigned i = c->bucket[hash % COMPOSER_BUCKETS]; i; i = c->name[i - 1].older) {
		const struct composer_name *name = &c->name[i - 1];
		if (name->hash == hash && name_equal(name->suffix, suffix))
			return name;
	}
	return NULL;
}

static void remember_name(struct composer *c, const uint8_t *suffix, uint16_t hash, size_t at)
{
	if (c->names == COMPOSER_NAMES || at >= 0x4000)
		return;
	uint16_t *bucket = &c->bucket[hash % COMPOSER_BUCKETS];
	c->name[c->names] = (struct composer_name){ suffix, (uint16_t)at, hash, *bucket };
	*bucket = (uint16_t)++c->names;
}

static void forget_names(struct composer *c, unsigned names)
{
	while (c->names > names) {
		const struct composer_name *name = &c->name[--c->names];
		c->bucket[name->hash % COMPOSER_BUCKETS] = name->older;
	}
}

// RFC 1035 4.1.4: the longest suffix that stands earlier in the message becomes a pointer.
static void write_name(struct composer *c, const uint8_t *name)
{
	uint16_t hash[NAME_MAX_LABELS + 1];
	uint8_t label_at[NAME_MAX_LABELS + 1];
	unsigned labels = hash_suffixes(hash, label_at, name);
	for (unsigned i = 0; i < labels; i++) {
		const uint8_t *suffix = name + label_at[i];
		const struct composer_name *known = find_name(c, suffix, hash[i]);
		if (known) {
			write_be16(&c->out, (uint16_t)(POINTER_MASK | known->at));
			return;
		}
		size_t at = writer_bytes(&c->out);
		write_bytes(&c->out, suffix, suffix[0] + 1u);
		if (!c->out.failed)
			remember_name(c, suffix, hash[i], at);
	}
	write_u8(&c->out, 0);
}

// The names of RFC 1035 types compressed, all others as they are (RFC 3597 4).
static void write_rdata(struct composer *c, const struct message_rr *rr)
{
	const uint8_t *at = rr->rdata, *end = rr->rdata + rr->rdata_bytes;
	for (const uint8_t *field = fields_of(rr->type, rr->class); *field != F_END; field++) {
		size_t left = (size_t)(end - at);
		int span = is_name(*field) ? (int)name_length(at, left) : field_span(*field, at, left);
		if (span <= 0)
			break;
		if (*field == F_NAME_COMPRESSIBLE)
			write_name(c, at);
		else
			write_bytes(&c->out, at, (size_t)span);
		at += span;
	}
	write_bytes(&c->out, at, (size_t)(end - at));
}

bool composer_start(struct composer *c, uint8_t *wire, size_t room, uint16_t id, uint16_t flags,
	const uint8_t *question, unsigned question_bytes, bool edns)
{
	c->out = writer_of(wire, room);
	c->names = 0;
	c->edns = edns;
	memset(c->bucket, 0, sizeof(c->bucket));
	memset(c->counts, 0, sizeof(c->counts));
	if (room < DNS_HEADER_BYTES + question_bytes + (edns ? OPT_BYTES : 0u))
		return false;
	write_be16(&c->out, id);
	write_be16(&c->out, flags);
	write_be16(&c->out, question_bytes ? 1 : 0);
	write_bytes(&c->out, "\0\0\0\0\0", 6);
	write_bytes(&c->out, question, question_bytes);
	if (question_bytes) {
		uint16_t hash[NAME_MAX_LABELS + 1];
		uint8_t label_at[NAME_MAX_LABELS + 1];
		unsigned labels = hash_suffixes(hash, label_at, question);
		for (unsigned i = 0; i < labels; i++)
			remember_name(c, question + label_at[i], hash[i], DNS_HEADER_BYTES + label_at[i]);
	}
	if (edns)
		c->out.end -= OPT_BYTES;
	return true;
}

bool composer_add(struct composer *c, enum section section, const struct message_rr *rr)
{
	uint8_t *start = c->out.at;
	unsigned names = c->names;
	write_name(c, rr->owner);
	write_be16(&c->out, rr->type);
	write_be16(&c->out, rr->class);
	write_be32(&c->out, rr->ttl);
	uint8_t *length = write_room(&c->out, 2);
	write_rdata(c, rr);
	if (c->out.failed) {
		c->out.at = start;
		c->out.failed = false;
		forget_names(c, names);
		return false;
	}
	store_be16(length, (uint16_t)(c->out.at - length - 2));
	c->counts[section]++;
	return true;
}

static bool same_rrset(const struct message_rr *a, const struct message_rr *b)
{
	return a->type == b->type && a->class == b->class && name_equal(a->owner, b->owner);
}

bool composer_add_all(struct composer *c, enum section section, const struct message_rr *rr, unsigned count,
	bool (*wanted)(const void *ctx, const struct message_rr *), const void *ctx)
{
	for (unsigned first = 0, next; first < count; first = next) {
		uint8_t *start = c->out.at;
		unsigned names = c->names;
		uint16_t before = c->counts[section];
		bool skip = wanted && !wanted(ctx, &rr[first]);
		for (next = first; next < count && same_rrset(&rr[first], &rr[next]); next++) {
			if (skip || composer_add(c, section, &rr[next]))
				continue;
			c->out.at = start;
			c->counts[section] = before;
			forget_names(c, names);
			return false;
		}
	}
	return true;
}

void composer_set_flags(struct composer *c, uint16_t flags)
{
	store_be16(c->out.start + 2, load_be16(c->out.start + 2) | flags);
}

unsigned composer_end(struct composer *c, uint16_t udp_size, uint16_t rcode, bool dnssec_ok)
{
	if (c->edns) {
		c->out.end += OPT_BYTES;
		write_opt(&c->out, udp_size, rcode, dnssec_ok);
	}
	for (unsigned s = 0; s < SECTION_COUNT; s++)
		store_be16(c->out.start + 6 + 2 * s,
			(uint16_t)(c->counts[s] + (c->edns && s == SECTION_ADDITIONAL)));
	return (unsigned)writer_bytes(&c->out);
}
