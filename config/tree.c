// SPDX-License-Identifier: BSD-3-Clause
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "tree.h"

#define TREE_MAX_DEPTH 16 // the schema needs 5; deeper text is no configuration
#define TREE_MAX_NODES 4000000

struct builder {
	struct report *report;
	const char *name;
	struct tree *tree;
	struct tree_node *open[TREE_MAX_DEPTH];
	struct tree_node *key_of[TREE_MAX_DEPTH]; // a map's key that waits for its value
	unsigned depth, documents, nodes;
	bool stop;
	enum status status;
};

static void refuse(struct builder *b, yaml_mark_t at, const char *text)
{
	report_at(b->report, SEVERITY_ERROR, b->name, (unsigned)at.line + 1, (unsigned)at.column + 1, "%s",
		text);
	if (b->status == ST_OK)
		b->status = ST_SYNTAX;
}

static void free_nodes(struct tree_node *node)
{
	while (node) {
		struct tree_node *next = node->next;
		free_nodes(node->key);
		free_nodes(node->first);
		free(node->text);
		free(node);
		node = next;
	}
}

void tree_free(struct tree *tree)
{
	free_nodes(tree->root);
	*tree = (struct tree){ 0 };
}

static struct tree_node *new_node(struct builder *b, const yaml_event_t *event, enum tree_kind kind)
{
	struct tree_node *node = b->nodes < TREE_MAX_NODES ? calloc(1, sizeof(*node)) : NULL;
	if (!node) {
		b->status = ST_NO_MEMORY;
		b->stop = true;
		return NULL;
	}
	b->nodes++;
	node->kind = kind;
	node->line = (unsigned)event->start_mark.line + 1;
	node->column = (unsigned)event->start_mark.column + 1;
	return node;
}

static void append(struct tree_node *parent, struct tree_node *node)
{
	if (parent->last)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
}

// Puts a node where the text is now: the root, an item, a key, or the value of the key before.
static void place(struct builder *b, struct tree_node *node, yaml_mark_t at)
{
	if (b->depth == 0) {
		b->tree->root = node;
		return;
	}
	struct tree_node *parent = b->open[b->depth - 1], **key = &b->key_of[b->depth - 1];
	if (parent->kind == TREE_LIST) {
		append(parent, node);
	} else if (!*key) {
		*key = node;
		if (node->kind != TREE_SCALAR && node->kind != TREE_REFUSED)
			refuse(b, at, "a key must be a word, not a list or a map");
	} else {
		node->key = *key;
		*key = NULL;
		append(parent, node);
	}
}

static void refuse_decoration(
	struct builder *b, const yaml_event_t *event, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		refuse(b, event->start_mark, "anchors (&) are not allowed in a configuration");
	if (tag)
		refuse(b, event->start_mark, "tags (!) are not allowed in a configuration");
}

static void on_scalar(struct builder *b, const yaml_event_t *event)
{
	refuse_decoration(b, event, event->data.scalar.anchor, event->data.scalar.tag);
	struct tree_node *node = new_node(b, event, TREE_SCALAR);
	if (!node)
		return;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->bytes = event->data.scalar.length;
	node->text = malloc(node->bytes + 1);
	if (!node->text) {
		b->status = ST_NO_MEMORY;
		b->stop = true;
		free(node);
		return;
	}
	memcpy(node->text, event->data.scalar.value, node->bytes);
	node->text[node->bytes] = 0;
	if (memchr(node->text, 0, node->bytes)) {
		refuse(b, event->start_mark, "a NUL character cannot be part of a value");
		node->kind = TREE_REFUSED;
	}
	place(b, node, event->start_mark);
}

static void on_alias(struct builder *b, const yaml_event_t *event)
{
	refuse(b, event->start_mark, "aliases (*) are not allowed in a configuration");
	struct tree_node *node = new_node(b, event, TREE_REFUSED);
	if (node)
		place(b, node, event->start_mark);
}

static void open_node(struct builder *b, const yaml_event_t *event, enum tree_kind kind)
{
	if (b->depth == TREE_MAX_DEPTH) {
		refuse(b, event->start_mark, "nested too deeply");
		b->stop = true;
		return;
	}
	struct tree_node *node = new_node(b, event, kind);
	if (!node)
		return;
	place(b, node, event->start_mark);
	b->key_of[b->depth] = NULL;
	b->open[b->depth++] = node;
}

static void on_list(struct builder *b, const yaml_event_t *event)
{
	refuse_decoration(b, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
	open_node(b, event, TREE_LIST);
}

static void on_map(struct builder *b, const yaml_event_t *event)
{
	refuse_decoration(b, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
	open_node(b, event, TREE_MAP);
}

static void on_end(struct builder *b, const yaml_event_t *event)
{
	(void)event;
	b->depth--;
}

static void on_document(struct builder *b, const yaml_event_t *event)
{
	if (b->documents++ == 0)
		return;
	refuse(b, event->start_mark, "a second document: a configuration is one");
	b->stop = true;
}

static void on_stream_end(struct builder *b, const yaml_event_t *event)
{
	(void)event;
	b->tree->whole = true;
	b->stop = true;
}

static void (*const handlers[])(struct builder *, const yaml_event_t *) = {
	[YAML_DOCUMENT_START_EVENT] = on_document,
	[YAML_SCALAR_EVENT] = on_scalar,
	[YAML_ALIAS_EVENT] = on_alias,
	[YAML_SEQUENCE_START_EVENT] = on_list,
	[YAML_SEQUENCE_END_EVENT] = on_end,
	[YAML_MAPPING_START_EVENT] = on_map,
	[YAML_MAPPING_END_EVENT] = on_end,
	[YAML_STREAM_END_EVENT] = on_stream_end,
};

// libyaml gives errors of its character reader as an offset only.
static void report_reader_error(
	struct builder *b, const yaml_parser_t *parser, const char *text, size_t bytes)
{
	unsigned line = 1, column = 1;
	for (size_t i = 0; i < parser->problem_offset && i < bytes; i++) {
		if (text[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	report_at(b->report, SEVERITY_ERROR, b->name, line, column, "%s", parser->problem);
	b->status = ST_SYNTAX;
}

static void report_parser_error(
	struct builder *b, const yaml_parser_t *parser, const char *text, size_t bytes)
{
	if (parser->error == YAML_MEMORY_ERROR) {
		b->status = ST_NO_MEMORY;
	} else if (parser->error == YAML_READER_ERROR) {
		report_reader_error(b, parser, text, bytes);
	} else {
		char words[256];
		if (parser->context)
			snprintf(words, sizeof(words), "%s %s, begun at line %zu", parser->problem,
				parser->context, parser->context_mark.line + 1);
		else
			snprintf(words, sizeof(words), "%s", parser->problem);
		refuse(b, parser->problem_mark, words);
	}
}

// YAML forbids tabs in indentation. Each is reported, and read as one space, so that what follows can
// be checked too. Returns a copy of the text; *tabs says whether there were any.
static char *without_tabs(struct builder *b, const char *text, size_t bytes, bool *tabs)
{
	char *copy = malloc(bytes + 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, bytes);
	copy[bytes] = 0;
	unsigned line = 1;
	for (size_t at = 0; at < bytes; line++) {
		size_t first_tab = bytes, start = at;
		for (; at < bytes && (copy[at] == ' ' || copy[at] == '\t'); at++) {
			if (copy[at] == '\t') {
				first_tab = first_tab < at ? first_tab : at;
				copy[at] = ' ';
			}
		}
		if (first_tab < at && at < bytes && !strchr("#\r\n", copy[at])) {
			report_at(b->report, SEVERITY_ERROR, b->name, line, (unsigned)(first_tab - start) + 1,
				"a tab cannot indent: use spaces");
			b->status = ST_SYNTAX;
			*tabs = true;
		}
		const char *end = memchr(copy + at, '\n', bytes - at);
		at = end ? (size_t)(end - copy) + 1 : bytes;
	}
	return copy;
}

static void drop_open_keys(struct builder *b)
{
	for (unsigned i = 0; i < b->depth; i++)
		free_nodes(b->key_of[i]);
}

enum status tree_read(
	struct tree *tree, const char *text, size_t bytes, const char *name, struct report *report)
{
	*tree = (struct tree){ 0 };
	// The mark that some editors put in front of UTF-8.
	if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		bytes -= 3;
	}
	struct builder b = { .report = report, .name = name, .tree = tree, .status = ST_OK };
	bool tabs = false;
	char *copy = without_tabs(&b, text, bytes, &tabs);
	yaml_parser_t parser;
	if (!copy || !yaml_parser_initialize(&parser)) {
		free(copy);
		return ST_NO_MEMORY;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)copy, bytes);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	while (!b.stop && !report_is_full(report)) {
		yaml_event_t event;
		if (!yaml_parser_parse(&parser, &event)) {
			// Behind a tab the indentation is a guess, and so is what libyaml says of it.
			if (!tabs)
				report_parser_error(&b, &parser, copy, bytes);
			break;
		}
		if (event.type < sizeof(handlers) / sizeof(handlers[0]) && handlers[event.type])
			handlers[event.type](&b, &event);
		yaml_event_delete(&event);
	}
	drop_open_keys(&b);
	yaml_parser_delete(&parser);
	free(copy);
	return b.status;
}

bool tree_is_null(const struct tree_node *node)
{
	return node->kind == TREE_SCALAR && node->plain &&
	       (node->bytes == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

static const struct tree_node *entry_of(const struct tree_node *map, const char *key, size_t bytes)
{
	for (const struct tree_node *entry = map->first; entry; entry = entry->next)
		if (entry->key->kind == TREE_SCALAR && entry->key->bytes == bytes &&
			memcmp(entry->key->text, key, bytes) == 0)
			return entry;
	return NULL;
}

static const struct tree_node *item_of(const struct tree_node *list, unsigned long index)
{
	const struct tree_node *item = list->first;
	while (item && index-- > 0)
		item = item->next;
	return item;
}

const struct tree_node *tree_find(const struct tree *tree, const char *path)
{
	const struct tree_node *node = tree->root;
	while (node && *path) {
		const struct tree_node *next = NULL;
		if (*path == '[') {
			char *end;
			unsigned long index = strtoul(path + 1, &end, 10);
			// One scalar may stand for a list of one.
			next = node->kind == TREE_LIST ? item_of(node, index) : index == 0 ? node : NULL;
			path = end + 1;
		} else {
			path += *path == '.';
			size_t bytes = strcspn(path, ".[");
			if (node->kind == TREE_MAP)
				next = entry_of(node, path, bytes);
			path += bytes;
		}
		if (!next)
			return node;
		node = next;
	}
	return node;
}

// At most 60 octets, not ending inside of a character, and nothing that would upset a terminal.
static void describe_text(const struct tree_node *node, char *to, size_t room)
{
	int bytes = node->bytes > 60 ? 60 : (int)node->bytes;
	while (bytes > 0 && bytes < (int)node->bytes && ((unsigned char)node->text[bytes] & 0xc0) == 0x80)
		bytes--;
	snprintf(to, room, "'%.*s%s'", bytes, node->text, bytes < (int)node->bytes ? "..." : "");
	for (char *c = to; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

const char *tree_describe(const struct tree_node *node, char *to, size_t room)
{
	if (node->kind == TREE_LIST)
		snprintf(to, room, "a list");
	else if (node->kind == TREE_MAP)
		snprintf(to, room, "a map of keys");
	else if (tree_is_null(node))
		snprintf(to, room, "nothing");
	else
		describe_text(node, to, room);
	return to;
}
