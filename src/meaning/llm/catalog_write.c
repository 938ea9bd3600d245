/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_put.h"
#include "meaning/llm/catalog.h"

static void write_text(struct buf *b, const char *key, struct span text, const char *usual)
{
	if (text.n > 0 && !span_is(text, usual))
		json_put_str(b, key, text);
}

static void write_number(struct buf *b, const char *key, int64_t n)
{
	if (n > 0)
		json_put_int(b, key, n);
}

static void write_abilities(struct buf *b, unsigned can)
{
	if (can == 0)
		return;
	json_put_open(b, "can", '[');
	for (int i = 0; llm_capability_name(i) != NULL; i++)
		if (can & (1u << i))
			json_put_cstr(b, NULL, llm_capability_name(i));
	buf_append_char(b, ']');
}

static bool has_price(const struct llm_model *m)
{
	struct llm_price p = m->price[0];

	for (int i = 0; llm_price_name(i) != NULL; i++)
		if (*llm_price_at(&p, i) != LLM_PRICE_UNKNOWN)
			return true;
	return m->n_tiers > 1;
}

static void write_prices(struct buf *b, const struct llm_model *m)
{
	char text[32];

	if (!has_price(m))
		return;
	json_put_open(b, "price", '[');
	for (int row = 0; row < m->n_tiers; row++) {
		struct llm_price p = m->price[row];

		json_put_open(b, NULL, '{');
		write_number(b, "above", p.above_tokens);
		for (int i = 0; llm_price_name(i) != NULL; i++)
			if (*llm_price_at(&p, i) != LLM_PRICE_UNKNOWN)
				json_put_str(b, llm_price_name(i),
					price_write(*llm_price_at(&p, i), text));
		buf_append_char(b, '}');
	}
	buf_append_char(b, ']');
}

void catalog_write_model(const struct llm_model *m, struct buf *out)
{
	json_put_open(out, NULL, '{');
	json_put_str(out, "id", m->id);
	write_text(out, "api", m->api, "chat");
	write_text(out, "name", m->name, "");
	write_text(out, "description", m->description, "");
	write_number(out, "created", m->created);
	write_number(out, "context_window", m->context_window);
	write_number(out, "max_output", m->max_output);
	write_abilities(out, m->can);
	write_text(out, "geolocation", m->geolocation, "global");
	if (m->data_retention)
		json_put_bool(out, "data_retention", true);
	write_prices(out, m);
	buf_append_char(out, '}');
}

bool catalog_write(const struct catalog *c, struct buf *out)
{
	buf_append_cstr(out, "{\"models\":[\n");
	for (int i = 0; i < catalog_count(c); i++) {
		buf_append_cstr(out, i > 0 ? ",\n" : "");
		catalog_write_model(catalog_at(c, i), out);
	}
	buf_append_cstr(out, "\n]}\n");
	return !out->failed;
}
