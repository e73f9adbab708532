// SPDX-License-Identifier: BSD-3-Clause
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <pollux/bounds.h>

#include "handover.h"

// Counts that only grow; each has one writer.
struct handover {
	_Alignas(CACHE_LINE_BYTES) atomic_uint given;
	_Alignas(CACHE_LINE_BYTES) atomic_uint taken;
	_Alignas(CACHE_LINE_BYTES) atomic_bool rung; // the taker will look without another ring
	unsigned mask;
	int fd;
	void *item[];
};

struct handover *handover_new(unsigned room)
{
	unsigned size = 2;
	while (size < room)
		size *= 2;
	struct handover *h = aligned_alloc(CACHE_LINE_BYTES,
		(sizeof(*h) + size * sizeof(h->item[0]) + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES *
			CACHE_LINE_BYTES);
	if (!h)
		return NULL;
	atomic_init(&h->given, 0);
	atomic_init(&h->taken, 0);
	atomic_init(&h->rung, false);
	h->mask = size - 1;
	h->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (h->fd >= 0)
		return h;
	free(h);
	return NULL;
}

void handover_free(struct handover *h)
{
	if (!h)
		return;
	close(h->fd);
	free(h);
}

int handover_fd(const struct handover *h)
{
	return h->fd;
}

// In one order with the taker's: either it sees what was given, or we see that it has to be rung.
void handover_ring(struct handover *h)
{
	if (atomic_exchange(&h->rung, true))
		return;
	uint64_t one = 1;
	ssize_t written = write(h->fd, &one, sizeof(one)); // fails only when it has been rung 2^64 times
	(void)written;
}

bool handover_give(struct handover *h, void *item)
{
	unsigned given = atomic_load_explicit(&h->given, memory_order_relaxed);
	if (given - atomic_load_explicit(&h->taken, memory_order_acquire) > h->mask)
		return false;
	h->item[given & h->mask] = item;
	atomic_store_explicit(&h->given, given + 1, memory_order_release);
	handover_ring(h);
	return true;
}

void handover_wake(struct handover *h)
{
	uint64_t rings;
	ssize_t got = read(h->fd, &rings, sizeof(rings));
	(void)got;
	atomic_exchange(&h->rung, false);
}

void *handover_take(struct handover *h)
{
	unsigned taken = atomic_load_explicit(&h->taken, memory_order_relaxed);
	if (taken == atomic_load_explicit(&h->given, memory_order_acquire))
		return NULL;
	void *item = h->item[taken & h->mask];
	atomic_store_explicit(&h->taken, taken + 1, memory_order_release);
	return item;
}
