/* SPDX-License-Identifier: Apache-2.0 */
#include "state/store/store.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <cmocka.h>

struct box {
	char dir[64];
	struct store store;
};

static int set_up(void **state)
{
	struct box *b = calloc(1, sizeof(*b));
	struct err err = {0};

	snprintf(b->dir, sizeof(b->dir), "/tmp/store-test-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	assert_true(store_open(&b->store, &sys_real, b->dir, &err));
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = {"sluice.db", "sluice.db-wal", "sluice.db-shm"};
	struct box *b = *state;
	char path[128];

	store_close(&b->store);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", b->dir, files[i]);
		remove(path);
	}
	remove(b->dir);
	free(b);
	return 0;
}

static struct key_row key_named(const char *name, uint8_t n)
{
	struct key_row k = {
		.manage = PERMISSION_READ, .completions = PERMISSION_WRITE, .created_ms = n};

	memset(k.id.bytes, n, sizeof(k.id.bytes));
	memset(k.sha256, n + 1, sizeof(k.sha256));
	snprintf(k.public_id, sizeof(k.public_id), "public%06u", n);
	snprintf(k.name, sizeof(k.name), "%s", name);
	return k;
}

static bool collect(void *user, const struct key_row *k)
{
	struct key_row *out = user;

	*out = *k;
	return true;
}

static void keys_come_back_and_names_are_unique(void **state)
{
	struct box *b = *state;
	struct key_row k = key_named("first", 1), other = key_named("first", 2), got = {0};
	struct err err = {0};
	bool existed;

	assert_true(key_insert(&b->store, &k, &err));
	assert_false(key_insert(&b->store, &other, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_true(key_each(&b->store, collect, &got, NULL));
	assert_memory_equal(&got.id, &k.id, sizeof(k.id));
	assert_memory_equal(got.sha256, k.sha256, sizeof(k.sha256));
	assert_string_equal(got.name, "first");
	assert_int_equal(got.manage, PERMISSION_READ);
	assert_true(key_delete(&b->store, &k.id, &existed, NULL) && existed);
	assert_true(key_delete(&b->store, &k.id, &existed, NULL) && !existed);
}

static struct request_row a_request(uint8_t n)
{
	struct request_row r = {.started_ms = n,
		.duration_us = 5,
		.first_token_us = -1,
		.op = SPAN("chat"),
		.model_asked = SPAN("sim/gpt"),
		.provider = SPAN("sim"),
		.model_served = SPAN("gpt"),
		.tags = SPAN("[\"a\"]"),
		.status = 200,
		.attempts = 1,
		.outcome = OUTCOME_OK,
		.basis = BASIS_PROVIDER_FINAL,
		.usage = {.present = true, .input_uncached = 10, .output = 4},
		.cost_nusd = 1234};

	memset(r.id.bytes, n, sizeof(r.id.bytes));
	return r;
}

static void a_checkpoint_is_replaced_and_a_final_row_is_not(void **state)
{
	struct box *b = *state;
	struct request_row r = a_request(1);
	struct request_sum sum;
	struct err err = {0};

	assert_true(request_put(&b->store, &r, false, &err));
	r.cost_nusd = 2000;
	assert_true(request_put(&b->store, &r, true, &err));
	r.cost_nusd = 3000;
	assert_true(request_put(&b->store, &r, true, &err));
	assert_true(request_put(&b->store, &r, false, &err));
	assert_true(request_sum(&b->store, &sum, &err));
	assert_int_equal(sum.rows, 1);
	assert_int_equal(sum.cost_nusd, 2000);
	assert_int_equal(sum.usage.output, 4);
}

struct seen {
	int rows, crashed;
};

static bool look(void *user, const struct request_row *r, bool final)
{
	struct seen *seen = user;

	assert_true(final);
	seen->rows++;
	seen->crashed += r->outcome == OUTCOME_CRASHED && r->basis == BASIS_CRASH;
	assert_int_equal(r->first_token_us, -1);
	assert_true(span_is(r->tags, "[\"a\"]"));
	return true;
}

static void open_rows_are_closed_as_crashed(void **state)
{
	struct box *b = *state;
	struct request_row done = a_request(1), open = a_request(2);
	struct seen seen = {0};
	struct err err = {0};
	int64_t closed;

	open.cost_nusd = COST_UNKNOWN;
	assert_true(request_put(&b->store, &done, true, &err));
	assert_true(request_put(&b->store, &open, false, &err));
	assert_true(request_close_open(&b->store, &closed, &err));
	assert_int_equal(closed, 1);
	assert_true(request_each(&b->store, 0, 10, look, &seen, &err));
	assert_int_equal(seen.rows, 2);
	assert_int_equal(seen.crashed, 1);
}

static void marks_are_kept(void **state)
{
	struct box *b = *state;
	int64_t bytes;

	assert_true(journal_mark_get(&b->store, SPAN("f"), &bytes, NULL) && bytes == 0);
	assert_true(journal_mark_put(&b->store, SPAN("f"), 5, NULL));
	assert_true(journal_mark_put(&b->store, SPAN("f"), 9, NULL));
	assert_true(journal_mark_get(&b->store, SPAN("f"), &bytes, NULL) && bytes == 9);
	assert_true(journal_mark_drop(&b->store, SPAN("f"), NULL));
	assert_true(journal_mark_get(&b->store, SPAN("f"), &bytes, NULL) && bytes == 0);
}

static void the_files_are_private_and_a_newer_schema_is_refused(void **state)
{
	struct box *b = *state;
	struct store second;
	struct err err = {0};
	struct stat st;
	char path[128];

	snprintf(path, sizeof(path), "%s/sluice.db", b->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(store_open(&second, &sys_real, b->dir, &err));
	store_close(&second);
	assert_true(db_script(b->store.db, "PRAGMA user_version=99", &err));
	assert_false(store_open(&second, &sys_real, b->dir, &err));
	assert_int_equal(err.code, ERR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			keys_come_back_and_names_are_unique, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_checkpoint_is_replaced_and_a_final_row_is_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(open_rows_are_closed_as_crashed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(marks_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_files_are_private_and_a_newer_schema_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
