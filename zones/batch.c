// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "batch.h"

#define FIRST_OWNERS 8
#define FIRST_NAME_BYTES 512

static bool is_owner(const struct batch *batch, const struct batch_owner *owner, const uint8_t *name, unsigned bytes)
{
	const uint8_t *known = batch->names + owner->name_at;
	if (owner->bytes != bytes)
		return false;
	for (unsigned i = 0; i < bytes; i++) {
		if (fold_byte(name[i]) != known[i])
			return false;
	}
	return true;
}

static bool has_room(struct batch *batch, unsigned name_bytes)
{
	if (batch->owner_count == batch->owner_room) {
		unsigned room = batch->owner_room ? batch->owner_room * 2 : FIRST_OWNERS;
		struct batch_owner *owner = reallocarray(batch->owner, room, sizeof(*owner));
		if (!owner)
			return false;
		batch->owner = owner;
		batch->owner_room = room;
	}
	if (batch->name_room - batch->name_bytes < name_bytes) {
		uint32_t room = batch->name_room ? batch->name_room * 2 : FIRST_NAME_BYTES;
		uint8_t *names = realloc(batch->names, room);
		if (!names)
			return false;
		batch->names = names;
		batch->name_room = room;
	}
	return true;
}

static bool is_inside(const struct zone_builder *builder, const struct folded_name *name)
{
	const struct draft_name *apex = &builder->apex;
	return name->labels >= apex->labels && name->hash[apex->labels] == apex->hash &&
		memcmp(name->wire + name->label_at[apex->labels], builder->apex_wire, apex->bytes) == 0;
}

// NULL: outside of the zone, or no memory; then *status says so.
static struct batch_owner *add_owner(struct batch *batch, const struct zone_builder *builder, const uint8_t *wire,
	unsigned bytes, enum status *status)
{
	struct folded_name name;
	*status = ST_OK;
	name_prepare(&name, wire, bytes, builder->seed);
	if (!is_inside(builder, &name))
		return NULL;
	if (!has_room(batch, name.bytes)) {
		*status = ST_NO_MEMORY;
		return NULL;
	}
	struct batch_owner *owner = &batch->owner[batch->owner_count++];
	unsigned above = name.labels ? name.labels - 1u : 0;
	*owner = (struct batch_owner){ .hash = name.hash[name.labels], .parent_hash = name.hash[above],
		.name_at = batch->name_bytes, .bytes = name.bytes, .labels = name.labels, .parent_at = name.label_at[above] };
	memcpy(batch->names + batch->name_bytes, name.wire, name.bytes);
	batch->name_bytes += name.bytes;
	return owner;
}

enum status batch_add(struct batch *batch, const struct zone_builder *builder, struct report *report,
	const struct record *record, uint16_t file)
{
	struct batch_owner *owner = batch->owner_count ? &batch->owner[batch->owner_count - 1] : NULL;
	enum status status = ST_OK;
	unsigned bytes = name_length(record->owner, NAME_MAX_BYTES);
	if (!owner || !is_owner(batch, owner, record->owner, bytes))
		owner = add_owner(batch, builder, record->owner, bytes, &status);
	if (!owner && status == ST_OK && report) {
		char text[NAME_TEXT_BYTES];
		report_at(report, SEVERITY_WARNING, record->file, record->line, 1, "%s is outside the zone: ignored",
			name_to_text(text, record->owner));
	}
	if (!owner)
		return status;
	struct draft_record *draft = arena_take(batch->arena, offsetof(struct draft_record, rdata) + record->rdata_bytes);
	if (!draft)
		return ST_NO_MEMORY;
	*draft = (struct draft_record){ .next = owner->first, .ttl = record->ttl, .line = record->line,
		.type = record->type, .rdata_bytes = record->rdata_bytes, .file = file };
	memcpy(draft->rdata, record->rdata, record->rdata_bytes);
	owner->first = draft;
	if (!owner->last)
		owner->last = draft;
	batch->record_count++;
	batch->has_nsec3 |= draft_rrset_type(draft) == TYPE_NSEC3;
	return ST_OK;
}

void batch_empty(struct batch *batch)
{
	batch->owner_count = batch->name_bytes = batch->record_count = 0;
	batch->has_nsec3 = false;
}

void batch_free(struct batch *batch)
{
	free(batch->owner);
	free(batch->names);
}
