// SPDX-License-Identifier: BSD-3-Clause
// Master files (RFC 1035 5, RFC 2308 4) -> records -> an image. No globals: any number of files may be
// read at once by different threads, each with its own objects.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/catalog.h>
#include <pollux/report.h>
#include <pollux/status.h>

// One record as the parser hands it on; everything is valid during the call only.
struct record {
	const uint8_t *owner; // wire, case as written
	const uint8_t *rdata; // wire, names uncompressed
	uint16_t type, class, rdata_bytes;
	uint32_t ttl; // seconds
	const char *file;
	unsigned line; // of the record's first token
};

// Called for each record in file order. Another status than ST_OK ends the reading with it.
typedef enum status record_handler(void *ctx, const struct record *);

// The files that one zone was read from: what a source stamp is made of.
struct zonefile_source {
	char *paths;	// NUL-ended paths one behind the other, the zone file first, an empty one at the end; malloc
	size_t bytes;	// of paths, the last NUL included
	uint64_t stamp; // mixes path, size, modification time and inode of each
};
void zonefile_source_free(struct zonefile_source *);

// Reads `path` with $ORIGIN, $TTL and $INCLUDE. `origin` is the zone's apex, a wire name. Every error is
// reported with file:line:column; the reader goes on with the next record. ST_OK: no errors. ST_SYNTAX:
// some. ST_NOT_FOUND, ST_SYSTEM: unreadable (also reported). `source` may be NULL.
CHECKED enum status zonefile_read(const char *path, const uint8_t *origin, record_handler *, void *ctx,
	struct report *, struct zonefile_source *source);
// The same from memory; `name` stands for the file in messages. $INCLUDE is refused.
CHECKED enum status zonefile_read_text(const char *text, size_t bytes, const char *name, const uint8_t *origin,
	record_handler *, void *ctx, struct report *);

// Collects the records of one zone, checks them as a whole, and writes the image.
struct zone_builder;
struct zone_builder *zone_builder_new(const uint8_t *apex, uint64_t hash_seed); // NULL: no memory
// A record_handler; ctx is the builder. Out-of-zone data is warned about and ignored.
enum status zone_builder_add(void *builder, const struct record *);
void zone_builder_set_report(struct zone_builder *, struct report *);
// The time that signatures are judged by, in seconds since 1970; without it their time is not judged.
void zone_builder_set_time(struct zone_builder *, uint64_t now_s);
// How many threads may work on this zone at once; 1 at first. What comes out is the same.
void zone_builder_set_threads(struct zone_builder *, unsigned threads);
// Reading ends with ST_REFUSED soon after *interrupted is true.
void zone_builder_set_interrupt(struct zone_builder *, const _Atomic bool *interrupted);
// zonefile_read() into the builder; a large file is read by several threads.
CHECKED enum status zone_builder_read(struct zone_builder *, const char *path, const uint8_t *origin, struct report *,
	struct zonefile_source *source);
// The zone-wide rules: one SOA, at the apex; NS at the apex; CNAME alone (RFC 1034 3.6.2, RFC 2181 10.1);
// glue; occluded names. In a signed zone also the chain and the signatures: these are warnings, as a zone whose
// signatures have run out still serves everybody who does not look at them. ST_INVALID: errors were reported. Call once, after the last record.
CHECKED enum status zone_builder_check(struct zone_builder *);
// No image of this zone is larger. After a good check, for the same source; walks over the whole zone.
uint64_t zone_builder_image_bytes(const struct zone_builder *, const struct zonefile_source *);
// Writes the image into `room` (64-aligned, that many octets). Equal zones give equal octets.
void zone_builder_write(struct zone_builder *, void *room, const struct zonefile_source *, uint64_t loaded_at_s);
void zone_builder_free(struct zone_builder *);

// All of the above for one zone: read, check, reserve, write, publish. On any error the catalog is
// untouched and the report says why.
CHECKED enum status zone_load(struct catalog *, const uint8_t *apex, const char *path, uint64_t now_s,
	struct report *);
// The stamp that paths stored as in zonefile_source have now; 0 when one of them is unreadable. An image
// whose stored stamp is still this one need not be made again.
uint64_t zonefile_stamp(const char *paths);
