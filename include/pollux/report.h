// SPDX-License-Identifier: BSD-3-Clause
// Where errors in files go: zone files, zone lists, configurations. Every reader reports all errors of
// a file in one pass; whoever called decides what becomes of the lines.
#pragma once

#include <stdarg.h>

enum severity { SEVERITY_WARNING, SEVERITY_ERROR };

struct report {
	// `text` is one line without its end, valid during the call. NULL: count only.
	void (*emit)(void *ctx, enum severity, const char *file, unsigned line, unsigned column, const char *text);
	void *ctx;
	unsigned max_errors; // after as many a reader gives up; 0: REPORT_MAX_ERRORS
	unsigned errors, warnings; // counted here
};

#define REPORT_MAX_ERRORS 100

// Line and column count from 1; 0 is "the file as a whole".
__attribute__((format(printf, 6, 7))) void report_at(struct report *, enum severity, const char *file,
	unsigned line, unsigned column, const char *format, ...);
int report_is_full(const struct report *);
// An emit function: "file:line:column: error: text" to the FILE in ctx (GNU form); NULL ctx: stderr.
void report_to_stream(void *ctx, enum severity, const char *file, unsigned line, unsigned column, const char *text);
