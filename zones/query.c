// SPDX-License-Identifier: BSD-3-Clause
#include <pollux/bytes.h>
#include <pollux/query.h>
#include <pollux/rrtype.h>

#include "edns.h"

// A name anywhere in a message: skipped, not followed, so that no pointer can loop.
static void skip_name(struct reader *r)
{
	for (;;) {
		uint8_t length = read_u8(r);
		if (r->failed || length == 0)
			return;
		if (length >= 0xc0) { // a pointer ends the name, RFC 1035 4.1.4
			read_u8(r);
			return;
		}
		if (length > LABEL_MAX_BYTES)
			r->failed = true;
		read_bytes(r, length);
	}
}

// RFC 6891 6.1.2: CLASS is the UDP size, TTL holds extended rcode, version and flags.
static bool read_opt(struct query *q, struct reader *r, bool root_owner)
{
	uint16_t size = read_be16(r);
	read_u8(r); // the extended rcode means nothing in a query
	q->edns_version = read_u8(r);
	q->dnssec_ok = read_be16(r) & 0x8000; // RFC 3225 3
	uint16_t option_bytes = read_be16(r);
	const uint8_t *at = read_bytes(r, option_bytes);
	if (!at || q->edns || !root_owner) // two of them, or another owner: RFC 6891 6.1.1, 6.1.2
		return false;
	q->edns = true;
	// RFC 6891 6.2.3: values below 512 are treated as 512.
	q->udp_size = size < DNS_UDP_PLAIN_BYTES ? DNS_UDP_PLAIN_BYTES : size;
	return !option_bytes || edns_read_options(q, at, option_bytes);
}

static bool read_records(struct query *q, struct reader *r, unsigned count, bool additional)
{
	while (count--) {
		const uint8_t *owner = r->at;
		skip_name(r);
		bool root_owner = !r->failed && r->at == owner + 1;
		uint16_t type = read_be16(r);
		if (type == TYPE_OPT && !r->failed) {
			if (!additional || !read_opt(q, r, root_owner))
				return false;
			continue;
		}
		read_bytes(r, 2 + 4);
		read_bytes(r, read_be16(r));
		if (r->failed)
			return false;
	}
	return true;
}

static bool read_question(struct query *q, struct reader *r, uint64_t seed)
{
	const uint8_t *name = r->at;
	unsigned bytes = name_take(&q->name, name, reader_left(r), seed);
	if (!bytes || reader_left(r) < bytes + 4)
		return false;
	r->at += bytes;
	q->type = read_be16(r);
	q->class = read_be16(r);
	q->question_bytes = (uint16_t)(bytes + 4);
	q->questions = 1;
	return true;
}

// Questions behind the first: they go back with the reply, which has room for one of the longest.
static bool read_more_questions(struct query *q, struct reader *r, unsigned count)
{
	for (unsigned i = 0; i < count && !r->failed; i++) {
		skip_name(r);
		read_be32(r);
	}
	size_t bytes = (size_t)(r->at - q->wire) - DNS_HEADER_BYTES;
	bool fits = !r->failed && bytes <= NAME_MAX_BYTES + 4;
	q->questions = (uint16_t)(fits ? 1 + count : 0);
	q->question_bytes = (uint16_t)(fits ? bytes : 0);
	return fits;
}

// Any message. Not inlined: nearly none comes here.
static __attribute__((noinline)) enum query_verdict parse(struct query *q, const uint8_t *wire, size_t bytes, uint64_t seed,
	unsigned most_questions, enum rcode *rcode)
{
	*rcode = RCODE_NOERROR;
	if (bytes < DNS_HEADER_BYTES)
		return QUERY_SHORT;
	q->wire = wire;
	q->bytes = (uint16_t)(bytes > DNS_MAX_BYTES ? DNS_MAX_BYTES : bytes);
	q->id = load_be16(wire);
	q->flags = load_be16(wire + 2);
	q->type = q->class = 0;
	q->questions = q->question_bytes = 0;
	q->udp_size = DNS_UDP_PLAIN_BYTES;
	q->edns_version = 0;
	q->edns = q->dnssec_ok = false;
	q->options = 0;
	q->beside_sum = 0;
	if (q->flags & FLAG_QR)
		return QUERY_IS_RESPONSE;

	unsigned questions = load_be16(wire + 4), answers = load_be16(wire + 6);
	unsigned authorities = load_be16(wire + 8), additionals = load_be16(wire + 10);
	struct reader r = reader_of(wire, q->bytes);
	r.at += DNS_HEADER_BYTES;

	*rcode = RCODE_FORMERR;
	bool sound = questions <= most_questions && (!questions || read_question(q, &r, seed)) &&
		(questions < 2 || read_more_questions(q, &r, questions - 1)) &&
		read_records(q, &r, answers + authorities, false) &&
		read_records(q, &r, additionals, true);
	if (!sound) { // an OPT we could not read gets none back
		q->edns = false;
		q->options = 0;
	}
	if (q->flags & FLAG_OPCODE) { // every opcode but QUERY, whatever its sections hold
		*rcode = RCODE_NOTIMP;
		return QUERY_ERROR;
	}
	if (!sound) // two questions among them, RFC 9619 3
		return QUERY_ERROR;
	if (q->options & OPTION_MALFORMED) { // the OPT could be read, so one goes back
		q->options = 0;
		return QUERY_ERROR;
	}
	if (q->edns && q->edns_version > 0) { // RFC 6891 6.1.3
		q->options = 0; // what they mean in that version, who knows
		*rcode = RCODE_BADVERS;
		return QUERY_ERROR;
	}
	if (questions == 0) {
		*rcode = RCODE_REFUSED;
		return QUERY_ERROR;
	}
	*rcode = RCODE_NOERROR;
	return QUERY_VALID;
}

// RFC 1035 4.1.1: no response, opcode QUERY, one question, no answer. Words as load_64() finds them.
#define HEAD_MASK load_64("\0\0\xf8\0\xff\xff\xff\xff")
#define HEAD_OF_QUESTION load_64("\0\0\0\0\0\1\0\0")
// RFC 6891 6.1.2, 6.1.3: the root as owner, OPT, any size, any extended rcode, version 0.
#define OPT_MASK load_64("\xff\xff\xff\0\0\0\xff\0")
#define OPT_HEAD load_64("\0\0\x29\0\0\0\0\0")
#define OPT_FIXED_BYTES 11

static inline uint64_t sum_of_64(uint64_t word)
{
	return (word & UINT32_MAX) + (word >> 32);
}

// False: it is not, or not as it should be.
static inline bool take_opt(struct query *q, const uint8_t *at, size_t room)
{
	if (room < OPT_FIXED_BYTES || (load_64(at) & OPT_MASK) != OPT_HEAD)
		return false;
	// Behind an odd number of octets each counts for 2^8 times as much, RFC 1071 2 B.
	if (room == OPT_FIXED_BYTES)
		q->beside_sum += (sum_of_64(load_64(at)) + (load_32(at + 7) >> 8)) << (q->question_bytes & 1) * 8;
	else
		q->beside_sum = 0;
	uint16_t size = load_be16(at + 3), option_bytes = load_be16(at + 9);
	q->edns = true;
	q->dnssec_ok = at[7] & 0x80;
	q->udp_size = size < DNS_UDP_PLAIN_BYTES ? DNS_UDP_PLAIN_BYTES : size;
	return !option_bytes || (option_bytes <= room - OPT_FIXED_BYTES &&
		edns_read_options(q, at + OPT_FIXED_BYTES, option_bytes) && !(q->options & OPTION_MALFORMED));
}

// What nearly everybody sends: a question, perhaps an OPT, and all is well. False: parse() knows more. What this takes, that
// takes, too, in three times as many instructions.
static inline bool take_plain(struct query *q, const uint8_t *wire, size_t bytes, uint64_t seed)
{
	if (bytes < DNS_HEADER_BYTES || bytes > DNS_MAX_BYTES)
		return false;
	uint64_t head = load_64(wire);
	if ((head & HEAD_MASK) != HEAD_OF_QUESTION)
		return false;
	uint32_t records = load_be32(wire + 8); // authorities and additionals
	unsigned name_bytes = records <= 1 ? name_take(&q->name, wire + DNS_HEADER_BYTES, bytes - DNS_HEADER_BYTES, seed) : 0;
	size_t end = DNS_HEADER_BYTES + name_bytes + 4;
	if (!name_bytes || end > bytes)
		return false;
	uint32_t type_and_class = load_be32(wire + end - 4);
	q->wire = wire;
	q->bytes = (uint16_t)bytes;
	q->id = load_be16(wire);
	q->flags = load_be16(wire + 2);
	q->type = (uint16_t)(type_and_class >> 16);
	q->class = (uint16_t)type_and_class;
	q->question_bytes = (uint16_t)(name_bytes + 4);
	q->questions = 1;
	q->udp_size = DNS_UDP_PLAIN_BYTES;
	q->edns_version = 0;
	q->edns = q->dnssec_ok = false;
	q->options = 0;
	q->beside_sum = sum_of_64(head) + load_32(wire + 8);
	if (records)
		return take_opt(q, wire + end, bytes - end);
	if (bytes > end) // what nobody has announced
		q->beside_sum = 0;
	return true;
}

enum query_verdict query_parse(struct query *q, const uint8_t *wire, size_t bytes, uint64_t seed, enum rcode *rcode)
{
	*rcode = RCODE_NOERROR;
	return take_plain(q, wire, bytes, seed) ? QUERY_VALID : parse(q, wire, bytes, seed, 1, rcode);
}

enum query_verdict query_parse_first(struct query *q, const uint8_t *wire, size_t bytes, uint64_t seed, enum rcode *rcode)
{
	return parse(q, wire, bytes, seed, UINT16_MAX, rcode);
}
