// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pollux/access.h>

#define RULES_MAX 64

static struct access_rule rules[ACCESS_RIGHTS][RULES_MAX];
static struct access_list lists[ACCESS_RIGHTS];
static void *block;
static uint64_t bytes;
static struct access view;

// "10.0.0.0/8 !2001:db8::/32 ..."
static void write_list(unsigned right, const char *text)
{
	char copy[1024], *rest = copy, *word;
	lists[right] = (struct access_list){ rules[right], 0 };
	snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, " "))) {
		struct access_rule *rule = &rules[right][lists[right].count++];
		*rule = (struct access_rule){ .denies = word[0] == '!' };
		word += rule->denies;
		char *slash = strchr(word, '/');
		rule->length = (uint8_t)strtoul(slash + 1, NULL, 10);
		*slash = 0;
		rule->address_bytes = strchr(word, ':') ? 16 : 4;
		assert_int_equal(inet_pton(rule->address_bytes == 4 ? AF_INET : AF_INET6, word, rule->address), 1);
	}
}

static void compile(bool drops)
{
	const struct access_terms terms = { .max_misses = 77, .drops = drops };
	free(block);
	assert_int_equal(access_compile(lists, &terms, &block, &bytes), ST_OK);
	assert_true(access_check(block, bytes));
	assert_true(access_open(&view, block, bytes));
}

static int setup(void **state)
{
	(void)state;
	memset(lists, 0, sizeof(lists));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(block);
	block = NULL;
	return 0;
}

static unsigned rights_of(const char *text)
{
	uint8_t address[16];
	bool ip6 = strchr(text, ':');
	assert_int_equal(inet_pton(ip6 ? AF_INET6 : AF_INET, text, address), 1);
	return access_rights(&view, address, ip6 ? 16 : 4);
}

static void the_first_rule_that_fits_decides(void **state)
{
	(void)state;
	write_list(0, "!198.18.0.128/25 198.18.0.0/24 !2001:db8:1::/48 2001:db8::/32");
	compile(false);
	assert_int_equal(rights_of("198.18.0.127"), ACCESS_QUERY);
	assert_int_equal(rights_of("198.18.0.128"), 0);
	assert_int_equal(rights_of("198.18.0.255"), 0);
	assert_int_equal(rights_of("198.18.1.0"), 0);
	assert_int_equal(rights_of("198.17.255.255"), 0);
	assert_int_equal(rights_of("198.18.0.0"), ACCESS_QUERY);
	assert_int_equal(rights_of("2001:db8:0:ffff::"), ACCESS_QUERY);
	assert_int_equal(rights_of("2001:db8:1::1"), 0);
	assert_int_equal(rights_of("2001:db8:2::"), ACCESS_QUERY);
	assert_int_equal(rights_of("2001:db9::"), 0);
	write_list(0, "198.18.0.0/24 !198.18.0.128/25");
	compile(false);
	assert_int_equal(rights_of("198.18.0.128"), ACCESS_QUERY);
}

static void who_fits_no_rule_has_no_right(void **state)
{
	(void)state;
	compile(false);
	assert_int_equal(rights_of("198.18.0.1"), 0);
	assert_int_equal(rights_of("::"), 0);
	assert_int_equal(view.everybody, 0);
	write_list(0, "!10.0.0.0/8");
	compile(false);
	assert_int_equal(rights_of("198.18.0.1"), 0);
}

static void one_search_tells_all_rights(void **state)
{
	(void)state;
	write_list(0, "0.0.0.0/0 ::/0");
	write_list(1, "198.18.0.0/15 fd00::/8");
	write_list(2, "198.18.0.7/32 fd00::7/128");
	compile(true);
	assert_true(view.terms.drops);
	assert_int_equal(view.terms.max_misses, 77);
	assert_int_equal(view.everybody, ACCESS_QUERY);
	assert_int_equal(rights_of("198.18.0.7"), ACCESS_ALL);
	assert_int_equal(rights_of("198.18.0.6"), ACCESS_QUERY | ACCESS_RECURSION);
	assert_int_equal(rights_of("198.18.0.8"), ACCESS_QUERY | ACCESS_RECURSION);
	assert_int_equal(rights_of("198.20.0.0"), ACCESS_QUERY);
	assert_int_equal(rights_of("fd00::7"), ACCESS_ALL);
	assert_int_equal(rights_of("fd00::8"), ACCESS_QUERY | ACCESS_RECURSION);
	assert_int_equal(rights_of("fe00::"), ACCESS_QUERY);
	assert_int_equal(access_rights(&view, NULL, 0), ACCESS_QUERY);
}

static void the_ends_of_the_address_space_are_in_it(void **state)
{
	(void)state;
	write_list(0, "255.255.255.255/32 0.0.0.0/32 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128 ::/128");
	compile(false);
	assert_int_equal(rights_of("0.0.0.0"), ACCESS_QUERY);
	assert_int_equal(rights_of("0.0.0.1"), 0);
	assert_int_equal(rights_of("255.255.255.254"), 0);
	assert_int_equal(rights_of("255.255.255.255"), ACCESS_QUERY);
	assert_int_equal(rights_of("::"), ACCESS_QUERY);
	assert_int_equal(rights_of("::1"), 0);
	assert_int_equal(rights_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), 0);
	assert_int_equal(rights_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ACCESS_QUERY);
}

static bool fits(const struct access_rule *rule, const uint8_t *address, unsigned address_bytes)
{
	unsigned whole = rule->length / 8, rest = rule->length % 8;
	if (rule->address_bytes != address_bytes || memcmp(rule->address, address, whole) != 0)
		return false;
	return !rest || !((rule->address[whole] ^ address[whole]) >> (8 - rest));
}

static unsigned plainly(const uint8_t *address, unsigned address_bytes)
{
	unsigned rights = 0;
	for (unsigned l = 0; l < ACCESS_RIGHTS; l++) {
		unsigned i = 0;
		while (i < lists[l].count && !fits(&lists[l].rule[i], address, address_bytes))
			i++;
		if (i < lists[l].count && !lists[l].rule[i].denies)
			rights |= 1u << l;
	}
	return rights;
}

static uint32_t next_random(uint32_t *seed)
{
	return *seed = *seed * 1664525u + 1013904223u;
}

// Few different octets, so that prefixes lie inside each other.
static void make_address(uint8_t *to, unsigned address_bytes, uint32_t *seed)
{
	static const uint8_t octets[] = { 0, 0, 0xff, 0x80, 0x7f, 1 };
	for (unsigned i = 0; i < address_bytes; i++)
		to[i] = octets[next_random(seed) >> 16 & 0xffff ? (next_random(seed) >> 16) % sizeof(octets) : 0];
}

static void random_lists_say_the_same_as_reading_them_rule_by_rule(void **state)
{
	(void)state;
	uint32_t seed = 1;
	for (unsigned round = 0; round < 300; round++) {
		for (unsigned l = 0; l < ACCESS_RIGHTS; l++) {
			lists[l] = (struct access_list){ rules[l], (next_random(&seed) >> 16) % RULES_MAX };
			for (unsigned i = 0; i < lists[l].count; i++) {
				struct access_rule *rule = &rules[l][i];
				*rule = (struct access_rule){ .address_bytes = next_random(&seed) >> 31 ? 4 : 16,
					.denies = next_random(&seed) >> 31 };
				make_address(rule->address, rule->address_bytes, &seed);
				rule->length = (uint8_t)((next_random(&seed) >> 16) % (rule->address_bytes * 8u + 1));
			}
		}
		compile(false);
		for (unsigned i = 0; i < 100; i++) {
			uint8_t address[16];
			unsigned address_bytes = i % 2 ? 4 : 16;
			make_address(address, address_bytes, &seed);
			assert_int_equal(access_rights(&view, address, address_bytes), plainly(address, address_bytes));
			for (unsigned again = 0; again < 2; again++)
				assert_int_equal(access_rights_next(&view, address, address_bytes), plainly(address, address_bytes));
		}
	}
}

static void neighbours_with_the_same_rights_become_one(void **state)
{
	(void)state;
	write_list(0, "198.18.0.0/25 198.18.0.128/25 198.18.0.7/32");
	compile(false);
	assert_int_equal(view.count4, 3);
	assert_int_equal(view.count6, 1);
}

static void without_a_block_everybody_may_ask_and_nobody_takes_zones(void **state)
{
	(void)state;
	assert_true(access_open(&view, NULL, 0));
	assert_int_equal(view.everybody, ACCESS_QUERY | ACCESS_RECURSION);
	assert_int_equal(rights_of("198.18.0.1"), ACCESS_QUERY | ACCESS_RECURSION);
}

static void rules_that_cannot_be_are_refused(void **state)
{
	(void)state;
	write_list(0, "198.18.0.0/33");
	assert_int_equal(access_compile(lists, &(struct access_terms){ 0 }, &block, &bytes), ST_INVALID);
	rules[0][0].length = 24;
	rules[0][0].address_bytes = 5;
	assert_int_equal(access_compile(lists, &(struct access_terms){ 0 }, &block, &bytes), ST_INVALID);
}

static void a_damaged_block_gives_no_rights_and_no_look_up_leaves_it(void **state)
{
	(void)state;
	write_list(0, "198.18.0.0/24 198.18.2.0/24 fd00::/8");
	compile(false);
	uint8_t *octets = block;
	for (uint64_t shorter = 0; shorter < bytes; shorter++) {
		assert_false(access_open(&view, block, shorter));
		assert_int_equal(rights_of("198.18.0.1"), 0);
	}
	for (uint64_t i = 0; i < bytes; i++) {
		uint8_t before = octets[i];
		octets[i] ^= 0xa5;
		// The judge may find nothing wrong with other rights; a look-up then stays inside all the same.
		if (access_open(&view, block, bytes)) {
			assert_true(rights_of("198.18.0.1") <= 0xff);
			assert_true(rights_of("ffff::") <= 0xff);
		}
		octets[i] = before;
	}
	assert_true(access_check(block, bytes));
	octets[bytes - 1] = 0x80; // a right that does not exist
	assert_false(access_check(block, bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_rule_that_fits_decides, setup, teardown),
		cmocka_unit_test_setup_teardown(who_fits_no_rule_has_no_right, setup, teardown),
		cmocka_unit_test_setup_teardown(one_search_tells_all_rights, setup, teardown),
		cmocka_unit_test_setup_teardown(the_ends_of_the_address_space_are_in_it, setup, teardown),
		cmocka_unit_test_setup_teardown(random_lists_say_the_same_as_reading_them_rule_by_rule, setup, teardown),
		cmocka_unit_test_setup_teardown(neighbours_with_the_same_rights_become_one, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_block_everybody_may_ask_and_nobody_takes_zones, setup, teardown),
		cmocka_unit_test_setup_teardown(rules_that_cannot_be_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_block_gives_no_rights_and_no_look_up_leaves_it, setup, teardown),
	};
	int result = cmocka_run_group_tests(tests, NULL, NULL);
	return result ? 1 : 0;
}
