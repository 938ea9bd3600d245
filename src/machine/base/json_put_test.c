/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "machine/base/json_put.h"

static void assert_text(const struct buf *b, const char *wanted)
{
	char text[512];
	struct span s = buf_span(b);

	assert_false(b->failed);
	assert_true(s.n < sizeof(text));
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	assert_string_equal(text, wanted);
}

static void commas_stand_where_they_are_due(void **state)
{
	struct buf b;

	buf_init(&b, 512);
	buf_append_char(&b, '{');
	json_put_str(&b, "a", SPAN("x"));
	json_put_open(&b, "list", '[');
	json_put_int(&b, NULL, -1);
	json_put_bool(&b, NULL, true);
	json_put_null(&b, NULL);
	json_put_open(&b, NULL, '{');
	buf_append_cstr(&b, "}]");
	json_put_key(&b, "deep");
	buf_append_char(&b, '{');
	json_put_raw(&b, "raw", SPAN("1.50"));
	buf_append_cstr(&b, "}}");
	assert_text(&b, "{\"a\":\"x\",\"list\":[-1,true,null,{}],\"deep\":{\"raw\":1.50}}");
	buf_done(&b);
}

/* The byte before decides, so a string that ends like an opening bracket must not. */
static void a_string_is_not_taken_for_a_bracket(void **state)
{
	struct buf b;

	buf_init(&b, 512);
	buf_append_char(&b, '[');
	json_put_cstr(&b, NULL, "{");
	json_put_cstr(&b, NULL, "[");
	json_put_cstr(&b, NULL, "a:");
	json_put_cstr(&b, NULL, "\n");
	json_put_cstr(&b, NULL, "");
	buf_append_char(&b, ']');
	assert_text(&b, "[\"{\",\"[\",\"a:\",\"\\n\",\"\"]");
	buf_done(&b);
}

static void values_keep_numbers_and_order(void **state)
{
	static const char text[] =
		"{\"z\":1.0e2,\"a\":[12345678901234567890,-0.0],\"s\":\"\\u00e9\\\"\"}";
	yyjson_doc *doc = json_read_raw(NULL, span_of(text), false, NULL);
	struct buf b;

	assert_non_null(doc);
	buf_init(&b, 512);
	buf_append_char(&b, '[');
	json_put_val(&b, NULL, yyjson_doc_get_root(doc));
	json_put_val(&b, NULL, json_get(yyjson_doc_get_root(doc), "a"));
	buf_append_char(&b, ']');
	assert_text(&b, "[{\"z\":1.0e2,\"a\":[12345678901234567890,-0.0],\"s\":\"\xc3\xa9\\\"\"},"
			"[12345678901234567890,-0.0]]");
	buf_done(&b);
	json_free(doc);
}

static void what_does_not_fit_sticks(void **state)
{
	struct buf b;

	buf_init(&b, 8);
	json_put_cstr(&b, NULL, "longer than eight");
	assert_true(b.failed);
	json_put_int(&b, NULL, 1);
	assert_true(b.failed);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_stand_where_they_are_due),
		cmocka_unit_test(a_string_is_not_taken_for_a_bracket),
		cmocka_unit_test(values_keep_numbers_and_order),
		cmocka_unit_test(what_does_not_fit_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
