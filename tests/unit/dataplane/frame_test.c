// SPDX-License-Identifier: BSD-3-Clause
#include <pollux/counters.h>

#include "checksum.h"
#include "packet.h"

static const uint16_t no_tags[] = { 0 };
static const uint16_t vlan[] = { 0x8100, 0x2005, 0 };
static const uint16_t qinq[] = { 0x88a8, 7, 0x8100, 9, 0 };
static const uint16_t three_tags[] = { 0x88a8, 7, 0x8100, 9, 0x8100, 10, 0 };
static const uint16_t *const tag_lists[] = { no_tags, vlan, qinq };

static void a_question_is_found_behind_any_tags(void **state)
{
	(void)state;
	struct station station = test_station();
	for (unsigned t = 0; t < 3; t++) {
		for (unsigned v6 = 0; v6 < 2; v6++) {
			struct packet packet;
			(v6 ? make_query6 : make_query4)(&packet, tag_lists[t]);
			struct frame frame = frame_of(&packet);
			assert_int_equal(frame_check(&station, &frame, 0), COUNTER_answer_dns);
			assert_int_equal(frame.network_at, 14 + 4 * t);
			assert_int_equal(frame.length - frame.payload_at, QUESTION_BYTES);
			assert_memory_equal(frame.bytes + frame.payload_at, question, QUESTION_BYTES);
		}
	}
}

static void three_tags_are_too_many(void **state)
{
	(void)state;
	struct packet packet;
	make_query4(&packet, three_tags);
	assert_int_equal(verdict_of(&packet), COUNTER_drop_ethertype);
}

static void ethernet_padding_is_cut_off(void **state)
{
	(void)state;
	struct station station = test_station();
	struct packet packet;
	make_query4(&packet, no_tags);
	unsigned length = packet.length;
	put(&packet, "\1\2\3\4\5\6\7", 7);
	struct frame frame = frame_of(&packet);
	assert_int_equal(frame_check(&station, &frame, 0), COUNTER_answer_dns);
	assert_int_equal(frame.length, length);
}

static void no_shorter_frame_is_taken_for_a_question(void **state)
{
	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct packet packet;
		(v6 ? make_query6 : make_query4)(&packet, qinq);
		for (unsigned length = 0; length < packet.length; length++) {
			struct packet cut = packet;
			cut.length = length;
			memset(cut.octet + length, 0, sizeof(cut.octet) - length);
			enum counter verdict = verdict_of(&cut);
			assert_int_equal(counter_info[verdict].class, COUNTS_DROPPED);
		}
	}
}

static void a_foreign_mac_is_dropped_unless_any_will_do(void **state)
{
	(void)state;
	struct station station = test_station();
	struct packet packet;
	make_query4(&packet, no_tags);
	packet.octet[5] ^= 1;
	assert_int_equal(verdict_of(&packet), COUNTER_drop_not_our_mac);
	station_take_any_mac(&station);
	struct frame frame = frame_of(&packet);
	assert_int_equal(frame_check(&station, &frame, 0), COUNTER_answer_dns);
}

static void a_question_in_a_broadcast_frame_is_dropped(void **state)
{
	(void)state;
	struct packet packet;
	make_query4(&packet, no_tags);
	memset(packet.octet, 0xff, 6);
	assert_int_equal(verdict_of(&packet), COUNTER_drop_not_our_mac);
}

static void other_addresses_are_not_ours(void **state)
{
	(void)state;
	struct packet packet;
	put_ether(&packet, our_mac, peer_mac, no_tags, 0x0800);
	put_ip4(&packet, peer4, "198.18.0.54", 17, NULL, 0);
	put_udp(&packet, 4321, 53, question, QUESTION_BYTES);
	assert_int_equal(verdict_of(&packet), COUNTER_drop_ip_not_ours);
	put_ether(&packet, our_mac, peer_mac, no_tags, 0x86dd);
	put_ip6(&packet, peer6, "2001:db8:53::54", 17, 64);
	put_udp(&packet, 4321, 53, question, QUESTION_BYTES);
	assert_int_equal(verdict_of(&packet), COUNTER_drop_ip_not_ours);
}

static void impossible_sources_are_dropped(void **state)
{
	(void)state;
	static const char *const bad4[] = { "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255",
		"198.18.0.53" };
	static const char *const bad6[] = { "::", "::1", "ff02::1", "::ffff:198.18.0.1", "2001:db8:53::53" };
	for (unsigned i = 0; i < 5; i++) {
		struct packet packet;
		put_ether(&packet, our_mac, peer_mac, no_tags, 0x0800);
		put_ip4(&packet, bad4[i], our4, 17, NULL, 0);
		put_udp(&packet, 4321, 53, question, QUESTION_BYTES);
		assert_int_equal(verdict_of(&packet), COUNTER_drop_ip_source);
		put_ether(&packet, our_mac, peer_mac, no_tags, 0x86dd);
		put_ip6(&packet, bad6[i], our6, 17, 64);
		put_udp(&packet, 4321, 53, question, QUESTION_BYTES);
		assert_int_equal(verdict_of(&packet), COUNTER_drop_ip_source);
	}
}

static void every_flipped_bit_of_the_ip4_header_is_noticed(void **state)
{
	(void)state;
	struct packet packet;
	make_query4(&packet, no_tags);
	for (unsigned bit = 0; bit < 20 * 8; bit++) {
		struct packet bad = packet;
		bad.octet[14 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(verdict_of(&bad), COUNTER_answer_dns);
	}
	packet.octet[14 + 8]--; // the time to live alone
	assert_int_equal(verdict_of(&packet), COUNTER_drop_ip_checksum);
}

static void a_wrong_udp_checksum_is_dropped_unless_the_port_has_verified_it(void **state)
{
	(void)state;
	struct station station = test_station();
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct packet packet;
		(v6 ? make_query6 : make_query4)(&packet, no_tags);
		packet.octet[packet.length - 1] ^= 1;
		assert_int_equal(verdict_of(&packet), COUNTER_drop_udp_checksum);
		struct frame frame = frame_of(&packet);
		assert_int_equal(frame_check(&station, &frame, TRUST_L4_CHECKSUM), COUNTER_answer_dns);
	}
}

static void no_udp_checksum_is_fine_in_ip4_only(void **state)
{
	(void)state;
	struct packet packet;
	make_query4(&packet, no_tags);
	set16(&packet, packet.l4_at + 6, 0);
	assert_int_equal(verdict_of(&packet), COUNTER_answer_dns);
	make_query6(&packet, no_tags);
	set16(&packet, packet.l4_at + 6, 0);
	assert_int_equal(verdict_of(&packet), COUNTER_drop_udp_checksum);
}

static void impossible_udp_headers_are_dropped(void **state)
{
	(void)state;
	static const struct {
		unsigned at, value;
	} bad[] = { { 0, 0 }, { 2, 0 }, { 4, 7 }, { 4, 0 }, { 4, 9 + QUESTION_BYTES } };
	for (unsigned i = 0; i < 5; i++) {
		struct packet packet;
		make_query4(&packet, no_tags);
		set16(&packet, packet.l4_at + bad[i].at, bad[i].value);
		assert_int_equal(verdict_of(&packet), COUNTER_drop_udp_header);
	}
}

static void octets_behind_the_udp_datagram_are_no_part_of_it(void **state)
{
	(void)state;
	struct station station = test_station();
	struct packet packet;
	make_query4(&packet, no_tags);
	put(&packet, "more", 4);
	finish_ip(&packet);
	struct frame frame = frame_of(&packet);
	assert_int_equal(frame_check(&station, &frame, 0), COUNTER_answer_dns);
	assert_int_equal(frame.length - frame.payload_at, QUESTION_BYTES);
}

static void fragments_are_dropped(void **state)
{
	(void)state;
	static const unsigned offsets[] = { 0x2000, 0x0001, 0x3fff, 0x1000 };
	struct packet packet;
	for (unsigned i = 0; i < 4; i++) {
		make_query4(&packet, no_tags);
		set16(&packet, packet.ip_at + 6, offsets[i]);
		sum_ip4(&packet);
		assert_int_equal(verdict_of(&packet), COUNTER_drop_fragment);
	}
	put_ether(&packet, our_mac, peer_mac, no_tags, 0x86dd);
	put_ip6(&packet, peer6, our6, 44, 64);
	put(&packet, "\x11\0\0\1\0\0\0\1", 8);
	put_udp(&packet, 4321, 53, question, QUESTION_BYTES);
	assert_int_equal(verdict_of(&packet), COUNTER_drop_fragment);
}

static void dont_fragment_and_the_evil_bit_are_no_fragments(void **state)
{
	(void)state;
	struct packet packet;
	make_query4(&packet, no_tags);
	set16(&packet, packet.ip_at + 6, 0xc000);
	sum_ip4(&packet);
	assert_int_equal(verdict_of(&packet), COUNTER_answer_dns);
}

static void tcp_and_foreign_udp_ports_are_punted(void **state)
{
	(void)state;
	struct packet packet;
	put_ether(&packet, our_mac, peer_mac, vlan, 0x0800);
	put_ip4(&packet, peer4, our4, 6, NULL, 0);
	put(&packet, question, 20);
	finish_ip(&packet);
	assert_int_equal(verdict_of(&packet), COUNTER_punt);
	put_ether(&packet, our_mac, peer_mac, no_tags, 0x86dd);
	put_ip6(&packet, peer6, our6, 17, 64);
	put_udp(&packet, 53, 4321, question, QUESTION_BYTES);
	assert_int_equal(verdict_of(&packet), COUNTER_punt);
}

static void other_protocols_are_dropped(void **state)
{
	(void)state;
	struct packet packet;
	put_ether(&packet, our_mac, peer_mac, no_tags, 0x0800);
	put_ip4(&packet, peer4, our4, 132, NULL, 0);
	put(&packet, question, 20);
	finish_ip(&packet);
	assert_int_equal(verdict_of(&packet), COUNTER_drop_ip_protocol);
	put_ether(&packet, our_mac, peer_mac, no_tags, 0x88cc);
	put(&packet, question, 28);
	assert_int_equal(verdict_of(&packet), COUNTER_drop_ethertype);
}

static void make_extended(struct packet *packet, unsigned first, const uint8_t *headers, unsigned bytes)
{
	put_ether(packet, our_mac, peer_mac, vlan, 0x86dd);
	put_ip6(packet, peer6, our6, first, 64);
	put(packet, headers, bytes);
	packet->l4_at = packet->length;
	put_udp(packet, 4321, 53, question, QUESTION_BYTES);
}

static void options_of_ip6_are_skipped_where_they_may_stand(void **state)
{
	(void)state;
	static const uint8_t hop_then_destination[] = { 60, 0, 1, 4, 0, 0, 0, 0, 17, 1, 1, 12, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t destination_then_hop[] = { 0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0 };
	static const uint8_t too_long[] = { 17, 255, 1, 4, 0, 0, 0, 0 };
	struct packet packet;
	make_extended(&packet, 0, hop_then_destination, sizeof(hop_then_destination));
	assert_int_equal(verdict_of(&packet), COUNTER_answer_dns);
	make_extended(&packet, 60, destination_then_hop, sizeof(destination_then_hop));
	assert_int_equal(verdict_of(&packet), COUNTER_drop_ip_header);
	make_extended(&packet, 60, too_long, sizeof(too_long));
	assert_int_equal(verdict_of(&packet), COUNTER_drop_ip_header);
}

static const char answer[] = "an answer that is a good deal longer than its question was, and odd!";
enum { ANSWER_BYTES = sizeof(answer) - 1 };

static struct packet answered(struct packet *packet, unsigned offload)
{
	struct station station = test_station();
	struct frame frame = frame_of(packet);
	assert_int_equal(frame_check(&station, &frame, 0), COUNTER_answer_dns);
	memcpy(frame.bytes + frame.payload_at, answer, ANSWER_BYTES);
	frame_turn_round(&frame, ANSWER_BYTES, checksum_add(0, answer, ANSWER_BYTES), offload);
	struct packet reply = packet_of(&frame);
	assert_int_equal(frame.payload_at, frame.transport_at + 8);
	assert_ptr_equal(frame.bytes + frame.room, packet->octet + sizeof(packet->octet));
	assert_memory_equal(reply.octet + frame.payload_at, answer, ANSWER_BYTES);
	return reply;
}

static void assert_turned_round(const struct packet *query, const struct packet *reply)
{
	assert_memory_equal(reply->octet, query->octet + 6, 6);
	assert_memory_equal(reply->octet + 6, query->octet, 6);
	assert_memory_equal(reply->octet + 12, query->octet + 12, query->ip_at - 12);
	assert_int_equal(get16(reply, reply->l4_at), 53);
	assert_int_equal(get16(reply, reply->l4_at + 2), 4321);
	assert_int_equal(get16(reply, reply->l4_at + 4), 8 + ANSWER_BYTES);
	assert_int_equal(reply->length, reply->l4_at + 8 + ANSWER_BYTES);
}

static void an_ip4_answer_goes_back_with_its_tags_and_full_checksums(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 3; t++) {
		struct packet packet, kept;
		make_query4(&packet, tag_lists[t]);
		kept = packet;
		struct packet reply = answered(&packet, 0);
		assert_turned_round(&kept, &reply);
		assert_address(&reply, reply.ip_at + 12, AF_INET, our4);
		assert_address(&reply, reply.ip_at + 16, AF_INET, peer4);
		assert_int_equal(reply.octet[reply.ip_at], 0x45);
		assert_int_equal(get16(&reply, reply.ip_at + 2), 28 + ANSWER_BYTES);
		assert_int_equal(get16(&reply, reply.ip_at + 6), 0x4000);
		assert_int_equal(get16(&reply, reply.ip_at + 8), 64 << 8 | 17);
		assert_int_equal(plain_sum(reply.octet + reply.ip_at, 20, 0), 0xffff);
		assert_int_not_equal(get16(&reply, reply.l4_at + 6), 0);
		assert_int_equal(l4_sum(&reply, 17, 8 + ANSWER_BYTES), 0xffff);
	}
}

static void an_ip6_answer_goes_back_with_its_tags_and_a_full_checksum(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 3; t++) {
		struct packet packet, kept;
		make_query6(&packet, tag_lists[t]);
		kept = packet;
		struct packet reply = answered(&packet, 0);
		assert_turned_round(&kept, &reply);
		assert_address(&reply, reply.ip_at + 8, AF_INET6, our6);
		assert_address(&reply, reply.ip_at + 24, AF_INET6, peer6);
		assert_memory_equal(reply.octet + reply.ip_at, "\x60\0\0", 4);
		assert_int_equal(get16(&reply, reply.ip_at + 4), 8 + ANSWER_BYTES);
		assert_int_equal(get16(&reply, reply.ip_at + 6), 17 << 8 | 64);
		assert_int_equal(l4_sum(&reply, 17, 8 + ANSWER_BYTES), 0xffff);
	}
}

static void options_and_extension_headers_do_not_go_back(void **state)
{
	(void)state;
	static const uint8_t options[8] = { 1, 1, 1, 1, 1, 1, 1, 0 };
	static const uint8_t hop[] = { 17, 0, 1, 4, 0, 0, 0, 0 };
	struct packet packet, kept;
	put_ether(&packet, our_mac, peer_mac, qinq, 0x0800);
	put_ip4(&packet, peer4, our4, 17, options, sizeof(options));
	put_udp(&packet, 4321, 53, question, QUESTION_BYTES);
	kept = packet;
	struct packet reply = answered(&packet, 0);
	assert_turned_round(&kept, &reply);
	assert_int_equal(reply.l4_at - reply.ip_at, 20);
	assert_int_equal(plain_sum(reply.octet + reply.ip_at, 20, 0), 0xffff);
	assert_int_equal(l4_sum(&reply, 17, 8 + ANSWER_BYTES), 0xffff);
	make_extended(&packet, 0, hop, sizeof(hop));
	kept = packet;
	reply = answered(&packet, 0);
	assert_turned_round(&kept, &reply);
	assert_int_equal(reply.l4_at - reply.ip_at, 40);
	assert_int_equal(reply.octet[reply.ip_at + 6], 17);
	assert_int_equal(l4_sum(&reply, 17, 8 + ANSWER_BYTES), 0xffff);
}

static void a_computed_checksum_of_zero_is_sent_as_ones(void **state)
{
	(void)state;
	struct station station = test_station();
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct packet packet;
		(v6 ? make_query6 : make_query4)(&packet, no_tags);
		struct packet again = packet;
		struct frame frame = frame_of(&packet);
		assert_int_equal(frame_check(&station, &frame, 0), COUNTER_answer_dns);
		memset(frame.bytes + frame.payload_at, 0, 12);
		frame_turn_round(&frame, 12, checksum_add(0, frame.bytes + frame.payload_at, 12), 0);
		// The payload that brings the sum to zero holds the checksum of the one without.
		uint8_t sum[2];
		memcpy(sum, frame.bytes + frame.transport_at + 6, 2);
		frame = frame_of(&again);
		assert_int_equal(frame_check(&station, &frame, 0), COUNTER_answer_dns);
		memset(frame.bytes + frame.payload_at, 0, 12);
		memcpy(frame.bytes + frame.payload_at, sum, 2);
		frame_turn_round(&frame, 12, checksum_add(0, frame.bytes + frame.payload_at, 12), 0);
		assert_memory_equal(frame.bytes + frame.transport_at + 6, "\xff\xff", 2);
	}
}

// The sums of addresses, ports and payloads of every size, carries and all.
static void any_reply_has_the_checksums_of_its_octets(void **state)
{
	(void)state;
	struct station station = test_station();
	uint32_t seed = 7;
	for (unsigned round = 0; round < 20000; round++) {
		struct packet packet = { .length = 0 };
		(round & 1 ? make_query6 : make_query4)(&packet, tag_lists[round % 3]);
		struct frame frame = frame_of(&packet);
		assert_int_equal(frame_check(&station, &frame, 0), COUNTER_answer_dns);
		uint8_t *payload = frame.bytes + frame.payload_at,
			*peer = frame.bytes + frame.network_at + (round & 1 ? 8 : 12);
		unsigned bytes = 12 + round % 1400;
		for (unsigned i = 0; i < bytes + 4; i++) {
			seed = seed * 1664525 + 1013904223;
			uint8_t octet = round % 5 ? (uint8_t)(seed >> 24) : 0xff;
			*(i < bytes ? payload + i : peer + i - bytes) = octet;
		}
		memcpy(frame.bytes + frame.transport_at, peer, 2); // any port
		frame_turn_round(&frame, bytes, checksum_add(0, payload, bytes), 0);
		struct packet reply = packet_of(&frame);
		assert_int_equal(reply.length, reply.l4_at + 8 + bytes);
		assert_int_equal(l4_sum(&reply, 17, 8 + bytes), 0xffff);
		assert_int_not_equal(get16(&reply, reply.l4_at + 6), 0);
		if (!(round & 1))
			assert_int_equal(plain_sum(reply.octet + reply.ip_at, 20, 0), 0xffff);
	}
}

static void a_port_that_sums_by_itself_gets_the_pseudo_header_only(void **state)
{
	(void)state;
	struct packet packet;
	make_query4(&packet, no_tags);
	struct packet reply = answered(&packet, OFFLOAD_IP4_CHECKSUM | OFFLOAD_UDP_CHECKSUM);
	assert_int_equal(get16(&reply, reply.ip_at + 10), 0);
	uint8_t rest[4] = { 0, 17, 0, 8 + ANSWER_BYTES };
	unsigned pseudo = plain_sum(rest, 4, plain_sum(reply.octet + reply.ip_at + 12, 8, 0));
	assert_int_equal(get16(&reply, reply.l4_at + 6), pseudo);
	// What the port makes of it is right.
	set16(&reply, reply.l4_at + 6, ~plain_sum(reply.octet + reply.l4_at, 8 + ANSWER_BYTES, 0) & 0xffff);
	assert_int_equal(l4_sum(&reply, 17, 8 + ANSWER_BYTES), 0xffff);
}

static void offsets_of_others_must_be_possible(void **state)
{
	(void)state;
	struct packet packet;
	make_query4(&packet, vlan);
	struct frame frame = frame_of(&packet);
	assert_true(frame_trust_offsets(&frame, 18, 46));
	assert_int_equal(frame.transport_at, 38);
	assert_false(frame_trust_offsets(&frame, 13, 46));
	assert_false(frame_trust_offsets(&frame, 18, 45));
	assert_false(frame_trust_offsets(&frame, 18, packet.length + 1));
	packet.octet[18] = 0x60; // an IPv6 header has no room there
	assert_false(frame_trust_offsets(&frame, 18, 46));
	packet.octet[18] = 0x00;
	assert_false(frame_trust_offsets(&frame, 18, 46));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_found_behind_any_tags),
		cmocka_unit_test(three_tags_are_too_many),
		cmocka_unit_test(ethernet_padding_is_cut_off),
		cmocka_unit_test(no_shorter_frame_is_taken_for_a_question),
		cmocka_unit_test(a_foreign_mac_is_dropped_unless_any_will_do),
		cmocka_unit_test(a_question_in_a_broadcast_frame_is_dropped),
		cmocka_unit_test(other_addresses_are_not_ours),
		cmocka_unit_test(impossible_sources_are_dropped),
		cmocka_unit_test(every_flipped_bit_of_the_ip4_header_is_noticed),
		cmocka_unit_test(a_wrong_udp_checksum_is_dropped_unless_the_port_has_verified_it),
		cmocka_unit_test(no_udp_checksum_is_fine_in_ip4_only),
		cmocka_unit_test(impossible_udp_headers_are_dropped),
		cmocka_unit_test(octets_behind_the_udp_datagram_are_no_part_of_it),
		cmocka_unit_test(fragments_are_dropped),
		cmocka_unit_test(dont_fragment_and_the_evil_bit_are_no_fragments),
		cmocka_unit_test(tcp_and_foreign_udp_ports_are_punted),
		cmocka_unit_test(other_protocols_are_dropped),
		cmocka_unit_test(options_of_ip6_are_skipped_where_they_may_stand),
		cmocka_unit_test(an_ip4_answer_goes_back_with_its_tags_and_full_checksums),
		cmocka_unit_test(an_ip6_answer_goes_back_with_its_tags_and_a_full_checksum),
		cmocka_unit_test(options_and_extension_headers_do_not_go_back),
		cmocka_unit_test(a_computed_checksum_of_zero_is_sent_as_ones),
		cmocka_unit_test(any_reply_has_the_checksums_of_its_octets),
		cmocka_unit_test(a_port_that_sums_by_itself_gets_the_pseudo_header_only),
		cmocka_unit_test(offsets_of_others_must_be_possible),
	};
	return cmocka_run_group_tests_name("frame", tests, NULL, NULL) ? 1 : 0;
}
