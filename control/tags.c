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
	struct tag_choice has;
	bool known;
};

struct tags {
	uint64_t seed; // addresses come from outside: nobody shall know who shares a place with whom
	struct tag_choice latest; // no octets: no tagged frame yet
	struct peer peers[PEERS]; // by IP address and, for what goes through routers, by MAC
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

// No host has an IP address that ends like this.
static void mac_as_address(uint64_t address[2], const uint8_t *mac)
{
	address[0] = 0;
	address[1] = UINT64_MAX;
	memcpy(address, mac, 6);
}

static size_t place_of(const struct tags *tags, const uint64_t address[2])
{
	uint64_t hash = (address[0] ^ tags->seed) * UINT64_C(0x9e3779b97f4a7c15);
	hash = (hash ^ (hash >> 29) ^ address[1]) * UINT64_C(0xbf58476d1ce4e5b9);
	return (hash >> 40) & (PEERS - 1);
}

static void remember(struct tags *tags, const uint64_t address[2], const struct tag_choice *has)
{
	tags->peers[place_of(tags, address)] =
		(struct peer){ .address = { address[0], address[1] }, .has = *has, .known = true };
}

static const struct tag_choice *recall(const struct tags *tags, const uint64_t address[2])
{
	const struct peer *peer = &tags->peers[place_of(tags, address)];
	return peer->known && !memcmp(peer->address, address, sizeof(peer->address)) ? &peer->has : NULL;
}

unsigned tags_learn(struct tags *tags, const uint8_t *frame, size_t bytes)
{
	unsigned count = tag_bytes(frame, bytes);
	struct tag_choice has = { .bytes = count };
	uint64_t address[2];

	if (bytes < TAGS_AT + count + 2u)
		return count;
	memcpy(has.tags, frame + TAGS_AT, count);
	if (count)
		tags->latest = has;
	mac_as_address(address, frame + 6);
	remember(tags, address, &has);
	unsigned network_at = TAGS_AT + count + 2;
	if (find_address(address, load_be16(frame + network_at - 2), frame + network_at, bytes - network_at,
		    SENDER))
		remember(tags, address, &has);
	return count;
}

static unsigned add_choice(struct tag_choice *to, unsigned count, const struct tag_choice *one)
{
	for (unsigned i = 0; i < count; i++)
		if (to[i].bytes == one->bytes && !memcmp(to[i].tags, one->tags, one->bytes))
			return count;
	to[count] = *one;
	return count + 1;
}

unsigned tags_for(const struct tags *tags, const uint8_t *frame, size_t bytes, struct tag_choice to[TAG_CHOICES_MAX])
{
	static const struct tag_choice none;
	const struct tag_choice *known = NULL;
	uint64_t address[2];
	if (!tags->latest.bytes || bytes < TAGS_AT + 2)
		return add_choice(to, 0, &none);
	if (find_address(address, load_be16(frame + TAGS_AT), frame + TAGS_AT + 2, bytes - TAGS_AT - 2, RECEIVER))
		known = recall(tags, address);
	bool to_group = frame[0] & 1;
	if (!known && !to_group) {
		mac_as_address(address, frame);
		known = recall(tags, address);
	}
	unsigned count = add_choice(to, 0, known ? known : &tags->latest);
	if (to_group) {
		count = add_choice(to, count, &tags->latest);
		count = add_choice(to, count, &none);
	}
	return count;
}
