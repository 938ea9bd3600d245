/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/cohere/cohere.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"

struct body {
	struct arena *a;
	struct llm_request *q;
	struct err *err;
};

static bool no_memory(struct body *b)
{
	return err_set(b->err, ERR_NO_MEMORY, NULL);
}

/* ---- messages ---- */

static bool add_text(
	struct body *b, struct llm_block **list, enum llm_block_kind kind, struct span text)
{
	struct llm_block *block = llm_add_block(b->a, list, kind);

	if (block == NULL)
		return no_memory(b);
	block->text = text;
	return true;
}

static bool read_image(struct body *b, struct llm_block **list, yyjson_val *image)
{
	struct llm_block *block = llm_add_block(b->a, list, LLM_BLOCK_MEDIA);

	if (block == NULL)
		return no_memory(b);
	block->media.kind = LLM_MEDIA_IMAGE;
	block->media.detail = text_in(image, "detail");
	err_param(b->err, "messages");
	if (!llm_media_read(b->a, text_in(image, "url"), false, &block->media, b->err))
		return false;
	b->err->param[0] = '\0';
	return true;
}

/* Documents of a tool's result are shown as their text. */
static bool read_part(struct body *b, struct llm_block **list, yyjson_val *part)
{
	struct span type = text_in(part, "type");

	if (span_is(type, "text"))
		return add_text(b, list, LLM_BLOCK_TEXT, text_in(part, "text"));
	if (span_is(type, "thinking"))
		return add_text(b, list, LLM_BLOCK_THINKING, text_in(part, "thinking"));
	if (span_is(type, "image_url"))
		return read_image(b, list, json_get(part, "image_url"));
	if (span_is(type, "document"))
		return add_text(b, list, LLM_BLOCK_TEXT,
			text_json(b->a, json_get(json_get(part, "document"), "data")));
	return read_wrong(
		"messages", "made of parts of type text, thinking, image_url or document", b->err);
}

static bool read_content(struct body *b, struct llm_block **list, yyjson_val *content)
{
	size_t i, max;
	yyjson_val *part;

	if (yyjson_is_str(content))
		return add_text(b, list, LLM_BLOCK_TEXT, text_of(content));
	if (content != NULL && !yyjson_is_null(content) && !yyjson_is_arr(content))
		return read_wrong(
			"messages", "objects whose content is a string or a list", b->err);
	yyjson_arr_foreach(content, i, max, part)
	{
		if (!read_part(b, list, part))
			return false;
	}
	return true;
}

static bool read_assistant(struct body *b, yyjson_val *m, struct llm_turn *t)
{
	struct span plan = text_in(m, "tool_plan");
	struct llm_block *block;
	size_t i, max;
	yyjson_val *call;

	if ((plan.n > 0 && !add_text(b, &t->blocks, LLM_BLOCK_THINKING, plan)) ||
		!read_content(b, &t->blocks, json_get(m, "content")))
		return false;
	yyjson_arr_foreach(json_get(m, "tool_calls"), i, max, call)
	{
		block = llm_add_block(b->a, &t->blocks, LLM_BLOCK_TOOL_CALL);
		if (block == NULL)
			return no_memory(b);
		block->id = text_in(call, "id");
		block->name = text_in(json_get(call, "function"), "name");
		block->args = text_in(json_get(call, "function"), "arguments");
		if (block->name.n == 0)
			return read_wrong("messages",
				"made of tool calls with the name of a function", b->err);
	}
	return true;
}

static bool read_message(struct body *b, yyjson_val *m)
{
	struct span role = text_in(m, "role");
	bool assistant = span_is(role, "assistant"), system = span_is(role, "system");
	bool tool = span_is(role, "tool");
	struct llm_block *result;
	struct llm_turn *t;

	if (!assistant && !system && !tool && !span_is(role, "user"))
		return read_wrong("messages",
			"objects with a role of system, user, assistant or tool", b->err);
	t = llm_add_turn(b->a, b->q,
		system      ? LLM_ROLE_SYSTEM
		: assistant ? LLM_ROLE_ASSISTANT
			    : LLM_ROLE_USER);
	if (t == NULL)
		return no_memory(b);
	if (assistant)
		return read_assistant(b, m, t);
	if (!tool)
		return read_content(b, &t->blocks, json_get(m, "content"));
	result = llm_add_block(b->a, &t->blocks, LLM_BLOCK_TOOL_RESULT);
	if (result == NULL)
		return no_memory(b);
	result->id = text_in(m, "tool_call_id");
	return read_content(b, &result->content, json_get(m, "content"));
}

static bool read_messages(struct body *b, yyjson_val *v)
{
	size_t i, max;
	yyjson_val *m;

	if (yyjson_arr_size(v) == 0)
		return read_wrong("messages", "a list of at least one message", b->err);
	yyjson_arr_foreach(v, i, max, m)
	{
		if (!read_message(b, m))
			return false;
	}
	return true;
}

/* ---- tools ---- */

static bool read_tools(struct body *b, yyjson_val *root)
{
	struct span choice = text_in(root, "tool_choice");
	enum llm_maybe strict = LLM_UNSET;
	struct llm_tool *tool;
	size_t i, max;
	yyjson_val *v;

	if (!read_maybe(json_get(root, "strict_tools"), "strict_tools", &strict, b->err))
		return false;
	yyjson_arr_foreach(json_get(root, "tools"), i, max, v)
	{
		yyjson_val *f = json_get(v, "function");

		tool = llm_add_tool(b->a, b->q, LLM_TOOL_FUNCTION);
		if (tool == NULL)
			return no_memory(b);
		tool->strict = strict;
		tool->name = text_in(f, "name");
		tool->description = text_in(f, "description");
		if (tool->name.n == 0)
			return read_wrong("tools", "a list of functions with their names", b->err);
		if (!read_object(json_get(f, "parameters"), "tools", &tool->schema, b->err))
			return false;
	}
	if (span_is(choice, "REQUIRED"))
		b->q->choice = LLM_CHOICE_REQUIRED;
	else if (span_is(choice, "NONE"))
		b->q->choice = LLM_CHOICE_NONE;
	return true;
}

/* ---- the rest ---- */

static bool read_format(struct body *b, yyjson_val *v)
{
	struct llm_format *f = &b->q->format;
	yyjson_val *schema = json_get(v, "json_schema");

	if (span_is(text_in(v, "type"), "text"))
		f->kind = LLM_FORMAT_TEXT;
	if (!span_is(text_in(v, "type"), "json_object"))
		return true;
	if (schema == NULL)
		schema = json_get(v, "schema"); /* its older name */
	f->kind = schema != NULL ? LLM_FORMAT_SCHEMA : LLM_FORMAT_OBJECT;
	return read_object(schema, "response_format", &f->schema, b->err);
}

static bool read_thinking(struct body *b, yyjson_val *v)
{
	struct llm_reasoning *r = &b->q->reasoning;
	struct span type = text_in(v, "type");

	if (span_is(type, "enabled"))
		r->thinking = LLM_THINKING_ON;
	else if (span_is(type, "disabled"))
		r->thinking = LLM_THINKING_OFF;
	return read_int(json_get(v, "token_budget"), "thinking.token_budget", &r->budget, b->err);
}

static bool read_numbers(struct body *b, yyjson_val *root)
{
	struct llm_request *q = b->q;
	const struct {
		const char *key;
		struct span *out;
	} numbers[] = {{"temperature", &q->temperature}, {"p", &q->top_p}, {"k", &q->top_k},
		{"seed", &q->seed}, {"frequency_penalty", &q->frequency_penalty},
		{"presence_penalty", &q->presence_penalty}};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!read_number(
			    json_get(root, numbers[i].key), numbers[i].key, numbers[i].out, b->err))
			return false;
	return read_str(json_get(root, "model"), "model", &q->model, b->err) &&
	       read_bool(json_get(root, "stream"), "stream", &q->stream, b->err) &&
	       read_int(json_get(root, "max_tokens"), "max_tokens", &q->max_output, b->err) &&
	       read_maybe(json_get(root, "logprobs"), "logprobs", &q->logprobs, b->err) &&
	       read_names(
		       json_get(root, "stop_sequences"), "stop_sequences", b->a, &q->stops, b->err);
}

bool cohere_read_request(yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err)
{
	struct body b = {a, q, err};

	if (!yyjson_is_obj(root))
		return err_set(err, ERR_BAD_REQUEST, "The body must be a JSON object");
	if (!read_numbers(&b, root) || !read_messages(&b, json_get(root, "messages")) ||
		!read_tools(&b, root) || !read_format(&b, json_get(root, "response_format")) ||
		!read_thinking(&b, json_get(root, "thinking")))
		return a->failed ? no_memory(&b) : false;
	return !a->failed || no_memory(&b);
}
