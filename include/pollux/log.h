// SPDX-License-Identifier: BSD-3-Clause
// Logging for everything but the packet path, which never logs. One line per call, no newline needed;
// whatever came from outside must already be printable (names through name_to_text). Threads may call
// at once; lines do not mix.
#pragma once

#include <stdbool.h>

#include <pollux/status.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_COUNT };
enum log_target { LOG_TO_STDERR, LOG_TO_SYSLOG };

extern const char *const log_level_name[LOG_LEVEL_COUNT];

// `program` must outlive the process's logging. Under systemd (JOURNAL_STREAM) stderr lines carry <N>
// priorities instead of a time.
void log_open(const char *program, enum log_target);
void log_set_level(enum log_level);
enum log_level log_get_level(void);
// "error", "warning", "info", "debug". ST_INVALID: no such level.
CHECKED enum status log_level_from_text(enum log_level *, const char *text);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level, const char *format, ...);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
