// SPDX-License-Identifier: BSD-3-Clause
// A checked zone -> its image. What can be thought once is thought here: which names exist, where cuts and
// wildcards are, how each RRset looks on the wire, which addresses go with it.
#include <string.h>

#include <pollux/bytes.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "builder.h"
#include "denial.h"

#define NOT_FOUND UINT32_MAX
#define SLOTS_PER_BUCKET 5		// of 8: few names then lie one bucket further
#define POINTER 0xc000u			// RFC 1035 4.1.4
#define PREFETCH_NAMES 8		// so far ahead of the writing their buckets are fetched
#define SELF_TARGETS_MAX 32		// names of one RRset that later ones may point to
#define SELF_TARGET_AT_MAX 0x2000u

// Writes one image from left to right.
struct press {
	struct zone_builder *b;
	struct image *image;
	uint8_t *at;
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

static bool is_name(const struct draft_name *known, const uint8_t *name, unsigned bytes)
{
	return bytes == known->bytes && same_octets(name, known->name, bytes);
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
	return !(owner->name[0] == 1 && owner->name[1] == '*');
}

static bool is_known(const struct press *p, const struct draft_name *owner, const struct targets *targets,
	const uint8_t *name, unsigned bytes, uint32_t *target)
{
	*target = POINTS_TO_APEX;
	if (is_name(&p->b->names[0], name, bytes))
		return true;
	*target = POINTS_TO_OWNER;
	if (is_name(owner, name, bytes) && may_point_to_owner(owner))
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

// RFC 1071, from an even offset.
static uint16_t ones_sum(const uint8_t *at, uint32_t bytes)
{
	uint64_t sum = 0;
	for (; bytes > 1; bytes -= 2, at += 2)
		sum += load_be16(at);
	if (bytes)
		sum += (uint64_t)*at << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static bool is_worth_adding(const struct draft_name *target, uint16_t type)
{
	if (target->occluded || (target->flags & NODE_CUT))
		return type == TYPE_NS && target->is_glue;
	return target->has_address || type == TYPE_CNAME || (type == TYPE_NAPTR && draft_first(target, TYPE_SRV));
}

// The addresses that go with the RRset, or where an alias leads. The index of the name stands in node_ref until every node has its
// place; see settle_additionals().
static void put_additionals(struct press *p, struct rrset *rrset, const struct draft_name *owner, const uint8_t *start)
{
	const struct draft_record *first = draft_first(owner, rrset->type);
	if (!first || (additional_name_at(first) < 0 && rrset->type != TYPE_NAPTR))
		return;
	align(p, 8);
	struct additional *list = (struct additional *)p->at;
	const uint8_t *at = start;
	for (const struct draft_record *r = owner->first; r; r = r->next) {
		if (r->ignored || r->type != rrset->type)
			continue;
		int name_at = additional_name_at(r);
		const uint8_t *name = r->rdata + name_at;
		uint32_t index = name_at < 0 ? NOT_FOUND : builder_find(p->b, name);
		uint64_t offset = (uint64_t)(at - start) + 12 + (unsigned)name_at;
		at += 12 + load_be16(at + 10);
		if (index == NOT_FOUND || offset > UINT16_MAX)
			continue;
		if (!is_worth_adding(&p->b->names[index], rrset->type))
			continue;
		list[rrset->additional_count++] = (struct additional){
			.node_ref = index,
			.name_at = (uint16_t)offset,
			.required = (owner->flags & NODE_CUT) && name_is_under(name, owner->name),
		};
	}
	if (rrset->additional_count) {
		rrset->additional_ref = ref_of(p, list);
		p->at += rrset->additional_count * sizeof(*list);
	}
}

static void count_name(void *ctx, unsigned at, bool compressible)
{
	(void)at;
	*(unsigned *)ctx += compressible;
}

// Fixups come before the data, in room for as many as there are names.
static void make_room_for_fixups(struct press *p, struct rrset *rrset, const struct draft_name *owner)
{
	unsigned names = 0;
	for (const struct draft_record *r = owner->first; r; r = r->next) {
		if (!r->ignored && r->type == rrset->type)
			rdata_names(r->type, r->rdata, r->rdata_bytes, count_name, &names);
	}
	if (names) {
		rrset->fixups_ref = ref_of(p, p->at);
		take_zeroed(p, names * sizeof(uint32_t));
		align(p, 8);
	}
}

// The RRset `type` of `owner`; `ttl` not NULL: with that TTL (RFC 2308 3).
static void put_rrset(struct press *p, struct rrset *rrset, const struct draft_name *owner, uint16_t type,
	const uint32_t *ttl)
{
	rrset->type = type;
	align(p, 8);
	make_room_for_fixups(p, rrset, owner);
	uint8_t *start = p->at;
	struct targets targets = { 0 };
	rrset->data_ref = ref_of(p, start);
	for (const struct draft_record *r = owner->first; r; r = r->next) {
		if (r->ignored || r->type != type)
			continue;
		put_record(p, start, owner, r, ttl ? *ttl : r->ttl, &targets, rrset);
		rrset->count++;
	}
	rrset->bytes = (uint32_t)(p->at - start);
	rrset->sum = ones_sum(start, rrset->bytes);
	uint8_t *signatures = p->at;
	for (const struct draft_record *r = owner->first; r; r = r->next) {
		if (r->ignored || r->type != TYPE_RRSIG || draft_rrset_type(r) != type)
			continue;
		put_record(p, start, owner, r, ttl ? *ttl : r->ttl, &targets, rrset);
		rrset->sig_count++;
	}
	rrset->sig_bytes = (uint32_t)(p->at - signatures);
	put_additionals(p, rrset, owner, start);
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

// The RRset types of a name in rising order.
static unsigned types_of(const struct draft_name *name, enum kind kind, uint16_t types[DRAFT_TYPES_MAX])
{
	unsigned count = 0;
	for (const struct draft_record *r = name->first; r; r = r->next) {
		if (!is_of_kind(r, name, kind))
			continue;
		unsigned at = 0;
		while (at < count && types[at] < r->type)
			at++;
		if (at < count && types[at] == r->type)
			continue;
		memmove(types + at + 1, types + at, (count - at) * sizeof(*types));
		types[at] = r->type;
		count++;
	}
	return count;
}

static bool has_chain(const struct zone_builder *b)
{
	return b->nsec.count || b->nsec3.count;
}

static uint32_t put_node(struct press *p, const struct draft_name *name, enum kind kind)
{
	uint16_t types[DRAFT_TYPES_MAX];
	align(p, 8);
	struct node *node = take_zeroed(p, sizeof(*node));
	node->name_bytes = name->bytes;
	node->labels = name->labels;
	node->flags = kind == PLAIN ? name->flags : 0;
	node->rrset_count = (uint16_t)types_of(name, kind, types);
	memcpy(p->at, name->name, name->bytes);
	p->at += name->bytes;
	align(p, 8);
	if (kind == PLAIN && has_chain(p->b)) {
		node->flags |= NODE_PROOF;
		take_zeroed(p, sizeof(struct proof));
	}
	struct rrset *rrset = take_zeroed(p, node->rrset_count * sizeof(*rrset));
	node->rrsets_ref = ref_of(p, rrset);
	for (unsigned i = 0; i < node->rrset_count; i++)
		put_rrset(p, &rrset[i], name, types[i], NULL);
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
static void settle_additionals(struct press *p, uint32_t node_ref)
{
	const struct node *node = image_at(p->image, node_ref);
	const struct rrset *rrset = image_at(p->image, node->rrsets_ref);
	for (unsigned i = 0; i < node->rrset_count; i++) {
		struct additional *more = (struct additional *)image_at(p->image, rrset[i].additional_ref);
		for (unsigned k = 0; k < rrset[i].additional_count; k++) {
			const struct draft_name *target = &p->b->names[more[k].node_ref];
			more[k].node_ref = target->glue_ref ? target->glue_ref : target->node_ref;
		}
	}
}

// --- how much room all that takes, when of compression only pointers to owner and apex are counted on ---

static uint64_t whole_units(uint64_t bytes)
{
	return (bytes + 7) & ~UINT64_C(7);
}

struct measure {
	const struct zone_builder *b;
	const struct draft_name *owner;
	const struct draft_record *record;
	uint64_t data;
	unsigned names, additionals;
};

static void measure_name(void *ctx, unsigned at, bool compressible)
{
	struct measure *m = ctx;
	const uint8_t *name = m->record->rdata + at;
	bool inside = builder_is_inside(m->b, name);
	m->additionals += inside && additional_name_at(m->record) == (int)at;
	m->names += compressible;
	if (!inside || !compressible)
		return;
	bool below_owner = may_point_to_owner(m->owner) && name_is_under(name, m->owner->name);
	unsigned known_bytes = below_owner ? m->owner->bytes : m->b->names[0].bytes;
	if (known_bytes > 1) // the root is no longer than a pointer
		m->data -= known_bytes - 2u;
}

static uint64_t measure_rrset(const struct zone_builder *b, const struct draft_name *name, uint16_t type)
{
	struct measure m = { .b = b, .owner = name };
	for (const struct draft_record *r = name->first; r; r = r->next) {
		if (r->ignored || draft_rrset_type(r) != type)
			continue;
		m.data += 12u + r->rdata_bytes;
		m.record = r;
		if (r->type == type)
			rdata_names(r->type, r->rdata, r->rdata_bytes, measure_name, &m);
	}
	return sizeof(struct rrset) + whole_units(m.data) + whole_units(m.names * sizeof(uint32_t)) +
		m.additionals * sizeof(struct additional);
}

static uint64_t measure_node(const struct zone_builder *b, const struct draft_name *name, enum kind kind)
{
	uint16_t types[DRAFT_TYPES_MAX];
	unsigned count = types_of(name, kind, types);
	uint64_t bytes = sizeof(struct node) + whole_units(name->bytes);
	if (kind == PLAIN && has_chain(b))
		bytes += sizeof(struct proof);
	for (unsigned i = 0; i < count; i++)
		bytes += measure_rrset(b, name, types[i]);
	return bytes;
}

static bool is_in_table(const struct draft_name *name)
{
	return !name->occluded && !name->hashed;
}

static uint32_t names_in_table(const struct zone_builder *b)
{
	uint32_t names = 0;
	for (uint32_t i = 0; i < b->name_count; i++)
		names += is_in_table(&b->names[i]);
	return names;
}

uint64_t zone_builder_image_bytes(const struct zone_builder *b, const struct zonefile_source *source)
{
	uint64_t bytes = sizeof(struct image) + NAME_MAX_BYTES + bucket_count(names_in_table(b)) * sizeof(struct image_bucket);
	for (uint32_t i = 0; i < b->name_count; i++) {
		const struct draft_name *name = &b->names[i];
		if (name->is_glue)
			bytes += measure_node(b, name, GLUE);
		if (is_in_table(name))
			bytes += measure_node(b, name, PLAIN);
	}
	for (uint32_t i = 0; i < b->nsec3.count; i++)
		bytes += measure_node(b, &b->names[b->nsec3.link[i].name], HASHED) + sizeof(struct nsec3_link);
	bytes += b->nsec.count * sizeof(struct nsec_link) + b->nsec3.salt_bytes;
	bytes += measure_rrset(b, &b->names[0], TYPE_SOA) + (source ? source->bytes : 0);
	return (bytes + 256 + 63) & ~UINT64_C(63); // and what aligning a few tables may take
}

static void put_nodes(struct press *p)
{
	struct image *image = p->image;
	for (uint32_t i = 0; i < p->b->name_count; i++) {
		struct draft_name *name = &p->b->names[i];
		if (i + PREFETCH_NAMES < p->b->name_count)
			image_prefetch(image, name[PREFETCH_NAMES].hash);
		name->node_ref = 0;
		if (name->is_glue)
			name->glue_ref = put_node(p, name, GLUE);
		if (!is_in_table(name))
			continue;
		name->node_ref = put_node(p, name, PLAIN);
		put_in_bucket(image, name->hash, name->node_ref);
		image->depths |= UINT64_C(1) << (name->labels < 63 ? name->labels : 63);
	}
	for (uint32_t i = 0; i < p->b->name_count; i++) {
		struct draft_name *name = &p->b->names[i];
		if (!is_in_table(name))
			continue;
		settle_additionals(p, name->node_ref);
		// 0 when the wildcard is occluded
		struct node *node = (struct node *)image_at(image, name->node_ref);
		node->wildcard_ref = name->wildcard ? p->b->names[name->wildcard].node_ref : 0;
	}
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
static uint32_t link_about(const struct press *p, const uint8_t *name, unsigned bytes, bool self)
{
	struct folded_name folded;
	bool matches;
	name_prepare(&folded, name, bytes, p->b->seed);
	if (p->image->nsec_count)
		return nsec_at_or_before(p->image, &folded);
	uint8_t hash[20];
	nsec3_hash(hash, folded.wire, bytes, p->b->nsec3.salt, p->b->nsec3.salt_bytes, p->b->nsec3.iterations);
	uint32_t link = nsec3_at_or_before(p->image, hash, &matches);
	return self && !matches ? 0 : link;
}

static void put_proofs(struct press *p)
{
	const struct nsec3_link *links = image_at(p->image, p->image->nsec3_ref);
	for (uint32_t i = 0; i < p->b->name_count; i++) {
		const struct draft_name *name = &p->b->names[i];
		if (!is_in_table(name))
			continue;
		const struct node *node = image_at(p->image, name->node_ref);
		struct proof *proof = (struct proof *)node_proof(p->image, node);
		if (node_rrset(p->image, node, TYPE_NSEC))
			proof->self_ref = name->node_ref;
		else if (p->b->own_link)
			proof->self_ref = p->b->own_link[i] ? links[p->b->own_link[i] - 1].node_ref : 0;
		else
			proof->self_ref = link_about(p, name->name, name->bytes, true);
		if (name->bytes > NAME_MAX_BYTES - 2 || (name->flags & (NODE_CUT | NODE_DNAME)))
			continue;
		uint8_t wildcard[NAME_MAX_BYTES] = { 1, '*' };
		memcpy(wildcard + 2, name->name, name->bytes);
		proof->wildcard_ref = link_about(p, wildcard, name->bytes + 2u, false);
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
	put_proofs(p);
}

static void put_negative(struct press *p)
{
	const struct draft_record *soa = draft_first(&p->b->names[0], TYPE_SOA);
	uint32_t minimum = load_be32(soa->rdata + soa->rdata_bytes - 4);
	uint32_t ttl = soa->ttl < minimum ? soa->ttl : minimum;
	align(p, 8);
	struct rrset *rrset = take_zeroed(p, sizeof(*rrset));
	p->image->negative_ref = ref_of(p, rrset);
	p->image->serial = load_be32(soa->rdata + soa->rdata_bytes - 20);
	put_rrset(p, rrset, &p->b->names[0], TYPE_SOA, &ttl);
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
	uint32_t names = names_in_table(b);
	const struct draft_name *apex = &b->names[0];
	*image = (struct image){ .magic = IMAGE_MAGIC, .format = IMAGE_FORMAT, .hash_seed = b->seed,
		.source_stamp = source ? source->stamp : 0, .loaded_at_s = loaded_at_s,
		.records = (uint32_t)b->record_count, .names = names, .bucket_count = bucket_count(names),
		.apex_labels = apex->labels, .apex_bytes = apex->bytes,
		.is_signed = has_chain(b) };
	memcpy(image->apex, apex->name, apex->bytes);
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
