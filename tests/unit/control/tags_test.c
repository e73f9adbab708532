// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pollux/bytes.h>

#include "tags.h"

#define FRAME_BYTES 100

static int open_tags(void **state)
{
	*state = tags_new();
	return *state ? 0 : -1;
}

static int close_tags(void **state)
{
	tags_free(*state);
	return 0;
}

// From and to 198.18.0.`peer`, with these tags.
static size_t ip4_frame(uint8_t *frame, uint8_t peer, const void *tags, unsigned tag_bytes)
{
	memset(frame, 0, FRAME_BYTES);
	memcpy(frame + TAGS_AT, tags, tag_bytes);
	uint8_t *at = frame + TAGS_AT + tag_bytes;
	store_be16(at, 0x0800);
	memcpy(at + 2 + 12, (uint8_t[]){ 198, 18, 0, peer, 198, 18, 0, peer }, 8);
	return TAGS_AT + tag_bytes + 2 + 20;
}

static unsigned only_choice(struct tags *tags, const uint8_t *frame, size_t bytes, uint8_t to[TAGS_MAX_BYTES])
{
	struct tag_choice choice[TAG_CHOICES_MAX];
	assert_int_equal(tags_for(tags, frame, bytes, choice), 1);
	memcpy(to, choice[0].tags, TAGS_MAX_BYTES);
	return choice[0].bytes;
}

static unsigned sent_to(struct tags *tags, uint8_t peer, uint8_t to[TAGS_MAX_BYTES])
{
	uint8_t frame[FRAME_BYTES];
	return only_choice(tags, frame, ip4_frame(frame, peer, "", 0), to);
}

static void without_tagged_frames_nothing_is_tagged(void **state)
{
	uint8_t frame[FRAME_BYTES], to[TAGS_MAX_BYTES];
	size_t bytes = ip4_frame(frame, 1, "", 0);
	assert_int_equal(tags_learn(*state, frame, bytes), 0);
	assert_int_equal(sent_to(*state, 1, to), 0);
}

static void each_peer_gets_its_own_tags_back(void **state)
{
	uint8_t frame[FRAME_BYTES], to[TAGS_MAX_BYTES];
	size_t bytes = ip4_frame(frame, 1, "\x81\0\0\5", 4);
	assert_int_equal(tags_learn(*state, frame, bytes), 4);
	bytes = ip4_frame(frame, 2, "\x88\xa8\0\6\x81\0\0\7", 8);
	assert_int_equal(tags_learn(*state, frame, bytes), 8);
	bytes = ip4_frame(frame, 3, "", 0);
	assert_int_equal(tags_learn(*state, frame, bytes), 0);

	assert_int_equal(sent_to(*state, 1, to), 4);
	assert_memory_equal(to, "\x81\0\0\5", 4);
	assert_int_equal(sent_to(*state, 2, to), 8);
	assert_memory_equal(to, "\x88\xa8\0\6\x81\0\0\7", 8);
	assert_int_equal(sent_to(*state, 3, to), 0);
}

static void the_unknown_get_the_latest_tags(void **state)
{
	uint8_t frame[FRAME_BYTES], to[TAGS_MAX_BYTES];
	size_t bytes = ip4_frame(frame, 1, "\x81\0\0\5", 4);
	tags_learn(*state, frame, bytes);
	bytes = ip4_frame(frame, 1, "\x81\0\0\6", 4);
	tags_learn(*state, frame, bytes);
	assert_int_equal(sent_to(*state, 200, to), 4);
	assert_memory_equal(to, "\x81\0\0\6", 4);
}

static void a_solicitation_is_for_its_target(void **state)
{
	uint8_t frame[FRAME_BYTES] = { 0 }, to[TAGS_MAX_BYTES];
	memcpy(frame + TAGS_AT, "\x81\0\0\5\x86\xdd", 6);
	frame[18 + 6] = 17;
	memset(frame + 18 + 8, 0xaa, 16); // the sender
	assert_int_equal(tags_learn(*state, frame, 18 + 40), 4);
	size_t bytes = ip4_frame(frame, 1, "\x81\0\0\6", 4); // so that the latest are others
	tags_learn(*state, frame, bytes);

	memset(frame, 0, sizeof(frame));
	memcpy(frame + TAGS_AT, "\x86\xdd", 2);
	frame[14 + 6] = 58;
	memset(frame + 14 + 24, 0xff, 16);
	frame[14 + 40] = 135;
	memset(frame + 14 + 48, 0xaa, 16);
	assert_int_equal(only_choice(*state, frame, 14 + 40 + 24, to), 4);
	assert_memory_equal(to, "\x81\0\0\5", 4);
}

static void cut_frames_are_never_read_beyond_their_end(void **state)
{
	uint8_t frame[FRAME_BYTES], to[TAGS_MAX_BYTES];
	struct tag_choice choice[TAG_CHOICES_MAX];
	size_t whole = ip4_frame(frame, 1, "\x88\xa8\0\6\x81\0\0\7", 8);
	tags_learn(*state, frame, whole);
	for (size_t bytes = TAGS_AT; bytes < whole; bytes++) {
		uint8_t *cut = malloc(bytes); // of that very size, for the sanitizer
		memcpy(cut, frame, bytes);
		tags_learn(*state, cut, bytes);
		tags_for(*state, cut, bytes, choice);
		free(cut);
	}
	assert_int_equal(sent_to(*state, 1, to), 8);
}

static void what_goes_through_a_router_gets_the_tags_of_the_router(void **state)
{
	uint8_t frame[FRAME_BYTES], to[TAGS_MAX_BYTES];
	size_t bytes = ip4_frame(frame, 1, "", 0); // the router, before anybody used tags
	memcpy(frame + 6, "\2\0\0\0\0\1", 6);
	tags_learn(*state, frame, bytes);
	bytes = ip4_frame(frame, 2, "\x81\0\0\5", 4); // another router
	memcpy(frame + 6, "\2\0\0\0\0\2", 6);
	tags_learn(*state, frame, bytes);
	bytes = ip4_frame(frame, 3, "\x81\0\0\6", 4);
	tags_learn(*state, frame, bytes);

	bytes = ip4_frame(frame, 200, "", 0);
	memcpy(frame, "\2\0\0\0\0\1", 6);
	assert_int_equal(only_choice(*state, frame, bytes, to), 0);
	memcpy(frame, "\2\0\0\0\0\2", 6);
	assert_int_equal(only_choice(*state, frame, bytes, to), 4);
	assert_memory_equal(to, "\x81\0\0\5", 4);
}

// An ARP question for 198.18.0.`peer`.
static size_t arp_question(uint8_t *frame, uint8_t peer)
{
	memset(frame, 0, FRAME_BYTES);
	memset(frame, 0xff, 6);
	store_be16(frame + TAGS_AT, 0x0806);
	memcpy(frame + TAGS_AT + 2 + 24, (uint8_t[]){ 198, 18, 0, peer }, 4);
	return TAGS_AT + 2 + 28;
}

static void a_neighbour_is_asked_for_where_it_was_with_the_latest_tags_and_without_any(void **state)
{
	uint8_t frame[FRAME_BYTES];
	struct tag_choice choice[TAG_CHOICES_MAX];
	assert_int_equal(tags_for(*state, frame, arp_question(frame, 9), choice), 1);
	assert_int_equal(choice[0].bytes, 0);

	tags_learn(*state, frame, ip4_frame(frame, 1, "\x81\0\0\5", 4));
	tags_learn(*state, frame, ip4_frame(frame, 2, "\x81\0\0\6", 4));
	assert_int_equal(tags_for(*state, frame, arp_question(frame, 1), choice), 3);
	assert_memory_equal(choice[0].tags, "\x81\0\0\5", 4);
	assert_memory_equal(choice[1].tags, "\x81\0\0\6", 4);
	assert_int_equal(choice[2].bytes, 0);
	assert_int_equal(tags_for(*state, frame, arp_question(frame, 2), choice), 2);
	assert_int_equal(tags_for(*state, frame, arp_question(frame, 9), choice), 2);
	assert_memory_equal(choice[0].tags, "\x81\0\0\6", 4);
	assert_int_equal(choice[1].bytes, 0);
}

#define RULE(f) cmocka_unit_test_setup_teardown(f, open_tags, close_tags)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(without_tagged_frames_nothing_is_tagged),
		RULE(each_peer_gets_its_own_tags_back),
		RULE(the_unknown_get_the_latest_tags),
		RULE(a_solicitation_is_for_its_target),
		RULE(what_goes_through_a_router_gets_the_tags_of_the_router),
		RULE(a_neighbour_is_asked_for_where_it_was_with_the_latest_tags_and_without_any),
		RULE(cut_frames_are_never_read_beyond_their_end),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	return r ? 1 : 0;
}
