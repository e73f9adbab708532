// SPDX-License-Identifier: BSD-3-Clause
#include "clock.h"
#include "wheel.h"

static unsigned slot_of(uint64_t at_us)
{
	return (unsigned)(at_us / WHEEL_TICK_US) % WHEEL_SLOTS;
}

// Those of one slot whose time has come; others are due a turn of the wheel later.
static void gather(struct wheel *wheel, unsigned slot, uint64_t now_us)
{
	struct wheel_timer *timer, *next;
	LIST_FOREACH_SAFE (timer, &wheel->slot[slot], entry, next) {
		if (timer->due_us > now_us)
			continue;
		LIST_REMOVE(timer, entry);
		LIST_INSERT_HEAD(&wheel->due, timer, entry);
	}
}

static void wait_a_tick(struct wheel *wheel)
{
	const struct timeval tick = { 0, WHEEL_TICK_US };
	event_add(wheel->tick, &tick);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct wheel *wheel = ctx;
	uint64_t now = clock_us();
	uint64_t ticks = now / WHEEL_TICK_US - wheel->done_us / WHEEL_TICK_US;
	(void)fd;
	(void)what;
	for (uint64_t i = 0; i <= ticks && i < WHEEL_SLOTS; i++)
		gather(wheel, slot_of(wheel->done_us + i * WHEEL_TICK_US), now);
	wheel->done_us = now;
	struct wheel_timer *timer;
	while ((timer = LIST_FIRST(&wheel->due))) {
		wheel_unset(wheel, timer);
		wheel->fire(timer);
	}
	if (wheel->count)
		wait_a_tick(wheel);
}

bool wheel_init(struct wheel *wheel, struct event_base *base, void (*fire)(struct wheel_timer *))
{
	wheel->fire = fire;
	wheel->count = 0;
	LIST_INIT(&wheel->due);
	for (unsigned i = 0; i < WHEEL_SLOTS; i++)
		LIST_INIT(&wheel->slot[i]);
	wheel->tick = evtimer_new(base, on_tick, wheel);
	return wheel->tick;
}

void wheel_clear(struct wheel *wheel)
{
	if (wheel->tick)
		event_free(wheel->tick);
	wheel->tick = NULL;
}

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_us, uint64_t now_us)
{
	wheel_unset(wheel, timer);
	if (!wheel->count++) {
		wheel->done_us = now_us;
		if (!event_pending(wheel->tick, EV_TIMEOUT, NULL))
			wait_a_tick(wheel);
	}
	timer->due_us = due_us > wheel->done_us ? due_us : wheel->done_us;
	LIST_INSERT_HEAD(&wheel->slot[slot_of(timer->due_us)], timer, entry);
}

void wheel_unset(struct wheel *wheel, struct wheel_timer *timer)
{
	if (!timer->due_us)
		return;
	LIST_REMOVE(timer, entry);
	timer->due_us = 0;
	wheel->count--;
}
