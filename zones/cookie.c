// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include <pollux/bytes.h>

#include "cookie.h"

#define VERSION_1 1	    // RFC 9018 4.1
#define STAMP_AT 4	    // in a server cookie: version, three reserved octets, time stamp, hash
#define HASH_AT 8
#define OLDEST_S 3600	    // RFC 9018 4.3: an hour,
#define NEWEST_S (-300)	    // and five minutes of clocks that differ
#define RENEW_AFTER_S 1800  // RFC 9018 4.3: half an hour
#define HASHED_MAX (COOKIE_CLIENT_BYTES + HASH_AT + 16)

static inline uint64_t rotate(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

static inline uint64_t load_le64(const uint8_t *at)
{
	uint64_t word;
	memcpy(&word, at, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static inline void sip_take(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

uint64_t siphash(const uint8_t key[COOKIE_SECRET_BYTES], const uint8_t *data, size_t bytes)
{
	uint64_t k0 = load_le64(key), k1 = load_le64(key + 8);
	// The constants spell "somepseudorandomlygeneratedbytes".
	struct sip s = { k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
		k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573) };
	size_t whole = bytes & ~(size_t)7;
	uint64_t last = (uint64_t)bytes << 56;
	for (size_t at = 0; at < whole; at += 8)
		sip_take(&s, load_le64(data + at));
	for (size_t at = whole; at < bytes; at++)
		last |= (uint64_t)data[at] << 8 * (at - whole);
	sip_take(&s, last);
	s.v2 ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

// RFC 9018 4.4: the client's cookie, our version, reserved octets and time, the client's address.
static uint64_t hash_of(const uint8_t *secret, const struct parties *parties, const uint8_t *client_cookie,
	const uint8_t *server_cookie)
{
	uint8_t hashed[HASHED_MAX];
	memcpy(hashed, client_cookie, COOKIE_CLIENT_BYTES);
	memcpy(hashed + COOKIE_CLIENT_BYTES, server_cookie, HASH_AT);
	memcpy(hashed + COOKIE_CLIENT_BYTES + HASH_AT, parties->client, parties->client_bytes);
	return siphash(secret, hashed, COOKIE_CLIENT_BYTES + HASH_AT + parties->client_bytes);
}

// Index of the secret that made it, -1 when none of ours did.
static int maker_of(const struct parties *parties, const uint8_t *cookie)
{
	const uint8_t *ours = cookie + COOKIE_CLIENT_BYTES;
	for (unsigned i = 0; i < parties->identity->secret_count; i++) {
		if (hash_of(parties->identity->secret[i], parties, cookie, ours) == load_le64(ours + HASH_AT))
			return (int)i;
	}
	return -1;
}

static enum cookie_worth worth_of(const struct parties *parties, const uint8_t *cookie, unsigned bytes)
{
	const uint8_t *ours = cookie + COOKIE_CLIENT_BYTES;
	if (bytes != COOKIE_CLIENT_BYTES + COOKIE_SERVER_BYTES || ours[0] != VERSION_1)
		return COOKIE_BAD;
	// RFC 9018 4.3: serial number arithmetic (RFC 1982), as 32 bits of seconds end in 2106.
	int32_t age_s = (int32_t)(parties->now_s - load_be32(ours + STAMP_AT));
	if (age_s > OLDEST_S || age_s < NEWEST_S)
		return COOKIE_BAD;
	int maker = maker_of(parties, cookie);
	if (maker < 0)
		return COOKIE_BAD;
	return maker > 0 || age_s > RENEW_AFTER_S ? COOKIE_GOOD : COOKIE_FRESH;
}

enum cookie_worth cookie_renew(uint8_t to[COOKIE_CLIENT_BYTES + COOKIE_SERVER_BYTES], const struct parties *parties,
	const uint8_t *cookie, unsigned bytes)
{
	enum cookie_worth worth = worth_of(parties, cookie, bytes);
	uint8_t *ours = to + COOKIE_CLIENT_BYTES;
	if (worth == COOKIE_FRESH) {
		memcpy(to, cookie, COOKIE_CLIENT_BYTES + COOKIE_SERVER_BYTES);
		return worth;
	}
	memcpy(to, cookie, COOKIE_CLIENT_BYTES);
	memset(ours, 0, STAMP_AT);
	ours[0] = VERSION_1;
	store_be32(ours + STAMP_AT, parties->now_s);
	uint64_t hash = hash_of(parties->identity->secret[0], parties, cookie, ours);
	for (unsigned i = 0; i < 8; i++)
		ours[HASH_AT + i] = (uint8_t)(hash >> 8 * i);
	return worth;
}
