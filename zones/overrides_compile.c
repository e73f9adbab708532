// SPDX-License-Identifier: BSD-3-Clause
// Rules -> the block that questions are looked up in. All rules of one name, or of patterns that differ in their numbers
// alone, share a node; what a hit needs lies behind its node in the order in which it is read.
#include <stdlib.h>
#include <string.h>

#include <pollux/bytes.h>
#include <pollux/rrtype.h>

#include "overrides.h"
#include "sections.h"

#define NODES_PER_BUCKET 4 // of eight slots: one bucket in twenty is full, so nearly every miss reads one line
#define BLOCK_ALIGN 64

struct keyed {
	uint64_t hash;
	const struct rule *rule;
};

struct compiler {
	const struct override_rules *rules;
	uint64_t seed;
	uint8_t *base;
	uint64_t bytes, room;
	struct report *report;
	bool no_memory, full;
	struct overrides head;
};

// Room of zeros, aligned to 8 octets; its ref.
static uint32_t add(struct compiler *c, size_t bytes)
{
	uint64_t at = c->bytes, end = at + ((bytes + 7) & ~(size_t)7);
	if (end > IMAGE_MAX_BYTES)
		c->full = true;
	if (end > c->room && !c->full && !c->no_memory) {
		uint64_t room = end * 2 < 4096 ? 4096 : end * 2;
		uint8_t *more = realloc(c->base, room);
		c->no_memory = !more;
		if (more) {
			memset(more + c->room, 0, room - c->room);
			c->base = more;
			c->room = room;
		}
	}
	if (c->no_memory || c->full)
		return 0;
	c->bytes = end;
	return (uint32_t)(at / 8);
}

static void *at(const struct compiler *c, uint32_t ref)
{
	return c->base + (uint64_t)ref * 8;
}

static uint32_t add_copy(struct compiler *c, const void *from, size_t bytes)
{
	uint32_t ref = bytes ? add(c, bytes) : 0;
	if (ref)
		memcpy(at(c, ref), from, bytes);
	return ref;
}

// --- the parts of a rule ---

// Octets of the record as it goes out, when numbers are all that stands in it.
static size_t ready_bytes(const struct rule_record *record)
{
	size_t bytes = 12u + record->bytes;
	for (unsigned i = 0; i < record->piece_count; i++)
		bytes += piece_bytes(&record->pieces[i]);
	return bytes;
}

// Octets of all records; 0: they depend on the name.
static size_t fixed_bytes(const struct rule *rule)
{
	size_t bytes = 0;
	for (; rule; rule = rule->next) {
		for (unsigned i = 0; i < rule->record_count; i++) {
			const struct rule_record *record = &rule->records[i];
			for (unsigned k = 0; k < record->piece_count; k++) {
				if (!piece_bytes(&record->pieces[k]))
					return 0;
			}
			bytes += ready_bytes(record);
		}
	}
	return bytes;
}

// Zeros stand for its numbers, whose places go to `fill`; returns behind these.
static struct override_piece *write_ready(struct writer *w, const struct rule *first, const struct rule_record *record,
	struct override_piece *fill)
{
	const struct override_piece *piece = record->pieces, *end = piece + record->piece_count;
	unsigned done = 0;
	write_be16(w, 0xc000 | DNS_HEADER_BYTES);
	write_be16(w, first->written_type);
	write_be16(w, CLASS_IN);
	write_be32(w, first->ttl_s);
	write_be16(w, (uint16_t)(ready_bytes(record) - 12));
	for (; piece < end; done = piece->at, piece++) {
		write_bytes(w, record->rdata + done, piece->at - done);
		*fill = *piece;
		fill++->at = (uint16_t)writer_bytes(w);
		write_bytes(w, "\0\0\0", piece_bytes(piece));
	}
	write_bytes(w, record->rdata + done, record->bytes - done);
	return fill;
}

static void add_ready(struct compiler *c, const struct rule *first, size_t bytes, struct override_rule *to)
{
	unsigned fills = 0;
	for (const struct rule *rule = first; rule; rule = rule->next) {
		to->count = (uint16_t)(to->count + rule->record_count);
		for (unsigned i = 0; i < rule->record_count; i++)
			fills += rule->records[i].piece_count;
	}
	to->bytes = (uint16_t)bytes;
	to->fill_count = (uint16_t)fills;
	to->data_ref = add(c, bytes);
	to->fills_ref = fills ? add(c, fills * sizeof(struct override_piece)) : 0;
	if (!to->data_ref || (fills && !to->fills_ref))
		return;
	struct writer w = writer_of(at(c, to->data_ref), bytes);
	struct override_piece *fill = at(c, to->fills_ref);
	for (const struct rule *rule = first; rule; rule = rule->next) {
		for (unsigned i = 0; i < rule->record_count; i++)
			fill = write_ready(&w, first, &rule->records[i], fill);
	}
	to->sum = ones_sum(w.start, bytes);
}

static void add_captured(struct compiler *c, const struct rule *first, struct override_rule *to)
{
	for (const struct rule *rule = first; rule; rule = rule->next)
		to->count = (uint16_t)(to->count + rule->record_count);
	to->data_ref = add(c, to->count * sizeof(struct override_record));
	unsigned n = 0;
	for (const struct rule *rule = first; rule; rule = rule->next) {
		for (unsigned i = 0; i < rule->record_count; i++, n++) {
			const struct rule_record *from = &rule->records[i];
			struct override_record record = { .bytes = from->bytes, .piece_count = from->piece_count };
			record.data_ref = add_copy(c, from->rdata, from->bytes);
			record.pieces_ref = add_copy(c, from->pieces, from->piece_count * sizeof(*from->pieces));
			if (to->data_ref)
				((struct override_record *)at(c, to->data_ref))[n] = record;
		}
	}
}

static struct override_rule make_rule(struct compiler *c, const struct rule *rule)
{
	struct override_rule to = { .type = rule->type, .action = rule->action, .flags = rule->flags,
		.ttl_s = rule->ttl_s, .number = rule->number };
	if (rule->pattern)
		to.pattern_ref = add_copy(c, rule->pattern, pattern_bytes(rule->pattern));
	if (rule->action > OVERRIDE_ALIAS)
		return to;
	size_t bytes = fixed_bytes(rule);
	if (bytes)
		add_ready(c, rule, bytes, &to);
	else
		add_captured(c, rule, &to);
	return to;
}

// --- nodes ---

static uint64_t hash_of(const struct compiler *c, const struct rule *rule)
{
	struct folded_name name;
	const struct override_pattern *p = rule->pattern;
	if (!p) {
		name_prepare(&name, rule->name, rule->name_bytes, c->seed);
		return name.hash[name.labels];
	}
	struct skeleton skeletons[OVERRIDE_SHAPES];
	const uint8_t *code = pattern_code(p);
	for (unsigned label = 0; label < p->labels; label++) {
		uint8_t sample[1 + LABEL_MAX_BYTES + 16];
		unsigned bytes = 0;
		for (; *code != CODE_END; code++) {
			if (*code >= CODE_CAPTURE) {
				sample[++bytes] = DIGITS_MARK;
				continue;
			}
			memcpy(sample + 1 + bytes, code + 1, *code);
			bytes += *code;
			code += *code;
		}
		code++;
		sample[0] = (uint8_t)bytes;
		skeletons[label] = skeleton_of(sample);
	}
	uint64_t hash = c->seed;
	if (p->suffix_bytes) {
		name_prepare(&name, pattern_suffix(p), p->suffix_bytes, c->seed);
		hash = name.hash[name.labels];
	}
	return pattern_key(hash, p->suffix_bytes != 0, skeletons, p->labels);
}

// Rules of a node side by side: those of the name before those of what lies below, one type before every type, then in
// the order of reading.
static int compare(const void *x, const void *y)
{
	const struct keyed *a = x, *b = y;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	const struct rule *r = a->rule, *s = b->rule;
	if (!r->pattern != !s->pattern)
		return r->pattern ? 1 : -1;
	if (!r->pattern) {
		if (r->name_bytes != s->name_bytes)
			return r->name_bytes < s->name_bytes ? -1 : 1;
		int order = memcmp(r->name, s->name, r->name_bytes);
		if (order)
			return order;
		if (r->below != s->below)
			return r->below ? 1 : -1;
	}
	if (!r->type != !s->type)
		return r->type ? -1 : 1;
	return r->number < s->number ? -1 : r->number > s->number;
}

static bool share_node(const struct keyed *a, const struct keyed *b)
{
	const struct rule *r = a->rule, *s = b->rule;
	if (a->hash != b->hash || !r->pattern != !s->pattern)
		return false;
	return r->pattern || (r->name_bytes == s->name_bytes && memcmp(r->name, s->name, r->name_bytes) == 0);
}

static void note_first(struct compiler *c, uint8_t octet)
{
	c->head.pattern_firsts[octet >> 6] |= UINT64_C(1) << (octet & 63);
}

static void note_start(struct compiler *c, const struct override_pattern *p)
{
	const uint8_t *code = pattern_code(p);
	bool digits = *code >= CODE_CAPTURE || (code[1] >= '0' && code[1] <= '9');
	if (!digits)
		note_first(c, code[1]); // of the literal that it begins with
	for (uint8_t digit = '0'; digits && digit <= '9'; digit++)
		note_first(c, digit);
}

static void note_place(struct compiler *c, const struct rule *rule)
{
	if (rule->pattern) {
		note_start(c, rule->pattern);
		uint8_t shape = (uint8_t)(1u << (rule->pattern->labels - 1));
		*(rule->pattern->suffix_bytes ? &c->head.whole_shapes : &c->head.relative_shapes) |= shape;
		return;
	}
	*(rule->below ? &c->head.suffix_depths : &c->head.exact_depths) |= depth_bit(name_labels(rule->name));
}

static uint32_t add_node(struct compiler *c, const struct keyed *keyed, unsigned count)
{
	const struct rule *rule = keyed->rule;
	uint32_t ref = add(c, sizeof(struct override_node) + rule->name_bytes);
	uint32_t rules_ref = add(c, count * sizeof(struct override_rule));
	struct override_node node = { .hash = keyed->hash, .rules_ref = rules_ref, .name_bytes = rule->name_bytes,
		.kind = rule->pattern ? OVERRIDE_PATTERN : OVERRIDE_NAME };
	for (unsigned i = 0; i < count; i++) {
		struct override_rule made = make_rule(c, keyed[i].rule);
		if (rules_ref && !c->no_memory && !c->full)
			((struct override_rule *)at(c, rules_ref))[i] = made;
		keyed[i].rule->below ? node.below_count++ : node.own_count++;
		note_place(c, keyed[i].rule);
	}
	if (!ref)
		return 0;
	memcpy(at(c, ref), &node, sizeof(node));
	if (rule->name_bytes)
		memcpy(((struct override_node *)at(c, ref))->name, rule->name, rule->name_bytes);
	return ref;
}

static void enter(struct compiler *c, uint64_t hash, uint32_t ref)
{
	struct image_bucket *buckets = at(c, c->head.buckets_ref);
	uint32_t index = (uint32_t)((hash >> 32) * c->head.bucket_count >> 32);
	unsigned slot;
	for (;;) {
		for (slot = 0; slot < 8 && buckets[index].tag[slot]; slot++)
			;
		if (slot < 8)
			break;
		if (++index == c->head.bucket_count)
			index = 0;
	}
	buckets[index].tag[slot] = image_tag(hash);
	buckets[index].node_ref[slot] = ref;
}

static unsigned count_nodes(const struct keyed *keyed, unsigned count)
{
	unsigned nodes = 0;
	for (unsigned i = 0; i < count; i++)
		nodes += i == 0 || !share_node(&keyed[i - 1], &keyed[i]);
	return nodes;
}

// A question would try them one by one, so there must not be many.
static void refuse_crowd(struct compiler *c, const struct rule *rule)
{
	c->full = true;
	report_at(c->report, SEVERITY_ERROR, rule->file, rule->line, 0,
		"more than %u rules for names that differ in their numbers alone, or for types of one name: '%s'; a capture in the place of these numbers makes one rule of many",
		OVERRIDE_ALIKE_MAX, rule->name_text);
}

static void add_nodes(struct compiler *c, const struct keyed *keyed, unsigned count)
{
	for (unsigned i = 0, more; i < count && !c->no_memory && !c->full; i += more) {
		for (more = 1; i + more < count && share_node(&keyed[i], &keyed[i + more]); more++)
			;
		if (more > (keyed[i].rule->pattern ? OVERRIDE_ALIKE_MAX : UINT16_MAX))
			refuse_crowd(c, keyed[i + OVERRIDE_ALIKE_MAX].rule);
		uint32_t ref = add_node(c, &keyed[i], more);
		if (ref && !c->no_memory && !c->full)
			enter(c, keyed[i].hash, ref);
	}
}

static enum status build(struct compiler *c, const struct keyed *keyed, unsigned count)
{
	add(c, sizeof(struct overrides));
	c->bytes = (c->bytes + BLOCK_ALIGN - 1) & ~(uint64_t)(BLOCK_ALIGN - 1);
	c->head.nodes = count_nodes(keyed, count);
	c->head.bucket_count = c->head.nodes / NODES_PER_BUCKET + 1;
	c->head.buckets_ref = add(c, (uint64_t)c->head.bucket_count * sizeof(struct image_bucket));
	if (c->head.buckets_ref)
		add_nodes(c, keyed, count);
	if (c->no_memory)
		return ST_NO_MEMORY;
	return c->full ? ST_FULL : ST_OK;
}

static struct keyed *sort_rules(const struct compiler *c, unsigned *count)
{
	struct keyed *keyed = calloc(c->rules->count + 1, sizeof(*keyed));
	*count = 0;
	for (unsigned i = 0; keyed && i < c->rules->count; i++) {
		const struct rule *rule = c->rules->rules[i];
		if (rule->first)
			keyed[(*count)++] = (struct keyed){ hash_of(c, rule), rule };
	}
	if (keyed)
		qsort(keyed, *count, sizeof(*keyed), compare);
	return keyed;
}

enum status override_rules_compile(const struct override_rules *rules, uint64_t seed, bool before_clients,
	struct report *report, void **block, uint64_t *bytes)
{
	struct compiler c = { .rules = rules, .seed = seed, .report = report };
	unsigned count;
	struct keyed *keyed = sort_rules(&c, &count);
	if (!keyed)
		return ST_NO_MEMORY;
	enum status status = build(&c, keyed, count);
	free(keyed);
	*bytes = (c.bytes + READ_BEHIND + BLOCK_ALIGN - 1) & ~(uint64_t)(BLOCK_ALIGN - 1);
	*block = status == ST_OK ? aligned_alloc(BLOCK_ALIGN, *bytes) : NULL;
	if (*block) {
		c.head.magic = OVERRIDES_MAGIC;
		c.head.format = OVERRIDES_FORMAT;
		c.head.bytes = *bytes;
		c.head.hash_seed = seed;
		c.head.rules = rules->count;
		c.head.before_clients = before_clients;
		memcpy(c.base, &c.head, sizeof(c.head));
		memset(*block, 0, *bytes);
		memcpy(*block, c.base, c.bytes);
	} else if (status == ST_OK) {
		status = ST_NO_MEMORY;
	}
	free(c.base);
	return status;
}
