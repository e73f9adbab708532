// SPDX-License-Identifier: BSD-3-Clause
// Text -> tree -> struct config, by the table of options.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "path.h"
#include "schema.h"
#include "sort.h"
#include "suggest.h"
#include "tree.h"

#define CONFIG_MAX_BYTES (64u << 20) // a million zones fit; /dev/zero does not
#define OPTIONS_MAX 256		     // rows of config.def, for one flag each

struct reading {
	struct report *report;
	const char *name;
	char *directory; // of the file, absolute, with a final slash
	struct config *config;
	const struct tree *tree;
	enum status status;
};

__attribute__((format(printf, 4, 5))) static void complain(
	struct reading *r, const struct tree_node *at, enum status status, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_at(r->report, SEVERITY_ERROR, r->name, at ? at->line : 0, at ? at->column : 0, "%s", text);
	if (r->status == ST_OK)
		r->status = status;
}

// Values

static void refuse_value(struct reading *r, const struct tree_node *node, unsigned index, const char *problem)
{
	char found[128];
	const char *key = option_info[index].key;
	tree_describe(node, found, sizeof(found));
	if (*problem)
		complain(r, node, ST_INVALID, "%s: %s %s", key, found, problem);
	else
		complain(r, node, ST_INVALID, "%s: expected %s, found %s", key,
			kinds[options[index].kind].expected, found);
}

static bool read_value(struct reading *r, const struct tree_node *node, unsigned index, void *to)
{
	char problem[PROBLEM_BYTES] = "";
	const struct where where = { .directory = r->directory, .info = &option_info[index] };
	if (node->kind == TREE_SCALAR && !tree_is_null(node) &&
		kinds[options[index].kind].read(to, node->text, &where, problem, sizeof(problem)))
		return true;
	if (node->kind != TREE_REFUSED)
		refuse_value(r, node, index, problem);
	return false;
}

// A list under construction: the array and the count in the object.
struct list {
	void **items;
	unsigned *count;
	size_t item_bytes;
	unsigned room, max;
};

// A zeroed item at the end; NULL: no memory.
static void *list_add(struct list *list)
{
	if (*list->count == list->room) {
		unsigned room = list->room ? list->room * 2 : 4;
		void *items = reallocarray(*list->items, room, list->item_bytes);
		if (!items)
			return NULL;
		*list->items = items;
		list->room = room;
	}
	void *item = (char *)*list->items + *list->count * list->item_bytes;
	++*list->count;
	return memset(item, 0, list->item_bytes);
}

static bool list_has_room(
	struct reading *r, const struct list *list, const struct tree_node *node, const char *key)
{
	if (*list->count < list->max)
		return true;
	complain(r, node, ST_FULL, "%s: more than %u items", key, list->max);
	return false;
}

static void refuse_repeated(
	struct reading *r, const struct tree_node *node, unsigned index, const struct list *list)
{
	const struct kind *kind = &kinds[options[index].kind];
	unsigned last = *list->count - 1;
	if (options[index].kind == KIND_DURATION_MS) // one after the other, not a set
		return;
	for (unsigned i = 0; i < last; i++) {
		if (!kind->equal((char *)*list->items + i * kind->bytes,
			    (char *)*list->items + last * kind->bytes))
			continue;
		char found[128];
		complain(r, node, ST_EXISTS, "%s: %s is listed twice", option_info[index].key,
			tree_describe(node, found, sizeof(found)));
		return;
	}
}

// A value that is wrong leaves a zeroed item, so that the items keep their places.
static bool read_item(struct reading *r, const struct tree_node *node, unsigned index, struct list *list)
{
	if (!list_has_room(r, list, node, option_info[index].key))
		return false;
	void *item = list_add(list);
	if (!item) {
		complain(r, node, ST_NO_MEMORY, "out of memory");
		return false;
	}
	if (read_value(r, node, index, item))
		refuse_repeated(r, node, index, list);
	return true;
}

// "2-5" is 2, 3, 4, 5.
static bool read_core_range(
	struct reading *r, const struct tree_node *node, unsigned index, struct list *list)
{
	unsigned first, last;
	char behind;
	if (node->kind != TREE_SCALAR || sscanf(node->text, "%4u-%4u%c", &first, &last, &behind) != 2)
		return read_item(r, node, index, list);
	if (first > last || last > (unsigned)option_info[index].max) {
		complain(r, node, ST_INVALID, "%s: '%s' is not a range of cores", option_info[index].key,
			node->text);
		return true;
	}
	for (unsigned core = first; core <= last; core++) {
		if (!list_has_room(r, list, node, option_info[index].key))
			return false;
		unsigned *item = list_add(list);
		if (!item) {
			complain(r, node, ST_NO_MEMORY, "out of memory");
			return false;
		}
		*item = core;
		refuse_repeated(r, node, index, list);
	}
	return true;
}

static void clear_list(const struct kind *kind, struct list *list)
{
	for (unsigned i = 0; kind->free && i < *list->count; i++)
		kind->free((char *)*list->items + i * kind->bytes);
	free(*list->items);
	*list->items = NULL;
	*list->count = 0;
}

// A list of values; one value may stand for a list of one.
static void read_list(struct reading *r, const struct tree_node *node, unsigned index, char *object)
{
	const struct option *option = &options[index];
	const struct kind *kind = &kinds[option->kind];
	struct list list = { .items = (void **)(object + option->at),
		.count = (unsigned *)(object + option->count_at),
		.item_bytes = kind->bytes,
		.max = option->max_items };
	if (tree_is_null(node) && option_has_default(&option_info[index]))
		return;
	clear_list(kind, &list);
	if (node->kind == TREE_MAP) {
		refuse_value(r, node, index, "");
		return;
	}
	const struct tree_node *item = node->kind == TREE_LIST ? node->first
				       : tree_is_null(node)    ? NULL
							       : node;
	if (!item && (option_has_default(&option_info[index]) || option_is_required(&option_info[index])))
		complain(r, node, ST_INVALID, "%s: must not be empty", option_info[index].key);
	for (; item && !report_is_full(r->report); item = node->kind == TREE_LIST ? item->next : NULL) {
		bool more = option->kind == KIND_LCORE ? read_core_range(r, item, index, &list)
						       : read_item(r, item, index, &list);
		if (!more)
			return;
	}
}

static void read_option(struct reading *r, const struct tree_node *node, unsigned index, char *object)
{
	if (options[index].max_items)
		read_list(r, node, index, object);
	else
		read_value(r, node, index, object + options[index].at);
}

static void set_defaults(struct reading *r, enum owner owner, char *object)
{
	for (unsigned i = 0; i < option_count; i++) {
		if (options[i].owner != owner || !option_has_default(&option_info[i]))
			continue;
		struct tree_node value = { .kind = TREE_SCALAR,
			.text = (char *)(uintptr_t)option_info[i].default_text };
		value.bytes = strlen(value.text);
		read_option(r, &value, i, object);
	}
}

// Maps

struct map {
	enum owner owner;
	char *object;
	char prefix[32]; // of its keys in the table: "", "tcp.", "ports[]."
	bool *seen;	 // per option
};

static int option_index(const struct map *map, const char *key)
{
	size_t prefix = strlen(map->prefix);
	for (unsigned i = 0; i < option_count; i++)
		if (options[i].owner == map->owner && strncmp(option_info[i].key, map->prefix, prefix) == 0 &&
			strcmp(option_info[i].key + prefix, key) == 0)
			return (int)i;
	return -1;
}

// A key of the top that holds a map: the part in front of the dot of some option.
static bool is_section(const struct map *map, const char *key)
{
	size_t bytes = strlen(key);
	if (map->prefix[0])
		return false;
	for (unsigned i = 0; i < option_count; i++)
		if (options[i].owner == OWNER_config && strncmp(option_info[i].key, key, bytes) == 0 &&
			option_info[i].key[bytes] == '.')
			return true;
	return false;
}

static enum owner map_list_of(const struct map *map, const char *key)
{
	for (unsigned i = OWNER_config + 1; !map->prefix[0] && i < OWNER_COUNT; i++)
		if (strcmp(map_lists[i].key, key) == 0)
			return (enum owner)i;
	return OWNER_config;
}

static void read_map(struct reading *r, const struct tree_node *node, struct map *map);

static void read_section(struct reading *r, const struct tree_node *node, const struct map *map)
{
	struct map section = { .owner = map->owner, .object = map->object, .seen = map->seen };
	if (tree_is_null(node) || node->kind == TREE_REFUSED)
		return;
	snprintf(section.prefix, sizeof(section.prefix), "%s.", node->key->text);
	if (node->kind == TREE_MAP) {
		read_map(r, node, &section);
		return;
	}
	char found[128];
	complain(r, node, ST_INVALID, "%s: expected a map of keys, found %s", node->key->text,
		tree_describe(node, found, sizeof(found)));
}

static void require(struct reading *r, const struct tree_node *node, const struct map *map, unsigned item)
{
	for (unsigned i = 0; r->tree->whole && i < option_count; i++) {
		if (options[i].owner != map->owner || map->seen[i] || !option_is_required(&option_info[i]))
			continue;
		complain(r, node, ST_INVALID, "%s[%u] lacks its '%s'", map_lists[map->owner].key, item,
			strchr(option_info[i].key, '.') + 1);
	}
}

static void read_map_item(
	struct reading *r, const struct tree_node *node, enum owner owner, char *object, unsigned number)
{
	bool seen[OPTIONS_MAX] = { false };
	struct map map = { .owner = owner, .object = object, .seen = seen };
	snprintf(map.prefix, sizeof(map.prefix), "%s[].", map_lists[owner].key);
	set_defaults(r, owner, object);
	if (node->kind == TREE_MAP) {
		read_map(r, node, &map);
		require(r, node, &map, number);
	} else if (node->kind != TREE_REFUSED) {
		char found[128];
		complain(r, node, ST_INVALID, "%s[%u]: expected a map of keys, found %s",
			map_lists[owner].key, number, tree_describe(node, found, sizeof(found)));
	}
}

static void read_map_list(struct reading *r, const struct tree_node *node, enum owner owner)
{
	const struct map_list *description = &map_lists[owner];
	struct list list = { .items = (void **)((char *)r->config + description->at),
		.count = (unsigned *)((char *)r->config + description->count_at),
		.item_bytes = description->bytes,
		.max = description->max_items };
	if (tree_is_null(node) || node->kind == TREE_REFUSED)
		return;
	if (node->kind != TREE_LIST) {
		char found[128];
		complain(r, node, ST_INVALID, "%s: expected a list (lines that begin with '- '), found %s",
			description->key, tree_describe(node, found, sizeof(found)));
		return;
	}
	for (const struct tree_node *item = node->first; item && !report_is_full(r->report);
		item = item->next) {
		if (!list_has_room(r, &list, item, description->key))
			return;
		char *object = list_add(&list);
		if (!object) {
			complain(r, item, ST_NO_MEMORY, "out of memory");
			return;
		}
		read_map_item(r, item, owner, object, *list.count - 1);
	}
}

static void refuse_key(struct reading *r, const struct tree_node *key, const struct map *map)
{
	char found[128], hint[128];
	tree_describe(key, found, sizeof(found));
	if (suggest_key(map->prefix, key->text, hint, sizeof(hint)))
		complain(r, key, ST_INVALID, "unknown key %s; %s", found, hint);
	else if (map->prefix[0])
		complain(r, key, ST_INVALID, "unknown key %s in '%.*s'", found,
			(int)strcspn(map->prefix, ".["), map->prefix);
	else
		complain(r, key, ST_INVALID, "unknown key %s", found);
}

// The same key in front of this entry, or NULL. Maps are short: the longest has a dozen keys.
static const struct tree_node *earlier_key(const struct tree_node *map, const struct tree_node *entry)
{
	for (const struct tree_node *other = map->first; other != entry; other = other->next)
		if (other->key->kind == TREE_SCALAR && strcmp(other->key->text, entry->key->text) == 0)
			return other->key;
	return NULL;
}

static void read_entry(struct reading *r, const struct tree_node *entry, struct map *map)
{
	const char *key = entry->key->text;
	int index = option_index(map, key);
	enum owner list = map_list_of(map, key);
	if (index >= 0) {
		map->seen[index] = true;
		read_option(r, entry, (unsigned)index, map->object);
	} else if (list != OWNER_config) {
		read_map_list(r, entry, list);
	} else if (is_section(map, key)) {
		read_section(r, entry, map);
	} else {
		refuse_key(r, entry->key, map);
	}
}

static void read_map(struct reading *r, const struct tree_node *node, struct map *map)
{
	for (const struct tree_node *entry = node->first; entry && !report_is_full(r->report);
		entry = entry->next) {
		if (entry->key->kind != TREE_SCALAR)
			continue;
		const struct tree_node *earlier = earlier_key(node, entry);
		if (earlier) {
			char found[128];
			complain(r, entry->key, ST_EXISTS, "key %s a second time; the first is at line %u",
				tree_describe(earlier, found, sizeof(found)), earlier->line);
			continue;
		}
		read_entry(r, entry, map);
	}
}

// The whole

static bool fill_computed(struct config *config)
{
	bool is_default_name = strcmp(config->name, "pollux") == 0;
	if (!config->runtime_dir &&
		asprintf(&config->runtime_dir, is_default_name ? "/run/pollux" : "/run/pollux-%s",
			config->name) < 0)
		config->runtime_dir = NULL;
	if (!config->state_dir &&
		asprintf(&config->state_dir, is_default_name ? "/var/lib/pollux" : "/var/lib/pollux-%s",
			config->name) < 0)
		config->state_dir = NULL;
	if (config->runtime_dir && !config->control_socket &&
		asprintf(&config->control_socket, "%s/control.sock", config->runtime_dir) < 0)
		config->control_socket = NULL;
	return config->runtime_dir && config->state_dir && config->control_socket;
}

static void read_root(struct reading *r, const struct tree_node *root)
{
	bool seen[OPTIONS_MAX] = { false };
	struct map map = { .owner = OWNER_config, .object = (char *)r->config, .seen = seen };
	char found[128];
	set_defaults(r, OWNER_config, map.object);
	if (!root || tree_is_null(root))
		return; // an empty file: every default
	if (root->kind == TREE_MAP)
		read_map(r, root, &map);
	else if (root->kind != TREE_REFUSED)
		complain(r, root, ST_SYNTAX, "expected keys and values, found %s",
			tree_describe(root, found, sizeof(found)));
}

// RFC 7858 3.1
static void fill_ports(struct forward_config *forward)
{
	for (unsigned i = 0; i < forward->server_count; i++)
		if (forward->servers[i].family && !forward->servers[i].port)
			forward->servers[i].port = forward->protocol == FORWARD_TLS ? 853 : 53;
}

static void read_tree(struct reading *r, const struct tree *tree)
{
	r->tree = tree;
	read_root(r, tree->root);
	if (!fill_computed(r->config)) {
		complain(r, NULL, ST_NO_MEMORY, "out of memory");
		return;
	}
	fill_ports(&r->config->forward);
	for (unsigned i = 0; i < r->config->forward_zone_count; i++)
		fill_ports(&r->config->forward_zones[i]);
	enum status status = config_check(r->config, tree, r->name, r->report);
	if (r->status == ST_OK)
		r->status = status;
}

static enum status read_reported(
	struct config **config, const char *text, size_t bytes, const char *name, struct report *report)
{
	*config = NULL;
	struct tree tree;
	struct reading r = { .report = report,
		.name = name,
		.directory = path_directory(name),
		.config = calloc(1, sizeof(struct config)) };
	r.status = tree_read(&tree, text, bytes, name, report);
	if (r.config)
		r.config->path = strdup(name);
	if (!r.directory || !r.config || !r.config->path)
		complain(&r, NULL, ST_NO_MEMORY, "out of memory");
	else
		read_tree(&r, &tree);
	tree_free(&tree);
	free(r.directory);
	if (r.status != ST_OK) {
		config_free(r.config);
		return r.status;
	}
	*config = r.config;
	return ST_OK;
}

enum status config_read_text(
	struct config **config, const char *text, size_t bytes, const char *name, struct report *report)
{
	// The syntax, the values and the rules between them are looked at one after the other; people read a
	// file from top to bottom.
	struct sorted_report sorted;
	sorted_report_begin(&sorted, report);
	enum status status = read_reported(config, text, bytes, name, &sorted.report);
	sorted_report_end(&sorted, name, report);
	return status;
}

static enum status read_whole(FILE *file, char **text, size_t *bytes)
{
	size_t room = 0;
	*text = NULL;
	*bytes = 0;
	for (;;) {
		if (*bytes == room) {
			room = room ? room * 2 : 65536;
			char *larger = room <= 2 * (size_t)CONFIG_MAX_BYTES ? realloc(*text, room) : NULL;
			if (!larger)
				return room > CONFIG_MAX_BYTES ? ST_FULL : ST_NO_MEMORY;
			*text = larger;
		}
		size_t more = fread(*text + *bytes, 1, room - *bytes, file);
		*bytes += more;
		if (more == 0)
			return ferror(file) ? ST_SYSTEM : ST_OK;
	}
}

enum status config_read(struct config **config, const char *path, struct report *report)
{
	*config = NULL;
	FILE *file = fopen(path, "re");
	if (!file) {
		enum status status = errno == ENOENT ? ST_NOT_FOUND : ST_SYSTEM;
		report_at(report, SEVERITY_ERROR, path, 0, 0, "cannot open: %s", strerror(errno));
		return status;
	}
	char *text;
	size_t bytes;
	enum status status = read_whole(file, &text, &bytes);
	if (status == ST_OK)
		status = config_read_text(config, text, bytes, path, report);
	else
		report_at(report, SEVERITY_ERROR, path, 0, 0, "cannot read: %s",
			status == ST_SYSTEM ? strerror(errno) : status_text(status));
	free(text);
	fclose(file);
	return status;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	schema_free(OWNER_config, config);
	free(config->path);
	free(config);
}
