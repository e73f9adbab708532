// SPDX-License-Identifier: BSD-3-Clause
// struct config -> YAML, by the table of options. libyaml's emitter does the quoting.
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "schema.h"

struct printing {
	yaml_emitter_t emitter;
	bool failed;
};

static void emit(struct printing *p, yaml_event_t *event, int made)
{
	if (!made)
		p->failed = true;
	else if (p->failed)
		yaml_event_delete(event);
	else if (!yaml_emitter_emit(&p->emitter, event))
		p->failed = true;
}

static void emit_text(struct printing *p, const char *text)
{
	yaml_event_t event;
	// An empty plain scalar, ~ and null would read back as nothing.
	bool is_null = !*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
	emit(p, &event,
		yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text),
			1, 1, is_null ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE));
}

static void open_map(struct printing *p)
{
	yaml_event_t event;
	emit(p, &event, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
}

static void close_map(struct printing *p)
{
	yaml_event_t event;
	emit(p, &event, yaml_mapping_end_event_initialize(&event));
}

static void open_list(struct printing *p, yaml_sequence_style_t style)
{
	yaml_event_t event;
	emit(p, &event, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, style));
}

static void close_list(struct printing *p)
{
	yaml_event_t event;
	emit(p, &event, yaml_sequence_end_event_initialize(&event));
}

static void emit_value(struct printing *p, unsigned index, const void *member)
{
	char *text = kinds[options[index].kind].print(member, &option_info[index]);
	if (text)
		emit_text(p, text);
	else
		p->failed = true;
	free(text);
}

static const char *last_key(const char *key)
{
	const char *dot = strrchr(key, '.');
	return dot ? dot + 1 : key;
}

static void emit_list(struct printing *p, unsigned index, const char *object)
{
	const struct option *option = &options[index];
	const char *items = *(char *const *)(object + option->at);
	unsigned count = *(const unsigned *)(object + option->count_at);
	open_list(p, YAML_FLOW_SEQUENCE_STYLE);
	for (unsigned i = 0; i < count; i++)
		emit_value(p, index, items + i * kinds[option->kind].bytes);
	close_list(p);
}

// A text without value and an empty list are what the option's absence means.
static bool is_set(unsigned index, const char *object)
{
	const struct option *option = &options[index];
	if (option->max_items)
		return *(const unsigned *)(object + option->count_at) > 0;
	return !kinds[option->kind].free || *(void *const *)(object + option->at);
}

static void emit_option(struct printing *p, unsigned index, const char *object)
{
	emit_text(p, last_key(option_info[index].key));
	if (options[index].max_items)
		emit_list(p, index, object);
	else
		emit_value(p, index, object + options[index].at);
}

static void emit_object(struct printing *p, enum owner owner, const char *object)
{
	open_map(p);
	for (unsigned i = 0; i < option_count; i++)
		if (options[i].owner == owner && is_set(i, object))
			emit_option(p, i, object);
	close_map(p);
}

static void emit_maps(struct printing *p, enum owner owner, const char *config)
{
	const struct map_list *list = &map_lists[owner];
	const char *items = *(char *const *)(config + list->at);
	unsigned count = *(const unsigned *)(config + list->count_at);
	if (count == 0)
		return;
	emit_text(p, list->key);
	open_list(p, YAML_BLOCK_SEQUENCE_STYLE);
	for (unsigned i = 0; i < count; i++)
		emit_object(p, owner, items + i * list->bytes);
	close_list(p);
}

// The length of "tcp" in "tcp.max-clients"; 0: a key of the top.
static size_t section_bytes(const char *key)
{
	const char *dot = strchr(key, '.');
	return dot ? (size_t)(dot - key) : 0;
}

static bool same_section(const char *a, const char *b)
{
	size_t bytes = section_bytes(a);
	return bytes == section_bytes(b) && strncmp(a, b, bytes) == 0;
}

static void change_section(struct printing *p, const char *from, const char *to)
{
	if (same_section(from, to))
		return;
	if (section_bytes(from))
		close_map(p);
	size_t bytes = section_bytes(to);
	if (bytes == 0)
		return;
	char name[64];
	snprintf(name, sizeof(name), "%.*s", (int)bytes, to);
	emit_text(p, name);
	open_map(p);
}

static void emit_config(struct printing *p, const char *config)
{
	const char *before = "";
	enum owner owner = OWNER_config;
	open_map(p);
	for (unsigned i = 0; i < option_count; i++) {
		bool new_owner = options[i].owner != owner;
		owner = options[i].owner;
		if (owner == OWNER_config && is_set(i, config)) {
			change_section(p, before, option_info[i].key);
			before = option_info[i].key;
			emit_option(p, i, config);
		} else if (owner != OWNER_config && new_owner) {
			change_section(p, before, "");
			before = "";
			emit_maps(p, owner, config);
		}
	}
	change_section(p, before, "");
	close_map(p);
}

void config_print(const struct config *config, FILE *to)
{
	struct printing p = { .failed = false };
	yaml_event_t event;
	if (!yaml_emitter_initialize(&p.emitter))
		return;
	yaml_emitter_set_output_file(&p.emitter, to);
	yaml_emitter_set_unicode(&p.emitter, 1);
	yaml_emitter_set_width(&p.emitter, -1);
	emit(&p, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
	emit(&p, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
	emit_config(&p, (const char *)config);
	emit(&p, &event, yaml_document_end_event_initialize(&event, 1));
	emit(&p, &event, yaml_stream_end_event_initialize(&event));
	yaml_emitter_flush(&p.emitter);
	yaml_emitter_delete(&p.emitter);
}
