// SPDX-License-Identifier: BSD-3-Clause
// The access lists of the configuration: into the zones region, where the workers find them, and for the control socket.
// The event loop's thread.
#pragma once

#include <stdbool.h>

#include <sys/types.h>

#include <pollux/catalog.h>
#include <pollux/config.h>
#include <pollux/status.h>

// ST_NO_SPACE, ST_NO_MEMORY: the lists of before stay.
CHECKED enum status access_publish(struct catalog *, const struct config *);

// What the peer of a UNIX socket may do.
enum peer_rights { PEER_NOTHING, PEER_READS, PEER_ALL };
// True: the configuration says who may use the control socket, so its mode need not.
bool peers_are_listed(const struct config *);
// By the lists of the configuration; without them everybody who could connect may all. `groups` are those of the peer,
// its first one included. Names that this machine does not know fit nobody.
enum peer_rights peer_judge(const struct config *, uid_t user, const gid_t *groups, unsigned group_count);
// The names in these lists that nobody here has are said in the log.
void peers_check(const struct config *);
