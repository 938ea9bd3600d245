/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/ask.h"
#include <stdarg.h>
#include <stdio.h>
#include "machine/base/text.h"
#include "sim/answer.h"

#define MAX_NESTING 4
#define DEFAULT_DIMENSIONS 1536

void fail_set(
	struct fail *f, int status, const char *code, const char *param, const char *format, ...)
{
	va_list args;

	if (f->status != 0)
		return;
	f->status = status;
	f->code = code;
	f->param = param;
	va_start(args, format);
	vsnprintf(f->message, sizeof(f->message), format, args);
	va_end(args);
}

static struct span str(yyjson_val *v)
{
	return span_from(yyjson_get_str(v), yyjson_get_len(v));
}

static void take_text(struct ask *a, yyjson_val *v)
{
	struct span s = str(v);

	a->seed = answer_hash(a->seed, s);
	a->prompt_bytes += (int64_t)s.n;
}

/* A string, or parts with a text; a tool's result has such content inside. */
static void take_content(struct ask *a, yyjson_val *content, int nesting)
{
	yyjson_arr_iter it;
	yyjson_val *part, *v;

	if (yyjson_is_str(content)) {
		take_text(a, content);
		return;
	}
	if (!yyjson_is_arr(content) || nesting > MAX_NESTING)
		return;
	yyjson_arr_iter_init(content, &it);
	while ((part = yyjson_arr_iter_next(&it)) != NULL) {
		if (yyjson_is_str(part)) {
			take_text(a, part);
			continue;
		}
		v = yyjson_obj_get(part, "text");
		if (yyjson_is_str(v))
			take_text(a, v);
		v = yyjson_obj_get(part, "content");
		if (v != NULL)
			take_content(a, v, nesting + 1);
		if (yyjson_equals_str(yyjson_obj_get(part, "type"), "tool_result"))
			a->after_tool = true;
	}
}

static void take_messages(struct ask *a, yyjson_val *messages)
{
	yyjson_arr_iter it;
	yyjson_val *m;

	yyjson_arr_iter_init(messages, &it);
	while ((m = yyjson_arr_iter_next(&it)) != NULL) {
		yyjson_val *role = yyjson_obj_get(m, "role"),
			   *content = yyjson_obj_get(m, "content");

		if (!yyjson_is_obj(m) || !yyjson_is_str(role)) {
			fail_set(&a->fail, 400, "invalid_value", "messages",
				"Invalid 'messages': each one is an object with a role and "
				"content.");
			return;
		}
		a->after_tool = yyjson_equals_str(role, "tool");
		take_content(a, content, 0);
		if (yyjson_equals_str(role, "user"))
			a->last_user = content;
	}
}

static void set_model(struct ask *a, struct span model)
{
	a->asked_model = model;
	a->model = script_split(model, &a->script_text);
	a->seed = answer_hash(a->seed, a->model);
}

static void read_model(struct ask *a, yyjson_val *root, const char *missing)
{
	yyjson_val *v = yyjson_obj_get(root, "model");

	if (!yyjson_is_str(v) || yyjson_get_len(v) == 0) {
		fail_set(&a->fail, 400, NULL, "model", "%s", missing);
		return;
	}
	set_model(a, str(v));
}

static void read_max(struct ask *a, yyjson_val *root, const char *name)
{
	yyjson_val *v = yyjson_obj_get(root, name);

	if (yyjson_is_uint(v) && yyjson_get_uint(v) < INT64_MAX / 8)
		a->max_tokens = (int64_t)yyjson_get_uint(v);
}

static void read_stream(struct ask *a, yyjson_val *root)
{
	yyjson_val *v = yyjson_obj_get(root, "stream");

	if (v != NULL && !yyjson_is_bool(v) && !yyjson_is_null(v))
		fail_set(&a->fail, 400, "invalid_type", "stream",
			"Invalid type for 'stream': expected a boolean.");
	a->stream = yyjson_get_bool(v);
}

static void read_tools(struct ask *a, yyjson_val *root)
{
	yyjson_val *v = yyjson_obj_get(root, "tools"),
		   *choice = yyjson_obj_get(root, "tool_choice");
	yyjson_val *type = yyjson_obj_get(choice, "type"), *name;

	if (yyjson_is_arr(v) && yyjson_arr_size(v) > 0)
		a->tools = v;
	/* OpenAI, and Cohere in capitals: a word, or {"function": {"name"}}; Anthropic: {"type",
	 * "name"}. */
	if (yyjson_equals_str(choice, "none") || yyjson_equals_str(choice, "NONE") ||
		yyjson_equals_str(type, "none"))
		a->tool_none = true;
	if (yyjson_equals_str(choice, "required") || yyjson_equals_str(choice, "REQUIRED") ||
		yyjson_equals_str(type, "any"))
		a->tool_forced = true;
	name = yyjson_obj_get(yyjson_obj_get(choice, "function"), "name");
	if (name == NULL && yyjson_equals_str(type, "tool"))
		name = yyjson_obj_get(choice, "name");
	if (yyjson_is_str(name)) {
		a->tool_forced = true;
		a->tool_name = str(name);
	}
}

static void read_chat(struct ask *a, yyjson_val *root)
{
	yyjson_val *messages = yyjson_obj_get(root, "messages"), *v;

	read_model(a, root, "you must provide a model parameter");
	if (!yyjson_is_arr(messages) || yyjson_arr_size(messages) == 0)
		fail_set(&a->fail, 400, "missing_required_parameter", "messages",
			"Missing required parameter: 'messages'.");
	else
		take_messages(a, messages);
	read_max(a, root, "max_tokens");
	read_max(a, root, "max_completion_tokens");
	read_stream(a, root);
	v = yyjson_obj_get(root, "stream_options");
	a->include_usage = yyjson_get_bool(yyjson_obj_get(v, "include_usage"));
	if (yyjson_is_obj(v) && !a->stream)
		fail_set(&a->fail, 400, NULL, "stream_options",
			"The 'stream_options' parameter is only allowed when 'stream' is enabled.");
	read_tools(a, root);
	v = yyjson_obj_get(root, "response_format");
	a->schema = yyjson_obj_get(yyjson_obj_get(v, "json_schema"), "schema");
}

static void read_cohere(struct ask *a, yyjson_val *root)
{
	yyjson_val *messages = yyjson_obj_get(root, "messages"), *v;

	read_model(a, root, "model is required");
	if (!yyjson_is_arr(messages) || yyjson_arr_size(messages) == 0)
		fail_set(&a->fail, 400, NULL, NULL,
			"invalid request: at least one message must be specified.");
	else
		take_messages(a, messages);
	read_max(a, root, "max_tokens");
	read_stream(a, root);
	read_tools(a, root);
	v = yyjson_obj_get(yyjson_obj_get(root, "thinking"), "type");
	a->thinking = yyjson_equals_str(v, "enabled");
	a->schema = yyjson_obj_get(yyjson_obj_get(root, "response_format"), "json_schema");
	if (a->schema != NULL && a->tools != NULL)
		fail_set(&a->fail, 400, NULL, NULL,
			"invalid request: cannot specify both response_format and tools.");
}

static void read_messages(struct ask *a, yyjson_val *root)
{
	yyjson_val *messages = yyjson_obj_get(root, "messages"), *v;

	read_model(a, root, "model: Field required");
	if (a->op == OP_MESSAGES) {
		read_max(a, root, "max_tokens");
		if (yyjson_obj_get(root, "max_tokens") == NULL)
			fail_set(&a->fail, 400, NULL, NULL, "max_tokens: Field required");
		else if (a->max_tokens < 1)
			fail_set(&a->fail, 400, NULL, NULL,
				"max_tokens: Input should be greater than or equal to 1");
	}
	take_content(a, yyjson_obj_get(root, "system"), 0);
	if (!yyjson_is_arr(messages))
		fail_set(&a->fail, 400, NULL, NULL, "messages: Field required");
	else if (yyjson_arr_size(messages) == 0)
		fail_set(&a->fail, 400, NULL, NULL, "messages: at least one message is required");
	else
		take_messages(a, messages);
	if (a->op == OP_MESSAGES)
		read_stream(a, root);
	v = yyjson_obj_get(yyjson_obj_get(root, "thinking"), "type");
	a->thinking = yyjson_equals_str(v, "enabled") || yyjson_equals_str(v, "adaptive");
	read_tools(a, root);
	v = yyjson_obj_get(yyjson_obj_get(root, "output_config"), "format");
	a->schema = yyjson_obj_get(v, "schema");
}

/* ---- Responses ---- */

static void take_input(struct ask *a, yyjson_val *input)
{
	yyjson_arr_iter it;
	yyjson_val *item;

	if (yyjson_is_str(input)) {
		take_text(a, input);
		a->last_user = input;
		return;
	}
	yyjson_arr_iter_init(input, &it);
	while ((item = yyjson_arr_iter_next(&it)) != NULL) {
		yyjson_val *role = yyjson_obj_get(item, "role"),
			   *type = yyjson_obj_get(item, "type"),
			   *content = yyjson_obj_get(item, "content");

		if (!yyjson_is_obj(item) || (role == NULL && type == NULL)) {
			fail_set(&a->fail, 400, "invalid_value", "input",
				"Invalid 'input': each item is an object with a role or a type.");
			return;
		}
		a->after_tool = yyjson_equals_str(type, "function_call_output");
		take_content(a, a->after_tool ? yyjson_obj_get(item, "output") : content, 0);
		if (yyjson_equals_str(role, "user"))
			a->last_user = content;
	}
}

static void read_responses(struct ask *a, yyjson_val *root)
{
	yyjson_val *input = yyjson_obj_get(root, "input"), *choice, *effort;

	read_model(a, root, "you must provide a model parameter");
	if (yyjson_is_str(yyjson_obj_get(root, "instructions")))
		take_text(a, yyjson_obj_get(root, "instructions"));
	if (!yyjson_is_str(input) && !yyjson_is_arr(input))
		fail_set(&a->fail, 400, "missing_required_parameter", "input",
			"Missing required parameter: 'input'.");
	else
		take_input(a, input);
	read_max(a, root, "max_output_tokens");
	read_stream(a, root);
	read_tools(a, root);
	choice = yyjson_obj_get(root, "tool_choice");
	if (yyjson_equals_str(yyjson_obj_get(choice, "type"), "function") &&
		yyjson_is_str(yyjson_obj_get(choice, "name"))) {
		a->tool_forced = true;
		a->tool_name = str(yyjson_obj_get(choice, "name"));
	}
	a->schema =
		yyjson_obj_get(yyjson_obj_get(yyjson_obj_get(root, "text"), "format"), "schema");
	effort = yyjson_obj_get(yyjson_obj_get(root, "reasoning"), "effort");
	a->thinking = yyjson_is_str(effort) && !yyjson_equals_str(effort, "none");
}

/* ---- Gemini ---- */

static yyjson_val *either(yyjson_val *object, const char *camel, const char *snake)
{
	yyjson_val *v = yyjson_obj_get(object, camel);

	return v != NULL ? v : yyjson_obj_get(object, snake);
}

static void take_contents(struct ask *a, yyjson_val *contents)
{
	yyjson_arr_iter it, parts;
	yyjson_val *c, *p;

	yyjson_arr_iter_init(contents, &it);
	while ((c = yyjson_arr_iter_next(&it)) != NULL) {
		yyjson_val *list = yyjson_obj_get(c, "parts");
		bool model = yyjson_equals_str(yyjson_obj_get(c, "role"), "model");

		a->after_tool = false;
		take_content(a, list, 0);
		yyjson_arr_iter_init(list, &parts);
		while ((p = yyjson_arr_iter_next(&parts)) != NULL)
			a->after_tool |= either(p, "functionResponse", "function_response") != NULL;
		if (!model && !a->after_tool)
			a->last_user = list;
	}
}

static void read_function_calling(struct ask *a, yyjson_val *root)
{
	yyjson_val *config = either(either(root, "toolConfig", "tool_config"),
		"functionCallingConfig", "function_calling_config");
	yyjson_val *mode = yyjson_obj_get(config, "mode");
	yyjson_val *names = either(config, "allowedFunctionNames", "allowed_function_names");
	yyjson_val *tools = yyjson_obj_get(root, "tools"), *tool;
	yyjson_arr_iter it;

	yyjson_arr_iter_init(tools, &it);
	while ((tool = yyjson_arr_iter_next(&it)) != NULL) {
		yyjson_val *list = either(tool, "functionDeclarations", "function_declarations");

		if (yyjson_arr_size(list) > 0)
			a->tools = list;
	}
	a->tool_none = yyjson_equals_str(mode, "NONE");
	a->tool_forced = yyjson_equals_str(mode, "ANY");
	if (yyjson_arr_size(names) == 1 && yyjson_is_str(yyjson_arr_get_first(names)))
		a->tool_name = str(yyjson_arr_get_first(names));
}

static void read_generate(struct ask *a, yyjson_val *root)
{
	yyjson_val *contents = yyjson_obj_get(root, "contents");
	yyjson_val *config = either(root, "generationConfig", "generation_config");
	yyjson_val *thinking = either(config, "thinkingConfig", "thinking_config");

	take_content(a,
		yyjson_obj_get(either(root, "systemInstruction", "system_instruction"), "parts"),
		0);
	if (yyjson_arr_size(contents) == 0)
		fail_set(&a->fail, 400, NULL, NULL,
			"* GenerateContentRequest.contents: contents is not specified");
	else
		take_contents(a, contents);
	read_max(a, config, "maxOutputTokens");
	a->thinking = yyjson_get_bool(either(thinking, "includeThoughts", "include_thoughts"));
	a->schema = either(config, "responseJsonSchema", "response_json_schema");
	if (a->schema == NULL)
		a->schema = either(config, "responseSchema", "response_schema");
	read_function_calling(a, root);
}

/* ---- Converse ---- */

static void take_turns(struct ask *a, yyjson_val *messages)
{
	yyjson_arr_iter it, blocks;
	yyjson_val *m, *b;

	yyjson_arr_iter_init(messages, &it);
	while ((m = yyjson_arr_iter_next(&it)) != NULL) {
		yyjson_val *content = yyjson_obj_get(m, "content");

		if (!yyjson_is_arr(content) || yyjson_arr_size(content) == 0) {
			fail_set(&a->fail, 400, NULL, NULL,
				"The content field in the Message object is empty.");
			return;
		}
		a->after_tool = false;
		take_content(a, content, 0);
		yyjson_arr_iter_init(content, &blocks);
		while ((b = yyjson_arr_iter_next(&blocks)) != NULL) {
			yyjson_val *result = yyjson_obj_get(b, "toolResult");

			a->after_tool |= result != NULL;
			take_content(a, yyjson_obj_get(result, "content"), 1);
		}
		if (yyjson_equals_str(yyjson_obj_get(m, "role"), "user"))
			a->last_user = content;
	}
}

static void read_tool_config(struct ask *a, yyjson_val *config)
{
	yyjson_val *tools = yyjson_obj_get(config, "tools");
	yyjson_val *choice = yyjson_obj_get(config, "toolChoice");
	yyjson_val *name = yyjson_obj_get(yyjson_obj_get(choice, "tool"), "name");

	if (yyjson_arr_size(tools) > 0)
		a->tools = tools;
	a->tool_forced = yyjson_obj_get(choice, "any") != NULL || yyjson_is_str(name);
	if (yyjson_is_str(name))
		a->tool_name = str(name);
}

/* The models' own ways to ask for reasoning. */
static bool asks_reasoning(yyjson_val *more)
{
	yyjson_val *type = yyjson_obj_get(yyjson_obj_get(more, "thinking"), "type");

	return yyjson_equals_str(type, "enabled") || yyjson_equals_str(type, "adaptive") ||
	       yyjson_obj_get(more, "reasoningConfig") != NULL ||
	       yyjson_obj_get(more, "reasoning_effort") != NULL ||
	       yyjson_obj_get(more, "reasoning_config") != NULL;
}

static void read_converse(struct ask *a, yyjson_val *root)
{
	yyjson_val *messages = yyjson_obj_get(root, "messages"), *v;

	take_content(a, yyjson_obj_get(root, "system"), 0);
	if (yyjson_arr_size(messages) == 0)
		fail_set(&a->fail, 400, NULL, NULL,
			"A conversation must start with a user message. Try again with a "
			"conversation that starts with a user message.");
	else
		take_turns(a, messages);
	read_max(a, yyjson_obj_get(root, "inferenceConfig"), "maxTokens");
	read_tool_config(a, yyjson_obj_get(root, "toolConfig"));
	a->thinking = asks_reasoning(yyjson_obj_get(root, "additionalModelRequestFields"));
	v = yyjson_obj_get(yyjson_obj_get(root, "outputConfig"), "textFormat");
	v = yyjson_obj_get(yyjson_obj_get(v, "structure"), "jsonSchema");
	a->schema = yyjson_obj_get(v, "schema");
}

static void read_embed(struct ask *a, yyjson_val *root)
{
	yyjson_val *v;

	read_model(a, root, "you must provide a model parameter");
	a->input = yyjson_obj_get(root, "input");
	if (!yyjson_is_str(a->input) && !(yyjson_is_arr(a->input) && yyjson_arr_size(a->input) > 0))
		fail_set(&a->fail, 400, "missing_required_parameter", "input",
			"Missing required parameter: 'input'.");
	v = yyjson_obj_get(root, "encoding_format");
	a->wants_base64 = yyjson_equals_str(v, "base64");
	if (v != NULL && !a->wants_base64 && !yyjson_equals_str(v, "float"))
		fail_set(&a->fail, 400, "invalid_value", "encoding_format",
			"Invalid value for 'encoding_format': supported are 'float' and 'base64'.");
	v = yyjson_obj_get(root, "dimensions");
	a->dimensions = DEFAULT_DIMENSIONS;
	if (yyjson_is_uint(v) && yyjson_get_uint(v) >= 1 && yyjson_get_uint(v) <= 16384)
		a->dimensions = (unsigned)yyjson_get_uint(v);
	else if (v != NULL && !yyjson_is_null(v))
		fail_set(&a->fail, 400, "invalid_value", "dimensions",
			"Invalid value for 'dimensions': a number from 1 to 16384 is expected.");
}

void ask_read(struct ask *a, enum op op, struct span model, yyjson_val *root, const struct err *why)
{
	*a = (struct ask){.op = op, .max_tokens = -1};
	if (model.n > 0)
		set_model(a, model);
	if (op == OP_MODELS || op == OP_MODEL || op == OP_UNKNOWN)
		return;
	if (!yyjson_is_obj(root)) {
		fail_set(&a->fail, 400, NULL, NULL,
			"We could not parse the JSON body of your request. (%.200s)",
			root == NULL ? why->text : "not an object");
		return;
	}
	if (op == OP_CHAT)
		read_chat(a, root);
	else if (op == OP_EMBED)
		read_embed(a, root);
	else if (op == OP_RESPONSES)
		read_responses(a, root);
	else if (op == OP_GENERATE)
		read_generate(a, root);
	else if (op == OP_CONVERSE)
		read_converse(a, root);
	else if (op == OP_COHERE)
		read_cohere(a, root);
	else
		read_messages(a, root);
}

void ask_user_text(const struct ask *a, struct buf *out)
{
	yyjson_arr_iter it;
	yyjson_val *part, *v;

	if (yyjson_is_str(a->last_user))
		buf_append(out, str(a->last_user));
	if (!yyjson_is_arr(a->last_user))
		return;
	yyjson_arr_iter_init(a->last_user, &it);
	while ((part = yyjson_arr_iter_next(&it)) != NULL) {
		v = yyjson_obj_get(part, "text");
		if (yyjson_is_str(v))
			buf_append(out, str(v));
	}
}

static bool contains(struct span text, struct span word)
{
	for (size_t i = 0; i + word.n <= text.n; i++)
		if (span_eq_nocase(span_head(span_skip(text, i), word.n), word))
			return true;
	return false;
}

/* The user's text speaks of the tool: its name or a longer word of it. */
static bool speaks_of(struct span text, struct span name)
{
	size_t from = 0;

	text = span_head(text, 4096);
	if (name.n > 0 && contains(text, name))
		return true;
	for (size_t i = 0; i <= name.n; i++) {
		if (i < name.n && name.p[i] != '_' && name.p[i] != '-')
			continue;
		if (i - from >= 4 && contains(text, span_from(name.p + from, i - from)))
			return true;
		from = i + 1;
	}
	return false;
}

static struct ask_tool tool_of(yyjson_val *v)
{
	yyjson_val *f = yyjson_obj_get(v, "function"), *name, *schema;

	if (f == NULL)
		f = yyjson_obj_get(v, "toolSpec");
	if (f == NULL)
		f = v;
	name = yyjson_obj_get(f, "name");
	schema = yyjson_obj_get(f, "parameters");
	if (schema == NULL)
		schema = yyjson_obj_get(f, "input_schema");
	if (schema == NULL)
		schema = yyjson_obj_get(f, "parametersJsonSchema");
	if (schema == NULL)
		schema = yyjson_obj_get(yyjson_obj_get(f, "inputSchema"), "json");
	return (struct ask_tool){yyjson_is_str(name) ? str(name) : SPAN("tool"), schema};
}

int ask_tools(const struct ask *a, const struct script *s, struct span user_text,
	struct ask_tool out[ASK_MAX_TOOLS])
{
	int64_t want = script_num(s, OPT_TOOLS, 1);
	yyjson_arr_iter it;
	yyjson_val *v;
	int n = 0, first = -1;
	bool asked = script_has(s, OPT_TOOLS) || a->tool_forced;

	if (a->tools == NULL || a->tool_none || want == 0 || (a->after_tool && !asked))
		return 0;
	yyjson_arr_iter_init(a->tools, &it);
	while ((v = yyjson_arr_iter_next(&it)) != NULL && n < ASK_MAX_TOOLS) {
		if (a->op == OP_CONVERSE && yyjson_obj_get(v, "toolSpec") == NULL)
			continue; /* a mark of the prompt cache, a tool of the system's */
		out[n] = tool_of(v);
		if (a->tool_name.p != NULL ? span_eq(out[n].name, a->tool_name)
					   : first < 0 && speaks_of(user_text, out[n].name))
			first = n;
		n++;
	}
	if (!asked && a->op == OP_MESSAGES && first < 0 &&
		!contains(span_head(user_text, 4096), SPAN("tool")))
		return 0;
	if (first > 0) {
		struct ask_tool t = out[0];

		out[0] = out[first];
		out[first] = t;
	}
	for (int i = n; n > 0 && i < want; i++)
		out[i] = out[i % n];
	return n > 0 ? (int)want : 0;
}

static void write_value(
	yyjson_val *schema, struct span name, uint64_t seed, int nesting, struct buf *out);

static void write_object(yyjson_val *schema, uint64_t seed, int nesting, struct buf *out)
{
	yyjson_val *properties = yyjson_obj_get(schema, "properties"), *key;
	yyjson_obj_iter it;
	int n = 0;

	buf_append_char(out, '{');
	if (yyjson_is_obj(properties) && nesting < MAX_NESTING) {
		yyjson_obj_iter_init(properties, &it);
		while ((key = yyjson_obj_iter_next(&it)) != NULL && n < 16) {
			if (n++ > 0)
				buf_append_char(out, ',');
			text_json_string(out, str(key));
			buf_append_char(out, ':');
			write_value(yyjson_obj_iter_get_val(key), str(key),
				answer_hash(seed, str(key)), nesting + 1, out);
		}
	}
	buf_append_char(out, '}');
}

static void write_value(
	yyjson_val *schema, struct span name, uint64_t seed, int nesting, struct buf *out)
{
	yyjson_val *type = yyjson_obj_get(schema, "type"),
		   *choices = yyjson_obj_get(schema, "enum");
	struct answer_text word;

	if (yyjson_is_arr(type))
		type = yyjson_arr_get_first(type);
	if (yyjson_is_arr(choices) && yyjson_is_str(yyjson_arr_get_first(choices))) {
		text_json_string(out, str(yyjson_arr_get_first(choices)));
	} else if (yyjson_equals_str(type, "integer")) {
		buf_append_u64(out, seed % 100);
	} else if (yyjson_equals_str(type, "number")) {
		buf_append_u64(out, seed % 100);
		buf_append_cstr(out, ".5");
	} else if (yyjson_equals_str(type, "boolean")) {
		buf_append_cstr(out, seed % 2 ? "true" : "false");
	} else if (yyjson_equals_str(type, "array")) {
		buf_append_char(out, '[');
		if (nesting < MAX_NESTING && yyjson_is_obj(yyjson_obj_get(schema, "items")))
			write_value(
				yyjson_obj_get(schema, "items"), name, seed + 1, nesting + 1, out);
		buf_append_char(out, ']');
	} else if (yyjson_equals_str(type, "object")) {
		write_object(schema, seed, nesting, out);
	} else if (yyjson_equals_str(type, "null")) {
		buf_append_cstr(out, "null");
	} else {
		answer_text_words(&word, seed, 2, 1);
		answer_whole(&word, out);
	}
}

void ask_tool_args(const struct ask_tool *t, uint64_t seed, struct buf *out)
{
	write_object(t->schema, seed, 0, out);
}

bool ask_document(const struct ask *a, struct buf *out)
{
	struct err err = {0};
	yyjson_doc *doc;

	if (!yyjson_is_str(a->schema)) {
		if (a->schema != NULL)
			write_object(a->schema, a->seed, 0, out);
		return a->schema != NULL;
	}
	doc = json_read(NULL, str(a->schema), &err);
	if (doc != NULL)
		write_object(yyjson_doc_get_root(doc), a->seed, 0, out);
	json_free(doc);
	return doc != NULL;
}

static struct ask_input input_of(yyjson_val *v)
{
	struct ask_input in = {.seed = 1};
	yyjson_arr_iter it;
	yyjson_val *token;

	if (yyjson_is_str(v)) {
		in.seed = answer_hash(1, str(v));
		in.tokens = answer_tokens((int64_t)yyjson_get_len(v));
		return in;
	}
	/* Token numbers: one token each. */
	yyjson_arr_iter_init(v, &it);
	while ((token = yyjson_arr_iter_next(&it)) != NULL) {
		uint64_t n = yyjson_get_uint(token);

		in.seed = answer_hash(in.seed, span_from(&n, sizeof(n)));
		in.tokens++;
	}
	return in;
}

int ask_inputs(const struct ask *a, struct ask_input out[ASK_MAX_INPUTS])
{
	yyjson_arr_iter it;
	yyjson_val *v;
	int n = 0;

	if (yyjson_is_str(a->input) || yyjson_is_num(yyjson_arr_get_first(a->input))) {
		out[0] = input_of(a->input);
		return 1;
	}
	yyjson_arr_iter_init(a->input, &it);
	while ((v = yyjson_arr_iter_next(&it)) != NULL && n < ASK_MAX_INPUTS)
		out[n++] = input_of(v);
	return n;
}
