// SPDX-License-Identifier: BSD-3-Clause
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/bytes.h>

#include "tags.h"

#define ETHERTYPE_QINQ 0x88a8 // IEEE 802.1ad
#define PEERS 4096	      // a power of two

struct peer {
	uint64_t address[2];
	uint8_t tags[TAGS_MAX_BYTES];
	uint32_t bytes; // of tags
	bool known;
};

struct tags {
	struct peer *peers; // NULL: no tagged frame yet
	uint64_t seed;	    // addresses come from outside: nobody shall know who shares a place with whom
	uint8_t latest[TAGS_MAX_BYTES];
	unsigned latest_bytes;
};

struct tags *tags_new(void)
{
	struct tags *tags = calloc(1, sizeof(*tags));
	if (tags)
		arc4random_buf(&tags->seed, sizeof(tags->seed));
	return tags;
}

void tags_free(struct tags *tags)
{
	if (tags)
		free(tags->peers);
	free(tags);
}

static bool is_tag(uint16_t ethertype)
{
	return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ;
}

static unsigned tag_bytes(const uint8_t *frame, size_t bytes)
{
	unsigned found = 0;
	while (found < TAGS_MAX_BYTES && bytes >= TAGS_AT + found + 6u &&
		is_tag(load_be16(frame + TAGS_AT + found)))
		found += 4;
	return found;
}

// Where in the network header the address of a sender, or of a receiver, is.
struct place {
	unsigned at, bytes;
};

enum side { SENDER, RECEIVER };

// RFC 4861 4.3: a solicitation goes to a multicast address; whom it is for stands in the target.
static bool is_solicitation(const uint8_t *ip, size_t bytes)
{
	return bytes >= 64 && ip[6] == IPPROTO_ICMPV6 && ip[40] == 135;
}

static bool find_address(
	uint64_t address[2], uint16_t ethertype, const uint8_t *network, size_t bytes, enum side side)
{
	struct place place;
	if (ethertype == ETHERTYPE_IP)
		place = (struct place){ side == SENDER ? 12 : 16, 4 };
	else if (ethertype == ETHERTYPE_ARP) // RFC 826
		place = (struct place){ side == SENDER ? 14 : 24, 4 };
	else if (ethertype == ETHERTYPE_IPV6)
		place = (struct place){ side == SENDER ? 8 : is_solicitation(network, bytes) ? 48 : 24, 16 };
	else
		return false;
	if (bytes < place.at + place.bytes)
		return false;
	memset(address, 0, 16);
	memcpy(address, network + place.at, place.bytes);
	return true;
}

static struct peer *place_of(const struct tags *tags, const uint64_t address[2])
{
	uint64_t hash = (address[0] ^ tags->seed) * UINT64_C(0x9e3779b97f4a7c15);
	hash = (hash ^ (hash >> 29) ^ address[1]) * UINT64_C(0xbf58476d1ce4e5b9);
	return &tags->peers[(hash >> 40) & (PEERS - 1)];
}

unsigned tags_learn(struct tags *tags, const uint8_t *frame, size_t bytes)
{
	unsigned count = tag_bytes(frame, bytes);
	uint64_t address[2];

	if (count && !tags->peers)
		tags->peers = calloc(PEERS, sizeof(*tags->peers));
	if (!tags->peers || bytes < TAGS_AT + count + 2u)
		return count;
	if (count) {
		memcpy(tags->latest, frame + TAGS_AT, count);
		tags->latest_bytes = count;
	}
	unsigned network_at = TAGS_AT + count + 2;
	if (!find_address(address, load_be16(frame + network_at - 2), frame + network_at, bytes - network_at,
		    SENDER))
		return count;
	struct peer *peer = place_of(tags, address);
	*peer = (struct peer){ .address = { address[0], address[1] }, .bytes = count, .known = true };
	memcpy(peer->tags, frame + TAGS_AT, count);
	return count;
}

unsigned tags_for(const struct tags *tags, const uint8_t *frame, size_t bytes, uint8_t to[TAGS_MAX_BYTES])
{
	uint64_t address[2];
	if (!tags->peers || bytes < TAGS_AT + 2)
		return 0;
	if (find_address(address, load_be16(frame + TAGS_AT), frame + TAGS_AT + 2, bytes - TAGS_AT - 2,
		    RECEIVER)) {
		const struct peer *peer = place_of(tags, address);
		if (peer->known && !memcmp(peer->address, address, sizeof(address))) {
			memcpy(to, peer->tags, sizeof(peer->tags));
			return peer->bytes;
		}
	}
	memcpy(to, tags->latest, sizeof(tags->latest));
	return tags->latest_bytes;
}
