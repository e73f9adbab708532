// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "arena.h"
#include "batch.h"
#include "builder.h"
#include "bulk.h"

#define FIRST_NAMES 16
#define NOT_FOUND UINT32_MAX
#define BATCH_OWNERS 64	  // of records that come one by one
#define PREFETCH_OWNERS 8 // so far ahead their places in the table are fetched from memory

// A slot of the table: the upper half of the hash, then index + 1; 0 is free. Most steps of a search end
// here, without a look at the names.
static uint64_t slot_of(uint64_t hash, uint32_t index)
{
	return (hash & ~(uint64_t)UINT32_MAX) | (index + 1);
}

static void put_in_table(struct zone_builder *builder, uint64_t hash, uint32_t index)
{
	uint32_t at = (uint32_t)hash & builder->table_mask;
	while (builder->table[at])
		at = (at + 1) & builder->table_mask;
	builder->table[at] = slot_of(hash, index);
}

static size_t table_bytes(const struct zone_builder *builder)
{
	return builder->table ? ((size_t)builder->table_mask + 1) * sizeof(*builder->table) : 0;
}

static enum status grow_table(struct zone_builder *builder)
{
	uint32_t slots = builder->table ? (builder->table_mask + 1) * 2 : FIRST_NAMES * 2;
	uint64_t *table = bulk_resize(NULL, 0, slots * sizeof(*table));
	if (!table)
		return ST_NO_MEMORY;
	bulk_free(builder->table, table_bytes(builder));
	builder->table = table;
	builder->table_mask = slots - 1;
	for (uint32_t i = 0; i < builder->name_count; i++)
		put_in_table(builder, builder->names[i].hash, i);
	return ST_OK;
}

// `name` is the apex or lies below it.
static uint32_t find(const struct zone_builder *builder, uint64_t hash, const uint8_t *name, unsigned bytes)
{
	for (uint32_t at = (uint32_t)hash & builder->table_mask;; at = (at + 1) & builder->table_mask) {
		uint64_t slot = builder->table[at];
		if (!slot)
			return NOT_FOUND;
		if ((slot ^ hash) >> 32)
			continue;
		const struct draft_name *known = &builder->names[(uint32_t)slot - 1];
		if (known->hash == hash && known->bytes == bytes &&
			memcmp(known->own, name, draft_own_bytes(builder, known)) == 0)
			return (uint32_t)slot - 1;
	}
}

static uint32_t find_depth(const struct zone_builder *builder, const struct folded_name *name, unsigned depth)
{
	unsigned start = name->label_at[depth];
	return find(builder, name->hash[depth], name->wire + start, name->bytes - start);
}

// Adds a name; its parent is there already.
static uint32_t add_name(struct zone_builder *builder, uint64_t hash, const uint8_t *name, unsigned bytes, unsigned labels,
	uint32_t parent)
{
	if (builder->name_count == builder->name_room) {
		uint32_t room = builder->name_room ? builder->name_room * 2 : FIRST_NAMES;
		struct draft_name *names = bulk_resize(builder->names, builder->name_room * sizeof(*names),
			room * sizeof(*names));
		if (!names)
			return NOT_FOUND;
		builder->names = names;
		builder->name_room = room;
	}
	// Three quarters full at most.
	bool is_full = (uint64_t)(builder->name_count + 1) * 4 > ((uint64_t)builder->table_mask + 1) * 3;
	if ((!builder->table || is_full) && grow_table(builder) != ST_OK)
		return NOT_FOUND;
	uint32_t index = builder->name_count;
	unsigned own = index ? bytes - builder->apex.bytes : 0;
	uint8_t *copy = index ? arena_take_octets(builder->arena, own) : builder->apex_wire;
	if (!copy)
		return NOT_FOUND;
	memcpy(copy, name, index ? own : bytes);
	builder->name_count++;
	builder->names[index] = (struct draft_name){
		.own = copy, .bytes = (uint8_t)bytes, .labels = (uint8_t)labels, .hash = hash, .parent = parent,
	};
	builder->names[parent].has_child = index != 0;
	if (copy[0] == 1 && copy[1] == '*' && index)
		builder->names[parent].wildcard = index;
	put_in_table(builder, hash, index);
	return index;
}

// Up to the deepest ancestor there is, down again with those that are missing: empty non-terminals until they get
// records, RFC 4592 2.2.2.
static uint32_t add_with_ancestors(struct zone_builder *builder, const uint8_t *wire, unsigned bytes)
{
	struct folded_name name;
	name_prepare(&name, wire, bytes, builder->seed);
	unsigned depth = name.labels - 1u;
	uint32_t parent = 0;
	for (; depth > builder->names[0].labels; depth--) {
		parent = find_depth(builder, &name, depth);
		if (parent != NOT_FOUND)
			break;
	}
	if (depth == builder->names[0].labels)
		parent = 0;
	while (parent != NOT_FOUND && depth < name.labels) {
		unsigned start = name.label_at[++depth];
		parent = add_name(builder, name.hash[depth], name.wire + start, bytes - start, depth, parent);
	}
	return parent;
}

static uint32_t intern(struct zone_builder *builder, const struct batch_owner *owner, const uint8_t *name)
{
	uint32_t index = find(builder, owner->hash, name, owner->bytes), parent = 0;
	if (index != NOT_FOUND)
		return index;
	if (owner->labels > builder->names[0].labels + 1)
		parent = find(builder, owner->parent_hash, name + owner->parent_at, owner->bytes - owner->parent_at);
	if (parent == NOT_FOUND)
		return add_with_ancestors(builder, name, owner->bytes);
	return add_name(builder, owner->hash, name, owner->bytes, owner->labels, parent);
}

enum status builder_take(struct zone_builder *builder, const struct batch *batch)
{
	for (unsigned i = 0; i < batch->owner_count; i++) {
		const struct batch_owner *owner = &batch->owner[i];
		if (i + PREFETCH_OWNERS < batch->owner_count)
			prefetch_line(&builder->table[(uint32_t)owner[PREFETCH_OWNERS].hash & builder->table_mask]);
		uint32_t index = intern(builder, owner, batch->names + owner->name_at);
		if (index == NOT_FOUND)
			return ST_NO_MEMORY;
		// In reverse; zone_builder_check() turns the lists round.
		owner->last->next = builder->names[index].first;
		builder->names[index].first = owner->first;
	}
	builder->record_count += batch->record_count;
	builder->has_nsec3 |= batch->has_nsec3;
	return ST_OK;
}

enum status builder_settle(struct zone_builder *builder)
{
	enum status status = builder_take(builder, builder->batch);
	batch_empty(builder->batch);
	return status;
}

struct zone_builder *zone_builder_new(const uint8_t *apex, uint64_t hash_seed)
{
	struct zone_builder *builder = calloc(1, sizeof(*builder));
	if (!builder)
		return NULL;
	builder->seed = hash_seed;
	builder->threads = 1;
	builder->arena = arena_new();
	builder->batch = calloc(1, sizeof(*builder->batch));
	struct folded_name name;
	name_prepare(&name, apex, name_length(apex, NAME_MAX_BYTES), hash_seed);
	if (!builder->arena || !builder->batch ||
		add_name(builder, name.hash[name.labels], name.wire, name.bytes, name.labels, 0) == NOT_FOUND) {
		zone_builder_free(builder);
		return NULL;
	}
	builder->batch->arena = builder->arena;
	builder->names[0].flags = NODE_APEX;
	builder->apex = builder->names[0];
	return builder;
}

void zone_builder_free(struct zone_builder *builder)
{
	if (!builder)
		return;
	for (unsigned i = 0; i < builder->file_count; i++)
		free(builder->files[i].path);
	free(builder->files);
	if (builder->batch)
		batch_free(builder->batch);
	free(builder->batch);
	bulk_free(builder->table, table_bytes(builder));
	free(builder->nsec.link);
	free(builder->nsec3.link);
	free(builder->own_link);
	free(builder->part_at);
	bulk_free(builder->names, builder->name_room * sizeof(*builder->names));
	arena_free(builder->arena);
	free(builder);
}

void zone_builder_set_report(struct zone_builder *builder, struct report *report)
{
	builder->report = report;
}

void zone_builder_set_time(struct zone_builder *builder, uint64_t now_s)
{
	builder->now_s = now_s;
}

void zone_builder_set_threads(struct zone_builder *builder, unsigned threads)
{
	builder->threads = threads;
}

void zone_builder_set_interrupt(struct zone_builder *builder, const _Atomic bool *interrupted)
{
	builder->interrupted = interrupted;
}

int builder_add_files(struct zone_builder *builder, const char *path, unsigned count, uint32_t lines_before)
{
	unsigned first = builder->file_count;
	if (count > UINT16_MAX - first)
		return -1;
	struct draft_file *files = reallocarray(builder->files, first + count, sizeof(*files));
	if (!files)
		return -1;
	builder->files = files;
	for (unsigned i = 0; i < count; i++) {
		files[first + i] = (struct draft_file){ .path = strdup(path), .lines_before = lines_before };
		if (!files[first + i].path)
			return -1;
		builder->file_count++;
	}
	return (int)first;
}

static bool is_file(const struct draft_file *known, const char *file)
{
	return known->lines_before == 0 && strcmp(known->path, file) == 0;
}

// $INCLUDE alternates between few files: the one of the last record is looked at first.
static int file_index(struct zone_builder *builder, const char *file)
{
	if (builder->last_file < builder->file_count && is_file(&builder->files[builder->last_file], file))
		return (int)builder->last_file;
	int index = (int)builder->file_count - 1;
	while (index >= 0 && !is_file(&builder->files[index], file))
		index--;
	if (index < 0)
		index = builder->file_count == UINT16_MAX ? 0 : builder_add_files(builder, file, 1, 0);
	builder->last_file = index < 0 ? 0 : (unsigned)index;
	return index;
}

bool builder_is_inside(const struct zone_builder *builder, const uint8_t *name)
{
	const struct draft_name *apex = &builder->names[0];
	unsigned left = name_length(name, NAME_MAX_BYTES), i = 0;
	for (; left > apex->bytes; left -= *name + 1u, name += *name + 1u)
		;
	while (i < left && fold_byte(name[i]) == builder->apex_wire[i])
		i++;
	return i == apex->bytes;
}

enum status zone_builder_add(void *ctx, const struct record *record)
{
	struct zone_builder *builder = ctx;
	if (builder_is_interrupted(builder))
		return ST_REFUSED;
	if (builder->batch->owner_count == BATCH_OWNERS && builder_settle(builder) != ST_OK)
		return ST_NO_MEMORY;
	int file = file_index(builder, record->file);
	return file < 0 ? ST_NO_MEMORY : batch_add(builder->batch, builder, builder->report, record, (uint16_t)file);
}

uint32_t builder_find(const struct zone_builder *builder, const uint8_t *name)
{
	struct folded_name folded;
	if (!builder_is_inside(builder, name)) // as most name servers are: no look at the table
		return NOT_FOUND;
	name_prepare(&folded, name, name_length(name, NAME_MAX_BYTES), builder->seed);
	return find_depth(builder, &folded, folded.labels);
}

uint32_t builder_encloser(const struct zone_builder *builder, const uint8_t *name)
{
	struct folded_name folded;
	name_prepare(&folded, name, name_length(name, NAME_MAX_BYTES), builder->seed);
	for (unsigned depth = folded.labels; depth > builder->names[0].labels; depth--) {
		uint32_t index = find_depth(builder, &folded, depth);
		if (index != NOT_FOUND)
			return index;
	}
	return 0;
}

const uint8_t *draft_wire(const struct zone_builder *builder, const struct draft_name *name, uint8_t *wire)
{
	unsigned own = draft_own_bytes(builder, name);
	memcpy(wire, name->own, own);
	memcpy(wire + own, builder->apex_wire, builder->apex.bytes);
	return wire;
}

char *draft_text(const struct zone_builder *builder, const struct draft_name *name, char text[NAME_TEXT_BYTES])
{
	uint8_t wire[NAME_MAX_BYTES];
	return name_to_text(text, draft_wire(builder, name, wire));
}

const struct draft_record *draft_first(const struct draft_name *name, uint16_t type)
{
	for (const struct draft_record *record = name->first; record; record = record->next) {
		if (record->type == type && !record->ignored)
			return record;
	}
	return NULL;
}

const char *builder_file(const struct zone_builder *builder, const struct draft_record *record)
{
	return builder->files[record->file].path;
}

unsigned builder_line(const struct zone_builder *builder, const struct draft_record *record)
{
	return builder->files[record->file].lines_before + record->line;
}

// RFC 3403 4.1: order, preference, three texts, then the replacement. Its flags say whether addresses or an SRV
// RRset are what the client will ask for next.
static int naptr_name_at(const struct draft_record *record)
{
	unsigned flags_at = 4, at = flags_at;
	bool ends = false;
	for (unsigned i = 0; i < record->rdata[flags_at]; i++)
		ends |= strchr("AaSs", record->rdata[flags_at + 1 + i]) != NULL && record->rdata[flags_at + 1 + i];
	for (unsigned texts = 0; texts < 3; texts++)
		at += 1u + record->rdata[at];
	return ends ? (int)at : -1;
}

int additional_name_at(const struct draft_record *record)
{
	switch (record->type) {
	case TYPE_NS:
	case TYPE_CNAME:
		return 0;
	case TYPE_MX:
		return 2;
	case TYPE_SRV:
		return 6;
	case 64: // SVCB
	case 65: // HTTPS
	case 36: // KX
	case 18: // AFSDB
		return 2;
	case TYPE_NAPTR:
		return naptr_name_at(record);
	default:
		return -1;
	}
}
