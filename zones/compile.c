// SPDX-License-Identifier: BSD-3-Clause
// A checked zone -> its image. What can be thought once is thought here: which names exist, where cuts and
// wildcards are, how each RRset looks on the wire, which addresses go with it.
#include <stdlib.h>
#include <string.h>

#include <pollux/bytes.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "builder.h"
#include "bulk.h"
#include "denial.h"
#include "sections.h"
#include "team.h"

#define NOT_FOUND UINT32_MAX
#define SLOTS_PER_BUCKET 5		// of 8: few names then lie one bucket further
#define POINTER 0xc000u			// RFC 1035 4.1.4
#define PREFETCH_NAMES 8		// so far ahead of the writing their buckets are fetched
#define NAMES_PER_PART 8192		// of those that one thread writes at a time
#define PAPER_BYTES 65536
#define SELF_TARGETS_MAX 32		// names of one RRset that later ones may point to
#define SELF_TARGET_AT_MAX 0x2000u
#define GLUE_MAX_BYTES 512		// of a cut, to stand ready; more is rare and takes the long way
#define GLUE_MAX_SERVERS 32		// of such a cut

// Writes one image from left to right.
struct press {
	struct zone_builder *b;
	struct image *image;
	uint8_t *at;
	bool only_measures; // it is the length that counts
};

// Names inside one RRset's data, for pointers from later ones.
struct targets {
	unsigned count;
	struct { const uint8_t *name; uint32_t at; unsigned bytes; } target[SELF_TARGETS_MAX];
};

static uint32_t ref_of(const struct press *p, const void *at)
{
	return (uint32_t)((uint64_t)((const uint8_t *)at - (const uint8_t *)p->image) / 8);
}

static void align(struct press *p, uint64_t to)
{
	uint64_t used = (uint64_t)(p->at - (uint8_t *)p->image);
	while (used++ % to)
		*p->at++ = 0;
}

// Room that is not written octet by octet starts as zeros: equal zones give equal images.
static void *take_zeroed(struct press *p, uint64_t bytes)
{
	void *room = p->at;
	memset(room, 0, bytes);
	p->at += bytes;
	return room;
}

static uint32_t bucket_count(uint64_t names)
{
	return (uint32_t)(names / SLOTS_PER_BUCKET + 1);
}

// Names of the same length, alike but for case.
static bool same_octets(const uint8_t *a, const uint8_t *b, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++) {
		if (fold_byte(a[i]) != fold_byte(b[i]))
			return false;
	}
	return true;
}

static bool is_name(const struct zone_builder *b, const struct draft_name *known, const uint8_t *name, unsigned bytes)
{
	unsigned own = draft_own_bytes(b, known);
	return bytes == known->bytes && same_octets(name, known->own, own) &&
		same_octets(name + own, b->apex_wire, b->apex.bytes);
}

static bool is_under(const struct zone_builder *b, const uint8_t *name, const struct draft_name *above)
{
	unsigned left = name_length(name, NAME_MAX_BYTES);
	for (; left > above->bytes; left -= *name + 1u, name += *name + 1u)
		;
	return is_name(b, above, name, left);
}

static bool target_like(const struct targets *targets, const uint8_t *name, unsigned bytes, uint32_t *at)
{
	for (unsigned i = 0; i < targets->count; i++) {
		if (targets->target[i].bytes == bytes && same_octets(targets->target[i].name, name, bytes)) {
			*at = targets->target[i].at;
			return true;
		}
	}
	return false;
}

static bool may_point_to_owner(const struct draft_name *owner)
{
	return !(owner->own[0] == 1 && owner->own[1] == '*');
}

static bool is_known(const struct press *p, const struct draft_name *owner, const struct targets *targets,
	const uint8_t *name, unsigned bytes, uint32_t *target)
{
	*target = POINTS_TO_APEX;
	if (is_name(p->b, &p->b->names[0], name, bytes))
		return true;
	*target = POINTS_TO_OWNER;
	if (is_name(p->b, owner, name, bytes) && may_point_to_owner(owner))
		return true;
	return target_like(targets, name, bytes, target);
}

// A name in compressible RDATA: labels, then a pointer to the owner, to the apex, or to an earlier name of this
// RRset.
static void put_name(struct press *p, const uint8_t *start, const struct draft_name *owner, const uint8_t *name,
	unsigned bytes, struct targets *targets, struct rrset *rrset)
{
	uint32_t *fixup = (uint32_t *)image_at(p->image, rrset->fixups_ref);
	while (*name) {
		uint32_t at = (uint32_t)(p->at - start), target;
		unsigned label = *name + 1u;
		if (is_known(p, owner, targets, name, bytes, &target)) {
			store_be16(p->at, (uint16_t)(POINTER | target));
			fixup[rrset->fixup_count++] = at;
			p->at += 2;
			return;
		}
		if (at < SELF_TARGET_AT_MAX && targets->count < SELF_TARGETS_MAX) {
			targets->target[targets->count].name = name;
			targets->target[targets->count].bytes = bytes;
			targets->target[targets->count++].at = at;
		}
		memcpy(p->at, name, label);
		p->at += label;
		name += label;
		bytes -= label;
	}
	*p->at++ = 0;
}

struct rdata_press {
	struct press *p;
	const uint8_t *start; // of the RRset's data
	const struct draft_name *owner;
	const struct draft_record *record;
	unsigned done; // octets of RDATA written so far
	struct targets *targets;
	struct rrset *rrset;
};

static void put_rdata_name(void *ctx, unsigned at, bool compressible)
{
	struct rdata_press *r = ctx;
	if (!compressible)
		return;
	memcpy(r->p->at, r->record->rdata + r->done, at - r->done);
	r->p->at += at - r->done;
	const uint8_t *name = r->record->rdata + at;
	unsigned bytes = name_length(name, NAME_MAX_BYTES);
	put_name(r->p, r->start, r->owner, name, bytes, r->targets, r->rrset);
	r->done = at + bytes;
}

// c0 0c, type, class IN, TTL, RDLENGTH, RDATA.
static void put_record(struct press *p, const uint8_t *start, const struct draft_name *owner,
	const struct draft_record *record, uint32_t ttl, struct targets *targets, struct rrset *rrset)
{
	store_be16(p->at, POINTER | DNS_HEADER_BYTES);
	store_be16(p->at + 2, record->type);
	store_be16(p->at + 4, 1);
	store_be32(p->at + 6, ttl);
	uint8_t *length_at = p->at + 10;
	p->at += 12;
	struct rdata_press r = { p, start, owner, record, 0, targets, rrset };
	rdata_names(record->type, record->rdata, record->rdata_bytes, put_rdata_name, &r);
	memcpy(p->at, record->rdata + r.done, record->rdata_bytes - r.done);
	p->at += record->rdata_bytes - r.done;
	store_be16(length_at, (uint16_t)(p->at - length_at - 2));
}

static bool is_worth_adding(const struct draft_name *target, uint16_t type)
{
	if (target->occluded || (target->flags & NODE_CUT))
		return type == TYPE_NS && target->glue_ref;
	return target->has_address || type == TYPE_CNAME || (type == TYPE_NAPTR && draft_first(target, TYPE_SRV));
}

// The records of one RRset and its RRSIGs stand in a row, see check.c.
static const struct draft_record *next_of_run(const struct draft_record *r)
{
	const struct draft_record *next = r->next;
	return next && draft_rrset_type(next) == draft_rrset_type(r) ? next : NULL;
}

// The addresses that go with the RRset, or where an alias leads: room for as many as there are names of this zone in
// its RDATA. The index of the name stands in node_ref until every node has its place; see settle_additionals().
static void put_additionals(struct press *p, struct rrset *rrset, const struct draft_name *owner,
	const struct draft_record *run, const uint8_t *start)
{
	align(p, 8);
	struct additional *list = (struct additional *)p->at;
	const uint8_t *at = start;
	unsigned inside = 0, required = 0;
	for (const struct draft_record *r = run; r; r = next_of_run(r)) {
		if (r->ignored || r->type != rrset->type)
			continue;
		int name_at = additional_name_at(r);
		if (name_at < 0 && rrset->type != TYPE_NAPTR)
			return; // none of this type has one
		const uint8_t *name = r->rdata + name_at;
		uint64_t offset = (uint64_t)(at - start) + 12 + (unsigned)name_at;
		at += 12 + load_be16(at + 10);
		if (name_at < 0 || !builder_is_inside(p->b, name))
			continue;
		inside++;
		uint32_t index = p->only_measures ? NOT_FOUND : builder_find(p->b, name);
		if (index == NOT_FOUND || offset > UINT16_MAX || !is_worth_adding(&p->b->names[index], rrset->type))
			continue;
		struct additional one = { .node_ref = index, .name_at = (uint16_t)offset,
			.required = (owner->flags & NODE_CUT) && is_under(p->b, name, owner) };
		unsigned place = one.required ? required++ : rrset->additional_count;
		memmove(&list[place + 1], &list[place], (rrset->additional_count++ - place) * sizeof(one));
		list[place] = one;
	}
	if (rrset->additional_count)
		rrset->additional_ref = ref_of(p, list);
	p->at = (uint8_t *)&list[rrset->additional_count];
	take_zeroed(p, (inside - rrset->additional_count) * sizeof(*list));
}

// The addresses that stand ready behind the NS records of a cut.
struct ready_glue {
	unsigned count; // 0: none do
	uint32_t bytes;
	const struct draft_name *target[GLUE_MAX_SERVERS]; // of each NS record that counts, or NULL; each is looked up once
};

// Where the name server of a cut has addresses; NULL: it needs none. *long_way: they are not this cut's own, or signed.
static const struct draft_name *glue_of(const struct press *p, const struct draft_name *owner, const struct draft_record *ns,
	bool *long_way)
{
	if (!builder_is_inside(p->b, ns->rdata))
		return NULL;
	uint32_t index = builder_find(p->b, ns->rdata);
	const struct draft_name *target = index == NOT_FOUND ? NULL : &p->b->names[index];
	if (!target || !is_worth_adding(target, TYPE_NS))
		return NULL;
	*long_way |= !is_under(p->b, ns->rdata, owner) || draft_first(target, TYPE_RRSIG);
	return target;
}

// Names alike but for case have their addresses added once.
static bool is_named_before(const struct draft_record *run, const struct draft_record *ns)
{
	for (; run != ns; run = next_of_run(run)) {
		if (!run->ignored && name_equal(run->rdata, ns->rdata))
			return true;
	}
	return false;
}

static void plan_glue(const struct press *p, const struct draft_name *owner, const struct draft_record *run,
	struct ready_glue *glue)
{
	unsigned servers = 0;
	glue->count = glue->bytes = 0;
	bool long_way = !(owner->flags & NODE_CUT) || draft_rrset_type(run) != TYPE_NS;
	for (const struct draft_record *r = run; r && !long_way && glue->bytes <= GLUE_MAX_BYTES; r = next_of_run(r)) {
		long_way |= r->type != TYPE_NS || servers == GLUE_MAX_SERVERS;
		if (r->ignored || long_way)
			continue;
		const struct draft_name *target = glue->target[servers++] = glue_of(p, owner, r, &long_way);
		long_way |= target && is_named_before(run, r);
		for (const struct draft_record *a = target ? target->first : NULL; a; a = a->next) {
			if (a->ignored || !draft_is_address(a->type))
				continue;
			glue->count++;
			glue->bytes += 12u + a->rdata_bytes;
		}
	}
	if (long_way || glue->bytes > GLUE_MAX_BYTES)
		glue->count = 0;
}

// Behind the NS records. The owners are the names in their RDATA.
static void put_glue(struct press *p, struct rrset *rrset, const struct draft_name *owner, const struct draft_record *run,
	const struct ready_glue *ready, struct glue *glue)
{
	uint8_t *start = (uint8_t *)image_at(p->image, rrset->data_ref), *ns = start, *behind = p->at;
	uint32_t *fixup = (uint32_t *)image_at(p->image, rrset->fixups_ref) + rrset->fixup_count;
	struct targets targets = { 0 };
	unsigned server = 0;
	for (const struct draft_record *r = run; r; r = next_of_run(r)) {
		if (r->ignored)
			continue;
		const struct draft_name *target = ready->target[server++];
		for (const struct draft_record *a = target ? target->first : NULL; a; a = a->next) {
			if (a->ignored || !draft_is_address(a->type))
				continue;
			uint8_t *record = p->at;
			put_record(p, start, owner, a, a->ttl, &targets, rrset);
			store_be16(record, (uint16_t)(POINTER | (unsigned)(ns + 12 - start)));
			fixup[glue->count++] = (uint32_t)(record - start);
		}
		ns += 12 + load_be16(ns + 10);
	}
	glue->bytes = (uint32_t)(p->at - behind);
	if (!p->only_measures)
		glue->sum = ones_sum(start, (uint32_t)(p->at - start));
}

static void count_name(void *ctx, unsigned at, bool compressible)
{
	(void)at;
	*(unsigned *)ctx += compressible;
}

// Fixups come before the data, in room for as many as there are names.
static void make_room_for_fixups(struct press *p, struct rrset *rrset, const struct draft_record *run, unsigned more)
{
	unsigned names = more;
	for (const struct draft_record *r = run; r; r = next_of_run(r)) {
		if (!r->ignored && r->type == rrset->type)
			rdata_names(r->type, r->rdata, r->rdata_bytes, count_name, &names);
	}
	if (names) {
		rrset->fixups_ref = ref_of(p, p->at);
		take_zeroed(p, names * sizeof(uint32_t));
		align(p, 8);
	}
}

// The RRset of that run; `ttl` not NULL: with that TTL (RFC 2308 3). True: with a cut's glue.
static bool put_rrset(struct press *p, struct rrset *rrset, const struct draft_name *owner,
	const struct draft_record *run, const uint32_t *ttl)
{
	uint16_t type = rrset->type = draft_rrset_type(run);
	align(p, 8);
	struct ready_glue ready;
	plan_glue(p, owner, run, &ready);
	make_room_for_fixups(p, rrset, run, ready.count);
	struct glue *glue = ready.count ? take_zeroed(p, sizeof(*glue)) : NULL;
	uint8_t *start = p->at;
	struct targets targets = { 0 };
	rrset->data_ref = ref_of(p, start);
	for (const struct draft_record *r = run; r; r = next_of_run(r)) {
		if (r->ignored || r->type != type)
			continue;
		put_record(p, start, owner, r, ttl ? *ttl : r->ttl, &targets, rrset);
		rrset->count++;
	}
	rrset->bytes = (uint32_t)(p->at - start);
	if (!p->only_measures)
		rrset->sum = ones_sum(start, rrset->bytes);
	uint8_t *signatures = p->at;
	for (const struct draft_record *r = run; r; r = next_of_run(r)) {
		if (r->ignored || r->type != TYPE_RRSIG)
			continue;
		put_record(p, start, owner, r, ttl ? *ttl : r->ttl, &targets, rrset);
		rrset->sig_count++;
	}
	rrset->sig_bytes = (uint32_t)(p->at - signatures);
	if (glue)
		put_glue(p, rrset, owner, run, &ready, glue);
	put_additionals(p, rrset, owner, run, start);
	return glue;
}

// What of a name goes into a node: what can be asked for, its addresses as glue, or its NSEC3.
enum kind { PLAIN, GLUE, HASHED };

static bool is_of_kind(const struct draft_record *r, const struct draft_name *name, enum kind kind)
{
	if (r->ignored || r->type == TYPE_RRSIG)
		return false;
	if (kind == GLUE)
		return draft_is_address(r->type);
	if (kind == HASHED)
		return r->type == TYPE_NSEC3;
	return r->type != TYPE_NSEC3 && !(draft_is_address(r->type) && (name->flags & NODE_CUT));
}

// Where the RRsets of a name begin.
static unsigned find_runs(const struct draft_name *name, enum kind kind, const struct draft_record *runs[DRAFT_TYPES_MAX])
{
	unsigned count = 0;
	for (const struct draft_record *run = name->first, *behind; run; run = behind) {
		bool any = false;
		for (const struct draft_record *r = run; r; r = next_of_run(r)) {
			any |= is_of_kind(r, name, kind);
			behind = r->next;
		}
		if (any)
			runs[count++] = run;
	}
	return count;
}

static bool has_chain(const struct zone_builder *b)
{
	return b->nsec.count || b->nsec3.count;
}

static uint32_t put_node(struct press *p, const struct draft_name *name, enum kind kind)
{
	const struct draft_record *runs[DRAFT_TYPES_MAX];
	align(p, 8);
	struct node *node = take_zeroed(p, sizeof(*node));
	node->flags = kind == PLAIN ? name->flags : 0;
	node->rrset_count = (uint16_t)find_runs(name, kind, runs);
	if (kind != GLUE) { // nobody looks for its name
		node->name_bytes = name->bytes;
		node->labels = name->labels;
		unsigned own = draft_own_bytes(p->b, name);
		memcpy(p->at, name->own, own);
		p->at += own;
		*p->at++ = p->b->apex_wire[0];
	}
	align(p, 8);
	if (kind == PLAIN && has_chain(p->b)) {
		node->flags |= NODE_PROOF;
		take_zeroed(p, sizeof(struct proof));
	}
	struct rrset *rrset = take_zeroed(p, node->rrset_count * sizeof(*rrset));
	node->rrsets_ref = ref_of(p, rrset);
	for (unsigned i = 0; i < node->rrset_count; i++) {
		if (put_rrset(p, &rrset[i], name, runs[i], NULL))
			node->flags |= NODE_GLUE;
	}
	return ref_of(p, node);
}

static void put_in_bucket(struct image *image, uint64_t hash, uint32_t node_ref)
{
	struct image_bucket *buckets = (struct image_bucket *)image_at(image, image->buckets_ref);
	for (uint32_t index = image_bucket_index(image, hash);; index = (index + 1) % image->bucket_count) {
		for (unsigned i = 0; i < 8; i++) {
			if (buckets[index].tag[i] == 0) {
				buckets[index].tag[i] = image_tag(hash);
				buckets[index].node_ref[i] = node_ref;
				return;
			}
		}
	}
}

// Until now an additional entry names its target by index; by now every target has its place.
static void settle_additionals(const struct zone_builder *b, struct image *image, uint32_t node_ref)
{
	const struct node *node = image_at(image, node_ref);
	const struct rrset *rrset = image_at(image, node->rrsets_ref);
	for (unsigned i = 0; i < node->rrset_count; i++) {
		struct additional *more = (struct additional *)image_at(image, rrset[i].additional_ref);
		for (unsigned k = 0; k < rrset[i].additional_count; k++) {
			const struct draft_name *target = &b->names[more[k].node_ref];
			more[k].node_ref = target->glue_ref ? target->glue_ref : target->node_ref;
		}
	}
}

static uint64_t whole_units(uint64_t bytes)
{
	return (bytes + 7) & ~UINT64_C(7);
}

static unsigned part_count(const struct zone_builder *b)
{
	return (b->name_count + NAMES_PER_PART - 1) / NAMES_PER_PART;
}

static uint32_t part_end(const struct zone_builder *b, unsigned part)
{
	uint32_t end = (part + 1) * NAMES_PER_PART;
	return end < b->name_count ? end : b->name_count;
}

// --- where each name goes: what it takes is found by writing it to nowhere in particular ---

static bool is_in_table(const struct draft_name *name)
{
	return !name->occluded && !name->hashed;
}

// Not less than what a name takes as any kind of node: as if each record were an RRset of its own, with two names.
static uint64_t most_bytes(const struct draft_name *name)
{
	uint64_t bytes = sizeof(struct node) + sizeof(struct proof) + name->bytes + 16u;
	if (name->flags & NODE_CUT)
		bytes += sizeof(struct glue) + GLUE_MAX_BYTES + GLUE_MAX_BYTES / 16 * sizeof(uint32_t);
	for (const struct draft_record *r = name->first; r; r = r->next)
		bytes += sizeof(struct rrset) + 2 * sizeof(uint32_t) + 12u + r->rdata_bytes + sizeof(struct additional) + 24;
	return bytes;
}

// Paper to write on that nobody reads.
struct paper {
	uint8_t *at;
	uint64_t bytes;
};

static bool is_large_enough(struct paper *paper, const struct draft_name *name)
{
	uint64_t bytes = most_bytes(name);
	if (bytes <= paper->bytes)
		return true;
	bytes = bytes < PAPER_BYTES ? PAPER_BYTES : bytes;
	free(paper->at);
	paper->at = malloc(bytes);
	paper->bytes = paper->at ? bytes : 0;
	return paper->at;
}

static uint64_t node_bytes(struct zone_builder *b, const struct paper *paper, const struct draft_name *name, enum kind kind)
{
	struct press p = { .b = b, .image = (struct image *)(void *)paper->at, .at = paper->at,
		.only_measures = true };
	put_node(&p, name, kind);
	return whole_units((uint64_t)(p.at - paper->at));
}

struct layout {
	struct zone_builder *b;
	struct paper paper[TEAM_THREADS_MAX];
	_Atomic bool failed; // no memory
	_Atomic uint32_t in_table; // names
};

static void lay_out_part(void *ctx, unsigned part, unsigned thread)
{
	struct layout *layout = ctx;
	struct zone_builder *b = layout->b;
	struct paper *paper = &layout->paper[thread];
	uint64_t bytes = 0;
	uint32_t in_table = 0;
	for (uint32_t i = part * NAMES_PER_PART; i < part_end(b, part); i++) {
		const struct draft_name *name = &b->names[i];
		if (!is_large_enough(paper, name)) {
			layout->failed = true;
			return;
		}
		if (name->glue_ref)
			bytes += node_bytes(b, paper, name, GLUE);
		if (is_in_table(name))
			bytes += node_bytes(b, paper, name, PLAIN);
		in_table += is_in_table(name);
	}
	b->part_at[part + 1] = bytes;
	layout->in_table += in_table;
}

static bool lay_out_hashed(struct layout *layout)
{
	struct zone_builder *b = layout->b;
	b->hashed_bytes = 0;
	for (uint32_t i = 0; i < b->nsec3.count; i++) {
		const struct draft_name *name = &b->names[b->nsec3.link[i].name];
		if (!is_large_enough(&layout->paper[0], name))
			return false;
		b->hashed_bytes += node_bytes(b, &layout->paper[0], name, HASHED);
	}
	return true;
}

enum status builder_lay_out(struct zone_builder *b)
{
	struct layout layout = { .b = b };
	unsigned parts = part_count(b);
	b->part_at = calloc(parts + 1, sizeof(*b->part_at));
	if (!b->part_at)
		return ST_NO_MEMORY;
	team_run(b->threads, &(struct team_work){ .parts = parts, .run = lay_out_part }, &layout);
	for (unsigned part = 0; part < parts; part++)
		b->part_at[part + 1] += b->part_at[part];
	b->names_in_table = layout.in_table;
	bool done = !layout.failed && lay_out_hashed(&layout);
	for (unsigned i = 0; i < TEAM_THREADS_MAX; i++)
		free(layout.paper[i].at);
	return done ? ST_OK : ST_NO_MEMORY;
}

uint64_t zone_builder_image_bytes(const struct zone_builder *b, const struct zonefile_source *source)
{
	uint64_t bytes = sizeof(struct image) + NAME_MAX_BYTES + bucket_count(b->names_in_table) * sizeof(struct image_bucket);
	bytes += b->part_at[part_count(b)] + b->hashed_bytes + b->nsec3.count * sizeof(struct nsec3_link);
	bytes += b->nsec.count * sizeof(struct nsec_link) + b->nsec3.salt_bytes;
	bytes += most_bytes(&b->names[0]) + (source ? source->bytes : 0); // the SOA is written once more
	return (bytes + 256 + 63) & ~UINT64_C(63); // and what aligning a few tables may take
}

// --- the nodes, by several threads ---

struct printing {
	struct zone_builder *b;
	struct image *image;
	uint8_t *nodes_at;
};

static void put_part(void *ctx, unsigned part, unsigned thread)
{
	(void)thread;
	struct printing *printing = ctx;
	struct zone_builder *b = printing->b;
	struct press p = { .b = b, .image = printing->image, .at = printing->nodes_at + b->part_at[part] };
	bulk_expect(p.at, b->part_at[part + 1] - b->part_at[part]);
	for (uint32_t i = part * NAMES_PER_PART; i < part_end(b, part); i++) {
		struct draft_name *name = &b->names[i];
		name->node_ref = 0;
		if (name->glue_ref)
			name->glue_ref = put_node(&p, name, GLUE);
		if (is_in_table(name))
			name->node_ref = put_node(&p, name, PLAIN);
	}
	align(&p, 8);
}

// In the order of names, for a full bucket sends the next name to its neighbour.
static bool put_part_in_table(void *ctx, unsigned part)
{
	struct printing *printing = ctx;
	struct zone_builder *b = printing->b;
	for (uint32_t i = part * NAMES_PER_PART, end = part_end(b, part); i < end; i++) {
		const struct draft_name *name = &b->names[i];
		if (i + PREFETCH_NAMES < end)
			image_prefetch(printing->image, name[PREFETCH_NAMES].hash);
		if (!is_in_table(name))
			continue;
		put_in_bucket(printing->image, name->hash, name->node_ref);
		printing->image->depths |= UINT64_C(1) << (name->labels < 63 ? name->labels : 63);
	}
	return true;
}

// By now every name has its place.
static void link_part(void *ctx, unsigned part, unsigned thread)
{
	(void)thread;
	struct printing *printing = ctx;
	struct zone_builder *b = printing->b;
	for (uint32_t i = part * NAMES_PER_PART; i < part_end(b, part); i++) {
		const struct draft_name *name = &b->names[i];
		if (!is_in_table(name))
			continue;
		settle_additionals(b, printing->image, name->node_ref);
		// 0 when the wildcard is occluded
		struct node *node = (struct node *)image_at(printing->image, name->node_ref);
		node->wildcard_ref = name->wildcard ? b->names[name->wildcard].node_ref : 0;
	}
}

static void put_nodes(struct press *p)
{
	struct printing printing = { p->b, p->image, p->at };
	unsigned parts = part_count(p->b);
	team_run(p->b->threads, &(struct team_work){ parts, put_part, put_part_in_table }, &printing);
	team_run(p->b->threads, &(struct team_work){ .parts = parts, .run = link_part }, &printing);
	p->at += p->b->part_at[parts];
}

// --- proofs of a signed zone ---

static void put_nsec_chain(struct press *p)
{
	const struct draft_chain *chain = &p->b->nsec;
	align(p, 8);
	struct nsec_link *links = (struct nsec_link *)p->at;
	p->at += chain->count * sizeof(*links);
	p->image->nsec_ref = ref_of(p, links);
	p->image->nsec_count = chain->count;
	p->image->nsec_skip = chain->skip;
	for (uint32_t i = 0; i < chain->count; i++) {
		uint64_t key;
		memcpy(&key, chain->link[i].place, sizeof(key));
		links[i] = (struct nsec_link){ .key = __builtin_bswap64(key),
			.node_ref = p->b->names[chain->link[i].name].node_ref };
	}
}

static void put_nsec3_chain(struct press *p)
{
	const struct draft_chain *chain = &p->b->nsec3;
	align(p, 8);
	p->image->salt_ref = ref_of(p, p->at);
	p->image->salt_bytes = chain->salt_bytes;
	p->image->iterations = chain->iterations;
	memcpy(p->at, chain->salt, chain->salt_bytes);
	p->at += chain->salt_bytes;
	align(p, 8);
	struct nsec3_link *links = take_zeroed(p, chain->count * sizeof(*links));
	p->image->nsec3_ref = ref_of(p, links);
	p->image->nsec3_count = chain->count;
	for (uint32_t i = 0; i < chain->count; i++)
		memcpy(links[i].hash, chain->link[i].place, sizeof(links[i].hash));
	for (uint32_t i = 0; i < chain->count; i++)
		links[i].node_ref = put_node(p, &p->b->names[chain->link[i].name], HASHED);
}

// The link that says something about a name: for NSEC matching or covering; for NSEC3 `self` must match, and
// the wildcard may be covered as well.
static uint32_t link_about(const struct printing *printing, const uint8_t *name, unsigned bytes, bool self)
{
	struct folded_name folded;
	const struct draft_chain *nsec3 = &printing->b->nsec3;
	bool matches;
	name_prepare(&folded, name, bytes, printing->b->seed);
	if (printing->image->nsec_count)
		return nsec_at_or_before(printing->image, &folded);
	uint8_t hash[20];
	nsec3_hash(hash, folded.wire, bytes, nsec3->salt, nsec3->salt_bytes, nsec3->iterations);
	uint32_t link = nsec3_at_or_before(printing->image, hash, &matches);
	return self && !matches ? 0 : link;
}

static void put_proof(const struct printing *printing, uint32_t index, const struct nsec3_link *links)
{
	const struct zone_builder *b = printing->b;
	const struct draft_name *name = &b->names[index];
	const struct node *node = image_at(printing->image, name->node_ref);
	struct proof *proof = (struct proof *)node_proof(printing->image, node);
	uint8_t wire[NAME_MAX_BYTES];
	if (node_rrset(printing->image, node, TYPE_NSEC))
		proof->self_ref = name->node_ref;
	else if (b->own_link)
		proof->self_ref = b->own_link[index] ? links[b->own_link[index] - 1].node_ref : 0;
	else
		proof->self_ref = link_about(printing, draft_wire(b, name, wire), name->bytes, true);
	if (name->bytes > NAME_MAX_BYTES - 2 || (name->flags & (NODE_CUT | NODE_DNAME)))
		return;
	uint8_t wildcard[NAME_MAX_BYTES] = { 1, '*' };
	draft_wire(b, name, wildcard + 2);
	proof->wildcard_ref = link_about(printing, wildcard, name->bytes + 2u, false);
}

static void put_proofs_of_part(void *ctx, unsigned part, unsigned thread)
{
	(void)thread;
	struct printing *printing = ctx;
	const struct nsec3_link *links = image_at(printing->image, printing->image->nsec3_ref);
	for (uint32_t i = part * NAMES_PER_PART; i < part_end(printing->b, part); i++) {
		if (is_in_table(&printing->b->names[i]))
			put_proof(printing, i, links);
	}
}

static void put_chains(struct press *p)
{
	if (p->b->nsec.count)
		put_nsec_chain(p);
	else if (p->b->nsec3.count)
		put_nsec3_chain(p);
	else
		return;
	struct printing printing = { .b = p->b, .image = p->image };
	team_run(p->b->threads, &(struct team_work){ .parts = part_count(p->b), .run = put_proofs_of_part }, &printing);
}

static void put_negative(struct press *p)
{
	const struct draft_record *soa = draft_first(&p->b->names[0], TYPE_SOA), *run = p->b->names[0].first;
	while (draft_rrset_type(run) != TYPE_SOA)
		run = run->next;
	uint32_t minimum = load_be32(soa->rdata + soa->rdata_bytes - 4);
	uint32_t ttl = soa->ttl < minimum ? soa->ttl : minimum;
	align(p, 8);
	struct rrset *rrset = take_zeroed(p, sizeof(*rrset));
	p->image->negative_ref = ref_of(p, rrset);
	p->image->serial = load_be32(soa->rdata + soa->rdata_bytes - 20);
	put_rrset(p, rrset, &p->b->names[0], run, &ttl);
}

static void put_source(struct press *p, const struct zonefile_source *source)
{
	align(p, 8);
	p->image->source_ref = ref_of(p, p->at);
	if (source && source->paths) {
		memcpy(p->at, source->paths, source->bytes);
		p->at += source->bytes;
	}
	*p->at++ = '\0'; // an empty path ends the list
}

void zone_builder_write(struct zone_builder *b, void *room, const struct zonefile_source *source, uint64_t loaded_at_s)
{
	struct image *image = room;
	const struct draft_name *apex = &b->names[0];
	*image = (struct image){ .magic = IMAGE_MAGIC, .format = IMAGE_FORMAT, .hash_seed = b->seed,
		.source_stamp = source ? source->stamp : 0, .loaded_at_s = loaded_at_s,
		.records = (uint32_t)b->record_count, .names = b->names_in_table,
		.bucket_count = bucket_count(b->names_in_table),
		.apex_labels = apex->labels, .apex_bytes = apex->bytes,
		.is_signed = has_chain(b), .expires = b->expires };
	memcpy(image->apex, b->apex_wire, apex->bytes);
	struct press p = { .b = b, .image = image, .at = image->apex + apex->bytes };
	align(&p, CACHE_LINE_BYTES);
	image->buckets_ref = ref_of(&p, take_zeroed(&p, image->bucket_count * sizeof(struct image_bucket)));
	put_nodes(&p);
	image->apex_ref = b->names[0].node_ref;
	put_chains(&p);
	put_negative(&p);
	put_source(&p, source);
	align(&p, 64);
	image->bytes = (uint64_t)(p.at - (uint8_t *)image);
}
