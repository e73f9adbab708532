// SPDX-License-Identifier: BSD-3-Clause
// Keeps the first lines of a report as text, for whoever asks later: "file:line:column: error: ...". Errors go
// before warnings when there is no room for both. One thread at a time.
#pragma once

#include <stdbool.h>

#include <pollux/report.h>

#define FINDINGS_MAX 20

struct findings {
	struct report report; // hand &findings.report to the reader; its counts include what was not kept
	char *line[FINDINGS_MAX];
	unsigned lines, errors; // kept; the first `errors` lines are errors
};

// The object must not move between init and the last report, for the report points into it.
void findings_init(struct findings *);
void findings_clear(struct findings *); // frees the lines; the counts are 0 again
// Takes the lines of `from`, which is empty afterwards; frees those that were in `to`.
void findings_move(struct findings *to, struct findings *from);
