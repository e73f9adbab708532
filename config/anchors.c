// SPDX-License-Identifier: BSD-3-Clause
// Files for recursion: trust anchors and the addresses of the root servers.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pollux/config.h>
#include <pollux/name.h>
#include <pollux/query.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#define FILE_MOST_BYTES (1u << 20)
#define ANCHORS_MOST 1024
#define HINTS_MOST 64 // servers that are remembered while their addresses are looked for

static const uint8_t root[1] = { 0 };
static const char ttl_line[] = "$TTL 3600\n"; // such files need not have TTLs

// Lines of the file, which come one later.
static void emit_one_up(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *text)
{
	(void)severity; // what is dubious in a zone is of no use here
	struct report *report = ctx;
	report_at(report, SEVERITY_ERROR, file, line > 1 ? line - 1 : 0, line > 1 ? column : 0, "%s", text);
}

// Nobody waits for a pipe.
static FILE *open_regular(const char *path, struct report *report)
{
	struct stat info;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	FILE *stream = NULL;
	if (fd < 0 || fstat(fd, &info) != 0)
		report_at(report, SEVERITY_ERROR, path, 0, 0, "%s", strerror(errno));
	else if (!S_ISREG(info.st_mode))
		report_at(report, SEVERITY_ERROR, path, 0, 0, "not a regular file");
	else
		stream = fdopen(fd, "r");
	if (!stream && fd >= 0)
		close(fd);
	return stream;
}

// Its text behind a line with a TTL; malloc.
static char *read_whole(const char *path, size_t *bytes, struct report *report)
{
	FILE *stream = open_regular(path, report);
	char *text = malloc(sizeof(ttl_line) + FILE_MOST_BYTES);
	if (stream && !text) {
		report_at(report, SEVERITY_ERROR, path, 0, 0, "%s", strerror(ENOMEM));
	} else if (stream) {
		memcpy(text, ttl_line, sizeof(ttl_line) - 1);
		*bytes = sizeof(ttl_line) - 1 + fread(text + sizeof(ttl_line) - 1, 1, FILE_MOST_BYTES, stream);
		bool whole = !ferror(stream) && feof(stream);
		if (!whole)
			report_at(report, SEVERITY_ERROR, path, 0, 0, "%s",
				ferror(stream) ? "cannot be read" : "is too large for such a file");
		if (whole) {
			fclose(stream);
			return text;
		}
	}
	if (stream)
		fclose(stream);
	free(text);
	return NULL;
}

static enum status read_records(const char *path, record_handler *handle, void *ctx, struct report *report)
{
	size_t bytes;
	unsigned errors = report->errors;
	char *text = read_whole(path, &bytes, report);
	if (!text)
		return ST_SYSTEM;
	struct report moved = { .emit = emit_one_up, .ctx = report };
	enum status status = zonefile_read_text(text, bytes, path, root, handle, ctx, &moved);
	free(text);
	return status == ST_OK && report->errors > errors ? ST_SYNTAX : status;
}

// --- trust anchors ---

struct anchor_file {
	struct trust_anchors *anchors;
	struct report *report;
};

static enum status take_anchor(void *ctx, const struct record *record)
{
	struct anchor_file *file = ctx;
	struct trust_anchors *anchors = file->anchors;
	char owner[NAME_TEXT_BYTES], type[16], *line = NULL;
	if ((record->type != TYPE_DS && record->type != TYPE_DNSKEY) || record->class != CLASS_IN) {
		report_at(file->report, SEVERITY_ERROR, record->file, record->line - 1, 0,
			"expected a DS or DNSKEY record of class IN, found %s", rrtype_to_text(type, record->type));
		return ST_OK;
	}
	if (anchors->count == ANCHORS_MOST) {
		report_at(file->report, SEVERITY_ERROR, record->file, record->line - 1, 0,
			"more than %u trust anchors", ANCHORS_MOST);
		return ST_FULL;
	}
	size_t room = rdata_to_text(NULL, 0, record->type, record->rdata, record->rdata_bytes) + 1;
	char *rdata = malloc(room);
	if (!rdata)
		return ST_NO_MEMORY;
	rdata_to_text(rdata, room, record->type, record->rdata, record->rdata_bytes);
	if (asprintf(&line, "%s IN %s %s", name_to_text(owner, record->owner), rrtype_to_text(type, record->type),
		    rdata) < 0)
		line = NULL;
	free(rdata);
	if (!line)
		return ST_NO_MEMORY;
	anchors->line[anchors->count++] = line;
	return ST_OK;
}

enum status config_trust_anchors(const char *path, struct trust_anchors *anchors, struct report *report)
{
	struct anchor_file file = { anchors, report };
	*anchors = (struct trust_anchors){ .line = calloc(ANCHORS_MOST, sizeof(char *)) };
	enum status status = anchors->line ? read_records(path, take_anchor, &file, report) : ST_NO_MEMORY;
	if (status == ST_OK && anchors->count == 0) {
		report_at(report, SEVERITY_ERROR, path, 0, 0, "no trust anchor in it: expected DS or DNSKEY records");
		status = ST_INVALID;
	}
	if (status != ST_OK)
		trust_anchors_free(anchors);
	return status;
}

void trust_anchors_free(struct trust_anchors *anchors)
{
	for (unsigned i = 0; i < anchors->count; i++)
		free(anchors->line[i]);
	free(anchors->line);
	*anchors = (struct trust_anchors){ 0 };
}

// --- root servers ---

struct hints_file {
	unsigned servers;
	bool has_address;
	uint8_t server[HINTS_MOST][NAME_MAX_BYTES];
};

static enum status take_hint(void *ctx, const struct record *record)
{
	struct hints_file *file = ctx;
	if (record->type == TYPE_NS && record->owner[0] == 0 && file->servers < HINTS_MOST)
		name_fold(file->server[file->servers++], record->rdata);
	for (unsigned i = 0; i < file->servers && (record->type == TYPE_A || record->type == TYPE_AAAA); i++)
		file->has_address |= name_equal(file->server[i], record->owner);
	return ST_OK;
}

enum status config_check_hints(const char *path, struct report *report)
{
	struct hints_file *file = calloc(1, sizeof(*file));
	enum status status = file ? read_records(path, take_hint, file, report) : ST_NO_MEMORY;
	if (status == ST_OK && !file->has_address) {
		report_at(report, SEVERITY_ERROR, path, 0, 0, "%s",
			file->servers ? "no address for any of the root servers it names"
				      : "no NS records of the root in it");
		status = ST_INVALID;
	}
	free(file);
	return status;
}

enum status config_check_recursion(const struct config *config, struct report *report)
{
	struct trust_anchors anchors = { 0 };
	enum status status = ST_OK, hints = ST_OK;
	if (!config->recursion)
		return ST_OK;
	hints = config_check_hints(config->recursion_hints, report);
	if (config->recursion_validate)
		status = config_trust_anchors(config->recursion_anchors, &anchors, report);
	trust_anchors_free(&anchors);
	return hints == ST_OK ? status : hints;
}
