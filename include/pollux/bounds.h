// SPDX-License-Identifier: BSD-3-Clause
// Every size and time that more than one room must agree on, with its unit and its source.
#pragma once

#define NAME_MAX_BYTES 255	 // a wire name with its root octet, RFC 1035 2.3.4
#define NAME_MAX_LABELS 127	 // labels without the root: 127 times "1 octet" and the root fill 255
#define LABEL_MAX_BYTES 63	 // RFC 1035 2.3.4
#define NAME_TEXT_BYTES 1024	 // longest name as text: each octet as \DDD, the dots, a NUL
#define DNS_HEADER_BYTES 12	 // RFC 1035 4.1.1
#define DNS_MAX_BYTES 65535	 // a message over TCP, RFC 1035 4.2.2
#define DNS_UDP_PLAIN_BYTES 512	 // a UDP message without EDNS, RFC 1035 4.2.1
#define DNS_UDP_CEILING_BYTES 1452 // the largest UDP answer we ever send: a 1500-octet MTU under IPv6
#define TTL_MAX_S 2147483647u	 // RFC 2181 8
#define OPT_BYTES 11		 // an OPT record without options, RFC 6891 6.1.2
#define COOKIE_CLIENT_BYTES 8	 // RFC 7873 4
#define COOKIE_SERVER_BYTES 16	 // the ones we make, RFC 9018 4
#define COOKIE_MAX_BYTES 40	 // both parts as a client may send them, RFC 7873 4
#define COOKIE_SECRET_BYTES 16	 // key of SipHash-2-4, RFC 9018 4.4
#define IDENTITY_TEXT_BYTES 128	 // of an NSID; small enough that no error message with options passes 512
#define CHAOS_TEXT_BYTES 255	 // of version.bind and the like: one character-string, RFC 1035 3.3

#define CHAIN_MAX_STEPS 16 // CNAME and DNAME steps followed inside our own zones for one question
#define INCLUDE_MAX_DEPTH 16 // nested $INCLUDE, so that a loop ends
#define INCLUDES_MAX 10000   // of one zone: files that include others twice each would be millions
#define WORKERS_MAX 64	     // lcores that answer; a shared region has room for this many
#define PORTS_MAX 16	     // NIC ports of one appliance
#define PORT_ADDRESSES_MAX 32 // service addresses of one port
#define BURST_MAX 32	     // packets a worker takes from a port in one turn; of 24, 32 and 64 these take the least time for each

#define FRAME_MAX_BYTES 1920	  // a frame that travels over a ring: 1500 octets MTU, Ethernet, two tags, slack
#define RING_SLOT_BYTES 2048	  // one ring slot: message header and frame
#define RING_SLOTS 1024		  // per ring, a power of two: 2 MiB, one huge page
#define MESSAGE_MAX_AGE_MS 10000  // an older ring message is stale: its client has given up

#define ZONES_WINDOW_BYTES (UINT64_C(1) << 38) // address space reserved for the zones region, 256 GiB
#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)
#define CACHE_LINE_BYTES 64
