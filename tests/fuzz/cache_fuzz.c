// SPDX-License-Identifier: BSD-3-Clause
// Whatever is in a cache region: a reader answers within the asker's limit or not at all, and the next writer makes a
// sound region of it. Each eight octets of the input change the region: where, and to what.
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pollux/bytes.h>
#include <pollux/cache.h>
#include <pollux/rrtype.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The layout, as far as it helps to hit something.
enum { SEED = 53, NAMES = 24, NOW = 100, HEADER_BYTES = 192, TABLE_AT = 4096, LOG_AT = TABLE_AT + (1 << 17), ENTRY_BYTES = 256 };

static char path[64];
static uint8_t *original, *file;
static uint32_t slots[NAMES * 8]; // offsets of slots in use
static unsigned slot_count;
static uint8_t wire[NAMES][64];
static struct query query[NAMES];
static const struct policy policy = { .udp_size = 1232, .has_chain = 1 };

static void must(bool good)
{
	if (good)
		return;
	unlink(path);
	abort();
}

static void make_question(unsigned i)
{
	static const uint8_t head[] = { 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 4, 'n', 'a', 'm', 0, 0 };
	static const uint8_t tail[] = { 0, 16, 0, 1, 0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0 };
	enum rcode rcode;
	memcpy(wire[i], head, sizeof(head));
	wire[i][16] = (uint8_t)('a' + i);
	memcpy(wire[i] + sizeof(head), tail, sizeof(tail));
	must(query_parse(&query[i], wire[i], sizeof(head) + sizeof(tail), SEED, &rcode) == QUERY_VALID);
}

static void insert(struct cache *cache, unsigned i, unsigned octets)
{
	uint8_t message[4096];
	struct cache_key key = cache_key_of_query(&query[i]);
	struct writer w = writer_of(message, sizeof(message));
	static const uint8_t head[] = { 0, 0, 0x80, 0x80, 0, 1, 0, 2, 0, 0, 0, 0 };
	write_bytes(&w, head, sizeof(head));
	write_bytes(&w, query[i].wire + DNS_HEADER_BYTES, query[i].question_bytes);
	for (unsigned k = 0; k < 2; k++) {
		static const uint8_t record[] = { 0xc0, 12, 0, 16, 0, 1, 0, 0, 1, 0 };
		write_bytes(&w, record, sizeof(record));
		write_be16(&w, (uint16_t)octets);
		must(write_room(&w, octets) != NULL);
	}
	struct cache_record what = { .wire = message, .bytes = (uint32_t)writer_bytes(&w), .now_s = NOW, .lifetime_s = 256,
		.why = i % 3 ? EDE_NONE : EDE_STALE };
	struct cache_entry entry;
	must(cache_insert(cache, &key, &what, NULL) == ST_OK);
	must(cache_find(cache, &key, &entry) && entry.count[0] == 2 && entry.body_bytes == 2 * (12 + octets));
}

static void make_region(void)
{
	struct cache *cache;
	snprintf(path, sizeof(path), "/dev/shm/cache-fuzz-%d", (int)getpid());
	unlink(path);
	must(cache_open_writer(&cache, path, CACHE_MIN_BYTES, SEED) == ST_OK);
	for (unsigned i = 0; i < NAMES; i++) {
		make_question(i);
		insert(cache, i, i * i % 50);
	}
	cache_close(cache);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	file = mmap(NULL, CACHE_MIN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	original = malloc(CACHE_MIN_BYTES);
	must(fd >= 0 && file != MAP_FAILED && original);
	memcpy(original, file, CACHE_MIN_BYTES);
	for (uint32_t at = TABLE_AT; at < LOG_AT; at += 64) // a bucket with something in it, as a whole
		for (uint32_t k = 0; k < 64; k++)
			if (file[at + k] && slot_count + 8 <= sizeof(slots) / sizeof(*slots)) {
				for (uint32_t s = 0; s < 8; s++)
					slots[slot_count++] = at + s * 8;
				break;
			}
	must(slot_count > 0);
}

static void clean_up(void)
{
	unlink(path);
}

// In the header, in a bucket, in an entry: one octet, two, four, or eight copied from another place of that kind.
static void change(const uint8_t *how)
{
	uint32_t where = load_be32(how), what = load_be32(how + 4), at, from;
	unsigned place = where >> 30, kind = where >> 28 & 3;
	where &= 0xfffffff;
	if (place == 0) {
		at = where % HEADER_BYTES;
		from = what % HEADER_BYTES;
	} else if (place == 1) {
		at = slots[where / 8 % slot_count] + where % 8;
		from = slots[what % slot_count];
	} else {
		at = LOG_AT + where % (NAMES * ENTRY_BYTES);
		from = LOG_AT + what % (NAMES * ENTRY_BYTES);
	}
	if (kind == 0)
		file[at] = (uint8_t)what;
	else if (kind == 1)
		memcpy(file + at / 2 * 2, &(uint16_t){ (uint16_t)what }, 2);
	else if (kind == 2)
		memcpy(file + at / 4 * 4, &what, 4);
	else
		memmove(file + at / 8 * 8, file + from / 8 * 8, 8);
}

static void ask(const struct cache *cache)
{
	static uint8_t room[DNS_MAX_BYTES];
	for (unsigned i = 0; i < NAMES * 2; i++) {
		const struct query *q = &query[i / 2];
		enum transport transport = i % 2 ? OVER_TCP : OVER_UDP;
		struct cache_key key = cache_key_of_query(q);
		uint32_t limit = answer_limit(&policy, q, transport);
		uint8_t *exact = transport == OVER_UDP ? malloc(limit) : room; // where a sanitizer sees its end
		struct reply reply = { .wire = exact, .room = limit };
		must(exact != NULL);
		cache_prefetch(cache, key.hash);
		key.probed = cache_probe(cache, key.hash);
		cache_prefetch_rest(cache, key.probed);
		if (cache_answer(cache, &policy, q, &key, transport, NOW + i, &reply, NULL))
			must(reply.bytes <= limit && reply.bytes >= (uint32_t)DNS_HEADER_BYTES + q->question_bytes);
		if (cache_answer_stale(cache, &policy, q, &key, transport, NOW + 300, 30, &reply, NULL))
			must(reply.bytes <= limit);
		if (transport == OVER_UDP)
			free(exact);
	}
}

static void must_add_up(const struct cache *cache)
{
	static uint8_t message[2 * DNS_MAX_BYTES];
	struct cache_usage usage = cache_usage(cache);
	struct cache_entry entry, found;
	uint64_t position = CACHE_START, entries = 0, octets = 0;
	for (; cache_next(cache, &position, &entry); entries++) {
		octets += entry.bytes;
		must(cache_entry_message(&entry, NOW, 30, message, sizeof(message)) >= entry.body_bytes);
		must(!cache_find(cache, &entry.key, &found) || found.key.hash == entry.key.hash);
	}
	must(entries == usage.entries && octets == usage.used_bytes && octets <= usage.room_bytes);
}

static void take_over(uint64_t seed)
{
	struct cache *cache;
	must(cache_open_writer(&cache, path, CACHE_MIN_BYTES, seed) == ST_OK);
	must_add_up(cache);
	for (unsigned i = 0; i < NAMES; i++) {
		struct cache_key key = cache_key_of_query(&query[i]);
		struct cache_entry entry;
		if (cache_find(cache, &key, &entry))
			must(cache_mark_used(cache, entry.position, NULL));
		if (i % 3 == 0)
			cache_remove(cache, &key);
		insert(cache, i, i);
	}
	must_add_up(cache);
	for (unsigned i = 0; i < 600; i++) // more than it holds
		insert(cache, i % NAMES, 1900);
	must_add_up(cache);
	cache_close(cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cache *cache;
	if (!original) {
		make_region();
		atexit(clean_up);
	}
	memcpy(file, original, CACHE_MIN_BYTES);
	for (size_t at = 0; at + 8 <= size; at += 8)
		change(data + at);
	if (cache_open_reader(&cache, path) != ST_OK || cache_seed(cache) != SEED) { // then a writer replaces the file
		if (cache)
			cache_close(cache);
		return 0;
	}
	ask(cache);
	take_over(size % 5 ? SEED : SEED + 1);
	ask(cache);
	cache_close(cache);
	return 0;
}
