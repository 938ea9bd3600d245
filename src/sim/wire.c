/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire - how an answer's bytes leave: framed, and where the script wants it in small or slow
 * pieces, cut, or with faults in the framing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include "sim/caller.h"

#define TICK_MS 20
#define MAX_QUEUE_BYTES (256u << 20)
#define WRITES_A_TURN 4096

/* The queue in front of the stream, for answers that must not leave at once. */
struct shape {
	struct timer timer;
	struct loop_task task; /* begins from the loop, never inside a write */
	struct caller *caller;
	struct buf queue;
	size_t head_left;  /* bytes of the head still in the queue */
	int64_t body_left; /* until the cut; -1: no cut */
	int64_t due_ms;
	bool cut;
};

static void pump(struct shape *s);

static void on_timer(struct timer *t)
{
	pump(LIST_ITEM(t, struct shape, timer));
}

static void on_task(struct loop_task *t)
{
	pump(LIST_ITEM(t, struct shape, task));
}

static struct shape *shape_new(struct caller *c)
{
	const struct script *script = c->job->script;
	struct shape *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->caller = c;
	buf_init(&s->queue, MAX_QUEUE_BYTES);
	timer_init(&s->timer, c->sim->loop, on_timer);
	loop_task_init(&s->task, on_task);
	s->body_left = script_num(script, OPT_CUT_BYTES, -1);
	if (script_has(script, OPT_RST_BYTES))
		s->body_left = script_num(script, OPT_RST_BYTES, -1);
	return s;
}

void wire_begin(struct caller *c, enum frame frame)
{
	c->frame = frame;
	c->chunks = 0;
	if (!c->job->script->shaped || c->shape != NULL)
		return;
	c->shape = shape_new(c);
	if (c->shape == NULL) {
		c->over = true;
		c->outcome = OUTCOME_FAILED;
		c->after = AFTER_RESET;
	}
}

void wire_done(struct caller *c)
{
	struct shape *s = c->shape;

	if (s == NULL)
		return;
	timer_done(&s->timer);
	loop_task_cancel(&s->task);
	buf_done(&s->queue);
	free(s);
	c->shape = NULL;
}

bool wire_is_idle(const struct caller *c)
{
	if (c->shape != NULL && c->shape->queue.n > 0)
		return false;
	return stream_pending(c->stream) == 0;
}

static int64_t rate_of(const struct shape *s)
{
	const struct script *script = s->caller->job->script;

	return s->head_left > 0 ? script_num(script, OPT_HEAD_RATE, 0)
				: script_num(script, OPT_BODY_RATE, 0);
}

/* How much leaves now, and after which pause the next. */
static size_t portion(const struct shape *s, int64_t *pause_ms)
{
	const struct script *script = s->caller->job->script;
	size_t n = s->queue.n;
	int64_t rate = rate_of(s), chunk = script_num(script, OPT_CHUNK, 0);

	*pause_ms = script_num(script, OPT_CHUNK_GAP, 0);
	if (s->head_left > 0 && s->head_left < n)
		n = s->head_left;
	if (rate > 0) {
		int64_t bytes = rate * TICK_MS / 1000;

		if (bytes < 1)
			bytes = 1;
		if ((size_t)bytes < n)
			n = (size_t)bytes;
		*pause_ms = (int64_t)n * 1000 / rate;
	}
	if (chunk > 0 && (size_t)chunk < n)
		n = (size_t)chunk;
	return n;
}

static void wait(struct shape *s, int64_t pause_ms)
{
	int64_t now = loop_now_ms(s->caller->sim->loop), delay;

	s->due_ms = (s->due_ms == 0 ? now : s->due_ms) + pause_ms;
	delay = s->due_ms - now;
	timer_start(&s->timer, delay > 1 ? delay : 1);
}

/* Writes on until the queue is empty, a pause is due, or the peer takes no more. */
static void pump(struct shape *s)
{
	struct caller *c = s->caller;
	int64_t pause_ms = 0;

	if (c->gone)
		return;

	for (int i = 0; s->queue.n > 0; i++) {
		struct span out;

		if (stream_pending(c->stream) > 0)
			return; /* wire_drained goes on */
		out = span_head(buf_span(&s->queue), portion(s, &pause_ms));
		if (!stream_write(c->stream, &out, 1))
			return; /* the stream's end will say so */
		c->sent_bytes += (int64_t)out.n;
		s->head_left -= out.n < s->head_left ? out.n : s->head_left;
		buf_consume(&s->queue, out.n);
		if (s->queue.n > 0 && pause_ms > 0) {
			wait(s, pause_ms);
			return;
		}
		if (i >= WRITES_A_TURN) {
			loop_task_post(c->sim->loop, &s->task);
			return;
		}
	}
	s->due_ms = 0;
	caller_on_wire_idle(c);
}

void wire_drained(struct caller *c)
{
	if (c->shape != NULL && c->shape->queue.n > 0 && c->shape->timer.due_ms == 0)
		loop_task_post(c->sim->loop, &c->shape->task);
}

static void cut(struct shape *s)
{
	struct caller *c = s->caller;

	s->cut = true;
	c->over = true;
	c->outcome = OUTCOME_FAILED;
	c->after = script_has(c->job->script, OPT_RST_BYTES) ? AFTER_RESET : AFTER_CLOSE;
}

static bool shape_add(struct caller *c, const struct span *v, int n, size_t head_bytes)
{
	struct shape *s = c->shape;

	if (s->cut)
		return false;
	s->head_left += head_bytes;
	for (int i = 0; i < n; i++) {
		struct span part = v[i];

		if (i > 0 && s->body_left >= 0) {
			part = span_head(part, (size_t)s->body_left);
			s->body_left -= (int64_t)part.n;
		}
		buf_append(&s->queue, part);
	}
	if (s->body_left == 0)
		cut(s);
	if (s->queue.failed)
		return false;
	if (s->timer.due_ms == 0)
		loop_task_post(c->sim->loop, &s->task);
	return true;
}

struct line {
	char text[32];
	size_t n;
};

static struct span size_line(struct line *l, uint64_t n, bool bad)
{
	static const char digits[] = "0123456789abcdef";
	char reversed[16];
	size_t k = 0;

	if (bad)
		return SPAN("zz");
	do
		reversed[k++] = digits[n & 15];
	while ((n >>= 4) > 0);
	l->n = 0;
	while (k > 0)
		l->text[l->n++] = reversed[--k];
	return span_from(l->text, l->n);
}

static struct span extension(struct caller *c)
{
	size_t n = (size_t)script_num(c->job->script, OPT_CHUNK_EXT, 0);
	char *p;

	if (n == 0)
		return (struct span){NULL, 0};
	buf_clear(&c->sim->filler[0]);
	p = buf_room(&c->sim->filler[0], n + 3);
	if (p == NULL)
		return (struct span){NULL, 0};
	memset(p, 'e', n + 3);
	memcpy(p, ";x=", 3);
	return span_from(p, n + 3);
}

/* The spans of one write. v[0] is the head; returns how many. */
static int frame_spans(struct caller *c, struct span head, struct span body, bool last,
	struct line *l, struct span *v)
{
	const struct script *s = c->job->script;
	int n = 0;
	int64_t chunk;

	v[n++] = head;
	if (c->frame != FRAME_CHUNKED) {
		v[n++] = body;
		return n;
	}
	if (body.n > 0) {
		chunk = ++c->chunks;
		v[n++] = size_line(l, body.n, script_num(s, OPT_BAD_CHUNK, 0) == chunk);
		if (s->framed)
			v[n++] = extension(c);
		v[n++] = SPAN("\r\n");
		v[n++] = body;
		if (script_num(s, OPT_NO_CHUNK_CRLF, 0) != chunk)
			v[n++] = SPAN("\r\n");
	}
	if (!last || script_is(s, OPT_NO_END))
		return n;
	v[n++] = SPAN("0\r\n");
	if (script_is(s, OPT_BAD_TRAILER))
		v[n++] = SPAN("this is \x01no trailer\r\n: at all\r\n");
	v[n++] = SPAN("\r\n");
	return n;
}

bool wire_write(struct caller *c, struct span head, struct span body, bool last)
{
	struct span v[10], extra = {NULL, 0};
	struct line line;
	int n, k = 0;

	if (c->over)
		return false;
	if (c->sim->head.failed || c->sim->body.failed) {
		c->over = true;
		c->outcome = OUTCOME_FAILED;
		c->after = AFTER_RESET;
		return false;
	}
	n = frame_spans(c, head, body, last, &line, v);
	if (last && script_has(c->job->script, OPT_EXTRA)) {
		size_t bytes = (size_t)script_num(c->job->script, OPT_EXTRA, 1);
		char *p;

		buf_clear(&c->sim->filler[1]);
		p = buf_room(&c->sim->filler[1], bytes);
		if (p != NULL)
			extra = span_from(memset(p, 'E', bytes), bytes);
		v[n++] = extra;
	}
	if (!c->begun) {
		struct bill_entry *e = bill_find(&c->sim->bill, c->job->seq);

		c->begun = true;
		if (e != NULL)
			e->first_byte_ms = loop_now_ms(c->sim->loop) - c->job->started_ms;
	}
	if (c->shape != NULL)
		return shape_add(c, v, n, head.n);
	for (int i = 0; i < n; i++) {
		c->sent_bytes += (int64_t)v[i].n;
		if (v[i].n > 0)
			v[k++] = v[i];
	}
	return k == 0 || stream_write(c->stream, v, k);
}

struct search {
	const char *peer;
	bool found;
};

static void shut_if_it(uv_handle_t *h, void *arg)
{
	struct search *s = arg;
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);
	char host[INET6_ADDRSTRLEN], text[64];
	uv_os_fd_t fd;

	if (s->found || h->type != UV_TCP || uv_is_closing(h) || uv_fileno(h, &fd) != 0 ||
		getpeername(fd, (struct sockaddr *)&a, &n) != 0)
		return;
	if (a.ss_family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)&a;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, sizeof(text), "%s:%d", host, ntohs(in->sin_port));
	} else if (a.ss_family == AF_INET6) {
		struct sockaddr_in6 *in = (struct sockaddr_in6 *)&a;

		inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
		snprintf(text, sizeof(text), "[%s]:%d", host, ntohs(in->sin6_port));
	} else {
		return;
	}
	if (strcmp(text, s->peer) == 0)
		s->found = shutdown(fd, SHUT_WR) == 0;
}

/*
 * Streams have no half-close, since the gateway never wants one; here the socket is looked up by
 * its peer's address. Rare, and only where a script asks for it.
 */
bool wire_half_close(struct caller *c)
{
	struct search s = {.peer = c->stream->peer};

	uv_walk(&c->sim->loop->uv, shut_if_it, &s);
	return s.found;
}
