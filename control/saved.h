// SPDX-License-Identifier: BSD-3-Clause
// Images of large zones on disk, so that a machine that starts need not read their files: DIR/NAME.image, and beside
// them DIR/seed (mode 0600), the hash seed they were made with. A region that has to be made anew takes that seed. Nothing
// in a file is believed: who reads one checks the image before it is published. Any thread.
#pragma once

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <pollux/image.h>
#include <pollux/status.h>

#define SAVED_LEAST_BYTES (UINT64_C(1) << 20) // of an image: a smaller zone is read as fast

// 0: none was kept, or it is not what only root could have written.
uint64_t saved_seed(const char *directory);
// Makes the directory when it is missing, and keeps the seed there unless it is kept already.
CHECKED enum status saved_keep_seed(const char *directory, uint64_t seed);

// Opens the image saved for a zone of this file, if it fits the seed and the files still are what it was made from.
// -1: there is none (*why NULL), or it cannot be used, and why. *bytes: of the image.
int saved_open(const char *directory, const uint8_t *apex, const char *file, uint64_t seed, uint64_t *bytes,
	const char **why);
// Reads it into `room` (64-aligned, `bytes` long) and checks it. ST_CORRUPT: it is not to be published.
CHECKED enum status saved_read(int fd, void *room, uint64_t bytes, const uint8_t *apex, uint64_t seed);
// Takes the place of the one before when it is whole; ST_REFUSED: given up because `interrupted` became true.
CHECKED enum status saved_write(const char *directory, const struct image *, const _Atomic bool *interrupted);
void saved_remove(const char *directory, const uint8_t *apex);
