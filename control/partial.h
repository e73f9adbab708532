// SPDX-License-Identifier: BSD-3-Clause
// Checksums that the sender left to hardware which never came: on veth and other virtual ports the field
// of TCP and UDP then holds the folded sum of the pseudo header alone. Pure; any thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct partial {
	unsigned start_at; // the transport header in the frame: from here to the end the sum is missing
	unsigned field_at; // the checksum field in the transport header
};

// Whether the Ethernet frame (tags allowed) holds an unfragmented TCP or UDP packet with such a checksum.
bool partial_find(struct partial *, const uint8_t *frame, size_t bytes);
