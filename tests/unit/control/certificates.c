// SPDX-License-Identifier: BSD-3-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "certificates.h"

static void add_extension(X509 *certificate, X509 *issuer, int kind, const char *text)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, text);
	assert_non_null(extension);
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
}

static X509 *certificate_for(EVP_PKEY *key, const char *subject, long from_s, long until_s)
{
	static long serial = 1;
	X509 *certificate = X509_new();
	assert_non_null(certificate);
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
	X509_gmtime_adj(X509_getm_notAfter(certificate), until_s);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
		(const unsigned char *)subject, -1, -1, 0);
	return certificate;
}

void authority_make(struct authority *a)
{
	static unsigned number;
	char name[32];
	snprintf(name, sizeof(name), "authority %u", ++number);
	a->key = EVP_EC_gen("P-256");
	assert_non_null(a->key);
	a->certificate = certificate_for(a->key, name, -100000, 100000);
	X509_set_issuer_name(a->certificate, X509_get_subject_name(a->certificate));
	add_extension(a->certificate, a->certificate, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(a->certificate, a->key, EVP_sha256()) > 0);
	strlcpy(a->path, "/tmp/pollux-authority-XXXXXX", sizeof(a->path));
	int fd = mkstemp(a->path);
	assert_true(fd >= 0);
	FILE *file = fdopen(fd, "w");
	assert_int_equal(PEM_write_X509(file, a->certificate), 1);
	fclose(file);
}

void authority_drop(struct authority *a)
{
	unlink(a->path);
	X509_free(a->certificate);
	EVP_PKEY_free(a->key);
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_bytes, const unsigned char *in,
	unsigned in_bytes, void *ctx)
{
	(void)ssl;
	(void)ctx;
	assert_int_equal(in_bytes, 4);
	assert_memory_equal(in, "\3dot", 4);
	*out = in + 1;
	*out_bytes = 3;
	return SSL_TLSEXT_ERR_OK;
}

SSL_CTX *server_context(const struct authority *a, const char *name, long valid_s, uint8_t pin[32])
{
	char names[300];
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = certificate_for(key, "a server of a test", -50000, valid_s);
	X509_set_issuer_name(certificate, X509_get_subject_name(a->certificate));
	snprintf(names, sizeof(names), "DNS:%s", name);
	add_extension(certificate, a->certificate, NID_subject_alt_name, names);
	assert_true(X509_sign(certificate, a->key, EVP_sha256()) > 0);
	uint8_t *public = NULL;
	int bytes = i2d_PUBKEY(key, &public);
	assert_true(bytes > 0);
	assert_int_equal(EVP_Digest(public, (size_t)bytes, pin, NULL, EVP_sha256(), NULL), 1);
	OPENSSL_free(public);
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	assert_non_null(context);
	assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return context;
}
