// SPDX-License-Identifier: BSD-3-Clause
// Which zones are to be served: read from the configuration, its zone list and its zone directory in a loader thread,
// for a list of a million lines takes its time.
#pragma once

#include <pollux/config.h>

#include "findings.h"
#include "loader.h"

struct gathering {
	struct loader_task task; // to be handed to loader_run(); its `done` is the caller's
	struct config config;	 // a copy of what names zones
	struct zone_config *zones;
	unsigned count;
	enum status status; // as of config_zones()
	struct findings findings;
};

struct gathering *gathering_new(const struct config *); // NULL: no memory
// What loader_run() is to do with one that is spent: giving a million names back takes as long as reading them.
void gathering_forget(struct loader_task *, const _Atomic bool *interrupted);
void gathering_free(struct gathering *);		  // NULL is fine; not while a thread runs it
