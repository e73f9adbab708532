// SPDX-License-Identifier: BSD-3-Clause
// Files of rules, one on each line:
//	NAME [TTL] [TYPE] ANSWER	# comment
// as in www.example.com 300 A 192.0.2.1, or *.ads.example nxdomain. "$TTL 1h" is for the lines behind it.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <pollux/rrtype.h>

#include "overrides.h"
#include "text.h"

struct file {
	struct override_rules *rules;
	struct report *report;
	struct report silent; // when enough has been said
	const char *path;
	unsigned line;
	uint32_t ttl_s;
	enum status status;
};

static struct report *report_of(struct file *f)
{
	return report_is_full(f->report) ? &f->silent : f->report;
}

static void refuse(struct file *f, unsigned column, const char *expected, const struct override_word *found)
{
	f->status = ST_SYNTAX;
	if (found && found->bytes)
		report_at(report_of(f), SEVERITY_ERROR, f->path, f->line, found->column, "expected %s, found '%.*s'", expected,
			(int)(found->bytes < 60 ? found->bytes : 60), found->text);
	else
		report_at(report_of(f), SEVERITY_ERROR, f->path, f->line, column, "expected %s, found the end of the line",
			expected);
}

// The next word of the line; blanks behind a backslash belong to it.
static struct override_word take_word(const struct file *f, const char *start, const char **at)
{
	const char *from = *at + strspn(*at, " \t"), *end = from;
	while (*end && *end != ' ' && *end != '\t')
		end += end[0] == '\\' && end[1] ? 2 : 1;
	*at = end;
	return (struct override_word){ from, (size_t)(end - from), f->line, (unsigned)(from - start) + 1 };
}

// # and ; begin a comment at the start of a word, outside of quotes.
static void cut_comment(char *text)
{
	bool quoted = false;
	size_t end = 0; // of what counts
	for (size_t i = 0; text[i]; i++) {
		bool starts = i == 0 || text[i - 1] == ' ' || text[i - 1] == '\t';
		if (!quoted && starts && (text[i] == '#' || text[i] == ';'))
			break;
		if (text[i] == '\\' && text[i + 1])
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		if (!strchr(" \t\r\n", text[i]))
			end = i + 1;
	}
	text[end] = '\0';
}

static bool is_word(const struct override_word *word, const char *text)
{
	return strlen(text) == word->bytes && strncasecmp(word->text, text, word->bytes) == 0;
}

static bool is_type(const struct override_word *word)
{
	uint16_t type;
	return is_word(word, "any") || rrtype_from_text(&type, word->text, word->bytes) == ST_OK;
}

static bool is_action(const struct override_word *word)
{
	for (unsigned action = OVERRIDE_NXDOMAIN; action < OVERRIDE_ACTIONS; action++) {
		if (is_word(word, override_action_text((enum override_action)action)))
			return true;
	}
	return false;
}

static void read_default_ttl(struct file *f, const char *start, const char *at)
{
	struct override_word word = take_word(f, start, &at);
	if (!text_to_seconds(word.text, word.bytes, &f->ttl_s) || f->ttl_s > TTL_MAX_S || *at) {
		f->ttl_s = OVERRIDE_TTL_S;
		refuse(f, word.column, "$TTL and one time, such as 300 or 1h", &word);
	}
}

static void read_line(struct file *f, char *start)
{
	cut_comment(start);
	const char *at = start;
	struct override_text text = { .file = f->path, .ttl_s = f->ttl_s, .answer_count = 1 };
	text.name = take_word(f, start, &at);
	if (!text.name.bytes)
		return;
	if (is_word(&text.name, "$TTL")) {
		read_default_ttl(f, start, at);
		return;
	}
	const char *before = at;
	struct override_word word = take_word(f, start, &at);
	uint32_t ttl_s;
	if (text_to_seconds(word.text, word.bytes, &ttl_s) && ttl_s <= TTL_MAX_S) {
		text.ttl_s = ttl_s;
		before = at;
		word = take_word(f, start, &at);
	}
	if (is_type(&word)) {
		text.type = word;
		before = at;
	} else if (!is_action(&word)) {
		refuse(f, word.column, "a TTL, a type, or nxdomain, nodata, refused, drop or pass", &word);
		return;
	}
	before += strspn(before, " \t");
	const struct override_word answer = { before, strlen(before), f->line, (unsigned)(before - start) + 1 };
	text.answers = &answer;
	enum status status = override_rules_add(f->rules, &text, report_of(f));
	if (status != ST_OK)
		f->status = status;
}

static void read_lines(struct file *f, FILE *stream)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t bytes;
	while (f->status != ST_NO_MEMORY && (bytes = getline(&line, &room, stream)) >= 0) {
		f->line++;
		if (!memchr(line, 0, (size_t)bytes)) {
			read_line(f, line);
			continue;
		}
		f->status = ST_SYNTAX;
		report_at(report_of(f), SEVERITY_ERROR, f->path, f->line, (unsigned)strlen(line) + 1,
			"a NUL character: this is not a text file");
	}
	if (ferror(stream)) {
		f->status = ST_SYSTEM;
		report_at(f->report, SEVERITY_ERROR, f->path, 0, 0, "cannot read: %s", strerror(errno));
	}
	free(line);
	f->report->errors += f->silent.errors;
	f->report->warnings += f->silent.warnings;
}

static enum status read_stream(struct override_rules *rules, FILE *stream, const char *name, struct report *report)
{
	struct file f = { .rules = rules, .report = report, .path = name, .ttl_s = OVERRIDE_TTL_S };
	read_lines(&f, stream);
	fclose(stream);
	return f.status;
}

enum status override_rules_read(struct override_rules *rules, const char *path, struct report *report)
{
	FILE *stream = fopen(path, "re");
	if (stream)
		return read_stream(rules, stream, path, report);
	enum status status = errno == ENOENT ? ST_NOT_FOUND : ST_SYSTEM;
	report_at(report, SEVERITY_ERROR, path, 0, 0, "cannot open: %s", strerror(errno));
	return status;
}

enum status override_rules_read_text(struct override_rules *rules, const char *text, size_t bytes, const char *name,
	struct report *report)
{
	FILE *stream = bytes ? fmemopen((void *)(uintptr_t)text, bytes, "r") : NULL;
	if (stream)
		return read_stream(rules, stream, name, report);
	return bytes ? ST_NO_MEMORY : ST_OK;
}
