/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/test_provider.h"

static void writes_openai_calls(void **state)
{
	struct test t = test_of("openai", "/v1", "sk-1");

	assert_target(&t, LLM_OP_CHAT, "gpt-4o", "/v1/chat/completions");
	assert_field(&t, "authorization", "Bearer sk-1");
	assert_field(&t, "content-type", "application/json");
	assert_field(&t, "x-api-key", NULL);
	test_done(&t);
	t = test_of("compatible", "/a/b/", "");
	assert_target(&t, LLM_OP_EMBEDDINGS, "m", "/a/b/embeddings");
	assert_field(&t, "authorization", NULL);
	test_done(&t);
}

static void writes_anthropic_calls(void **state)
{
	struct test t = test_of("anthropic", "", "key");

	assert_target(&t, LLM_OP_MESSAGES, "claude", "/v1/messages");
	assert_field(&t, "x-api-key", "key");
	assert_field(&t, "anthropic-version", "2023-06-01");
	assert_field(&t, "authorization", NULL);
	assert_field(&t, "anthropic-beta", NULL);
	t.version = "2026-10-21";
	t.beta = " context-1m-2025-08-07, other_beta ";
	t.ask.base_path = SPAN("/v1");
	assert_target(&t, LLM_OP_COUNT_TOKENS, "claude", "/v1/messages/count_tokens");
	assert_field(&t, "anthropic-version", "2026-10-21");
	assert_field(&t, "anthropic-beta", "context-1m-2025-08-07, other_beta");
	t.version = "20 23";
	t.beta = "a\tb";
	assert_false(test_prepare(&t, LLM_OP_MESSAGES, "claude"));
	assert_int_equal(t.err.code, ERR_BAD_REQUEST);
	assert_string_equal(t.err.param, "anthropic-beta");
	t.beta = NULL;
	assert_true(test_prepare(&t, LLM_OP_MESSAGES, "claude"));
	assert_field(&t, "anthropic-version", "2023-06-01");
	test_done(&t);
}

static void the_simulator_speaks_both(void **state)
{
	struct test t = test_of("sim", "/v1", "k");

	assert_target(&t, LLM_OP_CHAT, "m", "/v1/chat/completions");
	assert_field(&t, "authorization", "Bearer k");
	t.ask.base_path = SPAN("");
	assert_target(&t, LLM_OP_MESSAGES, "m", "/v1/messages");
	assert_field(&t, "x-api-key", "k");
	assert_field(&t, "x-sim", NULL);
	t.script = "delay=200; cut_bytes=5";
	assert_true(test_prepare(&t, LLM_OP_CHAT, "m"));
	assert_field(&t, "x-sim", "delay=200; cut_bytes=5");
	t.setup.type = provider_type_find(SPAN("openai"));
	assert_true(test_prepare(&t, LLM_OP_CHAT, "m"));
	assert_field(&t, "x-sim", NULL);
	test_done(&t);
}

static void refuses_what_it_cannot_send(void **state)
{
	struct test t = test_of("openai", "/v1", "a\r\nx: y");

	assert_false(test_prepare(&t, LLM_OP_CHAT, "m"));
	assert_int_equal(t.err.code, ERR_UPSTREAM_AUTH);
	assert_null(strstr(t.err.text, "x: y"));
	t.setup.api_key = SPAN("k");
	assert_false(test_prepare(&t, LLM_OP_MESSAGES, "m"));
	assert_int_equal(t.err.code, ERR_NO_OPERATION);
	arena_done(&t.arena);
	arena_init(&t.arena, 8);
	assert_false(test_prepare(&t, LLM_OP_CHAT, "m"));
	assert_int_equal(t.err.code, ERR_NO_MEMORY);
	test_done(&t);
}

/* What a client calls its model becomes one segment, whatever is in it. */
static void a_model_stays_inside_its_segment(void **state)
{
	struct test t = test_of("google", "/v1beta", "k");

	assert_target(&t, LLM_OP_GENERATE, "a/../b?c#d e%\xc3\xa9",
		"/v1beta/models/a%2F..%2Fb%3Fc%23d%20e%25%C3%A9:generateContent");
	assert_false(test_prepare(&t, LLM_OP_GENERATE, ".."));
	assert_int_equal(t.err.code, ERR_MODEL_NOT_FOUND);
	assert_string_equal(t.err.param, "model");
	assert_false(test_prepare(&t, LLM_OP_GENERATE, "."));
	test_done(&t);
}

/* base_url may be given with or without what the type's own has. */
static void a_root_is_not_doubled(void **state)
{
	static const char *const rows[][4] = {
		{"azure", "", "gpt-4o", "/openai/v1/chat/completions"},
		{"azure", "/openai", "gpt-4o", "/openai/v1/chat/completions"},
		{"azure", "/openai/v1/", "gpt-4o", "/openai/v1/chat/completions"},
		{"moonshot", "/v1", "kimi", "/v1/chat/completions"},
		{"deepinfra", "/v1/openai", "m", "/v1/openai/chat/completions"},
		{"compatible", "/chat", "m", "/chat/chat/completions"},
		{"compatible", "/x/v1", "m", "/x/v1/chat/completions"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct test t = test_of(rows[i][0], rows[i][1], "k");

		assert_target(&t, LLM_OP_CHAT, rows[i][2], rows[i][3]);
		test_done(&t);
	}
}

static void betas_go_to_those_that_know_them(void **state)
{
	const struct span list = SPAN("claude-code-20250219, interleaved-thinking-2025-05-14,"
				      "advanced-tool-use-2025-11-20,made-up-2030-01-01,,"
				      "tool-search-tool-2025-10-19");
	struct arena a;

	arena_init(&a, 1 << 16);
	assert_true(span_eq(provider_betas(CLAUDE_ANTHROPIC, list, &a), list));
	assert_true(span_is(provider_betas(CLAUDE_VERTEX, list, &a),
		"interleaved-thinking-2025-05-14,tool-search-tool-2025-10-19"));
	assert_true(span_is(provider_betas(CLAUDE_BEDROCK, list, &a),
		"interleaved-thinking-2025-05-14,tool-search-tool-2025-10-19,"
		"tool-examples-2025-10-29"));
	assert_true(span_is(provider_betas(CLAUDE_AZURE, list, &a),
		"interleaved-thinking-2025-05-14,advanced-tool-use-2025-11-20"));
	assert_null(provider_betas(CLAUDE_ELSEWHERE, list, &a).p);
	assert_null(provider_betas(CLAUDE_ANTHROPIC, SPAN(""), &a).p);
	arena_done(&a);
}

/* A body that was translated says which betas it makes use of. */
static void a_translated_body_brings_its_betas(void **state)
{
	static const char *const needed[] = {"web-search-2025-03-05"};
	struct test t = test_of("vertex", "", "");

	t.setup.project = SPAN("p");
	t.setup.location = SPAN("global");
	t.ask.token = SPAN("tok");
	t.ask.betas = needed;
	t.ask.n_betas = 1;
	t.beta = "context-1m-2025-08-07,nonsense";
	assert_true(test_prepare(&t, LLM_OP_MESSAGES, "claude-sonnet-4-5"));
	assert_field(&t, "anthropic-beta", "context-1m-2025-08-07,web-search-2025-03-05");
	/* Counting is another method there, without betas. */
	assert_true(test_prepare(&t, LLM_OP_COUNT_TOKENS, "claude-sonnet-4-5"));
	assert_field(&t, "anthropic-beta", NULL);
	test_done(&t);
}

static void assert_op(const char *type, enum llm_op client, const char *model, enum llm_op op)
{
	const struct provider_setup s = {.type = provider_type_find(span_of(type))};
	const unsigned known = 1u << LLM_OP_CHAT | 1u << LLM_OP_MESSAGES | 1u << LLM_OP_GENERATE |
			       1u << LLM_OP_CONVERSE | 1u << LLM_OP_RESPONSES | 1u << LLM_OP_COHERE;

	assert_int_equal(provider_op(&s, client, span_of(model), known), op);
}

static void the_format_may_depend_on_the_model(void **state)
{
	assert_op("openai", LLM_OP_CHAT, "gpt-4o", LLM_OP_CHAT);
	assert_op("openai", LLM_OP_MESSAGES, "gpt-4o", LLM_OP_CHAT);
	assert_op("openai", LLM_OP_RESPONSES, "gpt-4o", LLM_OP_RESPONSES);
	assert_op("openai", LLM_OP_CHAT, "gpt-5-pro", LLM_OP_RESPONSES);
	assert_op("openai-responses", LLM_OP_CHAT, "gpt-4o", LLM_OP_RESPONSES);
	assert_op("anthropic", LLM_OP_CHAT, "claude", LLM_OP_MESSAGES);
	assert_op("google", LLM_OP_MESSAGES, "gemini-2.5-pro", LLM_OP_GENERATE);
	assert_op("vertex", LLM_OP_CHAT, "gemini-2.5-pro", LLM_OP_GENERATE);
	assert_op("vertex", LLM_OP_CHAT, "claude-sonnet-4-5", LLM_OP_MESSAGES);
	assert_op("vertex", LLM_OP_COUNT_TOKENS, "claude-sonnet-4-5", LLM_OP_COUNT_TOKENS);
	assert_op("vertex", LLM_OP_COUNT_TOKENS, "gemini-2.5-pro", LLM_OP_COUNT);
	assert_op("vertex", LLM_OP_MESSAGES, "meta/llama-3.3-70b-instruct-maas", LLM_OP_CHAT);
	assert_op("bedrock", LLM_OP_MESSAGES, "anthropic.claude-v1:0", LLM_OP_CONVERSE);
	assert_op("azure", LLM_OP_MESSAGES, "claude-sonnet-4-5", LLM_OP_MESSAGES);
	assert_op("azure", LLM_OP_MESSAGES, "gpt-4o", LLM_OP_CHAT);
	assert_op("azure", LLM_OP_CHAT, "gpt-5-pro", LLM_OP_RESPONSES);
	assert_op("cohere", LLM_OP_CHAT, "command-a", LLM_OP_COHERE);
	assert_op("cohere", LLM_OP_RESPONSES, "command-a", LLM_OP_COHERE);
	assert_op("deepseek", LLM_OP_MESSAGES, "deepseek-chat", LLM_OP_MESSAGES);
	assert_op("groq", LLM_OP_MESSAGES, "llama", LLM_OP_CHAT);
	assert_op("openai", LLM_OP_IMAGES, "gpt-image-1", LLM_OP_IMAGES);
	assert_op("anthropic", LLM_OP_IMAGES, "claude", LLM_OP_COUNT);
	assert_op("anthropic", LLM_OP_EMBEDDINGS, "claude", LLM_OP_COUNT);
}

/* Vectors in another format than OpenAI's are for callers that can write it. */
static void vectors_have_formats_too(void **state)
{
	const struct provider_setup s = {.type = provider_type_find(SPAN("google"))};
	const struct span m = SPAN("gemini-embedding-001");

	assert_int_equal(provider_op(&s, LLM_OP_EMBEDDINGS, m, 0), LLM_OP_COUNT);
	assert_int_equal(
		provider_op(&s, LLM_OP_EMBEDDINGS, m, 1u << LLM_OP_EMBEDDINGS), LLM_OP_EMBEDDINGS);
	assert_ptr_equal(provider_path(&s, LLM_OP_EMBEDDINGS, m)->embed, &embed_gemini);
}

static void assert_model(
	const struct provider_setup *s, const char *text, const char *model, const char *region)
{
	struct model_name name;

	assert_true(model_name_read(span_of(text), &name, NULL));
	assert_true(span_is(provider_model(s, &name), model));
	assert_true(span_is(provider_region(s, &name), region));
}

static void models_get_the_providers_own_names(void **state)
{
	static const struct provider_alias aliases[] = {
		{SPAN("gpt-4o"), SPAN("my-gpt")}, {SPAN("gpt-4o@sweden"), SPAN("swedish")}};
	struct provider_setup s = {.type = provider_type_find(SPAN("vertex"))};

	assert_model(
		&s, "vertex/google/gemini-2.5-pro@europe-west4", "gemini-2.5-pro", "europe-west4");
	assert_model(&s, "vertex/claude-sonnet-4-5@20250929", "claude-sonnet-4-5@20250929", "");
	assert_model(
		&s, "vertex/claude-sonnet-4-5@20250929@eu", "claude-sonnet-4-5@20250929", "eu");
	assert_model(&s, "vertex/meta/llama", "meta/llama", "");
	assert_model(&s, "vertex/google/", "google/", "");
	s = (struct provider_setup){.type = provider_type_find(SPAN("azure")),
		.deployments = aliases,
		.n_deployments = 2};
	assert_model(&s, "azure/gpt-4o", "my-gpt", "");
	assert_model(&s, "azure/gpt-4o@sweden", "swedish", "");
	assert_model(&s, "azure/openai/gpt-image-1", "gpt-image-1", "");
	s.type = provider_type_find(SPAN("bedrock"));
	assert_model(&s, "bedrock/gpt-4o@sweden", "swedish", "");
	assert_model(&s, "bedrock/gpt-4o@eu-west-1", "my-gpt", "eu-west-1");
	s = (struct provider_setup){.type = provider_type_find(SPAN("openai"))};
	assert_model(&s, "openai/a@eu", "a@eu", "");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_openai_calls),
		cmocka_unit_test(writes_anthropic_calls),
		cmocka_unit_test(the_simulator_speaks_both),
		cmocka_unit_test(refuses_what_it_cannot_send),
		cmocka_unit_test(a_model_stays_inside_its_segment),
		cmocka_unit_test(a_root_is_not_doubled),
		cmocka_unit_test(betas_go_to_those_that_know_them),
		cmocka_unit_test(a_translated_body_brings_its_betas),
		cmocka_unit_test(the_format_may_depend_on_the_model),
		cmocka_unit_test(vectors_have_formats_too),
		cmocka_unit_test(models_get_the_providers_own_names),
		cmocka_unit_test(passes_rate_limits_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
