/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/exchange.h"
#include "machine/base/text.h"

#define MAX_MODEL_BYTES 512 /* it goes back in a field of the answer's head */

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

static bool choose_model(struct exchange *x)
{
	if (x->facts.model.n == 0 && x->snapshot->conf->default_model != NULL)
		x->facts.model = span_of(x->snapshot->conf->default_model);
	if (x->facts.model.n == 0) {
		err_param(&x->err, "model");
		return err_set(&x->err, ERR_BAD_REQUEST,
			"model is missing; name one as provider/model, for example "
			"openai/gpt-4o-mini");
	}
	if (x->facts.model.n > MAX_MODEL_BYTES) {
		err_param(&x->err, "model");
		return err_set(&x->err, ERR_BAD_REQUEST, "The model's name is over %d bytes",
			MAX_MODEL_BYTES);
	}
	if (!model_name_read(x->facts.model, &x->name, &x->err)) {
		err_param(&x->err, "model");
		return false;
	}
	return find_provider(x);
}

enum move step_plan(struct exchange *x)
{
	enum llm_op op = x->endpoint->op;
	struct pass_edit change;
	struct json_edit edit;

	if (!choose_model(x))
		return MOVE_FAIL;
	if (x->provider->type->path[op] == NULL) {
		err_param(&x->err, "model");
		err_set(&x->err, ERR_NOT_YET,
			"Provider \"%.*s\" (type %s) speaks another API format than this endpoint; "
			"translation "
			"between formats is not supported yet",
			SPAN_ARG(x->provider->name), x->provider->type->name);
		return MOVE_FAIL;
	}
	x->model = snapshot_model(x->snapshot, x->facts.model);
	change = (struct pass_edit){.model = x->name.full,
		.ask_usage = op == LLM_OP_CHAT && x->facts.stream && !x->facts.wants_usage &&
			     x->provider->type->asks_usage};
	json_edit_init(&edit, &x->arena, buf_span(&x->body));
	x->dialect->edit_request(op, &x->facts, &change, &edit);
	x->n_body = json_edit_spans(
		&edit, x->body_spans, sizeof(x->body_spans) / sizeof(x->body_spans[0]));
	if (x->n_body < 0 || x->arena.failed) {
		err_set(&x->err, ERR_NO_MEMORY, NULL);
		return MOVE_FAIL;
	}
	return MOVE_NEXT;
}
