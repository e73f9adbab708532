// SPDX-License-Identifier: BSD-3-Clause
// The C view of msg.def. Messages travel by value in a ring slot: nothing to allocate, nothing to leak,
// and a dead peer takes nothing with it. The peer is not trusted: copy the head, check it, then use it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <pollux/bounds.h>

enum msg_sender { FROM_DATAPLANE, FROM_CONTROL };

enum msg_type {
#define MSG(name, sender, help) MSG_##name,
#include <pollux/msg.def>
#undef MSG
	MSG_COUNT
};

struct msg_info {
	const char *name, *help;
	enum msg_sender sender;
};
extern const struct msg_info msg_info[MSG_COUNT];

struct msg {
	uint64_t time_ms;    // CLOCK_MONOTONIC when the frame came in, to 10 ms; a REPLY repeats that of its MISS
	uint32_t generation; // of the dataplane whose ports the frame belongs to
	uint16_t type;	     // enum msg_type
	uint16_t bytes;	     // of the frame, at most FRAME_MAX_BYTES
	uint16_t port;	     // index in the configuration's ports
	uint16_t worker;
	uint16_t network_at; // offset of the IP header in the frame (MISS, LOG, REPLY, SETTLED)
	uint16_t dns_at;     // offset of the DNS message, right behind the UDP header (MISS, LOG, REPLY, SETTLED)
	uint32_t miss_reason; // MISS: enum msg_miss_reason
	uint32_t took_us;     // LOG: from the receipt of the question's burst
	uint16_t rcode;	      // LOG: with the upper bits of the OPT
	uint16_t source;      // LOG: 1 + the enum chain_step that had the answer; 0: nobody
	uint8_t unused[28];
};
_Static_assert(sizeof(struct msg) == CACHE_LINE_BYTES, "a message head is one cache line");

#define USED_POSITIONS_MAX 8 // in one USED message

enum msg_miss_reason { MISS_NOT_HERE, MISS_CONTINUE };

// Known type, sent by that side, lengths inside the slot and in order: network_at < dns_at <= bytes for
// MISS, LOG, REPLY and SETTLED, whole positions in USED. `generation` and age are the receiver's to judge, for it also counts
// them.
bool msg_is_sound(const struct msg *, enum msg_sender);
