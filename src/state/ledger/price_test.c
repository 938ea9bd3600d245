/* SPDX-License-Identifier: Apache-2.0 */
#include "state/ledger/price.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define U LLM_PRICE_UNKNOWN

static const struct llm_model model = {.n_tiers = 2,
	.price = {{0, 3000000000, 15000000000, 300000000, 3750000000, 6000000000, U, U},
		{200000, 6000000000, 22500000000, 600000000, 7500000000, 12000000000, U, U}}};

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
		{{.input_audio = 1}, 3000},                /* no price of its own: the input's */
		{{.output = 10, .reasoning = 10}, 150000}, /* reasoning is part of output */
		{{.output = 10, .output_audio = 4}, 150000},
		{{.input_uncached = 200000}, 600000000},  /* the last one of the lower tier */
		{{.input_uncached = 200001}, 1200006000}, /* the whole request by the upper one */
		{{.input_uncached = 1, .cache_read = 200000}, 120006000},
		{{0}, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t nusd = -7;

		assert_true(price_of(&model, &rows[i].u, &nusd));
		assert_int_equal(nusd, rows[i].nusd);
	}
}

static void rounds_half_up_once(void **state)
{
	struct llm_model m = {.n_tiers = 1, .price = {{0, 37500000, 500000, 1, U, U, U, U}}};
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
	struct llm_model m = {.n_tiers = 1, .price = {{0, 1000, U, U, U, U, U, U}}};
	struct llm_usage u = {.input_uncached = 5};
	int64_t nusd = -7;

	assert_true(price_of(&m, &u, &nusd));
	u.output = 1;
	nusd = -7;
	assert_false(price_of(&m, &u, &nusd));
	assert_int_equal(nusd, -7);
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
		cmocka_unit_test(rounds_half_up_once),
		cmocka_unit_test(an_unknown_price_is_not_zero),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(amounts_are_written_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
