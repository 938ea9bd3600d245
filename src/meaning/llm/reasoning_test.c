/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/reasoning.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct llm_quirks plain;

static struct llm_reasoning wanted(const char *word)
{
	struct llm_reasoning r = {.budget = -1, .show = LLM_UNSET};

	assert_true(llm_effort_read(span_of(word), &r));
	return r;
}

/* product.md 5.3, row by row. */
static void words_become_budgets(void **state)
{
	static const struct {
		const char *word;
		enum llm_effort effort;
		int64_t anthropic, flash, pro;
	} rows[] = {
		{"none", LLM_EFFORT_NONE, 1024, 0, 128},
		{"min", LLM_EFFORT_NONE, 1024, 0, 128},
		{"minimal", LLM_EFFORT_MINIMAL, 1024, 512, 512},
		{"low", LLM_EFFORT_LOW, 1024, 1024, 1024},
		{"medium", LLM_EFFORT_MEDIUM, 8192, 8192, 8192},
		{"high", LLM_EFFORT_HIGH, 16384, 24576, 24576},
		{"xhigh", LLM_EFFORT_XHIGH, 32768, 28672, 28672},
		{"max", LLM_EFFORT_MAX, 63999, 64000, 64000},
		{"0", LLM_EFFORT_LOW, 1024, 0, 128},
		{"1024", LLM_EFFORT_LOW, 1024, 1024, 1024},
		{"1025", LLM_EFFORT_MEDIUM, 1025, 1025, 1025},
		{"8193", LLM_EFFORT_HIGH, 8193, 8193, 8193},
		{"999999", LLM_EFFORT_HIGH, 63999, 64000, 64000},
	};
	const struct llm_model model = {.max_output = 64000};
	const struct llm_target t = {.facts = &model, .quirks = &plain};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct llm_reasoning r = wanted(rows[i].word);
		int64_t max_output = 64000;

		assert_int_equal(llm_wanted_effort(&r), rows[i].effort);
		assert_int_equal(llm_anthropic_budget(&r, &t, &max_output), rows[i].anthropic);
		assert_int_equal(llm_gemini_budget(&r, &t, true), rows[i].flash);
		assert_int_equal(llm_gemini_budget(&r, &t, false), rows[i].pro);
	}
}

static void a_budget_stays_below_the_cap(void **state)
{
	const struct llm_target t = {.quirks = &plain};
	struct llm_reasoning r = wanted("high");
	int64_t none = -1, small = 5000, tiny = 1000;

	assert_int_equal(llm_anthropic_budget(&r, &t, &none), 16384);
	assert_int_equal(none, 16384 + 1024);
	assert_int_equal(llm_anthropic_budget(&r, &t, &small), 4999);
	assert_int_equal(small, 5000);
	assert_int_equal(llm_anthropic_budget(&r, &t, &tiny), 0);
}

static void nothing_said_is_nothing_wanted(void **state)
{
	const struct llm_target t = {.quirks = &plain};
	struct llm_reasoning r = {.budget = -1};
	int64_t max_output = -1;

	assert_int_equal(llm_wanted_effort(&r), LLM_EFFORT_UNSET);
	assert_int_equal(llm_anthropic_budget(&r, &t, &max_output), 0);
	assert_int_equal(max_output, -1);
	assert_int_equal(llm_gemini_budget(&r, &t, true), -1);
	assert_false(llm_effort_read(SPAN("extreme"), &r));
	r.thinking = LLM_THINKING_OFF;
	assert_int_equal(llm_wanted_effort(&r), LLM_EFFORT_NONE);
	r.thinking = LLM_THINKING_ADAPTIVE;
	assert_int_equal(llm_wanted_effort(&r), LLM_EFFORT_HIGH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_budgets),
		cmocka_unit_test(a_budget_stays_below_the_cap),
		cmocka_unit_test(nothing_said_is_nothing_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
