/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * read - a tree's and the environment's values into a struct conf; private to this folder.
 */
#include "control/conf/conf.h"
#include "control/conf/option.h"
#include "control/conf/yaml.h"

enum origin_kind { ORIGIN_DEFAULT, ORIGIN_BUILT_IN, ORIGIN_FILE, ORIGIN_ENVIRONMENT };

/* One a row of the table; the text lives in the conf's arena. */
struct conf_origin {
	enum origin_kind kind;
	int line;
	const char *file;
	const char *source; /* a variable's name, or NULL */
};

/*
 * Puts what the tree says on top of what `c` has; an entry of providers or models replaces one of
 * the same name. `file` NULL: built in.
 */
bool read_tree(
	struct sys *sys, struct conf *c, const char *file, struct yaml_node *tree, struct err *err);
/*
 * SLUICE_SECTION_KEY for the general options, or for the one of this path; an empty variable counts
 * as none.
 */
bool read_environment(struct conf *c, const char *path, struct err *err);
void read_environment_name(const struct option *o, char *out, size_t size);
/* The defaults, and an array of origins for them. */
struct conf_origin *read_defaults(
	const struct option *table, struct arena *a, void *base, struct err *err);
