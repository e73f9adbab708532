// SPDX-License-Identifier: BSD-3-Clause
// One NIC port: its queues, offloads, link and numbers. Main lcore only, but for the fields that workers
// read while it runs, which do not change then.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <pollux/config.h>
#include <pollux/counters.h>
#include <pollux/status.h>

#include "frame.h"

struct rte_mempool;

struct port {
	uint16_t index;	 // in the configuration
	uint16_t id;	 // DPDK's
	uint16_t queues; // pairs of one RX and one TX queue
	uint16_t mtu;
	unsigned offload;  // enum frame_offload
	bool forgets_tpid; // the driver takes the outer tag off and puts it back as 802.1Q, whatever it was
	bool started;
	unsigned interface; // of the kernel, behind a vdev; 0: none
	struct station station;
	const struct port_config *config;
};

// True for a PCI address, false for a vdev string.
bool port_is_pci(const char *device);
// Finds or makes the device, sets up at most `workers` queue pairs and starts it. Errors are logged with
// the configuration key. `pool` outlives the port.
CHECKED enum status port_start(
	struct port *, const struct config *, unsigned index, unsigned workers, struct rte_mempool *pool);
void port_stop(struct port *);
// Link and device counters into the stats region; logs a link that came or went.
void port_report(const struct port *, struct port_stats *);
