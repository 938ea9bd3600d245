/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange/endpoint.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static enum endpoint_kind kind_of(const char *path, enum http_method method)
{
	struct endpoint_match m = endpoint_find(method, span_of(path));

	assert_non_null(m.endpoint);
	assert_false(m.wrong_method);
	return m.endpoint->kind;
}

static void every_spelling_of_a_base_url_arrives(void **state)
{
	static const char *const spellings[] = {"/v1/chat/completions", "/chat/completions",
		"/v1/v1/chat/completions", "/v1/chat/completions/", "/v1/v1/v1/chat/completions",
		NULL};

	for (int i = 0; spellings[i] != NULL; i++) {
		struct endpoint_match m = endpoint_find(HTTP_POST, span_of(spellings[i]));

		assert_non_null(m.endpoint);
		assert_int_equal(m.endpoint->op, LLM_OP_CHAT);
		assert_int_equal(m.hint != NULL, i > 0);
	}
	assert_int_equal(endpoint_find(HTTP_POST, SPAN("/v1/messages/count_tokens")).endpoint->op,
		LLM_OP_COUNT_TOKENS);
	assert_int_equal(
		endpoint_find(HTTP_POST, SPAN("/v1/messages")).endpoint->op, LLM_OP_MESSAGES);
}

static void nothing_is_decoded_or_guessed(void **state)
{
	static const char *const none[] = {"/", "/v1", "/v1/", "/v1/chat/Completions",
		"/v1/chat%2Fcompletions", "/v1//chat/completions", "/v1/chat/completions//",
		"/v1/../v1/models", "/v2/models", "/v1/v1/v1/v1/models", "/v1/livez",
		"/v1/api/hello", "/v1/chat/completions\\", NULL};

	for (int i = 0; none[i] != NULL; i++)
		assert_null(endpoint_find(HTTP_GET, span_of(none[i])).endpoint);
}

static void a_model_id_may_hold_slashes(void **state)
{
	struct endpoint_match m =
		endpoint_find(HTTP_GET, SPAN("/v1/models/azure/openai/gpt-4.1@eu"));

	assert_int_equal(m.endpoint->kind, ENDPOINT_MODEL);
	assert_true(span_is(m.rest, "azure/openai/gpt-4.1@eu"));
	assert_int_equal(kind_of("/v1/models", HTTP_GET), ENDPOINT_MODELS);
	assert_int_equal(kind_of("/v1/models/", HTTP_GET), ENDPOINT_MODELS);
}

static void methods_are_checked(void **state)
{
	assert_int_equal(kind_of("/api/hello", HTTP_HEAD), ENDPOINT_HELLO);
	assert_true(endpoint_find(HTTP_GET, SPAN("/v1/chat/completions")).wrong_method);
	assert_true(endpoint_find(HTTP_POST, SPAN("/metrics")).wrong_method);
	assert_true(endpoint_find(HTTP_HEAD, SPAN("/v1/messages")).wrong_method);
}

static void errors_come_in_the_dialect_of_the_path(void **state)
{
	assert_ptr_equal(endpoint_dialect(SPAN("/v1/messages/x"), false), &dialect_anthropic);
	assert_ptr_equal(endpoint_dialect(SPAN("/v1/models"), true), &dialect_anthropic);
	assert_ptr_equal(endpoint_dialect(SPAN("/nothing"), false), &dialect_openai_chat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling_of_a_base_url_arrives),
		cmocka_unit_test(nothing_is_decoded_or_guessed),
		cmocka_unit_test(a_model_id_may_hold_slashes),
		cmocka_unit_test(methods_are_checked),
		cmocka_unit_test(errors_come_in_the_dialect_of_the_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
