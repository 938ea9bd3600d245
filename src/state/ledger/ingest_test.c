/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/ingest.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "state/ledger/file.h"
#include "state/ledger/test_rows.h"

static char dir[64];

static int set_up(void **state)
{
	test_dir(dir);
	return 0;
}

static int tear_down(void **state)
{
	test_remove_dir(dir);
	return 0;
}

static struct ingest *start(int64_t epoch, struct err *err)
{
	struct store store;

	assert_true(store_open(&store, &sys_real, dir, err));
	return ingest_start(&sys_real, &store, dir, epoch, NULL, err);
}

static struct request_sum sum_of(void)
{
	struct request_sum sum;
	struct store store;
	struct err err = {0};

	assert_true(store_open(&store, &sys_real, dir, &err));
	assert_true(request_sum(&store, &sum, &err));
	store_close(&store);
	return sum;
}

static void write_rows(int64_t epoch, uint32_t from, uint32_t to, bool final)
{
	struct loop *l = loop_new(&sys_real, NULL);
	struct journal *j = journal_open(l, dir, epoch, 0, false, NULL);

	for (uint32_t i = from; i <= to; i++) {
		struct request_row row = test_row(i);

		assert_true(journal_put(j, &row, final, NULL));
	}
	journal_close(j);
	loop_free(l);
}

static int count_files(void)
{
	char path[128];
	struct dirent *e;
	DIR *d;
	int n = 0;

	snprintf(path, sizeof(path), "%s/journal", dir);
	d = opendir(path);
	while (d != NULL && (e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	if (d != NULL)
		closedir(d);
	return n;
}

static void what_an_earlier_run_left_is_taken_once(void **state)
{
	struct err err = {0};
	struct ingest *g;

	write_rows(1, 1, 100, true);
	g = start(2, &err);
	assert_non_null(g);
	ingest_stop(g);
	assert_int_equal(sum_of().rows, 100);
	assert_int_equal(sum_of().cost_nusd, 5050);
	assert_int_equal(count_files(), 0);
	/* The same records again, as after a crash between the rows and the removal. */
	write_rows(1, 1, 100, true);
	g = start(3, &err);
	ingest_stop(g);
	assert_int_equal(sum_of().rows, 100);
	assert_int_equal(sum_of().cost_nusd, 5050);
}

static void rows_of_a_running_process_arrive(void **state)
{
	struct err err = {0};
	struct ingest *g = start(7, &err);
	int waited = 0;

	write_rows(7, 1, 10, true);
	while (sum_of().rows < 10 && waited++ < 200)
		usleep(20000);
	assert_int_equal(sum_of().rows, 10);
	assert_int_equal(count_files(), 1); /* its own file is followed, not removed */
	ingest_stop(g);
	assert_int_equal(count_files(), 0);
}

static void checkpoints_without_an_end_are_closed_as_crashed(void **state)
{
	struct err err = {0};
	struct ingest *g;

	write_rows(1, 1, 3, false);
	write_rows(1, 2, 2, true); /* a second file of the same name continues the first */
	g = start(2, &err);
	ingest_stop(g);
	assert_int_equal(sum_of().rows, 3);
}

static void append(const char *bytes, size_t n)
{
	char inner[4096], path[JOURNAL_PATH_BYTES];
	int fd;

	journal_dir(dir, inner, NULL);
	journal_file_path(inner, 1, 0, 0, path);
	fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static void a_torn_end_is_where_the_file_ends(void **state)
{
	struct err err = {0};
	struct ingest *g;

	write_rows(1, 1, 5, true);
	append("\x40\x00\x00\x00half a rec", 14);
	g = start(2, &err);
	assert_non_null(g);
	ingest_stop(g);
	assert_int_equal(sum_of().rows, 5);
	assert_int_equal(count_files(), 0);
}

static void a_damaged_file_is_kept(void **state)
{
	struct err err = {0};
	struct ingest *g;

	write_rows(1, 1, 5, true);
	append("\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	g = start(2, &err);
	assert_non_null(g);
	ingest_stop(g);
	assert_int_equal(sum_of().rows, 5);
	assert_int_equal(count_files(), 1);
}

static void a_second_process_is_refused(void **state)
{
	struct err err = {0}, second = {0};
	struct ingest *g = start(1, &err);

	assert_null(start(2, &second));
	assert_int_equal(second.code, ERR_CONFLICT);
	ingest_stop(g);
	g = start(3, &err);
	assert_non_null(g);
	ingest_stop(g);
}

struct adding {
	struct ingest_job job;
	atomic_int ran;
};

static void add_one(struct ingest_job *job, struct store *store)
{
	struct adding *a = (struct adding *)((char *)job - offsetof(struct adding, job));

	assert_non_null(store->db);
	atomic_fetch_add(&a->ran, 1);
}

static void jobs_run_on_the_store_thread(void **state)
{
	struct adding jobs[3] = {{{NULL, add_one}, 0}, {{NULL, add_one}, 0}, {{NULL, add_one}, 0}};
	struct err err = {0};
	struct ingest *g = start(1, &err);

	for (int i = 0; i < 3; i++)
		ingest_post(g, &jobs[i].job);
	ingest_stop(g);
	for (int i = 0; i < 3; i++)
		assert_int_equal(atomic_load(&jobs[i].ran), 1);
}

/* A child writes and notes each row once it is durable; it is killed at some moment. */
static void write_until_killed(int64_t epoch, uint32_t from, _Atomic uint32_t *durable)
{
	struct loop *l = loop_new(&sys_real, NULL);
	struct journal *j = journal_open(l, dir, epoch, 0, false, NULL);

	for (uint32_t i = from;; i++) {
		struct request_row row = test_row(i);

		journal_put(j, &row, false, NULL);
		if (i % 3 == 0)
			journal_flush(j);
		journal_put(j, &row, true, NULL);
		journal_flush(j);
		atomic_store(durable, i);
	}
}

static void kill_9_loses_and_doubles_nothing(void **state)
{
	_Atomic uint32_t *durable = mmap(
		NULL, sizeof(*durable), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned seed = 12345;

	for (int64_t round = 1; round <= 20; round++) {
		struct err err = {0};
		struct request_sum sum;
		struct ingest *g;
		uint32_t last = atomic_load(durable);
		pid_t child = fork();

		if (child == 0)
			write_until_killed(round, last + 1, durable);
		seed = seed * 1103515245 + 12345;
		usleep(1000 + seed % 8000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		g = start(1000 + round, &err);
		assert_non_null(g);
		ingest_stop(g);
		sum = sum_of();
		last = atomic_load(durable);
		/* At most the one that was being written when the end came is there besides. */
		assert_in_range(sum.rows, last, last + 1);
		assert_int_equal(sum.cost_nusd, sum.rows * (sum.rows + 1) / 2);
		atomic_store(durable, (uint32_t)sum.rows);
	}
	munmap((void *)durable, sizeof(*durable));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_an_earlier_run_left_is_taken_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			rows_of_a_running_process_arrive, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			checkpoints_without_an_end_are_closed_as_crashed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_torn_end_is_where_the_file_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_second_process_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(jobs_run_on_the_store_thread, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			kill_9_loses_and_doubles_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
