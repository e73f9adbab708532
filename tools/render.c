// SPDX-License-Identifier: BSD-3-Clause
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "render.h"

#define INDENT 2
#define COLUMNS_MAX 128

static void render_block(FILE *to, const json_t *value, int indent);

// Characters, not octets: UTF-8 continuation octets take no place of their own.
static int width_of(const char *text)
{
	int width = 0;
	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static void put_spaces(FILE *to, int count)
{
	for (; count > 0; count--)
		fputc(' ', to);
}

static void put_clean(FILE *to, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		// C1 controls are c2 80 to c2 9f in UTF-8; a terminal may obey them.
		if (c == 0xc2 && (unsigned char)text[1] < 0xa0) {
			text++;
			c = 0x7f;
		}
		fputc(c < ' ' || c == 0x7f ? '?' : c, to);
	}
}

static void put_key(FILE *to, const char *key)
{
	for (; *key; key++)
		fputc(*key == '_' ? ' ' : (unsigned char)*key < ' ' ? '?' : *key, to);
}

static bool is_container(const json_t *value)
{
	return json_is_object(value) || json_is_array(value);
}

// A scalar on one line. `room` is used for numbers.
static const char *scalar_text(const json_t *value, char *room, size_t bytes)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		return json_string_value(value);
	case JSON_INTEGER:
		snprintf(room, bytes, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		return room;
	case JSON_REAL:
		snprintf(room, bytes, "%.6g", json_real_value(value));
		return room;
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	default:
		return "-";
	}
}

// What stands in a cell of a table: containers have no place there.
static const char *cell_text(const json_t *value, char *room, size_t bytes)
{
	if (!value)
		return "";
	return is_container(value) ? "..." : scalar_text(value, room, bytes);
}

struct column {
	const char *key;
	int width;
	bool numbers; // nothing but numbers and nulls: to the right
};

struct table {
	struct column column[COLUMNS_MAX];
	unsigned columns;
};

static struct column *find_column(struct table *table, const char *key)
{
	for (unsigned i = 0; i < table->columns; i++) {
		if (strcmp(table->column[i].key, key) == 0)
			return &table->column[i];
	}
	if (table->columns == COLUMNS_MAX)
		return NULL;
	table->column[table->columns] = (struct column){ .key = key, .width = width_of(key), .numbers = true };
	return &table->column[table->columns++];
}

// Columns are the keys of all rows in the order they first appear.
static void measure(struct table *table, const json_t *rows)
{
	table->columns = 0;
	for (size_t r = 0; r < json_array_size(rows); r++) {
		const char *key;
		json_t *value;
		json_object_foreach(json_array_get(rows, r), key, value) {
			char room[64];
			struct column *column = find_column(table, key);
			if (!column)
				continue;
			int width = width_of(cell_text(value, room, sizeof(room)));
			column->width = width > column->width ? width : column->width;
			column->numbers &= json_is_number(value) || json_is_null(value);
		}
	}
}

// `pending` spaces are written only when something follows, so that no line ends with spaces.
static void put_cell(FILE *to, const struct column *column, const char *text, bool is_key, int *pending)
{
	int rest = column->width - width_of(text);
	if (column->numbers) {
		*pending += rest;
		rest = 0;
	}
	if (*text) {
		put_spaces(to, *pending);
		*pending = 0;
		if (is_key)
			put_key(to, text);
		else
			put_clean(to, text);
	}
	*pending += rest + INDENT;
}

static void render_table(FILE *to, const json_t *rows, int indent)
{
	static struct table table;
	measure(&table, rows);
	int pending = indent;
	for (unsigned i = 0; i < table.columns; i++)
		put_cell(to, &table.column[i], table.column[i].key, true, &pending);
	fputc('\n', to);
	for (size_t r = 0; r < json_array_size(rows); r++) {
		const json_t *row = json_array_get(rows, r);
		pending = indent;
		for (unsigned i = 0; i < table.columns; i++) {
			char room[64];
			put_cell(to, &table.column[i],
				cell_text(json_object_get(row, table.column[i].key), room, sizeof(room)), false, &pending);
		}
		fputc('\n', to);
	}
}

static bool is_table(const json_t *array)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		if (!json_is_object(json_array_get(array, i)))
			return false;
	}
	return json_array_size(array) > 0;
}

static void render_list(FILE *to, const json_t *array, int indent)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		render_block(to, json_array_get(array, i), indent);
}

// A text of many lines is handed on as it is, so that it can be used as a file.
static void render_text(FILE *to, const char *text)
{
	while (*text) {
		size_t bytes = strcspn(text, "\n");
		char *line = strndup(text, bytes);
		if (line)
			put_clean(to, line);
		free(line);
		fputc('\n', to);
		text += bytes + (text[bytes] == '\n');
	}
}

static bool is_lines(const json_t *value)
{
	return json_is_string(value) && strchr(json_string_value(value), '\n');
}

static bool is_block(const json_t *value)
{
	return is_lines(value) || (json_is_object(value) && json_object_size(value) > 0) ||
		(json_is_array(value) && json_array_size(value) > 0);
}

static void render_line(FILE *to, const char *key, const json_t *value, int indent, int width)
{
	char room[64];
	put_spaces(to, indent);
	put_key(to, key);
	fputc(':', to);
	put_spaces(to, width - width_of(key) + 1);
	put_clean(to, is_container(value) ? "none" : scalar_text(value, room, sizeof(room)));
	fputc('\n', to);
}

// Sections of the outermost object stand apart from what is before and behind them.
enum before { NOTHING, LINE, SECTION };

static void render_member(FILE *to, const char *key, const json_t *value, int indent, int width,
	enum before *before)
{
	enum before this = is_block(value) ? SECTION : LINE;
	if (indent == 0 && *before != NOTHING && (this == SECTION || *before == SECTION))
		fputc('\n', to);
	if (this == LINE) {
		render_line(to, key, value, indent, width);
	} else {
		put_spaces(to, indent);
		put_key(to, key);
		fputs(":\n", to);
		if (is_lines(value))
			render_text(to, json_string_value(value));
		else
			render_block(to, value, indent + INDENT);
	}
	*before = this;
}

static int key_width(const json_t *object)
{
	const char *key;
	json_t *value;
	int width = 0;
	json_object_foreach((json_t *)object, key, value) {
		if (!is_block(value) && width_of(key) > width)
			width = width_of(key);
	}
	return width;
}

static void render_object(FILE *to, const json_t *object, int indent)
{
	const char *key;
	json_t *value;
	enum before before = NOTHING;
	int width = key_width(object);
	json_object_foreach((json_t *)object, key, value)
		render_member(to, key, value, indent, width, &before);
}

static void render_block(FILE *to, const json_t *value, int indent)
{
	char room[64];
	if (json_is_object(value)) {
		render_object(to, value, indent);
	} else if (is_table(value)) {
		render_table(to, value, indent);
	} else if (json_is_array(value)) {
		render_list(to, value, indent);
	} else {
		put_spaces(to, indent);
		put_clean(to, scalar_text(value, room, sizeof(room)));
		fputc('\n', to);
	}
}

void render(FILE *to, const json_t *data, const json_t *show)
{
	if (is_container(data) && !is_block(data)) {
		fputs("none\n", to);
		return;
	}
	if (!json_is_array(show) || !json_is_object(data)) {
		render_block(to, data, 0);
		return;
	}
	json_t *seen = json_object();
	for (size_t i = 0; i < json_array_size(show); i++) {
		const char *key = json_string_value(json_array_get(show, i));
		json_t *value = key ? json_object_get(data, key) : NULL;
		if (value)
			json_object_set(seen, key, value);
	}
	render_object(to, seen, 0);
	json_decref(seen);
}
