/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models.dev's api.json: an object of providers by name, each with an object of models by name;
 * USD a million tokens. Its abilities are said of every model.
 */
#include "meaning/prices/rows.h"

#define PER_MILLION 0

static const struct {
	const char *member;
	int price; /* its place in llm_price_name */
} costs[] = {
	{"input", 0},
	{"output", 1},
	{"cache_read", 2},
	{"cache_write", 3},
	{"input_audio", 5},
	{"output_audio", 6},
};

bool prices_is_models_dev(yyjson_val *root)
{
	size_t i, max;
	yyjson_val *k, *v;

	if (!yyjson_is_obj(root))
		return false;
	yyjson_obj_foreach(
		root, i, max, k, v) if (yyjson_is_obj(json_get(v, "models"))) return true;
	return false;
}

static void read_costs(
	struct prices_list *list, struct prices_entry *e, int64_t above, yyjson_val *cost)
{
	struct llm_price *row = prices_row(list, e, above);

	for (size_t i = 0; row != NULL && i < sizeof(costs) / sizeof(costs[0]); i++)
		prices_take(list, e, llm_price_at(row, costs[i].price),
			json_get(cost, costs[i].member), PER_MILLION, costs[i].member);
}

/* Older lists know one threshold, by a name of its own. */
static void read_tiers(struct prices_list *list, struct prices_entry *e, yyjson_val *cost)
{
	yyjson_val *tiers = json_get(cost, "tiers"), *over = json_get(cost, "context_over_200k");
	size_t i, max;
	yyjson_val *tier;

	read_costs(list, e, 0, cost);
	if (!yyjson_is_arr(tiers)) {
		if (yyjson_is_obj(over))
			read_costs(list, e, 200000, over);
		return;
	}
	yyjson_arr_foreach(tiers, i, max, tier)
	{
		int64_t above = 0;

		prices_take_count(
			list, e, &above, json_get(json_get(tier, "tier"), "size"), "tiers");
		if (above > 0)
			read_costs(list, e, above, tier);
	}
}

static bool has(yyjson_val *list, const char *word)
{
	size_t i, max;
	yyjson_val *v;

	if (!yyjson_is_arr(list))
		return false;
	yyjson_arr_foreach(list, i, max, v) if (yyjson_equals_str(v, word)) return true;
	return false;
}

static void say(struct prices_entry *e, unsigned can, bool has_it)
{
	e->says |= can;
	e->can |= has_it ? can : 0;
}

static void read_abilities(struct prices_entry *e, yyjson_val *model)
{
	yyjson_val *modalities = json_get(model, "modalities"),
		   *into = json_get(modalities, "input"), *out = json_get(modalities, "output");

	if (yyjson_is_arr(into))
		say(e, LLM_CAN_SEE, has(into, "image"));
	if (yyjson_is_arr(out))
		say(e, LLM_CAN_MAKE_IMAGES, has(out, "image"));
	prices_take_ability(e, LLM_CAN_CALL_TOOLS, json_get(model, "tool_call"));
	prices_take_ability(e, LLM_CAN_REASON, json_get(model, "reasoning"));
	/* It is said of few Claude models that can: only a yes counts. */
	if (yyjson_is_true(json_get(model, "structured_output")))
		say(e, LLM_CAN_JSON_SCHEMA | (prices_is_claude(e) ? 0 : LLM_CAN_JSON_OBJECT), true);
}

static bool is_wanted(struct prices_list *list, yyjson_val *model)
{
	yyjson_val *cost = json_get(model, "cost"), *reasoning = json_get(cost, "reasoning"),
		   *output = json_get(cost, "output"),
		   *out = json_get(json_get(model, "modalities"), "output");
	struct span status = SPAN("");

	json_get_str(model, "status", &status);
	if (span_is(status, "deprecated"))
		prices_skip(list, PRICES_SKIP_RETIRED);
	else if (yyjson_is_arr(out) && !has(out, "text") && !has(out, "image"))
		prices_skip(list, PRICES_SKIP_KIND);
	else if (!prices_has(json_get(cost, "input")) || !prices_has(output))
		prices_skip(list, PRICES_SKIP_NO_PRICE);
	else if (json_number(reasoning).n > 0 &&
		 !span_eq(json_number(reasoning), json_number(output)))
		prices_skip(list, PRICES_SKIP_OTHER_PRICE);
	else
		return true;
	return false;
}

static void read_model(struct prices_list *list, const struct prices_provider *p, struct span id,
	yyjson_val *model)
{
	yyjson_val *limit = json_get(model, "limit"), *context = json_get(limit, "context");
	struct span released = SPAN("");
	struct prices_entry *e;
	bool has_window = !span_is(json_number(context), "0");

	if (!is_wanted(list, model))
		return;
	e = prices_add(list, p, id);
	if (e == NULL)
		return;
	if (prices_embeds(id))
		e->api = SPAN("embedding");
	else if (span_find(id, SPAN("image")) >= 0 && !has_window)
		e->api = SPAN("image");
	json_get_str(model, "name", &e->name);
	if (json_get_str(model, "release_date", &released))
		e->created = prices_date(released);
	/* It writes 0 where there is no such limit. */
	if (has_window || span_is(e->api, "chat"))
		prices_take_count(list, e, &e->context_window, context, "context");
	if (span_is(e->api, "chat"))
		prices_take_count(list, e, &e->max_output, json_get(limit, "output"), "output");
	read_abilities(e, model);
	read_tiers(list, e, json_get(model, "cost"));
}

void prices_read_models_dev(yyjson_val *root, struct prices_list *list)
{
	size_t i, j, max, n;
	yyjson_val *k, *v, *id, *model;

	yyjson_obj_foreach(root, i, max, k, v)
	{
		struct span name = {yyjson_get_str(k), yyjson_get_len(k)};
		const struct prices_provider *p = prices_provider_find(PRICES_MODELS_DEV, name);
		yyjson_val *models = json_get(v, "models");

		if (!yyjson_is_obj(models))
			continue;
		if (p == NULL) {
			list->skipped[PRICES_SKIP_PROVIDER] += (int)yyjson_obj_size(models);
			continue;
		}
		yyjson_obj_foreach(models, j, n, id, model)
		{
			if (!list->arena.failed)
				read_model(list, p,
					(struct span){yyjson_get_str(id), yyjson_get_len(id)},
					model);
		}
	}
}
