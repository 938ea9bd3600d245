/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/serve.h"
#include <assert.h>
#include <stdlib.h>

static const struct h1_events parser_events;
static const struct stream_events stream_events;
static const struct tls_handshake_events handshake_events;
static void on_timer(struct timer *t);
static void on_task(struct loop_task *t);

static int64_t now_ms(const struct serve_conn *c)
{
	return loop_now_ms(c->server->loop);
}

/* The only writer of `state`. */
static void enter(struct serve_conn *c, enum serve_state state)
{
	struct http_server *s = c->server;

	c->state = state;
	c->since_ms = now_ms(c);
	list_remove(&c->node);
	if (state == SERVE_IDLE)
		list_add_back(&s->idle, &c->node);
	else if (state != SERVE_CLOSED)
		list_add_back(&s->busy, &c->node);
}

struct serve_conn *serve_new(struct http_server *s)
{
	struct serve_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->server = s;
	s->n_conns++;
	list_init(&c->node);
	h1_init(&c->parser, H1_REQUEST, &parser_events, c);
	/* One more read may come before the pause is heard. */
	buf_init(&c->waiting, SERVE_MAX_WAITING_BYTES + LOOP_READ_BYTES);
	timer_init(&c->timer, s->loop, on_timer);
	loop_task_init(&c->task, on_task);
	return c;
}

void serve_start(struct serve_conn *c, struct stream *stream)
{
	c->stream = stream;
	enter(c, SERVE_IDLE);
	stream_bind(stream, &stream_events, c);
	stream_resume(stream);
	serve_arm(c);
}

void serve_handshake(struct serve_conn *c, struct stream *raw, struct tls_context *tls)
{
	enter(c, SERVE_HANDSHAKE);
	c->handshake = tls_accept(tls, raw, &handshake_events, c);
	if (c->handshake == NULL)
		serve_close(c, true);
	else
		serve_arm(c);
}

static void on_handshake(void *user, struct stream *stream, const struct err *err)
{
	struct serve_conn *c = user;

	c->handshake = NULL;
	if (stream == NULL)
		serve_close(c, true);
	else
		serve_start(c, stream);
}

static const struct tls_handshake_events handshake_events = {.done = on_handshake};

/* ---- ends ---- */

static void request_free(struct serve_conn *c)
{
	struct http_request *r = c->request;

	c->request = NULL;
	c->server->n_active--;
	buf_done(&r->waiting_head);
	free(r->head);
}

static void release(struct serve_conn *c)
{
	h1_done(&c->parser);
	buf_done(&c->waiting);
	free(c);
}

void serve_close(struct serve_conn *c, bool reset)
{
	assert(c->request == NULL);
	if (c->state == SERVE_CLOSED)
		return;
	enter(c, SERVE_CLOSED);
	timer_done(&c->timer);
	loop_task_cancel(&c->task);
	if (c->handshake != NULL)
		tls_handshake_cancel(c->handshake);
	c->handshake = NULL;
	if (reset)
		stream_reset(c->stream);
	else
		stream_close(c->stream);
	c->stream = NULL;
	c->server->pending -= (int64_t)c->pending;
	c->server->n_conns--;
	if (!c->reading)
		release(c);
}

void serve_gone(struct serve_conn *c, const struct err *why, bool reset)
{
	const struct http_request_events *events = c->request->events;
	void *user = c->request->user;

	request_free(c);
	serve_close(c, reset);
	if (events != NULL && events->gone != NULL)
		events->gone(user, why);
}

void serve_close_when_sent(struct serve_conn *c)
{
	if (c->pending == 0) {
		serve_close(c, c->reset);
		return;
	}
	buf_done(&c->waiting);
	enter(c, SERVE_CLOSING);
	serve_arm(c);
}

static void next(struct serve_conn *c)
{
	h1_next(&c->parser);
	enter(c, SERVE_IDLE);
	if (c->server->draining && c->waiting.n == 0) {
		serve_close_when_sent(c);
		return;
	}
	if (c->waiting.n > 0 && !c->reading)
		loop_task_post(c->server->loop, &c->task);
	serve_arm(c);
}

void serve_answered(struct serve_conn *c, bool keep)
{
	request_free(c);
	if (!keep) {
		serve_close_when_sent(c);
	} else if (c->parser.state == H1_END && !c->reading) {
		next(c);
	} else {
		c->discarded = 0;
		enter(c, SERVE_DISCARD);
	}
}

/* ---- time ---- */

static bool awaits_body(const struct serve_conn *c)
{
	const struct http_request *r = c->request;

	if (!h1_in_body(&c->parser))
		return false;
	if (c->state == SERVE_REQUEST)
		return !r->head->expect_continue || r->continued || r->body_seen;
	return c->state == SERVE_DISCARD;
}

static void sooner(int64_t *due, int64_t other)
{
	if (*due == 0 || other < *due)
		*due = other;
}

/* When the state's time is over; 0: never. */
static int64_t deadline(const struct serve_conn *c)
{
	const struct http_server_limits *l = &c->server->limits;
	int64_t due = 0;

	if (c->state == SERVE_IDLE && c->pending == 0)
		due = c->since_ms + l->idle_ms;
	else if (c->state == SERVE_HEAD || c->state == SERVE_HANDSHAKE)
		due = c->since_ms + l->head_ms;
	else if (awaits_body(c))
		due = c->moved_ms + l->body_stall_ms;
	return due;
}

void serve_arm(struct serve_conn *c)
{
	int64_t due = deadline(c), now = now_ms(c);

	if (awaits_body(c))
		sooner(&due, c->window_ms + SERVE_FLOOR_MS);
	/* Looked at more often than it may last: a stall begins between two looks. */
	if (c->pending > 0)
		sooner(&due, now + c->server->limits.write_stall_ms / 4);
	if (due == 0 || (c->timer.due_ms != 0 && c->timer.due_ms <= due))
		return;
	timer_start(&c->timer, due > now ? due - now : 1);
}

static void refuse(struct serve_conn *c, struct span target, const struct err *why)
{
	c->parser.state = H1_FAILED;
	answer_refuse(c, target, false, why);
	serve_close_when_sent(c);
}

/*
 * A request whose body failed or does not come: its owner hears of it, its client gets the reason
 * unless an answer has begun.
 */
static void refuse_request(struct serve_conn *c, const struct err *why)
{
	struct http_request *r = c->request;
	const struct http_request_events *events = r->events;
	void *user = r->user;

	c->parser.state = H1_FAILED;
	if (r->answer != ANSWER_STREAMED) /* a head that waits was never sent */
		answer_refuse(c, r->head->target, false, why);
	else
		c->reset = !r->chunked && !r->bodyless;
	request_free(c);
	serve_close_when_sent(c);
	if (events != NULL && events->gone != NULL)
		events->gone(user, why);
}

static void timed_out(struct serve_conn *c)
{
	struct err why = {0};

	switch (c->state) {
	case SERVE_HEAD:
		err_set(&why, ERR_CLIENT_TIMEOUT, "The request's head did not arrive in %d ms",
			c->server->limits.head_ms);
		refuse(c, (struct span){NULL, 0}, &why);
		break;
	case SERVE_REQUEST:
		err_set(&why, ERR_CLIENT_TIMEOUT, "The request's body arrives too slowly");
		refuse_request(c, &why);
		break;
	case SERVE_DISCARD:
	case SERVE_IDLE:
		serve_close(c, false);
		break;
	default:
		serve_close(c, true);
	}
}

/* True: the client took nothing for too long; the connection is gone. */
static bool check_writing(struct serve_conn *c, int64_t now)
{
	struct err why = {0};

	serve_wrote(c, 0);
	if (c->pending == 0)
		return false;
	if (c->written - c->pending != c->taken) {
		c->taken = c->written - c->pending;
		c->stall_ms = now;
		return false;
	}
	if (now - c->stall_ms < c->server->limits.write_stall_ms)
		return false;
	if (c->request == NULL) {
		serve_close(c, true);
		return true;
	}
	err_set(&why, ERR_CLIENT_TIMEOUT, "The client took nothing of its answer for %d ms",
		c->server->limits.write_stall_ms);
	serve_gone(c, &why, true);
	return true;
}

static bool is_below_floor(struct serve_conn *c, int64_t now)
{
	int64_t took = now - c->window_ms;
	bool below;

	if (took < SERVE_FLOOR_MS)
		return false;
	below = c->window_bytes < (int64_t)c->server->limits.body_floor * took / 1000;
	c->window_ms = now;
	c->window_bytes = 0;
	return below;
}

static void on_timer(struct timer *t)
{
	struct serve_conn *c = LIST_ITEM(t, struct serve_conn, timer);
	int64_t now = now_ms(c), due;

	if (check_writing(c, now))
		return;
	due = deadline(c);
	if ((due != 0 && now >= due) || (awaits_body(c) && is_below_floor(c, now)))
		timed_out(c);
	else
		serve_arm(c);
}

void serve_wrote(struct serve_conn *c, size_t n)
{
	size_t pending = stream_pending(c->stream);

	c->written += n;
	if (pending == 0 && c->pending == 0)
		return;
	if (c->pending == 0) {
		c->stall_ms = now_ms(c);
		c->taken = c->written - pending;
	}
	c->server->pending += (int64_t)pending - (int64_t)c->pending;
	c->pending = pending;
	serve_arm(c);
}

/* ---- reading ---- */

static void begin_body(struct serve_conn *c)
{
	c->moved_ms = c->window_ms = now_ms(c);
	c->window_bytes = 0;
}

/* Refused by the server itself, for a reason that is not in the head. */
static bool refuse_head(struct serve_conn *c, const struct http_head *head, enum err_code code)
{
	struct err why = {0};

	if (code == ERR_BAD_REQUEST)
		err_set(&why, code, "More than %d requests stand in the pipeline",
			SERVE_MAX_PIPELINE);
	else
		err_set(&why, code, NULL);
	answer_refuse(c, head->target, head->method == HTTP_HEAD, &why);
	serve_close_when_sent(c);
	return false;
}

static bool on_head(void *user, const struct http_head *head)
{
	struct serve_conn *c = user;
	struct http_server *s = c->server;
	struct http_request *r;
	struct http_head *copy;
	void *tail;

	if (c->from_waiting && ++c->batch > SERVE_MAX_PIPELINE)
		return refuse_head(c, head, ERR_BAD_REQUEST);
	if (server_is_overloaded(s))
		return refuse_head(c, head, ERR_OVERLOADED);
	copy = http_head_copy(head, sizeof(*r), &tail);
	if (copy == NULL)
		return refuse_head(c, head, ERR_NO_MEMORY);
	r = tail;
	r->conn = c;
	r->head = copy;
	c->request = r;
	s->n_active++;
	begin_body(c);
	enter(c, SERVE_REQUEST);
	s->service->request(s->user, r);
	return c->state == SERVE_REQUEST || c->state == SERVE_DISCARD;
}

static bool discard(struct serve_conn *c, size_t n)
{
	c->discarded += n;
	if (c->discarded <= SERVE_MAX_DISCARD_BYTES)
		return true;
	serve_close_when_sent(c);
	return false;
}

static bool on_body(void *user, struct span bytes)
{
	struct serve_conn *c = user;
	struct http_request *r = c->request;

	c->moved_ms = now_ms(c);
	c->window_bytes += (int64_t)bytes.n;
	if (c->state == SERVE_DISCARD)
		return discard(c, bytes.n);
	r->body_seen = true;
	if (r->events != NULL && r->events->body != NULL)
		r->events->body(r->user, bytes);
	return c->state == SERVE_REQUEST || c->state == SERVE_DISCARD;
}

static bool on_end(void *user)
{
	struct serve_conn *c = user;
	struct http_request *r = c->request;

	if (r != NULL && r->events != NULL && r->events->body_end != NULL)
		r->events->body_end(r->user);
	return false;
}

static const struct h1_events parser_events = {.head = on_head, .body = on_body, .end = on_end};

/*
 * Reads until a request has come whole and waits for its answer, or all bytes are used. Returns the
 * bytes used.
 */
static size_t consume(struct serve_conn *c, struct span bytes)
{
	size_t at = 0;

	while (at < bytes.n) {
		struct err err __attribute__((uninitialized)); /* half a KiB a read */
		ssize_t used;

		if (c->state >= SERVE_CLOSING)
			return bytes.n; /* whatever the client still says */
		if (c->state == SERVE_REQUEST && c->parser.state == H1_END)
			return at;
		err.code = ERR_OK;
		err.text[0] = err.param[0] = '\0';
		used = h1_feed(&c->parser, span_skip(bytes, at), &err);
		if (c->state >= SERVE_CLOSING)
			return bytes.n;
		if (used < 0) {
			if (c->request != NULL)
				refuse_request(c, &err);
			else if (c->state == SERVE_DISCARD)
				serve_close_when_sent(c);
			else
				refuse(c, h1_target(&c->parser), &err);
			return bytes.n;
		}
		at += (size_t)used;
		if (c->state == SERVE_DISCARD && c->parser.state == H1_END)
			next(c);
	}
	return at;
}

/* After reading: is a part of something there that must be completed in time? */
static void await(struct serve_conn *c)
{
	if (c->state == SERVE_IDLE && h1_in_head(&c->parser)) {
		enter(c, SERVE_HEAD);
		serve_arm(c);
	} else if (awaits_body(c)) {
		serve_arm(c);
	}
}

static void hold(struct serve_conn *c, struct span bytes)
{
	struct err why = {0};

	if (!buf_append(&c->waiting, bytes)) {
		err_set(&why, ERR_NO_MEMORY, NULL);
		if (c->request != NULL)
			serve_gone(c, &why, true);
		else
			serve_close(c, true);
		return;
	}
	if (c->waiting.n >= SERVE_MAX_WAITING_BYTES && !c->paused) {
		c->paused = true;
		stream_pause(c->stream);
	}
}

static void leave(struct serve_conn *c)
{
	c->reading = false;
	if (c->state == SERVE_CLOSED)
		release(c);
	else if ((c->state == SERVE_IDLE && c->waiting.n > 0) || c->failed != ERR_OK)
		loop_task_post(c->server->loop, &c->task);
}

static void on_read(void *user, struct span bytes)
{
	struct serve_conn *c = user;
	size_t used = 0;

	c->reading = true;
	if (c->waiting.n == 0)
		used = consume(c, bytes);
	if (used < bytes.n && c->state < SERVE_CLOSING)
		hold(c, span_skip(bytes, used));
	await(c);
	leave(c);
}

/* The pipeline's next bytes, once the request before them has its answer. */
static void consume_waiting(struct serve_conn *c)
{
	size_t used;

	if (c->waiting.n == 0)
		return;
	if (c->batch_left == 0) {
		c->batch_left = c->waiting.n;
		c->batch = 0;
	}
	c->from_waiting = true;
	used = consume(c, buf_span(&c->waiting));
	c->from_waiting = false;
	if (c->state >= SERVE_CLOSING)
		return;
	c->batch_left = used < c->batch_left ? c->batch_left - used : 0;
	buf_consume(&c->waiting, used);
	if (c->waiting.n == 0)
		buf_done(&c->waiting);
	if (c->paused && c->waiting.n < SERVE_MAX_WAITING_BYTES) {
		c->paused = false;
		stream_resume(c->stream);
	}
	await(c);
}

static void on_task(struct loop_task *t)
{
	struct serve_conn *c = LIST_ITEM(t, struct serve_conn, task);
	struct err why = {0};

	c->reading = true;
	if (c->failed != ERR_OK) {
		err_set(&why, c->failed, NULL);
		if (c->request != NULL)
			serve_gone(c, &why, true);
		else
			serve_close(c, true);
	} else {
		consume_waiting(c);
	}
	leave(c);
}

static void on_stream_end(void *user, const struct err *err)
{
	struct serve_conn *c = user;
	struct err why = {0};

	if (c->request == NULL) {
		serve_close(c, false);
		return;
	}
	err_set(&why, ERR_CLIENT_GONE, "The client closed the connection%s%s",
		err != NULL ? ": " : "", err != NULL ? err->text : "");
	serve_gone(c, &why, false);
}

static void on_drain(void *user)
{
	struct serve_conn *c = user;
	struct http_request *r = c->request;

	serve_wrote(c, 0);
	if (c->pending > 0)
		return;
	if (c->state == SERVE_CLOSING)
		serve_close(c, c->reset);
	else if (r != NULL && r->events != NULL && r->events->drain != NULL)
		r->events->drain(r->user);
	else if (c->state == SERVE_IDLE)
		serve_arm(c);
}

static const struct stream_events stream_events = {
	.read = on_read, .end = on_stream_end, .drain = on_drain};
