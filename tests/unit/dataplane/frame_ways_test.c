// SPDX-License-Identifier: BSD-3-Clause
// frame_check() has a short way for plain questions. Whatever goes in, it must say what the long one says.
// Frames are broken in every way, and then often summed anew: else hardly anything but a checksum would
// decide.
#include <stdio.h>
#include <stdlib.h>

#include <pollux/bounds.h>
#include <pollux/counters.h>

#include "packet.h"

enum {
	ROUNDS = 300000,
	TRUSTS = 4,
	STATIONS = 5,
	ENOUGH = 100, // frames that met a verdict, so that it was compared
};

static const uint16_t tag_lists[][7] = { { 0 }, { 0x8100, 0x2005 }, { 0x88a8, 7 }, { 0x88a8, 7, 0x8100, 9 },
	{ 0x8100, 7, 0x8100, 9 }, { 0x8100, 7, 0x8100, 9, 0x8100, 11 } };
static const char *const addresses4[] = { our4, peer4, "198.18.0.54", "198.18.0.55", "0.0.0.0", "0.18.0.53",
	"126.255.255.255", "127.0.0.1", "128.0.0.1", "223.255.255.255", "224.0.0.1", "255.255.255.255" };
static const char *const addresses6[] = { our6, peer6, "2001:db8:53::54", "2001:db8:53::55",
	"2001:db8:54::53", "2001:db9:53::53", "::", "::1", "::2", "::ffff:198.18.0.1",
	"0:0:0:1::", "100::", "fe80::ff:fe00:53", "fe80::1", "fe00::1", "ff02::1", "ff02::1:ff00:53" };
static const uint8_t macs[][6] = { { 2, 0, 0, 0, 0, 0x53 }, { 2, 0, 0, 0, 0, 0xaa }, { 3, 0, 0, 0, 0, 0x53 },
	{ 2, 0, 0, 0, 1, 0x53 }, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, { 0x33, 0x33, 0, 0, 0, 1 } };
static const uint16_t words[] = { 0, 1, 7, 8, 9, 27, 28, 29, 53, 54, 0x0800, 0x0806, 0x1fff, 0x2000, 0x4000,
	0x7fff, 0x8000, 0x8100, 0x86dd, 0x88a8, 0xffff };

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

static unsigned random_below(uint32_t *seed, unsigned count)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % count;
}

static void add_address(struct station *station, int family, const char *text)
{
	uint8_t address[16];
	assert_int_equal(inet_pton(family, text, address), 1);
	assert_true(station_add(station, family, address));
}

// One; more; as many as there may be, the one asked for last; any MAC; none but the link-local one.
static void make_stations(struct station station[STATIONS])
{
	char text[INET6_ADDRSTRLEN];
	for (unsigned i = 0; i < STATIONS; i++)
		station[i] = test_station();
	add_address(&station[1], AF_INET, addresses4[2]);
	add_address(&station[1], AF_INET6, addresses6[2]);
	station_init(&station[2], our_mac, 53);
	for (unsigned i = 1; i < PORT_ADDRESSES_MAX; i++) {
		snprintf(text, sizeof(text), "198.18.%u.1", i);
		add_address(&station[2], AF_INET, text);
		snprintf(text, sizeof(text), "2001:db8:%x::1", i);
		add_address(&station[2], AF_INET6, text);
	}
	add_address(&station[2], AF_INET, our4);
	add_address(&station[2], AF_INET6, our6);
	station_take_any_mac(&station[3]);
	station_init(&station[4], our_mac, 53);
}

// The copy ends where the frame does, for a sanitizer.
static enum counter judge(const struct station *station, const struct packet *packet, unsigned trust,
	bool closely, struct frame *frame)
{
	uint8_t *copy = malloc(packet->length ? packet->length : 1);
	assert_non_null(copy);
	memcpy(copy, packet->octet, packet->length);
	memset(frame, 0xee, sizeof(*frame)); // as the last burst has left it
	frame->bytes = copy;
	frame->room = packet->length;
	frame->length = (uint16_t)packet->length;
	return (closely ? frame_check_closely : frame_check)(station, frame, trust);
}

// RFC 1071, by the book, of octets that pair up from the first on.
static void assert_payload_sum(const struct frame *frame)
{
	uint64_t sum = 0;
	for (unsigned at = frame->payload_at; at < frame->length; at++)
		sum += (uint64_t)frame->bytes[at] << ((at - frame->payload_at) & 1) * 8;
	assert_int_equal(frame->payload_sum % 0xffff, sum % 0xffff);
}

static enum counter assert_same_both_ways(
	const struct station *station, const struct packet *packet, unsigned trust)
{
	struct frame short_way, long_way;
	enum counter said = judge(station, packet, trust, false, &short_way);
	assert_int_equal(said, judge(station, packet, trust, true, &long_way));
	assert_int_equal(short_way.room, long_way.room);
	assert_int_equal(short_way.length, long_way.length);
	assert_int_equal(short_way.network_at, long_way.network_at);
	assert_int_equal(short_way.transport_at, long_way.transport_at);
	assert_int_equal(short_way.payload_at, long_way.payload_at);
	assert_int_equal(short_way.ip_version, long_way.ip_version);
	assert_memory_equal(short_way.bytes, long_way.bytes, packet->length);
	assert_int_equal(long_way.payload_sum, 0);
	if (said == COUNTER_answer_dns && short_way.payload_sum)
		assert_payload_sum(&short_way);
	free(short_way.bytes);
	free(long_way.bytes);
	return said;
}

// Right checksums, as far as there is room for what they cover.
static void sum_again(struct packet *packet)
{
	const uint8_t *ip = packet->octet + packet->ip_at;
	if (ip[0] >> 4 == 4 && packet->ip_at + (ip[0] & 15u) * 4 <= packet->length)
		sum_ip4(packet);
	unsigned bytes = packet->l4_at + 8 <= packet->length ? get16(packet, packet->l4_at + 4) : 0;
	if (bytes < 8 || packet->l4_at + bytes > packet->length)
		return;
	set16(packet, packet->l4_at + 6, 0);
	unsigned sum = ~l4_sum(packet, 17, bytes) & 0xffff;
	set16(packet, packet->l4_at + 6, sum ? sum : 0xffff);
}

static void every_octet_of_the_headers_means_the_same_both_ways(void **state)
{
	(void)state;
	struct station station = test_station();
	for (unsigned kind = 0; kind < 4; kind++) {
		struct packet good = { .length = 0 };
		(kind & 1 ? make_query6 : make_query4)(&good, tag_lists[kind / 2]);
		for (unsigned at = 0; at < good.l4_at + 8; at++) {
			for (unsigned value = 0; value < 256; value++) {
				struct packet packet = good;
				packet.octet[at] = (uint8_t)value;
				for (unsigned trust = 0; trust < TRUSTS; trust++)
					assert_same_both_ways(&station, &packet, trust);
				sum_again(&packet);
				assert_same_both_ways(&station, &packet, 0);
			}
		}
	}
}

static void every_length_means_the_same_both_ways(void **state)
{
	(void)state;
	struct station station = test_station();
	for (unsigned kind = 0; kind < 2 * COUNT_OF(tag_lists); kind++) {
		struct packet packet = { .length = 0 };
		(kind & 1 ? make_query6 : make_query4)(&packet, tag_lists[kind / 2]);
		for (; packet.length; packet.length--) {
			assert_same_both_ways(&station, &packet, 0);
			struct packet shorter = packet; // in all its headers, too
			if (packet.length < packet.l4_at + 8)
				continue;
			set16(&shorter, shorter.l4_at + 4, shorter.length - shorter.l4_at);
			set16(&shorter, shorter.ip_at + (kind & 1 ? 4 : 2),
				shorter.length - (kind & 1 ? shorter.l4_at : shorter.ip_at));
			sum_again(&shorter);
			assert_same_both_ways(&station, &shorter, 0);
		}
	}
}

static void put_headers(struct packet *packet, uint32_t *seed)
{
	static const uint8_t options[8] = { 1, 1, 1, 1, 1, 1, 1, 0 };
	static const uint8_t skipped[16] = { 60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0 };
	static const uint8_t protocols[] = { 6, 1, 58, 44, 132, 41 };
	bool v6 = random_below(seed, 2), plain = random_below(seed, 8);
	unsigned protocol = random_below(seed, 16) ? 17 : protocols[random_below(seed, sizeof(protocols))];
	put_ether(packet, our_mac, peer_mac, tag_lists[random_below(seed, COUNT_OF(tag_lists))],
		v6 ? 0x86dd : 0x0800);
	if (!v6) {
		put_ip4(packet, peer4, our4, protocol, options, plain ? 0 : sizeof(options));
		return;
	}
	put_ip6(packet, peer6, our6, plain ? protocol : 0, 64);
	if (!plain)
		put(packet, skipped, sizeof(skipped));
	packet->l4_at = packet->length;
}

static void put_random(struct packet *packet, uint32_t *seed)
{
	put_headers(packet, seed);
	put_udp(packet, 1 + random_below(seed, 0xffff), 53, question, random_below(seed, QUESTION_BYTES + 1));
	for (unsigned padding = random_below(seed, 3) ? 0 : random_below(seed, 20); padding; padding--)
		put(packet, "", 1);
}

// A checksum of zero says that there is none (RFC 768), however well it would fit.
static void take_sum_away(struct packet *packet, uint32_t *seed)
{
	unsigned at = packet->l4_at + 6, bytes = get16(packet, packet->l4_at + 4);
	set16(packet, at, 0);
	if (bytes < 10 || at + 4 > packet->length || random_below(seed, 2))
		return;
	sum_again(packet);
	unsigned sum = get16(packet, at) + get16(packet, at + 2);
	set16(packet, at + 2, (sum & 0xffff) + (sum >> 16));
	set16(packet, at, 0);
}

static void change_octet(struct packet *packet, uint32_t *seed)
{
	packet->octet[random_below(seed, packet->length)] = (uint8_t)random_below(seed, 256);
}

static void change_word(struct packet *packet, uint32_t *seed)
{
	set16(packet, random_below(seed, packet->l4_at + 8) & ~1u,
		words[random_below(seed, COUNT_OF(words))]);
}

// Lengths that are nearly right.
static void nudge_word(struct packet *packet, uint32_t *seed)
{
	unsigned at[] = { packet->ip_at + 2, packet->ip_at + 4, packet->l4_at + 4 };
	unsigned one = at[random_below(seed, COUNT_OF(at))];
	set16(packet, one, get16(packet, one) + random_below(seed, 21) - 10);
}

static void change_address(struct packet *packet, uint32_t *seed)
{
	bool v6 = packet->octet[packet->ip_at] >> 4 == 6, target = random_below(seed, 2);
	const char *text = v6 ? addresses6[random_below(seed, COUNT_OF(addresses6))]
			      : addresses4[random_below(seed, COUNT_OF(addresses4))];
	uint8_t *at = packet->octet + packet->ip_at + (v6 ? 8 + 16 * target : 12 + 4 * target);
	assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, text, at), 1);
}

static void change_mac(struct packet *packet, uint32_t *seed)
{
	memcpy(packet->octet + 6 * random_below(seed, 2), macs[random_below(seed, COUNT_OF(macs))], 6);
}

static void cut(struct packet *packet, uint32_t *seed)
{
	packet->length -= random_below(seed, packet->length);
}

static void (*const changes[])(struct packet *, uint32_t *) = { change_octet, change_word, nudge_word,
	change_address, change_address, change_mac, cut };

static void everything_that_comes_means_the_same_both_ways(void **state)
{
	(void)state;
	struct station station[STATIONS];
	unsigned seen[COUNTER_COUNT] = { 0 };
	uint32_t seed = 4;
	make_stations(station);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct packet packet = { .length = 0 };
		put_random(&packet, &seed);
		for (unsigned count = random_below(&seed, 4); count; count--)
			changes[random_below(&seed, COUNT_OF(changes))](&packet, &seed);
		if (random_below(&seed, 4))
			sum_again(&packet);
		if (!random_below(&seed, 8))
			take_sum_away(&packet, &seed);
		seen[assert_same_both_ways(
			&station[round % STATIONS], &packet, random_below(&seed, TRUSTS))]++;
	}
	static const enum counter possible[] = { COUNTER_answer_dns, COUNTER_punt, COUNTER_drop_frame_short,
		COUNTER_drop_not_our_mac, COUNTER_drop_ethertype, COUNTER_drop_ip_header,
		COUNTER_drop_ip_checksum, COUNTER_drop_ip_not_ours, COUNTER_drop_ip_source,
		COUNTER_drop_fragment, COUNTER_drop_ip_protocol, COUNTER_drop_udp_header,
		COUNTER_drop_udp_checksum };
	for (unsigned i = 0; i < COUNT_OF(possible); i++) {
		print_message("# %s: %u\n", counter_info[possible[i]].name, seen[possible[i]]);
		assert_in_range(seen[possible[i]], ENOUGH, ROUNDS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_octet_of_the_headers_means_the_same_both_ways),
		cmocka_unit_test(every_length_means_the_same_both_ways),
		cmocka_unit_test(everything_that_comes_means_the_same_both_ways),
	};
	return cmocka_run_group_tests_name("frame ways", tests, NULL, NULL) ? 1 : 0;
}
