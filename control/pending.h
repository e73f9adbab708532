// SPDX-License-Identifier: BSD-3-Clause
// Questions that a step has asked of others, and who waits for each: equal questions share one exchange (RFC 5452
// 5: else a forger has many chances at once). One event loop's thread.
#pragma once

#include <sys/tree.h>

#include "chain.h"

// Begins whatever struct a step keeps for an exchange of its own.
struct pending {
	RB_ENTRY(pending) by_question;
	TAILQ_HEAD(, ask) asks;
	uint16_t type, class;
	bool dnssec_ok, checking_disabled;
	unsigned name_bytes;
	uint8_t name[NAME_MAX_BYTES]; // folded
};
RB_HEAD(pending_set, pending);

// The question of this ask, so far nobody's. A step that treats DO alike may clear dnssec_ok.
void pending_init(struct pending *, const struct ask *);
struct pending *pending_find(struct pending_set *, struct pending *like); // NULL: nobody has asked
void pending_add(struct pending_set *, struct pending *);
void pending_remove(struct pending_set *, struct pending *);

// The ask waits for this question: the step returns WAIT. Whoever forgets the ask leaves the exchange going on, for its
// answer is of use to the cache.
void pending_wait(struct pending *, struct ask *);
// Takes one of those who wait out: the step resumes or drops it. NULL: none. Callees may ask again at once, so the
// question is removed from its set before the first of them hears.
struct ask *pending_take(struct pending *);

// False: not for others: without RD, transfers, and what is meant for one neighbour alone.
bool pending_may_ask(const struct query *);
