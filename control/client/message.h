// SPDX-License-Identifier: BSD-3-Clause
// DNS messages of other servers: taken apart into records that stand on their own, and put together
// again with new compression. Nothing here trusts the wire. Pure but for malloc; any thread, each with
// its own objects. Numbers are in host order.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/bytes.h>
#include <pollux/query.h>
#include <pollux/status.h>

enum section { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL, SECTION_COUNT };

// Names in it are uncompressed, in the case they had on the wire.
struct message_rr {
	const uint8_t *owner, *rdata;
	uint32_t ttl; // seconds; 0 for one with the top bit set (RFC 2181 8)
	uint16_t type, class, rdata_bytes;
};

// Everything points into memory of the message itself, not into the wire it was read from.
struct message {
	uint16_t id, flags;
	uint16_t rcode;	     // with the upper bits of the OPT, RFC 6891 6.1.3
	const uint8_t *name; // of the question; NULL when there was none
	uint16_t type, class;
	struct message_rr *rr;			// without the OPT
	unsigned section_at[SECTION_COUNT + 1]; // section s is rr[section_at[s]] up to rr[section_at[s + 1]]
	bool edns;
	uint16_t udp_size; // that the sender of the message announced
	struct message_chunk *chunks;
};

// At most one question. ST_SYNTAX: malformed (a pointer that does not point backwards, a name, record or
// RDATA that runs over its end, octets left over, two OPTs); nothing to clear then. ST_NO_MEMORY likewise.
CHECKED enum status message_read(struct message *, const uint8_t *wire, size_t bytes);
void message_clear(struct message *); // a message of all zeros is fine, too
// For messages made here, from all zeros on: a copy of the record at the end of its section. Sections in order, or ST_INVALID.
// ST_NO_MEMORY: the message is as it was.
CHECKED enum status message_add(struct message *, enum section, const struct message_rr *);

// The uncompressed name at `at`; `to` has room for NAME_MAX_BYTES. Returns the offset behind it in the
// message, 0 when it is malformed.
size_t message_expand_name(uint8_t *to, const uint8_t *wire, size_t bytes, size_t at);

// The OPT record of a message: how many octets it takes, from *at on; 0: there is none, or the message is malformed.
unsigned message_find_opt(const uint8_t *wire, size_t bytes, unsigned *at);

// Puts a message together. Names given to it must stay where they are until composer_end(): later names
// are compared with them. A record that finds no room leaves no trace.
#define COMPOSER_NAMES 512
#define COMPOSER_BUCKETS 256
struct composer {
	struct writer out;
	unsigned names;
	uint16_t bucket[COMPOSER_BUCKETS]; // newest entry of that hash, plus one
	struct composer_name {
		const uint8_t *suffix;
		uint16_t at, hash, older;
	} name[COMPOSER_NAMES];
	uint16_t counts[SECTION_COUNT];
	bool edns;
};

// A query with one question, 12 + question + OPT octets. `udp_size` 0: no OPT. `question`: name, type and class as they
// go out. `pad_to` > 1: the OPT is padded until the length is a multiple of that (RFC 8467 4.1 wants 128). `to` has room
// for QUERY_WIRE_BYTES. Returns the length.
#define QUERY_PADDING 128
#define QUERY_WIRE_BYTES (DNS_HEADER_BYTES + NAME_MAX_BYTES + 4 + OPT_BYTES + 4 + QUERY_PADDING)
unsigned message_write_query(uint8_t *to, uint16_t id, uint16_t flags, const uint8_t *question,
	unsigned question_bytes, uint16_t udp_size, bool dnssec_ok, unsigned pad_to);

// Header and question, octet for octet. `room` is what the whole message may take; `edns` keeps the room
// of an OPT free. False: not even that fits.
bool composer_start(struct composer *, uint8_t *wire, size_t room, uint16_t id, uint16_t flags,
	const uint8_t *question, unsigned question_bytes, bool edns);
// A record into that section; sections in order. False: no room, or not a well-formed record.
bool composer_add(struct composer *, enum section, const struct message_rr *);
// The RRsets of rr[0..count) that `wanted` lets through (NULL: all), each whole or not at all; an RRset is a
// run of records with one owner, type and class, its RRSIGs being another. False: one did not fit, and
// neither it nor what follows is there.
bool composer_add_all(struct composer *, enum section, const struct message_rr *, unsigned count,
	bool (*wanted)(const void *ctx, const struct message_rr *), const void *ctx);
void composer_set_flags(struct composer *, uint16_t flags); // OR-ed into the header
// The OPT, when there is to be one (RFC 6891 6.1.2: `rcode` gives its upper bits), and the counts. Returns
// the length.
unsigned composer_end(struct composer *, uint16_t udp_size, uint16_t rcode, bool dnssec_ok);
