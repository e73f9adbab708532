// SPDX-License-Identifier: BSD-3-Clause
// Any text is a master file: each record that comes out of it is well-formed and has a text that reads back
// to itself; and there is a message, with its place, exactly when the reading fails.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#define RECORDS_READ_BACK 16
#define TEXT_BYTES (4 * 65535 + 4096)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t origin[] = "\7example\3com";

struct run {
	unsigned records;
	bool is_second;
	char *text; // of the record that is read back
};

static void must_have_a_place(
	void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	(void)ctx;
	if (!*text || (severity == SEVERITY_ERROR && (strcmp(file, "fuzz") != 0 || !line)))
		abort();
	(void)column;
}

static enum status take(void *ctx, const struct record *record);

static void read_back(const struct record *record)
{
	struct report report = { .emit = report_to_stream };
	struct run second = { .is_second = true };
	char owner[NAME_TEXT_BYTES], type[16], *line = malloc(TEXT_BYTES + 2048);
	second.text = malloc(TEXT_BYTES);
	if (!line || !second.text)
		abort();
	size_t needed =
		rdata_to_text(second.text, TEXT_BYTES, record->type, record->rdata, record->rdata_bytes);
	if (needed >= TEXT_BYTES || needed != strlen(second.text))
		abort();
	int bytes = snprintf(line, TEXT_BYTES + 2048, "%s %u IN %s %s\n", name_to_text(owner, record->owner),
		record->ttl, rrtype_to_text(type, record->type), second.text);
	if (zonefile_read_text(line, (size_t)bytes, "second", origin, take, &second, &report) != ST_OK ||
		second.records != 1) {
		fprintf(stderr, "does not read back: %s", line);
		abort();
	}
	free(second.text);
	free(line);
}

static enum status take(void *ctx, const struct record *record)
{
	struct run *run = ctx;
	run->records++;
	if (!name_length(record->owner, NAME_MAX_BYTES) || record->ttl > TTL_MAX_S || record->class != 1 ||
		rdata_check(record->type, record->rdata, record->rdata_bytes))
		abort();
	if (run->is_second) {
		char *again = malloc(TEXT_BYTES);
		if (!again)
			abort();
		rdata_to_text(again, TEXT_BYTES, record->type, record->rdata, record->rdata_bytes);
		if (strcmp(again, run->text) != 0) {
			fprintf(stderr, "first  %s\nsecond %s\n", run->text, again);
			abort();
		}
		free(again);
	} else if (run->records <= RECORDS_READ_BACK) {
		read_back(record);
	}
	return run->records < 1000 ? ST_OK : ST_FULL; // $GENERATE makes many of a few octets
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report report = { .emit = must_have_a_place };
	struct run first = { 0 };
	enum status status =
		zonefile_read_text((const char *)data, size, "fuzz", origin, take, &first, &report);
	if ((status == ST_SYNTAX) != (report.errors > 0) && status != ST_FULL)
		abort();
	return 0;
}
