// SPDX-License-Identifier: BSD-3-Clause
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#include "cache_file.h"
#include "learned.h"

#define VERSION 1
#define PIECE 16		    // answers or lines of one piece
#define RECORD_TEXT_BYTES (5 * 65536) // each octet as \DDD, and the names
#define LINE_BYTES (2 << 20)	    // an answer of 64 KiB, escaped once more
#define TAIL ".new"

static const char *const section_key[SECTION_COUNT] = { "answer", "authority", "additional" };

// --- out ---

struct cache_dump {
	struct learned *learned;
	FILE *out;
	char path[PATH_MAX], fresh[PATH_MAX + sizeof(TAIL)];
	uint64_t position;
	struct cache_dump_counts counts;
	uint8_t wire[DNS_MAX_BYTES];
	char text[RECORD_TEXT_BYTES];
};

size_t cache_record_text(char *to, size_t room, const struct message_rr *rr)
{
	char name[NAME_TEXT_BYTES], type[16];
	int head = snprintf(to, room, "%s %u IN %s ", name_to_text(name, rr->owner), rr->ttl, rrtype_to_text(type, rr->type));
	size_t at = (size_t)head < room ? (size_t)head : room;
	return (size_t)head + rdata_to_text(to + at, room - at, rr->type, rr->rdata, rr->rdata_bytes);
}

// NULL: it cannot be written so that it could be read again.
static json_t *section_lines(struct cache_dump *dump, const struct message *m, enum section section)
{
	json_t *lines = json_array();
	for (unsigned i = m->section_at[section]; i < m->section_at[section + 1]; i++) {
		const struct message_rr *rr = &m->rr[i];
		if (rr->class != CLASS_IN || rdata_check(rr->type, rr->rdata, rr->rdata_bytes) ||
			cache_record_text(dump->text, sizeof(dump->text), rr) >= sizeof(dump->text) ||
			json_array_append_new(lines, json_string(dump->text)) != 0) {
			json_decref(lines);
			return NULL;
		}
	}
	return lines;
}

static json_t *entry_line(struct cache_dump *dump, const struct cache_entry *entry, const struct message *m, uint32_t now_s)
{
	char name[NAME_TEXT_BYTES], type[16];
	json_t *line = json_pack("{s:s, s:s, s:s, s:I}", "name", name_to_text(name, entry->key.name), "type",
		rrtype_to_text(type, entry->key.type), "rcode", entry->rcode == RCODE_NXDOMAIN ? "NXDOMAIN" : "NOERROR",
		"ttl", (json_int_t)(entry->expires_at_s - now_s));
	if (entry->key.flags & CACHE_KEY_DO)
		json_object_set_new(line, "do", json_true());
	if (entry->key.flags & CACHE_KEY_CD)
		json_object_set_new(line, "cd", json_true());
	if (entry->authentic)
		json_object_set_new(line, "ad", json_true());
	if (entry->why != EDE_NONE)
		json_object_set_new(line, "ede", json_integer(entry->why));
	for (enum section s = SECTION_ANSWER; s < SECTION_COUNT; s++) {
		if (json_object_set_new(line, section_key[s], section_lines(dump, m, s)) == 0)
			continue;
		json_decref(line);
		return NULL;
	}
	return line;
}

static bool is_worth_it(const struct cache_entry *entry, uint32_t now_s)
{
	return entry->expires_at_s > now_s && entry->key.class == CLASS_IN && entry->why != EDE_STALE &&
	       entry->why != EDE_STALE_NXDOMAIN && (entry->rcode == RCODE_NOERROR || entry->rcode == RCODE_NXDOMAIN);
}

static void write_entry(struct cache_dump *dump, const struct cache_entry *entry)
{
	struct message m;
	uint32_t now_s = learned_now_s(dump->learned), bytes = 0;
	json_t *line = NULL;
	if (is_worth_it(entry, now_s))
		bytes = cache_entry_message(entry, now_s, 0, dump->wire, sizeof(dump->wire));
	if (bytes && message_read(&m, dump->wire, bytes) == ST_OK) {
		line = entry_line(dump, entry, &m, now_s);
		message_clear(&m);
	}
	if (line && json_dumpf(line, dump->out, JSON_COMPACT) == 0 && putc('\n', dump->out) != EOF)
		dump->counts.written++;
	else
		dump->counts.skipped++;
	json_decref(line);
}

bool cache_dump_some(struct cache_dump *dump)
{
	struct cache_entry entry;
	for (unsigned i = 0; i < PIECE; i++) {
		if (ferror(dump->out) || !cache_next(learned_cache(dump->learned), &dump->position, &entry))
			return false;
		write_entry(dump, &entry);
	}
	return true;
}

static bool write_head(FILE *out, uint64_t wall_s)
{
	char text[32];
	struct tm tm;
	time_t when = (time_t)wall_s;
	if (!gmtime_r(&when, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		text[0] = '\0';
	return fprintf(out, "{\"pollux-cache\":%d,\"written\":\"%s\",\"written_s\":%llu}\n", VERSION, text,
		       (unsigned long long)wall_s) > 0;
}

enum status cache_dump_new(struct cache_dump **made, struct learned *learned, const char *path, uint64_t wall_s)
{
	struct cache_dump *dump = calloc(1, sizeof(*dump));
	if (!dump)
		return ST_NO_MEMORY;
	dump->learned = learned;
	dump->position = CACHE_START;
	if (strlcpy(dump->path, path, sizeof(dump->path)) >= sizeof(dump->path)) {
		errno = ENAMETOOLONG;
		free(dump);
		return ST_SYSTEM;
	}
	snprintf(dump->fresh, sizeof(dump->fresh), "%s" TAIL, path);
	unlink(dump->fresh);
	int fd = open(dump->fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	dump->out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!dump->out) {
		int cause = errno;
		if (fd >= 0)
			close(fd);
		free(dump);
		errno = cause;
		return ST_SYSTEM;
	}
	write_head(dump->out, wall_s);
	*made = dump;
	return ST_OK;
}

enum status cache_dump_end(struct cache_dump *dump, bool complete, struct cache_dump_counts *counts)
{
	bool good = !ferror(dump->out);
	good = fclose(dump->out) == 0 && good;
	good = good && (!complete || rename(dump->fresh, dump->path) == 0);
	int cause = errno;
	if (!good || !complete)
		unlink(dump->fresh);
	*counts = dump->counts;
	free(dump);
	errno = cause;
	return good ? ST_OK : ST_SYSTEM;
}

// --- in ---

struct cache_load {
	struct learned *learned;
	FILE *in;
	char *path;
	struct report *report;
	unsigned line_number;
	uint32_t lain_s; // how long the file lay there
	struct cache_load_counts counts;
	char line[LINE_BYTES];
};

// One line is one finding, whatever is wrong with it.
__attribute__((format(printf, 2, 3))) static bool refuse(struct cache_load *load, const char *format, ...)
{
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_at(load->report, SEVERITY_ERROR, load->path, load->line_number, 0, "%s", text);
	load->counts.malformed++;
	return false;
}

struct reading {
	struct message *message;
	enum section section;
	uint32_t lain_s;
	unsigned records;
	char problem[160];
};

static void keep_problem(
	void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	struct reading *reading = ctx;
	(void)severity;
	(void)file;
	(void)line;
	if (!reading->problem[0])
		snprintf(reading->problem, sizeof(reading->problem), "at %u: %s", column, text);
}

static enum status take_record(void *ctx, const struct record *record)
{
	struct reading *reading = ctx;
	const struct message_rr rr = { .owner = record->owner,
		.rdata = record->rdata,
		.ttl = record->ttl > reading->lain_s ? record->ttl - reading->lain_s : 0,
		.type = record->type,
		.class = record->class,
		.rdata_bytes = record->rdata_bytes };
	reading->records++;
	return message_add(reading->message, reading->section, &rr);
}

// One record, absolute, with its TTL and class: nothing that a master file offers beyond that.
static bool read_record(struct reading *reading, const char *text)
{
	struct report report = { .emit = keep_problem, .ctx = reading };
	unsigned before = reading->records;
	reading->problem[0] = '\0';
	if (*text == '$' || isspace((unsigned char)*text) || strchr(text, '\n') ||
		zonefile_read_text(text, strlen(text), "", (const uint8_t *)"", take_record, reading, &report) != ST_OK ||
		reading->records != before + 1) {
		if (!reading->problem[0])
			strlcpy(reading->problem, "not one record", sizeof(reading->problem));
		return false;
	}
	return true;
}

static bool read_section(struct cache_load *load, struct reading *reading, const json_t *lines)
{
	for (size_t i = 0; i < json_array_size(lines); i++) {
		const char *text = json_string_value(json_array_get(lines, i));
		if (!text || !read_record(reading, text))
			return refuse(load, "record %zu of '%s': %s", i + 1, section_key[reading->section],
				text ? reading->problem : "no string");
	}
	return true;
}

struct line {
	const char *name, *type, *rcode;
	json_int_t ttl, ede;
	int dnssec_ok, checking_disabled, authentic;
	json_t *section[SECTION_COUNT];
};

static bool read_key(struct cache_load *load, const struct line *line, uint8_t *name, struct learned_key *key)
{
	uint8_t wire[NAME_MAX_BYTES];
	if (name_from_text(wire, NULL, line->name, strlen(line->name), NULL) != ST_OK)
		return refuse(load, "'%.100s' is no absolute domain name", line->name);
	if (rrtype_from_text(&key->type, line->type, strlen(line->type)) != ST_OK)
		return refuse(load, "there is no type '%.30s'", line->type);
	name_fold(name, wire);
	key->name = name;
	key->class = CLASS_IN;
	key->dnssec_ok = line->dnssec_ok;
	key->checking_disabled = line->checking_disabled;
	return true;
}

static bool check_line(struct cache_load *load, const struct line *line)
{
	if (strcmp(line->rcode, "NOERROR") != 0 && strcmp(line->rcode, "NXDOMAIN") != 0)
		return refuse(load, "rcode is neither NOERROR nor NXDOMAIN, but '%.30s'", line->rcode);
	if (line->ttl < 1 || line->ttl > TTL_MAX_S)
		return refuse(load, "ttl is no number of seconds from 1 to %u", TTL_MAX_S);
	if (line->ede < 0 || line->ede > EDE_NONE)
		return refuse(load, "ede is no number from 0 to 65534");
	for (enum section s = SECTION_ANSWER; s < SECTION_COUNT; s++) {
		if (!json_is_array(line->section[s]))
			return refuse(load, "'%s' is no array of records", section_key[s]);
	}
	return true;
}

static void count(struct cache_load *load, enum learned_result result)
{
	if (result == LEARNED_KEPT)
		load->counts.loaded++;
	else if (result == LEARNED_KNOWN)
		load->counts.known++;
	else
		load->counts.refused++;
}

static void take_line(struct cache_load *load, const struct line *line)
{
	uint8_t name[NAME_MAX_BYTES];
	struct learned_key key;
	struct message m = { .rcode = strcmp(line->rcode, "NXDOMAIN") ? RCODE_NOERROR : RCODE_NXDOMAIN };
	struct reading reading = { .message = &m, .lain_s = load->lain_s };
	const struct verdict verdict = { .flags = line->authentic ? FLAG_AD : 0, .why = (enum extended_error)line->ede };
	if (!check_line(load, line) || !read_key(load, line, name, &key))
		return;
	bool good = true;
	for (; good && reading.section < SECTION_COUNT; reading.section++)
		good = read_section(load, &reading, line->section[reading.section]);
	if (good && line->ttl <= load->lain_s)
		load->counts.expired++;
	else if (good)
		count(load, learned_restore(load->learned, &key, &m, &verdict));
	message_clear(&m);
}

static void read_line(struct cache_load *load, size_t bytes)
{
	json_error_t error;
	json_t *json = json_loadb(load->line, bytes, JSON_REJECT_DUPLICATES, &error);
	struct line line = { .ede = EDE_NONE };
	if (!json)
		refuse(load, "no JSON, at octet %d: %.150s", error.position, error.text);
	else if (json_unpack_ex(json, &error, 0, "{s:s, s:s, s:s, s:I, s?b, s?b, s?b, s?I, s:o, s:o, s:o !}", "name",
			 &line.name, "type", &line.type, "rcode", &line.rcode, "ttl", &line.ttl, "do", &line.dnssec_ok, "cd",
			 &line.checking_disabled, "ad", &line.authentic, "ede", &line.ede, section_key[0], &line.section[0],
			 section_key[1], &line.section[1], section_key[2], &line.section[2]) != 0)
		refuse(load, "%.200s", error.text);
	else
		take_line(load, &line);
	json_decref(json);
}

// False: the end of the file. A line without an end, or too long, is told and left out.
static bool next_line(struct cache_load *load, size_t *bytes)
{
	load->line_number++;
	*bytes = 0;
	if (!fgets(load->line, sizeof(load->line), load->in))
		return false;
	*bytes = strlen(load->line);
	if (*bytes && load->line[*bytes - 1] == '\n')
		return true;
	int c = '\n';
	bool longer = *bytes + 1 == sizeof(load->line);
	while (longer && (c = getc(load->in)) != EOF && c != '\n')
		;
	refuse(load, longer ? "a line longer than %d octets" : "the last line has no end", LINE_BYTES);
	*bytes = 0;
	return true;
}

bool cache_load_some(struct cache_load *load)
{
	size_t bytes;
	for (unsigned i = 0; i < PIECE; i++) {
		if (!next_line(load, &bytes))
			return false;
		if (bytes)
			read_line(load, bytes);
	}
	return true;
}

static enum status read_head(struct cache_load *load, uint64_t wall_s)
{
	size_t bytes = 0;
	json_int_t version = 0, written_s = 0;
	json_t *json = next_line(load, &bytes) && bytes ? json_loadb(load->line, bytes, 0, NULL) : NULL;
	int wrong = json_unpack(json, "{s:I, s:I}", "pollux-cache", &version, "written_s", &written_s);
	json_decref(json);
	if (wrong || written_s < 0) {
		refuse(load, "no dump of a cache: it begins with {\"pollux-cache\": %d, \"written_s\": ...}", VERSION);
		return ST_SYNTAX;
	}
	if (version != VERSION) {
		refuse(load, "a dump of version %lld; this program reads version %d", (long long)version, VERSION);
		return ST_VERSION;
	}
	if ((uint64_t)written_s > wall_s) {
		refuse(load, "written in the future; is the clock right?");
		return ST_SYNTAX;
	}
	uint64_t lain_s = wall_s - (uint64_t)written_s;
	load->lain_s = lain_s < TTL_MAX_S ? (uint32_t)lain_s : TTL_MAX_S;
	return ST_OK;
}

enum status cache_load_new(
	struct cache_load **made, struct learned *learned, const char *path, uint64_t wall_s, struct report *report)
{
	struct cache_load *load = malloc(sizeof(*load));
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat info = { 0 };
	if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || !load || !(load->path = strdup(path))) {
		int cause = fd < 0 ? errno : !S_ISREG(info.st_mode) ? EINVAL : ENOMEM;
		if (fd >= 0)
			close(fd);
		free(load);
		errno = cause;
		return ST_SYSTEM;
	}
	load->learned = learned;
	load->report = report;
	load->line_number = 0;
	load->counts = (struct cache_load_counts){ 0 };
	load->in = fdopen(fd, "r");
	enum status status = load->in ? read_head(load, wall_s) : ST_SYSTEM;
	if (status != ST_OK) {
		int cause = errno;
		if (load->in)
			fclose(load->in);
		else
			close(fd);
		free(load->path);
		free(load);
		errno = cause;
		return status;
	}
	*made = load;
	return ST_OK;
}

void cache_load_end(struct cache_load *load, struct cache_load_counts *counts)
{
	*counts = load->counts;
	fclose(load->in);
	free(load->path);
	free(load);
}
