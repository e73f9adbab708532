// SPDX-License-Identifier: BSD-3-Clause
// cache stats, lookup, flush, dump, load.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pollux/counters.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "cache_file.h"
#include "commands.h"
#include "learned.h"
#include "recursion.h"
#include "slices.h"

#define PIECE 1024	   // entries looked at in one piece
#define LOOKUP_MOST 100	   // entries of one reply
#define RECORD_TEXT_MOST 4096 // characters of a record that are shown

// A command that takes a while.
struct long_call {
	struct call *call;
	struct control *control;
	struct cache *cache;
	uint64_t position, removed;
	struct cache_filter filter;
	uint8_t name[NAME_MAX_BYTES]; // of the filter
	json_t *rows, *records; // of a lookup
	struct cache_dump *dump;
	struct cache_load *load;
	struct findings findings;
};

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

static struct cache *cache_of(struct call *call)
{
	struct cache *cache = learned_cache(learned_of(call_control(call)->resolver));
	if (!cache)
		call_refuse(call, NULL, "there is no cache, for the configuration names nobody to learn from");
	return cache;
}

static struct long_call *begin(struct call *call, struct cache *cache)
{
	struct long_call *l = calloc(1, sizeof(*l));
	if (!l) {
		call_refuse(call, NULL, "out of memory");
		return NULL;
	}
	l->call = call;
	l->control = call_control(call);
	l->cache = cache;
	l->position = CACHE_START;
	l->filter.name = NULL;
	findings_init(&l->findings);
	return l;
}

static void finish(struct long_call *l)
{
	json_decref(l->rows);
	json_decref(l->records);
	findings_clear(&l->findings);
	free(l);
}

static void go(struct long_call *l, bool (*work)(void *ctx), void (*end)(void *ctx, bool finished))
{
	if (slices_start(l->control->slices, work, end, l) != ST_OK)
		end(l, false);
}

static bool take_name(struct long_call *l, const char *text)
{
	uint8_t wire[NAME_MAX_BYTES];
	static const uint8_t root[1] = { 0 };
	if (!*text || name_from_text(wire, NULL, text, strlen(text), root) != ST_OK)
		return false;
	name_fold(l->name, wire);
	l->filter.name = l->name;
	return true;
}

// --- stats ---

static uint64_t sum_of_workers(const struct side_door *door, unsigned counter)
{
	const struct stats *stats = side_door_stats(door);
	uint64_t sum = 0;
	for (unsigned i = 0; stats && i < side_door_workers(door); i++)
		sum += __atomic_load_n(&stats->worker[i].counter[counter], __ATOMIC_RELAXED);
	return sum;
}

static json_t *refused_facts(const struct learned_counters *c)
{
	json_t *facts = json_object();
	for (unsigned i = KEEP_IT + 1; i < KEEP_REASON_COUNT; i++)
		set_number(facts, keep_reason_key[i], c->refused[i]);
	return facts;
}

static json_t *hits_facts(const struct learned_counters *c, uint64_t by_workers, uint64_t missed)
{
	json_t *facts = json_object();
	uint64_t hits = by_workers + c->hits;
	set_number(facts, "workers", by_workers);
	set_number(facts, "control", c->hits);
	set_number(facts, "misses", missed);
	json_object_set_new(facts, "rate_percent",
		hits + missed ? json_real((double)(hits * 10000 / (hits + missed)) / 100) : json_null());
	return facts;
}

void command_cache_stats(struct call *call)
{
	struct cache *cache = cache_of(call);
	if (!cache)
		return;
	const struct control *control = call_control(call);
	const struct learned_counters *c = learned_counters(learned_of(control->resolver));
	struct cache_usage usage = cache_usage(cache);
	json_t *data = json_object(), *memory = json_object(), *in = json_object(), *out = json_object(), *fresh = json_object();
	set_number(data, "entries", usage.entries);
	set_number(memory, "size_bytes", usage.region_bytes);
	set_number(memory, "room_bytes", usage.room_bytes);
	set_number(memory, "used_bytes", usage.used_bytes);
	json_object_set_new(data, "memory", memory);
	json_object_set_new(data, "hits", hits_facts(c, sum_of_workers(control->door, COUNTER_cache_hit), c->misses));
	set_number(in, "inserts", usage.inserted);
	set_number(in, "answers", c->stored - c->stored_negative);
	set_number(in, "negative", c->stored_negative);
	set_number(in, "failures", c->stored_failures);
	set_number(in, "prolonged", c->stored_stale);
	set_number(in, "taken_over", usage.taken_over);
	json_object_set_new(data, "stored", in);
	json_object_set_new(data, "refused", refused_facts(c));
	set_number(out, "evicted", usage.evicted);
	set_number(out, "expired", usage.expired);
	set_number(out, "replaced", usage.replaced);
	set_number(out, "removed", usage.removed);
	set_number(out, "spared", usage.spared);
	json_object_set_new(data, "gone", out);
	set_number(fresh, "reports_of_use", c->used);
	set_number(fresh, "prefetches", c->prefetches);
	set_number(fresh, "prefetches_open", c->prefetches_open);
	set_number(fresh, "stale_answers", c->stale);
	set_number(fresh, "stale_in_reserve", c->waiting);
	json_object_set_new(data, "freshness", fresh);
	call_reply(call, data, NULL);
}

// --- lookup ---

static json_t *record_lines(const struct message *m, enum section section)
{
	json_t *lines = json_array();
	char text[RECORD_TEXT_MOST];
	for (unsigned i = m->section_at[section]; i < m->section_at[section + 1]; i++) {
		if (cache_record_text(text, sizeof(text), &m->rr[i]) >= sizeof(text))
			memset(text + sizeof(text) - 4, '.', 3);
		json_array_append_new(lines, json_text(text));
	}
	return lines;
}

static const char *rcode_text(char *to, size_t room, unsigned rcode)
{
	if (rcode == RCODE_NOERROR || rcode == RCODE_NXDOMAIN || rcode == RCODE_SERVFAIL)
		return rcode == RCODE_NOERROR ? "NOERROR" : rcode == RCODE_NXDOMAIN ? "NXDOMAIN" : "SERVFAIL";
	snprintf(to, room, "%u", rcode);
	return to;
}

static json_t *records_of(const struct cache_entry *entry, uint32_t now_s)
{
	static const char *const key[SECTION_COUNT] = { "answer", "authority", "additional" };
	static uint8_t wire[DNS_MAX_BYTES]; // too large for the stack; the event loop has one thread
	struct message m;
	json_t *sections = json_object();
	uint32_t bytes = cache_entry_message(entry, now_s, 0, wire, sizeof(wire));
	if (!bytes || message_read(&m, wire, bytes) != ST_OK)
		return sections;
	for (enum section s = SECTION_ANSWER; s < SECTION_COUNT; s++) {
		if (m.section_at[s] != m.section_at[s + 1])
			json_object_set_new(sections, key[s], record_lines(&m, s));
	}
	message_clear(&m);
	return sections;
}

// "A", "A DO", "A DO CD": as it was asked.
static const char *question_text(char *to, size_t room, const struct cache_entry *entry)
{
	char type[16];
	snprintf(to, room, "%s%s%s", rrtype_to_text(type, entry->key.type), entry->key.flags & CACHE_KEY_DO ? " DO" : "",
		entry->key.flags & CACHE_KEY_CD ? " CD" : "");
	return to;
}

static json_t *entry_row(const struct cache_entry *entry, uint32_t now_s)
{
	char name[NAME_TEXT_BYTES], asked[32], number[16];
	bool fresh = entry->expires_at_s > now_s;
	bool stale = entry->why == EDE_STALE || entry->why == EDE_STALE_NXDOMAIN;
	json_t *row = json_object();
	json_object_set_new(row, "name", json_text(name_to_text(name, entry->key.name)));
	json_object_set_new(row, "asked", json_string(question_text(asked, sizeof(asked), entry)));
	json_object_set_new(row, "rcode", json_string(rcode_text(number, sizeof(number), entry->rcode)));
	json_object_set_new(row, "state", json_string(!fresh ? "expired" : stale ? "stale" : "fresh"));
	set_number(row, "ttl_s", fresh ? entry->expires_at_s - now_s : 0);
	set_number(row, "age_s", now_s - entry->stored_at_s);
	json_object_set_new(row, "validated", json_boolean(entry->authentic));
	json_object_set_new(row, "used", json_boolean(entry->used));
	if (entry->why != EDE_NONE)
		set_number(row, "extended_error", entry->why);
	return row;
}

static bool lookup_some(void *ctx)
{
	struct long_call *l = ctx;
	struct cache_entry entry;
	char asked[32];
	uint32_t now_s = learned_now_s(learned_of(l->control->resolver));
	for (unsigned i = 0; i < PIECE; i++) {
		if (json_array_size(l->rows) >= LOOKUP_MOST || !cache_next(l->cache, &l->position, &entry))
			return false;
		if (!cache_filter_takes(&l->filter, &entry))
			continue;
		json_array_append_new(l->rows, entry_row(&entry, now_s));
		json_object_set_new(l->records, question_text(asked, sizeof(asked), &entry), records_of(&entry, now_s));
	}
	return true;
}

static void lookup_ended(void *ctx, bool finished)
{
	struct long_call *l = ctx;
	if (!finished)
		call_refuse(l->call, NULL, "cache lookup: not finished");
	else if (json_array_size(l->rows) == 0)
		call_refuse(l->call, NULL, "there is nothing in the cache for %s", call_arg(l->call, 0));
	else
		call_reply(l->call, json_pack("{s:O, s:O}", "entries", l->rows, "records", l->records), NULL);
	finish(l);
}

static bool take_type(struct long_call *l, const char *text)
{
	return rrtype_from_text(&l->filter.type, text, strlen(text)) == ST_OK && l->filter.type != 0;
}

void command_cache_lookup(struct call *call)
{
	struct cache *cache = cache_of(call);
	struct long_call *l = cache ? begin(call, cache) : NULL;
	if (!l)
		return; // and the call has ended
	const char *name = call_arg(call, 0), *type = call_arg(call, 1);
	l->rows = json_array();
	l->records = json_object();
	if (!take_name(l, name)) {
		call_misused(call, "cache lookup: '%s' is no domain name", name);
		finish(l);
	} else if (type && !take_type(l, type)) {
		call_misused(call, "cache lookup: there is no type '%s'", type);
		finish(l);
	} else {
		go(l, lookup_some, lookup_ended);
	}
}

// --- flush ---

static bool flush_some(void *ctx)
{
	struct long_call *l = ctx;
	l->removed += cache_remove_some(l->cache, &l->filter, &l->position, PIECE);
	return l->position != CACHE_END;
}

static void flush_ended(void *ctx, bool finished)
{
	struct long_call *l = ctx;
	if (finished)
		call_reply(l->call, json_pack("{s:I}", "removed", (json_int_t)l->removed), NULL);
	else
		call_refuse(l->call, NULL, "cache flush: not finished");
	finish(l);
}

// What is wrong with the words, or NULL.
static const char *take_flush_words(struct long_call *l, bool *all)
{
	const char *what = call_arg(l->call, 0), *which = call_arg(l->call, 1);
	bool by_name = !strcmp(what, "name"), subtree = !strcmp(what, "subtree"), by_type = !strcmp(what, "type");
	*all = !strcmp(what, "all") && !which;
	if (*all)
		return NULL;
	if (!which && !by_name && !subtree && !by_type) // the short form
		return take_name(l, what) ? NULL : "is no domain name";
	if (!which)
		return "of what?";
	if (by_type)
		return take_type(l, which) ? NULL : "is no type";
	if (!by_name && !subtree)
		return "is neither name, subtree, type nor all";
	l->filter.subtree = subtree;
	return take_name(l, which) ? NULL : "is no domain name";
}

void command_cache_flush(struct call *call)
{
	struct cache *cache = cache_of(call);
	struct long_call *l = cache ? begin(call, cache) : NULL;
	bool all;
	if (!l)
		return;
	const char *wrong = take_flush_words(l, &all);
	if (wrong) {
		const char *last = call_arg(call, 1);
		call_misused(call, "cache flush: '%s' %s", last && strcmp(wrong, "is neither name, subtree, type nor all") ?
			last : call_arg(call, 0), wrong);
		finish(l);
		return;
	}
	// The recursion's library cannot forget a part. All it remembers besides answers is where to ask.
	recursion_flush(call_control(call)->resolver);
	if (all) {
		l->removed = cache_usage(cache).entries;
		cache_remove_all(cache);
		flush_ended(l, true);
	} else {
		go(l, flush_some, flush_ended);
	}
}

// --- dump and load ---

static bool is_whole_path(struct call *call, const char *command)
{
	const char *path = call_arg(call, 0);
	if (*path != '/')
		call_misused(call, "%s: give the whole path, from the root directory on: '%s'", command, path);
	return *path == '/';
}

static bool dump_some(void *ctx)
{
	struct long_call *l = ctx;
	return cache_dump_some(l->dump);
}

static void dump_ended(void *ctx, bool finished)
{
	struct long_call *l = ctx;
	struct cache_dump_counts counts;
	const char *path = call_arg(l->call, 0);
	enum status status = cache_dump_end(l->dump, finished, &counts);
	if (!finished)
		call_refuse(l->call, NULL, "cache dump: not finished");
	else if (status != ST_OK)
		call_refuse(l->call, NULL, "%s: not written: %s", path, strerror(errno));
	else
		call_reply(l->call, json_pack("{s:o, s:I, s:I}", "file", json_text(path), "written",
			(json_int_t)counts.written, "left_out", (json_int_t)counts.skipped), NULL);
	finish(l);
}

void command_cache_dump(struct call *call)
{
	struct cache *cache = cache_of(call);
	if (!cache || !is_whole_path(call, "cache dump"))
		return;
	struct long_call *l = begin(call, cache);
	if (!l)
		return;
	enum status status = cache_dump_new(&l->dump, learned_of(l->control->resolver), call_arg(call, 0), (uint64_t)time(NULL));
	if (status == ST_OK) {
		go(l, dump_some, dump_ended);
		return;
	}
	call_refuse(call, NULL, "%s.new: not made: %s", call_arg(call, 0),
		status == ST_SYSTEM ? strerror(errno) : status_text(status));
	finish(l);
}

static bool load_some(void *ctx)
{
	struct long_call *l = ctx;
	return cache_load_some(l->load);
}

static void load_ended(void *ctx, bool finished)
{
	struct long_call *l = ctx;
	struct cache_load_counts counts;
	cache_load_end(l->load, &counts);
	if (!finished) {
		call_refuse(l->call, NULL, "cache load: not finished");
	} else {
		json_t *data = json_pack("{s:I, s:I, s:I, s:I, s:I}", "loaded", (json_int_t)counts.loaded, "expired",
			(json_int_t)counts.expired, "known", (json_int_t)counts.known, "refused", (json_int_t)counts.refused,
			"malformed", (json_int_t)counts.malformed);
		if (counts.malformed)
			json_object_set_new(data, "problems", json_lines(&l->findings));
		call_reply(l->call, data, NULL);
	}
	finish(l);
}

void command_cache_load(struct call *call)
{
	struct cache *cache = cache_of(call);
	if (!cache || !is_whole_path(call, "cache load"))
		return;
	struct long_call *l = begin(call, cache);
	if (!l)
		return;
	const char *path = call_arg(call, 0);
	enum status status = cache_load_new(&l->load, learned_of(l->control->resolver), path, (uint64_t)time(NULL),
		&l->findings.report);
	if (status == ST_OK)
		go(l, load_some, load_ended);
	else {
		if (status == ST_SYSTEM)
			call_refuse(call, NULL, "%s: not read: %s", path, strerror(errno));
		else
			call_refuse(call, json_lines(&l->findings), "%s: nothing was loaded", path);
		finish(l);
	}
}
