/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/reasoning.h"
#include "machine/base/text.h"

#define MIN_BUDGET 1024

/* Requesty's table (product.md 5.3); the later levels stand between its rows. -1: the model's
 * limit. */
static const struct level {
	const char *name;
	int64_t anthropic, gemini;
} levels[] = {
	[LLM_EFFORT_UNSET] = {"", 0, 0},
	[LLM_EFFORT_NONE] = {"none", 1024, 0},
	[LLM_EFFORT_MINIMAL] = {"minimal", 1024, 512},
	[LLM_EFFORT_LOW] = {"low", 1024, 1024},
	[LLM_EFFORT_MEDIUM] = {"medium", 8192, 8192},
	[LLM_EFFORT_HIGH] = {"high", 16384, 24576},
	[LLM_EFFORT_XHIGH] = {"xhigh", 32768, 28672},
	[LLM_EFFORT_MAX] = {"max", -1, -1},
};

bool llm_effort_read(struct span word, struct llm_reasoning *out)
{
	uint64_t n;

	if (text_u64(word, &n) && n <= (uint64_t)1 << 40) {
		out->thinking = LLM_THINKING_ON;
		out->budget = (int64_t)n;
		return true;
	}
	for (int e = LLM_EFFORT_NONE; e <= LLM_EFFORT_MAX; e++)
		if (span_is(word, levels[e].name) ||
			(e == LLM_EFFORT_NONE && span_is(word, "min"))) {
			out->effort = (enum llm_effort)e;
			if (out->thinking == LLM_THINKING_UNSET)
				out->thinking = LLM_THINKING_ON;
			return true;
		}
	return false;
}

const char *llm_effort_name(enum llm_effort e)
{
	return levels[e].name;
}

enum llm_effort llm_effort_of(int64_t budget)
{
	if (budget <= 1024)
		return LLM_EFFORT_LOW;
	return budget <= 8192 ? LLM_EFFORT_MEDIUM : LLM_EFFORT_HIGH;
}

enum llm_effort llm_openai_effort(enum llm_effort e)
{
	switch (e) {
	case LLM_EFFORT_NONE:
	case LLM_EFFORT_MINIMAL:
		return LLM_EFFORT_LOW;
	case LLM_EFFORT_XHIGH:
	case LLM_EFFORT_MAX:
		return LLM_EFFORT_HIGH;
	default:
		return e;
	}
}

enum llm_effort llm_wanted_effort(const struct llm_reasoning *r)
{
	if (r->thinking == LLM_THINKING_OFF)
		return LLM_EFFORT_NONE;
	if (r->effort != LLM_EFFORT_UNSET)
		return r->effort;
	if (r->budget >= 0)
		return llm_effort_of(r->budget);
	return r->thinking == LLM_THINKING_UNSET ? LLM_EFFORT_UNSET : LLM_EFFORT_HIGH;
}

/* 0: the catalogue does not say. */
static int64_t output_limit(const struct llm_target *t)
{
	return t->facts != NULL ? t->facts->max_output : 0;
}

static int64_t wanted_budget(const struct llm_reasoning *r, int64_t of_level, int64_t limit)
{
	int64_t budget = r->budget >= 0 ? r->budget : of_level;

	if (budget < 0)
		return limit > 0 ? limit : 32768;
	return limit > 0 && budget > limit ? limit : budget;
}

int64_t llm_anthropic_budget(
	const struct llm_reasoning *r, const struct llm_target *t, int64_t *max_output)
{
	enum llm_effort effort = llm_wanted_effort(r);
	int64_t limit = output_limit(t), budget;

	if (r->thinking == LLM_THINKING_OFF || effort == LLM_EFFORT_UNSET)
		return 0;
	budget = wanted_budget(r, levels[effort].anthropic, limit > 0 ? limit - 1 : 0);
	if (budget < MIN_BUDGET)
		budget = MIN_BUDGET;
	if (*max_output < 0) {
		*max_output = budget + MIN_BUDGET;
		if (limit > 0 && *max_output > limit)
			*max_output = limit;
	}
	if (budget >= *max_output)
		budget = *max_output - 1;
	return budget < MIN_BUDGET ? 0 : budget;
}

int64_t llm_gemini_budget(const struct llm_reasoning *r, const struct llm_target *t, bool flash)
{
	enum llm_effort effort = llm_wanted_effort(r);
	int64_t budget;

	if (effort == LLM_EFFORT_UNSET)
		return -1;
	if (effort == LLM_EFFORT_NONE && r->budget < 0)
		return flash ? 0 : 128;
	budget = wanted_budget(r, levels[effort].gemini, output_limit(t));
	return !flash && budget < 128 ? 128 : budget;
}
