// SPDX-License-Identifier: BSD-3-Clause
// The pipeline from file to file: the same stages as on a port, with the zones loaded by this process.
#pragma once

#include <stdbool.h>

#include <pollux/config.h>

// Reads `in`, writes answers to `out`, from the zones and the cache region `cache` (NULL: none), prints every counter that is not zero. Returns the exit code: 0, or 1
// when something failed, was lost or does not add up.
int replay(const struct config *, const char *in, const char *out, const char *cache, bool json);
