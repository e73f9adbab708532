// SPDX-License-Identifier: BSD-3-Clause
// Records that a step found -> the reply for its asker.
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pollux/bytes.h>
#include <pollux/rrtype.h>

#include "chain.h"
#include "reply.h"

#define TYPE_TSIG_CODE 250

struct kept_reply {
	enum rcode rcode;
	uint32_t bytes;
	uint8_t wire[];
};

const uint8_t *ask_name(const struct ask *ask)
{
	return ask->target ? ask->target : ask->query.wire + DNS_HEADER_BYTES;
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

// RFC 4035 3.2.1: who did not set DO gets signatures and proofs only when asking for them by name. RFC 8945
// 5.3: a TSIG is between two neighbours.
static bool is_for_client(const void *ctx, const struct message_rr *rr)
{
	const struct query *q = ctx;
	if (rr->type == TYPE_TSIG_CODE)
		return false;
	if (q->dnssec_ok || q->type == rr->type || q->type == TYPE_ANY)
		return true;
	return rr->type != TYPE_RRSIG && rr->type != TYPE_NSEC && rr->type != TYPE_NSEC3;
}

static bool put_section(struct ask *ask, enum section section, const struct message *m)
{
	unsigned first = m->section_at[section], count = m->section_at[section + 1] - first;
	return count == 0 || composer_add_all(
		&ask->resolver->composer, section, m->rr + first, count, is_for_client, &ask->query);
}

// AA speaks for the first owner in the answer (RFC 1035 4.1.1): set only when our own zone holds it. AD is for those
// who set AD or DO (RFC 6840 5.7, 5.8), and never speaks for aliases of ours that nobody validated.
static uint16_t reply_flags(const struct ask *ask, const struct message *m, const struct verdict *verdict)
{
	const struct query *q = &ask->query;
	uint16_t flags = FLAG_QR | (q->flags & (FLAG_OPCODE | FLAG_RD | FLAG_CD)) | (ask->own.flags & FLAG_AA) | (m->rcode & FLAG_RCODE);
	if (ask->policy.has_chain)
		flags |= FLAG_RA;
	if (verdict->flags & FLAG_AD && (q->flags & FLAG_AD || q->dnssec_ok) && !ask->target)
		flags |= FLAG_AD;
	return flags;
}

static uint32_t reply_limit(const struct ask *ask)
{
	const struct resolver *r = ask->resolver;
	uint32_t limit = answer_limit(&ask->policy, &ask->query, ask->asker.transport);
	return limit < r->reply.room ? limit : r->reply.room;
}

enum outcome ask_reply(struct ask *ask, const struct message *m, const struct verdict *verdict)
{
	struct resolver *r = ask->resolver;
	const struct query *q = &ask->query;
	struct composer *c = &r->composer;
	ask->rcode = RCODE_SERVFAIL;
	ask_face_client(ask);
	uint32_t limit = reply_limit(ask), opt_bytes = answer_opt_bytes(q, &r->parties, verdict->why);
	// The composer writes no OPT; the room of ours is kept free.
	if (!composer_start(c, r->buffer, limit - opt_bytes, q->id, reply_flags(ask, m, verdict),
		    q->wire + DNS_HEADER_BYTES, q->question_bytes, false))
		return ERROR;
	// RFC 2181 9: TC when something of the answer is missing, not for want of additional records.
	bool whole = put_section(ask, SECTION_ANSWER, &ask->own) && put_section(ask, SECTION_ANSWER, m) &&
		put_section(ask, SECTION_AUTHORITY, m);
	if (whole)
		put_section(ask, SECTION_ADDITIONAL, m);
	else
		composer_set_flags(c, FLAG_TC);
	uint32_t bytes = composer_end(c, 0, m->rcode, false);
	store_be16(r->buffer + 4, q->questions);
	if (opt_bytes) {
		store_be16(r->buffer + 10, (uint16_t)(load_be16(r->buffer + 10) + 1));
		bytes = answer_put_opt(r->buffer, bytes, limit, &ask->policy, q, &r->parties, m->rcode, verdict->why);
	}
	r->reply.bytes = bytes;
	r->reply.rcode = m->rcode;
	r->reply.truncated = !whole;
	return ANSWER;
}

enum outcome ask_keep_negative(struct ask *ask, const struct message *m, const struct verdict *verdict)
{
	const struct reply *reply = &ask->resolver->reply;
	if (ask->negative || ask_reply(ask, m, verdict) != ANSWER)
		return PASS;
	ask->negative = malloc(sizeof(*ask->negative) + reply->bytes);
	if (!ask->negative)
		return PASS;
	ask->by = resolver_step(ask->order.step[ask->step])->name;
	ask->negative->rcode = reply->rcode;
	ask->negative->bytes = reply->bytes;
	memcpy(ask->negative->wire, reply->wire, reply->bytes);
	return PASS;
}

void reply_with_kept(struct ask *ask)
{
	struct reply *reply = &ask->resolver->reply;
	const struct kept_reply *kept = ask->negative;
	memcpy(reply->wire, kept->wire, kept->bytes);
	reply->bytes = kept->bytes;
	reply->rcode = kept->rcode;
	reply->truncated = load_be16(kept->wire + 2) & FLAG_TC;
}
