// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/tree.h>
#include <time.h>

#include <pollux/log.h>
#include <pollux/name.h>
#include <pollux/zonefile.h>

#include "loader.h"
#include "publish.h"
#include "reclaim.h"

#define LOADS_PER_THREAD 8 // on the way at once: bounds what records take before they are images
#define LARGE_BYTES (UINT64_C(4) << 20) // for such an image the region grows in a thread: it takes milliseconds
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
	struct findings problems;
	uint64_t began_us;
};

// One zone that one order waits for.
struct wish {
	SLIST_ENTRY(wish) link;
	struct order *order;
};
SLIST_HEAD(wishes, wish);

struct zone {
	RB_ENTRY(zone) node;
	TAILQ_ENTRY(zone) link; // of the queue
	uint8_t *apex;
	char *file;
	enum zone_state state;
	bool wanted; // to be served
	bool named;  // by the configuration that is being taken over
	bool queued, running, adopted;
	bool force;  // read even when the files are unchanged
	uint64_t tried_at_s, took_us;
	struct findings findings;
	struct wishes asked, served; // by the next attempt, by the one that runs
};

RB_HEAD(zone_tree, zone);
TAILQ_HEAD(zone_queue, zone);
TAILQ_HEAD(orders, order);

struct publisher {
	struct catalog *catalog;
	struct loader *loader;
	struct reclaimer *reclaimer;
	char *where;
	struct zone_tree zones;
	struct zone_queue queue;
	struct orders orders;
	unsigned running, failed_lines;
	bool configured;
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

static struct zone *find_zone(const struct publisher *p, const uint8_t *apex)
{
	uint8_t folded[NAME_MAX_BYTES];
	name_fold(folded, apex);
	struct zone key = { .apex = folded };
	return RB_FIND(zone_tree, (struct zone_tree *)&p->zones, &key);
}

static struct zone *add_zone(struct publisher *p, const uint8_t *apex, const char *file)
{
	struct zone *zone = calloc(1, sizeof(*zone));
	uint8_t *name = malloc(NAME_MAX_BYTES);
	char *path = strdup(file);
	if (!zone || !name || !path) {
		free(zone);
		free(name);
		free(path);
		return NULL;
	}
	unsigned bytes = name_fold(name, apex);
	uint8_t *fitting = realloc(name, bytes);
	zone->apex = fitting ? fitting : name;
	zone->file = path;
	findings_init(&zone->findings);
	SLIST_INIT(&zone->asked);
	SLIST_INIT(&zone->served);
	RB_INSERT(zone_tree, &p->zones, zone);
	return zone;
}

static void free_zone(struct publisher *p, struct zone *zone)
{
	RB_REMOVE(zone_tree, &p->zones, zone);
	findings_clear(&zone->findings);
	free(zone->apex);
	free(zone->file);
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
	order->result.problems = &order->problems;
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

static struct load *order_load(struct publisher *p, struct zone *zone)
{
	struct load *load = load_new(zone->apex, zone->file);
	if (!load)
		return NULL;
	const struct image *image = catalog_zone(p->catalog, zone->apex);
	if (image && image->source_ref && !zone->force) {
		load->known_paths = copy_paths(image);
		load->known_stamp = image->source_stamp;
	}
	load->owner = zone;
	return load;
}

static void zone_failed(struct publisher *p, struct zone *zone)
{
	char name[NAME_TEXT_BYTES];
	const struct findings *findings = &zone->findings;
	zone->state = ZONE_FAILED;
	if (p->failed_lines++ < FAILED_LINES_MAX)
		log_error("zone %s: %s, errors: %u; %s", name_to_text(name, zone->apex),
			catalog_zone(p->catalog, zone->apex) ? "keeps its former content" : "not served",
			findings->report.errors, findings->lines ? findings->line[0] : "out of memory");
	drop_wishes(p, &zone->served, count_failed, findings);
}

static void report_no_room(const struct publisher *p, struct load *load, enum status status)
{
	struct report *report = &load->findings.report;
	if (status == ST_NO_SPACE)
		report_at(report, SEVERITY_ERROR, load->file, 0, 0,
			"shared memory is full: the zone needs %llu MiB more in %s; make that file system larger, or set shared-memory to one with room",
			(unsigned long long)(load->image_bytes >> 20) + 1, p->where);
	else
		report_at(report, SEVERITY_ERROR, load->file, 0, 0, "no room in %s: %s", p->where, status_text(status));
}

static void start_loads(struct publisher *p)
{
	struct zone *zone;
	while ((zone = TAILQ_FIRST(&p->queue)) && p->running < loader_threads(p->loader) * LOADS_PER_THREAD) {
		TAILQ_REMOVE(&p->queue, zone, link);
		zone->queued = false;
		SLIST_SWAP(&zone->asked, &zone->served, wish);
		struct load *load = order_load(p, zone);
		zone->force = false;
		if (!load) {
			findings_clear(&zone->findings);
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
	if (!zone->queued && !zone->running) {
		zone->queued = true;
		TAILQ_INSERT_TAIL(&p->queue, zone, link);
	}
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
	if (catalog_withdraw(p->catalog, apex) == ST_OK)
		reclaimer_wanted(p->reclaimer);
}

static void zone_unchanged(struct publisher *p, struct zone *zone)
{
	if (zone->state == ZONE_LOADING)
		zone->adopted = true;
	if (zone->state == ZONE_FAILED)
		findings_clear(&zone->findings); // the file is again what is being served
	zone->state = ZONE_LOADED;
	drop_wishes(p, &zone->served, count_unchanged, NULL);
}

static void zone_unreadable(struct publisher *p, struct zone *zone, struct load *load)
{
	findings_move(&zone->findings, &load->findings);
	zone_failed(p, zone);
}

static void publish_image(struct publisher *p, struct zone *zone, struct load *load)
{
	enum status status = catalog_publish(p->catalog, load->room);
	reclaimer_wanted(p->reclaimer);
	if (status != ST_OK) {
		catalog_cancel(p->catalog, load->room);
		report_no_room(p, load, status);
		zone_unreadable(p, zone, load);
		return;
	}
	findings_move(&zone->findings, &load->findings);
	char name[NAME_TEXT_BYTES];
	const struct image *image = load->room;
	zone->state = ZONE_LOADED;
	zone->adopted = false;
	log_debug("zone %s: serial %u, %u records, %.3f s", name_to_text(name, zone->apex), image->serial,
		image->records, (double)load->took_us / 1e6);
	if (zone->findings.lines)
		log_warning("zone %s: warnings: %u; %s", name_to_text(name, zone->apex),
			zone->findings.report.warnings, zone->findings.line[0]);
	drop_wishes(p, &zone->served, count_loaded, NULL);
}

// The attempt is over; the next one begins if somebody asked meanwhile.
static void attempt_over(struct publisher *p, struct zone *zone, struct load *load)
{
	zone->tried_at_s = (uint64_t)time(NULL);
	zone->took_us = load->took_us;
	zone->running = false;
	p->running--;
	if (!zone->wanted) {
		if (load->stage == LOAD_WRITTEN)
			catalog_cancel(p->catalog, load->room);
		drop_wishes(p, &zone->served, NULL, NULL);
		free_zone(p, zone);
		return;
	}
	if (load->stage == LOAD_WRITTEN)
		publish_image(p, zone, load);
	else if (load->stage == LOAD_UNCHANGED)
		zone_unchanged(p, zone);
	else
		zone_unreadable(p, zone, load);
	if (!SLIST_EMPTY(&zone->asked))
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

static void on_progress(void *ctx, struct load *load)
{
	struct publisher *p = ctx;
	struct zone *zone = load->owner;
	if (load->stage == LOAD_READ && zone->wanted && find_room(p, load) == ST_OK)
		return;
	attempt_over(p, zone, load);
	load_free(load);
	start_loads(p);
}

// --- what to serve ---

static enum status want_zone(struct publisher *p, struct order *order, const struct zone_config *config)
{
	struct zone *zone = find_zone(p, config->apex);
	if (!zone)
		zone = add_zone(p, config->apex, config->file);
	if (!zone)
		return ST_NO_MEMORY;
	zone->named = zone->wanted = true;
	if (strcmp(zone->file, config->file) != 0) {
		char *path = strdup(config->file);
		if (!path)
			return ST_NO_MEMORY;
		free(zone->file);
		zone->file = path;
	}
	return wish_for(p, zone, order, false) ? ST_OK : ST_NO_MEMORY;
}

static enum status want_zones(struct publisher *p, struct order *order, const struct config *config,
	struct report *report)
{
	struct zone_config *zones = NULL;
	unsigned count = 0;
	enum status status = config_zones(config, &zones, &count, report);
	for (unsigned i = 0; i < count; i++) {
		enum status wanted = want_zone(p, order, &zones[i]);
		if (wanted != ST_OK)
			status = wanted;
	}
	zone_configs_free(zones, count);
	return status;
}

// Images that nobody names: left by a former process with another configuration.
struct strangers {
	struct publisher *publisher;
	uint8_t (*apex)[NAME_MAX_BYTES + 1];
	size_t count, room;
};

static void note_stranger(void *ctx, const struct image *image)
{
	struct strangers *strangers = ctx;
	if (find_zone(strangers->publisher, image->apex))
		return;
	if (strangers->count == strangers->room) {
		size_t room = strangers->room ? strangers->room * 2 : 64;
		void *more = reallocarray(strangers->apex, room, sizeof(*strangers->apex));
		if (!more)
			return; // it stays until the next time
		strangers->apex = more;
		strangers->room = room;
	}
	memcpy(strangers->apex[strangers->count++], image->apex, NAME_MAX_BYTES + 1);
}

static void withdraw_strangers(struct publisher *p, struct order *order)
{
	struct strangers strangers = { .publisher = p };
	catalog_each(p->catalog, note_stranger, &strangers);
	for (size_t i = 0; i < strangers.count; i++) {
		withdraw(p, strangers.apex[i]);
		order->result.withdrawn++;
	}
	free(strangers.apex);
}

static void withdraw_unwanted(struct publisher *p, struct order *order)
{
	struct zone *zone, *next;
	for (zone = RB_MIN(zone_tree, &p->zones); zone; zone = next) {
		next = RB_NEXT(zone_tree, &p->zones, zone);
		if (zone->named || !zone->wanted)
			continue;
		zone->wanted = false;
		withdraw(p, zone->apex);
		order->result.withdrawn++;
		drop_wishes(p, &zone->asked, NULL, NULL);
		if (zone->queued)
			TAILQ_REMOVE(&p->queue, zone, link);
		zone->queued = false;
		if (!zone->running) // else at the end of the attempt
			free_zone(p, zone);
	}
	withdraw_strangers(p, order);
}

enum status publisher_configure(struct publisher *p, const struct config *config, struct report *report,
	publish_done *done, void *ctx)
{
	struct order *order = new_order(p, done, ctx);
	if (!order)
		return ST_NO_MEMORY;
	order->first = !p->configured;
	p->configured = true;
	struct zone *zone;
	RB_FOREACH(zone, zone_tree, &p->zones)
		zone->named = false;
	unsigned errors_before = report->errors;
	if (want_zones(p, order, config, report) == ST_OK && report->errors == errors_before)
		withdraw_unwanted(p, order);
	else
		log_error("the list of zones has errors: what it does name is read, and nothing is withdrawn");
	start_loads(p);
	order_waits_for_one_less(p, order);
	return ST_OK;
}

enum status publisher_reload(struct publisher *p, const uint8_t *apex, publish_done *done, void *ctx)
{
	struct zone *zone = find_zone(p, apex);
	if (!zone || !zone->wanted)
		return ST_NOT_FOUND;
	struct order *order = new_order(p, done, ctx);
	if (!order || !wish_for(p, zone, order, true)) {
		if (order)
			TAILQ_REMOVE(&p->orders, order, link);
		free(order);
		return ST_NO_MEMORY;
	}
	start_loads(p);
	order_waits_for_one_less(p, order);
	return ST_OK;
}

// --- views ---

static struct zone_view view_of(const struct publisher *p, const struct zone *zone)
{
	return (struct zone_view){
		.apex = zone->apex,
		.file = zone->file,
		.state = zone->state,
		.busy = zone->queued || zone->running,
		.adopted = zone->adopted,
		.image = catalog_zone(p->catalog, zone->apex),
		.tried_at_s = zone->tried_at_s,
		.took_us = zone->took_us,
		.findings = &zone->findings,
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

void publisher_each(const struct publisher *p, void (*visit)(void *ctx, const struct zone_view *), void *ctx)
{
	struct zone *zone;
	RB_FOREACH(zone, zone_tree, (struct zone_tree *)&p->zones) {
		if (!zone->wanted)
			continue;
		struct zone_view view = view_of(p, zone);
		visit(ctx, &view);
	}
}

static void count_zone(void *ctx, const struct zone_view *view)
{
	struct publisher_counts *counts = ctx;
	counts->zones++;
	counts->loaded += view->state == ZONE_LOADED;
	counts->failed += view->state == ZONE_FAILED;
	counts->loading += view->state == ZONE_LOADING;
	counts->busy += view->busy;
	counts->records += view->image ? view->image->records : 0;
}

struct publisher_counts publisher_counts(const struct publisher *p)
{
	struct publisher_counts counts = { 0 };
	publisher_each(p, count_zone, &counts);
	return counts;
}

// --- beginning and end ---

enum status publisher_new(struct publisher **out, struct event_base *base, struct catalog *catalog,
	struct side_door *door, const char *where, unsigned threads)
{
	struct publisher *p = calloc(1, sizeof(*p));
	*out = NULL;
	if (!p)
		return ST_NO_MEMORY;
	p->catalog = catalog;
	RB_INIT(&p->zones);
	TAILQ_INIT(&p->queue);
	TAILQ_INIT(&p->orders);
	p->where = strdup(where);
	p->reclaimer = reclaimer_new(base, catalog, door);
	p->loader = loader_new(base, threads, catalog_seed(catalog), on_progress, p);
	if (!p->where || !p->reclaimer || !p->loader) {
		publisher_free(p);
		return ST_NO_MEMORY;
	}
	*out = p;
	return ST_OK;
}

void publisher_free(struct publisher *p)
{
	if (!p)
		return;
	loader_free(p->loader);
	p->loader = NULL;
	struct zone *zone;
	while ((zone = RB_MIN(zone_tree, &p->zones))) {
		struct wish *wish;
		SLIST_CONCAT(&zone->asked, &zone->served, wish, link);
		while ((wish = SLIST_FIRST(&zone->asked))) {
			SLIST_REMOVE_HEAD(&zone->asked, link);
			free(wish);
		}
		free_zone(p, zone);
	}
	struct order *order;
	while ((order = TAILQ_FIRST(&p->orders))) {
		order->first = false; // not everything was loaded
		end_order(p, order);
	}
	reclaimer_free(p->reclaimer);
	free(p->where);
	free(p);
}
