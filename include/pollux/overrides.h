// SPDX-License-Identifier: BSD-3-Clause
// Answers by rule: names, suffixes and patterns with numbers in them that are answered in another way than the zones,
// the cache or other servers would. Control compiles the rules into one immutable block of offsets
// (BLOCK_OVERRIDES of the catalog); the dataplane and control's chain look questions up in it by the same code. Pure, no
// clock; but for the rules under construction any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/answer.h>
#include <pollux/catalog.h>
#include <pollux/image.h>
#include <pollux/name.h>
#include <pollux/query.h>
#include <pollux/report.h>
#include <pollux/status.h>

#define OVERRIDES_MAGIC 0x4f584c50u // "PLXO"
#define OVERRIDES_FORMAT 3u
#define OVERRIDE_CAPTURES_MAX 8	     // <A>, <B> ... of one name
#define OVERRIDE_SHAPES 8	     // labels of a pattern that may hold captures, from the left
#define OVERRIDE_ALIKE_MAX 64	     // patterns that differ in their numbers alone: so many are tried one by one
#define OVERRIDE_DIGITS_MAX 10	     // of a number without a width
#define OVERRIDE_EXPANDED_MAX 4096   // octets of a record made of captures, with the longest numbers
#define OVERRIDE_TTL_S 60	     // where a rule has none

enum override_action {
	OVERRIDE_RECORDS,
	OVERRIDE_ALIAS,	   // one CNAME, whatever type was asked for
	OVERRIDE_NXDOMAIN,
	OVERRIDE_NODATA,
	OVERRIDE_REFUSED,
	OVERRIDE_DROP,	   // no reply at all
	OVERRIDE_PASS,	   // as if no rule fitted: an exception to a broader one
	OVERRIDE_ACTIONS
};

// --- the block. A *_ref counts 8-octet units from its start, 0 is "none"; numbers in host order, DNS data is wire ---

struct overrides {
	uint32_t magic, format;
	uint64_t bytes;		// the whole block, a multiple of 64
	uint64_t hash_seed;	// of every hash in it: the catalog's
	uint64_t exact_depths;	// bit d: a rule for a name of d labels exists; bit 63: of 63 or more
	uint64_t suffix_depths; // the same for what lies below a name
	uint32_t bucket_count, buckets_ref; // struct image_bucket: tag of the hash, struct override_node
	uint32_t nodes;
	uint32_t rules;		// as people wrote them
	uint8_t relative_shapes; // bit p - 1: a pattern of p labels, below any name
	uint8_t whole_shapes;	// bit p - 1: a pattern of p labels, below one name
	uint8_t before_clients; // zones come first
	uint8_t unused[5];
	uint64_t pattern_firsts[4]; // bit c: a pattern's name begins with the octet c; of digits all or none
};

enum override_kind { OVERRIDE_NAME, OVERRIDE_PATTERN };

// All rules of one name, or of patterns alike but for their numbers. Those of the name itself (or the patterns) come first,
// then those of what lies below; in each, rules of one type before rules of every type.
struct override_node {
	uint64_t hash;
	uint32_t rules_ref; // struct override_rule[own_count + below_count]
	uint16_t own_count, below_count;
	uint8_t kind;	    // enum override_kind
	uint8_t name_bytes; // 0: a pattern
	uint8_t name[];	    // folded
};

enum { OVERRIDE_SELF = 1 }; // a rule of what lies below that is about the name itself, too

struct override_rule {
	uint16_t type;	 // asked for; 0: any
	uint8_t action;	 // enum override_action
	uint8_t flags;
	uint16_t count;	 // records
	uint16_t bytes;	 // of ready records: owner c00c, all of them as they go out but for numbers; 0: their length depends on the name
	uint32_t data_ref; // ready records, or struct override_record[count]
	uint32_t pattern_ref; // struct override_pattern
	uint32_t ttl_s;
	uint32_t number; // in the list of rules, of the first of those it was made of
	uint32_t fills_ref; // struct override_piece[fill_count]: what is zero in ready records, `at` an octet of these
	uint16_t fill_count;
	uint16_t sum;	 // one's complement sum of the ready records (RFC 1071) from an even offset, in the byte order of the wire
};

// What the digits of a name must be.
struct override_capture {
	uint32_t min, max;
	uint8_t width; // exactly so many digits; 0: 1 to OVERRIDE_DIGITS_MAX
	uint8_t tail;  // digits of the pattern itself right behind it
	uint8_t unused[2];
};

// The labels of a name from the left, then either anything or `suffix_bytes` of one name.
struct override_pattern {
	uint16_t code_bytes;
	uint8_t labels, captures, suffix_bytes; // 0: whatever follows
	uint8_t unused[3];
	struct override_capture capture[]; // [captures], then the code, then the suffix
};
// The code: these, one behind the other.
enum override_code {
	CODE_LITERAL = 64, // 1 to 63 is the count of the octets that follow
	CODE_END,	   // of a label
	CODE_CAPTURE,	   // CODE_CAPTURE + n: capture n
};

// RDATA with numbers to be put in: `bytes` of what does not change, cut by pieces.
struct override_record {
	uint32_t data_ref, pieces_ref;
	uint16_t bytes, piece_count;
};

enum override_piece_kind {
	PIECE_OCTET, PIECE_U16, PIECE_U32, // the number
	PIECE_GROUP,  // of an IPv6 address: its digits read as hexadecimal, so that 10 is written ::10
	PIECE_DIGITS, // as they stood in the name, or with `width` digits
	PIECE_LENGTH, // no digits: the octet here is the length of what holds the digits that follow
	PIECE_KINDS
};
struct override_piece {
	uint16_t at; // octets of the data in front of it
	uint8_t kind, capture, width;
	uint8_t unused[3];
};

// Every offset inside, every rule, pattern and record well-formed, made with this seed. ST_CORRUPT, ST_VERSION.
CHECKED enum status overrides_check(const void *block, uint64_t bytes, uint64_t seed);

// --- a question ---

struct override_hit {
	const struct override_rule *rule; // NULL: no rule fits, or one that says so
	uint8_t depth;			  // labels of the name that the rule is about
	uint8_t digits_at[OVERRIDE_CAPTURES_MAX], digits[OVERRIDE_CAPTURES_MAX]; // in the folded name
	uint32_t value[OVERRIDE_CAPTURES_MAX];
};

// Look-ahead steps for a burst, one pass behind the other: first the lines of the table that a look-up will read; then what they lead
// to. The second returns the depths at which there may be something, for overrides_match().
void overrides_prefetch(const struct overrides *, const struct folded_name *);
uint64_t overrides_probe(const struct overrides *, const struct folded_name *);
// The rule for this name and type: for the name itself before a pattern (more labels first, a whole one before a relative
// one, then in the order of the rules) before the longest suffix; for one type before every type. OVERRIDE_PASS is a rule.
bool overrides_find(const struct overrides *, const struct folded_name *, uint16_t type, struct override_hit *);
// False: rules do not concern this question (another class, a transfer), none fits, or the one that fits says so. Then
// hit->rule is NULL. `probed`: what overrides_probe() has returned; UINT64_MAX: nobody has looked.
bool overrides_match(const struct overrides *, const struct query *, uint64_t probed, struct override_hit *);
// Writes the records of a hit of OVERRIDE_RECORDS or OVERRIDE_ALIAS whose owner, the name that was looked up, stands at
// `owner_at` in the message. Returns octets; 0: no room.
unsigned overrides_write(const struct overrides *, const struct override_hit *, const struct folded_name *,
	unsigned owner_at, uint8_t *to, size_t room);

// The same of a rule that has ready records, for the name of the question: `to` has room for rule->bytes. Returns their sum from an
// even offset, not folded, in the byte order of the wire (RFC 1071).
uint32_t overrides_write_ready(const struct overrides *, const struct override_hit *, uint8_t *to);

// The reply to a question with a hit other than OVERRIDE_DROP. A CNAME is followed through the rules and our zones;
// ANSWER_CONTINUE when it leads elsewhere and RD asks for more. AA is clear: rules are policy, not a zone's data.
enum answer_verdict answer_override(const struct catalog *, const struct policy *, const struct query *,
	const struct overrides *, const struct override_hit *, enum transport, struct reply *);

// --- rules under construction: one thread ---

struct override_word {
	const char *text; // need not end with NUL
	size_t bytes;
	unsigned line, column;
};
// A rule as people write it.
struct override_text {
	struct override_word name; // www.example.com, *.example.com, .example.com, host<N>, host<N>.example.com.
	struct override_word type; // of no octets: any
	const struct override_word *answers; // RDATA as in a master file, or nxdomain, nodata, refused, drop, pass
	unsigned answer_count;
	uint32_t ttl_s;
	const char *file;
};

struct override_rules;
struct override_rules *override_rules_new(void); // NULL: no memory
void override_rules_free(struct override_rules *); // NULL is fine
// ST_SYNTAX: left out, the reason is reported with its place.
CHECKED enum status override_rules_add(struct override_rules *, const struct override_text *, struct report *);
// Each line of the file: name, maybe a TTL, maybe a type, the answer. # and ; begin comments. A bad line is reported and
// left out: ST_SYNTAX in the end. ST_NOT_FOUND, ST_SYSTEM: unreadable, also reported. ST_NO_MEMORY.
CHECKED enum status override_rules_read(struct override_rules *, const char *path, struct report *);
// The same from memory.
CHECKED enum status override_rules_read_text(struct override_rules *, const char *text, size_t bytes, const char *name,
	struct report *);
unsigned override_rules_count(const struct override_rules *);
// For people; the strings live as long as the rules.
struct override_info {
	const char *name, *answer; // as written
	uint16_t type;		   // 0: any
	uint32_t ttl_s;
	const char *file;
	unsigned line;
};
void override_rules_info(const struct override_rules *, unsigned number, struct override_info *);
const char *override_action_text(enum override_action); // "nxdomain"; "records" and "alias" for the first two

// The block: *block is aligned to 64 and the caller's to free(). ST_NO_MEMORY; ST_FULL: too many of one kind, reported.
CHECKED enum status override_rules_compile(const struct override_rules *, uint64_t seed, bool before_clients,
	struct report *, void **block, uint64_t *bytes);
