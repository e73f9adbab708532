// SPDX-License-Identifier: BSD-3-Clause
// The UNIX socket of the control protocol (ctl.h). Any number of clients up to a limit; one that sends rubbish or does
// not read its replies hurts nobody but itself. One event loop's thread.
#pragma once

#include <event2/event.h>

#include <pollux/status.h>

struct control;
struct ctl_server;

// Logs the reason when it fails. ST_BUSY: somebody answers on that socket already. A socket nobody answers on is removed.
CHECKED enum status ctl_server_new(struct ctl_server **, struct event_base *, const char *path, struct control *);
// Replies that are still to come are dropped; commands that run end by themselves. NULL is fine.
void ctl_server_free(struct ctl_server *);
// Lets in whom the lists of control's configuration name, from now on.
void ctl_server_reconfigure(struct ctl_server *);
unsigned ctl_server_clients(const struct ctl_server *);

// Serves a connected stream socket as if it had been accepted; the descriptor is the server's. For tests.
CHECKED enum status ctl_server_adopt(struct ctl_server *, int fd);
