// SPDX-License-Identifier: BSD-3-Clause
// What each part of loading one zone costs, as JSON: seconds of CPU time (of all threads), on the clock, and octets.
//   load_bench parse ORIGIN FILE             reads all records and forgets them
//   load_bench load ORIGIN FILE [THREADS]    the whole way into an image
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pollux/name.h>
#include <pollux/zonefile.h>

static double time_s(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double clock_s(void)
{
	return time_s(CLOCK_MONOTONIC);
}

// CPU time since the last call.
static double lap_s(void)
{
	static double last;
	double now = time_s(CLOCK_PROCESS_CPUTIME_ID), lap = now - last;
	last = now;
	return lap;
}

// A value of /proc/self/status, which are all in kB.
static uint64_t memory_bytes(const char *key)
{
	char line[256];
	unsigned long long kilobytes = 0;
	FILE *file = fopen("/proc/self/status", "r");
	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) == 0)
			sscanf(line + strlen(key), ": %llu", &kilobytes);
	}
	if (file)
		fclose(file);
	return (uint64_t)kilobytes * 1024;
}

static enum status count_record(void *ctx, const struct record *record)
{
	(void)record;
	++*(uint64_t *)ctx;
	return ST_OK;
}

static int fail(const char *what, enum status status)
{
	fprintf(stderr, "load_bench: %s: %s\n", what, status_text(status));
	return 1;
}

static int parse(const uint8_t *origin, const char *path)
{
	struct report report = { .emit = report_to_stream };
	uint64_t records = 0;
	lap_s();
	enum status status = zonefile_read(path, origin, count_record, &records, &report, NULL);
	double parse_s = lap_s();
	if (status != ST_OK)
		return fail(path, status);
	printf("{\"records\": %" PRIu64 ", \"parse_s\": %.4f}\n", records, parse_s);
	return 0;
}

static int load(const uint8_t *origin, const char *path, unsigned threads)
{
	struct report report = { 0 }; // warnings are counted, not printed
	struct catalog *catalog;
	struct zonefile_source source;
	void *room;
	enum status status = catalog_open_private(&catalog, 1);
	struct zone_builder *builder = zone_builder_new(origin, 1);
	if (status != ST_OK || !builder)
		return fail("start", ST_NO_MEMORY);
	zone_builder_set_report(builder, &report);
	zone_builder_set_threads(builder, threads);
	uint64_t before = memory_bytes("VmRSS");
	lap_s();
	double began = clock_s();
	status = zone_builder_read(builder, path, origin, &report, &source);
	double read_s = lap_s(), read_clock_s = clock_s() - began;
	if (status != ST_OK)
		return fail(path, status);
	status = zone_builder_check(builder);
	double check_s = lap_s();
	if (status != ST_OK)
		return fail("check", status);
	uint64_t records_bytes = memory_bytes("VmRSS") - before;
	lap_s();
	uint64_t bytes = zone_builder_image_bytes(builder, &source);
	status = catalog_reserve(catalog, bytes, &room);
	double reserve_s = lap_s();
	if (status != ST_OK)
		return fail("room", status);
	zone_builder_write(builder, room, &source, 1);
	double write_s = lap_s(), all_clock_s = clock_s() - began;
	const struct image *image = room;
	printf("{\"records\": %" PRIu32 ", \"names\": %" PRIu32
	       ", \"warnings\": %u, \"read_s\": %.4f, \"check_s\": %.4f, "
	       "\"reserve_s\": %.4f, \"write_s\": %.4f, "
	       "\"read_clock_s\": %.4f, \"all_clock_s\": %.4f, ",
		image->records, image->names, report.warnings, read_s, check_s, reserve_s,
		write_s, read_clock_s, all_clock_s);
	status = catalog_publish(catalog, room);
	lap_s();
	zone_builder_free(builder);
	printf("\"free_s\": %.4f, \"records_bytes\": %" PRIu64 ", \"room_bytes\": %" PRIu64
	       ", \"image_bytes\": %" PRIu64 ", \"peak_bytes\": %" PRIu64 "}\n",
		lap_s(), records_bytes, bytes, image->bytes, memory_bytes("VmHWM") - before);
	zonefile_source_free(&source);
	catalog_close(catalog);
	return status == ST_OK ? 0 : fail("publish", status);
}

int main(int argc, char **argv)
{
	uint8_t origin[NAME_MAX_BYTES];
	if (argc < 4 || argc > 5 || (strcmp(argv[1], "parse") != 0 && strcmp(argv[1], "load") != 0)) {
		fprintf(stderr, "usage: load_bench parse|load ORIGIN FILE [THREADS]\n");
		return 2;
	}
	static const uint8_t root[1];
	if (name_from_text(origin, NULL, argv[2], strlen(argv[2]), root) != ST_OK)
		return fail(argv[2], ST_SYNTAX);
	return strcmp(argv[1], "parse") == 0 ? parse(origin, argv[3]) : load(origin, argv[3], argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1);
}
