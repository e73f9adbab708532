// SPDX-License-Identifier: BSD-3-Clause
// zone list, zone status, zone reload.
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>

#include "commands.h"

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
	const char *only; // a state, or NULL
};

static void list_zone(void *ctx, const struct zone_view *view)
{
	struct listing *listing = ctx;
	if (listing->only && strcmp(listing->only, zone_state_name[view->state]) != 0)
		return;
	const struct image *image = view->image;
	json_t *row = json_object();
	json_object_set_new(row, "zone", json_name(view->apex));
	json_object_set_new(row, "state", json_string(zone_state_name[view->state]));
	json_object_set_new(row, "serial", image ? json_integer(image->serial) : json_null());
	json_object_set_new(row, "records", image ? json_integer(image->records) : json_null());
	json_object_set_new(row, "loaded", json_time(image ? image->loaded_at_s : 0));
	json_object_set_new(row, "errors", json_integer(view->findings->report.errors));
	json_object_set_new(row, "file", json_text(view->file));
	json_array_append_new(listing->rows, row);
}

static bool is_state(const char *text)
{
	for (unsigned i = 0; i < ZONE_STATE_COUNT; i++) {
		if (strcmp(text, zone_state_name[i]) == 0)
			return true;
	}
	return false;
}

void command_zone_list(struct call *call)
{
	struct listing listing = { .only = call_arg(call, 0) };
	if (listing.only && !is_state(listing.only)) {
		call_misused(call, "zone list: '%s' is no state of a zone", listing.only);
		return;
	}
	listing.rows = json_array();
	publisher_each(call_control(call)->publisher, list_zone, &listing);
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
	json_object_set_new(data, "tried", json_time(view->tried_at_s));
	json_object_set_new(data, "took_ms", json_integer((json_int_t)(view->took_us / 1000)));
	json_object_set_new(data, "errors", json_integer(view->findings->report.errors));
	json_object_set_new(data, "warnings", json_integer(view->findings->report.warnings));
	json_object_set_new(data, "findings", json_lines(view->findings));
	return data;
}

static void refuse_unknown_zone(struct call *call, const char *text)
{
	call_refuse(call, NULL, "zone %s is not in the configuration; 'zone list' shows those that are", text);
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
	struct findings findings; // of the zone list
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
	findings_clear(&reload->findings);
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
	unsigned list_errors = reload->findings.report.errors;
	if (result->failed || list_errors) {
		json_t *lines = json_lines(&reload->findings);
		add_lines(lines, json_lines(result->problems));
		call_refuse(reload->call, lines,
			"zones failed: %u, errors in the zone list: %u (loaded: %u, unchanged: %u, withdrawn: %u); 'zone list failed' names them",
			result->failed, list_errors, result->loaded, result->unchanged, result->withdrawn);
	} else {
		call_reply(reload->call, json_pack("{s:i, s:i, s:i, s:i}", "loaded", (int)result->loaded, "unchanged",
						 (int)result->unchanged, "failed", 0, "withdrawn",
						 (int)result->withdrawn), NULL);
	}
	findings_clear(&reload->findings);
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
	findings_init(&reload->findings);
	if (text && !apex_from_text(reload->apex, text)) {
		call_misused(call, "zone reload: '%s' is no domain name", text);
		free(reload);
		return;
	}
	enum status status = text ?
		publisher_reload(control->publisher, reload->apex, zone_reloaded, reload) :
		publisher_configure(control->publisher, control->config, &reload->findings.report, all_reloaded, reload);
	if (status != ST_OK)
		refuse_reload(reload, status);
}
