// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pollux/name.h>

#include "added.h"

bool added_can_hold(const char *file)
{
	for (const char *c = file; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f || (*c == '#' && c > file && c[-1] == ' '))
			return false;
	}
	return *file == '/' && file[strlen(file) - 1] != ' ';
}

static void make_directory_of(const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	if (slash && slash > path && (size_t)(slash - path) < sizeof(directory)) {
		snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
		mkdir(directory, 0750); // whether it is there, the file will tell
	}
}

enum status added_write(const char *path, const struct zone_config *zones, unsigned count)
{
	char fresh[PATH_MAX], name[NAME_TEXT_BYTES];
	if (count == 0)
		return unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR ? ST_OK : ST_SYSTEM;
	make_directory_of(path);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	FILE *to = fopen(fresh, "we");
	if (!to)
		return ST_SYSTEM;
	fputs("# Written by pollux-control: polluxctl zone add and zone remove change it.\n", to);
	for (unsigned i = 0; i < count; i++)
		fprintf(to, "%s\t%s\n", name_to_text(name, zones[i].apex), zones[i].file);
	bool good = !ferror(to);
	good = fclose(to) == 0 && good && rename(fresh, path) == 0;
	if (!good) {
		int cause = errno;
		unlink(fresh);
		errno = cause;
	}
	return good ? ST_OK : ST_SYSTEM;
}
