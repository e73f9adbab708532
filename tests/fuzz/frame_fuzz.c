// SPDX-License-Identifier: BSD-3-Clause
// Any frame goes the whole way without a port: checked, parsed, answered, turned round. What comes out is
// a sound frame to whoever sent it, whatever came in.
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <pollux/answer.h>
#include <pollux/catalog.h>
#include <pollux/query.h>

#include "checksum.h"
#include "frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 2176, SEED = 53 };
static const uint8_t mac[6] = { 0x02, 0, 0, 0, 0, 0x53 };

static void must(bool good)
{
	if (!good)
		abort();
}

static struct station our_station(void)
{
	struct station station;
	uint8_t address[16];
	station_init(&station, mac, 53);
	station_take_any_mac(&station);
	must(inet_pton(AF_INET, "198.18.0.53", address) == 1 && station_add(&station, AF_INET, address));
	must(inet_pton(AF_INET6, "2001:db8:53::53", address) == 1 &&
		station_add(&station, AF_INET6, address));
	return station;
}

// False: the question is not for this catalog to answer.
static bool answer(const struct catalog *catalog, struct frame *frame)
{
	static struct query query;
	static uint8_t scratch[DNS_UDP_CEILING_BYTES];
	const struct policy policy = { .udp_size = 1232 };
	struct reply reply = { .wire = scratch, .room = sizeof(scratch) };
	enum rcode rcode = RCODE_NOERROR;
	unsigned bytes = frame->length - frame->payload_at;
	switch (query_parse(&query, frame->bytes + frame->payload_at, bytes, SEED, &rcode)) {
	case QUERY_VALID:
		if (answer_query(catalog, &policy, &query, catalog_find(catalog, &query.name), OVER_UDP,
			    &reply) != ANSWER_READY)
			return false;
		break;
	case QUERY_ERROR:
		answer_error(&policy, &query, rcode, &reply);
		break;
	default:
		return false;
	}
	must(reply.bytes >= DNS_HEADER_BYTES && reply.bytes <= sizeof(scratch));
	memcpy(frame->bytes + frame->payload_at, scratch, reply.bytes);
	frame_turn_round(frame, reply.bytes, checksum_add(0, scratch, reply.bytes), 0);
	return true;
}

static void must_be_sound(const struct frame *frame)
{
	const uint8_t *ip = frame->bytes + frame->network_at, *udp = frame->bytes + frame->transport_at;
	unsigned bytes = frame->length - frame->transport_at;
	uint64_t sum = frame->ip_version == 4 ? checksum_pseudo(ip + 12, 8, IPPROTO_UDP, (uint16_t)bytes)
					      : checksum_pseudo(ip + 8, 32, IPPROTO_UDP, (uint16_t)bytes);
	must(frame->length <= frame->room);
	must(frame->ip_version == 6 || checksum_fold(checksum_add(0, ip, 20)) == 0xffff);
	must((udp[6] || udp[7]) && checksum_fold(checksum_add(sum, udp, bytes)) == 0xffff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct catalog *catalog;
	static struct station station;
	if (!catalog) {
		station = our_station();
		must(catalog_open_private(&catalog, SEED) == ST_OK);
	}
	if (size < 1 || size > 1522)
		return 0;
	// The first octet says what the port has verified, so that the checksums need not be guessed.
	unsigned trust = data[0] & (TRUST_IP_CHECKSUM | TRUST_L4_CHECKSUM);
	uint8_t *buffer = malloc(ROOM); // from the heap, where a sanitizer sees its ends
	must(buffer != NULL);
	memcpy(buffer, data + 1, size - 1);
	struct frame frame = { .bytes = buffer, .room = ROOM, .length = (uint16_t)(size - 1) };
	enum counter verdict = frame_check(&station, &frame, trust);
	must(verdict < COUNTER_COUNT && frame.length <= ROOM && frame.payload_at <= frame.length);
	if (verdict == COUNTER_answer_dns && answer(catalog, &frame))
		must_be_sound(&frame);
	free(buffer);
	return 0;
}
