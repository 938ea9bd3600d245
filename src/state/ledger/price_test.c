/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/price.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define U LLM_PRICE_UNKNOWN

static const struct llm_model model = {.n_tiers = 2,
	.price = {{0, 3000000000, 15000000000, 300000000, 3750000000, 6000000000, U, U, U, U, U},
		{200000, 6000000000, 22500000000, 600000000, 7500000000, 12000000000, U, U, U, U,
			U}}};

static void every_class_has_its_price(void **state)
{
	static const struct {
		struct llm_usage u;
		int64_t nusd;
	} rows[] = {
		{{.input_uncached = 1}, 3000},
		{{.output = 1}, 15000},
		{{.cache_read = 1}, 300},
		{{.cache_write_5m = 1}, 3750},
		{{.cache_write_1h = 1}, 6000},
		{{.output = 10, .reasoning = 10}, 150000}, /* reasoning is part of output */
		{{.input_uncached = 200000}, 600000000},   /* the last one of the lower tier */
		{{.input_uncached = 200001}, 1200006000},  /* the whole request by the upper one */
		{{.input_uncached = 1, .cache_read = 200000}, 120006000},
		{{0}, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t nusd = -7;

		assert_true(price_of(&model, &rows[i].u, &nusd));
		assert_int_equal(nusd, rows[i].nusd);
	}
}

static void what_is_no_token_has_its_own_measure(void **state)
{
	struct llm_model m = {.n_tiers = 1,
		.price = {{0, U, U, U, U, U, U, U, 15000000000, 360000000, 40000000}}};
	struct llm_usage u = {.characters = 11};
	int64_t nusd;

	assert_true(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, 165000);
	u = (struct llm_usage){.sound_ms = 3000}; /* whisper: 0.006 USD a minute */
	assert_true(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, 300000);
	u = (struct llm_usage){.pictures = 3};
	assert_true(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, 120000000);
	/* 0.111 USD an hour is 30.83 nano-USD a millisecond; halves of all measures make one. */
	m.price[0].sound_hour = 111000000;
	u = (struct llm_usage){.sound_ms = 3};
	assert_true(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, 93);
	m.price[0].sound_hour = 1800000;
	m.price[0].characters = 500000;
	u = (struct llm_usage){.sound_ms = 1, .characters = 1};
	assert_true(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, 1);
	u = (struct llm_usage){.output = 1, .pictures = 1};
	assert_false(price_of(&m, &u, &nusd));
}

static void rounds_half_up_once(void **state)
{
	struct llm_model m = {
		.n_tiers = 1, .price = {{0, 37500000, 500000, 1, U, U, U, U, U, U, U}}};
	struct llm_usage u = {.input_uncached = 3, .output = 1}; /* 112.5 + 0.5 */
	int64_t nusd;

	assert_true(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, 113);
	u = (struct llm_usage){.output = 1};
	assert_true(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, 1);
	u = (struct llm_usage){.cache_read = 499999};
	assert_true(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, 0);
}

static void an_unknown_price_is_not_zero(void **state)
{
	struct llm_model m = {.n_tiers = 1, .price = {{0, 1000, U, U, U, U, U, U, U, U, U}}};
	struct llm_usage u = {.input_uncached = 5};
	int64_t nusd = -7;

	assert_true(price_of(&m, &u, &nusd));
	u.output = 1;
	nusd = -7;
	assert_false(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, -7);
	assert_false(price_of(NULL, &u, &nusd));
	/* A read from a cache never costs more than other input; writes and sound may. */
	u = (struct llm_usage){.cache_read = 5000};
	assert_true(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, 5);
	m.price[0].output = 1000;
	for (int i = 0; i < 4; i++) {
		u = (struct llm_usage){.output = 9,
			.cache_write_5m = i == 0,
			.cache_write_1h = i == 1,
			.input_audio = i == 2,
			.output_audio = i == 3};
		assert_false(price_of(&m, &u, &nusd));
	}
}

static void counts_out_of_range_have_no_cost(void **state)
{
	static const struct llm_usage rows[] = {{.input_uncached = -1}, {.cache_read = -1},
		{.output = LLM_MAX_COUNT + 1},
		{.input_uncached = INT64_MAX, .cache_read = INT64_MAX},
		{.output = 1, .output_audio = 2}, {.output = INT64_MIN, .output_audio = INT64_MAX}};
	int64_t nusd = -7;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_false(price_of(&model, &rows[i], &nusd));
	assert_int_equal(nusd, -7);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Of all sizes, small ones as often as large ones. */
static int64_t some(uint64_t *seed, int64_t max)
{
	uint64_t v = next_random(seed) >> (next_random(seed) % 64);

	return (int64_t)(v % ((uint64_t)max + 1));
}

/* The sum written out, with the rounding by division and remainder. */
static bool reference(const struct llm_price *p, const struct llm_usage *u, int64_t *nusd)
{
	unsigned __int128 sum =
		(unsigned __int128)u->input_uncached * (uint64_t)p->input +
		(unsigned __int128)u->cache_read * (uint64_t)p->cache_read +
		(unsigned __int128)u->cache_write_5m * (uint64_t)p->cache_write_5m +
		(unsigned __int128)u->cache_write_1h * (uint64_t)p->cache_write_1h +
		(unsigned __int128)u->input_audio * (uint64_t)p->input_audio +
		(unsigned __int128)(u->output - u->output_audio) * (uint64_t)p->output +
		(unsigned __int128)u->output_audio * (uint64_t)p->output_audio;
	unsigned __int128 whole = sum / 1000000;

	if (sum % 1000000 >= 500000)
		whole++;
	if (whole > INT64_MAX)
		return false;
	*nusd = (int64_t)whole;
	return true;
}

static void any_usage_costs_what_the_reference_says(void **state)
{
	uint64_t seed = 88172645463325252u;
	int refused = 0;

	for (int i = 0; i < 200000; i++) {
		struct llm_model m = {.n_tiers = 2};
		struct llm_usage u = {.input_uncached = some(&seed, LLM_MAX_COUNT),
			.cache_read = some(&seed, LLM_MAX_COUNT),
			.cache_write_5m = some(&seed, LLM_MAX_COUNT),
			.cache_write_1h = some(&seed, LLM_MAX_COUNT),
			.input_audio = some(&seed, LLM_MAX_COUNT),
			.output = some(&seed, LLM_MAX_COUNT)};
		int64_t nusd = -7, expected = -7;
		bool ok;

		for (int t = 0; t < 2; t++)
			m.price[t] = (struct llm_price){0, some(&seed, INT64_MAX),
				some(&seed, INT64_MAX), some(&seed, INT64_MAX),
				some(&seed, INT64_MAX), some(&seed, INT64_MAX),
				some(&seed, INT64_MAX), some(&seed, INT64_MAX)};
		m.price[1].above_tokens = some(&seed, LLM_MAX_COUNT);
		u.output_audio = some(&seed, u.output);
		ok = reference(
			&m.price[llm_usage_input(&u) > m.price[1].above_tokens], &u, &expected);
		assert_int_equal(price_of(&m, &u, &nusd), ok);
		assert_true(nusd == expected);
		refused += !ok;
	}
	assert_in_range(refused, 1000, 199000); /* both sides of the bound were seen */
}

static void what_does_not_fit_is_refused(void **state)
{
	struct llm_model m = {.n_tiers = 1, .price = {{0, INT64_MAX, INT64_MAX, U, U, U, U, U}}};
	struct llm_usage u = {.input_uncached = LLM_MAX_COUNT};
	int64_t nusd;

	assert_false(price_of(&m, &u, &nusd));
	u.input_uncached = 1000000;
	assert_true(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, INT64_MAX);
}

static void amounts_are_written_exactly(void **state)
{
	static const struct {
		int64_t nusd;
		const char *text;
	} rows[] = {{0, "0"}, {1, "0.000000001"}, {198000, "0.000198"}, {1000000000, "1"},
		{1500000000, "1.5"}, {-1, "-0.000000001"}, {INT64_MAX, "9223372036.854775807"},
		{INT64_MIN, "-9223372036.854775808"}, {100, "0.0000001"}};
	char out[32];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_true(span_is(price_write(rows[i].nusd, out), rows[i].text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_class_has_its_price),
		cmocka_unit_test(what_is_no_token_has_its_own_measure),
		cmocka_unit_test(rounds_half_up_once),
		cmocka_unit_test(an_unknown_price_is_not_zero),
		cmocka_unit_test(counts_out_of_range_have_no_cost),
		cmocka_unit_test(any_usage_costs_what_the_reference_says),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(amounts_are_written_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
