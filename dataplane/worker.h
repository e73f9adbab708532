// SPDX-License-Identifier: BSD-3-Clause
// One core that polls. Workers share nothing that is written on the packet path.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <pollux/access.h>
#include <pollux/cache.h>
#include <pollux/catalog.h>
#include <pollux/counters.h>
#include <pollux/ring.h>

#include "pipeline.h"
#include "quota.h"

struct rte_mempool;

// Regions of control that workers look into.
enum view { VIEW_ZONES, VIEW_CACHE, VIEW_COUNT };

// What workers read and only the main lcore writes.
struct house {
	_Atomic(const void *) view[VIEW_COUNT]; // struct catalog, struct cache; NULL: no such region yet
	_Atomic uint32_t now_s;			// since 1970, renewed every 10 ms
	atomic_bool stop;
	struct stats *stats;
	struct rings *rings;
	const struct port *ports;
	unsigned port_count;
	unsigned idle_sleep_us; // 0: poll without pause
	unsigned idle_after_us; // without packets
	struct rte_mempool *pool;
};

struct worker {
	unsigned index;
	unsigned cpu;
	struct house *house;
	struct ring_pair *rings;
	struct worker_stats *stats;
	uint64_t ns_per_tick; // fixed point, 32 bits behind the point

	// Of the current turn.
	const struct catalog *catalog;
	const struct cache *cache; // NULL: none, or nobody who would fill it
	uint32_t clock_s;	   // CLOCK_MONOTONIC, that of the cache
	const struct overrides *overrides; // NULL: no rules
	struct policy policy;
	struct policy zones_only; // for clients that may not use the chain
	struct access access;
	bool judges_clients; // not everybody may everything
	struct parties parties; // of the answer being written
	bool zones_ready;

	unsigned lane_count;
	struct lane lane[PORTS_MAX];
	int tx_queue[PORTS_MAX]; // -1: another worker serves this port

	// Positions of cache entries answered from, one of a burst, until they go up to control.
	uint64_t used[USED_POSITIONS_MAX];
	unsigned used_count; // ever; the newest ones are there
	uint64_t used_told_ms;

	struct quota quota; // of misses
	uint32_t log_seen;  // answers since the last one that was logged
	uint64_t idle_since; // time stamp counter
	uint64_t door_used_at; // the same: something went to control or came from it
	uint64_t counter[COUNTER_COUNT];
	uint64_t latency[LATENCY_BUCKETS];
	struct burst burst;
	uint8_t kept[RING_SLOT_BYTES + CACHE_LINE_BYTES]; // a question over which its reply is being written
};

// A worker on the memory of its CPU's node, without lanes. NULL: no memory.
struct worker *worker_new(struct house *, unsigned index, unsigned cpu);
void worker_free(struct worker *);
// Deals the queue pairs of all ports out; each goes to one worker, all workers get about as many.
void workers_deal(struct worker *const *, unsigned count, const struct port *ports, unsigned port_count);
// Every lane once, then what control sent. Returns how much there was to do.
unsigned worker_turn(struct worker *);
// Turns until house->stop. An lcore function.
int worker_main(void *worker);
