/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/media.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define PNG "iVBORw0KGgoAAAANSUhEUgAA"

static bool read_text(struct arena *a, const char *text, bool bare_ok, struct llm_media *m)
{
	struct err err = {0};

	*m = (struct llm_media){0};
	if (llm_media_read(a, span_of(text), bare_ok, m, &err))
		return true;
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	return false;
}

static void addresses_and_data(void **state)
{
	struct llm_media m;
	struct arena a;

	arena_init(&a, 1 << 16);
	assert_true(read_text(&a, "data:image/png;base64," PNG, false, &m));
	assert_int_equal(m.from, LLM_FROM_BASE64);
	assert_true(span_is(m.data, PNG));
	assert_true(span_is(m.mime, "image/png"));
	assert_true(read_text(&a, "data:;base64," PNG, false, &m));
	assert_true(span_is(m.mime, "image/png"));
	assert_true(read_text(&a, "data:text/plain;charset=utf-8,a%20b", false, &m));
	assert_true(span_is(m.data, "YSBi"));
	assert_true(read_text(&a, "https://example.com/a.png?x=1", false, &m));
	assert_int_equal(m.from, LLM_FROM_URL);
	assert_true(read_text(&a, PNG, true, &m));
	assert_false(read_text(&a, PNG, false, &m));
	assert_false(read_text(&a, "data:image/png;base64,a b", false, &m));
	assert_false(read_text(&a, "data:image/png;base64,", false, &m));
	assert_false(read_text(&a, "data:image/png", false, &m));
	assert_false(read_text(&a, "data:text/plain,%4", false, &m));
	assert_false(read_text(&a, "data:\"x\";base64," PNG, false, &m));
	assert_false(read_text(&a, "https://example.com/a b", false, &m));
	assert_false(read_text(&a, "file:///etc/passwd", true, &m));
	assert_false(read_text(&a, "", true, &m));
	arena_done(&a);
}

static void bytes_count_more_than_words(void **state)
{
	struct llm_media m = {
		.from = LLM_FROM_BASE64, .data = SPAN(PNG), .mime = SPAN("image/jpeg")};

	assert_true(span_is(llm_media_type(&m), "image/png"));
	m.data = SPAN("JVBERi0xLjQK");
	assert_true(span_is(llm_media_type(&m), "application/pdf"));
	m.data = SPAN("UklGRiQAAABXQVZF");
	assert_true(span_is(llm_media_type(&m), "audio/wav"));
	m.data = SPAN("AAAA");
	assert_true(span_is(llm_media_type(&m), "image/jpeg"));
	m.mime = (struct span){NULL, 0};
	m.name = SPAN("Report.CSV");
	assert_true(span_is(llm_media_type(&m), "text/csv"));
	m.name = SPAN("noext");
	assert_null(llm_media_type(&m).p);
	assert_string_equal(llm_media_format(SPAN("audio/mpeg")), "mp3");
	assert_null(llm_media_format(SPAN("application/x-what")));
}

/* What is written into JSON without a look at it cannot end a string there. */
static void what_needs_escapes_is_not_sound(void **state)
{
	static const char *const types[] = {
		"a\"b", "a\\b", "image/png\n", "a b", "\x7f", "\xc3\xa9"};
	static const char *const data[] = {
		"", "AAA", "AAA\"", "AA\nA", "A===", "AAAA AAAA", "AA-_"};
	struct llm_media m = {
		.from = LLM_FROM_BASE64, .data = SPAN("AAAA"), .mime = SPAN("image/x")};

	assert_true(llm_media_is_sound(&m));
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		m.mime = span_of(types[i]);
		assert_false(llm_media_is_sound(&m));
		assert_null(llm_media_type(&m).p);
	}
	m.mime = SPAN("image/x");
	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
		m.data = span_of(data[i]);
		assert_false(llm_media_is_sound(&m));
	}
	m.from = LLM_FROM_URL; /* a string like any other */
	assert_true(llm_media_is_sound(&m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_and_data),
		cmocka_unit_test(bytes_count_more_than_words),
		cmocka_unit_test(what_needs_escapes_is_not_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
