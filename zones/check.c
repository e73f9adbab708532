// SPDX-License-Identifier: BSD-3-Clause
// The rules that only the whole zone can break.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "builder.h"

#define NOT_FOUND UINT32_MAX
#define QUADRATIC_MAX 32 // RRsets up to this size are compared pair by pair

// An error or a warning at a record: severity, the record, the name it is about, and the sentence.
static void tell(struct zone_builder *b, enum severity severity, const struct draft_record *record,
	const struct draft_name *name, const char *sentence)
{
	char text[NAME_TEXT_BYTES];
	if (b->report)
		report_at(b->report, severity, builder_file(b, record), record->line, 1, "%s: %s",
			name_to_text(text, name->name), sentence);
}

static bool same_data(const struct draft_record *a, const struct draft_record *b)
{
	return a->type == b->type && a->rdata_bytes == b->rdata_bytes &&
		memcmp(a->rdata, b->rdata, a->rdata_bytes) == 0;
}

static int compare_records(const void *a, const void *b)
{
	const struct draft_record *x = *(struct draft_record *const *)a, *y = *(struct draft_record *const *)b;
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	unsigned common = x->rdata_bytes < y->rdata_bytes ? x->rdata_bytes : y->rdata_bytes;
	int difference = memcmp(x->rdata, y->rdata, common);
	if (difference || x->rdata_bytes != y->rdata_bytes)
		return difference ? difference : x->rdata_bytes - y->rdata_bytes;
	return x->line < y->line ? -1 : 1;
}

static void ignore_twins_of_many(struct draft_name *name, unsigned count)
{
	struct draft_record **all = malloc(count * sizeof(struct draft_record *));
	if (!all)
		return; // twins are harmless
	unsigned i = 0;
	for (struct draft_record *r = name->first; r; r = r->next)
		all[i++] = r;
	qsort(all, count, sizeof(struct draft_record *), compare_records);
	for (i = 1; i < count; i++)
		all[i]->ignored = same_data(all[i], all[i - 1]);
	free(all);
}

// RFC 2181 5: an RRset holds no two equal records.
static void ignore_twins(struct draft_name *name)
{
	unsigned count = 0;
	for (struct draft_record *r = name->first; r; r = r->next)
		count++;
	if (count > QUADRATIC_MAX) {
		ignore_twins_of_many(name, count);
		return;
	}
	for (struct draft_record *r = name->first; r; r = r->next) {
		for (struct draft_record *other = r->next; other; other = other->next) {
			if (same_data(r, other))
				other->ignored = true;
		}
	}
}

// RFC 2181 5.2: one TTL per RRset; the first one wins, as it does elsewhere in the field.
static void align_ttls(struct zone_builder *b, const struct draft_name *name)
{
	struct { uint16_t type; uint32_t ttl; } seen[16];
	unsigned count = 0;
	for (struct draft_record *r = name->first; r; r = r->next) {
		if (r->ignored || r->type == TYPE_RRSIG) // an RRSIG has the TTL of what it signs, RFC 4034 3
			continue;
		unsigned i = 0;
		while (i < count && seen[i].type != r->type)
			i++;
		if (i == count && count < 16) {
			seen[count].type = r->type;
			seen[count++].ttl = r->ttl;
		} else if (i < count && seen[i].ttl != r->ttl) {
			tell(b, SEVERITY_WARNING, r, name, "TTL differs within the RRset; that of its first record is used");
			r->ttl = seen[i].ttl;
		}
	}
}

// Bounds of our own, far above what a message could carry.
static void check_counts(struct zone_builder *b, const struct draft_name *name)
{
	struct { uint16_t type; unsigned records; } seen[DRAFT_TYPES_MAX];
	unsigned count = 0;
	for (const struct draft_record *r = name->first; r; r = r->next) {
		unsigned i = 0;
		uint16_t type = draft_rrset_type(r);
		while (i < count && seen[i].type != type)
			i++;
		if (i == DRAFT_TYPES_MAX) {
			tell(b, SEVERITY_ERROR, r, name, "more than 256 types at one name");
			return;
		}
		if (i == count) {
			seen[count].type = type;
			seen[count++].records = 0;
		}
		if (++seen[i].records > DRAFT_RECORDS_MAX) {
			tell(b, SEVERITY_ERROR, r, name, "more than 32767 records in one RRset");
			return;
		}
	}
}

// RFC 1034 3.6.2, RFC 2181 10.1, RFC 4034 2.1, RFC 6672 2.4.
static void check_aliases(struct zone_builder *b, const struct draft_name *name)
{
	const struct draft_record *cname = draft_first(name, TYPE_CNAME), *dname = draft_first(name, TYPE_DNAME);
	if (!cname && !dname)
		return;
	for (const struct draft_record *r = name->first; r; r = r->next) {
		if (r->ignored || r == cname || r == dname)
			continue;
		if (r->type == TYPE_CNAME)
			tell(b, SEVERITY_ERROR, r, name, "a second CNAME");
		else if (r->type == TYPE_DNAME)
			tell(b, SEVERITY_ERROR, r, name, "a second DNAME");
		else if (cname && r->type != TYPE_RRSIG && r->type != TYPE_NSEC && r->type != 25)
			tell(b, SEVERITY_ERROR, r, name, "other data beside a CNAME");
	}
	if (cname && dname)
		tell(b, SEVERITY_ERROR, dname, name, "a DNAME beside a CNAME");
}

static void check_soa(struct zone_builder *b)
{
	unsigned count = 0;
	char text[NAME_TEXT_BYTES];
	for (const struct draft_record *r = b->names[0].first; r; r = r->next) {
		if (r->type == TYPE_SOA && !r->ignored && count++)
			tell(b, SEVERITY_ERROR, r, &b->names[0], "a second SOA");
	}
	const char *file = b->file_count ? b->files[0] : "zone";
	name_to_text(text, b->names[0].name);
	if (!count && b->report)
		report_at(b->report, SEVERITY_ERROR, file, 0, 0, "%s: no SOA record at the apex", text);
	if (!draft_first(&b->names[0], TYPE_NS) && b->report)
		report_at(b->report, SEVERITY_ERROR, file, 0, 0, "%s: no NS record at the apex", text);
}

static void classify(struct draft_name *name, bool is_apex)
{
	bool is_wildcard = name->name[0] == 1 && name->name[1] == '*';
	name->has_address = draft_first(name, TYPE_A) || draft_first(name, TYPE_AAAA);
	if (draft_first(name, TYPE_CNAME))
		name->flags |= NODE_CNAME;
	if (draft_first(name, TYPE_DNAME))
		name->flags |= NODE_DNAME;
	// A delegation owned by a wildcard has no meaning, RFC 4592 4.2: it stays plain data.
	if (!is_apex && !is_wildcard && draft_first(name, TYPE_NS))
		name->flags |= NODE_CUT;
}

static bool belongs_at_cut(uint16_t type)
{
	return type == TYPE_NS || type == TYPE_DS || type == TYPE_NSEC || draft_is_address(type);
}

// RFC 1034 4.2.1: beneath a cut only addresses matter, as glue; at the cut NS, DS (RFC 4035 2.4), NSEC.
// Beneath a DNAME nothing exists, RFC 6672 2.4.
static void occlude(struct zone_builder *b, struct draft_name *name)
{
	const struct draft_name *parent = &b->names[name->parent];
	name->occluded = parent->occluded || (parent->flags & (NODE_CUT | NODE_DNAME));
	for (struct draft_record *r = name->first; r; r = r->next) {
		if (r->ignored || r->type == TYPE_RRSIG)
			continue;
		if (name->occluded && !draft_is_address(r->type)) {
			tell(b, SEVERITY_WARNING, r, name, "hidden below a zone cut or DNAME: ignored");
			r->ignored = true;
		} else if (!name->occluded && (name->flags & NODE_CUT) && !belongs_at_cut(r->type)) {
			tell(b, SEVERITY_WARNING, r, name, "hidden by the delegation at this name: ignored");
			r->ignored = true;
		} else if (r->type == TYPE_DS && !(name->flags & NODE_CUT)) {
			tell(b, SEVERITY_WARNING, r, name, "a DS without a delegation at this name"); // RFC 4035 2.4
		}
	}
}

// Finds the addresses that referrals need; says which in-zone name servers have none.
static void find_glue(struct zone_builder *b, const struct draft_name *name)
{
	for (const struct draft_record *r = name->first; r; r = r->next) {
		if (r->type != TYPE_NS || r->ignored || !builder_is_inside(b, r->rdata))
			continue;
		uint32_t index = builder_find(b, r->rdata);
		if (index == NOT_FOUND) {
			const struct draft_name *encloser = &b->names[builder_encloser(b, r->rdata)];
			// Below another cut somebody else may know the address; a wildcard may give one.
			bool elsewhere = encloser->occluded || (encloser->flags & NODE_CUT);
			if ((!elsewhere || encloser == name) && !encloser->wildcard)
				tell(b, SEVERITY_WARNING, r, name, "the name server has no address in this zone");
			continue;
		}
		struct draft_name *target = &b->names[index];
		if (target->occluded || (target->flags & NODE_CUT)) {
			target->is_glue = target->has_address;
		}
		if (!target->has_address)
			tell(b, SEVERITY_WARNING, r, name, target->flags & NODE_CNAME ?
				"the name server is an alias (RFC 2181 10.3)" : "the name server has no address in this zone");
	}
}

// Records were pushed to the front of their lists; from here on they stand in the order of the file.
static void turn_round(struct draft_name *name)
{
	struct draft_record *turned = NULL;
	for (struct draft_record *r = name->first, *next; r; r = next) {
		next = r->next;
		r->next = turned;
		turned = r;
	}
	name->first = turned;
}

enum status zone_builder_check(struct zone_builder *b)
{
	if (builder_settle(b) != ST_OK)
		return ST_NO_MEMORY;
	unsigned before = b->report ? b->report->errors : 0;
	struct report silent = { 0 };
	if (!b->report)
		b->report = &silent;
	for (uint32_t i = 0; i < b->name_count; i++) {
		struct draft_name *name = &b->names[i];
		turn_round(name);
		ignore_twins(name);
		align_ttls(b, name);
		check_aliases(b, name);
		check_counts(b, name);
		classify(name, i == 0);
		const struct draft_record *soa = i ? draft_first(name, TYPE_SOA) : NULL;
		if (soa)
			tell(b, SEVERITY_ERROR, soa, name, "an SOA record below the apex");
	}
	check_soa(b);
	for (uint32_t i = 1; i < b->name_count; i++)
		occlude(b, &b->names[i]);
	for (uint32_t i = 0; i < b->name_count; i++) {
		if (!b->names[i].occluded)
			find_glue(b, &b->names[i]);
	}
	if (builder_make_chains(b) != ST_OK || builder_check_signed(b) != ST_OK)
		return ST_NO_MEMORY;
	bool failed = b->report->errors > before;
	if (b->report == &silent)
		b->report = NULL;
	return failed ? ST_INVALID : ST_OK;
}
