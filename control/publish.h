// SPDX-License-Identifier: BSD-3-Clause
// The zones of the configuration -> images in the catalog. Each zone goes its own way: one that cannot be
// read or checked keeps what it had and says why, and never stops another. Reading runs in threads; all
// calls belong to the event loop's thread.
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include <pollux/catalog.h>
#include <pollux/config.h>
#include <pollux/report.h>
#include <pollux/status.h>

#include "findings.h"
#include "side_door.h"

enum zone_state {
	ZONE_LOADING, // never finished an attempt
	ZONE_LOADED,
	ZONE_FAILED, // the last attempt; an older image may still be served
	ZONE_STATE_COUNT
};
extern const char *const zone_state_name[ZONE_STATE_COUNT];

struct zone_view {
	const uint8_t *apex; // folded
	const char *file;
	enum zone_state state;
	bool busy;		   // being read, or waiting for it
	bool adopted;		   // the image was found in shared memory or was saved, and is still that of the file
	bool added;		   // by publisher_add(), and not named by the configuration
	const struct image *image; // what is served; NULL: nothing
	uint64_t tried_at_s, took_us; // of the last attempt
	const struct findings *findings; // of the last attempt that read the file
};

struct publish_result {
	unsigned loaded, unchanged, failed, withdrawn;
	const struct findings *problems; // of the failed ones, each line with its file
	const struct findings *list;	 // of the zone list and the zone directory
};
// Called once for each order, when the last zone concerned has been dealt with; perhaps before the call returns.
typedef void publish_done(void *ctx, const struct publish_result *);

struct publisher;

// `where` is the directory of the region, for messages. Threads: 0 for one per CPU of this process. `all_cpus`: those that
// loading may use as long as no zone is served, besides the caller's; NULL: none. Catalog and side door outlive the publisher.
CHECKED enum status publisher_new(struct publisher **, struct event_base *, struct catalog *, struct side_door *,
	const char *where, unsigned threads, const cpu_set_t *all_cpus);
// Orders that wait are called back with what was done so far.
void publisher_free(struct publisher *);

// Before the first publisher_configure(), each if wanted. Copied.
// Images of large zones are saved in this directory, and taken from there.
void publisher_save_images(struct publisher *, const char *directory);
// Zones added while running stand in this file, a zone list; those in it now are zones from the first
// publisher_configure() on. What is wrong with it is reported.
void publisher_keep_added(struct publisher *, const char *path, struct report *);

// Serves the zones of this configuration, its zone list and its zone directory from now on, and those added: new ones
// and those whose files have changed are read, those no longer named are withdrawn. Errors of the list are in the
// result and in the log; they lose no zone: when there are any, nothing is withdrawn. The list is
// read in a thread, so nothing has happened yet when the call returns. The first order that is done makes the catalog
// ready. ST_NO_MEMORY: nothing was done, and `done` will not be called.
CHECKED enum status publisher_configure(struct publisher *, const struct config *, publish_done *, void *ctx);
// Reads a zone again, whether or not its files have changed. ST_NOT_FOUND: no such zone; `done` will not be called.
CHECKED enum status publisher_reload(struct publisher *, const uint8_t *apex, publish_done *, void *ctx);
// A zone more, until it is removed. One that cannot be read is not added: the result says why, and the zone is
// gone. ST_EXISTS: there is such a zone. ST_SYSTEM: it could not be written down, errno says why.
CHECKED enum status publisher_add(struct publisher *, const uint8_t *apex, const char *file, publish_done *, void *ctx);
// Withdraws a zone that was added. ST_NOT_FOUND; ST_REFUSED: the configuration names it; ST_SYSTEM: as above, and it stays.
CHECKED enum status publisher_remove(struct publisher *, const uint8_t *apex);

bool publisher_find(const struct publisher *, const uint8_t *apex, struct zone_view *);
// In canonical order (RFC 4034 6.1), from the zone behind `after` on (NULL: from the first), until `visit` says false.
void publisher_each(const struct publisher *, const uint8_t *after, bool (*visit)(void *ctx, const struct zone_view *),
	void *ctx);

// Other work for the loader's threads, see loader.h.
struct loader_task;
void publisher_run(struct publisher *, struct loader_task *);

struct publisher_counts {
	unsigned blank; // images that hold the place of a zone that could not be loaded
	unsigned zones, loaded, failed, loading, busy;
	uint64_t records; // being served
};
struct publisher_counts publisher_counts(const struct publisher *);
// The name may be in a zone that is on its way and not served yet: nobody else should be asked about it.
bool publisher_awaits(const struct publisher *, const uint8_t *name);
