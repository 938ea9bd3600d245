/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_responses/openai_responses.h"
#include "meaning/dialect/test_tap.h"
#include "meaning/dialect/test_request.h"

static const struct dialect *const d = &dialect_openai_responses;

#define USAGE                                                                                      \
	"\"usage\":{\"input_tokens\":20,\"input_tokens_details\":{\"cached_tokens\":5,"            \
	"\"cache_write_tokens\":4},\"output_tokens\":9,\"output_tokens_details\":"                 \
	"{\"reasoning_tokens\":3},\"total_tokens\":29"

static void feed(struct tap *t, const char *name, const char *data, const char *expected)
{
	feed_named(d, t, name, data, expected);
}

static void a_whole_stream(void **state)
{
	struct tap t = {.scratch = &scratch, .cost = fixed_cost};

	feed(&t, "response.created",
		"{\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"r\","
		"\"output\":[],\"usage\":null}}",
		NULL);
	assert_false(t.content || t.terminal);
	feed(&t, "response.output_item.added",
		"{\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,"
		"\"item\":{\"type\":\"message\"}}",
		NULL);
	assert_true(t.content);
	feed(&t, "response.output_text.delta",
		"{\"type\":\"response.output_text.delta\",\"sequence_number\":2,\"delta\":\"abc\"}",
		NULL);
	assert_int_equal(t.output_bytes, 3);
	assert_int_equal(t.sequence, 3);
	feed(&t, "response.completed",
		"{\"type\":\"response.completed\",\"sequence_number\":3,\"response\":{" USAGE "}}}",
		"event: response.completed\ndata: {\"type\":\"response.completed\","
		"\"sequence_number\":3,\"response\":{" USAGE ",\"cost\":0.5}}}\n\n");
	assert_true(t.finished && t.terminal && t.final_usage);
	assert_int_equal(t.usage.input_uncached, 11);
	assert_int_equal(t.usage.cache_read, 5);
	assert_int_equal(t.usage.cache_write_5m, 4);
	assert_int_equal(t.usage.output, 9);
	assert_int_equal(t.usage.reasoning, 3);
}

static void an_incomplete_answer_is_an_end(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, "response.incomplete",
		"{\"type\":\"response.incomplete\",\"response\":{\"status\":\"incomplete\"," USAGE
		"}}}",
		NULL);
	assert_true(t.terminal && t.usage.present);
}

static void a_failure_is_an_error_with_what_was_used(void **state)
{
	struct tap t = {.scratch = &scratch, .request_id = "req_1"};

	t.sequence = 7;
	feed(&t, "response.failed",
		"{\"type\":\"response.failed\",\"sequence_number\":7,\"response\":{\"status\":"
		"\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow "
		"down\"}," USAGE "}}}",
		"event: error\ndata: {\"type\":\"error\",\"sequence_number\":7,\"code\":"
		"\"rate_limit_exceeded\",\"message\":\"slow down\",\"param\":null,\"error\":"
		"{\"origin\":\"provider\",\"message\":\"slow "
		"down\",\"type\":\"rate_limit_error\",\"param\":null,\"code\":\"rate_limit_"
		"exceeded\",\"request_id\":\"req_1\"}}\n\n");
	assert_int_equal(t.error.code, ERR_RATE_LIMITED);
	assert_int_equal(t.error_status, 429);
	assert_false(t.terminal);
	assert_int_equal(t.usage.output, 9);
}

static void a_flat_error_event_is_an_error(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, "error",
		"{\"type\":\"error\",\"sequence_number\":0,\"code\":\"server_error\",\"message\":"
		"\"boom\",\"param\":null}",
		"event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":"
		"\"server_error\",\"message\":\"boom\",\"param\":null,\"error\":{\"origin\":"
		"\"provider\",\"message\":\"boom\",\"type\":\"server_error\",\"param\":null,"
		"\"code\":\"server_error\",\"request_id\":null}}\n\n");
	assert_int_not_equal(t.error.code, ERR_OK);
	assert_string_equal(t.error.text, "boom");
}

static void what_is_no_json_is_an_error(void **state)
{
	static const char *const bad[] = {"{\"type\":", "[]", "nothing"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tap t = {.scratch = &scratch};
		struct buf out;

		buf_init(&out, 1 << 16);
		assert_int_equal(d->tap(&t, SPAN("x"), span_of(bad[i]), &out), TAP_REPLACE);
		assert_int_equal(t.error.code, ERR_UPSTREAM_INVALID);
		assert_true(span_starts(buf_span(&out), SPAN("event: error\n")));
		buf_done(&out);
	}
}

static void reads_what_the_gateway_needs(void **state)
{
	struct request r = request_read(d, LLM_OP_RESPONSES,
		"{\"model\":\"openai/gpt\",\"max_output_tokens\":99,\"stream\":true,\"user\":\"u\","
		"\"input\":\"x\"}");

	assert_true(r.ok && span_is(r.facts.model, "openai/gpt"));
	assert_true(r.facts.stream && r.facts.wants_usage);
	assert_int_equal(r.facts.max_output, 99);
	assert_true(span_is(r.meta.user_id, "u"));
	request_done(&r);
	refuses(d, LLM_OP_RESPONSES, "{\"model\":1}", "model");
	refuses(d, LLM_OP_RESPONSES, "{\"model\":\"a\",\"stream\":\"yes\"}", "stream");
	refuses(d, LLM_OP_RESPONSES, "{\"model\":\"a\",\"max_output_tokens\":\"9\"}",
		"max_output_tokens");
	refuses(d, LLM_OP_RESPONSES, "{\"model\":\"a\",\"model\":\"b\"}", "model");
}

static void answer(const char *text, bool scanned, struct llm_answer *out, struct err *err)
{
	yyjson_doc *doc = json_read(NULL, span_of(text), NULL);
	struct llm_answer scan;

	assert_non_null(doc);
	*err = (struct err){0};
	d->read_answer(LLM_OP_RESPONSES, yyjson_doc_get_root(doc), out, err);
	json_free(doc);
	assert_int_equal(d->scan_answer(LLM_OP_RESPONSES, span_of(text), &scratch, &scan), scanned);
	if (scanned)
		assert_int_equal(scan.usage.output, out->usage.output);
}

static void answers_are_read(void **state)
{
	struct llm_answer a;
	struct err err;

	answer("{\"error\":null,\"output\":[{\"type\":\"message\",\"content\":[{\"text\":\"abcd\"}]"
	       "},"
	       "{\"type\":\"function_call\",\"arguments\":\"{}\"}]," USAGE "}}",
		true, &a, &err);
	assert_int_equal(err.code, ERR_OK);
	assert_int_equal(a.output_bytes, 6);
	assert_int_equal(a.usage.input_uncached, 11);
	answer("{\"error\":{\"code\":\"server_error\",\"message\":\"m\"},\"output\":[]," USAGE "}}",
		false, &a, &err);
	assert_int_not_equal(err.code, ERR_OK);
	answer("{\"choices\":[]}", false, &a, &err);
	assert_int_equal(err.code, ERR_UPSTREAM_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_stream),
		cmocka_unit_test(an_incomplete_answer_is_an_end),
		cmocka_unit_test(a_failure_is_an_error_with_what_was_used),
		cmocka_unit_test(a_flat_error_event_is_an_error),
		cmocka_unit_test(what_is_no_json_is_an_error),
		cmocka_unit_test(reads_what_the_gateway_needs),
		cmocka_unit_test(answers_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
