// SPDX-License-Identifier: BSD-3-Clause
// pollux-checkzone: reads a master file the way the server does and tells what is wrong with it.
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

enum { EXIT_GOOD, EXIT_WRONG, EXIT_USAGE };

static const char usage[] =
	"usage: pollux-checkzone [OPTION...] ORIGIN FILE\n"
	"Checks the master file FILE of the zone ORIGIN as the server would read it.\n"
	"Every error and warning goes to standard error as FILE:LINE:COLUMN.\n"
	"\n"
	"  -p, --print        print every record, one per line, names absolute\n"
	"  -s, --stats        print records of each type, size of the compiled zone, time taken\n"
	"  -t, --time TIME    judge signatures as of TIME, YYYYMMDDHHMMSS (UTC) or seconds since 1970 (default now)\n"
	"  -W, --warnings     exit with 1 when there are warnings, too\n"
	"  -e, --max-errors N give up after N errors (default 100)\n"
	"  -w, --max-warnings N  show N warnings and count the others (default 100)\n"
	"  -q, --quiet        say nothing when the zone is good\n"
	"  -h, --help         show this text\n"
	"  -V, --version      show the version\n"
	"\n"
	"Exit status: 0 the zone is good (perhaps with warnings), 1 it has errors, 2 wrong usage.\n";

struct options {
	bool print, stats, quiet, warnings_count;
	unsigned max_errors, max_warnings;
	uint64_t now_s;
};

// Where messages go.
struct teller {
	unsigned max_warnings, warnings;
};

static void tell(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	struct teller *teller = ctx;
	if (severity == SEVERITY_WARNING && teller->warnings++ >= teller->max_warnings)
		return;
	report_to_stream(stderr, severity, file, line, column, text);
}

static void tell_rest(const struct teller *teller, const char *path)
{
	if (teller->warnings > teller->max_warnings)
		fprintf(stderr, "%s: warning: and %u more warnings (--max-warnings)\n", path, teller->warnings - teller->max_warnings);
}

struct check {
	const struct options *options;
	struct zone_builder *builder;
	struct zonefile_source source;
	uint64_t image_bytes;
	uint64_t records;
	uint64_t of_type[65536];
	char text[4 * 65535 + 8192]; // RDATA as \DDD, quotes and blanks
};

static void print_record(struct check *check, const struct record *record)
{
	char owner[NAME_TEXT_BYTES], type[16];
	rdata_to_text(check->text, sizeof(check->text), record->type, record->rdata, record->rdata_bytes);
	printf("%s\t%u\tIN\t%s\t%s\n", name_to_text(owner, record->owner), record->ttl,
		rrtype_to_text(type, record->type), check->text);
}

static enum status take_record(void *ctx, const struct record *record)
{
	struct check *check = ctx;
	check->records++;
	check->of_type[record->type]++;
	if (check->options->print)
		print_record(check, record);
	return zone_builder_add(check->builder, record);
}

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void print_stats(const struct check *check, uint64_t taken_us)
{
	char type[16];
	for (unsigned code = 0; code < 65536; code++) {
		if (check->of_type[code])
			printf("%-12s %llu\n", rrtype_to_text(type, (uint16_t)code),
				(unsigned long long)check->of_type[code]);
	}
	printf("%-12s %llu\n", "records", (unsigned long long)check->records);
	if (check->image_bytes)
		printf("%-12s %llu octets\n", "image", (unsigned long long)check->image_bytes);
	printf("%-12s %llu ms\n", "time", (unsigned long long)taken_us / 1000);
}

// Reads the file, then applies the rules that only the whole zone can break, even to a file with errors: they
// are all told in one run.
static enum status read_zone(
	struct check *check, const uint8_t *apex, const char *path, struct report *report)
{
	enum status status = zonefile_read(path, apex, take_record, check, report, &check->source);
	if ((status != ST_OK && status != ST_SYNTAX) || report_is_full(report))
		return status;
	enum status zone_wide = zone_builder_check(check->builder);
	if (status == ST_OK && zone_wide == ST_OK)
		check->image_bytes = zone_builder_image_bytes(check->builder, &check->source);
	return status == ST_OK ? zone_wide : status;
}

static int check_zone(const struct options *options, const char *origin, const char *path)
{
	static const uint8_t root[] = { 0 };
	uint8_t apex[NAME_MAX_BYTES];
	struct teller teller = { .max_warnings = options->max_warnings };
	struct report report = { .emit = tell, .ctx = &teller, .max_errors = options->max_errors };
	if (name_from_text(apex, NULL, origin, strlen(origin), root) != ST_OK) {
		warnx("%s: not a domain name", origin);
		return EXIT_USAGE;
	}
	struct check *check = calloc(1, sizeof(*check));
	if (!check || !(check->builder = zone_builder_new(apex, 1)))
		err(EXIT_WRONG, NULL);
	check->options = options;
	zone_builder_set_report(check->builder, &report);
	zone_builder_set_time(check->builder, options->now_s);
	uint64_t start_us = now_us();
	enum status status = read_zone(check, apex, path, &report);
	tell_rest(&teller, path);
	if (options->stats)
		print_stats(check, now_us() - start_us);
	if (status != ST_OK && report.errors == 0)
		warnx("%s: %s", path, status_text(status));
	else if (status == ST_OK && !options->quiet && !options->print)
		printf("%s: %llu records, %u warnings\n", path, (unsigned long long)check->records,
			report.warnings);
	zone_builder_free(check->builder);
	zonefile_source_free(&check->source);
	free(check);
	return status == ST_OK && !(options->warnings_count && report.warnings) ? EXIT_GOOD : EXIT_WRONG;
}

// As in an RRSIG: RFC 4034 3.2.
static bool time_from_text(uint64_t *time_s, const char *text)
{
	const char *wrong = NULL;
	struct tm tm = { 0 };
	if (strlen(text) == 14) {
		const char *end = strptime(text, "%Y%m%d%H%M%S", &tm);
		*time_s = (uint64_t)timegm(&tm);
		return end && !*end;
	}
	*time_s = (uint64_t)strtonum(text, 1, INT64_MAX, &wrong);
	return !wrong;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "print", no_argument, NULL, 'p' },
		{ "stats", no_argument, NULL, 's' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "time", required_argument, NULL, 't' },
		{ "warnings", no_argument, NULL, 'W' },
		{ "max-errors", required_argument, NULL, 'e' },
		{ "max-warnings", required_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	struct options options = { .now_s = (uint64_t)time(NULL), .max_warnings = 100 };
	const char *wrong = NULL;
	for (int option; (option = getopt_long(argc, argv, "psqt:We:w:hV", long_options, NULL)) != -1;) {
		switch (option) {
		case 'p':
			options.print = true;
			break;
		case 's':
			options.stats = true;
			break;
		case 'q':
			options.quiet = true;
			break;
		case 'W':
			options.warnings_count = true;
			break;
		case 't':
			if (time_from_text(&options.now_s, optarg))
				break;
			warnx("--time %s: expected YYYYMMDDHHMMSS or seconds since 1970", optarg);
			return EXIT_USAGE;
		case 'e':
			options.max_errors = (unsigned)strtonum(optarg, 1, UINT32_MAX, &wrong);
			if (!wrong)
				break;
			warnx("--max-errors %s: %s", optarg, wrong);
			return EXIT_USAGE;
		case 'w':
			options.max_warnings = (unsigned)strtonum(optarg, 0, UINT32_MAX, &wrong);
			if (!wrong)
				break;
			warnx("--max-warnings %s: %s", optarg, wrong);
			return EXIT_USAGE;
		case 'h':
			fputs(usage, stdout);
			return EXIT_GOOD;
		case 'V':
			puts("pollux-checkzone " POLLUX_VERSION);
			return EXIT_GOOD;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (argc - optind != 2) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	int result = check_zone(&options, argv[optind], argv[optind + 1]);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		warn("standard output");
		return EXIT_WRONG;
	}
	return result;
}
