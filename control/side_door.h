// SPDX-License-Identifier: BSD-3-Clause
// Control's end of the rings. Finds the dataplane's regions, takes messages up and hands them to
// handlers, puts messages down. Attaches again by itself when the dataplane comes back. One event loop's
// thread; never blocks.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include <pollux/config.h>
#include <pollux/counters.h>
#include <pollux/msg.h>

struct side_door;

// `msg` is a checked copy; `frame` holds msg->bytes octets, valid during the call only.
typedef void side_door_handler(void *ctx, const struct msg *msg, const uint8_t *frame);

// NULL: no memory. Works whether or not a dataplane is there yet.
struct side_door *side_door_new(struct event_base *, const struct config *, const char *shared_directory);
void side_door_free(struct side_door *);
void side_door_on(struct side_door *, enum msg_type, side_door_handler *, void *ctx);
// Called each time a dataplane was found or its ports have changed, with its stats region (port MACs and links); at once
// when one is there already. Counts: side_door_workers(), side_door_ports().
void side_door_on_attach(struct side_door *, void (*attached)(void *ctx, const struct stats *), void *ctx);

// The answer to a MISS. `miss` and its first `miss->dns_at` octets of frame are what came up, kept by the
// caller meanwhile. ST_FULL: ring full, counted. ST_NOT_FOUND: no dataplane, or another one than asked.
enum status side_door_reply(struct side_door *, const struct msg *miss, const uint8_t *headers, const uint8_t *dns,
	unsigned dns_bytes);
// There will be no answer to it: its client may ask something else. ST_FULL, ST_NOT_FOUND as above; the dataplane forgets it
// after a while all the same.
enum status side_door_settle(struct side_door *, const struct msg *miss, const uint8_t *headers);
// A finished Ethernet frame out of a port.
enum status side_door_frame(struct side_door *, unsigned port, const uint8_t *frame, unsigned bytes);

bool side_door_is_attached(const struct side_door *); // a living dataplane
// No process owns a dataplane's regions at this moment, attached or still starting. Asks the kernel.
bool side_door_is_alone(const struct side_door *);
const struct stats *side_door_stats(const struct side_door *); // NULL: never attached
// How many blocks of the stats region may be read: checked against its size, unlike the counts inside it.
unsigned side_door_workers(const struct side_door *);
unsigned side_door_ports(const struct side_door *);

// What this end counts, for `polluxctl stats`.
struct side_door_counters {
	uint64_t received[MSG_COUNT], sent[MSG_COUNT];
	uint64_t malformed, stale, ring_full, corrupt, no_dataplane, attaches;
};
const struct side_door_counters *side_door_counters(const struct side_door *);
