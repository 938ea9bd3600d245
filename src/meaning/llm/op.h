/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * op - what is asked of a model, by the format it is asked in. One row an operation; the name is
 * used in logs and metrics. GENERATE, CONVERSE and COHERE are asked of providers only.
 */

enum llm_op {
	LLM_OP_CHAT,
	LLM_OP_MESSAGES,
	LLM_OP_COUNT_TOKENS,
	LLM_OP_EMBEDDINGS,
	LLM_OP_RESPONSES,
	LLM_OP_GENERATE, /* Gemini's generateContent */
	LLM_OP_CONVERSE, /* Bedrock's Converse */
	LLM_OP_COHERE,   /* Cohere's own chat */
	LLM_OP_IMAGES,   /* from here on: pictures and sound */
	LLM_OP_IMAGE_EDITS,
	LLM_OP_SPEECH,
	LLM_OP_TRANSCRIPTIONS,
	LLM_OP_TRANSLATIONS,
	LLM_OP_COUNT
};

static inline const char *llm_op_name(enum llm_op op)
{
	static const char *const names[LLM_OP_COUNT] = {"chat", "messages", "count_tokens",
		"embeddings", "responses", "generate", "converse", "cohere", "images",
		"image_edits", "speech", "transcriptions", "translations"};

	return names[op];
}
