// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include "identity.h"

static void keep_secrets(struct server_identity *to, const struct server_identity *from)
{
	memcpy(to->secret, from->secret, sizeof(to->secret));
	to->secret_count = from->secret_count;
	to->random_since_s = from->random_since_s;
}

// The one of before is still accepted, so no client notices.
static void make_secret(struct server_identity *identity, uint64_t now_s)
{
	identity->secret_count = identity->secret_count ? 2 : 1;
	memcpy(identity->secret[1], identity->secret[0], COOKIE_SECRET_BYTES);
	arc4random_buf(identity->secret[0], COOKIE_SECRET_BYTES);
	identity->random_since_s = now_s;
}

static bool is_worn_out(const struct server_identity *identity, uint64_t now_s)
{
	return identity->random_since_s && now_s > identity->random_since_s &&
		now_s - identity->random_since_s > COOKIE_SECRET_LIFE_S;
}

enum status identity_publish(struct catalog *catalog, const struct config *config, uint64_t now_s,
	struct report *report)
{
	const struct server_identity *old = catalog_identity(catalog);
	struct server_identity fresh;
	bool broken = config_identity(config, &fresh, report) != ST_OK;
	// What was made up goes on being used; what was configured only while its file cannot be read.
	if (!fresh.secret_count && old && (old->random_since_s || broken))
		keep_secrets(&fresh, old);
	if (!fresh.secret_count || is_worn_out(&fresh, now_s))
		make_secret(&fresh, now_s);
	enum status status = old && memcmp(old, &fresh, sizeof(fresh)) == 0 ? ST_OK : catalog_set_identity(catalog, &fresh);
	explicit_bzero(&fresh, sizeof(fresh));
	return status;
}
