/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_media/openai_media.h"
#include "meaning/dialect/openai_chat/openai_chat.h"

enum { MODEL, STREAM, STREAM_FORMAT, N, USER, INPUT, REQUESTY, PICKS };

static int64_t characters(struct span text)
{
	int64_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	return n;
}

static bool check_limits(
	enum llm_op op, const struct pick *picks, struct llm_facts *facts, struct err *err)
{
	struct span input = {NULL, 0}, format = {NULL, 0};

	if (op == LLM_OP_SPEECH) {
		if (!pick_str(&picks[INPUT], SIZE_MAX, &input, err) ||
			!pick_str(&picks[STREAM_FORMAT], 64, &format, err))
			return false;
		facts->stream = span_is(format, "sse");
		facts->characters = characters(input);
		if (facts->characters > MAX_SPEECH_CHARACTERS) {
			err_param(err, "input");
			return err_set(err, ERR_BAD_REQUEST,
				"'input' is longer than %d characters; speak it in parts",
				MAX_SPEECH_CHARACTERS);
		}
		return true;
	}
	if (!pick_bool(&picks[STREAM], &facts->stream, err) ||
		!pick_int(&picks[N], &facts->choices, err))
		return false;
	if (facts->choices >= 1 && facts->choices <= MAX_IMAGES)
		return true;
	err_param(err, "n");
	return err_set(err, ERR_BAD_REQUEST, "'n' must be from 1 to %d", MAX_IMAGES);
}

static bool read_facts(enum llm_op op, yyjson_val *root, struct span text, struct arena *a,
	struct llm_facts *facts, struct llm_metadata *meta, struct err *err)
{
	struct pick picks[PICKS] = {[MODEL] = {"model"},
		[STREAM] = {"stream"},
		[STREAM_FORMAT] = {"stream_format"},
		[N] = {"n"},
		[USER] = {"user"},
		[INPUT] = {"input"},
		[REQUESTY] = {"requesty"}};
	struct llm_facts out = {.max_output = -1, .choices = 1, .wants_usage = true};
	struct err why = {0};

	*meta = (struct llm_metadata){0};
	if (!pick_members(root, picks, PICKS, &why) ||
		!pick_str(&picks[MODEL], MAX_MODEL_BYTES, &out.model, &why) ||
		!check_limits(op, picks, &out, &why) ||
		!pick_str(&picks[USER], SIZE_MAX, &out.user, &why) ||
		(picks[REQUESTY].value != NULL &&
			!dialect_read_requesty(root, text, a, meta, &why)) ||
		!fill_user(meta, &out, a, &why)) {
		if (err != NULL && err->code == ERR_OK)
			*err = why;
		return false;
	}
	out.has_requesty = json_get(root, "requesty") != NULL;
	*facts = out;
	return true;
}

static void edit_request(enum llm_op op, const struct llm_facts *facts,
	const struct pass_edit *edit, struct json_edit *e)
{
	edit_common(facts, edit, e);
}

static int64_t or_0(int64_t n)
{
	return n > 0 ? n : 0;
}

/* Seconds, maybe with a fraction, as milliseconds. */
static int64_t milliseconds(yyjson_val *seconds)
{
	double s = yyjson_get_num(seconds);

	return s > 0 && s < 1e9 ? (int64_t)(s * 1000 + 0.5) : 0;
}

void media_read_usage(yyjson_val *usage, struct llm_usage *u)
{
	int64_t input = usage_count(usage, "input_tokens");
	int64_t output = usage_count(usage, "output_tokens");
	/* Images write "input_tokens_details", transcriptions "input_token_details". */
	yyjson_val *details = json_get(usage, "input_tokens_details");
	int64_t rest;

	*u = (struct llm_usage){0};
	u->sound_ms = milliseconds(json_get(usage, "seconds"));
	u->present = u->sound_ms > 0;
	if (input < 0 && output < 0)
		return;
	if (details == NULL)
		details = json_get(usage, "input_token_details");
	u->present = true;
	u->output = or_0(output);
	rest = or_0(input);
	u->input_audio = or_0(usage_count(details, "audio_tokens"));
	if (u->input_audio > rest)
		u->input_audio = rest;
	rest -= u->input_audio;
	u->cache_read = or_0(usage_count(details, "cached_tokens"));
	if (u->cache_read > rest)
		u->cache_read = rest;
	u->input_uncached = rest - u->cache_read;
}

/* What says that an answer is one: pictures or words. */
static const char *content_key(enum llm_op op)
{
	return op == LLM_OP_TRANSCRIPTIONS || op == LLM_OP_TRANSLATIONS ? "text" : "data";
}

/* What stands in the answer itself, where the provider counts nothing. */
static void count(enum llm_op op, yyjson_val *root, struct llm_usage *u)
{
	if (op == LLM_OP_IMAGES || op == LLM_OP_IMAGE_EDITS)
		u->pictures = (int64_t)yyjson_arr_size(json_get(root, "data"));
	else
		u->sound_ms = milliseconds(json_get(root, "duration"));
}

static bool read_answer(enum llm_op op, yyjson_val *root, struct llm_answer *out, struct err *err)
{
	struct llm_answer answer = {0};
	struct said said;

	if (json_get(root, content_key(op)) == NULL) {
		if (json_get(root, "error") != NULL && said_read(root, &said)) {
			said_keep(said_status(&said), &said, err, NULL, NULL);
			return false;
		}
		return err_set(err, ERR_UPSTREAM_INVALID,
			"The provider's answer has no '%s': it is not in the OpenAI format",
			content_key(op));
	}
	media_read_usage(json_get(root, "usage"), &answer.usage);
	if (!answer.usage.present)
		count(op, root, &answer.usage);
	*out = answer;
	return true;
}

static bool scan_answer(enum llm_op op, struct span text, const struct json_scratch *scratch,
	struct llm_answer *out)
{
	return false; /* these answers are few: each is read whole */
}

static void edit_answer(
	enum llm_op op, const struct llm_answer *answer, struct span cost, struct json_edit *e)
{
	if (answer->usage.present && cost.n > 0)
		json_edit_set(e, "usage.cost", cost);
}

static int status(const struct err *err)
{
	return err_row(err->code)->status;
}

const struct dialect dialect_openai_media = {
	.name = "openai_media",
	.read_facts = read_facts,
	.edit_request = edit_request,
	.read_answer = read_answer,
	.scan_answer = scan_answer,
	.edit_answer = edit_answer,
	.tap = media_tap,
	.read_error = error_read,
	.write_error = openai_write_error,
	.write_stream_error = openai_write_stream_error,
	.keep_alive = ": keep-alive\n\n",
	.end_marker = "",
	.status = status,
};
