// SPDX-License-Identifier: BSD-3-Clause
// Secrets that are made up: once, for both processes and over their restarts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "identity.h"

#define DAY_S (24 * 3600)
#define NOW_S UINT64_C(1800000000)

static char folder[] = "/tmp/pollux-secrets-XXXXXX";
static char region[64], secrets[64];
static struct catalog *catalog;
static struct config config;
static unsigned errors;

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(region, sizeof(region), "%s/zones", folder);
	snprintf(secrets, sizeof(secrets), "%s/secrets", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static int open_region(void **state)
{
	(void)state;
	config = (struct config){ .cookie_mode = COOKIES_ON };
	return catalog_open_writer(&catalog, region) != ST_OK;
}

static int remove_region(void **state)
{
	(void)state;
	catalog_close(catalog);
	unlink(region);
	unlink(secrets);
	return 0;
}

static void count(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column, const char *text)
{
	(void)ctx, (void)severity, (void)file, (void)line, (void)column, (void)text;
	errors++;
}

static struct server_identity publish(uint64_t now_s)
{
	struct report report = { .emit = count };
	errors = 0;
	assert_int_equal(identity_publish(catalog, &config, now_s, &report), ST_OK);
	assert_non_null(catalog_identity(catalog));
	return *catalog_identity(catalog);
}

static void write_secrets(const char *text)
{
	FILE *file = fopen(secrets, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	config.cookie_secret_file = secrets;
}

static void assert_same_secret(const uint8_t *a, const uint8_t *b)
{
	assert_memory_equal(a, b, COOKIE_SECRET_BYTES);
}

static void a_secret_is_made_once_and_outlives_the_writer(void **state)
{
	(void)state;
	struct server_identity first = publish(NOW_S);
	assert_int_equal(first.secret_count, 1);
	assert_same_secret(publish(NOW_S + DAY_S).secret[0], first.secret[0]);
	catalog_close(catalog);
	assert_int_equal(catalog_open_writer(&catalog, region), ST_OK);
	assert_same_secret(catalog_identity(catalog)->secret[0], first.secret[0]);
	assert_same_secret(publish(NOW_S + 2 * DAY_S).secret[0], first.secret[0]);
}

static void two_regions_have_two_secrets(void **state)
{
	(void)state;
	struct server_identity first = publish(NOW_S);
	catalog_close(catalog);
	unlink(region);
	assert_int_equal(catalog_open_writer(&catalog, region), ST_OK);
	assert_null(catalog_identity(catalog));
	assert_memory_not_equal(publish(NOW_S).secret[0], first.secret[0], COOKIE_SECRET_BYTES);
}

static void an_old_secret_gives_way_and_is_accepted_a_while_longer(void **state)
{
	(void)state;
	struct server_identity first = publish(NOW_S), second = publish(NOW_S + 31 * DAY_S);
	assert_int_equal(second.secret_count, 2);
	assert_memory_not_equal(second.secret[0], first.secret[0], COOKIE_SECRET_BYTES);
	assert_same_secret(second.secret[1], first.secret[0]);
	assert_int_equal(second.random_since_s, NOW_S + 31 * DAY_S);
	struct server_identity third = publish(NOW_S + 62 * DAY_S);
	assert_same_secret(third.secret[1], second.secret[0]);
}

static void what_is_told_changes_and_the_secret_stays(void **state)
{
	(void)state;
	struct server_identity first = publish(NOW_S);
	config.nsid = (char *)"ams1";
	config.cookie_mode = COOKIES_OFF;
	struct server_identity second = publish(NOW_S);
	assert_int_equal(second.nsid_bytes, 4);
	assert_int_equal(second.cookie_mode, COOKIES_OFF);
	assert_same_secret(second.secret[0], first.secret[0]);
}

static void nothing_new_is_written_when_nothing_changed(void **state)
{
	(void)state;
	publish(NOW_S);
	const struct server_identity *before = catalog_identity(catalog);
	publish(NOW_S + 1);
	assert_ptr_equal(catalog_identity(catalog), before);
}

static void a_file_of_secrets_takes_their_place_and_random_ones_come_back(void **state)
{
	(void)state;
	struct server_identity first = publish(NOW_S);
	write_secrets("000102030405060708090a0b0c0d0e0f\n");
	struct server_identity second = publish(NOW_S);
	assert_int_equal(second.secret_count, 1);
	assert_memory_equal(second.secret[0], "\0\1\2\3", 4);
	assert_int_equal(second.random_since_s, 0);
	assert_same_secret(publish(NOW_S + 100 * DAY_S).secret[0], second.secret[0]);
	config.cookie_secret_file = NULL;
	struct server_identity third = publish(NOW_S);
	assert_memory_not_equal(third.secret[0], second.secret[0], COOKIE_SECRET_BYTES);
	assert_memory_not_equal(third.secret[0], first.secret[0], COOKIE_SECRET_BYTES);
}

static void a_broken_file_loses_no_secret(void **state)
{
	(void)state;
	write_secrets("000102030405060708090a0b0c0d0e0f\n");
	struct server_identity first = publish(NOW_S);
	write_secrets("broken\n");
	config.nsid = (char *)"ams1";
	struct server_identity second = publish(NOW_S + 100 * DAY_S);
	assert_int_equal(errors, 1);
	assert_same_secret(second.secret[0], first.secret[0]);
	assert_int_equal(second.nsid_bytes, 4);
}

static void a_broken_file_at_the_first_start_means_a_random_secret(void **state)
{
	(void)state;
	config.cookie_secret_file = secrets; // not there
	struct server_identity first = publish(NOW_S);
	assert_int_equal(errors, 1);
	assert_int_equal(first.secret_count, 1);
	assert_int_equal(first.random_since_s, NOW_S);
}

static void a_reader_sees_the_newest_and_replaced_ones_give_their_space_back(void **state)
{
	(void)state;
	struct catalog *reader;
	assert_int_equal(catalog_open_reader(&reader, region), ST_OK);
	assert_null(catalog_identity(reader));
	char text[16];
	config.nsid = text;
	uint64_t used = 0;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		publish(NOW_S);
		assert_int_equal(catalog_identity(reader)->nsid_bytes, strlen(text));
		catalog_set_epoch(catalog, i + 1);
		catalog_reclaim(catalog, i);
		if (!i)
			used = catalog_usage(catalog).used_bytes;
	}
	assert_int_equal(catalog_usage(catalog).used_bytes, used);
	catalog_close(reader);
}

#define SENTENCE(f) cmocka_unit_test_setup_teardown(f, open_region, remove_region)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SENTENCE(a_secret_is_made_once_and_outlives_the_writer),
		SENTENCE(two_regions_have_two_secrets),
		SENTENCE(an_old_secret_gives_way_and_is_accepted_a_while_longer),
		SENTENCE(what_is_told_changes_and_the_secret_stays),
		SENTENCE(nothing_new_is_written_when_nothing_changed),
		SENTENCE(a_file_of_secrets_takes_their_place_and_random_ones_come_back),
		SENTENCE(a_broken_file_loses_no_secret),
		SENTENCE(a_broken_file_at_the_first_start_means_a_random_secret),
		SENTENCE(a_reader_sees_the_newest_and_replaced_ones_give_their_space_back),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder) ? 1 : 0;
}
