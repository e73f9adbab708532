// SPDX-License-Identifier: BSD-3-Clause
// Plugins inside a resolver: whatever they do, each question has exactly one end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/event.h>
#include <pollux/bytes.h>
#include <pollux/rrtype.h>

#include "plugins.h"

#define LIMIT_S 8 // of every wait
#define ASKED_MAX (PLUGIN_REPLIES_MAX + 8)

static struct event_base *base;
static struct catalog *catalog;
static char rows[2048]; // of the configuration
static struct config *config;
static struct resolver *resolver;
static char folder[] = "/tmp/pollux-plugins-XXXXXX", region[64];

static struct answer {
	unsigned calls, bytes, rcode, records;
	bool dropped;
} answers[ASKED_MAX];
static unsigned asked, open_count;

static void on_done(void *ctx, const uint8_t *wire, unsigned bytes)
{
	struct answer *a = ctx;
	a->calls++;
	a->bytes = bytes;
	a->dropped = !wire;
	if (wire) {
		struct message m;
		assert_int_equal(message_read(&m, wire, bytes), ST_OK);
		a->rcode = m.rcode;
		a->records = m.section_at[SECTION_ANSWER + 1];
		message_clear(&m);
	}
	if (!--open_count)
		event_base_loopbreak(base);
}

static void add_plugin(const char *name, const char *options, unsigned deadline_ms)
{
	size_t used = strlen(rows);
	snprintf(rows + used, sizeof(rows) - used,
		"  - {name: %s, file: %s/%s.so, options: \"%s\", time-limit: 1s, deadline: %ums}\n", name,
		PLUGIN_DIRECTORY, name, options, deadline_ms);
}

static struct config *read_config(void)
{
	char text[4096];
	struct report report = { 0 };
	struct config *fresh;
	snprintf(text, sizeof(text), "forward: {via: management}\nstate-dir: %s\n%s%s", folder,
		*rows ? "plugins:\n" : "", rows);
	assert_int_equal(config_read_text(&fresh, text, strlen(text), "test", &report), ST_OK);
	return fresh;
}

static void start(void)
{
	config = read_config();
	resolver = resolver_new(base, config, catalog, NULL);
	assert_non_null(resolver);
}

static void take_all_out(void)
{
	rows[0] = 0;
	struct config *fresh = read_config();
	resolver_reconfigure(resolver, fresh);
	config_free(config);
	config = fresh;
}

static int open_all(void **state)
{
	(void)state;
	base = event_base_new();
	asked = open_count = 0;
	memset(answers, 0, sizeof(answers));
	rows[0] = 0;
	snprintf(region, sizeof(region), "%s/zones", folder);
	return !base || catalog_open_writer(&catalog, region) != ST_OK;
}

static int close_all(void **state)
{
	(void)state;
	resolver_free(resolver);
	resolver = NULL;
	catalog_close(catalog);
	event_base_free(base);
	config_free(config);
	config = NULL;
	unlink(region);
	return 0;
}

static struct answer *ask(const char *label)
{
	uint8_t wire[64] = { 0x12, 0x34, 1, 0, 0, 1 };
	static const struct asker asker = { .transport = OVER_UDP };
	size_t bytes = strlen(label);
	unsigned at = DNS_HEADER_BYTES;
	wire[at++] = (uint8_t)bytes;
	memcpy(wire + at, label, bytes);
	memcpy(wire + at + bytes, "\7example\0\0\1\0\1", 13);
	struct answer *a = &answers[asked++];
	open_count++;
	resolver_ask(resolver, &asker, wire, at + (unsigned)bytes + 13, on_done, a);
	return a;
}

static void await_all(void)
{
	struct timeval limit = { .tv_sec = LIMIT_S };
	if (open_count) {
		event_base_loopexit(base, &limit);
		event_base_dispatch(base);
	}
	assert_int_equal(open_count, 0);
	for (unsigned i = 0; i < asked; i++)
		assert_int_equal(answers[i].calls, 1);
}

static void find(void *ctx, const struct plugin *p)
{
	const struct plugin **found = ctx;
	if (!found[1] && strcmp(p->name, (const char *)found[0]) == 0)
		found[1] = p;
}

static const struct plugin *plugin(const char *name)
{
	const void *found[2] = { name, NULL };
	plugins_each(resolver, find, found);
	assert_non_null(found[1]);
	return found[1];
}

static void expect(const struct answer *a, unsigned rcode, unsigned records)
{
	assert_int_equal(a->rcode, rcode);
	assert_int_equal(a->records, records);
}

static void an_answer_may_come_at_once_or_later_from_anywhere(void **state)
{
	(void)state;
	add_plugin("hello", "", 1000);
	add_plugin("later", "", 1000);
	start();
	const struct answer *now = ask("hello"), *timer = ask("timer"), *thread = ask("thread"),
			    *twice = ask("twice");
	const struct answer *nobody = ask("other");
	assert_int_equal(now->calls, 1);
	assert_int_equal(timer->calls, 0);
	await_all();
	expect(now, RCODE_NOERROR, 1);
	expect(timer, RCODE_NOERROR, 1);
	expect(thread, RCODE_NOERROR, 1);
	expect(twice, RCODE_NOERROR, 1);
	expect(nobody, RCODE_REFUSED, 0);
	assert_int_equal(plugin("later")->counters.answers, 3);
	assert_int_equal(plugin("later")->open_count, 0);
}

static void what_comes_after_the_deadline_is_ignored(void **state)
{
	(void)state;
	add_plugin("later", "", 10); // its timer needs 20 ms
	start();
	const struct answer *late = ask("timer");
	await_all();
	expect(late, RCODE_REFUSED, 0);
	assert_int_equal(plugin("later")->open_count, 1);
	struct timeval limit = { .tv_sec = LIMIT_S };
	event_base_loopexit(base, &limit);
	while (plugin("later")->open_count && !event_base_got_exit(base))
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(plugin("later")->open_count, 0);
	assert_int_equal(plugin("later")->counters.late, 1);
	assert_int_equal(plugin("later")->counters.answers, 0);
}

static void the_next_plugin_is_asked_after_a_deadline(void **state)
{
	(void)state;
	add_plugin("later", "", 10);
	add_plugin("hello", "never.example.", 1000);
	start();
	const struct answer *a = ask("never");
	await_all();
	expect(a, RCODE_NOERROR, 1);
}

static void a_plugin_that_is_taken_out_lets_its_questions_go(void **state)
{
	(void)state;
	add_plugin("later", "", 60000);
	start();
	const struct answer *never = ask("never"), *timer = ask("timer");
	take_all_out();
	await_all();
	expect(never, RCODE_REFUSED, 0);
	expect(timer, RCODE_REFUSED, 0);
	assert_int_equal(resolver_counters(resolver)->open, 0);
}

static void other_options_are_the_end_of_what_the_old_ones_began(void **state)
{
	(void)state;
	add_plugin("later", "", 60000);
	start();
	const struct answer *never = ask("never"), *timer = ask("timer"), *thread = ask("thread");
	rows[0] = 0;
	add_plugin("later", "other", 60000);
	struct config *fresh = read_config();
	resolver_reconfigure(resolver, fresh);
	config_free(config);
	config = fresh;
	await_all();
	expect(never, RCODE_REFUSED, 0);
	expect(timer, RCODE_REFUSED, 0);
	expect(thread, RCODE_REFUSED, 0);
	assert_int_equal(plugin("later")->open_count, 0);
	const struct answer *again = ask("timer");
	await_all();
	expect(again, RCODE_NOERROR, 1);
}

static void the_end_of_the_resolver_is_the_end_of_its_questions(void **state)
{
	(void)state;
	add_plugin("later", "", 60000);
	start();
	const struct answer *never = ask("never"), *thread = ask("thread");
	resolver_free(resolver);
	resolver = NULL;
	assert_true(never->dropped);
	assert_int_equal(thread->calls, 1);
	assert_int_equal(open_count, 0);
}

static void questions_beyond_the_most_pass_it_by(void **state)
{
	(void)state;
	add_plugin("later", "", 60000);
	start();
	for (unsigned i = 0; i < PLUGIN_REPLIES_MAX; i++)
		ask("never");
	assert_int_equal(plugin("later")->open_count, PLUGIN_REPLIES_MAX);
	const struct answer *one_more = ask("never");
	expect(one_more, RCODE_REFUSED, 0);
	assert_int_equal(plugin("later")->counters.passed_by, 1);
	take_all_out();
	await_all();
}

static void what_cannot_be_loaded_has_a_reason_and_hurts_nobody(void **state)
{
	(void)state;
	add_plugin("other_abi", "", 1000);
	add_plugin("no_plugin", "", 1000);
	add_plugin("hello", "", 1000);
	start();
	const struct answer *a = ask("hello");
	await_all();
	expect(a, RCODE_NOERROR, 1);
	assert_null(plugin("other_abi")->door);
	assert_non_null(strstr(plugin("other_abi")->failed, "version 8"));
	assert_string_equal(plugin("no_plugin")->failed, "exports no pollux_plugin, so it is none");
}

static void garbage_does_no_harm(void **state)
{
	(void)state;
	add_plugin("garbage", "", 1000);
	add_plugin("sign", "", 1000);
	start();
	const struct answer *garbage = ask("garbage"), *odd = ask("odd"), *other = ask("many");
	await_all();
	expect(garbage, RCODE_NOERROR, 1);
	expect(odd, RCODE_REFUSED, 0);
	expect(other, RCODE_REFUSED, 0);
	assert_true(other->bytes <= DNS_UDP_PLAIN_BYTES);
	assert_true(plugin("garbage")->counters.errors > 5);
	assert_int_equal(plugin("garbage")->open_count, 0);
	assert_int_equal(plugin("sign")->counters.added, 3); // the other texts find no room
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
	const struct CMUnitTest tests[] = {
		TEST(an_answer_may_come_at_once_or_later_from_anywhere),
		TEST(what_comes_after_the_deadline_is_ignored),
		TEST(the_next_plugin_is_asked_after_a_deadline),
		TEST(a_plugin_that_is_taken_out_lets_its_questions_go),
		TEST(other_options_are_the_end_of_what_the_old_ones_began),
		TEST(the_end_of_the_resolver_is_the_end_of_its_questions),
		TEST(questions_beyond_the_most_pass_it_by),
		TEST(what_cannot_be_loaded_has_a_reason_and_hurts_nobody),
		TEST(garbage_does_no_harm),
	};
	if (!mkdtemp(folder))
		return 1;
	int r = cmocka_run_group_tests_name("plugins", tests, NULL, NULL);
	rmdir(folder);
	return r ? 1 : 0;
}
