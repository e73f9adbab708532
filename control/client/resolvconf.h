// SPDX-License-Identifier: BSD-3-Clause
// A resolver file, resolv.conf(5). Pure but for reading the file; any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include <pollux/report.h>
#include <pollux/status.h>

#define RESOLV_SERVERS_MAX 16
#define RESOLV_SEARCH_MAX 6
#define RESOLV_TEXT_BYTES 256

struct resolv_conf {
	struct sockaddr_storage servers[RESOLV_SERVERS_MAX]; // port 53
	unsigned line[RESOLV_SERVERS_MAX];		     // of the file; 0: by default
	unsigned server_count;
	unsigned timeout_s, attempts; // 0: the file says nothing of them
	bool rotate;
	char search[RESOLV_SEARCH_MAX][RESOLV_TEXT_BYTES]; // domains, as they stand there
	unsigned search_count;
};

// Bad lines are reported as warnings with file:line and skipped. Without a nameserver line it is 127.0.0.1.
void resolv_conf_read(struct resolv_conf *, const char *text, size_t bytes, const char *name, struct report *);
// The same from a file. One that does not exist is like an empty one (resolv.conf(5)); one that cannot be read is reported as
// an error: ST_SYSTEM, nothing is set then.
CHECKED enum status resolv_conf_load(struct resolv_conf *, const char *path, struct report *);
