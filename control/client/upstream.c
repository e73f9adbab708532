// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include <pollux/name.h>

#include "clock.h"
#include "ports.h"
#include "server.h"
#include "stream.h"
#include "upstream.h"
#include "wheel.h"

#define TRIES_OPEN_MAX 3 // a slow server's answer to an earlier try still counts
#define REMEMBER_US UINT64_C(900000000) // what a server cannot do is tried again after 15 minutes
#define HOLD_OFF_US UINT64_C(1000000)	// between two attempts at TLS with a server that failed at it
#define CHORES_MS 250
#define SPARES_MAX 4096 // exchanges kept for the next questions
#define TYPE_NS_CODE 2

struct exchange;

// One message on the way to one server.
struct try {
	struct exchange *exchange; // NULL: not in use
	unsigned server;	   // index in the exchange's list
	struct port_question over_udp;
	struct stream_question over_stream;
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
	struct wheel_timer timer; // the newest try's timeout, or the deadline
	uint64_t deadline_us;
	upstream_done *done; // NULL: a probe, for nobody
	void *ctx;
	struct try try[TRIES_OPEN_MAX];
	unsigned newest;   // index in try[]
	unsigned sent;	   // messages
	uint64_t over_tcp; // bit i: ask server i over TCP
	uint64_t plain;	   // and this one without EDNS
	uint16_t rcode;	   // the last one that was no answer
	int rcode_from;	   // the server that gave it; -1: none did
	enum lookup failed; // how the last try failed
	bool dnssec_ok, checking_disabled;
	unsigned question_bytes;
	uint8_t question[NAME_MAX_BYTES + 4];
};

TAILQ_HEAD(exchanges, exchange);

struct upstream {
	struct event_base *base;
	struct upstream_options options;
	struct server_list *servers; // NULL: none yet
	struct exchanges open, probes, spare;
	unsigned spares;
	struct wheel wheel;
	struct event *chores;
	bool has_chores;
	struct ports_shared ports;
	uint64_t stream_mismatched, stream_no_socket;
	struct upstream_counters counters;
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

static bool has_bit(uint64_t bits, unsigned server)
{
	return bits >> server & 1;
}

static void end_try(struct try *try)
{
	if (!try->exchange)
		return;
	stream_forget(&try->over_stream);
	port_forget(&try->over_udp);
	server_of(try)->open--;
	try->exchange = NULL;
}

static void end_tries(struct exchange *x)
{
	for (unsigned i = 0; i < TRIES_OPEN_MAX; i++)
		end_try(&x->try[i]);
}

static void free_exchange(struct exchange *x)
{
	struct upstream *up = x->upstream;
	end_tries(x);
	wheel_unset(&up->wheel, &x->timer);
	server_list_drop(x->servers);
	if (up->spares == SPARES_MAX) {
		free(x);
		return;
	}
	up->spares++;
	TAILQ_INSERT_HEAD(&up->spare, x, open);
}

static void finish_probe(struct exchange *x)
{
	TAILQ_REMOVE(&x->upstream->probes, x, open);
	for (unsigned i = 0; i < x->servers->count; i++)
		if (x->tries.count[i])
			x->servers->server[i].probed = false;
	free_exchange(x);
}

static void finish(struct exchange *x, enum lookup lookup, const struct message *reply, int from)
{
	struct upstream *up = x->upstream;
	if (!x->done) {
		finish_probe(x);
		return;
	}
	TAILQ_REMOVE(&up->open, x, open);
	up->counters.open--;
	upstream_done *done = x->done;
	void *ctx = x->ctx;
	struct upstream_peer peer = { 0 };
	if (from >= 0)
		peer = x->servers->server[from].peer; // the list may go with the exchange
	struct upstream_end end = { .lookup = lookup, .reply = reply, .sent = x->sent };
	if (from >= 0) {
		end.server = (const struct sockaddr *)&peer.address;
		end.over = peer.protocol == PEER_UDP && has_bit(x->over_tcp, (unsigned)from) ? PEER_TCP : peer.protocol;
	}
	free_exchange(x);
	done(ctx, &end);
}

// Nobody had an answer: what people learn about the reason most is an error code, if there was one.
static void fail(struct exchange *x)
{
	if (x->rcode_from >= 0)
		finish(x, lookup_of_rcode(x->rcode), NULL, x->rcode_from);
	else
		finish(x, x->failed, NULL, -1);
}

// draft-vixie-dnsext-dns0x20: letters of the name in random case.
static void mix_case(struct random_stock *random, uint8_t *name)
{
	uint32_t bits = 0;
	unsigned left = 0;
	for (unsigned at = 0; name[at];) {
		for (unsigned i = name[at++]; i; i--, at++) {
			uint8_t lower = fold_byte(name[at]);
			if (lower < 'a' || lower > 'z')
				continue;
			if (!left--) {
				bits = random_bits(random);
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
	const struct upstream_options *options = &x->upstream->options;
	// RFC 6840 5.7: AD in a question asks for it in the reply.
	uint16_t flags = FLAG_RD | (x->checking_disabled ? FLAG_CD : 0) | (options->trusts_ad ? FLAG_AD : 0);
	uint16_t udp_size = try->edns ? options->udp_size : 0;
	return message_write_query(wire, 0, flags, try->question, try->question_bytes, udp_size, x->dnssec_ok,
		server_of(try)->peer.protocol == PEER_TLS ? QUERY_PADDING : 0);
}

static void start_timer(struct exchange *x, uint64_t now, uint64_t wait_us)
{
	uint64_t due = now + wait_us;
	wheel_set(&x->upstream->wheel, &x->timer, due < x->deadline_us ? due : x->deadline_us, now);
}

static uint64_t patience_us(const struct exchange *x, unsigned server)
{
	const struct upstream_options *options = &x->upstream->options;
	unsigned round = x->tries.count[server];
	unsigned index = round > options->timeout_count ? options->timeout_count : round;
	return options->timeouts_ms[index ? index - 1 : 0] * UINT64_C(1000);
}

static bool on_datagram(struct port_question *question, enum heard heard, const uint8_t *wire, unsigned bytes);
static bool on_stream_message(struct stream_question *question, const uint8_t *wire, unsigned bytes);

// The next free place for a try; the oldest gives way.
static struct try *new_try(struct exchange *x, unsigned server, uint64_t now)
{
	x->newest = (x->newest + 1) % TRIES_OPEN_MAX;
	struct try *try = &x->try[x->newest];
	end_try(try);
	try->exchange = x;
	try->server = server;
	try->sent_at_us = now;
	try->case_differed = try->on_used_stream = false;
	struct server *s = server_of(try);
	s->open++;
	try->edns = x->upstream->options.udp_size && !has_bit(x->plain, server) && now >= s->plain_until_us;
	try->question_bytes = x->question_bytes;
	memcpy(try->question, x->question, x->question_bytes);
	if (x->upstream->options.mix_case && now >= s->one_case_until_us)
		mix_case(&x->upstream->ports.random, try->question);
	return try;
}

static void plan_chores(struct upstream *up)
{
	const struct timeval time = { 0, CHORES_MS * 1000 };
	up->has_chores = !event_add(up->chores, &time);
}

static void count_sent(struct exchange *x, unsigned server)
{
	struct upstream *up = x->upstream;
	up->counters.sent++;
	x->servers->server[server].questions++;
	x->sent++;
	if (!up->has_chores)
		plan_chores(up);
}

static bool send_datagram(struct exchange *x, unsigned server)
{
	struct upstream *up = x->upstream;
	struct server *s = &x->servers->server[server];
	uint64_t now = clock_us();
	if (!s->ports)
		s->ports = ports_new(&up->ports, (const struct sockaddr *)&s->peer.address, s->address_bytes);
	if (!s->ports)
		return false;
	struct try *try = new_try(x, server, now);
	uint8_t wire[QUERY_WIRE_BYTES];
	unsigned bytes = write_try(try, wire);
	enum ports_sent sent = ports_ask(s->ports, &try->over_udp, wire, bytes, x->sent > 0, now);
	if (sent != PORTS_SENT) {
		up->counters.unreachable += sent == PORTS_UNREACHABLE;
		x->failed = LOOKUP_IO;
		end_try(try);
		return false;
	}
	try->id = try->over_udp.id;
	count_sent(x, server);
	start_timer(x, now, patience_us(x, server));
	return true;
}

static void on_stream_failed(void *ctx, const char *reason)
{
	struct server *server = ctx;
	uint64_t now = clock_us();
	if (server->peer.protocol == PEER_TLS)
		server->connect_at_us = now + HOLD_OFF_US;
	struct upstream *up = server->upstream;
	if (server_has_trouble(server, reason, now) && up->options.on_trouble)
		up->options.on_trouble(up->options.server_ctx, (const struct sockaddr *)&server->peer.address, reason);
}

static void on_stream_up(void *ctx, bool resumed)
{
	struct server *server = ctx;
	server->upstream->counters.resumed += resumed;
	server->trouble[0] = 0;
	server->connect_at_us = 0;
}

static struct stream *open_stream(struct upstream *up, struct server *server, struct stream **place)
{
	if (server->peer.protocol == PEER_TLS && clock_us() < server->connect_at_us)
		return NULL;
	int fd = up->options.open_socket(up->options.socket_ctx, server->peer.address.ss_family, SOCK_STREAM);
	if (fd < 0) {
		up->stream_no_socket++;
		return NULL;
	}
	up->counters.connections++;
	const struct stream_options options = {
		.address = (const struct sockaddr *)&server->peer.address,
		.address_bytes = server->address_bytes,
		.idle_ms = up->options.idle_ms,
		.tls = server->peer.protocol == PEER_TLS ? server->peer.tls : NULL,
		.session = &server->session,
		.connected = on_stream_up,
		.failed = on_stream_failed,
		.ctx = server,
	};
	struct stream *stream = stream_open(up->base, fd, &options, place);
	if (!stream)
		on_stream_failed(server, strerror(errno));
	return stream;
}

// The connection with the most questions that has room for one more: few stay busy, the others become idle and end.
static struct stream *stream_to(struct upstream *up, struct server *server)
{
	struct stream *best = NULL, *emptiest = NULL, **place = NULL;
	for (unsigned i = 0; i < SERVER_STREAMS; i++) {
		struct stream *stream = server->stream[i];
		if (!stream && !place)
			place = &server->stream[i];
		if (!stream)
			continue;
		if (!emptiest || stream_questions(stream) < stream_questions(emptiest))
			emptiest = stream;
		if (stream_questions(stream) < STREAM_QUESTIONS &&
			(!best || stream_questions(stream) > stream_questions(best)))
			best = stream;
	}
	if (best)
		return best;
	struct stream *fresh = place ? open_stream(up, server, place) : NULL;
	return fresh ? fresh : emptiest;
}

static bool send_over_stream(struct exchange *x, unsigned server)
{
	struct upstream *up = x->upstream;
	struct server *s = &x->servers->server[server];
	x->failed = LOOKUP_IO;
	struct stream *stream = stream_to(up, s);
	if (!stream)
		return false;
	uint64_t now = clock_us();
	struct try *try = new_try(x, server, now);
	try->on_used_stream = stream_has_answered(stream);
	try->over_stream.answered = on_stream_message;
	uint8_t wire[QUERY_WIRE_BYTES];
	unsigned bytes = write_try(try, wire);
	if (!stream_ask(stream, &try->over_stream, wire, bytes)) {
		end_try(try);
		return false;
	}
	try->id = try->over_stream.id;
	count_sent(x, server);
	if (s->peer.protocol == PEER_TLS)
		up->counters.tls++;
	else
		up->counters.tcp++;
	start_timer(x, now, patience_us(x, server) * 2);
	return true;
}

static bool send_to(struct exchange *x, unsigned server)
{
	bool sent = false;
	if (x->sent >= x->upstream->options.max_tries) {
		x->failed = LOOKUP_LOCAL;
		return false;
	}
	if (x->servers->server[server].peer.protocol == PEER_UDP && !has_bit(x->over_tcp, server))
		sent = send_datagram(x, server);
	else
		sent = send_over_stream(x, server);
	if (!sent)
		x->tries.failed |= UINT64_C(1) << server;
	return sent;
}

static bool send_somewhere(struct exchange *x)
{
	int server;
	bool again = x->sent;
	struct upstream *up = x->upstream;
	const struct server_choice how = { .most_open = up->options.max_per_server, .in_turn = up->options.in_turn };
	if (x->sent >= up->options.max_tries) {
		up->counters.exhausted++;
		x->failed = LOOKUP_LOCAL;
		return false;
	}
	while ((server = server_choose(x->servers, &x->tries, &how)) >= 0) {
		if (!send_to(x, (unsigned)server))
			continue;
		up->counters.retries += again;
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
		start_timer(x, clock_us(), UINT32_MAX); // until the deadline
	else
		fail(x);
}

static void send_again(struct exchange *x, unsigned server)
{
	if (!send_to(x, server))
		send_or_finish(x);
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
	struct stream *stream = newest->over_stream.stream;
	if (!stream || stream_heard_at_us(stream) > newest->sent_at_us)
		return;
	if (!stream_is_up(stream))
		on_stream_failed(server_of(newest), "no connection in time");
	for (unsigned i = 0; i < TRIES_OPEN_MAX; i++) {
		if (x->try[i].over_stream.stream == stream)
			end_try(&x->try[i]);
	}
	stream_close(stream);
}

static void tell_news(const struct upstream *up, struct server *server, uint64_t now)
{
	if (up->options.on_server && server_has_news(server, now))
		up->options.on_server(up->options.server_ctx, (const struct sockaddr *)&server->peer.address,
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

static struct exchange *exchange_of(struct wheel_timer *timer)
{
	return (struct exchange *)(void *)((char *)timer - offsetof(struct exchange, timer));
}

static void on_timer(struct wheel_timer *timer)
{
	struct exchange *x = exchange_of(timer);
	struct try *try = &x->try[x->newest];
	uint64_t now = clock_us();
	if (try->exchange) {
		x->upstream->counters.timeouts++;
		x->failed = LOOKUP_TIMEOUT;
		server_of(try)->timeouts++;
		if (try->case_differed)
			x->over_tcp |= UINT64_C(1) << try->server;
		else
			note_silence(try, now);
		close_mute_stream(x, try);
	}
	if (now >= x->deadline_us)
		finish(x, LOOKUP_TIMEOUT, NULL, -1);
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
	x->plain |= UINT64_C(1) << server;
	end_try(try);
	send_again(x, server);
	return true;
}

static void take_message(struct try *try, const struct message *message)
{
	struct exchange *x = try->exchange;
	struct server *server = server_of(try);
	uint64_t now = clock_us();
	note_answer(try, now);
	if (message->rcode == RCODE_NOERROR || message->rcode == RCODE_NXDOMAIN) {
		if (has_bit(x->plain, try->server))
			server->plain_until_us = now + REMEMBER_US;
		finish(x, lookup_of_rcode(message->rcode), message, (int)try->server);
		return;
	}
	if (try_without_edns(try, message->rcode))
		return;
	x->upstream->counters.errors++;
	x->rcode = message->rcode;
	x->rcode_from = (int)try->server;
	give_up_server(try);
}

// A reply to our very question, whatever it says.
static void take_reply(struct try *try, const uint8_t *wire, unsigned bytes)
{
	struct exchange *x = try->exchange;
	x->upstream->counters.replies++;
	if (load_be16(wire + 2) & FLAG_TC && !try->over_stream.stream) { // RFC 7766 5
		unsigned server = try->server;
		note_answer(try, clock_us());
		x->over_tcp |= UINT64_C(1) << server;
		end_try(try);
		send_again(x, server);
		return;
	}
	struct message message;
	enum status status = message_read(&message, wire, bytes);
	if (status != ST_OK || message.flags & FLAG_TC) {
		x->upstream->counters.malformed++;
		x->failed = LOOKUP_LOCAL;
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
	struct exchange *x = try->exchange;
	x->upstream->counters.unreachable++;
	x->failed = LOOKUP_IO;
	note_silence(try, clock_us());
	give_up_server(try);
}

// Somebody sends what nobody asked for: sooner or later a guess would be right, so the question goes where guesses
// do not reach it.
static void flee_to_tcp(struct try *try)
{
	struct exchange *x = try->exchange;
	unsigned server = try->server;
	x->over_tcp |= UINT64_C(1) << server;
	end_try(try);
	send_again(x, server);
}

static bool on_datagram(struct port_question *question, enum heard heard, const uint8_t *wire, unsigned bytes)
{
	struct try *try = (struct try *)(void *)((char *)question - offsetof(struct try, over_udp));
	if (heard == HEARD_ERROR) {
		take_network_error(try);
		return true;
	}
	if (heard == HEARD_FORGERS) {
		flee_to_tcp(try);
		return true;
	}
	enum match match = match_reply(try, wire, bytes);
	if (match == MATCH) {
		take_reply(try, wire, bytes);
		return true;
	}
	try->case_differed |= match == MATCH_BUT_CASE;
	return false;
}

static struct try *try_of(struct stream_question *question)
{
	return (struct try *)(void *)((char *)question - offsetof(struct try, over_stream));
}

static bool on_stream_message(struct stream_question *question, const uint8_t *wire, unsigned bytes)
{
	struct try *try = try_of(question);
	struct exchange *x = try->exchange;
	enum match match = wire ? match_reply(try, wire, bytes) : MATCH_NOT;
	if (wire && match == MATCH_NOT) {
		x->upstream->stream_mismatched++;
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
	send_again(x, server);
	return true;
}

static struct exchange *new_exchange(struct upstream *up, const struct upstream_question *question,
	upstream_done *done, uint64_t now)
{
	struct exchange *x = TAILQ_FIRST(&up->spare);
	if (x) {
		TAILQ_REMOVE(&up->spare, x, open);
		up->spares--;
	} else if (!(x = calloc(1, sizeof(*x)))) {
		return NULL;
	}
	x->upstream = up;
	x->done = done;
	x->servers = server_list_keep(up->servers);
	memset(&x->tries, 0, sizeof(x->tries));
	x->deadline_us = now + up->options.deadline_ms * UINT64_C(1000);
	for (unsigned i = 0; i < TRIES_OPEN_MAX; i++)
		x->try[i].over_udp.heard = on_datagram;
	x->newest = x->sent = 0;
	x->over_tcp = x->plain = 0;
	x->rcode_from = -1;
	x->failed = LOOKUP_IO;
	x->dnssec_ok = question->dnssec_ok;
	x->checking_disabled = question->checking_disabled;
	struct writer out = writer_of(x->question, sizeof(x->question));
	write_bytes(&out, question->name, name_length(question->name, NAME_MAX_BYTES));
	write_be16(&out, question->type);
	write_be16(&out, question->class);
	x->question_bytes = (unsigned)writer_bytes(&out);
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
	struct exchange *x = new_exchange(up, question, done, clock_us());
	if (!x)
		return ST_NO_MEMORY;
	if (!send_somewhere(x)) {
		bool full = !x->tries.failed; // nobody was even tried
		up->counters.full += full;
		free_exchange(x);
		return full ? ST_FULL : ST_SYSTEM;
	}
	x->ctx = ctx;
	TAILQ_INSERT_TAIL(&up->open, x, open);
	up->counters.open++;
	up->counters.asked++;
	return ST_OK;
}

// Something every server that forwards has at hand, and that tells nobody anything.
static void probe(struct upstream *up, unsigned server, uint64_t now)
{
	const struct upstream_question root = { (const uint8_t *)"", TYPE_NS_CODE, CLASS_IN, false, false };
	struct exchange *x = new_exchange(up, &root, NULL, now);
	if (!x)
		return;
	x->tries.failed = ~(UINT64_C(1) << server);
	x->tries.count[server] = 1;
	TAILQ_INSERT_TAIL(&up->probes, x, open);
	x->deadline_us = now + patience_us(x, server) * (up->servers->server[server].peer.protocol == PEER_UDP ? 1 : 2);
	up->counters.probes++;
	up->servers->server[server].probed = true;
	if (!send_to(x, server)) {
		server_kept_silent(&up->servers->server[server], now, now);
		fail(x);
	}
}

// What must happen now and then, as long as there is something to look after.
static void on_chores(evutil_socket_t fd, short what, void *ctx)
{
	struct upstream *up = ctx;
	uint64_t now = clock_us();
	bool more = up->ports.counters.sockets > 0;
	up->has_chores = false;
	(void)fd;
	(void)what;
	for (unsigned i = 0; up->servers && i < up->servers->count; i++) {
		struct server *server = &up->servers->server[i];
		if (server->ports)
			ports_tidy(server->ports, now);
		more |= server_is_silent(server);
		if (server_wants_probe(server, now))
			probe(up, i, now);
	}
	if (more && !up->has_chores)
		plan_chores(up);
}

void upstream_set_options(struct upstream *up, const struct upstream_options *options)
{
	up->options = *options;
	if (!up->options.open_socket)
		up->options.open_socket = host_socket;
	if (!up->options.timeout_count)
		up->options.timeout_count = 1;
	up->ports.open_socket = up->options.open_socket;
	up->ports.socket_ctx = up->options.socket_ctx;
}

enum status upstream_set_servers(struct upstream *up, const struct upstream_peer *peers, unsigned count)
{
	struct server_list *list = server_list_new(peers, count, up->servers);
	if (!list)
		return ST_NO_MEMORY;
	for (unsigned i = 0; i < list->count; i++)
		list->server[i].upstream = up;
	server_list_drop(up->servers);
	up->servers = list;
	return ST_OK;
}

struct upstream *upstream_new(struct event_base *base, const struct upstream_options *options)
{
	struct upstream *up = calloc(1, sizeof(*up));
	if (!up)
		return NULL;
	up->base = up->ports.base = base;
	TAILQ_INIT(&up->open);
	TAILQ_INIT(&up->probes);
	TAILQ_INIT(&up->spare);
	upstream_set_options(up, options);
	up->chores = evtimer_new(base, on_chores, up);
	if (!wheel_init(&up->wheel, base, on_timer) || !up->chores) {
		upstream_free(up);
		return NULL;
	}
	return up;
}

void upstream_free(struct upstream *up)
{
	if (!up)
		return;
	struct exchange *x;
	while ((x = TAILQ_FIRST(&up->open)))
		finish(x, LOOKUP_CANCELLED, NULL, -1);
	while ((x = TAILQ_FIRST(&up->probes)))
		finish_probe(x);
	while ((x = TAILQ_FIRST(&up->spare))) {
		TAILQ_REMOVE(&up->spare, x, open);
		free(x);
	}
	server_list_drop(up->servers);
	wheel_clear(&up->wheel);
	if (up->chores)
		event_free(up->chores);
	free(up);
}

void upstream_each_server(
	const struct upstream *up, void (*visit)(void *ctx, const struct upstream_server *), void *ctx)
{
	uint64_t now = clock_us();
	for (unsigned i = 0; up->servers && i < up->servers->count; i++) {
		const struct server *server = &up->servers->server[i];
		struct upstream_server view = {
			.address = (const struct sockaddr *)&server->peer.address,
			.protocol = server->peer.protocol,
			.srtt_us = server->srtt_us,
			.silent = server_is_silent(server),
			.plain = now < server->plain_until_us,
			.one_case = now < server->one_case_until_us,
			.open = server->open,
			.sent = server->questions,
			.timeouts = server->timeouts,
			.trouble = server->trouble,
		};
		for (unsigned k = 0; k < SERVER_STREAMS; k++)
			view.connections += server->stream[k] != NULL;
		visit(ctx, &view);
	}
}

const struct upstream_counters *upstream_counters(struct upstream *up)
{
	const struct ports_counters *ports = &up->ports.counters;
	struct upstream_counters *c = &up->counters;
	c->sockets = ports->sockets;
	c->mismatched = up->stream_mismatched + ports->strangers;
	c->no_socket = up->stream_no_socket + ports->no_socket;
	c->late = ports->late;
	c->floods = ports->floods;
	return c;
}

void upstream_counters_add(struct upstream_counters *sum, const struct upstream_counters *more)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)more;
	for (size_t i = 0; i < offsetof(struct upstream_counters, open) / sizeof(*to); i++)
		to[i] += from[i];
}
