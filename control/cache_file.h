// SPDX-License-Identifier: BSD-3-Clause
// What was learned as a file of text, and back: JSON lines. The first one tells the version and when it was written,
// each further one an answer:
//   {"pollux-cache": 1, "written": "2026-11-21T03:00:00Z", "written_s": 1795230000}
//   {"name": "www.example.com.", "type": "A", "rcode": "NOERROR", "ttl": 42,
//    "answer": ["www.example.com. 42 IN A 192.0.2.1"], "authority": [], "additional": []}
// Members that may be left out: "do", "cd" (how it was asked), "ad" (validated), all false then, and "ede". TTLs are what was
// left of them. Failures, expired answers and other classes than IN are not written. In pieces, for the event loop.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pollux/report.h>
#include <pollux/status.h>

struct learned;
struct message_rr;

// "www.example.com. 42 IN A 192.0.2.1": a record of class IN as a line of a master file. Always ended; returns the length that
// was needed, like snprintf.
size_t cache_record_text(char *to, size_t room, const struct message_rr *);

// `wall_s` is the time since 1970. The file is written under a name of its own and gets `path` when it is complete.
// ST_SYSTEM: errno says why.
struct cache_dump;
struct cache_dump_counts {
	uint64_t written, skipped;
};
CHECKED enum status cache_dump_new(struct cache_dump **, struct learned *, const char *path, uint64_t wall_s);
bool cache_dump_some(struct cache_dump *); // some answers more; false: that was all
// Frees the dump. Not `complete`: nothing is left behind. ST_SYSTEM: it could not be written, errno says why.
CHECKED enum status cache_dump_end(struct cache_dump *, bool complete, struct cache_dump_counts *);

// Malformed lines are reported with file:line and left out. ST_SYSTEM: errno says why it cannot be read. ST_SYNTAX: it is no
// such file (reported). ST_VERSION: of another version (reported).
struct cache_load;
struct cache_load_counts {
	uint64_t loaded, expired; // while the file lay there
	uint64_t known;		  // fresh answers are there already
	uint64_t refused;	  // not to be kept by the rules of now
	uint64_t malformed;	  // lines
};
CHECKED enum status cache_load_new(
	struct cache_load **, struct learned *, const char *path, uint64_t wall_s, struct report *);
bool cache_load_some(struct cache_load *); // some lines more; false: that was all
void cache_load_end(struct cache_load *, struct cache_load_counts *); // frees it
