// SPDX-License-Identifier: BSD-3-Clause
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chain.h"
#include "plugins.h"
#include "query_log.h"
#include "reply.h"
#include "turns.h"

// NULL: this build has no such step.
static const struct step_kind *const kinds[STEP_COUNT] = {
	[STEP_OVERRIDES] = &overrides_step,
	[STEP_AUTHORITIES] = &authorities_step,
	[STEP_CACHE] = &cache_step,
	[STEP_HOSTS] = &hosts_step,
	[STEP_PLUGINS] = &plugins_step,
	[STEP_FORWARDERS] = &forwarders_step,
	[STEP_RECURSION] = &recursion_step,
};

const struct step_kind *resolver_step(enum chain_step step)
{
	return kinds[step];
}

bool resolver_uses_step(const struct resolver *r, enum chain_step step)
{
	const struct step_kind *kind = kinds[step];
	return kind && (!kind->in_use || kind->in_use(r->state[step]));
}

bool resolver_holds(const struct resolver *r, const uint8_t *name)
{
	for (unsigned i = 0; i < r->order.count; i++) {
		const struct step_kind *kind = kinds[r->order.step[i]];
		if (kind->holds && kind->holds(r->state[r->order.step[i]], name))
			return true;
	}
	return false;
}

struct chain_order resolver_order(const struct resolver *r)
{
	return r->order;
}

// --- what people see of it ---

static uint64_t clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void trace_begin(struct ask *ask, const char *name)
{
	struct trace *trace = ask->trace;
	if (trace && trace->count < TRACE_STEPS_MAX)
		trace->step[trace->count++] = (struct trace_step){ .name = name, .outcome = "", .began_us = clock_us() };
}

static void trace_end(struct ask *ask, const char *outcome)
{
	struct trace *trace = ask->trace;
	if (!trace || !trace->count)
		return;
	struct trace_step *step = &trace->step[trace->count - 1];
	step->outcome = outcome;
	step->took_us = clock_us() - step->began_us;
}

// --- what the query log sees of it ---

void resolver_log_to(struct resolver *r, struct query_log *log)
{
	r->log = log;
}

static bool is_logged(const struct ask *ask)
{
	return ask->resolver->log && query_log_level(ask->resolver->log) && ask->asker.address.ss_family != AF_UNSPEC;
}

static void log_reply(const struct ask *ask)
{
	const struct resolver *r = ask->resolver;
	const struct logged_answer answer = { .client = (const struct sockaddr *)&ask->asker.address,
		.transport = ask->asker.transport,
		.wire = r->reply.wire,
		.bytes = r->reply.bytes,
		.rcode = r->reply.rcode,
		.step = ask->by,
		.note = ask->note,
		.took_us = ask->began_us ? clock_us() - ask->began_us : 0 }; // 0: it came before there was a log
	query_log_answer(r->log, &answer);
}

bool ask_takes_notes(const struct ask *ask)
{
	return ask->trace || is_logged(ask);
}

void ask_note(struct ask *ask, const char *format, ...)
{
	struct trace *trace = ask->trace;
	if (is_logged(ask)) {
		va_list args;
		va_start(args, format);
		vsnprintf(ask->note, sizeof(ask->note), format, args);
		va_end(args);
	}
	if (!trace || !trace->count)
		return;
	char *note = trace->step[trace->count - 1].note;
	size_t used = strlen(note);
	if (used)
		used = strlcat(note, "; ", TRACE_NOTE_BYTES);
	if (used >= TRACE_NOTE_BYTES)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(note + used, TRACE_NOTE_BYTES - used, format, args);
	va_end(args);
}

// --- the end of a question ---

static void free_ask(struct ask *ask)
{
	if (ask->waits)
		ask->resolver->counters.open--;
	if (ask->ended)
		ask->ended(ask);
	if (ask->has_turn)
		turns_end(ask->resolver->turns);
	message_clear(&ask->own);
	free(ask->negative);
	// Most answers come at once, one after the other, and need one ask.
	if (ask->resolver->spare)
		free(ask);
	else
		ask->resolver->spare = ask;
}

// The asker may ask again from within `done`, so nothing of this question is needed any more by then.
static void reply_and_free(struct ask *ask)
{
	struct resolver *r = ask->resolver;
	ask_done *done = ask->done;
	void *ctx = ask->ctx;
	plugins_respond(ask);
	if (is_logged(ask))
		log_reply(ask);
	free_ask(ask);
	done(ctx, r->reply.wire, r->reply.bytes);
}

static void fail(struct ask *ask, enum rcode rcode)
{
	struct resolver *r = ask->resolver;
	if (rcode == RCODE_REFUSED)
		r->counters.refused++;
	else if (rcode == RCODE_SERVFAIL)
		r->counters.servfail++;
	else if (rcode != RCODE_NOERROR)
		r->counters.malformed++;
	ask_face_client(ask);
	answer_error_why(&ask->policy, &ask->query, rcode, ask->why, &r->reply);
	ask->by = NULL;
	reply_and_free(ask);
}

void ask_drop(struct ask *ask)
{
	ask_done *done = ask->done;
	void *ctx = ask->ctx;
	ask->resolver->counters.dropped++;
	trace_end(ask, "dropped");
	free_ask(ask);
	done(ctx, NULL, 0);
}

// No step had an answer. Somebody's "no" is the best there is; a name that exists has at least no such type; an expired
// answer is better than none; those who are responsible could not say: SERVFAIL; nobody is: REFUSED.
static void end_of_chain(struct ask *ask)
{
	trace_begin(ask, "end");
	if (ask->name_exists && !ask->target) {
		trace_end(ask, "no data");
		ask->why = EDE_NONE;
		fail(ask, RCODE_NOERROR);
	} else if (ask->negative) {
		trace_end(ask, "the first no");
		ask->resolver->counters.negative++;
		reply_with_kept(ask);
		reply_and_free(ask);
	} else if (ask->rescue && ask->rescue(ask) == ANSWER) {
		trace_end(ask, "expired answer");
		ask->resolver->counters.answered[STEP_CACHE]++;
		reply_and_free(ask);
	} else {
		trace_end(ask, "error");
		fail(ask, ask->rcode);
	}
}

// --- the way through the steps ---

// The asker's message is only there during resolver_ask(). What is needed of it later is kept: header,
// question and cookie, for the rest has been read.
static void keep_question(struct ask *ask)
{
	struct query *q = &ask->query;
	if (ask->waits)
		return;
	uint16_t bytes = DNS_HEADER_BYTES + q->question_bytes;
	memcpy(ask->kept, q->wire, bytes);
	if (q->options & OPTION_COOKIE) {
		memcpy(ask->kept + bytes, q->wire + q->cookie_at, q->cookie_bytes);
		q->cookie_at = bytes;
		bytes = (uint16_t)(bytes + q->cookie_bytes);
	}
	q->wire = ask->kept;
	q->bytes = bytes;
	ask->waits = true;
	ask->resolver->counters.open++;
}

// Our own steps answer at once; the others' time is what clients share.
static bool needs_turn(const struct ask *ask, enum chain_step step)
{
	return step >= STEP_FORWARDERS && !ask->has_turn && ask->query.flags & FLAG_RD &&
		resolver_uses_step(ask->resolver, step);
}

static enum outcome run_step(struct ask *ask)
{
	enum chain_step step = ask->order.step[ask->step];
	trace_begin(ask, kinds[step]->name);
	ask->note[0] = '\0';
	bool asks_others = needs_turn(ask, step);
	enum turn turn = asks_others ? turns_take(ask->resolver->turns, ask) : TURN_NOW;
	if (turn == TURN_LATER) {
		ask_note(ask, "waits for its client's turn");
		return WAIT;
	}
	if (turn == TURN_NEVER) {
		ask_note(ask, "its client has too many questions waiting");
		ask->rcode = RCODE_SERVFAIL;
		ask->why = EDE_OTHER;
		return ERROR;
	}
	ask->has_turn |= asks_others;
	return kinds[step]->run(ask, ask->resolver->state[step]);
}

void ask_resume(struct ask *ask, enum outcome outcome)
{
	static const char *const words[] = { [PASS] = "pass", [ANSWER] = "answer", [ERROR] = "error", [DROP] = "drop" };
	struct resolver *r = ask->resolver;
	for (;;) {
		if (outcome == WAIT) {
			keep_question(ask);
			return;
		}
		ask->forget = NULL;
		trace_end(ask, words[outcome]);
		if (outcome != PASS || ++ask->step >= ask->order.count)
			break;
		outcome = run_step(ask);
	}
	if (outcome == ANSWER) {
		ask->by = ask->step < ask->order.count ? kinds[ask->order.step[ask->step]]->name : "handler";
		if (ask->step < ask->order.count)
			r->counters.answered[ask->order.step[ask->step]]++;
		reply_and_free(ask);
	} else if (outcome == ERROR) {
		fail(ask, ask->rcode);
	} else if (outcome == DROP) {
		ask_drop(ask);
	} else {
		end_of_chain(ask);
	}
}

// Back to the cache, for somebody else may have found it out meanwhile.
void ask_retry(struct ask *ask)
{
	ask->forget = NULL;
	trace_end(ask, "its turn");
	for (unsigned i = 0; i < ask->step; i++) {
		if (ask->order.step[i] == STEP_CACHE)
			ask->step = i;
	}
	ask_resume(ask, run_step(ask));
}

void ask_take_back(struct ask *ask)
{
	if (ask->forget)
		ask->forget(ask);
	ask->forget = NULL;
}

static struct ask *new_ask(struct resolver *r, const struct asker *asker, ask_done *done, void *ctx)
{
	struct ask *ask = r->spare ? r->spare : malloc(sizeof(*ask));
	r->spare = NULL;
	if (!ask)
		return NULL;
	ask->resolver = r;
	ask->asker = *asker;
	ask->done = done;
	ask->ctx = ctx;
	ask->policy = r->policy;
	ask->rights = ACCESS_ALL;
	ask->began_us = is_logged(ask) ? clock_us() : 0; // reading it is 5 % of an answer over TCP
	ask->by = NULL;
	ask->note[0] = '\0';
	ask->order = r->order;
	ask->step = 0;
	ask->rcode = RCODE_REFUSED;
	ask->why = EDE_NONE;
	ask->waits = ask->has_turn = ask->for_nobody = ask->name_exists = false;
	ask->own = (struct message){ 0 };
	ask->target = NULL;
	ask->negative = NULL;
	ask->trace = NULL;
	ask->forget = NULL;
	ask->rescue = NULL;
	ask->ended = NULL;
	ask->step_ctx = NULL;
	return ask;
}

// --- who may what ---

unsigned resolver_rights(const struct resolver *r, const struct sockaddr_storage *from)
{
	struct access access;
	uint64_t bytes;
	const void *block = catalog_block(r->catalog, BLOCK_ACCESS, &bytes);
	access_open(&access, block, block ? bytes : 0);
	if (from->ss_family == AF_INET)
		return access_rights(&access, (const uint8_t *)&((const struct sockaddr_in *)from)->sin_addr, 4);
	if (from->ss_family == AF_INET6)
		return access_rights(&access, (const uint8_t *)&((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	return ACCESS_ALL;
}

bool resolver_accepts(const struct resolver *r, const struct sockaddr_storage *from)
{
	return resolver_rights(r, from) & ACCESS_QUERY && plugins_accept(r, (const struct sockaddr *)from);
}

static bool drops_refused(const struct resolver *r)
{
	struct access access;
	uint64_t bytes;
	const void *block = catalog_block(r->catalog, BLOCK_ACCESS, &bytes);
	access_open(&access, block, block ? bytes : 0);
	return access.terms.drops;
}

// As in the dataplane: whoever may not use the chain sees our own data, and no RA.
static void judge_asker(struct ask *ask)
{
	ask->rights = (uint8_t)resolver_rights(ask->resolver, &ask->asker.address);
	if (ask->rights & ACCESS_RECURSION)
		return;
	ask->policy.may_not_recurse = ask->policy.has_chain;
	ask->policy.has_chain = 0;
	while (ask->order.count && ask->order.step[ask->order.count - 1] > STEP_AUTHORITIES)
		ask->order.count--;
	ask->why = ask->policy.may_not_recurse ? EDE_PROHIBITED : EDE_NONE;
}

static void prohibit(struct ask *ask)
{
	ask->resolver->counters.prohibited++;
	ask->why = EDE_PROHIBITED;
	ask->policy.has_chain = 0;
	if (drops_refused(ask->resolver))
		ask_drop(ask);
	else
		fail(ask, RCODE_REFUSED);
}

// --- other opcodes ---

enum status resolver_on_opcode(struct resolver *r, unsigned opcode, uint8_t rights, opcode_handler *handler, void *ctx)
{
	if (opcode < 1 || opcode > 15)
		return ST_INVALID;
	if (handler && r->opcode[opcode].run)
		return ST_EXISTS;
	r->opcode[opcode] = (struct opcode_row){ handler, ctx, rights };
	return ST_OK;
}

uint16_t resolver_opcodes(const struct resolver *r)
{
	unsigned bits = plugins_want_all(r);
	for (unsigned i = 1; i < 16; i++)
		bits |= r->opcode[i].run ? 1u << i : 0;
	return (uint16_t)bits;
}

// The handler stands for the only step.
static void run_handler(struct ask *ask, const struct opcode_row *row)
{
	ask->order = (struct chain_order){ 0 };
	ask->rcode = RCODE_NOTIMP;
	ask_resume(ask, row->run(row->ctx, ask));
}

// --- in ---

// False: a plugin has sent it away.
static bool is_let_in(struct ask *ask)
{
	switch (plugins_allow(ask)) {
	case POLLUX_DROP:
		ask_drop(ask);
		return false;
	case POLLUX_REFUSE:
		ask->why = EDE_PROHIBITED;
		fail(ask, RCODE_REFUSED);
		return false;
	case POLLUX_ALLOW:
		break;
	}
	return true;
}

static void take_error(struct ask *ask, enum rcode rcode)
{
	const struct opcode_row *row = &ask->resolver->opcode[(ask->query.flags & FLAG_OPCODE) >> 11];
	if (rcode == RCODE_NOTIMP && row->run && (ask->rights & row->rights) == row->rights) {
		if (is_let_in(ask))
			run_handler(ask, row);
	} else if (!(ask->rights & ACCESS_QUERY)) {
		prohibit(ask);
	} else {
		fail(ask, rcode);
	}
}

static enum query_verdict parse(struct ask *ask, const uint8_t *wire, unsigned bytes, enum rcode *rcode)
{
	uint64_t seed = catalog_seed(ask->resolver->catalog);
	enum query_verdict verdict = query_parse(&ask->query, wire, bytes, seed, rcode);
	if (verdict == QUERY_ERROR && *rcode == RCODE_FORMERR && ask->policy.first_question)
		verdict = query_parse_first(&ask->query, wire, bytes, seed, rcode);
	return verdict;
}

// Without RD nobody else is asked (RFC 1035 4.1.1): the chain ends with what is known here.
static void ask_nobody_else(struct ask *ask)
{
	while (ask->order.count && ask->order.step[ask->order.count - 1] > STEP_CACHE)
		ask->order.count--;
}

static void begin(struct ask *ask, const uint8_t *wire, unsigned bytes)
{
	enum rcode rcode;
	switch (parse(ask, wire, bytes, &rcode)) {
	case QUERY_VALID:
		if (!(ask->query.flags & FLAG_RD))
			ask_nobody_else(ask);
		if (!(ask->rights & ACCESS_QUERY))
			prohibit(ask);
		else if (is_let_in(ask))
			ask_resume(ask, ask->order.count ? run_step(ask) : PASS);
		break;
	case QUERY_ERROR:
		take_error(ask, rcode);
		break;
	case QUERY_SHORT:
	case QUERY_IS_RESPONSE:
		ask_drop(ask);
		break;
	}
}

void resolver_ask_traced(struct resolver *r, const struct asker *asker, const uint8_t *wire, unsigned bytes,
	struct trace *trace, ask_done *done, void *ctx)
{
	struct ask *ask = new_ask(r, asker, done, ctx);
	r->counters.asked++;
	if (!ask) {
		r->counters.dropped++;
		done(ctx, NULL, 0);
		return;
	}
	ask->trace = trace;
	judge_asker(ask);
	begin(ask, wire, bytes);
}

void resolver_ask(struct resolver *r, const struct asker *asker, const uint8_t *wire, unsigned bytes,
	ask_done *done, void *ctx)
{
	resolver_ask_traced(r, asker, wire, bytes, NULL, done, ctx);
}

// --- asking for nobody ---

// What the dataplane looks into as well comes first in every chain.
static struct chain_order behind_cache(const struct chain_order *order)
{
	struct chain_order rest = { 0 };
	for (unsigned i = 0; i < order->count; i++) {
		if (order->step[i] > STEP_CACHE)
			rest.step[rest.count++] = order->step[i];
	}
	return rest;
}

enum status resolver_refresh(struct resolver *r, const uint8_t *name, uint16_t type, bool dnssec_ok,
	bool checking_disabled, ask_done *done, void *ctx)
{
	uint8_t wire[QUERY_WIRE_BYTES], question[NAME_MAX_BYTES + 4];
	static const struct asker nobody = { .transport = OVER_TCP };
	struct ask *ask = new_ask(r, &nobody, done, ctx);
	if (!ask)
		return ST_NO_MEMORY;
	unsigned name_bytes = name_length(name, NAME_MAX_BYTES);
	memcpy(question, name, name_bytes);
	store_be16(question + name_bytes, type);
	store_be16(question + name_bytes + 2, CLASS_IN);
	unsigned bytes = message_write_query(wire, 0, FLAG_RD | (checking_disabled ? FLAG_CD : 0), question, name_bytes + 4,
		DNS_UDP_CEILING_BYTES, dnssec_ok, 0);
	ask->for_nobody = true;
	ask->order = behind_cache(&r->order);
	r->counters.refreshed++;
	begin(ask, wire, bytes);
	return ST_OK;
}

// --- the configuration ---

static void take_order(struct resolver *r, const struct config *config)
{
	struct chain_order order = { 0 };
	for (unsigned i = 0; i < (config->chain_count ? config->chain_count : STEP_COUNT); i++) {
		enum chain_step step = config->chain_count ? config->chain[i] : i;
		if (kinds[step])
			order.step[order.count++] = (uint8_t)step;
	}
	r->order = order;
}

static void take_config(struct resolver *r, const struct config *config)
{
	r->policy = config_policy(config);
	take_order(r, config);
}

// From the last to the first: the cache outlives those who fill it.
void resolver_await_zones(struct resolver *r, zone_awaited *awaited, void *ctx)
{
	r->awaited = awaited;
	r->awaited_ctx = ctx;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	for (unsigned i = STEP_COUNT; i--;) {
		if (kinds[i] && kinds[i]->free && r->state[i])
			kinds[i]->free(r->state[i]);
	}
	turns_free(r->turns);
	free(r->spare);
	free(r);
}

struct resolver *resolver_new(
	struct event_base *base, const struct config *config, const struct catalog *catalog, struct tap *tap)
{
	struct resolver *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->base = base;
	r->catalog = catalog;
	r->tap = tap;
	r->reply.wire = r->buffer;
	take_config(r, config);
	r->turns = turns_new(base, config);
	if (!r->turns) {
		free(r);
		return NULL;
	}
	for (unsigned i = 0; i < STEP_COUNT; i++) {
		if (!kinds[i] || !kinds[i]->new)
			continue;
		r->state[i] = kinds[i]->new(base, r, config);
		if (!r->state[i]) {
			resolver_free(r);
			return NULL;
		}
	}
	return r;
}

void resolver_reconfigure(struct resolver *r, const struct config *config)
{
	take_config(r, config);
	turns_reconfigure(r->turns, config);
	for (unsigned i = 0; i < STEP_COUNT; i++) {
		if (kinds[i] && kinds[i]->reconfigure)
			kinds[i]->reconfigure(r->state[i], config);
	}
}

const struct resolver_counters *resolver_counters(struct resolver *r)
{
	const struct turns_counters *turns = turns_counters(r->turns);
	forwarders_count(r->state[STEP_FORWARDERS], &r->counters);
	r->counters.in_flight = turns->in_flight;
	r->counters.turns_waiting = turns->waiting;
	r->counters.turns_clients = turns->clients;
	r->counters.turns_queued = turns->queued;
	r->counters.turns_refused = turns->refused;
	r->counters.turns_late = turns->late;
	return &r->counters;
}
