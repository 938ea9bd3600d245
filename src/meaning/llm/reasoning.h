/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * reasoning - how hard a model is to think: words to budgets and back.
 *
 * The table of product.md 5.3 (Requesty's documentation), with the levels that came later placed in
 * between: monotone, every level distinct where the limits leave room.
 */
#include "meaning/llm/target.h"

/* "low", "none", "min", "max", or a number of tokens in digits ("10000"). false: none of these. */
bool llm_effort_read(struct span word, struct llm_reasoning *out);
const char *llm_effort_name(enum llm_effort e); /* "none", "minimal", "low", ... */

/* The effort that a budget stands for: up to 1024 low, up to 8192 medium, above high. */
enum llm_effort llm_effort_of(int64_t budget);

/* What OpenAI's table (product.md 5.3) does not have is the nearest level that it has. */
enum llm_effort llm_openai_effort(enum llm_effort e);

/* What is wanted as an effort, whichever way it was said; UNSET: nothing was said. */
enum llm_effort llm_wanted_effort(const struct llm_reasoning *r);

/*
 * Anthropic's budget_tokens, 0: do not think. Capped below the model's output limit. *max_output is
 * the cap on output that goes out with it (-1: none given): raised to budget + 1024 when none
 * was given, else the budget is lowered under it, and below 1024 thinking is off.
 */
int64_t llm_anthropic_budget(
	const struct llm_reasoning *r, const struct llm_target *t, int64_t *max_output);

/* Gemini's thinkingBudget; -1: nothing to say. `flash`: also Flash-Lite. */
int64_t llm_gemini_budget(const struct llm_reasoning *r, const struct llm_target *t, bool flash);
