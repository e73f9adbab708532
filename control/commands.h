// SPDX-License-Identifier: BSD-3-Clause
// The commands of polluxctl: a request object in, a reply object out (ctl.h). Knows nothing of sockets. One
// event loop's thread.
#pragma once

#include <jansson.h>

#include "control.h"

// A command being worked on, from the request to the reply.
struct call;

// Called exactly once per request, perhaps before commands_run() returns; the reply is the callee's.
typedef void call_done(void *ctx, json_t *reply);

enum right { RIGHT_READ, RIGHT_WRITE };

// `request` is borrowed. `who` names the asker in the log and is copied; who has RIGHT_READ alone is refused what changes
// something.
void commands_run(struct control *, const json_t *request, const char *who, enum right, call_done *, void *ctx);

// --- for handlers ---

struct command {
	const char *words, *arguments, *help;
	void (*run)(struct call *);
	enum right right;
};
extern const struct command commands[];
extern const unsigned command_count;

struct control *call_control(const struct call *);
unsigned call_arg_count(const struct call *);
const char *call_arg(const struct call *, unsigned); // NULL behind the last one

// Each handler ends its call with exactly one of these, at once or later. References go to the reply.
// `show` names the members of `data` that people want to see, in order, ended by NULL; NULL: all of it.
void call_reply(struct call *, json_t *data, const char *const *show);
// Before call_reply(): this is not all; these words ask for the rest, an array that continues the one of the data.
void call_next(struct call *, json_t *words);
// `details`: an array of lines, or NULL.
__attribute__((format(printf, 3, 4))) void call_refuse(struct call *, json_t *details, const char *format, ...);
// Wrong words: the reply carries the usage.
__attribute__((format(printf, 2, 3))) void call_misused(struct call *, const char *format, ...);

// A JSON string of text that may be no UTF-8: octets that are not become "\xNN".
json_t *json_text(const char *);
json_t *json_lines(const struct findings *); // an array of its lines
// Seconds since 1970 as "2022-10-30T12:00:00Z"; 0: null.
json_t *json_time(uint64_t seconds);

#define COMMAND(words, arguments, handler, right, help) void command_##handler(struct call *);
#include "commands.def"
#undef COMMAND
