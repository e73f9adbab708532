// SPDX-License-Identifier: BSD-3-Clause
// Service parameters of SVCB and HTTPS (RFC 9460 2.1, 2.2, 7, 8; RFC 9461 5; RFC 9540 4).
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "text.h"

#define SVC_KEY_INVALID 65535 // RFC 9460 14.3.2

enum { KEY_MANDATORY, KEY_ALPN, KEY_NO_DEFAULT_ALPN };

// One parameter: what its value looks like.
struct svc_key {
	const char *name;
	// Octets of the value's text to wire; NULL: the key has no value.
	bool (*scan)(struct scanner *, const uint8_t *text, size_t bytes, struct writer *);
	void (*print)(struct text_out *, const uint8_t *value, size_t bytes);
	const char *(*check)(const uint8_t *value, size_t bytes);
};

#define SVC_KEYS 9
static const struct svc_key svc_keys[SVC_KEYS];
static bool svc_key_from_text(uint16_t *code, const char *text, size_t bytes);
static void put_svc_key(struct text_out *, uint16_t code);

// The next part of a comma-separated list; false when there is none left.
static bool next_part(const uint8_t **part, size_t *part_bytes, const uint8_t **text, size_t *bytes)
{
	if (!*text)
		return false;
	const uint8_t *comma = memchr(*text, ',', *bytes);
	*part = *text;
	*part_bytes = comma ? (size_t)(comma - *text) : *bytes;
	*bytes -= comma ? *part_bytes + 1 : *part_bytes;
	*text = comma ? comma + 1 : NULL;
	return true;
}

// RFC 9460 8: a list of keys, on the wire in ascending order.
static bool scan_mandatory(struct scanner *s, const uint8_t *text, size_t bytes, struct writer *out)
{
	const uint8_t *part, *start = out->at;
	size_t part_bytes;
	while (next_part(&part, &part_bytes, &text, &bytes)) {
		uint16_t code;
		if (!svc_key_from_text(&code, (const char *)part, part_bytes))
			return scan_wrong(s, "mandatory: expected a list of parameter keys");
		uint8_t *at = write_room(out, 2);
		if (!at)
			return true; // too long: told at the end
		for (; at > start && load_be16(at - 2) > code; at -= 2)
			memcpy(at, at - 2, 2);
		if (at > start && load_be16(at - 2) == code)
			return scan_wrong(s, "mandatory: \"%.*s\" stands there twice", (int)part_bytes,
				(const char *)part);
		store_be16(at, code);
	}
	return true;
}

static void print_mandatory(struct text_out *out, const uint8_t *value, size_t bytes)
{
	for (size_t i = 0; i + 1 < bytes; i += 2) {
		put_text(out, i ? "," : "");
		put_svc_key(out, load_be16(value + i));
	}
}

static const char *check_mandatory(const uint8_t *value, size_t bytes)
{
	int former = KEY_MANDATORY; // must not list itself
	for (size_t i = 0; i + 1 < bytes; i += 2) {
		if (load_be16(value + i) <= former)
			return "mandatory: keys out of order, twice, or \"mandatory\" itself";
		former = load_be16(value + i);
	}
	return bytes == 0 || bytes % 2 ? "mandatory: not a list of keys" : NULL;
}

// RFC 9460 A.1: a backslash hides a comma or a backslash inside an element.
static bool scan_alpn(struct scanner *s, const uint8_t *text, size_t bytes, struct writer *out)
{
	uint8_t *length = write_room(out, 1);
	unsigned count = 0;
	for (size_t i = 0; i <= bytes; i++) {
		if (i == bytes || text[i] == ',') {
			if (count == 0 || count > 255)
				return scan_wrong(
					s, "alpn: a protocol of %s octets", count ? "more than 255" : "no");
			if (length)
				*length = (uint8_t)count;
			count = 0;
			if (i < bytes)
				length = write_room(out, 1);
			continue;
		}
		if (text[i] == '\\' && (++i == bytes || (text[i] != ',' && text[i] != '\\')))
			return scan_wrong(
				s, "alpn: in the list a backslash hides only a comma or a backslash");
		write_u8(out, text[i]);
		count++;
	}
	return true;
}

static void print_alpn(struct text_out *out, const uint8_t *value, size_t bytes)
{
	put_char(out, '"');
	for (size_t i = 0; i < bytes;) {
		size_t end = i + 1 + value[i];
		put_text(out, i ? "," : "");
		for (i++; i < end && i < bytes; i++) {
			if (value[i] == ',' || value[i] == '\\')
				put_octet(out, '\\');
			put_octet(out, value[i]);
		}
	}
	put_char(out, '"');
}

static const char *check_alpn(const uint8_t *value, size_t bytes)
{
	size_t at = 0;
	while (at < bytes && value[at])
		at += 1u + value[at];
	return bytes == 0 || at != bytes ? "alpn: not a list of protocols" : NULL;
}

static const char *check_no_value(const uint8_t *value, size_t bytes)
{
	(void)value;
	return bytes ? "a value for a key that has none" : NULL;
}

static bool scan_port(struct scanner *s, const uint8_t *text, size_t bytes, struct writer *out)
{
	uint32_t port;
	if (!text_to_number((const char *)text, bytes, UINT16_MAX, &port))
		return scan_wrong(s, "port: expected a number up to 65535");
	write_be16(out, (uint16_t)port);
	return true;
}

static void print_port(struct text_out *out, const uint8_t *value, size_t bytes)
{
	if (bytes == 2)
		put_format(out, "%u", load_be16(value));
}

static const char *check_port(const uint8_t *value, size_t bytes)
{
	(void)value;
	return bytes == 2 ? NULL : "port: not 2 octets";
}

static bool scan_ip4_hint(struct scanner *s, const uint8_t *text, size_t bytes, struct writer *out)
{
	const uint8_t *part;
	size_t part_bytes;
	while (next_part(&part, &part_bytes, &text, &bytes)) {
		uint8_t address[4];
		if (!text_to_ip4(address, (const char *)part, part_bytes))
			return scan_wrong(s, "ipv4hint: expected IPv4 addresses with commas between them");
		write_bytes(out, address, sizeof(address));
	}
	return true;
}

static void print_ip4_hint(struct text_out *out, const uint8_t *value, size_t bytes)
{
	struct reader in = reader_of(value, bytes);
	while (reader_left(&in) >= 4) {
		print_ip4(out, &in);
		put_text(out, reader_left(&in) ? "," : "");
	}
}

static const char *check_ip4_hint(const uint8_t *value, size_t bytes)
{
	(void)value;
	return bytes && bytes % 4 == 0 ? NULL : "ipv4hint: not a list of IPv4 addresses";
}

static bool scan_ip6_hint(struct scanner *s, const uint8_t *text, size_t bytes, struct writer *out)
{
	const uint8_t *part;
	size_t part_bytes;
	while (next_part(&part, &part_bytes, &text, &bytes)) {
		uint8_t address[16];
		if (!text_to_ip6(address, (const char *)part, part_bytes))
			return scan_wrong(s, "ipv6hint: expected IPv6 addresses with commas between them");
		write_bytes(out, address, sizeof(address));
	}
	return true;
}

static void print_ip6_hint(struct text_out *out, const uint8_t *value, size_t bytes)
{
	struct reader in = reader_of(value, bytes);
	while (reader_left(&in) >= 16) {
		print_ip6(out, &in);
		put_text(out, reader_left(&in) ? "," : "");
	}
}

static const char *check_ip6_hint(const uint8_t *value, size_t bytes)
{
	(void)value;
	return bytes && bytes % 16 == 0 ? NULL : "ipv6hint: not a list of IPv6 addresses";
}

static bool scan_ech(struct scanner *s, const uint8_t *text, size_t bytes, struct writer *out)
{
	if (bytes == 0 || bytes / 4 * 3 + 3 > (size_t)(out->end - out->at)) // room for whole groups
		return scan_wrong(s, "ech: expected base64");
	long count = base64_decode(out->at, (const char *)text, bytes);
	if (count < 0)
		return scan_wrong(s, "ech: expected base64");
	write_room(out, (size_t)count);
	return true;
}

static const char *check_not_empty(const uint8_t *value, size_t bytes)
{
	(void)value;
	return bytes ? NULL : "an empty value";
}

// RFC 9461 5: a relative URI template with the variable "dns".
static const char *check_dohpath(const uint8_t *value, size_t bytes)
{
	return bytes && *value == '/' && memmem(value, bytes, "dns", 3)
		       ? NULL
		       : "dohpath: expected a path template with {?dns}";
}

static bool scan_dohpath(struct scanner *s, const uint8_t *text, size_t bytes, struct writer *out)
{
	const char *wrong = check_dohpath(text, bytes);
	if (wrong)
		return scan_wrong(s, "%s", wrong);
	write_bytes(out, text, bytes);
	return true;
}

static const struct svc_key svc_keys[SVC_KEYS] = {
	[KEY_MANDATORY] = { "mandatory", scan_mandatory, print_mandatory, check_mandatory },
	[KEY_ALPN] = { "alpn", scan_alpn, print_alpn, check_alpn },
	[KEY_NO_DEFAULT_ALPN] = { "no-default-alpn", NULL, NULL, check_no_value },
	[3] = { "port", scan_port, print_port, check_port },
	[4] = { "ipv4hint", scan_ip4_hint, print_ip4_hint, check_ip4_hint },
	[5] = { "ech", scan_ech, put_base64, check_not_empty },
	[6] = { "ipv6hint", scan_ip6_hint, print_ip6_hint, check_ip6_hint },
	[7] = { "dohpath", scan_dohpath, put_quoted, check_dohpath },
	[8] = { "ohttp", NULL, NULL, check_no_value },
};

static bool svc_key_from_text(uint16_t *code, const char *text, size_t bytes)
{
	for (uint16_t i = 0; i < SVC_KEYS; i++) {
		if (strlen(svc_keys[i].name) == bytes && strncasecmp(svc_keys[i].name, text, bytes) == 0) {
			*code = i;
			return true;
		}
	}
	uint32_t number;
	if (bytes < 4 || strncasecmp(text, "key", 3) || (bytes > 4 && text[3] == '0') ||
		!text_to_number(text + 3, bytes - 3, SVC_KEY_INVALID - 1, &number))
		return false;
	*code = (uint16_t)number;
	return true;
}

static void put_svc_key(struct text_out *out, uint16_t code)
{
	if (code < SVC_KEYS)
		put_text(out, svc_keys[code].name);
	else
		put_format(out, "key%u", code);
}

// One "key", "key=value" or key="value" as the current token; value octets to `value`.
struct svc_param {
	uint16_t code;
	bool generic; // written as keyNNNNN: the value is wire (RFC 9460 2.1)
	bool has_value;
	size_t bytes;
	uint8_t value[UINT16_MAX];
};

static bool take_value(struct scanner *s, struct svc_param *param)
{
	int count = scan_octets(s, param->value, sizeof(param->value));
	param->bytes = count < 0 ? 0 : (size_t)count;
	return count >= 0;
}

static bool scan_param_text(struct scanner *s, struct svc_param *param)
{
	struct token *token = &s->token;
	if (token->kind != TOKEN_WORD)
		return scan_expected(s, "a service parameter (key or key=value)");
	const char *equals = memchr(token->at, '=', token->bytes);
	size_t key_bytes = equals ? (size_t)(equals - token->at) : token->bytes;
	if (!svc_key_from_text(&param->code, token->at, key_bytes))
		return scan_expected(s, "a service parameter (a known key or keyNNNNN)");
	param->generic = strncasecmp(token->at, "key", 3) == 0;
	param->has_value = equals;
	param->bytes = 0;
	if (!equals) {
		scan_next(s);
		return true;
	}
	token->at = equals + 1;
	token->bytes -= (uint32_t)key_bytes + 1;
	if (token->bytes && !take_value(s, param))
		return false;
	bool quoted_may_follow = token->bytes == 0;
	scan_next(s);
	if (!quoted_may_follow || token->kind != TOKEN_QUOTED || !token->glued)
		return true;
	if (!take_value(s, param))
		return false;
	scan_next(s);
	return true;
}

static bool write_value(struct scanner *s, const struct svc_param *param, struct writer *out)
{
	if (param->generic || param->code >= SVC_KEYS) {
		write_bytes(out, param->value, param->bytes);
		return true;
	}
	const struct svc_key *key = &svc_keys[param->code];
	if (!key->scan)
		return param->bytes ? scan_wrong(s, "%s has no value", key->name) : true;
	if (!param->bytes)
		return scan_wrong(s, "%s needs a value", key->name);
	return key->scan(s, param->value, param->bytes, out);
}

// Moves the parameter written last, at `last`, to its place in the ascending order of RFC 9460 2.2.
static bool sort_in(
	struct scanner *s, uint8_t *first, uint8_t *last, struct svc_param *scratch, struct writer *out)
{
	uint16_t code = load_be16(last);
	uint8_t *place = first;
	while (place < last && load_be16(place) < code)
		place += 4 + load_be16(place + 2);
	if (place == last)
		return true;
	if (load_be16(place) == code)
		return scan_wrong(s, "the same parameter twice");
	size_t bytes = (size_t)(out->at - last);
	if (bytes > sizeof(scratch->value))
		return scan_wrong(s, "parameters longer than 65535 octets");
	memcpy(scratch->value, last, bytes);
	memmove(place + bytes, place, (size_t)(last - place));
	memcpy(place, scratch->value, bytes);
	return true;
}

bool scan_svc_params(struct scanner *s, struct writer *out)
{
	struct svc_param param;
	uint8_t *first = out->at;
	while (!scan_at_end(s)) {
		unsigned line = s->token.line, column = s->token.column;
		if (!scan_param_text(s, &param))
			return false;
		struct token after = s->token;
		s->token.line = line; // messages point at the parameter
		s->token.column = column;
		if (after.kind == TOKEN_BROKEN)
			return false;
		uint8_t *last = out->at;
		write_be16(out, param.code);
		uint8_t *length = write_room(out, 2);
		if (!write_value(s, &param, out))
			return false;
		if (out->failed)
			return true; // too long: told by the caller
		store_be16(length, (uint16_t)(out->at - length - 2));
		if (!sort_in(s, first, last, &param, out))
			return false;
		s->token = after;
	}
	struct reader in = reader_of(first, (size_t)(out->at - first));
	const char *wrong = check_svc_params(&in);
	return wrong ? scan_wrong(s, "%s", wrong) : true;
}

void print_svc_params(struct text_out *out, struct reader *in)
{
	for (bool first = true; reader_left(in) && !in->failed; first = false) {
		uint16_t code = read_be16(in), bytes = read_be16(in);
		const uint8_t *value = read_bytes(in, bytes);
		if (!value)
			return;
		put_text(out, first ? "" : " ");
		put_svc_key(out, code);
		if (!bytes)
			continue;
		put_char(out, '=');
		if (code < SVC_KEYS && svc_keys[code].print)
			svc_keys[code].print(out, value, bytes);
		else
			put_quoted(out, value, bytes);
	}
}

static bool has_key(const uint8_t *params, const uint8_t *end, uint16_t code)
{
	for (; params < end; params += 4 + load_be16(params + 2)) {
		if (load_be16(params) == code)
			return true;
	}
	return false;
}

const char *check_svc_params(struct reader *in)
{
	const uint8_t *first = in->at, *mandatory = NULL;
	size_t mandatory_bytes = 0;
	int former = -1;
	while (reader_left(in)) {
		int code = read_be16(in);
		uint16_t bytes = read_be16(in);
		const uint8_t *value = read_bytes(in, bytes);
		if (!value)
			return "a service parameter that is cut";
		if (code <= former || code == SVC_KEY_INVALID)
			return "service parameters out of order, twice, or of key 65535";
		const char *wrong = (size_t)code < SVC_KEYS ? svc_keys[code].check(value, bytes) : NULL;
		if (wrong)
			return wrong;
		if (code == KEY_MANDATORY) {
			mandatory = value;
			mandatory_bytes = bytes;
		}
		former = code;
	}
	for (size_t i = 0; i < mandatory_bytes; i += 2) { // RFC 9460 8
		if (!has_key(first, in->at, load_be16(mandatory + i)))
			return "mandatory: a key that is not there";
	}
	if (has_key(first, in->at, KEY_NO_DEFAULT_ALPN) && !has_key(first, in->at, KEY_ALPN))
		return "no-default-alpn without alpn"; // RFC 9460 7.1.1
	return NULL;
}
