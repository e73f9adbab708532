// SPDX-License-Identifier: BSD-3-Clause
// All plugins: the step of the chain that asks them one after the other, and their say about questions,
// clients and replies.
#pragma once

#include <sys/socket.h>

#include "chain.h"
#include "plugin.h"

// May this question be worked on? Before any step.
enum pollux_access plugins_allow(struct ask *);
// The reply of the resolver is about to go to this asker: plugins may add to it.
void plugins_respond(struct ask *);
// May this TCP client stay?
bool plugins_accept(const struct resolver *, const struct sockaddr *client);
// The dataplane is to answer nothing itself.
bool plugins_want_all(const struct resolver *);
// In the order of the configuration, those that could not be loaded, too.
void plugins_each(const struct resolver *, void (*visit)(void *ctx, const struct plugin *), void *ctx);
