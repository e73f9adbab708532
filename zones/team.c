// SPDX-License-Identifier: BSD-3-Clause
#include <pthread.h>
#include <sched.h>

#include "team.h"

struct team {
	const struct team_work *work;
	void *ctx;
	unsigned slots;
	pthread_mutex_t lock;
	pthread_cond_t change;
	unsigned members;	// under the lock, as is the rest
	unsigned next, settled; // parts
	bool ran[TEAM_SLOTS_MAX];
	bool settling, over;
};

static unsigned within_bounds(unsigned threads)
{
	return threads < 1 ? 1 : threads > TEAM_THREADS_MAX ? TEAM_THREADS_MAX : threads;
}

unsigned team_slots(unsigned threads)
{
	return 2 * within_bounds(threads);
}

static void settle_next(struct team *team)
{
	unsigned part = team->settled;
	bool goes_on = true;
	team->settling = true;
	pthread_mutex_unlock(&team->lock);
	if (team->work->settle)
		goes_on = team->work->settle(team->ctx, part);
	pthread_mutex_lock(&team->lock);
	team->settling = false;
	team->ran[part % team->slots] = false;
	team->settled++;
	team->over |= !goes_on || team->settled == team->work->parts;
	pthread_cond_broadcast(&team->change);
}

static void run_next(struct team *team, unsigned member)
{
	unsigned part = team->next++;
	pthread_mutex_unlock(&team->lock);
	team->work->run(team->ctx, part, member);
	pthread_mutex_lock(&team->lock);
	team->ran[part % team->slots] = true;
	pthread_cond_broadcast(&team->change);
}

static void *take_part(void *ctx)
{
	struct team *team = ctx;
	pthread_mutex_lock(&team->lock);
	unsigned member = team->members++;
	while (!team->over) {
		if (!team->settling && team->ran[team->settled % team->slots])
			settle_next(team);
		else if (team->next < team->work->parts && team->next < team->settled + team->slots)
			run_next(team, member);
		else
			pthread_cond_wait(&team->change, &team->lock);
	}
	pthread_mutex_unlock(&team->lock);
	return NULL;
}

static void run_alone(const struct team_work *work, void *ctx)
{
	bool goes_on = true;
	for (unsigned part = 0; part < work->parts && goes_on; part++) {
		work->run(ctx, part, 0);
		goes_on = !work->settle || work->settle(ctx, part);
	}
}

// New threads begin on the core of who makes them, and where others look half busy they stay there together for longer
// than such work takes.
static void start_elsewhere(pthread_attr_t *attributes)
{
	cpu_set_t set;
	int here = sched_getcpu();
	pthread_attr_init(attributes);
	if (here < 0 || here >= CPU_SETSIZE || sched_getaffinity(0, sizeof(set), &set) != 0)
		return;
	CPU_CLR(here, &set);
	if (CPU_COUNT(&set) > 0)
		pthread_attr_setaffinity_np(attributes, sizeof(set), &set);
}

static void run_together(unsigned threads, const struct team_work *work, void *ctx)
{
	struct team team = { .work = work, .ctx = ctx, .slots = team_slots(threads), .over = work->parts == 0,
		.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER };
	pthread_t thread[TEAM_THREADS_MAX];
	pthread_attr_t attributes;
	unsigned others = 0;
	start_elsewhere(&attributes);
	while (others + 1 < threads && others + 1 < work->parts &&
		pthread_create(&thread[others], &attributes, take_part, &team) == 0)
		others++;
	pthread_attr_destroy(&attributes);
	take_part(&team);
	while (others)
		pthread_join(thread[--others], NULL);
	pthread_cond_destroy(&team.change);
	pthread_mutex_destroy(&team.lock);
}

void team_run(unsigned threads, const struct team_work *work, void *ctx)
{
	threads = within_bounds(threads);
	if (threads == 1 || work->parts < 2)
		run_alone(work, ctx);
	else
		run_together(threads, work, ctx);
}
