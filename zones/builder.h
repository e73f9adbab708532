// SPDX-License-Identifier: BSD-3-Clause
// A zone on its way from records to an image: names as a tree over an array, records in file order below
// their name. builder.c collects, check.c judges, compile.c writes.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/image.h>
#include <pollux/name.h>
#include <pollux/zonefile.h>

#define DRAFT_TYPES_MAX 256    // RRsets at one name
#define DRAFT_RECORDS_MAX 32767 // records in one RRset
#define GLUE_WANTED 1u	       // some NS RRset needs the addresses of that name
#define LINES_NOT_KNOWN UINT32_MAX

struct draft_record {
	struct draft_record *next; // of the same owner
	uint32_t ttl;
	uint32_t line; // see builder_line()
	uint16_t type;
	uint16_t rdata_bytes;
	uint16_t file; // index in files
	bool ignored;  // occluded, or twice the same
	uint8_t rdata[];
};

struct draft_name { // one for every name, so each octet counts
	const uint8_t *own; // folded, what stands before the apex; of the apex: the apex. See draft_wire()
	uint64_t hash;
	struct draft_record *first;
	union {
		uint32_t parent;   // until the image is written: index; a parent always comes before its children
		uint32_t node_ref; // from then on: where compile.c put it, 0: nowhere
	};
	uint32_t wildcard; // index of "*" below, 0: none (the apex is 0 and never a wildcard)
	_Atomic uint32_t glue_ref; // and its addresses as glue; until then GLUE_WANTED or 0, as several threads find out
	uint8_t bytes, labels;
	uint8_t flags;	   // enum node_flags
	bool occluded : 1; // below a cut or a DNAME
	bool has_child : 1;
	bool hashed : 1; // holds nothing but NSEC3: not a name that can be asked for
	bool has_address : 1; // A or AAAA
};

// A file, or one piece of it that was read apart.
struct draft_file {
	char *path;
	uint32_t lines_before; // this piece; 0: the whole file
};

// The links of an NSEC or NSEC3 chain in order.
struct draft_link {
	uint8_t place[20]; // NSEC3: the hash; NSEC: eight octets of canonical order
	uint32_t name;	   // index
};
struct draft_chain {
	struct draft_link *link;
	uint32_t count, room;
	uint16_t skip;	     // NSEC: octets of order that all names but the apex share
	uint16_t iterations; // NSEC3
	uint8_t salt_bytes;
	const uint8_t *salt;
};

struct zone_builder {
	struct arena *arena;
	struct report *report;
	uint64_t seed;
	struct draft_name *names; // names[0] is the apex
	struct draft_name apex;	  // as it was at first: stays where it is while names come in
	uint8_t apex_wire[NAME_MAX_BYTES]; // folded
	uint32_t name_count, name_room;
	uint64_t *table; // open addressing, see builder.c
	uint32_t table_mask;
	struct batch *batch; // the last records, not yet in the tree
	struct draft_file *files;
	unsigned file_count, last_file;
	unsigned threads; // that may work at once
	const _Atomic bool *interrupted; // or NULL
	uint64_t record_count;
	bool has_nsec3; // or a signature of one
	struct draft_chain nsec, nsec3; // at most one of them has links
	uint32_t *own_link; // NSEC3: of each name, the index of the link with its hash + 1, or 0; NULL: not known
	uint32_t expires; // the first signature, as in the image
	uint64_t *part_at; // octets: where each part of the names goes among the nodes of the image; see compile.c
	uint64_t hashed_bytes; // of the NSEC3 nodes
	uint32_t names_in_table; // of the image
	uint64_t now_s; // seconds since 1970 that signatures are judged by; 0: not at all
};
_Static_assert(sizeof(struct draft_link) == sizeof(struct nsec3_link), "both are searched by nsec3_place()");

// Until it was called, the last owners are not among the names. ST_NO_MEMORY.
CHECKED enum status builder_settle(struct zone_builder *);
// Hangs the records of a batch on their names. Their memory must last as long as the builder. ST_NO_MEMORY.
struct batch;
CHECKED enum status builder_take(struct zone_builder *, const struct batch *);
// The index for the records of a file, or of the first of its `count` pieces. -1: no memory, or too many.
int builder_add_files(struct zone_builder *, const char *path, unsigned count, uint32_t lines_before);
static inline bool builder_is_interrupted(const struct zone_builder *b)
{
	return b->interrupted && atomic_load_explicit(b->interrupted, memory_order_relaxed);
}
// Index of the name, or UINT32_MAX. `name` need not be folded.
uint32_t builder_find(const struct zone_builder *, const uint8_t *name);
// The name is the apex or lies below it.
bool builder_is_inside(const struct zone_builder *, const uint8_t *name);
// The deepest existing ancestor of a name that is not there.
uint32_t builder_encloser(const struct zone_builder *, const uint8_t *name);
static inline unsigned draft_own_bytes(const struct zone_builder *b, const struct draft_name *name)
{
	return (unsigned)name->bytes - b->apex.bytes;
}
// The whole name, into `wire`, which has room for it.
const uint8_t *draft_wire(const struct zone_builder *, const struct draft_name *, uint8_t *wire);
char *draft_text(const struct zone_builder *, const struct draft_name *, char text[NAME_TEXT_BYTES]);
// First record of that type that counts, or NULL.
const struct draft_record *draft_first(const struct draft_name *, uint16_t type);
const char *builder_file(const struct zone_builder *, const struct draft_record *);
unsigned builder_line(const struct zone_builder *, const struct draft_record *);

static inline bool draft_is_address(uint16_t type)
{
	return type == 1 || type == 28;
}

// The type an RRSIG covers, else the record's own: RRSIGs lie beside what they sign.
static inline uint16_t draft_rrset_type(const struct draft_record *record)
{
	return record->type == 46 && record->rdata_bytes >= 2 ?
		(uint16_t)(record->rdata[0] << 8 | record->rdata[1]) : record->type;
}

// Orders and judges the chains of a signed zone; part of zone_builder_check().
enum status builder_make_chains(struct zone_builder *);
// Decides how long the image gets and where in it everything goes; the end of zone_builder_check(). ST_NO_MEMORY.
enum status builder_lay_out(struct zone_builder *);
// Judges signatures, links and their types; after the chains are made. ST_NO_MEMORY or ST_OK.
enum status builder_check_signed(struct zone_builder *);
// An NSEC3 record with the parameters of the zone's chain.
bool draft_is_of_chain(const struct draft_chain *, const struct draft_record *);

// Offset in the RDATA of the name whose addresses belong in the additional section (RFC 1035 3.3,
// RFC 2782, RFC 3403 4.1, RFC 9460 4.1), or -1.
int additional_name_at(const struct draft_record *);
