// SPDX-License-Identifier: BSD-3-Clause
// The last step: what nobody else knows is asked of authoritative servers, from the root down.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <pollux/log.h>
#include <pollux/name.h>
#include <pollux/report.h>

#include "chain.h"
#include "client/clock.h"
#include "learned.h"
#include "pending.h"
#include "recursion.h"
#include "tap.h"

// The threads of one configuration. Another configuration means other ones; these end when they have answered
// what they were asked.
struct engine {
	LIST_ENTRY(engine) others;
	struct recursion *recursion;
	struct recursor *recursor;
	struct pending_set pending;
	TAILQ_HEAD(, exchange) due; // in the order of their deadlines
	struct event *timer;
	uint64_t late[RECURSOR_THREADS_MAX];
	unsigned deadline_ms;
	bool retired;
};

// A question that one of the threads looks into. It outlives the deadline of those who wait for it: the library
// goes on, so who asks the same waits for the same, and the answer is of use to the cache.
struct exchange {
	struct pending pending; // first: a pending is an exchange
	TAILQ_ENTRY(exchange) others;
	struct engine *engine;
	uint64_t due_us; // 0: has passed
	uint8_t asked;	 // bits of the kinds of asks that have waited for it
};

struct recursion {
	struct resolver *resolver;
	struct event_base *base;
	struct engine *engine; // NULL: none, or it could not be started
	LIST_HEAD(, engine) retired;
	struct event *sweep; // of the retired ones
	bool enabled, validates;
	struct stat hints, anchors; // as they were read
	const struct config *config; // the newest one
};

// --- what is learned ---

static struct verdict verdict_of(const struct recursor_answer *answer)
{
	return (struct verdict){ .flags = answer->security == SECURITY_SECURE ? FLAG_AD : 0, .why = EDE_NONE };
}

// Answers have signatures in them whether DO was set or not, so all who ask the same share an exchange but for CD, where it
// makes a difference. The cache tells them apart.
static unsigned kind_of(const struct ask *ask)
{
	return (ask->query.dnssec_ok ? 2u : 0) + (ask->query.flags & FLAG_CD ? 1u : 0);
}

static void learn(struct exchange *x, const struct recursor_answer *answer)
{
	struct learned *learned = learned_of(x->engine->recursion->resolver);
	const struct verdict verdict = verdict_of(answer);
	for (unsigned kind = 0; kind < 4; kind++) {
		const struct learned_key key = { x->pending.name, x->pending.type, x->pending.class, kind & 2, kind & 1 };
		if (!(x->asked & 1u << kind))
			continue;
		if (answer->why == EDE_NONE)
			learned_store(learned, &key, &answer->message, &verdict);
		else
			learned_failure(learned, &key, answer->why);
	}
}

// --- deadlines ---

static void arm(struct engine *engine)
{
	struct exchange *first = TAILQ_FIRST(&engine->due);
	uint64_t now_us = clock_us(), wait_us = first && first->due_us > now_us ? first->due_us - now_us : 0;
	struct timeval wait = { (time_t)(wait_us / 1000000), (suseconds_t)(wait_us % 1000000) };
	if (first)
		event_add(engine->timer, &wait);
	else
		event_del(engine->timer);
}

static void set_deadline(struct exchange *x)
{
	struct engine *engine = x->engine;
	bool is_first = TAILQ_EMPTY(&engine->due);
	x->due_us = clock_us() + engine->deadline_ms * UINT64_C(1000);
	TAILQ_INSERT_TAIL(&engine->due, x, others);
	if (is_first)
		arm(engine);
}

static void clear_deadline(struct exchange *x)
{
	if (x->due_us)
		TAILQ_REMOVE(&x->engine->due, x, others);
	x->due_us = 0;
}

static void give_up(struct exchange *x)
{
	static const struct recursor_answer silence = { .rcode = RCODE_SERVFAIL, .why = EDE_NO_REACHABLE_AUTHORITY };
	struct engine *engine = x->engine;
	unsigned thread = recursor_thread_of(engine->recursor, x->pending.name);
	unsigned count = 0;
	struct ask *ask;
	TAILQ_FOREACH (ask, &x->pending.asks, waiting)
		count++;
	clear_deadline(x);
	if (count)
		learn(x, &silence);
	// Callees may ask the same again at once: that is for the next deadline.
	while (count-- && (ask = pending_take(&x->pending))) {
		engine->late[thread]++;
		ask->rcode = RCODE_SERVFAIL;
		ask->why = EDE_NO_REACHABLE_AUTHORITY;
		ask_note(ask, "no answer within %u ms", engine->deadline_ms);
		ask_resume(ask, PASS);
	}
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct engine *engine = ctx;
	struct exchange *x;
	while ((x = TAILQ_FIRST(&engine->due)) && x->due_us <= clock_us())
		give_up(x);
	arm(engine);
}


// --- questions and answers ---

static enum outcome take_answer(struct ask *ask, const struct recursor_answer *answer)
{
	static const char *const words[] = { "no answer", "insecure", "secure", "bogus" };
	const struct verdict verdict = verdict_of(answer);
	ask_note(ask, "%s%s%s", words[answer->security], *answer->text ? ": " : "", answer->text);
	ask->rcode = RCODE_SERVFAIL;
	ask->why = answer->why;
	if (answer->security == SECURITY_BOGUS)
		return ERROR; // nobody who does not validate may answer instead
	if (answer->why != EDE_NONE)
		return PASS;
	if (answer->rcode == RCODE_NXDOMAIN)
		return ask_keep_negative(ask, &answer->message, &verdict);
	return ask_reply(ask, &answer->message, &verdict);
}

static void on_answer(void *ctx, enum status status, const struct recursor_answer *answer)
{
	struct exchange *x = ctx;
	struct ask *ask;
	clear_deadline(x);
	pending_remove(&x->engine->pending, &x->pending);
	if (status == ST_OK)
		learn(x, answer);
	while ((ask = pending_take(&x->pending))) {
		if (status == ST_OK)
			ask_resume(ask, take_answer(ask, answer));
		else
			ask_drop(ask);
	}
	free(x);
}

static struct exchange *begin(struct engine *engine, const struct pending *key, const struct ask *ask)
{
	struct exchange *x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	x->pending = *key;
	x->engine = engine;
	TAILQ_INIT(&x->pending.asks);
	const struct recursor_question question = { x->pending.name, key->type, key->class, key->checking_disabled,
		ask->for_nobody };
	if (recursor_ask(engine->recursor, &question, on_answer, x) != ST_OK) {
		free(x);
		return NULL;
	}
	pending_add(&engine->pending, &x->pending);
	return x;
}

static enum outcome from_recursion(struct ask *ask, void *state)
{
	struct recursion *r = state;
	struct pending key;
	if (!r->enabled || ask->query.class != CLASS_IN || !pending_may_ask(&ask->query))
		return PASS;
	ask->rcode = RCODE_SERVFAIL;
	if (!r->engine) {
		ask->why = EDE_NOT_READY;
		return PASS;
	}
	pending_init(&key, ask);
	key.dnssec_ok = false;
	key.checking_disabled |= !r->validates;
	struct exchange *x = (struct exchange *)pending_find(&r->engine->pending, &key);
	if (x) {
		ask->resolver->counters.coalesced++;
	} else if (!(x = begin(r->engine, &key, ask))) {
		ask->resolver->counters.full++;
		ask_note(ask, "%u questions are under way already", recursor_open(r->engine->recursor));
		return PASS;
	}
	if (!x->due_us)
		set_deadline(x);
	x->asked |= (uint8_t)(1u << kind_of(ask));
	pending_wait(&x->pending, ask);
	return WAIT;
}

// --- engines ---

static void free_engine(struct engine *engine)
{
	recursor_free(engine->recursor);
	if (engine->timer)
		event_free(engine->timer);
	free(engine);
}

// Those that have nothing to do any more; and those whose deadlines have long passed, whatever the library is doing.
static void on_sweep(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct recursion *r = ctx;
	struct engine *next;
	for (struct engine *engine = LIST_FIRST(&r->retired); engine; engine = next) {
		next = LIST_NEXT(engine, others);
		if (!TAILQ_EMPTY(&engine->due))
			continue;
		LIST_REMOVE(engine, others);
		free_engine(engine);
	}
	if (LIST_EMPTY(&r->retired))
		event_del(r->sweep);
}

static void retire(struct recursion *r)
{
	struct timeval pause = { .tv_usec = 100000 };
	if (!r->engine)
		return;
	LIST_INSERT_HEAD(&r->retired, r->engine, others);
	r->engine = NULL;
	event_add(r->sweep, &pause);
}

static struct engine *new_engine(struct recursion *r, const struct recursor_options *options, unsigned deadline_ms)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	if (!engine)
		return NULL;
	engine->recursion = r;
	engine->deadline_ms = deadline_ms;
	RB_INIT(&engine->pending);
	TAILQ_INIT(&engine->due);
	engine->timer = evtimer_new(r->base, on_deadline, engine);
	if (engine->timer && recursor_new(&engine->recursor, r->base, options) == ST_OK)
		return engine;
	free_engine(engine);
	return NULL;
}

// --- the configuration ---

static bool is_loopback(const struct ip_endpoint *server)
{
	static const uint8_t ip6_loopback[16] = { [15] = 1 };
	return server->family == AF_INET ? server->bytes[0] == 127 : !memcmp(server->bytes, ip6_loopback, 16);
}

struct stubs {
	struct recursor_stub *stub;
	struct sockaddr_storage *address;
	bool has_loopback;
};

static bool read_stubs(struct stubs *to, const struct config *config)
{
	unsigned addresses = 0;
	for (unsigned i = 0; i < config->stub_count; i++)
		addresses += config->stubs[i].server_count;
	*to = (struct stubs){ calloc(config->stub_count + 1u, sizeof(*to->stub)),
		calloc(addresses + 1u, sizeof(*to->address)), false };
	struct sockaddr_storage *next = to->address;
	for (unsigned i = 0; to->stub && next && i < config->stub_count; i++) {
		const struct stub_config *from = &config->stubs[i];
		to->stub[i] = (struct recursor_stub){ from->zone, next, from->server_count };
		for (unsigned j = 0; j < from->server_count; j++) {
			*next++ = ip_endpoint_address(&from->servers[j]);
			to->has_loopback |= is_loopback(&from->servers[j]);
		}
	}
	return to->stub && to->address;
}

static struct recursor_options options_of(const struct recursion *r, const struct config *config,
	const struct trust_anchors *anchors, const struct stubs *stubs)
{
	static const int preferred[] = { [FAMILY_PREFER_IP4] = AF_INET, [FAMILY_PREFER_IP6] = AF_INET6, [FAMILY_IP6] = 0 };
	bool by_ports = !strcmp(config->recursion_via, "ports") && r->resolver->tap;
	return (struct recursor_options){
		.threads = config->recursion_threads,
		.max_open = config->recursion_max_open,
		.max_sent = config->recursion_max_queries,
		.sockets = config->recursion_sockets,
		.cache_bytes = config->recursion_cache_bytes,
		.validate = config->recursion_validate,
		.mix_case = config->recursion_mix_case,
		.local_names = config->recursion_local_names,
		.ask_loopback = stubs->has_loopback,
		.ip4 = config->recursion_family != FAMILY_IP6,
		.ip6 = config->recursion_family != FAMILY_IP4,
		.preferred = preferred[config->recursion_family],
		.namespace = by_ports ? tap_namespace(r->resolver->tap) : -1,
		.hints = config->recursion_hints,
		.anchors = (const char *const *)anchors->line,
		.anchor_count = anchors->count,
		.insecure = (const uint8_t *const *)config->recursion_insecure,
		.insecure_count = config->recursion_insecure_count,
		.stubs = stubs->stub,
		.stub_count = config->stub_count,
	};
}

static void log_finding(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *text)
{
	(void)ctx;
	log_line(severity == SEVERITY_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "%s:%u:%u: %s", file, line, column, text);
}

static bool read_files(const struct config *config, struct trust_anchors *anchors)
{
	struct report report = { .emit = log_finding };
	bool good = config_check_hints(config->recursion_hints, &report) == ST_OK;
	if (config->recursion_validate)
		good &= config_trust_anchors(config->recursion_anchors, anchors, &report) == ST_OK;
	return good;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static struct stat stat_of(const char *path)
{
	struct stat file;
	if (stat(path, &file) != 0)
		memset(&file, 0, sizeof(file));
	return file;
}

// What the threads remember is worth keeping: they go on when nothing is new for them.
static void renew(struct recursion *r, const struct config *config, const struct recursor_options *options, bool forget)
{
	struct stat hints = stat_of(config->recursion_hints), anchors = stat_of(config->recursion_anchors);
	if (!forget && r->engine && recursor_has_options(r->engine->recursor, options) && same_file(&hints, &r->hints) &&
		same_file(&anchors, &r->anchors)) {
		r->engine->deadline_ms = config->recursion_deadline_ms;
		return;
	}
	struct engine *fresh = new_engine(r, options, config->recursion_deadline_ms);
	if (!fresh) {
		log_error("recursion: its threads cannot be started%s", r->engine ? "; the former ones stay" : "");
		return;
	}
	retire(r);
	r->engine = fresh;
	r->hints = hints;
	r->anchors = anchors;
	r->validates = config->recursion_validate;
	log_info("recursion: %u thread%s, %u trust anchor%s, %u stub zone%s", options->threads,
		options->threads == 1 ? "" : "s", options->anchor_count, options->anchor_count == 1 ? "" : "s",
		options->stub_count, options->stub_count == 1 ? "" : "s");
}

static void take_config(struct recursion *r, const struct config *config, bool forget)
{
	struct trust_anchors anchors = { 0 };
	struct stubs stubs = { 0 };
	r->enabled = config->recursion && config_has_step(config, STEP_RECURSION);
	if (!r->enabled) {
		retire(r);
		return;
	}
	if (!read_files(config, &anchors)) {
		log_error("recursion: %s", r->engine ? "goes on with the former hints and trust anchors" :
						       "answers SERVFAIL until its files can be read");
	} else if (!read_stubs(&stubs, config)) {
		log_error("recursion: no memory for its configuration");
	} else {
		const struct recursor_options options = options_of(r, config, &anchors, &stubs);
		renew(r, config, &options, forget);
	}
	free(stubs.stub);
	free(stubs.address);
	trust_anchors_free(&anchors);
}

static void recursion_reconfigure(void *state, const struct config *config)
{
	struct recursion *r = state;
	r->config = config;
	take_config(r, config, false);
}

static void *recursion_new(struct event_base *base, struct resolver *resolver, const struct config *config)
{
	struct recursion *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->resolver = resolver;
	r->base = base;
	LIST_INIT(&r->retired);
	r->sweep = event_new(base, -1, EV_PERSIST, on_sweep, r);
	if (!r->sweep) {
		free(r);
		return NULL;
	}
	recursion_reconfigure(r, config);
	return r;
}

static void recursion_free(void *state)
{
	struct recursion *r = state;
	struct engine *engine;
	retire(r);
	while ((engine = LIST_FIRST(&r->retired))) {
		LIST_REMOVE(engine, others);
		free_engine(engine);
	}
	event_free(r->sweep);
	free(r);
}

static bool recursion_in_use(const void *state)
{
	return ((const struct recursion *)state)->enabled;
}

const struct step_kind recursion_step = {
	.name = "recursion",
	.help = "authoritative servers, from the root down",
	.new = recursion_new,
	.reconfigure = recursion_reconfigure,
	.free = recursion_free,
	.in_use = recursion_in_use,
	.run = from_recursion,
};

// --- for commands ---

static const struct engine *engine_of(const struct resolver *r)
{
	const struct recursion *recursion = r->state[STEP_RECURSION];
	return recursion->engine;
}

unsigned recursion_threads(const struct resolver *r)
{
	const struct engine *engine = engine_of(r);
	return engine ? recursor_threads(engine->recursor) : 0;
}

struct recursion_thread recursion_thread(const struct resolver *r, unsigned i)
{
	const struct engine *engine = engine_of(r);
	return (struct recursion_thread){ recursor_counters(engine->recursor, i), engine->late[i] };
}

void recursion_flush(struct resolver *r)
{
	struct recursion *recursion = r->state[STEP_RECURSION];
	take_config(recursion, recursion->config, true);
}
