/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/route/attempt.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void the_class_of_an_error_decides(void **state)
{
	static const struct {
		enum err_code code;
		bool from_provider;
		enum attempt_next next;
	} rows[] = {
		{ERR_UPSTREAM, true, ATTEMPT_AGAIN},
		{ERR_UPSTREAM_UNREACHABLE, false, ATTEMPT_AGAIN},
		{ERR_UPSTREAM_TIMEOUT, false, ATTEMPT_AGAIN},
		{ERR_UPSTREAM_INVALID, false, ATTEMPT_AGAIN},
		{ERR_UPSTREAM_INTERRUPTED, false, ATTEMPT_AGAIN},
		{ERR_RATE_LIMITED, true, ATTEMPT_AGAIN},
		{ERR_RATE_LIMITED, false, ATTEMPT_STOP}, /* our own limit */
		{ERR_OVERLOADED, true, ATTEMPT_AGAIN},
		{ERR_OVERLOADED, false, ATTEMPT_STOP},
		{ERR_UPSTREAM_AUTH, true, ATTEMPT_NEXT},
		{ERR_CONTEXT_LENGTH, true, ATTEMPT_NEXT},
		{ERR_CONTEXT_LENGTH, false, ATTEMPT_NEXT},
		{ERR_UNSUPPORTED_PARAM, false, ATTEMPT_NEXT},
		{ERR_NO_OPERATION, false, ATTEMPT_NEXT},
		{ERR_MODEL_NOT_FOUND, true, ATTEMPT_NEXT},
		{ERR_FORBIDDEN, true, ATTEMPT_NEXT},
		{ERR_PAYMENT, true, ATTEMPT_NEXT},
		{ERR_PAYMENT, false, ATTEMPT_STOP},
		{ERR_BAD_REQUEST, true, ATTEMPT_OTHER_PROVIDER},
		{ERR_BAD_REQUEST, false, ATTEMPT_STOP},
		{ERR_CLIENT_GONE, false, ATTEMPT_STOP},
		{ERR_SHUTTING_DOWN, false, ATTEMPT_STOP},
		{ERR_NO_MEMORY, false, ATTEMPT_STOP},
		{ERR_BAD_JSON, false, ATTEMPT_STOP},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (attempt_after(rows[i].code, rows[i].from_provider) != rows[i].next)
			fail_msg("%s, %d", err_row(rows[i].code)->name, rows[i].from_provider);
}

static void waits_double_up_to_a_bound(void **state)
{
	static const int want[] = {500, 1000, 2000, 4000, 4000, 4000};

	for (int n = 1; n <= 6; n++) {
		int least = 1 << 30, most = 0;

		for (uint64_t chance = 0; chance < 5000; chance++) {
			int ms = attempt_wait_ms(n, ERR_UPSTREAM, 60000, chance);

			least = ms < least ? ms : least;
			most = ms > most ? ms : most;
		}
		assert_int_equal(least, want[n - 1] * 9 / 10);
		assert_int_equal(most, want[n - 1] * 11 / 10);
	}
}

static void a_limit_is_waited_for(void **state)
{
	assert_int_equal(attempt_wait_ms(1, ERR_RATE_LIMITED, 0, 1000), 1000);
	assert_int_equal(attempt_wait_ms(1, ERR_RATE_LIMITED, 3000, 1000), 3000);
	assert_int_equal(attempt_wait_ms(4, ERR_RATE_LIMITED, 3000, 1000), 8000);
	assert_int_equal(attempt_wait_ms(1, ERR_RATE_LIMITED, 10000, 1000), 10000);
	assert_int_equal(attempt_wait_ms(1, ERR_RATE_LIMITED, 10001, 1000), -1);
}

static void what_a_provider_asks_for(void **state)
{
	const struct span none = {NULL, 0};

	assert_int_equal(attempt_retry_after_ms(SPAN("3"), none), 3000);
	assert_int_equal(attempt_retry_after_ms(SPAN("3"), SPAN("250")), 250);
	assert_int_equal(attempt_retry_after_ms(none, none), 0);
	assert_int_equal(attempt_retry_after_ms(SPAN("Wed, 21 Oct 2026 07:28:00 GMT"), none), 0);
	assert_int_equal(attempt_retry_after_ms(SPAN("99999999999"), none), 86400000);
	assert_int_equal(attempt_retry_after_ms(SPAN("-1"), SPAN("1e9")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_class_of_an_error_decides),
		cmocka_unit_test(waits_double_up_to_a_bound),
		cmocka_unit_test(a_limit_is_waited_for),
		cmocka_unit_test(what_a_provider_asks_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
