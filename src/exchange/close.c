/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include <assert.h>
#include "machine/base/text.h"
#include "state/ledger/price.h"

/* Without a tokenizer: bytes by three is more than a provider counts in usual text, less than its
 * bound. */
#define BYTES_PER_TOKEN 3

static int64_t estimate(size_t bytes)
{
	return (int64_t)((bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN);
}

static int64_t estimate_input(const struct exchange *x)
{
	int64_t tokens = estimate(x->text_bytes);

	/* Media in the body is not text: no prompt is longer than the window. */
	if (x->model != NULL && x->model->context_window > 0 && tokens > x->model->context_window)
		tokens = x->model->context_window;
	return tokens;
}

static bool is_text(enum llm_op op)
{
	return op < LLM_OP_IMAGES;
}

/* Nothing is owed: `usage` is none. */
static void settle_none(struct exchange *x, enum request_basis basis)
{
	x->usage = (struct llm_usage){0};
	x->basis = basis;
	x->cost_nusd = 0;
}

static void settle_count(struct exchange *x, enum request_basis basis)
{
	x->basis = basis;
	x->priced = price_of(x->model, &x->usage, &x->cost_nusd);
	if (x->priced)
		return;
	/* A class that the provider counted has no price: what was held is all that is known. */
	x->cost_nusd = x->hold.amount > 0 ? x->hold.amount : COST_UNKNOWN;
	if (x->hold.amount > 0)
		x->basis = BASIS_HOLD;
}

/* All that it can cost; where nobody knows that, what was counted. */
static void settle_hold(struct exchange *x)
{
	if (hold_most(x, &x->cost_nusd))
		x->basis = BASIS_HOLD;
	else
		settle_count(x, BASIS_GATEWAY_COUNT);
}

/* Sent, and no usage came back. */
static void assess_uncounted(struct exchange *x, int64_t output_bytes, bool complete)
{
	bool silent =
		!complete && x->answer == ANSWER_NONE && x->err.code != ERR_CLIENT_GONE && !x->left;

	x->usage = (struct llm_usage){
		.input_uncached = estimate_input(x), .output = estimate((size_t)output_bytes)};
	if (silent && x->provider->unknown_outcome == UNKNOWN_NONE)
		settle_none(x, BASIS_NONE);
	else if (silent ? x->provider->unknown_outcome == UNKNOWN_HOLD
			: !complete && x->provider->bills_on_abort)
		settle_hold(x);
	else
		settle_count(x, BASIS_GATEWAY_COUNT);
}

static bool owes_nothing(const struct exchange *x, int64_t output_bytes)
{
	return x->endpoint->op == LLM_OP_COUNT_TOKENS || !x->sent || x->not_http ||
	       (x->answer == ANSWER_ERROR && !x->usage.present) ||
	       (x->err_from_provider && output_bytes == 0 && !x->usage.present);
}

/*
 * What is charged, and on what ground (docs/guide/limits.md has the table). `usage` is what the
 * provider reported so far, output_bytes what was seen of its answer.
 */
static void assess(struct exchange *x, bool complete)
{
	bool stream = x->tap != NULL;
	int64_t output_bytes = stream ? x->tap->output_bytes : x->plain_output_bytes;

	x->priced = false;
	if (stream)
		x->usage = x->tap->usage;
	if (x->replay != NULL) {
		settle_none(x, BASIS_CACHE);
	} else if (owes_nothing(x, output_bytes)) {
		settle_none(x, BASIS_NONE);
	} else if (x->usage.present && (complete || x->final_usage)) {
		settle_count(x, BASIS_PROVIDER_FINAL);
	} else if (x->usage.present) {
		int64_t seen = estimate((size_t)output_bytes);

		if (x->usage.output < seen)
			x->usage.output = seen;
		settle_count(x, BASIS_PROVIDER_PARTIAL);
	} else if (is_text(x->endpoint->op)) {
		assess_uncounted(x, output_bytes, complete);
	} else { /* Pictures and sound are not counted by their bytes. */
		x->usage.characters = x->facts.characters;
		if (x->usage.characters + x->usage.pictures + x->usage.sound_ms > 0) {
			settle_count(x, BASIS_GATEWAY_COUNT);
		} else {
			x->basis = BASIS_NONE;
			x->cost_nusd = COST_UNKNOWN;
		}
	}
}

bool exchange_is_provider_fault(const struct exchange *x)
{
	if (x->err_from_provider)
		return true;
	switch (x->err.code) {
	case ERR_UPSTREAM:
	case ERR_UPSTREAM_AUTH:
	case ERR_UPSTREAM_INTERRUPTED:
	case ERR_UPSTREAM_INVALID:
	case ERR_UPSTREAM_TIMEOUT:
	case ERR_UPSTREAM_UNREACHABLE:
		return true;
	default:
		return false;
	}
}

/* The client has our head, or will get it with events that wait for the journal. */
static bool is_promised(const struct exchange *x)
{
	return x->begun ||
	       ((x->answer == ANSWER_STREAM || x->answer == ANSWER_BYTES) && x->held.n > 0);
}

static void judge(struct exchange *x)
{
	const struct answer_about *given = lookup_about(x);

	if (x->err.code == ERR_OK) {
		x->status = given != NULL && given->status != 0 ? given->status : 200;
		x->outcome = x->status < 400   ? OUTCOME_OK
			     : x->status < 500 ? OUTCOME_CLIENT_ERROR
					       : OUTCOME_PROVIDER_ERROR;
		return;
	}
	if (is_promised(x))
		x->status = 200;
	else if (x->err_from_provider && x->status == 529)
		x->status = x->dialect->status(&x->err);
	else if (x->status == 0)
		x->status = x->tap != NULL && x->tap->error_status > 0 && x->err_from_provider
				    ? x->tap->error_status
				    : x->dialect->status(&x->err);
	if (x->err.code == ERR_CLIENT_GONE || x->left)
		x->outcome = OUTCOME_CANCELLED;
	else if (is_promised(x))
		x->outcome = OUTCOME_INTERRUPTED;
	else if (exchange_is_provider_fault(x))
		x->outcome = OUTCOME_PROVIDER_ERROR;
	else
		x->outcome = x->status < 500 ? OUTCOME_CLIENT_ERROR : OUTCOME_GATEWAY_ERROR;
}

static void fill_row(const struct exchange *x, struct request_row *row)
{
	int64_t now = loop_now_us(x->env->loop);

	*row = (struct request_row){.id = x->id,
		.key_id = x->who.key_id,
		.owners = x->who.owners,
		.started_ms = x->wall_ms,
		.duration_us = now - x->start_us,
		.first_token_us = x->first_us != 0 ? x->first_us - x->start_us : -1,
		.overhead_us = x->overhead_us,
		.op = span_of(llm_op_name(x->endpoint->op)),
		.model_asked = text_head(x->facts.model, 256),
		.provider = x->provider != NULL ? x->provider->name : (struct span){NULL, 0},
		.model_served = text_head(x->name.full, 256),
		.user_id = x->meta.user_id,
		.trace_id = x->meta.trace_id,
		.tags = x->meta.tags,
		.extra = x->meta.extra,
		.referer = x->referer,
		.title = x->title,
		.tool = x->tool,
		.upstream_id = x->upstream_id,
		.status = x->status,
		.attempts = x->attempts,
		.stream = x->facts.stream,
		.outcome = x->outcome,
		.basis = x->basis,
		.usage = x->usage,
		.cost_nusd = x->cost_nusd,
		.overrun = x->overrun};
	if (x->priced) {
		row->price_source = x->model->source;
		row->price = *price_row(x->model, &x->usage);
	}
}

static void release(struct exchange *x)
{
	struct span tail = buf_span(&x->held);

	x->gated = false;
	if ((x->request != NULL || x->writer != NULL) && tail.n > 0) {
		if (!x->begun) /* the usage came in the answer's first read */
			relay_begin_answer(x);
		out_write(x, tail);
		x->last_ms = loop_now_ms(x->env->loop);
	}
	buf_done(&x->held);
	exchange_count_bytes(x);
}

static void log_lost(struct exchange *x)
{
	struct log_field f = LOG_FIELD_TEXT("req_id", span_of(x->request_id));

	log_write(
		x->env->log, LOG_ERROR, "journal_lost", "no memory for a request's record", &f, 1);
}

static void on_durable(struct journal_waiter *w)
{
	struct exchange *x = LIST_ITEM(w, struct exchange, waiter);

	if (x->step == STEP_RELAY)
		release(x);
	else
		exchange_advance(x);
}

void close_checkpoint(struct exchange *x)
{
	struct request_row row;

	assess(x, true);
	x->outcome = OUTCOME_INTERRUPTED; /* what it is if nothing more is ever written */
	x->status = 200;
	fill_row(x, &row);
	x->waiter.durable = on_durable;
	if (!journal_put(x->env->journal, &row, false, &x->waiter))
		release(x); /* no memory for a record: the settle's will carry the amount */
}

/* The provider counted more than it can have: its price, or its bound, is not what we know. */
static void say_overrun(const struct exchange *x)
{
	const struct log_field f[] = {LOG_FIELD_TEXT("req_id", span_of(x->request_id)),
		LOG_FIELD_TEXT("provider", x->provider->name),
		LOG_FIELD_TEXT("model", x->name.full), LOG_FIELD_INT("held_nusd", x->hold.amount),
		LOG_FIELD_INT("cost_nusd", x->cost_nusd)};

	log_write(x->env->log, LOG_ERROR, "overrun",
		"a request cost more than it could at most; it is booked in full", f, 5);
}

static void settle_amount(struct exchange *x, bool complete)
{
	assess(x, complete);
	x->overrun = x->hold.open && x->cost_nusd > x->hold.amount;
	if (x->overrun)
		say_overrun(x);
}

void close_attempt(struct exchange *x)
{
	struct request_row row;

	judge(x);
	settle_amount(x, false);
	if (x->hold.open)
		budget_settle(x->env->budget, &x->hold,
			x->cost_nusd != COST_UNKNOWN ? x->cost_nusd : x->hold.amount);
	else if (x->cost_nusd > 0)
		hold_spend(x, x->cost_nusd);
	if (x->cost_nusd == 0)
		return;
	fill_row(x, &row);
	exchange_make_id(x->env, &row.id);
	if (!journal_put(x->env->journal, &row, true, NULL))
		log_lost(x);
}

bool close_hold_record(struct exchange *x)
{
	struct request_row row;

	x->outcome = OUTCOME_INTERRUPTED;
	fill_row(x, &row);
	row.status = 500;
	row.basis = BASIS_CRASH;
	row.cost_nusd = x->hold.amount;
	x->waiter.durable = on_durable;
	return journal_put(x->env->journal, &row, false, &x->waiter) ||
	       err_set(&x->err, ERR_NO_MEMORY, NULL);
}

enum move step_settle(struct exchange *x)
{
	struct request_row row;
	bool waits = x->request != NULL, complete = x->err.code == ERR_OK;

	if (complete && x->left)
		err_set(&x->err, ERR_CLIENT_GONE, NULL);
	judge(x);
	settle_amount(x, complete);
	if (complete)
		route_succeeded(x);
	hold_settle(x);
	fill_row(x, &row);
	journal_forget(&x->waiter);
	x->waiter.durable = on_durable;
	if (!journal_put(x->env->journal, &row, true, waits ? &x->waiter : NULL)) {
		log_lost(x);
		return MOVE_NEXT;
	}
	return waits ? MOVE_WAIT : MOVE_NEXT;
}

/* ---- the last bytes ---- */

static void write_failure(struct exchange *x)
{
	const char *origin = x->err_from_provider ? "provider" : "router";
	const struct codec *codec = x->dialect->codec;

	if (x->translation != NULL && codec->write_failure != NULL)
		codec->write_failure(&x->translation->answers[0].writing, &x->err, origin,
			x->request_id, &x->held);
	else
		x->dialect->write_stream_error(
			&x->err, origin, x->request_id, x->tap->sequence, &x->held);
}

static void end_stream(struct exchange *x)
{
	struct span tail;

	/* What was gated after the last good event is still the provider's: it goes out before. */
	if (x->err.code != ERR_OK && x->answer == ANSWER_BYTES) {
		out_abort(x); /* the only way to say that bytes are missing */
		return;
	}
	if (x->err.code != ERR_OK && !x->error_sent)
		write_failure(x);
	tail = buf_span(&x->held);
	if (x->held.failed)
		out_abort(x);
	else
		out_end(x, tail);
}

/* Whether waiting helps where a limit was the reason. */
static void add_retry(struct reply *reply, struct exchange *x)
{
	if (x->retry_after_s > 0)
		reply_add(reply, "retry-after", arena_printf(&x->arena, "%d", x->retry_after_s));
	else
		reply_add(reply, "x-should-retry", SPAN("false"));
}

static void answer_error(struct exchange *x)
{
	struct reply reply __attribute__((uninitialized));
	struct buf body;

	buf_init(&body, 64u << 10);
	x->dialect->write_error(&x->err, x->err_from_provider ? "provider" : "router",
		x->request_id, x->native_type[0] != '\0' ? x->native_type : NULL,
		x->native_code[0] != '\0' ? x->native_code : NULL, &body);
	reply_init(&reply, x->status, "application/json");
	reply_add_exchange(&reply, x);
	if (x->err.code == ERR_PAYMENT ||
		(x->err.code == ERR_RATE_LIMITED && !x->err_from_provider))
		add_retry(&reply, x);
	else if (!x->err_from_provider && err_row(x->err.code)->retry == RETRY_LATER)
		reply_add(&reply, "retry-after", SPAN("1"));
	out_answer(x, &reply, buf_span(&body));
	buf_done(&body);
}

static void answer_translated(struct exchange *x)
{
	struct reply reply __attribute__((uninitialized));
	struct buf body;

	buf_init(&body, x->held.max_bytes * 2);
	if (!(x->embedding != NULL ? embed_answer_client(x, &body)
				   : translate_write_answer(x, &body))) {
		buf_done(&body);
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		x->status = x->dialect->status(&x->err);
		answer_error(x);
		return;
	}
	reply_init(&reply, 200, "application/json");
	reply_add_exchange(&reply, x);
	x->first_us = loop_now_us(x->env->loop);
	out_answer(x, &reply, buf_span(&body));
	buf_done(&body);
}

static void answer_plain(struct exchange *x)
{
	struct llm_answer answer = {.usage = x->usage,
		.output_bytes = x->plain_output_bytes,
		.usage_raw = x->usage_raw};
	struct span spans[2 * JSON_MAX_SPLICES + 1], cost = {NULL, 0};
	struct json_edit edit;
	struct reply reply __attribute__((uninitialized));
	char text[32];
	int n;

	if (x->basis != BASIS_PROVIDER_FINAL)
		answer.usage.present = false;
	if (x->cost_nusd != COST_UNKNOWN)
		cost = price_write(x->cost_nusd, text);
	json_edit_init(&edit, &x->arena, buf_span(&x->held));
	x->dialect->edit_answer(x->endpoint->op, &answer, cost, &edit);
	n = json_edit_spans(&edit, spans, sizeof(spans) / sizeof(spans[0]));
	if (n < 0) { /* no memory for the edit: the provider's answer is still the answer */
		spans[0] = buf_span(&x->held);
		n = 1;
	}
	reply_init(&reply, 200, "application/json");
	reply_add_exchange(&reply, x);
	x->first_us = loop_now_us(x->env->loop);
	out_answer_spans(x, &reply, spans, n);
}

enum move step_finish(struct exchange *x)
{
	timer_stop(&x->timer);
	if (x->request != NULL || (x->writer != NULL && x->err.code != ERR_CLIENT_GONE)) {
		if (x->replay != NULL && x->err.code == ERR_OK) {
			lookup_answer(x);
		} else if (is_promised(x)) {
			if (!x->begun) /* the whole stream came in one read: all leaves together */
				relay_begin_answer(x);
			end_stream(x);
		} else if (x->err.code != ERR_OK) {
			answer_error(x);
		} else if (x->translation != NULL || x->embedding != NULL) {
			answer_translated(x);
		} else {
			answer_plain(x);
		}
		x->request = NULL;
	}
	lookup_end(x);
	meters_end(x);
	return MOVE_NEXT;
}

void close_client_gone(struct exchange *x, const struct err *why)
{
	x->request = NULL;
	if (x->step == STEP_SETTLE)
		return; /* the record stands; there is nobody to answer */
	if (lookup_goes_on(x)) {
		relay_client_drained(x);
		return;
	}
	assert(x->step < STEP_SETTLE);
	if (relay_read_on(x))
		return;
	relay_cancel(x);
	err_set(&x->err, ERR_CLIENT_GONE, "%s",
		why != NULL && why->code != ERR_OK ? why->text : err_row(ERR_CLIENT_GONE)->text);
	exchange_fail(x);
}
