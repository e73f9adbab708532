// SPDX-License-Identifier: BSD-3-Clause
// What a thread may no longer do once everything is set up.
#pragma once

#include <stdbool.h>

#include <pollux/config.h>

// For this process and all it starts: no new privileges by running a program. Before the first thread.
void rights_freeze(void);
// Gives the capabilities of the calling thread away. A thread that has to undo kernel settings of its
// devices at the end (the main lcore with AF_XDP ports) keeps those for that.
void rights_drop(bool keep_network_admin);
// Does a port need them at the end?
bool rights_needed_at_end(const struct config *);
