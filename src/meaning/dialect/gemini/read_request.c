/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body of this format as a request. Gateways' clients do not send it: it is here so that what the
 * writer makes can be read again, and checked.
 */
#include "meaning/dialect/gemini/gemini.h"
#include "machine/base/text.h"
#include "meaning/llm/reasoning.h"

struct reader {
	struct arena *a;
	struct llm_request *q;
	struct err *err;
	struct span last_names[FLOW_MAX_CALLS], last_ids[FLOW_MAX_CALLS];
	int n_last, n_made;
};

static bool bad(struct reader *r, const char *param, const char *wanted)
{
	err_param(r->err, param);
	return err_set(r->err, ERR_BAD_REQUEST, "'%s' must be %s", param, wanted);
}

static struct span text_of(yyjson_val *v)
{
	return yyjson_is_str(v) ? (struct span){yyjson_get_str(v), yyjson_get_len(v)}
				: (struct span){NULL, 0};
}

/* The value as JSON text in the arena. */
static struct span json_of(struct reader *r, yyjson_val *v)
{
	struct span out = {NULL, 0};
	struct buf b;

	buf_init(&b, 64u << 20);
	if (json_write(&b, v))
		out = arena_copy(r->a, buf_span(&b));
	else
		r->a->failed = true;
	buf_done(&b);
	return out;
}

/* ---- parts ---- */

static void read_media(yyjson_val *data, bool is_file, struct llm_media *m)
{
	gemini_get_str(data, "mimeType", "mime_type", &m->mime);
	m->from = is_file ? LLM_FROM_URL : LLM_FROM_BASE64;
	if (is_file)
		gemini_get_str(data, "fileUri", "file_uri", &m->data);
	else
		json_get_str(data, "data", &m->data);
	m->kind = LLM_MEDIA_DOCUMENT;
	if (span_starts_nocase(m->mime, SPAN("image/")))
		m->kind = LLM_MEDIA_IMAGE;
	else if (span_starts_nocase(m->mime, SPAN("audio/")))
		m->kind = LLM_MEDIA_AUDIO;
	else if (span_starts_nocase(m->mime, SPAN("video/")))
		m->kind = LLM_MEDIA_VIDEO;
}

static yyjson_val *media_of(yyjson_val *part, bool *is_file)
{
	yyjson_val *v = gemini_get(part, "inlineData", "inline_data");

	*is_file = v == NULL;
	return v != NULL ? v : gemini_get(part, "fileData", "file_data");
}

static struct llm_block *add(struct reader *r, struct llm_turn *t, enum llm_block_kind kind)
{
	return llm_add_block(r->a, &t->blocks, kind);
}

static bool read_call(struct reader *r, struct llm_turn *t, yyjson_val *v, struct llm_state state)
{
	struct llm_block *b = add(r, t, LLM_BLOCK_TOOL_CALL);
	yyjson_val *args = json_get(v, "args");

	if (b == NULL)
		return false;
	b->state = state;
	if (!json_get_str(v, "name", &b->name) || b->name.n == 0)
		return bad(r, "contents.parts.functionCall.name", "a string");
	/* Ids are optional: then results follow in the calls' order. */
	if (!json_get_str(v, "id", &b->id))
		b->id = arena_printf(r->a, "call_%d", ++r->n_made);
	b->args = yyjson_is_obj(args) ? json_of(r, args) : SPAN("{}");
	if (r->n_last == FLOW_MAX_CALLS)
		return bad(r, "contents.parts", "at most 128 calls a turn");
	r->last_names[r->n_last] = b->name;
	r->last_ids[r->n_last++] = b->id;
	return true;
}

/* The id of the oldest call of that name that has no result yet. */
static struct span take_id(struct reader *r, struct span name)
{
	for (int i = 0; i < r->n_last; i++) {
		struct span id = r->last_ids[i];

		if (id.n == 0 || !span_eq(r->last_names[i], name))
			continue;
		r->last_ids[i].n = 0;
		return id;
	}
	return arena_printf(r->a, "call_%d", ++r->n_made);
}

/* An object with that one member alone, a text. */
static bool is_only(yyjson_val *object, const char *key, struct span *out)
{
	return yyjson_obj_size(object) == 1 && json_get_str(object, key, out);
}

static bool read_result(struct reader *r, struct llm_turn *t, yyjson_val *v)
{
	struct llm_block *b = add(r, t, LLM_BLOCK_TOOL_RESULT), *text;
	yyjson_val *response = json_get(v, "response"), *part;
	size_t i, max;

	if (b == NULL)
		return false;
	json_get_str(v, "name", &b->name);
	if (!json_get_str(v, "id", &b->id))
		b->id = take_id(r, b->name);
	text = llm_add_block(r->a, &b->content, LLM_BLOCK_TEXT);
	if (text == NULL)
		return false;
	b->is_error = is_only(response, "error", &text->text);
	if (!b->is_error && !is_only(response, "result", &text->text))
		text->text = response != NULL ? json_of(r, response) : SPAN("{}");
	yyjson_arr_foreach(json_get(v, "parts"), i, max, part)
	{
		struct llm_block *c = llm_add_block(r->a, &b->content, LLM_BLOCK_MEDIA);
		bool is_file = false;
		yyjson_val *data = media_of(part, &is_file);

		if (c == NULL)
			return false;
		read_media(data, is_file, &c->media);
	}
	return true;
}

static bool read_text(
	struct reader *r, struct llm_turn *t, yyjson_val *part, struct llm_state state)
{
	struct span text = {NULL, 0};
	bool thought = false;
	struct llm_block *b;

	if (!json_get_str(part, "text", &text)) {
		b = add(r, t, LLM_BLOCK_NATIVE);
		if (b == NULL)
			return false;
		b->native_op = LLM_OP_GENERATE;
		b->native = part;
		return true;
	}
	json_get_bool(part, "thought", &thought);
	/* A signature on nothing is reasoning of which nothing can be read. */
	b = add(r, t,
		thought || (text.n == 0 && state.maker != LLM_MAKER_NONE) ? LLM_BLOCK_THINKING
									  : LLM_BLOCK_TEXT);
	if (b == NULL)
		return false;
	b->text = text;
	b->state = state;
	return true;
}

static bool read_part(struct reader *r, struct llm_turn *t, yyjson_val *part)
{
	struct span signature = {NULL, 0};
	struct llm_state state = {.maker = LLM_MAKER_NONE};
	struct llm_block *b;
	bool is_file = false;
	yyjson_val *v;

	if (!yyjson_is_obj(part))
		return bad(r, "contents.parts", "a list of objects");
	if (gemini_get_str(part, "thoughtSignature", "thought_signature", &signature))
		llm_state_read(signature, LLM_MAKER_GEMINI, &state);
	v = gemini_get(part, "functionCall", "function_call");
	if (v != NULL)
		return read_call(r, t, v, state);
	v = gemini_get(part, "functionResponse", "function_response");
	if (v != NULL)
		return read_result(r, t, v);
	v = media_of(part, &is_file);
	if (v == NULL)
		return read_text(r, t, part, state);
	b = add(r, t, LLM_BLOCK_MEDIA);
	if (b == NULL)
		return false;
	b->state = state;
	read_media(v, is_file, &b->media);
	return true;
}

static bool read_turn(struct reader *r, yyjson_val *content, enum llm_role role)
{
	struct llm_turn *t = llm_add_turn(r->a, r->q, role);
	yyjson_val *parts = json_get(content, "parts"), *part;
	size_t i, max;

	if (t == NULL)
		return false;
	if (yyjson_is_obj(parts))
		return read_part(r, t, parts);
	if (role == LLM_ROLE_ASSISTANT)
		r->n_last = 0;
	yyjson_arr_foreach(parts, i, max, part)
	{
		if (!read_part(r, t, part))
			return false;
	}
	return true;
}

static bool read_contents(struct reader *r, yyjson_val *root)
{
	yyjson_val *system = gemini_get(root, "systemInstruction", "system_instruction");
	yyjson_val *contents = json_get(root, "contents"), *item;
	size_t i, max;

	if (system != NULL && !read_turn(r, system, LLM_ROLE_SYSTEM))
		return false;
	if (yyjson_is_obj(contents))
		return read_turn(r, contents, LLM_ROLE_USER);
	if (yyjson_arr_size(contents) == 0)
		return bad(r, "contents", "a list with at least one content");
	yyjson_arr_foreach(contents, i, max, item)
	{
		struct span role = {NULL, 0};

		json_get_str(item, "role", &role);
		if (!read_turn(
			    r, item, span_is(role, "model") ? LLM_ROLE_ASSISTANT : LLM_ROLE_USER))
			return false;
	}
	return true;
}

/* ---- tools ---- */

static bool read_function(struct reader *r, yyjson_val *v)
{
	struct llm_tool *t = llm_add_tool(r->a, r->q, LLM_TOOL_FUNCTION);

	if (t == NULL)
		return false;
	if (!json_get_str(v, "name", &t->name) || t->name.n == 0)
		return bad(r, "tools.functionDeclarations.name", "a string");
	json_get_str(v, "description", &t->description);
	t->schema = gemini_get(v, "parametersJsonSchema", "parameters_json_schema");
	if (t->schema == NULL)
		t->schema = json_get(v, "parameters");
	t->strict = LLM_UNSET;
	t->max_uses = -1;
	return true;
}

static bool read_tool(struct reader *r, yyjson_val *v)
{
	yyjson_val *list = gemini_get(v, "functionDeclarations", "function_declarations"), *item;
	yyjson_val *search = gemini_get(v, "googleSearch", "google_search");
	struct llm_tool *t;
	size_t i, max;

	if (!yyjson_is_obj(v))
		return bad(r, "tools", "a list of objects");
	yyjson_arr_foreach(list, i, max, item)
	{
		if (!read_function(r, item))
			return false;
	}
	if (list != NULL)
		return true;
	t = llm_add_tool(r->a, r->q, search != NULL ? LLM_TOOL_SEARCH : LLM_TOOL_NATIVE);
	if (t == NULL)
		return false;
	t->strict = LLM_UNSET;
	t->max_uses = -1;
	t->native_op = LLM_OP_GENERATE;
	t->native = v;
	return true;
}

static bool read_choice(struct reader *r, yyjson_val *root)
{
	yyjson_val *config = gemini_get(gemini_get(root, "toolConfig", "tool_config"),
		"functionCallingConfig", "function_calling_config");
	yyjson_val *names = gemini_get(config, "allowedFunctionNames", "allowed_function_names");
	struct span mode = {NULL, 0};
	yyjson_val *item;
	size_t i, max;

	json_get_str(config, "mode", &mode);
	yyjson_arr_foreach(names, i, max, item)
	{
		if (llm_add_name(r->a, &r->q->choice_names, text_of(item)) == NULL)
			return false;
	}
	if (span_is(mode, "AUTO"))
		r->q->choice = LLM_CHOICE_AUTO;
	else if (span_is(mode, "NONE"))
		r->q->choice = LLM_CHOICE_NONE;
	else if (span_is(mode, "VALIDATED"))
		r->q->choice = LLM_CHOICE_ALLOWED;
	else if (span_is(mode, "ANY"))
		r->q->choice = yyjson_arr_size(names) == 1  ? LLM_CHOICE_NAMED
			       : yyjson_arr_size(names) > 1 ? LLM_CHOICE_ALLOWED_ONE
							    : LLM_CHOICE_REQUIRED;
	return true;
}

static bool read_tools(struct reader *r, yyjson_val *root)
{
	yyjson_val *tools = json_get(root, "tools"), *item;
	size_t i, max;

	if (yyjson_is_obj(tools) && !read_tool(r, tools))
		return false;
	yyjson_arr_foreach(tools, i, max, item)
	{
		if (!read_tool(r, item))
			return false;
	}
	return read_choice(r, root);
}

/* ---- settings ---- */

static void read_thinking(struct reader *r, yyjson_val *config)
{
	yyjson_val *v = gemini_get(config, "thinkingConfig", "thinking_config");
	struct llm_reasoning *out = &r->q->reasoning;
	struct span level = {NULL, 0};
	char word[16];
	bool show;
	int64_t n;

	if (gemini_get_str(v, "thinkingLevel", "thinking_level", &level) &&
		level.n < sizeof(word)) {
		for (size_t i = 0; i < level.n; i++)
			word[i] = (char)(level.p[i] | 0x20);
		llm_effort_read((struct span){word, level.n}, out);
	}
	if (json_int(gemini_get(v, "thinkingBudget", "thinking_budget"), &n)) {
		out->thinking = n == 0  ? LLM_THINKING_OFF
				: n < 0 ? LLM_THINKING_ADAPTIVE
					: LLM_THINKING_ON;
		out->budget = n > 0 ? n : -1;
	}
	if (json_get_bool(v, "includeThoughts", &show) ||
		json_get_bool(v, "include_thoughts", &show))
		out->show = show ? LLM_YES : LLM_NO;
}

static void read_format(struct reader *r, yyjson_val *config)
{
	struct llm_format *f = &r->q->format;
	struct span mime = {NULL, 0};

	gemini_get_str(config, "responseMimeType", "response_mime_type", &mime);
	f->schema = gemini_get(config, "responseJsonSchema", "response_json_schema");
	if (f->schema == NULL)
		f->schema = gemini_get(config, "responseSchema", "response_schema");
	if (f->schema != NULL)
		f->kind = LLM_FORMAT_SCHEMA;
	else if (span_is(mime, "application/json"))
		f->kind = LLM_FORMAT_OBJECT;
}

static struct span number(yyjson_val *config, const char *camel, const char *snake)
{
	return json_number(gemini_get(config, camel, snake));
}

static bool read_config(struct reader *r, yyjson_val *config)
{
	struct llm_request *q = r->q;
	yyjson_val *item;
	size_t i, max;
	int64_t n;

	q->temperature = number(config, "temperature", NULL);
	q->top_p = number(config, "topP", "top_p");
	q->top_k = number(config, "topK", "top_k");
	q->presence_penalty = number(config, "presencePenalty", "presence_penalty");
	q->frequency_penalty = number(config, "frequencyPenalty", "frequency_penalty");
	q->seed = number(config, "seed", NULL);
	if (json_int(gemini_get(config, "maxOutputTokens", "max_output_tokens"), &n) && n >= 0)
		q->max_output = n;
	if (json_int(gemini_get(config, "candidateCount", "candidate_count"), &n) && n > 0)
		q->n = n;
	yyjson_arr_foreach(gemini_get(config, "stopSequences", "stop_sequences"), i, max, item)
	{
		if (llm_add_name(r->a, &q->stops, text_of(item)) == NULL)
			return false;
	}
	read_format(r, config);
	read_thinking(r, config);
	return true;
}

bool gemini_read_request(yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err)
{
	struct reader r = {.a = a, .q = q, .err = err};

	if (!yyjson_is_obj(root))
		return err_set(err, ERR_BAD_REQUEST, "The body must be a JSON object");
	if (!read_contents(&r, root) || !read_tools(&r, root) ||
		!read_config(&r, gemini_get(root, "generationConfig", "generation_config")))
		return a->failed ? err_set(err, ERR_NO_MEMORY, NULL) : false;
	gemini_get_str(root, "serviceTier", "service_tier", &q->service_tier);
	q->metadata = json_get(root, "labels");
	q->stream = true;
	return !a->failed || err_set(err, ERR_NO_MEMORY, NULL);
}
