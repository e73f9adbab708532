// SPDX-License-Identifier: BSD-3-Clause
// Signatures are judged when a zone is loaded; later on time alone makes them worthless. Once an hour this looks at all
// zones, in a thread, and says in the log which ones run out soon, or have.
#pragma once

#include <stdint.h>

#include <event2/event.h>

#include <pollux/catalog.h>

#include "loader.h"
#include "reclaim.h"

#define EXPIRY_SOON_S (3 * 86400) // enough for a weekend
#define EXPIRY_SHOWN 20

// What a look finds: how many zones, and the most urgent of them, the worst first.
struct expiring {
	unsigned count;
	struct expiring_zone {
		uint8_t apex[NAME_MAX_BYTES];
		int64_t left_s; // until the first of its signatures runs out; negative: since then
	} zone[EXPIRY_SHOWN];
};
// Any thread, as long as no image is given up.
void expiry_find(const struct catalog *, uint64_t now_s, struct expiring *);

struct expiry;
// NULL: no memory. The others outlive it, but for the loader: it ends before.
struct expiry *expiry_new(struct event_base *, const struct catalog *, struct loader *, struct reclaimer *);
void expiry_free(struct expiry *); // NULL is fine
