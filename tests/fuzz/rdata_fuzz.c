// SPDX-License-Identifier: BSD-3-Clause
// Any octets are RDATA of any type (the first two): checked, printed, walked for names without a step
// outside; and what is well-formed has a text that reads back to the same text.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/bytes.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#define TEXT_BYTES (4 * 65535 + 4096)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rdata {
	const uint8_t *octets;
	size_t bytes;
};

static void name_is_inside(void *ctx, unsigned at, bool compressible)
{
	const struct rdata *rdata = ctx;
	(void)compressible;
	if (at >= rdata->bytes || !name_length(rdata->octets + at, rdata->bytes - at))
		abort();
}

static enum status same_text(void *ctx, const struct record *record)
{
	char *again = malloc(TEXT_BYTES);
	if (!again)
		abort();
	rdata_to_text(again, TEXT_BYTES, record->type, record->rdata, record->rdata_bytes);
	if (strcmp(again, ctx) != 0) {
		fprintf(stderr, "first  %s\nsecond %s\n", (const char *)ctx, again);
		abort();
	}
	free(again);
	return ST_OK;
}

static void read_back(uint16_t type, char *text)
{
	static const uint8_t root[] = { 0 };
	struct report report = { .emit = report_to_stream };
	char name[16], *line = malloc(TEXT_BYTES + 64);
	if (!line)
		abort();
	int bytes = snprintf(line, TEXT_BYTES + 64, ". 1 %s %s", rrtype_to_text(name, type), text);
	if (zonefile_read_text(line, (size_t)bytes, "text", root, same_text, text, &report) != ST_OK) {
		fprintf(stderr, "does not read back: %s\n", line);
		abort();
	}
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 65537)
		return 0;
	uint16_t type = load_be16(data);
	struct rdata rdata = { data + 2, size - 2 };
	char *text = malloc(TEXT_BYTES), part[8];
	if (!text)
		abort();
	size_t needed = rdata_to_text(text, TEXT_BYTES, type, rdata.octets, rdata.bytes);
	if (needed >= TEXT_BYTES || strlen(text) != needed)
		abort();
	if (rdata_to_text(part, sizeof(part), type, rdata.octets, rdata.bytes) != needed ||
		strncmp(part, text, strlen(part)) != 0 || strlen(part) != (needed < 8 ? needed : 7))
		abort();
	bool good = !rdata_check(type, rdata.octets, rdata.bytes);
	if (good)
		rdata_names(type, rdata.octets, rdata.bytes, name_is_inside, &rdata);
	if (good && type != 0 && type != TYPE_OPT && (type < 249 || type > 255))
		read_back(type, text);
	free(text);
	return 0;
}
