// SPDX-License-Identifier: BSD-3-Clause
// Big-endian loads and stores, and a bounded reader and writer over wire bytes. Inline, any thread.
// A reader or writer that ran over its end stays failed: check `failed` once, at the end.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline void store_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

// Words in the order of the machine.
static inline uint32_t load_32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load_64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void store_32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void store_64(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

// Fetches the cache line at `at`, which may be anywhere. Not __builtin_prefetch(): gcc takes a function that does nothing else
// for one without effect, and leaves its calls out.
static inline void prefetch_line(const void *at)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetcht0 %0" : : "m"(*(const volatile uint8_t *)at));
#else
	__builtin_prefetch(at);
#endif
}

// Whether the first `bytes` octets, at least one, are the same. Both must be readable for 7 octets more. For names: a call of
// memcmp() takes longer than these few words.
static inline bool same_words(const uint8_t *a, const uint8_t *b, unsigned bytes)
{
	for (; bytes > 8; bytes -= 8, a += 8, b += 8)
		if (load_64(a) != load_64(b))
			return false;
	return (load_64(a) ^ load_64(b)) << (-8 * bytes & 63) == 0; // little-endian: the first octet is the lowest
}

// Reads [at, end); `start` stays, for compression pointers.
struct reader {
	const uint8_t *start, *at, *end;
	bool failed;
};

static inline struct reader reader_of(const uint8_t *bytes, size_t count)
{
	return (struct reader){ .start = bytes, .at = bytes, .end = bytes + count };
}

static inline size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->at);
}

// The next `count` bytes in place, or NULL (and the reader fails) when there are fewer.
static inline const uint8_t *read_bytes(struct reader *r, size_t count)
{
	if (r->failed || reader_left(r) < count) {
		r->failed = true;
		return NULL;
	}
	const uint8_t *p = r->at;
	r->at += count;
	return p;
}

static inline uint8_t read_u8(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 1);
	return p ? *p : 0;
}

static inline uint16_t read_be16(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 2);
	return p ? load_be16(p) : 0;
}

static inline uint32_t read_be32(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 4);
	return p ? load_be32(p) : 0;
}

// Writes [at, end).
struct writer {
	uint8_t *start, *at, *end;
	bool failed;
};

static inline struct writer writer_of(uint8_t *bytes, size_t room)
{
	return (struct writer){ .start = bytes, .at = bytes, .end = bytes + room };
}

static inline size_t writer_bytes(const struct writer *w)
{
	return (size_t)(w->at - w->start);
}

// Room for `count` bytes, or NULL (and the writer fails) when there is less.
static inline uint8_t *write_room(struct writer *w, size_t count)
{
	if (w->failed || (size_t)(w->end - w->at) < count) {
		w->failed = true;
		return NULL;
	}
	uint8_t *p = w->at;
	w->at += count;
	return p;
}

static inline void write_bytes(struct writer *w, const void *bytes, size_t count)
{
	uint8_t *p = write_room(w, count);
	if (p && count)
		memcpy(p, bytes, count);
}

static inline void write_u8(struct writer *w, uint8_t v)
{
	uint8_t *p = write_room(w, 1);
	if (p)
		*p = v;
}

static inline void write_be16(struct writer *w, uint16_t v)
{
	uint8_t *p = write_room(w, 2);
	if (p)
		store_be16(p, v);
}

static inline void write_be32(struct writer *w, uint32_t v)
{
	uint8_t *p = write_room(w, 4);
	if (p)
		store_be32(p, v);
}
