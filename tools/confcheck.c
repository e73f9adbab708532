// SPDX-License-Identifier: BSD-3-Clause
// pollux-checkconf: is this configuration good, and what does it mean?
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pollux/config.h>
#include <pollux/name.h>
#include <pollux/overrides.h>
#include <pollux/zonefile.h>

enum { EXIT_GOOD = 0, EXIT_BAD = 1, EXIT_USAGE = 2 };

static const char usage_text[] =
	"usage: pollux-checkconf [--print] [--zones] FILE\n"
	"       pollux-checkconf --options | --mdoc\n"
	"\n"
	"Reads a configuration of Pollux and reports every error as FILE:LINE:COLUMN.\n"
	"\n"
	"  --print     write the effective configuration, defaults included\n"
	"  --zones     read every zone file, too, and report its errors\n"
	"  --options   list every option with default, range, and when a change takes effect\n"
	"  --mdoc      the same as a list for a manual page, mdoc(7)\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 without errors (warnings may be), 1 with errors, 2 for wrong arguments.\n";

// Words of `text` in lines of at most `width` columns, each behind `indent` blanks.
static void print_wrapped(const char *text, unsigned indent, unsigned width)
{
	unsigned column = 0;
	while (*text) {
		unsigned bytes = (unsigned)strcspn(text, " ");
		if (column && column + 1 + bytes > width) {
			putchar('\n');
			column = 0;
		}
		if (column == 0)
			column = (unsigned)printf("%*s%.*s", (int)indent, "", (int)bytes, text);
		else
			column += (unsigned)printf(" %.*s", (int)bytes, text);
		text += bytes;
		text += strspn(text, " ");
	}
	putchar('\n');
}

// "duration, 0 to 10ms; default 100us; on restart"
static void describe(const struct option_info *info, char *to, size_t room)
{
	char range[128], value[128] = "";
	option_range_text(info, range, sizeof(range));
	bool described = info->default_text[0] == '(';
	if (described)
		snprintf(value, sizeof(value), "%.*s", (int)strlen(info->default_text) - 2,
			info->default_text + 1);
	snprintf(to, room, "%s%s%s; %s%s; changes take effect on %s", info->kind, *range ? ", " : "", range,
		described && strcmp(value, "required") == 0 ? "" : "default: ",
		described ? value : info->default_text, info->effect == ON_RELOAD ? "reload" : "restart");
}

static int print_options(void)
{
	for (unsigned i = 0; i < option_count; i++) {
		char about[512];
		describe(&option_info[i], about, sizeof(about));
		printf("%s\n", option_info[i].key);
		print_wrapped(about, 4, 100);
		print_wrapped(option_info[i].help, 4, 100);
	}
	return EXIT_GOOD;
}

static void print_mdoc_text(const char *text)
{
	for (; *text; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else
			putchar(*text);
		// A new sentence is a new line in mdoc.
		if (text[0] == '.' && text[1] == ' ') {
			putchar('\n');
			text++;
		}
	}
	putchar('\n');
}

static int print_mdoc(void)
{
	puts(".Bl -tag -width Ds");
	for (unsigned i = 0; i < option_count; i++) {
		char about[512];
		describe(&option_info[i], about, sizeof(about));
		printf(".It Ic %s\n", option_info[i].key);
		print_mdoc_text(option_info[i].help);
		puts(".br");
		print_mdoc_text(about);
	}
	puts(".El");
	return EXIT_GOOD;
}

// Where zone `index` of config_zones() was named.
static const char *source_of(const struct config *config, const struct zone_config *zone, unsigned index)
{
	if (zone->line == 0)
		return config->zone_directory;
	return index < config->zone_count ? config->path : config->zone_list;
}

static void look_at_file(
	const struct config *config, const struct zone_config *zone, unsigned index, struct report *report)
{
	char name[NAME_TEXT_BYTES];
	if (access(zone->file, R_OK) != 0)
		report_at(report, SEVERITY_WARNING, source_of(config, zone, index), zone->line, 0,
			"zone '%s': %s: %s", name_to_text(name, zone->apex), zone->file, strerror(errno));
}

static void read_zone(const struct zone_config *zone, struct report *report)
{
	struct report own = { .emit = report->emit, .ctx = report->ctx };
	struct zone_builder *builder = zone_builder_new(zone->apex, 1);
	if (!builder) {
		report_at(report, SEVERITY_ERROR, zone->file, 0, 0, "out of memory");
		return;
	}
	zone_builder_set_report(builder, &own);
	zone_builder_set_time(builder, (uint64_t)time(NULL));
	enum status status = zonefile_read(zone->file, zone->apex, zone_builder_add, builder, &own, NULL);
	if (status == ST_OK)
		status = zone_builder_check(builder);
	if (status != ST_OK && own.errors == 0)
		report_at(&own, SEVERITY_ERROR, zone->file, 0, 0, "%s", status_text(status));
	zone_builder_free(builder);
	report->errors += own.errors;
	report->warnings += own.warnings;
}

static unsigned check_zones(const struct config *config, bool read_them, struct report *report)
{
	struct zone_config *zones;
	unsigned count;
	// What is wrong with the list stands in the report.
	enum status status = config_zones(config, &zones, &count, report);
	(void)status;
	for (unsigned i = 0; i < count; i++) {
		if (read_them)
			read_zone(&zones[i], report);
		else
			look_at_file(config, &zones[i], i, report);
	}
	zone_configs_free(zones, count);
	return count;
}

// The rules of the configuration itself have been looked at with the rest of it.
static void check_overrides(const struct config *config, struct report *report)
{
	struct override_rules *rules;
	enum status status = config_overrides(config, &rules, report);
	if (status == ST_NO_MEMORY)
		report_at(report, SEVERITY_ERROR, config->path, 0, 0, "%s", status_text(status));
	override_rules_free(rules);
}

static const char *plural(unsigned count)
{
	return count == 1 ? "" : "s";
}

static int check_file(const char *path, bool print, bool read_zones)
{
	struct report report = { .emit = report_to_stream };
	struct config *config;
	if (config_read(&config, path, &report) != ST_OK)
		return EXIT_BAD;
	unsigned zones = check_zones(config, read_zones, &report);
	check_overrides(config, &report);
	if (print)
		config_print(config, stdout);
	else if (report.errors == 0)
		printf("%s: good: %u port%s, %u zone%s, %u forwarder%s\n", path, config->port_count,
			plural(config->port_count), zones, plural(zones), config->forward.server_count,
			plural(config->forward.server_count));
	config_free(config);
	return report.errors ? EXIT_BAD : EXIT_GOOD;
}

static int wrong_usage(void)
{
	fputs(usage_text, stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "print", no_argument, NULL, 'p' },
		{ "zones", no_argument, NULL, 'z' },
		{ "options", no_argument, NULL, 'o' },
		{ "mdoc", no_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	bool print = false, zones = false;
	int letter, (*table)(void) = NULL;
	while ((letter = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		if (letter == 'h')
			return fputs(usage_text, stdout) < 0;
		else if (letter == 'V')
			return puts("pollux-checkconf " POLLUX_VERSION) < 0;
		else if (letter == 'o' || letter == 'm')
			table = letter == 'o' ? print_options : print_mdoc;
		else if (letter == '?')
			return wrong_usage();
		print |= letter == 'p';
		zones |= letter == 'z';
	}
	if (table)
		return argc == optind && !print && !zones ? table() : wrong_usage();
	return argc - optind == 1 ? check_file(argv[optind], print, zones) : wrong_usage();
}
