// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pollux/access.h>
#include <pollux/log.h>

#include "access.h"

#define ID_NOBODY UINT32_MAX // the one id that nobody can have: chown(2)

enum status access_publish(struct catalog *catalog, const struct config *config)
{
	void *block;
	uint64_t bytes, old_bytes = 0;
	enum status status = config_access(config, &block, &bytes);
	if (status != ST_OK)
		return status;
	const void *old = catalog_block(catalog, BLOCK_ACCESS, &old_bytes);
	if (!old || old_bytes != bytes || memcmp(old, block, bytes) != 0)
		status = catalog_set_block(catalog, BLOCK_ACCESS, block, bytes);
	free(block);
	return status;
}

// --- peers of the control socket ---

// "@group" or "user", by name or number.
static uint32_t id_of(const char *who)
{
	const char *name = who + (who[0] == '@');
	const char *problem;
	long long number = strtonum(name, 0, UINT32_MAX - 1, &problem);
	if (!problem)
		return (uint32_t)number;
	if (who[0] == '@') {
		const struct group *group = getgrnam(name);
		return group ? group->gr_gid : ID_NOBODY;
	}
	const struct passwd *user = getpwnam(name);
	return user ? user->pw_uid : ID_NOBODY;
}

static bool fits(const char *who, uid_t user, const gid_t *groups, unsigned group_count)
{
	uint32_t id = id_of(who);
	if (id == ID_NOBODY)
		return false;
	if (who[0] != '@')
		return user == id;
	for (unsigned i = 0; i < group_count; i++) {
		if (groups[i] == id)
			return true;
	}
	return false;
}

static bool is_listed(char *const *list, unsigned count, uid_t user, const gid_t *groups, unsigned group_count)
{
	for (unsigned i = 0; i < count; i++) {
		if (fits(list[i], user, groups, group_count))
			return true;
	}
	return false;
}

bool peers_are_listed(const struct config *config)
{
	return config->access_management_count || config->access_monitoring_count;
}

enum peer_rights peer_judge(const struct config *config, uid_t user, const gid_t *groups, unsigned group_count)
{
	if (!peers_are_listed(config) || user == 0 || user == geteuid() ||
		is_listed(config->access_management, config->access_management_count, user, groups, group_count))
		return PEER_ALL;
	return is_listed(config->access_monitoring, config->access_monitoring_count, user, groups, group_count) ? PEER_READS :
														 PEER_NOTHING;
}

static void check_list(const char *key, char *const *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (id_of(list[i]) == ID_NOBODY)
			log_warning("%s: this machine knows no %s '%s'", key, list[i][0] == '@' ? "group" : "user",
				list[i] + (list[i][0] == '@'));
	}
}

void peers_check(const struct config *config)
{
	check_list("access.management", config->access_management, config->access_management_count);
	check_list("access.monitoring", config->access_monitoring, config->access_monitoring_count);
}
