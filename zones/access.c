// SPDX-License-Identifier: BSD-3-Clause
#include <stdlib.h>
#include <string.h>

#include <pollux/access.h>
#include <pollux/bytes.h>

#define ACCESS_MAGIC 0x41584c50u // "PLXA"
#define ACCESS_FORMAT 1u

// Behind it: start6[count6], start4[count4], rights6[count6], rights4[count4].
struct access_head {
	uint32_t magic, format;
	uint32_t count4, count6;
	uint32_t max_misses;
	uint8_t everybody, drops, unused[10];
};
_Static_assert(sizeof(struct access_head) % 16 == 0, "what follows is aligned");

// --- reading ---

static uint64_t block_bytes(uint64_t count4, uint64_t count6)
{
	return sizeof(struct access_head) + count6 * (2 * sizeof(uint64_t) + 1) + count4 * (sizeof(uint32_t) + 1);
}

static void place(struct access *to, const void *block, uint32_t count4, uint32_t count6)
{
	to->count4 = count4;
	to->count6 = count6;
	to->start6 = (const uint64_t *)((const uint8_t *)block + sizeof(struct access_head));
	to->start4 = (const uint32_t *)(to->start6 + 2 * (uint64_t)count6);
	to->rights6 = (const uint8_t *)(to->start4 + count4);
	to->rights4 = to->rights6 + count6;
}

// The same interval from end to end, for blocks that are not there or cannot be read.
static void open_flat(struct access *to, uint8_t rights)
{
	*to = (struct access){ .everybody = rights, .terms.max_misses = UINT32_MAX };
}

bool access_open(struct access *to, const void *block, uint64_t bytes)
{
	struct access_head head;
	if (!block) {
		open_flat(to, ACCESS_QUERY | ACCESS_RECURSION);
		return true;
	}
	open_flat(to, 0);
	if (bytes < sizeof(head))
		return false;
	memcpy(&head, block, sizeof(head));
	if (head.magic != ACCESS_MAGIC || head.format != ACCESS_FORMAT || !head.count4 || !head.count6 ||
		block_bytes(head.count4, head.count6) != bytes)
		return false;
	place(to, block, head.count4, head.count6);
	to->everybody = head.everybody & ACCESS_ALL;
	to->terms = (struct access_terms){ .max_misses = head.max_misses, .drops = head.drops };
	return true;
}

// The last interval that starts at or before the address. The first one starts at 0, and that is not looked at: the
// result is below `count` whatever the memory holds.
static unsigned find4(const uint32_t *start, uint32_t count, uint32_t address)
{
	uint32_t at = 0;
	while (count > 1) {
		uint32_t half = count / 2;
		at = start[at + half] <= address ? at + half : at;
		count -= half;
	}
	return at;
}

static unsigned find6(const uint64_t *start, uint32_t count, uint64_t high, uint64_t low)
{
	uint32_t at = 0;
	while (count > 1) {
		uint32_t half = count / 2;
		const uint64_t *middle = start + 2 * (uint64_t)(at + half);
		if (middle[0] < high || (middle[0] == high && middle[1] <= low))
			at += half;
		count -= half;
	}
	return at;
}

static uint64_t load_half(const uint8_t *p)
{
	return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

unsigned access_rights(const struct access *access, const uint8_t *address, unsigned address_bytes)
{
	if (!address || !access->count4)
		return access->everybody;
	if (address_bytes == 4)
		return access->rights4[find4(access->start4, access->count4, load_be32(address))];
	return access->rights6[find6(access->start6, access->count6, load_half(address), load_half(address + 8))];
}

unsigned access_rights_after_search(struct access *access, uint32_t address)
{
	uint32_t at = find4(access->start4, access->count4, address);
	// Up to the next interval, or to the last address but one. What the memory holds may be nonsense, but nothing worse.
	access->last_start4 = access->start4[at];
	access->last_size4 = (at + 1 < access->count4 ? access->start4[at + 1] : UINT32_MAX) - access->last_start4;
	access->last_rights4 = access->rights4[at];
	return access->last_rights4;
}

static bool check_rights(const uint8_t *rights, uint32_t count, uint8_t everybody)
{
	uint8_t all = ACCESS_ALL;
	for (uint32_t i = 0; i < count; i++) {
		if (rights[i] & ~ACCESS_ALL)
			return false;
		all &= rights[i];
	}
	return (everybody & ~all) == 0;
}

bool access_check(const void *block, uint64_t bytes)
{
	struct access a;
	if (!block || !access_open(&a, block, bytes) || a.start4[0] || a.start6[0] || a.start6[1])
		return false;
	for (uint32_t i = 1; i < a.count4; i++) {
		if (a.start4[i - 1] >= a.start4[i])
			return false;
	}
	for (uint64_t i = 1; i < a.count6; i++) {
		const uint64_t *x = a.start6 + 2 * (i - 1), *y = x + 2;
		if (x[0] > y[0] || (x[0] == y[0] && x[1] >= y[1]))
			return false;
	}
	return check_rights(a.rights4, a.count4, a.everybody) && check_rights(a.rights6, a.count6, a.everybody);
}

// --- making ---

// Addresses of both families are numbers of 128 bits here.
struct family {
	unsigned address_bytes;
	__uint128_t *start; // of the intervals, ascending
	uint8_t *rights;
	uint32_t count;
};

static __uint128_t first_of(const struct access_rule *rule)
{
	__uint128_t value = 0;
	for (unsigned i = 0; i < rule->address_bytes; i++)
		value = value << 8 | rule->address[i];
	unsigned host_bits = rule->address_bytes * 8u - rule->length;
	return host_bits == 128 ? 0 : value >> host_bits << host_bits;
}

static __uint128_t last_of(const struct access_rule *rule)
{
	unsigned host_bits = rule->address_bytes * 8u - rule->length;
	return host_bits == 128 ? ~(__uint128_t)0 : first_of(rule) + ((__uint128_t)1 << host_bits) - 1;
}

static int compare_starts(const void *a, const void *b)
{
	const __uint128_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

// Every address at which anything may change.
static void gather_starts(struct family *f, const struct access_list *lists)
{
	__uint128_t most = f->address_bytes == 4 ? UINT32_MAX : ~(__uint128_t)0;
	f->start[f->count++] = 0;
	for (unsigned l = 0; l < ACCESS_RIGHTS; l++) {
		for (unsigned i = 0; i < lists[l].count; i++) {
			const struct access_rule *rule = &lists[l].rule[i];
			if (rule->address_bytes != f->address_bytes)
				continue;
			f->start[f->count++] = first_of(rule);
			if (last_of(rule) < most)
				f->start[f->count++] = last_of(rule) + 1;
		}
	}
	qsort(f->start, f->count, sizeof(*f->start), compare_starts);
	uint32_t kept = 1;
	for (uint32_t i = 1; i < f->count; i++) {
		if (f->start[i] != f->start[kept - 1])
			f->start[kept++] = f->start[i];
	}
	f->count = kept;
}

static uint32_t interval_of(const struct family *f, __uint128_t address)
{
	uint32_t at = 0;
	for (uint32_t count = f->count; count > 1;) {
		uint32_t half = count / 2;
		at = f->start[at + half] <= address ? at + half : at;
		count -= half;
	}
	return at;
}

// From the last rule to the first, so that the first one has the last word.
static void paint(struct family *f, const struct access_list *list, uint8_t right)
{
	for (unsigned i = list->count; i--;) {
		const struct access_rule *rule = &list->rule[i];
		if (rule->address_bytes != f->address_bytes)
			continue;
		__uint128_t last = last_of(rule);
		for (uint32_t k = interval_of(f, first_of(rule)); k < f->count && f->start[k] <= last; k++)
			f->rights[k] = (uint8_t)(rule->denies ? f->rights[k] & ~right : f->rights[k] | right);
	}
}

static void join_equals(struct family *f)
{
	uint32_t kept = 1;
	for (uint32_t i = 1; i < f->count; i++) {
		if (f->rights[i] == f->rights[kept - 1])
			continue;
		f->start[kept] = f->start[i];
		f->rights[kept++] = f->rights[i];
	}
	f->count = kept;
}

static bool make_family(struct family *f, unsigned address_bytes, const struct access_list *lists, size_t rules)
{
	f->address_bytes = address_bytes;
	f->start = calloc(2 * rules + 1, sizeof(*f->start));
	f->rights = calloc(2 * rules + 1, 1);
	if (!f->start || !f->rights)
		return false;
	gather_starts(f, lists);
	for (unsigned l = 0; l < ACCESS_RIGHTS; l++)
		paint(f, &lists[l], (uint8_t)(1 << l));
	join_equals(f);
	return true;
}

static uint8_t common_rights(const struct family *f)
{
	uint8_t all = ACCESS_ALL;
	for (uint32_t i = 0; i < f->count; i++)
		all &= f->rights[i];
	return all;
}

static void fill(void *block, const struct family *f4, const struct family *f6,
	const struct access_terms *terms)
{
	struct access_head head = { .magic = ACCESS_MAGIC,
		.format = ACCESS_FORMAT,
		.count4 = f4->count,
		.count6 = f6->count,
		.everybody = common_rights(f4) & common_rights(f6),
		.max_misses = terms->max_misses,
		.drops = terms->drops };
	struct access to;
	memcpy(block, &head, sizeof(head));
	place(&to, block, f4->count, f6->count);
	for (uint32_t i = 0; i < f4->count; i++)
		((uint32_t *)to.start4)[i] = (uint32_t)f4->start[i];
	for (uint64_t i = 0; i < f6->count; i++) {
		((uint64_t *)to.start6)[2 * i] = (uint64_t)(f6->start[i] >> 64);
		((uint64_t *)to.start6)[2 * i + 1] = (uint64_t)f6->start[i];
	}
	memcpy((uint8_t *)to.rights4, f4->rights, f4->count);
	memcpy((uint8_t *)to.rights6, f6->rights, f6->count);
}

enum status access_compile(const struct access_list list[ACCESS_RIGHTS], const struct access_terms *terms, void **block,
	uint64_t *bytes)
{
	struct family f4 = { 0 }, f6 = { 0 };
	size_t rules = 0;
	*block = NULL;
	for (unsigned l = 0; l < ACCESS_RIGHTS; l++) {
		rules += list[l].count;
		for (unsigned i = 0; i < list[l].count; i++) {
			const struct access_rule *rule = &list[l].rule[i];
			if ((rule->address_bytes != 4 && rule->address_bytes != 16) || rule->length > rule->address_bytes * 8)
				return ST_INVALID;
		}
	}
	if (make_family(&f4, 4, list, rules) && make_family(&f6, 16, list, rules)) {
		*bytes = block_bytes(f4.count, f6.count);
		*block = calloc(1, *bytes);
	}
	if (*block)
		fill(*block, &f4, &f6, terms);
	free(f4.start);
	free(f4.rights);
	free(f6.start);
	free(f6.rights);
	return *block ? ST_OK : ST_NO_MEMORY;
}
