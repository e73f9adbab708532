// SPDX-License-Identifier: BSD-3-Clause
// The few rtnetlink requests that a TAP's namespace needs. Each call sends one request and waits for the
// kernel's acknowledgement. Not thread-safe; 0, or -1 with errno from the kernel.
#pragma once

#include <stdint.h>

// A socket in the namespace the calling thread is in now; it stays there. -1 with errno.
int netlink_open(void);

struct netlink_address {
	int family;
	const uint8_t *bytes;
	uint8_t length; // prefix in bits
};

int netlink_link_up(int netlink, unsigned ifindex);
int netlink_link_set(int netlink, unsigned ifindex, unsigned mtu, unsigned queue_frames);
// Usable at once (no duplicate address detection), and without the kernel's own prefix route.
int netlink_address_add(int netlink, unsigned ifindex, const struct netlink_address *);

#define NETLINK_TABLE_MAIN 254u

struct netlink_route {
	unsigned ifindex;
	unsigned table;
	unsigned metric;		   // the lowest wins
	struct netlink_address to;	   // `length` 0: the default route; host bits are ignored
	const uint8_t *gateway;		   // NULL: on the link
	int gateway_is_on_link;		   // whatever the routes say
	const uint8_t *preferred_source; // NULL: the kernel chooses
};
int netlink_route_add(int netlink, const struct netlink_route *);
// What is sent from this address looks in that table. Rules are tried from the lowest priority number up.
int netlink_rule_add(int netlink, const struct netlink_address *from, unsigned table, unsigned priority);
