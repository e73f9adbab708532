// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <pollux/name.h>
#include <pollux/query.h>
#include <pollux/rrtype.h>

#include "fake_server.h"

static void hear(struct fake_server *server, struct heard *heard)
{
	unsigned total = server->heard_udp + server->heard_tcp;
	if (heard->over_tcp)
		server->heard_tcp++;
	else
		server->heard_udp++;
	heard->server = server;
	heard->question_bytes =
		name_length(heard->wire + DNS_HEADER_BYTES, heard->bytes - DNS_HEADER_BYTES) + 4;
	if (total < FAKE_HEARD_MAX)
		server->heard[total] = *heard;
	if (server->script)
		server->script(heard);
}

static void on_udp(evutil_socket_t fd, short what, void *ctx)
{
	struct heard heard = { 0 };
	socklen_t length = sizeof(heard.peer);
	(void)what;
	ssize_t bytes =
		recvfrom(fd, heard.wire, sizeof(heard.wire), 0, (struct sockaddr *)&heard.peer, &length);
	if (bytes < DNS_HEADER_BYTES)
		return;
	heard.bytes = (unsigned)bytes;
	hear(ctx, &heard);
}

static void on_tcp(struct bufferevent *channel, void *ctx)
{
	struct fake_server *server = ctx;
	struct evbuffer *in = bufferevent_get_input(channel);
	uint8_t head[2];
	while (evbuffer_copyout(in, head, 2) == 2 && evbuffer_get_length(in) >= 2u + load_be16(head)) {
		struct heard heard = { .over_tcp = true, .connection = channel, .bytes = load_be16(head) };
		assert_true(heard.bytes <= sizeof(heard.wire));
		evbuffer_drain(in, 2);
		evbuffer_remove(in, heard.wire, heard.bytes);
		hear(server, &heard);
		bool closed = true;
		for (unsigned i = 0; i < server->connections; i++)
			closed &= server->open[i] != channel;
		if (closed)
			return;
	}
}

static void on_end(struct bufferevent *channel, short what, void *ctx)
{
	struct fake_server *server = ctx;
	if (what & BEV_EVENT_CONNECTED) {
		server->resumed += SSL_session_reused(bufferevent_openssl_get_ssl(channel)) == 1;
		return;
	}
	for (unsigned i = 0; i < server->connections; i++) {
		if (server->open[i] == channel)
			server->open[i] = NULL;
	}
	bufferevent_free(channel);
}

static void on_accept(
	struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int length, void *ctx)
{
	struct fake_server *server = ctx;
	(void)listener;
	(void)peer;
	(void)length;
	struct bufferevent *channel =
		server->tls ? bufferevent_openssl_socket_new(server->base, fd, SSL_new(server->tls),
				      BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE)
			    : bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	assert_non_null(channel);
	assert_true(server->connections < FAKE_HEARD_MAX);
	server->open[server->connections++] = channel;
	bufferevent_setcb(channel, on_tcp, NULL, on_end, server);
	bufferevent_enable(channel, EV_READ | EV_WRITE);
}

static struct sockaddr_storage address_of(int family, uint16_t port)
{
	struct sockaddr_storage address;
	memset(&address, 0, sizeof(address));
	struct sockaddr_in *ip4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)&address;
	address.ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		ip4->sin_port = htons(port);
		ip4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		ip6->sin6_port = htons(port);
		ip6->sin6_addr = in6addr_loopback;
	}
	return address;
}

static socklen_t address_bytes(int family)
{
	return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

struct sockaddr_storage fake_address(const struct fake_server *server)
{
	return address_of(server->family, server->port);
}

void fake_start(struct fake_server *server, struct event_base *base, int family, fake_script *script)
{
	memset(server, 0, sizeof(*server));
	server->base = base;
	server->family = family;
	server->script = script;
	// The port is free for UDP; another one is taken when it is not for TCP.
	for (unsigned i = 0; i < 100 && !server->listener; i++) {
		struct sockaddr_storage address = address_of(family, 0);
		socklen_t length = address_bytes(family);
		server->udp = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(server->udp >= 0);
		assert_int_equal(bind(server->udp, (struct sockaddr *)&address, length), 0);
		assert_int_equal(getsockname(server->udp, (struct sockaddr *)&address, &length), 0);
		server->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
		server->listener = evconnlistener_new_bind(base, on_accept, server,
			LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 16, (struct sockaddr *)&address,
			(int)length);
		if (!server->listener)
			close(server->udp);
	}
	assert_non_null(server->listener);
	server->readable = event_new(base, server->udp, EV_READ | EV_PERSIST, on_udp, server);
	event_add(server->readable, NULL);
}

void fake_stop_tcp(struct fake_server *server)
{
	if (server->listener)
		evconnlistener_free(server->listener);
	server->listener = NULL;
	for (unsigned i = 0; i < server->connections; i++) {
		if (server->open[i])
			bufferevent_free(server->open[i]);
	}
	server->connections = 0;
}

void fake_stop(struct fake_server *server)
{
	fake_stop_tcp(server);
	event_free(server->readable);
	close(server->udp);
}

void fake_send(struct heard *heard, const uint8_t *wire, unsigned bytes)
{
	if (!heard->over_tcp) {
		assert_int_equal(sendto(heard->server->udp, wire, bytes, 0, (struct sockaddr *)&heard->peer,
					 address_bytes(heard->server->family)),
			bytes);
		return;
	}
	uint8_t head[2];
	store_be16(head, (uint16_t)bytes);
	bufferevent_write(heard->connection, head, 2);
	bufferevent_write(heard->connection, wire, bytes);
}

struct writer fake_reply(uint8_t *to, size_t room, const struct heard *heard, uint16_t flags)
{
	struct writer w = writer_of(to, room);
	write_be16(&w, load_be16(heard->wire));
	write_be16(&w, (uint16_t)(FLAG_QR | FLAG_RA | (load_be16(heard->wire + 2) & FLAG_RD) | flags));
	write_be16(&w, 1);
	write_bytes(&w, "\0\0\0\0\0", 6);
	write_bytes(&w, heard->wire + DNS_HEADER_BYTES, heard->question_bytes);
	assert_false(w.failed);
	return w;
}

void fake_record(struct writer *w, unsigned section, unsigned owner_at, uint16_t type, uint32_t ttl,
	const void *rdata, unsigned bytes)
{
	write_be16(w, (uint16_t)(0xc000 | owner_at));
	write_be16(w, type);
	write_be16(w, CLASS_IN);
	write_be32(w, ttl);
	write_be16(w, (uint16_t)bytes);
	write_bytes(w, rdata, bytes);
	assert_false(w->failed);
	uint8_t *count = w->start + 6 + 2 * section;
	store_be16(count, (uint16_t)(load_be16(count) + 1));
}

void fake_opt(struct writer *w)
{
	write_bytes(w, "\0\0\x29\x04\xd0\0\0\0\0\0\0", OPT_BYTES);
	store_be16(w->start + 10, (uint16_t)(load_be16(w->start + 10) + 1));
}

void fake_answers(struct heard *heard)
{
	uint8_t wire[512];
	struct writer w = fake_reply(wire, sizeof(wire), heard, 0);
	fake_record(&w, 0, DNS_HEADER_BYTES, TYPE_A, 300, "\xc0\0\2\1", 4);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}

void fake_truncates(struct heard *heard)
{
	uint8_t wire[512];
	if (heard->over_tcp) {
		fake_answers(heard);
		return;
	}
	struct writer w = fake_reply(wire, sizeof(wire), heard, FLAG_TC);
	fake_send(heard, wire, (unsigned)writer_bytes(&w));
}
