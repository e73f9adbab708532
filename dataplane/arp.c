// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include <pollux/bytes.h>

#include "neighbour.h"

// RFC 826: hardware and protocol type, their lengths, the operation, then sender and target.
enum { ARP_BYTES = 28, ARP_REQUEST = 1, ARP_REPLY = 2, AT_OPERATION = 6, AT_SENDER = 8, AT_TARGET = 18 };

static enum counter answer_request(const struct station *station, struct frame *frame)
{
	uint8_t *arp = frame->bytes + frame->network_at;
	const uint8_t *sender = arp + AT_SENDER, *target = arp + AT_TARGET;
	if (!station_has_ip4(station, target + 6))
		return COUNTER_drop_arp;
	// Somebody else uses our address (RFC 5227 2.4). An answer to each such frame, from two defenders,
	// would never end; a probe, whose sender is 0.0.0.0, is answered below and so hears that it is taken.
	if (station_has_ip4(station, sender + 6))
		return COUNTER_drop_arp;
	uint8_t ours[10];
	memcpy(ours, station->mac, 6);
	memcpy(ours + 6, target + 6, 4);
	memcpy(frame->bytes, frame->bytes + 6, 6);
	memcpy(frame->bytes + 6, station->mac, 6);
	store_be16(arp + AT_OPERATION, ARP_REPLY);
	memcpy(arp + AT_TARGET, sender, 10);
	memcpy(arp + AT_SENDER, ours, 10);
	frame->length = (uint16_t)(frame->network_at + ARP_BYTES);
	return COUNTER_answer_arp;
}

enum counter arp_answer(const struct station *station, struct frame *frame)
{
	static const uint8_t ethernet_ip4[6] = { 0, 1, 8, 0, 6, 4 };
	if (frame->length < frame->network_at + ARP_BYTES)
		return COUNTER_drop_frame_short;
	const uint8_t *arp = frame->bytes + frame->network_at;
	const uint8_t *sender = arp + AT_SENDER, *target = arp + AT_TARGET;
	if (memcmp(arp, ethernet_ip4, sizeof(ethernet_ip4)) != 0 || sender[0] & 1)
		return COUNTER_drop_arp;
	switch (load_be16(arp + AT_OPERATION)) {
	case ARP_REQUEST:
		return answer_request(station, frame);
	case ARP_REPLY: // to the kernel's own questions, and announcements of neighbours
		if (station_has_ip4(station, target + 6) || memcmp(sender + 6, target + 6, 4) == 0)
			return COUNTER_punt;
		return COUNTER_drop_arp;
	default:
		return COUNTER_drop_arp;
	}
}
