/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * driver - what a database must be able to do; for this folder. db.h says what each means.
 *
 * A driver's struct begins with a struct db, its row with a struct db_row.
 */
#include "machine/base/buf.h"
#include "machine/db/db.h"

struct db_ops {
	void (*close)(struct db *d);
	bool (*script)(struct db *d, const char *sql, struct err *err);
	bool (*run)(struct db *d, const char *sql, const struct db_value *v, int n,
		bool (*row)(void *user, const struct db_row *r), void *user, struct err *err);
	int64_t (*changes)(struct db *d);
	int64_t (*get_int)(const struct db_row *r, int column);
	struct span (*get_bytes)(const struct db_row *r, int column);
	bool (*is_null)(const struct db_row *r, int column);
	int (*columns)(const struct db_row *r);
	enum db_type (*type)(const struct db_row *r, int column);
	bool (*begin)(struct db *d, struct err *err);
	bool (*begin_read)(struct db *d, struct err *err);
	bool (*commit)(struct db *d, struct err *err);
	void (*rollback)(struct db *d);
	bool (*get_version)(struct db *d, int64_t *version, struct err *err);
	bool (*set_version)(struct db *d, int64_t version, struct err *err);
	const char *month_of_at_ms;
};

struct db {
	const struct db_ops *ops;
};

struct db_row {
	const struct db_ops *ops;
};

extern const struct db_ops postgres_ops;
void postgres_set_patience(struct db *d, int64_t ms);

/* dialect.c: SQLite's text as PostgreSQL's, NUL-terminated. false: no memory. */
bool dialect_postgres(const char *sql, struct buf *out);
/* UTF-8 without NUL: what is not so is U+FFFD. `s` itself when it is so; else it stands in `out`.
 */
struct span dialect_text(struct span s, struct buf *out);
