// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>

#include "gather.h"

static void run(struct loader_task *task, const _Atomic bool *interrupted)
{
	(void)interrupted;
	struct gathering *g = (struct gathering *)((char *)task - offsetof(struct gathering, task));
	g->status = config_zones(&g->config, &g->zones, &g->count, &g->findings.report);
}

void gathering_forget(struct loader_task *task, const _Atomic bool *interrupted)
{
	(void)interrupted;
	struct gathering *g = (struct gathering *)((char *)task - offsetof(struct gathering, task));
	zone_configs_free(g->zones, g->count);
	g->zones = NULL;
	g->count = 0;
}

static bool copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return *to || !from;
}

static bool copy_zone(struct zone_config *to, const struct zone_config *from)
{
	unsigned bytes = name_length(from->apex, NAME_MAX_BYTES);
	*to = (struct zone_config){ .apex = malloc(bytes), .file = strdup(from->file), .line = from->line };
	if (to->apex)
		memcpy(to->apex, from->apex, bytes);
	return to->apex && to->file;
}

static bool copy_zones(struct config *to, const struct config *from)
{
	to->zones = calloc(from->zone_count ? from->zone_count : 1, sizeof(*to->zones));
	while (to->zones && to->zone_count < from->zone_count) {
		unsigned i = to->zone_count++;
		if (!copy_zone(&to->zones[i], &from->zones[i]))
			return false;
	}
	return to->zones;
}

// The configuration may be replaced while a thread works with it.
struct gathering *gathering_new(const struct config *config)
{
	struct gathering *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->task.run = run;
	findings_init(&g->findings);
	if (copy_text(&g->config.path, config->path) && copy_text(&g->config.zone_list, config->zone_list) &&
		copy_text(&g->config.zone_directory, config->zone_directory) &&
		copy_text(&g->config.zone_pattern, config->zone_pattern) && copy_zones(&g->config, config))
		return g;
	gathering_free(g);
	return NULL;
}

void gathering_free(struct gathering *g)
{
	if (!g)
		return;
	zone_configs_free(g->zones, g->count);
	for (unsigned i = 0; i < g->config.zone_count; i++) {
		free(g->config.zones[i].apex);
		free(g->config.zones[i].file);
	}
	free(g->config.zones);
	free(g->config.path);
	free(g->config.zone_list);
	free(g->config.zone_directory);
	free(g->config.zone_pattern);
	findings_clear(&g->findings);
	free(g);
}
