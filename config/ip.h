// SPDX-License-Identifier: BSD-3-Clause
// Addresses as they stand in a configuration.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <pollux/config.h>

#define IP_TEXT_BYTES 64 // the longest of the forms below with its NUL

// "198.18.0.53/24", "2001:db8::53/64"; a missing length is that of one address. NULL: good, else what is
// wrong.
const char *ip_read_prefix(struct ip_prefix *, const char *text);
// "198.18.0.1", "198.18.0.1@5300", "2001:db8::1", "2001:db8::1@5300", "[2001:db8::1]:5300".
const char *ip_read_endpoint(struct ip_endpoint *, const char *text, unsigned default_port);
// An address alone.
const char *ip_read_address(int *family, unsigned char bytes[16], const char *text);

void ip_print_prefix(const struct ip_prefix *, char *to, size_t room);
// The port is left out when it is `default_port`.
void ip_print_endpoint(const struct ip_endpoint *, unsigned default_port, char *to, size_t room);

unsigned ip_bytes(int family); // 4, 16; 0: no family
bool ip_same(int family, const unsigned char *, int other_family, const unsigned char *);
bool ip_in_prefix(const struct ip_prefix *, int family, const unsigned char *);
bool ip_is_link_local(int family, const unsigned char *); // RFC 3927, RFC 4291 2.5.6
void ip_clear_host_bits(struct ip_prefix *); // what is behind the prefix
bool ip_is_loopback(int family, const unsigned char *);
// No host may have it: unspecified, multicast, 255.255.255.255.
bool ip_is_no_host(int family, const unsigned char *);
