// SPDX-License-Identifier: BSD-3-Clause
// The cache region: one shared file of fixed size that holds learned answers. One process writes (control), any number
// read. Entries lie in a circular log at ever-growing positions; the writer says which positions are gone before it
// overwrites them, and a reader looks at that again after it has copied, so nobody waits for anybody and a reader
// survives whatever is in the region. A writer may be killed at any instruction: the next one goes through the log and
// keeps what is whole.
//
// Times are seconds of CLOCK_MONOTONIC and always arguments; nothing here reads a clock. Numbers are in host order,
// DNS data is wire. Readers' functions may be called from any thread; the writer's, and views of entries, belong to
// the writer's thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/answer.h>
#include <pollux/query.h>
#include <pollux/status.h>

#define CACHE_MIN_BYTES (UINT64_C(1) << 20) // of a region
#define CACHE_MAX_BYTES (UINT64_C(1) << 36)
#define CACHE_BODY_MAX_BYTES (DNS_MAX_BYTES - DNS_HEADER_BYTES) // of one entry: what a TCP message has room for

struct cache;

// Writer: creates the file, all of its memory included, or takes over what a former writer left when its format and
// size are the same; else a new, empty one takes its place. `seed` is that of the zones region (catalog_seed()): keys
// are made of name hashes. With another seed than before the entries are found by their names and kept. ST_BUSY: another
// writer lives. ST_NO_SPACE: the file system is full. ST_INVALID: `bytes` is outside the limits above. ST_SYSTEM: errno
// says why. The caller closes.
CHECKED enum status cache_open_writer(struct cache **, const char *path, uint64_t bytes, uint64_t seed);
// A region of this process alone: for tests, and for a writer without shared memory.
CHECKED enum status cache_open_private(struct cache **, uint64_t bytes, uint64_t seed);
// ST_NOT_FOUND: no such file (yet). ST_CORRUPT, ST_VERSION: not ours to read.
CHECKED enum status cache_open_reader(struct cache **, const char *path);
void cache_close(struct cache *); // NULL is fine; the file stays
// True when the file behind `path` is no longer the one that is mapped.
bool cache_was_replaced(const struct cache *, const char *path);
uint64_t cache_seed(const struct cache *);
uint64_t cache_generation(const struct cache *); // counts writers that took the file over

// --- keys ---

enum cache_key_flags {
	CACHE_KEY_DO = 1 << 0, // asked with DO: RRSIGs and proofs are in the answer (RFC 4035 3.2.1)
	CACHE_KEY_CD = 1 << 1, // asked with CD: not judged (RFC 4035 3.2.2)
};

// What an answer is found by. The name stays the caller's and outlives the key.
struct cache_key {
	const uint8_t *name; // folded
	uint64_t hash;
	uint16_t type, class;
	uint8_t name_bytes; // root octet included
	uint8_t flags;	    // enum cache_key_flags
	uint64_t probed;    // what cache_probe() found, so that a look-up goes there first; 0: nobody has looked
};

static inline uint64_t cache_hash(uint64_t name_hash, uint16_t type, uint16_t class, unsigned flags)
{
	return name_mix(name_hash ^ ((uint64_t)type << 32 | (uint64_t)class << 8 | flags), UINT64_C(0x8ebc6af09c88c6e3));
}

// Of a question that query_parse() found valid, with the seed of the region. Valid as long as the query.
static inline struct cache_key cache_key_of_query(const struct query *query)
{
	const struct folded_name *name = &query->name;
	uint8_t flags = (uint8_t)((query->dnssec_ok ? CACHE_KEY_DO : 0) | (query->flags & FLAG_CD ? CACHE_KEY_CD : 0));
	return (struct cache_key){
		.name = name->wire,
		.hash = cache_hash(name->hash[name->labels], query->type, query->class, flags),
		.type = query->type,
		.class = query->class,
		.name_bytes = name->bytes,
		.flags = flags,
	};
}
// Of a well-formed folded name.
struct cache_key cache_key_of(const struct cache *, const uint8_t *folded, uint16_t type, uint16_t class, bool dnssec_ok,
	bool checking_disabled);

// --- answers ---

// Look-ahead steps for a burst, one pass behind the other: first the bucket's line; then the first two of the entry, whose position is
// returned, not yet compared, or 0 when there is surely none; then what a longer one has behind these.
void cache_prefetch(const struct cache *, uint64_t hash);
uint64_t cache_probe(const struct cache *, uint64_t hash);
void cache_prefetch_rest(const struct cache *, uint64_t position);

struct cache_hit {
	uint64_t position;   // of the entry, for cache_mark_used()
	uint32_t ttl_left_s; // 0: it has expired, and is told all the same
};

// Writes the whole reply from a fresh entry: header, question octet for octet as it was asked, the sections with their
// TTLs counted down, OPT with the query's options and the entry's EDE. RD and CD are copied, RA comes from the policy,
// AA is clear; AD goes to who set AD or DO (RFC 6840 5.7, 5.8). What is too long over UDP loses its additional section,
// then everything, with TC. False: no fresh entry, or the query's options want another answer than what it asks for
// (BADCOOKIE and the like; answer_query() gives that one); what lies at reply->wire behind the question may be lost then,
// all else is as it was. `reply` is used as by answer_query(). `hit` may be NULL.
bool cache_answer(const struct cache *, const struct policy *, const struct query *, const struct cache_key *,
	enum transport, uint32_t now_s, struct reply *, struct cache_hit *hit);
// The same whether the entry has expired or not; when it has, every TTL is `stale_ttl_s` and EDE 3, or 19 for NXDOMAIN,
// says so (RFC 8767 4, RFC 8914 4.4, 4.20). How old is too old is for the caller to judge, by cache_find().
bool cache_answer_stale(const struct cache *, const struct policy *, const struct query *, const struct cache_key *,
	enum transport, uint32_t now_s, uint32_t stale_ttl_s, struct reply *, struct cache_hit *hit);

// --- entries as the writer sees them ---

// A view into the region: valid until the next call that changes it. The body is what stands behind the question of any
// message with this key: its pointers are final.
struct cache_entry {
	uint64_t position;
	struct cache_key key;
	uint32_t stored_at_s, expires_at_s;
	uint32_t ttl_s;		  // the lifetime it was stored with: expires_at_s - stored_at_s
	uint16_t rcode;		  // with the upper bits of the OPT
	bool authentic;		  // AD: validated as secure
	bool used;		  // reported as used since it was stored or spared
	enum extended_error why;  // EDE_NONE: no reason
	uint32_t note;		  // the caller's
	const uint8_t *body;	  // the records of all three sections, TTLs as stored
	uint32_t body_bytes;
	uint16_t count[3];	  // answer, authority, additional; without the OPT
	uint32_t end[3];	  // of these sections, in octets of the body
	const uint16_t *ttl_at;	  // ttl_count places in the body, ascending, where a TTL stands
	uint32_t ttl_count;
	uint64_t bytes;		  // of the region that it takes
};

// The entry with that key, whatever its age. False: none.
bool cache_find(const struct cache *, const struct cache_key *, struct cache_entry *);
// The next entry behind *position, in the order of the log; *position goes on to it. Start with CACHE_START. False: that
// was the last one. The cache may change between two calls.
#define CACHE_START 0
bool cache_next(const struct cache *, uint64_t *position, struct cache_entry *);
// The entry as a whole message that message_read() or cache_insert() take: header (QR, RD, RA, AD as kept, the lower four
// bits of the rcode), the folded question, the sections with TTLs counted down to `now_s`; of an expired entry they are
// `stale_ttl_s`. Returns its octets; 0: more than `room`.
uint32_t cache_entry_message(const struct cache_entry *, uint32_t now_s, uint32_t stale_ttl_s, uint8_t *wire,
	uint32_t room);

// --- writer ---

// What shall be kept. The TTLs in the message and the lifetime are final: ceilings, floors and RFC 2308 are the caller's.
struct cache_record {
	const uint8_t *wire; // a whole message whose question is the key's name, type and class; its case is free, no name of it
			     // is compressed. An OPT is left out; it must be the last record. NULL: no records at all
	uint32_t bytes;
	uint32_t now_s;	     // when it was learned
	uint32_t lifetime_s; // at least 1
	uint16_t rcode;	     // with the upper bits
	bool authentic;
	enum extended_error why; // EDE_NONE: none
	uint32_t note;	     // kept as it is
};
// Takes the place of the entry of that key. Never waits and never needs memory: what is oldest goes, but for entries
// that were used of late, which are given another round as far as bounded work allows. ST_FULL: too long to be kept
// (counted). ST_SYNTAX: not such a message. ST_INVALID: an OPT before other records, or no lifetime. Whatever the
// failure, what was there stays. `position` may be NULL.
CHECKED enum status cache_insert(struct cache *, const struct cache_key *, const struct cache_record *, uint64_t *position);
// Entries that have been used are spared for so long after they expired (RFC 8767 wants them then); 0 at first.
void cache_keep_stale(struct cache *, uint32_t seconds);
// A reader has answered from this position, says whoever sent it: not to be believed. False: there is no entry. `entry`
// may be NULL.
bool cache_mark_used(struct cache *, uint64_t position, struct cache_entry *entry);

bool cache_remove(struct cache *, const struct cache_key *); // false: there was none
// All that the filter takes among the next `most` entries; *position as with cache_next(), and CACHE_END when there are no more.
// Returns how many went. For large caches in slices.
#define CACHE_END UINT64_MAX
struct cache_filter {
	const uint8_t *name; // NULL: any
	bool subtree;	     // also what is below the name
	uint16_t type;	     // 0: any
};
uint64_t cache_remove_some(struct cache *, const struct cache_filter *, uint64_t *position, unsigned most);
bool cache_filter_takes(const struct cache_filter *, const struct cache_entry *);
void cache_remove_all(struct cache *);

struct cache_usage {
	uint64_t region_bytes;	   // as it was opened
	uint64_t room_bytes;	   // of the log that entries share
	uint64_t used_bytes;	   // of these, taken by entries that are there
	uint64_t entries;	   // that are there, expired ones included
	// Since this writer opened it:
	uint64_t inserted;	   // replacing ones included
	uint64_t replaced;	   // entries that made way for a newer one of their key
	uint64_t removed;	   // by cache_remove() and the like
	uint64_t evicted;	   // gone for lack of room before they expired
	uint64_t expired;	   // gone for lack of room after they expired
	uint64_t spared;	   // had been used, and got another round
	uint64_t refused;	   // too long to be kept
	uint64_t taken_over;	   // found in what a former writer left
};
struct cache_usage cache_usage(const struct cache *); // writer
