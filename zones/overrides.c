// SPDX-License-Identifier: BSD-3-Clause
// Questions and rules: the look-up, the records of a hit, and the check of a block before it is trusted.
#include <pollux/bytes.h>
#include <pollux/rrtype.h>

#include "bucket.h" // and SSE2
#include "overrides.h"
#include "sections.h"

static bool is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') < 10;
}

// Bit i: octet i is a digit. Reads whole blocks of 16.
#if defined(__SSE2__)
static uint64_t digits_in(const uint8_t *octets, unsigned count)
{
	uint64_t mask = 0;
	for (unsigned at = 0; at < count; at += 16) {
		__m128i from_zero = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)(octets + at)), _mm_set1_epi8('0'));
		__m128i digit = _mm_cmpeq_epi8(_mm_min_epu8(from_zero, _mm_set1_epi8(9)), from_zero);
		mask |= (uint64_t)(unsigned)_mm_movemask_epi8(digit) << at;
	}
	return mask & ((UINT64_C(1) << count) - 1);
}
#else
static uint64_t digits_in(const uint8_t *octets, unsigned count)
{
	uint64_t mask = 0;
	for (unsigned i = 0; i < count; i++)
		mask |= (uint64_t)is_digit(octets[i]) << i;
	return mask;
}
#endif

// Octets without a digit, and then digits or the end. Reads up to 8 octets more.
static inline uint64_t take_piece(uint64_t hash, const uint8_t *octets, unsigned count, bool is_last)
{
	for (; count >= 8; count -= 8, octets += 8)
		hash = name_mix(hash ^ load_64(octets), UINT64_C(0x9e3779b97f4a7c15));
	hash ^= (load_64(octets) & ((UINT64_C(1) << 8 * count) - 1)) ^ (uint64_t)(count + 1) << 56;
	return is_last ? hash : name_mix(hash, UINT64_C(0x9e3779b97f4a7c15)); // whoever uses the hash of the whole mixes it
}

struct skeleton skeleton_of(const uint8_t *label)
{
	uint64_t digits = digits_in(label + 1, *label), left = digits, hash = 0;
	unsigned from = 0;
	while (left) { // what stands in front of a run of digits
		unsigned run = (unsigned)__builtin_ctzll(left);
		hash = take_piece(hash, label + 1 + from, run - from, false);
		from = run + (unsigned)__builtin_ctzll(~(digits >> run));
		left = digits >> from << from;
	}
	return (struct skeleton){ take_piece(hash, label + 1 + from, *label - from, true), digits != 0 };
}

// --- the look-up ---

static const struct image_bucket *bucket_of(const struct overrides *o, uint64_t hash)
{
	const struct image_bucket *buckets = overrides_at(o, o->buckets_ref);
	return &buckets[(uint32_t)((hash >> 32) * o->bucket_count >> 32)];
}

static bool node_is(const struct override_node *node, uint64_t hash, const uint8_t *name, unsigned bytes)
{
	return node->hash == hash && node->name_bytes == bytes && (!bytes || same_words(node->name, name, bytes));
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

// Where rules for the name itself or for what lies below one of its suffixes may be.
static uint64_t depths_of(const struct overrides *o, const struct folded_name *name)
{
	uint64_t depths = o->suffix_depths & ((depth_bit(name->labels) << 1) - 1);
	return depths | ((o->exact_depths | o->suffix_depths) & depth_bit(name->labels));
}

void overrides_prefetch(const struct overrides *o, const struct folded_name *name)
{
	for (uint64_t depths = depths_of(o, name); depths; depths &= depths - 1)
		prefetch_line(bucket_of(o, name->hash[__builtin_ctzll(depths)]));
}

uint64_t overrides_probe(const struct overrides *o, const struct folded_name *name)
{
	uint64_t found = depth_bit(63); // which several depths share
	for (uint64_t depths = depths_of(o, name) & ~depth_bit(63); depths; depths &= depths - 1) {
		uint64_t hash = name->hash[__builtin_ctzll(depths)];
		const struct image_bucket *bucket = bucket_of(o, hash);
		unsigned slots = slots_with(bucket, image_tag(hash));
		if (slots) {
			const struct override_node *node = overrides_at(o, bucket->node_ref[__builtin_ctz(slots)]);
			prefetch_line(node);
			prefetch_line((const uint8_t *)node + CACHE_LINE_BYTES); // its rules, and their records
		}
		if (slots || bucket->tag[7]) // a full one goes on in the next
			found |= depths & -depths;
	}
	return found;
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

// The value of the first `count` octets of a word, 1 to 7, each less than 10: moved up, so that zeros stand in front, then neighbours
// are put together to numbers of two, four and eight digits. No branch depends on how many there are.
static inline uint64_t value_of(uint64_t digits, unsigned count)
{
	uint64_t pairs = digits << (64 - 8 * count);
	pairs = pairs * 10 + (pairs >> 8);
	const uint64_t every_other = UINT64_C(0x000000ff000000ff);
	return ((pairs & every_other) * (100 + (UINT64_C(1000000) << 32)) +
		((pairs >> 16) & every_other) * (1 + (UINT64_C(10000) << 32))) >> 32;
}

// Of more digits than a word holds.
static __attribute__((noinline)) uint64_t value_of_many(const uint8_t *digits, unsigned count)
{
	uint64_t value = 0;
	for (unsigned i = 0; i < count; i++)
		value = value * 10 + (uint64_t)(digits[i] - '0');
	return value;
}

// Digits of the label from `at` on.
static inline unsigned digits_at(const uint8_t *wire, unsigned at, unsigned end, uint64_t word)
{
	// The top bit of each octet that is no digit; above the first of them it may be wrong.
	uint64_t others = (word | (word + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080);
	unsigned run = others ? (unsigned)__builtin_ctzll(others) / 8 : 8, most = end - at;
	while (run >= 8 && run < most && is_digit(wire[at + run]))
		run++;
	return run < most ? run : most;
}

// The digits at `at`, as many as the width says or all but `tail`. Returns the octet behind the number; 0: they are no number of this kind.
static unsigned take_number(const struct override_capture *capture, const uint8_t *wire, unsigned at, unsigned end,
	uint32_t *value)
{
	uint64_t word = load_64(wire + at) ^ UINT64_C(0x3030303030303030);
	unsigned run = digits_at(wire, at, end, word), most = run - capture->tail;
	if (run <= capture->tail)
		return 0;
	unsigned count = capture->width ? capture->width : most;
	if (count > most || count > OVERRIDE_DIGITS_MAX)
		return 0;
	uint64_t number = count < 8 ? value_of(word, count) : value_of_many(wire + at, count);
	if (number < capture->min || number > capture->max)
		return 0;
	*value = (uint32_t)number;
	return at + count;
}

static bool suffix_fits(const struct override_pattern *p, const struct folded_name *name)
{
	unsigned at = name->label_at[name->labels - p->labels];
	return !p->suffix_bytes ||
		(name->bytes - at == p->suffix_bytes && same_words(pattern_suffix(p), name->wire + at, p->suffix_bytes));
}

// The name has at least as many labels as the pattern.
static bool fits(const struct override_pattern *p, const struct folded_name *name, struct override_hit *hit)
{
	const uint8_t *code = pattern_code(p), *code_end = code + p->code_bytes, *wire = name->wire;
	unsigned at = 1, end = 1u + wire[0];
	while (code < code_end) {
		unsigned op = *code++;
		if (op < CODE_LITERAL) {
			if (at + op > end || !same_words(code, wire + at, op))
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
	uint8_t first = name->wire[1];
	if (!(o->pattern_firsts[first >> 6] >> (first & 63) & 1))
		return false;
	unsigned most = 32u - (unsigned)__builtin_clz(shapes);
	if (most > name->labels)
		most = name->labels;
	unsigned with_digits = 0; // of as many labels from the left
	for (unsigned i = 0; i < most; i++) {
		skeletons[i] = skeleton_of(name->wire + name->label_at[name->labels - i]);
		if (skeletons[i].has_digits && !with_digits)
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

static bool find_suffix(const struct overrides *o, const struct folded_name *name, uint16_t type, uint64_t depths,
	const struct override_node *whole, struct override_hit *hit)
{
	const struct override_node *node;
	unsigned depth = name->labels;
	depths &= o->suffix_depths & ((depth_bit(depth) << 1) - 1);
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

// `depths`: at others there is surely nothing.
static bool find_at(const struct overrides *o, const struct folded_name *name, uint16_t type, uint64_t depths,
	struct override_hit *hit)
{
	const struct override_node *node = NULL;
	hit->rule = NULL;
	if ((o->exact_depths | o->suffix_depths) & depths & depth_bit(name->labels))
		node = search_name(o, name, name->labels);
	hit->depth = name->labels;
	if (node && hit_own(o, node, type, hit))
		return true;
	if ((o->relative_shapes | o->whole_shapes) && name->labels && find_pattern(o, name, type, hit))
		return true;
	return o->suffix_depths & depths && find_suffix(o, name, type, depths, node, hit);
}

bool overrides_find(const struct overrides *o, const struct folded_name *name, uint16_t type, struct override_hit *hit)
{
	return find_at(o, name, type, UINT64_MAX, hit);
}

bool overrides_match(const struct overrides *o, const struct query *query, uint64_t probed, struct override_hit *hit)
{
	hit->rule = NULL;
	if (query->class != CLASS_IN || query->type == TYPE_AXFR || query->type == TYPE_IXFR)
		return false;
	if (!find_at(o, &query->name, query->type, probed, hit))
		return false;
	if (hit->rule->action == OVERRIDE_PASS)
		hit->rule = NULL;
	return hit->rule != NULL;
}

// --- the records of a hit ---

// Where a record is made of its pieces: none is longer than OVERRIDE_EXPANDED_MAX, so nobody counts on the way.
struct maker {
	const struct override_hit *hit;
	const struct folded_name *name;
	uint8_t *at;
	uint8_t *length; // of what holds the digits that come next, NULL: nothing does
};

static void put_octets(struct maker *m, const uint8_t *octets, unsigned count)
{
	for (unsigned i = 0; i < count; i++) // few: no call is worth it
		*m->at++ = octets[i];
}

static void put_digits(struct maker *m, const struct override_piece *piece)
{
	unsigned count = m->hit->digits[piece->capture];
	if (!piece->width) {
		put_octets(m, m->name->wire + m->hit->digits_at[piece->capture], count);
	} else {
		uint8_t digits[OVERRIDE_DIGITS_MAX];
		unsigned at = sizeof(digits);
		for (uint32_t left = m->hit->value[piece->capture]; left || sizeof(digits) - at < piece->width; left /= 10)
			digits[--at] = (uint8_t)('0' + left % 10);
		count = (unsigned)sizeof(digits) - at;
		put_octets(m, digits + at, count);
	}
	if (m->length)
		*m->length = (uint8_t)(*m->length + count);
}

static uint16_t as_group(uint32_t value)
{
	unsigned group = 0;
	for (unsigned shift = 0; value && shift < 16; shift += 4, value /= 10)
		group |= value % 10 << shift;
	return (uint16_t)group;
}

static void put_piece(struct maker *m, const struct override_piece *piece)
{
	uint32_t value = m->hit->value[piece->capture];
	switch ((enum override_piece_kind)piece->kind) {
	case PIECE_OCTET:
		*m->at++ = (uint8_t)value;
		break;
	case PIECE_GROUP:
		value = as_group(value);
		// fallthrough
	case PIECE_U16:
		store_be16(m->at, (uint16_t)value);
		m->at += 2;
		break;
	case PIECE_U32:
		store_be32(m->at, value);
		m->at += 4;
		break;
	case PIECE_DIGITS:
		put_digits(m, piece);
		break;
	case PIECE_LENGTH:
		m->length = m->at;
		break;
	case PIECE_KINDS:
		break;
	}
}

// RFC 1035 4.1.3. Returns octets.
static unsigned make_record(const struct overrides *o, const struct override_hit *hit, const struct override_record *record,
	const struct folded_name *name, unsigned owner_at, uint8_t *to)
{
	const uint8_t *data = overrides_at(o, record->data_ref);
	const struct override_piece *piece = overrides_at(o, record->pieces_ref);
	struct maker m = { .hit = hit, .name = name, .at = to + 12 };
	unsigned done = 0;
	for (unsigned i = 0; i < record->piece_count; done = piece->at, piece++, i++) {
		put_octets(&m, data + done, piece->at - done);
		put_piece(&m, piece);
	}
	put_octets(&m, data + done, record->bytes - done);
	store_be16(to, (uint16_t)(0xc000 | owner_at));
	store_be16(to + 2, hit->rule->action == OVERRIDE_ALIAS ? TYPE_CNAME : hit->rule->type);
	store_be16(to + 4, CLASS_IN);
	store_be32(to + 6, hit->rule->ttl_s);
	store_be16(to + 10, (uint16_t)(m.at - to - 12));
	return (unsigned)(m.at - to);
}

// What numbers of the name stand in ready records, in place of zeros. Returns what they add to the sum.
static uint32_t fill_in(const struct overrides *o, const struct override_hit *hit, uint8_t *records)
{
	const struct override_piece *fill = overrides_at(o, hit->rule->fills_ref);
	uint32_t sum = 0;
	for (unsigned i = 0; i < hit->rule->fill_count; i++, fill++) {
		uint8_t *to = records + fill->at;
		uint32_t value = hit->value[fill->capture];
		switch ((enum override_piece_kind)fill->kind) {
		case PIECE_OCTET:
			*to = (uint8_t)value;
			sum += (value & 0xff) << (fill->at & 1) * 8;
			break;
		case PIECE_GROUP:
			value = as_group(value);
			// fallthrough
		case PIECE_U16:
			store_be16(to, (uint16_t)value);
			sum += sum_of_growth(value, fill->at);
			break;
		case PIECE_U32:
			store_be32(to, value);
			sum += sum_of_number(value, fill->at);
			break;
		case PIECE_DIGITS:
		case PIECE_LENGTH:
		case PIECE_KINDS:
			break;
		}
	}
	return sum;
}

uint32_t overrides_write_ready(const struct overrides *o, const struct override_hit *hit, uint8_t *to)
{
	const struct override_rule *rule = hit->rule;
	copy_records(to, overrides_at(o, rule->data_ref), rule->bytes);
	return rule->sum + (rule->fill_count ? fill_in(o, hit, to) : 0);
}

static void point_owners(const struct overrides *o, const struct override_rule *rule, unsigned owner_at, uint8_t *to)
{
	const uint8_t *ready = overrides_at(o, rule->data_ref);
	for (unsigned i = 0, at = 0; i < rule->count; i++, at += 12u + load_be16(ready + at + 10))
		store_be16(to + at, (uint16_t)(0xc000 | owner_at));
}

unsigned overrides_write(const struct overrides *o, const struct override_hit *hit, const struct folded_name *name,
	unsigned owner_at, uint8_t *to, size_t room)
{
	const struct override_rule *rule = hit->rule;
	if (rule->bytes) {
		if (rule->bytes > room)
			return 0;
		overrides_write_ready(o, hit, to);
		if (owner_at != DNS_HEADER_BYTES) // where they point to already
			point_owners(o, rule, owner_at, to);
		return rule->bytes;
	}
	const struct override_record *record = overrides_at(o, rule->data_ref);
	uint8_t made[OVERRIDE_EXPANDED_MAX];
	size_t written = 0;
	for (unsigned i = 0; i < rule->count; i++) {
		unsigned bytes = make_record(o, hit, &record[i], name, owner_at, made);
		if (bytes > room - written)
			return 0;
		memcpy(to + written, made, bytes);
		written += bytes;
	}
	return (unsigned)written;
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

// Where in the records they stand is all the same to readers, who never look at what they have filled in.
static bool fills_are_sound(const struct checker *c, const struct override_rule *rule, unsigned captures)
{
	if (!inside(c, rule->fills_ref, rule->fill_count, sizeof(struct override_piece)))
		return false;
	const struct override_piece *fill = overrides_at(c->block, rule->fills_ref);
	for (unsigned i = 0; i < rule->fill_count; i++, fill++) {
		unsigned bytes = fill->kind < PIECE_KINDS ? piece_bytes(fill) : 0;
		if (!bytes || fill->at + bytes > rule->bytes || fill->capture >= captures)
			return false;
	}
	return rule->action == OVERRIDE_RECORDS || !rule->fill_count;
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
		if (rule->action == OVERRIDE_ALIAS && (!bytes || name_length(at + 12, bytes) != bytes))
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
			piece->width > OVERRIDE_DIGITS_MAX || piece->capture >= captures ||
			(length && piece->at == record->bytes))
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
		!inside(c, ref, 1, pattern_bytes(p) + READ_BEHIND))
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
	if (!rule->bytes)
		return captured_records_are_sound(c, rule, captures);
	return ready_records_are_sound(c, rule) && fills_are_sound(c, rule, captures);
}

static bool node_is_sound(const struct checker *c, uint32_t ref)
{
	if (!inside(c, ref, 1, sizeof(struct override_node)))
		return false;
	const struct override_node *node = overrides_at(c->block, ref);
	bool of_pattern = node->kind == OVERRIDE_PATTERN;
	unsigned count = (unsigned)node->own_count + node->below_count;
	if (node->kind > OVERRIDE_PATTERN || (node->name_bytes == 0) != of_pattern || (of_pattern && node->below_count) ||
		!inside(c, ref, 1, sizeof(*node) + node->name_bytes + READ_BEHIND) ||
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
