// SPDX-License-Identifier: BSD-3-Clause
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "rights.h"
#include "side_door.h"
#include "worker.h"

// After a second without packets naps are longer: waking costs more than the nap saves, and one packet may wait.
enum { IDLE_BEFORE_LONG_NAPS_MS = 1000, LONG_NAP = 10 };

struct worker *worker_new(struct house *house, unsigned index, unsigned cpu)
{
	struct worker *worker = rte_zmalloc("worker", sizeof(*worker), CACHE_LINE_BYTES);
	if (!worker)
		return NULL;
	worker->index = index;
	quota_init(&worker->quota);
	worker->cpu = cpu;
	worker->house = house;
	worker->rings = house->rings ? &house->rings->worker[index] : NULL;
	worker->stats = &house->stats->worker[index];
	worker->ns_per_tick = (UINT64_C(1000000000) << 32) / rte_get_tsc_hz();
	for (unsigned p = 0; p < PORTS_MAX; p++)
		worker->tx_queue[p] = -1;
	return worker;
}

void worker_free(struct worker *worker)
{
	rte_free(worker);
}

void workers_deal(
	struct worker *const *workers, unsigned count, const struct port *ports, unsigned port_count)
{
	unsigned next = 0;
	for (unsigned p = 0; p < port_count; p++) {
		for (uint16_t q = 0; q < ports[p].queues; q++, next++) {
			struct worker *worker = workers[next % count];
			worker->lane[worker->lane_count++] = (struct lane){ .port = &ports[p], .queue = q };
			worker->tx_queue[p] = q;
		}
	}
}

// Who may what, and whether it makes a difference at all.
static void take_access(struct worker *worker)
{
	uint64_t bytes = 0;
	const void *block = worker->catalog ? catalog_block(worker->catalog, BLOCK_ACCESS, &bytes) : NULL;
	access_open(&worker->access, block, bytes);
	unsigned wanted = ACCESS_QUERY | (worker->policy.has_chain ? ACCESS_RECURSION : 0u);
	worker->judges_clients = (worker->access.everybody & wanted) != wanted;
	worker->zones_only = worker->policy;
	worker->zones_only.may_not_recurse = worker->policy.has_chain;
	worker->zones_only.has_chain = 0;
}

// What control owns, as it is now.
static void take_views(struct worker *worker)
{
	const struct house *house = worker->house;
	// Pairs with the release in regions.c: the view is whole before it can be seen.
	worker->catalog = atomic_load_explicit(&house->view[VIEW_ZONES], memory_order_acquire);
	worker->cache = atomic_load_explicit(&house->view[VIEW_CACHE], memory_order_acquire);
	if (worker->catalog) {
		worker->policy = catalog_policy(worker->catalog);
		worker->overrides = catalog_block(worker->catalog, BLOCK_OVERRIDES, NULL);
		worker->zones_ready = catalog_is_ready(worker->catalog);
		worker->parties.identity = catalog_identity(worker->catalog);
	} else {
		worker->policy = (struct policy){ .udp_size = DNS_UDP_PLAIN_BYTES };
		worker->overrides = NULL;
		worker->zones_ready = false;
		worker->parties.identity = NULL;
	}
	take_access(worker);
	if (!worker->policy.has_chain)
		worker->cache = NULL;
	worker->parties.now_s = atomic_load_explicit(&house->now_s, memory_order_relaxed);
	worker->clock_s = (uint32_t)(atomic_load_explicit(&house->stats->now_ms, memory_order_relaxed) / 1000);
}

// Plain stores: the block has one writer, and a reader that sees half a burst loses nothing.
static void publish_counters(struct worker *worker)
{
	memcpy(worker->stats->counter, worker->counter, sizeof(worker->counter));
	memcpy(worker->stats->latency, worker->latency, sizeof(worker->latency));
}

unsigned worker_turn(struct worker *worker)
{
	unsigned work = 0;
	take_views(worker);
	for (unsigned l = 0; l < worker->lane_count; l++)
		work += pipeline_run(worker, &worker->lane[l]);
	work += side_door_take(worker);
	if (work)
		publish_counters(worker);
	// Quiescent: nothing of the catalog is in our hands. Pairs with the acquire of whoever wants to
	// reclaim what we may have read.
	uint64_t turns = atomic_load_explicit(&worker->stats->turns, memory_order_relaxed);
	atomic_store_explicit(&worker->stats->turns, turns + 1, memory_order_release);
	return work;
}

// Made only when nothing came in, as a rule for a while (dataplane.idle-after).
static void nap(struct worker *worker, long us)
{
	const struct timespec time = { .tv_nsec = us * 1000 };
	worker->counter[COUNTER_idle_sleeps]++;
	worker->stats->counter[COUNTER_idle_sleeps] = worker->counter[COUNTER_idle_sleeps];
	nanosleep(&time, NULL);
}

static bool is_carried_by_kernel(const struct worker *worker)
{
	for (unsigned l = 0; l < worker->lane_count; l++)
		if (worker->lane[l].port->interface)
			return true;
	return false;
}

// After a turn without work. A nap, when it has been so for long; while zones are being loaded for the first time that
// needs the core more. Before that, whoever has to share the core with us goes on, for 0.4 us if nobody is here: the
// kernel where it carries the packets, for its thread that receives them may be on this core (that gives 1.6 times the
// answers), and control as long as there is something between us (with both on one core TCP has four times the answers).
static void rest(struct worker *worker, uint64_t idle, uint64_t ms, bool with_kernel)
{
	const struct house *house = worker->house;
	if (house->idle_sleep_us && (idle >= house->idle_after_us * ms / 1000 || !worker->zones_ready))
		nap(worker, house->idle_sleep_us * (idle > IDLE_BEFORE_LONG_NAPS_MS * ms ? LONG_NAP : 1L));
	else if (with_kernel || worker->idle_since - worker->door_used_at < ms)
		sched_yield();
}

int worker_main(void *argument)
{
	struct worker *worker = argument;
	const struct house *house = worker->house;
	const uint64_t ms = rte_get_tsc_hz() / 1000;
	const bool with_kernel = is_carried_by_kernel(worker);
	prctl(PR_SET_TIMERSLACK, 1UL); // naps as long as they are meant to be, not 50 us more
	rights_drop(false);
	worker->idle_since = rte_rdtsc();
	while (!atomic_load_explicit(&house->stop, memory_order_relaxed)) {
		if (worker_turn(worker))
			worker->idle_since = rte_rdtsc();
		else
			rest(worker, rte_rdtsc() - worker->idle_since, ms, with_kernel);
	}
	publish_counters(worker);
	return 0;
}
