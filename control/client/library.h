// SPDX-License-Identifier: BSD-3-Clause
// libunbound as we use it: our options as its options, its results as our answers.
#pragma once

#include <event2/event.h>
#include <unbound.h>
#include <unbound-event.h>

#include "recursor.h"

// Options in the library's own terms; never changed once made. Threads share it, the last one frees it.
struct library_settings;
struct library_settings *library_settings_new(const struct recursor_options *); // NULL: no memory
struct library_settings *library_settings_share(struct library_settings *);
bool library_settings_equal(const struct library_settings *, const struct library_settings *);
void library_settings_release(struct library_settings *); // NULL is fine

// A context on this event base, with caches of its own: the thread's main one, or one of its lesser ones. The reason for NULL
// is in the log.
struct ub_ctx *library_context(const struct library_settings *, struct event_base *, bool validates, bool is_main);

// Asks; what the library remembers it says before the call returns. `first`: nothing has been asked of this context yet. False: it
// did not take the question, and will not call back; the reason is in the log.
bool library_ask(struct ub_ctx *, bool first, const uint8_t *name, uint16_t type, uint16_t class, ub_event_callback_type,
	void *ctx);
void library_context_free(struct ub_ctx *); // calls back for what is open; NULL is fine

// A result as its callback got it. ST_NO_MEMORY: `to` says SERVFAIL, too.
void library_read_answer(struct recursor_answer *to, int rcode, const void *packet, int bytes, int security,
	const char *why_bogus);
