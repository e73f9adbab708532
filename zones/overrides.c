// SPDX-License-Identifier: BSD-3-Clause
// Questions and rules: the look-up, the records of a hit, and the check of a block before it is trusted.
#include <pollux/bytes.h>
#include <pollux/rrtype.h>

#include "bucket.h"
#include "overrides.h"

static bool is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') < 10;
}

bool skeleton_of(struct skeleton *s, const uint8_t *label)
{
	unsigned at = 0;
	bool found = false;
	for (unsigned i = 1; i <= *label; i++) {
		bool digit = is_digit(label[i]);
		if (!digit || i == 1 || !is_digit(label[i - 1]))
			s->label[++at] = digit ? DIGITS_MARK : label[i];
		found |= digit;
	}
	s->label[0] = (uint8_t)at;
	return found;
}

// --- the look-up ---

static const struct image_bucket *bucket_of(const struct overrides *o, uint64_t hash)
{
	const struct image_bucket *buckets = overrides_at(o, o->buckets_ref);
	return &buckets[(uint32_t)((hash >> 32) * o->bucket_count >> 32)];
}

static bool node_is(const struct override_node *node, uint64_t hash, const uint8_t *name, unsigned bytes)
{
	return node->hash == hash && node->name_bytes == bytes && (!bytes || memcmp(node->name, name, bytes) == 0);
}

// Of a name, or of patterns (0 octets).
static const struct override_node *search(const struct overrides *o, uint64_t hash, const uint8_t *name, unsigned bytes)
{
	const struct image_bucket *buckets = overrides_at(o, o->buckets_ref), *bucket = bucket_of(o, hash);
	for (;;) {
		for (unsigned slots = slots_with(bucket, image_tag(hash)); slots; slots &= slots - 1) {
			const struct override_node *node = overrides_at(o, bucket->node_ref[__builtin_ctz(slots)]);
			if (node_is(node, hash, name, bytes))
				return node;
		}
		if (bucket->tag[7] == 0) // slots are filled from the left
			return NULL;
		if (++bucket == buckets + o->bucket_count)
			bucket = buckets;
	}
}

static const struct override_node *search_name(const struct overrides *o, const struct folded_name *name, unsigned depth)
{
	unsigned at = name->label_at[depth];
	return search(o, name->hash[depth], name->wire + at, name->bytes - at);
}

void overrides_prefetch(const struct overrides *o, const struct folded_name *name)
{
	uint64_t depths = o->suffix_depths & ((depth_bit(name->labels) << 1) - 1);
	depths |= (o->exact_depths | o->suffix_depths) & depth_bit(name->labels);
	for (; depths; depths &= depths - 1)
		__builtin_prefetch(bucket_of(o, name->hash[__builtin_ctzll(depths)]));
}

// RFC 8482 4.1: what stands for one type is a good answer to ANY, but a word about one type says nothing about all.
static bool is_about(const struct override_rule *rule, uint16_t type)
{
	return rule->type == type || rule->type == 0 || (type == TYPE_ANY && rule->action == OVERRIDE_RECORDS);
}

static const struct override_rule *own_rules(const struct overrides *o, const struct override_node *node)
{
	return overrides_at(o, node->rules_ref);
}

static bool hit_own(const struct overrides *o, const struct override_node *node, uint16_t type, struct override_hit *hit)
{
	const struct override_rule *rule = own_rules(o, node);
	for (unsigned i = 0; i < node->own_count; i++) {
		if (!is_about(&rule[i], type))
			continue;
		hit->rule = &rule[i];
		return true;
	}
	return false;
}

static bool hit_below(const struct overrides *o, const struct override_node *node, uint16_t type, bool self,
	struct override_hit *hit)
{
	const struct override_rule *rule = own_rules(o, node) + node->own_count;
	for (unsigned i = 0; i < node->below_count; i++) {
		if (!is_about(&rule[i], type) || (self && !(rule[i].flags & OVERRIDE_SELF)))
			continue;
		hit->rule = &rule[i];
		return true;
	}
	return false;
}

// The digits at `at`, all of them but `tail`. Returns the octet behind the number; 0: they are no number of this kind.
static unsigned take_number(const struct override_capture *capture, const uint8_t *wire, unsigned at, unsigned end,
	uint32_t *value)
{
	unsigned digits = capture->width;
	if (!digits) {
		while (at + digits < end && is_digit(wire[at + digits]))
			digits++;
		if (digits <= capture->tail || digits - capture->tail > OVERRIDE_DIGITS_MAX)
			return 0;
		digits -= capture->tail;
	}
	if (at + digits > end)
		return 0;
	uint64_t number = 0;
	for (unsigned i = 0; i < digits; i++) {
		if (!is_digit(wire[at + i]))
			return 0;
		number = number * 10 + (uint64_t)(wire[at + i] - '0');
	}
	if (number < capture->min || number > capture->max)
		return 0;
	*value = (uint32_t)number;
	return at + digits;
}

static bool suffix_fits(const struct override_pattern *p, const struct folded_name *name)
{
	unsigned at = name->label_at[name->labels - p->labels];
	return !p->suffix_bytes ||
		(name->bytes - at == p->suffix_bytes && memcmp(name->wire + at, pattern_suffix(p), p->suffix_bytes) == 0);
}

// The name has at least as many labels as the pattern.
static bool fits(const struct override_pattern *p, const struct folded_name *name, struct override_hit *hit)
{
	const uint8_t *code = pattern_code(p), *code_end = code + p->code_bytes, *wire = name->wire;
	unsigned at = 1, end = 1u + wire[0];
	while (code < code_end) {
		unsigned op = *code++;
		if (op < CODE_LITERAL) {
			if (at + op > end || memcmp(wire + at, code, op) != 0)
				return false;
			at += op;
			code += op;
		} else if (op == CODE_END) {
			if (at != end)
				return false;
			end = at + 1u + wire[at];
			at++;
		} else {
			unsigned n = op - CODE_CAPTURE, from = at;
			at = take_number(&p->capture[n], wire, at, end, &hit->value[n]);
			if (!at)
				return false;
			hit->digits_at[n] = (uint8_t)from;
			hit->digits[n] = (uint8_t)(at - from);
		}
	}
	return suffix_fits(p, name);
}

static bool hit_pattern(const struct overrides *o, const struct override_node *node, const struct folded_name *name,
	uint16_t type, struct override_hit *hit)
{
	const struct override_rule *rule = own_rules(o, node);
	for (unsigned i = 0; i < node->own_count; i++) {
		const struct override_pattern *pattern = overrides_at(o, rule[i].pattern_ref);
		if (!is_about(&rule[i], type) || pattern->labels > name->labels || !fits(pattern, name, hit))
			continue;
		hit->rule = &rule[i];
		return true;
	}
	return false;
}

// Keys are made only of labels that have digits: without any no pattern can fit.
static bool find_pattern(const struct overrides *o, const struct folded_name *name, uint16_t type,
	struct override_hit *hit)
{
	struct skeleton skeletons[OVERRIDE_SHAPES];
	unsigned shapes = o->relative_shapes | o->whole_shapes;
	unsigned most = 32u - (unsigned)__builtin_clz(shapes);
	if (most > name->labels)
		most = name->labels;
	unsigned with_digits = 0; // of as many labels from the left
	for (unsigned i = 0; i < most; i++) {
		if (skeleton_of(&skeletons[i], name->wire + name->label_at[name->labels - i]) && !with_digits)
			with_digits = i + 1;
	}
	if (!with_digits)
		return false;
	hit->depth = name->labels;
	for (unsigned p = most; p >= with_digits; p--) {
		for (int whole = 1; whole >= 0; whole--) {
			if (!((whole ? o->whole_shapes : o->relative_shapes) >> (p - 1) & 1))
				continue;
			uint64_t key = pattern_key(name->hash[whole ? name->labels - p : 0], whole, skeletons, p);
			const struct override_node *node = search(o, key, NULL, 0);
			if (node && hit_pattern(o, node, name, type, hit))
				return true;
		}
	}
	return false;
}

static bool find_suffix(const struct overrides *o, const struct folded_name *name, uint16_t type,
	const struct override_node *whole, struct override_hit *hit)
{
	const struct override_node *node;
	unsigned depth = name->labels;
	uint64_t depths = o->suffix_depths & ((depth_bit(depth) << 1) - 1);
	hit->depth = (uint8_t)depth;
	if (whole && whole->below_count && hit_below(o, whole, type, true, hit))
		return true;
	for (; depth > 63; depth--) { // these share a bit
		node = depths & depth_bit(63) ? search_name(o, name, depth - 1) : NULL;
		hit->depth = (uint8_t)(depth - 1);
		if (node && hit_below(o, node, type, false, hit))
			return true;
	}
	depths &= depth_bit(depth) - 1;
	for (; depths; depths ^= depth_bit(depth)) {
		depth = 63u - (unsigned)__builtin_clzll(depths);
		node = search_name(o, name, depth);
		hit->depth = (uint8_t)depth;
		if (node && hit_below(o, node, type, false, hit))
			return true;
	}
	return false;
}

bool overrides_find(const struct overrides *o, const struct folded_name *name, uint16_t type, struct override_hit *hit)
{
	const struct override_node *node = NULL;
	hit->rule = NULL;
	if ((o->exact_depths | o->suffix_depths) & depth_bit(name->labels))
		node = search_name(o, name, name->labels);
	hit->depth = name->labels;
	if (node && hit_own(o, node, type, hit))
		return true;
	if ((o->relative_shapes | o->whole_shapes) && name->labels && find_pattern(o, name, type, hit))
		return true;
	return o->suffix_depths && find_suffix(o, name, type, node, hit);
}

bool overrides_match(const struct overrides *o, const struct query *query, struct override_hit *hit)
{
	hit->rule = NULL;
	if (query->class != CLASS_IN || query->type == TYPE_AXFR || query->type == TYPE_IXFR)
		return false;
	if (!overrides_find(o, &query->name, query->type, hit))
		return false;
	if (hit->rule->action == OVERRIDE_PASS)
		hit->rule = NULL;
	return hit->rule != NULL;
}

// --- the records of a hit ---

static void write_digits(struct writer *w, const struct override_hit *hit, const struct folded_name *name,
	const struct override_piece *piece)
{
	if (!piece->width) {
		write_bytes(w, name->wire + hit->digits_at[piece->capture], hit->digits[piece->capture]);
		return;
	}
	uint8_t digits[OVERRIDE_DIGITS_MAX];
	unsigned at = sizeof(digits);
	for (uint32_t left = hit->value[piece->capture]; left || sizeof(digits) - at < piece->width; left /= 10)
		digits[--at] = (uint8_t)('0' + left % 10);
	write_bytes(w, digits + at, sizeof(digits) - at);
}

static uint16_t as_group(uint32_t value)
{
	unsigned group = 0;
	for (unsigned shift = 0; value && shift < 16; shift += 4, value /= 10)
		group |= value % 10 << shift;
	return (uint16_t)group;
}

static void write_piece(struct writer *w, const struct override_hit *hit, const struct folded_name *name,
	const struct override_piece *piece)
{
	uint32_t value = hit->value[piece->capture];
	switch ((enum override_piece_kind)piece->kind) {
	case PIECE_OCTET:
		write_u8(w, (uint8_t)value);
		break;
	case PIECE_U16:
		write_be16(w, (uint16_t)value);
		break;
	case PIECE_U32:
		write_be32(w, value);
		break;
	case PIECE_GROUP:
		write_be16(w, as_group(value));
		break;
	case PIECE_DIGITS:
		write_digits(w, hit, name, piece);
		break;
	case PIECE_LENGTH:
	case PIECE_KINDS:
		break;
	}
}

static void write_rdata(const struct overrides *o, const struct override_record *record, const struct override_hit *hit,
	const struct folded_name *name, struct writer *w)
{
	const uint8_t *data = overrides_at(o, record->data_ref);
	const struct override_piece *piece = overrides_at(o, record->pieces_ref);
	unsigned done = 0;
	uint8_t *length = NULL;
	for (unsigned i = 0; i < record->piece_count; i++, piece++) {
		write_bytes(w, data + done, piece->at - done);
		done = piece->at;
		uint8_t *before = w->at;
		if (piece->kind == PIECE_LENGTH)
			length = before;
		else
			write_piece(w, hit, name, piece);
		if (piece->kind == PIECE_DIGITS && length && !w->failed)
			*length = (uint8_t)(*length + (w->at - before));
	}
	write_bytes(w, data + done, record->bytes - done);
}

// RFC 1035 4.1.3
static void write_record(const struct overrides *o, const struct override_hit *hit, const struct override_record *record,
	const struct folded_name *name, unsigned owner_at, struct writer *w)
{
	write_be16(w, (uint16_t)(0xc000 | owner_at));
	write_be16(w, hit->rule->action == OVERRIDE_ALIAS ? TYPE_CNAME : hit->rule->type);
	write_be16(w, CLASS_IN);
	write_be32(w, hit->rule->ttl_s);
	uint8_t *length = write_room(w, 2), *start = w->at;
	write_rdata(o, record, hit, name, w);
	if (!w->failed)
		store_be16(length, (uint16_t)(w->at - start));
}

static unsigned write_ready(const struct overrides *o, const struct override_rule *rule, unsigned owner_at, uint8_t *to,
	size_t room)
{
	if (rule->bytes > room)
		return 0;
	memcpy(to, overrides_at(o, rule->data_ref), rule->bytes);
	if (owner_at == DNS_HEADER_BYTES) // where they point to already
		return rule->bytes;
	for (unsigned i = 0, at = 0; i < rule->count; i++, at += 12u + load_be16(to + at + 10))
		store_be16(to + at, (uint16_t)(0xc000 | owner_at));
	return rule->bytes;
}

unsigned overrides_write(const struct overrides *o, const struct override_hit *hit, const struct folded_name *name,
	unsigned owner_at, uint8_t *to, size_t room)
{
	const struct override_rule *rule = hit->rule;
	if (rule->bytes)
		return write_ready(o, rule, owner_at, to, room);
	const struct override_record *record = overrides_at(o, rule->data_ref);
	struct writer w = writer_of(to, room);
	for (unsigned i = 0; i < rule->count; i++)
		write_record(o, hit, &record[i], name, owner_at, &w);
	return w.failed ? 0 : (unsigned)writer_bytes(&w);
}

// --- taking a block over: nothing in it is believed ---

struct checker {
	const struct overrides *block;
	uint64_t bytes;
};

// `count` things of `size` octets at a ref lie inside.
static bool inside(const struct checker *c, uint32_t ref, uint64_t count, uint64_t size)
{
	uint64_t at = (uint64_t)ref * 8;
	return count == 0 || (at >= sizeof(struct overrides) && at <= c->bytes && count <= (c->bytes - at) / size);
}

static bool ready_records_are_sound(const struct checker *c, const struct override_rule *rule)
{
	uint16_t type = rule->action == OVERRIDE_ALIAS ? TYPE_CNAME : rule->type;
	if (!inside(c, rule->data_ref, rule->bytes, 1))
		return false;
	const uint8_t *at = overrides_at(c->block, rule->data_ref), *end = at + rule->bytes;
	for (unsigned i = 0; i < rule->count; i++) {
		if (end - at < 12 || load_be16(at) != 0xc00c || load_be16(at + 2) != type)
			return false;
		unsigned bytes = load_be16(at + 10);
		if (bytes > end - at - 12)
			return false;
		if (rule->action == OVERRIDE_ALIAS && name_length(at + 12, bytes) != bytes)
			return false;
		at += 12 + bytes;
	}
	return at == end;
}

static bool pieces_are_sound(const struct override_record *record, const struct override_piece *piece, unsigned captures)
{
	unsigned at = 0;
	uint64_t longest = record->bytes + 12u;
	for (unsigned i = 0; i < record->piece_count; i++, piece++) {
		bool length = piece->kind == PIECE_LENGTH;
		if (piece->kind >= PIECE_KINDS || piece->at < at || piece->at > record->bytes ||
			piece->width > OVERRIDE_DIGITS_MAX || (length && piece->at == record->bytes) ||
			(!length && piece->capture >= captures))
			return false;
		at = piece->at + length; // the octet stays before what follows
		longest += OVERRIDE_DIGITS_MAX;
	}
	return longest <= OVERRIDE_EXPANDED_MAX;
}

static bool captured_records_are_sound(const struct checker *c, const struct override_rule *rule, unsigned captures)
{
	if (!inside(c, rule->data_ref, rule->count, sizeof(struct override_record)))
		return false;
	const struct override_record *record = overrides_at(c->block, rule->data_ref);
	for (unsigned i = 0; i < rule->count; i++) {
		if (!inside(c, record[i].data_ref, record[i].bytes, 1) ||
			!inside(c, record[i].pieces_ref, record[i].piece_count, sizeof(struct override_piece)) ||
			!pieces_are_sound(&record[i], overrides_at(c->block, record[i].pieces_ref), captures))
			return false;
	}
	return true;
}

static bool code_is_sound(const struct override_pattern *p)
{
	const uint8_t *code = pattern_code(p), *end = code + p->code_bytes;
	unsigned labels = 0;
	while (code < end) {
		unsigned op = *code++;
		if (op == 0 || op == CODE_LITERAL || (op < CODE_LITERAL && op > end - code) ||
			(op >= CODE_CAPTURE && op - CODE_CAPTURE >= p->captures))
			return false;
		if (op < CODE_LITERAL)
			code += op;
		labels += op == CODE_END;
	}
	return labels == p->labels;
}

static bool pattern_is_sound(const struct checker *c, uint32_t ref)
{
	if (!inside(c, ref, 1, sizeof(struct override_pattern)))
		return false;
	const struct override_pattern *p = overrides_at(c->block, ref);
	if (p->captures > OVERRIDE_CAPTURES_MAX || !p->labels || p->labels > OVERRIDE_SHAPES ||
		!inside(c, ref, 1, pattern_bytes(p)))
		return false;
	for (unsigned i = 0; i < p->captures; i++) {
		if (p->capture[i].width > OVERRIDE_DIGITS_MAX)
			return false;
	}
	return code_is_sound(p);
}

static bool rule_is_sound(const struct checker *c, const struct override_rule *rule, bool of_pattern)
{
	unsigned captures = 0;
	if (rule->action >= OVERRIDE_ACTIONS || (of_pattern && !pattern_is_sound(c, rule->pattern_ref)))
		return false;
	if (of_pattern)
		captures = ((const struct override_pattern *)overrides_at(c->block, rule->pattern_ref))->captures;
	if (rule->action > OVERRIDE_ALIAS)
		return true;
	if (rule->count == 0 || (rule->action == OVERRIDE_ALIAS ? rule->count != 1 : !rule->type))
		return false;
	return rule->bytes ? ready_records_are_sound(c, rule) : captured_records_are_sound(c, rule, captures);
}

static bool node_is_sound(const struct checker *c, uint32_t ref)
{
	if (!inside(c, ref, 1, sizeof(struct override_node)))
		return false;
	const struct override_node *node = overrides_at(c->block, ref);
	bool of_pattern = node->kind == OVERRIDE_PATTERN;
	unsigned count = (unsigned)node->own_count + node->below_count;
	if (node->kind > OVERRIDE_PATTERN || (node->name_bytes == 0) != of_pattern || (of_pattern && node->below_count) ||
		!inside(c, ref, 1, sizeof(*node) + node->name_bytes) ||
		!inside(c, node->rules_ref, count, sizeof(struct override_rule)))
		return false;
	if (!of_pattern && name_length(node->name, node->name_bytes) != node->name_bytes)
		return false;
	const struct override_rule *rule = own_rules(c->block, node);
	for (unsigned i = 0; i < count; i++) {
		if (!rule_is_sound(c, &rule[i], of_pattern))
			return false;
	}
	return true;
}

static bool buckets_are_sound(const struct checker *c)
{
	const struct image_bucket *bucket = overrides_at(c->block, c->block->buckets_ref);
	uint32_t nodes = 0, open = 0;
	for (uint32_t i = 0; i < c->block->bucket_count; i++, bucket++) {
		for (unsigned slot = 0; slot < 8; slot++) {
			if (!bucket->tag[slot])
				continue;
			if ((slot && !bucket->tag[slot - 1]) || !node_is_sound(c, bucket->node_ref[slot]))
				return false;
			nodes++;
		}
		open += bucket->tag[7] == 0;
	}
	return open && nodes == c->block->nodes; // without an open bucket a search would not end
}

enum status overrides_check(const void *at, uint64_t bytes, uint64_t seed)
{
	const struct overrides *block = at;
	if ((uintptr_t)at % 8 || bytes < sizeof(*block) || block->magic != OVERRIDES_MAGIC)
		return ST_CORRUPT;
	if (block->format != OVERRIDES_FORMAT)
		return ST_VERSION;
	if (block->bytes > bytes || block->bytes < sizeof(*block) || block->hash_seed != seed || !block->bucket_count)
		return ST_CORRUPT;
	struct checker c = { .block = block, .bytes = block->bytes };
	bool sound = inside(&c, block->buckets_ref, block->bucket_count, sizeof(struct image_bucket)) && buckets_are_sound(&c);
	return sound ? ST_OK : ST_CORRUPT;
}
