// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include <pollux/bytes.h>
#include <pollux/catalog.h>
#include <pollux/image.h>
#include <pollux/rrtype.h>

#include "cookie.h"
#include "edns.h"

// Codes of options, IANA "DNS EDNS0 Option Codes".
enum {
	CODE_NSID = 3,
	CODE_COOKIE = 10,
	CODE_KEEPALIVE = 11,
	CODE_PADDING = 12,
	CODE_EDE = 15,
	CODE_ZONEVERSION = 19,
};

#define HEAD_BYTES 4	    // code and length of an option
#define ZONEVERSION_BYTES 6 // labels, type, serial
#define TYPE_SOA_SERIAL 0   // RFC 9660 4
#define PADDING_BLOCK 468   // RFC 8467 4.1: replies grow to a multiple of it

// --- in ---

static void read_cookie(struct query *q, const uint8_t *at, uint16_t bytes)
{
	// RFC 7873 5.2.2: 8 octets, or 8 and a server cookie of 8 to 32.
	if (bytes != COOKIE_CLIENT_BYTES && (bytes < 16 || bytes > COOKIE_MAX_BYTES)) {
		q->options |= OPTION_MALFORMED;
	} else if (!(q->options & OPTION_COOKIE)) { // of several only the first one counts, RFC 7873 5.2
		q->options |= OPTION_COOKIE;
		q->cookie_at = (uint16_t)(at - q->wire);
		q->cookie_bytes = (uint8_t)bytes;
	}
}

// RFC 6891 6.1.2: what is not known is ignored.
static void read_option(struct query *q, uint16_t code, const uint8_t *at, uint16_t bytes)
{
	switch (code) {
	case CODE_NSID: // RFC 5001 2.1: a payload is ignored
		q->options |= OPTION_NSID;
		break;
	case CODE_COOKIE:
		read_cookie(q, at, bytes);
		break;
	case CODE_KEEPALIVE:
		q->options |= bytes ? OPTION_KEEPALIVE_ODD : OPTION_KEEPALIVE;
		break;
	case CODE_PADDING:
		q->options |= OPTION_PADDING;
		break;
	case CODE_ZONEVERSION: // RFC 9660 3.1: a request is empty
		q->options |= bytes ? OPTION_MALFORMED : OPTION_ZONEVERSION;
		break;
	}
}

bool edns_read_options(struct query *q, const uint8_t *at, uint16_t bytes)
{
	struct reader r = reader_of(at, bytes);
	while (reader_left(&r)) {
		uint16_t code = read_be16(&r), length = read_be16(&r);
		const uint8_t *data = read_bytes(&r, length);
		if (!data)
			return false;
		read_option(q, code, data, length);
	}
	return true;
}

// --- what goes out ---

static bool makes_cookies(const struct parties *parties)
{
	return parties && parties->client && parties->identity && parties->identity->cookie_mode != COOKIES_OFF &&
		parties->identity->secret_count;
}

static bool has_cookie_for(const struct query *q, const struct parties *parties)
{
	return q->options & OPTION_COOKIE && makes_cookies(parties);
}

static void plan_option(struct opt *opt, enum query_option option, uint32_t bytes)
{
	opt->options |= (uint8_t)option;
	opt->bytes += HEAD_BYTES + bytes;
}

// RFC 8914 2: what people read in a packet; it tells nothing of who was asked.
static const char *text_of(unsigned ede)
{
	switch (ede) {
	case EDE_NO_REACHABLE_AUTHORITY:
		return "no server that could know gave a usable answer in time";
	case EDE_NETWORK_ERROR:
		return "no connection to the servers that could know";
	default:
		return "";
	}
}

void edns_plan(struct opt *opt, const struct query *q, const struct parties *parties, const struct image *zone,
	enum extended_error ede)
{
	opt->bytes = q->edns ? OPT_BYTES : 0;
	opt->options = 0;
	if (!q->edns)
		return;
	if (ede != EDE_NONE) {
		plan_option(opt, OPTION_EDE, 2 + (uint32_t)strlen(text_of(ede)));
		opt->ede = (uint16_t)ede;
	}
	if (!parties || !q->options)
		return;
	if (q->options & OPTION_NSID && parties->identity && parties->identity->nsid_bytes)
		plan_option(opt, OPTION_NSID, parties->identity->nsid_bytes);
	if (has_cookie_for(q, parties)) {
		cookie_renew(opt->cookie, parties, q->wire + q->cookie_at, q->cookie_bytes);
		plan_option(opt, OPTION_COOKIE, sizeof(opt->cookie));
	}
	if (q->options & OPTION_KEEPALIVE && parties->idle_100ms)
		plan_option(opt, OPTION_KEEPALIVE, 2);
	if (q->options & OPTION_ZONEVERSION && zone)
		plan_option(opt, OPTION_ZONEVERSION, ZONEVERSION_BYTES);
	// RFC 7830 6: never in the clear over UDP. A TCP client that asks for it is, or sits behind, a TLS proxy.
	if (q->options & OPTION_PADDING && parties->idle_100ms)
		opt->options |= OPTION_PADDING;
}

static uint8_t *put_head(uint8_t *to, uint16_t code, uint32_t bytes)
{
	store_be16(to, code);
	store_be16(to + 2, (uint16_t)bytes);
	return to + HEAD_BYTES;
}

static uint8_t *put_option(uint8_t *to, uint16_t code, const void *data, uint32_t bytes)
{
	memcpy(put_head(to, code, bytes), data, bytes);
	return to + HEAD_BYTES + bytes;
}

static uint8_t *put_number(uint8_t *to, uint16_t code, uint16_t number)
{
	store_be16(put_head(to, code, 2), number);
	return to + HEAD_BYTES + 2;
}

// RFC 9660 3.2: the name of the zone as a count of labels of the question's name, and its serial.
static uint8_t *put_zone_version(uint8_t *to, const struct image *zone)
{
	to = put_head(to, CODE_ZONEVERSION, ZONEVERSION_BYTES);
	to[0] = zone->apex_labels;
	to[1] = TYPE_SOA_SERIAL;
	store_be32(to + 2, zone->serial);
	return to + ZONEVERSION_BYTES;
}

// RFC 8467 4.1; the last option, as it depends on everything before. `at` and `limit` count from the message's start.
static uint32_t padding_for(uint32_t at, uint32_t limit)
{
	uint32_t block_end = (at + HEAD_BYTES + PADDING_BLOCK - 1) / PADDING_BLOCK * PADDING_BLOCK;
	if (block_end > limit)
		block_end = limit;
	return block_end >= at + HEAD_BYTES ? block_end - at : 0;
}

static uint8_t *put_padding(uint8_t *to, const uint8_t *wire, uint32_t limit)
{
	uint32_t bytes = padding_for((uint32_t)(to - wire), limit);
	if (!bytes)
		return to;
	memset(put_head(to, CODE_PADDING, bytes - HEAD_BYTES), 0, bytes - HEAD_BYTES);
	return to + bytes;
}

static uint8_t *put_ede(uint8_t *to, uint16_t ede)
{
	const char *text = text_of(ede);
	uint32_t bytes = (uint32_t)strlen(text);
	to = put_head(to, CODE_EDE, 2 + bytes);
	store_be16(to, ede);
	memcpy(to + 2, text, bytes);
	return to + 2 + bytes;
}

uint32_t edns_write_options(const struct opt *opt, uint8_t *wire, uint32_t at, uint32_t limit,
	const struct parties *parties, const struct image *zone)
{
	uint8_t *record = wire + at, *to = record + OPT_BYTES;
	if (opt->options & OPTION_NSID)
		to = put_option(to, CODE_NSID, parties->identity->nsid, parties->identity->nsid_bytes);
	if (opt->options & OPTION_COOKIE)
		to = put_option(to, CODE_COOKIE, opt->cookie, sizeof(opt->cookie));
	if (opt->options & OPTION_KEEPALIVE)
		to = put_number(to, CODE_KEEPALIVE, parties->idle_100ms);
	if (opt->options & OPTION_ZONEVERSION)
		to = put_zone_version(to, zone);
	if (opt->options & OPTION_EDE)
		to = put_ede(to, opt->ede);
	if (opt->options & OPTION_PADDING)
		to = put_padding(to, wire, limit);
	store_be16(record + 9, (uint16_t)(to - record - OPT_BYTES));
	return (uint32_t)(to - wire);
}

uint32_t answer_opt_bytes(const struct query *q, const struct parties *parties, enum extended_error why)
{
	struct opt opt;
	edns_plan(&opt, q, parties, NULL, why);
	return opt.bytes;
}

uint32_t answer_put_opt(uint8_t *wire, uint32_t bytes, uint32_t limit, const struct policy *policy,
	const struct query *q, const struct parties *parties, unsigned rcode, enum extended_error why)
{
	struct opt opt;
	if (!q->edns)
		return bytes;
	edns_plan(&opt, q, parties, NULL, why);
	edns_write_plain(wire + bytes, policy, q, rcode);
	return edns_write_options(&opt, wire, bytes, limit, parties, NULL);
}

// --- cookies that are asked for ---

static bool is_bad_cookie(const struct query *q, const struct parties *parties)
{
	uint8_t unused[COOKIE_CLIENT_BYTES + COOKIE_SERVER_BYTES];
	return cookie_renew(unused, parties, q->wire + q->cookie_at, q->cookie_bytes) == COOKIE_BAD;
}

bool edns_wants_better_cookie(const struct query *q, const struct parties *parties)
{
	return has_cookie_for(q, parties) && parties->identity->cookie_mode == COOKIES_STRICT &&
		is_bad_cookie(q, parties);
}

enum rcode edns_judge_empty(const struct query *q, const struct parties *parties, enum rcode rcode)
{
	if (rcode != RCODE_REFUSED || q->question_bytes || !has_cookie_for(q, parties))
		return rcode;
	// Only a wrong server cookie is an error here, not a missing one.
	return q->cookie_bytes > COOKIE_CLIENT_BYTES && is_bad_cookie(q, parties) ? RCODE_BADCOOKIE : RCODE_NOERROR;
}
