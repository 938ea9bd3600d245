/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_put.h"
#include "meaning/dialect/openai_responses/openai_responses.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"
#include "meaning/llm/names.h"
#include "meaning/llm/reasoning.h"
#include "meaning/llm/repair.h"
#include "meaning/llm/schema.h"

#define MIN_OUTPUT 16 /* the least that the API takes */

struct out {
	const struct llm_request *q;
	const struct llm_target *t;
	struct arena *a;
	struct buf *b;
	struct llm_notes *notes;
	struct err *err;
};

static bool unsupported(struct out *o, const char *param, const char *note, bool meaning)
{
	return llm_unsupported(o->t, param, note, meaning, o->notes, o->err);
}

/* ---- parts ---- */

static void put_address(struct out *o, const char *key, const struct llm_media *m)
{
	if (m->from == LLM_FROM_BASE64)
		llm_media_put_url(o->b, key, m);
	else
		json_put_str(o->b, key, m->data);
}

static void put_image(struct out *o, const struct llm_media *m)
{
	json_put_cstr(o->b, "type", "input_image");
	if (m->from == LLM_FROM_FILE_ID)
		json_put_str(o->b, "file_id", m->data);
	else
		put_address(o, "image_url", m);
	json_put_str(o->b, "detail", m->detail.n > 0 ? m->detail : SPAN("auto"));
}

static void put_file(struct out *o, const struct llm_media *m)
{
	json_put_cstr(o->b, "type", "input_file");
	if (m->from == LLM_FROM_FILE_ID) {
		json_put_str(o->b, "file_id", m->data);
	} else if (m->from == LLM_FROM_URL) {
		json_put_str(o->b, "file_url", m->data);
	} else {
		json_put_str(o->b, "filename",
			m->name.n > 0    ? m->name
			: m->title.n > 0 ? m->title
					 : SPAN("unnamed.pdf"));
		put_address(o, "file_data", m);
	}
}

static bool put_audio(struct out *o, const struct llm_media *m)
{
	const char *format = llm_media_format(llm_media_type(m));

	if (m->from != LLM_FROM_BASE64)
		return llm_refuse(o->t, "input", "sound by address", o->err);
	json_put_cstr(o->b, "type", "input_audio");
	json_put_open(o->b, "input_audio", '{');
	json_put_str(o->b, "data", m->data);
	json_put_cstr(o->b, "format", format != NULL ? format : "wav");
	buf_append_char(o->b, '}');
	return true;
}

static bool put_media(struct out *o, const struct llm_media *m)
{
	switch (m->kind) {
	case LLM_MEDIA_IMAGE:
		if (m->maker == LLM_MAKER_ANTHROPIC)
			return llm_refuse(o->t, "input", "an image of another account", o->err);
		put_image(o, m);
		return true;
	case LLM_MEDIA_AUDIO:
		return put_audio(o, m);
	case LLM_MEDIA_VIDEO:
		return llm_refuse(o->t, "input", "video", o->err);
	case LLM_MEDIA_DOCUMENT:
		break;
	}
	if (m->maker == LLM_MAKER_ANTHROPIC)
		return llm_refuse(o->t, "input", "a file of another account", o->err);
	if (m->from == LLM_FROM_TEXT) {
		json_put_cstr(o->b, "type", "input_text");
		json_put_str(o->b, "text", m->data);
	} else {
		put_file(o, m);
	}
	return true;
}

static bool is_shown(const struct llm_block *b)
{
	return b->kind == LLM_BLOCK_TEXT || b->kind == LLM_BLOCK_REFUSAL ||
	       b->kind == LLM_BLOCK_MEDIA;
}

static bool put_input_part(struct out *o, const struct llm_block *b)
{
	if (b->cache != LLM_CACHE_NONE)
		llm_note(o->notes, "dropped:cache_control");
	json_put_open(o->b, NULL, '{');
	if (b->kind == LLM_BLOCK_MEDIA) {
		if (!put_media(o, &b->media))
			return false;
	} else {
		json_put_cstr(o->b, "type", "input_text");
		json_put_str(o->b, "text", b->text);
	}
	buf_append_char(o->b, '}');
	return true;
}

/* Parts that are shown; one text alone is a string. */
static bool put_parts(struct out *o, const char *key, const struct llm_block *blocks)
{
	const struct llm_block *only = NULL;
	int n = 0;

	for (const struct llm_block *b = blocks; b != NULL; b = b->next)
		if (is_shown(b)) {
			only = b;
			n++;
		}
	if (n == 0 || (n == 1 && only->kind != LLM_BLOCK_MEDIA)) {
		if (n == 1 && only->cache != LLM_CACHE_NONE)
			llm_note(o->notes, "dropped:cache_control");
		json_put_str(o->b, key, n == 1 ? only->text : SPAN(""));
		return true;
	}
	json_put_open(o->b, key, '[');
	for (const struct llm_block *b = blocks; b != NULL; b = b->next)
		if (is_shown(b) && !put_input_part(o, b))
			return false;
	buf_append_char(o->b, ']');
	return true;
}

/* ---- items ---- */

static bool put_input_message(struct out *o, const struct llm_turn *t)
{
	const char *role = t->role == LLM_ROLE_USER ? "user"
			   : t->developer           ? "developer"
						    : "system";

	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "role", role);
	if (!put_parts(o, "content", t->blocks))
		return false;
	buf_append_char(o->b, '}');
	return true;
}

/* Whether the result belongs to a call of a custom tool: it has an item type of its own. */
static bool is_custom(const struct llm_request *q, const struct llm_block *result)
{
	if (result->custom)
		return true;
	for (const struct llm_turn *t = q->turns; t != NULL; t = t->next)
		for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
			if (b->kind == LLM_BLOCK_TOOL_CALL && span_eq(b->id, result->id))
				return b->custom;
	return false;
}

static struct span call_id(struct out *o, struct span id)
{
	return llm_fit_id(o->a, id, LLM_NAME_MAX, 0);
}

static bool put_result(struct out *o, const struct llm_block *r)
{
	struct llm_block failed = {.kind = LLM_BLOCK_TEXT, .text = SPAN("Error:")};
	const struct llm_block *content = r->content;

	if (r->is_error && content != NULL && content->kind == LLM_BLOCK_TEXT) {
		failed = *content;
		failed.text =
			arena_join(o->a, (const struct span[]){SPAN("Error: "), content->text}, 2);
		content = &failed;
	} else if (r->is_error) {
		failed.next = r->content;
		content = &failed;
	}
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type",
		is_custom(o->q, r) ? "custom_tool_call_output" : "function_call_output");
	json_put_str(o->b, "call_id", call_id(o, r->id));
	if (!put_parts(o, "output", content))
		return false;
	buf_append_char(o->b, '}');
	return true;
}

static bool put_user(struct out *o, const struct llm_turn *t)
{
	bool any = false, said = false;

	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		said |= is_shown(b);
		if (b->kind != LLM_BLOCK_TOOL_RESULT)
			continue;
		any = true;
		if (!put_result(o, b))
			return false;
	}
	return (any && !said) || put_input_message(o, t);
}

static void put_text(struct out *o, const struct llm_block *b)
{
	json_put_open(o->b, NULL, '{');
	if (b->kind == LLM_BLOCK_REFUSAL) {
		json_put_cstr(o->b, "type", "refusal");
		json_put_str(o->b, "refusal", b->text);
	} else {
		json_put_cstr(o->b, "type", "output_text");
		json_put_str(o->b, "text", b->text);
		json_put_open(o->b, "annotations", '[');
		for (const struct llm_citation *c = b->citations; c != NULL; c = c->next)
			item_put_citation(o->b, NULL, c);
		buf_append_char(o->b, ']');
	}
	buf_append_char(o->b, '}');
}

/* The texts from `b` on that stand together; returns what comes behind them. */
static const struct llm_block *put_said(struct out *o, const struct llm_block *b)
{
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", "message");
	json_put_cstr(o->b, "role", "assistant");
	json_put_open(o->b, "content", '[');
	for (; b != NULL && (b->kind == LLM_BLOCK_TEXT || b->kind == LLM_BLOCK_REFUSAL);
		b = b->next)
		put_text(o, b);
	buf_append_cstr(o->b, "]}");
	return b;
}

static void put_call(struct out *o, const struct llm_block *b)
{
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", b->custom ? "custom_tool_call" : "function_call");
	json_put_str(o->b, "call_id", call_id(o, b->id));
	json_put_str(o->b, "name", llm_fit_name(o->a, b->name, LLM_NAME_MAX));
	json_put_str(o->b, b->custom ? "input" : "arguments",
		b->custom || b->args.n > 0 ? b->args : SPAN("{}"));
	buf_append_char(o->b, '}');
}

static void put_reasoning_item(struct out *o, const struct llm_block *b)
{
	if (!llm_state_fits(&b->state, LLM_MAKER_OPENAI, o->t->provider) || b->state.id.n == 0) {
		llm_note(o->notes, llm_left_out(b));
		return;
	}
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", "reasoning");
	json_put_str(o->b, "id", b->state.id);
	json_put_open(o->b, "summary", '[');
	if (b->text.n > 0)
		item_put_summary(o->b, NULL, b->text);
	buf_append_char(o->b, ']');
	json_put_str(o->b, "encrypted_content", b->state.data);
	buf_append_char(o->b, '}');
}

static bool put_assistant(struct out *o, const struct llm_turn *t)
{
	const struct llm_block *b = t->blocks;

	while (b != NULL) {
		switch (b->kind) {
		case LLM_BLOCK_TEXT:
		case LLM_BLOCK_REFUSAL:
			b = put_said(o, b);
			continue;
		case LLM_BLOCK_TOOL_CALL:
			put_call(o, b);
			break;
		case LLM_BLOCK_THINKING:
			put_reasoning_item(o, b);
			break;
		default:
			if (b->native != NULL && b->native_op == LLM_OP_RESPONSES)
				json_put_val(o->b, NULL, b->native);
			else if (b->kind == LLM_BLOCK_MEDIA &&
				 !unsupported(o, "input", "dropped:assistant_media", false))
				return false;
			break;
		}
		b = b->next;
	}
	return true;
}

/* The first system turn, where it is one text: the format's own place for it. */
static const struct llm_turn *put_instructions(struct out *o, const struct llm_turn *t)
{
	if (t == NULL || t->role != LLM_ROLE_SYSTEM || t->developer || t->blocks == NULL ||
		t->blocks->next != NULL || t->blocks->kind != LLM_BLOCK_TEXT)
		return t;
	if (t->blocks->cache != LLM_CACHE_NONE)
		llm_note(o->notes, "dropped:cache_control");
	json_put_str(o->b, "instructions", t->blocks->text);
	return t->next;
}

static bool put_input(struct out *o)
{
	const struct llm_turn *t =
		llm_repair_turns(o->q, LLM_PAIR_CALLS | LLM_DROP_NAMES, o->a, o->notes);

	if (t == NULL && o->a->failed)
		return err_set(o->err, ERR_NO_MEMORY, NULL);
	t = put_instructions(o, t);
	json_put_open(o->b, "input", '[');
	for (; t != NULL; t = t->next) {
		bool ok = t->role == LLM_ROLE_SYSTEM      ? put_input_message(o, t)
			  : t->role == LLM_ROLE_ASSISTANT ? put_assistant(o, t)
							  : put_user(o, t);

		if (!ok)
			return false;
	}
	buf_append_char(o->b, ']');
	return true;
}

/* ---- tools ---- */

/* Without `strict` this format would be strict, and no other is. */
static void put_function(struct out *o, struct span name, struct span description,
	yyjson_val *schema, enum llm_maybe strict)
{
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", "function");
	json_put_str(o->b, "name", llm_fit_name(o->a, name, LLM_NAME_MAX));
	if (description.n > 0)
		json_put_str(o->b, "description", description);
	if (schema != NULL)
		json_put_val(o->b, "parameters", schema);
	else
		json_put_raw(o->b, "parameters", SPAN("{\"type\":\"object\",\"properties\":{}}"));
	json_put_bool(o->b, "strict", strict == LLM_YES);
	buf_append_char(o->b, '}');
}

static void put_custom(struct out *o, const struct llm_tool *tool)
{
	yyjson_val *grammar = json_get(tool->format, "grammar");

	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", "custom");
	json_put_str(o->b, "name", llm_fit_name(o->a, tool->name, LLM_NAME_MAX));
	if (tool->description.n > 0)
		json_put_str(o->b, "description", tool->description);
	if (yyjson_is_obj(grammar)) {
		json_put_open(o->b, "format", '{');
		json_put_cstr(o->b, "type", "grammar");
		json_put_str(o->b, "syntax", text_in(grammar, "syntax"));
		json_put_str(o->b, "definition", text_in(grammar, "definition"));
		buf_append_char(o->b, '}');
	} else if (tool->format != NULL) {
		json_put_val(o->b, "format", tool->format);
	}
	buf_append_char(o->b, '}');
}

static void put_search(struct out *o, const struct llm_tool *tool)
{
	if (tool->native_op == LLM_OP_RESPONSES) {
		json_put_val(o->b, NULL, tool->native);
		return;
	}
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", "web_search");
	if (tool->context_size.n > 0)
		json_put_str(o->b, "search_context_size", tool->context_size);
	if (tool->user_location != NULL)
		json_put_val(o->b, "user_location", tool->user_location);
	if (tool->allowed_domains != NULL) {
		json_put_open(o->b, "filters", '{');
		json_put_val(o->b, "allowed_domains", tool->allowed_domains);
		buf_append_char(o->b, '}');
	}
	if (tool->blocked_domains != NULL)
		llm_note(o->notes, "dropped:blocked_domains");
	if (tool->max_uses >= 0)
		llm_note(o->notes, "dropped:max_uses");
	buf_append_char(o->b, '}');
}

static bool put_tool(struct out *o, const struct llm_tool *tool)
{
	switch (tool->kind) {
	case LLM_TOOL_FUNCTION:
		put_function(o, tool->name, tool->description, tool->schema, tool->strict);
		break;
	case LLM_TOOL_CUSTOM:
		put_custom(o, tool);
		break;
	case LLM_TOOL_SEARCH:
		put_search(o, tool);
		break;
	case LLM_TOOL_NATIVE:
		if (tool->native_op == LLM_OP_RESPONSES) {
			json_put_val(o->b, NULL, tool->native);
			break;
		}
		return llm_unsupported_tool(o->t, tool, o->notes, o->err);
	}
	return true;
}

static bool put_tools(struct out *o, struct span schema_tool)
{
	if (o->q->tools == NULL && schema_tool.n == 0)
		return true;
	json_put_open(o->b, "tools", '[');
	for (const struct llm_tool *t = o->q->tools; t != NULL; t = t->next)
		if (!put_tool(o, t))
			return false;
	if (schema_tool.n > 0)
		put_function(o, schema_tool,
			SPAN("Give the final answer: call this with the answer as its arguments."),
			o->q->format.schema, LLM_UNSET);
	buf_append_char(o->b, ']');
	return true;
}

static void put_tool_name(struct out *o, const char *key, struct span name)
{
	const struct llm_tool *tool = llm_find_tool(o->q, name);

	json_put_open(o->b, key, '{');
	if (tool != NULL && tool->kind == LLM_TOOL_SEARCH) {
		json_put_cstr(o->b, "type", "web_search");
	} else {
		json_put_cstr(o->b, "type",
			tool != NULL && tool->kind == LLM_TOOL_CUSTOM ? "custom" : "function");
		json_put_str(o->b, "name", llm_fit_name(o->a, name, LLM_NAME_MAX));
	}
	buf_append_char(o->b, '}');
}

static void put_allowed(struct out *o, const char *mode)
{
	json_put_open(o->b, "tool_choice", '{');
	json_put_cstr(o->b, "type", "allowed_tools");
	json_put_cstr(o->b, "mode", mode);
	json_put_open(o->b, "tools", '[');
	for (const struct llm_name *n = o->q->choice_names; n != NULL; n = n->next)
		put_tool_name(o, NULL, n->text);
	buf_append_cstr(o->b, "]}");
}

static void put_choice(struct out *o, struct span schema_tool)
{
	if (schema_tool.n > 0) {
		json_put_cstr(o->b, "tool_choice", "required");
		return;
	}
	if (o->q->tools == NULL)
		return;
	switch (o->q->choice) {
	case LLM_CHOICE_UNSET:
		break;
	case LLM_CHOICE_AUTO:
		json_put_cstr(o->b, "tool_choice", "auto");
		break;
	case LLM_CHOICE_NONE:
		json_put_cstr(o->b, "tool_choice", "none");
		break;
	case LLM_CHOICE_REQUIRED:
		json_put_cstr(o->b, "tool_choice", "required");
		break;
	case LLM_CHOICE_NAMED:
		if (o->q->choice_names != NULL)
			put_tool_name(o, "tool_choice", o->q->choice_names->text);
		break;
	case LLM_CHOICE_ALLOWED:
		put_allowed(o, "auto");
		break;
	case LLM_CHOICE_ALLOWED_ONE:
		put_allowed(o, "required");
		break;
	}
	if (o->q->parallel != LLM_UNSET)
		json_put_bool(o->b, "parallel_tool_calls", o->q->parallel == LLM_YES);
}

/* ---- text and reasoning ---- */

static void put_schema(struct out *o)
{
	const struct llm_format *f = &o->q->format;

	json_put_open(o->b, "format", '{');
	json_put_cstr(o->b, "type", "json_schema");
	json_put_str(o->b, "name", f->name.n > 0 ? f->name : SPAN("output"));
	if (f->description.n > 0)
		json_put_str(o->b, "description", f->description);
	if (f->schema != NULL)
		json_put_val(o->b, "schema", f->schema);
	else
		json_put_raw(o->b, "schema", SPAN("{\"type\":\"object\"}"));
	json_put_bool(o->b, "strict", f->strict == LLM_YES);
	buf_append_char(o->b, '}');
}

static bool put_format(struct out *o, struct span schema_tool)
{
	enum llm_format_kind kind = o->q->format.kind;
	bool schema = kind == LLM_FORMAT_SCHEMA && schema_tool.n == 0;

	if (schema && o->t->quirks->schema == LLM_SCHEMA_NONE)
		return unsupported(o, "response_format", "dropped:response_format", true);
	if (!schema && kind != LLM_FORMAT_OBJECT && o->q->verbosity.n == 0)
		return true;
	json_put_open(o->b, "text", '{');
	if (schema)
		put_schema(o);
	else if (kind == LLM_FORMAT_OBJECT)
		json_put_raw(o->b, "format", SPAN("{\"type\":\"json_object\"}"));
	if (o->q->verbosity.n > 0)
		json_put_str(o->b, "verbosity", o->q->verbosity);
	buf_append_char(o->b, '}');
	return true;
}

static bool has_logprobs(const struct out *o)
{
	return o->q->logprobs == LLM_YES && !o->t->quirks->no_sampling;
}

static void put_include(struct out *o, bool encrypted)
{
	if (!encrypted && !has_logprobs(o))
		return;
	json_put_open(o->b, "include", '[');
	if (encrypted)
		json_put_cstr(o->b, NULL, "reasoning.encrypted_content");
	if (has_logprobs(o))
		json_put_cstr(o->b, NULL, "message.output_text.logprobs");
	buf_append_char(o->b, ']');
}

/*
 * Nothing is stored at the provider unless the client asked for it: reasoning then goes with the
 * answer, encrypted, and comes back with the next request.
 */
static void put_reasoning(struct out *o)
{
	const struct llm_model *facts = o->t->facts;
	/* Switched off is no level: models that cannot reason refuse all of them. */
	enum llm_effort e = o->q->reasoning.thinking == LLM_THINKING_OFF
				    ? LLM_EFFORT_UNSET
				    : llm_wanted_effort(&o->q->reasoning);
	bool can = facts == NULL || (facts->can & LLM_CAN_REASON) != 0;
	bool wanted = e != LLM_EFFORT_UNSET || o->q->reasoning.summary.n > 0;

	if (can && wanted) {
		json_put_open(o->b, "reasoning", '{');
		if (e != LLM_EFFORT_UNSET)
			json_put_cstr(o->b, "effort", llm_effort_name(llm_openai_effort(e)));
		if (o->q->reasoning.summary.n > 0)
			json_put_str(o->b, "summary", o->q->reasoning.summary);
		buf_append_char(o->b, '}');
	}
	put_include(o, can && (wanted || facts != NULL) && o->q->store != LLM_YES);
}

/* ---- scalars ---- */

static bool put_numbers(struct out *o)
{
	const struct llm_request *q = o->q;
	const struct {
		const char *key, *note;
		struct span value;
	} lost[] = {{"presence_penalty", "dropped:presence_penalty", q->presence_penalty},
		{"frequency_penalty", "dropped:frequency_penalty", q->frequency_penalty},
		{"seed", "dropped:seed", q->seed}, {"top_k", "dropped:top_k", q->top_k}};
	bool refused = o->t->quirks->no_sampling;

	if (q->temperature.n > 0 && !refused)
		json_put_raw(o->b, "temperature", q->temperature);
	else if (q->temperature.n > 0 &&
		 !unsupported(o, "temperature", "dropped:temperature", false))
		return false;
	if (q->top_p.n > 0 && !refused)
		json_put_raw(o->b, "top_p", q->top_p);
	else if (q->top_p.n > 0 && !unsupported(o, "top_p", "dropped:top_p", false))
		return false;
	if (has_logprobs(o) && q->top_logprobs > 0)
		json_put_int(o->b, "top_logprobs", q->top_logprobs);
	else if (q->logprobs == LLM_YES && refused &&
		 !unsupported(o, "logprobs", "dropped:logprobs", false))
		return false;
	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++)
		if (lost[i].value.n > 0 && !unsupported(o, lost[i].key, lost[i].note, false))
			return false;
	return true;
}

static bool put_details(struct out *o)
{
	const struct llm_request *q = o->q;

	if (q->max_output > 0)
		json_put_int(o->b, "max_output_tokens",
			q->max_output < MIN_OUTPUT ? MIN_OUTPUT : q->max_output);
	if (q->max_output > 0 && q->max_output < MIN_OUTPUT)
		llm_note(o->notes, "approx:max_output_tokens");
	if (q->user.n > 0)
		json_put_str(o->b, "user", q->user);
	if (q->prompt_cache_key.n > 0)
		json_put_str(o->b, "prompt_cache_key", q->prompt_cache_key);
	if (q->prompt_cache_retention.n > 0)
		json_put_str(o->b, "prompt_cache_retention", q->prompt_cache_retention);
	if (q->metadata != NULL)
		json_put_val(o->b, "metadata", q->metadata);
	if (q->service_tier.n > 0)
		json_put_str(o->b, "service_tier",
			span_is(q->service_tier, "standard_only") ? SPAN("default")
								  : q->service_tier);
	json_put_bool(o->b, "store", q->store == LLM_YES);
	if (q->stream)
		json_put_bool(o->b, "stream", true);
	return true;
}

/* What has no place in this format. */
static bool check(struct out *o)
{
	const struct llm_request *q = o->q;

	if (q->n > 1 && !unsupported(o, "n", "dropped:n", true))
		return false;
	if (q->stops != NULL && !unsupported(o, "stop", "dropped:stop", true))
		return false;
	if (q->wants_audio && !unsupported(o, "modalities", "dropped:audio", true))
		return false;
	if (q->needs_state.n > 0)
		return llm_refuse(o->t, arena_cstr(o->a, q->needs_state),
			"what only a provider that stores answers can know", o->err);
	if (q->logit_bias != NULL && !unsupported(o, "logit_bias", "dropped:logit_bias", false))
		return false;
	return llm_unsupported_unknown(o->t, q->unknown, o->a, o->notes, o->err);
}

/* What stays the same from turn to turn comes first: prompt caches look at the beginning. */
bool responses_write_request(const struct llm_request *q, const struct llm_target *t,
	struct arena *a, struct buf *b, struct llm_notes *notes, struct err *err)
{
	struct out o = {q, t, a, b, notes, err};
	struct span schema_tool = llm_schema_tool(q, t, LLM_OP_RESPONSES);

	if (!check(&o))
		return false;
	buf_append_char(b, '{');
	json_put_str(b, "model", t->model);
	if (!put_tools(&o, schema_tool))
		return false;
	put_choice(&o, schema_tool);
	put_reasoning(&o);
	if (!put_format(&o, schema_tool) || !put_numbers(&o) || !put_details(&o) || !put_input(&o))
		return false;
	buf_append_char(b, '}');
	return (!b->failed && !a->failed) || err_set(err, ERR_NO_MEMORY, NULL);
}
