// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pollux/ring.h>

static struct ring *new_ring(void)
{
	struct ring *ring = aligned_alloc(CACHE_LINE_BYTES, sizeof(*ring));
	assert_non_null(ring);
	atomic_store(&ring->head, 0);
	atomic_store(&ring->tail, 0);
	return ring;
}

static void a_message_is_seen_only_after_its_commit(void **state)
{
	(void)state;
	struct ring *ring = new_ring();
	bool corrupt;
	ring_slot_to_fill(ring, 0)->msg.bytes = 7;
	assert_int_equal(ring_ready(ring, &corrupt), 0);
	ring_commit(ring, 1);
	assert_int_equal(ring_ready(ring, &corrupt), 1);
	assert_int_equal(ring_slot_to_read(ring, 0)->msg.bytes, 7);
	free(ring);
}

static void a_full_ring_has_no_room_until_something_is_consumed(void **state)
{
	(void)state;
	struct ring *ring = new_ring();
	assert_int_equal(ring_room(ring), RING_SLOTS);
	ring_commit(ring, RING_SLOTS);
	assert_int_equal(ring_room(ring), 0);
	ring_consume(ring, 3);
	assert_int_equal(ring_room(ring), 3);
	free(ring);
}

static void indices_may_wrap_round(void **state)
{
	(void)state;
	struct ring *ring = new_ring();
	bool corrupt;
	atomic_store(&ring->head, UINT32_MAX - 1);
	atomic_store(&ring->tail, UINT32_MAX - 1);
	for (unsigned i = 0; i < 4; i++) {
		ring_slot_to_fill(ring, 0)->msg.bytes = (uint16_t)i;
		ring_commit(ring, 1);
		assert_int_equal(ring_ready(ring, &corrupt), 1);
		assert_int_equal(ring_slot_to_read(ring, 0)->msg.bytes, i);
		ring_consume(ring, 1);
	}
	free(ring);
}

static void an_impossible_index_empties_the_ring_and_is_told(void **state)
{
	(void)state;
	struct ring *ring = new_ring();
	bool corrupt;
	atomic_store(&ring->tail, RING_SLOTS + 1);
	assert_int_equal(ring_room(ring), 0);
	assert_int_equal(ring_ready(ring, &corrupt), 0);
	assert_true(corrupt);
	assert_int_equal(ring_ready(ring, &corrupt), 0);
	assert_false(corrupt);
	assert_int_equal(ring_room(ring), RING_SLOTS);
	free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_seen_only_after_its_commit),
		cmocka_unit_test(a_full_ring_has_no_room_until_something_is_consumed),
		cmocka_unit_test(indices_may_wrap_round),
		cmocka_unit_test(an_impossible_index_empties_the_ring_and_is_told),
	};
	return cmocka_run_group_tests_name("ring", tests, NULL, NULL) ? 1 : 0;
}
