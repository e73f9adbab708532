// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "netlink.h"

// One request being built: the netlink header, the family's own header, attributes.
union request {
	struct nlmsghdr head;
	uint8_t bytes[256];
};

static void *request_begin(union request *r, uint16_t type, uint16_t flags, size_t header_bytes)
{
	memset(r, 0, sizeof(*r));
	r->head.nlmsg_type = type;
	r->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	r->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(header_bytes);
	return NLMSG_DATA(&r->head);
}

// The callers add at most six small attributes: the body always has room.
static void add_bytes(union request *r, uint16_t type, const void *bytes, size_t count)
{
	struct rtattr *a = (struct rtattr *)(r->bytes + NLMSG_ALIGN(r->head.nlmsg_len));
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(count);
	memcpy(RTA_DATA(a), bytes, count);
	r->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static void add_u32(union request *r, uint16_t type, uint32_t v)
{
	add_bytes(r, type, &v, sizeof(v));
}

static size_t family_bytes(int family)
{
	return family == AF_INET ? 4 : 16;
}

static int request_end(int netlink, union request *r)
{
	static uint32_t sequence;
	r->head.nlmsg_seq = ++sequence;
	if (send(netlink, r->bytes, r->head.nlmsg_len, 0) < 0)
		return -1;
	for (;;) {
		struct {
			struct nlmsghdr head;
			struct nlmsgerr error;
			uint8_t rest[1024];
		} reply;
		ssize_t got = recv(netlink, &reply, sizeof(reply), 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if ((size_t)got < sizeof(reply.head) + sizeof(reply.error) ||
			reply.head.nlmsg_seq != sequence || reply.head.nlmsg_type != NLMSG_ERROR)
			continue;
		errno = -reply.error.error;
		return reply.error.error ? -1 : 0;
	}
}

int netlink_open(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

int netlink_link_up(int netlink, unsigned ifindex)
{
	union request r;
	struct ifinfomsg *link = request_begin(&r, RTM_NEWLINK, 0, sizeof(*link));
	link->ifi_index = (int)ifindex;
	link->ifi_flags = link->ifi_change = IFF_UP;
	return request_end(netlink, &r);
}

int netlink_link_set(int netlink, unsigned ifindex, unsigned mtu, unsigned queue_frames)
{
	union request r;
	struct ifinfomsg *link = request_begin(&r, RTM_NEWLINK, 0, sizeof(*link));
	link->ifi_index = (int)ifindex;
	add_u32(&r, IFLA_MTU, mtu);
	add_u32(&r, IFLA_TXQLEN, queue_frames);
	return request_end(netlink, &r);
}

int netlink_address_add(int netlink, unsigned ifindex, const struct netlink_address *address)
{
	union request r;
	struct ifaddrmsg *to = request_begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*to));
	to->ifa_family = (uint8_t)address->family;
	to->ifa_prefixlen = address->length;
	to->ifa_scope = RT_SCOPE_UNIVERSE;
	to->ifa_index = ifindex;
	add_bytes(&r, IFA_LOCAL, address->bytes, family_bytes(address->family));
	add_bytes(&r, IFA_ADDRESS, address->bytes, family_bytes(address->family));
	add_u32(&r, IFA_FLAGS, IFA_F_PERMANENT | IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
	return request_end(netlink, &r);
}

static void prefix_of(uint8_t *to, const struct netlink_address *address)
{
	size_t whole = address->length / 8u, bits = address->length % 8u;
	memset(to, 0, 16);
	memcpy(to, address->bytes, whole);
	if (bits)
		to[whole] = (uint8_t)(address->bytes[whole] & (0xff00u >> bits));
}

int netlink_route_add(int netlink, const struct netlink_route *route)
{
	union request r;
	struct rtmsg *to = request_begin(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, sizeof(*to));
	size_t bytes = family_bytes(route->to.family);
	uint8_t prefix[16];

	to->rtm_family = (uint8_t)route->to.family;
	to->rtm_dst_len = route->to.length;
	to->rtm_table = route->table < 256 ? (uint8_t)route->table : RT_TABLE_UNSPEC;
	to->rtm_protocol = RTPROT_STATIC;
	to->rtm_scope = route->to.family == AF_INET && !route->gateway ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	to->rtm_type = RTN_UNICAST;
	to->rtm_flags = route->gateway_is_on_link ? RTNH_F_ONLINK : 0;
	if (route->to.length) {
		prefix_of(prefix, &route->to);
		add_bytes(&r, RTA_DST, prefix, bytes);
	}
	add_u32(&r, RTA_OIF, route->ifindex);
	add_u32(&r, RTA_TABLE, route->table);
	add_u32(&r, RTA_PRIORITY, route->metric);
	if (route->gateway)
		add_bytes(&r, RTA_GATEWAY, route->gateway, bytes);
	if (route->preferred_source)
		add_bytes(&r, RTA_PREFSRC, route->preferred_source, bytes);
	return request_end(netlink, &r);
}

int netlink_rule_add(int netlink, const struct netlink_address *from, unsigned table, unsigned priority)
{
	union request r;
	struct fib_rule_hdr *rule = request_begin(&r, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, sizeof(*rule));
	rule->family = (uint8_t)from->family;
	rule->src_len = from->length;
	rule->table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC;
	rule->action = FR_ACT_TO_TBL;
	add_bytes(&r, FRA_SRC, from->bytes, family_bytes(from->family));
	add_u32(&r, FRA_TABLE, table);
	add_u32(&r, FRA_PRIORITY, priority);
	return request_end(netlink, &r);
}
