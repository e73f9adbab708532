// SPDX-License-Identifier: BSD-3-Clause
// Any text is either refused with a message or becomes a configuration that prints and reads back to itself.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/config.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void differs(void *ctx, const char *key, enum config_effect effect)
{
	(void)ctx;
	(void)effect;
	fprintf(stderr, "differs after printing: %s\n", key);
	abort();
}

static void must_have_a_place(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *text)
{
	(void)ctx;
	if (!*text || strcmp(file, "/fuzz.conf") != 0 || (severity == SEVERITY_ERROR && (!line || !column)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report report = { .emit = must_have_a_place };
	struct config *config, *again;
	enum status status = config_read_text(&config, (const char *)data, size, "/fuzz.conf", &report);
	if ((status == ST_OK) != (report.errors == 0) || (status == ST_OK) != (config != NULL))
		abort();
	if (status != ST_OK)
		return 0;
	char *printed = NULL;
	size_t bytes = 0;
	FILE *to = open_memstream(&printed, &bytes);
	if (!to)
		abort();
	config_print(config, to);
	fclose(to);
	if (config_read_text(&again, printed, bytes, "/fuzz.conf", &report) != ST_OK) {
		fprintf(stderr, "does not read back:\n%s", printed);
		abort();
	}
	config_differences(config, again, differs, NULL);
	config_free(config);
	config_free(again);
	free(printed);
	return 0;
}
