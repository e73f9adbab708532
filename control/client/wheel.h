// SPDX-License-Identifier: BSD-3-Clause
// Timers for many questions at once: setting and clearing one costs a few stores. They fire up to WHEEL_TICK_US
// late, never early. One event loop's thread; microseconds of the monotonic clock.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#define WHEEL_TICK_US 4000
#define WHEEL_SLOTS 256

struct wheel_timer {
	LIST_ENTRY(wheel_timer) entry;
	uint64_t due_us; // 0: not set
};
LIST_HEAD(wheel_timers, wheel_timer);

struct wheel {
	struct event *tick;
	void (*fire)(struct wheel_timer *); // the timer is no longer set; may set and clear any
	unsigned count;
	uint64_t done_us; // every timer due until then has fired
	struct wheel_timers slot[WHEEL_SLOTS], due;
};

bool wheel_init(struct wheel *, struct event_base *, void (*fire)(struct wheel_timer *)); // false: no memory
void wheel_clear(struct wheel *); // timers must be cleared by then
void wheel_set(struct wheel *, struct wheel_timer *, uint64_t due_us, uint64_t now_us); // also one that is set
void wheel_unset(struct wheel *, struct wheel_timer *);
