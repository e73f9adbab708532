// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../../zones/sha1.h"

static const char *hex(const uint8_t *digest)
{
	static char text[2 * SHA1_BYTES + 1];
	for (unsigned i = 0; i < SHA1_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return text;
}

static void known_digests_come_out(void **state)
{
	(void)state;
	static const struct { const char *message, *digest; } known[] = {
		{ "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
		{ "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		uint8_t digest[SHA1_BYTES];
		sha1(digest, (const uint8_t *)known[i].message, strlen(known[i].message));
		assert_string_equal(hex(digest), known[i].digest);
		sha1_plain(digest, (const uint8_t *)known[i].message, strlen(known[i].message));
		assert_string_equal(hex(digest), known[i].digest);
	}
}

static void the_cpus_instructions_and_plain_c_agree_at_every_length(void **state)
{
	(void)state;
	uint8_t message[SHA1_MAX_INPUT - 9], one[SHA1_BYTES], other[SHA1_BYTES];
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)(i * 131 + 7);
	for (size_t bytes = 0; bytes <= sizeof(message); bytes++) {
		sha1(one, message, bytes);
		sha1_plain(other, message, bytes);
		assert_memory_equal(one, other, SHA1_BYTES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_digests_come_out),
		cmocka_unit_test(the_cpus_instructions_and_plain_c_agree_at_every_length),
	};
	return cmocka_run_group_tests_name("sha1", tests, NULL, NULL) ? 1 : 0;
}
