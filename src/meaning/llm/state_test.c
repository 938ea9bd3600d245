/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/state.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void a_wrapped_state_comes_back(void **state)
{
	const struct llm_state s = {.maker = LLM_MAKER_GEMINI,
		.scope = SPAN("my-vertex"),
		.id = SPAN("rs_1"),
		.data = SPAN("a.b.c/=")};
	struct llm_state back;
	struct buf b;

	buf_init(&b, 1000);
	assert_true(llm_state_wrap(&b, &s));
	llm_state_read(buf_span(&b), LLM_MAKER_ANTHROPIC, &back);
	assert_int_equal(back.maker, LLM_MAKER_GEMINI);
	assert_true(span_is(back.scope, "my-vertex"));
	assert_true(span_is(back.id, "rs_1"));
	assert_true(span_is(back.data, "a.b.c/="));
	buf_done(&b);
}

static void a_bare_state_is_the_formats_own(void **state)
{
	struct llm_state s;

	llm_state_read(SPAN("Eq0B"), LLM_MAKER_ANTHROPIC, &s);
	assert_int_equal(s.maker, LLM_MAKER_ANTHROPIC);
	assert_true(span_is(s.data, "Eq0B"));
	llm_state_read(SPAN("sluice.nobody.x.y.z"), LLM_MAKER_OPENAI, &s);
	assert_int_equal(s.maker, LLM_MAKER_OPENAI);
	assert_true(span_is(s.data, "sluice.nobody.x.y.z"));
	llm_state_read((struct span){NULL, 0}, LLM_MAKER_OPENAI, &s);
	assert_int_equal(s.maker, LLM_MAKER_NONE);
}

static void only_its_maker_and_scope_get_it(void **state)
{
	struct llm_state s = {.maker = LLM_MAKER_OPENAI, .scope = SPAN("a"), .data = SPAN("x")};

	assert_true(llm_state_fits(&s, LLM_MAKER_OPENAI, SPAN("a")));
	assert_false(llm_state_fits(&s, LLM_MAKER_OPENAI, SPAN("b")));
	assert_false(llm_state_fits(&s, LLM_MAKER_GEMINI, SPAN("a")));
	s.scope.n = 0;
	assert_true(llm_state_fits(&s, LLM_MAKER_OPENAI, SPAN("b")));
	s.maker = LLM_MAKER_NONE;
	assert_false(llm_state_fits(&s, LLM_MAKER_NONE, SPAN("b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrapped_state_comes_back),
		cmocka_unit_test(a_bare_state_is_the_formats_own),
		cmocka_unit_test(only_its_maker_and_scope_get_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
