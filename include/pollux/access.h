// SPDX-License-Identifier: BSD-3-Clause
// Who may do what, by address. The lists of the configuration are compiled into one block of the zones region (catalog.h,
// BLOCK_ACCESS): for each family the sorted, disjoint intervals of addresses with the rights each of them has, so that one
// binary search says everything about a client. Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/bytes.h>
#include <pollux/status.h>

#define ACCESS_RIGHTS 3
enum access_right {
	ACCESS_QUERY = 1 << 0,	   // an answer at all
	ACCESS_RECURSION = 1 << 1, // answers from behind our own zones
	ACCESS_TRANSFER = 1 << 2,  // whole zones
	ACCESS_ALL = (1 << ACCESS_RIGHTS) - 1,
};

// One rule of a list: these addresses have the right, or have not.
struct access_rule {
	uint8_t address_bytes; // 4 or 16
	uint8_t length;	       // of the prefix in bits
	bool denies;
	uint8_t address[16];
};

// The first rule that fits decides; who fits none has not got the right.
struct access_list {
	const struct access_rule *rule;
	unsigned count;
};

// What goes with the lists.
struct access_terms {
	uint32_t max_misses; // questions of one client that control may be working on, for each worker
	bool drops;	     // who may not ask gets no answer, not REFUSED
};

// Makes the block; *block is the caller's, a malloc. list[i] speaks about the right 1 << i. ST_NO_MEMORY. ST_INVALID: a
// rule that cannot be.
CHECKED enum status access_compile(const struct access_list list[ACCESS_RIGHTS], const struct access_terms *, void **block,
	uint64_t *bytes);

// A block as its readers see it. Copied, so that nothing but look-ups happens in foreign memory; whatever that holds, a
// look-up stays inside.
struct access {
	const uint32_t *start4;	  // of each interval, in host order; the first is 0
	const uint64_t *start6;	  // the same, upper and lower half
	const uint8_t *rights4, *rights6;
	uint32_t count4, count6;
	uint8_t everybody; // rights that no address lacks
	uint8_t last_rights4; // of the interval of IPv4 addresses that was met last: [last_start4, last_start4 + last_size4)
	uint32_t last_start4, last_size4;
	struct access_terms terms;
};

// The view of a block; NULL: no block, then everybody may ask and nobody may have whole zones. False: those octets are
// no such block, and the view gives no rights to anybody.
bool access_open(struct access *, const void *block, uint64_t bytes);
// The full check, for whoever made the block or found it: the above, and intervals in order with rights that exist.
bool access_check(const void *block, uint64_t bytes);
// The rights of a client; `address` in network order, 4 or 16 octets. NULL: not known; then those that everybody has.
unsigned access_rights(const struct access *, const uint8_t *address, unsigned address_bytes);
// The same for one client behind the other. Clients come from few intervals: an IPv4 address from that of the last one
// needs no search.
unsigned access_rights_after_search(struct access *, uint32_t address);
static inline unsigned access_rights_next(struct access *access, const uint8_t *address, unsigned address_bytes)
{
	if (address_bytes != 4 || !address || !access->count4)
		return access_rights(access, address, address_bytes);
	uint32_t number = load_be32(address);
	return number - access->last_start4 < access->last_size4 ? access->last_rights4 : access_rights_after_search(access, number);
}
