/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include <assert.h>
#include "machine/base/json_put.h"
#include "machine/base/text.h"

#define LINGER_MS 1000
#define MIN_PROGRESS_BYTES 4096 /* within idle_ms, where no event is completed */
#define TOO_MUCH_HELD "The gateway holds as many bodies as its memory limit allows"
#define MAX_HELD_BACK (64u << 10)
#define MAX_LEFT 64                /* answers of one worker that are read without a client */
#define MAX_LEFT_BYTES (8u << 20)  /* of each */
#define MAX_OUT_BYTES (256u << 10) /* kept from read to read */

static const struct http_call_events call_events;

static struct span client_field(void *user, const char *name)
{
	struct exchange *x = user;

	/* Gone is a client whose embeddings take several calls. */
	if (x->request == NULL)
		return (struct span){NULL, 0};
	return http_field(request_head(x->request), name);
}

/* The body is a form: its type names the boundary. */
static void name_form(struct exchange *x, struct http_field *fields, int n)
{
	bool plain = span_find_char(x->form.boundary, ' ') < 0 &&
		     span_find_char(x->form.boundary, '=') < 0;
	struct span quote = plain ? SPAN("") : SPAN("\"");
	const struct span type[] = {
		SPAN("multipart/form-data; boundary="), quote, x->form.boundary, quote};

	for (int i = 0; i < n; i++)
		if (span_is(fields[i].name, "content-type"))
			fields[i].value = arena_join(&x->arena, type, 4);
}

static bool prepare(struct exchange *x, struct provider_call *prepared)
{
	const struct llm_notes *notes = x->translation != NULL ? &x->translation->notes : NULL;
	const struct provider_ask ask = {.op = x->op,
		.model = x->upstream_model,
		.base_path = x->place->base_path,
		.region = x->place->region,
		.token = x->token,
		.stream = x->facts.stream,
		.betas = notes != NULL ? notes->betas : NULL,
		.n_betas = notes != NULL ? notes->n_betas : 0,
		.client = client_field,
		.user = x};

	return provider_prepare(&x->provider->setup, &ask, &x->arena, prepared, &x->err);
}

enum move step_dispatch(struct exchange *x)
{
	struct http_field fields[PROVIDER_MAX_FIELDS + SIGN_V4_MAX_ADDED];
	struct provider_call prepared;
	struct http_call_spec spec;
	int n;

	if (x->local)
		return MOVE_NEXT;
	if (!prepare(x, &prepared))
		return MOVE_FAIL;
	n = prepared.n;
	for (int i = 0; i < prepared.n; i++)
		fields[i] = (struct http_field){prepared.fields[i].name, prepared.fields[i].value};
	if (x->form.boundary.n > 0)
		name_form(x, fields, n);
	if (prepared.to_sign && !sign_call(x, &prepared, fields, &n))
		return MOVE_FAIL;
	spec = (struct http_call_spec){.origin = x->place->origin,
		.method = HTTP_POST,
		.target = prepared.target,
		.fields = fields,
		.n = n,
		.body = x->body_spans,
		.n_body = x->n_body,
		.timeouts = x->provider->timeouts};
	if (!x->facts.stream)
		spec.timeouts.head_ms = x->provider->plain_head_ms;
	x->attempts++;
	if (x->overhead_us == 0) /* what comes between calls is waiting */
		x->overhead_us = loop_now_us(x->env->loop) - x->received_us;
	x->call = http_call_start(x->env->client, &spec, &call_events, x);
	if (x->call == NULL) {
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		return MOVE_FAIL;
	}
	return MOVE_WAIT;
}

enum move step_relay(struct exchange *x)
{
	return x->local ? MOVE_NEXT : MOVE_WAIT;
}

void relay_cancel(struct exchange *x)
{
	timer_stop(&x->timer);
	fetch_cancel(x);
	credential_cancel(x);
	lookup_cancel(x);
	if (x->call == NULL)
		return;
	x->sent = x->sent || http_call_sent(x->call);
	http_call_cancel(x->call);
	x->call = NULL;
}

static void on_left_too_long(struct timer *t)
{
	struct exchange *x = LIST_ITEM(t, struct exchange, left_timer);

	if (x->step != STEP_DISPATCH && x->step != STEP_RELAY)
		return;
	relay_cancel(x);
	err_set(&x->err, ERR_CLIENT_GONE, NULL);
	exchange_fail(x);
}

/* The provider bills what nobody reads: its own count is worth more than a guess of ours. */
bool relay_read_on(struct exchange *x)
{
	if ((x->step != STEP_DISPATCH && x->step != STEP_RELAY) || x->call == NULL ||
		!x->provider->bills_on_abort || x->embedding != NULL || x->answer == ANSWER_ERROR ||
		x->env->n_left >= MAX_LEFT || x->env->draining ||
		!(x->sent || http_call_sent(x->call)))
		return false;
	x->left = true;
	x->env->n_left++;
	timer_init(&x->left_timer, x->env->loop, on_left_too_long);
	timer_start(&x->left_timer, x->snapshot->conf->abandoned_ms);
	relay_client_drained(x);
	return true;
}

/* ---- what the provider's head says ---- */

static void keep_fields(struct exchange *x, const struct http_head *head)
{
	const int max = sizeof(x->passed) / sizeof(x->passed[0]);
	struct span id = http_field(head, "x-request-id");

	if (id.n == 0)
		id = http_field(head, "request-id");
	if (text_is_utf8(id))
		x->upstream_id = arena_copy(&x->arena, text_head(id, 128));
	for (int i = 0; i < head->n && x->n_passed < max; i++) {
		const struct http_field *f = &head->fields[i];

		if (!provider_passes_field(f->name) || f->value.n > 256)
			continue;
		x->passed[x->n_passed].name = arena_copy(&x->arena, f->name);
		x->passed[x->n_passed].value = arena_copy(&x->arena, f->value);
		if (x->passed[x->n_passed].value.p != NULL && x->passed[x->n_passed].name.p != NULL)
			x->n_passed++;
	}
}

static bool is_event_stream(struct span type)
{
	struct span name = span_trim(span_cut(&type, ';'));

	return span_eq_nocase(name, SPAN("text/event-stream"));
}

static bool is_frame_stream(struct span type)
{
	return span_eq_nocase(
		span_trim(span_cut(&type, ';')), SPAN("application/vnd.amazon.eventstream"));
}

static struct span cost_text(void *user, const struct llm_usage *u, char out[32])
{
	return exchange_cost_text(user, u, out);
}

static void arm(struct exchange *x);
static void on_timer(struct timer *t);

static bool begin_relay(struct exchange *x)
{
	x->tap = ARENA_NEW(&x->arena, struct tap);
	if (x->tap == NULL)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	*x->tap = (struct tap){.op = x->endpoint->op,
		.hide_usage = !x->facts.wants_usage,
		.scratch = &x->env->scratch,
		.cost = cost_text,
		.user = x,
		.request_id = x->request_id};
	x->relay_ms = x->last_ms = loop_now_ms(x->env->loop);
	x->timer.fire = on_timer;
	arm(x);
	return true;
}

/* Sound, subtitles, plain text: what the audio endpoints answer beside JSON. */
static bool may_be_bytes(struct exchange *x, const struct http_head *head)
{
	enum llm_op op = x->endpoint->op;
	struct span type = http_field(head, "content-type");

	if (op != LLM_OP_SPEECH && op != LLM_OP_TRANSCRIPTIONS && op != LLM_OP_TRANSLATIONS)
		return false;
	if (type.n == 0 || type.n > 128 || span_starts_nocase(type, SPAN("application/json")))
		return false;
	x->upstream_type = arena_copy(&x->arena, type);
	return x->upstream_type.p != NULL;
}

/* Of an error, what it stands for. */
static int status_of(const struct exchange *x, const struct http_head *head)
{
	const struct dialect *d = dialect_of(x->op);

	if (head->status < 400 || d->error_field == NULL)
		return head->status;
	return d->error_status(http_field(head, d->error_field), head->status);
}

static void on_head(void *user, const struct http_head *head)
{
	struct exchange *x = user;
	struct span type = http_field(head, "content-type");
	bool events = is_event_stream(type);

	x->binary = x->translation != NULL && is_frame_stream(type);
	x->sent = true;
	x->upstream_status = status_of(x, head);
	x->progress_ms = loop_now_ms(x->env->loop);
	keep_fields(x, head);
	if (head->status < 200 || head->status > 299)
		x->answer = ANSWER_ERROR;
	else if (x->facts.stream && (events || x->binary))
		x->answer = ANSWER_STREAM;
	else
		x->answer = may_be_bytes(x, head) ? ANSWER_BYTES : ANSWER_PLAIN;
	if (!route_may_go_on(x))
		buf_done(&x->body);
	if (x->translation != NULL)
		buf_done(&x->translation->body);
	exchange_count_bytes(x);
	if (x->answer == ANSWER_STREAM && !begin_relay(x)) {
		relay_cancel(x);
		exchange_fail(x);
		return;
	}
	if (x->answer == ANSWER_PLAIN && head->content_length > 0)
		buf_room(&x->held,
			(size_t)(head->content_length < 65536 ? head->content_length : 65536));
	exchange_count_bytes(x);
	exchange_advance(x);
}

/*
 * Bytes that come one by one keep the connection's idle timer off; what counts is that an event
 * is completed or that bytes come in numbers. False: neither has been for idle_ms.
 */
static bool is_moving(struct exchange *x, size_t bytes, bool whole)
{
	int64_t now = loop_now_ms(x->env->loop);

	x->trickle += bytes;
	if (!whole && x->trickle < MIN_PROGRESS_BYTES)
		return now - x->progress_ms < x->provider->timeouts.idle_ms;
	x->trickle = 0;
	x->progress_ms = now;
	return true;
}

static void trickles(struct exchange *x)
{
	err_set(&x->err, ERR_UPSTREAM_TIMEOUT, "Provider \"%.*s\" sent only %zu bytes in %d ms",
		SPAN_ARG(x->provider->name), x->trickle, x->provider->timeouts.idle_ms);
}

/* ---- streams ---- */

static const char *streamed_type(const struct exchange *x)
{
	if (x->replay != NULL)
		return lookup_about(x)->type;
	return x->answer == ANSWER_BYTES ? x->upstream_type.p : "text/event-stream; charset=utf-8";
}

void relay_begin_answer(struct exchange *x)
{
	struct reply reply __attribute__((uninitialized));

	x->begun = true;
	x->status = 200;
	if (x->first_us == 0)
		x->first_us = loop_now_us(x->env->loop);
	reply_init(&reply, 200, streamed_type(x));
	reply_add(&reply, "cache-control", SPAN("no-cache"));
	reply_add(&reply, "x-accel-buffering", SPAN("no"));
	reply_add_exchange(&reply, x);
	out_begin(x, &reply);
}

/* The client takes less than the provider gives: the provider waits. */
static void pull(struct exchange *x)
{
	if (!x->paused && x->call != NULL && x->request != NULL &&
		request_pending(x->request) > 0) {
		x->paused = true;
		http_call_pause(x->call);
	}
}

void relay_client_drained(struct exchange *x)
{
	if (x->replay != NULL) {
		lookup_drained(x);
		return;
	}
	if (!x->paused)
		return;
	x->paused = false;
	x->progress_ms = x->last_ms = loop_now_ms(x->env->loop);
	if (x->call != NULL)
		http_call_resume(x->call);
}

/*
 * Where another attempt may follow, nothing leaves before there is something of the answer itself:
 * a provider that is overloaded often says so behind the first, empty events.
 */
static bool is_waiting(const struct exchange *x)
{
	return !x->tap->content && x->held.n < MAX_HELD_BACK && route_may_go_on(x);
}

static void write_held_back(struct exchange *x)
{
	out_write(x, buf_span(&x->held));
	buf_clear(&x->held);
	x->held_back = false;
}

/*
 * The events of one read are gathered in env->out and leave in one write when the read is at its
 * end: it is empty between reads, so that the exchanges of a worker share it.
 */
static void flush(struct exchange *x)
{
	struct span v = buf_span(&x->env->out);

	if (v.n > 0 && is_waiting(x)) {
		x->held_back = true;
		if (!buf_append(&x->held, v))
			err_set(&x->err, ERR_NO_MEMORY, NULL);
	} else if (v.n > 0) {
		if (!x->begun)
			relay_begin_answer(x);
		if (x->held_back)
			write_held_back(x);
		out_write(x, v);
		x->last_ms = loop_now_ms(x->env->loop);
		pull(x);
	}
	buf_clear(&x->env->out);
	if (x->env->out.cap > MAX_OUT_BYTES)
		buf_done(&x->env->out);
}

/* From here on output waits for the journal, and what this read gathered with it. */
static void gate(struct exchange *x)
{
	x->gated = true;
	if (!buf_append(&x->held, buf_span(&x->env->out)))
		err_set(&x->err, ERR_NO_MEMORY, NULL);
	buf_clear(&x->env->out);
}

/* The stream's end cut it: half a document is none. (An end marker is made again where it is due.)
 */
static bool is_cut(const struct exchange *x, const struct sse_event *ev)
{
	yyjson_doc *doc;

	if (!ev->unfinished)
		return false;
	doc = json_read_loose(&x->env->scratch, ev->data, NULL);
	json_free(doc);
	return doc == NULL;
}

/* The stream says that it failed. In pass mode the tap has written the error already. */
static void take_error(struct exchange *x)
{
	x->err = x->tap->error;
	if (x->translation == NULL)
		x->err_from_provider = true;
	x->error_sent = x->translation == NULL;
}

static bool on_event(void *user, const struct sse_event *ev)
{
	struct exchange *x = user;
	struct buf *out = &x->env->out;
	struct tap *t = x->tap;
	size_t before = out->n;
	bool promised = x->begun || x->gated || (before > 0 && !is_waiting(x));
	enum tap_verdict verdict = TAP_PASS;

	if (t->terminal || x->err.code != ERR_OK)
		return false;
	if (is_cut(x, ev))
		return true;
	t->final_usage = false;
	if (x->translation != NULL) {
		verdict = TAP_REPLACE;
		if (ev->data.p != NULL)
			translate_event(x, ev->name, ev->data, out);
	} else if (ev->data.p != NULL) {
		if (ev->has_others) /* in front of what the tap may write instead */
			sse_copy_others(ev->raw, out);
		verdict = x->dialect->tap(t, ev->name, ev->data, out);
	} else if (!promised) { /* a comment is no answer yet: our head waits for the first event */
		verdict = TAP_DROP;
	}
	if (t->error.code != ERR_OK) {
		take_error(x);
		if (!promised) { /* a proper status can still be given */
			x->error_sent = false;
			buf_clear(out);
			return false;
		}
	}
	if (verdict != TAP_REPLACE && out->n > before)
		out->n = before;
	if (verdict == TAP_PASS)
		buf_append(out, ev->raw);
	if (verdict == TAP_PASS && ev->unfinished)
		buf_append(out, SPAN("\n\n"));
	if (out->failed) {
		out->n = before; /* half an event is none */
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		return false;
	}
	x->final_usage |= t->final_usage;
	if (x->gated || t->terminal || t->final_usage || x->error_sent)
		gate(x);
	return x->err.code == ERR_OK && !t->terminal;
}

/* On to settle, to a checkpoint, or wait for more. */
static void after_events(struct exchange *x)
{
	if (x->err.code != ERR_OK) {
		flush(x);
		relay_cancel(x);
		exchange_fail(x);
	} else if (x->tap->terminal) {
		timer_stop(&x->timer);
		exchange_advance(x);
	} else if (x->gated && list_empty(&x->waiter.node)) {
		close_checkpoint(x);
	}
}

/* Small streams are let be: it is the large event that fills the memory. */
static bool is_over_memory(const struct exchange *x)
{
	return x->buffered > MAX_OUT_BYTES && exchange_is_full(x->env, 0) &&
	       x->err.code == ERR_OK && !x->tap->terminal;
}

/*
 * A frame is an event by another framing: its type is the name, its payload the data. Of an error
 * that has no payload the message is what there is.
 */
static bool on_frame(void *user, const struct eventstream_event *frame)
{
	struct sse_event ev = {.raw = frame->raw, .name = frame->name, .data = frame->payload};
	struct exchange *x = user;
	struct buf words;
	bool ok;

	if (frame->kind != EVENTSTREAM_ERROR)
		return on_event(x, &ev);
	buf_init(&words, 1 << 20);
	json_put_open(&words, NULL, '{');
	json_put_str(&words, "message", frame->message);
	buf_append_char(&words, '}');
	ev.data = buf_span(&words);
	ok = on_event(x, &ev);
	buf_done(&words);
	return ok;
}

/* *whole: more than what is held now was taken in, so that events are complete. */
static bool feed(struct exchange *x, struct span bytes, bool *whole, struct err *err)
{
	size_t held = bytes.n + (x->binary ? x->frames.held.n : x->sse.held.n);
	bool ok = x->binary ? eventstream_feed(&x->frames, bytes, on_frame, x, err)
			    : sse_feed(&x->sse, bytes, on_event, x, err);

	*whole = held != (x->binary ? x->frames.held.n : x->sse.held.n);
	return ok;
}

static void relay_stream(struct exchange *x, struct span bytes)
{
	struct err err __attribute__((uninitialized));
	bool whole;

	err.code = ERR_OK;
	err.text[0] = err.param[0] = '\0';
	if (!feed(x, bytes, &whole, &err) && x->err.code == ERR_OK)
		x->err = err;
	exchange_count_bytes(x);
	if (is_over_memory(x))
		err_set(&x->err, ERR_OVERLOADED, TOO_MUCH_HELD);
	if (!is_moving(x, bytes.n, whole) && x->err.code == ERR_OK)
		trickles(x);
	after_events(x);
}

static void end_translated(struct exchange *x)
{
	translate_end(x, &x->env->out);
	if (x->tap->error.code != ERR_OK)
		take_error(x);
	else
		gate(x);
}

static void relay_stream_end(struct exchange *x)
{
	struct err err = {0};

	if (!(x->binary ? eventstream_end(&x->frames, &err)
			: sse_end(&x->sse, on_event, x, &err)) &&
		x->err.code == ERR_OK)
		x->err = err;
	if (x->translation != NULL && x->err.code == ERR_OK && !x->tap->terminal)
		end_translated(x);
	if (!x->gated)
		flush(x);
	if (x->err.code == ERR_OK && !x->tap->terminal) {
		if (x->tap->finished && x->translation == NULL) {
			x->gated = true;
			x->tap->terminal = true;
			if (!buf_append_cstr(&x->held, x->dialect->end_marker))
				err_set(&x->err, ERR_NO_MEMORY, NULL);
		} else if (!x->begun && !x->gated) {
			err_set(&x->err, ERR_UPSTREAM_INVALID,
				"Provider \"%.*s\" answered with an empty stream",
				SPAN_ARG(x->provider->name));
		} else {
			err_set(&x->err, ERR_UPSTREAM_INTERRUPTED,
				"The stream of provider \"%.*s\" ended before its answer was "
				"complete",
				SPAN_ARG(x->provider->name));
		}
	}
	after_events(x);
}

/* ---- bytes ---- */

/* The last read is held back: it leaves when the record is written. */
static void relay_bytes(struct exchange *x, struct span bytes)
{
	struct span v = buf_span(&x->held);

	if (bytes.n == 0)
		return;
	if (v.n > 0) {
		if (!x->begun)
			relay_begin_answer(x);
		out_write(x, v);
		pull(x);
	}
	buf_clear(&x->held);
	if (!buf_append(&x->held, bytes)) {
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		relay_cancel(x);
		exchange_fail(x);
	}
}

static void relay_bytes_end(struct exchange *x)
{
	if (x->held.n > 0) {
		exchange_advance(x);
		return;
	}
	err_set(&x->err, ERR_UPSTREAM_INVALID, "Provider \"%.*s\" answered with an empty body",
		SPAN_ARG(x->provider->name));
	exchange_fail(x);
}

/* ---- documents ---- */

/* White space before a document is a provider's way to say that it still works. */
static bool is_all_blank(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != ' ' && s.p[i] != '\n' && s.p[i] != '\r' && s.p[i] != '\t')
			return false;
	return true;
}

static void hold(struct exchange *x, struct span bytes)
{
	size_t came = bytes.n;

	if (x->answer == ANSWER_ERROR && x->held.n + bytes.n > EXCHANGE_MAX_ERROR_BODY)
		bytes.n = x->held.n < EXCHANGE_MAX_ERROR_BODY ? EXCHANGE_MAX_ERROR_BODY - x->held.n
							      : 0;
	if (!is_moving(x, came, is_all_blank(bytes))) {
		trickles(x);
	} else if (buf_append(&x->held, bytes)) {
		exchange_count_bytes(x);
		if (x->env->buffered_bytes <= x->env->max_buffered_bytes &&
			(x->held.n < MAX_OUT_BYTES || !exchange_is_full(x->env, 0)))
			return;
		err_set(&x->err, ERR_OVERLOADED, TOO_MUCH_HELD);
	} else if (x->held.n + bytes.n > x->held.max_bytes) {
		err_set(&x->err, ERR_UPSTREAM_INVALID,
			"The answer of provider \"%.*s\" is over %zu bytes",
			SPAN_ARG(x->provider->name), x->held.max_bytes);
	} else {
		err_set(&x->err, ERR_NO_MEMORY, NULL);
	}
	relay_cancel(x);
	exchange_fail(x);
}

/* An answer that is not of the usual form: parsed whole, to say what it is. */
static bool read_unusual(struct exchange *x, struct llm_answer *answer)
{
	struct span text = buf_span(&x->held);
	struct err why = {0};
	yyjson_doc *doc = json_read(&x->env->scratch, text, &why);
	bool ok = false;

	if (why.code == ERR_NO_MEMORY)
		err_set(&x->err, ERR_NO_MEMORY, NULL);
	else if (doc == NULL)
		err_set(&x->err, ERR_UPSTREAM_INVALID, "Provider \"%.*s\" answered with %s",
			SPAN_ARG(x->provider->name),
			text.n == 0 ? "an empty body" : "something that is not JSON");
	else
		ok = x->dialect->read_answer(
			x->endpoint->op, yyjson_doc_get_root(doc), answer, &x->err);
	json_free(doc);
	return ok;
}

static bool read_plain(struct exchange *x)
{
	struct llm_answer answer = {0};
	bool ok = x->dialect->scan_answer(
			  x->endpoint->op, buf_span(&x->held), &x->env->scratch, &answer) ||
		  read_unusual(x, &answer);

	x->usage = answer.usage;
	x->plain_output_bytes = answer.output_bytes;
	x->usage_raw = answer.usage_raw;
	return ok;
}

static bool read_document(struct exchange *x, bool *more)
{
	if (x->embedding != NULL)
		return embed_take(x, buf_span(&x->held), more);
	return x->translation != NULL ? translate_answer(x, buf_span(&x->held)) : read_plain(x);
}

static void relay_plain_end(struct exchange *x)
{
	bool more = false, ok = read_document(x, &more);

	if (ok && more) {
		exchange_again(x);
		return;
	}
	if (ok && x->facts.stream)
		ok = err_set(&x->err, ERR_UPSTREAM_INVALID,
			"Provider \"%.*s\" answered a streaming request without a stream",
			SPAN_ARG(x->provider->name));
	if (ok) {
		exchange_advance(x);
		return;
	}
	x->err_from_provider = x->err.code != ERR_UPSTREAM_INVALID && x->err.code != ERR_NO_MEMORY;
	exchange_fail(x);
}

/* A credential that the provider refuses is ours, not the caller's: say so before its own words. */
static void blame_credential(struct exchange *x)
{
	struct err said = x->err;

	credential_forget(x);
	x->err = (struct err){0};
	err_set(&x->err, ERR_UPSTREAM_AUTH,
		"Provider \"%.*s\" refused the gateway's credential: %.256s",
		SPAN_ARG(x->provider->name), said.text);
	x->native_type[0] = x->native_code[0] = '\0';
}

static void relay_error_end(struct exchange *x)
{
	if (x->upstream_status >= 400) {
		dialect_of(x->op)->read_error(x->upstream_status, buf_span(&x->held),
			&x->env->scratch, &x->err, x->native_type, x->native_code);
		x->err_from_provider = true;
		if (x->err.code == ERR_UPSTREAM_AUTH)
			blame_credential(x);
		else if (x->translation == NULL)
			x->status = x->upstream_status;
		if (x->translation != NULL) /* the words of another format */
			x->native_type[0] = x->native_code[0] = '\0';
	} else {
		err_set(&x->err, ERR_UPSTREAM_INVALID, "Provider \"%.*s\" answered with status %d",
			SPAN_ARG(x->provider->name), x->upstream_status);
	}
	buf_clear(&x->held);
	exchange_fail(x);
}

/* ---- events of the call ---- */

static void on_body(void *user, struct span bytes)
{
	struct exchange *x = user;

	if (x->step != STEP_RELAY)
		return;
	if (x->left && (x->left_bytes += bytes.n) > MAX_LEFT_BYTES)
		on_left_too_long(&x->left_timer);
	else if (x->answer == ANSWER_STREAM)
		relay_stream(x, bytes);
	else if (x->answer == ANSWER_BYTES)
		relay_bytes(x, bytes);
	else
		hold(x, bytes);
}

static void on_end(void *user)
{
	struct exchange *x = user;

	x->call = NULL;
	x->paused = false;
	if (x->step == STEP_LINGER) {
		exchange_free(x);
		return;
	}
	if (x->step != STEP_RELAY)
		return;
	timer_stop(&x->timer);
	if (x->answer == ANSWER_STREAM)
		relay_stream_end(x);
	else if (x->answer == ANSWER_BYTES)
		relay_bytes_end(x);
	else if (x->answer == ANSWER_PLAIN)
		relay_plain_end(x);
	else
		relay_error_end(x);
}

static enum err_code failure_code(const struct http_failure *f)
{
	switch (f->kind) {
	case HTTP_FAIL_DNS:
	case HTTP_FAIL_CONNECT:
	case HTTP_FAIL_TLS:
		return ERR_UPSTREAM_UNREACHABLE;
	case HTTP_FAIL_TIMEOUT:
		return ERR_UPSTREAM_TIMEOUT;
	case HTTP_FAIL_CLOSED:
		return f->phase == HTTP_PHASE_BODY ? ERR_UPSTREAM_INTERRUPTED : ERR_UPSTREAM;
	case HTTP_FAIL_PROTOCOL:
	case HTTP_FAIL_CODING:
		return f->phase == HTTP_PHASE_BODY ? ERR_UPSTREAM_INTERRUPTED
						   : ERR_UPSTREAM_INVALID;
	case HTTP_FAIL_MEMORY:
		return ERR_NO_MEMORY;
	}
	return ERR_UPSTREAM;
}

static void on_fail(void *user, const struct http_failure *f)
{
	struct exchange *x = user;

	x->call = NULL;
	x->paused = false;
	timer_stop(&x->timer);
	if (x->step == STEP_LINGER) {
		exchange_free(x);
		return;
	}
	if (x->step != STEP_DISPATCH && x->step != STEP_RELAY)
		return;
	if (x->answer == ANSWER_STREAM)
		flush(x);
	x->sent = x->sent || f->sent;
	x->not_http = f->kind == HTTP_FAIL_PROTOCOL && f->phase != HTTP_PHASE_BODY;
	err_set(&x->err, failure_code(f), "Provider \"%.*s\": %s", SPAN_ARG(x->provider->name),
		f->err.code != ERR_OK ? f->err.text : err_row(failure_code(f))->text);
	exchange_fail(x);
}

static void on_flush(void *user)
{
	struct exchange *x = user;

	if (x->step == STEP_RELAY && x->answer == ANSWER_STREAM)
		flush(x);
}

static const struct http_call_events call_events = {
	.head = on_head, .body = on_body, .flush = on_flush, .end = on_end, .fail = on_fail};

/* ---- waiting ---- */

/* The nearer of: the first event is overdue, the client should hear something. */
static void arm(struct exchange *x)
{
	int64_t now = loop_now_ms(x->env->loop);
	int64_t due = x->last_ms + x->snapshot->conf->keep_alive_ms;
	int64_t first_due = x->relay_ms + x->provider->first_event_ms;

	if (!x->tap->content && first_due < due)
		due = first_due;
	timer_start(&x->timer, due > now ? due - now : 1);
}

static void on_timer(struct timer *t)
{
	struct exchange *x = LIST_ITEM(t, struct exchange, timer);
	int64_t now = loop_now_ms(x->env->loop);
	struct span words;

	if (x->step == STEP_LINGER) {
		relay_cancel(x);
		exchange_free(x);
		return;
	}
	assert(x->step == STEP_RELAY);
	if (!x->tap->content && now - x->relay_ms >= x->provider->first_event_ms && !x->paused) {
		relay_cancel(x);
		err_set(&x->err, ERR_UPSTREAM_TIMEOUT,
			"Provider \"%.*s\" sent no content for %d ms after its answer began",
			SPAN_ARG(x->provider->name), x->provider->first_event_ms);
		exchange_fail(x);
		return;
	}
	if (now - x->last_ms >= x->snapshot->conf->keep_alive_ms) {
		x->last_ms = now;
		if (!x->gated && !x->paused) {
			if (!x->begun)
				relay_begin_answer(x);
			words = span_of(x->dialect->keep_alive);
			out_write(x, words);
			pull(x);
		}
	}
	arm(x);
}

enum move step_linger(struct exchange *x)
{
	if (x->call == NULL)
		return MOVE_END;
	if (x->paused) {
		x->paused = false;
		http_call_resume(x->call);
	}
	x->timer.fire = on_timer;
	timer_start(&x->timer, LINGER_MS);
	return MOVE_WAIT;
}
