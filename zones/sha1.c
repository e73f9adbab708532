// SPDX-License-Identifier: BSD-3-Clause
#include <stdbool.h>
#include <string.h>

#include <pollux/bytes.h>

#include "sha1.h"

#define BLOCK_BYTES 64

typedef void blocks_function(uint32_t state[5], const uint8_t *block, size_t count);

static inline uint32_t rotate(uint32_t x, unsigned by)
{
	return x << by | x >> (32 - by);
}

// RFC 3174 6.1.
static void blocks_plain(uint32_t state[5], const uint8_t *block, size_t count)
{
	static const uint32_t constant[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
	for (; count; count--, block += BLOCK_BYTES) {
		uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
		for (unsigned t = 0; t < 16; t++)
			w[t] = load_be32(block + 4 * t);
		for (unsigned t = 16; t < 80; t++)
			w[t] = rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
		for (unsigned t = 0; t < 80; t++) {
			uint32_t f = t < 20 ? (b & c) | (~b & d) :
				t >= 40 && t < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
			uint32_t next = rotate(a, 5) + f + e + w[t] + constant[t / 20];
			e = d;
			d = c;
			c = rotate(b, 30);
			b = a;
			a = next;
		}
		state[0] += a;
		state[1] += b;
		state[2] += c;
		state[3] += d;
		state[4] += e;
	}
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

// Four rounds per step; `abcd` and `e` in the order the instructions want (high word first).
__attribute__((target("sha,sse4.1"))) static void blocks_sha_ni(uint32_t state[5], const uint8_t *block, size_t count)
{
	const __m128i swap = _mm_set_epi64x(0x0001020304050607LL, 0x08090a0b0c0d0e0fLL);
	__m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0x1b);
	__m128i e0 = _mm_set_epi32((int)state[4], 0, 0, 0);
	for (; count; count--, block += BLOCK_BYTES) {
		__m128i abcd_before = abcd, e_before = e0, m[4], e = e0;
		for (unsigned i = 0; i < 4; i++)
			m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i)), swap);
#define FOUR_ROUNDS(step, function)                                                                                \
	do {                                                                                                       \
		__m128i now = m[(step) % 4], before = abcd;                                                        \
		__m128i with_e = (step) == 0 ? _mm_add_epi32(e, now) : _mm_sha1nexte_epu32(e, now);                \
		e = before;                                                                                        \
		abcd = _mm_sha1rnds4_epu32(abcd, with_e, function);                                                \
		m[(step) % 4] = _mm_sha1msg2_epu32(                                                                \
			_mm_xor_si128(_mm_sha1msg1_epu32(now, m[((step) + 1) % 4]), m[((step) + 2) % 4]),          \
			m[((step) + 3) % 4]);                                                                      \
	} while (0)
		for (unsigned i = 0; i < 5; i++)
			FOUR_ROUNDS(i, 0);
		for (unsigned i = 5; i < 10; i++)
			FOUR_ROUNDS(i, 1);
		for (unsigned i = 10; i < 15; i++)
			FOUR_ROUNDS(i, 2);
		for (unsigned i = 15; i < 20; i++)
			FOUR_ROUNDS(i, 3);
#undef FOUR_ROUNDS
		e0 = _mm_sha1nexte_epu32(e, e_before);
		abcd = _mm_add_epi32(abcd, abcd_before);
	}
	_mm_storeu_si128((__m128i *)(void *)state, _mm_shuffle_epi32(abcd, 0x1b));
	state[4] = (uint32_t)_mm_extract_epi32(e0, 3);
}

static bool cpu_has_sha(void)
{
	unsigned a, b, c, d;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) && __builtin_cpu_supports("sse4.1");
}
#endif

static blocks_function *choose(void)
{
#if defined(__x86_64__)
	if (cpu_has_sha())
		return blocks_sha_ni;
#endif
	return blocks_plain;
}

static blocks_function *blocks = blocks_plain;

__attribute__((constructor)) static void choose_once(void)
{
	blocks = choose();
}

static void hash(blocks_function *function, uint8_t digest[SHA1_BYTES], const uint8_t *message, size_t bytes)
{
	uint32_t state[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	uint8_t padded[SHA1_MAX_INPUT];
	size_t whole = (bytes + 9 + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
	memcpy(padded, message, bytes);
	memset(padded + bytes, 0, whole - bytes);
	padded[bytes] = 0x80;
	store_be32(padded + whole - 4, (uint32_t)bytes * 8);
	function(state, padded, whole / BLOCK_BYTES);
	for (unsigned i = 0; i < 5; i++)
		store_be32(digest + 4 * i, state[i]);
}

void sha1(uint8_t digest[SHA1_BYTES], const uint8_t *message, size_t bytes)
{
	hash(blocks, digest, message, bytes);
}

void sha1_plain(uint8_t digest[SHA1_BYTES], const uint8_t *message, size_t bytes)
{
	hash(blocks_plain, digest, message, bytes);
}
