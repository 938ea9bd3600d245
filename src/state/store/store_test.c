/* SPDX-License-Identifier: Apache-2.0 */
#include "state/store/store.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "state/store/store_kit_test.h"
#include "state/store/schema.h"

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
	assert_true(kit_store_open(&b->store, &sys_real, b->dir, &err));
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const files[] = {"sluice.db", "sluice.db-wal", "sluice.db-shm", "lock"};
	struct box *b = *state;
	char path[128];

	store_close(&b->store);
	for (int i = 0; i < 4; i++) {
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

	id_make(&r.id, n, (const uint8_t[10]){n});
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

static bool look_at_last(void *user, const struct request_row *r, bool final)
{
	assert_true(final);
	assert_true(span_is(r->provider, "second"));
	assert_true(span_is(r->model_served, "second/gpt"));
	assert_int_equal(r->attempts, 2);
	assert_int_equal(r->first_token_us, 3);
	assert_int_equal(r->cost_nusd, COST_UNKNOWN);
	assert_int_equal(r->tags.n, 0);
	++*(int *)user;
	return true;
}

/* The last attempt may have been at another provider than the checkpoint's. */
static void a_final_row_replaces_all_of_a_checkpoint(void **state)
{
	struct box *b = *state;
	struct request_row r = a_request(1);
	int seen = 0;

	assert_true(request_put(&b->store, &r, false, NULL));
	r.provider = SPAN("second");
	r.model_served = SPAN("second/gpt");
	r.attempts = 2;
	r.first_token_us = 3;
	r.cost_nusd = COST_UNKNOWN;
	r.tags = SPAN("");
	assert_true(request_put(&b->store, &r, true, NULL));
	assert_true(request_each(&b->store, 0, 10, look_at_last, &seen, NULL));
	assert_int_equal(seen, 1);
}

static bool count_rows(void *user, const struct request_row *r, bool final)
{
	++*(int *)user;
	return true;
}

static void a_damaged_row_is_said_not_guessed(void **state)
{
	struct box *b = *state;
	struct request_row r = a_request(1);
	struct key_row k = key_named("k", 1);
	struct err err = {0}, key_err = {0};
	struct key_row got;
	int seen = 0;

	assert_true(request_put(&b->store, &r, true, NULL));
	assert_true(db_script(b->store.db, "UPDATE request SET outcome = 'fine'", NULL));
	assert_false(request_each(&b->store, 0, 10, count_rows, &seen, &err));
	assert_int_equal(err.code, ERR_CORRUPT);
	assert_int_equal(seen, 0);
	assert_true(key_insert(&b->store, &k, NULL));
	assert_true(db_script(b->store.db, "UPDATE key SET manage = 7", NULL));
	assert_false(key_each(&b->store, collect, &got, &key_err));
	assert_int_equal(key_err.code, ERR_CORRUPT);
}

static void requests_come_from_a_time_on_and_no_more_than_asked(void **state)
{
	struct box *b = *state;
	int seen = 0;

	for (uint8_t i = 9; i >= 1; i--) {
		struct request_row r = a_request(i);

		assert_true(request_put(&b->store, &r, true, NULL));
	}
	assert_true(request_each(&b->store, 4, 100, count_rows, &seen, NULL));
	assert_int_equal(seen, 6);
	seen = 0;
	assert_true(request_each(&b->store, 0, 2, count_rows, &seen, NULL));
	assert_int_equal(seen, 2);
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

/* A batch that failed half-way is tried again: what it had summed by then must not count twice. */
static void what_was_rolled_back_is_not_summed(void **state)
{
	struct box *b = *state;
	struct request_row r = a_request(1);
	struct ledger_audit a;

	r.price_source = LLM_PRICE_CATALOG;
	r.price.input = 7;
	for (int i = 0; i < 3; i++) {
		assert_true(store_begin(&b->store, NULL));
		assert_true(request_put(&b->store, &r, true, NULL));
		if (i < 2)
			store_rollback(&b->store);
	}
	assert_true(store_commit(&b->store, NULL));
	assert_true(audit_ledger(&b->store, &a, NULL));
	assert_true(a.requests == 1 && a.wrong_sums == 0);
}

static bool take_row(void *user, const struct request_row *r, bool final)
{
	*(struct request_row *)user = *r;
	return true;
}

/* The price of a row comes back with it, also where an earlier insert of it was taken back. */
static void a_price_is_kept_once(void **state)
{
	struct box *b = *state;
	struct request_row r = a_request(1), out = {0};
	struct id ids[3];

	r.price_source = LLM_PRICE_CONFIGURED;
	r.price = (struct llm_price){0, 1, 2, -1, -1, -1, -1, -1, -1, -1, 9};
	assert_true(store_begin(&b->store, NULL));
	assert_true(price_put(&b->store, r.price_source, &r.price, &ids[0], NULL));
	store_rollback(&b->store);
	assert_true(request_put(&b->store, &r, true, NULL));
	assert_true(price_put(&b->store, r.price_source, &r.price, &ids[1], NULL));
	assert_true(price_put(&b->store, LLM_PRICE_CATALOG, &r.price, &ids[2], NULL));
	assert_memory_equal(&ids[0], &ids[1], sizeof(ids[0]));
	assert_memory_not_equal(&ids[1], &ids[2], sizeof(ids[0]));
	assert_true(request_each(&b->store, 0, 10, take_row, &out, NULL));
	assert_int_equal(out.price_source, LLM_PRICE_CONFIGURED);
	assert_memory_equal(&out.price, &r.price, sizeof(r.price));
}

static void corrections_are_added_up(void **state)
{
	struct box *b = *state;
	struct request_row r = a_request(1);
	struct correction c = {
		.id = {{1}}, .request_id = r.id, .at_ms = 5, .actor = SPAN("x"), .why = SPAN("y")};
	struct ledger_audit a;
	struct err err = {0};
	int64_t n, nusd;

	r.cost_nusd = COST_UNKNOWN;
	assert_true(store_begin(&b->store, NULL));
	assert_true(request_put(&b->store, &r, false, NULL));
	assert_false(correction_put(&b->store, &c, 100, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_true(request_put(&b->store, &r, true, NULL));
	assert_true(correction_put(&b->store, &c, 100, NULL));
	assert_true(c.nusd == 100 && c.priced);
	c.id.bytes[0] = 2;
	assert_true(correction_put(&b->store, &c, 30, NULL));
	assert_true(c.nusd == -70 && c.before_nusd == 100 && !c.priced);
	assert_true(store_commit(&b->store, NULL));
	assert_true(correction_sum(&b->store, &r.id, &n, &nusd, NULL) && n == 2 && nusd == 30);
	assert_true(audit_ledger(&b->store, &a, NULL));
	assert_true(a.corrections == 2 && a.corrected_nusd == 30 && a.wrong_sums == 0);
	memset(&c.request_id, 9, sizeof(c.request_id));
	err.code = ERR_OK;
	assert_false(correction_put(&b->store, &c, 30, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

static bool count_bucket(void *user, const struct usage_row *r)
{
	*(int64_t *)user += r->sum.requests;
	return true;
}

static int64_t sum_from(struct store *s, enum usage_resolution resolution, int64_t from, int64_t to)
{
	struct usage_query q = {.from_ms = from, .to_ms = to, .resolution = resolution};
	int64_t n = 0;

	assert_true(usage_each(s, &q, count_bucket, &n, NULL));
	return n;
}

/* Days, their ends cut to hours, hours and minutes agree; old minutes go, a piece at a time. */
static void sums_agree_and_old_minutes_go(void **state)
{
	const int64_t day = 86400000, hour = 3600000, minute = 60000;
	struct box *b = *state;
	int64_t gone;

	assert_true(store_begin(&b->store, NULL));
	for (int i = 0; i < 96; i++) {
		struct request_row r = a_request(i + 1);

		r.started_ms = 20000 * day + i * hour + 7 * minute;
		r.id.bytes[0] = (uint8_t)i;
		assert_true(request_put(&b->store, &r, true, NULL));
	}
	assert_true(store_commit(&b->store, NULL));
	for (int i = 0; i <= 96; i++) {
		int64_t from = 20000 * day + i * hour;

		assert_int_equal(sum_from(&b->store, USAGE_DAYS, from, 20004 * day), 96 - i);
		assert_int_equal(sum_from(&b->store, USAGE_HOURS, from, 20004 * day), 96 - i);
		assert_int_equal(sum_from(&b->store, USAGE_MINUTES, from, 20004 * day), 96 - i);
		assert_int_equal(sum_from(&b->store, USAGE_DAYS, 20000 * day, from), i);
	}
	assert_true(usage_drop_minutes(&b->store, 20002 * day, 10, &gone, NULL));
	assert_int_equal(gone, 10);
	while (gone > 0)
		assert_true(usage_drop_minutes(&b->store, 20002 * day, 10, &gone, NULL));
	assert_int_equal(sum_from(&b->store, USAGE_MINUTES, 20000 * day, 20004 * day), 48);
	assert_int_equal(sum_from(&b->store, USAGE_DAYS, 20000 * day, 20004 * day), 96);
}

/* What a transaction added to the sums goes with it, and is not written by the next one. */
static void a_rollback_takes_the_sums_back_too(void **state)
{
	struct box *b = *state;
	struct request_row lost = a_request(1), kept = a_request(2);
	struct ledger_audit a;
	struct err err = {0};

	assert_true(store_begin(&b->store, &err));
	assert_true(request_put(&b->store, &lost, true, &err));
	store_rollback(&b->store);
	assert_true(store_begin(&b->store, &err));
	assert_true(request_put(&b->store, &kept, true, &err));
	assert_true(store_commit(&b->store, &err));
	assert_true(audit_ledger(&b->store, &a, &err));
	assert_int_equal(a.requests, 1);
	assert_int_equal(a.wrong_sums, 0);
}

/* A statement that fails half-way through leaves nothing of its transaction, in either database. */
static void a_failed_transaction_is_not_committed(void **state)
{
	struct box *b = *state;
	struct key_row first = key_named("same", 1), second = key_named("same", 2);
	struct err err = {0};
	bool existed;

	assert_true(store_begin(&b->store, &err));
	assert_true(key_insert(&b->store, &first, &err));
	assert_false(key_insert(&b->store, &second, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	store_rollback(&b->store);
	assert_true(key_delete(&b->store, &first.id, &existed, NULL) && !existed);
	assert_true(key_insert(&b->store, &first, NULL));
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
	if (kit_database() == NULL) {
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	assert_true(kit_store_open(&second, &sys_real, b->dir, &err));
	store_close(&second);
	assert_true(db_set_version(b->store.db, 99, &err));
	assert_false(kit_store_open(&second, &sys_real, b->dir, &err));
	assert_int_equal(err.code, ERR_CONFIG);
}

/* The folder's database, closed and emptied. */
static struct db *open_empty(struct box *b)
{
	char path[128], url[1024];
	struct err err = {0};
	struct db *d;

	store_close(&b->store);
	snprintf(path, sizeof(path), "%s/sluice.db", b->dir);
	unlink(path);
	if (kit_database() == NULL) {
		d = db_open_sqlite(path, true, &err);
	} else {
		const char *schema = strstr(kit_place(b->dir, url).database, "%3D") + 3;
		char sql[256];

		d = db_open_postgres(url, &err);
		snprintf(sql, sizeof(sql), "DROP SCHEMA %s CASCADE; CREATE SCHEMA %s", schema,
			schema);
		assert_true(db_script(d, sql, &err));
	}
	assert_non_null(d);
	return d;
}

/* What the first version could hold. */
static const char old_rows[] =
	"INSERT INTO journal_mark VALUES ('1-0-0.journal', 77);"
	"INSERT INTO key (id, public_id, sha256, name, manage, completions, created_ms, "
	"expires_ms) VALUES (x'01020304050607080102030405060708', 'public', "
	"x'0102030405060708010203040506070801020304050607080102030405060708', 'Ann''s', 1, 2, 5, "
	"6);"
	"INSERT INTO request (id, final, key_id, started_ms, duration_us, overhead_us, op, "
	"model_asked, provider, model_served, status, attempts, stream, outcome, basis, "
	"usage_present, input_uncached, cache_read, cache_write_5m, cache_write_1h, input_audio, "
	"output, reasoning, output_audio, cost_nusd) VALUES "
	"(x'0a', 1, x'01020304050607080102030405060708', 7200001, 1, 1, 'chat', 'm', 'p', 'm', "
	"200, 1, 0, 'ok', 'provider_final', 1, 10, 0, 0, 0, 0, 4, 0, 0, 900),"
	"(x'0b', 1, x'01020304050607080102030405060708', 7200002, 1, 1, 'chat', 'm', 'p', 'm', "
	"502, 1, 0, 'ok', 'none', 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL);";

static void check_old_rows(struct store *s)
{
	struct ledger_audit a;
	struct key_row k = {0};
	struct err err = {0};
	int64_t bytes;

	assert_true(journal_mark_get(s, SPAN("1-0-0.journal"), &bytes, &err));
	assert_int_equal(bytes, 77);
	assert_true(key_each(s, collect, &k, &err));
	assert_string_equal(k.name, "Ann's");
	assert_int_equal(k.expires_ms, 6);
	assert_true(audit_ledger(s, &a, &err));
	assert_int_equal(a.requests, 2);
	assert_int_equal(a.cost_nusd, 900);
	assert_int_equal(a.unpriced, 1);
	assert_int_equal(a.wrong_sums + a.negative + a.groundless, 0);
}

/* A database as each earlier program left it is brought to this one's form; rows stay. */
static void every_earlier_version_is_brought_up(void **state)
{
	struct box *b = *state;
	struct key_row k = key_named("new", 1);
	struct err err = {0};

	for (int from = 0; from <= store_schema_version(); from++) {
		struct db *old = open_empty(b);

		assert_true(db_set_version(old, 0, &err));
		for (int v = 1; v <= from; v++) {
			assert_true(db_script(old, store_schema(v).p, &err));
			assert_true(v > 1 || db_script(old, old_rows, &err));
		}
		assert_true(db_set_version(old, from, &err));
		db_close(old);
		assert_true(kit_store_open(&b->store, &sys_real, b->dir, &err));
		if (from > 0)
			check_old_rows(&b->store);
		assert_true(key_insert(&b->store, &k, &err));
	}
}

static void a_step_that_fails_leaves_the_version_before(void **state)
{
	struct box *b = *state;
	struct err err = {0};
	struct store second;
	char path[128];
	struct db *d;

	/* The table is there, the version says that it is not: the first step cannot run. */
	assert_true(db_set_version(b->store.db, 0, &err) &&
		    db_script(b->store.db, "DROP TABLE journal_mark", &err));
	assert_false(kit_store_open(&second, &sys_real, b->dir, &err));
	snprintf(path, sizeof(path), "%s/sluice.db", b->dir);
	assert_non_null(strstr(err.text, kit_database() == NULL ? path : "the database"));
	assert_null(second.db);
	d = b->store.db;
	err = (struct err){0};
	assert_false(db_script(d, "SELECT * FROM journal_mark", &err)); /* nothing half done */
}

/* Programs that start at the same moment on an empty folder: one makes the tables. */
static void many_may_open_an_empty_folder_at_once(void **state)
{
	struct box *b = *state;
	pid_t children[6];

	db_close(open_empty(b));
	for (int i = 0; i < 6; i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0) {
			struct store s;

			_exit(kit_store_open(&s, &sys_real, b->dir, NULL) ? 0 : 1);
		}
	}
	for (int i = 0; i < 6; i++) {
		int status = -1;

		waitpid(children[i], &status, 0);
		assert_int_equal(status, 0);
	}
	assert_true(kit_store_open(&b->store, &sys_real, b->dir, NULL));
}

static void one_at_a_time_works_alone(void **state)
{
	struct box *b = *state;
	struct store first, second;
	struct err err = {0};
	int fd;

	assert_true(store_open_alone(
		&first, &sys_real, &(struct store_place){.data_dir = b->dir}, &err));
	assert_false(store_open_alone(
		&second, &sys_real, &(struct store_place){.data_dir = b->dir}, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_non_null(strstr(err.text, b->dir));
	assert_false(store_lock(&sys_real, b->dir, &fd, NULL));
	store_close(&first);
	assert_true(store_open_alone(
		&second, &sys_real, &(struct store_place){.data_dir = b->dir}, &err));
	store_close(&second);
}

/* The lock dies with its holder, whatever kills it. */
static void a_killed_holder_holds_nothing(void **state)
{
	struct box *b = *state;
	struct err err = {0};
	int ready[2], fd;
	char byte;
	pid_t child;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0); /* kill(2) takes -1 for everybody */
	if (child == 0) {
		alarm(30); /* a test that is cut short leaves nothing behind */
		if (!store_lock(&sys_real, b->dir, &fd, NULL))
			_exit(1);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_false(store_lock(&sys_real, b->dir, &fd, &err));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_true(store_lock(&sys_real, b->dir, &fd, NULL));
	close(fd);
	close(ready[0]);
	close(ready[1]);
}

static int refuse_open(struct sys *sys, const char *path, int flags, mode_t mode)
{
	errno = EROFS;
	return -1;
}

static void a_disk_that_refuses_is_said(void **state)
{
	struct box *b = *state;
	struct sys sys = sys_real;
	struct err err = {0}, lock_err = {0};
	struct store s;
	int fd;

	sys.open = refuse_open;
	assert_false(store_open(&s, &sys, b->dir, &err));
	assert_int_equal(err.code, ERR_IO);
	assert_non_null(strstr(err.text, b->dir));
	assert_false(store_lock(&sys, b->dir, &fd, &lock_err));
	assert_int_equal(lock_err.code, ERR_IO);
	store_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			keys_come_back_and_names_are_unique, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_checkpoint_is_replaced_and_a_final_row_is_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_final_row_replaces_all_of_a_checkpoint, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_damaged_row_is_said_not_guessed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			requests_come_from_a_time_on_and_no_more_than_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(open_rows_are_closed_as_crashed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_was_rolled_back_is_not_summed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_price_is_kept_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(corrections_are_added_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sums_agree_and_old_minutes_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_rollback_takes_the_sums_back_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_failed_transaction_is_not_committed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(marks_are_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_files_are_private_and_a_newer_schema_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			every_earlier_version_is_brought_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_step_that_fails_leaves_the_version_before, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			many_may_open_an_empty_folder_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_at_a_time_works_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_killed_holder_holds_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_disk_that_refuses_is_said, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
