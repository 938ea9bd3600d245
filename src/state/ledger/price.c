/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/price.h"
#include "machine/base/text.h"

#define MILLION 1000000

/* The whole request is priced by the row that its prompt's size selects. */
static const struct llm_price *row_for(const struct llm_model *m, int64_t input)
{
	const struct llm_price *row = &m->price[0];

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
	*sum += (__int128)units * price;
	return true;
}

/* A class without a price of its own is charged as the one it is a kind of. */
static int64_t either(int64_t own, int64_t general)
{
	return own >= 0 ? own : general;
}

bool price_of(const struct llm_model *m, const struct llm_usage *u, int64_t *nusd)
{
	const struct llm_price *p = row_for(m, llm_usage_input(u));
	int64_t text_output = u->output - u->output_audio;
	__int128 sum = 0;

	if (text_output < 0)
		text_output = 0;
	if (!add(&sum, u->input_uncached, p->input) ||
		!add(&sum, u->cache_read, either(p->cache_read, p->input)) ||
		!add(&sum, u->cache_write_5m, either(p->cache_write_5m, p->input)) ||
		!add(&sum, u->cache_write_1h,
			either(p->cache_write_1h, either(p->cache_write_5m, p->input))) ||
		!add(&sum, u->input_audio, either(p->input_audio, p->input)) ||
		!add(&sum, text_output, p->output) ||
		!add(&sum, u->output_audio, either(p->output_audio, p->output)))
		return false;
	sum = (sum + MILLION / 2) / MILLION; /* half up, once */
	if (sum > INT64_MAX)
		return false;
	*nusd = (int64_t)sum;
	return true;
}

struct span price_write(int64_t nusd, char out[32])
{
	uint64_t v = nusd < 0 ? 0 - (uint64_t)nusd : (uint64_t)nusd;
	uint64_t fraction = v % 1000000000;
	size_t n = 0;

	if (nusd < 0)
		out[n++] = '-';
	n += text_write_u64(out + n, v / 1000000000);
	if (fraction == 0)
		return (struct span){out, n};
	out[n++] = '.';
	for (uint64_t unit = 100000000; fraction > 0; unit /= 10) {
		out[n++] = (char)('0' + fraction / unit);
		fraction %= unit;
	}
	return (struct span){out, n};
}
