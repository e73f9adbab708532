// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolvconf.h"

#define DNS_PORT 53
#define LINE_BYTES 1024
#define BLANKS " \t"
#define TIMEOUT_MAX_S 30 // as resolv.conf(5) caps them
#define ATTEMPTS_MAX 5

struct reading {
	struct resolv_conf *conf;
	const char *name;
	struct report *report;
	unsigned line;
};

__attribute__((format(printf, 2, 3))) static void skip(const struct reading *r, const char *format, ...)
{
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	report_at(r->report, SEVERITY_WARNING, r->name, r->line, 0, "%s", text);
}

// "198.18.0.1", "2001:db8::1", "fe80::1%eth0". Padding is zero, so that addresses can be compared as a whole.
static bool read_address(struct sockaddr_storage *to, char *text)
{
	struct sockaddr_in *ip4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)to;
	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, text, &ip4->sin_addr) == 1) {
		ip4->sin_family = AF_INET;
		ip4->sin_port = htons(DNS_PORT);
		return true;
	}
	char *scope = strchr(text, '%');
	if (scope)
		*scope++ = 0;
	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET6, text, &ip6->sin6_addr) != 1)
		return false;
	ip6->sin6_family = AF_INET6;
	ip6->sin6_port = htons(DNS_PORT);
	if (!scope)
		return true;
	char *end;
	unsigned long number = strtoul(scope, &end, 10);
	ip6->sin6_scope_id = *scope && !*end ? (uint32_t)number : if_nametoindex(scope);
	return ip6->sin6_scope_id;
}

static void read_nameserver(struct reading *r, char *rest)
{
	struct resolv_conf *conf = r->conf;
	struct sockaddr_storage address;
	char said[LINE_BYTES], *text = strtok_r(NULL, BLANKS, &rest);
	strlcpy(said, text ? text : "", sizeof(said));
	if (!text) {
		skip(r, "nameserver without an address");
	} else if (!read_address(&address, text)) {
		skip(r, "nameserver '%.64s' is no address, or has no such interface", said);
	} else if (conf->server_count == RESOLV_SERVERS_MAX) {
		skip(r, "more than %u name servers", RESOLV_SERVERS_MAX);
	} else {
		for (unsigned i = 0; i < conf->server_count; i++) {
			if (!memcmp(&conf->servers[i], &address, sizeof(address))) {
				skip(r, "nameserver '%.64s' a second time", said);
				return;
			}
		}
		conf->line[conf->server_count] = r->line;
		conf->servers[conf->server_count++] = address;
	}
}

// The last of domain and search lines counts; without a domain there is none.
static void read_search(struct reading *r, char *rest)
{
	struct resolv_conf *conf = r->conf;
	conf->search_count = 0;
	for (char *text; (text = strtok_r(NULL, BLANKS, &rest));) {
		if (conf->search_count == RESOLV_SEARCH_MAX) {
			skip(r, "more than %u search domains", RESOLV_SEARCH_MAX);
			return;
		}
		if (strlcpy(conf->search[conf->search_count], text, RESOLV_TEXT_BYTES) >= RESOLV_TEXT_BYTES)
			skip(r, "a search domain longer than any name");
		else
			conf->search_count++;
	}
}

static void read_number(const struct reading *r, const char *option, const char *text, unsigned most, unsigned *to)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end)
		skip(r, "option %s is no number: '%.32s'", option, text);
	else
		*to = number < 1 ? 1 : number > most ? most : (unsigned)number;
}

// Options that mean nothing here are no mistake.
static void read_options(struct reading *r, char *rest)
{
	for (char *text; (text = strtok_r(NULL, BLANKS, &rest));) {
		if (!strncmp(text, "timeout:", 8))
			read_number(r, "timeout", text + 8, TIMEOUT_MAX_S, &r->conf->timeout_s);
		else if (!strncmp(text, "attempts:", 9))
			read_number(r, "attempts", text + 9, ATTEMPTS_MAX, &r->conf->attempts);
		else if (!strcmp(text, "rotate"))
			r->conf->rotate = true;
	}
}

static void read_line(struct reading *r, char *line)
{
	static const struct {
		const char *word;
		void (*read)(struct reading *, char *rest);
	} words[] = {
		{ "nameserver", read_nameserver },
		{ "search", read_search },
		{ "domain", read_search },
		{ "options", read_options },
		{ "sortlist", NULL },
	};
	char *rest, *word = strtok_r(line, BLANKS, &rest);
	if (!word || *word == '#' || *word == ';')
		return;
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i].word) != 0)
			continue;
		if (words[i].read)
			words[i].read(r, rest);
		return;
	}
	skip(r, "'%.64s' is no keyword of resolv.conf", word);
}

static void use_default(struct resolv_conf *conf)
{
	struct sockaddr_in *ip4 = (struct sockaddr_in *)&conf->servers[0];
	ip4->sin_family = AF_INET;
	ip4->sin_port = htons(DNS_PORT);
	ip4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	conf->server_count = 1;
}

void resolv_conf_read(
	struct resolv_conf *conf, const char *text, size_t bytes, const char *name, struct report *report)
{
	struct reading r = { .conf = conf, .name = name, .report = report };
	memset(conf, 0, sizeof(*conf));
	for (size_t at = 0; at < bytes;) {
		const char *end = memchr(text + at, '\n', bytes - at);
		size_t length = end ? (size_t)(end - text) - at : bytes - at;
		char line[LINE_BYTES];
		r.line++;
		if (memchr(text + at, 0, length) || length >= sizeof(line)) {
			skip(&r, "not a line of text");
		} else {
			memcpy(line, text + at, length);
			line[length] = 0;
			line[strcspn(line, "\r")] = 0;
			read_line(&r, line);
		}
		at += length + 1;
	}
	if (!conf->server_count)
		use_default(conf);
}

enum status resolv_conf_load(struct resolv_conf *conf, const char *path, struct report *report)
{
	char text[65536];
	FILE *file = fopen(path, "re");
	if (!file && (errno == ENOENT || errno == ENOTDIR)) {
		resolv_conf_read(conf, "", 0, path, report);
		return ST_OK;
	}
	size_t bytes = file ? fread(text, 1, sizeof(text), file) : 0;
	bool failed = !file || ferror(file);
	if (failed)
		report_at(report, SEVERITY_ERROR, path, 0, 0, "cannot read: %s", strerror(errno));
	else
		resolv_conf_read(conf, text, bytes, path, report);
	if (file)
		fclose(file);
	return failed ? ST_SYSTEM : ST_OK;
}
