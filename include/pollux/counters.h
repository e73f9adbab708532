// SPDX-License-Identifier: BSD-3-Clause
// The C view of counters.def, and the stats region: written by the dataplane, read by control. Each
// worker writes only its own block; a reader may see a burst half counted, never a torn number.
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include <pollux/bounds.h>
#include <pollux/shm.h>

enum counter {
#define COUNTER(id, class, name, unit, help) COUNTER_##id,
#include <pollux/counters.def>
#undef COUNTER
	COUNTER_COUNT
};

enum counter_class { COUNTS_RECEIVED, COUNTS_ANSWERED, COUNTS_MISSED, COUNTS_PUNTED, COUNTS_DROPPED, COUNTS_DETAIL };

struct counter_info {
	const char *name, *unit, *help;
	enum counter_class class;
};
extern const struct counter_info counter_info[COUNTER_COUNT];

#define STATS_MAGIC 0x53584c50u // "PLXS"
#define STATS_FORMAT 1u

// Service time of answers, from the worker's turn to the port taking them: bucket i counts times in
// [2^i, 2^(i+1)) nanoseconds.
#define LATENCY_BUCKETS 32

struct worker_stats {
	_Alignas(CACHE_LINE_BYTES) _Atomic uint64_t turns; // quiescent points passed: one per turn of the loop
	_Atomic uint64_t rings_generation; // of the rings it talks over; 0: none
	uint32_t lcore;
	_Alignas(CACHE_LINE_BYTES) uint64_t counter[COUNTER_COUNT]; // since `started_s`
	uint64_t latency[LATENCY_BUCKETS];
};

struct port_stats {
	char device[128];	// as configured
	uint8_t mac[6];
	uint8_t link_up;
	uint8_t worker;		// whose down ring takes FRAMEs for this port
	uint32_t speed_mbps;	// 0: unknown
	uint32_t mtu;
	uint64_t missed;	// frames the port had no room for
	uint64_t errors;
	uint64_t no_mbuf;
};

// The stats region, owned by the dataplane. `now_ms` and the ports belong to its main lcore.
struct stats {
	struct shm_head head;
	_Atomic uint64_t now_ms; // CLOCK_MONOTONIC, renewed every 10 ms and as each second begins
	uint64_t started_s;	 // seconds since 1970; counters start at 0 then
	int32_t pid;
	uint32_t workers, ports;
	uint32_t mbufs, mbufs_free; // of the pool
	_Atomic uint64_t catalog_generation; // of the zones region in use; 0: none yet
	struct port_stats port[PORTS_MAX];
	_Alignas(CACHE_LINE_BYTES) struct worker_stats worker[];
};

static inline uint64_t stats_bytes(uint32_t workers)
{
	return sizeof(struct stats) + (uint64_t)workers * sizeof(struct worker_stats);
}
