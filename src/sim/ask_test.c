/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/ask.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "sim/answer.h"

static yyjson_doc *doc;

static struct ask read(enum op op, const char *text)
{
	struct err err = {0};
	struct ask a;

	json_free(doc);
	doc = json_read(NULL, span_of(text), &err);
	ask_read(&a, op, (struct span){NULL, 0}, yyjson_doc_get_root(doc), &err);
	return a;
}

static int teardown(void **state)
{
	json_free(doc);
	doc = NULL;
	return 0;
}

static void test_counts_all_text(void **state)
{
	struct ask a = read(OP_CHAT,
		"{\"model\":\"m+delay=1\",\"messages\":[{\"role\":\"system\",\"content\":\"1234\"},"
		"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"12345\"},"
		"{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:xxxxxxxxxxxx\"}},"
		"{\"type\":\"text\",\"text\":\"6\"}]},{\"role\":\"assistant\",\"content\":null}]}");
	struct buf b;

	assert_int_equal(a.fail.status, 0);
	assert_int_equal(a.prompt_bytes, 10);
	assert_true(span_is(a.model, "m"));
	assert_true(span_is(a.script_text, "delay=1"));
	buf_init(&b, 1000);
	ask_user_text(&a, &b);
	assert_true(span_is(buf_span(&b), "123456"));
	buf_done(&b);
}

static void test_counts_system_and_results(void **state)
{
	struct ask a = read(OP_MESSAGES,
		"{\"model\":\"m\",\"max_tokens\":5,\"system\":[{\"type\":\"text\",\"text\":\"12\"}]"
		",\"messages\":["
		"{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"x\","
		"\"content\":[{\"type\":\"text\",\"text\":\"345\"}]}]}]}");

	assert_int_equal(a.fail.status, 0);
	assert_int_equal(a.prompt_bytes, 5);
	assert_int_equal(a.max_tokens, 5);
	assert_true(a.after_tool);
}

static void refuses(enum op op, const char *text, const char *why)
{
	struct ask a = read(op, text);

	assert_int_equal(a.fail.status, 400);
	assert_non_null(strstr(a.fail.message, why));
}

static void test_refuses(void **state)
{
	refuses(OP_CHAT, "{", "could not parse");
	refuses(OP_CHAT, "[]", "not an object");
	refuses(OP_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "model");
	refuses(OP_CHAT, "{\"model\":\"m\"}", "messages");
	refuses(OP_CHAT, "{\"model\":\"m\",\"messages\":[]}", "messages");
	refuses(OP_CHAT, "{\"model\":\"m\",\"messages\":[1]}", "messages");
	refuses(OP_CHAT,
		"{\"model\":\"m\",\"stream\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
		"}",
		"stream");
	refuses(OP_MESSAGES,
		"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
		"max_tokens: Field required");
	refuses(OP_MESSAGES, "{\"model\":\"m\",\"max_tokens\":1}", "messages: Field required");
	refuses(OP_EMBED, "{\"model\":\"m\"}", "input");
	refuses(OP_EMBED, "{\"model\":\"m\",\"input\":\"x\",\"dimensions\":0}", "dimensions");
	refuses(OP_EMBED, "{\"model\":\"m\",\"input\":\"x\",\"encoding_format\":\"hex\"}",
		"encoding_format");
}

static int tools(enum op op, const char *user, const char *extra, const char *script)
{
	char text[1024];
	struct ask_tool out[ASK_MAX_TOOLS];
	struct script *s = script_parse(span_of(script), NULL);
	struct ask a;
	int n;

	snprintf(text, sizeof(text),
		"{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"%"
		"s\"}],"
		"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"other\"}},"
		"{\"type\":\"function\",\"function\":{\"name\":\"get_weather\"}}]%s}",
		user, extra);
	a = read(op, text);
	assert_int_equal(a.fail.status, 0);
	n = ask_tools(&a, s, span_of(user), out);
	if (n > 0 && strstr(user, "weather") != NULL)
		assert_true(span_is(out[0].name, "get_weather"));
	script_unref(s);
	return n;
}

static void test_tools(void **state)
{
	assert_int_equal(tools(OP_CHAT, "hello", "", ""), 1);
	assert_int_equal(tools(OP_CHAT, "the weather?", "", ""), 1);
	assert_int_equal(tools(OP_CHAT, "hello", ",\"tool_choice\":\"none\"", ""), 0);
	assert_int_equal(tools(OP_CHAT, "hello", "", "tools=0"), 0);
	assert_int_equal(tools(OP_CHAT, "hello", "", "tools=5"), 5);
	assert_int_equal(tools(OP_MESSAGES, "hello", "", ""), 0);
	assert_int_equal(tools(OP_MESSAGES, "weather in Rome", "", ""), 1);
	assert_int_equal(tools(OP_MESSAGES, "use a tool", "", ""), 1);
	assert_int_equal(tools(OP_MESSAGES, "hello", ",\"tool_choice\":{\"type\":\"any\"}", ""), 1);
	assert_int_equal(
		tools(OP_MESSAGES, "use a tool", ",\"tool_choice\":{\"type\":\"none\"}", ""), 0);
}

static void test_arguments_fit_the_schema(void **state)
{
	static const char schema[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":"
				     "\"string\"},\"b\":{\"type\":\"integer\"},"
				     "\"c\":{\"enum\":[\"x\",\"y\"]},\"d\":{\"type\":\"array\","
				     "\"items\":{\"type\":\"number\"}},"
				     "\"e\":{\"type\":\"object\",\"properties\":{\"f\":{\"type\":["
				     "\"boolean\",\"null\"]}}}}}";
	struct ask_tool t;
	struct buf b;
	yyjson_doc *args, *s = json_read(NULL, SPAN(schema), NULL);
	yyjson_val *root;

	t = (struct ask_tool){SPAN("t"), yyjson_doc_get_root(s)};
	buf_init(&b, 4096);
	ask_tool_args(&t, 77, &b);
	args = json_read(NULL, buf_span(&b), NULL);
	assert_non_null(args);
	root = yyjson_doc_get_root(args);
	assert_true(yyjson_is_str(json_get(root, "a")));
	assert_true(yyjson_is_int(json_get(root, "b")));
	assert_true(yyjson_equals_str(json_get(root, "c"), "x"));
	assert_true(yyjson_is_real(yyjson_arr_get_first(json_get(root, "d"))));
	assert_true(yyjson_is_bool(json_get(json_get(root, "e"), "f")));
	json_free(args);
	json_free(s);
	buf_clear(&b);
	t.schema = NULL;
	ask_tool_args(&t, 77, &b);
	assert_true(span_is(buf_span(&b), "{}"));
	buf_done(&b);
}

static void test_embedding_inputs(void **state)
{
	static struct ask_input in[ASK_MAX_INPUTS];
	struct ask a = read(OP_EMBED, "{\"model\":\"m\",\"input\":\"12345\"}");

	assert_int_equal(ask_inputs(&a, in), 1);
	assert_int_equal(in[0].tokens, 2);
	a = read(OP_EMBED,
		"{\"model\":\"m\",\"input\":[\"a\",\"12345678\"],\"encoding_format\":\"base64\"}");
	assert_true(a.wants_base64);
	assert_int_equal(ask_inputs(&a, in), 2);
	assert_int_equal(in[1].tokens, 2);
	assert_true(in[0].seed != in[1].seed);
	a = read(OP_EMBED, "{\"model\":\"m\",\"input\":[1,2,3]}");
	assert_int_equal(ask_inputs(&a, in), 1);
	assert_int_equal(in[0].tokens, 3);
	a = read(OP_EMBED, "{\"model\":\"m\",\"input\":[[1,2,3],[4]],\"dimensions\":7}");
	assert_int_equal(ask_inputs(&a, in), 2);
	assert_int_equal(in[1].tokens, 1);
	assert_int_equal(a.dimensions, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_counts_all_text, teardown),
		cmocka_unit_test_teardown(test_counts_system_and_results, teardown),
		cmocka_unit_test_teardown(test_refuses, teardown),
		cmocka_unit_test_teardown(test_tools, teardown),
		cmocka_unit_test_teardown(test_arguments_fit_the_schema, teardown),
		cmocka_unit_test_teardown(test_embedding_inputs, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
