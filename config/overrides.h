// SPDX-License-Identifier: BSD-3-Clause
// Answers by rule, as the configuration has them.
#pragma once

#include "tree.h"

struct config;

// Every rule of the file that makes no sense, with its place.
void overrides_check_config(struct config *, const struct tree *, struct report *);
