/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/test_tap.h"

/* What the template leaves out must never be seen: a tap with it and one without it agree on
 * everything. */
static void agree(const struct dialect *d, struct tap *with, struct tap *without, struct span name,
	struct span data)
{
	enum tap_verdict a, b;
	struct buf out_a, out_b;

	buf_init(&out_a, 1 << 20);
	buf_init(&out_b, 1 << 20);
	without->template.known = false;
	a = d->tap(with, name, data, &out_a);
	b = d->tap(without, name, data, &out_b);
	assert_int_equal(a, b);
	assert_true(span_eq(buf_span(&out_a), buf_span(&out_b)));
	assert_int_equal(with->output_bytes, without->output_bytes);
	assert_int_equal(with->content, without->content);
	assert_int_equal(with->finished, without->finished);
	assert_int_equal(with->final_usage, without->final_usage);
	assert_int_equal(with->terminal, without->terminal);
	assert_int_equal(with->error.code, without->error.code);
	assert_memory_equal(&with->usage, &without->usage, sizeof(with->usage));
	assert_memory_equal(with->begun, without->begun, sizeof(with->begun));
	buf_done(&out_a);
	buf_done(&out_b);
}

static const char *const pieces[] = {"Hello", " world", "", "\\n", "a\\\"b", "caf\xc3\xa9", "\xff",
	"}", "x\"y", "{\\\"a\\\":1}", "tab\there", "long long long long long long text", "\\u00e9",
	"content", "ok", "\xe2\x82\xac", "[DONE]", "null", "ok"};

static const char *const frames[][2] = {
	{"{\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"",
		"\"},\"finish_reason\":null}]}"},
	{"{\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"",
		"\"},\"finish_reason\":null}],\"usage\":null}"},
	{"{\"id\":\"1\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"",
		"\"},\"finish_reason\":null}]}"},
	{"{\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\": \"",
		"\",\"tool_calls\":null},\"finish_reason\":null}],\"usage\":null}"},
	{"{\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"x\":{\"content\":"
	 "\"",
		"\"},\"finish_reason\":null}]}"},
	{"{\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"",
		"\"},\"finish_reason\":null}]}"},
	{"{\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"",
		"\"},\"finish_reason\":\"stop\"}]}"},
	{"{\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"",
		"\"},\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":"
		"4}}"},
	{"{\"error\":{\"content\":\"", "\"}}"},
};

static void openai_streams_of_every_shape_agree(void **state)
{
	const size_t n_frames = sizeof(frames) / sizeof(frames[0]),
		     n_pieces = sizeof(pieces) / sizeof(pieces[0]);
	unsigned seed = 7;

	for (int round = 0; round < 3000; round++) {
		struct tap with = {
			.scratch = &scratch, .cost = fixed_cost, .hide_usage = round % 2};
		struct tap without = with;

		for (int i = 0; i < 12 && with.error.code == ERR_OK; i++) {
			struct buf data;
			size_t frame;

			seed = seed * 1103515245 + 12345;
			frame = (seed >> 16) % 4 != 0 ? (size_t)round % n_frames
						      : (seed >> 20) % n_frames;
			buf_init(&data, 4096);
			buf_append_cstr(&data, frames[frame][0]);
			buf_append_cstr(&data, pieces[(seed >> 8) % n_pieces]);
			buf_append_cstr(&data, frames[frame][1]);
			agree(&dialect_openai_chat, &with, &without, (struct span){NULL, 0},
				buf_span(&data));
			buf_done(&data);
		}
	}
}

static void anthropic_deltas_agree(void **state)
{
	static const char *const shapes[][2] = {
		{"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
		 "\"text\":\"",
			"\"}}"},
		{"{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"thinking_"
		 "delta\",\"thinking\":\"",
			"\"}}"},
		{"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
		 "\"text\",\"text\":\"",
			"\"}}"},
	};
	unsigned seed = 3;

	for (int round = 0; round < 1000; round++) {
		struct tap with = {.op = LLM_OP_MESSAGES, .scratch = &scratch, .cost = fixed_cost};
		struct tap without = with;

		for (int i = 0; i < 8 && with.error.code == ERR_OK; i++) {
			struct buf data;
			size_t shape;

			seed = seed * 1103515245 + 12345;
			shape = (seed >> 18) % 5 == 0 ? (seed >> 24) % 3 : (size_t)round % 2;
			buf_init(&data, 4096);
			buf_append_cstr(&data, shapes[shape][0]);
			buf_append_cstr(
				&data, pieces[(seed >> 8) % (sizeof(pieces) / sizeof(pieces[0]))]);
			buf_append_cstr(&data, shapes[shape][1]);
			agree(&dialect_anthropic, &with, &without,
				shape == 2 ? SPAN("content_block_start")
					   : SPAN("content_block_delta"),
				buf_span(&data));
			buf_done(&data);
		}
	}
}

static void a_plain_stream_is_matched(void **state)
{
	struct tap t = {.scratch = &scratch};

	feed_named(&dialect_openai_chat, &t, "",
		"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}],\"usage\":null}",
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n");
	assert_true(t.template.known);
	/* Without memory for a parse only the template can answer. */
	t.scratch = NULL;
	feed_named(&dialect_openai_chat, &t, "",
		"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two!\"}}],\"usage\":null}",
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two!\"}}]}\n\n");
	assert_int_equal(t.output_bytes, 7);
}

static void a_scan_says_nothing_of_what_is_not_plain(void **state)
{
	static const struct {
		const char *text;
		bool plain;
	} rows[] = {
		{"{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}", true},
		{" {\"usage\" : {\"prompt_tokens\":3} , \"choices\" : [ {\"a\":\"}\"} ] } \n",
			true},
		{"{\"choices\":[],\"usage\":{\"prompt_tokens\":3}", false},
		{"{\"choices\":[],\"usage\":{\"prompt_tokens\":3}}x", false},
		{"{\"choices\":[{],\"usage\":{\"prompt_tokens\":3}}", false},
		{"{\"choices\":[],\"usage\":{\"prompt_tokens\":3},}", false},
		{"{\"choices\":[],\"usage\":{\"prompt_tokens\":3},\"usage\":{\"prompt_tokens\":4}}",
			false},
		{"{\"choices\":[],\"usage\":null}", false},
		{"{\"choices\":{},\"usage\":{\"prompt_tokens\":3}}", false},
		{"{\"error\":{},\"choices\":[],\"usage\":{\"prompt_tokens\":3}}", false},
		{"{\"usage\":{\"prompt_tokens\":3}}", false},
		{"[1]", false},
		{"", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct llm_answer answer;
		bool plain = dialect_openai_chat.scan_answer(
			LLM_OP_CHAT, span_of(rows[i].text), &scratch, &answer);

		if (plain != rows[i].plain)
			fail_msg("%s", rows[i].text);
		if (plain)
			assert_int_equal(answer.usage.input_uncached, 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openai_streams_of_every_shape_agree),
		cmocka_unit_test(anthropic_deltas_agree),
		cmocka_unit_test(a_plain_stream_is_matched),
		cmocka_unit_test(a_scan_says_nothing_of_what_is_not_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
