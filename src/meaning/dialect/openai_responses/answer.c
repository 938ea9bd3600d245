/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_responses/openai_responses.h"
#include "meaning/dialect/read.h"

static int64_t at_least_0(int64_t n)
{
	return n > 0 ? n : 0;
}

void responses_read_usage(yyjson_val *usage, struct llm_usage *u)
{
	yyjson_val *in = json_get(usage, "input_tokens_details");
	yyjson_val *out = json_get(usage, "output_tokens_details");
	int64_t input = usage_count(usage, "input_tokens");
	int64_t output = usage_count(usage, "output_tokens");

	*u = (struct llm_usage){0};
	if (input < 0 && output < 0)
		return;
	input = at_least_0(input);
	u->present = true;
	u->cache_read = at_least_0(usage_count(in, "cached_tokens"));
	u->cache_write_5m = at_least_0(usage_count(in, "cache_write_tokens"));
	u->input_audio = at_least_0(usage_count(in, "audio_tokens"));
	if (u->cache_read > input)
		u->cache_read = input;
	if (u->cache_write_5m > input - u->cache_read)
		u->cache_write_5m = input - u->cache_read;
	u->input_uncached = input - u->cache_read - u->cache_write_5m;
	if (u->input_audio > u->input_uncached)
		u->input_audio = u->input_uncached;
	u->input_uncached -= u->input_audio;
	u->output = at_least_0(output);
	u->reasoning = at_least_0(usage_count(out, "reasoning_tokens"));
	u->output_audio = at_least_0(usage_count(out, "audio_tokens"));
	if (u->reasoning > u->output)
		u->reasoning = u->output;
	if (u->output_audio > u->output)
		u->output_audio = u->output;
}

/* ---- failures ---- */

void responses_read_failure(
	yyjson_val *root, int *status, struct err *err, char native_type[64], char native_code[64])
{
	struct said said;

	if (!said_read(root, &said))
		said.message = SPAN("The response failed without a reason");
	/* The event's own "type" says only that this is an error. */
	if (span_is(said.type, "error"))
		said.type = (struct span){NULL, 0};
	*status = said_status(&said);
	if (span_is(said.code, "invalid_prompt") || span_starts(said.code, SPAN("image_")) ||
		span_starts(said.code, SPAN("invalid_image")))
		*status = 400;
	said_keep(*status, &said, err, native_type, native_code);
}

/* ---- answers ---- */

static int64_t count_texts(yyjson_val *parts)
{
	size_t i, max;
	yyjson_val *part;
	int64_t n = 0;

	yyjson_arr_foreach(parts, i, max, part) n +=
		(int64_t)(text_in(part, "text").n + text_in(part, "refusal").n);
	return n;
}

static int64_t count_item(yyjson_val *item)
{
	return count_texts(json_get(item, "content")) + count_texts(json_get(item, "summary")) +
	       (int64_t)(text_in(item, "arguments").n + text_in(item, "input").n);
}

bool responses_read_answer(
	enum llm_op op, yyjson_val *root, struct llm_answer *out, struct err *err)
{
	yyjson_val *items = json_get(root, "output"), *item;
	struct llm_answer answer = {0};
	size_t i, max;
	int status;

	if (yyjson_is_obj(json_get(root, "error"))) {
		responses_read_failure(root, &status, err, NULL, NULL);
		return false;
	}
	if (!yyjson_is_arr(items))
		return err_set(err, ERR_UPSTREAM_INVALID,
			"The provider's answer has no 'output': it is not in the Responses format");
	responses_read_usage(json_get(root, "usage"), &answer.usage);
	yyjson_arr_foreach(items, i, max, item) answer.output_bytes += count_item(item);
	*out = answer;
	return true;
}

bool responses_scan_answer(enum llm_op op, struct span text, const struct json_scratch *scratch,
	struct llm_answer *out)
{
	struct span usage = scan_usage(text, "output");
	yyjson_doc *doc = usage.p != NULL ? json_read(scratch, usage, NULL) : NULL;

	*out = (struct llm_answer){0};
	if (doc != NULL)
		responses_read_usage(yyjson_doc_get_root(doc), &out->usage);
	json_free(doc);
	out->usage_raw = usage;
	return out->usage.present;
}

void responses_edit_answer(
	enum llm_op op, const struct llm_answer *answer, struct span cost, struct json_edit *e)
{
	json_edit_known(e, "usage", answer->usage_raw);
	if (answer->usage.present && cost.n > 0)
		json_edit_set(e, "usage.cost", cost);
}
