// SPDX-License-Identifier: BSD-3-Clause
// Any JSON as text for people: objects as aligned "key: value" lines, arrays of objects as tables, what is nested
// indented. Knows no key by name. Control characters in strings never reach the terminal.
#pragma once

#include <stdio.h>

#include <jansson.h>

// `show`: an array of the members of `data` to be seen, in that order; NULL: all.
void render(FILE *to, const json_t *data, const json_t *show);
