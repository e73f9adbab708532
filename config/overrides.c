// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include <pollux/config.h>
#include <pollux/overrides.h>

#include "overrides.h"

// The value's first character; behind quotes it stands one column further. `line`: where its place is not known.
static struct override_word word_of(const char *text, const struct tree_node *node, unsigned line)
{
	struct override_word word = { .text = text, .bytes = text ? strlen(text) : 0, .line = line };
	if (node && node->kind == TREE_SCALAR) {
		word.line = node->line;
		word.column = node->column + !node->plain;
	}
	return word;
}

static const struct tree_node *value_of(const struct tree_node *map, const char *key)
{
	const struct tree_node *entry = map && map->kind == TREE_MAP ? map->first : NULL;
	while (entry && (entry->key->kind != TREE_SCALAR || strcmp(entry->key->text, key) != 0))
		entry = entry->next;
	return entry;
}

// `item`: its map in the tree; NULL: there is none any more.
static enum status add_rule(struct override_rules *rules, const struct override_config *from, const char *file,
	const struct tree_node *item, struct report *report)
{
	struct override_word *answers = calloc(from->answer_count + 1, sizeof(*answers));
	if (!answers)
		return ST_NO_MEMORY;
	const struct tree_node *answer = value_of(item, "answer");
	bool is_list = answer && answer->kind == TREE_LIST;
	if (is_list)
		answer = answer->first;
	for (unsigned i = 0; i < from->answer_count; i++) {
		answers[i] = word_of(from->answers[i], answer, from->line);
		answer = is_list && answer ? answer->next : NULL;
	}
	const struct override_text text = { .name = word_of(from->name, value_of(item, "name"), from->line),
		.type = word_of(from->type, value_of(item, "type"), from->line), .answers = answers,
		.answer_count = from->answer_count, .ttl_s = from->ttl_s, .file = file };
	enum status status = override_rules_add(rules, &text, report);
	free(answers);
	return status;
}

void overrides_check_config(struct config *config, const struct tree *tree, struct report *report)
{
	const struct tree_node *list = tree->root ? tree_find(tree, "overrides") : NULL;
	const struct tree_node *item = list && list->kind == TREE_LIST ? list->first : NULL;
	struct override_rules *rules = config->override_count ? override_rules_new() : NULL;
	for (unsigned i = 0; rules && i < config->override_count; i++, item = item ? item->next : NULL) {
		struct override_config *rule = &config->overrides[i];
		rule->line = item ? item->line : 0;
		if (rule->name && rule->type && rule->answer_count && !report_is_full(report) &&
			add_rule(rules, rule, config->path, item, report) == ST_NO_MEMORY)
			report_at(report, SEVERITY_ERROR, config->path, rule->line, 0, "out of memory");
	}
	override_rules_free(rules);
}

enum status config_overrides(const struct config *config, struct override_rules **to, struct report *report)
{
	enum status result = ST_OK;
	struct override_rules *rules = *to = override_rules_new();
	if (!rules)
		return ST_NO_MEMORY;
	for (unsigned i = 0; i < config->override_count && result != ST_NO_MEMORY; i++) {
		enum status status = add_rule(rules, &config->overrides[i], config->path, NULL, report);
		result = status != ST_OK ? status : result;
	}
	if (config->overrides_file && result != ST_NO_MEMORY) {
		enum status status = override_rules_read(rules, config->overrides_file, report);
		result = status != ST_OK ? status : result;
	}
	if (result == ST_NO_MEMORY) {
		override_rules_free(rules);
		*to = NULL;
	}
	return result;
}
