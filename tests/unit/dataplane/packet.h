// SPDX-License-Identifier: BSD-3-Clause
// Frames for tests, built octet by octet, and a checksum that is as plain as RFC 1071 is: nothing here is
// shared with what is being tested.
#pragma once

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "frame.h"

struct packet {
	uint8_t octet[2048];
	unsigned length;
	unsigned ip_at, l4_at;
};

static const uint8_t our_mac[6] = { 0x02, 0, 0, 0, 0, 0x53 };
static const uint8_t peer_mac[6] = { 0x02, 0, 0, 0, 0, 0xaa };
static const char our4[] = "198.18.0.53", peer4[] = "198.18.0.1";
static const char our6[] = "2001:db8:53::53", peer6[] = "2001:db8:53::1";

static inline unsigned plain_sum(const uint8_t *bytes, unsigned count, unsigned sum)
{
	for (unsigned i = 0; i < count; i++) {
		sum += i % 2 ? bytes[i] : (unsigned)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static inline void put(struct packet *packet, const void *bytes, unsigned count)
{
	assert_true(packet->length + count <= sizeof(packet->octet));
	if (count)
		memcpy(packet->octet + packet->length, bytes, count);
	packet->length += count;
}

static inline void put16(struct packet *packet, unsigned number)
{
	const uint8_t bytes[2] = { (uint8_t)(number >> 8), (uint8_t)number };
	put(packet, bytes, 2);
}

static inline unsigned get16(const struct packet *packet, unsigned at)
{
	return (unsigned)packet->octet[at] << 8 | packet->octet[at + 1];
}

static inline void set16(struct packet *packet, unsigned at, unsigned number)
{
	packet->octet[at] = (uint8_t)(number >> 8);
	packet->octet[at + 1] = (uint8_t)number;
}

static inline void put_address(struct packet *packet, int family, const char *text)
{
	uint8_t address[16];
	assert_int_equal(inet_pton(family, text, address), 1);
	put(packet, address, family == AF_INET ? 4 : 16);
}

// Ethernet with the tags of a list of TPID, TCI pairs that ends with 0.
static inline void put_ether(
	struct packet *packet, const uint8_t *to, const uint8_t *from, const uint16_t *tags, unsigned type)
{
	packet->length = 0;
	put(packet, to, 6);
	put(packet, from, 6);
	for (; tags && *tags; tags += 2) {
		put16(packet, tags[0]);
		put16(packet, tags[1]);
	}
	put16(packet, type);
	packet->ip_at = packet->length;
}

static inline void put_ip4(struct packet *packet, const char *from, const char *to, unsigned protocol,
	const void *options, unsigned option_bytes)
{
	const uint8_t middle[] = { 0x12, 0x34, 0, 0, 17, (uint8_t)protocol, 0, 0 };
	packet->octet[packet->length++] = (uint8_t)(0x45 + option_bytes / 4);
	packet->octet[packet->length++] = 0;
	put16(packet, 0);
	put(packet, middle, sizeof(middle));
	put_address(packet, AF_INET, from);
	put_address(packet, AF_INET, to);
	put(packet, options, option_bytes);
	packet->l4_at = packet->length;
}

static inline void put_ip6(
	struct packet *packet, const char *from, const char *to, unsigned next, unsigned hops)
{
	const uint8_t head[] = { 0x60, 1, 2, 3, 0, 0, (uint8_t)next, (uint8_t)hops };
	put(packet, head, sizeof(head));
	put_address(packet, AF_INET6, from);
	put_address(packet, AF_INET6, to);
	packet->l4_at = packet->length;
}

static inline void sum_ip4(struct packet *packet)
{
	unsigned header = (packet->octet[packet->ip_at] & 15u) * 4;
	set16(packet, packet->ip_at + 10, 0);
	set16(packet, packet->ip_at + 10, ~plain_sum(packet->octet + packet->ip_at, header, 0) & 0xffff);
}

// Length and checksum of the IP header, once everything is in.
static inline void finish_ip(struct packet *packet)
{
	if (packet->octet[packet->ip_at] >> 4 == 6) {
		set16(packet, packet->ip_at + 4, packet->length - packet->ip_at - 40);
		return;
	}
	set16(packet, packet->ip_at + 2, packet->length - packet->ip_at);
	sum_ip4(packet);
}

// The sum over pseudo header, header and payload as a receiver makes it: 0xffff when it is right.
static inline unsigned l4_sum(const struct packet *packet, unsigned protocol, unsigned bytes)
{
	const uint8_t *ip = packet->octet + packet->ip_at;
	unsigned sum = ip[0] >> 4 == 4 ? plain_sum(ip + 12, 8, 0) : plain_sum(ip + 8, 32, 0);
	const uint8_t rest[4] = { 0, (uint8_t)protocol, (uint8_t)(bytes >> 8), (uint8_t)bytes };
	sum = plain_sum(rest, 4, sum);
	return plain_sum(packet->octet + packet->l4_at, bytes, sum);
}

static inline void put_udp(
	struct packet *packet, unsigned from, unsigned to, const void *data, unsigned bytes)
{
	put16(packet, from);
	put16(packet, to);
	put16(packet, 8 + bytes);
	put16(packet, 0);
	put(packet, data, bytes);
	unsigned sum = ~l4_sum(packet, 17, 8 + bytes) & 0xffff;
	set16(packet, packet->l4_at + 6, sum ? sum : 0xffff);
	finish_ip(packet);
}

static const char question[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07"
			       "example\x00\x00\x01\x00\x01";
enum { QUESTION_BYTES = sizeof(question) - 1 };

static inline void make_query4(struct packet *packet, const uint16_t *tags)
{
	put_ether(packet, our_mac, peer_mac, tags, 0x0800);
	put_ip4(packet, peer4, our4, 17, NULL, 0);
	put_udp(packet, 4321, 53, question, QUESTION_BYTES);
}

static inline void make_query6(struct packet *packet, const uint16_t *tags)
{
	put_ether(packet, our_mac, peer_mac, tags, 0x86dd);
	put_ip6(packet, peer6, our6, 17, 64);
	put_udp(packet, 4321, 53, question, QUESTION_BYTES);
}

static inline struct station test_station(void)
{
	struct station station;
	uint8_t address[16];
	station_init(&station, our_mac, 53);
	inet_pton(AF_INET, our4, address);
	assert_true(station_add(&station, AF_INET, address));
	inet_pton(AF_INET6, our6, address);
	assert_true(station_add(&station, AF_INET6, address));
	return station;
}

static inline struct frame frame_of(struct packet *packet)
{
	return (struct frame){
		.bytes = packet->octet, .room = sizeof(packet->octet), .length = (uint16_t)packet->length
	};
}

// A frame that was changed in place, as a packet of its own.
static inline struct packet packet_of(const struct frame *frame)
{
	struct packet packet = {
		.length = frame->length, .ip_at = frame->network_at, .l4_at = frame->transport_at
	};
	memcpy(packet.octet, frame->bytes, frame->length);
	return packet;
}

static inline enum counter verdict_of(struct packet *packet)
{
	struct station station = test_station();
	struct frame frame = frame_of(packet);
	return frame_check(&station, &frame, 0);
}

static inline void assert_address(const struct packet *packet, unsigned at, int family, const char *text)
{
	uint8_t address[16];
	assert_int_equal(inet_pton(family, text, address), 1);
	assert_memory_equal(packet->octet + at, address, family == AF_INET ? 4 : 16);
}
