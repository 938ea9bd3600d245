/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/schema.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

static bool enforced(const char *schema, struct buf *out)
{
	struct err err = {0};
	yyjson_doc *doc = json_read_raw(NULL, span_of(schema), false, &err);
	bool ok, looked;

	assert_non_null(doc);
	buf_clear(out);
	looked = llm_schema_enforced(NULL, yyjson_doc_get_root(doc));
	ok = llm_schema_enforced(out, yyjson_doc_get_root(doc));
	assert_int_equal(looked, ok);
	json_free(doc);
	return ok;
}

static void becomes(const char *schema, const char *wanted)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_true(enforced(schema, &out));
	assert_int_equal(out.n, strlen(wanted));
	assert_memory_equal(buf_span(&out).p, wanted, out.n);
	buf_done(&out);
}

static void refuses(const char *schema)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	assert_false(enforced(schema, &out));
	buf_done(&out);
}

static void objects_are_closed(void **state)
{
	becomes("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":"
		"\"integer\"}},\"required\":[\"a\"]}",
		"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":"
		"\"integer\"}},\"required\":[\"a\"],\"additionalProperties\":false}");
}

static void limits_are_said_in_the_description(void **state)
{
	becomes("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"number\",\"minimum\":0.50,"
		"\"maximum\":1e3,\"description\":\"a share\"},\"s\":{\"type\":\"string\","
		"\"pattern\":\"^a\"}}}",
		"{\"type\":\"object\",\"properties\":{\"n\":{\"description\":\"a share\\n\\n"
		"{minimum: 0.50, maximum: 1e3}\",\"type\":\"number\"},\"s\":{\"description\":"
		"\"{pattern: \\\"^a\\\"}\",\"type\":\"string\"}},\"additionalProperties\":false}");
}

static void known_formats_and_small_minimums_stay(void **state)
{
	becomes("{\"type\":\"object\",\"properties\":{\"d\":{\"type\":\"string\",\"format\":"
		"\"date\"},\"c\":{\"type\":\"string\",\"format\":\"color\"},\"l\":{\"type\":"
		"\"array\",\"items\":{\"type\":\"null\"},\"minItems\":1},\"m\":{\"type\":\"array\","
		"\"items\":{\"enum\":[\"x\",1]},\"minItems\":2}}}",
		"{\"type\":\"object\",\"properties\":{\"d\":{\"type\":\"string\",\"format\":"
		"\"date\"},\"c\":{\"description\":\"{format: \\\"color\\\"}\",\"type\":\"string\"},"
		"\"l\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"null\"}},\"m\":{"
		"\"description\":\"{minItems: 2}\",\"type\":\"array\",\"items\":{\"enum\":[\"x\",1]"
		"}}},\"additionalProperties\":false}");
}

static void choices_become_any_of(void **state)
{
	becomes("{\"type\":\"object\",\"properties\":{\"a\":{\"oneOf\":[{\"type\":\"string\"},{"
		"\"type\":\"null\"}]},\"b\":{\"type\":[\"integer\",\"null\"]},\"c\":{\"const\":"
		"true}}}",
		"{\"type\":\"object\",\"properties\":{\"a\":{\"anyOf\":[{\"type\":\"string\"},{"
		"\"type\":\"null\"}]},\"b\":{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]"
		"},\"c\":{\"const\":true}},\"additionalProperties\":false}");
}

static void references_stay_alone(void **state)
{
	becomes("{\"type\":\"object\",\"$defs\":{\"p\":{\"type\":\"string\"}},\"properties\":{"
		"\"a\":{\"$ref\":\"#/$defs/p\",\"description\":\"left out\"}}}",
		"{\"$defs\":{\"p\":{\"type\":\"string\"}},\"type\":\"object\",\"properties\":{"
		"\"a\":{\"$ref\":\"#/$defs/p\"}},\"additionalProperties\":false}");
}

static void what_cannot_be_enforced_is_told(void **state)
{
	refuses("{\"type\":\"array\",\"items\":{\"type\":\"string\"}}");
	refuses("{\"type\":\"object\"}");
	refuses("{\"type\":\"object\",\"properties\":{},\"additionalProperties\":true}");
	refuses("{\"type\":\"object\",\"properties\":{\"m\":{\"type\":\"object\","
		"\"additionalProperties\":{\"type\":\"string\"}}}}");
	refuses("{\"type\":\"object\",\"properties\":{\"m\":{}}}");
	refuses("{\"type\":\"object\",\"properties\":{\"m\":{\"type\":\"array\"}}}");
	refuses("{\"type\":\"object\",\"properties\":{\"m\":{\"enum\":[{\"a\":1}]}}}");
	refuses("{\"type\":\"object\",\"properties\":{\"m\":{\"type\":\"text\"}}}");
	refuses("{\"type\":\"object\",\"properties\":{\"m\":{\"$ref\":\"http://x/y\"}}}");
	refuses("{\"type\":\"object\",\"properties\":{\"m\":{\"anyOf\":[]}}}");
	refuses("[]");
}

static void recursions_are_told(void **state)
{
	refuses("{\"type\":\"object\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{"
		"\"next\":{\"$ref\":\"#/$defs/n\"}}}},\"properties\":{\"a\":{\"$ref\":\"#/$defs/"
		"n\"}}}");
	/* Each of these refers to the next one twice: doubled forty times it would never end. */
	struct buf out, text;

	buf_init(&out, 1 << 20);
	buf_init(&text, 1 << 20);
	buf_append_cstr(&text, "{\"type\":\"object\",\"$defs\":{");
	for (int i = 0; i < 40; i++)
		buf_printf(&text,
			"%s\"d%d\":{\"anyOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/"
			"d%d\"}]}",
			i > 0 ? "," : "", i, i + 1, i + 1);
	buf_append_cstr(&text, ",\"d40\":{\"type\":\"null\"}},\"properties\":{}}");
	buf_append_char(&text, '\0');
	assert_false(enforced(buf_span(&text).p, &out));
	buf_done(&out);
	buf_done(&text);
}

static bool fits(const char *open, const char *inner, const char *close, int n)
{
	struct err err = {0};
	struct buf text;
	yyjson_doc *doc;
	bool ok;

	buf_init(&text, 1 << 20);
	for (int i = 0; i < n; i++)
		buf_append_cstr(&text, open);
	buf_append_cstr(&text, inner);
	for (int i = 0; i < n; i++)
		buf_append_cstr(&text, close);
	doc = json_read(NULL, buf_span(&text), NULL);
	assert_non_null(doc);
	ok = llm_schema_fits(yyjson_doc_get_root(doc), "response_format", &err);
	assert_true(
		ok || (err.code == ERR_BAD_REQUEST && strcmp(err.param, "response_format") == 0));
	json_free(doc);
	buf_done(&text);
	return ok;
}

static void size_and_depth_have_a_limit(void **state)
{
	struct err err = {0};
	struct buf wide;

	assert_true(llm_schema_fits(NULL, "x", &err));
	assert_true(fits("{\"properties\":{\"a\":", "{}", "}}", 15));
	assert_false(fits("{\"properties\":{\"a\":", "{}", "}}", 16));
	assert_true(fits("{\"items\":", "{}", "}", 15));
	assert_false(fits("{\"items\":", "{}", "}", 16));
	assert_false(fits("{\"anyOf\":[{\"type\":\"null\"},", "{}", "]}", 16));
	assert_true(fits("", "{\"properties\":{\"properties\":{\"type\":\"object\"}}}", "", 1));
	assert_true(fits("{\"enum\":[", "[1]", "]}", 1));
	buf_init(&wide, 1 << 20);
	buf_append_cstr(&wide, "{\"enum\":[0");
	for (int i = 0; i < 20000; i++)
		buf_append_cstr(&wide, ",1234");
	buf_append(&wide, (struct span){"]}", 3}); /* with its NUL */
	assert_false(fits("", buf_span(&wide).p, "", 0));
	buf_done(&wide);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_closed),
		cmocka_unit_test(limits_are_said_in_the_description),
		cmocka_unit_test(known_formats_and_small_minimums_stay),
		cmocka_unit_test(choices_become_any_of),
		cmocka_unit_test(references_stay_alone),
		cmocka_unit_test(what_cannot_be_enforced_is_told),
		cmocka_unit_test(recursions_are_told),
		cmocka_unit_test(size_and_depth_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
