// SPDX-License-Identifier: BSD-3-Clause
// RDATA fields of plain octets: base64, hex, base32hex (RFC 4648), and the text of unknown types (RFC 3597
// 5).
#include <string.h>

#include "text.h"

static int base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Four characters at a time, which may come in several words.
struct base64 {
	uint32_t bits;
	unsigned digits, padding;
	bool ended; // padding seen and the last group full
};

static bool base64_take(struct base64 *b, uint8_t c, uint8_t to[3], unsigned *octets)
{
	*octets = 0;
	int digit = base64_digit(c);
	if (b->ended || (c == '=' ? b->digits < 2 : digit < 0 || b->padding))
		return false;
	b->padding += c == '=';
	b->bits = b->bits << 6 | (c == '=' ? 0 : (uint32_t)digit);
	if (++b->digits < 4)
		return true;
	to[0] = (uint8_t)(b->bits >> 16);
	to[1] = (uint8_t)(b->bits >> 8);
	to[2] = (uint8_t)b->bits;
	*octets = 3 - b->padding;
	b->ended = b->padding > 0;
	b->digits = 0;
	b->bits = 0;
	return true;
}

long base64_decode(uint8_t *to, const char *text, size_t bytes)
{
	struct base64 state = { 0 };
	uint8_t *at = to, group[3];
	for (size_t i = 0; i < bytes; i++) {
		unsigned octets;
		if (!base64_take(&state, (uint8_t)text[i], group, &octets))
			return -1;
		memcpy(at, group, octets);
		at += octets;
	}
	return state.digits ? -1 : at - to;
}

bool scan_base64_maybe(struct scanner *s, struct writer *out)
{
	struct base64 state = { 0 };
	for (; !scan_at_end(s); scan_next(s)) {
		for (unsigned i = 0; i < s->token.bytes; i++) {
			uint8_t group[3];
			unsigned octets;
			if (s->token.kind != TOKEN_WORD ||
				!base64_take(&state, (uint8_t)s->token.at[i], group, &octets))
				return scan_expected(s, "base64");
			write_bytes(out, group, octets);
		}
		if (s->token.kind != TOKEN_WORD)
			return scan_expected(s, "base64");
	}
	return state.digits ? scan_expected(s, "the rest of a base64 group of four characters") : true;
}

bool scan_base64(struct scanner *s, struct writer *out)
{
	return scan_at_end(s) ? scan_expected(s, "base64") : scan_base64_maybe(s, out);
}

static const uint8_t *take_rest(struct reader *in, size_t *count)
{
	*count = reader_left(in);
	return read_bytes(in, *count);
}

void print_base64(struct text_out *out, struct reader *in)
{
	size_t count;
	const uint8_t *octets = take_rest(in, &count);
	put_base64(out, octets, count);
}

void print_base64_maybe(struct text_out *out, struct reader *in)
{
	print_base64(out, in);
}

const char *check_base64_maybe(struct reader *in)
{
	size_t count;
	take_rest(in, &count);
	return NULL;
}

const char *check_base64(struct reader *in)
{
	size_t count;
	take_rest(in, &count);
	return count ? NULL : "the data at the end are missing";
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Hex in as many words as there are, octets not split between words only by habit.
static bool scan_hex_words(struct scanner *s, struct writer *out)
{
	int high = -1;
	for (; !scan_at_end(s); scan_next(s)) {
		for (unsigned i = 0; i < s->token.bytes; i++) {
			int digit = hex_digit((uint8_t)s->token.at[i]);
			if (digit < 0)
				return scan_expected(s, "hex digits");
			if (high >= 0)
				write_u8(out, (uint8_t)(high << 4 | digit));
			high = high >= 0 ? -1 : digit;
		}
		if (s->token.kind != TOKEN_WORD)
			return scan_expected(s, "hex digits");
	}
	return high >= 0 ? scan_expected(s, "an even number of hex digits") : true;
}

bool scan_hex(struct scanner *s, struct writer *out)
{
	return scan_at_end(s) ? scan_expected(s, "hex digits") : scan_hex_words(s, out);
}

void print_hex(struct text_out *out, struct reader *in)
{
	size_t count;
	const uint8_t *octets = take_rest(in, &count);
	put_hex(out, octets, count);
}

const char *check_hex(struct reader *in)
{
	return check_base64(in);
}

bool scan_hex_string(struct scanner *s, struct writer *out)
{
	const struct token *token = &s->token;
	uint8_t octets[255];
	if (token->kind != TOKEN_WORD || token->bytes > 2 * sizeof(octets))
		return scan_expected(s, "at most 255 octets of hex, or \"-\"");
	unsigned count = token->bytes == 1 && *token->at == '-' ? 0 : token->bytes;
	if (count % 2)
		return scan_expected(s, "an even number of hex digits, or \"-\"");
	for (unsigned i = 0; i < count; i += 2) {
		int high = hex_digit((uint8_t)token->at[i]), low = hex_digit((uint8_t)token->at[i + 1]);
		if (high < 0 || low < 0)
			return scan_expected(s, "hex digits, or \"-\"");
		octets[i / 2] = (uint8_t)(high << 4 | low);
	}
	write_u8(out, (uint8_t)(count / 2));
	write_bytes(out, octets, count / 2);
	scan_next(s);
	return true;
}

void print_hex_string(struct text_out *out, struct reader *in)
{
	uint8_t count = read_u8(in);
	const uint8_t *octets = read_bytes(in, count);
	if (!octets || count == 0)
		put_char(out, '-');
	else
		put_hex(out, octets, count);
}

const char *check_hex_string(struct reader *in)
{
	read_bytes(in, read_u8(in));
	return in->failed ? "a string of octets that is cut" : NULL;
}

static int base32_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'v' ? c - 'a' + 10 : -1;
}

// RFC 5155 3.3: base32hex without padding.
bool scan_base32_string(struct scanner *s, struct writer *out)
{
	const struct token *token = &s->token;
	uint8_t octets[255];
	unsigned count = 0, held = 0;
	uint32_t bits = 0;
	if (token->kind != TOKEN_WORD || token->bytes > sizeof(octets) * 8 / 5)
		return scan_expected(s, "base32hex");
	for (unsigned i = 0; i < token->bytes; i++) {
		int digit = base32_digit((uint8_t)token->at[i]);
		if (digit < 0)
			return scan_expected(s, "base32hex");
		bits = bits << 5 | (uint32_t)digit;
		held += 5;
		if (held >= 8) {
			held -= 8;
			octets[count++] = (uint8_t)(bits >> held);
		}
	}
	// No digit without a bit of its own, and no bit set that belongs to no octet.
	if (count == 0 || held >= 5 || (bits & ((1u << held) - 1)))
		return scan_expected(s, "whole octets of base32hex");
	write_u8(out, (uint8_t)count);
	write_bytes(out, octets, count);
	scan_next(s);
	return true;
}

void print_base32_string(struct text_out *out, struct reader *in)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUV";
	uint8_t count = read_u8(in);
	const uint8_t *octets = read_bytes(in, count);
	uint32_t bits = 0;
	unsigned held = 0;
	for (unsigned i = 0; octets && i < count; i++) {
		bits = bits << 8 | octets[i];
		for (held += 8; held >= 5; held -= 5)
			put_char(out, digits[bits >> (held - 5) & 31]);
	}
	if (held)
		put_char(out, digits[bits << (5 - held) & 31]);
}

const char *check_base32_string(struct reader *in)
{
	uint8_t count = read_u8(in);
	read_bytes(in, count);
	return in->failed || count == 0 ? "a hash that is cut or empty" : NULL;
}

bool scan_unknown(struct scanner *s, struct writer *out)
{
	uint32_t bytes;
	scan_next(s);
	if (!scan_number(s, UINT16_MAX, "the number of octets", &bytes))
		return false;
	uint8_t *start = out->at;
	if (!scan_hex_words(s, out))
		return false;
	if (out->failed || (size_t)(out->at - start) != bytes)
		return scan_wrong(s, "the hex is not %u octets long, as announced", bytes);
	return true;
}

void print_unknown(struct text_out *out, const uint8_t *rdata, size_t bytes)
{
	put_format(out, "\\# %zu%s", bytes, bytes ? " " : "");
	put_hex(out, rdata, bytes);
}
