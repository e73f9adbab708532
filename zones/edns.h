// SPDX-License-Identifier: BSD-3-Clause
// EDNS (RFC 6891) in and out: the options of a question, and the OPT record of its reply. Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <pollux/answer.h>
#include <pollux/bytes.h>
#include <pollux/query.h>
#include <pollux/rrtype.h>

// The header of a reply, RFC 1035 4.1.1, in two stores: whoever sums it up next, 8 octets at a time, would have to wait for many
// small ones.
static inline void write_header(uint8_t *wire, unsigned id, unsigned flags, unsigned questions, unsigned answers,
	unsigned authorities, unsigned additionals)
{
	uint64_t head = (uint64_t)id << 48 | (uint64_t)flags << 32 | (uint64_t)questions << 16 | answers;
	store_64(wire, __builtin_bswap64(head));
	store_be32(wire + 8, authorities << 16 | (additionals & 0xffffu));
}

// Reads the options of an OPT at `at` of the query's message, and keeps what we know; OPTION_MALFORMED when one of
// these cannot be as it is. False: this is no list of options.
bool edns_read_options(struct query *, const uint8_t *at, uint16_t bytes);

// The OPT of one reply, decided before its sections are written, so that its room stays free.
struct opt {
	uint32_t bytes;	 // of the record, without padding; 0: none
	uint8_t options; // enum query_option bits: what will be written; 0: the record is a plain one
	uint16_t ede;	 // enum extended_error, with OPTION_EDE
	uint8_t cookie[COOKIE_CLIENT_BYTES + COOKIE_SERVER_BYTES];
};

// `zone` is the one whose version is told; NULL: none. For a query with options or a reason; all others
// need no more than .bytes = OPT_BYTES.
void edns_plan(struct opt *, const struct query *, const struct parties *, const struct image *zone,
	enum extended_error);
// The record without options, of OPT_BYTES. RFC 6891 6.1.2, 6.1.3: root owner, our size, upper rcode bits, version 0,
// DO as asked (RFC 3225 3).
static inline void edns_write_plain(uint8_t *record, const struct policy *policy, const struct query *q, unsigned rcode)
{
	uint64_t head = (uint64_t)TYPE_OPT << 40 | (uint64_t)policy->udp_size << 24 | (rcode >> 4 & 0xff) << 16 |
		(q->dnssec_ok ? 0x80u : 0u);
	head = __builtin_bswap64(head);
	store_be32(record + 7, q->dnssec_ok ? 0x80000000u : 0u); // the head's last octet once more, and three
	memcpy(record, &head, sizeof(head));
}

// The sum of that record's octets for rcode 0, from an even offset, in the byte order of the wire (RFC 1071).
static inline uint32_t edns_plain_sum(const struct policy *policy, const struct query *q)
{
	return TYPE_OPT + policy->udp_size + (q->dnssec_ok ? 0x8000u : 0u); // the record's fields begin at odd offsets
}

// The options planned go behind the record at wire + at; returns where they end. `limit` is for padding.
uint32_t edns_write_options(const struct opt *, uint8_t *wire, uint32_t at, uint32_t limit, const struct parties *,
	const struct image *zone);

// True when the query has to come again with the cookie it gets now (RFC 7873 5.2.3).
bool edns_wants_better_cookie(const struct query *, const struct parties *);
// The rcode for a query that has no question but a cookie (RFC 7873 5.4); else `rcode`.
enum rcode edns_judge_empty(const struct query *, const struct parties *, enum rcode);
