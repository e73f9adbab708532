// SPDX-License-Identifier: BSD-3-Clause
// Whom to forward to: groups of servers, each for the names below one zone, from the configuration and a resolver file.
// Several groups of one zone stand in their order. One event loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/tree.h>

#include <event2/event.h>
#include <pollux/config.h>
#include <pollux/name.h>

#include "client/upstream.h"
#include "pending.h"

struct groups;
struct tap;

struct group {
	RB_ENTRY(group) by_zone; // only the first of its zone is in the tree
	struct group *next;	 // of the same zone; NULL: the last
	struct groups *groups;
	struct pending_set asked;  // questions under way
	struct upstream *upstream; // NULL: never had servers
	bool is_closed;		   // names below the zone are not to be forwarded
	bool nxdomain_is_final, trusts_ad;
	unsigned servers; // 0 although it is not closed: none can be asked
	unsigned place; // among those of its zone
	uint8_t zone_bytes;
	uint8_t zone[NAME_MAX_BYTES]; // folded
	bool seen;		      // in the configuration that is being taken over
};

// NULL: no memory. `tap` (may be NULL: no ports) outlives them.
struct groups *groups_new(struct event_base *, struct tap *tap);
void groups_free(struct groups *); // questions are cancelled; NULL is fine
// What cannot be had (memory, authorities for TLS) is logged; that group is without servers, then, and answers nothing.
void groups_configure(struct groups *, const struct config *);
// Reads the resolver file again, and forgets which servers are silent.
void groups_reload(struct groups *);
// The first group of the longest zone that holds this folded name; NULL: none.
struct group *groups_find(const struct groups *, const uint8_t *name);
// What groups that are gone have counted, so that sums never shrink.
const struct upstream_counters *groups_gone(const struct groups *);
bool groups_any(const struct groups *); // has servers
void groups_each(const struct groups *, void (*visit)(void *ctx, struct group *), void *ctx);
