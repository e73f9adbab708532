// SPDX-License-Identifier: BSD-3-Clause
// Unpredictable numbers for ids, ports and case (RFC 5452 9.2), drawn many at a time.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RANDOM_STOCK 512

struct random_stock {
	unsigned left;
	uint8_t bytes[RANDOM_STOCK];
};

static inline uint32_t random_bits(struct random_stock *stock)
{
	uint32_t bits;
	if (stock->left < sizeof(bits)) {
		arc4random_buf(stock->bytes, sizeof(stock->bytes));
		stock->left = sizeof(stock->bytes);
	}
	stock->left -= (unsigned)sizeof(bits);
	memcpy(&bits, stock->bytes + stock->left, sizeof(bits));
	memset(stock->bytes + stock->left, 0, sizeof(bits)); // what was used shall not be found in memory
	return bits;
}

// Below `bound`, without bias that matters: `bound` is small beside 2^32.
static inline uint32_t random_below(struct random_stock *stock, uint32_t bound)
{
	return (uint32_t)((uint64_t)random_bits(stock) * bound >> 32);
}
