// SPDX-License-Identifier: BSD-3-Clause
#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/time.h>
#include <time.h>

#include "slices.h"

#define SLICE_US 2000

struct job {
	TAILQ_ENTRY(job) next;
	bool (*work)(void *ctx);
	void (*end)(void *ctx, bool finished);
	void *ctx;
};

struct slices {
	struct event *turn;
	TAILQ_HEAD(, job) jobs; // the first one is worked on next
};

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void end_job(struct slices *slices, struct job *job, bool finished)
{
	void (*end)(void *ctx, bool finished) = job->end;
	void *ctx = job->ctx;
	TAILQ_REMOVE(&slices->jobs, job, next);
	free(job);
	end(ctx, finished);
}

static void next_turn(struct slices *slices)
{
	const struct timeval at_once = { 0 };
	if (!TAILQ_EMPTY(&slices->jobs))
		event_add(slices->turn, &at_once);
}

static void on_turn(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct slices *slices = ctx;
	struct job *job = TAILQ_FIRST(&slices->jobs);
	uint64_t until_us = now_us() + SLICE_US;
	bool more = true;
	while (more && now_us() < until_us)
		more = job->work(job->ctx);
	if (more) { // the others' turn
		TAILQ_REMOVE(&slices->jobs, job, next);
		TAILQ_INSERT_TAIL(&slices->jobs, job, next);
	} else {
		end_job(slices, job, true);
	}
	next_turn(slices);
}

enum status slices_start(
	struct slices *slices, bool (*work)(void *ctx), void (*end)(void *ctx, bool finished), void *ctx)
{
	struct job *job = malloc(sizeof(*job));
	if (!job)
		return ST_NO_MEMORY;
	*job = (struct job){ .work = work, .end = end, .ctx = ctx };
	TAILQ_INSERT_TAIL(&slices->jobs, job, next);
	next_turn(slices);
	return ST_OK;
}

struct slices *slices_new(struct event_base *base)
{
	struct slices *slices = calloc(1, sizeof(*slices));
	if (!slices)
		return NULL;
	TAILQ_INIT(&slices->jobs);
	slices->turn = event_new(base, -1, 0, on_turn, slices);
	if (!slices->turn) {
		free(slices);
		return NULL;
	}
	return slices;
}

void slices_free(struct slices *slices)
{
	struct job *job;
	if (!slices)
		return;
	while ((job = TAILQ_FIRST(&slices->jobs)))
		end_job(slices, job, false);
	event_free(slices->turn);
	free(slices);
}
