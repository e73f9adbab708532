// SPDX-License-Identifier: BSD-3-Clause
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <pollux/overrides.h>
#include <pollux/bytes.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

static char path[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/dev/shm/pollux-catalog-test-%d", (int)getpid());
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static const uint8_t *wire(const char *text)
{
	static uint8_t to[4][NAME_MAX_BYTES];
	static unsigned next;
	uint8_t *name = to[next++ % 4];
	assert_int_equal(name_from_text(name, NULL, text, strlen(text), NULL), ST_OK);
	return name;
}

static void set_rules(struct catalog *writer)
{
	static const char text[] = "www.example.test A 192.0.2.1\n";
	struct report report = { .emit = NULL };
	struct override_rules *rules = override_rules_new();
	void *block;
	uint64_t bytes;
	assert_int_equal(override_rules_read_text(rules, text, sizeof(text) - 1, "rules", &report), ST_OK);
	assert_int_equal(override_rules_compile(rules, catalog_seed(writer), false, &report, &block, &bytes), ST_OK);
	assert_int_equal(catalog_set_block(writer, BLOCK_OVERRIDES, block, bytes), ST_OK);
	free(block);
	override_rules_free(rules);
}

static void a_block_is_seen_by_readers_and_by_the_next_writer_unless_its_head_is_damaged(void **state)
{
	(void)state;
	struct catalog *writer, *reader;
	uint64_t bytes = 0;
	assert_int_equal(catalog_open_writer(&writer, path), ST_OK);
	assert_int_equal(catalog_open_reader(&reader, path), ST_OK);
	assert_null(catalog_block(reader, BLOCK_ACCESS, &bytes));
	assert_int_equal(catalog_set_block(writer, BLOCK_ACCESS, "rules", 6), ST_OK);
	set_rules(writer);
	const char *seen = catalog_block(reader, BLOCK_ACCESS, &bytes);
	assert_string_equal(seen, "rules");
	assert_int_equal(bytes, 6);
	assert_int_equal((uintptr_t)seen % CACHE_LINE_BYTES, 0);
	catalog_close(writer);

	assert_int_equal(catalog_open_writer(&writer, path), ST_OK);
	assert_string_equal(catalog_block(writer, BLOCK_ACCESS, NULL), "rules");
	struct block_head *head = (struct block_head *)catalog_block(writer, BLOCK_OVERRIDES, NULL) - 1;
	head->bytes = UINT64_MAX - 63;
	catalog_close(writer);

	assert_int_equal(catalog_open_writer(&writer, path), ST_OK);
	assert_null(catalog_block(writer, BLOCK_OVERRIDES, NULL));
	set_rules(writer);
	((struct overrides *)catalog_block(writer, BLOCK_OVERRIDES, NULL))->nodes++;
	catalog_close(writer);

	assert_int_equal(catalog_open_writer(&writer, path), ST_OK);
	assert_null(catalog_block(writer, BLOCK_OVERRIDES, NULL));
	assert_string_equal(catalog_block(writer, BLOCK_ACCESS, NULL), "rules");
	assert_int_equal(catalog_set_block(writer, BLOCK_ACCESS, NULL, 0), ST_OK);
	assert_null(catalog_block(reader, BLOCK_ACCESS, NULL));
	catalog_close(writer);
	catalog_close(reader);
}

// The smallest zone there is: SOA and NS, with this serial.
static void publish(struct catalog *catalog, const char *origin, uint32_t serial)
{
	uint8_t rdata[600];
	const uint8_t *apex = wire(origin);
	unsigned bytes = name_length(apex, NAME_MAX_BYTES);
	memcpy(rdata, apex, bytes);
	memcpy(rdata + bytes, apex, bytes);
	for (unsigned i = 0; i < 5; i++)
		store_be32(rdata + 2 * bytes + 4 * i, i ? 60 : serial);
	struct zone_builder *builder = zone_builder_new(apex, catalog_seed(catalog));
	struct record soa = { .owner = apex, .rdata = rdata, .type = TYPE_SOA, .class = 1, .ttl = 60, .file = "t",
		.rdata_bytes = (uint16_t)(2 * bytes + 20) };
	struct record ns = { .owner = apex, .rdata = apex, .type = TYPE_NS, .class = 1, .ttl = 60, .file = "t",
		.rdata_bytes = (uint16_t)bytes };
	assert_int_equal(zone_builder_add(builder, &soa), ST_OK);
	assert_int_equal(zone_builder_add(builder, &ns), ST_OK);
	assert_int_equal(zone_builder_check(builder), ST_OK);
	void *room;
	assert_int_equal(catalog_reserve(catalog, zone_builder_image_bytes(builder, NULL), &room), ST_OK);
	zone_builder_write(builder, room, NULL, 1);
	assert_int_equal(image_check(room, ((struct image *)room)->bytes), ST_OK);
	assert_int_equal(catalog_publish(catalog, room), ST_OK);
	zone_builder_free(builder);
}

static const struct image *find(const struct catalog *catalog, const char *text)
{
	struct folded_name name;
	const uint8_t *at = wire(text);
	name_prepare(&name, at, name_length(at, NAME_MAX_BYTES), catalog_seed(catalog));
	return catalog_find(catalog, &name);
}

static void the_longest_apex_wins(void **state)
{
	(void)state;
	struct catalog *catalog;
	assert_int_equal(catalog_open_private(&catalog, 0), ST_OK);
	publish(catalog, "example.", 1);
	publish(catalog, "deep.sub.example.", 2);
	assert_int_equal(find(catalog, "www.example.")->serial, 1);
	assert_int_equal(find(catalog, "sub.example.")->serial, 1);
	assert_int_equal(find(catalog, "a.deep.sub.example.")->serial, 2);
	assert_null(find(catalog, "example.org."));
	assert_null(find(catalog, "notexample."));
	publish(catalog, ".", 3);
	assert_int_equal(find(catalog, "example.org.")->serial, 3);
	assert_int_equal(find(catalog, ".")->serial, 3);
	catalog_close(catalog);
}

static void a_zone_published_again_replaces_the_old_one(void **state)
{
	(void)state;
	struct catalog *catalog;
	assert_int_equal(catalog_open_private(&catalog, 0), ST_OK);
	catalog_set_epoch(catalog, 1);
	publish(catalog, "example.", 1);
	uint64_t used = catalog_usage(catalog).used_bytes;
	const struct image *old = find(catalog, "example.");
	publish(catalog, "example.", 2);
	assert_int_equal(find(catalog, "example.")->serial, 2);
	assert_int_equal(old->serial, 1); // still whole for who reads it
	assert_int_equal(catalog_usage(catalog).zones, 1);
	assert_true(catalog_usage(catalog).retired_bytes > 0);
	catalog_reclaim(catalog, 1);
	assert_int_equal(catalog_usage(catalog).retired_bytes, 0);
	assert_int_equal(catalog_usage(catalog).used_bytes, used);
	catalog_close(catalog);
}

static void withdrawn_zones_are_gone_and_others_stay(void **state)
{
	(void)state;
	struct catalog *catalog;
	assert_int_equal(catalog_open_private(&catalog, 0), ST_OK);
	for (unsigned i = 0; i < 1000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "zone%u.example.", i);
		publish(catalog, name, i);
	}
	for (unsigned i = 0; i < 1000; i += 2) {
		char name[32];
		snprintf(name, sizeof(name), "zone%u.example.", i);
		assert_int_equal(catalog_withdraw(catalog, wire(name)), ST_OK);
		assert_int_equal(catalog_withdraw(catalog, wire(name)), ST_NOT_FOUND);
	}
	assert_int_equal(catalog_usage(catalog).zones, 500);
	for (unsigned i = 0; i < 1000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "www.zone%u.example.", i);
		const struct image *image = find(catalog, name);
		if (i % 2)
			assert_int_equal(image->serial, i);
		else
			assert_null(image);
	}
	catalog_close(catalog);
}

static void a_reader_sees_what_the_writer_does_even_beyond_its_first_size(void **state)
{
	(void)state;
	struct catalog *writer, *reader;
	assert_int_equal(catalog_open_reader(&reader, path), ST_NOT_FOUND);
	assert_int_equal(catalog_open_writer(&writer, path), ST_OK);
	assert_int_equal(catalog_open_reader(&reader, path), ST_OK);
	uint64_t before = catalog_usage(writer).file_bytes;
	for (unsigned i = 0; catalog_usage(writer).file_bytes == before; i++) {
		char name[32];
		snprintf(name, sizeof(name), "zone%u.example.", i);
		publish(writer, name, i);
		assert_int_equal(find(reader, name)->serial, i);
	}
	struct policy policy = { .udp_size = 1400, .has_chain = 1 };
	catalog_set_policy(writer, policy);
	assert_int_equal(catalog_policy(reader).udp_size, 1400);
	assert_false(catalog_is_ready(reader));
	catalog_set_ready(writer);
	assert_true(catalog_is_ready(reader));
	catalog_close(reader);
	catalog_close(writer);
}

static void a_second_writer_is_refused_while_the_first_lives(void **state)
{
	(void)state;
	struct catalog *first, *second;
	assert_int_equal(catalog_open_writer(&first, path), ST_OK);
	assert_int_equal(catalog_open_writer(&second, path), ST_BUSY);
	catalog_close(first);
	assert_int_equal(catalog_open_writer(&second, path), ST_OK);
	catalog_close(second);
}

static void a_new_writer_finds_the_zones_of_one_that_was_killed(void **state)
{
	(void)state;
	int done[2];
	assert_int_equal(pipe(done), 0);
	pid_t child = fork();
	if (child == 0) {
		struct catalog *catalog;
		if (catalog_open_writer(&catalog, path) != ST_OK)
			_exit(1);
		publish(catalog, "a.example.", 1);
		publish(catalog, "b.example.", 2);
		publish(catalog, "b.example.", 3);
		if (write(done[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	char byte;
	assert_int_equal(read(done[0], &byte, 1), 1);
	struct catalog *reader, *writer;
	assert_int_equal(catalog_open_reader(&reader, path), ST_OK);
	const struct image *seen = find(reader, "b.example.");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_int_equal(catalog_open_writer(&writer, path), ST_OK);
	assert_int_equal(catalog_usage(writer).zones, 2);
	assert_int_equal(find(writer, "a.example.")->serial, 1);
	assert_int_equal(find(writer, "b.example.")->serial, 3);
	assert_int_equal(catalog_header(writer)->generation, 1);
	for (unsigned i = 0; i < 200; i++) { // new zones take no space that is in use
		char name[32];
		snprintf(name, sizeof(name), "new%u.example.", i);
		publish(writer, name, i);
	}
	assert_int_equal(seen->serial, 3);
	assert_ptr_equal(find(reader, "b.example."), seen);
	assert_int_equal(find(reader, "a.example.")->serial, 1);
	catalog_close(reader);
	catalog_close(writer);
	close(done[0]);
	close(done[1]);
}

struct searcher {
	const struct catalog *catalog;
	struct folded_name name;
	atomic_bool stop;
	atomic_ulong found, missed, wrong;
};

static void *search(void *ctx)
{
	struct searcher *s = ctx;
	while (!s->stop) {
		const struct image *image = catalog_find(s->catalog, &s->name);
		if (!image)
			s->missed++;
		else if (image->magic == IMAGE_MAGIC && image->serial == 7)
			s->found++;
		else
			s->wrong++;
	}
	return NULL;
}

// Withdrawing and publishing the same zone without end, beside a thread that looks for it.
static void a_zone_withdrawn_while_it_is_found_is_found_or_not(void **state)
{
	(void)state;
	struct searcher s = { 0 };
	struct catalog *catalog;
	assert_int_equal(catalog_open_private(&catalog, 9), ST_OK);
	s.catalog = catalog;
	name_prepare(&s.name, wire("example."), 9, catalog_seed(catalog));
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, search, &s), 0);
	for (unsigned i = 0; i < 20000 || s.found < 1000 || s.missed < 1000; i++) {
		publish(catalog, "example.", 7);
		assert_int_equal(catalog_withdraw(catalog, wire("example.")), ST_OK);
	}
	s.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(s.wrong, 0);
	catalog_close(catalog);
}

static void a_damaged_image_is_dropped_and_the_rest_kept(void **state)
{
	(void)state;
	struct catalog *catalog;
	assert_int_equal(catalog_open_writer(&catalog, path), ST_OK);
	publish(catalog, "good.example.", 1);
	publish(catalog, "bad.example.", 2);
	((struct image *)find(catalog, "bad.example."))->bucket_count = 0x7fffffff;
	catalog_close(catalog);
	assert_int_equal(catalog_open_writer(&catalog, path), ST_OK);
	assert_int_equal(find(catalog, "good.example.")->serial, 1);
	assert_null(find(catalog, "bad.example."));
	publish(catalog, "bad.example.", 3);
	assert_int_equal(find(catalog, "bad.example.")->serial, 3);
	catalog_close(catalog);
}

static void a_foreign_file_is_refused_by_readers_and_replaced_by_the_writer(void **state)
{
	(void)state;
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	for (unsigned i = 0; i < 4u << 20; i++)
		fputc('x', file);
	fclose(file);
	struct catalog *reader, *writer;
	assert_int_equal(catalog_open_reader(&reader, path), ST_CORRUPT);
	assert_int_equal(catalog_open_writer(&writer, path), ST_OK);
	assert_int_equal(catalog_open_reader(&reader, path), ST_OK);
	assert_false(catalog_was_replaced(reader, path));
	catalog_close(writer);
	unlink(path);
	assert_int_equal(catalog_open_writer(&writer, path), ST_OK);
	assert_true(catalog_was_replaced(reader, path));
	catalog_close(reader);
	catalog_close(writer);
}

static void a_header_that_leads_outside_is_refused_by_readers_and_replaced_by_the_writer(void **state)
{
	(void)state;
	const struct { uint64_t file_bytes, directory_at; } damaged[] = {
		{ 200, 64 }, { HUGE_PAGE_BYTES, UINT64_MAX - 63 }, { HUGE_PAGE_BYTES, HUGE_PAGE_BYTES },
		{ UINT64_MAX, 4096 }, { HUGE_PAGE_BYTES, 0 },
	};
	for (unsigned i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		struct catalog *catalog, *reader;
		assert_int_equal(catalog_open_writer(&catalog, path), ST_OK);
		struct catalog_header *header = (struct catalog_header *)catalog_header(catalog);
		header->file_bytes = damaged[i].file_bytes;
		header->directory_at = damaged[i].directory_at;
		catalog_close(catalog);
		assert_int_equal(catalog_open_reader(&reader, path), ST_CORRUPT);
		assert_int_equal(catalog_open_writer(&catalog, path), ST_OK);
		publish(catalog, "example.", 1);
		catalog_close(catalog);
	}
}

// A search ends at a free slot. An alarm ends one that does not.
static void a_directory_without_a_free_slot_is_made_anew(void **state)
{
	(void)state;
	struct catalog *catalog;
	assert_int_equal(catalog_open_writer(&catalog, path), ST_OK);
	publish(catalog, "good.example.", 1);
	const struct catalog_header *header = catalog_header(catalog);
	struct directory *directory = (struct directory *)((uint8_t *)header + header->directory_at);
	for (uint64_t i = 0; i <= directory->slot_mask; i++) {
		if (!directory->slot[i])
			directory->slot[i] = 0x1234567 + i;
	}
	catalog_close(catalog);
	alarm(20);
	assert_int_equal(catalog_open_writer(&catalog, path), ST_OK);
	assert_int_equal(find(catalog, "good.example.")->serial, 1);
	publish(catalog, "other.example.", 2);
	assert_null(find(catalog, "missing.example."));
	alarm(0);
	catalog_close(catalog);
}

static void no_image_is_larger_than_its_references_reach(void **state)
{
	(void)state;
	struct catalog *catalog;
	void *room;
	assert_int_equal(catalog_open_writer(&catalog, path), ST_OK);
	assert_int_equal(catalog_reserve(catalog, IMAGE_MAX_BYTES + 64, &room), ST_FULL);
	assert_int_equal(catalog_growth(catalog, IMAGE_MAX_BYTES + 64), 0);
	assert_true(catalog_growth(catalog, IMAGE_MAX_BYTES) > IMAGE_MAX_BYTES);
	catalog_close(catalog);
}

// Every octet of an image, one at a time, with every bit turned: the check must end, and never read outside.
// What it lets pass must be safe to search.
static void no_damaged_octet_makes_the_check_run_away(void **state)
{
	(void)state;
	struct catalog *catalog;
	assert_int_equal(catalog_open_private(&catalog, 5), ST_OK);
	publish(catalog, "example.", 1);
	const struct image *image = find(catalog, "example.");
	uint8_t *copy = aligned_alloc(64, image->bytes);
	struct folded_name name;
	name_prepare(&name, wire("www.example."), 13, 5);
	for (uint64_t i = 0; i < image->bytes; i++) {
		memcpy(copy, image, image->bytes);
		copy[i] ^= 0xff;
		if (image_check(copy, image->bytes) == ST_OK)
			(void)image_lookup((const struct image *)copy, &name);
	}
	for (uint64_t bytes = 0; bytes < image->bytes; bytes += 8)
		assert_int_not_equal(image_check(image, bytes), ST_OK);
	free(copy);
	catalog_close(catalog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_apex_wins),
		cmocka_unit_test(a_zone_published_again_replaces_the_old_one),
		cmocka_unit_test(withdrawn_zones_are_gone_and_others_stay),
		cmocka_unit_test(a_zone_withdrawn_while_it_is_found_is_found_or_not),
		cmocka_unit_test_setup_teardown(a_reader_sees_what_the_writer_does_even_beyond_its_first_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_second_writer_is_refused_while_the_first_lives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_new_writer_finds_the_zones_of_one_that_was_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_block_is_seen_by_readers_and_by_the_next_writer_unless_its_head_is_damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_image_is_dropped_and_the_rest_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_foreign_file_is_refused_by_readers_and_replaced_by_the_writer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_header_that_leads_outside_is_refused_by_readers_and_replaced_by_the_writer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_directory_without_a_free_slot_is_made_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_image_is_larger_than_its_references_reach, set_up, tear_down),
		cmocka_unit_test(no_damaged_octet_makes_the_check_run_away),
	};
	return cmocka_run_group_tests_name("catalog", tests, NULL, NULL) ? 1 : 0;
}
