/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/journal.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "machine/crypto/hash.h"
#include "state/ledger/file.h"

#define ROTATE_BYTES ((int64_t)64 << 20)
#define MAX_PENDING_BYTES (16u << 20)
#define KEEP_PENDING_BYTES (1u << 20)
#define RETRY_MS 200

struct journal {
	struct loop *loop;
	struct sys *sys;
	char dir[4096];
	int64_t epoch;
	int worker, number;
	bool sync;
	int fd;
	int64_t file_bytes;
	struct buf pending; /* begins with a whole record; kept until it is as safe as asked */
	size_t sent;        /* of pending: in the file */
	bool suspect;       /* a sync failed: what was sent may be lost, and goes to a new file */
	struct list waiters;
	struct loop_hook hook;
	struct loop_task again; /* what came while callbacks ran */
	struct timer retry;
	bool degraded;
	_Atomic uint64_t written;
};

/* The folder's entry must outlive a power cut too. */
static bool sync_dir(struct journal *j)
{
	int fd = j->sys->open(j->sys, j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	bool ok;

	if (fd < 0)
		return false;
	ok = j->sys->sync(j->sys, fd) == 0;
	j->sys->close(j->sys, fd);
	return ok;
}

/* A new file, never one that was there: its end may be torn. The old one stays when it fails. */
static bool open_next(struct journal *j, struct err *err)
{
	char path[JOURNAL_PATH_BYTES];
	int fd, number = j->number;

	do
		journal_file_path(j->dir, j->epoch, j->worker, ++number, path);
	while ((fd = j->sys->open(j->sys, path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC,
			0600)) < 0 &&
		errno == EEXIST && number < INT_MAX);
	if (fd < 0)
		return err_set_errno(err, ERR_IO, path);
	if (j->sync && !sync_dir(j)) {
		err_set_errno(err, ERR_IO, j->dir);
		j->sys->close(j->sys, fd);
		j->sys->unlink(j->sys, path);
		return false;
	}
	if (j->fd >= 0)
		j->sys->close(j->sys, j->fd);
	j->fd = fd;
	j->number = number;
	j->file_bytes = 0;
	return true;
}

static void wake(struct journal *j)
{
	struct list ready;
	struct list *node;

	/* Those that come while these run belong to the next write. */
	list_init(&ready);
	while ((node = list_take_front(&j->waiters)) != NULL)
		list_add_back(&ready, node);
	while ((node = list_take_front(&ready)) != NULL) {
		struct journal_waiter *w = LIST_ITEM(node, struct journal_waiter, node);

		w->durable(w);
	}
}

static void on_turn(struct loop_hook *h)
{
	struct journal *j = LIST_ITEM(h, struct journal, hook);

	if (!j->degraded)
		journal_flush(j);
}

static void on_again(struct loop_task *t)
{
	struct journal *j = LIST_ITEM(t, struct journal, again);

	if (j->degraded) /* the disk is asked by the timer; the answers do not wait for it */
		wake(j);
	else
		journal_flush(j);
}

static void on_retry(struct timer *t)
{
	journal_flush(LIST_ITEM(t, struct journal, retry));
}

struct journal *journal_open(
	struct loop *l, const char *data_dir, int64_t epoch, int worker, bool sync, struct err *err)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (j == NULL) {
		err_set(err, ERR_NO_MEMORY, NULL);
		return NULL;
	}
	j->loop = l;
	j->sys = l->sys;
	j->epoch = epoch;
	j->worker = worker;
	j->number = -1;
	j->fd = -1;
	j->sync = sync;
	buf_init(&j->pending, MAX_PENDING_BYTES);
	list_init(&j->waiters);
	if (!journal_dir(data_dir, j->dir, err) || !sys_make_dir(j->sys, j->dir, err) ||
		!open_next(j, err)) {
		free(j);
		return NULL;
	}
	timer_init(&j->retry, l, on_retry);
	loop_task_init(&j->again, on_again);
	j->hook.run = on_turn;
	loop_hook_add(l, &j->hook);
	return j;
}

bool journal_put(
	struct journal *j, const struct request_row *r, bool final, struct journal_waiter *w)
{
	size_t from = j->pending.n, n;
	unsigned char head[JOURNAL_HEAD_BYTES] = {0};

	buf_append(&j->pending, span_from(head, sizeof(head)));
	if (!record_write(r, final, &j->pending)) {
		/* All or nothing: what stood there before is whole. */
		j->pending.failed = false;
		j->pending.n = from;
		return false;
	}
	n = j->pending.n - from - sizeof(head);
	journal_write_head(head, span_skip(buf_span(&j->pending), from + sizeof(head)), n);
	memcpy(j->pending.mem + j->pending.off + from, head, sizeof(head));
	if (w != NULL) {
		assert(list_empty(&w->node));
		list_add_back(&j->waiters, &w->node);
		if (j->degraded)
			loop_task_post(j->loop, &j->again);
	}
	return true;
}

void journal_forget(struct journal_waiter *w)
{
	list_remove(&w->node);
}

static bool write_all(struct journal *j)
{
	/*
	 * After a sync that failed the kernel counts the pages as clean: a second sync would say
	 * yes to what is lost. So it is all written again, elsewhere; doubles are harmless.
	 */
	if (j->suspect) {
		if (!open_next(j, NULL))
			return false;
		j->suspect = false;
		j->sent = 0;
	}
	while (j->sent < j->pending.n) {
		struct span s = span_skip(buf_span(&j->pending), j->sent);
		ssize_t n = j->sys->write(j->sys, j->fd, s.p, s.n);

		if (n <= 0)
			return false;
		j->sent += (size_t)n;
		j->file_bytes += n;
		atomic_fetch_add_explicit(&j->written, (uint64_t)n, memory_order_relaxed);
	}
	if (j->sync && j->sys->sync(j->sys, j->fd) != 0) {
		j->suspect = true;
		return false;
	}
	buf_consume(&j->pending, j->sent);
	j->sent = 0;
	if (j->pending.cap > KEEP_PENDING_BYTES)
		buf_done(&j->pending);
	return true;
}

void journal_flush(struct journal *j)
{
	if (j->pending.n > 0) {
		j->degraded = !write_all(j);
		if (j->degraded)
			timer_start(&j->retry, RETRY_MS);
		else if (j->file_bytes >= ROTATE_BYTES)
			open_next(j, NULL); /* when it cannot be made, this one grows on */
	}
	if (list_empty(&j->waiters))
		return;
	wake(j);
	if (j->pending.n > 0)
		loop_task_post(j->loop, &j->again);
}

bool journal_ok(const struct journal *j)
{
	return !j->degraded;
}

uint64_t journal_bytes(const struct journal *j)
{
	return atomic_load_explicit(&j->written, memory_order_relaxed);
}

void journal_close(struct journal *j)
{
	if (j == NULL)
		return;
	journal_flush(j);
	loop_hook_remove(&j->hook);
	loop_task_cancel(&j->again);
	timer_done(&j->retry);
	j->sys->close(j->sys, j->fd);
	buf_done(&j->pending);
	free(j);
}
