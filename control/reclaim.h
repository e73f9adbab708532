// SPDX-License-Identifier: BSD-3-Clause
// Gives the space of replaced zone images back when no worker can be reading them any more: each living
// worker has passed two turns of its loop since, or no dataplane lives. By a timer of the event loop.
#pragma once

#include <event2/event.h>

#include <pollux/catalog.h>

#include "side_door.h"

struct reclaimer;

// NULL: no memory. Catalog and side door outlive it.
struct reclaimer *reclaimer_new(struct event_base *, struct catalog *, struct side_door *);
void reclaimer_free(struct reclaimer *);
void reclaimer_wanted(struct reclaimer *); // space was retired just now
// Somebody else than the workers reads an image: nothing is given back until each hold has been released.
void reclaimer_hold(struct reclaimer *);
void reclaimer_release(struct reclaimer *);
