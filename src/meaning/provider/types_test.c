/* SPDX-License-Identifier: Apache-2.0 */
/* Each type as its provider's reference describes it: addresses, fields, what it refuses. */
#include "meaning/provider/test_provider.h"
#include "meaning/dialect/codec.h"

static void knows_its_types(void **state)
{
	for (int i = 0; provider_type_names[i] != NULL; i++) {
		const struct provider_type *t = provider_type_find(span_of(provider_type_names[i]));

		assert_non_null(t);
		assert_string_equal(t->name, provider_type_names[i]);
		assert_true(t->paths != NULL || t->choose != NULL);
	}
	assert_null(provider_type_find(SPAN("opena")));
	assert_null(provider_type_find(SPAN("compatible"))->base_url);
	assert_null(provider_type_find(SPAN("sim"))->base_url);
}

/* Everything that some provider refuses. */
#define RICH                                                                                       \
	"{\"model\":\"m\",\"max_completion_tokens\":9,\"stream\":true,\"temperature\":0.5,"        \
	"\"seed\":7,\"presence_penalty\":1,\"logit_bias\":{\"1\":2},\"user\":\"u\","               \
	"\"store\":true,\"metadata\":{\"a\":\"b\"},\"service_tier\":\"flex\",\"messages\":["       \
	"{\"role\":\"developer\",\"content\":\"s\"},"                                              \
	"{\"role\":\"user\",\"name\":\"bob\",\"content\":\"hi\"}]"
#define TOOLS                                                                                      \
	",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true,"         \
	"\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":\"required\","                    \
	"\"parallel_tool_calls\":false"

struct body {
	char text[8192];
	struct llm_notes notes;
	struct err err;
	bool ok;
};

/* The request as it is written for a model of the type, in the format of `op`. */
static struct body body_in(enum llm_op op, const char *type, const char *model, const char *request)
{
	const struct codec *codec = dialect_of(op)->codec;
	struct llm_target target = {.model = span_of(model), .provider = SPAN("p")};
	struct llm_quirks quirks;
	struct llm_request *q;
	struct body out = {.ok = false};
	struct arena a;
	struct buf b;
	yyjson_doc *doc = json_read_raw(NULL, span_of(request), false, NULL);

	assert_non_null(doc);
	arena_init(&a, 1 << 20);
	buf_init(&b, sizeof(out.text) - 1);
	q = llm_request_new(&a);
	assert_true(
		dialect_openai_chat.codec->read_request(yyjson_doc_get_root(doc), &a, q, &out.err));
	provider_quirks(provider_type_find(span_of(type)), op, target.model, &quirks);
	target.quirks = &quirks;
	out.ok = codec->write_request(q, &target, &a, &b, &out.notes, &out.err);
	memcpy(out.text, buf_span(&b).p, b.n);
	buf_done(&b);
	json_free(doc);
	arena_done(&a);
	return out;
}

static struct body body_of(const char *type, const char *model, const char *request)
{
	return body_in(LLM_OP_CHAT, type, model, request);
}

static void has(const struct body *b, const char *part)
{
	assert_true(b->ok);
	if (strstr(b->text, part) == NULL)
		fail_msg("%s is not in %s", part, b->text);
}

static void lacks(const struct body *b, const char *part)
{
	assert_true(b->ok);
	if (strstr(b->text, part) != NULL)
		fail_msg("%s is in %s", part, b->text);
}

/* Address, credential and the name of the limit: all that a plain service needs. */
static void assert_plain(const char *type, const char *base_path, const char *target)
{
	struct test t = test_of(type, base_path, "key");
	struct body b = body_of(type, "m", RICH "}");

	assert_target(&t, LLM_OP_CHAT, "m", target);
	assert_field(&t, "authorization", "Bearer key");
	has(&b, "\"max_tokens\":9");
	lacks(&b, "\"store\"");
	lacks(&b, "service_tier");
	lacks(&b, "\"developer\"");
	test_done(&t);
}

static void openai(void **state)
{
	struct test t = test_of("openai", "/v1", "key");
	struct body b = body_of("openai", "gpt-4o", RICH TOOLS "}");

	has(&b, "\"max_completion_tokens\":9");
	has(&b, "\"temperature\":0.5");
	has(&b, "\"role\":\"developer\"");
	has(&b, "\"strict\":true");
	assert_target(&t, LLM_OP_RESPONSES, "gpt-5", "/v1/responses");
	assert_target(&t, LLM_OP_IMAGES, "gpt-image-1", "/v1/images/generations");
	assert_target(&t, LLM_OP_IMAGE_EDITS, "gpt-image-1", "/v1/images/edits");
	assert_target(&t, LLM_OP_SPEECH, "tts-1", "/v1/audio/speech");
	assert_target(&t, LLM_OP_TRANSCRIPTIONS, "whisper-1", "/v1/audio/transcriptions");
	assert_target(&t, LLM_OP_TRANSLATIONS, "whisper-1", "/v1/audio/translations");
	test_done(&t);
}

static void openai_models_that_reason_take_no_sampling(void **state)
{
	static const char *const models[] = {"o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5-mini"};
	struct body b;

	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		b = body_of("openai", models[i], RICH "}");
		lacks(&b, "temperature");
		lacks(&b, "presence_penalty");
		lacks(&b, "logit_bias");
		has(&b, "\"seed\":7");
	}
	b = body_of("openai", "gpt-5-chat-latest", RICH "}");
	has(&b, "temperature");
	b = body_of("openai", "gpt-4o-search-preview", RICH "}");
	lacks(&b, "temperature");
	lacks(&b, "\"seed\"");
	b = body_of("openai", "gpt-5", RICH ",\"stop\":[\"x\"]}");
	assert_false(b.ok);
	assert_string_equal(b.err.param, "stop");
	b = body_of("openai", "o1-mini", RICH "}");
	lacks(&b, "developer");
}

static void azure(void **state)
{
	struct test t = test_of("azure", "", "key");
	struct body b = body_of("azure", "gpt-5", RICH "}");

	assert_target(&t, LLM_OP_CHAT, "gpt-4o", "/openai/v1/chat/completions");
	assert_field(&t, "api-key", "key");
	assert_field(&t, "authorization", NULL);
	lacks(&b, "temperature");
	t.setup.api_version = SPAN("preview");
	assert_target(&t, LLM_OP_RESPONSES, "gpt-5", "/openai/v1/responses?api-version=preview");
	t.setup.by_deployment = true;
	t.setup.api_version = SPAN("2024-10-21");
	assert_target(&t, LLM_OP_CHAT, "my gpt",
		"/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21");
	assert_target(&t, LLM_OP_RESPONSES, "my-gpt", "/openai/responses?api-version=2024-10-21");
	assert_target(&t, LLM_OP_TRANSCRIPTIONS, "w",
		"/openai/deployments/w/audio/transcriptions?api-version=2024-10-21");
	assert_target(&t, LLM_OP_MESSAGES, "claude-opus-4-5", "/anthropic/v1/messages");
	assert_field(&t, "x-api-key", "key");
	assert_field(&t, "anthropic-version", "2023-06-01");
	test_done(&t);
}

static void google(void **state)
{
	struct test t = test_of("google", "/v1beta", "key");

	assert_target(&t, LLM_OP_GENERATE, "gemini-2.5-pro",
		"/v1beta/models/gemini-2.5-pro:generateContent");
	assert_field(&t, "x-goog-api-key", "key");
	assert_field(&t, "authorization", NULL);
	t.ask.stream = true;
	assert_target(&t, LLM_OP_GENERATE, "gemini-2.5-pro",
		"/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse");
	assert_target(&t, LLM_OP_EMBEDDINGS, "gemini-embedding-001",
		"/v1beta/models/gemini-embedding-001:batchEmbedContents");
	test_done(&t);
}

#define PLACE "/v1/projects/p/locations/europe-west4/publishers/"

static void vertex(void **state)
{
	struct test t = test_of("vertex", "", "");
	struct llm_quirks q;

	t.setup.project = SPAN("p");
	t.setup.location = SPAN("europe-west4");
	t.ask.token = SPAN("ya29.x");
	assert_target(&t, LLM_OP_GENERATE, "gemini-2.5-pro",
		PLACE "google/models/gemini-2.5-pro:generateContent");
	assert_field(&t, "authorization", "Bearer ya29.x");
	assert_target(&t, LLM_OP_MESSAGES, "claude-sonnet-4-5@20250929",
		PLACE "anthropic/models/claude-sonnet-4-5@20250929:rawPredict");
	assert_field(&t, "authorization", "Bearer ya29.x");
	assert_field(&t, "anthropic-version", NULL);
	t.ask.stream = true;
	assert_target(&t, LLM_OP_MESSAGES, "claude-sonnet-4-5",
		PLACE "anthropic/models/claude-sonnet-4-5:streamRawPredict");
	t.ask.stream = false;
	assert_target(&t, LLM_OP_COUNT_TOKENS, "claude-sonnet-4-5",
		PLACE "anthropic/models/count-tokens:rawPredict");
	assert_target(&t, LLM_OP_EMBEDDINGS, "text-embedding-005",
		PLACE "google/models/text-embedding-005:predict");
	assert_target(&t, LLM_OP_CHAT, "meta/llama-3.3-70b-instruct-maas",
		"/v1/projects/p/locations/europe-west4/endpoints/openapi/chat/completions");
	t.ask.region = SPAN("us-east5");
	assert_target(&t, LLM_OP_MESSAGES, "claude-sonnet-4-5",
		"/v1/projects/p/locations/us-east5/publishers/anthropic/models/"
		"claude-sonnet-4-5:rawPredict");
	test_done(&t);
	provider_quirks(t.setup.type, LLM_OP_GENERATE, SPAN("gemini"), &q);
	assert_true(q.vertex && q.body_version == NULL);
	provider_quirks(t.setup.type, LLM_OP_MESSAGES, SPAN("claude"), &q);
	assert_string_equal(q.body_version, "vertex-2023-10-16");
	assert_true(q.no_url_images);
}

/* Vertex wants the version in the body, and its own word for a tool that Anthropic has for all. */
static void vertex_claude_bodies(void **state)
{
	struct body b = body_in(LLM_OP_MESSAGES, "vertex", "claude-sonnet-4-5",
		"{\"model\":\"m\",\"web_search_options\":{},\"messages\":[{\"role\":\"user\","
		"\"content\":\"hi\"}]}");

	has(&b, "\"anthropic_version\":\"vertex-2023-10-16\"");
	has(&b, "web_search_20250305");
	lacks(&b, "\"model\"");
	assert_int_equal(b.notes.n_betas, 1);
	assert_string_equal(b.notes.betas[0], "web-search-2025-03-05");
	b = body_in(LLM_OP_MESSAGES, "anthropic", "claude-sonnet-4-5",
		"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
	has(&b, "\"model\":\"claude-sonnet-4-5\"");
	lacks(&b, "anthropic_version");
	assert_int_equal(b.notes.n_betas, 0);
}

/* A key is a project's: nothing in the address names it. */
/* E20: express mode. */
static void vertex_with_a_key(void **state)
{
	struct test t = test_of("vertex", "", "key");

	assert_target(&t, LLM_OP_GENERATE, "gemini-2.5-flash",
		"/v1/publishers/google/models/gemini-2.5-flash:generateContent");
	assert_field(&t, "x-goog-api-key", "key");
	test_done(&t);
}

static void bedrock(void **state)
{
	struct test t = test_of("bedrock", "", "");

	t.setup.region = SPAN("us-east-1");
	t.setup.access_key_id = SPAN("AKIDEXAMPLE");
	t.setup.secret_access_key = SPAN("secret");
	t.setup.session_token = SPAN("session");
	assert_target(&t, LLM_OP_CONVERSE, "anthropic.claude-3-5-sonnet-20240620-v1:0",
		"/model/anthropic.claude-3-5-sonnet-20240620-v1%3A0/converse");
	assert_true(t.call.to_sign && span_is(t.call.sign.region, "us-east-1") &&
		    span_is(t.call.sign.service, "bedrock") &&
		    span_is(t.call.sign.access_key_id, "AKIDEXAMPLE") &&
		    span_is(t.call.sign.secret_access_key, "secret") &&
		    span_is(t.call.sign.session_token, "session"));
	assert_field(&t, "authorization", NULL);
	t.ask.stream = true;
	t.ask.region = SPAN("eu-west-1");
	assert_target(&t, LLM_OP_CONVERSE, "arn:aws:bedrock:us-east-1:1:inference-profile/x",
		"/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/"
		"converse-stream");
	assert_true(span_is(t.call.sign.region, "eu-west-1"));
	t.setup.api_key = SPAN("bedrock-api-key-x");
	assert_true(test_prepare(&t, LLM_OP_CONVERSE, "amazon.nova-lite-v1:0"));
	assert_false(t.call.to_sign);
	assert_field(&t, "authorization", "Bearer bedrock-api-key-x");
	assert_target(&t, LLM_OP_EMBEDDINGS, "amazon.titan-embed-text-v2:0",
		"/model/amazon.titan-embed-text-v2%3A0/invoke");
	assert_ptr_equal(
		provider_path(&t.setup, LLM_OP_EMBEDDINGS, SPAN("cohere.embed-english-v3"))->embed,
		&embed_bedrock_cohere);
	test_done(&t);
}

static void mistral(void **state)
{
	struct body b = body_of("mistral", "mistral-large-latest", RICH TOOLS "}");

	assert_plain("mistral", "/v1", "/v1/chat/completions");
	has(&b, "\"random_seed\":7");
	has(&b, "\"tool_choice\":\"any\"");
	lacks(&b, "stream_options");
	lacks(&b, "\"bob\"");
	b = body_of("mistral", "mistral-large-latest",
		"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
		"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_"
		"0123456789\","
		"\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
		"{\"role\":\"tool\",\"tool_call_id\":\"call_0123456789\",\"content\":\"r\"}]}");
	lacks(&b, "call_0123456789");
}

static void groq(void **state)
{
	struct test t = test_of("groq", "/openai/v1", "key");
	struct body b = body_of("groq", "llama", RICH "}");

	assert_target(&t, LLM_OP_CHAT, "llama", "/openai/v1/chat/completions");
	assert_target(&t, LLM_OP_SPEECH, "playai-tts", "/openai/v1/audio/speech");
	assert_target(&t, LLM_OP_TRANSLATIONS, "whisper", "/openai/v1/audio/translations");
	assert_target(&t, LLM_OP_RESPONSES, "openai/gpt-oss-120b", "/openai/v1/responses");
	lacks(&b, "\"bob\"");
	lacks(&b, "logit_bias");
	test_done(&t);
}

/* V4: reasoning is sent back; R1's time is over. */
static void deepseek(void **state)
{
	struct test t = test_of("deepseek", "", "key");
	struct body b =
		body_of("deepseek", "deepseek-chat", RICH ",\"reasoning_effort\":\"none\"}");

	assert_target(&t, LLM_OP_CHAT, "deepseek-chat", "/chat/completions");
	assert_field(&t, "authorization", "Bearer key");
	t.beta = "context-1m-2025-08-07";
	assert_target(&t, LLM_OP_MESSAGES, "deepseek-chat", "/anthropic/v1/messages");
	assert_field(&t, "x-api-key", "key");
	assert_field(&t, "anthropic-beta", NULL);
	has(&b, "\"max_tokens\":9");
	has(&b, "\"thinking\":{\"type\":\"disabled\"}");
	lacks(&b, "\"seed\"");
	b = body_of("deepseek", "deepseek-chat",
		"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
		"\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\","
		"\"content\":\"c\",\"reasoning_content\":\"why\"},{\"role\":\"user\","
		"\"content\":\"d\"}],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":"
		"{\"name\":\"n\",\"schema\":{\"type\":\"object\"}}}}");
	has(&b, "\"reasoning_content\":\"why\"");
	has(&b, "\"content\":\"a\\n\\nb\"");
	lacks(&b, "json_schema");
	has(&b, "\"tool_choice\":{");
	test_done(&t);
}

static void xai(void **state)
{
	struct llm_quirks q;
	struct body b = body_of("xai", "grok-4", RICH ",\"reasoning_effort\":\"high\"}");

	lacks(&b, "presence_penalty");
	lacks(&b, "reasoning_effort");
	b = body_of("xai", "grok-3-mini", RICH ",\"reasoning_effort\":\"high\"}");
	has(&b, "\"reasoning_effort\":\"high\"");
	b = body_of("xai", "grok-4-fast-non-reasoning", RICH "}");
	has(&b, "presence_penalty");
	b = body_of("xai", "grok-4", RICH ",\"stop\":\"x\"}");
	assert_false(b.ok);
	provider_quirks(provider_type_find(SPAN("xai")), LLM_OP_CHAT, SPAN("grok-4"), &q);
	assert_true(q.reasoning_apart);
}

static void together_fireworks(void **state)
{
	struct body b = body_of("together", "m", RICH TOOLS ",\"top_k\":5}");
	struct test t = test_of("together", "/v1", "key");

	assert_plain("together", "/v1", "/v1/chat/completions");
	assert_plain("fireworks", "/inference/v1", "/inference/v1/chat/completions");
	has(&b, "\"top_k\":5");
	lacks(&b, "\"strict\"");
	lacks(&b, "parallel_tool_calls");
	assert_target(&t, LLM_OP_IMAGES, "flux", "/v1/images/generations");
	test_done(&t);
}

static void openrouter(void **state)
{
	struct test t = test_of("openrouter", "/api/v1", "key");
	struct body b =
		body_of("openrouter", "a/b", RICH ",\"reasoning_effort\":\"high\",\"top_k\":5}");

	assert_target(&t, LLM_OP_CHAT, "a/b", "/api/v1/chat/completions");
	assert_target(&t, LLM_OP_MESSAGES, "a/b", "/api/v1/messages");
	assert_field(&t, "authorization", "Bearer key");
	assert_field(&t, "x-api-key", NULL);
	has(&b, "\"reasoning\":{\"effort\":\"high\"}");
	has(&b, "\"top_k\":5");
	test_done(&t);
}

static void perplexity(void **state)
{
	struct body b = body_of("perplexity", "sonar",
		"{\"model\":\"m\",\"stream\":true,\"seed\":1,\"reasoning_effort\":\"low\","
		"\"messages\":["
		"{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"}]}");
	const char *first;

	assert_plain("perplexity", "", "/chat/completions");
	first = strstr(b.text, "\"role\":\"user\"");
	assert_non_null(first);
	assert_null(strstr(first + 1, "\"role\":\"user\""));
	lacks(&b, "stream_options");
	lacks(&b, "\"seed\"");
	lacks(&b, "reasoning_effort");
	b = body_of("perplexity", "sonar", RICH TOOLS "}");
	assert_false(b.ok);
	assert_string_equal(b.err.param, "tools");
}

static void cohere(void **state)
{
	struct body b = body_in(LLM_OP_COHERE, "cohere", "command-a", RICH TOOLS "}");
	struct test t = test_of("cohere", "", "key");

	assert_target(&t, LLM_OP_COHERE, "command-a", "/v2/chat");
	assert_target(&t, LLM_OP_EMBEDDINGS, "embed-v4.0", "/v2/embed");
	assert_ptr_equal(provider_path(&t.setup, LLM_OP_EMBEDDINGS, SPAN("embed-v4.0"))->embed,
		&embed_cohere);
	test_done(&t);
	lacks(&b, "logit_bias");
	lacks(&b, "\"user\":\"u\"");
	lacks(&b, "parallel_tool_calls");
}

static void moonshot_minimaxi_alibaba(void **state)
{
	struct test t = test_of("moonshot", "", "key");
	struct llm_quirks q;
	struct body b;

	assert_plain("moonshot", "", "/v1/chat/completions");
	assert_plain("minimaxi", "/v1", "/v1/chat/completions");
	assert_plain("alibaba", "/compatible-mode/v1", "/compatible-mode/v1/chat/completions");
	t.ask.base_path = SPAN("/v1");
	assert_target(&t, LLM_OP_MESSAGES, "kimi-k2.6", "/anthropic/v1/messages");
	test_done(&t);
	provider_quirks(provider_type_find(SPAN("moonshot")), LLM_OP_CHAT, SPAN("kimi-k2.6"), &q);
	assert_true(q.no_url_images && q.back == LLM_BACK_CONTENT);
	b = body_of("moonshot", "kimi-k2.6", RICH ",\"reasoning_effort\":\"high\"}");
	has(&b, "\"thinking\":{\"type\":\"enabled\"}");
	b = body_of("moonshot", "moonshot-v1-8k", RICH ",\"reasoning_effort\":\"high\"}");
	lacks(&b, "thinking");
	b = body_of("alibaba", "qwen3-max", RICH ",\"reasoning_effort\":\"high\"}");
	has(&b, "\"enable_thinking\":true");
	b = body_of("minimaxi", "MiniMax-M2", RICH "}");
	lacks(&b, "presence_penalty");
}

static void the_other_services(void **state)
{
	static const char *const rows[][3] = {
		{"deepinfra", "/v1/openai", "/v1/openai/chat/completions"},
		{"nebius", "/v1", "/v1/chat/completions"},
		{"novita", "/openai/v1", "/openai/v1/chat/completions"},
		{"parasail", "/v1", "/v1/chat/completions"},
		{"scaleway", "/v1", "/v1/chat/completions"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_plain(rows[i][0], rows[i][1], rows[i][2]);
}

static void servers_of_ones_own(void **state)
{
	static const char *const names[] = {"ollama", "vllm", "llama.cpp", "compatible"};
	struct llm_quirks q;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct provider_type *type = provider_type_find(span_of(names[i]));

		assert_plain(names[i], "/v1", "/v1/chat/completions");
		assert_false(type->needs_key);
	}
	provider_quirks(provider_type_find(SPAN("ollama")), LLM_OP_CHAT, SPAN("m"), &q);
	assert_true(q.no_url_images);
}

/* Whoever is not asked for usage must give it unasked. */
static void all_others_are_asked_for_usage(void **state)
{
	for (int i = 0; provider_type_names[i] != NULL; i++) {
		const char *name = provider_type_names[i];
		struct body b = body_of(name, "m", RICH "}");
		bool unasked = strcmp(name, "mistral") == 0 || strcmp(name, "perplexity") == 0;

		if (unasked)
			lacks(&b, "include_usage");
		else
			has(&b, "\"stream_options\":{\"include_usage\":true}");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_its_types),
		cmocka_unit_test(openai),
		cmocka_unit_test(openai_models_that_reason_take_no_sampling),
		cmocka_unit_test(azure),
		cmocka_unit_test(google),
		cmocka_unit_test(vertex),
		cmocka_unit_test(vertex_claude_bodies),
		cmocka_unit_test(vertex_with_a_key),
		cmocka_unit_test(bedrock),
		cmocka_unit_test(mistral),
		cmocka_unit_test(groq),
		cmocka_unit_test(deepseek),
		cmocka_unit_test(xai),
		cmocka_unit_test(together_fireworks),
		cmocka_unit_test(openrouter),
		cmocka_unit_test(perplexity),
		cmocka_unit_test(cohere),
		cmocka_unit_test(moonshot_minimaxi_alibaba),
		cmocka_unit_test(the_other_services),
		cmocka_unit_test(servers_of_ones_own),
		cmocka_unit_test(all_others_are_asked_for_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
