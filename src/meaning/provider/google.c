/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/rows.h"

#define GENERATE "{model}:{generateContent|streamGenerateContent?alt=sse}"

/*
 * The Gemini API. https://ai.google.dev/api: takes files by its own addresses only, so that the
 * gateway fetches what a client names by others.
 */
static const struct provider_path google_paths[] = {
	{LLM_OP_GENERATE, "/models/" GENERATE},
	{LLM_OP_EMBEDDINGS, "/models/{model}:batchEmbedContents", .embed = &embed_gemini},
	{0, NULL},
};

const struct provider_type provider_google = {.name = "google",
	.base_url = "https://generativelanguage.googleapis.com/v1beta",
	.needs_key = true,
	.paths = google_paths,
	.vendors = "models/|google/",
	.catalog_prefix = "google/",
	.auth = PROVIDER_AUTH_X_GOOG_API_KEY,
	.quirks = {.no_url_images = true, .no_url_documents = true}};

/*
 * Vertex AI. https://cloud.google.com/vertex-ai/docs/reference/rest: Gemini in its own format,
 * Claude in Anthropic's by raw predictions, other makers' models in OpenAI's.
 */
#define PUBLISHED(maker) "/v1/{place}publishers/" maker "/models/"
#define GEMINI "gemini-|gemma-|learnlm-|medlm-"
#define EMBEDDERS "text-embedding-|text-multilingual-embedding-|gemini-embedding-|textembedding-"

static const struct provider_path vertex_paths[] = {
	{LLM_OP_EMBEDDINGS, PUBLISHED("google") "{model}:predict", EMBEDDERS, &embed_vertex},
	{LLM_OP_GENERATE, PUBLISHED("google") GENERATE, GEMINI},
	{LLM_OP_MESSAGES, PUBLISHED("anthropic") "{model}:{rawPredict|streamRawPredict}", "claude"},
	{LLM_OP_COUNT_TOKENS, PUBLISHED("anthropic") "count-tokens:rawPredict", "claude"},
	{LLM_OP_CHAT, "/v1/{place}endpoints/openapi/chat/completions"},
	{0, NULL},
};

static void vertex_adapt(enum llm_op op, struct span model, struct llm_quirks *q)
{
	if (op == LLM_OP_GENERATE) {
		q->vertex = true;
	} else if (op == LLM_OP_MESSAGES || op == LLM_OP_COUNT_TOKENS) {
		q->body_version = "vertex-2023-10-16";
		q->schema = LLM_SCHEMA_TOOL; /* takes no output_config.format */
		q->no_url_images = q->no_url_documents = true;
	} else {
		q->max_tokens = q->no_developer = q->no_store = q->no_metadata = true;
		q->no_service_tier = q->no_documents = true;
	}
}

const struct provider_type provider_vertex = {.name = "vertex",
	.base_url = "https://{vertex_host}",
	.needs_key = true,
	.takes = PROVIDER_PROJECT | PROVIDER_LOCATION | PROVIDER_SERVICE_ACCOUNT,
	.paths = vertex_paths,
	.vendors = "google/|anthropic/",
	.regional = true,
	.catalog_prefix = "vertex/",
	.auth = PROVIDER_AUTH_GOOGLE,
	.messages_auth = PROVIDER_AUTH_GOOGLE,
	.claude = CLAUDE_VERTEX,
	.adapt = vertex_adapt};
