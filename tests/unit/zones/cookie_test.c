// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../../zones/cookie.h"

static struct server_identity identity;
static struct parties parties;
static uint8_t made[24];

static unsigned from_hex(uint8_t *to, const char *digits)
{
	unsigned bytes = 0;
	for (; *digits; digits += 2) {
		char pair[3] = { digits[0], digits[1], 0 };
		to[bytes++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return bytes;
}

static void meet(const char *secret, const char *address, uint32_t now_s)
{
	static uint8_t client[16];
	identity = (struct server_identity){ .cookie_mode = COOKIES_ON, .secret_count = 1 };
	from_hex(identity.secret[0], secret);
	parties = (struct parties){ .identity = &identity, .client = client, .now_s = now_s };
	parties.client_bytes = (uint8_t)from_hex(client, address);
}

static enum cookie_worth bring(const char *cookie)
{
	uint8_t sent[COOKIE_MAX_BYTES];
	unsigned bytes = from_hex(sent, cookie);
	memset(made, 0xee, sizeof(made));
	return cookie_renew(made, &parties, sent, bytes);
}

static void assert_made(const char *cookie)
{
	uint8_t expected[24];
	assert_int_equal(from_hex(expected, cookie), 24);
	assert_memory_equal(made, expected, 24);
}

static void siphash_agrees_with_its_specification(void **state)
{
	(void)state;
	uint8_t key[16], data[16];
	for (uint8_t i = 0; i < 16; i++)
		key[i] = data[i] = i;
	assert_int_equal(siphash(key, data, 15), UINT64_C(0xa129ca6149be45e5)); // appendix A of the SipHash paper
	assert_int_equal(siphash(key, data, 0), UINT64_C(0x726fdb47dd0e0e31));
	assert_int_equal(siphash(key, data, 8), UINT64_C(0x93f5f5799a932462));
}

#define SECRET "e5e973e5a6b2a43f48e7dc849e37bfcf"
#define ADDRESS "c6336464" // 198.51.100.100
#define CLIENT "2464c4abcf10c957"
#define FIRST "010000005cf79f111f8130c3eee29480"
#define MADE_AT 1559731985u

static void a_new_client_gets_the_cookie_of_rfc_9018_a_1(void **state)
{
	(void)state;
	meet(SECRET, ADDRESS, MADE_AT);
	assert_int_equal(bring(CLIENT), COOKIE_BAD);
	assert_made(CLIENT FIRST);
}

static void a_cookie_older_than_half_an_hour_is_good_but_renewed_as_in_rfc_9018_a_2(void **state)
{
	(void)state;
	meet(SECRET, ADDRESS, 1559734385);
	assert_int_equal(bring(CLIENT FIRST), COOKIE_GOOD);
	assert_made(CLIENT "010000005cf7a871d4a564a1442aca77");
}

static void reserved_octets_are_hashed_as_they_came_as_in_rfc_9018_a_3(void **state)
{
	(void)state;
	meet(SECRET, "cb0071cb", 1559727985);
	assert_int_equal(bring("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5"), COOKIE_FRESH);
	assert_made("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
	parties.now_s = 1559734700;
	bring("fc93fc62807ddb86");
	assert_made("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e");
}

static void a_cookie_of_the_former_secret_is_renewed_with_the_new_one_as_in_rfc_9018_a_4(void **state)
{
	(void)state;
	meet("445536bcd2513298075a5d379663c962", "20010db80220000159ded0f4876982b8", 1559741961);
	assert_int_equal(bring("22681ab97d52c298010000005cf7c57926556bd0934c72f8"), COOKIE_BAD);
	identity.secret_count = 2;
	from_hex(identity.secret[1], "dd3bdf9344b678b185a6f5cb60fca715");
	assert_int_equal(bring("22681ab97d52c298010000005cf7c57926556bd0934c72f8"), COOKIE_GOOD);
	assert_made("22681ab97d52c298010000005cf7c609a6bb79d16625507a");
	assert_int_equal(bring("22681ab97d52c298010000005cf7c609a6bb79d16625507a"), COOKIE_FRESH);
}

static void a_young_cookie_goes_back_as_it_is(void **state)
{
	(void)state;
	meet(SECRET, ADDRESS, MADE_AT + 1800);
	assert_int_equal(bring(CLIENT FIRST), COOKIE_FRESH);
	assert_made(CLIENT FIRST);
	parties.now_s++;
	assert_int_equal(bring(CLIENT FIRST), COOKIE_GOOD);
}

static void a_cookie_is_good_for_an_hour_and_five_minutes_ahead(void **state)
{
	(void)state;
	static const struct {
		int32_t age_s;
		bool good;
	} cases[] = { { 3600, true }, { 3601, false }, { -300, true }, { -301, false }, { INT32_MAX, false }, { INT32_MIN, false } };
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		meet(SECRET, ADDRESS, MADE_AT + (uint32_t)cases[i].age_s);
		assert_int_equal(bring(CLIENT FIRST) != COOKIE_BAD, cases[i].good);
	}
}

static void the_time_may_wrap_round(void **state)
{
	(void)state;
	meet(SECRET, ADDRESS, UINT32_MAX - 10);
	bring(CLIENT);
	uint8_t cookie[24], again[24];
	memcpy(cookie, made, sizeof(cookie));
	parties.now_s += 100;
	assert_int_equal(cookie_renew(again, &parties, cookie, sizeof(cookie)), COOKIE_FRESH);
}

static void every_bit_of_a_cookie_and_the_address_counts(void **state)
{
	(void)state;
	meet(SECRET, ADDRESS, MADE_AT);
	uint8_t cookie[24];
	from_hex(cookie, CLIENT FIRST);
	for (unsigned bit = 0; bit < 8 * sizeof(cookie); bit++) {
		cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(cookie_renew(made, &parties, cookie, sizeof(cookie)), COOKIE_BAD);
		cookie[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(cookie_renew(made, &parties, cookie, sizeof(cookie)), COOKIE_FRESH);
	meet(SECRET, "c6336465", MADE_AT);
	assert_int_equal(cookie_renew(made, &parties, cookie, sizeof(cookie)), COOKIE_BAD);
}

static void a_server_cookie_of_another_length_is_not_ours(void **state)
{
	(void)state;
	meet(SECRET, ADDRESS, MADE_AT);
	assert_int_equal(bring(CLIENT "010000005cf79f11"), COOKIE_BAD);
	assert_int_equal(bring(CLIENT FIRST "00"), COOKIE_BAD);
	assert_made(CLIENT FIRST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_agrees_with_its_specification),
		cmocka_unit_test(a_new_client_gets_the_cookie_of_rfc_9018_a_1),
		cmocka_unit_test(a_cookie_older_than_half_an_hour_is_good_but_renewed_as_in_rfc_9018_a_2),
		cmocka_unit_test(reserved_octets_are_hashed_as_they_came_as_in_rfc_9018_a_3),
		cmocka_unit_test(a_cookie_of_the_former_secret_is_renewed_with_the_new_one_as_in_rfc_9018_a_4),
		cmocka_unit_test(a_young_cookie_goes_back_as_it_is),
		cmocka_unit_test(a_cookie_is_good_for_an_hour_and_five_minutes_ahead),
		cmocka_unit_test(the_time_may_wrap_round),
		cmocka_unit_test(every_bit_of_a_cookie_and_the_address_counts),
		cmocka_unit_test(a_server_cookie_of_another_length_is_not_ours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
