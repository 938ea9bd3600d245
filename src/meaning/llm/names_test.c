/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/names.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void legal_names_stay(void **state)
{
	struct arena a;

	arena_init(&a, 1 << 16);
	assert_true(span_is(llm_fit_name(&a, SPAN("get_weather-2"), 64), "get_weather-2"));
	assert_true(span_is(llm_fit_id(&a, SPAN("abcDEF123"), 64, 9), "abcDEF123"));
	arena_done(&a);
}

static void others_are_fitted_and_found(void **state)
{
	static const char long_name[] =
		"mcp__a_server_with_a_long_name__and_a_tool_with_a_name_that_is_longer_still";
	struct llm_request *q;
	struct span fitted, other;
	struct arena a;

	arena_init(&a, 1 << 16);
	q = llm_request_new(&a);
	llm_add_tool(&a, q, LLM_TOOL_FUNCTION)->name = span_of(long_name);
	llm_add_tool(&a, q, LLM_TOOL_FUNCTION)->name = SPAN("wetter für heute");
	fitted = llm_fit_name(&a, span_of(long_name), 64);
	assert_int_equal(fitted.n, 64);
	assert_true(span_eq(fitted, llm_fit_name(&a, span_of(long_name), 64)));
	assert_true(span_is(llm_find_fitted(q, fitted)->name, long_name));
	other = llm_fit_name(&a, SPAN("wetter für heute"), 128);
	assert_true(span_is(llm_find_fitted(q, other)->name, "wetter für heute"));
	assert_null(llm_find_fitted(q, SPAN("unknown")));
	assert_false(span_eq(llm_fit_name(&a, SPAN("a b"), 64), llm_fit_name(&a, SPAN("a c"), 64)));
	arena_done(&a);
}

static void ids_of_nine(void **state)
{
	struct span one, two;
	struct arena a;

	arena_init(&a, 1 << 16);
	one = llm_fit_id(&a, SPAN("call_abcdefghijkl"), 64, 9);
	two = llm_fit_id(&a, SPAN("call_abcdefghijkm"), 64, 9);
	assert_int_equal(one.n, 9);
	assert_int_equal(two.n, 9);
	assert_false(span_eq(one, two));
	for (size_t i = 0; i < 9; i++)
		assert_true((one.p[i] >= '0' && one.p[i] <= '9') ||
			    (one.p[i] >= 'a' && one.p[i] <= 'z'));
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legal_names_stay),
		cmocka_unit_test(others_are_fitted_and_found),
		cmocka_unit_test(ids_of_nine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
