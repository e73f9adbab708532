// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <sys/mman.h>

#include <pollux/bytes.h>

#include "cache_region.h"

#define HEADER_BYTES 4096
#define BUCKETS_SHARE 8 // one octet of so many is the table's: with entries of two units half of its slots stay free

// --- opening ---

static void set_geometry(struct cache *cache, void *base, uint64_t bytes)
{
	uint64_t buckets = bytes / BUCKETS_SHARE / sizeof(struct bucket);
	cache->base = base;
	cache->bytes = bytes;
	cache->region = base;
	cache->buckets = (struct bucket *)(void *)(cache->base + HEADER_BYTES);
	cache->bucket_count = (uint32_t)buckets;
	cache->log = cache->base + HEADER_BYTES + buckets * sizeof(struct bucket);
	cache->units = (uint32_t)((bytes - HEADER_BYTES - buckets * sizeof(struct bucket)) / UNIT_BYTES);
	cache->usage.region_bytes = bytes;
	cache->usage.room_bytes = (uint64_t)cache->units * UNIT_BYTES;
	madvise(base, bytes, MADV_HUGEPAGE); // a wish: without it look-ups are only slower
}

static bool size_is_right(uint64_t bytes)
{
	return bytes >= CACHE_MIN_BYTES && bytes <= CACHE_MAX_BYTES;
}

static void start_empty(struct cache *cache, uint64_t seed)
{
	cache->region->hash_seed = seed;
	atomic_store(&cache->region->head, LAP(1));
	atomic_store(&cache->region->tail, LAP(1)); // 0 is no position
}

static enum status new_cache(struct cache **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return ST_NO_MEMORY;
	(*out)->shm.fd = -1;
	return ST_OK;
}

static enum status own_file(struct cache *cache, const char *path, uint64_t bytes, uint64_t seed)
{
	bool created;
	enum status status = shm_own(&cache->shm, path, CACHE_MAGIC, CACHE_FORMAT, BUCKETS_SHARE, bytes, &created);
	if (status != ST_OK)
		return status;
	set_geometry(cache, cache->shm.base, bytes);
	if (created)
		start_empty(cache, seed);
	else
		cache_take_over(cache, seed);
	return ST_OK;
}

static enum status finish_open(struct cache **out, struct cache *cache, enum status status)
{
	if (status == ST_OK)
		*out = cache;
	else
		cache_close(cache);
	return status;
}

enum status cache_open_writer(struct cache **out, const char *path, uint64_t bytes, uint64_t seed)
{
	*out = NULL;
	struct cache *cache;
	if (!size_is_right(bytes))
		return ST_INVALID;
	enum status status = new_cache(&cache);
	if (status != ST_OK)
		return status;
	return finish_open(out, cache, own_file(cache, path, bytes, seed));
}

enum status cache_open_private(struct cache **out, uint64_t bytes, uint64_t seed)
{
	*out = NULL;
	struct cache *cache;
	if (!size_is_right(bytes))
		return ST_INVALID;
	enum status status = new_cache(&cache);
	if (status != ST_OK)
		return status;
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return finish_open(out, cache, ST_NO_MEMORY);
	set_geometry(cache, base, bytes);
	start_empty(cache, seed);
	return finish_open(out, cache, ST_OK);
}

enum status cache_open_reader(struct cache **out, const char *path)
{
	*out = NULL;
	struct cache *cache;
	enum status status = new_cache(&cache);
	if (status != ST_OK)
		return status;
	status = shm_join(&cache->shm, path, CACHE_MAGIC, CACHE_FORMAT, SHM_READ);
	if (status != ST_OK)
		return finish_open(out, cache, status);
	uint64_t bytes = shm_head(&cache->shm)->bytes; // read once: it is the writer's
	if (!size_is_right(bytes) || bytes > cache->shm.bytes || shm_head(&cache->shm)->shape != BUCKETS_SHARE)
		return finish_open(out, cache, ST_CORRUPT);
	set_geometry(cache, cache->shm.base, bytes);
#ifdef MADV_POPULATE_READ
	madvise(cache->base, bytes, MADV_POPULATE_READ); // page faults are for now, not for the packet path
#endif
	return finish_open(out, cache, ST_OK);
}

void cache_close(struct cache *cache)
{
	if (!cache)
		return;
	if (cache->shm.base)
		shm_close(&cache->shm);
	else if (cache->base)
		munmap(cache->base, cache->bytes);
	free(cache);
}

bool cache_was_replaced(const struct cache *cache, const char *path)
{
	return shm_was_replaced(&cache->shm, path);
}

uint64_t cache_seed(const struct cache *cache)
{
	return cache->region->hash_seed;
}

uint64_t cache_generation(const struct cache *cache)
{
	return cache->region->shm.generation;
}

// --- looking ---

struct cache_key cache_key_of(const struct cache *cache, const uint8_t *folded, uint16_t type, uint16_t class,
	bool dnssec_ok, bool checking_disabled)
{
	struct folded_name name;
	uint8_t flags = (uint8_t)((dnssec_ok ? CACHE_KEY_DO : 0) | (checking_disabled ? CACHE_KEY_CD : 0));
	name_prepare(&name, folded, name_length(folded, NAME_MAX_BYTES), cache->region->hash_seed);
	return (struct cache_key){
		.name = folded,
		.hash = cache_hash(name.hash[name.labels], type, class, flags),
		.type = type,
		.class = class,
		.name_bytes = name.bytes,
		.flags = flags,
	};
}

void cache_prefetch(const struct cache *cache, uint64_t hash)
{
	prefetch_line(bucket_of(cache, hash));
}

uint64_t cache_probe(const struct cache *cache, uint64_t hash)
{
	const struct bucket *bucket = bucket_of(cache, hash);
	uint64_t tag = tag_of(hash), tail = atomic_load_explicit(&cache->region->tail, memory_order_acquire);
	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		uint64_t slot = atomic_load_explicit(&bucket->slot[i], memory_order_acquire);
		if (slot >> TAG_SHIFT != tag || (uint32_t)slot >= cache->units)
			continue;
		const struct entry *entry = entry_at(cache, slot);
		prefetch_line(entry);
		prefetch_line((const uint8_t *)entry + UNIT_BYTES);
		return slot_position(slot, tail);
	}
	return 0;
}

void cache_prefetch_rest(const struct cache *cache, uint64_t position)
{
	const struct entry *entry = entry_at(cache, position);
	if (position && entry->units > 2)
		prefetch_line((const uint8_t *)entry + 2 * UNIT_BYTES);
}

void cache_view(const struct entry *entry, struct cache_entry *view)
{
	const uint8_t *start = (const uint8_t *)entry;
	*view = (struct cache_entry){
		.position = entry->position,
		.key = { .name = start + entry_name_at(entry), .hash = entry->hash, .type = entry->type, .class = entry->class,
			.name_bytes = entry->name_bytes, .flags = entry->key_flags },
		.stored_at_s = entry->stored_at_s,
		.expires_at_s = entry->expires_at_s,
		.ttl_s = entry->expires_at_s - entry->stored_at_s,
		.rcode = entry->rcode,
		.authentic = entry->authentic,
		.used = entry->used,
		.why = entry->why,
		.note = entry->note,
		.body = start + entry_body_at(entry),
		.body_bytes = entry->end[2],
		.count = { entry->count[0], entry->count[1], entry->count[2] },
		.end = { entry->end[0], entry->end[1], entry->end[2] },
		.ttl_at = entry->ttl_at,
		.ttl_count = entry->ttl_count,
		.bytes = (uint64_t)entry->units * UNIT_BYTES,
	};
}

bool cache_find(const struct cache *cache, const struct cache_key *key, struct cache_entry *view)
{
	struct entry head;
	uint64_t position = cache_look(cache, key, &head);
	if (!position)
		return false;
	cache_view(entry_at(cache, position), view);
	return true;
}
