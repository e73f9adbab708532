// SPDX-License-Identifier: BSD-3-Clause
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <pollux/log.h>

const char *const log_level_name[LOG_LEVEL_COUNT] = { "error", "warning", "info", "debug" };
static const int priority_of[LOG_LEVEL_COUNT] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

static struct {
	const char *program;
	enum log_target target;
	bool journal;
	_Atomic int level;
} log_state = { .program = "pollux", .level = LOG_LEVEL_INFO };

void log_open(const char *program, enum log_target target)
{
	log_state.program = program;
	log_state.target = target;
	log_state.journal = getenv("JOURNAL_STREAM") != NULL;
	if (target == LOG_TO_SYSLOG)
		openlog(program, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_state.level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&log_state.level, memory_order_relaxed);
}

enum status log_level_from_text(enum log_level *level, const char *text)
{
	for (unsigned i = 0; i < LOG_LEVEL_COUNT; i++) {
		if (strcasecmp(text, log_level_name[i]) == 0) {
			*level = (enum log_level)i;
			return ST_OK;
		}
	}
	return ST_INVALID;
}

// One write() per line, so that the lines of threads and processes on one stderr do not mix.
static void line_to_stderr(enum log_level level, const char *text)
{
	char line[1200];
	int bytes;
	if (log_state.journal) {
		bytes = snprintf(line, sizeof(line), "<%d>%s\n", priority_of[level], text);
	} else {
		struct timespec now;
		struct tm tm;
		char stamp[32];
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
		bytes = snprintf(line, sizeof(line), "%s.%03ldZ %s %s: %s\n", stamp, now.tv_nsec / 1000000,
			log_state.program, log_level_name[level], text);
	}
	if (bytes >= (int)sizeof(line)) {
		bytes = sizeof(line);
		line[bytes - 1] = '\n';
	}
	if (write(STDERR_FILENO, line, (size_t)bytes) < 0) {
		// Nowhere left to say so.
	}
}

void log_line(enum log_level level, const char *format, ...)
{
	if ((int)level > (int)log_get_level())
		return;
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (log_state.target == LOG_TO_SYSLOG)
		syslog(priority_of[level], "%s", text);
	else
		line_to_stderr(level, text);
}
