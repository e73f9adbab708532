// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Writes "did you mean 'lcores'?" or "it belongs into 'dataplane'" for an unknown key below `prefix`
// ("", "tcp.", "ports[]."). False: nothing resembles it.
bool suggest_key(const char *prefix, const char *key, char *hint, size_t room);
// Letters to change, leave out, add or swap; - and _ are the same.
unsigned suggest_distance(const char *a, const char *b);
