/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * recorded_walk_test - what an answer says, read in the plainest way: a walk over its JSON that
 * shares nothing with the codecs. For the test of the recorded exchanges.
 */
#include "meaning/dialect/translate_test_kit.h"

#define WALK_CALLS 32

struct walk_call {
	char key[64];
	char name[128];
	struct buf args;
};

struct walk {
	struct buf text, refusal, reasoning;
	struct walk_call calls[WALK_CALLS];
	int n_calls, media;
	int64_t input, cached, output, reasoned;
	char stop[64], error[128];
};

static inline void walk_init(struct walk *w)
{
	*w = (struct walk){.n_calls = 0};
	buf_init(&w->text, 64 << 20);
	buf_init(&w->refusal, 1 << 20);
	buf_init(&w->reasoning, 64 << 20);
	for (int i = 0; i < WALK_CALLS; i++)
		buf_init(&w->calls[i].args, 1 << 20);
}

static inline void walk_done(struct walk *w)
{
	buf_done(&w->text);
	buf_done(&w->refusal);
	buf_done(&w->reasoning);
	for (int i = 0; i < WALK_CALLS; i++)
		buf_done(&w->calls[i].args);
}

static inline void walk_str(struct buf *b, yyjson_val *v)
{
	if (yyjson_is_str(v))
		buf_append(b, (struct span){yyjson_get_str(v), yyjson_get_len(v)});
}

static inline bool walk_is(yyjson_val *object, const char *key, const char *word)
{
	return yyjson_equals_str(json_get(object, key), word);
}

static inline void walk_word(char *out, size_t n, yyjson_val *v)
{
	if (yyjson_is_str(v))
		snprintf(out, n, "%s", yyjson_get_str(v));
}

/* The call of that key; the last one when there is no key. */
static inline struct walk_call *walk_call_of(struct walk *w, const char *key, bool is_new)
{
	for (int i = w->n_calls; i-- > 0 && !is_new;)
		if (key == NULL || strcmp(w->calls[i].key, key) == 0)
			return &w->calls[i];
	if (w->n_calls == WALK_CALLS)
		return &w->calls[WALK_CALLS - 1];
	snprintf(w->calls[w->n_calls].key, sizeof(w->calls[0].key), "%s", key != NULL ? key : "");
	return &w->calls[w->n_calls++];
}

static inline void walk_add_call(struct walk *w, yyjson_val *name, yyjson_val *args)
{
	struct walk_call *c = walk_call_of(w, NULL, true);

	walk_word(c->name, sizeof(c->name), name);
	if (yyjson_is_str(args))
		walk_str(&c->args, args);
	else if (args != NULL)
		json_write(&c->args, args);
}

/* ---- Chat Completions ---- */

static inline void walk_chat_reasoning(struct walk *w, yyjson_val *delta)
{
	yyjson_val *details = json_get(delta, "reasoning_details"), *v;
	size_t i, max;

	yyjson_arr_foreach(details, i, max, v)
	{
		walk_str(&w->reasoning, json_get(v, "text"));
		walk_str(&w->reasoning, json_get(v, "summary"));
	}
	if (yyjson_arr_size(details) > 0)
		return;
	if (yyjson_get_len(json_get(delta, "reasoning_content")) > 0)
		walk_str(&w->reasoning, json_get(delta, "reasoning_content"));
	else
		walk_str(&w->reasoning, json_get(delta, "reasoning"));
}

static inline void walk_chat_delta(struct walk *w, yyjson_val *delta)
{
	yyjson_val *content = json_get(delta, "content"), *v, *inner;
	size_t i, k, max, most;

	walk_chat_reasoning(w, delta);
	walk_str(&w->text, content);
	yyjson_arr_foreach(content, i, max, v)
	{
		walk_str(&w->text, json_get(v, "text"));
		yyjson_arr_foreach(json_get(v, "thinking"), k, most, inner)
		{
			walk_str(&w->reasoning, json_get(inner, "text"));
		}
	}
	walk_str(&w->refusal, json_get(delta, "refusal"));
	w->media += (int)yyjson_arr_size(json_get(delta, "images"));
	yyjson_arr_foreach(json_get(delta, "tool_calls"), i, max, v)
	{
		yyjson_val *f = json_get(v, walk_is(v, "type", "custom") ? "custom" : "function");
		char key[64] = "";
		struct walk_call *c;

		/* An index is a number that was kept as text; without one an id is new. */
		if (json_get(v, "index") != NULL)
			snprintf(key, sizeof(key), "%.*s",
				SPAN_ARG(json_number(json_get(v, "index"))));
		c = walk_call_of(w, key, json_get(v, "index") == NULL && json_get(v, "id") != NULL);
		walk_word(c->name, sizeof(c->name), json_get(f, "name"));
		walk_str(&c->args, json_get(f, "arguments"));
		walk_str(&c->args, json_get(f, "input"));
	}
}

static inline void walk_int(int64_t *out, yyjson_val *object, const char *key)
{
	json_int(json_get(object, key), out);
}

static inline void walk_chat(struct walk *w, yyjson_val *root)
{
	yyjson_val *choice = yyjson_arr_get_first(json_get(root, "choices"));
	yyjson_val *usage = json_get(root, "usage");

	if (usage == NULL)
		usage = json_get(json_get(root, "x_groq"), "usage");
	walk_chat_delta(w, json_get(choice, "delta"));
	walk_chat_delta(w, json_get(choice, "message"));
	walk_word(w->stop, sizeof(w->stop), json_get(choice, "finish_reason"));
	walk_int(&w->input, usage, "prompt_tokens");
	walk_int(&w->output, usage, "completion_tokens");
	walk_int(&w->cached, json_get(usage, "prompt_tokens_details"), "cached_tokens");
	walk_int(&w->cached, usage, "num_cached_tokens");
	walk_int(&w->reasoned, json_get(usage, "completion_tokens_details"), "reasoning_tokens");
}

/* ---- Responses ---- */

static inline void walk_item(struct walk *w, yyjson_val *item)
{
	yyjson_val *part;
	size_t i, max, n = w->reasoning.n;

	if (walk_is(item, "type", "function_call"))
		walk_add_call(w, json_get(item, "name"), json_get(item, "arguments"));
	if (walk_is(item, "type", "custom_tool_call"))
		walk_add_call(w, json_get(item, "name"), json_get(item, "input"));
	w->media += walk_is(item, "type", "image_generation_call") &&
		    yyjson_get_len(json_get(item, "result")) > 0;
	yyjson_arr_foreach(json_get(item, "content"), i, max, part)
	{
		bool message = walk_is(item, "type", "message");

		if (!message && w->reasoning.n > n)
			buf_append_cstr(&w->reasoning, "\n\n");
		walk_str(message ? &w->text : &w->reasoning, json_get(part, "text"));
		walk_str(&w->refusal, json_get(part, "refusal"));
	}
	yyjson_arr_foreach(json_get(item, "summary"), i, max, part)
	{
		if (w->reasoning.n > n)
			buf_append_cstr(&w->reasoning, "\n\n");
		walk_str(&w->reasoning, json_get(part, "text"));
	}
}

/* Of a stream the last event tells the whole. */
static inline void walk_responses(struct walk *w, yyjson_val *root)
{
	yyjson_val *response = json_get(root, "response"), *usage, *item;
	size_t i, max;

	if (response == NULL)
		response = root;
	if (walk_is(response, "status", "in_progress") || walk_is(response, "status", "queued"))
		return;
	yyjson_arr_foreach(json_get(response, "output"), i, max, item)
	{
		walk_item(w, item);
	}
	usage = json_get(response, "usage");
	walk_int(&w->input, usage, "input_tokens");
	walk_int(&w->output, usage, "output_tokens");
	walk_int(&w->cached, json_get(usage, "input_tokens_details"), "cached_tokens");
	walk_int(&w->reasoned, json_get(usage, "output_tokens_details"), "reasoning_tokens");
	walk_word(w->stop, sizeof(w->stop), json_get(response, "status"));
	walk_word(w->stop, sizeof(w->stop),
		json_get(json_get(response, "incomplete_details"), "reason"));
}

/* ---- Messages ---- */

static inline void walk_messages_usage(struct walk *w, yyjson_val *usage)
{
	int64_t plain = 0, read = 0, written = 0;

	if (!yyjson_is_obj(usage))
		return;
	walk_int(&plain, usage, "input_tokens");
	walk_int(&read, usage, "cache_read_input_tokens");
	walk_int(&written, usage, "cache_creation_input_tokens");
	if (plain + read + written > 0) {
		w->input = plain + read + written;
		w->cached = read;
	}
	walk_int(&w->output, usage, "output_tokens");
}

static inline void walk_messages_block(struct walk *w, yyjson_val *block, const char *key)
{
	yyjson_val *input = json_get(block, "input");

	if (walk_is(block, "type", "text"))
		walk_str(&w->text, json_get(block, "text"));
	walk_str(&w->reasoning, json_get(block, "thinking"));
	if (walk_is(block, "type", "tool_use")) {
		struct walk_call *c = walk_call_of(w, key, true);

		walk_word(c->name, sizeof(c->name), json_get(block, "name"));
		if (key[0] == '\0' || yyjson_obj_size(input) > 0)
			json_write(&c->args, input);
	}
}

static inline void walk_messages(struct walk *w, yyjson_val *root)
{
	yyjson_val *delta = json_get(root, "delta"), *block;
	char key[64] = "";
	size_t i, max;

	if (json_get(root, "index") != NULL)
		snprintf(key, sizeof(key), "%.*s", SPAN_ARG(json_number(json_get(root, "index"))));
	yyjson_arr_foreach(json_get(root, "content"), i, max, block)
	{
		walk_messages_block(w, block, "");
	}
	walk_messages_block(w, json_get(root, "content_block"), key);
	walk_str(&w->text, json_get(delta, "text"));
	walk_str(&w->reasoning, json_get(delta, "thinking"));
	if (json_get(delta, "partial_json") != NULL && w->n_calls > 0 &&
		strcmp(w->calls[w->n_calls - 1].key, key) == 0)
		walk_str(&w->calls[w->n_calls - 1].args, json_get(delta, "partial_json"));
	walk_messages_usage(w, json_get(root, "usage"));
	walk_messages_usage(w, json_get(json_get(root, "message"), "usage"));
	walk_word(w->stop, sizeof(w->stop), json_get(root, "stop_reason"));
	walk_word(w->stop, sizeof(w->stop), json_get(delta, "stop_reason"));
}

/* ---- generateContent ---- */

static inline void walk_gemini_part(struct walk *w, yyjson_val *part)
{
	yyjson_val *call = json_get(part, "functionCall");
	bool thought = false;

	json_get_bool(part, "thought", &thought);
	walk_str(thought ? &w->reasoning : &w->text, json_get(part, "text"));
	if (call != NULL)
		walk_add_call(w, json_get(call, "name"), json_get(call, "args"));
	w->media += json_get(part, "inlineData") != NULL;
}

static inline void walk_gemini(struct walk *w, yyjson_val *root)
{
	yyjson_val *candidate = yyjson_arr_get_first(json_get(root, "candidates")), *part;
	yyjson_val *usage = json_get(root, "usageMetadata");
	int64_t tools = 0, shown = 0;
	size_t i, max;

	yyjson_arr_foreach(json_get(json_get(candidate, "content"), "parts"), i, max, part)
	{
		walk_gemini_part(w, part);
	}
	walk_int(&tools, usage, "toolUsePromptTokenCount");
	walk_int(&w->input, usage, "promptTokenCount");
	w->input += tools;
	walk_int(&w->cached, usage, "cachedContentTokenCount");
	walk_int(&w->reasoned, usage, "thoughtsTokenCount");
	walk_int(&shown, usage, "candidatesTokenCount");
	w->output = shown + w->reasoned;
	walk_word(w->stop, sizeof(w->stop), json_get(candidate, "finishReason"));
}

/* ---- Converse ---- */

static inline void walk_bedrock_block(struct walk *w, yyjson_val *block)
{
	yyjson_val *call = json_get(block, "toolUse"), *item;
	size_t i, max;

	walk_str(&w->text, json_get(block, "text"));
	yyjson_arr_foreach(json_get(json_get(block, "citationsContent"), "content"), i, max, item)
	{
		walk_str(&w->text, json_get(item, "text"));
	}
	walk_str(&w->reasoning,
		json_get(json_get(json_get(block, "reasoningContent"), "reasoningText"), "text"));
	if (call != NULL && !walk_is(call, "type", "server_tool_use"))
		walk_add_call(w, json_get(call, "name"), json_get(call, "input"));
}

/* Arguments follow the call they belong to: none of the records has calls that interleave. */
static inline void walk_bedrock(struct walk *w, yyjson_val *root)
{
	yyjson_val *content = json_get(json_get(json_get(root, "output"), "message"), "content");
	yyjson_val *delta = json_get(root, "delta"), *usage = json_get(root, "usage"), *block;
	yyjson_val *call = json_get(json_get(root, "start"), "toolUse");
	int64_t plain = 0, read = 0, written = 0;
	size_t i, max;

	yyjson_arr_foreach(content, i, max, block)
	{
		walk_bedrock_block(w, block);
	}
	walk_str(&w->text, json_get(delta, "text"));
	walk_str(&w->reasoning, json_get(json_get(delta, "reasoningContent"), "text"));
	if (call != NULL)
		walk_add_call(w, json_get(call, "name"), NULL);
	if (json_get(delta, "toolUse") != NULL && w->n_calls > 0)
		walk_str(&w->calls[w->n_calls - 1].args,
			json_get(json_get(delta, "toolUse"), "input"));
	walk_word(w->stop, sizeof(w->stop), json_get(root, "stopReason"));
	if (usage == NULL)
		return;
	walk_int(&plain, usage, "inputTokens");
	walk_int(&read, usage, "cacheReadInputTokens");
	walk_int(&written, usage, "cacheWriteInputTokens");
	w->input = plain + read + written;
	w->cached = read;
	walk_int(&w->output, usage, "outputTokens");
}

/* ---- Cohere ---- */

static inline void walk_cohere_call(struct walk *w, yyjson_val *call)
{
	yyjson_val *f = json_get(call, "function");

	if (json_get(f, "name") != NULL)
		walk_add_call(w, json_get(f, "name"), NULL);
	if (w->n_calls > 0)
		walk_str(&w->calls[w->n_calls - 1].args, json_get(f, "arguments"));
}

static inline void walk_cohere_content(struct walk *w, yyjson_val *part)
{
	walk_str(&w->text, json_get(part, "text"));
	walk_str(&w->reasoning, json_get(part, "thinking"));
}

static inline void walk_cohere(struct walk *w, yyjson_val *root)
{
	yyjson_val *delta = json_get(root, "delta"), *in = delta != NULL ? delta : root, *v;
	yyjson_val *message = json_get(in, "message"), *content = json_get(message, "content");
	yyjson_val *calls = json_get(message, "tool_calls");
	yyjson_val *billed = json_get(json_get(in, "usage"), "billed_units");
	size_t i, max;

	walk_str(&w->reasoning, json_get(message, "tool_plan"));
	if (yyjson_is_obj(content))
		walk_cohere_content(w, content);
	yyjson_arr_foreach(content, i, max, v)
	{
		walk_cohere_content(w, v);
	}
	if (yyjson_is_obj(calls))
		walk_cohere_call(w, calls);
	yyjson_arr_foreach(calls, i, max, v)
	{
		walk_cohere_call(w, v);
	}
	walk_int(&w->input, billed, "input_tokens");
	walk_int(&w->output, billed, "output_tokens");
	walk_word(w->stop, sizeof(w->stop), json_get(in, "finish_reason"));
}

/* ---- all of them ---- */

/* Errors come inside answers of status 200 too. */
static inline void walk_error(struct walk *w, yyjson_val *root)
{
	walk_word(w->error, sizeof(w->error), json_get(json_get(root, "error"), "message"));
	if (walk_is(root, "status", "queued") || walk_is(root, "status", "in_progress"))
		snprintf(w->error, sizeof(w->error), "The provider's answer is not complete");
}

/* A document of the answer: the whole of it, or one event's. */
static inline void walk_any(struct walk *w, enum llm_op op, yyjson_val *root)
{
	static void (*const walks[LLM_OP_COUNT])(struct walk *, yyjson_val *) = {
		[LLM_OP_CHAT] = walk_chat,
		[LLM_OP_RESPONSES] = walk_responses,
		[LLM_OP_MESSAGES] = walk_messages,
		[LLM_OP_GENERATE] = walk_gemini,
		[LLM_OP_CONVERSE] = walk_bedrock,
		[LLM_OP_COHERE] = walk_cohere};

	walks[op](w, root);
	walk_error(w, root);
}

/* What the words of all formats mean; tool calls say more than they do. */
static inline enum llm_stop walk_stop(const struct walk *w)
{
	static const struct {
		const char *word;
		enum llm_stop stop;
	} words[] = {{"length", LLM_STOP_LENGTH}, {"max_tokens", LLM_STOP_LENGTH},
		{"MAX_TOKENS", LLM_STOP_LENGTH}, {"max_output_tokens", LLM_STOP_LENGTH},
		{"content_filter", LLM_STOP_FILTER}, {"refusal", LLM_STOP_FILTER},
		{"SAFETY", LLM_STOP_FILTER}, {"MODEL_ARMOR", LLM_STOP_FILTER},
		{"PROHIBITED_CONTENT", LLM_STOP_FILTER}, {"guardrail_intervened", LLM_STOP_FILTER},
		{"stop_sequence", LLM_STOP_SEQUENCE}, {"STOP_SEQUENCE", LLM_STOP_SEQUENCE},
		{"pause_turn", LLM_STOP_PAUSE}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(w->stop, words[i].word) == 0)
			return words[i].stop;
	return w->n_calls > 0 ? LLM_STOP_TOOL : LLM_STOP_END;
}

static inline void walk_take(const struct walk *w, struct kit_said *s)
{
	buf_append(&s->text, buf_span(&w->text));
	if (w->refusal.n > 0)
		buf_append(&s->text, SPAN("(refusal)"));
	buf_append(&s->text, buf_span(&w->refusal));
	buf_append(&s->reasoning, buf_span(&w->reasoning));
	for (int i = 0; i < w->n_calls; i++)
		kit_said_call(s, span_of(w->calls[i].name), buf_span(&w->calls[i].args));
	s->media = w->media;
	s->stop = walk_stop(w);
}
