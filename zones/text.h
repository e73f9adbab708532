// SPDX-License-Identifier: BSD-3-Clause
// The text of zones: what the scanner, the RDATA fields and the record parser share inside this room.
// A scanner reads one file through a window; one thread at a time.
#pragma once

#include <pollux/bytes.h>
#include <pollux/name.h>
#include <pollux/report.h>
#include <pollux/rrtype.h>

#define WINDOW_BYTES (256u << 10)  // of a file in memory at once
#define TOKEN_MAX_BYTES (1u << 20) // 65535 octets as \DDD need a quarter of it
#define TEXT_PAD_BYTES 64 // readable octets behind the text, and writable ones behind RDATA and names

enum token_kind {
	TOKEN_END_OF_FILE,
	TOKEN_END_OF_LINE, // outside parentheses
	TOKEN_WORD,
	TOKEN_QUOTED, // what stands between the quotes
	TOKEN_BROKEN, // an error that the scanner has reported
};

// Points into the window: gone with the next scan_next().
struct token {
	const char *at;
	uint32_t bytes;
	unsigned line, column;
	uint8_t kind;
	bool escaped; // has a backslash
	bool glued;   // nothing between it and the token before
};

struct scanner {
	struct token token; // the current one; fields consume it by scan_next()
	const char *at, *end;
	uint64_t window_offset; // of the window in the text
	uint64_t line_offset;	// of the current line in the text
	unsigned line, depth;	// parentheses
	unsigned open_line, open_column;
	char *window;
	size_t room;
	int fd;		  // -1: the text is in memory
	const char *text; // what is left of it
	size_t text_bytes;
	bool drained;
	enum status status; // of reading

	const char *file;
	struct report *report;
	const char *about;		   // the type whose RDATA is read, for messages; or NULL
	unsigned fixed_line, fixed_column; // messages name this place; 0: the token's own
	const uint8_t *origin;
	unsigned origin_bytes;
};

// A scanner over a file descriptor, or over memory. ST_NO_MEMORY. `origin` stays the caller's.
CHECKED enum status scan_open(struct scanner *, int fd, size_t size_hint, const char *text, size_t text_bytes,
	const char *file, struct report *);
void scan_close(struct scanner *); // the descriptor stays open
void scan_set_origin(struct scanner *, const uint8_t *origin);

// How far the text has been read.
static inline uint64_t scan_offset(const struct scanner *s)
{
	return s->window_offset + (uint64_t)(s->at - s->window);
}
enum token_kind scan_next(struct scanner *); // returns token.kind as well
// Over the UTF-8 byte order mark that some editors put in front of a text.
void scan_skip_mark(struct scanner *);
// True when the next record begins with a blank. Call before the first scan_next() of a record.
bool scan_line_is_blank(struct scanner *);
void scan_skip_record(struct scanner *); // to the end of the line, over parentheses

static inline bool scan_at_end(const struct scanner *s)
{
	return s->token.kind <= TOKEN_END_OF_LINE;
}

static inline bool scan_has_text(const struct scanner *s)
{
	return s->token.kind == TOKEN_WORD || s->token.kind == TOKEN_QUOTED;
}

// Both report at the current token and return false. "expected WHAT, found TOKEN"; and free words.
bool scan_expected(struct scanner *, const char *what);
__attribute__((format(printf, 2, 3))) bool scan_wrong(struct scanner *, const char *format, ...);
__attribute__((format(printf, 2, 3))) void scan_warn(struct scanner *, const char *format, ...);

bool token_is(const struct token *, const char *word); // case-blind
// Decimal digits only, up to `max`.
bool text_to_number(const char *text, size_t bytes, uint32_t max, uint32_t *value);
// Seconds, or numbers with the units s m h d w (1h30m). False: not one, or above 2^32 - 1.
bool text_to_seconds(const char *text, size_t bytes, uint32_t *seconds);
// One octet of text: itself, \X or \DDD. Returns the characters used, 0 when malformed.
unsigned text_to_octet(uint8_t *octet, const char *text, size_t left);

// The current token as a name. `to` has room for NAME_MAX_BYTES + TEXT_PAD_BYTES. Returns the length, 0 after
// reporting. Does not consume.
unsigned scan_name(struct scanner *, uint8_t *to);
// The current token with escapes resolved. Returns octets written, or -1 after reporting. Does not consume.
int scan_octets(struct scanner *, uint8_t *to, size_t room);

// Bounded text output that counts what it had no room for.
struct text_out {
	char *at, *end;
	size_t needed;
};
void put_char(struct text_out *, char);
void put_octet(struct text_out *, uint8_t); // as inside quotes
void put_text(struct text_out *, const char *);
__attribute__((format(printf, 2, 3))) void put_format(struct text_out *, const char *format, ...);
void put_name(struct text_out *, const uint8_t *wire);
void put_quoted(struct text_out *, const uint8_t *octets, size_t count);
void put_hex(struct text_out *, const uint8_t *octets, size_t count);
void put_base64(struct text_out *, const uint8_t *octets, size_t count);

// One kind of RDATA field.
struct field_kind {
	// Text to wire: consumes tokens; on false an error was reported.
	bool (*scan)(struct scanner *, struct writer *);
	// Well-formed wire to text.
	void (*print)(struct text_out *, struct reader *);
	// Moves over the field. What is wrong, NULL when nothing.
	const char *(*check)(struct reader *);
	// Offsets of the names in it; NULL: it has none. Does not move the reader.
	void (*names)(struct reader, void (*visit)(void *ctx, unsigned at, bool compressible), void *ctx);
	bool to_end;	     // takes any number of octets to the end
	bool vanishes;	     // without octets it has no text, not even a blank before it
	const char *example; // text that print() gives back
};
extern const struct field_kind field_kinds[F_COUNT];

// The RDATA of a type to the end of the record, or in the form of RFC 3597 5. False: an error was reported.
bool scan_rdata(struct scanner *, uint16_t type, struct writer *);
// Text of RFC 3597 5, the current token being "\#".
bool scan_unknown(struct scanner *, struct writer *);
void print_unknown(struct text_out *, const uint8_t *rdata, size_t bytes);

#define FIELD(id)                                                                                            \
	bool scan_##id(struct scanner *, struct writer *);                                                   \
	void print_##id(struct text_out *, struct reader *);                                                 \
	const char *check_##id(struct reader *);
FIELD(base64)
FIELD(base64_maybe)
FIELD(hex)
FIELD(hex_string)
FIELD(base32_string)
FIELD(svc_params)
FIELD(wks)
FIELD(loc)
FIELD(apl)
FIELD(eui48)
FIELD(eui64)
FIELD(nsap)
FIELD(node_id)
FIELD(ipseckey)
FIELD(amtrelay)
FIELD(a6)
FIELD(hip)
FIELD(u64)
FIELD(nxt_bitmap)
FIELD(atma)
#undef FIELD
void names_ipseckey(struct reader, void (*visit)(void *ctx, unsigned at, bool compressible), void *ctx);
void names_amtrelay(struct reader, void (*visit)(void *ctx, unsigned at, bool compressible), void *ctx);
void names_a6(struct reader, void (*visit)(void *ctx, unsigned at, bool compressible), void *ctx);
void names_hip(struct reader, void (*visit)(void *ctx, unsigned at, bool compressible), void *ctx);

// Pieces that several kinds share.
bool scan_number(struct scanner *, uint32_t max, const char *what, uint32_t *value); // consumes
bool scan_ip4(struct scanner *, struct writer *);
bool scan_ip6(struct scanner *, struct writer *);
bool scan_plain_name(struct scanner *, struct writer *);
void print_ip4(struct text_out *, struct reader *);
void print_ip6(struct text_out *, struct reader *);
const char *check_name(struct reader *);
bool text_to_ip4(uint8_t to[4], const char *text, size_t bytes);
bool text_to_ip6(uint8_t to[16], const char *text, size_t bytes);
// Whole base64 text to octets; -1 when malformed. `to` has room for bytes / 4 * 3 + 3.
long base64_decode(uint8_t *to, const char *text, size_t bytes);
