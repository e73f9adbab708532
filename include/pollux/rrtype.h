// SPDX-License-Identifier: BSD-3-Clause
// The C view of rrtype.def: RR types, their RDATA fields, and their text. One table serves the parser, the
// printer, the wire check, the image compiler and the tests. Any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/bounds.h>
#include <pollux/status.h>

// The kinds of RDATA fields, in wire order. rrtype.def names them in its rows.
enum field {
	F_END,
	F_U8, F_U16, F_U32,
	F_TTL,			// 32 bits of seconds, units allowed (SOA timers)
	F_IP4, F_IP6,
	F_NAME_COMPRESSIBLE,	// a name of RFC 1035: may be compressed on the wire (RFC 3597 4)
	F_NAME,			// any later name: never compressed
	F_STRING,		// one character-string, RFC 1035 3.3
	F_STRING_MAYBE,		// one or none, at the end
	F_STRINGS,		// one or more, to the end of the RDATA
	F_TEXT_REST,		// one text without length octet, to the end (URI target)
	F_TEXT_REST_MAYBE,	// the same, may be empty (CAA value)
	F_TAG,			// CAA property tag
	F_TYPE,			// mnemonic of an RR type
	F_TYPE_BITMAP,		// RFC 4034 4.1.2, may be empty (RFC 5155 3.1.8)
	F_TIME,			// YYYYMMDDHHmmSS or seconds, RFC 4034 3.2
	F_ALGORITHM,		// number or mnemonic, RFC 4034 A.1
	F_CERT_TYPE,		// RFC 4398 2.1
	F_BASE64, F_HEX,	// to the end, one octet at least
	F_BASE64_MAYBE,		// to the end, may be empty (KEY without a key)
	F_HEX_STRING,		// one length octet, hex or "-" (NSEC3 salt)
	F_BASE32_STRING,	// one length octet, base32hex (NSEC3 next owner)
	F_SVC_PARAMS,		// RFC 9460 2.1
	F_U64,
	F_NXT_BITMAP,		// RFC 2535 5.2
	F_ATMA,			// ATM Forum af-dans-0152.000
	F_WKS,			// protocol and ports, RFC 1035 3.4.2
	F_LOC, F_APL, F_EUI48, F_EUI64, F_NSAP,
	F_NODE_ID,		// 64 bits in four groups of hex, RFC 6742 2.1.2
	F_IPSECKEY, F_AMTRELAY, F_A6, F_HIP, // whole RDATA whose form depends on itself
	F_UNKNOWN,		// RFC 3597 text only
	F_COUNT
};

#define FIELDS_MAX 9

enum { // the codes that code outside the table needs by name
#define RR(mnemonic, code, source, ...) TYPE_##mnemonic = code,
#include <pollux/rrtype.def>
#undef RR
	TYPE_OPT = 41,
	TYPE_IXFR = 251,
	TYPE_AXFR = 252,
	TYPE_ANY = 255,
};

struct rrtype {
	const char *name, *source;
	uint16_t code;
	uint8_t field[FIELDS_MAX + 1]; // enum field, ended by F_END
};

// The row of a type, or NULL: then RFC 3597 applies.
const struct rrtype *rrtype_by_code(uint16_t code);
// Mnemonic or "TYPE65280" (RFC 3597 5), any case. ST_NOT_FOUND.
CHECKED enum status rrtype_from_text(uint16_t *code, const char *text, size_t length);
// To at most 16 octets with the NUL; returns `to`.
char *rrtype_to_text(char *to, uint16_t code);

// Where the RDATA of that type is wrong, NULL when it is right. Names must be uncompressed.
const char *rdata_check(uint16_t type, const uint8_t *rdata, size_t bytes);
// Calls `visit` for every name in well-formed RDATA: offset, and whether it may be compressed.
void rdata_names(uint16_t type, const uint8_t *rdata, size_t bytes,
	void (*visit)(void *ctx, unsigned at, bool compressible), void *ctx);
// Presentation format with absolute names, RFC 3597 form for types without a row; always NUL-ended. Returns the length that was
// needed, like snprintf.
size_t rdata_to_text(char *to, size_t room, uint16_t type, const uint8_t *rdata, size_t bytes);
