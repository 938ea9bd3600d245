/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "exchange/exchange.h"
#include "machine/base/text.h"
#include "state/ledger/budget.h"
#include "state/ledger/price.h"

/*
 * Hard limits. What a request can cost at most is held before its provider is called: the prompt
 * has no more tokens than bytes, the answer is capped, and the cap is lowered to what can be paid.
 */

#define MIN_OUTPUT 16          /* a lower cap is no answer */
#define PROMPT_OVERHEAD 2048   /* tokens that a provider adds to a prompt by itself */
#define ADDRESSED_MEDIA 100000 /* tokens of what is named by its address, without a window */
#define BYTES_PER_TOKEN 4      /* about, before the provider has counted */
#define TRIES 4                /* others take holds between a look and a hold */

static bool is_text(enum llm_op op)
{
	return op == LLM_OP_CHAT || op == LLM_OP_MESSAGES || op == LLM_OP_RESPONSES;
}

static bool has_addresses(const struct exchange *x)
{
	struct span body = buf_span(&x->body);

	return span_find(body, SPAN("\"http")) >= 0 || span_find(body, SPAN("file_id")) >= 0;
}

static int64_t input_bound(const struct exchange *x)
{
	int64_t window = x->model->context_window;
	int64_t bound = (int64_t)x->text_bytes + PROMPT_OVERHEAD;

	if (has_addresses(x))
		bound = window > 0 ? window : bound + ADDRESSED_MEDIA;
	return window > 0 && bound > window ? window : bound;
}

/* Of one answer; -1: nobody knows. */
static int64_t output_bound(const struct exchange *x)
{
	int64_t cap = x->facts.max_output, most = x->model->max_output;

	if (x->endpoint->op == LLM_OP_EMBEDDINGS)
		return 0;
	if (!is_text(x->endpoint->op))
		return -1;
	if (cap < 0)
		return most > 0 ? most : -1;
	return most > 0 && cap > most ? most : cap;
}

/* How a message calls the scope. */
static void call_scope(const struct exchange *x, const char *name, char out[BUDGET_MAX_NAME])
{
	if (name[0] != '\0')
		memcpy(out, name, strlen(name) + 1);
	else
		snprintf(out, BUDGET_MAX_NAME, "Key \"%s\"", x->who.name);
}

static bool refuse_unbounded(struct exchange *x, const struct budget_state *s, const char *why)
{
	char called[BUDGET_MAX_NAME];

	call_scope(x, s->name, called);
	return err_set(&x->err, ERR_BAD_REQUEST,
		"%s has a spending limit, and what this request can cost at most is not known: %s",
		called, why);
}

static void write_money(char out[40], int64_t nusd)
{
	char text[32];
	struct span s = price_write(nusd, text);

	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

/* Never worth a retry when the money is spent; soon worth one when it is only held. */
static bool refuse(struct exchange *x, const struct budget_state *s, int64_t amount)
{
	char called[BUDGET_MAX_NAME], limit[40], spent[40], held[40], needed[40], when[32];

	call_scope(x, s->name, called);
	write_money(limit, s->limit);
	write_money(spent, s->settled);
	write_money(held, s->held);
	write_money(needed, amount);
	text_rfc3339(when, s->resets_ms);
	x->retry_after_s = s->settled < s->limit && amount <= s->limit - s->settled ? 5 : 0;
	x->status = x->snapshot->conf->spend_limit_status;
	return err_set(&x->err, ERR_PAYMENT,
		"%s has spent $%s of its %s limit of $%s ($%s is held by requests that run); this "
		"request can cost up to $%s. The limit resets at %s",
		called, spent, limit_period_name(s->period), limit, held, needed, when);
}

/* The most output that the room pays for, for each of `choices` answers. */
static int64_t affordable(const struct exchange *x, int64_t room, int64_t input, int64_t output)
{
	int64_t choices = x->facts.choices, lo = 0, hi = output, cost;

	while (lo < hi) {
		int64_t middle = lo + (hi - lo + 1) / 2;

		if (price_bound(x->model, input, middle * choices, &cost) && cost <= room)
			lo = middle;
		else
			hi = middle - 1;
	}
	return lo;
}

/* In the order in which a refusal names them. */
static int scopes_of(const struct exchange *x, struct id out[BUDGET_MAX_SCOPES])
{
	const struct key_owners *o = &x->who.owners;
	const struct id *const all[] = {
		&scope_org_id, &o->group_id, &o->project_id, &o->user_id, &x->who.key_id};
	int n = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!id_is_none(all[i]))
			out[n++] = *all[i];
	return n;
}

static struct budget_state look(const struct exchange *x)
{
	struct id scopes[BUDGET_MAX_SCOPES];
	int n = scopes_of(x, scopes);

	return budget_tightest(x->env->budget, scopes, n, x->wall_ms);
}

static bool try_hold(struct exchange *x, const struct budget_state *s, int64_t input,
	int64_t output, bool *taken)
{
	int64_t room = s->limit - s->settled - s->held, cap, amount, least;
	int64_t smallest = output < MIN_OUTPUT ? output : MIN_OUTPUT;
	struct id scopes[BUDGET_MAX_SCOPES];
	int n = scopes_of(x, scopes);
	struct budget_state now;

	*taken = false;
	if (!price_bound(x->model, input, smallest * x->facts.choices, &least))
		return refuse_unbounded(x, s, "the model's price is not known");
	if (room < least)
		return refuse(x, s, least);
	cap = affordable(x, room, input, output);
	if (!price_bound(x->model, input, cap * x->facts.choices, &amount))
		return refuse_unbounded(x, s, "the model's price is not known");
	*taken = budget_hold(x->env->budget, scopes, n, amount, x->wall_ms, &x->hold, &now);
	if (*taken && is_text(x->endpoint->op) && (cap < output || x->facts.max_output < 0))
		x->output_cap = cap;
	x->cap_lowered = *taken && cap < output;
	return true;
}

bool hold_most(const struct exchange *x, int64_t *nusd)
{
	int64_t output;

	*nusd = x->hold.amount;
	if (x->hold.amount > 0)
		return true;
	if (x->model == NULL)
		return false;
	output = output_bound(x);
	return output >= 0 &&
	       price_bound(x->model, input_bound(x), output * x->facts.choices, nusd);
}

static bool refuse_rate(struct exchange *x, const struct budget_rates *r)
{
	long long limit = (long long)r->limit;
	char called[BUDGET_MAX_NAME];

	call_scope(x, r->name, called);
	x->retry_after_s = (int)((r->retry_ms + 999) / 1000);
	x->status = 429;
	if (r->refused == RATE_IN_FLIGHT)
		return err_set(&x->err, ERR_RATE_LIMITED,
			"%s may have %lld requests at once, and so many run; try again when one "
			"has ended",
			called, limit);
	return err_set(&x->err, ERR_RATE_LIMITED, "%s may make %lld %s a minute; try again in %d s",
		called, limit, r->refused == RATE_REQUESTS ? "requests" : "tokens",
		x->retry_after_s);
}

/* Counting tokens asks nobody: it is no request of a rate. */
bool hold_admit(struct exchange *x)
{
	int64_t tokens = (int64_t)((x->text_bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN);
	struct id scopes[BUDGET_MAX_SCOPES];
	struct budget_rates rates;
	bool ok;

	if (x->endpoint->op == LLM_OP_COUNT_TOKENS || x->admitted)
		return true;
	ok = budget_admit(
		x->env->budget, scopes, scopes_of(x, scopes), tokens, x->wall_ms, &x->pass, &rates);
	if (rates.requests.limit > 0 || rates.tokens.limit > 0) {
		x->rates = ARENA_NEW(&x->arena, struct budget_rates);
		if (x->rates != NULL)
			*x->rates = rates;
	}
	x->admitted = ok;
	return ok || refuse_rate(x, &rates);
}

bool hold_take(struct exchange *x)
{
	struct budget_state s = look(x);
	int64_t input, output;
	bool taken = false;

	if (s.limit == 0 || x->endpoint->op == LLM_OP_COUNT_TOKENS)
		return true;
	if (x->model == NULL)
		return refuse_unbounded(x, &s, "the model is not in the catalogue");
	input = input_bound(x);
	output = output_bound(x);
	if (output < 0)
		return refuse_unbounded(x, &s,
			is_text(x->endpoint->op) ? "give a limit of output tokens"
						 : "pictures and sound are not priced before "
						   "they are made");
	for (int i = 0; i < TRIES && !taken; i++) {
		if (!try_hold(x, &s, input, output, &taken))
			return false;
		if (!taken)
			s = look(x);
	}
	return taken || refuse(x, &s, s.limit - s.settled);
}

/*
 * What may be spent is in the journal before it can be: after a crash it counts as spent, until
 * somebody corrects it.
 */
enum move step_hold(struct exchange *x)
{
	if (!x->hold.open || x->local)
		return MOVE_NEXT;
	return close_hold_record(x) ? MOVE_WAIT : MOVE_FAIL;
}

void hold_spend(struct exchange *x, int64_t cost)
{
	struct id scopes[BUDGET_MAX_SCOPES];

	budget_spend(x->env->budget, scopes, scopes_of(x, scopes), cost, x->wall_ms);
}

void hold_settle(struct exchange *x)
{
	int64_t cost = x->cost_nusd;
	struct sys *sys = x->env->loop->sys;

	budget_leave(x->env->budget, &x->pass, llm_usage_input(&x->usage) + x->usage.output,
		sys->wall_ms(sys));
	if (x->hold.open)
		budget_settle(
			x->env->budget, &x->hold, cost != COST_UNKNOWN ? cost : x->hold.amount);
	else if (cost > 0)
		hold_spend(x, cost);
}
