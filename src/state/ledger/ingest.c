/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/ingest.h"
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include "state/ledger/tail.h"

#define POLL_MS 200
#define TROUBLE_MS 1000
#define DROP_EVERY_MS 60000
#define DROP_ROWS 5000
#define MAX_FILES 4096 /* followed at a time; the others wait their turn */

struct ingest {
	struct sys *sys;
	struct store store;
	struct log *log;
	char dir[4096];
	int64_t epoch;
	pthread_t thread;
	pthread_mutex_t lock; /* jobs and stop */
	pthread_cond_t wake;
	struct ingest_job *jobs, **last_job;
	bool stop;
	_Atomic int64_t backlog, minutes_ms;
	int64_t dropped_ms;   /* when minutes were looked through */
	bool epoch_over;      /* the last round: our own files are done too */
	_Atomic bool trouble; /* said once; written by the store thread alone */
	struct tail_io io;
	struct tail tails[MAX_FILES]; /* in order of age */
	int n;
	bool more; /* there are files beyond MAX_FILES */
};

static void say(struct ingest *g, enum log_level level, const char *event, const char *msg,
	const struct err *err)
{
	struct log_field f = {0};

	if (err != NULL)
		f = LOG_FIELD_TEXT("err", span_of(err->text));
	log_write(g->log, level, event, msg, &f, err != NULL);
}

/* ---- which files there are ---- */

static int by_age(const void *a, const void *b)
{
	const struct journal_name *x = &((const struct tail *)a)->name,
				  *y = &((const struct tail *)b)->name;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? -1 : 1;
	if (x->worker != y->worker)
		return x->worker < y->worker ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

static bool is_followed(const struct ingest *g, const char *file)
{
	for (int i = 0; i < g->n; i++)
		if (strcmp(g->tails[i].file, file) == 0)
			return true;
	return false;
}

static bool follow(struct ingest *g, const char *file, struct err *err)
{
	struct tail t = {.fd = -1, .bad_offset = -1};

	if (!journal_read_name(file, &t.name) || strlen(file) >= sizeof(t.file) ||
		is_followed(g, file))
		return true;
	if (g->n == MAX_FILES) {
		g->more = true;
		return true;
	}
	memcpy(t.file, file, strlen(file) + 1);
	if (!journal_mark_get(&g->store, span_of(file), &t.offset, err))
		return false;
	g->tails[g->n++] = t;
	return true;
}

static bool look_for_files(struct ingest *g, struct err *err)
{
	DIR *d = opendir(g->dir);
	struct dirent *entry;
	bool ok = true;

	g->more = false;
	if (d == NULL)
		return err_set_errno(err, ERR_IO, g->dir);
	while (ok && (entry = readdir(d)) != NULL)
		ok = follow(g, entry->d_name, err);
	closedir(d);
	if (g->n > 1)
		qsort(g->tails, (size_t)g->n, sizeof(g->tails[0]), by_age);
	return ok;
}

/* ---- a round ---- */

static bool is_finished(const struct ingest *g, int i)
{
	const struct journal_name *a = &g->tails[i].name;

	if (a->epoch != g->epoch || g->epoch_over)
		return true;
	/* Sorted: a later file of the same worker stands behind. */
	return i + 1 < g->n && g->tails[i + 1].name.epoch == a->epoch &&
	       g->tails[i + 1].name.worker == a->worker;
}

static void forget(struct ingest *g, int i)
{
	memmove(&g->tails[i], &g->tails[i + 1], sizeof(g->tails[0]) * (size_t)(g->n - i - 1));
	g->n--;
}

/* One file's share of a round; *gone: it is dropped. */
static enum tail_result look_at(struct ingest *g, int i, bool *gone, struct err *err)
{
	struct tail *t = &g->tails[i];
	/* Decided before reading: what is written afterwards is not missed. */
	bool finished = is_finished(g, i);
	enum tail_result result = tail_read(t, &g->io, finished, err);

	*gone = false;
	if (result != TAIL_TAKEN || !finished)
		return result;
	result = tail_drop(t, &g->io, err);
	*gone = result == TAIL_TAKEN;
	return result;
}

/* A file that cannot be read must not keep the others: it is said once and tried again. */
static void on_unreadable(struct ingest *g, struct tail *t, const struct err *why)
{
	if (!t->unreadable)
		say(g, LOG_ERROR, "journal_unreadable",
			"a journal file cannot be read or removed; the others go on", why);
	t->unreadable = true;
	tail_close(t, g->sys);
}

/* false: the store refuses, or, when `strict`, a file cannot be read. */
static bool round_of(struct ingest *g, bool strict, struct err *err)
{
	int64_t backlog = 0;

	if (!look_for_files(g, err))
		return false;
	for (int i = 0; i < g->n;) {
		struct tail *t = &g->tails[i];
		enum tail_result result;
		struct err why = {0};
		bool gone;

		if (t->done) {
			i++;
			continue;
		}
		result = look_at(g, i, &gone, &why);
		if (result == TAIL_REFUSED || (result == TAIL_UNREADABLE && strict && !t->done))
			return err_set(err, why.code, "%s", why.text);
		if (result == TAIL_UNREADABLE)
			on_unreadable(g, t, &why);
		else
			t->unreadable = false;
		backlog += t->size - t->offset;
		if (gone)
			forget(g, i);
		else
			i++;
	}
	atomic_store(&g->backlog, backlog);
	return true;
}

/* What waits while no round comes to its end: all that the files hold, but for what was taken. */
static void measure_backlog(struct ingest *g)
{
	DIR *d = opendir(g->dir);
	struct journal_name name;
	struct dirent *entry;
	int64_t bytes = 0;
	struct stat st;

	if (d == NULL)
		return;
	while ((entry = readdir(d)) != NULL)
		if (journal_read_name(entry->d_name, &name) &&
			fstatat(dirfd(d), entry->d_name, &st, 0) == 0)
			bytes += st.st_size;
	closedir(d);
	for (int i = 0; i < g->n; i++)
		bytes -= g->tails[i].offset;
	atomic_store(&g->backlog, bytes > 0 ? bytes : 0);
}

static bool do_round(struct ingest *g)
{
	struct err err = {0};
	bool ok = round_of(g, false, &err);

	if (!ok)
		measure_backlog(g);
	if (!ok && !g->trouble)
		say(g, LOG_ERROR, "store_down", "records wait in the journals", &err);
	if (ok && g->trouble)
		say(g, LOG_INFO, "store_up", "records are taken from the journals again", NULL);
	g->trouble = !ok;
	return ok;
}

/* Old sums go a piece a round, so that records never wait long for it. */
static void drop_minutes(struct ingest *g)
{
	int64_t now = g->sys->wall_ms(g->sys), keep = atomic_load(&g->minutes_ms), gone = 0;
	struct err err = {0};

	if (keep == 0 || now - g->dropped_ms < DROP_EVERY_MS)
		return;
	if (usage_drop_minutes(&g->store, now - keep, DROP_ROWS, &gone, &err) && gone < DROP_ROWS)
		g->dropped_ms = now;
}

/* ---- the thread ---- */

static struct ingest_job *take_jobs(struct ingest *g, bool *stop)
{
	struct timespec until;
	struct ingest_job *jobs;
	int64_t ms = g->trouble ? TROUBLE_MS : POLL_MS;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&g->lock);
	if (g->jobs == NULL && !g->stop)
		pthread_cond_timedwait(&g->wake, &g->lock, &until);
	jobs = g->jobs;
	g->jobs = NULL;
	g->last_job = &g->jobs;
	*stop = g->stop;
	pthread_mutex_unlock(&g->lock);
	return jobs;
}

static void *run(void *arg)
{
	struct ingest *g = arg;
	bool stop = false;

	while (!stop) {
		struct ingest_job *job = take_jobs(g, &stop);

		while (job != NULL) {
			struct ingest_job *next = job->next;

			job->run(job, &g->store);
			store_rollback(&g->store); /* a job that failed half-way leaves none open */
			job = next;
		}
		if (!stop)
			do_round(g);
		if (!stop && !g->trouble)
			drop_minutes(g);
	}
	/* The workers are gone: what they wrote is all there is. What fails now waits in the files.
	 */
	g->epoch_over = true;
	do_round(g);
	return NULL;
}

static void ingest_free(struct ingest *g)
{
	for (int i = 0; i < g->n; i++)
		tail_close(&g->tails[i], g->sys);
	store_close(&g->store); /* and with it the lock */
	pthread_cond_destroy(&g->wake);
	pthread_mutex_destroy(&g->lock);
	free(g->io.window);
	free(g);
}

/*
 * What earlier epochs left, all of it, before open rows are closed: an end that is still in a file
 * would come too late. A file that cannot be read is therefore a person's decision.
 */
static bool recover(struct ingest *g, struct err *err)
{
	int64_t closed = 0;
	struct log_field f;

	do {
		if (!round_of(g, true, err))
			return false;
	} while (g->more && g->n < MAX_FILES);
	if (!request_close_open(&g->store, &closed, err))
		return false;
	f = LOG_FIELD_INT("requests", closed);
	if (closed > 0)
		log_write(g->log, LOG_WARN, "recovered",
			"requests that a crash cut off are settled as crashed", &f, 1);
	return true;
}

static bool prepare(struct ingest *g, const char *data_dir, struct err *err)
{
	struct store *s = &g->store;

	if (!s->locked)
		s->locked = store_lock(g->sys, data_dir, &s->lock_fd, err);
	if (!s->locked || !journal_dir(data_dir, g->dir, err) || !sys_make_dir(g->sys, g->dir, err))
		return false;
	g->io = (struct tail_io){.sys = g->sys,
		.store = &g->store,
		.log = g->log,
		.dir = g->dir,
		.window = malloc(TAIL_WINDOW_BYTES)};
	return g->io.window != NULL || err_set(err, ERR_NO_MEMORY, NULL);
}

static void init_wake(struct ingest *g)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&g->wake, &attributes);
	pthread_condattr_destroy(&attributes);
}

struct ingest *ingest_start(struct sys *sys, struct store *store, const char *data_dir,
	int64_t epoch, struct log *log, struct err *err)
{
	struct ingest *g = calloc(1, sizeof(*g));

	if (g == NULL) {
		store_close(store);
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	g->sys = sys;
	g->store = *store;
	store->db = NULL;
	store->batch = NULL;
	store->locked = false;
	g->store.sys = sys;
	g->log = log;
	g->epoch = epoch;
	g->last_job = &g->jobs;
	init_wake(g);
	if (prepare(g, data_dir, err) && recover(g, err)) {
		if (pthread_create(&g->thread, NULL, run, g) == 0) {
			pthread_setname_np(g->thread, "store");
			return g;
		}
		err_set(err, ERR_NO_MEMORY, "No thread for the store");
	}
	ingest_free(g);
	return NULL;
}

void ingest_post(struct ingest *g, struct ingest_job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&g->lock);
	*g->last_job = job;
	g->last_job = &job->next;
	pthread_cond_signal(&g->wake);
	pthread_mutex_unlock(&g->lock);
}

void ingest_keep_minutes(struct ingest *g, int64_t ms)
{
	atomic_store(&g->minutes_ms, ms);
}

bool ingest_store_ok(struct ingest *g)
{
	return !atomic_load(&g->trouble);
}

int64_t ingest_backlog_bytes(struct ingest *g)
{
	return atomic_load(&g->backlog);
}

void ingest_stop(struct ingest *g)
{
	pthread_mutex_lock(&g->lock);
	g->stop = true;
	pthread_cond_signal(&g->wake);
	pthread_mutex_unlock(&g->lock);
	pthread_join(g->thread, NULL);
	ingest_free(g);
}
