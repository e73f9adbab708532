// SPDX-License-Identifier: BSD-3-Clause
// What the configuration says about answering, in the form in which both processes share it.
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/config.h>

#define SECRET_DIGITS (2 * COOKIE_SECRET_BYTES)

bool config_has_step(const struct config *config, enum chain_step step)
{
	for (unsigned i = 0; i < config->chain_count; i++) {
		if (config->chain[i] == step)
			return true;
	}
	return !config->chain_count;
}

bool config_forwards(const struct config *config)
{
	bool forwards = config->forward.server_count > 0 || config->forward_resolv_conf;
	for (unsigned i = 0; i < config->forward_zone_count && !forwards; i++)
		forwards = config->forward_zones[i].server_count > 0;
	return forwards && config_has_step(config, STEP_FORWARDERS);
}

// Behind the zones somebody may know more.
static bool has_chain(const struct config *config)
{
	return config_forwards(config) ||
	       (config_has_step(config, STEP_HOSTS) && config->hosts_file_count > 0) ||
	       (config_has_step(config, STEP_PLUGINS) && config->plugin_count > 0) ||
	       (config_has_step(config, STEP_RECURSION) && config->recursion);
}

struct policy config_policy(const struct config *config)
{
	return (struct policy){
		.udp_size = (uint16_t)config->udp_size,
		.has_chain = has_chain(config),
		.any_full = config->any_full,
		.minimal = config->minimal,
		.first_question = config->first_question,
		.log_queries = config->log_queries & 3,
		.log_sample = (uint16_t)config->log_sample,
	};
}

static uint8_t take_text(uint8_t *to, size_t room, const char *text)
{
	size_t bytes = text ? strlen(text) : 0;
	bytes = bytes < room ? bytes : room; // no more than the table of options allows
	if (bytes)
		memcpy(to, text, bytes);
	return (uint8_t)bytes;
}

static unsigned digit_value(char c)
{
	return isdigit((unsigned char)c) ? (unsigned)(c - '0') : (unsigned)(tolower((unsigned char)c) - 'a' + 10);
}

struct secret_file {
	const char *path;
	struct report *report;
	unsigned line;
	struct server_identity *identity;
	enum status status;
};

static void refuse(struct secret_file *file, size_t at, const char *problem)
{
	report_at(file->report, SEVERITY_ERROR, file->path, file->line, (unsigned)at + 1, "%s", problem);
	file->status = ST_SYNTAX;
}

static void read_secret(struct secret_file *file, const char *line, size_t at)
{
	size_t digits = strspn(line + at, "0123456789abcdefABCDEF");
	size_t end = at + digits + strspn(line + at + digits, " \t\r\n");
	if (digits != SECRET_DIGITS || (line[end] && line[end] != '#')) {
		refuse(file, at + (digits < SECRET_DIGITS ? digits : SECRET_DIGITS),
			"expected a secret of 32 hexadecimal digits, alone on its line");
		return;
	}
	if (file->identity->secret_count == 2) {
		refuse(file, at, "a third secret: one makes cookies, one more may be accepted");
		return;
	}
	uint8_t *secret = file->identity->secret[file->identity->secret_count++];
	for (unsigned i = 0; i < COOKIE_SECRET_BYTES; i++)
		secret[i] = (uint8_t)(digit_value(line[at + 2 * i]) << 4 | digit_value(line[at + 2 * i + 1]));
}

static void read_lines(struct secret_file *file, FILE *stream)
{
	char *line = NULL;
	size_t room = 0;
	while (file->status == ST_OK && getline(&line, &room, stream) >= 0) {
		file->line++;
		size_t at = strspn(line, " \t\r\n");
		if (line[at] && line[at] != '#')
			read_secret(file, line, at);
	}
	if (file->status == ST_OK && !file->identity->secret_count) {
		file->line = 0;
		refuse(file, 0, "holds no secret");
	}
	if (line)
		explicit_bzero(line, room);
	free(line);
}

static enum status read_secrets(struct server_identity *identity, const char *path, struct report *report)
{
	struct secret_file file = { .path = path, .report = report, .identity = identity, .status = ST_OK };
	FILE *stream = fopen(path, "re");
	if (!stream) {
		report_at(report, SEVERITY_ERROR, path, 0, 0, "cannot be read: %s", strerror(errno));
		return ST_SYSTEM;
	}
	setvbuf(stream, NULL, _IONBF, 0); // no copy of the secrets stays in memory
	read_lines(&file, stream);
	fclose(stream);
	if (file.status != ST_OK)
		identity->secret_count = 0;
	return file.status;
}

enum status config_identity(const struct config *config, struct server_identity *to, struct report *report)
{
	memset(to, 0, sizeof(*to));
	to->bytes = sizeof(*to);
	to->cookie_mode = (uint8_t)config->cookie_mode;
	to->nsid_bytes = take_text(to->nsid, sizeof(to->nsid), config->nsid);
	to->id_bytes = take_text(to->id, sizeof(to->id), config->identity_id);
	to->version_bytes = take_text(to->version, sizeof(to->version), config->identity_version);
	return config->cookie_secret_file ? read_secrets(to, config->cookie_secret_file, report) : ST_OK;
}
