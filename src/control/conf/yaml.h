/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * yaml - a restricted YAML text as a tree; private to this folder.
 *
 * Mappings, lists and scalars, one document. Anchors, aliases, tags, merge keys, directives,
 * duplicate keys and control characters are errors with their place. JSON is a subset of what is
 * read. Nothing is interpreted: a scalar is its text.
 */
#include "machine/base/arena.h"
#include "machine/base/err.h"

#define YAML_MAX_DEPTH 16
#define YAML_MAX_MEMBERS 4096 /* of one mapping or list */

enum yaml_kind { YAML_SCALAR, YAML_MAP, YAML_LIST };

struct yaml_node {
	enum yaml_kind kind;
	int line, column; /* from 1 */
	bool plain;       /* a scalar without quotes */
	struct span text; /* of a scalar */
	struct yaml_node *first, *next;
	int n;           /* members */
	struct span key; /* in a mapping */
	int key_line, key_column;
};

/*
 * A mapping (an empty one for an empty text) made in the arena; `file` is the name for messages.
 * NULL: ERR_CONFIG with "file:line:column: ...", or ERR_NO_MEMORY.
 */
struct yaml_node *yaml_read(struct arena *a, const char *file, struct span text, struct err *err);

/* True for a plain scalar that YAML reads as "nothing": empty, ~ or null. */
bool yaml_is_null(const struct yaml_node *n);
