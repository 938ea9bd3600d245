/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * state - reasoning that only its maker can read, on its way through a client and back.
 *
 * Providers hand out opaque pieces (Anthropic's signatures and redacted thinking, OpenAI's
 * encrypted content, Gemini's thought signatures) that must come back unchanged, and only to the
 * account that made them. When one goes out in another format than its maker's it is wrapped in a
 * text that names both: "sluice.<maker>.<scope>.<data>". Rule: a state is never edited, merged or
 * sent to another maker or scope; what does not fit is left out.
 */
#include "machine/base/buf.h"
#include "machine/base/span.h"

enum llm_maker {
	LLM_MAKER_NONE,
	LLM_MAKER_ANTHROPIC,
	LLM_MAKER_OPENAI,
	LLM_MAKER_GEMINI,
	LLM_MAKER_OPENROUTER, /* an entry of reasoning_details, as JSON */
	LLM_MAKER_COUNT
};

struct llm_state {
	enum llm_maker maker; /* NONE: there is no state */
	struct span scope;    /* configured name of the provider; empty: not said (the client had it
				 from the maker itself, in pass mode) */
	struct span id;       /* an item id that goes with it (OpenAI), or empty */
	struct span data;     /* as the maker wrote it */
};

#define LLM_STATE_PREFIX "sluice."

/* Appends the wrapped text. The scope is a provider's configured name: no '.' is in it. */
bool llm_state_wrap(struct buf *b, const struct llm_state *s);

/*
 * Reads a text that a client sent back: a wrapped one, or a bare one of the format's own maker.
 * The spans are parts of `text`. Empty text: maker NONE.
 */
void llm_state_read(struct span text, enum llm_maker own, struct llm_state *out);

/* Whether a target may have it. An unscoped state fits its maker anywhere. */
bool llm_state_fits(const struct llm_state *s, enum llm_maker maker, struct span scope);
