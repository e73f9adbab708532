// SPDX-License-Identifier: BSD-3-Clause
// Every way a call can end. One table: the names, and the text that people read. A DNS rcode is
// not a status: "the answer is NXDOMAIN" is a success of the call that found it.
#pragma once

#define CHECKED __attribute__((warn_unused_result))

#define STATUS_TABLE(X)                                                                                           \
	X(ST_OK, "success")                                                                                       \
	X(ST_NO_MEMORY, "out of memory")                                                                          \
	X(ST_NO_SPACE, "no space left")                                                                           \
	X(ST_FULL, "limit reached")                                                                               \
	X(ST_NOT_FOUND, "not found")                                                                              \
	X(ST_EXISTS, "already exists")                                                                            \
	X(ST_SYNTAX, "syntax error")                                                                              \
	X(ST_INVALID, "invalid value")                                                                            \
	X(ST_CORRUPT, "damaged or foreign data")                                                                  \
	X(ST_VERSION, "made by another version")                                                                  \
	X(ST_BUSY, "in use by another process")                                                                   \
	X(ST_TIMEOUT, "timed out")                                                                                \
	X(ST_REFUSED, "refused")                                                                                  \
	X(ST_CANCELLED, "cancelled")                                                                              \
	X(ST_SYSTEM, "system call failed")

enum status {
#define X(id, text) id,
	STATUS_TABLE(X)
#undef X
		STATUS_COUNT
};

// A constant, lower-case text without a full stop; "unknown status" outside the table. Any thread.
const char *status_text(enum status);
