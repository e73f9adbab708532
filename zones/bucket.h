// SPDX-License-Identifier: BSD-3-Clause
// Eight tags of a cache-line bucket (image.h) compared at once.
#pragma once

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <pollux/image.h>

// Bit i: slot i has that tag.
#if defined(__SSE2__)
static inline unsigned slots_with(const struct image_bucket *bucket, uint32_t tag)
{
	const __m128i *tags = (const __m128i *)(const void *)bucket->tag;
	__m128i wanted = _mm_set1_epi32((int)tag);
	__m128i low = _mm_cmpeq_epi32(_mm_loadu_si128(tags), wanted);
	__m128i high = _mm_cmpeq_epi32(_mm_loadu_si128(tags + 1), wanted);
	return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128()));
}
#else
static inline unsigned slots_with(const struct image_bucket *bucket, uint32_t tag)
{
	unsigned slots = 0;
	for (unsigned i = 0; i < 8; i++)
		slots |= (unsigned)(bucket->tag[i] == tag) << i;
	return slots;
}
#endif
