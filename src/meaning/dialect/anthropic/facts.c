/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/anthropic/anthropic.h"

enum { MODEL, STREAM, MAX_TOKENS, METADATA, REQUESTY, PICKS };

static bool read_user(const struct pick *metadata, struct llm_facts *facts, struct err *err)
{
	struct pick user = {"user_id", NULL};

	if (metadata->value == NULL)
		return true;
	if (!yyjson_is_obj(metadata->value)) {
		err_param(err, "metadata");
		return err_set(err, ERR_BAD_REQUEST, "'metadata' must be an object");
	}
	user.value = json_get(metadata->value, "user_id");
	if (yyjson_is_null(user.value))
		user.value = NULL;
	if (pick_str(&user, SIZE_MAX, &facts->user, err))
		return true;
	err->param[0] = '\0';
	err_param(err, "metadata.user_id");
	return false;
}

static bool read_cap(const struct pick *max_tokens, struct llm_facts *facts, struct err *err)
{
	if (max_tokens->value == NULL) {
		err_param(err, "max_tokens");
		return err_set(err, ERR_BAD_REQUEST, "max_tokens: Field required");
	}
	if (!pick_int(max_tokens, &facts->max_output, err))
		return false;
	if (facts->max_output >= 1)
		return true;
	err_param(err, "max_tokens");
	return err_set(
		err, ERR_BAD_REQUEST, "max_tokens: Input should be greater than or equal to 1");
}

bool anthropic_read_facts(enum llm_op op, yyjson_val *root, struct span text, struct arena *a,
	struct llm_facts *facts, struct llm_metadata *meta, struct err *err)
{
	struct pick picks[PICKS] = {[MODEL] = {"model"},
		[STREAM] = {"stream"},
		[MAX_TOKENS] = {"max_tokens"},
		[METADATA] = {"metadata"},
		[REQUESTY] = {"requesty"}};
	struct llm_facts out = {.wants_usage = true, .max_output = -1, .choices = 1};
	struct err why = {0};

	*meta = (struct llm_metadata){0};
	if (!pick_members(root, picks, PICKS, &why) ||
		!pick_str(&picks[MODEL], MAX_MODEL_BYTES, &out.model, &why) ||
		(op == LLM_OP_MESSAGES && (!pick_bool(&picks[STREAM], &out.stream, &why) ||
						  !read_cap(&picks[MAX_TOKENS], &out, &why))) ||
		!read_user(&picks[METADATA], &out, &why) ||
		(picks[REQUESTY].value != NULL &&
			!dialect_read_requesty(root, text, a, meta, &why)) ||
		!fill_user(meta, &out, a, &why)) {
		if (err != NULL && err->code == ERR_OK)
			*err = why;
		return false;
	}
	out.model_raw = json_place(root, text, picks[MODEL].value);
	out.has_requesty = json_get(root, "requesty") != NULL;
	*facts = out;
	return true;
}
