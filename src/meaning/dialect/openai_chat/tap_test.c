/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_chat/openai_chat.h"
#include "meaning/dialect/test_tap.h"

#define HEAD "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
#define CHUNK(delta, finish, tail)                                                                 \
	HEAD "\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" finish "}]" tail "}"
#define USAGE "\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":9,\"total_tokens\":29}"

static void feed(struct tap *t, const char *data, const char *expected)
{
	feed_named(&dialect_openai_chat, t, NULL, data, expected);
}

static void a_plain_stream_passes_untouched(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null", ""), NULL);
	assert_false(t.content || t.finished);
	feed(&t, CHUNK("{\"content\":\"Hi \\u00e9\"}", "null", ""), NULL);
	assert_true(t.content);
	assert_int_equal(t.output_bytes, 5);
	feed(&t, CHUNK("{\"reasoning_content\":\"abc\",\"content\":null}", "null", ""), NULL);
	feed(&t, CHUNK("{\"refusal\":\"no\"}", "null", ""), NULL);
	assert_int_equal(t.output_bytes, 10);
	feed(&t, CHUNK("{}", "\"stop\"", ""), NULL);
	assert_true(t.finished && !t.terminal && !t.final_usage);
	feed(&t, HEAD "\"choices\":[]," USAGE "}", NULL);
	assert_true(t.final_usage && t.usage.present);
	assert_int_equal(t.usage.input_uncached, 20);
	assert_int_equal(t.usage.output, 9);
	feed(&t, "[DONE]", NULL);
	assert_true(t.terminal && !t.final_usage);
}

static void null_members_are_left_out(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, HEAD "\"choices\":[],\"usage\":null}", "data: " HEAD "\"choices\":[]}\n\n");
	feed(&t, HEAD "\"choices\":[], \"usage\" : null , \"obfuscation\":\"x\"}",
		"data: " HEAD "\"choices\":[] , \"obfuscation\":\"x\"}\n\n");
	feed(&t, "{\"usage\":null,\"choices\":[]}", "data: {\"choices\":[]}\n\n");
	feed(&t, "{\"usage\":null}", "data: {}\n\n");
	feed(&t, "{ \"a\\u0041\\n\" : 1 , \"usage\" :\tnull}", "data: { \"a\\u0041\\n\" : 1}\n\n");
	feed(&t, "{\"a\":\"\\u0041\\n\",\"us\\u0061ge\":null,\"b\":1}",
		"data: {\"a\":\"\\u0041\\n\",\"b\":1}\n\n");
	feed(&t, "{\"x\":1,\"usage\":null,\"usage\":null}", "data: {\"x\":1}\n\n");
	feed(&t, "{\"x\":1,\"usage\":{},\"usage\":null,\"y\":2}",
		"data: {\"x\":1,\"usage\":{},\"y\":2}\n\n");
	feed(&t, "{\"x\":\"\\ud83d\",\"usage\":null}", "data: {\"x\":\"\\ud83d\"}\n\n");
	feed(&t, CHUNK("{\"content\":\"a\",\"tool_calls\":null}", "null", ",\"usage\":null"),
		"data: " CHUNK("{\"content\":\"a\"}", "null", "") "\n\n");
	feed(&t, CHUNK("{\"tool_calls\":null,\"content\":\"a\"}", "null", ""),
		"data: " CHUNK("{\"content\":\"a\"}", "null", "") "\n\n");
	feed(&t, CHUNK("{\"tool_calls\":null}", "null", ""),
		"data: " CHUNK("{}", "null", "") "\n\n");
	/* Text that only looks so, and nulls elsewhere, stay. */
	feed(&t, CHUNK("{\"content\":\"\\\"usage\\\":null\"}", "null", ""), NULL);
	feed(&t, CHUNK("{\"content\":null,\"usage\":null}", "null", ",\"service_tier\":null"),
		NULL);
}

static void several_choices_each_need_an_end(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t,
		"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}},{\"index\":100,"
		"\"delta\":"
		"{\"content\":\"b\",\"tool_calls\":null}}]}",
		"data: "
		"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}},{\"index\":100,"
		"\"delta\":"
		"{\"content\":\"b\"}}]}\n\n");
	feed(&t, "{\"choices\":[{\"index\":100,\"delta\":{},\"finish_reason\":\"stop\"}]}", NULL);
	assert_false(t.finished);
	feed(&t, "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}", NULL);
	assert_true(t.finished);
}

static void tools_count_as_content(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t,
		CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"type\":\"function\","
		      "\"function\":{"
		      "\"name\":\"f\",\"arguments\":\"\"}}]}",
			"null", ""),
		NULL);
	assert_true(t.content);
	assert_int_equal(t.output_bytes, 0);
	feed(&t,
		CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}"
		      "}]}",
			"null", ""),
		NULL);
	assert_int_equal(t.output_bytes, 7);
}

static void usage_is_hidden_when_not_asked(void **state)
{
	struct tap t = {.scratch = &scratch, .hide_usage = true, .cost = fixed_cost};

	feed(&t, CHUNK("{\"content\":\"a\"}", "null", ",\"usage\":null"),
		"data: " CHUNK("{\"content\":\"a\"}", "null", "") "\n\n");
	feed(&t, CHUNK("{}", "\"stop\"", "," USAGE), "data: " CHUNK("{}", "\"stop\"", "") "\n\n");
	assert_true(t.final_usage);
	feed(&t, HEAD "\"choices\":[]," USAGE "}", "");
	assert_true(t.final_usage);
	assert_int_equal(t.usage.output, 9);
	feed(&t, HEAD USAGE "}", "");
	feed(&t, CHUNK("{\"content\":\"a\"}", "null", ",\"usage\":{}"),
		"data: " CHUNK("{\"content\":\"a\"}", "null", "") "\n\n");
	/* A chunk without choices that is no usage chunk (Azure's filters) goes on. */
	feed(&t, HEAD "\"choices\":[],\"prompt_filter_results\":[]}", NULL);
}

static void cost_goes_into_the_last_usage(void **state)
{
	struct tap t = {.scratch = &scratch, .cost = fixed_cost};

	feed(&t, CHUNK("{\"content\":\"a\"}", "null", "," USAGE), NULL);
	assert_false(t.final_usage);
	assert_true(t.usage.present);
	feed(&t,
		CHUNK("{}", "\"stop\"",
			",\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10}"),
		"data: " CHUNK("{}", "\"stop\"",
			",\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10,\"cost\":0.5}") "\n\n");
	assert_true(t.final_usage);
	feed(&t, HEAD "\"choices\":[],\"usage\":{\"cost\":9,\"prompt_tokens\":20}}",
		"data: " HEAD "\"choices\":[],\"usage\":{\"cost\":0.5,\"prompt_tokens\":20}}\n\n");
	assert_int_equal(t.usage.output, 10);
}

struct usage_row {
	const char *usage;
	int64_t uncached, read, write, audio, output, reasoning;
};

static void usage_of_every_maker(void **state)
{
	static const struct usage_row rows[] = {
		{"{\"prompt_tokens\":100,\"completion_tokens\":50,\"total_tokens\":150,"
		 "\"prompt_tokens_details\":{\"cached_tokens\":30,\"audio_tokens\":10,"
		 "\"cache_write_tokens\":5},\"completion_tokens_details\":{\"reasoning_tokens\":20}"
		 "}",
			55, 30, 5, 10, 50, 20},
		{"{\"prompt_tokens\":563,\"completion_tokens\":116,\"total_tokens\":679,"
		 "\"prompt_cache_hit_tokens\":512,\"prompt_cache_miss_tokens\":51}",
			51, 512, 0, 0, 116, 0},
		/* reasoning outside completion (xAI) */
		{"{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":115,"
		 "\"completion_tokens_details\":{\"reasoning_tokens\":100}}",
			10, 0, 0, 0, 105, 100},
		{"{\"prompt_tokens\":10,\"completion_tokens\":30,\"total_tokens\":60,"
		 "\"completion_tokens_details\":{\"reasoning_tokens\":20}}",
			10, 0, 0, 0, 50, 20},
		/* told as written and read */
		{"{\"prompt_tokens\":2168,\"completion_tokens\":100,\"total_tokens\":2268,"
		 "\"prompt_tokens_details\":{\"cached_tokens\":2161,\"cache_write_tokens\":2161}}",
			0, 2161, 7, 0, 100, 0},
		{"{\"prompt_tokens\":50,\"completion_tokens\":5,\"total_tokens\":95,"
		 "\"prompt_tokens_details\":{\"cached_tokens\":40}}",
			50, 40, 0, 0, 5, 0},
		/* cached part beside the prompt */
		{"{\"prompt_tokens\":10,\"completion_tokens\":5,\"prompt_tokens_details\":"
		 "{\"cached_tokens\":90}}",
			10, 90, 0, 0, 5, 0},
		{"{\"prompt_tokens\":68,\"completion_tokens\":6,\"num_cached_tokens\":8}", 60, 8, 0,
			0, 6, 0},
		{"{\"prompt_tokens\":68,\"completion_tokens\":6,\"prompt_token_details\":"
		 "{\"cached_tokens\":8}}",
			60, 8, 0, 0, 6, 0},
		{"{\"prompt_tokens\":10,\"completion_tokens\":995,\"cached_tokens\":4}", 6, 4, 0, 0,
			995, 0},
		{"{\"prompt_tokens\":7,\"completion_tokens\":null,\"total_tokens\":7}", 7, 0, 0, 0,
			0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		yyjson_doc *doc = json_read(&scratch, span_of(rows[i].usage), NULL);
		struct llm_usage u;

		openai_read_usage(yyjson_doc_get_root(doc), &u);
		assert_true(u.present);
		assert_int_equal(u.input_uncached, rows[i].uncached);
		assert_int_equal(u.cache_read, rows[i].read);
		assert_int_equal(u.cache_write_5m, rows[i].write);
		assert_int_equal(u.input_audio, rows[i].audio);
		assert_int_equal(u.output, rows[i].output);
		assert_int_equal(u.reasoning, rows[i].reasoning);
		json_free(doc);
	}
}

static void only_sound_counts_are_believed(void **state)
{
	static const char *const bad[] = {"null", "{}", "{\"prompt_tokens\":-1}",
		"{\"prompt_tokens\":1.5}", "{\"prompt_tokens\":\"7\"}",
		"{\"prompt_tokens\":9223372036854775808}", "{\"prompt_tokens\":1e400}", "[]", "3"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		yyjson_doc *doc = json_read(&scratch, span_of(bad[i]), NULL);
		struct llm_usage u;

		assert_non_null(doc);
		openai_read_usage(yyjson_doc_get_root(doc), &u);
		assert_false(u.present);
		json_free(doc);
	}
}

static void shrinking_counts_are_not_believed(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, CHUNK("{}", "null", ",\"usage\":{\"prompt_tokens\":50,\"completion_tokens\":9}"),
		NULL);
	feed(&t, CHUNK("{}", "null", ",\"usage\":{\"prompt_tokens\":40,\"completion_tokens\":12}"),
		NULL);
	feed(&t,
		CHUNK("{}", "\"stop\"",
			",\"usage\":{\"prompt_tokens\":50,\"completion_tokens\":3,"
			"\"prompt_tokens_details\":{\"cached_tokens\":45}}"),
		NULL);
	assert_int_equal(t.usage.output, 12);
	/* The same input told apart later is no shrinking. */
	assert_int_equal(t.usage.input_uncached, 5);
	assert_int_equal(t.usage.cache_read, 45);
}

static void usage_in_odd_places(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, CHUNK("{}", "\"stop\"", ",\"x_groq\":{\"id\":\"r\"," USAGE "}"), NULL);
	assert_true(t.final_usage);
	assert_int_equal(t.usage.output, 9);
	t = (struct tap){.scratch = &scratch};
	feed(&t, "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"," USAGE "}]}",
		NULL);
	assert_true(t.final_usage);
	assert_int_equal(t.usage.input_uncached, 20);
}

static void errors_are_recognised(void **state)
{
	struct tap t = {.scratch = &scratch, .request_id = "req_1"};

	feed(&t,
		"{\"id\":\"g\",\"choices\":[],\"error\":{\"code\":502,\"message\":\"Upstream "
		"gone\"}}",
		"data: {\"error\":{\"origin\":\"provider\",\"message\":\"Upstream gone\",\"type\":"
		"\"server_error\",\"param\":null,\"code\":\"502\",\"request_id\":\"req_1\"}}\n\n");
	assert_int_equal(t.error.code, ERR_UPSTREAM);
	assert_int_equal(t.error_status, 502);
	assert_false(t.content);

	t = (struct tap){.scratch = &scratch};
	feed_named(&dialect_openai_chat, &t, "error",
		"{\"error\":{\"message\":\"Tool call "
		"failed\",\"type\":\"invalid_request_error\",\"code\":"
		"\"tool_use_failed\",\"status_code\":400}}",
		"data: {\"error\":{\"origin\":\"provider\",\"message\":\"Tool call "
		"failed\",\"type\":"
		"\"invalid_request_error\",\"param\":null,\"code\":\"tool_use_failed\",\"request_"
		"id\":"
		"null}}\n\n");
	assert_int_equal(t.error.code, ERR_BAD_REQUEST);
	assert_int_equal(t.error_status, 400);

	t = (struct tap){.scratch = &scratch};
	feed(&t, "{\"error\":\"words\"}",
		"data: "
		"{\"error\":{\"origin\":\"provider\",\"message\":\"words\",\"type\":\"server_"
		"error\","
		"\"param\":null,\"code\":\"provider_error\",\"request_id\":null}}\n\n");
	t = (struct tap){.scratch = &scratch};
	feed(&t, HEAD "\"choices\":[],\"error\":null}", NULL);
	feed(&t, HEAD "\"choices\":[],\"error\":false}", NULL);
	feed(&t, HEAD "\"choices\":[],\"error\":\"\"}", NULL);
	assert_int_equal(t.error.code, ERR_OK);
}

static void garbage_is_an_error(void **state)
{
	static const char *const bad[] = {
		"{\"choices\":[", "hello", "[1]", "\"text\"", "7", "{\"a\":1}x"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct tap t = {.scratch = &scratch};
		struct buf out;

		buf_init(&out, 4096);
		assert_int_equal(openai_tap(&t, SPAN(""), span_of(bad[i]), &out), TAP_REPLACE);
		assert_int_equal(t.error.code, ERR_UPSTREAM_INVALID);
		assert_true(span_starts(buf_span(&out), SPAN("data: {\"error\":{")));
		buf_done(&out);
	}
}

/* Half of a character may come in one chunk and half in the next. */
static void broken_unicode_is_passed_on(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, CHUNK("{\"content\":\"\\ud83d\"}", "null", ""), NULL);
	feed(&t, CHUNK("{\"content\":\"\xf0\x9f\"}", "null", ""), NULL);
	assert_int_equal(t.error.code, ERR_OK);
}

static void events_of_several_lines_keep_their_form(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed(&t, "{\"choices\":[],\n\"usage\":null,\n\"x\":1\n}",
		"data: {\"choices\":[],\ndata: \"x\":1\ndata: }\n\n");
	feed(&t, " {\"usage\":null,\"x\":1}   ", "data: {\"x\":1}\n\n");
	feed_named(&dialect_openai_chat, &t, "chunk", "{\"usage\":null,\"x\":1}",
		"event: chunk\ndata: {\"x\":1}\n\n");
}

static void more_choices_than_fit_lose_nothing(void **state)
{
	struct tap t = {.scratch = &scratch};
	struct buf in, out;
	yyjson_doc *doc;

	buf_init(&in, 1 << 20);
	buf_init(&out, 1 << 20);
	buf_append_cstr(&in, "{\"choices\":[");
	for (int i = 0; i < 300; i++)
		buf_printf(&in,
			"%s{\"index\":%d,\"delta\":{\"content\":\"x\",\"tool_calls\":null}}",
			i > 0 ? "," : "", i);
	buf_append_cstr(&in, "],\"usage\":null}");
	assert_int_equal(openai_tap(&t, SPAN(""), buf_span(&in), &out), TAP_REPLACE);
	doc = json_read(NULL, span_skip(buf_span(&out), 6), NULL);
	assert_non_null(doc);
	assert_null(json_get(yyjson_doc_get_root(doc), "usage"));
	assert_int_equal(yyjson_arr_size(json_get(yyjson_doc_get_root(doc), "choices")), 300);
	json_free(doc);
	buf_done(&in);
	buf_done(&out);
}

static void plain_answers(void **state)
{
	struct span chat =
		SPAN("{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
		     "\"abc\",\"reasoning\":\"de\"}}]," USAGE "}");
	yyjson_doc *doc = json_read(&scratch, chat, NULL);
	struct llm_answer a;
	struct json_edit e;
	struct arena arena;
	struct span spans[8];
	struct err err = {0};

	arena_init(&arena, 4096);
	assert_true(openai_read_answer(LLM_OP_CHAT, yyjson_doc_get_root(doc), &a, &err));
	assert_int_equal(a.output_bytes, 5);
	assert_int_equal(a.usage.output, 9);
	json_free(doc);
	json_edit_init(&e, &arena, chat);
	openai_edit_answer(LLM_OP_CHAT, &a, SPAN("0.25"), &e);
	assert_int_equal(json_edit_spans(&e, spans, 8), 3);
	assert_true(span_is(spans[1], ",\"cost\":0.25") && span_is(spans[2], "}}"));
	json_edit_init(&e, &arena, chat);
	openai_edit_answer(LLM_OP_CHAT, &a, (struct span){NULL, 0}, &e);
	assert_int_equal(json_edit_spans(&e, spans, 8), 1);

	doc = json_read(
		&scratch, SPAN("{\"error\":{\"message\":\"slow down\",\"code\":429}}"), NULL);
	assert_false(openai_read_answer(LLM_OP_CHAT, yyjson_doc_get_root(doc), &a, &err));
	assert_int_equal(err.code, ERR_RATE_LIMITED);
	json_free(doc);
	err = (struct err){0};
	doc = json_read(&scratch, SPAN("{\"ok\":true}"), NULL);
	assert_false(openai_read_answer(LLM_OP_EMBEDDINGS, yyjson_doc_get_root(doc), &a, &err));
	assert_int_equal(err.code, ERR_UPSTREAM_INVALID);
	json_free(doc);
	doc = json_read(&scratch,
		SPAN("{\"data\":[],\"usage\":{\"prompt_tokens\":2,\"total_tokens\":2}}"), NULL);
	assert_true(openai_read_answer(LLM_OP_EMBEDDINGS, yyjson_doc_get_root(doc), &a, NULL));
	assert_int_equal(a.usage.input_uncached, 2);
	json_free(doc);
	arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_stream_passes_untouched),
		cmocka_unit_test(null_members_are_left_out),
		cmocka_unit_test(several_choices_each_need_an_end),
		cmocka_unit_test(tools_count_as_content),
		cmocka_unit_test(usage_is_hidden_when_not_asked),
		cmocka_unit_test(cost_goes_into_the_last_usage),
		cmocka_unit_test(usage_of_every_maker),
		cmocka_unit_test(only_sound_counts_are_believed),
		cmocka_unit_test(shrinking_counts_are_not_believed),
		cmocka_unit_test(usage_in_odd_places),
		cmocka_unit_test(errors_are_recognised),
		cmocka_unit_test(garbage_is_an_error),
		cmocka_unit_test(broken_unicode_is_passed_on),
		cmocka_unit_test(events_of_several_lines_keep_their_form),
		cmocka_unit_test(more_choices_than_fit_lose_nothing),
		cmocka_unit_test(plain_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
