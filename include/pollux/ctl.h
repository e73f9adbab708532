// SPDX-License-Identifier: BSD-3-Clause
// The control protocol: newline-delimited JSON over one UNIX stream socket. One request object per line,
// one reply object per line, in order.
//
//   -> {"v":1, "command":"zone reload", "args":["example.com"]}
//   <- {"v":1, "ok":true, "data":..., "show":["member", ...]}  any JSON; the shape is the command's own
//   <- {"v":1, "ok":true, "data":[...], "next":["word", ...]}  not all of it: these words ask for the rest
//   <- {"v":1, "ok":false, "error":"what went wrong", "details":["file:line:column: error: ...", ...]}
//   <- {"v":1, "ok":false, "error":"...", "usage":["zone status NAME", ...]}  the words were wrong
//
// "command" may hold any number of the words and "args" the others: the server finds the longest command they begin with.
// "show", when it is there, names the members of data that people want to see; the others are for programs.
// polluxctl knows no command by itself: {"command":"help"} gives the table.
// Rights: the socket is mode 0660; the peer's credentials (SO_PEERCRED) are logged with each command that writes.
#pragma once

#define CTL_VERSION 1
#define CTL_MAX_REQUEST_BYTES 65536 // one line; a longer one ends the connection
#define CTL_MAX_REPLY_BYTES (64u << 20)
#define CTL_SOCKET_DEFAULT "/run/pollux/control.sock"

// Exit codes of polluxctl.
enum { CTL_EXIT_OK = 0, CTL_EXIT_REFUSED = 1, CTL_EXIT_USAGE = 2, CTL_EXIT_NO_SERVER = 3 };
