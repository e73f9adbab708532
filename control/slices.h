// SPDX-License-Identifier: BSD-3-Clause
// Long work done by the event loop in slices of 2 ms, so that everybody else gets their turn in between. One event loop's
// thread.
#pragma once

#include <stdbool.h>

#include <event2/event.h>

#include <pollux/status.h>

struct slices;
struct slices *slices_new(struct event_base *); // NULL: no memory
void slices_free(struct slices *); // jobs under way end unfinished; NULL is fine

// `work` does a piece that takes some microseconds and says whether there is more; `end` is called once, after the last
// piece, or with `finished` false. Neither is called before this returns. ST_NO_MEMORY: nor later.
CHECKED enum status slices_start(
	struct slices *, bool (*work)(void *ctx), void (*end)(void *ctx, bool finished), void *ctx);
