// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pollux/log.h>

#include "expiry.h"

#define FIRST_LOOK_S 60 // behind the start
#define EVERY_S 3600

struct expiry {
	struct loader_task task;
	const struct catalog *catalog;
	struct loader *loader;
	struct reclaimer *reclaimer;
	struct event *timer;
	struct expiring found;
};

struct look {
	struct expiring *found;
	uint64_t now_s;
};

static void look_at(void *ctx, const struct image *image)
{
	struct look *look = ctx;
	struct expiring *found = look->found;
	int64_t left_s = image_expires_in_s(image, look->now_s);
	if (left_s >= EXPIRY_SOON_S)
		return;
	unsigned at = found->count < EXPIRY_SHOWN ? found->count : EXPIRY_SHOWN;
	found->count++;
	while (at && found->zone[at - 1].left_s > left_s)
		at--;
	if (at == EXPIRY_SHOWN)
		return;
	memmove(&found->zone[at + 1], &found->zone[at], (EXPIRY_SHOWN - 1 - at) * sizeof(found->zone[0]));
	found->zone[at].left_s = left_s;
	memcpy(found->zone[at].apex, image->apex, image->apex_bytes);
}

void expiry_find(const struct catalog *catalog, uint64_t now_s, struct expiring *found)
{
	struct look look = { found, now_s };
	found->count = 0;
	catalog_each(catalog, look_at, &look);
}

static void run_look(struct loader_task *task, const _Atomic bool *interrupted)
{
	struct expiry *expiry = task->ctx;
	(void)interrupted;
	expiry_find(expiry->catalog, (uint64_t)time(NULL), &expiry->found);
}

static void tell_zone(const struct expiring_zone *zone)
{
	char name[NAME_TEXT_BYTES];
	name_to_text(name, zone->apex);
	if (zone->left_s < 0)
		log_warning("zone %s: signatures have run out, the first %lld hours ago: validating resolvers refuse it", name,
			(long long)-zone->left_s / 3600);
	else
		log_warning("zone %s: the first signature runs out in %lld hours", name, (long long)zone->left_s / 3600);
}

static void look_over(void *ctx, struct loader_task *task)
{
	(void)task;
	struct expiry *expiry = ctx;
	const struct expiring *found = &expiry->found;
	reclaimer_release(expiry->reclaimer);
	for (unsigned i = 0; i < found->count && i < EXPIRY_SHOWN; i++)
		tell_zone(&found->zone[i]);
	if (found->count > EXPIRY_SHOWN)
		log_warning("and %u more zones whose signatures run out soon", found->count - EXPIRY_SHOWN);
	const struct timeval next = { .tv_sec = EVERY_S };
	event_add(expiry->timer, &next);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct expiry *expiry = ctx;
	reclaimer_hold(expiry->reclaimer);
	expiry->task = (struct loader_task){ .run = run_look, .done = look_over, .ctx = expiry, .patient = true };
	loader_run(expiry->loader, &expiry->task);
}

struct expiry *expiry_new(struct event_base *base, const struct catalog *catalog, struct loader *loader,
	struct reclaimer *reclaimer)
{
	const struct timeval first = { .tv_sec = FIRST_LOOK_S };
	struct expiry *expiry = calloc(1, sizeof(*expiry));
	if (!expiry)
		return NULL;
	expiry->catalog = catalog;
	expiry->loader = loader;
	expiry->reclaimer = reclaimer;
	expiry->timer = event_new(base, -1, 0, on_timer, expiry);
	if (!expiry->timer || event_add(expiry->timer, &first) != 0) {
		expiry_free(expiry);
		return NULL;
	}
	return expiry;
}

void expiry_free(struct expiry *expiry)
{
	if (!expiry)
		return;
	if (expiry->timer)
		event_free(expiry->timer);
	free(expiry);
}
