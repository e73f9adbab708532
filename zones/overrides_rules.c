// SPDX-License-Identifier: BSD-3-Clause
// A rule as people write it -> the name it is about, and its answer cut where numbers go in.
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <pollux/bytes.h>
#include <pollux/rrtype.h>

#include "overrides.h"
#include "text.h"

#define PIECES_MAX 64
#define RRSET_MAX_BYTES 60000 // of one rule, so that it fits into a message with its question
#define CAPTURE_NAME_MAX 15
#define FIRST_TABLE 256u

struct capture_name {
	char text[CAPTURE_NAME_MAX + 1];
	bool has_range; // written, not assumed
};

// A rule being read.
struct reading {
	struct override_rules *rules;
	const struct override_text *text;
	struct report *report;
	struct rule *rule;
	struct capture_name capture[OVERRIDE_CAPTURES_MAX];
	bool no_memory;
	// The record being made of captures.
	struct override_piece piece[PIECES_MAX];
	unsigned piece_count, references;
};

static const char *const action_text[OVERRIDE_ACTIONS] = {
	[OVERRIDE_RECORDS] = "records",
	[OVERRIDE_ALIAS] = "alias",
	[OVERRIDE_NXDOMAIN] = "nxdomain",
	[OVERRIDE_NODATA] = "nodata",
	[OVERRIDE_REFUSED] = "refused",
	[OVERRIDE_DROP] = "drop",
	[OVERRIDE_PASS] = "pass",
};

const char *override_action_text(enum override_action action)
{
	return action < OVERRIDE_ACTIONS ? action_text[action] : "?";
}

// `at`: octets into the word.
__attribute__((format(printf, 4, 5))) static bool wrong(const struct reading *r, const struct override_word *word,
	size_t at, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_at(r->report, SEVERITY_ERROR, r->text->file, word->line, word->column ? word->column + (unsigned)at : 0, "%s",
		text);
	return false;
}

static void *take(struct reading *r, size_t bytes)
{
	void *room = arena_take(r->rules->arena, bytes ? bytes : 1);
	r->no_memory |= !room;
	return room;
}

static const char *keep_text(struct reading *r, const char *text, size_t bytes)
{
	char *copy = take(r, bytes + 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	return copy;
}

// --- captures: <N>, <N:3>, <N:0-255>, <N:3:0-255> ---

// From behind the "<". Returns the octets up to and with the ">", 0: there is no capture's name and end.
static size_t split_capture(const char *text, size_t left, size_t *name_bytes)
{
	size_t at = 0;
	while (at < left && isalnum((unsigned char)text[at]))
		at++;
	*name_bytes = at;
	if (at == 0 || at > CAPTURE_NAME_MAX || !isalpha((unsigned char)text[0]))
		return 0;
	const char *end = memchr(text + at, '>', left - at);
	if (!end || (text[at] != '>' && text[at] != ':'))
		return 0;
	return (size_t)(end - text) + 1;
}

static bool read_range(const char *text, size_t bytes, struct override_capture *capture)
{
	const char *dash = memchr(text, '-', bytes);
	return dash && text_to_number(text, (size_t)(dash - text), UINT32_MAX, &capture->min) &&
		text_to_number(dash + 1, bytes - (size_t)(dash - text) - 1, UINT32_MAX, &capture->max) &&
		capture->min <= capture->max;
}

static bool read_width(const char *text, size_t bytes, uint8_t *width)
{
	uint32_t value;
	if (!text_to_number(text, bytes, OVERRIDE_DIGITS_MAX, &value) || !value)
		return false;
	*width = (uint8_t)value;
	return true;
}

// What stands between ":" and ">".
static bool read_limits(const char *text, size_t bytes, struct override_capture *capture, bool *has_range)
{
	const char *colon = memchr(text, ':', bytes);
	if (colon) {
		size_t first = (size_t)(colon - text);
		return read_width(text, first, &capture->width) && (*has_range = true) &&
			read_range(colon + 1, bytes - first - 1, capture);
	}
	if (memchr(text, '-', bytes))
		return (*has_range = true) && read_range(text, bytes, capture);
	return read_width(text, bytes, &capture->width);
}

static int find_capture(const struct reading *r, unsigned count, const char *name, size_t bytes)
{
	for (unsigned i = 0; i < count; i++) {
		if (strlen(r->capture[i].text) == bytes && strncasecmp(r->capture[i].text, name, bytes) == 0)
			return (int)i;
	}
	return -1;
}

static uint32_t largest_of_width(unsigned width)
{
	uint64_t limit = 1;
	while (width--)
		limit *= 10;
	return limit - 1 < UINT32_MAX ? (uint32_t)(limit - 1) : UINT32_MAX;
}

// --- patterns ---

// The pattern while its text is read.
struct draft {
	struct override_capture capture[OVERRIDE_CAPTURES_MAX];
	unsigned captures;
	uint8_t code[4 * NAME_MAX_BYTES];
	unsigned code_bytes;
	unsigned label_code[NAME_MAX_LABELS + 1]; // where each label's code starts
	unsigned labels, label_octets;		  // of the current label, each capture counted as one
	unsigned last_capture;			  // labels up to the last one with a capture
	unsigned name_octets;
	int literal; // where the current run of literal octets has its count, -1: none
};

static void put_literal(struct draft *d, uint8_t octet)
{
	if (d->literal < 0 || d->code[d->literal] == CODE_LITERAL - 1) {
		d->literal = (int)d->code_bytes;
		d->code[d->code_bytes++] = 0;
	}
	d->code[d->literal]++;
	d->code[d->code_bytes++] = fold_byte(octet);
	d->label_octets++;
}

static bool put_capture(struct reading *r, struct draft *d, const struct override_word *word, size_t at, size_t *used)
{
	const char *text = word->text + at + 1;
	size_t name_bytes, bytes = split_capture(text, word->bytes - at - 1, &name_bytes);
	if (!bytes)
		return wrong(r, word, at, "expected a capture such as <N>, <N:3> or <N:0-255>; a plain < is written \\<");
	if (find_capture(r, d->captures, text, name_bytes) >= 0)
		return wrong(r, word, at, "<%.*s> a second time", (int)name_bytes, text);
	if (d->captures == OVERRIDE_CAPTURES_MAX)
		return wrong(r, word, at, "more than %u captures", OVERRIDE_CAPTURES_MAX);
	struct override_capture *capture = &d->capture[d->captures];
	struct capture_name *name = &r->capture[d->captures];
	*name = (struct capture_name){ .has_range = false };
	memcpy(name->text, text, name_bytes);
	*capture = (struct override_capture){ .max = UINT32_MAX };
	if (bytes > name_bytes + 1 &&
		!read_limits(text + name_bytes + 1, bytes - name_bytes - 2, capture, &name->has_range))
		return wrong(r, word, at + 1 + name_bytes + 1,
			"expected digits (1 to %u), a range such as 0-255, or both as in 3:0-255", OVERRIDE_DIGITS_MAX);
	if (capture->width && !name->has_range)
		capture->max = largest_of_width(capture->width);
	d->code[d->code_bytes++] = (uint8_t)(CODE_CAPTURE + d->captures++);
	d->literal = -1;
	d->label_octets++;
	d->last_capture = d->labels + 1;
	*used = bytes + 1;
	return true;
}

static bool end_label(struct reading *r, struct draft *d, const struct override_word *word, size_t at)
{
	if (!d->label_octets)
		return wrong(r, word, at, "a name with an empty label");
	d->name_octets += d->label_octets + 1;
	if (d->label_octets > LABEL_MAX_BYTES || d->name_octets >= NAME_MAX_BYTES)
		return wrong(r, word, at, "a label longer than 63 octets, or a name longer than 255");
	d->code[d->code_bytes++] = CODE_END;
	d->label_code[++d->labels] = d->code_bytes;
	d->label_octets = 0;
	d->literal = -1;
	return true;
}

// Digits of the pattern itself, or of captures with a width, behind `code` and before anything else.
static int digits_behind(const struct draft *d, unsigned code, unsigned *digits)
{
	*digits = 0;
	while (d->code[code] != CODE_END) {
		unsigned op = d->code[code++];
		if (op >= CODE_CAPTURE) {
			if (!d->capture[op - CODE_CAPTURE].width)
				return -1;
			*digits += d->capture[op - CODE_CAPTURE].width;
			continue;
		}
		for (; op; op--, code++) {
			if (!isdigit(d->code[code]))
				return 0;
			(*digits)++;
		}
	}
	return 0;
}

// Where one number ends and the next begins must be certain.
static bool part_numbers(struct reading *r, struct draft *d, const struct override_word *word)
{
	for (unsigned at = 0; at < d->code_bytes; at++) {
		unsigned op = d->code[at], digits;
		if (op < CODE_LITERAL)
			at += op;
		if (op < CODE_CAPTURE)
			continue;
		unsigned n = op - CODE_CAPTURE;
		if (d->capture[n].width)
			continue;
		if (digits_behind(d, at + 1, &digits) < 0)
			return wrong(r, word, 0,
				"where <%s> ends cannot be told: of captures side by side all but one need a width, such as <%s:3>",
				r->capture[n].text, r->capture[n].text);
		d->capture[n].tail = (uint8_t)digits;
	}
	return true;
}

// Of a whole pattern the labels behind the last capture, as a wire name.
static unsigned put_suffix(const struct draft *d, uint8_t *to)
{
	unsigned at = 0, label = 0;
	for (unsigned code = d->label_code[d->last_capture]; code < d->code_bytes;) {
		unsigned op = d->code[code++];
		if (op == CODE_END) {
			to[label] = (uint8_t)(at - label - 1);
			label = at;
			continue;
		}
		if (at == label)
			at++; // its length
		memcpy(to + at, d->code + code, op);
		at += op;
		code += op;
	}
	to[at] = 0;
	return at + 1;
}

static bool keep_pattern(struct reading *r, const struct draft *d, bool whole)
{
	uint8_t suffix[NAME_MAX_BYTES];
	unsigned suffix_bytes = whole ? put_suffix(d, suffix) : 0;
	struct override_pattern pattern = { .labels = (uint8_t)(whole ? d->last_capture : d->labels),
		.captures = (uint8_t)d->captures, .suffix_bytes = (uint8_t)suffix_bytes };
	pattern.code_bytes = (uint16_t)d->label_code[pattern.labels];
	struct override_pattern *to = r->rule->pattern = take(r, pattern_bytes(&pattern));
	if (!to)
		return false;
	*to = pattern;
	memcpy(to->capture, d->capture, d->captures * sizeof(*d->capture));
	uint8_t *code = (uint8_t *)&to->capture[d->captures];
	memcpy(code, d->code, pattern.code_bytes);
	memcpy(code + pattern.code_bytes, suffix, suffix_bytes);
	return true;
}

static bool read_pattern(struct reading *r, const struct override_word *word)
{
	struct draft d = { .literal = -1 };
	bool whole = false;
	for (size_t at = 0; at < word->bytes;) {
		size_t used = 0;
		uint8_t octet;
		if (word->text[at] == '<') {
			if (!put_capture(r, &d, word, at, &used))
				return false;
		} else if (word->text[at] == '.') {
			used = 1;
			whole = at + 1 == word->bytes;
			if (!end_label(r, &d, word, at))
				return false;
		} else {
			used = text_to_octet(&octet, word->text + at, word->bytes - at);
			if (!used)
				return wrong(r, word, at, "a backslash needs a character or three digits up to 255 behind it");
			put_literal(&d, octet);
		}
		at += used;
		if (d.label_octets > LABEL_MAX_BYTES)
			return wrong(r, word, at, "a label longer than 63 octets");
	}
	if (!whole && !end_label(r, &d, word, word->bytes))
		return false;
	if ((whole ? d.last_capture : d.labels) > OVERRIDE_SHAPES)
		return wrong(r, word, 0, "captures may stand in the first %u labels, and a pattern without a final dot has no more",
			OVERRIDE_SHAPES);
	return part_numbers(r, &d, word) && keep_pattern(r, &d, whole);
}

// --- names ---

// The first `c` that no backslash makes a plain character; SIZE_MAX: none.
static size_t find_plain(const struct override_word *word, char c)
{
	for (size_t i = 0; i < word->bytes; i++) {
		if (word->text[i] == '\\')
			i++;
		else if (word->text[i] == c)
			return i;
	}
	return SIZE_MAX;
}

static bool keep_name(struct reading *r, const struct override_word *word, size_t from)
{
	static const uint8_t root[1] = { 0 };
	uint8_t wire[NAME_MAX_BYTES];
	unsigned bytes = 1;
	size_t length = word->bytes - from;
	wire[0] = 0;
	if (length && (word->text[from] == '@' ||
			      name_from_text(wire, &bytes, word->text + from, length, root) != ST_OK))
		return wrong(r, word, from, "'%.*s' is not a domain name", (int)(length < 200 ? length : 200),
			word->text + from);
	uint8_t *name = take(r, bytes);
	if (!name)
		return false;
	name_fold(name, wire);
	r->rule->name = name;
	r->rule->name_bytes = (uint8_t)bytes;
	return true;
}

static bool read_name(struct reading *r, const struct override_word *word)
{
	size_t star = find_plain(word, '*'), capture = find_plain(word, '<'), from = 0;
	if (!word->bytes)
		return wrong(r, word, 0, "expected a name");
	if (word->text[0] == '*' && (word->bytes == 1 || word->text[1] == '.')) {
		from = word->bytes == 1 ? 1 : 2;
		r->rule->below = true;
	} else if (word->text[0] == '.') {
		from = 1;
		r->rule->below = true;
		r->rule->flags = OVERRIDE_SELF;
	}
	const struct override_word rest = { word->text + from, word->bytes - from, word->line, word->column };
	if (find_plain(&rest, '*') != SIZE_MAX)
		return wrong(r, word, star, "a * stands in front of a dot and a name, for all that lies below; a plain one is written \\*");
	if (capture == SIZE_MAX)
		return keep_name(r, word, from);
	if (r->rule->below)
		return wrong(r, word, 0, "a pattern has no * and no dot in front: without a final dot it fits below any name");
	return read_pattern(r, word);
}

// --- answers made of captures ---

// `limit`: the largest number that this place of the answer has room for.
static bool limit_capture(struct reading *r, struct scanner *s, unsigned n, uint32_t limit, const char *place)
{
	struct override_capture *capture = &r->rule->pattern->capture[n];
	if (r->capture[n].has_range && capture->max > limit)
		return scan_wrong(s, "<%s> may be up to %u, but %s ends at %u", r->capture[n].text, capture->max, place, limit);
	if (capture->max > limit)
		capture->max = limit;
	return true;
}

static bool add_piece(struct reading *r, struct scanner *s, const struct writer *out, enum override_piece_kind kind,
	unsigned capture, unsigned width)
{
	if (r->piece_count == PIECES_MAX)
		return scan_wrong(s, "more than %u numbers and what holds them", PIECES_MAX);
	r->piece[r->piece_count++] = (struct override_piece){ .at = (uint16_t)writer_bytes(out),
		.kind = (uint8_t)kind, .capture = (uint8_t)capture, .width = (uint8_t)width };
	return true;
}

struct reference {
	unsigned capture;
	uint8_t width; // 0: as in the name
	size_t bytes;  // of its text
};

// The text starts with "<".
static bool read_reference(struct reading *r, struct scanner *s, const char *text, size_t left, struct reference *to)
{
	size_t name_bytes, bytes = split_capture(text + 1, left - 1, &name_bytes);
	to->width = 0;
	if (!bytes || (bytes > name_bytes + 1 &&
			      !read_width(text + 1 + name_bytes + 1, bytes - name_bytes - 2, &to->width)))
		return scan_wrong(s, "expected a capture such as <N>, or <N:3> for three digits; a plain < is written \\<");
	int found = find_capture(r, r->rule->pattern->captures, text + 1, name_bytes);
	if (found < 0)
		return scan_wrong(s, "there is no <%.*s> in the name", (int)name_bytes, text + 1);
	to->capture = (unsigned)found;
	to->bytes = bytes + 1;
	r->references++;
	return true;
}

// A token that is one reference and nothing else.
static bool whole_reference(struct reading *r, struct scanner *s, const char *text, size_t bytes, struct reference *to)
{
	if (!bytes || *text != '<')
		return scan_wrong(s, "a number of this kind is written out, or is one capture");
	if (!read_reference(r, s, text, bytes, to))
		return false;
	return to->bytes == bytes || scan_wrong(s, "a number of this kind is written out, or is one capture");
}

static bool capture_number(struct reading *r, struct scanner *s, struct writer *out, unsigned field)
{
	static const struct {
		enum override_piece_kind kind;
		uint32_t limit;
	} of_field[] = { [F_U8] = { PIECE_OCTET, UINT8_MAX }, [F_U16] = { PIECE_U16, UINT16_MAX },
		[F_U32] = { PIECE_U32, UINT32_MAX } };
	struct reference reference;
	return whole_reference(r, s, s->token.at, s->token.bytes, &reference) &&
		limit_capture(r, s, reference.capture, of_field[field].limit, "this field") &&
		add_piece(r, s, out, of_field[field].kind, reference.capture, 0);
}

static bool capture_ip4(struct reading *r, struct scanner *s, struct writer *out)
{
	const char *at = s->token.at, *end = at + s->token.bytes;
	for (unsigned octet = 0; octet < 4; octet++) {
		const char *dot = memchr(at, '.', (size_t)(end - at)), *stop = dot ? dot : end;
		uint32_t value;
		if (octet < 3 ? !dot : dot != NULL)
			return scan_expected(s, "an IPv4 address of four octets, some of them captures");
		if (at < stop && *at == '<') {
			struct reference reference;
			if (!whole_reference(r, s, at, (size_t)(stop - at), &reference) ||
				!limit_capture(r, s, reference.capture, UINT8_MAX, "an octet of an address") ||
				!add_piece(r, s, out, PIECE_OCTET, reference.capture, 0))
				return false;
		} else if (text_to_number(at, (size_t)(stop - at), UINT8_MAX, &value)) {
			write_u8(out, (uint8_t)value);
		} else {
			return scan_expected(s, "an IPv4 address of four octets, some of them captures");
		}
		at = stop + 1;
	}
	return true;
}

// The address with every capture written as 0, or one of them as ffff, so that its group can be told.
static bool try_ip6(const struct scanner *s, int which, uint8_t address[16])
{
	char text[64];
	unsigned bytes = 0;
	int capture = 0;
	for (unsigned i = 0; i < s->token.bytes && bytes + 4 < sizeof(text); i++) {
		if (s->token.at[i] != '<') {
			text[bytes++] = s->token.at[i];
			continue;
		}
		while (i < s->token.bytes && s->token.at[i] != '>')
			i++;
		if (capture++ != which) {
			text[bytes++] = '0';
			continue;
		}
		memset(text + bytes, 'f', 4);
		bytes += 4;
	}
	return text_to_ip6(address, text, bytes);
}

// A colon, or an end of the address.
static bool is_group_edge(const struct scanner *s, const char *at)
{
	return at < s->token.at || at >= s->token.at + s->token.bytes || *at == ':';
}

static bool capture_ip6(struct reading *r, struct scanner *s, struct writer *out)
{
	uint8_t plain[16], marked[16];
	int of_group[8];
	struct reference reference[8];
	memset(of_group, -1, sizeof(of_group));
	const char *end = s->token.at + s->token.bytes;
	int count = 0;
	for (const char *at = s->token.at; (at = memchr(at, '<', (size_t)(end - at))); count++) {
		if (count == 8)
			return scan_expected(s, "an IPv6 address, some groups of it captures");
		if (!read_reference(r, s, at, (size_t)(end - at), &reference[count]) ||
			!limit_capture(r, s, reference[count].capture, 9999, "a group of an IPv6 address"))
			return false;
		if (!is_group_edge(s, at - 1) || !is_group_edge(s, at + reference[count].bytes))
			return scan_wrong(s, "a capture is a whole group of an IPv6 address");
		if (!try_ip6(s, -1, plain) || !try_ip6(s, count, marked))
			return scan_expected(s, "an IPv6 address, some groups of it captures");
		unsigned group = 0;
		while (group < 8 && memcmp(plain + 2 * group, marked + 2 * group, 2) == 0)
			group++;
		if (group == 8)
			return scan_expected(s, "an IPv6 address, some groups of it captures");
		of_group[group] = count;
		at += reference[count].bytes;
	}
	for (unsigned group = 0; group < 8; group++) {
		if (of_group[group] < 0)
			write_bytes(out, plain + 2 * group, 2);
		else if (!add_piece(r, s, out, PIECE_GROUP, reference[of_group[group]].capture, 0))
			return false;
	}
	return true;
}

// The most digits that a reference can put in.
static unsigned most_digits(const struct reading *r, const struct reference *reference)
{
	const struct override_capture *capture = &r->rule->pattern->capture[reference->capture];
	if (!reference->width)
		return capture->width ? capture->width : OVERRIDE_DIGITS_MAX;
	unsigned digits = 1;
	for (uint32_t left = capture->max; left >= 10; left /= 10)
		digits++;
	return digits > reference->width ? digits : reference->width;
}

// Octets with captures among them, behind a length octet that counts them. Stops at `stop` (0: at the end). Returns the
// characters used, 0 after reporting. `*longest`: octets it may come to, the length octet not among them.
static size_t capture_text(struct reading *r, struct scanner *s, struct writer *out, const char *text, size_t left,
	char stop, unsigned *longest)
{
	size_t at = 0;
	bool counted = false;
	unsigned length_at = (unsigned)writer_bytes(out);
	write_u8(out, 0);
	*longest = 0;
	while (at < left && !(stop && text[at] == stop)) {
		uint8_t octet;
		size_t used;
		struct reference reference;
		if (text[at] != '<') {
			used = text_to_octet(&octet, text + at, left - at);
			if (!used || *longest > UINT8_MAX) {
				scan_wrong(s, "%s", used ? "longer than 255 octets" : "a backslash needs a character or three digits up to 255 behind it");
				return 0;
			}
			write_u8(out, octet);
			(*longest)++;
		} else {
			if (!read_reference(r, s, text + at, left - at, &reference))
				return 0;
			struct writer length = *out;
			length.at = length.start + length_at;
			if (!counted && !add_piece(r, s, &length, PIECE_LENGTH, 0, 0))
				return 0;
			counted = true;
			if (!add_piece(r, s, out, PIECE_DIGITS, reference.capture, reference.width))
				return 0;
			*longest += most_digits(r, &reference);
			used = reference.bytes;
		}
		at += used;
	}
	if (!out->failed)
		out->start[length_at] = (uint8_t)(writer_bytes(out) - length_at - 1);
	return at ? at : 1; // nothing at all is for the caller to judge
}

static bool capture_string(struct reading *r, struct scanner *s, struct writer *out)
{
	unsigned longest;
	if (!capture_text(r, s, out, s->token.at, s->token.bytes, 0, &longest))
		return false;
	return longest <= UINT8_MAX ||
		scan_wrong(s, "with the longest numbers this string may have %u octets, 255 is the most", longest);
}

// A piece order by place: the length octet's comes before those of what it counts, so labels follow one another.
static bool capture_name(struct reading *r, struct scanner *s, struct writer *out)
{
	const char *text = s->token.at;
	size_t left = s->token.bytes;
	unsigned whole = 1, longest;
	while (left) {
		if (*text == '.')
			return scan_wrong(s, "a name with an empty label");
		size_t used = capture_text(r, s, out, text, left, '.', &longest);
		if (!used)
			return false;
		whole += longest + 1;
		if (longest > LABEL_MAX_BYTES || whole > NAME_MAX_BYTES)
			return scan_wrong(s, "with the longest numbers a label may have %u octets (63 is the most) and the name %u (255)",
				longest, whole);
		text += used;
		left -= used;
		if (left) { // the dot
			text++;
			left--;
		}
	}
	write_u8(out, 0);
	return true;
}

static bool has_reference(const struct token *token)
{
	const struct override_word word = { token->at, token->bytes, 0, 0 };
	return find_plain(&word, '<') != SIZE_MAX;
}

static bool capture_field(struct reading *r, struct scanner *s, struct writer *out, unsigned field)
{
	bool good;
	switch (field) {
	case F_U8:
	case F_U16:
	case F_U32:
		good = capture_number(r, s, out, field);
		break;
	case F_IP4:
		good = capture_ip4(r, s, out);
		break;
	case F_IP6:
		good = capture_ip6(r, s, out);
		break;
	case F_NAME:
	case F_NAME_COMPRESSIBLE:
		good = capture_name(r, s, out);
		break;
	case F_STRING:
	case F_STRING_MAYBE:
		good = capture_string(r, s, out);
		break;
	default:
		return scan_wrong(s, "a capture cannot stand here: they go into addresses, names, character-strings and plain numbers");
	}
	if (good)
		scan_next(s);
	return good;
}

static bool scan_one_field(struct reading *r, struct scanner *s, struct writer *out, unsigned field)
{
	if (scan_has_text(s) && has_reference(&s->token))
		return capture_field(r, s, out, field);
	return field_kinds[field].scan(s, out);
}

static bool scan_with_captures(struct reading *r, struct scanner *s, const struct rrtype *row, struct writer *out)
{
	s->about = row->name;
	for (const uint8_t *field = row->field; *field != F_END; field++) {
		if (*field != F_STRINGS) {
			if (!scan_one_field(r, s, out, *field))
				return false;
			continue;
		}
		do {
			if (!scan_one_field(r, s, out, F_STRING))
				return false;
		} while (!scan_at_end(s));
	}
	return scan_at_end(s) || scan_expected(s, "the end of the record");
}

// --- answers ---

static unsigned count_plain(const struct override_word *word, char c)
{
	unsigned count = 0;
	struct override_word rest = *word;
	for (size_t at; (at = find_plain(&rest, c)) != SIZE_MAX; count++) {
		rest.text += at + 1;
		rest.bytes -= at + 1;
	}
	return count;
}

static bool keep_record(struct reading *r, const struct override_word *word, const struct writer *rdata)
{
	struct rule_record *record = &r->rule->records[r->rule->record_count];
	if (r->piece_count && writer_bytes(rdata) + 12 + (size_t)r->piece_count * OVERRIDE_DIGITS_MAX > OVERRIDE_EXPANDED_MAX)
		return wrong(r, word, 0, "an answer with captures may have %u octets, the longest numbers counted",
			OVERRIDE_EXPANDED_MAX);
	uint8_t *copy = take(r, writer_bytes(rdata));
	struct override_piece *pieces = take(r, r->piece_count * sizeof(*pieces));
	if (!copy || !pieces)
		return false;
	memcpy(copy, rdata->start, writer_bytes(rdata));
	memcpy(pieces, r->piece, r->piece_count * sizeof(*pieces));
	*record = (struct rule_record){ copy, pieces, (uint16_t)writer_bytes(rdata), (uint16_t)r->piece_count };
	r->rule->record_count++;
	return true;
}

// The scanner's messages name the place in the file: its text starts at the word's line and column.
static bool open_answer(struct reading *r, struct scanner *s, const struct override_word *word, const char *line)
{
	static const uint8_t root[1] = { 0 };
	if (scan_open(s, -1, 0, line, word->bytes + 1, r->text->file, r->report) != ST_OK) {
		r->no_memory = true;
		return false;
	}
	s->line = word->line;
	s->line_offset = UINT64_C(0) - (word->column ? word->column - 1 : 0);
	scan_set_origin(s, root);
	return true;
}

static bool scan_answer(struct reading *r, const struct override_word *word, const char *line, struct writer *out)
{
	const struct rrtype *row = rrtype_by_code(r->rule->written_type);
	unsigned captures = r->rule->pattern ? count_plain(word, '<') : 0;
	struct scanner s;
	if (!open_answer(r, &s, word, line))
		return false;
	r->piece_count = r->references = 0;
	scan_next(&s);
	bool good = captures && row ? scan_with_captures(r, &s, row, out) :
		scan_rdata(&s, r->rule->written_type, out);
	if (good && out->failed)
		good = scan_wrong(&s, "the RDATA is longer than 65535 octets");
	if (good && captures != r->references)
		good = scan_wrong(&s, "a capture cannot stand here: they go into addresses, names, character-strings and plain numbers");
	if (good && s.token.kind == TOKEN_END_OF_LINE && scan_next(&s) != TOKEN_END_OF_FILE)
		good = scan_expected(&s, "one record and no more");
	scan_close(&s);
	return good;
}

static bool read_record(struct reading *r, const struct override_word *word)
{
	uint8_t room[DNS_MAX_BYTES + TEXT_PAD_BYTES]; // the largest RDATA
	struct writer out = writer_of(room, DNS_MAX_BYTES);
	char *line = take(r, word->bytes + 2);
	if (!line)
		return false;
	memcpy(line, word->text, word->bytes);
	line[word->bytes] = '\n'; // so that a record that is cut ends with its line
	line[word->bytes + 1] = '\0';
	return scan_answer(r, word, line, &out) && keep_record(r, word, &out);
}

static struct override_word trim(const struct override_word *word)
{
	struct override_word to = *word;
	while (to.bytes && isspace((unsigned char)*to.text)) {
		to.text++;
		to.bytes--;
		to.column++;
	}
	while (to.bytes && isspace((unsigned char)to.text[to.bytes - 1]))
		to.bytes--;
	return to;
}

// OVERRIDE_RECORDS: it is none.
static enum override_action action_of(const struct override_word *word)
{
	const struct override_word w = trim(word);
	for (unsigned action = OVERRIDE_NXDOMAIN; action < OVERRIDE_ACTIONS; action++) {
		if (strlen(action_text[action]) == w.bytes && strncasecmp(action_text[action], w.text, w.bytes) == 0)
			return (enum override_action)action;
	}
	return OVERRIDE_RECORDS;
}

static bool is_word(const struct override_word *word, const char *text)
{
	return strlen(text) == word->bytes && strncasecmp(word->text, text, word->bytes) == 0;
}

static bool read_type(struct reading *r)
{
	const struct override_word *word = &r->text->type;
	if (!word->bytes || is_word(word, "any"))
		return true;
	if (rrtype_from_text(&r->rule->type, word->text, word->bytes) != ST_OK || !r->rule->type)
		return wrong(r, word, 0, "'%.*s' is no RR type", (int)(word->bytes < 40 ? word->bytes : 40), word->text);
	if (r->rule->type == TYPE_OPT || (r->rule->type >= 249 && r->rule->type <= 255)) // RFC 6895 3.1
		return wrong(r, word, 0, "%.*s is no type of records", (int)word->bytes, word->text);
	r->rule->written_type = r->rule->type;
	return true;
}

static bool read_records(struct reading *r)
{
	const struct override_text *text = r->text;
	if (!r->rule->type)
		return wrong(r, &text->answers[0], 0, "expected nxdomain, nodata, refused, drop or pass, or a type for the record");
	r->rule->records = take(r, text->answer_count * sizeof(*r->rule->records));
	if (!r->rule->records)
		return false;
	bool good = true;
	for (unsigned i = 0; i < text->answer_count; i++) {
		if (action_of(&text->answers[i]) != OVERRIDE_RECORDS)
			good = wrong(r, &text->answers[i], 0, "'%.*s' stands alone, not beside records",
				(int)text->answers[i].bytes, text->answers[i].text);
		else
			good &= read_record(r, &text->answers[i]);
	}
	if (r->rule->type == TYPE_CNAME) { // RFC 1034 3.6.2: an alias stands for every type
		r->rule->action = OVERRIDE_ALIAS;
		r->rule->type = 0;
		if (good && text->answer_count > 1)
			return wrong(r, &text->answers[1], 0, "a second CNAME: a name has one");
	}
	return good;
}

static bool read_answer(struct reading *r)
{
	const struct override_text *text = r->text;
	if (!text->answer_count || !text->answers[0].bytes)
		return wrong(r, text->answer_count ? &text->answers[0] : &text->name, 0,
			"expected an answer: a record, or nxdomain, nodata, refused, drop or pass");
	if (text->answer_count == 1)
		r->rule->action = (uint8_t)action_of(&text->answers[0]);
	if (r->rule->action == OVERRIDE_RECORDS)
		return read_records(r);
	if (r->rule->action == OVERRIDE_NXDOMAIN && r->rule->type)
		return wrong(r, &text->type, 0, "nxdomain is about a name with all its types; for one type write nodata");
	return true;
}

// --- rules of the same name and type ---

static uint64_t key_hash(const struct rule *rule)
{
	const uint8_t *bytes = rule->pattern ? (const uint8_t *)rule->pattern : rule->name;
	size_t count = rule->pattern ? pattern_bytes(rule->pattern) : rule->name_bytes;
	uint64_t hash = rule->type * 4u + rule->below * 2u + rule->flags;
	for (size_t i = 0; i < count; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return name_mix(hash, UINT64_C(0x9e3779b97f4a7c15));
}

static bool same_key(const struct rule *a, const struct rule *b)
{
	if (a->type != b->type || a->below != b->below || a->flags != b->flags || !a->pattern != !b->pattern)
		return false;
	if (!a->pattern)
		return a->name_bytes == b->name_bytes && memcmp(a->name, b->name, a->name_bytes) == 0;
	return pattern_bytes(a->pattern) == pattern_bytes(b->pattern) &&
		memcmp(a->pattern, b->pattern, pattern_bytes(a->pattern)) == 0;
}

static bool grow_table(struct override_rules *rules)
{
	unsigned size = rules->table ? (rules->table_mask + 1) * 2 : FIRST_TABLE;
	struct rule **table = calloc(size, sizeof(struct rule *));
	if (!table)
		return false;
	for (unsigned i = 0; i < rules->count; i++) {
		struct rule *rule = rules->rules[i];
		if (!rule->first)
			continue;
		struct rule **slot = &table[key_hash(rule) & (size - 1)];
		rule->same_key = *slot;
		*slot = rule;
	}
	free(rules->table);
	rules->table = table;
	rules->table_mask = size - 1;
	return true;
}

static bool same_record(const struct rule_record *a, const struct rule_record *b)
{
	return a->bytes == b->bytes && a->piece_count == b->piece_count && memcmp(a->rdata, b->rdata, a->bytes) == 0 &&
		memcmp(a->pieces, b->pieces, a->piece_count * sizeof(*a->pieces)) == 0;
}

static bool is_among(const struct rule *rule, unsigned count, const struct rule_record *record)
{
	for (unsigned i = 0; i < count; i++) {
		if (same_record(&rule->records[i], record))
			return true;
	}
	return false;
}

// RFC 2181 5: an RRset has no record twice. `first`: what is there already, or NULL.
static void drop_known_records(const struct rule *first, struct rule *rule)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < rule->record_count; i++) {
		bool known = is_among(rule, kept, &rule->records[i]);
		for (const struct rule *other = first; other && !known; other = other->next)
			known = is_among(other, other->record_count, &rule->records[i]);
		if (!known)
			rule->records[kept++] = rule->records[i];
	}
	rule->record_count = (uint16_t)kept;
}

static size_t rrset_bytes(const struct rule *rule)
{
	size_t bytes = 0;
	for (; rule; rule = rule->next) {
		for (unsigned i = 0; i < rule->record_count; i++)
			bytes += 12u + rule->records[i].bytes + (size_t)rule->records[i].piece_count * OVERRIDE_DIGITS_MAX;
	}
	return bytes;
}

static bool refuse_second(const struct reading *r, const struct rule *first)
{
	return wrong(r, &r->text->name, 0, "another answer for this name and type; the first is at %s:%u", first->file,
		first->line);
}

// Behind the rules of the same name and type. `*known`: it says nothing new.
static bool join(struct reading *r, struct rule *first, bool *known)
{
	struct rule *rule = r->rule, *last = first;
	while (last->next)
		last = last->next;
	if (rule->action != first->action)
		return refuse_second(r, first);
	if (rule->action != OVERRIDE_RECORDS) {
		*known = rule->action != OVERRIDE_ALIAS || same_record(&rule->records[0], &first->records[0]);
		return *known || refuse_second(r, first);
	}
	drop_known_records(first, rule);
	*known = rule->record_count == 0;
	if (*known)
		return true;
	if (rrset_bytes(first) + rrset_bytes(rule) > RRSET_MAX_BYTES)
		return wrong(r, &r->text->name, 0, "the records of this name and type have more than %u octets", RRSET_MAX_BYTES);
	if (rule->ttl_s != first->ttl_s) // RFC 2181 5.2
		report_at(r->report, SEVERITY_WARNING, r->text->file, rule->line, r->text->name.column,
			"the TTL is that of the first record of this name and type, %u s, at %s:%u", first->ttl_s, first->file,
			first->line);
	last->next = rule;
	return true;
}

static bool make_room(struct override_rules *rules)
{
	if (rules->count < rules->room)
		return true;
	unsigned room = rules->room ? rules->room * 2 : 64;
	struct rule **more = reallocarray(rules->rules, room, sizeof(*more));
	if (!more)
		return false;
	rules->rules = more;
	rules->room = room;
	return true;
}

static bool keep_rule(struct reading *r)
{
	struct override_rules *rules = r->rules;
	struct rule *rule = r->rule;
	bool known = false;
	if (!make_room(rules) || ((!rules->table || rules->count > rules->table_mask) && !grow_table(rules))) {
		r->no_memory = true;
		return false;
	}
	drop_known_records(NULL, rule);
	struct rule **slot = &rules->table[key_hash(rule) & rules->table_mask], *first = *slot;
	while (first && !same_key(first, rule))
		first = first->same_key;
	if (first) {
		if (!join(r, first, &known) || known)
			return known;
	} else {
		if (rrset_bytes(rule) > RRSET_MAX_BYTES)
			return wrong(r, &r->text->name, 0, "more than %u octets of records", RRSET_MAX_BYTES);
		rule->first = true;
		rule->same_key = *slot;
		*slot = rule;
	}
	rule->number = rules->count;
	rules->rules[rules->count++] = rule;
	return true;
}

// --- the whole ---

// The answers as one text.
static const char *keep_answers(struct reading *r)
{
	const struct override_text *text = r->text;
	size_t bytes = 0;
	for (unsigned i = 0; i < text->answer_count; i++)
		bytes += text->answers[i].bytes + 2;
	char *to = take(r, bytes + 1), *at = to;
	if (!to)
		return NULL;
	for (unsigned i = 0; i < text->answer_count; i++) {
		if (i) {
			*at++ = ',';
			*at++ = ' ';
		}
		memcpy(at, text->answers[i].text, text->answers[i].bytes);
		at += text->answers[i].bytes;
	}
	*at = '\0';
	return to;
}

// File names are few: the last one is kept once.
static bool keep_file(struct reading *r)
{
	struct override_rules *rules = r->rules;
	if (!rules->file || strcmp(rules->file, r->text->file) != 0)
		rules->file = keep_text(r, r->text->file, strlen(r->text->file));
	r->rule->file = rules->file;
	return rules->file != NULL;
}

enum status override_rules_add(struct override_rules *rules, const struct override_text *text, struct report *report)
{
	struct reading r = { .rules = rules, .text = text, .report = report };
	r.rule = arena_take(rules->arena, sizeof(*r.rule));
	if (!r.rule)
		return ST_NO_MEMORY;
	*r.rule = (struct rule){ .ttl_s = text->ttl_s, .line = text->name.line };
	bool good = read_name(&r, &text->name);
	// Where the name is wrong what its captures mean is not known, but the type can be looked at.
	good = read_type(&r) && good && !r.no_memory && read_answer(&r);
	if (good) {
		r.rule->name_text = keep_text(&r, text->name.text, text->name.bytes);
		r.rule->answer_text = keep_answers(&r);
		good = keep_file(&r) && !r.no_memory && keep_rule(&r);
	}
	if (r.no_memory)
		return ST_NO_MEMORY;
	return good ? ST_OK : ST_SYNTAX;
}

struct override_rules *override_rules_new(void)
{
	struct override_rules *rules = calloc(1, sizeof(*rules));
	if (!rules)
		return NULL;
	rules->arena = arena_new();
	if (!rules->arena) {
		free(rules);
		return NULL;
	}
	return rules;
}

void override_rules_free(struct override_rules *rules)
{
	if (!rules)
		return;
	arena_free(rules->arena);
	free(rules->rules);
	free(rules->table);
	free(rules);
}

unsigned override_rules_count(const struct override_rules *rules)
{
	return rules->count;
}

void override_rules_info(const struct override_rules *rules, unsigned number, struct override_info *to)
{
	const struct rule *rule = rules->rules[number];
	*to = (struct override_info){ .name = rule->name_text, .answer = rule->answer_text, .type = rule->written_type,
		.ttl_s = rule->ttl_s, .file = rule->file, .line = rule->line };
}
