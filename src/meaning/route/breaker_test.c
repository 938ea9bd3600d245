/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/route/breaker.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define START 1000000

static struct breaker opened(void)
{
	struct breaker b = {0};

	for (int i = 0; i < BREAKER_FAILURES; i++) {
		assert_false(breaker_is_open(&b, START));
		breaker_failure(&b, START);
	}
	assert_true(breaker_is_open(&b, START));
	return b;
}

static void failures_in_a_row_open_it(void **state)
{
	struct breaker b = opened();

	assert_true(breaker_is_open(&b, START + BREAKER_PAUSE_MS - 1));
	assert_false(breaker_is_open(&b, START + BREAKER_PAUSE_MS));
}

static void a_success_between_them_counts(void **state)
{
	struct breaker b = {0};

	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < BREAKER_FAILURES - 1; k++)
			breaker_failure(&b, START);
		breaker_success(&b);
	}
	assert_false(breaker_is_open(&b, START));
}

static void old_failures_are_forgotten(void **state)
{
	struct breaker b = {0};

	for (int i = 0; i < 100; i++)
		breaker_failure(&b, START + (int64_t)i * BREAKER_WINDOW_MS / 3);
	assert_false(breaker_is_open(&b, START + 40 * BREAKER_WINDOW_MS));
}

static void one_tries_and_decides(void **state)
{
	int64_t later = START + BREAKER_PAUSE_MS;
	struct breaker b = opened();

	breaker_enter(&b, later);
	assert_true(breaker_is_open(&b, later)); /* the others wait */
	breaker_success(&b);
	assert_false(breaker_is_open(&b, later));
	b = opened();
	breaker_enter(&b, later);
	breaker_failure(&b, later + 10);
	assert_true(breaker_is_open(&b, later + BREAKER_PAUSE_MS));
	assert_false(breaker_is_open(&b, later + 10 + BREAKER_PAUSE_MS));
}

static void a_trial_that_never_ends_frees_its_place(void **state)
{
	int64_t later = START + BREAKER_PAUSE_MS;
	struct breaker b = opened();

	breaker_enter(&b, later);
	assert_true(breaker_is_open(&b, later + BREAKER_TRIAL_MS - 1));
	assert_false(breaker_is_open(&b, later + BREAKER_TRIAL_MS));
}

/* Requests that were sent before it opened fail one by one: that is no reason to wait longer. */
static void late_failures_change_nothing(void **state)
{
	struct breaker b = opened();

	breaker_failure(&b, START + BREAKER_PAUSE_MS - 1);
	assert_false(breaker_is_open(&b, START + BREAKER_PAUSE_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_in_a_row_open_it),
		cmocka_unit_test(a_success_between_them_counts),
		cmocka_unit_test(old_failures_are_forgotten),
		cmocka_unit_test(one_tries_and_decides),
		cmocka_unit_test(a_trial_that_never_ends_frees_its_place),
		cmocka_unit_test(late_failures_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
