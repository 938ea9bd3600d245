/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include "machine/base/text.h"
#include "state/auth/access.h"

static bool find_provider(struct exchange *x)
{
	const struct snapshot *s = x->snapshot;
	const char *names[64];
	const char *nearest;
	int n = 0;

	x->provider = snapshot_provider(s, x->name.provider);
	if (x->provider != NULL)
		return true;
	for (int i = 0; i < s->n_providers && n < 63; i++)
		names[n++] = arena_cstr(&x->arena, s->providers[i].name);
	names[n] = NULL;
	nearest = x->arena.failed ? NULL : text_nearest(x->name.provider, names);
	err_param(&x->err, "model");
	return err_set(&x->err, ERR_MODEL_NOT_FOUND,
		"Provider and/or model not supported: there is no provider \"%.*s\"%s%s%s",
		(int)(x->name.provider.n > 64 ? 64 : x->name.provider.n), x->name.provider.p,
		nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
		nearest != NULL ? "\"?" : "");
}

static bool read_target(struct exchange *x)
{
	if (model_name_read(x->target, &x->name, &x->err))
		return find_provider(x);
	err_param(&x->err, "model");
	return false;
}

static bool edit_body(struct exchange *x)
{
	struct pass_edit change = {.model = x->upstream_model,
		.ask_usage = x->op == LLM_OP_CHAT && x->facts.stream && !x->facts.wants_usage &&
			     !x->quirks.no_stream_options,
		.body_version = x->quirks.body_version,
		.cap = x->output_cap,
		.old_cap = x->quirks.max_tokens};
	struct json_edit edit;

	json_edit_init(&edit, &x->arena, buf_span(&x->body));
	x->dialect->edit_request(x->op, &x->facts, &change, &edit);
	x->n_body = json_edit_spans(
		&edit, x->body_spans, sizeof(x->body_spans) / sizeof(x->body_spans[0]));
	return (x->n_body >= 0 && !x->arena.failed) || err_set(&x->err, ERR_NO_MEMORY, NULL);
}

static bool is_served(const struct exchange *x)
{
	return provider_path(&x->provider->setup, x->op, x->upstream_model) != NULL;
}

/* The formats that can be written for a provider. */
#define TRANSLATED                                                                                 \
	(1u << LLM_OP_CHAT | 1u << LLM_OP_MESSAGES | 1u << LLM_OP_RESPONSES |                      \
		1u << LLM_OP_GENERATE | 1u << LLM_OP_CONVERSE | 1u << LLM_OP_COHERE |              \
		1u << LLM_OP_EMBEDDINGS)

/* "model@region": only where the operator has set the provider up. */
static bool choose_place(struct exchange *x)
{
	const struct provider_setup *setup = &x->provider->setup;
	struct span region = provider_region(setup, &x->name);

	x->upstream_model = provider_model(setup, &x->name);
	x->place = snapshot_place(x->provider, region);
	if (x->place != NULL)
		return true;
	err_param(&x->err, "model");
	return err_set(&x->err, ERR_MODEL_NOT_FOUND,
		"Provider \"%.*s\" is not set up for region \"%.*s\"", SPAN_ARG(x->provider->name),
		SPAN_ARG(region));
}

/* The operation to ask of the provider: the client's own, or the format it is translated to. */
static bool choose_op(struct exchange *x)
{
	const struct provider_setup *setup = &x->provider->setup;
	unsigned known = x->dialect->codec != NULL ? TRANSLATED : 0;

	x->op = provider_op(setup, x->endpoint->op, x->upstream_model, known);
	if (x->op == LLM_OP_COUNT && x->endpoint->op == LLM_OP_COUNT_TOKENS &&
		x->dialect->codec != NULL)
		x->op = LLM_OP_COUNT_TOKENS; /* counted here */
	if (x->op == LLM_OP_COUNT) {
		x->op = x->endpoint->op;
		err_param(&x->err, "model");
		return err_set(&x->err, ERR_NO_OPERATION,
			"Provider \"%.*s\" (type %s) does not serve %s",
			SPAN_ARG(x->provider->name), setup->type->name, llm_op_name(x->op));
	}
	provider_quirks(setup->type, x->op, x->upstream_model, &x->quirks);
	return true;
}

/*
 * Reasoning that another provider made came back in the client's own format: translation leaves out
 * what this provider could not read.
 */
static bool has_foreign_state(const struct exchange *x)
{
	return span_find(buf_span(&x->body), SPAN("\"" LLM_STATE_PREFIX)) >= 0;
}

/* Under the name that the client uses, else under the provider's own. */
static const struct llm_model *find_facts(struct exchange *x)
{
	const struct llm_model *m = snapshot_model(x->snapshot, x->target);
	const struct span own[] = {x->name.provider, SPAN("/"), x->upstream_model};

	if (m != NULL || span_eq(x->upstream_model, x->name.full))
		return m;
	return snapshot_model(x->snapshot, arena_join(&x->arena, own, 3));
}

/* Access lists and approved models. */
static bool may_use(struct exchange *x)
{
	const struct span parts[] = {x->name.provider, SPAN("/"), x->name.full};
	struct span model = arena_join(&x->arena, parts, 3);
	char list[129];

	if (x->arena.failed)
		return err_set(&x->err, ERR_NO_MEMORY, NULL);
	if (access_allows(auth_access(x->env->auth), &x->who, x->endpoint->op, model, list))
		return true;
	err_param(&x->err, "model");
	return err_set(&x->err, ERR_FORBIDDEN,
		"Provider blocked by policy: access list \"%s\" does not have %.*s for %s "
		"requests of key \"%s\"",
		list, SPAN_ARG(text_head(model, 128)), access_kind(x->endpoint->op), x->who.name);
}

enum move step_plan(struct exchange *x)
{
	bool ok;

	if (!read_target(x) || !may_use(x) || !choose_place(x) || !choose_op(x))
		return MOVE_FAIL;
	x->model = find_facts(x);
	if (!hold_admit(x) || !hold_take(x))
		return MOVE_FAIL;
	if (x->op == LLM_OP_COUNT_TOKENS && !is_served(x))
		ok = count_locally(x);
	else if (embed_is_needed(x))
		ok = embed_read(x);
	else if (x->op == x->endpoint->op && !(x->dialect->codec != NULL && has_foreign_state(x)))
		ok = x->form.boundary.n > 0 ? form_edit(x) : edit_body(x);
	else
		ok = translate_read(x);
	return ok ? MOVE_NEXT : MOVE_FAIL;
}

enum move step_fetch(struct exchange *x)
{
	if (x->embedding != NULL)
		return embed_write(x) ? MOVE_NEXT : MOVE_FAIL;
	if (x->translation == NULL)
		return MOVE_NEXT;
	if (fetch_count(x) == 0)
		return translate_write(x) ? MOVE_NEXT : MOVE_FAIL;
	return fetch_start(x) ? MOVE_WAIT : MOVE_FAIL;
}
