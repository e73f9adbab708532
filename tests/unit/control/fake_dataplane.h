// SPDX-License-Identifier: BSD-3-Clause
// A dataplane made by a test: it owns the same regions as the real one, and has no NIC. And patience.
#pragma once

#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include <pollux/counters.h>
#include <pollux/ring.h>

#define PATIENCE_MS 20000

struct fake_dataplane {
	struct shm rings_shm, stats_shm;
	struct rings *rings;
	struct stats *stats;
};

static inline uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline void plane_start(struct fake_dataplane *plane, const char *directory, uint32_t workers)
{
	char path[5000];
	bool created;
	snprintf(path, sizeof(path), "%s/stats", directory);
	assert_int_equal(shm_own(&plane->stats_shm, path, STATS_MAGIC, STATS_FORMAT, workers, stats_bytes(workers),
				 &created), ST_OK);
	plane->stats = plane->stats_shm.base;
	plane->stats->workers = workers;
	plane->stats->ports = 1;
	plane->stats->pid = getpid();
	snprintf(path, sizeof(path), "%s/rings", directory);
	assert_int_equal(shm_own(&plane->rings_shm, path, RINGS_MAGIC, RINGS_FORMAT, workers, rings_bytes(workers),
				 &created), ST_OK);
	plane->rings = plane->rings_shm.base;
	plane->rings->workers = workers;
}

static inline void plane_stop(struct fake_dataplane *plane)
{
	shm_close(&plane->rings_shm);
	shm_close(&plane->stats_shm);
}

static inline void plane_remove_files(const char *directory)
{
	char path[5000];
	snprintf(path, sizeof(path), "%s/rings", directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/stats", directory);
	unlink(path);
}

// Turns the loop until the condition holds.
#define AWAIT(base, condition)                                                                                   \
	do {                                                                                                     \
		uint64_t deadline_ms = now_ms() + PATIENCE_MS;                                                   \
		while (!(condition) && now_ms() < deadline_ms)                                                   \
			event_base_loop(base, EVLOOP_ONCE);                                                      \
		assert_true(condition);                                                                          \
	} while (0)
