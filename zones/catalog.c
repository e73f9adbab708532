// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/falloc.h>

#include <pollux/bytes.h>
#include <pollux/catalog.h>
#include <pollux/overrides.h>

#include "space.h"

#define UNIT 64			     // images and directories start at multiples of it
#define TAG_SHIFT 40		     // slot: 24 bits of tag above 40 bits of offset / UNIT
#define OFFSET_MASK ((UINT64_C(1) << TAG_SHIFT) - 1)
#define SLOT_REMOVED OFFSET_MASK     // no image lies there; a search goes on behind it
#define FIRST_SLOTS 64
#define SLOTS_AT_HAND 1024	     // a directory of less is in the cache anyway
#define PRIVATE_WINDOW_BYTES (UINT64_C(1) << 34) // small enough for valgrind
#define GROWTH_BYTES (UINT64_C(16) << 20)

// Room that was reserved and is not published yet. Afterwards the image itself says how long it is.
struct reserved {
	SLIST_ENTRY(reserved) link;
	uint64_t at, bytes;
};

struct catalog {
	uint8_t *base;
	uint64_t window_bytes;
	int fd; // -1: private memory
	uint64_t device, inode;
	struct space *space; // writer: which octets are in use
	SLIST_HEAD(, reserved) reserved; // few: what is being written now
	_Atomic uint64_t backed; // length of the file for which catalog_back() has memory
};

static struct catalog_header *header_of(const struct catalog *catalog)
{
	return (struct catalog_header *)catalog->base;
}

static struct directory *directory_of(const struct catalog *catalog)
{
	// Pairs with the release in replace_directory(): its slots are written before it is found.
	return (struct directory *)(catalog->base +
		atomic_load_explicit(&header_of(catalog)->directory_at, memory_order_acquire));
}

static uint64_t slot_of(const struct image *image, const struct catalog *catalog, uint64_t hash)
{
	uint64_t at = (uint64_t)((const uint8_t *)image - catalog->base) / UNIT;
	return (hash >> TAG_SHIFT) << TAG_SHIFT | at;
}

static struct image *slot_image(const struct catalog *catalog, uint64_t slot)
{
	return (struct image *)(catalog->base + (slot & OFFSET_MASK) * UNIT);
}

static bool same_apex(const struct image *image, const uint8_t *folded, unsigned bytes)
{
	return image->apex_bytes == bytes && memcmp(image->apex, folded, bytes) == 0;
}

// The slot that holds the apex, or NULL. `*image`: what it held when it was looked at; another load may find the zone
// withdrawn.
static _Atomic uint64_t *find_slot(const struct catalog *catalog, struct directory *directory, uint64_t hash,
	const uint8_t *folded, unsigned bytes, struct image **image)
{
	for (uint64_t i = hash & directory->slot_mask;; i = (i + 1) & directory->slot_mask) {
		// Pairs with the release in catalog_publish(): an image is whole before it is found.
		uint64_t slot = atomic_load_explicit(&directory->slot[i], memory_order_acquire);
		*image = NULL;
		if (slot == 0)
			return NULL;
		if (slot >> TAG_SHIFT != hash >> TAG_SHIFT || (slot & OFFSET_MASK) == SLOT_REMOVED)
			continue;
		*image = slot_image(catalog, slot);
		if (same_apex(*image, folded, bytes))
			return &directory->slot[i];
	}
}

// The depths of at most `most` labels, and below 64, at which there may be a zone.
static uint64_t used_depths(const struct directory *directory, unsigned most)
{
	uint64_t low = atomic_load_explicit(&directory->depths[0], memory_order_relaxed);
	return most < 63 ? low & ((UINT64_C(2) << most) - 1) : low;
}

static const struct image *find_at_depth(const struct catalog *catalog, struct directory *directory,
	const struct folded_name *name, unsigned depth)
{
	unsigned at = name->label_at[depth];
	struct image *image;
	find_slot(catalog, directory, name->hash[depth], name->wire + at, name->bytes - at, &image);
	return image;
}

static const struct image *find_deep(const struct catalog *catalog, struct directory *directory,
	const struct folded_name *name, unsigned depth)
{
	const struct image *image = NULL;
	for (; !image && depth > 63; depth--)
		image = find_at_depth(catalog, directory, name, depth);
	return image;
}

const struct image *catalog_find_above(const struct catalog *catalog, const struct folded_name *name,
	unsigned max_labels)
{
	struct directory *directory = directory_of(catalog);
	unsigned most = name->labels < max_labels ? name->labels : max_labels;
	if (most > 63 && atomic_load_explicit(&directory->depths[1], memory_order_relaxed)) {
		const struct image *image = find_deep(catalog, directory, name, most);
		if (image)
			return image;
	}
	for (uint64_t depths = used_depths(directory, most); depths;) {
		unsigned depth = 63u - (unsigned)__builtin_clzll(depths);
		const struct image *image = find_at_depth(catalog, directory, name, depth);
		if (image)
			return image;
		depths ^= UINT64_C(1) << depth;
	}
	return NULL;
}

// The usual search in one straight piece: zones are at one or few depths, and the first slot is free or the right one. All
// else is left to catalog_find_above().
const struct image *catalog_find(const struct catalog *catalog, const struct folded_name *name)
{
	const struct directory *directory = directory_of(catalog);
	unsigned labels = name->labels;
	if (labels > 63)
		return catalog_find_above(catalog, name, NAME_MAX_LABELS);
	uint64_t depths = atomic_load_explicit(&directory->depths[0], memory_order_relaxed) & UINT64_MAX >> (63 - labels);
	while (depths) {
		unsigned depth = (unsigned)__builtin_clzll(depths) ^ 63, at = name->label_at[depth];
		uint64_t hash = name->hash[depth];
		// Pairs with the release in catalog_publish(): an image is whole before it is found.
		uint64_t slot = atomic_load_explicit(&directory->slot[hash & directory->slot_mask], memory_order_acquire);
		if (slot) {
			const struct image *image = slot_image(catalog, slot);
			if ((slot ^ hash) >> TAG_SHIFT || (slot & OFFSET_MASK) == SLOT_REMOVED ||
				image->apex_bytes != name->bytes - at || !same_words(image->apex, name->wire + at, image->apex_bytes))
				return catalog_find_above(catalog, name, depth);
			return image;
		}
		depths ^= UINT64_C(1) << depth;
	}
	return NULL;
}

bool catalog_needs_prefetch(const struct catalog *catalog)
{
	return directory_of(catalog)->slot_mask >= SLOTS_AT_HAND;
}

bool catalog_may_go_deeper(const struct catalog *catalog, unsigned labels, unsigned most)
{
	return most > 63 || used_depths(directory_of(catalog), most) >> labels > 1;
}

void catalog_prefetch(const struct catalog *catalog, const struct folded_name *name)
{
	const struct directory *directory = directory_of(catalog);
	for (uint64_t depths = used_depths(directory, name->labels); depths; depths &= depths - 1) {
		unsigned depth = (unsigned)__builtin_ctzll(depths);
		prefetch_line((const void *)&directory->slot[name->hash[depth] & directory->slot_mask]);
	}
}

const struct image *catalog_zone(const struct catalog *catalog, const uint8_t *apex)
{
	struct folded_name name;
	name_prepare(&name, apex, name_length(apex, NAME_MAX_BYTES), catalog_seed(catalog));
	struct directory *directory = directory_of(catalog);
	struct image *image;
	find_slot(catalog, directory, name.hash[name.labels], name.wire, name.bytes, &image);
	return image;
}

void catalog_each(const struct catalog *catalog, void (*visit)(void *ctx, const struct image *), void *ctx)
{
	const struct directory *directory = directory_of(catalog);
	for (uint64_t i = 0; i <= directory->slot_mask; i++) {
		uint64_t slot = atomic_load_explicit(&directory->slot[i], memory_order_acquire);
		if (slot && (slot & OFFSET_MASK) != SLOT_REMOVED)
			visit(ctx, slot_image(catalog, slot));
	}
}

const struct catalog_header *catalog_header(const struct catalog *catalog)
{
	return header_of(catalog);
}

uint64_t catalog_seed(const struct catalog *catalog)
{
	return header_of(catalog)->hash_seed;
}

struct policy catalog_policy(const struct catalog *catalog)
{
	uint64_t word = atomic_load_explicit(&header_of(catalog)->policy, memory_order_relaxed);
	struct policy policy;
	memcpy(&policy, &word, sizeof(policy));
	return policy;
}

void catalog_set_policy(struct catalog *catalog, struct policy policy)
{
	uint64_t word;
	memcpy(&word, &policy, sizeof(word));
	atomic_store_explicit(&header_of(catalog)->policy, word, memory_order_relaxed);
}

const void *catalog_block(const struct catalog *catalog, enum catalog_block which, uint64_t *bytes)
{
	// Pairs with the release in catalog_set_block(): it is whole before it is found.
	uint64_t at = atomic_load_explicit(&header_of(catalog)->block_at[which], memory_order_acquire);
	if (!at)
		return NULL;
	const struct block_head *head = (const struct block_head *)(catalog->base + at);
	if (bytes)
		*bytes = head->bytes;
	return head + 1;
}

const struct server_identity *catalog_identity(const struct catalog *catalog)
{
	return catalog_block(catalog, BLOCK_IDENTITY, NULL);
}

void catalog_set_ready(struct catalog *catalog)
{
	atomic_store_explicit(&header_of(catalog)->ready, 1, memory_order_release);
}

bool catalog_is_ready(const struct catalog *catalog)
{
	return atomic_load_explicit(&header_of(catalog)->ready, memory_order_acquire) == 1;
}

bool catalog_was_replaced(const struct catalog *catalog, const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && (info.st_dev != catalog->device || info.st_ino != catalog->inode);
}

// --- the writer ---

static uint64_t file_bytes_of(const struct catalog *catalog)
{
	return atomic_load_explicit(&header_of(catalog)->file_bytes, memory_order_relaxed);
}

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) & ~(unit - 1);
}

// How long the file becomes when `bytes` more are needed: in proportion, so that many small zones do not make many
// small steps.
static uint64_t growth_target(const struct catalog *catalog, uint64_t bytes)
{
	uint64_t now = file_bytes_of(catalog);
	uint64_t step = now / 8 > GROWTH_BYTES ? now / 8 : GROWTH_BYTES;
	uint64_t target = round_up(now + (step > bytes ? step : bytes), HUGE_PAGE_BYTES);
	return target > catalog->window_bytes ? catalog->window_bytes : target;
}

// fallocate: a full file system must say so here, not as SIGBUS at the first touch. Private regions are backed by
// the kernel when touched.
static enum status back(const struct catalog *catalog, uint64_t from, uint64_t to)
{
	if (catalog->fd < 0 || to <= from || fallocate(catalog->fd, 0, (off_t)from, (off_t)(to - from)) == 0)
		return ST_OK;
	return errno == ENOSPC || errno == EFBIG ? ST_NO_SPACE : ST_SYSTEM;
}

static enum status grow(struct catalog *catalog, uint64_t bytes)
{
	uint64_t now = file_bytes_of(catalog), target = growth_target(catalog, bytes);
	if (bytes > catalog->window_bytes - now)
		return ST_NO_SPACE;
	uint64_t backed = atomic_load_explicit(&catalog->backed, memory_order_acquire);
	enum status status = back(catalog, backed > now ? backed : now, target);
	if (status == ST_NO_SPACE) { // perhaps the file system has room for this, if not for more
		target = round_up(now + bytes, HUGE_PAGE_BYTES);
		status = back(catalog, now, target);
	}
	if (status != ST_OK)
		return status;
	atomic_store_explicit(&header_of(catalog)->file_bytes, target, memory_order_relaxed);
	return space_add(catalog->space, now, target - now);
}

uint64_t catalog_growth(const struct catalog *catalog, uint64_t bytes)
{
	bytes = round_up(bytes, UNIT);
	bool needless = catalog->fd < 0 || bytes > IMAGE_MAX_BYTES || space_has(catalog->space, bytes);
	return needless ? 0 : growth_target(catalog, bytes);
}

enum status catalog_back(struct catalog *catalog, uint64_t file_bytes)
{
	enum status status = back(catalog, file_bytes_of(catalog), file_bytes);
	uint64_t before = atomic_load(&catalog->backed);
	while (status == ST_OK && before < file_bytes && !atomic_compare_exchange_weak(&catalog->backed, &before, file_bytes))
		;
	return status;
}

static enum status take_space(struct catalog *catalog, uint64_t bytes, uint64_t *at)
{
	bytes = round_up(bytes, UNIT);
	if (space_take(catalog->space, bytes, at))
		return ST_OK;
	enum status status = grow(catalog, bytes);
	if (status != ST_OK)
		return status;
	return space_take(catalog->space, bytes, at) ? ST_OK : ST_NO_SPACE;
}

enum status catalog_reserve(struct catalog *catalog, uint64_t bytes, void **room)
{
	if (bytes > IMAGE_MAX_BYTES)
		return ST_FULL;
	struct reserved *reserved = calloc(1, sizeof(*reserved));
	if (!reserved)
		return ST_NO_MEMORY;
	reserved->bytes = round_up(bytes, UNIT);
	enum status status = take_space(catalog, bytes, &reserved->at);
	if (status != ST_OK) {
		free(reserved);
		return status;
	}
	SLIST_INSERT_HEAD(&catalog->reserved, reserved, link);
	*room = catalog->base + reserved->at;
	return ST_OK;
}

static uint64_t offset_of(const struct catalog *catalog, const void *room)
{
	return (uint64_t)((const uint8_t *)room - catalog->base);
}

static struct reserved *find_reserved(const struct catalog *catalog, const void *room)
{
	struct reserved *reserved;
	SLIST_FOREACH(reserved, &catalog->reserved, link) {
		if (reserved->at == offset_of(catalog, room))
			break;
	}
	return reserved;
}

static void forget_reserved(struct catalog *catalog, struct reserved *reserved)
{
	SLIST_REMOVE(&catalog->reserved, reserved, reserved, link);
	free(reserved);
}

void catalog_cancel(struct catalog *catalog, void *room)
{
	struct reserved *reserved = find_reserved(catalog, room);
	if (!reserved)
		return;
	space_give_back(catalog->space, reserved->at, reserved->bytes);
	forget_reserved(catalog, reserved);
}

// What the image does not need of its room goes back.
static void settle_reserved(struct catalog *catalog, const struct image *image)
{
	struct reserved *reserved = find_reserved(catalog, image);
	if (!reserved)
		return;
	if (image->bytes < reserved->bytes)
		space_give_back(catalog->space, reserved->at + image->bytes, reserved->bytes - image->bytes);
	forget_reserved(catalog, reserved);
}

static void retire_image(struct catalog *catalog, const struct image *image)
{
	space_retire(catalog->space, offset_of(catalog, image), image->bytes);
}

static uint64_t block_space(uint64_t bytes)
{
	return sizeof(struct block_head) + ((bytes + UNIT - 1) & ~(uint64_t)(UNIT - 1));
}

static enum status write_block(struct catalog *catalog, enum catalog_block which, const void *data, uint64_t bytes,
	uint64_t *at)
{
	enum status status = take_space(catalog, block_space(bytes), at);
	if (status != ST_OK)
		return status;
	struct block_head *head = (struct block_head *)(catalog->base + *at);
	*head = (struct block_head){ .bytes = bytes, .which = which };
	memcpy(head + 1, data, bytes);
	return ST_OK;
}

enum status catalog_set_block(struct catalog *catalog, enum catalog_block which, const void *data, uint64_t bytes)
{
	_Atomic uint64_t *slot = &header_of(catalog)->block_at[which];
	uint64_t old = atomic_load_explicit(slot, memory_order_relaxed), at = 0;
	enum status status = data ? write_block(catalog, which, data, bytes, &at) : ST_OK;
	if (status != ST_OK)
		return status;
	atomic_store_explicit(slot, at, memory_order_release);
	if (old)
		space_retire(catalog->space, old, block_space(((const struct block_head *)(catalog->base + old))->bytes));
	return ST_OK;
}

enum status catalog_set_identity(struct catalog *catalog, const struct server_identity *identity)
{
	struct server_identity sized = *identity;
	sized.bytes = sizeof(sized);
	return catalog_set_block(catalog, BLOCK_IDENTITY, &sized, sizeof(sized));
}

static uint64_t directory_bytes(uint64_t slots)
{
	return sizeof(struct directory) + slots * sizeof(uint64_t);
}

static void put_slot(struct directory *directory, uint64_t hash, uint64_t slot)
{
	uint64_t i = hash & directory->slot_mask;
	while (atomic_load_explicit(&directory->slot[i], memory_order_relaxed))
		i = (i + 1) & directory->slot_mask;
	atomic_store_explicit(&directory->slot[i], slot, memory_order_release);
}

static uint64_t apex_hash(const struct catalog *catalog, const struct image *image)
{
	struct folded_name name;
	name_prepare(&name, image->apex, image->apex_bytes, catalog_seed(catalog));
	return name.hash[name.labels];
}

static void mark_depth(struct directory *directory, unsigned depth)
{
	atomic_fetch_or_explicit(&directory->depths[depth / 64], UINT64_C(1) << depth % 64, memory_order_release);
}

// A directory of `slots` slots with the zones of the old one (NULL: none), which is retired.
static enum status replace_directory(struct catalog *catalog, const struct directory *old, uint64_t slots)
{
	uint64_t at;
	enum status status = take_space(catalog, directory_bytes(slots), &at);
	if (status != ST_OK)
		return status;
	struct directory *fresh = (struct directory *)(catalog->base + at);
	memset(fresh, 0, directory_bytes(slots));
	fresh->bytes = directory_bytes(slots);
	fresh->slot_mask = slots - 1;
	for (uint64_t i = 0; old && i <= old->slot_mask; i++) {
		uint64_t slot = atomic_load_explicit(&old->slot[i], memory_order_relaxed);
		if (!slot || (slot & OFFSET_MASK) == SLOT_REMOVED)
			continue;
		const struct image *image = slot_image(catalog, slot);
		put_slot(fresh, apex_hash(catalog, image), slot);
		mark_depth(fresh, image->apex_labels);
		fresh->zones++;
	}
	atomic_store_explicit(&header_of(catalog)->directory_at, at, memory_order_release);
	if (old)
		space_retire(catalog->space, offset_of(catalog, old), round_up(old->bytes, UNIT));
	return ST_OK;
}

// Never more than half of the slots used, and at most a quarter of a new directory's.
enum status catalog_expect(struct catalog *catalog, uint64_t zones)
{
	const struct directory *directory = directory_of(catalog);
	if ((zones + directory->removed) * 2 <= directory->slot_mask + 1)
		return ST_OK;
	uint64_t slots = FIRST_SLOTS;
	while (slots < zones * 4)
		slots *= 2;
	return replace_directory(catalog, directory, slots);
}

enum status catalog_publish(struct catalog *catalog, void *room)
{
	const struct image *image = room;
	struct directory *directory = directory_of(catalog);
	uint64_t hash = apex_hash(catalog, image);
	struct image *old;
	_Atomic uint64_t *slot = find_slot(catalog, directory, hash, image->apex, image->apex_bytes, &old);
	if (slot) {
		settle_reserved(catalog, image);
		// Pairs with the acquire in find_slot().
		atomic_store_explicit(slot, slot_of(image, catalog, hash), memory_order_release);
		retire_image(catalog, old);
		return ST_OK;
	}
	enum status status = catalog_expect(catalog, directory->zones + 1);
	if (status != ST_OK)
		return status;
	directory = directory_of(catalog);
	settle_reserved(catalog, image);
	mark_depth(directory, image->apex_labels);
	put_slot(directory, hash, slot_of(image, catalog, hash));
	directory->zones++;
	return ST_OK;
}

enum status catalog_withdraw(struct catalog *catalog, const uint8_t *apex)
{
	struct folded_name name;
	name_prepare(&name, apex, name_length(apex, NAME_MAX_BYTES), catalog_seed(catalog));
	struct directory *directory = directory_of(catalog);
	struct image *old;
	_Atomic uint64_t *slot = find_slot(catalog, directory, name.hash[name.labels], name.wire, name.bytes, &old);
	if (!slot)
		return ST_NOT_FOUND;
	atomic_store_explicit(slot, SLOT_REMOVED, memory_order_release);
	directory->zones--;
	directory->removed++;
	retire_image(catalog, old);
	return ST_OK;
}

void catalog_doubt_free(struct catalog *catalog)
{
	space_retire_free(catalog->space);
}

void catalog_set_epoch(struct catalog *catalog, uint64_t epoch)
{
	space_set_epoch(catalog->space, epoch);
}

void catalog_reclaim(struct catalog *catalog, uint64_t epoch)
{
	space_reclaim(catalog->space, epoch);
}

struct catalog_usage catalog_usage(const struct catalog *catalog)
{
	struct catalog_usage usage = {
		.file_bytes = atomic_load(&header_of(catalog)->file_bytes),
		.zones = directory_of(catalog)->zones,
	};
	if (catalog->space) {
		usage.used_bytes = space_used(catalog->space);
		usage.retired_bytes = space_retired(catalog->space);
	}
	return usage;
}

// --- opening ---

static enum status map_window(struct catalog *catalog, int fd, int protection)
{
	struct stat info;
	if (fstat(fd, &info) != 0)
		return ST_SYSTEM;
	// NORESERVE: on hugetlbfs a mapping would otherwise ask for pages for the whole window.
	void *base = mmap(NULL, ZONES_WINDOW_BYTES, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED)
		return ST_SYSTEM;
	catalog->base = base;
	catalog->window_bytes = ZONES_WINDOW_BYTES;
	catalog->fd = fd;
	catalog->device = info.st_dev;
	catalog->inode = info.st_ino;
	return ST_OK;
}

static enum status check_header(int fd)
{
	struct stat info;
	struct catalog_header header;
	if (fstat(fd, &info) != 0)
		return ST_SYSTEM;
	if ((uint64_t)info.st_size < HUGE_PAGE_BYTES)
		return ST_CORRUPT;
	const struct catalog_header *mapped = mmap(NULL, HUGE_PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED)
		return ST_SYSTEM;
	memcpy(&header, mapped, sizeof(header));
	munmap((void *)mapped, HUGE_PAGE_BYTES);
	if (header.magic != CATALOG_MAGIC)
		return ST_CORRUPT;
	if (header.format != CATALOG_FORMAT)
		return ST_VERSION;
	uint64_t file_bytes = atomic_load(&header.file_bytes), at = atomic_load(&header.directory_at);
	if (file_bytes > (uint64_t)info.st_size || file_bytes > ZONES_WINDOW_BYTES || file_bytes < HUGE_PAGE_BYTES)
		return ST_CORRUPT;
	bool inside = at >= UNIT && at <= file_bytes - sizeof(struct directory);
	return at % UNIT == 0 && inside ? ST_OK : ST_CORRUPT;
}

// The directory's own bounds; afterwards every slot can be walked.
static bool directory_is_sound(const struct catalog *catalog)
{
	const struct catalog_header *header = header_of(catalog);
	const struct directory *directory = directory_of(catalog);
	uint64_t at = atomic_load(&header->directory_at), end = atomic_load(&header->file_bytes);
	uint64_t slots = directory->slot_mask + 1;
	return slots && (slots & directory->slot_mask) == 0 && slots <= end / 8 && directory->bytes == directory_bytes(slots) &&
		directory->bytes <= end - at;
}

enum status catalog_open_reader(struct catalog **out, const char *path)
{
	*out = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? ST_NOT_FOUND : ST_SYSTEM;
	enum status status = check_header(fd);
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	if (status == ST_OK)
		status = catalog ? map_window(catalog, fd, PROT_READ) : ST_NO_MEMORY;
	if (status == ST_OK && !directory_is_sound(catalog)) {
		munmap(catalog->base, catalog->window_bytes);
		status = ST_CORRUPT;
	}
	if (status != ST_OK) {
		free(catalog);
		close(fd);
		return status;
	}
	*out = catalog;
	return ST_OK;
}

static enum status init_region(struct catalog *catalog, uint64_t seed)
{
	struct catalog_header *header = header_of(catalog);
	*header = (struct catalog_header){ .magic = CATALOG_MAGIC, .format = CATALOG_FORMAT };
	while (!seed)
		arc4random_buf(&seed, sizeof(seed));
	header->hash_seed = seed;
	atomic_store(&header->file_bytes, HUGE_PAGE_BYTES);
	struct policy policy = { .udp_size = 1232 };
	catalog_set_policy(catalog, policy);
	enum status status = space_add(catalog->space, 4096, HUGE_PAGE_BYTES - 4096);
	return status == ST_OK ? replace_directory(catalog, NULL, FIRST_SLOTS) : status;
}

static bool identity_is_sound(const struct server_identity *identity, uint64_t bytes)
{
	return bytes == sizeof(*identity) && identity->bytes == sizeof(*identity) && identity->secret_count <= 2 &&
		identity->nsid_bytes <= IDENTITY_TEXT_BYTES;
}

// `end`: of the file.
static bool block_is_sound(const struct catalog *catalog, enum catalog_block which, uint64_t at, uint64_t end)
{
	if (at % UNIT || at < UNIT || end < sizeof(struct block_head) || at > end - sizeof(struct block_head))
		return false;
	const struct block_head *head = (const struct block_head *)(catalog->base + at);
	if (head->which != which || head->bytes > end || block_space(head->bytes) > end - at)
		return false;
	if (which == BLOCK_OVERRIDES)
		return overrides_check(head + 1, head->bytes, catalog_seed(catalog)) == ST_OK;
	return which != BLOCK_IDENTITY || identity_is_sound((const void *)(head + 1), head->bytes);
}

// One that is damaged or of another version is forgotten: the writer makes all of them anew, but for the secrets of
// cookies, whose loss only costs clients new ones.
static void take_over_blocks(struct catalog *catalog, uint64_t end)
{
	for (unsigned which = 0; which < BLOCK_COUNT; which++) {
		_Atomic uint64_t *slot = &header_of(catalog)->block_at[which];
		uint64_t at = atomic_load(slot);
		if (!at)
			continue;
		bool sound = block_is_sound(catalog, which, at, end);
		const struct block_head *head = (const struct block_head *)(catalog->base + at);
		if (!sound || !space_claim(catalog->space, at, block_space(head->bytes)))
			atomic_store(slot, 0);
	}
}

// What a former writer left: its directory says which space is in use, everything else is free.
// A zone whose image is damaged is dropped; it will be read from its file again.
static enum status take_over(struct catalog *catalog)
{
	struct catalog_header *header = header_of(catalog);
	uint64_t end = atomic_load(&header->file_bytes);
	enum status status = space_add(catalog->space, 4096, end - 4096);
	struct directory *directory = directory_of(catalog);
	if (status != ST_OK || !directory_is_sound(catalog))
		return status != ST_OK ? status : ST_CORRUPT;
	if (!space_claim(catalog->space, offset_of(catalog, directory), (directory->bytes + UNIT - 1) & ~(uint64_t)(UNIT - 1)))
		return ST_CORRUPT;
	uint64_t zones = 0, removed = 0;
	for (uint64_t i = 0; i <= directory->slot_mask; i++) {
		uint64_t slot = atomic_load(&directory->slot[i]);
		if (!slot)
			continue;
		uint64_t at = (slot & OFFSET_MASK) * UNIT;
		if (at < end && image_check(catalog->base + at, end - at) == ST_OK) {
			const struct image *image = (const struct image *)(catalog->base + at);
			uint64_t hash = apex_hash(catalog, image);
			if (image->hash_seed == header->hash_seed && slot >> TAG_SHIFT == hash >> TAG_SHIFT &&
				space_claim(catalog->space, at, image->bytes)) {
				zones++;
				continue;
			}
		}
		atomic_store(&directory->slot[i], SLOT_REMOVED);
		removed++;
	}
	directory->zones = zones;
	directory->removed = removed;
	take_over_blocks(catalog, end);
	header->generation++;
	return catalog_expect(catalog, zones); // where every slot is used up a search would not end
}

static bool lock_file(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static enum status adopt_file(struct catalog *catalog, int fd)
{
	if (!lock_file(fd))
		return ST_BUSY;
	enum status status = check_header(fd);
	if (status == ST_OK)
		status = map_window(catalog, fd, PROT_READ | PROT_WRITE);
	if (status == ST_OK)
		status = take_over(catalog);
	return status;
}

static enum status create_file(struct catalog *catalog, const char *path, uint64_t seed)
{
	char fresh[4096];
	if (snprintf(fresh, sizeof(fresh), "%s.%d", path, (int)getpid()) >= (int)sizeof(fresh))
		return ST_INVALID;
	unlink(fresh);
	int fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0)
		return ST_SYSTEM;
	enum status status = ST_SYSTEM;
	if (lock_file(fd) && fallocate(fd, 0, 0, (off_t)HUGE_PAGE_BYTES) == 0)
		status = map_window(catalog, fd, PROT_READ | PROT_WRITE);
	else if (errno == ENOSPC)
		status = ST_NO_SPACE;
	if (status == ST_OK)
		status = init_region(catalog, seed);
	if (status == ST_OK && rename(fresh, path) != 0)
		status = ST_SYSTEM;
	if (status != ST_OK) {
		unlink(fresh);
		if (!catalog->base)
			close(fd);
	}
	return status;
}

static void unmap(struct catalog *catalog)
{
	if (catalog->base)
		munmap(catalog->base, catalog->window_bytes);
	if (catalog->base && catalog->fd >= 0)
		close(catalog->fd);
	catalog->base = NULL;
}

static enum status new_writer(struct catalog **out)
{
	struct catalog *catalog = calloc(1, sizeof(*catalog));
	if (!catalog)
		return ST_NO_MEMORY;
	catalog->fd = -1;
	catalog->space = space_new();
	if (!catalog->space) {
		free(catalog);
		return ST_NO_MEMORY;
	}
	*out = catalog;
	return ST_OK;
}

enum status catalog_open_writer(struct catalog **out, const char *path)
{
	return catalog_open_writer_seeded(out, path, 0);
}

enum status catalog_open_writer_seeded(struct catalog **out, const char *path, uint64_t seed)
{
	*out = NULL;
	struct catalog *catalog;
	enum status status = new_writer(&catalog);
	if (status != ST_OK)
		return status;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	status = fd >= 0 ? adopt_file(catalog, fd) : errno == ENOENT ? ST_NOT_FOUND : ST_SYSTEM;
	// A file that merely could not be opened or mapped now may be a good one.
	if (status == ST_NOT_FOUND || status == ST_CORRUPT || status == ST_VERSION) {
		// Nothing usable there: a new file takes the name, readers notice.
		if (fd >= 0 && !catalog->base)
			close(fd);
		unmap(catalog);
		space_free(catalog->space);
		catalog->space = space_new();
		status = catalog->space ? create_file(catalog, path, seed) : ST_NO_MEMORY;
		fd = -1;
	}
	if (status == ST_OK) {
		*out = catalog;
		return ST_OK;
	}
	if (fd >= 0 && !catalog->base)
		close(fd);
	catalog_close(catalog);
	return status;
}

enum status catalog_open_private(struct catalog **out, uint64_t seed)
{
	*out = NULL;
	struct catalog *catalog;
	enum status status = new_writer(&catalog);
	if (status != ST_OK)
		return status;
	void *base = mmap(NULL, PRIVATE_WINDOW_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	status = base == MAP_FAILED ? ST_NO_MEMORY : ST_OK;
	if (status == ST_OK) {
		catalog->base = base;
		catalog->window_bytes = PRIVATE_WINDOW_BYTES;
		status = init_region(catalog, seed);
	}
	if (status == ST_OK)
		*out = catalog;
	else
		catalog_close(catalog);
	return status;
}

void catalog_close(struct catalog *catalog)
{
	if (!catalog)
		return;
	unmap(catalog);
	space_free(catalog->space);
	while (!SLIST_EMPTY(&catalog->reserved))
		forget_reserved(catalog, SLIST_FIRST(&catalog->reserved));
	free(catalog);
}
