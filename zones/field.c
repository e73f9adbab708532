// SPDX-License-Identifier: BSD-3-Clause
// The table of RDATA field kinds, and the kinds that most types are made of: numbers, addresses, names,
// strings, types. Each has one scan (text to wire), one print, one check.
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "text.h"

bool scan_number(struct scanner *s, uint32_t max, const char *what, uint32_t *value)
{
	const struct token *token = &s->token;
	if (token->kind != TOKEN_WORD || !text_to_number(token->at, token->bytes, max, value))
		return scan_expected(s, what);
	scan_next(s);
	return true;
}

static bool scan_u8(struct scanner *s, struct writer *out)
{
	uint32_t value;
	if (!scan_number(s, UINT8_MAX, "a number up to 255", &value))
		return false;
	write_u8(out, (uint8_t)value);
	return true;
}

static bool scan_u16(struct scanner *s, struct writer *out)
{
	uint32_t value;
	if (!scan_number(s, UINT16_MAX, "a number up to 65535", &value))
		return false;
	write_be16(out, (uint16_t)value);
	return true;
}

static bool scan_u32(struct scanner *s, struct writer *out)
{
	uint32_t value;
	if (!scan_number(s, UINT32_MAX, "a number up to 4294967295", &value))
		return false;
	write_be32(out, value);
	return true;
}

static bool scan_ttl(struct scanner *s, struct writer *out)
{
	uint32_t value;
	const struct token *token = &s->token;
	if (token->kind != TOKEN_WORD || !text_to_seconds(token->at, token->bytes, &value))
		return scan_expected(s, "a time in seconds or with units (1h30m)");
	write_be32(out, value);
	scan_next(s);
	return true;
}

static void print_u8(struct text_out *out, struct reader *in)
{
	put_format(out, "%u", read_u8(in));
}

static void print_u16(struct text_out *out, struct reader *in)
{
	put_format(out, "%u", read_be16(in));
}

static void print_u32(struct text_out *out, struct reader *in)
{
	put_format(out, "%u", read_be32(in));
}

static const char *check_fixed(struct reader *in, size_t count)
{
	return read_bytes(in, count) ? NULL : "the RDATA is too short";
}

static const char *check_u8(struct reader *in)
{
	return check_fixed(in, 1);
}

static const char *check_u16(struct reader *in)
{
	return check_fixed(in, 2);
}

static const char *check_u32(struct reader *in)
{
	return check_fixed(in, 4);
}

static const char *check_ip6(struct reader *in)
{
	return check_fixed(in, 16);
}

// Four decimal octets without leading zeros, which some read as octal.
bool text_to_ip4(uint8_t to[4], const char *text, size_t bytes)
{
	size_t at = 0;
	for (unsigned i = 0; i < 4; i++) {
		size_t start = at;
		unsigned value = 0;
		for (; at < bytes && at - start < 3 && (uint8_t)(text[at] - '0') <= 9; at++)
			value = value * 10 + (unsigned)(text[at] - '0');
		if (at == start || value > 255 || (text[start] == '0' && at - start > 1))
			return false;
		to[i] = (uint8_t)value;
		if (i < 3 && (at == bytes || text[at++] != '.'))
			return false;
	}
	return at == bytes;
}

bool text_to_ip6(uint8_t to[16], const char *text, size_t bytes)
{
	char copy[INET6_ADDRSTRLEN + 1];
	if (bytes >= sizeof(copy) || memchr(text, '\0', bytes))
		return false;
	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	return inet_pton(AF_INET6, copy, to) == 1;
}

bool scan_ip4(struct scanner *s, struct writer *out)
{
	uint8_t address[4];
	if (s->token.kind != TOKEN_WORD || !text_to_ip4(address, s->token.at, s->token.bytes))
		return scan_expected(s, "an IPv4 address");
	write_bytes(out, address, sizeof(address));
	scan_next(s);
	return true;
}

bool scan_ip6(struct scanner *s, struct writer *out)
{
	uint8_t address[16];
	if (s->token.kind != TOKEN_WORD || !text_to_ip6(address, s->token.at, s->token.bytes))
		return scan_expected(s, "an IPv6 address");
	write_bytes(out, address, sizeof(address));
	scan_next(s);
	return true;
}

void print_ip4(struct text_out *out, struct reader *in)
{
	const uint8_t *a = read_bytes(in, 4);
	if (a)
		put_format(out, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
}

void print_ip6(struct text_out *out, struct reader *in)
{
	char text[INET6_ADDRSTRLEN];
	const uint8_t *address = read_bytes(in, 16);
	if (address)
		put_text(out, inet_ntop(AF_INET6, address, text, sizeof(text)));
}

bool scan_plain_name(struct scanner *s, struct writer *out)
{
	uint8_t apart[NAME_MAX_BYTES + TEXT_PAD_BYTES];
	bool in_place = (size_t)(out->end - out->at) >= sizeof(apart);
	unsigned bytes = scan_name(s, in_place ? out->at : apart);
	if (!bytes)
		return false;
	uint8_t *to = write_room(out, bytes);
	if (to && !in_place)
		memcpy(to, apart, bytes);
	scan_next(s);
	return true;
}

static void print_name(struct text_out *out, struct reader *in)
{
	unsigned bytes = name_length(in->at, reader_left(in));
	if (bytes)
		put_name(out, read_bytes(in, bytes));
}

const char *check_name(struct reader *in)
{
	unsigned bytes = name_length(in->at, reader_left(in));
	if (!bytes || !read_bytes(in, bytes))
		return "a name that is cut, too long or compressed";
	return NULL;
}

static void names_compressible(struct reader in, void (*visit)(void *, unsigned, bool), void *ctx)
{
	visit(ctx, (unsigned)(in.at - in.start), true);
}

static void names_plain(struct reader in, void (*visit)(void *, unsigned, bool), void *ctx)
{
	visit(ctx, (unsigned)(in.at - in.start), false);
}

static bool scan_string(struct scanner *s, struct writer *out)
{
	uint8_t octets[255];
	if (!scan_has_text(s))
		return scan_expected(s, "a character-string");
	int count = scan_octets(s, octets, sizeof(octets));
	if (count < 0)
		return false;
	write_u8(out, (uint8_t)count);
	write_bytes(out, octets, (size_t)count);
	scan_next(s);
	return true;
}

static void print_string(struct text_out *out, struct reader *in)
{
	uint8_t count = read_u8(in);
	const uint8_t *octets = read_bytes(in, count);
	if (octets)
		put_quoted(out, octets, count);
}

static const char *check_string(struct reader *in)
{
	read_bytes(in, read_u8(in));
	return in->failed ? "a character-string that is cut" : NULL;
}

static bool scan_string_maybe(struct scanner *s, struct writer *out)
{
	return scan_at_end(s) || scan_string(s, out);
}

static void print_string_maybe(struct text_out *out, struct reader *in)
{
	if (reader_left(in))
		print_string(out, in);
}

static const char *check_string_maybe(struct reader *in)
{
	return reader_left(in) ? check_string(in) : NULL;
}

static bool scan_strings(struct scanner *s, struct writer *out)
{
	do {
		if (!scan_string(s, out))
			return false;
	} while (!scan_at_end(s));
	return true;
}

static void print_strings(struct text_out *out, struct reader *in)
{
	print_string(out, in);
	while (reader_left(in) && !in->failed) {
		put_char(out, ' ');
		print_string(out, in);
	}
}

static const char *check_strings(struct reader *in)
{
	const char *wrong;
	do
		wrong = check_string(in);
	while (!wrong && reader_left(in));
	return wrong;
}

static bool scan_text_rest_maybe(struct scanner *s, struct writer *out)
{
	if (!scan_has_text(s))
		return scan_expected(s, "a text");
	uint8_t *to = out->at;
	int count = scan_octets(s, to, (size_t)(out->end - to));
	if (count < 0)
		return false;
	write_room(out, (size_t)count);
	scan_next(s);
	return true;
}

static bool scan_text_rest(struct scanner *s, struct writer *out)
{
	if (s->token.kind == TOKEN_QUOTED && s->token.bytes == 0)
		return scan_expected(s, "a text that is not empty");
	return scan_text_rest_maybe(s, out);
}

static void print_text_rest(struct text_out *out, struct reader *in)
{
	size_t count = reader_left(in);
	put_quoted(out, read_bytes(in, count), count);
}

static const char *check_text_rest_maybe(struct reader *in)
{
	read_bytes(in, reader_left(in));
	return NULL;
}

static const char *check_text_rest(struct reader *in)
{
	return reader_left(in) ? check_text_rest_maybe(in) : "the text is missing";
}

// RFC 8659 4.1: letters and digits, one at least.
static bool is_tag(const uint8_t *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] > 127 || !isalnum(text[i]))
			return false;
	}
	return bytes > 0 && bytes <= 255;
}

static bool scan_tag(struct scanner *s, struct writer *out)
{
	const struct token *token = &s->token;
	if (token->kind != TOKEN_WORD || !is_tag((const uint8_t *)token->at, token->bytes))
		return scan_expected(s, "a property tag of letters and digits");
	write_u8(out, (uint8_t)token->bytes);
	write_bytes(out, token->at, token->bytes);
	scan_next(s);
	return true;
}

static void print_tag(struct text_out *out, struct reader *in)
{
	uint8_t count = read_u8(in);
	const uint8_t *tag = read_bytes(in, count);
	for (unsigned i = 0; tag && i < count; i++)
		put_char(out, (char)tag[i]);
}

static const char *check_tag(struct reader *in)
{
	uint8_t count = read_u8(in);
	const uint8_t *tag = read_bytes(in, count);
	return tag && is_tag(tag, count) ? NULL : "a property tag that is not letters and digits";
}

static bool scan_type(struct scanner *s, struct writer *out)
{
	uint16_t code;
	if (s->token.kind != TOKEN_WORD || rrtype_from_text(&code, s->token.at, s->token.bytes) != ST_OK)
		return scan_expected(s, "an RR type");
	write_be16(out, code);
	scan_next(s);
	return true;
}

static void print_type(struct text_out *out, struct reader *in)
{
	char text[16];
	put_text(out, rrtype_to_text(text, read_be16(in)));
}

// RFC 4034 4.1.2: windows of 256 types, only those with a bit set, without trailing zeros.
struct bitmap {
	uint8_t bits[256][32];
	uint8_t length[256]; // 0: the window is not there
};

static void bitmap_set(struct bitmap *map, uint16_t code)
{
	unsigned window = code >> 8, octet = (code & 255) / 8;
	if (map->length[window] == 0)
		memset(map->bits[window], 0, sizeof(map->bits[window]));
	map->bits[window][octet] |= (uint8_t)(0x80 >> (code & 7));
	if (map->length[window] <= octet)
		map->length[window] = (uint8_t)(octet + 1);
}

static bool scan_type_bitmap(struct scanner *s, struct writer *out)
{
	struct bitmap map;
	memset(map.length, 0, sizeof(map.length));
	for (; !scan_at_end(s); scan_next(s)) {
		uint16_t code;
		if (s->token.kind != TOKEN_WORD ||
			rrtype_from_text(&code, s->token.at, s->token.bytes) != ST_OK)
			return scan_expected(s, "an RR type");
		bitmap_set(&map, code);
	}
	for (unsigned window = 0; window < 256; window++) {
		if (map.length[window] == 0)
			continue;
		write_u8(out, (uint8_t)window);
		write_u8(out, map.length[window]);
		write_bytes(out, map.bits[window], map.length[window]);
	}
	return true;
}

static void print_type_bitmap(struct text_out *out, struct reader *in)
{
	char text[16];
	bool first = true;
	while (reader_left(in) && !in->failed) {
		unsigned window = read_u8(in), length = read_u8(in);
		const uint8_t *bits = read_bytes(in, length);
		for (unsigned bit = 0; bits && bit < length * 8; bit++) {
			if (!(bits[bit / 8] & 0x80 >> bit % 8))
				continue;
			put_text(out, first ? "" : " ");
			put_text(out, rrtype_to_text(text, (uint16_t)(window << 8 | bit)));
			first = false;
		}
	}
}

static const char *check_type_bitmap(struct reader *in)
{
	int former = -1;
	while (reader_left(in)) {
		int window = read_u8(in);
		unsigned length = read_u8(in);
		const uint8_t *bits = read_bytes(in, length);
		if (!bits || length < 1 || length > 32 || window <= former || bits[length - 1] == 0)
			return "a malformed type bitmap";
		former = window;
	}
	return NULL;
}

// Days since 1970-01-01 of a date in the Gregorian calendar, and back; years counted from March.
static int64_t days_of_date(int year, unsigned month, unsigned day)
{
	year -= month <= 2;
	int era = year / 400;
	unsigned year_of_era = (unsigned)(year - era * 400);
	unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return (int64_t)era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
	       719468;
}

static bool digits_between(const char *text, unsigned count, uint32_t low, uint32_t high, uint32_t *value)
{
	return text_to_number(text, count, high, value) && *value >= low;
}

// RFC 4034 3.2: a date counts modulo 2^32 seconds, as serial numbers do.
static bool text_to_time(const char *text, size_t bytes, uint32_t *time_s)
{
	static const uint8_t days_in[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	uint32_t year, month, day, hour, minute, second;
	if (bytes != 14)
		return text_to_number(text, bytes, UINT32_MAX, time_s);
	if (!digits_between(text, 4, 1970, 9999, &year) || !digits_between(text + 4, 2, 1, 12, &month) ||
		!digits_between(text + 6, 2, 1, days_in[month - 1], &day) ||
		!digits_between(text + 8, 2, 0, 23, &hour) || !digits_between(text + 10, 2, 0, 59, &minute) ||
		!digits_between(text + 12, 2, 0, 60, &second))
		return false;
	if (month == 2 && day == 29 && (year % 4 || (year % 100 == 0 && year % 400)))
		return false;
	*time_s =
		(uint32_t)(days_of_date((int)year, month, day) * 86400 + hour * 3600 + minute * 60 + second);
	return true;
}

static bool scan_time(struct scanner *s, struct writer *out)
{
	uint32_t time_s;
	if (s->token.kind != TOKEN_WORD || !text_to_time(s->token.at, s->token.bytes, &time_s))
		return scan_expected(s, "a time as YYYYMMDDHHmmSS or in seconds");
	write_be32(out, time_s);
	scan_next(s);
	return true;
}

static void print_time(struct text_out *out, struct reader *in)
{
	uint32_t time_s = read_be32(in), days = time_s / 86400, rest = time_s % 86400;
	unsigned year = 1970, month = 1;
	while (days_of_date((int)year + 1, 1, 1) <= days)
		year++;
	while (month < 12 && days_of_date((int)year, month + 1, 1) <= days)
		month++;
	unsigned day = (unsigned)(days - days_of_date((int)year, month, 1)) + 1;
	put_format(out, "%04u%02u%02u%02u%02u%02u", year, month, day, rest / 3600, rest / 60 % 60, rest % 60);
}

struct mnemonic {
	const char *name;
	uint32_t value;
};

// IANA "DNS Security Algorithm Numbers"
static const struct mnemonic algorithms[] = {
	{ "RSAMD5", 1 },
	{ "DH", 2 },
	{ "DSA", 3 },
	{ "RSASHA1", 5 },
	{ "DSA-NSEC3-SHA1", 6 },
	{ "NSEC3DSA", 6 },
	{ "NSEC3RSASHA1", 7 },
	{ "RSASHA1-NSEC3-SHA1", 7 },
	{ "RSASHA256", 8 },
	{ "RSASHA512", 10 },
	{ "ECC-GOST", 12 },
	{ "ECCGOST", 12 },
	{ "ECDSAP256SHA256", 13 },
	{ "ECDSAP384SHA384", 14 },
	{ "ED25519", 15 },
	{ "ED448", 16 },
	{ "SM2SM3", 17 },
	{ "ECC-GOST12", 23 },
	{ "INDIRECT", 252 },
	{ "PRIVATEDNS", 253 },
	{ "PRIVATEOID", 254 },
};

// RFC 4398 2.1
static const struct mnemonic cert_types[] = {
	{ "PKIX", 1 },
	{ "SPKI", 2 },
	{ "PGP", 3 },
	{ "IPKIX", 4 },
	{ "ISPKI", 5 },
	{ "IPGP", 6 },
	{ "ACPKIX", 7 },
	{ "IACPKIX", 8 },
	{ "URI", 253 },
	{ "OID", 254 },
};

static bool find_mnemonic(
	const struct token *token, const struct mnemonic *table, size_t count, uint32_t *value)
{
	for (size_t i = 0; i < count; i++) {
		if (token_is(token, table[i].name)) {
			*value = table[i].value;
			return true;
		}
	}
	return false;
}

#define COUNT_OF(array) (sizeof(array) / sizeof(*(array)))

static bool scan_algorithm(struct scanner *s, struct writer *out)
{
	uint32_t value;
	if (find_mnemonic(&s->token, algorithms, COUNT_OF(algorithms), &value))
		scan_next(s);
	else if (!scan_number(s, UINT8_MAX, "a DNSSEC algorithm", &value))
		return false;
	write_u8(out, (uint8_t)value);
	return true;
}

static bool scan_cert_type(struct scanner *s, struct writer *out)
{
	uint32_t value;
	if (find_mnemonic(&s->token, cert_types, COUNT_OF(cert_types), &value))
		scan_next(s);
	else if (!scan_number(s, UINT16_MAX, "a certificate type", &value))
		return false;
	write_be16(out, (uint16_t)value);
	return true;
}

static bool scan_never(struct scanner *s, struct writer *out)
{
	(void)out;
	return scan_expected(s, "\"\\#\", for this type has no text of its own (RFC 3597)");
}

static void print_never(struct text_out *out, struct reader *in)
{
	size_t count = reader_left(in);
	print_unknown(out, read_bytes(in, count), count);
}

#define KEY_EXAMPLE "AwEAAaz/tAm8yTn4Mfeh"

const struct field_kind field_kinds[F_COUNT] = {
	[F_U8] = { scan_u8, print_u8, check_u8, .example = "3" },
	[F_U16] = { scan_u16, print_u16, check_u16, .example = "10" },
	[F_U32] = { scan_u32, print_u32, check_u32, .example = "2026112100" },
	[F_TTL] = { scan_ttl, print_u32, check_u32, .example = "86400" },
	[F_IP4] = { scan_ip4, print_ip4, check_u32, .example = "192.0.2.1" },
	[F_IP6] = { scan_ip6, print_ip6, check_ip6, .example = "2001:db8::53" },
	[F_NAME_COMPRESSIBLE] = { scan_plain_name, print_name, check_name, names_compressible,
		.example = "host.example.com." },
	[F_NAME] = { scan_plain_name, print_name, check_name, names_plain, .example = "a\\.b.example.net." },
	[F_STRING] = { scan_string, print_string, check_string, .example = "\"one \\\"string\\\"\"" },
	[F_STRING_MAYBE] = { scan_string_maybe, print_string_maybe, check_string_maybe, .to_end = true,
		.vanishes = true, .example = "\"004\"" },
	[F_STRINGS] = { scan_strings, print_strings, check_strings, .to_end = true,
		.example = "\"v=spf1 -all\" \"\" \"\\000\\255;\"" },
	[F_TEXT_REST] = { scan_text_rest, print_text_rest, check_text_rest, .to_end = true,
		.example = "\"https://www.example.com/path\"" },
	[F_TEXT_REST_MAYBE] = { scan_text_rest_maybe, print_text_rest, check_text_rest_maybe, .to_end = true,
		.example = "\"ca.example.net; policy=ev\"" },
	[F_TAG] = { scan_tag, print_tag, check_tag, .example = "issue" },
	[F_TYPE] = { scan_type, print_type, check_u16, .example = "NSEC3PARAM" },
	[F_TYPE_BITMAP] = { scan_type_bitmap, print_type_bitmap, check_type_bitmap, .to_end = true,
		.vanishes = true, .example = "A MX RRSIG NSEC CAA TYPE1234" },
	[F_TIME] = { scan_time, print_time, check_u32, .example = "20240229235959" },
	[F_ALGORITHM] = { scan_algorithm, print_u8, check_u8, .example = "13" },
	[F_CERT_TYPE] = { scan_cert_type, print_u16, check_u16, .example = "1" },
	[F_BASE64] = { scan_base64, print_base64, check_base64, .to_end = true, .example = KEY_EXAMPLE },
	[F_BASE64_MAYBE] = { scan_base64_maybe, print_base64, check_base64_maybe, .to_end = true,
		.vanishes = true, .example = KEY_EXAMPLE },
	[F_HEX] = { scan_hex, print_hex, check_hex, .to_end = true, .example = "2BB183AF5F22588179A53B0A" },
	[F_HEX_STRING] = { scan_hex_string, print_hex_string, check_hex_string, .example = "AABBCCDD" },
	[F_BASE32_STRING] = { scan_base32_string, print_base32_string, check_base32_string,
		.example = "2T7B4G4VSA5SMI47K61MV5BV1A22BOJR" },
	[F_SVC_PARAMS] = { scan_svc_params, print_svc_params, check_svc_params, .to_end = true,
		.vanishes = true,
		.example = "mandatory=alpn,port alpn=\"h2,h3\" no-default-alpn port=8443 "
			   "ipv4hint=192.0.2.1,192.0.2.2 "
			   "ech=" KEY_EXAMPLE
			   " ipv6hint=2001:db8::1 dohpath=\"/q{?dns}\" ohttp key65280=\"x y\"" },
	[F_U64] = { scan_u64, print_u64, check_u64, .example = "18446744073709551615" },
	[F_NXT_BITMAP] = { scan_nxt_bitmap, print_nxt_bitmap, check_nxt_bitmap, .to_end = true, .example = "A MX NXT" },
	[F_ATMA] = { scan_atma, print_atma, check_atma, .to_end = true, .example = "+61200000000" },
	[F_WKS] = { scan_wks, print_wks, check_wks, .to_end = true, .example = "6 25 53 110" },
	[F_LOC] = { scan_loc, print_loc, check_loc,
		.example = "42 21 54.000 N 71 6 18.000 W -24.00m 30m 10000m 10m" },
	[F_APL] = { scan_apl, print_apl, check_apl, .to_end = true, .vanishes = true,
		.example = "1:192.168.32.0/21 !1:192.168.38.0/28 2:ff00::/8" },
	[F_EUI48] = { scan_eui48, print_eui48, check_eui48, .example = "00-00-5e-00-53-2a" },
	[F_EUI64] = { scan_eui64, print_eui64, check_eui64, .example = "00-00-5e-ef-10-00-00-2a" },
	[F_NSAP] = { scan_nsap, print_nsap, check_nsap, .to_end = true,
		.example = "0x47000580005A0000000001E133FFFFFF00016100" },
	[F_NODE_ID] = { scan_node_id, print_node_id, check_node_id, .example = "14:4fff:ff20:ee64" },
	[F_IPSECKEY] = { scan_ipseckey, print_ipseckey, check_ipseckey, names_ipseckey, .to_end = true,
		.example = "10 3 2 gw.example.com. AQNRU3mG7TVTO2BkR47usntb102uFJtu" },
	[F_AMTRELAY] = { scan_amtrelay, print_amtrelay, check_amtrelay, names_amtrelay,
		.example = "128 1 3 amt.example.com." },
	[F_A6] = { scan_a6, print_a6, check_a6, names_a6,
		.example = "64 ::1234:5678:9abc:def0 subnet.example.com." },
	[F_HIP] = { scan_hip, print_hip, check_hip, names_hip, .to_end = true,
		.example = "2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cI "
			   "rvs.example.com." },
	[F_UNKNOWN] = { scan_never, print_never, check_text_rest_maybe, .to_end = true,
		.example = "\\# 3 ABCDEF" },
};
