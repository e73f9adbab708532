// SPDX-License-Identifier: BSD-3-Clause
// Loaded in front of DPDK (LD_PRELOAD): the one port that is started takes only the first packets of a burst,
// now more, now fewer, sometimes none, as a port does whose queue is full. What it took it holds until the
// next burst, as hardware may, so that a buffer freed by anybody else is seen to be overwritten.
#include <dlfcn.h>
#include <string.h>

#include <rte_ethdev.h>

enum { ROOM_MAX = 20 }; // some bursts are taken whole

static eth_tx_burst_t driver_send;
static struct rte_mbuf *held[ROOM_MAX];
static uint16_t held_count;
static void *held_for;

static void send_held(void)
{
	if (held_count)
		driver_send(held_for, held, held_count);
	held_count = 0;
}

static uint16_t send_some(void *queue, struct rte_mbuf **packets, uint16_t count)
{
	static uint16_t room;
	send_held();
	room = (uint16_t)((room + 37) % (ROOM_MAX + 1));
	held_count = count < room ? count : room;
	held_for = queue;
	memcpy(held, packets, held_count * sizeof(*held));
	return held_count;
}

int rte_eth_dev_start(uint16_t port)
{
	int (*start)(uint16_t);
	*(void **)&start = dlsym(RTLD_NEXT, "rte_eth_dev_start");
	int error = start(port);
	driver_send = rte_eth_fp_ops[port].tx_pkt_burst;
	rte_eth_fp_ops[port].tx_pkt_burst = send_some;
	return error;
}

int rte_eth_dev_stop(uint16_t port)
{
	int (*stop)(uint16_t);
	*(void **)&stop = dlsym(RTLD_NEXT, "rte_eth_dev_stop");
	send_held();
	return stop(port);
}
