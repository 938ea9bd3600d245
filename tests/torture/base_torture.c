/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "machine/base/arena.h"
#include "machine/base/base64.h"
#include "machine/base/buf.h"
#include "machine/base/json.h"
#include "machine/base/text.h"
#include "torture.h"

/* A failed growth leaves what was there, and nothing is added after it. */
static bool grow_buf(const void *arg)
{
	struct buf b;
	size_t expected = 0;

	buf_init(&b, 1 << 20);
	for (int i = 0; i < 2000; i++) {
		bool ok = buf_append(&b, SPAN("some bytes of text")) &&
			  buf_append_u64(&b, 1234567) && buf_append_char(&b, '\n');

		if (!ok)
			break;
		expected += 26;
		assert_int_equal(b.n, expected);
	}
	assert_true(b.n >= expected);
	assert_true(b.failed || b.n == 2000 * 26);
	for (size_t i = 0; i + 26 <= b.n; i += 26)
		assert_memory_equal(buf_span(&b).p + i, "some bytes of text1234567\n", 26);
	bool ok = !b.failed;

	if (!ok) {
		size_t n = b.n;

		assert_null(buf_room(&b, 1));
		assert_false(buf_append_char(&b, 'x'));
		assert_int_equal(b.n, n);
		buf_clear(&b);
		assert_false(b.failed);
	}
	buf_done(&b);
	return ok;
}

static bool print_buf(const void *arg)
{
	static char big[20000];
	struct buf b;
	bool ok = true;

	memset(big, 'x', sizeof(big) - 1);
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 4; i++)
		ok &= buf_printf(&b, "%s %d", big, i);
	for (int i = 0; i < 200; i++)
		ok &= text_json_string(&b, SPAN("a \"text\" with \n and \xff in it"));
	ok &= base64_write(&b, span_from(big, 5000));
	assert_int_equal(ok, !b.failed);
	buf_done(&b);
	return ok;
}

static bool read_base64(const void *arg)
{
	char text[4000];
	struct buf b;
	bool ok;

	memset(text, 'A', sizeof(text));
	buf_init(&b, 1 << 20);
	ok = base64_read(&b, span_from(text, sizeof(text)));
	assert_int_equal(b.n, ok ? 3000 : 0);
	buf_done(&b);
	return ok;
}

/* Everything that was given stays good; everything after the first failure is NULL. */
static bool fill_arena(const void *arg)
{
	char *given[300];
	struct arena a;
	int n = 0;
	bool ok;

	arena_init(&a, 1 << 20);
	for (; n < 300; n++) {
		struct span copy;

		given[n] = arena_alloc(&a, (size_t)n * 7);
		if (given[n] == NULL)
			break;
		memset(given[n], n, (size_t)n * 7);
		copy = arena_printf(&a, "number %d", n);
		if (copy.p == NULL || arena_cstr(&a, copy) == NULL) {
			n++;
			break;
		}
		assert_true(span_starts(copy, SPAN("number ")));
	}
	for (int i = 0; i < n; i++) {
		for (int j = 0; j < i * 7; j++)
			assert_int_equal((unsigned char)given[i][j], (unsigned char)i);
	}
	ok = !a.failed;
	assert_int_equal(ok, n == 300);
	if (!ok) {
		assert_null(arena_alloc(&a, 1));
		assert_null(arena_copy(&a, SPAN("x")).p);
		assert_null(arena_zalloc(&a, 1));
	}
	arena_done(&a);
	return ok;
}

/* A document that yyjson has to ask for more memory for. */
static void make_document(struct buf *text, bool is_broken)
{
	torture_pause();
	buf_init(text, 1 << 20);
	buf_append_cstr(text, "{\"model\":\"gpt-4o\",\"list\":[");
	for (int i = 0; i < 20000; i++)
		buf_append_cstr(text, i == 0 ? "1" : ",1");
	buf_append_cstr(text, is_broken ? "],\"a\":\"caf\\ud83d\"}" : "],\"a\":\"caf\"}");
	assert_false(text->failed);
	torture_resume();
}

static bool read_json(const void *arg)
{
	const bool *is_loose = arg;
	struct buf text;
	struct err err = {0};
	yyjson_doc *doc;

	make_document(&text, *is_loose);
	doc = *is_loose ? json_read_loose(NULL, buf_span(&text), &err)
			: json_read(NULL, buf_span(&text), &err);
	if (doc == NULL) {
		assert_int_equal(err.code, ERR_NO_MEMORY);
	} else {
		struct span model;

		assert_true(json_get_str(yyjson_doc_get_root(doc), "model", &model));
		assert_true(span_is(model, "gpt-4o"));
	}
	json_free(doc);
	buf_done(&text);
	return doc != NULL;
}

static bool edit_json(const void *arg)
{
	const struct span text =
		SPAN("{\"model\":\"a\",\"requesty\":{\"tags\":[]},\"stream\":true}");
	const char *expected = "{\"model\":\"b\",\"stream\":true,\"stream_options\":"
			       "{\"include_usage\":true},\"user\":\"u\"}";
	struct span spans[2 * JSON_MAX_SPLICES + 1];
	struct json_edit e;
	struct arena a;
	char out[256];
	size_t at = 0;
	int n;

	arena_init(&a, 1 << 16);
	json_edit_init(&e, &a, text);
	json_edit_set(&e, "model", SPAN("\"b\""));
	json_edit_remove(&e, "requesty");
	json_edit_set(&e, "stream_options.include_usage", SPAN("true"));
	json_edit_set(&e, "user", SPAN("\"u\""));
	n = json_edit_spans(&e, spans, 2 * JSON_MAX_SPLICES + 1);
	if (n < 0) {
		assert_true(torture_has_refused());
		assert_int_equal(json_edit_size(&e), 0);
		assert_int_equal(json_edit_spans(&e, spans, 2 * JSON_MAX_SPLICES + 1), -1);
	} else {
		for (int i = 0; i < n; i++) {
			assert_true(at + spans[i].n < sizeof(out));
			memcpy(out + at, spans[i].p, spans[i].n);
			at += spans[i].n;
		}
		out[at] = '\0';
		assert_string_equal(out, expected);
		assert_int_equal(json_edit_size(&e), at);
	}
	arena_done(&a);
	return n >= 0;
}

static void buf_survives(void **state)
{
	torture("buf append", grow_buf, NULL);
	torture("buf printf and escapes", print_buf, NULL);
	torture("base64 read", read_base64, NULL);
}

static void arena_survives(void **state)
{
	torture("arena", fill_arena, NULL);
}

static void json_survives(void **state)
{
	static const bool loose[] = {false, true};

	torture("json read", read_json, &loose[0]);
	torture("json read loose", read_json, &loose[1]);
	torture("json edit", edit_json, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_survives),
		cmocka_unit_test(arena_survives),
		cmocka_unit_test(json_survives),
	};

	return cmocka_run_group_tests_name("torture/base", tests, NULL, NULL);
}
