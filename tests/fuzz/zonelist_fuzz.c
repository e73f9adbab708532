// SPDX-License-Identifier: BSD-3-Clause
// Any file is a zone list: good lines become zones, bad ones messages.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pollux/config.h>
#include <pollux/name.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	int fd = memfd_create("zonelist", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct report report = { 0 };
	struct zone_config *zones;
	unsigned count;
	if (zone_list_read(path, &zones, &count, &report) != ST_OK)
		abort();
	for (unsigned i = 0; i < count; i++)
		if (!name_length(zones[i].apex, NAME_MAX_BYTES) || zones[i].file[0] != '/' || zones[i].line == 0)
			abort();
	zone_configs_free(zones, count);
	close(fd);
	return 0;
}
