// SPDX-License-Identifier: BSD-3-Clause
// RDATA fields that one or two types have for themselves: WKS, LOC, APL, EUI, NSAP, node identifiers, and the
// RDATA whose form depends on itself: IPSECKEY, AMTRELAY, A6, HIP.
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "text.h"

static const char cut[] = "the RDATA is too short";

// RFC 1035 3.4.2 with the names that old zone files have; anything else by its number.
static const struct service {
	const char *name;
	uint16_t port;
} services[] = {
	{ "echo", 7 },
	{ "discard", 9 },
	{ "systat", 11 },
	{ "daytime", 13 },
	{ "netstat", 15 },
	{ "qotd", 17 },
	{ "chargen", 19 },
	{ "ftp-data", 20 },
	{ "ftp", 21 },
	{ "ssh", 22 },
	{ "telnet", 23 },
	{ "smtp", 25 },
	{ "time", 37 },
	{ "rlp", 39 },
	{ "nameserver", 42 },
	{ "whois", 43 },
	{ "nicname", 43 },
	{ "tacacs", 49 },
	{ "domain", 53 },
	{ "bootps", 67 },
	{ "bootpc", 68 },
	{ "tftp", 69 },
	{ "gopher", 70 },
	{ "finger", 79 },
	{ "http", 80 },
	{ "www", 80 },
	{ "kerberos", 88 },
	{ "hostname", 101 },
	{ "rtelnet", 107 },
	{ "pop2", 109 },
	{ "pop3", 110 },
	{ "sunrpc", 111 },
	{ "auth", 113 },
	{ "sftp", 115 },
	{ "uucp-path", 117 },
	{ "nntp", 119 },
	{ "ntp", 123 },
	{ "netbios-ns", 137 },
	{ "imap", 143 },
	{ "imap2", 143 },
	{ "snmp", 161 },
	{ "bgp", 179 },
	{ "irc", 194 },
	{ "ldap", 389 },
	{ "https", 443 },
	{ "exec", 512 },
	{ "login", 513 },
	{ "shell", 514 },
	{ "printer", 515 },
	{ "uucp", 540 },
	{ "ldaps", 636 },
	{ "imaps", 993 },
	{ "pop3s", 995 },
};

static bool scan_service(struct scanner *s, uint32_t *port)
{
	for (unsigned i = 0; i < sizeof(services) / sizeof(*services); i++) {
		if (token_is(&s->token, services[i].name)) {
			*port = services[i].port;
			scan_next(s);
			return true;
		}
	}
	return scan_number(s, UINT16_MAX, "a port number or the name of a well-known service", port);
}

bool scan_wks(struct scanner *s, struct writer *out)
{
	uint8_t bits[8192];
	uint32_t protocol, port;
	size_t bytes = 0;
	if (token_is(&s->token, "tcp") || token_is(&s->token, "udp")) {
		protocol = token_is(&s->token, "tcp") ? 6 : 17;
		scan_next(s);
	} else if (!scan_number(s, UINT8_MAX, "an IP protocol", &protocol)) {
		return false;
	}
	while (!scan_at_end(s)) {
		if (!scan_service(s, &port))
			return false;
		size_t needed = port / 8 + 1;
		if (needed > bytes) {
			memset(bits + bytes, 0, needed - bytes);
			bytes = needed;
		}
		bits[port / 8] |= (uint8_t)(0x80 >> port % 8);
	}
	write_u8(out, (uint8_t)protocol);
	write_bytes(out, bits, bytes);
	return true;
}

void print_wks(struct text_out *out, struct reader *in)
{
	put_format(out, "%u", read_u8(in));
	size_t bytes = reader_left(in);
	const uint8_t *bits = read_bytes(in, bytes);
	for (size_t bit = 0; bits && bit < bytes * 8; bit++) {
		if (bits[bit / 8] & 0x80 >> bit % 8)
			put_format(out, " %zu", bit);
	}
}

const char *check_wks(struct reader *in)
{
	read_u8(in);
	size_t bytes = reader_left(in);
	read_bytes(in, bytes);
	return in->failed ? cut : bytes > 8192 ? "a port above 65535" : NULL;
}

// RFC 1876 2: sizes as mantissa and power of ten of centimetres, a nibble each.
#define LOC_EQUATOR 2147483648u
#define LOC_ALTITUDE_BASE_CM 10000000

// A decimal number with up to `places` places, times 10^places. False: not one, or above `max`.
static bool text_to_decimal(const char *text, size_t bytes, unsigned places, uint64_t max, uint64_t *value)
{
	uint64_t sum = 0;
	size_t i = 0;
	for (; i < bytes && isdigit((unsigned char)text[i]); i++) {
		sum = sum * 10 + (unsigned)(text[i] - '0');
		if (sum > max)
			return false;
	}
	if (i == 0)
		return false;
	bool point = i < bytes && text[i] == '.';
	i += point;
	for (unsigned place = 0; place < places; place++) {
		bool digit = point && i < bytes && isdigit((unsigned char)text[i]);
		sum = sum * 10 + (digit ? (unsigned)(text[i] - '0') : 0);
		i += digit;
	}
	*value = sum;
	return i == bytes && sum <= max;
}

static bool at_letter(const struct scanner *s, char a, char b)
{
	return s->token.kind == TOKEN_WORD && s->token.bytes == 1 &&
	       (toupper((unsigned char)*s->token.at) == a || toupper((unsigned char)*s->token.at) == b);
}

// "degrees [minutes [seconds]] letter" in thousandths of a second of arc from the equator or meridian.
static bool scan_angle(struct scanner *s, uint32_t max_degrees, char plus, char minus, uint32_t *angle)
{
	uint32_t degrees, minutes = 0;
	uint64_t seconds = 0;
	char what[64];
	if (!scan_number(s, max_degrees, "degrees of latitude, then of longitude", &degrees))
		return false;
	if (!at_letter(s, plus, minus) && !scan_number(s, 59, "minutes of arc", &minutes))
		return false;
	if (!at_letter(s, plus, minus)) {
		if (s->token.kind != TOKEN_WORD ||
			!text_to_decimal(s->token.at, s->token.bytes, 3, 59999, &seconds))
			return scan_expected(s, "seconds of arc");
		scan_next(s);
	}
	snprintf(what, sizeof(what), "%c or %c", plus, minus);
	if (!at_letter(s, plus, minus))
		return scan_expected(s, what);
	uint32_t sum = (degrees * 60 + minutes) * 60000 + (uint32_t)seconds;
	if (sum > max_degrees * 3600000u)
		return scan_wrong(s, "more than %u degrees", max_degrees);
	*angle = at_letter(s, plus, plus) ? LOC_EQUATOR + sum : LOC_EQUATOR - sum;
	scan_next(s);
	return true;
}

// Metres with an optional "m", in centimetres.
static bool token_to_cm(const struct token *token, uint64_t max, uint64_t *cm)
{
	size_t bytes = token->bytes;
	if (bytes && (token->at[bytes - 1] == 'm' || token->at[bytes - 1] == 'M'))
		bytes--;
	return token->kind == TOKEN_WORD && text_to_decimal(token->at, bytes, 2, max, cm);
}

static bool scan_altitude(struct scanner *s, uint32_t *altitude)
{
	struct token token = s->token;
	uint64_t cm;
	bool below = token.kind == TOKEN_WORD && token.bytes && *token.at == '-';
	token.at += below;
	token.bytes -= below;
	if (!token_to_cm(&token, below ? LOC_ALTITUDE_BASE_CM : UINT32_MAX - LOC_ALTITUDE_BASE_CM, &cm))
		return scan_expected(s, "an altitude in metres");
	*altitude = below ? LOC_ALTITUDE_BASE_CM - (uint32_t)cm : LOC_ALTITUDE_BASE_CM + (uint32_t)cm;
	scan_next(s);
	return true;
}

static bool scan_precision(struct scanner *s, uint8_t *precision)
{
	uint64_t cm;
	unsigned power = 0;
	if (scan_at_end(s))
		return true; // keeps its default
	if (!token_to_cm(&s->token, UINT64_C(9000000000), &cm))
		return scan_expected(s, "a size in metres up to 90000000");
	for (; cm >= 10; cm /= 10)
		power++;
	*precision = (uint8_t)(cm << 4 | power);
	scan_next(s);
	return true;
}

bool scan_loc(struct scanner *s, struct writer *out)
{
	uint32_t latitude = 0, longitude = 0, altitude = 0;
	uint8_t precision[3] = { 0x12, 0x16, 0x13 }; // 1 m, 10000 m, 10 m
	if (!scan_angle(s, 90, 'N', 'S', &latitude) || !scan_angle(s, 180, 'E', 'W', &longitude) ||
		!scan_altitude(s, &altitude))
		return false;
	for (unsigned i = 0; i < 3; i++) {
		if (!scan_precision(s, &precision[i]))
			return false;
	}
	write_u8(out, 0);
	write_bytes(out, precision, sizeof(precision));
	write_be32(out, latitude);
	write_be32(out, longitude);
	write_be32(out, altitude);
	return true;
}

static void put_angle(struct text_out *out, uint32_t angle, char plus, char minus)
{
	uint32_t sum = angle >= LOC_EQUATOR ? angle - LOC_EQUATOR : LOC_EQUATOR - angle;
	put_format(out, "%u %u %u.%03u %c", sum / 3600000, sum / 60000 % 60, sum / 1000 % 60, sum % 1000,
		angle >= LOC_EQUATOR ? plus : minus);
}

static void put_precision(struct text_out *out, uint8_t precision)
{
	uint64_t cm = precision >> 4;
	for (unsigned i = 0; i < (precision & 15u); i++)
		cm *= 10;
	if (cm % 100)
		put_format(out, " %u.%02um", (unsigned)(cm / 100), (unsigned)(cm % 100));
	else
		put_format(out, " %um", (unsigned)(cm / 100));
}

void print_loc(struct text_out *out, struct reader *in)
{
	const uint8_t *loc = read_bytes(in, 16);
	if (!loc)
		return;
	uint32_t altitude = load_be32(loc + 12);
	bool below = altitude < LOC_ALTITUDE_BASE_CM;
	uint32_t cm = below ? LOC_ALTITUDE_BASE_CM - altitude : altitude - LOC_ALTITUDE_BASE_CM;
	put_angle(out, load_be32(loc + 4), 'N', 'S');
	put_char(out, ' ');
	put_angle(out, load_be32(loc + 8), 'E', 'W');
	put_format(out, " %s%u.%02um", below ? "-" : "", cm / 100, cm % 100);
	for (unsigned i = 1; i <= 3; i++)
		put_precision(out, loc[i]);
}

static bool angle_fits(uint32_t angle, uint32_t max_degrees)
{
	return (angle >= LOC_EQUATOR ? angle - LOC_EQUATOR : LOC_EQUATOR - angle) <= max_degrees * 3600000u;
}

const char *check_loc(struct reader *in)
{
	const uint8_t *loc = read_bytes(in, 16);
	if (!loc)
		return cut;
	if (loc[0] != 0)
		return "a LOC version that is not 0";
	for (unsigned i = 1; i <= 3; i++) {
		if (loc[i] >> 4 > 9 || (loc[i] & 15) > 9)
			return "a LOC size that is no decimal number";
	}
	if (!angle_fits(load_be32(loc + 4), 90) || !angle_fits(load_be32(loc + 8), 180))
		return "a place that is not on the earth";
	return NULL;
}

// RFC 3123: [!]family:address/prefix, address octets without trailing zeros.
struct apl_item {
	uint8_t address[16];
	uint16_t family; // 1 or 2
	uint8_t prefix;
	bool negated;
};

static bool text_to_apl(struct apl_item *item, const char *text, size_t bytes)
{
	*item = (struct apl_item){ .negated = bytes && *text == '!' };
	text += item->negated;
	bytes -= item->negated;
	const char *slash = memchr(text, '/', bytes);
	if (!slash || bytes < 2 || text[1] != ':' || (*text != '1' && *text != '2') || slash < text + 2)
		return false;
	item->family = (uint16_t)(*text - '0');
	const char *address = text + 2;
	size_t address_bytes = (size_t)(slash - address);
	uint32_t prefix;
	if (!(item->family == 1 ? text_to_ip4(item->address, address, address_bytes)
				: text_to_ip6(item->address, address, address_bytes)))
		return false;
	if (!text_to_number(
		    slash + 1, bytes - (size_t)(slash + 1 - text), item->family == 1 ? 32 : 128, &prefix))
		return false;
	item->prefix = (uint8_t)prefix;
	return true;
}

bool scan_apl(struct scanner *s, struct writer *out)
{
	for (; !scan_at_end(s); scan_next(s)) {
		struct apl_item item;
		if (s->token.kind != TOKEN_WORD || !text_to_apl(&item, s->token.at, s->token.bytes))
			return scan_expected(s, "[!]1:IPv4/prefix or [!]2:IPv6/prefix");
		unsigned bytes = item.family == 1 ? 4 : 16;
		while (bytes && item.address[bytes - 1] == 0)
			bytes--;
		write_be16(out, item.family);
		write_u8(out, item.prefix);
		write_u8(out, (uint8_t)((item.negated ? 0x80u : 0) | bytes));
		write_bytes(out, item.address, bytes);
	}
	return true;
}

void print_apl(struct text_out *out, struct reader *in)
{
	for (bool first = true; reader_left(in) && !in->failed; first = false) {
		uint8_t address[16] = { 0 };
		char text[INET6_ADDRSTRLEN];
		uint16_t family = read_be16(in);
		uint8_t prefix = read_u8(in), length = read_u8(in);
		const uint8_t *octets = read_bytes(in, length & 0x7f);
		if (!octets || (length & 0x7fu) > sizeof(address))
			return;
		memcpy(address, octets, length & 0x7f);
		inet_ntop(family == 1 ? AF_INET : AF_INET6, address, text, sizeof(text));
		put_format(out, "%s%s%u:", first ? "" : " ", length & 0x80 ? "!" : "", family);
		put_text(out, text);
		put_format(out, "/%u", prefix);
	}
}

const char *check_apl(struct reader *in)
{
	while (reader_left(in)) {
		uint16_t family = read_be16(in);
		uint8_t prefix = read_u8(in), length = read_u8(in) & 0x7f;
		const uint8_t *octets = read_bytes(in, length);
		if (!octets)
			return cut;
		if (family != 1 && family != 2)
			return "an address family that is neither 1 nor 2";
		if (prefix > (family == 1 ? 32 : 128) || length > (family == 1 ? 4 : 16))
			return "a prefix that is too long for its family";
		if (length && octets[length - 1] == 0)
			return "an address with zeros at its end"; // RFC 3123 4
	}
	return NULL;
}

static bool scan_eui(struct scanner *s, struct writer *out, unsigned octets, const char *what)
{
	const struct token *token = &s->token;
	if (token->kind != TOKEN_WORD || token->bytes != octets * 3 - 1)
		return scan_expected(s, what);
	for (unsigned i = 0; i < octets; i++) {
		const char *at = token->at + 3 * i;
		unsigned value;
		char pair[3] = { at[0], at[1], 0 };
		if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1]) ||
			(i + 1 < octets && at[2] != '-') || sscanf(pair, "%x", &value) != 1)
			return scan_expected(s, what);
		write_u8(out, (uint8_t)value);
	}
	scan_next(s);
	return true;
}

static void print_eui(struct text_out *out, struct reader *in, unsigned octets)
{
	const uint8_t *value = read_bytes(in, octets);
	for (unsigned i = 0; value && i < octets; i++)
		put_format(out, "%s%02x", i ? "-" : "", value[i]);
}

bool scan_eui48(struct scanner *s, struct writer *out)
{
	return scan_eui(s, out, 6, "six octets of hex with hyphens between them");
}

void print_eui48(struct text_out *out, struct reader *in)
{
	print_eui(out, in, 6);
}

const char *check_eui48(struct reader *in)
{
	return read_bytes(in, 6) ? NULL : cut;
}

bool scan_eui64(struct scanner *s, struct writer *out)
{
	return scan_eui(s, out, 8, "eight octets of hex with hyphens between them");
}

void print_eui64(struct text_out *out, struct reader *in)
{
	print_eui(out, in, 8);
}

const char *check_eui64(struct reader *in)
{
	return read_bytes(in, 8) ? NULL : cut;
}

static int hex_value(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1;
}

// RFC 1706 5: "0x", then hex in which dots mean nothing.
bool scan_nsap(struct scanner *s, struct writer *out)
{
	static const char what[] = "0x and an NSAP address in hex";
	const struct token *token = &s->token;
	int high = -1;
	if (token->kind != TOKEN_WORD || token->bytes < 4 || strncasecmp(token->at, "0x", 2))
		return scan_expected(s, what);
	for (unsigned i = 2; i < token->bytes; i++) {
		int digit = hex_value(token->at[i]);
		if (token->at[i] == '.')
			continue;
		if (digit < 0)
			return scan_expected(s, what);
		if (high >= 0)
			write_u8(out, (uint8_t)(high << 4 | digit));
		high = high >= 0 ? -1 : digit;
	}
	if (high >= 0 || out->at == out->start)
		return scan_expected(s, "an even number of hex digits");
	scan_next(s);
	return true;
}

void print_nsap(struct text_out *out, struct reader *in)
{
	put_text(out, "0x");
	print_hex(out, in);
}

const char *check_nsap(struct reader *in)
{
	return check_hex(in);
}

bool scan_node_id(struct scanner *s, struct writer *out)
{
	static const char what[] = "four groups of hex digits with colons between them";
	const struct token *token = &s->token;
	if (token->kind != TOKEN_WORD)
		return scan_expected(s, what);
	unsigned at = 0;
	for (unsigned group = 0; group < 4; group++) {
		unsigned value = 0, start = at;
		for (; at < token->bytes && at - start < 4 && hex_value(token->at[at]) >= 0; at++)
			value = value << 4 | (unsigned)hex_value(token->at[at]);
		if (at == start || (group < 3 && (at == token->bytes || token->at[at++] != ':')))
			return scan_expected(s, what);
		write_be16(out, (uint16_t)value);
	}
	if (at != token->bytes)
		return scan_expected(s, what);
	scan_next(s);
	return true;
}

void print_node_id(struct text_out *out, struct reader *in)
{
	for (unsigned group = 0; group < 4; group++)
		put_format(out, "%s%x", group ? ":" : "", read_be16(in));
}

const char *check_node_id(struct reader *in)
{
	return read_bytes(in, 8) ? NULL : cut;
}

// A gateway or relay: nothing, an address or a name, by a number before it (RFC 4025 2.3, RFC 8777 4.2.3).
enum { PEER_NONE, PEER_IP4, PEER_IP6, PEER_NAME };

static bool scan_peer(struct scanner *s, struct writer *out, uint32_t kind)
{
	if (kind == PEER_IP4)
		return scan_ip4(s, out);
	if (kind == PEER_IP6)
		return scan_ip6(s, out);
	if (kind == PEER_NAME)
		return scan_plain_name(s, out);
	if (!token_is(&s->token, "."))
		return scan_expected(s, "\".\", for there is no gateway or relay of kind 0");
	scan_next(s);
	return true;
}

static void print_peer(struct text_out *out, struct reader *in, unsigned kind)
{
	unsigned bytes;
	if (kind == PEER_IP4)
		print_ip4(out, in);
	else if (kind == PEER_IP6)
		print_ip6(out, in);
	else if (kind == PEER_NONE)
		put_char(out, '.');
	else if ((bytes = name_length(in->at, reader_left(in))))
		put_name(out, read_bytes(in, bytes));
}

static const char *check_peer(struct reader *in, unsigned kind)
{
	if (kind == PEER_IP4 || kind == PEER_IP6)
		return read_bytes(in, kind == PEER_IP4 ? 4 : 16) ? NULL : cut;
	if (kind == PEER_NAME)
		return check_name(in);
	return kind == PEER_NONE ? NULL : "a kind of gateway or relay above 3";
}

bool scan_ipseckey(struct scanner *s, struct writer *out)
{
	uint32_t precedence, kind, algorithm;
	if (!scan_number(s, UINT8_MAX, "a precedence up to 255", &precedence) ||
		!scan_number(s, PEER_NAME, "a gateway kind up to 3", &kind) ||
		!scan_number(s, UINT8_MAX, "an algorithm up to 255", &algorithm))
		return false;
	write_u8(out, (uint8_t)precedence);
	write_u8(out, (uint8_t)kind);
	write_u8(out, (uint8_t)algorithm);
	return scan_peer(s, out, kind) && (algorithm ? scan_base64(s, out) : true);
}

void print_ipseckey(struct text_out *out, struct reader *in)
{
	unsigned precedence = read_u8(in), kind = read_u8(in), algorithm = read_u8(in);
	put_format(out, "%u %u %u ", precedence, kind, algorithm);
	print_peer(out, in, kind);
	if (reader_left(in)) {
		put_char(out, ' ');
		print_base64(out, in);
	}
}

const char *check_ipseckey(struct reader *in)
{
	read_u8(in);
	unsigned kind = read_u8(in), algorithm = read_u8(in);
	const char *wrong = in->failed ? cut : check_peer(in, kind);
	if (wrong)
		return wrong;
	if (algorithm == 0) // RFC 4025 2.4: no key is present
		return reader_left(in) ? "a key without an algorithm" : NULL;
	return check_base64(in);
}

void names_ipseckey(struct reader in, void (*visit)(void *, unsigned, bool), void *ctx)
{
	if (in.at[1] == PEER_NAME)
		visit(ctx, (unsigned)(in.at - in.start) + 3, false);
}

bool scan_amtrelay(struct scanner *s, struct writer *out)
{
	uint32_t precedence, discovery, kind;
	if (!scan_number(s, UINT8_MAX, "a precedence up to 255", &precedence) ||
		!scan_number(s, 1, "the discovery flag, 0 or 1", &discovery) ||
		!scan_number(s, PEER_NAME, "a relay kind up to 3", &kind))
		return false;
	write_u8(out, (uint8_t)precedence);
	write_u8(out, (uint8_t)(discovery << 7 | kind));
	return scan_peer(s, out, kind);
}

void print_amtrelay(struct text_out *out, struct reader *in)
{
	unsigned precedence = read_u8(in), kind = read_u8(in);
	put_format(out, "%u %u %u ", precedence, kind >> 7, kind & 0x7f);
	print_peer(out, in, kind & 0x7f);
}

const char *check_amtrelay(struct reader *in)
{
	read_u8(in);
	unsigned kind = read_u8(in);
	return in->failed ? cut : check_peer(in, kind & 0x7f);
}

void names_amtrelay(struct reader in, void (*visit)(void *, unsigned, bool), void *ctx)
{
	if ((in.at[1] & 0x7f) == PEER_NAME)
		visit(ctx, (unsigned)(in.at - in.start) + 2, false);
}

// RFC 2874 3.1: prefix length, the address bits behind it, the name that knows the bits before it.
static unsigned a6_suffix_bytes(unsigned prefix)
{
	return (128 - prefix + 7) / 8;
}

bool scan_a6(struct scanner *s, struct writer *out)
{
	uint32_t prefix;
	uint8_t address[16];
	if (!scan_number(s, 128, "a prefix length up to 128", &prefix))
		return false;
	write_u8(out, (uint8_t)prefix);
	if (prefix < 128) {
		if (s->token.kind != TOKEN_WORD || !text_to_ip6(address, s->token.at, s->token.bytes))
			return scan_expected(s, "an IPv6 address suffix");
		unsigned bytes = a6_suffix_bytes(prefix);
		if (prefix % 8)
			address[16 - bytes] &= (uint8_t)(0xff >> prefix % 8);
		write_bytes(out, address + 16 - bytes, bytes);
		scan_next(s);
	}
	return prefix ? scan_plain_name(s, out) : true;
}

void print_a6(struct text_out *out, struct reader *in)
{
	uint8_t address[16] = { 0 };
	char text[INET6_ADDRSTRLEN];
	unsigned prefix = read_u8(in), bytes = prefix > 128 ? 0 : a6_suffix_bytes(prefix);
	const uint8_t *suffix = read_bytes(in, bytes);
	put_format(out, "%u", prefix);
	if (suffix && bytes) {
		memcpy(address + 16 - bytes, suffix, bytes);
		put_char(out, ' ');
		put_text(out, inet_ntop(AF_INET6, address, text, sizeof(text)));
	}
	if (prefix) {
		put_char(out, ' ');
		print_peer(out, in, PEER_NAME);
	}
}

const char *check_a6(struct reader *in)
{
	unsigned prefix = read_u8(in);
	if (in->failed)
		return cut;
	if (prefix > 128)
		return "a prefix length above 128";
	unsigned bytes = a6_suffix_bytes(prefix);
	const uint8_t *suffix = read_bytes(in, bytes);
	if (!suffix)
		return cut;
	if (bytes && prefix % 8 && suffix[0] >> (8 - prefix % 8))
		return "bits set in the padding of the address suffix";
	return prefix ? check_name(in) : NULL;
}

void names_a6(struct reader in, void (*visit)(void *, unsigned, bool), void *ctx)
{
	if (in.at[0])
		visit(ctx, (unsigned)(in.at - in.start) + 1 + a6_suffix_bytes(in.at[0]), false);
}

// RFC 8005 5: lengths of tag and key first, rendezvous servers at the end.
bool scan_hip(struct scanner *s, struct writer *out)
{
	uint32_t algorithm;
	uint8_t *head = write_room(out, 4);
	if (!head || !scan_number(s, UINT8_MAX, "a key algorithm up to 255", &algorithm))
		return false;
	struct token token = s->token;
	if (token.kind != TOKEN_WORD || token.bytes % 2 || token.bytes == 0 || token.bytes > 510)
		return scan_expected(s, "a host identity tag in hex");
	for (unsigned i = 0; i < token.bytes; i += 2) {
		int high = hex_value(token.at[i]), low = hex_value(token.at[i + 1]);
		if (high < 0 || low < 0)
			return scan_expected(s, "a host identity tag in hex");
		write_u8(out, (uint8_t)(high << 4 | low));
	}
	head[0] = (uint8_t)(token.bytes / 2);
	head[1] = (uint8_t)algorithm;
	scan_next(s);
	token = s->token;
	if (token.kind != TOKEN_WORD || token.bytes / 4 * 3 + 3 > (size_t)(out->end - out->at))
		return scan_expected(s, "a public key in base64");
	long bytes = base64_decode(out->at, token.at, token.bytes);
	if (bytes <= 0)
		return scan_expected(s, "a public key in base64");
	write_room(out, (size_t)bytes);
	store_be16(head + 2, (uint16_t)bytes);
	scan_next(s);
	while (!scan_at_end(s)) {
		if (!scan_plain_name(s, out))
			return false;
	}
	return true;
}

void print_hip(struct text_out *out, struct reader *in)
{
	unsigned tag_bytes = read_u8(in), algorithm = read_u8(in), key_bytes = read_be16(in);
	const uint8_t *tag = read_bytes(in, tag_bytes), *key = read_bytes(in, key_bytes);
	if (!tag || !key)
		return;
	put_format(out, "%u ", algorithm);
	put_hex(out, tag, tag_bytes);
	put_char(out, ' ');
	put_base64(out, key, key_bytes);
	for (unsigned bytes; (bytes = name_length(in->at, reader_left(in)));) {
		put_char(out, ' ');
		put_name(out, read_bytes(in, bytes));
	}
}

const char *check_hip(struct reader *in)
{
	unsigned tag_bytes = read_u8(in);
	read_u8(in);
	unsigned key_bytes = read_be16(in);
	if (!read_bytes(in, tag_bytes) || !read_bytes(in, key_bytes))
		return cut;
	if (!tag_bytes || !key_bytes)
		return "an empty host identity";
	while (reader_left(in)) {
		const char *wrong = check_name(in);
		if (wrong)
			return wrong;
	}
	return NULL;
}

void names_hip(struct reader in, void (*visit)(void *, unsigned, bool), void *ctx)
{
	unsigned tag_bytes = read_u8(&in);
	read_u8(&in);
	unsigned key_bytes = read_be16(&in);
	read_bytes(&in, tag_bytes);
	read_bytes(&in, key_bytes);
	for (unsigned bytes; (bytes = name_length(in.at, reader_left(&in))); read_bytes(&in, bytes))
		visit(ctx, (unsigned)(in.at - in.start), false);
}
