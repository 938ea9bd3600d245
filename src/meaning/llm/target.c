/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/target.h"
#include <string.h>

void llm_need_beta(struct llm_notes *notes, const char *beta)
{
	for (int i = 0; i < notes->n_betas; i++)
		if (strcmp(notes->betas[i], beta) == 0)
			return;
	if (notes->n_betas < LLM_MAX_BETAS)
		notes->betas[notes->n_betas++] = beta;
}

void llm_note(struct llm_notes *notes, const char *code)
{
	for (int i = 0; i < notes->n; i++)
		if (strcmp(notes->codes[i], code) == 0)
			return;
	if (notes->n < LLM_MAX_NOTES)
		notes->codes[notes->n++] = code;
}

const char *const llm_drop_names[] = {"", "harmless", "all", "none"};

bool llm_drop_read(struct span word, enum llm_drop *out)
{
	for (int i = LLM_DROP_HARMLESS; i <= LLM_DROP_NONE; i++)
		if (span_is(word, llm_drop_names[i])) {
			*out = (enum llm_drop)i;
			return true;
		}
	return false;
}

bool llm_unsupported(const struct llm_target *t, const char *param, const char *note, bool meaning,
	struct llm_notes *notes, struct err *err)
{
	if (t->drop == LLM_DROP_ALL || (!meaning && t->drop != LLM_DROP_NONE)) {
		llm_note(notes, note);
		return true;
	}
	err_param(err, param);
	return err_set(err, ERR_UNSUPPORTED_PARAM,
		"%s cannot be carried over to model \"%.*s\" of provider \"%.*s\"; leave it out or "
		"choose a model that takes it",
		param, SPAN_ARG(span_head(t->model, 128)), SPAN_ARG(t->provider));
}

/* The name goes into a header field, where not every character may stand. */
static const char *unknown_note(struct span name, struct arena *a)
{
	char note[80] = "dropped:";
	size_t n = strlen(note);
	char *kept;

	if (name.n == 0 || name.n > 64)
		return "dropped:unknown";
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    (c != '\0' && strchr("_-.", c) != NULL)))
			return "dropped:unknown";
		note[n++] = c;
	}
	kept = arena_cstr(a, (struct span){note, n});
	return kept != NULL ? kept : "dropped:unknown";
}

const char *llm_left_out(const struct llm_block *thinking)
{
	return thinking->state.maker != LLM_MAKER_NONE ? "dropped:reasoning_state"
						       : "dropped:reasoning_content";
}

bool llm_unsupported_unknown(const struct llm_target *t, const struct llm_name *members,
	struct arena *a, struct llm_notes *notes, struct err *err)
{
	for (; members != NULL; members = members->next) {
		const char *param = arena_cstr(a, span_head(members->text, 64));

		if (param == NULL)
			return err_set(err, ERR_NO_MEMORY, NULL);
		if (!llm_unsupported(t, param, unknown_note(members->text, a), false, notes, err))
			return false;
	}
	return true;
}

bool llm_unsupported_tool(const struct llm_target *t, const struct llm_tool *tool,
	struct llm_notes *notes, struct err *err)
{
	bool meaning = tool->native_op != LLM_OP_MESSAGES;
	struct span what = tool->native_type.n > 0         ? span_head(tool->native_type, 64)
			   : tool->kind == LLM_TOOL_SEARCH ? SPAN("web search")
							   : SPAN("a hosted tool");

	if (t->drop == LLM_DROP_ALL || (!meaning && t->drop != LLM_DROP_NONE)) {
		llm_note(notes, tool->kind == LLM_TOOL_SEARCH ? "dropped:web_search"
							      : "dropped:hosted_tool");
		return true;
	}
	err_param(err, "tools");
	return err_set(err, ERR_UNSUPPORTED_PARAM,
		"tools: %.*s is run by providers, and model \"%.*s\" of provider \"%.*s\" has "
		"nothing "
		"like it; leave it out or choose a model that has it",
		SPAN_ARG(what), SPAN_ARG(span_head(t->model, 128)), SPAN_ARG(t->provider));
}

bool llm_refuse(const struct llm_target *t, const char *param, const char *what, struct err *err)
{
	err_param(err, param);
	return err_set(err, ERR_UNSUPPORTED_PARAM,
		"model \"%.*s\" of provider \"%.*s\" cannot take %s; leave it out or choose a "
		"model that takes it",
		SPAN_ARG(span_head(t->model, 128)), SPAN_ARG(t->provider), what);
}
