/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_responses/openai_responses.h"

enum { MODEL, STREAM, MAX_OUTPUT, USER, REQUESTY, PICKS };

bool responses_read_facts(enum llm_op op, yyjson_val *root, struct span text, struct arena *a,
	struct llm_facts *facts, struct llm_metadata *meta, struct err *err)
{
	struct pick picks[PICKS] = {[MODEL] = {"model"},
		[STREAM] = {"stream"},
		[MAX_OUTPUT] = {"max_output_tokens"},
		[USER] = {"user"},
		[REQUESTY] = {"requesty"}};
	struct llm_facts out = {.wants_usage = true, .max_output = -1, .choices = 1};
	struct err why = {0};

	*meta = (struct llm_metadata){0};
	if (!pick_members(root, picks, PICKS, &why) ||
		!pick_str(&picks[MODEL], MAX_MODEL_BYTES, &out.model, &why) ||
		!pick_bool(&picks[STREAM], &out.stream, &why) ||
		!pick_int(&picks[MAX_OUTPUT], &out.max_output, &why) ||
		!pick_str(&picks[USER], SIZE_MAX, &out.user, &why) ||
		(picks[REQUESTY].value != NULL &&
			!dialect_read_requesty(root, text, a, meta, &why)) ||
		!fill_user(meta, &out, a, &why)) {
		if (err != NULL && err->code == ERR_OK)
			*err = why;
		return false;
	}
	if (out.max_output <= 0)
		out.max_output = -1;
	out.model_raw = json_place(root, text, picks[MODEL].value);
	out.has_requesty = json_get(root, "requesty") != NULL;
	*facts = out;
	return true;
}
