// SPDX-License-Identifier: BSD-3-Clause
// Tokens -> numbers, times, names, octets; and octets -> text.
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "text.h"

bool text_to_number(const char *text, size_t bytes, uint32_t max, uint32_t *value)
{
	uint64_t sum = 0;
	if (bytes == 0)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		unsigned digit = (unsigned)(uint8_t)text[i] - '0';
		if (digit > 9)
			return false;
		sum = sum * 10 + digit;
		if (sum > max)
			return false;
	}
	*value = (uint32_t)sum;
	return true;
}

static unsigned seconds_of_unit(char unit)
{
	switch (tolower((unsigned char)unit)) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 604800;
	}
	return 0;
}

bool text_to_seconds(const char *text, size_t bytes, uint32_t *seconds)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < bytes;) {
		uint64_t number = 0;
		size_t start = i;
		for (; i < bytes && isdigit((unsigned char)text[i]); i++) {
			number = number * 10 + (unsigned)(text[i] - '0');
			if (number > UINT32_MAX)
				return false;
		}
		if (i == start)
			return false;
		unsigned unit =
			i < bytes ? seconds_of_unit(text[i]) : start == 0; // without units: one number
		if (!unit)
			return false;
		sum += number * unit;
		if (sum > UINT32_MAX)
			return false;
		i++;
	}
	*seconds = (uint32_t)sum;
	return bytes > 0;
}

unsigned text_to_octet(uint8_t *octet, const char *text, size_t left)
{
	*octet = (uint8_t)*text;
	if (*text != '\\')
		return 1;
	if (left < 2)
		return 0;
	*octet = (uint8_t)text[1];
	if (!isdigit((unsigned char)text[1]))
		return 2;
	uint32_t value;
	if (left < 4 || !text_to_number(text + 1, 3, 255, &value))
		return 0;
	*octet = (uint8_t)value;
	return 4;
}

static const char bad_escape[] = "a backslash needs a character or three digits up to 255 behind it";
static const char empty_label[] = "a name with an empty label";
static const char long_label[] = "a label longer than 63 octets";
static const char long_name[] = "a name longer than 255 octets";

// Ends the label that starts at `label`, whose text ends at `at`.
static inline bool close_label(struct scanner *s, uint8_t *to, unsigned label, unsigned at)
{
	unsigned bytes = at - label - 1;
	if (bytes - 1 >= LABEL_MAX_BYTES)
		return scan_wrong(s, "%s", bytes ? long_label : empty_label);
	to[label] = (uint8_t)bytes;
	return true;
}

static unsigned append_origin(struct scanner *s, uint8_t *to, unsigned at)
{
	if (at + s->origin_bytes > NAME_MAX_BYTES) {
		scan_wrong(s, "%s", long_name);
		return 0;
	}
	memcpy(to + at, s->origin, s->origin_bytes);
	return at + s->origin_bytes;
}

// A word without escapes of at most 254 octets: text and wire differ in the dots alone.
static unsigned plain_name(struct scanner *s, uint8_t *to)
{
	const char *text = s->token.at;
	unsigned bytes = s->token.bytes, label = 0;
#ifdef __SSE2__
	for (unsigned i = 0; i < bytes; i += 16) {
		__m128i block = _mm_loadu_si128((const __m128i *)(const void *)(text + i));
		_mm_storeu_si128((__m128i *)(void *)(to + 1 + i), block);
		unsigned dots = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8('.')));
		if (bytes - i < 16)
			dots &= (1u << (bytes - i)) - 1;
		for (; dots; dots &= dots - 1) {
			unsigned dot = i + (unsigned)__builtin_ctz(dots) + 1;
			if (!close_label(s, to, label, dot))
				return 0;
			label = dot;
		}
	}
#else
	memcpy(to + 1, text, bytes);
	for (unsigned i = 1; i <= bytes; i++) {
		if (to[i] != '.')
			continue;
		if (!close_label(s, to, label, i))
			return 0;
		label = i;
	}
#endif
	if (label == bytes) { // it ends with a dot
		to[label] = 0;
		return bytes + 1;
	}
	return close_label(s, to, label, bytes + 1) ? append_origin(s, to, bytes + 1) : 0;
}

static unsigned escaped_name(struct scanner *s, uint8_t *to)
{
	const char *text = s->token.at, *end = text + s->token.bytes;
	unsigned label = 0, at = 1;
	while (text < end) {
		if (*text == '.') {
			if (!close_label(s, to, label, at))
				return 0;
			label = at++;
			text++;
			continue;
		}
		if (at >= NAME_MAX_BYTES - 1) {
			scan_wrong(s, "%s", long_name);
			return 0;
		}
		unsigned used = text_to_octet(&to[at++], text, (size_t)(end - text));
		if (!used) {
			scan_wrong(s, "%s", bad_escape);
			return 0;
		}
		text += used;
	}
	if (at == label + 1) {
		to[label] = 0;
		return at;
	}
	return close_label(s, to, label, at) ? append_origin(s, to, at) : 0;
}

unsigned scan_name(struct scanner *s, uint8_t *to)
{
	const struct token *token = &s->token;
	if (token->kind != TOKEN_WORD) {
		scan_expected(s, "a domain name");
		return 0;
	}
	if (token->bytes == 1 && *token->at == '@')
		return append_origin(s, to, 0);
	if (token->bytes == 1 && *token->at == '.') {
		to[0] = 0;
		return 1;
	}
	return !token->escaped && token->bytes < NAME_MAX_BYTES ? plain_name(s, to) : escaped_name(s, to);
}

int scan_octets(struct scanner *s, uint8_t *to, size_t room)
{
	const char *text = s->token.at, *end = text + s->token.bytes;
	size_t count = 0;
	if (!s->token.escaped && s->token.bytes <= room) {
		memcpy(to, text, s->token.bytes);
		return (int)s->token.bytes;
	}
	while (text < end) {
		uint8_t octet;
		unsigned used = text_to_octet(&octet, text, (size_t)(end - text));
		if (!used) {
			scan_wrong(s, "%s", bad_escape);
			return -1;
		}
		if (count == room) {
			scan_wrong(s, "a text longer than %zu octets", room);
			return -1;
		}
		to[count++] = octet;
		text += used;
	}
	return (int)count;
}

void put_char(struct text_out *out, char c)
{
	out->needed++;
	if (out->at < out->end)
		*out->at++ = c;
}

void put_text(struct text_out *out, const char *text)
{
	while (*text)
		put_char(out, *text++);
}

void put_format(struct text_out *out, const char *format, ...)
{
	char text[320]; // $GENERATE allows a width of 255
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put_text(out, text);
}

void put_name(struct text_out *out, const uint8_t *wire)
{
	char text[NAME_TEXT_BYTES];
	put_text(out, name_to_text(text, wire));
}

void put_octet(struct text_out *out, uint8_t c)
{
	if (c < ' ' || c > '~') {
		put_format(out, "\\%03u", c);
		return;
	}
	if (c == '"' || c == '\\')
		put_char(out, '\\');
	put_char(out, (char)c);
}

void put_quoted(struct text_out *out, const uint8_t *octets, size_t count)
{
	put_char(out, '"');
	for (size_t i = 0; i < count; i++)
		put_octet(out, octets[i]);
	put_char(out, '"');
}

void put_hex(struct text_out *out, const uint8_t *octets, size_t count)
{
	static const char digits[] = "0123456789ABCDEF";
	for (size_t i = 0; i < count; i++) {
		put_char(out, digits[octets[i] >> 4]);
		put_char(out, digits[octets[i] & 15]);
	}
}

void put_base64(struct text_out *out, const uint8_t *octets, size_t count)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < count; i += 3) {
		size_t left = count - i;
		uint32_t bits = (uint32_t)octets[i] << 16 | (left > 1 ? (uint32_t)octets[i + 1] << 8 : 0) |
				(left > 2 ? octets[i + 2] : 0);
		put_char(out, digits[bits >> 18]);
		put_char(out, digits[bits >> 12 & 63]);
		put_char(out, left > 1 ? digits[bits >> 6 & 63] : '=');
		put_char(out, left > 2 ? digits[bits & 63] : '=');
	}
}
