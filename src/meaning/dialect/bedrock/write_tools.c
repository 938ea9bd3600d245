/* SPDX-License-Identifier: Apache-2.0 */
/* toolConfig: the tools and the choice of them. */
#include "machine/base/json_put.h"
#include "meaning/dialect/bedrock/bedrock.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/names.h"

#define MAX_CALLED 128

bool bedrock_forbids_calls(const struct bedrock_writer *w)
{
	return w->q->choice == LLM_CHOICE_NONE && w->has_calls && w->schema_tool.n == 0;
}

static void put_schema(struct bedrock_writer *w, yyjson_val *schema)
{
	size_t i, max;
	yyjson_val *key, *v;

	json_put_open(w->out, "inputSchema", '{');
	json_put_open(w->out, "json", '{');
	if (!span_is(text_in(schema, "type"), "object"))
		json_put_cstr(w->out, "type", "object");
	if (schema == NULL || json_get(schema, "properties") == NULL)
		json_put_raw(w->out, "properties", SPAN("{}"));
	yyjson_obj_foreach(schema, i, max, key, v)
	{
		if (yyjson_equals_str(key, "type") && !yyjson_equals_str(v, "object"))
			continue;
		json_put_next(w->out);
		json_write(w->out, key);
		buf_append_char(w->out, ':');
		json_write(w->out, v);
	}
	buf_append_cstr(w->out, "}}");
}

/* Tools' marks are Claude's alone. */
static void put_tool_mark(struct bedrock_writer *w, enum llm_cache_mark mark)
{
	if (mark != LLM_CACHE_NONE && w->model.family == BEDROCK_NOVA)
		llm_note(w->notes, "dropped:cache_control");
	else
		bedrock_put_mark(w, mark);
}

static void begin_spec(struct bedrock_writer *w, struct span name, struct span description)
{
	json_put_open(w->out, NULL, '{');
	json_put_open(w->out, "toolSpec", '{');
	json_put_str(w->out, "name", llm_fit_name(w->a, name, LLM_NAME_MAX));
	if (!bedrock_is_blank(description))
		json_put_str(w->out, "description", description);
}

static void put_function(
	struct bedrock_writer *w, struct span name, struct span description, yyjson_val *schema)
{
	begin_spec(w, name, description);
	put_schema(w, schema);
	buf_append_cstr(w->out, "}}");
}

static void put_custom(struct bedrock_writer *w, const struct llm_tool *t)
{
	begin_spec(w, t->name, t->description);
	json_put_raw(w->out, "inputSchema",
		SPAN("{\"json\":{\"type\":\"object\",\"properties\":{\"input\":{\"type\":"
		     "\"string\"}},\"required\":[\"input\"]}}"));
	buf_append_cstr(w->out, "}}");
	llm_note(w->notes, "approx:custom_tool");
}

/* Nova searches by a tool of the system's. */
static bool put_search(struct bedrock_writer *w, const struct llm_tool *t)
{
	if (w->model.family != BEDROCK_NOVA ||
		(w->t->facts != NULL && (w->t->facts->can & LLM_CAN_SEARCH) == 0))
		return llm_unsupported_tool(w->t, t, w->notes, w->err);
	json_put_raw(w->out, NULL, SPAN("{\"systemTool\":{\"name\":\"nova_grounding\"}}"));
	if (t->allowed_domains != NULL)
		llm_note(w->notes, "dropped:allowed_domains");
	if (t->blocked_domains != NULL)
		llm_note(w->notes, "dropped:blocked_domains");
	if (t->max_uses >= 0)
		llm_note(w->notes, "dropped:max_uses");
	if (t->user_location != NULL)
		llm_note(w->notes, "dropped:user_location");
	if (t->context_size.n > 0)
		llm_note(w->notes, "dropped:search_context_size");
	return true;
}

static bool put_tool(struct bedrock_writer *w, const struct llm_tool *t)
{
	switch (t->kind) {
	case LLM_TOOL_FUNCTION:
		if (t->strict == LLM_YES)
			llm_note(w->notes, "dropped:strict");
		put_function(w, t->name, t->description, t->schema);
		break;
	case LLM_TOOL_CUSTOM:
		put_custom(w, t);
		break;
	case LLM_TOOL_SEARCH:
		return put_search(w, t);
	case LLM_TOOL_NATIVE:
		if (t->native_op != LLM_OP_CONVERSE)
			return llm_unsupported_tool(w->t, t, w->notes, w->err);
		json_put_val(w->out, NULL, t->native);
		break;
	}
	put_tool_mark(w, t->cache);
	return true;
}

static bool is_offered(const struct bedrock_writer *w, const struct llm_tool *t)
{
	bool filtered =
		w->q->choice == LLM_CHOICE_ALLOWED || w->q->choice == LLM_CHOICE_ALLOWED_ONE;

	if (w->q->choice == LLM_CHOICE_NONE && !w->has_calls)
		return false;
	return !filtered || llm_is_named(w->q->choice_names, t->name);
}

/* A history with calls must name tools; when the request has none any more, those it called. */
static void put_called(struct bedrock_writer *w)
{
	struct llm_name *seen = NULL;
	int n = 0;

	for (const struct llm_turn *t = w->turns; t != NULL; t = t->next)
		for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
			if (b->kind != LLM_BLOCK_TOOL_CALL || n == MAX_CALLED ||
				llm_is_named(seen, b->name))
				continue;
			n++;
			llm_add_name(w->a, &seen, b->name);
			put_function(w, b->name, (struct span){NULL, 0}, NULL);
		}
	llm_note(w->notes, "approx:tools");
}

/* ---- the choice ---- */

static void put_choice_of(struct bedrock_writer *w, const char *kind, struct span name)
{
	bool forced = strcmp(kind, "auto") != 0;

	/* A model that thinks may not be forced to a tool; some cannot be at all. */
	if (forced && ((w->thinks && w->model.family == BEDROCK_CLAUDE) ||
			      w->model.family == BEDROCK_PLAIN)) {
		llm_note(w->notes, "approx:tool_choice");
		kind = "auto";
	}
	json_put_open(w->out, "toolChoice", '{');
	json_put_open(w->out, kind, '{');
	if (strcmp(kind, "tool") == 0)
		json_put_str(w->out, "name", llm_fit_name(w->a, name, LLM_NAME_MAX));
	buf_append_cstr(w->out, "}}");
}

static void put_choice(struct bedrock_writer *w)
{
	struct span name = {NULL, 0};

	if (w->schema_tool.n > 0) {
		put_choice_of(w, w->q->tools == NULL ? "tool" : "any", w->schema_tool);
		return;
	}
	if (w->q->choice_names != NULL)
		name = w->q->choice_names->text;
	switch (w->q->choice) {
	case LLM_CHOICE_UNSET:
	case LLM_CHOICE_NONE:
		return;
	case LLM_CHOICE_AUTO:
	case LLM_CHOICE_ALLOWED:
		/* Said already, in the model's own words. */
		if (w->q->parallel != LLM_NO)
			put_choice_of(w, "auto", name);
		return;
	case LLM_CHOICE_REQUIRED:
	case LLM_CHOICE_ALLOWED_ONE:
		put_choice_of(w, "any", name);
		return;
	case LLM_CHOICE_NAMED:
		put_choice_of(w, "tool", name);
		return;
	}
}

bool bedrock_put_tools(struct bedrock_writer *w)
{
	size_t outside = w->out->n, before;

	json_put_open(w->out, "toolConfig", '{');
	json_put_open(w->out, "tools", '[');
	before = w->out->n;
	for (const struct llm_tool *t = w->q->tools; t != NULL; t = t->next)
		if (is_offered(w, t) && !put_tool(w, t))
			return false;
	if (w->schema_tool.n > 0)
		put_function(w, w->schema_tool,
			SPAN("Give the final answer: call this with the answer as its input."),
			w->q->format.schema);
	if (w->out->n == before && w->has_calls) {
		put_called(w);
		buf_append_cstr(w->out, "]}");
		return true;
	}
	if (w->out->n == before && !w->out->failed) {
		w->out->n = outside;
		return true;
	}
	buf_append_char(w->out, ']');
	put_choice(w);
	buf_append_char(w->out, '}');
	return true;
}
