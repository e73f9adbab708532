// SPDX-License-Identifier: BSD-3-Clause
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "findings.h"

static char *finding_text(enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	char *made = NULL;
	size_t bytes;
	FILE *to = open_memstream(&made, &bytes);
	if (!to)
		return NULL;
	report_to_stream(to, severity, file, line, column, text);
	if (fclose(to) != 0)
		return NULL;
	made[strcspn(made, "\n")] = '\0';
	return made;
}

static void keep(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *text)
{
	struct findings *findings = ctx;
	bool full = findings->lines == FINDINGS_MAX;
	if (full && (severity == SEVERITY_WARNING || findings->errors == findings->lines))
		return;
	char *made = finding_text(severity, file, line, column, text);
	if (!made)
		return;
	if (full)
		free(findings->line[--findings->lines]);
	unsigned at = severity == SEVERITY_ERROR ? findings->errors++ : findings->lines;
	memmove(&findings->line[at + 1], &findings->line[at], (findings->lines - at) * sizeof(char *));
	findings->line[at] = made;
	findings->lines++;
}

void findings_init(struct findings *findings)
{
	*findings = (struct findings){ .report = { .emit = keep } };
	findings->report.ctx = findings;
}

void findings_clear(struct findings *findings)
{
	for (unsigned i = 0; i < findings->lines; i++)
		free(findings->line[i]);
	findings_init(findings);
}

void findings_move(struct findings *to, struct findings *from)
{
	findings_clear(to);
	*to = *from;
	to->report.ctx = to;
	findings_init(from);
}
