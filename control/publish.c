// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <time.h>
#include <unistd.h>

#include <pollux/log.h>
#include <pollux/name.h>
#include <pollux/zonefile.h>

#include "added.h"
#include "expiry.h"
#include "gather.h"
#include "loader.h"
#include "publish.h"
#include "reclaim.h"
#include "saved.h"

#define LOADS_PER_THREAD 64 // on the way at once: hides the event loop's turns behind the reading of tiny zones
#define SLICE_US 2000	    // of the event loop's time for a new set of zones, at once
#define SLICE_STEPS 64	    // zones between two looks at the clock
#define SKIP_STEPS 16	    // of zones with which there is nothing to do, in one such step
#define LARGE_BYTES (UINT64_C(4) << 20) // for such an image the region grows in a thread: it takes milliseconds
#define AHEAD_BYTES (UINT64_C(16) << 20) // of the region, that small zones find ready without the event loop waiting for the kernel
#define FAILED_LINES_MAX 50 // of the log, for one order: more zones than that are only counted

const char *const zone_state_name[ZONE_STATE_COUNT] = { "loading", "loaded", "failed" };

// Somebody waits for a number of zones.
struct order {
	TAILQ_ENTRY(order) link;
	publish_done *done;
	void *ctx;
	bool first; // its end makes the catalog ready
	unsigned waiting; // zones, and one while it is being put together
	struct publish_result result;
	struct findings problems, list;
	uint64_t began_us;
};

// A configuration on its way: first its lists are read, then the zones are gone through in slices.
struct setup {
	TAILQ_ENTRY(setup) link;
	struct order *order;
	struct gathering *gathering;
	bool gathered, begun, keeps_all;
	unsigned next, skipped;		 // of gathering->zones; zones that were named
	uint64_t adoptable;		 // zones that have an image already
	uint8_t cursor[NAME_MAX_BYTES];	 // behind it are the zones not yet asked whether somebody names them; "": all
	unsigned cursor_bytes;
};
TAILQ_HEAD(setups, setup);

// An image on its way to the disk.
struct saving {
	struct loader_task task;
	struct publisher *publisher;
	struct zone *zone; // NULL: gone meanwhile
	const char *directory;
	const struct image *image;
	enum status status;
	int cause; // errno
	uint64_t took_us;
	bool again; // another image has been published meanwhile
	LIST_ENTRY(saving) link;
};

// One zone that one order waits for.
struct wish {
	SLIST_ENTRY(wish) link;
	struct order *order;
};
SLIST_HEAD(wishes, wish);

// There may be a million: each octet counts.
struct zone {
	RB_ENTRY(zone) node;
	STAILQ_ENTRY(zone) link;    // of the queue
	struct findings *findings;  // NULL: none
	struct wishes asked, served; // by the next attempt, by the one that runs
	char *file;		    // `text`, unless it has changed
	struct saving *saving;
	uint32_t took_us;	    // at most
	uint32_t round;		    // of the configuration that named it last
	uint64_t tried_at_s : 40;
	uint64_t state : 2;
	uint64_t wanted : 1; // to be served
	uint64_t queued : 1;
	uint64_t running : 1;
	uint64_t adopted : 1;
	uint64_t added : 1;
	uint64_t fresh : 1;  // added, and its first attempt is not over
	uint64_t force : 1;  // read even when the files are unchanged
	uint64_t tried : 1;
	uint8_t apex_bytes;
	uint8_t apex[]; // then the path
};

RB_HEAD(zone_tree, zone);
STAILQ_HEAD(zone_queue, zone);
TAILQ_HEAD(orders, order);

struct publisher {
	struct catalog *catalog;
	struct loader *loader;
	struct reclaimer *reclaimer;
	struct expiry *expiry;
	char *where, *image_directory, *added_path;
	struct zone_tree zones;
	struct zone_queue queue;
	struct orders orders;
	struct setups setups; // the first one is being worked on
	struct setups spent;  // a thread gives their memory back
	struct event *slice;
	LIST_HEAD(, saving) savings;
	struct zone **added; // few
	unsigned added_count, added_room;
	struct publisher_counts counts;
	unsigned running, failed_lines;
	uint32_t round;
	uint64_t left_zones; // by a former process
	struct loader_task growing; // makes the region longer before small zones need it
	uint64_t grows_to;	    // bytes of the file; 0: it does not
	enum status grown;
	bool configured, knows_all; // all images are of zones that are known
};

static int compare_zones(const struct zone *a, const struct zone *b)
{
	return name_compare(a->apex, b->apex);
}

RB_GENERATE_INTERNAL(zone_tree, zone, node, compare_zones, __attribute__((unused)) static)

static uint64_t monotonic_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

// --- zones ---

// The zone, or the first one behind it.
static struct zone *zone_from(const struct publisher *p, const uint8_t *apex, bool exactly)
{
	union { struct zone zone; uint8_t room[sizeof(struct zone) + NAME_MAX_BYTES]; } key;
	name_fold(key.zone.apex, apex);
	struct zone_tree *zones = (struct zone_tree *)&p->zones;
	return exactly ? RB_FIND(zone_tree, zones, &key.zone) : RB_NFIND(zone_tree, zones, &key.zone);
}

static struct zone *find_zone(const struct publisher *p, const uint8_t *apex)
{
	return zone_from(p, apex, true);
}

static struct zone *zone_behind(const struct publisher *p, const uint8_t *apex)
{
	struct zone *zone = zone_from(p, apex, false);
	return zone && name_equal(zone->apex, apex) ? RB_NEXT(zone_tree, (struct zone_tree *)&p->zones, zone) : zone;
}

static unsigned *state_count(struct publisher *p, enum zone_state state)
{
	return state == ZONE_LOADED ? &p->counts.loaded : state == ZONE_FAILED ? &p->counts.failed : &p->counts.loading;
}

static void set_state(struct publisher *p, struct zone *zone, enum zone_state state)
{
	if (zone->wanted) {
		--*state_count(p, zone->state);
		++*state_count(p, state);
	}
	zone->state = state;
}

static void set_wanted(struct publisher *p, struct zone *zone, bool wanted)
{
	if (zone->wanted == wanted)
		return;
	zone->wanted = wanted;
	p->counts.zones += wanted ? 1u : -1u;
	*state_count(p, zone->state) += wanted ? 1u : -1u;
}

static bool is_busy(const struct zone *zone)
{
	return zone->wanted && (zone->queued || zone->running);
}

static struct zone *add_zone(struct publisher *p, const uint8_t *apex, const char *file)
{
	unsigned bytes = name_length(apex, NAME_MAX_BYTES);
	size_t path_bytes = strlen(file) + 1;
	struct zone *zone = calloc(1, offsetof(struct zone, apex) + bytes + path_bytes);
	if (!zone)
		return NULL;
	zone->apex_bytes = (uint8_t)bytes;
	name_fold(zone->apex, apex);
	zone->file = (char *)zone->apex + bytes;
	memcpy(zone->file, file, path_bytes);
	SLIST_INIT(&zone->asked);
	SLIST_INIT(&zone->served);
	RB_INSERT(zone_tree, &p->zones, zone);
	return zone;
}

static void free_file(struct zone *zone)
{
	if (zone->file != (char *)zone->apex + zone->apex_bytes)
		free(zone->file);
}

static bool set_file(struct zone *zone, const char *file)
{
	if (strcmp(zone->file, file) == 0)
		return true;
	char *path = strdup(file);
	if (!path)
		return false;
	free_file(zone);
	zone->file = path;
	return true;
}

static void drop_findings(struct zone *zone)
{
	if (zone->findings)
		findings_clear(zone->findings);
	free(zone->findings);
	zone->findings = NULL;
}

// What the last reading said; nearly always nothing.
static void keep_findings(struct zone *zone, struct findings *from)
{
	drop_findings(zone);
	if (from->lines == 0)
		return;
	zone->findings = malloc(sizeof(*zone->findings));
	if (!zone->findings)
		return;
	findings_init(zone->findings);
	findings_move(zone->findings, from);
}

static const struct findings *findings_of(const struct zone *zone)
{
	static const struct findings none;
	return zone->findings ? zone->findings : &none;
}

static void free_zone(struct publisher *p, struct zone *zone)
{
	if (zone->saving)
		zone->saving->zone = NULL;
	RB_REMOVE(zone_tree, &p->zones, zone);
	drop_findings(zone);
	free_file(zone);
	free(zone);
}

// --- orders ---

static struct order *new_order(struct publisher *p, publish_done *done, void *ctx)
{
	struct order *order = calloc(1, sizeof(*order));
	if (!order)
		return NULL;
	order->done = done;
	order->ctx = ctx;
	order->waiting = 1;
	order->began_us = monotonic_us();
	findings_init(&order->problems);
	findings_init(&order->list);
	order->result.problems = &order->problems;
	order->result.list = &order->list;
	TAILQ_INSERT_TAIL(&p->orders, order, link);
	return order;
}

static void end_order(struct publisher *p, struct order *order)
{
	const struct publish_result *result = &order->result;
	TAILQ_REMOVE(&p->orders, order, link);
	if (order->first)
		catalog_set_ready(p->catalog);
	log_info("zones: %u loaded, %u unchanged, %u failed, %u withdrawn in %.3f s", result->loaded,
		result->unchanged, result->failed, result->withdrawn,
		(double)(monotonic_us() - order->began_us) / 1e6);
	p->failed_lines = 0;
	if (order->done)
		order->done(order->ctx, result);
	findings_clear(&order->problems);
	findings_clear(&order->list);
	free(order);
}

static void order_waits_for_one_less(struct publisher *p, struct order *order)
{
	if (--order->waiting == 0)
		end_order(p, order);
}

static void copy_problems(struct order *order, const struct findings *from)
{
	for (unsigned i = 0; i < from->errors && order->problems.lines < FINDINGS_MAX; i++) {
		char *line = strdup(from->line[i]);
		if (!line)
			return;
		order->problems.line[order->problems.lines++] = line;
		order->problems.errors++;
	}
	order->problems.report.errors += from->report.errors;
}

// --- the way of a zone ---

static void drop_wishes(struct publisher *p, struct wishes *wishes, unsigned *(*count)(struct publish_result *),
	const struct findings *problems)
{
	struct wish *wish;
	while ((wish = SLIST_FIRST(wishes))) {
		SLIST_REMOVE_HEAD(wishes, link);
		struct order *order = wish->order;
		free(wish);
		if (count)
			++*count(&order->result);
		if (problems)
			copy_problems(order, problems);
		order_waits_for_one_less(p, order);
	}
}

static unsigned *count_loaded(struct publish_result *result)
{
	return &result->loaded;
}

static unsigned *count_unchanged(struct publish_result *result)
{
	return &result->unchanged;
}

static unsigned *count_failed(struct publish_result *result)
{
	return &result->failed;
}

// The paths an image was made from, copied: the image may be given up while a thread asks for their stamp.
static char *copy_paths(const struct image *image)
{
	const char *paths = image_at(image, image->source_ref), *end = paths;
	while (*end)
		end += strlen(end) + 1;
	size_t bytes = (size_t)(end - paths) + 1;
	char *copy = malloc(bytes);
	return copy ? memcpy(copy, paths, bytes) : NULL;
}

static const struct image *served_image(const struct publisher *p, const uint8_t *apex)
{
	const struct image *image = catalog_zone(p->catalog, apex);
	return image && !image_is_blank(image) ? image : NULL;
}

// What is served of a zone; without a look where there cannot be anything, for a million look-ups take their time.
static const struct image *image_of(const struct publisher *p, const struct zone *zone)
{
	bool may_be = zone->tried || p->left_zones;
	return may_be ? served_image(p, zone->apex) : NULL;
}

static bool is_large(const struct image *image)
{
	return image->bytes >= SAVED_LEAST_BYTES;
}

static struct load *order_load(struct publisher *p, struct zone *zone)
{
	struct load *load = load_new(zone->apex, zone->file);
	if (!load)
		return NULL;
	const struct image *image = image_of(p, zone);
	if (image && image->source_ref && !zone->force) {
		load->known_paths = copy_paths(image);
		load->known_stamp = image->source_stamp;
	}
	if (!image && !zone->tried && !zone->force)
		load->saved_directory = p->image_directory;
	load->owner = zone;
	return load;
}

static void remove_zone(struct publisher *p, struct zone *zone);

// From now on nothing about its names is asked of anybody else, and nobody is told that they do not exist.
static void hold_place(struct publisher *p, const struct zone *zone)
{
	void *room;
	enum status status = catalog_reserve(p->catalog, image_blank_bytes(zone->apex_bytes), &room);
	if (status == ST_OK) {
		image_write_blank(room, zone->apex, zone->apex_bytes, catalog_seed(p->catalog));
		status = catalog_publish(p->catalog, room);
		if (status != ST_OK)
			catalog_cancel(p->catalog, room);
	}
	if (status == ST_OK)
		p->counts.blank++;
	else
		log_error("%s: no room to tell that a zone is not ready: %s", p->where, status_text(status));
}

static void zone_failed(struct publisher *p, struct zone *zone)
{
	char name[NAME_TEXT_BYTES];
	const struct image *image = catalog_zone(p->catalog, zone->apex);
	const struct findings *findings = findings_of(zone);
	set_state(p, zone, ZONE_FAILED);
	if (p->failed_lines++ < FAILED_LINES_MAX)
		log_error("zone %s: %s, errors: %u; %s", name_to_text(name, zone->apex),
			zone->fresh ? "not added" :
			image && !image_is_blank(image) ? "keeps its former content" : "not served",
			findings->report.errors, findings->lines ? findings->line[0] : "out of memory");
	if (!image && !zone->fresh && zone->wanted)
		hold_place(p, zone);
	drop_wishes(p, &zone->served, count_failed, findings);
}

static void report_no_room(const struct publisher *p, struct load *load, enum status status)
{
	struct report *report = &load->findings.report;
	if (status == ST_NO_SPACE)
		report_at(report, SEVERITY_ERROR, load->file, 0, 0,
			"shared memory is full: the zone needs %llu MiB more in %s; make that file system larger, or set shared-memory to one with room",
			(unsigned long long)(load->image_bytes >> 20) + 1, p->where);
	else if (status == ST_FULL)
		report_at(report, SEVERITY_ERROR, load->file, 0, 0, "the zone needs %llu MiB; an image has %llu MiB at most",
			(unsigned long long)(load->image_bytes >> 20) + 1, (unsigned long long)(IMAGE_MAX_BYTES >> 20));
	else
		report_at(report, SEVERITY_ERROR, load->file, 0, 0, "no room in %s: %s", p->where, status_text(status));
}

// A zone in the queue that nobody wants any more.
static bool dropped(struct publisher *p, struct zone *zone)
{
	if (zone->wanted)
		return false;
	free_zone(p, zone);
	return true;
}

static void start_loads(struct publisher *p)
{
	struct zone *zone;
	while ((zone = STAILQ_FIRST(&p->queue)) && p->running < loader_threads(p->loader) * LOADS_PER_THREAD) {
		STAILQ_REMOVE_HEAD(&p->queue, link);
		zone->queued = false;
		if (dropped(p, zone))
			continue;
		SLIST_SWAP(&zone->asked, &zone->served, wish);
		struct load *load = order_load(p, zone);
		zone->force = false;
		zone->tried = true;
		if (!load) {
			p->counts.busy--;
			drop_findings(zone);
			zone_failed(p, zone);
			continue;
		}
		zone->running = true;
		p->running++;
		loader_read(p->loader, load);
	}
}

static void queue_zone(struct publisher *p, struct zone *zone)
{
	if (zone->queued || zone->running)
		return;
	zone->queued = true;
	p->counts.busy++;
	STAILQ_INSERT_TAIL(&p->queue, zone, link);
}

static bool wish_for(struct publisher *p, struct zone *zone, struct order *order, bool force)
{
	struct wish *wish = malloc(sizeof(*wish));
	if (!wish)
		return false;
	wish->order = order;
	order->waiting++;
	SLIST_INSERT_HEAD(&zone->asked, wish, link);
	zone->force |= force;
	queue_zone(p, zone);
	return true;
}

static void withdraw(struct publisher *p, const uint8_t *apex)
{
	const struct image *image = catalog_zone(p->catalog, apex);
	if (!image)
		return;
	p->counts.records -= image->records;
	p->counts.blank -= image_is_blank(image);
	if (p->image_directory && is_large(image))
		saved_remove(p->image_directory, apex);
	if (catalog_withdraw(p->catalog, apex) == ST_OK)
		reclaimer_wanted(p->reclaimer);
}

// --- saved images ---

static void save_image(struct publisher *p, struct zone *zone);

static void run_saving(struct loader_task *task, const _Atomic bool *interrupted)
{
	struct saving *saving = (struct saving *)((char *)task - offsetof(struct saving, task));
	uint64_t began = monotonic_us();
	saving->status = saved_write(saving->directory, saving->image, interrupted);
	saving->cause = errno;
	saving->took_us = monotonic_us() - began;
}

static void saving_over(void *ctx, struct loader_task *task)
{
	struct publisher *p = ctx;
	struct saving *saving = (struct saving *)((char *)task - offsetof(struct saving, task));
	struct zone *zone = saving->zone;
	char name[NAME_TEXT_BYTES];
	name_to_text(name, saving->image->apex); // still there: the hold keeps it
	if (saving->status == ST_OK)
		log_debug("zone %s: image saved in %.3f s", name, (double)saving->took_us / 1e6);
	else
		log_warning("zone %s: its image could not be saved in %s: %s", name, p->image_directory,
			saving->status == ST_SYSTEM ? strerror(saving->cause) : status_text(saving->status));
	if (!zone || !zone->wanted)
		saved_remove(p->image_directory, saving->image->apex);
	bool again = saving->again;
	LIST_REMOVE(saving, link);
	free(saving);
	reclaimer_release(p->reclaimer);
	if (!zone)
		return;
	zone->saving = NULL;
	if (again && zone->wanted)
		save_image(p, zone);
}

// What is published now, from a thread that the reading goes before.
static void save_image(struct publisher *p, struct zone *zone)
{
	const struct image *image = p->image_directory ? catalog_zone(p->catalog, zone->apex) : NULL;
	if (!image || !is_large(image))
		return;
	if (zone->saving) {
		zone->saving->again = true;
		return;
	}
	struct saving *saving = calloc(1, sizeof(*saving));
	if (!saving)
		return;
	*saving = (struct saving){ .task = { .run = run_saving, .done = saving_over, .ctx = p, .patient = true },
		.publisher = p, .zone = zone, .directory = p->image_directory, .image = image };
	zone->saving = saving;
	LIST_INSERT_HEAD(&p->savings, saving, link);
	reclaimer_hold(p->reclaimer);
	loader_run(p->loader, &saving->task);
}

// --- the end of an attempt ---

static void zone_unchanged(struct publisher *p, struct zone *zone)
{
	if (zone->state == ZONE_LOADING)
		zone->adopted = true;
	if (zone->state == ZONE_FAILED)
		drop_findings(zone); // the file is again what is being served
	set_state(p, zone, ZONE_LOADED);
	drop_wishes(p, &zone->served, count_unchanged, NULL);
}

static void zone_unreadable(struct publisher *p, struct zone *zone, struct load *load)
{
	keep_findings(zone, &load->findings);
	zone_failed(p, zone);
}

static void zone_published(struct publisher *p, struct zone *zone, struct load *load)
{
	const struct image *image = load->room;
	char name[NAME_TEXT_BYTES];
	name_to_text(name, zone->apex);
	keep_findings(zone, &load->findings);
	set_state(p, zone, ZONE_LOADED);
	zone->adopted = load->from_saved;
	p->counts.records += image->records;
	if (load->from_saved)
		log_info("zone %s: serial %u, %u records, from its saved image, %.3f s", name, image->serial,
			image->records, (double)load->took_us / 1e6);
	else
		log_debug("zone %s: serial %u, %u records, %.3f s", name, image->serial, image->records,
			(double)load->took_us / 1e6);
	if (zone->findings)
		log_warning("zone %s: warnings: %u; %s", name, zone->findings->report.warnings, zone->findings->line[0]);
	drop_wishes(p, &zone->served, load->from_saved ? count_unchanged : count_loaded, NULL);
	if (!load->from_saved)
		save_image(p, zone);
}

static void publish_image(struct publisher *p, struct zone *zone, struct load *load)
{
	const struct image *old = zone->state == ZONE_LOADING && !p->left_zones ? NULL : catalog_zone(p->catalog, zone->apex);
	uint32_t old_records = old ? old->records : 0;
	bool was_blank = old && image_is_blank(old);
	enum status status = catalog_publish(p->catalog, load->room);
	if (catalog_usage(p->catalog).retired_bytes) // the old image, or a directory that became too small
		reclaimer_wanted(p->reclaimer);
	if (status != ST_OK) {
		catalog_cancel(p->catalog, load->room);
		report_no_room(p, load, status);
		zone_unreadable(p, zone, load);
		return;
	}
	p->counts.records -= old_records;
	p->counts.blank -= was_blank;
	loader_give_way(p->loader); // the workers have something to serve
	zone_published(p, zone, load);
}

static void run_growing(struct loader_task *task, const _Atomic bool *interrupted)
{
	(void)interrupted;
	struct publisher *p = (struct publisher *)((char *)task - offsetof(struct publisher, growing));
	p->grown = catalog_back(p->catalog, p->grows_to);
}

// Without success the first zone that finds no room says so.
static void growing_over(void *ctx, struct loader_task *task)
{
	(void)task;
	struct publisher *p = ctx;
	p->grows_to = p->grown == ST_OK ? p->grows_to : 0;
	p->growing.run = NULL;
}

static void grow_ahead(struct publisher *p)
{
	if (catalog_usage(p->catalog).file_bytes < 4 * AHEAD_BYTES) // steps are short yet, and the memory may not be needed
		return;
	uint64_t growth = catalog_growth(p->catalog, AHEAD_BYTES);
	if (growth <= p->grows_to || p->growing.run)
		return;
	p->grows_to = growth;
	p->growing = (struct loader_task){ .run = run_growing, .done = growing_over, .ctx = p };
	loader_run(p->loader, &p->growing);
}

// A small image that was written elsewhere.
static void publish_copy(struct publisher *p, struct zone *zone, struct load *load)
{
	enum status status = catalog_reserve(p->catalog, load->image->bytes, &load->room);
	if (status != ST_OK) {
		report_no_room(p, load, status);
		zone_unreadable(p, zone, load);
		return;
	}
	memcpy(load->room, load->image, load->image->bytes);
	publish_image(p, zone, load);
	grow_ahead(p);
}

static void forget_zone(struct publisher *p, struct zone *zone, struct load *load)
{
	if (load->stage == LOAD_WRITTEN)
		catalog_cancel(p->catalog, load->room);
	drop_wishes(p, &zone->served, NULL, NULL);
	free_zone(p, zone);
}

// The attempt is over; the next one begins if somebody asked meanwhile.
static void attempt_over(struct publisher *p, struct zone *zone, struct load *load)
{
	zone->tried_at_s = (uint64_t)time(NULL) & 0xffffffffff;
	zone->took_us = load->took_us < UINT32_MAX ? (uint32_t)load->took_us : UINT32_MAX;
	zone->running = false;
	p->running--;
	p->counts.busy--;
	if (!zone->wanted) {
		forget_zone(p, zone, load);
		return;
	}
	bool fresh = zone->fresh;
	if (load->stage == LOAD_WRITTEN)
		publish_image(p, zone, load);
	else if (load->stage == LOAD_SMALL)
		publish_copy(p, zone, load);
	else if (load->stage == LOAD_UNCHANGED)
		zone_unchanged(p, zone);
	else
		zone_unreadable(p, zone, load);
	zone->fresh = false;
	if (fresh && zone->state == ZONE_FAILED)
		remove_zone(p, zone);
	else if (!SLIST_EMPTY(&zone->asked))
		queue_zone(p, zone);
}

// ST_OK: the load is on its way again.
static enum status find_room(struct publisher *p, struct load *load)
{
	void *room;
	uint64_t growth = catalog_growth(p->catalog, load->image_bytes);
	if (growth > load->file_bytes && load->image_bytes >= LARGE_BYTES) {
		loader_back(p->loader, load, p->catalog, growth);
		return ST_OK;
	}
	enum status status = catalog_reserve(p->catalog, load->image_bytes, &room);
	if (status == ST_OK)
		loader_write(p->loader, load, room);
	else
		report_no_room(p, load, status);
	return status;
}

static void tell_refused_image(const struct zone *zone, struct load *load)
{
	char name[NAME_TEXT_BYTES];
	if (load->saved_refused)
		log_warning("zone %s: its saved image is not used: %s", name_to_text(name, zone->apex), load->saved_refused);
	load->saved_refused = NULL;
}

static bool goes_on(struct publisher *p, struct zone *zone, struct load *load)
{
	if (load->stage == LOAD_STALE) {
		catalog_cancel(p->catalog, load->room);
		load->room = NULL;
		if (!zone->wanted)
			return false;
		loader_read(p->loader, load);
		return true;
	}
	return (load->stage == LOAD_READ || load->stage == LOAD_SAVED) && zone->wanted && find_room(p, load) == ST_OK;
}

static void on_progress(void *ctx, struct load *load)
{
	struct publisher *p = ctx;
	struct zone *zone = load->owner;
	tell_refused_image(zone, load);
	if (goes_on(p, zone, load))
		return;
	attempt_over(p, zone, load);
	load_free(load);
	start_loads(p);
}

// --- what to serve ---

// --- zones added while running ---

static bool note_added(struct publisher *p, struct zone *zone)
{
	if (p->added_count == p->added_room) {
		unsigned room = p->added_room ? p->added_room * 2 : 16;
		struct zone **added = reallocarray(p->added, room, sizeof(struct zone *));
		if (!added)
			return false;
		p->added = added;
		p->added_room = room;
	}
	p->added[p->added_count++] = zone;
	zone->added = true;
	return true;
}

static void forget_added(struct publisher *p, struct zone *zone)
{
	for (unsigned i = 0; i < p->added_count; i++) {
		if (p->added[i] == zone)
			p->added[i--] = p->added[--p->added_count];
	}
	zone->added = false;
}

static enum status write_added(const struct publisher *p)
{
	if (!p->added_path)
		return ST_OK;
	struct zone_config *rows = calloc(p->added_count ? p->added_count : 1, sizeof(*rows));
	if (!rows)
		return ST_NO_MEMORY;
	for (unsigned i = 0; i < p->added_count; i++)
		rows[i] = (struct zone_config){ .apex = p->added[i]->apex, .file = p->added[i]->file };
	enum status status = added_write(p->added_path, rows, p->added_count);
	free(rows);
	return status;
}

// Out of sight at once; the memory goes when no thread works for it any more.
static void remove_zone(struct publisher *p, struct zone *zone)
{
	if (zone->added) {
		forget_added(p, zone);
		if (write_added(p) != ST_OK)
			log_error("%s: cannot be written: %s", p->added_path, strerror(errno));
	}
	withdraw(p, zone->apex);
	if (zone->queued)
		p->counts.busy--;
	set_wanted(p, zone, false);
	drop_wishes(p, &zone->asked, NULL, NULL);
	if (!zone->running && !zone->queued)
		free_zone(p, zone);
}

// --- what to serve ---

static struct zone *want(struct publisher *p, const uint8_t *apex, const char *file)
{
	struct zone *zone = find_zone(p, apex);
	if (!zone)
		zone = add_zone(p, apex, file);
	if (!zone || !set_file(zone, file))
		return NULL;
	if (!zone->wanted && zone->queued)
		p->counts.busy++;
	set_wanted(p, zone, true);
	return zone;
}

static enum status want_zone(struct publisher *p, struct order *order, const struct zone_config *config)
{
	struct zone *zone = want(p, config->apex, config->file);
	if (!zone)
		return ST_NO_MEMORY;
	zone->round = p->round;
	if (zone->added) { // from now on it is the configuration's
		forget_added(p, zone);
		if (write_added(p) != ST_OK)
			log_error("%s: cannot be written: %s", p->added_path, strerror(errno));
	}
	return wish_for(p, zone, order, false) ? ST_OK : ST_NO_MEMORY;
}

// Images that nobody names: left by a former process with another configuration.
struct strangers {
	struct publisher *publisher;
	const struct image **image;
	size_t count, room;
};

static void note_stranger(void *ctx, const struct image *image)
{
	struct strangers *strangers = ctx;
	if (find_zone(strangers->publisher, image->apex))
		return;
	if (strangers->count == strangers->room) {
		size_t room = strangers->room ? strangers->room * 2 : 64;
		void *more = reallocarray(strangers->image, room, sizeof(*strangers->image));
		if (!more)
			return; // it stays until the next start
		strangers->image = more;
		strangers->room = room;
	}
	strangers->image[strangers->count++] = image;
}

static void withdraw_strangers(struct publisher *p, struct order *order)
{
	struct strangers strangers = { .publisher = p };
	catalog_each(p->catalog, note_stranger, &strangers);
	for (size_t i = 0; i < strangers.count; i++) {
		uint8_t apex[NAME_MAX_BYTES];
		memcpy(apex, strangers.image[i]->apex, strangers.image[i]->apex_bytes);
		withdraw(p, apex);
		order->result.withdrawn++;
	}
	free(strangers.image);
}

// A zone that this configuration does not name: added ones stay, others go, unless a list has errors.
static void settle_unnamed(struct publisher *p, struct setup *setup, struct zone *zone)
{
	if (!zone->wanted)
		return;
	if (zone->added) {
		setup->adoptable += !p->configured && p->left_zones && catalog_zone(p->catalog, zone->apex);
		if (!wish_for(p, zone, setup->order, false))
			log_error("%s", status_text(ST_NO_MEMORY));
	} else if (!setup->keeps_all) {
		remove_zone(p, zone);
		setup->order->result.withdrawn++;
	}
}

static void list_is_read(struct publisher *p, struct setup *setup)
{
	struct gathering *g = setup->gathering;
	struct order *order = setup->order;
	setup->keeps_all = g->status != ST_OK || g->findings.report.errors > 0;
	p->round++;
	for (unsigned i = 0; i < g->findings.lines; i++)
		log_error("%s", g->findings.line[i]);
	findings_move(&order->list, &g->findings);
	if (setup->keeps_all)
		log_error("the list of zones has errors: what it does name is read, and nothing is withdrawn");
	if (catalog_expect(p->catalog, g->count + p->added_count) != ST_OK)
		log_debug("the directory grows while zones are published");
}

static void on_forgotten(void *ctx, struct loader_task *task)
{
	struct publisher *p = ctx;
	struct setup *setup;
	TAILQ_FOREACH(setup, &p->spent, link) {
		if (task == &setup->gathering->task)
			break;
	}
	TAILQ_REMOVE(&p->spent, setup, link);
	gathering_free(setup->gathering);
	free(setup);
}

static void end_setup(struct publisher *p, struct setup *setup)
{
	TAILQ_REMOVE(&p->setups, setup, link);
	// Hardly ever: a walk over the whole directory.
	bool are_strangers = p->configured || setup->adoptable != p->left_zones;
	if (!p->knows_all && !setup->keeps_all && are_strangers)
		withdraw_strangers(p, setup->order);
	p->knows_all |= !setup->keeps_all;
	p->configured = true;
	order_waits_for_one_less(p, setup->order);
	TAILQ_INSERT_TAIL(&p->spent, setup, link);
	setup->gathering->task = (struct loader_task){ .run = gathering_forget, .done = on_forgotten, .ctx = p };
	loader_run(p->loader, &setup->gathering->task);
}

// One zone further; false: that was all.
static bool step_setup(struct publisher *p, struct setup *setup)
{
	struct gathering *g = setup->gathering;
	if (setup->next < g->count) {
		setup->adoptable += !p->configured && p->left_zones && catalog_zone(p->catalog, g->zones[setup->next].apex);
		if (want_zone(p, setup->order, &g->zones[setup->next++]) != ST_OK)
			setup->keeps_all = true;
		return true;
	}
	struct zone *zone = setup->cursor_bytes ? zone_behind(p, setup->cursor) : RB_MIN(zone_tree, &p->zones);
	while (zone && zone->round == p->round && ++setup->skipped % SKIP_STEPS != 0)
		zone = RB_NEXT(zone_tree, &p->zones, zone);
	if (!zone)
		return false;
	memcpy(setup->cursor, zone->apex, zone->apex_bytes);
	setup->cursor_bytes = zone->apex_bytes;
	if (zone->round != p->round)
		settle_unnamed(p, setup, zone);
	return true;
}

static void slice_soon(struct publisher *p)
{
	struct timeval now = { 0 };
	struct setup *setup = TAILQ_FIRST(&p->setups);
	if (setup && setup->gathered)
		event_add(p->slice, &now);
}

static void on_slice(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct publisher *p = ctx;
	struct setup *setup = TAILQ_FIRST(&p->setups);
	uint64_t began = monotonic_us();
	if (setup->next == 0 && setup->cursor_bytes == 0 && !setup->begun) {
		setup->begun = true;
		list_is_read(p, setup);
	}
	bool more = true;
	for (unsigned i = 1; more && (i % SLICE_STEPS || monotonic_us() - began < SLICE_US); i++)
		more = step_setup(p, setup);
	start_loads(p);
	if (!more)
		end_setup(p, setup);
	slice_soon(p);
}

static void on_gathered(void *ctx, struct loader_task *task)
{
	struct publisher *p = ctx;
	struct setup *setup;
	TAILQ_FOREACH(setup, &p->setups, link) {
		if (task == &setup->gathering->task)
			setup->gathered = true;
	}
	slice_soon(p);
}

static void free_order(struct publisher *p, struct order *order)
{
	if (order)
		TAILQ_REMOVE(&p->orders, order, link);
	free(order);
}

enum status publisher_configure(struct publisher *p, const struct config *config, publish_done *done, void *ctx)
{
	struct setup *setup = calloc(1, sizeof(*setup));
	struct gathering *gathering = gathering_new(config);
	struct order *order = setup && gathering ? new_order(p, done, ctx) : NULL;
	if (!order) {
		gathering_free(gathering);
		free(setup);
		return ST_NO_MEMORY;
	}
	order->first = !p->configured && TAILQ_EMPTY(&p->setups);
	setup->order = order;
	setup->gathering = gathering;
	gathering->task.done = on_gathered;
	gathering->task.ctx = p;
	TAILQ_INSERT_TAIL(&p->setups, setup, link);
	loader_run(p->loader, &gathering->task);
	return ST_OK;
}

// An order for one zone.
static enum status order_zone(struct publisher *p, struct zone *zone, bool force, publish_done *done, void *ctx)
{
	struct order *order = new_order(p, done, ctx);
	if (!order || !wish_for(p, zone, order, force)) {
		free_order(p, order);
		return ST_NO_MEMORY;
	}
	start_loads(p);
	order_waits_for_one_less(p, order);
	return ST_OK;
}

enum status publisher_reload(struct publisher *p, const uint8_t *apex, publish_done *done, void *ctx)
{
	struct zone *zone = find_zone(p, apex);
	if (!zone || !zone->wanted)
		return ST_NOT_FOUND;
	return order_zone(p, zone, true, done, ctx);
}

enum status publisher_add(struct publisher *p, const uint8_t *apex, const char *file, publish_done *done, void *ctx)
{
	struct zone *zone = find_zone(p, apex);
	if (zone && zone->wanted)
		return ST_EXISTS;
	zone = want(p, apex, file);
	if (!zone)
		return ST_NO_MEMORY;
	zone->fresh = true;
	zone->round = 0;
	enum status status = note_added(p, zone) ? write_added(p) : ST_NO_MEMORY;
	int cause = errno;
	if (status == ST_OK)
		status = order_zone(p, zone, true, done, ctx);
	if (status != ST_OK)
		remove_zone(p, zone);
	errno = cause;
	return status;
}

enum status publisher_remove(struct publisher *p, const uint8_t *apex)
{
	struct zone *zone = find_zone(p, apex);
	if (!zone || !zone->wanted)
		return ST_NOT_FOUND;
	if (!zone->added)
		return ST_REFUSED;
	forget_added(p, zone);
	enum status status = write_added(p);
	if (status == ST_OK)
		remove_zone(p, zone);
	else if (!note_added(p, zone))
		log_error("%s", status_text(ST_NO_MEMORY));
	return status;
}

// --- views ---

static struct zone_view view_of(const struct publisher *p, const struct zone *zone)
{
	return (struct zone_view){
		.apex = zone->apex,
		.file = zone->file,
		.state = (enum zone_state)zone->state,
		.busy = is_busy(zone),
		.adopted = zone->adopted,
		.added = zone->added,
		.image = served_image(p, zone->apex),
		.tried_at_s = zone->tried_at_s,
		.took_us = zone->took_us,
		.findings = findings_of(zone),
	};
}

bool publisher_find(const struct publisher *p, const uint8_t *apex, struct zone_view *view)
{
	const struct zone *zone = find_zone(p, apex);
	if (!zone || !zone->wanted)
		return false;
	*view = view_of(p, zone);
	return true;
}

void publisher_each(const struct publisher *p, const uint8_t *after, bool (*visit)(void *ctx, const struct zone_view *),
	void *ctx)
{
	struct zone_tree *zones = (struct zone_tree *)&p->zones;
	struct zone *zone = after ? zone_behind(p, after) : RB_MIN(zone_tree, zones);
	for (; zone; zone = RB_NEXT(zone_tree, zones, zone)) {
		if (!zone->wanted)
			continue;
		struct zone_view view = view_of(p, zone);
		if (!visit(ctx, &view))
			return;
	}
}

void publisher_run(struct publisher *p, struct loader_task *task)
{
	loader_run(p->loader, task);
}

struct publisher_counts publisher_counts(const struct publisher *p)
{
	return p->counts;
}

bool publisher_awaits(const struct publisher *p, const uint8_t *name)
{
	if (!p->configured && !p->left_zones && !TAILQ_EMPTY(&p->setups))
		return true; // what is ours is being read
	for (const uint8_t *suffix = name; p->counts.loading; suffix += *suffix + 1u) {
		const struct zone *zone = find_zone(p, suffix);
		if (zone && zone->wanted && zone->state == ZONE_LOADING)
			return true;
		if (!*suffix)
			break;
	}
	return false;
}

// --- beginning and end ---

static void count_image(void *ctx, const struct image *image)
{
	struct publisher_counts *counts = &((struct publisher *)ctx)->counts;
	counts->records += image->records;
	counts->blank += image_is_blank(image);
}

enum status publisher_new(struct publisher **out, struct event_base *base, struct catalog *catalog,
	struct side_door *door, const char *where, unsigned threads, const cpu_set_t *all_cpus)
{
	struct publisher *p = calloc(1, sizeof(*p));
	*out = NULL;
	if (!p)
		return ST_NO_MEMORY;
	p->catalog = catalog;
	RB_INIT(&p->zones);
	STAILQ_INIT(&p->queue);
	TAILQ_INIT(&p->orders);
	TAILQ_INIT(&p->setups);
	TAILQ_INIT(&p->spent);
	LIST_INIT(&p->savings);
	p->slice = event_new(base, -1, 0, on_slice, p);
	catalog_each(catalog, count_image, p);
	p->left_zones = catalog_usage(catalog).zones;
	p->where = strdup(where);
	p->reclaimer = reclaimer_new(base, catalog, door);
	p->loader = loader_new(base, threads, p->left_zones ? NULL : all_cpus, catalog_seed(catalog), on_progress, p);
	p->expiry = p->reclaimer && p->loader ? expiry_new(base, catalog, p->loader, p->reclaimer) : NULL;
	if (!p->where || !p->slice || !p->expiry) {
		publisher_free(p);
		return ST_NO_MEMORY;
	}
	*out = p;
	return ST_OK;
}

void publisher_save_images(struct publisher *p, const char *directory)
{
	enum status status = saved_keep_seed(directory, catalog_seed(p->catalog));
	p->image_directory = status == ST_OK ? strdup(directory) : NULL;
	if (status != ST_OK)
		log_warning("%s: images cannot be saved there: %s", directory,
			status == ST_SYSTEM ? strerror(errno) : status_text(status));
}

void publisher_keep_added(struct publisher *p, const char *path, struct report *report)
{
	struct zone_config *zones = NULL;
	unsigned count = 0;
	p->added_path = strdup(path);
	// What is wrong with it was reported; the good lines are zones.
	enum status status = access(path, F_OK) == 0 ? zone_list_read(path, &zones, &count, report) : ST_OK;
	for (unsigned i = 0; i < count; i++) {
		struct zone *zone = want(p, zones[i].apex, zones[i].file);
		if (!zone || !note_added(p, zone))
			status = ST_NO_MEMORY;
	}
	if (status != ST_OK)
		log_error("%s: %s", path, status_text(status));
	zone_configs_free(zones, count);
}

static void free_waiting(struct publisher *p)
{
	struct setup *setup;
	TAILQ_CONCAT(&p->setups, &p->spent, link);
	while ((setup = TAILQ_FIRST(&p->setups))) {
		TAILQ_REMOVE(&p->setups, setup, link);
		gathering_free(setup->gathering);
		free(setup);
	}
	struct saving *saving;
	while ((saving = LIST_FIRST(&p->savings))) {
		LIST_REMOVE(saving, link);
		free(saving);
	}
}

void publisher_free(struct publisher *p)
{
	if (!p)
		return;
	loader_free(p->loader);
	p->loader = NULL;
	expiry_free(p->expiry);
	if (p->slice)
		event_free(p->slice);
	struct zone *zone;
	while ((zone = RB_MIN(zone_tree, &p->zones))) {
		struct wish *wish;
		SLIST_CONCAT(&zone->asked, &zone->served, wish, link);
		while ((wish = SLIST_FIRST(&zone->asked))) {
			SLIST_REMOVE_HEAD(&zone->asked, link);
			free(wish);
		}
		zone->saving = NULL;
		free_zone(p, zone);
	}
	free_waiting(p);
	struct order *order;
	while ((order = TAILQ_FIRST(&p->orders))) {
		order->first = false; // not everything was loaded
		end_order(p, order);
	}
	reclaimer_free(p->reclaimer);
	free(p->added);
	free(p->added_path);
	free(p->image_directory);
	free(p->where);
	free(p);
}
