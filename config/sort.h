// SPDX-License-Identifier: BSD-3-Clause
// Keeps the messages about one file back and passes them on in the order of its lines.
#pragma once

#include <pollux/report.h>

struct sorted_message;

struct sorted_report {
	struct report report; // to be used instead of the real one
	struct sorted_message *messages;
	unsigned count, room;
};

void sorted_report_begin(struct sorted_report *, const struct report *real);
// Passes everything on to `real` and frees.
void sorted_report_end(struct sorted_report *, const char *file, struct report *real);
