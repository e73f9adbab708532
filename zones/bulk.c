// SPDX-License-Identifier: BSD-3-Clause
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <pollux/bounds.h>

#include "bulk.h"

// Below, malloc() is as good and wastes less.
static int is_large(size_t bytes)
{
	return bytes >= 2 * HUGE_PAGE_BYTES;
}

static size_t whole_pages(size_t bytes)
{
	return (bytes + HUGE_PAGE_BYTES - 1) & ~(size_t)(HUGE_PAGE_BYTES - 1);
}

static void *map(size_t bytes)
{
	void *at = mmap(NULL, whole_pages(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	madvise(at, whole_pages(bytes), MADV_HUGEPAGE); // a wish: without it the array is only slower
	return at;
}

static void *grow_mapping(void *old, size_t old_bytes, size_t bytes)
{
	void *at = mremap(old, whole_pages(old_bytes), whole_pages(bytes), MREMAP_MAYMOVE);
	if (at == MAP_FAILED)
		return NULL;
	madvise(at, whole_pages(bytes), MADV_HUGEPAGE);
	return at;
}

void *bulk_resize(void *old, size_t old_bytes, size_t bytes)
{
	if (old && is_large(old_bytes))
		return grow_mapping(old, old_bytes, bytes);
	void *at = is_large(bytes) ? map(bytes) : calloc(1, bytes);
	if (at && old) {
		memcpy(at, old, old_bytes);
		free(old);
	}
	return at;
}

void bulk_free(void *array, size_t bytes)
{
	if (array && is_large(bytes))
		munmap(array, whole_pages(bytes));
	else
		free(array);
}

void bulk_expect(void *at, size_t bytes)
{
#ifdef MADV_POPULATE_WRITE
	uintptr_t page = 4096, begin = ((uintptr_t)at + page - 1) & ~(page - 1), end = ((uintptr_t)at + bytes) & ~(page - 1);
	if (begin < end)
		madvise((void *)begin, end - begin, MADV_POPULATE_WRITE); // else the faults come one by one
#else
	(void)at;
	(void)bytes;
#endif
}
