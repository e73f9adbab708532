// SPDX-License-Identifier: BSD-3-Clause
// config.def as the reader, the printer and the comparison see it.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <pollux/config.h>

enum kind_id {
	KIND_NAME,
	KIND_TEXT,
	KIND_PATH,
	KIND_PATH_OR_AUTO,
	KIND_WORD,   // char *, one of the words
	KIND_CHOICE, // an enum, index into the words
	KIND_FLAG,   // bool, index into two words
	KIND_COUNT,
	KIND_LCORE,
	KIND_OCTETS,
	KIND_SIZE, // uint64_t
	KIND_DURATION_US,
	KIND_DURATION_MS,
	KIND_SECONDS,
	KIND_TTL,
	KIND_PREFIX,
	KIND_ENDPOINT,
	KIND_SERVER, // an endpoint whose port may be that of the protocol
	KIND_PIN,
	KIND_ROUTER,
	KIND_APEX,
	KIND_CLIENTS,
	KIND_PEER,
	KIND_COUNT_OF
};

// What people call the values of a kind.
#define WORDS_NAME "name"
#define WORDS_TEXT "text"
#define WORDS_PATH "path"
#define WORDS_PATH_OR_AUTO "path or auto"
#define WORDS_WORD "word"
#define WORDS_CHOICE "word"
#define WORDS_FLAG "word"
#define WORDS_COUNT "number"
#define WORDS_LCORE "cores or ranges"
#define WORDS_OCTETS "size"
#define WORDS_SIZE "size"
#define WORDS_DURATION_US "duration"
#define WORDS_DURATION_MS "duration"
#define WORDS_SECONDS "duration"
#define WORDS_TTL "TTL"
#define WORDS_PREFIX "address/length"
#define WORDS_ENDPOINT "address[@port]"
#define WORDS_SERVER "address[@port]"
#define WORDS_PIN "base64"
#define WORDS_ROUTER "addresses"
#define WORDS_APEX "domain name"
#define WORDS_CLIENTS "clients"
#define WORDS_PEER "users and @groups"

enum owner { OWNER_config, OWNER_port_config, OWNER_zone_config, OWNER_plugin_config, OWNER_stub_config, OWNER_forward_config, OWNER_override_config, OWNER_COUNT };

// The private half of a row; the public one is the option_info of the same index.
struct option {
	enum kind_id kind;
	enum owner owner;
	size_t at;	    // of the member in its struct
	size_t count_at;    // of the count of a list's items
	unsigned max_items; // 0: not a list
};
extern const struct option options[];

// A list of maps at the top of the file.
struct map_list {
	const char *key, *help;
	size_t bytes;	     // of an item
	size_t at, count_at; // in struct config
	unsigned max_items;
	enum config_effect effect;
};
extern const struct map_list map_lists[OWNER_COUNT]; // [OWNER_config] is empty

struct where {
	const char *directory; // in front of relative paths, with a final slash
	const struct option_info *info;
};

struct kind {
	const char *expected; // "a duration such as 400ms"
	size_t bytes;	      // of the member, or of one item
	// `problem` gets a sentence about the text when it is false, NULL for "expected ..., found ...".
	bool (*read)(void *to, const char *text, const struct where *, char *problem, size_t room);
	char *(*print)(const void *from, const struct option_info *); // malloc; NULL: no memory
	bool (*equal)(const void *, const void *);
	void (*free)(void *); // may be NULL
};
extern const struct kind kinds[KIND_COUNT_OF];

#define PROBLEM_BYTES 512

// "(...)" in the default column: no value, but a description of what happens.
bool option_has_default(const struct option_info *);
bool option_is_required(const struct option_info *);

// Allocated values of an object of that kind, and their free.
void schema_free(enum owner, void *object);
// Calls `visit` for each option whose values differ: "tcp.idle-timeout", "ports[1].mtu", "ports".
void schema_compare(const struct config *, const struct config *,
	void (*visit)(void *ctx, const char *key, enum config_effect), void *ctx);
