/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * db - SQL behind driver ops: sqlite.c, postgres.c.
 *
 * A connection belongs to one thread at a time. Statements are prepared once and kept by their
 * SQL text. Parameters are ?1, ?2 ... Driver words never leave this folder.
 *
 * One SQL text serves both. It is SQLite's; for PostgreSQL these words are rewritten (dialect.c):
 * ?1 to $1, INTEGER to BIGINT, BLOB to BYTEA, x'00ff' to a bytea, WITHOUT ROWID to nothing; and
 * sum() of truth values and hex() are made there. What else both understand must be written so:
 *   a parameter that may be NULL is asked CAST(?1 AS BLOB) IS NULL, so that it has a type;
 *   DO UPDATE SET n = table.n + ?2: the column with its table; a sub-select in FROM has a name;
 *   column names behind AS; LIMIT is not negative; counts of truth values by sum or CASE.
 * Texts that are no UTF-8, or hold a NUL, come back from PostgreSQL with U+FFFD in those places.
 * There, a statement that fails in a transaction leaves nothing to do but db_rollback.
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

/*
 * `url`: a connection string of libpq, with its TLS options; its secrets reach no message. A
 * connection that broke is made again at the next statement that is not in a transaction. No call
 * takes longer than the patience, DB_PATIENCE_MS as long as nothing else is set.
 */
#define DB_PATIENCE_MS 2000
struct db *db_open_postgres(const char *url, struct err *err);
/* Is it one that db_open_postgres takes? Connects to nothing. false: ERR_CONFIG. */
bool db_check_url(const char *url, struct err *err);
void db_set_patience(struct db *d, int64_t ms); /* SQLite: has its own */
bool db_is_postgres(const struct db *d);
void db_close(struct db *d);

/* Several statements, no parameters, no rows: schema. */
bool db_script(struct db *d, const char *sql, struct err *err);

/* One statement. `row` may be NULL; return false from it to stop early. */
bool db_run(struct db *d, const char *sql, const struct db_value *v, int n,
	bool (*row)(void *user, const struct db_row *r), void *user, struct err *err);

/* The number that was stored last; 0: none ever. Setting it is part of the transaction. */
bool db_get_version(struct db *d, int64_t *version, struct err *err);
bool db_set_version(struct db *d, int64_t version, struct err *err);

/* Whether a file is sound in all its pages (PostgreSQL sees to that itself). */
bool db_check(struct db *d, struct err *err);

/*
 * Replaces a table's rows by those of another database, whose table has the same columns. Both are
 * in a transaction.
 */
bool db_copy_table(struct db *from, struct db *to, const char *table, struct err *err);

/* SQL of the begin (ms) of the UTC month in which the column's value (ms) lies. */
const char *db_month_of_at_ms(const struct db *d);

int64_t db_changes(struct db *d); /* rows changed by the last statement */

int64_t db_get_int(const struct db_row *r, int column);
struct span db_get_text(const struct db_row *r, int column); /* valid during the callback */
struct span db_get_blob(const struct db_row *r, int column);
bool db_is_null(const struct db_row *r, int column);

int db_columns(const struct db_row *r);
struct db_value db_get_value(const struct db_row *r, int column); /* valid during the callback */

bool db_begin(struct db *d, struct err *err); /* immediate: one writer at a time */
/* Nothing but reads: all of them see the same moment, and no writer waits. */
bool db_begin_read(struct db *d, struct err *err);
/* An error of a lost connection leaves open whether it was made. */
bool db_commit(struct db *d, struct err *err);
void db_rollback(struct db *d);
