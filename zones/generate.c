// SPDX-License-Identifier: BSD-3-Clause
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"

#define LINE_ROOM 4096

// start-stop[/step]
static bool scan_range(struct generator *g, struct scanner *s)
{
	static const char what[] = "a range start-stop or start-stop/step";
	const struct token *token = &s->token;
	if (token->kind != TOKEN_WORD)
		return scan_expected(s, what);
	const char *end = token->at + token->bytes;
	const char *dash = memchr(token->at, '-', token->bytes);
	const char *slash = memchr(token->at, '/', token->bytes);
	const char *stop_end = slash ? slash : end;
	g->step = 1;
	if (!dash || dash > stop_end ||
		!text_to_number(token->at, (size_t)(dash - token->at), INT32_MAX, &g->at) ||
		!text_to_number(dash + 1, (size_t)(stop_end - dash - 1), INT32_MAX, &g->stop) ||
		(slash && !text_to_number(slash + 1, (size_t)(end - slash - 1), INT32_MAX, &g->step)) ||
		g->at > g->stop || g->step == 0)
		return scan_expected(s, what);
	if ((g->stop - g->at) / g->step >= GENERATE_MAX_LINES)
		return scan_wrong(s, "$GENERATE of more than %u records", GENERATE_MAX_LINES);
	scan_next(s);
	return true;
}

static bool append_token(struct generator *g, const struct token *token)
{
	size_t bytes = token->bytes + 3u; // a blank, or quotes and a blank
	char *pattern = realloc(g->pattern, g->pattern_bytes + bytes);
	if (!pattern)
		return false;
	g->pattern = pattern;
	char *at = pattern + g->pattern_bytes;
	if (token->kind == TOKEN_QUOTED)
		*at++ = '"';
	memcpy(at, token->at, token->bytes);
	at += token->bytes;
	if (token->kind == TOKEN_QUOTED)
		*at++ = '"';
	*at++ = ' ';
	g->pattern_bytes = (size_t)(at - pattern);
	return true;
}

bool generator_open(struct generator *g, struct scanner *s)
{
	*g = (struct generator){ 0 };
	if (!scan_range(g, s))
		return false;
	unsigned words = 0;
	for (; scan_has_text(s); scan_next(s), words++) {
		if (!append_token(g, &s->token)) {
			s->status = ST_NO_MEMORY;
			break;
		}
	}
	g->line = malloc(LINE_ROOM);
	g->line_room = LINE_ROOM;
	if (!g->line)
		s->status = ST_NO_MEMORY;
	if (s->status == ST_OK && words >= 3 && scan_at_end(s))
		return true;
	if (s->status == ST_OK)
		scan_expected(s, "an owner, an RR type and RDATA");
	generator_close(g);
	return false;
}

// The lowest `width` nibbles, or more where the number needs them, from the right with dots between.
static void put_nibbles(struct text_out *out, uint32_t value, unsigned width, bool upper)
{
	unsigned count = 0;
	do {
		if (count++)
			put_char(out, '.');
		put_format(out, upper ? "%X" : "%x", value & 15);
		value >>= 4;
	} while (value || count * 2 - 1 < width);
}

// What stands between the braces: offset[,width[,base]].
static bool put_number(struct text_out *out, uint32_t number, const char *modifier, size_t bytes)
{
	char text[32], base = 'd', rest;
	int offset = 0;
	unsigned width = 0;
	if (bytes >= sizeof(text))
		return false;
	memcpy(text, modifier, bytes);
	text[bytes] = '\0';
	int fields = bytes ? sscanf(text, "%d,%u,%c%c", &offset, &width, &base, &rest) : 1;
	if (fields < 1 || fields > 3 || width > 255)
		return false;
	int64_t value = (int64_t)number + offset;
	if (value < 0 || value > UINT32_MAX)
		return false;
	switch (base) {
	case 'd':
		put_format(out, "%0*u", (int)width, (unsigned)value);
		return true;
	case 'o':
		put_format(out, "%0*o", (int)width, (unsigned)value);
		return true;
	case 'x':
		put_format(out, "%0*x", (int)width, (unsigned)value);
		return true;
	case 'X':
		put_format(out, "%0*X", (int)width, (unsigned)value);
		return true;
	case 'n':
	case 'N':
		put_nibbles(out, (uint32_t)value, width, base == 'N');
		return true;
	}
	return false;
}

static bool fill_line(const struct generator *g, struct text_out *out)
{
	const char *p = g->pattern, *end = p + g->pattern_bytes;
	while (p < end) {
		if (*p == '\\' &&
			p + 1 < end) { // "\$" is a dollar sign; other escapes are for the reader of the line
			put_char(out, *p++);
			put_char(out, *p++);
			continue;
		}
		if (*p != '$') {
			put_char(out, *p++);
			continue;
		}
		p++;
		if (p < end && *p == '$') { // the older way to write a dollar sign
			put_text(out, "\\$");
			p++;
			continue;
		}
		const char *modifier = "", *brace = p;
		if (p < end && *p == '{') {
			modifier = p + 1;
			brace = memchr(p, '}', (size_t)(end - p));
			if (!brace)
				return false;
			p = brace + 1;
		}
		if (!put_number(out, g->at, modifier, *modifier ? (size_t)(brace - modifier) : 0))
			return false;
	}
	put_char(out, '\n');
	return true;
}

bool generator_next(struct generator *g, struct scanner *s, const char **text, size_t *bytes)
{
	if (g->ended)
		return false;
	struct text_out out = { g->line, g->line + g->line_room, 0 };
	if (!fill_line(g, &out))
		return scan_wrong(s,
			"expected ${offset,width,base} with base d, o, x, X, n or N and a number from 0 on");
	if (out.needed > g->line_room)
		return scan_wrong(s, "a $GENERATE line longer than %zu octets", g->line_room);
	*text = g->line;
	*bytes = out.needed;
	g->ended = g->stop - g->at < g->step;
	g->at += g->step;
	return true;
}

void generator_close(struct generator *g)
{
	free(g->pattern);
	free(g->line);
}
