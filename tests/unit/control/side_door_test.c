// SPDX-License-Identifier: BSD-3-Clause
// Control's end of the rings against a dataplane made by the test: the same regions, no NIC.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pollux/log.h>
#include <pollux/ring.h>

#include "fake_dataplane.h"
#include "side_door.h"

#define WORKERS 2

struct world {
	char directory[64];
	struct event_base *base;
	struct side_door *door;
	struct fake_dataplane plane;
	unsigned seen, attaches;
	struct msg last;
	uint8_t frame[FRAME_MAX_BYTES];
};

static void fill_miss(struct fake_dataplane *plane, struct ring_slot *slot, uint8_t mark)
{
	slot->msg = (struct msg){ .time_ms = now_ms(),
		.generation = (uint32_t)plane->rings->head.generation,
		.type = MSG_MISS,
		.bytes = 80,
		.network_at = 14,
		.dns_at = 42 };
	memset(slot->frame, mark, 80);
}

static void plane_misses(struct fake_dataplane *plane, unsigned worker, uint8_t mark)
{
	struct ring *up = &plane->rings->worker[worker].up;
	assert_true(ring_room(up) > 0);
	fill_miss(plane, ring_slot_to_fill(up, 0), mark);
	ring_commit(up, 1);
}

static void on_message(void *ctx, const struct msg *msg, const uint8_t *frame)
{
	struct world *w = ctx;
	w->seen++;
	w->last = *msg;
	memcpy(w->frame, frame, msg->bytes);
}

static void on_attach(void *ctx, const struct stats *stats)
{
	struct world *w = ctx;
	assert_non_null(stats);
	w->attaches++;
}

static int setup(void **state)
{
	log_set_level(LOG_LEVEL_ERROR);
	struct world *w = calloc(1, sizeof(*w));
	snprintf(w->directory, sizeof(w->directory), "/tmp/side_door_test.XXXXXX");
	if (!mkdtemp(w->directory))
		return -1;
	w->base = event_base_new();
	w->door = side_door_new(w->base, NULL, w->directory);
	side_door_on(w->door, MSG_MISS, on_message, w);
	side_door_on(w->door, MSG_PUNT, on_message, w);
	side_door_on_attach(w->door, on_attach, w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	side_door_free(w->door);
	event_base_free(w->base);
	plane_stop(&w->plane);
	plane_remove_files(w->directory);
	rmdir(w->directory);
	free(w);
	return 0;
}

static void a_dataplane_that_comes_later_is_found(void **state)
{
	struct world *w = *state;
	for (unsigned i = 0; i < 3; i++)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_false(side_door_is_attached(w->door));
	assert_null(side_door_stats(w->door));
	plane_start(&w->plane, w->directory, WORKERS);
	AWAIT(w->base, side_door_is_attached(w->door));
	assert_int_equal(w->attaches, 1);
	assert_int_equal(side_door_workers(w->door), WORKERS);
	assert_int_equal(side_door_ports(w->door), 1);
}

static void messages_of_every_worker_arrive_as_they_were_sent(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, WORKERS);
	plane_misses(&w->plane, 0, 0xa0);
	AWAIT(w->base, w->seen == 1);
	assert_int_equal(w->last.worker, 0);
	plane_misses(&w->plane, 1, 0xa1);
	AWAIT(w->base, w->seen == 2);
	assert_int_equal(w->last.worker, 1);
	assert_int_equal(w->last.bytes, 80);
	assert_int_equal(w->frame[79], 0xa1);
	assert_int_equal(side_door_counters(w->door)->received[MSG_MISS], 2);
}

static void a_reply_carries_the_headers_and_the_answer_to_the_worker_that_asked(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, WORKERS);
	plane_misses(&w->plane, 1, 0x42);
	AWAIT(w->base, w->seen == 1);
	uint8_t dns[100];
	memset(dns, 0x55, sizeof(dns));
	assert_int_equal(side_door_reply(w->door, &w->last, w->frame, dns, sizeof(dns)), ST_OK);
	bool corrupt;
	assert_int_equal(ring_ready(&w->plane.rings->worker[0].down, &corrupt), 0);
	assert_int_equal(ring_ready(&w->plane.rings->worker[1].down, &corrupt), 1);
	const struct ring_slot *slot = ring_slot_to_read(&w->plane.rings->worker[1].down, 0);
	assert_true(msg_is_sound(&slot->msg, FROM_CONTROL));
	assert_int_equal(slot->msg.type, MSG_REPLY);
	assert_int_equal(slot->msg.bytes, 142);
	assert_int_equal(slot->msg.time_ms, w->last.time_ms);
	assert_int_equal(slot->frame[41], 0x42);
	assert_int_equal(slot->frame[42], 0x55);
	assert_int_equal(slot->frame[141], 0x55);
}

static void a_frame_leaves_by_the_worker_that_serves_its_port(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, WORKERS);
	w->plane.stats->port[0].worker = 1;
	AWAIT(w->base, side_door_is_attached(w->door));
	uint8_t frame[60] = { 1 };
	assert_int_equal(side_door_frame(w->door, 0, frame, sizeof(frame)), ST_OK);
	bool corrupt;
	assert_int_equal(ring_ready(&w->plane.rings->worker[1].down, &corrupt), 1);
	assert_int_equal(ring_slot_to_read(&w->plane.rings->worker[1].down, 0)->msg.type, MSG_FRAME);
	assert_int_equal(side_door_frame(w->door, 1, frame, sizeof(frame)), ST_NOT_FOUND);
	assert_int_equal(side_door_frame(w->door, 0, frame, FRAME_MAX_BYTES + 1), ST_INVALID);
	assert_int_equal(side_door_frame(w->door, 0, frame, 0), ST_INVALID);
}

static void a_full_ring_is_told_and_counted(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, 1);
	AWAIT(w->base, side_door_is_attached(w->door));
	uint8_t frame[60] = { 0 };
	for (unsigned i = 0; i < RING_SLOTS; i++)
		assert_int_equal(side_door_frame(w->door, 0, frame, sizeof(frame)), ST_OK);
	assert_int_equal(side_door_frame(w->door, 0, frame, sizeof(frame)), ST_FULL);
	assert_int_equal(side_door_counters(w->door)->ring_full, 1);
	assert_int_equal(side_door_counters(w->door)->sent[MSG_FRAME], RING_SLOTS);
}

static void malformed_and_stale_messages_are_counted_and_never_handed_on(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, 1);
	AWAIT(w->base, side_door_is_attached(w->door));
	struct ring *up = &w->plane.rings->worker[0].up;
	for (unsigned i = 0; i < 7; i++)
		fill_miss(&w->plane, ring_slot_to_fill(up, i), 0);
	ring_slot_to_fill(up, 0)->msg.type = MSG_COUNT;
	ring_slot_to_fill(up, 1)->msg.type = MSG_REPLY; // control's own kind
	ring_slot_to_fill(up, 2)->msg.bytes = FRAME_MAX_BYTES + 1;
	ring_slot_to_fill(up, 3)->msg.dns_at = 79;
	ring_slot_to_fill(up, 4)->msg.port = 1; // there is one port
	ring_slot_to_fill(up, 5)->msg.generation++;
	ring_slot_to_fill(up, 6)->msg.time_ms -= MESSAGE_MAX_AGE_MS + 1000;
	ring_commit(up, 7);
	plane_misses(&w->plane, 0, 9);
	AWAIT(w->base, w->seen == 1);
	assert_int_equal(w->frame[0], 9);
	assert_int_equal(side_door_counters(w->door)->malformed, 5);
	assert_int_equal(side_door_counters(w->door)->stale, 2);
}

static void an_impossible_index_is_counted_and_the_ring_goes_on(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, 1);
	AWAIT(w->base, side_door_is_attached(w->door));
	struct ring *up = &w->plane.rings->worker[0].up;
	atomic_fetch_add(&up->tail, RING_SLOTS + 5);
	AWAIT(w->base, side_door_counters(w->door)->corrupt == 1);
	plane_misses(&w->plane, 0, 3);
	AWAIT(w->base, w->seen == 1);
}

static void counts_that_do_not_fit_the_regions_are_not_believed(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, 1);
	w->plane.rings->workers = w->plane.stats->workers = WORKERS_MAX;
	log_set_level((enum log_level)-1); // it says so; not wanted in the test's output
	for (unsigned i = 0; i < 5; i++)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_false(side_door_is_attached(w->door));
	log_set_level(LOG_LEVEL_ERROR);
	w->plane.rings->workers = w->plane.stats->workers = 1;
	AWAIT(w->base, side_door_is_attached(w->door));
}

static void a_burst_does_not_keep_the_event_loop_from_its_other_work(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, 1);
	AWAIT(w->base, side_door_is_attached(w->door));
	struct ring *up = &w->plane.rings->worker[0].up;
	for (unsigned i = 0; i < RING_SLOTS; i++)
		fill_miss(&w->plane, ring_slot_to_fill(up, i), 0);
	ring_commit(up, RING_SLOTS);
	AWAIT(w->base, w->seen > 0);
	assert_true(w->seen < RING_SLOTS);
	AWAIT(w->base, w->seen == RING_SLOTS);
}

static void a_new_generation_in_the_same_file_is_another_dataplane(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, 1);
	plane_misses(&w->plane, 0, 1);
	AWAIT(w->base, w->seen == 1);
	struct msg old = w->last;
	plane_stop(&w->plane);
	plane_start(&w->plane, w->directory, 1); // so fast that no check fell between
	AWAIT(w->base, w->attaches == 2);
	uint8_t dns[20] = { 0 };
	assert_int_equal(side_door_reply(w->door, &old, w->frame, dns, sizeof(dns)), ST_NOT_FOUND);
	assert_int_equal(side_door_counters(w->door)->no_dataplane, 1);
	plane_misses(&w->plane, 0, 2);
	AWAIT(w->base, w->seen == 2);
}

static void a_replaced_file_with_more_workers_is_mapped_again(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, 1);
	AWAIT(w->base, w->attaches == 1);
	plane_stop(&w->plane);
	AWAIT(w->base, !side_door_is_attached(w->door));
	uint8_t frame[60] = { 0 };
	assert_int_equal(side_door_frame(w->door, 0, frame, sizeof(frame)), ST_NOT_FOUND);
	plane_start(&w->plane, w->directory, 4); // another shape: a new file under the old name
	AWAIT(w->base, w->attaches == 2);
	assert_int_equal(side_door_workers(w->door), 4);
	plane_misses(&w->plane, 3, 7);
	AWAIT(w->base, w->seen == 1);
	assert_int_equal(w->last.worker, 3);
}

static void changed_port_addresses_are_told_again(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, 1);
	AWAIT(w->base, w->attaches == 1);
	w->plane.stats->port[0].mac[5] = 0x99;
	AWAIT(w->base, w->attaches == 2);
	assert_int_equal(side_door_counters(w->door)->attaches, 1);
}

static void a_link_that_comes_or_goes_is_told(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, 1);
	AWAIT(w->base, w->attaches == 1);
	w->plane.stats->port[0].link_up ^= 1;
	AWAIT(w->base, w->attaches == 2);
	assert_int_equal(side_door_counters(w->door)->attaches, 1);
}

// The child is a dataplane that is killed with a message written but not committed.
static pid_t start_doomed_dataplane(struct world *w, int ready_fd)
{
	pid_t child = fork();
	if (child != 0)
		return child;
	struct fake_dataplane plane;
	plane_start(&plane, w->directory, 1);
	plane_misses(&plane, 0, 0x11);
	plane_misses(&plane, 0, 0x22);
	struct ring_slot *half = ring_slot_to_fill(&plane.rings->worker[0].up, 0);
	memset(half, 0xff, sizeof(*half) / 2);
	if (write(ready_fd, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void a_kill_in_the_middle_of_an_enqueue_leaves_whole_messages_and_a_working_ring(void **state)
{
	struct world *w = *state;
	int ready[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	pid_t child = start_doomed_dataplane(w, ready[1]);
	assert_true(child > 0);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	AWAIT(w->base, side_door_is_attached(w->door));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(ready[0]);
	close(ready[1]);
	AWAIT(w->base, w->seen == 2);
	assert_int_equal(w->frame[0], 0x22);
	AWAIT(w->base, !side_door_is_attached(w->door));
	plane_start(&w->plane, w->directory, 1);
	plane_misses(&w->plane, 0, 0x33);
	AWAIT(w->base, w->seen == 3);
	assert_int_equal(w->frame[0], 0x33);
	assert_int_equal(side_door_counters(w->door)->malformed, 0);
	assert_int_equal(side_door_counters(w->door)->corrupt, 0);
}

// The child is a control that is killed in the middle of a reply; the next control's replies come whole.
static void a_control_killed_in_the_middle_of_a_reply_leaves_a_working_ring(void **state)
{
	struct world *w = *state;
	plane_start(&w->plane, w->directory, 1);
	int ready[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		struct shm shm;
		char path[128];
		snprintf(path, sizeof(path), "%s/rings", w->directory);
		if (shm_join(&shm, path, RINGS_MAGIC, RINGS_FORMAT, SHM_WRITE) != ST_OK)
			_exit(1);
		struct rings *rings = shm.base;
		memset(ring_slot_to_fill(&rings->worker[0].down, 0), 0xee, 100);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(ready[0]);
	close(ready[1]);
	AWAIT(w->base, side_door_is_attached(w->door));
	uint8_t frame[64];
	memset(frame, 0x5a, sizeof(frame));
	assert_int_equal(side_door_frame(w->door, 0, frame, sizeof(frame)), ST_OK);
	bool corrupt;
	struct ring *down = &w->plane.rings->worker[0].down;
	assert_int_equal(ring_ready(down, &corrupt), 1);
	assert_true(msg_is_sound(&ring_slot_to_read(down, 0)->msg, FROM_CONTROL));
	assert_int_equal(ring_slot_to_read(down, 0)->frame[0], 0x5a);
}

#define SENTENCE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SENTENCE(a_dataplane_that_comes_later_is_found),
		SENTENCE(messages_of_every_worker_arrive_as_they_were_sent),
		SENTENCE(a_reply_carries_the_headers_and_the_answer_to_the_worker_that_asked),
		SENTENCE(a_frame_leaves_by_the_worker_that_serves_its_port),
		SENTENCE(a_full_ring_is_told_and_counted),
		SENTENCE(malformed_and_stale_messages_are_counted_and_never_handed_on),
		SENTENCE(an_impossible_index_is_counted_and_the_ring_goes_on),
		SENTENCE(counts_that_do_not_fit_the_regions_are_not_believed),
		SENTENCE(a_burst_does_not_keep_the_event_loop_from_its_other_work),
		SENTENCE(a_new_generation_in_the_same_file_is_another_dataplane),
		SENTENCE(a_replaced_file_with_more_workers_is_mapped_again),
		SENTENCE(changed_port_addresses_are_told_again),
		SENTENCE(a_link_that_comes_or_goes_is_told),
		SENTENCE(a_kill_in_the_middle_of_an_enqueue_leaves_whole_messages_and_a_working_ring),
		SENTENCE(a_control_killed_in_the_middle_of_a_reply_leaves_a_working_ring),
	};
	return cmocka_run_group_tests_name("side_door", tests, NULL, NULL) ? 1 : 0;
}
