// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "places.h"

#define RECORDS_BETWEEN_LOOKS 1024 // at the clock

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// A wildcard's records are given the name that was asked for (RFC 4592 3.3.1).
static bool may_own(const uint8_t *owner, const uint8_t *name)
{
	if (name_equal(owner, name))
		return true;
	return owner[0] == 1 && owner[1] == '*' && name_is_under(name, owner + 2);
}

static enum status look_at(void *ctx, const struct record *record)
{
	struct places *p = ctx;
	for (unsigned i = 0; i < p->count; i++) {
		struct place *place = &p->place[i];
		const struct message_rr *rr = place->rr;
		if (place->file || record->type != rr->type || record->rdata_bytes != rr->rdata_bytes ||
			memcmp(record->rdata, rr->rdata, rr->rdata_bytes) != 0 ||
			!may_own(record->owner, rr->owner))
			continue;
		place->file = strdup(record->file);
		place->line = record->line;
		p->found++;
	}
	if (++p->records % RECORDS_BETWEEN_LOOKS == 0)
		p->gave_up = now_ms() > p->until_ms;
	return p->found == p->count || p->gave_up ? ST_CANCELLED : ST_OK;
}

static void run(struct loader_task *task, const _Atomic bool *interrupted)
{
	struct places *p = (struct places *)task;
	struct report report = { 0 };
	if (*interrupted)
		return;
	p->until_ms = now_ms() + PLACES_MAX_MS;
	if (zonefile_read(p->path, p->apex, look_at, p, &report, NULL) != ST_OK)
		p->gave_up |= p->found < p->count && !report.errors;
}

static void want(struct places *p, enum section section)
{
	for (unsigned i = p->wanted.section_at[section];
		i < p->wanted.section_at[section + 1] && p->count < PLACES_MAX; i++)
		p->place[p->count++].rr = &p->wanted.rr[i];
}

struct places *places_new(const uint8_t *apex, const char *path, const uint8_t *reply, unsigned bytes)
{
	struct places *p = calloc(1, sizeof(*p));
	if (!p || message_read(&p->wanted, reply, bytes) != ST_OK) {
		free(p);
		return NULL;
	}
	p->task.run = run;
	name_fold(p->apex, apex);
	p->path = strdup(path);
	want(p, SECTION_ANSWER);
	if (!p->count)
		want(p, SECTION_AUTHORITY);
	if (p->path)
		return p;
	places_free(p);
	return NULL;
}

void places_free(struct places *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->count; i++)
		free(p->place[i].file);
	message_clear(&p->wanted);
	free(p->path);
	free(p);
}
