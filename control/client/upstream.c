// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <pollux/name.h>

#include "clock.h"
#include "server.h"
#include "stream.h"
#include "upstream.h"

#define TRIES_OPEN_MAX 3 // a slow server's answer to an earlier try still counts
#define PORT_ATTEMPTS 32 // random ports tried before giving up
#define PORT_FIRST 1024
#define DATAGRAMS_MAX 16		// read from one socket in a row, so that a flood starves nobody
#define TIMER_SLACK_US 5000		// the loop's clock is coarse: a timer may fire so much early
#define REMEMBER_US UINT64_C(900000000) // what a server cannot do is tried again after 15 minutes

struct exchange;

// One message on the way to one server, over UDP (fd) or TCP (stream).
struct
try {
	struct exchange *exchange; // NULL: not in use
	unsigned server;	   // index in the exchange's list
	int fd;			   // -1: none
	struct event *readable;
	struct stream_question over_tcp;
	bool edns;
	bool case_differed; // somebody answered in another case: ask over TCP next, which nobody can forge
			    // from afar
	bool on_used_stream;
	uint16_t id;
	uint64_t sent_at_us;
	unsigned question_bytes;
	uint8_t question[NAME_MAX_BYTES + 4]; // as sent
};

// One question from upstream_ask() to its `done`.
struct exchange {
	TAILQ_ENTRY(exchange) open;
	struct upstream *upstream;
	struct server_list *servers;
	struct server_tries tries;
	struct event *timer; // the newest try's timeout, or the deadline
	uint64_t deadline_us;
	upstream_done *done;
	void *ctx;
	struct try try[TRIES_OPEN_MAX];
	unsigned newest; // index in try[]
	bool sent_once;
	bool by_tcp[SERVERS_MAX]; // ask this server over TCP
	bool plain[SERVERS_MAX];  // and this one without EDNS
	uint16_t rcode;		  // the last one that was no answer
	bool has_rcode;
	bool dnssec_ok, checking_disabled;
	unsigned question_bytes;
	uint8_t question[NAME_MAX_BYTES + 4];
};

struct upstream {
	struct event_base *base;
	struct upstream_options options;
	struct server_list *servers; // NULL: none yet
	TAILQ_HEAD(, exchange) open;
	struct upstream_counters counters;
	uint8_t buffer[DNS_MAX_BYTES];
};

static int host_socket(void *ctx, int family, int type)
{
	(void)ctx;
	return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static struct server *server_of(const struct try *try)
{
	return &try->exchange->servers->server[try->server];
}

static void end_try(struct try *try)
{
	if (!try->exchange)
		return;
	stream_forget(&try->over_tcp);
	if (try->readable)
		event_free(try->readable);
	try->readable = NULL;
	if (try->fd >= 0) {
		close(try->fd);
		try->exchange->upstream->counters.sockets--;
	}
	try->fd = -1;
	try->exchange = NULL;
}

static void end_tries(struct exchange *x)
{
	for (unsigned i = 0; i < TRIES_OPEN_MAX; i++)
		end_try(&x->try[i]);
}

static void free_exchange(struct exchange *x)
{
	end_tries(x);
	if (x->timer)
		event_free(x->timer);
	server_list_drop(x->servers);
	free(x);
}

static void finish(struct exchange *x, enum status status, const struct message *reply)
{
	struct upstream *up = x->upstream;
	TAILQ_REMOVE(&up->open, x, open);
	up->counters.open--;
	upstream_done *done = x->done;
	void *ctx = x->ctx;
	struct message error = { .rcode = x->rcode };
	if (status == ST_REFUSED && x->has_rcode)
		reply = &error;
	free_exchange(x);
	done(ctx, status, reply);
}

// RFC 5452 4.5, 9.2: an unpredictable port for each query. The kernel's own choice comes from a narrower
// range.
static bool bind_random_port(int fd, int family)
{
	for (unsigned i = 0; i < PORT_ATTEMPTS; i++) {
		in_port_t port = htons((uint16_t)(PORT_FIRST + arc4random_uniform(65536 - PORT_FIRST)));
		struct sockaddr_in ip4 = { .sin_family = AF_INET, .sin_port = port };
		struct sockaddr_in6 ip6 = {
			.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = in6addr_any
		};
		int failed = family == AF_INET ? bind(fd, (const struct sockaddr *)&ip4, sizeof(ip4))
					       : bind(fd, (const struct sockaddr *)&ip6, sizeof(ip6));
		if (!failed)
			return true;
		if (errno != EADDRINUSE && errno != EACCES)
			return false;
	}
	return false;
}

// Only what comes from that address and port reaches a connected socket.
static int open_datagram(struct upstream *up, const struct server *server)
{
	int family = server->address.ss_family;
	int fd = up->options.open_socket(up->options.socket_ctx, family, SOCK_DGRAM);
	int on = 1;
	if (fd >= 0 && family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (fd < 0 || !bind_random_port(fd, family)) {
		up->counters.no_socket++;
	} else if (connect(fd, (const struct sockaddr *)&server->address, server->address_bytes)) {
		up->counters.unreachable++;
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

// draft-vixie-dnsext-dns0x20: letters of the name in random case.
static void mix_case(uint8_t *name)
{
	uint32_t bits = 0;
	unsigned left = 0;
	for (unsigned at = 0; name[at];) {
		for (unsigned i = name[at++]; i; i--, at++) {
			uint8_t lower = fold_byte(name[at]);
			if (lower < 'a' || lower > 'z')
				continue;
			if (!left--) {
				bits = arc4random();
				left = 31;
			}
			name[at] = bits & 1 ? lower : lower & 0xdf;
			bits >>= 1;
		}
	}
}

static unsigned write_try(struct try *try, uint8_t *wire)
{
	const struct exchange *x = try->exchange;
	uint16_t flags = FLAG_RD | (x->checking_disabled ? FLAG_CD : 0);
	uint16_t udp_size = try->edns ? x->upstream->options.udp_size : 0;
	return message_write_query(
		wire, try->id, flags, try->question, try->question_bytes, udp_size, x->dnssec_ok);
}

static void start_timer(struct exchange *x, unsigned ms)
{
	uint64_t now = clock_us();
	uint64_t left = x->deadline_us > now ? x->deadline_us - now : 0;
	uint64_t wait = ms * UINT64_C(1000) < left ? ms * UINT64_C(1000) : left;
	struct timeval time = { (time_t)(wait / 1000000), (suseconds_t)(wait % 1000000) };
	event_add(x->timer, &time);
}

static void count_sent(struct exchange *x, unsigned server)
{
	x->upstream->counters.sent++;
	x->servers->server[server].questions++;
	x->sent_once = true;
}

static void on_datagram(evutil_socket_t fd, short what, void *ctx);
static bool on_stream_message(struct stream_question *question, const uint8_t *wire, unsigned bytes);

// The next free place for a try; the oldest gives way.
static struct try *new_try(struct exchange *x, unsigned server)
{
	x->newest = (x->newest + 1) % TRIES_OPEN_MAX;
	struct try *try = &x->try[x->newest];
	end_try(try);
	*try = (struct try){ .exchange = x, .server = server, .fd = -1, .sent_at_us = clock_us() };
	const struct server *s = server_of(try);
	try->edns =
		x->upstream->options.udp_size && !x->plain[server] && try->sent_at_us >= s->plain_until_us;
	try->question_bytes = x->question_bytes;
	memcpy(try->question, x->question, x->question_bytes);
	if (x->upstream->options.mix_case && try->sent_at_us >= s->one_case_until_us)
		mix_case(try->question);
	return try;
}

static bool send_datagram(struct exchange *x, unsigned server)
{
	struct upstream *up = x->upstream;
	if (up->counters.sockets >= up->options.max_open) // earlier tries are a luxury: descriptors are few
		end_tries(x);
	int fd = open_datagram(up, &x->servers->server[server]);
	if (fd < 0)
		return false;
	struct try *try = new_try(x, server);
	up->counters.sockets++;
	try->fd = fd;
	try->id = (uint16_t)arc4random();
	uint8_t wire[QUERY_WIRE_BYTES];
	unsigned bytes = write_try(try, wire);
	try->readable = event_new(up->base, fd, EV_READ | EV_PERSIST, on_datagram, try);
	if (!try->readable || event_add(try->readable, NULL) || send(fd, wire, bytes, 0) < 0) {
		up->counters.unreachable++;
		end_try(try);
		return false;
	}
	count_sent(x, server);
	start_timer(x, up->options.timeout_ms);
	return true;
}

static struct stream *stream_to(struct upstream *up, struct server *server)
{
	if (server->stream)
		return server->stream;
	int fd = up->options.open_socket(up->options.socket_ctx, server->address.ss_family, SOCK_STREAM);
	if (fd < 0) {
		up->counters.no_socket++;
		return NULL;
	}
	up->counters.connections++;
	return stream_open(up->base, fd, (const struct sockaddr *)&server->address, server->address_bytes,
		up->options.idle_ms, &server->stream);
}

static bool send_over_tcp(struct exchange *x, unsigned server)
{
	struct upstream *up = x->upstream;
	struct stream *stream = stream_to(up, &x->servers->server[server]);
	if (!stream)
		return false;
	struct try *try = new_try(x, server);
	try->on_used_stream = stream_has_answered(stream);
	try->over_tcp.answered = on_stream_message;
	uint8_t wire[QUERY_WIRE_BYTES];
	unsigned bytes = write_try(try, wire);
	if (!stream_ask(stream, &try->over_tcp, wire, bytes)) {
		end_try(try);
		return false;
	}
	try->id = try->over_tcp.id;
	count_sent(x, server);
	up->counters.tcp++;
	start_timer(x, up->options.timeout_ms * 2);
	return true;
}

static bool send_to(struct exchange *x, unsigned server)
{
	bool sent = x->by_tcp[server] ? send_over_tcp(x, server) : send_datagram(x, server);
	if (!sent)
		x->tries.failed |= UINT64_C(1) << server;
	return sent;
}

static bool send_somewhere(struct exchange *x)
{
	int server;
	bool again = x->sent_once;
	while ((server = server_choose(x->servers, &x->tries, clock_us())) >= 0) {
		if (!send_to(x, (unsigned)server))
			continue;
		x->upstream->counters.retries += again;
		return true;
	}
	return false;
}

static bool has_open_try(const struct exchange *x)
{
	for (unsigned i = 0; i < TRIES_OPEN_MAX; i++) {
		if (x->try[i].exchange)
			return true;
	}
	return false;
}

// With nobody left to ask, only an earlier try can still bring the answer.
static void send_or_finish(struct exchange *x)
{
	if (send_somewhere(x))
		return;
	if (has_open_try(x))
		start_timer(x, x->upstream->options.deadline_ms);
	else
		finish(x, x->sent_once ? ST_REFUSED : ST_SYSTEM, NULL);
}

// The server has shown that it has no answer: it is not asked again.
static void give_up_server(struct try *try)
{
	struct exchange *x = try->exchange;
	unsigned server = try->server;
	x->tries.failed |= UINT64_C(1) << server;
	bool newest_goes = x->try[x->newest].server == server;
	for (unsigned i = 0; i < TRIES_OPEN_MAX; i++) {
		if (x->try[i].server == server)
			end_try(&x->try[i]);
	}
	if (newest_goes || !has_open_try(x))
		send_or_finish(x);
}

// The connection has been mute since the try went out: dead, perhaps without knowing.
static void close_mute_stream(struct exchange *x, const struct try *newest)
{
	struct stream *stream = newest->over_tcp.stream;
	if (!stream || stream_heard_at_us(stream) > newest->sent_at_us)
		return;
	for (unsigned i = 0; i < TRIES_OPEN_MAX; i++) {
		if (x->try[i].over_tcp.stream == stream)
			end_try(&x->try[i]);
	}
	stream_close(stream);
}

static void tell_news(const struct upstream *up, struct server *server, uint64_t now)
{
	if (up->options.on_server && server_has_news(server, now))
		up->options.on_server(up->options.server_ctx, (const struct sockaddr *)&server->address,
			!server_is_silent(server));
}

static void note_answer(const struct try *try, uint64_t now)
{
	struct server *server = server_of(try);
	server_answered(server, try->sent_at_us, now);
	tell_news(try->exchange->upstream, server, now);
}

static void note_silence(const struct try *try, uint64_t now)
{
	struct server *server = server_of(try);
	server_kept_silent(server, try->sent_at_us, now);
	tell_news(try->exchange->upstream, server, now);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct exchange *x = ctx;
	struct try *try = &x->try[x->newest];
	uint64_t now = clock_us();
	(void)fd;
	(void)what;
	if (try->exchange) {
		x->upstream->counters.timeouts++;
		server_of(try)->timeouts++;
		if (try->case_differed)
			x->by_tcp[try->server] = true;
		else
			note_silence(try, now);
		close_mute_stream(x, try);
	}
	if (now + TIMER_SLACK_US >= x->deadline_us)
		finish(x, ST_TIMEOUT, NULL);
	else
		send_or_finish(x);
}

// RFC 6891 6.2.2, 7: the server does not know EDNS, so it is asked again without. True: done so.
static bool try_without_edns(struct try *try, uint16_t rcode)
{
	struct exchange *x = try->exchange;
	unsigned server = try->server;
	if (!try->edns || (rcode != RCODE_FORMERR && rcode != RCODE_NOTIMP && rcode != RCODE_BADVERS))
		return false;
	x->upstream->counters.without_edns++;
	x->plain[server] = true;
	end_try(try);
	if (!send_to(x, server))
		send_or_finish(x);
	return true;
}

static void take_message(struct try *try, const struct message *message)
{
	struct exchange *x = try->exchange;
	struct server *server = server_of(try);
	uint64_t now = clock_us();
	note_answer(try, now);
	if (message->rcode == RCODE_NOERROR || message->rcode == RCODE_NXDOMAIN) {
		if (x->plain[try->server])
			server->plain_until_us = now + REMEMBER_US;
		finish(x, ST_OK, message);
		return;
	}
	if (try_without_edns(try, message->rcode))
		return;
	x->upstream->counters.errors++;
	x->rcode = message->rcode;
	x->has_rcode = true;
	give_up_server(try);
}

// A reply to our very question, whatever it says.
static void take_reply(struct try *try, const uint8_t *wire, unsigned bytes)
{
	struct exchange *x = try->exchange;
	x->upstream->counters.replies++;
	if (load_be16(wire + 2) & FLAG_TC && !try->over_tcp.stream) { // RFC 7766 5
		unsigned server = try->server;
		note_answer(try, clock_us());
		x->by_tcp[server] = true;
		end_try(try);
		if (!send_to(x, server))
			send_or_finish(x);
		return;
	}
	struct message message;
	enum status status = message_read(&message, wire, bytes);
	if (status != ST_OK || message.flags & FLAG_TC) {
		x->upstream->counters.malformed++;
		if (status == ST_OK)
			message_clear(&message);
		give_up_server(try);
		return;
	}
	// The memory outlives the exchange, which `done` may have ended.
	take_message(try, &message);
	message_clear(&message);
}

enum match { MATCH, MATCH_BUT_CASE, MATCH_NOT };

// RFC 5452 9.1: id, question, and (by connect()) address and port. An error without the question comes
// from servers that could not read it; it never becomes an answer.
static enum match match_reply(const struct try *try, const uint8_t *wire, unsigned bytes)
{
	const unsigned head = DNS_HEADER_BYTES;
	if (bytes < head || load_be16(wire) != try->id)
		return MATCH_NOT;
	uint16_t flags = load_be16(wire + 2);
	if (!(flags & FLAG_QR) || flags & FLAG_OPCODE)
		return MATCH_NOT;
	unsigned questions = load_be16(wire + 4), rcode = flags & FLAG_RCODE;
	if (questions == 0 && bytes == head && rcode != RCODE_NOERROR && rcode != RCODE_NXDOMAIN)
		return MATCH;
	if (questions != 1 || bytes < head + try->question_bytes)
		return MATCH_NOT;
	if (!memcmp(wire + head, try->question, try->question_bytes))
		return MATCH;
	unsigned name_bytes = name_length(wire + head, bytes - head);
	bool same = name_bytes + 4 == try->question_bytes && name_equal(wire + head, try->question) &&
		    !memcmp(wire + head + name_bytes, try->question + name_bytes, 4);
	return same ? MATCH_BUT_CASE : MATCH_NOT;
}

// Port unreachable and the like, RFC 1122 4.1.3.3.
static void take_network_error(struct try *try)
{
	uint64_t now = clock_us();
	try->exchange->upstream->counters.unreachable++;
	note_silence(try, now);
	give_up_server(try);
}

static void on_datagram(evutil_socket_t fd, short what, void *ctx)
{
	struct try *try = ctx;
	struct upstream *up = try->exchange->upstream;
	(void)what;
	for (unsigned i = 0; i < DATAGRAMS_MAX; i++) {
		ssize_t bytes = recv(fd, up->buffer, sizeof(up->buffer), 0);
		if (bytes < 0) {
			if (errno != EAGAIN && errno != EINTR)
				take_network_error(try);
			return;
		}
		enum match match = match_reply(try, up->buffer, (unsigned)bytes);
		if (match == MATCH) {
			take_reply(try, up->buffer, (unsigned)bytes);
			return;
		}
		up->counters.mismatched++;
		try->case_differed |= match == MATCH_BUT_CASE;
	}
}

static struct try *try_of(struct stream_question *question)
{
	return (struct try *)(void *)((char *)question - offsetof(struct try, over_tcp));
}

static bool on_stream_message(struct stream_question *question, const uint8_t *wire, unsigned bytes)
{
	struct try *try = try_of(question);
	struct exchange *x = try->exchange;
	enum match match = wire ? match_reply(try, wire, bytes) : MATCH_NOT;
	if (wire && match == MATCH_NOT) {
		x->upstream->counters.mismatched++;
		return false;
	}
	if (wire) {
		// Over TCP it was the server itself who changed the case, not a forger, so that is its way.
		if (match == MATCH_BUT_CASE)
			server_of(try)->one_case_until_us = clock_us() + REMEMBER_US;
		take_reply(try, wire, bytes);
		return true;
	}
	// RFC 7766 6.2.4: a connection in use may end under a question; it goes out once more on a new one.
	bool again = try->on_used_stream;
	unsigned server = try->server;
	if (!again) {
		take_network_error(try);
		return true;
	}
	end_try(try);
	if (!send_to(x, server))
		send_or_finish(x);
	return true;
}

static struct exchange *new_exchange(struct upstream *up, const struct upstream_question *question)
{
	struct exchange *x = calloc(1, sizeof(*x));
	if (!x)
		return NULL;
	for (unsigned i = 0; i < TRIES_OPEN_MAX; i++)
		x->try[i].fd = -1;
	x->upstream = up;
	x->servers = server_list_keep(up->servers);
	x->deadline_us = clock_us() + up->options.deadline_ms * UINT64_C(1000);
	x->dnssec_ok = question->dnssec_ok;
	x->checking_disabled = question->checking_disabled;
	struct writer out = writer_of(x->question, sizeof(x->question));
	write_bytes(&out, question->name, name_length(question->name, NAME_MAX_BYTES));
	write_be16(&out, question->type);
	write_be16(&out, question->class);
	x->question_bytes = (unsigned)writer_bytes(&out);
	x->timer = evtimer_new(up->base, on_timer, x);
	if (!x->timer) {
		free_exchange(x);
		return NULL;
	}
	return x;
}

enum status upstream_ask(
	struct upstream *up, const struct upstream_question *question, upstream_done *done, void *ctx)
{
	if (!up->servers || !up->servers->count)
		return ST_NOT_FOUND;
	if (up->counters.open >= up->options.max_open) {
		up->counters.full++;
		return ST_FULL;
	}
	struct exchange *x = new_exchange(up, question);
	if (!x)
		return ST_NO_MEMORY;
	if (!send_somewhere(x)) {
		free_exchange(x);
		return ST_SYSTEM;
	}
	x->done = done;
	x->ctx = ctx;
	TAILQ_INSERT_TAIL(&up->open, x, open);
	up->counters.open++;
	up->counters.asked++;
	return ST_OK;
}

void upstream_set_options(struct upstream *up, const struct upstream_options *options)
{
	up->options = *options;
	if (!up->options.open_socket)
		up->options.open_socket = host_socket;
}

enum status upstream_set_servers(
	struct upstream *up, const struct sockaddr_storage *addresses, unsigned count)
{
	struct server_list *list = server_list_new(addresses, count, up->servers);
	if (!list)
		return ST_NO_MEMORY;
	server_list_drop(up->servers);
	up->servers = list;
	return ST_OK;
}

struct upstream *upstream_new(struct event_base *base, const struct upstream_options *options)
{
	struct upstream *up = calloc(1, sizeof(*up));
	if (!up)
		return NULL;
	up->base = base;
	TAILQ_INIT(&up->open);
	upstream_set_options(up, options);
	return up;
}

void upstream_free(struct upstream *up)
{
	if (!up)
		return;
	struct exchange *x;
	while ((x = TAILQ_FIRST(&up->open)))
		finish(x, ST_CANCELLED, NULL);
	server_list_drop(up->servers);
	free(up);
}

void upstream_each_server(
	const struct upstream *up, void (*visit)(void *ctx, const struct upstream_server *), void *ctx)
{
	uint64_t now = clock_us();
	for (unsigned i = 0; up->servers && i < up->servers->count; i++) {
		const struct server *server = &up->servers->server[i];
		const struct upstream_server view = {
			.address = (const struct sockaddr *)&server->address,
			.srtt_us = server->srtt_us,
			.silent = server_is_silent(server),
			.plain = now < server->plain_until_us,
			.one_case = now < server->one_case_until_us,
			.connected = server->stream,
			.sent = server->questions,
			.timeouts = server->timeouts,
		};
		visit(ctx, &view);
	}
}

const struct upstream_counters *upstream_counters(const struct upstream *up)
{
	return &up->counters;
}
