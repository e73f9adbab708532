// SPDX-License-Identifier: BSD-3-Clause
// Neighbours' questions, answered in the frame they came in: ARP, neighbour discovery, echo. Called by
// frame_check() with offsets that lie inside the frame; the verdict is a counter, see there.
#pragma once

#include <pollux/counters.h>

#include "frame.h"

enum counter arp_answer(const struct station *, struct frame *);
enum counter icmp4_answer(struct frame *);
// `to_group`: the destination is a multicast group that frame_check() found acceptable.
enum counter icmp6_answer(const struct station *, struct frame *, bool to_group);
