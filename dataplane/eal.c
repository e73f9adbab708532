// SPDX-License-Identifier: BSD-3-Clause
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

#include <pollux/log.h>

#include "eal.h"
#include "port.h"
#include "worker.h"

enum {
	POOL_CACHE = 256,
	MBUF_BYTES = 2688,	// an mbuf with its buffer, its header and its place in the pool's ring
	OTHER_BYTES = 16 << 20, // DPDK's own, and the drivers'
	ARGUMENTS_MAX = 32 + PORTS_MAX * 2,
	LCORES_TEXT = 32 * (WORKERS_MAX + 1),
};

struct arguments {
	int count;
	char *value[ARGUMENTS_MAX];
};

__attribute__((format(printf, 2, 3))) static void add(struct arguments *arguments, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	if (arguments->count < ARGUMENTS_MAX - 1 && vasprintf(&text, format, args) >= 0)
		arguments->value[arguments->count++] = text;
	va_end(args);
}

static enum log_level our_level(int dpdk)
{
	if (dpdk <= 0 || dpdk >= (int)RTE_LOG_INFO)
		return LOG_LEVEL_DEBUG;
	if (dpdk <= (int)RTE_LOG_ERR)
		return LOG_LEVEL_ERROR;
	return dpdk == (int)RTE_LOG_WARNING ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
}

// DPDK writes lines to a stream; each becomes a line of our log.
static ssize_t write_log(void *cookie, const char *text, size_t bytes)
{
	(void)cookie;
	enum log_level level = our_level(rte_log_cur_msg_loglevel());
	for (size_t at = 0; at < bytes;) {
		size_t length = 0;
		while (at + length < bytes && text[at + length] != '\n')
			length++;
		if (length)
			log_line(level, "dpdk: %.*s", (int)length, text + at);
		at += length + 1;
	}
	return (ssize_t)bytes;
}

static void open_log(void)
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = write_log });
	if (!stream)
		return;
	setvbuf(stream, NULL, _IOLBF, 0);
	rte_openlog_stream(stream);
}

static bool may_use_cpu(const char *key, unsigned cpu)
{
	cpu_set_t here;
	if (sched_getaffinity(0, sizeof(here), &here) != 0 || (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &here)))
		return true;
	log_error("%s: CPU %u is not there, or this process may not use it", key, cpu);
	return false;
}

static enum status check_cpus(const struct config *config)
{
	bool good = may_use_cpu("dataplane.main-lcore", config->main_lcore);
	for (unsigned i = 0; i < config->lcore_count; i++)
		good &= may_use_cpu("dataplane.lcores", config->lcores[i]);
	return good ? ST_OK : ST_NOT_FOUND;
}

static uint64_t memory_needed(const struct config *config)
{
	return (uint64_t)config->mbufs * MBUF_BYTES + config->lcore_count * (uint64_t)sizeof(struct worker) +
	       OTHER_BYTES;
}

static uint64_t free_huge_pages(void)
{
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
	uint64_t pages = 0;
	if (!file || fscanf(file, "%" SCNu64, &pages) != 1)
		pages = 0;
	if (file)
		fclose(file);
	return pages;
}

static bool has_pci_port(const struct config *config)
{
	for (unsigned p = 0; p < config->port_count; p++)
		if (port_is_pci(config->ports[p].device))
			return true;
	return false;
}

// ST_OK and *huge, or the reason why not, logged.
static enum status choose_memory(const struct config *config, bool *huge)
{
	uint64_t need = (memory_needed(config) + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES;
	uint64_t there = free_huge_pages();
	*huge = strcmp(config->hugepages, "off") != 0 && there >= need;
	if (strcmp(config->hugepages, "on") == 0 && !*huge) {
		log_error("dataplane.hugepages is on, but %" PRIu64
			  " free pages of 2 MiB are needed and %" PRIu64 " are there",
			need, there);
		return ST_NO_MEMORY;
	}
	if (!*huge && has_pci_port(config)) {
		log_error("dataplane.hugepages: a NIC needs huge pages; %" PRIu64
			  " free pages of 2 MiB are needed and "
			  "%" PRIu64 " are there",
			need, there);
		return ST_NO_MEMORY;
	}
	return ST_OK;
}

static void add_lcores(struct arguments *arguments, const struct config *config, bool replay)
{
	char text[LCORES_TEXT];
	unsigned main_cpu = replay ? (unsigned)sched_getcpu() : config->main_lcore; // a replay runs anywhere
	int at = snprintf(text, sizeof(text), "0@%u", main_cpu);
	for (unsigned i = 0; !replay && i < config->lcore_count; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, ",%u@%u", i + 1, config->lcores[i]);
	add(arguments, "--lcores=%s", text);
	add(arguments, "--main-lcore=0");
}

static void add_memory(struct arguments *arguments, const struct config *config, bool huge)
{
	// Without a NIC nobody asks for physical addresses, and finding them out takes time.
	if (!has_pci_port(config))
		add(arguments, "--iova-mode=va");
	if (huge) {
		add(arguments, "--in-memory");
		return;
	}
	// DPDK takes --in-memory for huge pages only; this is what is left of it without them.
	add(arguments, "--no-huge");
	add(arguments, "--no-shconf");
	add(arguments, "-m");
	add(arguments, "%" PRIu64, (memory_needed(config) >> 20) + 1);
}

static void add_devices(struct arguments *arguments, const struct config *config, bool replay)
{
	if (replay || !has_pci_port(config)) {
		add(arguments, "--no-pci");
		return;
	}
	for (unsigned p = 0; p < config->port_count; p++)
		if (port_is_pci(config->ports[p].device))
			add(arguments, "--allow=%s", config->ports[p].device);
}

enum status eal_start(const struct config *config, bool replay)
{
	bool huge = false;
	enum status status = replay ? ST_OK : check_cpus(config);
	if (status == ST_OK && !replay)
		status = choose_memory(config, &huge);
	if (status != ST_OK)
		return status;
	open_log();
	static struct arguments arguments; // DPDK keeps pointers to the texts, and sorts what it is given
	add(&arguments, "pollux-dataplane");
	add_lcores(&arguments, config, replay);
	add_memory(&arguments, config, huge);
	add_devices(&arguments, config, replay);
	add(&arguments, "--no-telemetry");
	add(&arguments, "--file-prefix=pollux-%s", config->name);
	char *sorted[ARGUMENTS_MAX];
	memcpy(sorted, arguments.value, sizeof(sorted));
	if (rte_eal_init(arguments.count, sorted) < 0) {
		log_error("DPDK does not start: %s", rte_strerror(rte_errno));
		return ST_SYSTEM;
	}
	log_info("memory: %s", huge ? "huge pages" : "ordinary pages");
	return ST_OK;
}

// What rte_pktmbuf_pool_create() does, but where no NIC reads the buffers they may lie across pages: with
// ordinary pages that takes almost half as many.
static struct rte_mempool *create_pool(const struct config *config)
{
	const struct rte_pktmbuf_pool_private room = { .mbuf_data_room_size = RTE_MBUF_DEFAULT_BUF_SIZE };
	unsigned cache = config->mbufs >= 8 * POOL_CACHE ? POOL_CACHE : 0;
	unsigned flags = has_pci_port(config) ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
	struct rte_mempool *pool = rte_mempool_create_empty("packets", config->mbufs,
		sizeof(struct rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE, cache, sizeof(room), SOCKET_ID_ANY,
		flags);
	if (!pool)
		return NULL;
	rte_errno = -rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
	if (rte_errno == 0) {
		rte_pktmbuf_pool_init(pool, (void *)(uintptr_t)&room);
		int there = rte_mempool_populate_default(pool);
		rte_errno = there < 0 ? -there : 0;
	}
	if (rte_errno) {
		rte_mempool_free(pool);
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

struct rte_mempool *eal_pool(const struct config *config)
{
	struct rte_mempool *pool = create_pool(config);
	if (!pool)
		log_error("dataplane.mbufs %u: %s", config->mbufs, rte_strerror(rte_errno));
	return pool;
}

void eal_stop(void)
{
	rte_eal_cleanup();
}
