// SPDX-License-Identifier: BSD-3-Clause
#include <pollux/query.h>

#include "lookup.h"

const char *lookup_text(enum lookup lookup)
{
	static const char *const texts[] = {
#define X(id, text) text,
		LOOKUP_TABLE(X)
#undef X
	};
	return lookup < LOOKUP_COUNT ? texts[lookup] : "unknown";
}

enum lookup lookup_of_rcode(unsigned rcode)
{
	switch (rcode) {
	case RCODE_NOERROR:
		return LOOKUP_ANSWER;
	case RCODE_FORMERR:
		return LOOKUP_FORMERR;
	case RCODE_SERVFAIL:
		return LOOKUP_SERVFAIL;
	case RCODE_NXDOMAIN:
		return LOOKUP_NXDOMAIN;
	case RCODE_NOTIMP:
		return LOOKUP_NOTIMP;
	case RCODE_REFUSED:
		return LOOKUP_REFUSED;
	default:
		return LOOKUP_OTHER_RCODE;
	}
}
