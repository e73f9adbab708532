// SPDX-License-Identifier: BSD-3-Clause
// A ring of messages in shared memory: one producer, one consumer, no locks. A message counts only when
// the producer has stored the new tail, so a kill at any point leaves whole messages or none: there is
// nothing to repair. Neither side trusts the other's index: an impossible one makes the ring empty and
// is counted by the caller.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <pollux/bounds.h>
#include <pollux/msg.h>
#include <pollux/shm.h>

struct ring_slot {
	struct msg msg;
	uint8_t frame[RING_SLOT_BYTES - sizeof(struct msg)];
};
_Static_assert(sizeof(struct ring_slot) == RING_SLOT_BYTES, "a slot is what the bounds say");
_Static_assert(FRAME_MAX_BYTES <= sizeof(((struct ring_slot *)0)->frame), "a frame fits a slot");

struct ring {
	_Alignas(CACHE_LINE_BYTES) _Atomic uint32_t tail; // written by the producer
	_Alignas(CACHE_LINE_BYTES) _Atomic uint32_t head; // written by the consumer
	_Alignas(CACHE_LINE_BYTES) struct ring_slot slot[RING_SLOTS];
};

// Producer. Messages that may be written now, 0..RING_SLOTS.
static inline uint32_t ring_room(const struct ring *ring)
{
	// Pairs with the release in ring_consume(): the consumer is done with the slots it gave back.
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
	uint32_t used = atomic_load_explicit(&ring->tail, memory_order_relaxed) - head;
	return used > RING_SLOTS ? 0 : RING_SLOTS - used;
}

// The slot of the i-th message not yet committed, i < ring_room().
static inline struct ring_slot *ring_slot_to_fill(struct ring *ring, uint32_t i)
{
	return &ring->slot[(atomic_load_explicit(&ring->tail, memory_order_relaxed) + i) % RING_SLOTS];
}

static inline void ring_commit(struct ring *ring, uint32_t count)
{
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	// Pairs with the acquire in ring_ready(): a message is whole before it can be seen.
	atomic_store_explicit(&ring->tail, tail + count, memory_order_release);
}

// Consumer. Messages that may be read now. An impossible distance (a peer gone mad) empties the ring and
// sets *corrupt.
static inline uint32_t ring_ready(struct ring *ring, bool *corrupt)
{
	uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	uint32_t ready = tail - atomic_load_explicit(&ring->head, memory_order_relaxed);
	*corrupt = ready > RING_SLOTS;
	if (*corrupt) {
		atomic_store_explicit(&ring->head, tail, memory_order_release);
		return 0;
	}
	return ready;
}

// The i-th message not yet consumed, i < ring_ready(). Copy `msg` before checking it.
static inline const struct ring_slot *ring_slot_to_read(const struct ring *ring, uint32_t i)
{
	return &ring->slot[(atomic_load_explicit(&ring->head, memory_order_relaxed) + i) % RING_SLOTS];
}

static inline void ring_consume(struct ring *ring, uint32_t count)
{
	uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	atomic_store_explicit(&ring->head, head + count, memory_order_release);
}

#define RINGS_MAGIC 0x52584c50u // "PLXR"
#define RINGS_FORMAT 2u

// The rings region, owned by the dataplane, written by both.
struct ring_pair {
	struct ring up;	  // dataplane -> control
	struct ring down; // control -> dataplane
};
struct rings {
	struct shm_head head;
	uint32_t workers;
	uint32_t unused;
	_Alignas(CACHE_LINE_BYTES) struct ring_pair worker[];
};

static inline uint64_t rings_bytes(uint32_t workers)
{
	return sizeof(struct rings) + (uint64_t)workers * sizeof(struct ring_pair);
}
