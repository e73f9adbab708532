// SPDX-License-Identifier: BSD-3-Clause
// The table of RR types, and what is done with whole RDATA by walking a row of it.
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "rrtype_table.h"
#include "text.h"

const struct rrtype rrtypes[RRTYPE_ROWS] = {
#define RR(mnemonic, number, origin, ...)                                                                    \
	{ .name = #mnemonic, .source = origin, .code = number, .field = { __VA_ARGS__ } },
#include <pollux/rrtype.def>
#undef RR
};

const struct rrtype *rrtype_by_code(uint16_t code)
{
	switch (code) {
#define RR(mnemonic, number, origin, ...)                                                                    \
	case number:                                                                                         \
		return &rrtypes[ROW_##mnemonic];
#include <pollux/rrtype.def>
#undef RR
	default:
		return NULL;
	}
}

// A mnemonic of the table: case-blind, a hyphen where C needs an underscore.
static bool is_mnemonic(const char *name, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		char c = (char)toupper((unsigned char)text[i]);
		if (!name[i] || c == '_' || name[i] != (c == '-' ? '_' : c))
			return false;
	}
	return name[length] == '\0';
}

// Types that are asked for but stand in no zone.
static const struct {
	const char *name;
	uint16_t code;
} meta_types[] = { { "OPT", 41 }, { "TKEY", 249 }, { "TSIG", 250 }, { "IXFR", 251 }, { "AXFR", 252 },
	{ "MAILB", 253 }, { "MAILA", 254 }, { "ANY", 255 } };
#define META_TYPES (sizeof(meta_types) / sizeof(*meta_types))

enum status rrtype_from_text(uint16_t *code, const char *text, size_t length)
{
	for (unsigned i = 0; i < RRTYPE_ROWS; i++) {
		if (is_mnemonic(rrtypes[i].name, text, length)) {
			*code = rrtypes[i].code;
			return ST_OK;
		}
	}
	for (unsigned i = 0; i < META_TYPES; i++) {
		if (is_mnemonic(meta_types[i].name, text, length)) {
			*code = meta_types[i].code;
			return ST_OK;
		}
	}
	uint32_t number;
	if (length < 5 || strncasecmp(text, "TYPE", 4) ||
		!text_to_number(text + 4, length - 4, UINT16_MAX, &number))
		return ST_NOT_FOUND;
	*code = (uint16_t)number;
	return ST_OK;
}

char *rrtype_to_text(char *to, uint16_t code)
{
	const struct rrtype *row = rrtype_by_code(code);
	const char *name = row ? row->name : NULL;
	for (unsigned i = 0; !name && i < META_TYPES; i++)
		name = meta_types[i].code == code ? meta_types[i].name : NULL;
	if (!name) {
		snprintf(to, 16, "TYPE%u", code);
		return to;
	}
	unsigned at = 0;
	do
		to[at] = name[at] == '_' ? '-' : name[at];
	while (name[at++]);
	return to;
}

const char *rdata_check(uint16_t type, const uint8_t *rdata, size_t bytes)
{
	const struct rrtype *row = rrtype_by_code(type);
	if (bytes > UINT16_MAX)
		return "more than 65535 octets";
	if (!row)
		return NULL;
	struct reader in = reader_of(rdata, bytes);
	for (const uint8_t *field = row->field; *field != F_END; field++) {
		const char *wrong = field_kinds[*field].check(&in);
		if (wrong)
			return wrong;
	}
	return reader_left(&in) ? "octets behind the last field" : NULL;
}

void rdata_names(
	uint16_t type, const uint8_t *rdata, size_t bytes, void (*visit)(void *, unsigned, bool), void *ctx)
{
	const struct rrtype *row = rrtype_by_code(type);
	struct reader in = reader_of(rdata, bytes);
	for (const uint8_t *field = row ? row->field : &(const uint8_t){ F_END }; *field != F_END; field++) {
		if (field_kinds[*field].names)
			field_kinds[*field].names(in, visit, ctx);
		field_kinds[*field].check(&in);
	}
}

static void print_fields(struct text_out *out, const struct rrtype *row, const uint8_t *rdata, size_t bytes)
{
	struct reader in = reader_of(rdata, bytes);
	for (const uint8_t *field = row->field; *field != F_END; field++) {
		if (reader_left(&in) == 0 && field_kinds[*field].vanishes)
			break;
		if (field != row->field)
			put_char(out, ' ');
		field_kinds[*field].print(out, &in);
	}
}

size_t rdata_to_text(char *to, size_t room, uint16_t type, const uint8_t *rdata, size_t bytes)
{
	const struct rrtype *row = rrtype_by_code(type);
	struct text_out out = { to, to + (room ? room - 1 : 0), 0 };
	// What does not fit its type has only the text that fits everything.
	if (!row || rdata_check(type, rdata, bytes))
		print_unknown(&out, rdata, bytes);
	else
		print_fields(&out, row, rdata, bytes);
	if (room)
		*out.at = '\0';
	return out.needed;
}
