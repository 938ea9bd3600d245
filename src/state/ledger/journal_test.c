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
	size_t room;    /* bytes until the disk is full; 0: no end */
	int fail_syncs; /* so many syncs fail */
	int fail_open;  /* errno of opening; 0: none */
	int writes, syncs;
} disk;

static ssize_t bad_write(struct sys *sys, int fd, const void *p, size_t n)
{
	disk.writes++;
	if (disk.fail != 0) {
		errno = disk.fail;
		return -1;
	}
	if (disk.room == 1) {
		errno = ENOSPC;
		return -1;
	}
	if (disk.room > 0 && n > disk.room - 1)
		n = disk.room - 1;
	if (disk.at_most > 0 && n > disk.at_most)
		n = disk.at_most;
	if (disk.room > 0)
		disk.room -= n;
	return sys_real.write(&sys_real, fd, p, n);
}

static int bad_open(struct sys *sys, const char *path, int flags, mode_t mode)
{
	if (disk.fail_open != 0) {
		errno = disk.fail_open;
		return -1;
	}
	return sys_real.open(&sys_real, path, flags, mode);
}

static int counted_sync(struct sys *sys, int fd)
{
	disk.syncs++;
	if (disk.fail_syncs > 0) {
		disk.fail_syncs--;
		errno = EIO;
		return -1;
	}
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
	b.sys.open = bad_open;
	test_dir(b.dir);
	b.loop = loop_new(&b.sys, NULL);
	b.journal = journal_open(b.loop, b.dir, 5, 0, sync, NULL);
	assert_non_null(b.journal);
	disk.syncs = 0;
	box = &b;
	return &b;
}

static void close_box(void)
{
	journal_close(box->journal);
	loop_free(box->loop);
	test_remove_dir(box->dir);
}

/* The rows of a file, in order, must be from .. to. */
static void expect_rows_of(int number, uint32_t from, uint32_t to)
{
	char dir[4096], path[JOURNAL_PATH_BYTES];
	struct span rest, payload;
	struct request_row row;
	struct buf b;
	size_t used;
	bool final;

	journal_dir(box->dir, dir, NULL);
	journal_file_path(dir, 5, 0, number, path);
	buf_init(&b, 1 << 27);
	assert_true(sys_read_file(&sys_real, path, &b, NULL));
	rest = buf_span(&b);
	for (uint32_t i = from; i <= to; i++) {
		assert_int_equal(journal_read_frame(rest, &payload, &used), JOURNAL_WHOLE);
		assert_true(record_read(payload, &row, &final));
		assert_int_equal(row.cost_nusd, i);
		rest = span_skip(rest, used);
	}
	assert_int_equal(rest.n, 0);
	buf_done(&b);
}

static void expect_rows(uint32_t n)
{
	expect_rows_of(0, 1, n);
}

static bool put(uint32_t i, struct journal_waiter *w)
{
	struct request_row row = test_row(i);

	return journal_put(box->journal, &row, true, w);
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

/* The disk fills in the middle of a record: the rest of it follows when there is room again. */
static void a_record_cut_by_a_full_disk_is_completed(void **state)
{
	struct box *b = open_box(false);

	disk.room = 1 + 100;
	for (uint32_t i = 1; i <= 3; i++)
		assert_true(put(i, NULL));
	journal_flush(b->journal);
	assert_false(journal_ok(b->journal));
	assert_true(put(4, NULL));
	journal_flush(b->journal);
	assert_false(journal_ok(b->journal));
	disk.room = 0;
	journal_flush(b->journal);
	assert_true(journal_ok(b->journal));
	expect_rows(4);
	close_box();
}

static void an_error_of_the_disk_is_survived(void **state)
{
	struct box *b = open_box(false);

	disk.fail = EIO;
	assert_true(put(1, NULL));
	journal_flush(b->journal);
	assert_false(journal_ok(b->journal));
	disk.fail = 0;
	journal_close(b->journal); /* the last try is the close */
	expect_rows(1);
	b->journal = NULL;
	close_box();
}

/* What a failed sync covered is not trusted any more: it is all there in the next file. */
static void a_failed_sync_writes_it_again_elsewhere(void **state)
{
	struct box *b = open_box(true);

	assert_true(put(1, NULL));
	journal_flush(b->journal);
	assert_true(put(2, NULL));
	assert_true(put(3, NULL));
	disk.fail_syncs = 1;
	journal_flush(b->journal);
	assert_false(journal_ok(b->journal));
	assert_true(put(4, NULL));
	journal_flush(b->journal);
	assert_true(journal_ok(b->journal));
	expect_rows_of(0, 1, 3);
	expect_rows_of(1, 2, 4);
	close_box();
}

/* And when no other file can be made, it stays degraded instead of trusting the old one. */
static void a_failed_sync_without_another_file_stays_degraded(void **state)
{
	struct box *b = open_box(true);

	assert_true(put(1, NULL));
	disk.fail_syncs = 1;
	journal_flush(b->journal);
	disk.fail_open = EMFILE;
	journal_flush(b->journal);
	assert_false(journal_ok(b->journal));
	disk.fail_open = 0;
	journal_flush(b->journal);
	assert_true(journal_ok(b->journal));
	expect_rows_of(1, 1, 1);
	close_box();
}

static void a_file_begins_anew_at_64_mib(void **state)
{
	static char text[39000];
	struct box *b = open_box(false);
	uint32_t n = 0, before;

	memset(text, 'x', sizeof(text));
	while (journal_bytes(b->journal) < 64u << 20) {
		struct request_row row = test_row(++n);

		row.extra = row.tags = row.title = row.referer = row.user_id =
			span_from(text, sizeof(text));
		assert_true(journal_put(b->journal, &row, true, NULL));
		if (n == 2)
			disk.fail_open = EMFILE; /* seen only at the end of the first file */
		journal_flush(b->journal);
	}
	/* A next file could not be made: this one goes on. */
	before = n;
	assert_true(put(++n, NULL));
	disk.fail_open = 0;
	journal_flush(b->journal);
	assert_true(put(++n, NULL));
	journal_flush(b->journal);
	expect_rows_of(0, 1, before + 1);
	expect_rows_of(1, n, n);
	close_box();
}

static void a_file_that_is_there_is_not_continued(void **state)
{
	struct box *b = open_box(false);
	struct journal *second;
	struct request_row row = test_row(9);

	assert_true(put(1, NULL));
	journal_flush(b->journal);
	second = journal_open(b->loop, b->dir, 5, 0, false, NULL);
	assert_non_null(second);
	assert_true(journal_put(second, &row, true, NULL));
	journal_close(second);
	expect_rows(1);
	expect_rows_of(1, 9, 9);
	close_box();
}

static void memory_for_what_waits_has_an_end(void **state)
{
	struct box *b = open_box(false);
	uint32_t n = 0;

	disk.fail = ENOSPC;
	while (put(n + 1, NULL)) {
		if (++n % 1000 == 0)
			journal_flush(b->journal);
		assert_true(n < 200000);
	}
	assert_false(put(n + 1, NULL));
	disk.fail = 0;
	journal_flush(b->journal);
	assert_true(journal_ok(b->journal));
	assert_true(put(n + 1, NULL));
	journal_flush(b->journal);
	expect_rows(n + 1);
	close_box();
}

/* ---- with the loop running ---- */

static struct journal_waiter chain[4];

static void on_durable_next(struct journal_waiter *w)
{
	int i = (int)(w - chain);

	box->woken++;
	if (i + 1 == 4) {
		loop_stop(box->loop);
		return;
	}
	assert_true(put((uint32_t)i + 2, &chain[i + 1]));
}

static void give_up(struct timer *t)
{
	loop_stop(t->loop);
}

/* A callback that puts the next record: each gets its turn without anything else happening. */
static void run_chain(struct box *b)
{
	struct timer limit;

	for (int i = 0; i < 4; i++) {
		list_init(&chain[i].node);
		chain[i].durable = on_durable_next;
	}
	timer_init(&limit, b->loop, give_up);
	timer_start(&limit, 20000);
	assert_true(put(1, &chain[0]));
	loop_run(b->loop);
	timer_done(&limit);
	assert_int_equal(b->woken, 4);
}

static void a_callback_may_put_the_next(void **state)
{
	struct box *b = open_box(false);

	run_chain(b);
	expect_rows(4);
	close_box();
}

static void nobody_hangs_while_the_disk_is_full(void **state)
{
	struct box *b = open_box(false);

	disk.fail = ENOSPC;
	run_chain(b);
	assert_false(journal_ok(b->journal));
	disk.fail = 0;
	journal_flush(b->journal);
	expect_rows(4);
	close_box();
}

static void on_tick(struct timer *t)
{
	if (journal_ok(box->journal))
		loop_stop(t->loop);
	else
		timer_start(t, 10);
}

/* Without any traffic it comes back by itself. */
static void a_disk_that_is_well_again_is_noticed(void **state)
{
	struct box *b = open_box(false);
	struct timer tick;

	disk.fail = ENOSPC;
	assert_true(put(1, NULL));
	journal_flush(b->journal);
	disk.fail = 0;
	timer_init(&tick, b->loop, on_tick);
	timer_start(&tick, 10);
	loop_run(b->loop);
	timer_done(&tick);
	expect_rows(1);
	close_box();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_is_one_write_and_wakes_behind_it),
		cmocka_unit_test(power_durability_syncs_before_it_wakes),
		cmocka_unit_test(short_writes_are_invisible),
		cmocka_unit_test(a_full_disk_loses_nothing_and_hangs_nobody),
		cmocka_unit_test(a_record_cut_by_a_full_disk_is_completed),
		cmocka_unit_test(an_error_of_the_disk_is_survived),
		cmocka_unit_test(a_failed_sync_writes_it_again_elsewhere),
		cmocka_unit_test(a_failed_sync_without_another_file_stays_degraded),
		cmocka_unit_test(a_file_begins_anew_at_64_mib),
		cmocka_unit_test(a_file_that_is_there_is_not_continued),
		cmocka_unit_test(memory_for_what_waits_has_an_end),
		cmocka_unit_test(a_callback_may_put_the_next),
		cmocka_unit_test(nobody_hangs_while_the_disk_is_full),
		cmocka_unit_test(a_disk_that_is_well_again_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
