// SPDX-License-Identifier: BSD-3-Clause
// What no single value can tell: the rules between options. The tree gives the places.
#pragma once

#include "schema.h"
#include "tree.h"

// Values that are missing because they were wrong are passed over. ST_OK: no errors.
enum status config_check(struct config *, const struct tree *, const char *name, struct report *);
