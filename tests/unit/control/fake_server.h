// SPDX-License-Identifier: BSD-3-Clause
// A name server for tests: answers over UDP and TCP on one loopback port, as its script says, in the event
// loop of the test.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <event2/event.h>
#include <openssl/ssl.h>
#include <pollux/bytes.h>

#define FAKE_HEARD_MAX 512

struct fake_server;

// A question that came in.
struct heard {
	struct fake_server *server;
	uint8_t wire[512];
	unsigned bytes, question_bytes;
	bool over_tcp;
	struct sockaddr_storage peer;
	void *connection; // struct bufferevent
};

typedef void fake_script(struct heard *);

struct fake_server {
	struct event_base *base;
	fake_script *script; // NULL: mute
	int family;
	uint16_t port;
	int udp;
	struct event *readable;
	struct evconnlistener *listener;
	SSL_CTX *tls; // connections are TLS; not owned
	unsigned resumed; // of them, by an earlier session
	unsigned heard_udp, heard_tcp, connections;
	struct heard heard[FAKE_HEARD_MAX]; // the first ones
	struct bufferevent *open[FAKE_HEARD_MAX];
};

void fake_start(struct fake_server *, struct event_base *, int family, fake_script *);
void fake_stop(struct fake_server *);
void fake_stop_tcp(struct fake_server *); // connections are refused from now on
struct sockaddr_storage fake_address(const struct fake_server *);

// Sends it back the way the question came.
void fake_send(struct heard *, const uint8_t *wire, unsigned bytes);
// Header with the question's id and RD, QR, RA and these flags; the question; no records yet.
struct writer fake_reply(uint8_t *to, size_t room, const struct heard *, uint16_t flags);
// One record whose owner is a pointer to `owner_at`. `section` 0..2 counts it in the header.
void fake_record(struct writer *, unsigned section, unsigned owner_at, uint16_t type, uint32_t ttl,
	const void *rdata, unsigned bytes);
void fake_opt(struct writer *);

// Ready scripts.
fake_script fake_answers;   // A 192.0.2.1
fake_script fake_truncates; // TC over UDP, a full answer over TCP
