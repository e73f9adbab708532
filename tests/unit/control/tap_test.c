// SPDX-License-Identifier: BSD-3-Clause
// The TAPs with a side door made here: frames go in as if a worker had punted them, and what the kernel
// sends is looked at octet by octet. Needs the right to make a network namespace.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <pollux/bytes.h>
#include <pollux/counters.h>

#include "tap.h"

// --- a side door --------------------------------------------------------------------------------------

#define KEPT_MAX 256

struct kept {
	unsigned port, bytes;
	uint8_t frame[FRAME_MAX_BYTES];
};

struct side_door {
	side_door_handler *punted;
	void *punted_ctx;
	void (*attached)(void *ctx, const struct stats *);
	void *attached_ctx;
	enum status says;
	unsigned kept_count;
	struct kept kept[KEPT_MAX];
};

void side_door_on(struct side_door *door, enum msg_type type, side_door_handler *run, void *ctx)
{
	assert_int_equal(type, MSG_PUNT);
	door->punted = run;
	door->punted_ctx = ctx;
}

void side_door_on_attach(struct side_door *door, void (*attached)(void *ctx, const struct stats *), void *ctx)
{
	door->attached = attached;
	door->attached_ctx = ctx;
}

enum status side_door_frame(struct side_door *door, unsigned port, const uint8_t *frame, unsigned bytes)
{
	assert_in_range(door->kept_count, 0, KEPT_MAX - 1);
	struct kept *kept = &door->kept[door->kept_count];
	kept->port = port;
	kept->bytes = bytes;
	memcpy(kept->frame, frame, bytes);
	if (door->says == ST_OK)
		door->kept_count++;
	return door->says;
}

// --- a room with two ports on one link ---------------------------------------------------------------

struct room {
	struct event_base *base;
	struct config config;
	struct port_config ports[2];
	struct side_door door;
	struct stats *stats;
	struct tap *tap;
	int listener4, listener6;
};

static const uint8_t client_mac[6] = { 2, 0xcc, 0, 0, 0, 1 }, router_mac[6] = { 2, 0xcc, 0, 0, 0, 0xfe };

static struct ip_prefix prefix(const char *text, uint8_t length)
{
	struct ip_prefix p = { .family = strchr(text, ':') ? AF_INET6 : AF_INET, .length = length };
	assert_int_equal(inet_pton(p.family, text, p.bytes), 1);
	return p;
}

static struct ip_endpoint endpoint(const char *text)
{
	struct ip_prefix p = prefix(text, 0);
	struct ip_endpoint e = { .family = p.family };
	memcpy(e.bytes, p.bytes, sizeof(e.bytes));
	return e;
}

static struct ip_prefix addresses[2][2];
static struct ip_endpoint gateways[2];

static int listen_inside(struct tap *tap, int family)
{
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(53) };
	struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(53) };
	int on = 1, fd = tap_socket(tap, family, SOCK_STREAM);
	assert_true(fd >= 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (family == AF_INET)
		assert_int_equal(bind(fd, (struct sockaddr *)&any4, sizeof(any4)), 0);
	else
		assert_int_equal(bind(fd, (struct sockaddr *)&any6, sizeof(any6)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void attach(struct room *room, uint8_t last_octet)
{
	room->stats->ports = 2;
	for (unsigned i = 0; i < 2; i++) {
		memcpy(room->stats->port[i].mac, ((uint8_t[]){ 2, 0xaa, 0, 0, (uint8_t)i, last_octet }), 6);
		room->stats->port[i].link_up = true;
	}
	room->door.attached(room->door.attached_ctx, room->stats);
}

static int open_room(void **state)
{
	struct room *room = calloc(1, sizeof(*room));
	room->base = event_base_new();
	room->stats = calloc(1, sizeof(*room->stats));
	addresses[0][0] = prefix("198.18.0.53", 24);
	addresses[0][1] = prefix("2001:db8:53::53", 64);
	addresses[1][0] = prefix("198.18.0.54", 24);
	addresses[1][1] = prefix("2001:db8:53::54", 64);
	gateways[0] = endpoint("198.18.0.254");
	gateways[1] = endpoint("2001:db8:53::fe");
	for (unsigned i = 0; i < 2; i++)
		room->ports[i] = (struct port_config){ .addresses = addresses[i],
			.address_count = 2,
			.gateways = gateways,
			.gateway_count = 2,
			.mtu = 1500 };
	room->config = (struct config){ .ports = room->ports, .port_count = 2, .service_port = 53 };
	assert_int_equal(tap_new(&room->tap, room->base, &room->config, &room->door), ST_OK);
	room->listener4 = listen_inside(room->tap, AF_INET);
	room->listener6 = listen_inside(room->tap, AF_INET6);
	attach(room, 1);
	*state = room;
	return 0;
}

static int close_room(void **state)
{
	struct room *room = *state;
	close(room->listener4);
	close(room->listener6);
	tap_free(room->tap);
	event_base_free(room->base);
	free(room->stats);
	free(room);
	return 0;
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void settle(struct room *room, double for_seconds)
{
	for (double end = seconds() + for_seconds; seconds() < end;)
		event_base_loop(room->base, EVLOOP_NONBLOCK);
}

// --- frames -------------------------------------------------------------------------------------------

struct frame {
	unsigned bytes;
	uint8_t at[FRAME_MAX_BYTES];
};

static void put(struct frame *f, const void *bytes, unsigned count)
{
	memcpy(f->at + f->bytes, bytes, count);
	f->bytes += count;
}

static uint32_t sum_of(const uint8_t *p, unsigned count)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < count; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static unsigned address_bytes(int family)
{
	return family == AF_INET ? 4 : 16;
}

// The IP header's source, destination follows.
static unsigned source_at(int family)
{
	return family == AF_INET ? 14 + 12 : 14 + 8;
}

static unsigned transport_at(int family)
{
	return family == AF_INET ? 34 : 54;
}

static uint32_t pseudo_sum(const struct frame *f, int family, uint8_t protocol)
{
	return sum_of(f->at + source_at(family), 2 * address_bytes(family)) + protocol + f->bytes -
	       transport_at(family);
}

static void put_ip(struct frame *f, const uint8_t *to_mac, const struct ip_prefix *from,
	const struct ip_prefix *to, uint8_t protocol, unsigned payload)
{
	put(f, to_mac, 6);
	put(f, client_mac, 6);
	if (from->family == AF_INET) {
		uint8_t ip[20] = { 0x45, 0, (uint8_t)((20 + payload) >> 8), (uint8_t)(20 + payload), 0, 0,
			0x40, 0, 64, protocol };
		memcpy(ip + 12, from->bytes, 4);
		memcpy(ip + 16, to->bytes, 4);
		store_be16(ip + 10, (uint16_t)~folded(sum_of(ip, 20)));
		put(f, "\x08\x00", 2);
		put(f, ip, 20);
	} else {
		uint8_t ip[40] = { 0x60, 0, 0, 0, (uint8_t)(payload >> 8), (uint8_t)payload, protocol, 255 };
		memcpy(ip + 8, from->bytes, 16);
		memcpy(ip + 24, to->bytes, 16);
		put(f, "\x86\xdd", 2);
		put(f, ip, 40);
	}
}

enum sum { PARTIAL, WHOLE, WRONG };

static void put_sum(struct frame *f, int family, uint8_t protocol, unsigned field, enum sum kind)
{
	uint32_t pseudo = pseudo_sum(f, family, protocol);
	unsigned at = transport_at(family);
	uint16_t whole = (uint16_t)~folded(pseudo + sum_of(f->at + at, f->bytes - at));
	store_be16(f->at + at + field, kind == PARTIAL ? folded(pseudo)
				       : kind == WHOLE ? whole
						       : (uint16_t)(whole + 1));
}

static const uint8_t port0_mac[6] = { 2, 0xaa, 0, 0, 0, 1 };

static struct frame syn(const char *from, const char *to, uint16_t from_port, enum sum kind)
{
	struct frame f = { 0 };
	struct ip_prefix source = prefix(from, 0), target = prefix(to, 0);
	uint8_t tcp[20] = { (uint8_t)(from_port >> 8), (uint8_t)from_port, 0, 53, 0, 0, 0, 9, 0, 0, 0, 0,
		0x50, 2, 0xff };
	put_ip(&f, port0_mac, &source, &target, IPPROTO_TCP, sizeof(tcp));
	put(&f, tcp, sizeof(tcp));
	put_sum(&f, source.family, IPPROTO_TCP, 16, kind);
	return f;
}

static void punt(struct room *room, unsigned port, const struct frame *f)
{
	struct msg msg = { .type = MSG_PUNT, .bytes = (uint16_t)f->bytes, .port = (uint16_t)port };
	room->door.punted(room->door.punted_ctx, &msg, f->at);
}

// Who has that address: the answer of a neighbour with this MAC.
static void answer_arp(struct room *room, const struct kept *question, const uint8_t *mac)
{
	struct frame f = { 0 };
	put(&f, question->frame + 6, 6);
	put(&f, mac, 6);
	put(&f, "\x08\x06\0\1\x08\0\6\4\0\2", 10);
	put(&f, mac, 6);
	put(&f, question->frame + 38, 4);
	put(&f, question->frame + 22, 10);
	punt(room, question->port, &f);
}

// RFC 4861 4.4, with the target's link-layer address option.
static void answer_solicitation(struct room *room, const struct kept *question, const uint8_t *mac)
{
	struct frame f = { 0 };
	struct ip_prefix source = { .family = AF_INET6 }, target = { .family = AF_INET6 };
	memcpy(source.bytes, question->frame + 14 + 40 + 8, 16);
	memcpy(target.bytes, question->frame + 14 + 8, 16);
	put_ip(&f, question->frame + 6, &source, &target, IPPROTO_ICMPV6, 32);
	put(&f, "\x88\0\0\0\x60\0\0\0", 8);
	put(&f, source.bytes, 16);
	put(&f, "\2\1", 2);
	put(&f, mac, 6);
	put_sum(&f, AF_INET6, IPPROTO_ICMPV6, 2, WHOLE);
	punt(room, question->port, &f);
}

static bool is_arp_question(const struct kept *k)
{
	return load_be16(k->frame + 12) == 0x0806 && k->frame[21] == 1;
}

static bool is_solicitation(const struct kept *k)
{
	return load_be16(k->frame + 12) == 0x86dd && k->frame[20] == IPPROTO_ICMPV6 && k->frame[54] == 135;
}

static const uint8_t *mac_of(const uint8_t *address, unsigned bytes)
{
	return address[bytes - 1] == 0xfe ? router_mac : client_mac;
}

static unsigned port_at(const uint8_t *frame, unsigned at)
{
	return load_be16(frame + transport_at(load_be16(frame + 12) == 0x0800 ? AF_INET : AF_INET6) + at);
}

// Answers the kernel's questions for neighbours until something was sent to that port, or the time is over.
static const struct kept *next_sent(struct room *room, double within_seconds, unsigned to_port)
{
	unsigned seen = 0;
	for (double end = seconds() + within_seconds; seconds() < end;) {
		event_base_loop(room->base, EVLOOP_NONBLOCK);
		while (seen < room->door.kept_count) {
			const struct kept *k = &room->door.kept[seen++];
			if (is_arp_question(k))
				answer_arp(room, k, mac_of(k->frame + 38, 4));
			else if (is_solicitation(k))
				answer_solicitation(room, k, mac_of(k->frame + 62, 16));
			else if (port_at(k->frame, 2) == to_port)
				return k;
		}
	}
	return NULL;
}

// Forgets what was sent so far, and sends a SYN again when nothing comes back, as clients do: a new IPv6
// address takes the kernel a moment.
static const struct kept *answer_to(struct room *room, unsigned port, const struct frame *f)
{
	const struct kept *k = NULL;
	for (unsigned i = 0; i < 20 && !k; i++) {
		room->door.kept_count = 0;
		punt(room, port, f);
		k = next_sent(room, 0.3, port_at(f->at, 0));
	}
	return k;
}

static void assert_is_syn_ack(const struct kept *k, int family, unsigned port, const uint8_t *to_mac)
{
	assert_non_null(k);
	assert_int_equal(k->port, port);
	assert_memory_equal(k->frame, to_mac, 6);
	assert_memory_equal(k->frame + 6, ((uint8_t[]){ 2, 0xaa, 0, 0, (uint8_t)port, 1 }), 6);
	assert_int_equal(load_be16(k->frame + 12), family == AF_INET ? 0x0800 : 0x86dd);
	unsigned at = transport_at(family);
	assert_int_equal(load_be16(k->frame + at), 53);
	assert_int_equal(k->frame[at + 13], 0x12); // SYN and ACK
	struct frame f = { .bytes = k->bytes };
	memcpy(f.at, k->frame, k->bytes);
	assert_int_equal(
		folded(pseudo_sum(&f, family, IPPROTO_TCP) + sum_of(f.at + at, f.bytes - at)), 0xffff);
	if (family == AF_INET)
		assert_int_equal(folded(sum_of(f.at + 14, 20)), 0xffff);
}

// --- the rules ----------------------------------------------------------------------------------------

static void a_connection_with_whole_checksums_is_answered_with_whole_ones(void **state)
{
	struct room *room = *state;
	struct frame f = syn("198.18.0.1", "198.18.0.53", 4000, WHOLE);
	assert_is_syn_ack(answer_to(room, 0, &f), AF_INET, 0, client_mac);
	assert_true(tap_counters(room->tap)->frames_in >= 2); // and the neighbour's answer
	assert_true(tap_counters(room->tap)->frames_out >= 2);
}

static void a_checksum_left_to_hardware_is_accepted(void **state)
{
	struct room *room = *state;
	struct frame f = syn("198.18.0.1", "198.18.0.53", 4000, PARTIAL);
	assert_is_syn_ack(answer_to(room, 0, &f), AF_INET, 0, client_mac);
}

static void a_wrong_checksum_is_the_end_of_a_frame(void **state)
{
	struct room *room = *state;
	struct frame f = syn("198.18.0.1", "198.18.0.53", 4000, WRONG);
	punt(room, 0, &f);
	assert_null(next_sent(room, 0.3, port_at(f.at, 0)));
}

static void ipv6_works_alike(void **state)
{
	struct room *room = *state;
	struct frame f = syn("2001:db8:53::1", "2001:db8:53::53", 4000, PARTIAL);
	assert_is_syn_ack(answer_to(room, 0, &f), AF_INET6, 0, client_mac);
	f = syn("2001:db8:53::1", "2001:db8:53::53", 4001, WRONG);
	punt(room, 0, &f);
	assert_null(next_sent(room, 0.3, port_at(f.at, 0)));
	f = syn("2001:db8:53::1", "2001:db8:53::53", 4002, WHOLE);
	assert_is_syn_ack(answer_to(room, 0, &f), AF_INET6, 0, client_mac);
}

static void a_distant_client_is_answered_by_way_of_the_gateway(void **state)
{
	struct room *room = *state;
	struct frame f = syn("192.0.2.7", "198.18.0.53", 4000, WHOLE);
	assert_is_syn_ack(answer_to(room, 0, &f), AF_INET, 0, router_mac);
	f = syn("2001:db8:ffff::1", "2001:db8:53::53", 4000, WHOLE);
	assert_is_syn_ack(answer_to(room, 0, &f), AF_INET6, 0, router_mac);
}

static void ports_with_the_same_prefix_answer_each_for_their_own_address(void **state)
{
	struct room *room = *state;
	struct frame f = syn("198.18.0.1", "198.18.0.54", 4000, WHOLE);
	memcpy(f.at, room->stats->port[1].mac, 6);
	assert_is_syn_ack(answer_to(room, 1, &f), AF_INET, 1, client_mac);
	f = syn("2001:db8:ffff::1", "2001:db8:53::54", 4000, WHOLE);
	memcpy(f.at, room->stats->port[1].mac, 6);
	assert_is_syn_ack(answer_to(room, 1, &f), AF_INET6, 1, router_mac);
}

static void another_dataplane_may_bring_another_mac(void **state)
{
	struct room *room = *state;
	struct frame f = syn("198.18.0.1", "198.18.0.53", 4000, WHOLE);
	attach(room, 9);
	punt(room, 0, &f); // to the old MAC: not ours any more
	assert_null(next_sent(room, 0.3, 4000));
	f.at[5] = 9;
	const struct kept *k = answer_to(room, 0, &f);
	assert_non_null(k);
	assert_int_equal(k->frame[11], 9);
}

static void sockets_inside_reach_the_world_through_the_ports(void **state)
{
	struct room *room = *state;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(53) };
	inet_pton(AF_INET, "198.18.0.1", &to.sin_addr);
	int fd = tap_socket(room->tap, AF_INET, SOCK_DGRAM);
	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, "question", 8, 0, (struct sockaddr *)&to, sizeof(to)), 8);
	const struct kept *k = next_sent(room, 5, 53);
	assert_non_null(k);
	assert_int_equal(k->port, 0);
	assert_int_equal(k->bytes, 14 + 20 + 8 + 8);
	assert_memory_equal(k->frame + 26, addresses[0][0].bytes, 4);
	assert_memory_equal(k->frame + 42, "question", 8);

	// The answer, as it comes from a veth.
	struct frame f = { 0 };
	struct ip_prefix from = prefix("198.18.0.1", 0), ours = prefix("198.18.0.53", 0);
	uint8_t udp[8] = { 0, 53, k->frame[34], k->frame[35], 0, 14 };
	put_ip(&f, port0_mac, &from, &ours, IPPROTO_UDP, 14);
	put(&f, udp, 8);
	put(&f, "answer", 6);
	put_sum(&f, AF_INET, IPPROTO_UDP, 6, PARTIAL);
	punt(room, 0, &f);
	char got[16];
	assert_int_equal(recv(fd, got, sizeof(got), 0), 6);
	assert_memory_equal(got, "answer", 6);
	close(fd);
}

static const struct kept *sent_by_socket(struct room *room, const char *address)
{
	struct ip_prefix target = prefix(address, 0);
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(53) };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(53) };
	memcpy(&to4.sin_addr, target.bytes, 4);
	memcpy(&to6.sin6_addr, target.bytes, 16);
	bool ip4 = target.family == AF_INET;
	room->door.kept_count = 0;
	int fd = tap_socket(room->tap, target.family, SOCK_DGRAM);
	assert_true(fd >= 0);
	sendto(fd, "question", 8, 0, ip4 ? (void *)&to4 : (void *)&to6, ip4 ? sizeof(to4) : sizeof(to6));
	const struct kept *k = next_sent(room, 0.3, 53);
	close(fd);
	return k;
}

// The kernel follows a link within a second or so.
static void await_way(struct room *room, const char *address, unsigned port)
{
	const struct kept *k = NULL;
	for (double end = seconds() + 10; !k || k->port != port; k = sent_by_socket(room, address))
		assert_true(seconds() < end);
	if (strchr(address, ':'))
		assert_memory_equal(k->frame + 22, addresses[port][1].bytes, 16);
	else
		assert_memory_equal(k->frame + 26, addresses[port][0].bytes, 4);
}

static void while_a_link_is_down_sockets_take_another_port(void **state)
{
	struct room *room = *state;
	// On the link, and behind its gateway.
	static const char *const to[] = { "198.18.0.1", "198.19.0.1", "2001:db8:53::1" };
	for (unsigned rounds = 2; rounds--;) {
		room->stats->port[0].link_up = true;
		room->door.attached(room->door.attached_ctx, room->stats);
		for (unsigned i = 0; i < sizeof(to) / sizeof(to[0]); i++)
			await_way(room, to[i], 0);
		room->stats->port[0].link_up = false;
		room->door.attached(room->door.attached_ctx, room->stats);
		for (unsigned i = 0; i < sizeof(to) / sizeof(to[0]); i++)
			await_way(room, to[i], 1);
	}
	room->stats->port[1].link_up = false; // none is better than the other
	room->door.attached(room->door.attached_ctx, room->stats);
	await_way(room, to[0], 0);
}

// With the tags of the SYN again, and the neighbour's answer tagged alike. It is asked for without tags, too.
static void a_tagged_client_is_answered_with_its_tags(void **state)
{
	struct room *room = *state;
	struct frame f = syn("198.18.0.1", "198.18.0.53", 4000, PARTIAL), tagged = { 0 };
	static const uint8_t tags[8] = { 0x88, 0xa8, 0, 5, 0x81, 0, 0x20, 6 };
	put(&tagged, f.at, 12);
	put(&tagged, tags, 8);
	put(&tagged, f.at + 12, f.bytes - 12);
	punt(room, 0, &tagged);
	const struct kept *arp = &room->door.kept[0];
	for (double end = seconds() + 5; room->door.kept_count < 2;) {
		assert_true(seconds() < end);
		event_base_loop(room->base, EVLOOP_NONBLOCK);
	}
	assert_memory_equal(arp->frame + 12, tags, 8);
	assert_int_equal(load_be16(arp->frame + 20), 0x0806);
	assert_int_equal(arp[1].bytes, arp->bytes - 8);
	assert_memory_equal(arp[1].frame, arp->frame, 12);
	assert_memory_equal(arp[1].frame + 12, arp->frame + 20, arp[1].bytes - 12);

	struct kept plain = { .bytes = arp->bytes - 8 };
	struct frame answer = { 0 };
	memcpy(plain.frame, arp->frame, 12);
	memcpy(plain.frame + 12, arp->frame + 20, plain.bytes - 12);
	put(&answer, plain.frame + 6, 6);
	put(&answer, client_mac, 6);
	put(&answer, tags, 8);
	put(&answer, "\x08\x06\0\1\x08\0\6\4\0\2", 10);
	put(&answer, client_mac, 6);
	put(&answer, plain.frame + 38, 4);
	put(&answer, plain.frame + 22, 10);
	punt(room, 0, &answer);
	for (double end = seconds() + 5; room->door.kept_count < 3;) {
		assert_true(seconds() < end);
		event_base_loop(room->base, EVLOOP_NONBLOCK);
	}
	struct kept last = { .bytes = room->door.kept[2].bytes - 8 };
	assert_memory_equal(room->door.kept[2].frame + 12, tags, 8);
	memcpy(last.frame, room->door.kept[2].frame, 12);
	memcpy(last.frame + 12, room->door.kept[2].frame + 20, last.bytes - 12);
	assert_is_syn_ack(&last, AF_INET, 0, client_mac);
}

static void a_silent_kernel_sends_nothing(void **state)
{
	struct room *room = *state;
	settle(room, 1.2);
	assert_int_equal(room->door.kept_count, 0);
}

static void without_a_dataplane_frames_are_counted_and_dropped(void **state)
{
	struct room *room = *state;
	struct frame f = syn("198.18.0.1", "198.18.0.53", 4000, WHOLE);
	room->door.says = ST_NOT_FOUND;
	punt(room, 0, &f);
	for (double end = seconds() + 5; !tap_counters(room->tap)->dropped_out;) {
		assert_true(seconds() < end);
		event_base_loop(room->base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(tap_counters(room->tap)->frames_out, 0);
}

static void frames_of_unknown_ports_are_counted_and_dropped(void **state)
{
	struct room *room = *state;
	struct frame f = syn("198.18.0.1", "198.18.0.53", 4000, WHOLE);
	punt(room, 2, &f);
	assert_int_equal(tap_counters(room->tap)->dropped_in, 1);
}

static ino_t namespace_now(void)
{
	struct stat st;
	assert_int_equal(stat("/proc/thread-self/ns/net", &st), 0);
	return st.st_ino;
}

static void the_process_stays_in_its_own_namespace(void **state)
{
	struct room *room = *state;
	ino_t before = namespace_now();
	struct tap *second;
	struct side_door *door = calloc(1, sizeof(*door));
	assert_int_equal(tap_new(&second, room->base, &room->config, door), ST_OK);
	assert_int_equal(namespace_now(), before);
	int fd = tap_socket(second, AF_INET6, SOCK_DGRAM);
	assert_true(fd >= 0);
	assert_int_equal(namespace_now(), before);
	close(fd);
	tap_free(second);
	free(door);
}

static bool may_make_namespaces(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(unshare(CLONE_NEWNET) || access("/dev/net/tun", R_OK | W_OK) ? 1 : 0);
	int ended = 1;
	return child > 0 && waitpid(child, &ended, 0) == child && ended == 0;
}

#define RULE(f) cmocka_unit_test_setup_teardown(f, open_room, close_room)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(a_connection_with_whole_checksums_is_answered_with_whole_ones),
		RULE(a_checksum_left_to_hardware_is_accepted),
		RULE(a_wrong_checksum_is_the_end_of_a_frame),
		RULE(ipv6_works_alike),
		RULE(a_distant_client_is_answered_by_way_of_the_gateway),
		RULE(ports_with_the_same_prefix_answer_each_for_their_own_address),
		RULE(another_dataplane_may_bring_another_mac),
		RULE(sockets_inside_reach_the_world_through_the_ports),
		RULE(while_a_link_is_down_sockets_take_another_port),
		RULE(a_tagged_client_is_answered_with_its_tags),
		RULE(a_silent_kernel_sends_nothing),
		RULE(without_a_dataplane_frames_are_counted_and_dropped),
		RULE(frames_of_unknown_ports_are_counted_and_dropped),
		RULE(the_process_stays_in_its_own_namespace),
	};
	if (!may_make_namespaces()) {
		puts("1..0 # SKIP needs root: a network namespace and /dev/net/tun"); // one plan, no tests:
										      // TAP's skip
		return 0;
	}
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	return r ? 1 : 0;
}
