// SPDX-License-Identifier: BSD-3-Clause
// Where the records of a reply stand in the zone's files.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <pollux/rrtype.h>

#include "places.h"

#define APEX ((const uint8_t *)"\7example")
#define WWW ((const uint8_t *)"\3wWw\7example")
#define OTHER ((const uint8_t *)"\5other\7example")

static char folder[] = "/tmp/pollux-places-XXXXXX", zone[64], more[64];
static const _Atomic bool go_on = false, interrupted = true;

static int write_files(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(zone, sizeof(zone), "%s/zone", folder);
	snprintf(more, sizeof(more), "%s/more", folder);
	FILE *file = fopen(zone, "w");
	fprintf(file,
		"$TTL 60\n@ SOA ns host 1 2 3 4 5\n@ NS ns\nns A 198.18.0.1\nwww A 198.18.0.2\nwww A "
		"(\n198.18.0.3 )\n"
		"$INCLUDE %s\n* A 198.18.0.4\n",
		more);
	fclose(file);
	file = fopen(more, "w");
	fputs("; a comment\nwww A 198.18.0.5\n", file);
	return fclose(file);
}

static int remove_files(void **state)
{
	(void)state;
	unlink(zone);
	unlink(more);
	return rmdir(folder);
}

struct record_a {
	const uint8_t *owner;
	uint8_t last; // of 198.18.0.x
};

// A reply with these addresses in its answer section.
static struct places *look_for(
	const char *path, const struct record_a *records, unsigned count, const _Atomic bool *stop)
{
	static struct composer c;
	uint8_t wire[512];
	assert_true(composer_start(
		&c, wire, sizeof(wire), 1, FLAG_QR, (const uint8_t *)"\7example\0\0\1\0\1", 13, false));
	for (unsigned i = 0; i < count; i++) {
		const uint8_t address[] = { 198, 18, 0, records[i].last };
		const struct message_rr rr = { records[i].owner, address, 60, TYPE_A, CLASS_IN, 4 };
		assert_true(composer_add(&c, SECTION_ANSWER, &rr));
	}
	struct places *p = places_new(APEX, path, wire, composer_end(&c, 0, 0, false));
	assert_non_null(p);
	assert_int_equal(p->count, count);
	p->task.run(&p->task, stop);
	return p;
}

static void expect(const struct places *p, unsigned i, const char *file, unsigned line)
{
	assert_non_null(p->place[i].file);
	assert_string_equal(p->place[i].file, file);
	assert_int_equal(p->place[i].line, line);
}

static void each_record_has_its_file_and_line(void **state)
{
	(void)state;
	const struct record_a records[] = { { WWW, 5 }, { WWW, 3 }, { WWW, 2 }, { OTHER, 4 } };
	struct places *p = look_for(zone, records, 4, &go_on);
	expect(p, 0, more, 2);
	expect(p, 1, zone, 6);
	expect(p, 2, zone, 5);
	expect(p, 3, zone, 9); // the wildcard's
	assert_false(p->gave_up);
	places_free(p);
}

static void a_record_that_is_in_no_file_has_no_place(void **state)
{
	(void)state;
	const struct record_a records[] = { { WWW, 99 }, { OTHER, 2 }, { WWW, 2 } };
	struct places *p = look_for(zone, records, 3, &go_on);
	assert_null(p->place[0].file);
	assert_null(p->place[1].file);
	expect(p, 2, zone, 5);
	assert_false(p->gave_up);
	places_free(p);
}

static void without_a_file_or_time_nothing_is_found(void **state)
{
	(void)state;
	const struct record_a record = { WWW, 2 };
	struct places *p = look_for("/nonexistent/zone", &record, 1, &go_on);
	assert_int_equal(p->found, 0);
	places_free(p);
	p = look_for(zone, &record, 1, &interrupted);
	assert_int_equal(p->found, 0);
	places_free(p);
	assert_null(places_new(APEX, zone, (const uint8_t *)"short", 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_record_has_its_file_and_line),
		cmocka_unit_test(a_record_that_is_in_no_file_has_no_place),
		cmocka_unit_test(without_a_file_or_time_nothing_is_found),
	};
	return cmocka_run_group_tests_name("places", tests, write_files, remove_files) ? 1 : 0;
}
