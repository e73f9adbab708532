// SPDX-License-Identifier: BSD-3-Clause
#include <ctype.h>

#include <pollux/bytes.h>
#include <pollux/name.h>

unsigned name_labels(const uint8_t *wire)
{
	unsigned labels = 0;
	for (; *wire; wire += *wire + 1u)
		labels++;
	return labels;
}

bool name_equal(const uint8_t *a, const uint8_t *b)
{
	unsigned bytes = name_length(a, NAME_MAX_BYTES);
	if (bytes != name_length(b, NAME_MAX_BYTES))
		return false;
	for (unsigned i = 0; i < bytes; i++) {
		if (fold_byte(a[i]) != fold_byte(b[i]))
			return false;
	}
	return true;
}

bool name_is_under(const uint8_t *name, const uint8_t *suffix)
{
	unsigned labels = name_labels(name), wanted = name_labels(suffix);
	if (labels < wanted)
		return false;
	for (; labels > wanted; labels--)
		name += *name + 1u;
	return name_equal(name, suffix);
}

// RFC 4034 6.1: from the root downwards, each label as lower-case octets, the shorter first.
int name_compare(const uint8_t *a, const uint8_t *b)
{
	uint8_t a_at[NAME_MAX_LABELS], b_at[NAME_MAX_LABELS];
	unsigned a_labels = 0, b_labels = 0;
	for (unsigned at = 0; a[at]; at += a[at] + 1u)
		a_at[a_labels++] = (uint8_t)at;
	for (unsigned at = 0; b[at]; at += b[at] + 1u)
		b_at[b_labels++] = (uint8_t)at;
	while (a_labels && b_labels) {
		const uint8_t *x = a + a_at[--a_labels], *y = b + b_at[--b_labels];
		unsigned common = *x < *y ? *x : *y;
		for (unsigned i = 1; i <= common; i++) {
			int difference = fold_byte(x[i]) - fold_byte(y[i]);
			if (difference)
				return difference;
		}
		if (*x != *y)
			return *x - *y;
	}
	return (int)a_labels - (int)b_labels;
}

unsigned name_fold(uint8_t *to, const uint8_t *wire)
{
	unsigned bytes = name_length(wire, NAME_MAX_BYTES);
	for (unsigned i = 0; i < bytes; i++)
		to[i] = fold_byte(wire[i]);
	return bytes;
}

// Eight octets in lower case.
#if defined(__SSE2__)
#include <emmintrin.h>

static inline uint64_t fold_word(uint64_t word)
{
	__m128i octets = _mm_cvtsi64_si128((long long)word);
	// Of all octets only A to Z come to lie above 101 in a signed compare.
	__m128i is_upper = _mm_cmpgt_epi8(_mm_add_epi8(octets, _mm_set1_epi8(127 - 'Z')), _mm_set1_epi8(127 - 26));
	octets = _mm_or_si128(octets, _mm_and_si128(is_upper, _mm_set1_epi8(0x20)));
	return (uint64_t)_mm_cvtsi128_si64(octets);
}
#else
static inline uint64_t fold_word(uint64_t word)
{
	uint8_t octets[8];
	store_64(octets, word);
	for (unsigned i = 0; i < sizeof(octets); i++)
		octets[i] = fold_byte(octets[i]);
	return load_64(octets);
}
#endif

static inline uint64_t take_word(uint8_t *to, uint64_t word)
{
	word = fold_word(word);
	store_64(to, word);
	return word;
}

// A label of less than 8 octets is its own hash: what of the word that starts with its length octet belongs to it.
static const uint64_t label_mask[8] = { 0, UINT64_MAX >> 48, UINT64_MAX >> 40, UINT64_MAX >> 32, UINT64_MAX >> 24,
	UINT64_MAX >> 16, UINT64_MAX >> 8, UINT64_MAX };

// A longer one: all its words, the last one overlapping the one before it, so that nothing behind the label is read. The
// seed is in it, lest somebody makes labels of equal hashes.
static inline uint64_t take_long_label(uint8_t *to, const uint8_t *from, size_t length, uint64_t seed)
{
	size_t last = length + 1 - 8;
	uint64_t hash = seed;
	for (size_t i = 0; i < last; i += 8)
		hash = name_mix(hash ^ take_word(to + i, load_64(from + i)), UINT64_C(0x9e3779b97f4a7c15));
	return hash ^ take_word(to + last, load_64(from + last));
}

// Less room than a word: rare, and not worth a branch anywhere else.
static __attribute__((noinline)) unsigned take_small(struct folded_name *to, const uint8_t *wire, size_t room, uint64_t seed)
{
	uint8_t copy[8] = { 0 };
	memcpy(copy, wire, room);
	unsigned bytes = name_take(to, copy, sizeof(copy), seed);
	return bytes <= room ? bytes : 0;
}

unsigned name_take(struct folded_name *to, const uint8_t *wire, size_t room, uint64_t seed)
{
	if (room < 8)
		return take_small(to, wire, room, seed);
	uint64_t label_hash[NAME_MAX_LABELS];
	uint8_t from_left[NAME_MAX_LABELS];
	size_t at = 0, labels = 0, end = room < NAME_MAX_BYTES ? room : NAME_MAX_BYTES;
	for (;;) {
		size_t length;
		// Straight from the wire, not from the copy: a load that spans stores just made waits for them.
		for (; at <= end - 8 && (length = wire[at]) - 1 < 7; at += length + 1) {
			label_hash[labels] = take_word(to->wire + at, load_64(wire + at)) & label_mask[length];
			from_left[labels++] = (uint8_t)at;
		}
		if (at >= end)
			return 0;
		length = wire[at];
		if (length == 0)
			break;
		if (length > LABEL_MAX_BYTES || at + length + 1 >= end)
			return 0;
		if (length >= 8) {
			label_hash[labels] = take_long_label(to->wire + at, wire + at, length, seed);
		} else { // less than 8 octets are left
			uint64_t word = load_64(wire + end - 8) >> 8 * (at + 8 - end);
			label_hash[labels] = take_word(to->wire + at, word) & label_mask[length];
		}
		from_left[labels++] = (uint8_t)at;
		at += length + 1;
	}
	to->wire[at] = 0;
	to->bytes = (uint8_t)(at + 1);
	to->labels = (uint8_t)labels;
	to->label_at[0] = (uint8_t)at;
	to->hash[0] = seed;
	// From the root, so that one pass gives the hash of every suffix: the zone, the cut, the encloser.
	uint64_t hash = seed;
	for (size_t depth = 1, i = labels; i--; depth++) {
		to->label_at[depth] = from_left[i];
		to->hash[depth] = hash = name_hash_label(hash, label_hash[i]);
	}
	return (unsigned)at + 1;
}

void name_prepare(struct folded_name *to, const uint8_t *wire, unsigned bytes, uint64_t seed)
{
	name_take(to, wire, bytes, seed);
}

char *name_to_text(char *to, const uint8_t *wire)
{
	char *at = to;
	if (!*wire)
		*at++ = '.';
	for (; *wire; wire += *wire + 1u) {
		for (unsigned i = 1; i <= *wire; i++) {
			uint8_t c = wire[i];
			if (c <= ' ' || c > '~') {
				*at++ = '\\';
				*at++ = (char)('0' + c / 100);
				*at++ = (char)('0' + c / 10 % 10);
				*at++ = (char)('0' + c % 10);
				continue;
			}
			if (strchr(".\\\"();@$", c))
				*at++ = '\\';
			*at++ = (char)c;
		}
		*at++ = '.';
	}
	*at = '\0';
	return to;
}

// One octet of a label: itself, \X or \DDD (RFC 1035 5.1). Returns the characters used, 0 when malformed.
static unsigned text_octet(uint8_t *octet, const char *text, size_t left)
{
	if (*text != '\\') {
		*octet = (uint8_t)*text;
		return 1;
	}
	if (left < 2)
		return 0;
	if (!isdigit((unsigned char)text[1])) {
		*octet = (uint8_t)text[1];
		return 2;
	}
	if (left < 4 || !isdigit((unsigned char)text[2]) || !isdigit((unsigned char)text[3]))
		return 0;
	unsigned value = (unsigned)(text[1] - '0') * 100 + (unsigned)(text[2] - '0') * 10 + (unsigned)(text[3] - '0');
	*octet = (uint8_t)value;
	return value > 255 ? 0 : 4;
}

static enum status finish_name(uint8_t *to, unsigned at, unsigned *bytes, const uint8_t *origin)
{
	unsigned tail = origin ? name_length(origin, NAME_MAX_BYTES) : 1;
	if (at + tail > NAME_MAX_BYTES)
		return ST_SYNTAX;
	if (origin)
		memcpy(to + at, origin, tail);
	else
		to[at] = 0;
	if (bytes)
		*bytes = at + tail;
	return ST_OK;
}

enum status name_from_text(uint8_t *to, unsigned *bytes, const char *text, size_t length, const uint8_t *origin)
{
	if (length == 0)
		return ST_SYNTAX;
	if (length == 1 && *text == '@')
		return origin ? finish_name(to, 0, bytes, origin) : ST_INVALID;
	if (length == 1 && *text == '.')
		return finish_name(to, 0, bytes, NULL);
	unsigned label_at = 0, at = 1;
	for (size_t i = 0; i < length;) {
		if (text[i] == '.') {
			if (at == label_at + 1)
				return ST_SYNTAX; // an empty label
			to[label_at] = (uint8_t)(at - label_at - 1);
			label_at = at++;
			i++;
			if (i == length)
				return finish_name(to, label_at, bytes, NULL);
			continue;
		}
		if (at - label_at > LABEL_MAX_BYTES || at >= NAME_MAX_BYTES - 1)
			return ST_SYNTAX;
		unsigned used = text_octet(&to[at], text + i, length - i);
		if (!used)
			return ST_SYNTAX;
		at++;
		i += used;
	}
	if (!origin)
		return ST_INVALID;
	to[label_at] = (uint8_t)(at - label_at - 1);
	return finish_name(to, at, bytes, origin);
}
