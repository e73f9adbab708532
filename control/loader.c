// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loader.h"
#include "saved.h"

#define NICE 5
#define PROGRESS_US 2000 // of finished loads at once, before the event loop gets its turn
#define SMALL_BYTES (UINT64_C(64) << 10) // such an image is written before it has room in the catalog
#define WAKE_LOADS 32	 // finished, before the event loop is woken while there is more to read
#define LOOK_US 5000	 // it looks by itself so often while loads are on the way

STAILQ_HEAD(loads, load);
STAILQ_HEAD(tasks, loader_task);

struct loader {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct loads to_read, to_write, finished; // under the lock
	struct tasks tasks, patient_tasks, tasks_done; // under the lock
	unsigned finished_count; // under the lock
	unsigned idle;		 // threads that wait, under the lock
	struct loads taken;	 // finished ones that the event loop has taken off, but not passed on yet
	unsigned on_the_way;	 // loads and tasks handed over and not seen again
	struct event *look;
	bool ending;				  // under the lock
	_Atomic bool interrupted;		  // the same news for whoever is inside a file
	unsigned threads;
	pthread_t thread[LOADER_THREADS_MAX];
	_Atomic bool alone; // nobody needs the CPUs but whoever loads
	cpu_set_t all_cpus, own_cpus; // of the machine's when alone, and otherwise
	uint64_t hash_seed;
	int wake_fd; // an eventfd: threads -> event loop
	struct event *wake;
	void (*progress)(void *ctx, struct load *);
	void *ctx;
};

static uint64_t monotonic_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct load *load_new(const uint8_t *apex, const char *file)
{
	struct load *load = calloc(1, sizeof(*load));
	if (!load)
		return NULL;
	findings_init(&load->findings);
	load->saved_fd = -1;
	unsigned bytes = name_length(apex, NAME_MAX_BYTES);
	load->apex = malloc(bytes);
	load->file = strdup(file);
	if (!load->apex || !load->file) {
		load_free(load);
		return NULL;
	}
	memcpy(load->apex, apex, bytes);
	return load;
}

static void drop_source(struct load *load)
{
	zone_builder_free(load->builder);
	load->builder = NULL;
	zonefile_source_free(&load->source);
	load->source = (struct zonefile_source){ 0 };
}

void load_free(struct load *load)
{
	if (!load)
		return;
	drop_source(load);
	if (load->saved_fd >= 0)
		close(load->saved_fd);
	free(load->image);
	findings_clear(&load->findings);
	free(load->apex);
	free(load->file);
	free(load->known_paths);
	free(load);
}

// A pipe may never end, and a thread that reads one could not be stopped.
static bool may_be_read(const struct load *load, struct report *report)
{
	struct stat info;
	if (stat(load->file, &info) != 0 || S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))
		return true; // or the reader says why not
	report_at(report, SEVERITY_ERROR, load->file, 0, 0, "it is not a regular file");
	return false;
}

// A large zone is one for several threads, as far as other zones leave CPUs free.
static unsigned helping_threads(struct loader *loader)
{
	cpu_set_t set;
	unsigned cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
	pthread_mutex_lock(&loader->lock);
	unsigned busy = loader->threads - loader->idle;
	pthread_mutex_unlock(&loader->lock);
	return cpus > busy ? cpus / busy : 1;
}

static enum status read_and_check(struct loader *loader, struct load *load)
{
	struct report *report = &load->findings.report;
	if (!may_be_read(load, report))
		return ST_INVALID;
	load->builder = zone_builder_new(load->apex, loader->hash_seed);
	if (!load->builder)
		return ST_NO_MEMORY;
	zone_builder_set_report(load->builder, report);
	zone_builder_set_time(load->builder, (uint64_t)time(NULL));
	zone_builder_set_interrupt(load->builder, &loader->interrupted); // the process ends; nobody wants the rest
	zone_builder_set_threads(load->builder, helping_threads(loader));
	enum status status = zone_builder_read(load->builder, load->file, load->apex, report, &load->source);
	if (status != ST_OK)
		return status;
	return zone_builder_check(load->builder);
}

static bool is_unchanged(const struct load *load)
{
	return load->known_paths && load->known_stamp != 0 && strcmp(load->known_paths, load->file) == 0 &&
		zonefile_stamp(load->known_paths) == load->known_stamp;
}

// So small that it is handed on as it is: the catalog's writer copies it.
static void write_small(struct load *load)
{
	load->image = aligned_alloc(64, load->image_bytes);
	if (!load->image)
		return; // room in the catalog may do
	load->loaded_at_s = (uint64_t)time(NULL);
	zone_builder_write(load->builder, load->image, &load->source, load->loaded_at_s);
	drop_source(load);
	load->stage = LOAD_SMALL;
}

static void run_reading(struct loader *loader, struct load *load)
{
	load->status = ST_OK;
	if (is_unchanged(load)) {
		load->stage = LOAD_UNCHANGED;
		return;
	}
	if (load->saved_directory)
		load->saved_fd = saved_open(load->saved_directory, load->apex, load->file, loader->hash_seed,
			&load->image_bytes, &load->saved_refused);
	if (load->saved_fd >= 0) {
		load->stage = LOAD_SAVED;
		return;
	}
	load->status = read_and_check(loader, load);
	load->stage = load->status == ST_OK ? LOAD_READ : LOAD_FAILED;
	if (load->status == ST_OK) {
		load->image_bytes = zone_builder_image_bytes(load->builder, &load->source);
		if (load->image_bytes <= SMALL_BYTES)
			write_small(load);
		return;
	}
	if (load->findings.report.errors == 0)
		report_at(&load->findings.report, SEVERITY_ERROR, load->file, 0, 0, "%s", status_text(load->status));
	drop_source(load);
}

static void run_writing(struct loader *loader, struct load *load)
{
	load->loaded_at_s = (uint64_t)time(NULL);
	zone_builder_set_threads(load->builder, helping_threads(loader));
	zone_builder_write(load->builder, load->room, &load->source, load->loaded_at_s);
	load->stage = LOAD_WRITTEN;
}

static void run_restoring(struct loader *loader, struct load *load)
{
	load->status = saved_read(load->saved_fd, load->room, load->image_bytes, load->apex, loader->hash_seed);
	close(load->saved_fd);
	load->saved_fd = -1;
	load->saved_directory = NULL; // once is enough
	load->from_saved = load->status == ST_OK;
	load->stage = load->from_saved ? LOAD_WRITTEN : LOAD_STALE;
	if (!load->from_saved)
		load->saved_refused = load->status == ST_SYSTEM ? "it cannot be read" : "it is damaged";
}

static void run_backing(struct load *load)
{
	// Without success the reservation fails in the same way, and says so.
	if (catalog_back(load->backing, load->file_bytes) != ST_OK)
		load->file_bytes = UINT64_MAX;
	load->backing = NULL;
}

static void wake_loop(struct loader *loader)
{
	uint64_t one = 1;
	while (write(loader->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

struct job {
	struct load *load;
	struct loader_task *task;
};

static struct load *first_load(struct loads *loads)
{
	struct load *load = STAILQ_FIRST(loads);
	if (load)
		STAILQ_REMOVE_HEAD(loads, link);
	return load;
}

static struct loader_task *first_task(struct tasks *tasks)
{
	struct loader_task *task = STAILQ_FIRST(tasks);
	if (task)
		STAILQ_REMOVE_HEAD(tasks, link);
	return task;
}

// Images to write go first: they give their memory back.
static bool choose_job(struct loader *loader, struct job *job)
{
	*job = (struct job){ .load = first_load(&loader->to_write) };
	if (!job->load)
		job->task = first_task(&loader->tasks);
	if (!job->load && !job->task)
		job->load = first_load(&loader->to_read);
	if (!job->load && !job->task)
		job->task = first_task(&loader->patient_tasks);
	return job->load || job->task;
}

static bool next_job(struct loader *loader, struct job *job)
{
	pthread_mutex_lock(&loader->lock);
	bool found = false;
	while (!loader->ending && !(found = choose_job(loader, job))) {
		loader->idle++;
		pthread_cond_wait(&loader->work, &loader->lock);
		loader->idle--;
	}
	pthread_mutex_unlock(&loader->lock);
	return found;
}

static void run_load(struct loader *loader, struct load *load)
{
	uint64_t began = monotonic_us();
	if (load->backing)
		run_backing(load);
	else if (load->stage == LOAD_READ)
		run_writing(loader, load);
	else if (load->stage == LOAD_SAVED)
		run_restoring(loader, load);
	else
		run_reading(loader, load);
	load->took_us += monotonic_us() - began;
}

static bool wants_room(const struct load *load)
{
	return load->stage == LOAD_READ || load->stage == LOAD_SAVED || load->stage == LOAD_WRITTEN || load->stage == LOAD_STALE;
}

// Each wake-up costs two system calls and a turn of the event loop, as much as a tiny zone: while there is more to
// read, many share one, and loader->look finds those that are left.
static void hand_back(struct loader *loader, const struct job *job)
{
	bool urgent = job->task || wants_room(job->load); // behind the lock it is somebody else's
	pthread_mutex_lock(&loader->lock);
	if (job->load)
		STAILQ_INSERT_TAIL(&loader->finished, job->load, link);
	else
		STAILQ_INSERT_TAIL(&loader->tasks_done, job->task, link);
	unsigned count = ++loader->finished_count;
	bool last = STAILQ_EMPTY(&loader->to_read);
	pthread_mutex_unlock(&loader->lock);
	if (urgent || count == WAKE_LOADS || last)
		wake_loop(loader);
}

// Linux: both are of this thread alone. Once there is something to serve, whoever waits for an answer goes before
// whoever waits for a zone.
static void keep_place(struct loader *loader, bool *gave_way)
{
	if (*gave_way || atomic_load(&loader->alone))
		return;
	*gave_way = true;
	sched_setaffinity(0, sizeof(loader->own_cpus), &loader->own_cpus);
	setpriority(PRIO_PROCESS, 0, NICE);
}

static void *work(void *ctx)
{
	struct loader *loader = ctx;
	struct job job;
	bool gave_way = false;
	sched_setaffinity(0, sizeof(loader->all_cpus), &loader->all_cpus);
	while (keep_place(loader, &gave_way), next_job(loader, &job)) {
		struct zone_builder *spent = NULL;
		if (job.load)
			run_load(loader, job.load);
		else
			job.task->run(job.task, &loader->interrupted);
		if (job.load && job.load->stage == LOAD_WRITTEN) { // nobody should wait for the end of these
			spent = job.load->builder;
			job.load->builder = NULL;
		}
		hand_back(loader, &job);
		zone_builder_free(spent);
	}
	return NULL;
}

static void take_finished(struct loader *loader, struct tasks *tasks)
{
	pthread_mutex_lock(&loader->lock);
	STAILQ_CONCAT(&loader->taken, &loader->finished);
	STAILQ_CONCAT(tasks, &loader->tasks_done);
	loader->finished_count = 0;
	pthread_mutex_unlock(&loader->lock);
}

static void pass_on(struct loader *loader)
{
	uint64_t began = monotonic_us();
	struct tasks tasks = STAILQ_HEAD_INITIALIZER(tasks);
	take_finished(loader, &tasks);
	for (struct loader_task *task; (task = first_task(&tasks));) {
		loader->on_the_way--;
		task->done(task->ctx, task);
	}
	for (struct load *load; (load = first_load(&loader->taken));) {
		loader->on_the_way--;
		loader->progress(loader->ctx, load);
		if (monotonic_us() - began >= PROGRESS_US && !STAILQ_EMPTY(&loader->taken)) {
			wake_loop(loader);
			return;
		}
	}
}

static void on_wake(evutil_socket_t fd, short what, void *ctx)
{
	(void)what;
	struct loader *loader = ctx;
	uint64_t count;
	// Read before the queue: a load that is finished behind this point wakes again.
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	pass_on(loader);
}

static void look_soon(struct loader *loader)
{
	struct timeval soon = { .tv_usec = LOOK_US };
	if (loader->on_the_way && !event_pending(loader->look, EV_TIMEOUT, NULL))
		event_add(loader->look, &soon);
}

static void on_look(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	pass_on(ctx);
	look_soon(ctx);
}

static unsigned count_cpus(const cpu_set_t *set)
{
	unsigned count = (unsigned)CPU_COUNT(set);
	return count == 0 ? 1 : count > LOADER_THREADS_MAX ? LOADER_THREADS_MAX : count;
}

static void choose_cpus(struct loader *loader, const cpu_set_t *all)
{
	if (sched_getaffinity(0, sizeof(loader->own_cpus), &loader->own_cpus) != 0)
		CPU_ZERO(&loader->own_cpus); // which the kernel will refuse
	loader->all_cpus = all ? *all : loader->own_cpus;
	atomic_store(&loader->alone, all != NULL);
}

void loader_give_way(struct loader *loader)
{
	atomic_store(&loader->alone, false);
}

// Signals are the event loop's.
static void start_threads(struct loader *loader, unsigned wanted)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (loader->threads < wanted &&
		pthread_create(&loader->thread[loader->threads], NULL, work, loader) == 0)
		loader->threads++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct loader *loader_new(struct event_base *base, unsigned threads, const cpu_set_t *all_cpus, uint64_t hash_seed,
	void (*progress)(void *ctx, struct load *), void *ctx)
{
	struct loader *loader = calloc(1, sizeof(*loader));
	if (!loader)
		return NULL;
	pthread_mutex_init(&loader->lock, NULL);
	pthread_cond_init(&loader->work, NULL);
	STAILQ_INIT(&loader->to_read);
	STAILQ_INIT(&loader->to_write);
	STAILQ_INIT(&loader->finished);
	STAILQ_INIT(&loader->taken);
	STAILQ_INIT(&loader->tasks);
	STAILQ_INIT(&loader->patient_tasks);
	STAILQ_INIT(&loader->tasks_done);
	loader->hash_seed = hash_seed;
	choose_cpus(loader, all_cpus);
	loader->progress = progress;
	loader->ctx = ctx;
	loader->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loader->wake_fd >= 0)
		loader->wake = event_new(base, loader->wake_fd, EV_READ | EV_PERSIST, on_wake, loader);
	loader->look = event_new(base, -1, 0, on_look, loader);
	if (loader->wake && loader->look && event_add(loader->wake, NULL) == 0)
		start_threads(loader, threads == 0 || threads > LOADER_THREADS_MAX ? count_cpus(&loader->all_cpus) : threads);
	if (loader->threads == 0) {
		loader_free(loader);
		return NULL;
	}
	return loader;
}

static void free_loads(struct loads *loads)
{
	struct load *load, *next;
	STAILQ_FOREACH_SAFE(load, loads, link, next)
		load_free(load);
}

void loader_free(struct loader *loader)
{
	if (!loader)
		return;
	atomic_store(&loader->interrupted, true);
	pthread_mutex_lock(&loader->lock);
	loader->ending = true;
	pthread_cond_broadcast(&loader->work);
	pthread_mutex_unlock(&loader->lock);
	for (unsigned i = 0; i < loader->threads; i++)
		pthread_join(loader->thread[i], NULL);
	free_loads(&loader->to_read);
	free_loads(&loader->to_write);
	free_loads(&loader->finished);
	free_loads(&loader->taken);
	if (loader->look)
		event_free(loader->look);
	if (loader->wake)
		event_free(loader->wake);
	if (loader->wake_fd >= 0)
		close(loader->wake_fd);
	pthread_cond_destroy(&loader->work);
	pthread_mutex_destroy(&loader->lock);
	free(loader);
}

unsigned loader_threads(const struct loader *loader)
{
	return loader->threads;
}

static void put(struct loader *loader, struct loads *queue, struct load *load)
{
	loader->on_the_way++;
	pthread_mutex_lock(&loader->lock);
	STAILQ_INSERT_TAIL(queue, load, link);
	bool somebody_waits = loader->idle > 0;
	pthread_mutex_unlock(&loader->lock);
	if (somebody_waits)
		pthread_cond_signal(&loader->work);
	look_soon(loader);
}

void loader_run(struct loader *loader, struct loader_task *task)
{
	loader->on_the_way++;
	pthread_mutex_lock(&loader->lock);
	STAILQ_INSERT_TAIL(task->patient ? &loader->patient_tasks : &loader->tasks, task, link);
	pthread_cond_signal(&loader->work);
	pthread_mutex_unlock(&loader->lock);
	look_soon(loader);
}

void loader_read(struct loader *loader, struct load *load)
{
	load->stage = LOAD_UNCHANGED;
	put(loader, &loader->to_read, load);
}

void loader_back(struct loader *loader, struct load *load, struct catalog *catalog, uint64_t file_bytes)
{
	load->backing = catalog;
	load->file_bytes = file_bytes;
	put(loader, &loader->to_write, load);
}

void loader_write(struct loader *loader, struct load *load, void *room)
{
	load->room = room;
	put(loader, &loader->to_write, load);
}
