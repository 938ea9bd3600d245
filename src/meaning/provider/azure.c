/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/rows.h"

/*
 * Azure OpenAI and Microsoft Foundry.
 * https://learn.microsoft.com/azure/ai-foundry/openai/reference: the v1 addresses take the
 * deployment as the body's model; the older ones have it in the path and need an api-version.
 * Claude stands below /anthropic in both. The model is a deployment: the `deployments` option says
 * which, else it is called like the model.
 */
#define CLAUDE                                                                                     \
	{LLM_OP_MESSAGES, "/anthropic/v1/messages", "claude"},                                     \
	{                                                                                          \
		LLM_OP_COUNT_TOKENS, "/anthropic/v1/messages/count_tokens", "claude"               \
	}

static const struct provider_path v1_paths[] = {
	CLAUDE,
	{LLM_OP_RESPONSES, "/openai/v1/responses{?api_version}", RESPONSES_ONLY},
	{LLM_OP_CHAT, "/openai/v1/chat/completions{?api_version}"},
	{LLM_OP_RESPONSES, "/openai/v1/responses{?api_version}"},
	{LLM_OP_EMBEDDINGS, "/openai/v1/embeddings{?api_version}"},
	{LLM_OP_IMAGES, "/openai/v1/images/generations{?api_version}"},
	{LLM_OP_IMAGE_EDITS, "/openai/v1/images/edits{?api_version}"},
	{LLM_OP_SPEECH, "/openai/v1/audio/speech{?api_version}"},
	{LLM_OP_TRANSCRIPTIONS, "/openai/v1/audio/transcriptions{?api_version}"},
	{LLM_OP_TRANSLATIONS, "/openai/v1/audio/translations{?api_version}"},
	{0, NULL},
};

#define DEPLOYMENT "/openai/deployments/{model}"

static const struct provider_path deployment_paths[] = {
	CLAUDE,
	{LLM_OP_RESPONSES, "/openai/responses{?api_version}", RESPONSES_ONLY},
	{LLM_OP_CHAT, DEPLOYMENT "/chat/completions{?api_version}"},
	{LLM_OP_RESPONSES, "/openai/responses{?api_version}"},
	{LLM_OP_EMBEDDINGS, DEPLOYMENT "/embeddings{?api_version}"},
	{LLM_OP_IMAGES, DEPLOYMENT "/images/generations{?api_version}"},
	{LLM_OP_IMAGE_EDITS, DEPLOYMENT "/images/edits{?api_version}"},
	{LLM_OP_SPEECH, DEPLOYMENT "/audio/speech{?api_version}"},
	{LLM_OP_TRANSCRIPTIONS, DEPLOYMENT "/audio/transcriptions{?api_version}"},
	{LLM_OP_TRANSLATIONS, DEPLOYMENT "/audio/translations{?api_version}"},
	{0, NULL},
};

static const struct provider_path *choose(const struct provider_setup *s)
{
	return s->by_deployment ? deployment_paths : v1_paths;
}

/* Claude has no quirks here. */
static void adapt(enum llm_op op, struct span model, struct llm_quirks *q)
{
	if (op == LLM_OP_MESSAGES)
		return;
	openai_adapt(op, model, q);
}

const struct provider_type provider_azure = {.name = "azure",
	.base_url = "https://{resource}.openai.azure.com",
	.needs_key = true,
	.takes = PROVIDER_RESOURCE | PROVIDER_API_VERSION | PROVIDER_ADDRESS,
	.choose = choose,
	.vendors = "openai/|anthropic/",
	.catalog_prefix = "azure/",
	.embeds_base64 = true,
	.auth = PROVIDER_AUTH_API_KEY,
	.messages_auth = PROVIDER_AUTH_X_API_KEY,
	.claude = CLAUDE_AZURE,
	.adapt = adapt};
