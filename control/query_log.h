// SPDX-License-Identifier: BSD-3-Clause
// The query log: answers as they went out, as lines of text. Level 0 writes nothing, 1 one line per answer, 2 also the
// question and every record. What the workers answer comes up the rings as copies (MSG_LOG), as far as there is plenty of
// room; what control answers itself is told by those who send it. It never changes an answer and never waits: what cannot
// be written is counted. One event loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <event2/event.h>

#include <pollux/answer.h>
#include <pollux/config.h>
#include <pollux/msg.h>

#include "side_door.h"

struct query_log;

// NULL: no memory. A file that cannot be opened is said in the log; then the lines go there.
struct query_log *query_log_new(struct event_base *, const struct config *);
void query_log_free(struct query_log *); // writes out what it holds; NULL is fine
// Takes over level, sampling and file; the level only when the configuration changed it, so that `log queries` keeps its
// word.
void query_log_reconfigure(struct query_log *, const struct config *);
#define QUERY_LOG_LEVEL_MAX 2
void query_log_set_level(struct query_log *, unsigned level);
unsigned query_log_level(const struct query_log *);

struct logged_answer {
	const struct sockaddr *client;
	enum transport transport;
	const uint8_t *wire; // the whole reply
	unsigned bytes;
	unsigned rcode;	     // with the upper bits of the OPT
	const char *step;    // that answered; NULL: none did
	const char *note;    // what it says about itself, such as the server asked; "": nothing
	uint64_t took_us;
	uint64_t ago_ms;     // since it went out
};
// Does nothing at level 0, and takes its samples itself.
void query_log_answer(struct query_log *, const struct logged_answer *);
// A side_door_handler for MSG_LOG; `ctx` is the log. Those are samples already.
side_door_handler query_log_take;

struct query_log_counters {
	uint64_t answers, malformed; // logged; copies of workers that make no sense
	uint64_t lost;		     // lines that the file did not take
};
const struct query_log_counters *query_log_counters(const struct query_log *);
