// SPDX-License-Identifier: BSD-3-Clause
// The rules of a signed zone (RFC 4035 2, RFC 5155 7.1): every authoritative RRset has a good signature, every name
// its link, and every link names the types that are there. All of them are warnings: see zone_builder_check().
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/bytes.h>
#include <pollux/rrtype.h>

#include "builder.h"
#include "denial.h"

#define TOLD_MAX 10  // of one kind; the rest are only counted
#define KEYS_MAX 64
#define RRSIG_FIXED_BYTES 18 // before the signer's name, RFC 4034 3.1
#define DNSKEY_IS_ZONE_KEY 0x0100 // RFC 4034 2.1.1
#define NSEC3_OPT_OUT 1 // RFC 5155 3.1.2.1

enum rule {
	NOT_SIGNED, NOTHING_SIGNED, FOREIGN_SIGNER, WRONG_LABELS, NO_SUCH_KEY, EXPIRED, NOT_YET_VALID, NO_NSEC, NO_NSEC3,
	NO_NAME, WRONG_TYPES, RULES
};
static const char *const sentence[RULES] = {
	[NOT_SIGNED] = "no RRSIG",
	[NOTHING_SIGNED] = "an RRSIG for records that are not there",
	[FOREIGN_SIGNER] = "the signer of this RRSIG is not the zone",
	[WRONG_LABELS] = "the number of labels in this RRSIG is not that of the name",
	[NO_SUCH_KEY] = "no DNSKEY with the key tag and the algorithm of this RRSIG",
	[EXPIRED] = "this RRSIG has expired",
	[NOT_YET_VALID] = "this RRSIG is not valid yet",
	[NO_NSEC] = "no NSEC at this name",
	[NO_NSEC3] = "no NSEC3 for this name",
	[NO_NAME] = "this NSEC3 is for a name that is not there",
	[WRONG_TYPES] = "the types listed are not those of the name",
};

struct key {
	uint16_t tag;
	uint8_t algorithm;
};

struct judge {
	struct zone_builder *b;
	unsigned told[RULES];
	struct key key[KEYS_MAX];
	unsigned key_count;
	const struct draft_name *name; // the one being judged
	uint16_t type[DRAFT_TYPES_MAX]; // its types in rising order
	bool is_signed[DRAFT_TYPES_MAX]; // by any RRSIG
	unsigned type_count;
	bool has_signature;
};

// `type` 0: about the name as a whole. `record` NULL: nowhere in particular.
static void tell(struct judge *j, enum rule rule, const struct draft_name *name, uint16_t type,
	const struct draft_record *record)
{
	char text[NAME_TEXT_BYTES], mnemonic[16];
	if (j->told[rule]++ >= TOLD_MAX)
		return;
	const char *file = record ? builder_file(j->b, record) : j->b->files[0].path;
	report_at(j->b->report, SEVERITY_WARNING, file, record ? builder_line(j->b, record) : 0, record ? 1 : 0, "%s: %s%s%s",
		draft_text(j->b, name, text), type ? rrtype_to_text(mnemonic, type) : "", type ? ": " : "", sentence[rule]);
}

static void tell_rest(struct judge *j)
{
	char text[NAME_TEXT_BYTES];
	for (unsigned rule = 0; rule < RULES; rule++) {
		if (j->told[rule] > TOLD_MAX)
			report_at(j->b->report, SEVERITY_WARNING, j->b->files[0].path, 0, 0, "%s: %u times more: %s",
				draft_text(j->b, &j->b->names[0], text), j->told[rule] - TOLD_MAX, sentence[rule]);
	}
}

// --- keys and signatures ---

// RFC 4034 appendix B.
static uint16_t key_tag(const uint8_t *rdata, unsigned bytes)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < bytes; i++)
		sum += i & 1 ? rdata[i] : (uint32_t)rdata[i] << 8;
	return (uint16_t)(sum + (sum >> 16));
}

static void take_keys(struct judge *j)
{
	for (const struct draft_record *r = j->b->names[0].first; r && j->key_count < KEYS_MAX; r = r->next) {
		if (r->type != TYPE_DNSKEY || r->ignored || r->rdata_bytes < 4 || !(load_be16(r->rdata) & DNSKEY_IS_ZONE_KEY))
			continue;
		j->key[j->key_count++] = (struct key){ key_tag(r->rdata, r->rdata_bytes), r->rdata[3] };
	}
}

static bool has_key(const struct judge *j, uint16_t tag, uint8_t algorithm)
{
	for (unsigned i = 0; i < j->key_count; i++) {
		if (j->key[i].tag == tag && j->key[i].algorithm == algorithm)
			return true;
	}
	return false;
}

// RFC 4035 5.3.1, as far as it needs no arithmetic. RULES: nothing to say against it.
static enum rule judge_signature(const struct judge *j, const struct draft_record *r)
{
	const uint8_t *rdata = r->rdata;
	uint32_t now = (uint32_t)j->b->now_s; // RFC 4034 3.1.5: serial number arithmetic
	bool is_wildcard = j->name->own[0] == 1 && j->name->own[1] == '*';
	if (r->rdata_bytes <= RRSIG_FIXED_BYTES || !name_equal(rdata + RRSIG_FIXED_BYTES, j->b->apex_wire))
		return FOREIGN_SIGNER;
	if (rdata[3] != j->name->labels - is_wildcard)
		return WRONG_LABELS;
	if (!has_key(j, load_be16(rdata + 16), rdata[2]))
		return NO_SUCH_KEY;
	if (j->b->now_s && (int32_t)(load_be32(rdata + 8) - now) < 0)
		return EXPIRED;
	if (j->b->now_s && (int32_t)(now - load_be32(rdata + 12)) < 0)
		return NOT_YET_VALID;
	return RULES;
}

// --- the types of a name ---

// Whether the zone speaks with authority: at a cut only of what denies and of DS, RFC 4035 2.2.
static bool is_signable(const struct draft_name *name, uint16_t type)
{
	return !(name->flags & NODE_CUT) || type == TYPE_DS || type == TYPE_NSEC;
}

static bool counts(const struct draft_name *name, const struct draft_record *r)
{
	if (r->ignored || r->type == TYPE_RRSIG || (r->type == TYPE_NSEC3 && !name->hashed))
		return false;
	return !(name->flags & NODE_CUT) || r->type == TYPE_NS || is_signable(name, r->type);
}

static void take_types(struct judge *j, const struct draft_name *name)
{
	j->name = name;
	j->type_count = 0;
	j->has_signature = false;
	for (const struct draft_record *r = name->first; r; r = r->next) {
		if (!counts(name, r))
			continue;
		unsigned at = j->type_count;
		while (at && j->type[at - 1] > r->type)
			at--;
		if ((at && j->type[at - 1] == r->type) || j->type_count == DRAFT_TYPES_MAX)
			continue;
		memmove(&j->type[at + 1], &j->type[at], (j->type_count - at) * sizeof(j->type[0]));
		j->type[at] = r->type;
		j->type_count++;
	}
	memset(j->is_signed, 0, j->type_count * sizeof(j->is_signed[0]));
}

static bool *signed_mark(struct judge *j, uint16_t type)
{
	unsigned from = 0, to = j->type_count;
	while (from < to) {
		unsigned middle = (from + to) / 2;
		if (j->type[middle] == type)
			return &j->is_signed[middle];
		if (j->type[middle] < type)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

// RFC 4034 3.1.5: which is the earlier one is told by serial number arithmetic.
static void note_expiration(struct zone_builder *b, const struct draft_record *r)
{
	if (r->rdata_bytes <= RRSIG_FIXED_BYTES)
		return;
	uint32_t expires = load_be32(r->rdata + 8);
	if (!b->expires || (int32_t)(expires - b->expires) < 0)
		b->expires = expires ? expires : 1;
}

static void judge_rrsets(struct judge *j)
{
	for (const struct draft_record *r = j->name->first; r; r = r->next) {
		if (r->type != TYPE_RRSIG || r->ignored)
			continue;
		uint16_t type = draft_rrset_type(r);
		bool *mark = signed_mark(j, type);
		if (!mark) {
			if (type != TYPE_NSEC3) // of a chain that is not this one, perhaps
				tell(j, NOTHING_SIGNED, j->name, type, r);
			continue;
		}
		*mark = j->has_signature = true;
		note_expiration(j->b, r);
		enum rule rule = judge_signature(j, r);
		if (rule != RULES)
			tell(j, rule, j->name, type, r);
	}
	for (unsigned i = 0; i < j->type_count; i++) {
		if (!j->is_signed[i] && is_signable(j->name, j->type[i]))
			tell(j, NOT_SIGNED, j->name, j->type[i],
				j->told[NOT_SIGNED] < TOLD_MAX ? draft_first(j->name, j->type[i]) : NULL);
	}
}

// The next type of a bitmap (RFC 4034 4.1.2), or -1.
struct bitmap {
	const uint8_t *at, *end;
	unsigned bit;
};

static int bitmap_next(struct bitmap *map)
{
	while (map->end - map->at >= 2 && map->end - map->at >= 2 + map->at[1]) {
		for (; map->bit < map->at[1] * 8u; map->bit++) {
			if (map->at[2 + map->bit / 8] & 0x80 >> map->bit % 8)
				return map->at[0] << 8 | (int)map->bit++;
		}
		map->at += 2 + map->at[1];
		map->bit = 0;
	}
	return -1;
}

// The bitmap lists the types of the name, and RRSIG when anything there is signed.
static bool lists_types(const struct judge *j, const uint8_t *at, const uint8_t *end)
{
	struct bitmap map = { at, end, 0 };
	bool signature = !j->has_signature;
	for (unsigned i = 0; i < j->type_count; i++) {
		if (!signature && j->type[i] > TYPE_RRSIG) {
			signature = true;
			if (bitmap_next(&map) != TYPE_RRSIG)
				return false;
		}
		if (bitmap_next(&map) != j->type[i])
			return false;
	}
	return (signature || bitmap_next(&map) == TYPE_RRSIG) && bitmap_next(&map) < 0;
}

// --- links ---

// RFC 4035 2.3: every name with records of the zone's own, or a delegation.
static void judge_nsec(struct judge *j)
{
	const struct draft_record *nsec = draft_first(j->name, TYPE_NSEC);
	if (!j->type_count)
		return;
	if (!nsec) {
		tell(j, NO_NSEC, j->name, 0, j->name->first);
		return;
	}
	unsigned next_bytes = name_length(nsec->rdata, nsec->rdata_bytes);
	if (!lists_types(j, nsec->rdata + next_bytes, nsec->rdata + nsec->rdata_bytes))
		tell(j, WRONG_TYPES, j->name, TYPE_NSEC, nsec);
}

static const struct draft_record *nsec3_of(const struct zone_builder *b, uint32_t link)
{
	const struct draft_record *r = b->names[b->nsec3.link[link].name].first;
	while (r && !draft_is_of_chain(&b->nsec3, r))
		r = r->next;
	return r;
}

// RFC 5155 7.1: a link for each name, empty non-terminals too; with opt-out not for what only leads to unsigned
// delegations.
static void judge_nsec3(struct judge *j, uint32_t index, bool may_opt_out)
{
	struct zone_builder *b = j->b;
	uint8_t hash[20], wire[NAME_MAX_BYTES];
	bool matches;
	nsec3_hash(hash, draft_wire(b, j->name, wire), j->name->bytes, b->nsec3.salt, b->nsec3.salt_bytes, b->nsec3.iterations);
	uint32_t link = nsec3_place(b->nsec3.link, b->nsec3.count, hash, &matches);
	const struct draft_record *nsec3 = nsec3_of(b, link);
	if (!matches) {
		if (!may_opt_out || !(nsec3->rdata[1] & NSEC3_OPT_OUT))
			tell(j, NO_NSEC3, j->name, 0, j->name->first);
		return;
	}
	b->own_link[index] = link + 1;
	unsigned head = 5u + b->nsec3.salt_bytes + 21u;
	if (nsec3->rdata_bytes < head || !lists_types(j, nsec3->rdata + head, nsec3->rdata + nsec3->rdata_bytes))
		tell(j, WRONG_TYPES, j->name, TYPE_NSEC3, nsec3);
}

static void judge_unused_links(struct judge *j)
{
	struct zone_builder *b = j->b;
	uint8_t *used = calloc(b->nsec3.count, 1);
	if (!used)
		return;
	for (uint32_t i = 0; i < b->name_count; i++) {
		if (b->own_link[i])
			used[b->own_link[i] - 1] = 1;
	}
	for (uint32_t i = 0; i < b->nsec3.count; i++) {
		if (!used[i])
			tell(j, NO_NAME, &b->names[b->nsec3.link[i].name], 0, nsec3_of(b, i));
	}
	free(used);
}

// Which names lead to nothing but unsigned delegations: those that opt-out may leave out. A parent comes before
// its children.
static uint8_t *find_opted_out(const struct zone_builder *b)
{
	uint8_t *needs_link = calloc(b->name_count, 1);
	if (!needs_link)
		return NULL;
	for (uint32_t i = b->name_count; i-- > 0;) {
		const struct draft_name *name = &b->names[i];
		if (name->occluded || name->hashed)
			continue;
		if (name->first && (!(name->flags & NODE_CUT) || draft_first(name, TYPE_DS)))
			needs_link[i] = 1;
		if (needs_link[i])
			needs_link[name->parent] = 1;
	}
	return needs_link;
}

static void judge_announcement(struct zone_builder *b)
{
	const struct draft_name *apex = &b->names[0];
	const struct draft_record *at = draft_first(apex, TYPE_NSEC3PARAM);
	const char *said = at ? "no NSEC3 has the parameters of this NSEC3PARAM: denials cannot be proved" :
		"neither NSEC nor NSEC3PARAM beside the DNSKEY: denials cannot be proved";
	char text[NAME_TEXT_BYTES];
	at = at ? at : draft_first(apex, TYPE_DNSKEY);
	report_at(b->report, SEVERITY_WARNING, builder_file(b, at), builder_line(b, at), 1, "%s: %s", draft_text(b, apex, text), said);
}

static void judge_names(struct judge *j, const uint8_t *needs_link)
{
	struct zone_builder *b = j->b;
	for (uint32_t i = 0; i < b->name_count; i++) {
		const struct draft_name *name = &b->names[i];
		if (name->occluded)
			continue;
		take_types(j, name);
		judge_rrsets(j);
		if (name->hashed)
			continue;
		if (b->nsec.count)
			judge_nsec(j);
		else if (b->nsec3.count)
			judge_nsec3(j, i, !needs_link[i]);
	}
}

enum status builder_check_signed(struct zone_builder *b)
{
	if (!draft_first(&b->names[0], TYPE_DNSKEY))
		return ST_OK;
	if (!b->nsec.count && !b->nsec3.count)
		judge_announcement(b);
	struct judge *j = calloc(1, sizeof(*j));
	uint8_t *needs_link = b->nsec3.count ? find_opted_out(b) : NULL;
	if (b->nsec3.count)
		b->own_link = calloc(b->name_count, sizeof(*b->own_link));
	bool good = j && (!b->nsec3.count || (needs_link && b->own_link));
	if (good) {
		j->b = b;
		take_keys(j);
		judge_names(j, needs_link);
		if (b->nsec3.count)
			judge_unused_links(j);
		tell_rest(j);
	}
	free(needs_link);
	free(j);
	return good ? ST_OK : ST_NO_MEMORY;
}
