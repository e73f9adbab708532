// SPDX-License-Identifier: BSD-3-Clause
// The Internet checksum (RFC 1071). Sums are kept in the byte order of the packet, unfolded; a sum
// that was started at an even offset may be continued at any even offset. Pure, any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <x86intrin.h>

// Adds `count` octets to a sum. Only the last piece of a sum may have an odd number of them. Words of 64
// bits with their carry brought round: measured up to 1452 octets, vectors of any width are no faster.
static inline uint64_t checksum_add(uint64_t sum, const void *bytes, size_t count)
{
	const uint8_t *p = bytes;
	unsigned long long words = 0;
	for (; count >= 32; count -= 32, p += 32) {
		unsigned long long word[4];
		memcpy(word, p, sizeof(word));
		unsigned char carry = _addcarry_u64(0, words, word[0], &words);
		carry = _addcarry_u64(carry, words, word[1], &words);
		carry = _addcarry_u64(carry, words, word[2], &words);
		carry = _addcarry_u64(carry, words, word[3], &words);
		words += carry; // a sum that has just run over is too small to do it again
	}
	for (; count >= 8; count -= 8, p += 8) {
		unsigned long long word;
		memcpy(&word, p, sizeof(word));
		const unsigned char carry = _addcarry_u64(0, words, word, &words);
		words += carry;
	}
	sum += (words & UINT32_MAX) + (words >> 32);
	uint32_t four = 0;
	uint16_t two = 0;
	if (count & 4)
		memcpy(&four, p, 4);
	p += count & 4;
	if (count & 2)
		memcpy(&two, p, 2);
	p += count & 2;
	return sum + four + two + (count & 1 ? *p : 0); // RFC 1071 1: an odd octet is padded with zero
}

// The 16-bit one's complement sum, not yet complemented; store it with memcpy, as it is.
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

// A number in host order as it adds to a sum.
static inline uint64_t checksum_of_number(uint16_t number)
{
	return __builtin_bswap16(number);
}

// The pseudo header of UDP, TCP and ICMPv6: both addresses stand one behind the other in the IP header
// (RFC 768, RFC 8200 8.1). `address_bytes` counts both.
static inline uint64_t checksum_pseudo(
	const uint8_t *addresses, size_t address_bytes, uint8_t protocol, uint16_t bytes)
{
	return checksum_add(
		checksum_of_number(protocol) + checksum_of_number(bytes), addresses, address_bytes);
}
