// SPDX-License-Identifier: BSD-3-Clause
// The rows of rrtype.def in their order, for those who walk them.
#pragma once

#include <pollux/rrtype.h>

enum {
#define RR(mnemonic, code, source, ...) ROW_##mnemonic,
#include <pollux/rrtype.def>
#undef RR
	RRTYPE_ROWS
};

extern const struct rrtype rrtypes[RRTYPE_ROWS];
