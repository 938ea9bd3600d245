/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/pipe.h"
#include <stdio.h>
#include <stdlib.h>

/* The bytes of one write. */
struct chunk {
	struct list node;
	size_t off, n;
	char bytes[];
};

struct pipe_end {
	struct stream s;
	struct pipe_end *peer; /* NULL once it is gone */
	struct list chunks;    /* written by the peer, not read yet */
	size_t in_bytes;       /* in chunks */
	size_t max_read_bytes;
	struct loop_task task;
	bool resumed;
	bool drain_due;  /* something written was left pending, and then read */
	bool peer_reset; /* the peer ended without order */
	bool running;    /* inside its own callbacks: freed behind them */
	bool gone;       /* by its owner */
};

static void drop_chunks(struct pipe_end *e)
{
	struct list *node;

	while ((node = list_take_front(&e->chunks)) != NULL)
		free(LIST_ITEM(node, struct chunk, node));
	e->in_bytes = 0;
}

static void free_end(struct pipe_end *e)
{
	loop_task_cancel(&e->task);
	drop_chunks(e);
	free(e);
}

static void all_read(struct pipe_end *writer)
{
	writer->drain_due = true;
	loop_task_post(writer->s.loop, &writer->task);
}

static void read_one(struct pipe_end *e)
{
	struct chunk *c = LIST_ITEM(e->chunks.next, struct chunk, node);
	size_t n = c->n - c->off;

	if (e->max_read_bytes > 0 && n > e->max_read_bytes)
		n = e->max_read_bytes;
	c->off += n;
	e->in_bytes -= n;
	if (e->in_bytes == 0 && e->peer != NULL)
		all_read(e->peer);
	/* Out of the list, so that no one can free the bytes during the call. */
	list_remove(&c->node);
	e->s.events->read(e->s.user, span_from(c->bytes + c->off - n, n));
	if (c->off < c->n && !e->gone && !e->peer_reset)
		list_add_front(&e->chunks, &c->node);
	else
		free(c);
}

static void report_end(struct pipe_end *e)
{
	struct err err = {0};
	bool failed = e->peer_reset || e->s.broken;

	e->s.ended = true;
	if (failed)
		err_set(&err, ERR_IO, "connection with %s: %s", e->s.peer,
			e->peer_reset ? "reset by the peer" : "a write failed");
	e->s.broken = failed;
	if (e->s.events != NULL)
		e->s.events->end(e->s.user, failed ? &err : NULL);
}

static void on_task(struct loop_task *t)
{
	struct pipe_end *e = LIST_ITEM(t, struct pipe_end, task);

	e->running = true;
	while (!e->gone && e->resumed && !e->s.ended && !list_empty(&e->chunks))
		read_one(e);
	if (!e->gone && !e->s.ended &&
		(e->peer_reset || e->s.broken || (e->resumed && e->peer == NULL)))
		report_end(e);
	if (!e->gone && e->drain_due && !e->s.broken &&
		(e->peer == NULL || e->peer->in_bytes == 0)) {
		e->drain_due = false;
		if (e->s.events != NULL && e->s.events->drain != NULL)
			e->s.events->drain(e->s.user);
	}
	e->running = false;
	if (e->gone)
		free_end(e);
}

static void pipe_resume(struct stream *s)
{
	struct pipe_end *e = (struct pipe_end *)s;

	e->resumed = true;
	loop_task_post(s->loop, &e->task);
}

static void pipe_pause(struct stream *s)
{
	((struct pipe_end *)s)->resumed = false;
}

static size_t pipe_pending(const struct stream *s)
{
	const struct pipe_end *e = (const struct pipe_end *)s;

	return e->peer == NULL || s->broken ? 0 : e->peer->in_bytes;
}

static bool fail(struct pipe_end *e)
{
	e->s.broken = true;
	loop_task_post(e->s.loop, &e->task);
	return false;
}

static bool pipe_write(struct stream *s, const struct span *v, int n)
{
	struct pipe_end *e = (struct pipe_end *)s;
	struct chunk *c;
	size_t total = 0;

	if (s->broken || e->peer_reset)
		return fail(e);
	for (int i = 0; i < n; i++)
		total += v[i].n;
	/* A peer that closed in order drops what still comes, as a lingering socket does. */
	if (total == 0 || e->peer == NULL)
		return true;
	if (total > STREAM_MAX_PENDING_BYTES - e->peer->in_bytes)
		return fail(e);
	c = malloc(sizeof(*c) + total);
	if (c == NULL)
		return fail(e);
	c->off = 0;
	c->n = 0;
	for (int i = 0; i < n; i++) {
		if (v[i].n > 0)
			memcpy(c->bytes + c->n, v[i].p, v[i].n);
		c->n += v[i].n;
	}
	list_add_back(&e->peer->chunks, &c->node);
	e->peer->in_bytes += total;
	loop_task_post(s->loop, &e->peer->task);
	return true;
}

static void leave(struct pipe_end *e, bool reset)
{
	struct pipe_end *peer = e->peer;

	if (peer != NULL) {
		peer->peer = NULL;
		peer->peer_reset = reset;
		if (reset)
			drop_chunks(peer);
		if (e->in_bytes > 0)
			peer->drain_due = true;
		loop_task_post(peer->s.loop, &peer->task);
	}
	e->peer = NULL;
	e->gone = true;
	if (!e->running)
		free_end(e);
}

static void pipe_close(struct stream *s)
{
	leave((struct pipe_end *)s, s->broken);
}

static void pipe_reset(struct stream *s)
{
	leave((struct pipe_end *)s, true);
}

static const struct stream_ops ops = {
	.resume = pipe_resume,
	.pause = pipe_pause,
	.write = pipe_write,
	.pending = pipe_pending,
	.close = pipe_close,
	.reset = pipe_reset,
};

static struct pipe_end *end_new(struct loop *l, size_t max_read_bytes)
{
	struct pipe_end *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->s.ops = &ops;
	e->s.loop = l;
	e->max_read_bytes = max_read_bytes;
	list_init(&e->chunks);
	loop_task_init(&e->task, on_task);
	snprintf(e->s.peer, sizeof(e->s.peer), "pipe");
	return e;
}

bool pipe_open(struct loop *l, size_t max_read_bytes, struct stream *ends[2])
{
	struct pipe_end *a = end_new(l, max_read_bytes), *b = end_new(l, max_read_bytes);

	if (a == NULL || b == NULL) {
		free(a);
		free(b);
		return false;
	}
	a->peer = b;
	b->peer = a;
	ends[0] = &a->s;
	ends[1] = &b->s;
	return true;
}
