// SPDX-License-Identifier: BSD-3-Clause
// SHA-1 (RFC 3174), for NSEC3 only: it is computed on the packet path, where a library that allocates its
// state has no place. Pure, any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA1_BYTES 20
#define SHA1_MAX_INPUT 640 // a name of 255 octets, a salt of 255, padding

// Hashes `bytes` octets, at most SHA1_MAX_INPUT - 9. Uses the CPU's SHA instructions where it has them.
void sha1(uint8_t digest[SHA1_BYTES], const uint8_t *message, size_t bytes);
// The same in plain C, the twin that tests compare with.
void sha1_plain(uint8_t digest[SHA1_BYTES], const uint8_t *message, size_t bytes);
