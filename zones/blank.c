// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include <pollux/image.h>

static uint64_t whole(uint64_t bytes, uint64_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

struct places {
	uint64_t buckets, apex, source, end;
};

static struct places places_of(unsigned apex_bytes)
{
	struct places at;
	at.buckets = whole(sizeof(struct image) + apex_bytes, CACHE_LINE_BYTES);
	at.apex = at.buckets + sizeof(struct image_bucket);
	at.source = at.apex + whole(sizeof(struct node) + 1, 8); // of its own it has one octet
	at.end = whole(at.source + 1, CACHE_LINE_BYTES);
	return at;
}

uint64_t image_blank_bytes(unsigned apex_bytes)
{
	return places_of(apex_bytes).end;
}

void image_write_blank(void *room, const uint8_t *apex, unsigned apex_bytes, uint64_t hash_seed)
{
	struct folded_name name;
	struct places at = places_of(apex_bytes);
	struct image *image = memset(room, 0, at.end);
	name_prepare(&name, apex, apex_bytes, hash_seed);
	*image = (struct image){ .magic = IMAGE_MAGIC, .format = IMAGE_FORMAT, .bytes = at.end, .hash_seed = hash_seed,
		.names = 1, .bucket_count = 1, .buckets_ref = (uint32_t)(at.buckets / 8), .apex_ref = (uint32_t)(at.apex / 8),
		.source_ref = (uint32_t)(at.source / 8), .apex_bytes = name.bytes, .apex_labels = name.labels,
		.depths = UINT64_C(1) << (name.labels < 63 ? name.labels : 63) };
	memcpy(image->apex, name.wire, name.bytes);
	struct image_bucket *bucket = (struct image_bucket *)image_at(image, image->buckets_ref);
	bucket->tag[0] = image_tag(name.hash[name.labels]);
	bucket->node_ref[0] = image->apex_ref;
	struct node *node = (struct node *)image_at(image, image->apex_ref);
	node->name_bytes = name.bytes;
	node->labels = name.labels;
	node->flags = NODE_APEX;
	node->rrsets_ref = image->source_ref;
	node->own[0] = name.wire[0];
}
