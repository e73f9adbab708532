// SPDX-License-Identifier: BSD-3-Clause
#include <ctype.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include <pollux/log.h>

#include "port.h"

// A queue on top of a kernel interface has to hold what comes while its worker naps or waits for a core: 4 ms at 500,000 packets a
// second. That of a NIC stays small enough for the caches.
enum { DESCRIPTORS_MAX = 1024, KERNEL_DESCRIPTORS_MAX = 2048 };

// "0000:01:00.0" or "01:00.0"; a vdev's name starts with a driver, which has no colon before its arguments.
bool port_is_pci(const char *device)
{
	unsigned domain, bus, slot, function;
	char end;
	return sscanf(device, "%4x:%2x:%2x.%1x%c", &domain, &bus, &slot, &function, &end) == 4 ||
	       sscanf(device, "%2x:%2x.%1x%c", &bus, &slot, &function, &end) == 3;
}

static enum status refuse(const struct port *port, const char *what, int error)
{
	log_error("ports[%u].device \"%s\": %s: %s", port->index, port->config->device, what,
		rte_strerror(error < 0 ? -error : error));
	return ST_SYSTEM;
}

// DPDK knows a vdev by what stands before the first comma, a PCI device by its full address.
static void device_name(char *name, size_t room, const char *device)
{
	size_t length = strcspn(device, ",");
	bool short_address = port_is_pci(device) && strlen(device) < strlen("0000:00:00.0");
	snprintf(name, room, "%s%.*s", short_address ? "0000:" : "", (int)length, device);
}

static enum status find_device(struct port *port)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	device_name(name, sizeof(name), port->config->device);
	if (rte_eth_dev_get_port_by_name(name, &port->id) == 0)
		return ST_OK;
	if (port_is_pci(port->config->device)) {
		log_error("ports[%u].device \"%s\": no such device, or it is not bound to a driver that DPDK "
			  "can "
			  "use (vfio-pci)",
			port->index, port->config->device);
		return ST_NOT_FOUND;
	}
	if (rte_dev_probe(port->config->device) == 0 && rte_eth_dev_get_port_by_name(name, &port->id) == 0)
		return ST_OK;
	// What DPDK returns here says nothing; what it has logged does.
	log_error(
		"ports[%u].device \"%s\": cannot be made: no such driver, argument or interface (see above)",
		port->index, port->config->device);
	return ST_NOT_FOUND;
}

static void choose_offloads(struct port *port, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	const uint64_t wanted_rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	const uint64_t wanted_tx =
		RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
		RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE; // one pool, one reference: so it is here
	conf->rxmode.offloads = info->rx_offload_capa & wanted_rx;
	conf->txmode.offloads = info->tx_offload_capa & wanted_tx;
	if (conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)
		port->offload |= OFFLOAD_IP4_CHECKSUM;
	if (conf->txmode.offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
		port->offload |= OFFLOAD_UDP_CHECKSUM;
}

static enum status configure(struct port *port, const struct rte_eth_dev_info *info)
{
	struct rte_eth_conf conf = { .rxmode = { .mtu = port->mtu } };
	choose_offloads(port, info, &conf);
	uint64_t spread = info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP);
	if (port->queues > 1 && spread) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = spread;
	}
	if ((info->min_mtu && port->mtu < info->min_mtu) || (info->max_mtu && port->mtu > info->max_mtu)) {
		log_error("ports[%u].mtu %u: \"%s\" can do %u to %u", port->index, port->mtu,
			port->config->device, info->min_mtu, info->max_mtu);
		return ST_INVALID;
	}
	int error = rte_eth_dev_configure(port->id, port->queues, port->queues, &conf);
	return error ? refuse(port, "cannot configure", error) : ST_OK;
}

// No queue may hold so many buffers that the others starve.
static enum status share_buffers(const struct port *port, const struct config *config, uint16_t *descriptors)
{
	unsigned share = config->mbufs / (2 * config->port_count * port->queues);
	unsigned most = port->interface ? KERNEL_DESCRIPTORS_MAX : DESCRIPTORS_MAX;
	*descriptors = (uint16_t)RTE_MIN(share / 2 & ~31u, most);
	if (*descriptors >= BURST_MAX)
		return ST_OK;
	log_error("dataplane.mbufs %u: too few for %u ports with %u queues", config->mbufs,
		config->port_count, port->queues);
	return ST_INVALID;
}

static enum status set_up_queues(struct port *port, const struct config *config,
	struct rte_eth_dev_info *info, struct rte_mempool *pool)
{
	uint16_t rx;
	enum status status = share_buffers(port, config, &rx);
	if (status != ST_OK)
		return status;
	uint16_t tx = rx;
	int error = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx, &tx);
	int node = rte_eth_dev_socket_id(port->id);
	// The defaults' offloads are those of the port.
	info->default_rxconf.offloads = 0;
	info->default_txconf.offloads = 0;
	for (uint16_t q = 0; !error && q < port->queues; q++) {
		error = rte_eth_rx_queue_setup(port->id, q, rx, (unsigned)node, &info->default_rxconf, pool);
		if (!error)
			error = rte_eth_tx_queue_setup(
				port->id, q, tx, (unsigned)node, &info->default_txconf);
	}
	return error ? refuse(port, "cannot set up its queues", error) : ST_OK;
}

static enum status learn_station(struct port *port, const struct config *config)
{
	struct rte_ether_addr mac;
	int error = rte_eth_macaddr_get(port->id, &mac);
	if (error)
		return refuse(port, "has no MAC address", error);
	station_init(&port->station, mac.addr_bytes, (uint16_t)config->service_port);
	for (unsigned i = 0; i < port->config->address_count; i++)
		if (!station_add(&port->station, port->config->addresses[i].family,
			    port->config->addresses[i].bytes))
			return ST_FULL;
	return ST_OK;
}

static enum status start_device(struct port *port)
{
	uint16_t mtu;
	if (rte_eth_dev_get_mtu(port->id, &mtu) == 0 && mtu != port->mtu) {
		int error = rte_eth_dev_set_mtu(port->id, port->mtu);
		if (error && error != -ENOTSUP)
			return refuse(port, "does not take the MTU", error);
	}
	int error = rte_eth_dev_start(port->id);
	if (error)
		return refuse(port, "cannot start", error);
	port->started = true;
	// Neighbour solicitations come to groups.
	error = rte_eth_allmulticast_enable(port->id);
	if (error && error != -ENOTSUP)
		log_warning(
			"ports[%u]: cannot receive multicast frames: %s", port->index, rte_strerror(-error));
	return ST_OK;
}

enum status port_start(struct port *port, const struct config *config, unsigned index, unsigned workers,
	struct rte_mempool *pool)
{
	*port = (struct port){ .index = (uint16_t)index, .config = &config->ports[index] };
	port->mtu = (uint16_t)port->config->mtu;
	enum status status = find_device(port);
	if (status != ST_OK)
		return status;
	struct rte_eth_dev_info info;
	int error = rte_eth_dev_info_get(port->id, &info);
	if (error)
		return refuse(port, "says nothing about itself", error);
	port->interface = info.if_index;
	port->forgets_tpid = strcmp(info.driver_name, "net_af_packet") == 0;
	uint16_t most = RTE_MIN(info.max_rx_queues, info.max_tx_queues);
	port->queues = (uint16_t)RTE_MAX(RTE_MIN(workers, most), 1u);
	status = configure(port, &info);
	if (status == ST_OK)
		status = set_up_queues(port, config, &info, pool);
	if (status == ST_OK)
		status = learn_station(port, config);
	if (status == ST_OK)
		status = start_device(port);
	if (status != ST_OK)
		return status;
	char mac[RTE_ETHER_ADDR_FMT_SIZE];
	rte_ether_format_addr(mac, sizeof(mac), (const struct rte_ether_addr *)port->station.mac);
	log_info("ports[%u] %s: MAC %s, %u queue pair%s, MTU %u, checksums by %s", index,
		port->config->device, mac, port->queues, port->queues == 1 ? "" : "s", port->mtu,
		port->offload ? "the port" : "software");
	return ST_OK;
}

void port_stop(struct port *port)
{
	if (!port->started)
		return;
	rte_eth_dev_stop(port->id);
	rte_eth_dev_close(port->id);
	port->started = false;
}

// Drivers on top of a kernel interface say "up" for ever; the kernel knows better.
static bool kernel_link_is_up(const struct port *port, bool otherwise)
{
	char name[IF_NAMESIZE];
	struct ifaddrs *all;
	if (!if_indextoname(port->interface, name))
		return false; // the interface has gone
	if (getifaddrs(&all) != 0)
		return otherwise;
	bool up = false;
	for (const struct ifaddrs *one = all; one; one = one->ifa_next)
		up |= strcmp(one->ifa_name, name) == 0 && one->ifa_flags & IFF_RUNNING;
	freeifaddrs(all);
	return up;
}

static void report_link(const struct port *port, struct port_stats *stats)
{
	struct rte_eth_link link;
	if (rte_eth_link_get_nowait(port->id, &link) != 0)
		return;
	bool up = link.link_status == RTE_ETH_LINK_UP;
	bool says_speed = up && !port->interface && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN;
	if (up && port->interface)
		up = kernel_link_is_up(port, up);
	if (up != stats->link_up)
		log_line(up ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "ports[%u] %s: link is %s", port->index,
			port->config->device, up ? "up" : "down");
	stats->link_up = up;
	stats->speed_mbps = says_speed ? link.link_speed : 0;
}

void port_report(const struct port *port, struct port_stats *stats)
{
	report_link(port, stats);
	struct rte_eth_stats numbers;
	if (rte_eth_stats_get(port->id, &numbers) == 0) {
		stats->missed = numbers.imissed;
		stats->errors = numbers.ierrors + numbers.oerrors;
		stats->no_mbuf = numbers.rx_nombuf;
	}
}
