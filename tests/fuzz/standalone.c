// SPDX-License-Identifier: BSD-3-Clause
// Runs a fuzz entry over saved inputs: every regular file of the directories named as arguments. Empty files
// and each file's first half count as inputs, too. No directory or no file is a failure.
#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The octets of a file, malloc.
static uint8_t *read_input(const char *path, size_t *size)
{
	struct stat status;
	FILE *file = fopen(path, "rb");
	if (!file || fstat(fileno(file), &status) < 0)
		err(1, "%s", path);
	*size = (size_t)status.st_size;
	uint8_t *data = malloc(*size + 1);
	if (!data || fread(data, 1, *size, file) != *size)
		err(1, "%s", path);
	fclose(file);
	return data;
}

// In memory of exactly that size, so that a sanitizer sees a step over its end.
static void run_input(const uint8_t *data, size_t size)
{
	uint8_t *copy = calloc(1, size ? size : 1);
	if (!copy)
		err(1, NULL);
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static unsigned run_directory(const char *path)
{
	unsigned count = 0;
	DIR *directory = opendir(path);
	if (!directory)
		err(1, "%s", path);
	for (struct dirent *entry; (entry = readdir(directory));) {
		char file[4096];
		struct stat status;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		if (stat(file, &status) < 0 || !S_ISREG(status.st_mode))
			continue;
		size_t size;
		uint8_t *data = read_input(file, &size);
		run_input(data, size);
		run_input(data, size / 2);
		free(data);
		count++;
	}
	closedir(directory);
	return count;
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	run_input((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		count += run_directory(argv[i]);
	printf("%u inputs\n", count);
	return count ? 0 : 1;
}
