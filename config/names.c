// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>

#include "names.h"

static unsigned hash_name(const uint8_t *wire)
{
	unsigned bytes = name_length(wire, NAME_MAX_BYTES), hash = 2166136261u;
	for (unsigned i = 0; i < bytes; i++)
		hash = (hash ^ fold_byte(wire[i])) * 16777619u;
	return hash;
}

// The slot of an equal apex, or the free one where it would be.
static unsigned *find_slot(
	unsigned *slots, unsigned slot_count, const struct zone_config *zones, const uint8_t *apex)
{
	unsigned at = hash_name(apex) & (slot_count - 1);
	while (slots[at] && !name_equal(zones[slots[at] - 1].apex, apex))
		at = (at + 1) & (slot_count - 1);
	return &slots[at];
}

static bool grow(struct name_set *set, const struct zone_config *zones)
{
	unsigned slot_count = set->slot_count ? set->slot_count * 2 : 64;
	unsigned *slots = calloc(slot_count, sizeof(*slots));
	if (!slots)
		return false;
	for (unsigned i = 0; i < set->slot_count; i++)
		if (set->slots[i])
			*find_slot(slots, slot_count, zones, zones[set->slots[i] - 1].apex) = set->slots[i];
	free(set->slots);
	set->slots = slots;
	set->slot_count = slot_count;
	return true;
}

unsigned name_set_add(struct name_set *set, const struct zone_config *zones, unsigned index)
{
	if (set->used * 2 >= set->slot_count && !grow(set, zones))
		return index;
	unsigned *slot = find_slot(set->slots, set->slot_count, zones, zones[index].apex);
	if (*slot)
		return *slot - 1;
	*slot = index + 1;
	set->used++;
	return index;
}

void name_set_free(struct name_set *set)
{
	free(set->slots);
	*set = (struct name_set){ 0 };
}
