// SPDX-License-Identifier: BSD-3-Clause
// The zones region: one shared file that holds every compiled zone and the directory that finds them.
// One process writes (control), any number read. The writer builds an image in unused space and swaps
// one 8-octet directory slot; space given up is used again only after the writer has seen every reader
// pass a quiescent point (a turn of the worker's loop). A dead writer leaves a complete directory
// behind: the next one finds from it which space is in use.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/bounds.h>
#include <pollux/image.h>
#include <pollux/name.h>
#include <pollux/status.h>

#define CATALOG_MAGIC 0x43584c50u // "PLXC"
#define CATALOG_FORMAT 4u

// What the configuration says about answering; small enough to be swapped whole, so a worker never
// sees half a change.
struct policy {
	uint16_t udp_size;	// ceiling of a UDP answer in octets, 512..DNS_UDP_CEILING_BYTES
	uint16_t opcodes;	// bit n: control has somebody who understands opcode n; the others are NOTIMP. Bit 0,
				// QUERY: control answers everything itself
	unsigned has_chain : 1; // somebody behind the zones may know more: RA is set, RD questions are a miss
	unsigned any_full : 1;	// ANY over UDP gets every RRset, not one (RFC 8482)
	unsigned minimal : 1;	// no additional records but the glue of referrals
	unsigned first_question : 1; // of several the first is answered, instead of FORMERR (RFC 9619)
	unsigned may_not_recurse : 1; // never set for all: this client may not use the chain, so has_chain is 0
	unsigned log_queries : 2; // level of the query log
	unsigned unused : 9;
	unsigned log_sample : 16; // one in so many answers is logged; 0 is 1
};
_Static_assert(sizeof(struct policy) == 8, "a policy is one atomic word");

enum cookie_mode {
	COOKIES_OFF,	// the option is ignored
	COOKIES_ON,	// answered, whatever the client's cookie is worth
	COOKIES_STRICT, // a client that sends one over UDP must send a valid one: else BADCOOKIE (RFC 7873 5.2.3)
};

// What the server says about itself, and the keys of its cookies. A block of the region that never changes:
// a new one takes its place by one store, the old one is retired like an image.
struct server_identity {
	uint32_t bytes;		 // of this struct: another size is another version's
	uint8_t cookie_mode;	 // enum cookie_mode
	uint8_t secret_count;	 // 1 or 2; cookies are made with the first and accepted from all
	uint8_t nsid_bytes, version_bytes, id_bytes; // 0: not told
	uint8_t unused[7];
	uint64_t random_since_s; // since 1970: when control made up the first secret; 0: it was configured
	uint8_t secret[2][COOKIE_SECRET_BYTES];
	uint8_t nsid[IDENTITY_TEXT_BYTES];   // RFC 5001
	uint8_t version[CHAOS_TEXT_BYTES];   // version.bind, version.server
	uint8_t id[CHAOS_TEXT_BYTES];	     // hostname.bind, id.server (RFC 4892)
};

// What the region holds besides zones, as blocks of octets that never change: a new one takes the place of the old
// one by one store. Offsets in them count from their own start. Who makes a block checks it; readers trust it.
enum catalog_block {
	BLOCK_IDENTITY,	 // struct server_identity
	BLOCK_ACCESS,	 // who may do what
	BLOCK_OVERRIDES, // answers by rule
	BLOCK_COUNT = 8	 // room for more without another format
};

// The first octets of the region. Everything behind it is in 64-octet units.
struct catalog_header {
	uint32_t magic, format;
	uint64_t hash_seed;	// random when the region was made; keys all name hashes
	uint64_t generation;	// counts writers: +1 at each catalog_open_writer
	_Atomic uint64_t file_bytes; // size of the file; grows, never shrinks
	_Atomic uint64_t directory_at; // offset of the current struct directory
	_Atomic uint64_t policy; // a struct policy
	_Atomic uint64_t ready;	// 1: the writer has loaded every zone of its configuration once
	_Atomic uint64_t block_at[BLOCK_COUNT]; // offset of its struct block_head; 0: none
};

// In front of a block's octets, which start at the next cache line.
struct block_head {
	_Alignas(CACHE_LINE_BYTES) uint64_t bytes; // of the octets
	uint64_t which;				   // enum catalog_block
};

// Open addressing with linear probing over 8-octet slots: tag << 40 | offset of the image / 64.
struct directory {
	uint64_t bytes;		// of this block
	uint64_t slot_mask;	// slots - 1, slots a power of two
	_Atomic uint64_t depths[2]; // bit d: an apex of depth d may exist
	_Atomic uint64_t zones;	// in use
	uint64_t removed;	// slots of zones withdrawn; the next directory is without them
	uint64_t unused[2];
	_Atomic uint64_t slot[];
};

struct catalog; // a process's view of the region; one thread at a time, except catalog_find

// Readers map a window larger than the file, so growth needs no new mapping. ST_NOT_FOUND: no such file
// (yet). ST_CORRUPT, ST_VERSION: not ours to read. The caller closes.
CHECKED enum status catalog_open_reader(struct catalog **, const char *path);
// Creates the file, or takes over what a former writer left: directory and images are checked, damaged
// ones dropped; a file that is no region, or one of another format, is replaced. ST_BUSY: another writer lives.
// ST_SYSTEM: it is there and cannot be opened or mapped; it stays as it is. ST_NO_SPACE: the file system is full.
CHECKED enum status catalog_open_writer(struct catalog **, const char *path);
// The same; a file that has to be made gets this seed, so that images saved with it can be used again. 0: random.
CHECKED enum status catalog_open_writer_seeded(struct catalog **, const char *path, uint64_t seed);
// A region of this process alone, for tests, tools and replay. `seed` 0: random.
CHECKED enum status catalog_open_private(struct catalog **, uint64_t seed);
void catalog_close(struct catalog *); // NULL is fine; the file stays

const struct catalog_header *catalog_header(const struct catalog *);
uint64_t catalog_seed(const struct catalog *);
struct policy catalog_policy(const struct catalog *); // any thread
void catalog_set_policy(struct catalog *, struct policy);
// The block's octets, aligned to a cache line; NULL: none was set. `bytes` may be NULL. Any thread; valid until the
// caller's next quiescent point.
const void *catalog_block(const struct catalog *, enum catalog_block, uint64_t *bytes);
// Writer. A copy of `data`; NULL: none from now on. ST_NO_SPACE: the old one stays. What it replaces is retired with the
// epoch set last.
CHECKED enum status catalog_set_block(struct catalog *, enum catalog_block, const void *data, uint64_t bytes);
// BLOCK_IDENTITY.
const struct server_identity *catalog_identity(const struct catalog *);
CHECKED enum status catalog_set_identity(struct catalog *, const struct server_identity *);
void catalog_set_ready(struct catalog *); // writer
bool catalog_is_ready(const struct catalog *);
// True when the file behind `path` is no longer the one that is mapped (a new format replaced it).
bool catalog_was_replaced(const struct catalog *, const char *path);

// The image of the longest apex that is a suffix of the name, or NULL. Any thread; valid until the
// caller's next quiescent point.
const struct image *catalog_find(const struct catalog *, const struct folded_name *);
// The same for the longest apex of at most `max_labels` labels: the parent side of a cut (DS).
const struct image *catalog_find_above(const struct catalog *, const struct folded_name *, unsigned max_labels);
// The image of exactly this apex (folded or not), or NULL.
const struct image *catalog_zone(const struct catalog *, const uint8_t *apex);
// False: surely no apex has more than `labels` labels and at most `most`. Any thread.
bool catalog_may_go_deeper(const struct catalog *, unsigned labels, unsigned most);
void catalog_prefetch(const struct catalog *, const struct folded_name *);
bool catalog_needs_prefetch(const struct catalog *); // false: it is so small that this would be lost time
// Every image, in no order. Writer's thread, or any thread between quiescent points.
void catalog_each(const struct catalog *, void (*visit)(void *ctx, const struct image *), void *ctx);

// Writer only from here on.
// Room for an image of `bytes`, aligned to 64; it may hold anything. ST_NO_SPACE: the file system is full. ST_FULL: no
// image is as large as that.
CHECKED enum status catalog_reserve(struct catalog *, uint64_t bytes, void **room);
// Growing the file by much takes the kernel a while, and catalog_reserve() would wait for it. How long the file must
// be for a reservation of `bytes` not to wait; 0: it need not grow.
uint64_t catalog_growth(const struct catalog *, uint64_t bytes);
// Asks the kernel for that memory. The file gets longer, but counts as before until catalog_reserve() takes it over
// into file_bytes. Any thread.
CHECKED enum status catalog_back(struct catalog *, uint64_t file_bytes);
void catalog_cancel(struct catalog *, void *room);
// Makes the directory large enough for so many zones at once: growing it costs time in proportion to the zones it holds.
CHECKED enum status catalog_expect(struct catalog *, uint64_t zones);
// Makes the image in `room` the one for its apex. What it replaces is retired with the epoch set last.
CHECKED enum status catalog_publish(struct catalog *, void *room);
// ST_NOT_FOUND: no such zone.
CHECKED enum status catalog_withdraw(struct catalog *, const uint8_t *apex);
// Behind catalog_open_writer(): somebody may still read what a former writer gave up. All that is free now is retired.
void catalog_doubt_free(struct catalog *);
// Space retired from now on belongs to this epoch; epochs only grow.
void catalog_set_epoch(struct catalog *, uint64_t epoch);
// Every reader has passed a quiescent point since `epoch` was followed by another: free its space.
void catalog_reclaim(struct catalog *, uint64_t epoch);
struct catalog_usage {
	uint64_t file_bytes, used_bytes, retired_bytes, zones;
};
struct catalog_usage catalog_usage(const struct catalog *);
