// SPDX-License-Identifier: BSD-3-Clause
#include <net/ethernet.h>
#include <netinet/in.h>

#include <pollux/bytes.h>

#include "partial.h"

#define ETHERTYPE_QINQ 0x88a8 // IEEE 802.1ad

static uint32_t sum_of(const uint8_t *bytes, unsigned even_count)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < even_count; i += 2)
		sum += load_be16(bytes + i);
	return sum;
}

static uint16_t folded(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

// What matters of the IP header: transport, where it starts, and the pseudo header's sum.
struct seen {
	unsigned protocol, transport_at;
	uint32_t sum;
};

static bool see_ip4(struct seen *seen, const uint8_t *frame, size_t bytes, unsigned at)
{
	const uint8_t *ip = frame + at;
	if (bytes < at + 20u || (ip[0] >> 4) != 4)
		return false;
	unsigned header = (ip[0] & 15) * 4u, total = load_be16(ip + 2);
	if (header < 20 || total < header || total > bytes - at || (load_be16(ip + 6) & 0x3fff))
		return false;
	*seen = (struct seen){ .protocol = ip[9],
		.transport_at = at + header,
		.sum = sum_of(ip + 12, 8) + ip[9] + (total - header) }; // RFC 9293 3.1
	return true;
}

// Without extension headers: nobody sends those with TCP or UDP that the kernel would leave unsummed.
static bool see_ip6(struct seen *seen, const uint8_t *frame, size_t bytes, unsigned at)
{
	const uint8_t *ip = frame + at;
	if (bytes < at + 40u || (ip[0] >> 4) != 6)
		return false;
	unsigned payload = load_be16(ip + 4);
	if (payload > bytes - at - 40)
		return false;
	*seen = (struct seen){
		.protocol = ip[6], .transport_at = at + 40, .sum = sum_of(ip + 8, 32) + ip[6] + payload
	}; // RFC 8200 8.1
	return true;
}

static unsigned network_at(const uint8_t *frame, size_t bytes, unsigned *ethertype)
{
	unsigned at = sizeof(struct ether_header);
	if (bytes < at + 4)
		return 0;
	*ethertype = load_be16(frame + 12);
	while ((*ethertype == ETHERTYPE_VLAN || *ethertype == ETHERTYPE_QINQ) && bytes >= at + 4u) {
		*ethertype = load_be16(frame + at + 2);
		at += 4;
	}
	return at;
}

bool partial_find(struct partial *partial, const uint8_t *frame, size_t bytes)
{
	unsigned ethertype = 0, at = network_at(frame, bytes, &ethertype);
	struct seen seen;

	if (!at || (ethertype != ETHERTYPE_IP && ethertype != ETHERTYPE_IPV6))
		return false;
	if (!(ethertype == ETHERTYPE_IP ? see_ip4 : see_ip6)(&seen, frame, bytes, at))
		return false;
	if (seen.protocol != IPPROTO_TCP && seen.protocol != IPPROTO_UDP)
		return false;
	partial->start_at = seen.transport_at;
	partial->field_at = seen.protocol == IPPROTO_TCP ? 16 : 6;
	size_t field = partial->start_at + partial->field_at;
	return field + 2 <= bytes && load_be16(frame + field) == folded(seen.sum);
}
