// SPDX-License-Identifier: BSD-3-Clause
// One Ethernet frame as octets: what is it, is it sound, is it for us; and turned round into its own
// reply. Knows nothing of ports and buffers, so that it can be tested on byte arrays. Pure, any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <pollux/bounds.h>
#include <pollux/counters.h>

// Who we are on one port.
struct station {
	uint8_t mac[6];
	bool any_mac; // see station_take_any_mac()
	uint64_t ether_mask, ether_wanted; // of the first 8 octets of a frame between two hosts, one of them us
	uint16_t service_port, service_port_be; // as a number, as it stands in a packet
	unsigned ip4_count, ip6_count;
	uint8_t ip4[PORT_ADDRESSES_MAX][4];
	uint8_t ip6[PORT_ADDRESSES_MAX + 1][16]; // service addresses, and the link-local one of the TAP
};
void station_init(
	struct station *, const uint8_t mac[6], uint16_t service_port); // with its link-local address
// For replay: whatever unicast address a frame was sent to was ours.
void station_take_any_mac(struct station *);
bool station_add(struct station *, int family, const uint8_t *address); // false: no room
bool station_has_ip4(const struct station *, const uint8_t *address);
bool station_has_ip6(const struct station *, const uint8_t *address);

// What the port has already verified.
enum frame_trust {
	TRUST_IP_CHECKSUM = 1 << 0,
	TRUST_L4_CHECKSUM = 1 << 1,
};

// `at` offsets count from `bytes`; they are valid as far as the verdict says the frame was understood.
struct frame {
	uint8_t *bytes;	 // first octet of the Ethernet header
	uint32_t room;	 // octets that may be written from `bytes` on
	uint16_t length; // octets that count; trailing padding is cut off once IP has said how long it is
	uint16_t network_at;
	uint16_t transport_at;
	uint16_t payload_at; // of UDP
	uint8_t ip_version;  // 4 or 6; 0: ARP
	uint64_t payload_sum; // of a question, as checksum.h keeps it, when verifying it has brought it; else 0
};

// What becomes of a frame, said by the counter it goes to:
// COUNTER_answer_dns: UDP to the service port, the message is [payload_at, length).
// COUNTER_answer_arp, _ndp, _echo: the frame has been made into its own reply, ready to send.
// COUNTER_punt: for the kernel's stack, untouched.
// COUNTER_drop_*: not wanted, for that reason.
// Needs bytes, room and length set; fills the rest.
enum counter frame_check(const struct station *, struct frame *, unsigned trust);
// The same without the short way for plain questions: the judge of that way, for tests.
enum counter frame_check_closely(const struct station *, struct frame *, unsigned trust);

// What the port will do to a frame by itself.
enum frame_offload {
	OFFLOAD_IP4_CHECKSUM = 1 << 0,
	OFFLOAD_UDP_CHECKSUM = 1 << 1,
};
// Makes the headers of a question into those of its answer, whose `payload_bytes` stand already at
// payload_at: addresses and ports change places, IP options and extension headers go (so `bytes` may
// move), lengths and checksums are written. What the port does by itself is prepared as it needs it.
// `payload_sum` is that of checksum.h; nobody looks at it with OFFLOAD_UDP_CHECKSUM.
void frame_turn_round(struct frame *, unsigned payload_bytes, uint64_t payload_sum, unsigned offload);

// Finds its way in a frame whose offsets somebody else names: a reply of control. False: they cannot be.
bool frame_trust_offsets(struct frame *, unsigned network_at, unsigned payload_at);

// The link-local address that a kernel gives a device with this MAC (RFC 4291 appendix A).
void link_local_of(uint8_t address[16], const uint8_t mac[6]);
