// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include "server.h"
#include "stream.h"

#define SRTT_MAX_US 10000000u
#define SILENCES_FORGIVEN 1
#define BACKOFF_FIRST_US UINT64_C(1000000)
#define BACKOFF_DOUBLINGS 6
#define NEWS_US UINT64_C(10000000) // a server that comes and goes is not told about more often
#define DECAY_SHIFT                                                                                          \
	6 // what an unused server's time shrinks by for each question, so that it gets another try

static const struct server *find_same(const struct server_list *list, const struct sockaddr_storage *address)
{
	for (unsigned i = 0; list && i < list->count; i++) {
		if (!memcmp(&list->server[i].address, address, sizeof(*address)))
			return &list->server[i];
	}
	return NULL;
}

struct server_list *server_list_new(
	const struct sockaddr_storage *addresses, unsigned count, const struct server_list *former)
{
	struct server_list *list = calloc(1, sizeof(*list) + count * sizeof(list->server[0]));
	if (!list)
		return NULL;
	list->references = 1;
	list->count = count < SERVERS_MAX ? count : SERVERS_MAX;
	for (unsigned i = 0; i < list->count; i++) {
		struct server *server = &list->server[i];
		const struct server *known = find_same(former, &addresses[i]);
		if (known)
			*server = *known;
		server->stream = NULL; // questions of the former list still use it
		server->address = addresses[i];
		server->address_bytes = addresses[i].ss_family == AF_INET ? sizeof(struct sockaddr_in)
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
	for (unsigned i = 0; i < list->count; i++)
		stream_close(list->server[i].stream);
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

// Orders servers for one question; the smallest is asked.
struct rank {
	unsigned tries;
	bool waits; // silent of late, and not to be tried again yet
	uint64_t time_us;
};

static struct rank rank_of(const struct server *server, unsigned tries, uint64_t now_us)
{
	bool silent = server_is_silent(server);
	bool waits = silent && now_us < server->down_until_us;
	// One whose back-off has ended goes first, once: that is how its return is noticed.
	return (struct rank){ tries, waits,
		silent && !waits ? 0
		: waits		 ? server->down_until_us
				 : server->srtt_us };
}

static bool rank_is_better(struct rank a, struct rank b)
{
	if (a.tries != b.tries)
		return a.tries < b.tries;
	if (a.waits != b.waits)
		return b.waits;
	return a.time_us < b.time_us;
}

static uint64_t backoff_us(const struct server *server)
{
	unsigned doublings = server->silences - SILENCES_FORGIVEN - 1;
	return BACKOFF_FIRST_US << (doublings < BACKOFF_DOUBLINGS ? doublings : BACKOFF_DOUBLINGS);
}

int server_choose(struct server_list *list, struct server_tries *tries, uint64_t now_us)
{
	int best = -1;
	struct rank best_rank = { 0 };
	for (unsigned i = 0; i < list->count; i++) {
		if (tries->failed & UINT64_C(1) << i)
			continue;
		struct rank rank = rank_of(&list->server[i], tries->count[i], now_us);
		if (best < 0 || rank_is_better(rank, best_rank)) {
			best = (int)i;
			best_rank = rank;
		}
	}
	if (best < 0)
		return -1;
	for (unsigned i = 0; i < list->count; i++) {
		if ((int)i != best && tries->count[best] == 0)
			list->server[i].srtt_us -= list->server[i].srtt_us >> DECAY_SHIFT;
	}
	struct server *server = &list->server[best];
	if (server_is_silent(server) && now_us >= server->down_until_us)
		server->down_until_us =
			now_us + backoff_us(server); // one question tries it, the others do not
	if (tries->count[best] < UINT8_MAX)
		tries->count[best]++;
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
