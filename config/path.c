// SPDX-License-Identifier: BSD-3-Clause
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "path.h"

char *path_directory(const char *file)
{
	const char *slash = strrchr(file, '/');
	int bytes = slash ? (int)(slash - file) + 1 : 0;
	char *here = NULL, *directory = NULL;
	if (file[0] != '/' && !(here = getcwd(NULL, 0)))
		return NULL;
	bool is_root = here && here[1] == 0;
	if (asprintf(&directory, "%s%s%.*s", here ? here : "", here && !is_root ? "/" : "", bytes, file) < 0)
		directory = NULL;
	free(here);
	return directory;
}
