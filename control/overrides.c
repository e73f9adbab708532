// SPDX-License-Identifier: BSD-3-Clause
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/log.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#include "background.h"
#include "chain.h"
#include "overrides.h"

// Rules on their way into the region: in a thread, but for the last step.
struct making {
	const struct config *config;
	uint64_t seed;
	struct report *report;
	uint64_t stamp; // of the overrides-file, before it was read: what changes meanwhile is read again
	struct override_rules *rules;
	enum status read; // ST_OK: all of them are good
	enum status compiled;
	void *block; // NULL: there are no rules
	uint64_t bytes;
};

// What the block in the region was made of, for people, and what comes next.
struct rulebook {
	struct override_rules *rules;
	uint64_t stamp; // of the overrides-file; 0: there is none, or it had errors
	bool before_clients;
	struct background *background;
	struct making making; // the thread's while it is busy
	struct catalog *catalog;
	overrides_done *done;
	void *ctx;
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

static void make(struct making *m)
{
	unsigned errors = m->report->errors;
	if (is_in_chain(m->config)) {
		m->read = config_overrides(m->config, &m->rules, m->report);
	} else {
		m->rules = override_rules_new();
		m->read = m->rules ? ST_OK : ST_NO_MEMORY;
	}
	m->compiled = m->rules ? ST_OK : m->read;
	if (m->rules && override_rules_count(m->rules))
		m->compiled = override_rules_compile(
			m->rules, m->seed, m->config->override_before_clients, m->report, &m->block, &m->bytes);
	enum status status = m->read != ST_OK ? m->read : m->compiled;
	if (status != ST_OK && m->report->errors == errors)
		report_at(m->report, SEVERITY_ERROR, m->config->path, 0, 0, "overrides: %s", status_text(status));
}

static void forget(struct making *m)
{
	free(m->block);
	override_rules_free(m->rules);
	*m = (struct making){ .config = NULL };
}

static enum status put_in_place(struct rulebook *book, struct catalog *catalog, struct making *m)
{
	enum status status = ST_OK;
	if (m->block || catalog_block(catalog, BLOCK_OVERRIDES, NULL))
		status = catalog_set_block(catalog, BLOCK_OVERRIDES, m->block, m->bytes);
	if (status != ST_OK) {
		report_at(m->report, SEVERITY_ERROR, m->config->path, 0, 0, "overrides: %s", status_text(status));
		return status;
	}
	override_rules_free(book->rules);
	book->rules = m->rules;
	book->stamp = m->read == ST_OK ? m->stamp : 0;
	book->before_clients = m->config->override_before_clients;
	m->rules = NULL;
	if (override_rules_count(book->rules))
		log_info("overrides: rules in use: %u", override_rules_count(book->rules));
	return ST_OK;
}

enum status overrides_publish(struct resolver *r, struct catalog *catalog, const struct config *config,
	struct report *report)
{
	struct making m = { .config = config, .seed = catalog_seed(catalog), .report = report, .stamp = stamp_of(config) };
	make(&m);
	enum status status = m.compiled;
	if (status == ST_OK)
		status = put_in_place(r->state[STEP_OVERRIDES], catalog, &m);
	status = status == ST_OK ? m.read : status;
	forget(&m);
	return status;
}

// --- while running ---

static void note_difference(void *ctx, const char *key, enum config_effect effect)
{
	(void)effect;
	*(bool *)ctx |= strncmp(key, "override", 8) == 0 || strcmp(key, "chain") == 0;
}

static bool is_unchanged(const struct rulebook *book, const struct config *running, const struct config *fresh,
	uint64_t stamp)
{
	bool differs = false;
	if (!book->rules || book->stamp != stamp || (fresh->overrides_file && !stamp))
		return false;
	config_differences(running, fresh, note_difference, &differs);
	return !differs;
}

static void make_in_thread(void *state)
{
	make(&((struct rulebook *)state)->making);
}

static void on_made(void *state)
{
	struct rulebook *book = state;
	struct making *m = &book->making;
	enum status status = m->read != ST_OK ? m->read : m->compiled;
	if (status == ST_OK)
		status = put_in_place(book, book->catalog, m);
	forget(m);
	book->done(book->ctx, status);
}

enum status overrides_reload(struct resolver *r, struct catalog *catalog, const struct config *running,
	const struct config *fresh, struct report *report, overrides_done *done, void *ctx)
{
	struct rulebook *book = r->state[STEP_OVERRIDES];
	uint64_t stamp = stamp_of(fresh);
	if (background_is_busy(book->background))
		return ST_BUSY;
	if (is_unchanged(book, running, fresh, stamp)) {
		done(ctx, ST_OK);
		return ST_OK;
	}
	book->making = (struct making){ .config = fresh, .seed = catalog_seed(catalog), .report = report, .stamp = stamp };
	book->catalog = catalog;
	book->done = done;
	book->ctx = ctx;
	return background_start(book->background);
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
	bool says_something = overrides_match(overrides, &ask->query, UINT64_MAX, &hit);
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

static void free_book(void *state)
{
	struct rulebook *book = state;
	bool busy = book->background && background_wait(book->background);
	background_free(book->background);
	forget(&book->making);
	override_rules_free(book->rules);
	if (busy)
		book->done(book->ctx, ST_CANCELLED);
	free(book);
}

static void *new_book(struct event_base *base, struct resolver *r, const struct config *config)
{
	(void)r, (void)config; // the rules come with overrides_publish()
	struct rulebook *book = calloc(1, sizeof(*book));
	if (!book)
		return NULL;
	book->background = background_new(base, "overrides", make_in_thread, on_made, book);
	if (book->background)
		return book;
	free_book(book);
	return NULL;
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
