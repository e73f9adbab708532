// SPDX-License-Identifier: BSD-3-Clause
// Questions, and messages to be cached, for the tests of the cache.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/bytes.h>
#include <pollux/cache.h>
#include <pollux/rrtype.h>

enum { CACHED_SEED = 53 };

struct question {
	uint8_t wire[DNS_HEADER_BYTES + NAME_MAX_BYTES + 4 + OPT_BYTES + COOKIE_MAX_BYTES];
	struct query query;
};

// "host7.example", then type and class. `text` may have upper case.
static inline void ask_question(struct question *q, const char *text, uint16_t type, uint16_t flags, int udp_size, bool dnssec_ok)
{
	static const uint8_t root[1];
	enum rcode rcode;
	unsigned bytes;
	memset(q->wire, 0, sizeof(q->wire));
	store_be16(q->wire, 0x4711);
	store_be16(q->wire + 2, flags);
	q->wire[5] = 1;
	if (name_from_text(q->wire + 12, &bytes, text, strlen(text), root) != ST_OK)
		abort();
	struct writer w = writer_of(q->wire + 12 + bytes, 64);
	write_be16(&w, type);
	write_be16(&w, CLASS_IN);
	if (udp_size) {
		q->wire[11] = 1;
		write_u8(&w, 0);
		write_be16(&w, TYPE_OPT);
		write_be16(&w, (uint16_t)udp_size);
		write_be16(&w, 0);
		write_be16(&w, dnssec_ok ? 0x8000 : 0);
		write_be16(&w, 0);
	}
	if (query_parse(&q->query, q->wire, 12 + bytes + writer_bytes(&w), CACHED_SEED, &rcode) != QUERY_VALID)
		abort();
}

// A record of that many octets of RDATA, all of value `fill`; its owner is the question's name.
static inline void put_record(struct writer *w, uint16_t type, uint32_t ttl, unsigned bytes, uint8_t fill)
{
	write_be16(w, 0xc00c);
	write_be16(w, type);
	write_be16(w, CLASS_IN);
	write_be32(w, ttl);
	write_be16(w, (uint16_t)bytes);
	uint8_t *data = write_room(w, bytes);
	if (data)
		memset(data, fill, bytes);
}

// Header and folded question of a message with these counts.
static inline struct writer begin_message(uint8_t *to, size_t room, const struct cache_key *key, unsigned answers,
	unsigned authorities, unsigned additionals)
{
	struct writer w = writer_of(to, room);
	write_be16(&w, 0);
	write_be16(&w, FLAG_QR | FLAG_RA);
	write_be16(&w, 1);
	write_be16(&w, (uint16_t)answers);
	write_be16(&w, (uint16_t)authorities);
	write_be16(&w, (uint16_t)additionals);
	write_bytes(&w, key->name, key->name_bytes);
	write_be16(&w, key->type);
	write_be16(&w, key->class);
	return w;
}

// One address as the answer, kept for `ttl` seconds from `now_s` on.
static inline enum status keep_address(struct cache *cache, const struct cache_key *key, uint32_t ttl, uint32_t now_s, uint8_t fill,
	uint64_t *position)
{
	uint8_t message[512];
	struct writer w = begin_message(message, sizeof(message), key, 1, 0, 0);
	put_record(&w, TYPE_A, ttl, 4, fill);
	struct cache_record record = { .wire = message, .bytes = (uint32_t)writer_bytes(&w), .now_s = now_s, .lifetime_s = ttl,
		.why = EDE_NONE };
	return cache_insert(cache, key, &record, position);
}
