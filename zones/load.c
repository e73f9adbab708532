// SPDX-License-Identifier: BSD-3-Clause
#include <pollux/zonefile.h>

static enum status place(struct catalog *catalog, struct zone_builder *builder, const struct zonefile_source *source,
	uint64_t now_s)
{
	void *room;
	enum status status = catalog_reserve(catalog, zone_builder_image_bytes(builder, source), &room);
	if (status != ST_OK)
		return status;
	zone_builder_write(builder, room, source, now_s);
	status = catalog_publish(catalog, room);
	if (status != ST_OK)
		catalog_cancel(catalog, room);
	return status;
}

enum status zone_load(struct catalog *catalog, const uint8_t *apex, const char *path, uint64_t now_s,
	struct report *report)
{
	struct zonefile_source source = { 0 };
	struct zone_builder *builder = zone_builder_new(apex, catalog_seed(catalog));
	if (!builder)
		return ST_NO_MEMORY;
	zone_builder_set_report(builder, report);
	zone_builder_set_time(builder, now_s);
	enum status status = zonefile_read(path, apex, zone_builder_add, builder, report, &source);
	if (status == ST_OK)
		status = zone_builder_check(builder);
	if (status == ST_OK)
		status = place(catalog, builder, &source, now_s);
	zonefile_source_free(&source);
	zone_builder_free(builder);
	return status;
}
