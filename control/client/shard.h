// SPDX-License-Identifier: BSD-3-Clause
// One thread that resolves: its event loop, its contexts of libunbound, and the two queues that join it to the
// thread of the recursor.
#pragma once

#include <stdatomic.h>

#include "library.h"

// A question on its way to a shard and back. Whoever holds it owns it.
struct job {
	struct shard *shard; // while it is there
	void *ctx;	     // of whom it comes back to
	uint16_t type, class;
	bool checking_disabled, refresh;
	bool starting; // the library may call back before it returns
	bool answered; // and did
	bool again;    // asked of the second context
	struct recursor_answer answer, second;
	uint8_t name[NAME_MAX_BYTES];
};
void job_free(struct job *); // NULL is fine

// Counted by the shard, read by anybody.
struct shard_counters {
	atomic_uint_fast64_t secure, insecure, bogus, failed, recalled;
};

struct shard;

// Starts the thread. `room` is how many jobs it will ever have at once; `validates`: most of them without checking_disabled.
// ST_SYSTEM, ST_NO_MEMORY.
CHECKED enum status shard_start(struct shard **, struct library_settings *, unsigned room, bool validates, int namespace);
// The shard is the thread's from now on: it drops its jobs and frees everything when it gets there.
void shard_leave(struct shard *); // NULL is fine
bool shard_give(struct shard *, struct job *); // false: no room
struct job *shard_take(struct shard *);	       // a finished one, or NULL
int shard_fd(const struct shard *);	       // readable: there may be finished ones
void shard_wake(struct shard *);	       // before they are taken
const struct shard_counters *shard_counters(const struct shard *);
bool shards_await_end(unsigned timeout_ms); // of those left; false: not all have ended
