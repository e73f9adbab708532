// SPDX-License-Identifier: BSD-3-Clause
// The parser of records, for who reads a file in another way than from its beginning to its end.
#pragma once

#include <sys/stat.h>

#include <pollux/zonefile.h>

#include "source.h"
#include "text.h"

#define RDATA_MAX_BYTES 65535
#define TYPE_SLOTS 256

// A file being read; those that include it are above it.
struct open_file {
	const struct open_file *parent;
	uint64_t device, inode; // 0, 0: not a file
	unsigned depth;
};

// What a TTL that is left out stands for: that of $TTL, or of the last record that named its own.
struct ttls {
	bool has_default, has_last;
	uint32_t default_s, last_s;
};

struct parser {
	record_handler *handle;
	void *ctx;
	struct report *report;
	struct source_list *sources; // or NULL
	bool may_include;
	bool no_directives; // the first one ends the reading
	unsigned includes; // read so far
	enum status stopped; // by the handler, or by want of memory
	bool met_directive; // which ended the reading
	bool met_end;	    // of the text, in the middle of an entry; perhaps as it may be
	bool named_ttl, took_last_ttl; // a record named its own; one before it took that of the last one

	unsigned owner_bytes; // 0: no owner yet
	struct ttls ttls;

	// Mnemonics of up to 8 letters, in an open-addressed table; the letters in upper case are the key.
	uint64_t type_key[TYPE_SLOTS];
	uint16_t type_code[TYPE_SLOTS];

	uint8_t owner[NAME_MAX_BYTES + TEXT_PAD_BYTES];
	uint8_t rdata[RDATA_MAX_BYTES + TEXT_PAD_BYTES];
};

struct parser *parser_new(record_handler *, void *ctx, struct report *); // NULL: no memory
// A parser that has read nothing yet, with these TTLs.
void parser_reset(struct parser *, const struct ttls *);

// Reads entries up to the one that starts at or behind octet `until` of the scanner's text. False: the text has ended,
// or the reading has. `origin` is the file's own room for its origin, NAME_MAX_BYTES.
bool parser_read(struct parser *, struct scanner *, const struct open_file *, uint8_t *origin, uint64_t until);

// Reads an open zone file; what it includes is read by the parser. The descriptor is the caller's.
typedef enum status file_reader(struct parser *, int fd, const struct stat *, const char *path, const uint8_t *origin);
file_reader parser_read_file; // from beginning to end
// zonefile_read() with another reader.
enum status zonefile_read_by(file_reader *, const char *path, const uint8_t *origin, record_handler *, void *ctx,
	struct report *, struct zonefile_source *);
