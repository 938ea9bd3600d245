/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/test_request.h"

static const struct dialect *const d = &dialect_openai_chat;

static void reads_what_the_gateway_needs(void **state)
{
	struct request r = request_read(d, LLM_OP_CHAT,
		"{\"model\":\"openai/gpt-4o\",\"messages\":[],\"stream\":true,\"stream_options\":"
		"{\"include_usage\":true,\"include_obfuscation\":false},\"max_tokens\":5,"
		"\"max_completion_tokens\":7,\"n\":2,\"user\":\"u\",\"unknown\":{}}");

	assert_true(r.ok && span_is(r.facts.model, "openai/gpt-4o"));
	assert_true(r.facts.stream && r.facts.wants_usage && !r.facts.has_requesty);
	assert_int_equal(r.facts.max_output, 7);
	assert_int_equal(r.facts.choices, 2);
	assert_true(span_is(r.facts.user, "u") && span_is(r.meta.user_id, "u"));
	request_done(&r);
}

static void absent_and_null_mean_the_defaults(void **state)
{
	static const char *const texts[] = {"{}",
		"{\"model\":null,\"stream\":null,\"stream_options\":null,\"max_tokens\":null,"
		"\"max_completion_tokens\":null,\"n\":null,\"user\":null,\"requesty\":null}"};

	for (int i = 0; i < 2; i++) {
		struct request r = request_read(d, LLM_OP_CHAT, texts[i]);

		assert_true(
			r.ok && r.facts.model.n == 0 && !r.facts.stream && !r.facts.wants_usage);
		assert_int_equal(r.facts.max_output, -1);
		assert_int_equal(r.facts.choices, 1);
		assert_int_equal(r.facts.has_requesty, i == 1);
		request_done(&r);
	}
}

static void odd_caps(void **state)
{
	struct request r = request_read(d, LLM_OP_CHAT, "{\"max_tokens\":100.0}");

	assert_int_equal(r.facts.max_output, 100);
	request_done(&r);
	r = request_read(d, LLM_OP_CHAT, "{\"max_tokens\":-1}");
	assert_int_equal(r.facts.max_output, -1);
	request_done(&r);
	r = request_read(d, LLM_OP_CHAT, "{\"max_tokens\":18446744073709551615}");
	assert_int_equal(r.facts.max_output, LLM_MAX_COUNT);
	request_done(&r);
}

static void refuses_and_names_the_member(void **state)
{
	refuses(d, LLM_OP_CHAT, "[]", "");
	refuses(d, LLM_OP_CHAT, "{\"model\":1}", "model");
	refuses(d, LLM_OP_CHAT, "{\"stream\":\"yes\"}", "stream");
	refuses(d, LLM_OP_CHAT, "{\"stream_options\":true}", "stream_options");
	refuses(d, LLM_OP_CHAT, "{\"stream_options\":{\"include_usage\":1}}",
		"stream_options.include_usage");
	refuses(d, LLM_OP_CHAT, "{\"max_tokens\":\"7\"}", "max_tokens");
	refuses(d, LLM_OP_CHAT, "{\"max_tokens\":1.5}", "max_tokens");
	refuses(d, LLM_OP_CHAT, "{\"n\":0}", "n");
	refuses(d, LLM_OP_CHAT, "{\"n\":129}", "n");
	refuses(d, LLM_OP_CHAT, "{\"user\":[]}", "user");
	refuses(d, LLM_OP_CHAT, "{\"requesty\":7}", "requesty");
	refuses(d, LLM_OP_CHAT, "{\"model\":\"a\",\"model\":\"b\"}", "model");
	refuses(d, LLM_OP_CHAT, "{\"model\":\"a\",\"mod\\u0065l\":\"b\"}", "model");
	refuses(d, LLM_OP_CHAT, "{\"stream\":true,\"stream\":false}", "stream");
	refuses(d, LLM_OP_CHAT, "{\"requesty\":{},\"requesty\":{}}", "requesty");
}

static void the_user_field_gives_way(void **state)
{
	struct request r = request_read(
		d, LLM_OP_CHAT, "{\"user\":\"outer\",\"requesty\":{\"user_id\":\"inner\"}}");

	assert_true(span_is(r.meta.user_id, "inner"));
	request_done(&r);
}

static void edits_only_what_must_be(void **state)
{
	struct pass_edit edit = {.model = SPAN("gpt-4o"), .ask_usage = true};

	edits(d, LLM_OP_CHAT, "{ \"model\" : \"openai/gpt-4o\", \"x\":1.0}", &edit,
		"{ \"model\" : \"gpt-4o\", \"x\":1.0}");
	edits(d, LLM_OP_CHAT, "{\"model\":\"gpt-4o\",\"requesty\":{\"tags\":[]},\"stream\":true}",
		&edit,
		"{\"model\":\"gpt-4o\",\"stream\":true,\"stream_options\":{\"include_usage\":true}"
		"}");
	edits(d, LLM_OP_CHAT,
		"{\"stream\":true,\"stream_options\":{\"include_usage\":false},\"model\":\"a/"
		"gpt-4o\"}",
		&edit,
		"{\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"gpt-"
		"4o\"}");
	edits(d, LLM_OP_CHAT,
		"{\"model\":\"gpt-4o\",\"stream\":true,\"stream_options\":{\"include_usage\":true}"
		"}",
		&edit,
		"{\"model\":\"gpt-4o\",\"stream\":true,\"stream_options\":{\"include_usage\":true}"
		"}");
	edits(d, LLM_OP_EMBEDDINGS, "{\"input\":[[1]],\"model\":\"a/e\",\"requesty\":null}",
		&(struct pass_edit){.model = SPAN("e\"x")},
		"{\"input\":[[1]],\"model\":\"e\\\"x\"}");
	edits(d, LLM_OP_EMBEDDINGS, "{\"input\":\"x\"}", &(struct pass_edit){.model = SPAN("e")},
		"{\"input\":\"x\",\"model\":\"e\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_the_gateway_needs),
		cmocka_unit_test(absent_and_null_mean_the_defaults),
		cmocka_unit_test(odd_caps),
		cmocka_unit_test(refuses_and_names_the_member),
		cmocka_unit_test(the_user_field_gives_way),
		cmocka_unit_test(edits_only_what_must_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
