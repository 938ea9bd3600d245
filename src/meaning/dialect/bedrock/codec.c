/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/bedrock/bedrock.h"
#include "meaning/llm/repair.h"
#include "meaning/llm/schema.h"

static bool has_calls(const struct llm_turn *t)
{
	for (; t != NULL; t = t->next)
		for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
			if (b->kind == LLM_BLOCK_TOOL_CALL || b->kind == LLM_BLOCK_TOOL_RESULT)
				return true;
	return false;
}

/*
 * The order is that of a prompt, so that a longer history begins with the bytes of a shorter one:
 * what stays the same from turn to turn comes first.
 */
static bool write_request(const struct llm_request *q, const struct llm_target *t, struct arena *a,
	struct buf *out, struct llm_notes *notes, struct err *err)
{
	const unsigned repairs = LLM_MERGE_ROLES | LLM_PAIR_CALLS | LLM_DROP_NAMES |
				 LLM_DROP_EMPTY | LLM_SYSTEM_AS_USER | LLM_USER_FIRST;
	struct bedrock_writer w = {.q = q, .t = t, .a = a, .out = out, .notes = notes, .err = err};

	bedrock_model_read(t->model, &w.model);
	w.turns = llm_repair_turns(q, repairs, a, notes);
	if (a->failed)
		return err_set(err, ERR_NO_MEMORY, NULL);
	w.has_calls = has_calls(w.turns);
	w.schema_tool = llm_schema_tool(q, t, LLM_OP_CONVERSE);
	bedrock_plan_marks(&w);
	bedrock_plan_thinking(&w);
	buf_append_char(out, '{');
	if (!bedrock_put_inference(&w) || !bedrock_put_tools(&w) || !bedrock_put_system(&w) ||
		!bedrock_put_messages(&w))
		return false;
	buf_append_char(out, '}');
	return (!out->failed && !a->failed) || err_set(err, ERR_NO_MEMORY, NULL);
}

/* Of addresses S3's alone are taken: what else is given by address is fetched before. */
const struct codec codec_bedrock = {
	.read_request = bedrock_read_request,
	.write_request = write_request,
	.read_event = bedrock_read_event,
	.read_end = bedrock_read_end,
	.read_answer = bedrock_read_answer,
	.write_event = bedrock_write_event,
	.write_answer = bedrock_write_answer,
	.maker = LLM_MAKER_ANTHROPIC,
};
