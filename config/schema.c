// SPDX-License-Identifier: BSD-3-Clause
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/bounds.h>

#include "schema.h"

const struct option_info option_info[] = {
#define OPTION(k, kind_, owner_, member_, default_, min_, max_, unit_, effect_, help_)                       \
	{ .key = k,                                                                                          \
		.kind = WORDS_##kind_,                                                                       \
		.default_text = default_,                                                                    \
		.unit = unit_,                                                                               \
		.help = help_,                                                                               \
		.min = min_,                                                                                 \
		.max = max_,                                                                                 \
		.effect = effect_ },
#define LIST_OPTION(k, kind_, owner_, member_, count_, most_, default_, min_, max_, unit_, effect_, help_)   \
	{ .key = k,                                                                                          \
		.kind = "list of " WORDS_##kind_,                                                            \
		.default_text = default_,                                                                    \
		.unit = unit_,                                                                               \
		.help = help_,                                                                               \
		.min = min_,                                                                                 \
		.max = max_,                                                                                 \
		.effect = effect_ },
#define LIST_OF_MAPS(k, item_, member_, count_, most_, effect_, help_)
#include <pollux/config.def>
};
const unsigned option_count = sizeof(option_info) / sizeof(option_info[0]);

const struct option options[] = {
#define OPTION(k, kind_, owner_, member_, default_, min_, max_, unit_, effect_, help_)                       \
	{ .kind = KIND_##kind_, .owner = OWNER_##owner_, .at = offsetof(struct owner_, member_) },
#define LIST_OPTION(k, kind_, owner_, member_, count_, most_, default_, min_, max_, unit_, effect_, help_)   \
	{ .kind = KIND_##kind_,                                                                              \
		.owner = OWNER_##owner_,                                                                     \
		.at = offsetof(struct owner_, member_),                                                      \
		.count_at = offsetof(struct owner_, count_),                                                 \
		.max_items = most_ },
#define LIST_OF_MAPS(k, item_, member_, count_, most_, effect_, help_)
#include <pollux/config.def>
};

const struct map_list map_lists[OWNER_COUNT] = {
#define OPTION(k, kind_, owner_, member_, default_, min_, max_, unit_, effect_, help_)
#define LIST_OPTION(k, kind_, owner_, member_, count_, most_, default_, min_, max_, unit_, effect_, help_)
#define LIST_OF_MAPS(k, item_, member_, count_, most_, effect_, help_)                                       \
	[OWNER_##item_] = { .key = k,                                                                        \
		.help = help_,                                                                               \
		.bytes = sizeof(struct item_),                                                               \
		.at = offsetof(struct config, member_),                                                      \
		.count_at = offsetof(struct config, count_),                                                 \
		.max_items = most_,                                                                          \
		.effect = effect_ },
#include <pollux/config.def>
};

bool option_has_default(const struct option_info *info)
{
	return info->default_text[0] != '(';
}

bool option_is_required(const struct option_info *info)
{
	return strcmp(info->default_text, "(required)") == 0;
}

static void free_list(const struct kind *kind, void *object, const struct option *option)
{
	void **items = (void **)((char *)object + option->at);
	unsigned *count = (unsigned *)((char *)object + option->count_at);
	for (unsigned i = 0; kind->free && *items && i < *count; i++)
		kind->free((char *)*items + i * kind->bytes);
	free(*items);
	*items = NULL;
	*count = 0;
}

static void free_maps(const struct map_list *list, enum owner owner, struct config *config)
{
	void **items = (void **)((char *)config + list->at);
	unsigned *count = (unsigned *)((char *)config + list->count_at);
	for (unsigned i = 0; i < *count; i++)
		schema_free(owner, (char *)*items + i * list->bytes);
	free(*items);
	*items = NULL;
	*count = 0;
}

void schema_free(enum owner owner, void *object)
{
	for (unsigned i = 0; i < option_count; i++) {
		const struct kind *kind = &kinds[options[i].kind];
		if (options[i].owner != owner)
			continue;
		if (options[i].max_items)
			free_list(kind, object, &options[i]);
		else if (kind->free)
			kind->free((char *)object + options[i].at);
	}
	for (unsigned i = OWNER_config + 1; owner == OWNER_config && i < OWNER_COUNT; i++)
		free_maps(&map_lists[i], (enum owner)i, object);
}

static bool equal_lists(const struct kind *kind, const struct option *option, const char *a, const char *b)
{
	unsigned count = *(const unsigned *)(a + option->count_at);
	if (count != *(const unsigned *)(b + option->count_at))
		return false;
	const char *x = *(char *const *)(a + option->at), *y = *(char *const *)(b + option->at);
	for (unsigned i = 0; i < count; i++)
		if (!kind->equal(x + i * kind->bytes, y + i * kind->bytes))
			return false;
	return true;
}

static bool equal_option(unsigned index, const char *a, const char *b)
{
	const struct option *option = &options[index];
	const struct kind *kind = &kinds[option->kind];
	if (option->max_items)
		return equal_lists(kind, option, a, b);
	return kind->equal(a + option->at, b + option->at);
}

struct comparison {
	void (*visit)(void *ctx, const char *key, enum config_effect);
	void *ctx;
};

static void compare_items(
	const struct comparison *c, enum owner owner, unsigned item, const char *a, const char *b)
{
	const struct map_list *list = &map_lists[owner];
	for (unsigned i = 0; i < option_count; i++) {
		if (options[i].owner != owner || equal_option(i, a, b))
			continue;
		char key[128];
		snprintf(key, sizeof(key), "%s[%u]%s", list->key, item, strchr(option_info[i].key, ']') + 1);
		c->visit(c->ctx, key, option_info[i].effect);
	}
}

static void compare_maps(const struct comparison *c, enum owner owner, const char *a, const char *b)
{
	const struct map_list *list = &map_lists[owner];
	unsigned count = *(const unsigned *)(a + list->count_at);
	if (count != *(const unsigned *)(b + list->count_at)) {
		c->visit(c->ctx, list->key, list->effect);
		return;
	}
	const char *x = *(char *const *)(a + list->at), *y = *(char *const *)(b + list->at);
	for (unsigned i = 0; i < count; i++)
		compare_items(c, owner, i, x + i * list->bytes, y + i * list->bytes);
}

void schema_compare(const struct config *a, const struct config *b,
	void (*visit)(void *ctx, const char *key, enum config_effect), void *ctx)
{
	const struct comparison c = { visit, ctx };
	for (unsigned i = 0; i < option_count; i++)
		if (options[i].owner == OWNER_config && !equal_option(i, (const char *)a, (const char *)b))
			visit(ctx, option_info[i].key, option_info[i].effect);
	for (unsigned i = OWNER_config + 1; i < OWNER_COUNT; i++)
		compare_maps(&c, (enum owner)i, (const char *)a, (const char *)b);
}

struct filter {
	void (*visit)(void *ctx, const char *key);
	void *ctx;
};

static void visit_restart(void *ctx, const char *key, enum config_effect effect)
{
	const struct filter *filter = ctx;
	if (effect == ON_RESTART)
		filter->visit(filter->ctx, key);
}

void config_needs_restart(const struct config *running, const struct config *fresh,
	void (*visit)(void *ctx, const char *key), void *ctx)
{
	struct filter filter = { visit, ctx };
	schema_compare(running, fresh, visit_restart, &filter);
}

void config_differences(const struct config *running, const struct config *fresh,
	void (*visit)(void *ctx, const char *key, enum config_effect), void *ctx)
{
	schema_compare(running, fresh, visit, ctx);
}
