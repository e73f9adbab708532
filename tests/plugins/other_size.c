// SPDX-License-Identifier: BSD-3-Clause
// Made with another pollux_question.
#include <pollux/plugin.h>

const struct pollux_plugin pollux_plugin = {
	.abi = POLLUX_ABI,
	.size = sizeof(struct pollux_plugin),
	.host_size = sizeof(struct pollux_host),
	.question_size = sizeof(struct pollux_question) + 8,
};
