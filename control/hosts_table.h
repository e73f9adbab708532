// SPDX-License-Identifier: BSD-3-Clause
// Hosts files, read: which addresses a name has, and which name an address. Read in any thread, and only
// looked into from then on; no clock, no sockets.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <pollux/report.h>
#include <pollux/status.h>

#define HOST_ADDRESSES_MAX 256 // of one name; more fit into no sensible answer

struct hosts_table;

struct host_place {
	const char *file; // the table's
	unsigned line;
};

struct host_address {
	uint8_t bytes[16]; // network order; 4 used of an IPv4 address
	uint8_t length;	   // 4 or 16
	struct host_place place;
};

// `seed` keys the hashes. NULL: no memory.
struct hosts_table *hosts_table_new(uint64_t seed);
void hosts_table_free(struct hosts_table *); // NULL is fine

// Adds what a file says: lines of an address and its names, # starts a comment, the scope of an IPv6 address
// is ignored. What cannot be read is reported as a warning with file:line:column and skipped: ST_OK. The
// first line wins when two give different names to one address. ST_NOT_FOUND, ST_SYSTEM (a warning, too): the
// file cannot be read; ST_NO_MEMORY, ST_CANCELLED: *interrupted (NULL: never) became true. In these cases a
// part of the file may have been added.
CHECKED enum status hosts_table_read(
	struct hosts_table *, const char *path, struct report *, const _Atomic bool *interrupted);

unsigned hosts_table_names(const struct hosts_table *);
unsigned hosts_table_addresses(const struct hosts_table *); // different ones

// Addresses of a wire name, whatever its case, in the order of the file: how many were written to `to`, which
// has room for HOST_ADDRESSES_MAX. 0: the name is in no file.
unsigned hosts_table_find(const struct hosts_table *, const uint8_t *name, struct host_address *to);
// The wire name of an address of 4 or 16 octets: the first on the first line that has it. NULL: none.
const uint8_t *hosts_table_name_of(
	const struct hosts_table *, const uint8_t *address, unsigned length, struct host_place *);
