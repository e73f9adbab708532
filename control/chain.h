// SPDX-License-Identifier: BSD-3-Clause
// What the steps of the chain see of a question, and of each other: nothing but this. One event loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "client/message.h"
#include "resolve.h"

struct ask;

enum outcome {
	PASS,	// not mine, or I could not find out (then `rcode` says so): the next step
	ANSWER, // `reply` of the resolver holds the message
	ERROR,	// answered with `rcode`, whoever might come next
	DROP,	// the asker hears nothing
	WAIT,	// will call ask_resume() later; `forget` is set
};

// One kind of step: a row of the table in resolve.c. There is one state of each kind, made at the start.
struct step_kind {
	const char *name, *help; // as the configuration's `chain` calls it
	// NULL: no memory. NULL functions: nothing to do. States end in the opposite order of the chain.
	void *(*new)(struct event_base *, struct resolver *, const struct config *);
	void (*reconfigure)(void *state, const struct config *);
	void (*free)(void *state); // waiting questions are dropped by ask_drop()
	bool (*in_use)(const void *state); // false: nothing is configured for it; NULL: always
	enum outcome (*run)(struct ask *, void *state);
	void (*describe)(const void *state, char *to, size_t room); // "names: 5, files: 2"; NULL: there is nothing to say
	bool (*holds)(const void *state, const uint8_t *name); // the name exists here, whatever others say; NULL: never
};
extern const struct step_kind overrides_step, authorities_step, cache_step, hosts_step, plugins_step, forwarders_step, recursion_step;

// What goes with records that others gave us.
struct verdict {
	uint16_t flags;		 // FLAG_AD: they were validated (RFC 4035 3.2.3)
	enum extended_error why; // EDE_NONE, or what their asker should know
};

// The way of one question through the steps, for people.
#define TRACE_STEPS_MAX 16
#define TRACE_NOTE_BYTES 384
struct trace {
	unsigned count;
	struct trace_step {
		const char *name, *outcome; // constants
		uint64_t began_us, took_us; // CLOCK_MONOTONIC; a step that waits takes until it goes on
		char note[TRACE_NOTE_BYTES]; // what it found, and where
	} step[TRACE_STEPS_MAX];
};

// Steps in their order, as the configuration had it when a question came in.
struct chain_order {
	uint8_t count;
	uint8_t step[STEP_COUNT]; // enum chain_step
};

// A reply put aside: somebody said that there is no such name, the steps behind may know better (RFC 2308 does not
// speak of several sources; this is what a search through several has to do).
struct kept_reply;

#define NOTE_BYTES 96 // longer ones are cut

// One question on its way through the chain; lives from resolver_ask() to its `done`.
struct ask {
	TAILQ_ENTRY(ask) waiting; // for the step that makes it wait
	struct resolver *resolver;
	struct asker asker;
	ask_done *done;
	void *ctx;
	struct query query; // its wire is the asker's, or, once it waits, `kept`
	struct policy policy; // for this asker
	uint8_t rights;	      // enum access_right
	struct chain_order order;
	unsigned step;	       // index into `order`
	enum rcode rcode;      // when no step has an answer
	enum extended_error why;
	bool waits;	       // or did
	bool has_turn;	       // it may ask others, see turns.h
	uint64_t waits_since_ms; // for its turn
	uint64_t began_us;     // 0: nobody will want to know
	const char *by;	       // the step that has an answer, or a "no" to keep; for the query log
	char note[NOTE_BYTES]; // what that step said about itself; empty while nothing is logged
	bool for_nobody;       // resolver_refresh(): what is learned counts, the reply goes nowhere
	bool name_exists;      // a step holds the name with other types: the end of the chain is NODATA, not an error
	struct message own;    // what our zones know already: the CNAMEs that lead to `target`
	const uint8_t *target; // the name still to be asked for, when it is not the query's
	struct kept_reply *negative;
	struct trace *trace;   // the asker's; NULL: nobody watches
	// With an expired answer in reserve (learned.c): a last chance before an error goes out, and what is to be done when
	// the ask ends. NULL: nothing.
	enum outcome (*rescue)(struct ask *);
	void (*ended)(struct ask *);
	TAILQ_ENTRY(ask) reserve;
	uint64_t reserve_at_ms;
	// With WAIT: takes the ask out of the step's hands, which never hears of it again.
	void (*forget)(struct ask *);
	void *step_ctx;	       // the waiting step's own
	uint8_t kept[DNS_HEADER_BYTES + NAME_MAX_BYTES + 4 + COOKIE_MAX_BYTES];
};

// A message of another opcode than QUERY. Its header and, when `questions` is not 0, its first question are in ask->query;
// the whole message is the asker's, and there only during the call unless `kept`. The outcome is that of a step; PASS is
// NOTIMP.
typedef enum outcome opcode_handler(void *ctx, struct ask *);

// What the steps share.
struct resolver {
	struct event_base *base;
	const struct catalog *catalog;
	struct tap *tap;
	struct policy policy;
	struct chain_order order;
	struct turns *turns;
	struct query_log *log; // NULL: none
	struct opcode_row { // by opcode
		opcode_handler *run; // NULL: NOTIMP
		void *ctx;
		uint8_t rights; // that its sender needs
	} opcode[16];
	void *state[STEP_COUNT]; // by enum chain_step
	struct resolver_counters counters;
	struct ask *spare; // the next question's; or NULL
	struct reply reply; // its wire is `buffer`
	struct parties parties; // of the reply being written
	struct composer composer;
	zone_awaited *awaited; // or NULL
	void *awaited_ctx;
	uint8_t buffer[DNS_MAX_BYTES];
};

// Messages of this opcode (1..15) go to `handler` from now on; NULL: they are NOTIMP again. `rights` are those that their
// sender needs, 0: the handler judges it. ST_EXISTS: somebody else handles it. ST_INVALID: there is no such opcode. The
// caller publishes resolver_opcodes().
CHECKED enum status resolver_on_opcode(struct resolver *, unsigned opcode, uint8_t rights, opcode_handler *, void *ctx);

// After WAIT: goes on with what the step has found out. Frees the ask when it is answered.
void ask_resume(struct ask *, enum outcome);
// After WAIT for a turn: looks into the cache once more, and goes on from there.
void ask_retry(struct ask *);
// The resolver ends, or the asker is gone: it hears nothing but that. The step must have let go of it.
void ask_drop(struct ask *);
// Somebody else than the step that makes it wait has the answer in hand: the step forgets it. ask_resume() is next.
void ask_take_back(struct ask *);

// A step of ours holds the wire name, so that nobody else's word that it does not exist counts.
bool resolver_holds(const struct resolver *, const uint8_t *name);
// The name to be found out: the query's, or where our own aliases lead. Not folded.
const uint8_t *ask_name(const struct ask *);
// The reply just written holds aliases of ours that lead elsewhere (RFC 1034 4.3.2 3a): what the next step finds for the
// last target goes behind them. PASS, or ERROR.
enum outcome ask_keep_aliases(struct ask *);
// Before a reply to this asker is written: whom the reply's options are for, and how much room there is.
void ask_face_client(struct ask *);
// The records of a message (its rcode NOERROR or NXDOMAIN) as the reply to this asker: own aliases in front, no AA but
// for those, signatures only for who wants them, RFC 2181 9 truncation. ANSWER, or ERROR.
enum outcome ask_reply(struct ask *, const struct message *, const struct verdict *);
// The same, but only for the end of the chain: somebody positively said no. The first one counts. PASS.
enum outcome ask_keep_negative(struct ask *, const struct message *, const struct verdict *);

// For a traced ask, and for the query log, which shows the last one: what the current step found. Several notes of a trace are
// joined by "; ".
__attribute__((format(printf, 2, 3))) void ask_note(struct ask *, const char *format, ...);
bool ask_takes_notes(const struct ask *); // false: what a note would say need not be found out

// Brings the counters of the upstream side up to date.
void forwarders_count(const void *state, struct resolver_counters *);
