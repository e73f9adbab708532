// SPDX-License-Identifier: BSD-3-Clause
// The first step: our own zones, by the same code as in the dataplane.
#include <pollux/bytes.h>
#include <pollux/rrtype.h>

#include "chain.h"

// Ours, but not served yet: nobody else may be asked, and nobody is told that it does not exist.
static bool is_awaited(const struct ask *ask, const uint8_t *name)
{
	const struct resolver *r = ask->resolver;
	return r->awaited && r->awaited(r->awaited_ctx, name);
}

// A CNAME or DNAME led out of our zones (RFC 1034 4.3.2 3a): what was found goes in front of what the next
// step finds for the last target.
enum outcome ask_keep_aliases(struct ask *ask)
{
	const struct reply *reply = &ask->resolver->reply;
	ask->rcode = RCODE_SERVFAIL;
	if (message_read(&ask->own, reply->wire, reply->bytes) != ST_OK)
		return ERROR;
	for (unsigned i = 0; i < ask->own.section_at[SECTION_ANSWER + 1]; i++) {
		if (ask->own.rr[i].type == TYPE_CNAME)
			ask->target = ask->own.rr[i].rdata;
	}
	if (!ask->target)
		return ERROR;
	if (is_awaited(ask, ask->target)) {
		ask->why = EDE_NOT_READY;
		return ERROR;
	}
	char text[NAME_TEXT_BYTES];
	if (ask->trace)
		ask_note(ask, "an alias leads to %s", name_to_text(text, ask->target));
	return PASS;
}

static void note_zone(struct ask *ask, const struct image *zone)
{
	char apex[NAME_TEXT_BYTES];
	if (zone && ask_takes_notes(ask))
		ask_note(ask, "zone %s serial %u from %s", name_to_text(apex, zone->apex), zone->serial,
			(const char *)image_at(zone, zone->source_ref));
}

// Who does not ask for recursion may still hear what was learned (the chain ends with the cache then).
static bool may_be_learned(const struct ask *ask)
{
	const struct query *q = &ask->query;
	return ask->policy.has_chain && !(q->flags & FLAG_RD) && q->class == CLASS_IN && q->type != TYPE_AXFR &&
	       q->type != TYPE_IXFR && ask->resolver->reply.rcode == RCODE_REFUSED;
}

static enum outcome from_authorities(struct ask *ask, void *state)
{
	(void)state;
	struct resolver *r = ask->resolver;
	if (ask->target) // out of our zones, by a rule
		return PASS;
	const struct image *zone = catalog_find(r->catalog, &ask->query.name);
	ask_face_client(ask);
	if (!zone && ask->query.class == CLASS_IN && is_awaited(ask, ask->query.name.wire)) {
		answer_error_why(&ask->policy, &ask->query, RCODE_SERVFAIL, EDE_NOT_READY, &r->reply);
		return ANSWER;
	}
	switch (answer_query(r->catalog, &ask->policy, &ask->query, zone, ask->asker.transport, &r->reply)) {
	case ANSWER_READY:
		break;
	case ANSWER_NOT_HERE:
		return PASS;
	case ANSWER_CONTINUE:
		return ask_keep_aliases(ask);
	}
	if (!zone && may_be_learned(ask)) {
		ask->why = catalog_is_ready(r->catalog) ? EDE_NOT_AUTHORITATIVE : EDE_NOT_READY;
		return PASS;
	}
	if (!zone && r->reply.rcode == RCODE_REFUSED)
		r->counters.refused++;
	note_zone(ask, zone);
	return ANSWER;
}

// Waiting for memory was a third of what an answer over TCP cost control. By walks as in the dataplane, through few enough
// questions that what was fetched first is still there in the end.
size_t resolver_foresee(const struct resolver *r, const uint8_t *framed, size_t count)
{
	enum { AT_ONCE = 16 };
	struct query query[AT_ONCE];
	const struct image *zone[AT_ONCE];
	const struct node *node[AT_ONCE];
	uint64_t seed = catalog_seed(r->catalog);
	enum rcode rcode;
	unsigned found = 0;
	size_t at = 0;

	while (found < AT_ONCE && count - at >= 2) {
		unsigned bytes = load_be16(framed + at);
		if (count - at - 2 < bytes)
			break;
		found += query_parse(&query[found], framed + at + 2, bytes, seed, &rcode) == QUERY_VALID;
		at += 2 + bytes;
	}
	if (found < 2) // nobody to wait together with
		return at;
	for (unsigned i = 0; i < found; i++)
		catalog_prefetch(r->catalog, &query[i].name);
	for (unsigned i = 0; i < found; i++) {
		zone[i] = catalog_find(r->catalog, &query[i].name);
		if (zone[i])
			image_prefetch_name(zone[i], &query[i].name);
	}
	for (unsigned i = 0; i < found; i++) {
		node[i] = zone[i] ? image_probe(zone[i], &query[i].name) : NULL;
		if (node[i])
			image_prefetch_node(node[i]);
	}
	for (unsigned i = 0; i < found; i++) {
		if (node[i])
			image_prefetch_rest(zone[i], node[i]);
	}
	return at;
}

const struct step_kind authorities_step = {
	.name = "authorities",
	.help = "the zones served here",
	.run = from_authorities,
};
