// SPDX-License-Identifier: BSD-3-Clause
// Any reply of another server is learned or refused, and any file is a dump of a cache or not. Whatever was learned is answered,
// and comes back from a dump of its own without a malformed line.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pollux/name.h>

#include "cache_file.h"
#include "learned.h"

#define WALL_S 1800000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct resolver *resolver;
static struct learned *learned;

static void must(bool good)
{
	if (!good)
		abort();
}

static uint64_t stand_still(void *ctx)
{
	(void)ctx;
	return 1000000;
}

static void set_up(void)
{
	static const char text[] = "forward: {servers: [127.0.0.1@9], via: management}\ncache: {size: 1MiB}\n";
	struct report report = { 0 };
	struct config *config;
	struct catalog *catalog;
	must(config_read_text(&config, text, sizeof(text) - 1, "fuzz", &report) == ST_OK);
	must(catalog_open_private(&catalog, 7) == ST_OK);
	resolver = resolver_new(event_base_new(), config, catalog, NULL);
	must(resolver);
	learned = learned_of(resolver);
	must(learned_open(learned, NULL) == ST_OK);
	learned_set_clock(learned, stand_still, NULL);
}

static struct cache_load_counts load(const char *path)
{
	struct report report = { 0 };
	struct cache_load *in;
	struct cache_load_counts counts = { 0 };
	if (cache_load_new(&in, learned, path, WALL_S, &report) != ST_OK)
		return counts;
	while (cache_load_some(in))
		;
	cache_load_end(in, &counts);
	return counts;
}

static void take_file(const uint8_t *data, size_t size)
{
	char path[64];
	int fd = memfd_create("dump", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	struct cache_load_counts counts = load(path);
	must(counts.loaded + counts.expired + counts.known + counts.refused + counts.malformed <= size);
	close(fd);
}

static void dump_and_load(void)
{
	char path[64];
	struct cache_dump *out;
	struct cache_dump_counts counts;
	snprintf(path, sizeof(path), "/tmp/pollux-learned-fuzz-%d", (int)getpid());
	must(cache_dump_new(&out, learned, path, WALL_S) == ST_OK);
	while (cache_dump_some(out))
		;
	must(cache_dump_end(out, true, &counts) == ST_OK);
	cache_remove_all(learned_cache(learned));
	struct cache_load_counts back = load(path);
	must(back.malformed == 0 && back.loaded == counts.written);
	unlink(path);
}

static void take_message(const struct message *m)
{
	uint8_t name[NAME_MAX_BYTES], wire[DNS_MAX_BYTES];
	const struct verdict verdict = { .flags = m->flags & FLAG_AD, .why = EDE_NONE };
	struct learned_key key = { name, m->type, m->class, m->id & 1, m->id & 2 };
	struct cache_entry entry;
	name_fold(name, m->name);
	learned_store(learned, &key, m, &verdict);
	struct cache_key at = cache_key_of(learned_cache(learned), name, m->type, m->class, key.dnssec_ok,
		key.checking_disabled);
	if (!cache_find(learned_cache(learned), &at, &entry))
		return;
	must(entry.expires_at_s > learned_now_s(learned) && entry.ttl_s <= 86400);
	struct message again;
	uint32_t bytes = cache_entry_message(&entry, learned_now_s(learned), 30, wire, sizeof(wire));
	must(bytes && message_read(&again, wire, bytes) == ST_OK);
	for (unsigned i = 0; i < again.section_at[SECTION_COUNT]; i++)
		must(again.rr[i].ttl >= entry.ttl_s);
	message_clear(&again);
	dump_and_load();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message m;
	if (!resolver)
		set_up();
	cache_remove_all(learned_cache(learned));
	if (size && data[0] == '{') {
		take_file(data, size);
	} else if (message_read(&m, data, size) == ST_OK) {
		if (m.name)
			take_message(&m);
		message_clear(&m);
	}
	return 0;
}
