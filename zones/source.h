// SPDX-License-Identifier: BSD-3-Clause
// What a zone was read from, and a stamp of it that changes when a file does.
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include <pollux/zonefile.h>

// Grows while files are opened; all zero is empty.
struct source_list {
	char *paths;
	size_t bytes, room;
	uint64_t stamp;
};

bool source_list_add(struct source_list *, const char *path, const struct stat *); // false: no memory
// Hands everything over to `source`.
void source_list_finish(struct source_list *, struct zonefile_source *source);
