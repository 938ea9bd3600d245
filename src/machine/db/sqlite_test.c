/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/db/db.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct db *open_with_table(void)
{
	struct err err = {0};
	struct db *d = db_open_sqlite(":memory:", false, &err);

	assert_non_null(d);
	assert_true(db_script(
		d, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT UNIQUE, c BLOB); ", &err));
	return d;
}

static bool put(struct db *d, int64_t a, struct span b, struct err *err)
{
	const struct db_value v[] = {db_int(a), db_text(b), db_null()};

	return db_run(d, "INSERT INTO t VALUES (?1, ?2, ?3)", v, 3, NULL, NULL, err);
}

static bool check_row(void *user, const struct db_row *r)
{
	int *seen = user;

	assert_int_equal(db_get_int(r, 0), 7);
	assert_true(span_eq(db_get_text(r, 1), span_from("a\0b", 3)));
	assert_true(db_is_null(r, 2));
	(*seen)++;
	return true;
}

static void values_come_back_as_they_went_in(void **state)
{
	struct db *d = open_with_table();
	struct err err = {0};
	int seen = 0;

	assert_true(put(d, 7, span_from("a\0b", 3), &err));
	assert_int_equal(db_changes(d), 1);
	assert_true(db_run(d, "SELECT a, b, c FROM t", NULL, 0, check_row, &seen, &err));
	assert_int_equal(seen, 1);
	db_close(d);
}

static void a_constraint_is_a_conflict_and_leaves_the_connection_usable(void **state)
{
	struct db *d = open_with_table();
	struct err err = {0};

	assert_true(put(d, 1, SPAN("x"), &err));
	assert_false(put(d, 2, SPAN("x"), &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	err = (struct err){0};
	assert_true(put(d, 2, SPAN("y"), &err));
	assert_false(db_run(d, "SELECT nothing FROM nowhere", NULL, 0, NULL, NULL, &err));
	db_close(d);
}

static bool count_row(void *user, const struct db_row *r)
{
	*(int64_t *)user = db_get_int(r, 0);
	return true;
}

static void a_rollback_takes_all_back(void **state)
{
	struct db *d = open_with_table();
	struct err err = {0};
	int64_t n = -1;

	assert_true(db_begin(d, &err));
	assert_true(put(d, 1, SPAN("x"), &err));
	db_rollback(d);
	db_rollback(d);
	assert_true(db_begin(d, &err));
	assert_true(put(d, 1, SPAN("x"), &err));
	assert_true(db_commit(d, &err));
	assert_true(db_run(d, "SELECT count(*) FROM t", NULL, 0, count_row, &n, &err));
	assert_int_equal(n, 1);
	db_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_come_back_as_they_went_in),
		cmocka_unit_test(a_constraint_is_a_conflict_and_leaves_the_connection_usable),
		cmocka_unit_test(a_rollback_takes_all_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
