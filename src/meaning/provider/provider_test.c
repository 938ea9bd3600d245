/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/provider.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct client {
	const char *version, *beta, *script;
};

static struct span field(void *user, const char *name)
{
	const struct client *c = user;

	if (strcmp(name, "anthropic-version") == 0)
		return span_of(c->version);
	if (strcmp(name, "anthropic-beta") == 0)
		return span_of(c->beta);
	if (strcmp(name, "x-sim") == 0)
		return span_of(c->script);
	fail_msg("asked for %s", name);
	return SPAN("");
}

static struct span value_of(const struct provider_call *call, const char *name)
{
	for (int i = 0; i < call->n; i++)
		if (span_is(call->fields[i].name, name))
			return call->fields[i].value;
	return (struct span){NULL, 0};
}

static bool prepare(const char *type, enum llm_op op, const char *base_path, const char *key,
	struct client *client, struct arena *a, struct provider_call *call, struct err *err)
{
	return provider_prepare(provider_type_find(span_of(type)), op, span_of(base_path),
		span_of(key), field, client, a, call, err);
}

static void writes_openai_calls(void **state)
{
	struct client client = {NULL, NULL, NULL};
	struct provider_call call;
	struct arena a;

	arena_init(&a, 1 << 16);
	assert_true(prepare("openai", LLM_OP_CHAT, "/v1", "sk-1", &client, &a, &call, NULL));
	assert_true(span_is(call.target, "/v1/chat/completions"));
	assert_true(span_is(value_of(&call, "authorization"), "Bearer sk-1"));
	assert_true(span_is(value_of(&call, "content-type"), "application/json"));
	assert_null(value_of(&call, "x-api-key").p);
	assert_true(
		prepare("compatible", LLM_OP_EMBEDDINGS, "/a/b/", "", &client, &a, &call, NULL));
	assert_true(span_is(call.target, "/a/b/embeddings"));
	assert_null(value_of(&call, "authorization").p);
	arena_done(&a);
}

static void writes_anthropic_calls(void **state)
{
	struct client client = {NULL, NULL, NULL};
	struct provider_call call;
	struct err err = {0};
	struct arena a;

	arena_init(&a, 1 << 16);
	assert_true(prepare("anthropic", LLM_OP_MESSAGES, "", "key", &client, &a, &call, &err));
	assert_true(span_is(call.target, "/v1/messages"));
	assert_true(span_is(value_of(&call, "x-api-key"), "key"));
	assert_true(span_is(value_of(&call, "anthropic-version"), "2023-06-01"));
	assert_null(value_of(&call, "authorization").p);
	assert_null(value_of(&call, "anthropic-beta").p);
	client = (struct client){"2026-10-21", " context-1m-2025-08-07, other_beta ", NULL};
	assert_true(
		prepare("anthropic", LLM_OP_COUNT_TOKENS, "/v1", "key", &client, &a, &call, &err));
	assert_true(span_is(call.target, "/v1/messages/count_tokens"));
	assert_true(span_is(value_of(&call, "anthropic-version"), "2026-10-21"));
	assert_true(
		span_is(value_of(&call, "anthropic-beta"), "context-1m-2025-08-07, other_beta"));
	client = (struct client){"20 23", "a\tb", NULL};
	assert_false(prepare("anthropic", LLM_OP_MESSAGES, "", "key", &client, &a, &call, &err));
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_string_equal(err.param, "anthropic-beta");
	client.beta = NULL;
	assert_true(prepare("anthropic", LLM_OP_MESSAGES, "", "key", &client, &a, &call, NULL));
	assert_true(span_is(value_of(&call, "anthropic-version"), "2023-06-01"));
	arena_done(&a);
}

static void the_simulator_speaks_both(void **state)
{
	struct client client = {NULL, NULL, NULL};
	struct provider_call call;
	struct arena a;

	arena_init(&a, 1 << 16);
	assert_true(prepare("sim", LLM_OP_CHAT, "/v1", "k", &client, &a, &call, NULL));
	assert_true(span_is(call.target, "/v1/chat/completions"));
	assert_true(span_is(value_of(&call, "authorization"), "Bearer k"));
	assert_true(prepare("sim", LLM_OP_MESSAGES, "", "k", &client, &a, &call, NULL));
	assert_true(span_is(call.target, "/v1/messages"));
	assert_true(span_is(value_of(&call, "x-api-key"), "k"));
	assert_null(value_of(&call, "x-sim").p);
	client.script = "delay=200; cut_bytes=5";
	assert_true(prepare("sim", LLM_OP_CHAT, "/v1", "k", &client, &a, &call, NULL));
	assert_true(span_is(value_of(&call, "x-sim"), "delay=200; cut_bytes=5"));
	assert_true(prepare("openai", LLM_OP_CHAT, "/v1", "k", &client, &a, &call, NULL));
	assert_null(value_of(&call, "x-sim").p);
	arena_done(&a);
}

static void refuses_what_it_cannot_send(void **state)
{
	struct client client = {NULL, NULL, NULL};
	struct provider_call call;
	struct err err = {0};
	struct arena a;

	arena_init(&a, 1 << 16);
	assert_false(prepare("openai", LLM_OP_CHAT, "/v1", "a\r\nx: y", &client, &a, &call, &err));
	assert_int_equal(err.code, ERR_UPSTREAM_AUTH);
	assert_null(strstr(err.text, "x: y"));
	err = (struct err){0};
	assert_false(prepare("openai", LLM_OP_MESSAGES, "/v1", "k", &client, &a, &call, &err));
	assert_int_equal(err.code, ERR_NO_OPERATION);
	arena_done(&a);
	arena_init(&a, 8);
	err = (struct err){0};
	assert_false(prepare("openai", LLM_OP_CHAT, "/v1", "k", &client, &a, &call, &err));
	assert_int_equal(err.code, ERR_NO_MEMORY);
	arena_done(&a);
}

static void knows_its_types(void **state)
{
	for (int i = 0; provider_type_names[i] != NULL; i++) {
		const struct provider_type *t = provider_type_find(span_of(provider_type_names[i]));

		assert_non_null(t);
		assert_string_equal(t->name, provider_type_names[i]);
	}
	assert_null(provider_type_find(SPAN("opena")));
	assert_null(provider_type_find(SPAN("compatible"))->base_url);
	assert_null(provider_type_find(SPAN("sim"))->base_url);
}

static void passes_rate_limits_only(void **state)
{
	assert_true(provider_passes_field(SPAN("X-RateLimit-Remaining-Tokens")));
	assert_true(provider_passes_field(SPAN("anthropic-ratelimit-unified-status")));
	assert_true(provider_passes_field(SPAN("retry-after")) &&
		    provider_passes_field(SPAN("Retry-After-Ms")) &&
		    provider_passes_field(SPAN("x-should-retry")) &&
		    provider_passes_field(SPAN("openai-processing-ms")));
	assert_false(provider_passes_field(SPAN("set-cookie")) ||
		     provider_passes_field(SPAN("openai-organization")) ||
		     provider_passes_field(SPAN("x-request-id")) ||
		     provider_passes_field(SPAN("retry-after-x")));
}

static void splits_model_names(void **state)
{
	struct model_name m;
	struct err err = {0};

	assert_true(model_name_read(SPAN("openai/gpt-4o"), &m, NULL));
	assert_true(span_is(m.provider, "openai") && span_is(m.model, "gpt-4o") &&
		    span_is(m.full, "gpt-4o") && m.region.n == 0);
	assert_true(model_name_read(SPAN("vertex/anthropic/claude@v1@eu"), &m, NULL));
	assert_true(span_is(m.provider, "vertex") && span_is(m.model, "anthropic/claude@v1") &&
		    span_is(m.region, "eu") && span_is(m.full, "anthropic/claude@v1@eu"));
	assert_true(model_name_read(SPAN("a/b@"), &m, NULL) && m.region.n == 0 &&
		    span_is(m.model, "b@"));
	assert_true(model_name_read(SPAN("a/@b"), &m, NULL) && m.region.n == 0);
	assert_false(model_name_read(SPAN("gpt-4o"), &m, &err));
	assert_int_equal(err.code, ERR_MODEL_NOT_FOUND);
	assert_false(model_name_read(SPAN("/x"), &m, NULL) ||
		     model_name_read(SPAN("x/"), &m, NULL) || model_name_read(SPAN(""), &m, NULL) ||
		     model_name_read(SPAN("a/b\n"), &m, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_openai_calls),
		cmocka_unit_test(writes_anthropic_calls),
		cmocka_unit_test(the_simulator_speaks_both),
		cmocka_unit_test(refuses_what_it_cannot_send),
		cmocka_unit_test(knows_its_types),
		cmocka_unit_test(passes_rate_limits_only),
		cmocka_unit_test(splits_model_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
