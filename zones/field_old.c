// SPDX-License-Identifier: BSD-3-Clause
// RDATA fields of types at both ends of the registry: NXT bitmaps (RFC 2535 5.2), ATM addresses (ATM Forum
// af-dans-0152.000), and 64-bit numbers.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#define NXT_TYPES 128 // RFC 2535 5.2: bit 0 off, one bit per type below 128

bool scan_u64(struct scanner *s, struct writer *out)
{
	static const char what[] = "a number up to 18446744073709551615";
	uint64_t value = 0;
	if (s->token.kind != TOKEN_WORD || s->token.bytes > 20)
		return scan_expected(s, what);
	for (unsigned i = 0; i < s->token.bytes; i++) {
		unsigned digit = (unsigned)(unsigned char)s->token.at[i] - '0';
		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, digit, &value))
			return scan_expected(s, what);
	}
	write_be32(out, (uint32_t)(value >> 32));
	write_be32(out, (uint32_t)value);
	scan_next(s);
	return true;
}

void print_u64(struct text_out *out, struct reader *in)
{
	uint64_t high = read_be32(in);
	put_format(out, "%llu", (unsigned long long)(high << 32 | read_be32(in)));
}

const char *check_u64(struct reader *in)
{
	return read_bytes(in, 8) ? NULL : "the RDATA is too short";
}

bool scan_nxt_bitmap(struct scanner *s, struct writer *out)
{
	uint8_t bits[NXT_TYPES / 8] = { 0 };
	unsigned bytes = 0;
	for (; !scan_at_end(s); scan_next(s)) {
		uint16_t code;
		if (s->token.kind != TOKEN_WORD || rrtype_from_text(&code, s->token.at, s->token.bytes) != ST_OK ||
			code == 0 || code >= NXT_TYPES)
			return scan_expected(s, "an RR type below 128");
		bits[code / 8] |= (uint8_t)(0x80 >> code % 8);
		bytes = code / 8 + 1u > bytes ? code / 8 + 1u : bytes;
	}
	if (!bytes)
		return scan_expected(s, "an RR type below 128");
	write_bytes(out, bits, bytes);
	return true;
}

void print_nxt_bitmap(struct text_out *out, struct reader *in)
{
	const char *blank = "";
	size_t bytes = reader_left(in);
	const uint8_t *bits = read_bytes(in, bytes);
	for (unsigned code = 0; bits && code < bytes * 8; code++) {
		char name[16];
		if (!(bits[code / 8] & 0x80 >> code % 8))
			continue;
		put_text(out, blank);
		put_text(out, rrtype_to_text(name, (uint16_t)code));
		blank = " ";
	}
}

const char *check_nxt_bitmap(struct reader *in)
{
	size_t bytes = reader_left(in);
	const uint8_t *bits = read_bytes(in, bytes);
	if (!bytes || bytes > NXT_TYPES / 8)
		return "a type bitmap of NXT has 1 to 16 octets";
	if (bits[0] & 0x80)
		return "another form of the type bitmap of NXT";
	return bits[bytes - 1] ? NULL : "a type bitmap ends with zeros";
}

// "+" and digits: E.164 (format 1); else hex, dots allowed: an ATM end system address (format 0).
bool scan_atma(struct scanner *s, struct writer *out)
{
	static const char what[] = "an ATM address: + and digits, or hex";
	const struct token *token = &s->token;
	if (token->kind != TOKEN_WORD)
		return scan_expected(s, what);
	bool is_number = token->at[0] == '+';
	unsigned digits = 0, value = 0;
	write_u8(out, is_number);
	for (unsigned i = is_number; i < token->bytes; i++) {
		unsigned char c = (unsigned char)token->at[i];
		if (c == '.' && !is_number)
			continue;
		if (is_number ? !isdigit(c) : !isxdigit(c))
			return scan_expected(s, what);
		digits++;
		if (is_number) {
			write_u8(out, c);
			continue;
		}
		value = value << 4 | (isdigit(c) ? c - (unsigned)'0' : (unsigned)tolower(c) - 'a' + 10);
		if (digits % 2 == 0)
			write_u8(out, (uint8_t)value);
	}
	if (!digits || (!is_number && digits % 2))
		return scan_expected(s, what);
	scan_next(s);
	return true;
}

void print_atma(struct text_out *out, struct reader *in)
{
	bool is_number = read_u8(in) == 1;
	size_t bytes = reader_left(in);
	const uint8_t *octets = read_bytes(in, bytes);
	if (!is_number) {
		put_hex(out, octets, bytes);
		return;
	}
	put_char(out, '+');
	for (size_t i = 0; i < bytes; i++)
		put_char(out, (char)octets[i]);
}

const char *check_atma(struct reader *in)
{
	uint8_t format = read_u8(in);
	size_t bytes = reader_left(in);
	const uint8_t *octets = read_bytes(in, bytes);
	if (in->failed || !bytes)
		return "the RDATA is too short";
	if (format > 1)
		return "an unknown format of ATM address";
	for (size_t i = 0; format == 1 && i < bytes; i++) {
		if (!isdigit(octets[i]))
			return "an E.164 address has digits only";
	}
	return NULL;
}
