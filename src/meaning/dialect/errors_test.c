/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "machine/base/buf.h"
#include "machine/base/text.h"
#include "meaning/dialect/shared.h"

struct case_row {
	int status;
	const char *body;
	enum err_code code;
	const char *text, *type, *native;
};

static const struct case_row openai_cases[] = {
	{400,
		"{\"error\":{\"message\":\"bad "
		"role\",\"type\":\"invalid_request_error\",\"param\":\"messages\","
		"\"code\":\"invalid_value\"}}",
		ERR_BAD_REQUEST, "bad role", "invalid_request_error", "invalid_value"},
	{400,
		"{\"error\":{\"message\":\"too long\",\"type\":\"invalid_request_error\",\"code\":"
		"\"context_length_exceeded\"}}",
		ERR_CONTEXT_LENGTH, "too long", "invalid_request_error", "context_length_exceeded"},
	{400,
		"{\"object\":\"error\",\"message\":\"This model's maximum context length is 8192 "
		"tokens.\","
		"\"type\":\"BadRequestError\",\"param\":null,\"code\":400}",
		ERR_CONTEXT_LENGTH, "This model's maximum context length is 8192 tokens.",
		"BadRequestError", "400"},
	{401,
		"{\"error\":{\"message\":\"Incorrect API key provided: "
		"sk-abc123***********xyz9.\",\"type\":"
		"\"invalid_request_error\",\"code\":\"invalid_api_key\"}}",
		ERR_UPSTREAM_AUTH, "Incorrect API key provided: sk-***.", "", ""},
	{403, "{\"error\":{\"message\":\"Country not supported\"}}", ERR_UPSTREAM_AUTH,
		"Country not supported", "", ""},
	{403, "{\"error\":{\"code\":403,\"message\":\"Your input was flagged\"}}", ERR_BAD_REQUEST,
		"Your input was flagged", "", "403"},
	{402, "{\"error\":{\"message\":\"Insufficient credits\"}}", ERR_UPSTREAM_AUTH,
		"Insufficient credits", "", ""},
	{404,
		"{\"error\":{\"message\":\"The model `x` does not "
		"exist\",\"code\":\"model_not_found\"}}",
		ERR_MODEL_NOT_FOUND, "The model `x` does not exist", "", "model_not_found"},
	{404, "{\"detail\":\"Not Found\"}", ERR_NOT_FOUND, "Not Found", "", ""},
	{413, "{\"message\":\"Payload too large\"}", ERR_TOO_LARGE, "Payload too large", "", ""},
	{422,
		"{\"detail\":[{\"loc\":[\"body\",\"temperature\"],\"msg\":\"Input should be less "
		"than 2\"}]}",
		ERR_BAD_REQUEST, "Input should be less than 2", "", ""},
	{422,
		"{\"object\":\"error\",\"message\":{\"detail\":[{\"msg\":\"Extra "
		"inputs\"}]},\"type\":"
		"\"invalid_request_error\",\"code\":\"2210\"}",
		ERR_BAD_REQUEST, "Extra inputs", "invalid_request_error", "2210"},
	{429, "{\"error\":{\"message\":\"Provider returned error\",\"code\":429}}",
		ERR_RATE_LIMITED, "Provider returned error", "", "429"},
	{429,
		"{\"error\":{\"message\":\"You exceeded your current "
		"quota\",\"type\":\"insufficient_quota\","
		"\"code\":\"insufficient_quota\"}}",
		ERR_UPSTREAM_AUTH, "You exceeded your current quota", "", ""},
	{500, "{\"error\":\"boom\"}", ERR_UPSTREAM, "boom", "", ""},
	{503,
		"[{\"error\":{\"code\":503,\"message\":\"The model is overloaded\",\"status\":"
		"\"UNAVAILABLE\"}}]",
		ERR_OVERLOADED, "The model is overloaded", "UNAVAILABLE", "503"},
	{504, "", ERR_UPSTREAM_TIMEOUT, "The provider did not answer in time", "", ""},
	{502,
		"<!DOCTYPE html><html><head><title>502 Bad "
		"Gateway</title></head><body>x</body></html>",
		ERR_UPSTREAM, "502 Bad Gateway", "", ""},
	{502, "<html><body>no title, secret: AIzaSyA1234567890abcdefghij</body></html>",
		ERR_UPSTREAM, "The provider failed", "", ""},
	{500, "plain \x01 words", ERR_UPSTREAM, "plain   words", "", ""},
	{500, "{\"error\":{\"message\":\"half", ERR_UPSTREAM, "{\"error\":{\"message\":\"half", "",
		""},
	{500, "[]", ERR_UPSTREAM, "The provider failed", "", ""},
	{500, "null", ERR_UPSTREAM, "The provider failed", "", ""},
	{301, "", ERR_UPSTREAM_INVALID, "Invalid provider response format", "", ""},
};

static const struct case_row anthropic_cases[] = {
	{400,
		"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
		"\"prompt is too long: 215000 tokens > 200000 maximum\"}}",
		ERR_CONTEXT_LENGTH, "prompt is too long: 215000 tokens > 200000 maximum",
		"invalid_request_error", ""},
	{400,
		"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
		"\"Your credit balance is too low to access the Anthropic API.\"}}",
		ERR_UPSTREAM_AUTH, "Your credit balance is too low to access the Anthropic API.",
		"", ""},
	{401,
		"{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":"
		"\"invalid x-api-key\"}}",
		ERR_UPSTREAM_AUTH, "invalid x-api-key", "", ""},
	{529,
		"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
		"\"Overloaded\"},"
		"\"request_id\":\"req_1\"}",
		ERR_OVERLOADED, "Overloaded", "overloaded_error", ""},
	{500, "{\"type\":\"error\",\"message\":\"odd\"}", ERR_UPSTREAM, "odd", "", ""},
};

static void check(const struct dialect *d, const struct case_row *c)
{
	struct err err = {0};
	char type[64] = "?", code[64] = "?";

	d->read_error(c->status, span_of(c->body), NULL, &err, type, code);
	if (err.code != c->code)
		print_message("%s\n", c->body);
	assert_int_equal(err.code, c->code);
	assert_string_equal(err.text, c->text);
	assert_string_equal(type, c->type);
	assert_string_equal(code, c->native);
}

static void reads_every_shape(void **state)
{
	for (size_t i = 0; i < sizeof(openai_cases) / sizeof(openai_cases[0]); i++)
		check(&dialect_openai_chat, &openai_cases[i]);
	for (size_t i = 0; i < sizeof(anthropic_cases) / sizeof(anthropic_cases[0]); i++)
		check(&dialect_anthropic, &anthropic_cases[i]);
}

static void names_the_member(void **state)
{
	struct err err = {0};
	char type[64], code[64];

	dialect_openai_chat.read_error(400, span_of(openai_cases[0].body), NULL, &err, type, code);
	assert_string_equal(err.param, "messages");
}

static void words(const char *from, const char *expected)
{
	struct err err = {0};

	dialect_keep_words(&err, ERR_UPSTREAM, span_of(from));
	assert_string_equal(err.text, expected);
}

static void masks_what_looks_like_a_key(void **state)
{
	words("key sk-proj-Ab12Cd34_x-y bad", "key sk-*** bad");
	words("Authorization: Bearer abc.def refused", "Authorization: Bearer ***.def refused");
	words("token 0123456789abcdefABCDEF99 bad", "token 012*** bad");
	words("org-AbCdEf012345 has no access", "org*** has no access");
	words("request req_011CVEA3SF7rnb3DuBZytqQa failed",
		"request req_011CVEA3SF7rnb3DuBZytqQa failed");
	words("model meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8",
		"model meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8");
	words("claude-sonnet-4-5-20250929 is busy", "claude-sonnet-4-5-20250929 is busy");
	words("\xff\xfe caf\xc3\xa9", "?? caf??");
	words("caf\xc3\xa9", "caf\xc3\xa9");
}

static void long_words_are_cut(void **state)
{
	char mem[5000];
	struct err err = {0};

	for (size_t i = 0; i < sizeof(mem); i++)
		mem[i] = i % 6 == 5 ? ' ' : 'x';
	dialect_keep_words(&err, ERR_UPSTREAM, span_from(mem, sizeof(mem)));
	assert_true(strlen(err.text) < sizeof(err.text) && strlen(err.text) > 300);
	memset(mem, 'x', sizeof(mem));
	err = (struct err){0};
	dialect_keep_words(&err, ERR_UPSTREAM, span_from(mem, sizeof(mem)));
	assert_int_equal(err.code, ERR_UPSTREAM);
	assert_true(err.text[0] != '\0');
}

static void writes(const struct dialect *d, const struct err *err, const char *native_type,
	const char *native_code, const char *expected)
{
	struct buf b;
	yyjson_doc *doc;

	buf_init(&b, 4096);
	d->write_error(err, "router", "req_1", native_type, native_code, &b);
	doc = json_read(NULL, buf_span(&b), NULL);
	assert_non_null(doc);
	json_free(doc);
	buf_append_char(&b, '\0');
	assert_string_equal(b.mem, expected);
	buf_done(&b);
}

static void writes_both_envelopes(void **state)
{
	struct err err = {.code = ERR_MODEL_NOT_FOUND, .text = "no \"x\"", .param = "model"};

	writes(&dialect_openai_chat, &err, NULL, NULL,
		"{\"error\":{\"origin\":\"router\",\"message\":\"no \\\"x\\\"\",\"type\":"
		"\"invalid_request_error\",\"param\":\"model\",\"code\":\"model_not_found\","
		"\"request_id\":\"req_1\"}}");
	writes(&dialect_openai_chat, &err, "their_type", "",
		"{\"error\":{\"origin\":\"router\",\"message\":\"no "
		"\\\"x\\\"\",\"type\":\"their_type\","
		"\"param\":\"model\",\"code\":null,\"request_id\":\"req_1\"}}");
	writes(&dialect_openai_chat, &err, NULL, "429",
		"{\"error\":{\"origin\":\"router\",\"message\":\"no \\\"x\\\"\",\"type\":"
		"\"invalid_request_error\",\"param\":\"model\",\"code\":\"429\",\"request_id\":"
		"\"req_1\"}}");
	writes(&dialect_anthropic, &err, NULL, NULL,
		"{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"no "
		"\\\"x\\\"\","
		"\"origin\":\"router\"},\"request_id\":\"req_1\"}");
	writes(&dialect_anthropic, &err, "overloaded_error", NULL,
		"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no "
		"\\\"x\\\"\","
		"\"origin\":\"router\"},\"request_id\":\"req_1\"}");
}

/* Every code has a type of the format, and a whole JSON body. */
static void every_code_can_be_told(void **state)
{
	const struct dialect *const both[] = {&dialect_openai_chat, &dialect_anthropic};

	for (int code = ERR_OK + 1; code < ERR_CODE_COUNT; code++)
		for (int i = 0; i < 2; i++) {
			struct err err = {.code = (enum err_code)code};
			struct buf b;
			yyjson_doc *doc;
			yyjson_val *error;

			buf_init(&b, 4096);
			both[i]->write_error(&err, "provider", NULL, NULL, NULL, &b);
			doc = json_read(NULL, buf_span(&b), NULL);
			error = json_get(yyjson_doc_get_root(doc), "error");
			assert_true(yyjson_get_len(json_get(error, "type")) > 0);
			assert_true(yyjson_get_len(json_get(error, "message")) > 0);
			json_free(doc);
			buf_done(&b);
		}
}

static void a_broken_stream_ends_without_the_good_end(void **state)
{
	struct err err = {.code = ERR_UPSTREAM_INTERRUPTED, .text = "cut"};
	struct buf b;

	buf_init(&b, 4096);
	dialect_openai_chat.write_stream_error(&err, "router", "req_1", 0, &b);
	assert_true(span_starts(buf_span(&b), SPAN("data: {\"error\":{")));
	assert_true(span_ends(buf_span(&b), SPAN("}}\n\n")));
	assert_int_equal(span_find(buf_span(&b), SPAN("[DONE]")), -1);
	buf_clear(&b);
	dialect_anthropic.write_stream_error(&err, "router", "req_1", 0, &b);
	assert_true(span_starts(buf_span(&b),
		SPAN("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"")));
	assert_true(span_ends(buf_span(&b), SPAN("}\n\n")));
	assert_int_equal(span_find(buf_span(&b), SPAN("message_stop")), -1);
	buf_done(&b);
}

static void overload_differs_by_format(void **state)
{
	struct err err = {.code = ERR_OVERLOADED};

	assert_int_equal(dialect_openai_chat.status(&err), 503);
	assert_int_equal(dialect_anthropic.status(&err), 529);
	err.code = ERR_PAYMENT;
	assert_int_equal(dialect_anthropic.status(&err), 402);
	assert_int_equal(dialect_openai_chat.status(&err), 402);
}

/* clients.md 1.1: Claude Code reads the numbers and compacts. */
static void an_overflow_has_anthropics_words(void **state)
{
	static const struct {
		const char *said, *written;
	} rows[] = {
		{"This model's maximum context length is 8192 tokens. However, your messages "
		 "resulted in 9001 tokens.",
			"prompt is too long: 9001 tokens > 8192 maximum"},
		{"This model's maximum context length is 4096 tokens. However, you requested 5000 "
		 "tokens (4900 in the messages, 100 in the completion).",
			"prompt is too long: 5000 tokens > 4096 maximum"},
		{"The input token count (1048577) exceeds the maximum number of tokens allowed "
		 "(1048576).",
			"prompt is too long: 1048577 tokens > 1048576 maximum"},
		{"request (6000 tokens) exceeds the available context size (4096 tokens)",
			"prompt is too long: 6000 tokens > 4096 maximum"},
		{"gpt-4-0613: maximum context length is 8192 tokens", "prompt is too long"},
		{"Input is too long for requested model.", "prompt is too long"},
		{"", "prompt is too long"},
		{"prompt is too long: 5 tokens > 4 maximum",
			"prompt is too long: 5 tokens > 4 maximum"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = {.code = ERR_CONTEXT_LENGTH};
		char expected[256];
		struct buf b;

		buf_init(&b, 1 << 16);
		snprintf(err.text, sizeof(err.text), "%s", rows[i].said);
		dialect_anthropic.write_error(&err, "provider", "req_1", NULL, NULL, &b);
		snprintf(expected, sizeof(expected), "\"message\":\"%s\",", rows[i].written);
		assert_true(span_find(buf_span(&b), span_of(expected)) >= 0);
		assert_true(span_find(buf_span(&b), SPAN("\"invalid_request_error\"")) >= 0);
		buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_overflow_has_anthropics_words),
		cmocka_unit_test(reads_every_shape),
		cmocka_unit_test(names_the_member),
		cmocka_unit_test(masks_what_looks_like_a_key),
		cmocka_unit_test(long_words_are_cut),
		cmocka_unit_test(writes_both_envelopes),
		cmocka_unit_test(every_code_can_be_told),
		cmocka_unit_test(a_broken_stream_ends_without_the_good_end),
		cmocka_unit_test(overload_differs_by_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
