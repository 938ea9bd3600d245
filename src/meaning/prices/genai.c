/* SPDX-License-Identifier: Apache-2.0 */
/*
 * genai-prices' data.json: an array of providers, each with an array of models; USD a million
 * tokens. A price is a number, or {base, tiers} of which the last start below the prompt's length
 * prices all of it. Prices may be an array of which the last one that has begun counts. A model
 * stands for the names that its `match` allows: those that it spells out are taken.
 */
#include "meaning/prices/rows.h"

#define PER_MILLION 0
#define MAX_NAMES 64 /* that one model spells out */

static const struct {
	const char *member;
	int price; /* its place in llm_price_name */
} costs[] = {
	{"input_mtok", 0},
	{"output_mtok", 1},
	{"cache_read_mtok", 2},
	{"cache_write_mtok", 3},
	{"cache_write_1h_mtok", 4},
	{"input_audio_mtok", 5},
	{"output_audio_mtok", 6},
};

bool prices_is_genai(yyjson_val *root)
{
	yyjson_val *first = yyjson_arr_get_first(root);

	return yyjson_is_arr(json_get(first, "models")) && yyjson_is_str(json_get(first, "id"));
}

/* NULL: none that counts at any hour of the day. */
static yyjson_val *prices_of(yyjson_val *model, struct span today)
{
	yyjson_val *prices = json_get(model, "prices"), *found = NULL, *one;
	size_t i, max;

	if (!yyjson_is_arr(prices))
		return prices;
	yyjson_arr_foreach(prices, i, max, one)
	{
		yyjson_val *constraint = json_get(one, "constraint");
		struct span start = SPAN("");

		if (constraint != NULL && !yyjson_is_null(constraint) &&
			(!json_get_str(constraint, "start_date", &start) ||
				prices_date(start) > prices_date(today)))
			continue;
		found = json_get(one, "prices");
	}
	return found;
}

static void read_price(struct prices_list *list, struct prices_entry *e, int price, yyjson_val *v,
	const char *member)
{
	yyjson_val *tiers = json_get(v, "tiers"), *tier;
	struct llm_price *row;
	size_t i, max;

	prices_take(list, e, llm_price_at(&e->rows[0], price),
		yyjson_is_obj(v) ? json_get(v, "base") : v, PER_MILLION, member);
	if (!yyjson_is_arr(tiers))
		return;
	yyjson_arr_foreach(tiers, i, max, tier)
	{
		int64_t above = 0;

		prices_take_count(list, e, &above, json_get(tier, "start"), member);
		row = above > 0 ? prices_row(list, e, above) : NULL;
		if (row != NULL)
			prices_take(list, e, llm_price_at(row, price), json_get(tier, "price"),
				PER_MILLION, member);
	}
}

/* Fees, and output that costs otherwise than text does, have no place in a row. */
static bool has_other_price(yyjson_val *prices)
{
	static const char *const others[] = {"requests_kcount", "input_text_messages_kcount",
		"output_reasoning_mtok", "output_citation_mtok", "output_image_mtok",
		"output_video_mtok"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (prices_has(json_get(prices, others[i])))
			return true;
	return false;
}

static bool is_wanted(struct prices_list *list, yyjson_val *model, yyjson_val *prices, bool embeds)
{
	if (yyjson_is_true(json_get(model, "deprecated")))
		prices_skip(list, PRICES_SKIP_RETIRED);
	else if (prices == NULL && yyjson_is_arr(json_get(model, "prices")))
		prices_skip(list, PRICES_SKIP_OTHER_PRICE);
	else if (has_other_price(prices))
		prices_skip(list, PRICES_SKIP_OTHER_PRICE);
	else if (!prices_has(json_get(prices, "input_mtok")) ||
		 (!prices_has(json_get(prices, "output_mtok")) && !embeds))
		prices_skip(list, PRICES_SKIP_NO_PRICE);
	else
		return true;
	return false;
}

static void read_named(struct prices_list *list, const struct prices_provider *p, struct span id,
	yyjson_val *model, struct span today)
{
	bool embeds = prices_embeds(id);
	yyjson_val *prices = prices_of(model, today);
	struct prices_entry *e;

	if (!is_wanted(list, model, prices, embeds))
		return;
	e = prices_add(list, p, id);
	if (e == NULL)
		return;
	if (embeds) {
		e->api = SPAN("embedding");
		e->rows[0].output = 0;
	}
	json_get_str(model, "name", &e->name);
	prices_take_count(
		list, e, &e->context_window, json_get(model, "context_window"), "context_window");
	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++)
		read_price(list, e, costs[i].price, json_get(prices, costs[i].member),
			costs[i].member);
}

/* The names that `match` spells out, alone or in an `or`. */
static int names_of(yyjson_val *match, struct span names[MAX_NAMES])
{
	yyjson_val *any = json_get(match, "or"), *one;
	size_t i, max;
	int n = 0;

	if (json_get_str(match, "equals", &names[0]))
		return 1;
	if (!yyjson_is_arr(any))
		return 0;
	yyjson_arr_foreach(
		any, i, max, one) if (n < MAX_NAMES && json_get_str(one, "equals", &names[n])) n++;
	return n;
}

static void read_model(struct prices_list *list, const struct prices_provider *p, yyjson_val *model,
	struct span today)
{
	struct span id = SPAN(""), names[MAX_NAMES];
	int n = names_of(json_get(model, "match"), names);

	if (!json_get_str(model, "id", &id))
		return;
	if (p == NULL) {
		prices_skip(list, PRICES_SKIP_PROVIDER);
		return;
	}
	read_named(list, p, id, model, today);
	for (int i = 0; i < n; i++)
		if (!span_eq(names[i], id))
			read_named(list, p, names[i], model, today);
}

void prices_read_genai(yyjson_val *root, struct span today, struct prices_list *list)
{
	size_t i, j, max, n;
	yyjson_val *provider, *model;

	yyjson_arr_foreach(root, i, max, provider)
	{
		struct span name = SPAN("");
		yyjson_val *models = json_get(provider, "models");
		const struct prices_provider *p;

		json_get_str(provider, "id", &name);
		p = prices_provider_find(PRICES_GENAI, name);
		if (!yyjson_is_arr(models))
			continue;
		yyjson_arr_foreach(models, j, n, model)
		{
			if (!list->arena.failed)
				read_model(list, p, model, today);
		}
	}
}
