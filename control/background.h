// SPDX-License-Identifier: BSD-3-Clause
// Work that a thread of its own does while the event loop goes on: one piece at a time, its end told in the
// loop. All but `work` on the event loop's thread.
#pragma once

#include <stdbool.h>

#include <event2/event.h>

#include <pollux/status.h>

struct background;
// `work` runs in the thread, which has that name, and `done` in the event loop once it has returned. What
// `ctx` leads to belongs to the thread in between, as far as `work` goes. NULL: no memory or no descriptor.
struct background *background_new(
	struct event_base *, const char *name, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);
// Waits for a thread under way, without telling its end; NULL is fine.
void background_free(struct background *);

// ST_BUSY: it is under way already; ST_SYSTEM: no thread, nothing has happened.
CHECKED enum status background_start(struct background *);
bool background_is_busy(const struct background *);
// Waits for the thread; `done` is not called. True: one was under way.
bool background_wait(struct background *);
