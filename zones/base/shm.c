// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include <pollux/bounds.h>
#include <pollux/shm.h>

// A write lock on the whole file, held as long as the descriptor is open: an "open file description"
// lock, so that closing some other descriptor of the file does not release it.
static bool lock_owner(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool shm_owner_lives(const struct shm *shm)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	return shm->base && fcntl(shm->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static uint64_t round_to_huge_page(uint64_t bytes)
{
	return (bytes + HUGE_PAGE_BYTES - 1) & ~(HUGE_PAGE_BYTES - 1);
}

static enum status map_file(struct shm *shm, int fd, uint64_t bytes, enum shm_access access)
{
	struct stat info;
	if (fstat(fd, &info) != 0)
		return ST_SYSTEM;
	int protection = access == SHM_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
	void *base = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return ST_SYSTEM;
	*shm = (struct shm){ .base = base, .bytes = bytes, .fd = fd, .device = info.st_dev, .inode = info.st_ino };
	return ST_OK;
}

static enum status map_existing(struct shm *shm, int fd, uint32_t magic, uint32_t format, enum shm_access access)
{
	struct stat info;
	if (fstat(fd, &info) != 0)
		return ST_SYSTEM;
	if ((uint64_t)info.st_size < sizeof(struct shm_head))
		return ST_CORRUPT;
	enum status status = map_file(shm, fd, (uint64_t)info.st_size, access);
	if (status != ST_OK)
		return status;
	const struct shm_head *head = shm->base;
	if (head->magic != magic || head->bytes > shm->bytes)
		status = ST_CORRUPT;
	else if (head->format != format)
		status = ST_VERSION;
	if (status != ST_OK) {
		munmap(shm->base, shm->bytes);
		shm->base = NULL;
	}
	return status;
}

// A new file under a name of its own, given its real name when it is complete: nobody maps half a head.
static enum status create_file(struct shm *shm, const char *path, const struct shm_head *head)
{
	char fresh[PATH_MAX];
	if (snprintf(fresh, sizeof(fresh), "%s.%d", path, (int)getpid()) >= (int)sizeof(fresh))
		return ST_INVALID;
	unlink(fresh);
	int fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0)
		return ST_SYSTEM;
	uint64_t bytes = round_to_huge_page(head->bytes);
	enum status status = ST_SYSTEM;
	// fallocate, not ftruncate: a full file system must fail here, not as SIGBUS later.
	if (lock_owner(fd) && fallocate(fd, 0, 0, (off_t)bytes) == 0)
		status = map_file(shm, fd, bytes, SHM_WRITE);
	else if (errno == ENOSPC)
		status = ST_NO_SPACE;
	if (status == ST_OK) {
		memcpy(shm->base, head, sizeof(*head));
		if (rename(fresh, path) == 0)
			return ST_OK;
		status = ST_SYSTEM;
		munmap(shm->base, shm->bytes);
		shm->base = NULL;
	}
	int cause = errno;
	unlink(fresh);
	close(fd);
	errno = cause;
	return status;
}

enum status shm_own(struct shm *shm, const char *path, uint32_t magic, uint32_t format, uint64_t shape,
	uint64_t bytes, bool *created)
{
	*shm = (struct shm){ .fd = -1 };
	*created = false;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		if (!lock_owner(fd)) {
			close(fd);
			return ST_BUSY;
		}
		if (map_existing(shm, fd, magic, format, SHM_WRITE) == ST_OK) {
			struct shm_head *head = shm->base;
			if (head->shape == shape && head->bytes == bytes) {
				head->generation++;
				return ST_OK;
			}
			munmap(shm->base, shm->bytes);
			shm->base = NULL;
		}
		close(fd); // another shape or a foreign file: replaced below
	} else if (errno != ENOENT) {
		return ST_SYSTEM;
	}
	*created = true;
	struct shm_head head = { .magic = magic, .format = format, .bytes = bytes, .shape = shape, .generation = 1 };
	return create_file(shm, path, &head);
}

enum status shm_join(struct shm *shm, const char *path, uint32_t magic, uint32_t format, enum shm_access access)
{
	*shm = (struct shm){ .fd = -1 };
	int fd = open(path, (access == SHM_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? ST_NOT_FOUND : ST_SYSTEM;
	enum status status = map_existing(shm, fd, magic, format, access);
	if (status != ST_OK)
		close(fd);
	return status;
}

void shm_close(struct shm *shm)
{
	if (!shm->base)
		return;
	munmap(shm->base, shm->bytes);
	close(shm->fd);
	*shm = (struct shm){ .fd = -1 };
}

bool shm_was_replaced(const struct shm *shm, const char *path)
{
	struct stat info;
	if (stat(path, &info) != 0)
		return false; // removed: what is mapped is still the best there is
	return info.st_dev != shm->device || info.st_ino != shm->inode;
}

static bool find_hugetlbfs(char *to, size_t room)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	if (!mounts)
		return false;
	bool found = false;
	struct mntent *entry;
	while (!found && (entry = getmntent(mounts))) {
		struct statfs fs;
		found = strcmp(entry->mnt_type, "hugetlbfs") == 0 && statfs(entry->mnt_dir, &fs) == 0 &&
			fs.f_type == HUGETLBFS_MAGIC && (uint64_t)fs.f_bsize == HUGE_PAGE_BYTES &&
			access(entry->mnt_dir, W_OK) == 0 &&
			snprintf(to, room, "%s", entry->mnt_dir) < (int)room;
	}
	endmntent(mounts);
	return found;
}

static bool has_free_pages(const char *mount)
{
	struct statfs fs;
	return statfs(mount, &fs) == 0 && fs.f_bfree > 0;
}

static bool is_trusted(uid_t owner)
{
	return owner == 0 || owner == geteuid();
}

// Everybody may make directories in /dev/shm. Who owns one can put other files in the place of ours.
static bool directory_is_ours(const char *path)
{
	struct stat link, info;
	errno = EPERM;
	return lstat(path, &link) == 0 && is_trusted(link.st_uid) && stat(path, &info) == 0 && S_ISDIR(info.st_mode) &&
		is_trusted(info.st_uid) && !(info.st_mode & S_IWOTH);
}

enum status shm_directory(char *to, size_t room, const char *configured, const char *name)
{
	char parent[PATH_MAX];
	bool is_auto = strcmp(configured, "auto") == 0;
	if (strlcpy(parent, is_auto ? "/dev/shm" : configured, sizeof(parent)) >= sizeof(parent))
		return ST_INVALID;
	if (is_auto) {
		// The process that comes second must find what the first one chose, however few pages that one left.
		char huge[PATH_MAX], here[PATH_MAX * 2];
		if (find_hugetlbfs(huge, sizeof(huge))) {
			snprintf(here, sizeof(here), "%s/pollux-%s", huge, name);
			bool chosen = access(here, F_OK) == 0;
			snprintf(here, sizeof(here), "%s/pollux-%s", parent, name);
			if (chosen || (access(here, F_OK) != 0 && has_free_pages(huge)))
				snprintf(parent, sizeof(parent), "%s", huge);
		}
	}
	if (snprintf(to, room, "%s/pollux-%s", parent, name) >= (int)room)
		return ST_INVALID;
	if (mkdir(to, 0750) != 0 && errno != EEXIST)
		return ST_SYSTEM;
	return directory_is_ours(to) ? ST_OK : ST_SYSTEM;
}
