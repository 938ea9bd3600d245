/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/db/db.h"
#include "machine/db/driver.h"

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

bool db_begin(struct db *d, struct err *err)
{
	return d->ops->begin(d, err);
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

const char *db_month_of_hour_ms(const struct db *d)
{
	return d->ops->month_of_hour_ms;
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
