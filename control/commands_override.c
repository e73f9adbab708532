// SPDX-License-Identifier: BSD-3-Clause
// override list, override test.
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/rrtype.h>

#include "commands.h"
#include "overrides.h"

#define LIST_STEPS 2000 // rules looked at for one reply

static json_t *type_of(const struct override_info *info)
{
	char type[16];
	return json_string(info->type ? rrtype_to_text(type, info->type) : "any");
}

static json_t *place_of(const struct override_info *info)
{
	return json_sprintf("%s:%u", info->file, info->line);
}

static json_t *rule_row(const struct override_info *info)
{
	json_t *row = json_object();
	json_object_set_new(row, "name", json_text(info->name));
	json_object_set_new(row, "ttl", json_integer(info->ttl_s));
	json_object_set_new(row, "type", type_of(info));
	json_object_set_new(row, "answer", json_text(info->answer));
	json_object_set_new(row, "place", place_of(info));
	return row;
}

static bool take_list_words(struct call *call, const char **pattern, unsigned *first)
{
	const char *word;
	*pattern = NULL;
	*first = 0;
	for (unsigned i = 0; (word = call_arg(call, i)); i++) {
		const char *next = call_arg(call, i + 1);
		char *end = NULL;
		if (strcmp(word, "after") == 0 && next) {
			*first = (unsigned)strtoul(next, &end, 10);
			i++;
			if (!*next || *end)
				return false;
		} else if (!*pattern) {
			*pattern = word;
		} else {
			return false;
		}
	}
	return true;
}

static void ask_for_rest(struct call *call, const char *pattern, unsigned next)
{
	json_t *words = json_pack("[s, s]", "override", "list");
	if (pattern)
		json_array_append_new(words, json_string(pattern));
	json_array_append_new(words, json_string("after"));
	json_array_append_new(words, json_sprintf("%u", next));
	call_next(call, words);
}

void command_override_list(struct call *call)
{
	const struct override_rules *rules = overrides_rules(call_control(call)->resolver);
	const char *pattern;
	unsigned at, looked_at = 0, count = rules ? override_rules_count(rules) : 0;
	if (!take_list_words(call, &pattern, &at)) {
		call_misused(call, "override list: one pattern of names, such as *.example.com");
		return;
	}
	json_t *rows = json_array();
	for (; at < count && looked_at < LIST_STEPS; at++, looked_at++) {
		struct override_info info;
		override_rules_info(rules, at, &info);
		if (!pattern || strcasecmp(pattern, info.name) == 0 || fnmatch(pattern, info.name, FNM_CASEFOLD) == 0)
			json_array_append_new(rows, rule_row(&info));
	}
	if (at < count)
		ask_for_rest(call, pattern, at);
	call_reply(call, rows, NULL);
}

static json_t *describe_hit(const struct override_rules *rules, const struct override_hit *hit)
{
	struct override_info info;
	if (!hit->rule || !rules || hit->rule->number >= override_rules_count(rules))
		return json_pack("{s:s}", "result", "no rule fits; the next source is asked");
	override_rules_info(rules, hit->rule->number, &info);
	json_t *data = json_pack("{s:s}", "result",
		hit->rule->action == OVERRIDE_PASS	? "an exception; the next source is asked"
		: hit->rule->action == OVERRIDE_RECORDS ? "records"
		: hit->rule->action == OVERRIDE_ALIAS	? "a CNAME, which is followed"
							: override_action_text(hit->rule->action));
	json_t *rule = rule_row(&info);
	json_object_update(data, rule);
	json_decref(rule);
	return data;
}

void command_override_test(struct call *call)
{
	static const uint8_t root[1] = { 0 };
	const struct control *control = call_control(call);
	const char *name = call_arg(call, 0), *type_text = call_arg(call, 1) ? call_arg(call, 1) : "A";
	uint8_t wire[NAME_MAX_BYTES];
	unsigned bytes;
	uint16_t type;
	if (name_from_text(wire, &bytes, name, strlen(name), root) != ST_OK || *name == '@') {
		call_misused(call, "override test: '%s' is no domain name", name);
		return;
	}
	if (rrtype_from_text(&type, type_text, strlen(type_text)) != ST_OK) {
		call_misused(call, "override test: '%s' is no RR type", type_text);
		return;
	}
	const struct overrides *overrides = catalog_block(control->catalog, BLOCK_OVERRIDES, NULL);
	struct folded_name folded;
	struct override_hit hit = { .rule = NULL };
	name_prepare(&folded, wire, bytes, catalog_seed(control->catalog));
	if (overrides)
		overrides_find(overrides, &folded, type, &hit);
	json_t *data = describe_hit(overrides_rules(control->resolver), &hit);
	const struct image *zone = catalog_find(control->catalog, &folded);
	if (overrides && overrides->before_clients && zone && hit.rule)
		json_object_set_new(data, "result", json_string("a zone holds the name, and rules come behind zones"));
	call_reply(call, data, NULL);
}
