// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>
#include <sys/prctl.h>

#include <cap-ng.h>

#include <pollux/log.h>

#include "rights.h"

void rights_freeze(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

bool rights_needed_at_end(const struct config *config)
{
	for (unsigned p = 0; p < config->port_count; p++)
		if (strncmp(config->ports[p].device, "net_af_xdp", strlen("net_af_xdp")) == 0)
			return true;
	return false;
}

void rights_drop(bool keep_network_admin)
{
	capng_setpid(0);
	capng_clear(CAPNG_SELECT_CAPS);
	if (keep_network_admin)
		capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN, CAP_BPF, -1);
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		log_debug("cannot give capabilities away; they stay");
}
