// SPDX-License-Identifier: BSD-3-Clause
// What an answer costs one core, from a zone and from the cache, without packets around it: as JSON, nanoseconds of CPU time.
//   answer_bench DIRECTORY NAMES    regions of so many names are made in that directory, and removed
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pollux/answer.h>
#include <pollux/bytes.h>
#include <pollux/cache.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

enum { SEED = 53, BURST = 32, ROUNDS = 5, QUESTIONS = 1 << 18, CACHED_BYTES_EACH = 192 };

static struct catalog *catalog;
static struct cache *cache;
static const struct policy policy = { .udp_size = 1232, .has_chain = 1 };
static uint32_t random_state = 1;

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "answer_bench: %s\n", what);
	exit(1);
}

static double cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

// hostN.ORIGIN, on the wire. Returns its octets.
static unsigned name_of(uint8_t *to, unsigned number, const char *origin)
{
	static const uint8_t root[1];
	char text[64];
	unsigned bytes;
	int length = snprintf(text, sizeof(text), "host%u.%s.example", number, origin);
	must(name_from_text(to, &bytes, text, (size_t)length, root) == ST_OK, "name");
	return bytes;
}

static void make_zone(unsigned names)
{
	static const uint8_t apex[] = "\5zoned\7example";
	struct report report = { .emit = report_to_stream };
	struct zone_builder *builder = zone_builder_new(apex, SEED);
	size_t size = 100 + names * 40u;
	char *text = malloc(size);
	void *room;
	must(builder && text, "memory");
	size_t at = (size_t)snprintf(text, size, "$TTL 3600\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n");
	for (unsigned i = 0; i < names; i++)
		at += (size_t)snprintf(text + at, size - at, "host%u A 198.51.%u.%u\n", i, i >> 8 & 255, i & 255);
	must(zonefile_read_text(text, at, "zone", apex, zone_builder_add, builder, &report) == ST_OK, "zone text");
	must(zone_builder_check(builder) == ST_OK, "zone");
	must(catalog_reserve(catalog, zone_builder_image_bytes(builder, NULL), &room) == ST_OK, "room");
	zone_builder_write(builder, room, NULL, 1);
	must(catalog_publish(catalog, room) == ST_OK, "publish");
	zone_builder_free(builder);
	catalog_set_ready(catalog);
	free(text);
}

static void insert(unsigned number)
{
	uint8_t name[NAME_MAX_BYTES], message[256];
	unsigned bytes = name_of(name, number, "cache");
	struct cache_key key = cache_key_of(cache, name, TYPE_A, CLASS_IN, false, false);
	struct writer w = writer_of(message, sizeof(message));
	static const uint8_t head[] = { 0, 0, 0x80, 0x80, 0, 1, 0, 1, 0, 0, 0, 0 };
	static const uint8_t answer[] = { 0, TYPE_A, 0, CLASS_IN, 0xc0, 12, 0, TYPE_A, 0, CLASS_IN, 0, 0, 0x0e, 0x10, 0, 4 };
	write_bytes(&w, head, sizeof(head));
	write_bytes(&w, name, bytes);
	write_bytes(&w, answer, sizeof(answer));
	write_be32(&w, number);
	struct cache_record record = { .wire = message, .bytes = (uint32_t)writer_bytes(&w), .lifetime_s = 3600, .why = EDE_NONE };
	must(cache_insert(cache, &key, &record, NULL) == ST_OK, "insert");
}

struct question {
	uint8_t bytes, wire[63];
};

static struct question *make_questions(unsigned names, const char *origin)
{
	struct question *questions = calloc(QUESTIONS, sizeof(*questions));
	must(questions != NULL, "memory");
	for (unsigned i = 0; i < QUESTIONS; i++) {
		static const uint8_t head[] = { 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 }, tail[] = { 0, TYPE_A, 0, CLASS_IN };
		uint8_t *to = questions[i].wire;
		random_state = random_state * 1103515245 + 12345;
		memcpy(to, head, sizeof(head));
		unsigned bytes = name_of(to + sizeof(head), (unsigned)((uint64_t)random_state * names >> 32), origin);
		memcpy(to + sizeof(head) + bytes, tail, sizeof(tail));
		questions[i].bytes = (uint8_t)(sizeof(head) + bytes + sizeof(tail));
	}
	return questions;
}

static struct query query[BURST];
static const struct image *zone[BURST];
static uint8_t room[DNS_UDP_CEILING_BYTES];

static void parse(const struct question *questions)
{
	enum rcode rcode;
	for (unsigned i = 0; i < BURST; i++)
		must(query_parse(&query[i], questions[i].wire, questions[i].bytes, SEED, &rcode) == QUERY_VALID, "parse");
}

// The stages of the dataplane, look-ahead included.
static unsigned answer_from_zone(void)
{
	unsigned answers = 0;
	const struct node *node[BURST];
	for (unsigned i = 0; i < BURST; i++)
		catalog_prefetch(catalog, &query[i].name);
	for (unsigned i = 0; i < BURST; i++) {
		zone[i] = catalog_find(catalog, &query[i].name);
		image_prefetch_name(zone[i], &query[i].name);
	}
	for (unsigned i = 0; i < BURST; i++)
		if ((node[i] = image_probe(zone[i], &query[i].name)))
			image_prefetch_node(node[i]);
	for (unsigned i = 0; i < BURST; i++)
		if (node[i])
			image_prefetch_rest(zone[i], node[i]);
	for (unsigned i = 0; i < BURST; i++) {
		struct reply reply = { .wire = room, .room = DNS_UDP_PLAIN_BYTES };
		answers += answer_plain(catalog, &policy, &query[i], zone[i], node[i], &reply) && room[7] == 1;
	}
	return answers;
}

static unsigned answer_from_cache(void)
{
	unsigned answers = 0;
	uint64_t hash[BURST], probed[BURST];
	for (unsigned i = 0; i < BURST; i++)
		catalog_prefetch(catalog, &query[i].name);
	for (unsigned i = 0; i < BURST; i++) {
		zone[i] = catalog_find(catalog, &query[i].name);
		hash[i] = cache_key_of_query(&query[i]).hash;
		cache_prefetch(cache, hash[i]);
	}
	for (unsigned i = 0; i < BURST; i++)
		probed[i] = cache_probe(cache, hash[i]);
	for (unsigned i = 0; i < BURST; i++) {
		struct reply reply = { .wire = room, .room = sizeof(room) };
		struct cache_key key = cache_key_of_query(&query[i]);
		key.probed = probed[i];
		answers += !zone[i] && cache_answer(cache, &policy, &query[i], &key, OVER_UDP, 1, &reply, NULL);
	}
	return answers;
}

// The least of some rounds: what others do to the machine makes it only slower.
static double measure(const struct question *questions, unsigned (*answer)(void), double *answered)
{
	double least = 1e18;
	unsigned answers = 0;
	for (unsigned r = 0; r < ROUNDS; r++) {
		double before = cpu_ns();
		answers = 0;
		for (unsigned i = 0; i < QUESTIONS; i += BURST) {
			parse(questions + i);
			answers += answer();
		}
		double ns = (cpu_ns() - before) / QUESTIONS;
		least = ns < least ? ns : least;
	}
	*answered = (double)answers / QUESTIONS;
	return least;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: answer_bench DIRECTORY NAMES\n");
		return 2;
	}
	unsigned names = (unsigned)strtoul(argv[2], NULL, 10);
	char zones_path[4096], cache_path[4096];
	snprintf(zones_path, sizeof(zones_path), "%s/answer-bench-%d.zones", argv[1], (int)getpid());
	snprintf(cache_path, sizeof(cache_path), "%s/answer-bench-%d.cache", argv[1], (int)getpid());
	uint64_t bytes = CACHE_MIN_BYTES + (uint64_t)names * CACHED_BYTES_EACH;
	enum status zones_status = catalog_open_writer_seeded(&catalog, zones_path, SEED);
	enum status cache_status = cache_open_writer(&cache, cache_path, bytes, SEED);
	unlink(zones_path); // the mappings stay
	unlink(cache_path);
	must(zones_status == ST_OK && cache_status == ST_OK, "regions");
	make_zone(names);
	double before = cpu_ns();
	for (unsigned i = 0; i < names; i++)
		insert(i);
	double insert_ns = (cpu_ns() - before) / names, zone_hits, cache_hits;
	struct question *zoned = make_questions(names, "zoned"), *cached = make_questions(names, "cache");
	double zone_ns = measure(zoned, answer_from_zone, &zone_hits);
	double cache_ns = measure(cached, answer_from_cache, &cache_hits);
	printf("{\"names\": %u, \"zone_ns\": %.1f, \"cache_ns\": %.1f, \"ratio\": %.3f, \"zone_answered\": %.4f, "
	       "\"cache_answered\": %.4f, \"insert_ns\": %.1f, \"cache_entries\": %" PRIu64 "}\n",
		names, zone_ns, cache_ns, cache_ns / zone_ns, zone_hits, cache_hits, insert_ns, cache_usage(cache).entries);
	free(zoned);
	free(cached);
	cache_close(cache);
	catalog_close(catalog);
	return 0;
}
