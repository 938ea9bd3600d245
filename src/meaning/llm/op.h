/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* op - what a client asks of a model. One row an operation; the name is used in logs and metrics.
 */

enum llm_op { LLM_OP_CHAT, LLM_OP_MESSAGES, LLM_OP_COUNT_TOKENS, LLM_OP_EMBEDDINGS, LLM_OP_COUNT };

static inline const char *llm_op_name(enum llm_op op)
{
	static const char *const names[LLM_OP_COUNT] = {
		"chat", "messages", "count_tokens", "embeddings"};

	return names[op];
}
