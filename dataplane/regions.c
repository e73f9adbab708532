// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <rte_mempool.h>

#include <pollux/cache.h>
#include <pollux/catalog.h>
#include <pollux/log.h>

#include "regions.h"

enum { ROUNDS_PER_LOOK = 10 }; // ports, pool and regions are looked at ten times a second

static enum status open_zones(const void **view, const char *path)
{
	struct catalog *catalog;
	enum status status = catalog_open_reader(&catalog, path);
	*view = catalog;
	return status;
}

static void close_zones(const void *view)
{
	catalog_close((struct catalog *)view);
}

static bool zones_were_replaced(const void *view, const char *path)
{
	return catalog_was_replaced(view, path);
}

static enum status open_cache(const void **view, const char *path)
{
	struct cache *cache;
	enum status status = cache_open_reader(&cache, path);
	*view = cache;
	return status;
}

static void close_cache(const void *view)
{
	cache_close((struct cache *)view);
}

static bool cache_file_was_replaced(const void *view, const char *path)
{
	return cache_was_replaced(view, path);
}

static const struct view_kind {
	const char *file, *found;
	enum status (*open)(const void **view, const char *path);
	void (*close)(const void *view); // NULL is fine
	bool (*was_replaced)(const void *view, const char *path);
} view_kinds[VIEW_COUNT] = {
	[VIEW_ZONES] = { "zones", "found, zones are in use", open_zones, close_zones, zones_were_replaced },
	[VIEW_CACHE] = { "cache", "found, the cache is in use", open_cache, close_cache, cache_file_was_replaced },
};

// Page faults are for now, not for the packet path. Old kernels cannot; then the first packets pay.
static void touch(struct shm *shm)
{
#ifdef MADV_POPULATE_WRITE
	madvise(shm->base, shm->bytes, MADV_POPULATE_WRITE);
#else
	(void)shm;
#endif
}

static enum status own(struct shm *shm, const char *directory, const char *file, uint32_t magic,
	uint32_t format, uint64_t shape, uint64_t bytes)
{
	char path[PATH_MAX];
	bool created;
	if (snprintf(path, sizeof(path), "%s/%s", directory, file) >= (int)sizeof(path))
		return ST_INVALID;
	enum status status = shm_own(shm, path, magic, format, shape, bytes, &created);
	if (status == ST_BUSY)
		log_error("%s: another pollux-dataplane of this name is running (key: name)", path);
	else if (status != ST_OK)
		log_error("%s: %s%s%s", path, status_text(status), status == ST_SYSTEM ? ": " : "",
			status == ST_SYSTEM ? strerror(errno) : "");
	else
		touch(shm);
	return status;
}

static uint64_t shape_of(uint64_t workers, uint64_t bytes)
{
	return workers << 48 ^ (uint64_t)RING_SLOTS << 32 ^ bytes;
}

static uint32_t clock_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint32_t)now.tv_sec;
}

static uint64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

enum status regions_open(struct regions *regions, struct house *house, const struct config *config)
{
	char directory[PATH_MAX - 16];
	*regions = (struct regions){ .workers = config->lcore_count };
	enum status status = shm_directory(directory, sizeof(directory), config->shared_memory, config->name);
	if (status != ST_OK) {
		log_error("shared-memory %s: %s", config->shared_memory,
			status == ST_SYSTEM ? strerror(errno) : status_text(status));
		return status;
	}
	for (unsigned v = 0; v < VIEW_COUNT; v++)
		snprintf(regions->followed[v].path, sizeof(regions->followed[v].path), "%s/%s", directory, view_kinds[v].file);
	uint64_t bytes = rings_bytes(regions->workers);
	status = own(&regions->rings, directory, "rings", RINGS_MAGIC, RINGS_FORMAT,
		shape_of(regions->workers, bytes), bytes);
	if (status != ST_OK)
		return status;
	bytes = stats_bytes(regions->workers);
	status = own(&regions->stats, directory, "stats", STATS_MAGIC, STATS_FORMAT,
		shape_of(regions->workers, bytes), bytes);
	if (status != ST_OK) {
		shm_close(&regions->rings);
		return status;
	}
	house->rings = regions->rings.base;
	house->rings->workers =
		regions->workers; // the indices stay: what is in there is judged by its generation
	house->stats = regions->stats.base;
	memset((uint8_t *)house->stats + sizeof(struct shm_head), 0, bytes - sizeof(struct shm_head));
	house->stats->workers = regions->workers;
	atomic_store(&house->stats->now_ms, clock_ms());
	return ST_OK;
}

// Frames of the kernel's stack go down to a worker that serves their port.
static uint8_t worker_of_port(struct worker *const *workers, unsigned count, unsigned port)
{
	for (unsigned w = 0; w < count; w++)
		if (workers[w]->tx_queue[port] >= 0)
			return (uint8_t)w;
	return 0;
}

void regions_announce(struct regions *regions, struct house *house, struct worker *const *workers,
	const struct config *config)
{
	struct stats *stats = house->stats;
	stats->started_s = (uint64_t)time(NULL);
	stats->ports = house->port_count;
	stats->mbufs = config->mbufs;
	for (unsigned p = 0; p < house->port_count; p++) {
		const struct port *port = &house->ports[p];
		struct port_stats *of = &stats->port[p];
		snprintf(of->device, sizeof(of->device), "%s", port->config->device);
		memcpy(of->mac, port->station.mac, sizeof(of->mac));
		of->mtu = port->mtu;
		of->worker = worker_of_port(workers, regions->workers, p);
	}
	for (unsigned w = 0; w < regions->workers; w++) {
		stats->worker[w].lcore = workers[w]->cpu;
		atomic_store(&stats->worker[w].rings_generation, house->rings->head.generation);
	}
	regions_keep(regions, house);
	// Control takes a region without a process for one still in the making; so this comes last.
	atomic_thread_fence(memory_order_release);
	stats->pid = getpid();
}

static uint64_t turns_of(const struct house *house, unsigned worker)
{
	// Pairs with the release at the end of a turn.
	return atomic_load_explicit(&house->stats->worker[worker].turns, memory_order_acquire);
}

// A turn that was under way when the new view was shown may still read the old one; the turn after the
// next cannot.
static void close_retired(struct regions *regions, const struct house *house, enum view v)
{
	struct followed *followed = &regions->followed[v];
	if (!followed->retired)
		return;
	for (unsigned w = 0; w < regions->workers; w++)
		if (turns_of(house, w) < followed->turns_then[w] + 2)
			return;
	view_kinds[v].close(followed->retired);
	followed->retired = NULL;
}

static void show_view(struct regions *regions, struct house *house, enum view v, const void *fresh)
{
	struct followed *followed = &regions->followed[v];
	const void *old = atomic_load_explicit(&house->view[v], memory_order_relaxed);
	// Pairs with the acquire in take_views().
	atomic_store_explicit(&house->view[v], fresh, memory_order_release);
	followed->retired = old;
	// Read after the new pointer is out, as turns counted before that prove nothing.
	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned w = 0; w < regions->workers; w++)
		followed->turns_then[w] = turns_of(house, w);
	log_info("%s: %s", followed->path, old ? "was replaced, the new one is in use" : view_kinds[v].found);
}

static void look_for(struct regions *regions, struct house *house, enum view v)
{
	struct followed *followed = &regions->followed[v];
	const void *current = atomic_load_explicit(&house->view[v], memory_order_relaxed), *fresh;
	if (followed->retired || (current && !view_kinds[v].was_replaced(current, followed->path)))
		return;
	enum status status = view_kinds[v].open(&fresh, followed->path);
	if (status == ST_OK)
		show_view(regions, house, v, fresh);
	else if (status != followed->status)
		log_line(status == ST_NOT_FOUND ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "%s: %s%s", followed->path,
			status_text(status), status == ST_NOT_FOUND ? ", waiting for pollux-control" : "");
	followed->status = status;
}

static void tell_generation(const struct house *house)
{
	const struct catalog *catalog = atomic_load_explicit(&house->view[VIEW_ZONES], memory_order_relaxed);
	if (catalog)
		atomic_store_explicit(&house->stats->catalog_generation, catalog_header(catalog)->generation,
			memory_order_relaxed);
}

void regions_keep(struct regions *regions, struct house *house)
{
	struct stats *stats = house->stats;
	atomic_store_explicit(&stats->now_ms, clock_ms(), memory_order_relaxed);
	atomic_store_explicit(&house->now_s, clock_s(), memory_order_relaxed);
	for (unsigned v = 0; v < VIEW_COUNT; v++)
		close_retired(regions, house, v);
	if (regions->rounds++ % ROUNDS_PER_LOOK)
		return;
	for (unsigned p = 0; p < house->port_count; p++)
		port_report(&house->ports[p], &stats->port[p]);
	stats->mbufs_free = rte_mempool_avail_count(house->pool);
	tell_generation(house);
	for (unsigned v = 0; v < VIEW_COUNT; v++)
		look_for(regions, house, v);
}

void regions_close(struct regions *regions, struct house *house)
{
	for (unsigned v = 0; v < VIEW_COUNT; v++) {
		view_kinds[v].close(atomic_exchange(&house->view[v], NULL));
		view_kinds[v].close(regions->followed[v].retired);
	}
	shm_close(&regions->rings);
	shm_close(&regions->stats);
	house->rings = NULL;
	house->stats = NULL;
}
