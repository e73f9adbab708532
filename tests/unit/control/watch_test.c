// SPDX-License-Identifier: BSD-3-Clause
// A watched file is told of once for each edit, whatever kind of edit it is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "watch.h"

#define LIMIT_S 8 // of every wait

static char folder[] = "/tmp/pollux-watch-XXXXXX";
static struct event_base *base;
static unsigned calls, sentinel_calls;

static const char *at(const char *name)
{
	static char path[4][128];
	static unsigned next;
	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[next]), "%s/%s", folder, name);
	return path[next];
}

static void put(const char *name, const char *text)
{
	FILE *file = fopen(at(name), "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int start(void **state)
{
	(void)state;
	strlcpy(folder, "/tmp/pollux-watch-XXXXXX", sizeof(folder));
	calls = sentinel_calls = 0;
	base = event_base_new();
	return base && mkdtemp(folder) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	char command[128];
	event_base_free(base);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static void on_change(void *ctx)
{
	++*(unsigned *)ctx;
	event_base_loopbreak(base);
}

static struct watch *watch(const char *name)
{
	struct watch *w = watch_new(base, at(name), on_change, &calls);
	assert_non_null(w);
	return w;
}

static void await(const unsigned *counter, unsigned count)
{
	struct timeval limit = { .tv_sec = LIMIT_S };
	while (*counter < count) {
		event_base_loopexit(base, &limit);
		assert_int_equal(event_base_loop(base, 0), 0);
		assert_true(event_base_got_break(base)); // else the limit has passed
	}
}

// What was to come for earlier edits has come when a later one of another file is told.
static void nothing_more(unsigned count)
{
	struct watch *sentinel = watch_new(base, at("sentinel"), on_change, &sentinel_calls);
	unsigned before = sentinel_calls;
	put("sentinel", "x");
	await(&sentinel_calls, before + 1);
	watch_free(sentinel);
	assert_int_equal(calls, count);
}

static void a_file_written_in_place_is_told_once(void **state)
{
	(void)state;
	put("file", "one");
	struct watch *w = watch("file");
	put("file", "two");
	await(&calls, 1);
	nothing_more(1);
	FILE *file = fopen(at("file"), "a");
	fputs("three", file);
	fflush(file);
	fputs("four", file);
	fclose(file);
	await(&calls, 2);
	nothing_more(2);
	watch_free(w);
}

static void a_file_replaced_by_rename_is_told_once(void **state)
{
	(void)state;
	put("file", "one");
	struct watch *w = watch("file");
	for (unsigned i = 1; i <= 3; i++) {
		put("fresh", "two");
		assert_int_equal(rename(at("fresh"), at("file")), 0);
		await(&calls, i);
		nothing_more(i);
	}
	watch_free(w);
}

static void a_file_that_goes_and_comes_is_told_each_time(void **state)
{
	(void)state;
	put("file", "one");
	struct watch *w = watch("file");
	unlink(at("file"));
	await(&calls, 1);
	put("file", "two");
	await(&calls, 2);
	nothing_more(2);
	watch_free(w);
}

static void a_file_whose_directories_come_later_is_told(void **state)
{
	(void)state;
	struct watch *w = watch("a/b/file");
	mkdir(at("a"), 0700);
	nothing_more(0);
	mkdir(at("a/b"), 0700);
	put("a/b/file", "one");
	await(&calls, 1);
	nothing_more(1);
	// And again, when all of it was taken away.
	unlink(at("a/b/file"));
	rmdir(at("a/b"));
	await(&calls, 2);
	mkdir(at("a/b"), 0700);
	put("a/b/file", "two");
	await(&calls, 3);
	nothing_more(3);
	watch_free(w);
}

static void a_directory_made_with_its_file_at_once_is_told(void **state)
{
	(void)state;
	struct watch *w = watch("a/b/file");
	mkdir(at("x"), 0700);
	mkdir(at("x/b"), 0700);
	put("x/b/file", "one");
	assert_int_equal(rename(at("x"), at("a")), 0);
	await(&calls, 1);
	put("a/b/file", "two");
	await(&calls, 2);
	watch_free(w);
}

static void the_target_of_a_link_is_followed(void **state)
{
	(void)state;
	mkdir(at("d"), 0700);
	put("d/one", "one");
	put("d/two", "two");
	assert_int_equal(symlink("d/one", at("file")), 0);
	struct watch *w = watch("file");
	put("d/one", "1");
	await(&calls, 1);
	put("d/two", "2"); // not ours yet
	nothing_more(1);
	assert_int_equal(symlink("d/two", at("fresh")), 0);
	assert_int_equal(rename(at("fresh"), at("file")), 0);
	await(&calls, 2);
	put("d/two", "3");
	await(&calls, 3);
	put("d/one", "4"); // no more
	nothing_more(3);
	watch_free(w);
}

static void a_directory_that_is_a_link_may_lead_elsewhere(void **state)
{
	(void)state;
	mkdir(at("v1"), 0700);
	mkdir(at("v2"), 0700);
	put("v1/file", "one");
	put("v2/file", "two");
	assert_int_equal(symlink(at("v1"), at("data")), 0);
	assert_int_equal(symlink("data/file", at("file")), 0);
	struct watch *w = watch("file");
	assert_int_equal(symlink("v2", at("fresh")), 0);
	assert_int_equal(rename(at("fresh"), at("data")), 0);
	await(&calls, 1);
	put("v2/file", "three");
	await(&calls, 2);
	nothing_more(2);
	watch_free(w);
}

static void links_in_a_circle_are_no_file(void **state)
{
	(void)state;
	assert_int_equal(symlink("b", at("a")), 0);
	assert_int_equal(symlink("a", at("b")), 0);
	struct watch *w = watch("a");
	unlink(at("b"));
	put("b", "one");
	await(&calls, 1);
	nothing_more(1);
	watch_free(w);
}

static void other_files_of_the_directory_are_not_told(void **state)
{
	(void)state;
	put("file", "one");
	struct watch *w = watch("file");
	put("file2", "x");
	put("fil", "x");
	unlink(at("fil"));
	nothing_more(0);
	watch_free(w);
}

static void rights_that_change_are_told(void **state)
{
	(void)state;
	put("file", "one");
	struct watch *w = watch("file");
	assert_int_equal(chmod(at("file"), 0), 0);
	await(&calls, 1);
	watch_free(w);
}

static void a_look_finds_what_was_written_by_another_name(void **state)
{
	(void)state;
	put("file", "one");
	mkdir(at("d"), 0700);
	assert_int_equal(link(at("file"), at("d/other")), 0);
	struct watch *w = watch("file");
	watch_look_every(w, 20);
	put("d/other", "longer");
	await(&calls, 1);
	nothing_more(1);
	watch_free(w);
}

static struct watch *freed;

static void free_within(void *ctx)
{
	watch_free(freed);
	on_change(ctx);
}

static void it_may_be_freed_while_it_tells(void **state)
{
	(void)state;
	freed = watch_new(base, at("file"), free_within, &calls);
	put("file", "one");
	await(&calls, 1);
	put("file", "two");
	nothing_more(1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
	const struct CMUnitTest tests[] = {
		TEST(a_file_written_in_place_is_told_once),
		TEST(a_file_replaced_by_rename_is_told_once),
		TEST(a_file_that_goes_and_comes_is_told_each_time),
		TEST(a_file_whose_directories_come_later_is_told),
		TEST(a_directory_made_with_its_file_at_once_is_told),
		TEST(the_target_of_a_link_is_followed),
		TEST(a_directory_that_is_a_link_may_lead_elsewhere),
		TEST(links_in_a_circle_are_no_file),
		TEST(other_files_of_the_directory_are_not_told),
		TEST(rights_that_change_are_told),
		TEST(a_look_finds_what_was_written_by_another_name),
		TEST(it_may_be_freed_while_it_tells),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	return r ? 1 : 0;
}
