// SPDX-License-Identifier: BSD-3-Clause
// DNS over TLS (RFC 7858) as its client: what a server must show to be believed (RFC 8310 strict profile), and
// sessions to resume. One event loop's thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#define TLS_PIN_BYTES 32
#define TLS_PROBLEM_BYTES 160

struct tls_profile;

struct tls_options {
	const char *name;    // the certificate must be for it, and signed by an authority; NULL: pins alone decide
	const char *ca_file; // PEM; NULL: the system's authorities
	const uint8_t (*pins)[TLS_PIN_BYTES]; // SHA-256 of the SubjectPublicKeyInfo of the server (RFC 7858 4.2)
	unsigned pin_count;		      // 0: the name alone decides; else one pin must fit as well
};

// With one reference; name or pins are needed. NULL: `problem` (TLS_PROBLEM_BYTES) says why.
struct tls_profile *tls_profile_new(const struct tls_options *, char *problem);
struct tls_profile *tls_profile_keep(struct tls_profile *);
void tls_profile_drop(struct tls_profile *); // NULL is fine

// A client's end, ready for its handshake; resumes *session if there is one, and puts newer ones there (RFC 8446 2.2)
// until tls_end(). NULL: no memory.
SSL *tls_start(struct tls_profile *, SSL_SESSION **session);
void tls_end(SSL *); // before it is freed
// Why the handshake failed, for people: "certificate has expired". `to` has room for TLS_PROBLEM_BYTES.
void tls_problem(const SSL *, unsigned long openssl_error, char *to);
