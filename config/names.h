// SPDX-License-Identifier: BSD-3-Clause
// A set of zones by apex, to find those named twice.
#pragma once

#include <pollux/config.h>

struct name_set {
	unsigned *slots; // index + 1 into the caller's array
	unsigned slot_count, used;
};

// Adds zones[index]. Returns the index of an equal apex that is in the set already, else `index`. A set
// without memory finds nothing.
unsigned name_set_add(struct name_set *, const struct zone_config *zones, unsigned index);
void name_set_free(struct name_set *);
