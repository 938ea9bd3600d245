/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * table - rows of cells for a person or a program; private to this folder.
 *
 * Aligned with a head line on a terminal, tab-separated without one when piped. Control characters
 * in cells become '?'.
 */
#include "machine/base/buf.h"

#define TABLE_MAX_COLUMNS 8

struct table {
	const char *const *columns; /* NULL-terminated */
	int n_columns;
	struct buf cells; /* each ends with NUL */
	int n_cells;
};

void table_init(struct table *t, const char *const *columns);
void table_done(struct table *t);
void table_cell(struct table *t, struct span text); /* row by row */
bool table_write(const struct table *t, bool aligned, struct buf *out);
