// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "arena.h"
#include "builder.h"
#include "bulk.h"

#define FIRST_NAMES 16
#define NOT_FOUND UINT32_MAX
#define OWNERS_WAITING 8 // a power of two

// An owner whose place in the table is being fetched from memory while the next ones are read, with its
// records so far, last one first. Most records follow one of the same owner.
struct waiting_owner {
	struct draft_record *first, *last;
	struct folded_name name;
};

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

static uint32_t find(const struct zone_builder *builder, const struct folded_name *name, unsigned depth)
{
	uint64_t hash = name->hash[depth];
	unsigned start = name->label_at[depth], bytes = name->bytes - start;
	for (uint32_t at = (uint32_t)hash & builder->table_mask;; at = (at + 1) & builder->table_mask) {
		uint64_t slot = builder->table[at];
		if (!slot)
			return NOT_FOUND;
		if ((slot ^ hash) >> 32)
			continue;
		const struct draft_name *known = &builder->names[(uint32_t)slot - 1];
		if (known->hash == hash && known->bytes == bytes &&
			memcmp(known->name, name->wire + start, bytes) == 0)
			return (uint32_t)slot - 1;
	}
}

// Adds the suffix of `depth` labels; its parent is there already.
static uint32_t add_name(struct zone_builder *builder, const struct folded_name *name, unsigned depth, uint32_t parent)
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
	unsigned start = name->label_at[depth], bytes = name->bytes - start;
	uint8_t *copy = arena_take(builder->arena, bytes);
	if (!copy)
		return NOT_FOUND;
	memcpy(copy, name->wire + start, bytes);
	uint32_t index = builder->name_count++;
	builder->names[index] = (struct draft_name){
		.name = copy, .bytes = (uint8_t)bytes, .labels = (uint8_t)depth, .hash = name->hash[depth], .parent = parent,
	};
	builder->names[parent].has_child = index != 0;
	if (copy[0] == 1 && copy[1] == '*' && index)
		builder->names[parent].wildcard = index;
	put_in_table(builder, name->hash[depth], index);
	return index;
}

static uint32_t intern(struct zone_builder *builder, const struct folded_name *name)
{
	uint32_t index = find(builder, name, name->labels);
	if (index != NOT_FOUND)
		return index;
	// Up to the deepest ancestor there is, down again with those that are missing: empty non-terminals until
	// they get records, RFC 4592 2.2.2.
	unsigned depth = name->labels - 1u;
	uint32_t parent = 0;
	for (; depth > builder->names[0].labels; depth--) {
		parent = find(builder, name, depth);
		if (parent != NOT_FOUND)
			break;
	}
	if (depth == builder->names[0].labels)
		parent = 0;
	while (parent != NOT_FOUND && depth < name->labels)
		parent = add_name(builder, name, ++depth, parent);
	return parent;
}

struct zone_builder *zone_builder_new(const uint8_t *apex, uint64_t hash_seed)
{
	struct zone_builder *builder = calloc(1, sizeof(*builder));
	if (!builder)
		return NULL;
	builder->seed = hash_seed;
	builder->arena = arena_new();
	builder->waiting = malloc(OWNERS_WAITING * sizeof(*builder->waiting));
	struct folded_name name;
	name_prepare(&name, apex, name_length(apex, NAME_MAX_BYTES), hash_seed);
	if (!builder->arena || !builder->waiting || add_name(builder, &name, name.labels, 0) == NOT_FOUND) {
		zone_builder_free(builder);
		return NULL;
	}
	builder->names[0].flags = NODE_APEX;
	return builder;
}

void zone_builder_free(struct zone_builder *builder)
{
	if (!builder)
		return;
	for (unsigned i = 0; i < builder->file_count; i++)
		free(builder->files[i]);
	free(builder->files);
	free(builder->waiting);
	bulk_free(builder->table, table_bytes(builder));
	free(builder->nsec.link);
	free(builder->nsec3.link);
	free(builder->own_link);
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

// $INCLUDE alternates between few files: the one seen last is looked at first.
static int file_index(struct zone_builder *builder, const char *file)
{
	for (unsigned i = builder->file_count; i-- > 0;) {
		if (strcmp(builder->files[i], file) == 0)
			return (int)i;
	}
	if (builder->file_count == UINT16_MAX)
		return UINT16_MAX - 1;
	char **files = reallocarray(builder->files, builder->file_count + 1, sizeof(*files));
	if (!files)
		return -1;
	builder->files = files;
	files[builder->file_count] = strdup(file);
	return files[builder->file_count] ? (int)builder->file_count++ : -1;
}

bool builder_is_inside(const struct zone_builder *builder, const uint8_t *name)
{
	const struct draft_name *apex = &builder->names[0];
	unsigned left = name_length(name, NAME_MAX_BYTES), i = 0;
	for (; left > apex->bytes; left -= *name + 1u, name += *name + 1u)
		;
	while (i < left && fold_byte(name[i]) == apex->name[i])
		i++;
	return i == apex->bytes;
}

// The owner that has waited longest gets its name and its records.
static enum status settle_owner(struct zone_builder *builder)
{
	struct waiting_owner *owner = &builder->waiting[builder->waiting_first];
	builder->waiting_first = (builder->waiting_first + 1) % OWNERS_WAITING;
	builder->waiting_count--;
	uint32_t index = intern(builder, &owner->name);
	if (index == NOT_FOUND)
		return ST_NO_MEMORY;
	// In reverse; zone_builder_check() turns the lists round.
	owner->last->next = builder->names[index].first;
	builder->names[index].first = owner->first;
	return ST_OK;
}

enum status builder_settle(struct zone_builder *builder)
{
	enum status status = ST_OK;
	while (builder->waiting_count && status == ST_OK)
		status = settle_owner(builder);
	return status;
}

static bool is_waiting_owner(const struct waiting_owner *waiting, const uint8_t *owner, unsigned bytes)
{
	unsigned i = 0;
	if (waiting->name.bytes != bytes)
		return false;
	while (i < bytes && fold_byte(owner[i]) == waiting->name.wire[i])
		i++;
	return i == bytes;
}

static struct waiting_owner *wait_for_owner(struct zone_builder *builder, const uint8_t *owner)
{
	unsigned bytes = name_length(owner, NAME_MAX_BYTES), count = builder->waiting_count;
	struct waiting_owner *waiting = &builder->waiting[(builder->waiting_first + count - 1) % OWNERS_WAITING];
	if (count && is_waiting_owner(waiting, owner, bytes))
		return waiting;
	if (count == OWNERS_WAITING && settle_owner(builder) != ST_OK)
		return NULL;
	waiting = &builder->waiting[(builder->waiting_first + builder->waiting_count++) % OWNERS_WAITING];
	waiting->first = waiting->last = NULL;
	name_prepare(&waiting->name, owner, bytes, builder->seed);
	__builtin_prefetch(&builder->table[(uint32_t)waiting->name.hash[waiting->name.labels] & builder->table_mask]);
	return waiting;
}

enum status zone_builder_add(void *ctx, const struct record *record)
{
	struct zone_builder *builder = ctx;
	if (!builder_is_inside(builder, record->owner)) {
		if (builder->report) {
			char text[NAME_TEXT_BYTES];
			report_at(builder->report, SEVERITY_WARNING, record->file, record->line, 1,
				"%s is outside the zone: ignored", name_to_text(text, record->owner));
		}
		return ST_OK;
	}
	int file = file_index(builder, record->file);
	struct draft_record *draft = arena_take(builder->arena, sizeof(*draft) + record->rdata_bytes);
	struct waiting_owner *owner = file < 0 || !draft ? NULL : wait_for_owner(builder, record->owner);
	if (!owner)
		return ST_NO_MEMORY;
	*draft = (struct draft_record){ .next = owner->first, .ttl = record->ttl, .line = record->line,
		.type = record->type, .rdata_bytes = record->rdata_bytes, .file = (uint16_t)file };
	memcpy(draft->rdata, record->rdata, record->rdata_bytes);
	owner->first = draft;
	if (!owner->last)
		owner->last = draft;
	builder->record_count++;
	return ST_OK;
}

uint32_t builder_find(const struct zone_builder *builder, const uint8_t *name)
{
	struct folded_name folded;
	if (!builder_is_inside(builder, name)) // as most name servers are: no look at the table
		return NOT_FOUND;
	name_prepare(&folded, name, name_length(name, NAME_MAX_BYTES), builder->seed);
	return find(builder, &folded, folded.labels);
}

uint32_t builder_encloser(const struct zone_builder *builder, const uint8_t *name)
{
	struct folded_name folded;
	name_prepare(&folded, name, name_length(name, NAME_MAX_BYTES), builder->seed);
	for (unsigned depth = folded.labels; depth > builder->names[0].labels; depth--) {
		uint32_t index = find(builder, &folded, depth);
		if (index != NOT_FOUND)
			return index;
	}
	return 0;
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
	return builder->files[record->file];
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
