// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>

#include <pollux/bounds.h>
#include <pollux/bytes.h>

#include "clock.h"
#include "stream.h"

#define ID_ATTEMPTS 64

RB_HEAD(stream_questions, stream_question);

struct stream {
	struct bufferevent *channel;
	struct event *idle;
	struct timeval idle_time;
	struct stream **owner;
	struct stream_questions questions;
	unsigned open;
	void (*connected)(void *ctx, bool resumed);
	void (*failed)(void *ctx, const char *reason);
	void *ctx;
	SSL *tls; // of the channel; NULL: clear text
	uint64_t heard_at_us;
	bool is_up, has_answered;
	bool in_callback, doomed; // closed by a callee: freed when its caller is done with it
};

static int compare_ids(const struct stream_question *a, const struct stream_question *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

RB_GENERATE_INTERNAL(stream_questions, stream_question, by_id, compare_ids, __attribute__((unused)) static)

static void stream_free(struct stream *stream)
{
	if (stream->tls)
		tls_end(stream->tls);
	if (stream->channel)
		bufferevent_free(stream->channel);
	if (stream->idle)
		event_free(stream->idle);
	free(stream);
}

void stream_close(struct stream *stream)
{
	if (!stream || stream->doomed)
		return;
	stream->doomed = true;
	if (stream->owner)
		*stream->owner = NULL;
	stream->owner = NULL;
	bool nested = stream->in_callback;
	struct stream_question *question;
	while ((question = RB_ROOT(&stream->questions))) {
		stream_forget(question);
		question->answered(question, NULL, 0);
	}
	if (!nested)
		stream_free(stream);
	else
		bufferevent_disable(stream->channel, EV_READ | EV_WRITE);
}

static void hand_out(struct stream *stream, const uint8_t *wire, unsigned bytes)
{
	struct stream_question key = { .id = load_be16(wire) };
	struct stream_question *question = RB_FIND(stream_questions, &stream->questions, &key);
	if (question && question->answered(question, wire, bytes))
		stream->has_answered = true;
}

// RFC 1035 4.2.2: two octets of length before each message.
static void on_readable(struct bufferevent *channel, void *ctx)
{
	struct stream *stream = ctx;
	struct evbuffer *in = bufferevent_get_input(channel);
	stream->heard_at_us = clock_us();
	stream->in_callback = true;
	while (!stream->doomed && evbuffer_get_length(in) >= 2) {
		uint8_t head[2];
		evbuffer_copyout(in, head, sizeof(head));
		unsigned bytes = load_be16(head);
		if (evbuffer_get_length(in) < 2 + bytes)
			break;
		const uint8_t *message = evbuffer_pullup(in, 2 + (ssize_t)bytes);
		if (!message || bytes < DNS_HEADER_BYTES) {
			stream_close(stream);
			break;
		}
		hand_out(stream, message + 2, bytes);
		evbuffer_drain(in, 2 + bytes);
	}
	stream->in_callback = false;
	if (stream->doomed)
		stream_free(stream);
}

// RFC 8310 5: who cannot be authenticated is not spoken to, and people shall know why.
static void tell_failure(struct stream *stream, short what)
{
	char reason[TLS_PROBLEM_BYTES];
	int error = errno;
	unsigned long tls_error = stream->tls ? bufferevent_get_openssl_error(stream->channel) : 0;
	if (stream->tls && (tls_error || SSL_get_verify_result(stream->tls) != X509_V_OK))
		tls_problem(stream->tls, tls_error, reason);
	else if (what & BEV_EVENT_ERROR && error)
		strlcpy(reason, strerror(error), sizeof(reason));
	else
		strlcpy(reason, stream->tls ? "closed during the TLS handshake" : "closed at once", sizeof(reason));
	stream->failed(stream->ctx, reason);
}

static void on_event(struct bufferevent *channel, short what, void *ctx)
{
	struct stream *stream = ctx;
	(void)channel;
	if (what & BEV_EVENT_CONNECTED) {
		stream->is_up = true;
		stream->heard_at_us = clock_us();
		if (stream->connected)
			stream->connected(stream->ctx, stream->tls && SSL_session_reused(stream->tls));
		return;
	}
	if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)))
		return;
	if (!stream->is_up && stream->failed)
		tell_failure(stream, what);
	stream_close(stream);
}

static void on_idle(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	stream_close(ctx);
}

// A refusal told at once arrives as an event, when the caller has returned, or before callbacks are set: then false.
static bool connect_channel(
	struct stream *stream, struct event_base *base, int fd, const struct stream_options *options)
{
	if (!options->tls) {
		stream->channel = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
		if (!stream->channel)
			close(fd);
		return stream->channel && bufferevent_socket_connect(stream->channel, options->address,
						  (int)options->address_bytes) >= 0;
	}
	SSL *tls = tls_start(options->tls, options->session);
	if (!tls || (connect(fd, options->address, options->address_bytes) && errno != EINPROGRESS)) {
		SSL_free(tls);
		close(fd);
		return false;
	}
	stream->channel =
		bufferevent_openssl_socket_new(base, fd, tls, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
	if (!stream->channel) {
		SSL_free(tls);
		close(fd);
		return false;
	}
	stream->tls = tls;
	bufferevent_openssl_set_allow_dirty_shutdown(stream->channel, 1); // messages have lengths of their own
	return true;
}

struct stream *stream_open(
	struct event_base *base, int fd, const struct stream_options *options, struct stream **owner)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	if (!stream) {
		close(fd);
		return NULL;
	}
	int on = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); // small questions, sent at once
	RB_INIT(&stream->questions);
	stream->heard_at_us = clock_us();
	stream->connected = options->connected;
	stream->failed = options->failed;
	stream->ctx = options->ctx;
	stream->idle_time =
		(struct timeval){ options->idle_ms / 1000, (suseconds_t)(options->idle_ms % 1000) * 1000 };
	stream->idle = evtimer_new(base, on_idle, stream);
	if (!connect_channel(stream, base, fd, options) || !stream->idle) {
		stream_free(stream);
		return NULL;
	}
	bufferevent_setcb(stream->channel, on_readable, NULL, on_event, stream);
	bufferevent_enable(stream->channel, EV_READ | EV_WRITE);
	stream->owner = owner;
	*owner = stream;
	return stream;
}

bool stream_ask(struct stream *stream, struct stream_question *question, uint8_t *wire, unsigned bytes)
{
	struct stream_question *taken = question;
	for (unsigned i = 0; i < ID_ATTEMPTS && taken; i++) {
		question->id = (uint16_t)arc4random();
		taken = RB_INSERT(stream_questions, &stream->questions, question);
	}
	if (taken)
		return false;
	question->stream = stream;
	stream->open++;
	store_be16(wire, question->id);
	uint8_t head[2];
	store_be16(head, (uint16_t)bytes);
	struct evbuffer *out = bufferevent_get_output(stream->channel);
	if (evbuffer_expand(out, bytes + sizeof(head)) < 0) {
		stream_forget(question);
		return false;
	}
	evbuffer_add(out, head, sizeof(head));
	evbuffer_add(out, wire, bytes);
	event_del(stream->idle);
	return true;
}

void stream_forget(struct stream_question *question)
{
	struct stream *stream = question->stream;
	if (!stream)
		return;
	RB_REMOVE(stream_questions, &stream->questions, question);
	question->stream = NULL;
	stream->open--;
	if (RB_EMPTY(&stream->questions) && !stream->doomed)
		event_add(stream->idle, &stream->idle_time);
}

bool stream_has_answered(const struct stream *stream)
{
	return stream->has_answered;
}

bool stream_is_up(const struct stream *stream)
{
	return stream->is_up;
}

unsigned stream_questions(const struct stream *stream)
{
	return stream->open;
}

uint64_t stream_heard_at_us(const struct stream *stream)
{
	return stream->heard_at_us;
}
