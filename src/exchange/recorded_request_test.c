/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded requests of the formats that clients speak, each read and written again in its own
 * format: the same JSON up to order, but for what stands in the table below with its reason. What
 * is left out without a row, or without the note that its row names, is a failure.
 */
#include "exchange/recorded_kit_test.h"

enum change { LOST, ADDED, CHANGED };

/* What may become of a member. A '*' in a path is any index. */
static const struct rule {
	enum llm_op op;
	enum change change;
	const char *path;
	const char *was, *is; /* JSON; NULL: anything */
	const char *note;     /* that must be there; NULL: none needed */
	const char *reason;
} rules[] = {
	/* Chat Completions */
	{LLM_OP_CHAT, LOST, "stream", "false", NULL, NULL, "the default"},
	{LLM_OP_CHAT, LOST, "n", "1", NULL, NULL, "the default"},
	{LLM_OP_CHAT, ADDED, "stream_options", NULL, NULL, NULL, "usage is always asked for"},
	{LLM_OP_CHAT, LOST, "max_tokens", NULL, NULL, NULL, "max_completion_tokens: a quirk"},
	{LLM_OP_CHAT, ADDED, "max_completion_tokens", NULL, NULL, NULL, "was max_tokens"},
	{LLM_OP_CHAT, CHANGED, "tool_choice", "\"any\"", "\"required\"", NULL, "a quirk"},
	{LLM_OP_CHAT, CHANGED, "reasoning_effort", "\"none\"", "\"low\"", NULL, "the effort table"},
	{LLM_OP_CHAT, CHANGED, "reasoning_effort", "\"max\"", "\"high\"", NULL, "the effort table"},
	{LLM_OP_CHAT, LOST, "reasoning", NULL, NULL, NULL, "reasoning_effort: a quirk"},
	{LLM_OP_CHAT, LOST, "thinking", NULL, NULL, NULL, "reasoning_effort: a quirk"},
	{LLM_OP_CHAT, ADDED, "reasoning_effort", NULL, NULL, NULL, "was reasoning or thinking"},
	{LLM_OP_CHAT, LOST, "reasoning_format", NULL, NULL, "dropped:reasoning_format",
		"Groq's own"},
	{LLM_OP_CHAT, LOST, "moderation", NULL, NULL, "dropped:moderation", "OpenAI's own"},
	{LLM_OP_CHAT, LOST, "provider", NULL, NULL, "dropped:provider", "OpenRouter's own"},
	{LLM_OP_CHAT, LOST, "models", NULL, NULL, "dropped:models", "OpenRouter's own"},
	{LLM_OP_CHAT, LOST, "transforms", NULL, NULL, "dropped:transforms", "OpenRouter's own"},
	{LLM_OP_CHAT, LOST, "usage", NULL, NULL, "dropped:usage", "OpenRouter's own"},
	{LLM_OP_CHAT, LOST, "messages.*.prefix", "false", NULL, NULL, "the default"},
	{LLM_OP_CHAT, LOST, "messages.*.reasoning_content", NULL, NULL, NULL, "a quirk"},
	{LLM_OP_CHAT, LOST, "messages.*.content.*.cache_control", NULL, NULL,
		"dropped:cache_control", "a quirk"},
	{LLM_OP_CHAT, LOST, "tools.*.cache_control", NULL, NULL, "dropped:cache_control",
		"a quirk"},
	{LLM_OP_CHAT, LOST, "messages.*.tool_calls.*.index", NULL, NULL, NULL, "the order says it"},
	{LLM_OP_CHAT, LOST, "messages.*.content.*.document_url", NULL, NULL, NULL, "Mistral's"},
	{LLM_OP_CHAT, CHANGED, "messages.*.content.*.type", "\"document_url\"", "\"file\"", NULL,
		"Mistral's"},
	{LLM_OP_CHAT, ADDED, "messages.*.content.*.file", NULL, NULL, NULL, "was a document_url"},
	{LLM_OP_CHAT, ADDED, "tools.*.type", NULL, "\"function\"", NULL, "the only kind"},
	{LLM_OP_CHAT, LOST, "tools.*.eager_input_streaming", NULL, NULL, NULL,
		"one provider's extra (E12)"},

	/* Messages */
	{LLM_OP_MESSAGES, LOST, "stream", "false", NULL, NULL, "the default"},
	{LLM_OP_MESSAGES, LOST, "messages.*.content.*.is_error", "false", NULL, NULL,
		"the default"},
	{LLM_OP_MESSAGES, LOST, "cache_control.ttl", "\"5m\"", NULL, NULL, "the default"},
	{LLM_OP_MESSAGES, LOST, "messages.*.content.*.cache_control.ttl", "\"5m\"", NULL, NULL,
		"the default"},
	{LLM_OP_MESSAGES, LOST, "thinking.display", "\"summarized\"", NULL, NULL, "the default"},
	{LLM_OP_MESSAGES, LOST, "tools.*.strict", NULL, NULL, "dropped:strict",
		"takes a small part of JSON Schema alone"},
	{LLM_OP_MESSAGES, LOST, "tools.*.defer_loading", NULL, NULL, NULL,
		"one provider's extra (E12)"},
	{LLM_OP_MESSAGES, LOST, "anthropic_version", NULL, NULL, "dropped:anthropic_version",
		"of an address that has it in the body"},
	{LLM_OP_MESSAGES, LOST, "container", NULL, NULL, "dropped:container", "Anthropic's own"},
	{LLM_OP_MESSAGES, LOST, "mcp_servers", NULL, NULL, "dropped:mcp_servers",
		"Anthropic's own"},
	{LLM_OP_MESSAGES, CHANGED, "tool_choice.type", "\"any\"", "\"auto\"", "approx:tool_choice",
		"thinking forbids a forced tool"},
	{LLM_OP_MESSAGES, CHANGED, "thinking.type", "\"adaptive\"", "\"enabled\"", NULL,
		"before 4.7 a budget says how long"},
	{LLM_OP_MESSAGES, ADDED, "thinking.budget_tokens", NULL, NULL, NULL, "the same"},
	{LLM_OP_MESSAGES, ADDED, "thinking", NULL, NULL, NULL, "an effort alone is a wish for it"},
	{LLM_OP_MESSAGES, LOST, "output_config", NULL, NULL, NULL, "the budget says it"},

	/* Responses */
	{LLM_OP_RESPONSES, LOST, "stream", "false", NULL, NULL, "the default"},
	{LLM_OP_RESPONSES, ADDED, "store", NULL, "false", NULL, "nothing is kept at the provider"},
	{LLM_OP_RESPONSES, LOST, "include", NULL, NULL, NULL, "asked for where it is used"},
	{LLM_OP_RESPONSES, ADDED, "include", NULL, NULL, NULL, "reasoning comes back encrypted"},
	{LLM_OP_RESPONSES, LOST, "truncation", NULL, NULL, NULL, "a history is not cut"},
	{LLM_OP_RESPONSES, LOST, "text", "{\"format\":{\"type\":\"text\"}}", NULL, NULL,
		"the default"},
	{LLM_OP_RESPONSES, LOST, "text.format", "{\"type\":\"text\"}", NULL, NULL, "the default"},
	{LLM_OP_RESPONSES, CHANGED, "reasoning.effort", "\"none\"", "\"low\"", NULL,
		"the effort table"},
	{LLM_OP_RESPONSES, LOST, "reasoning", "{\"context\":\"all_turns\"}", NULL, NULL,
		"all that is sent is used"},
	{LLM_OP_RESPONSES, LOST, "reasoning.context", NULL, NULL, NULL, "all that is sent is used"},
	{LLM_OP_RESPONSES, LOST, "reasoning.generate_summary", NULL, NULL, NULL, "its old name"},
	{LLM_OP_RESPONSES, ADDED, "reasoning.summary", NULL, NULL, NULL, "was generate_summary"},
	{LLM_OP_RESPONSES, LOST, "moderation", NULL, NULL, "dropped:moderation", "OpenAI's own"},
	{LLM_OP_RESPONSES, LOST, "context_management", NULL, NULL, "dropped:context_management",
		"OpenAI's own"},
	{LLM_OP_RESPONSES, LOST, "input.*.id", NULL, NULL, NULL, "names what was stored"},
	{LLM_OP_RESPONSES, LOST, "input.*.status", NULL, NULL, NULL, "what comes back is done"},
	{LLM_OP_RESPONSES, ADDED, "input.*.type", NULL, "\"message\"", NULL, "the default"},
	{LLM_OP_RESPONSES, LOST, "tools.*.defer_loading", NULL, NULL, NULL,
		"one provider's extra (E12)"},
};

/* ---- what both sides are brought to before they are compared ---- */

static struct yyjson_mut_val *text_part(yyjson_mut_doc *d, yyjson_mut_val *text, const char *type)
{
	yyjson_mut_val *list = yyjson_mut_arr(d), *part = yyjson_mut_obj(d);

	yyjson_mut_obj_add_str(d, part, "type", type);
	yyjson_mut_obj_add_strn(
		d, part, "text", yyjson_mut_get_str(text), yyjson_mut_get_len(text));
	yyjson_mut_arr_append(list, part);
	return list;
}

/* A string is a list of one text. */
static void list_texts(yyjson_mut_doc *d, yyjson_mut_val *object, const char *key, const char *type)
{
	yyjson_mut_val *v = yyjson_mut_obj_get(object, key);

	if (yyjson_mut_is_str(v))
		yyjson_mut_obj_put(object, yyjson_mut_strcpy(d, key), text_part(d, v, type));
}

static bool is_role(yyjson_mut_val *m, const char *role)
{
	return yyjson_mut_equals_str(yyjson_mut_obj_get(m, "role"), role);
}

static void append_all(yyjson_mut_val *to, yyjson_mut_val *from)
{
	while (yyjson_mut_arr_size(from) > 0)
		yyjson_mut_arr_append(to, yyjson_mut_arr_remove_first(from));
}

/* Words of the system in the middle are the user's, and marked. */
static void wrap_system(yyjson_mut_doc *d, yyjson_mut_val *m)
{
	yyjson_mut_val *part;
	size_t i, max;

	yyjson_mut_obj_put(m, yyjson_mut_strcpy(d, "role"), yyjson_mut_strcpy(d, "user"));
	yyjson_mut_arr_foreach(yyjson_mut_obj_get(m, "content"), i, max, part)
	{
		yyjson_mut_val *text = yyjson_mut_obj_get(part, "text");
		struct buf wrapped;

		if (!yyjson_mut_is_str(text))
			continue;
		buf_init(&wrapped, 1 << 20);
		buf_printf(&wrapped, "<system>%s</system>", yyjson_mut_get_str(text));
		yyjson_mut_obj_put(part, yyjson_mut_strcpy(d, "text"),
			yyjson_mut_strncpy(d, wrapped.mem, wrapped.n));
		buf_done(&wrapped);
	}
}

/* Messages of one role are one message; the system's in the middle are the user's. */
static void merge_roles(yyjson_mut_doc *d, yyjson_mut_val *root)
{
	yyjson_mut_val *from = yyjson_mut_obj_get(root, "messages"), *list = yyjson_mut_arr(d);
	yyjson_mut_val *last = NULL;

	while (yyjson_mut_arr_size(from) > 0) {
		yyjson_mut_val *m = yyjson_mut_arr_remove_first(from);

		if (is_role(m, "system"))
			wrap_system(d, m);
		if (last != NULL && yyjson_mut_equals(yyjson_mut_obj_get(last, "role"),
					    yyjson_mut_obj_get(m, "role"))) {
			append_all(yyjson_mut_obj_get(last, "content"),
				yyjson_mut_obj_get(m, "content"));
			continue;
		}
		yyjson_mut_arr_append(list, m);
		last = m;
	}
	yyjson_mut_obj_put(root, yyjson_mut_strcpy(d, "messages"), list);
}

static void prepare_messages(yyjson_mut_doc *d, yyjson_mut_val *root)
{
	yyjson_mut_val *m, *part;
	size_t i, k, max, most;

	list_texts(d, root, "system", "text");
	yyjson_mut_arr_foreach(yyjson_mut_obj_get(root, "messages"), i, max, m)
	{
		list_texts(d, m, "content", "text");
		yyjson_mut_arr_foreach(yyjson_mut_obj_get(m, "content"), k, most, part)
		{
			list_texts(d, part, "content", "text");
		}
	}
	merge_roles(d, root);
}

static bool is_thinking(yyjson_mut_val *part)
{
	return yyjson_mut_equals_str(yyjson_mut_obj_get(part, "type"), "thinking");
}

/* Reasoning goes back where a quirk says so, and not in Mistral's parts. */
static void prepare_chat(yyjson_mut_doc *d, yyjson_mut_val *root)
{
	yyjson_mut_val *m, *parts;
	size_t i, max;

	yyjson_mut_arr_foreach(yyjson_mut_obj_get(root, "messages"), i, max, m)
	{
		list_texts(d, m, "content", "text");
		parts = yyjson_mut_obj_get(m, "content");
		while (is_thinking(yyjson_mut_arr_get_first(parts)))
			yyjson_mut_arr_remove_first(parts);
	}
}

/* An item of reasoning that is a mere reference, or in words alone, cannot go back. */
static bool is_lost_item(yyjson_mut_val *item)
{
	return yyjson_mut_equals_str(yyjson_mut_obj_get(item, "type"), "reasoning") &&
	       !yyjson_mut_is_str(yyjson_mut_obj_get(item, "encrypted_content"));
}

/* Several paragraphs of a summary are one. */
static void join_summary(yyjson_mut_doc *d, yyjson_mut_val *item)
{
	yyjson_mut_val *list = yyjson_mut_obj_get(item, "summary"), *first, *part;
	struct buf text;
	size_t i, max;

	if (yyjson_mut_arr_size(list) < 2)
		return;
	buf_init(&text, 1 << 20);
	yyjson_mut_arr_foreach(list, i, max, part)
	{
		buf_append_cstr(&text, i > 0 ? "\n\n" : "");
		buf_append_cstr(&text, yyjson_mut_get_str(yyjson_mut_obj_get(part, "text")));
	}
	first = yyjson_mut_arr_get_first(list);
	yyjson_mut_arr_clear(list);
	yyjson_mut_obj_put(first, yyjson_mut_strcpy(d, "text"),
		yyjson_mut_strncpy(d, buf_span(&text).p, buf_span(&text).n));
	yyjson_mut_arr_append(list, first);
	buf_done(&text);
}

/* What stands first and is the system's, in one text, are the instructions. */
static void take_instructions(yyjson_mut_doc *d, yyjson_mut_val *root, yyjson_mut_val *input)
{
	yyjson_mut_val *first = yyjson_mut_arr_get_first(input);
	yyjson_mut_val *content = yyjson_mut_obj_get(first, "content");

	if (yyjson_mut_is_str(yyjson_mut_obj_get(root, "instructions")) ||
		!is_role(first, "system") || yyjson_mut_arr_size(content) != 1)
		return;
	yyjson_mut_arr_remove_first(input);
	yyjson_mut_obj_put(root, yyjson_mut_strcpy(d, "instructions"),
		yyjson_mut_val_mut_copy(
			d, yyjson_mut_obj_get(yyjson_mut_arr_get_first(content), "text")));
}

static void prepare_responses(yyjson_mut_doc *d, yyjson_mut_val *root)
{
	yyjson_mut_val *from, *list = yyjson_mut_arr(d), *item;

	list_texts(d, root, "input", "input_text");
	from = yyjson_mut_obj_get(root, "input");
	while (yyjson_mut_arr_size(from) > 0) {
		item = yyjson_mut_arr_remove_first(from);
		if (is_lost_item(item))
			continue;
		join_summary(d, item);
		list_texts(d, item, "content",
			is_role(item, "assistant") ? "output_text" : "input_text");
		list_texts(d, item, "output", "input_text");
		yyjson_mut_arr_append(list, item);
	}
	take_instructions(d, root, list);
	yyjson_mut_obj_put(root, yyjson_mut_strcpy(d, "input"), list);
}

static yyjson_doc *prepared(enum llm_op op, yyjson_val *root)
{
	static void (*const prepares[LLM_OP_COUNT])(yyjson_mut_doc *, yyjson_mut_val *) = {
		[LLM_OP_CHAT] = prepare_chat,
		[LLM_OP_MESSAGES] = prepare_messages,
		[LLM_OP_RESPONSES] = prepare_responses};
	yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
	yyjson_doc *made;

	yyjson_mut_doc_set_root(d, yyjson_val_mut_copy(d, root));
	prepares[op](d, yyjson_mut_doc_get_root(d));
	made = yyjson_mut_doc_imut_copy(d, NULL);
	yyjson_mut_doc_free(d);
	return made;
}

/* ---- comparing ---- */

static int n_used[sizeof(rules) / sizeof(rules[0])];

struct comparison {
	const struct record *record;
	const struct llm_notes *notes;
};

static bool is_json(const char *wanted, yyjson_val *v)
{
	struct buf text;
	bool same;

	if (wanted == NULL)
		return true;
	buf_init(&text, 1 << 20);
	if (v != NULL)
		json_write(&text, v);
	same = span_is(buf_span(&text), wanted);
	buf_done(&text);
	return same;
}

static bool is_noted(const struct llm_notes *notes, const char *code)
{
	for (int i = 0; i < notes->n && code != NULL; i++)
		if (strcmp(notes->codes[i], code) == 0)
			return true;
	return code == NULL;
}

/* What is empty asks for nothing. */
static bool is_empty(yyjson_val *v)
{
	return v == NULL || yyjson_is_null(v) || (yyjson_is_str(v) && yyjson_get_len(v) == 0) ||
	       (yyjson_is_ctn(v) && unsafe_yyjson_get_len(v) == 0);
}

static void report(const struct comparison *c, enum change change, const char *path,
	yyjson_val *was, yyjson_val *is)
{
	static const char *const words[] = {"is lost", "is added", "is changed"};
	struct buf text;

	if (is_empty(was) && is_empty(is))
		return;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];

		if (r->op != c->record->format->op || r->change != change ||
			strcmp(r->path, path) != 0 || !is_json(r->was, was) ||
			!is_json(r->is, is) || !is_noted(c->notes, r->note))
			continue;
		n_used[i]++;
		return;
	}
	buf_init(&text, 64 << 20);
	if (was != NULL)
		json_write(&text, was);
	buf_append_cstr(&text, " > ");
	if (is != NULL)
		json_write(&text, is);
	failed(c->record, "%s %s: %.*s", path, words[change],
		SPAN_ARG(span_head(buf_span(&text), 600)));
	buf_done(&text);
}

static void compare(const struct comparison *c, const char *path, yyjson_val *was, yyjson_val *is);

static void compare_objects(
	const struct comparison *c, const char *path, yyjson_val *was, yyjson_val *is)
{
	const char *dot = path[0] != '\0' ? "." : "";
	yyjson_val *key, *v;
	size_t i, max;
	char inner[512];

	yyjson_obj_foreach(was, i, max, key, v)
	{
		snprintf(inner, sizeof(inner), "%s%s%.128s", path, dot, unsafe_yyjson_get_str(key));
		compare(c, inner, v, json_get(is, unsafe_yyjson_get_str(key)));
	}
	yyjson_obj_foreach(is, i, max, key, v)
	{
		snprintf(inner, sizeof(inner), "%s%s%.128s", path, dot, unsafe_yyjson_get_str(key));
		if (json_get(was, unsafe_yyjson_get_str(key)) == NULL)
			report(c, ADDED, inner, NULL, v);
	}
}

static void compare(const struct comparison *c, const char *path, yyjson_val *was, yyjson_val *is)
{
	char inner[512];
	struct buf a, b;

	if (was == NULL || is == NULL) {
		report(c, was == NULL ? ADDED : LOST, path, was, is);
		return;
	}
	if (yyjson_is_obj(was) && yyjson_is_obj(is)) {
		compare_objects(c, path, was, is);
		return;
	}
	if (yyjson_is_arr(was) && yyjson_is_arr(is)) {
		size_t n = yyjson_arr_size(was), m = yyjson_arr_size(is);

		snprintf(inner, sizeof(inner), "%.500s.*", path);
		for (size_t i = 0; i < n || i < m; i++)
			compare(c, inner, yyjson_arr_get(was, i), yyjson_arr_get(is, i));
		return;
	}
	buf_init(&a, 64 << 20);
	buf_init(&b, 64 << 20);
	json_write(&a, was);
	json_write(&b, is);
	if (!span_eq(buf_span(&a), buf_span(&b)))
		report(c, CHANGED, path, was, is);
	buf_done(&a);
	buf_done(&b);
}

static int n_requests, n_refused;

static void check_written(const struct record *r, const struct llm_notes *notes, struct span text)
{
	const struct comparison c = {r, notes};
	yyjson_doc *doc = json_read_raw(NULL, text, false, NULL), *was, *is;

	if (doc == NULL) {
		failed(r, "what was written is no JSON");
		return;
	}
	was = prepared(r->format->op, r->request);
	is = prepared(r->format->op, yyjson_doc_get_root(doc));
	compare(&c, "", yyjson_doc_get_root(was), yyjson_doc_get_root(is));
	json_free(was);
	json_free(is);
	json_free(doc);
}

static void check_request(const struct record *r)
{
	const struct codec *codec = r->format->dialect->codec;
	const struct llm_quirks quirks = {0};
	const struct llm_target target = {
		.model = r->model, .provider = SPAN("provider"), .quirks = &quirks};
	struct llm_notes notes = {.n = 0};
	struct err err = {0};
	struct llm_request *q;
	struct arena a;
	struct buf body;

	if (!r->format->is_client || !yyjson_is_obj(r->request) || r->status != 200)
		return;
	arena_init(&a, 64 << 20);
	buf_init(&body, 64 << 20);
	q = llm_request_new(&a);
	n_requests++;
	if (!codec->read_request(r->request, &a, q, &err))
		failed(r, "is not read: %s", err.text);
	else if (codec->write_request(q, &target, &a, &body, &notes, &err))
		check_written(r, &notes, buf_span(&body));
	else if (err.code == ERR_UNSUPPORTED_PARAM && err.param[0] != '\0')
		n_refused++; /* said, not lost */
	else
		failed(r, "is not written: %s", err.text);
	buf_done(&body);
	arena_done(&a);
}

static void requests_lose_nothing_that_is_not_said(void **state)
{
	int n_idle = 0;

	each_record(check_request);
	print_message("%d requests, %d refused\n", n_requests, n_refused);
	assert_true(n_requests >= 350 && n_refused <= 20);
	/* A rule that nothing needs hides what breaks. */
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (n_used[i] == 0) {
			print_error("no request needs the rule of %s\n", rules[i].path);
			n_idle++;
		}
	assert_int_equal(n_idle, 0);
}

/* ---- Gemini's, that clients do not send ---- */

static yyjson_val *either(yyjson_val *o, const char *camel, const char *snake)
{
	yyjson_val *v = json_get(o, camel);

	return v != NULL ? v : json_get(o, snake);
}

static void put_json(struct buf *b, const char *what, yyjson_val *v)
{
	if (is_empty(v))
		return;
	buf_append_cstr(b, what);
	json_write(b, v);
	buf_append_char(b, '\n');
}

static void walk_part(struct buf *b, yyjson_val *part)
{
	yyjson_val *call = either(part, "functionCall", "function_call");
	yyjson_val *result = either(part, "functionResponse", "function_response");
	yyjson_val *file = either(part, "fileData", "file_data");

	put_json(b, "text ", json_get(part, "text"));
	put_json(b, "call ", json_get(call, "name"));
	put_json(b, "args ", json_get(call, "args"));
	put_json(b, "result ", json_get(result, "name"));
	put_json(b, "response ", json_get(result, "response"));
	put_json(b, "data ", json_get(either(part, "inlineData", "inline_data"), "data"));
	put_json(b, "file ", either(file, "fileUri", "file_uri"));
	put_json(b, "signature ", either(part, "thoughtSignature", "thought_signature"));
}

static void walk_functions(struct buf *b, yyjson_val *tool)
{
	yyjson_val *list = either(tool, "functionDeclarations", "function_declarations"), *item;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, item)
	{
		put_json(b, "tool ", json_get(item, "name"));
		put_json(b, "about ", json_get(item, "description"));
	}
}

static void walk_parts(struct buf *b, yyjson_val *content)
{
	yyjson_val *part;
	size_t i, max;

	yyjson_arr_foreach(json_get(content, "parts"), i, max, part)
	{
		walk_part(b, part);
	}
}

/* What was said, called and answered, in order. */
static void walk_gemini_request(struct buf *b, yyjson_val *root)
{
	yyjson_val *config = either(root, "generationConfig", "generation_config"), *item;
	size_t i, max;

	walk_parts(b, either(root, "systemInstruction", "system_instruction"));
	yyjson_arr_foreach(json_get(root, "tools"), i, max, item)
	{
		walk_functions(b, item);
	}
	put_json(b, "temperature ", json_get(config, "temperature"));
	put_json(b, "max ", json_get(config, "maxOutputTokens"));
	yyjson_arr_foreach(json_get(root, "contents"), i, max, item)
	{
		walk_parts(b, item);
	}
}

static int n_gemini, n_gemini_equal;

static void compare_walks(const struct record *r, struct span text)
{
	yyjson_doc *doc = json_read_raw(NULL, text, false, NULL);
	struct buf was, is;

	buf_init(&was, 64 << 20);
	buf_init(&is, 64 << 20);
	walk_gemini_request(&was, r->request);
	walk_gemini_request(&is, yyjson_doc_get_root(doc));
	if (span_eq(buf_span(&was), buf_span(&is)))
		n_gemini_equal++;
	buf_done(&was);
	buf_done(&is);
	json_free(doc);
}

static void check_gemini(const struct record *r)
{
	const struct codec *codec = r->format->dialect->codec;
	const struct llm_quirks quirks = {.vertex = strcmp(r->file, "vertex") == 0};
	const struct llm_target target = {
		.model = r->model, .provider = SPAN("provider"), .quirks = &quirks};
	struct llm_notes notes = {.n = 0};
	struct err err = {0};
	struct llm_request *q;
	struct arena a;
	struct buf body;

	if (r->format->op != LLM_OP_GENERATE || !yyjson_is_obj(r->request) || r->status != 200)
		return;
	arena_init(&a, 64 << 20);
	buf_init(&body, 64 << 20);
	q = llm_request_new(&a);
	n_gemini++;
	if (!codec->read_request(r->request, &a, q, &err) ||
		!codec->write_request(q, &target, &a, &body, &notes, &err))
		failed(r, "%s", err.text);
	else
		compare_walks(r, buf_span(&body));
	buf_done(&body);
	arena_done(&a);
}

/* A system prompt alone becomes the user's, and a blank turn a dot: of the records few do. */
static void requests_of_gemini_say_the_same(void **state)
{
	each_record(check_gemini);
	print_message("%d of %d requests equal\n", n_gemini_equal, n_gemini);
	assert_true(n_gemini >= 200 && n_gemini - n_gemini_equal <= 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_lose_nothing_that_is_not_said),
		cmocka_unit_test(requests_of_gemini_say_the_same),
	};

	if (!has_records())
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
