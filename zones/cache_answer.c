// SPDX-License-Identifier: BSD-3-Clause
// Replies from the cache region. What is read there may be overwritten while it is read, so every number is taken once,
// checked, and used from where it was copied to; at the end cache_still_holds() says whether all of it was true.
#include <pollux/bytes.h>

#include "cache_region.h"
#include "edns.h"
#include "sections.h"

// How old the entry is, and what its TTLs become.
struct terms {
	uint32_t now_s, stale_ttl_s;
	bool stale_too;
};

static bool has_expired(const struct entry *entry, uint32_t now_s)
{
	return entry->expires_at_s <= now_s;
}

// What becomes of TTLs: they are counted down, or all the same, as RFC 8767 4 wants it of what is stale.
struct ageing {
	uint32_t age_s, ttl_s;
	bool is_stale;
};

static struct ageing ageing_of(uint32_t stored_at_s, uint32_t now_s, bool is_stale, uint32_t stale_ttl_s)
{
	uint32_t age_s = now_s > stored_at_s ? now_s - stored_at_s : 0;
	return (struct ageing){ .age_s = age_s, .ttl_s = stale_ttl_s, .is_stale = is_stale };
}

static inline uint32_t aged(const struct ageing *ageing, uint32_t ttl_s)
{
	if (ageing->is_stale)
		return ageing->ttl_s;
	return ttl_s > ageing->age_s ? ttl_s - ageing->age_s : 0;
}

// TTLs of the copied octets; `held`, where they were copied from, and `ttl_at` lie in the region. They are read
// there: of what was just stored in another width a CPU has to wait. What changes is added to the sum. False: they are nonsense.
static bool age_ttls(uint8_t *body, uint32_t bytes, const uint8_t *held, const uint16_t *ttl_at, unsigned count,
	const struct ageing *ageing, uint32_t *sum)
{
	uint32_t more = 0;
	for (unsigned i = 0; i < count; i++) {
		uint32_t at = __atomic_load_n(&ttl_at[i], __ATOMIC_RELAXED);
		if (at + 4 > bytes) {
			*sum += more;
			return at >= bytes; // of the additional section, left out
		}
		uint32_t was = load_be32(held + at), is = aged(ageing, was);
		store_be32(body + at, is);
		more += sum_of_number(is, at) + sum_of_number(~was, at); // in one's complement ~ is minus
	}
	*sum += more;
	return true;
}

// Options that end a query before it is looked at: what answer_query() says to those is not in the cache.
static bool wants_other_answer(const struct query *query, enum transport transport, const struct parties *parties)
{
	if (transport == OVER_TCP)
		return query->options & OPTION_KEEPALIVE_ODD;
	return edns_wants_better_cookie(query, parties);
}

static enum extended_error reason_of(const struct entry *entry, bool stale)
{
	if (!stale)
		return entry->why;
	return entry->rcode == RCODE_NXDOMAIN ? EDE_STALE_NXDOMAIN : EDE_STALE;
}

// RFC 1035 4.1.1: RD is copied, RFC 4035 3.2.2: CD as well; RFC 6840 5.7, 5.8: AD for who understands it.
static uint16_t flags_of(const struct policy *policy, const struct query *query, const struct entry *entry)
{
	unsigned flags = FLAG_QR | (query->flags & (FLAG_RD | FLAG_CD)) | (entry->rcode & FLAG_RCODE);
	if (policy->has_chain)
		flags |= FLAG_RA;
	if (entry->authentic && (query->dnssec_ok || query->flags & FLAG_AD))
		flags |= FLAG_AD;
	return (uint16_t)flags;
}

// How much of the body goes out: all, all but the additional section, nothing.
static unsigned sections_that_fit(const struct entry *entry, uint32_t room)
{
	if (entry->end[2] <= room)
		return 3;
	return entry->end[1] <= room ? 2 : 0;
}

static uint32_t write_opt(uint8_t *wire, uint32_t at, const struct opt *opt, uint32_t limit, const struct policy *policy,
	const struct query *query, const struct parties *parties, unsigned rcode)
{
	if (!query->edns)
		return at;
	edns_write_plain(wire + at, policy, query, rcode);
	return opt->options ? edns_write_options(opt, wire, at, limit, parties, NULL) : at + OPT_BYTES;
}

static bool answer_from(const struct cache *cache, const struct policy *policy, const struct query *query,
	const struct cache_key *key, enum transport transport, const struct terms *terms, struct reply *reply,
	struct cache_hit *hit)
{
	struct entry entry;
	uint64_t position = cache_look(cache, key, &entry);
	if (!position)
		return false;
	bool stale = has_expired(&entry, terms->now_s);
	if (query->questions != 1) // the body's pointers are for a question section of one
		return false;
	if ((stale && !terms->stale_too) || (query->options && wants_other_answer(query, transport, reply->parties)))
		return false;

	struct opt opt = { .bytes = query->edns ? OPT_BYTES : 0 };
	enum extended_error why = reason_of(&entry, stale);
	if (query->options || why != EDE_NONE)
		edns_plan(&opt, query, reply->parties, NULL, why);
	uint32_t limit = answer_limit(policy, query, transport), at = DNS_HEADER_BYTES + query->question_bytes;
	if (limit > reply->room)
		limit = reply->room;
	unsigned sections = sections_that_fit(&entry, limit - opt.bytes - at);
	uint32_t bytes = sections ? entry.end[sections - 1] : 0;

	uint32_t sum = entry.sum;
	uint8_t *wire = reply->wire;
	const uint8_t *held = (const uint8_t *)entry_at(cache, position) + entry_body_at(&entry);
	const uint16_t *ttl_at = entry_at(cache, position)->ttl_at;
	// RFC 4343 4.1, and the habit of checking 0x20: the question goes back octet for octet.
	if (wire != query->wire)
		memcpy(wire + DNS_HEADER_BYTES, query->wire + DNS_HEADER_BYTES, query->question_bytes);
	if (bytes >= 8) // no records, or at least one
		copy_records(wire + at, held, bytes);
	const struct ageing ageing = ageing_of(entry.stored_at_s, terms->now_s, stale, terms->stale_ttl_s);
	bool sound = age_ttls(wire + at, bytes, held, ttl_at, entry.ttl_count, &ageing, &sum);
	if (!cache_still_holds(cache, position) || !sound)
		return false;

	unsigned flags = flags_of(policy, query, &entry) | (sections ? 0 : FLAG_TC);
	write_header(wire, query->id, flags, 1, sections ? entry.count[0] : 0, sections ? entry.count[1] : 0,
		(sections == 3 ? entry.count[2] : 0u) + query->edns);
	reply->bytes = write_opt(wire, at + bytes, &opt, limit, policy, query, reply->parties, entry.rcode);
	reply->rcode = entry.rcode;
	reply->truncated = !sections;
	// Of a part of the body, of options and of the upper bits of an rcode nobody knows the sum.
	reply->summed = sections == 3 && !opt.options && entry.rcode <= FLAG_RCODE;
	reply->sections_sum = sum + (query->edns ? sum_moved(edns_plain_sum(policy, query), bytes) : 0);
	if (hit)
		*hit = (struct cache_hit){ position, stale ? 0 : entry.expires_at_s - terms->now_s };
	return true;
}

bool cache_answer(const struct cache *cache, const struct policy *policy, const struct query *query,
	const struct cache_key *key, enum transport transport, uint32_t now_s, struct reply *reply, struct cache_hit *hit)
{
	const struct terms terms = { .now_s = now_s };
	return answer_from(cache, policy, query, key, transport, &terms, reply, hit);
}

bool cache_answer_stale(const struct cache *cache, const struct policy *policy, const struct query *query,
	const struct cache_key *key, enum transport transport, uint32_t now_s, uint32_t stale_ttl_s, struct reply *reply,
	struct cache_hit *hit)
{
	const struct terms terms = { .now_s = now_s, .stale_ttl_s = stale_ttl_s, .stale_too = true };
	return answer_from(cache, policy, query, key, transport, &terms, reply, hit);
}

uint32_t cache_entry_message(const struct cache_entry *entry, uint32_t now_s, uint32_t stale_ttl_s, uint8_t *wire,
	uint32_t room)
{
	uint32_t at = DNS_HEADER_BYTES + entry->key.name_bytes + 4u;
	if (at + entry->body_bytes > room)
		return 0;
	unsigned flags = FLAG_QR | FLAG_RD | FLAG_RA | (entry->rcode & FLAG_RCODE);
	flags |= entry->key.flags & CACHE_KEY_CD ? FLAG_CD : 0;
	store_be16(wire, 0);
	store_be16(wire + 2, (uint16_t)(flags | (entry->authentic ? FLAG_AD : 0)));
	store_be16(wire + 4, 1);
	for (unsigned s = 0; s < 3; s++)
		store_be16(wire + 6 + 2 * s, entry->count[s]);
	memcpy(wire + DNS_HEADER_BYTES, entry->key.name, entry->key.name_bytes);
	store_be16(wire + at - 4, entry->key.type);
	store_be16(wire + at - 2, entry->key.class);
	memcpy(wire + at, entry->body, entry->body_bytes);
	uint32_t unused = 0;
	const struct ageing ageing = ageing_of(entry->stored_at_s, now_s, entry->expires_at_s <= now_s, stale_ttl_s);
	age_ttls(wire + at, entry->body_bytes, entry->body, entry->ttl_at, entry->ttl_count, &ageing, &unused);
	return at + entry->body_bytes;
}
