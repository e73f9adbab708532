// SPDX-License-Identifier: BSD-3-Clause
#include <netinet/in.h>
#include <string.h>

#include <pollux/bytes.h>

#include "checksum.h"
#include "frame.h"
#include "neighbour.h"

enum {
	MAC_BYTES = 6,
	ETHER_BYTES = 14,
	TAG_BYTES = 4,
	TAGS_MAX = 2,
	TYPE_IP4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_TAG = 0x8100,	   // IEEE 802.1Q
	TYPE_SERVICE_TAG = 0x88a8, // IEEE 802.1ad: QinQ
	IP4_BYTES = 20,
	IP4_DONT_FRAGMENT = 0x4000,
	IP4_FRAGMENT = 0x3fff, // MF and the offset
	TYPE_IP6 = 0x86dd,
	IP6_BYTES = 40,
	IP6_EXTENSIONS_MAX = 4,
	UDP_BYTES = 8,
	REPLY_TTL = 64,
};

void link_local_of(uint8_t address[16], const uint8_t mac[6])
{
	const uint8_t made[16] = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, (uint8_t)(mac[0] ^ 2), mac[1], mac[2], 0xff,
		0xfe, mac[3], mac[4], mac[5] };
	memcpy(address, made, sizeof(made));
}

void station_init(struct station *station, const uint8_t mac[6], uint16_t service_port)
{
	*station = (struct station){ .service_port = service_port, .ip6_count = 1 };
	memcpy(station->mac, mac, MAC_BYTES);
	link_local_of(station->ip6[0], mac);
}

bool station_add(struct station *station, int family, const uint8_t *address)
{
	if (family == AF_INET) {
		if (station->ip4_count == PORT_ADDRESSES_MAX)
			return false;
		memcpy(station->ip4[station->ip4_count++], address, 4);
		return true;
	}
	if (station->ip6_count == PORT_ADDRESSES_MAX + 1)
		return false;
	memcpy(station->ip6[station->ip6_count++], address, 16);
	return true;
}

bool station_has_ip4(const struct station *station, const uint8_t *address)
{
	for (unsigned i = 0; i < station->ip4_count; i++)
		if (memcmp(station->ip4[i], address, 4) == 0)
			return true;
	return false;
}

bool station_has_ip6(const struct station *station, const uint8_t *address)
{
	for (unsigned i = 0; i < station->ip6_count; i++)
		if (memcmp(station->ip6[i], address, 16) == 0)
			return true;
	return false;
}

// The group ff02::1:ffXX:XXXX of one of our addresses (RFC 4291 2.7.1).
static bool is_our_solicited_group(const struct station *station, const uint8_t *group)
{
	static const uint8_t prefix[13] = { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff };
	if (memcmp(group, prefix, sizeof(prefix)) != 0)
		return false;
	for (unsigned i = 0; i < station->ip6_count; i++)
		if (memcmp(station->ip6[i] + 13, group + 13, 3) == 0)
			return true;
	return false;
}

static bool is_all_nodes(const uint8_t *group)
{
	static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };
	return memcmp(group, all_nodes, sizeof(all_nodes)) == 0;
}

static bool is_group_mac(const uint8_t *mac)
{
	return mac[0] & 1;
}

// RFC 1122 3.2.1.3: what a source address must never be. RFC 6890 for the rest.
static bool is_bad_source4(const struct station *station, const uint8_t *source)
{
	return source[0] == 0 || source[0] == 127 || source[0] >= 224 || station_has_ip4(station, source);
}

static bool is_unspecified6(const uint8_t *address)
{
	static const uint8_t none[16];
	return memcmp(address, none, sizeof(none)) == 0;
}

// RFC 4291 2.5.2, 2.5.3, 2.7; RFC 4038 4.2 for mapped addresses, which do not belong on a wire.
static bool is_bad_source6(const struct station *station, const uint8_t *source)
{
	static const uint8_t loopback[16] = { [15] = 1 };
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	return source[0] == 0xff || memcmp(source, loopback, sizeof(loopback)) == 0 ||
	       memcmp(source, mapped, sizeof(mapped)) == 0 || station_has_ip6(station, source);
}

static uint64_t pseudo_sum(const struct frame *frame, uint8_t protocol, uint16_t bytes)
{
	const uint8_t *ip = frame->bytes + frame->network_at;
	return frame->ip_version == 4 ? checksum_pseudo(ip + 12, 8, protocol, bytes)
				      : checksum_pseudo(ip + 8, 32, protocol, bytes);
}

static enum counter check_udp(const struct station *station, struct frame *frame, unsigned trust)
{
	unsigned room = frame->length - frame->transport_at;
	if (room < UDP_BYTES)
		return COUNTER_drop_udp_header;
	const uint8_t *udp = frame->bytes + frame->transport_at;
	uint16_t bytes = load_be16(udp + 4);
	if (bytes < UDP_BYTES || bytes > room || load_be16(udp) == 0 || load_be16(udp + 2) == 0)
		return COUNTER_drop_udp_header;
	if (load_be16(udp + 2) != station->service_port)
		return COUNTER_punt;
	bool has_sum = udp[6] || udp[7];
	if (!has_sum && frame->ip_version == 6) // RFC 8200 8.1
		return COUNTER_drop_udp_checksum;
	if (has_sum && !(trust & TRUST_L4_CHECKSUM) &&
		checksum_fold(checksum_add(pseudo_sum(frame, IPPROTO_UDP, bytes), udp, bytes)) != 0xffff)
		return COUNTER_drop_udp_checksum;
	frame->payload_at = (uint16_t)(frame->transport_at + UDP_BYTES);
	frame->length = (uint16_t)(frame->transport_at + bytes);
	return COUNTER_answer_dns;
}

static enum counter check_ip4(const struct station *station, struct frame *frame, unsigned trust)
{
	uint8_t *ip = frame->bytes + frame->network_at;
	unsigned room = frame->length - frame->network_at;
	if (room < IP4_BYTES)
		return COUNTER_drop_frame_short;
	unsigned header = (ip[0] & 15u) * 4;
	unsigned total = load_be16(ip + 2);
	if (ip[0] >> 4 != 4 || header < IP4_BYTES || total < header)
		return COUNTER_drop_ip_header;
	if (total > room)
		return COUNTER_drop_frame_short;
	if (!(trust & TRUST_IP_CHECKSUM) && checksum_fold(checksum_add(0, ip, header)) != 0xffff)
		return COUNTER_drop_ip_checksum;
	frame->ip_version = 4;
	frame->transport_at = (uint16_t)(frame->network_at + header);
	if (!station_has_ip4(station, ip + 16))
		return COUNTER_drop_ip_not_ours;
	if (is_group_mac(frame->bytes)) // RFC 1122 3.3.6: a unicast datagram in a broadcast frame
		return COUNTER_drop_not_our_mac;
	if (is_bad_source4(station, ip + 12))
		return COUNTER_drop_ip_source;
	if (load_be16(ip + 6) & IP4_FRAGMENT)
		return COUNTER_drop_fragment;
	frame->length = (uint16_t)(frame->network_at + total);
	switch (ip[9]) {
	case IPPROTO_UDP:
		return check_udp(station, frame, trust);
	case IPPROTO_TCP:
		return COUNTER_punt;
	case IPPROTO_ICMP:
		return icmp4_answer(frame);
	default:
		return COUNTER_drop_ip_protocol;
	}
}

// Walks over the extension headers that a host may skip (RFC 8200 4). Returns the protocol behind them,
// or -1: malformed; `*at` is where it starts.
static int skip_extensions(const struct frame *frame, unsigned *at)
{
	const uint8_t *bytes = frame->bytes;
	unsigned next = bytes[frame->network_at + 6];
	*at = frame->network_at + IP6_BYTES;
	for (unsigned skipped = 0; next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS; skipped++) {
		// Hop-by-hop options stand first or not at all (RFC 8200 4.1).
		if (skipped == IP6_EXTENSIONS_MAX || (next == IPPROTO_HOPOPTS && skipped))
			return -1;
		if (*at + 8 > frame->length)
			return -1;
		next = bytes[*at];
		*at += 8 + bytes[*at + 1] * 8u;
		if (*at > frame->length)
			return -1;
	}
	return (int)next;
}

// For which group frames may we be called? The solicited-node groups of our addresses and all nodes, in
// an Ethernet frame made for that group (RFC 2464 7).
static bool is_group_for_us(
	const struct station *station, const struct frame *frame, const uint8_t *destination)
{
	const uint8_t *mac = frame->bytes;
	return mac[0] == 0x33 && mac[1] == 0x33 && memcmp(mac + 2, destination + 12, 4) == 0 &&
	       (is_our_solicited_group(station, destination) || is_all_nodes(destination));
}

static enum counter check_ip6(const struct station *station, struct frame *frame, unsigned trust)
{
	uint8_t *ip = frame->bytes + frame->network_at;
	unsigned room = frame->length - frame->network_at;
	if (room < IP6_BYTES)
		return COUNTER_drop_frame_short;
	unsigned total = IP6_BYTES + load_be16(ip + 4);
	if (ip[0] >> 4 != 6)
		return COUNTER_drop_ip_header;
	if (total > room)
		return COUNTER_drop_frame_short;
	frame->ip_version = 6;
	frame->length = (uint16_t)(frame->network_at + total);
	bool to_group = ip[24] == 0xff;
	if (to_group ? !is_group_for_us(station, frame, ip + 24) : !station_has_ip6(station, ip + 24))
		return COUNTER_drop_ip_not_ours;
	if (!to_group && is_group_mac(frame->bytes))
		return COUNTER_drop_not_our_mac;
	if (is_bad_source6(station, ip + 8))
		return COUNTER_drop_ip_source;
	unsigned at;
	int protocol = skip_extensions(frame, &at);
	if (protocol < 0)
		return COUNTER_drop_ip_header;
	frame->transport_at = (uint16_t)at;
	if (protocol == IPPROTO_FRAGMENT)
		return COUNTER_drop_fragment;
	if (protocol == IPPROTO_ICMPV6)
		return icmp6_answer(station, frame, to_group);
	if (is_unspecified6(ip + 8)) // only a neighbour that does not know its address yet, RFC 4862 5.4
		return COUNTER_drop_ip_source;
	if (to_group)
		return COUNTER_drop_ip_not_ours;
	if (protocol == IPPROTO_UDP)
		return check_udp(station, frame, trust);
	return protocol == IPPROTO_TCP ? COUNTER_punt : COUNTER_drop_ip_protocol;
}

static uint16_t skip_tags(struct frame *frame)
{
	unsigned at = 2 * MAC_BYTES;
	uint16_t type = load_be16(frame->bytes + at);
	for (unsigned tags = 0; tags < TAGS_MAX && (type == TYPE_TAG || type == TYPE_SERVICE_TAG); tags++) {
		at += TAG_BYTES;
		if (at + 2 > frame->length)
			return 0;
		type = load_be16(frame->bytes + at);
	}
	frame->network_at = (uint16_t)(at + 2);
	return type;
}

enum counter frame_check(const struct station *station, struct frame *frame, unsigned trust)
{
	frame->network_at = frame->transport_at = frame->payload_at = frame->ip_version = 0;
	if (frame->length < ETHER_BYTES)
		return COUNTER_drop_frame_short;
	const uint8_t *mac = frame->bytes;
	if (!is_group_mac(mac) && !station->any_mac && memcmp(mac, station->mac, MAC_BYTES) != 0)
		return COUNTER_drop_not_our_mac;
	if (is_group_mac(mac + MAC_BYTES)) // nobody to send a reply to
		return COUNTER_drop_ip_source;
	switch (skip_tags(frame)) {
	case TYPE_IP4:
		return check_ip4(station, frame, trust);
	case TYPE_IP6:
		return check_ip6(station, frame, trust);
	case TYPE_ARP:
		return arp_answer(station, frame);
	case 0:
		return COUNTER_drop_frame_short;
	default:
		return COUNTER_drop_ethertype;
	}
}

bool frame_trust_offsets(struct frame *frame, unsigned network_at, unsigned payload_at)
{
	if (network_at < ETHER_BYTES || payload_at > frame->length ||
		payload_at < network_at + IP4_BYTES + UDP_BYTES)
		return false;
	frame->network_at = (uint16_t)network_at;
	frame->payload_at = (uint16_t)payload_at;
	frame->transport_at = (uint16_t)(payload_at - UDP_BYTES);
	frame->ip_version = frame->bytes[network_at] >> 4;
	if (frame->ip_version == 4)
		return true;
	return frame->ip_version == 6 && payload_at >= network_at + IP6_BYTES + UDP_BYTES;
}

// Options and extension headers were for the way here: moves everything in front of them up to the
// UDP header.
static void cut_gap(struct frame *frame, unsigned ip_bytes)
{
	unsigned gap = frame->transport_at - frame->network_at - ip_bytes;
	if (!gap)
		return;
	memmove(frame->bytes + gap, frame->bytes, frame->network_at + ip_bytes);
	frame->bytes += gap;
	frame->room -= gap;
	frame->length = (uint16_t)(frame->length - gap);
	frame->transport_at = (uint16_t)(frame->transport_at - gap);
	frame->payload_at = (uint16_t)(frame->payload_at - gap);
}

static void swap_bytes(uint8_t *a, uint8_t *b, unsigned count)
{
	uint8_t kept[16];
	memcpy(kept, a, count);
	memcpy(a, b, count);
	memcpy(b, kept, count);
}

static void write_ip4(struct frame *frame, unsigned total, unsigned offload)
{
	uint8_t *ip = frame->bytes + frame->network_at;
	swap_bytes(ip + 12, ip + 16, 4);
	ip[0] = 0x45;
	ip[1] = 0;
	store_be16(ip + 2, (uint16_t)total);
	store_be16(ip + 4, 0); // never fragmented, so the identification means nothing: RFC 6864 4.1
	store_be16(ip + 6, IP4_DONT_FRAGMENT);
	ip[8] = REPLY_TTL;
	ip[9] = IPPROTO_UDP;
	store_be16(ip + 10, 0);
	if (!(offload & OFFLOAD_IP4_CHECKSUM)) {
		uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, ip, IP4_BYTES));
		memcpy(ip + 10, &sum, sizeof(sum));
	}
}

static void write_ip6(struct frame *frame, unsigned udp_bytes)
{
	uint8_t *ip = frame->bytes + frame->network_at;
	swap_bytes(ip + 8, ip + 24, 16);
	store_be32(ip, UINT32_C(6) << 28);
	store_be16(ip + 4, (uint16_t)udp_bytes);
	ip[6] = IPPROTO_UDP;
	ip[7] = REPLY_TTL;
}

static void write_udp(struct frame *frame, unsigned udp_bytes, unsigned offload)
{
	uint8_t *udp = frame->bytes + frame->transport_at;
	swap_bytes(udp, udp + 2, 2);
	store_be16(udp + 4, (uint16_t)udp_bytes);
	store_be16(udp + 6, 0);
	uint64_t pseudo = pseudo_sum(frame, IPPROTO_UDP, (uint16_t)udp_bytes);
	uint16_t sum = checksum_fold(pseudo);
	if (!(offload & OFFLOAD_UDP_CHECKSUM)) {
		sum = (uint16_t)~checksum_fold(checksum_add(pseudo, udp, udp_bytes));
		if (sum == 0) // RFC 768: zero on the wire says "no checksum"
			sum = 0xffff;
	}
	memcpy(udp + 6, &sum, sizeof(sum));
}

void frame_turn_round(struct frame *frame, unsigned payload_bytes, unsigned offload)
{
	unsigned ip_bytes = frame->ip_version == 4 ? IP4_BYTES : IP6_BYTES;
	unsigned udp_bytes = UDP_BYTES + payload_bytes;
	cut_gap(frame, ip_bytes);
	swap_bytes(frame->bytes, frame->bytes + MAC_BYTES, MAC_BYTES);
	if (frame->ip_version == 4)
		write_ip4(frame, ip_bytes + udp_bytes, offload);
	else
		write_ip6(frame, udp_bytes);
	write_udp(frame, udp_bytes, offload);
	frame->length = (uint16_t)(frame->transport_at + udp_bytes);
}
