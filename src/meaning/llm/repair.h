/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * repair - histories that a format would refuse, put right without a change of meaning.
 *
 * Works on a copy: turns and blocks are shared where they stay as they are. Used by the writers of
 * formats with strict rules (anthropic, gemini, bedrock); each note names what was done.
 */
#include "meaning/llm/target.h"

enum llm_repair {
	LLM_MERGE_ROLES = 1 << 0, /* turns of the same role become one */
	LLM_PAIR_CALLS = 1 << 1, /* each call gets a result ("cancelled" when there is none), all in
				    the next user turn and first in it, in the calls' order; results
				    without a call become user text; of equal ids the last counts */
	LLM_DROP_EMPTY =
		1 << 2, /* blank text blocks go; a turn that is left empty goes or gets "." */
	LLM_SYSTEM_AS_USER = 1 << 3, /* system turns behind the first other turn become user text in
					<system> tags, where they stand */
	LLM_DROP_NAMES = 1 << 5,     /* the names of participants go */
	LLM_USER_FIRST = 1 << 4, /* only system turns: they are the user's; an assistant first gets
				    a user turn before it */
};

/*
 * The turns as the format takes them: leading system turns first (never merged with each other),
 * then the rest. NULL without memory.
 */
struct llm_turn *llm_repair_turns(
	const struct llm_request *q, unsigned repairs, struct arena *a, struct llm_notes *notes);
