// SPDX-License-Identifier: BSD-3-Clause
// The last step: other name servers. Equal questions that wait at the same time share one exchange with
// them (RFC 5452 5: else a forger has many chances at once).
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>

#include <pollux/log.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "chain.h"
#include "client/upstream.h"
#include "learned.h"
#include "tap.h"

#define STREAM_IDLE_MS 10000
#define TYPE_TKEY_CODE 249
#define TYPE_TSIG_CODE 250

// A question to others, and who waits for its answer.
struct pending {
	RB_ENTRY(pending) by_question;
	struct forwarders *forwarders;
	TAILQ_HEAD(, ask) asks;
	uint16_t type, class;
	bool dnssec_ok, checking_disabled;
	unsigned name_bytes;
	uint8_t name[NAME_MAX_BYTES]; // folded
};

RB_HEAD(pending_tree, pending);

struct forwarders {
	struct resolver *resolver;
	struct upstream *upstream;
	struct pending_tree pending;
	unsigned servers, max_waiting;
	bool by_ports; // questions leave through the TAP
};

static int compare_pending(const struct pending *a, const struct pending *b)
{
	if (a->name_bytes != b->name_bytes)
		return a->name_bytes < b->name_bytes ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->class != b->class)
		return a->class < b->class ? -1 : 1;
	unsigned flags_a = a->dnssec_ok * 2u + a->checking_disabled,
		 flags_b = b->dnssec_ok * 2u + b->checking_disabled;
	if (flags_a != flags_b)
		return flags_a < flags_b ? -1 : 1;
	return memcmp(a->name, b->name, a->name_bytes);
}

RB_GENERATE_INTERNAL(pending_tree, pending, by_question, compare_pending, __attribute__((unused)) static)

// Callees may ask again at once, so the question is out of the tree before the first of them hears.
static enum outcome take_reply(struct ask *ask, const struct message *reply)
{
	static const struct verdict nothing_more = { .why = EDE_NONE };
	if (reply->rcode == RCODE_NXDOMAIN)
		return ask_keep_negative(ask, reply, &nothing_more);
	return ask_reply(ask, reply, &nothing_more);
}

static void learn(struct pending *pending, enum status status, const struct message *reply)
{
	static const struct verdict nothing_more = { .why = EDE_NONE };
	struct learned *learned = learned_of(pending->forwarders->resolver);
	const struct learned_key key = { pending->name, pending->type, pending->class, pending->dnssec_ok,
		pending->checking_disabled };
	if (status == ST_OK)
		learned_store(learned, &key, reply, &nothing_more);
	else if (status != ST_CANCELLED)
		learned_failure(learned, &key, EDE_NO_REACHABLE_AUTHORITY);
}

static void on_upstream(void *ctx, enum status status, const struct message *reply)
{
	struct pending *pending = ctx;
	RB_REMOVE(pending_tree, &pending->forwarders->pending, pending);
	learn(pending, status, reply);
	struct ask *ask;
	while ((ask = TAILQ_FIRST(&pending->asks))) {
		TAILQ_REMOVE(&pending->asks, ask, waiting);
		if (status == ST_CANCELLED) {
			ask_drop(ask);
			continue;
		}
		ask->rcode = RCODE_SERVFAIL; // those who could know failed, whatever they said
		ask->why = EDE_NO_REACHABLE_AUTHORITY;
		ask_resume(ask, status == ST_OK ? take_reply(ask, reply) : PASS);
	}
	free(pending);
}

static void fill_key(struct pending *key, const struct ask *ask)
{
	const struct query *q = &ask->query;
	key->name_bytes = name_fold(key->name, ask_name(ask));
	key->type = q->type;
	key->class = q->class;
	key->dnssec_ok = q->dnssec_ok;
	key->checking_disabled = q->flags & FLAG_CD;
}

static struct pending *ask_upstream(struct forwarders *f, const struct pending *key)
{
	struct pending *pending = malloc(sizeof(*pending));
	if (!pending)
		return NULL;
	*pending = *key;
	pending->forwarders = f;
	TAILQ_INIT(&pending->asks);
	const struct upstream_question question = { pending->name, key->type, key->class, key->dnssec_ok,
		key->checking_disabled };
	if (upstream_ask(f->upstream, &question, on_upstream, pending) != ST_OK) {
		free(pending);
		return NULL;
	}
	RB_INSERT(pending_tree, &f->pending, pending);
	return pending;
}

// Transfers and what is meant for one neighbour alone never go further.
static bool may_be_forwarded(const struct query *q)
{
	return q->flags & FLAG_RD && q->type != TYPE_AXFR && q->type != TYPE_IXFR && q->type != TYPE_OPT &&
	       q->type != TYPE_TKEY_CODE && q->type != TYPE_TSIG_CODE;
}

static void forget(struct ask *ask)
{
	struct pending *pending = ask->step_ctx;
	TAILQ_REMOVE(&pending->asks, ask, waiting); // its answer is still of use to the cache
}

static enum outcome from_forwarders(struct ask *ask, void *state)
{
	struct forwarders *f = state;
	struct resolver *r = f->resolver;
	if (!f->servers || !may_be_forwarded(&ask->query))
		return PASS;
	ask->rcode = RCODE_SERVFAIL;
	if (r->counters.open >= f->max_waiting) {
		r->counters.full++;
		return PASS;
	}
	struct pending key;
	fill_key(&key, ask);
	struct pending *pending = RB_FIND(pending_tree, &f->pending, &key);
	if (pending)
		r->counters.coalesced++;
	else if (!(pending = ask_upstream(f, &key)))
		return PASS;
	TAILQ_INSERT_TAIL(&pending->asks, ask, waiting);
	ask->forget = forget;
	ask->step_ctx = pending;
	return WAIT;
}

char *forwarder_to_text(char *to, const struct sockaddr *address)
{
	const struct sockaddr_in *ip4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)address;
	bool is_ip4 = address->sa_family == AF_INET;
	const void *bytes = is_ip4 ? (const void *)&ip4->sin_addr : (const void *)&ip6->sin6_addr;
	char host[INET6_ADDRSTRLEN];
	if (!inet_ntop(address->sa_family, bytes, host, sizeof(host)))
		strlcpy(host, "?", sizeof(host));
	snprintf(to, FORWARDER_TEXT_BYTES, "%s@%u", host, ntohs(is_ip4 ? ip4->sin_port : ip6->sin6_port));
	return to;
}

static int open_socket(void *ctx, int family, int type)
{
	const struct forwarders *f = ctx;
	if (f->resolver->tap && f->by_ports)
		return tap_socket(f->resolver->tap, family, type);
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void on_server(void *ctx, const struct sockaddr *address, bool answers)
{
	char text[FORWARDER_TEXT_BYTES];
	(void)ctx;
	if (answers)
		log_info("forwarder %s answers again", forwarder_to_text(text, address));
	else
		log_warning("forwarder %s does not answer", forwarder_to_text(text, address));
}

static struct upstream_options options_of(struct forwarders *f, const struct config *config)
{
	return (struct upstream_options){
		.timeout_ms = config->forward_timeout_ms,
		.deadline_ms = config->forward_deadline_ms,
		.idle_ms = STREAM_IDLE_MS,
		.max_open = config->forward_max_open,
		.udp_size = (uint16_t)config->udp_size,
		.mix_case = true,
		.open_socket = open_socket,
		.socket_ctx = f,
		.on_server = on_server,
	};
}

static struct sockaddr_storage address_of(const struct ip_endpoint *endpoint)
{
	struct sockaddr_storage address;
	memset(&address, 0, sizeof(address)); // padding, too: addresses are compared as a whole
	if (endpoint->family == AF_INET) {
		struct sockaddr_in *ip4 = (struct sockaddr_in *)&address;
		ip4->sin_family = AF_INET;
		ip4->sin_port = htons(endpoint->port);
		memcpy(&ip4->sin_addr, endpoint->bytes, sizeof(ip4->sin_addr));
	} else {
		struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)&address;
		ip6->sin6_family = AF_INET6;
		ip6->sin6_port = htons(endpoint->port);
		memcpy(&ip6->sin6_addr, endpoint->bytes, sizeof(ip6->sin6_addr));
	}
	return address;
}

static void forwarders_reconfigure(void *state, const struct config *config)
{
	struct forwarders *f = state;
	struct upstream_options options = options_of(f, config);
	f->max_waiting = config->forward_max_open;
	f->by_ports = !strcmp(config->forward_via, "ports");
	struct sockaddr_storage *addresses = calloc(config->forwarder_count + 1u, sizeof(*addresses));
	for (unsigned i = 0; addresses && i < config->forwarder_count; i++)
		addresses[i] = address_of(&config->forwarders[i]);
	upstream_set_options(f->upstream, &options);
	if (addresses && upstream_set_servers(f->upstream, addresses, config->forwarder_count) == ST_OK)
		f->servers = config->forwarder_count;
	else
		log_error("no memory for the forwarders; the former ones stay");
	free(addresses);
}

static void *forwarders_new(struct event_base *base, struct resolver *resolver, const struct config *config)
{
	struct forwarders *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	struct upstream_options options = options_of(f, config);
	f->resolver = resolver;
	RB_INIT(&f->pending);
	f->upstream = upstream_new(base, &options);
	if (!f->upstream) {
		free(f);
		return NULL;
	}
	forwarders_reconfigure(f, config);
	return f;
}

static void forwarders_free(void *state)
{
	struct forwarders *f = state;
	upstream_free(f->upstream);
	free(f);
}

static bool forwarders_in_use(const void *state)
{
	return ((const struct forwarders *)state)->servers;
}

const struct step_kind forwarders_step = {
	.name = "forwarders",
	.help = "other name servers",
	.new = forwarders_new,
	.reconfigure = forwarders_reconfigure,
	.free = forwarders_free,
	.in_use = forwarders_in_use,
	.run = from_forwarders,
};

void resolver_each_forwarder(
	const struct resolver *r, void (*visit)(void *ctx, const struct upstream_server *), void *ctx)
{
	const struct forwarders *f = r->state[STEP_FORWARDERS];
	upstream_each_server(f->upstream, visit, ctx);
}

void forwarders_count(const void *state, struct resolver_counters *to)
{
	const struct forwarders *f = state;
	const struct upstream_counters *from = upstream_counters(f->upstream);
	to->upstream_sent = from->sent;
	to->upstream_retries = from->retries;
	to->upstream_tcp = from->tcp;
	to->upstream_replies = from->replies;
	to->upstream_mismatched = from->mismatched;
	to->upstream_timeouts = from->timeouts;
	to->upstream_malformed = from->malformed;
	to->upstream_errors = from->errors;
	to->upstream_unreachable = from->unreachable;
	to->upstream_no_socket = from->no_socket;
	to->upstream_without_edns = from->without_edns;
}
