// SPDX-License-Identifier: BSD-3-Clause
// The writer of the cache region. Every step leaves a region that the next writer can take over: an entry is whole
// before the head moves over it, the tail moves over an entry before it is overwritten.
#include <pollux/bytes.h>
#include <pollux/rrtype.h>

#include "cache_region.h"
#include "sections.h"

#define ENTRY_SHARE 8	     // an entry may take one eighth of the log
#define SPARE_UNITS 64	     // for each insertion so much, and
#define SPARE_FACTOR 4	     // so many times its own size, may be spared
#define RECORD_HEAD_BYTES 10 // of a record behind its name: type, class, TTL, length

// --- positions ---

static uint64_t tail_of(const struct cache *cache)
{
	return atomic_load_explicit(&cache->region->tail, memory_order_relaxed);
}

static uint64_t head_of(const struct cache *cache)
{
	return atomic_load_explicit(&cache->region->head, memory_order_relaxed);
}

static uint64_t advance(const struct cache *cache, uint64_t position, uint32_t units)
{
	uint64_t unit = (uint32_t)position + (uint64_t)units;
	return unit == cache->units ? LAP((position >> 32) + 1) : (position & ~(uint64_t)UINT32_MAX) | unit;
}

static uint32_t units_to_end(const struct cache *cache, uint64_t position)
{
	return cache->units - (uint32_t)position;
}

static uint64_t linear(const struct cache *cache, uint64_t position)
{
	return (position >> 32) * cache->units + (uint32_t)position;
}

static uint64_t free_units(const struct cache *cache)
{
	return cache->units - (linear(cache, head_of(cache)) - linear(cache, tail_of(cache)));
}

// Room for so many units in one piece, the filler in front of them included.
static uint64_t units_wanted(const struct cache *cache, uint32_t units)
{
	uint32_t left = units_to_end(cache, head_of(cache));
	return left < units ? (uint64_t)left + units : units;
}

static void publish_tail(struct cache *cache, uint64_t position)
{
	atomic_store_explicit(&cache->region->tail, position, memory_order_relaxed);
	// Pairs with the fence in cache_still_holds(): the tail is out before anything behind it is overwritten.
	atomic_thread_fence(memory_order_release);
}

static void publish_head(struct cache *cache, uint64_t position)
{
	// Nobody but the next writer reads it: what lies before the head is whole.
	atomic_store_explicit(&cache->region->head, position, memory_order_release);
}

// --- slots ---

static _Atomic uint64_t *find_slot(const struct cache *cache, uint64_t hash, uint64_t position)
{
	struct bucket *bucket = bucket_of(cache, hash);
	for (unsigned i = 0; i < BUCKET_SLOTS; i++)
		if (bucket->slot[i] == slot_of(hash, position))
			return &bucket->slot[i];
	return NULL;
}

static void clear_slot(struct cache *cache, uint64_t hash, uint64_t position)
{
	_Atomic uint64_t *slot = find_slot(cache, hash, position);
	if (slot)
		atomic_store_explicit(slot, 0, memory_order_release);
}

static void forget(struct cache *cache, struct entry *entry)
{
	cache->usage.entries--;
	cache->usage.used_bytes -= (uint64_t)entry->units * UNIT_BYTES;
}

// First the entry, then its slot: in between a reader finds none, and the next writer a dead one.
static void kill_entry(struct cache *cache, struct entry *entry)
{
	forget(cache, entry);
	entry->state = ENTRY_DEAD;
	clear_slot(cache, entry->hash, entry->position);
}

static struct entry *slot_entry(const struct cache *cache, uint64_t slot)
{
	return entry_at(cache, slot_position(slot, tail_of(cache)));
}

// Of a full bucket: the oldest that was not used, or else the oldest.
static _Atomic uint64_t *victim_of(struct cache *cache, struct bucket *bucket)
{
	_Atomic uint64_t *victim = &bucket->slot[0];
	for (unsigned i = 1; i < BUCKET_SLOTS; i++) {
		const struct entry *best = slot_entry(cache, *victim), *entry = slot_entry(cache, bucket->slot[i]);
		if (entry->used != best->used ? !entry->used : entry->position < best->position)
			victim = &bucket->slot[i];
	}
	return victim;
}

static _Atomic uint64_t *free_slot(struct cache *cache, struct bucket *bucket)
{
	for (unsigned i = 0; i < BUCKET_SLOTS; i++)
		if (!bucket->slot[i])
			return &bucket->slot[i];
	_Atomic uint64_t *slot = victim_of(cache, bucket);
	cache->usage.evicted++;
	kill_entry(cache, slot_entry(cache, *slot));
	return slot;
}

static void store_slot(_Atomic uint64_t *slot, uint64_t hash, uint64_t position)
{
	// Pairs with the acquire in cache_look().
	atomic_store_explicit(slot, slot_of(hash, position), memory_order_release);
}

// --- room ---

// What begins at that position says where the next one begins. Always so, unless somebody has written into our region.
static bool leads_on(const struct cache *cache, const struct entry *entry, uint64_t position)
{
	return entry->position == position && entry->units && entry->units <= units_to_end(cache, position);
}

static void put_filler(struct cache *cache, uint64_t position, uint32_t units)
{
	struct entry *entry = entry_at(cache, position);
	*entry = (struct entry){ .position = position, .state = ENTRY_FILLER, .units = units };
}

// Where so many units in one piece will lie, a filler before them when the lap is at its end. There is room.
static uint64_t place_for(struct cache *cache, uint32_t units)
{
	uint64_t position = head_of(cache);
	uint32_t left = units_to_end(cache, position);
	if (left >= units)
		return position;
	put_filler(cache, position, left);
	return advance(cache, position, left);
}

// An entry behind the tail, but not yet overwritten, goes to the head.
static void spare(struct cache *cache, const struct entry *old)
{
	uint32_t units = old->units;
	uint64_t hash = old->hash, position = place_for(cache, units);
	struct entry *entry = entry_at(cache, position);
	memmove(entry, old, (size_t)units * UNIT_BYTES);
	entry->position = position;
	entry->used = 0;
	publish_head(cache, advance(cache, position, units));
	store_slot(free_slot(cache, bucket_of(cache, hash)), hash, position);
	cache->usage.spared++;
}

static bool has_expired(const struct entry *entry, uint32_t now_s)
{
	return entry->expires_at_s <= now_s;
}

// The oldest goes. Returns the units that were spared.
static uint32_t drop_oldest(struct cache *cache, uint32_t now_s, uint32_t may_spare)
{
	uint64_t position = tail_of(cache);
	struct entry *entry = entry_at(cache, position);
	uint32_t units = entry->units;
	if (!leads_on(cache, entry, position)) {
		cache_reset(cache);
		return 0;
	}
	bool live = entry->state == ENTRY_LIVE;
	if (live)
		clear_slot(cache, entry->hash, position);
	publish_tail(cache, advance(cache, position, units));
	if (!live)
		return 0;
	bool wanted = entry->used && entry->expires_at_s + (uint64_t)cache->stale_s > now_s;
	if (wanted && units <= may_spare && units_wanted(cache, units) <= free_units(cache)) {
		spare(cache, entry);
		return units;
	}
	if (has_expired(entry, now_s))
		cache->usage.expired++;
	else
		cache->usage.evicted++;
	forget(cache, entry);
	return 0;
}

// What was used gets another round, but only so much of it that an insertion stays short.
static void make_room(struct cache *cache, uint32_t units, uint32_t now_s)
{
	uint32_t may_spare = SPARE_UNITS + SPARE_FACTOR * units;
	while (free_units(cache) < units_wanted(cache, units))
		may_spare -= drop_oldest(cache, now_s, may_spare);
}

// --- messages ---

static void skip_name(struct reader *r)
{
	uint8_t length;
	while ((length = read_u8(r)) != 0) {
		if (length > LABEL_MAX_BYTES) {
			r->failed |= length < 0xc0;
			read_u8(r);
			return;
		}
		read_bytes(r, length);
	}
}

// What an insertion finds out about its message before it changes anything.
struct body {
	const uint8_t *at;
	uint16_t count[3], end[3];
	uint16_t ttl_count;
};

static enum status read_record(struct cache *cache, struct body *body, struct reader *r, bool *is_opt)
{
	const uint8_t *start = r->at;
	skip_name(r);
	const uint8_t *head = read_bytes(r, RECORD_HEAD_BYTES);
	if (!head)
		return ST_SYNTAX;
	*is_opt = load_be16(head) == TYPE_OPT && head == start + 1;
	read_bytes(r, load_be16(head + 8));
	if (!*is_opt)
		cache->ttl_at[body->ttl_count++] = (uint16_t)(head + 4 - body->at);
	return r->failed ? ST_SYNTAX : ST_OK;
}

static enum status read_sections(struct cache *cache, struct body *body, struct reader *r, const uint8_t *wire)
{
	bool is_opt = false;
	for (unsigned s = 0; s < 3; s++) {
		for (unsigned left = load_be16(wire + 6 + 2 * s); left; left--) {
			if (is_opt)
				return ST_INVALID;
			enum status status = read_record(cache, body, r, &is_opt);
			if (status != ST_OK)
				return status;
			if (is_opt)
				continue;
			body->count[s]++;
			body->end[s] = (uint16_t)(r->at - body->at);
		}
		if (s < 2)
			body->end[s + 1] = body->end[s];
	}
	return reader_left(r) ? ST_SYNTAX : ST_OK;
}

static enum status read_body(struct cache *cache, struct body *body, const struct cache_key *key,
	const struct cache_record *record)
{
	*body = (struct body){ .at = record->wire };
	if (!record->wire)
		return ST_OK;
	uint32_t question_end = DNS_HEADER_BYTES + key->name_bytes + 4u;
	const uint8_t *name = record->wire + DNS_HEADER_BYTES, *fixed = name + key->name_bytes;
	if (record->bytes < question_end || load_be16(record->wire + 4) != 1 ||
		name_length(name, key->name_bytes) != key->name_bytes || !name_equal(name, key->name) ||
		load_be16(fixed) != key->type || load_be16(fixed + 2) != key->class)
		return ST_SYNTAX;
	struct reader r = reader_of(record->wire, record->bytes);
	r.at = body->at = record->wire + question_end;
	return read_sections(cache, body, &r, record->wire);
}

// --- insertion ---

static void write_entry(struct cache *cache, uint64_t position, uint32_t units, const struct cache_key *key,
	const struct cache_record *record, const struct body *body)
{
	struct entry *entry = entry_at(cache, position);
	*entry = (struct entry){
		.position = position,
		.hash = key->hash,
		.type = key->type,
		.class = key->class,
		.name_bytes = key->name_bytes,
		.key_flags = key->flags,
		.state = ENTRY_LIVE,
		.units = units,
		.stored_at_s = record->now_s,
		.expires_at_s = record->lifetime_s > UINT32_MAX - record->now_s ? UINT32_MAX : record->now_s + record->lifetime_s,
		.note = record->note,
		.count = { body->count[0], body->count[1], body->count[2] },
		.end = { body->end[0], body->end[1], body->end[2] },
		.ttl_count = body->ttl_count,
		.rcode = record->rcode,
		.why = (uint16_t)record->why,
		.authentic = record->authentic,
		.sum = ones_sum(body->at, body->end[2]),
	};
	uint8_t *start = (uint8_t *)entry;
	memcpy(entry->ttl_at, cache->ttl_at, body->ttl_count * sizeof(*entry->ttl_at));
	memcpy(start + entry_name_at(entry), key->name, key->name_bytes);
	if (body->end[2])
		memcpy(start + entry_body_at(entry), body->at, body->end[2]);
}

// The new entry takes the slot of the old one in one store: at every moment one of them is found.
static void link_entry(struct cache *cache, const struct cache_key *key, uint64_t position)
{
	struct entry head;
	uint64_t old = cache_look(cache, key, &head);
	_Atomic uint64_t *slot = old ? find_slot(cache, key->hash, old) : NULL;
	if (!slot)
		slot = free_slot(cache, bucket_of(cache, key->hash));
	store_slot(slot, key->hash, position);
	if (!old)
		return;
	kill_entry(cache, entry_at(cache, old));
	cache->usage.replaced++;
}

enum status cache_insert(struct cache *cache, const struct cache_key *key, const struct cache_record *record,
	uint64_t *at)
{
	struct body body;
	if (!record->lifetime_s)
		return ST_INVALID;
	if (record->wire && record->bytes > DNS_MAX_BYTES) {
		cache->usage.refused++;
		return ST_FULL;
	}
	enum status status = read_body(cache, &body, key, record);
	if (status != ST_OK)
		return status;
	uint32_t bytes = (uint32_t)sizeof(struct entry) + body.ttl_count * 2u + key->name_bytes + body.end[2];
	uint32_t units = (bytes + UNIT_BYTES - 1) / UNIT_BYTES;
	if (units > cache->units / ENTRY_SHARE) {
		cache->usage.refused++;
		return ST_FULL;
	}
	make_room(cache, units, record->now_s);
	uint64_t position = place_for(cache, units);
	write_entry(cache, position, units, key, record, &body);
	publish_head(cache, advance(cache, position, units));
	cache->usage.entries++;
	cache->usage.used_bytes += (uint64_t)units * UNIT_BYTES;
	cache->usage.inserted++;
	link_entry(cache, key, position);
	if (at)
		*at = position;
	return ST_OK;
}

void cache_keep_stale(struct cache *cache, uint32_t seconds)
{
	cache->stale_s = seconds;
}

// --- entries by position ---

static bool is_inside(const struct cache *cache, uint64_t position)
{
	return position >= tail_of(cache) && position < head_of(cache) && (uint32_t)position < cache->units;
}

// The slot proves that an entry begins there, which the octets themselves could only pretend.
static struct entry *entry_of_stranger(const struct cache *cache, uint64_t position)
{
	if (!is_inside(cache, position))
		return NULL;
	struct entry *entry = entry_at(cache, position);
	return entry_is_sound(cache, entry, position) && find_slot(cache, entry->hash, position) ? entry : NULL;
}

bool cache_mark_used(struct cache *cache, uint64_t position, struct cache_entry *view)
{
	struct entry *entry = entry_of_stranger(cache, position);
	if (!entry)
		return false;
	if (!entry->used)
		entry->used = 1;
	if (view)
		cache_view(entry, view);
	return true;
}

bool cache_next(const struct cache *cache, uint64_t *position, struct cache_entry *view)
{
	bool is_new = *position < tail_of(cache);
	uint64_t at = is_new ? tail_of(cache) : *position;
	for (; is_inside(cache, at); is_new = true) {
		const struct entry *entry = entry_at(cache, at);
		if (!leads_on(cache, entry, at))
			return false;
		if (is_new && entry_is_sound(cache, entry, at)) {
			*position = at;
			cache_view(entry, view);
			return true;
		}
		at = advance(cache, at, entry->units);
	}
	return false;
}

// --- removal ---

bool cache_remove(struct cache *cache, const struct cache_key *key)
{
	struct entry head;
	uint64_t position = cache_look(cache, key, &head);
	if (!position)
		return false;
	kill_entry(cache, entry_at(cache, position));
	cache->usage.removed++;
	return true;
}

bool cache_filter_takes(const struct cache_filter *filter, const struct cache_entry *entry)
{
	if (filter->type && filter->type != entry->key.type)
		return false;
	if (!filter->name)
		return true;
	return filter->subtree ? name_is_under(entry->key.name, filter->name) : name_equal(entry->key.name, filter->name);
}

uint64_t cache_remove_some(struct cache *cache, const struct cache_filter *filter, uint64_t *position, unsigned most)
{
	uint64_t removed = 0;
	struct cache_entry entry;
	if (*position == CACHE_END)
		return 0;
	for (; most; most--) {
		if (!cache_next(cache, position, &entry)) {
			*position = CACHE_END;
			break;
		}
		if (!cache_filter_takes(filter, &entry))
			continue;
		kill_entry(cache, entry_at(cache, entry.position));
		removed++;
	}
	cache->usage.removed += removed;
	return removed;
}

static void clear_table(struct cache *cache)
{
	for (uint32_t b = 0; b < cache->bucket_count; b++)
		for (unsigned i = 0; i < BUCKET_SLOTS; i++)
			atomic_store_explicit(&cache->buckets[b].slot[i], 0, memory_order_relaxed);
}

void cache_remove_all(struct cache *cache)
{
	cache->usage.removed += cache->usage.entries;
	cache->usage.entries = cache->usage.used_bytes = 0;
	publish_tail(cache, head_of(cache));
	clear_table(cache);
}

void cache_reset(struct cache *cache)
{
	// The next lap but one: whatever a reader still has in its hands lies before it.
	uint64_t position = LAP(((tail_of(cache) >> 32) + 2) & UINT32_MAX);
	cache->usage.entries = cache->usage.used_bytes = 0;
	publish_tail(cache, position ? position : LAP(1));
	publish_head(cache, position ? position : LAP(1));
	clear_table(cache);
}

struct cache_usage cache_usage(const struct cache *cache)
{
	return cache->usage;
}

// --- taking over ---

static bool bounds_are_sound(const struct cache *cache)
{
	uint64_t tail = tail_of(cache), head = head_of(cache);
	return tail >= LAP(1) && (uint32_t)tail < cache->units && (uint32_t)head < cache->units && head >= tail &&
		linear(cache, head) - linear(cache, tail) <= cache->units && (head >> 32) - (tail >> 32) <= 1;
}

// Counts the entries as far as each leads to the next one: what follows cannot be found. Returns where that is.
static uint64_t count_sound(struct cache *cache)
{
	uint64_t at = tail_of(cache), head = head_of(cache);
	while (at < head) {
		struct entry *entry = entry_at(cache, at);
		bool whole = leads_on(cache, entry, at) && linear(cache, at) + entry->units <= linear(cache, head);
		if (!whole || (entry->state == ENTRY_LIVE && !entry_is_sound(cache, entry, at)))
			break;
		if (entry->state == ENTRY_LIVE) {
			entry->checked_by = (uint8_t)cache->region->shm.generation;
			cache->usage.entries++;
			cache->usage.used_bytes += (uint64_t)entry->units * UNIT_BYTES;
		}
		at = advance(cache, at, entry->units);
	}
	return at;
}

static bool slot_is_true(const struct cache *cache, const struct bucket *bucket, unsigned i)
{
	uint64_t slot = bucket->slot[i], position = slot_position(slot, tail_of(cache));
	for (unsigned before = 0; before < i; before++)
		if (bucket->slot[before] == slot)
			return false;
	if (!is_inside(cache, position))
		return false;
	const struct entry *entry = entry_at(cache, position);
	bool leads_there = entry_is_sound(cache, entry, position) && slot == slot_of(entry->hash, position) &&
		bucket == bucket_of(cache, entry->hash);
	return leads_there && entry->checked_by == (uint8_t)cache->region->shm.generation; // and does not lie inside another
}

static void drop_false_slots(struct cache *cache)
{
	for (uint32_t b = 0; b < cache->bucket_count; b++) {
		struct bucket *bucket = &cache->buckets[b];
		for (unsigned i = 0; i < BUCKET_SLOTS; i++)
			if (bucket->slot[i] && !slot_is_true(cache, bucket, i))
				bucket->slot[i] = 0;
	}
}

// The later one of two entries with one key stays.
static void adopt(struct cache *cache, struct entry *entry)
{
	const uint8_t *name = (const uint8_t *)entry + entry_name_at(entry);
	struct entry head;
	if (name_length(name, entry->name_bytes) != entry->name_bytes) {
		kill_entry(cache, entry);
		return;
	}
	struct cache_key key = cache_key_of(cache, name, entry->type, entry->class, entry->key_flags & CACHE_KEY_DO,
		entry->key_flags & CACHE_KEY_CD);
	key.flags = entry->key_flags;
	if (entry->hash != key.hash) {
		clear_slot(cache, entry->hash, entry->position);
		entry->hash = key.hash;
	}
	uint64_t found = cache_look(cache, &key, &head);
	if (found == entry->position)
		return;
	if (found > entry->position) {
		kill_entry(cache, entry);
		return;
	}
	clear_slot(cache, entry->hash, entry->position);
	link_entry(cache, &key, entry->position);
}

void cache_take_over(struct cache *cache, uint64_t seed)
{
	if (!bounds_are_sound(cache)) {
		cache->region->hash_seed = seed;
		cache_reset(cache);
		return;
	}
	publish_head(cache, count_sound(cache));
	if (cache->region->hash_seed != seed) {
		clear_table(cache);
		cache->region->hash_seed = seed;
	} else {
		drop_false_slots(cache);
	}
	for (uint64_t at = tail_of(cache); at < head_of(cache);) {
		struct entry *entry = entry_at(cache, at);
		if (entry->state == ENTRY_LIVE)
			adopt(cache, entry);
		at = advance(cache, at, entry->units);
	}
	struct cache_usage *usage = &cache->usage;
	usage->taken_over = usage->entries;
	usage->evicted = usage->replaced = 0; // by a lack of slots, or before
}
