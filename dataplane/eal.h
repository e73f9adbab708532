// SPDX-License-Identifier: BSD-3-Clause
// DPDK's environment, made from the configuration: lcores, memory, devices it may see, its log.
#pragma once

#include <stdbool.h>

#include <pollux/config.h>
#include <pollux/status.h>

struct rte_mempool;

// Starts DPDK. Lcore 0 is the main one, lcore i + 1 the one of worker i. `replay`: without huge pages and
// workers. Errors are logged with the configuration key. Once per process.
CHECKED enum status eal_start(const struct config *, bool replay);
// The pool of packet buffers. NULL: no memory, logged.
struct rte_mempool *eal_pool(const struct config *);
void eal_stop(void);
