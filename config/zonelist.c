// SPDX-License-Identifier: BSD-3-Clause
// Zone lists: thousands of zones in a form that other programs write easily.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>

#include "names.h"
#include "path.h"

struct zone_list {
	struct zone_config *zones;
	unsigned count, room;
	unsigned configured; // the first so many come from the configuration
	struct name_set set;
	const char *path;
	char *directory; // of the list, absolute, with a final slash
	struct report *report;
};

// A list with a thousand bad lines still gives the good ones, but not a thousand messages.
__attribute__((format(printf, 4, 5))) static void complain(
	const struct zone_list *list, unsigned line, size_t column, const char *format, ...)
{
	if (report_is_full(list->report)) {
		list->report->errors++;
		return;
	}
	char text[NAME_TEXT_BYTES + 256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	report_at(list->report, SEVERITY_ERROR, list->path, line, (unsigned)column, "%s", text);
}

static struct zone_config *list_add(struct zone_list *list)
{
	if (list->count == list->room) {
		unsigned room = list->room ? list->room * 2 : 64;
		struct zone_config *zones = reallocarray(list->zones, room, sizeof(*zones));
		if (!zones)
			return NULL;
		list->zones = zones;
		list->room = room;
	}
	struct zone_config *zone = &list->zones[list->count++];
	*zone = (struct zone_config){ 0 };
	return zone;
}

static void free_zone(struct zone_config *zone)
{
	free(zone->apex);
	free(zone->file);
}

static void drop_last(struct zone_list *list)
{
	free_zone(&list->zones[--list->count]);
}

static enum status add_zone(
	struct zone_list *list, const uint8_t *wire, unsigned bytes, const char *file, unsigned line)
{
	struct zone_config *zone = list_add(list);
	if (!zone)
		return ST_NO_MEMORY;
	zone->line = line;
	zone->apex = malloc(bytes);
	if (asprintf(&zone->file, "%s%s", file[0] == '/' ? "" : list->directory, file) < 0)
		zone->file = NULL;
	if (!zone->apex || !zone->file) {
		drop_last(list);
		return ST_NO_MEMORY;
	}
	name_fold(zone->apex, wire);
	unsigned first = name_set_add(&list->set, list->zones, list->count - 1);
	if (first != list->count - 1) {
		char text[NAME_TEXT_BYTES];
		complain(list, line, 1, "zone '%s' a second time; the first is at line %u%s",
			name_to_text(text, wire), list->zones[first].line,
			first < list->configured ? " of the configuration" : "");
		drop_last(list);
	}
	return ST_OK;
}

static char *skip_blanks(char *at)
{
	return at + strspn(at, " \t");
}

static void cut_tail(char *text)
{
	size_t bytes = strlen(text);
	while (bytes && strchr(" \t\r\n", text[bytes - 1]))
		text[--bytes] = 0;
}

// # begins a comment at the start of a line or behind a blank; inside of a path it is a letter.
static void cut_comment(char *text)
{
	for (char *c = text; *c; c++) {
		if (*c == '#' && (c == text || c[-1] == ' ' || c[-1] == '\t')) {
			*c = 0;
			return;
		}
	}
}

static enum status read_line(struct zone_list *list, char *text, unsigned line)
{
	static const uint8_t root[1] = { 0 };
	cut_comment(text);
	cut_tail(text);
	char *origin = skip_blanks(text);
	if (!*origin)
		return ST_OK;
	size_t length = strcspn(origin, " \t");
	char *file = skip_blanks(origin + length);
	uint8_t wire[NAME_MAX_BYTES];
	unsigned bytes;
	if (!*file)
		complain(list, line, (size_t)(origin - text) + length + 1,
			"expected origin, tab and path; the path is missing");
	else if (strncmp(origin, "@", length) == 0 ||
		 name_from_text(wire, &bytes, origin, length, root) != ST_OK)
		complain(list, line, (size_t)(origin - text) + 1, "'%.*s' is not a domain name",
			(int)(length < 200 ? length : 200), origin);
	else
		return add_zone(list, wire, bytes, file, line);
	return ST_OK;
}

static enum status read_lines(struct zone_list *list, FILE *file)
{
	char *text = NULL;
	size_t room = 0;
	enum status status = ST_OK;
	ssize_t bytes;
	for (unsigned line = 1; status == ST_OK && (bytes = getline(&text, &room, file)) >= 0; line++) {
		if (memchr(text, 0, (size_t)bytes))
			complain(list, line, strlen(text) + 1, "a NUL character: this is not a text file");
		else
			status = read_line(list, text, line);
	}
	if (status == ST_OK && ferror(file)) {
		complain(list, 0, 0, "cannot read: %s", strerror(errno));
		status = ST_SYSTEM;
	} else if (status != ST_OK) {
		complain(list, 0, 0, "%s", status_text(status));
	}
	free(text);
	return status;
}

// Appends to `list`, which may hold the zones of the configuration already.
static enum status append_list(struct zone_list *list, const char *path)
{
	list->path = path;
	FILE *file = fopen(path, "re");
	list->directory = file ? path_directory(path) : NULL;
	enum status status;
	if (list->directory) {
		status = read_lines(list, file);
	} else {
		status = errno == ENOENT ? ST_NOT_FOUND : ST_SYSTEM;
		complain(list, 0, 0, "cannot open: %s", strerror(errno));
	}
	if (file)
		fclose(file);
	free(list->directory);
	list->directory = NULL;
	return status;
}

enum status zone_list_read(
	const char *path, struct zone_config **zones, unsigned *count, struct report *report)
{
	struct zone_list list = { .report = report };
	enum status status = append_list(&list, path);
	name_set_free(&list.set);
	*zones = list.zones;
	*count = list.count;
	return status;
}

static enum status append_configured(struct zone_list *list, const struct config *config)
{
	for (unsigned i = 0; i < config->zone_count; i++) {
		const struct zone_config *zone = &config->zones[i];
		enum status status = add_zone(
			list, zone->apex, name_length(zone->apex, NAME_MAX_BYTES), zone->file, zone->line);
		if (status != ST_OK)
			return status;
	}
	list->configured = list->count;
	return ST_OK;
}

enum status config_zones(
	const struct config *config, struct zone_config **zones, unsigned *count, struct report *report)
{
	struct zone_list list = { .report = report, .path = config->path };
	enum status status = append_configured(&list, config);
	if (status == ST_OK && config->zone_list)
		status = append_list(&list, config->zone_list);
	name_set_free(&list.set);
	*zones = list.zones;
	*count = list.count;
	return status;
}

void zone_configs_free(struct zone_config *zones, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free_zone(&zones[i]);
	free(zones);
}
