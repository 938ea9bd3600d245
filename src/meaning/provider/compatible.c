/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/rows.h"

/*
 * Services and servers of OpenAI's format, each as its own reference describes it. What their
 * answers have of their own is read by the dialect for all of them; what they refuse in a request
 * is a quirk here.
 */

/* ---- which operations ---- */

#define CHAT                                                                                       \
	{                                                                                          \
		LLM_OP_CHAT, "/chat/completions"                                                   \
	}
#define EMBEDDINGS                                                                                 \
	{                                                                                          \
		LLM_OP_EMBEDDINGS, "/embeddings"                                                   \
	}
#define IMAGES                                                                                     \
	{                                                                                          \
		LLM_OP_IMAGES, "/images/generations"                                               \
	}
#define SPEECH                                                                                     \
	{                                                                                          \
		LLM_OP_SPEECH, "/audio/speech"                                                     \
	}
#define TRANSCRIPTIONS                                                                             \
	{                                                                                          \
		LLM_OP_TRANSCRIPTIONS, "/audio/transcriptions"                                     \
	}
#define TRANSLATIONS                                                                               \
	{                                                                                          \
		LLM_OP_TRANSLATIONS, "/audio/translations"                                         \
	}
#define END                                                                                        \
	{                                                                                          \
		0, NULL                                                                            \
	}

static const struct provider_path chat_paths[] = {CHAT, END};
static const struct provider_path embedding_paths[] = {CHAT, EMBEDDINGS, END};
static const struct provider_path image_paths[] = {CHAT, EMBEDDINGS, IMAGES, END};
static const struct provider_path sound_paths[] = {CHAT, EMBEDDINGS, TRANSCRIPTIONS, END};
static const struct provider_path media_paths[] = {CHAT, EMBEDDINGS, IMAGES,
	{LLM_OP_IMAGE_EDITS, "/images/edits"}, SPEECH, TRANSCRIPTIONS, TRANSLATIONS, END};
static const struct provider_path groq_paths[] = {
	CHAT, {LLM_OP_RESPONSES, "/responses"}, SPEECH, TRANSCRIPTIONS, TRANSLATIONS, END};
static const struct provider_path xai_paths[] = {
	CHAT, {LLM_OP_RESPONSES, "/responses"}, IMAGES, END};
static const struct provider_path openrouter_paths[] = {
	CHAT, {LLM_OP_MESSAGES, "/messages"}, EMBEDDINGS, END};

/* Claude's format stands beside the other, not below it. */
#define CLAUDE_BESIDE                                                                              \
	{                                                                                          \
		LLM_OP_MESSAGES, "/anthropic/v1/messages"                                          \
	}
static const struct provider_path deepseek_paths[] = {CHAT, CLAUDE_BESIDE, END};
static const struct provider_path beside_paths[] = {
	{LLM_OP_CHAT, "/v1/chat/completions"}, CLAUDE_BESIDE, END};

/* ---- quirks that many share ---- */

/* What only OpenAI itself keeps or sells. */
#define NOT_OPENAI .no_store = true, .no_metadata = true, .no_service_tier = true
/* A server that knows the format of the time before reasoning models. */
#define CLASSIC .max_tokens = true, .no_developer = true, .no_documents = true, NOT_OPENAI

/* ---- services ---- */

const struct provider_type provider_mistral = {.name = "mistral",
	.base_url = "https://api.mistral.ai/v1",
	.needs_key = true,
	.paths = sound_paths,
	.catalog_prefix = "mistral/",
	.quirks = {CLASSIC, .no_stream_options = true, .no_name = true, .no_logprobs = true,
		.no_logit_bias = true, .no_user = true, .random_seed = true,
		.any_for_required = true, .tool_ids_9 = true, .reasoning = LLM_REASON_NONE}};

const struct provider_type provider_groq = {.name = "groq",
	.base_url = "https://api.groq.com/openai/v1",
	.needs_key = true,
	.paths = groq_paths,
	.catalog_prefix = "groq/",
	.quirks = {NOT_OPENAI, .no_developer = true, .no_documents = true, .no_name = true,
		.no_logprobs = true, .no_logit_bias = true, .no_n = true}};

/* Reasoning goes back on every assistant turn, and JSON of a schema is a forced tool. */
const struct provider_type provider_deepseek = {.name = "deepseek",
	.base_url = "https://api.deepseek.com",
	.needs_key = true,
	.paths = deepseek_paths,
	.catalog_prefix = "deepseek/",
	.messages_auth = PROVIDER_AUTH_X_API_KEY,
	.quirks = {CLASSIC, .no_logit_bias = true, .no_n = true, .no_seed = true,
		.no_parallel = true, .no_strict = true, .no_user = true, .text_only_content = true,
		.reasoning = LLM_REASON_THINKING, .back = LLM_BACK_CONTENT,
		.schema = LLM_SCHEMA_TOOL, .no_server_tools = true}};

/* Reasoning models refuse stop and penalties; only the small ones let the effort be chosen. */
static void xai_adapt(enum llm_op op, struct span model, struct llm_quirks *q)
{
	bool mini = model_begins(model, "grok-3-mini");
	bool reasons = mini || (model_begins(model, "grok-4|grok-5|grok-code") &&
				       span_find(model, SPAN("non-reasoning")) < 0);

	q->no_stop |= reasons;
	q->no_penalties |= reasons;
	if (!mini)
		q->reasoning = LLM_REASON_NONE;
}

const struct provider_type provider_xai = {.name = "xai",
	.base_url = "https://api.x.ai/v1",
	.needs_key = true,
	.paths = xai_paths,
	.catalog_prefix = "xai/",
	.quirks = {NOT_OPENAI, .no_documents = true, .no_logit_bias = true,
		.reasoning_apart = true},
	.adapt = xai_adapt};

const struct provider_type provider_together = {.name = "together",
	.base_url = "https://api.together.xyz/v1",
	.needs_key = true,
	.paths = media_paths,
	.catalog_prefix = "together/",
	.quirks = {
		CLASSIC, .no_parallel = true, .no_strict = true, .no_user = true, .top_k = true}};

const struct provider_type provider_fireworks = {.name = "fireworks",
	.base_url = "https://api.fireworks.ai/inference/v1",
	.needs_key = true,
	.paths = embedding_paths,
	.catalog_prefix = "fireworks/",
	.quirks = {CLASSIC, .no_parallel = true, .top_k = true}};

const struct provider_type provider_openrouter = {.name = "openrouter",
	.base_url = "https://openrouter.ai/api/v1",
	.needs_key = true,
	.paths = openrouter_paths,
	.catalog_prefix = "openrouter/",
	.messages_auth = PROVIDER_AUTH_BEARER,
	.quirks = {NOT_OPENAI, .max_tokens = true, .cache_control = true, .top_k = true,
		.reasoning = LLM_REASON_OBJECT, .back = LLM_BACK_DETAILS}};

static void perplexity_adapt(enum llm_op op, struct span model, struct llm_quirks *q)
{
	if (model_begins(model, "sonar-deep-research"))
		q->reasoning = LLM_REASON_EFFORT;
}

const struct provider_type provider_perplexity = {.name = "perplexity",
	.base_url = "https://api.perplexity.ai",
	.needs_key = true,
	.paths = chat_paths,
	.catalog_prefix = "perplexity/",
	.quirks = {CLASSIC, .no_stream_options = true, .no_name = true, .no_logprobs = true,
		.no_logit_bias = true, .no_stop = true, .no_n = true, .no_seed = true,
		.no_parallel = true, .no_tools = true, .no_user = true, .alternates = true,
		.no_json_object = true, .top_k = true, .reasoning = LLM_REASON_NONE},
	.adapt = perplexity_adapt};

/* Its own API: the one of OpenAI's format knows no thinking, no citations and no purpose of
 * vectors. */
static const struct provider_path cohere_paths[] = {
	{LLM_OP_COHERE, "/v2/chat"}, {LLM_OP_EMBEDDINGS, "/v2/embed", .embed = &embed_cohere}, END};

const struct provider_type provider_cohere = {.name = "cohere",
	.base_url = "https://api.cohere.com",
	.needs_key = true,
	.paths = cohere_paths,
	.catalog_prefix = "cohere/",
	.quirks = {.no_documents = true}};

const struct provider_type provider_deepinfra = {.name = "deepinfra",
	.base_url = "https://api.deepinfra.com/v1/openai",
	.needs_key = true,
	.paths = media_paths,
	.catalog_prefix = "deepinfra/",
	.quirks = {CLASSIC, .no_parallel = true, .no_strict = true, .top_k = true}};

const struct provider_type provider_nebius = {.name = "nebius",
	.base_url = "https://api.tokenfactory.nebius.com/v1",
	.needs_key = true,
	.paths = image_paths,
	.catalog_prefix = "nebius/",
	.quirks = {CLASSIC, .top_k = true}};

const struct provider_type provider_novita = {.name = "novita",
	.base_url = "https://api.novita.ai/openai/v1",
	.needs_key = true,
	.paths = embedding_paths,
	.catalog_prefix = "novita/",
	.quirks = {CLASSIC, .no_parallel = true, .no_strict = true, .top_k = true}};

/* Thinking can be switched from the models on that do both; the others know no such member. */
static void moonshot_adapt(enum llm_op op, struct span model, struct llm_quirks *q)
{
	if (!model_begins(model, "kimi-k2.5|kimi-k2.6|kimi-k2.7|kimi-k3"))
		q->reasoning = LLM_REASON_NONE;
}

const struct provider_type provider_moonshot = {.name = "moonshot",
	.base_url = "https://api.moonshot.ai",
	.needs_key = true,
	.paths = beside_paths,
	.catalog_prefix = "moonshot/",
	.messages_auth = PROVIDER_AUTH_X_API_KEY,
	.quirks = {CLASSIC, .no_logprobs = true, .no_logit_bias = true, .no_parallel = true,
		.no_user = true, .no_url_images = true, .reasoning = LLM_REASON_THINKING,
		.back = LLM_BACK_CONTENT, .no_server_tools = true},
	.adapt = moonshot_adapt};

const struct provider_type provider_minimaxi = {.name = "minimaxi",
	.base_url = "https://api.minimax.io",
	.needs_key = true,
	.paths = beside_paths,
	.catalog_prefix = "minimaxi/",
	.messages_auth = PROVIDER_AUTH_X_API_KEY,
	.quirks = {CLASSIC, .no_name = true, .no_logprobs = true, .no_logit_bias = true,
		.no_penalties = true, .no_n = true, .no_seed = true, .no_parallel = true,
		.no_user = true, .reasoning = LLM_REASON_NONE, .no_server_tools = true}};

const struct provider_type provider_alibaba = {.name = "alibaba",
	.base_url = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
	.needs_key = true,
	.paths = embedding_paths,
	.catalog_prefix = "alibaba/",
	.quirks = {CLASSIC, .no_logit_bias = true, .no_strict = true, .no_user = true,
		.top_k = true, .reasoning = LLM_REASON_ENABLE}};

const struct provider_type provider_parasail = {.name = "parasail",
	.base_url = "https://api.parasail.io/v1",
	.needs_key = true,
	.paths = embedding_paths,
	.catalog_prefix = "parasail/",
	.quirks = {CLASSIC, .top_k = true}};

const struct provider_type provider_scaleway = {.name = "scaleway",
	.base_url = "https://api.scaleway.ai/v1",
	.needs_key = true,
	.paths = sound_paths,
	.catalog_prefix = "scaleway/",
	.quirks = {CLASSIC, .no_logit_bias = true, .no_user = true}};

/* ---- servers of one's own: usage may be missing ---- */

const struct provider_type provider_ollama = {.name = "ollama",
	.base_url = "http://127.0.0.1:11434/v1",
	.paths = embedding_paths,
	.quirks = {CLASSIC, .no_logit_bias = true, .no_n = true, .no_parallel = true,
		.no_strict = true, .no_user = true, .no_url_images = true}};

const struct provider_type provider_vllm = {.name = "vllm",
	.base_url = "http://127.0.0.1:8000/v1",
	.paths = sound_paths,
	.quirks = {CLASSIC, .top_k = true}};

const struct provider_type provider_llama_cpp = {.name = "llama.cpp",
	.base_url = "http://127.0.0.1:8080/v1",
	.paths = embedding_paths,
	.quirks = {CLASSIC, .top_k = true}};

const struct provider_type provider_compatible = {.name = "compatible",
	.paths = media_paths,
	.quirks = {.max_tokens = true, .no_developer = true, NOT_OPENAI}};
