// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>

#include "quota.h"

void quota_init(struct quota *quota)
{
	memset(quota, 0, sizeof(*quota));
	arc4random_buf(quota->key, sizeof(quota->key));
}

static struct quota_slot *slot_of(struct quota *quota, unsigned row, uint64_t client)
{
	uint64_t hash = name_mix(client ^ quota->key[row], UINT64_C(0x9e3779b97f4a7c15));
	return &quota->row[row][name_mix(hash ^ quota->key[!row], UINT64_C(0xd6e8feb86659fd93)) % QUOTA_SLOTS];
}

// One network has many addresses under IPv6: its /64 counts (RFC 7421 2.1).
static uint64_t client_of(const uint8_t *address, unsigned address_bytes)
{
	uint64_t client = 0;
	memcpy(&client, address, address_bytes == 4 ? 4 : 8);
	return address_bytes == 4 ? client << 32 | 1 : client;
}

static void turn_window(struct quota_slot *slot, uint32_t window)
{
	if (slot->window == window)
		return;
	slot->before = slot->window + 1 == window ? slot->now : 0;
	slot->now = 0;
	slot->window = window;
}

static uint32_t taken(const struct quota_slot *slot)
{
	return (uint32_t)slot->now + slot->before;
}

bool quota_take(struct quota *quota, const uint8_t *address, unsigned address_bytes, uint32_t most, uint64_t now_ms)
{
	uint32_t window = (uint32_t)(now_ms / QUOTA_WINDOW_MS);
	uint64_t client = client_of(address, address_bytes);
	struct quota_slot *a = slot_of(quota, 0, client), *b = slot_of(quota, 1, client);
	turn_window(a, window);
	turn_window(b, window);
	uint32_t out = taken(a) < taken(b) ? taken(a) : taken(b);
	if (out >= most || a->now == UINT16_MAX || b->now == UINT16_MAX)
		return false;
	a->now++;
	b->now++;
	return true;
}

static void give(struct quota_slot *slot, uint32_t window)
{
	turn_window(slot, window);
	if (slot->before)
		slot->before--;
	else if (slot->now)
		slot->now--;
}

void quota_give(struct quota *quota, const uint8_t *address, unsigned address_bytes, uint64_t now_ms)
{
	uint32_t window = (uint32_t)(now_ms / QUOTA_WINDOW_MS);
	uint64_t client = client_of(address, address_bytes);
	give(slot_of(quota, 0, client), window);
	give(slot_of(quota, 1, client), window);
}
