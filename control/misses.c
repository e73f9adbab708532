// SPDX-License-Identifier: BSD-3-Clause
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/bytes.h>

#include "misses.h"

#define UDP_HEADER_BYTES 8
#define IP4_HEADER_BYTES 20
#define IP6_HEADER_BYTES 40

struct misses {
	struct side_door *door;
	struct resolver *resolver;
	struct misses_counters counters;
};

// A question under way: enough of its frame to find the way back.
struct miss {
	struct misses *misses;
	struct msg msg;
	uint8_t headers[]; // msg.dns_at octets
};

// The dataplane counts what each client has open.
static void leave_unsaid(struct misses *misses, const struct msg *msg, const uint8_t *headers)
{
	misses->counters.unsaid++;
	if (side_door_settle(misses->door, msg, headers) != ST_OK) {
		// It forgets by itself after a while.
	}
}

static void on_reply(void *ctx, const uint8_t *wire, unsigned bytes)
{
	struct miss *miss = ctx;
	struct misses *misses = miss->misses;
	// A full ring and a dataplane that has gone are normal events; the side door counts them, too.
	if (wire && side_door_reply(misses->door, &miss->msg, miss->headers, wire, bytes) == ST_OK)
		misses->counters.replied++;
	else
		leave_unsaid(misses, &miss->msg, miss->headers);
	free(miss);
}

// As the dataplane reckons for its own answers: what a packet of the port's MTU has room for behind the headers.
static unsigned room_on(const struct side_door *door, unsigned port, unsigned header_bytes)
{
	const struct stats *stats = side_door_stats(door);
	unsigned mtu = stats && port < PORTS_MAX ? stats->port[port].mtu : 0;
	return mtu >= header_bytes + DNS_UDP_PLAIN_BYTES ? mtu - header_bytes : DNS_UDP_PLAIN_BYTES;
}

// Source address and port, RFC 791 3.1, RFC 8200 3, RFC 768. False: no room for the headers.
static bool read_asker(const struct side_door *door, struct asker *asker, const struct msg *msg, const uint8_t *frame)
{
	const uint8_t *ip = frame + msg->network_at, *udp = frame + msg->dns_at - UDP_HEADER_BYTES;
	unsigned room = msg->dns_at - msg->network_at;
	memset(asker, 0, sizeof(*asker));
	asker->transport = OVER_UDP;
	if (room >= IP4_HEADER_BYTES + UDP_HEADER_BYTES && ip[0] >> 4 == 4) {
		struct sockaddr_in *ip4 = (struct sockaddr_in *)&asker->address;
		ip4->sin_family = AF_INET;
		memcpy(&ip4->sin_port, udp, 2);
		memcpy(&ip4->sin_addr, ip + 12, 4);
		asker->room_bytes = room_on(door, msg->port, IP4_HEADER_BYTES + UDP_HEADER_BYTES);
		return true;
	}
	if (room >= IP6_HEADER_BYTES + UDP_HEADER_BYTES && ip[0] >> 4 == 6) {
		struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)&asker->address;
		ip6->sin6_family = AF_INET6;
		memcpy(&ip6->sin6_port, udp, 2);
		memcpy(&ip6->sin6_addr, ip + 8, 16);
		asker->room_bytes = room_on(door, msg->port, IP6_HEADER_BYTES + UDP_HEADER_BYTES);
		return true;
	}
	return false;
}

static void on_miss(void *ctx, const struct msg *msg, const uint8_t *frame)
{
	struct misses *misses = ctx;
	struct asker asker;
	misses->counters.taken++;
	if (!read_asker(misses->door, &asker, msg, frame)) {
		misses->counters.malformed++;
		return;
	}
	struct miss *miss = malloc(sizeof(*miss) + msg->dns_at);
	if (!miss) {
		leave_unsaid(misses, msg, frame);
		return;
	}
	miss->misses = misses;
	miss->msg = *msg;
	memcpy(miss->headers, frame, msg->dns_at);
	// Behind a short datagram the frame may be padded (IEEE 802.3 4.2.3.3): the UDP length knows better.
	unsigned bytes = msg->bytes - msg->dns_at,
		 udp_bytes = load_be16(frame + msg->dns_at - UDP_HEADER_BYTES + 4);
	if (udp_bytes >= UDP_HEADER_BYTES && udp_bytes - UDP_HEADER_BYTES < bytes)
		bytes = udp_bytes - UDP_HEADER_BYTES;
	resolver_ask(misses->resolver, &asker, frame + msg->dns_at, bytes, on_reply, miss);
}

struct misses *misses_new(struct side_door *door, struct resolver *resolver)
{
	struct misses *misses = calloc(1, sizeof(*misses));
	if (!misses)
		return NULL;
	misses->door = door;
	misses->resolver = resolver;
	side_door_on(door, MSG_MISS, on_miss, misses);
	return misses;
}

void misses_free(struct misses *misses)
{
	if (!misses)
		return;
	side_door_on(misses->door, MSG_MISS, NULL, NULL);
	free(misses);
}

const struct misses_counters *misses_counters(const struct misses *misses)
{
	return &misses->counters;
}
