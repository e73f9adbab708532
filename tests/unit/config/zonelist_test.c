// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <pollux/config.h>
#include <pollux/name.h>

static char folder[] = "/tmp/pollux-zonelist-XXXXXX";
static char list_path[64];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(list_path, sizeof(list_path), "%s/list", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(list_path);
	return rmdir(folder);
}

static void write_list(const char *text, size_t bytes)
{
	FILE *file = fopen(list_path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, bytes, file), bytes);
	assert_int_equal(fclose(file), 0);
}

struct said {
	char text[8192];
	size_t bytes;
};

static void remember(
	void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	struct said *said = ctx;
	assert_string_equal(file, list_path);
	assert_int_equal(severity, SEVERITY_ERROR);
	said->bytes += (size_t)snprintf(said->text + said->bytes, sizeof(said->text) - said->bytes,
		"%u:%u: %s\n", line, column, text);
	assert_true(said->bytes < sizeof(said->text));
}

struct result {
	struct zone_config *zones;
	unsigned count;
	struct report report;
	struct said said;
};

static void read_list(struct result *r, const char *text)
{
	memset(r, 0, sizeof(*r));
	r->report = (struct report){ .emit = remember, .ctx = &r->said };
	write_list(text, strlen(text));
	assert_int_equal(zone_list_read(list_path, &r->zones, &r->count, &r->report), ST_OK);
}

static void lines_of_origin_and_path_become_zones(void **state)
{
	(void)state;
	struct result r;
	char path[128];
	read_list(&r,
		"# all zones\n\nExample.com\tzones/example.com.zone\nexample.org.\t/abs/a b#c.zone  # new\r\n"
		". \t root.zone");
	assert_string_equal(r.said.text, "");
	assert_int_equal(r.count, 3);
	assert_memory_equal(r.zones[0].apex, "\7example\3com", 13);
	snprintf(path, sizeof(path), "%s/zones/example.com.zone", folder);
	assert_string_equal(r.zones[0].file, path);
	assert_int_equal(r.zones[0].line, 3);
	assert_string_equal(r.zones[1].file, "/abs/a b#c.zone");
	assert_memory_equal(r.zones[2].apex, "", 1);
	snprintf(path, sizeof(path), "%s/root.zone", folder);
	assert_string_equal(r.zones[2].file, path);
	zone_configs_free(r.zones, r.count);
}

static void a_bad_line_is_reported_and_the_others_stay(void **state)
{
	(void)state;
	struct result r;
	read_list(&r, "a.example\ta.zone\nb.example\n c..example\tc.zone\nd.example\td.zone\n@\te.zone\n");
	assert_string_equal(r.said.text, "2:10: expected origin, tab and path; the path is missing\n"
					 "3:2: 'c..example' is not a domain name\n"
					 "5:1: '@' is not a domain name\n");
	assert_int_equal(r.count, 2);
	assert_int_equal(r.report.errors, 3);
	zone_configs_free(r.zones, r.count);
}

static void a_zone_named_twice_is_reported_with_both_lines(void **state)
{
	(void)state;
	struct result r;
	read_list(&r, "a.example\ta.zone\nb.example\tb.zone\nA.Example.\tc.zone\n");
	assert_string_equal(r.said.text, "3:1: zone 'A.Example.' a second time; the first is at line 1\n");
	assert_int_equal(r.count, 2);
	zone_configs_free(r.zones, r.count);
}

static void a_nul_character_spoils_its_line_only(void **state)
{
	(void)state;
	static const char text[] = "a.example\ta.zone\nb.exa\0mple\tb.zone\nc.example\tc.zone\n";
	struct result r = { .report = { .emit = remember, .ctx = &r.said } };
	write_list(text, sizeof(text) - 1);
	assert_int_equal(zone_list_read(list_path, &r.zones, &r.count, &r.report), ST_OK);
	assert_string_equal(r.said.text, "2:6: a NUL character: this is not a text file\n");
	assert_int_equal(r.count, 2);
	zone_configs_free(r.zones, r.count);
}

static void a_list_that_is_not_there_is_not_found(void **state)
{
	(void)state;
	struct result r = { .report = { .emit = remember, .ctx = &r.said } };
	unlink(list_path);
	assert_int_equal(zone_list_read(list_path, &r.zones, &r.count, &r.report), ST_NOT_FOUND);
	assert_int_equal(r.count, 0);
	assert_int_equal(r.report.errors, 1);
	zone_configs_free(r.zones, r.count);
}

static void a_thousand_bad_lines_cost_neither_the_good_ones_nor_a_flood_of_messages(void **state)
{
	(void)state;
	struct result r;
	char text[16384];
	size_t at = 0;
	for (unsigned i = 0; i < 1000; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "bad%u\n", i);
	snprintf(text + at, sizeof(text) - at, "good.example\tg.zone\n");
	read_list(&r, text);
	assert_int_equal(r.count, 1);
	assert_int_equal(r.report.errors, 1000);
	unsigned lines = 0;
	for (const char *c = r.said.text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, REPORT_MAX_ERRORS);
	zone_configs_free(r.zones, r.count);
}

static void the_zones_of_the_configuration_come_first_and_win(void **state)
{
	(void)state;
	struct result r = { .report = { .emit = remember, .ctx = &r.said } };
	char text[256];
	snprintf(text, sizeof(text), "zone-list: list\nzones:\n- {name: a.example, file: mine}\n");
	write_list("b.example\tb\nA.example\ta\n", 24);
	char path[128];
	snprintf(path, sizeof(path), "%s/pollux.conf", folder);
	struct config *config;
	struct report quiet = { 0 };
	assert_int_equal(config_read_text(&config, text, strlen(text), path, &quiet), ST_OK);
	assert_int_equal(config_zones(config, &r.zones, &r.count, &r.report), ST_OK);
	assert_string_equal(r.said.text,
		"2:1: zone 'A.example.' a second time; the first is at line 3 of the configuration\n");
	assert_int_equal(r.count, 2);
	assert_true(strstr(r.zones[0].file, "/mine") != NULL);
	zone_configs_free(r.zones, r.count);
	config_free(config);
}

static void touch(const char *name, bool is_there)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/zones/%s", folder, name);
	FILE *file = is_there ? fopen(path, "w") : NULL;
	assert_true(is_there ? file && fclose(file) == 0 : unlink(path) == 0);
}

static void remember_text(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *text)
{
	(void)line;
	(void)column;
	if (severity == SEVERITY_ERROR)
		snprintf(ctx, 1024, "%s: %s", file, text);
}

static void a_directory_gives_the_zones_whose_file_names_fit_its_pattern(void **state)
{
	(void)state;
	static const char *const names[] = { "example.com.zone", "Example.NET.zone", "notes.txt", ".hidden.zone", ".zone",
		"listed.example.zone", "arpa\\047in-addr.zone" };
	char path[128], said[1024] = "";
	struct report report = { .emit = remember_text, .ctx = said };
	snprintf(path, sizeof(path), "%s/zones", folder);
	assert_int_equal(mkdir(path, 0755), 0);
	for (unsigned i = 0; i < 7; i++)
		touch(names[i], true);
	snprintf(path, sizeof(path), "%s/zones/sub.zone", folder);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/pollux.conf", folder);
	static const char text[] = "zone-directory: {path: zones}\nzones: [{name: listed.example, file: zones/listed.example.zone}]\n";
	struct config *config;
	struct zone_config *zones;
	unsigned count;
	assert_int_equal(config_read_text(&config, text, strlen(text), path, &report), ST_OK);
	assert_int_equal(config_zones(config, &zones, &count, &report), ST_OK);
	assert_string_equal(said, "");
	assert_int_equal(count, 4);
	for (unsigned i = 0; i < count; i++)
		assert_true(strncmp(zones[i].file, folder, strlen(folder)) == 0);
	zone_configs_free(zones, count);
	touch("bad..name.zone", true);
	assert_int_equal(config_zones(config, &zones, &count, &report), ST_OK);
	assert_non_null(strstr(said, "'bad..name', which is not a domain name"));
	assert_int_equal(count, 4);
	zone_configs_free(zones, count);
	touch("bad..name.zone", false);
	touch("EXAMPLE.com.zone", true);
	assert_int_equal(config_zones(config, &zones, &count, &report), ST_OK);
	assert_non_null(strstr(said, "a second time: the files are "));
	assert_int_equal(count, 4);
	zone_configs_free(zones, count);
	touch("EXAMPLE.com.zone", false);
	config_free(config);
	for (unsigned i = 0; i < 7; i++)
		touch(names[i], false);
	snprintf(path, sizeof(path), "%s/zones/sub.zone", folder);
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/zones", folder);
	assert_int_equal(rmdir(path), 0);
}

static void a_pattern_has_one_star(void **state)
{
	(void)state;
	static const char *const texts[] = { "zone-directory: {path: z, pattern: zone}", "zone-directory: {path: z, pattern: \"*.*\"}",
		"zone-directory: {path: z, pattern: \"a/*\"}" };
	for (unsigned i = 0; i < 3; i++) {
		char said[1024] = "";
		struct report report = { .emit = remember_text, .ctx = said };
		struct config *config;
		assert_int_equal(config_read_text(&config, texts[i], strlen(texts[i]), "c", &report), ST_INVALID);
		assert_non_null(strstr(said, "exactly one *"));
	}
}

static void a_hundred_thousand_lines_are_read_in_less_than_a_second(void **state)
{
	(void)state;
	FILE *file = fopen(list_path, "w");
	assert_non_null(file);
	for (unsigned i = 0; i < 100000; i++)
		fprintf(file, "zone%u.example\tzones/zone%u.zone\n", i, i);
	assert_int_equal(fclose(file), 0);
	struct report report = { 0 };
	struct zone_config *zones;
	unsigned count;
	clock_t start = clock();
	assert_int_equal(zone_list_read(list_path, &zones, &count, &report), ST_OK);
	assert_true(clock() - start < CLOCKS_PER_SEC);
	assert_int_equal(count, 100000);
	assert_int_equal(report.errors, 0);
	zone_configs_free(zones, count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_origin_and_path_become_zones),
		cmocka_unit_test(a_bad_line_is_reported_and_the_others_stay),
		cmocka_unit_test(a_zone_named_twice_is_reported_with_both_lines),
		cmocka_unit_test(a_nul_character_spoils_its_line_only),
		cmocka_unit_test(a_list_that_is_not_there_is_not_found),
		cmocka_unit_test(a_thousand_bad_lines_cost_neither_the_good_ones_nor_a_flood_of_messages),
		cmocka_unit_test(the_zones_of_the_configuration_come_first_and_win),
		cmocka_unit_test(a_directory_gives_the_zones_whose_file_names_fit_its_pattern),
		cmocka_unit_test(a_pattern_has_one_star),
		cmocka_unit_test(a_hundred_thousand_lines_are_read_in_less_than_a_second),
	};
	return cmocka_run_group_tests_name("zonelist", tests, make_folder, remove_folder) ? 1 : 0;
}
