// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "access.h"

#define STRANGER 65530

static char *management[4], *monitoring[4];
static struct config config;

static int set_up(void **state)
{
	(void)state;
	config = (struct config){ .access_management = management, .access_monitoring = monitoring };
	return 0;
}

static void allow(char **list, unsigned *count, const char *who)
{
	list[(*count)++] = (char *)(uintptr_t)who;
}

static enum peer_rights judge(uid_t user, gid_t group, gid_t other_group)
{
	const gid_t groups[] = { group, other_group };
	return peer_judge(&config, user, groups, 2);
}

static void without_lists_whoever_could_connect_may_all(void **state)
{
	(void)state;
	assert_false(peers_are_listed(&config));
	assert_int_equal(judge(STRANGER, STRANGER, STRANGER), PEER_ALL);
}

static void root_and_our_own_user_may_always(void **state)
{
	(void)state;
	allow(monitoring, &config.access_monitoring_count, "65531");
	assert_true(peers_are_listed(&config));
	assert_int_equal(judge(0, STRANGER, STRANGER), PEER_ALL);
	assert_int_equal(judge(geteuid(), STRANGER, STRANGER), PEER_ALL);
	assert_int_equal(judge(STRANGER, STRANGER, STRANGER), PEER_NOTHING);
}

static void users_and_groups_count_by_number_and_by_name(void **state)
{
	(void)state;
	allow(management, &config.access_management_count, "65531");
	allow(management, &config.access_management_count, "@65532");
	allow(monitoring, &config.access_monitoring_count, "@daemon");
	allow(monitoring, &config.access_monitoring_count, "daemon");
	assert_int_equal(judge(65531, STRANGER, STRANGER), PEER_ALL);
	assert_int_equal(judge(65532, STRANGER, STRANGER), PEER_NOTHING); // that is the group's number
	assert_int_equal(judge(STRANGER, 65532, STRANGER), PEER_ALL);
	assert_int_equal(judge(STRANGER, STRANGER, 65532), PEER_ALL);
	assert_int_equal(judge(1, STRANGER, STRANGER), PEER_READS); // base-passwd: daemon is 1
	assert_int_equal(judge(STRANGER, STRANGER, 1), PEER_READS);
}

static void a_name_that_nobody_has_fits_nobody(void **state)
{
	(void)state;
	allow(management, &config.access_management_count, "no-such-user-here");
	allow(management, &config.access_management_count, "@no-such-group-here");
	allow(management, &config.access_management_count, "4294967295"); // what an unknown peer has
	assert_int_equal(judge(STRANGER, STRANGER, STRANGER), PEER_NOTHING);
	assert_int_equal(judge((uid_t)-1, (gid_t)-1, (gid_t)-1), PEER_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_lists_whoever_could_connect_may_all, set_up),
		cmocka_unit_test_setup(root_and_our_own_user_may_always, set_up),
		cmocka_unit_test_setup(users_and_groups_count_by_number_and_by_name, set_up),
		cmocka_unit_test_setup(a_name_that_nobody_has_fits_nobody, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
