// SPDX-License-Identifier: BSD-3-Clause
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

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
	uint64_t heard_at_us;
	bool has_answered;
	bool in_callback, doomed; // closed by a callee: freed when its caller is done with it
};

static int compare_ids(const struct stream_question *a, const struct stream_question *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

RB_GENERATE_INTERNAL(stream_questions, stream_question, by_id, compare_ids, __attribute__((unused)) static)

static void stream_free(struct stream *stream)
{
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

static void on_event(struct bufferevent *channel, short what, void *ctx)
{
	struct stream *stream = ctx;
	(void)channel;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
		stream_close(stream);
}

static void on_idle(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	stream_close(ctx);
}

struct stream *stream_open(struct event_base *base, int fd, const struct sockaddr *address,
	socklen_t address_bytes, unsigned idle_ms, struct stream **owner)
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
	stream->idle_time = (struct timeval){ idle_ms / 1000, (suseconds_t)(idle_ms % 1000) * 1000 };
	stream->channel = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!stream->channel)
		close(fd);
	stream->idle = evtimer_new(base, on_idle, stream);
	if (!stream->channel || !stream->idle) {
		stream_free(stream);
		return NULL;
	}
	// A refusal told at once arrives as an event, when stream_open() has returned or before: no callbacks
	// are set yet.
	if (bufferevent_socket_connect(stream->channel, address, (int)address_bytes) < 0) {
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
	if (RB_EMPTY(&stream->questions) && !stream->doomed)
		event_add(stream->idle, &stream->idle_time);
}

bool stream_has_answered(const struct stream *stream)
{
	return stream->has_answered;
}

uint64_t stream_heard_at_us(const struct stream *stream)
{
	return stream->heard_at_us;
}
