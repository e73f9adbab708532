// SPDX-License-Identifier: BSD-3-Clause
// A worker's end of the rings to control. Nobody waits: what does not fit is counted by its sender.
#pragma once

#include <stdint.h>

struct worker;
struct burst;

// Copies every miss and punt of the burst to control; those that cannot go become drops.
void side_door_pass_up(struct worker *, struct burst *);
// Control shall know in time that answers were made from this cache entry. A full ring loses it.
void side_door_tell_used(struct worker *, uint64_t position);
// Copies of answers that are about to be sent go up for the query log: one in policy.log_sample, and only while no more
// than a quarter of the ring is in use.
void side_door_log(struct worker *, const struct burst *);
// Takes up to a burst of messages from control and sends them. Returns how many there were.
unsigned side_door_take(struct worker *);
