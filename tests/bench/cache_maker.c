// SPDX-License-Identifier: BSD-3-Clause
// A cache region to measure with, learned at second 0, fresh for a year: for N = 0 .. COUNT - 1 an address of hostN.cached.example,
// and that noneN.cached.example does not exist.
//   cache_maker FILE BYTES COUNT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/bytes.h>
#include <pollux/cache.h>
#include <pollux/rrtype.h>

enum { SEED = 53, YEAR_S = 31536000 };

static void write_address(struct writer *w, unsigned long number)
{
	static const uint8_t answer[] = { 0, TYPE_A, 0, CLASS_IN, 0xc0, 12, 0, TYPE_A, 0, CLASS_IN, 1, 0xe1, 0x33, 0x80, 0, 4 };
	write_bytes(w, answer, sizeof(answer));
	write_be32(w, UINT32_C(198) << 24 | UINT32_C(51) << 16 | UINT32_C(100) << 8 | (number & 255));
}

// The SOA of the zone that the name behind its first label is, RFC 2308 2.1. Server and mailbox: the root.
static void write_soa(struct writer *w, const uint8_t *name, unsigned bytes)
{
	static const uint8_t question[] = { 0, TYPE_A, 0, CLASS_IN };
	static const uint8_t soa[] = { 0, TYPE_SOA, 0, CLASS_IN, 1, 0xe1, 0x33, 0x80, 0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 14, 16,
		0, 0, 2, 88, 0, 1, 81, 128, 1, 0xe1, 0x33, 0x80 };
	write_bytes(w, question, sizeof(question));
	write_bytes(w, name + 1 + *name, bytes - 1 - *name);
	write_bytes(w, soa, sizeof(soa));
}

static enum status keep(struct cache *cache, unsigned long number, bool exists)
{
	static const uint8_t root[1];
	uint8_t name[NAME_MAX_BYTES], message[512];
	char text[64];
	unsigned bytes;
	int length = snprintf(text, sizeof(text), "%s%lu.cached.example", exists ? "host" : "none", number);
	if (name_from_text(name, &bytes, text, (size_t)length, root) != ST_OK)
		abort();
	struct cache_key key = cache_key_of(cache, name, TYPE_A, CLASS_IN, false, false);
	struct writer w = writer_of(message, sizeof(message));
	const uint8_t head[] = { 0, 0, 0x80, exists ? 0x80 : 0x83, 0, 1, 0, exists, 0, !exists, 0, 0 };
	write_bytes(&w, head, sizeof(head));
	write_bytes(&w, name, bytes);
	if (exists)
		write_address(&w, number);
	else
		write_soa(&w, name, bytes);
	struct cache_record record = { .wire = message, .bytes = (uint32_t)writer_bytes(&w), .lifetime_s = YEAR_S,
		.rcode = exists ? RCODE_NOERROR : RCODE_NXDOMAIN, .why = EDE_NONE };
	return cache_insert(cache, &key, &record, NULL);
}

int main(int argc, char **argv)
{
	struct cache *cache;
	if (argc != 4) {
		fprintf(stderr, "usage: cache_maker FILE BYTES COUNT\n");
		return 2;
	}
	unsigned long count = strtoul(argv[3], NULL, 10);
	enum status status = cache_open_writer(&cache, argv[1], strtoull(argv[2], NULL, 10), SEED);
	for (unsigned long i = 0; status == ST_OK && i < count; i++)
		status = keep(cache, i, true);
	for (unsigned long i = 0; status == ST_OK && i < count; i++)
		status = keep(cache, i, false);
	if (status != ST_OK) {
		fprintf(stderr, "cache_maker: %s: %s\n", argv[1], status_text(status));
		return 1;
	}
	if (cache_usage(cache).entries != 2 * count)
		fprintf(stderr, "cache_maker: %s: %llu of %lu entries are there\n", argv[1],
			(unsigned long long)cache_usage(cache).entries, 2 * count);
	cache_close(cache);
	return 0;
}
