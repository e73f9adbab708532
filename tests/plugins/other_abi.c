// SPDX-License-Identifier: BSD-3-Clause
// Made for another version of the interface.
#include <pollux/plugin.h>

const struct pollux_plugin pollux_plugin = { .abi = POLLUX_ABI + 7, .size = 8 };
