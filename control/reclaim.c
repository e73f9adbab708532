// SPDX-License-Identifier: BSD-3-Clause
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reclaim.h"

#define LOOK_US 20000	   // while an epoch is closing
#define AWAIT_MS 100	   // for the workers when a catalog is taken over
#define GRACE_TURNS 2	   // one that may have begun before the swap, one whole one behind it

struct reclaimer {
	struct catalog *catalog;
	struct side_door *door;
	struct event *timer;
	uint64_t epoch;	 // that retired space belongs to now
	unsigned holds;
	bool dirty;	 // something was retired in it
	bool closing;	 // epoch - 1 waits for the workers
	uint64_t attaches; // of the side door when the turns were taken down
	unsigned workers;
	uint64_t turns[WORKERS_MAX];
};

static uint64_t turns_of(const struct reclaimer *r, unsigned worker)
{
	// Pairs with the release of the worker at the end of its turn: its reads are done.
	return atomic_load_explicit(&side_door_stats(r->door)->worker[worker].turns, memory_order_acquire);
}

static void note_turns(struct reclaimer *r)
{
	r->attaches = side_door_counters(r->door)->attaches;
	r->workers = side_door_is_attached(r->door) ? side_door_workers(r->door) : 0;
	for (unsigned i = 0; i < r->workers; i++)
		r->turns[i] = turns_of(r, i);
}

static bool workers_moved_on(struct reclaimer *r)
{
	if (!side_door_is_attached(r->door))
		return side_door_is_alone(r->door);
	if (r->workers == 0 || r->attaches != side_door_counters(r->door)->attaches) {
		note_turns(r); // another dataplane than the one whose turns are known
		return false;
	}
	for (unsigned i = 0; i < r->workers; i++) {
		if (turns_of(r, i) - r->turns[i] < GRACE_TURNS)
			return false;
	}
	return true;
}

static void look_again(struct reclaimer *r)
{
	struct timeval delay = { .tv_usec = LOOK_US };
	if (!event_pending(r->timer, EV_TIMEOUT, NULL))
		event_add(r->timer, &delay);
}

static void close_epoch(struct reclaimer *r)
{
	catalog_set_epoch(r->catalog, ++r->epoch);
	atomic_thread_fence(memory_order_seq_cst); // the swaps are out before the turns are read
	note_turns(r);
	r->dirty = false;
	r->closing = true;
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct reclaimer *r = ctx;
	if (r->closing && r->holds == 0 && workers_moved_on(r)) {
		catalog_reclaim(r->catalog, r->epoch - 1);
		r->closing = false;
	}
	if (!r->closing && r->dirty)
		close_epoch(r);
	if (r->closing)
		look_again(r);
}

// The turn that each worker has to reach; false: the region cannot be read.
static bool note_grace(const struct shm *region, uint64_t turns[WORKERS_MAX])
{
	const struct stats *stats = region->base;
	if (stats->workers > WORKERS_MAX || stats_bytes(stats->workers) > region->bytes)
		return false;
	for (unsigned i = 0; i < stats->workers; i++)
		turns[i] = atomic_load(&stats->worker[i].turns) + GRACE_TURNS;
	return true;
}

static bool all_reached(const struct stats *stats, const uint64_t turns[WORKERS_MAX])
{
	for (unsigned i = 0; i < stats->workers; i++) {
		if (atomic_load(&stats->worker[i].turns) < turns[i])
			return false;
	}
	return true;
}

static bool readers_moved_on(const char *directory)
{
	char path[PATH_MAX + 8];
	struct shm region;
	uint64_t turns[WORKERS_MAX];
	snprintf(path, sizeof(path), "%s/stats", directory);
	enum status status = shm_join(&region, path, STATS_MAGIC, STATS_FORMAT, SHM_READ);
	if (status != ST_OK)
		return status == ST_NOT_FOUND;
	bool known = region.bytes >= sizeof(struct stats) && note_grace(&region, turns), moved = false;
	for (unsigned waited = 0; !moved && waited < AWAIT_MS; waited++) {
		const struct timespec one_ms = { .tv_nsec = 1000000 };
		moved = !shm_owner_lives(&region) || (known && all_reached(region.base, turns));
		if (!moved)
			nanosleep(&one_ms, NULL);
	}
	shm_close(&region);
	return moved;
}

void reclaim_await_readers(struct catalog *catalog, const char *directory)
{
	if (!readers_moved_on(directory))
		catalog_doubt_free(catalog);
}

struct reclaimer *reclaimer_new(struct event_base *base, struct catalog *catalog, struct side_door *door)
{
	struct reclaimer *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->catalog = catalog;
	r->door = door;
	r->epoch = 1;
	r->timer = event_new(base, -1, 0, on_timer, r);
	if (!r->timer) {
		free(r);
		return NULL;
	}
	catalog_set_epoch(catalog, r->epoch);
	if (catalog_usage(catalog).retired_bytes)
		reclaimer_wanted(r);
	return r;
}

void reclaimer_free(struct reclaimer *r)
{
	if (!r)
		return;
	event_free(r->timer);
	free(r);
}

void reclaimer_wanted(struct reclaimer *r)
{
	r->dirty = true;
	look_again(r);
}

void reclaimer_hold(struct reclaimer *r)
{
	r->holds++;
}

void reclaimer_release(struct reclaimer *r)
{
	r->holds--;
}
