// SPDX-License-Identifier: BSD-3-Clause
// The directory of the regions: ours, or none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pollux/shm.h>

#define SOMEBODY 12345

static char parent[64], made[128], got[256];

static int set_up(void **state)
{
	(void)state;
	strlcpy(parent, "/tmp/shm_test.XXXXXX", sizeof(parent));
	if (!mkdtemp(parent))
		return -1;
	snprintf(made, sizeof(made), "%s/pollux-x", parent);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	char other[160];
	snprintf(other, sizeof(other), "%s-other", made);
	remove(made);
	remove(other);
	return rmdir(parent);
}

static void the_directory_is_made_and_found_again(void **state)
{
	(void)state;
	struct stat info;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(shm_directory(got, sizeof(got), parent, "x"), ST_OK);
		assert_string_equal(got, made);
	}
	assert_int_equal(stat(made, &info), 0);
	assert_int_equal(info.st_mode & 07777 & ~0750u, 0);
}

static void a_directory_that_everybody_may_write_to_is_refused(void **state)
{
	(void)state;
	assert_int_equal(mkdir(made, 0700), 0);
	assert_int_equal(chmod(made, 0777), 0);
	assert_int_equal(shm_directory(got, sizeof(got), parent, "x"), ST_SYSTEM);
	assert_int_equal(errno, EPERM);
}

static void a_directory_or_link_of_somebody_else_is_refused(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(made, 0700), 0);
	assert_int_equal(chown(made, SOMEBODY, SOMEBODY), 0);
	assert_int_equal(shm_directory(got, sizeof(got), parent, "x"), ST_SYSTEM);
	assert_int_equal(errno, EPERM);
	char other[160];
	snprintf(other, sizeof(other), "%s-other", made);
	assert_int_equal(rename(made, other), 0);
	assert_int_equal(chown(other, 0, 0), 0);
	assert_int_equal(symlink(other, made), 0);
	assert_int_equal(shm_directory(got, sizeof(got), parent, "x"), ST_OK);
	assert_int_equal(lchown(made, SOMEBODY, SOMEBODY), 0);
	assert_int_equal(shm_directory(got, sizeof(got), parent, "x"), ST_SYSTEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_directory_is_made_and_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_directory_that_everybody_may_write_to_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_directory_or_link_of_somebody_else_is_refused, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("shm", tests, NULL, NULL) ? 1 : 0;
}
