// SPDX-License-Identifier: BSD-3-Clause
// The exception path: one TAP device per port in a network namespace of control's own, with the port's
// MAC and service addresses. Punted frames go in, the kernel's stack does TCP, neighbours and routes,
// and what it sends goes back over the ring. One event loop's thread.
#pragma once

#include <event2/event.h>

#include <pollux/config.h>
#include <pollux/status.h>

#include "side_door.h"

struct tap;

// Makes the namespace, the devices, addresses and routes; registers itself for PUNT messages and for attaches (MACs and links).
// Logs the reason when it fails. ST_SYSTEM: a system call failed (CAP_NET_ADMIN, /dev/net/tun).
CHECKED enum status tap_new(struct tap **, struct event_base *, const struct config *, struct side_door *);
void tap_free(struct tap *); // the namespace goes with its last socket
// What the kernel has to send by now goes to the workers at once, not with the next round of the event loop; a worker that has
// to share this core may send it.
void tap_hand_on(struct tap *);

// A socket inside the namespace: it reaches the world through the ports. Non-blocking, close-on-exec; -1 with errno.
int tap_socket(struct tap *, int family, int type);

// That namespace as a descriptor, for threads that enter it; the TAP's own.
int tap_namespace(const struct tap *);

struct tap_counters {
	uint64_t frames_in, frames_out; // into the kernel, out to the ports
	uint64_t dropped_in;		// no such port, or the kernel did not take it
	uint64_t dropped_out;		// no dataplane, or its ring was full
	uint64_t filtered_out;		// the kernel's own multicast listener reports and router solicitations
};
const struct tap_counters *tap_counters(const struct tap *);
