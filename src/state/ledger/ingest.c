/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/ingest.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include "state/ledger/file.h"
#include "state/ledger/journal.h"

#define POLL_MS 200
#define TROUBLE_MS 1000
#define READ_BYTES (JOURNAL_MAX_PAYLOAD + JOURNAL_HEAD_BYTES)
#define MAX_FILES 4096
#define NAME_BYTES 128

/* One journal file being followed. */
struct tail {
	struct journal_name name;
	char file[NAME_BYTES];
	int fd; /* -1: not open */
	int64_t offset, size;
	bool damaged; /* reported; left alone */
};

struct ingest {
	struct sys *sys;
	struct store store;
	struct log *log;
	char dir[4096];
	int64_t epoch;
	int lock_fd;
	pthread_t thread;
	pthread_mutex_t lock; /* jobs and stop */
	pthread_cond_t wake;
	struct ingest_job *jobs, **last_job;
	bool stop;
	bool epoch_over; /* the last round: our own files are done too */
	bool trouble;    /* the store refuses; said once */
	_Atomic int64_t backlog;
	struct tail tails[MAX_FILES];
	int n;
	char *read_buf;
};

static void say(struct ingest *g, enum log_level level, const char *event, const char *msg,
	const char *file, const struct err *err)
{
	struct log_field f[2];
	int n = 0;

	if (file != NULL)
		f[n++] = LOG_FIELD_TEXT("file", span_of(file));
	if (err != NULL)
		f[n++] = LOG_FIELD_TEXT("err", span_of(err->text));
	log_write(g->log, level, event, msg, f, n);
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
	struct tail t = {.fd = -1};

	if (!journal_read_name(file, &t.name) || strlen(file) >= NAME_BYTES ||
		is_followed(g, file) || g->n == MAX_FILES)
		return true;
	snprintf(t.file, sizeof(t.file), "%s", file);
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

	if (d == NULL)
		return err_set_errno(err, ERR_IO, g->dir);
	while (ok && (entry = readdir(d)) != NULL)
		ok = follow(g, entry->d_name, err);
	closedir(d);
	if (g->n > 1)
		qsort(g->tails, (size_t)g->n, sizeof(g->tails[0]), by_age);
	return ok;
}

/* ---- one file ---- */

static void path_of(const struct ingest *g, const struct tail *t, char out[JOURNAL_PATH_BYTES])
{
	snprintf(out, JOURNAL_PATH_BYTES, "%.4000s/%s", g->dir, t->file);
}

static void close_tail(struct ingest *g, struct tail *t)
{
	if (t->fd >= 0)
		g->sys->close(g->sys, t->fd);
	t->fd = -1;
}

/* Kept beside, for a person to look at: what follows a damaged place cannot be told from it. */
static void set_aside(struct ingest *g, struct tail *t)
{
	char from[JOURNAL_PATH_BYTES], to[JOURNAL_PATH_BYTES + 16];

	if (!t->damaged)
		say(g, LOG_ERROR, "journal_damaged",
			"a record is damaged; the file is kept with the ending .damaged", t->file,
			NULL);
	t->damaged = true;
	path_of(g, t, from);
	snprintf(to, sizeof(to), "%s.damaged", from);
	close_tail(g, t);
	g->sys->rename(g->sys, from, to);
}

/* The whole records in a piece, in one transaction with the mark. *used 0: none whole. */
static bool take_batch(struct ingest *g, struct tail *t, struct span bytes, size_t *used,
	enum journal_frame *frame, struct err *err)
{
	struct request_row row;
	struct span payload;
	size_t n;
	bool final, ok = true;

	*used = 0;
	*frame = journal_read_frame(bytes, &payload, &n);
	if (*frame != JOURNAL_WHOLE)
		return true;
	if (!store_begin(&g->store, err))
		return false;
	while (ok && *frame == JOURNAL_WHOLE) {
		if (!record_read(payload, &row, &final)) {
			*frame = JOURNAL_DAMAGED;
			break;
		}
		ok = request_put(&g->store, &row, final, err);
		*used += n;
		*frame = journal_read_frame(span_skip(bytes, *used), &payload, &n);
	}
	ok = ok && journal_mark_put(&g->store, span_of(t->file), t->offset + (int64_t)*used, err) &&
	     store_commit(&g->store, err);
	if (!ok)
		store_rollback(&g->store);
	return ok;
}

/* Everything that is there now. false: the store refused. *at_end: nothing whole is left. */
static bool read_tail(struct ingest *g, struct tail *t, enum journal_frame *frame, struct err *err)
{
	char path[JOURNAL_PATH_BYTES];
	struct stat st;

	*frame = JOURNAL_PARTIAL;
	path_of(g, t, path);
	if (t->fd < 0)
		t->fd = g->sys->open(g->sys, path, O_RDONLY | O_CLOEXEC, 0);
	if (t->fd < 0)
		return errno == ENOENT || err_set_errno(err, ERR_IO, path);
	t->size = fstat(t->fd, &st) == 0 ? st.st_size : t->size;
	while (t->offset < t->size && *frame != JOURNAL_DAMAGED) {
		ssize_t n = g->sys->pread(g->sys, t->fd, g->read_buf, READ_BYTES, t->offset);
		size_t used;

		if (n < 0)
			return err_set_errno(err, ERR_IO, path);
		if (!take_batch(g, t, span_from(g->read_buf, (size_t)n), &used, frame, err))
			return false;
		t->offset += (int64_t)used;
		if (used == 0)
			break;
	}
	return true;
}

/* A file that nobody writes any more and that is in the tables. */
static bool drop(struct ingest *g, struct tail *t, struct err *err)
{
	char path[JOURNAL_PATH_BYTES];

	path_of(g, t, path);
	if (!journal_mark_drop(&g->store, span_of(t->file), err))
		return false;
	close_tail(g, t);
	g->sys->unlink(g->sys, path);
	return true;
}

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

static bool round_of(struct ingest *g, struct err *err)
{
	int64_t backlog = 0;

	if (!look_for_files(g, err))
		return false;
	for (int i = 0; i < g->n;) {
		struct tail *t = &g->tails[i];
		/* Decided before reading: a file that ends afterwards is looked at again. */
		bool finished = is_finished(g, i);
		enum journal_frame frame;

		if (!read_tail(g, t, &frame, err))
			return false;
		backlog += t->size - t->offset;
		if (frame == JOURNAL_DAMAGED && finished) {
			set_aside(g, t);
			forget(g, i);
			continue;
		}
		if (!finished || frame == JOURNAL_DAMAGED) {
			i++;
			continue;
		}
		if (t->offset < t->size)
			say(g, LOG_WARN, "journal_torn",
				"the last record was not written whole; nobody was answered by it",
				t->file, NULL);
		if (!drop(g, t, err))
			return false;
		forget(g, i);
	}
	atomic_store(&g->backlog, backlog);
	return true;
}

static bool do_round(struct ingest *g)
{
	struct err err = {0};
	bool ok = round_of(g, &err);

	if (!ok && !g->trouble)
		say(g, LOG_ERROR, "store_down", "records wait in the journals", NULL, &err);
	if (ok && g->trouble)
		say(g, LOG_INFO, "store_up", "records are taken from the journals again", NULL,
			NULL);
	g->trouble = !ok;
	return ok;
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
			job = next;
		}
		if (!stop)
			do_round(g);
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
		close_tail(g, &g->tails[i]);
	store_close(&g->store);
	if (g->lock_fd >= 0)
		g->sys->close(g->sys, g->lock_fd);
	pthread_cond_destroy(&g->wake);
	pthread_mutex_destroy(&g->lock);
	free(g->read_buf);
	free(g);
}

static bool recover(struct ingest *g, struct err *err)
{
	int64_t closed = 0;
	struct log_field f;

	if (!round_of(g, err) || !request_close_open(&g->store, &closed, err))
		return false;
	f = LOG_FIELD_INT("requests", closed);
	if (closed > 0)
		log_write(g->log, LOG_WARN, "recovered",
			"requests that a crash cut off are settled as crashed", &f, 1);
	return true;
}

struct ingest *ingest_start(struct sys *sys, struct store *store, const char *data_dir,
	int64_t epoch, struct log *log, struct err *err)
{
	struct ingest *g = calloc(1, sizeof(*g));
	pthread_condattr_t attributes;

	if (g == NULL) {
		store_close(store);
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	g->sys = sys;
	g->store = *store;
	store->db = NULL;
	g->log = log;
	g->epoch = epoch;
	g->lock_fd = -1;
	g->last_job = &g->jobs;
	pthread_mutex_init(&g->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&g->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	g->read_buf = malloc(READ_BYTES);
	if (g->read_buf == NULL)
		err_set(err, ERR_NO_MEMORY, NULL);
	else if (store_lock(sys, data_dir, &g->lock_fd, err) &&
		 journal_dir(data_dir, g->dir, err) && sys_make_dir(sys, g->dir, err) &&
		 recover(g, err)) {
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
