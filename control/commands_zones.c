// SPDX-License-Identifier: BSD-3-Clause
// zone list, zone status, zone reload, zone add, zone remove.
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pollux/name.h>

#include "added.h"
#include "commands.h"

// One reply holds so many zones, or as many as were found among so many: the event loop has other work, too.
#define LIST_ROWS 500
#define LIST_STEPS 4000

static json_t *json_name(const uint8_t *wire)
{
	char text[NAME_TEXT_BYTES];
	return json_text(name_to_text(text, wire));
}

// "example.com" or "example.com." from the command line; false when it is no name.
static bool apex_from_text(uint8_t *apex, const char *text)
{
	static const uint8_t root[1] = { 0 };
	return name_from_text(apex, NULL, text, strlen(text), root) == ST_OK;
}

struct listing {
	json_t *rows;
	const char *only;    // a state, or NULL
	const char *pattern; // of names, or NULL
	unsigned looked_at;
	uint8_t last[NAME_MAX_BYTES];
};

static bool fits(const struct listing *listing, const struct zone_view *view)
{
	char name[NAME_TEXT_BYTES];
	if (listing->only && strcmp(listing->only, zone_state_name[view->state]) != 0)
		return false;
	if (!listing->pattern)
		return true;
	size_t bytes = strlen(name_to_text(name, view->apex));
	if (fnmatch(listing->pattern, name, FNM_CASEFOLD) == 0)
		return true;
	if (bytes > 1)
		name[bytes - 1] = '\0';
	return fnmatch(listing->pattern, name, FNM_CASEFOLD) == 0;
}

static bool list_zone(void *ctx, const struct zone_view *view)
{
	struct listing *listing = ctx;
	const struct image *image = view->image;
	if (json_array_size(listing->rows) == LIST_ROWS || listing->looked_at++ == LIST_STEPS) {
		listing->looked_at = LIST_STEPS + 1; // there is more
		return false;
	}
	memcpy(listing->last, view->apex, name_length(view->apex, NAME_MAX_BYTES));
	if (!fits(listing, view))
		return true;
	json_t *row = json_object();
	json_object_set_new(row, "zone", json_name(view->apex));
	json_object_set_new(row, "state", json_string(zone_state_name[view->state]));
	json_object_set_new(row, "serial", image ? json_integer(image->serial) : json_null());
	json_object_set_new(row, "records", image ? json_integer(image->records) : json_null());
	json_object_set_new(row, "loaded", json_time(image ? image->loaded_at_s : 0));
	json_object_set_new(row, "errors", json_integer(view->findings->report.errors));
	json_object_set_new(row, "file", json_text(view->file));
	json_array_append_new(listing->rows, row);
	return true;
}

static bool is_state(const char *text)
{
	for (unsigned i = 0; i < ZONE_STATE_COUNT; i++) {
		if (strcmp(text, zone_state_name[i]) == 0)
			return true;
	}
	return false;
}

// NULL: they are right; else the one that is not.
static const char *take_list_words(struct call *call, struct listing *listing, uint8_t *after, bool *has_after)
{
	const char *word;
	for (unsigned i = 0; (word = call_arg(call, i)); i++) {
		const char *next = call_arg(call, i + 1);
		if (strcmp(word, "after") == 0 && next && apex_from_text(after, next)) {
			*has_after = true;
			i++;
		} else if (is_state(word) && !listing->only) {
			listing->only = word;
		} else if (!listing->pattern && (strpbrk(word, "*?[") || apex_from_text(after, word))) {
			listing->pattern = word;
		} else {
			return word;
		}
	}
	return NULL;
}

static json_t *next_words(const struct listing *listing)
{
	json_t *words = json_pack("[s, s]", "zone", "list");
	if (listing->only)
		json_array_append_new(words, json_string(listing->only));
	if (listing->pattern)
		json_array_append_new(words, json_string(listing->pattern));
	json_array_append_new(words, json_string("after"));
	json_array_append_new(words, json_name(listing->last));
	return words;
}

void command_zone_list(struct call *call)
{
	struct listing listing = { 0 };
	uint8_t after[NAME_MAX_BYTES];
	bool has_after = false;
	const char *wrong = take_list_words(call, &listing, after, &has_after);
	if (wrong) {
		call_misused(call, "zone list: '%s' is neither a state of a zone nor a name or pattern", wrong);
		return;
	}
	listing.rows = json_array();
	publisher_each(call_control(call)->publisher, has_after ? after : NULL, list_zone, &listing);
	if (listing.looked_at > LIST_STEPS)
		call_next(call, next_words(&listing));
	call_reply(call, listing.rows, NULL);
}

static void set_image(json_t *data, const struct image *image)
{
	json_object_set_new(data, "serving", json_boolean(image));
	if (!image)
		return;
	json_object_set_new(data, "serial", json_integer(image->serial));
	json_object_set_new(data, "records", json_integer(image->records));
	json_object_set_new(data, "names", json_integer(image->names));
	json_object_set_new(data, "signed", json_boolean(image->is_signed));
	if (image->expires) {
		int64_t now_s = (int64_t)time(NULL);
		json_object_set_new(data, "signatures_expire", json_time((uint64_t)(now_s + image_expires_in_s(image, (uint64_t)now_s))));
	}
	json_object_set_new(data, "image_bytes", json_integer((json_int_t)image->bytes));
	json_object_set_new(data, "loaded", json_time(image->loaded_at_s));
}

static json_t *zone_facts(const struct zone_view *view)
{
	json_t *data = json_object();
	json_object_set_new(data, "zone", json_name(view->apex));
	json_object_set_new(data, "state", json_string(zone_state_name[view->state]));
	json_object_set_new(data, "busy", json_boolean(view->busy));
	set_image(data, view->image);
	json_object_set_new(data, "file", json_text(view->file));
	json_object_set_new(data, "adopted", json_boolean(view->adopted));
	json_object_set_new(data, "added", json_boolean(view->added));
	json_object_set_new(data, "tried", json_time(view->tried_at_s));
	json_object_set_new(data, "took_ms", json_integer((json_int_t)(view->took_us / 1000)));
	json_object_set_new(data, "errors", json_integer(view->findings->report.errors));
	json_object_set_new(data, "warnings", json_integer(view->findings->report.warnings));
	json_object_set_new(data, "findings", json_lines(view->findings));
	return data;
}

static void refuse_unknown_zone(struct call *call, const char *text)
{
	call_refuse(call, NULL, "there is no zone %s; 'zone list' shows those there are", text);
}

void command_zone_status(struct call *call)
{
	uint8_t apex[NAME_MAX_BYTES];
	struct zone_view view;
	const char *text = call_arg(call, 0);
	if (!apex_from_text(apex, text))
		call_misused(call, "zone status: '%s' is no domain name", text);
	else if (!publisher_find(call_control(call)->publisher, apex, &view))
		refuse_unknown_zone(call, text);
	else
		call_reply(call, zone_facts(&view), NULL);
}

// A reload that a client waits for.
struct reload {
	struct call *call;
	uint8_t apex[NAME_MAX_BYTES];
};

static void zone_reloaded(void *ctx, const struct publish_result *result)
{
	struct reload *reload = ctx;
	struct zone_view view;
	char name[NAME_TEXT_BYTES];
	name_to_text(name, reload->apex);
	if (!publisher_find(call_control(reload->call)->publisher, reload->apex, &view))
		call_refuse(reload->call, NULL, "zone %s was withdrawn meanwhile", name);
	else if (result->failed)
		call_refuse(reload->call, json_lines(view.findings), "zone %s: errors: %u; %s", name,
			view.findings->report.errors,
			view.image ? "its former content is still served" : "it is not served");
	else
		call_reply(reload->call, zone_facts(&view), NULL);
	free(reload);
}

static void add_lines(json_t *lines, json_t *more)
{
	json_array_extend(lines, more);
	json_decref(more);
}

static void all_reloaded(void *ctx, const struct publish_result *result)
{
	struct reload *reload = ctx;
	unsigned list_errors = result->list->report.errors;
	if (result->failed || list_errors) {
		json_t *lines = json_lines(result->list);
		add_lines(lines, json_lines(result->problems));
		call_refuse(reload->call, lines,
			"zones failed: %u, errors in the zone list: %u (loaded: %u, unchanged: %u, withdrawn: %u); 'zone list failed' names them",
			result->failed, list_errors, result->loaded, result->unchanged, result->withdrawn);
	} else {
		call_reply(reload->call, json_pack("{s:i, s:i, s:i, s:i}", "loaded", (int)result->loaded, "unchanged",
						 (int)result->unchanged, "failed", 0, "withdrawn",
						 (int)result->withdrawn), NULL);
	}
	free(reload);
}

static void refuse_reload(struct reload *reload, enum status status)
{
	if (status == ST_NOT_FOUND)
		refuse_unknown_zone(reload->call, call_arg(reload->call, 0));
	else
		call_refuse(reload->call, NULL, "zone reload: %s", status_text(status));
	free(reload);
}

void command_zone_reload(struct call *call)
{
	struct control *control = call_control(call);
	const char *text = call_arg(call, 0);
	struct reload *reload = calloc(1, sizeof(*reload));
	if (!reload) {
		call_refuse(call, NULL, "out of memory");
		return;
	}
	reload->call = call;
	if (text && !apex_from_text(reload->apex, text)) {
		call_misused(call, "zone reload: '%s' is no domain name", text);
		free(reload);
		return;
	}
	enum status status = text ?
		publisher_reload(control->publisher, reload->apex, zone_reloaded, reload) :
		publisher_configure(control->publisher, control->config, all_reloaded, reload);
	if (status != ST_OK)
		refuse_reload(reload, status);
}

static void zone_was_added(void *ctx, const struct publish_result *result)
{
	struct reload *reload = ctx;
	struct zone_view view;
	char name[NAME_TEXT_BYTES];
	name_to_text(name, reload->apex);
	if (result->failed)
		call_refuse(reload->call, json_lines(result->problems), "zone %s was not added, errors: %u", name,
			result->problems->report.errors);
	else if (publisher_find(call_control(reload->call)->publisher, reload->apex, &view))
		call_reply(reload->call, zone_facts(&view), NULL);
	else
		call_refuse(reload->call, NULL, "zone %s was removed meanwhile", name);
	free(reload);
}

static void refuse_add(struct call *call, enum status status)
{
	const char *name = call_arg(call, 0);
	if (status == ST_EXISTS)
		call_refuse(call, NULL, "there is a zone %s; 'zone status %s' shows it", name, name);
	else if (status == ST_SYSTEM)
		call_refuse(call, NULL, "zone %s was not added: %s/zones.added cannot be written: %s", name,
			call_control(call)->start_config->state_dir, strerror(errno));
	else
		call_refuse(call, NULL, "zone %s was not added: %s", name, status_text(status));
}

void command_zone_add(struct call *call)
{
	uint8_t apex[NAME_MAX_BYTES];
	const char *name = call_arg(call, 0), *file = call_arg(call, 1);
	if (!apex_from_text(apex, name)) {
		call_misused(call, "zone add: '%s' is no domain name", name);
		return;
	}
	if (!added_can_hold(file)) {
		call_misused(call, "zone add: give the whole path, from the root directory on: '%s'", file);
		return;
	}
	struct reload *reload = calloc(1, sizeof(*reload));
	if (!reload) {
		call_refuse(call, NULL, "out of memory");
		return;
	}
	reload->call = call;
	memcpy(reload->apex, apex, name_length(apex, NAME_MAX_BYTES));
	enum status status = publisher_add(call_control(call)->publisher, apex, file, zone_was_added, reload);
	if (status == ST_OK)
		return;
	refuse_add(call, status);
	free(reload);
}

void command_zone_remove(struct call *call)
{
	uint8_t apex[NAME_MAX_BYTES];
	const char *name = call_arg(call, 0);
	struct control *control = call_control(call);
	if (!apex_from_text(apex, name)) {
		call_misused(call, "zone remove: '%s' is no domain name", name);
		return;
	}
	enum status status = publisher_remove(control->publisher, apex);
	if (status == ST_OK)
		call_reply(call, json_pack("{s:o, s:s}", "zone", json_name(apex), "result", "removed"), NULL);
	else if (status == ST_NOT_FOUND)
		refuse_unknown_zone(call, name);
	else if (status == ST_REFUSED)
		call_refuse(call, NULL, "zone %s is named by %s, its zone list or its zone directory: take it out there, then 'zone reload' or 'config reload'",
			name, control_config_path(control));
	else
		call_refuse(call, NULL, "zone %s was not removed: %s/zones.added cannot be written: %s", name,
			control->start_config->state_dir, strerror(errno));
}
