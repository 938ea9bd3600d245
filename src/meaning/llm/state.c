/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/state.h"

static const char *const maker_names[LLM_MAKER_COUNT] = {
	"none", "anthropic", "openai", "gemini", "openrouter"};

bool llm_state_wrap(struct buf *b, const struct llm_state *s)
{
	buf_append(b, SPAN(LLM_STATE_PREFIX));
	buf_append_cstr(b, maker_names[s->maker]);
	buf_append_char(b, '.');
	buf_append(b, s->scope);
	buf_append_char(b, '.');
	buf_append(b, s->id);
	buf_append_char(b, '.');
	return buf_append(b, s->data);
}

/* The parts of a wrapped text; false: it is none of ours. */
static bool unwrap(struct span text, struct llm_state *out)
{
	struct span rest = span_skip(text, sizeof(LLM_STATE_PREFIX) - 1), maker;

	if (!span_starts(text, SPAN(LLM_STATE_PREFIX)))
		return false;
	maker = span_cut(&rest, '.');
	out->maker = LLM_MAKER_NONE;
	for (int i = 1; i < LLM_MAKER_COUNT; i++)
		if (span_is(maker, maker_names[i]))
			out->maker = (enum llm_maker)i;
	out->scope = span_cut(&rest, '.');
	out->id = span_cut(&rest, '.');
	if (out->maker == LLM_MAKER_NONE || rest.p == NULL || rest.n == 0)
		return false;
	out->data = rest;
	return true;
}

void llm_state_read(struct span text, enum llm_maker own, struct llm_state *out)
{
	*out = (struct llm_state){.maker = LLM_MAKER_NONE};
	if (text.n == 0)
		return;
	if (unwrap(text, out))
		return;
	*out = (struct llm_state){.maker = own, .data = text};
}

bool llm_state_fits(const struct llm_state *s, enum llm_maker maker, struct span scope)
{
	return s->maker != LLM_MAKER_NONE && s->maker == maker &&
	       (s->scope.n == 0 || span_eq(s->scope, scope));
}
