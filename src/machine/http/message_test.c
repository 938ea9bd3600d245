/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/http/message.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void finds_fields(void **state)
{
	struct http_head h = {.n = 3,
		.fields = {{SPAN("Accept"), SPAN("a")}, {SPAN("X-Key"), SPAN("")},
			{SPAN("ACCEPT"), SPAN("b")}}};

	(void)state;
	assert_true(span_is(http_field(&h, "accept"), "a"));
	assert_int_equal(http_field_count(&h, "accept"), 2);
	assert_non_null(http_field(&h, "x-key").p);
	assert_null(http_field(&h, "x-ke").p);
	assert_int_equal(http_field_count(&h, "x"), 0);
}

static void copies_a_head(void **state)
{
	char text[] = "GET /a?b HTTP/1.1\r\nHost: x\r\nEmpty:\r\n\r\n";
	struct http_head h = {.n = 2, .content_length = 7, .keep_alive = true};
	struct http_head *c;
	void *tail;

	(void)state;
	h.text = span_of(text);
	h.target = span_from(text + 4, 4);
	h.path = span_from(text + 4, 2);
	h.query = span_from(text + 7, 1);
	h.fields[0] = (struct http_field){span_from(text + 19, 4), span_from(text + 25, 1)};
	h.fields[1] = (struct http_field){span_from(text + 28, 5), span_from(text + 34, 0)};
	c = http_head_copy(&h, 24, &tail);
	assert_non_null(c);
	memset(text, '!', sizeof(text) - 1);
	assert_true(span_is(c->target, "/a?b") && span_is(c->path, "/a") && span_is(c->query, "b"));
	assert_true(span_is(http_field(c, "host"), "x"));
	assert_non_null(http_field(c, "empty").p);
	assert_int_equal(c->content_length, 7);
	assert_true(c->keep_alive);
	for (int i = 0; i < 24; i++)
		assert_int_equal(((char *)tail)[i], 0);
	memset(tail, 1, 24);
	assert_true(span_is(c->path, "/a"));
	free(c);
}

static void knows_what_may_be_written(void **state)
{
	(void)state;
	assert_true(http_is_token(SPAN("X-Api_Key!#$%&'*+.^`|~09")));
	assert_false(http_is_token(SPAN("")));
	for (const char *p = "()<>@,;:\\\"/[]?={} \t\r\n\x7f\xff"; *p != '\0'; p++)
		assert_false(http_is_token((struct span){p, 1}));
	assert_false(http_is_token(SPAN("\0")));
	assert_true(http_is_value(SPAN("a\tb \xc3\xa9")));
	assert_true(http_is_value(SPAN("")));
	assert_false(http_is_value(SPAN("a\rb")));
	assert_false(http_is_value(SPAN("a\nb")));
	assert_false(http_is_value(SPAN("a\0b")));
	assert_false(http_is_value(SPAN("\x7f")));
	assert_true(http_is_target(SPAN("/v1/models?limit=1")));
	assert_false(http_is_target(SPAN("")));
	assert_false(http_is_target(SPAN("/a b")));
	assert_false(http_is_target(SPAN("/a#b")));
	assert_false(http_is_target(SPAN("/\xc3\xa9")));
	assert_false(http_is_target(SPAN("/\r\nHost: x")));
}

/* Every byte at every place of a word, against the plain rule. */
static void judges_every_byte(void **state)
{
	char text[24];

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		bool value = (c >= 0x20 && c != 0x7f) || c == '\t';
		bool target = c > 0x20 && c < 0x7f && c != '#';

		for (size_t at = 0; at < sizeof(text); at++) {
			memset(text, 'x', sizeof(text));
			text[at] = (char)c;
			for (size_t n = at + 1; n <= sizeof(text); n++) {
				assert_int_equal(http_is_value((struct span){text, n}), value);
				assert_int_equal(http_is_target((struct span){text, n}), target);
			}
			memset(text, 0xff, sizeof(text));
			text[at] = (char)c;
			assert_int_equal(http_is_value((struct span){text, sizeof(text)}), value);
		}
	}
}

static void names_methods_and_statuses(void **state)
{
	(void)state;
	assert_string_equal(http_method_name(HTTP_OPTIONS), "OPTIONS");
	assert_string_equal(http_method_name((enum http_method)99), "");
	assert_string_equal(http_reason(431), "Request Header Fields Too Large");
	assert_string_equal(http_reason(299), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_fields),
		cmocka_unit_test(copies_a_head),
		cmocka_unit_test(knows_what_may_be_written),
		cmocka_unit_test(judges_every_byte),
		cmocka_unit_test(names_methods_and_statuses),
	};

	return cmocka_run_group_tests_name("http/message", tests, NULL, NULL);
}
