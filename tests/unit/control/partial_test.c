// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pollux/bytes.h>

#include "partial.h"

// 198.18.0.1 -> 198.18.0.53, 20 octets of TCP. The pseudo header by hand: c612 + c612 = 18c24, + 0001 + 0035
// = 18c5a,
// + 0006 (TCP) + 0014 (octets) = 18c74; folded 8c75.
static const uint8_t ip4_tcp[] = {
	2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00,					  // Ethernet
	0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, 1, 198, 18, 0, 53,	  // IPv4
	0x30, 0x39, 0, 53, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0x8c, 0x75, 0, 0, // TCP
};

// 2001:db8::1 -> 2001:db8::2, 8 octets of UDP: 2 * (2001 + 0db8) + 1 + 2 + 11 + 8 = 5b8e.
static const uint8_t ip6_udp[] = {
	2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, // Ethernet
	0x60, 0, 0, 0, 0, 8, 17, 64, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x20, 1, 0x0d,
	0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // IPv6
	0x30, 0x39, 0, 54, 0, 8, 0x5b, 0x8e,	  // UDP
};

static void a_sum_of_the_pseudo_header_alone_is_found(void **state)
{
	(void)state;
	struct partial p;
	assert_true(partial_find(&p, ip4_tcp, sizeof(ip4_tcp)));
	assert_int_equal(p.start_at, 34);
	assert_int_equal(p.field_at, 16);
	assert_true(partial_find(&p, ip6_udp, sizeof(ip6_udp)));
	assert_int_equal(p.start_at, 54);
	assert_int_equal(p.field_at, 6);
}

static void any_other_checksum_is_left_to_be_verified(void **state)
{
	(void)state;
	uint8_t frame[sizeof(ip4_tcp)];
	struct partial p;
	memcpy(frame, ip4_tcp, sizeof(frame));
	for (unsigned bit = 0; bit < 16; bit++) {
		store_be16(frame + 50, (uint16_t)(0x8c75 ^ (1u << bit)));
		assert_false(partial_find(&p, frame, sizeof(frame)));
	}
}

static void tags_and_padding_do_not_hide_it(void **state)
{
	(void)state;
	uint8_t frame[sizeof(ip4_tcp) + 8 + 10] = { 0 };
	struct partial p;
	memcpy(frame, ip4_tcp, 12);
	memcpy(frame + 12, "\x88\xa8\0\5\x81\0\0\6", 8);
	memcpy(frame + 20, ip4_tcp + 12, sizeof(ip4_tcp) - 12);
	assert_true(partial_find(&p, frame, sizeof(frame)));
	assert_int_equal(p.start_at, 42);
}

static void fragments_and_other_protocols_have_none(void **state)
{
	(void)state;
	uint8_t frame[sizeof(ip4_tcp)];
	struct partial p;
	memcpy(frame, ip4_tcp, sizeof(frame));
	frame[20] = 0x20; // more fragments
	assert_false(partial_find(&p, frame, sizeof(frame)));
	frame[20] = 0x40;
	assert_true(partial_find(&p, frame, sizeof(frame)));
	frame[23] = 1; // ICMP
	assert_false(partial_find(&p, frame, sizeof(frame)));
}

static void cut_frames_are_never_read_beyond_their_end(void **state)
{
	(void)state;
	const struct {
		const uint8_t *bytes;
		size_t count;
	} frames[] = { { ip4_tcp, sizeof(ip4_tcp) }, { ip6_udp, sizeof(ip6_udp) } };
	for (unsigned f = 0; f < 2; f++)
		for (size_t count = 0; count < frames[f].count; count++) {
			uint8_t *cut = malloc(count ? count : 1); // of that very size, for the sanitizer
			struct partial p;
			memcpy(cut, frames[f].bytes, count);
			assert_false(partial_find(&p, cut, count));
			free(cut);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sum_of_the_pseudo_header_alone_is_found),
		cmocka_unit_test(any_other_checksum_is_left_to_be_verified),
		cmocka_unit_test(tags_and_padding_do_not_hide_it),
		cmocka_unit_test(fragments_and_other_protocols_have_none),
		cmocka_unit_test(cut_frames_are_never_read_beyond_their_end),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	return r ? 1 : 0;
}
