// SPDX-License-Identifier: BSD-3-Clause
// Zones from files into a catalog by way of the loader threads, through the event loop as in the process.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <pollux/log.h>

#include "fake_dataplane.h"
#include "publish.h"
#include "reclaim.h"

#include "saved.h"

#define MANY 20000
#define TURN_MAX_US 50000 // of the event loop's own time; the code aims at 2 ms, the sanitizers are slow

struct world {
	char directory[64], images[96], added[96];
	bool saves;
	struct event_base *base;
	struct side_door *door;
	struct catalog *catalog;
	struct publisher *publisher;
	struct zone_config zone[4];
	uint8_t apex[4][NAME_MAX_BYTES];
	char file[4][128];
	struct config config;
	unsigned list_errors; // of the last order
	unsigned done; // orders ended
	struct publish_result result;
	char problem[512]; // first line of the last order's problems
};

static void open_catalog(struct world *w)
{
	char path[128];
	struct report report = { 0 };
	snprintf(path, sizeof(path), "%s/zones", w->directory);
	assert_int_equal(catalog_open_writer_seeded(&w->catalog, path, saved_seed(w->images)), ST_OK);
	reclaim_await_readers(w->catalog, w->directory);
	w->door = side_door_new(w->base, NULL, w->directory);
	assert_int_equal(publisher_new(&w->publisher, w->base, w->catalog, w->door, w->directory, 2, NULL), ST_OK);
	publisher_keep_added(w->publisher, w->added, &report);
	assert_int_equal(report.errors, 0);
	if (w->saves)
		publisher_save_images(w->publisher, w->images);
}

static void close_catalog(struct world *w)
{
	publisher_free(w->publisher);
	side_door_free(w->door);
	catalog_close(w->catalog);
	w->publisher = NULL;
}

static void restart(struct world *w)
{
	close_catalog(w);
	open_catalog(w);
}

// As a machine does: what is in memory is gone.
static void restart_machine(struct world *w)
{
	char path[128];
	close_catalog(w);
	snprintf(path, sizeof(path), "%s/zones", w->directory);
	assert_int_equal(unlink(path), 0);
	open_catalog(w);
}

static int setup(void **state)
{
	log_set_level((enum log_level)-1); // broken files are the subject here; their log lines are not
	struct world *w = calloc(1, sizeof(*w));
	snprintf(w->directory, sizeof(w->directory), "/dev/shm/publish_test.XXXXXX");
	if (!mkdtemp(w->directory))
		return -1;
	snprintf(w->images, sizeof(w->images), "%s/images", w->directory);
	snprintf(w->added, sizeof(w->added), "%s/state/zones.added", w->directory);
	w->base = event_base_new();
	w->config = (struct config){ .path = (char *)"test.conf", .zones = w->zone };
	open_catalog(w);
	*state = w;
	return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
	(void)info;
	(void)kind;
	(void)at;
	return remove(path);
}

static int teardown(void **state)
{
	struct world *w = *state;
	close_catalog(w);
	event_base_free(w->base);
	nftw(w->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

static void write_file(const char *path, const char *text)
{
	// A new inode each time, as editors make them: the stamp changes within one clock tick, too.
	char fresh[160];
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	FILE *file = fopen(fresh, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(fresh, path), 0);
}

static void write_zone(const char *path, unsigned serial)
{
	char text[256];
	snprintf(text, sizeof(text), "$TTL 3600\n@ SOA ns mail %u 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1\n", serial);
	write_file(path, text);
}

static const uint8_t *apex_of(const char *text)
{
	static uint8_t apex[NAME_MAX_BYTES];
	static const uint8_t root[1] = { 0 };
	assert_int_equal(name_from_text(apex, NULL, text, strlen(text), root), ST_OK);
	return apex;
}

// Zone number i of the configuration: its name, and a file of it in the test's directory.
static void name_zone(struct world *w, unsigned i, const char *name)
{
	name_fold(w->apex[i], apex_of(name));
	char path[sizeof(w->file[i])]; // gcc cannot see that directory and file do not overlap
	snprintf(path, sizeof(path), "%s/%s.zone", w->directory, name);
	memcpy(w->file[i], path, sizeof(path));
	w->zone[i] = (struct zone_config){ .apex = w->apex[i], .file = w->file[i], .line = i + 1 };
	if (w->config.zone_count <= i)
		w->config.zone_count = i + 1;
}

static void on_done(void *ctx, const struct publish_result *result)
{
	struct world *w = ctx;
	w->done++;
	w->result = *result;
	w->list_errors = result->list->report.errors;
	snprintf(w->problem, sizeof(w->problem), "%s", result->problems->lines ? result->problems->line[0] : "");
}

static void configure(struct world *w)
{
	unsigned before = w->done;
	assert_int_equal(publisher_configure(w->publisher, &w->config, on_done, w), ST_OK);
	AWAIT(w->base, w->done == before + 1);
}

static void reload(struct world *w, const char *name)
{
	unsigned before = w->done;
	assert_int_equal(publisher_reload(w->publisher, apex_of(name), on_done, w), ST_OK);
	AWAIT(w->base, w->done == before + 1);
}

static struct zone_view view(struct world *w, const char *name)
{
	struct zone_view view;
	assert_true(publisher_find(w->publisher, apex_of(name), &view));
	return view;
}

static void a_zone_of_the_configuration_is_served(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 7);
	assert_false(catalog_is_ready(w->catalog));
	configure(w);
	assert_true(catalog_is_ready(w->catalog));
	assert_int_equal(w->result.loaded, 1);
	assert_int_equal(view(w, "One.Example").state, ZONE_LOADED);
	assert_int_equal(catalog_zone(w->catalog, apex_of("one.example"))->serial, 7);
}

static void one_broken_zone_does_not_stop_the_others(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "broken.example");
	name_zone(w, 1, "good.example");
	name_zone(w, 2, "missing.example");
	write_file(w->file[0], "$TTL 60\n@ SOA ns mail 1 2 3 4 5\n@ A 192.0.2.256\n");
	write_zone(w->file[1], 1);
	configure(w);
	assert_int_equal(w->result.loaded, 1);
	assert_int_equal(w->result.failed, 2);
	struct zone_view broken = view(w, "broken.example");
	assert_int_equal(broken.state, ZONE_FAILED);
	assert_null(broken.image);
	assert_non_null(strstr(broken.findings->line[0], "broken.example.zone:3:5: error"));
	assert_non_null(strstr(view(w, "missing.example").findings->line[0], "missing.example.zone"));
	assert_int_equal(view(w, "good.example").state, ZONE_LOADED);
}

static bool holds_place(struct world *w, const char *name)
{
	const struct image *image = catalog_zone(w->catalog, apex_of(name));
	return image && image_is_blank(image);
}

static void a_zone_that_fails_holds_its_place_until_it_is_loaded_or_gone(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "broken.example");
	name_zone(w, 1, "other.example");
	write_file(w->file[0], "$TTL 60\n@ SOA ns mail 1 2 3 4 5\n@ A 192.0.2.256\n");
	configure(w);
	for (unsigned i = 0; i < 2; i++) { // a restart changes nothing of that
		assert_true(holds_place(w, "broken.example") && holds_place(w, "other.example"));
		assert_null(view(w, "broken.example").image);
		assert_int_equal(view(w, "broken.example").state, ZONE_FAILED);
		assert_int_equal(publisher_counts(w->publisher).blank, 2);
		if (i == 0) {
			restart(w);
			assert_int_equal(publisher_counts(w->publisher).blank, 2);
			configure(w);
		}
	}
	write_zone(w->file[0], 5);
	reload(w, "broken.example");
	assert_int_equal(view(w, "broken.example").image->serial, 5);
	assert_int_equal(publisher_counts(w->publisher).blank, 1);
	w->config.zone_count = 1;
	configure(w);
	assert_null(catalog_zone(w->catalog, apex_of("other.example")));
	assert_int_equal(publisher_counts(w->publisher).blank, 0);
	write_file(w->file[0], "no zone"); // from now on it is served as it was
	reload(w, "broken.example");
	assert_false(holds_place(w, "broken.example"));
	assert_int_equal(view(w, "broken.example").image->serial, 5);
}

static void a_zone_on_its_way_is_awaited(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 1);
	assert_false(publisher_awaits(w->publisher, apex_of("x.one.example")));
	unsigned before = w->done;
	assert_int_equal(publisher_configure(w->publisher, &w->config, on_done, w), ST_OK);
	assert_true(publisher_awaits(w->publisher, apex_of("elsewhere.example"))); // who knows
	AWAIT(w->base, publisher_counts(w->publisher).zones == 1);
	AWAIT(w->base, w->done == before + 1);
	assert_false(publisher_awaits(w->publisher, apex_of("x.one.example")));
	name_zone(w, 1, "two.example");
	write_zone(w->file[1], 1);
	assert_int_equal(publisher_configure(w->publisher, &w->config, on_done, w), ST_OK);
	AWAIT(w->base, publisher_counts(w->publisher).loading == 1 || w->done == before + 2);
	if (w->done == before + 1) {
		assert_true(publisher_awaits(w->publisher, apex_of("x.two.example")));
		assert_false(publisher_awaits(w->publisher, apex_of("elsewhere.example")));
	}
	AWAIT(w->base, w->done == before + 2);
	assert_false(publisher_awaits(w->publisher, apex_of("x.two.example")));
}

static void a_broken_file_at_reload_keeps_what_was_there_and_says_where(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 1);
	configure(w);
	write_file(w->file[0], "$TTL 60\n@ SOA ns mail 2 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nbad AAAA 192.0.2.1\n");
	reload(w, "one.example");
	assert_int_equal(w->result.failed, 1);
	assert_non_null(strstr(w->problem, "one.example.zone:5:10: error"));
	struct zone_view after = view(w, "one.example");
	assert_int_equal(after.state, ZONE_FAILED);
	assert_int_equal(after.image->serial, 1);
	write_zone(w->file[0], 3);
	reload(w, "one.example");
	after = view(w, "one.example");
	assert_int_equal(after.state, ZONE_LOADED);
	assert_int_equal(after.image->serial, 3);
	assert_int_equal(after.findings->report.errors, 0);
}

static void a_restart_adopts_images_whose_files_have_not_changed(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "same.example");
	name_zone(w, 1, "changed.example");
	write_zone(w->file[0], 1);
	write_zone(w->file[1], 1);
	configure(w);
	write_zone(w->file[1], 2);
	restart(w);
	const struct image *left = catalog_zone(w->catalog, apex_of("same.example"));
	assert_non_null(left);
	configure(w);
	assert_int_equal(w->result.unchanged, 1);
	assert_int_equal(w->result.loaded, 1);
	assert_true(view(w, "same.example").adopted);
	assert_ptr_equal(view(w, "same.example").image, left);
	assert_false(view(w, "changed.example").adopted);
	assert_int_equal(view(w, "changed.example").image->serial, 2);
}

static void a_restart_with_a_broken_file_serves_what_was_left(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 4);
	configure(w);
	write_file(w->file[0], "rubbish\n");
	restart(w);
	configure(w);
	assert_int_equal(w->result.failed, 1);
	assert_int_equal(view(w, "one.example").image->serial, 4);
}

static void the_same_name_with_another_file_is_read_anew(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 1);
	configure(w);
	snprintf(w->file[0], sizeof(w->file[0]), "%s/other.zone", w->directory);
	write_zone(w->file[0], 9);
	configure(w);
	assert_int_equal(view(w, "one.example").image->serial, 9);
	assert_string_equal(view(w, "one.example").file, w->file[0]);
}

static void zones_no_longer_named_are_withdrawn_also_after_a_restart(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "stays.example");
	name_zone(w, 1, "goes.example");
	name_zone(w, 2, "goes-later.example");
	for (unsigned i = 0; i < 3; i++)
		write_zone(w->file[i], 1);
	configure(w);
	w->config.zone_count = 1;
	name_zone(w, 1, "goes-later.example");
	configure(w);
	struct zone_view gone;
	assert_int_equal(w->result.withdrawn, 1);
	assert_false(publisher_find(w->publisher, apex_of("goes.example"), &gone));
	assert_null(catalog_zone(w->catalog, apex_of("goes.example")));
	assert_int_equal(publisher_reload(w->publisher, apex_of("goes.example"), on_done, w), ST_NOT_FOUND);
	restart(w);
	w->config.zone_count = 1;
	configure(w);
	assert_int_equal(w->result.withdrawn, 1);
	assert_null(catalog_zone(w->catalog, apex_of("goes-later.example")));
	assert_non_null(catalog_zone(w->catalog, apex_of("stays.example")));
}

static void a_zone_withdrawn_while_it_is_read_does_not_come_back(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "one.example");
	name_zone(w, 1, "two.example");
	write_zone(w->file[0], 1);
	write_zone(w->file[1], 1);
	assert_int_equal(publisher_configure(w->publisher, &w->config, on_done, w), ST_OK);
	w->config.zone_count = 1;
	assert_int_equal(publisher_configure(w->publisher, &w->config, on_done, w), ST_OK);
	AWAIT(w->base, w->done == 2);
	AWAIT(w->base, publisher_counts(w->publisher).busy == 0);
	assert_null(catalog_zone(w->catalog, apex_of("two.example")));
	assert_non_null(catalog_zone(w->catalog, apex_of("one.example")));
}

static void an_error_in_the_zone_list_withdraws_nothing(void **state)
{
	struct world *w = *state;
	char list[128], text[512];
	name_zone(w, 0, "one.example");
	name_zone(w, 1, "two.example");
	write_zone(w->file[0], 1);
	write_zone(w->file[1], 1);
	snprintf(list, sizeof(list), "%s/list", w->directory);
	snprintf(text, sizeof(text), "one.example\t%s\ntwo.example\t%s\n", w->file[0], w->file[1]);
	write_file(list, text);
	w->config.zone_count = 0;
	w->config.zone_list = list;
	configure(w);
	assert_int_equal(w->result.loaded, 2);
	snprintf(text, sizeof(text), "one.example\t%s\ntwo..example\t%s\n", w->file[0], w->file[1]);
	write_file(list, text);
	configure(w);
	assert_true(w->list_errors > 0);
	assert_int_equal(w->result.withdrawn, 0);
	assert_non_null(catalog_zone(w->catalog, apex_of("two.example")));
	unlink(list);
	configure(w);
	assert_true(w->list_errors > 0);
	assert_int_equal(publisher_counts(w->publisher).loaded, 2);
	w->config.zone_list = NULL;
}

static void everybody_who_asks_for_a_reload_is_told_once(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 1);
	configure(w);
	write_zone(w->file[0], 2);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(publisher_reload(w->publisher, apex_of("one.example"), on_done, w), ST_OK);
	AWAIT(w->base, w->done == 6);
	AWAIT(w->base, publisher_counts(w->publisher).busy == 0);
	assert_int_equal(w->done, 6);
	assert_int_equal(view(w, "one.example").image->serial, 2);
}

static void a_reload_asked_for_during_another_reads_the_file_after_that(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 1);
	configure(w);
	write_zone(w->file[0], 2);
	assert_int_equal(publisher_reload(w->publisher, apex_of("one.example"), on_done, w), ST_OK);
	write_zone(w->file[0], 3); // the first one may have read it already
	assert_int_equal(publisher_reload(w->publisher, apex_of("one.example"), on_done, w), ST_OK);
	AWAIT(w->base, w->done == 3);
	assert_int_equal(view(w, "one.example").image->serial, 3);
}

static void space_is_given_back_only_when_the_workers_have_moved_on(void **state)
{
	struct world *w = *state;
	struct fake_dataplane plane;
	plane_start(&plane, w->directory, 2);
	AWAIT(w->base, side_door_is_attached(w->door));
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 1);
	configure(w);
	write_zone(w->file[0], 2);
	reload(w, "one.example");
	assert_true(catalog_usage(w->catalog).retired_bytes > 0);
	atomic_fetch_add(&plane.stats->worker[0].turns, 100);
	for (uint64_t until = now_ms() + 200; now_ms() < until;)
		event_base_loop(w->base, EVLOOP_ONCE);
	assert_true(catalog_usage(w->catalog).retired_bytes > 0); // the other worker may still look at it
	for (uint64_t deadline = now_ms() + PATIENCE_MS;
		catalog_usage(w->catalog).retired_bytes > 0 && now_ms() < deadline;) {
		atomic_fetch_add(&plane.stats->worker[0].turns, 1);
		atomic_fetch_add(&plane.stats->worker[1].turns, 1);
		event_base_loop(w->base, EVLOOP_ONCE);
	}
	assert_int_equal(catalog_usage(w->catalog).retired_bytes, 0);
	write_zone(w->file[0], 3);
	reload(w, "one.example");
	assert_true(catalog_usage(w->catalog).retired_bytes > 0);
	plane_stop(&plane); // killed: nobody looks any more
	AWAIT(w->base, catalog_usage(w->catalog).retired_bytes == 0);
}

// The worker may be in the middle of an answer from the image that the dead process had just replaced.
static void a_worker_that_stands_still_keeps_what_a_dead_process_gave_up(void **state)
{
	struct world *w = *state;
	struct fake_dataplane plane;
	plane_start(&plane, w->directory, 1);
	AWAIT(w->base, side_door_is_attached(w->door));
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 1);
	configure(w);
	size_t held_at = (size_t)((const uint8_t *)view(w, "one.example").image - (const uint8_t *)catalog_header(w->catalog));
	write_zone(w->file[0], 2);
	reload(w, "one.example");
	restart(w);
	AWAIT(w->base, side_door_is_attached(w->door));
	configure(w);
	for (unsigned serial = 3; serial < 8; serial++) {
		write_zone(w->file[0], serial);
		reload(w, "one.example");
	}
	const struct image *held = (const struct image *)((const uint8_t *)catalog_header(w->catalog) + held_at);
	assert_int_equal(held->magic, IMAGE_MAGIC);
	assert_int_equal(held->serial, 1);
	for (uint64_t deadline = now_ms() + PATIENCE_MS;
		catalog_usage(w->catalog).retired_bytes > 0 && now_ms() < deadline;) {
		atomic_fetch_add(&plane.stats->worker[0].turns, 1);
		event_base_loop(w->base, EVLOOP_ONCE);
	}
	assert_int_equal(catalog_usage(w->catalog).retired_bytes, 0);
	plane_stop(&plane);
	restart(w);
	assert_int_equal(catalog_usage(w->catalog).retired_bytes, 0); // nobody lives, nothing is in doubt
}

static void full_shared_memory_fails_the_zone_and_names_the_directory(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "one.example");
	name_zone(w, 1, "large.example");
	write_zone(w->file[0], 1);
	FILE *file = fopen(w->file[1], "w");
	fputs("$TTL 60\n@ SOA ns mail 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n", file);
	for (unsigned i = 0; i < 50000; i++)
		fprintf(file, "host%u A 192.0.2.%u\n", i, i & 255);
	fclose(file);
	signal(SIGXFSZ, SIG_IGN);
	struct rlimit before, limit;
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = HUGE_PAGE_BYTES;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	configure(w);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(w->result.loaded, 1);
	assert_int_equal(w->result.failed, 1);
	assert_non_null(strstr(w->problem, "shared memory is full"));
	assert_non_null(strstr(w->problem, w->directory));
	reload(w, "large.example");
	assert_int_equal(w->result.loaded, 1);
	assert_int_equal(view(w, "large.example").image->records, 50003);
}

static void ending_in_the_middle_of_a_large_file_tells_who_waits_and_does_not_wait_itself(void **state)
{
	struct world *w = *state;
	name_zone(w, 0, "endless.example");
	write_file(w->file[0], "$TTL 60\n@ SOA ns mail 1 2 3 4 5\n@ NS ns\n$GENERATE 1-60000 a$ A 192.0.2.1\n"
			       "$GENERATE 1-60000 b$ A 192.0.2.1\n$GENERATE 1-60000 c$ A 192.0.2.1\n");
	assert_int_equal(publisher_configure(w->publisher, &w->config, on_done, w), ST_OK);
	restart(w);
	assert_int_equal(w->done, 1);
	assert_int_equal(w->result.loaded, 0);
	assert_false(catalog_is_ready(w->catalog));
}

static void add(struct world *w, const char *name, const char *file, unsigned failed)
{
	unsigned before = w->done;
	assert_int_equal(publisher_add(w->publisher, apex_of(name), file, on_done, w), ST_OK);
	AWAIT(w->base, w->done == before + 1);
	assert_int_equal(w->result.failed, failed);
}

static bool is_known(struct world *w, const char *name)
{
	struct zone_view view;
	return publisher_find(w->publisher, apex_of(name), &view);
}

static void an_added_zone_is_served_also_after_a_restart_until_it_is_removed(void **state)
{
	struct world *w = *state;
	char file[128];
	snprintf(file, sizeof(file), "%s/more.zone", w->directory);
	write_zone(file, 5);
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 1);
	configure(w);
	add(w, "more.example", file, 0);
	assert_true(view(w, "more.example").added);
	assert_int_equal(publisher_add(w->publisher, apex_of("more.example"), file, on_done, w), ST_EXISTS);
	configure(w); // does not name it, and leaves it alone
	assert_int_equal(catalog_zone(w->catalog, apex_of("more.example"))->serial, 5);
	restart_machine(w);
	configure(w);
	assert_int_equal(catalog_zone(w->catalog, apex_of("more.example"))->serial, 5);
	assert_int_equal(publisher_remove(w->publisher, apex_of("more.example")), ST_OK);
	assert_null(catalog_zone(w->catalog, apex_of("more.example")));
	assert_int_equal(publisher_remove(w->publisher, apex_of("more.example")), ST_NOT_FOUND);
	restart(w);
	configure(w);
	assert_false(is_known(w, "more.example"));
	assert_true(is_known(w, "one.example"));
}

static void a_broken_file_adds_nothing_and_says_where(void **state)
{
	struct world *w = *state;
	char file[128];
	snprintf(file, sizeof(file), "%s/broken.zone", w->directory);
	write_file(file, "$TTL 60\n@ SOA ns mail 1 2 3 4 5\n@ NS ns\nns A 192.0.2.256\n");
	configure(w);
	add(w, "broken.example", file, 1);
	assert_non_null(strstr(w->problem, "broken.zone:4:6: error"));
	assert_false(is_known(w, "broken.example"));
	restart(w);
	configure(w);
	assert_false(is_known(w, "broken.example"));
	assert_int_equal(publisher_counts(w->publisher).zones, 0);
}

static void a_zone_of_the_configuration_cannot_be_removed_and_takes_the_place_of_an_added_one(void **state)
{
	struct world *w = *state;
	char file[128];
	snprintf(file, sizeof(file), "%s/more.zone", w->directory);
	write_zone(file, 5);
	configure(w);
	add(w, "one.example", file, 0);
	name_zone(w, 0, "one.example");
	write_zone(w->file[0], 6);
	configure(w);
	assert_int_equal(view(w, "one.example").image->serial, 6);
	assert_false(view(w, "one.example").added);
	assert_int_equal(publisher_remove(w->publisher, apex_of("one.example")), ST_REFUSED);
	w->config.zone_count = 0;
	configure(w);
	assert_false(is_known(w, "one.example"));
}

static void files_of_the_zone_directory_are_zones(void **state)
{
	struct world *w = *state;
	char path[128];
	w->config.zone_directory = w->directory;
	w->config.zone_pattern = (char *)"*.zone";
	snprintf(path, sizeof(path), "%s/new.example.zone", w->directory);
	write_zone(path, 3);
	configure(w);
	assert_int_equal(view(w, "new.example").image->serial, 3);
	assert_int_equal(publisher_counts(w->publisher).zones, 1);
	assert_int_equal(unlink(path), 0);
	configure(w);
	assert_int_equal(w->result.withdrawn, 1);
	assert_null(catalog_zone(w->catalog, apex_of("new.example")));
	w->config.zone_directory = (char *)"/nonexistent";
	configure(w);
	assert_int_equal(w->list_errors, 1);
}

static void write_large_zone(const char *path, unsigned serial)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "$TTL 60\n@ SOA ns mail %u 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n", serial);
	for (unsigned i = 0; i < 20000; i++)
		fprintf(file, "host%u A 192.0.2.%u\n", i, i & 255);
	assert_int_equal(fclose(file), 0);
}

static char *image_path(const struct world *w)
{
	static char path[160];
	snprintf(path, sizeof(path), "%s/large.example.image", w->images);
	return path;
}

static void save_large_zone(struct world *w)
{
	w->saves = true;
	restart(w);
	name_zone(w, 0, "large.example");
	write_large_zone(w->file[0], 1);
	configure(w);
	assert_int_equal(w->result.loaded, 1);
	AWAIT(w->base, access(image_path(w), F_OK) == 0);
	AWAIT(w->base, publisher_counts(w->publisher).busy == 0);
}

static void a_saved_image_is_taken_when_the_memory_is_gone(void **state)
{
	struct world *w = *state;
	save_large_zone(w);
	struct image *before = malloc(catalog_zone(w->catalog, apex_of("large.example"))->bytes);
	memcpy(before, catalog_zone(w->catalog, apex_of("large.example")), catalog_zone(w->catalog, apex_of("large.example"))->bytes);
	restart_machine(w);
	configure(w);
	assert_int_equal(w->result.loaded, 0);
	assert_int_equal(w->result.unchanged, 1);
	assert_true(view(w, "large.example").adopted);
	const struct image *image = view(w, "large.example").image;
	assert_int_equal(image->bytes, before->bytes);
	assert_memory_equal(image, before, image->bytes);
	assert_int_equal(publisher_counts(w->publisher).records, 20003);
	free(before);
	write_large_zone(w->file[0], 2); // from here on the file counts
	reload(w, "large.example");
	assert_int_equal(view(w, "large.example").image->serial, 2);
}

static void a_saved_image_of_a_changed_file_is_not_taken(void **state)
{
	struct world *w = *state;
	save_large_zone(w);
	close_catalog(w);
	write_large_zone(w->file[0], 22);
	open_catalog(w);
	restart_machine(w);
	configure(w);
	assert_int_equal(w->result.loaded, 1);
	assert_int_equal(view(w, "large.example").image->serial, 22);
}

static ino_t inode_of(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 ? info.st_ino : 0;
}

static void a_damaged_saved_image_is_ignored_and_replaced(void **state)
{
	struct world *w = *state;
	save_large_zone(w);
	uint64_t bytes = catalog_zone(w->catalog, apex_of("large.example"))->bytes;
	// In the middle lie nodes; a wild reference there is what the check must find.
	FILE *file = fopen(image_path(w), "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, (long)(bytes / 2), SEEK_SET), 0);
	for (unsigned i = 0; i < 4096; i++)
		fputc(0xff, file);
	assert_int_equal(fclose(file), 0);
	const ino_t damaged = inode_of(image_path(w));
	restart_machine(w);
	configure(w);
	assert_int_equal(w->result.loaded, 1);
	assert_int_equal(view(w, "large.example").image->records, 20003);
	// A new file takes the name when it is whole.
	AWAIT(w->base, inode_of(image_path(w)) != damaged);
	restart_machine(w);
	configure(w);
	assert_int_equal(w->result.unchanged, 1);
}

static void a_pipe_is_no_zone_file(void **state)
{
	struct world *w = *state;
	restart(w);
	name_zone(w, 0, "pipe.example");
	unlink(w->file[0]);
	assert_int_equal(mkfifo(w->file[0], 0600), 0);
	configure(w);
	assert_int_equal(w->result.failed, 1);
	assert_int_equal(publisher_counts(w->publisher).busy, 0);
}

static void a_removed_zone_leaves_no_saved_image(void **state)
{
	struct world *w = *state;
	save_large_zone(w);
	w->config.zone_count = 0;
	configure(w);
	AWAIT(w->base, access(image_path(w), F_OK) != 0);
}

static void a_seed_that_others_may_read_is_not_used(void **state)
{
	struct world *w = *state;
	save_large_zone(w);
	char path[160];
	uint64_t seed = catalog_seed(w->catalog);
	assert_int_equal(saved_seed(w->images), seed);
	snprintf(path, sizeof(path), "%s/seed", w->images);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(saved_seed(w->images), 0);
	restart_machine(w);
	configure(w);
	assert_int_equal(w->result.loaded, 1);
	assert_true(catalog_seed(w->catalog) != seed);
	assert_int_equal(saved_seed(w->images), catalog_seed(w->catalog));
}

struct order_check {
	unsigned seen;
	uint8_t last[NAME_MAX_BYTES];
};

static bool check_order(void *ctx, const struct zone_view *view)
{
	struct order_check *check = ctx;
	if (check->seen++)
		assert_true(name_compare(check->last, view->apex) < 0);
	memcpy(check->last, view->apex, name_length(view->apex, NAME_MAX_BYTES));
	return true;
}

static void write_many(const struct world *w, const char *list)
{
	char path[128];
	FILE *file = fopen(list, "w");
	assert_non_null(file);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "%s/z%u.zone", w->directory, i);
		FILE *zone = fopen(path, "w");
		fprintf(zone, "$TTL 3600\n@ SOA ns mail %u 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.%s\n",
			i + 1, i == 4711 ? "999" : "2");
		fclose(zone);
		fprintf(file, "z%u.example\tz%u.zone\n", i, i);
	}
	fclose(file);
}

static uint64_t own_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

// configure(), and the longest time that one turn of the event loop took of its thread.
static uint64_t configure_and_time(struct world *w)
{
	uint64_t longest = 0;
	unsigned before = w->done;
	assert_int_equal(publisher_configure(w->publisher, &w->config, on_done, w), ST_OK);
	while (w->done == before) {
		uint64_t began = own_us();
		event_base_loop(w->base, EVLOOP_ONCE);
		uint64_t took = own_us() - began;
		longest = took > longest ? took : longest;
	}
	return longest;
}

static void twenty_thousand_zones_load_beside_the_event_loop_and_the_broken_one_is_told(void **state)
{
	struct world *w = *state;
	char list[128];
	snprintf(list, sizeof(list), "%s/list", w->directory);
	write_many(w, list);
	w->config.zone_list = list;
	uint64_t began = now_ms();
	uint64_t turn_us = configure_and_time(w);
	print_message("# %u zones read in %llu ms, longest turn of the event loop %llu us\n", MANY,
		(unsigned long long)(now_ms() - began), (unsigned long long)turn_us);
	assert_true(turn_us < TURN_MAX_US);
	assert_int_equal(w->result.loaded, MANY - 1);
	assert_int_equal(w->result.failed, 1);
	assert_non_null(strstr(w->problem, "z4711.zone:5:7: error"));
	struct order_check check = { 0 };
	publisher_each(w->publisher, NULL, check_order, &check);
	assert_int_equal(check.seen, MANY);
	began = now_ms();
	restart(w);
	turn_us = configure_and_time(w);
	print_message("# %u zones adopted in %llu ms, longest turn of the event loop %llu us\n", MANY,
		(unsigned long long)(now_ms() - began), (unsigned long long)turn_us);
	assert_int_equal(w->result.unchanged, MANY - 1);
	assert_int_equal(w->result.failed, 1);
	assert_int_equal(catalog_zone(w->catalog, apex_of("z19999.example"))->serial, 20000);
	w->config.zone_list = NULL;
}

#define SENTENCE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SENTENCE(a_zone_of_the_configuration_is_served),
		SENTENCE(one_broken_zone_does_not_stop_the_others),
		SENTENCE(a_zone_that_fails_holds_its_place_until_it_is_loaded_or_gone),
		SENTENCE(a_zone_on_its_way_is_awaited),
		SENTENCE(a_broken_file_at_reload_keeps_what_was_there_and_says_where),
		SENTENCE(a_restart_adopts_images_whose_files_have_not_changed),
		SENTENCE(a_restart_with_a_broken_file_serves_what_was_left),
		SENTENCE(the_same_name_with_another_file_is_read_anew),
		SENTENCE(zones_no_longer_named_are_withdrawn_also_after_a_restart),
		SENTENCE(a_zone_withdrawn_while_it_is_read_does_not_come_back),
		SENTENCE(an_error_in_the_zone_list_withdraws_nothing),
		SENTENCE(everybody_who_asks_for_a_reload_is_told_once),
		SENTENCE(a_reload_asked_for_during_another_reads_the_file_after_that),
		SENTENCE(space_is_given_back_only_when_the_workers_have_moved_on),
		SENTENCE(a_worker_that_stands_still_keeps_what_a_dead_process_gave_up),
		SENTENCE(full_shared_memory_fails_the_zone_and_names_the_directory),
		SENTENCE(ending_in_the_middle_of_a_large_file_tells_who_waits_and_does_not_wait_itself),
		SENTENCE(an_added_zone_is_served_also_after_a_restart_until_it_is_removed),
		SENTENCE(a_broken_file_adds_nothing_and_says_where),
		SENTENCE(a_zone_of_the_configuration_cannot_be_removed_and_takes_the_place_of_an_added_one),
		SENTENCE(files_of_the_zone_directory_are_zones),
		SENTENCE(a_saved_image_is_taken_when_the_memory_is_gone),
		SENTENCE(a_saved_image_of_a_changed_file_is_not_taken),
		SENTENCE(a_damaged_saved_image_is_ignored_and_replaced),
		SENTENCE(a_pipe_is_no_zone_file),
		SENTENCE(a_removed_zone_leaves_no_saved_image),
		SENTENCE(a_seed_that_others_may_read_is_not_used),
		SENTENCE(twenty_thousand_zones_load_beside_the_event_loop_and_the_broken_one_is_told),
	};
	return cmocka_run_group_tests_name("publish", tests, NULL, NULL) ? 1 : 0;
}
