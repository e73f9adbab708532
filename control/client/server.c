// SPDX-License-Identifier: BSD-3-Clause
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "ports.h"
#include "server.h"
#include "stream.h"

#define SRTT_MAX_US 10000000u
#define SILENCES_FORGIVEN 1
#define BACKOFF_FIRST_US UINT64_C(1000000)
#define BACKOFF_DOUBLINGS 6
#define NEWS_US UINT64_C(10000000) // a server that comes and goes is not told about more often
#define TROUBLE_US UINT64_C(60000000)
#define DECAY_SHIFT 6 // what an unused server's time shrinks by for each question, so that it gets another try

static const struct server *find_same(const struct server_list *list, const struct upstream_peer *peer)
{
	for (unsigned i = 0; list && i < list->count; i++) {
		const struct upstream_peer *known = &list->server[i].peer;
		if (known->protocol == peer->protocol && !memcmp(&known->address, &peer->address, sizeof(peer->address)))
			return &list->server[i];
	}
	return NULL;
}

// What was learned, but nothing that questions under way still use.
static void take_over(struct server *server, const struct server *known)
{
	SSL_SESSION *session = known->peer.tls == server->peer.tls ? known->session : NULL;
	struct upstream_peer peer = server->peer;
	*server = *known;
	server->peer = peer;
	server->open = 0;
	server->probed = false;
	server->ports = NULL;
	server->session = session;
	if (session)
		SSL_SESSION_up_ref(session);
	if (known->peer.tls != peer.tls) { // other certificates are good now
		server->trouble[0] = 0;
		server->connect_at_us = 0;
	}
	memset(server->stream, 0, sizeof(server->stream));
}

struct server_list *server_list_new(
	const struct upstream_peer *peers, unsigned count, const struct server_list *former)
{
	count = count < SERVERS_MAX ? count : SERVERS_MAX;
	struct server_list *list = calloc(1, sizeof(*list) + count * sizeof(list->server[0]));
	if (!list)
		return NULL;
	list->references = 1;
	list->count = count;
	for (unsigned i = 0; i < count; i++) {
		struct server *server = &list->server[i];
		const struct server *known = find_same(former, &peers[i]);
		server->peer = peers[i];
		if (server->peer.tls)
			tls_profile_keep(server->peer.tls);
		if (known)
			take_over(server, known);
		server->address_bytes = peers[i].address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
									      : sizeof(struct sockaddr_in6);
	}
	return list;
}

struct server_list *server_list_keep(struct server_list *list)
{
	list->references++;
	return list;
}

void server_list_drop(struct server_list *list)
{
	if (!list || --list->references)
		return;
	for (unsigned i = 0; i < list->count; i++) {
		struct server *server = &list->server[i];
		for (unsigned k = 0; k < SERVER_STREAMS; k++)
			stream_close(server->stream[k]);
		ports_free(server->ports);
		SSL_SESSION_free(server->session);
		tls_profile_drop(server->peer.tls);
	}
	free(list);
}

bool server_is_silent(const struct server *server)
{
	return server->silences > SILENCES_FORGIVEN;
}

bool server_has_news(struct server *server, uint64_t now_us)
{
	bool silent = server_is_silent(server);
	if (silent == server->said_silent || (server->said_at_us && now_us - server->said_at_us < NEWS_US))
		return false;
	server->said_silent = silent;
	server->said_at_us = now_us;
	return true;
}

bool server_wants_probe(const struct server *server, uint64_t now_us)
{
	return server_is_silent(server) && !server->probed && now_us >= server->down_until_us;
}

bool server_has_trouble(struct server *server, const char *reason, uint64_t now_us)
{
	bool news = strcmp(server->trouble, reason) != 0 || now_us - server->trouble_said_at_us >= TROUBLE_US;
	strlcpy(server->trouble, reason, sizeof(server->trouble));
	if (news)
		server->trouble_said_at_us = now_us;
	return news;
}

// Orders servers for one question; the smallest is asked.
struct rank {
	unsigned tries;
	bool silent; // of late
	uint64_t time_us;
};

static struct rank rank_of(
	const struct server_list *list, unsigned i, const struct server_tries *tries, bool in_turn)
{
	const struct server *server = &list->server[i];
	bool silent = server_is_silent(server);
	if (tries->count[i]) // later rounds in the order of the first
		return (struct rank){ tries->count[i], false, tries->last[i] };
	return (struct rank){ tries->count[i], silent,
		silent	  ? server->down_until_us
		: in_turn ? (i + list->count - list->turn % list->count) % list->count
			  : server->srtt_us };
}

static bool rank_is_better(struct rank a, struct rank b)
{
	if (a.tries != b.tries)
		return a.tries < b.tries;
	if (a.silent != b.silent)
		return b.silent;
	return a.time_us < b.time_us;
}

static uint64_t backoff_us(const struct server *server)
{
	unsigned doublings = server->silences - SILENCES_FORGIVEN - 1;
	return BACKOFF_FIRST_US << (doublings < BACKOFF_DOUBLINGS ? doublings : BACKOFF_DOUBLINGS);
}

int server_choose(struct server_list *list, struct server_tries *tries, const struct server_choice *how)
{
	int best = -1;
	struct rank best_rank = { 0 };
	for (unsigned i = 0; i < list->count; i++) {
		if (tries->failed & UINT64_C(1) << i || list->server[i].open >= how->most_open)
			continue;
		struct rank rank = rank_of(list, i, tries, how->in_turn);
		if (best < 0 || rank_is_better(rank, best_rank)) {
			best = (int)i;
			best_rank = rank;
		}
	}
	if (best < 0)
		return -1;
	for (unsigned i = 0; i < list->count; i++) {
		struct server *server = &list->server[i];
		if ((int)i != best && tries->count[best] == 0 && !server_is_silent(server))
			server->srtt_us -= server->srtt_us >> DECAY_SHIFT;
	}
	if (best_rank.tries == 0)
		list->turn++;
	if (tries->count[best] < UINT8_MAX)
		tries->count[best]++;
	if (tries->tries < UINT8_MAX)
		tries->tries++;
	tries->last[best] = tries->tries;
	return best;
}

void server_answered(struct server *server, uint64_t sent_at_us, uint64_t now_us)
{
	uint64_t rtt_us = now_us - sent_at_us;
	uint32_t rtt = rtt_us < SRTT_MAX_US ? (uint32_t)rtt_us : SRTT_MAX_US;
	bool fresh = server->srtt_us == 0 || server_is_silent(server);
	// RFC 6298 2.3: alpha = 1/8
	server->srtt_us = fresh ? rtt : server->srtt_us - server->srtt_us / 8 + rtt / 8;
	if (server->srtt_us == 0)
		server->srtt_us = 1;
	server->heard_at_us = now_us;
	server->silences = 0;
	server->down_until_us = 0;
	server->trouble[0] = 0;
	server->connect_at_us = 0;
}

void server_kept_silent(struct server *server, uint64_t sent_at_us, uint64_t now_us)
{
	if (server->heard_at_us >= sent_at_us || server->silence_at_us > sent_at_us)
		return;
	uint64_t srtt = (uint64_t)server->srtt_us * 2;
	if (srtt < now_us - sent_at_us)
		srtt = now_us - sent_at_us;
	server->silence_at_us = now_us;
	server->srtt_us = srtt < SRTT_MAX_US ? (uint32_t)srtt : SRTT_MAX_US;
	server->silences++;
	if (server_is_silent(server))
		server->down_until_us = now_us + backoff_us(server);
}
