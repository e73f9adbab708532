// SPDX-License-Identifier: BSD-3-Clause
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <pollux/log.h>

#include "background.h"

struct background {
	const char *name;
	void (*work)(void *ctx);
	void (*done)(void *ctx);
	void *ctx;
	bool busy;
	pthread_t thread;
	int ended_fd; // an eventfd, written to by the thread as its last act
	struct event *ended;
};

static void *run(void *state)
{
	static const uint64_t one = 1;
	struct background *b = state;
	pthread_setname_np(pthread_self(), b->name);
	b->work(b->ctx);
	if (write(b->ended_fd, &one, sizeof(one)) != sizeof(one))
		abort(); // an eventfd takes 2^64 - 2 of them
	return NULL;
}

enum status background_start(struct background *b)
{
	if (b->busy)
		return ST_BUSY;
	b->busy = pthread_create(&b->thread, NULL, run, b) == 0;
	return b->busy ? ST_OK : ST_SYSTEM;
}

bool background_is_busy(const struct background *b)
{
	return b->busy;
}

bool background_wait(struct background *b)
{
	uint64_t count;
	if (!b->busy)
		return false;
	pthread_join(b->thread, NULL);
	b->busy = false;
	if (read(b->ended_fd, &count, sizeof(count)) != sizeof(count))
		log_error("%s: the thread ended without a word", b->name);
	return true;
}

static void on_ended(evutil_socket_t fd, short what, void *state)
{
	(void)fd, (void)what;
	struct background *b = state;
	if (background_wait(b))
		b->done(b->ctx);
}

void background_free(struct background *b)
{
	if (!b)
		return;
	background_wait(b);
	if (b->ended)
		event_free(b->ended);
	if (b->ended_fd >= 0)
		close(b->ended_fd);
	free(b);
}

struct background *background_new(struct event_base *base, const char *name, void (*work)(void *ctx),
	void (*done)(void *ctx), void *ctx)
{
	struct background *b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	*b = (struct background){ .name = name, .work = work, .done = done, .ctx = ctx };
	b->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->ended = event_new(base, b->ended_fd, EV_READ | EV_PERSIST, on_ended, b);
	if (b->ended_fd >= 0 && b->ended && event_add(b->ended, NULL) == 0)
		return b;
	background_free(b);
	return NULL;
}
