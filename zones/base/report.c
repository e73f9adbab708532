// SPDX-License-Identifier: BSD-3-Clause
#include <stdio.h>

#include <pollux/report.h>

void report_at(struct report *report, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *format, ...)
{
	if (severity == SEVERITY_ERROR)
		report->errors++;
	else
		report->warnings++;
	if (!report->emit)
		return;
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report->emit(report->ctx, severity, file, line, column, text);
}

int report_is_full(const struct report *report)
{
	return report->errors >= (report->max_errors ? report->max_errors : REPORT_MAX_ERRORS);
}

void report_to_stream(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *text)
{
	FILE *to = ctx ? ctx : stderr;
	const char *kind = severity == SEVERITY_ERROR ? "error" : "warning";
	if (line && column)
		fprintf(to, "%s:%u:%u: %s: %s\n", file, line, column, kind, text);
	else if (line)
		fprintf(to, "%s:%u: %s: %s\n", file, line, kind, text);
	else
		fprintf(to, "%s: %s: %s\n", file, kind, text);
}
