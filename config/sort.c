// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include "sort.h"

struct sorted_message {
	enum severity severity;
	unsigned line, column, order;
	char *text; // NULL: there was no memory for it
};

static void keep(
	void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	(void)file;
	struct sorted_report *sorted = ctx;
	if (sorted->count == sorted->room) {
		unsigned room = sorted->room ? sorted->room * 2 : 16;
		struct sorted_message *messages = reallocarray(sorted->messages, room, sizeof(*messages));
		if (!messages)
			return; // still counted
		sorted->messages = messages;
		sorted->room = room;
	}
	sorted->messages[sorted->count] =
		(struct sorted_message){ severity, line, column, sorted->count, strdup(text) };
	sorted->count++;
}

// What is said of the file as a whole comes last.
static int by_place(const void *a, const void *b)
{
	const struct sorted_message *x = a, *y = b;
	unsigned line = x->line - 1, other_line = y->line - 1;
	if (line != other_line)
		return line < other_line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

void sorted_report_begin(struct sorted_report *sorted, const struct report *real)
{
	*sorted = (struct sorted_report){
		.report = { .emit = keep, .ctx = sorted, .max_errors = real->max_errors }
	};
}

void sorted_report_end(struct sorted_report *sorted, const char *file, struct report *real)
{
	if (sorted->count)
		qsort(sorted->messages, sorted->count, sizeof(*sorted->messages), by_place);
	for (unsigned i = 0; i < sorted->count; i++) {
		struct sorted_message *m = &sorted->messages[i];
		report_at(real, m->severity, file, m->line, m->column, "%s",
			m->text ? m->text : "out of memory");
		free(m->text);
	}
	free(sorted->messages);
	if (report_is_full(&sorted->report))
		report_at(
			real, SEVERITY_WARNING, file, 0, 0, "gave up after %u errors", sorted->report.errors);
	if (sorted->report.errors && !real->errors)
		real->errors = sorted->report.errors; // there was no memory to keep even one
}
