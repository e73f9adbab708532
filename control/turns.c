// SPDX-License-Identifier: BSD-3-Clause
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/tree.h>
#include <time.h>

#include "turns.h"

#define WAITING_MAX 32768 // of all clients: about 40 MiB
#define LATE_MS 2000	  // by then the client has asked again, or somebody else
#define STARTS_PER_ROUND 64 // before sockets and timers get their turn

// A client that has questions waiting.
struct client {
	RB_ENTRY(client) by_key;
	TAILQ_ENTRY(client) in_circle;
	struct turns *turns;
	TAILQ_HEAD(, ask) asks; // oldest first
	unsigned count;
	uint8_t key[9]; // family, IPv4 address or IPv6 /64
};

RB_HEAD(client_tree, client);

struct turns {
	struct event *go;
	struct client_tree clients;
	TAILQ_HEAD(, client) circle; // whose turn it is
	unsigned most_in_flight, most_per_client;
	struct turns_counters counters;
};

static int compare_clients(const struct client *a, const struct client *b)
{
	return memcmp(a->key, b->key, sizeof(a->key));
}

RB_GENERATE_INTERNAL(client_tree, client, by_key, compare_clients, __attribute__((unused)) static)

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// Whoever asks for nobody, such as the cache before an answer expires, is one client.
static void write_key(uint8_t key[9], const struct sockaddr_storage *from)
{
	memset(key, 0, 9);
	key[0] = (uint8_t)from->ss_family;
	if (from->ss_family == AF_INET)
		memcpy(key + 1, &((const struct sockaddr_in *)from)->sin_addr, 4);
	else if (from->ss_family == AF_INET6)
		memcpy(key + 1, &((const struct sockaddr_in6 *)from)->sin6_addr, 8);
}

static void leave_circle(struct client *client)
{
	struct turns *turns = client->turns;
	RB_REMOVE(client_tree, &turns->clients, client);
	TAILQ_REMOVE(&turns->circle, client, in_circle);
	turns->counters.clients--;
	free(client);
}

static void take_out(struct ask *ask)
{
	struct client *client = ask->step_ctx;
	TAILQ_REMOVE(&client->asks, ask, waiting);
	ask->step_ctx = NULL;
	client->turns->counters.waiting--;
	if (!--client->count)
		leave_circle(client);
}

static struct client *enter_circle(struct turns *turns, const struct client *key)
{
	struct client *client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	memcpy(client->key, key->key, sizeof(client->key));
	client->turns = turns;
	TAILQ_INIT(&client->asks);
	RB_INSERT(client_tree, &turns->clients, client);
	TAILQ_INSERT_TAIL(&turns->circle, client, in_circle);
	turns->counters.clients++;
	return client;
}

static bool may_wait(const struct turns *turns, const struct client *client)
{
	unsigned waiting = client ? client->count : 0;
	return waiting < turns->most_per_client && (turns->counters.waiting < WAITING_MAX || !waiting);
}

enum turn turns_take(struct turns *turns, struct ask *ask)
{
	if (turns->counters.in_flight < turns->most_in_flight && !turns->counters.waiting) {
		turns->counters.in_flight++;
		return TURN_NOW;
	}
	struct client key, *client;
	write_key(key.key, &ask->asker.address);
	client = RB_FIND(client_tree, &turns->clients, &key);
	if (!may_wait(turns, client) || (!client && !(client = enter_circle(turns, &key)))) {
		turns->counters.refused++;
		return TURN_NEVER;
	}
	TAILQ_INSERT_TAIL(&client->asks, ask, waiting);
	client->count++;
	ask->step_ctx = client;
	ask->forget = take_out;
	ask->waits_since_ms = now_ms();
	turns->counters.queued++;
	turns->counters.waiting++;
	if (turns->counters.in_flight < turns->most_in_flight) // others wait for the event loop to start them
		event_active(turns->go, EV_TIMEOUT, 0);
	return TURN_LATER;
}

void turns_end(struct turns *turns)
{
	turns->counters.in_flight--;
	if (turns->counters.waiting)
		event_active(turns->go, EV_TIMEOUT, 0);
}

// The first client's first question; then that client is the last of the circle.
static struct ask *next_ask(struct turns *turns)
{
	struct client *client = TAILQ_FIRST(&turns->circle);
	struct ask *ask = TAILQ_FIRST(&client->asks);
	TAILQ_REMOVE(&turns->circle, client, in_circle);
	TAILQ_INSERT_TAIL(&turns->circle, client, in_circle);
	take_out(ask);
	return ask;
}

static void on_go(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct turns *turns = ctx;
	uint64_t now = now_ms();
	unsigned started = 0;
	while (turns->counters.waiting && turns->counters.in_flight < turns->most_in_flight &&
		started++ < STARTS_PER_ROUND) {
		struct ask *ask = next_ask(turns);
		if (now - ask->waits_since_ms > LATE_MS) {
			turns->counters.late++;
			ask->rcode = RCODE_SERVFAIL;
			ask->why = EDE_OTHER;
			ask_resume(ask, ERROR);
			continue;
		}
		turns->counters.in_flight++;
		ask->has_turn = true;
		ask_retry(ask);
	}
	if (turns->counters.waiting && turns->counters.in_flight < turns->most_in_flight)
		event_active(turns->go, EV_TIMEOUT, 0);
}

void turns_reconfigure(struct turns *turns, const struct config *config)
{
	turns->most_in_flight = config->client_max_in_flight ? config->client_max_in_flight : 1;
	turns->most_per_client = config->client_max_misses;
	if (turns->counters.waiting)
		event_active(turns->go, EV_TIMEOUT, 0);
}

struct turns *turns_new(struct event_base *base, const struct config *config)
{
	struct turns *turns = calloc(1, sizeof(*turns));
	if (!turns)
		return NULL;
	RB_INIT(&turns->clients);
	TAILQ_INIT(&turns->circle);
	turns->go = evtimer_new(base, on_go, turns);
	if (!turns->go) {
		free(turns);
		return NULL;
	}
	turns_reconfigure(turns, config);
	return turns;
}

void turns_free(struct turns *turns)
{
	if (!turns)
		return;
	while (turns->counters.waiting)
		ask_drop(next_ask(turns));
	event_free(turns->go);
	free(turns);
}

const struct turns_counters *turns_counters(const struct turns *turns)
{
	return &turns->counters;
}
