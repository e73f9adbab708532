// SPDX-License-Identifier: BSD-3-Clause
#include <ctype.h>

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

#if defined(__SSE2__)
#include <emmintrin.h>

static inline __m128i fold_block(__m128i octets)
{
	// Signed compares: octets above 127 are below 'A', which is right, for they have no case here.
	__m128i is_upper = _mm_and_si128(_mm_cmpgt_epi8(octets, _mm_set1_epi8('A' - 1)),
		_mm_cmplt_epi8(octets, _mm_set1_epi8('Z' + 1)));
	return _mm_or_si128(octets, _mm_and_si128(is_upper, _mm_set1_epi8(0x20)));
}

// Whole blocks, the last one overlapping the one before it, so that nothing behind the name is touched.
static inline void fold_octets(uint8_t *to, const uint8_t *from, unsigned bytes)
{
	if (bytes >= 16) {
		for (unsigned at = 0; at + 16 < bytes; at += 16)
			_mm_storeu_si128((__m128i *)(void *)(to + at),
				fold_block(_mm_loadu_si128((const __m128i *)(const void *)(from + at))));
		_mm_storeu_si128((__m128i *)(void *)(to + bytes - 16),
			fold_block(_mm_loadu_si128((const __m128i *)(const void *)(from + bytes - 16))));
		return;
	}
	for (unsigned i = 0; i < bytes; i++)
		to[i] = fold_byte(from[i]);
}
#else
static inline void fold_octets(uint8_t *to, const uint8_t *from, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = fold_byte(from[i]);
}
#endif

unsigned name_take(struct folded_name *to, const uint8_t *wire, size_t room, uint64_t seed)
{
	uint8_t from_left[NAME_MAX_LABELS + 1];
	unsigned at = 0, labels = 0;
	size_t end = room < NAME_MAX_BYTES ? room : NAME_MAX_BYTES;
	for (; at < end && wire[at]; at += wire[at] + 1u) {
		if (wire[at] > LABEL_MAX_BYTES)
			return 0;
		from_left[labels++] = (uint8_t)at;
	}
	if (at >= end)
		return 0;
	fold_octets(to->wire, wire, at + 1);
	to->bytes = (uint8_t)(at + 1);
	to->labels = (uint8_t)labels;
	to->label_at[0] = (uint8_t)at;
	to->hash[0] = seed;
	// From the root, so that one pass gives the hash of every suffix: the zone, the cut, the encloser.
	uint64_t hash = seed;
	for (unsigned depth = 1; depth <= labels; depth++) {
		unsigned label = from_left[labels - depth];
		to->label_at[depth] = (uint8_t)label;
		to->hash[depth] = hash = name_hash_label(hash, to->wire + label);
	}
	return at + 1;
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
