// SPDX-License-Identifier: BSD-3-Clause
// A YAML text as a tree of plain values, each with its place. What a configuration has no use for is
// refused here: tags, anchors, aliases, a second document, keys that are not words.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <pollux/report.h>
#include <pollux/status.h>

enum tree_kind {
	TREE_SCALAR,
	TREE_LIST,
	TREE_MAP,
	TREE_REFUSED, // already reported; readers skip it
};

struct tree_node {
	enum tree_kind kind;
	bool plain;	       // a scalar without quotes
	unsigned line, column; // from 1
	char *text;	       // of a scalar, NUL-ended
	size_t bytes;
	struct tree_node *key;		       // the scalar in front of a map's entry
	struct tree_node *first, *last, *next; // items of a list, values of a map
};

struct tree {
	struct tree_node *root; // NULL: the text is empty
	bool whole; // false: the text could not be read to its end, so things that seem missing may not be
};

// Reports every error with its place. ST_OK: none. Whatever could be read is in `tree` either way.
enum status tree_read(struct tree *, const char *text, size_t bytes, const char *name, struct report *);
void tree_free(struct tree *);

// A value that was left out: "key:", "key: ~", "key: null".
bool tree_is_null(const struct tree_node *);
// The node at "ports[2].addresses[1]"; where the path ends earlier, the last node on it. NULL: no root.
const struct tree_node *tree_find(const struct tree *, const char *path);
// "a list", "a map", "the text 'x'".
const char *tree_describe(const struct tree_node *, char *to, size_t room);
