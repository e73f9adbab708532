// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/log.h>
#include <pollux/name.h>

#include "clock.h"
#include "library.h"

#define SECURE 2 // as its callback says it
#define BOGUS 1
#define LOG_LINES_PER_SECOND 10

// --- options ---------------------------------------------------------------------------------------

enum setting_kind { SET_OPTION, SET_STUB, SET_ANCHOR };

struct setting {
	enum setting_kind kind;
	char *name, *value;
};

struct library_settings {
	atomic_uint shares;
	bool failed; // no memory for one of them
	size_t cache_bytes; // of the contexts of one thread
	unsigned count, room;
	struct setting *setting;
};

static void add(struct library_settings *s, enum setting_kind kind, const char *name, const char *value)
{
	if (s->count == s->room) {
		unsigned room = s->room ? 2 * s->room : 64;
		struct setting *larger = realloc(s->setting, room * sizeof(*larger));
		if (!larger) {
			s->failed = true;
			return;
		}
		s->setting = larger;
		s->room = room;
	}
	struct setting *one = &s->setting[s->count++];
	*one = (struct setting){ kind, strdup(name), strdup(value) };
	s->failed |= !one->name || !one->value;
}

static void add_number(struct library_settings *s, const char *name, unsigned value)
{
	char text[24];
	snprintf(text, sizeof(text), "%u", value);
	add(s, SET_OPTION, name, text);
}

static void add_flag(struct library_settings *s, const char *name, bool value)
{
	add(s, SET_OPTION, name, value ? "yes" : "no");
}

static void add_name(struct library_settings *s, const char *option, const uint8_t *name, const char *behind)
{
	char text[NAME_TEXT_BYTES], value[NAME_TEXT_BYTES + 32];
	snprintf(value, sizeof(value), "%s%s", name_to_text(text, name), behind);
	add(s, SET_OPTION, option, value);
}

// What the library would answer by itself, RFC 6303 and RFC 6761.
static void ask_for_local_names(struct library_settings *s)
{
	static const char *const names[] = { "localhost.", "127.in-addr.arpa.", "home.arpa.", "onion.", "test.", "invalid.",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa." };
	char value[128];
	add_flag(s, "unblock-lan-zones:", true);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(value, sizeof(value), "%s nodefault", names[i]);
		add(s, SET_OPTION, "local-zone:", value);
	}
}

// The library's "address@port".
static bool server_to_text(char *to, size_t room, const struct sockaddr_storage *address)
{
	const struct sockaddr_in *ip4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)address;
	bool is_ip4 = address->ss_family == AF_INET;
	char host[INET6_ADDRSTRLEN];
	if (!inet_ntop(address->ss_family, is_ip4 ? (const void *)&ip4->sin_addr : (const void *)&ip6->sin6_addr, host,
		    sizeof(host)))
		return false;
	snprintf(to, room, "%s@%u", host, ntohs(is_ip4 ? ip4->sin_port : ip6->sin6_port));
	return true;
}

// A stub zone at or below one of the library's own names takes its place.
static void add_stub(struct library_settings *s, const struct recursor_stub *stub)
{
	char zone[NAME_TEXT_BYTES], server[64];
	name_to_text(zone, stub->zone);
	add_name(s, "local-zone:", stub->zone, " transparent");
	for (unsigned i = 0; i < stub->server_count; i++)
		if (server_to_text(server, sizeof(server), &stub->servers[i]))
			add(s, SET_STUB, zone, server);
}

static void add_family(struct library_settings *s, const struct recursor_options *o)
{
	add_flag(s, "do-ip4:", o->ip4);
	add_flag(s, "do-ip6:", o->ip6);
	add_flag(s, "prefer-ip4:", o->preferred == AF_INET);
	add_flag(s, "prefer-ip6:", o->preferred == AF_INET6);
}

// The library's own sizes are for a program that asks now and then.
static void add_sizes(struct library_settings *s, const struct recursor_options *o)
{
	s->cache_bytes = o->cache_bytes / o->threads;
	add_number(s, "msg-cache-slabs:", 1); // of locks: one thread has a context for itself
	add_number(s, "rrset-cache-slabs:", 1);
	add_number(s, "infra-cache-slabs:", 1);
	add_number(s, "key-cache-slabs:", 1);
	add_number(s, "outgoing-range:", o->sockets);
	add_number(s, "num-queries-per-thread:", o->max_open);
	add_number(s, "outgoing-num-tcp:", 32);
}

// What keeps forgers and evil zones in check. No addresses are looked up before they are needed (as in
// target-fetch-policy's default): NXNSAttack lives on that.
static void add_defences(struct library_settings *s, const struct recursor_options *o)
{
	add_flag(s, "qname-minimisation:", true); // RFC 9156
	add_flag(s, "use-caps-for-id:", o->mix_case);
	add_flag(s, "harden-glue:", true);
	add_flag(s, "harden-short-bufsize:", true);
	add_flag(s, "harden-dnssec-stripped:", true);
	add_flag(s, "harden-below-nxdomain:", true); // RFC 8020
	add_flag(s, "aggressive-nsec:", true);	     // RFC 8198
	add(s, SET_OPTION, "target-fetch-policy:", "0 0 0 0 0");
	add_number(s, "max-sent-count:", o->max_sent);
	add_flag(s, "do-not-query-localhost:", !o->ask_loopback);
	add_flag(s, "trust-anchor-signaling:", false); // RFC 8145 is for who measures the root
	add_flag(s, "root-key-sentinel:", false);
}

struct library_settings *library_settings_new(const struct recursor_options *o)
{
	struct library_settings *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	atomic_init(&s->shares, 1);
	add_sizes(s, o);
	add_defences(s, o);
	add_family(s, o);
	add(s, SET_OPTION, "root-hints:", o->hints);
	if (!o->local_names)
		ask_for_local_names(s);
	for (unsigned i = 0; i < o->stub_count; i++)
		add_stub(s, &o->stubs[i]);
	for (unsigned i = 0; i < o->insecure_count; i++)
		add_name(s, "domain-insecure:", o->insecure[i], "");
	for (unsigned i = 0; i < o->anchor_count; i++)
		add(s, SET_ANCHOR, "", o->anchors[i]);
	if (!s->failed)
		return s;
	library_settings_release(s);
	return NULL;
}

struct library_settings *library_settings_share(struct library_settings *s)
{
	atomic_fetch_add(&s->shares, 1);
	return s;
}

bool library_settings_equal(const struct library_settings *a, const struct library_settings *b)
{
	if (a->count != b->count || a->cache_bytes != b->cache_bytes)
		return false;
	for (unsigned i = 0; i < a->count; i++) {
		const struct setting *x = &a->setting[i], *y = &b->setting[i];
		if (x->kind != y->kind || strcmp(x->name, y->name) || strcmp(x->value, y->value))
			return false;
	}
	return true;
}

void library_settings_release(struct library_settings *s)
{
	if (!s || atomic_fetch_sub(&s->shares, 1) > 1)
		return;
	for (unsigned i = 0; i < s->count; i++) {
		free(s->setting[i].name);
		free(s->setting[i].value);
	}
	free(s->setting);
	free(s);
}

// --- contexts --------------------------------------------------------------------------------------

// Some lines come with every query when something is wrong with the machine. The lock of the stream is held.
static bool may_log(void)
{
	static uint64_t second;
	static unsigned lines;
	uint64_t now = clock_us() / 1000000;
	if (now != second) {
		if (lines > LOG_LINES_PER_SECOND)
			log_warning("recursion: %u more lines left out", lines - LOG_LINES_PER_SECOND);
		second = now;
		lines = 0;
	}
	return ++lines <= LOG_LINES_PER_SECOND;
}

// "[1700000000] libunbound[123:0] error: text": the library's words without its own time and name.
static ssize_t log_line_of_library(void *ctx, const char *line, size_t bytes)
{
	(void)ctx;
	const char *text = memmem(line, bytes, "] libunbound[", 13), *end = line + bytes;
	text = text ? memchr(text + 13, ']', (size_t)(end - text - 13)) : NULL;
	text = text ? text + 1 : line;
	while (text < end && *text == ' ')
		text++;
	while (end > text && (end[-1] == '\n' || end[-1] == ' '))
		end--;
	bool is_error = end - text > 6 && memcmp(text, "error:", 6) == 0;
	if (end > text && may_log())
		log_line(is_error ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "recursion: %.*s", (int)(end - text), text);
	return (ssize_t)bytes;
}

// The library has global state that is made with the first question to a context and unmade with the context, without a
// lock of its own.
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

// One for all contexts, because the library has but one. It is never closed.
static FILE *library_log;

static void open_log(void)
{
	library_log = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = log_line_of_library });
	if (library_log)
		setlinebuf(library_log);
}

static int apply(struct ub_ctx *ctx, const struct setting *s)
{
	switch (s->kind) {
	case SET_OPTION:
		return ub_ctx_set_option(ctx, s->name, s->value);
	case SET_STUB:
		return ub_ctx_set_stub(ctx, s->name, s->value, 0);
	case SET_ANCHOR:
		return ub_ctx_add_ta(ctx, s->value);
	}
	return 0;
}

static int set_size(struct ub_ctx *ctx, const char *option, size_t bytes)
{
	char text[24];
	snprintf(text, sizeof(text), "%zu", bytes);
	return ub_ctx_set_option(ctx, option, text);
}

// Half of a thread's memory is for the context that most questions go to. Of it, records get twice as much as the messages that
// refer to them, as the library's manual advises.
static int set_sizes(struct ub_ctx *ctx, const struct library_settings *s, bool is_main)
{
	size_t bytes = s->cache_bytes / (is_main ? 2 : 6);
	int error = set_size(ctx, "msg-cache-size:", bytes / 4);
	error |= set_size(ctx, "rrset-cache-size:", bytes / 2);
	error |= set_size(ctx, "key-cache-size:", bytes / 8);
	return error | set_size(ctx, "neg-cache-size:", bytes / 8);
}

static struct ub_ctx *make_context(const struct library_settings *s, struct event_base *base, bool validates, bool is_main)
{
	if (!library_log)
		open_log();
	struct ub_ctx *ctx = ub_ctx_create_event(base);
	if (!ctx) {
		log_error("recursion: no memory for libunbound");
		return NULL;
	}
	if (library_log)
		ub_ctx_debugout(ctx, library_log);
	int error = ub_ctx_set_option(ctx, "module-config:", validates ? "validator iterator" : "iterator");
	error |= set_sizes(ctx, s, is_main);
	for (unsigned i = 0; i < s->count && !error; i++) {
		error = apply(ctx, &s->setting[i]);
		if (error)
			log_error("recursion: libunbound refuses %s %s: %s", s->setting[i].name, s->setting[i].value,
				ub_strerror(error));
	}
	if (!error)
		return ctx;
	ub_ctx_delete(ctx);
	return NULL;
}

struct ub_ctx *library_context(const struct library_settings *s, struct event_base *base, bool validates, bool is_main)
{
	pthread_mutex_lock(&making);
	struct ub_ctx *ctx = make_context(s, base, validates, is_main);
	pthread_mutex_unlock(&making);
	return ctx;
}

bool library_ask(struct ub_ctx *context, bool first, const uint8_t *name, uint16_t type, uint16_t class,
	ub_event_callback_type done, void *ctx)
{
	char text[NAME_TEXT_BYTES];
	if (first)
		pthread_mutex_lock(&making);
	int error = ub_resolve_event(context, name_to_text(text, name), type, class, ctx, done, NULL);
	if (first)
		pthread_mutex_unlock(&making);
	if (error)
		log_warning("recursion: libunbound does not take %s: %s", text, ub_strerror(error));
	return !error;
}

void library_context_free(struct ub_ctx *ctx)
{
	pthread_mutex_lock(&making);
	ub_ctx_delete(ctx);
	pthread_mutex_unlock(&making);
}

// --- results ---------------------------------------------------------------------------------------

// The library's reasons, most telling first, as codes of RFC 8914 4.
static enum extended_error reason_of(const char *why)
{
	static const struct {
		const char *words;
		enum extended_error code;
	} reasons[] = {
		{ "signature expired", EDE_SIGNATURE_EXPIRED },
		{ "before inception", EDE_SIGNATURE_NOT_YET_VALID },
		{ "no signatures", EDE_RRSIGS_MISSING },
		{ "missing signature", EDE_RRSIGS_MISSING },
		{ "DNSKEY", EDE_DNSKEY_MISSING },
		{ "no keys have a DS", EDE_DNSKEY_MISSING },
		{ "NSEC", EDE_NSEC_MISSING },
		{ "no DNSSEC records", EDE_NSEC_MISSING },
	};
	for (unsigned i = 0; why && i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (strstr(why, reasons[i].words))
			return reasons[i].code;
	return EDE_BOGUS;
}

static void fail(struct recursor_answer *to, enum extended_error why, const char *text)
{
	message_clear(&to->message);
	to->rcode = RCODE_SERVFAIL;
	to->why = why;
	strlcpy(to->text, text ? text : "", sizeof(to->text));
}

// YXDOMAIN: a DNAME made the name too long, RFC 6672 2.2.
static bool is_answer(const struct message *m)
{
	return m->rcode == RCODE_NOERROR || m->rcode == RCODE_NXDOMAIN || m->rcode == RCODE_YXDOMAIN;
}

// The library lets records of other classes through. They are no part of the answer (RFC 1034 3.6).
static void drop_foreign_classes(struct message *m)
{
	unsigned kept = 0, from = 0;
	for (unsigned section = 0; section < SECTION_COUNT; section++) {
		for (; from < m->section_at[section + 1]; from++)
			if (m->rr[from].class == m->class)
				m->rr[kept++] = m->rr[from];
		m->section_at[section + 1] = kept;
	}
}

// A result of 0 says that there is a message, not what it says: NXDOMAIN stands in it alone. Bogus data come as if
// nothing were wrong with them (RFC 4035 5.5 wants SERVFAIL).
void library_read_answer(struct recursor_answer *to, int rcode, const void *packet, int bytes, int security,
	const char *why_bogus)
{
	*to = (struct recursor_answer){ .why = EDE_NONE };
	if (rcode != 0) {
		fail(to, EDE_NO_REACHABLE_AUTHORITY, why_bogus);
		return;
	}
	to->security = security == SECURE ? SECURITY_SECURE : security == BOGUS ? SECURITY_BOGUS : SECURITY_INSECURE;
	if (to->security == SECURITY_BOGUS) {
		fail(to, reason_of(why_bogus), why_bogus);
		return;
	}
	if (!packet || bytes < 0 || message_read(&to->message, packet, (size_t)bytes) != ST_OK ||
		!is_answer(&to->message)) {
		to->security = SECURITY_NONE;
		fail(to, EDE_NO_REACHABLE_AUTHORITY, "");
		return;
	}
	drop_foreign_classes(&to->message);
	to->rcode = (enum rcode)to->message.rcode;
}
