// SPDX-License-Identifier: BSD-3-Clause
#include <pollux/status.h>

const char *status_text(enum status status)
{
	static const char *const text[] = {
#define X(id, words) [id] = words,
		STATUS_TABLE(X)
#undef X
	};
	return (unsigned)status < STATUS_COUNT ? text[status] : "unknown status";
}
