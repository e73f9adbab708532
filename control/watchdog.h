// SPDX-License-Identifier: BSD-3-Clause
// Whom to blame when control does not come back from a plugin: a thread ends a process that has been in one
// call for too long, a signal handler is there for one that crashes. Both write down whose call it was, so
// that the next start can do without.
#pragma once

#include "plugin.h"

// NULL watchdogs are fine.
void watchdog_enter(struct plugin_watchdog *, const char *name, const char *file, const char *what);
void watchdog_leave(struct plugin_watchdog *);
