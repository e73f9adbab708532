// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>

#include "source.h"

static uint64_t stamp_number(uint64_t stamp, uint64_t number)
{
	return name_mix(stamp ^ number ^ UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd6e8feb86659fd93));
}

static uint64_t stamp_file(uint64_t stamp, const char *path, const struct stat *status)
{
	for (; *path; path++)
		stamp = stamp_number(stamp, (unsigned char)*path);
	stamp = stamp_number(stamp, (uint64_t)status->st_size);
	stamp = stamp_number(stamp, (uint64_t)status->st_mtim.tv_sec);
	stamp = stamp_number(stamp, (uint64_t)status->st_mtim.tv_nsec);
	return stamp_number(stamp, status->st_ino);
}

// 0 means "unreadable", so no set of files may have it.
static uint64_t stamp_finish(uint64_t stamp)
{
	return stamp ? stamp : 1;
}

bool source_list_add(struct source_list *list, const char *path, const struct stat *status)
{
	size_t bytes = strlen(path) + 1;
	if (list->bytes + bytes + 1 > list->room) { // the empty path at the end included
		size_t room = (list->room + bytes + 1) * 2;
		char *paths = realloc(list->paths, room);
		if (!paths)
			return false;
		list->paths = paths;
		list->room = room;
	}
	memcpy(list->paths + list->bytes, path, bytes);
	list->bytes += bytes;
	list->paths[list->bytes] = '\0';
	list->stamp = stamp_file(list->stamp, path, status);
	return true;
}

void source_list_finish(struct source_list *list, struct zonefile_source *source)
{
	*source = (struct zonefile_source){ .paths = list->paths,
		.bytes = list->paths ? list->bytes + 1 : 0,
		.stamp = stamp_finish(list->stamp) };
	*list = (struct source_list){ 0 };
}

void zonefile_source_free(struct zonefile_source *source)
{
	free(source->paths);
	*source = (struct zonefile_source){ 0 };
}

uint64_t zonefile_stamp(const char *paths)
{
	uint64_t stamp = 0;
	for (; *paths; paths += strlen(paths) + 1) {
		struct stat status;
		if (stat(paths, &status) < 0)
			return 0;
		stamp = stamp_file(stamp, paths, &status);
	}
	return stamp_finish(stamp);
}
