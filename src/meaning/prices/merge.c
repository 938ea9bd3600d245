/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/prices/merge.h"
#include <stdlib.h>

#define MAX_PRICE ((int64_t)1000 * 1000000000) /* nano-USD a million tokens */
#define MAX_WINDOW 100000000
#define MAX_FACTOR 10
#define ARENA_BYTES ((size_t)16 << 20)

static bool is_chat(const struct llm_model *m)
{
	return span_is(m->api, "chat");
}

/* ---- what it becomes ---- */

static const struct llm_price *row_above(const struct llm_model *m, int64_t above)
{
	for (int i = 0; m != NULL && i < m->n_tiers; i++)
		if (m->price[i].above_tokens == above)
			return &m->price[i];
	return NULL;
}

/* A class of which the list says nothing, where we hold a price of it. */
static int64_t keep(int64_t was, int64_t was_input, int64_t input, int multiple)
{
	/* It is input's price, or a multiple of it, and so it stays. */
	if (was == was_input)
		return input;
	return multiple > 1 && was == multiple * was_input ? multiple * input : was;
}

static void keep_classes(struct llm_price *row, const struct llm_price *was)
{
	if (row->cache_read == LLM_PRICE_UNKNOWN)
		row->cache_read = keep(was->cache_read, was->input, row->input, 1);
	/* What we hold may be dearer than input has become: then it is charged as input. */
	if (row->cache_read == was->cache_read && row->cache_read > row->input &&
		was->cache_read <= was->input)
		row->cache_read = LLM_PRICE_UNKNOWN;
	if (row->cache_write_5m == LLM_PRICE_UNKNOWN)
		row->cache_write_5m = keep(was->cache_write_5m, was->input, row->input, 1);
	if (row->cache_write_1h == LLM_PRICE_UNKNOWN)
		row->cache_write_1h = keep(was->cache_write_1h, was->input, row->input, 2);
	if (row->input_audio == LLM_PRICE_UNKNOWN)
		row->input_audio = was->input_audio;
	if (row->output_audio == LLM_PRICE_UNKNOWN)
		row->output_audio = was->output_audio;
}

/*
 * What a new model's provider takes for writing its cache when the list is silent: nothing extra,
 * but for Claude, of which every list says it, and whose hour costs twice the input.
 */
static void guess_classes(struct llm_price *row, bool is_claude)
{
	if (!is_claude && row->cache_write_5m == LLM_PRICE_UNKNOWN)
		row->cache_write_5m = row->input;
	if (is_claude && row->cache_write_5m != LLM_PRICE_UNKNOWN &&
		row->cache_write_1h == LLM_PRICE_UNKNOWN)
		row->cache_write_1h = 2 * row->input;
}

static void make_prices(
	const struct prices_entry *e, const struct llm_model *held, struct llm_model *m)
{
	bool is_claude = span_find(e->id, SPAN("claude")) >= 0;

	m->n_tiers = e->n_rows;
	for (int i = 0; i < e->n_rows; i++) {
		const struct llm_price *was = row_above(held, e->rows[i].above_tokens);
		struct llm_price *row = &m->price[i];

		*row = e->rows[i];
		/* It puts nothing out, whatever a list takes for that. */
		if (span_is(m->api, "embedding"))
			row->output =
				was != NULL && was->output != LLM_PRICE_UNKNOWN ? was->output : 0;
		if (was != NULL && was->input != LLM_PRICE_UNKNOWN)
			keep_classes(row, was);
		else if (is_chat(m))
			guess_classes(row, is_claude);
	}
}

static void make(const struct prices_entry *e, const struct llm_model *held, struct llm_model *m)
{
	*m = held != NULL ? *held : llm_model_unknown(e->id);
	if (held == NULL) {
		m->api = e->api;
		m->geolocation = e->geolocation;
		m->data_retention = e->data_retention;
	}
	if (m->name.n == 0)
		m->name = e->name;
	if (m->created == 0)
		m->created = e->created;
	if (e->context_window > 0 && (!e->is_input_window || m->context_window == 0))
		m->context_window = e->context_window;
	if (e->max_output > 0 && is_chat(m))
		m->max_output = e->max_output;
	/* No answer is longer than the window, whatever lists say of it. */
	if (m->context_window > 0 && m->max_output > m->context_window)
		m->max_output = m->context_window;
	if (is_chat(m))
		m->can = (m->can & ~e->says) | (e->can & e->says);
	make_prices(e, held, m);
}

/* ---- is it to be believed ---- */

static struct span price_text(int64_t price, char out[32])
{
	return price == LLM_PRICE_UNKNOWN ? SPAN("unknown") : price_write(price, out);
}

static struct span in_bounds(struct arena *a, const struct llm_model *m)
{
	char x[32], y[32];

	for (int row = 0; row < m->n_tiers; row++) {
		struct llm_price p = m->price[row];

		for (int i = 0; llm_price_name(i) != NULL; i++)
			if (*llm_price_at(&p, i) > MAX_PRICE)
				return arena_printf(a, "%s: %.*s is above 1000 USD",
					llm_price_name(i),
					SPAN_ARG(price_write(*llm_price_at(&p, i), x)));
		if (p.input == LLM_PRICE_UNKNOWN || p.output == LLM_PRICE_UNKNOWN)
			return SPAN("price: input or output is missing");
		if (p.cache_read > p.input)
			return arena_printf(a, "cache_read: %.*s is above input, %.*s",
				SPAN_ARG(price_write(p.cache_read, x)),
				SPAN_ARG(price_write(p.input, y)));
		if (p.cache_write_1h != LLM_PRICE_UNKNOWN && p.cache_write_5m > p.cache_write_1h)
			return arena_printf(a, "cache_write_5m: %.*s is above cache_write_1h, %.*s",
				SPAN_ARG(price_write(p.cache_write_5m, x)),
				SPAN_ARG(price_write(p.cache_write_1h, y)));
		if (is_chat(m) && p.output == 0 && p.input > 0)
			return SPAN("output: free, though input is not");
	}
	if (m->context_window > MAX_WINDOW)
		return arena_printf(a, "context_window: %lld is above %d",
			(long long)m->context_window, MAX_WINDOW);
	if (m->max_output > MAX_WINDOW)
		return arena_printf(
			a, "max_output: %lld is above %d", (long long)m->max_output, MAX_WINDOW);
	return (struct span){NULL, 0};
}

static bool leaps(int64_t was, int64_t becomes)
{
	int64_t low = was < becomes ? was : becomes, high = was < becomes ? becomes : was;

	return low != LLM_PRICE_UNKNOWN && high > MAX_FACTOR * low;
}

static struct span in_reach(
	struct arena *a, const struct llm_model *was, const struct llm_model *becomes)
{
	char x[32], y[32];

	for (int row = 0; row < becomes->n_tiers; row++) {
		struct llm_price now = becomes->price[row], then;

		if (row_above(was, now.above_tokens) == NULL)
			continue;
		then = *row_above(was, now.above_tokens);
		for (int i = 0; llm_price_name(i) != NULL; i++)
			if (leaps(*llm_price_at(&then, i), *llm_price_at(&now, i)))
				return arena_printf(a,
					"%s: %.*s -> %.*s is a change of more than %d times; "
					"--force takes it",
					llm_price_name(i),
					SPAN_ARG(price_text(*llm_price_at(&then, i), x)),
					SPAN_ARG(price_text(*llm_price_at(&now, i), y)),
					MAX_FACTOR);
	}
	return (struct span){NULL, 0};
}

/* ---- all of them ---- */

static void weigh(
	struct prices_merge *out, const struct prices_entry *e, struct prices_change *c, bool force)
{
	c->why = e->wrong;
	if (c->why.n == 0) {
		make(e, c->held, &c->made);
		if (c->held != NULL && llm_model_eq(c->held, &c->made)) {
			c->outcome = PRICES_UNCHANGED;
			return;
		}
		c->why = in_bounds(&out->arena, &c->made);
	}
	if (c->why.n == 0 && c->held != NULL && !force)
		c->why = in_reach(&out->arena, c->held, &c->made);
	c->outcome = c->why.n > 0      ? PRICES_REFUSED
		     : c->held == NULL ? PRICES_ADDED
				       : PRICES_CHANGED;
}

bool prices_merge(const struct catalog *held, const struct prices_list *list, struct span prefix,
	bool force, struct prices_merge *out, struct err *err)
{
	*out = (struct prices_merge){0};
	arena_init(&out->arena, ARENA_BYTES);
	out->v = calloc((size_t)list->n + 1, sizeof(*out->v));
	if (out->v == NULL)
		return err_set(err, ERR_NO_MEMORY, NULL);
	for (int i = 0; i < list->n; i++) {
		const struct prices_entry *e = &list->v[i];
		struct prices_change *c = &out->v[out->n];

		if (prefix.n > 0 &&
			!span_eq(span_head(e->id, (size_t)span_find_char(e->id, '/')), prefix))
			continue;
		*c = (struct prices_change){.id = e->id, .held = catalog_find_exact(held, e->id)};
		weigh(out, e, c, force);
		out->counts[c->outcome]++;
		out->n += c->outcome != PRICES_UNCHANGED;
	}
	return !out->arena.failed || err_set(err, ERR_NO_MEMORY, NULL);
}

void prices_merge_done(struct prices_merge *m)
{
	free(m->v);
	arena_done(&m->arena);
	*m = (struct prices_merge){0};
}
