// SPDX-License-Identifier: BSD-3-Clause
// The rules that only the whole zone can break.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "builder.h"
#include "notes.h"
#include "team.h"

#define NOT_FOUND UINT32_MAX
#define QUADRATIC_MAX 32 // RRsets up to this size are compared pair by pair
#define NAMES_PER_PART 8192 // of those that one thread checks at a time

// Some names in their turn, and where to say what is wrong with them.
struct part {
	struct zone_builder *b;
	struct report *report;
	uint32_t from, to;
};

// An error or a warning at a record: severity, the record, the name it is about, and the sentence.
static void tell(const struct part *part, enum severity severity, const struct draft_record *record,
	const struct draft_name *name, const char *sentence)
{
	char text[NAME_TEXT_BYTES];
	report_at(part->report, severity, builder_file(part->b, record), builder_line(part->b, record), 1, "%s: %s",
		draft_text(part->b, name, text), sentence);
}

static bool same_data(const struct draft_record *a, const struct draft_record *b)
{
	return a->type == b->type && a->rdata_bytes == b->rdata_bytes &&
		memcmp(a->rdata, b->rdata, a->rdata_bytes) == 0;
}

struct listed {
	struct draft_record *record;
	unsigned place;
};

static int compare_records(const void *a, const void *b)
{
	const struct listed *i = a, *k = b;
	const struct draft_record *x = i->record, *y = k->record;
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	unsigned common = x->rdata_bytes < y->rdata_bytes ? x->rdata_bytes : y->rdata_bytes;
	int difference = memcmp(x->rdata, y->rdata, common);
	if (difference || x->rdata_bytes != y->rdata_bytes)
		return difference ? difference : x->rdata_bytes - y->rdata_bytes;
	return i->place < k->place ? -1 : 1;
}

static void ignore_twins_of_many(struct draft_name *name, unsigned count)
{
	struct listed *all = malloc(count * sizeof(*all));
	if (!all)
		return; // twins are harmless
	unsigned i = 0;
	for (struct draft_record *r = name->first; r; r = r->next, i++)
		all[i] = (struct listed){ r, i };
	qsort(all, count, sizeof(*all), compare_records);
	for (i = 1; i < count; i++)
		all[i].record->ignored = same_data(all[i].record, all[i - 1].record);
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
static void align_ttls(const struct part *part, const struct draft_name *name)
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
			tell(part, SEVERITY_WARNING, r, name, "TTL differs within the RRset; that of its first record is used");
			r->ttl = seen[i].ttl;
		}
	}
}

// Bounds of our own, far above what a message could carry. The records stand in the order of their RRsets.
static void check_counts(const struct part *part, const struct draft_name *name)
{
	unsigned types = 0, records = 0;
	uint16_t last = 0;
	for (const struct draft_record *r = name->first; r; r = r->next) {
		uint16_t type = draft_rrset_type(r);
		bool is_new = r == name->first || type != last;
		records = is_new ? 1 : records + 1;
		types += is_new;
		last = type;
		if (types <= DRAFT_TYPES_MAX && records <= DRAFT_RECORDS_MAX)
			continue;
		tell(part, SEVERITY_ERROR, r, name,
			types > DRAFT_TYPES_MAX ? "more than 256 types at one name" : "more than 32767 records in one RRset");
		return;
	}
}

// RFC 1034 3.6.2, RFC 2181 10.1, RFC 4034 2.1, RFC 6672 2.4.
static void check_aliases(const struct part *part, const struct draft_name *name)
{
	const struct draft_record *cname = draft_first(name, TYPE_CNAME), *dname = draft_first(name, TYPE_DNAME);
	if (!cname && !dname)
		return;
	for (const struct draft_record *r = name->first; r; r = r->next) {
		if (r->ignored || r == cname || r == dname)
			continue;
		if (r->type == TYPE_CNAME)
			tell(part, SEVERITY_ERROR, r, name, "a second CNAME");
		else if (r->type == TYPE_DNAME)
			tell(part, SEVERITY_ERROR, r, name, "a second DNAME");
		else if (cname && r->type != TYPE_RRSIG && r->type != TYPE_NSEC && r->type != 25)
			tell(part, SEVERITY_ERROR, r, name, "other data beside a CNAME");
	}
	if (cname && dname)
		tell(part, SEVERITY_ERROR, dname, name, "a DNAME beside a CNAME");
}

static void check_soa(struct zone_builder *b)
{
	const struct part apex = { .b = b, .report = b->report };
	const struct part *part = &apex;
	unsigned count = 0;
	char text[NAME_TEXT_BYTES];
	for (const struct draft_record *r = b->names[0].first; r; r = r->next) {
		if (r->type == TYPE_SOA && !r->ignored && count++)
			tell(part, SEVERITY_ERROR, r, &b->names[0], "a second SOA");
	}
	const char *file = b->file_count ? b->files[0].path : "zone";
	draft_text(b, &b->names[0], text);
	if (!count)
		report_at(b->report, SEVERITY_ERROR, file, 0, 0, "%s: no SOA record at the apex", text);
	if (!draft_first(&b->names[0], TYPE_NS))
		report_at(b->report, SEVERITY_ERROR, file, 0, 0, "%s: no NS record at the apex", text);
}

static void classify(struct draft_name *name, bool is_apex)
{
	bool is_wildcard = name->own[0] == 1 && name->own[1] == '*';
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
static bool is_below_cut(const struct zone_builder *b, const struct draft_name *name)
{
	while (name != b->names) {
		name = &b->names[name->parent];
		if (name->flags & (NODE_CUT | NODE_DNAME))
			return true;
	}
	return false;
}

static void occlude(const struct part *part, struct draft_name *name)
{
	name->occluded = is_below_cut(part->b, name);
	for (struct draft_record *r = name->first; r; r = r->next) {
		if (r->ignored || r->type == TYPE_RRSIG)
			continue;
		if (name->occluded && !draft_is_address(r->type)) {
			tell(part, SEVERITY_WARNING, r, name, "hidden below a zone cut or DNAME: ignored");
			r->ignored = true;
		} else if (!name->occluded && (name->flags & NODE_CUT) && !belongs_at_cut(r->type)) {
			tell(part, SEVERITY_WARNING, r, name, "hidden by the delegation at this name: ignored");
			r->ignored = true;
		} else if (r->type == TYPE_DS && !(name->flags & NODE_CUT)) {
			tell(part, SEVERITY_WARNING, r, name, "a DS without a delegation at this name"); // RFC 4035 2.4
		}
	}
}

// Finds the addresses that referrals need; says which in-zone name servers have none.
static void find_glue(const struct part *part, const struct draft_name *name)
{
	struct zone_builder *b = part->b;
	for (const struct draft_record *r = name->first; r; r = r->next) {
		if (r->type != TYPE_NS || r->ignored || !builder_is_inside(b, r->rdata))
			continue;
		uint32_t index = builder_find(b, r->rdata);
		if (index == NOT_FOUND) {
			const struct draft_name *encloser = &b->names[builder_encloser(b, r->rdata)];
			// Below another cut somebody else may know the address; a wildcard may give one.
			bool elsewhere = encloser->occluded || (encloser->flags & NODE_CUT);
			if ((!elsewhere || encloser == name) && !encloser->wildcard)
				tell(part, SEVERITY_WARNING, r, name, "the name server has no address in this zone");
			continue;
		}
		struct draft_name *target = &b->names[index];
		if (target->occluded || (target->flags & NODE_CUT)) {
			if (target->has_address)
				atomic_store_explicit(&target->glue_ref, GLUE_WANTED, memory_order_relaxed);
		}
		if (!target->has_address)
			tell(part, SEVERITY_WARNING, r, name, target->flags & NODE_CNAME ?
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

// What is equal stays in its order: `a` came before `b`.
static struct draft_record *merge(struct draft_record *a, struct draft_record *b)
{
	struct draft_record *first, **end = &first;
	while (a && b) {
		struct draft_record **less = draft_rrset_type(b) < draft_rrset_type(a) ? &b : &a;
		*end = *less;
		end = &(*less)->next;
		*less = *end;
	}
	*end = a ? a : b;
	return first;
}

static bool is_sorted(const struct draft_record *r)
{
	for (; r && r->next; r = r->next) {
		if (draft_rrset_type(r->next) < draft_rrset_type(r))
			return false;
	}
	return true;
}

// From here on the RRsets of a name stand one behind the other, in the order of their types, RRSIGs within what they sign.
static void sort_by_type(struct draft_name *name)
{
	struct draft_record *run[32] = { NULL }, *left = name->first, *sorted = NULL; // run[i]: 2^i records or none
	if (is_sorted(left))
		return;
	while (left) {
		struct draft_record *one = left;
		unsigned i = 0;
		left = left->next;
		one->next = NULL;
		for (; run[i]; i++) {
			one = merge(run[i], one);
			run[i] = NULL;
		}
		run[i] = one;
	}
	for (unsigned i = 0; i < 32; i++)
		sorted = merge(run[i], sorted);
	name->first = sorted;
}

// --- the walks over all names ---

static void check_each(const struct part *part)
{
	for (uint32_t i = part->from; i < part->to; i++) {
		struct draft_name *name = &part->b->names[i];
		turn_round(name);
		ignore_twins(name);
		align_ttls(part, name);
		check_aliases(part, name);
		sort_by_type(name);
		check_counts(part, name);
		classify(name, i == 0);
		const struct draft_record *soa = i ? draft_first(name, TYPE_SOA) : NULL;
		if (soa)
			tell(part, SEVERITY_ERROR, soa, name, "an SOA record below the apex");
	}
}

static void occlude_each(const struct part *part)
{
	for (uint32_t i = part->from; i < part->to; i++) {
		if (i)
			occlude(part, &part->b->names[i]);
	}
}

static void find_glue_of_each(const struct part *part)
{
	for (uint32_t i = part->from; i < part->to; i++) {
		if (!part->b->names[i].occluded)
			find_glue(part, &part->b->names[i]);
	}
}

struct walk {
	struct zone_builder *b;
	void (*visit)(const struct part *);
	struct notes notes[TEAM_SLOTS_MAX];
	enum status status;
};

static void run_part(void *ctx, unsigned number, unsigned thread)
{
	(void)thread;
	struct walk *walk = ctx;
	struct notes *notes = &walk->notes[number % team_slots(walk->b->threads)];
	uint32_t from = number * NAMES_PER_PART, left = walk->b->name_count - from;
	notes_begin(notes, walk->b->report);
	const struct part part = { walk->b, &notes->report, from, from + (left < NAMES_PER_PART ? left : NAMES_PER_PART) };
	walk->visit(&part);
}

static bool tell_part(void *ctx, unsigned number)
{
	struct walk *walk = ctx;
	walk->status = notes_tell(&walk->notes[number % team_slots(walk->b->threads)], walk->b->report, 0);
	return walk->status == ST_OK;
}

// All names, by several threads; what they have to say comes in the order of the names. ST_NO_MEMORY.
static enum status walk_names(struct zone_builder *b, void (*visit)(const struct part *))
{
	if (b->threads == 1 || b->name_count <= NAMES_PER_PART) { // as most zones are
		visit(&(struct part){ b, b->report, 0, b->name_count });
		return ST_OK;
	}
	struct walk walk = { .b = b, .visit = visit };
	const struct team_work work = { (b->name_count + NAMES_PER_PART - 1) / NAMES_PER_PART, run_part, tell_part };
	team_run(b->threads, &work, &walk);
	for (unsigned i = 0; i < TEAM_SLOTS_MAX; i++)
		notes_free(&walk.notes[i]);
	return walk.status;
}

static enum status check_all(struct zone_builder *b)
{
	enum status status = walk_names(b, check_each);
	check_soa(b);
	if (status == ST_OK)
		status = walk_names(b, occlude_each);
	if (status == ST_OK)
		status = walk_names(b, find_glue_of_each);
	if (status == ST_OK)
		status = builder_make_chains(b);
	return status == ST_OK ? builder_check_signed(b) : status;
}

enum status zone_builder_check(struct zone_builder *b)
{
	if (builder_settle(b) != ST_OK)
		return ST_NO_MEMORY;
	struct report silent = { 0 }, *report = b->report;
	if (!b->report)
		b->report = &silent;
	unsigned before = b->report->errors;
	enum status status = check_all(b);
	if (status == ST_OK && b->report->errors > before)
		status = ST_INVALID;
	b->report = report;
	return status == ST_OK ? builder_lay_out(b) : status;
}
