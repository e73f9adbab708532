// SPDX-License-Identifier: BSD-3-Clause
// Follows one file: says when it was written, replaced, removed or made, or when a symbolic link on its path
// leads elsewhere. The directories on the path need not exist yet. By inotify, and by a look at the file now
// and then for what inotify does not see (file systems of other machines, other names of the same file). One
// event loop's thread.
#pragma once

#include <event2/event.h>

#define WATCH_SETTLE_MS 50  // without a further change before one is told: an edit is often several
#define WATCH_LOOK_MS 10000 // between two looks

struct watch;

// The file is another one, or gone, or there again. The watch may be freed from within.
typedef void watch_changed(void *ctx);

// What happens after this call is told, so read the file then. NULL: no memory. That inotify is not to be had
// is logged, the looks remain.
struct watch *watch_new(struct event_base *, const char *path, watch_changed *, void *ctx);
void watch_free(struct watch *); // NULL is fine
// How often to look instead of every WATCH_LOOK_MS.
void watch_look_every(struct watch *, unsigned ms);
