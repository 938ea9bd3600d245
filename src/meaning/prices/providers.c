/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/prices/rows.h"

#define ROWS (int)(sizeof(rows) / sizeof(rows[0]))

static const struct prices_provider rows[] = {
	{"alibaba", "dashscope", "dashscope/", NULL, "alibaba", NULL, false, false},
	{"anthropic", "anthropic", "anthropic/", "anthropic", "anthropic", NULL, true, true},
	{"azure", "azure", "azure/", "azure", "azure", NULL, false, true},
	{"bedrock", "bedrock|bedrock_converse", "bedrock/", "aws", "amazon-bedrock", NULL, false,
		true},
	{"cohere", "cohere|cohere_chat", "cohere/", "cohere", "cohere", NULL, false, true},
	{"deepinfra", "deepinfra", "deepinfra/", NULL, "deepinfra", NULL, false, false},
	{"deepseek", "deepseek", "deepseek/", "deepseek", "deepseek", NULL, false, true},
	{"fireworks", "fireworks_ai", "fireworks_ai/", "fireworks", "fireworks-ai", NULL, false,
		false},
	{"google", "gemini", "gemini/", "google", "google", NULL, false, true},
	{"groq", "groq", "groq/", "groq", "groq", NULL, false, false},
	{"minimaxi", "minimax", "minimax/", "minimax", "minimax", NULL, false, false},
	{"mistral", "mistral", "mistral/", "mistral", "mistral", "eu", false, true},
	{"moonshot", "moonshot", "moonshot/", "moonshotai", "moonshotai", NULL, false, true},
	{"nebius", "nebius", "nebius/", NULL, "nebius", NULL, false, false},
	{"novita", "novita", "novita/", "novita", "novita-ai", NULL, false, false},
	{"openai", "openai", "openai/", "openai", "openai", NULL, true, true},
	{"openrouter", "openrouter", "openrouter/", "openrouter", "openrouter", NULL, false, false},
	{"parasail", "parasail", "parasail/", NULL, "parasail", NULL, false, false},
	{"perplexity", "perplexity", "perplexity/", "perplexity", "perplexity", NULL, false, false},
	{"scaleway", "scaleway", "scaleway/", NULL, "scaleway", "eu", false, false},
	{"together", "together_ai", "together_ai/", "together", "togetherai", NULL, false, false},
	{"vertex", "vertex_ai|vertex_ai-*", "vertex_ai/", NULL,
		"google-vertex|google-vertex-anthropic", NULL, false, false},
	{"xai", "xai", "xai/", "x-ai", "xai", NULL, false, true},
};

static bool fits(const char *names, struct span name)
{
	struct span rest = span_of(names);

	while (rest.n > 0) {
		struct span one = span_cut(&rest, '|');

		if (span_ends(one, SPAN("*")) ? span_starts(name, span_head(one, one.n - 1))
					      : span_eq(name, one))
			return true;
	}
	return false;
}

const struct prices_provider *prices_provider_find(enum prices_format format, struct span name)
{
	for (int i = 0; i < ROWS; i++) {
		const char *names = format == PRICES_LITELLM ? rows[i].litellm
				    : format == PRICES_GENAI ? rows[i].genai
							     : rows[i].models_dev;

		if (fits(names, name))
			return &rows[i];
	}
	return NULL;
}

_Static_assert(ROWS <= PRICES_MAX_PREFIXES, "room for all names");

void prices_prefixes(const char *names[PRICES_MAX_PREFIXES + 1])
{
	for (int i = 0; i < ROWS; i++)
		names[i] = rows[i].prefix;
	names[ROWS] = NULL;
}
