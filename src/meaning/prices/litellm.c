/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LiteLLM's model_prices_and_context_window.json: an object of models by name, USD a token. Its
 * first member, sample_spec, says in words what the others have. The members beside those below
 * price what the catalogue does not know: batches, priority, images, searches.
 */
#include "machine/base/text.h"
#include "meaning/prices/rows.h"

#define PER_TOKEN 6

static const struct {
	const char *start;
	int price; /* its place in llm_price_name */
} costs[] = {
	{"input_cost_per_token", 0},
	{"output_cost_per_token", 1},
	{"cache_read_input_token_cost", 2},
	/* Longer names first. */
	{"cache_creation_input_token_cost_above_1hr", 4},
	{"cache_creation_input_token_cost", 3},
	{"input_cost_per_audio_token", 5},
	{"output_cost_per_audio_token", 6},
};

static const struct {
	const char *member;
	unsigned can;
} flags[] = {
	{"supports_prompt_caching", LLM_CAN_CACHE},
	{"supports_vision", LLM_CAN_SEE},
	{"supports_function_calling", LLM_CAN_CALL_TOOLS},
	{"supports_reasoning", LLM_CAN_REASON},
	{"supports_computer_use", LLM_CAN_USE_COMPUTER},
	{"supports_web_search", LLM_CAN_SEARCH},
	{"supports_response_schema", LLM_CAN_JSON_SCHEMA},
};

bool prices_is_litellm(yyjson_val *root)
{
	size_t i, max;
	yyjson_val *k, *v;

	if (!yyjson_is_obj(root))
		return false;
	yyjson_obj_foreach(
		root, i, max, k, v) if (json_get(v, "litellm_provider") != NULL) return true;
	return false;
}

/* "" or "_above_200k_tokens". */
static bool read_threshold(struct span suffix, int64_t *above)
{
	const struct span start = SPAN("_above_"), end = SPAN("k_tokens");
	uint64_t thousands;

	*above = 0;
	if (suffix.n == 0)
		return true;
	if (!span_starts(suffix, start) || !span_ends(suffix, end) || suffix.n <= start.n + end.n ||
		!text_u64(span_head(span_skip(suffix, start.n), suffix.n - start.n - end.n),
			&thousands) ||
		thousands == 0 || thousands > 100000)
		return false;
	*above = (int64_t)thousands * 1000;
	return true;
}

static void read_cost(
	struct prices_list *list, struct prices_entry *e, struct span key, yyjson_val *v)
{
	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
		struct span start = span_of(costs[i].start);
		struct llm_price *row;
		int64_t above;

		if (!span_starts(key, start))
			continue;
		if (yyjson_is_null(v) || !read_threshold(span_skip(key, start.n), &above))
			return;
		row = prices_row(list, e, above);
		if (row != NULL)
			prices_take(list, e, llm_price_at(row, costs[i].price), v, PER_TOKEN,
				costs[i].start);
		return;
	}
}

/* The catalogue's word for it; empty: a kind that it does not have. */
static struct span kind(yyjson_val *model)
{
	struct span mode = SPAN("chat");

	json_get_str(model, "mode", &mode);
	if (span_is(mode, "chat") || span_is(mode, "completion") || span_is(mode, "responses"))
		return SPAN("chat");
	if (span_is(mode, "embedding"))
		return SPAN("embedding");
	return span_is(mode, "image_generation") ? SPAN("image") : SPAN("");
}

/* Output that is reasoning or an image, at another price than the rest, has no place in a row. */
static bool has_other_price(yyjson_val *model)
{
	static const char *const others[] = {
		"output_cost_per_reasoning_token", "output_cost_per_image_token"};
	struct span output = json_number(json_get(model, "output_cost_per_token"));

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct span other = json_number(json_get(model, others[i]));

		if (other.n > 0 && !span_eq(other, output))
			return true;
	}
	return false;
}

static bool is_wanted(
	struct prices_list *list, yyjson_val *model, struct span today, struct span api)
{
	struct span end = SPAN("");

	json_get_str(model, "deprecation_date", &end);
	if (prices_date(end) > 0 && prices_date(end) <= prices_date(today))
		prices_skip(list, PRICES_SKIP_RETIRED);
	else if (api.n == 0)
		prices_skip(list, PRICES_SKIP_KIND);
	else if (!prices_has(json_get(model, "input_cost_per_token")) ||
		 (!span_is(api, "embedding") &&
			 !prices_has(json_get(model, "output_cost_per_token"))))
		prices_skip(list, PRICES_SKIP_NO_PRICE);
	else if (has_other_price(model))
		prices_skip(list, PRICES_SKIP_OTHER_PRICE);
	else
		return true;
	return false;
}

static void read_model(
	struct prices_list *list, struct span key, yyjson_val *model, struct span today)
{
	struct span provider = SPAN(""), api = kind(model);
	const struct prices_provider *p;
	struct prices_entry *e;
	size_t i, max;
	yyjson_val *k, *v;

	json_get_str(model, "litellm_provider", &provider);
	p = prices_provider_find(PRICES_LITELLM, provider);
	if (p == NULL) {
		prices_skip(list, PRICES_SKIP_PROVIDER);
		return;
	}
	if (!is_wanted(list, model, today, api))
		return;
	if (span_starts(key, span_of(p->litellm_cut)))
		key = span_skip(key, strlen(p->litellm_cut));
	e = prices_add(list, p, key);
	if (e == NULL)
		return;
	e->api = api;
	e->is_input_window = true;
	prices_take_count(list, e, &e->context_window, json_get(model, "max_input_tokens"),
		"max_input_tokens");
	if (span_is(api, "chat"))
		prices_take_count(list, e, &e->max_output, json_get(model, "max_output_tokens"),
			"max_output_tokens");
	if (span_is(api, "embedding"))
		e->rows[0].output = 0;
	yyjson_obj_foreach(model, i, max, k, v)
		read_cost(list, e, (struct span){yyjson_get_str(k), yyjson_get_len(k)}, v);
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		prices_take_ability(e, flags[i].can, json_get(model, flags[i].member));
	if (!prices_is_claude(e) && (e->can & LLM_CAN_JSON_SCHEMA)) {
		e->says |= LLM_CAN_JSON_OBJECT;
		e->can |= LLM_CAN_JSON_OBJECT;
	}
}

void prices_read_litellm(yyjson_val *root, struct span today, struct prices_list *list)
{
	size_t i, max;
	yyjson_val *k, *v;

	yyjson_obj_foreach(root, i, max, k, v)
	{
		if (list->arena.failed)
			return;
		if (yyjson_is_obj(v) && !yyjson_equals_str(k, "sample_spec"))
			read_model(list, (struct span){yyjson_get_str(k), yyjson_get_len(k)}, v,
				today);
	}
}
