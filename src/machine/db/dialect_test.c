/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/db/driver.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void sqlites_words_become_postgresqls(void **state)
{
	static const struct {
		const char *sqlite, *postgres;
	} cases[] = {
		{"SELECT a FROM t WHERE b = ?1 AND c = ?12",
			"SELECT a FROM t WHERE b = $1 AND c = $12"},
		{"a INTEGER, b BLOB, c TEXT", "a BIGINT, b BYTEA, c TEXT"},
		{"INTEGERS BLOB_2 x blob", "INTEGERS BLOB_2 x blob"},
		{"(a INTEGER) WITHOUT ROWID;", "(a BIGINT)  ;"},
		{"DEFAULT x'', x'00fF', max'", "DEFAULT '\\x'::bytea, '\\x00fF'::bytea, max'"},
		{"'INTEGER ?1 -- x''00''' || \"BLOB\"", "'INTEGER ?1 -- x''00''' || \"BLOB\""},
		{"a -- Ann's INTEGER\n, b BLOB", "a \n, b BYTEA"},
		{"a - -1 -- the end", "a - -1 "},
		{"'not ended ?1", "'not ended ?1"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out;

		buf_init(&out, 4096);
		assert_true(dialect_postgres(cases[i].sqlite, &out));
		assert_string_equal(buf_span(&out).p, cases[i].postgres);
		buf_done(&out);
	}
}

static void texts_are_made_what_postgresql_takes(void **state)
{
	static const struct {
		struct span in, out;
	} cases[] = {
		{SPAN("plain"), SPAN("plain")},
		{SPAN("h\xc3\xa4 \xf0\x9f\x98\x80"), SPAN("h\xc3\xa4 \xf0\x9f\x98\x80")},
		{{"a\0b", 3}, SPAN("a\xef\xbf\xbd"
				   "b")},
		{SPAN("\xff\xc3"), SPAN("\xef\xbf\xbd\xef\xbf\xbd")},
		{SPAN("\xed\xa0\x80z"), SPAN("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz")},
		{SPAN(""), SPAN("")},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out;

		buf_init(&out, 4096);
		assert_true(span_eq(dialect_text(cases[i].in, &out), cases[i].out));
		buf_done(&out);
	}
}

/* What libpq would quote in a message may be a part of the password. */
static void an_address_that_is_none_is_not_quoted(void **state)
{
	static const char *const bad[] = {"postgres://u:canary@x@host/db",
		"postgres://u:canary/x@host/db", "postgres://u@host:canary/db",
		"postgres://u@host/db?canary", "postgres://u@host/db?canary=1",
		"postgres://u@[canary/db", "postgres://u@host/db?port=canary", "host='canary"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = {0};

		assert_false(db_check_url(bad[i], &err));
		assert_int_equal(err.code, ERR_CONFIG);
		assert_null(strstr(err.text, "canary"));
		assert_null(db_open_postgres(bad[i], NULL));
	}
	assert_true(
		db_check_url("postgres://u:p%40ss@host.example:5432/db?sslmode=verify-full", NULL));
	assert_true(db_check_url("postgresql:///db?host=/run/postgresql", NULL));
	assert_true(db_check_url("postgres://u:p@[::1]:5432,b:1/db", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sqlites_words_become_postgresqls),
		cmocka_unit_test(texts_are_made_what_postgresql_takes),
		cmocka_unit_test(an_address_that_is_none_is_not_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
