/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/provider/rows.h"

/* https://docs.anthropic.com/en/api. */
static const struct provider_path anthropic_paths[] = {
	{LLM_OP_MESSAGES, "/v1/messages"},
	{LLM_OP_COUNT_TOKENS, "/v1/messages/count_tokens"},
	{0, NULL},
};

const struct provider_type provider_anthropic = {.name = "anthropic",
	.base_url = "https://api.anthropic.com",
	.needs_key = true,
	.paths = anthropic_paths,
	.catalog_prefix = "anthropic/",
	.auth = PROVIDER_AUTH_X_API_KEY,
	.messages_auth = PROVIDER_AUTH_X_API_KEY,
	.claude = CLAUDE_ANTHROPIC};

/* `sluice sim`: everything it answers, in the format of the question. */
static const struct provider_path sim_paths[] = {
	{LLM_OP_CHAT, "/v1/chat/completions"},
	{LLM_OP_EMBEDDINGS, "/v1/embeddings"},
	{LLM_OP_MESSAGES, "/v1/messages"},
	{LLM_OP_COUNT_TOKENS, "/v1/messages/count_tokens"},
	{LLM_OP_RESPONSES, "/v1/responses"},
	{0, NULL},
};

const struct provider_type provider_sim = {.name = "sim",
	.paths = sim_paths,
	.catalog_prefix = "sim/",
	.embeds_base64 = true,
	.auth = PROVIDER_AUTH_BEARER,
	.messages_auth = PROVIDER_AUTH_X_API_KEY,
	.claude = CLAUDE_ANTHROPIC,
	.scripted = true};
