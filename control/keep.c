// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "keep.h"

#define ALIASES_MAX 32	     // of one answer; more is nobody's good will
#define FIRST_META_TYPE 128  // to 255: RFC 6895 3.1
#define LAST_META_TYPE 255
#define FIRST_META_CLASS 254 // NONE and ANY, RFC 6895 3.2

const char *const keep_reason_key[KEEP_REASON_COUNT] = {
	[KEEP_IT] = "kept",
#define KEEP_REASON(id, key) [KEEP_NOT_##id] = key,
	KEEP_REASONS(KEEP_REASON)
#undef KEEP_REASON
};

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static bool is_proof(const struct message_rr *rr)
{
	return rr->type == TYPE_RRSIG || rr->type == TYPE_NSEC || rr->type == TYPE_NSEC3;
}

static bool is_data(uint16_t type)
{
	return type != 0 && type != TYPE_OPT && (type < FIRST_META_TYPE || type > LAST_META_TYPE);
}

// RFC 4035 3.2.1: those who did not set DO get proofs only by name. What is no data (TSIG, and nonsense) was between neighbours.
static bool is_wanted(const struct learned_key *key, const struct message_rr *rr)
{
	return is_data(rr->type) && (key->dnssec_ok || key->type == rr->type || !is_proof(rr));
}

static bool is_about_data(const struct learned_key *key)
{
	return is_data(key->type) && key->class != 0 && key->class < FIRST_META_CLASS;
}

static const struct message_rr *find(const struct message *m, enum section section, const uint8_t *owner, uint16_t type)
{
	for (unsigned i = m->section_at[section]; i < m->section_at[section + 1]; i++) {
		if (m->rr[i].type == type && (!owner || name_equal(m->rr[i].owner, owner)))
			return &m->rr[i];
	}
	return NULL;
}

// Records of the type asked for, at the end of the aliases that lead away from the question.
static bool has_data(const struct learned_key *key, const struct message *m)
{
	const uint8_t *name = key->name;
	for (unsigned i = 0; i < ALIASES_MAX; i++) {
		if (find(m, SECTION_ANSWER, name, key->type))
			return true;
		const struct message_rr *alias = find(m, SECTION_ANSWER, name, TYPE_CNAME);
		if (!alias)
			break;
		name = alias->rdata;
	}
	return false;
}

// RFC 2308 3: its TTL and its MINIMUM field, whichever is less.
static uint32_t negative_ttl(const struct keep_rules *rules, const struct message_rr *soa)
{
	uint32_t minimum = load_be32(soa->rdata + soa->rdata_bytes - 4);
	return least(least(soa->ttl, minimum > TTL_MAX_S ? 0 : minimum), rules->negative_max_ttl_s);
}

// RFC 4034 3.1.5: serial arithmetic. A signature that has run out already limits nothing: it is no better tomorrow.
static uint32_t signed_for(const struct keep_rules *rules, const struct message_rr *rr)
{
	if (rr->type != TYPE_RRSIG || rr->rdata_bytes < 12 || !rules->wall_s)
		return TTL_MAX_S;
	int32_t left = (int32_t)(load_be32(rr->rdata + 8) - rules->wall_s);
	return left > 0 ? (uint32_t)left : TTL_MAX_S;
}

static uint32_t inside(const struct keep_rules *rules, uint32_t ttl)
{
	uint32_t floor = least(rules->min_ttl_s, rules->max_ttl_s);
	return least(ttl < floor ? floor : ttl, rules->max_ttl_s);
}

enum keep_reason keep_judge(
	struct keep *keep, const struct keep_rules *rules, const struct learned_key *key, const struct message *m)
{
	if (!is_about_data(key))
		return KEEP_NOT_QUESTION;
	if (m->rcode != RCODE_NOERROR && m->rcode != RCODE_NXDOMAIN)
		return KEEP_NOT_RCODE;
	if (m->flags & FLAG_TC)
		return KEEP_NOT_TRUNCATED;
	uint32_t ttl = TTL_MAX_S;
	for (unsigned i = m->section_at[SECTION_ANSWER]; i < m->section_at[SECTION_ANSWER + 1]; i++) {
		if (is_wanted(key, &m->rr[i]))
			ttl = least(least(ttl, inside(rules, m->rr[i].ttl)), signed_for(rules, &m->rr[i]));
	}
	keep->negative = m->rcode == RCODE_NXDOMAIN || !has_data(key, m);
	if (keep->negative) {
		const struct message_rr *soa = find(m, SECTION_AUTHORITY, NULL, TYPE_SOA);
		if (!soa)
			return KEEP_NOT_NO_SOA;
		ttl = least(ttl, negative_ttl(rules, soa));
	}
	// RFC 4035 4.5: an answer ends with the first of its proofs.
	for (unsigned i = m->section_at[SECTION_AUTHORITY]; i < m->section_at[SECTION_AUTHORITY + 1]; i++) {
		if (key->dnssec_ok && is_proof(&m->rr[i]))
			ttl = least(least(ttl, inside(rules, m->rr[i].ttl)), signed_for(rules, &m->rr[i]));
	}
	keep->ttl_s = ttl;
	return ttl ? KEEP_IT : KEEP_NOT_TTL;
}

static bool same_rrset(const struct message_rr *a, const struct message_rr *b)
{
	return a->type == b->type && a->class == b->class && name_equal(a->owner, b->owner);
}

// One RRset, with the least of its TTLs (RFC 2181 5.2). What would die before the whole is left out; in the authority
// section the SOA of a negative answer lives as long as the answer.
static bool write_rrset(struct composer *c, enum section section, const struct keep_rules *rules,
	const struct learned_key *key, const struct message_rr *rr, unsigned count, uint32_t life_s)
{
	uint32_t ttl = TTL_MAX_S;
	for (unsigned i = 0; i < count; i++)
		ttl = least(ttl, rr[i].ttl);
	ttl = rr->type == TYPE_SOA && section == SECTION_AUTHORITY ? life_s : inside(rules, ttl);
	if (!is_wanted(key, rr) || ttl < life_s)
		return true;
	for (unsigned i = 0; i < count; i++) {
		struct message_rr with_ttl = rr[i];
		with_ttl.ttl = ttl;
		if (!composer_add(c, section, &with_ttl))
			return false;
	}
	return true;
}

static bool write_section(struct composer *c, enum section section, const struct keep_rules *rules,
	const struct learned_key *key, const struct message *m, uint32_t life_s)
{
	unsigned end = m->section_at[section + 1];
	for (unsigned first = m->section_at[section], next; first < end; first = next) {
		for (next = first + 1; next < end && same_rrset(&m->rr[first], &m->rr[next]);)
			next++;
		if (!write_rrset(c, section, rules, key, &m->rr[first], next - first, life_s))
			return false;
	}
	return true;
}

unsigned keep_write(struct composer *c, uint8_t *wire, unsigned room, const struct keep_rules *rules,
	const struct learned_key *key, const struct message *m, uint32_t ttl_s)
{
	uint8_t question[NAME_MAX_BYTES + 4];
	unsigned bytes = name_length(key->name, NAME_MAX_BYTES);
	memcpy(question, key->name, bytes);
	store_be16(question + bytes, key->type);
	store_be16(question + bytes + 2, key->class);
	if (!composer_start(c, wire, room, 0, 0, question, bytes + 4, false))
		return 0;
	for (enum section s = SECTION_ANSWER; s < SECTION_COUNT; s++) {
		if (!write_section(c, s, rules, key, m, ttl_s))
			return 0;
	}
	return composer_end(c, 0, 0, false);
}
