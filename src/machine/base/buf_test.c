/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void appends_and_consumes_in_order(void **state)
{
	struct buf b;
	unsigned char next_in = 0, next_out = 0;
	unsigned seed = 1;

	buf_init(&b, 4096);
	for (int round = 0; round < 20000; round++) {
		seed = seed * 1103515245 + 12345;
		for (unsigned i = 0; i < ((seed >> 16) & 63) && b.n < 4000; i++)
			assert_true(buf_append_char(&b, (char)next_in++));
		for (unsigned i = (seed >> 24) & 63; i > 0 && b.n > 0; i--) {
			assert_int_equal((unsigned char)buf_span(&b).p[0], next_out++);
			buf_consume(&b, 1);
		}
	}
	assert_true(b.cap <= 8192);
	buf_done(&b);
}

static void stops_at_its_maximum_and_stays_failed(void **state)
{
	struct buf b;

	buf_init(&b, 300);
	for (int i = 0; i < 300; i++)
		assert_true(buf_append_char(&b, 'x'));
	assert_false(buf_append_char(&b, 'x'));
	buf_consume(&b, 100);
	assert_false(buf_append_char(&b, 'x'));
	assert_int_equal(b.n, 200);
	buf_clear(&b);
	assert_true(buf_append_cstr(&b, "again"));
	buf_done(&b);
}

static void writes_numbers(void **state)
{
	struct buf b;

	buf_init(&b, 1024);
	buf_append_u64(&b, 0);
	buf_append_char(&b, ' ');
	buf_append_i64(&b, INT64_MIN);
	buf_printf(&b, " %s-%d", "x", 7);
	assert_true(span_is(buf_span(&b), "0 -9223372036854775808 x-7"));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_and_consumes_in_order),
		cmocka_unit_test(stops_at_its_maximum_and_stays_failed),
		cmocka_unit_test(writes_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
