/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_responses/openai_responses.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"
#include "meaning/llm/reasoning.h"
#include "meaning/llm/schema.h"

/* A body being read. */
struct body {
	struct arena *a;
	struct llm_request *q;
	struct err *err;
	struct llm_turn *last;       /* of the turns */
	struct llm_block **end;      /* of its blocks */
	struct llm_state call_state; /* of the call with that id, which comes next */
};

static bool no_memory(struct err *err)
{
	return err_set(err, ERR_NO_MEMORY, NULL);
}

static bool begin_turn(struct body *b, enum llm_role role)
{
	b->last = llm_add_turn(b->a, b->q, role);
	if (b->last == NULL)
		return no_memory(b->err);
	b->end = &b->last->blocks;
	return true;
}

/* Items of the assistant stand one by one: together they are its turn. */
static struct llm_block *add_to(struct body *b, enum llm_role role, enum llm_block_kind kind)
{
	struct llm_block *block;

	if ((b->last == NULL || b->last->role != role) && !begin_turn(b, role))
		return NULL;
	block = llm_add_block(b->a, b->end, kind);
	if (block == NULL)
		no_memory(b->err);
	else
		b->end = &block->next;
	return block;
}

/* ---- parts ---- */

static bool read_media(struct body *b, struct llm_block **list, enum llm_media_kind kind,
	struct span address, yyjson_val *v)
{
	struct llm_block *block = llm_add_block(b->a, list, LLM_BLOCK_MEDIA);
	struct span id = text_in(v, "file_id");

	if (block == NULL)
		return no_memory(b->err);
	block->cache = read_cache_control(v);
	block->media.kind = kind;
	block->media.name = text_in(v, "filename");
	block->media.detail = text_in(v, "detail");
	if (address.n == 0 && id.n > 0) {
		block->media.from = LLM_FROM_FILE_ID;
		block->media.data = id;
		return true;
	}
	err_param(b->err, "input");
	if (!llm_media_read(b->a, address, kind != LLM_MEDIA_IMAGE, &block->media, b->err))
		return false;
	b->err->param[0] = '\0';
	return true;
}

static bool read_audio(struct body *b, struct llm_block **list, yyjson_val *part)
{
	yyjson_val *v = json_get(part, "input_audio");
	struct llm_block *block;

	if (!read_media(b, list, LLM_MEDIA_AUDIO, text_in(v, "data"), v))
		return false;
	for (block = *list; block->next != NULL; block = block->next)
		;
	if (block->media.mime.n == 0)
		block->media.mime = span_is(text_in(v, "format"), "mp3") ? SPAN("audio/mpeg")
									 : SPAN("audio/wav");
	return true;
}

static bool read_citations(struct body *b, struct llm_citation **list, yyjson_val *annotations)
{
	size_t i, max;
	yyjson_val *v;

	yyjson_arr_foreach(annotations, i, max, v)
	{
		struct llm_citation *c;

		if (!span_is(text_in(v, "type"), "url_citation"))
			continue;
		c = ARENA_NEW(b->a, struct llm_citation);
		if (c == NULL)
			return no_memory(b->err);
		c->start = c->end = c->document = -1;
		c->url = text_in(v, "url");
		c->title = text_in(v, "title");
		json_int(json_get(v, "start_index"), &c->start);
		json_int(json_get(v, "end_index"), &c->end);
		*list = c;
		list = &c->next;
	}
	return true;
}

static bool read_text(
	struct body *b, struct llm_block **list, enum llm_block_kind kind, yyjson_val *part)
{
	struct llm_block *block = llm_add_block(b->a, list, kind);

	if (block == NULL)
		return no_memory(b->err);
	block->text = text_in(part, kind == LLM_BLOCK_REFUSAL ? "refusal" : "text");
	block->cache = read_cache_control(part);
	if (block->cache == LLM_CACHE_NONE && json_get(part, "prompt_cache_breakpoint") != NULL)
		block->cache = LLM_CACHE_5M;
	return read_citations(b, &block->citations, json_get(part, "annotations"));
}

static bool read_part(struct body *b, struct llm_block **list, yyjson_val *part)
{
	struct span type = text_in(part, "type"), data;
	yyjson_val *image = json_get(part, "image_url");

	if (span_is(type, "input_text") || span_is(type, "output_text") || span_is(type, "text"))
		return read_text(b, list, LLM_BLOCK_TEXT, part);
	if (span_is(type, "refusal"))
		return read_text(b, list, LLM_BLOCK_REFUSAL, part);
	if (span_is(type, "input_image") || span_is(type, "image_url"))
		return read_media(b, list, LLM_MEDIA_IMAGE,
			yyjson_is_obj(image) ? text_in(image, "url") : text_of(image), part);
	if (span_is(type, "input_audio"))
		return read_audio(b, list, part);
	if (span_is(type, "input_file") || span_is(type, "file")) {
		data = text_in(part, "file_data");
		return read_media(b, list, LLM_MEDIA_DOCUMENT,
			data.n > 0 ? data : text_in(part, "file_url"), part);
	}
	err_param(b->err, "input");
	return err_set(b->err, ERR_BAD_REQUEST,
		"A content part of type \"%.*s\" is not known; known are input_text, input_image, "
		"input_file, input_audio, output_text, refusal",
		SPAN_ARG(span_head(type, 64)));
}

/* A string, or parts. */
static bool read_content(struct body *b, struct llm_block **list, yyjson_val *content)
{
	size_t i, max;
	yyjson_val *part;

	if (content == NULL || yyjson_is_null(content))
		return true;
	if (yyjson_is_str(content)) {
		struct llm_block *block = llm_add_block(b->a, list, LLM_BLOCK_TEXT);

		if (block == NULL)
			return no_memory(b->err);
		block->text = text_of(content);
		return true;
	}
	if (!yyjson_is_arr(content))
		return read_wrong(
			"input", "made of items whose content is a string or a list", b->err);
	yyjson_arr_foreach(content, i, max, part)
	{
		if (!read_part(b, list, part))
			return false;
		while (*list != NULL)
			list = &(*list)->next;
	}
	return true;
}

/* ---- items ---- */

static bool read_message(struct body *b, yyjson_val *item)
{
	struct span role = text_in(item, "role");
	bool developer = span_is(role, "developer"), assistant = span_is(role, "assistant");
	bool system = developer || span_is(role, "system");

	if (!system && !assistant && !span_is(role, "user"))
		return read_wrong("input",
			"made of messages with a role of system, developer, user or assistant",
			b->err);
	if (!assistant || b->last == NULL || b->last->role != LLM_ROLE_ASSISTANT) {
		if (!begin_turn(b, system      ? LLM_ROLE_SYSTEM
				   : assistant ? LLM_ROLE_ASSISTANT
					       : LLM_ROLE_USER))
			return false;
		b->last->developer = developer;
	}
	if (!read_content(b, b->end, json_get(item, "content")))
		return false;
	while (*b->end != NULL)
		b->end = &(*b->end)->next;
	return true;
}

static bool read_call(struct body *b, yyjson_val *item, bool custom)
{
	struct llm_block *block = add_to(b, LLM_ROLE_ASSISTANT, LLM_BLOCK_TOOL_CALL);
	yyjson_val *args = json_get(item, custom ? "input" : "arguments");

	if (block == NULL)
		return false;
	block->custom = custom;
	block->id = text_in(item, "call_id");
	block->name = text_in(item, "name");
	block->args = yyjson_is_obj(args) ? text_json(b->a, args) : text_of(args);
	if (block->id.n == 0 || block->name.n == 0)
		return read_wrong("input", "made of calls with a call_id and a name", b->err);
	if (b->call_state.maker != LLM_MAKER_NONE && span_eq(b->call_state.id, block->id))
		block->state = b->call_state;
	return true;
}

static bool read_output(struct body *b, yyjson_val *item)
{
	struct llm_block *block;

	/* Results stand before what else the user says: what was said ends its turn. */
	if (b->last != NULL && b->last->role == LLM_ROLE_USER && b->last->blocks != NULL &&
		b->last->blocks->kind != LLM_BLOCK_TOOL_RESULT)
		b->last = NULL;
	block = add_to(b, LLM_ROLE_USER, LLM_BLOCK_TOOL_RESULT);
	if (block == NULL)
		return false;
	block->id = text_in(item, "call_id");
	block->custom = span_is(text_in(item, "type"), "custom_tool_call_output");
	if (block->id.n == 0)
		return read_wrong("input", "made of outputs with the call_id of a call", b->err);
	return read_content(b, &block->content, json_get(item, "output"));
}

static struct span joined(struct body *b, yyjson_val *parts)
{
	struct span text = {NULL, 0};
	size_t i, max;
	yyjson_val *part;

	yyjson_arr_foreach(parts, i, max, part)
	{
		struct span more = text_in(part, "text");

		if (more.n == 0)
			continue;
		text = text.p == NULL ? more
				      : arena_join(b->a,
						(const struct span[]){text, SPAN("\n\n"), more}, 3);
	}
	return text;
}

static bool read_reasoning(struct body *b, yyjson_val *item)
{
	struct llm_block *block = add_to(b, LLM_ROLE_ASSISTANT, LLM_BLOCK_THINKING);

	if (block == NULL)
		return false;
	block->text = joined(b, json_get(item, "summary"));
	if (block->text.n == 0)
		block->text = joined(b, json_get(item, "content"));
	llm_state_read(text_in(item, "encrypted_content"), LLM_MAKER_OPENAI, &block->state);
	block->redacted = block->text.n == 0;
	if (block->state.maker == LLM_MAKER_OPENAI && block->state.id.n == 0)
		block->state.id = text_in(item, "id");
	/* A call's own state stands before it: this format has no place in the call. */
	if (block->state.maker == LLM_MAKER_GEMINI && block->state.id.n > 0)
		b->call_state = block->state;
	return true;
}

static bool read_native(struct body *b, yyjson_val *item)
{
	struct llm_block *block = add_to(b, LLM_ROLE_ASSISTANT, LLM_BLOCK_NATIVE);

	if (block == NULL)
		return false;
	block->native_op = LLM_OP_RESPONSES;
	block->native = item;
	return true;
}

static bool read_search_call(struct body *b, yyjson_val *item)
{
	struct llm_block *block = add_to(b, LLM_ROLE_ASSISTANT, LLM_BLOCK_SEARCH);

	if (block == NULL)
		return false;
	block->id = text_in(item, "id");
	block->text = text_in(json_get(item, "action"), "query");
	block->native_op = LLM_OP_RESPONSES;
	block->native = item;
	return true;
}

static bool read_image_call(struct body *b, yyjson_val *item)
{
	struct llm_block *block;

	if (text_in(item, "result").n == 0)
		return read_native(b, item);
	block = add_to(b, LLM_ROLE_ASSISTANT, LLM_BLOCK_MEDIA);
	if (block == NULL)
		return false;
	block->media = (struct llm_media){
		.kind = LLM_MEDIA_IMAGE, .from = LLM_FROM_BASE64, .data = text_in(item, "result")};
	if (!llm_media_is_sound(&block->media))
		return read_wrong("input", "made of image calls whose result is base64", b->err);
	block->native_op = LLM_OP_RESPONSES;
	block->native = item;
	return true;
}

static bool read_item(struct body *b, yyjson_val *item)
{
	struct span type = text_in(item, "type");

	if (span_is(type, "message") || (type.n == 0 && text_in(item, "role").n > 0))
		return read_message(b, item);
	if (span_is(type, "function_call"))
		return read_call(b, item, false);
	if (span_is(type, "custom_tool_call"))
		return read_call(b, item, true);
	if (span_is(type, "function_call_output") || span_is(type, "custom_tool_call_output"))
		return read_output(b, item);
	if (span_is(type, "reasoning"))
		return read_reasoning(b, item);
	if (span_is(type, "web_search_call"))
		return read_search_call(b, item);
	if (span_is(type, "image_generation_call"))
		return read_image_call(b, item);
	if (span_is(type, "item_reference") || (type.n == 0 && text_in(item, "id").n > 0)) {
		b->q->needs_state = SPAN("input (item_reference)");
		return true;
	}
	if (type.n > 0)
		return read_native(b, item);
	return read_wrong("input", "made of items with a type or a role", b->err);
}

static bool read_input(struct body *b, yyjson_val *input)
{
	size_t i, max;
	yyjson_val *item;

	if (yyjson_is_str(input))
		return begin_turn(b, LLM_ROLE_USER) && read_content(b, b->end, input);
	if (!yyjson_is_arr(input)) {
		if (b->q->needs_state.n > 0 && input == NULL)
			return true;
		return read_wrong("input", "a string or a list of items", b->err);
	}
	yyjson_arr_foreach(input, i, max, item) if (!read_item(b, item)) return false;
	return true;
}

static bool read_instructions(struct body *b, yyjson_val *v)
{
	struct llm_block *block;
	size_t i, max;
	yyjson_val *item;

	if (v == NULL || yyjson_is_null(v))
		return true;
	if (yyjson_is_arr(v)) {
		yyjson_arr_foreach(v, i, max, item) if (!read_item(b, item)) return false;
		return true;
	}
	if (!yyjson_is_str(v))
		return read_wrong("instructions", "a string", b->err);
	block = add_to(b, LLM_ROLE_SYSTEM, LLM_BLOCK_TEXT);
	if (block == NULL)
		return false;
	block->text = text_of(v);
	return true;
}

/* ---- tools ---- */

static bool read_function(struct body *b, yyjson_val *v)
{
	struct llm_tool *tool = llm_add_tool(b->a, b->q, LLM_TOOL_FUNCTION);

	if (tool == NULL)
		return no_memory(b->err);
	tool->cache = read_cache_control(v);
	if (!read_str(json_get(v, "name"), "tools", &tool->name, b->err) ||
		!read_str(json_get(v, "description"), "tools", &tool->description, b->err) ||
		!read_object(json_get(v, "parameters"), "tools", &tool->schema, b->err) ||
		!read_maybe(json_get(v, "strict"), "tools", &tool->strict, b->err))
		return false;
	return tool->name.n > 0 ||
	       read_wrong("tools", "a list of functions with their names", b->err);
}

static bool read_search(struct body *b, yyjson_val *v)
{
	struct llm_tool *tool = llm_add_tool(b->a, b->q, LLM_TOOL_SEARCH);
	yyjson_val *filters = json_get(v, "filters");

	if (tool == NULL)
		return no_memory(b->err);
	tool->name = SPAN("web_search");
	tool->native_op = LLM_OP_RESPONSES;
	tool->native = v;
	tool->context_size = text_in(v, "search_context_size");
	tool->allowed_domains = json_get(filters, "allowed_domains");
	tool->blocked_domains = json_get(filters, "blocked_domains");
	return read_int(json_get(v, "max_uses"), "tools", &tool->max_uses, b->err) &&
	       read_object(json_get(v, "user_location"), "tools", &tool->user_location, b->err);
}

static bool read_tool(struct body *b, yyjson_val *v)
{
	struct span type = text_in(v, "type");
	struct llm_tool *tool;

	if (span_is(type, "function"))
		return read_function(b, v);
	if (span_starts(type, SPAN("web_search")))
		return read_search(b, v);
	tool = llm_add_tool(
		b->a, b->q, span_is(type, "custom") ? LLM_TOOL_CUSTOM : LLM_TOOL_NATIVE);
	if (tool == NULL)
		return no_memory(b->err);
	if (tool->kind == LLM_TOOL_CUSTOM) {
		tool->name = text_in(v, "name");
		tool->description = text_in(v, "description");
		tool->format = json_get(v, "format");
		return tool->name.n > 0 ||
		       read_wrong("tools", "a list of tools with their names", b->err);
	}
	if (type.n == 0)
		return read_wrong("tools", "a list of tools with their type", b->err);
	tool->native_op = LLM_OP_RESPONSES;
	tool->native_type = type;
	tool->native = v;
	return true;
}

static bool read_choice(struct body *b, yyjson_val *v)
{
	struct span word = text_of(v), type = text_in(v, "type"), name = text_in(v, "name");
	struct llm_request *q = b->q;
	size_t i, max;
	yyjson_val *tool;

	if (v == NULL || yyjson_is_null(v))
		return true;
	if (span_is(type, "allowed_tools")) {
		q->choice = span_is(text_in(v, "mode"), "required") ? LLM_CHOICE_ALLOWED_ONE
								    : LLM_CHOICE_ALLOWED;
		yyjson_arr_foreach(json_get(v, "tools"), i, max, tool)
			llm_add_name(b->a, &q->choice_names, text_in(tool, "name"));
		return true;
	}
	if (span_is(word, "auto") || span_is(type, "auto"))
		q->choice = LLM_CHOICE_AUTO;
	else if (span_is(word, "none") || span_is(type, "none"))
		q->choice = LLM_CHOICE_NONE;
	else if (span_is(word, "required") || span_is(type, "required"))
		q->choice = LLM_CHOICE_REQUIRED;
	else if (name.n > 0 || span_starts(type, SPAN("web_search")))
		q->choice = LLM_CHOICE_NAMED;
	else
		return read_wrong("tool_choice",
			"auto, none, required, allowed_tools or the name of a tool", b->err);
	if (q->choice == LLM_CHOICE_NAMED)
		llm_add_name(b->a, &q->choice_names, name.n > 0 ? name : SPAN("web_search"));
	return true;
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

/* ---- the rest ---- */

static bool read_format(struct body *b, yyjson_val *v)
{
	struct llm_format *f = &b->q->format;
	struct span type = text_in(v, "type");

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
	if (!span_is(type, "json_schema"))
		return read_wrong(
			"text.format", "of type text, json_object or json_schema", b->err);
	f->kind = LLM_FORMAT_SCHEMA;
	f->name = text_in(v, "name");
	f->description = text_in(v, "description");
	return read_object(json_get(v, "schema"), "text.format.schema", &f->schema, b->err) &&
	       llm_schema_fits(f->schema, "text.format.schema", b->err) &&
	       read_maybe(json_get(v, "strict"), "text.format.strict", &f->strict, b->err);
}

static bool read_thinking(struct body *b, yyjson_val *reasoning)
{
	yyjson_val *effort = json_get(reasoning, "effort");
	struct span word = yyjson_is_raw(effort) ? json_number(effort) : text_of(effort);

	if (effort != NULL && !yyjson_is_null(effort) && !llm_effort_read(word, &b->q->reasoning))
		return read_wrong("reasoning.effort",
			"none, minimal, low, medium, high, xhigh, max or a number of tokens",
			b->err);
	b->q->reasoning.summary = text_in(reasoning, "summary");
	if (b->q->reasoning.summary.n == 0)
		b->q->reasoning.summary = text_in(reasoning, "generate_summary");
	return true;
}

/* What needs a provider that remembers. */
static void read_state(struct body *b, yyjson_val *root)
{
	static const char *const keys[] = {"previous_response_id", "conversation", "prompt", NULL};

	for (const char *const *key = keys; *key != NULL; key++) {
		yyjson_val *v = json_get(root, *key);

		if (v != NULL && !yyjson_is_null(v) && b->q->needs_state.n == 0)
			b->q->needs_state = span_of(*key);
	}
	if (b->q->needs_state.n == 0 && yyjson_is_true(json_get(root, "background")))
		b->q->needs_state = SPAN("background");
}

static bool includes(yyjson_val *list, const char *wanted)
{
	size_t i, n;
	yyjson_val *v;

	yyjson_arr_foreach(list, i, n, v) if (yyjson_equals_str(v, wanted)) return true;
	return false;
}

static bool read_scalars(struct body *b, yyjson_val *root)
{
	struct llm_request *q = b->q;
	yyjson_val *text = json_get(root, "text");
	const struct {
		const char *key;
		struct span *out;
	} words[] = {{"model", &q->model}, {"safety_identifier", &q->user}, {"user", &q->user},
		{"service_tier", &q->service_tier}, {"prompt_cache_key", &q->prompt_cache_key},
		{"prompt_cache_retention", &q->prompt_cache_retention}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!read_str(json_get(root, words[i].key), words[i].key, words[i].out, b->err))
			return false;
	if (!read_str(json_get(text, "verbosity"), "text.verbosity", &q->verbosity, b->err) ||
		!read_number(
			json_get(root, "temperature"), "temperature", &q->temperature, b->err) ||
		!read_number(json_get(root, "top_p"), "top_p", &q->top_p, b->err) ||
		!read_int(json_get(root, "max_output_tokens"), "max_output_tokens", &q->max_output,
			b->err) ||
		!read_int(
			json_get(root, "top_logprobs"), "top_logprobs", &q->top_logprobs, b->err) ||
		!read_bool(json_get(root, "stream"), "stream", &q->stream, b->err) ||
		!read_maybe(json_get(root, "parallel_tool_calls"), "parallel_tool_calls",
			&q->parallel, b->err) ||
		!read_maybe(json_get(root, "store"), "store", &q->store, b->err) ||
		!read_object(json_get(root, "metadata"), "metadata", &q->metadata, b->err))
		return false;
	if (q->max_output <= 0)
		q->max_output = -1;
	if (q->top_logprobs > 0 ||
		includes(json_get(root, "include"), "message.output_text.logprobs"))
		q->logprobs = LLM_YES;
	q->wants_usage = true;
	return read_format(b, json_get(text, "format"));
}

/* Members that nothing above reads. `include` and `truncation` ask for nothing that is lost. */
static void note_unknown(struct body *b, yyjson_val *root)
{
	static const char *const known[] = {"model", "input", "instructions", "max_output_tokens",
		"tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "stream",
		"stream_options", "store", "previous_response_id", "conversation", "include",
		"background", "truncation", "temperature", "top_p", "top_logprobs", "metadata",
		"user", "safety_identifier", "prompt", "prompt_cache_key", "prompt_cache_retention",
		"service_tier", "requesty", NULL};
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

bool responses_read_request(
	yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err)
{
	struct body b = {.a = a, .q = q, .err = err};

	q->echo = root;
	read_state(&b, root);
	if (!read_scalars(&b, root) || !read_thinking(&b, json_get(root, "reasoning")) ||
		!read_instructions(&b, json_get(root, "instructions")) ||
		!read_input(&b, json_get(root, "input")) ||
		!read_tools(&b, json_get(root, "tools")) ||
		!read_choice(&b, json_get(root, "tool_choice")))
		return false;
	note_unknown(&b, root);
	return !a->failed || no_memory(err);
}
