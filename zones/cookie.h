// SPDX-License-Identifier: BSD-3-Clause
// Server cookies of version 1 (RFC 9018): nothing is remembered of a client but what it brings back. Pure; any
// thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/answer.h>

// SipHash-2-4 of `bytes` octets, as the little-endian number of its specification.
uint64_t siphash(const uint8_t key[COOKIE_SECRET_BYTES], const uint8_t *data, size_t bytes);

// What a client's cookie is worth.
enum cookie_worth {
	COOKIE_BAD,   // only a client cookie, one of another server, forged, or too old
	COOKIE_GOOD,  // ours, but it is time for a new one
	COOKIE_FRESH, // ours, and may go back as it is
};

// The whole cookie that goes back: the client's part and ours. `cookie` are the `bytes` octets the client sent, at least
// COOKIE_CLIENT_BYTES. The parties have an identity with a secret, and a client.
enum cookie_worth cookie_renew(uint8_t to[COOKIE_CLIENT_BYTES + COOKIE_SERVER_BYTES], const struct parties *,
	const uint8_t *cookie, unsigned bytes);
