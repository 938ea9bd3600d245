/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/request.h"

struct llm_request *llm_request_new(struct arena *a)
{
	struct llm_request *q = ARENA_NEW(a, struct llm_request);

	if (q == NULL)
		return NULL;
	q->parallel = q->logprobs = q->store = LLM_UNSET;
	q->reasoning.show = LLM_UNSET;
	q->reasoning.budget = -1;
	q->format.strict = LLM_UNSET;
	q->max_output = q->top_logprobs = -1;
	q->n = 1;
	q->turns_end = &q->turns;
	q->tools_end = &q->tools;
	return q;
}

/* Appends to a list whose elements have `next`; lists are short or built once. */
#define APPEND(list, element)                                                                      \
	do {                                                                                       \
		while (*(list) != NULL)                                                            \
			(list) = &(*(list))->next;                                                 \
		*(list) = (element);                                                               \
	} while (0)

struct llm_turn *llm_add_turn(struct arena *a, struct llm_request *q, enum llm_role role)
{
	struct llm_turn *turn = ARENA_NEW(a, struct llm_turn);

	if (turn == NULL)
		return NULL;
	turn->role = role;
	*q->turns_end = turn;
	q->turns_end = &turn->next;
	return turn;
}

struct llm_block *llm_add_block(struct arena *a, struct llm_block **list, enum llm_block_kind kind)
{
	struct llm_block *block = ARENA_NEW(a, struct llm_block);

	if (block == NULL)
		return NULL;
	block->kind = kind;
	APPEND(list, block);
	return block;
}

struct llm_tool *llm_add_tool(struct arena *a, struct llm_request *q, enum llm_tool_kind kind)
{
	struct llm_tool *tool = ARENA_NEW(a, struct llm_tool);

	if (tool == NULL)
		return NULL;
	tool->kind = kind;
	tool->strict = LLM_UNSET;
	tool->max_uses = -1;
	*q->tools_end = tool;
	q->tools_end = &tool->next;
	return tool;
}

struct llm_name *llm_add_name(struct arena *a, struct llm_name **list, struct span text)
{
	struct llm_name *name = ARENA_NEW(a, struct llm_name);

	if (name == NULL)
		return NULL;
	name->text = text;
	APPEND(list, name);
	return name;
}

const struct llm_tool *llm_find_tool(const struct llm_request *q, struct span name)
{
	for (const struct llm_tool *t = q->tools; t != NULL; t = t->next)
		if (span_eq(t->name, name))
			return t;
	return NULL;
}

bool llm_is_named(const struct llm_name *list, struct span text)
{
	for (; list != NULL; list = list->next)
		if (span_eq(list->text, text))
			return true;
	return false;
}
