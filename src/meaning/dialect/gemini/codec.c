/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/gemini/gemini.h"

/*
 * The order is that of a prompt, so that a longer history begins with the bytes of a shorter one:
 * what stays the same from turn to turn comes first.
 */
static bool write_request(const struct llm_request *q, const struct llm_target *t, struct arena *a,
	struct buf *out, struct llm_notes *notes, struct err *err)
{
	struct gemini_writer w = {.q = q, .t = t, .a = a, .out = out, .notes = notes, .err = err};

	gemini_model_read(t->model, &w.model);
	buf_append_char(out, '{');
	if (!gemini_put_config(&w) || !gemini_put_tools(&w) || !gemini_put_contents(&w))
		return false;
	buf_append_char(out, '}');
	return (!out->failed && !a->failed) || err_set(err, ERR_NO_MEMORY, NULL);
}

/* Where a provider of this format takes no addresses, its quirks say so. */
const struct codec codec_gemini = {
	.read_request = gemini_read_request,
	.write_request = write_request,
	.read_event = gemini_read_event,
	.read_end = gemini_read_end,
	.read_answer = gemini_read_answer,
	.write_event = gemini_write_event,
	.write_answer = gemini_write_answer,
	.url_media = 1u << LLM_MEDIA_IMAGE | 1u << LLM_MEDIA_DOCUMENT | 1u << LLM_MEDIA_VIDEO,
	.maker = LLM_MAKER_GEMINI,
	.keeps = true,
};
