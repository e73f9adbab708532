// SPDX-License-Identifier: BSD-3-Clause
#include "packet.h"

static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t nobody[6];
static const uint16_t vlan[] = { 0x8100, 5, 0 };
static const uint8_t solicited_mac[6] = { 0x33, 0x33, 0xff, 0, 0, 0x53 };
static const char solicited_group[] = "ff02::1:ff00:53";

static void make_arp(struct packet *packet, const uint8_t *to, unsigned operation, const char *sender,
	const uint8_t *target_mac, const char *target)
{
	put_ether(packet, to, peer_mac, vlan, 0x0806);
	put(packet, "\0\1\x08\0\6\4", 6);
	put16(packet, operation);
	put(packet, peer_mac, 6);
	put_address(packet, AF_INET, sender);
	put(packet, target_mac, 6);
	put_address(packet, AF_INET, target);
}

static enum counter check(struct packet *packet, struct packet *reply)
{
	struct station station = test_station();
	struct frame frame = frame_of(packet);
	enum counter verdict = frame_check(&station, &frame, 0);
	*reply = packet_of(&frame);
	return verdict;
}

static void an_arp_question_for_our_address_is_answered(void **state)
{
	(void)state;
	struct packet packet, reply, expected;
	make_arp(&packet, everybody, 1, peer4, nobody, our4);
	put(&packet, "padding that goes", 14);
	assert_int_equal(check(&packet, &reply), COUNTER_answer_arp);
	put_ether(&expected, peer_mac, our_mac, vlan, 0x0806);
	put(&expected, "\0\1\x08\0\6\4\0\2", 8);
	put(&expected, our_mac, 6);
	put_address(&expected, AF_INET, our4);
	put(&expected, peer_mac, 6);
	put_address(&expected, AF_INET, peer4);
	assert_int_equal(reply.length, expected.length);
	assert_memory_equal(reply.octet, expected.octet, expected.length);
}

static void a_probe_for_our_address_hears_that_it_is_taken(void **state)
{
	(void)state;
	struct packet packet, reply;
	make_arp(&packet, everybody, 1, "0.0.0.0", nobody, our4);
	assert_int_equal(check(&packet, &reply), COUNTER_answer_arp);
	assert_memory_equal(reply.octet, peer_mac, 6);
	assert_address(&reply, reply.ip_at + 14, AF_INET, our4);
}

static void a_neighbour_that_claims_our_address_is_not_argued_with(void **state)
{
	(void)state;
	struct packet packet, reply;
	make_arp(&packet, everybody, 1, our4, nobody, our4);
	assert_int_equal(check(&packet, &reply), COUNTER_drop_arp);
}

static void an_arp_question_for_others_is_dropped(void **state)
{
	(void)state;
	struct packet packet, reply;
	make_arp(&packet, everybody, 1, peer4, nobody, "198.18.0.54");
	assert_int_equal(check(&packet, &reply), COUNTER_drop_arp);
}

static void arp_answers_go_to_the_kernel(void **state)
{
	(void)state;
	struct packet packet, reply;
	make_arp(&packet, our_mac, 2, peer4, our_mac, our4);
	assert_int_equal(check(&packet, &reply), COUNTER_punt);
	make_arp(&packet, everybody, 2, peer4, everybody, peer4);
	assert_int_equal(check(&packet, &reply), COUNTER_punt);
	make_arp(&packet, everybody, 2, peer4, everybody, "198.18.0.77");
	assert_int_equal(check(&packet, &reply), COUNTER_drop_arp);
}

static void malformed_arp_is_dropped(void **state)
{
	(void)state;
	struct packet packet, reply;
	for (unsigned i = 0; i < 6; i++) {
		make_arp(&packet, everybody, 1, peer4, nobody, our4);
		packet.octet[packet.ip_at + i] ^= 0x40;
		assert_int_equal(check(&packet, &reply), COUNTER_drop_arp);
	}
	make_arp(&packet, everybody, 3, peer4, nobody, our4);
	assert_int_equal(check(&packet, &reply), COUNTER_drop_arp);
	make_arp(&packet, everybody, 1, peer4, nobody, our4);
	packet.length--;
	assert_int_equal(check(&packet, &reply), COUNTER_drop_frame_short);
}

static void finish_icmp6(struct packet *packet)
{
	finish_ip(packet);
	unsigned bytes = packet->length - packet->l4_at;
	set16(packet, packet->l4_at + 2, 0);
	set16(packet, packet->l4_at + 2, ~l4_sum(packet, 58, bytes) & 0xffff);
}

struct solicitation {
	const uint8_t *mac;
	const char *from, *to, *target;
	unsigned hops;
	bool with_link;
};

static void make_solicitation(struct packet *packet, struct solicitation s)
{
	put_ether(packet, s.mac, peer_mac, vlan, 0x86dd);
	put_ip6(packet, s.from, s.to, 58, s.hops);
	put(packet, "\x87\0\0\0\0\0\0\0", 8);
	put_address(packet, AF_INET6, s.target);
	if (s.with_link) {
		put(packet, "\1\1", 2);
		put(packet, peer_mac, 6);
	}
	finish_icmp6(packet);
}

static void assert_advertisement(
	const struct packet *reply, const char *to, unsigned flags, const char *target)
{
	assert_int_equal(reply->length, reply->ip_at + 40 + 32);
	assert_memory_equal(reply->octet + 6, our_mac, 6);
	assert_int_equal(get16(reply, reply->ip_at + 4), 32);
	assert_int_equal(reply->octet[reply->ip_at + 7], 255);
	assert_address(reply, reply->ip_at + 8, AF_INET6, target);
	assert_address(reply, reply->ip_at + 24, AF_INET6, to);
	assert_int_equal(reply->octet[reply->l4_at], 136);
	assert_int_equal(reply->octet[reply->l4_at + 4], flags);
	assert_address(reply, reply->l4_at + 8, AF_INET6, target);
	assert_memory_equal(reply->octet + reply->l4_at + 24, "\2\1", 2);
	assert_memory_equal(reply->octet + reply->l4_at + 26, our_mac, 6);
	assert_int_equal(l4_sum(reply, 58, 32), 0xffff);
}

static void a_solicitation_for_our_address_is_answered(void **state)
{
	(void)state;
	struct packet packet, reply;
	make_solicitation(
		&packet, (struct solicitation){ solicited_mac, peer6, solicited_group, our6, 255, true });
	assert_int_equal(check(&packet, &reply), COUNTER_answer_ndp);
	assert_advertisement(&reply, peer6, 0x60, our6);
	assert_memory_equal(reply.octet, peer_mac, 6);
	make_solicitation(&packet, (struct solicitation){ our_mac, peer6, our6, our6, 255, false });
	assert_int_equal(check(&packet, &reply), COUNTER_answer_ndp);
	assert_advertisement(&reply, peer6, 0x60, our6);
}

static void our_link_local_address_is_answered_too(void **state)
{
	(void)state;
	struct packet packet, reply;
	make_solicitation(&packet, (struct solicitation){ solicited_mac, peer6, solicited_group,
					   "fe80::ff:fe00:53", 255, true });
	assert_int_equal(check(&packet, &reply), COUNTER_answer_ndp);
	assert_advertisement(&reply, peer6, 0x60, "fe80::ff:fe00:53");
}

static void duplicate_address_detection_is_answered_to_all_nodes(void **state)
{
	(void)state;
	struct packet packet, reply;
	make_solicitation(
		&packet, (struct solicitation){ solicited_mac, "::", solicited_group, our6, 255, false });
	assert_int_equal(check(&packet, &reply), COUNTER_answer_ndp);
	assert_advertisement(&reply, "ff02::1", 0x20, our6);
	assert_memory_equal(reply.octet, "\x33\x33\0\0\0\1", 6);
}

static void wrong_solicitations_are_dropped(void **state)
{
	(void)state;
	static const uint8_t other_mac[6] = { 0x33, 0x33, 0xff, 0, 0, 0x54 };
	static const struct {
		struct solicitation s;
		enum counter verdict;
	} wrong[] = {
		{ { solicited_mac, peer6, solicited_group, our6, 254, true }, COUNTER_drop_icmp },
		{ { solicited_mac, "::", solicited_group, our6, 255, true }, COUNTER_drop_icmp },
		{ { our_mac, "::", our6, our6, 255, false }, COUNTER_drop_icmp },
		{ { solicited_mac, peer6, solicited_group, "ff02::1", 255, true }, COUNTER_drop_icmp },
		{ { solicited_mac, peer6, solicited_group, "2001:db8:54::53", 255, true },
			COUNTER_drop_ip_not_ours },
		{ { other_mac, peer6, "ff02::1:ff00:54", our6, 255, true }, COUNTER_drop_ip_not_ours },
		{ { other_mac, peer6, solicited_group, our6, 255, true }, COUNTER_drop_ip_not_ours },
	};
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct packet packet, reply;
		make_solicitation(&packet, wrong[i].s);
		assert_int_equal(check(&packet, &reply), wrong[i].verdict);
	}
}

static void an_option_without_length_makes_a_solicitation_wrong(void **state)
{
	(void)state;
	struct packet packet, reply;
	make_solicitation(
		&packet, (struct solicitation){ solicited_mac, peer6, solicited_group, our6, 255, true });
	packet.octet[packet.l4_at + 25] = 0;
	finish_icmp6(&packet);
	assert_int_equal(check(&packet, &reply), COUNTER_drop_icmp);
}

static void make_icmp6(struct packet *packet, unsigned type, unsigned hops)
{
	put_ether(packet, our_mac, peer_mac, vlan, 0x86dd);
	put_ip6(packet, peer6, our6, 58, hops);
	packet->octet[packet->length++] = (uint8_t)type;
	put(packet, "\0\0\0\1\2\3\4some octets of an uneven number", 38);
	finish_icmp6(packet);
}

static void make_icmp4(struct packet *packet, unsigned type)
{
	put_ether(packet, our_mac, peer_mac, vlan, 0x0800);
	put_ip4(packet, peer4, our4, 1, NULL, 0);
	packet->octet[packet->length++] = (uint8_t)type;
	put(packet, "\0\0\0\1\2\3\4some octets of an uneven number", 38);
	set16(packet, packet->l4_at + 2, ~plain_sum(packet->octet + packet->l4_at, 39, 0) & 0xffff);
	finish_ip(packet);
}

static void an_echo_comes_back_as_it_was(void **state)
{
	(void)state;
	struct packet packet, reply;
	make_icmp4(&packet, 8);
	struct packet kept = packet;
	assert_int_equal(check(&packet, &reply), COUNTER_answer_echo);
	assert_int_equal(reply.length, kept.length);
	assert_memory_equal(reply.octet, peer_mac, 6);
	assert_address(&reply, reply.ip_at + 12, AF_INET, our4);
	assert_address(&reply, reply.ip_at + 16, AF_INET, peer4);
	assert_int_equal(plain_sum(reply.octet + reply.ip_at, 20, 0), 0xffff);
	assert_int_equal(reply.octet[reply.l4_at], 0);
	assert_memory_equal(reply.octet + reply.l4_at + 4, kept.octet + kept.l4_at + 4, 35);
	assert_int_equal(plain_sum(reply.octet + reply.l4_at, 39, 0), 0xffff);

	make_icmp6(&packet, 128, 64);
	kept = packet;
	assert_int_equal(check(&packet, &reply), COUNTER_answer_echo);
	assert_int_equal(reply.length, kept.length);
	assert_address(&reply, reply.ip_at + 8, AF_INET6, our6);
	assert_address(&reply, reply.ip_at + 24, AF_INET6, peer6);
	assert_int_equal(reply.octet[reply.l4_at], 129);
	assert_memory_equal(reply.octet + reply.l4_at + 4, kept.octet + kept.l4_at + 4, 35);
	assert_int_equal(l4_sum(&reply, 58, 39), 0xffff);
}

static void options_of_an_ip4_echo_do_not_come_back(void **state)
{
	(void)state;
	struct packet packet, reply;
	put_ether(&packet, our_mac, peer_mac, vlan, 0x0800);
	put_ip4(&packet, peer4, our4, 1, "\x83\x07\4\1\2\3\4\0", 8);
	put(&packet, "\x08\0\0\0\1\2\3\4", 8);
	set16(&packet, packet.l4_at + 2, ~plain_sum(packet.octet + packet.l4_at, 8, 0) & 0xffff);
	finish_ip(&packet);
	assert_int_equal(check(&packet, &reply), COUNTER_answer_echo);
	assert_memory_equal(reply.octet + reply.ip_at + 20, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(plain_sum(reply.octet + reply.ip_at, 28, 0), 0xffff);
}

static void every_icmp_type_has_one_fate(void **state)
{
	(void)state;
	struct packet packet, reply;
	for (unsigned type = 0; type < 256; type++) {
		bool punted = type == 0 || type == 3 || type == 11 || type == 12;
		make_icmp4(&packet, type);
		assert_int_equal(check(&packet, &reply), type == 8 ? COUNTER_answer_echo
							 : punted  ? COUNTER_punt
								   : COUNTER_drop_icmp);
		punted = (type >= 1 && type <= 4) || type == 129 || type == 136;
		make_icmp6(&packet, type, 255);
		if (type != 135)
			assert_int_equal(check(&packet, &reply), type == 128 ? COUNTER_answer_echo
								 : punted    ? COUNTER_punt
									     : COUNTER_drop_icmp);
	}
	make_icmp6(&packet, 136, 254); // an advertisement from beyond the link
	assert_int_equal(check(&packet, &reply), COUNTER_drop_icmp);
}

static void a_wrong_icmp_checksum_is_dropped(void **state)
{
	(void)state;
	struct packet packet, reply;
	make_icmp4(&packet, 8);
	packet.octet[packet.length - 1] ^= 1;
	assert_int_equal(check(&packet, &reply), COUNTER_drop_icmp);
	make_icmp6(&packet, 128, 64);
	packet.octet[packet.length - 1] ^= 1;
	assert_int_equal(check(&packet, &reply), COUNTER_drop_icmp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_arp_question_for_our_address_is_answered),
		cmocka_unit_test(a_probe_for_our_address_hears_that_it_is_taken),
		cmocka_unit_test(a_neighbour_that_claims_our_address_is_not_argued_with),
		cmocka_unit_test(an_arp_question_for_others_is_dropped),
		cmocka_unit_test(arp_answers_go_to_the_kernel),
		cmocka_unit_test(malformed_arp_is_dropped),
		cmocka_unit_test(a_solicitation_for_our_address_is_answered),
		cmocka_unit_test(our_link_local_address_is_answered_too),
		cmocka_unit_test(duplicate_address_detection_is_answered_to_all_nodes),
		cmocka_unit_test(wrong_solicitations_are_dropped),
		cmocka_unit_test(an_option_without_length_makes_a_solicitation_wrong),
		cmocka_unit_test(an_echo_comes_back_as_it_was),
		cmocka_unit_test(options_of_an_ip4_echo_do_not_come_back),
		cmocka_unit_test(every_icmp_type_has_one_fate),
		cmocka_unit_test(a_wrong_icmp_checksum_is_dropped),
	};
	return cmocka_run_group_tests_name("neighbour", tests, NULL, NULL) ? 1 : 0;
}
