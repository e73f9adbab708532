// SPDX-License-Identifier: BSD-3-Clause
// One plugin: a shared object, loaded and checked, and the calls into it, timed. What it gets of us is
// include/pollux/plugin.h; what it gives is checked before it is used. One event loop's thread, but for what
// plugin.h says of others.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include <pollux/config.h>
#include <pollux/plugin.h>

#include "client/message.h"

#define PLUGIN_REPLIES_MAX 1024 // of one plugin that wait at once; more questions pass it by
#define PLUGIN_IN_ROW_MAX 5	// slow calls in a row, or deadlines: then it has a rest
#define PLUGIN_REST_MS 10000	// after deadlines; after slow calls it rests until it is loaded again
#define PLUGIN_STUCK_MS 10000	// one call; then control ends, to be started again without the plugin

struct ask;
struct plugin;
struct plugin_watchdog;

struct plugin_counters {
	uint64_t calls, answers;
	_Atomic uint64_t
		errors; // what it says itself, and answers that were none; threads of the plugin count, too
	uint64_t refused, dropped; // questions and clients
	uint64_t added;		   // records, to replies of others
	uint64_t slow, late;	   // calls over the time limit; deadlines that have passed
	uint64_t passed_by;	   // questions not asked, for it rested or had too many open
};

// A reply that a plugin makes or looks at.
struct pollux_reply {
	struct plugin *plugin;
	struct ask *ask;	       // NULL: given up, or nobody's
	LIST_ENTRY(pollux_reply) link; // of the open ones, or the free ones
	STAILQ_ENTRY(pollux_reply) completed;
	struct event *deadline;
	enum reply_stage { REPLY_FREE, REPLY_OPEN, REPLY_COMPLETED, REPLY_TAKEN } stage;
	enum pollux_result result; // of complete()
	unsigned rcode;
	uint32_t octets, room_octets; // of the records added, and the most
	const struct message *there;  // for respond: the reply as it is
	struct message added[SECTION_COUNT];
	char *text; // of record()
};

// Replies that were completed, perhaps by other threads, on their way to the event loop.
struct plugin_mailbox {
	pthread_mutex_t lock;
	STAILQ_HEAD(, pollux_reply) completed;
	int fd; // readable when there are some
};

struct plugin {
	TAILQ_ENTRY(plugin) link;
	struct pollux_host host;
	const struct pollux_plugin *door; // NULL: not loaded, `failed` says why
	void *library, *state;
	bool started; // `state` is one
	char *name, *file, *options;
	char failed[320];
	uint64_t stamp; // of the file
	unsigned time_limit_ms, deadline_ms;
	bool every_question;
	struct event_base *base;
	struct plugin_mailbox *mailbox;
	struct plugin_watchdog *watchdog;
	struct plugin_counters counters;
	unsigned slow_in_row, late_in_row;
	uint64_t rests_until_ms; // UINT64_MAX: until it is loaded again
	LIST_HEAD(reply_list, pollux_reply) open, free;
	unsigned open_count;
	LIST_HEAD(, pollux_event) events;
	unsigned states;			    // made so far: events go with theirs
	void (*on_deadline)(struct pollux_reply *); // its owner's
};

// What a plugin that was the end of control has left behind: a file of paths, one per line. NULL: no memory
// or no thread.
struct plugin_watchdog *plugin_watchdog_new(const char *blame_path);
void plugin_watchdog_free(struct plugin_watchdog *); // NULL is fine
bool plugin_watchdog_blames(const struct plugin_watchdog *, const char *file);
void plugin_watchdog_forgive(struct plugin_watchdog *); // removes the file

uint64_t plugin_now_ms(void);
// Changes when the file does; 0: it is not there.
uint64_t plugin_stamp(const char *file);
// Loads it and calls its init. NULL: no memory; any other failure is logged, and said in `failed`. The rest
// outlives it.
struct plugin *plugin_load(const struct plugin_config *, struct event_base *, struct plugin_mailbox *,
	struct plugin_watchdog *, void (*on_deadline)(struct pollux_reply *));
// Another state with other options in place of the old one. False: it refuses them, and the old one goes on.
// Nobody asks for its open replies any more.
bool plugin_set_options(struct plugin *, const char *options);
void plugin_set_limits(struct plugin *, const struct plugin_config *);
// Nobody asks for its open replies any more (`ask` is NULL).
void plugin_unload(struct plugin *);

// Loaded and not at rest.
bool plugin_is_awake(const struct plugin *);
// A reply for it to make; NULL: too many are open, or no memory (counted).
struct pollux_reply *plugin_reply_new(struct plugin *, struct ask *);
void plugin_reply_free(struct pollux_reply *);
// After POLLUX_WAIT: `on_deadline` when the time is up. False: no memory.
bool plugin_reply_await(struct pollux_reply *);
void plugin_reply_give_up(struct pollux_reply *); // it stays open until it is completed
// Records that were added, as one message with the rcode; its array is the caller's to free, the records are
// the reply's.
bool plugin_reply_message(const struct pollux_reply *, struct message *);

// The calls. The functions must be there.
enum pollux_result plugin_lookup(struct plugin *, const struct pollux_question *, struct pollux_reply *);
enum pollux_result plugin_opcode(struct plugin *, const struct pollux_question *, struct pollux_reply *);
enum pollux_access plugin_allow(struct plugin *, const struct pollux_question *);
enum pollux_access plugin_accept(struct plugin *, const struct sockaddr *client);
void plugin_respond(struct plugin *, const struct pollux_question *, struct pollux_reply *);
