/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/journal.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "machine/crypto/hash.h"
#include "state/ledger/file.h"

#define ROTATE_BYTES ((int64_t)64 << 20)
#define MAX_PENDING_BYTES (16u << 20)
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
	struct buf pending;
	struct list waiters;
	struct loop_hook hook;
	struct timer retry;
	bool degraded;
	_Atomic uint64_t written;
};

static bool open_file(struct journal *j, struct err *err)
{
	char path[JOURNAL_PATH_BYTES];

	journal_file_path(j->dir, j->epoch, j->worker, j->number, path);
	j->fd = j->sys->open(j->sys, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	j->file_bytes = 0;
	return j->fd >= 0 || err_set_errno(err, ERR_IO, path);
}

static void on_turn(struct loop_hook *h)
{
	struct journal *j = LIST_ITEM(h, struct journal, hook);

	if (!j->degraded)
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
	j->sync = sync;
	buf_init(&j->pending, MAX_PENDING_BYTES);
	list_init(&j->waiters);
	if (!journal_dir(data_dir, j->dir, err) || !sys_make_dir(j->sys, j->dir, err) ||
		!open_file(j, err)) {
		free(j);
		return NULL;
	}
	timer_init(&j->retry, l, on_retry);
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
		if (j->degraded) /* the answer must not hang on a full disk */
			timer_start(&j->retry, 0);
	}
	return true;
}

void journal_forget(struct journal_waiter *w)
{
	list_remove(&w->node);
}

static void wake(struct journal *j)
{
	struct list ready;
	struct list *node;

	if (list_empty(&j->waiters))
		return;
	/* Those that come while these run belong to the next write. */
	list_init(&ready);
	while ((node = list_take_front(&j->waiters)) != NULL)
		list_add_back(&ready, node);
	while ((node = list_take_front(&ready)) != NULL) {
		struct journal_waiter *w = LIST_ITEM(node, struct journal_waiter, node);

		w->durable(w);
	}
}

/* The next file begins with a whole record; the last one's number is done for the ingest. */
static void rotate(struct journal *j)
{
	int old = j->fd;
	int64_t old_bytes = j->file_bytes;

	j->number++;
	if (open_file(j, NULL)) {
		j->sys->close(j->sys, old);
		return;
	}
	j->number--;
	j->fd = old;
	j->file_bytes = old_bytes;
}

static bool write_all(struct journal *j)
{
	while (j->pending.n > 0) {
		struct span s = buf_span(&j->pending);
		ssize_t n = j->sys->write(j->sys, j->fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		buf_consume(&j->pending, (size_t)n);
		j->file_bytes += n;
		atomic_fetch_add_explicit(&j->written, (uint64_t)n, memory_order_relaxed);
	}
	return !j->sync || j->sys->sync(j->sys, j->fd) == 0;
}

void journal_flush(struct journal *j)
{
	if (j->pending.n > 0 || j->degraded) {
		j->degraded = !write_all(j);
		if (j->degraded)
			timer_start(&j->retry, RETRY_MS);
		else if (j->file_bytes >= ROTATE_BYTES)
			rotate(j);
	}
	wake(j);
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
	timer_done(&j->retry);
	j->sys->close(j->sys, j->fd);
	buf_done(&j->pending);
	free(j);
}
