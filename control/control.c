// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <systemd/sd-daemon.h>

#include <pollux/log.h>
#include <pollux/shm.h>

#include "client/recursor.h"
#include "access.h"
#include "control.h"
#include "ctl_server.h"
#include "identity.h"
#include "learned.h"
#include "misses.h"
#include "overrides.h"
#include "query_log.h"
#include "reclaim.h"
#include "saved.h"
#include "slices.h"

#define THREADS_END_MS 1000

uint64_t control_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

const char *control_config_path(const struct control *control)
{
	return control->start_config->path;
}

// Reading zones must not take a worker's core away from it: this process and its threads stay on the
// other ones, if there are any. `all`: where it was before; empty when that is not known.
static void keep_off_workers(const struct config *config, cpu_set_t *all)
{
	CPU_ZERO(all);
	if (sched_getaffinity(0, sizeof(*all), all) != 0)
		return;
	cpu_set_t set = *all;
	for (unsigned i = 0; i < config->lcore_count; i++) {
		if (config->lcores[i] < CPU_SETSIZE)
			CPU_CLR(config->lcores[i], &set);
	}
	if (CPU_COUNT(&set) > 0 && sched_setaffinity(0, sizeof(set), &set) != 0)
		log_warning("cannot keep off the workers' cores: %s", strerror(errno));
}

void control_log_finding(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *text)
{
	(void)ctx;
	enum log_level level = severity == SEVERITY_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING;
	if (line && column)
		log_line(level, "%s:%u:%u: %s", file, line, column, text);
	else if (line)
		log_line(level, "%s:%u: %s", file, line, text);
	else
		log_line(level, "%s: %s", file, text);
}

// What workers go by, in one word.
static void publish_policy(struct control *control)
{
	struct policy policy = config_policy(control->config);
	if (control->resolver)
		policy.opcodes = resolver_opcodes(control->resolver);
	if (control->query_log)
		policy.log_queries = query_log_level(control->query_log) & 3;
	catalog_set_policy(control->catalog, policy);
}

void control_log_queries(struct control *control, unsigned level)
{
	query_log_set_level(control->query_log, level);
	publish_policy(control);
}

static void publish_access(struct control *control)
{
	enum status status = access_publish(control->catalog, control->config);
	if (status != ST_OK)
		log_error("access lists stay as they were: %s", status_text(status));
	peers_check(control->config);
}

static void publish_identity(struct control *control, struct report *report)
{
	enum status status = identity_publish(control->catalog, control->config, (uint64_t)time(NULL), report);
	if (status != ST_OK)
		log_error("identity and cookie secrets stay as they were: %s", status_text(status));
}

// Secrets that were made up are replaced when they are old; those of a file are read again by a reload.
static void on_identity_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct control *control = ctx;
	struct report report = { .emit = control_log_finding };
	if (!control->config->cookie_secret_file)
		publish_identity(control, &report);
}

static enum status open_identity(struct control *control)
{
	struct report report = { .emit = control_log_finding };
	struct timeval hour = { .tv_sec = 3600 };
	publish_identity(control, &report);
	control->identity_timer = event_new(control->base, -1, EV_PERSIST, on_identity_timer, control);
	return control->identity_timer && event_add(control->identity_timer, &hour) == 0 ? ST_OK : ST_NO_MEMORY;
}

static enum status open_catalog(struct control *control)
{
	const struct config *config = control->config;
	char path[PATH_MAX + 8];
	enum status status = shm_directory(control->directory, sizeof(control->directory), config->shared_memory,
		config->name);
	if (status != ST_OK) {
		log_error("shared-memory: no directory for the regions in %s: %s",
			strcmp(config->shared_memory, "auto") == 0 ? "/dev/shm" : config->shared_memory,
			status == ST_SYSTEM ? strerror(errno) : status_text(status));
		return status;
	}
	snprintf(path, sizeof(path), "%s/zones", control->directory);
	// Saved images are of use only with the seed that they were made with.
	status = catalog_open_writer_seeded(&control->catalog, path,
		config->image_directory ? saved_seed(config->image_directory) : 0);
	if (status == ST_BUSY)
		log_error("%s: another pollux-control owns it; stop that one, or give this instance another name", path);
	else if (status == ST_NO_SPACE)
		log_error("%s: shared memory is full; make that file system larger, or set shared-memory to one with room",
			path);
	else if (status != ST_OK)
		log_error("%s: %s", path, status == ST_SYSTEM ? strerror(errno) : status_text(status));
	if (status != ST_OK)
		return status;
	reclaim_await_readers(control->catalog, control->directory);
	publish_access(control);
	publish_policy(control);
	return open_identity(control);
}

// Without the TAP there is no TCP, but zones are published and UDP is answered: it goes on, and says so.
static void open_tap(struct control *control)
{
	if (control->config->port_count == 0)
		return;
	if (tap_new(&control->tap, control->base, control->config, control->door) != ST_OK) {
		control->tap = NULL;
		log_error("no TAP: TCP clients and forwarding by way of the ports do not work until this process is started with CAP_NET_ADMIN and /dev/net/tun");
	}
}

static void open_tcp(struct control *control)
{
	if (!control->tap)
		return;
	enum status status = tcp_server_new(&control->tcp, control->base, control->config, control->tap,
		control->resolver);
	if (status != ST_OK) {
		control->tcp = NULL;
		log_error("TCP clients cannot be served: %s", status_text(status));
	}
}

static void on_used(void *ctx, const struct msg *msg, const uint8_t *frame)
{
	for (unsigned at = 0; at < msg->bytes; at += sizeof(uint64_t)) {
		uint64_t position;
		memcpy(&position, frame + at, sizeof(position));
		learned_used(ctx, position);
	}
}

// What is learned lies where workers find it, and they say what of it is in use.
static enum status open_cache(struct control *control)
{
	struct learned *learned = learned_of(control->resolver);
	side_door_on(control->door, MSG_USED, on_used, learned);
	return learned_open(learned, control->directory);
}

// Bad rules are left out and said in the log: at the start most of them are better than none.
static void open_overrides(struct control *control)
{
	struct report report = { .emit = control_log_finding };
	enum status status = overrides_publish(control->resolver, control->catalog, control->config, &report);
	if (status != ST_OK)
		log_error("overrides: errors: %u; rules in use: %u", report.errors,
			overrides_rules(control->resolver) ? override_rules_count(overrides_rules(control->resolver)) : 0);
}

static enum status open_doors(struct control *control)
{
	control->slices = slices_new(control->base);
	if (!control->slices)
		return ST_NO_MEMORY;
	control->door = side_door_new(control->base, control->config, control->directory);
	if (!control->door)
		return ST_NO_MEMORY;
	open_tap(control);
	control->resolver = resolver_new(control->base, control->config, control->catalog, control->tap);
	if (!control->resolver)
		return ST_NO_MEMORY;
	control->query_log = query_log_new(control->base, control->config);
	if (!control->query_log)
		return ST_NO_MEMORY;
	resolver_log_to(control->resolver, control->query_log);
	side_door_on(control->door, MSG_LOG, query_log_take, control->query_log);
	publish_policy(control); // now it is known which opcodes somebody handles
	enum status status = open_cache(control);
	if (status != ST_OK)
		return status;
	open_overrides(control);
	open_tcp(control);
	control->misses = misses_new(control->door, control->resolver);
	return control->misses ? ST_OK : ST_NO_MEMORY;
}

static void tell_supervisor(struct control *control)
{
	struct publisher_counts counts = publisher_counts(control->publisher);
	sd_notifyf(0, "STATUS=%u zones loaded, %u failed", counts.loaded, counts.failed);
}

static void on_first_load(void *ctx, const struct publish_result *result)
{
	(void)result;
	tell_supervisor(ctx);
}

static bool is_awaited(void *ctx, const uint8_t *name)
{
	return publisher_awaits(ctx, name);
}

static enum status open_zones(struct control *control)
{
	struct report report = { .emit = control_log_finding };
	const struct config *config = control->config;
	char path[PATH_MAX];
	enum status status = publisher_new(&control->publisher, control->base, control->catalog, control->door,
		control->directory, 0, CPU_COUNT(&control->all_cpus) ? &control->all_cpus : NULL);
	if (status != ST_OK)
		return status;
	snprintf(path, sizeof(path), "%s/zones.added", config->state_dir);
	publisher_keep_added(control->publisher, path, &report);
	if (config->image_directory)
		publisher_save_images(control->publisher, config->image_directory);
	resolver_await_zones(control->resolver, is_awaited, control->publisher);
	return publisher_configure(control->publisher, config, on_first_load, control);
}

enum status control_start(struct control *control, struct event_base *base, struct config *config)
{
	*control = (struct control){ .base = base,
		.start_config = config,
		.config = config,
		.started_s = (uint64_t)time(NULL),
		.configured_s = (uint64_t)time(NULL),
		.started_ms = control_now_ms() };
	keep_off_workers(config, &control->all_cpus);
	enum status status = open_catalog(control);
	if (status != ST_OK)
		return status;
	status = open_doors(control);
	if (status == ST_OK)
		status = ctl_server_new(&control->ctl, base, config->control_socket, control);
	if (status == ST_OK)
		status = open_zones(control);
	if (status == ST_NO_MEMORY)
		log_error("%s", status_text(status));
	return status;
}

void control_stop(struct control *control)
{
	ctl_server_free(control->ctl);
	slices_free(control->slices);
	if (control->resolver)
		resolver_await_zones(control->resolver, NULL, NULL);
	publisher_free(control->publisher);
	if (control->tcp)
		tcp_server_free(control->tcp); // first, or it would ask the next question of a client
	if (control->resolver)
		resolver_free(control->resolver); // calls back who waits
	if (!recursor_await_threads(THREADS_END_MS))
		log_warning("a thread of the recursion is busy and ends with the process");
	misses_free(control->misses);
	query_log_free(control->query_log);
	if (control->tap)
		tap_free(control->tap);
	side_door_free(control->door);
	if (control->identity_timer)
		event_free(control->identity_timer);
	catalog_close(control->catalog);
	if (control->config != control->start_config)
		config_free(control->config);
	config_free(control->start_config);
	*control = (struct control){ 0 };
}

// The log level of the file counts again when it was changed there, else `log level` keeps its word.
static void take_over(struct control *control, struct config *fresh, struct report *report)
{
	struct config *old = control->config;
	if (fresh->log_level != old->log_level)
		log_set_level(fresh->log_level);
	resolver_reconfigure(control->resolver, fresh);
	if (control->tcp)
		tcp_server_reconfigure(control->tcp, fresh);
	control->config = fresh;
	publish_access(control);
	query_log_reconfigure(control->query_log, fresh);
	publish_policy(control);
	ctl_server_reconfigure(control->ctl);
	publish_identity(control, report);
	control->configured_s = (uint64_t)time(NULL);
	if (old != control->start_config)
		config_free(old);
}

// A configuration that was read and is good, but for its rules, perhaps.
struct reload {
	struct control *control;
	struct config *fresh;
	struct report *report;
	void (*restart)(void *ctx, const char *key);
	publish_done *done;
	void *ctx;
};

static void end_reload(void *ctx, enum status rules)
{
	struct reload reload = *(struct reload *)ctx;
	struct control *control = reload.control;
	free(control->reload);
	control->reload = NULL;
	enum status status = rules;
	if (rules == ST_OK) {
		config_needs_restart(control->start_config, reload.fresh, reload.restart, reload.ctx);
		take_over(control, reload.fresh, reload.report);
		status = publisher_configure(control->publisher, reload.fresh, reload.done, reload.ctx);
	} else {
		config_free(reload.fresh);
	}
	sd_notify(0, "READY=1");
	if (status != ST_OK && reload.done)
		reload.done(reload.ctx, NULL);
}

enum status control_reload(struct control *control, struct report *report,
	void (*restart)(void *ctx, const char *key), publish_done *done, void *ctx)
{
	struct config *fresh;
	if (control->reload)
		return ST_BUSY;
	enum status status = config_read(&fresh, control_config_path(control), report);
	if (status != ST_OK)
		return status;
	status = config_check_recursion(fresh, report);
	struct reload *reload = status == ST_OK ? malloc(sizeof(*reload)) : NULL;
	if (!reload) {
		config_free(fresh);
		return status == ST_OK ? ST_NO_MEMORY : status;
	}
	*reload = (struct reload){ control, fresh, report, restart, done, ctx };
	control->reload = reload;
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)control_now_ms() * 1000);
	status = overrides_reload(
		control->resolver, control->catalog, control->config, fresh, report, end_reload, reload);
	if (status != ST_OK) { // nobody will end it
		reload->done = NULL;
		end_reload(reload, status);
	}
	return status;
}

void control_end_loop(struct control *control)
{
	struct timeval soon = { .tv_usec = 50000 }; // the reply to `stop` goes out meanwhile
	event_base_loopexit(control->base, &soon);
}
