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

bool llm_unsupported(const struct llm_target *t, const char *param, const char *note, bool meaning,
	struct llm_notes *notes, struct err *err)
{
	if (!meaning && !t->refuse_unsupported) {
		llm_note(notes, note);
		return true;
	}
	err_param(err, param);
	return err_set(err, ERR_UNSUPPORTED_PARAM,
		"%s cannot be carried over to model \"%.*s\" of provider \"%.*s\"; leave it out or "
		"choose a model that takes it",
		param, SPAN_ARG(span_head(t->model, 128)), SPAN_ARG(t->provider));
}
