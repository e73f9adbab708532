// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "quota.h"

static struct quota quota;
static const uint8_t client[16] = { 198, 18, 0, 1 }, other[16] = { 198, 18, 0, 2 };

static int setup(void **state)
{
	(void)state;
	quota_init(&quota);
	return 0;
}

static unsigned take_all(const uint8_t *address, unsigned address_bytes, unsigned most, uint64_t now_ms)
{
	unsigned count = 0;
	while (count < 100000 && quota_take(&quota, address, address_bytes, most, now_ms))
		count++;
	return count;
}

static void a_client_gets_its_share_and_no_more(void **state)
{
	(void)state;
	assert_int_equal(take_all(client, 4, 100, 0), 100);
	assert_false(quota_take(&quota, client, 4, 100, 1));
	assert_int_equal(take_all(client, 4, 0, 0), 0);
}

static void what_comes_back_may_be_taken_again(void **state)
{
	(void)state;
	take_all(client, 4, 100, 0);
	for (unsigned i = 0; i < 30; i++)
		quota_give(&quota, client, 4, 5000);
	assert_int_equal(take_all(client, 4, 100, 5000), 30);
}

static void another_client_has_its_own_share(void **state)
{
	(void)state;
	take_all(client, 4, 1000, 0);
	assert_int_equal(take_all(other, 4, 100, 0), 100);
}

static void a_network_of_64_bits_is_one_client(void **state)
{
	(void)state;
	uint8_t a[16] = { 0x20, 1, 0xd, 0xb8 }, b[16] = { 0x20, 1, 0xd, 0xb8 }, c[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1 };
	a[15] = 1;
	b[8] = 7;
	assert_int_equal(take_all(a, 16, 10, 0), 10);
	assert_int_equal(take_all(b, 16, 10, 0), 0);
	assert_int_equal(take_all(c, 16, 10, 0), 10);
}

static void what_never_comes_back_is_forgotten_after_two_windows(void **state)
{
	(void)state;
	take_all(client, 4, 10, 0);
	assert_int_equal(take_all(client, 4, 10, QUOTA_WINDOW_MS), 0);
	assert_int_equal(take_all(client, 4, 10, 2 * QUOTA_WINDOW_MS), 10);
	assert_int_equal(take_all(client, 4, 10, 9 * QUOTA_WINDOW_MS), 10);
}

static void what_was_never_taken_cannot_be_given(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++)
		quota_give(&quota, client, 4, 0);
	assert_int_equal(take_all(client, 4, 10, 0), 10);
}

static void counts_do_not_run_over(void **state)
{
	(void)state;
	assert_int_equal(take_all(client, 4, UINT32_MAX, 0), UINT16_MAX);
	assert_int_equal(take_all(client, 4, UINT32_MAX, QUOTA_WINDOW_MS), UINT16_MAX);
}

static void many_greedy_clients_leave_nearly_all_others_alone(void **state)
{
	(void)state;
	unsigned disturbed = 0;
	for (unsigned i = 0; i < 64; i++)
		take_all((const uint8_t[]){ 10, 0, 0, (uint8_t)i }, 4, 100, 0);
	for (unsigned i = 0; i < 10000; i++)
		disturbed += !quota_take(&quota, (const uint8_t[]){ 10, 1, (uint8_t)(i >> 8), (uint8_t)i }, 4, 100, 0);
	assert_true(disturbed < 100); // (64 / 2048)^2 of them is 10
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_client_gets_its_share_and_no_more, setup),
		cmocka_unit_test_setup(what_comes_back_may_be_taken_again, setup),
		cmocka_unit_test_setup(another_client_has_its_own_share, setup),
		cmocka_unit_test_setup(a_network_of_64_bits_is_one_client, setup),
		cmocka_unit_test_setup(what_never_comes_back_is_forgotten_after_two_windows, setup),
		cmocka_unit_test_setup(what_was_never_taken_cannot_be_given, setup),
		cmocka_unit_test_setup(counts_do_not_run_over, setup),
		cmocka_unit_test_setup(many_greedy_clients_leave_nearly_all_others_alone, setup),
	};
	int result = cmocka_run_group_tests(tests, NULL, NULL);
	return result ? 1 : 0;
}
