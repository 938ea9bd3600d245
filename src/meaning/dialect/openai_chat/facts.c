/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_chat/openai_chat.h"

enum { MODEL, STREAM, STREAM_OPTIONS, MAX_TOKENS, MAX_COMPLETION, N, USER, REQUESTY, PICKS };

static bool read_stream(const struct pick *picks, struct llm_facts *facts, struct err *err)
{
	struct pick include = {"include_usage", NULL};

	if (!pick_bool(&picks[STREAM], &facts->stream, err))
		return false;
	if (picks[STREAM_OPTIONS].value == NULL)
		return true;
	if (!yyjson_is_obj(picks[STREAM_OPTIONS].value)) {
		err_param(err, "stream_options");
		return err_set(err, ERR_BAD_REQUEST, "'stream_options' must be an object");
	}
	if (pick_members(picks[STREAM_OPTIONS].value, &include, 1, err) &&
		pick_bool(&include, &facts->wants_usage, err))
		return true;
	err->param[0] = '\0';
	err_param(err, "stream_options.include_usage");
	return false;
}

/* The newer name counts when both are there. 0 and below is what some clients say for "no cap". */
static bool read_limits(const struct pick *picks, struct llm_facts *facts, struct err *err)
{
	if (!pick_int(&picks[MAX_TOKENS], &facts->max_output, err) ||
		!pick_int(&picks[MAX_COMPLETION], &facts->max_output, err) ||
		!pick_int(&picks[N], &facts->choices, err))
		return false;
	if (facts->max_output <= 0)
		facts->max_output = -1;
	if (facts->choices >= 1 && facts->choices <= MAX_CHOICES)
		return true;
	err_param(err, "n");
	return err_set(err, ERR_BAD_REQUEST, "'n' must be from 1 to %d", MAX_CHOICES);
}

bool openai_read_facts(enum llm_op op, yyjson_val *root, struct span text, struct arena *a,
	struct llm_facts *facts, struct llm_metadata *meta, struct err *err)
{
	struct pick picks[PICKS] = {[MODEL] = {"model"},
		[STREAM] = {"stream"},
		[STREAM_OPTIONS] = {"stream_options"},
		[MAX_TOKENS] = {"max_tokens"},
		[MAX_COMPLETION] = {"max_completion_tokens"},
		[N] = {"n"},
		[USER] = {"user"},
		[REQUESTY] = {"requesty"}};
	struct llm_facts out = {.max_output = -1, .choices = 1};
	struct err why = {0};

	*meta = (struct llm_metadata){0};
	if (!pick_members(root, picks, PICKS, &why) ||
		!pick_str(&picks[MODEL], MAX_MODEL_BYTES, &out.model, &why) ||
		(op == LLM_OP_CHAT &&
			(!read_stream(picks, &out, &why) || !read_limits(picks, &out, &why))) ||
		!pick_str(&picks[USER], SIZE_MAX, &out.user, &why) ||
		(picks[REQUESTY].value != NULL &&
			!dialect_read_requesty(root, text, a, meta, &why)) ||
		!fill_user(meta, &out, a, &why)) {
		if (err != NULL && err->code == ERR_OK)
			*err = why;
		return false;
	}
	out.model_raw = json_place(root, text, picks[MODEL].value);
	out.has_max_tokens = picks[MAX_TOKENS].value != NULL;
	out.has_max_completion = picks[MAX_COMPLETION].value != NULL;
	out.has_requesty = json_get(root, "requesty") != NULL;
	*facts = out;
	return true;
}

void openai_edit_request(enum llm_op op, const struct llm_facts *facts,
	const struct pass_edit *edit, struct json_edit *e)
{
	edit_common(facts, edit, e);
	if (op == LLM_OP_CHAT) {
		bool old = facts->has_max_tokens || (edit->old_cap && !facts->has_max_completion);

		if (old)
			edit_cap(edit, "max_tokens", e);
		if (!old || facts->has_max_completion)
			edit_cap(edit, "max_completion_tokens", e);
	}
	if (op == LLM_OP_CHAT && facts->stream && edit->ask_usage && !facts->wants_usage)
		json_edit_set(e, "stream_options.include_usage", SPAN("true"));
}
