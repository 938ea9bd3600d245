/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_put.h"
#include "meaning/dialect/openai_chat/openai_chat.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"
#include "meaning/llm/names.h"
#include "meaning/llm/reasoning.h"
#include "meaning/llm/repair.h"
#include "meaning/llm/schema.h"

#define NO_IMAGE "(The tool's result is the picture in the next message.)"

struct out {
	const struct llm_request *q;
	const struct llm_target *t;
	const struct llm_quirks *quirks;
	struct arena *a;
	struct buf *b;
	struct llm_notes *notes;
	struct err *err;
};

static bool unsupported(struct out *o, const char *param, const char *note, bool meaning)
{
	return llm_unsupported(o->t, param, note, meaning, o->notes, o->err);
}

/* ---- contents ---- */

static bool is_only_text(const struct llm_block *b)
{
	for (; b != NULL; b = b->next)
		if (b->kind != LLM_BLOCK_TEXT || b->cache != LLM_CACHE_NONE)
			return false;
	return true;
}

/* All texts one behind the other, a line apart. */
static struct span joined(struct out *o, const struct llm_block *b)
{
	struct span text = {NULL, 0};

	for (; b != NULL; b = b->next) {
		if (b->kind != LLM_BLOCK_TEXT && b->kind != LLM_BLOCK_REFUSAL)
			continue;
		if (text.p == NULL)
			text = b->text;
		else
			text = arena_join(
				o->a, (const struct span[]){text, SPAN("\n\n"), b->text}, 3);
	}
	return text;
}

static void put_mark(struct out *o, enum llm_cache_mark mark)
{
	if (mark == LLM_CACHE_NONE)
		return;
	if (!o->quirks->cache_control) {
		llm_note(o->notes, "dropped:cache_control");
		return;
	}
	json_put_raw(o->b, "cache_control",
		mark == LLM_CACHE_1H ? SPAN("{\"type\":\"ephemeral\",\"ttl\":\"1h\"}")
				     : SPAN("{\"type\":\"ephemeral\"}"));
}

static void put_address(struct out *o, const char *key, const struct llm_media *m)
{
	if (m->from == LLM_FROM_BASE64)
		llm_media_put_url(o->b, key, m);
	else
		json_put_str(o->b, key, m->data);
}

static void put_image(struct out *o, const struct llm_media *m)
{
	json_put_cstr(o->b, "type", "image_url");
	json_put_open(o->b, "image_url", '{');
	put_address(o, "url", m);
	if (m->detail.n > 0)
		json_put_str(o->b, "detail", m->detail);
	buf_append_char(o->b, '}');
}

static bool put_audio(struct out *o, const struct llm_media *m)
{
	const char *format = llm_media_format(llm_media_type(m));

	if (m->from != LLM_FROM_BASE64)
		return llm_refuse(o->t, "messages", "sound by address", o->err);
	json_put_cstr(o->b, "type", "input_audio");
	json_put_open(o->b, "input_audio", '{');
	json_put_str(o->b, "data", m->data);
	json_put_cstr(o->b, "format", format != NULL ? format : "wav");
	buf_append_char(o->b, '}');
	return true;
}

static bool put_file(struct out *o, const struct llm_media *m)
{
	if (o->quirks->no_documents)
		return llm_refuse(o->t, "messages", "documents", o->err);
	if (m->maker == LLM_MAKER_ANTHROPIC)
		return llm_refuse(o->t, "messages", "a file of another account", o->err);
	json_put_cstr(o->b, "type", "file");
	json_put_open(o->b, "file", '{');
	if (m->from == LLM_FROM_FILE_ID) {
		json_put_str(o->b, "file_id", m->data);
	} else {
		json_put_str(o->b, "filename",
			m->name.n > 0    ? m->name
			: m->title.n > 0 ? m->title
					 : SPAN("unnamed.pdf"));
		put_address(o, "file_data", m);
	}
	buf_append_char(o->b, '}');
	return true;
}

static bool put_media(struct out *o, const struct llm_media *m)
{
	if (m->kind == LLM_MEDIA_IMAGE) {
		if (m->from == LLM_FROM_FILE_ID)
			return llm_refuse(o->t, "messages", "an image of another account", o->err);
		put_image(o, m);
		return true;
	}
	if (m->kind == LLM_MEDIA_AUDIO)
		return put_audio(o, m);
	if (m->kind == LLM_MEDIA_VIDEO)
		return llm_refuse(o->t, "messages", "video", o->err);
	if (m->from != LLM_FROM_TEXT)
		return put_file(o, m);
	json_put_cstr(o->b, "type", "text");
	json_put_str(o->b, "text", m->data);
	return true;
}

static bool is_shown(const struct llm_block *b)
{
	return b->kind == LLM_BLOCK_TEXT || b->kind == LLM_BLOCK_REFUSAL ||
	       b->kind == LLM_BLOCK_MEDIA;
}

static bool put_part(struct out *o, const struct llm_block *b)
{
	json_put_open(o->b, NULL, '{');
	if (b->kind == LLM_BLOCK_MEDIA) {
		if (!put_media(o, &b->media))
			return false;
	} else {
		json_put_cstr(o->b, "type", "text");
		json_put_str(o->b, "text", b->text);
	}
	put_mark(o, b->cache);
	buf_append_char(o->b, '}');
	return true;
}

/* One text is a string; everything else a list of parts. */
static bool put_content(struct out *o, const struct llm_block *blocks)
{
	bool plain = is_only_text(blocks) && (blocks == NULL || blocks->next == NULL);

	if (plain || (o->quirks->text_only_content && is_only_text(blocks))) {
		json_put_str(o->b, "content", joined(o, blocks));
		return true;
	}
	json_put_open(o->b, "content", '[');
	for (const struct llm_block *b = blocks; b != NULL; b = b->next)
		if (is_shown(b) && !put_part(o, b))
			return false;
	buf_append_char(o->b, ']');
	return true;
}

/* ---- messages ---- */

static void begin_message(struct out *o, const char *role)
{
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "role", role);
}

static bool put_system(struct out *o, const struct llm_turn *t, const char *instruction)
{
	begin_message(o, t->developer && !o->quirks->no_developer ? "developer" : "system");
	if (instruction != NULL) {
		json_put_str(o->b, "content",
			arena_join(o->a,
				(const struct span[]){
					joined(o, t->blocks), SPAN("\n\n"), span_of(instruction)},
				3));
	} else if (!put_content(o, t->blocks)) {
		return false;
	}
	buf_append_char(o->b, '}');
	return true;
}

static struct span call_id(struct out *o, struct span id)
{
	return llm_fit_id(o->a, id, LLM_NAME_MAX, o->quirks->tool_ids_9 ? 9 : 0);
}

/* A tool's message holds text only: pictures follow in a message of the user. */
static bool put_result(struct out *o, const struct llm_block *r, bool *has_media)
{
	struct span text = joined(o, r->content);
	bool media = false;

	for (const struct llm_block *b = r->content; b != NULL; b = b->next)
		media |= b->kind == LLM_BLOCK_MEDIA;
	*has_media |= media;
	if (text.n == 0 && media)
		text = SPAN(NO_IMAGE);
	if (r->is_error)
		text = arena_join(o->a, (const struct span[]){SPAN("Error: "), text}, 2);
	begin_message(o, "tool");
	json_put_str(o->b, "tool_call_id", call_id(o, r->id));
	json_put_str(o->b, "content", text);
	put_mark(o, r->cache);
	buf_append_char(o->b, '}');
	return true;
}

static bool put_result_media(struct out *o, const struct llm_turn *t)
{
	begin_message(o, "user");
	json_put_open(o->b, "content", '[');
	for (const struct llm_block *r = t->blocks; r != NULL; r = r->next) {
		if (r->kind != LLM_BLOCK_TOOL_RESULT)
			continue;
		for (const struct llm_block *b = r->content; b != NULL; b = b->next)
			if (b->kind == LLM_BLOCK_MEDIA && !put_part(o, b))
				return false;
	}
	buf_append_cstr(o->b, "]}");
	llm_note(o->notes, "approx:tool_result_image");
	return true;
}

static bool put_user(struct out *o, const struct llm_turn *t)
{
	struct llm_block *said = NULL, **end = &said;
	bool has_media = false, any = false;

	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		if (b->kind == LLM_BLOCK_TOOL_RESULT) {
			any = true;
			if (!put_result(o, b, &has_media))
				return false;
			continue;
		}
		if (!is_shown(b))
			continue;
		*end = arena_alloc(o->a, sizeof(**end));
		if (*end == NULL)
			return err_set(o->err, ERR_NO_MEMORY, NULL);
		**end = *b;
		(*end)->next = NULL;
		end = &(*end)->next;
	}
	if (has_media && !put_result_media(o, t))
		return false;
	if (said == NULL && any)
		return true;
	begin_message(o, "user");
	if (!put_content(o, said))
		return false;
	if (t->name.n > 0)
		json_put_str(o->b, "name", t->name);
	buf_append_char(o->b, '}');
	return true;
}

/* ---- the assistant's ---- */

static void put_call(struct out *o, const struct llm_block *c)
{
	json_put_open(o->b, NULL, '{');
	json_put_str(o->b, "id", call_id(o, c->id));
	json_put_cstr(o->b, "type", "function");
	json_put_open(o->b, "function", '{');
	json_put_str(o->b, "name", llm_fit_name(o->a, c->name, LLM_NAME_MAX));
	if (c->custom) {
		struct buf args;

		buf_init(&args, o->b->max_bytes);
		buf_append_char(&args, '{');
		json_put_str(&args, "input", c->args);
		buf_append_char(&args, '}');
		json_put_str(o->b, "arguments", buf_span(&args));
		o->b->failed |= args.failed;
		buf_done(&args);
	} else {
		json_put_str(o->b, "arguments", c->args.n > 0 ? c->args : SPAN("{}"));
	}
	buf_append_char(o->b, '}');
	if (llm_state_fits(&c->state, LLM_MAKER_GEMINI, o->t->provider)) {
		json_put_open(o->b, "extra_content", '{');
		json_put_open(o->b, "google", '{');
		json_put_str(o->b, "thought_signature", c->state.data);
		buf_append_cstr(o->b, "}}");
	}
	buf_append_char(o->b, '}');
}

static void put_reasoning_text(struct out *o, const struct llm_turn *t)
{
	struct span text = {NULL, 0};

	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
		if (b->kind == LLM_BLOCK_THINKING && b->text.n > 0)
			text = text.p == NULL
				       ? b->text
				       : arena_join(o->a, (const struct span[]){text, b->text}, 2);
	if (text.n > 0)
		json_put_str(o->b, "reasoning_content", text);
}

/* A client can put anything where our state stood: what is no object is not sent. */
static void put_own_detail(struct out *o, struct span text)
{
	yyjson_doc *doc = json_read_raw(NULL, text, false, NULL);

	if (yyjson_is_obj(yyjson_doc_get_root(doc)))
		json_put_val(o->b, NULL, yyjson_doc_get_root(doc));
	else
		llm_note(o->notes, "dropped:reasoning_state");
	json_free(doc);
}

static void put_reasoning_details(struct out *o, const struct llm_turn *t)
{
	json_put_open(o->b, "reasoning_details", '[');
	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		if (b->kind != LLM_BLOCK_THINKING)
			continue;
		if (llm_state_fits(&b->state, LLM_MAKER_OPENROUTER, o->t->provider)) {
			put_own_detail(o, b->state.data);
			continue;
		}
		if (b->state.maker != LLM_MAKER_NONE)
			llm_note(o->notes, "dropped:reasoning_state");
		if (b->text.n == 0)
			continue;
		json_put_open(o->b, NULL, '{');
		json_put_cstr(o->b, "type", "reasoning.text");
		json_put_str(o->b, "text", b->text);
		buf_append_char(o->b, '}');
	}
	buf_append_char(o->b, ']');
}

static void put_earlier_reasoning(struct out *o, const struct llm_turn *t)
{
	bool any = false;

	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
		any |= b->kind == LLM_BLOCK_THINKING;
	if (!any)
		return;
	if (o->quirks->back == LLM_BACK_DETAILS) {
		put_reasoning_details(o, t);
		return;
	}
	if (o->quirks->back == LLM_BACK_CONTENT)
		put_reasoning_text(o, t);
	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
		if (b->kind == LLM_BLOCK_THINKING && b->state.maker != LLM_MAKER_NONE)
			llm_note(o->notes, "dropped:reasoning_state");
}

static struct span add_text(struct out *o, struct span text, struct span more)
{
	return text.p == NULL ? more : arena_join(o->a, (const struct span[]){text, more}, 2);
}

static bool put_assistant(struct out *o, const struct llm_turn *t)
{
	struct span text = {NULL, 0}, refusal = {NULL, 0};
	int n_calls = 0;

	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		n_calls += b->kind == LLM_BLOCK_TOOL_CALL;
		if (b->kind == LLM_BLOCK_MEDIA &&
			!unsupported(o, "messages", "dropped:assistant_media", false))
			return false;
		/* Servers that know only the older name of the cap do not know refusals either. */
		if (b->kind == LLM_BLOCK_TEXT ||
			(b->kind == LLM_BLOCK_REFUSAL && o->quirks->max_tokens))
			text = add_text(o, text, b->text);
		else if (b->kind == LLM_BLOCK_REFUSAL)
			refusal = add_text(o, refusal, b->text);
	}
	begin_message(o, "assistant");
	if (text.n > 0 || (n_calls == 0 && refusal.n == 0))
		json_put_str(o->b, "content", text);
	else
		json_put_null(o->b, "content");
	if (refusal.n > 0)
		json_put_str(o->b, "refusal", refusal);
	put_earlier_reasoning(o, t);
	if (n_calls > 0) {
		json_put_open(o->b, "tool_calls", '[');
		for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
			if (b->kind == LLM_BLOCK_TOOL_CALL)
				put_call(o, b);
		buf_append_char(o->b, ']');
	}
	buf_append_char(o->b, '}');
	return true;
}

/* The JSON mode that a server lacks is asked for in the system prompt. */
static const char *instruction_of(struct out *o)
{
	enum llm_format_kind kind = o->q->format.kind;

	if ((kind == LLM_FORMAT_OBJECT && o->quirks->no_json_object)) {
		llm_note(o->notes, "approx:response_format");
		return llm_json_instruction;
	}
	return NULL;
}

static bool put_messages(struct out *o)
{
	const unsigned repairs =
		LLM_PAIR_CALLS | (o->quirks->no_name ? LLM_DROP_NAMES : 0) |
		(o->quirks->alternates ? LLM_MERGE_ROLES | LLM_DROP_EMPTY | LLM_SYSTEM_AS_USER : 0);
	const struct llm_turn *t = llm_repair_turns(o->q, repairs, o->a, o->notes);
	const char *instruction = instruction_of(o);
	const struct llm_turn none = {.role = LLM_ROLE_SYSTEM};

	if (t == NULL && o->a->failed)
		return err_set(o->err, ERR_NO_MEMORY, NULL);
	json_put_open(o->b, "messages", '[');
	if (instruction != NULL && (t == NULL || t->role != LLM_ROLE_SYSTEM)) {
		if (!put_system(o, &none, instruction))
			return false;
		instruction = NULL;
	}
	for (; t != NULL; t = t->next) {
		bool ok = t->role == LLM_ROLE_SYSTEM      ? put_system(o, t, instruction)
			  : t->role == LLM_ROLE_ASSISTANT ? put_assistant(o, t)
							  : put_user(o, t);

		if (!ok)
			return false;
		instruction = NULL;
	}
	buf_append_char(o->b, ']');
	return true;
}

/* ---- tools ---- */

static bool is_offered(const struct out *o, const struct llm_tool *tool)
{
	bool filtered =
		o->q->choice == LLM_CHOICE_ALLOWED || o->q->choice == LLM_CHOICE_ALLOWED_ONE;

	return !filtered || llm_is_named(o->q->choice_names, tool->name);
}

static void put_function(struct out *o, struct span name, struct span description,
	yyjson_val *schema, enum llm_maybe strict, enum llm_cache_mark mark)
{
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", "function");
	json_put_open(o->b, "function", '{');
	json_put_str(o->b, "name", llm_fit_name(o->a, name, LLM_NAME_MAX));
	if (description.n > 0)
		json_put_str(o->b, "description", description);
	if (schema != NULL)
		json_put_val(o->b, "parameters", schema);
	else
		json_put_raw(o->b, "parameters", SPAN("{\"type\":\"object\",\"properties\":{}}"));
	if (strict != LLM_UNSET && !o->quirks->no_strict)
		json_put_bool(o->b, "strict", strict == LLM_YES);
	buf_append_char(o->b, '}');
	put_mark(o, mark);
	buf_append_char(o->b, '}');
}

/* A tool that takes free text, for servers that know functions alone. */
static void put_custom(struct out *o, const struct llm_tool *tool)
{
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", "function");
	json_put_open(o->b, "function", '{');
	json_put_str(o->b, "name", llm_fit_name(o->a, tool->name, LLM_NAME_MAX));
	if (tool->description.n > 0)
		json_put_str(o->b, "description", tool->description);
	json_put_raw(o->b, "parameters",
		SPAN("{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
		     "\"required\":[\"input\"],\"additionalProperties\":false}"));
	buf_append_cstr(o->b, "}}");
	llm_note(o->notes, "approx:custom_tool");
}

static bool put_search(struct out *o, const struct llm_tool *tool)
{
	json_put_open(o->b, "web_search_options", '{');
	if (tool->context_size.n > 0)
		json_put_str(o->b, "search_context_size", tool->context_size);
	if (tool->user_location != NULL)
		json_put_val(o->b, "user_location", tool->user_location);
	buf_append_char(o->b, '}');
	if (tool->allowed_domains != NULL)
		llm_note(o->notes, "dropped:allowed_domains");
	if (tool->blocked_domains != NULL)
		llm_note(o->notes, "dropped:blocked_domains");
	if (tool->max_uses >= 0)
		llm_note(o->notes, "dropped:max_uses");
	return true;
}

static bool put_tools(struct out *o, struct span schema_tool)
{
	const struct llm_tool *search = NULL;
	bool any = false;

	for (const struct llm_tool *t = o->q->tools; t != NULL; t = t->next) {
		if (t->kind == LLM_TOOL_NATIVE && !llm_unsupported_tool(o->t, t, o->notes, o->err))
			return false;
		if (t->kind == LLM_TOOL_SEARCH)
			search = t;
		if ((t->kind != LLM_TOOL_FUNCTION && t->kind != LLM_TOOL_CUSTOM) ||
			!is_offered(o, t))
			continue;
		if (o->quirks->no_tools)
			return unsupported(o, "tools", "dropped:tools", true);
		if (!any)
			json_put_open(o->b, "tools", '[');
		any = true;
		if (t->kind == LLM_TOOL_CUSTOM)
			put_custom(o, t);
		else
			put_function(o, t->name, t->description, t->schema, t->strict, t->cache);
	}
	if (schema_tool.n > 0) {
		if (!any)
			json_put_open(o->b, "tools", '[');
		any = true;
		put_function(o, schema_tool,
			SPAN("Give the final answer: call this with the answer as its arguments."),
			o->q->format.schema, LLM_UNSET, LLM_CACHE_NONE);
	}
	if (any)
		buf_append_char(o->b, ']');
	return search == NULL || put_search(o, search);
}

static void put_named(struct out *o, struct span name)
{
	json_put_open(o->b, "tool_choice", '{');
	json_put_cstr(o->b, "type", "function");
	json_put_open(o->b, "function", '{');
	json_put_str(o->b, "name", llm_fit_name(o->a, name, LLM_NAME_MAX));
	buf_append_cstr(o->b, "}}");
}

static void put_choice(struct out *o, struct span schema_tool)
{
	const char *required = o->quirks->any_for_required ? "any" : "required";
	bool has_tools = false;

	for (const struct llm_tool *t = o->q->tools; t != NULL; t = t->next)
		has_tools |= t->kind == LLM_TOOL_FUNCTION || t->kind == LLM_TOOL_CUSTOM;
	if (schema_tool.n > 0) {
		/* The caller's own tools stay callable. */
		if (has_tools)
			json_put_cstr(o->b, "tool_choice", required);
		else
			put_named(o, schema_tool);
		return;
	}
	if (!has_tools)
		return;
	switch (o->q->choice) {
	case LLM_CHOICE_UNSET:
		break;
	case LLM_CHOICE_AUTO:
	case LLM_CHOICE_ALLOWED:
		json_put_cstr(o->b, "tool_choice", "auto");
		break;
	case LLM_CHOICE_NONE:
		json_put_cstr(o->b, "tool_choice", "none");
		break;
	case LLM_CHOICE_REQUIRED:
	case LLM_CHOICE_ALLOWED_ONE:
		json_put_cstr(o->b, "tool_choice", required);
		break;
	case LLM_CHOICE_NAMED:
		if (o->q->choice_names != NULL)
			put_named(o, o->q->choice_names->text);
		break;
	}
	if (o->q->choice == LLM_CHOICE_ALLOWED || o->q->choice == LLM_CHOICE_ALLOWED_ONE)
		llm_note(o->notes, "approx:allowed_tools");
	if (o->q->parallel != LLM_UNSET && !o->quirks->no_parallel)
		json_put_bool(o->b, "parallel_tool_calls", o->q->parallel == LLM_YES);
}

/* ---- format and reasoning ---- */

static bool put_format(struct out *o, struct span schema_tool)
{
	const struct llm_format *f = &o->q->format;

	if (f->kind == LLM_FORMAT_OBJECT && !o->quirks->no_json_object)
		json_put_raw(o->b, "response_format", SPAN("{\"type\":\"json_object\"}"));
	if (f->kind != LLM_FORMAT_SCHEMA || schema_tool.n > 0)
		return true;
	if (o->quirks->schema == LLM_SCHEMA_NONE)
		return unsupported(o, "response_format", "dropped:response_format", true);
	json_put_open(o->b, "response_format", '{');
	json_put_cstr(o->b, "type", "json_schema");
	json_put_open(o->b, "json_schema", '{');
	json_put_str(o->b, "name", f->name.n > 0 ? f->name : SPAN("output"));
	if (f->description.n > 0)
		json_put_str(o->b, "description", f->description);
	if (f->schema != NULL)
		json_put_val(o->b, "schema", f->schema);
	if (f->strict != LLM_UNSET)
		json_put_bool(o->b, "strict", f->strict == LLM_YES);
	buf_append_cstr(o->b, "}}");
	return true;
}

static void put_reasoning_object(struct out *o, enum llm_effort e)
{
	json_put_open(o->b, "reasoning", '{');
	if (o->q->reasoning.thinking == LLM_THINKING_OFF)
		json_put_bool(o->b, "enabled", false);
	else if (o->q->reasoning.budget >= 0)
		json_put_int(o->b, "max_tokens", o->q->reasoning.budget);
	else
		json_put_cstr(o->b, "effort", llm_effort_name(e));
	buf_append_char(o->b, '}');
}

static void put_reasoning(struct out *o)
{
	enum llm_effort e = llm_wanted_effort(&o->q->reasoning);
	bool off = o->q->reasoning.thinking == LLM_THINKING_OFF || e == LLM_EFFORT_NONE;

	if (e == LLM_EFFORT_UNSET)
		return;
	if (o->t->facts != NULL && (o->t->facts->can & LLM_CAN_REASON) == 0)
		return; /* models that do not reason ignore the wish */
	switch (o->quirks->reasoning) {
	case LLM_REASON_EFFORT:
		/* Switched off is no level: models that cannot reason refuse all of them. */
		if (o->q->reasoning.thinking == LLM_THINKING_OFF)
			break;
		json_put_cstr(o->b, "reasoning_effort", llm_effort_name(llm_openai_effort(e)));
		break;
	case LLM_REASON_NONE:
		break;
	case LLM_REASON_THINKING:
		json_put_raw(o->b, "thinking",
			off ? SPAN("{\"type\":\"disabled\"}") : SPAN("{\"type\":\"enabled\"}"));
		break;
	case LLM_REASON_OBJECT:
		put_reasoning_object(o, e);
		break;
	case LLM_REASON_ENABLE:
		json_put_bool(o->b, "enable_thinking", !off);
		if (!off && o->q->reasoning.budget >= 0)
			json_put_int(o->b, "thinking_budget", o->q->reasoning.budget);
		break;
	}
}

/* ---- scalars ---- */

struct scalar {
	const char *key, *note;
	struct span value;
	bool refused;
};

static bool put_numbers(struct out *o)
{
	const struct llm_request *q = o->q;
	const struct llm_quirks *k = o->quirks;
	const struct scalar numbers[] = {
		{"temperature", "dropped:temperature", q->temperature, k->no_sampling},
		{"top_p", "dropped:top_p", q->top_p, k->no_sampling},
		{"presence_penalty", "dropped:presence_penalty", q->presence_penalty,
			k->no_penalties},
		{"frequency_penalty", "dropped:frequency_penalty", q->frequency_penalty,
			k->no_penalties},
		{k->random_seed ? "random_seed" : "seed", "dropped:seed", q->seed, k->no_seed},
		{"top_k", "dropped:top_k", q->top_k, !k->top_k},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const struct scalar *s = &numbers[i];

		if (s->value.n == 0)
			continue;
		if (!s->refused)
			json_put_raw(o->b, s->key, s->value);
		else if (!unsupported(o, s->key, s->note, false))
			return false;
	}
	return true;
}

static bool put_stops(struct out *o)
{
	if (o->q->stops == NULL)
		return true;
	if (o->quirks->no_stop)
		return unsupported(o, "stop", "dropped:stop", true);
	json_put_open(o->b, "stop", '[');
	for (const struct llm_name *n = o->q->stops; n != NULL; n = n->next)
		json_put_str(o->b, NULL, n->text);
	buf_append_char(o->b, ']');
	return true;
}

static bool put_details(struct out *o)
{
	const struct llm_request *q = o->q;
	const struct llm_quirks *k = o->quirks;

	if (q->logit_bias != NULL && !k->no_logit_bias)
		json_put_val(o->b, "logit_bias", q->logit_bias);
	else if (q->logit_bias != NULL &&
		 !unsupported(o, "logit_bias", "dropped:logit_bias", false))
		return false;
	if (q->logprobs == LLM_YES && !k->no_logprobs) {
		json_put_bool(o->b, "logprobs", true);
		if (q->top_logprobs > 0)
			json_put_int(o->b, "top_logprobs", q->top_logprobs);
	} else if (q->logprobs == LLM_YES &&
		   !unsupported(o, "logprobs", "dropped:logprobs", false)) {
		return false;
	}
	if (q->user.n > 0 && !k->no_user)
		json_put_str(o->b, "user", q->user);
	if (q->verbosity.n > 0 && !k->no_store)
		json_put_str(o->b, "verbosity", q->verbosity);
	if (q->prompt_cache_key.n > 0 && !k->no_store)
		json_put_str(o->b, "prompt_cache_key", q->prompt_cache_key);
	if (q->store == LLM_YES && !k->no_store)
		json_put_bool(o->b, "store", true);
	/* OpenAI takes labels of what it stores alone. */
	if (q->metadata != NULL && q->store == LLM_YES && !k->no_metadata)
		json_put_val(o->b, "metadata", q->metadata);
	else if (q->metadata != NULL)
		llm_note(o->notes, "dropped:metadata");
	if (q->service_tier.n > 0 && !k->no_service_tier)
		json_put_str(o->b, "service_tier",
			span_is(q->service_tier, "standard_only") ? SPAN("default")
								  : q->service_tier);
	return true;
}

/* What has no place in this format. */
static bool check(struct out *o)
{
	const struct llm_request *q = o->q;

	if (q->n > 1 && !unsupported(o, "n", "dropped:n", true))
		return false;
	if (q->wants_audio && !unsupported(o, "modalities", "dropped:audio", true))
		return false;
	if (q->needs_state.n > 0)
		return llm_refuse(o->t, arena_cstr(o->a, q->needs_state),
			"what only a provider that stores answers can know", o->err);
	return llm_unsupported_unknown(o->t, q->unknown, o->a, o->notes, o->err);
}

bool openai_write_request(const struct llm_request *q, const struct llm_target *t, struct arena *a,
	struct buf *b, struct llm_notes *notes, struct err *err)
{
	struct out o = {q, t, t->quirks, a, b, notes, err};
	struct span schema_tool = llm_schema_tool(q, t, LLM_OP_CHAT);

	if (!check(&o))
		return false;
	buf_append_char(b, '{');
	json_put_str(b, "model", t->model);
	if (!put_messages(&o))
		return false;
	if (q->max_output > 0)
		json_put_int(b, t->quirks->max_tokens ? "max_tokens" : "max_completion_tokens",
			q->max_output);
	if (!put_numbers(&o) || !put_stops(&o))
		return false;
	if (q->stream) {
		json_put_bool(b, "stream", true);
		if (!t->quirks->no_stream_options)
			json_put_raw(b, "stream_options", SPAN("{\"include_usage\":true}"));
	}
	put_reasoning(&o);
	if (!put_tools(&o, schema_tool))
		return false;
	put_choice(&o, schema_tool);
	if (!put_format(&o, schema_tool) || !put_details(&o))
		return false;
	buf_append_char(b, '}');
	return (!b->failed && !a->failed) || err_set(err, ERR_NO_MEMORY, NULL);
}
