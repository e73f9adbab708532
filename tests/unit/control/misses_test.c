// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pollux/bytes.h>

#include "misses.h"

// The side door and the chain, as far as misses see them.
static side_door_handler *handler;
static void *handler_ctx;
static enum status reply_status;
static unsigned replies;
static struct msg replied_msg;
static uint8_t replied_headers[128], replied_dns[512];
static unsigned replied_bytes;

void side_door_on(struct side_door *door, enum msg_type type, side_door_handler *run, void *ctx)
{
	(void)door;
	assert_int_equal(type, MSG_MISS);
	handler = run;
	handler_ctx = ctx;
}

enum status side_door_reply(struct side_door *door, const struct msg *miss, const uint8_t *headers,
	const uint8_t *dns, unsigned dns_bytes)
{
	(void)door;
	replies++;
	replied_msg = *miss;
	memcpy(replied_headers, headers, miss->dns_at);
	memcpy(replied_dns, dns, dns_bytes);
	replied_bytes = dns_bytes;
	return reply_status;
}

static unsigned settled;

enum status side_door_settle(struct side_door *door, const struct msg *miss, const uint8_t *headers)
{
	(void)door;
	(void)headers;
	assert_int_equal(miss->type, MSG_MISS);
	settled++;
	return ST_OK;
}

static struct stats stats;

const struct stats *side_door_stats(const struct side_door *door)
{
	(void)door;
	return &stats;
}

static unsigned questions;
static struct asker asker;
static uint8_t question[512];
static unsigned question_bytes;
static ask_done *answer;
static void *answer_ctx;

void resolver_ask(struct resolver *r, const struct asker *who, const uint8_t *wire, unsigned bytes,
	ask_done *done, void *ctx)
{
	(void)r;
	questions++;
	asker = *who;
	memcpy(question, wire, bytes);
	question_bytes = bytes;
	answer = done;
	answer_ctx = ctx;
}

static struct misses *misses;

static int set_up(void **state)
{
	(void)state;
	reply_status = ST_OK;
	replies = questions = settled = 0;
	misses = misses_new(NULL, NULL);
	return misses && handler ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	misses_free(misses);
	return handler ? -1 : 0;
}

static uint8_t frame[256];

// Ethernet, IP and UDP from port 4660, then 5 octets of message and `padding` of none.
static struct msg make_frame(unsigned ip_header_bytes, unsigned padding)
{
	struct writer w = writer_of(frame, sizeof(frame));
	memset(frame, 0xee, sizeof(frame));
	w.at += 14;
	*w.at = ip_header_bytes == 40 ? 0x60 : 0x45;
	memcpy(w.at + (ip_header_bytes == 40 ? 8 : 12), "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1",
		ip_header_bytes == 40 ? 16 : 4);
	w.at += ip_header_bytes;
	write_bytes(&w, "\x12\x34\0\x35\0\x0d\0\0hello", 13);
	return (struct msg){ .type = MSG_MISS,
		.generation = 3,
		.network_at = 14,
		.dns_at = (uint16_t)(14 + ip_header_bytes + 8),
		.bytes = (uint16_t)(writer_bytes(&w) + padding) };
}

static void a_miss_goes_to_the_chain_and_its_answer_back_with_the_headers_it_came_with(void **state)
{
	(void)state;
	struct msg msg = make_frame(20, 0);
	uint8_t copy[sizeof(frame)];
	memcpy(copy, frame, sizeof(frame));
	handler(handler_ctx, &msg, frame);
	assert_int_equal(questions, 1);
	assert_int_equal(asker.transport, OVER_UDP);
	const struct sockaddr_in *ip4 = (const struct sockaddr_in *)&asker.address;
	assert_int_equal(ip4->sin_family, AF_INET);
	assert_int_equal(ntohs(ip4->sin_port), 0x1234);
	assert_memory_equal(&ip4->sin_addr, "\x20\x01\x0d\xb8", 4);
	assert_int_equal(question_bytes, 5);
	assert_memory_equal(question, "hello", 5);
	memset(frame, 0, sizeof(frame)); // the frame is gone by the time the answer comes
	answer(answer_ctx, (const uint8_t *)"world!", 6);
	assert_int_equal(replies, 1);
	assert_memory_equal(&replied_msg, &msg, sizeof(msg));
	assert_memory_equal(replied_headers, copy, msg.dns_at);
	assert_int_equal(replied_bytes, 6);
	assert_memory_equal(replied_dns, "world!", 6);
	assert_int_equal(misses_counters(misses)->replied, 1);
}

static void an_ip6_asker_is_known_by_its_address(void **state)
{
	(void)state;
	struct msg msg = make_frame(40, 0);
	handler(handler_ctx, &msg, frame);
	const struct sockaddr_in6 *ip6 = (const struct sockaddr_in6 *)&asker.address;
	assert_int_equal(ip6->sin6_family, AF_INET6);
	assert_int_equal(ntohs(ip6->sin6_port), 0x1234);
	assert_memory_equal(&ip6->sin6_addr, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	answer(answer_ctx, NULL, 0);
}

static void padding_behind_the_datagram_is_not_part_of_the_question(void **state)
{
	(void)state;
	struct msg msg = make_frame(20, 13);
	handler(handler_ctx, &msg, frame);
	assert_int_equal(question_bytes, 5);
	answer(answer_ctx, NULL, 0);
}

static void an_answer_has_room_in_a_packet_of_the_ports_mtu(void **state)
{
	(void)state;
	static const struct {
		unsigned mtu, header, room;
	} cases[] = { { 1500, 20, 1472 }, { 1500, 40, 1452 }, { 1280, 20, 1252 }, { 1280, 40, 1232 },
		{ 576, 20, 548 }, { 0, 20, 512 } };
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct msg msg = make_frame(cases[i].header, 0);
		msg.port = 3;
		stats.port[3].mtu = (uint16_t)cases[i].mtu;
		handler(handler_ctx, &msg, frame);
		assert_int_equal(asker.room_bytes, cases[i].room);
		answer(answer_ctx, NULL, 0);
	}
}

static void no_answer_and_a_full_ring_are_counted(void **state)
{
	(void)state;
	struct msg msg = make_frame(20, 0);
	handler(handler_ctx, &msg, frame);
	answer(answer_ctx, NULL, 0);
	assert_int_equal(replies, 0);
	handler(handler_ctx, &msg, frame);
	reply_status = ST_FULL;
	answer(answer_ctx, (const uint8_t *)"x", 1);
	assert_int_equal(replies, 1);
	assert_int_equal(misses_counters(misses)->taken, 2);
	assert_int_equal(misses_counters(misses)->unsaid, 2);
	assert_int_equal(misses_counters(misses)->replied, 0);
}

static void headers_without_room_for_ip_and_udp_are_malformed(void **state)
{
	(void)state;
	struct msg msg = make_frame(20, 0);
	msg.network_at = (uint16_t)(msg.dns_at - 27);
	handler(handler_ctx, &msg, frame);
	msg = make_frame(40, 0);
	msg.network_at = (uint16_t)(msg.dns_at - 47);
	frame[msg.network_at] = 0x60;
	handler(handler_ctx, &msg, frame);
	assert_int_equal(questions, 0);
	assert_int_equal(misses_counters(misses)->malformed, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_miss_goes_to_the_chain_and_its_answer_back_with_the_headers_it_came_with),
		TEST(an_ip6_asker_is_known_by_its_address),
		TEST(padding_behind_the_datagram_is_not_part_of_the_question),
		TEST(an_answer_has_room_in_a_packet_of_the_ports_mtu),
		TEST(no_answer_and_a_full_ring_are_counted),
		TEST(headers_without_room_for_ip_and_udp_are_malformed),
	};
	return cmocka_run_group_tests_name("misses", tests, NULL, NULL) ? 1 : 0;
}
