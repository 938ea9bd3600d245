/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/schema.h"

const char llm_json_instruction[] =
	"Answer with one valid JSON object and nothing else: no explanation, no code fence.";

/*
 * The native form of Anthropic and Bedrock takes a small part of JSON Schema alone; a tool's schema
 * may be any.
 */
static bool needs_tool(const struct llm_target *t, enum llm_op op)
{
	return op == LLM_OP_MESSAGES || op == LLM_OP_CONVERSE ||
	       t->quirks->schema == LLM_SCHEMA_TOOL;
}

struct span llm_schema_tool(const struct llm_request *q, const struct llm_target *t, enum llm_op op)
{
	static const char *const names[] = {
		"respond_json", "respond_json_object", "respond_with_json_object"};

	if (q->format.kind != LLM_FORMAT_SCHEMA || !needs_tool(t, op))
		return (struct span){NULL, 0};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (llm_find_tool(q, span_of(names[i])) == NULL)
			return span_of(names[i]);
	return span_of(names[0]);
}
