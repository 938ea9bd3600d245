/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/model_name.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void splits_model_names(void **state)
{
	struct model_name m;
	struct err err = {0};

	assert_true(model_name_read(SPAN("openai/gpt-4o"), &m, NULL));
	assert_true(span_is(m.provider, "openai") && span_is(m.model, "gpt-4o") &&
		    span_is(m.full, "gpt-4o") && m.region.n == 0);
	assert_true(model_name_read(SPAN("vertex/anthropic/claude@v1@eu"), &m, NULL));
	assert_true(span_is(m.provider, "vertex") && span_is(m.model, "anthropic/claude@v1") &&
		    span_is(m.region, "eu") && span_is(m.full, "anthropic/claude@v1@eu"));
	assert_true(model_name_read(SPAN("a/b@"), &m, NULL) && m.region.n == 0 &&
		    span_is(m.model, "b@"));
	assert_true(model_name_read(SPAN("a/@b"), &m, NULL) && m.region.n == 0);
	assert_false(model_name_read(SPAN("gpt-4o"), &m, &err));
	assert_int_equal(err.code, ERR_MODEL_NOT_FOUND);
	assert_false(model_name_read(SPAN("/x"), &m, NULL) ||
		     model_name_read(SPAN("x/"), &m, NULL) || model_name_read(SPAN(""), &m, NULL) ||
		     model_name_read(SPAN("a/b\n"), &m, NULL));
}

static void a_version_is_no_region(void **state)
{
	assert_true(model_region_is_place(SPAN("eu-central-1")) &&
		    model_region_is_place(SPAN("global")) && model_region_is_place(SPAN("us")));
	assert_false(model_region_is_place(SPAN("20250929")) ||
		     model_region_is_place(SPAN("default")) || model_region_is_place(SPAN("")) ||
		     model_region_is_place(SPAN("a/b")) || model_region_is_place(SPAN("EU")));
}

static void finds_the_beginning_of_a_name(void **state)
{
	assert_true(model_begins(SPAN("o1-mini"), "gpt-5|o1"));
	assert_true(model_begins(SPAN("x"), NULL));
	assert_false(model_begins(SPAN("gpt-4o"), "gpt-5|o1") || model_begins(SPAN("o"), "o1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits_model_names),
		cmocka_unit_test(a_version_is_no_region),
		cmocka_unit_test(finds_the_beginning_of_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
