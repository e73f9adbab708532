// SPDX-License-Identifier: BSD-3-Clause
// Reads zone files and writes images in threads of its own, so that the event loop goes on meanwhile. A load is
// read (zone file -> checked records), comes back for room in the catalog, is written there, and comes
// back to be published. A small zone is its image at once. Everything but the reading and writing itself happens on
// the event loop's thread, which is woken for many finished loads together.
#pragma once

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include <pollux/image.h>
#include <pollux/status.h>
#include <pollux/zonefile.h>

#include "findings.h"

enum load_stage {
	LOAD_UNCHANGED, // the files are still those of `known_stamp`
	LOAD_FAILED,	// `status` and `findings` say why
	LOAD_READ,	// checked; needs `image_bytes` of room: loader_write(), or load_free() to give up
	LOAD_WRITTEN,	// the image is in `room`
	LOAD_SMALL,	// the image is in `image`: copy it
	LOAD_SAVED,	// there is a saved image; needs `image_bytes` of room: loader_write(), or load_free() to give up
	LOAD_STALE,	// the saved image was not what it should be; `room` is the owner's again: loader_read() once more
};

struct load {
	void *owner; // for whoever ordered it
	uint8_t *apex;
	char *file;
	char *known_paths;    // as in struct zonefile_source, of the image in use; NULL: read in any case
	uint64_t known_stamp;

	const char *saved_directory; // borrowed; NULL: images are not saved

	enum load_stage stage;
	enum status status;
	struct findings findings;
	uint64_t image_bytes, loaded_at_s;
	struct image *image;
	bool from_saved;	  // the image was not made from the files this time
	const char *saved_refused; // why a saved image was not taken; NULL: there was none, or it was
	uint64_t took_us; // the thread's time
	void *room;
	uint64_t file_bytes; // of the region: what the kernel was asked for so far

	struct catalog *backing; // what loader_back() is to make longer
	int saved_fd; // -1: none
	struct zone_builder *builder;
	struct zonefile_source source;
	STAILQ_ENTRY(load) link;
};

struct load *load_new(const uint8_t *apex, const char *file); // NULL: no memory
void load_free(struct load *);				      // NULL is fine

struct loader;

// `progress` is called on the event loop's thread at each stage; the load is then the callee's, who hands it on
// or frees it. Threads: 0 for one per CPU that this process may use, at most LOADER_THREADS_MAX. `all_cpus`: more than
// those of the caller, to be used until loader_give_way(); NULL: none. NULL: no memory or no thread.
#define LOADER_THREADS_MAX 16
struct loader *loader_new(struct event_base *, unsigned threads, const cpu_set_t *all_cpus, uint64_t hash_seed,
	void (*progress)(void *ctx, struct load *), void *ctx);
// Ends what is being read, waits for the threads, frees the loads that were handed over.
void loader_free(struct loader *);
unsigned loader_threads(const struct loader *);
// From the next job on the threads are on the caller's CPUs only, and nice.
void loader_give_way(struct loader *);

void loader_read(struct loader *, struct load *);	     // the load is the loader's until `progress`
void loader_write(struct loader *, struct load *, void *room); // the same; goes before any reading
// The same for a load that was read: asks the kernel for that much memory for the catalog, then comes back as it was.
void loader_back(struct loader *, struct load *, struct catalog *, uint64_t file_bytes);

// Other work of the threads. `run` is called in one of them and ends soon when *interrupted is true; `done` on the event
// loop's thread. Those that wait when the loader is freed are forgotten. The memory is the caller's all the time.
struct loader_task {
	void (*run)(struct loader_task *, const _Atomic bool *interrupted);
	void (*done)(void *ctx, struct loader_task *);
	void *ctx;
	bool patient; // goes behind the reading
	STAILQ_ENTRY(loader_task) link;
};
void loader_run(struct loader *, struct loader_task *);
