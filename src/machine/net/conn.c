/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/net/conn.h"
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "machine/base/buf.h"

#define FLUSH_MS 5000
#define LINGER_MS 2000
/* A peer that ended the connection may have said why before: its bytes get this time to be read. */
#define LAST_WORDS_MS 100

struct conn_tail {
	uv_write_t req;
	struct conn *conn;
	struct buf sending; /* libuv's until on_written */
	struct buf next;
};

/* A span is handed to the kernel as it is. */
_Static_assert(sizeof(struct span) == sizeof(uv_buf_t), "span and uv_buf_t differ");
_Static_assert(offsetof(struct span, p) == offsetof(uv_buf_t, base), "span and uv_buf_t differ");
_Static_assert(offsetof(struct span, n) == offsetof(uv_buf_t, len), "span and uv_buf_t differ");

static const struct stream_ops ops;
static void on_timer(struct timer *t);
static void on_written(uv_write_t *req, int status);
static void enter(struct conn *c, enum conn_state state);

struct conn *conn_new(struct loop *l, int family, int *status)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		*status = UV_ENOMEM;
		return NULL;
	}
	c->s.ops = &ops;
	c->s.loop = l;
	c->tcp = family != AF_UNIX;
	timer_init(&c->timer, l, on_timer);
	*status = c->tcp ? uv_tcp_init_ex(&l->uv, &c->uv.tcp, (unsigned)family)
			 : uv_pipe_init(&l->uv, &c->uv.pipe, 0);
	if (*status < 0) {
		free(c);
		return NULL;
	}
	c->uv.handle.data = c;
	return c;
}

struct conn *conn_adopt(struct loop *l, int fd, bool tcp, const char *peer)
{
	int status;
	struct conn *c = conn_new(l, tcp ? AF_UNSPEC : AF_UNIX, &status);

	if (c == NULL) {
		close(fd);
		return NULL;
	}
	status = tcp ? uv_tcp_open(&c->uv.tcp, fd) : uv_pipe_open(&c->uv.pipe, fd);
	if (status < 0) {
		close(fd);
		conn_discard(c);
		return NULL;
	}
	memcpy(c->s.peer, peer, strnlen(peer, sizeof(c->s.peer) - 1));
	return c;
}

static void tail_free(struct conn *c)
{
	if (c->tail == NULL)
		return;
	buf_done(&c->tail->sending);
	buf_done(&c->tail->next);
	free(c->tail);
	c->tail = NULL;
}

/* --- reading --- */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
	struct conn *c = handle->data;

	/* Paused: an empty buffer makes libuv come back with ENOBUFS before it reads. */
	*buf = c->resumed ? uv_buf_init(c->s.loop->read_buf, LOOP_READ_BYTES)
			  : uv_buf_init(NULL, 0);
}

static void stop_reading(struct conn *c)
{
	uv_read_stop(&c->uv.stream);
	c->reading = false;
}

/* The owner is told once; it may close the stream in the call. status 0: an orderly end. */
__attribute__((noinline, cold)) static void end(struct conn *c, int status)
{
	struct err err = {0};

	timer_stop(&c->timer);
	c->s.ended = true;
	if (status == 0) {
		c->s.events->end(c->s.user, NULL);
		return;
	}
	c->s.broken = true;
	err_set(&err, ERR_IO, "connection with %s: %s", c->s.peer, uv_strerror(status));
	c->s.events->end(c->s.user, &err);
}

/*
 * libuv takes a hang-up behind the last bytes for an end without asking the socket: a connection
 * that was reset would look complete.
 */
static int true_end(struct conn *c)
{
	int error = 0;
	socklen_t n = sizeof(error);
	uv_os_fd_t fd;

	if (c->s.broken)
		return c->error;
	if (uv_fileno(&c->uv.handle, &fd) == 0 &&
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error != 0)
		return uv_translate_sys_error(error);
	return 0;
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct conn *c = stream->data;

	if (nread == 0)
		return;
	if (nread > 0) {
		if (c->state == CONN_OPEN)
			c->s.events->read(c->s.user, span_from(buf->base, (size_t)nread));
		return;
	}
	stop_reading(c);
	if (nread == UV_ENOBUFS && !c->resumed)
		return;
	if (c->state == CONN_LINGERING)
		enter(c, CONN_CLOSED);
	else if (c->state == CONN_OPEN)
		end(c, nread == UV_EOF || c->s.broken ? true_end(c) : (int)nread);
}

static void conn_resume(struct stream *s)
{
	struct conn *c = (struct conn *)s;
	int status;

	c->resumed = true;
	if (s->ended)
		return;
	/* It failed when nobody was there to be told. */
	if (s->broken && c->timer.due_ms == 0)
		timer_start(&c->timer, 0);
	if (c->reading)
		return;
	status = uv_read_start(&c->uv.stream, on_alloc, on_read);
	c->reading = status == 0;
	if (status < 0) {
		c->error = s->broken ? c->error : status;
		s->broken = true;
		timer_start(&c->timer, 0);
	}
}

static void conn_pause(struct stream *s)
{
	((struct conn *)s)->resumed = false;
}

/* --- writing --- */

/* A tail that is there belongs to libuv until on_written; only what gathers behind it can go. */
static void fail(struct conn *c, int status)
{
	bool by_peer = status == UV_EPIPE || status == UV_ECONNRESET;

	if (c->tail != NULL)
		buf_done(&c->tail->next);
	if (c->state != CONN_OPEN) {
		enter(c, CONN_CLOSED);
		return;
	}
	c->s.broken = true;
	c->error = status;
	/* What the peer sent before it left is still to be read, then reading finds the end. */
	if (!c->s.ended)
		timer_start(&c->timer, by_peer && c->resumed ? LAST_WORDS_MS : 0);
}

static size_t conn_pending(const struct stream *s)
{
	const struct conn *c = (const struct conn *)s;

	if (c->tail == NULL || s->broken)
		return 0;
	return uv_stream_get_write_queue_size(&c->uv.stream) + c->tail->next.n;
}

/* Hands what has gathered to libuv, which sends it as the peer takes it. */
static int send_next(struct conn_tail *t)
{
	struct buf sent = t->sending;
	struct span bytes;
	uv_buf_t buf;

	t->sending = t->next;
	t->next = sent;
	buf_done(&t->next);
	bytes = buf_span(&t->sending);
	buf = uv_buf_init((char *)bytes.p, (unsigned)bytes.n);
	return uv_write(&t->req, &t->conn->uv.stream, &buf, 1, on_written);
}

static struct conn_tail *tail_new(struct conn *c, size_t bytes)
{
	struct conn_tail *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->conn = c;
	t->req.data = t;
	buf_init(&t->sending, STREAM_MAX_PENDING_BYTES);
	buf_init(&t->next, STREAM_MAX_PENDING_BYTES);
	/* At once as large as needed: most tails are written once and drained. */
	buf_room(&t->next, bytes);
	return t;
}

/* Keeps what the kernel did not take: all but the first `done` bytes. */
static int keep(struct conn *c, const struct span *v, int n, size_t done, size_t left)
{
	bool first = c->tail == NULL;
	int status = 0;

	if (left > STREAM_MAX_PENDING_BYTES - conn_pending(&c->s))
		return UV_ENOBUFS;
	if (first && (c->tail = tail_new(c, left)) == NULL)
		return UV_ENOMEM;
	for (int i = 0; i < n; i++) {
		size_t skip = done < v[i].n ? done : v[i].n;

		buf_append(&c->tail->next, span_skip(v[i], skip));
		done -= skip;
	}
	if (c->tail->next.failed)
		status = UV_ENOMEM;
	else if (first)
		status = send_next(c->tail);
	if (first && status < 0)
		tail_free(c);
	return status;
}

static bool conn_write(struct stream *s, const struct span *v, int n)
{
	struct conn *c = (struct conn *)s;
	size_t total = 0;
	int done = 0, status;

	if (s->broken)
		return false;
	for (int i = 0; i < n; i++)
		total += v[i].n;
	if (total == 0)
		return true;
	if (c->tail == NULL) {
		done = uv_try_write(&c->uv.stream, (const uv_buf_t *)v, (unsigned)n);
		if (done >= 0 && (size_t)done == total)
			return true;
		if (done < 0 && done != UV_EAGAIN) {
			fail(c, done);
			return false;
		}
		if (done < 0)
			done = 0;
	}
	status = keep(c, v, n, (size_t)done, total - (size_t)done);
	if (status < 0)
		fail(c, status);
	return status == 0;
}

static void on_written(uv_write_t *req, int status)
{
	struct conn_tail *t = req->data;
	struct conn *c = t->conn;

	if (c->state == CONN_CLOSED)
		return; /* the close callback frees the tail */
	if (status == 0 && !c->s.broken && t->next.n > 0) {
		status = send_next(t);
		if (status == 0)
			return;
	}
	tail_free(c);
	if (c->s.broken)
		return; /* reported, or about to be */
	if (status < 0)
		fail(c, status);
	else if (c->state == CONN_FLUSHING)
		enter(c, CONN_LINGERING);
	else if (c->s.events != NULL && c->s.events->drain != NULL)
		c->s.events->drain(c->s.user);
}

/* --- closing --- */

static void on_closed(uv_handle_t *handle)
{
	struct conn *c = handle->data;

	c->s.loop->closing--;
	tail_free(c);
	free(c);
}

static bool shut_down(struct conn *c)
{
	uv_os_fd_t fd;

	return uv_fileno(&c->uv.handle, &fd) == 0 && shutdown(fd, SHUT_WR) == 0;
}

/* An RST instead of an end; also throws away what the kernel still holds. */
static void reset_on_close(struct conn *c)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	uv_os_fd_t fd;

	if (c->tcp && uv_fileno(&c->uv.handle, &fd) == 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* The only writer of `state`; states are entered in the order of the enum, and may be skipped. */
static void enter(struct conn *c, enum conn_state state)
{
	if (c->state == CONN_OPEN)
		c->s.loop->closing++;
	c->state = state;
	timer_stop(&c->timer);
	switch (state) {
	case CONN_OPEN:
		break;
	case CONN_FLUSHING:
		timer_start(&c->timer, FLUSH_MS);
		break;
	case CONN_LINGERING:
		/* Closing with input unread would send an RST, which may overtake the answer. */
		if (c->s.ended || !shut_down(c)) {
			enter(c, CONN_CLOSED);
			return;
		}
		c->resumed = true;
		if (!c->reading && uv_read_start(&c->uv.stream, on_alloc, on_read) < 0) {
			enter(c, CONN_CLOSED);
			return;
		}
		c->reading = true;
		timer_start(&c->timer, LINGER_MS);
		break;
	case CONN_CLOSED:
		uv_close(&c->uv.handle, on_closed);
		break;
	}
}

static void on_timer(struct timer *t)
{
	struct conn *c = LIST_ITEM(t, struct conn, timer);

	if (c->state == CONN_OPEN) {
		if (c->reading)
			stop_reading(c);
		if (!c->s.ended && c->s.events != NULL)
			end(c, c->error);
		return;
	}
	if (c->state == CONN_FLUSHING)
		reset_on_close(c);
	enter(c, CONN_CLOSED);
}

static void conn_close(struct stream *s)
{
	struct conn *c = (struct conn *)s;

	c->resumed = false;
	if (s->broken) {
		/* The peer must not take what it got for all there was. */
		reset_on_close(c);
		enter(c, CONN_CLOSED);
		return;
	}
	enter(c, c->tail != NULL ? CONN_FLUSHING : CONN_LINGERING);
}

static void conn_reset(struct stream *s)
{
	struct conn *c = (struct conn *)s;

	reset_on_close(c);
	enter(c, CONN_CLOSED);
}

void conn_discard(struct conn *c)
{
	enter(c, CONN_CLOSED);
}

static const struct stream_ops ops = {
	.resume = conn_resume,
	.pause = conn_pause,
	.write = conn_write,
	.pending = conn_pending,
	.close = conn_close,
	.reset = conn_reset,
};
