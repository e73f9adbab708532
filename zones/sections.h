// SPDX-License-Identifier: BSD-3-Clause
// Records on their way into a reply: copied, and their one's complement sums (RFC 1071) put together from parts: not folded, in
// the byte order of the wire, as struct reply wants them. Pure; any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <pollux/bytes.h>

// Of octets that begin at an even offset, folded.
static inline uint16_t ones_sum(const uint8_t *at, size_t bytes)
{
	uint64_t sum = 0;
	for (; bytes >= 2; bytes -= 2, at += 2) {
		uint16_t word;
		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	if (bytes)
		sum += *at; // little-endian: the first octet of a word is the low one
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

// What a number that grew by `more` at this offset adds.
static inline uint32_t sum_of_growth(unsigned more, uint32_t at)
{
	return at & 1 ? (uint16_t)more : __builtin_bswap16((uint16_t)more);
}

// What a number of 32 bits at this offset adds.
static inline uint32_t sum_of_number(uint32_t number, uint32_t at)
{
	return sum_of_growth(number >> 16, at) + sum_of_growth(number & 0xffff, at);
}

// A sum goes on at this offset of another one: at an odd one all octets change places (RFC 1071 2 B).
static inline uint32_t sum_moved(uint32_t sum, uint32_t at)
{
	return ((sum & 0xffff) + (sum >> 16)) << (at & 1) * 8;
}

// At least a record's 12 octets, in blocks of which the last one overlaps. A call of memcpy() takes longer.
static inline void copy_records(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	if (bytes < 16) {
		memcpy(to, from, 8);
		memcpy(to + bytes - 8, from + bytes - 8, 8);
		return;
	}
	for (uint32_t at = 0; at + 16 < bytes; at += 16)
		memcpy(to + at, from + at, 16);
	memcpy(to + bytes - 16, from + bytes - 16, 16);
}
