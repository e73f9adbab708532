// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pollux/log.h>

#include "clock.h"
#include "handover.h"
#include "shard.h"

// One with and one without validation, and each of them twice: what one context remembers until just before it
// expires, the other one fetches anew.
#define CONTEXTS 4
#define AGAIN 1
#define CHECKING_DISABLED 2

struct shard {
	struct handover *down, *up;
	struct library_settings *settings;
	struct shard_counters counters;
	atomic_uint holders; // the thread and the recursor: the last one frees it
	atomic_bool left; // by the recursor: nobody takes finished jobs any more
	int namespace;	  // -1: that of the process
	// The thread's own.
	struct event_base *base;
	struct ub_ctx *context[CONTEXTS];
	unsigned most;	       // the context that most questions go to
	bool broken[CONTEXTS]; // could not be made
	bool inside;	       // the namespace has been entered, if there is one
};

static atomic_uint threads; // that run now

void job_free(struct job *job)
{
	if (!job)
		return;
	message_clear(&job->answer.message);
	message_clear(&job->second.message);
	free(job);
}

static void count(struct shard *shard, const struct recursor_answer *answer)
{
	struct shard_counters *c = &shard->counters;
	atomic_uint_fast64_t *counter = answer->security == SECURITY_BOGUS ? &c->bogus
					: answer->why != EDE_NONE	   ? &c->failed
					: answer->security == SECURITY_SECURE ? &c->secure
									      : &c->insecure;
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

// The queue has room for every job there can be.
static void finish(struct shard *shard, struct job *job)
{
	count(shard, &job->answer);
	if (atomic_load(&shard->left) || !handover_give(shard->up, job))
		job_free(job);
}

static void fail(struct job *job, const char *text)
{
	library_read_answer(&job->answer, RCODE_SERVFAIL, NULL, 0, 0, text);
	finish(job->shard, job);
}

static uint32_t least_ttl(const struct recursor_answer *answer)
{
	uint32_t least = UINT32_MAX;
	const struct message *m = &answer->message;
	for (unsigned i = 0; i < m->section_at[SECTION_AUTHORITY + 1]; i++)
		least = m->rr[i].ttl < least ? m->rr[i].ttl : least;
	return least;
}

// Of what the two contexts said, what lasts longer; an error never.
static void choose_answer(struct job *job)
{
	struct recursor_answer other = job->second;
	bool failed = job->answer.why != EDE_NONE;
	job->second = (struct recursor_answer){ 0 };
	if (failed || (other.why == EDE_NONE && least_ttl(&other) > least_ttl(&job->answer))) {
		message_clear(&job->answer.message);
		job->answer = other;
	} else {
		message_clear(&other.message);
	}
}

static void on_answer(void *ctx, int rcode, void *packet, int bytes, int security, char *why, int was_limited)
{
	(void)was_limited;
	struct job *job = ctx;
	library_read_answer(job->again ? &job->second : &job->answer, rcode, packet, bytes, security, why);
	job->answered = true;
	if (job->starting)
		return;
	if (job->again)
		choose_answer(job);
	finish(job->shard, job);
}

static unsigned index_of(const struct job *job)
{
	return (job->checking_disabled ? CHECKING_DISABLED : 0) + (job->again ? AGAIN : 0);
}

static struct ub_ctx *context_of(struct shard *shard, const struct job *job, bool *first)
{
	unsigned i = index_of(job);
	*first = !shard->context[i];
	if (!shard->inside || shard->broken[i])
		return NULL;
	if (*first)
		shard->context[i] = library_context(shard->settings, shard->base, !job->checking_disabled, i == shard->most);
	shard->broken[i] = !shard->context[i]; // the reason has been logged; once is enough
	return shard->context[i];
}

static bool ask_library(struct shard *shard, struct job *job)
{
	bool first;
	struct ub_ctx *context = context_of(shard, job, &first);
	if (!context)
		return false;
	job->answered = false;
	job->starting = true;
	bool taken = library_ask(context, first, job->name, job->type, job->class, on_answer, job);
	job->starting = false;
	if (first && !taken)
		shard->broken[index_of(job)] = true; // so are all others
	return taken;
}

static void start(struct shard *shard, struct job *job)
{
	job->shard = shard;
	if (!ask_library(shard, job)) {
		fail(job, "libunbound could not be started");
		return;
	}
	if (!job->answered)
		return;
	atomic_fetch_add_explicit(&shard->counters.recalled, 1, memory_order_relaxed);
	if (job->refresh) {
		job->again = true;
		if (ask_library(shard, job)) {
			if (!job->answered)
				return;
			choose_answer(job);
		}
	}
	finish(shard, job);
}

static void on_jobs(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct shard *shard = ctx;
	struct job *job;
	handover_wake(shard->down);
	while ((job = handover_take(shard->down))) {
		if (atomic_load(&shard->left))
			job_free(job);
		else
			start(shard, job);
	}
	if (atomic_load(&shard->left))
		event_base_loopbreak(shard->base);
}

static void release(struct shard *shard)
{
	struct job *job;
	if (atomic_fetch_sub(&shard->holders, 1) > 1)
		return;
	while (shard->down && (job = handover_take(shard->down)))
		job_free(job);
	while (shard->up && (job = handover_take(shard->up)))
		job_free(job);
	handover_free(shard->down);
	handover_free(shard->up);
	library_settings_release(shard->settings);
	if (shard->namespace >= 0)
		close(shard->namespace);
	free(shard);
}

// Sockets of the thread are made in the namespace that it is in.
static bool enter_namespace(const struct shard *shard)
{
	if (shard->namespace < 0 || setns(shard->namespace, CLONE_NEWNET) == 0)
		return true;
	log_error("recursion: cannot enter the network namespace of the ports: %s", strerror(errno));
	return false;
}

static void *run(void *ctx)
{
	struct shard *shard = ctx;
	pthread_setname_np(pthread_self(), "recursion");
	shard->inside = enter_namespace(shard);
	struct event *jobs = event_new(shard->base, handover_fd(shard->down), EV_READ | EV_PERSIST, on_jobs, shard);
	if (jobs && event_add(jobs, NULL) == 0)
		event_base_dispatch(shard->base);
	else
		log_error("recursion: no memory for a thread's events");
	for (unsigned i = 0; i < CONTEXTS; i++)
		library_context_free(shard->context[i]);
	if (jobs)
		event_free(jobs);
	event_base_free(shard->base);
	release(shard);
	atomic_fetch_sub(&threads, 1);
	return NULL;
}

// Signals are the main thread's.
static int start_thread(struct shard *shard)
{
	pthread_t thread;
	pthread_attr_t attributes;
	sigset_t all, before;
	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_fetch_add(&threads, 1);
	int error = pthread_create(&thread, &attributes, run, shard);
	if (error)
		atomic_fetch_sub(&threads, 1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

enum status shard_start(struct shard **to, struct library_settings *settings, unsigned room, bool validates, int namespace)
{
	struct shard *shard = calloc(1, sizeof(*shard));
	if (!shard)
		return ST_NO_MEMORY;
	shard->settings = library_settings_share(settings);
	shard->most = validates ? 0 : CHECKING_DISABLED;
	shard->namespace = -1;
	atomic_init(&shard->holders, 2);
	shard->down = handover_new(room);
	shard->up = handover_new(room);
	shard->base = event_base_new();
	bool good = shard->down && shard->up && shard->base;
	if (good && namespace >= 0)
		good = (shard->namespace = dup(namespace)) >= 0;
	if (good && !(errno = start_thread(shard))) {
		*to = shard;
		return ST_OK;
	}
	int error = errno;
	if (shard->base)
		event_base_free(shard->base);
	atomic_store(&shard->holders, 1);
	release(shard);
	errno = error;
	return ST_SYSTEM;
}

void shard_leave(struct shard *shard)
{
	if (!shard)
		return;
	atomic_store(&shard->left, true);
	handover_ring(shard->down);
	release(shard);
}

bool shard_give(struct shard *shard, struct job *job)
{
	return handover_give(shard->down, job);
}

struct job *shard_take(struct shard *shard)
{
	return handover_take(shard->up);
}

int shard_fd(const struct shard *shard)
{
	return handover_fd(shard->up);
}

void shard_wake(struct shard *shard)
{
	handover_wake(shard->up);
}

const struct shard_counters *shard_counters(const struct shard *shard)
{
	return &shard->counters;
}

bool shards_await_end(unsigned timeout_ms)
{
	uint64_t end = clock_us() + timeout_ms * UINT64_C(1000);
	while (atomic_load(&threads) > 0) {
		if (clock_us() > end)
			return false;
		usleep(1000);
	}
	return true;
}
