// SPDX-License-Identifier: BSD-3-Clause
// The shared memory of the dataplane: owns the rings and the stats region, looks for the zones and the cache
// region, keeps the clock and the numbers of the ports. Main lcore only.
#pragma once

#include <limits.h>
#include <stdint.h>

#include <pollux/config.h>
#include <pollux/shm.h>
#include <pollux/status.h>

#include "port.h"
#include "worker.h"

struct regions {
	struct shm rings, stats;
	unsigned workers;
	// Regions of control, which may come, go and be replaced.
	struct followed {
		char path[PATH_MAX];
		enum status status; // of the last look, so that it is logged once
		// What workers used before, and their turns when it was replaced.
		const void *retired;
		uint64_t turns_then[WORKERS_MAX];
	} followed[VIEW_COUNT];
	uint64_t rounds;
};

// Takes the rings and stats regions over or makes them, and shows them to the house. Errors are logged.
// ST_BUSY: a dataplane of this name runs already.
CHECKED enum status regions_open(struct regions *, struct house *, const struct config *);
// Says in the stats region what was started. Before workers run.
void regions_announce(struct regions *, struct house *, struct worker *const *workers, const struct config *);
// To be called every 10 ms (KEEP_EVERY_NS), and as a second of CLOCK_MONOTONIC begins.
void regions_keep(struct regions *, struct house *);
// After the last worker has stopped.
void regions_close(struct regions *, struct house *);
