// SPDX-License-Identifier: BSD-3-Clause
// Certificates made at test time: an authority, and servers that it signs for.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

struct authority {
	EVP_PKEY *key;
	X509 *certificate;
	char path[64]; // of the certificate as PEM
};
void authority_make(struct authority *);
void authority_drop(struct authority *);

// A server's end with a certificate for `name`, valid from now for so many seconds (negative: it has expired), and the
// SHA-256 of its key.
SSL_CTX *server_context(const struct authority *, const char *name, long valid_s, uint8_t pin[32]);
