// SPDX-License-Identifier: BSD-3-Clause
// Question in, reply out, from the zones in a catalog: RFC 1034 4.3.2 with its later amendments. UDP on
// the dataplane and TCP in control use the very same functions. Pure: no allocation, no clock, no
// system call; any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/catalog.h>
#include <pollux/query.h>

enum transport { OVER_UDP, OVER_TCP };

enum answer_verdict {
	ANSWER_READY,	 // `reply` holds the message
	ANSWER_NOT_HERE, // outside our zones, and the policy names somebody to ask: a miss
	ANSWER_CONTINUE, // a CNAME or DNAME led out of our zones and RD asks for more: a miss; `reply` holds what
			 // we have, whole and ready to send if nobody knows more
};

struct reply {
	uint8_t *wire;	// in: where to write
	uint32_t room;	// in: octets there; at least DNS_UDP_PLAIN_BYTES
	uint32_t bytes; // out
	enum rcode rcode; // out, without the EDNS upper bits cut off
	bool truncated;	// out
};

// The zone that holds the question's name, already looked up for a burst; NULL: none.
// Writes the whole message: header, question as it was asked (octet for octet, so its case survives),
// sections, OPT. Never writes over `room`, nor, over UDP, over what the client and the policy allow.
enum answer_verdict answer_query(const struct catalog *, const struct policy *, const struct query *,
	const struct image *zone, enum transport, struct reply *);

// Header, question if there was a usable one, OPT if the query had one. RFC 1035 4.1.1, RFC 6891 7.
void answer_error(const struct policy *, const struct query *, enum rcode, struct reply *);

// The largest answer this question may get over this transport, in octets.
uint32_t answer_limit(const struct policy *, const struct query *, enum transport);
