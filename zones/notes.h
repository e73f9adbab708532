// SPDX-License-Identifier: BSD-3-Clause
// What a thread has to report about its part of a file or zone, kept until its turn comes. One thread at a time.
#pragma once

#include <stddef.h>

#include <pollux/report.h>
#include <pollux/status.h>

struct notes {
	struct report report; // where the thread reports; counts, and keeps the words if somebody wants them
	char *kept;
	size_t bytes, room;
	int lost; // no memory for some
};

// Empty notes, their report as strict as `to`, which they are for. The memory of former ones is used again: all zero
// at first.
void notes_begin(struct notes *, const struct report *to);
// Reports everything to `to`, in order, the lines counted from `lines_before`. ST_NO_MEMORY: some were lost.
CHECKED enum status notes_tell(const struct notes *, struct report *to, unsigned lines_before);
void notes_free(struct notes *);
