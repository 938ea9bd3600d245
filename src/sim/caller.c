/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/caller.h"
#include <stdlib.h>

#define RESET_DELAY_MS 20 /* what was written is read by the peer before the RST discards it */
#define EARLY_CLOSE_MS 2000
#define EVENTS_A_TURN 64
#define KEEP_BYTES (1u << 20)

static void feed(struct caller *c, struct span bytes);
static void pump(struct caller *c);

/* ---- the end of an answer ---- */

static void forget_request(struct caller *c)
{
	if (c->in != NULL && c->in != &c->sim->now)
		free(c->in);
	c->in = NULL;
	c->whole = (struct span){NULL, 0};
	buf_done(&c->body);
	c->too_big = false;
}

/* One large answer does not make the simulator large for good. */
static void shrink(struct buf *b)
{
	if (b->cap > KEEP_BYTES || b->failed)
		buf_done(b);
}

/* Settles the bill and drops the job. */
static void close_job(struct caller *c, enum outcome outcome)
{
	struct job *j = c->job;
	struct bill_cost cost = {.sent_bytes = c->sent_bytes,
		.events = j->events,
		.ms = loop_now_ms(c->sim->loop) - j->started_ms};

	if (c->billable)
		job_cost(j, outcome == OUTCOME_COMPLETED, c->begun, &cost);
	bill_close(&c->sim->bill, j->seq, outcome, &cost);
	wire_done(c);
	timer_stop(&c->timer);
	c->wait = WAIT_NOTHING;
	c->job = NULL;
	job_free(j);
	shrink(&c->sim->head);
	shrink(&c->sim->body);
	shrink(&c->sim->text);
	shrink(&c->sim->packed);
}

void caller_close(struct caller *c, bool reset)
{
	if (c->gone)
		return;
	if (c->job != NULL)
		close_job(c, c->wait == WAIT_RESET ? c->outcome : OUTCOME_CANCELLED);
	c->gone = true;
	timer_stop(&c->timer);
	if (c->handshake != NULL)
		tls_handshake_cancel(c->handshake);
	c->handshake = NULL;
	if (reset)
		stream_reset(c->stream);
	else
		stream_close(c->stream);
	c->stream = NULL;
	/* Whoever called may still look at it. */
	loop_task_post(c->sim->loop, &c->task);
}

void caller_free(struct caller *c)
{
	struct sim *sim = c->sim;

	if (!c->gone)
		caller_close(c, true);
	loop_task_cancel(&c->task);
	timer_done(&c->timer);
	forget_request(c);
	buf_done(&c->pipeline);
	h1_done(&c->parser);
	list_remove(&c->node);
	sim->bill.connections_open--;
	free(c);
}

/* The next request of the connection, if its bytes are there already. */
static void next_request(struct caller *c)
{
	struct buf bytes;

	if (c->idle_ms >= 0) {
		c->wait = WAIT_IDLE;
		timer_start(&c->timer, c->idle_ms);
	}
	if (c->in_read)
		return;
	h1_next(&c->parser);
	if (c->pipeline.n == 0)
		return;
	bytes = c->pipeline;
	buf_init(&c->pipeline, CALLER_MAX_PIPELINE_BYTES);
	feed(c, buf_span(&bytes));
	buf_done(&bytes);
}

static void finish(struct caller *c)
{
	enum after after = c->after;
	const struct script *s = c->job->script;

	if (after == AFTER_CLOSE && script_is(s, OPT_HALF_CLOSE))
		after = AFTER_HALF;
	c->idle_ms = script_num(s, OPT_CLOSE_IDLE, -1);
	c->drop_next |= script_is(s, OPT_DROP_NEXT);
	if (after == AFTER_RESET && c->begun) {
		c->wait = WAIT_RESET;
		timer_start(&c->timer, RESET_DELAY_MS);
		return;
	}
	close_job(c, c->outcome);
	switch (after) {
	case AFTER_NEXT:
		next_request(c);
		break;
	case AFTER_CLOSE:
		if (c->early) {
			c->wait = WAIT_CLOSE;
			timer_start(&c->timer, EARLY_CLOSE_MS);
			break;
		}
		caller_close(c, false);
		break;
	case AFTER_RESET:
		caller_close(c, true);
		break;
	case AFTER_HALF:
		c->silent = true;
		stream_resume(c->stream);
		if (!wire_half_close(c))
			caller_close(c, false);
		break;
	case AFTER_HOLD:
		break;
	}
}

void caller_end(struct caller *c, enum outcome outcome, enum after after)
{
	/* A cut came first. */
	if (!c->over) {
		c->over = true;
		c->outcome = outcome;
		c->after = after;
	}
	if (!c->gone && c->wait != WAIT_RESET && wire_is_idle(c))
		finish(c);
}

void caller_on_wire_idle(struct caller *c)
{
	if (c->job == NULL || c->gone || c->wait == WAIT_RESET || !wire_is_idle(c))
		return;
	if (c->over)
		finish(c);
	else if (c->job->stream && c->status != 0)
		pump(c);
}

/* ---- streams ---- */

void caller_hold(struct caller *c)
{
	c->wait = WAIT_NOTHING;   /* the job stays open until the client leaves */
	stream_resume(c->stream); /* and that must be seen, where `early` has paused reading */
}

static void stopped(struct caller *c)
{
	switch (c->job->stop_how) {
	case AFTER_HOLD:
		caller_hold(c);
		break;
	case AFTER_NEXT: /* an error event: a proper end of a failed answer */
		caller_end(c, OUTCOME_FAILED, reply_after(c));
		break;
	default:
		caller_end(c, OUTCOME_FAILED, c->job->stop_how);
		break;
	}
}

/* Until the next content event is due. false: it is due now. */
static bool rest(struct caller *c)
{
	struct job *j = c->job;
	int64_t gap = script_num(j->script, OPT_GAP, 0), now;

	if (gap == 0 || j->phase != PHASE_CONTENT)
		return false;
	now = loop_now_ms(c->sim->loop);
	j->due_ms = (j->due_ms == 0 ? now : j->due_ms) + gap;
	if (j->due_ms <= now)
		return false;
	c->wait = WAIT_GAP;
	timer_start(&c->timer, j->due_ms - now);
	return true;
}

/* One write. false when nothing more is to be done now. */
static bool write_events(struct caller *c)
{
	struct sim *sim = c->sim;
	struct job *j = c->job;
	struct span head = {NULL, 0};
	bool first = j->phase == PHASE_HEAD, end, stop, proper_end;

	if (first)
		head = buf_span(&sim->head);
	job_stream(j, &sim->text, &sim->body, &end, &stop);
	proper_end = end || (stop && j->stop_with_error);
	if (sim->body.failed || sim->text.failed) {
		buf_clear(&sim->body);
		caller_end(c, OUTCOME_FAILED, AFTER_CLOSE);
		return false;
	}
	wire_write(c, head, buf_span(&sim->body), proper_end);
	if (c->over) {
		caller_end(c, c->outcome, c->after); /* cut by the wire */
		return false;
	}
	if (stop) {
		stopped(c);
		return false;
	}
	if (end) {
		caller_end(c, OUTCOME_COMPLETED, reply_after(c));
		return false;
	}
	return !rest(c);
}

static void pump(struct caller *c)
{
	if (c->wait != WAIT_NOTHING)
		return;
	for (int i = 0; i < EVENTS_A_TURN; i++) {
		if (!wire_is_idle(c))
			return; /* drain, or the shaper, goes on */
		if (c->job->phase == PHASE_OVER)
			return; /* held */
		if (!write_events(c))
			return;
	}
	loop_task_post(c->sim->loop, &c->task);
}

static void start_stream(struct caller *c)
{
	struct sim *sim = c->sim;
	int64_t length = -1;
	int status = (int)script_num(c->job->script, OPT_STATUS, 200);

	c->frame = reply_frame(c, FRAME_CHUNKED);
	wire_begin(c, c->frame);
	if (c->frame == FRAME_LENGTH)
		length = job_stream_bytes(c->job, &sim->text, &sim->body);
	reply_head(c, status,
		c->job->format->stream_type != NULL ? c->job->format->stream_type
						    : "text/event-stream; charset=utf-8",
		length);
	if (script_is(c->job->script, OPT_SILENCE_HEAD)) {
		c->job->phase = PHASE_OVER;
		if (!wire_write(c, buf_span(&sim->head), (struct span){NULL, 0}, false))
			caller_end(c, OUTCOME_FAILED, AFTER_RESET);
		else
			caller_hold(c);
		return;
	}
	pump(c);
}

/* ---- the beginning of an answer ---- */

/* Only a stream that has nothing more to break than its events goes event by event. */
static bool is_stream(const struct job *j)
{
	const struct script *s = j->script;
	int64_t status = script_num(s, OPT_STATUS, 200);

	return j->stream && j->fail == NULL && status >= 200 && status < 300 && status != 204 &&
	       !script_has(s, OPT_GARBAGE) && !script_is(s, OPT_HTML200) &&
	       !script_is(s, OPT_EMPTY200) && !script_is(s, OPT_HTTP09);
}

static void run(struct caller *c)
{
	const struct script *s = c->job->script;

	if (script_is(s, OPT_HANG))
		caller_hold(c);
	else if (script_is(s, OPT_RST))
		caller_end(c, OUTCOME_FAILED, AFTER_RESET);
	else if (script_is(s, OPT_CLOSE))
		caller_end(c, OUTCOME_FAILED, AFTER_CLOSE);
	else if (is_stream(c->job))
		start_stream(c);
	else
		reply_run(c);
}

void caller_start(struct caller *c, struct job *j)
{
	int64_t delay = script_num(j->script, OPT_DELAY, 0);

	c->job = j;
	c->begun = c->over = false;
	c->billable = true;
	c->status = 0;
	c->sent_bytes = 0;
	if (delay > 0) {
		c->wait = WAIT_DELAY;
		timer_start(&c->timer, delay);
		return;
	}
	run(c);
}

void caller_reply(struct caller *c, int status, const char *type, struct span body)
{
	struct buf *h = &c->sim->head;
	struct span v[2];

	buf_clear(h);
	buf_append_cstr(h, "HTTP/1.1 ");
	buf_append_i64(h, status);
	buf_append_char(h, ' ');
	buf_append_cstr(h, http_reason(status));
	buf_append_cstr(h, "\r\ncontent-type: ");
	buf_append_cstr(h, type);
	buf_append_cstr(h, "\r\ncontent-length: ");
	buf_append_u64(h, body.n);
	buf_append_cstr(h, c->keep_alive ? "\r\n\r\n" : "\r\nconnection: close\r\n\r\n");
	v[0] = buf_span(h);
	v[1] = body;
	stream_write(c->stream, v, body.n > 0 ? 2 : 1);
	if (!c->keep_alive)
		caller_close(c, false);
}

/* ---- reading ---- */

/* Of a signature (AWS) the key's name is what stands for the key. */
static struct span access_key(struct span authorization)
{
	struct span rest = span_skip(authorization, sizeof("AWS4-HMAC-SHA256 Credential=") - 1);

	return span_cut(&rest, '/');
}

static bool on_head(void *user, const struct http_head *head)
{
	struct caller *c = user;
	struct sim *sim = c->sim;
	struct incoming *in = &sim->now;
	struct span key = http_field(head, "x-api-key"), bearer = http_field(head, "authorization");

	*in = (struct incoming){.text = head->text,
		.path = head->path,
		.query = head->query,
		.script = http_field(head, "x-sim"),
		.method = head->method,
		.keep_alive = head->keep_alive,
		.http10 = head->minor == 0,
		.anthropic_version = http_field(head, "anthropic-version").p != NULL,
		.anthropic_key = key.p != NULL,
		.expect_continue = head->expect_continue,
		.content_length = head->content_length};
	if (key.p == NULL)
		key = http_field(head, "x-goog-api-key");
	if (key.p == NULL && span_starts_nocase(bearer, SPAN("bearer ")))
		key = span_trim(span_skip(bearer, 7));
	if (key.p == NULL && span_starts(bearer, SPAN("AWS4-HMAC-SHA256 Credential=")))
		key = access_key(bearer);
	in->key = key;
	c->keep_alive = in->keep_alive;
	c->http10 = in->http10;
	c->in = in;
	/* The head's text is the parser's; it is needed until the body has come. */
	buf_clear(&sim->now_text);
	if (!buf_append(&sim->now_text, in->text))
		return false;
	for (struct span *s = &in->text; s <= &in->script; s++)
		if (s->p != NULL)
			s->p = buf_span(&sim->now_text).p + (s->p - head->text.p);
	if (in->expect_continue && span_find(in->script, SPAN("no_continue")) < 0) {
		struct span go_on = SPAN("HTTP/1.1 100 Continue\r\n\r\n");

		stream_write(c->stream, &go_on, 1);
	}
	return true;
}

/* A head whose body is still to come must outlive this read. */
static bool keep_head(struct caller *c)
{
	struct incoming *in, *now = &c->sim->now;

	if (c->in != now)
		return true;
	in = malloc(sizeof(*in) + now->text.n);
	if (in == NULL)
		return false;
	*in = *now;
	memcpy(in + 1, now->text.p, now->text.n);
	for (struct span *s = &in->text; s <= &in->script; s++)
		if (s->p != NULL)
			s->p = (char *)(in + 1) + (s->p - now->text.p);
	c->in = in;
	return true;
}

static bool on_body(void *user, struct span bytes)
{
	struct caller *c = user;
	bool first = c->body.n == 0 && c->whole.p == NULL;

	if (first && (int64_t)bytes.n == c->in->content_length) {
		c->whole = bytes;
		return true;
	}
	if (!c->too_big && !buf_append(&c->body, bytes)) {
		c->too_big = true;
		buf_clear(&c->body);
	}
	if (first && caller_serve_early(c, c->in, bytes)) {
		c->early = true;
		stream_pause(c->stream);
		caller_serve(c, c->in, bytes);
		return false;
	}
	return true;
}

static bool on_body_end(void *user)
{
	struct caller *c = user;

	if (c->drop_next)
		caller_close(c, false);
	else
		caller_serve(c, c->in, c->whole.p != NULL ? c->whole : buf_span(&c->body));
	forget_request(c);
	return true;
}

static const struct h1_events h1_events = {.head = on_head, .body = on_body, .end = on_body_end};

static void refuse(struct caller *c, const struct err *err)
{
	struct buf *b = &c->sim->body;
	int status = err_row(err->code)->status;

	c->sim->bill.refused++;
	buf_clear(b);
	buf_append_cstr(b, "{\"error\":{\"message\":\"");
	for (const char *p = err->text; *p != 0; p++)
		buf_append_char(b, *p == '"' || *p == '\\' || (unsigned char)*p < ' ' ? '\'' : *p);
	buf_append_cstr(b, "\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}");
	c->keep_alive = false;
	caller_reply(c, status, "application/json", buf_span(b));
}

static void feed(struct caller *c, struct span bytes)
{
	struct err err = {0};
	ssize_t used;

	c->in_read = true;
	while (bytes.n > 0 && c->job == NULL && !c->gone && !c->early) {
		if (c->wait == WAIT_IDLE) {
			timer_stop(&c->timer);
			c->wait = WAIT_NOTHING;
		}
		used = h1_feed(&c->parser, bytes, &err);
		if (used < 0) {
			refuse(c, &err);
			break;
		}
		bytes = span_skip(bytes, (size_t)used);
		if (c->gone || c->early)
			break;
		if (c->job == NULL && h1_is_idle(&c->parser))
			h1_next(&c->parser);
	}
	c->in_read = false;
	if (c->gone)
		return;
	if (c->in != NULL && !c->early && !keep_head(c)) {
		caller_close(c, true);
		return;
	}
	if (bytes.n > 0 && !c->early && !buf_append(&c->pipeline, bytes))
		caller_close(c, true);
}

static void on_read(void *user, struct span bytes)
{
	struct caller *c = user;

	if (c->gone || c->silent || c->early)
		return;
	if (c->job == NULL) {
		feed(c, bytes);
		return;
	}
	if (!buf_append(&c->pipeline, bytes))
		caller_close(c, true);
}

static void on_end(void *user, const struct err *err)
{
	/* A client that ends its direction while it waits for an answer has gone, as a provider
	 * sees it. */
	caller_close(user, false);
}

static void on_drain(void *user)
{
	struct caller *c = user;

	if (c->gone || c->job == NULL)
		return;
	wire_drained(c);
	caller_on_wire_idle(c);
}

static const struct stream_events stream_events = {
	.read = on_read, .end = on_end, .drain = on_drain};

/* ---- timers and tasks ---- */

static void on_timer(struct timer *t)
{
	struct caller *c = LIST_ITEM(t, struct caller, timer);
	enum caller_wait wait = c->wait;

	c->wait = WAIT_NOTHING;
	switch (wait) {
	case WAIT_DELAY:
		run(c);
		break;
	case WAIT_GAP:
		pump(c);
		break;
	case WAIT_RESET:
		close_job(c, c->outcome);
		caller_close(c, true);
		break;
	case WAIT_IDLE:
	case WAIT_CLOSE:
		caller_close(c, false);
		break;
	case WAIT_NOTHING:
		break;
	}
}

static void on_task(struct loop_task *t)
{
	struct caller *c = LIST_ITEM(t, struct caller, task);

	if (c->gone)
		caller_free(c);
	else if (c->job != NULL && !c->over)
		pump(c);
}

/* ---- connections ---- */

static void begin(struct caller *c, struct stream *s)
{
	c->stream = s;
	stream_bind(s, &stream_events, c);
	stream_resume(s);
}

static void on_handshake(void *user, struct stream *s, const struct err *err)
{
	struct caller *c = user;

	c->handshake = NULL;
	if (s != NULL)
		begin(c, s);
	else
		caller_close(c, false);
}

static const struct tls_handshake_events handshake_events = {.done = on_handshake};

static enum accept_mode take_mode(struct sim *sim)
{
	if (sim->accept_count == 0)
		return ACCEPT_USUAL;
	sim->accept_count--;
	return sim->accept_mode;
}

void caller_open(struct sim *sim, struct stream *s)
{
	enum accept_mode mode = take_mode(sim);
	struct caller *c;

	sim->bill.connections_accepted++;
	c = mode == ACCEPT_RESET || mode == ACCEPT_CLOSE ? NULL : calloc(1, sizeof(*c));
	if (c == NULL) {
		if (mode == ACCEPT_CLOSE)
			stream_close(s);
		else
			stream_reset(s);
		return;
	}
	sim->bill.connections_open++;
	c->sim = sim;
	c->idle_ms = -1;
	c->silent = mode == ACCEPT_SILENT;
	list_add_back(&sim->callers, &c->node);
	h1_init(&c->parser, H1_REQUEST, &h1_events, c);
	buf_init(&c->body, CALLER_MAX_BODY_BYTES);
	buf_init(&c->pipeline, CALLER_MAX_PIPELINE_BYTES);
	timer_init(&c->timer, sim->loop, on_timer);
	loop_task_init(&c->task, on_task);
	if (sim->tls == NULL || c->silent) {
		begin(c, s);
		return;
	}
	c->handshake = tls_accept(sim->tls, s, &handshake_events, c);
	if (c->handshake == NULL)
		caller_close(c, true);
}
