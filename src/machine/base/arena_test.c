/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/arena.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void gives_aligned_memory_until_the_cap(void **state)
{
	struct arena a;
	char *p;

	arena_init(&a, 64);
	p = arena_alloc(&a, 1);
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
	assert_non_null(arena_alloc(&a, 48));
	assert_false(a.failed);
	assert_null(arena_alloc(&a, 1));
	assert_true(a.failed);
	arena_done(&a);
	assert_false(a.failed);
	assert_non_null(arena_alloc(&a, 64));
	arena_done(&a);
}

static void failure_is_sticky(void **state)
{
	struct arena a;

	arena_init(&a, 1024);
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, 1));
	assert_null(arena_copy(&a, SPAN("x")).p);
	assert_null(arena_printf(&a, "%d", 1).p);
	arena_done(&a);
}

static void copies_end_in_nul(void **state)
{
	struct arena a;
	struct span s;

	arena_init(&a, 1 << 20);
	for (int i = 0; i < 1000; i++) {
		s = arena_printf(&a, "%s %d", "line", i);
		assert_int_equal(s.p[s.n], 0);
		s = arena_copy(&a, (struct span){"abc", 2});
		assert_string_equal(s.p, "ab");
		s = arena_join(&a, (const struct span[]){SPAN("a"), {NULL, 0}, SPAN("bc")}, 3);
		assert_string_equal(s.p, "abc");
	}
	assert_non_null(arena_zalloc(&a, 200000));
	assert_false(a.failed);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_aligned_memory_until_the_cap),
		cmocka_unit_test(failure_is_sticky),
		cmocka_unit_test(copies_end_in_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
