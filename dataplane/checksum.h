// SPDX-License-Identifier: BSD-3-Clause
// The Internet checksum (RFC 1071). Sums are kept in the byte order of the packet, unfolded; a sum
// that was started at an even offset may be continued at any even offset. Pure, any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <pollux/bytes.h>

// The carry out of one's complement addition comes back in: two instructions.
static inline uint64_t checksum_add_word(uint64_t sum, uint64_t word)
{
	sum += word;
	return sum + (sum < word);
}

// Adds `count` octets to a sum. Only the last piece of a sum may have an odd number of them. Two sums of 64-bit words
// side by side: measured up to 1452 octets, vectors of any width are no faster.
static inline __attribute__((always_inline)) uint64_t checksum_add(uint64_t sum, const void *bytes, size_t count)
{
	const uint8_t *p = bytes, *end = p + count;
	uint64_t even = 0, odd = 0, last = 0;
	while (end - p > 16) {
		even = checksum_add_word(even, load_64(p));
		odd = checksum_add_word(odd, load_64(p + 8));
		p += 16;
		// gcc would work out the number of rounds beforehand, which takes longer than the two or three that most need.
		__asm__("" : "+r"(p));
	}
	if (end - p > 8)
		even = checksum_add_word(even, load_64(p));
	// The last 1 to 8 octets, padded with zeros (RFC 1071 1): brought down from the last 8, as nothing behind the end may
	// be read.
	if (count >= 8)
		last = load_64(end - 8) >> (-count & 7) * 8;
	else
		memcpy(&last, bytes, count);
	even = checksum_add_word(checksum_add_word(even, odd), last);
	return sum + (even & UINT32_MAX) + (even >> 32);
}

// One word of a sum whose length is known.
static inline uint64_t checksum_of_64(uint64_t word)
{
	return (word & UINT32_MAX) + (word >> 32);
}

// The 16-bit one's complement sum, not yet complemented; store it with memcpy, as it is. Each half is added to
// the other at once, and to itself turned round: the carry out of the lower one comes into the upper one.
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum += sum << 32 | sum >> 32;
	uint32_t half = (uint32_t)(sum >> 32);
	half += half << 16 | half >> 16;
	return (uint16_t)(half >> 16);
}

// What a sum of less than 2^48 counts for behind an odd number of octets. RFC 1071 2 B: the sum of swapped octets is the
// swapped sum, and swapping is a multiplication by 2^8.
static inline uint64_t checksum_shifted(uint64_t sum, bool odd)
{
	return sum << (odd ? 8 : 0);
}

// The sum of what is left of one's octets without the others; `others` is less than 2^48.
static inline uint64_t checksum_without(uint64_t sum, uint64_t others)
{
	return sum + (UINT64_C(0xffff) << 32) - others; // a multiple of 0xffff counts for nothing
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
