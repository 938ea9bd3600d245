/* SPDX-License-Identifier: Apache-2.0 */
#include "state/auth/auth.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

struct made {
	struct key_row row;
	char text[AUTH_KEY_CHARS + 1];
};

static struct made make(const char *name, int64_t expires_ms)
{
	struct made m;
	struct err err = {0};

	assert_true(auth_make(&sys_real, name, PERMISSION_NONE, PERMISSION_WRITE, expires_ms,
		&m.row, m.text, &err));
	assert_int_equal(strlen(m.text), AUTH_KEY_CHARS);
	return m;
}

static void a_key_is_found_until_it_is_removed(void **state)
{
	struct auth_table *t = auth_table_new(NULL);
	struct made keys[200];
	struct auth_identity who;
	struct err err = {0};

	for (int i = 0; i < 200; i++) {
		keys[i] = make("k", 0);
		assert_true(auth_add(t, &keys[i].row, NULL));
	}
	assert_int_equal(auth_count(t), 200);
	for (int i = 0; i < 200; i += 2)
		assert_true(auth_remove(t, &keys[i].row.id));
	assert_false(auth_remove(t, &keys[0].row.id));
	for (int i = 0; i < 200; i++) {
		bool found = auth_find(t, span_of(keys[i].text), 1, &who, &err);

		assert_int_equal(found, i % 2);
		if (!found)
			assert_int_equal(err.code, ERR_KEY_REFUSED);
		else
			assert_memory_equal(&who.key_id, &keys[i].row.id, sizeof(who.key_id));
		err = (struct err){0};
	}
	auth_table_free(t);
}

static void an_expired_key_is_refused(void **state)
{
	struct auth_table *t = auth_table_new(NULL);
	struct made m = make("soon", 1000);
	struct auth_identity who;
	struct err err = {0};

	assert_true(auth_add(t, &m.row, NULL));
	assert_true(auth_find(t, span_of(m.text), 999, &who, &err));
	assert_false(auth_find(t, span_of(m.text), 1000, &who, &err));
	assert_int_equal(err.code, ERR_KEY_REFUSED);
	assert_non_null(strstr(err.text, "expired"));
	auth_table_free(t);
}

static void every_changed_character_is_malformed(void **state)
{
	struct auth_table *t = auth_table_new(NULL);
	struct made m = make("k", 0);
	struct auth_identity who;

	assert_true(auth_add(t, &m.row, NULL));
	for (int i = 0; i < AUTH_KEY_CHARS; i++) {
		struct err err = {0};
		char old = m.text[i];

		m.text[i] = old == 'x' ? 'y' : 'x';
		assert_false(auth_find(t, span_of(m.text), 1, &who, &err));
		assert_int_equal(err.code, ERR_UNAUTHENTICATED);
		assert_null(strstr(err.text, m.text + 12));
		m.text[i] = old;
	}
	for (size_t n = 0; n < AUTH_KEY_CHARS; n++) {
		struct err err = {0};

		assert_false(auth_find(t, span_head(span_of(m.text), n), 1, &who, &err));
		assert_int_equal(err.code, ERR_UNAUTHENTICATED);
	}
	auth_table_free(t);
}

static void foreign_keys_are_named_but_not_repeated(void **state)
{
	struct auth_table *t = auth_table_new(NULL);
	struct auth_identity who;
	struct err err = {0};

	assert_false(auth_find(t, SPAN("sk-ant-api03-verysecret"), 1, &who, &err));
	assert_non_null(strstr(err.text, "Anthropic"));
	assert_null(strstr(err.text, "verysecret"));
	err = (struct err){0};
	assert_false(auth_find(t, SPAN("sk-abcdef"), 1, &who, &err));
	assert_non_null(strstr(err.text, "provider"));
	auth_table_free(t);
}

static void headers_are_read_as_documented(void **state)
{
	static const struct {
		const char *authorization, *x_api_key, *api_key,
			*expected; /* NULL expected: refused */
	} rows[] = {
		{"Bearer abc", NULL, NULL, "abc"},
		{"bearer  abc ", NULL, NULL, "abc"},
		{NULL, "abc", NULL, "abc"},
		{NULL, NULL, "abc", "abc"},
		{"Bearer abc", "abc", "abc", "abc"},
		{"Bearer abc", "abd", NULL, NULL},
		{NULL, "abc", "abd", NULL},
		{"Basic abc", NULL, NULL, NULL},
		{"Bearer ", NULL, NULL, NULL},
		{"Bearer", NULL, NULL, NULL},
		{"", NULL, NULL, NULL},
		{NULL, "", NULL, NULL},
		{"Bearer abc", "", NULL, NULL},
		{NULL, NULL, NULL, NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span key = {NULL, 0};
		struct err err = {0};
		bool ok = auth_read_headers(span_of(rows[i].authorization),
			span_of(rows[i].x_api_key), span_of(rows[i].api_key), &key, &err);

		assert_int_equal(ok, rows[i].expected != NULL);
		if (ok)
			assert_true(span_is(key, rows[i].expected));
		else
			assert_int_equal(err.code, ERR_UNAUTHENTICATED);
	}
}

struct race {
	struct auth_table *table;
	struct made key;
	atomic_bool removed;
	atomic_int late;
};

static void *look_up(void *arg)
{
	struct race *r = arg;

	for (int i = 0; i < 20000; i++) {
		bool gone = atomic_load(&r->removed);
		struct auth_identity who;

		if (auth_find(r->table, span_of(r->key.text), 1, &who, NULL) && gone)
			atomic_fetch_add(&r->late, 1);
	}
	return NULL;
}

static void a_removal_is_in_force_when_it_returns(void **state)
{
	struct race r = {.table = auth_table_new(NULL), .key = make("race", 0)};
	pthread_t threads[2];

	assert_true(auth_add(r.table, &r.key.row, NULL));
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, look_up, &r);
	assert_true(auth_remove(r.table, &r.key.row.id));
	atomic_store(&r.removed, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&r.late), 0);
	auth_table_free(r.table);
}

static void a_name_must_be_printable(void **state)
{
	struct made m;
	struct err err = {0};
	char longer[200];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_false(auth_make(&sys_real, "", 0, 0, 0, &m.row, m.text, &err));
	assert_false(auth_make(&sys_real, "a\nb", 0, 0, 0, &m.row, m.text, &err));
	assert_false(auth_make(&sys_real, longer, 0, 0, 0, &m.row, m.text, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_found_until_it_is_removed),
		cmocka_unit_test(an_expired_key_is_refused),
		cmocka_unit_test(every_changed_character_is_malformed),
		cmocka_unit_test(foreign_keys_are_named_but_not_repeated),
		cmocka_unit_test(headers_are_read_as_documented),
		cmocka_unit_test(a_removal_is_in_force_when_it_returns),
		cmocka_unit_test(a_name_must_be_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
