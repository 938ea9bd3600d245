/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/job.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "machine/base/json.h"

static struct job_plan *plan;
static struct buf scratch, out, all;

static int setup(void **state)
{
	plan = job_plan_new();
	buf_init(&scratch, 64 << 20);
	buf_init(&out, 64 << 20);
	buf_init(&all, 64 << 20);
	return plan == NULL;
}

static int teardown(void **state)
{
	job_plan_free(plan);
	buf_done(&scratch);
	buf_done(&out);
	buf_done(&all);
	return 0;
}

static struct job *make(enum op op, const char *script, const char *body)
{
	yyjson_doc *doc = json_read(NULL, span_of(body), NULL);
	struct script *s = script_parse(span_of(script), NULL);
	struct ask a;
	struct job *j;

	assert_non_null(doc);
	assert_non_null(s);
	ask_read(&a, op, (struct span){NULL, 0}, yyjson_doc_get_root(doc), NULL);
	assert_int_equal(a.fail.status, 0);
	j = job_new(&a, op == OP_MESSAGES ? &format_anthropic : &format_openai, s, plan);
	assert_non_null(j);
	json_free(doc); /* nothing of the body may be needed any more */
	return j;
}

#define BODY                                                                                       \
	"\"max_tokens\":1000,\"messages\":[{\"role\":\"user\",\"content\":\"hello \\u4f60 "        \
	"world\"}]}"
#define STREAM                                                                                     \
	"{\"model\":\"gpt\",\"stream\":true,\"stream_options\":{\"include_usage\":true}," BODY
#define PLAIN "{\"model\":\"gpt\"," BODY
#define ECHO "{\"model\":\"echo\"," BODY

/* The whole stream in `all`; returns how many writes it took. */
static int run(struct job *j, bool *stopped)
{
	bool end = false;
	int n = 0;

	buf_clear(&all);
	*stopped = false;
	while (!end && !*stopped) {
		job_stream(j, &scratch, &out, &end, stopped);
		buf_append(&all, buf_span(&out));
		n++;
		assert_true(n < 10000);
	}
	return n;
}

static int count(struct span text, const char *needle)
{
	int n = 0;
	ptrdiff_t at;

	while ((at = span_find(text, span_of(needle))) >= 0) {
		n++;
		text = span_skip(text, (size_t)at + 1);
	}
	return n;
}

static bool has(const char *needle)
{
	return span_find(buf_span(&all), span_of(needle)) >= 0;
}

/* The texts of all deltas, joined. */
static void joined(const char *name, struct buf *to)
{
	struct span rest = buf_span(&all);

	while (rest.n > 0) {
		struct span line = span_trim(span_cut(&rest, '\n'));
		yyjson_doc *doc;
		yyjson_val *v, *choice;

		if (!span_starts(line, SPAN("data: {")))
			continue;
		doc = json_read(NULL, span_skip(line, 6), NULL);
		assert_non_null(doc);
		v = yyjson_doc_get_root(doc);
		choice = yyjson_arr_get_first(json_get(v, "choices"));
		v = json_get(json_get(choice != NULL ? choice : v, "delta"), name);
		if (yyjson_is_str(v))
			buf_append(to, span_from(yyjson_get_str(v), yyjson_get_len(v)));
		json_free(doc);
	}
}

static void plain_text(struct job *j, struct buf *to)
{
	yyjson_doc *doc;
	yyjson_val *v;

	buf_clear(&out);
	j->format->plain(j, &out);
	doc = json_read(NULL, buf_span(&out), NULL);
	assert_non_null(doc);
	v = yyjson_doc_get_root(doc);
	v = j->op == OP_MESSAGES
		    ? json_get(yyjson_arr_get_last(json_get(v, "content")), "text")
		    : json_get(json_get(yyjson_arr_get_first(json_get(v, "choices")), "message"),
			      "content");
	assert_true(yyjson_is_str(v));
	buf_append(to, span_from(yyjson_get_str(v), yyjson_get_len(v)));
	json_free(doc);
}

static void same(enum op op, const char *script)
{
	struct buf a, b;
	struct job *s = make(op, script, STREAM), *p = make(op, script, PLAIN);
	bool stopped;

	buf_init(&a, 64 << 20);
	buf_init(&b, 64 << 20);
	run(s, &stopped);
	assert_false(stopped);
	joined(op == OP_MESSAGES ? "text" : "content", &a);
	plain_text(p, &b);
	assert_true(a.n > 0);
	assert_true(span_eq(buf_span(&a), buf_span(&b)));
	assert_int_equal(job_output_tokens(s), job_output_tokens(p));
	assert_int_equal(answer_tokens((int64_t)a.n) + s->reasoning_tokens, job_output_tokens(s));
	assert_int_equal(s->input_tokens, 4);
	job_free(s);
	job_free(p);
	buf_done(&a);
	buf_done(&b);
}

static void test_streamed_is_plain(void **state)
{
	static const char *const scripts[] = {"", "events=5", "words=100+events=3", "bytes=1000",
		"bytes=999+events=50", "join=3", "big_event=5000", "comments=2+pad=9",
		"reasoning=7", "usage_null+tool_calls_null", "two_usage", "no_done"};

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		same(OP_CHAT, scripts[i]);
		same(OP_MESSAGES, scripts[i]);
	}
	same(OP_MESSAGES, "thinking=5");
}

static void test_events_are_counted(void **state)
{
	struct job *j = make(OP_CHAT, "events=100", STREAM);
	bool stopped;

	assert_int_equal(run(j, &stopped), 101);
	assert_int_equal(j->events, 100);
	assert_int_equal(count(buf_span(&all), "\"content\":\""), 101); /* and the role's */
	job_free(j);
	j = make(OP_MESSAGES, "events=100+join=10", STREAM);
	assert_int_equal(run(j, &stopped), 11);
	assert_int_equal(count(buf_span(&all), "\"text_delta\""), 100);
	job_free(j);
}

static void test_stops(void **state)
{
	struct bill_cost cost = {0};
	struct job *j = make(OP_CHAT, "events=100+cut_events=3", STREAM);
	bool stopped;

	run(j, &stopped);
	assert_true(stopped);
	assert_int_equal(j->events, 3);
	assert_int_equal(j->stop_how, AFTER_CLOSE);
	assert_false(has("[DONE]"));
	job_cost(j, false, true, &cost);
	assert_int_equal(cost.input_tokens, j->input_tokens);
	assert_int_equal(cost.output_tokens, answer_tokens(j->out_bytes));
	assert_true(cost.output_tokens < job_output_tokens(j));
	job_free(j);
	j = make(OP_CHAT, "error_event=0+cut_events=9", STREAM);
	run(j, &stopped);
	assert_true(stopped && j->stop_with_error);
	assert_true(span_starts(buf_span(&all), SPAN("data: {\"error\":")));
	job_free(j);
	j = make(OP_MESSAGES, "error_event=2", STREAM);
	run(j, &stopped);
	assert_true(has("event: error\ndata: {\"type\":\"error\""));
	assert_false(has("message_stop"));
	job_free(j);
}

static void test_bill_rules(void **state)
{
	struct bill_cost cost = {0};
	struct job *j = make(OP_CHAT, "", STREAM);

	job_cost(j, false, false, &cost);
	assert_int_equal(cost.input_tokens, 0);
	job_free(j);
	j = make(OP_CHAT, "bill=full", STREAM);
	job_cost(j, false, false, &cost);
	assert_int_equal(cost.output_tokens, job_output_tokens(j));
	job_free(j);
	cost = (struct bill_cost){0};
	j = make(OP_CHAT, "bill=none", STREAM);
	job_cost(j, false, true, &cost);
	assert_int_equal(cost.input_tokens, 0);
	job_cost(j, true, true, &cost);
	assert_int_equal(cost.input_tokens, j->input_tokens);
	job_free(j);
}

static void test_endings(void **state)
{
	struct job *j = make(OP_CHAT, "no_done+no_finish+no_usage", STREAM);
	bool stopped;

	run(j, &stopped);
	assert_false(has("[DONE]") || has("\"stop\"") || has("usage"));
	job_free(j);
	j = make(OP_CHAT, "duplicate_done+two_usage+usage_null", STREAM);
	run(j, &stopped);
	assert_int_equal(count(buf_span(&all), "[DONE]"), 2);
	assert_int_equal(count(buf_span(&all), "\"usage\":{"), 2);
	assert_int_equal(count(buf_span(&all), "\"usage\":null"), 18);
	job_free(j);
	j = make(OP_CHAT, "crlf+junk_after_done", STREAM);
	run(j, &stopped);
	assert_true(has("data: [DONE]\r\n\r\ndata: {\"junk\""));
	job_free(j);
	j = make(OP_MESSAGES, "cr+no_last_line+bom", STREAM);
	run(j, &stopped);
	assert_true(span_starts(buf_span(&all), SPAN("\xef\xbb\xbf"
						     "event: message_start\rdata:")));
	assert_true(span_ends(buf_span(&all), SPAN("{\"type\":\"message_stop\"}\r")));
	job_free(j);
}

static void test_length_of_stream(void **state)
{
	static const char *const scripts[] = {
		"", "crlf+pad=7+comments=1", "words=300", "error_event=2"};
	bool stopped;

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct job *j = make(OP_CHAT, scripts[i], STREAM);
		int64_t n = job_stream_bytes(j, &scratch, &out);

		run(j, &stopped);
		assert_int_equal(all.n, n);
		job_free(j);
	}
}

#define TOOLS                                                                                      \
	"{\"model\":\"m\",\"stream\":true,\"max_tokens\":9,\"messages\":[{\"role\":\"user\","      \
	"\"content\":\"tool\"}],"                                                                  \
	"\"tools\":[{\"name\":\"a_b\",\"input_schema\":{\"type\":\"object\",\"properties\":{"      \
	"\"city\":{\"type\":\"string\"}}}}]}"

static void test_tool_arguments_in_pieces(void **state)
{
	struct job *j = make(OP_MESSAGES, "tools=3+args_piece=2", TOOLS);
	struct buf args;
	yyjson_doc *doc;
	bool stopped;

	buf_init(&args, 65536);
	assert_int_equal(j->n_tools, 3);
	run(j, &stopped);
	assert_int_equal(count(buf_span(&all), "content_block_start\""), 3);
	assert_int_equal(count(buf_span(&all), "content_block_stop\""), 3);
	assert_true(has("\"stop_reason\":\"tool_use\""));
	joined("partial_json", &args);
	/* Three objects, one behind the other. */
	assert_int_equal(count(buf_span(&args), "{\"city\":"), 3);
	doc = json_read(NULL, j->tools[0].args, NULL);
	assert_non_null(doc);
	json_free(doc);
	assert_int_equal(j->out_bytes, 3 * 3 + (int64_t)args.n);
	job_free(j);
	j = make(OP_CHAT, "tools=2", TOOLS);
	run(j, &stopped);
	assert_true(has("\"finish_reason\":\"tool_calls\""));
	assert_int_equal(count(buf_span(&all), "\"type\":\"function\""), 2);
	assert_int_equal(answer_tokens(j->out_bytes), job_output_tokens(j));
	job_free(j);
	buf_done(&args);
}

static void test_echo_and_cap(void **state)
{
	struct job *j = make(OP_CHAT, "", ECHO);
	struct buf b;

	buf_init(&b, 4096);
	plain_text(j, &b);
	assert_true(span_is(buf_span(&b), "hello \xe4\xbd\xa0 world"));
	job_free(j);
	j = make(OP_CHAT, "",
		"{\"model\":\"m\",\"max_completion_tokens\":2,\"messages\":[{\"role\":\"user\","
		"\"content\":\"x\"}]}");
	assert_true(j->capped);
	assert_int_equal(job_output_tokens(j), 2);
	buf_clear(&all);
	j->format->plain(j, &all);
	assert_true(has("\"finish_reason\":\"length\""));
	job_free(j);
	buf_done(&b);
}

static void test_cache_counts(void **state)
{
	struct job *j = make(OP_MESSAGES, "cached=3+cache_write=100", PLAIN);

	assert_int_equal(j->cached_tokens, 3);
	assert_int_equal(j->cache_write_tokens, 1);
	buf_clear(&all);
	j->format->plain(j, &all);
	assert_true(has("\"input_tokens\":0,\"cache_creation_input_tokens\":1,\"cache_read_input_"
			"tokens\":3"));
	job_free(j);
	j = make(OP_CHAT, "cached=99+reasoning=5", PLAIN);
	buf_clear(&all);
	j->format->plain(j, &all);
	assert_true(has("\"cached_tokens\":4"));
	assert_true(has("\"reasoning_tokens\":5"));
	job_free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streamed_is_plain),
		cmocka_unit_test(test_events_are_counted),
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_bill_rules),
		cmocka_unit_test(test_endings),
		cmocka_unit_test(test_length_of_stream),
		cmocka_unit_test(test_tool_arguments_in_pieces),
		cmocka_unit_test(test_echo_and_cap),
		cmocka_unit_test(test_cache_counts),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
