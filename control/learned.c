// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <pollux/log.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "learned.h"

#define PREFETCH_LEAST_TTL_S 10 // what lives shorter is asked for anew when it is wanted
#define PREFETCH_SHARE 10	// the last tenth of a life
#define PREFETCHES_MAX 512	// under way at once
#define TRIED_SLOTS 4096

struct learned {
	struct resolver *resolver;
	struct cache *cache; // NULL: not opened, or not needed so far
	char *directory;     // of its region; NULL: none
	uint64_t region_bytes;
	bool is_open, in_chain, prefetch, stale;
	struct keep_rules rules;
	unsigned failure_ttl_s, stale_max_age_s, stale_answer_after_ms, stale_ttl_s;
	uint64_t (*now_ms)(void *ctx);
	void *clock_ctx;
	struct event *timer;
	TAILQ_HEAD(, ask) waiting; // with an expired answer in reserve, by their time for it
	uint64_t tried[TRIED_SLOTS]; // positions of entries asked for again; one that is forgotten is asked for twice
	struct learned_counters counters;
	uint8_t wire[DNS_MAX_BYTES];
};

static uint64_t monotonic_ms(void *ctx)
{
	struct timespec now;
	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t now_ms(const struct learned *l)
{
	return l->now_ms(l->clock_ctx);
}

uint32_t learned_now_s(const struct learned *l)
{
	return (uint32_t)(now_ms(l) / 1000);
}

static bool is_failure(const struct cache_entry *entry)
{
	return entry->rcode != RCODE_NOERROR && entry->rcode != RCODE_NXDOMAIN;
}

static bool was_stale_when_stored(const struct cache_entry *entry)
{
	return entry->why == EDE_STALE || entry->why == EDE_STALE_NXDOMAIN;
}

// When it really ended: an expired answer that was stored again carries that as its note.
static uint32_t end_of(const struct cache_entry *entry)
{
	return was_stale_when_stored(entry) ? entry->note : entry->expires_at_s;
}

// RFC 8767 5: what has expired may serve for so long.
static bool may_serve_stale(const struct learned *l, const struct cache_entry *entry, uint32_t now_s)
{
	return l->stale && !is_failure(entry) && now_s - end_of(entry) <= l->stale_max_age_s;
}

// --- what goes in ---

static struct cache_key key_of(const struct learned *l, const struct learned_key *key)
{
	return cache_key_of(l->cache, key->name, key->type, key->class, key->dnssec_ok, key->checking_disabled);
}

static bool keeps(const struct learned *l)
{
	return l && l->cache && l->in_chain;
}

static enum keep_reason store(struct learned *l, const struct cache_key *at, const struct learned_key *key,
	const struct message *m, const struct verdict *verdict)
{
	struct cache_record record = { .wire = l->wire,
		.now_s = learned_now_s(l),
		.rcode = m->rcode,
		.authentic = verdict->flags & FLAG_AD,
		.why = verdict->why };
	struct keep keep;
	l->rules.wall_s = (uint32_t)time(NULL);
	enum keep_reason reason = keep_judge(&keep, &l->rules, key, m);
	if (m->rcode == RCODE_NXDOMAIN && resolver_holds(l->resolver, key->name))
		reason = KEEP_NOT_HELD;
	if (reason == KEEP_IT) {
		record.lifetime_s = keep.ttl_s;
		record.bytes = keep_write(
			&l->resolver->composer, l->wire, sizeof(l->wire), &l->rules, key, m, keep.ttl_s);
		if (!record.bytes || cache_insert(l->cache, at, &record, NULL) != ST_OK)
			reason = KEEP_NOT_SIZE;
	}
	if (reason == KEEP_IT) {
		l->counters.stored++;
		l->counters.stored_negative += keep.negative;
	} else {
		l->counters.refused[reason]++;
	}
	return reason;
}

void learned_store(struct learned *l, const struct learned_key *key, const struct message *m, const struct verdict *verdict)
{
	if (!keeps(l))
		return;
	struct cache_key at = key_of(l, key);
	enum keep_reason reason = store(l, &at, key, m, verdict);
	if (reason == KEEP_NOT_TTL || reason == KEEP_NOT_NO_SOA || reason == KEEP_NOT_SIZE)
		cache_remove(l->cache, &at); // what was there is known to be over
}

enum learned_result learned_restore(struct learned *l, const struct learned_key *key, const struct message *m,
	const struct verdict *verdict)
{
	struct cache_entry entry;
	if (!keeps(l))
		return LEARNED_REFUSED;
	struct cache_key at = key_of(l, key);
	if (cache_find(l->cache, &at, &entry) && entry.expires_at_s > learned_now_s(l))
		return LEARNED_KNOWN;
	return store(l, &at, key, m, verdict) == KEEP_IT ? LEARNED_KEPT : LEARNED_REFUSED;
}

// RFC 8767 5: the expired answer stands in until the next try, from the dataplane, too.
static bool prolong(struct learned *l, const struct cache_key *at, const struct cache_entry *entry, uint32_t now_s)
{
	struct cache_record record = { .wire = l->wire,
		.bytes = cache_entry_message(entry, now_s, l->stale_ttl_s, l->wire, sizeof(l->wire)),
		.now_s = now_s,
		.lifetime_s = l->stale_ttl_s,
		.rcode = entry->rcode,
		.authentic = entry->authentic,
		.why = entry->rcode == RCODE_NXDOMAIN ? EDE_STALE_NXDOMAIN : EDE_STALE,
		.note = end_of(entry) };
	return record.bytes && cache_insert(l->cache, at, &record, NULL) == ST_OK;
}

void learned_failure(struct learned *l, const struct learned_key *key, enum extended_error why)
{
	if (!keeps(l) || resolver_holds(l->resolver, key->name))
		return;
	struct cache_key at = key_of(l, key);
	struct cache_entry entry;
	uint32_t now_s = learned_now_s(l);
	if (cache_find(l->cache, &at, &entry)) {
		if (entry.expires_at_s > now_s)
			return; // what is known is better than nothing
		if (may_serve_stale(l, &entry, now_s) && prolong(l, &at, &entry, now_s)) {
			l->counters.stored_stale++;
			return;
		}
	}
	// RFC 9520 3.2
	const struct cache_record record = { .now_s = now_s, .lifetime_s = l->failure_ttl_s, .rcode = RCODE_SERVFAIL, .why = why };
	l->counters.stored_failures += cache_insert(l->cache, &at, &record, NULL) == ST_OK;
}

// --- what is in use is asked for before it expires ---

static bool is_about_to_expire(const struct cache_entry *entry, uint32_t now_s)
{
	return entry->expires_at_s > now_s && entry->ttl_s >= PREFETCH_LEAST_TTL_S &&
	       (uint64_t)(entry->expires_at_s - now_s) * PREFETCH_SHARE <= entry->ttl_s;
}

static void on_refreshed(void *ctx, const uint8_t *wire, unsigned bytes)
{
	struct learned *l = ctx;
	(void)wire;
	(void)bytes;
	l->counters.prefetches_open--;
}

static void refresh(struct learned *l, const struct cache_entry *entry)
{
	uint64_t *tried = &l->tried[entry->position * UINT64_C(0x9e3779b97f4a7c15) >> 52];
	uint8_t name[NAME_MAX_BYTES]; // the view ends with the first answer
	if (*tried == entry->position || l->counters.prefetches_open >= PREFETCHES_MAX || entry->key.class != CLASS_IN)
		return;
	*tried = entry->position;
	memcpy(name, entry->key.name, entry->key.name_bytes);
	l->counters.prefetches++;
	l->counters.prefetches_open++;
	if (resolver_refresh(l->resolver, name, entry->key.type, entry->key.flags & CACHE_KEY_DO,
		    entry->key.flags & CACHE_KEY_CD, on_refreshed, l) != ST_OK)
		l->counters.prefetches_open--;
}

static void note_use(struct learned *l, const struct cache_entry *entry)
{
	if (l->prefetch && !is_failure(entry) && !was_stale_when_stored(entry) &&
		is_about_to_expire(entry, learned_now_s(l)))
		refresh(l, entry);
}

void learned_used(struct learned *l, uint64_t position)
{
	struct cache_entry entry;
	if (!keeps(l) || !cache_mark_used(l->cache, position, &entry))
		return;
	l->counters.used++;
	note_use(l, &entry);
}

// --- the step ---

// What the question is looked up by. `folded` has room for a name.
static struct cache_key key_of_ask(const struct learned *l, const struct ask *ask, uint8_t *folded)
{
	if (!ask->target)
		return cache_key_of_query(&ask->query);
	name_fold(folded, ask->target);
	return cache_key_of(l->cache, folded, ask->query.type, ask->query.class, ask->query.dnssec_ok,
		ask->query.flags & FLAG_CD);
}

// Behind aliases of our own the entry is a part of the reply only.
static enum outcome reply_behind_aliases(struct learned *l, struct ask *ask, const struct cache_entry *entry, uint32_t now_s)
{
	struct message m;
	struct verdict verdict = { .flags = entry->authentic ? FLAG_AD : 0, .why = entry->why };
	if (is_failure(entry)) {
		ask->rcode = RCODE_SERVFAIL;
		ask->why = entry->why;
		return ERROR;
	}
	if (entry->expires_at_s <= now_s)
		verdict.why = entry->rcode == RCODE_NXDOMAIN ? EDE_STALE_NXDOMAIN : EDE_STALE;
	uint32_t bytes = cache_entry_message(entry, now_s, l->stale_ttl_s, l->wire, sizeof(l->wire));
	if (!bytes || message_read(&m, l->wire, bytes) != ST_OK)
		return PASS;
	enum outcome outcome = ask_reply(ask, &m, &verdict);
	message_clear(&m);
	return outcome;
}

// The entry as the reply, expired or not.
static enum outcome reply_with(struct learned *l, struct ask *ask, const struct cache_key *key,
	const struct cache_entry *entry, uint32_t now_s)
{
	struct resolver *r = l->resolver;
	if (ask->target)
		return reply_behind_aliases(l, ask, entry, now_s);
	ask_face_client(ask);
	return cache_answer_stale(l->cache, &ask->policy, &ask->query, key, ask->asker.transport, now_s, l->stale_ttl_s,
		       &r->reply, NULL)
		? ANSWER
		: PASS;
}

static enum outcome answer_stale(struct ask *ask)
{
	struct learned *l = learned_of(ask->resolver);
	uint8_t folded[NAME_MAX_BYTES];
	struct cache_key key = key_of_ask(l, ask, folded);
	struct cache_entry entry;
	uint32_t now_s = learned_now_s(l);
	if (!cache_find(l->cache, &key, &entry) || is_failure(&entry) ||
		(entry.expires_at_s <= now_s && !may_serve_stale(l, &entry, now_s)))
		return PASS;
	enum outcome outcome = reply_with(l, ask, &key, &entry, now_s);
	l->counters.stale += outcome == ANSWER;
	return outcome;
}

static void set_timer(struct learned *l)
{
	const struct ask *first = TAILQ_FIRST(&l->waiting);
	if (!first)
		return;
	uint64_t now = now_ms(l), wait_ms = first->reserve_at_ms > now ? first->reserve_at_ms - now : 0;
	struct timeval delay = { .tv_sec = (time_t)(wait_ms / 1000), .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000) };
	event_add(l->timer, &delay);
}

static void leave(struct ask *ask)
{
	struct learned *l = learned_of(ask->resolver);
	TAILQ_REMOVE(&l->waiting, ask, reserve);
	l->counters.waiting--;
	ask->rescue = NULL;
	ask->ended = NULL;
}

// The chain had nothing, so what is in reserve goes out.
static enum outcome rescue(struct ask *ask)
{
	leave(ask);
	enum outcome outcome = answer_stale(ask);
	if (outcome == ANSWER)
		ask_note(ask, "expired answer, for want of another");
	return outcome;
}

// The answer is the cache's, whichever step is being waited for.
static void blame_cache(struct ask *ask)
{
	for (unsigned i = 0; i < ask->order.count; i++) {
		if (ask->order.step[i] == STEP_CACHE)
			ask->step = i;
	}
}

void learned_tick(struct learned *l)
{
	struct ask *ask;
	while ((ask = TAILQ_FIRST(&l->waiting)) && ask->reserve_at_ms <= now_ms(l)) {
		leave(ask);
		if (!ask->forget)
			continue; // in nobody's hands: it is being answered
		enum outcome outcome = answer_stale(ask);
		if (outcome != ANSWER)
			continue; // evicted meanwhile: it goes on waiting
		ask_take_back(ask);
		ask_note(ask, "expired answer after %u ms; the search goes on", l->stale_answer_after_ms);
		blame_cache(ask);
		ask_resume(ask, ANSWER);
	}
	set_timer(l);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	learned_tick(ctx);
}

// RFC 8767 5: first the chain is asked; if it takes too long or fails, the expired answer goes out.
static enum outcome keep_in_reserve(struct learned *l, struct ask *ask)
{
	bool first = TAILQ_EMPTY(&l->waiting);
	ask->reserve_at_ms = now_ms(l) + l->stale_answer_after_ms;
	ask->rescue = rescue;
	ask->ended = leave;
	TAILQ_INSERT_TAIL(&l->waiting, ask, reserve);
	l->counters.waiting++;
	if (first)
		set_timer(l);
	return PASS;
}

static const char *kind_of(const struct cache_entry *entry)
{
	return is_failure(entry) ? "failure" : entry->rcode == RCODE_NXDOMAIN ? "no such name" : "answer";
}

static enum outcome hit(struct learned *l, struct ask *ask, const struct cache_key *key, struct cache_entry *entry,
	uint32_t now_s)
{
	struct cache_entry used;
	// First, for a step may answer that at once, in the buffer of all replies, and the cache may learn from it.
	if (cache_mark_used(l->cache, entry->position, &used))
		note_use(l, &used);
	if (!cache_find(l->cache, key, entry))
		return PASS;
	enum outcome outcome = reply_with(l, ask, key, entry, now_s);
	if (outcome == PASS)
		return PASS;
	if (was_stale_when_stored(entry))
		ask_note(ask, "%s, expired %u s ago; asked again in %u s", kind_of(entry), now_s - end_of(entry),
			entry->expires_at_s - now_s);
	else
		ask_note(ask, "%s learned %u s ago, TTL left %u s", kind_of(entry), now_s - entry->stored_at_s,
			entry->expires_at_s - now_s);
	l->counters.hits++;
	if (was_stale_when_stored(entry))
		l->counters.stale++;
	return outcome;
}

static enum outcome from_cache(struct ask *ask, void *state)
{
	struct learned *l = state;
	uint8_t folded[NAME_MAX_BYTES];
	struct cache_entry entry;
	if (!l->cache)
		return PASS;
	struct cache_key key = key_of_ask(l, ask, folded);
	uint32_t now_s = learned_now_s(l);
	bool found = cache_find(l->cache, &key, &entry);
	if (found && entry.expires_at_s > now_s)
		return hit(l, ask, &key, &entry, now_s);
	l->counters.misses++;
	if (!found || !may_serve_stale(l, &entry, now_s)) {
		ask_note(ask, found ? "%s, expired" : "nothing", kind_of(&entry));
		return PASS;
	}
	ask_note(ask, "%s, expired %u s ago, in reserve", kind_of(&entry), now_s - end_of(&entry));
	if (ask->rescue)
		return PASS; // it has come by before
	return ask->query.flags & FLAG_RD ? keep_in_reserve(l, ask) : PASS;
}

// --- its life ---

static bool is_in_chain(const struct resolver *r)
{
	for (unsigned i = 0; i < r->order.count; i++) {
		if (r->order.step[i] == STEP_CACHE)
			return true;
	}
	return false;
}

// Where the dataplane finds it, or else in memory of this process alone.
static enum status open_region(struct learned *l)
{
	char path[PATH_MAX];
	uint64_t seed = catalog_seed(l->resolver->catalog);
	enum status status = ST_NOT_FOUND;
	if (l->directory) {
		snprintf(path, sizeof(path), "%s/cache", l->directory);
		status = cache_open_writer(&l->cache, path, l->region_bytes, seed);
		if (status != ST_OK)
			log_error("%s: %s; what is learned is answered by this process alone, and gone with it", path,
				status == ST_SYSTEM ? strerror(errno) : status_text(status));
	}
	if (status != ST_OK)
		status = cache_open_private(&l->cache, l->region_bytes, seed);
	if (status != ST_OK) {
		log_error("no memory for the cache; nothing is learned");
		l->cache = NULL;
	}
	return status;
}

// A server that has nobody to learn from needs no memory for that.
static void follow_config(struct learned *l)
{
	bool wanted = l->in_chain && l->resolver->policy.has_chain;
	if (!l->cache && (!l->is_open || !wanted || open_region(l) != ST_OK))
		return;
	cache_keep_stale(l->cache, l->stale ? l->stale_max_age_s : 0);
	if (!l->in_chain)
		cache_remove_all(l->cache); // or the dataplane would go on answering from it
}

enum status learned_open(struct learned *l, const char *directory)
{
	l->directory = directory ? strdup(directory) : NULL;
	l->is_open = true;
	if (directory && !l->directory)
		return ST_NO_MEMORY;
	if (!directory && open_region(l) != ST_OK)
		return ST_NO_MEMORY;
	follow_config(l);
	return ST_OK;
}

static void learned_reconfigure(void *state, const struct config *config)
{
	struct learned *l = state;
	l->rules = (struct keep_rules){ .max_ttl_s = config->cache_max_ttl_s,
		.min_ttl_s = config->cache_min_ttl_s,
		.negative_max_ttl_s = config->cache_negative_max_ttl_s };
	l->failure_ttl_s = config->cache_failure_ttl_s;
	l->prefetch = config->cache_prefetch;
	l->stale = config->cache_stale;
	l->stale_max_age_s = config->cache_stale_max_age_s;
	l->stale_answer_after_ms = config->cache_stale_answer_after_ms;
	l->stale_ttl_s = config->cache_stale_ttl_s;
	l->in_chain = is_in_chain(l->resolver);
	follow_config(l);
}

static void learned_free(void *state)
{
	struct learned *l = state;
	if (l->timer)
		event_free(l->timer);
	cache_close(l->cache);
	free(l->directory);
	free(l);
}

static void *learned_new(struct event_base *base, struct resolver *resolver, const struct config *config)
{
	struct learned *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->resolver = resolver;
	l->now_ms = monotonic_ms;
	l->region_bytes = config->cache_bytes;
	TAILQ_INIT(&l->waiting);
	l->timer = event_new(base, -1, 0, on_timer, l);
	if (!l->timer) {
		learned_free(l);
		return NULL;
	}
	learned_reconfigure(l, config);
	return l;
}

struct learned *learned_of(const struct resolver *r)
{
	return r->state[STEP_CACHE];
}

struct cache *learned_cache(struct learned *l)
{
	return l->cache;
}

void learned_set_clock(struct learned *l, uint64_t (*clock)(void *ctx), void *ctx)
{
	l->now_ms = clock;
	l->clock_ctx = ctx;
}

const struct learned_counters *learned_counters(const struct learned *l)
{
	return &l->counters;
}

const struct step_kind cache_step = {
	.name = "cache",
	.help = "answers learned from others",
	.new = learned_new,
	.reconfigure = learned_reconfigure,
	.free = learned_free,
	.run = from_cache,
};
