// SPDX-License-Identifier: BSD-3-Clause
// One compiled zone: what control writes and everybody else only reads. Offsets, no pointers, so that
// it may be mapped anywhere, saved, and compared byte for byte. A *_ref counts 8-octet units from the
// start of the image; 0 is "none". Multi-octet numbers are in host order, DNS data is wire.
//
// Names -> nodes by a hash table of cache-line buckets; a node holds its name and its RRsets; an RRset
// is its answer section ready to copy. Names below a zone cut are not in the table: addresses found
// there hang on the cut as glue.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/bytes.h>
#include <pollux/name.h>
#include <pollux/status.h>

#define IMAGE_MAGIC 0x5a584c50u // "PLXZ"
#define IMAGE_MAX_BYTES (UINT64_C(1) << 35) // as far as a *_ref reaches
#define IMAGE_FORMAT 6u

struct image {
	uint32_t magic, format;
	uint64_t bytes;		// the whole image, a multiple of 64
	uint64_t hash_seed;	// of every name hash in it
	uint64_t source_stamp;	// what it was made from: paths, sizes and times of the zone file and its includes
	uint64_t loaded_at_s;	// seconds since 1970
	uint32_t serial;	// of the SOA
	uint32_t records;	// RRs taken from the file
	uint32_t names;		// nodes in the table
	uint32_t bucket_count;	// any number; see image_bucket()
	uint32_t buckets_ref;
	uint32_t apex_ref;	// node of the apex
	uint32_t negative_ref;	// struct rrset: the SOA with TTL = min(TTL, MINIMUM), RFC 2308 3; 0: see image_is_blank()
	uint32_t source_ref;	// NUL-ended paths of the zone file and its includes, then an empty one
	uint64_t depths;	// bit d: a name of depth d exists (bit 63: depth 63 or more)
	uint8_t apex_labels, apex_bytes;
	uint8_t is_signed;	// the apex has a DNSKEY, and a chain denies what is not there
	uint8_t salt_bytes;	// NSEC3: of the salt, RFC 5155 3.1.4
	uint16_t iterations;	// NSEC3: additional ones, RFC 5155 3.1.3
	uint16_t nsec_skip;	// octets of canonical order that every name of the NSEC chain has in common
	uint32_t nsec_ref;	// struct nsec_link[nsec_count] in canonical order, or 0
	uint32_t nsec_count;
	uint32_t nsec3_ref;	// struct nsec3_link[nsec3_count] in hash order, or 0
	uint32_t nsec3_count;
	uint32_t salt_ref;
	uint32_t expires;	// when the first of its signatures runs out: RFC 4034 3.1.5; 0: not signed
	uint8_t apex[]; // apex_bytes, folded
};

// Eight slots in one cache line. A tag is the low half of the name hash, never 0; 0 is a free slot. A
// name whose bucket is full goes to the next one, so a search ends at the first free slot.
struct image_bucket {
	uint32_t tag[8];
	uint32_t node_ref[8];
};

enum node_flags {
	NODE_CUT = 1 << 0,   // a delegation: NS here, not at the apex (RFC 1034 4.2)
	NODE_CNAME = 1 << 1,
	NODE_DNAME = 1 << 2, // RFC 6672
	NODE_APEX = 1 << 3,
	NODE_PROOF = 1 << 4, // a struct proof stands right before the RRsets
	NODE_GLUE = 1 << 5,  // of a cut: a struct glue stands right before the data of its NS RRset
};

struct node {
	uint8_t name_bytes, labels; // of the whole name; no name: addresses that are glue and nothing else
	uint16_t flags;
	uint16_t rrset_count;	// 0: an empty non-terminal (RFC 4592 2.2.2)
	uint16_t unused;
	uint32_t wildcard_ref;	// the node "*" below this one, RFC 4592 2.1.1
	uint32_t rrsets_ref;	// struct rrset[rrset_count], ordered by type
	uint8_t own[];		// of the name what stands before the apex, and one octet of that; folded, padded with zeros to
				// 8 octets. The rest would be the same in every node: it is a sixth of their memory
};

// The chain of names that exist (RFC 4034 4). `key` holds the first octets of the name's place in canonical
// order, so that most steps of a search need no look at the name itself; see denial.c.
struct nsec_link {
	uint64_t key;
	uint32_t node_ref;
	uint32_t unused;
};

// The chain of hashed names (RFC 5155 3). The node holds the NSEC3 RRset and is not in the hash table.
struct nsec3_link {
	uint8_t hash[20];
	uint32_t node_ref;
};

// What a signed zone can say about a name without thinking: nodes whose NSEC or NSEC3 RRset is meant; 0: none.
struct proof {
	uint32_t self_ref;     // matches the name, or (an empty non-terminal without NSEC) covers it
	uint32_t wildcard_ref; // matches or covers "*" below it
};

// The RRs of one owner and type as they go out. Each starts with the two octets c0 0c, a pointer to the
// question's name. `bytes` of RRs are followed by `sig_bytes` of their RRSIGs (RFC 4034), written alike.
// Fixups: where a pointer stands that cannot be final at compile time.
struct rrset {
	uint16_t type;
	uint16_t count;		// RRs, at least one
	uint16_t sig_count;
	uint16_t fixup_count;
	uint16_t additional_count;
	uint16_t sum;		// one's complement sum of the RRs (RFC 1071) from an even offset, in the byte order of the wire
	uint32_t bytes;
	uint32_t sig_bytes;
	uint32_t data_ref;	// RRs, RRSIGs
	uint32_t fixups_ref;	// uint32_t[fixup_count]
	uint32_t additional_ref; // struct additional[additional_count], those required first
};

// A fixup is the offset of a compression pointer in the data. What it points to is told by its 14 bits: one of
// these two, or the offset of an earlier name of this RRset (no name can start before the first record's RDATA).
enum pointer_target {
	POINTS_TO_APEX = 0,  // of the zone: every question about it ends with that name
	POINTS_TO_OWNER = 1, // of the RRset; never used below a wildcard, whose owner changes
};

// Addresses worth adding for a name in the RDATA (RFC 1034 4.3.2 step 6); of a CNAME the node that it leads to.
struct additional {
	uint32_t node_ref;	// its A and AAAA RRsets; a glue node is not in the hash table
	uint16_t name_at;	// offset in the data of the name, for the owner's pointer
	uint16_t required;	// in-domain glue: without it the referral is useless, RFC 9471 3.1
};

// All that a referral has: where every address that goes with it is required glue, it stands once more behind the NS records,
// so that one piece is copied. Its owners are pointers to names in the NS records, and fixups behind those of the RRset.
struct glue {
	uint32_t bytes;	// of the addresses
	uint16_t count; // of their records
	uint16_t sum;	// of NS records and addresses, as in struct rrset
};

// Seconds until the first of its signatures runs out; INT64_MAX: it has none.
static inline int64_t image_expires_in_s(const struct image *image, uint64_t now_s)
{
	return image->expires ? (int32_t)(image->expires - (uint32_t)now_s) : INT64_MAX;
}

// It holds the place of a zone that should be served and could not be loaded: its names are here and nowhere else, and
// nobody can say anything about them.
static inline bool image_is_blank(const struct image *image)
{
	return image->negative_ref == 0;
}
// Such an image; it needs no file.
uint64_t image_blank_bytes(unsigned apex_bytes);
void image_write_blank(void *room, const uint8_t *apex, unsigned apex_bytes, uint64_t hash_seed);

static inline const void *image_at(const struct image *image, uint32_t ref)
{
	return (const uint8_t *)image + (uint64_t)ref * 8;
}

static inline uint32_t image_ref(const struct image *image, const void *at)
{
	return (uint32_t)((uint64_t)((const uint8_t *)at - (const uint8_t *)image) / 8);
}

// Of a cut with NODE_GLUE.
static inline const struct glue *image_glue(const struct image *image, const struct rrset *ns)
{
	return (const struct glue *)image_at(image, ns->data_ref) - 1;
}

static inline uint32_t image_tag(uint64_t hash)
{
	return (uint32_t)hash | 1u;
}

static inline uint32_t image_bucket_index(const struct image *image, uint64_t hash)
{
	return (uint32_t)((hash >> 32) * image->bucket_count >> 32);
}

// Where the CNAME RRset leads inside the zone; NULL: not there, or out of it. A zone below may hold that name as well.
static inline const struct node *image_alias_target(const struct image *image, const struct rrset *cname)
{
	if (cname->type != 5 || !cname->additional_count)
		return NULL;
	return image_at(image, ((const struct additional *)image_at(image, cname->additional_ref))->node_ref);
}

// The octets at `own`.
static inline unsigned image_own_bytes(const struct image *image, const struct node *node)
{
	return node->name_bytes - image->apex_bytes + 1u;
}

// The whole name of a node that has one; returns `to`, which has room for NAME_MAX_BYTES.
static inline const uint8_t *image_node_name(const struct image *image, const struct node *node, uint8_t *to)
{
	unsigned before = node->name_bytes - image->apex_bytes;
	memcpy(to, node->own, before);
	memcpy(to + before, image->apex, image->apex_bytes);
	return to;
}

// This name, at or below the apex, is the node's. That it ends with the apex needs no comparison. `wire` is readable for
// 7 octets behind it.
static inline bool image_node_is(const struct image *image, const struct node *node, const uint8_t *wire, unsigned bytes)
{
	return node->name_bytes == bytes && same_words(node->own, wire, image_own_bytes(image, node));
}

// Look-ahead steps for a burst, one pass behind the other, so that each finds what the one before has fetched. First
// the line of a bucket,
static inline void image_prefetch(const struct image *image, uint64_t hash)
{
	const struct image_bucket *buckets = image_at(image, image->buckets_ref);
	prefetch_line(&buckets[image_bucket_index(image, hash)]);
}
// that of the name and, deep in the zone, that of the name above it, which may be a cut or have a wildcard,
static inline void image_prefetch_name(const struct image *image, const struct folded_name *name)
{
	image_prefetch(image, name->hash[name->labels]);
	if (name->labels > image->apex_labels + 1u)
		image_prefetch(image, name->hash[name->labels - 1]);
}
// then the first node whose tag fits, not yet compared, of the name or else, deep in the zone, of the one above; NULL: there
// is surely none,
const struct node *image_probe(const struct image *, const struct folded_name *);
static inline void image_prefetch_node(const struct node *node)
{
	prefetch_line(node);
	prefetch_line((const uint8_t *)node + CACHE_LINE_BYTES);
}
// then what such a node's answer takes from behind it.
static inline void image_prefetch_rest(const struct image *image, const struct node *node)
{
	if (node->flags & NODE_CUT) // its glue lies behind its NS records
		prefetch_line((const uint8_t *)node + 2 * CACHE_LINE_BYTES);
	if (node->flags & NODE_CNAME) {
		const struct node *target = image_alias_target(image, image_at(image, node->rrsets_ref));
		if (target)
			image_prefetch_node(target);
	}
}

// The node of the suffix of `depth` labels, or NULL.
const struct node *image_find(const struct image *, const struct folded_name *, unsigned depth);

static inline const struct proof *node_proof(const struct image *image, const struct node *node)
{
	return node->flags & NODE_PROOF ? (const struct proof *)image_at(image, node->rrsets_ref) - 1 : NULL;
}

enum image_match {
	IMAGE_EXACT,	  // node: the name itself, perhaps without RRsets
	IMAGE_WILDCARD,	  // node: "*" below the closest encloser
	IMAGE_DELEGATION, // node: the cut at or above the name
	IMAGE_DNAME,	  // node: owner of the DNAME above the name
	IMAGE_NO_NAME,	  // node: the closest encloser
};
struct image_hit {
	enum image_match match;
	const struct node *node;
	const struct node *encloser; // the closest encloser; for IMAGE_EXACT the node
};
// RFC 1034 4.3.2 step 3 for a name at or below the apex.
struct image_hit image_lookup(const struct image *, const struct folded_name *);
// The same after a look-ahead: from what image_probe() has found.
struct image_hit image_lookup_from(const struct image *, const struct folded_name *, const struct node *probed);

// The RRset of that type at the node, or NULL.
static inline const struct rrset *node_rrset(const struct image *image, const struct node *node, uint16_t type)
{
	const struct rrset *rrset = image_at(image, node->rrsets_ref);
	for (unsigned i = 0; i < node->rrset_count; i++, rrset++) {
		if (rrset->type >= type)
			return rrset->type == type ? rrset : NULL;
	}
	return NULL;
}

// Every offset inside, every count true, every name well-formed, the apex there: checked once when an
// image is taken over, after which readers trust it. `bytes` is what may be read at `image`.
CHECKED enum status image_check(const void *image, size_t bytes);
