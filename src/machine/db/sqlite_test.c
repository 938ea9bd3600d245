/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/db/db.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

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

/* More texts than there are places, one of them in the middle of its rows all the while. */
static bool run_others(void *user, const struct db_row *r)
{
	struct db *d = user;
	char sql[64];

	for (int i = 0; i < 200; i++) {
		int64_t got = -1;

		snprintf(sql, sizeof(sql), "SELECT %d", i);
		assert_true(db_run(d, sql, NULL, 0, count_row, &got, NULL));
		assert_int_equal(got, i);
	}
	return true;
}

static void statements_are_told_by_their_text(void **state)
{
	struct db *d = open_with_table();
	struct err err = {0};

	assert_true(put(d, 1, SPAN("x"), &err) && put(d, 2, SPAN("y"), &err));
	assert_true(db_run(d, "SELECT a FROM t", NULL, 0, run_others, d, &err));
	assert_true(put(d, 3, SPAN("z"), &err));
	db_close(d);
}

static bool stop_at_once(void *user, const struct db_row *r)
{
	++*(int *)user;
	return false;
}

static void a_callback_may_stop_early(void **state)
{
	struct db *d = open_with_table();
	struct err err = {0};
	int seen = 0;

	assert_true(put(d, 1, SPAN("x"), &err) && put(d, 2, SPAN("y"), &err));
	assert_true(db_run(d, "SELECT a FROM t", NULL, 0, stop_at_once, &seen, &err));
	assert_int_equal(seen, 1);
	/* And the statement is free again. */
	assert_true(db_run(d, "SELECT a FROM t", NULL, 0, stop_at_once, &seen, &err));
	assert_int_equal(seen, 2);
	db_close(d);
}

static void what_is_no_database_is_said_with_its_name(void **state)
{
	char path[] = "/tmp/sluice-db-test-XXXXXX";
	struct err err = {0};
	int fd = mkstemp(path);
	char junk[4096];

	memset(junk, 'x', sizeof(junk));
	assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
	close(fd);
	assert_null(db_open_sqlite(path, true, &err));
	assert_int_equal(err.code, ERR_CORRUPT);
	assert_non_null(strstr(err.text, path));
	unlink(path);
	err = (struct err){0};
	assert_null(db_open_sqlite("/tmp/sluice-no-such-folder/x.db", true, &err));
	assert_int_equal(err.code, ERR_IO);
	assert_non_null(strstr(err.text, "sluice-no-such-folder"));
}

static void two_connections_see_each_other(void **state)
{
	char dir[] = "/tmp/sluice-db-test-XXXXXX", path[64], inner[80];
	struct err err = {0};
	struct db *a, *b;
	int64_t n = -1;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/t.db", dir);
	a = db_open_sqlite(path, true, &err);
	b = db_open_sqlite(path, false, &err);
	assert_non_null(a);
	assert_non_null(b);
	assert_true(db_script(a, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c BLOB)", &err));
	assert_true(db_begin(a, &err));
	assert_true(put(a, 1, SPAN("x"), &err));
	assert_true(db_run(b, "SELECT count(*) FROM t", NULL, 0, count_row, &n, &err));
	assert_int_equal(n, 0);
	assert_true(db_commit(a, &err));
	assert_true(db_run(b, "SELECT count(*) FROM t", NULL, 0, count_row, &n, &err));
	assert_int_equal(n, 1);
	db_close(a);
	db_close(b);
	for (int i = 0; i < 3; i++) {
		snprintf(inner, sizeof(inner), "%s%s", path,
			((const char *[]){"", "-wal", "-shm"})[i]);
		unlink(inner);
	}
	assert_int_equal(rmdir(dir), 0);
}

/* SQLite's memory, which can be told to run out at the n-th request. */
static sqlite3_mem_methods real_memory;
static int asked, refuse_at;

static void *maybe_malloc(int n)
{
	return refuse_at > 0 && ++asked >= refuse_at ? NULL : real_memory.xMalloc(n);
}

static void *maybe_realloc(void *p, int n)
{
	return refuse_at > 0 && ++asked >= refuse_at ? NULL : real_memory.xRealloc(p, n);
}

static bool use_memory(struct db *d, struct err *err)
{
	static char text[3000];
	int64_t n = -1;
	int seen = 0;

	memset(text, 'x', sizeof(text));
	return db_begin(d, err) && put(d, 7, span_from("a\0b", 3), err) &&
	       db_run(d, "SELECT a, b, c FROM t", NULL, 0, check_row, &seen, err) &&
	       put(d, 8, span_from(text, sizeof(text)), err) &&
	       db_run(d, "SELECT count(*) FROM t WHERE b LIKE 'x%'", NULL, 0, count_row, &n, err) &&
	       n == 1 && db_commit(d, err);
}

/* Every refusal is said as what it is, takes nothing half, and leaves the connection in order. */
static void without_memory_it_says_so_and_goes_on(void **state)
{
	bool ok = false;

	for (int at = 1; !ok; at++) {
		struct err err = {0};
		struct db *d = open_with_table();
		int64_t n = -1;

		asked = 0;
		refuse_at = at;
		ok = use_memory(d, &err);
		refuse_at = 0;
		assert_true(ok || err.code == ERR_NO_MEMORY);
		db_rollback(d);
		assert_true(db_run(d, "SELECT count(*) FROM t", NULL, 0, count_row, &n, NULL));
		assert_int_equal(n, ok ? 2 : 0);
		db_close(d);
		assert_true(at < 10000);
	}
	for (int at = 1;; at++) {
		struct err err = {0};
		struct db *d;

		asked = 0;
		refuse_at = at;
		d = db_open_sqlite(":memory:", true, &err);
		refuse_at = 0;
		db_close(d);
		if (d != NULL)
			break;
		assert_int_equal(err.code, ERR_NO_MEMORY);
		assert_true(at < 10000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_come_back_as_they_went_in),
		cmocka_unit_test(a_constraint_is_a_conflict_and_leaves_the_connection_usable),
		cmocka_unit_test(a_rollback_takes_all_back),
		cmocka_unit_test(statements_are_told_by_their_text),
		cmocka_unit_test(a_callback_may_stop_early),
		cmocka_unit_test(what_is_no_database_is_said_with_its_name),
		cmocka_unit_test(two_connections_see_each_other),
		cmocka_unit_test(without_memory_it_says_so_and_goes_on),
	};
	sqlite3_mem_methods memory;

	sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
	memory = real_memory;
	memory.xMalloc = maybe_malloc;
	memory.xRealloc = maybe_realloc;
	sqlite3_config(SQLITE_CONFIG_MALLOC, &memory);

	return cmocka_run_group_tests(tests, NULL, NULL);
}
