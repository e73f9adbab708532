// SPDX-License-Identifier: BSD-3-Clause
// What of a reply from others may be kept, for how long, and with which TTLs: RFC 2308, RFC 2181 5.2 and 9,
// RFC 4035 4.5. Pure: no clock, no allocation; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client/message.h"

// What a question to others is told apart by.
struct learned_key {
	const uint8_t *name; // wire, folded
	uint16_t type, class;
	bool dnssec_ok, checking_disabled;
};

// Why something is not kept: KEEP_REASON(id, key of the statistics).
#define KEEP_REASONS(KEEP_REASON)                                                                              \
	KEEP_REASON(QUESTION, "question") /* ANY, transfers and other types that are no data */               \
	KEEP_REASON(RCODE, "rcode")	  /* neither NOERROR nor NXDOMAIN */                                   \
	KEEP_REASON(TRUNCATED, "truncated")                                                                    \
	KEEP_REASON(NO_SOA, "no_soa") /* says no without saying for how long, RFC 2308 5 */                    \
	KEEP_REASON(TTL, "ttl")	      /* of 0 */                                                               \
	KEEP_REASON(SIZE, "size")     /* no entry is as large */                                               \
	KEEP_REASON(HELD, "held")     /* says that a name does not exist that we hold ourselves */
enum keep_reason {
	KEEP_IT,
#define KEEP_REASON(id, key) KEEP_NOT_##id,
	KEEP_REASONS(KEEP_REASON)
#undef KEEP_REASON
		KEEP_REASON_COUNT
};
extern const char *const keep_reason_key[KEEP_REASON_COUNT];

struct keep_rules {
	unsigned max_ttl_s, min_ttl_s, negative_max_ttl_s;
	uint32_t wall_s; // since 1970: nothing outlives its signatures (RFC 4035 5.3.3); 0: they are not looked at
};

// Of the whole: the life of its first part to die, and whether it says that there is no such name or type.
struct keep {
	uint32_t ttl_s;
	bool negative;
};
enum keep_reason keep_judge(struct keep *, const struct keep_rules *, const struct learned_key *, const struct message *);

// Puts the message to be kept together behind the key's question, with ids and flags all zero: the records whose life is not
// shorter, each RRset with one TTL inside the rules, and DNSSEC records only for who asks for them.
// Returns the length; 0: it does not fit into `room`.
unsigned keep_write(struct composer *, uint8_t *wire, unsigned room, const struct keep_rules *, const struct learned_key *,
	const struct message *, uint32_t ttl_s);
