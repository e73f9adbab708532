// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "tls.h"

#define PINS_MAX 8

struct tls_profile {
	unsigned references, pin_count;
	SSL_CTX *context;
	char *name;
	uint8_t pins[PINS_MAX][TLS_PIN_BYTES];
};

static bool key_is_pinned(const struct tls_profile *profile, const X509 *certificate)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned bytes = 0;
	uint8_t *key = NULL;
	int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
	bool made = length > 0 && EVP_Digest(key, (size_t)length, digest, &bytes, EVP_sha256(), NULL) == 1;
	OPENSSL_free(key);
	for (unsigned i = 0; made && i < profile->pin_count; i++)
		if (!memcmp(profile->pins[i], digest, TLS_PIN_BYTES))
			return true;
	return false;
}

// RFC 7858 4.2: the pin is of the key that the server proves to have in the handshake, so no authority is needed for it.
static int verify(X509_STORE_CTX *store, void *ctx)
{
	const struct tls_profile *profile = ctx;
	if (profile->name && X509_verify_cert(store) != 1)
		return 0;
	if (profile->pin_count && !key_is_pinned(profile, X509_STORE_CTX_get0_cert(store))) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
		return 0;
	}
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION **to = SSL_get_app_data(ssl);
	if (!to)
		return 0;
	SSL_SESSION_free(*to);
	*to = session; // it is ours now
	return 1;
}

static bool load_authorities(SSL_CTX *context, const struct tls_options *options, char *problem)
{
	if (!options->name)
		return true;
	if (!options->ca_file && SSL_CTX_set_default_verify_paths(context) == 1)
		return true;
	errno = 0;
	if (options->ca_file && SSL_CTX_load_verify_file(context, options->ca_file) == 1)
		return true;
	snprintf(problem, TLS_PROBLEM_BYTES, "cannot read authorities from %s: %s",
		options->ca_file ? options->ca_file : "the system's store",
		errno ? strerror(errno) : "no certificate in PEM form there");
	ERR_clear_error();
	return false;
}

static bool set_up(struct tls_profile *profile, const struct tls_options *options, char *problem)
{
	// RFC 7858 3.2 has the client say nothing of a protocol; "dot" is registered for it (RFC 7858's ALPN identifier).
	static const uint8_t protocols[] = { 3, 'd', 'o', 't' };
	SSL_CTX *context = profile->context;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION); // RFC 9325 3.1.1
	// Messages have lengths of their own, so an end without notice cuts none short unseen.
	SSL_CTX_set_options(
		context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_alpn_protos(context, protocols, sizeof(protocols));
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, on_new_session);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(context, verify, profile);
	return load_authorities(context, options, problem);
}

struct tls_profile *tls_profile_new(const struct tls_options *options, char *problem)
{
	snprintf(problem, TLS_PROBLEM_BYTES, "out of memory");
	struct tls_profile *profile = calloc(1, sizeof(*profile));
	if (!profile)
		return NULL;
	profile->references = 1;
	profile->pin_count = options->pin_count < PINS_MAX ? options->pin_count : PINS_MAX;
	if (profile->pin_count)
		memcpy(profile->pins, options->pins, profile->pin_count * sizeof(profile->pins[0]));
	profile->name = options->name ? strdup(options->name) : NULL;
	profile->context = SSL_CTX_new(TLS_client_method());
	if (!profile->name && !profile->pin_count)
		snprintf(problem, TLS_PROBLEM_BYTES, "neither a name nor a pin to know the server by");
	else if (profile->context && !(options->name && !profile->name) && set_up(profile, options, problem))
		return profile;
	tls_profile_drop(profile);
	return NULL;
}

struct tls_profile *tls_profile_keep(struct tls_profile *profile)
{
	profile->references++;
	return profile;
}

void tls_profile_drop(struct tls_profile *profile)
{
	if (!profile || --profile->references)
		return;
	SSL_CTX_free(profile->context);
	free(profile->name);
	free(profile);
}

SSL *tls_start(struct tls_profile *profile, SSL_SESSION **session)
{
	SSL *ssl = SSL_new(profile->context);
	if (!ssl)
		return NULL;
	// RFC 8310 8.1, RFC 9525: the name is compared, without partial wildcards.
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	bool named = !profile->name ||
		     (SSL_set1_host(ssl, profile->name) == 1 && SSL_set_tlsext_host_name(ssl, profile->name) == 1);
	if (!named) {
		SSL_free(ssl);
		return NULL;
	}
	if (*session)
		SSL_set_session(ssl, *session);
	SSL_set_app_data(ssl, (char *)session);
	return ssl;
}

void tls_end(SSL *ssl)
{
	SSL_set_app_data(ssl, NULL);
	// RFC 8446 6.1: said, not waited for. A session whose connection ended without it is not taken up again.
	if (SSL_is_init_finished(ssl))
		SSL_shutdown(ssl);
	ERR_clear_error();
}

void tls_problem(const SSL *ssl, unsigned long openssl_error, char *to)
{
	long found = SSL_get_verify_result(ssl);
	const char *reason = openssl_error ? ERR_reason_error_string(openssl_error) : NULL;
	if (found == X509_V_ERR_APPLICATION_VERIFICATION)
		snprintf(to, TLS_PROBLEM_BYTES, "certificate: no pin fits its key");
	else if (found != X509_V_OK)
		snprintf(to, TLS_PROBLEM_BYTES, "certificate: %s", X509_verify_cert_error_string(found));
	else
		snprintf(to, TLS_PROBLEM_BYTES, "TLS: %s", reason ? reason : "handshake failed");
}
