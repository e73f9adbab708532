// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <rte_mempool.h>

#include <pollux/catalog.h>
#include <pollux/log.h>

#include "regions.h"

enum { ROUNDS_PER_LOOK = 100 }; // ports, pool and zones are looked at ten times a second

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
	*regions = (struct regions){ .workers = config->lcore_count, .zones_status = ST_OK };
	enum status status = shm_directory(directory, sizeof(directory), config->shared_memory, config->name);
	if (status != ST_OK) {
		log_error("shared-memory %s: %s", config->shared_memory,
			status == ST_SYSTEM ? strerror(errno) : status_text(status));
		return status;
	}
	snprintf(regions->zones_path, sizeof(regions->zones_path), "%s/zones", directory);
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
static void close_retired(struct regions *regions, const struct house *house)
{
	if (!regions->retired)
		return;
	for (unsigned w = 0; w < regions->workers; w++)
		if (turns_of(house, w) < regions->turns_then[w] + 2)
			return;
	catalog_close((struct catalog *)regions->retired);
	regions->retired = NULL;
}

static void show_catalog(struct regions *regions, struct house *house, struct catalog *fresh)
{
	const struct catalog *old = atomic_load_explicit(&house->catalog, memory_order_relaxed);
	// Pairs with the acquire in take_catalog().
	atomic_store_explicit(&house->catalog, fresh, memory_order_release);
	regions->retired = old;
	// Read after the new pointer is out, as turns counted before that prove nothing.
	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned w = 0; w < regions->workers; w++)
		regions->turns_then[w] = turns_of(house, w);
	log_info("%s: %s", regions->zones_path,
		old ? "was replaced, the new one is in use" : "found, zones are in use");
}

static void look_for_zones(struct regions *regions, struct house *house)
{
	const struct catalog *current = atomic_load_explicit(&house->catalog, memory_order_relaxed);
	if (current)
		atomic_store_explicit(&house->stats->catalog_generation, catalog_header(current)->generation,
			memory_order_relaxed);
	if (regions->retired || (current && !catalog_was_replaced(current, regions->zones_path)))
		return;
	struct catalog *fresh;
	enum status status = catalog_open_reader(&fresh, regions->zones_path);
	if (status == ST_OK)
		show_catalog(regions, house, fresh);
	else if (status != regions->zones_status)
		log_line(status == ST_NOT_FOUND ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "%s: %s%s",
			regions->zones_path, status_text(status),
			status == ST_NOT_FOUND ? ", waiting for pollux-control" : "");
	regions->zones_status = status;
}

void regions_keep(struct regions *regions, struct house *house)
{
	struct stats *stats = house->stats;
	atomic_store_explicit(&stats->now_ms, clock_ms(), memory_order_relaxed);
	atomic_store_explicit(&house->now_s, clock_s(), memory_order_relaxed);
	close_retired(regions, house);
	if (regions->rounds++ % ROUNDS_PER_LOOK)
		return;
	for (unsigned p = 0; p < house->port_count; p++)
		port_report(&house->ports[p], &stats->port[p]);
	stats->mbufs_free = rte_mempool_avail_count(house->pool);
	look_for_zones(regions, house);
}

void regions_close(struct regions *regions, struct house *house)
{
	catalog_close((struct catalog *)atomic_exchange(&house->catalog, NULL));
	catalog_close((struct catalog *)regions->retired);
	shm_close(&regions->rings);
	shm_close(&regions->stats);
	house->rings = NULL;
	house->stats = NULL;
}
