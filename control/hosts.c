// SPDX-License-Identifier: BSD-3-Clause
// Step: the hosts files of the configuration. They are read in a thread, whenever one of them has changed,
// into a table that takes the former one's place as a whole.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/log.h>
#include <pollux/name.h>
#include <pollux/rrtype.h>

#include "background.h"
#include "chain.h"
#include "findings.h"
#include "hosts_table.h"
#include "learned.h"
#include "slices.h"
#include "watch.h"

#define CACHE_PIECE 64 // entries looked at between two looks at the clock

struct hosts {
	struct event_base *base;
	struct resolver *resolver;
	uint64_t seed;
	unsigned ttl_s;
	struct hosts_table *table; // NULL: no files, or not even an empty table found memory
	unsigned files;
	char **path;
	struct watch **watch;
	// The thread that reads, and what it works on, which is the event loop's again when it is done.
	struct background *background;
	bool again; // something has changed since it began
	_Atomic bool interrupted;
	struct hosts_table *fresh;
	struct findings findings;
	// What others said of the names of a fresh table goes out of the cache.
	struct slices *slices;
	bool forgetting;
	uint64_t position; // in the cache
};

// --- reading ---

static void read_files(void *ctx)
{
	struct hosts *h = ctx;
	h->fresh = hosts_table_new(h->seed);
	for (unsigned i = 0; h->fresh && i < h->files; i++) {
		enum status status =
			hosts_table_read(h->fresh, h->path[i], &h->findings.report, &h->interrupted);
		if (status != ST_NO_MEMORY && status != ST_CANCELLED)
			continue;
		hosts_table_free(h->fresh);
		h->fresh = NULL;
	}
}

static void log_findings(struct hosts *h)
{
	unsigned all = h->findings.report.errors + h->findings.report.warnings;
	for (unsigned i = 0; i < h->findings.lines; i++)
		log_warning("hosts: %s", h->findings.line[i]);
	if (all > h->findings.lines)
		log_warning("hosts: %u more lines like these", all - h->findings.lines);
	findings_clear(&h->findings);
}

static unsigned address_of_name(uint8_t *address, const uint8_t *name);

static bool holds(const void *state, const uint8_t *name)
{
	const struct hosts *h = state;
	struct host_address found[HOST_ADDRESSES_MAX];
	struct host_place place;
	uint8_t address[16];
	if (!h->table)
		return false;
	if (hosts_table_find(h->table, name, found))
		return true;
	unsigned length = address_of_name(address, name);
	return length && hosts_table_name_of(h->table, address, length, &place);
}

static bool forget_piece(void *ctx)
{
	struct hosts *h = ctx;
	struct cache *cache = learned_cache(learned_of(h->resolver));
	struct cache_entry entry;
	for (unsigned i = 0; cache && i < CACHE_PIECE; i++) {
		if (!cache_next(cache, &h->position, &entry))
			return false;
		if (holds(h, entry.key.name))
			cache_remove(cache, &entry.key);
	}
	return cache;
}

static void on_forgotten(void *ctx, bool finished)
{
	(void)finished;
	((struct hosts *)ctx)->forgetting = false;
}

static void forget_learned(struct hosts *h)
{
	h->position = CACHE_START;
	if (!h->forgetting && hosts_table_names(h->table))
		h->forgetting = slices_start(h->slices, forget_piece, on_forgotten, h) == ST_OK;
}

static void take_fresh(struct hosts *h)
{
	log_findings(h);
	if (!h->fresh) {
		log_error("hosts: no memory for the files; the former ones stay");
		return;
	}
	hosts_table_free(h->table);
	h->table = h->fresh;
	h->fresh = NULL;
	log_info("hosts: %u names, %u addresses", hosts_table_names(h->table),
		hosts_table_addresses(h->table));
	forget_learned(h);
}

static void start_reading(void *ctx)
{
	struct hosts *h = ctx;
	enum status status = background_start(h->background);
	h->again = status == ST_BUSY;
	if (status == ST_SYSTEM)
		log_error("hosts: no thread to read the files in; the former ones stay");
}

static void on_read(void *ctx)
{
	struct hosts *h = ctx;
	take_fresh(h);
	if (h->again)
		start_reading(h);
}

static void stop_reading(struct hosts *h)
{
	h->interrupted = true;
	bool was_reading = h->background && background_wait(h->background);
	h->interrupted = false;
	if (!was_reading)
		return;
	h->again = false;
	hosts_table_free(h->fresh);
	h->fresh = NULL;
	findings_clear(&h->findings);
}

// --- answering ---

// The last label of a reverse name, as a number below `limit` in that base; -1: it is none.
static int label_number(const uint8_t *label, unsigned base, unsigned limit)
{
	unsigned value = 0;
	for (unsigned i = 1; i <= label[0]; i++) {
		uint8_t c = fold_byte(label[i]);
		unsigned digit = c >= '0' && c <= '9'	? c - (unsigned)'0'
				 : c >= 'a' && c <= 'f' ? c - 'a' + 10u
							: 99u;
		if (digit >= base || label[0] > 3 || (i == 1 && digit == 0 && label[0] > 1))
			return -1;
		value = value * base + digit;
	}
	return value < limit ? (int)value : -1;
}

// "1.2.0.192.in-addr.arpa" (RFC 1035 3.5) or 32 nibbles under ip6.arpa (RFC 3596 2.5). Octets of the address;
// 0: none.
static unsigned address_of_name(uint8_t *address, const uint8_t *name)
{
	static const uint8_t under_ip4[] = "\7in-addr\4arpa", under_ip6[] = "\3ip6\4arpa";
	unsigned labels = name_labels(name);
	bool is_ip4 = labels == 6;
	if (!is_ip4 && labels != 34)
		return 0;
	memset(address, 0, 16);
	// The first label is the last part of the address.
	for (unsigned at = labels - 2; at--; name += name[0] + 1u) {
		int number = label_number(name, is_ip4 ? 10 : 16, is_ip4 ? 256 : 16);
		if (number < 0)
			return 0;
		if (is_ip4)
			address[at] = (uint8_t)number;
		else
			address[at / 2] |= (uint8_t)(at & 1 ? number : number << 4);
	}
	return name_equal(name, is_ip4 ? under_ip4 : under_ip6) ? (is_ip4 ? 4 : 16) : 0;
}

struct found {
	bool exists; // the name is in the files
	unsigned count;
	struct message_rr rr[HOST_ADDRESSES_MAX];
	struct host_address address[HOST_ADDRESSES_MAX];
};

static void add_record(struct found *f, const struct hosts *h, const uint8_t *owner, uint16_t type,
	const uint8_t *rdata, unsigned bytes)
{
	f->rr[f->count++] = (struct message_rr){ owner, rdata, h->ttl_s, type, CLASS_IN, (uint16_t)bytes };
}

static void find_addresses(struct found *f, const struct hosts *h, struct ask *ask, const uint8_t *name)
{
	uint16_t wanted = ask->query.type;
	unsigned count = hosts_table_find(h->table, name, f->address);
	for (unsigned i = 0; i < count; i++) {
		const struct host_address *a = &f->address[i];
		uint16_t type = a->length == 4 ? TYPE_A : TYPE_AAAA;
		f->exists = true;
		if (type != wanted && wanted != TYPE_ANY)
			continue;
		add_record(f, h, name, type, a->bytes, a->length);
		ask_note(ask, "%s:%u", a->place.file, a->place.line);
	}
}

static void find_pointer(struct found *f, const struct hosts *h, struct ask *ask, const uint8_t *name)
{
	uint8_t address[16];
	struct host_place place;
	unsigned length = address_of_name(address, name);
	const uint8_t *target = length ? hosts_table_name_of(h->table, address, length, &place) : NULL;
	if (!target)
		return;
	f->exists = true;
	if (ask->query.type != TYPE_PTR && ask->query.type != TYPE_ANY)
		return;
	add_record(f, h, name, TYPE_PTR, target, name_length(target, NAME_MAX_BYTES));
	ask_note(ask, "%s:%u", place.file, place.line);
}

// A name that is there without the type asked for: others may have that type, and if they do not, it is no
// error.
static enum outcome no_such_type(struct ask *ask)
{
	static const struct message nothing;
	static const struct verdict verdict = { 0, EDE_NONE };
	ask_note(ask, "the name is there, not this type");
	if (ask->target)
		return ask_keep_negative(ask, &nothing, &verdict);
	ask->name_exists = true;
	return PASS;
}

// RD=0 is about what this server knows by authority or has learned (RFC 1035 4.1.1): neither is so here.
static enum outcome from_hosts(struct ask *ask, void *state)
{
	const struct hosts *h = state;
	static const struct verdict verdict = { 0, EDE_NONE };
	struct found found;
	if (!h->table || ask->query.class != CLASS_IN || !(ask->query.flags & FLAG_RD))
		return PASS;
	found.exists = false;
	found.count = 0;
	const uint8_t *name = ask_name(ask);
	find_addresses(&found, h, ask, name);
	find_pointer(&found, h, ask, name);
	if (!found.count)
		return found.exists ? no_such_type(ask) : PASS;
	const struct message m = { .rr = found.rr,
		.section_at = { 0, found.count, found.count, found.count } };
	return ask_reply(ask, &m, &verdict);
}

// --- the configuration ---

static void forget_files(struct hosts *h)
{
	stop_reading(h);
	for (unsigned i = 0; i < h->files; i++) {
		watch_free(h->watch[i]);
		free(h->path[i]);
	}
	free(h->watch);
	free(h->path);
	h->watch = NULL;
	h->path = NULL;
	h->files = 0;
}

static bool follow_files(struct hosts *h, char *const *path, unsigned count)
{
	h->path = calloc(count + 1u, sizeof(*h->path));
	h->watch = calloc(count + 1u, sizeof(struct watch *));
	for (; h->path && h->watch && h->files < count; h->files++) {
		unsigned i = h->files;
		h->path[i] = strdup(path[i]);
		h->watch[i] = h->path[i] ? watch_new(h->base, path[i], start_reading, h) : NULL;
		if (!h->watch[i]) {
			free(h->path[i]);
			return false;
		}
	}
	return h->path && h->watch;
}

static bool same_files(const struct hosts *h, const struct config *config)
{
	if (h->files != config->hosts_file_count)
		return false;
	for (unsigned i = 0; i < h->files; i++) {
		if (strcmp(h->path[i], config->hosts_files[i]) != 0)
			return false;
	}
	return true;
}

static void reconfigure(void *state, const struct config *config)
{
	struct hosts *h = state;
	h->ttl_s = config->hosts_ttl_s;
	if (same_files(h, config)) {
		if (h->files)
			start_reading(
				h); // who reloads may not want to wait for a file system that tells nothing
		return;
	}
	forget_files(h);
	if (!follow_files(h, config->hosts_files, config->hosts_file_count))
		log_error("hosts: no memory to follow all of the files");
	if (h->files) {
		start_reading(h);
		return;
	}
	hosts_table_free(h->table);
	h->table = NULL;
}

static void hosts_free(void *state)
{
	struct hosts *h = state;
	forget_files(h);
	slices_free(h->slices);
	background_free(h->background);
	hosts_table_free(h->table);
	free(h);
}

// The first read is waited for, so that no question of the start goes to others in its place.
static void *hosts_new(struct event_base *base, struct resolver *r, const struct config *config)
{
	struct hosts *h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->base = base;
	h->resolver = r;
	h->slices = slices_new(base);
	h->seed = catalog_seed(r->catalog);
	h->ttl_s = config->hosts_ttl_s;
	findings_init(&h->findings);
	h->background = background_new(base, "hosts", read_files, on_read, h);
	if (!h->slices || !h->background || !follow_files(h, config->hosts_files, config->hosts_file_count)) {
		hosts_free(h);
		return NULL;
	}
	if (h->files) {
		read_files(h);
		take_fresh(h);
	}
	return h;
}

static void describe(const void *state, char *to, size_t room)
{
	const struct hosts *h = state;
	if (h->table)
		snprintf(to, room, "names: %u, addresses: %u, files: %u", hosts_table_names(h->table),
			hosts_table_addresses(h->table), h->files);
}

static bool hosts_in_use(const void *state)
{
	return ((const struct hosts *)state)->files > 0;
}

const struct step_kind hosts_step = {
	.name = "hosts",
	.help = "the hosts files",
	.new = hosts_new,
	.reconfigure = reconfigure,
	.free = hosts_free,
	.in_use = hosts_in_use,
	.run = from_hosts,
	.describe = describe,
	.holds = holds,
};
