// SPDX-License-Identifier: BSD-3-Clause
// What the steps of the chain see of a question, and of each other: nothing but this.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "client/message.h"
#include "resolve.h"

enum outcome {
	PASS,	// not mine, or I could not find out (then `rcode` says so): the next step
	ANSWER, // `reply` of the resolver holds the message
	ERROR,	// answered with `rcode`, whoever might come next
	WAIT,	// will call ask_resume() later
};

// One question on its way through the chain; lives from resolver_ask() to its `done`.
struct ask {
	TAILQ_ENTRY(ask) waiting; // for the step that makes it wait
	struct resolver *resolver;
	struct asker asker;
	ask_done *done;
	void *ctx;
	struct query query; // its wire is the asker's, or, once it waits, `kept`
	unsigned step;
	enum rcode rcode;      // when no step has an answer
	enum extended_error why;
	bool waits;	       // or did
	struct message own;    // what our zones know already: the CNAMEs that lead to `target`
	const uint8_t *target; // the name still to be asked for, when it is not the query's
	uint8_t kept[DNS_HEADER_BYTES + NAME_MAX_BYTES + 4 + COOKIE_MAX_BYTES];
};

// What the steps share.
struct resolver {
	const struct catalog *catalog;
	struct tap *tap;
	struct policy policy;
	bool by_ports; // forwarded questions leave through the TAP
	unsigned max_waiting;
	struct forwarders *forwarders;
	struct resolver_counters counters;
	struct reply reply; // its wire is `buffer`
	struct parties parties; // of the reply being written
	struct composer composer;
	uint8_t buffer[DNS_MAX_BYTES];
};

// After WAIT: goes on with what the step has found out. Frees the ask when it is answered.
void ask_resume(struct ask *, enum outcome);
// The resolver ends: the asker hears nothing but that.
void ask_drop(struct ask *);

// Before a reply to this asker is written: whom the reply's options are for.
void ask_face_client(struct ask *);

// The steps, in the order of the chain.
enum outcome from_authorities(struct ask *);
enum outcome from_forwarders(struct ask *);

// Other name servers, as the configuration lists them. NULL: no memory.
struct forwarders *forwarders_new(struct event_base *, struct resolver *, const struct config *);
void forwarders_free(struct forwarders *); // waiting questions are dropped; NULL is fine
void forwarders_reconfigure(struct forwarders *, const struct config *);
// Brings the counters of the upstream side up to date.
void forwarders_count(const struct forwarders *, struct resolver_counters *);
