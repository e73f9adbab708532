// SPDX-License-Identifier: BSD-3-Clause
// How the cache region is laid out, for those who read it and the one who writes it.
//
// The log is an array of 64-octet units. A position is lap << 32 | unit: it grows for ever, and says at once where the
// entry lies. An entry is a head, the places of its TTLs, its name and its body, in one piece; where the rest of a lap is too short
// a filler takes it. Entries in [tail, head) are whole. A slot of the bucket table is tag << 40 | low 40 bits of the
// position; the rest of it follows from `tail`.
#pragma once

#include <stdatomic.h>
#include <string.h>

#include <pollux/bounds.h>
#include <pollux/bytes.h>
#include <pollux/cache.h>
#include <pollux/shm.h>

#define CACHE_MAGIC 0x4c584c50u // "PLXL"
#define CACHE_FORMAT 3u
#define UNIT_BYTES 64
#define BUCKET_SLOTS 8
#define TAG_SHIFT 40
#define SLOT_MASK ((UINT64_C(1) << TAG_SHIFT) - 1)
#define LAP(n) ((uint64_t)(n) << 32)

struct region {
	struct shm_head shm;
	uint64_t hash_seed;
	_Alignas(CACHE_LINE_BYTES) _Atomic uint64_t tail; // what lies before this position is gone
	_Alignas(CACHE_LINE_BYTES) _Atomic uint64_t head; // where the next entry will lie
};

struct bucket {
	_Atomic uint64_t slot[BUCKET_SLOTS]; // 0: free
};
_Static_assert(sizeof(struct bucket) == CACHE_LINE_BYTES, "a bucket is one cache line");

enum entry_state { ENTRY_NONE, ENTRY_LIVE, ENTRY_DEAD, ENTRY_FILLER };

struct entry {
	uint64_t position;
	uint64_t hash; // the writer's; readers compare names
	uint16_t type, class;
	uint8_t name_bytes, key_flags;
	uint8_t state;
	uint8_t used; // the writer's
	uint32_t units;
	uint32_t stored_at_s, expires_at_s;
	uint32_t note;
	uint16_t count[3], end[3]; // of the sections; ends in octets of the body
	uint16_t ttl_count;
	uint16_t rcode;
	uint16_t why;
	uint8_t authentic;
	uint8_t checked_by; // the writer that met it when it took over
	uint16_t sum; // of the body from an even offset, in the byte order of the wire (RFC 1071); a wrong one makes a wrong checksum, no more
	uint8_t unused[2];
	uint16_t ttl_at[]; // in the body; behind them the name, then the body
};
_Static_assert(sizeof(struct entry) == UNIT_BYTES && offsetof(struct entry, ttl_at) == UNIT_BYTES, "an entry's head is one unit");

struct cache {
	struct shm shm; // base NULL: memory of this process alone
	uint8_t *base;
	struct region *region;
	struct bucket *buckets;
	uint8_t *log;
	uint64_t bytes; // of the region
	uint32_t bucket_count;
	uint32_t units; // of the log
	// The writer's.
	uint32_t stale_s;
	struct cache_usage usage;
	uint16_t ttl_at[CACHE_BODY_MAX_BYTES / 11 + 1]; // of the message being inserted
};

static inline struct bucket *bucket_of(const struct cache *cache, uint64_t hash)
{
	return &cache->buckets[(hash >> 32) * cache->bucket_count >> 32];
}

static inline uint64_t tag_of(uint64_t hash)
{
	return (hash & ((UINT64_C(1) << (64 - TAG_SHIFT)) - 1)) | 1;
}

static inline uint64_t slot_of(uint64_t hash, uint64_t position)
{
	return tag_of(hash) << TAG_SHIFT | (position & SLOT_MASK);
}

// The position that a slot means when `tail` was seen before it: not before the tail, and less than 256 laps behind it.
static inline uint64_t slot_position(uint64_t slot, uint64_t tail)
{
	uint64_t lap = tail >> 32, ahead = ((slot & SLOT_MASK) >> 32) - lap;
	return LAP(lap + (ahead & 0xff)) | (uint32_t)slot;
}

static inline struct entry *entry_at(const struct cache *cache, uint64_t position)
{
	return (struct entry *)(void *)(cache->log + (uint64_t)(uint32_t)position * UNIT_BYTES);
}

static inline uint32_t entry_name_at(const struct entry *entry)
{
	return (uint32_t)sizeof(*entry) + entry->ttl_count * 2u;
}

static inline uint32_t entry_body_at(const struct entry *entry)
{
	return entry_name_at(entry) + entry->name_bytes;
}

// Of a copied head: it is the one of `position`, and everything that it speaks of lies inside the log.
static inline bool entry_is_sound(const struct cache *cache, const struct entry *entry, uint64_t position)
{
	return entry->position == position && entry->state == ENTRY_LIVE && entry->end[0] <= entry->end[1] &&
		entry->end[1] <= entry->end[2] && entry->name_bytes &&
		entry->units <= cache->units - (uint32_t)position &&
		entry_body_at(entry) + entry->end[2] <= (uint64_t)entry->units * UNIT_BYTES;
}

// Reads nothing behind the names. A call of memcmp() takes longer than these few words.
static inline bool is_same_name(const uint8_t *a, const uint8_t *b, unsigned bytes)
{
	if (bytes < 8)
		return memcmp(a, b, bytes) == 0;
	for (unsigned at = 0; at + 8 < bytes; at += 8) {
		if (load_64(a + at) != load_64(b + at))
			return false;
	}
	return load_64(a + bytes - 8) == load_64(b + bytes - 8);
}

static inline bool entry_has_key(const struct entry *head, const struct entry *entry, const struct cache_key *key)
{
	return head->type == key->type && head->class == key->class && head->key_flags == key->flags &&
		head->name_bytes == key->name_bytes &&
		is_same_name((const uint8_t *)entry + entry_name_at(head), key->name, key->name_bytes);
}

static inline bool cache_is_at(const struct cache *cache, const struct cache_key *key, uint64_t position, struct entry *head)
{
	const struct entry *entry = entry_at(cache, position);
	memcpy(head, entry, sizeof(*head));
	return entry_is_sound(cache, head, position) && entry_has_key(head, entry, key);
}

// The entry with that key: its position, and a copy of its head. What was copied, and whatever is copied later, counts
// only if cache_still_holds() says so afterwards. 0: none.
static inline uint64_t cache_look(const struct cache *cache, const struct cache_key *key, struct entry *head)
{
	if (key->probed && cache_is_at(cache, key, key->probed, head))
		return key->probed; // the bucket has been read, and other lines have been since
	const struct bucket *bucket = bucket_of(cache, key->hash);
	uint64_t tag = tag_of(key->hash);
	uint64_t tail = atomic_load_explicit(&cache->region->tail, memory_order_acquire);
	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		// Pairs with the release in put_slot(): an entry is whole before it is found.
		uint64_t slot = atomic_load_explicit(&bucket->slot[i], memory_order_acquire);
		if (slot >> TAG_SHIFT != tag || (uint32_t)slot >= cache->units)
			continue;
		uint64_t position = slot_position(slot, tail);
		if (cache_is_at(cache, key, position, head))
			return position;
	}
	return 0;
}

static inline bool cache_still_holds(const struct cache *cache, uint64_t position)
{
	// Pairs with the fence in publish_tail(): if any octet that we copied is of a later entry, we see the tail that
	// was stored before it.
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&cache->region->tail, memory_order_relaxed) <= position;
}

// What the entries of a region go through when a new writer comes.
void cache_take_over(struct cache *, uint64_t seed);
// Empties it; positions go on.
void cache_reset(struct cache *);
void cache_view(const struct entry *, struct cache_entry *);
