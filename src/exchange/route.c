/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include "machine/base/text.h"
#include "meaning/route/attempt.h"
#include "meaning/route/plan.h"
#include "state/auth/access.h"

/*
 * A policy's targets one after the other, until one answers. Only while the client has nothing: the
 * head leaves with the first content, and what a provider sent before that is thrown away with its
 * attempt.
 */

#define MAX_MODEL_BYTES 512 /* it goes back in a field of the answer's head */

struct routing {
	const struct policy *policy; /* of the exchange's snapshot */
	struct plan plan;
	int at;    /* the target of this attempt */
	int tries; /* retries made at it */
	int64_t deadline_ms;
};

/* ---- which targets ---- */

static bool choose_model(struct exchange *x)
{
	if (x->facts.model.n == 0 && x->snapshot->conf->default_model != NULL)
		x->facts.model = span_of(x->snapshot->conf->default_model);
	x->target = x->facts.model;
	if (x->target.n > 0 && x->target.n <= MAX_MODEL_BYTES)
		return true;
	err_param(&x->err, "model");
	if (x->target.n == 0)
		return err_set(&x->err, ERR_BAD_REQUEST,
			"model is missing; name one as provider/model, for example "
			"openai/gpt-4o-mini");
	return err_set(
		&x->err, ERR_BAD_REQUEST, "The model's name is over %d bytes", MAX_MODEL_BYTES);
}

static const struct policy *find_policy(void *user, struct span name)
{
	const struct exchange *x = user;

	return snapshot_policy(x->snapshot, name);
}

static bool allows(void *user, struct span model)
{
	const struct exchange *x = user;
	char list[129];

	return access_allows(auth_access(x->env->auth), &x->who, x->endpoint->op, model, list);
}

static bool refuse_unknown(struct exchange *x, struct span name)
{
	const struct snapshot *s = x->snapshot;
	const char *names[64], *nearest;
	int n = 0;

	for (int i = 0; i < s->n_policies && n < 63; i++)
		names[n++] = arena_cstr(&x->arena, s->policies[i].name);
	names[n] = NULL;
	nearest = x->arena.failed ? NULL : text_nearest(name, names);
	err_param(&x->err, "model");
	return err_set(&x->err, ERR_MODEL_NOT_FOUND, "There is no policy \"%.*s\"%s%s%s",
		SPAN_ARG(span_head(name, POLICY_MAX_NAME)),
		nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
		nearest != NULL ? "\"?" : "");
}

static bool is_out(const struct exchange *x, const struct routing *r, int at)
{
	return health_is_out(&x->env->health, r->plan.targets[at].model, loop_now_ms(x->env->loop));
}

/*
 * The first target from `at` on that is not out, and not of the provider `except` (empty: of any).
 * When all are out, the first of them: an attempt that probably fails is better than none. n: there
 * is no such target.
 */
static int next_target(
	const struct exchange *x, const struct routing *r, int at, struct span except)
{
	int out = r->plan.n;

	for (int i = at; i < r->plan.n; i++) {
		struct span rest = r->plan.targets[i].model, provider = span_cut(&rest, '/');

		if (except.n > 0 && span_eq(provider, except))
			continue;
		if (!is_out(x, r, i))
			return i;
		if (out == r->plan.n)
			out = i;
	}
	return out;
}

static void begin_attempt(struct exchange *x, const struct routing *r)
{
	x->target = r->plan.targets[r->at].model;
	health_enter(&x->env->health, x->target, loop_now_ms(x->env->loop));
}

static bool plan_targets(struct exchange *x, struct span name)
{
	const struct plan_ask ask = {.trace_id = x->meta.trace_id,
		.user_id = x->meta.user_id,
		.request_id = span_of(x->request_id),
		.find = find_policy,
		.allows = allows,
		.user = x};
	const struct policy *policy = snapshot_policy(x->snapshot, name);
	struct routing *r;

	if (policy == NULL)
		return refuse_unknown(x, name);
	r = ARENA_NEW(&x->arena, struct routing);
	if (r == NULL || !plan_make(policy, &ask, &x->arena, &r->plan))
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	r->policy = policy;
	if (r->plan.n == 0) {
		err_param(&x->err, "model");
		return err_set(&x->err, ERR_FORBIDDEN,
			"Provider blocked by policy: key \"%s\" may use none of the models of "
			"policy \"%.*s\"",
			x->who.name, SPAN_ARG(name));
	}
	r->deadline_ms = loop_now_ms(x->env->loop) + policy->deadline_ms;
	x->routing = r;
	x->policy = policy->name;
	r->at = next_target(x, r, 0, (struct span){NULL, 0});
	begin_attempt(x, r);
	return true;
}

enum move step_route(struct exchange *x)
{
	struct span policy;

	if (!choose_model(x))
		return MOVE_FAIL;
	policy = policy_name_in(x->target);
	return policy.p == NULL || plan_targets(x, policy) ? MOVE_NEXT : MOVE_FAIL;
}

/* ---- from one attempt to the next ---- */

bool route_may_go_on(const struct exchange *x)
{
	const struct routing *r = x->routing;

	return r != NULL && !x->begun && !x->gated && !x->left &&
	       (r->at + 1 < r->plan.n || r->tries < r->plan.targets[r->at].retries);
}

static struct span passed_field(const struct exchange *x, const char *name)
{
	for (int i = 0; i < x->n_passed; i++)
		if (span_eq_nocase(x->passed[i].name, span_of(name)))
			return x->passed[i].value;
	return (struct span){NULL, 0};
}

/* The milliseconds to wait before the same target is tried again; -1: it is not. */
static int wait_again(struct exchange *x, struct routing *r)
{
	int64_t asked = attempt_retry_after_ms(
		passed_field(x, "retry-after"), passed_field(x, "retry-after-ms"));
	uint64_t chance;

	if (r->tries >= r->plan.targets[r->at].retries ||
		(is_out(x, r, r->at) && r->at + 1 < r->plan.n))
		return -1;
	memcpy(&chance, x->id.bytes + sizeof(x->id.bytes) - sizeof(chance), sizeof(chance));
	chance = (chance ^ (uint64_t)x->attempts) * 0x9e3779b97f4a7c15u;
	return attempt_wait_ms(r->tries + 1, x->err.code, asked, chance >> 32);
}

/* Moves to the attempt that follows; how long to wait for it, or -1: there is none. */
static int go_on(struct exchange *x, struct routing *r)
{
	enum attempt_next next = attempt_after(x->err.code, x->err_from_provider);
	struct span except = {NULL, 0};
	int wait = -1;

	if (next == ATTEMPT_STOP || !route_may_go_on(x))
		return -1;
	if (next == ATTEMPT_AGAIN)
		wait = wait_again(x, r);
	if (wait >= 0) {
		r->tries++;
	} else {
		if (next == ATTEMPT_OTHER_PROVIDER)
			except = x->name.provider;
		wait = 0;
		r->tries = 0;
		r->at = next_target(x, r, r->at + 1, except);
	}
	if (r->at >= r->plan.n || loop_now_ms(x->env->loop) + wait > r->deadline_ms)
		return -1;
	return wait;
}

/* All that the attempt made is undone; what the request said stays. */
static void forget_attempt(struct exchange *x)
{
	size_t event_bytes = (size_t)x->snapshot->conf->max_event_bytes;

	translate_done(x->translation);
	embed_done(x->embedding);
	sse_done(&x->sse);
	sse_init(&x->sse, event_bytes);
	eventstream_done(&x->frames);
	eventstream_init(&x->frames, event_bytes);
	buf_clear(&x->held);
	x->translation = NULL;
	x->embedding = NULL;
	x->provider = NULL;
	x->place = NULL;
	x->model = NULL;
	x->tap = NULL;
	x->token = x->upstream_id = x->upstream_type = x->usage_raw = (struct span){NULL, 0};
	x->hold = (struct budget_hold){0};
	x->output_cap = x->plain_output_bytes = x->cost_nusd = 0;
	x->answer = ANSWER_NONE;
	x->upstream_status = x->n_passed = x->n_body = x->status = x->retry_after_s = 0;
	x->trickle = 0;
	x->cap_lowered = x->held_back = x->binary = x->local = x->paused = false;
	x->error_sent = x->final_usage = x->sent = x->not_http = x->err_from_provider = false;
	x->native_type[0] = x->native_code[0] = '\0';
	x->usage = (struct llm_usage){0};
	x->err = (struct err){0};
	exchange_count_bytes(x);
}

static void on_wait(struct timer *t)
{
	struct exchange *x = LIST_ITEM(t, struct exchange, timer);

	if (x->step == STEP_RETRY)
		exchange_advance(x);
}

/* What a target did wrong by itself counts; what it rightly refused does not. */
static void note_failure(struct exchange *x)
{
	if (attempt_after(x->err.code, x->err_from_provider) == ATTEMPT_AGAIN)
		health_note(&x->env->health, x->target, true, loop_now_ms(x->env->loop));
}

void route_succeeded(struct exchange *x)
{
	if (x->routing != NULL)
		health_note(&x->env->health, x->target, false, loop_now_ms(x->env->loop));
}

enum move step_retry(struct exchange *x)
{
	struct routing *r = x->routing;
	int wait = -1;

	if (r != NULL) {
		note_failure(x);
		wait = go_on(x, r);
	}
	if (wait < 0) {
		if (x->held_back && !x->gated) /* nothing of it was an answer */
			buf_clear(&x->held);
		return MOVE_FAIL;
	}
	relay_cancel(x);
	close_attempt(x);
	forget_attempt(x);
	begin_attempt(x, r);
	/* Also without a wait: the next call does not begin inside the last one's events. */
	x->timer.fire = on_wait;
	timer_start(&x->timer, wait);
	return MOVE_WAIT;
}
