// SPDX-License-Identifier: BSD-3-Clause
// Where in its zone file a record stands. Images keep no line numbers: whoever wants to know has the file
// read once more, in a loader thread, for a bounded time.
#pragma once

#include "client/message.h"
#include "loader.h"

#define PLACES_MAX 32	   // records of one reply that are looked for
#define PLACES_MAX_MS 3000 // of reading

struct places {
	struct loader_task task; // to be handed to loader_run(); its `done` and `ctx` are the caller's
	uint8_t apex[NAME_MAX_BYTES];
	char *path; // of the zone file
	struct message wanted;
	unsigned count;
	struct place {
		const struct message_rr *rr;
		char *file; // NULL: not found
		unsigned line;
	} place[PLACES_MAX];
	unsigned found, records;
	uint64_t until_ms;
	bool gave_up; // for lack of time
};

// For the records of the answer of this reply, or, without any, of its authority section. NULL: no memory, or
// not readable.
struct places *places_new(const uint8_t *apex, const char *path, const uint8_t *reply, unsigned bytes);
void places_free(struct places *); // NULL is fine; not while a thread runs it
