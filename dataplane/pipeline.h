// SPDX-License-Identifier: BSD-3-Clause
// A packet's way, in stages that each walk over the whole burst. One worker's thread.
#pragma once

#include <pollux/answer.h>
#include <pollux/bounds.h>
#include <pollux/catalog.h>
#include <pollux/counters.h>
#include <pollux/overrides.h>
#include <pollux/query.h>

#include "frame.h"
#include "port.h"

struct rte_mbuf;
struct worker;

// One queue pair of a port, served by one worker.
struct lane {
	const struct port *port;
	uint16_t queue;
};

// The packets of one turn of one lane. Packets are numbered [0, count); those that are DNS questions are
// also numbered [0, queries), and packet_of[] leads from the one number to the other.
struct burst {
	const struct lane *lane;
	uint64_t received_at; // time stamp counter
	unsigned count;
	unsigned left; // that did not go out as answers
	struct rte_mbuf *mbuf[BURST_MAX];
	struct frame frame[BURST_MAX];
	// The verdict: the counter a packet goes to, whose class says what becomes of it.
	enum counter fate[BURST_MAX];

	unsigned queries;
	uint8_t packet_of[BURST_MAX];
	uint8_t detail[BURST_MAX]; // by packet; of a miss: enum msg_miss_reason; of an answer: 1 + enum chain_step, 0: nobody
	uint8_t refused[BURST_MAX];	// the parser wants it answered with rcode[]
	uint8_t truncated[BURST_MAX];
	enum rcode rcode[BURST_MAX];
	bool has_far_buckets; // one of the zones has more of them than stay at hand
	const struct image *zone[BURST_MAX]; // NULL: none, or a rule says the answer, or it is refused
	const struct node *node[BURST_MAX];  // what image_probe() found there
	uint64_t cache_used; // position of an entry that answered one of them; 0: none did
	uint64_t cache_hash[BURST_MAX]; // of questions without a zone, while there is a cache
	uint64_t cached[BURST_MAX];	// of these: what cache_probe() found
	uint64_t rule_depths[BURST_MAX]; // while there are rules: what overrides_probe() found
	struct override_hit rule[BURST_MAX]; // without one: no rule fits
	struct query query[BURST_MAX];
};

// Asks the port to finish the checksums that frame_turn_round() left to it.
void pipeline_request_offload(struct rte_mbuf *, const struct frame *, unsigned offload);
// Takes a burst from the lane and deals with all of it. Returns how many packets came.
unsigned pipeline_run(struct worker *, const struct lane *);
