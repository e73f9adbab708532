// SPDX-License-Identifier: BSD-3-Clause
#include <netinet/in.h>
#include <string.h>

#include <pollux/bytes.h>

#include "checksum.h"
#include "neighbour.h"

enum {
	ECHO_BYTES = 8,	      // RFC 792, RFC 4443 4.1: type, code, checksum, identifier, sequence number
	NEIGHBOUR_BYTES = 24, // RFC 4861 4.3, 4.4: up to the target address
	LINK_OPTION_BYTES = 8,
	OPTION_SOURCE_LINK = 1,
	OPTION_TARGET_LINK = 2,
	ADVERTISE_SOLICITED = 0x40,
	ADVERTISE_OVERRIDE = 0x20,
	IP6_BYTES = 40,
	NEIGHBOUR_HOP_LIMIT = 255, // RFC 4861 7.1: came from this link, for no router has passed it on
	REPLY_TTL = 64,
};

// What is done with each type. Zero: nobody here wants it. Redirects and router discovery are among
// those: an appliance takes its routes from its configuration only.
enum icmp_fate { UNWANTED, ECHO_REQUEST, FOR_THE_KERNEL, SOLICITATION, ADVERTISEMENT };
static const uint8_t icmp4_fate[256] = {
	[0] = FOR_THE_KERNEL, // echo reply
	[3] = FOR_THE_KERNEL, // destination unreachable, with the path MTU
	[8] = ECHO_REQUEST,
	[11] = FOR_THE_KERNEL, // time exceeded
	[12] = FOR_THE_KERNEL, // parameter problem
};
static const uint8_t icmp6_fate[256] = {
	[1] = FOR_THE_KERNEL, // destination unreachable
	[2] = FOR_THE_KERNEL, // packet too big
	[3] = FOR_THE_KERNEL, // time exceeded
	[4] = FOR_THE_KERNEL, // parameter problem
	[128] = ECHO_REQUEST,
	[129] = FOR_THE_KERNEL, // echo reply
	[135] = SOLICITATION,
	[136] = ADVERTISEMENT,
};
enum { TYPE4_ECHO_REPLY = 0, TYPE6_ECHO_REPLY = 129, TYPE6_ADVERTISEMENT = 136 };

static void store_sum(uint8_t *icmp, uint64_t sum)
{
	uint16_t folded = (uint16_t)~checksum_fold(sum);
	memcpy(icmp + 2, &folded, sizeof(folded));
}

static void swap_macs(uint8_t *ether)
{
	uint8_t kept[6];
	memcpy(kept, ether, 6);
	memcpy(ether, ether + 6, 6);
	memcpy(ether + 6, kept, 6);
}

enum counter icmp4_answer(struct frame *frame)
{
	uint8_t *ip = frame->bytes + frame->network_at;
	uint8_t *icmp = frame->bytes + frame->transport_at;
	unsigned bytes = frame->length - frame->transport_at;
	if (bytes < ECHO_BYTES || checksum_fold(checksum_add(0, icmp, bytes)) != 0xffff)
		return COUNTER_drop_icmp;
	if (icmp4_fate[icmp[0]] == FOR_THE_KERNEL)
		return COUNTER_punt;
	if (icmp4_fate[icmp[0]] != ECHO_REQUEST || icmp[1] != 0)
		return COUNTER_drop_icmp;
	swap_macs(frame->bytes);
	uint8_t source[4];
	memcpy(source, ip + 12, 4);
	memcpy(ip + 12, ip + 16, 4);
	memcpy(ip + 16, source, 4);
	// Options are not sent back; what is left of them is "end of option list" (RFC 791 3.1).
	unsigned header = frame->transport_at - frame->network_at;
	memset(ip + 20, 0, header - 20u);
	store_be16(ip + 6, 0x4000);
	ip[8] = REPLY_TTL;
	store_be16(ip + 10, 0);
	uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, ip, header));
	memcpy(ip + 10, &sum, sizeof(sum));
	icmp[0] = TYPE4_ECHO_REPLY;
	store_be16(icmp + 2, 0);
	store_sum(icmp, checksum_add(0, icmp, bytes));
	return COUNTER_answer_echo;
}

static uint64_t sum_icmp6(const struct frame *frame)
{
	unsigned bytes = frame->length - frame->transport_at;
	uint64_t sum =
		checksum_pseudo(frame->bytes + frame->network_at + 8, 32, IPPROTO_ICMPV6, (uint16_t)bytes);
	return checksum_add(sum, frame->bytes + frame->transport_at, bytes);
}

static enum counter answer_echo6(struct frame *frame)
{
	uint8_t *ip = frame->bytes + frame->network_at;
	uint8_t *icmp = frame->bytes + frame->transport_at;
	if (frame->transport_at != frame->network_at + IP6_BYTES)
		return COUNTER_drop_icmp; // nobody pings with options but to see what they do to us
	swap_macs(frame->bytes);
	uint8_t source[16];
	memcpy(source, ip + 8, 16);
	memcpy(ip + 8, ip + 24, 16);
	memcpy(ip + 24, source, 16);
	store_be32(ip, UINT32_C(6) << 28);
	ip[7] = REPLY_TTL;
	icmp[0] = TYPE6_ECHO_REPLY;
	store_be16(icmp + 2, 0);
	store_sum(icmp, sum_icmp6(frame));
	return COUNTER_answer_echo;
}

// RFC 4861 7.1.1: every option has a length; without a source address none names a source link address.
static bool options_are_sound(const uint8_t *at, const uint8_t *end, bool source_is_unspecified)
{
	while (at < end) {
		if (end - at < 2 || at[1] == 0 || at[1] * 8 > end - at)
			return false;
		if (at[0] == OPTION_SOURCE_LINK && source_is_unspecified)
			return false;
		at += at[1] * 8;
	}
	return true;
}

static bool solicitation_is_sound(const struct frame *frame, bool from_nowhere, bool to_group)
{
	const uint8_t *ip = frame->bytes + frame->network_at;
	const uint8_t *icmp = frame->bytes + frame->transport_at;
	const uint8_t *end = frame->bytes + frame->length;
	return ip[7] == NEIGHBOUR_HOP_LIMIT && icmp[1] == 0 && end - icmp >= NEIGHBOUR_BYTES &&
	       icmp[8] != 0xff && (to_group || !from_nowhere) &&
	       options_are_sound(icmp + NEIGHBOUR_BYTES, end, from_nowhere);
}

// RFC 4861 7.2.4. The answer goes to whoever asked, or to all nodes when that one has no address yet
// (duplicate address detection, RFC 4862 5.4.3).
static enum counter answer_solicitation(const struct station *station, struct frame *frame, bool to_group)
{
	static const uint8_t none[16];
	static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };
	static const uint8_t all_nodes_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
	uint8_t *ip = frame->bytes + frame->network_at;
	bool from_nowhere = memcmp(ip + 8, none, sizeof(none)) == 0;
	if (!solicitation_is_sound(frame, from_nowhere, to_group))
		return COUNTER_drop_icmp;
	uint8_t target[16];
	memcpy(target, frame->bytes + frame->transport_at + 8, sizeof(target));
	if (!station_has_ip6(station, target))
		return COUNTER_drop_ip_not_ours;
	unsigned bytes = NEIGHBOUR_BYTES + LINK_OPTION_BYTES;
	uint8_t *icmp = ip + IP6_BYTES;
	if (frame->network_at + IP6_BYTES + bytes > frame->room)
		return COUNTER_drop_icmp;
	memcpy(frame->bytes, from_nowhere ? all_nodes_mac : frame->bytes + 6, 6);
	memcpy(frame->bytes + 6, station->mac, 6);
	memcpy(ip + 24, from_nowhere ? all_nodes : ip + 8, 16);
	memcpy(ip + 8, target, 16);
	store_be32(ip, UINT32_C(6) << 28);
	store_be16(ip + 4, (uint16_t)bytes);
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = NEIGHBOUR_HOP_LIMIT;
	memset(icmp, 0, 8);
	icmp[0] = TYPE6_ADVERTISEMENT;
	icmp[4] = from_nowhere ? ADVERTISE_OVERRIDE : ADVERTISE_SOLICITED | ADVERTISE_OVERRIDE;
	memcpy(icmp + 8, target, 16);
	icmp[24] = OPTION_TARGET_LINK;
	icmp[25] = 1;
	memcpy(icmp + 26, station->mac, 6);
	frame->transport_at = (uint16_t)(frame->network_at + IP6_BYTES);
	frame->length = (uint16_t)(frame->transport_at + bytes);
	store_sum(icmp, sum_icmp6(frame));
	return COUNTER_answer_ndp;
}

enum counter icmp6_answer(const struct station *station, struct frame *frame, bool to_group)
{
	static const uint8_t none[16];
	const uint8_t *ip = frame->bytes + frame->network_at;
	const uint8_t *icmp = frame->bytes + frame->transport_at;
	if (frame->length - frame->transport_at < ECHO_BYTES || checksum_fold(sum_icmp6(frame)) != 0xffff)
		return COUNTER_drop_icmp;
	enum icmp_fate fate = icmp6_fate[icmp[0]];
	if (fate == SOLICITATION)
		return answer_solicitation(station, frame, to_group);
	if (memcmp(ip + 8, none, sizeof(none)) == 0)
		return COUNTER_drop_ip_source;
	if (fate == ADVERTISEMENT)
		return ip[7] == NEIGHBOUR_HOP_LIMIT ? COUNTER_punt : COUNTER_drop_icmp;
	if (to_group)
		return COUNTER_drop_icmp;
	if (fate == FOR_THE_KERNEL)
		return COUNTER_punt;
	return fate == ECHO_REQUEST && icmp[1] == 0 ? answer_echo6(frame) : COUNTER_drop_icmp;
}
