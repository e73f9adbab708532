// SPDX-License-Identifier: BSD-3-Clause
// Gives the space of replaced zone images back when no worker can be reading them any more: each living
// worker has passed two turns of its loop since, or no dataplane lives. By a timer of the event loop.
#pragma once

#include <event2/event.h>

#include <pollux/catalog.h>

#include "side_door.h"

struct reclaimer;

// Before anything is written to a catalog that was taken over: a former process may have died between giving space up
// and a worker's next turn. Waits for that turn, a tenth of a second at most; for a dataplane that stands still, all
// free space counts as retired.
void reclaim_await_readers(struct catalog *, const char *directory);

// NULL: no memory. Catalog and side door outlive it.
struct reclaimer *reclaimer_new(struct event_base *, struct catalog *, struct side_door *);
void reclaimer_free(struct reclaimer *);
void reclaimer_wanted(struct reclaimer *); // space was retired just now
// Somebody else than the workers reads an image: nothing is given back until each hold has been released.
void reclaimer_hold(struct reclaimer *);
void reclaimer_release(struct reclaimer *);
