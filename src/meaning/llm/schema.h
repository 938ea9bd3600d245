/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * schema - answers that must be JSON of a schema: asked for natively where the model can, else as a
 * tool that it has to call.
 */
#include "meaning/llm/target.h"

/*
 * The name of the tool that stands for the request's response format, or {NULL, 0}: the format is
 * asked for natively, or not at all. The writer adds and forces the tool, the flow shows its
 * arguments as the answer's text. Never the name of one of the request's own tools.
 */
struct span llm_schema_tool(
	const struct llm_request *q, const struct llm_target *t, enum llm_op op);

#define LLM_SCHEMA_MAX_BYTES ((size_t)64 << 10)
#define LLM_SCHEMA_MAX_DEPTH 16 /* schemas in schemas */

/* Whether an answer's schema is within the limits; else ERR_BAD_REQUEST naming `param`. */
bool llm_schema_fits(yyjson_val *schema, const char *param, struct err *err);

/*
 * The schema in the part of JSON Schema that Anthropic and Bedrock enforce ("Structured outputs" of
 * their guides): limits of numbers, lengths and patterns are taken out and said in the node's
 * description. false: the schema has no equal there (a map, a recursion, ...), and `b`, which may
 * be NULL to find out only, holds rubbish.
 */
bool llm_schema_enforced(struct buf *b, yyjson_val *schema);

/* What a model without a JSON mode is told at the end of its system prompt. */
extern const char llm_json_instruction[];
