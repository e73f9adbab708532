// SPDX-License-Identifier: BSD-3-Clause
// The whole of control, put together: what main.c starts and stops and the commands look at. One event
// loop's thread.
#pragma once

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include <pollux/catalog.h>
#include <pollux/config.h>
#include <pollux/report.h>
#include <pollux/status.h>

#include "publish.h"
#include "resolve.h"
#include "side_door.h"
#include "tap.h"
#include "tcp.h"

struct ctl_server;
struct misses;
struct query_log;
struct slices;

struct control {
	struct event_base *base;
	// The configuration of the start stays for what only a restart changes; `config` is the newest.
	struct config *start_config, *config;
	char directory[PATH_MAX]; // of the regions
	cpu_set_t all_cpus;	  // the workers' and ours
	struct catalog *catalog;
	struct event *identity_timer;
	struct side_door *door;
	struct tap *tap;	       // NULL: there are no ports, or it failed (said in the log)
	struct resolver *resolver;
	struct tcp_server *tcp;	       // NULL without a TAP
	struct misses *misses;
	struct query_log *query_log;
	struct slices *slices;	       // long commands
	struct publisher *publisher;
	struct ctl_server *ctl;
	struct reload *reload; // a new configuration on its way; NULL: none
	uint64_t started_s, started_ms; // since 1970, monotonic
	uint64_t configured_s;	       // when `config` was taken over
};

// Starts everything in order; the configuration is control's from now on, whatever the result. On failure the
// reason is in the log and control_stop() is still due. `base` outlives control.
CHECKED enum status control_start(struct control *, struct event_base *base, struct config *);
void control_stop(struct control *);

// Reads the configuration's file again and takes over what can change while running; the rest is named to
// `restart`. Any error in it is reported, and the running one goes on: at once, with a status, or later, when `done` is called
// without a result. ST_OK: `done` will be called, with a result when it has been taken over and the zones have been read; the
// report, which may then hold errors of the zone list, and `ctx` stay until then. ST_BUSY: another reload is under way. `done` may be NULL.
CHECKED enum status control_reload(struct control *, struct report *, void (*restart)(void *ctx, const char *key),
	publish_done *done, void *ctx);
// The file of the running configuration: what a reload would read.
const char *control_config_path(const struct control *);
// The level of the query log, until the next start or until the configuration changes it.
void control_log_queries(struct control *, unsigned level);
void control_end_loop(struct control *); // a clean stop, soon

// An emit function for struct report: the lines of a file's errors, logged.
void control_log_finding(void *ctx, enum severity, const char *file, unsigned line, unsigned column, const char *text);

uint64_t control_now_ms(void); // CLOCK_MONOTONIC
