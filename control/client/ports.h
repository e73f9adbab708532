// SPDX-License-Identifier: BSD-3-Clause
// UDP sockets toward one server. Each is bound to a port of its own, drawn from the whole range (RFC 5452 9.2), and
// connected, so that only what comes from that address and port arrives. A question gets a port of its own as long as
// there are fewer than PORTS_PER_S; beyond that it takes one of PORTS_KEPT at random, and PORT_QUESTIONS questions
// later, or PORT_AGE_US after it was opened, a port is given up for a fresh one. One event loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "random.h"

#define PORT_QUESTIONS 32
#define PORTS_KEPT 48
#define PORTS_PER_S 2000 // costs a hundredth of a core
#define PORT_AGE_US UINT64_C(1000000)
#define PORT_STRANGERS 4 // messages with ids nobody drew, until they are taken for an attack

struct port;
struct ports;

enum heard {
	HEARD_MESSAGE, // with the id; the question is still to be compared
	HEARD_ERROR,   // from the network: nobody there
	HEARD_FORGERS, // somebody guesses ids at this port: nothing that comes there can be trusted
};

// A question on the way; lives inside its asker's own object.
struct port_question {
	struct port *port; // NULL: not on the way
	uint16_t id;
	uint8_t slot;
	// `wire` is valid during the call only. HEARD_MESSAGE: false means not the answer, keep waiting; else, and with the
	// others, the question must be forgotten (port_forget) when this returns.
	bool (*heard)(struct port_question *, enum heard, const uint8_t *wire, unsigned bytes);
};

struct ports_counters {
	uint64_t sockets;    // open now
	uint64_t no_socket;  // that could not be had: descriptors, ports
	uint64_t strangers;  // messages that no question waits for
	uint64_t late;	     // to a question that is answered already, or was given up
	uint64_t floods;     // ports given up because of strangers
};

// What the ports of all servers of one client share.
struct ports_shared {
	struct event_base *base;
	struct random_stock random;
	int (*open_socket)(void *ctx, int family, int type); // non-blocking, close-on-exec; -1 with errno
	void *socket_ctx;
	struct ports_counters counters;
};

// `address` and `shared` outlive it. NULL: no memory.
struct ports *ports_new(struct ports_shared *, const struct sockaddr *address, socklen_t);
void ports_free(struct ports *); // questions hear nothing; NULL is fine

enum ports_sent { PORTS_SENT, PORTS_NO_SOCKET, PORTS_UNREACHABLE };
// Sends the message with a fresh id in its first two octets. `alone`: from a port without other questions, if one can be had.
enum ports_sent ports_ask(struct ports *, struct port_question *, uint8_t *wire, unsigned bytes, bool alone, uint64_t now_us);
void port_forget(struct port_question *);
// Gives up ports that are old and wait for nothing.
void ports_tidy(struct ports *, uint64_t now_us);
