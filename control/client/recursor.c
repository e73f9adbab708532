// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <pollux/name.h>

#include "recursor.h"
#include "shard.h"

// A question under way. Its job comes back with it unless the recursor has gone.
struct open_question {
	TAILQ_ENTRY(open_question) others;
	recursor_done *done;
	void *ctx;
	struct thread_of_recursor *thread;
};

struct thread_of_recursor {
	struct recursor *recursor;
	struct shard *shard;
	struct event *finished;
	uint64_t asked, open;
};

struct recursor {
	TAILQ_HEAD(, open_question) open;
	unsigned open_count, max_open, thread_count;
	int namespace; // as it was given: a number to compare
	struct library_settings *settings;
	struct thread_of_recursor thread[RECURSOR_THREADS_MAX];
};

static void close_question(struct recursor *r, struct open_question *q)
{
	TAILQ_REMOVE(&r->open, q, others);
	r->open_count--;
	q->thread->open--;
}

static void answer(struct recursor *r, struct job *job)
{
	struct open_question *q = job->ctx;
	close_question(r, q);
	q->done(q->ctx, ST_OK, &job->answer);
	free(q);
	job_free(job);
}

static void on_finished(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct thread_of_recursor *thread = ctx;
	struct job *job;
	shard_wake(thread->shard);
	while ((job = shard_take(thread->shard)))
		answer(thread->recursor, job);
}

static enum status start_thread(struct thread_of_recursor *thread, struct event_base *base,
	const struct recursor_options *options, struct library_settings *settings)
{
	enum status status = shard_start(&thread->shard, settings, options->max_open, options->validate,
		options->namespace);
	if (status != ST_OK)
		return status;
	thread->finished = event_new(base, shard_fd(thread->shard), EV_READ | EV_PERSIST, on_finished, thread);
	return thread->finished && event_add(thread->finished, NULL) == 0 ? ST_OK : ST_NO_MEMORY;
}

enum status recursor_new(struct recursor **to, struct event_base *base, const struct recursor_options *options)
{
	struct recursor *r = calloc(1, sizeof(*r));
	if (!r)
		return ST_NO_MEMORY;
	TAILQ_INIT(&r->open);
	r->settings = library_settings_new(options);
	r->namespace = options->namespace;
	enum status status = r->settings ? ST_OK : ST_NO_MEMORY;
	for (unsigned i = 0; status == ST_OK && i < options->threads && i < RECURSOR_THREADS_MAX; i++) {
		r->thread[i].recursor = r;
		r->thread_count = i + 1;
		status = start_thread(&r->thread[i], base, options, r->settings);
	}
	if (status != ST_OK) {
		recursor_free(r);
		return status;
	}
	r->max_open = options->max_open;
	*to = r;
	return ST_OK;
}

void recursor_free(struct recursor *r)
{
	struct open_question *q;
	if (!r)
		return;
	while ((q = TAILQ_FIRST(&r->open))) {
		close_question(r, q);
		q->done(q->ctx, ST_CANCELLED, NULL);
		free(q);
	}
	for (unsigned i = 0; i < r->thread_count; i++) {
		if (r->thread[i].finished)
			event_free(r->thread[i].finished); // before the shard's descriptor goes
		shard_leave(r->thread[i].shard);
	}
	library_settings_release(r->settings);
	free(r);
}

bool recursor_has_options(const struct recursor *r, const struct recursor_options *options)
{
	struct library_settings *other = library_settings_new(options);
	bool same = other && library_settings_equal(r->settings, other) && r->thread_count == options->threads &&
		    r->namespace == options->namespace;
	library_settings_release(other);
	return same;
}

bool recursor_await_threads(unsigned timeout_ms)
{
	return shards_await_end(timeout_ms);
}

unsigned recursor_thread_of(const struct recursor *r, const uint8_t *name)
{
	uint8_t folded[NAME_MAX_BYTES];
	unsigned bytes = name_fold(folded, name);
	uint64_t hash = bytes;
	for (unsigned i = 0; i < bytes; i++)
		hash = (hash ^ folded[i]) * UINT64_C(0x100000001b3); // FNV-1a: no client gains by unequal shards
	return (unsigned)((hash ^ hash >> 32) % r->thread_count);
}

enum status recursor_ask(
	struct recursor *r, const struct recursor_question *question, recursor_done *done, void *ctx)
{
	if (r->open_count >= r->max_open)
		return ST_FULL;
	struct thread_of_recursor *thread = &r->thread[recursor_thread_of(r, question->name)];
	struct open_question *q = calloc(1, sizeof(*q));
	struct job *job = calloc(1, sizeof(*job));
	if (!q || !job) {
		free(q);
		free(job);
		return ST_NO_MEMORY;
	}
	*q = (struct open_question){ .done = done, .ctx = ctx, .thread = thread };
	job->ctx = q;
	job->type = question->type;
	job->class = question->class;
	job->checking_disabled = question->checking_disabled;
	job->refresh = question->refresh;
	memcpy(job->name, question->name, name_length(question->name, NAME_MAX_BYTES));
	if (!shard_give(thread->shard, job)) { // it has room for max_open
		free(q);
		free(job);
		return ST_FULL;
	}
	TAILQ_INSERT_TAIL(&r->open, q, others);
	r->open_count++;
	thread->open++;
	thread->asked++;
	return ST_OK;
}

unsigned recursor_open(const struct recursor *r)
{
	return r->open_count;
}

unsigned recursor_threads(const struct recursor *r)
{
	return r->thread_count;
}

struct recursor_counters recursor_counters(const struct recursor *r, unsigned i)
{
	const struct thread_of_recursor *thread = &r->thread[i];
	const struct shard_counters *from = shard_counters(thread->shard);
	return (struct recursor_counters){
		.asked = thread->asked,
		.open = thread->open,
		.secure = atomic_load(&from->secure),
		.insecure = atomic_load(&from->insecure),
		.bogus = atomic_load(&from->bogus),
		.failed = atomic_load(&from->failed),
		.recalled = atomic_load(&from->recalled),
	};
}
