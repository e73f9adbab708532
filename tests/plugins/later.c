// SPDX-License-Identifier: BSD-3-Clause
// Answers later: "timer..." from the event loop, "thread..." from a thread, "never..." never, "twice..." two
// times, "slow..." after it has slept in the call, "stuck..." does not come back from it, "crash..." does not
// even that.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pollux/plugin.h>

#define THREADS_MAX 64

static const struct pollux_host *host;
static pthread_t threads[THREADS_MAX];
static unsigned thread_count;

static bool later_init(const struct pollux_host *its_host, const char *options, void **state)
{
	(void)options, (void)state;
	host = its_host;
	return true;
}

static void pause_ms(long ms)
{
	struct timespec wait = { ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&wait, NULL);
}

static void answer(struct pollux_reply *reply)
{
	host->add(reply, POLLUX_IN_ANSWER, "later.example. 0 A 198.18.9.10");
	host->complete(reply, POLLUX_ANSWER);
}

static void on_time(void *ctx)
{
	answer(ctx);
}

static void *in_thread(void *ctx)
{
	answer(ctx);
	return NULL;
}

static void later_fini(void *state)
{
	(void)state;
	while (thread_count)
		pthread_join(threads[--thread_count], NULL);
}

static enum pollux_result later_lookup(
	void *state, const struct pollux_question *q, struct pollux_reply *reply)
{
	(void)state;
	if (strncmp(q->name, "timer", 5) == 0)
		return host->after(host, 20, on_time, reply) ? POLLUX_WAIT : POLLUX_ERROR;
	if (strncmp(q->name, "thread", 6) == 0) {
		if (thread_count == THREADS_MAX ||
			pthread_create(&threads[thread_count], NULL, in_thread, reply) != 0)
			return POLLUX_ERROR;
		thread_count++;
		return POLLUX_WAIT;
	}
	if (strncmp(q->name, "never", 5) == 0)
		return POLLUX_WAIT;
	if (strncmp(q->name, "twice", 5) == 0) {
		answer(reply);
		answer(reply);
		return POLLUX_WAIT;
	}
	if (strncmp(q->name, "slow", 4) == 0)
		pause_ms(50);
	while (strncmp(q->name, "stuck", 5) == 0)
		pause_ms(1000);
	if (strncmp(q->name, "crash", 5) == 0)
		raise(SIGSEGV);
	return POLLUX_PASS;
}

const struct pollux_plugin pollux_plugin = { POLLUX_PLUGIN, .init = later_init, .fini = later_fini,
	.lookup = later_lookup };
