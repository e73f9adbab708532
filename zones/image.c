// SPDX-License-Identifier: BSD-3-Clause
#include <pollux/bytes.h>
#include <pollux/image.h>
#include <pollux/rrtype.h>

#include "bucket.h"
#include "denial.h"

static bool is_at(const struct image *image, const struct node *node, const struct folded_name *name, unsigned depth)
{
	unsigned at = name->label_at[depth];
	return image_node_is(image, node, name->wire + at, name->bytes - at);
}

// The first node of the bucket or the ones behind it with that tag; `name` NULL: whatever its name is.
static inline const struct node *search(const struct image *image, uint64_t hash, const struct folded_name *name,
	unsigned depth)
{
	const struct image_bucket *buckets = image_at(image, image->buckets_ref);
	uint32_t tag = image_tag(hash), index = image_bucket_index(image, hash);
	for (;;) {
		const struct image_bucket *bucket = &buckets[index];
		for (unsigned slots = slots_with(bucket, tag); slots; slots &= slots - 1) {
			const struct node *node = image_at(image, bucket->node_ref[__builtin_ctz(slots)]);
			if (!name || is_at(image, node, name, depth))
				return node;
		}
		if (bucket->tag[7] == 0) // slots are filled from the left
			return NULL;
		if (++index == image->bucket_count)
			index = 0;
	}
}

static bool is_deep(const struct image *image, const struct folded_name *name)
{
	return name->labels > image->apex_labels + 1u;
}

const struct node *image_probe(const struct image *image, const struct folded_name *name)
{
	const struct node *node = search(image, name->hash[name->labels], NULL, 0);
	if (!node && is_deep(image, name))
		node = search(image, name->hash[name->labels - 1], NULL, 0);
	return node;
}

const struct node *image_find(const struct image *image, const struct folded_name *name, unsigned depth)
{
	return search(image, name->hash[depth], name, depth);
}

static bool depth_is_used(const struct image *image, unsigned depth)
{
	return image->depths >> (depth < 63 ? depth : 63) & 1;
}

// What was probed is the name one label up, and was not found under the tag of the name itself.
static bool is_parent(const struct image *image, const struct folded_name *name, const struct node *probed)
{
	unsigned depth = name->labels - 1u;
	return probed && is_at(image, probed, name, depth) && image_tag(name->hash[depth]) != image_tag(name->hash[name->labels]);
}

// RFC 4592 3.3.1: the longest existing ancestor of at most `depth` labels. Names below a cut are not in the table, so a cut
// above the name is its closest encloser here.
static const struct node *closest_encloser(const struct image *image, const struct folded_name *name, unsigned depth)
{
	for (; depth > image->apex_labels; depth--) {
		const struct node *node = depth_is_used(image, depth) ? image_find(image, name, depth) : NULL;
		if (node)
			return node;
	}
	return image_at(image, image->apex_ref);
}

// What stands for a name that is not there.
static struct image_hit hit_below(const struct image *image, const struct node *encloser)
{
	struct image_hit hit = { .match = IMAGE_NO_NAME, .node = encloser, .encloser = encloser };
	if (encloser->flags & NODE_CUT) {
		hit.match = IMAGE_DELEGATION;
	} else if (encloser->flags & NODE_DNAME) {
		hit.match = IMAGE_DNAME; // RFC 6672 3.2
	} else if (encloser->wildcard_ref) {
		hit.match = IMAGE_WILDCARD;
		hit.node = image_at(image, encloser->wildcard_ref);
	}
	return hit;
}

static struct image_hit hit_at(const struct node *node)
{
	return (struct image_hit){ node->flags & NODE_CUT ? IMAGE_DELEGATION : IMAGE_EXACT, node, node };
}

struct image_hit image_lookup(const struct image *image, const struct folded_name *name)
{
	return image_lookup_from(image, name, image_probe(image, name));
}

struct image_hit image_lookup_from(const struct image *image, const struct folded_name *name, const struct node *probed)
{
	unsigned labels = name->labels;
	if (!probed) // nor is there a parent, deep in the zone
		return hit_below(image, closest_encloser(image, name, labels - 1u - is_deep(image, name)));
	if (image_node_is(image, probed, name->wire, name->bytes))
		return hit_at(probed);
	if (is_deep(image, name) && is_parent(image, name, probed))
		return hit_below(image, probed);
	const struct node *node = image_find(image, name, labels); // two names have the same tag
	return node ? hit_at(node) : hit_below(image, closest_encloser(image, name, labels - 1u));
}

// --- taking an image over: nothing in it is believed ---

#define WAITING_MAX 64
#define FETCH_BUCKETS 4

// Nodes lie anywhere: a check that waited for each would take a large image longer than reading its file. So they are
// fetched some buckets at once, and those that others refer to are collected and looked at together.
struct checker {
	const uint8_t *base;
	uint64_t bytes;
	const struct image *image;
	struct waiting {
		struct helper {
			uint32_t ref;
			bool is_target; // of an additional entry: only its addresses are taken
		} helper[WAITING_MAX];
		unsigned count;
	} *waiting;
};

// `count` things of `size` octets at a ref lie inside.
static bool inside(const struct checker *c, uint32_t ref, uint64_t count, uint64_t size)
{
	uint64_t at = (uint64_t)ref * 8;
	if (count == 0)
		return true;
	return at >= sizeof(struct image) && at <= c->bytes && count <= (c->bytes - at) / size;
}

// Owner pointer, type, class, TTL, RDLENGTH: whole records, exactly `bytes` and `count` of them.
static bool records_are_sound(const uint8_t *at, uint64_t bytes, unsigned count, uint16_t type)
{
	while (count--) {
		if (bytes < 12 || load_be16(at) != 0xc00c || load_be16(at + 2) != type)
			return false;
		uint64_t length = 12u + load_be16(at + 10);
		if (length > bytes)
			return false;
		at += length;
		bytes -= length;
	}
	return bytes == 0;
}

// Whose RRset it is, and where its names may point to.
struct owner {
	bool is_wildcard;
	unsigned bytes;
};

static struct owner owner_of(const struct checker *c, const struct node *node)
{
	bool is_below = node->name_bytes > c->image->apex_bytes;
	return (struct owner){ is_below && node->own[0] == 1 && node->own[1] == '*', node->name_bytes };
}

// Octets of the name at `at` of an RRset, its pointers followed; 0: it leaves the data, runs in a circle, or is too long.
static unsigned length_with_pointers(const struct checker *c, const struct owner *owner, const uint8_t *wire, uint32_t end,
	uint32_t at)
{
	unsigned bytes = 0;
	while (at < end && bytes <= NAME_MAX_BYTES) {
		if (wire[at] <= LABEL_MAX_BYTES) {
			bytes += wire[at] + 1u;
			if (wire[at] == 0)
				return bytes <= NAME_MAX_BYTES ? bytes : 0;
			at += wire[at] + 1u;
			continue;
		}
		if (wire[at] < 0xc0 || end - at < 2)
			return 0;
		uint32_t target = load_be16(wire + at) & 0x3fff;
		if (target <= POINTS_TO_OWNER) {
			// RFC 4592 2.2.1: a wildcard's owner is longer in the answer.
			bool moves = target == POINTS_TO_OWNER && owner->is_wildcard;
			bytes += target == POINTS_TO_OWNER ? owner->bytes : c->image->apex_bytes;
			return !moves && bytes <= NAME_MAX_BYTES ? bytes : 0;
		}
		if (target < 12 || target >= at) // RFC 1035 4.1.4: to a prior occurrence, so that following pointers ends
			return 0;
		at = target;
	}
	return 0;
}

// In the order of the data, each inside the RDATA of one record, each the end of a name. After records_are_sound().
static bool fixups_are_sound(const struct checker *c, const struct rrset *rrset, const struct owner *owner)
{
	const uint8_t *wire = image_at(c->image, rrset->data_ref);
	const uint32_t *fixup = image_at(c->image, rrset->fixups_ref), *fixups_end = fixup + rrset->fixup_count;
	for (uint32_t at = 0; at < rrset->bytes && fixup < fixups_end;) {
		uint32_t end = at + 12u + load_be16(wire + at + 10), free_at = at + 12;
		for (; fixup < fixups_end && *fixup < end; fixup++) {
			if (*fixup < free_at || end - *fixup < 2 || wire[*fixup] < 0xc0 ||
				!length_with_pointers(c, owner, wire, rrset->bytes, *fixup))
				return false;
			free_at = *fixup + 2;
		}
		at = end;
	}
	return fixup == fixups_end;
}

// Answering follows the target of an alias in the message: one whole name, whose only pointer is a fixup, the last two
// octets, to the owner or the apex.
static bool alias_is_sound(const struct checker *c, const struct rrset *rrset, const struct owner *owner)
{
	const uint8_t *wire = image_at(c->image, rrset->data_ref);
	uint32_t at = 12, end = rrset->bytes - 2u * rrset->fixup_count;
	if (rrset->count != 1 || rrset->fixup_count > 1 || !length_with_pointers(c, owner, wire, rrset->bytes, 12))
		return false;
	if (rrset->fixup_count && (load_be16(wire + end) & 0x3fff) > POINTS_TO_OWNER)
		return false;
	while (at < end && wire[at] && wire[at] <= LABEL_MAX_BYTES)
		at += wire[at] + 1u;
	if (rrset->fixup_count)
		return at == end && *(const uint32_t *)image_at(c->image, rrset->fixups_ref) == end;
	return at + 1 == end && wire[at] == 0;
}

static bool rrset_is_sound(const struct checker *c, const struct rrset *rrset, const struct owner *owner)
{
	uint64_t data = (uint64_t)rrset->bytes + rrset->sig_bytes;
	if (!rrset->count || data > UINT32_MAX || !inside(c, rrset->data_ref, data, 1) ||
		!inside(c, rrset->fixups_ref, rrset->fixup_count, 4) ||
		!inside(c, rrset->additional_ref, rrset->additional_count, sizeof(struct additional)))
		return false;
	const uint8_t *wire = image_at(c->image, rrset->data_ref);
	if (!records_are_sound(wire, rrset->bytes, rrset->count, rrset->type) ||
		!records_are_sound(wire + rrset->bytes, rrset->sig_bytes, rrset->sig_count, TYPE_RRSIG) ||
		!fixups_are_sound(c, rrset, owner))
		return false;
	if (rrset->type == TYPE_OPT || (rrset->type >= 249 && rrset->type <= 255)) // RFC 6895 3.1: not a zone's
		return false;
	// Addresses are added without a look at what would go with them.
	if ((rrset->type == TYPE_A || rrset->type == TYPE_AAAA) && (rrset->additional_count || rrset->fixup_count))
		return false;
	if (rrset->type == TYPE_SRV && rrset->fixup_count) // RFC 2782: its target is never compressed
		return false;
	return (rrset->type != TYPE_CNAME && rrset->type != TYPE_DNAME) || alias_is_sound(c, rrset, owner);
}

// Behind the NS records of a cut: addresses whose owners point to names in these, each a fixup.
static bool glue_is_sound(const struct checker *c, const struct node *node)
{
	const struct rrset *ns = node_rrset(c->image, node, TYPE_NS);
	if (!ns || ns->sig_bytes || !inside(c, ns->data_ref - 1u, 1, sizeof(struct glue)))
		return false;
	const struct glue *glue = image_glue(c->image, ns);
	uint64_t bytes = (uint64_t)ns->bytes + glue->bytes, at = ns->bytes;
	if (!inside(c, ns->data_ref, bytes, 1) || !inside(c, ns->fixups_ref, (uint64_t)ns->fixup_count + glue->count, 4))
		return false;
	const uint8_t *wire = image_at(c->image, ns->data_ref);
	const uint32_t *fixup = (const uint32_t *)image_at(c->image, ns->fixups_ref) + ns->fixup_count;
	const struct owner owner = owner_of(c, node);
	for (unsigned i = 0; i < glue->count; i++) {
		if (fixup[i] != at || bytes - at < 12 || wire[at] < 0xc0)
			return false;
		unsigned name_at = load_be16(wire + at) & 0x3fff, type = load_be16(wire + at + 2);
		if (name_at < 12 || (type != TYPE_A && type != TYPE_AAAA) || !length_with_pointers(c, &owner, wire, ns->bytes, name_at))
			return false;
		at += 12u + load_be16(wire + at + 10);
		if (at > bytes)
			return false;
	}
	return at == bytes;
}

static bool head_is_sound(const struct checker *c, uint32_t ref)
{
	if (!inside(c, ref, 1, sizeof(struct node)))
		return false;
	const struct image *image = c->image;
	const struct node *node = image_at(image, ref);
	if (node->name_bytes < image->apex_bytes || !inside(c, ref, 1, sizeof(struct node) + image_own_bytes(image, node)) ||
		!inside(c, node->rrsets_ref, node->rrset_count, sizeof(struct rrset)))
		return false;
	unsigned at = 0, labels = image->apex_labels, before = node->name_bytes - image->apex_bytes;
	for (; at < before && node->own[at] && node->own[at] <= LABEL_MAX_BYTES; at += node->own[at] + 1u)
		labels++;
	return at == before && labels == node->labels && node->own[at] == image->apex[0];
}

// A node that an answer takes addresses or a proof from, and nothing else. It may be looked at many times.
static bool helper_is_sound(const struct checker *c, const struct helper *helper)
{
	uint32_t ref = helper->ref;
	if (!inside(c, ref, 1, sizeof(struct node)))
		return false;
	const struct node *node = image_at(c->image, ref);
	bool nameless = helper->is_target && !node->name_bytes;
	if (nameless ? !inside(c, node->rrsets_ref, node->rrset_count, sizeof(struct rrset)) : !head_is_sound(c, ref))
		return false;
	const struct rrset *rrset = image_at(c->image, node->rrsets_ref);
	const struct owner owner = owner_of(c, node);
	for (unsigned i = 0; i < node->rrset_count; i++) {
		uint16_t type = rrset[i].type;
		if ((type == TYPE_A || type == TYPE_AAAA || type == TYPE_SRV || type == TYPE_NSEC || type == TYPE_NSEC3) &&
			!rrset_is_sound(c, &rrset[i], &owner))
			return false;
		if (nameless && type != TYPE_A && type != TYPE_AAAA)
			return false;
	}
	return true;
}

// The first octet of each node, read in a row so that the processor waits for all of them at once. Where the walk of
// the page tables is what takes long, a prefetch does not help.
static void fetch_nodes(const struct checker *c, const uint32_t *refs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (inside(c, refs[i], 1, 1))
			(void)*(const volatile uint8_t *)image_at(c->image, refs[i]);
	}
}

static bool waiting_are_sound(const struct checker *c)
{
	for (unsigned i = 0; i < c->waiting->count; i++)
		fetch_nodes(c, &c->waiting->helper[i].ref, 1);
	for (unsigned i = 0; i < c->waiting->count; i++) {
		if (!helper_is_sound(c, &c->waiting->helper[i]))
			return false;
	}
	c->waiting->count = 0;
	return true;
}

// False: one of those collected before is not sound.
static bool check_later(const struct checker *c, uint32_t ref, bool is_target)
{
	if (c->waiting->count == WAITING_MAX && !waiting_are_sound(c))
		return false;
	c->waiting->helper[c->waiting->count++] = (struct helper){ ref, is_target };
	return true;
}

static bool additionals_are_sound(const struct checker *c, const struct rrset *rrset)
{
	const struct additional *more = image_at(c->image, rrset->additional_ref);
	for (unsigned i = 0; i < rrset->additional_count; i++) {
		if (more[i].name_at >= rrset->bytes || !check_later(c, more[i].node_ref, rrset->type != TYPE_CNAME))
			return false;
	}
	return true;
}

static bool proof_is_sound(const struct checker *c, const struct node *node)
{
	const struct proof *proof = node_proof(c->image, node);
	return !proof || (inside(c, node->rrsets_ref - 1, 1, sizeof(*proof)) &&
		(!proof->self_ref || check_later(c, proof->self_ref, false)) &&
		(!proof->wildcard_ref || check_later(c, proof->wildcard_ref, false)));
}

static bool node_is_sound(const struct checker *c, uint32_t ref);

// It is called "*" below this name: longer, so that this ends.
static bool wildcard_is_sound(const struct checker *c, const struct node *node)
{
	if (!node->wildcard_ref)
		return true;
	if (!head_is_sound(c, node->wildcard_ref))
		return false;
	const struct node *wildcard = image_at(c->image, node->wildcard_ref);
	return wildcard->name_bytes == node->name_bytes + 2 && wildcard->own[0] == 1 && wildcard->own[1] == '*' &&
		memcmp(wildcard->own + 2, node->own, image_own_bytes(c->image, node)) == 0 && node_is_sound(c, node->wildcard_ref);
}

// A node that a question may be about.
static bool node_is_sound(const struct checker *c, uint32_t ref)
{
	if (!head_is_sound(c, ref))
		return false;
	const struct node *node = image_at(c->image, ref);
	const struct rrset *rrset = image_at(c->image, node->rrsets_ref);
	const struct owner owner = owner_of(c, node);
	for (unsigned i = 0; i < node->rrset_count; i++) {
		if ((i && rrset[i].type <= rrset[i - 1].type) || !rrset_is_sound(c, &rrset[i], &owner) ||
			!additionals_are_sound(c, &rrset[i]))
			return false;
	}
	return (!(node->flags & NODE_CNAME) || node_rrset(c->image, node, TYPE_CNAME)) &&
		(!(node->flags & NODE_DNAME) || node_rrset(c->image, node, TYPE_DNAME)) &&
		(!(node->flags & NODE_GLUE) || glue_is_sound(c, node)) &&
		depth_is_used(c->image, node->labels) && proof_is_sound(c, node) && wildcard_is_sound(c, node);
}

static bool buckets_are_sound(const struct checker *c)
{
	const struct image_bucket *bucket = image_at(c->image, c->image->buckets_ref);
	uint32_t names = 0, open = 0;
	for (uint32_t i = 0; i < c->image->bucket_count; i++, bucket++) {
		for (uint32_t k = i; i % FETCH_BUCKETS == 0 && k < i + FETCH_BUCKETS && k < c->image->bucket_count; k++)
			fetch_nodes(c, bucket[k - i].node_ref, 8);
		for (unsigned slot = 0; slot < 8; slot++) {
			if (!bucket->tag[slot])
				continue;
			if ((slot && !bucket->tag[slot - 1]) || !node_is_sound(c, bucket->node_ref[slot]))
				return false;
			names++;
		}
		open += bucket->tag[7] == 0;
	}
	return open && names == c->image->names; // without an open bucket a search would not end
}

static bool chains_are_sound(const struct checker *c)
{
	const struct image *image = c->image;
	if (!inside(c, image->nsec_ref, image->nsec_count, sizeof(struct nsec_link)) ||
		!inside(c, image->nsec3_ref, image->nsec3_count, sizeof(struct nsec3_link)) ||
		!inside(c, image->salt_ref, image->salt_bytes, 1) || image->nsec_skip > 8 ||
		image->iterations > NSEC3_ITERATIONS_MAX)
		return false;
	const struct nsec_link *nsec = image_at(image, image->nsec_ref);
	for (uint32_t i = 0; i < image->nsec_count; i++) {
		if (!check_later(c, nsec[i].node_ref, false))
			return false;
	}
	const struct nsec3_link *nsec3 = image_at(image, image->nsec3_ref);
	for (uint32_t i = 0; i < image->nsec3_count; i++) {
		if (!check_later(c, nsec3[i].node_ref, false))
			return false;
	}
	return true;
}

static bool paths_are_sound(const struct checker *c)
{
	if (!inside(c, c->image->source_ref, 1, 1))
		return false;
	const char *path = image_at(c->image, c->image->source_ref);
	const char *end = (const char *)c->base + c->bytes;
	while (path < end && *path) {
		path = memchr(path, '\0', (size_t)(end - path));
		if (!path)
			return false;
		path++;
	}
	return path < end;
}

enum status image_check(const void *at, size_t bytes)
{
	const struct image *image = at;
	if ((uintptr_t)at % 64 || bytes < sizeof(*image) || image->magic != IMAGE_MAGIC)
		return ST_CORRUPT;
	if (image->format != IMAGE_FORMAT)
		return ST_VERSION;
	if (image->bytes > bytes || image->bytes < sizeof(*image) || image->bytes % 64)
		return ST_CORRUPT;
	struct waiting waiting = { .count = 0 };
	struct checker c = { .base = at, .bytes = image->bytes, .image = image, .waiting = &waiting };
	uint64_t room = image->bytes - sizeof(*image);
	if (!image->apex_bytes || name_length(image->apex, room < NAME_MAX_BYTES ? (unsigned)room : NAME_MAX_BYTES) != image->apex_bytes ||
		name_labels(image->apex) != image->apex_labels || !image->bucket_count ||
		!inside(&c, image->buckets_ref, image->bucket_count, sizeof(struct image_bucket)) ||
		!buckets_are_sound(&c) || !chains_are_sound(&c) ||
		!paths_are_sound(&c))
		return ST_CORRUPT;
	if (!node_is_sound(&c, image->apex_ref) || !waiting_are_sound(&c) ||
		(!image_is_blank(image) && !inside(&c, image->negative_ref, 1, sizeof(struct rrset))))
		return ST_CORRUPT;
	const struct node *apex = image_at(image, image->apex_ref);
	const struct rrset *negative = image_at(image, image->negative_ref);
	const struct owner owner = owner_of(&c, apex);
	struct folded_name name;
	name_prepare(&name, image->apex, image->apex_bytes, image->hash_seed);
	if (image_find(image, &name, name.labels) != apex || !image_node_is(image, apex, name.wire, name.bytes))
		return ST_CORRUPT;
	bool sound = image_is_blank(image) ? image->names == 1 && apex->rrset_count == 0 && !image->is_signed :
		node_rrset(image, apex, TYPE_SOA) && negative->type == TYPE_SOA && negative->count == 1 &&
		rrset_is_sound(&c, negative, &owner);
	return sound ? ST_OK : ST_CORRUPT;
}
