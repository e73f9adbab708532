// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <pollux/log.h>

#include "watch.h"

#define LINKS_MAX 16	 // symbolic links on one path; behind them only the looks see something
#define PATIENCE_MS 1000 // a file that is written all the time is told of as often
#define WRITTEN (IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define GONE (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_Q_OVERFLOW)

// A name in a directory whose fate decides what the path leads to: the file, a symbolic link, or the first
// that is missing.
struct spot {
	int wd; // -1: not watched
	char name[NAME_MAX + 1];
};

struct stamp {
	bool exists;
	dev_t device;
	ino_t inode;
	off_t bytes;
	struct timespec modified, changed;
};

struct watch {
	struct event *readable, *settled, *look;
	watch_changed *changed;
	void *ctx;
	int fd; // -1: no inotify
	unsigned spots;
	struct spot spot[LINKS_MAX + 1];
	struct stamp told;     // what the file was when `changed` was called last
	bool written;	       // since then
	uint64_t unsettled_ms; // since when; 0: it is settled
	char path[];
};

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct timeval time_of(uint64_t ms)
{
	return (struct timeval){ .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
}

static struct stamp take_stamp(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return (struct stamp){ 0 };
	return (struct stamp){ true, st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim };
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->exists == b->exists && a->device == b->device && a->inode == b->inode &&
	       a->bytes == b->bytes && same_time(a->modified, b->modified) &&
	       same_time(a->changed, b->changed);
}

static void add_spot(struct watch *w, const char *directory, const char *name)
{
	struct spot *spot = &w->spot[w->spots++];
	spot->wd = inotify_add_watch(
		w->fd, *directory ? directory : "/", WRITTEN | GONE | IN_ATTRIB | IN_ONLYDIR);
	strlcpy(spot->name, name, sizeof(spot->name));
}

// Takes the first component off `rest`. False: none is left.
static bool next_component(char *component, char *rest)
{
	size_t skip = strspn(rest, "/"), bytes = strcspn(rest + skip, "/");
	if (bytes == 0 || bytes > NAME_MAX)
		return false;
	memcpy(component, rest + skip, bytes);
	component[bytes] = 0;
	memmove(rest, rest + skip + bytes, strlen(rest + skip + bytes) + 1);
	return true;
}

// Puts what a link says in front of what is left of the path. False: too long, or unreadable.
static bool follow_link(const char *link, char *directory, char *rest)
{
	char target[PATH_MAX], whole[PATH_MAX];
	ssize_t bytes = readlink(link, target, sizeof(target) - 1);
	if (bytes <= 0)
		return false;
	target[bytes] = 0;
	if ((size_t)snprintf(whole, sizeof(whole), "%s/%s", target, rest) >= sizeof(whole))
		return false;
	if (target[0] == '/')
		directory[0] = 0;
	strlcpy(rest, whole, PATH_MAX);
	return true;
}

// Walks along the path and finds the spots that decide where it ends.
static void find_spots(struct watch *w)
{
	char directory[PATH_MAX], rest[PATH_MAX], here[PATH_MAX], component[NAME_MAX + 1];
	struct stat st;
	w->spots = 0;
	strlcpy(directory, w->path[0] == '/' ? "" : ".", sizeof(directory));
	strlcpy(rest, w->path, sizeof(rest));
	while (w->spots <= LINKS_MAX && next_component(component, rest)) {
		if ((size_t)snprintf(here, sizeof(here), "%s/%s", directory, component) >= sizeof(here))
			return;
		bool there = lstat(here, &st) == 0, link = there && S_ISLNK(st.st_mode);
		if (!there || link || !rest[strspn(rest, "/")])
			add_spot(w, directory, component);
		if (!there)
			return;
		if (!link)
			strlcpy(directory, here, sizeof(directory));
		else if (!follow_link(here, directory, rest))
			return;
	}
}

static bool is_watched(const struct spot *spot, unsigned count, int wd)
{
	for (unsigned i = 0; i < count; i++) {
		if (spot[i].wd == wd)
			return true;
	}
	return false;
}

// What was made between a look at a name and the watch on its directory shows in a second walk, so it walks
// until nothing new is found.
static void watch_spots(struct watch *w)
{
	for (unsigned tries = 0; w->fd >= 0 && tries < 4; tries++) {
		struct spot former[LINKS_MAX + 1];
		unsigned count = w->spots, fresh = 0;
		memcpy(former, w->spot, sizeof(former));
		find_spots(w);
		for (unsigned i = 0; i < count; i++) {
			if (former[i].wd >= 0 && !is_watched(w->spot, w->spots, former[i].wd))
				inotify_rm_watch(w->fd, former[i].wd);
		}
		for (unsigned i = 0; i < w->spots; i++)
			fresh += !is_watched(former, count, w->spot[i].wd);
		if (fresh == 0)
			return;
	}
}

static void await_settling(struct watch *w)
{
	uint64_t now = now_ms();
	if (!w->unsettled_ms)
		w->unsettled_ms = now;
	else if (now - w->unsettled_ms > PATIENCE_MS)
		return;
	struct timeval wait = time_of(WATCH_SETTLE_MS);
	event_add(w->settled, &wait);
}

static void look_again(struct watch *w)
{
	watch_spots(w);
	struct stamp stamp = take_stamp(w->path);
	if (!same_stamp(&stamp, &w->told) || (w->written && stamp.exists))
		await_settling(w);
}

// What an event says: whether it concerns the path at all, and whether it is the file itself that was
// written.
static bool concerns(struct watch *w, const struct inotify_event *event)
{
	bool ours = event->mask & GONE;
	for (unsigned i = 0; i < w->spots && event->len; i++) {
		if (w->spot[i].wd != event->wd || strcmp(w->spot[i].name, event->name) != 0)
			continue;
		ours = true;
		w->written |= i + 1 == w->spots && event->mask & WRITTEN;
	}
	return ours;
}

static bool take_events(struct watch *w)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool ours = false;
	ssize_t bytes;
	while (w->fd >= 0 && (bytes = read(w->fd, buffer, sizeof(buffer))) > 0) {
		const struct inotify_event *event;
		for (ssize_t at = 0; at < bytes; at += (ssize_t)(sizeof(*event) + event->len)) {
			event = (const struct inotify_event *)(buffer + at);
			ours |= concerns(w, event);
		}
	}
	return ours;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	if (take_events(ctx))
		look_again(ctx);
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	look_again(ctx);
}

static void on_settled(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct watch *w = ctx;
	take_events(w);
	watch_spots(w);
	struct stamp stamp = take_stamp(w->path);
	bool changed = !same_stamp(&stamp, &w->told) || (w->written && stamp.exists);
	w->told = stamp;
	w->written = false;
	w->unsettled_ms = 0;
	if (changed)
		w->changed(w->ctx);
}

void watch_look_every(struct watch *w, unsigned ms)
{
	struct timeval wait = time_of(ms);
	event_add(w->look, &wait);
}

static bool open_events(struct watch *w, struct event_base *base)
{
	if (w->fd >= 0) {
		w->readable = event_new(base, w->fd, EV_READ | EV_PERSIST, on_readable, w);
		if (!w->readable || event_add(w->readable, NULL) != 0)
			return false;
	}
	w->settled = event_new(base, -1, 0, on_settled, w);
	w->look = event_new(base, -1, EV_PERSIST, on_look, w);
	return w->settled && w->look;
}

struct watch *watch_new(struct event_base *base, const char *path, watch_changed *changed, void *ctx)
{
	size_t bytes = strlen(path) + 1;
	struct watch *w = calloc(1, sizeof(*w) + bytes);
	if (!w)
		return NULL;
	memcpy(w->path, path, bytes);
	w->changed = changed;
	w->ctx = ctx;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0)
		log_warning("%s: changes are seen after %u seconds only: inotify: %s", path,
			WATCH_LOOK_MS / 1000, strerror(errno));
	if (!open_events(w, base)) {
		watch_free(w);
		return NULL;
	}
	watch_look_every(w, WATCH_LOOK_MS);
	watch_spots(w);
	w->told = take_stamp(path);
	return w;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	if (w->readable)
		event_free(w->readable);
	if (w->settled)
		event_free(w->settled);
	if (w->look)
		event_free(w->look);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}
