/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/journal.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "state/ledger/file.h"
#include "state/ledger/test_rows.h"

/* A system whose writes can be told to fail or to be short. */
static struct {
	int fail;       /* errno of the next writes; 0: none */
	size_t at_most; /* bytes a write takes; 0: all */
	int writes, syncs;
} disk;

static ssize_t bad_write(struct sys *sys, int fd, const void *p, size_t n)
{
	disk.writes++;
	if (disk.fail != 0) {
		errno = disk.fail;
		return -1;
	}
	return sys_real.write(
		&sys_real, fd, p, disk.at_most > 0 && n > disk.at_most ? disk.at_most : n);
}

static int counted_sync(struct sys *sys, int fd)
{
	disk.syncs++;
	return sys_real.sync(&sys_real, fd);
}

struct box {
	char dir[64];
	struct sys sys;
	struct loop *loop;
	struct journal *journal;
	int woken;
};

static struct box *box;

static struct box *open_box(bool sync)
{
	static struct box b;

	memset(&disk, 0, sizeof(disk));
	b = (struct box){.sys = sys_real};
	b.sys.write = bad_write;
	b.sys.sync = counted_sync;
	test_dir(b.dir);
	b.loop = loop_new(&b.sys, NULL);
	b.journal = journal_open(b.loop, b.dir, 5, 0, sync, NULL);
	assert_non_null(b.journal);
	box = &b;
	return &b;
}

static void close_box(void)
{
	journal_close(box->journal);
	loop_free(box->loop);
	test_remove_dir(box->dir);
}

/* The rows of the file, in order, must be 1 .. n. */
static void expect_rows(uint32_t n)
{
	char dir[4096], path[JOURNAL_PATH_BYTES];
	struct span rest, payload;
	struct request_row row;
	struct buf b;
	size_t used;
	bool final;

	journal_dir(box->dir, dir, NULL);
	journal_file_path(dir, 5, 0, 0, path);
	buf_init(&b, 1 << 24);
	assert_true(sys_read_file(&sys_real, path, &b, NULL));
	rest = buf_span(&b);
	for (uint32_t i = 1; i <= n; i++) {
		assert_int_equal(journal_read_frame(rest, &payload, &used), JOURNAL_WHOLE);
		assert_true(record_read(payload, &row, &final));
		assert_int_equal(row.cost_nusd, i);
		rest = span_skip(rest, used);
	}
	assert_int_equal(rest.n, 0);
	buf_done(&b);
}

static void on_durable(struct journal_waiter *w)
{
	box->woken++;
}

static void a_turn_is_one_write_and_wakes_behind_it(void **state)
{
	struct box *b = open_box(false);
	struct journal_waiter w[3];

	for (uint32_t i = 0; i < 3; i++) {
		struct request_row row = test_row(i + 1);

		list_init(&w[i].node);
		w[i].durable = on_durable;
		assert_true(journal_put(b->journal, &row, true, &w[i]));
	}
	journal_forget(&w[1]);
	assert_int_equal(disk.writes, 0);
	assert_int_equal(b->woken, 0);
	journal_flush(b->journal);
	assert_int_equal(disk.writes, 1);
	assert_int_equal(disk.syncs, 0);
	assert_int_equal(b->woken, 2);
	expect_rows(3);
	assert_true(journal_bytes(b->journal) > 0);
	close_box();
}

static void power_durability_syncs_before_it_wakes(void **state)
{
	struct box *b = open_box(true);
	struct request_row row = test_row(1);

	assert_true(journal_put(b->journal, &row, true, NULL));
	journal_flush(b->journal);
	assert_int_equal(disk.syncs, 1);
	close_box();
}

static void short_writes_are_invisible(void **state)
{
	struct box *b = open_box(false);

	disk.at_most = 7;
	for (uint32_t i = 1; i <= 20; i++) {
		struct request_row row = test_row(i);

		assert_true(journal_put(b->journal, &row, true, NULL));
		journal_flush(b->journal);
	}
	expect_rows(20);
	close_box();
}

static void a_full_disk_loses_nothing_and_hangs_nobody(void **state)
{
	struct box *b = open_box(false);
	struct journal_waiter w = {.durable = on_durable};
	struct request_row row = test_row(1);

	list_init(&w.node);
	disk.fail = ENOSPC;
	assert_true(journal_put(b->journal, &row, true, &w));
	journal_flush(b->journal);
	assert_int_equal(b->woken, 1);
	assert_false(journal_ok(b->journal));
	row = test_row(2);
	assert_true(journal_put(b->journal, &row, true, NULL));
	disk.fail = 0;
	journal_flush(b->journal);
	assert_true(journal_ok(b->journal));
	expect_rows(2);
	close_box();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_is_one_write_and_wakes_behind_it),
		cmocka_unit_test(power_durability_syncs_before_it_wakes),
		cmocka_unit_test(short_writes_are_invisible),
		cmocka_unit_test(a_full_disk_loses_nothing_and_hangs_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
