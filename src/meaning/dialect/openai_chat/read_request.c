/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_chat/openai_chat.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"
#include "meaning/llm/reasoning.h"
#include "meaning/llm/schema.h"

/* A body being read. */
struct body {
	struct arena *a;
	struct llm_request *q;
	struct err *err;
};

static bool no_memory(struct err *err)
{
	return err_set(err, ERR_NO_MEMORY, NULL);
}

/* ---- parts of a content ---- */

static bool read_media(struct body *b, struct llm_block **list, enum llm_media_kind kind,
	struct span address, yyjson_val *v, enum llm_cache_mark mark)
{
	struct llm_block *block = llm_add_block(b->a, list, LLM_BLOCK_MEDIA);

	if (block == NULL)
		return no_memory(b->err);
	block->cache = mark;
	block->media.kind = kind;
	block->media.mime = text_in(v, "mime_type");
	block->media.name = text_in(v, "filename");
	block->media.detail = text_in(v, "detail");
	err_param(b->err, "messages");
	if (!llm_media_read(b->a, address, kind != LLM_MEDIA_IMAGE, &block->media, b->err))
		return false;
	b->err->param[0] = '\0';
	return true;
}

static bool read_file(
	struct body *b, struct llm_block **list, yyjson_val *v, enum llm_cache_mark mark)
{
	struct span data = text_in(v, "file_data"), id = text_in(v, "file_id");
	struct llm_block *block;

	if (data.n == 0)
		data = text_in(v, "file_url");
	if (data.n > 0)
		return read_media(b, list, LLM_MEDIA_DOCUMENT, data, v, mark);
	if (id.n == 0)
		return read_wrong(
			"messages", "made of parts with their file_data or file_id", b->err);
	block = llm_add_block(b->a, list, LLM_BLOCK_MEDIA);
	if (block == NULL)
		return no_memory(b->err);
	block->cache = mark;
	block->media = (struct llm_media){.kind = LLM_MEDIA_DOCUMENT,
		.from = LLM_FROM_FILE_ID,
		.data = id,
		.name = text_in(v, "filename")};
	return true;
}

static bool read_audio(
	struct body *b, struct llm_block **list, yyjson_val *v, enum llm_cache_mark mark)
{
	struct span format = text_in(v, "format");
	struct llm_block *block;

	if (!read_media(b, list, LLM_MEDIA_AUDIO, text_in(v, "data"), v, mark))
		return false;
	for (block = *list; block->next != NULL; block = block->next)
		;
	if (block->media.mime.n == 0)
		block->media.mime = span_is(format, "mp3") ? SPAN("audio/mpeg") : SPAN("audio/wav");
	return true;
}

static bool add_text(struct body *b, struct llm_block **list, enum llm_block_kind kind,
	struct span text, enum llm_cache_mark mark)
{
	struct llm_block *block = llm_add_block(b->a, list, kind);

	if (block == NULL)
		return no_memory(b->err);
	block->text = text;
	block->cache = mark;
	return true;
}

/* Mistral's answers hold their reasoning so, and clients send them back: a list of texts. */
static bool read_thinking_part(struct body *b, struct llm_block **list, yyjson_val *thinking)
{
	struct llm_block *block = llm_add_block(b->a, list, LLM_BLOCK_THINKING);
	size_t i, max;
	yyjson_val *v;

	if (block == NULL)
		return no_memory(b->err);
	block->text = text_of(thinking);
	yyjson_arr_foreach(thinking, i, max, v) block->text =
		arena_join(b->a, (const struct span[]){block->text, text_in(v, "text")}, 2);
	return true;
}

static bool read_part(struct body *b, struct llm_block **list, yyjson_val *part)
{
	struct span type = text_in(part, "type");
	enum llm_cache_mark mark = read_cache_control(part);
	yyjson_val *image = json_get(part, "image_url");

	if (mark == LLM_CACHE_NONE && json_get(part, "prompt_cache_breakpoint") != NULL)
		mark = LLM_CACHE_5M;
	if (span_is(type, "text") || span_is(type, "input_text") || span_is(type, "output_text"))
		return add_text(b, list, LLM_BLOCK_TEXT, text_in(part, "text"), mark);
	if (span_is(type, "refusal"))
		return add_text(b, list, LLM_BLOCK_REFUSAL, text_in(part, "refusal"), mark);
	if (span_is(type, "image_url") && yyjson_is_obj(image))
		return read_media(b, list, LLM_MEDIA_IMAGE, text_in(image, "url"), image, mark);
	if (span_is(type, "image_url") || span_is(type, "input_image"))
		return read_media(b, list, LLM_MEDIA_IMAGE, text_of(image), part, mark);
	if (span_is(type, "input_audio"))
		return read_audio(b, list, json_get(part, "input_audio"), mark);
	if (span_is(type, "file"))
		return read_file(b, list, json_get(part, "file"), mark);
	if (span_is(type, "input_file") || span_is(type, "file_input"))
		return read_file(b, list, part, mark);
	if (span_is(type, "video_url"))
		return read_media(b, list, LLM_MEDIA_VIDEO,
			text_in(json_get(part, "video_url"), "url"), part, mark);
	if (span_is(type, "document_url"))
		return read_media(
			b, list, LLM_MEDIA_DOCUMENT, text_in(part, "document_url"), part, mark);
	if (span_is(type, "thinking"))
		return read_thinking_part(b, list, json_get(part, "thinking"));
	err_param(b->err, "messages");
	return err_set(b->err, ERR_BAD_REQUEST,
		"A content part of type \"%.*s\" is not known; known are text, image_url, "
		"input_audio, file, input_file, refusal",
		SPAN_ARG(span_head(type, 64)));
}

/* A string, or parts. */
static bool read_content(
	struct body *b, struct llm_block **list, yyjson_val *content, enum llm_cache_mark mark)
{
	struct llm_block *last = NULL, **end = list;
	size_t i, max;
	yyjson_val *part;

	if (content == NULL || yyjson_is_null(content))
		return true;
	if (yyjson_is_str(content))
		return add_text(b, list, LLM_BLOCK_TEXT, text_of(content), mark);
	if (!yyjson_is_arr(content))
		return read_wrong(
			"messages", "objects whose content is a string or a list", b->err);
	yyjson_arr_foreach(content, i, max, part)
	{
		if (yyjson_is_str(part)
				? !add_text(b, end, LLM_BLOCK_TEXT, text_of(part), LLM_CACHE_NONE)
				: !read_part(b, end, part))
			return false;
		while (*end != NULL) {
			last = *end;
			end = &(*end)->next;
		}
	}
	/* A mark on the message counts for its last part. */
	if (mark != LLM_CACHE_NONE && last != NULL)
		last->cache = mark;
	return true;
}

/* ---- reasoning that comes back ---- */

static enum llm_maker maker_of(struct span format)
{
	if (span_starts(format, SPAN("anthropic")))
		return LLM_MAKER_ANTHROPIC;
	if (span_starts(format, SPAN("openai")))
		return LLM_MAKER_OPENAI;
	if (span_starts(format, SPAN("google")))
		return LLM_MAKER_GEMINI;
	return LLM_MAKER_NONE;
}

static bool read_detail(struct body *b, struct llm_block **list, yyjson_val *v)
{
	struct span type = text_in(v, "type"), text = text_in(v, "text");
	bool encrypted = span_is(type, "reasoning.encrypted");
	struct span state = text_in(v, encrypted ? "data" : "signature");
	struct llm_block *block = llm_add_block(b->a, list, LLM_BLOCK_THINKING);

	if (block == NULL)
		return no_memory(b->err);
	block->text = text.n > 0 ? text : text_in(v, "summary");
	block->redacted = encrypted;
	llm_state_read(state, maker_of(text_in(v, "format")), &block->state);
	if (encrypted && block->state.id.n == 0)
		block->state.id = text_in(v, "id");
	return true;
}

/* LiteLLM's thinking_blocks are Anthropic's own blocks. */
static bool read_thinking_block(struct body *b, struct llm_block **list, yyjson_val *v)
{
	bool redacted = span_is(text_in(v, "type"), "redacted_thinking");
	struct llm_block *block = llm_add_block(b->a, list, LLM_BLOCK_THINKING);

	if (block == NULL)
		return no_memory(b->err);
	block->text = text_in(v, "thinking");
	block->redacted = redacted;
	llm_state_read(
		text_in(v, redacted ? "data" : "signature"), LLM_MAKER_ANTHROPIC, &block->state);
	return true;
}

static bool read_reasoning(struct body *b, struct llm_block **list, yyjson_val *m)
{
	yyjson_val *details = json_get(m, "reasoning_details");
	yyjson_val *blocks = json_get(m, "thinking_blocks"), *v;
	struct span text = text_in(m, "reasoning_content");
	struct llm_block *block;
	size_t i, max;

	yyjson_arr_foreach(details, i, max, v) if (!read_detail(b, list, v)) return false;
	if (yyjson_arr_size(details) > 0)
		return true;
	yyjson_arr_foreach(blocks, i, max, v) if (!read_thinking_block(b, list, v)) return false;
	if (yyjson_arr_size(blocks) > 0)
		return true;
	if (text.n == 0)
		text = text_in(m, "reasoning");
	if (text.n == 0 && text_in(m, "reasoning_signature").n == 0)
		return true;
	block = llm_add_block(b->a, list, LLM_BLOCK_THINKING);
	if (block == NULL)
		return no_memory(b->err);
	block->text = text;
	llm_state_read(text_in(m, "reasoning_signature"), LLM_MAKER_ANTHROPIC, &block->state);
	return true;
}

/* ---- tool calls ---- */

static bool read_call(struct body *b, struct llm_block **list, yyjson_val *v)
{
	bool custom = span_is(text_in(v, "type"), "custom");
	yyjson_val *f = json_get(v, custom ? "custom" : "function"), *args;
	yyjson_val *google = json_get(json_get(v, "extra_content"), "google");
	struct llm_block *block = llm_add_block(b->a, list, LLM_BLOCK_TOOL_CALL);

	if (block == NULL)
		return no_memory(b->err);
	block->id = text_in(v, "id");
	block->name = text_in(f, "name");
	block->custom = custom;
	args = json_get(f, custom ? "input" : "arguments");
	block->args = yyjson_is_obj(args) ? text_json(b->a, args) : text_of(args);
	if (block->name.n == 0)
		return read_wrong(
			"messages", "made of tool calls with the name of a function", b->err);
	llm_state_read(text_in(google, "thought_signature"), LLM_MAKER_GEMINI, &block->state);
	return true;
}

/* The older function_call has no id: its name is what pairs it with its result. */
static struct span legacy_id(struct body *b, struct span name)
{
	return arena_join(b->a, (const struct span[]){SPAN("call_"), name}, 2);
}

static bool read_legacy_call(struct body *b, struct llm_block **list, yyjson_val *v)
{
	struct llm_block *block;

	if (!yyjson_is_obj(v))
		return true;
	block = llm_add_block(b->a, list, LLM_BLOCK_TOOL_CALL);
	if (block == NULL)
		return no_memory(b->err);
	block->name = text_in(v, "name");
	block->id = legacy_id(b, block->name);
	block->args = text_in(v, "arguments");
	return true;
}

/* ---- messages ---- */

static bool read_assistant(struct body *b, yyjson_val *m, struct llm_turn *t)
{
	struct span refusal = text_in(m, "refusal");
	yyjson_val *calls = json_get(m, "tool_calls"), *v;
	size_t i, max;

	if (!read_reasoning(b, &t->blocks, m) ||
		!read_content(b, &t->blocks, json_get(m, "content"), read_cache_control(m)) ||
		(refusal.n > 0 &&
			!add_text(b, &t->blocks, LLM_BLOCK_REFUSAL, refusal, LLM_CACHE_NONE)))
		return false;
	yyjson_arr_foreach(calls, i, max, v) if (!read_call(b, &t->blocks, v)) return false;
	return read_legacy_call(b, &t->blocks, json_get(m, "function_call"));
}

static bool read_result(struct body *b, yyjson_val *m, struct llm_turn *t, bool legacy)
{
	struct llm_block *block = llm_add_block(b->a, &t->blocks, LLM_BLOCK_TOOL_RESULT);

	if (block == NULL)
		return no_memory(b->err);
	block->name = text_in(m, "name");
	block->id = legacy ? legacy_id(b, block->name) : text_in(m, "tool_call_id");
	block->cache = read_cache_control(m);
	if (block->id.n == 0)
		return read_wrong("messages", "made of tool messages with a tool_call_id", b->err);
	return read_content(b, &block->content, json_get(m, "content"), LLM_CACHE_NONE);
}

static bool read_message(struct body *b, yyjson_val *m)
{
	struct span role = text_in(m, "role");
	bool developer = span_is(role, "developer"), legacy = span_is(role, "function");
	bool system = developer || span_is(role, "system");
	bool assistant = span_is(role, "assistant");
	struct llm_turn *t;

	if (!system && !assistant && !legacy && !span_is(role, "user") && !span_is(role, "tool"))
		return read_wrong("messages",
			"objects with a role of system, developer, user, assistant or tool",
			b->err);
	t = llm_add_turn(b->a, b->q,
		system      ? LLM_ROLE_SYSTEM
		: assistant ? LLM_ROLE_ASSISTANT
			    : LLM_ROLE_USER);
	if (t == NULL)
		return no_memory(b->err);
	t->developer = developer;
	if (legacy || span_is(role, "tool"))
		return read_result(b, m, t, legacy);
	t->name = text_in(m, "name");
	if (assistant)
		return read_assistant(b, m, t);
	return read_content(b, &t->blocks, json_get(m, "content"), read_cache_control(m));
}

static bool read_messages(struct body *b, yyjson_val *v)
{
	size_t i, max;
	yyjson_val *m;

	if (yyjson_arr_size(v) == 0)
		return read_wrong("messages", "a list of at least one message", b->err);
	yyjson_arr_foreach(v, i, max, m) if (!read_message(b, m)) return false;
	return true;
}

/* ---- tools ---- */

static bool read_function(struct body *b, yyjson_val *v, yyjson_val *f)
{
	struct llm_tool *tool = llm_add_tool(b->a, b->q, LLM_TOOL_FUNCTION);

	if (tool == NULL)
		return no_memory(b->err);
	tool->cache = read_cache_control(v);
	if (tool->cache == LLM_CACHE_NONE)
		tool->cache = read_cache_control(f);
	if (!read_str(json_get(f, "name"), "tools", &tool->name, b->err) ||
		!read_str(json_get(f, "description"), "tools", &tool->description, b->err) ||
		!read_object(json_get(f, "parameters"), "tools", &tool->schema, b->err) ||
		!read_maybe(json_get(f, "strict"), "tools", &tool->strict, b->err))
		return false;
	if (tool->name.n == 0)
		return read_wrong("tools", "a list of functions with their names", b->err);
	return true;
}

static bool read_search(struct body *b, yyjson_val *v)
{
	struct llm_tool *tool = llm_add_tool(b->a, b->q, LLM_TOOL_SEARCH);

	if (tool == NULL)
		return no_memory(b->err);
	tool->name = SPAN("web_search");
	tool->native_op = LLM_OP_CHAT;
	tool->native = v;
	tool->context_size = text_in(v, "search_context_size");
	return read_int(json_get(v, "max_uses"), "tools", &tool->max_uses, b->err) &&
	       read_object(json_get(v, "user_location"), "tools", &tool->user_location, b->err);
}

static bool read_tool(struct body *b, yyjson_val *v)
{
	struct span type = text_in(v, "type");
	struct llm_tool *tool;

	if (span_is(type, "function") || (type.n == 0 && json_get(v, "function") != NULL))
		return read_function(b, v, json_get(v, "function"));
	if (span_starts(type, SPAN("web_search")))
		return read_search(b, v);
	if (span_is(type, "custom")) {
		yyjson_val *c = json_get(v, "custom");

		tool = llm_add_tool(b->a, b->q, LLM_TOOL_CUSTOM);
		if (tool == NULL)
			return no_memory(b->err);
		tool->name = text_in(c, "name");
		tool->description = text_in(c, "description");
		tool->format = json_get(c, "format");
		return true;
	}
	tool = llm_add_tool(b->a, b->q, LLM_TOOL_NATIVE);
	if (tool == NULL)
		return no_memory(b->err);
	tool->native_op = LLM_OP_CHAT;
	tool->native_type = type;
	tool->native = v;
	return true;
}

static bool read_tools(struct body *b, yyjson_val *tools, yyjson_val *functions)
{
	size_t i, max;
	yyjson_val *v;

	if (tools != NULL && !yyjson_is_null(tools) && !yyjson_is_arr(tools))
		return read_wrong("tools", "a list", b->err);
	yyjson_arr_foreach(tools, i, max, v) if (!read_tool(b, v)) return false;
	yyjson_arr_foreach(functions, i, max, v) if (!read_function(b, v, v)) return false;
	return true;
}

static bool read_choice(struct body *b, yyjson_val *v)
{
	static const struct {
		const char *word;
		enum llm_choice choice;
	} words[] = {{"auto", LLM_CHOICE_AUTO}, {"none", LLM_CHOICE_NONE},
		{"required", LLM_CHOICE_REQUIRED}, {"any", LLM_CHOICE_REQUIRED}};
	struct span word = text_of(v), type = text_in(v, "type");
	yyjson_val *allowed = json_get(v, "allowed_tools"), *tool;
	struct llm_request *q = b->q;
	struct span name;
	size_t i, max;

	if (v == NULL || yyjson_is_null(v))
		return true;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_is(word, words[i].word) ||
			(word.p == NULL && span_is(type, words[i].word))) {
			q->choice = words[i].choice;
			return true;
		}
	if (allowed != NULL) {
		q->choice = span_is(text_in(allowed, "mode"), "required") ? LLM_CHOICE_ALLOWED_ONE
									  : LLM_CHOICE_ALLOWED;
		yyjson_arr_foreach(json_get(allowed, "tools"), i, max, tool)
		{
			name = text_in(json_get(tool, "function"), "name");
			llm_add_name(
				b->a, &q->choice_names, name.n > 0 ? name : text_in(tool, "name"));
		}
		return true;
	}
	name = text_in(json_get(v, "function"), "name");
	if (name.n == 0)
		name = text_in(json_get(v, "custom"), "name");
	if (name.n == 0)
		name = text_in(v, "name");
	if (name.n == 0)
		return read_wrong(
			"tool_choice", "auto, none, required or the name of a tool", b->err);
	q->choice = LLM_CHOICE_NAMED;
	llm_add_name(b->a, &q->choice_names, name);
	return true;
}

/* ---- the rest ---- */

static bool read_format(struct body *b, yyjson_val *v)
{
	struct llm_format *f = &b->q->format;
	struct span type = text_in(v, "type");
	yyjson_val *schema = json_get(v, "json_schema");

	if (v == NULL || yyjson_is_null(v))
		return true;
	if (span_is(type, "text")) {
		f->kind = LLM_FORMAT_TEXT;
		return true;
	}
	if (span_is(type, "json_object")) {
		f->kind = LLM_FORMAT_OBJECT;
		return true;
	}
	if (!span_is(type, "json_schema") || !yyjson_is_obj(schema))
		return read_wrong(
			"response_format", "of type text, json_object or json_schema", b->err);
	f->kind = LLM_FORMAT_SCHEMA;
	f->name = text_in(schema, "name");
	f->description = text_in(schema, "description");
	return read_object(json_get(schema, "schema"), "response_format", &f->schema, b->err) &&
	       llm_schema_fits(f->schema, "response_format", b->err) &&
	       read_maybe(json_get(schema, "strict"), "response_format", &f->strict, b->err);
}

static bool read_effort(struct body *b, yyjson_val *v, const char *param)
{
	struct span word = yyjson_is_raw(v) ? json_number(v) : text_of(v);

	if (v == NULL || yyjson_is_null(v) || llm_effort_read(word, &b->q->reasoning))
		return true;
	return read_wrong(param,
		"none, min, minimal, low, medium, high, xhigh, max or a number of tokens", b->err);
}

/* OpenRouter's reasoning object, Anthropic's thinking object, Requesty's include_reasoning. */
static bool read_thinking(struct body *b, yyjson_val *root)
{
	yyjson_val *reasoning = json_get(root, "reasoning"), *thinking = json_get(root, "thinking");
	struct llm_reasoning *r = &b->q->reasoning;
	struct span type = text_in(thinking, "type");
	enum llm_maybe enabled = LLM_UNSET, exclude = LLM_UNSET;

	if (!read_effort(b, json_get(root, "reasoning_effort"), "reasoning_effort") ||
		!read_effort(b, json_get(reasoning, "effort"), "reasoning.effort") ||
		!read_int(json_get(reasoning, "max_tokens"), "reasoning.max_tokens", &r->budget,
			b->err) ||
		!read_maybe(
			json_get(reasoning, "enabled"), "reasoning.enabled", &enabled, b->err) ||
		!read_maybe(
			json_get(reasoning, "exclude"), "reasoning.exclude", &exclude, b->err) ||
		!read_maybe(
			json_get(root, "include_reasoning"), "include_reasoning", &r->show, b->err))
		return false;
	if (enabled != LLM_UNSET && r->thinking == LLM_THINKING_UNSET)
		r->thinking = enabled == LLM_YES ? LLM_THINKING_ON : LLM_THINKING_OFF;
	if (r->budget >= 0 && r->thinking == LLM_THINKING_UNSET)
		r->thinking = LLM_THINKING_ON;
	if (exclude == LLM_YES)
		r->show = LLM_NO;
	if (span_is(type, "enabled"))
		r->thinking = LLM_THINKING_ON;
	else if (span_is(type, "adaptive"))
		r->thinking = LLM_THINKING_ADAPTIVE;
	else if (span_is(type, "disabled"))
		r->thinking = LLM_THINKING_OFF;
	return read_int(
		json_get(thinking, "budget_tokens"), "thinking.budget_tokens", &r->budget, b->err);
}

static bool read_limits(struct body *b, yyjson_val *root)
{
	struct llm_request *q = b->q;

	if (!read_int(json_get(root, "max_tokens"), "max_tokens", &q->max_output, b->err) ||
		!read_int(json_get(root, "max_completion_tokens"), "max_completion_tokens",
			&q->max_output, b->err) ||
		!read_int(json_get(root, "n"), "n", &q->n, b->err) ||
		!read_int(json_get(root, "top_logprobs"), "top_logprobs", &q->top_logprobs, b->err))
		return false;
	if (q->max_output <= 0)
		q->max_output = -1;
	return true;
}

static bool read_numbers(struct body *b, yyjson_val *root)
{
	struct llm_request *q = b->q;
	const struct {
		const char *key;
		struct span *out;
	} numbers[] = {{"temperature", &q->temperature}, {"top_p", &q->top_p}, {"top_k", &q->top_k},
		{"presence_penalty", &q->presence_penalty},
		{"frequency_penalty", &q->frequency_penalty}, {"seed", &q->seed}};
	const struct {
		const char *key;
		struct span *out;
	} words[] = {{"model", &q->model}, {"safety_identifier", &q->user}, {"user", &q->user},
		{"verbosity", &q->verbosity}, {"service_tier", &q->service_tier},
		{"prompt_cache_key", &q->prompt_cache_key},
		{"prompt_cache_retention", &q->prompt_cache_retention}};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!read_number(
			    json_get(root, numbers[i].key), numbers[i].key, numbers[i].out, b->err))
			return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!read_str(json_get(root, words[i].key), words[i].key, words[i].out, b->err))
			return false;
	return true;
}

static bool read_switches(struct body *b, yyjson_val *root)
{
	struct llm_request *q = b->q;
	yyjson_val *options = json_get(root, "stream_options"), *modality;
	size_t i, max;

	yyjson_arr_foreach(json_get(root, "modalities"), i, max, modality) q->wants_audio |=
		span_is(text_of(modality), "audio");
	return read_bool(json_get(root, "stream"), "stream", &q->stream, b->err) &&
	       read_bool(json_get(options, "include_usage"), "stream_options.include_usage",
		       &q->wants_usage, b->err) &&
	       read_maybe(json_get(root, "parallel_tool_calls"), "parallel_tool_calls",
		       &q->parallel, b->err) &&
	       read_maybe(json_get(root, "logprobs"), "logprobs", &q->logprobs, b->err) &&
	       read_maybe(json_get(root, "store"), "store", &q->store, b->err) &&
	       read_object(json_get(root, "logit_bias"), "logit_bias", &q->logit_bias, b->err) &&
	       read_object(json_get(root, "metadata"), "metadata", &q->metadata, b->err) &&
	       read_names(json_get(root, "stop"), "stop", b->a, &q->stops, b->err);
}

/* Members that nothing above reads. */
static void note_unknown(struct body *b, yyjson_val *root)
{
	static const char *const known[] = {"messages", "tools", "functions", "function_call",
		"tool_choice", "response_format", "reasoning", "reasoning_effort", "thinking",
		"include_reasoning", "max_tokens", "max_completion_tokens", "n", "top_logprobs",
		"temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed",
		"model", "safety_identifier", "user", "verbosity", "service_tier",
		"prompt_cache_key", "prompt_cache_retention", "modalities", "stream",
		"stream_options", "parallel_tool_calls", "logprobs", "store", "logit_bias",
		"metadata", "stop", "requesty", "web_search_options", "audio", NULL};
	struct llm_name **end = &b->q->unknown;
	size_t i, max;
	yyjson_val *key, *v;

	yyjson_obj_foreach(root, i, max, key, v)
	{
		int k = 0;

		while (known[k] != NULL && !yyjson_equals_str(key, known[k]))
			k++;
		if (known[k] != NULL || yyjson_is_null(v))
			continue;
		if (llm_add_name(b->a, end, text_of(key)) != NULL)
			end = &(*end)->next;
	}
}

bool openai_read_request(yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err)
{
	struct body b = {a, q, err};
	yyjson_val *choice = json_get(root, "tool_choice");
	yyjson_val *search = json_get(root, "web_search_options");

	if (choice == NULL)
		choice = json_get(root, "function_call");
	if (!read_numbers(&b, root) || !read_limits(&b, root) || !read_switches(&b, root) ||
		!read_messages(&b, json_get(root, "messages")) ||
		!read_tools(&b, json_get(root, "tools"), json_get(root, "functions")) ||
		(yyjson_is_obj(search) && !read_search(&b, search)) || !read_choice(&b, choice) ||
		!read_format(&b, json_get(root, "response_format")) || !read_thinking(&b, root))
		return false;
	note_unknown(&b, root);
	return !a->failed || no_memory(err);
}
