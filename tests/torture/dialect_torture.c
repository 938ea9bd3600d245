/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "meaning/dialect/dialect.h"
#include "torture.h"

/* No scratch memory anywhere: every document is asked for. */

struct stream {
	const struct dialect *dialect;
	const char *events[8]; /* name, data, name, data ... NULL */
};

static struct span cost(void *user, const struct llm_usage *u, char out[32])
{
	memcpy(out, "0.5", 4);
	return span_of(out);
}

/* A stream ends well, or its error says that memory was short; nothing between. */
static bool tap_stream(const void *arg)
{
	const struct stream *s = arg;
	struct tap t = {.op = LLM_OP_CHAT, .cost = cost, .request_id = "req_1"};
	struct buf out;
	bool failed = false;

	buf_init(&out, 1 << 20);
	for (int i = 0; s->events[i] != NULL && !failed; i += 2) {
		enum tap_verdict verdict;

		buf_clear(&out);
		verdict =
			s->dialect->tap(&t, span_of(s->events[i]), span_of(s->events[i + 1]), &out);
		if (t.error.code != ERR_OK) {
			assert_int_equal(t.error.code, ERR_NO_MEMORY);
			assert_int_equal(verdict, TAP_REPLACE);
			assert_int_equal(t.error_status, 503);
		}
		failed = t.error.code != ERR_OK || out.failed;
		assert_true(failed || verdict != TAP_REPLACE ||
			    span_ends(buf_span(&out), SPAN("\n\n")));
	}
	if (!failed) {
		assert_true(t.finished && t.terminal && t.usage.present);
		assert_int_equal(t.usage.output, 9);
	}
	buf_done(&out);
	return !failed;
}

static bool edit_request(const void *arg)
{
	const struct span text =
		SPAN("{\"model\":\"openai/gpt-4o\",\"stream\":true,\"messages\":[],"
		     "\"max_tokens\":5,\"user\":\"someone\",\"requesty\":{\"tags\":[\"a\"],"
		     "\"user_id\":\"u\",\"trace_id\":\"t\",\"extra\":{\"k\":\"v\"}}}");
	const enum llm_op *op = arg;
	const struct dialect *d = dialect_of(*op);
	const struct pass_edit edit = {SPAN("gpt-4o"), true};
	struct span spans[2 * JSON_MAX_SPLICES + 1];
	struct llm_facts facts;
	struct llm_metadata meta;
	struct err err = {0};
	struct json_edit e;
	struct arena a;
	yyjson_doc *doc;
	bool ok = false;

	arena_init(&a, 1 << 20);
	doc = json_read(NULL, text, &err);
	if (doc != NULL &&
		d->read_facts(*op, yyjson_doc_get_root(doc), text, &a, &facts, &meta, &err)) {
		assert_true(span_is(meta.trace_id, "t") && span_is(meta.tags, "[\"a\"]"));
		json_edit_init(&e, &a, text);
		d->edit_request(*op, &facts, &edit, &e);
		ok = json_edit_spans(&e, spans, 2 * JSON_MAX_SPLICES + 1) > 0;
		assert_int_equal(e.failed, !ok);
	} else {
		assert_int_equal(err.code, ERR_NO_MEMORY);
	}
	json_free(doc);
	arena_done(&a);
	return ok;
}

/* An error that cannot be parsed for want of memory is still an error of its status. */
static bool read_error(const void *arg)
{
	const enum llm_op *op = arg;
	const struct dialect *d = dialect_of(*op);
	struct err err = {0};
	char type[64], code[64];
	struct buf out;
	bool ok;

	buf_init(&out, 1 << 20);
	d->read_error(429,
		SPAN("{\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow down\"}}"), NULL,
		&err, type, code);
	assert_int_equal(err.code, ERR_RATE_LIMITED);
	ok = strcmp(type, "rate_limit_error") == 0;
	d->write_error(&err, "provider", "req_1", type, code, &out);
	ok &= !out.failed;
	buf_clear(&out);
	d->write_stream_error(&err, "provider", "req_1", 0, &out);
	ok &= !out.failed;
	buf_done(&out);
	return ok;
}

static const struct stream streams[] = {
	{&dialect_openai_chat,
		{"",
			"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\","
			"\"tool_calls\":null},\"finish_reason\":\"stop\"}],\"usage\":null}",
			"",
			"{\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":9}}",
			"", "[DONE]", NULL}},
	{&dialect_anthropic,
		{"message_delta",
			"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"
			"\"usage\":{\"input_tokens\":20,\"output_tokens\":9}}",
			"message_stop", "{\"type\":\"message_stop\"}", NULL}},
};

static void streams_survive(void **state)
{
	torture("tap, openai_chat", tap_stream, &streams[0]);
	torture("tap, anthropic", tap_stream, &streams[1]);
}

static void requests_and_errors_survive(void **state)
{
	static const enum llm_op ops[] = {LLM_OP_CHAT, LLM_OP_MESSAGES};

	for (int i = 0; i < 2; i++) {
		torture("request", edit_request, &ops[i]);
		torture("error", read_error, &ops[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_survive),
		cmocka_unit_test(requests_and_errors_survive),
	};

	return cmocka_run_group_tests_name("torture/dialect", tests, NULL, NULL);
}
