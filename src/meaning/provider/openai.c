/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/rows.h"

/*
 * OpenAI, and its models at Azure. https://platform.openai.com/docs/api-reference.
 */
static const struct provider_path openai_paths[] = {
	{LLM_OP_RESPONSES, "/responses", RESPONSES_ONLY},
	{LLM_OP_CHAT, "/chat/completions"},
	{LLM_OP_RESPONSES, "/responses"},
	{LLM_OP_EMBEDDINGS, "/embeddings"},
	{LLM_OP_IMAGES, "/images/generations"},
	{LLM_OP_IMAGE_EDITS, "/images/edits"},
	{LLM_OP_SPEECH, "/audio/speech"},
	{LLM_OP_TRANSCRIPTIONS, "/audio/transcriptions"},
	{LLM_OP_TRANSLATIONS, "/audio/translations"},
	{0, NULL},
};

static const struct provider_path responses_paths[] = {
	{LLM_OP_RESPONSES, "/responses"},
	{0, NULL},
};

/*
 * Reasoning models answer 400 to sampling parameters; the chat variants of the same names do not
 * reason. The search models search with what they are given and take no tuning at all.
 */
void openai_adapt(enum llm_op op, struct span model, struct llm_quirks *q)
{
	bool chats = span_find(model, SPAN("-chat")) >= 0;
	bool reasons = !chats && model_begins(model, "o1|o3|o4|gpt-5|codex-");
	bool searches = span_find(model, SPAN("-search-preview")) >= 0 ||
			span_find(model, SPAN("-search-api")) >= 0;

	q->no_sampling |= reasons || searches;
	q->no_penalties |= reasons || searches;
	q->no_logprobs |= reasons || searches;
	q->no_logit_bias |= reasons || searches;
	q->no_stop |= reasons && !model_begins(model, "o1");
	q->no_n |= searches;
	q->no_seed |= searches;
	q->no_parallel |= searches || model_begins(model, "o1|o3-mini");
	q->no_developer |= model_begins(model, "o1-mini|o1-preview");
}

const struct provider_type provider_openai = {.name = "openai",
	.base_url = "https://api.openai.com/v1",
	.needs_key = true,
	.paths = openai_paths,
	.catalog_prefix = "openai/",
	.auth = PROVIDER_AUTH_BEARER,
	.adapt = openai_adapt,
	.embeds_base64 = true};

const struct provider_type provider_openai_responses = {.name = "openai-responses",
	.base_url = "https://api.openai.com/v1",
	.needs_key = true,
	.paths = responses_paths,
	.catalog_prefix = "openai/",
	.auth = PROVIDER_AUTH_BEARER,
	.adapt = openai_adapt};
