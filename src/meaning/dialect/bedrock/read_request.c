/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body of this format as a request. Gateways' clients do not send it: it is here so that what the
 * writer makes can be read again, and checked.
 */
#include "meaning/dialect/bedrock/bedrock.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/reasoning.h"

struct reader {
	struct arena *a;
	struct llm_request *q;
	struct err *err;
};

static bool bad(struct reader *r, const char *param, const char *wanted)
{
	return read_wrong(param, wanted, r->err);
}

/* {"cachePoint": {"type": "default", "ttl": "1h"}}: a mark for what stands before it. */
static bool is_mark(yyjson_val *v, enum llm_cache_mark *out)
{
	yyjson_val *point = json_get(v, "cachePoint");

	if (point == NULL)
		return false;
	*out = span_is(text_in(point, "ttl"), "1h") ? LLM_CACHE_1H : LLM_CACHE_5M;
	return true;
}

/* ---- blocks ---- */

/* The list is searched for its end each time it grows: it grows by its last element here. */
struct list {
	enum llm_role role;
	struct llm_block **at;
	struct llm_block *last;
};

static struct llm_block *add(struct reader *r, struct list *list, enum llm_block_kind kind)
{
	struct llm_block *b =
		llm_add_block(r->a, list->last != NULL ? &list->last->next : list->at, kind);

	if (b != NULL)
		list->last = b;
	return b;
}

static bool read_call(struct reader *r, struct list *list, yyjson_val *v)
{
	struct llm_block *b = add(r, list, LLM_BLOCK_TOOL_CALL);
	yyjson_val *input = json_get(v, "input");

	if (b == NULL)
		return false;
	b->id = text_in(v, "toolUseId");
	b->name = text_in(v, "name");
	if (b->id.n == 0 || b->name.n == 0)
		return bad(r, "messages.content.toolUse", "an object with a toolUseId and a name");
	b->args = yyjson_is_obj(input) ? text_json(r->a, input) : SPAN("{}");
	return true;
}

static bool read_result_item(struct reader *r, struct list *list, yyjson_val *item)
{
	yyjson_val *json = json_get(item, "json");
	struct llm_media media;
	struct llm_block *b;

	if (bedrock_read_media(item, &media)) {
		b = add(r, list, LLM_BLOCK_MEDIA);
		if (b != NULL)
			b->media = media;
		return b != NULL;
	}
	b = add(r, list, LLM_BLOCK_TEXT);
	if (b == NULL)
		return false;
	b->text = text_in(item, "text");
	if (b->text.p == NULL && (!yyjson_is_obj(json) || yyjson_obj_size(json) > 0))
		b->text = text_json(r->a, json != NULL ? json : item);
	return true;
}

static bool read_result(struct reader *r, struct list *list, yyjson_val *v)
{
	struct llm_block *b = add(r, list, LLM_BLOCK_TOOL_RESULT);
	struct list content;
	yyjson_val *item;
	size_t i, max;

	if (b == NULL)
		return false;
	content = (struct list){.at = &b->content};
	b->id = text_in(v, "toolUseId");
	b->is_error = span_is(text_in(v, "status"), "error");
	yyjson_arr_foreach(json_get(v, "content"), i, max, item)
	{
		if (!read_result_item(r, &content, item))
			return false;
	}
	return true;
}

static bool read_reasoning(struct reader *r, struct list *list, yyjson_val *v)
{
	struct llm_block *b = add(r, list, LLM_BLOCK_THINKING);
	yyjson_val *text = json_get(v, "reasoningText");

	if (b == NULL)
		return false;
	if (text == NULL) {
		b->redacted = true;
		b->state.maker = LLM_MAKER_ANTHROPIC;
		bedrock_read_redacted(r->a, text_in(v, "redactedContent"), &b->state);
		return true;
	}
	b->text = text_in(text, "text");
	llm_state_read(text_in(text, "signature"), LLM_MAKER_ANTHROPIC, &b->state);
	return true;
}

/* What a tool of the system's did goes back as it came: its result stands in the same turn. */
static bool is_hosted(const struct list *list, yyjson_val *v)
{
	return span_is(text_in(json_get(v, "toolUse"), "type"), "server_tool_use") ||
	       (list->role == LLM_ROLE_ASSISTANT && json_get(v, "toolResult") != NULL);
}

static bool read_block(struct reader *r, struct list *list, yyjson_val *v)
{
	bool hosted = is_hosted(list, v);
	struct llm_media media;
	enum llm_cache_mark mark;
	struct llm_block *b;

	if (is_mark(v, &mark)) {
		if (list->last != NULL)
			list->last->cache = mark;
		return true;
	}
	if (json_get(v, "toolUse") != NULL && !hosted)
		return read_call(r, list, json_get(v, "toolUse"));
	if (json_get(v, "toolResult") != NULL && !hosted)
		return read_result(r, list, json_get(v, "toolResult"));
	if (json_get(v, "reasoningContent") != NULL)
		return read_reasoning(r, list, json_get(v, "reasoningContent"));
	if (bedrock_read_media(v, &media)) {
		b = add(r, list, LLM_BLOCK_MEDIA);
		if (b != NULL)
			b->media = media;
		return b != NULL;
	}
	b = add(r, list, json_get(v, "text") != NULL ? LLM_BLOCK_TEXT : LLM_BLOCK_NATIVE);
	if (b == NULL)
		return false;
	b->text = text_in(v, "text");
	b->native_op = LLM_OP_CONVERSE;
	b->native = b->kind == LLM_BLOCK_NATIVE ? v : NULL;
	return true;
}

static bool read_turn(struct reader *r, enum llm_role role, yyjson_val *content, const char *param)
{
	struct llm_turn *t = llm_add_turn(r->a, r->q, role);
	struct list list;
	yyjson_val *item;
	size_t i, max;

	if (t == NULL)
		return false;
	if (!yyjson_is_arr(content))
		return bad(r, param, "a list of blocks");
	list = (struct list){.role = role, .at = &t->blocks};
	yyjson_arr_foreach(content, i, max, item)
	{
		if (!yyjson_is_obj(item))
			return bad(r, param, "a list of blocks");
		if (!read_block(r, &list, item))
			return false;
	}
	return true;
}

static bool read_messages(struct reader *r, yyjson_val *root)
{
	yyjson_val *system = json_get(root, "system"), *messages = json_get(root, "messages");
	yyjson_val *item;
	size_t i, max;

	if (system != NULL && !read_turn(r, LLM_ROLE_SYSTEM, system, "system"))
		return false;
	if (yyjson_arr_size(messages) == 0)
		return bad(r, "messages", "a list with at least one message");
	yyjson_arr_foreach(messages, i, max, item)
	{
		struct span role = text_in(item, "role");
		enum llm_role as = span_is(role, "assistant") ? LLM_ROLE_ASSISTANT
				   : span_is(role, "system")  ? LLM_ROLE_SYSTEM
							      : LLM_ROLE_USER;

		if (!read_turn(r, as, json_get(item, "content"), "messages.content"))
			return false;
	}
	return true;
}

/* ---- tools ---- */

static struct llm_tool *add_tool(struct reader *r, yyjson_val *v)
{
	yyjson_val *spec = json_get(v, "toolSpec");
	bool search = span_is(text_in(json_get(v, "systemTool"), "name"), "nova_grounding");
	struct llm_tool *t = llm_add_tool(r->a, r->q,
		spec != NULL ? LLM_TOOL_FUNCTION
		: search     ? LLM_TOOL_SEARCH
			     : LLM_TOOL_NATIVE);
	bool strict;

	if (t == NULL)
		return NULL;
	t->native_op = LLM_OP_CONVERSE;
	t->native = v;
	t->name = text_in(spec, "name");
	t->description = text_in(spec, "description");
	t->schema = json_get(json_get(spec, "inputSchema"), "json");
	if (json_get_bool(spec, "strict", &strict))
		t->strict = strict ? LLM_YES : LLM_NO;
	return t;
}

static bool read_choice(struct reader *r, yyjson_val *choice)
{
	yyjson_val *named = json_get(choice, "tool");

	if (json_get(choice, "auto") != NULL)
		r->q->choice = LLM_CHOICE_AUTO;
	else if (json_get(choice, "any") != NULL)
		r->q->choice = LLM_CHOICE_REQUIRED;
	if (named == NULL)
		return true;
	r->q->choice = LLM_CHOICE_NAMED;
	return llm_add_name(r->a, &r->q->choice_names, text_in(named, "name")) != NULL;
}

static bool read_tools(struct reader *r, yyjson_val *config)
{
	struct llm_tool *last = NULL;
	enum llm_cache_mark mark;
	yyjson_val *item;
	size_t i, max;

	yyjson_arr_foreach(json_get(config, "tools"), i, max, item)
	{
		if (!yyjson_is_obj(item))
			return bad(r, "toolConfig.tools", "a list of objects");
		if (is_mark(item, &mark)) {
			if (last != NULL)
				last->cache = mark;
			continue;
		}
		last = add_tool(r, item);
		if (last == NULL)
			return false;
		if (last->kind == LLM_TOOL_FUNCTION && last->name.n == 0)
			return bad(r, "toolConfig.tools.toolSpec.name", "a string");
	}
	return read_choice(r, json_get(config, "toolChoice"));
}

/* ---- settings ---- */

static void read_additional(struct reader *r, yyjson_val *v)
{
	struct llm_reasoning *out = &r->q->reasoning;
	yyjson_val *thinking = json_get(v, "thinking"), *nova = json_get(v, "reasoningConfig");
	bool one;

	r->q->top_k = json_number(json_get(v, "top_k"));
	if (r->q->top_k.n == 0)
		r->q->top_k = json_number(json_get(json_get(v, "inferenceConfig"), "topK"));
	if (span_is(text_in(thinking, "type"), "enabled")) {
		out->thinking = LLM_THINKING_ON;
		json_int(json_get(thinking, "budget_tokens"), &out->budget);
	} else if (span_is(text_in(thinking, "type"), "adaptive")) {
		out->thinking = LLM_THINKING_ADAPTIVE;
		llm_effort_read(text_in(json_get(v, "output_config"), "effort"), out);
	} else if (span_is(text_in(thinking, "type"), "disabled")) {
		out->thinking = LLM_THINKING_OFF;
	}
	if (span_is(text_in(nova, "type"), "enabled"))
		llm_effort_read(text_in(nova, "maxReasoningEffort"), out);
	llm_effort_read(text_in(v, "reasoning_effort"), out);
	llm_effort_read(text_in(v, "reasoning_config"), out);
	if (json_get_bool(json_get(v, "tool_choice"), "disable_parallel_tool_use", &one))
		r->q->parallel = one ? LLM_NO : LLM_YES;
}

static bool read_inference(struct reader *r, yyjson_val *config)
{
	struct llm_request *q = r->q;

	return read_int(json_get(config, "maxTokens"), "inferenceConfig.maxTokens", &q->max_output,
		       r->err) &&
	       read_number(json_get(config, "temperature"), "inferenceConfig.temperature",
		       &q->temperature, r->err) &&
	       read_number(json_get(config, "topP"), "inferenceConfig.topP", &q->top_p, r->err) &&
	       read_names(json_get(config, "stopSequences"), "inferenceConfig.stopSequences", r->a,
		       &q->stops, r->err);
}

bool bedrock_read_request(yyjson_val *root, struct arena *a, struct llm_request *q, struct err *err)
{
	struct reader r = {.a = a, .q = q, .err = err};

	if (!yyjson_is_obj(root))
		return err_set(err, ERR_BAD_REQUEST, "The body must be a JSON object");
	if (!read_messages(&r, root) || !read_tools(&r, json_get(root, "toolConfig")) ||
		!read_inference(&r, json_get(root, "inferenceConfig")))
		return a->failed ? err_set(err, ERR_NO_MEMORY, NULL) : false;
	read_additional(&r, json_get(root, "additionalModelRequestFields"));
	q->metadata = json_get(root, "requestMetadata");
	q->service_tier = text_in(json_get(root, "serviceTier"), "type");
	return !a->failed || err_set(err, ERR_NO_MEMORY, NULL);
}
