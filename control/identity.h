// SPDX-License-Identifier: BSD-3-Clause
// What the server says about itself, and the secrets of its cookies: from the configuration into the zones
// region, where the workers find them. A secret that nobody configured is made up here, lives in the region
// over restarts of either process, and is replaced now and then. The event loop's thread.
#pragma once

#include <stdint.h>

#include <pollux/catalog.h>
#include <pollux/config.h>
#include <pollux/report.h>
#include <pollux/status.h>

#define COOKIE_SECRET_LIFE_S (30 * 24 * 3600) // RFC 7873 7.1: no more than 36 days

// Errors of the file of secrets are reported; the secrets of before stay then, random ones if there were none.
// ST_NO_SPACE: the region is full, all stays as it was.
CHECKED enum status identity_publish(struct catalog *, const struct config *, uint64_t now_s, struct report *);
