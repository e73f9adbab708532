// SPDX-License-Identifier: BSD-3-Clause
// Runs a scenario: a text file that says what the resolver chain is asked, what its upstreams say, and what comes out, at
// which second. The upstreams are real sockets on loopback; the clock is the scenario's own (clock.h).
//
//   upstream a                          a name server; $a in the configuration is its address
//   config                              the configuration, as YAML in indented lines; a second one is a reload
//   zone example.org                    a zone of ours, as a master file in indented lines
//   a answers www.example.com A NOERROR [after 300ms]     from now on; the records in indented lines, those of the
//   a is mute | a is back               authority section with "authority" in front. What has no answer gets REFUSED
//   at 2s                               goes on to that time
//   ask www.example.com A [tcp] [do] [cd] [ad] [norecurse]
//   gets NOERROR [aa] [ad] [tc] [ede 3] [within 2s]       exactly these records, in any order; the authority section is
//                                       looked at when a line speaks of it. Without "within" no time may pass
//   gets nothing                        the question was dropped
//   a heard 2                           questions so far, of whatever kind
//   counts cache.stale 1                see counters[]
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <unistd.h>

#include <event2/event.h>
#include <pollux/bytes.h>
#include <pollux/config.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#include "chain.h"
#include "client/message.h"
#include "clock.h"
#include "learned.h"
#include "resolve.h"

#define UPSTREAMS_MAX 8
#define ANSWERS_MAX 64
#define RECORDS_MAX 64
#define BLOCK_BYTES 16384
#define WORDS_MAX 16

// A record as text gave it.
struct line_record {
	bool authority;
	uint8_t owner[NAME_MAX_BYTES], rdata[1024];
	uint16_t type, rdata_bytes;
	uint32_t ttl;
};
struct records {
	unsigned count;
	struct line_record record[RECORDS_MAX];
};

struct said {
	uint8_t name[NAME_MAX_BYTES];
	uint16_t type;
	enum rcode rcode;
	unsigned after_ms;
	struct records records;
};

struct upstream_fake {
	char name[32];
	int fd;
	uint16_t port;
	struct event *readable;
	bool mute;
	unsigned heard, said_count;
	struct said said[ANSWERS_MAX];
};

// An answer on its way to who asked.
struct delayed {
	struct upstream_fake *upstream;
	struct sockaddr_in peer;
	unsigned bytes;
	uint8_t wire[DNS_MAX_BYTES];
	struct event *timer;
};

static const char *path;
static unsigned line_number;
static struct event_base *base;
static struct catalog *catalog;
static struct config *config;
static struct resolver *resolver;
static struct upstream_fake upstreams[UPSTREAMS_MAX];
static unsigned upstream_count;

// What is being waited for.
static struct heard_answer {
	bool done, dropped;
	unsigned bytes;
	uint8_t wire[DNS_MAX_BYTES];
} answer;
static bool asked;

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "%s:%u: at %.3f s: ", path, line_number, (double)clock_now_ms() / 1000);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

// --- words ---

static void read_name(uint8_t *to, const char *text)
{
	static const uint8_t root[1] = { 0 };
	if (name_from_text(to, NULL, text, strlen(text), root) != ST_OK)
		fail("'%s' is no name", text);
}

static uint16_t read_type(const char *text)
{
	uint16_t type;
	if (rrtype_from_text(&type, text, strlen(text)) != ST_OK)
		fail("'%s' is no type", text);
	return type;
}

static unsigned read_ms(const char *text)
{
	char *unit;
	double value = strtod(text, &unit);
	if (unit == text || value < 0 || (strcmp(unit, "s") != 0 && strcmp(unit, "ms") != 0))
		fail("'%s' is no time, such as 2s or 300ms", text);
	return (unsigned)(strcmp(unit, "s") == 0 ? value * 1000 : value);
}

static const struct {
	const char *name;
	enum rcode code;
} rcodes[] = {
	{ "NOERROR", RCODE_NOERROR },
	{ "FORMERR", RCODE_FORMERR },
	{ "SERVFAIL", RCODE_SERVFAIL },
	{ "NXDOMAIN", RCODE_NXDOMAIN },
	{ "NOTIMP", RCODE_NOTIMP },
	{ "REFUSED", RCODE_REFUSED },
};

static enum rcode read_rcode(const char *text)
{
	for (unsigned i = 0; i < sizeof(rcodes) / sizeof(rcodes[0]); i++) {
		if (strcmp(rcodes[i].name, text) == 0)
			return rcodes[i].code;
	}
	fail("'%s' is no rcode", text);
}

static struct upstream_fake *find_upstream(const char *name)
{
	for (unsigned i = 0; i < upstream_count; i++) {
		if (strcmp(upstreams[i].name, name) == 0)
			return &upstreams[i];
	}
	return NULL;
}

static enum status take_record(void *ctx, const struct record *record)
{
	struct records *records = ctx;
	if (records->count == RECORDS_MAX || record->rdata_bytes > sizeof(records->record[0].rdata))
		fail("too much");
	struct line_record *to = &records->record[records->count++];
	memcpy(to->owner, record->owner, name_length(record->owner, NAME_MAX_BYTES));
	memcpy(to->rdata, record->rdata, record->rdata_bytes);
	to->rdata_bytes = record->rdata_bytes;
	to->type = record->type;
	to->ttl = record->ttl;
	return ST_OK;
}

static void on_finding(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	(void)ctx;
	if (severity == SEVERITY_ERROR)
		fail("%s:%u:%u: %s", file, line, column, text);
}

static void read_records(struct records *records, char *block)
{
	static const uint8_t root[1] = { 0 };
	struct report report = { .emit = on_finding };
	records->count = 0;
	for (char *line; (line = strsep(&block, "\n"));) {
		if (!*line)
			continue;
		char text[2048];
		unsigned first = records->count;
		line += strspn(line, " \t");
		bool authority = strncmp(line, "authority ", 10) == 0;
		int bytes = snprintf(text, sizeof(text), "%s\n", line + (authority ? 10 : 0));
		if (zonefile_read_text(text, (size_t)bytes, "records", root, take_record, records, &report) != ST_OK ||
			records->count == first)
			fail("no record: %s", line);
		records->record[first].authority = authority;
	}
}

// --- upstreams ---

static const struct said *find_said(const struct upstream_fake *upstream, const struct message *question)
{
	for (unsigned i = upstream->said_count; i--;) { // the newest counts
		const struct said *said = &upstream->said[i];
		if (said->type == question->type && name_equal(said->name, question->name))
			return said;
	}
	return NULL;
}

static unsigned write_answer(uint8_t *wire, const uint8_t *query, const struct message *question, const struct said *said)
{
	static struct composer composer;
	unsigned question_bytes = name_length(query + DNS_HEADER_BYTES, NAME_MAX_BYTES) + 4;
	uint16_t flags = FLAG_QR | FLAG_RA | (question->flags & FLAG_RD) | (uint16_t)(said ? said->rcode : RCODE_REFUSED);
	composer_start(&composer, wire, 1232, question->id, flags, query + DNS_HEADER_BYTES, question_bytes, question->edns);
	for (unsigned pass = 0; said && pass < 2; pass++) {
		for (unsigned i = 0; i < said->records.count; i++) {
			const struct line_record *r = &said->records.record[i];
			const struct message_rr rr = { r->owner, r->rdata, r->ttl, r->type, CLASS_IN, r->rdata_bytes };
			if (r->authority == (pass == 1) && !composer_add(&composer, pass ? SECTION_AUTHORITY : SECTION_ANSWER, &rr))
				composer_set_flags(&composer, FLAG_TC);
		}
	}
	return composer_end(&composer, 1232, said ? said->rcode : RCODE_REFUSED, false);
}

static void send_answer(evutil_socket_t unused, short what, void *ctx)
{
	struct delayed *delayed = ctx;
	(void)unused;
	(void)what;
	if (sendto(delayed->upstream->fd, delayed->wire, delayed->bytes, 0, (struct sockaddr *)&delayed->peer,
		    sizeof(delayed->peer)) < 0)
		fail("upstream %s cannot send", delayed->upstream->name);
	event_free(delayed->timer);
	free(delayed);
}

static void on_question(evutil_socket_t fd, short what, void *ctx)
{
	struct upstream_fake *upstream = ctx;
	uint8_t query[2048];
	struct delayed *delayed = calloc(1, sizeof(*delayed));
	socklen_t peer_bytes = sizeof(delayed->peer);
	struct message question;
	(void)what;
	ssize_t bytes = recvfrom(fd, query, sizeof(query), 0, (struct sockaddr *)&delayed->peer, &peer_bytes);
	if (bytes <= 0 || message_read(&question, query, (size_t)bytes) != ST_OK)
		fail("upstream %s heard no message", upstream->name);
	upstream->heard++;
	const struct said *said = find_said(upstream, &question);
	if (upstream->mute) {
		free(delayed);
	} else {
		unsigned after_ms = said ? said->after_ms : 0;
		struct timeval after = { .tv_sec = after_ms / 1000, .tv_usec = after_ms % 1000 * 1000 };
		delayed->upstream = upstream;
		delayed->bytes = write_answer(delayed->wire, query, &question, said);
		delayed->timer = evtimer_new(base, send_answer, delayed);
		event_add(delayed->timer, &after);
	}
	message_clear(&question);
}

static void start_upstream(const char *name)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(address);
	struct upstream_fake *upstream = &upstreams[upstream_count++];
	if (upstream_count > UPSTREAMS_MAX || find_upstream(name))
		fail("no room for upstream '%s'", name);
	snprintf(upstream->name, sizeof(upstream->name), "%s", name);
	upstream->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (upstream->fd < 0 || bind(upstream->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
		getsockname(upstream->fd, (struct sockaddr *)&address, &bytes) != 0)
		fail("no socket for upstream '%s'", name);
	upstream->port = ntohs(address.sin_port);
	upstream->readable = event_new(base, upstream->fd, EV_READ | EV_PERSIST, on_question, upstream);
	event_add(upstream->readable, NULL);
}

// --- the appliance ---

static void put_addresses(char *to, size_t room, const char *text)
{
	size_t at = 0;
	while (*text && at + 64 < room) {
		char name[32] = "";
		if (*text != '$') {
			to[at++] = *text++;
			continue;
		}
		sscanf(text + 1, "%31[a-z0-9]", name);
		const struct upstream_fake *upstream = find_upstream(name);
		if (!upstream)
			fail("no upstream '%s'", name);
		at += (size_t)snprintf(to + at, room - at, "127.0.0.1@%u", upstream->port);
		text += 1 + strlen(name);
	}
	to[at] = '\0';
}

static void configure(const char *block)
{
	char text[BLOCK_BYTES];
	struct report report = { .emit = on_finding };
	struct config *fresh;
	put_addresses(text, sizeof(text), block);
	if (config_read_text(&fresh, text, strlen(text), "/scenario.conf", &report) != ST_OK)
		fail("the configuration was refused");
	if (resolver) {
		resolver_reconfigure(resolver, fresh);
		config_free(config);
	} else {
		resolver = resolver_new(base, fresh, catalog, NULL);
		if (!resolver || learned_open(learned_of(resolver), NULL) != ST_OK)
			fail("no resolver");
	}
	config = fresh;
}

static void publish(const char *origin, const char *text)
{
	uint8_t apex[NAME_MAX_BYTES];
	struct report report = { .emit = on_finding };
	void *room;
	read_name(apex, origin);
	struct zone_builder *builder = zone_builder_new(apex, catalog_seed(catalog));
	zone_builder_set_report(builder, &report);
	if (zonefile_read_text(text, strlen(text), origin, apex, zone_builder_add, builder, &report) != ST_OK ||
		zone_builder_check(builder) != ST_OK ||
		catalog_reserve(catalog, zone_builder_image_bytes(builder, NULL), &room) != ST_OK)
		fail("zone %s cannot be served", origin);
	zone_builder_write(builder, room, NULL, 0);
	if (catalog_publish(catalog, room) != ST_OK)
		fail("zone %s cannot be published", origin);
	zone_builder_free(builder);
}

// --- clients ---

static void on_answer(void *ctx, const uint8_t *wire, unsigned bytes)
{
	(void)ctx;
	answer.done = true;
	answer.dropped = !wire;
	answer.bytes = bytes;
	if (wire)
		memcpy(answer.wire, wire, bytes);
	event_base_loopbreak(base);
}

static bool has_word(char *const *word, unsigned count, const char *wanted)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(word[i], wanted) == 0)
			return true;
	}
	return false;
}

static const char *word_behind(char *const *word, unsigned count, const char *wanted)
{
	for (unsigned i = 0; i + 1 < count; i++) {
		if (strcmp(word[i], wanted) == 0)
			return word[i + 1];
	}
	return NULL;
}

static void ask(char *const *word, unsigned count)
{
	uint8_t question[NAME_MAX_BYTES + 4], wire[QUERY_WIRE_BYTES];
	struct asker asker = { .transport = has_word(word, count, "tcp") ? OVER_TCP : OVER_UDP };
	if (count < 3 || !resolver || asked)
		fail(!resolver ? "no config yet" : asked ? "the last question's answer was not looked at" : "ask NAME TYPE");
	read_name(question, word[1]);
	unsigned bytes = name_length(question, NAME_MAX_BYTES);
	store_be16(question + bytes, read_type(word[2]));
	store_be16(question + bytes + 2, CLASS_IN);
	unsigned flags = (has_word(word, count, "norecurse") ? 0u : FLAG_RD) | (has_word(word, count, "cd") ? FLAG_CD : 0u) |
		(has_word(word, count, "ad") ? FLAG_AD : 0u);
	bytes = message_write_query(wire, 0x1234, (uint16_t)flags, question, bytes + 4, 1232, has_word(word, count, "do"), 0);
	answer.done = false;
	asked = true;
	resolver_ask(resolver, &asker, wire, bytes, on_answer, NULL);
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
	event_base_loopbreak(base);
}

// Runs the loop until `ready` (may be NULL) or that many milliseconds have passed.
static void run_for(unsigned ms, const bool *ready)
{
	uint64_t end_ms = clock_now_ms() + ms;
	while (!(ready && *ready) && clock_now_ms() <= end_ms) {
		struct timeval rest = { .tv_sec = (time_t)((end_ms - clock_now_ms()) / 1000),
			.tv_usec = (suseconds_t)((end_ms - clock_now_ms()) % 1000 * 1000) };
		struct event *deadline = evtimer_new(base, on_deadline, NULL);
		event_add(deadline, &rest);
		event_base_dispatch(base);
		event_free(deadline);
		if (clock_now_ms() >= end_ms)
			break;
	}
}

static bool same_record(const struct line_record *a, const struct message_rr *b)
{
	return a->type == b->type && a->ttl == b->ttl && a->rdata_bytes == b->rdata_bytes &&
	       strcmp((const char *)a->owner, (const char *)b->owner) == 0 && // case counts
	       memcmp(a->rdata, b->rdata, a->rdata_bytes) == 0;
}

static void print_got(const struct message *m, enum section section)
{
	for (unsigned i = m->section_at[section]; i < m->section_at[section + 1]; i++) {
		char owner[NAME_TEXT_BYTES], type[16], rdata[2048];
		const struct message_rr *rr = &m->rr[i];
		rdata_to_text(rdata, sizeof(rdata), rr->type, rr->rdata, rr->rdata_bytes);
		fprintf(stderr, "got: %s%s %u %s %s\n", section == SECTION_AUTHORITY ? "authority " : "",
			name_to_text(owner, rr->owner), rr->ttl, rrtype_to_text(type, rr->type), rdata);
	}
}

static void compare_section(const struct records *wanted, const struct message *m, enum section section)
{
	unsigned got = m->section_at[section + 1] - m->section_at[section], expected = 0;
	bool same = true;
	for (unsigned i = 0; i < wanted->count; i++) {
		const struct line_record *line = &wanted->record[i];
		bool found = false;
		if (line->authority != (section == SECTION_AUTHORITY))
			continue;
		expected++;
		for (unsigned k = m->section_at[section]; k < m->section_at[section + 1]; k++)
			found |= same_record(line, &m->rr[k]);
		same &= found;
	}
	if (section == SECTION_AUTHORITY && !expected)
		return;
	if (same && expected == got)
		return;
	print_got(m, section);
	fail("other records than expected");
}

// RFC 8914 2: the code of the first Extended DNS Error; -1: none. The OPT is the last record of what we write.
static int ede_of(const uint8_t *wire, unsigned bytes)
{
	for (unsigned at = DNS_HEADER_BYTES; at + OPT_BYTES <= bytes; at++) {
		if (wire[at] || load_be16(wire + at + 1) != TYPE_OPT || at + OPT_BYTES + load_be16(wire + at + 9) != bytes)
			continue;
		for (unsigned option = at + OPT_BYTES; option + 4 <= bytes; option += 4u + load_be16(wire + option + 2)) {
			if (load_be16(wire + option) == 15)
				return load_be16(wire + option + 4);
		}
	}
	return -1;
}

static void compare_flags(const struct message *m, char *const *word, unsigned count)
{
	static const struct {
		const char *word;
		uint16_t flag;
	} flags[] = { { "aa", FLAG_AA }, { "ad", FLAG_AD }, { "tc", FLAG_TC } };
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		bool wanted = has_word(word, count, flags[i].word);
		if (wanted != !!(m->flags & flags[i].flag))
			fail("flag %s is %s", flags[i].word, wanted ? "not set" : "set");
	}
	const char *ede = word_behind(word, count, "ede");
	int got = ede_of(answer.wire, answer.bytes);
	if (got != (ede ? (int)strtol(ede, NULL, 10) : -1))
		fail("the extended error is %d (-1: none)", got);
}

static void compare_answer(char *const *word, unsigned count, char *block)
{
	static struct records wanted;
	const char *within = word_behind(word, count, "within");
	struct message m;
	if (!asked || count < 2)
		fail(asked ? "write: gets RCODE" : "nothing was asked");
	asked = false;
	run_for(within ? read_ms(within) : 1, &answer.done);
	if (!answer.done)
		fail("no answer");
	bool nothing = strcmp(word[1], "nothing") == 0;
	if (answer.dropped != nothing)
		fail(nothing ? "an answer" : "the question was dropped");
	if (nothing)
		return;
	if (message_read(&m, answer.wire, answer.bytes) != ST_OK)
		fail("the answer is malformed");
	read_records(&wanted, block);
	if (m.rcode != read_rcode(word[1])) {
		print_got(&m, SECTION_ANSWER);
		fail("the rcode is %u", m.rcode);
	}
	compare_flags(&m, word, count);
	compare_section(&wanted, &m, SECTION_ANSWER);
	compare_section(&wanted, &m, SECTION_AUTHORITY);
	message_clear(&m);
}

static uint64_t count_of(const char *name)
{
	const struct resolver_counters *chain = resolver_counters(resolver);
	const struct learned_counters *cache = learned_counters(learned_of(resolver));
	const struct {
		const char *name;
		uint64_t value;
	} counters[] = {
		{ "chain.open", chain->open },
		{ "chain.coalesced", chain->coalesced },
		{ "cache.hits", cache->hits },
		{ "cache.stale", cache->stale },
		{ "cache.prefetches", cache->prefetches },
		{ "cache.stored", cache->stored },
		{ "cache.entries", cache_usage(learned_cache(learned_of(resolver))).entries },
	};
	for (unsigned i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		if (strcmp(counters[i].name, name) == 0)
			return counters[i].value;
	}
	fail("no counter '%s'", name);
}

static void counts(char *const *word, unsigned count)
{
	if (count != 3)
		fail("counts NAME NUMBER");
	if (count_of(word[1]) != strtoull(word[2], NULL, 10))
		fail("%s is %llu", word[1], (unsigned long long)count_of(word[1]));
}

static void go_on_to(const char *time)
{
	uint64_t to_ms = read_ms(time);
	if (to_ms < clock_now_ms())
		fail("that time has passed");
	if (to_ms > clock_now_ms())
		run_for((unsigned)(to_ms - clock_now_ms()), NULL);
}

static void tell_upstream(struct upstream_fake *upstream, char *const *word, unsigned count, char *block)
{
	if (count == 3 && strcmp(word[1], "is") == 0) {
		upstream->mute = strcmp(word[2], "mute") == 0;
		return;
	}
	if (count == 3 && strcmp(word[1], "heard") == 0) {
		run_for(1, NULL); // what is under way arrives
		if (upstream->heard != strtoul(word[2], NULL, 10))
			fail("%s heard %u", upstream->name, upstream->heard);
		return;
	}
	if (count < 5 || strcmp(word[1], "answers") != 0 || upstream->said_count == ANSWERS_MAX)
		fail("%s answers NAME TYPE RCODE | is mute | is back | heard N", upstream->name);
	struct said *said = &upstream->said[upstream->said_count++];
	const char *after = word_behind(word, count, "after");
	read_name(said->name, word[2]);
	said->type = read_type(word[3]);
	said->rcode = read_rcode(word[4]);
	said->after_ms = after ? read_ms(after) : 0;
	read_records(&said->records, block);
}

static void run_line(char *line, char *block)
{
	char *word[WORDS_MAX], *rest = line;
	unsigned count = 0;
	for (char *next = strtok_r(rest, " \t\n", &rest); next && count < WORDS_MAX; next = strtok_r(NULL, " \t\n", &rest))
		word[count++] = next;
	struct upstream_fake *upstream = find_upstream(word[0]);
	if (upstream)
		tell_upstream(upstream, word, count, block);
	else if (strcmp(word[0], "config") == 0)
		configure(block);
	else if (strcmp(word[0], "ask") == 0)
		ask(word, count);
	else if (strcmp(word[0], "gets") == 0)
		compare_answer(word, count, block);
	else if (strcmp(word[0], "counts") == 0)
		counts(word, count);
	else if (count < 2)
		fail("'%s' is not understood", word[0]);
	else if (strcmp(word[0], "upstream") == 0)
		start_upstream(word[1]);
	else if (strcmp(word[0], "zone") == 0)
		publish(word[1], block);
	else if (strcmp(word[0], "at") == 0)
		go_on_to(word[1]);
	else
		fail("'%s' is not understood", word[0]);
}

static bool is_text(const char *line)
{
	line += strspn(line, " \t\n");
	return *line && *line != '#';
}

// A line at the margin with the indented ones behind it. False: the end.
static bool read_block(FILE *file, char *line, char *block, unsigned *next_number)
{
	static char ahead[1024];
	bool found = false;
	size_t at = 0, margin = 0;
	block[0] = '\0';
	for (;;) {
		if (!*ahead) {
			if (!fgets(ahead, sizeof(ahead), file))
				return found;
			++*next_number;
		}
		bool indented = *ahead == ' ';
		if (is_text(ahead) && !indented && found)
			return true;
		if (is_text(ahead) && !indented) {
			snprintf(line, sizeof(ahead), "%s", ahead);
			line_number = *next_number;
			found = true;
		} else if (is_text(ahead)) {
			if (!at)
				margin = strspn(ahead, " ");
			at += (size_t)snprintf(block + at, BLOCK_BYTES - at, "%s", ahead + (strspn(ahead, " ") < margin ? 0 : margin));
			if (at >= BLOCK_BYTES - sizeof(ahead))
				fail("too many lines");
		}
		*ahead = '\0';
	}
}

static void finish(void)
{
	if (asked)
		fail("the last question's answer was not looked at");
	resolver_free(resolver);
	config_free(config);
	for (unsigned i = 0; i < upstream_count; i++) {
		event_free(upstreams[i].readable);
		close(upstreams[i].fd);
	}
	catalog_close(catalog);
	event_base_free(base);
	libevent_global_shutdown();
}

int main(int argc, char **argv)
{
	char line[1024], block[BLOCK_BYTES];
	unsigned next_number = 0, lines = 0;
	FILE *file = argc == 2 ? fopen(argv[1], "re") : NULL;
	if (!file) {
		fprintf(stderr, "usage: scenario FILE\n");
		return 2;
	}
	path = argv[1];
	base = event_base_new();
	if (!base || catalog_open_private(&catalog, 7) != ST_OK)
		fail("no memory");
	catalog_set_ready(catalog);
	for (; read_block(file, line, block, &next_number); lines++)
		run_line(line, block);
	fclose(file);
	finish();
	if (!lines) {
		fprintf(stderr, "%s: nothing to do\n", path);
		return 1;
	}
	return 0;
}
