// SPDX-License-Identifier: BSD-3-Clause
// The step that asks other name servers: those of the longest forward zone that holds the name, one group after the
// other until one knows.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>

#include "chain.h"
#include "forward_groups.h"
#include "learned.h"

struct forwarders {
	struct resolver *resolver;
	struct groups *groups;
	unsigned max_waiting;
	bool ends;
};

// One question to the servers of one group.
struct errand {
	struct pending pending; // first: it is what the asks wait for
	struct forwarders *forwarders;
	struct group *group;
};

static const char *words_of(enum peer_protocol protocol)
{
	static const char *const words[] = { [PEER_UDP] = "UDP", [PEER_TCP] = "TCP", [PEER_TLS] = "TLS" };
	return words[protocol];
}

static void note_end(struct ask *ask, const struct upstream_end *end)
{
	char text[FORWARDER_TEXT_BYTES];
	if (!ask_takes_notes(ask))
		return;
	if (end->server)
		ask_note(ask, "%s over %s: %s, %u sent", forwarder_to_text(text, end->server), words_of(end->over),
			lookup_text(end->lookup), end->sent);
	else
		ask_note(ask, "%s, %u sent", lookup_text(end->lookup), end->sent);
}

static struct verdict verdict_of(const struct group *group, const struct message *reply)
{
	return (struct verdict){ .flags = group->trusts_ad ? reply->flags & FLAG_AD : 0, .why = EDE_NONE };
}

// RFC 8914 4.23, 4.24
static enum extended_error reason_of(enum lookup lookup)
{
	return lookup == LOOKUP_IO ? EDE_NETWORK_ERROR : EDE_NO_REACHABLE_AUTHORITY;
}

static bool is_final(const struct group *group, enum lookup lookup)
{
	return lookup == LOOKUP_ANSWER || (lookup == LOOKUP_NXDOMAIN && group->nxdomain_is_final);
}

// What the next group may know better is not learned from this one.
static void learn(const struct errand *errand, const struct upstream_end *end)
{
	const struct pending *p = &errand->pending;
	struct learned *learned = learned_of(errand->forwarders->resolver);
	const struct learned_key key = { p->name, p->type, p->class, p->dnssec_ok, p->checking_disabled };
	const struct ask *ask = TAILQ_FIRST(&p->asks);
	if (end->lookup == LOOKUP_CANCELLED || (errand->group->next && !is_final(errand->group, end->lookup)))
		return;
	if (end->reply) {
		const struct verdict verdict = verdict_of(errand->group, end->reply);
		learned_store(learned, &key, end->reply, &verdict);
	} else if (!ask || !ask->negative) { // a "no" of an earlier group is still an answer
		learned_failure(learned, &key, reason_of(end->lookup));
	}
}

static enum outcome ask_groups(struct ask *ask, struct forwarders *f, struct group *group);

// Whoever could know and failed leaves SERVFAIL behind, whatever they said.
static enum outcome take_end(struct ask *ask, const struct errand *errand, const struct upstream_end *end)
{
	struct group *group = errand->group;
	note_end(ask, end);
	if (is_final(group, end->lookup)) {
		const struct verdict verdict = verdict_of(group, end->reply);
		return ask_reply(ask, end->reply, &verdict);
	}
	if (end->lookup == LOOKUP_NXDOMAIN) {
		const struct verdict verdict = verdict_of(group, end->reply);
		ask_keep_negative(ask, end->reply, &verdict);
	} else {
		ask->rcode = RCODE_SERVFAIL;
		ask->why = reason_of(end->lookup);
	}
	// Cancelled: the group is on its way out, and its neighbours may be, too.
	return end->lookup == LOOKUP_CANCELLED ? PASS : ask_groups(ask, errand->forwarders, group->next);
}

static void on_upstream(void *ctx, const struct upstream_end *end)
{
	struct errand *errand = ctx;
	struct ask *ask;
	pending_remove(&errand->group->asked, &errand->pending);
	learn(errand, end);
	while ((ask = pending_take(&errand->pending))) {
		if (errand->forwarders->ends)
			ask_drop(ask);
		else
			ask_resume(ask, take_end(ask, errand, end));
	}
	free(errand);
}

static struct pending *ask_upstream(struct forwarders *f, struct group *group, const struct ask *ask)
{
	struct errand *errand = malloc(sizeof(*errand));
	if (!errand)
		return NULL;
	struct pending *p = &errand->pending;
	pending_init(p, ask);
	errand->forwarders = f;
	errand->group = group;
	const struct upstream_question question = { p->name, p->type, p->class, p->dnssec_ok, p->checking_disabled };
	if (upstream_ask(group->upstream, &question, on_upstream, errand) != ST_OK) {
		free(errand);
		return NULL;
	}
	pending_add(&group->asked, p);
	return p;
}

static bool wait_for(struct ask *ask, struct forwarders *f, struct group *group)
{
	struct pending like;
	pending_init(&like, ask);
	struct pending *pending = pending_find(&group->asked, &like);
	if (pending)
		f->resolver->counters.coalesced++;
	else if (!(pending = ask_upstream(f, group, ask)))
		return false;
	pending_wait(pending, ask);
	return true;
}

// This group, or the next one of its zone that can be asked.
static enum outcome ask_groups(struct ask *ask, struct forwarders *f, struct group *group)
{
	for (; group; group = group->next) {
		if (group->is_closed)
			continue;
		if (group->servers && wait_for(ask, f, group))
			return WAIT;
		ask->rcode = RCODE_SERVFAIL;
		ask->why = EDE_NETWORK_ERROR;
	}
	return PASS;
}

static enum outcome from_forwarders(struct ask *ask, void *state)
{
	struct forwarders *f = state;
	struct resolver *r = f->resolver;
	if (!pending_may_ask(&ask->query))
		return PASS;
	uint8_t name[NAME_MAX_BYTES];
	name_fold(name, ask_name(ask));
	struct group *group = groups_find(f->groups, name);
	if (!group || (group->is_closed && !group->next))
		return PASS;
	if (r->counters.open >= f->max_waiting) {
		r->counters.full++;
		ask->rcode = RCODE_SERVFAIL;
		return PASS;
	}
	return ask_groups(ask, f, group);
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

static void forwarders_reconfigure(void *state, const struct config *config)
{
	struct forwarders *f = state;
	f->max_waiting = config->forward_max_open;
	groups_configure(f->groups, config);
}

static void *forwarders_new(struct event_base *base, struct resolver *resolver, const struct config *config)
{
	struct forwarders *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->resolver = resolver;
	f->groups = groups_new(base, resolver->tap);
	if (!f->groups) {
		free(f);
		return NULL;
	}
	forwarders_reconfigure(f, config);
	return f;
}

static void forwarders_free(void *state)
{
	struct forwarders *f = state;
	f->ends = true;
	groups_free(f->groups);
	free(f);
}

static bool forwarders_in_use(const void *state)
{
	return groups_any(((const struct forwarders *)state)->groups);
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

void resolver_each_forward_group(const struct resolver *r, void (*visit)(void *ctx, struct group *), void *ctx)
{
	const struct forwarders *f = r->state[STEP_FORWARDERS];
	groups_each(f->groups, visit, ctx);
}

void resolver_reload_forwarders(struct resolver *r)
{
	struct forwarders *f = r->state[STEP_FORWARDERS];
	groups_reload(f->groups);
}

static void count_group(void *ctx, struct group *group)
{
	struct upstream_counters *sum = ctx;
	if (!group->upstream)
		return;
	const struct upstream_counters *c = upstream_counters(group->upstream);
	upstream_counters_add(sum, c);
	sum->open += c->open;
	sum->sockets += c->sockets;
}

void forwarders_count(const void *state, struct resolver_counters *to)
{
	const struct forwarders *f = state;
	struct upstream_counters sum = *groups_gone(f->groups);
	groups_each(f->groups, count_group, &sum);
	to->upstream_sent = sum.sent;
	to->upstream_retries = sum.retries;
	to->upstream_tcp = sum.tcp;
	to->upstream_tls = sum.tls;
	to->upstream_probes = sum.probes;
	to->upstream_connections = sum.connections;
	to->upstream_resumed = sum.resumed;
	to->upstream_replies = sum.replies;
	to->upstream_mismatched = sum.mismatched;
	to->upstream_late = sum.late;
	to->upstream_floods = sum.floods;
	to->upstream_malformed = sum.malformed;
	to->upstream_errors = sum.errors;
	to->upstream_timeouts = sum.timeouts;
	to->upstream_unreachable = sum.unreachable;
	to->upstream_no_socket = sum.no_socket;
	to->upstream_without_edns = sum.without_edns;
	to->upstream_exhausted = sum.exhausted;
	to->upstream_open = sum.open;
	to->upstream_sockets = sum.sockets;
}
