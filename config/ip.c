// SPDX-License-Identifier: BSD-3-Clause
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ip.h"

unsigned ip_bytes(int family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

const char *ip_read_address(int *family, unsigned char bytes[16], const char *text)
{
	memset(bytes, 0, 16);
	*family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(*family, text, bytes) == 1)
		return NULL;
	if (strchr(text, '%'))
		return "is an address with a zone (%), which means nothing here";
	return *family == AF_INET6 ? "is not an IPv6 address" : "is not an IP address";
}

// Digits only, at most `max`; -1 when it is something else.
static long read_number(const char *text, long max)
{
	long value = 0;
	if (!*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
		if (value > max)
			return -1;
	}
	return value;
}

// Cuts `text` at the last `mark` and returns what stands behind it; NULL: no such mark.
static char *cut_at(char *text, char mark)
{
	char *at = strrchr(text, mark);
	if (at)
		*at++ = 0;
	return at;
}

const char *ip_read_prefix(struct ip_prefix *prefix, const char *text)
{
	char copy[IP_TEXT_BYTES];
	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return "is too long for an address";
	const char *length = cut_at(copy, '/');
	const char *wrong = ip_read_address(&prefix->family, prefix->bytes, copy);
	if (wrong)
		return wrong;
	long bits = (long)ip_bytes(prefix->family) * 8;
	if (length) {
		long max = bits;
		bits = read_number(length, max);
		if (bits < 0)
			return max == 32 ? "needs a prefix length of 0 to 32"
					 : "needs a prefix length of 0 to 128";
	}
	prefix->length = (unsigned char)bits;
	return NULL;
}

const char *ip_read_endpoint(struct ip_endpoint *endpoint, const char *text, unsigned default_port)
{
	char copy[IP_TEXT_BYTES], *address = copy;
	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return "is too long for an address";
	char *port = cut_at(copy, '@');
	if (!port && copy[0] == '[') {
		address++;
		char *behind = cut_at(address, ']');
		if (!behind)
			return "lacks a ]";
		if (*behind && *behind != ':')
			return "needs a : between ] and the port";
		port = *behind ? behind + 1 : NULL;
		if (!strchr(address, ':'))
			return "has no IPv6 address in its brackets";
	}
	const char *wrong = ip_read_address(&endpoint->family, endpoint->bytes, address);
	if (wrong) {
		// 198.18.0.1:53 is what many a tool accepts, so say what to write.
		const char *colon = strchr(address, ':');
		if (colon && strchr(address, '.') && colon == strrchr(address, ':'))
			return "is not an address: write the port of an IPv4 address as 198.18.0.1@5300";
		return wrong;
	}
	long number = port ? read_number(port, 65535) : (long)default_port;
	if (number < 0 || (port && number == 0))
		return "needs a port of 1 to 65535";
	endpoint->port = (unsigned short)number;
	return NULL;
}

void ip_print_prefix(const struct ip_prefix *prefix, char *to, size_t room)
{
	char address[INET6_ADDRSTRLEN] = "?";
	inet_ntop(prefix->family, prefix->bytes, address, sizeof(address));
	snprintf(to, room, "%s/%u", address, prefix->length);
}

void ip_print_endpoint(const struct ip_endpoint *endpoint, unsigned default_port, char *to, size_t room)
{
	char address[INET6_ADDRSTRLEN] = "?";
	inet_ntop(endpoint->family, endpoint->bytes, address, sizeof(address));
	if (endpoint->port == default_port)
		snprintf(to, room, "%s", address);
	else
		snprintf(to, room, "%s@%u", address, endpoint->port);
}

bool ip_same(int family, const unsigned char *bytes, int other_family, const unsigned char *other)
{
	return family == other_family && memcmp(bytes, other, ip_bytes(family)) == 0;
}

bool ip_in_prefix(const struct ip_prefix *prefix, int family, const unsigned char *bytes)
{
	if (prefix->family != family)
		return false;
	unsigned whole = prefix->length / 8, rest = prefix->length % 8;
	if (memcmp(prefix->bytes, bytes, whole) != 0)
		return false;
	return rest == 0 || (prefix->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}

void ip_clear_host_bits(struct ip_prefix *prefix)
{
	for (unsigned i = 0; i < ip_bytes(prefix->family); i++) {
		unsigned keep = prefix->length > 8 * i ? prefix->length - 8 * i : 0;
		prefix->bytes[i] &= (unsigned char)(keep >= 8 ? 0xff : ~(0xffu >> keep));
	}
}

bool ip_is_link_local(int family, const unsigned char *bytes)
{
	if (family == AF_INET)
		return bytes[0] == 169 && bytes[1] == 254;
	return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

bool ip_is_loopback(int family, const unsigned char *bytes)
{
	static const unsigned char loopback[16] = { [15] = 1 };
	return family == AF_INET ? bytes[0] == 127 : memcmp(bytes, loopback, 16) == 0;
}

bool ip_is_no_host(int family, const unsigned char *bytes)
{
	static const unsigned char none[16];
	if (memcmp(bytes, none, ip_bytes(family)) == 0)
		return true;
	// RFC 1122 3.2.1.3, RFC 5771, RFC 4291 2.7; 240.0.0.0/4 holds the limited broadcast address.
	return family == AF_INET ? bytes[0] >= 224 || bytes[0] == 0 : bytes[0] == 0xff;
}

struct sockaddr_storage ip_endpoint_address(const struct ip_endpoint *endpoint)
{
	struct sockaddr_storage address;
	memset(&address, 0, sizeof(address)); // padding, too: addresses are compared as a whole
	if (endpoint->family == AF_INET) {
		struct sockaddr_in *ip4 = (struct sockaddr_in *)&address;
		ip4->sin_family = AF_INET;
		ip4->sin_port = htons(endpoint->port);
		memcpy(&ip4->sin_addr, endpoint->bytes, sizeof(ip4->sin_addr));
	} else {
		struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)&address;
		ip6->sin6_family = AF_INET6;
		ip6->sin6_port = htons(endpoint->port);
		memcpy(&ip6->sin6_addr, endpoint->bytes, sizeof(ip6->sin6_addr));
	}
	return address;
}
