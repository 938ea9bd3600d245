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

bool llm_refuse(const struct llm_target *t, const char *param, const char *what, struct err *err)
{
	err_param(err, param);
	return err_set(err, ERR_UNSUPPORTED_PARAM,
		"model \"%.*s\" of provider \"%.*s\" cannot take %s; leave it out or choose a "
		"model that takes it",
		SPAN_ARG(span_head(t->model, 128)), SPAN_ARG(t->provider), what);
}
