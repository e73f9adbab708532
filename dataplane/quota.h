// SPDX-License-Identifier: BSD-3-Clause
// How many questions of each client are with control: one client must not fill the ring. A fixed table that is never
// searched or grown: a client (an IPv4 address, an IPv6 /64) has one slot in each of two rows, by keyed hashes, and counts
// as the lesser of them; so two clients disturb each other only when they meet in both rows. Pure; one thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define QUOTA_SLOTS 2048      // of a row, a power of two
#define QUOTA_WINDOW_MS 4000  // what was not given back is forgotten after one to two of these: control may have died with it

struct quota_slot {
	uint32_t window; // of `now`
	uint16_t now, before; // taken in this window and in the last one
};

struct quota {
	uint64_t key[2];
	struct quota_slot row[2][QUOTA_SLOTS];
};

// The table is zeroed; random keys, so that nobody can choose whom to disturb.
void quota_init(struct quota *);
// False: `most` questions of this client are out already. `address` has 4 or 16 octets.
bool quota_take(struct quota *, const uint8_t *address, unsigned address_bytes, uint32_t most, uint64_t now_ms);
// One of its questions has come back.
void quota_give(struct quota *, const uint8_t *address, unsigned address_bytes, uint64_t now_ms);
