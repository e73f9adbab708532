// SPDX-License-Identifier: BSD-3-Clause
// The file of the zones added while running: a zone list, read with zone_list_read().
#pragma once

#include <stdbool.h>

#include <pollux/config.h>

// Whether a path can stand in a zone list and be read back as it is.
bool added_can_hold(const char *file);
// Replaces the file, and makes its directory; without zones it is removed. ST_SYSTEM: errno says why, and the former one stays.
CHECKED enum status added_write(const char *path, const struct zone_config *zones, unsigned count);
