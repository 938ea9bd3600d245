/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "state/auth/auth.h"
#include "state/ledger/file.h"
#include "state/ledger/ingest.h"
#include "state/ledger/journal.h"
#include "torture.h"

#define ROWS 40

static struct loop *loop;

static const struct request_row row = {
	.op = SPAN("chat"),
	.model_asked = SPAN("sim/gpt"),
	.extra = SPAN("{\"a\":\"some words of an extra member\"}"),
	.status = 200,
	.outcome = OUTCOME_OK,
	.cost_nusd = 5,
};

static void on_durable(struct journal_waiter *w)
{
}

/* The records of the only file there, which is removed; whole ones all of them. */
static int count_records(const char *dir)
{
	static char bytes[1 << 20];
	char path[JOURNAL_PATH_BYTES];
	struct request_row read_back;
	struct span rest, payload;
	bool final;
	size_t used;
	int n = 0, fd;
	ssize_t len;

	journal_file_path(dir, 1, 0, 0, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	len = read(fd, bytes, sizeof(bytes));
	assert_true(len >= 0);
	close(fd);
	assert_int_equal(unlink(path), 0);
	for (rest = span_from(bytes, (size_t)len); rest.n > 0; rest = span_skip(rest, used), n++) {
		assert_int_equal(journal_read_frame(rest, &payload, &used), JOURNAL_WHOLE);
		assert_true(record_read(payload, &read_back, &final));
		assert_int_equal(read_back.cost_nusd, 5);
	}
	return n;
}

/* What was taken is in the file, what was refused is not; and a refusal is not the end. */
static bool write_journal(const void *arg)
{
	char data_dir[] = "/tmp/sluice-torture-XXXXXX", dir[4096];
	struct journal_waiter waiter = {.durable = on_durable};
	struct err err = {0};
	struct journal *j;
	int taken = 0;

	torture_pause();
	assert_non_null(mkdtemp(data_dir));
	torture_resume();
	list_init(&waiter.node);
	j = journal_open(loop, data_dir, 1, 0, false, &err);
	if (j == NULL)
		assert_int_equal(err.code, ERR_NO_MEMORY);
	for (int i = 0; j != NULL && i < ROWS; i++) {
		if (!journal_put(j, &row, true, list_empty(&waiter.node) ? &waiter : NULL))
			assert_true(torture_has_refused());
		else
			taken++;
		if (i == ROWS / 2)
			journal_flush(j);
	}
	journal_close(j);
	assert_true(list_empty(&waiter.node));
	assert_true(journal_dir(data_dir, dir, NULL));
	if (j != NULL)
		assert_int_equal(count_records(dir), taken);
	rmdir(dir);
	assert_int_equal(rmdir(data_dir), 0);
	return taken == ROWS;
}

static void remove_data(const char *data_dir)
{
	static const char *const names[] = {"sluice.db", "sluice.db-wal", "sluice.db-shm", "lock"};
	char path[JOURNAL_PATH_BYTES];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", data_dir, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/journal", data_dir);
	rmdir(path);
	assert_int_equal(rmdir(data_dir), 0);
}

/* The store thread comes up or says why not; the folder is free again in both cases. */
static bool start_ingest(const void *arg)
{
	char data_dir[] = "/tmp/sluice-torture-XXXXXX";
	struct err err = {0};
	struct ingest *g = NULL;
	struct store store;
	int lock;

	torture_pause();
	assert_non_null(mkdtemp(data_dir));
	torture_resume();
	if (store_open_alone(&store, &sys_real, &(struct store_place){.data_dir = data_dir}, &err))
		g = ingest_start(&sys_real, &store, data_dir, 1, NULL, &err);
	if (g == NULL)
		assert_int_equal(err.code, ERR_NO_MEMORY);
	else
		ingest_stop(g);
	torture_pause();
	assert_true(store_lock(&sys_real, data_dir, &lock, NULL));
	close(lock);
	remove_data(data_dir);
	torture_resume();
	return g != NULL;
}

static bool write_record(const void *arg)
{
	struct buf out;
	bool ok;

	buf_init(&out, 1 << 20);
	ok = record_write(&row, true, &out);
	buf_done(&out);
	return ok;
}

/* Keys beyond the first size of the table; those that are in are found, the others are not. */
static bool fill_keys(const void *arg)
{
	struct auth_table *t;
	struct auth_identity who;
	struct err err = {0};
	struct key_row key;
	char text[AUTH_KEY_CHARS + 1];
	bool ok;
	int in = 0;

	t = auth_table_new(&err);
	if (t == NULL) {
		assert_int_equal(err.code, ERR_NO_MEMORY);
		return false;
	}
	for (int i = 0; i < 200; i++) {
		assert_true(auth_make(
			&sys_real, "k", PERMISSION_NONE, PERMISSION_WRITE, 0, &key, text, NULL));
		ok = auth_add(t, &key, &err);
		in += ok;
		assert_true(ok || err.code == ERR_NO_MEMORY);
		assert_int_equal(auth_find(t, span_of(text), 1, &who, NULL), ok);
		assert_int_equal(auth_count(t), in);
	}
	auth_table_free(t);
	return in == 200;
}

static void ledger_survives(void **state)
{
	torture("record", write_record, NULL);
	torture("journal", write_journal, NULL);
	torture("ingest", start_ingest, NULL);
}

static void keys_survive(void **state)
{
	torture("keys", fill_keys, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ledger_survives),
		cmocka_unit_test(keys_survive),
	};
	int failed;

	loop = loop_new(&sys_real, NULL);
	if (loop == NULL)
		return 1;
	failed = cmocka_run_group_tests_name("torture/ledger", tests, NULL, NULL);
	loop_free(loop);
	return failed;
}
