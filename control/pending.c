// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "pending.h"

#define TYPE_TKEY_CODE 249
#define TYPE_TSIG_CODE 250

static int compare(const struct pending *a, const struct pending *b)
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

RB_GENERATE_INTERNAL(pending_set, pending, by_question, compare, __attribute__((unused)) static)

void pending_init(struct pending *p, const struct ask *ask)
{
	const struct query *q = &ask->query;
	TAILQ_INIT(&p->asks);
	p->name_bytes = name_fold(p->name, ask_name(ask));
	p->type = q->type;
	p->class = q->class;
	p->dnssec_ok = q->dnssec_ok;
	p->checking_disabled = q->flags & FLAG_CD;
}

struct pending *pending_find(struct pending_set *set, struct pending *like)
{
	return RB_FIND(pending_set, set, like);
}

void pending_add(struct pending_set *set, struct pending *p)
{
	RB_INSERT(pending_set, set, p);
}

void pending_remove(struct pending_set *set, struct pending *p)
{
	RB_REMOVE(pending_set, set, p);
}

static void forget(struct ask *ask)
{
	struct pending *p = ask->step_ctx;
	TAILQ_REMOVE(&p->asks, ask, waiting);
}

void pending_wait(struct pending *p, struct ask *ask)
{
	TAILQ_INSERT_TAIL(&p->asks, ask, waiting);
	ask->forget = forget;
	ask->step_ctx = p;
}

struct ask *pending_take(struct pending *p)
{
	struct ask *ask = TAILQ_FIRST(&p->asks);
	if (ask)
		TAILQ_REMOVE(&p->asks, ask, waiting);
	return ask;
}

bool pending_may_ask(const struct query *q)
{
	return q->flags & FLAG_RD && q->type != TYPE_AXFR && q->type != TYPE_IXFR && q->type != TYPE_OPT &&
	       q->type != TYPE_TKEY_CODE && q->type != TYPE_TSIG_CODE;
}
