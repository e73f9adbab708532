// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event_struct.h>
#include <pollux/bytes.h>
#include <pollux/query.h>

#include "clock.h"
#include "ports.h"

#define BIND_ATTEMPTS 32 // random ports tried before giving up
#define PORT_FIRST 1024
#define BATCH 16	    // messages read by one system call
#define BATCHES_MAX 4	    // in a row from one socket, so that a flood starves nobody
#define DATAGRAM_BYTES 4096 // more than any size we announce

struct port {
	LIST_ENTRY(port) all;
	struct ports *ports; // NULL: they are gone, and it only waits for its reader to return
	struct ports_shared *shared;
	struct event readable;
	int fd;
	uint8_t used, open, strangers; // slots taken so far; questions still waiting
	uint8_t place;		       // in kept[], while it is there
	bool kept;
	bool busy, doomed; // being read from; to be closed then
	uint64_t opened_at_us;
	uint16_t id[PORT_QUESTIONS]; // never drawn twice for one port
	struct port_question *question[PORT_QUESTIONS];
};

struct ports {
	struct ports_shared *shared;
	const struct sockaddr *address;
	socklen_t address_bytes;
	LIST_HEAD(, port) all;
	struct port *kept[PORTS_KEPT]; // that may get further questions
	unsigned kept_count;
	uint64_t ahead_us; // when all ports opened so far have been paid for, at PORTS_PER_S
};

static void close_port(struct port *port)
{
	if (port->busy) {
		port->doomed = true;
		return;
	}
	if (port->ports)
		LIST_REMOVE(port, all);
	event_del(&port->readable);
	close(port->fd);
	port->shared->counters.sockets--;
	free(port);
}

// No question more; it is closed when the last one that waits is gone.
static void give_up(struct port *port)
{
	struct ports *ports = port->ports;
	if (port->kept) {
		struct port *last = ports->kept[--ports->kept_count];
		ports->kept[port->place] = last;
		last->place = port->place;
		port->kept = false;
	}
	if (!port->open)
		close_port(port);
}

void port_forget(struct port_question *question)
{
	struct port *port = question->port;
	if (!port)
		return;
	question->port = NULL;
	port->question[question->slot] = NULL;
	port->open--;
	if (!port->kept && !port->open)
		close_port(port);
}

static void tell_all(struct port *port, enum heard heard)
{
	give_up(port);
	for (unsigned i = 0; i < port->used; i++)
		if (port->question[i])
			port->question[i]->heard(port->question[i], heard, NULL, 0);
}

static void count_stranger(struct port *port)
{
	port->shared->counters.strangers++;
	if (++port->strangers < PORT_STRANGERS)
		return;
	port->strangers = 0;
	port->shared->counters.floods++;
	tell_all(port, HEARD_FORGERS);
}

static void take_message(struct port *port, const uint8_t *wire, unsigned bytes)
{
	if (bytes < DNS_HEADER_BYTES) {
		port->shared->counters.strangers++;
		return;
	}
	uint16_t id = load_be16(wire);
	unsigned slot = 0;
	while (slot < port->used && port->id[slot] != id)
		slot++;
	struct port_question *question = slot < port->used ? port->question[slot] : NULL;
	if (question) {
		if (!question->heard(question, HEARD_MESSAGE, wire, bytes))
			count_stranger(port);
	} else if (slot < port->used) {
		port->shared->counters.late++;
	} else {
		count_stranger(port);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	// One batch at a time is looked at, on whichever thread.
	static _Thread_local uint8_t datagrams[BATCH][DATAGRAM_BYTES];
	struct port *port = ctx;
	(void)what;
	port->busy = true;
	for (unsigned batch = 0; batch < BATCHES_MAX && !port->doomed; batch++) {
		struct iovec piece[BATCH];
		struct mmsghdr message[BATCH];
		// Few questions wait at one port, so that is what can be there, unless somebody guesses.
		unsigned most = port->open + 1u < BATCH ? port->open + 1u : BATCH;
		memset(message, 0, most * sizeof(message[0]));
		for (unsigned i = 0; i < most; i++) {
			piece[i] = (struct iovec){ datagrams[i], DATAGRAM_BYTES };
			message[i].msg_hdr.msg_iov = &piece[i];
			message[i].msg_hdr.msg_iovlen = 1;
		}
		int count = recvmmsg(fd, message, most, MSG_DONTWAIT, NULL);
		if (count < 0 && errno != EAGAIN && errno != EINTR)
			tell_all(port, HEARD_ERROR); // RFC 1122 4.1.3.3: port unreachable and the like
		for (int i = 0; i < count && !port->doomed; i++)
			take_message(port, datagrams[i], message[i].msg_len);
		if (count < (int)most)
			break;
	}
	port->busy = false;
	if (port->doomed)
		close_port(port);
}

// The kernel's own choice comes from a narrower range.
static bool bind_random_port(struct ports_shared *shared, int fd, int family)
{
	for (unsigned i = 0; i < BIND_ATTEMPTS; i++) {
		in_port_t port = htons((uint16_t)(PORT_FIRST + random_below(&shared->random, 65536 - PORT_FIRST)));
		const struct sockaddr_in ip4 = { .sin_family = AF_INET, .sin_port = port };
		const struct sockaddr_in6 ip6 = { .sin6_family = AF_INET6, .sin6_port = port };
		int failed = family == AF_INET ? bind(fd, (const struct sockaddr *)&ip4, sizeof(ip4))
					       : bind(fd, (const struct sockaddr *)&ip6, sizeof(ip6));
		if (!failed)
			return true;
		if (errno != EADDRINUSE && errno != EACCES)
			return false;
	}
	return false;
}

static int open_socket(struct ports *ports, enum ports_sent *trouble)
{
	struct ports_shared *shared = ports->shared;
	int family = ports->address->sa_family, on = 1;
	int fd = shared->open_socket(shared->socket_ctx, family, SOCK_DGRAM);
	if (fd >= 0 && family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (fd < 0 || !bind_random_port(shared, fd, family)) {
		shared->counters.no_socket++;
		*trouble = PORTS_NO_SOCKET;
	} else if (connect(fd, ports->address, ports->address_bytes)) {
		*trouble = PORTS_UNREACHABLE;
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static struct port *new_port(struct ports *ports, uint64_t now_us, enum ports_sent *trouble)
{
	int fd = open_socket(ports, trouble);
	if (fd < 0)
		return NULL;
	struct port *port = malloc(sizeof(*port));
	*trouble = PORTS_NO_SOCKET;
	if (port) {
		*port = (struct port){ .ports = ports, .shared = ports->shared, .fd = fd, .opened_at_us = now_us };
		if (!event_assign(&port->readable, ports->shared->base, fd, EV_READ | EV_PERSIST, on_readable, port) &&
			!event_add(&port->readable, NULL)) {
			LIST_INSERT_HEAD(&ports->all, port, all);
			ports->shared->counters.sockets++;
			return port;
		}
	}
	free(port);
	close(fd);
	return NULL;
}

static void keep(struct port *port)
{
	struct ports *ports = port->ports;
	if (port->kept || ports->kept_count == PORTS_KEPT || port->used == PORT_QUESTIONS)
		return;
	port->kept = true;
	port->place = (uint8_t)ports->kept_count;
	ports->kept[ports->kept_count++] = port;
}

static struct port *kept_port(struct ports *ports, uint64_t now_us)
{
	while (ports->kept_count) {
		struct port *port = ports->kept[random_below(&ports->shared->random, ports->kept_count)];
		if (now_us - port->opened_at_us < PORT_AGE_US)
			return port;
		give_up(port);
	}
	return NULL;
}

// In advance for as many as may be open in bursts.
static bool may_open_another(struct ports *ports, uint64_t now_us)
{
	const uint64_t each_us = 1000000 / PORTS_PER_S;
	if (ports->ahead_us > now_us + PORTS_KEPT * each_us)
		return false;
	ports->ahead_us = (ports->ahead_us > now_us ? ports->ahead_us : now_us) + each_us;
	return true;
}

static struct port *choose_port(struct ports *ports, bool alone, uint64_t now_us, enum ports_sent *trouble)
{
	struct port *port = NULL;
	if (!alone && ports->kept_count == PORTS_KEPT && !may_open_another(ports, now_us))
		port = kept_port(ports, now_us);
	if (!port)
		port = new_port(ports, now_us, trouble);
	return port ? port : kept_port(ports, now_us); // better a shared one than none
}

static uint16_t draw_id(struct port *port)
{
	for (;;) {
		uint16_t id = (uint16_t)random_bits(&port->shared->random);
		unsigned i = 0;
		while (i < port->used && port->id[i] != id)
			i++;
		if (i == port->used)
			return id;
	}
}

enum ports_sent ports_ask(struct ports *ports, struct port_question *question, uint8_t *wire, unsigned bytes,
	bool alone, uint64_t now_us)
{
	enum ports_sent trouble = PORTS_NO_SOCKET;
	struct port *port = choose_port(ports, alone, now_us, &trouble);
	if (!port)
		return trouble;
	question->id = draw_id(port);
	store_be16(wire, question->id);
	// An error may be that of an earlier message (a port unreachable that came meanwhile): it is told once.
	bool sent = send(port->fd, wire, bytes, 0) >= 0 || send(port->fd, wire, bytes, 0) >= 0;
	if (sent) {
		question->slot = port->used++;
		question->port = port;
		port->id[question->slot] = question->id;
		port->question[question->slot] = question;
		port->open++;
	}
	if (sent && !alone)
		keep(port);
	if (!sent || port->used == PORT_QUESTIONS)
		give_up(port);
	return sent ? PORTS_SENT : PORTS_UNREACHABLE;
}

void ports_tidy(struct ports *ports, uint64_t now_us)
{
	for (unsigned i = ports->kept_count; i--;) {
		struct port *port = ports->kept[i];
		if (now_us - port->opened_at_us >= PORT_AGE_US)
			give_up(port);
	}
}

struct ports *ports_new(struct ports_shared *shared, const struct sockaddr *address, socklen_t address_bytes)
{
	struct ports *ports = calloc(1, sizeof(*ports));
	if (!ports)
		return NULL;
	ports->shared = shared;
	ports->address = address;
	ports->address_bytes = address_bytes;
	LIST_INIT(&ports->all);
	return ports;
}

void ports_free(struct ports *ports)
{
	if (!ports)
		return;
	struct port *port;
	while ((port = LIST_FIRST(&ports->all))) {
		for (unsigned i = 0; i < port->used; i++)
			if (port->question[i])
				port->question[i]->port = NULL;
		port->kept = false;
		LIST_REMOVE(port, all);
		port->ports = NULL;
		close_port(port);
	}
	free(ports);
}
