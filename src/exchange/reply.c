/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include "machine/base/text.h"
#include "state/ledger/price.h"

void reply_init(struct reply *reply, int status, const char *content_type)
{
	reply->http = (struct http_reply){
		.status = status, .fields = reply->fields, .content_type = content_type};
}

void reply_add(struct reply *reply, const char *name, struct span value)
{
	if (reply->http.n == EXCHANGE_MAX_FIELDS)
		return;
	reply->fields[reply->http.n++] = (struct http_field){span_of(name), value};
}

/* Both SDK families show their own spelling. */
void reply_add_id(struct reply *reply, const char *request_id)
{
	reply_add(reply, "x-request-id", span_of(request_id));
	reply_add(reply, "request-id", span_of(request_id));
}

static bool is_allowed(const struct snapshot *s, struct span origin)
{
	for (const char **allowed = s->conf->cors_origins; allowed != NULL && *allowed != NULL;
		allowed++)
		if (strcmp(*allowed, "*") == 0 || span_is(origin, *allowed))
			return true;
	return false;
}

/* Fetch standard, "CORS protocol". Nothing is said to origins that are not in the list. */
void reply_add_cors(struct reply *reply, const struct snapshot *s, const struct http_head *head)
{
	struct span origin, asked;

	if (s->conf->cors_origins == NULL || s->conf->cors_origins[0] == NULL)
		return;
	reply_add(reply, "vary", SPAN("origin"));
	origin = http_field(head, "origin");
	if (origin.n == 0 || !is_allowed(s, origin))
		return;
	reply_add(reply, "access-control-allow-origin", origin);
	if (head->method != HTTP_OPTIONS) {
		reply_add(reply, "access-control-expose-headers",
			SPAN("x-request-id, request-id, retry-after, x-sluice-model, "
			     "x-sluice-provider, "
			     "x-sluice-policy, x-sluice-attempts, x-sluice-cost, "
			     "x-sluice-latency-ms, "
			     "x-sluice-upstream-id, x-sluice-hint, x-sluice-warnings, "
			     "x-sluice-replay-of, idempotent-replayed"));
		return;
	}
	reply_add(reply, "access-control-allow-methods",
		SPAN("GET, POST, PUT, PATCH, DELETE, OPTIONS"));
	asked = http_field(head, "access-control-request-headers");
	if (asked.n > 0 && asked.n <= 1024)
		reply_add(reply, "access-control-allow-headers", asked);
	reply_add(reply, "access-control-max-age", SPAN("600"));
}

/* What translation left out or changed. */
static void add_warnings(struct reply *reply, struct exchange *x)
{
	const struct llm_notes *notes = &x->translation->notes;
	struct buf b;

	if (notes->n == 0)
		return;
	buf_init(&b, 4096);
	for (int i = 0; i < notes->n; i++) {
		if (i > 0)
			buf_append_char(&b, ',');
		buf_append_cstr(&b, notes->codes[i]);
	}
	reply_add(reply, "x-sluice-warnings", arena_copy(&x->arena, buf_span(&b)));
	buf_done(&b);
}

/* "1.2s", "2m0s", as OpenAI writes it. */
static struct span write_wait(struct arena *a, int64_t ms)
{
	if (ms < 60000)
		return arena_printf(
			a, "%lld.%llds", (long long)ms / 1000, (long long)ms % 1000 / 100);
	return arena_printf(a, "%lldm%llds", (long long)ms / 60000, (long long)ms / 1000 % 60);
}

/* In the spelling of the client's API: OpenAI's, and Anthropic's where that is spoken. */
static void add_rate(
	struct reply *reply, struct exchange *x, const struct budget_rate *r, const char *of)
{
	bool anthropic = x->dialect == &dialect_anthropic;
	struct arena *a = &x->arena;
	const struct {
		const char *name;
		struct span value;
	} rows[] = {{"limit", arena_printf(a, "%lld", (long long)r->limit)},
		{"remaining", arena_printf(a, "%lld", (long long)r->remaining)},
		{"reset", write_wait(a, r->reset_ms)}};
	char when[32];

	if (r->limit == 0)
		return;
	text_rfc3339(when, x->wall_ms + r->reset_ms);
	for (int i = 0; i < 3; i++) {
		struct span name = arena_printf(a, "x-ratelimit-%s-%s", rows[i].name, of);

		if (name.p != NULL)
			reply_add(reply, name.p, rows[i].value);
		if (!anthropic)
			continue;
		name = arena_printf(a, "anthropic-ratelimit-%s-%s", of, rows[i].name);
		reply_add(reply, name.p, i == 2 ? arena_copy(a, span_of(when)) : rows[i].value);
	}
}

/* Everything an inference answer says about itself. */
void reply_add_exchange(struct reply *reply, struct exchange *x)
{
	const struct answer_about *given = lookup_about(x);
	size_t n;

	reply_add_id(reply, x->request_id);
	if (given != NULL && x->err.code == ERR_OK) {
		id_write_request(&given->request, reply->replay_of);
		reply_add(reply, "idempotent-replayed", SPAN("true"));
		reply_add(reply, "x-sluice-replay-of", span_of(reply->replay_of));
		if (given->provider[0] != '\0') {
			reply_add(reply, "x-sluice-provider", span_of(given->provider));
			reply_add(reply, "x-sluice-model", span_of(given->model));
		}
	}
	if (x->provider != NULL) {
		reply_add(reply, "x-sluice-provider", x->provider->name);
		reply_add(reply, "x-sluice-model", x->target);
	}
	if (x->policy.n > 0)
		reply_add(reply, "x-sluice-policy", x->policy);
	n = text_write_u64(reply->attempts, (uint64_t)(x->attempts > 0 ? x->attempts : 0) % 1000);
	reply_add(reply, "x-sluice-attempts", span_from(reply->attempts, n));
	n = text_write_u64(
		reply->latency, (uint64_t)(x->overhead_us > 0 ? x->overhead_us : 0) / 1000);
	reply_add(reply, "x-sluice-latency-ms", span_from(reply->latency, n));
	if (x->step >= STEP_SETTLE && x->answer == ANSWER_PLAIN)
		reply_add(reply, "x-sluice-cost",
			x->cost_nusd != COST_UNKNOWN ? price_write(x->cost_nusd, reply->cost)
						     : SPAN("unknown"));
	if (x->upstream_id.n > 0)
		reply_add(reply, "x-sluice-upstream-id", x->upstream_id);
	if (x->cap_lowered)
		reply_add(reply, "x-sluice-output-cap",
			span_from(reply->cap, text_write_u64(reply->cap, (uint64_t)x->output_cap)));
	if (x->hint != NULL)
		reply_add(reply, "x-sluice-hint", span_of(x->hint));
	if (x->translation != NULL)
		add_warnings(reply, x);
	else if (x->local)
		reply_add(reply, "x-sluice-warnings", SPAN("estimate:input_tokens"));
	if (x->rates != NULL) {
		add_rate(reply, x, &x->rates->requests, "requests");
		add_rate(reply, x, &x->rates->tokens, "tokens");
	}
	for (int i = 0; i < x->n_passed && reply->http.n < EXCHANGE_MAX_FIELDS - 4; i++)
		if (x->rates == NULL || span_find(x->passed[i].name, SPAN("ratelimit")) < 0)
			reply->fields[reply->http.n++] = x->passed[i];
	if (x->request != NULL)
		reply_add_cors(reply, x->snapshot, request_head(x->request));
}

/* RFC 9110 section 15.5.6: a 405 says what would be allowed. */
static void add_allow(struct reply *reply, const struct endpoint *e)
{
	if (e != NULL)
		reply_add(reply, "allow",
			e->method == HTTP_POST ? SPAN("POST, OPTIONS")
					       : SPAN("GET, HEAD, OPTIONS"));
}

void reply_error(struct exchange_env *env, struct http_request *r, const struct dialect *d,
	const struct err *err)
{
	char request_id[ID_REQUEST_CHARS + 1];
	const struct http_head *head = request_head(r);
	const struct endpoint *e = endpoint_find(head->method, head->path).endpoint;
	struct reply reply __attribute__((uninitialized));
	struct buf body;
	struct id id;

	exchange_make_id(env, &id);
	id_write_request(&id, request_id);
	buf_init(&body, 16384);
	d->write_error(err, "router", request_id, NULL, NULL, &body);
	reply_init(&reply, d->status(err), "application/json");
	reply_add_id(&reply, request_id);
	if (err_row(err->code)->retry == RETRY_LATER && reply.http.status != 408)
		reply_add(&reply, "retry-after", SPAN("1"));
	if (err->code == ERR_METHOD)
		add_allow(&reply, e);
	reply_add_cors(&reply, env->snapshot, head);
	meters_local(env, e, r, request_id, reply.http.status, err);
	request_answer(r, &reply.http, buf_span(&body));
	buf_done(&body);
}
