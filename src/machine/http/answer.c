/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/serve.h"
#include <stdlib.h>
#include "machine/base/text.h"

#define MAX_SPANS 64

enum framing { FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE, FRAMING_NONE };

/* ---- heads ---- */

static char *put(char *to, struct span s)
{
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	return to + s.n;
}

/* The server writes these itself; a second one would let two readers disagree on the message. */
static bool is_own(struct span name)
{
	switch (name.n) {
	case 4:
		return span_eq_nocase(name, SPAN("date"));
	case 10:
		return span_eq_nocase(name, SPAN("connection"));
	case 14:
		return span_eq_nocase(name, SPAN("content-length"));
	case 17:
		return span_eq_nocase(name, SPAN("transfer-encoding"));
	default:
		return false;
	}
}

static char *put_fields(char *to, const struct http_reply *reply)
{
	for (int i = 0; i < reply->n; i++) {
		struct span name = reply->fields[i].name, value = reply->fields[i].value;

		if (is_own(name) || !http_is_token(name) || !http_is_value(value))
			continue;
		to = put(to, name);
		to = put(to, SPAN(": "));
		to = put(to, value);
		to = put(to, SPAN("\r\n"));
	}
	return to;
}

/* Appends a head to `out`. false without memory. */
static bool write_head(struct http_server *s, struct buf *out, const struct http_reply *reply,
	enum framing framing, size_t length, bool keep, int minor)
{
	struct span type = span_of(reply->content_type),
		    reason = span_of(http_reason(reply->status));
	size_t max = 256 + reason.n + type.n;
	char *from, *to, number[20];

	for (int i = 0; i < reply->n; i++)
		max += reply->fields[i].name.n + reply->fields[i].value.n + 4;
	from = to = buf_room(out, max);
	if (to == NULL)
		return false;
	to = put(to, SPAN("HTTP/1.1 "));
	to = put(to, (struct span){number, text_write_u64(number, (unsigned)reply->status)});
	*to++ = ' ';
	to = put(to, reason);
	to = put(to, SPAN("\r\nDate: "));
	to = put(to, span_of(server_date(s)));
	to = put(to, SPAN("\r\n"));
	if (type.n > 0) {
		to = put(to, SPAN("Content-Type: "));
		to = put(to, type);
		to = put(to, SPAN("\r\n"));
	}
	if (framing == FRAMING_LENGTH) {
		to = put(to, SPAN("Content-Length: "));
		to = put(to, (struct span){number, text_write_u64(number, length)});
		to = put(to, SPAN("\r\n"));
	} else if (framing == FRAMING_CHUNKED) {
		to = put(to, SPAN("Transfer-Encoding: chunked\r\n"));
	}
	to = put_fields(to, reply);
	if (!keep)
		to = put(to, SPAN("Connection: close\r\n"));
	else if (minor == 0)
		to = put(to, SPAN("Connection: keep-alive\r\n"));
	to = put(to, SPAN("\r\n"));
	buf_added(out, (size_t)(to - from));
	return true;
}

/*
 * May another request follow? Not when the body is still to come and longer than what is dropped,
 * and not when the client waits for leave to send it: it may then send it or not.
 */
static bool may_keep(const struct http_request *r)
{
	const struct serve_conn *c = r->conn;
	int64_t left = h1_left(&c->parser);

	if (!r->head->keep_alive || c->server->draining || left > SERVE_MAX_DISCARD_BYTES)
		return false;
	return !r->head->expect_continue || r->continued || r->body_seen ||
	       c->parser.state == H1_END;
}

static bool has_no_body(int status)
{
	return status < 200 || status == 204 || status == 304;
}

/* Nothing sensible can be written any more: the task reports it. */
static void fail(struct serve_conn *c, enum err_code code)
{
	c->failed = code;
	loop_task_post(c->server->loop, &c->task);
}

static void transmit(struct serve_conn *c, const struct span *v, int n)
{
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += v[i].n;
	/* A failure is followed by the stream's end. */
	stream_write(c->stream, v, n);
	serve_wrote(c, total);
}

/* ---- the whole answer at once ---- */

void answer_refuse(struct serve_conn *c, struct span target, bool bodyless, const struct err *why)
{
	struct http_server *s = c->server;
	struct http_reply reply = {
		.status = err_row(why->code)->status, .content_type = "application/json"};
	struct span v[2];

	buf_clear(&s->refusal);
	if (s->service->refuse != NULL)
		s->service->refuse(s->user, target, why, &reply, &s->refusal);
	buf_clear(&s->out);
	if (s->refusal.failed ||
		!write_head(s, &s->out, &reply, FRAMING_LENGTH, s->refusal.n, false, 1)) {
		c->reset = true;
		return;
	}
	v[0] = buf_span(&s->out);
	v[1] = buf_span(&s->refusal);
	transmit(c, v, bodyless ? 1 : 2);
}

void request_answer_spans(
	struct http_request *r, const struct http_reply *reply, const struct span *body, int n)
{
	struct serve_conn *c = r->conn;
	struct http_server *s = c->server;
	bool keep = may_keep(r), none = has_no_body(reply->status);
	struct span v[MAX_SPANS] __attribute__((uninitialized));
	size_t length = 0;
	int k = 0;

	for (int i = 0; i < n; i++)
		length += body[i].n;
	buf_clear(&s->out);
	if (!write_head(s, &s->out, reply, none ? FRAMING_NONE : FRAMING_LENGTH, length, keep,
		    r->head->minor)) {
		c->reset = true;
		serve_answered(c, false);
		return;
	}
	v[k++] = buf_span(&s->out);
	if (r->head->method == HTTP_HEAD || none)
		n = 0;
	for (int i = 0; i < n; i++) {
		if (k == MAX_SPANS) {
			transmit(c, v, k);
			k = 0;
		}
		v[k++] = body[i];
	}
	transmit(c, v, k);
	serve_answered(c, keep);
}

void request_answer(struct http_request *r, const struct http_reply *reply, struct span body)
{
	request_answer_spans(r, reply, &body, 1);
}

/* ---- a streamed answer ---- */

void request_begin(struct http_request *r, const struct http_reply *reply)
{
	r->bodyless = r->head->method == HTTP_HEAD || has_no_body(reply->status);
	r->chunked = r->head->minor == 1 && !r->bodyless;
	r->keep = may_keep(r) && (r->chunked || r->bodyless);
	r->answer = ANSWER_HEAD_WAITS;
	buf_init(&r->waiting_head, 1 << 20);
	if (!write_head(r->conn->server, &r->waiting_head, reply,
		    r->chunked    ? FRAMING_CHUNKED
		    : r->bodyless ? FRAMING_NONE
				  : FRAMING_CLOSE,
		    0, r->keep, r->head->minor))
		fail(r->conn, ERR_NO_MEMORY);
}

static struct span size_line(char out[20], size_t n)
{
	char *p = out + 20;

	*--p = '\n';
	*--p = '\r';
	do {
		*--p = "0123456789abcdef"[n & 15];
		n >>= 4;
	} while (n > 0);
	return (struct span){p, (size_t)(out + 20 - p)};
}

/* One system call: the head if it still waits, a chunk, the end marker when it is the last. */
static void write_part(struct http_request *r, const struct span *body, int n, bool last)
{
	struct span v[MAX_SPANS + 3] __attribute__((uninitialized));
	char line[20];
	size_t length = 0;
	int k = 0;

	if (r->answer == ANSWER_HEAD_WAITS)
		v[k++] = buf_span(&r->waiting_head);
	for (int i = 0; i < n; i++)
		length += body[i].n;
	if (length > 0 && r->chunked)
		v[k++] = size_line(line, length);
	for (int i = 0; i < n && length > 0; i++)
		v[k++] = body[i];
	if (r->chunked && length > 0)
		v[k++] = last ? SPAN("\r\n0\r\n\r\n") : SPAN("\r\n");
	else if (r->chunked && last)
		v[k++] = SPAN("0\r\n\r\n");
	if (k > 0)
		transmit(r->conn, v, k);
	if (r->answer == ANSWER_HEAD_WAITS)
		buf_done(&r->waiting_head);
	r->answer = ANSWER_STREAMED;
}

static void write_all(struct http_request *r, const struct span *v, int n, bool last)
{
	if (r->conn->failed != ERR_OK)
		return;
	if (r->bodyless)
		n = 0;
	while (n > MAX_SPANS) {
		write_part(r, v, MAX_SPANS, false);
		v += MAX_SPANS;
		n -= MAX_SPANS;
	}
	write_part(r, v, n, last);
}

void request_write(struct http_request *r, const struct span *v, int n)
{
	size_t length = 0;

	for (int i = 0; i < n; i++)
		length += v[i].n;
	if (length > 0)
		write_all(r, v, n, false);
}

void request_flush(struct http_request *r)
{
	if (r->answer == ANSWER_HEAD_WAITS)
		write_all(r, NULL, 0, false);
}

void request_write_end(struct http_request *r, const struct span *v, int n)
{
	if (r->conn->failed != ERR_OK) {
		r->conn->reset = true;
		serve_answered(r->conn, false);
		return;
	}
	write_all(r, v, n, true);
	serve_answered(r->conn, r->keep);
}

void request_end(struct http_request *r)
{
	request_write_end(r, NULL, 0);
}

void request_abort(struct http_request *r)
{
	struct serve_conn *c = r->conn;

	request_flush(r);
	/* Without chunks only an RST tells a cut answer from a whole one. */
	c->reset = r->answer == ANSWER_NOT || (!r->chunked && !r->bodyless);
	serve_answered(c, false);
}

/* ---- the rest ---- */

void request_continue(struct http_request *r)
{
	struct serve_conn *c = r->conn;
	const struct span line = SPAN("HTTP/1.1 100 Continue\r\n\r\n");

	if (!r->head->expect_continue || r->continued || r->body_seen || r->answer != ANSWER_NOT)
		return;
	r->continued = true;
	c->moved_ms = c->window_ms = loop_now_ms(c->server->loop);
	transmit(c, &line, 1);
	serve_arm(c);
}

size_t request_pending(const struct http_request *r)
{
	return r->waiting_head.n + stream_pending(r->conn->stream);
}

const struct http_head *request_head(const struct http_request *r)
{
	return r->head;
}

const char *request_peer(const struct http_request *r)
{
	return r->conn->stream->peer;
}

bool request_is_local_socket(const struct http_request *r)
{
	return strcmp(request_peer(r), "unix") == 0;
}

void request_bind(struct http_request *r, const struct http_request_events *events, void *user)
{
	r->events = events;
	r->user = user;
}
