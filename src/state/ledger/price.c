/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/price.h"
#include "machine/base/text.h"

#define MILLION 1000000
#define HOUR_MS 3600000

const struct llm_price *price_row(const struct llm_model *m, const struct llm_usage *u)
{
	const struct llm_price *row = &m->price[0];
	int64_t input = llm_usage_input(u);

	for (int i = 1; i < m->n_tiers; i++)
		if (input > m->price[i].above_tokens)
			row = &m->price[i];
	return row;
}

static bool add(__int128 *sum, int64_t units, int64_t price)
{
	if (units == 0)
		return true;
	if (price < 0)
		return false;
	*sum += (__int128)units * price; /* at most 2^103: many of them fit */
	return true;
}

static bool in_range(const struct llm_usage *u)
{
	const int64_t units[] = {u->input_uncached, u->cache_read, u->cache_write_5m,
		u->cache_write_1h, u->input_audio, u->output, u->output_audio, u->characters,
		u->sound_ms, u->pictures};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (units[i] < 0 || units[i] > LLM_MAX_COUNT)
			return false;
	return u->output_audio <= u->output;
}

bool price_of(const struct llm_model *m, const struct llm_usage *u, int64_t *nusd)
{
	return m != NULL && in_range(u) && price_by_row(price_row(m, u), u, nusd);
}

bool price_by_row(const struct llm_price *p, const struct llm_usage *u, int64_t *nusd)
{
	__int128 sum = 0, each = 0, hours = 0;

	if (!in_range(u))
		return false;
	/*
	 * Only a read from a cache may stand in for an unknown price: it costs no more than other
	 * input. Writes and sound cost more, and would be charged too little.
	 */
	if (!add(&sum, u->input_uncached, p->input) ||
		!add(&sum, u->cache_read, p->cache_read >= 0 ? p->cache_read : p->input) ||
		!add(&sum, u->cache_write_5m, p->cache_write_5m) ||
		!add(&sum, u->cache_write_1h, p->cache_write_1h) ||
		!add(&sum, u->input_audio, p->input_audio) ||
		!add(&sum, u->output - u->output_audio, p->output) ||
		!add(&sum, u->output_audio, p->output_audio) ||
		!add(&sum, u->characters, p->characters) ||
		!add(&hours, u->sound_ms, p->sound_hour) || !add(&each, u->pictures, p->picture))
		return false;
	/* 18 millions is the least that both a million and an hour's milliseconds divide. */
	sum = (sum + each * MILLION) * 18 + hours * (18 * MILLION / HOUR_MS);
	sum = (sum + 9 * MILLION) / (18 * MILLION); /* half up, once */
	if (sum > INT64_MAX)
		return false;
	*nusd = (int64_t)sum;
	return true;
}

static int64_t highest(const struct llm_price *p)
{
	const int64_t prices[] = {p->input, p->cache_write_5m, p->cache_write_1h};
	int64_t most = -1;

	for (size_t i = 0; i < sizeof(prices) / sizeof(prices[0]); i++)
		if (prices[i] > most)
			most = prices[i];
	return most;
}

bool price_bound(const struct llm_model *m, int64_t input, int64_t output, int64_t *nusd)
{
	int64_t in = -1, out = -1;
	__int128 sum = 0;

	if (m == NULL || input < 0 || output < 0 || input > LLM_MAX_COUNT || output > LLM_MAX_COUNT)
		return false;
	for (int i = 0; i < m->n_tiers; i++) {
		if (m->price[i].input < 0 || (output > 0 && m->price[i].output < 0))
			return false;
		if (highest(&m->price[i]) > in)
			in = highest(&m->price[i]);
		if (m->price[i].output > out)
			out = m->price[i].output;
	}
	if (!add(&sum, input, in) || !add(&sum, output, out))
		return false;
	sum = (sum + MILLION - 1) / MILLION;
	if (sum > INT64_MAX)
		return false;
	*nusd = (int64_t)sum;
	return true;
}

bool money_read(struct span text, int64_t *nusd)
{
	struct span whole = span_cut(&text, '.');
	int64_t dollars, part = 0;

	if (whole.n == 0 || whole.n > 10 || text.n > 9 || !text_i64(whole, &dollars) ||
		*whole.p == '-' || *whole.p == '+' || dollars > 9000000000)
		return false;
	if (text.p != NULL &&
		(text.n == 0 || !text_i64(text, &part) || *text.p < '0' || *text.p > '9'))
		return false;
	for (size_t i = text.n; i < 9; i++)
		part *= 10;
	*nusd = dollars * 1000000000 + part;
	return true;
}
