// SPDX-License-Identifier: BSD-3-Clause
// The Internet checksum (RFC 1071). Sums are kept in the byte order of the packet, unfolded; a sum
// that was started at an even offset may be continued at any even offset. Pure, any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Adds `count` octets to a sum. Only the last piece of a sum may have an odd number of them.
uint64_t checksum_add(uint64_t sum, const void *bytes, size_t count);

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
static inline uint64_t checksum_pseudo(const uint8_t *addresses, size_t address_bytes, uint8_t protocol, uint16_t bytes)
{
	return checksum_add(checksum_of_number(protocol) + checksum_of_number(bytes), addresses, address_bytes);
}
