/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/span.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void compares_with_and_without_case(void **state)
{
	assert_true(span_eq(SPAN("ab"), span_of("ab")));
	assert_false(span_eq(SPAN("ab"), SPAN("aB")));
	assert_true(span_eq_nocase(SPAN("Content-Length"), SPAN("content-length")));
	assert_false(span_eq_nocase(SPAN("a["), SPAN("a{")));
	assert_true(span_eq((struct span){NULL, 0}, SPAN("")));
	assert_true(span_starts(SPAN("abc"), SPAN("ab")));
	assert_false(span_starts(SPAN("a"), SPAN("ab")));
	assert_true(span_ends(SPAN("abc"), SPAN("bc")));
	assert_true(span_starts_nocase(SPAN("BEARER x"), SPAN("bearer ")));
}

static void finds_and_trims(void **state)
{
	struct span s = SPAN(" \t a b\t");

	assert_true(span_is(span_trim(s), "a b"));
	assert_int_equal(span_trim(SPAN("  ")).n, 0);
	assert_int_equal(span_find_char(SPAN("a/b/c"), '/'), 1);
	assert_int_equal(span_find_last_char(SPAN("a/b/c"), '/'), 3);
	assert_int_equal(span_find_char((struct span){NULL, 0}, '/'), -1);
	assert_int_equal(span_find(SPAN("hello"), SPAN("llo")), 2);
	assert_int_equal(span_find(SPAN("hello"), SPAN("x")), -1);
	assert_int_equal(span_find(SPAN("hello"), SPAN("")), 0);
}

static void cuts_until_nothing_is_left(void **state)
{
	struct span rest = SPAN("a,,b");

	assert_true(span_is(span_cut(&rest, ','), "a"));
	assert_true(span_is(span_cut(&rest, ','), ""));
	assert_true(span_is(span_cut(&rest, ','), "b"));
	assert_null(rest.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_with_and_without_case),
		cmocka_unit_test(finds_and_trims),
		cmocka_unit_test(cuts_until_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
