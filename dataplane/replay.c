// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_mempool.h>

#include <pollux/cache.h>
#include <pollux/catalog.h>
#include <pollux/log.h>
#include <pollux/overrides.h>
#include <pollux/zonefile.h>

#include "eal.h"
#include "replay.h"
#include "worker.h"

#define REPLAY_TIME_S 1577836800u // 2020-01-01
enum { REPLAY_SEED = 53, PCAP_HEADER_BYTES = 24, PCAP_RECORD_BYTES = 16 };

// The MAC that a replayed port says it has; frames to any other are taken as well.
static const uint8_t replay_mac[6] = { 0x02, 0, 0, 0, 0, 0x53 };

struct run {
	struct house house;
	struct port port;
	struct port_config port_config;
	struct config config; // the one given, with the files as its only port
	struct catalog *catalog;
	struct cache *cache;
	struct rings *rings;
	struct stats *stats;
	struct worker *worker;
	char device[2 * PATH_MAX];
};

static void load_zones(
	struct catalog *catalog, const struct zone_config *zones, unsigned count, struct report *report)
{
	for (unsigned z = 0; z < count; z++) {
		enum status status = zone_load(catalog, zones[z].apex, zones[z].file, 0, report);
		if (status != ST_OK) {
			char text[NAME_TEXT_BYTES];
			log_error("zone %s is not served: %s", name_to_text(text, zones[z].apex),
				status_text(status));
		}
	}
}

// Cookies are the same every time, too: a time that stands still, and unless there is a file a secret that
// everybody knows.
static enum status set_identity(struct run *run, const struct config *config, struct report *report)
{
	struct server_identity identity;
	enum status status = config_identity(config, &identity, report);
	if (!identity.secret_count)
		identity.secret_count = 1; // all zeros
	atomic_store(&run->house.now_s, REPLAY_TIME_S);
	return status == ST_OK ? catalog_set_identity(run->catalog, &identity) : status;
}

static enum status set_access(struct run *run, const struct config *config)
{
	void *block;
	uint64_t bytes;
	enum status status = config_access(config, &block, &bytes);
	if (status == ST_OK)
		status = catalog_set_block(run->catalog, BLOCK_ACCESS, block, bytes);
	free(block);
	return status;
}

// The clock of a replay stands at 0, so nothing in it is older than when it was stored.
static enum status open_cache(struct run *run, const char *path)
{
	enum status status = path ? cache_open_reader(&run->cache, path) : ST_OK;
	if (status != ST_OK)
		log_error("%s: %s", path, status_text(status));
	atomic_store(&run->house.view[VIEW_CACHE], run->cache);
	return status;
}

static enum status set_overrides(struct run *run, const struct config *config, struct report *report)
{
	struct override_rules *rules;
	void *block = NULL;
	uint64_t bytes;
	enum status status = config_overrides(config, &rules, report);
	if (status == ST_OK && override_rules_count(rules))
		status = override_rules_compile(
			rules, REPLAY_SEED, config->override_before_clients, report, &block, &bytes);
	if (block)
		status = catalog_set_block(run->catalog, BLOCK_OVERRIDES, block, bytes);
	free(block);
	override_rules_free(rules);
	return status;
}

static enum status make_catalog(struct run *run, const struct config *config)
{
	struct report report = { .emit = report_to_stream };
	enum status status = catalog_open_private(&run->catalog, run->cache ? cache_seed(run->cache) : REPLAY_SEED);
	if (status != ST_OK)
		return status;
	struct zone_config *zones = NULL;
	unsigned count = 0;
	status = config_zones(config, &zones, &count, &report);
	load_zones(run->catalog, zones, count, &report);
	zone_configs_free(zones, count);
	catalog_set_policy(run->catalog, config_policy(config));
	if (status == ST_OK)
		status = set_access(run, config);
	if (status == ST_OK)
		status = set_identity(run, config, &report);
	if (status == ST_OK)
		status = set_overrides(run, config, &report);
	catalog_set_ready(run->catalog);
	atomic_store(&run->house.view[VIEW_ZONES], run->catalog);
	return status;
}

// The rings lead nowhere: what goes up is counted as handed over, and thrown away by drain().
static enum status make_regions(struct run *run)
{
	run->rings = aligned_alloc(CACHE_LINE_BYTES, rings_bytes(1));
	run->stats = aligned_alloc(CACHE_LINE_BYTES, stats_bytes(1));
	if (!run->rings || !run->stats)
		return ST_NO_MEMORY;
	memset(run->rings, 0, rings_bytes(1));
	memset(run->stats, 0, stats_bytes(1));
	run->rings->head.generation = 1;
	run->rings->workers = 1;
	run->house.rings = run->rings;
	run->house.stats = run->stats;
	return ST_OK;
}

static void drain(struct ring *ring)
{
	bool corrupt;
	ring_consume(ring, ring_ready(ring, &corrupt));
}

static enum status make_device(struct run *run, const struct config *config, const char *in, const char *out)
{
	if (strpbrk(in, ",[]") || strpbrk(out, ",[]")) {
		log_error("--replay: a file name may not hold a comma or a bracket");
		return ST_INVALID;
	}
	FILE *readable = fopen(in, "rb");
	if (!readable) {
		log_error("%s: %s", in, strerror(errno));
		return ST_NOT_FOUND;
	}
	fclose(readable);
	snprintf(run->device, sizeof(run->device), "net_pcap0,rx_pcap=%s,tx_pcap=%s", in, out);
	run->config = *config;
	if (config->port_count)
		run->port_config = config->ports[0];
	run->port_config.device = run->device;
	run->config.ports = &run->port_config;
	run->config.port_count = 1;
	run->config.lcore_count = 1;
	return ST_OK;
}

static enum status start(struct run *run, const struct config *config, const char *in, const char *out, const char *cache)
{
	enum status status = make_device(run, config, in, out);
	if (status == ST_OK)
		status = open_cache(run, cache);
	if (status == ST_OK)
		status = make_catalog(run, config);
	if (status == ST_OK)
		status = make_regions(run);
	if (status == ST_OK)
		status = eal_start(&run->config, true);
	if (status == ST_OK && !(run->house.pool = eal_pool(&run->config)))
		status = ST_NO_MEMORY;
	if (status == ST_OK)
		status = port_start(&run->port, &run->config, 0, 1, run->house.pool);
	if (status != ST_OK)
		return status;
	run->house.ports = &run->port;
	run->house.port_count = 1;
	// The same every time, whatever the driver made up.
	station_take_any_mac(&run->port.station);
	memcpy(run->port.station.mac, replay_mac, sizeof(replay_mac));
	link_local_of(run->port.station.ip6[0], replay_mac);
	run->worker = worker_new(&run->house, 0, 0);
	if (!run->worker)
		return ST_NO_MEMORY;
	workers_deal(&run->worker, 1, &run->port, 1);
	return ST_OK;
}

// The driver stamps what it writes with the time of day. Here the n-th answer gets n microseconds, so that
// equal runs make equal files. The file counts nanoseconds, as this machine stores numbers.
static enum status stamp_evenly(const char *path)
{
	FILE *file = fopen(path, "r+b");
	if (!file)
		return ST_SYSTEM;
	uint32_t head[PCAP_RECORD_BYTES / 4];
	enum status status = ST_OK;
	long at = PCAP_HEADER_BYTES;
	for (uint32_t n = 0; fseek(file, at, SEEK_SET) == 0 && fread(head, sizeof(head), 1, file) == 1; n++) {
		head[0] = n / 1000000;
		head[1] = n % 1000000 * 1000;
		at += PCAP_RECORD_BYTES + (long)head[2];
		if (fseek(file, at - PCAP_RECORD_BYTES - (long)head[2], SEEK_SET) != 0 ||
			fwrite(head, 8, 1, file) != 1)
			status = ST_SYSTEM;
	}
	if (ferror(file))
		status = ST_SYSTEM;
	if (fclose(file) != 0)
		status = ST_SYSTEM;
	return status;
}

static void print_counters(const uint64_t *counter, bool json)
{
	const char *before = "{";
	for (unsigned c = 0; c < COUNTER_COUNT; c++) {
		if (!counter[c])
			continue;
		if (json)
			printf("%s\"%s\": %" PRIu64, before, counter_info[c].name, counter[c]);
		else
			printf("%-20s %12" PRIu64 " %s\n", counter_info[c].name, counter[c],
				counter_info[c].unit);
		before = ", ";
	}
	if (json)
		printf("%s}\n", *before == '{' ? before : "");
}

static bool adds_up(const uint64_t *counter)
{
	uint64_t sum[COUNTS_DETAIL + 1] = { 0 };
	for (unsigned c = 0; c < COUNTER_COUNT; c++)
		sum[counter_info[c].class] += counter[c];
	uint64_t verdicts =
		sum[COUNTS_ANSWERED] + sum[COUNTS_MISSED] + sum[COUNTS_PUNTED] + sum[COUNTS_DROPPED];
	if (sum[COUNTS_RECEIVED] != verdicts)
		log_error("%" PRIu64 " packets received, but %" PRIu64 " verdicts", sum[COUNTS_RECEIVED],
			verdicts);
	return sum[COUNTS_RECEIVED] == verdicts;
}

static bool pool_is_full(const struct run *run)
{
	unsigned missing = run->house.pool->size - rte_mempool_avail_count(run->house.pool);
	if (missing)
		log_error("%u packet buffers were lost", missing);
	return missing == 0;
}

static void clean_up(struct run *run)
{
	worker_free(run->worker);
	port_stop(&run->port);
	catalog_close(run->catalog);
	cache_close(run->cache);
	free(run->rings);
	free(run->stats);
}

int replay(const struct config *config, const char *in, const char *out, const char *cache, bool json)
{
	static struct run run;
	if (start(&run, config, in, out, cache) != ST_OK) {
		clean_up(&run);
		return EXIT_FAILURE;
	}
	while (worker_turn(run.worker))
		drain(&run.rings->worker[0].up);
	bool good = adds_up(run.worker->counter);
	print_counters(run.worker->counter, json);
	port_stop(&run.port); // completes the file, and gives back what the driver holds
	good &= pool_is_full(&run);
	if (stamp_evenly(out) != ST_OK) {
		log_error("%s: %s", out, strerror(errno));
		good = false;
	}
	clean_up(&run);
	eal_stop();
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
