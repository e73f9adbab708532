// SPDX-License-Identifier: BSD-3-Clause
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/log.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#include "chain.h"
#include "overrides.h"

// What the block in the region was made of, for people.
struct rulebook {
	struct override_rules *rules;
	uint64_t stamp; // of the overrides-file; 0: there is none, or it had errors
	bool before_clients;
};

// --- into the region ---

static bool is_in_chain(const struct config *config)
{
	for (unsigned i = 0; i < config->chain_count; i++) {
		if (config->chain[i] == STEP_OVERRIDES)
			return true;
	}
	return config->chain_count == 0;
}

static enum status set_block(struct catalog *catalog, const struct override_rules *rules, bool before_clients,
	struct report *report)
{
	void *block = NULL;
	uint64_t bytes = 0;
	enum status status = ST_OK;
	if (override_rules_count(rules))
		status = override_rules_compile(rules, catalog_seed(catalog), before_clients, report, &block, &bytes);
	if (status != ST_OK)
		return status;
	if (block || catalog_block(catalog, BLOCK_OVERRIDES, NULL))
		status = catalog_set_block(catalog, BLOCK_OVERRIDES, block, bytes);
	free(block);
	return status;
}

static enum status read_rules(const struct config *config, struct override_rules **rules, struct report *report)
{
	if (is_in_chain(config))
		return config_overrides(config, rules, report);
	*rules = override_rules_new();
	return *rules ? ST_OK : ST_NO_MEMORY;
}

// Path, size, time and inode of the overrides-file. 0: there is none.
static uint64_t stamp_of(const struct config *config)
{
	if (!config->overrides_file)
		return 0;
	size_t bytes = strlen(config->overrides_file) + 2; // a list of one path
	char *paths = calloc(1, bytes);
	if (!paths)
		return 0;
	strlcpy(paths, config->overrides_file, bytes);
	uint64_t stamp = zonefile_stamp(paths);
	free(paths);
	return stamp;
}

static void note_difference(void *ctx, const char *key, enum config_effect effect)
{
	(void)effect;
	*(bool *)ctx |= strncmp(key, "override", 8) == 0 || strcmp(key, "chain") == 0;
}

static bool is_unchanged(const struct rulebook *book, const struct config *running, const struct config *fresh,
	uint64_t stamp)
{
	bool differs = false;
	if (!running || !book->rules || book->stamp != stamp || (fresh->overrides_file && !stamp))
		return false;
	config_differences(running, fresh, note_difference, &differs);
	return !differs;
}

enum status overrides_publish(struct resolver *r, struct catalog *catalog, const struct config *running,
	const struct config *fresh, struct report *report)
{
	struct rulebook *book = r->state[STEP_OVERRIDES];
	struct override_rules *rules;
	unsigned errors = report->errors;
	uint64_t stamp = stamp_of(fresh); // before it is read: what changes meanwhile is read again
	if (is_unchanged(book, running, fresh, stamp))
		return ST_OK;
	enum status read = read_rules(fresh, &rules, report), status = read;
	if (rules && (read == ST_OK || !running))
		status = set_block(catalog, rules, fresh->override_before_clients, report);
	if (status != ST_OK) {
		override_rules_free(rules);
		if (report->errors == errors)
			report_at(report, SEVERITY_ERROR, fresh->path, 0, 0, "overrides: %s", status_text(status));
		return status;
	}
	override_rules_free(book->rules);
	*book = (struct rulebook){ rules, read == ST_OK ? stamp : 0, fresh->override_before_clients };
	if (override_rules_count(rules))
		log_info("overrides: rules in use: %u", override_rules_count(rules));
	return read;
}

const struct override_rules *overrides_rules(const struct resolver *r)
{
	return ((const struct rulebook *)r->state[STEP_OVERRIDES])->rules;
}

// --- the step ---

static void note_rule(struct ask *ask, const struct rulebook *book, const struct override_hit *hit)
{
	struct override_info info;
	char type[16];
	if (!ask_takes_notes(ask) || !book->rules || hit->rule->number >= override_rules_count(book->rules))
		return;
	override_rules_info(book->rules, hit->rule->number, &info);
	ask_note(ask, "rule '%s %s %s' at %s:%u", info.name, info.type ? rrtype_to_text(type, info.type) : "any", info.answer,
		info.file, info.line);
}

// What a worker did not answer, or had no occasion to: TCP, and what an alias leads to.
static enum outcome from_overrides(struct ask *ask, void *state)
{
	struct resolver *r = ask->resolver;
	const struct overrides *overrides = catalog_block(r->catalog, BLOCK_OVERRIDES, NULL);
	struct override_hit hit;
	if (!overrides || (overrides->before_clients && catalog_find(r->catalog, &ask->query.name)))
		return PASS;
	bool says_something = overrides_match(overrides, &ask->query, &hit);
	if (says_something || (ask->trace && overrides_find(overrides, &ask->query.name, ask->query.type, &hit)))
		note_rule(ask, state, &hit);
	if (!says_something)
		return PASS;
	if (hit.rule->action == OVERRIDE_DROP)
		return DROP;
	ask_face_client(ask);
	if (answer_override(r->catalog, &ask->policy, &ask->query, overrides, &hit, ask->asker.transport, &r->reply) ==
		ANSWER_READY)
		return ANSWER;
	return ask_keep_aliases(ask);
}

static void *new_book(struct event_base *base, struct resolver *r, const struct config *config)
{
	(void)base, (void)r, (void)config; // the rules come with overrides_publish()
	return calloc(1, sizeof(struct rulebook));
}

static void free_book(void *state)
{
	struct rulebook *book = state;
	override_rules_free(book->rules);
	free(book);
}

static bool has_rules(const void *state)
{
	const struct rulebook *book = state;
	return book->rules && override_rules_count(book->rules);
}

static void describe_rules(const void *state, char *to, size_t room)
{
	const struct rulebook *book = state;
	snprintf(to, room, "rules: %u%s", book->rules ? override_rules_count(book->rules) : 0,
		book->before_clients ? ", for what the zones do not hold" : "");
}

const struct step_kind overrides_step = {
	.name = "overrides",
	.help = "answers by rule",
	.new = new_book,
	.free = free_book,
	.in_use = has_rules,
	.describe = describe_rules,
	.run = from_overrides,
};
