// SPDX-License-Identifier: BSD-3-Clause
// Text of a master file -> tokens: quotes, escapes, comments, parentheses (RFC 1035 5.1).
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "text.h"

enum { C_WORD, C_BLANK, C_NEWLINE, C_COMMENT, C_OPEN, C_CLOSE, C_QUOTE, C_BACKSLASH, C_NUL };

// The carriage return of a CRLF line end is a blank, and so is any other.
static const uint8_t class_of[256] = {
	['\0'] = C_NUL,
	[' '] = C_BLANK,
	['\t'] = C_BLANK,
	['\r'] = C_BLANK,
	['\n'] = C_NEWLINE,
	[';'] = C_COMMENT,
	['('] = C_OPEN,
	[')'] = C_CLOSE,
	['"'] = C_QUOTE,
	['\\'] = C_BACKSLASH,
};

enum status scan_open(struct scanner *s, int fd, size_t size_hint, const char *text, size_t text_bytes,
	const char *file, struct report *report)
{
	size_t hint = fd >= 0 ? size_hint + 1 : text_bytes; // the octet more finds the end in the first read
	*s = (struct scanner){
		.fd = fd, .text = text, .text_bytes = text_bytes, .file = file, .report = report, .line = 1
	};
	s->room = hint < 512 ? 512 : hint > WINDOW_BYTES ? WINDOW_BYTES : hint;
	s->window = malloc(s->room + TEXT_PAD_BYTES);
	if (!s->window)
		return ST_NO_MEMORY;
	memset(s->window, 0, TEXT_PAD_BYTES);
	s->at = s->end = s->window;
	return ST_OK;
}

void scan_close(struct scanner *s)
{
	free(s->window);
}

void scan_set_origin(struct scanner *s, const uint8_t *origin)
{
	s->origin = origin;
	s->origin_bytes = name_length(origin, NAME_MAX_BYTES);
}

static void complain(
	struct scanner *s, enum severity severity, unsigned line, unsigned column, const char *text)
{
	if (s->fixed_line) {
		line = s->fixed_line;
		column = s->fixed_column;
	}
	report_at(s->report, severity, s->file, line, column, "%s%s%s", s->about ? s->about : "",
		s->about ? ": " : "", text);
}

bool scan_wrong(struct scanner *s, const char *format, ...)
{
	char text[512];
	if (s->token.kind == TOKEN_BROKEN)
		return false;
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	complain(s, SEVERITY_ERROR, s->token.line, s->token.column, text);
	return false;
}

void scan_warn(struct scanner *s, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	complain(s, SEVERITY_WARNING, s->token.line, s->token.column, text);
}

bool scan_expected(struct scanner *s, const char *what)
{
	const struct token *token = &s->token;
	if (token->kind == TOKEN_END_OF_FILE)
		return scan_wrong(s, "expected %s, found the end of the file", what);
	if (token->kind == TOKEN_END_OF_LINE)
		return scan_wrong(s, "expected %s, found the end of the record", what);
	char found[4 * 48 + 1];
	struct text_out out = { found, found + sizeof(found) - 1, 0 };
	for (unsigned i = 0; i < token->bytes && i < 48; i++) {
		uint8_t c = (uint8_t)token->at[i];
		if (c < ' ' || c > '~')
			put_format(&out, "\\%03u", c);
		else
			put_char(&out, (char)c);
	}
	*out.at = '\0';
	return scan_wrong(s, "expected %s, found \"%s\"%s", what, found, token->bytes > 48 ? "..." : "");
}

bool token_is(const struct token *token, const char *word)
{
	return token->kind == TOKEN_WORD && strlen(word) == token->bytes &&
	       strncasecmp(token->at, word, token->bytes) == 0;
}

// Octets read; 0 at the end of the text or after an error, which is kept in s->status.
static size_t read_more(struct scanner *s, char *to, size_t room)
{
	if (s->fd < 0) {
		size_t count = s->text_bytes < room ? s->text_bytes : room;
		if (count)
			memcpy(to, s->text, count);
		s->text += count;
		s->text_bytes -= count;
		return count;
	}
	ssize_t count;
	do
		count = read(s->fd, to, room);
	while (count < 0 && errno == EINTR);
	if (count < 0) {
		s->status = ST_SYSTEM;
		report_at(s->report, SEVERITY_ERROR, s->file, 0, 0, "cannot read: %s", strerror(errno));
		return 0;
	}
	return (size_t)count;
}

static bool grow_window(struct scanner *s, const char **keep)
{
	size_t room = s->room * 2;
	if (room > TOKEN_MAX_BYTES) {
		report_at(s->report, SEVERITY_ERROR, s->file, s->line, 0, "a word longer than %u octets",
			TOKEN_MAX_BYTES / 2);
		s->status = ST_SYNTAX;
		return false;
	}
	char *window = realloc(s->window, room + TEXT_PAD_BYTES);
	if (!window) {
		s->status = ST_NO_MEMORY;
		return false;
	}
	*keep = window;
	s->window = window;
	s->room = room;
	return true;
}

// More text behind *at, which is the end of the window. What starts at *keep stays in it. False: no more.
static bool refill(struct scanner *s, const char **keep, const char **at)
{
	if (s->drained)
		return false;
	size_t kept = (size_t)(s->end - *keep);
	memmove(s->window, *keep, kept);
	s->window_offset += (uint64_t)(*keep - s->window);
	*keep = s->window;
	size_t got = 0;
	if (kept + kept / 4 < s->room || grow_window(s, keep))
		got = read_more(s, s->window + kept, s->room - kept);
	s->drained = got == 0;
	*at = s->window + kept;
	s->end = *at + got;
	memset(s->window + kept + got, 0, TEXT_PAD_BYTES);
	return got > 0;
}

// The same with nothing to keep: what comes starts at s->at.
static bool more(struct scanner *s)
{
	const char *keep = s->end, *at = s->end;
	bool got = refill(s, &keep, &at);
	s->at = at;
	return got;
}

static unsigned column_of(const struct scanner *s, const char *at)
{
	uint64_t offset = s->window_offset + (uint64_t)(at - s->window) - s->line_offset;
	return offset < UINT32_MAX ? (unsigned)offset + 1 : UINT32_MAX;
}

static void next_line(struct scanner *s, const char *newline)
{
	s->line++;
	s->line_offset = s->window_offset + (uint64_t)(newline - s->window) + 1;
}

void scan_skip_mark(struct scanner *s)
{
	if (s->at != s->end || !more(s) || memcmp(s->at, "\xef\xbb\xbf", 3) != 0)
		return;
	s->at += 3;
	s->line_offset = 3;
}

bool scan_line_is_blank(struct scanner *s)
{
	if (s->at == s->end)
		more(s);
	return class_of[(uint8_t)*s->at] == C_BLANK;
}

static void start_token(struct scanner *s, enum token_kind kind, const char *at, bool glued)
{
	s->token.at = at;
	s->token.bytes = 0;
	s->token.line = s->line;
	s->token.column = column_of(s, at);
	s->token.kind = (uint8_t)kind;
	s->token.escaped = false;
	s->token.glued = glued;
}

static enum token_kind broken(struct scanner *s, const char *next, const char *text)
{
	complain(s, SEVERITY_ERROR, s->token.line, s->token.column, text);
	s->token.kind = TOKEN_BROKEN;
	s->at = next;
	return TOKEN_BROKEN;
}

// Over a backslash and the character that belongs to it. A line never continues behind one.
static void skip_escape(struct scanner *s, const char **keep, const char **at)
{
	s->token.escaped = true;
	const char *next = *at + 1;
	if (next == s->end)
		refill(s, keep, &next);
	*at = next == s->end || *next == '\n' ? next : next + 1;
}

// From behind the opening quote to the closing one, which stands on the same line.
static enum token_kind take_quoted(struct scanner *s, const char *start)
{
	const char *p = start;
	while (*p != '"') {
		if (*p == '\n' || (p == s->end && !refill(s, &start, &p)))
			return broken(s, p, "a quoted string does not end on its line");
		if (*p == '\\')
			skip_escape(s, &start, &p);
		else if (*p != '"' && *p != '\n') // what a refill brought may be either
			p++;
	}
	s->token.at = start;
	s->token.bytes = (uint32_t)(p - start);
	s->at = p + 1;
	return TOKEN_QUOTED;
}

// The first octet at or behind `p` that may end a word: at most the next 16 of the padding are looked at.
static inline const char *word_end(const char *p)
{
#ifdef __SSE2__
	for (;; p += 16) {
		__m128i text = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i hit = _mm_cmpeq_epi8(_mm_min_epu8(text, _mm_set1_epi8(' ')), text);
		__m128i even = _mm_and_si128(text, _mm_set1_epi8((char)0xfe)); // ( and ) differ in one bit
		hit = _mm_or_si128(hit, _mm_cmpeq_epi8(even, _mm_set1_epi8('(')));
		hit = _mm_or_si128(hit, _mm_cmpeq_epi8(text, _mm_set1_epi8(';')));
		hit = _mm_or_si128(hit, _mm_cmpeq_epi8(text, _mm_set1_epi8('"')));
		hit = _mm_or_si128(hit, _mm_cmpeq_epi8(text, _mm_set1_epi8('\\')));
		unsigned mask = (unsigned)_mm_movemask_epi8(hit);
		if (mask)
			return p + __builtin_ctz(mask);
	}
#else
	while (class_of[(uint8_t)*p] == C_WORD)
		p++;
	return p;
#endif
}

static enum token_kind take_word(struct scanner *s, const char *start)
{
	const char *p = start;
	for (;;) {
		p = word_end(p);
		uint8_t class = class_of[(uint8_t)*p];
		if (class == C_BACKSLASH)
			skip_escape(s, &start, &p);
		else if (class == C_WORD || (class == C_NUL && p != s->end))
			p++; // other control characters are like any octet
		else if (p != s->end || !refill(s, &start, &p))
			break;
	}
	s->token.at = start;
	s->token.bytes = (uint32_t)(p - start);
	s->at = p;
	return TOKEN_WORD;
}

// The newline that ends a comment, or the end of the text.
static const char *skip_comment(struct scanner *s, const char *p)
{
	for (;;) {
		const char *newline = memchr(p, '\n', (size_t)(s->end - p));
		if (newline)
			return newline;
		if (!more(s))
			return s->end;
		p = s->at;
	}
}

static enum token_kind end_of_file(struct scanner *s, const char *p, bool glued)
{
	start_token(s, TOKEN_END_OF_FILE, p, glued);
	s->at = p;
	if (!s->depth)
		return TOKEN_END_OF_FILE;
	s->depth = 0;
	s->token.line = s->open_line;
	s->token.column = s->open_column;
	return broken(s, p, "this parenthesis is never closed");
}

static void open_parenthesis(struct scanner *s, const char *p)
{
	if (s->depth++)
		return;
	s->open_line = s->line;
	s->open_column = column_of(s, p);
}

enum token_kind scan_next(struct scanner *s)
{
	bool glued = true;
	const char *p = s->at;
	for (;;) {
		switch (class_of[(uint8_t)*p]) {
		case C_BLANK:
			glued = false;
			p++;
			break;
		case C_WORD:
		case C_BACKSLASH:
			start_token(s, TOKEN_WORD, p, glued);
			return take_word(s, p);
		case C_NEWLINE:
			if (!s->depth) {
				start_token(s, TOKEN_END_OF_LINE, p, glued);
				next_line(s, p);
				s->at = p + 1;
				return TOKEN_END_OF_LINE;
			}
			glued = false;
			next_line(s, p++);
			break;
		case C_QUOTE:
			start_token(s, TOKEN_QUOTED, p, glued);
			return take_quoted(s, p + 1);
		case C_COMMENT:
			p = skip_comment(s, p);
			break;
		case C_OPEN:
			glued = false;
			open_parenthesis(s, p++);
			break;
		case C_CLOSE:
			glued = false;
			if (!s->depth) {
				start_token(s, TOKEN_BROKEN, p, glued);
				return broken(s, p + 1, "a closing parenthesis without an opening one");
			}
			s->depth--;
			p++;
			break;
		default: // NUL: the end of the window, or an octet of a word
			if (p != s->end) {
				start_token(s, TOKEN_WORD, p, glued);
				return take_word(s, p);
			}
			if (!more(s))
				return end_of_file(s, s->end, glued);
			p = s->at;
		}
	}
}

void scan_skip_record(struct scanner *s)
{
	while (!scan_at_end(s))
		scan_next(s);
}
