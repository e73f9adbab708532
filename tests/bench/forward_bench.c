// SPDX-License-Identifier: BSD-3-Clause
// What forwarding one question costs pollux-control: the chain with its forwarders step, asked for names that nobody
// has, beside a name server in a process of its own that answers everything. Prints one line of JSON.
//   forward_bench [SECONDS [OPEN]]      OPEN questions under way all the time
//   forward_bench serve PORT            the name server alone
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <pollux/bytes.h>
#include <pollux/catalog.h>
#include <pollux/config.h>
#include <pollux/query.h>

#include "client/upstream.h"
#include "resolve.h"

#define BATCH 32
#define SOCKET_BYTES (4 << 20)

static struct event_base *base;
static struct resolver *resolver;
static uint64_t number, answered, failed, began_us, until_us;
static unsigned open_now;
static bool over;

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_core(int core)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

// --- the name server ---

// The question back, with one address. 0: not a question we can answer.
static unsigned answer(uint8_t *wire, unsigned bytes)
{
	static const uint8_t record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 1 };
	unsigned at = DNS_HEADER_BYTES;
	while (at < bytes && wire[at])
		at += wire[at] + 1u;
	at += 5;
	if (at > bytes)
		return 0;
	store_be16(wire + 2, FLAG_QR | FLAG_RD | FLAG_RA);
	memcpy(wire + 4, "\0\1\0\1\0\0\0\0", 8);
	memcpy(wire + at, record, sizeof(record));
	return at + (unsigned)sizeof(record);
}

static void serve_datagrams(int fd)
{
	static uint8_t wire[BATCH][2048];
	static struct sockaddr_in peer[BATCH];
	struct mmsghdr message[BATCH];
	struct iovec piece[BATCH];
	for (;;) {
		for (unsigned i = 0; i < BATCH; i++) {
			piece[i] = (struct iovec){ wire[i], sizeof(wire[i]) };
			message[i] = (struct mmsghdr){ .msg_hdr = { .msg_name = &peer[i],
							       .msg_namelen = sizeof(peer[i]),
							       .msg_iov = &piece[i],
							       .msg_iovlen = 1 } };
		}
		int count = recvmmsg(fd, message, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < count; i++)
			piece[i].iov_len = answer(wire[i], message[i].msg_len);
		for (int sent = 0; sent < count;) {
			int more = sendmmsg(fd, message + sent, (unsigned)(count - sent), 0);
			sent += more > 0 ? more : 1;
		}
	}
}

static int server_socket(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(*port) };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = SOCKET_BYTES;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) || getsockname(fd, (struct sockaddr *)&address, &length))
		return -1;
	*port = ntohs(address.sin_port);
	return fd;
}

static pid_t start_server(uint16_t *port)
{
	*port = 0;
	int fd = server_socket(port);
	pid_t child = fd < 0 ? -1 : fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		on_core(1);
		serve_datagrams(fd);
	}
	if (fd >= 0)
		close(fd);
	return child;
}

// --- who asks ---

static void ask_one(void);

static void on_done(void *ctx, const uint8_t *wire, unsigned bytes)
{
	(void)ctx;
	open_now--;
	if (wire && bytes > DNS_HEADER_BYTES && (wire[3] & 15) == 0)
		answered++;
	else
		failed++;
	if (over && !open_now)
		event_base_loopbreak(base);
}

static void ask_one(void)
{
	static const struct asker asker = { .transport = OVER_UDP };
	uint8_t wire[64] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 16 };
	static const char digits[] = "0123456789abcdef";
	uint64_t n = number++;
	store_be16(wire, (uint16_t)n);
	for (unsigned i = 0; i < 16; i++, n >>= 4)
		wire[13 + i] = (uint8_t)digits[n & 15];
	memcpy(wire + 29, "\7example\3net\0\0\1\0\1", 17);
	open_now++;
	resolver_ask(resolver, &asker, wire, 46, on_done, NULL);
}

static void fill(evutil_socket_t fd, short what, void *ctx)
{
	const unsigned *wanted = ctx;
	(void)fd;
	(void)what;
	if (clock_us(CLOCK_MONOTONIC) >= until_us)
		over = true;
	// As control takes misses from a ring: a batch each turn of the loop.
	for (unsigned i = 0; i < BATCH && !over && open_now < *wanted; i++)
		ask_one();
	if (over && !open_now)
		event_base_loopbreak(base);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve")) { // the name server alone, on that port
		uint16_t at = (uint16_t)strtonum(argv[2], 1, UINT16_MAX, NULL);
		int fd = server_socket(&at);
		if (fd >= 0)
			serve_datagrams(fd);
		perror("forward_bench");
		return 1;
	}
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
	unsigned wanted = argc > 2 ? (unsigned)strtonum(argv[2], 1, 100000, NULL) : 256;
	uint16_t port;
	pid_t child = start_server(&port);
	if (child < 0) {
		perror("forward_bench");
		return 1;
	}
	char text[256];
	struct report report = { 0 };
	struct config *config;
	struct catalog *catalog;
	int bytes = snprintf(text, sizeof(text),
		"chain: [forwarders]\nforward: {servers: [127.0.0.1@%u], via: management, deadline: 5s}\n", port);
	base = event_base_new();
	on_core(0);
	if (config_read_text(&config, text, (size_t)bytes, "bench", &report) != ST_OK ||
		catalog_open_private(&catalog, 1) != ST_OK || !(resolver = resolver_new(base, config, catalog, NULL))) {
		fputs("forward_bench: cannot start\n", stderr);
		kill(child, SIGKILL);
		return 1;
	}
	began_us = clock_us(CLOCK_MONOTONIC);
	until_us = began_us + (uint64_t)(seconds * 1e6);
	uint64_t cpu_began_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	struct rusage usage_began, usage;
	getrusage(RUSAGE_SELF, &usage_began);
	while (!over || open_now) {
		fill(-1, 0, &wanted);
		// Waits when there is nothing to send, so that the CPU time is that of work.
		event_base_loop(base, over || open_now >= wanted ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
	}
	uint64_t took_us = clock_us(CLOCK_MONOTONIC) - began_us;
	uint64_t cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu_began_us;
	getrusage(RUSAGE_SELF, &usage);
	const struct resolver_counters *c = resolver_counters(resolver);
	double kernel_us = (double)(usage.ru_stime.tv_sec - usage_began.ru_stime.tv_sec) * 1e6 +
			   (double)(usage.ru_stime.tv_usec - usage_began.ru_stime.tv_usec);
	printf("{\"answered\": %llu, \"failed\": %llu, \"seconds\": %.3f, \"per_s\": %.0f, \"cpu_us\": %.3f, \"kernel_us\": %.3f, "
	       "\"per_cpu_s\": %.0f, \"sent\": %llu, \"timeouts\": %llu, \"sockets\": %llu}\n",
		(unsigned long long)answered, (unsigned long long)failed, (double)took_us / 1e6,
		(double)answered * 1e6 / (double)took_us, (double)cpu_us / (double)answered, kernel_us / (double)answered,
		(double)answered * 1e6 / (double)cpu_us, (unsigned long long)c->upstream_sent,
		(unsigned long long)c->upstream_timeouts, (unsigned long long)c->upstream_sockets);
	resolver_free(resolver);
	catalog_close(catalog);
	config_free(config);
	event_base_free(base);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return failed > answered / 100;
}
