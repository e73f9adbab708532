// SPDX-License-Identifier: BSD-3-Clause
// VLAN tags (IEEE 802.1Q, two at most) of a port's peers. The kernel's stack behind a TAP sees untagged
// frames only; what it sends gets the tags that its receiver's own frames carried. A fixed number of
// peers is remembered, a newer one may push an older one out; for the unknown the port's latest tags
// are the best guess. One thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TAGS_MAX_BYTES 8 // behind the two MACs, at offset TAGS_AT
#define TAGS_AT 12

struct tags;

struct tags *tags_new(void); // NULL: no memory. Peers cost memory only from the first tagged frame on.
void tags_free(struct tags *);

// The octets of tags in a received frame, 0, 4 or 8, at frame + TAGS_AT; remembers them for the sender.
unsigned tags_learn(struct tags *, const uint8_t *frame, size_t bytes);
// The tags for an untagged frame that is about to be sent: copies them to `to`, returns how many octets.
unsigned tags_for(const struct tags *, const uint8_t *frame, size_t bytes, uint8_t to[TAGS_MAX_BYTES]);
