// SPDX-License-Identifier: BSD-3-Clause
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <pollux/log.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "plugins.h"

TAILQ_HEAD(plugin_list, plugin);

struct plugins {
	struct resolver *resolver;
	struct event_base *base;
	struct plugin_list list;
	struct plugin_mailbox mailbox;
	struct event *mail;
	struct plugin_watchdog *watchdog; // made with the first plugin
	uint16_t opcodes;		  // those that are registered
	uint8_t draft[DNS_MAX_BYTES];	  // a reply with what was added to it
};

static struct plugins *plugins_of(const struct resolver *r)
{
	return r->state[STEP_PLUGINS];
}

// --- what plugins see of a question ---

struct shown_question {
	struct pollux_question question;
	char name[NAME_TEXT_BYTES];
};

static const struct pollux_question *show_question(
	struct shown_question *to, const struct ask *ask, const uint8_t *name)
{
	const struct query *q = &ask->query;
	bool has_question = q->question_bytes > 0;
	to->name[0] = 0;
	if (has_question)
		name_to_text(to->name, name);
	to->question = (struct pollux_question){
		.name = to->name,
		.wire_name = has_question ? name : (const uint8_t *)"",
		.wire_name_bytes = has_question ? (uint16_t)name_length(name, NAME_MAX_BYTES) : 0,
		.qtype = q->type,
		.qclass = q->class,
		.opcode = (q->flags & FLAG_OPCODE) >> 11,
		.message_bytes =
			q->flags & FLAG_OPCODE ? q->bytes : (uint16_t)(DNS_HEADER_BYTES + q->question_bytes),
		.message = q->wire,
		.client = (const struct sockaddr *)&ask->asker.address,
		.over_tcp = ask->asker.transport == OVER_TCP,
		.recursion_desired = q->flags & FLAG_RD,
		.checking_disabled = q->flags & FLAG_CD,
		.dnssec_ok = q->dnssec_ok,
	};
	return &to->question;
}

static const uint8_t *asked_name(const struct ask *ask)
{
	return ask->query.wire + DNS_HEADER_BYTES;
}

// --- the step ---

static enum outcome answer_with(struct ask *ask, struct pollux_reply *reply)
{
	static const struct verdict verdict = { 0, EDE_NONE };
	struct message m;
	if (!plugin_reply_message(reply, &m))
		return PASS;
	enum outcome outcome = ask_reply(ask, &m, &verdict);
	free(m.rr);
	reply->plugin->counters.answers++;
	ask_note(ask, "%s: %u records", reply->plugin->name, m.section_at[SECTION_COUNT]);
	return outcome;
}

// What a plugin has said, at once or later. The reply is not needed any more.
static enum outcome take_result(struct ask *ask, struct pollux_reply *reply, enum pollux_result result)
{
	struct plugin *p = reply->plugin;
	enum outcome outcome = PASS;
	if (result == POLLUX_ANSWER) {
		outcome = answer_with(ask, reply);
	} else if (result == POLLUX_ERROR) {
		p->counters.errors++;
		ask->rcode = reply->rcode ? reply->rcode : RCODE_SERVFAIL;
		ask_note(ask, "%s: error", p->name);
		outcome = ERROR;
	} else if (result != POLLUX_PASS) {
		p->counters.errors++;
		log_error("plugin %s: returns %d, which means nothing", p->name, (int)result);
	}
	plugin_reply_free(reply);
	return outcome;
}

static void forget(struct ask *ask)
{
	plugin_reply_give_up(ask->step_ctx);
	ask->step_ctx = NULL;
}

// The plugin keeps the reply until it completes it, the question goes on when it takes too long.
static enum outcome await(struct ask *ask, struct pollux_reply *reply)
{
	if (!plugin_reply_await(reply)) {
		plugin_reply_give_up(reply);
		return PASS;
	}
	ask->step_ctx = reply;
	ask->forget = forget;
	return WAIT;
}

static enum outcome ask_plugin(struct ask *ask, struct plugin *p)
{
	struct shown_question shown;
	const struct pollux_question *question = show_question(&shown, ask, ask_name(ask));
	struct pollux_reply *reply = plugin_reply_new(p, ask);
	if (!reply)
		return PASS;
	enum pollux_result result =
		question->opcode ? plugin_opcode(p, question, reply) : plugin_lookup(p, question, reply);
	return result == POLLUX_WAIT ? await(ask, reply) : take_result(ask, reply, result);
}

static bool handles(const struct plugin *p, unsigned opcode)
{
	return p->door &&
	       (opcode ? p->door->opcode && p->door->opcodes >> opcode & 1 : p->door->lookup != NULL);
}

// From this plugin on.
static enum outcome ask_from(struct ask *ask, struct plugin *p)
{
	unsigned opcode = (ask->query.flags & FLAG_OPCODE) >> 11;
	for (; p; p = TAILQ_NEXT(p, link)) {
		if (!handles(p, opcode))
			continue;
		if (!plugin_is_awake(p)) {
			p->counters.passed_by++;
			continue;
		}
		enum outcome outcome = ask_plugin(ask, p);
		if (outcome != PASS)
			return outcome;
	}
	return PASS;
}

// RD=0 is about what this server knows by authority or has learned (RFC 1035 4.1.1).
static enum outcome from_plugins(struct ask *ask, void *state)
{
	struct plugins *s = state;
	if (TAILQ_EMPTY(&s->list) || ask->query.class != CLASS_IN || !(ask->query.flags & FLAG_RD))
		return PASS;
	return ask_from(ask, TAILQ_FIRST(&s->list));
}

static enum outcome on_opcode(void *ctx, struct ask *ask)
{
	struct plugins *s = ctx;
	return ask_from(ask, TAILQ_FIRST(&s->list));
}

static void on_deadline(struct pollux_reply *reply)
{
	struct ask *ask = reply->ask;
	struct plugin *p = reply->plugin;
	plugin_reply_give_up(reply);
	if (!ask)
		return;
	ask_note(ask, "%s: not within %u ms", p->name, p->deadline_ms);
	ask_resume(ask, ask_from(ask, TAILQ_NEXT(p, link)));
}

static void take_completed(struct pollux_reply *reply)
{
	struct ask *ask = reply->ask;
	struct plugin *p = reply->plugin;
	if (!ask || reply->result == POLLUX_WAIT) {
		if (!ask)
			plugin_reply_free(reply); // too late
		else
			ask_resume(
				ask, take_result(ask, reply, POLLUX_WAIT)); // which is no result, and said so
		return;
	}
	p->late_in_row = 0;
	enum outcome outcome = take_result(ask, reply, reply->result);
	ask_resume(ask, outcome == PASS ? ask_from(ask, TAILQ_NEXT(p, link)) : outcome);
}

static struct pollux_reply *next_completed(struct plugin_mailbox *mailbox)
{
	pthread_mutex_lock(&mailbox->lock);
	struct pollux_reply *reply = STAILQ_FIRST(&mailbox->completed);
	if (reply) {
		STAILQ_REMOVE_HEAD(&mailbox->completed, completed);
		reply->stage = REPLY_TAKEN;
	}
	pthread_mutex_unlock(&mailbox->lock);
	return reply;
}

static void on_mail(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct plugins *s = ctx;
	struct pollux_reply *reply;
	uint64_t count;
	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return;
	while ((reply = next_completed(&s->mailbox)))
		take_completed(reply);
}

// --- the hooks ---

enum pollux_access plugins_allow(struct ask *ask)
{
	const struct plugins *s = plugins_of(ask->resolver);
	struct shown_question shown;
	const struct pollux_question *question = NULL;
	struct plugin *p;
	TAILQ_FOREACH(p, &s->list, link)
	{
		if (!p->door || !p->door->allow || !plugin_is_awake(p) || ask->for_nobody)
			continue;
		if (!question)
			question = show_question(&shown, ask, asked_name(ask));
		enum pollux_access access = plugin_allow(p, question);
		if (access != POLLUX_ALLOW)
			return access;
	}
	return POLLUX_ALLOW;
}

bool plugins_accept(const struct resolver *r, const struct sockaddr *client)
{
	const struct plugins *s = plugins_of(r);
	struct plugin *p;
	TAILQ_FOREACH(p, &s->list, link)
	{
		if (p->door && p->door->accept && plugin_is_awake(p) &&
			plugin_accept(p, client) != POLLUX_ALLOW)
			return false;
	}
	return true;
}

static bool put_sections(struct composer *c, const struct message *there, const struct pollux_reply *reply)
{
	for (unsigned s = 0; s < SECTION_COUNT; s++) {
		const struct message *added = &reply->added[s];
		unsigned first = there->section_at[s], count = there->section_at[s + 1] - first;
		if (count && !composer_add_all(c, s, there->rr + first, count, NULL, NULL))
			return false;
		if (added->section_at[SECTION_COUNT])
			composer_add_all(c, s, added->rr, added->section_at[SECTION_COUNT], NULL, NULL);
	}
	return true;
}

// The reply once more, with what was added; the OPT goes along octet by octet. 0: it stays as it is.
static unsigned write_draft(struct plugins *s, const struct ask *ask, const struct message *there,
	const struct pollux_reply *reply)
{
	struct resolver *r = s->resolver;
	struct composer *c = &r->composer;
	const struct query *q = &ask->query;
	const uint8_t *wire = r->reply.wire;
	unsigned opt_at, opt_bytes = message_find_opt(wire, r->reply.bytes, &opt_at);
	uint32_t limit = answer_limit(&ask->policy, q, ask->asker.transport);
	limit = limit < r->reply.room ? limit : r->reply.room;
	if (limit <= r->reply.bytes || !composer_start(c, s->draft, limit - opt_bytes, there->id,
					       there->flags, asked_name(ask), q->question_bytes, false))
		return 0;
	if (!put_sections(c, there, reply))
		return 0;
	unsigned bytes = composer_end(c, 0, there->rcode & FLAG_RCODE, false);
	memcpy(s->draft + 4, wire + 4, 2); // QDCOUNT: the question may count for several
	if (opt_bytes) {
		memcpy(s->draft + bytes, wire + opt_at, opt_bytes);
		store_be16(s->draft + 10, (uint16_t)(load_be16(s->draft + 10) + 1));
	}
	return bytes + opt_bytes;
}

// Only what reads back as a message goes out.
static void take_draft(struct plugins *s, unsigned bytes)
{
	struct message check;
	struct reply *reply = &s->resolver->reply;
	if (!bytes || message_read(&check, s->draft, bytes) != ST_OK)
		return;
	message_clear(&check);
	memcpy(reply->wire, s->draft, bytes);
	reply->bytes = bytes;
}

static void let_respond(struct plugins *s, struct ask *ask, struct plugin *p)
{
	struct shown_question shown;
	struct message there;
	struct pollux_reply *reply = plugin_reply_new(p, NULL);
	if (!reply)
		return;
	if (message_read(&there, s->resolver->reply.wire, s->resolver->reply.bytes) != ST_OK) {
		plugin_reply_free(reply);
		return;
	}
	reply->there = &there;
	if (there.flags & FLAG_TC)
		reply->room_octets = 0;
	plugin_respond(p, show_question(&shown, ask, asked_name(ask)), reply);
	if (reply->octets) {
		unsigned before = there.section_at[SECTION_COUNT];
		take_draft(s, write_draft(s, ask, &there, reply));
		unsigned now = load_be16(s->resolver->reply.wire + 6) +
			       load_be16(s->resolver->reply.wire + 8) +
			       load_be16(s->resolver->reply.wire + 10) - (there.edns ? 1u : 0u);
		p->counters.added += now > before ? now - before : 0;
	}
	message_clear(&there);
	plugin_reply_free(reply);
}

void plugins_respond(struct ask *ask)
{
	struct plugins *s = plugins_of(ask->resolver);
	struct plugin *p;
	if (!s || !ask->query.question_bytes || ask->for_nobody)
		return;
	TAILQ_FOREACH(p, &s->list, link)
	{
		if (p->door && p->door->respond && plugin_is_awake(p))
			let_respond(s, ask, p);
	}
}

bool plugins_want_all(const struct resolver *r)
{
	const struct plugins *s = plugins_of(r);
	const struct plugin *p;
	TAILQ_FOREACH(p, &s->list, link)
	{
		if (p->door && p->every_question)
			return true;
	}
	return false;
}

void plugins_each(const struct resolver *r, void (*visit)(void *ctx, const struct plugin *), void *ctx)
{
	const struct plugins *s = plugins_of(r);
	const struct plugin *p;
	TAILQ_FOREACH(p, &s->list, link)
	visit(ctx, p);
}

// --- the configuration ---

// Who waits for it is asked of the next step.
static void let_go(struct plugin *p)
{
	struct pollux_reply *reply, *next;
	LIST_FOREACH_SAFE(reply, &p->open, link, next)
	{
		struct ask *ask = reply->ask;
		if (!ask)
			continue;
		plugin_reply_give_up(reply);
		ask_note(ask, "%s: taken out", p->name);
		ask_resume(ask, PASS);
	}
}

static struct plugin *take_former(struct plugin_list *former, const struct plugin_config *config)
{
	struct plugin *p;
	TAILQ_FOREACH(p, former, link)
	{
		if (strcmp(p->name, config->name) == 0) {
			TAILQ_REMOVE(former, p, link);
			return p;
		}
	}
	return NULL;
}

static bool may_stay(const struct plugin *p, const struct plugin_config *config)
{
	return p->door && p->rests_until_ms != UINT64_MAX && strcmp(p->file, config->file) == 0 &&
	       p->stamp == plugin_stamp(config->file);
}

static void set_plugin(struct plugins *s, struct plugin_list *former, const struct plugin_config *config)
{
	const char *options = config->options ? config->options : "";
	struct plugin *p = take_former(former, config);
	if (p && !may_stay(p, config)) {
		let_go(p);
		plugin_unload(p);
		p = NULL;
	}
	if (p) {
		plugin_set_limits(p, config);
		p->rests_until_ms = 0;
		if (strcmp(p->options, options) != 0)
			let_go(p);
		if (strcmp(p->options, options) != 0 && plugin_set_options(p, options))
			log_info("plugin %s: goes on with its new options", p->name);
	} else {
		p = plugin_load(config, s->base, &s->mailbox, s->watchdog, on_deadline);
	}
	if (p)
		TAILQ_INSERT_TAIL(&s->list, p, link);
	else
		log_error("plugin %s: no memory", config->name);
}

static void register_opcodes(struct plugins *s)
{
	uint16_t wanted = 0;
	struct plugin *p;
	TAILQ_FOREACH(p, &s->list, link)
	wanted |= p->door && p->door->opcode ? (uint16_t)p->door->opcodes : 0;
	for (unsigned i = 1; i < 16; i++) {
		uint16_t bit = (uint16_t)(1u << i);
		if ((wanted & bit) == (s->opcodes & bit))
			continue;
		if (resolver_on_opcode(s->resolver, i, 0, wanted & bit ? on_opcode : NULL, s) == ST_OK)
			s->opcodes ^= bit;
		else
			log_error("plugins: opcode %u is handled by Pollux itself", i);
	}
}

static void set_all(struct plugins *s, const struct config *config)
{
	struct plugin_list former = TAILQ_HEAD_INITIALIZER(former);
	struct plugin *p;
	char path[PATH_MAX];
	TAILQ_CONCAT(&former, &s->list, link);
	if (config->plugin_count && !s->watchdog) {
		snprintf(path, sizeof(path), "%s/plugins.blamed", config->state_dir);
		s->watchdog = plugin_watchdog_new(path);
		if (!s->watchdog)
			log_error("plugins: nobody watches how long their calls take: no thread");
	}
	for (unsigned i = 0; i < config->plugin_count; i++)
		set_plugin(s, &former, &config->plugins[i]);
	register_opcodes(s);
	while ((p = TAILQ_FIRST(&former))) {
		TAILQ_REMOVE(&former, p, link);
		let_go(p);
		log_info("plugin %s: unloaded", p->name);
		plugin_unload(p);
	}
}

static void reconfigure(void *state, const struct config *config)
{
	struct plugins *s = state;
	if (s->watchdog)
		plugin_watchdog_forgive(s->watchdog);
	set_all(s, config);
}

static void plugins_free(void *state)
{
	struct plugins *s = state;
	struct plugin *p;
	while ((p = TAILQ_FIRST(&s->list))) {
		struct pollux_reply *reply, *next;
		TAILQ_REMOVE(&s->list, p, link);
		LIST_FOREACH_SAFE(reply, &p->open, link, next)
		{
			struct ask *ask = reply->ask;
			plugin_reply_give_up(reply);
			if (ask)
				ask_drop(ask);
		}
		plugin_unload(p);
	}
	plugin_watchdog_free(s->watchdog);
	if (s->mail)
		event_free(s->mail);
	if (s->mailbox.fd >= 0)
		close(s->mailbox.fd);
	pthread_mutex_destroy(&s->mailbox.lock);
	free(s);
}

static void *plugins_new(struct event_base *base, struct resolver *r, const struct config *config)
{
	struct plugins *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->resolver = r;
	s->base = base;
	TAILQ_INIT(&s->list);
	STAILQ_INIT(&s->mailbox.completed);
	pthread_mutex_init(&s->mailbox.lock, NULL);
	s->mailbox.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->mail = event_new(base, s->mailbox.fd, EV_READ | EV_PERSIST, on_mail, s);
	if (s->mailbox.fd < 0 || !s->mail || event_add(s->mail, NULL) != 0) {
		plugins_free(s);
		return NULL;
	}
	set_all(s, config);
	return s;
}

static void describe(const void *state, char *to, size_t room)
{
	const struct plugins *s = state;
	const struct plugin *p;
	unsigned ready = 0, all = 0;
	TAILQ_FOREACH(p, &s->list, link)
	{
		ready += plugin_is_awake(p);
		all++;
	}
	if (all)
		snprintf(to, room, "plugins: %u, ready: %u", all, ready);
}

static bool in_use(const void *state)
{
	return !TAILQ_EMPTY(&((const struct plugins *)state)->list);
}

const struct step_kind plugins_step = {
	.name = "plugins",
	.help = "the plugins, one after the other",
	.new = plugins_new,
	.reconfigure = reconfigure,
	.free = plugins_free,
	.in_use = in_use,
	.run = from_plugins,
	.describe = describe,
};
