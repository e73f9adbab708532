// SPDX-License-Identifier: BSD-3-Clause
// Regions: files in the shared-memory directory (hugetlbfs, or /dev/shm) that both processes map. One
// process creates and owns each file; the other maps it, and maps it again when it was replaced. Whoever
// maps a region checks its head before trusting anything in it. An owner holds a lock on its file, which
// the kernel releases however the owner ends: that is how a process sees whether the other one lives.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/status.h>

// The first octets of every region.
struct shm_head {
	uint32_t magic, format;
	uint64_t bytes;	     // of the region
	uint64_t shape;	     // sizes the layout depends on, mixed into one number: another shape, another region
	uint64_t generation; // counts owners: +1 for each process that took the region over
};

enum shm_access { SHM_READ, SHM_WRITE };

struct shm {
	void *base; // NULL: not mapped
	uint64_t bytes;
	int fd;
	uint64_t device, inode; // to notice a replaced file
};

// Owner: creates the file (complete before it gets its name), or maps the one that is there when magic,
// format and shape are the same; the content is kept and `generation` raised. ST_BUSY: another owner
// lives. `created` says whether the content is new, all zero behind the head.
CHECKED enum status shm_own(struct shm *, const char *path, uint32_t magic, uint32_t format, uint64_t shape,
	uint64_t bytes, bool *created);
// The other side. ST_NOT_FOUND: no file (yet). ST_VERSION, ST_CORRUPT: not a region of this kind.
CHECKED enum status shm_join(struct shm *, const char *path, uint32_t magic, uint32_t format, enum shm_access);
void shm_close(struct shm *); // unmaps, releases the lock; the file stays
bool shm_was_replaced(const struct shm *, const char *path);
bool shm_owner_lives(const struct shm *); // for the other side; asks the kernel, no wait

static inline const struct shm_head *shm_head(const struct shm *shm)
{
	return shm->base;
}

// A directory for regions: `configured`, or for "auto" the first writable hugetlbfs mount of 2 MiB pages,
// else /dev/shm; then "/pollux-NAME" below it, created with mode 0750. `to` gets the path. ST_SYSTEM: errno says why;
// EPERM: it is there, and somebody else owns it or everybody may write to it.
CHECKED enum status shm_directory(char *to, size_t room, const char *configured, const char *name);
