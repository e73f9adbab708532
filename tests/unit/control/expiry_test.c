// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "expiry.h"

#define NOW_S UINT64_C(1795219200) // 2026-11-21

static struct catalog *catalog;

// A zone of which only that counts. 0: not signed.
static void put_zone(unsigned number, uint32_t expires)
{
	uint8_t apex[NAME_MAX_BYTES];
	char text[32];
	void *room;
	snprintf(text, sizeof(text), "z%u.test.", number);
	assert_int_equal(name_from_text(apex, NULL, text, strlen(text), NULL), ST_OK);
	unsigned bytes = name_length(apex, NAME_MAX_BYTES);
	assert_int_equal(catalog_reserve(catalog, image_blank_bytes(bytes), &room), ST_OK);
	image_write_blank(room, apex, bytes, catalog_seed(catalog));
	((struct image *)room)->expires = expires;
	assert_int_equal(catalog_publish(catalog, room), ST_OK);
}

static struct expiring find(void)
{
	static struct expiring found;
	expiry_find(catalog, NOW_S, &found);
	return found;
}

static void zones_whose_signatures_run_out_soon_are_found_the_worst_first(void **state)
{
	(void)state;
	assert_int_equal(find().count, 0);
	put_zone(1, 0);
	put_zone(2, (uint32_t)NOW_S + EXPIRY_SOON_S);
	assert_int_equal(find().count, 0);
	put_zone(3, (uint32_t)NOW_S + 500);
	put_zone(4, (uint32_t)NOW_S - 7);
	put_zone(5, (uint32_t)NOW_S + 100);
	struct expiring found = find();
	static const int64_t left_s[] = { -7, 100, 500 };
	assert_int_equal(found.count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(found.zone[i].left_s, left_s[i]);
	assert_memory_equal(found.zone[0].apex, "\2z4\4test", 9);
}

static void of_many_the_worst_are_shown_and_all_are_counted(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3 * EXPIRY_SHOWN; i++)
		put_zone(100 + i, (uint32_t)NOW_S + 1 + i * 7919 % (3 * EXPIRY_SHOWN));
	struct expiring found = find();
	assert_int_equal(found.count, 3 * EXPIRY_SHOWN);
	for (unsigned i = 0; i < EXPIRY_SHOWN; i++)
		assert_int_equal(found.zone[i].left_s, 1 + i);
}

// RFC 4034 3.1.5: 32 bits of time go round in 2106.
static void time_is_compared_as_serial_numbers_are(void **state)
{
	(void)state;
	struct image image = { .expires = 5 };
	assert_int_equal(image_expires_in_s(&image, (UINT64_C(1) << 32) - 10), 15);
	assert_int_equal(image_expires_in_s(&image, (UINT64_C(1) << 32) + 10), -5);
	image.expires = 0;
	assert_int_equal(image_expires_in_s(&image, 10), INT64_MAX);
}

static int open_catalog(void **state)
{
	(void)state;
	return catalog_open_private(&catalog, 3) == ST_OK ? 0 : -1;
}

static int close_catalog(void **state)
{
	(void)state;
	catalog_close(catalog);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(zones_whose_signatures_run_out_soon_are_found_the_worst_first, open_catalog,
			close_catalog),
		cmocka_unit_test_setup_teardown(of_many_the_worst_are_shown_and_all_are_counted, open_catalog, close_catalog),
		cmocka_unit_test(time_is_compared_as_serial_numbers_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
