// SPDX-License-Identifier: BSD-3-Clause
// $GENERATE, as BIND writes it: a range, and a line in which $ and ${offset,width,base} stand for each
// number.
#pragma once

#include "text.h"

#define GENERATE_MAX_LINES (1u << 24)

struct generator {
	uint32_t at, stop, step;
	bool ended;
	char *pattern; // words with one blank between them, quoted strings with their quotes
	size_t pattern_bytes;
	char *line; // the one made last, with its newline
	size_t line_room;
};

// Consumes the whole directive, the current token being the range. False: reported, nothing to close.
bool generator_open(struct generator *, struct scanner *);
// The next line, valid until the next call. False: none left, or reported.
bool generator_next(struct generator *, struct scanner *, const char **text, size_t *bytes);
void generator_close(struct generator *);
