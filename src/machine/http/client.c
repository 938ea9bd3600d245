/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/client.h"
#include <assert.h>
#include <stdlib.h>
#include "machine/base/text.h"
#include "machine/http/h1.h"
#include "machine/http/inflate.h"

#define MAX_BODY_SPANS 64
#define MAX_FIELDS 48
/* Of a coded body at a time: what a pause still lets through, unpacked, stays small. */
#define CODED_BYTES 1024

/* Idle connections to one origin, the last used first. */
struct pool {
	struct list node;
	struct http_origin *origin;
	struct list idle;
	int n_idle, n_conns; /* without one the pool goes */
};

struct conn {
	struct list node; /* pool->idle, or alone */
	struct http_client *client;
	struct pool *pool;
	struct stream *stream;
	struct h1 parser;
	struct http_call *call; /* NULL: idle */
	struct buf rest;        /* of a read in which the owner paused */
	struct loop_task task;  /* goes on with it */
	int64_t idle_since_ms;
	bool reused;  /* served a call before */
	bool reading; /* inside a read callback: the memory stays */
	bool dead;
};

struct http_client {
	struct loop *loop;
	struct resolver *resolver;
	struct http_client_limits limits;
	struct list pools;
	struct timer reaper;
	int n_conns, n_calls;
};

struct http_call {
	struct http_client *client;
	struct http_origin *origin;
	const struct http_call_events *events;
	void *user;
	struct http_timeouts timeouts;
	enum http_method method;
	enum http_phase phase;
	/* At most one of the three is there. */
	struct conn *conn;
	struct dial *dial;
	struct tls_handshake *handshake;
	struct timer timer;
	struct loop_task task; /* reports what began inside a call of the owner */
	int64_t started_ms, phase_ms, progress_ms;
	size_t unsent; /* of the request, when last looked at */
	struct inflate *inflate;
	struct http_failure failure; /* due, when the task runs */
	bool paused, retried, sent, received, close_after, ended;
	struct span head; /* request head, behind the struct */
	int n_body;
	size_t body_bytes;
	struct span body[]; /* head's text behind it */
};

static void start_dial(struct http_call *call);
static void fail(struct http_call *call, enum http_failure_kind kind, const struct err *err);

/* ---- connections ---- */

static void conn_release(struct conn *c)
{
	struct pool *p = c->pool;

	h1_done(&c->parser);
	buf_done(&c->rest);
	c->client->n_conns--;
	free(c);
	if (--p->n_conns == 0) {
		list_remove(&p->node);
		http_origin_unref(p->origin);
		free(p);
	}
}

/* Out of its list and closed; the memory goes when no callback runs in it. */
static void conn_close(struct conn *c, bool reset)
{
	if (c->call == NULL && !list_empty(&c->node))
		c->pool->n_idle--;
	list_remove(&c->node);
	loop_task_cancel(&c->task);
	if (c->call != NULL)
		c->call->conn = NULL;
	c->call = NULL;
	if (reset)
		stream_reset(c->stream);
	else
		stream_close(c->stream);
	c->stream = NULL;
	if (c->reading)
		c->dead = true;
	else
		conn_release(c);
}

static struct pool *pool_find(struct http_client *client, const struct http_origin *o)
{
	LIST_EACH(pos, &client->pools)
	{
		struct pool *p = LIST_ITEM(pos, struct pool, node);

		if (p->origin->pool_id == o->pool_id)
			return p;
	}
	return NULL;
}

static struct pool *pool_make(struct http_client *client, struct http_origin *o)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->origin = http_origin_ref(o);
	list_init(&p->idle);
	list_add_front(&client->pools, &p->node);
	return p;
}

static void conn_park(struct conn *c)
{
	struct http_client *client = c->client;

	c->call = NULL;
	c->reused = true;
	c->idle_since_ms = loop_now_ms(client->loop);
	h1_next(&c->parser);
	if (c->pool->n_idle >= client->limits.max_idle_per_origin) {
		conn_close(LIST_ITEM(c->pool->idle.prev, struct conn, node), false);
		assert(c->pool->n_idle < client->limits.max_idle_per_origin);
	}
	list_add_front(&c->pool->idle, &c->node);
	c->pool->n_idle++;
	stream_resume(c->stream); /* its end, or anything else it sends, is noticed at once */
	if (client->reaper.due_ms == 0)
		timer_start(&client->reaper, client->limits.idle_ms);
}

static struct conn *conn_take(struct pool *p)
{
	struct conn *c;

	if (list_empty(&p->idle))
		return NULL;
	c = LIST_ITEM(list_take_front(&p->idle), struct conn, node);
	p->n_idle--;
	return c;
}

static void on_reaper(struct timer *t)
{
	struct http_client *client = LIST_ITEM(t, struct http_client, reaper);
	int64_t now = loop_now_ms(client->loop), next = 0;

	LIST_EACH_SAFE(pos, &client->pools)
	{
		struct pool *p = LIST_ITEM(pos, struct pool, node);

		/* The oldest stand at the back. */
		for (int n = p->n_idle; n > 0; n--) {
			struct conn *c = LIST_ITEM(p->idle.prev, struct conn, node);
			int64_t left = c->idle_since_ms + client->limits.idle_ms - now;

			if (left > 0) {
				if (next == 0 || left < next)
					next = left;
				break;
			}
			conn_close(c, false);
		}
	}
	if (next > 0)
		timer_start(t, next);
}

/* ---- a call's end ---- */

static void detach(struct http_call *call)
{
	timer_done(&call->timer);
	loop_task_cancel(&call->task);
	if (call->dial != NULL)
		dial_cancel(call->dial);
	if (call->handshake != NULL)
		tls_handshake_cancel(call->handshake);
	call->dial = NULL;
	call->handshake = NULL;
}

static void call_free(struct http_call *call)
{
	assert(call->conn == NULL);
	call->client->n_calls--;
	inflate_free(call->inflate);
	http_origin_unref(call->origin);
	free(call);
}

/* From the loop only. The owner hears of it once; the call is gone. */
static void fail(struct http_call *call, enum http_failure_kind kind, const struct err *err)
{
	const struct http_call_events *events = call->events;
	void *user = call->user;
	struct http_failure f = {
		.kind = kind, .phase = call->phase, .sent = call->sent, .received = call->received};

	if (err != NULL)
		f.err = *err;
	else
		err_set(&f.err, ERR_NO_MEMORY, NULL);
	detach(call);
	if (call->conn != NULL)
		conn_close(call->conn, true);
	call_free(call);
	events->fail(user, &f);
}

static void on_task(struct loop_task *t)
{
	struct http_call *call = LIST_ITEM(t, struct http_call, task);
	struct err err = call->failure.err;

	fail(call, call->failure.kind, &err);
}

static void fail_later(struct http_call *call, enum http_failure_kind kind)
{
	call->failure.kind = kind;
	if (kind == HTTP_FAIL_MEMORY)
		err_set(&call->failure.err, ERR_NO_MEMORY, NULL);
	loop_task_post(call->client->loop, &call->task);
}

static void fail_cut(struct http_call *call)
{
	struct err err = {0};

	err_set(&err, ERR_UPSTREAM_INVALID, "the compressed body is cut");
	fail(call, HTTP_FAIL_CODING, &err);
}

static void complete(struct http_call *call)
{
	const struct http_call_events *events = call->events;
	struct conn *c = call->conn;
	void *user = call->user;

	if (call->inflate != NULL && !inflate_is_complete(call->inflate)) {
		fail_cut(call);
		return;
	}
	detach(call);
	call->conn = NULL;
	c->call = NULL;
	/* An answer that came before the request had left: what follows on this connection is
	 * unknown. */
	if (call->close_after || c->stream->broken || c->stream->ended ||
		stream_pending(c->stream) > 0)
		conn_close(c, false);
	else
		conn_park(c);
	call_free(call);
	events->end(user);
}

/* ---- time ---- */

/* The phase's deadline, or total's when that is nearer; 0: none. Paused reading stops the idle one.
 */
static int64_t deadline(const struct http_call *call)
{
	int64_t total =
		call->timeouts.total_ms > 0 ? call->started_ms + call->timeouts.total_ms : 0;
	int64_t own = 0;

	if (call->phase == HTTP_PHASE_CONNECT && call->timeouts.connect_ms > 0)
		own = call->phase_ms + call->timeouts.connect_ms;
	else if (call->phase == HTTP_PHASE_SEND && call->timeouts.head_ms > 0)
		own = call->progress_ms + call->timeouts.head_ms;
	else if (call->phase == HTTP_PHASE_HEAD && call->timeouts.head_ms > 0)
		own = call->phase_ms + call->timeouts.head_ms;
	else if (call->phase == HTTP_PHASE_BODY && call->timeouts.idle_ms > 0 && !call->paused)
		own = call->progress_ms + call->timeouts.idle_ms;
	return own != 0 && (total == 0 || own < total) ? own : total;
}

/* Sending goes on as long as the upstream takes something of the request. */
static void look_at_sending(struct http_call *call)
{
	size_t unsent;

	if (call->phase != HTTP_PHASE_SEND)
		return;
	unsent = stream_pending(call->conn->stream);
	if (unsent != call->unsent)
		call->progress_ms = loop_now_ms(call->client->loop);
	call->unsent = unsent;
}

/* One timer a call, moved when it fires or when something is due earlier: reads touch a number. */
static void arm(struct http_call *call)
{
	int64_t due = deadline(call), now = loop_now_ms(call->client->loop);

	if (due == 0 || (call->timer.due_ms != 0 && call->timer.due_ms <= due))
		return;
	timer_start(&call->timer, due > now ? due - now : 1);
}

static void on_timer(struct timer *t)
{
	static const char *const words[] = {"no connection in time",
		"the request was not taken in time", "no response head in time",
		"nothing more came in time"};
	struct http_call *call = LIST_ITEM(t, struct http_call, timer);
	struct err err = {0};
	int64_t due;

	look_at_sending(call);
	due = deadline(call);
	if (due == 0 || loop_now_ms(call->client->loop) < due) {
		arm(call);
		return;
	}
	err_set(&err, ERR_UPSTREAM_TIMEOUT, "%s", words[call->phase]);
	fail(call, HTTP_FAIL_TIMEOUT, &err);
}

static void enter(struct http_call *call, enum http_phase phase)
{
	call->phase = phase;
	call->phase_ms = call->progress_ms = loop_now_ms(call->client->loop);
	arm(call);
}

/* ---- reading ---- */

static bool goes_on(const struct conn *c)
{
	return c->call != NULL && !c->call->paused;
}

/* false: it cannot be decoded, and the call is gone. */
static bool read_coding(struct http_call *call, const struct http_head *head)
{
	struct span coding = http_field(head, "content-encoding");
	struct err err = {0};

	if (inflate_new(coding, &call->inflate, &err))
		return true;
	fail(call, err.code == ERR_NO_MEMORY ? HTTP_FAIL_MEMORY : HTTP_FAIL_CODING, &err);
	return false;
}

static bool on_head(void *user, const struct http_head *head)
{
	struct conn *c = user;
	struct http_call *call = c->call;

	if (call == NULL)
		return false;
	call->close_after = call->close_after || !head->keep_alive;
	if (http_field(head, "content-encoding").n > 0 && !read_coding(call, head))
		return false;
	enter(call, HTTP_PHASE_BODY);
	call->events->head(call->user, head);
	return goes_on(c) && call->inflate == NULL; /* coded: on in small pieces */
}

static bool give(void *user, struct span bytes)
{
	struct conn *c = user;

	c->call->events->body(c->call->user, bytes);
	return c->call != NULL; /* a piece that was unpacked is given to its end */
}

static bool unpack(struct conn *c, struct span bytes)
{
	struct err err = {0};

	if (!inflate_feed(c->call->inflate, bytes, give, c, &err)) {
		fail(c->call, HTTP_FAIL_CODING, &err);
		return false;
	}
	return goes_on(c);
}

static bool on_body(void *user, struct span bytes)
{
	struct conn *c = user;

	if (c->call->inflate != NULL)
		return unpack(c, bytes);
	give(c, bytes);
	return goes_on(c);
}

static bool on_end(void *user)
{
	struct conn *c = user;

	c->call->ended = true;
	return false; /* what stands behind the message is looked at first */
}

static const struct h1_events parser_events = {.head = on_head, .body = on_body, .end = on_end};

/* Dead before it served: the same call on a fresh connection, once. */
static bool retry(struct http_call *call)
{
	struct conn *c = call->conn;

	if (!c->reused || call->received || call->retried)
		return false;
	call->retried = true;
	conn_close(c, true);
	start_dial(call);
	return true;
}

/* Returns the bytes used: not all when the owner paused. */
static size_t feed(struct conn *c, struct span bytes)
{
	struct http_call *call = c->call;
	struct err err __attribute__((uninitialized)); /* half a KiB a read */
	size_t at = 0;

	err.code = ERR_OK;
	err.text[0] = err.param[0] = '\0';
	call->progress_ms = loop_now_ms(c->client->loop);
	do {
		struct span part = span_skip(bytes, at);
		ssize_t used;

		if (call->inflate != NULL)
			part = span_head(part, CODED_BYTES);
		used = h1_feed(&c->parser, part, &err);
		if (c->call == NULL)
			return bytes.n;
		if (used < 0) {
			fail(call, HTTP_FAIL_PROTOCOL, &err);
			return bytes.n;
		}
		at += (size_t)used;
		if (call->ended) {
			if (at < bytes.n)
				call->close_after = true;
			complete(call);
			return bytes.n;
		}
	} while (at < bytes.n && !call->paused);
	if (call->events->flush != NULL)
		call->events->flush(call->user);
	return at;
}

static void leave(struct conn *c)
{
	c->reading = false;
	if (c->dead)
		conn_release(c);
}

static void on_read(void *user, struct span bytes)
{
	struct conn *c = user;
	size_t used;

	c->reading = true;
	if (c->call == NULL) { /* nobody asked for this */
		conn_close(c, true);
	} else {
		c->call->received = true;
		used = c->rest.n == 0 ? feed(c, bytes) : 0;
		if (used < bytes.n && !buf_append(&c->rest, span_skip(bytes, used)))
			fail(c->call, HTTP_FAIL_MEMORY, NULL);
	}
	leave(c);
}

/* The owner resumed: first what it has not seen of the last read, then the stream. */
static void on_resumed(struct loop_task *t)
{
	struct conn *c = LIST_ITEM(t, struct conn, task);
	size_t used;

	if (!goes_on(c))
		return;
	c->reading = true;
	used = feed(c, buf_span(&c->rest));
	buf_consume(&c->rest, used);
	if (c->rest.n == 0)
		buf_done(&c->rest);
	if (goes_on(c))
		stream_resume(c->stream);
	leave(c);
}

static void ended(struct conn *c, const struct err *why)
{
	struct http_call *call = c->call;
	struct err err = {0};

	if (call == NULL) {
		conn_close(c, false);
		return;
	}
	if (retry(call))
		return;
	call->close_after = true;
	/* A body without length ends with the stream, unless the stream broke. */
	if (why == NULL && call->phase == HTTP_PHASE_BODY && h1_eof(&c->parser)) {
		if (c->call != NULL && call->ended)
			complete(call);
		return;
	}
	if (c->call == NULL)
		return;
	if (why != NULL)
		err = *why;
	else
		err_set(&err, ERR_UPSTREAM,
			call->phase == HTTP_PHASE_BODY
				? "the connection was closed in the middle of the answer"
				: "the connection was closed before an answer");
	fail(call, HTTP_FAIL_CLOSED, &err);
}

static void on_stream_end(void *user, const struct err *why)
{
	struct conn *c = user;

	c->reading = true;
	ended(c, why);
	leave(c);
}

static void on_drain(void *user)
{
	struct conn *c = user;

	/* The head timer counts from the request's last byte. */
	if (c->call != NULL && c->call->phase == HTTP_PHASE_SEND)
		enter(c->call, HTTP_PHASE_HEAD);
}

static const struct stream_events stream_events = {
	.read = on_read, .end = on_stream_end, .drain = on_drain};

/* ---- sending ---- */

static void transmit(struct http_call *call, struct conn *c)
{
	struct span v[MAX_BODY_SPANS + 1] __attribute__((uninitialized));
	int n = 0;

	call->conn = c;
	c->call = call;
	h1_expect(&c->parser, call->method);
	v[n++] = call->head;
	for (int i = 0; i < call->n_body; i++)
		v[n++] = call->body[i];
	call->sent = true;
	call->ended = false;
	if (call->paused)
		stream_pause(c->stream);
	else
		stream_resume(c->stream);
	/* A write that failed is followed by the stream's end. */
	stream_write(c->stream, v, n);
	call->unsent = stream_pending(c->stream);
	enter(call, call->unsent > 0 ? HTTP_PHASE_SEND : HTTP_PHASE_HEAD);
}

static void use(struct http_call *call, struct stream *s)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct pool *p = c != NULL ? pool_find(call->client, call->origin) : NULL;

	if (c != NULL && p == NULL)
		p = pool_make(call->client, call->origin);
	if (p == NULL) {
		free(c);
		stream_reset(s);
		fail(call, HTTP_FAIL_MEMORY, NULL);
		return;
	}
	list_init(&c->node);
	c->client = call->client;
	c->client->n_conns++;
	c->pool = p;
	p->n_conns++;
	c->stream = s;
	h1_init(&c->parser, H1_RESPONSE, &parser_events, c);
	buf_init(&c->rest, 2 * LOOP_READ_BYTES);
	loop_task_init(&c->task, on_resumed);
	stream_bind(s, &stream_events, c);
	transmit(call, c);
}

static void on_handshake(void *user, struct stream *s, const struct err *err)
{
	struct http_call *call = user;

	call->handshake = NULL;
	if (s == NULL)
		fail(call, HTTP_FAIL_TLS, err);
	else
		use(call, s);
}

static const struct tls_handshake_events handshake_events = {.done = on_handshake};

static void on_dialled(void *user, struct stream *s)
{
	struct http_call *call = user;

	call->dial = NULL;
	if (!call->origin->tls) {
		use(call, s);
		return;
	}
	call->handshake = tls_connect(
		call->origin->tls_context, s, call->origin->host, &handshake_events, call);
	if (call->handshake == NULL)
		fail(call, HTTP_FAIL_MEMORY, NULL);
}

static void on_dial_failed(void *user, enum dial_failure why, const struct err *err)
{
	struct http_call *call = user;

	call->dial = NULL;
	fail(call,
		why == DIAL_DNS       ? HTTP_FAIL_DNS
		: why == DIAL_TIMEOUT ? HTTP_FAIL_TIMEOUT
				      : HTTP_FAIL_CONNECT,
		err);
}

static const struct dial_events dial_events = {.done = on_dialled, .fail = on_dial_failed};

static void start_dial(struct http_call *call)
{
	int timeout_ms = call->timeouts.connect_ms > 0 ? call->timeouts.connect_ms : 30000;

	enter(call, HTTP_PHASE_CONNECT);
	call->sent = false;
	call->dial = dial_start(call->client->loop, call->client->resolver, call->origin->host,
		call->origin->port, timeout_ms, call->origin->public_only, &dial_events, call);
	if (call->dial == NULL)
		fail_later(call, HTTP_FAIL_MEMORY);
}

/* ---- calls ---- */

static char *put(char *to, struct span s)
{
	memcpy(to, s.p, s.n);
	return to + s.n;
}

static size_t head_bytes(const struct http_call_spec *spec)
{
	size_t n = spec->target.n + strlen(spec->origin->authority) + 160;

	for (int i = 0; i < spec->n; i++)
		n += spec->fields[i].name.n + spec->fields[i].value.n + 4;
	return n;
}

/* From a template: our method, target, Host and length; fields are checked, never forwarded bytes.
 */
static bool write_head(struct http_call *call, const struct http_call_spec *spec, char *to)
{
	char *from = to, number[20];

	if (!http_is_target(spec->target) || spec->n > MAX_FIELDS)
		return false;
	to = put(to, span_of(http_method_name(spec->method)));
	*to++ = ' ';
	to = put(to, spec->target);
	to = put(to, SPAN(" HTTP/1.1\r\nHost: "));
	to = put(to, span_of(call->origin->authority));
	for (int i = 0; i < spec->n; i++) {
		if (!http_is_token(spec->fields[i].name) || !http_is_value(spec->fields[i].value))
			return false;
		to = put(to, SPAN("\r\n"));
		to = put(to, spec->fields[i].name);
		to = put(to, SPAN(": "));
		to = put(to, spec->fields[i].value);
	}
	to = put(to, SPAN("\r\nAccept-Encoding: identity"));
	if (call->body_bytes > 0 || spec->method == HTTP_POST || spec->method == HTTP_PUT ||
		spec->method == HTTP_PATCH) {
		to = put(to, SPAN("\r\nContent-Length: "));
		to = put(to, (struct span){number, text_write_u64(number, call->body_bytes)});
	}
	to = put(to, SPAN("\r\n\r\n"));
	call->head = (struct span){from, (size_t)(to - from)};
	return true;
}

struct http_call *http_call_start(struct http_client *client, const struct http_call_spec *spec,
	const struct http_call_events *events, void *user)
{
	size_t spans = sizeof(struct span) * (size_t)spec->n_body;
	struct http_call *call;
	struct pool *p;
	struct conn *c;

	assert(spec->n_body <= MAX_BODY_SPANS);
	call = malloc(sizeof(*call) + spans + head_bytes(spec));
	if (call == NULL)
		return NULL;
	*call = (struct http_call){.client = client,
		.origin = http_origin_ref(spec->origin),
		.events = events,
		.user = user,
		.timeouts = spec->timeouts,
		.method = spec->method,
		.n_body = spec->n_body,
		.started_ms = loop_now_ms(client->loop)};
	client->n_calls++;
	for (int i = 0; i < spec->n_body; i++) {
		call->body[i] = spec->body[i];
		call->body_bytes += spec->body[i].n;
	}
	timer_init(&call->timer, client->loop, on_timer);
	loop_task_init(&call->task, on_task);
	if (!write_head(call, spec, (char *)call->body + spans)) {
		err_set(&call->failure.err, ERR_INTERNAL, "the request cannot be written as HTTP");
		fail_later(call, HTTP_FAIL_PROTOCOL);
		return call;
	}
	p = pool_find(client, spec->origin);
	c = p != NULL ? conn_take(p) : NULL;
	if (c != NULL)
		transmit(call, c);
	else
		start_dial(call);
	return call;
}

void http_call_pause(struct http_call *call)
{
	if (call->paused)
		return;
	call->paused = true;
	if (call->conn != NULL)
		stream_pause(call->conn->stream);
}

void http_call_resume(struct http_call *call)
{
	if (!call->paused)
		return;
	call->paused = false;
	call->progress_ms = loop_now_ms(call->client->loop);
	arm(call);
	if (call->conn != NULL)
		loop_task_post(call->client->loop, &call->conn->task);
}

void http_call_cancel(struct http_call *call)
{
	detach(call);
	if (call->conn != NULL)
		conn_close(call->conn, true);
	call_free(call);
}

bool http_call_sent(const struct http_call *call)
{
	return call->sent;
}

/* ---- the client ---- */

struct http_client *http_client_new(
	struct loop *l, struct resolver *r, const struct http_client_limits *limits)
{
	struct http_client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	client->loop = l;
	client->resolver = r;
	client->limits = *limits;
	if (client->limits.max_idle_per_origin < 1)
		client->limits.max_idle_per_origin = 1;
	list_init(&client->pools);
	timer_init(&client->reaper, l, on_reaper);
	return client;
}

void http_client_close_idle(struct http_client *client)
{
	LIST_EACH_SAFE(pos, &client->pools)
	{
		struct pool *p = LIST_ITEM(pos, struct pool, node);

		/* Counted: with its last connection the pool goes too. */
		for (int n = p->n_idle; n > 0; n--)
			conn_close(LIST_ITEM(p->idle.next, struct conn, node), false);
	}
}

void http_client_free(struct http_client *client)
{
	if (client == NULL)
		return;
	assert(client->n_calls == 0);
	http_client_close_idle(client);
	assert(client->n_conns == 0);
	assert(list_empty(&client->pools));
	timer_done(&client->reaper);
	free(client);
}
