/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/anthropic/anthropic.h"
#include "meaning/dialect/test_tap.h"

#define START(usage)                                                                               \
	"{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[],"                \
	"\"usage\":" usage "}}"
#define DELTA(stop, usage)                                                                         \
	"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":" stop "},\"usage\":" usage "}"

static void feed(struct tap *t, const char *name, const char *data, const char *expected)
{
	feed_named(&dialect_anthropic, t, name, data, expected);
}

static void a_whole_stream(void **state)
{
	struct tap t = {.scratch = &scratch, .cost = fixed_cost};

	feed(&t, "message_start",
		START("{\"input_tokens\":12,\"cache_creation_input_tokens\":7,\"cache_read_input_"
		      "tokens\":3,"
		      "\"cache_creation\":{\"ephemeral_5m_input_tokens\":5,\"ephemeral_1h_input_"
		      "tokens\":2},"
		      "\"output_tokens\":1}"),
		NULL);
	assert_false(t.content);
	assert_true(t.usage.present);
	feed(&t, "ping", "{\"type\": \"ping\"}", NULL);
	assert_false(t.content);
	feed(&t, "content_block_start",
		"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
		"\"thinking\","
		"\"thinking\":\"\",\"signature\":\"\"}}",
		NULL);
	assert_true(t.content);
	feed(&t, "content_block_delta",
		"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_"
		"delta\","
		"\"thinking\":\"abc\"}}   ",
		NULL);
	feed(&t, "content_block_delta",
		"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_"
		"delta\","
		"\"signature\":\"Eq\"}}",
		NULL);
	feed(&t, "content_block_delta",
		"{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_"
		"delta\","
		"\"partial_json\":\"{\\\"a\\\"\"}}",
		NULL);
	feed(&t, "content_block_delta",
		"{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\","
		"\"text\":"
		"\"hi\"}}",
		NULL);
	assert_int_equal(t.output_bytes, 3 + 4 + 2);
	feed(&t, "content_block_stop", "{\"type\":\"content_block_stop\",\"index\":1}", NULL);
	assert_false(t.finished || t.final_usage);
	feed(&t, "message_delta", DELTA("\"end_turn\"", "{\"output_tokens\":25}"),
		"event: message_delta\ndata: " DELTA(
			"\"end_turn\"", "{\"output_tokens\":25,\"cost\":0.5}") "\n\n");
	assert_true(t.finished && t.final_usage && !t.terminal);
	assert_int_equal(t.usage.input_uncached, 12);
	assert_int_equal(t.usage.cache_read, 3);
	assert_int_equal(t.usage.cache_write_5m, 5);
	assert_int_equal(t.usage.cache_write_1h, 2);
	assert_int_equal(t.usage.output, 25);
	feed(&t, "message_stop", "{\"type\":\"message_stop\"}", NULL);
	assert_true(t.terminal && !t.final_usage);
}

static void usage_is_overwritten_never_added(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, "message_start", START("{\"input_tokens\":690,\"output_tokens\":5}"), NULL);
	feed(&t, "message_delta",
		DELTA("\"tool_use\"",
			"{\"input_tokens\":3042,\"cache_read_input_tokens\":null,"
			"\"output_tokens\":40,\"output_tokens_details\":{\"thinking_tokens\":9}}"),
		NULL);
	assert_int_equal(t.usage.input_uncached, 3042);
	assert_int_equal(t.usage.output, 40);
	assert_int_equal(t.usage.reasoning, 9);
	/* 0 or less at the end is a maker that forgot, not a gift. */
	feed(&t, "message_delta",
		DELTA("\"tool_use\"", "{\"input_tokens\":0,\"output_tokens\":12}"), NULL);
	assert_int_equal(t.usage.input_uncached, 3042);
	assert_int_equal(t.usage.output, 40);
}

static void a_late_split_of_the_input_is_believed(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, "message_start", START("{\"input_tokens\":100,\"output_tokens\":0}"), NULL);
	feed(&t, "message_delta",
		DELTA("\"end_turn\"",
			"{\"input_tokens\":20,\"cache_read_input_tokens\":80,\"output_tokens\":1}"),
		NULL);
	assert_int_equal(t.usage.input_uncached, 20);
	assert_int_equal(t.usage.cache_read, 80);
	t = (struct tap){.scratch = &scratch};
	feed(&t, "message_start",
		START("{\"input_tokens\":100,\"cache_read_input_tokens\":80,\"output_tokens\":0}"),
		NULL);
	feed(&t, "message_delta",
		DELTA("\"end_turn\"",
			"{\"input_tokens\":20,\"cache_read_input_tokens\":80,\"output_tokens\":1}"),
		NULL);
	assert_int_equal(t.usage.input_uncached, 20);
	assert_int_equal(t.usage.cache_read, 80);
}

static void cache_writes_without_a_split(void **state)
{
	struct llm_usage u = {0};
	yyjson_doc *doc = json_read(&scratch,
		SPAN("{\"input_tokens\":1,\"cache_creation_input_tokens\":9,\"output_tokens\":1}"),
		NULL);

	anthropic_read_usage(yyjson_doc_get_root(doc), &u);
	assert_int_equal(u.cache_write_5m, 9);
	assert_int_equal(u.cache_write_1h, 0);
	json_free(doc);
	u = (struct llm_usage){0};
	doc = json_read(&scratch,
		SPAN("{\"input_tokens\":1,\"cache_creation_input_tokens\":9,\"output_tokens\":1,"
		     "\"cache_creation\":{\"ephemeral_1h_input_tokens\":4}}"),
		NULL);
	anthropic_read_usage(yyjson_doc_get_root(doc), &u);
	assert_int_equal(u.cache_write_5m, 5);
	assert_int_equal(u.cache_write_1h, 4);
	json_free(doc);
}

static void errors_end_the_stream(void **state)
{
	struct tap t = {.scratch = &scratch, .request_id = "req_1"};

	feed(&t, "error",
		"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
		"\"Overloaded\"}}",
		"event: error\ndata: "
		"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
		"\"Overloaded\",\"origin\":\"provider\"},\"request_id\":\"req_1\"}\n\n");
	assert_int_equal(t.error.code, ERR_OVERLOADED);
	assert_int_equal(t.error_status, 529);
	assert_false(t.content || t.terminal);
	t = (struct tap){.scratch = &scratch};
	feed(&t, NULL, "{\"type\":\"error\",\"message\":\"bare\"}",
		"event: error\ndata: "
		"{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"bare\","
		"\"origin\":\"provider\"},\"request_id\":null}\n\n");
	assert_int_equal(t.error_status, 502);
	t = (struct tap){.scratch = &scratch};
	{
		struct buf out;

		buf_init(&out, 4096);
		assert_int_equal(anthropic_tap(&t, SPAN("ping"), SPAN("{"), &out), TAP_REPLACE);
		assert_int_equal(t.error.code, ERR_UPSTREAM_INVALID);
		buf_done(&out);
	}
}

static void the_data_says_what_the_event_is(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, NULL, "{\"type\":\"message_stop\"}", NULL);
	assert_true(t.terminal);
	t = (struct tap){.scratch = &scratch};
	feed(&t, "message_stop", "{}", NULL);
	assert_true(t.terminal);
	t = (struct tap){.scratch = &scratch};
	feed(&t, "something_new", "{\"type\":\"something_new\",\"x\":null}", NULL);
	assert_false(t.content || t.terminal);
}

static void plain_answers(void **state)
{
	yyjson_doc *doc = json_read(&scratch,
		SPAN("{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"abc\"},{"
		     "\"type\":"
		     "\"tool_use\",\"id\":\"t\",\"input\":{\"a\":1}}],\"usage\":{\"input_tokens\":"
		     "3,"
		     "\"output_tokens\":4}}"),
		NULL);
	struct llm_answer a;
	struct err err = {0};

	assert_true(anthropic_read_answer(LLM_OP_MESSAGES, yyjson_doc_get_root(doc), &a, &err));
	assert_int_equal(a.output_bytes, 3 + 7);
	assert_int_equal(a.usage.input_uncached, 3);
	assert_int_equal(a.usage.output, 4);
	json_free(doc);
	doc = json_read(&scratch, SPAN("{\"input_tokens\":33}"), NULL);
	assert_true(anthropic_read_answer(LLM_OP_COUNT_TOKENS, yyjson_doc_get_root(doc), &a, &err));
	assert_false(a.usage.present);
	assert_false(anthropic_read_answer(LLM_OP_MESSAGES, yyjson_doc_get_root(doc), &a, &err));
	assert_int_equal(err.code, ERR_UPSTREAM_INVALID);
	json_free(doc);
	err = (struct err){0};
	doc = json_read(&scratch,
		SPAN("{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":"
		     "\"slow\"}}"),
		NULL);
	assert_false(anthropic_read_answer(LLM_OP_MESSAGES, yyjson_doc_get_root(doc), &a, &err));
	assert_int_equal(err.code, ERR_RATE_LIMITED);
	json_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_stream),
		cmocka_unit_test(usage_is_overwritten_never_added),
		cmocka_unit_test(a_late_split_of_the_input_is_believed),
		cmocka_unit_test(cache_writes_without_a_split),
		cmocka_unit_test(errors_end_the_stream),
		cmocka_unit_test(the_data_says_what_the_event_is),
		cmocka_unit_test(plain_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
