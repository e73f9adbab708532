// SPDX-License-Identifier: BSD-3-Clause
// Images that somebody damaged: what image_check() lets pass must be safe to answer from.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <pollux/answer.h>
#include <pollux/bytes.h>
#include <pollux/rrtype.h>
#include <pollux/zonefile.h>

static const char zone_text[] =
	"$TTL 3600\n"
	"@ SOA ns1 root 7 3600 600 86400 300\n@ NS ns1\n@ MX 10 mail\n@ MX 20 mail\n@ NSEC *.wild NS SOA MX DNSKEY\n"
	"@ DNSKEY 257 3 8 AAAA\n"
	"ns1 A 192.0.2.1\nmail A 192.0.2.2\nmail AAAA 2001:db8::2\n"
	"www CNAME web\nweb A 192.0.2.3\nout CNAME www.elsewhere.\n"
	"*.wild CNAME web\n*.wild NSEC @ CNAME NSEC\n"
	"a.b.deep A 192.0.2.5\n"
	"sub NS ns.sub\nns.sub A 192.0.2.6\n"
	"old DNAME new\n";

static struct catalog *catalog;
static uint8_t apex[NAME_MAX_BYTES];
static uint8_t *room; // ends where nothing is mapped, so that reading on is seen
static struct image *image;
static const struct image *whole;

static void make_whole(void)
{
	struct report report = { .emit = NULL };
	struct zone_builder *builder = zone_builder_new(apex, catalog_seed(catalog));
	zone_builder_set_report(builder, &report);
	assert_int_equal(zonefile_read_text(zone_text, strlen(zone_text), "test", apex, zone_builder_add, builder, &report),
		ST_OK);
	assert_int_equal(zone_builder_check(builder), ST_OK);
	void *at;
	assert_int_equal(catalog_reserve(catalog, zone_builder_image_bytes(builder, NULL), &at), ST_OK);
	zone_builder_write(builder, at, NULL, 1);
	assert_int_equal(catalog_publish(catalog, at), ST_OK);
	zone_builder_free(builder);
	whole = at;
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(name_from_text(apex, NULL, "example.", 8, NULL), ST_OK);
	assert_int_equal(catalog_open_private(&catalog, 11), ST_OK);
	make_whole();
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (whole->bytes + page - 1) / page * page;
	room = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(room, MAP_FAILED);
	assert_int_equal(mprotect(room + bytes, page, PROT_NONE), 0);
	image = (struct image *)(room + bytes - whole->bytes);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	catalog_close(catalog);
	return 0;
}

static void restore(void)
{
	memcpy(image, whole, whole->bytes);
}

static struct node *node_of(const char *text)
{
	uint8_t wire[NAME_MAX_BYTES];
	unsigned bytes;
	struct folded_name name;
	assert_int_equal(name_from_text(wire, &bytes, text, strlen(text), apex), ST_OK);
	name_prepare(&name, wire, bytes, catalog_seed(catalog));
	return (struct node *)image_find(image, &name, name.labels);
}

static struct rrset *rrset_of(const char *text, uint16_t type)
{
	return (struct rrset *)node_rrset(image, node_of(text), type);
}

static void *at_ref(uint32_t ref)
{
	return (void *)image_at(image, ref);
}

static void ask(const char *text, uint16_t type, enum transport transport)
{
	static uint8_t reply_wire[65535];
	uint8_t wire[300] = { 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1 };
	static const uint8_t opt[] = { 0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0 };
	unsigned bytes;
	assert_int_equal(name_from_text(wire + 12, &bytes, text, strlen(text), apex), ST_OK);
	store_be16(wire + 12 + bytes, type);
	store_be16(wire + 14 + bytes, 1);
	memcpy(wire + 16 + bytes, opt, sizeof(opt));
	struct query q;
	enum rcode rcode;
	const struct policy policy = { .udp_size = 1232 };
	assert_int_equal(query_parse(&q, wire, 16 + bytes + sizeof(opt), catalog_seed(catalog), &rcode), QUERY_VALID);
	struct reply reply = { .wire = reply_wire, .room = sizeof(reply_wire) };
	answer_query(catalog, &policy, &q, image, transport, &reply);
	assert_in_range(reply.bytes, 12 + bytes + 4, answer_limit(&policy, &q, transport));
}

static void ask_everything(void)
{
	static const char *const names[] = { "@", "www", "out", "x.wild", "x.y.wild", "b.deep", "nowhere", "sub", "h.sub",
		"h.old", "old", "mail", "zz.mail" };
	static const uint16_t types[] = { TYPE_A, TYPE_MX, TYPE_NS, TYPE_DS, TYPE_CNAME, TYPE_ANY, TYPE_NSEC };
	for (unsigned n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		for (unsigned t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
			ask(names[n], types[t], OVER_UDP);
			ask(names[n], types[t], OVER_TCP);
		}
	}
}

// An alarm ends a search or an answer that never ends by itself.
static void whatever_passes_the_check_can_be_answered_from(void **state)
{
	(void)state;
	static const uint8_t turns[] = { 0xff, 0x01, 0x80, 0x40, 0xc0 };
	unsigned passed = 0, refused = 0;
	restore();
	assert_int_equal(image_check(image, image->bytes), ST_OK);
	for (uint64_t i = 0; i < whole->bytes; i++) {
		for (unsigned t = 0; t < sizeof(turns); t++) {
			restore();
			((uint8_t *)image)[i] ^= turns[t];
			if (image_check(image, whole->bytes) != ST_OK) {
				refused++;
				continue;
			}
			passed++;
			alarm(10);
			ask_everything();
		}
	}
	alarm(0);
	assert_true(passed > 100 && refused > 1000);
}

static void a_fixup_at_the_end_of_all_numbers_is_refused(void **state)
{
	(void)state;
	restore();
	struct rrset *rrset = rrset_of("@", TYPE_MX);
	assert_true(rrset->fixup_count > 0);
	*(uint32_t *)at_ref(rrset->fixups_ref) = UINT32_MAX - 1;
	assert_int_equal(image_check(image, image->bytes), ST_CORRUPT);
}

static void an_alias_without_a_record_or_with_a_pointer_of_its_own_is_refused(void **state)
{
	(void)state;
	restore();
	node_of("ns1")->flags |= NODE_DNAME;
	assert_int_equal(image_check(image, image->bytes), ST_CORRUPT);
	restore();
	rrset_of("www", TYPE_CNAME)->fixup_count = 0; // its pointer is now one into the message
	assert_int_equal(image_check(image, image->bytes), ST_CORRUPT);
	restore();
	struct rrset *rrset = rrset_of("www", TYPE_CNAME);
	rrset->count = 0;
	rrset->bytes = rrset->fixup_count = 0;
	assert_int_equal(image_check(image, image->bytes), ST_CORRUPT);
}

static void a_name_behind_a_free_slot_is_refused(void **state)
{
	(void)state;
	restore();
	struct image_bucket *bucket = at_ref(image->buckets_ref);
	while (bucket->tag[7])
		bucket++;
	bucket->tag[7] = 1;
	bucket->node_ref[7] = UINT32_MAX;
	assert_int_equal(image_check(image, image->bytes), ST_CORRUPT);
}

static void a_wildcard_that_is_another_name_is_refused(void **state)
{
	(void)state;
	restore();
	node_of("wild")->wildcard_ref = node_of("@")->rrsets_ref;
	assert_int_equal(image_check(image, image->bytes), ST_CORRUPT);
}

static void an_apex_that_no_search_finds_is_refused(void **state)
{
	(void)state;
	restore();
	image->depths &= ~(UINT64_C(1) << image->apex_labels);
	assert_int_equal(image_check(image, image->bytes), ST_CORRUPT);
	restore();
	image->hash_seed++;
	assert_int_equal(image_check(image, image->bytes), ST_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_passes_the_check_can_be_answered_from),
		cmocka_unit_test(a_fixup_at_the_end_of_all_numbers_is_refused),
		cmocka_unit_test(an_alias_without_a_record_or_with_a_pointer_of_its_own_is_refused),
		cmocka_unit_test(a_name_behind_a_free_slot_is_refused),
		cmocka_unit_test(a_wildcard_that_is_another_name_is_refused),
		cmocka_unit_test(an_apex_that_no_search_finds_is_refused),
	};
	return cmocka_run_group_tests_name("image", tests, set_up, tear_down) ? 1 : 0;
}
