// SPDX-License-Identifier: BSD-3-Clause
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chain.h"

static const struct step {
	const char *name;
	enum outcome (*run)(struct ask *);
} chain[] = {
	{ "authorities", from_authorities },
	{ "forwarders", from_forwarders },
};
#define CHAIN_STEPS (sizeof(chain) / sizeof(chain[0]))

static void free_ask(struct ask *ask)
{
	if (ask->waits)
		ask->resolver->counters.open--;
	message_clear(&ask->own);
	free(ask);
}

// The asker may ask again from within `done`, so nothing of this question is needed any more by then.
static void reply_and_free(struct ask *ask)
{
	struct resolver *r = ask->resolver;
	ask_done *done = ask->done;
	void *ctx = ask->ctx;
	free_ask(ask);
	done(ctx, r->reply.wire, r->reply.bytes);
}

// The identity may be another one by the time of the answer, so none is remembered.
void ask_face_client(struct ask *ask)
{
	struct resolver *r = ask->resolver;
	const struct sockaddr_storage *from = &ask->asker.address;
	struct parties *p = &r->parties;
	*p = (struct parties){ .identity = catalog_identity(r->catalog), .now_s = (uint32_t)time(NULL) };
	if (from->ss_family == AF_INET) {
		p->client = (const uint8_t *)&((const struct sockaddr_in *)from)->sin_addr;
		p->client_bytes = 4;
	} else if (from->ss_family == AF_INET6) {
		p->client = (const uint8_t *)&((const struct sockaddr_in6 *)from)->sin6_addr;
		p->client_bytes = 16;
	}
	if (ask->asker.transport == OVER_TCP) {
		unsigned idle = ask->asker.idle_ms / 100;
		p->idle_100ms = (uint16_t)(idle < 1 ? 1 : idle < UINT16_MAX ? idle : UINT16_MAX);
	}
	r->reply.parties = p;
	unsigned room = ask->asker.room_bytes;
	r->reply.room = room && room < sizeof(r->buffer) ? room : sizeof(r->buffer);
}

static void fail(struct ask *ask, enum rcode rcode)
{
	struct resolver *r = ask->resolver;
	if (rcode == RCODE_REFUSED)
		r->counters.refused++;
	else if (rcode == RCODE_SERVFAIL)
		r->counters.servfail++;
	else
		r->counters.malformed++;
	ask_face_client(ask);
	answer_error_why(&r->policy, &ask->query, rcode, ask->why, &r->reply);
	reply_and_free(ask);
}

void ask_drop(struct ask *ask)
{
	ask_done *done = ask->done;
	void *ctx = ask->ctx;
	ask->resolver->counters.dropped++;
	free_ask(ask);
	done(ctx, NULL, 0);
}

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

void ask_resume(struct ask *ask, enum outcome outcome)
{
	while (outcome == PASS && ++ask->step < CHAIN_STEPS)
		outcome = chain[ask->step].run(ask);
	if (outcome == WAIT)
		keep_question(ask);
	else if (outcome == ANSWER)
		reply_and_free(ask);
	else // nobody is responsible: REFUSED; those who are could not say: SERVFAIL
		fail(ask, ask->rcode);
}

void resolver_ask(struct resolver *r, const struct asker *asker, const uint8_t *wire, unsigned bytes,
	ask_done *done, void *ctx)
{
	struct ask *ask = malloc(sizeof(*ask));
	r->counters.asked++;
	if (!ask) {
		r->counters.dropped++;
		done(ctx, NULL, 0);
		return;
	}
	ask->resolver = r;
	ask->asker = *asker;
	ask->done = done;
	ask->ctx = ctx;
	ask->step = 0;
	ask->rcode = RCODE_REFUSED;
	ask->why = EDE_NONE;
	ask->waits = false;
	ask->own = (struct message){ 0 };
	ask->target = NULL;
	enum rcode rcode;
	switch (query_parse(&ask->query, wire, bytes, catalog_seed(r->catalog), &rcode)) {
	case QUERY_VALID:
		ask_resume(ask, chain[0].run(ask));
		break;
	case QUERY_ERROR:
		fail(ask, rcode);
		break;
	case QUERY_SHORT:
	case QUERY_IS_RESPONSE:
		ask_drop(ask);
		break;
	}
}

static void take_config(struct resolver *r, const struct config *config)
{
	r->policy = config_policy(config);
	r->max_waiting = config->forward_max_open;
	r->by_ports = !strcmp(config->forward_via, "ports");
}

struct resolver *resolver_new(
	struct event_base *base, const struct config *config, const struct catalog *catalog, struct tap *tap)
{
	struct resolver *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->catalog = catalog;
	r->tap = tap;
	r->reply.wire = r->buffer;
	take_config(r, config);
	r->forwarders = forwarders_new(base, r, config);
	if (!r->forwarders) {
		free(r);
		return NULL;
	}
	return r;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	forwarders_free(r->forwarders);
	free(r);
}

void resolver_reconfigure(struct resolver *r, const struct config *config)
{
	take_config(r, config);
	forwarders_reconfigure(r->forwarders, config);
}

const struct resolver_counters *resolver_counters(struct resolver *r)
{
	forwarders_count(r->forwarders, &r->counters);
	return &r->counters;
}
