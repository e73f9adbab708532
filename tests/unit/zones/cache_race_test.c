// SPDX-License-Identifier: BSD-3-Clause
// Readers while somebody writes, and writers that are killed: whatever is found is whole and belongs to its question.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cached.h"

enum { NAMES = 40000, INSERTIONS = 300000, READERS = 2, KILLS = 30, NOW = 1000 };

static char path[64];
static const struct policy policy = { .udp_size = 1232, .has_chain = 1 };

// What is kept about host number i, in its version v: both can be seen in every octet.
static unsigned octets_of(unsigned i)
{
	return i % 7 == 0 ? 3000 + i % 5000 : 4 + i % 300;
}

static uint8_t fill_of(unsigned i, unsigned version)
{
	return (uint8_t)(i * 31 + version * 7);
}

static void name_of(unsigned i, char *text, size_t room)
{
	snprintf(text, room, "host%u.example", i);
}

static void insert_number(struct cache *cache, unsigned i, unsigned version)
{
	uint8_t folded[64], message[DNS_MAX_BYTES];
	char text[32];
	unsigned bytes;
	static const uint8_t root[1];
	name_of(i, text, sizeof(text));
	if (name_from_text(folded, &bytes, text, strlen(text), root) != ST_OK)
		abort();
	struct cache_key key = cache_key_of(cache, folded, TYPE_TXT, CLASS_IN, false, false);
	struct writer w = begin_message(message, sizeof(message), &key, 2, 0, 0);
	put_record(&w, TYPE_TXT, 600, octets_of(i), fill_of(i, version));
	put_record(&w, TYPE_TXT, 500 + version % 32, octets_of(i) / 2, fill_of(i, version));
	struct cache_record record = { .wire = message, .bytes = (uint32_t)writer_bytes(&w), .now_s = NOW, .lifetime_s = 600,
		.why = EDE_NONE, .note = version };
	uint64_t position;
	if (cache_insert(cache, &key, &record, &position) != ST_OK)
		abort();
	if (i % 10 == 0 && !cache_mark_used(cache, position, NULL))
		abort();
	if (i % 23 == 0)
		cache_remove(cache, &key);
}

// As insert_number() wrote it, whatever the version. Nothing of the test library: it is not for threads.
static bool is_whole(const uint8_t *wire, uint32_t bytes, unsigned i, uint32_t age)
{
	const uint8_t *record = wire + DNS_HEADER_BYTES;
	record += name_length(record, NAME_MAX_BYTES) + 4;
	unsigned octets = octets_of(i);
	const uint8_t *second = record + 12 + octets;
	if (bytes != (uint32_t)(second - wire) + 12 + octets / 2 || load_be16(wire + 6) != 2)
		return false;
	uint32_t ttl = load_be32(second + 6) + age;
	if (load_be32(record + 6) + age != 600 || load_be16(record + 10) != octets ||
		load_be16(second + 10) != octets / 2)
		return false;
	for (unsigned k = 0; k < octets; k++)
		if (record[12 + k] != record[12] || (k < octets / 2 && second[12 + k] != record[12]))
			return false;
	unsigned version = (uint8_t)((record[12] - i * 31) * 183); // 7 times 183 is 1 modulo 256
	return ttl == 500 + version % 32;
}

struct reading {
	struct cache *cache;
	atomic_bool *stop;
	atomic_uint *progress; // of the writer
	uint64_t hits, broken;
};

// What is there, and above all what is about to go: most entries are gone after 700 more.
static void *read_along(void *ctx)
{
	struct reading *r = ctx;
	static _Thread_local uint8_t room[DNS_MAX_BYTES];
	uint32_t random = (uint32_t)(uintptr_t)r;
	while (!atomic_load(r->stop)) {
		struct question q;
		char text[32];
		random = random * 1103515245 + 12345;
		unsigned i = (atomic_load(r->progress) + NAMES - (random >> 8) % 900) % NAMES;
		uint32_t age = random >> 30;
		name_of(i, text, sizeof(text));
		ask_question(&q, text, TYPE_TXT, FLAG_RD, 0, false);
		struct cache_key key = cache_key_of_query(&q.query);
		struct reply reply = { .wire = room, .room = sizeof(room) };
		cache_prefetch(r->cache, key.hash);
		if (age)
			key.probed = cache_probe(r->cache, key.hash);
		if (!cache_answer(r->cache, &policy, &q.query, &key, OVER_TCP, NOW + age, &reply, NULL))
			continue;
		r->hits++;
		r->broken += !is_whole(room, reply.bytes, i, age);
	}
	return NULL;
}

static int begin(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/dev/shm/cache-race-test-%d", (int)getpid());
	unlink(path);
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void readers_see_whole_entries_or_none_however_fast_they_go(void **state)
{
	(void)state;
	struct cache *writer;
	assert_int_equal(cache_open_writer(&writer, path, CACHE_MIN_BYTES, CACHED_SEED), ST_OK);
	atomic_bool stop = false;
	atomic_uint progress = 0;
	pthread_t thread[READERS];
	struct reading reading[READERS];
	for (unsigned r = 0; r < READERS; r++) {
		reading[r] = (struct reading){ .stop = &stop, .progress = &progress };
		assert_int_equal(cache_open_reader(&reading[r].cache, path), ST_OK);
		assert_int_equal(pthread_create(&thread[r], NULL, read_along, &reading[r]), 0);
	}
	for (unsigned n = 0; n < INSERTIONS; n++) {
		insert_number(writer, n % NAMES, n / NAMES);
		atomic_store(&progress, n);
		if (n % 40009 == 0)
			cache_remove_all(writer);
	}
	atomic_store(&stop, true);
	for (unsigned r = 0; r < READERS; r++) {
		pthread_join(thread[r], NULL);
		assert_true(reading[r].hits > 0);
		assert_int_equal(reading[r].broken, 0);
		cache_close(reading[r].cache);
	}
	struct cache_usage usage = cache_usage(writer);
	assert_true(usage.evicted > NAMES && usage.spared > 0);
	cache_close(writer);
}

// --- killed ---

static void write_until_killed(unsigned round)
{
	struct cache *cache;
	if (cache_open_writer(&cache, path, CACHE_MIN_BYTES, CACHED_SEED + round % 5 / 4) != ST_OK)
		_exit(1);
	for (unsigned n = 0;; n++) {
		insert_number(cache, (n * 7 + round) % NAMES, n);
		if (n % 20011 == 20010)
			cache_remove_all(cache);
	}
}

static void check_all(struct cache *cache)
{
	static uint8_t wire[DNS_MAX_BYTES];
	struct cache_usage usage = cache_usage(cache);
	struct cache_entry entry, found;
	uint64_t position = CACHE_START, entries = 0, octets = 0;
	for (; cache_next(cache, &position, &entry); entries++) {
		unsigned number = 0;
		assert_int_equal(sscanf((const char *)entry.key.name + 1, "host%u", &number), 1);
		octets += entry.bytes;
		uint32_t bytes = cache_entry_message(&entry, NOW, 0, wire, sizeof(wire));
		assert_true(is_whole(wire, bytes, number, 0));
		assert_true(cache_find(cache, &entry.key, &found)); // one slot leads to it, and no other entry has its key
		assert_true(found.position == entry.position);
	}
	assert_int_equal(entries, usage.entries);
	assert_int_equal(octets, usage.used_bytes);
	assert_int_equal(entries, usage.taken_over);
}

static void what_a_killed_writer_leaves_is_taken_over(void **state)
{
	(void)state;
	unsigned kept = 0;
	for (unsigned round = 0; round < KILLS; round++) {
		pid_t child = fork();
		if (child == 0)
			write_until_killed(round);
		struct timespec some = { .tv_nsec = 1000000 + arc4random_uniform(20000000) };
		nanosleep(&some, NULL);
		kill(child, SIGKILL);
		int how;
		assert_true(waitpid(child, &how, 0) == child && WIFSIGNALED(how));
		struct cache *cache;
		assert_int_equal(cache_open_writer(&cache, path, CACHE_MIN_BYTES, CACHED_SEED), ST_OK);
		kept += cache_usage(cache).entries > 0;
		check_all(cache);
		for (unsigned i = 0; i < 100; i++)
			insert_number(cache, i, round);
		cache_close(cache);
	}
	assert_true(kept > KILLS / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(readers_see_whole_entries_or_none_however_fast_they_go, begin, end),
		cmocka_unit_test_setup_teardown(what_a_killed_writer_leaves_is_taken_over, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
