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

// Who talks to whom: what the options of a reply depend on.
struct parties {
	const struct server_identity *identity; // NULL: nothing to say, no cookies
	const uint8_t *client;	// address of who asks, in network order; NULL: unknown, no cookies
	uint8_t client_bytes;	// 4 or 16
	uint16_t idle_100ms;	// over TCP: how long a connection may be idle (RFC 7828 3.1); 0: over UDP
	uint32_t now_s;		// since 1970, for the age of cookies
};

// Reasons that go with a reply (RFC 8914 4), to those who sent an OPT.
enum extended_error {
	EDE_OTHER = 0,
	EDE_STALE = 3,
	EDE_BOGUS = 6,
	EDE_SIGNATURE_EXPIRED = 7,
	EDE_SIGNATURE_NOT_YET_VALID = 8,
	EDE_DNSKEY_MISSING = 9,
	EDE_RRSIGS_MISSING = 10,
	EDE_NO_ZONE_KEY = 11,
	EDE_NSEC_MISSING = 12,
	EDE_CACHED_ERROR = 13,
	EDE_NOT_READY = 14,
	EDE_BLOCKED = 15,
	EDE_PROHIBITED = 18,
	EDE_STALE_NXDOMAIN = 19,
	EDE_NOT_AUTHORITATIVE = 20,
	EDE_NOT_SUPPORTED = 21,
	EDE_NO_REACHABLE_AUTHORITY = 22,
	EDE_NETWORK_ERROR = 23,
	EDE_INVALID_DATA = 24,
	EDE_NONE = 0xffff,
};

struct reply {
	uint8_t *wire;	// in: where to write
	uint32_t room;	// in: octets there; at least DNS_UDP_PLAIN_BYTES
	const struct parties *parties; // in; NULL: no options in the reply
	uint32_t bytes; // out
	enum rcode rcode; // out, without the EDNS upper bits cut off
	bool truncated;	// out
	// out, true only where it costs next to nothing: the one's complement sum, not folded, of the octets behind the question as
	// words of the packet, as if they began at an even offset (RFC 1071). Starts as false.
	bool summed;
	uint32_t sections_sum;
};

// The zone that holds the question's name, already looked up for a burst; NULL: none.
// Writes the whole message: header, question as it was asked (octet for octet, so its case survives),
// sections, OPT. Never writes over `room`, nor, over UDP, over what the client and the policy allow.
enum answer_verdict answer_query(const struct catalog *, const struct policy *, const struct query *,
	const struct image *zone, enum transport, struct reply *);
// Its two halves, for a burst. What most answers are, copied from the image without a thought: from a zone, and what
// image_probe() has found in it. The question stands in its place of the reply already, as where the reply is written over
// the query. The room must be no more than answer_limit(). False: there is more to it, and nothing is written.
bool answer_plain(const struct catalog *, const struct policy *, const struct query *, const struct image *zone,
	const struct node *probed, struct reply *);
// Everything else; what is plain as well.
enum answer_verdict answer_thorough(const struct catalog *, const struct policy *, const struct query *,
	const struct image *zone, enum transport, struct reply *);

// Header, question if there was a usable one, OPT if the query had one. RFC 1035 4.1.1, RFC 6891 7. A query
// that has nothing but a cookie gets its own (RFC 7873 5.4) instead of REFUSED.
void answer_error(const struct policy *, const struct query *, enum rcode, struct reply *);
// The same with a reason.
void answer_error_why(const struct policy *, const struct query *, enum rcode, enum extended_error, struct reply *);

// For replies that are put together elsewhere. Octets of the OPT record that the reply gets, but for padding; 0: none.
uint32_t answer_opt_bytes(const struct query *, const struct parties *, enum extended_error);
// Writes that OPT behind the `bytes` octets of the message at `wire`, and padding as far as `limit` allows. Returns
// the new length; the counts of the header are the caller's.
uint32_t answer_put_opt(uint8_t *wire, uint32_t bytes, uint32_t limit, const struct policy *, const struct query *,
	const struct parties *, unsigned rcode, enum extended_error);

// The largest answer this question may get over this transport, in octets.
static inline uint32_t answer_limit(const struct policy *policy, const struct query *query, enum transport transport)
{
	if (transport == OVER_TCP)
		return DNS_MAX_BYTES;
	if (!query->edns || policy->udp_size < DNS_UDP_PLAIN_BYTES)
		return DNS_UDP_PLAIN_BYTES;
	return query->udp_size < policy->udp_size ? query->udp_size : policy->udp_size;
}
