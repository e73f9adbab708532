// SPDX-License-Identifier: BSD-3-Clause
#include <dlfcn.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <pollux/log.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

#include "plugin.h"
#include "watchdog.h"

struct pollux_event {
	LIST_ENTRY(pollux_event) link;
	struct plugin *plugin;
	struct event *event;
	void (*run)(void *ctx);
	void *ctx;
	unsigned state; // the number of that it belongs to
	bool once;
};

uint64_t plugin_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct timeval time_of(unsigned ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

static struct plugin *plugin_of(const struct pollux_host *host)
{
	return (struct plugin *)((uintptr_t)host - offsetof(struct plugin, host));
}

// --- timed calls ---

static uint64_t begin_call(struct plugin *p, const char *what)
{
	p->counters.calls++;
	watchdog_enter(p->watchdog, p->name, p->file, what);
	return plugin_now_ms();
}

static void put_to_rest(struct plugin *p, uint64_t until_ms, const char *why)
{
	p->rests_until_ms = until_ms;
	p->slow_in_row = p->late_in_row = 0;
	if (until_ms == UINT64_MAX)
		log_error("plugin %s: %u %s in a row: it is disabled until config reload", p->name,
			PLUGIN_IN_ROW_MAX, why);
	else
		log_warning("plugin %s: %u %s in a row: it is not asked for %u s", p->name, PLUGIN_IN_ROW_MAX,
			why, PLUGIN_REST_MS / 1000);
}

static void end_call(struct plugin *p, const char *what, uint64_t began_ms)
{
	uint64_t took_ms = plugin_now_ms() - began_ms;
	watchdog_leave(p->watchdog);
	if (took_ms <= p->time_limit_ms) {
		p->slow_in_row = 0;
		return;
	}
	p->counters.slow++;
	log_warning("plugin %s: %s took %llu ms, %u are its limit", p->name, what,
		(unsigned long long)took_ms, p->time_limit_ms);
	if (++p->slow_in_row >= PLUGIN_IN_ROW_MAX)
		put_to_rest(p, UINT64_MAX, "slow calls");
}

bool plugin_is_awake(const struct plugin *p)
{
	return p->door && (!p->rests_until_ms || plugin_now_ms() >= p->rests_until_ms);
}

enum pollux_result plugin_lookup(
	struct plugin *p, const struct pollux_question *q, struct pollux_reply *reply)
{
	uint64_t began = begin_call(p, "lookup");
	enum pollux_result result = p->door->lookup(p->state, q, reply);
	end_call(p, "lookup", began);
	return result;
}

enum pollux_result plugin_opcode(
	struct plugin *p, const struct pollux_question *q, struct pollux_reply *reply)
{
	uint64_t began = begin_call(p, "opcode");
	enum pollux_result result = p->door->opcode(p->state, q, reply);
	end_call(p, "opcode", began);
	return result;
}

static enum pollux_access judged(struct plugin *p, enum pollux_access access)
{
	p->counters.refused += access == POLLUX_REFUSE;
	p->counters.dropped += access == POLLUX_DROP;
	return access;
}

enum pollux_access plugin_allow(struct plugin *p, const struct pollux_question *q)
{
	uint64_t began = begin_call(p, "allow");
	enum pollux_access access = p->door->allow(p->state, q);
	end_call(p, "allow", began);
	return judged(p, access);
}

enum pollux_access plugin_accept(struct plugin *p, const struct sockaddr *client)
{
	uint64_t began = begin_call(p, "accept");
	enum pollux_access access = p->door->accept(p->state, client);
	end_call(p, "accept", began);
	return judged(p, access);
}

void plugin_respond(struct plugin *p, const struct pollux_question *q, struct pollux_reply *reply)
{
	uint64_t began = begin_call(p, "respond");
	p->door->respond(p->state, q, reply);
	end_call(p, "respond", began);
}

// --- replies ---

static unsigned added_count(const struct pollux_reply *reply, enum section section)
{
	return reply->added[section].section_at[SECTION_COUNT];
}

static void clear_reply(struct pollux_reply *reply)
{
	for (unsigned i = 0; i < SECTION_COUNT; i++) {
		message_clear(&reply->added[i]);
		reply->added[i] = (struct message){ 0 };
	}
	if (reply->deadline)
		event_free(reply->deadline);
	free(reply->text);
	reply->deadline = NULL;
	reply->text = NULL;
}

// Replies are used again, never given back while the plugin is there, so that a second complete() hits a
// reply that knows.
static struct pollux_reply *take_free_reply(struct plugin *p)
{
	struct pollux_reply *reply = LIST_FIRST(&p->free);
	if (!reply)
		return calloc(1, sizeof(*reply));
	LIST_REMOVE(reply, link);
	return reply;
}

struct pollux_reply *plugin_reply_new(struct plugin *p, struct ask *ask)
{
	struct pollux_reply *reply = p->open_count < PLUGIN_REPLIES_MAX ? take_free_reply(p) : NULL;
	if (!reply) {
		p->counters.passed_by++;
		return NULL;
	}
	*reply = (struct pollux_reply){
		.plugin = p, .ask = ask, .stage = REPLY_OPEN, .room_octets = DNS_MAX_BYTES
	};
	LIST_INSERT_HEAD(&p->open, reply, link);
	p->open_count++;
	return reply;
}

void plugin_reply_free(struct pollux_reply *reply)
{
	struct plugin *p = reply->plugin;
	clear_reply(reply);
	pthread_mutex_lock(&p->mailbox->lock);
	if (reply->stage ==
		REPLY_COMPLETED) // complete() was called, and then the function did not return POLLUX_WAIT
		STAILQ_REMOVE(&p->mailbox->completed, reply, pollux_reply, completed);
	reply->stage = REPLY_FREE;
	pthread_mutex_unlock(&p->mailbox->lock);
	LIST_REMOVE(reply, link);
	LIST_INSERT_HEAD(&p->free, reply, link);
	p->open_count--;
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct pollux_reply *reply = ctx;
	struct plugin *p = reply->plugin;
	p->counters.late++;
	if (++p->late_in_row >= PLUGIN_IN_ROW_MAX)
		put_to_rest(p, plugin_now_ms() + PLUGIN_REST_MS, "deadlines passed");
	p->on_deadline(reply);
}

bool plugin_reply_await(struct pollux_reply *reply)
{
	struct timeval wait = time_of(reply->plugin->deadline_ms);
	reply->deadline = event_new(reply->plugin->base, -1, 0, on_deadline, reply);
	return reply->deadline && event_add(reply->deadline, &wait) == 0;
}

void plugin_reply_give_up(struct pollux_reply *reply)
{
	reply->ask = NULL;
	if (reply->deadline)
		event_free(reply->deadline);
	reply->deadline = NULL;
}

bool plugin_reply_message(const struct pollux_reply *reply, struct message *m)
{
	unsigned count = 0;
	*m = (struct message){ .rcode = (uint16_t)reply->rcode };
	for (unsigned s = 0; s < SECTION_COUNT; s++)
		m->section_at[s + 1] = count += added_count(reply, s);
	m->rr = calloc(count + 1u, sizeof(*m->rr));
	for (unsigned s = 0; m->rr && s < SECTION_COUNT; s++) {
		if (added_count(reply, s))
			memcpy(m->rr + m->section_at[s], reply->added[s].rr,
				added_count(reply, s) * sizeof(*m->rr));
	}
	return m->rr;
}

// --- what a plugin can call ---

__attribute__((format(printf, 3, 4))) static void host_log(
	const struct pollux_host *host, enum pollux_log_level level, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
	log_line((unsigned)level < LOG_LEVEL_COUNT ? (enum log_level)level : LOG_LEVEL_INFO, "plugin %s: %s",
		host->name, text);
}

static bool is_open(const struct pollux_reply *reply)
{
	return reply && reply->stage == REPLY_OPEN;
}

static bool add_record(struct pollux_reply *reply, enum pollux_section section, const struct message_rr *rr)
{
	uint32_t octets = name_length(rr->owner, NAME_MAX_BYTES) + 10u + rr->rdata_bytes;
	if (reply->octets + octets > reply->room_octets)
		return false;
	struct message *m = &reply->added[section];
	// A message whose one section is the last, so that message_add() is always in order.
	if (message_add(m, SECTION_ADDITIONAL, rr) != ST_OK)
		return false;
	reply->octets += octets;
	return true;
}

static bool host_add_wire(struct pollux_reply *reply, enum pollux_section section, const uint8_t *owner,
	uint16_t type, uint32_t ttl, const uint8_t *rdata, uint16_t rdata_bytes)
{
	if (!is_open(reply) || (unsigned)section >= SECTION_COUNT)
		return false;
	const char *wrong =
		!owner || !name_length(owner, NAME_MAX_BYTES) ? "its owner is no name"
		: !rdata && rdata_bytes			      ? "it has no RDATA"
		: type == TYPE_OPT || type == TYPE_ANY || type == TYPE_AXFR || type == TYPE_IXFR || type == 0
			? "no record has its type"
			: rdata_check(type, rdata, rdata_bytes);
	if (wrong) {
		reply->plugin->counters.errors++;
		log_error("plugin %s: a record of type %u is refused: %s", reply->plugin->name, type, wrong);
		return false;
	}
	const struct message_rr rr = { owner, rdata, ttl < TTL_MAX_S ? ttl : TTL_MAX_S, type, CLASS_IN,
		rdata_bytes };
	return add_record(reply, section, &rr);
}

struct text_record {
	struct pollux_reply *reply;
	enum pollux_section section;
	unsigned records;
	bool added;
};

static enum status take_text_record(void *ctx, const struct record *record)
{
	struct text_record *text = ctx;
	const struct message_rr rr = { record->owner, record->rdata, record->ttl, record->type, record->class,
		record->rdata_bytes };
	text->added =
		!text->records++ && record->class == CLASS_IN && add_record(text->reply, text->section, &rr);
	return ST_OK;
}

static void log_text_error(
	void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	const struct plugin *p = ctx;
	(void)severity, (void)file, (void)line;
	log_error("plugin %s: a record is refused: column %u: %s", p->name, column, text);
}

static bool host_add(struct pollux_reply *reply, enum pollux_section section, const char *record)
{
	static const uint8_t root[1] = { 0 };
	char line[4096];
	if (!is_open(reply) || (unsigned)section >= SECTION_COUNT || !record)
		return false;
	struct plugin *p = reply->plugin;
	struct report report = { .emit = log_text_error, .ctx = p };
	struct text_record text = { reply, section, 0, false };
	int bytes = snprintf(line, sizeof(line), "%s\n", record);
	if ((size_t)bytes >= sizeof(line) || strpbrk(record, "\n\r$")) {
		p->counters.errors++;
		log_error("plugin %s: a record is refused: it is not one line of a zone file", p->name);
		return false;
	}
	if (zonefile_read_text(line, (size_t)bytes, p->name, root, take_text_record, &text, &report) != ST_OK)
		p->counters.errors++;
	return text.added;
}

static void host_set_rcode(struct pollux_reply *reply, unsigned rcode)
{
	if (is_open(reply) && !reply->there && rcode <= 0xfff)
		reply->rcode = rcode;
}

static unsigned host_rcode(const struct pollux_reply *reply)
{
	return is_open(reply) ? reply->there ? reply->there->rcode : reply->rcode : 0;
}

static unsigned there_count(const struct pollux_reply *reply, enum pollux_section section)
{
	return reply->there ? reply->there->section_at[section + 1] - reply->there->section_at[section] : 0;
}

static unsigned host_count(const struct pollux_reply *reply, enum pollux_section section)
{
	if (!is_open(reply) || (unsigned)section >= SECTION_COUNT)
		return 0;
	return there_count(reply, section) + added_count(reply, (enum section)section);
}

static const char *host_record(struct pollux_reply *reply, enum pollux_section section, unsigned index)
{
	if (index >= host_count(reply, section))
		return NULL;
	unsigned there = there_count(reply, section);
	const struct message_rr *rr = index < there
					      ? &reply->there->rr[reply->there->section_at[section] + index]
					      : &reply->added[section].rr[index - there];
	char owner[NAME_TEXT_BYTES], type[16];
	size_t head_room = NAME_TEXT_BYTES + 48,
	       bytes = rdata_to_text(NULL, 0, rr->type, rr->rdata, rr->rdata_bytes);
	free(reply->text);
	reply->text = malloc(head_room + bytes + 1);
	if (!reply->text)
		return NULL;
	int head = snprintf(reply->text, head_room, "%s %u IN %s ", name_to_text(owner, rr->owner), rr->ttl,
		rrtype_to_text(type, rr->type));
	rdata_to_text(reply->text + head, bytes + 1, rr->type, rr->rdata, rr->rdata_bytes);
	return reply->text;
}

static void host_complete(struct pollux_reply *reply, enum pollux_result result)
{
	static const uint64_t one = 1;
	struct plugin_mailbox *mailbox = reply->plugin->mailbox;
	pthread_mutex_lock(&mailbox->lock);
	bool open = reply->stage == REPLY_OPEN;
	if (open) {
		reply->stage = REPLY_COMPLETED;
		reply->result = result;
		STAILQ_INSERT_TAIL(&mailbox->completed, reply, completed);
	}
	pthread_mutex_unlock(&mailbox->lock);
	if (!open)
		log_error("plugin %s: completes a reply a second time", reply->plugin->name);
	else if (write(mailbox->fd, &one, sizeof(one)) != sizeof(one))
		log_error("plugin %s: nobody hears that a reply is complete", reply->plugin->name);
}

static void free_event(struct pollux_event *e)
{
	LIST_REMOVE(e, link);
	if (e->event)
		event_free(e->event);
	free(e);
}

static void on_event(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct pollux_event *e = ctx;
	struct plugin *p = e->plugin;
	void (*run)(void *) = e->run;
	void *run_ctx = e->ctx;
	if (e->once)
		free_event(e);
	uint64_t began = begin_call(p, "an event");
	run(run_ctx);
	end_call(p, "an event", began);
}

static struct pollux_event *add_event(const struct pollux_host *host, int fd, short what,
	const struct timeval *wait, void (*run)(void *ctx), void *ctx)
{
	struct plugin *p = plugin_of(host);
	struct pollux_event *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	*e = (struct pollux_event){ .plugin = p, .run = run, .ctx = ctx, .state = p->states, .once = wait };
	LIST_INSERT_HEAD(&p->events, e, link);
	e->event = event_new(p->base, fd, what, on_event, e);
	if (e->event && event_add(e->event, wait) == 0)
		return e;
	free_event(e);
	return NULL;
}

static struct pollux_event *host_after(
	const struct pollux_host *host, unsigned ms, void (*run)(void *ctx), void *ctx)
{
	struct timeval wait = time_of(ms);
	return add_event(host, -1, 0, &wait, run, ctx);
}

static struct pollux_event *host_when_readable(
	const struct pollux_host *host, int fd, void (*run)(void *ctx), void *ctx)
{
	return add_event(host, fd, EV_READ | EV_PERSIST, NULL, run, ctx);
}

static void host_forget(struct pollux_event *e)
{
	if (e)
		free_event(e);
}

// --- loading ---

__attribute__((format(printf, 2, 3))) static bool fail(struct plugin *p, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(p->failed, sizeof(p->failed), format, args);
	va_end(args);
	log_error("plugin %s: %s: %s", p->name, p->file, p->failed);
	return false;
}

uint64_t plugin_stamp(const char *file)
{
	struct stat st;
	if (stat(file, &st) != 0)
		return 0;
	uint64_t mix =
		name_mix(st.st_dev ^ UINT64_C(0x9e3779b97f4a7c15), st.st_ino ^ UINT64_C(0xd6e8feb86659fd93));
	mix = name_mix(mix ^ (uint64_t)st.st_mtim.tv_sec,
		(uint64_t)st.st_mtim.tv_nsec ^ UINT64_C(0xa0761d6478bd642f));
	return (mix ^ (uint64_t)st.st_size) | 1;
}

static bool sizes_are_ours(struct plugin *p, const struct pollux_plugin *door)
{
	const struct {
		const char *what;
		size_t theirs, ours;
	} sizes[] = {
		{ "pollux_plugin", door->size, sizeof(struct pollux_plugin) },
		{ "pollux_host", door->host_size, sizeof(struct pollux_host) },
		{ "pollux_question", door->question_size, sizeof(struct pollux_question) },
	};
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (sizes[i].theirs != sizes[i].ours)
			return fail(p,
				"its struct %s has %zu octets, that of this Pollux %zu: build it with the "
				"plugin.h of this version",
				sizes[i].what, sizes[i].theirs, sizes[i].ours);
	}
	return true;
}

static bool check_door(struct plugin *p, const struct pollux_plugin *door)
{
	if (!door)
		return fail(p, "exports no pollux_plugin, so it is none");
	if (door->abi != POLLUX_ABI)
		return fail(p, "is made for version %u of the plugin interface, this Pollux has %u",
			door->abi, POLLUX_ABI);
	if (!sizes_are_ours(p, door))
		return false;
	if (!door->lookup && !door->opcode && !door->allow && !door->accept && !door->respond)
		return fail(p, "has none of lookup, opcode, allow, accept and respond");
	if (door->opcode && (!door->opcodes || door->opcodes & ~UINT32_C(0xfffe)))
		return fail(p, "handles opcodes 0x%x, bits 1 to 15 may be set", door->opcodes);
	return true;
}

static bool init_state(struct plugin *p, const struct pollux_plugin *door, const char *options, void **state)
{
	*state = NULL;
	if (!door->init)
		return true;
	uint64_t began = begin_call(p, "init");
	bool good = door->init(&p->host, options, state);
	end_call(p, "init", began);
	return good;
}

static bool open_library(struct plugin *p)
{
	p->stamp = plugin_stamp(p->file);
	if (p->watchdog && plugin_watchdog_blames(p->watchdog, p->file))
		return fail(p, "control ended in one of its calls, so it is left out until config reload");
	watchdog_enter(p->watchdog, p->name, p->file, "dlopen");
	p->library = dlopen(p->file, RTLD_NOW | RTLD_LOCAL);
	watchdog_leave(p->watchdog);
	if (!p->library) {
		const char *why = dlerror();
		size_t skip = why ? strlen(p->file) : 0;
		if (why && strncmp(why, p->file, skip) == 0 && strncmp(why + skip, ": ", 2) == 0)
			why += skip + 2;
		return fail(p, "cannot be loaded: %s", why ? why : "?");
	}
	const struct pollux_plugin *door = dlsym(p->library, "pollux_plugin");
	if (!check_door(p, door))
		return false;
	if (!init_state(p, door, p->options, &p->state))
		return fail(p, "its init has failed");
	p->started = true;
	p->door = door;
	return true;
}

static const struct pollux_host host_functions = {
	.size = sizeof(struct pollux_host),
	.log = host_log,
	.add = host_add,
	.add_wire = host_add_wire,
	.set_rcode = host_set_rcode,
	.rcode = host_rcode,
	.count = host_count,
	.record = host_record,
	.complete = host_complete,
	.after = host_after,
	.when_readable = host_when_readable,
	.forget = host_forget,
};

void plugin_set_limits(struct plugin *p, const struct plugin_config *config)
{
	p->time_limit_ms = config->time_limit_ms;
	p->deadline_ms = config->deadline_ms;
	p->every_question = config->every_question;
}

struct plugin *plugin_load(const struct plugin_config *config, struct event_base *base,
	struct plugin_mailbox *mailbox, struct plugin_watchdog *watchdog,
	void (*deadline)(struct pollux_reply *))
{
	struct plugin *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->name = strdup(config->name);
	p->file = strdup(config->file);
	p->options = strdup(config->options ? config->options : "");
	p->base = base;
	p->mailbox = mailbox;
	p->watchdog = watchdog;
	p->on_deadline = deadline;
	p->host = host_functions;
	p->host.name = p->name;
	LIST_INIT(&p->open);
	LIST_INIT(&p->free);
	LIST_INIT(&p->events);
	plugin_set_limits(p, config);
	if (!p->name || !p->file || !p->options) {
		plugin_unload(p);
		return NULL;
	}
	if (open_library(p))
		log_info("plugin %s: loaded from %s%s%s", p->name, p->file, p->door->about ? ": " : "",
			p->door->about ? p->door->about : "");
	return p;
}

static void end_state(struct plugin *p, const struct pollux_plugin *door, void *state)
{
	if (!door->fini)
		return;
	uint64_t began = begin_call(p, "fini");
	door->fini(state);
	end_call(p, "fini", began);
}

static void free_events(struct plugin *p, unsigned first_state, unsigned last_state)
{
	struct pollux_event *e, *next;
	LIST_FOREACH_SAFE(e, &p->events, link, next)
	{
		if (e->state >= first_state && e->state <= last_state)
			free_event(e);
	}
}

static void empty_mailbox(struct plugin *p)
{
	struct pollux_reply *reply, *next;
	pthread_mutex_lock(&p->mailbox->lock);
	STAILQ_FOREACH_SAFE(reply, &p->mailbox->completed, completed, next)
	{
		if (reply->plugin != p)
			continue;
		STAILQ_REMOVE(&p->mailbox->completed, reply, pollux_reply, completed);
		reply->stage = REPLY_TAKEN;
	}
	pthread_mutex_unlock(&p->mailbox->lock);
}

bool plugin_set_options(struct plugin *p, const char *options)
{
	char *own = strdup(options);
	void *state;
	p->states++;
	if (!own || !init_state(p, p->door, own, &state)) {
		log_error("plugin %s: its init has failed with the new options; it goes on with the old ones",
			p->name);
		free_events(p, p->states, p->states);
		p->states--;
		free(own);
		return false;
	}
	end_state(p, p->door, p->state);
	free_events(p, 0, p->states - 1);
	empty_mailbox(p);
	while (!LIST_EMPTY(&p->open))
		plugin_reply_free(LIST_FIRST(&p->open));
	free(p->options);
	p->options = own;
	p->state = state;
	return true;
}

static void free_replies(struct reply_list *list)
{
	struct pollux_reply *reply;
	while ((reply = LIST_FIRST(list))) {
		LIST_REMOVE(reply, link);
		clear_reply(reply);
		free(reply);
	}
}

void plugin_unload(struct plugin *p)
{
	if (p->started)
		end_state(p, p->door, p->state);
	free_events(p, 0, UINT_MAX);
	if (p->mailbox)
		empty_mailbox(p);
	free_replies(&p->open);
	free_replies(&p->free);
	if (p->library)
		dlclose(p->library);
	free(p->name);
	free(p->file);
	free(p->options);
	free(p);
}
