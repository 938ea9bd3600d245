/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "machine/db/driver.h"

#define MAX_STATEMENTS 64
#define BUSY_TIMEOUT_MS 5000

struct sqlite {
	struct db db;
	sqlite3 *sqlite;
	sqlite3_stmt *prepared[MAX_STATEMENTS]; /* found by their text */
	int n;
	int next_out; /* whose place is taken next when all are */
};

struct sqlite_row {
	struct db_row row;
	sqlite3_stmt *stmt;
};

static const struct db_ops sqlite_ops;

static bool fail(struct sqlite *d, struct err *err, const char *what)
{
	const char *text = sqlite3_errmsg(d->sqlite);

	switch (sqlite3_errcode(d->sqlite) & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(err, ERR_CORRUPT, "%s: %s", what, text);
	case SQLITE_CONSTRAINT:
		return err_set(err, ERR_CONFLICT, "%s: %s", what, text);
	case SQLITE_NOMEM:
		return err_set(err, ERR_NO_MEMORY, NULL);
	default:
		return err_set(err, ERR_IO, "%s: %s", what, text);
	}
}

static bool read_mode(void *user, const struct db_row *r)
{
	*(bool *)user = span_is(db_get_text(r, 0), "wal") || span_is(db_get_text(r, 0), "memory");
	return true;
}

/*
 * The first change to WAL needs the file alone, and SQLite does not wait for that by itself: two
 * that open a new file at the same moment would each see the other as an error.
 */
static bool enter_wal(struct sqlite *d, bool *is_wal, struct err *err)
{
	const struct timespec pause = {.tv_nsec = 5 * 1000000};
	struct err why = {0};

	for (int waited = 0;; waited += 5) {
		why.code = ERR_OK;
		if (db_run(&d->db, "PRAGMA journal_mode=WAL", NULL, 0, read_mode, is_wal, &why))
			return true;
		if ((sqlite3_errcode(d->sqlite) & 0xff) != SQLITE_BUSY || waited >= BUSY_TIMEOUT_MS)
			return err_set(err, why.code, "%s", why.text);
		nanosleep(&pause, NULL);
	}
}

/* SQLite does not fail where the file system cannot do WAL: it says another mode. */
static bool set_up(struct sqlite *d, const char *path, bool full, struct err *err)
{
	bool is_wal = false;

	if (!enter_wal(d, &is_wal, err))
		return false;
	if (!is_wal)
		return err_set(err, ERR_CONFIG,
			"%s: this file system cannot hold the database (no shared memory for WAL); "
			"put data_dir on a local disk",
			path);
	return db_script(&d->db, "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY", err) &&
	       db_script(
		       &d->db, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", err);
}

struct db *db_open_sqlite(const char *path, bool full, struct err *err)
{
	struct sqlite *d = calloc(1, sizeof(*d));
	struct err why = {0};

	if (d == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	d->db.ops = &sqlite_ops;
	if (sqlite3_open_v2(path, &d->sqlite,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
		    NULL) == SQLITE_OK) {
		sqlite3_extended_result_codes(d->sqlite, 1);
		sqlite3_busy_timeout(d->sqlite, BUSY_TIMEOUT_MS);
		if (set_up(d, path, full, &why))
			return &d->db;
	} else if (d->sqlite == NULL) {
		err_set(&why, ERR_NO_MEMORY, NULL);
	} else {
		fail(d, &why, "cannot be opened");
	}
	if (why.code == ERR_IO || why.code == ERR_CORRUPT)
		err_set(err, why.code, "%s: %s", path, why.text);
	else
		err_set(err, why.code, "%s", why.text);
	db_close(&d->db);
	return NULL;
}

static void sqlite_close(struct db *db)
{
	struct sqlite *d = (struct sqlite *)db;

	for (int i = 0; i < d->n; i++)
		sqlite3_finalize(d->prepared[i]);
	sqlite3_close(d->sqlite);
	free(d);
}

static bool sqlite_script(struct db *db, const char *sql, struct err *err)
{
	struct sqlite *d = (struct sqlite *)db;

	return sqlite3_exec(d->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK ||
	       fail(d, err, "database");
}

/* A place for one more: the oldest statement goes that is not in the middle of its rows. */
static sqlite3_stmt **find_place(struct sqlite *d)
{
	if (d->n < MAX_STATEMENTS)
		return &d->prepared[d->n++];
	for (int tried = 0; tried < MAX_STATEMENTS; tried++) {
		sqlite3_stmt **place = &d->prepared[d->next_out];

		d->next_out = (d->next_out + 1) % MAX_STATEMENTS;
		if (!sqlite3_stmt_busy(*place)) {
			sqlite3_finalize(*place);
			return place;
		}
	}
	assert(!"as many statements run inside each other as there are places");
	return NULL;
}

static sqlite3_stmt *prepare(struct sqlite *d, const char *sql, struct err *err)
{
	sqlite3_stmt *stmt;

	for (int i = 0; i < d->n; i++)
		if (strcmp(sqlite3_sql(d->prepared[i]), sql) == 0)
			return d->prepared[i];
	if (sqlite3_prepare_v3(d->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) !=
		SQLITE_OK) {
		fail(d, err, "statement");
		return NULL;
	}
	*find_place(d) = stmt;
	return stmt;
}

static int bind(sqlite3_stmt *stmt, int at, const struct db_value *v)
{
	switch (v->type) {
	case DB_INT:
		return sqlite3_bind_int64(stmt, at, v->i);
	case DB_TEXT:
		return sqlite3_bind_text64(
			stmt, at, v->s.p != NULL ? v->s.p : "", v->s.n, SQLITE_STATIC, SQLITE_UTF8);
	case DB_BLOB:
		return sqlite3_bind_blob64(
			stmt, at, v->s.p != NULL ? v->s.p : "", v->s.n, SQLITE_STATIC);
	case DB_NULL:
		break;
	}
	return sqlite3_bind_null(stmt, at);
}

static bool sqlite_run(struct db *db, const char *sql, const struct db_value *v, int n,
	bool (*row)(void *user, const struct db_row *r), void *user, struct err *err)
{
	struct sqlite *d = (struct sqlite *)db;
	sqlite3_stmt *stmt = prepare(d, sql, err);
	bool ok = true;
	int result = SQLITE_ROW;

	if (stmt == NULL)
		return false;
	assert(!sqlite3_stmt_busy(stmt)); /* a statement is not run inside its own rows */
	for (int i = 0; ok && i < n; i++)
		ok = bind(stmt, i + 1, &v[i]) == SQLITE_OK;
	while (ok && result == SQLITE_ROW) {
		struct sqlite_row r = {{&sqlite_ops}, stmt};

		result = sqlite3_step(stmt);
		if (result == SQLITE_ROW && row != NULL && !row(user, &r.row))
			break;
	}
	if (!ok || (result != SQLITE_ROW && result != SQLITE_DONE))
		ok = fail(d, err, "database");
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt); /* they point into the caller's memory */
	return ok;
}

static int64_t sqlite_changes(struct db *db)
{
	return sqlite3_changes64(((struct sqlite *)db)->sqlite);
}

static sqlite3_stmt *stmt_of(const struct db_row *r)
{
	return ((const struct sqlite_row *)r)->stmt;
}

static int64_t sqlite_get_int(const struct db_row *r, int column)
{
	return sqlite3_column_int64(stmt_of(r), column);
}

/* Texts too: asked for as text, a value may need memory for a NUL that nobody wants. */
static struct span sqlite_get_bytes(const struct db_row *r, int column)
{
	const void *p = sqlite3_column_blob(stmt_of(r), column);

	return span_from(p, p != NULL ? (size_t)sqlite3_column_bytes(stmt_of(r), column) : 0);
}

static bool sqlite_is_null(const struct db_row *r, int column)
{
	return sqlite3_column_type(stmt_of(r), column) == SQLITE_NULL;
}

static int sqlite_columns(const struct db_row *r)
{
	return sqlite3_column_count(stmt_of(r));
}

static enum db_type sqlite_type(const struct db_row *r, int column)
{
	switch (sqlite3_column_type(stmt_of(r), column)) {
	case SQLITE_INTEGER:
		return DB_INT;
	case SQLITE_TEXT:
		return DB_TEXT;
	case SQLITE_NULL:
		return DB_NULL;
	default:
		return DB_BLOB;
	}
}

static bool sqlite_begin(struct db *db, struct err *err)
{
	return db_run(db, "BEGIN IMMEDIATE", NULL, 0, NULL, NULL, err);
}

static bool sqlite_begin_read(struct db *db, struct err *err)
{
	int64_t ignored;

	/* The moment is that of the first read. */
	return db_run(db, "BEGIN", NULL, 0, NULL, NULL, err) && db_get_version(db, &ignored, err);
}

static bool sqlite_commit(struct db *db, struct err *err)
{
	return db_run(db, "COMMIT", NULL, 0, NULL, NULL, err);
}

static void sqlite_rollback(struct db *db)
{
	if (!sqlite3_get_autocommit(((struct sqlite *)db)->sqlite))
		db_script(db, "ROLLBACK", NULL);
}

static bool on_version(void *user, const struct db_row *r)
{
	*(int64_t *)user = db_get_int(r, 0);
	return true;
}

static bool sqlite_get_version(struct db *db, int64_t *version, struct err *err)
{
	return db_run(db, "PRAGMA user_version", NULL, 0, on_version, version, err);
}

static bool sqlite_set_version(struct db *db, int64_t version, struct err *err)
{
	char text[48];

	snprintf(text, sizeof(text), "PRAGMA user_version=%lld", (long long)version);
	return db_script(db, text, err);
}

static const struct db_ops sqlite_ops = {.close = sqlite_close,
	.script = sqlite_script,
	.run = sqlite_run,
	.changes = sqlite_changes,
	.get_int = sqlite_get_int,
	.get_bytes = sqlite_get_bytes,
	.is_null = sqlite_is_null,
	.columns = sqlite_columns,
	.type = sqlite_type,
	.begin = sqlite_begin,
	.begin_read = sqlite_begin_read,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.get_version = sqlite_get_version,
	.set_version = sqlite_set_version,
	.month_of_at_ms = "CAST(strftime('%s', at_ms / 1000, 'unixepoch', 'start of month') AS "
			  "INTEGER) * 1000"};
