/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/test_request.h"

static const struct dialect *const d = &dialect_anthropic;

static void reads_what_the_gateway_needs(void **state)
{
	struct request r = request_read(d, LLM_OP_MESSAGES,
		"{\"model\":\"anthropic/claude\",\"max_tokens\":1024,\"stream\":true,\"metadata\":"
		"{\"user_id\":\"who\"},\"messages\":[],\"thinking\":{\"type\":\"adaptive\"}}");

	assert_true(r.ok && span_is(r.facts.model, "anthropic/claude"));
	assert_true(r.facts.stream && r.facts.wants_usage);
	assert_int_equal(r.facts.max_output, 1024);
	assert_int_equal(r.facts.choices, 1);
	assert_true(span_is(r.meta.user_id, "who"));
	request_done(&r);
	/* A count needs no cap and knows no stream. */
	r = request_read(
		d, LLM_OP_COUNT_TOKENS, "{\"model\":\"anthropic/claude\",\"messages\":[]}");
	assert_true(r.ok && !r.facts.stream);
	request_done(&r);
}

static void refuses_and_names_the_member(void **state)
{
	refuses(d, LLM_OP_MESSAGES, "{\"model\":\"a\"}", "max_tokens");
	refuses(d, LLM_OP_MESSAGES, "{\"model\":\"a\",\"max_tokens\":0}", "max_tokens");
	refuses(d, LLM_OP_MESSAGES, "{\"model\":\"a\",\"max_tokens\":\"9\"}", "max_tokens");
	refuses(d, LLM_OP_MESSAGES, "{\"model\":[],\"max_tokens\":1}", "model");
	refuses(d, LLM_OP_MESSAGES, "{\"max_tokens\":1,\"stream\":1}", "stream");
	refuses(d, LLM_OP_MESSAGES, "{\"max_tokens\":1,\"metadata\":1}", "metadata");
	refuses(d, LLM_OP_MESSAGES, "{\"max_tokens\":1,\"metadata\":{\"user_id\":1}}",
		"metadata.user_id");
	refuses(d, LLM_OP_MESSAGES, "{\"max_tokens\":1,\"max_tokens\":2}", "max_tokens");
	refuses(d, LLM_OP_COUNT_TOKENS, "{\"model\":\"a\",\"model\":\"b\"}", "model");
}

/* Claude Code's user_id is a long JSON text: cut for us, whole for the provider. */
static void a_long_user_is_cut_between_characters(void **state)
{
	char text[700] = "{\"max_tokens\":1,\"metadata\":{\"user_id\":\"x";
	struct request r;

	for (int i = 0; i < 200; i++)
		memcpy(text + strlen(text), "\xc3\xa9", 3);
	memcpy(text + strlen(text), "\"}}", 4);
	r = request_read(d, LLM_OP_MESSAGES, text);
	assert_true(r.ok);
	assert_int_equal(r.meta.user_id.n, 255);
	request_done(&r);
}

static void edits_only_what_must_be(void **state)
{
	struct pass_edit edit = {.model = SPAN("claude"), .ask_usage = true};

	edits(d, LLM_OP_MESSAGES,
		"{\"max_tokens\":1,\"stream\":true,\"model\":\"anthropic/claude\",\"requesty\":{}}",
		&edit, "{\"max_tokens\":1,\"stream\":true,\"model\":\"claude\"}");
	edits(d, LLM_OP_COUNT_TOKENS, "{\"model\":\"claude\",\"messages\":[ ]}", &edit,
		"{\"model\":\"claude\",\"messages\":[ ]}");
}

/* Vertex: the address names the model, but for a count, whose method is the same for all. */
static void a_body_with_its_version_has_no_model(void **state)
{
	struct pass_edit edit = {.model = SPAN("claude"), .body_version = "vertex-2023-10-16"};

	edits(d, LLM_OP_MESSAGES, "{\"model\":\"vertex/claude\",\"max_tokens\":1,\"stream\":true}",
		&edit,
		"{\"max_tokens\":1,\"stream\":true,\"anthropic_version\":\"vertex-2023-10-16\"}");
	edits(d, LLM_OP_COUNT_TOKENS, "{\"model\":\"vertex/claude\"}", &edit,
		"{\"model\":\"claude\",\"anthropic_version\":\"vertex-2023-10-16\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_the_gateway_needs),
		cmocka_unit_test(refuses_and_names_the_member),
		cmocka_unit_test(a_long_user_is_cut_between_characters),
		cmocka_unit_test(edits_only_what_must_be),
		cmocka_unit_test(a_body_with_its_version_has_no_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
