// SPDX-License-Identifier: BSD-3-Clause
// Asks a name server over TCP, with one connection for each question: connects, asks, reads the answer, closes. dnsperf opens
// them one after the other; here several are open all the time. Prints one line of JSON.
//   tcp_client SERVER SECONDS OPEN NAMES ORIGIN ADDRESS...    asks for h0.ORIGIN .. hN.ORIGIN, N below NAMES, from these
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OPEN_MOST 1024
#define ANSWER_MOST 4096
#define OWN_MOST 16
#define PATIENCE_MS 2000

struct one {
	int fd;
	uint16_t id;
	bool asked;
	unsigned got;
	uint64_t began_ms;
	uint8_t answer[ANSWER_MOST];
};

static struct one ones[OPEN_MOST];
static struct sockaddr_in server = { .sin_family = AF_INET }, own[OWN_MOST];
static unsigned owns;
static const char *origin;
static unsigned names;
static uint64_t number, answered, failed;
static int events;

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

// Type A, class IN, with the length in front (RFC 1035 4.2.2).
static size_t write_question(uint8_t *to, size_t room, uint16_t id, unsigned name)
{
	char text[256];
	uint8_t *at = to + 14;
	int bytes = snprintf(text, sizeof(text), "h%u.%s", name, origin);
	if (bytes < 0 || (size_t)bytes + 32 > room)
		die("name");
	memset(to, 0, 14);
	to[2] = (uint8_t)(id >> 8);
	to[3] = (uint8_t)id;
	to[7] = 1;
	char *rest;
	for (char *label = strtok_r(text, ".", &rest); label; label = strtok_r(NULL, ".", &rest)) {
		*at++ = (uint8_t)strlen(label);
		memcpy(at, label, strlen(label));
		at += strlen(label);
	}
	memcpy(at, (const uint8_t[]){ 0, 0, 1, 0, 1 }, 5);
	size_t all = (size_t)(at + 5 - to);
	to[0] = (uint8_t)((all - 2) >> 8);
	to[1] = (uint8_t)(all - 2);
	return all;
}

static void begin(struct one *one)
{
	struct epoll_event event = { .events = EPOLLOUT, .data.ptr = one };
	int on = 1;
	one->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (one->fd < 0)
		die("socket");
	setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(one->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(one->fd, (struct sockaddr *)&own[number % owns], sizeof(own[0])))
		die("bind");
	one->asked = false;
	one->got = 0;
	one->id = (uint16_t)++number;
	one->began_ms = now_ms();
	if (connect(one->fd, (struct sockaddr *)&server, sizeof(server)) && errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(events, EPOLL_CTL_ADD, one->fd, &event))
		die("epoll");
}

static void again(struct one *one, bool good)
{
	*(good ? &answered : &failed) += 1;
	close(one->fd);
	begin(one);
}

static void ask(struct one *one)
{
	uint8_t wire[512];
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = one };
	size_t bytes = write_question(wire, sizeof(wire), one->id, (unsigned)(number * 7919 % names));
	one->asked = true;
	if (send(one->fd, wire, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		again(one, false);
	else if (epoll_ctl(events, EPOLL_CTL_MOD, one->fd, &event))
		die("epoll");
}

static void hear(struct one *one)
{
	ssize_t got = read(one->fd, one->answer + one->got, sizeof(one->answer) - one->got);
	if (got <= 0) {
		again(one, false);
		return;
	}
	one->got += (unsigned)got;
	const uint8_t *wire = one->answer;
	if (one->got < 14 || one->got < 2u + (unsigned)(wire[0] << 8 | wire[1]))
		return;
	// The id, a reply, no error, and an answer in it.
	again(one, (wire[2] << 8 | wire[3]) == one->id && wire[4] & 0x80 && !(wire[5] & 15) && (wire[8] | wire[9]));
}

static unsigned number_of(const char *text, unsigned most)
{
	const char *error;
	long long value = strtonum(text, 1, most, &error);
	if (error)
		die(text);
	return (unsigned)value;
}

int main(int count, char **argument)
{
	if (count < 7 || count > 6 + OWN_MOST)
		die("arguments");
	for (owns = 0; (int)owns + 6 < count; owns++) {
		own[owns].sin_family = AF_INET;
		if (!inet_pton(AF_INET, argument[6 + owns], &own[owns].sin_addr))
			die("arguments");
	}
	unsigned seconds = number_of(argument[2], 3600), open = number_of(argument[3], OPEN_MOST);
	names = number_of(argument[4], INT_MAX);
	origin = argument[5];
	server.sin_port = htons(53);
	if (!inet_pton(AF_INET, argument[1], &server.sin_addr))
		die("arguments");
	events = epoll_create1(0);
	for (unsigned i = 0; i < open; i++)
		begin(&ones[i]);
	uint64_t began = now_ms(), over = began + seconds * UINT64_C(1000), swept = began, now;
	while ((now = now_ms()) < over) {
		struct epoll_event ready[64];
		int found = epoll_wait(events, ready, 64, 100);
		for (int i = 0; i < found; i++) {
			struct one *one = ready[i].data.ptr;
			(one->asked ? hear : ask)(one);
		}
		for (unsigned i = 0; now - swept > 100 && i < open; i++)
			if (ones[i].began_ms + PATIENCE_MS < now)
				again(&ones[i], false);
		if (now - swept > 100)
			swept = now;
	}
	printf("{\"answered\": %llu, \"failed\": %llu, \"seconds\": %.3f}\n", (unsigned long long)answered,
		(unsigned long long)failed, (double)(now - began) / 1000);
	return 0;
}
