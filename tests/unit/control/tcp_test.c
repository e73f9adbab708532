// SPDX-License-Identifier: BSD-3-Clause
// The TCP server on loopback, with a resolver made here. Clients and server share one thread: the loop
// turns while a client waits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <pollux/bytes.h>

#include "tcp.h"

// --- a resolver ---------------------------------------------------------------------------------------

#define WAITING_MAX 4096

struct waiting {
	ask_done *done;
	void *ctx;
	uint8_t wire[64];
	unsigned bytes;
};

struct resolver {
	bool later;	       // keep the questions until answer_waiting()
	unsigned answer_bytes; // 0: the answer is as long as the question
	bool silent;
	unsigned asked;
	unsigned waiting_count;
	struct waiting waiting[WAITING_MAX];
	enum transport transport;
	uint8_t answer[65535];
};

static void answer_now(struct resolver *r, const uint8_t *wire, unsigned bytes, ask_done *done, void *ctx)
{
	unsigned wanted = r->answer_bytes ? r->answer_bytes : bytes;
	memcpy(r->answer, wire, bytes < wanted ? bytes : wanted);
	r->answer[2] |= 0x80;
	done(ctx, r->silent ? NULL : r->answer, r->silent ? 0 : wanted);
}

static unsigned rights = ACCESS_ALL;

size_t resolver_foresee(const struct resolver *r, const uint8_t *framed, size_t count)
{
	(void)r;
	(void)framed;
	return count;
}

bool resolver_accepts(const struct resolver *r, const struct sockaddr_storage *from)
{
	(void)r;
	assert_int_equal(from->ss_family, AF_INET);
	return rights & ACCESS_QUERY;
}

void resolver_ask(struct resolver *r, const struct asker *asker, const uint8_t *wire, unsigned bytes,
	ask_done *done, void *ctx)
{
	r->asked++;
	r->transport = asker->transport;
	if (!r->later) {
		answer_now(r, wire, bytes, done, ctx);
		return;
	}
	assert_in_range(r->waiting_count, 0, WAITING_MAX - 1);
	struct waiting *w = &r->waiting[r->waiting_count++];
	*w = (struct waiting){ .done = done, .ctx = ctx, .bytes = bytes < 64 ? bytes : 64 };
	memcpy(w->wire, wire, w->bytes);
}

static void answer_waiting(struct resolver *r, unsigned i)
{
	struct waiting w = r->waiting[i];
	memmove(&r->waiting[i], &r->waiting[i + 1], (--r->waiting_count - i) * sizeof(w));
	answer_now(r, w.wire, w.bytes, w.done, w.ctx);
}

// --- server and clients ------------------------------------------------------------------------------

struct room {
	struct event_base *base;
	struct config config;
	struct resolver *resolver;
	struct tcp_server *server;
	struct sockaddr_in at;
	struct rlimit files; // as they were
};

static int listener(struct sockaddr_in *at)
{
	socklen_t bytes = sizeof(*at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(*at)), 0);
	assert_int_equal(listen(fd, 512), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &bytes), 0);
	return fd;
}

static int open_room(void **state)
{
	struct room *room = calloc(1, sizeof(*room));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &room->files), 0);
	room->base = event_base_new();
	room->resolver = calloc(1, sizeof(*room->resolver));
	room->config = (struct config){ .tcp_max_clients = 100,
		.tcp_max_per_client = 100,
		.tcp_idle_ms = 5000,
		.tcp_max_pipelined = 16 };
	int fd = listener(&room->at);
	assert_int_equal(
		tcp_server_new_on(&room->server, room->base, &room->config, &fd, 1, room->resolver), ST_OK);
	*state = room;
	return 0;
}

static int close_room(void **state)
{
	struct room *room = *state;
	setrlimit(RLIMIT_NOFILE, &room->files);
	while (room->resolver->waiting_count)
		answer_waiting(room->resolver, 0);
	tcp_server_free(room->server);
	event_base_free(room->base);
	free(room->resolver);
	free(room);
	return 0;
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// Turns the loop until the condition holds; fails after ten seconds.
#define UNTIL(condition)                                                                                     \
	for (double end_ = seconds() + 10; !(condition);) {                                                  \
		assert_true(seconds() < end_);                                                               \
		event_base_loop(room->base, EVLOOP_NONBLOCK);                                                \
	}

static void settle(struct room *room)
{
	for (double end = seconds() + 0.02; seconds() < end;)
		event_base_loop(room->base, EVLOOP_NONBLOCK);
}

static const struct tcp_counters *counters(const struct room *room)
{
	return tcp_counters(room->server);
}

static int connect_from(const struct room *room, const char *source_octets)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	memcpy(&from.sin_addr, source_octets, 4);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&room->at, sizeof(room->at)), 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static int client(const struct room *room)
{
	return connect_from(room, "\x7f\0\0\1");
}

#define QUESTION_BYTES 30

static void fill(uint8_t *to, uint16_t id)
{
	memset(to, 0, QUESTION_BYTES);
	store_be16(to, QUESTION_BYTES - 2);
	store_be16(to + 2, id);
}

static void ask(int fd, uint16_t id)
{
	uint8_t wire[QUESTION_BYTES];
	fill(wire, id);
	assert_int_equal(send(fd, wire, sizeof(wire), MSG_NOSIGNAL), sizeof(wire));
}

static void read_exactly(struct room *room, int fd, uint8_t *to, size_t count)
{
	size_t have = 0;
	for (double end = seconds() + 10; have < count;) {
		ssize_t got = read(fd, to + have, count - have);
		assert_true(got > 0 || (got < 0 && errno == EAGAIN));
		assert_true(seconds() < end);
		have += got > 0 ? (size_t)got : 0;
		event_base_loop(room->base, EVLOOP_NONBLOCK);
	}
}

// The id of the next answer.
static uint16_t answer(struct room *room, int fd)
{
	static uint8_t wire[65537];
	read_exactly(room, fd, wire, 2);
	unsigned bytes = load_be16(wire);
	read_exactly(room, fd, wire, bytes);
	assert_true(wire[2] & 0x80);
	return load_be16(wire);
}

// 0: the server closed; else the errno of a reset.
static int wait_for_end(struct room *room, int fd)
{
	uint8_t wire[4096];
	ssize_t got;
	UNTIL((got = read(fd, wire, sizeof(wire))) == 0 || (got < 0 && errno != EAGAIN));
	int error = got ? errno : 0;
	close(fd);
	return error;
}

// --- the rules ----------------------------------------------------------------------------------------

static void a_question_is_answered_and_the_connection_stays(void **state)
{
	struct room *room = *state;
	int fd = client(room);
	ask(fd, 1);
	assert_int_equal(answer(room, fd), 1);
	ask(fd, 2);
	assert_int_equal(answer(room, fd), 2);
	assert_int_equal(counters(room)->accepted, 1);
	assert_int_equal(counters(room)->queries, 2);
	assert_int_equal(counters(room)->answers, 2);
	assert_int_equal(room->resolver->transport, OVER_TCP);
	close(fd);
	UNTIL(counters(room)->open == 0);
}

static void octets_may_come_one_at_a_time(void **state)
{
	struct room *room = *state;
	uint8_t wire[2 * QUESTION_BYTES];
	int fd = client(room);
	fill(wire, 7);
	fill(wire + QUESTION_BYTES, 8);
	for (unsigned i = 0; i < sizeof(wire); i++) {
		assert_int_equal(send(fd, wire + i, 1, 0), 1);
		settle(room);
		assert_int_equal(room->resolver->asked, (i + 1) / QUESTION_BYTES);
	}
	assert_int_equal(answer(room, fd), 7);
	assert_int_equal(answer(room, fd), 8);
	close(fd);
}

static void one_segment_may_hold_several_questions_and_a_part(void **state)
{
	struct room *room = *state;
	uint8_t wire[5 * QUESTION_BYTES];
	int fd = client(room);
	for (uint16_t i = 0; i < 5; i++)
		fill(wire + i * QUESTION_BYTES, i);
	assert_int_equal(send(fd, wire, sizeof(wire) - 11, 0), sizeof(wire) - 11);
	for (uint16_t i = 0; i < 4; i++)
		assert_int_equal(answer(room, fd), i);
	assert_int_equal(send(fd, wire + sizeof(wire) - 11, 11, 0), 11);
	assert_int_equal(answer(room, fd), 4);
	close(fd);
}

static void questions_and_answers_may_be_65535_octets(void **state)
{
	struct room *room = *state;
	static uint8_t wire[2 + 65535 + QUESTION_BYTES];
	int fd = client(room);
	memset(wire, 0, sizeof(wire));
	store_be16(wire, 65535);
	store_be16(wire + 2, 99);
	fill(wire + 2 + 65535, 100);
	for (size_t at = 0; at < sizeof(wire);) {
		ssize_t sent = send(fd, wire + at, sizeof(wire) - at, 0);
		at += sent > 0 ? (size_t)sent : 0;
		settle(room);
	}
	assert_int_equal(answer(room, fd), 99);
	assert_int_equal(answer(room, fd), 100);
	close(fd);
}

static void answers_go_out_in_the_order_they_come(void **state)
{
	struct room *room = *state;
	int fd = client(room);
	room->resolver->later = true;
	for (uint16_t i = 0; i < 3; i++)
		ask(fd, i);
	UNTIL(room->resolver->waiting_count == 3);
	answer_waiting(room->resolver, 2);
	assert_int_equal(answer(room, fd), 2);
	answer_waiting(room->resolver, 0);
	answer_waiting(room->resolver, 0);
	assert_int_equal(answer(room, fd), 0);
	assert_int_equal(answer(room, fd), 1);
	close(fd);
}

static void a_half_closed_client_gets_its_answers_and_then_the_end(void **state)
{
	struct room *room = *state;
	int fd = client(room);
	room->resolver->later = true;
	ask(fd, 1);
	ask(fd, 2);
	shutdown(fd, SHUT_WR);
	UNTIL(room->resolver->waiting_count == 2);
	settle(room);
	assert_int_equal(counters(room)->open, 1);
	answer_waiting(room->resolver, 0);
	assert_int_equal(answer(room, fd), 1);
	assert_int_equal(counters(room)->open, 1);
	answer_waiting(room->resolver, 0);
	assert_int_equal(answer(room, fd), 2);
	assert_int_equal(wait_for_end(room, fd), 0);
	assert_int_equal(counters(room)->open, 0);
}

static void more_questions_than_allowed_wait_and_none_is_lost(void **state)
{
	struct room *room = *state;
	uint8_t wire[50 * QUESTION_BYTES];
	int fd = client(room);
	room->resolver->later = true;
	for (uint16_t i = 0; i < 50; i++)
		fill(wire + i * QUESTION_BYTES, i);
	assert_int_equal(send(fd, wire, sizeof(wire), 0), sizeof(wire));
	shutdown(fd, SHUT_WR);
	UNTIL(room->resolver->waiting_count == 16);
	settle(room);
	assert_int_equal(room->resolver->asked, 16);
	for (uint16_t i = 0; i < 50; i++) {
		UNTIL(room->resolver->waiting_count > 0);
		assert_in_range(room->resolver->waiting_count, 1, 16);
		answer_waiting(room->resolver, 0);
		assert_int_equal(answer(room, fd), i);
	}
	assert_int_equal(wait_for_end(room, fd), 0);
}

static void a_question_without_an_answer_does_not_end_the_connection(void **state)
{
	struct room *room = *state;
	int fd = client(room);
	room->resolver->silent = true;
	ask(fd, 1);
	UNTIL(room->resolver->asked == 1);
	room->resolver->silent = false;
	ask(fd, 2);
	assert_int_equal(answer(room, fd), 2);
	assert_int_equal(counters(room)->answers, 1);
	close(fd);
}

static void a_message_shorter_than_a_header_ends_the_connection_after_the_answers_owed(void **state)
{
	struct room *room = *state;
	uint8_t wire[QUESTION_BYTES + 2 + 11];
	int fd = client(room);
	memset(wire, 0, sizeof(wire));
	fill(wire, 5);
	store_be16(wire + QUESTION_BYTES, 11);
	room->resolver->later = true;
	assert_int_equal(send(fd, wire, sizeof(wire), 0), sizeof(wire));
	UNTIL(room->resolver->waiting_count == 1);
	settle(room);
	answer_waiting(room->resolver, 0);
	assert_int_equal(answer(room, fd), 5);
	assert_int_equal(wait_for_end(room, fd), 0);
	assert_int_equal(counters(room)->malformed, 1);
	assert_int_equal(room->resolver->asked, 1);
}

static void an_idle_connection_is_closed_after_the_limit(void **state)
{
	struct room *room = *state;
	room->config.tcp_idle_ms = 300;
	tcp_server_reconfigure(room->server, &room->config);
	double start = seconds();
	int fd = client(room);
	ask(fd, 1);
	assert_int_equal(answer(room, fd), 1);
	assert_int_equal(wait_for_end(room, fd), 0);
	assert_true(seconds() - start > 0.29);
	assert_int_equal(counters(room)->idle_closed, 1);
}

static void single_octets_do_not_keep_a_connection(void **state)
{
	struct room *room = *state;
	room->config.tcp_idle_ms = 300;
	tcp_server_reconfigure(room->server, &room->config);
	int fd = client(room);
	assert_int_equal(send(fd, "\xff", 1, 0), 1); // a message of at least 65280 octets
	UNTIL(counters(room)->open == 1);
	UNTIL((usleep(1000), send(fd, "", 1, MSG_NOSIGNAL), counters(room)->open == 0));
	assert_int_equal(counters(room)->idle_closed, 1);
	close(fd);
}

static void a_connection_whose_question_is_being_worked_on_is_not_idle(void **state)
{
	struct room *room = *state;
	room->config.tcp_idle_ms = 100;
	tcp_server_reconfigure(room->server, &room->config);
	int busy = client(room), idle = client(room);
	room->resolver->later = true;
	ask(busy, 1);
	UNTIL(counters(room)->idle_closed == 1);
	UNTIL(room->resolver->waiting_count == 1);
	double until = seconds() + 0.8;
	UNTIL(seconds() > until);
	assert_int_equal(counters(room)->open, 1);
	answer_waiting(room->resolver, 0);
	assert_int_equal(answer(room, busy), 1);
	close(busy);
	close(idle);
}

static void one_client_may_have_only_so_many_connections(void **state)
{
	struct room *room = *state;
	room->config.tcp_max_per_client = 2;
	tcp_server_reconfigure(room->server, &room->config);
	int a = client(room), b = client(room), over = client(room);
	assert_int_equal(wait_for_end(room, over), ECONNRESET);
	assert_int_equal(counters(room)->refused_per_client, 1);
	int other = connect_from(room, "\x7f\0\0\2");
	ask(other, 3);
	assert_int_equal(answer(room, other), 3);
	close(a);
	UNTIL(counters(room)->open == 2);
	int again = client(room);
	ask(again, 4);
	assert_int_equal(answer(room, again), 4);
	close(again);
	close(other);
	close(b);
}

static void at_the_total_limit_the_longest_idle_makes_room(void **state)
{
	struct room *room = *state;
	room->config.tcp_max_clients = 2;
	tcp_server_reconfigure(room->server, &room->config);
	int first = client(room), second = client(room);
	ask(second, 1);
	assert_int_equal(answer(room, second), 1);
	usleep(10000);
	ask(first, 2); // now the second one has been idle longer
	assert_int_equal(answer(room, first), 2);
	int third = client(room);
	ask(third, 3);
	assert_int_equal(answer(room, third), 3);
	assert_int_equal(wait_for_end(room, second), 0);
	assert_int_equal(counters(room)->evicted, 1);
	assert_int_equal(counters(room)->open, 2);
	ask(first, 4);
	assert_int_equal(answer(room, first), 4);
	close(first);
	close(third);
}

static void at_the_total_limit_with_all_busy_newcomers_are_refused(void **state)
{
	struct room *room = *state;
	room->config.tcp_max_clients = 1;
	tcp_server_reconfigure(room->server, &room->config);
	room->resolver->later = true;
	int busy = client(room);
	ask(busy, 1);
	UNTIL(room->resolver->waiting_count == 1);
	assert_int_equal(wait_for_end(room, client(room)), ECONNRESET);
	assert_int_equal(counters(room)->refused_total, 1);
	answer_waiting(room->resolver, 0);
	assert_int_equal(answer(room, busy), 1);
	close(busy);
}

// Sends questions until neither side takes more.
static unsigned ask_without_reading(struct room *room, int fd)
{
	uint8_t wire[QUESTION_BYTES];
	fill(wire, 1);
	unsigned before;
	do {
		before = room->resolver->asked;
		while (send(fd, wire, sizeof(wire), MSG_NOSIGNAL) == sizeof(wire))
			;
		settle(room);
	} while (room->resolver->asked != before);
	return before;
}

static void a_client_that_does_not_read_is_not_read_and_goes_at_the_idle_limit(void **state)
{
	struct room *room = *state;
	room->config.tcp_idle_ms = 400;
	tcp_server_reconfigure(room->server, &room->config);
	room->resolver->answer_bytes = 60000;
	int fd = client(room), small = 4096;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	unsigned asked = ask_without_reading(room, fd);
	assert_in_range(asked, 1, 400); // as many answers as kernel buffers hold, not as many as questions
	UNTIL(counters(room)->idle_closed == 1);
	assert_int_equal(counters(room)->open, 0);
	close(fd);
}

static void a_slow_reader_gets_every_answer(void **state)
{
	struct room *room = *state;
	uint8_t wire[200 * QUESTION_BYTES];
	int fd = client(room);
	room->resolver->answer_bytes = 50000;
	for (uint16_t i = 0; i < 200; i++)
		fill(wire + i * QUESTION_BYTES, i);
	assert_int_equal(send(fd, wire, sizeof(wire), 0), sizeof(wire));
	shutdown(fd, SHUT_WR);
	settle(room);
	assert_in_range(room->resolver->asked, 1, 199);
	for (uint16_t i = 0; i < 200; i++)
		assert_int_equal(answer(room, fd), i);
	assert_int_equal(wait_for_end(room, fd), 0);
}

static void unsent_answers_beyond_the_bound_end_the_connection(void **state)
{
	struct room *room = *state;
	room->config.tcp_max_pipelined = 1000;
	tcp_server_reconfigure(room->server, &room->config);
	room->resolver->later = true;
	room->resolver->answer_bytes = 65535;
	int fd = client(room), small = 4096;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (uint16_t i = 0; i < 300; i++)
		ask(fd, i);
	UNTIL(room->resolver->waiting_count == 300);
	while (room->resolver->waiting_count) {
		answer_waiting(room->resolver, 0);
		event_base_loop(room->base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(counters(room)->overrun_closed, 1);
	assert_int_equal(counters(room)->open, 0);
	close(fd);
}

static void a_reset_while_questions_are_worked_on_harms_nobody(void **state)
{
	struct room *room = *state;
	struct linger now = { .l_onoff = 1 };
	int fd = client(room), other = client(room);
	room->resolver->later = true;
	ask(fd, 1);
	UNTIL(room->resolver->waiting_count == 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	UNTIL(counters(room)->reset == 1);
	assert_int_equal(counters(room)->open, 1);
	answer_waiting(room->resolver, 0);
	room->resolver->later = false;
	ask(other, 2);
	assert_int_equal(answer(room, other), 2);
	close(other);
}

static void answers_may_come_after_the_server_is_gone(void **state)
{
	struct room *room = *state;
	int fd = client(room);
	room->resolver->later = true;
	ask(fd, 1);
	ask(fd, 2);
	UNTIL(room->resolver->waiting_count == 2);
	tcp_server_free(room->server);
	room->server = NULL;
	answer_waiting(room->resolver, 1);
	answer_waiting(room->resolver, 0);
	assert_int_equal(wait_for_end(room, fd), 0);
}

static void allow_no_more_files(const struct room *room)
{
	struct rlimit none = room->files;
	int lowest_free = dup(0);
	assert_true(lowest_free >= 0);
	close(lowest_free);
	none.rlim_cur = (rlim_t)lowest_free;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void without_descriptors_accepting_waits_and_goes_on_later(void **state)
{
	struct room *room = *state;
	int waiting = client(room);
	allow_no_more_files(room);
	UNTIL(counters(room)->accept_paused == 1);
	settle(room);
	assert_int_equal(counters(room)->accept_paused, 1); // it does not spin
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &room->files), 0);
	ask(waiting, 9);
	assert_int_equal(answer(room, waiting), 9);
	close(waiting);
}

static void without_descriptors_the_longest_idle_makes_room(void **state)
{
	struct room *room = *state;
	int idle = client(room);
	UNTIL(counters(room)->open == 1);
	int newcomer = client(room);
	allow_no_more_files(room);
	ask(newcomer, 9);
	assert_int_equal(answer(room, newcomer), 9);
	assert_int_equal(wait_for_end(room, idle), 0);
	assert_int_equal(counters(room)->evicted, 1);
	assert_int_equal(counters(room)->accept_paused, 0);
	close(newcomer);
}

// However the stream is cut, whenever the answers come, and whatever the size: each question is answered
// once.
static void any_cutting_of_the_stream_gives_the_same_answers(void **state)
{
	struct room *room = *state;
	enum { QUESTIONS = 300 };
	static uint8_t stream[QUESTIONS * 1500];
	bool seen[QUESTIONS] = { false };
	uint32_t random = 12345;
	size_t bytes = 0, sent = 0;
	unsigned answered = 0;

	for (uint16_t id = 0; id < QUESTIONS; id++) {
		unsigned length = 12 + (random = random * 1664525 + 1013904223) % (id % 10 ? 50 : 1400);
		memset(stream + bytes, 0, 2 + length);
		store_be16(stream + bytes, (uint16_t)length);
		store_be16(stream + bytes + 2, id);
		bytes += 2 + length;
	}
	int fd = client(room);
	room->resolver->later = true;
	for (double end = seconds() + 20; answered < QUESTIONS;) {
		assert_true(seconds() < end);
		size_t piece = 1 + ((random = random * 1664525 + 1013904223) >> 8) % 700;
		if (piece > bytes - sent)
			piece = bytes - sent;
		ssize_t took = send(fd, stream + sent, piece, 0);
		sent += took > 0 ? (size_t)took : 0;
		event_base_loop(room->base, EVLOOP_NONBLOCK);
		for (unsigned i = (random >> 8) % 20; i && room->resolver->waiting_count; i--)
			answer_waiting(room->resolver, (random >> 4) % room->resolver->waiting_count);
		while (counters(room)->answers > answered) {
			uint16_t id = answer(room, fd);
			assert_in_range(id, 0, QUESTIONS - 1);
			assert_false(seen[id]);
			seen[id] = true;
			answered++;
		}
	}
	assert_int_equal(counters(room)->queries, QUESTIONS);
	close(fd);
}

static void count_one(void *ctx, const struct sockaddr *peer, uint64_t age_ms, uint64_t queries)
{
	unsigned *seen = ctx;
	assert_int_equal(peer->sa_family, AF_INET);
	assert_in_range(age_ms, 0, 10000);
	*seen += 1 + (queries == 2 ? 10 : 0);
}

static void every_open_connection_can_be_listed(void **state)
{
	struct room *room = *state;
	unsigned seen = 0;
	int a = client(room), b = client(room);
	ask(a, 1);
	ask(a, 2);
	assert_int_equal(answer(room, a), 1);
	assert_int_equal(answer(room, a), 2);
	UNTIL(counters(room)->open == 2);
	tcp_each(room->server, count_one, &seen);
	assert_int_equal(seen, 12);
	close(a);
	close(b);
	UNTIL(counters(room)->open == 0);
	tcp_each(room->server, count_one, &seen);
	assert_int_equal(seen, 12);
}

#define RULE(f) cmocka_unit_test_setup_teardown(f, open_room, close_room)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(a_question_is_answered_and_the_connection_stays),
		RULE(octets_may_come_one_at_a_time),
		RULE(one_segment_may_hold_several_questions_and_a_part),
		RULE(questions_and_answers_may_be_65535_octets),
		RULE(answers_go_out_in_the_order_they_come),
		RULE(a_half_closed_client_gets_its_answers_and_then_the_end),
		RULE(more_questions_than_allowed_wait_and_none_is_lost),
		RULE(a_question_without_an_answer_does_not_end_the_connection),
		RULE(a_message_shorter_than_a_header_ends_the_connection_after_the_answers_owed),
		RULE(an_idle_connection_is_closed_after_the_limit),
		RULE(single_octets_do_not_keep_a_connection),
		RULE(a_connection_whose_question_is_being_worked_on_is_not_idle),
		RULE(one_client_may_have_only_so_many_connections),
		RULE(at_the_total_limit_the_longest_idle_makes_room),
		RULE(at_the_total_limit_with_all_busy_newcomers_are_refused),
		RULE(a_client_that_does_not_read_is_not_read_and_goes_at_the_idle_limit),
		RULE(a_slow_reader_gets_every_answer),
		RULE(unsent_answers_beyond_the_bound_end_the_connection),
		RULE(a_reset_while_questions_are_worked_on_harms_nobody),
		RULE(answers_may_come_after_the_server_is_gone),
		RULE(without_descriptors_accepting_waits_and_goes_on_later),
		RULE(without_descriptors_the_longest_idle_makes_room),
		RULE(any_cutting_of_the_stream_gives_the_same_answers),
		RULE(every_open_connection_can_be_listed),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	return r ? 1 : 0;
}
