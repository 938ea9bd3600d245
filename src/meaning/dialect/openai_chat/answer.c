/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_chat/openai_chat.h"

static int64_t first_count(yyjson_val *object, const char *const *keys)
{
	for (; *keys != NULL; keys++) {
		int64_t n = usage_count(object, *keys);

		if (n >= 0)
			return n;
	}
	return -1;
}

static int64_t at_least_0(int64_t n)
{
	return n > 0 ? n : 0;
}

/*
 * Where makers put the cached part: OpenAI in details; DeepSeek, Mistral and Together beside the
 * sums; one Mistral version with a name of its own.
 */
static int64_t read_cached(yyjson_val *usage, yyjson_val *details)
{
	static const char *const inside[] = {"cached_tokens", NULL};
	static const char *const beside[] = {
		"prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens", NULL};
	int64_t n = first_count(details, inside), other = first_count(usage, beside);

	if (n < 0)
		n = usage_count(json_get(usage, "prompt_token_details"), "cached_tokens");
	return at_least_0(n > other ? n : other);
}

/* Some makers count the cached part beside the prompt, not in it; the total tells. */
static bool is_cache_beside(yyjson_val *usage, int64_t prompt, const struct llm_usage *u)
{
	int64_t total = usage_count(usage, "total_tokens");
	int64_t completion = at_least_0(usage_count(usage, "completion_tokens"));
	int64_t cached = u->cache_read + u->cache_write_5m;

	return u->cache_read > prompt || (cached > 0 && total == prompt + cached + completion &&
						 total != prompt + completion + u->reasoning);
}

/* The whole prompt in disjoint classes. */
static void split_input(yyjson_val *usage, int64_t prompt, struct llm_usage *u)
{
	static const char *const written[] = {"cache_write_tokens", "caching_tokens", NULL};
	yyjson_val *details = json_get(usage, "prompt_tokens_details");
	int64_t missed = usage_count(usage, "prompt_cache_miss_tokens");

	u->cache_read = read_cached(usage, details);
	u->cache_write_5m = at_least_0(first_count(details, written));
	u->input_audio = at_least_0(usage_count(details, "audio_tokens"));
	if (is_cache_beside(usage, prompt, u))
		prompt += u->cache_read + u->cache_write_5m;
	/* A part that was written and read again in one go is told as both. */
	if (u->cache_write_5m > prompt - u->cache_read)
		u->cache_write_5m = prompt - u->cache_read;
	u->input_uncached = prompt - u->cache_read - u->cache_write_5m;
	if (missed > u->input_uncached)
		u->input_uncached = missed;
	if (u->input_audio > u->input_uncached)
		u->input_audio = u->input_uncached;
	u->input_uncached -= u->input_audio;
}

/* completion_tokens has the reasoning in it, but not with every maker: the total tells. */
static void split_output(yyjson_val *usage, int64_t completion, struct llm_usage *u)
{
	yyjson_val *details = json_get(usage, "completion_tokens_details");
	int64_t total = usage_count(usage, "total_tokens");

	u->output_audio = at_least_0(usage_count(details, "audio_tokens"));
	u->output = completion;
	if (u->reasoning > completion || total >= llm_usage_input(u) + completion + u->reasoning)
		u->output = completion + u->reasoning;
	if (u->output_audio > u->output)
		u->output_audio = u->output;
}

static int64_t read_reasoning(yyjson_val *usage)
{
	int64_t n = usage_count(json_get(usage, "completion_tokens_details"), "reasoning_tokens");

	return at_least_0(n > 0 ? n : usage_count(usage, "reasoning_tokens"));
}

void openai_read_usage(yyjson_val *usage, struct llm_usage *u)
{
	int64_t prompt = usage_count(usage, "prompt_tokens");
	int64_t completion = usage_count(usage, "completion_tokens");

	*u = (struct llm_usage){0};
	if (prompt < 0 && completion < 0)
		return;
	u->present = true;
	u->reasoning = read_reasoning(usage);
	split_input(usage, at_least_0(prompt), u);
	split_output(usage, at_least_0(completion), u);
}

/* Text in a string, or in the parts of an array. */
static int64_t count_text(yyjson_val *v)
{
	static const char *const keys[] = {"text", "thinking", "refusal", "transcript"};
	size_t i, max;
	yyjson_val *part;
	int64_t n = 0;

	if (yyjson_is_str(v))
		return (int64_t)yyjson_get_len(v);
	yyjson_arr_foreach(v, i, max, part)
	{
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
			yyjson_val *inner = json_get(part, keys[k]), *innermost;
			size_t j, n_inner;

			if (yyjson_is_str(inner))
				n += (int64_t)yyjson_get_len(inner);
			yyjson_arr_foreach(inner, j, n_inner, innermost) n +=
				(int64_t)yyjson_get_len(json_get(innermost, "text"));
		}
	}
	return n;
}

static int64_t count_calls(yyjson_val *calls)
{
	size_t i, max;
	yyjson_val *call;
	int64_t n = 0;

	yyjson_arr_foreach(calls, i, max, call)
	{
		n += (int64_t)yyjson_get_len(json_get(json_get(call, "function"), "arguments"));
		n += (int64_t)yyjson_get_len(json_get(json_get(call, "custom"), "input"));
	}
	return n;
}

/* One walk: a delta has few members, and most of them are none of these. */
int64_t openai_count_bytes(yyjson_val *message, bool *acts)
{
	int64_t text = 0, reasoning = 0, reasoning_content = 0;
	size_t i, max;
	yyjson_val *key, *v;

	yyjson_obj_foreach(message, i, max, key, v)
	{
		if (KEY_IS(key, "content") || KEY_IS(key, "refusal")) {
			text += count_text(v);
		} else if (KEY_IS(key, "reasoning_content")) {
			reasoning_content = count_text(v);
		} else if (KEY_IS(key, "reasoning")) {
			reasoning = count_text(v);
		} else if (KEY_IS(key, "tool_calls")) {
			*acts |= yyjson_arr_size(v) > 0;
			text += count_calls(v);
		} else if (KEY_IS(key, "function_call")) {
			*acts |= yyjson_is_obj(v);
			text += (int64_t)yyjson_get_len(json_get(v, "arguments"));
		} else if (KEY_IS(key, "audio")) {
			*acts |= yyjson_is_obj(v);
			text += count_text(json_get(v, "transcript"));
		}
	}
	/* Some makers send the same words under both names. */
	return text + (reasoning > reasoning_content ? reasoning : reasoning_content);
}

static bool is_error(yyjson_val *root)
{
	yyjson_val *error = json_get(root, "error");
	struct span object = {NULL, 0};

	json_get_str(root, "object", &object);
	return yyjson_is_obj(error) || yyjson_is_str(error) || span_is(object, "error");
}

bool openai_read_answer(enum llm_op op, yyjson_val *root, struct llm_answer *out, struct err *err)
{
	const char *list = op == LLM_OP_EMBEDDINGS ? "data" : "choices";
	yyjson_val *items = json_get(root, list), *item;
	struct llm_answer answer = {0};
	struct said said;
	size_t i, max;
	bool acts = false;

	if (!yyjson_is_arr(items)) {
		if (is_error(root) && said_read(root, &said)) {
			said_keep(said_status(&said), &said, err, NULL, NULL);
			return false;
		}
		return err_set(err, ERR_UPSTREAM_INVALID,
			"The provider's answer has no '%s': it is not in the OpenAI format", list);
	}
	openai_read_usage(json_get(root, "usage"), &answer.usage);
	if (op == LLM_OP_CHAT)
		yyjson_arr_foreach(items, i, max, item) answer.output_bytes +=
			openai_count_bytes(json_get(item, "message"), &acts);
	*out = answer;
	return true;
}

bool openai_scan_answer(enum llm_op op, struct span text, const struct json_scratch *scratch,
	struct llm_answer *out)
{
	struct span usage = scan_usage(text, op == LLM_OP_EMBEDDINGS ? "data" : "choices");
	yyjson_doc *doc = usage.p != NULL ? json_read(scratch, usage, NULL) : NULL;

	*out = (struct llm_answer){0};
	if (doc != NULL)
		openai_read_usage(yyjson_doc_get_root(doc), &out->usage);
	json_free(doc);
	out->usage_raw = usage;
	return out->usage.present;
}

void openai_edit_answer(
	enum llm_op op, const struct llm_answer *answer, struct span cost, struct json_edit *e)
{
	json_edit_known(e, "usage", answer->usage_raw);
	if (answer->usage.present && cost.n > 0)
		json_edit_set(e, "usage.cost", cost);
}
