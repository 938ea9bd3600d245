/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "machine/base/json.h"
#include "machine/http/eventstream.h"
#include "sim/job.h"

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

#define HELLO "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hello world\"}]}]"
#define TOOL                                                                                       \
	",\"toolConfig\":{\"tools\":[{\"cachePoint\":{\"type\":\"default\"}},{\"toolSpec\":"       \
	"{\"name\":\"a_b\",\"inputSchema\":{\"json\":{\"type\":\"object\",\"properties\":{"        \
	"\"city\":{\"type\":\"string\"}}}}}}]"

#define MODEL SPAN("anthropic.claude-x-v1:0")

static struct job *make(const char *script, const char *body, bool stream)
{
	yyjson_doc *doc = json_read(NULL, span_of(body), NULL);
	struct script *s = script_parse(span_of(script), NULL);
	struct ask a;
	struct job *j;

	assert_non_null(doc);
	assert_non_null(s);
	ask_read(&a, OP_CONVERSE, MODEL, yyjson_doc_get_root(doc), NULL);
	assert_int_equal(a.fail.status, 0);
	a.stream = stream;
	j = job_new(&a, &format_bedrock, s, plan);
	assert_non_null(j);
	json_free(doc);
	return j;
}

/* What a stream said, read by its frames. */
struct heard {
	struct buf text, thinking, args, names;
	int64_t input, output;
	int stops, exceptions;
};

static void put(struct buf *b, yyjson_val *v)
{
	if (yyjson_is_str(v))
		buf_append(b, span_from(yyjson_get_str(v), yyjson_get_len(v)));
}

static bool on_event(void *user, const struct eventstream_event *ev)
{
	struct heard *h = user;
	yyjson_doc *doc = json_read(NULL, ev->payload, NULL);
	yyjson_val *root = yyjson_doc_get_root(doc), *delta = json_get(root, "delta");
	yyjson_val *reasoning = json_get(delta, "reasoningContent");

	buf_append(&h->names, ev->name);
	buf_append_char(&h->names, doc != NULL ? ' ' : '!');
	h->exceptions += ev->kind == EVENTSTREAM_EXCEPTION;
	put(&h->text, json_get(delta, "text"));
	put(&h->thinking, json_get(reasoning, "text"));
	put(&h->args, json_get(json_get(delta, "toolUse"), "input"));
	h->stops += json_get(root, "stopReason") != NULL;
	json_get_count(json_get(root, "usage"), "inputTokens", &h->input);
	json_get_count(json_get(root, "usage"), "outputTokens", &h->output);
	json_free(doc);
	return true;
}

/* false: the framing was broken. */
static bool listen(struct job *j, struct heard *h)
{
	struct eventstream s;
	bool end = false, stopped = false, ok = true;

	*h = (struct heard){.input = -1};
	buf_init(&h->text, 64 << 20);
	buf_init(&h->thinking, 1 << 20);
	buf_init(&h->args, 1 << 20);
	buf_init(&h->names, 1 << 20);
	buf_clear(&all);
	while (!end && !stopped) {
		job_stream(j, &scratch, &out, &end, &stopped);
		buf_append(&all, buf_span(&out));
	}
	eventstream_init(&s, 64 << 20);
	ok = eventstream_feed(&s, buf_span(&all), on_event, h, NULL) && eventstream_end(&s, NULL);
	eventstream_done(&s);
	return ok;
}

static void heard_done(struct heard *h)
{
	buf_done(&h->text);
	buf_done(&h->thinking);
	buf_done(&h->args);
	buf_done(&h->names);
}

static yyjson_doc *plain(struct job *j)
{
	yyjson_doc *doc;

	buf_clear(&out);
	j->format->plain(j, &out);
	doc = json_read(NULL, buf_span(&out), NULL);
	assert_non_null(doc);
	return doc;
}

static void test_streamed_is_plain(void **state)
{
	/* What is said of lines has no meaning here: no byte of a frame changes. */
	static const char *const scripts[] = {"", "events=5", "bytes=1000", "join=3",
		"big_event=5000", "thinking=5", "cached=1", "crlf+pad=9+comments=2+bom"};

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct job *s = make(scripts[i], HELLO "}", true);
		struct job *p = make(scripts[i], HELLO "}", false);
		yyjson_doc *doc = plain(p);
		yyjson_val *root = yyjson_doc_get_root(doc), *content;
		struct heard h;
		int64_t n = 0;

		assert_true(listen(s, &h));
		content = json_get(json_get(json_get(root, "output"), "message"), "content");
		buf_clear(&out);
		put(&out, json_get(yyjson_arr_get_last(content), "text"));
		assert_true(h.text.n > 0 && span_eq(buf_span(&h.text), buf_span(&out)));
		assert_int_equal(h.thinking.n > 0, yyjson_arr_size(content) > 1);
		assert_true(json_get_count(json_get(root, "usage"), "outputTokens", &n));
		assert_int_equal(n, h.output);
		assert_int_equal(n, job_output_tokens(s));
		assert_int_equal(h.input, s->input_tokens - s->cached_tokens);
		assert_int_equal(h.stops, 1);
		json_free(doc);
		heard_done(&h);
		job_free(s);
		job_free(p);
	}
}

static void test_tools(void **state)
{
	struct job *j = make("tools=2+args_piece=3", HELLO TOOL "}}", true);
	struct heard h;
	yyjson_doc *doc;
	struct span args;

	assert_int_equal(j->n_tools, 2);
	assert_true(listen(j, &h));
	/* Two objects, one behind the other. */
	args = buf_span(&h.args);
	assert_true(span_starts(args, j->tools[0].args));
	assert_true(span_eq(span_skip(args, j->tools[0].args.n), j->tools[1].args));
	doc = json_read(NULL, j->tools[0].args, NULL);
	assert_true(yyjson_is_str(json_get(yyjson_doc_get_root(doc), "city")));
	assert_int_equal(answer_tokens(j->out_bytes), job_output_tokens(j));
	json_free(doc);
	heard_done(&h);
	job_free(j);
	j = make("", HELLO TOOL ",\"toolChoice\":{\"tool\":{\"name\":\"a_b\"}}}}", false);
	doc = plain(j);
	assert_true(
		yyjson_equals_str(json_get(yyjson_doc_get_root(doc), "stopReason"), "tool_use"));
	json_free(doc);
	job_free(j);
}

static void test_asks(void **state)
{
	struct job *j = make("", HELLO ",\"inferenceConfig\":{\"maxTokens\":2}}", false);

	assert_true(j->capped);
	job_free(j);
	j = make("",
		HELLO ",\"additionalModelRequestFields\":{\"thinking\":{\"type\":"
		      "\"enabled\",\"budget_tokens\":1024}}}",
		false);
	assert_true(j->thinking.words > 0);
	job_free(j);
	/* A result is the prompt's text too, and no call follows it. */
	j = make("",
		"{\"system\":[{\"text\":\"1234\"}],\"messages\":[{\"role\":\"user\",\"content\":[{"
		"\"toolResult\":{\"toolUseId\":\"x\",\"content\":[{\"text\":\"5678\"}]}}]}]" TOOL
		"}}",
		false);
	assert_int_equal(j->input_tokens, 2);
	assert_int_equal(j->n_tools, 0);
	job_free(j);
}

static void test_refuses(void **state)
{
	static const char *const bodies[] = {"{}", "{\"messages\":[]}",
		"{\"messages\":[{\"role\":\"user\",\"content\":[]}]}",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"text\"}]}"};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		yyjson_doc *doc = json_read(NULL, span_of(bodies[i]), NULL);
		struct ask a;

		ask_read(&a, OP_CONVERSE, MODEL, yyjson_doc_get_root(doc), NULL);
		assert_int_equal(a.fail.status, 400);
		json_free(doc);
	}
}

static void test_endings(void **state)
{
	static const struct {
		const char *script, *names;
	} rows[] = {
		{"events=1",
			"messageStart contentBlockDelta contentBlockStop messageStop metadata "},
		{"events=1+no_finish", "messageStart contentBlockDelta contentBlockStop metadata "},
		{"events=1+no_done",
			"messageStart contentBlockDelta contentBlockStop messageStop "},
		{"events=1+two_usage",
			"messageStart contentBlockDelta contentBlockStop messageStop metadata "
			"metadata "},
		{"events=9+error_event=1",
			"messageStart contentBlockDelta serviceUnavailableException "},
		{"error_event=0+error_type=throttlingException", "throttlingException "},
		{"events=2+bad_json",
			"messageStart contentBlockDelta contentBlockDelta!contentBlockDelta "
			"contentBlockStop messageStop metadata "},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct job *j = make(rows[i].script, HELLO "}", true);
		struct heard h;

		assert_true(listen(j, &h));
		if (!span_is(buf_span(&h.names), rows[i].names))
			fail_msg("%s: %.*s", rows[i].script, SPAN_ARG(buf_span(&h.names)));
		assert_int_equal(h.exceptions, strstr(rows[i].script, "error_event") != NULL);
		heard_done(&h);
		job_free(j);
	}
}

static void test_broken_frames(void **state)
{
	static const char *const scripts[] = {
		"bad_frame=0", "bad_frame=1", "bad_frame=2", "bad_frame=3"};

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct job *j = make(scripts[i], HELLO "}", true);
		struct heard h;

		assert_false(listen(j, &h));
		assert_true(span_is(buf_span(&h.names), "messageStart contentBlockDelta "));
		heard_done(&h);
		job_free(j);
	}
}

static void test_errors(void **state)
{
	struct job *j = make("", HELLO "}", false);
	struct fail f = {.status = 429, .message = "slow down"};

	buf_clear(&out);
	j->format->error(j, &f, &out);
	assert_true(span_is(buf_span(&out), "{\"message\":\"slow down\"}"));
	buf_clear(&out);
	j->format->error_fields(j, 429, &out);
	assert_true(
		span_starts(buf_span(&out), SPAN("x-amzn-errortype: ThrottlingException:http://")));
	job_free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streamed_is_plain),
		cmocka_unit_test(test_tools),
		cmocka_unit_test(test_asks),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_endings),
		cmocka_unit_test(test_broken_frames),
		cmocka_unit_test(test_errors),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
