/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/ingest.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "state/store/store_kit_test.h"
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

static struct ingest *start_with(struct sys *sys, int64_t epoch, struct err *err)
{
	struct store store;

	assert_true(kit_store_open(&store, &sys_real, dir, err));
	return ingest_start(sys, &store, dir, epoch, NULL, err);
}

static struct ingest *start(int64_t epoch, struct err *err)
{
	return start_with(&sys_real, epoch, err);
}

static void run_once(int64_t epoch)
{
	struct err err = {0};
	struct ingest *g = start(epoch, &err);

	assert_non_null(g);
	ingest_stop(g);
}

static struct request_sum sum_of(void)
{
	struct request_sum sum;
	struct store store;
	struct err err = {0};

	assert_true(kit_store_open(&store, &sys_real, dir, &err));
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

struct ends {
	int rows, ok, crashed;
};

static bool look_at_end(void *user, const struct request_row *r, bool final)
{
	struct ends *e = user;

	assert_true(final);
	e->rows++;
	e->ok += r->outcome == OUTCOME_OK && r->basis == BASIS_PROVIDER_FINAL;
	e->crashed += r->outcome == OUTCOME_CRASHED && r->basis == BASIS_CRASH;
	return true;
}

static struct ends ends_of(void)
{
	struct ends ends = {0};
	struct store store;

	assert_true(kit_store_open(&store, &sys_real, dir, NULL));
	assert_true(request_each(&store, 0, 100000, look_at_end, &ends, NULL));
	store_close(&store);
	return ends;
}

static void checkpoints_without_an_end_are_closed_as_crashed(void **state)
{
	struct err err = {0};
	struct ingest *g;
	struct ends ends;

	write_rows(1, 1, 3, false);
	write_rows(1, 2, 2, true); /* one of them has its end in the next file */
	g = start(2, &err);
	assert_non_null(g);
	/* Closed before the new epoch begins: its own open rows are nobody's crash. */
	ends = ends_of();
	assert_int_equal(ends.rows, 3);
	assert_int_equal(ends.ok, 1);
	assert_int_equal(ends.crashed, 2);
	ingest_stop(g);
	/* An end that comes after all, from a file that was set aside, changes nothing any more. */
	write_rows(1, 1, 1, true);
	g = start(3, &err);
	ingest_stop(g);
	ends = ends_of();
	assert_int_equal(ends.crashed, 2);
}

/* Ids that fall on the same place of whatever the ingest keeps, ends before and behind. */
static void checkpoints_and_ends_mix_in_any_order(void **state)
{
	struct loop *l = loop_new(&sys_real, NULL);
	struct journal *j = journal_open(l, dir, 1, 0, false, NULL);
	struct request_row rows[6];
	struct ends ends;
	uint32_t seed = 3;
	bool ended[6] = {false};

	for (uint32_t i = 0; i < 6; i++) {
		rows[i] = test_row(i + 1);
		memset(&rows[i].id, 0, sizeof(rows[i].id));
		rows[i].id.bytes[7] = (uint8_t)(i + 1);
	}
	for (int n = 0; n < 200; n++) {
		uint32_t i = (seed = seed * 1664525 + 1013904223) >> 28;
		bool final = i < 5 && (seed >> 20 & 7) == 0; /* the sixth is never ended */

		i %= 6;
		final = final && i < 5;
		ended[i] = ended[i] || final;
		assert_true(journal_put(j, &rows[i], final, NULL));
	}
	journal_close(j);
	loop_free(l);
	run_once(2);
	ends = ends_of();
	assert_int_equal(ends.rows, 6);
	assert_int_equal(ends.ok, ended[0] + ended[1] + ended[2] + ended[3] + ended[4]);
	assert_int_equal(ends.crashed, 6 - ends.ok);
	assert_in_range(ends.ok, 1, 5);
}

static void path_of(char out[JOURNAL_PATH_BYTES])
{
	char inner[4096];

	journal_dir(dir, inner, NULL);
	journal_file_path(inner, 1, 0, 0, out);
}

static void append(const void *bytes, size_t n)
{
	char path[JOURNAL_PATH_BYTES];
	int fd;

	path_of(path);
	fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static void patch(off_t at, const void *bytes, size_t n)
{
	char path[JOURNAL_PATH_BYTES];
	int fd;

	path_of(path);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

/* All rows of these tests have one size. */
static off_t record_bytes(void)
{
	struct request_row row = test_row(1);
	struct buf b;
	size_t n;

	buf_init(&b, 1 << 20);
	record_write(&row, true, &b);
	n = b.n + JOURNAL_HEAD_BYTES;
	buf_done(&b);
	return (off_t)n;
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

static void one_damaged_record_costs_only_itself(void **state)
{
	static const char *const what[] = {"payload", "sum", "length", "longer length"};
	const off_t third = 2 * record_bytes();

	for (int i = 0; i < 4; i++) {
		struct err err = {0};
		struct ingest *g;

		tear_down(NULL);
		set_up(NULL);
		write_rows(1, 1, 5, true);
		if (i == 0)
			patch(third + 20, "damage", 6);
		else if (i == 1)
			patch(third + 4, "\x01\x02\x03\x04", 4);
		else if (i == 2)
			patch(third, "\xff\xff\xff\x7f", 4);
		else
			patch(third, "\x00\x00\x01\x00", 4); /* beyond the end: as if torn */
		g = start(2, &err);
		assert_non_null(g);
		ingest_stop(g);
		if (sum_of().rows != 4 || sum_of().cost_nusd != 12 || count_files() != 1)
			fail_msg("damaged %s: %d rows", what[i], (int)sum_of().rows);
		/* The file set aside is not read again. */
		run_once(3);
		assert_int_equal(count_files(), 1);
	}
}

static void zeros_at_the_end_are_a_torn_end(void **state)
{
	static const char zeros[5000];

	write_rows(1, 1, 5, true);
	append(zeros, sizeof(zeros));
	run_once(2);
	assert_int_equal(sum_of().rows, 5);
	assert_int_equal(count_files(), 0);
}

static void damage_wider_than_a_window_is_passed_over(void **state)
{
	size_t n = 3u << 20;
	unsigned char *junk = malloc(n);
	struct ingest *g;
	struct err err = {0};
	struct request_row row = test_row(6);
	unsigned char head[JOURNAL_HEAD_BYTES];
	uint32_t seed = 1;
	struct buf b;

	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		junk[i] = (unsigned char)(seed >> 24);
	}
	write_rows(1, 1, 5, true);
	append(junk, n);
	buf_init(&b, 1 << 20);
	record_write(&row, true, &b);
	journal_write_head(head, buf_span(&b), b.n);
	append(head, sizeof(head));
	append(b.mem, b.n);
	g = start(2, &err);
	assert_non_null(g);
	ingest_stop(g);
	assert_int_equal(sum_of().rows, 6);
	assert_int_equal(sum_of().cost_nusd, 21);
	assert_int_equal(count_files(), 1);
	buf_done(&b);
	free(junk);
}

/* Sound, but of a form that this program does not know. */
static void a_record_of_another_form_costs_only_itself(void **state)
{
	unsigned char head[JOURNAL_HEAD_BYTES];
	const struct span payload = SPAN("\x63 from the future");

	write_rows(1, 1, 5, true);
	journal_write_head(head, payload, payload.n);
	append(head, sizeof(head));
	append(payload.p, payload.n);
	run_once(2);
	assert_int_equal(sum_of().rows, 5);
	assert_int_equal(count_files(), 1);
}

/* Whatever bits turn: no crash, no row that was not written, and few are lost. */
static void turned_bits_lose_only_their_records(void **state)
{
	const off_t bytes = 100 * record_bytes();
	uint32_t seed = 7;

	for (int round = 0; round < 15; round++) {
		struct request_sum sum;
		unsigned char byte;

		tear_down(NULL);
		set_up(NULL);
		write_rows(1, 1, 100, true);
		for (int i = 0; i < 3; i++) {
			seed = seed * 1664525 + 1013904223;
			byte = (unsigned char)(seed >> 16);
			patch((off_t)((seed >> 4) % (uint32_t)bytes), &byte, 1);
		}
		run_once(2);
		sum = sum_of();
		assert_in_range(sum.rows, 97, 100);
		assert_in_range(sum.cost_nusd, 5050 - 300, 5050);
	}
}

/* A running file is not given up at its first look: what comes behind the damage arrives. */
static void a_live_file_goes_on_behind_damage(void **state)
{
	struct err err = {0};
	struct ingest *g = start(1, &err);
	int waited = 0;

	write_rows(1, 1, 5, true);
	patch(2 * record_bytes() + 20, "damage", 6);
	/* The first rows may have been taken before they were damaged: then all five are there. */
	while (sum_of().rows < 4 && waited++ < 300)
		usleep(20000);
	assert_in_range(sum_of().rows, 4, 5);
	ingest_stop(g);
}

static bool refuse_reads;

static ssize_t bad_pread(struct sys *sys, int fd, void *p, size_t n, off_t at)
{
	if (refuse_reads) {
		errno = EIO;
		return -1;
	}
	return sys_real.pread(&sys_real, fd, p, n, at);
}

static void a_file_that_cannot_be_read_stops_the_start_and_is_named(void **state)
{
	struct sys sys = sys_real;
	struct err err = {0};

	sys.pread = bad_pread;
	write_rows(1, 1, 5, true);
	refuse_reads = true;
	assert_null(start_with(&sys, 2, &err));
	assert_int_equal(err.code, ERR_IO);
	assert_non_null(strstr(err.text, "1-0-0.journal"));
	refuse_reads = false;
	run_once(3);
	assert_int_equal(sum_of().rows, 5);
}

static int refuse_removal(struct sys *sys, const char *path)
{
	errno = EROFS;
	return -1;
}

static void a_file_that_cannot_be_removed_is_counted_once(void **state)
{
	struct sys sys = sys_real;
	struct err err = {0};
	struct ingest *g;

	sys.unlink = refuse_removal;
	write_rows(1, 1, 5, true);
	g = start_with(&sys, 2, &err);
	assert_non_null(g);
	ingest_stop(g);
	assert_int_equal(count_files(), 1);
	run_once(3);
	assert_int_equal(sum_of().rows, 5);
	assert_int_equal(sum_of().cost_nusd, 15);
	assert_int_equal(count_files(), 0);
}

static atomic_bool mended;

static void break_table(struct ingest_job *job, struct store *store)
{
	assert_true(db_script(store->db, "ALTER TABLE request RENAME TO elsewhere", NULL));
}

static void mend_table(struct ingest_job *job, struct store *store)
{
	assert_true(db_script(store->db, "ALTER TABLE elsewhere RENAME TO request", NULL));
	atomic_store(&mended, true);
}

/* Nothing is lost while the store refuses; all of it comes when it takes again. */
static void a_store_that_refuses_loses_nothing(void **state)
{
	static struct ingest_job breaking = {.run = break_table}, mending = {.run = mend_table};
	struct err err = {0};
	struct ingest *g = start(7, &err);
	int waited = 0;

	ingest_post(g, &breaking);
	write_rows(7, 1, 50, true);
	usleep(300000);
	assert_int_equal(count_files(), 1);
	ingest_post(g, &mending);
	while (!atomic_load(&mended) && waited++ < 300)
		usleep(20000);
	while (sum_of().rows < 50 && waited++ < 300)
		usleep(20000);
	assert_int_equal(sum_of().rows, 50);
	ingest_stop(g);
	assert_int_equal(count_files(), 0);
}

/* The end comes while the store refuses: the files wait for the next start. */
static void a_stop_while_the_store_refuses_keeps_the_files(void **state)
{
	static struct ingest_job breaking = {.run = break_table};
	struct err err = {0};
	struct ingest *g = start(7, &err);
	struct store store;

	write_rows(7, 1, 50, true);
	ingest_post(g, &breaking);
	ingest_stop(g);
	assert_int_equal(count_files(), 1);
	assert_true(kit_store_open(&store, &sys_real, dir, NULL));
	mend_table(NULL, &store);
	store_close(&store);
	run_once(8);
	assert_int_equal(sum_of().rows, 50);
}

static void begin_and_forget(struct ingest_job *job, struct store *store)
{
	assert_true(store_begin(store, NULL));
}

static void a_job_that_leaves_a_transaction_open_blocks_nobody(void **state)
{
	struct ingest_job job = {.run = begin_and_forget};
	struct err err = {0};
	struct ingest *g = start(7, &err);

	ingest_post(g, &job);
	write_rows(7, 1, 10, true);
	ingest_stop(g);
	assert_int_equal(sum_of().rows, 10);
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
		pid_t child = test_fork();

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

/* The ingest itself is killed anywhere, also between rows, marks and removal. */
static void a_killed_ingest_is_repeated_without_doubles(void **state)
{
	unsigned seed = 99;

	for (uint32_t i = 0; i < 5; i++)
		write_rows(1, i * 400 + 1, i * 400 + 400, true);
	for (int64_t round = 1; round <= 20; round++) {
		pid_t child = test_fork();

		if (child == 0) {
			struct err err = {0};

			start(1000 + round, &err);
			pause();
		}
		seed = seed * 1103515245 + 12345;
		usleep((seed >> 8) % 12000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	run_once(5000);
	assert_int_equal(sum_of().rows, 2000);
	assert_int_equal(sum_of().cost_nusd, 2000 * 2001 / 2);
	assert_int_equal(count_files(), 0);
}

/* Several workers write while the ingest follows them. */
struct writer {
	pthread_t thread;
	int worker;
	uint32_t from, to;
};

static void *write_some(void *arg)
{
	const struct writer *w = arg;
	struct loop *l = loop_new(&sys_real, NULL);
	struct journal *j = journal_open(l, dir, 7, w->worker, false, NULL);

	for (uint32_t i = w->from; i <= w->to; i++) {
		struct request_row row = test_row(i);

		journal_put(j, &row, false, NULL);
		journal_flush(j);
		journal_put(j, &row, true, NULL);
		if (i % 5 == 0)
			journal_flush(j);
	}
	journal_close(j);
	loop_free(l);
	return NULL;
}

static void workers_write_while_it_follows(void **state)
{
	struct err err = {0};
	struct ingest *g = start(7, &err);
	struct writer w[3];

	for (int i = 0; i < 3; i++) {
		w[i] = (struct writer){.worker = i,
			.from = (uint32_t)i * 1000 + 1,
			.to = (uint32_t)i * 1000 + 1000};
		assert_int_equal(pthread_create(&w[i].thread, NULL, write_some, &w[i]), 0);
	}
	for (int i = 0; i < 20; i++) {
		assert_true(ingest_backlog_bytes(g) >= 0);
		usleep(5000);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(w[i].thread, NULL);
	ingest_stop(g);
	assert_int_equal(sum_of().rows, 3000);
	assert_int_equal(sum_of().cost_nusd, 3000 * 3001 / 2);
	assert_int_equal(ends_of().ok, 3000);
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
			checkpoints_and_ends_mix_in_any_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_torn_end_is_where_the_file_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_damaged_file_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			one_damaged_record_costs_only_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(zeros_at_the_end_are_a_torn_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			damage_wider_than_a_window_is_passed_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_record_of_another_form_costs_only_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			turned_bits_lose_only_their_records, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_live_file_goes_on_behind_damage, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_file_that_cannot_be_read_stops_the_start_and_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_file_that_cannot_be_removed_is_counted_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_store_that_refuses_loses_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_stop_while_the_store_refuses_keeps_the_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_job_that_leaves_a_transaction_open_blocks_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_killed_ingest_is_repeated_without_doubles, set_up, tear_down),
		cmocka_unit_test_setup_teardown(workers_write_while_it_follows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_second_process_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(jobs_run_on_the_store_thread, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			kill_9_loses_and_doubles_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
