/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void reads_numbers_exactly(void **state)
{
	uint64_t u;
	int64_t i;

	assert_true(text_u64(SPAN("18446744073709551615"), &u) && u == UINT64_MAX);
	assert_false(text_u64(SPAN("18446744073709551616"), &u));
	assert_false(
		text_u64(SPAN(""), &u) || text_u64(SPAN("+1"), &u) || text_u64(SPAN("1 "), &u));
	assert_true(text_i64(SPAN("-9223372036854775808"), &i) && i == INT64_MIN);
	assert_false(text_i64(SPAN("9223372036854775808"), &i) || text_i64(SPAN("-"), &i));
}

static void knows_utf8(void **state)
{
	assert_true(text_is_utf8(SPAN("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
	assert_false(text_is_utf8(SPAN("\xc0\x80")));
	assert_false(text_is_utf8(SPAN("\xed\xa0\x80")));
	assert_false(text_is_utf8(SPAN("\xf4\x90\x80\x80")));
	assert_false(text_is_utf8(SPAN("\xe2\x82")));
	assert_false(text_is_utf8(SPAN("\x80")));
}

static void escapes_for_json(void **state)
{
	struct buf b;

	buf_init(&b, 1024);
	text_json_string(&b, SPAN("a\"\\\n\x01\xc3\xa9\xff.\x7f"));
	assert_true(span_is(buf_span(&b), "\"a\\\"\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbd.\\u007f\""));
	buf_done(&b);
}

static void suggests_the_nearest_name(void **state)
{
	const char *const names[] = {"listen", "data_dir", "workers", NULL};

	assert_string_equal(text_nearest(SPAN("listne"), names), "listen");
	assert_string_equal(text_nearest(SPAN("worker"), names), "workers");
	assert_null(text_nearest(SPAN("zebra"), names));
	assert_int_equal(text_distance(SPAN("kitten"), SPAN("sitting")), 3);
}

static void writes_times(void **state)
{
	char out[32];

	assert_int_equal(text_rfc3339(out, 0), 24);
	assert_string_equal(out, "1970-01-01T00:00:00.000Z");
	text_rfc3339(out, 1795396623004);
	assert_string_equal(out, "2026-11-23T01:17:03.004Z");
	text_rfc3339(out, -1);
	assert_string_equal(out, "1969-12-31T23:59:59.999Z");
	assert_int_equal(text_rfc3339(out, INT64_MAX), 0);
}

static void hex_goes_both_ways(void **state)
{
	uint8_t bytes[2];
	char out[4];

	assert_true(text_unhex(bytes, 2, SPAN("0aFf")));
	text_hex(out, bytes, 2);
	assert_memory_equal(out, "0aff", 4);
	assert_false(text_unhex(bytes, 2, SPAN("0aF")));
	assert_false(text_unhex(bytes, 2, SPAN("0aFg")));
}

static void a_head_ends_between_characters(void **state)
{
	const struct span s = SPAN("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	const size_t ends[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};

	for (size_t n = 0; n < sizeof(ends) / sizeof(ends[0]); n++)
		assert_int_equal(text_head(s, n).n, ends[n]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_ends_between_characters),
		cmocka_unit_test(reads_numbers_exactly),
		cmocka_unit_test(knows_utf8),
		cmocka_unit_test(escapes_for_json),
		cmocka_unit_test(suggests_the_nearest_name),
		cmocka_unit_test(writes_times),
		cmocka_unit_test(hex_goes_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
