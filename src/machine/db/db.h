/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * db - SQL behind driver ops: sqlite.c now.
 *
 * A connection belongs to one thread at a time. Statements are prepared once and kept by their
 * SQL text. Parameters are ?1, ?2 ... Driver words never leave this folder.
 */
#include <stdbool.h>
#include <stdint.h>
#include "machine/base/err.h"
#include "machine/base/span.h"

struct db;
struct db_row; /* the current row, valid during the callback */

enum db_type { DB_NULL, DB_INT, DB_TEXT, DB_BLOB };

struct db_value {
	enum db_type type;
	int64_t i;
	struct span s;
};

static inline struct db_value db_int(int64_t i)
{
	return (struct db_value){.type = DB_INT, .i = i};
}
static inline struct db_value db_text(struct span s)
{
	return (struct db_value){.type = DB_TEXT, .s = s};
}
static inline struct db_value db_blob(struct span s)
{
	return (struct db_value){.type = DB_BLOB, .s = s};
}
static inline struct db_value db_null(void)
{
	return (struct db_value){.type = DB_NULL};
}

/* WAL, foreign keys on, busy timeout 5 s. synchronous: full true syncs each commit. */
struct db *db_open_sqlite(const char *path, bool full, struct err *err);
void db_close(struct db *d);

/* Several statements, no parameters, no rows: schema. */
bool db_script(struct db *d, const char *sql, struct err *err);

/* One statement. `row` may be NULL; return false from it to stop early. */
bool db_run(struct db *d, const char *sql, const struct db_value *v, int n,
	bool (*row)(void *user, const struct db_row *r), void *user, struct err *err);

int64_t db_changes(struct db *d); /* rows changed by the last statement */

int64_t db_get_int(const struct db_row *r, int column);
struct span db_get_text(const struct db_row *r, int column); /* valid during the callback */
struct span db_get_blob(const struct db_row *r, int column);
bool db_is_null(const struct db_row *r, int column);

bool db_begin(struct db *d, struct err *err); /* immediate */
bool db_commit(struct db *d, struct err *err);
void db_rollback(struct db *d);
