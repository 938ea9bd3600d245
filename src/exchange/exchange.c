/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include <assert.h>
#include <stdlib.h>
#include "state/ledger/price.h"

struct step_row {
	const char *name;
	enum move (*run)(struct exchange *x);
	enum step next, on_failure;
	unsigned legal; /* steps it may follow, as bits */
	const char *waits_for;
};

#define AFTER(step) (1u << (step))

/*
 * The life of a request. Before it, service.c finds the endpoint and intake.c the key (from the
 * head alone), so that a refused request's body is never read.
 */
static const struct step_row rows[STEP_COUNT] = {
	[STEP_RECEIVE] = {"receive", step_receive, STEP_DECODE, STEP_SETTLE, 0,
		"the client's body"},
	[STEP_DECODE] = {"decode", step_decode, STEP_LOOKUP, STEP_SETTLE, AFTER(STEP_RECEIVE), "-"},
	[STEP_LOOKUP] = {"lookup", step_lookup, STEP_ROUTE, STEP_SETTLE, AFTER(STEP_DECODE),
		"another request that makes the same answer"},
	[STEP_ROUTE] = {"route", step_route, STEP_PLAN, STEP_SETTLE, AFTER(STEP_LOOKUP), "-"},
	[STEP_PLAN] = {"plan", step_plan, STEP_FETCH, STEP_RETRY,
		AFTER(STEP_ROUTE) | AFTER(STEP_RETRY), "-"},
	[STEP_FETCH] = {"fetch", step_fetch, STEP_CREDENTIAL, STEP_RETRY,
		AFTER(STEP_PLAN) | AFTER(STEP_RELAY),
		"servers of pictures and files, until timeouts.media each"},
	[STEP_CREDENTIAL] = {"credential", step_credential, STEP_HOLD, STEP_RETRY,
		AFTER(STEP_FETCH), "the server that gives the provider's tokens, 15 s"},
	[STEP_HOLD] = {"hold", step_hold, STEP_DISPATCH, STEP_RETRY, AFTER(STEP_CREDENTIAL),
		"the journal, until the end of the loop's turn"},
	[STEP_DISPATCH] = {"dispatch", step_dispatch, STEP_RELAY, STEP_RETRY, AFTER(STEP_HOLD),
		"the provider's head, until connect_ms and head_ms"},
	[STEP_RELAY] = {"relay", step_relay, STEP_SETTLE, STEP_RETRY, AFTER(STEP_DISPATCH),
		"both sockets, until first_event_ms, idle_ms, total_ms"},
	[STEP_RETRY] = {"retry", step_retry, STEP_PLAN, STEP_SETTLE,
		AFTER(STEP_PLAN) | AFTER(STEP_FETCH) | AFTER(STEP_CREDENTIAL) | AFTER(STEP_HOLD) |
			AFTER(STEP_DISPATCH) | AFTER(STEP_RELAY),
		"the time between two attempts"},
	[STEP_SETTLE] = {"settle", step_settle, STEP_FINISH, STEP_FINISH,
		AFTER(STEP_RECEIVE) | AFTER(STEP_DECODE) | AFTER(STEP_LOOKUP) | AFTER(STEP_ROUTE) |
			AFTER(STEP_RELAY) | AFTER(STEP_RETRY),
		"the journal, until the end of the loop's turn"},
	[STEP_FINISH] = {"finish", step_finish, STEP_LINGER, STEP_LINGER, AFTER(STEP_SETTLE), "-"},
	[STEP_LINGER] = {"linger", step_linger, STEP_LINGER, STEP_LINGER, AFTER(STEP_FINISH),
		"the provider's own end of an answer that is complete, 1 s"},
};

const char *exchange_step_name(enum step s)
{
	return rows[s].name;
}

/* The only writer of x->step. */
static void enter(struct exchange *x, enum step to)
{
	assert((rows[to].legal & AFTER(x->step)) != 0);
	x->step = to;
}

static void run(struct exchange *x)
{
	for (;;) {
		const struct step_row *row = &rows[x->step];

		switch (row->run(x)) {
		case MOVE_WAIT:
			return;
		case MOVE_END:
			exchange_free(x);
			return;
		case MOVE_NEXT:
			enter(x, row->next);
			break;
		case MOVE_FAIL:
			assert(x->err.code != ERR_OK);
			enter(x, row->on_failure);
			break;
		case MOVE_ANSWERED:
			enter(x, row->on_failure);
			break;
		}
	}
}

void exchange_begin(struct exchange *x)
{
	run(x);
}

void exchange_advance(struct exchange *x)
{
	enter(x, rows[x->step].next);
	run(x);
}

void exchange_again(struct exchange *x)
{
	x->answer = ANSWER_NONE;
	x->n_passed = 0;
	buf_clear(&x->held);
	x->attempts--; /* it is no second try */
	enter(x, STEP_FETCH);
	run(x);
}

void exchange_answered(struct exchange *x)
{
	enter(x, rows[x->step].on_failure);
	run(x);
}

void exchange_fail(struct exchange *x)
{
	assert(x->err.code != ERR_OK);
	enter(x, rows[x->step].on_failure);
	run(x);
}

void exchange_count_bytes(struct exchange *x)
{
	size_t now = x->body.cap + x->held.cap + x->sse.held.cap + x->sse.joined.cap +
		     x->frames.held.cap +
		     (x->translation != NULL ? translate_bytes(x->translation) : 0) +
		     embed_bytes(x->embedding);

	if (now == x->buffered)
		return;
	x->env->buffered_bytes += (int64_t)now - (int64_t)x->buffered;
	x->buffered = now;
}

struct span exchange_cost_text(const struct exchange *x, const struct llm_usage *u, char out[32])
{
	int64_t nusd;

	if (x->model == NULL || !price_of(x->model, u, &nusd))
		return (struct span){NULL, 0};
	return price_write(nusd, out);
}

bool exchange_is_full(const struct exchange_env *env, int64_t more)
{
	return env->buffered_bytes + http_server_pending(env->server) + more >
	       env->max_buffered_bytes;
}

void exchange_make_id(struct exchange_env *env, struct id *id)
{
	struct sys *sys = env->loop->sys;

	if (env->random_left < 10) {
		/* Ids must differ, they need not be secret: a failing generator leaves time and
		 * counter. */
		if (!sys->random(sys, env->random, sizeof(env->random)))
			for (size_t i = 0; i < sizeof(env->random); i++)
				env->random[i] = (uint8_t)(env->random[i] * 7 + i +
							   (size_t)loop_now_us(env->loop));
		env->random_left = sizeof(env->random);
	}
	id_make(id, sys->wall_ms(sys), env->random + sizeof(env->random) - env->random_left);
	env->random_left -= 10;
}

void exchange_free(struct exchange *x)
{
	assert(x->call == NULL && x->request == NULL && x->writer == NULL);
	journal_forget(&x->waiter);
	timer_done(&x->timer);
	if (x->left) {
		timer_done(&x->left_timer);
		x->env->n_left--;
	}
	fetch_cancel(x);
	credential_cancel(x);
	buf_done(&x->body);
	buf_done(&x->held);
	sse_done(&x->sse);
	eventstream_done(&x->frames);
	translate_done(x->translation);
	x->translation = NULL;
	embed_done(x->embedding);
	x->embedding = NULL;
	exchange_count_bytes(x);
	snapshot_unref(x->snapshot);
	arena_done(&x->arena);
	list_remove(&x->node);
	x->env->n_exchanges--;
	free(x);
}

void exchange_shutdown_all(struct exchange_env *env)
{
	env->draining = true;
	LIST_EACH_SAFE(pos, &env->exchanges)
	{
		struct exchange *x = LIST_ITEM(pos, struct exchange, node);

		switch (x->step) {
		case STEP_SETTLE: /* the journal is about to call; nothing lingers behind it */
			relay_cancel(x);
			break;
		case STEP_LINGER:
			relay_cancel(x);
			exchange_free(x);
			break;
		default:
			relay_cancel(x);
			err_set(&x->err, ERR_SHUTTING_DOWN, NULL);
			exchange_fail(x);
		}
	}
	credential_stop(env);
}

bool exchange_env_init(struct exchange_env *env, struct err *err)
{
	list_init(&env->exchanges);
	credential_init(env);
	buf_init(&env->out, 64u << 20);
	env->scratch.n = 128u << 10;
	env->scratch.mem = malloc(env->scratch.n);
	env->meters = meters_new(env);
	if (env->scratch.mem == NULL || env->meters == NULL) {
		exchange_env_done(env);
		return err_set(err, ERR_NO_MEMORY, NULL);
	}
	return true;
}

void exchange_env_done(struct exchange_env *env)
{
	assert(env->n_exchanges == 0);
	credential_done(env);
	health_done(&env->health);
	buf_done(&env->out);
	free(env->scratch.mem);
	env->scratch.mem = NULL;
	meters_free(env->meters);
	env->meters = NULL;
	tls_context_unref(env->media_tls);
	env->media_tls = NULL;
}
