/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/anthropic/anthropic.h"
#include <stdlib.h>

static void take(int64_t *have, int64_t now)
{
	if (now >= 0)
		*have = now;
}

/* The sum of cache writes may come with its split by lifetime, or alone, or the split alone. */
static void take_writes(yyjson_val *usage, struct llm_usage *u)
{
	int64_t sum = usage_count(usage, "cache_creation_input_tokens");
	yyjson_val *split = json_get(usage, "cache_creation");

	if (yyjson_is_obj(split)) {
		take(&u->cache_write_5m, usage_count(split, "ephemeral_5m_input_tokens"));
		take(&u->cache_write_1h, usage_count(split, "ephemeral_1h_input_tokens"));
		if (sum > u->cache_write_5m + u->cache_write_1h)
			u->cache_write_5m = sum - u->cache_write_1h;
	} else if (sum >= 0) {
		if (u->cache_write_1h > sum)
			u->cache_write_1h = sum;
		u->cache_write_5m = sum - u->cache_write_1h;
	}
}

void anthropic_read_usage(yyjson_val *usage, struct llm_usage *u)
{
	struct llm_usage now = *u;

	if (!yyjson_is_obj(usage))
		return;
	now.present |=
		usage_count(usage, "input_tokens") >= 0 || usage_count(usage, "output_tokens") >= 0;
	if (!now.present)
		return;
	take(&now.input_uncached, usage_count(usage, "input_tokens"));
	take(&now.cache_read, usage_count(usage, "cache_read_input_tokens"));
	take_writes(usage, &now);
	take(&now.output, usage_count(usage, "output_tokens"));
	take(&now.reasoning,
		usage_count(json_get(usage, "output_tokens_details"), "thinking_tokens"));
	usage_take(u, &now);
}

int64_t anthropic_count_bytes(yyjson_val *block)
{
	int64_t n = 0;
	size_t i, max;
	yyjson_val *key, *v;

	yyjson_obj_foreach(block, i, max, key, v)
	{
		if (yyjson_is_str(v) && (KEY_IS(key, "text") || KEY_IS(key, "thinking") ||
						KEY_IS(key, "partial_json")))
			n += (int64_t)yyjson_get_len(v);
	}
	return n;
}

static bool is_error(yyjson_val *root)
{
	struct span type = {NULL, 0};

	json_get_str(root, "type", &type);
	return span_is(type, "error") || yyjson_is_obj(json_get(root, "error"));
}

static bool refuse(yyjson_val *root, const char *missing, struct err *err)
{
	struct said said;

	if (is_error(root) && said_read(root, &said)) {
		said_keep(said_status(&said), &said, err, NULL, NULL);
		return false;
	}
	return err_set(err, ERR_UPSTREAM_INVALID,
		"The provider's answer has no '%s': it is not in the Anthropic format", missing);
}

bool anthropic_read_answer(
	enum llm_op op, yyjson_val *root, struct llm_answer *out, struct err *err)
{
	yyjson_val *content = json_get(root, "content"), *block;
	struct llm_answer answer = {0};
	size_t i, max;

	if (op == LLM_OP_COUNT_TOKENS) {
		if (usage_count(root, "input_tokens") < 0)
			return refuse(root, "input_tokens", err);
		*out = answer;
		return true;
	}
	if (!yyjson_is_arr(content))
		return refuse(root, "content", err);
	anthropic_read_usage(json_get(root, "usage"), &answer.usage);
	yyjson_arr_foreach(content, i, max, block)
	{
		yyjson_val *input = json_get(block, "input");
		size_t n = 0;
		char *text = yyjson_is_obj(input) ? yyjson_val_write(input, 0, &n) : NULL;

		answer.output_bytes += anthropic_count_bytes(block) + (int64_t)n;
		free(text);
	}
	*out = answer;
	return true;
}

bool anthropic_scan_answer(enum llm_op op, struct span text, const struct json_scratch *scratch,
	struct llm_answer *out)
{
	struct span usage =
		op == LLM_OP_MESSAGES ? scan_usage(text, "content") : (struct span){NULL, 0};
	yyjson_doc *doc = usage.p != NULL ? json_read(scratch, usage, NULL) : NULL;

	*out = (struct llm_answer){0};
	if (doc != NULL)
		anthropic_read_usage(yyjson_doc_get_root(doc), &out->usage);
	json_free(doc);
	out->usage_raw = usage;
	return out->usage.present;
}

void anthropic_edit_answer(
	enum llm_op op, const struct llm_answer *answer, struct span cost, struct json_edit *e)
{
	json_edit_known(e, "usage", answer->usage_raw);
	if (answer->usage.present && cost.n > 0)
		json_edit_set(e, "usage.cost", cost);
}
