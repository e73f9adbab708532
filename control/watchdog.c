// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pollux/log.h>

#include "watchdog.h"

#define LOOK_MS 500
#define CRASHES 5 // signals

struct plugin_watchdog {
	char path[PATH_MAX];
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ending; // under the lock
	// The call that the event loop is in. Texts outlive it; `since_ms` 0: in none.
	_Atomic uint64_t since_ms;
	const char *_Atomic name, *_Atomic file, *_Atomic what;
	pthread_t caller;
	struct sigaction former[CRASHES];
	bool handles[CRASHES];
};

static const int crashes[CRASHES] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static struct plugin_watchdog *_Atomic on_duty; // for the signal handler

// Only what a signal handler may do.
static void blame(const struct plugin_watchdog *w)
{
	const char *file = w->file;
	int fd = open(w->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	if (write(fd, file, strlen(file)) < 0 || write(fd, "\n", 1) < 0 || fsync(fd) != 0)
		errno = 0; // nobody is left who could be told
	close(fd);
}

static void on_crash(int number)
{
	struct plugin_watchdog *w = on_duty;
	if (w && w->since_ms && pthread_equal(pthread_self(), w->caller))
		blame(w);
	signal(number, SIG_DFL);
	raise(number);
}

static void look(const struct plugin_watchdog *w)
{
	uint64_t since = w->since_ms;
	if (!since || plugin_now_ms() - since < PLUGIN_STUCK_MS)
		return;
	log_error(
		"plugin %s: %s has not come back for %u s: control ends, and starts again without the plugin",
		w->name, w->what, PLUGIN_STUCK_MS / 1000);
	blame(w);
	_exit(EXIT_FAILURE);
}

static void *watch_calls(void *ctx)
{
	struct plugin_watchdog *w = ctx;
	pthread_setname_np(pthread_self(), "watchdog");
	pthread_mutex_lock(&w->lock);
	while (!w->ending) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += LOOK_MS * 1000000l;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&w->changed, &w->lock, &until);
		look(w);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

// Sanitizers and debuggers that handle these signals themselves are left alone.
static void handle_crashes(struct plugin_watchdog *w)
{
	struct sigaction ours = { .sa_handler = on_crash, .sa_flags = SA_NODEFER };
	on_duty = w;
	for (unsigned i = 0; i < CRASHES; i++) {
		if (sigaction(crashes[i], NULL, &w->former[i]) == 0 && w->former[i].sa_handler == SIG_DFL)
			w->handles[i] = sigaction(crashes[i], &ours, NULL) == 0;
	}
}

static void make_directory(const char *path)
{
	char directory[PATH_MAX];
	strlcpy(directory, path, sizeof(directory));
	char *slash = strrchr(directory, '/');
	if (slash && slash > directory) {
		*slash = 0;
		if (mkdir(directory, 0755) != 0 && errno != EEXIST)
			log_warning("%s: %s: a plugin that ends control cannot be remembered", directory,
				strerror(errno));
	}
}

struct plugin_watchdog *plugin_watchdog_new(const char *blame_path)
{
	struct plugin_watchdog *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	strlcpy(w->path, blame_path, sizeof(w->path));
	make_directory(w->path);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	if (pthread_create(&w->thread, NULL, watch_calls, w) != 0) {
		free(w);
		return NULL;
	}
	handle_crashes(w);
	return w;
}

void plugin_watchdog_free(struct plugin_watchdog *w)
{
	if (!w)
		return;
	for (unsigned i = 0; i < CRASHES; i++) {
		if (w->handles[i])
			sigaction(crashes[i], &w->former[i], NULL);
	}
	on_duty = NULL;
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->changed);
	free(w);
}

bool plugin_watchdog_blames(const struct plugin_watchdog *w, const char *file)
{
	char line[PATH_MAX + 1];
	bool found = false;
	FILE *blamed = fopen(w->path, "re");
	while (blamed && !found && fgets(line, sizeof(line), blamed)) {
		line[strcspn(line, "\n")] = 0;
		found = strcmp(line, file) == 0;
	}
	if (blamed)
		fclose(blamed);
	return found;
}

void plugin_watchdog_forgive(struct plugin_watchdog *w)
{
	if (unlink(w->path) != 0 && errno != ENOENT)
		log_warning("%s: %s", w->path, strerror(errno));
}

// A plugin may be called while another one is: by what its own call brings about. The inner one counts.
void watchdog_enter(struct plugin_watchdog *w, const char *name, const char *file, const char *what)
{
	if (!w)
		return;
	w->name = name;
	w->file = file;
	w->what = what;
	w->caller = pthread_self();
	w->since_ms = plugin_now_ms();
}

void watchdog_leave(struct plugin_watchdog *w)
{
	if (w)
		w->since_ms = 0;
}
