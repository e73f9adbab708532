// SPDX-License-Identifier: BSD-3-Clause
// VLAN tags (IEEE 802.1Q, two at most) of a port's peers. The kernel's stack behind a TAP sees untagged
// frames only; what it sends gets the tags that its receiver's own frames carried, or those of the router it
// goes to. A fixed number of peers is remembered, a newer one may push an older one out; for the unknown the
// port's latest tags are the best guess. Tags come from whoever sends frames, and a guess shall not make a
// neighbour unreachable: a question for a neighbour goes where it was last, with the latest tags, and without any.
// One thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TAGS_MAX_BYTES 8 // behind the two MACs, at offset TAGS_AT
#define TAGS_AT 12

struct tags;

struct tags *tags_new(void); // NULL: no memory
void tags_free(struct tags *);

// The octets of tags in a received frame, 0, 4 or 8, at frame + TAGS_AT; remembers them for the sender.
unsigned tags_learn(struct tags *, const uint8_t *frame, size_t bytes);

struct tag_choice {
	uint8_t tags[TAGS_MAX_BYTES];
	unsigned bytes; // 0, 4 or 8
};
#define TAG_CHOICES_MAX 3
// How an untagged frame is to be sent: once with each of these, at least one. More than one only for frames
// to a group, which are neighbour questions.
unsigned tags_for(const struct tags *, const uint8_t *frame, size_t bytes, struct tag_choice to[TAG_CHOICES_MAX]);
