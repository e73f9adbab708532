// SPDX-License-Identifier: BSD-3-Clause
// Any octets as an access block: no look-up leaves them. And as rules: what is made of them is sound, and says the same as
// reading the rules one by one.
#include <stdlib.h>
#include <string.h>

#include <pollux/access.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RULES_MAX 32

static const uint8_t *address;
static unsigned address_bytes;

static void must(bool good)
{
	if (!good)
		abort();
}

static void read_block(const uint8_t *data, size_t size)
{
	uint8_t addresses[3][16] = { { 0 }, { 198, 18, 0, 1 } };
	struct access view;
	uint8_t *copy = malloc(size ? size : 1);
	must(copy != NULL);
	memset(addresses[2], 0xff, 16);
	memcpy(copy, data, size);
	bool sound = access_open(&view, copy, size);
	for (unsigned i = 0; i < 3; i++) {
		unsigned rights = access_rights(&view, addresses[i], 4) | access_rights(&view, addresses[i], 16);
		must(sound || rights == 0);
		must(!access_check(copy, size) || rights <= ACCESS_ALL);
	}
	free(copy);
}

static bool fits(const struct access_rule *rule)
{
	unsigned whole = rule->length / 8, rest = rule->length % 8;
	if (rule->address_bytes != address_bytes || memcmp(rule->address, address, whole) != 0)
		return false;
	return !rest || !((rule->address[whole] ^ address[whole]) >> (8 - rest));
}

static unsigned plainly(const struct access_list *lists)
{
	unsigned rights = 0;
	for (unsigned l = 0; l < ACCESS_RIGHTS; l++) {
		unsigned i = 0;
		while (i < lists[l].count && !fits(&lists[l].rule[i]))
			i++;
		if (i < lists[l].count && !lists[l].rule[i].denies)
			rights |= 1u << l;
	}
	return rights;
}

// Each 18 octets are a rule: list, family and sign; length; address.
static void compile(const uint8_t *data, size_t size)
{
	static struct access_rule rules[ACCESS_RIGHTS][RULES_MAX];
	struct access_list lists[ACCESS_RIGHTS] = { { rules[0], 0 }, { rules[1], 0 }, { rules[2], 0 } };
	const struct access_terms terms = { .max_misses = 7 };
	struct access view;
	uint64_t bytes;
	void *block;
	bool sound = true;
	const uint8_t *at = data;
	for (; size >= 18; size -= 18, at += 18) {
		struct access_list *list = &lists[at[0] % ACCESS_RIGHTS];
		if (list->count == RULES_MAX)
			continue;
		struct access_rule *rule = &rules[at[0] % ACCESS_RIGHTS][list->count++];
		*rule = (struct access_rule){ .address_bytes = at[0] & 0x80 ? 4 : 16, .length = at[1], .denies = at[0] & 0x40 };
		memcpy(rule->address, at + 2, 16);
		sound &= rule->length <= rule->address_bytes * 8;
	}
	must(access_compile(lists, &terms, &block, &bytes) == (sound ? ST_OK : ST_INVALID));
	if (!sound)
		return;
	must(access_check(block, bytes) && access_open(&view, block, bytes));
	for (const uint8_t *probe = data; probe < at; probe += 18) {
		for (address_bytes = 4; address_bytes <= 16; address_bytes += 12) {
			address = probe + 2;
			must(access_rights(&view, address, address_bytes) == plainly(lists));
		}
	}
	free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	(data[0] & 1 ? compile : read_block)(data + 1, size - 1);
	return 0;
}
