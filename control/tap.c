// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#include <pollux/bytes.h>
#include <pollux/log.h>

#include "netlink.h"
#include "partial.h"
#include "tags.h"
#include "tap.h"

#define FRAMES_PER_ROUND 64  // taken from one TAP before the others get their turn
#define QUEUE_FRAMES 4096    // the kernel may send that much while control is busy elsewhere
#define FRAME_SLACK_BYTES 22 // Ethernet header and two tags: what a ring slot holds besides the MTU
#define TABLE_FIRST 1000     // routing table of port 0
#define RULE_PRIORITY 1000
#define METRIC_STEP 16 // between the routes of two ports

struct tap_port {
	struct tap *tap;
	struct event *readable;
	struct tags *tags;
	unsigned index, ifindex;
	uint8_t mac[6];
	int fd;
};

struct tap {
	struct side_door *door;
	int home, inside; // namespaces: the process's own, and ours
	struct tap_counters counters;
	unsigned port_count;
	struct tap_port port[PORTS_MAX];
};

// --- the way in and out ------------------------------------------------------------------------------

static void take_punted(void *ctx, const struct msg *msg, const uint8_t *frame)
{
	struct tap *tap = ctx;
	if (msg->port >= tap->port_count || msg->bytes < sizeof(struct ether_header)) {
		tap->counters.dropped_in++;
		return;
	}
	const struct tap_port *port = &tap->port[msg->port];
	unsigned tags = tags_learn(port->tags, frame, msg->bytes);
	// A frame that never was on a wire (veth, virtio) has only the pseudo header's sum in its checksum
	// field. Its sender vouches for it, and the kernel wants to be told; any other checksum is the
	// kernel's to verify.
	struct virtio_net_hdr head = { .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	struct partial partial;
	if (partial_find(&partial, frame, msg->bytes)) {
		head.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		head.csum_start = (uint16_t)(partial.start_at - tags);
		head.csum_offset = (uint16_t)partial.field_at;
	}
	struct iovec parts[] = {
		{ .iov_base = &head, .iov_len = sizeof(head) },
		{ .iov_base = (void *)(uintptr_t)frame, .iov_len = TAGS_AT },
		{ .iov_base = (void *)(uintptr_t)(frame + TAGS_AT + tags),
			.iov_len = msg->bytes - TAGS_AT - tags },
	};
	if (writev(port->fd, parts, 3) < 0)
		tap->counters.dropped_in++;
	else
		tap->counters.frames_in++;
}

// IPv6 with a hop-by-hop header is a multicast listener report (RFC 3810 5), and ICMPv6 133 a router
// solicitation (RFC 4861 4.1). No answer to them ever reaches the kernel, so they would only be noise.
static bool is_noise(const uint8_t *frame, size_t bytes)
{
	if (bytes < sizeof(struct ether_header) + 41 || load_be16(frame + 12) != ETHERTYPE_IPV6)
		return false;
	const uint8_t *ip = frame + sizeof(struct ether_header);
	return ip[6] == IPPROTO_HOPOPTS || (ip[6] == IPPROTO_ICMPV6 && ip[40] == 133);
}

static void send_down(struct tap_port *port, const uint8_t *frame, size_t bytes)
{
	struct tap *tap = port->tap;
	if (bytes > FRAME_MAX_BYTES || side_door_frame(tap->door, port->index, frame, (unsigned)bytes))
		tap->counters.dropped_out++; // TCP sends again, and a TAP that is not emptied would fill
	else
		tap->counters.frames_out++;
}

// In front of `frame` there is room for tags.
static void give_out(struct tap_port *port, uint8_t *frame, size_t bytes)
{
	struct tag_choice choice[TAG_CHOICES_MAX];

	if (is_noise(frame, bytes)) {
		port->tap->counters.filtered_out++;
		return;
	}
	unsigned choices = tags_for(port->tags, frame, bytes, choice);
	uint8_t macs[TAGS_AT];
	memcpy(macs, frame, sizeof(macs));
	for (unsigned i = 0; i < choices; i++) {
		uint8_t *start = frame - choice[i].bytes;
		memcpy(start, macs, sizeof(macs));
		memcpy(start + TAGS_AT, choice[i].tags, choice[i].bytes);
		send_down(port, start, bytes + choice[i].bytes);
	}
}

static void take_sent(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	enum { HEAD = sizeof(struct virtio_net_hdr) };
	uint8_t room[TAGS_MAX_BYTES + HEAD + FRAME_MAX_BYTES + 1], *head = room + TAGS_MAX_BYTES;
	for (unsigned i = 0; i < FRAMES_PER_ROUND; i++) {
		ssize_t got = read(fd, head, HEAD + FRAME_MAX_BYTES + 1);
		if (got < HEAD + (ssize_t)sizeof(struct ether_header))
			return;
		give_out(ctx, head + HEAD, (size_t)got - HEAD);
	}
}

void tap_hand_on(struct tap *tap)
{
	for (unsigned i = 0; i < tap->port_count; i++)
		take_sent(tap->port[i].fd, 0, &tap->port[i]);
	sched_yield();
}

// Works on an interface that is up: a new dataplane may bring another MAC. The same one again would make the
// kernel forget its neighbours.
static void take_mac(struct tap_port *port, const uint8_t *mac)
{
	struct ifreq request = { .ifr_hwaddr.sa_family = ARPHRD_ETHER };
	if (memcmp(port->mac, mac, sizeof(port->mac)) == 0)
		return;
	memcpy(request.ifr_hwaddr.sa_data, mac, sizeof(port->mac));
	if (ioctl(port->fd, SIOCSIFHWADDR, &request))
		log_error("port %u: the TAP does not take the port's MAC: %s", port->index, strerror(errno));
	else
		memcpy(port->mac, mac, sizeof(port->mac));
}

// Without a carrier the routes of a TAP are passed over, and another port's are taken if there are any.
static void take_link(struct tap_port *port, bool up)
{
	int carrier = up;
	if (ioctl(port->fd, TUNSETCARRIER, &carrier)) // Linux before 5.0: always up
		log_debug("port %u: the TAP does not take the port's link: %s", port->index, strerror(errno));
}

static void take_ports(void *ctx, const struct stats *stats)
{
	struct tap *tap = ctx;
	unsigned count = stats->ports < tap->port_count ? stats->ports : tap->port_count;
	bool any_up = false;
	for (unsigned i = 0; i < count; i++)
		any_up |= stats->port[i].link_up;
	for (unsigned i = 0; i < count; i++) {
		take_mac(&tap->port[i], stats->port[i].mac);
		// Where no port is better a frame may as well be tried: links are known a little late.
		take_link(&tap->port[i], stats->port[i].link_up || !any_up);
	}
}

// --- the namespace -----------------------------------------------------------------------------------

static bool enter(int namespace)
{
	return setns(namespace, CLONE_NEWNET) == 0;
}

static void leave(const struct tap *tap)
{
	if (enter(tap->home))
		return;
	log_error("cannot return to the process's own network namespace: %s", strerror(errno));
	abort(); // every later socket would be made on the wrong side
}

static int open_namespace(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

// A setting of the namespace the thread is in. The kernel's default is a working one: a setting that
// cannot be made (a read-only /proc/sys) is worth a warning only.
static void set(const char *path, const char *value)
{
	char full[128];
	snprintf(full, sizeof(full), "/proc/sys/net/%s", path);
	int fd = open(full, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return; // a kernel without IPv6, or an older one
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		log_warning("%s = %s: %s", full, value, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static const struct setting {
	const char *path, *value;
} settings[] = {
	// The dataplane answers ARP and NDP; the kernel only asks, and with the address it sends from.
	{ "ipv4/conf/%s/arp_ignore", "8" },
	{ "ipv4/conf/%s/arp_announce", "2" },
	{ "ipv4/conf/%s/forwarding", "0" },
	{ "ipv4/conf/%s/rp_filter", "0" },
	{ "ipv4/conf/%s/accept_redirects", "0" },
	{ "ipv4/conf/%s/send_redirects", "0" },
	{ "ipv4/conf/%s/accept_source_route", "0" },
	{ "ipv4/conf/%s/ignore_routes_with_linkdown", "1" },
	// A flood of invented neighbours shall not cost memory; the first clients behind a gateway, fifty at once, shall
	// not wait a second because their SYN-ACKs were let fall while it was asked for its address.
	{ "ipv4/neigh/%s/unres_qlen_bytes", "65536" },
	{ "ipv4/neigh/%s/retrans_time_ms", "250" },
	{ "ipv6/conf/%s/disable_ipv6", "0" },
	{ "ipv6/conf/%s/forwarding", "0" },
	{ "ipv6/conf/%s/accept_ra", "0" },
	{ "ipv6/conf/%s/autoconf", "0" },
	{ "ipv6/conf/%s/accept_dad", "0" },
	{ "ipv6/conf/%s/dad_transmits", "0" },
	{ "ipv6/conf/%s/router_solicitations", "0" },
	{ "ipv6/conf/%s/accept_redirects", "0" },
	{ "ipv6/conf/%s/ignore_routes_with_linkdown", "1" },
	{ "ipv6/neigh/%s/unres_qlen_bytes", "65536" },
	{ "ipv6/neigh/%s/retrans_time_ms", "250" },
	{ "ipv6/conf/%s/addr_gen_mode", "1" }, // no link-local address: nobody would answer for it
};

static void set_interface(const char *name)
{
	for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		char path[96];
		const char *mark = strchr(settings[i].path, '%');
		snprintf(path, sizeof(path), "%.*s%s%s", (int)(mark - settings[i].path), settings[i].path,
			name, mark + 2);
		set(path, settings[i].value);
	}
}

static void set_stack(const struct config *config)
{
	static const struct setting stack[] = {
		{ "core/somaxconn", "65535" },
		{ "ipv4/tcp_max_syn_backlog", "65535" },
		{ "ipv4/tcp_syncookies", "1" },
		{ "ipv4/tcp_tw_reuse", "1" },
		{ "ipv4/tcp_synack_retries", "2" }, // to an invented address each one is a frame for nothing
		{ "ipv4/tcp_retries2", "8" },	    // 100 s, RFC 9293 3.8.3
		{ "ipv4/tcp_orphan_retries", "3" },
		{ "ipv4/tcp_fin_timeout", "10" },
		{ "ipv4/tcp_max_tw_buckets", "262144" },
		{ "ipv4/tcp_fastopen", "3" },
		{ "ipv4/tcp_slow_start_after_idle", "0" },
		{ "ipv4/tcp_wmem", "4096 65536 1048576" },  // what a client that never reads can hold
		{ "ipv4/tcp_rmem", "4096 131072 1048576" }, // and one that has to wait for its answers
		{ "ipv4/tcp_mtu_probing", "1" },
		{ "ipv4/ip_local_port_range", "1024 65535" }, // nobody else is here (RFC 5452 9.2)
	};
	char service_port[16];

	for (unsigned i = 0; i < sizeof(stack) / sizeof(stack[0]); i++)
		set(stack[i].path, stack[i].value);
	snprintf(service_port, sizeof(service_port), "%u", config->service_port);
	set("ipv4/ip_local_reserved_ports", service_port);
	set_interface("all");
	set_interface("default");
}

static bool failed(unsigned port, const char *what)
{
	log_error("port %u: %s: %s", port, what, strerror(errno));
	return false;
}

static bool open_device(struct tap_port *port, const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int head_bytes = sizeof(struct virtio_net_hdr);

	port->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (port->fd < 0)
		return failed(port->index, "/dev/net/tun");
	strlcpy(request.ifr_name, name, sizeof(request.ifr_name));
	if (ioctl(port->fd, TUNSETIFF, &request) || ioctl(port->fd, TUNSETVNETHDRSZ, &head_bytes))
		return failed(port->index, "making the TAP");
	// Whole checksums and no segments larger than the MTU: the port sends frames as they are.
	if (ioctl(port->fd, TUNSETOFFLOAD, 0UL))
		return failed(port->index, "TAP offloads");
	port->ifindex = if_nametoindex(name);
	return port->ifindex || failed(port->index, "finding the TAP");
}

// Where a route could not be made twice, once is enough: two addresses of one prefix share it.
static bool add_route(int netlink, const struct netlink_route *route)
{
	return netlink_route_add(netlink, route) == 0 || errno == EEXIST;
}

static struct netlink_address address_of(const struct ip_prefix *p)
{
	return (struct netlink_address){ .family = p->family, .bytes = p->bytes, .length = p->length };
}

static uint8_t whole_length(int family)
{
	return family == AF_INET ? 32 : 128;
}

// The address, the prefix of its link in the port's own table and in the common one, and the rule that
// sends from this address by this port even when another port has the same prefix.
static bool add_address(int netlink, const struct tap_port *port, const struct ip_prefix *prefix)
{
	struct netlink_address address = address_of(prefix), host = address;
	struct netlink_route link = {
		.ifindex = port->ifindex, .to = address, .table = TABLE_FIRST + port->index, .metric = 1
	};
	host.length = whole_length(prefix->family);

	if (netlink_address_add(netlink, port->ifindex, &address))
		return failed(port->index, "service address");
	if (netlink_rule_add(netlink, &host, link.table, RULE_PRIORITY))
		return failed(port->index, "source rule");
	if (address.length == host.length)
		return true;
	if (!add_route(netlink, &link))
		return failed(port->index, "route of the link");
	link.table = NETLINK_TABLE_MAIN;
	link.metric = 1 + port->index * METRIC_STEP;
	link.preferred_source = prefix->bytes;
	return add_route(netlink, &link) || failed(port->index, "route of the link");
}

static bool prefix_holds(const struct ip_prefix *prefix, const struct ip_endpoint *address)
{
	unsigned whole = prefix->length / 8u, bits = prefix->length % 8u;
	return prefix->family == address->family && !memcmp(prefix->bytes, address->bytes, whole) &&
	       !(bits && (prefix->bytes[whole] ^ address->bytes[whole]) & (0xff00u >> bits) & 0xff);
}

static bool is_neighbour(const struct port_config *port, const struct ip_endpoint *address)
{
	for (unsigned i = 0; i < port->address_count; i++)
		if (prefix_holds(&port->addresses[i], address))
			return true;
	return false;
}

// A default route in the port's own table for what is sent from its addresses. Another one in the common
// table, for sockets that have no address yet. Where an earlier port reaches that gateway already the kernel
// has to be told that it is on this link, too; a refusal leaves one way, which is enough.
static bool add_gateway(int netlink, const struct tap_port *port, const struct config *config, unsigned i)
{
	const struct port_config *self = &config->ports[port->index];
	const struct ip_endpoint *gateway = &self->gateways[i];
	struct netlink_route route = { .ifindex = port->ifindex,
		.to.family = gateway->family,
		.gateway = gateway->bytes,
		.gateway_is_on_link = !is_neighbour(self, gateway),
		.table = TABLE_FIRST + port->index,
		.metric = 1 + i };

	if (!add_route(netlink, &route))
		return failed(port->index, "gateway");
	bool shared = false;
	for (unsigned earlier = 0; earlier < port->index; earlier++)
		shared |= is_neighbour(&config->ports[earlier], gateway);
	route.table = NETLINK_TABLE_MAIN;
	route.gateway_is_on_link |= shared;
	route.metric = 1 + port->index * METRIC_STEP + i;
	for (unsigned a = 0; a < self->address_count && !route.preferred_source; a++)
		if (self->addresses[a].family == gateway->family)
			route.preferred_source = self->addresses[a].bytes;
	return add_route(netlink, &route) || shared || failed(port->index, "gateway");
}

static bool make_port(struct tap_port *port, int netlink, const struct config *all)
{
	const struct port_config *config = &all->ports[port->index];
	char name[IFNAMSIZ];
	unsigned mtu = config->mtu;

	snprintf(name, sizeof(name), "port%u", port->index);
	if (mtu > FRAME_MAX_BYTES - FRAME_SLACK_BYTES)
		mtu = FRAME_MAX_BYTES - FRAME_SLACK_BYTES;
	if (!open_device(port, name))
		return false;
	set_interface(name);
	if (netlink_link_set(netlink, port->ifindex, mtu, QUEUE_FRAMES) ||
		netlink_link_up(netlink, port->ifindex))
		return failed(port->index, "starting the TAP");
	for (unsigned i = 0; i < config->address_count; i++)
		if (!add_address(netlink, port, &config->addresses[i]))
			return false;
	for (unsigned i = 0; i < config->gateway_count; i++)
		if (!add_gateway(netlink, port, all, i))
			return false;
	return true;
}

// In the new namespace.
static bool furnish(struct tap *tap, const struct config *config)
{
	int netlink = netlink_open();
	bool good = netlink >= 0 && !netlink_link_up(netlink, if_nametoindex("lo"));
	if (!good)
		log_error("network namespace: %s", strerror(errno));
	set_stack(config);
	for (unsigned i = 0; good && i < config->port_count && i < PORTS_MAX; i++) {
		struct tap_port *port = &tap->port[i];
		*port = (struct tap_port){ .tap = tap, .index = i, .fd = -1, .tags = tags_new() };
		tap->port_count = i + 1;
		good = port->tags && make_port(port, netlink, config);
	}
	if (netlink >= 0)
		close(netlink);
	return good;
}

static bool make_namespace(struct tap *tap, const struct config *config)
{
	tap->home = open_namespace();
	if (tap->home < 0 || unshare(CLONE_NEWNET)) {
		log_error("a network namespace of our own: %s", strerror(errno));
		return false;
	}
	tap->inside = open_namespace();
	bool good = tap->inside >= 0 && furnish(tap, config);
	leave(tap);
	return good;
}

enum status tap_new(
	struct tap **made, struct event_base *base, const struct config *config, struct side_door *door)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	if (!tap)
		return ST_NO_MEMORY;
	tap->door = door;
	tap->home = tap->inside = -1;
	if (!make_namespace(tap, config)) {
		tap_free(tap);
		return ST_SYSTEM;
	}
	for (unsigned i = 0; i < tap->port_count; i++) {
		struct tap_port *port = &tap->port[i];
		port->readable = event_new(base, port->fd, EV_READ | EV_PERSIST, take_sent, port);
		if (!port->readable || event_add(port->readable, NULL)) {
			tap_free(tap);
			return ST_NO_MEMORY;
		}
	}
	side_door_on(door, MSG_PUNT, take_punted, tap);
	side_door_on_attach(door, take_ports, tap);
	*made = tap;
	return ST_OK;
}

void tap_free(struct tap *tap)
{
	if (!tap)
		return;
	side_door_on(tap->door, MSG_PUNT, NULL, NULL);
	side_door_on_attach(tap->door, NULL, NULL);
	for (unsigned i = 0; i < tap->port_count; i++) {
		if (tap->port[i].readable)
			event_free(tap->port[i].readable);
		tags_free(tap->port[i].tags);
		if (tap->port[i].fd >= 0)
			close(tap->port[i].fd);
	}
	if (tap->inside >= 0)
		close(tap->inside);
	if (tap->home >= 0)
		close(tap->home);
	free(tap);
}

int tap_namespace(const struct tap *tap)
{
	return tap->inside;
}

int tap_socket(struct tap *tap, int family, int type)
{
	if (!enter(tap->inside))
		return -1;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = errno;
	leave(tap);
	errno = error;
	return fd;
}

const struct tap_counters *tap_counters(const struct tap *tap)
{
	return &tap->counters;
}
