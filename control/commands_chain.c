// SPDX-License-Identifier: BSD-3-Clause
// chain show, query.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "cache_file.h"
#include "chain.h"
#include "commands.h"
#include "places.h"

#define RECORD_TEXT_BYTES 4096 // a longer one is cut

// --- chain show ---

static const char *state_of(const struct resolver *r, enum chain_step step, bool in_chain)
{
	if (!resolver_step(step))
		return "not in this build";
	if (!in_chain)
		return "left out";
	return resolver_uses_step(r, step) ? "in use" : "nothing configured";
}

static json_t *step_row(struct resolver *r, unsigned place, enum chain_step step)
{
	const struct step_kind *kind = resolver_step(step);
	json_t *row = json_object();
	char text[128] = "";
	json_object_set_new(row, "place", place ? json_integer(place) : json_null());
	json_object_set_new(row, "step", json_string(kind ? kind->name : "?"));
	json_object_set_new(row, "state", json_string(state_of(r, step, place)));
	json_object_set_new(row, "answered", json_integer((json_int_t)resolver_counters(r)->answered[step]));
	if (kind && kind->describe)
		kind->describe(r->state[step], text, sizeof(text));
	json_object_set_new(row, "has", *text ? json_text(text) : json_null());
	json_object_set_new(row, "about", json_string(kind ? kind->help : ""));
	return row;
}

void command_chain_show(struct call *call)
{
	struct resolver *r = call_control(call)->resolver;
	struct chain_order order = resolver_order(r);
	bool seen[STEP_COUNT] = { false };
	json_t *rows = json_array();
	for (unsigned i = 0; i < order.count; i++) {
		seen[order.step[i]] = true;
		json_array_append_new(rows, step_row(r, i + 1, order.step[i]));
	}
	for (enum chain_step step = 0; step < STEP_COUNT; step++) {
		if (!seen[step] && resolver_step(step))
			json_array_append_new(rows, step_row(r, 0, step));
	}
	call_reply(call, rows, NULL);
}

// --- query: the words ---

struct question {
	struct call *call;
	struct control *control;
	uint8_t name[NAME_MAX_BYTES];
	unsigned name_bytes;
	uint16_t type, flags;
	bool dnssec_ok, wants_trace, has_type;
	struct asker asker;
	struct trace trace;
	uint64_t began_us;
	json_t *data;
	struct places *places;
};

static bool take_client(struct question *q, const char *text)
{
	struct sockaddr_in *ip4 = (struct sockaddr_in *)&q->asker.address;
	struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)&q->asker.address;
	if (text && inet_pton(AF_INET, text, &ip4->sin_addr) == 1)
		ip4->sin_family = AF_INET;
	else if (text && inet_pton(AF_INET6, text, &ip6->sin6_addr) == 1)
		ip6->sin6_family = AF_INET6;
	else
		return false;
	return true;
}

static void want_tcp(struct question *q)
{
	q->asker.transport = OVER_TCP;
}

static void want_no_recursion(struct question *q)
{
	q->flags &= (uint16_t)~FLAG_RD;
}

static void want_dnssec(struct question *q)
{
	q->dnssec_ok = true;
}

static void want_no_checking(struct question *q)
{
	q->flags |= FLAG_CD;
}

static void want_trace(struct question *q)
{
	q->wants_trace = true;
}

static const struct {
	const char *word;
	void (*take)(struct question *);
} wishes[] = {
	{ "tcp", want_tcp },
	{ "no-recursion", want_no_recursion },
	{ "dnssec", want_dnssec },
	{ "no-checking", want_no_checking },
	{ "trace", want_trace },
};

static bool take_wish(struct question *q, const char *word)
{
	for (unsigned i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		if (strcmp(wishes[i].word, word) != 0)
			continue;
		wishes[i].take(q);
		return true;
	}
	return false;
}

// What is wrong with the words, or NULL.
static const char *take_words(struct question *q)
{
	static const uint8_t root[1] = { 0 };
	const char *word = call_arg(q->call, 0);
	if (!word || !*word || name_from_text(q->name, &q->name_bytes, word, strlen(word), root) != ST_OK)
		return "the first word is a domain name";
	for (unsigned i = 1; (word = call_arg(q->call, i)); i++) {
		bool dashed = strncmp(word, "--", 2) == 0;
		const char *plain = dashed ? word + 2 : word;
		if (strcmp(plain, "client") == 0) {
			if (!take_client(q, call_arg(q->call, ++i)))
				return "behind client comes an IP address";
		} else if (!take_wish(q, plain)) {
			if (dashed || q->has_type ||
				rrtype_from_text(&q->type, plain, strlen(plain)) != ST_OK)
				return "one of the words is neither a type nor an option";
			q->has_type = true;
		}
	}
	return NULL;
}

// --- query: the reply ---

static void free_question(struct question *q)
{
	json_decref(q->data);
	places_free(q->places);
	free(q);
}

static void set_milliseconds(json_t *object, const char *key, uint64_t us)
{
	json_object_set_new(object, key, json_real((double)us / 1000));
}

static const char *rcode_text(char *to, size_t room, unsigned rcode)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",
		"REFUSED", "YXDOMAIN" };
	if (rcode < sizeof(names) / sizeof(names[0]))
		return names[rcode];
	if (rcode == RCODE_BADVERS || rcode == RCODE_BADCOOKIE)
		return rcode == RCODE_BADVERS ? "BADVERS" : "BADCOOKIE";
	snprintf(to, room, "RCODE%u", rcode);
	return to;
}

// As dig writes them.
static const char *flags_text(char *to, size_t room, uint16_t flags)
{
	static const struct {
		uint16_t flag;
		const char *name;
	} names[] = { { FLAG_QR, "qr" }, { FLAG_AA, "aa" }, { FLAG_TC, "tc" }, { FLAG_RD, "rd" },
		{ FLAG_RA, "ra" }, { FLAG_AD, "ad" }, { FLAG_CD, "cd" } };
	to[0] = 0;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(flags & names[i].flag))
			continue;
		if (*to)
			strlcat(to, " ", room);
		strlcat(to, names[i].name, room);
	}
	return to;
}

// Info codes of RFC 8914 5.2.
static const char *const reasons[] = { "Other", "Unsupported DNSKEY Algorithm", "Unsupported DS Digest Type",
	"Stale Answer", "Forged Answer", "DNSSEC Indeterminate", "DNSSEC Bogus", "Signature Expired",
	"Signature Not Yet Valid", "DNSKEY Missing", "RRSIGs Missing", "No Zone Key Bit Set", "NSEC Missing",
	"Cached Error", "Not Ready", "Blocked", "Censored", "Filtered", "Prohibited", "Stale NXDOMAIN Answer",
	"Not Authoritative", "Not Supported", "No Reachable Authority", "Network Error", "Invalid Data" };

// "22 (No Reachable Authority)", or NULL: the extended error in the OPT of the reply.
static json_t *extended_error(const uint8_t *wire, unsigned bytes)
{
	unsigned at, opt_bytes = message_find_opt(wire, bytes, &at);
	if (opt_bytes < OPT_BYTES)
		return NULL;
	struct reader r = reader_of(wire + at + OPT_BYTES, opt_bytes - OPT_BYTES);
	while (reader_left(&r) >= 4) {
		uint16_t code = read_be16(&r), length = read_be16(&r);
		const uint8_t *option = read_bytes(&r, length);
		if (code != 15 || length < 2 || !option)
			continue;
		unsigned info = load_be16(option);
		return json_sprintf("%u (%s)", info,
			info < sizeof(reasons) / sizeof(reasons[0]) ? reasons[info] : "unknown");
	}
	return NULL;
}

static json_t *record_line(const struct message_rr *rr)
{
	char text[RECORD_TEXT_BYTES];
	if (cache_record_text(text, sizeof(text), rr) >= sizeof(text))
		memset(text + sizeof(text) - 4, '.', 3);
	return json_text(text);
}

static json_t *section_lines(const struct message *m, enum section section)
{
	json_t *lines = json_array();
	for (unsigned i = m->section_at[section]; i < m->section_at[section + 1]; i++)
		json_array_append_new(lines, record_line(&m->rr[i]));
	return lines;
}

static json_t *trace_rows(const struct trace *trace)
{
	json_t *rows = json_array();
	for (unsigned i = 0; i < trace->count; i++) {
		const struct trace_step *step = &trace->step[i];
		json_t *row = json_object();
		json_object_set_new(row, "step", json_string(step->name));
		json_object_set_new(row, "outcome", json_string(step->outcome));
		set_milliseconds(row, "ms", step->took_us);
		json_object_set_new(row, "found", *step->note ? json_text(step->note) : json_null());
		json_array_append_new(rows, row);
	}
	return rows;
}

static uint64_t clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static json_t *question_text(const struct question *q)
{
	char name[NAME_TEXT_BYTES], type[16];
	return json_sprintf("%s IN %s", name_to_text(name, q->name), rrtype_to_text(type, q->type));
}

static void describe_reply(struct question *q, const struct message *m, const uint8_t *wire, unsigned bytes)
{
	char text[64];
	json_object_set_new(q->data, "question", question_text(q));
	json_object_set_new(q->data, "status", json_string(rcode_text(text, sizeof(text), m->rcode)));
	json_object_set_new(q->data, "flags", json_string(flags_text(text, sizeof(text), m->flags)));
	json_t *why = extended_error(wire, bytes);
	if (why)
		json_object_set_new(q->data, "extended_error", why);
	json_object_set_new(q->data, "octets", json_integer(bytes));
	set_milliseconds(q->data, "ms", clock_us() - q->began_us);
	if (q->wants_trace)
		json_object_set_new(q->data, "steps", trace_rows(&q->trace));
	json_object_set_new(q->data, "answer", section_lines(m, SECTION_ANSWER));
	json_object_set_new(q->data, "authority", section_lines(m, SECTION_AUTHORITY));
	json_object_set_new(q->data, "additional", section_lines(m, SECTION_ADDITIONAL));
}

static void finish(struct question *q)
{
	call_reply(q->call, json_incref(q->data), NULL);
	free_question(q);
}

static json_t *place_row(const struct place *place)
{
	char owner[NAME_TEXT_BYTES], type[16];
	json_t *row = json_object();
	json_object_set_new(row, "record",
		json_sprintf("%s %s", name_to_text(owner, place->rr->owner),
			rrtype_to_text(type, place->rr->type)));
	json_object_set_new(
		row, "at", place->file ? json_sprintf("%s:%u", place->file, place->line) : json_null());
	return row;
}

static void on_places(void *ctx, struct loader_task *task)
{
	struct question *q = ctx;
	(void)task;
	json_t *rows = json_array();
	for (unsigned i = 0; i < q->places->count; i++) {
		if (q->places->place[i].file)
			json_array_append_new(rows, place_row(&q->places->place[i]));
	}
	json_object_set_new(q->data, "sources", rows);
	if (q->places->gave_up)
		json_object_set_new(q->data, "sources_missing",
			json_sprintf("the zone file takes longer than %u s to read", PLACES_MAX_MS / 1000));
	finish(q);
}

// A zone of ours is in what was said: where do its records stand?
static bool look_for_places(struct question *q, const uint8_t *wire, unsigned bytes)
{
	struct folded_name name;
	bool authorities_spoke = false;
	for (unsigned i = 0; i < q->trace.count; i++) {
		const struct trace_step *step = &q->trace.step[i];
		authorities_spoke |= strcmp(step->name, authorities_step.name) == 0 && *step->note;
	}
	name_prepare(&name, q->name, q->name_bytes, catalog_seed(q->control->catalog));
	const struct image *zone =
		q->wants_trace && authorities_spoke ? catalog_find(q->control->catalog, &name) : NULL;
	if (!zone)
		return false;
	q->places = places_new(zone->apex, image_at(zone, zone->source_ref), wire, bytes);
	if (!q->places)
		return false;
	q->places->task.done = on_places;
	q->places->task.ctx = q;
	publisher_run(q->control->publisher, &q->places->task);
	return true;
}

static void on_reply(void *ctx, const uint8_t *wire, unsigned bytes)
{
	struct question *q = ctx;
	struct message m;
	if (!wire || message_read(&m, wire, bytes) != ST_OK) {
		call_refuse(q->call, NULL,
			wire ? "the reply cannot be read" : "the question is dropped: no reply");
		free_question(q);
		return;
	}
	describe_reply(q, &m, wire, bytes);
	message_clear(&m);
	if (!look_for_places(q, wire, bytes))
		finish(q);
}

void command_query(struct call *call)
{
	uint8_t wire[QUERY_WIRE_BYTES], question[NAME_MAX_BYTES + 4];
	struct question *q = calloc(1, sizeof(*q));
	if (!q) {
		call_refuse(call, NULL, "out of memory");
		return;
	}
	q->call = call;
	q->control = call_control(call);
	q->type = TYPE_A;
	q->flags = FLAG_RD;
	q->data = json_object();
	const char *wrong = take_words(q);
	if (wrong) {
		call_misused(call, "%s", wrong);
		free_question(q);
		return;
	}
	memcpy(question, q->name, q->name_bytes);
	store_be16(question + q->name_bytes, q->type);
	store_be16(question + q->name_bytes + 2, CLASS_IN);
	unsigned bytes = message_write_query(
		wire, 0, q->flags, question, q->name_bytes + 4, DNS_UDP_CEILING_BYTES, q->dnssec_ok, 0);
	q->began_us = clock_us();
	resolver_ask_traced(q->control->resolver, &q->asker, wire, bytes, &q->trace, on_reply, q);
}
