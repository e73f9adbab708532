// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pollux/name.h>
#include <pollux/zonefile.h>

#include "saved.h"

#define NAME_ROOM 200	       // octets of a file name; a longer zone's is told by its hash
#define STEP_BYTES (4u << 20)  // written or read between two looks at `interrupted`
#define HEAD_BYTES (sizeof(struct image) + NAME_MAX_BYTES + 1)

static uint64_t apex_hash(const uint8_t *apex)
{
	struct folded_name name;
	name_prepare(&name, apex, name_length(apex, NAME_MAX_BYTES), 1);
	return name.hash[name.labels];
}

static void image_path(char path[PATH_MAX], const char *directory, const uint8_t *apex, const char *tail)
{
	char name[NAME_TEXT_BYTES];
	name_to_text(name, apex);
	size_t bytes = strlen(name);
	if (bytes < 2 || bytes > NAME_ROOM || name[0] == '.' || strchr(name, '/'))
		snprintf(name, sizeof(name), "%016llx.", (unsigned long long)apex_hash(apex));
	snprintf(path, PATH_MAX, "%s/%simage%s", directory, name, tail); // the name ends with a dot
}

static bool write_all(int fd, const uint8_t *at, uint64_t bytes, const _Atomic bool *interrupted)
{
	while (bytes) {
		if (interrupted && atomic_load_explicit(interrupted, memory_order_relaxed)) {
			errno = EINTR;
			return false;
		}
		ssize_t written = write(fd, at, bytes < STEP_BYTES ? bytes : STEP_BYTES);
		if (written < 0 && errno != EINTR)
			return false;
		at += written > 0 ? written : 0;
		bytes -= written > 0 ? (uint64_t)written : 0;
	}
	return true;
}

static bool read_all(int fd, uint8_t *at, uint64_t bytes)
{
	while (bytes) {
		ssize_t got = read(fd, at, bytes < STEP_BYTES ? bytes : STEP_BYTES);
		if (got == 0 || (got < 0 && errno != EINTR))
			return false;
		at += got > 0 ? got : 0;
		bytes -= got > 0 ? (uint64_t)got : 0;
	}
	return true;
}

// A new file under a passing name, then its own: never half a file, whatever happens.
static enum status replace_file(const char *path, const char *fresh, const void *octets, uint64_t bytes,
	const _Atomic bool *interrupted)
{
	unlink(fresh);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return ST_SYSTEM;
	bool good = write_all(fd, octets, bytes, interrupted);
	int cause = errno;
	good = close(fd) == 0 && good && rename(fresh, path) == 0;
	if (!good)
		unlink(fresh);
	return good ? ST_OK : cause == EINTR ? ST_REFUSED : cause == ENOSPC ? ST_NO_SPACE : ST_SYSTEM;
}

// --- the seed ---

static void seed_path(char path[PATH_MAX], const char *directory, const char *tail)
{
	snprintf(path, PATH_MAX, "%s/seed%s", directory, tail);
}

uint64_t saved_seed(const char *directory)
{
	char path[PATH_MAX], text[32] = "", *end;
	struct stat info;
	seed_path(path, directory, "");
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	// Who knows the seed can make names that fall into one bucket: a file that others could read or write is not used.
	bool good = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 077) == 0 && info.st_uid == geteuid();
	good = good && read(fd, text, sizeof(text) - 1) > 0;
	close(fd);
	uint64_t seed = good ? strtoull(text, &end, 16) : 0;
	return good && *end == '\n' && end == text + 16 ? seed : 0;
}

// And the one it is in.
static bool make_directory(const char *directory)
{
	char above[PATH_MAX];
	const char *slash = strrchr(directory, '/');
	if (mkdir(directory, 0700) == 0 || errno == EEXIST)
		return true;
	if (errno != ENOENT || !slash || (size_t)(slash - directory) >= sizeof(above))
		return false;
	snprintf(above, sizeof(above), "%.*s", (int)(slash - directory), directory);
	return mkdir(above, 0750) == 0 && mkdir(directory, 0700) == 0;
}

enum status saved_keep_seed(const char *directory, uint64_t seed)
{
	char path[PATH_MAX], fresh[PATH_MAX], text[32];
	if (!make_directory(directory))
		return ST_SYSTEM;
	if (saved_seed(directory) == seed)
		return ST_OK;
	seed_path(path, directory, "");
	seed_path(fresh, directory, ".new");
	int bytes = snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)seed);
	return replace_file(path, fresh, text, (uint64_t)bytes, NULL);
}

// --- images ---

static const char *judge_head(const struct image *image, uint64_t file_bytes, const uint8_t *apex, uint64_t seed)
{
	if (file_bytes < HEAD_BYTES || image->magic != IMAGE_MAGIC)
		return "it is no image";
	if (image->format != IMAGE_FORMAT)
		return "another version wrote it";
	if (image->hash_seed != seed)
		return "it was made with another hash seed";
	if (image->bytes != file_bytes || image->bytes % 64)
		return "its length is wrong";
	if (image->apex_bytes != name_length(apex, NAME_MAX_BYTES) || memcmp(image->apex, apex, image->apex_bytes) != 0)
		return "it is of another zone";
	return NULL;
}

// The paths it was made from stand near its end.
static const char *judge_source(int fd, const struct image *image, const char *file)
{
	static const char unreadable[] = "it cannot be read";
	uint64_t at = (uint64_t)image->source_ref * 8;
	if (at < sizeof(*image) || at >= image->bytes || image->bytes - at > 1u << 20)
		return "it does not say what it was made from";
	uint64_t bytes = image->bytes - at;
	char *paths = calloc(1, bytes + 2);
	if (!paths)
		return unreadable;
	const char *why = unreadable;
	if (pread(fd, paths, bytes, (off_t)at) == (ssize_t)bytes)
		why = strcmp(paths, file) != 0 ? "it was made from another file" :
			image->source_stamp == 0 || zonefile_stamp(paths) != image->source_stamp ?
			"the zone file has changed" : NULL;
	free(paths);
	return why;
}

int saved_open(const char *directory, const uint8_t *apex, const char *file, uint64_t seed, uint64_t *bytes,
	const char **why)
{
	char path[PATH_MAX];
	struct stat info;
	union { struct image image; uint8_t octets[HEAD_BYTES]; } head;
	memset(&head, 0, sizeof(head));
	*why = NULL;
	image_path(path, directory, apex, "");
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || pread(fd, head.octets, sizeof(head), 0) < 0)
		*why = "it cannot be read";
	if (!*why)
		*why = judge_head(&head.image, (uint64_t)info.st_size, apex, seed);
	if (!*why)
		*why = judge_source(fd, &head.image, file);
	if (*why) {
		close(fd);
		return -1;
	}
	*bytes = head.image.bytes;
	return fd;
}

enum status saved_read(int fd, void *room, uint64_t bytes, const uint8_t *apex, uint64_t seed)
{
	if (!read_all(fd, room, bytes))
		return ST_SYSTEM;
	enum status status = image_check(room, bytes);
	if (status != ST_OK)
		return status;
	return judge_head(room, bytes, apex, seed) || image_is_blank(room) ? ST_CORRUPT : ST_OK; // the file may have changed since it was opened
}

enum status saved_write(const char *directory, const struct image *image, const _Atomic bool *interrupted)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	image_path(path, directory, image->apex, "");
	image_path(fresh, directory, image->apex, ".new");
	return replace_file(path, fresh, image, image->bytes, interrupted);
}

void saved_remove(const char *directory, const uint8_t *apex)
{
	char path[PATH_MAX];
	image_path(path, directory, apex, "");
	unlink(path);
}
