/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "machine/base/buf.h"
#include "meaning/dialect/shared.h"

struct outcome {
	struct arena arena;
	struct llm_metadata meta;
	struct err err;
	bool ok;
};

/* The object is read after its text is gone: all must be owned by the arena. */
static struct outcome read_object(struct span object)
{
	struct outcome o = {.ok = false};
	struct buf text;
	yyjson_doc *doc;

	arena_init(&o.arena, 1 << 20);
	buf_init(&text, 1 << 20);
	buf_append_cstr(&text, "{\"model\":\"m\",\"requesty\":");
	buf_append(&text, object);
	buf_append_cstr(&text, "}");
	doc = json_read(NULL, buf_span(&text), NULL);
	assert_non_null(doc);
	o.ok = dialect_read_requesty(
		yyjson_doc_get_root(doc), buf_span(&text), &o.arena, &o.meta, &o.err);
	json_free(doc);
	buf_done(&text);
	return o;
}

static void reads_all_members(void **state)
{
	struct outcome o = read_object(SPAN("{\"tags\": [\"a\", \"b\"],\"user_id\":\"u\\n\","
					    "\"trace_id\":\"t\",\"extra\":{\"k\": {\"deep\":[1]} },"
					    "\"auto_cache\":false,\"unknown\":1}"));

	assert_true(o.ok);
	assert_true(span_is(o.meta.tags, "[\"a\", \"b\"]"));
	assert_true(span_is(o.meta.user_id, "u\n") && span_is(o.meta.trace_id, "t"));
	assert_true(span_is(o.meta.extra, "{\"k\": {\"deep\":[1]} }"));
	assert_true(o.meta.has_auto_cache && !o.meta.auto_cache);
	arena_done(&o.arena);
	o = read_object(SPAN("{\"tags\":null,\"user_id\":null}"));
	assert_true(o.ok && o.meta.tags.p == NULL && !o.meta.has_auto_cache);
	arena_done(&o.arena);
	o = read_object(SPAN("null"));
	assert_true(o.ok);
	arena_done(&o.arena);
}

static void refuses(struct span object, const char *param)
{
	struct outcome o = read_object(object);

	assert_false(o.ok);
	assert_int_equal(o.err.code, ERR_BAD_REQUEST);
	assert_string_equal(o.err.param, param);
	arena_done(&o.arena);
}

static void refuses_wrong_types(void **state)
{
	refuses(SPAN("[]"), "requesty");
	refuses(SPAN("\"x\""), "requesty");
	refuses(SPAN("{\"tags\":\"a\"}"), "requesty.tags");
	refuses(SPAN("{\"tags\":[1]}"), "requesty.tags");
	refuses(SPAN("{\"user_id\":1}"), "requesty.user_id");
	refuses(SPAN("{\"trace_id\":{}}"), "requesty.trace_id");
	refuses(SPAN("{\"extra\":[]}"), "requesty.extra");
	refuses(SPAN("{\"auto_cache\":1}"), "requesty.auto_cache");
	refuses(SPAN("{\"tags\":[],\"tags\":[]}"), "tags");
}

/* before, then n times `unit` (its %d replaced by the number), then after. */
static struct span repeat(
	struct buf *b, const char *before, const char *unit, int n, const char *after)
{
	buf_clear(b);
	buf_append_cstr(b, before);
	for (int i = 0; i < n; i++) {
		const char *hole = strchr(unit, '#');

		if (i > 0 && hole != NULL)
			buf_append_char(b, ',');
		buf_append(b, span_from(unit, hole != NULL ? (size_t)(hole - unit) : strlen(unit)));
		if (hole != NULL) {
			buf_append_u64(b, (uint64_t)i);
			buf_append_cstr(b, hole + 1);
		}
	}
	buf_append_cstr(b, after);
	return buf_span(b);
}

static void accepts(struct span object)
{
	struct outcome o = read_object(object);

	assert_true(o.ok);
	arena_done(&o.arena);
}

static void keeps_the_limits(void **state)
{
	struct buf b;

	buf_init(&b, 1 << 16);
	accepts(repeat(&b, "{\"tags\":[", "\"t#\"", 32, "]}"));
	refuses(repeat(&b, "{\"tags\":[", "\"t#\"", 33, "]}"), "requesty.tags");
	accepts(repeat(&b, "{\"tags\":[\"", "x", 128, "\"]}"));
	refuses(repeat(&b, "{\"tags\":[\"", "x", 129, "\"]}"), "requesty.tags");
	accepts(repeat(&b, "{\"user_id\":\"", "x", 256, "\"}"));
	refuses(repeat(&b, "{\"user_id\":\"", "x", 257, "\"}"), "requesty.user_id");
	refuses(repeat(&b, "{\"trace_id\":\"", "x", 257, "\"}"), "requesty.trace_id");
	accepts(repeat(&b, "{\"extra\":{", "\"k#\":1", 32, "}}"));
	refuses(repeat(&b, "{\"extra\":{", "\"k#\":1", 33, "}}"), "requesty.extra");
	accepts(repeat(&b, "{\"extra\":{\"", "k", 64, "\":1}}"));
	refuses(repeat(&b, "{\"extra\":{\"", "k", 65, "\":1}}"), "requesty.extra");
	accepts(repeat(&b, "{\"extra\":{\"k\":\"", "x", 1024, "\"}}"));
	refuses(repeat(&b, "{\"extra\":{\"k\":\"", "x", 1025, "\"}}"), "requesty.extra");
	accepts(repeat(&b, "{\"extra\":{\"k\":[\"", "x", 1020, "\"]}}"));
	refuses(repeat(&b, "{\"extra\":{\"k\":[\"", "x", 1021, "\"]}}"), "requesty.extra");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_all_members),
		cmocka_unit_test(refuses_wrong_types),
		cmocka_unit_test(keeps_the_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
