// SPDX-License-Identifier: BSD-3-Clause
// RFC 1034 4.3.2, read from top to bottom: find the zone, go down, and write what is there. The image has
// everything ready; here it is copied, and its pointers get their final place in the message.
#include <pollux/answer.h>
#include <pollux/bytes.h>
#include <pollux/overrides.h>
#include <pollux/rrtype.h>

#include "denial.h"
#include "edns.h"
#include "sections.h"

#define POINTER 0xc000u
#define POINTER_MAX 0x3fffu
#define ADDED_MAX 4	   // RRsets with names for addresses, when some are additional themselves (NAPTR)
#define ADDITIONALS_MAX 64 // names whose addresses are added for one RRset
// NSEC or NSEC3 RRsets of one answer: each alias may come from a wildcard, and the end of the chain may be a denial.
#define DENIALS_MAX (CHAIN_MAX_STEPS + PROOFS_MAX)

enum section { ANSWER, AUTHORITY, ADDITIONAL, SECTIONS };

// An RRset already in the message whose names may deserve addresses.
struct written {
	const struct image *image;
	const struct rrset *rrset;
	unsigned at;
};

// A proof that goes behind everything else in the authority section.
struct denial {
	const struct image *image;
	uint32_t node_ref;
	unsigned apex_at;
};

// The message in the making.
struct draft {
	const struct catalog *catalog;
	const struct policy *policy;
	const struct query *query;
	struct reply *reply;
	const struct image *zone; // of the question
	uint32_t at, limit; // of the sections; the OPT's room is not part of it
	uint16_t count[SECTIONS];
	uint16_t flags;
	enum rcode rcode;
	bool over_udp;
	struct written written[CHAIN_MAX_STEPS];
	unsigned written_count;
	struct denial denial[DENIALS_MAX];
	unsigned denial_count;
	unsigned dname_target_at; // of the DNAME met last
	struct opt opt;
};

// Where the search stands: a name, where it stands in the message, the zone it is in.
struct step {
	const struct folded_name *name;
	const struct image *zone;
	unsigned name_at, apex_at;
};

static void finish(struct draft *d)
{
	const struct query *q = d->query;
	uint8_t *wire = d->reply->wire;
	unsigned rcode = d->rcode, flags = d->flags | FLAG_QR;
	// RFC 1035 4.1.1: opcode and RD are copied; RFC 4035 3.2.2: CD as well; RFC 6895 2.1: the rest is ours.
	flags |= q->flags & (FLAG_OPCODE | FLAG_RD | FLAG_CD);
	if (d->policy->has_chain)
		flags |= FLAG_RA;
	write_header(wire, q->id, flags | (rcode & FLAG_RCODE), q->questions, d->count[ANSWER], d->count[AUTHORITY],
		d->count[ADDITIONAL] + (unsigned)q->edns);
	if (q->edns) {
		edns_write_plain(wire + d->at, d->policy, q, rcode);
		d->at = d->opt.options ? edns_write_options(&d->opt, wire, d->at, d->limit + d->opt.bytes, d->reply->parties, d->zone) :
			d->at + OPT_BYTES;
	}
	d->reply->bytes = d->at;
	d->reply->rcode = d->rcode;
	d->reply->truncated = d->flags & FLAG_TC;
}

// RFC 4343 4.1, and the habit of checking 0x20: the question goes back octet for octet.
static void keep_question(const struct reply *reply, const struct query *query)
{
	if (reply->wire != query->wire)
		memcpy(reply->wire + DNS_HEADER_BYTES, query->wire + DNS_HEADER_BYTES, query->question_bytes);
}

static void begin(struct draft *d, const struct policy *policy, const struct query *query, uint32_t limit,
	struct reply *reply)
{
	d->policy = policy;
	d->query = query;
	d->reply = reply;
	d->count[ANSWER] = d->count[AUTHORITY] = d->count[ADDITIONAL] = 0;
	d->flags = 0;
	d->rcode = RCODE_NOERROR;
	d->written_count = d->denial_count = d->dname_target_at = 0;
	d->at = DNS_HEADER_BYTES + query->question_bytes;
	d->limit = (limit < reply->room ? limit : reply->room) - d->opt.bytes;
	keep_question(reply, query);
}

// Before begin(): what room has to stay free.
static inline void plan_opt(struct draft *d, const struct query *query, const struct reply *reply,
	const struct image *zone)
{
	d->zone = zone;
	d->opt.bytes = query->edns ? OPT_BYTES : 0;
	d->opt.options = 0;
	if (query->options)
		edns_plan(&d->opt, query, reply->parties, zone, EDE_NONE);
}

void answer_error_why(const struct policy *policy, const struct query *query, enum rcode rcode, enum extended_error why,
	struct reply *reply)
{
	struct draft d;
	d.zone = NULL;
	edns_plan(&d.opt, query, reply->parties, NULL, why);
	begin(&d, policy, query, DNS_UDP_PLAIN_BYTES, reply);
	d.rcode = edns_judge_empty(query, reply->parties, rcode);
	finish(&d);
}

void answer_error(const struct policy *policy, const struct query *query, enum rcode rcode, struct reply *reply)
{
	answer_error_why(policy, query, rcode, EDE_NONE, reply);
}

// --- RRsets into the message ---

static void point_owners(uint8_t *records, unsigned count, unsigned owner_at)
{
	for (; count; count--, records += 12 + load_be16(records + 10))
		store_be16(records, (uint16_t)(POINTER | owner_at));
}

// Where the things stand that a ready RRset points to.
struct places {
	unsigned owner_at, apex_at, data_at;
};

static unsigned place_of(const struct places *places, unsigned target)
{
	if (target == POINTS_TO_APEX)
		return places->apex_at;
	return target == POINTS_TO_OWNER ? places->owner_at : places->data_at + target;
}

// Pointers get their place in this message. False: one of them would point beyond the reach of a pointer.
static bool fix_pointers(const struct image *image, const struct rrset *rrset, uint8_t *data,
	const struct places *places)
{
	const uint32_t *fixup = image_at(image, rrset->fixups_ref);
	for (unsigned i = 0; i < rrset->fixup_count; i++) {
		unsigned to = place_of(places, load_be16(data + fixup[i]) & POINTER_MAX);
		if (to > POINTER_MAX)
			return false;
		store_be16(data + fixup[i], (uint16_t)(POINTER | to));
	}
	return true;
}

// The name at `at` of an RRset's data, without pointers into the data itself.
static void put_name(struct writer *w, const uint8_t *data, unsigned at, const struct places *places)
{
	for (;;) {
		if (data[at] < 0xc0) {
			write_bytes(w, data + at, data[at] + 1u);
			if (!data[at])
				return;
			at += data[at] + 1u;
			continue;
		}
		unsigned target = load_be16(data + at) & POINTER_MAX;
		if (target <= POINTS_TO_OWNER) { // both are near the front: always in reach
			write_be16(w, (uint16_t)(POINTER | place_of(places, target)));
			return;
		}
		at = target;
	}
}

// The rare long way, for RRsets that lie so far back in a TCP message that pointers into them do not reach:
// these names are written in full. False: no room.
static bool put_expanded(struct draft *d, const struct image *image, const struct rrset *rrset,
	const struct places *places)
{
	const uint8_t *data = image_at(image, rrset->data_ref);
	const uint32_t *fixup = image_at(image, rrset->fixups_ref);
	const uint32_t *fixup_end = fixup + rrset->fixup_count;
	struct writer w = writer_of(d->reply->wire + d->at, d->limit - d->at);
	for (unsigned at = 0; at < rrset->bytes;) {
		unsigned end = at + 12 + load_be16(data + at + 10);
		uint8_t *record = w.at;
		write_be16(&w, (uint16_t)(POINTER | places->owner_at));
		for (at += 2; fixup < fixup_end && *fixup < end; fixup++) {
			write_bytes(&w, data + at, *fixup - at);
			put_name(&w, data, *fixup, places);
			at = *fixup + 2;
		}
		write_bytes(&w, data + at, end - at);
		at = end;
		if (w.failed)
			return false;
		store_be16(record + 10, (uint16_t)(w.at - record - 12));
	}
	d->at += (uint32_t)writer_bytes(&w);
	return true;
}

static bool put_far(struct draft *d, const struct image *image, const struct rrset *rrset, const struct places *places,
	enum section section)
{
	uint32_t sig_bytes = d->query->dnssec_ok ? rrset->sig_bytes : 0, before = d->at;
	unsigned sig_count = sig_bytes ? rrset->sig_count : 0u;
	if (!put_expanded(d, image, rrset, places) || sig_bytes > d->limit - d->at) {
		d->at = before;
		return false;
	}
	uint8_t *signatures = d->reply->wire + d->at;
	memcpy(signatures, (const uint8_t *)image_at(image, rrset->data_ref) + rrset->bytes, sig_bytes);
	point_owners(signatures, sig_count, places->owner_at);
	d->at += sig_bytes;
	d->count[section] = (uint16_t)(d->count[section] + rrset->count + sig_count);
	return true;
}

// One RRset, with its RRSIGs for who set DO (RFC 4035 3.1.1). False: it does not fit, nothing was written.
static bool put_rrset(struct draft *d, const struct step *step, const struct rrset *rrset, unsigned owner_at,
	enum section section)
{
	uint32_t sig_bytes = d->query->dnssec_ok ? rrset->sig_bytes : 0;
	uint32_t bytes = rrset->bytes + sig_bytes;
	if (bytes > d->limit - d->at) {
		// RFC 4035 3.1.1: where space is short, what is additional may go without its RRSIGs.
		if (section != ADDITIONAL || rrset->bytes > d->limit - d->at)
			return false;
		sig_bytes = 0;
		bytes = rrset->bytes;
	}
	uint8_t *data = d->reply->wire + d->at;
	const uint8_t *ready = image_at(step->zone, rrset->data_ref);
	unsigned count = rrset->count + (sig_bytes ? rrset->sig_count : 0u);
	memcpy(data, ready, bytes);
	if (owner_at != DNS_HEADER_BYTES)
		point_owners(data, count, owner_at);
	struct places places = { owner_at, step->apex_at, d->at };
	if (rrset->fixup_count && !fix_pointers(step->zone, rrset, data, &places))
		return put_far(d, step->zone, rrset, &places, section);
	// A minimal answer has no addresses but those without which a referral leads nowhere.
	if (rrset->additional_count && rrset->type != TYPE_CNAME && d->written_count < (section == ADDITIONAL ? ADDED_MAX : CHAIN_MAX_STEPS) &&
		(section != ANSWER || !d->policy->minimal))
		d->written[d->written_count++] = (struct written){ step->zone, rrset, d->at };
	d->at += bytes;
	d->count[section] = (uint16_t)(d->count[section] + count);
	return true;
}

// RFC 2181 9: TC when something required was left out.
static void put_required(struct draft *d, const struct step *step, const struct rrset *rrset, unsigned owner_at,
	enum section section)
{
	if (rrset && !(d->flags & FLAG_TC) && !put_rrset(d, step, rrset, owner_at, section))
		d->flags |= FLAG_TC;
}

// --- addresses for names in the answer ---

static bool has_name(const struct written *w, unsigned count, uint32_t node_ref)
{
	const struct additional *more = image_at(w->image, w->rrset->additional_ref);
	for (unsigned k = 0; k < count && k < ADDITIONALS_MAX; k++) {
		if (more[k].node_ref == node_ref)
			return true;
	}
	return false;
}

// By the RRset `i` before its entry `k`, or by one before it.
static bool is_named_before(const struct draft *d, unsigned i, unsigned k, uint32_t node_ref)
{
	for (unsigned j = 0; j < i; j++) {
		const struct written *w = &d->written[j];
		if (w->image == d->written[i].image && has_name(w, w->rrset->additional_count, node_ref))
			return true;
	}
	return has_name(&d->written[i], k, node_ref);
}

static bool put_addresses(struct draft *d, const struct written *w, const struct additional *more)
{
	const struct node *node = image_at(w->image, more->node_ref);
	unsigned owner_at = w->at + more->name_at;
	struct step step = { .zone = w->image };
	if (owner_at > POINTER_MAX)
		return false;
	const struct rrset *a = node_rrset(w->image, node, TYPE_A);
	const struct rrset *aaaa = node_rrset(w->image, node, TYPE_AAAA);
	const struct rrset *srv = w->rrset->type == TYPE_NAPTR ? node_rrset(w->image, node, TYPE_SRV) : NULL;
	bool fits = !srv || put_rrset(d, &step, srv, owner_at, ADDITIONAL);
	fits &= !a || put_rrset(d, &step, a, owner_at, ADDITIONAL);
	return (!aaaa || put_rrset(d, &step, aaaa, owner_at, ADDITIONAL)) && fits;
}

// First what a referral is useless without (RFC 9471 3.1: TC if it does not fit), then what is kind. An SRV RRset
// that goes with a NAPTR has addresses, too, and takes its turn behind the others.
static void put_additionals(struct draft *d)
{
	for (int required = 1; required >= 0; required--) {
		for (unsigned i = 0; i < d->written_count; i++) {
			const struct written *w = &d->written[i];
			const struct additional *more = image_at(w->image, w->rrset->additional_ref);
			unsigned count = w->rrset->additional_count;
			for (unsigned k = 0; k < count && k < ADDITIONALS_MAX; k++) {
				if (more[k].required != required || is_named_before(d, i, k, more[k].node_ref))
					continue;
				if (!put_addresses(d, w, &more[k]) && required)
					d->flags |= FLAG_TC;
			}
		}
	}
}

// --- what was found ---

static unsigned suffix_at(const struct step *step, const uint8_t *wire, unsigned labels)
{
	if (step->name_at == DNS_HEADER_BYTES)
		return DNS_HEADER_BYTES + step->name->label_at[labels];
	unsigned at = step->name_at;
	for (unsigned skip = step->name->labels - labels;; skip--) {
		while (wire[at] >= 0xc0)
			at = load_be16(wire + at) & POINTER_MAX;
		if (!skip)
			return at;
		at += wire[at] + 1u;
	}
}

// RFC 2308 2, 3: the SOA says how long "no" lasts.
static void put_negative(struct draft *d, const struct step *step)
{
	put_required(d, step, image_at(step->zone, step->zone->negative_ref), step->apex_at, AUTHORITY);
}

typedef void prove(struct proofs *, const struct image *, const struct folded_name *, const struct image_hit *);

// Remembers what a validator will want to see; it is written last, when the answer section is complete.
static void deny(struct draft *d, const struct step *step, prove *proof, const struct image_hit *hit)
{
	if (!d->query->dnssec_ok || !step->zone->is_signed)
		return;
	struct proofs proofs = { 0 };
	proof(&proofs, step->zone, step->name, hit);
	for (unsigned i = 0; i < proofs.count; i++) {
		unsigned k = 0;
		while (k < d->denial_count && (d->denial[k].image != step->zone || d->denial[k].node_ref != proofs.node_ref[i]))
			k++;
		if (k < DENIALS_MAX && k == d->denial_count)
			d->denial[d->denial_count++] = (struct denial){ step->zone, proofs.node_ref[i], step->apex_at };
	}
}

// An NSEC or NSEC3 RRset: its owner is a name that stands nowhere else in the message.
static bool put_denial(struct draft *d, const struct denial *denial)
{
	const struct node *node = image_at(denial->image, denial->node_ref);
	const struct rrset *rrset = node_rrset(denial->image, node, TYPE_NSEC);
	if (!rrset)
		rrset = node_rrset(denial->image, node, TYPE_NSEC3);
	if (!rrset)
		return true;
	const uint8_t *ready = image_at(denial->image, rrset->data_ref);
	unsigned own = node->name_bytes - denial->image->apex_bytes; // octets before the apex
	struct writer w = writer_of(d->reply->wire + d->at, d->limit - d->at);
	unsigned count = rrset->count + rrset->sig_count;
	for (unsigned i = 0; i < count; i++) {
		unsigned bytes = 12u + load_be16(ready + 10);
		if (i && d->at <= POINTER_MAX) {
			write_be16(&w, (uint16_t)(POINTER | d->at));
		} else {
			write_bytes(&w, node->own, own);
			write_be16(&w, (uint16_t)(POINTER | denial->apex_at));
		}
		write_bytes(&w, ready + 2, bytes - 2);
		ready += bytes;
	}
	if (w.failed)
		return false;
	d->at += (uint32_t)writer_bytes(&w);
	d->count[AUTHORITY] = (uint16_t)(d->count[AUTHORITY] + count);
	return true;
}

static void put_denials(struct draft *d)
{
	for (unsigned i = 0; i < d->denial_count && !(d->flags & FLAG_TC); i++) {
		if (!put_denial(d, &d->denial[i]))
			d->flags |= FLAG_TC;
	}
}

// RFC 1034 4.3.2 3b; RFC 4035 3.1.4: DS, or the NSEC that denies it.
static void put_referral(struct draft *d, const struct step *step, const struct image_hit *hit)
{
	unsigned cut_at = suffix_at(step, d->reply->wire, hit->node->labels);
	if (d->count[ANSWER] == 0)
		d->flags &= (uint16_t)~FLAG_AA;
	put_required(d, step, node_rrset(step->zone, hit->node, TYPE_NS), cut_at, AUTHORITY);
	if (!d->query->dnssec_ok || !step->zone->is_signed)
		return;
	const struct rrset *ds = node_rrset(step->zone, hit->node, TYPE_DS);
	put_required(d, step, ds, cut_at, AUTHORITY);
	if (!ds)
		deny(d, step, prove_no_ds, hit);
}

static void put_no_data(struct draft *d, const struct step *step, const struct image_hit *hit)
{
	put_negative(d, step);
	deny(d, step, prove_no_type, hit);
}

// RFC 8482: over UDP one RRset is enough of an answer to ANY. NSEC is for those who set DO and get all.
static void put_any(struct draft *d, const struct step *step, const struct node *node)
{
	const struct rrset *rrset = image_at(step->zone, node->rrsets_ref);
	bool all = !d->over_udp || d->policy->any_full;
	for (unsigned i = 0; i < node->rrset_count; i++) {
		if (rrset[i].type == TYPE_NSEC && node->rrset_count > 1 && !(all && d->query->dnssec_ok))
			continue;
		put_required(d, step, &rrset[i], step->name_at, ANSWER);
		if (!all)
			break;
	}
}

// RRSIGs lie beside what they cover, not in an RRset of their own.
static bool put_signatures(struct draft *d, const struct step *step, const struct node *node)
{
	const struct rrset *rrset = image_at(step->zone, node->rrsets_ref);
	bool any = false;
	for (unsigned i = 0; i < node->rrset_count; i++) {
		if (!rrset[i].sig_count)
			continue;
		any = true;
		if (rrset[i].sig_bytes > d->limit - d->at) {
			d->flags |= FLAG_TC;
			break;
		}
		uint8_t *data = d->reply->wire + d->at;
		memcpy(data, (const uint8_t *)image_at(step->zone, rrset[i].data_ref) + rrset[i].bytes, rrset[i].sig_bytes);
		point_owners(data, rrset[i].sig_count, step->name_at);
		d->at += rrset[i].sig_bytes;
		d->count[ANSWER] = (uint16_t)(d->count[ANSWER] + rrset[i].sig_count);
	}
	return any;
}

// The name in the message at `at`, whole.
static unsigned read_name(const uint8_t *wire, unsigned at, uint8_t *to)
{
	unsigned bytes = 0;
	for (;;) {
		while (wire[at] >= 0xc0)
			at = load_be16(wire + at) & POINTER_MAX;
		memcpy(to + bytes, wire + at, wire[at] + 1u);
		bytes += wire[at] + 1u;
		if (!wire[at])
			return bytes;
		at += wire[at] + 1u;
	}
}

// Puts a CNAME or DNAME RRset into the answer; `*target_at` is where its target stands. False: no room.
static bool put_alias(struct draft *d, const struct step *step, const struct rrset *alias, unsigned owner_at,
	unsigned *target_at)
{
	*target_at = d->at + 12;
	put_required(d, step, alias, owner_at, ANSWER);
	return !(d->flags & FLAG_TC);
}

// RFC 6672 3.1, 3.3: the CNAME that a DNAME implies, for those who do not know DNAME. Returns where its
// target stands, 0 when there is none.
static unsigned put_synthesised(struct draft *d, const struct step *step, const struct node *owner,
	const struct rrset *dname, unsigned dname_target_at)
{
	uint8_t target[NAME_MAX_BYTES];
	unsigned prefix = step->name->label_at[owner->labels];
	unsigned suffix = read_name(d->reply->wire, dname_target_at, target);
	if (prefix + suffix > NAME_MAX_BYTES) {
		d->rcode = RCODE_YXDOMAIN; // RFC 6672 2.2
		return 0;
	}
	uint8_t whole[NAME_MAX_BYTES];
	read_name(d->reply->wire, step->name_at, whole);
	struct writer w = writer_of(d->reply->wire + d->at, d->limit - d->at);
	write_be16(&w, (uint16_t)(POINTER | step->name_at));
	write_be16(&w, TYPE_CNAME);
	write_be16(&w, CLASS_IN);
	write_bytes(&w, (const uint8_t *)image_at(step->zone, dname->data_ref) + 6, 4); // RFC 6672 3.1: its TTL
	bool near = dname_target_at <= POINTER_MAX;
	write_be16(&w, (uint16_t)(prefix + (near ? 2 : suffix)));
	write_bytes(&w, whole, prefix);
	if (near)
		write_be16(&w, (uint16_t)(POINTER | dname_target_at));
	else
		write_bytes(&w, target, suffix);
	if (w.failed) {
		d->flags |= FLAG_TC;
		return 0;
	}
	unsigned target_at = d->at + 12;
	d->at += (uint32_t)writer_bytes(&w);
	d->count[ANSWER]++;
	return target_at;
}

enum outcome { DONE, FOLLOW };

static enum outcome put_node(struct draft *d, const struct step *step, const struct image_hit *hit, unsigned *target_at)
{
	const struct node *node = hit->node;
	uint16_t type = d->query->type;
	const struct rrset *rrset = node_rrset(step->zone, node, type);
	if (rrset) {
		put_required(d, step, rrset, step->name_at, ANSWER);
		return DONE;
	}
	if (type == TYPE_ANY && node->rrset_count) {
		put_any(d, step, node);
		return DONE;
	}
	if (type == TYPE_RRSIG && put_signatures(d, step, node))
		return DONE;
	// RFC 4035 2.5: RRSIG and NSEC are the alias's own types, so their absence is, too.
	if (node->flags & NODE_CNAME && type != TYPE_RRSIG && type != TYPE_NSEC) { // RFC 1034 4.3.2 3a
		const struct rrset *cname = node_rrset(step->zone, node, TYPE_CNAME);
		return put_alias(d, step, cname, step->name_at, target_at) ? FOLLOW : DONE;
	}
	put_no_data(d, step, hit);
	return DONE;
}

// RFC 1034 4.3.2 step 3 for one name. `*target_at`: in, where the target of a DNAME stands that this chain has met
// before, else 0; out, where the target of the alias stands.
static enum outcome answer_step(struct draft *d, const struct step *step, const struct image_hit *hit,
	unsigned *target_at)
{
	switch (hit->match) {
	case IMAGE_DELEGATION:
		// RFC 4035 3.1.4.1: the DS of a cut is the parent's own data.
		if (d->query->type == TYPE_DS && hit->node->labels == step->name->labels)
			return put_node(d, step, hit, target_at);
		put_referral(d, step, hit);
		return DONE;
	case IMAGE_DNAME: {
		const struct rrset *dname = node_rrset(step->zone, hit->node, TYPE_DNAME);
		unsigned owner_at = suffix_at(step, d->reply->wire, hit->node->labels);
		if (!*target_at && !put_alias(d, step, dname, owner_at, target_at))
			return DONE;
		d->dname_target_at = *target_at;
		*target_at = put_synthesised(d, step, hit->node, dname, *target_at);
		return *target_at && d->query->type != TYPE_CNAME ? FOLLOW : DONE; // the CNAME may be all that was asked for
	}
	case IMAGE_WILDCARD: {
		uint16_t before = d->count[ANSWER];
		enum outcome outcome = put_node(d, step, hit, target_at);
		if (d->count[ANSWER] > before)
			deny(d, step, prove_no_closer_name, hit);
		return outcome;
	}
	case IMAGE_EXACT:
		return put_node(d, step, hit, target_at);
	case IMAGE_NO_NAME:
		break;
	}
	d->rcode = RCODE_NXDOMAIN;
	put_negative(d, step);
	deny(d, step, prove_no_name, hit);
	return DONE;
}

// RFC 4035 3.1.4.1: the DS of a zone is asked of the parent side, if we are that as well.
static const struct image *side_of_cut(const struct catalog *catalog, const struct image *zone,
	const struct folded_name *name, uint16_t type)
{
	if (type != TYPE_DS || !zone || name->labels != zone->apex_labels || !name->labels)
		return zone;
	const struct image *parent = catalog_find_above(catalog, name, name->labels - 1u);
	return parent ? parent : zone;
}

// Follows aliases over all our zones, from the question's name on, which has led to `hit`. True: the chain ended here; false: it leads out.
static bool walk(struct draft *d, struct step step, struct image_hit hit)
{
	const struct node *seen[CHAIN_MAX_STEPS];
	uint64_t asked[CHAIN_MAX_STEPS]; // hashes of the names
	unsigned dname_target_at[CHAIN_MAX_STEPS];
	struct folded_name next;
	for (unsigned steps = 0; steps < CHAIN_MAX_STEPS; steps++) {
		unsigned target_at = 0;
		step.apex_at = suffix_at(&step, d->reply->wire, step.zone->apex_labels);
		seen[steps] = hit.node;
		asked[steps] = step.name->hash[step.name->labels];
		for (unsigned i = 0; i < steps; i++) {
			if (asked[i] == asked[steps])
				return true; // a loop, perhaps by way of a wildcard: what is there is the answer
			if (hit.match == IMAGE_DNAME && seen[i] == hit.node)
				target_at = dname_target_at[i]; // RFC 2181 5: no RRset twice
		}
		// The end of the chain, or where no pointer can reach the target, its apex included.
		if (answer_step(d, &step, &hit, &target_at) == DONE || target_at > POINTER_MAX - NAME_MAX_BYTES)
			return true;
		dname_target_at[steps] = d->dname_target_at;
		uint8_t target[NAME_MAX_BYTES];
		unsigned bytes = read_name(d->reply->wire, target_at, target);
		name_prepare(&next, target, bytes, catalog_seed(d->catalog));
		step.name = &next;
		step.name_at = target_at;
		step.zone = side_of_cut(d->catalog, catalog_find(d->catalog, &next), &next, d->query->type);
		if (!step.zone)
			return false;
		if (image_is_blank(step.zone)) {
			d->rcode = RCODE_SERVFAIL; // the aliases are true, and there is no more to say
			return true;
		}
		hit = image_lookup(step.zone, step.name);
	}
	return true;
}

static bool wants_chain(const struct policy *policy, const struct query *query)
{
	return policy->has_chain && (query->flags & FLAG_RD);
}

// --- CH: what the server is ---

struct chaos_name {
	const char *wire; // folded
	unsigned bytes;
	bool is_version; // else who we are
};
#define CHAOS(text, is_version) { text, sizeof(text), is_version }
static const struct chaos_name chaos_names[] = {
	CHAOS("\7version\4bind", true),
	CHAOS("\7version\6server", true),
	CHAOS("\10hostname\4bind", false), // RFC 4892
	CHAOS("\2id\6server", false),
};
#undef CHAOS

static const struct chaos_name *find_chaos_name(const struct folded_name *name)
{
	for (unsigned i = 0; i < sizeof(chaos_names) / sizeof(chaos_names[0]); i++) {
		if (name->bytes == chaos_names[i].bytes && memcmp(name->wire, chaos_names[i].wire, name->bytes) == 0)
			return &chaos_names[i];
	}
	return NULL;
}

// RFC 4892 2.2: a TXT record of class CH, not to be cached.
static void put_chaos(struct draft *d, const uint8_t *text, unsigned bytes)
{
	uint8_t *record = d->reply->wire + d->at;
	store_be16(record, POINTER | DNS_HEADER_BYTES);
	store_be16(record + 2, TYPE_TXT);
	store_be16(record + 4, CLASS_CH);
	store_be32(record + 6, 0);
	store_be16(record + 10, (uint16_t)(1 + bytes));
	record[12] = (uint8_t)bytes;
	memcpy(record + 13, text, bytes);
	d->at += 13 + bytes;
	d->count[ANSWER] = 1;
}

// False: nothing to tell.
static bool answer_chaos(const struct policy *policy, const struct query *query, struct reply *reply)
{
	const struct server_identity *identity = reply->parties ? reply->parties->identity : NULL;
	const struct chaos_name *name = find_chaos_name(&query->name);
	if (!identity || !name || (query->type != TYPE_TXT && query->type != TYPE_ANY))
		return false;
	unsigned bytes = name->is_version ? identity->version_bytes : identity->id_bytes;
	if (!bytes)
		return false;
	struct draft d;
	plan_opt(&d, query, reply, NULL);
	begin(&d, policy, query, DNS_UDP_PLAIN_BYTES, reply);
	d.flags = FLAG_AA;
	if (13 + bytes <= d.limit - d.at)
		put_chaos(&d, name->is_version ? identity->version : identity->id, bytes);
	else
		d.flags |= FLAG_TC;
	finish(&d);
	return true;
}

// What is refused, or cannot be found in a zone.
static enum answer_verdict answer_elsewhere(const struct policy *policy, const struct query *query, struct reply *reply)
{
	if (query->class == CLASS_CH && answer_chaos(policy, query, reply))
		return ANSWER_READY;
	bool is_transfer = query->class == CLASS_IN && (query->type == TYPE_AXFR || query->type == TYPE_IXFR);
	answer_error_why(policy, query, RCODE_REFUSED, is_transfer ? EDE_PROHIBITED : EDE_NOT_AUTHORITATIVE, reply);
	return ANSWER_READY;
}

// Options that end a query before its question is looked at.
static enum rcode judge_options(const struct query *query, enum transport transport, const struct parties *parties)
{
	if (transport == OVER_TCP)
		return query->options & OPTION_KEEPALIVE_ODD ? RCODE_FORMERR : RCODE_NOERROR;
	return edns_wants_better_cookie(query, parties) ? RCODE_BADCOOKIE : RCODE_NOERROR;
}

// --- what most answers are: one RRset, or an alias and one, and nothing to be proved. Here each instruction counts ---

// What to copy. Small enough to be handed over in registers.
struct plain {
	const struct rrset *rrset; // NULL: it takes more than copying
	uint32_t target_ref;	   // struct rrset: what the target of that CNAME has; 0: it is none
	uint16_t flags;		   // of the header, and the rcode
	uint16_t is_authority : 1, has_glue : 1, owner_at : 14;
};

static bool wants_proof(const struct query *q, const struct image *zone)
{
	return q->dnssec_ok && zone->is_signed;
}

static unsigned place_of_suffix(const struct query *q, unsigned labels)
{
	return DNS_HEADER_BYTES + q->name.label_at[labels];
}

static inline struct plain plain_rrset(const struct rrset *rrset, const struct policy *policy)
{
	struct plain plain = { .flags = FLAG_AA, .owner_at = DNS_HEADER_BYTES };
	if (!rrset->additional_count || policy->minimal || rrset->type == TYPE_CNAME)
		plain.rrset = rrset;
	return plain;
}

// RFC 2308 2, 3.
static struct plain plain_negative(const struct query *q, const struct image *zone, enum rcode rcode)
{
	struct plain plain = { .flags = (uint16_t)(FLAG_AA | rcode), .is_authority = 1 };
	plain.owner_at = (uint16_t)(place_of_suffix(q, zone->apex_labels) & POINTER_MAX);
	if (!wants_proof(q, zone) && !image_is_blank(zone))
		plain.rrset = image_at(zone, zone->negative_ref);
	return plain;
}

// RFC 1034 4.3.2 3a: the alias, and behind it what its target has, whose owner stands in the alias's RDATA.
static struct plain plain_alias(const struct catalog *catalog, const struct query *q, const struct image *zone,
	const struct rrset *alias)
{
	struct plain plain = { .flags = FLAG_AA, .owner_at = DNS_HEADER_BYTES };
	const struct node *target = image_alias_target(zone, alias);
	if (!target || catalog_may_go_deeper(catalog, zone->apex_labels, target->labels))
		return plain;
	const struct rrset *rrset = node_rrset(zone, target, q->type);
	if (rrset && !rrset->additional_count) {
		plain.rrset = alias;
		plain.target_ref = image_ref(zone, rrset);
	}
	return plain;
}

// RFC 1034 4.3.2 3b. Addresses that do not stand ready are for the long way.
static struct plain plain_referral(const struct query *q, const struct image *zone, const struct node *cut)
{
	struct plain plain = { .is_authority = 1 };
	const struct rrset *ns = node_rrset(zone, cut, TYPE_NS);
	plain.owner_at = (uint16_t)(place_of_suffix(q, cut->labels) & POINTER_MAX);
	plain.has_glue = cut->flags & NODE_GLUE ? 1 : 0;
	if (ns && (plain.has_glue || !ns->additional_count) && !wants_proof(q, zone))
		plain.rrset = ns;
	return plain;
}

static struct plain plain_without_type(const struct catalog *catalog, const struct query *q, const struct image *zone,
	const struct node *node)
{
	if (node->flags & NODE_CNAME)
		return plain_alias(catalog, q, zone, image_at(zone, node->rrsets_ref));
	return plain_negative(q, zone, RCODE_NOERROR);
}

static struct plain plain_at(const struct catalog *catalog, const struct policy *policy, const struct query *q,
	const struct image *zone, const struct node *node)
{
	const struct rrset *rrset = node_rrset(zone, node, q->type);
	return rrset ? plain_rrset(rrset, policy) : plain_without_type(catalog, q, zone, node);
}

static struct plain find_plain(const struct catalog *catalog, const struct policy *policy,
	const struct query *q, const struct image *zone, const struct node *probed)
{
	struct image_hit hit = image_lookup_from(zone, &q->name, probed);
	switch (hit.match) {
	case IMAGE_EXACT:
		return plain_at(catalog, policy, q, zone, hit.node);
	case IMAGE_WILDCARD:
		if (wants_proof(q, zone))
			break;
		return plain_at(catalog, policy, q, zone, hit.node);
	case IMAGE_DELEGATION:
		return plain_referral(q, zone, hit.node);
	case IMAGE_NO_NAME:
		return plain_negative(q, zone, RCODE_NXDOMAIN);
	case IMAGE_DNAME:
		break;
	}
	return (struct plain){ .rrset = NULL };
}

// The two that follow read what was copied where it was copied from: there it need not wait for the stores.
static uint32_t move_owners(uint8_t *to, const uint8_t *ready, unsigned count, unsigned owner_at)
{
	uint32_t sum = 0, at = 0;
	for (; count; count--, at += 12u + load_be16(ready + at + 10)) {
		store_be16(to + at, (uint16_t)(POINTER | owner_at));
		sum += sum_of_growth(owner_at - DNS_HEADER_BYTES, at);
	}
	return sum;
}

static uint32_t move_pointers(uint8_t *to, const uint8_t *ready, const uint32_t *fixup, unsigned count,
	const struct places *places)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < count; i++) {
		unsigned from = load_be16(ready + fixup[i]) & POINTER_MAX, place = place_of(places, from);
		store_be16(to + fixup[i], (uint16_t)(POINTER | place));
		sum += sum_of_growth(place - from, fixup[i]);
	}
	return sum;
}

// RFC 4035 3.1.1: with their RRSIGs for who set DO.
static inline uint32_t bytes_of(const struct rrset *rrset, bool dnssec_ok)
{
	return rrset->bytes + (dnssec_ok ? rrset->sig_bytes : 0u);
}

static inline unsigned count_of(const struct rrset *rrset, bool dnssec_ok)
{
	return rrset->count + (dnssec_ok ? rrset->sig_count : 0u);
}

// As write_header(), with what stays as it came: the id, two flags, the count of questions.
static inline void put_header(uint8_t *wire, const struct query *q, unsigned flags, unsigned answers, unsigned authorities,
	unsigned additionals)
{
	uint64_t head;
	memcpy(&head, q->wire, sizeof(head));
	head = __builtin_bswap64(head) & (UINT64_C(0xffff) << 48 | (uint64_t)(FLAG_RD | FLAG_CD) << 32 | 0xffffu << 16);
	head = __builtin_bswap64(head | (uint64_t)flags << 32 | answers);
	memcpy(wire, &head, sizeof(head));
	store_be32(wire + 8, authorities << 16 | (additionals + q->edns));
}

// Types that are answered from more than the RRsets of one name, or that ask for something else than records.
static inline bool is_special(uint16_t type)
{
	const uint64_t special = UINT64_C(1) << TYPE_DS | UINT64_C(1) << TYPE_RRSIG | UINT64_C(1) << TYPE_NSEC;
	return type < 64 ? special >> type & 1 : type >= 249 && type <= 255; // RFC 6895 3.1
}

static inline unsigned plain_flags(const struct policy *policy, unsigned flags)
{
	return FLAG_QR | flags | (policy->has_chain ? FLAG_RA : 0u);
}

// Behind the sections, which end at `at` and have this sum.
static inline void end_plain(struct reply *reply, const struct policy *policy, const struct query *q, uint32_t at, unsigned flags,
	uint32_t sum)
{
	reply->rcode = (enum rcode)(flags & FLAG_RCODE);
	reply->truncated = false;
	reply->summed = !q->dnssec_ok; // of RRSIGs the image has no sum
	reply->bytes = at;
	if (q->edns) {
		edns_write_plain(reply->wire + at, policy, q, RCODE_NOERROR);
		sum += sum_moved(edns_plain_sum(policy, q), at - DNS_HEADER_BYTES - q->question_bytes);
		reply->bytes = at + OPT_BYTES;
	}
	reply->sections_sum = sum;
}

// Whether sections up to `end` leave room for the OPT.
static inline bool fits(const struct reply *reply, const struct query *q, uint32_t end)
{
	return end + (q->edns ? OPT_BYTES : 0) <= reply->room;
}

// One RRset with its pointers, or a referral.
static __attribute__((noinline)) bool answer_one(const struct policy *policy, const struct query *q, const struct image *zone,
	struct plain plain, struct reply *reply)
{
	const struct rrset *rrset = plain.rrset;
	const uint8_t *ready = image_at(zone, rrset->data_ref);
	uint32_t at = DNS_HEADER_BYTES + q->question_bytes, bytes = bytes_of(rrset, q->dnssec_ok), sum = rrset->sum;
	unsigned count = count_of(rrset, q->dnssec_ok), fixups = rrset->fixup_count, more = 0;
	if (plain.has_glue) {
		const struct glue *glue = image_glue(zone, rrset);
		bytes += glue->bytes;
		sum = glue->sum;
		more = glue->count;
		fixups += more;
	}
	if (!fits(reply, q, at + bytes) || at + bytes > POINTER_MAX)
		return false;
	uint8_t *wire = reply->wire, *to = wire + at;
	put_header(wire, q, plain_flags(policy, plain.flags), plain.is_authority ? 0 : count, plain.is_authority ? count : 0, more);
	copy_records(to, ready, bytes);
	if (plain.owner_at != DNS_HEADER_BYTES)
		sum += move_owners(to, ready, count, plain.owner_at);
	const struct places places = { plain.owner_at, place_of_suffix(q, zone->apex_labels), at };
	sum += move_pointers(to, ready, image_at(zone, rrset->fixups_ref), fixups, &places);
	end_plain(reply, policy, q, at + bytes, plain.flags, sum);
	return true;
}

// A CNAME, and behind it what its target has, whose owner is the alias's RDATA.
static __attribute__((noinline)) bool answer_alias(const struct policy *policy, const struct query *q, const struct image *zone,
	struct plain plain, struct reply *reply)
{
	const struct rrset *alias = plain.rrset, *rrset = image_at(zone, plain.target_ref);
	const uint8_t *ready = image_at(zone, alias->data_ref);
	unsigned apex_at = place_of_suffix(q, zone->apex_labels);
	uint32_t at = DNS_HEADER_BYTES + q->question_bytes, bytes = bytes_of(alias, q->dnssec_ok);
	uint32_t target_at = at + bytes, end = target_at + bytes_of(rrset, q->dnssec_ok), sum = alias->sum;
	unsigned count = count_of(rrset, q->dnssec_ok);
	if (!fits(reply, q, end) || end > POINTER_MAX)
		return false;
	uint8_t *wire = reply->wire;
	put_header(wire, q, plain_flags(policy, plain.flags), count_of(alias, q->dnssec_ok) + count, 0, 0);
	copy_records(wire + at, ready, bytes);
	const struct places places = { DNS_HEADER_BYTES, apex_at, at }, target_places = { at + 12, apex_at, target_at };
	sum += move_pointers(wire + at, ready, image_at(zone, alias->fixups_ref), alias->fixup_count, &places);
	ready = image_at(zone, rrset->data_ref);
	copy_records(wire + target_at, ready, end - target_at);
	uint32_t target_sum = rrset->sum + move_owners(wire + target_at, ready, count, at + 12);
	target_sum += move_pointers(wire + target_at, ready, image_at(zone, rrset->fixups_ref), rrset->fixup_count, &target_places);
	end_plain(reply, policy, q, end, plain.flags, sum + sum_moved(target_sum, bytes));
	return true;
}

static inline bool answer_found(const struct policy *policy, const struct query *q, const struct image *zone, struct plain plain,
	struct reply *reply)
{
	if (!plain.rrset)
		return false;
	return plain.target_ref ? answer_alias(policy, q, zone, plain, reply) : answer_one(policy, q, zone, plain, reply);
}

static inline bool asks_for_records(const struct query *q)
{
	return !q->options && q->class == CLASS_IN && !is_special(q->type);
}

// The name is not there, or not where it was looked for first.
static __attribute__((noinline)) bool answer_elsewhere_plain(const struct catalog *catalog, const struct policy *policy,
	const struct query *q, const struct image *zone, const struct node *probed, struct reply *reply)
{
	return asks_for_records(q) && answer_found(policy, q, zone, find_plain(catalog, policy, q, zone, probed), reply);
}

// The name is there, but nothing of that type.
static __attribute__((noinline)) bool answer_without_type(const struct catalog *catalog, const struct policy *policy,
	const struct query *q, const struct image *zone, const struct node *node, struct reply *reply)
{
	return asks_for_records(q) && answer_found(policy, q, zone, plain_without_type(catalog, q, zone, node), reply);
}

// The RRset has pointers, or names whose addresses may go with it.
static __attribute__((noinline)) bool answer_rrset(const struct policy *policy, const struct query *q, const struct image *zone,
	const struct rrset *rrset, struct reply *reply)
{
	return asks_for_records(q) && answer_found(policy, q, zone, plain_rrset(rrset, policy), reply);
}

// The RRset that is asked for, at the first look, in one straight piece.
bool answer_plain(const struct catalog *catalog, const struct policy *policy, const struct query *q,
	const struct image *zone, const struct node *probed, struct reply *reply)
{
	if (!probed || probed->flags & NODE_CUT || !image_node_is(zone, probed, q->name.wire, q->name.bytes))
		return answer_elsewhere_plain(catalog, policy, q, zone, probed, reply);
	const struct rrset *rrset = node_rrset(zone, probed, q->type);
	if (!rrset)
		return answer_without_type(catalog, policy, q, zone, probed, reply);
	if (rrset->fixup_count || rrset->additional_count || q->options || q->class != CLASS_IN || q->type == TYPE_DS)
		return answer_rrset(policy, q, zone, rrset, reply);
	uint32_t at = DNS_HEADER_BYTES + q->question_bytes, bytes = bytes_of(rrset, q->dnssec_ok);
	if (!fits(reply, q, at + bytes))
		return false;
	uint8_t *wire = reply->wire;
	put_header(wire, q, plain_flags(policy, FLAG_AA), count_of(rrset, q->dnssec_ok), 0, 0);
	copy_records(wire + at, image_at(zone, rrset->data_ref), bytes);
	end_plain(reply, policy, q, at + bytes, 0, rrset->sum);
	return true;
}

// --- all the others ---

enum answer_verdict answer_thorough(const struct catalog *catalog, const struct policy *policy, const struct query *query,
	const struct image *zone, enum transport transport, struct reply *reply)
{
	enum rcode rcode = query->options ? judge_options(query, transport, reply->parties) : RCODE_NOERROR;
	if (rcode != RCODE_NOERROR) {
		answer_error(policy, query, rcode, reply);
		return ANSWER_READY;
	}
	// Transfers are for those who were told they may; classes other than IN hold no zones.
	if (query->class != CLASS_IN || query->type == TYPE_AXFR || query->type == TYPE_IXFR)
		return answer_elsewhere(policy, query, reply);
	if (!zone) {
		if (wants_chain(policy, query))
			return ANSWER_NOT_HERE;
		enum extended_error why = policy->may_not_recurse ? EDE_PROHIBITED : EDE_NOT_AUTHORITATIVE;
		answer_error_why(policy, query, RCODE_REFUSED, catalog_is_ready(catalog) ? why : EDE_NOT_READY, reply);
		return ANSWER_READY;
	}
	zone = side_of_cut(catalog, zone, &query->name, query->type);
	if (image_is_blank(zone)) {
		answer_error_why(policy, query, RCODE_SERVFAIL, EDE_NOT_READY, reply);
		return ANSWER_READY;
	}
	struct draft d;
	d.catalog = catalog;
	d.over_udp = transport == OVER_UDP;
	plan_opt(&d, query, reply, zone);
	begin(&d, policy, query, answer_limit(policy, query, transport), reply);
	d.flags = FLAG_AA;
	struct step step = { .name = &query->name, .zone = zone, .name_at = DNS_HEADER_BYTES };
	bool ended = walk(&d, step, image_lookup(zone, &query->name));
	put_denials(&d);
	if (!(d.flags & FLAG_TC))
		put_additionals(&d);
	finish(&d);
	return ended || !wants_chain(policy, query) ? ANSWER_READY : ANSWER_CONTINUE;
}

enum answer_verdict answer_query(const struct catalog *catalog, const struct policy *policy, const struct query *query,
	const struct image *zone, enum transport transport, struct reply *reply)
{
	uint32_t limit = answer_limit(policy, query, transport);
	if (reply->room > limit)
		reply->room = limit;
	keep_question(reply, query);
	if (zone && answer_plain(catalog, policy, query, zone, image_probe(zone, &query->name), reply))
		return ANSWER_READY;
	return answer_thorough(catalog, policy, query, zone, transport, reply);
}

// --- answers by rule ---

// RFC 2308 5: what makes a "no" worth remembering. As in the empty zones of RFC 6303 3, at the name the rule is about.
static const uint8_t rule_soa[] = {
	0xc0, 12, 0, TYPE_SOA, 0, CLASS_IN, 0, 0, 0, 0, 0, 38, // owner and TTL are filled in, as are MNAME and MINIMUM
	0xc0, 12, 6, 'n', 'o', 'b', 'o', 'd', 'y', 7, 'i', 'n', 'v', 'a', 'l', 'i', 'd', 0,
	0, 0, 0, 1, 0, 0, 3600 >> 8, 3600 & 0xff, 0, 0, 1200 >> 8, 1200 & 0xff, 0, 604800 >> 16, 604800 >> 8 & 0xff, 604800 & 0xff,
	0, 0, 0, 0,
};
enum { RULE_SOA_TTL_AT = 6, RULE_SOA_MNAME_AT = 12, RULE_SOA_MINIMUM_AT = 46, RULE_SOA_SUM = 0xdc06 };

// Returns its sum from an even offset.
static uint32_t write_rule_soa(uint8_t *to, unsigned owner_at, uint32_t ttl_s)
{
	copy_records(to, rule_soa, sizeof(rule_soa));
	store_be16(to, (uint16_t)(POINTER | owner_at));
	store_be16(to + RULE_SOA_MNAME_AT, (uint16_t)(POINTER | owner_at));
	store_be32(to + RULE_SOA_TTL_AT, ttl_s);
	store_be32(to + RULE_SOA_MINIMUM_AT, ttl_s);
	return __builtin_bswap16(RULE_SOA_SUM) + 2 * (sum_of_growth(owner_at - DNS_HEADER_BYTES, 0) + sum_of_number(ttl_s, 0));
}

static void put_rule_soa(struct draft *d, const struct override_hit *hit, const struct folded_name *name, unsigned name_at)
{
	if (sizeof(rule_soa) > d->limit - d->at) {
		d->flags |= FLAG_TC;
		return;
	}
	write_rule_soa(d->reply->wire + d->at, name_at + name->label_at[hit->depth], hit->rule->ttl_s);
	d->at += (uint32_t)sizeof(rule_soa);
	d->count[AUTHORITY]++;
}

// Returns where the target of a CNAME stands that is to be followed, else 0.
static unsigned put_rule_records(struct draft *d, const struct overrides *overrides, const struct override_hit *hit,
	const struct folded_name *name, unsigned name_at)
{
	uint8_t *record = d->reply->wire + d->at;
	unsigned bytes = overrides_write(overrides, hit, name, name_at, record, d->limit - d->at);
	unsigned target_at = d->at + 12;
	if (!bytes) {
		d->flags |= FLAG_TC;
		return 0;
	}
	d->at += bytes;
	d->count[ANSWER] = (uint16_t)(d->count[ANSWER] + hit->rule->count);
	bool follow = hit->rule->action == OVERRIDE_ALIAS && d->query->type != TYPE_CNAME && d->query->type != TYPE_ANY;
	// With captures it could be made of a damaged block: nobody else looks at it before it is read.
	bool is_name = bytes > 12 && name_length(record + 12, bytes - 12) == bytes - 12;
	return follow && is_name && target_at <= POINTER_MAX - NAME_MAX_BYTES ? target_at : 0;
}

static unsigned put_rule(struct draft *d, const struct overrides *overrides, const struct override_hit *hit,
	const struct folded_name *name, unsigned name_at)
{
	switch ((enum override_action)hit->rule->action) {
	case OVERRIDE_RECORDS:
	case OVERRIDE_ALIAS:
		return put_rule_records(d, overrides, hit, name, name_at);
	case OVERRIDE_NXDOMAIN:
		d->rcode = RCODE_NXDOMAIN;
		put_rule_soa(d, hit, name, name_at);
		break;
	case OVERRIDE_NODATA:
		put_rule_soa(d, hit, name, name_at);
		break;
	case OVERRIDE_REFUSED: // behind a CNAME: the CNAME alone is said
	case OVERRIDE_DROP:
	case OVERRIDE_PASS:
	case OVERRIDE_ACTIONS:
		break;
	}
	return 0;
}

// True: a rule is about this target of a CNAME.
static bool has_rule(const struct overrides *overrides, const struct folded_name *name, uint16_t type,
	const struct image *zone, struct override_hit *hit)
{
	if (zone && overrides->before_clients)
		return false;
	return overrides_find(overrides, name, type, hit) && hit->rule->action != OVERRIDE_PASS;
}

// From CNAME to CNAME, through rules and zones. True: the chain ended here; false: it leads out.
static bool walk_rules(struct draft *d, const struct overrides *overrides, const struct override_hit *first)
{
	uint64_t asked[CHAIN_MAX_STEPS]; // hashes of the names
	const struct folded_name *name = &d->query->name;
	struct override_hit hit = *first;
	struct folded_name next;
	unsigned name_at = DNS_HEADER_BYTES;
	for (unsigned steps = 0; steps < CHAIN_MAX_STEPS; steps++) {
		uint8_t target[NAME_MAX_BYTES];
		asked[steps] = name->hash[name->labels];
		name_at = put_rule(d, overrides, &hit, name, name_at);
		if (!name_at)
			return true;
		name_prepare(&next, target, read_name(d->reply->wire, name_at, target), catalog_seed(d->catalog));
		name = &next;
		for (unsigned i = 0; i <= steps; i++) {
			if (asked[i] == name->hash[name->labels])
				return true; // a loop: what is there is the answer
		}
		const struct image *zone = catalog_find(d->catalog, name);
		if (has_rule(overrides, name, d->query->type, zone, &hit))
			continue;
		zone = side_of_cut(d->catalog, zone, name, d->query->type);
		struct step step = { .name = name, .zone = zone, .name_at = name_at };
		return zone && walk(d, step, image_lookup(zone, name));
	}
	return true;
}

// What most rules say: records that stand ready but for their numbers, or no. False: there is more to it, and nothing is written.
static bool answer_rule_plain(const struct policy *policy, const struct query *q, const struct overrides *overrides,
	const struct override_hit *hit, struct reply *reply)
{
	const struct override_rule *rule = hit->rule;
	uint32_t at = DNS_HEADER_BYTES + q->question_bytes, bytes = rule->bytes, sum;
	bool has_records = rule->action == OVERRIDE_RECORDS && bytes;
	bool denies = (rule->action == OVERRIDE_NXDOMAIN || rule->action == OVERRIDE_NODATA) && !q->edns; // else it says why
	if (denies)
		bytes = sizeof(rule_soa);
	if (q->options || !(has_records || denies) || !fits(reply, q, at + bytes))
		return false;
	unsigned rcode = rule->action == OVERRIDE_NXDOMAIN ? RCODE_NXDOMAIN : RCODE_NOERROR;
	put_header(reply->wire, q, plain_flags(policy, rcode), has_records ? rule->count : 0, denies, 0);
	keep_question(reply, q);
	if (has_records)
		sum = overrides_write_ready(overrides, hit, reply->wire + at);
	else
		sum = write_rule_soa(reply->wire + at, place_of_suffix(q, hit->depth), rule->ttl_s);
	end_plain(reply, policy, q, at + bytes, rcode, sum);
	reply->summed = true;
	return true;
}

static bool is_blocked(const struct override_hit *hit)
{
	return hit->rule->action == OVERRIDE_NXDOMAIN || hit->rule->action == OVERRIDE_NODATA ||
		hit->rule->action == OVERRIDE_REFUSED;
}

enum answer_verdict answer_override(const struct catalog *catalog, const struct policy *policy, const struct query *query,
	const struct overrides *overrides, const struct override_hit *hit, enum transport transport, struct reply *reply)
{
	uint32_t limit = answer_limit(policy, query, transport);
	if (reply->room > limit)
		reply->room = limit;
	if (answer_rule_plain(policy, query, overrides, hit, reply))
		return ANSWER_READY;
	enum rcode rcode = query->options ? judge_options(query, transport, reply->parties) : RCODE_NOERROR;
	if (rcode != RCODE_NOERROR || hit->rule->action == OVERRIDE_REFUSED) {
		bool judged = rcode != RCODE_NOERROR;
		answer_error_why(policy, query, judged ? rcode : RCODE_REFUSED, judged ? EDE_NONE : EDE_BLOCKED, reply);
		return ANSWER_READY;
	}
	struct draft d;
	d.catalog = catalog;
	d.over_udp = transport == OVER_UDP;
	plan_opt(&d, query, reply, NULL);
	if (query->edns && is_blocked(hit))
		edns_plan(&d.opt, query, reply->parties, NULL, EDE_BLOCKED);
	begin(&d, policy, query, limit, reply);
	bool ended = walk_rules(&d, overrides, hit);
	put_denials(&d);
	if (d.written_count && !(d.flags & FLAG_TC))
		put_additionals(&d);
	finish(&d);
	return ended || !wants_chain(policy, query) ? ANSWER_READY : ANSWER_CONTINUE;
}
