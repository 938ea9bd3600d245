/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/db/db.h"
#include <stdio.h>
#include "machine/db/driver.h"

#define MAX_COLUMNS 64
#define COPY_ROWS 1000 /* of an answer that is held whole */

void db_close(struct db *d)
{
	if (d != NULL)
		d->ops->close(d);
}

bool db_script(struct db *d, const char *sql, struct err *err)
{
	return d->ops->script(d, sql, err);
}

bool db_run(struct db *d, const char *sql, const struct db_value *v, int n,
	bool (*row)(void *user, const struct db_row *r), void *user, struct err *err)
{
	return d->ops->run(d, sql, v, n, row, user, err);
}

int64_t db_changes(struct db *d)
{
	return d->ops->changes(d);
}

int64_t db_get_int(const struct db_row *r, int column)
{
	return r->ops->get_int(r, column);
}

struct span db_get_text(const struct db_row *r, int column)
{
	return r->ops->get_bytes(r, column);
}

struct span db_get_blob(const struct db_row *r, int column)
{
	return r->ops->get_bytes(r, column);
}

bool db_is_null(const struct db_row *r, int column)
{
	return r->ops->is_null(r, column);
}

int db_columns(const struct db_row *r)
{
	return r->ops->columns(r);
}

struct db_value db_get_value(const struct db_row *r, int column)
{
	switch (r->ops->type(r, column)) {
	case DB_INT:
		return db_int(db_get_int(r, column));
	case DB_TEXT:
		return db_text(db_get_text(r, column));
	case DB_BLOB:
		return db_blob(db_get_blob(r, column));
	case DB_NULL:
		break;
	}
	return db_null();
}

bool db_begin(struct db *d, struct err *err)
{
	return d->ops->begin(d, err);
}

bool db_begin_read(struct db *d, struct err *err)
{
	return d->ops->begin_read(d, err);
}

bool db_commit(struct db *d, struct err *err)
{
	return d->ops->commit(d, err);
}

void db_rollback(struct db *d)
{
	d->ops->rollback(d);
}

bool db_get_version(struct db *d, int64_t *version, struct err *err)
{
	return d->ops->get_version(d, version, err);
}

bool db_set_version(struct db *d, int64_t version, struct err *err)
{
	return d->ops->set_version(d, version, err);
}

const char *db_month_of_at_ms(const struct db *d)
{
	return d->ops->month_of_at_ms;
}

bool db_is_postgres(const struct db *d)
{
	return d->ops == &postgres_ops;
}

void db_set_patience(struct db *d, int64_t ms)
{
	if (db_is_postgres(d))
		postgres_set_patience(d, ms);
}

/* ---- sound, and copied ---- */

static bool on_check(void *user, const struct db_row *r)
{
	*(bool *)user = span_is(db_get_text(r, 0), "ok");
	return false;
}

bool db_check(struct db *d, struct err *err)
{
	bool is_sound = db_is_postgres(d);

	if (!is_sound && !db_run(d, "PRAGMA integrity_check", NULL, 0, on_check, &is_sound, err))
		return false;
	return is_sound || err_set(err, ERR_CORRUPT, "the database file is damaged");
}

struct copy {
	struct db *to;
	const char *table;
	char sql[512];
	int64_t rows;
	struct err why;
};

static void write_insert(struct copy *c, int columns)
{
	size_t n = (size_t)snprintf(c->sql, sizeof(c->sql), "INSERT INTO %s VALUES (", c->table);

	for (int i = 0; i < columns && n < sizeof(c->sql); i++)
		n += (size_t)snprintf(c->sql + n, sizeof(c->sql) - n, "?%d%s", i + 1,
			i + 1 < columns ? ", " : ")");
}

static bool on_copy(void *user, const struct db_row *r)
{
	struct copy *c = user;
	struct db_value v[MAX_COLUMNS];
	int n = db_columns(r);

	if (n > MAX_COLUMNS)
		return err_set(&c->why, ERR_INTERNAL, "%s has too many columns", c->table);
	if (c->sql[0] == '\0')
		write_insert(c, n);
	for (int i = 0; i < n; i++)
		v[i] = db_get_value(r, i);
	c->rows++;
	return db_run(c->to, c->sql, v, n, NULL, NULL, &c->why);
}

/* A part at a time: an answer of PostgreSQL is held whole. */
static bool copy_parts(struct db *from, struct copy *c, struct err *err)
{
	char text[160];
	int64_t before;

	snprintf(
		text, sizeof(text), "DECLARE part NO SCROLL CURSOR FOR SELECT * FROM %s", c->table);
	if (!db_script(from, text, err))
		return false;
	snprintf(text, sizeof(text), "FETCH %d FROM part", COPY_ROWS);
	do {
		before = c->rows;
		if (!db_run(from, text, NULL, 0, on_copy, c, err))
			return false;
	} while (c->why.code == ERR_OK && c->rows > before);
	return db_script(from, "CLOSE part", err);
}

bool db_copy_table(struct db *from, struct db *to, const char *table, struct err *err)
{
	struct copy c = {.to = to, .table = table};
	char text[160];
	bool ok;

	snprintf(text, sizeof(text), "DELETE FROM %s", table);
	if (!db_script(to, text, err))
		return false;
	snprintf(text, sizeof(text), "SELECT * FROM %s", table);
	ok = db_is_postgres(from) ? copy_parts(from, &c, err)
				  : db_run(from, text, NULL, 0, on_copy, &c, err);
	return ok && (c.why.code == ERR_OK || err_set(err, c.why.code, "%s", c.why.text));
}
