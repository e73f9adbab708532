// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <pollux/bytes.h>
#include <pollux/log.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "chain.h"
#include "client/message.h"
#include "query_log.h"

#define HELD_BYTES (256u << 10) // lines on their way into the file
#define LINE_BYTES 4096		// of one line; longer ones are cut
#define FLUSH_MS 100		// how long a line may be held
#define LOOK_MS 1000		// so often it is looked whether the file is still the one of that name (logrotate)
#define SAID_MS 60000		// between two complaints

struct query_log {
	unsigned level, configured_level, sample, seen;
	char *path; // NULL: the log
	int fd;
	dev_t device;
	ino_t inode;
	struct event *flush;
	uint64_t looked_ms, complained_ms;
	struct query_log_counters counters;
	size_t held;
	char lines[HELD_BYTES];
};

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// --- the file ---

static void complain(struct query_log *log, const char *what)
{
	uint64_t now = clock_ms(CLOCK_MONOTONIC_COARSE);
	if (log->complained_ms && now - log->complained_ms < SAID_MS)
		return;
	log->complained_ms = now;
	log_error("%s: %s: %s", log->path, what, strerror(errno));
}

// Appended, so that others may cut it off; without waiting, should somebody have put a pipe there.
static void open_file(struct query_log *log)
{
	struct stat info;
	log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
	if (log->fd < 0) {
		complain(log, "the query log cannot be opened; its lines go here");
	} else if (fstat(log->fd, &info) == 0) {
		log->device = info.st_dev;
		log->inode = info.st_ino;
	}
}

static void close_file(struct query_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}

// Moved away or removed: the next lines go into a new file of that name.
static void follow_file(struct query_log *log)
{
	struct stat info;
	uint64_t now = clock_ms(CLOCK_MONOTONIC_COARSE);
	if (!log->path || now - log->looked_ms < LOOK_MS)
		return;
	log->looked_ms = now;
	if (log->fd >= 0 && stat(log->path, &info) == 0 && info.st_ino == log->inode && info.st_dev == log->device)
		return;
	close_file(log);
	open_file(log);
}

static unsigned count_lines(const char *at, const char *end)
{
	unsigned lines = 0;
	for (; at < end && (at = memchr(at, '\n', (size_t)(end - at))); at++)
		lines++;
	return lines;
}

static void write_out(struct query_log *log)
{
	size_t done = 0;
	follow_file(log);
	while (done < log->held) {
		ssize_t took = write(log->fd, log->lines + done, log->held - done);
		if (took < 0 && errno == EINTR)
			continue;
		if (took <= 0) {
			complain(log, "the query log cannot be written");
			log->counters.lost += count_lines(log->lines + done, log->lines + log->held);
			break;
		}
		done += (size_t)took;
	}
	log->held = 0;
}

static void on_flush(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	write_out(ctx);
}

// A line without its newline.
static void put_line(struct query_log *log, const char *line, size_t bytes)
{
	if (log->fd < 0) {
		log_info("%.*s", (int)bytes, line);
		return;
	}
	if (bytes + 1 > sizeof(log->lines) - log->held)
		write_out(log);
	if (!log->held) {
		struct timeval soon = { .tv_usec = FLUSH_MS * 1000 };
		event_add(log->flush, &soon);
	}
	memcpy(log->lines + log->held, line, bytes);
	log->held += bytes;
	log->lines[log->held++] = '\n';
}

// --- lines ---

struct line {
	char text[LINE_BYTES];
	size_t bytes;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
	va_list args;
	size_t room = sizeof(line->text) - line->bytes;
	va_start(args, format);
	int bytes = vsnprintf(line->text + line->bytes, room, format, args);
	va_end(args);
	if (bytes > 0)
		line->bytes += (size_t)bytes < room ? (size_t)bytes : room - 1;
}

static void add_time(struct line *line, uint64_t ago_ms)
{
	uint64_t at_ms = clock_ms(CLOCK_REALTIME) - ago_ms;
	time_t seconds = (time_t)(at_ms / 1000);
	struct tm tm;
	char text[32];
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	add(line, "%s.%03uZ ", text, (unsigned)(at_ms % 1000));
}

static void add_class(struct line *line, uint16_t class)
{
	if (class == CLASS_IN || class == CLASS_CH)
		add(line, "%s ", class == CLASS_IN ? "IN" : "CH");
	else
		add(line, "CLASS%u ", class); // RFC 3597 5
}

// RFC 1035 4.1.1, RFC 2136 2.2, RFC 6891 9, RFC 7873 8.
static void add_rcode(struct line *line, unsigned rcode)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN",
		"YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE" };
	if (rcode < sizeof(names) / sizeof(names[0]))
		add(line, "%s", names[rcode]);
	else if (rcode == RCODE_BADVERS || rcode == RCODE_BADCOOKIE)
		add(line, "%s", rcode == RCODE_BADVERS ? "BADVERS" : "BADCOOKIE");
	else
		add(line, "RCODE%u", rcode);
}

static void add_client(struct line *line, const struct logged_answer *a)
{
	char text[FORWARDER_TEXT_BYTES];
	add(line, "%s %s ", forwarder_to_text(text, a->client), a->transport == OVER_TCP ? "tcp" : "udp");
}

// Of the first question; "-" when there is none. Names come from strangers: name_to_text() leaves nothing unprintable.
static void add_question(struct line *line, const uint8_t *wire, unsigned bytes)
{
	char name[NAME_TEXT_BYTES], type[16];
	const uint8_t *at = wire + DNS_HEADER_BYTES;
	unsigned name_bytes = load_be16(wire + 4) ? name_length(at, bytes - DNS_HEADER_BYTES) : 0;
	if (!name_bytes || DNS_HEADER_BYTES + name_bytes + 4 > bytes) {
		add(line, "- ");
		return;
	}
	add(line, "%s ", name_to_text(name, at));
	add_class(line, load_be16(at + name_bytes + 2));
	add(line, "%s ", rrtype_to_text(type, load_be16(at + name_bytes)));
}

static void put_short(struct query_log *log, const struct logged_answer *a)
{
	struct line line = { .bytes = 0 };
	unsigned opcode = (load_be16(a->wire + 2) & FLAG_OPCODE) >> 11;
	if (log->fd >= 0)
		add_time(&line, a->ago_ms);
	add_client(&line, a);
	if (opcode)
		add(&line, "opcode %u ", opcode);
	add_question(&line, a->wire, a->bytes);
	add_rcode(&line, a->rcode);
	add(&line, "%s %u answers %u octets %llu us %s", load_be16(a->wire + 2) & FLAG_TC ? " TC" : "", load_be16(a->wire + 6),
		a->bytes, (unsigned long long)a->took_us, a->step ? a->step : "-");
	if (a->note && *a->note)
		add(&line, " (%s)", a->note);
	put_line(log, line.text, line.bytes);
}

static void put_record(struct query_log *log, const char *section, const struct message_rr *rr)
{
	struct line line = { .bytes = 0 };
	char owner[NAME_TEXT_BYTES], type[16], rdata[LINE_BYTES];
	add(&line, "  %s %s %u ", section, name_to_text(owner, rr->owner), rr->ttl);
	add_class(&line, rr->class);
	rdata_to_text(rdata, sizeof(rdata), rr->type, rr->rdata, rr->rdata_bytes);
	add(&line, "%s %s", rrtype_to_text(type, rr->type), rdata);
	put_line(log, line.text, line.bytes);
}

static void put_question(struct query_log *log, const struct message *m)
{
	struct line line = { .bytes = 0 };
	char name[NAME_TEXT_BYTES], type[16];
	add(&line, "  question %s ", name_to_text(name, m->name));
	add_class(&line, m->class);
	add(&line, "%s", rrtype_to_text(type, m->type));
	put_line(log, line.text, line.bytes);
}

static void put_flags(struct query_log *log, const struct message *m)
{
	static const struct {
		uint16_t flag;
		const char *name;
	} names[] = { { FLAG_AA, " aa" }, { FLAG_TC, " tc" }, { FLAG_RD, " rd" }, { FLAG_RA, " ra" }, { FLAG_AD, " ad" },
		{ FLAG_CD, " cd" } };
	struct line line = { .bytes = 0 };
	add(&line, "  header id %u qr", m->id);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (m->flags & names[i].flag)
			add(&line, "%s", names[i].name);
	}
	if (m->edns)
		add(&line, ", EDNS of %u octets", m->udp_size);
	put_line(log, line.text, line.bytes);
}

static void put_records(struct query_log *log, const struct logged_answer *a)
{
	static const char *const sections[] = { "answer", "authority", "additional" };
	struct message m;
	if (message_read(&m, a->wire, a->bytes) != ST_OK)
		return; // several questions, which only the short line shows
	put_flags(log, &m);
	if (m.name)
		put_question(log, &m);
	for (unsigned s = 0; s < SECTION_COUNT; s++) {
		for (unsigned i = m.section_at[s]; i < m.section_at[s + 1]; i++)
			put_record(log, sections[s], &m.rr[i]);
	}
	message_clear(&m);
}

static void put_answer(struct query_log *log, const struct logged_answer *a)
{
	if (!log->level || a->bytes < DNS_HEADER_BYTES)
		return;
	log->counters.answers++;
	follow_file(log);
	put_short(log, a);
	if (log->level > 1)
		put_records(log, a);
}

void query_log_answer(struct query_log *log, const struct logged_answer *a)
{
	if (!log->level || ++log->seen < log->sample)
		return;
	log->seen = 0;
	put_answer(log, a);
}

// --- what workers have answered ---

// Where the answer went. False: those headers cannot be.
static bool read_client(struct sockaddr_storage *client, const struct msg *msg, const uint8_t *frame)
{
	const uint8_t *ip = frame + msg->network_at, *udp = frame + msg->dns_at - 8;
	memset(client, 0, sizeof(*client));
	if (ip[0] >> 4 == 4) {
		struct sockaddr_in *ip4 = (struct sockaddr_in *)client;
		ip4->sin_family = AF_INET;
		memcpy(&ip4->sin_addr, ip + 16, 4);
		memcpy(&ip4->sin_port, udp + 2, 2);
		return true;
	}
	if (ip[0] >> 4 == 6 && msg->dns_at >= msg->network_at + 48) {
		struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)client;
		ip6->sin6_family = AF_INET6;
		memcpy(&ip6->sin6_addr, ip + 24, 16);
		memcpy(&ip6->sin6_port, udp + 2, 2);
		return true;
	}
	return false;
}

void query_log_take(void *ctx, const struct msg *msg, const uint8_t *frame)
{
	struct query_log *log = ctx;
	struct sockaddr_storage client;
	const struct step_kind *step = msg->source && msg->source <= STEP_COUNT ? resolver_step(msg->source - 1) : NULL;
	uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);
	if (!read_client(&client, msg, frame)) {
		log->counters.malformed++;
		return;
	}
	const struct logged_answer a = { .client = (const struct sockaddr *)&client,
		.transport = OVER_UDP,
		.wire = frame + msg->dns_at,
		.bytes = msg->bytes - msg->dns_at,
		.rcode = msg->rcode,
		.step = step ? step->name : NULL,
		.took_us = msg->took_us,
		.ago_ms = now_ms > msg->time_ms ? now_ms - msg->time_ms : 0 };
	put_answer(log, &a);
}

// --- life ---

static void take_path(struct query_log *log, const char *path)
{
	if (log->path && path && strcmp(log->path, path) == 0)
		return;
	if (log->held)
		write_out(log);
	close_file(log);
	free(log->path);
	log->path = path ? strdup(path) : NULL;
	if (log->path && log->level)
		open_file(log);
}

void query_log_set_level(struct query_log *log, unsigned level)
{
	log->level = level;
	if (level && log->path && log->fd < 0)
		open_file(log);
}

unsigned query_log_level(const struct query_log *log)
{
	return log->level;
}

void query_log_reconfigure(struct query_log *log, const struct config *config)
{
	log->sample = config->log_sample;
	take_path(log, config->log_query_file);
	if (config->log_queries != log->configured_level)
		query_log_set_level(log, config->log_queries);
	log->configured_level = config->log_queries;
}

struct query_log *query_log_new(struct event_base *base, const struct config *config)
{
	struct query_log *log = calloc(1, sizeof(*log));
	if (!log)
		return NULL;
	log->fd = -1;
	log->flush = evtimer_new(base, on_flush, log);
	if (!log->flush) {
		free(log);
		return NULL;
	}
	query_log_reconfigure(log, config);
	return log;
}

void query_log_free(struct query_log *log)
{
	if (!log)
		return;
	if (log->held)
		write_out(log);
	event_free(log->flush);
	close_file(log);
	free(log->path);
	free(log);
}

const struct query_log_counters *query_log_counters(const struct query_log *log)
{
	return &log->counters;
}
