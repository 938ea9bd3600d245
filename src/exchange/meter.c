/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include <stdlib.h>
#include "state/ledger/price.h"

/* Series whose labels are known beforehand; the others are looked up at each end. */
struct exchange_meters {
	struct metric_series *duration[LLM_OP_COUNT], *overhead[LLM_OP_COUNT], *ttft[LLM_OP_COUNT];
	struct metric_series *tokens_in, *tokens_out, *tokens_cache_read, *tokens_cache_write,
		*tokens_reasoning;
	struct metric_series *cost, *inflight, *hints;
	struct metric_series *requests; /* the last one used, for runs of equal labels */
	char requests_labels[320];
};

static struct metric_series *one(struct metrics *m, enum metric_id id, const char *label)
{
	struct span labels[1] = {span_of(label)};

	return metric_series(m, id, label != NULL ? labels : NULL);
}

struct exchange_meters *meters_new(struct exchange_env *env)
{
	struct exchange_meters *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	for (int op = 0; op < LLM_OP_COUNT; op++) {
		const char *name = llm_op_name((enum llm_op)op);

		m->duration[op] = one(env->metrics, METRIC_REQUEST_DURATION, name);
		m->overhead[op] = one(env->metrics, METRIC_OVERHEAD, name);
		m->ttft[op] = one(env->metrics, METRIC_TTFT, name);
	}
	m->tokens_in = one(env->metrics, METRIC_TOKENS, "input");
	m->tokens_out = one(env->metrics, METRIC_TOKENS, "output");
	m->tokens_cache_read = one(env->metrics, METRIC_TOKENS, "cached_input");
	m->tokens_cache_write = one(env->metrics, METRIC_TOKENS, "cache_creation_input");
	m->tokens_reasoning = one(env->metrics, METRIC_TOKENS, "reasoning");
	m->cost = one(env->metrics, METRIC_COST, NULL);
	m->inflight = one(env->metrics, METRIC_INFLIGHT, NULL);
	m->hints = one(env->metrics, METRIC_BASE_URL_HINTS, NULL);
	return m;
}

void meters_free(struct exchange_meters *m)
{
	free(m);
}

void meters_begin(struct exchange_env *env)
{
	metric_set(env->meters->inflight, env->n_exchanges);
}

static void count_request(const struct exchange *x)
{
	struct exchange_meters *m = x->env->meters;
	static const char *const classes[] = {"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};
	/* A model that neither we nor the provider know is the client's invention: no series of its
	 * own. A replayed answer names none. */
	bool known = x->model != NULL || (x->outcome == OUTCOME_OK && x->name.full.n > 0);
	struct span labels[5] = {span_of(llm_op_name(x->endpoint->op)),
		x->provider != NULL ? x->provider->name : SPAN("none"),
		known ? span_head(x->name.full, 128) : SPAN("unknown"),
		span_of(classes[x->status / 100 % 6]), span_of(request_outcome_name(x->outcome))};
	size_t n = 0;
	char key[sizeof(m->requests_labels)];

	for (int i = 0; i < 5; i++) {
		size_t take = labels[i].n < 63 ? labels[i].n : 63;

		memcpy(key + n, labels[i].p, take);
		n += take;
		key[n++] = '\n';
	}
	key[n < sizeof(key) ? n : sizeof(key) - 1] = '\0';
	if (m->requests == NULL || labels[2].n > 63 || strcmp(key, m->requests_labels) != 0) {
		m->requests = metric_series(x->env->metrics, METRIC_REQUESTS, labels);
		memcpy(m->requests_labels, key, sizeof(key));
	}
	metric_add(m->requests, 1);
}

/* Which limit an error of ours stands for. */
static void count_limit(struct metrics *m, enum err_code code)
{
	struct span scope;

	switch (code) {
	case ERR_TOO_LARGE:
		scope = SPAN("body");
		break;
	case ERR_HEAD_TOO_LARGE:
		scope = SPAN("head");
		break;
	case ERR_OVERLOADED:
	case ERR_NO_MEMORY:
		scope = SPAN("load");
		break;
	default:
		return;
	}
	metric_add(metric_series(m, METRIC_LIMIT_REFUSALS, &scope), 1);
}

static void count(const struct exchange *x, int64_t now_us)
{
	struct exchange_meters *m = x->env->meters;
	enum llm_op op = x->endpoint->op;

	count_request(x);
	if (!x->err_from_provider)
		count_limit(x->env->metrics, x->err.code);
	metric_observe(m->duration[op], now_us - x->start_us);
	metric_set(m->inflight, x->env->n_exchanges - 1);
	if (x->hint != NULL)
		metric_add(m->hints, 1);
	if (x->attempts > 0) {
		struct span reason = span_of(request_outcome_name(x->outcome));

		metric_observe(m->overhead[op], x->overhead_us);
		metric_add(metric_series(x->env->metrics, METRIC_ATTEMPTS, &reason), 1);
	}
	if (x->first_us != 0)
		metric_observe(m->ttft[op], x->first_us - x->start_us);
	metric_add(m->tokens_in, llm_usage_input(&x->usage));
	metric_add(m->tokens_out, x->usage.output);
	metric_add(m->tokens_cache_read, x->usage.cache_read);
	metric_add(m->tokens_cache_write, x->usage.cache_write_5m + x->usage.cache_write_1h);
	metric_add(m->tokens_reasoning, x->usage.reasoning);
	if (x->cost_nusd > 0)
		metric_add(m->cost, x->cost_nusd);
	if (x->outcome == OUTCOME_CANCELLED || x->outcome == OUTCOME_INTERRUPTED) {
		struct span by = x->outcome == OUTCOME_CANCELLED ? SPAN("client")
				 : exchange_is_provider_fault(x) ? SPAN("provider")
								 : SPAN("gateway");

		metric_add(metric_series(x->env->metrics, METRIC_STREAM_CANCELLED, &by), 1);
	}
}

static struct log_field absent_or_text(const char *name, struct span value)
{
	struct log_field f = LOG_FIELD_TEXT(name, value);

	if (value.n == 0)
		f.type = LOG_ABSENT;
	return f;
}

static void access_line(const struct exchange *x, int64_t now_us)
{
	char key_id[ID_UUID_CHARS + 1], cost[32];
	struct log_field f[20] __attribute__((uninitialized));
	int n = 0;

	id_write_uuid(&x->who.key_id, key_id);
	f[n++] = LOG_FIELD_TEXT("req_id", span_of(x->request_id));
	f[n++] = LOG_FIELD_TEXT("key_id", span_of(key_id));
	f[n++] = LOG_FIELD_TEXT("op", span_of(llm_op_name(x->endpoint->op)));
	f[n++] = absent_or_text("model", span_head(x->facts.model, 256));
	f[n++] = absent_or_text(
		"provider", x->provider != NULL ? x->provider->name : (struct span){NULL, 0});
	f[n++] = LOG_FIELD_INT("status", x->status);
	f[n++] = LOG_FIELD_TEXT("outcome", span_of(request_outcome_name(x->outcome)));
	f[n++] = LOG_FIELD_INT("ms", (now_us - x->start_us) / 1000);
	f[n] = LOG_FIELD_INT("ttft_ms", (x->first_us - x->start_us) / 1000);
	if (x->first_us == 0)
		f[n].type = LOG_ABSENT;
	n++;
	f[n++] = LOG_FIELD_INT("tokens_in", llm_usage_input(&x->usage));
	f[n++] = LOG_FIELD_INT("tokens_out", x->usage.output);
	if (x->cost_nusd != COST_UNKNOWN)
		f[n++] = LOG_FIELD_TEXT("cost", price_write(x->cost_nusd, cost));
	else
		f[n++] = (struct log_field){.name = "cost", .type = LOG_RAW, .text = SPAN("null")};
	f[n++] = LOG_FIELD_INT("attempts", x->attempts);
	f[n++] = absent_or_text("trace_id", x->meta.trace_id);
	f[n++] = absent_or_text("upstream_id", x->upstream_id);
	f[n++] = LOG_FIELD_INT("overhead_us", x->overhead_us);
	if (x->err.code != ERR_OK)
		/* The code alone: a provider's words may quote the prompt. */
		f[n++] = LOG_FIELD_TEXT("err", span_of(err_row(x->err.code)->name));
	log_write(x->env->log, LOG_INFO, "request", "", f, n);
}

void meters_end(const struct exchange *x)
{
	int64_t now_us = loop_now_us(x->env->loop);

	count(x, now_us);
	access_line(x, now_us);
}

static bool is_inference(const struct endpoint *e)
{
	return e != NULL && e->kind == ENDPOINT_INFERENCE;
}

static struct span local_name(const struct endpoint *e)
{
	if (e == NULL)
		return (struct span){NULL, 0};
	if (is_inference(e))
		return span_of(llm_op_name(e->op));
	return e->kind == ENDPOINT_MODEL ? SPAN("models") : span_of(e->path + 1);
}

static void count_refusal(
	struct exchange_env *env, const struct endpoint *e, int status, struct span outcome)
{
	struct span labels[5] = {span_of(llm_op_name(e->op)), SPAN("none"), SPAN("unknown"),
		status < 500 ? SPAN("4xx") : SPAN("5xx"), outcome};

	metric_add(metric_series(env->metrics, METRIC_REQUESTS, labels), 1);
}

void meters_local(struct exchange_env *env, const struct endpoint *e, struct http_request *r,
	const char *request_id, int status, const struct err *err)
{
	enum request_outcome outcome = err == NULL    ? OUTCOME_OK
				       : status < 500 ? OUTCOME_CLIENT_ERROR
						      : OUTCOME_GATEWAY_ERROR;
	struct span name = span_of(request_outcome_name(outcome));
	struct log_field f[8];
	int n = 0;

	if (err != NULL && is_inference(e))
		count_refusal(env, e, status, name);
	if (err != NULL)
		count_limit(env->metrics, err->code);
	f[n++] = LOG_FIELD_TEXT("req_id", span_of(request_id));
	f[n++] = absent_or_text("op", local_name(e));
	f[n++] = LOG_FIELD_INT("status", status);
	f[n++] = LOG_FIELD_TEXT("outcome", name);
	f[n++] = LOG_FIELD_INT("ms", 0);
	if (r != NULL)
		f[n++] = absent_or_text("peer", span_of(request_peer(r)));
	if (err != NULL)
		f[n++] = LOG_FIELD_TEXT("err", span_of(err_row(err->code)->name));
	log_write(env->log, LOG_INFO, "request", "", f, n);
}
