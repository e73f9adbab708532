// SPDX-License-Identifier: BSD-3-Clause
// Zone lists: thousands of zones in a form that other programs write easily. Zone directories: no list at all.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

// Apex and path of a zone are one piece of memory: there may be a million.
static void free_zone(struct zone_config *zone)
{
	free(zone->apex);
}

static void drop_last(struct zone_list *list)
{
	free_zone(&list->zones[--list->count]);
}

static bool fill_zone(struct zone_config *zone, const uint8_t *wire, unsigned bytes, const char *directory,
	const char *file)
{
	size_t before = file[0] == '/' ? 0 : strlen(directory), behind = strlen(file) + 1;
	zone->apex = malloc(bytes + before + behind);
	if (!zone->apex)
		return false;
	name_fold(zone->apex, wire);
	zone->file = (char *)zone->apex + bytes;
	if (before)
		memcpy(zone->file, directory, before);
	memcpy(zone->file + before, file, behind);
	return true;
}

static void complain_of_second(const struct zone_list *list, unsigned first, const uint8_t *wire, unsigned line)
{
	char text[NAME_TEXT_BYTES];
	const struct zone_config *zone = &list->zones[first], *second = &list->zones[list->count - 1];
	name_to_text(text, wire);
	if (zone->line == 0 || line == 0)
		complain(list, line, line ? 1 : 0, "zone '%s' a second time: the files are %s and %s", text, zone->file,
			second->file);
	else
		complain(list, line, 1, "zone '%s' a second time; the first is at line %u%s", text, zone->line,
			first < list->configured ? " of the configuration" : "");
}

static enum status add_zone(
	struct zone_list *list, const uint8_t *wire, unsigned bytes, const char *file, unsigned line)
{
	struct zone_config *zone = list_add(list);
	if (!zone)
		return ST_NO_MEMORY;
	zone->line = line;
	if (!fill_zone(zone, wire, bytes, list->directory, file)) {
		drop_last(list);
		return ST_NO_MEMORY;
	}
	unsigned first = name_set_add(&list->set, list->zones, list->count - 1);
	if (first == list->count - 1)
		return ST_OK;
	// A zone directory may hold the file that a list names, too.
	if (line || strcmp(list->zones[first].file, zone->file) != 0)
		complain_of_second(list, first, wire, line);
	drop_last(list);
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

// --- directories ---

// What the star of the pattern stands for in the name, and how long it is; 0: the name does not fit.
static size_t match_pattern(const char *pattern, const char *name, const char **star)
{
	size_t bytes = strlen(name), before = strcspn(pattern, "*"), behind = strlen(pattern + before) - 1;
	if (name[0] == '.' || bytes <= before + behind || strncmp(name, pattern, before) != 0 ||
		strcmp(name + bytes - behind, pattern + before + 1) != 0)
		return 0;
	*star = name + before;
	return bytes - before - behind;
}

static bool is_regular(int directory, const struct dirent *entry)
{
	struct stat info;
	if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
		return entry->d_type == DT_REG;
	return fstatat(directory, entry->d_name, &info, 0) == 0 && S_ISREG(info.st_mode);
}

static enum status add_entry(struct zone_list *list, const char *pattern, int directory, const struct dirent *entry)
{
	static const uint8_t root[1] = { 0 };
	uint8_t wire[NAME_MAX_BYTES];
	unsigned bytes;
	const char *origin;
	size_t length = match_pattern(pattern, entry->d_name, &origin);
	if (!length || !is_regular(directory, entry))
		return ST_OK;
	if (name_from_text(wire, &bytes, origin, length, root) == ST_OK && origin[0] != '@')
		return add_zone(list, wire, bytes, entry->d_name, 0);
	complain(list, 0, 0, "the name of file '%s' gives '%.*s', which is not a domain name", entry->d_name, (int)length,
		origin);
	return ST_OK;
}

static enum status append_directory(struct zone_list *list, const char *path, const char *pattern)
{
	DIR *directory = opendir(path);
	list->path = path;
	if (!directory) {
		enum status status = errno == ENOENT ? ST_NOT_FOUND : ST_SYSTEM;
		complain(list, 0, 0, "cannot open the zone directory: %s", strerror(errno));
		return status;
	}
	enum status status = asprintf(&list->directory, "%s/", path) < 0 ? ST_NO_MEMORY : ST_OK;
	struct dirent *entry;
	errno = 0;
	while (status == ST_OK && (entry = readdir(directory))) {
		status = add_entry(list, pattern, dirfd(directory), entry);
		errno = 0;
	}
	if (status == ST_OK && errno) {
		complain(list, 0, 0, "cannot read the zone directory: %s", strerror(errno));
		status = ST_SYSTEM;
	}
	closedir(directory);
	if (status != ST_NO_MEMORY)
		free(list->directory);
	list->directory = NULL;
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
	if (status != ST_NO_MEMORY && config->zone_directory) {
		enum status listed = status;
		status = append_directory(&list, config->zone_directory, config->zone_pattern);
		status = listed != ST_OK ? listed : status;
	}
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
