/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/anthropic/anthropic.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"
#include "meaning/llm/reasoning.h"
#include "meaning/llm/schema.h"

/* A body being read. */
struct body {
	struct arena *a;
	struct llm_request *q;
	struct err *err;
	struct llm_state call_state; /* of the call with that id, which comes next */
};

static bool no_memory(struct err *err)
{
	return err_set(err, ERR_NO_MEMORY, NULL);
}

static struct llm_block *add(
	struct body *b, struct llm_block **list, enum llm_block_kind kind, yyjson_val *v)
{
	struct llm_block *block = llm_add_block(b->a, list, kind);

	if (block == NULL)
		no_memory(b->err);
	else
		block->cache = read_cache_control(v);
	return block;
}

/* ---- media ---- */

static bool read_source(struct body *b, yyjson_val *v, struct llm_media *m)
{
	yyjson_val *source = json_get(v, "source"), *part;
	struct span type = text_in(source, "type");
	size_t i, max;

	m->title = text_in(v, "title");
	m->context = text_in(v, "context");
	m->mime = text_in(source, "media_type");
	m->citations = yyjson_get_bool(json_get(json_get(v, "citations"), "enabled"));
	if (span_is(type, "base64")) {
		m->from = LLM_FROM_BASE64;
		m->data = text_in(source, "data");
	} else if (span_is(type, "url")) {
		m->from = LLM_FROM_URL;
		m->data = text_in(source, "url");
	} else if (span_is(type, "file")) {
		m->from = LLM_FROM_FILE_ID;
		m->data = text_in(source, "file_id");
		m->maker = LLM_MAKER_ANTHROPIC;
	} else if (span_is(type, "text")) {
		m->from = LLM_FROM_TEXT;
		m->data = text_in(source, "data");
	} else if (span_is(type, "content")) {
		yyjson_val *content = json_get(source, "content");

		m->from = LLM_FROM_TEXT;
		m->data = text_of(content);
		yyjson_arr_foreach(content, i, max, part) m->data =
			arena_join(b->a, (const struct span[]){m->data, text_in(part, "text")}, 2);
	}
	if (m->data.p == NULL)
		return read_wrong("messages",
			"made of images and documents with a source of type "
			"base64, url, file or text",
			b->err);
	if (!llm_media_is_sound(m))
		return read_wrong("messages",
			"made of images and documents with a media_type such as image/png and data "
			"that is base64",
			b->err);
	return true;
}

static bool read_media(
	struct body *b, struct llm_block **list, enum llm_media_kind kind, yyjson_val *v)
{
	struct llm_block *block = add(b, list, LLM_BLOCK_MEDIA, v);

	if (block == NULL)
		return false;
	block->media.kind = kind;
	return read_source(b, v, &block->media);
}

/* ---- content blocks ---- */

static bool read_thinking(struct body *b, struct llm_block **list, yyjson_val *v, bool redacted)
{
	struct llm_block *block = add(b, list, LLM_BLOCK_THINKING, v);

	if (block == NULL)
		return false;
	block->cache = LLM_CACHE_NONE;
	block->redacted = redacted;
	block->text = text_in(v, "thinking");
	llm_state_read(
		text_in(v, redacted ? "data" : "signature"), LLM_MAKER_ANTHROPIC, &block->state);
	/* A call's own state stands before it: this format has no place in the call. */
	if (redacted && block->state.maker == LLM_MAKER_GEMINI && block->state.id.n > 0)
		b->call_state = block->state;
	return true;
}

static bool read_call(struct body *b, struct llm_block **list, yyjson_val *v)
{
	struct llm_block *block = add(b, list, LLM_BLOCK_TOOL_CALL, v);
	yyjson_val *input = json_get(v, "input");

	if (block == NULL)
		return false;
	block->id = text_in(v, "id");
	block->name = text_in(v, "name");
	if (block->id.n == 0 || block->name.n == 0)
		return read_wrong(
			"messages", "made of tool_use blocks with an id and a name", b->err);
	block->args = input != NULL ? text_json(b->a, input) : SPAN("{}");
	if (b->call_state.maker != LLM_MAKER_NONE && span_eq(b->call_state.id, block->id))
		block->state = b->call_state;
	return true;
}

static bool read_content(struct body *b, struct llm_block **list, yyjson_val *content);

static bool read_result(struct body *b, struct llm_block **list, yyjson_val *v)
{
	struct llm_block *block = add(b, list, LLM_BLOCK_TOOL_RESULT, v);

	if (block == NULL)
		return false;
	block->id = text_in(v, "tool_use_id");
	if (block->id.n == 0)
		return read_wrong(
			"messages", "made of tool_result blocks with a tool_use_id", b->err);
	block->is_error = yyjson_get_bool(json_get(v, "is_error"));
	return read_content(b, &block->content, json_get(v, "content"));
}

/* A search result given as content is a text with a heading. */
static bool read_search_result(struct body *b, struct llm_block **list, yyjson_val *v)
{
	struct llm_block *block = add(b, list, LLM_BLOCK_TEXT, v);
	yyjson_val *part;
	size_t i, max;

	if (block == NULL)
		return false;
	block->text = arena_join(b->a,
		(const struct span[]){
			text_in(v, "title"), SPAN("\n"), text_in(v, "source"), SPAN("\n")},
		4);
	yyjson_arr_foreach(json_get(v, "content"), i, max, part) block->text =
		arena_join(b->a, (const struct span[]){block->text, text_in(part, "text")}, 2);
	return true;
}

static bool read_native(struct body *b, struct llm_block **list, yyjson_val *v)
{
	struct llm_block *block = add(b, list, LLM_BLOCK_NATIVE, v);

	if (block == NULL)
		return false;
	block->native_op = LLM_OP_MESSAGES;
	block->native = v;
	return true;
}

static bool read_citations(struct body *b, struct llm_block *block, yyjson_val *list)
{
	struct llm_citation **end = &block->citations;
	size_t i, max;
	yyjson_val *v;

	yyjson_arr_foreach(list, i, max, v)
	{
		struct llm_citation *c = ARENA_NEW(b->a, struct llm_citation);

		if (c == NULL)
			return no_memory(b->err);
		c->url = text_in(v, "url");
		c->title = text_in(v, "title");
		c->quote = text_in(v, "cited_text");
		c->start = c->end = c->document = -1;
		json_int(json_get(v, "document_index"), &c->document);
		c->native = v;
		*end = c;
		end = &c->next;
	}
	return true;
}

static bool read_text(struct body *b, struct llm_block **list, yyjson_val *v)
{
	struct llm_block *block = add(b, list, LLM_BLOCK_TEXT, v);

	if (block == NULL)
		return false;
	block->text = text_in(v, "text");
	return read_citations(b, block, json_get(v, "citations"));
}

static bool read_block(struct body *b, struct llm_block **list, yyjson_val *v)
{
	struct span type = text_in(v, "type");

	if (span_is(type, "text"))
		return read_text(b, list, v);
	if (span_is(type, "image"))
		return read_media(b, list, LLM_MEDIA_IMAGE, v);
	if (span_is(type, "document"))
		return read_media(b, list, LLM_MEDIA_DOCUMENT, v);
	if (span_is(type, "thinking"))
		return read_thinking(b, list, v, false);
	if (span_is(type, "redacted_thinking"))
		return read_thinking(b, list, v, true);
	if (span_is(type, "tool_use"))
		return read_call(b, list, v);
	if (span_is(type, "tool_result"))
		return read_result(b, list, v);
	if (span_is(type, "search_result"))
		return read_search_result(b, list, v);
	if (type.n > 0)
		return read_native(b, list, v);
	return read_wrong("messages", "made of content blocks with their type", b->err);
}

static bool read_content(struct body *b, struct llm_block **list, yyjson_val *content)
{
	struct llm_block **end = list;
	size_t i, max;
	yyjson_val *v;

	if (content == NULL || yyjson_is_null(content))
		return true;
	if (yyjson_is_str(content)) {
		struct llm_block *block = add(b, list, LLM_BLOCK_TEXT, NULL);

		if (block != NULL)
			block->text = text_of(content);
		return block != NULL;
	}
	if (!yyjson_is_arr(content))
		return read_wrong(
			"messages", "objects whose content is a string or a list", b->err);
	yyjson_arr_foreach(content, i, max, v)
	{
		if (!read_block(b, end, v))
			return false;
		while (*end != NULL)
			end = &(*end)->next;
	}
	return true;
}

/* ---- turns ---- */

static bool read_system(struct body *b, yyjson_val *system)
{
	size_t i, max;
	yyjson_val *v;
	struct llm_turn *t;

	if (system == NULL || yyjson_is_null(system))
		return true;
	if (!yyjson_is_str(system) && !yyjson_is_arr(system))
		return read_wrong("system", "a string or a list of text blocks", b->err);
	t = llm_add_turn(b->a, b->q, LLM_ROLE_SYSTEM);
	if (t == NULL)
		return no_memory(b->err);
	if (yyjson_is_str(system))
		return read_content(b, &t->blocks, system);
	yyjson_arr_foreach(system, i, max, v) if (!read_text(b, &t->blocks, v)) return false;
	return true;
}

static bool read_messages(struct body *b, yyjson_val *messages)
{
	size_t i, max;
	yyjson_val *m;

	if (yyjson_arr_size(messages) == 0)
		return read_wrong("messages", "a list of at least one message", b->err);
	yyjson_arr_foreach(messages, i, max, m)
	{
		struct span role = text_in(m, "role");
		struct llm_turn *t;

		if (!span_is(role, "user") && !span_is(role, "assistant") &&
			!span_is(role, "system"))
			return read_wrong(
				"messages", "objects with a role of user or assistant", b->err);
		t = llm_add_turn(b->a, b->q,
			*role.p == 'u'   ? LLM_ROLE_USER
			: *role.p == 'a' ? LLM_ROLE_ASSISTANT
					 : LLM_ROLE_SYSTEM);
		if (t == NULL)
			return no_memory(b->err);
		if (!read_content(b, &t->blocks, json_get(m, "content")))
			return false;
	}
	return true;
}

/* ---- tools ---- */

static bool read_search(struct body *b, yyjson_val *v)
{
	struct llm_tool *tool = llm_add_tool(b->a, b->q, LLM_TOOL_SEARCH);

	if (tool == NULL)
		return no_memory(b->err);
	tool->name = text_in(v, "name");
	tool->native_op = LLM_OP_MESSAGES;
	tool->native = v;
	tool->native_type = text_in(v, "type");
	tool->cache = read_cache_control(v);
	tool->allowed_domains = json_get(v, "allowed_domains");
	tool->blocked_domains = json_get(v, "blocked_domains");
	return read_int(json_get(v, "max_uses"), "tools", &tool->max_uses, b->err) &&
	       read_object(json_get(v, "user_location"), "tools", &tool->user_location, b->err);
}

static bool read_tool(struct body *b, yyjson_val *v)
{
	struct span type = text_in(v, "type");
	bool native = type.n > 0 && !span_is(type, "custom");
	struct llm_tool *tool;

	if (span_starts(type, SPAN("web_search")))
		return read_search(b, v);
	tool = llm_add_tool(b->a, b->q, native ? LLM_TOOL_NATIVE : LLM_TOOL_FUNCTION);
	if (tool == NULL)
		return no_memory(b->err);
	tool->name = text_in(v, "name");
	tool->cache = read_cache_control(v);
	tool->native_op = LLM_OP_MESSAGES;
	tool->native_type = type;
	tool->native = v;
	if (native)
		return true;
	if (tool->name.n == 0)
		return read_wrong("tools", "a list of tools with their names", b->err);
	return read_str(json_get(v, "description"), "tools", &tool->description, b->err) &&
	       read_object(json_get(v, "input_schema"), "tools", &tool->schema, b->err) &&
	       read_maybe(json_get(v, "strict"), "tools", &tool->strict, b->err);
}

static bool read_tools(struct body *b, yyjson_val *tools)
{
	size_t i, max;
	yyjson_val *v;

	if (tools != NULL && !yyjson_is_null(tools) && !yyjson_is_arr(tools))
		return read_wrong("tools", "a list", b->err);
	yyjson_arr_foreach(tools, i, max, v) if (!read_tool(b, v)) return false;
	return true;
}

static bool read_choice(struct body *b, yyjson_val *v)
{
	struct span type = yyjson_is_str(v) ? text_of(v) : text_in(v, "type");
	struct llm_request *q = b->q;
	enum llm_maybe off = LLM_UNSET;

	if (v == NULL || yyjson_is_null(v))
		return true;
	if (!read_maybe(json_get(v, "disable_parallel_tool_use"), "tool_choice", &off, b->err))
		return false;
	if (off != LLM_UNSET)
		q->parallel = off == LLM_YES ? LLM_NO : LLM_YES;
	if (span_is(type, "auto")) {
		q->choice = LLM_CHOICE_AUTO;
	} else if (span_is(type, "any")) {
		q->choice = LLM_CHOICE_REQUIRED;
	} else if (span_is(type, "none")) {
		q->choice = LLM_CHOICE_NONE;
	} else if (span_is(type, "tool") && text_in(v, "name").n > 0) {
		q->choice = LLM_CHOICE_NAMED;
		llm_add_name(b->a, &q->choice_names, text_in(v, "name"));
	} else {
		return read_wrong(
			"tool_choice", "of type auto, any, none, or tool with a name", b->err);
	}
	return true;
}

/* ---- the rest ---- */

static bool read_reasoning(struct body *b, yyjson_val *root)
{
	yyjson_val *thinking = json_get(root, "thinking");
	yyjson_val *effort = json_get(json_get(root, "output_config"), "effort");
	struct llm_reasoning *r = &b->q->reasoning, level = {.budget = -1};
	struct span type = text_in(thinking, "type");

	if (span_is(type, "enabled"))
		r->thinking = LLM_THINKING_ON;
	else if (span_is(type, "adaptive") || span_is(type, "between_tools"))
		r->thinking = LLM_THINKING_ADAPTIVE;
	else if (span_is(type, "disabled"))
		r->thinking = LLM_THINKING_OFF;
	else if (thinking != NULL && !yyjson_is_null(thinking))
		return read_wrong("thinking", "of type enabled, adaptive or disabled", b->err);
	if (span_is(text_in(thinking, "display"), "omitted"))
		r->show = LLM_NO;
	if (effort != NULL && (!yyjson_is_str(effort) || !llm_effort_read(text_of(effort), &level)))
		return read_wrong(
			"output_config.effort", "low, medium, high, xhigh or max", b->err);
	r->effort = level.effort;
	return read_int(
		json_get(thinking, "budget_tokens"), "thinking.budget_tokens", &r->budget, b->err);
}

static bool read_format(struct body *b, yyjson_val *root)
{
	yyjson_val *format = json_get(json_get(root, "output_config"), "format");

	if (format == NULL)
		format = json_get(root, "output_format");
	if (format == NULL || yyjson_is_null(format))
		return true;
	if (!span_is(text_in(format, "type"), "json_schema"))
		return read_wrong("output_config.format", "of type json_schema", b->err);
	b->q->format.kind = LLM_FORMAT_SCHEMA;
	return read_object(json_get(format, "schema"), "output_config.format.schema",
		       &b->q->format.schema, b->err) &&
	       llm_schema_fits(b->q->format.schema, "output_config.format.schema", b->err);
}

static bool read_scalars(struct body *b, yyjson_val *root)
{
	struct llm_request *q = b->q;

	q->wants_usage = true;
	q->cache = read_cache_control(root);
	if (!read_str(json_get(root, "model"), "model", &q->model, b->err) ||
		!read_int(json_get(root, "max_tokens"), "max_tokens", &q->max_output, b->err) ||
		!read_bool(json_get(root, "stream"), "stream", &q->stream, b->err) ||
		!read_number(
			json_get(root, "temperature"), "temperature", &q->temperature, b->err) ||
		!read_number(json_get(root, "top_p"), "top_p", &q->top_p, b->err) ||
		!read_number(json_get(root, "top_k"), "top_k", &q->top_k, b->err) ||
		!read_names(json_get(root, "stop_sequences"), "stop_sequences", b->a, &q->stops,
			b->err) ||
		!read_str(json_get(root, "service_tier"), "service_tier", &q->service_tier, b->err))
		return false;
	q->user = text_in(json_get(root, "metadata"), "user_id");
	if (q->max_output == 0 || q->max_output < -1)
		return read_wrong("max_tokens", "at least 1", b->err);
	return true;
}

static void note_unknown(struct body *b, yyjson_val *root)
{
	static const char *const known[] = {"model", "max_tokens", "messages", "system",
		"stop_sequences", "stream", "tools", "tool_choice", "thinking", "output_config",
		"output_format", "metadata", "service_tier", "cache_control", "temperature",
		"top_p", "top_k", "requesty", NULL};
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

bool anthropic_read_request(
	yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err)
{
	struct body b = {.a = a, .q = q, .err = err};

	if (!read_scalars(&b, root) || !read_system(&b, json_get(root, "system")) ||
		!read_messages(&b, json_get(root, "messages")) ||
		!read_tools(&b, json_get(root, "tools")) ||
		!read_choice(&b, json_get(root, "tool_choice")) || !read_reasoning(&b, root) ||
		!read_format(&b, root))
		return false;
	note_unknown(&b, root);
	return !a->failed || no_memory(err);
}
