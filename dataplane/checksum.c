// SPDX-License-Identifier: BSD-3-Clause
#include "checksum.h"

// 32-bit words into 64-bit sums: no carry to look after, and the compiler makes vectors of it. A sum can
// take 2^32 words before it runs over.
uint64_t checksum_add(uint64_t sum, const void *bytes, size_t count)
{
	const uint8_t *p = bytes;
	for (; count >= 32; count -= 32, p += 32) {
		uint32_t word[8];
		memcpy(word, p, sizeof(word));
		for (unsigned i = 0; i < 8; i++)
			sum += word[i];
	}
	for (; count >= 4; count -= 4, p += 4) {
		uint32_t word;
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	uint32_t rest = 0;
	memcpy(&rest, p, count); // RFC 1071 1: an odd octet is padded with zero
	return sum + rest;
}
