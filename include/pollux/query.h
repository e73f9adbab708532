// SPDX-License-Identifier: BSD-3-Clause
// A question as it came, parsed in place: nothing is copied but the folded name.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/name.h>

// Header flags, RFC 1035 4.1.1 and RFC 4035 3.1.6, 3.2.2.
enum {
	FLAG_QR = 0x8000,
	FLAG_OPCODE = 0x7800,
	FLAG_AA = 0x0400,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	FLAG_RA = 0x0080,
	FLAG_Z = 0x0040,
	FLAG_AD = 0x0020,
	FLAG_CD = 0x0010,
	FLAG_RCODE = 0x000f,
};

// RFC 1035 4.1.1, RFC 6891 9.
enum rcode {
	RCODE_NOERROR = 0,
	RCODE_FORMERR = 1,
	RCODE_SERVFAIL = 2,
	RCODE_NXDOMAIN = 3,
	RCODE_NOTIMP = 4,
	RCODE_REFUSED = 5,
	RCODE_YXDOMAIN = 6,
	RCODE_BADVERS = 16,
	RCODE_BADCOOKIE = 23, // RFC 7873 8
};

enum { CLASS_IN = 1, CLASS_CH = 3, CLASS_NONE = 254, CLASS_ANY = 255 };

// Options of an OPT that mean something to us; all others are ignored (RFC 6891 6.1.2). Bits of query.options.
enum query_option {
	OPTION_NSID = 1 << 0,	     // RFC 5001
	OPTION_COOKIE = 1 << 1,	     // RFC 7873
	OPTION_KEEPALIVE = 1 << 2,   // RFC 7828
	OPTION_PADDING = 1 << 3,     // RFC 7830
	OPTION_ZONEVERSION = 1 << 4, // RFC 9660
	// A KEEPALIVE with a time in it: an error over TCP, nothing over UDP (RFC 7828 3.2.1).
	OPTION_KEEPALIVE_ODD = 1 << 5,
	OPTION_MALFORMED = 1 << 6, // only while parsing
	OPTION_EDE = 1 << 7,	   // RFC 8914, in replies only
};

struct query {
	const uint8_t *wire; // the message; belongs to the caller and outlives the query
	uint16_t bytes;	     // of the message
	uint16_t id;	     // host order, as all numbers here
	uint16_t flags;
	uint16_t type, class;
	uint16_t question_bytes; // the whole question section: name, type and class behind the header; 0 without a usable question
	uint16_t cookie_at;	 // offset in `wire`, valid with OPTION_COOKIE
	uint8_t cookie_bytes;	 // 8, or 16 to 40 with a server cookie
	// These together: for most questions they are one constant word.
	uint16_t questions;	 // in the question section, of which the first is meant; 0 when there is no usable one
	uint16_t udp_size;	 // the client's EDNS size, at least 512 (RFC 6891 6.2.3); 512 without EDNS
	uint8_t edns_version;
	bool edns, dnssec_ok;
	uint8_t options;	 // enum query_option
	// One's complement sum (RFC 1071), not folded, less than 2^48, of all octets of the message but the question section, as
	// they stand there; 0 where nobody knows. With it the question's own sum is the rest of a checksum already verified.
	uint64_t beside_sum;
	struct folded_name name; // valid when question_bytes is not 0
};

enum query_verdict {
	QUERY_VALID,	   // one well-formed question of opcode QUERY
	QUERY_ERROR,	   // to be answered with the rcode given
	QUERY_SHORT,	   // shorter than a header: never answered
	QUERY_IS_RESPONSE, // QR is set: never answered
};

// Reads a message of `bytes` octets. For QUERY_ERROR `*rcode` says which (RFC 1035 4.1.1: FORMERR,
// NOTIMP; RFC 6891 6.1.3: BADVERS; RFC 9619 for two questions; REFUSED for an empty one). Records in
// the answer and authority sections of a query are skipped, an OPT is found anywhere in the additional
// section, two are FORMERR (RFC 6891 6.1.1), and so are options of a length that they cannot have. `seed` keys the name hashes. Never reads outside
// [wire, wire + bytes). Any thread; fills `q` only.
enum query_verdict query_parse(struct query *q, const uint8_t *wire, size_t bytes, uint64_t seed,
	enum rcode *rcode);
// For those who would rather answer the first of several questions than FORMERR: reads again what query_parse() has found
// in error, and puts up with further questions, as long as all of them are no longer than one may be.
enum query_verdict query_parse_first(struct query *q, const uint8_t *wire, size_t bytes, uint64_t seed,
	enum rcode *rcode);
