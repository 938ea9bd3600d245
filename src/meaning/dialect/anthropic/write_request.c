/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/base64.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "meaning/dialect/anthropic/anthropic.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"
#include "meaning/llm/names.h"
#include "meaning/llm/reasoning.h"
#include "meaning/llm/repair.h"
#include "meaning/llm/schema.h"

#define DEFAULT_MAX_TOKENS 4096
#define MAX_MARKS 4
#define MIN_CACHED_BYTES 4096       /* 1024 tokens, the least that is kept */
#define MIN_CACHED_BYTES_HAIKU 8192 /* 2048 tokens */
#define MAX_USER_BYTES_SENT 256

struct out {
	const struct llm_request *q;
	const struct llm_target *t;
	struct arena *a;
	struct buf *b;
	struct llm_notes *notes;
	struct err *err;
	struct llm_turn *turns;
	struct span schema_tool;
	int marks_left; /* how many may still be set */
	int marks_skip; /* how many marks in messages are left out, from the front */
	bool thinks;
	int64_t budget, max_output;
};

static bool unsupported(struct out *o, const char *param, const char *note, bool meaning)
{
	return llm_unsupported(o->t, param, note, meaning, o->notes, o->err);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * "claude-opus-4-7": 407; "claude-sonnet-5": 500; "claude-sonnet-4-20250514": 400; 0: it is no
 * Claude, or has no version in its name. A number of the version is one digit, dates are longer.
 */
static int version_of(struct span model)
{
	ptrdiff_t at = span_find(model, SPAN("claude"));
	int major = -1;

	if (at < 0)
		return 0;
	model = span_skip(model, (size_t)at);
	for (size_t i = 0, n; i < model.n; i += n + 1) {
		bool number;

		for (n = 0; i + n < model.n && memchr("-.@:", model.p[i + n], 4) == NULL; n++)
			;
		number = n == 1 && is_digit(model.p[i]);
		if (major >= 0)
			return major * 100 + (number ? model.p[i] - '0' : 0);
		if (number)
			major = model.p[i] - '0';
	}
	return major >= 0 ? major * 100 : 0;
}

/* ---- marks for the prompt cache ---- */

static void put_mark(struct out *o, enum llm_cache_mark mark)
{
	if (mark == LLM_CACHE_NONE)
		return;
	if (o->marks_left == 0) {
		llm_note(o->notes, "dropped:cache_control");
		return;
	}
	o->marks_left--;
	json_put_raw(o->b, "cache_control",
		mark == LLM_CACHE_1H ? SPAN("{\"type\":\"ephemeral\",\"ttl\":\"1h\"}")
				     : SPAN("{\"type\":\"ephemeral\"}"));
}

/* Of the marks in messages the last ones count. */
static void put_message_mark(struct out *o, enum llm_cache_mark mark)
{
	if (mark != LLM_CACHE_NONE && o->marks_skip > 0) {
		o->marks_skip--;
		llm_note(o->notes, "dropped:cache_control");
		return;
	}
	put_mark(o, mark);
}

static int count_block_marks(const struct llm_block *b)
{
	int n = 0;

	for (; b != NULL; b = b->next)
		n += b->cache != LLM_CACHE_NONE && b->kind != LLM_BLOCK_THINKING;
	return n;
}

static size_t text_bytes(const struct llm_block *b)
{
	size_t n = 0;

	for (; b != NULL; b = b->next) {
		n += b->text.n + b->args.n;
		if (b->kind == LLM_BLOCK_MEDIA)
			n += 4096;
		if (b->kind == LLM_BLOCK_TOOL_RESULT)
			n += text_bytes(b->content);
	}
	return n;
}

static struct llm_block *last_markable(struct llm_turn *t)
{
	struct llm_block *last = NULL;

	for (struct llm_block *b = t->blocks; b != NULL; b = b->next)
		if (b->kind == LLM_BLOCK_TEXT || b->kind == LLM_BLOCK_MEDIA ||
			b->kind == LLM_BLOCK_TOOL_RESULT)
			last = b;
	return last;
}

/*
 * Marks where the client set none: the end of the system prompt, the last but one and the last turn
 * of the user. (Tools stand before the system prompt: its mark keeps them too.) They move with
 * the conversation, the bytes before them stay.
 */
static void mark_by_itself(struct out *o)
{
	size_t least = span_find(o->t->model, SPAN("haiku")) >= 0 ? MIN_CACHED_BYTES_HAIKU
								  : MIN_CACHED_BYTES;
	struct llm_block *system = NULL, *users[2] = {NULL, NULL};
	size_t bytes = 0, system_bytes = 0;

	for (struct llm_turn *t = o->turns; t != NULL; t = t->next) {
		struct llm_block *last = last_markable(t);

		bytes += text_bytes(t->blocks);
		if (last == NULL)
			continue;
		if (t->role == LLM_ROLE_SYSTEM) {
			system = last;
			system_bytes = bytes;
		} else if (t->role == LLM_ROLE_USER) {
			users[0] = users[1];
			users[1] = last;
		}
	}
	if (system != NULL && system_bytes >= least)
		system->cache = LLM_CACHE_5M;
	for (int i = 0; i < 2 && bytes >= least; i++)
		if (users[i] != NULL)
			users[i]->cache = LLM_CACHE_5M;
}

static void plan_marks(struct out *o)
{
	int fixed = o->q->cache != LLM_CACHE_NONE, moving = 0;

	for (const struct llm_tool *t = o->q->tools; t != NULL; t = t->next)
		fixed += t->cache != LLM_CACHE_NONE;
	for (const struct llm_turn *t = o->turns; t != NULL; t = t->next)
		*(t->role == LLM_ROLE_SYSTEM ? &fixed : &moving) += count_block_marks(t->blocks);
	if (fixed + moving == 0 && o->t->auto_cache && !o->t->quirks->no_cache_marks) {
		mark_by_itself(o);
		moving = 2;
		fixed = 1;
	}
	o->marks_left = o->t->quirks->no_cache_marks ? 0 : MAX_MARKS;
	if (fixed > MAX_MARKS)
		fixed = MAX_MARKS;
	o->marks_skip = fixed + moving > MAX_MARKS ? fixed + moving - MAX_MARKS : 0;
}

/* ---- blocks ---- */

/* In base64 this format takes PDF alone. */
static bool is_plain_text(const struct llm_media *m, struct span mime)
{
	return m->kind == LLM_MEDIA_DOCUMENT &&
	       span_eq_nocase(span_trim(span_cut(&mime, ';')), SPAN("text/plain"));
}

static bool put_text_source(struct out *o, const struct llm_media *m)
{
	struct buf text;
	bool ok;

	buf_init(&text, m->data.n + 1);
	ok = base64_read(&text, m->data) && text_is_utf8(buf_span(&text));
	if (ok) {
		json_put_cstr(o->b, "type", "text");
		json_put_cstr(o->b, "media_type", "text/plain");
		json_put_str(o->b, "data", buf_span(&text));
		buf_append_char(o->b, '}');
	}
	buf_done(&text);
	return ok || llm_refuse(o->t, "messages", "text that is not UTF-8", o->err);
}

static bool put_source(struct out *o, const struct llm_media *m, struct span mime)
{
	json_put_open(o->b, "source", '{');
	switch (m->from) {
	case LLM_FROM_BASE64:
		if (is_plain_text(m, mime))
			return put_text_source(o, m);
		json_put_cstr(o->b, "type", "base64");
		json_put_str(o->b, "media_type", mime);
		json_put_key(o->b, "data");
		buf_append_char(o->b, '"'); /* base64 needs no escapes */
		buf_append(o->b, m->data);
		buf_append_char(o->b, '"');
		break;
	case LLM_FROM_URL:
		json_put_cstr(o->b, "type", "url");
		json_put_str(o->b, "url", m->data);
		break;
	case LLM_FROM_TEXT:
		json_put_cstr(o->b, "type", "text");
		json_put_cstr(o->b, "media_type", "text/plain");
		json_put_str(o->b, "data", m->data);
		break;
	case LLM_FROM_FILE_ID:
		return llm_refuse(o->t, "messages", "a file of another account", o->err);
	}
	buf_append_char(o->b, '}');
	return true;
}

static bool put_media(struct out *o, const struct llm_media *m)
{
	struct span mime = llm_media_type(m);
	struct span title = m->title.n > 0 ? m->title : m->name;

	if (m->kind == LLM_MEDIA_AUDIO || m->kind == LLM_MEDIA_VIDEO)
		return llm_refuse(o->t, "messages", "sound", o->err);
	if (m->kind == LLM_MEDIA_DOCUMENT && o->t->quirks->no_documents)
		return llm_refuse(o->t, "messages", "documents", o->err);
	json_put_cstr(o->b, "type", m->kind == LLM_MEDIA_IMAGE ? "image" : "document");
	if (m->kind == LLM_MEDIA_IMAGE && mime.n == 0)
		mime = SPAN("image/png");
	if (m->kind == LLM_MEDIA_DOCUMENT && mime.n == 0)
		mime = SPAN("application/pdf");
	if (!put_source(o, m, mime))
		return false;
	if (m->kind != LLM_MEDIA_DOCUMENT)
		return true;
	if (title.n > 0)
		json_put_str(o->b, "title", title);
	if (m->context.n > 0)
		json_put_str(o->b, "context", m->context);
	if (m->citations)
		json_put_raw(o->b, "citations", SPAN("{\"enabled\":true}"));
	return true;
}

/* Such as the references that a search among tools finds. */
static bool is_native(const struct llm_block *b)
{
	return b->kind == LLM_BLOCK_NATIVE && b->native_op == LLM_OP_MESSAGES;
}

static bool put_result_content(struct out *o, const struct llm_block *r)
{
	json_put_open(o->b, "content", '[');
	for (const struct llm_block *b = r->content; b != NULL; b = b->next) {
		if (is_native(b)) {
			json_put_val(o->b, NULL, b->native);
			continue;
		}
		if (b->kind != LLM_BLOCK_MEDIA && b->text.n == 0)
			continue;
		json_put_open(o->b, NULL, '{');
		if (b->kind == LLM_BLOCK_MEDIA) {
			if (!put_media(o, &b->media))
				return false;
		} else {
			json_put_cstr(o->b, "type", "text");
			json_put_str(o->b, "text", b->text);
		}
		buf_append_char(o->b, '}');
	}
	buf_append_char(o->b, ']');
	return true;
}

static bool put_result(struct out *o, const struct llm_block *r)
{
	bool any = false;

	for (const struct llm_block *b = r->content; b != NULL; b = b->next)
		any |= b->kind == LLM_BLOCK_MEDIA || b->text.n > 0 || is_native(b);
	json_put_cstr(o->b, "type", "tool_result");
	json_put_str(o->b, "tool_use_id", llm_fit_id(o->a, r->id, LLM_NAME_MAX, 0));
	if (any && !put_result_content(o, r))
		return false;
	if (r->is_error)
		json_put_bool(o->b, "is_error", true);
	return true;
}

static void put_call(struct out *o, const struct llm_block *c)
{
	json_put_cstr(o->b, "type", "tool_use");
	json_put_str(o->b, "id", llm_fit_id(o->a, c->id, LLM_NAME_MAX, 0));
	json_put_str(o->b, "name", llm_fit_name(o->a, c->name, LLM_NAME_MAX));
	if (!put_args(o->b, "input", c->args, c->custom))
		llm_note(o->notes, "approx:tool_arguments");
}

static bool fits(const struct out *o, const struct llm_block *b)
{
	return llm_state_fits(&b->state, LLM_MAKER_ANTHROPIC, o->t->provider);
}

static void put_thinking(struct out *o, const struct llm_block *b)
{
	json_put_cstr(o->b, "type", b->redacted ? "redacted_thinking" : "thinking");
	if (b->redacted) {
		json_put_str(o->b, "data", b->state.data);
		return;
	}
	json_put_str(o->b, "thinking", b->text);
	json_put_str(o->b, "signature", b->state.data);
}

/* What of a block goes out at all. */
static bool is_sent(struct out *o, const struct llm_block *b)
{
	switch (b->kind) {
	case LLM_BLOCK_TEXT:
	case LLM_BLOCK_REFUSAL:
		return b->text.n > 0;
	case LLM_BLOCK_THINKING:
		if (!fits(o, b))
			llm_note(o->notes, llm_left_out(b));
		return fits(o, b);
	case LLM_BLOCK_NATIVE:
		return is_native(b) && !o->t->quirks->no_server_tools;
	case LLM_BLOCK_SEARCH:
		return false;
	default:
		return true;
	}
}

/* The last text of a turn that the model is to go on with must not end in blanks. */
static struct span trimmed(struct span text)
{
	while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\n' ||
				     text.p[text.n - 1] == '\t' || text.p[text.n - 1] == '\r'))
		text.n--;
	return text;
}

static bool put_block(struct out *o, const struct llm_block *b, bool trim)
{
	if (b->kind == LLM_BLOCK_NATIVE) {
		json_put_val(o->b, NULL, b->native);
		return true;
	}
	json_put_open(o->b, NULL, '{');
	switch (b->kind) {
	case LLM_BLOCK_MEDIA:
		if (!put_media(o, &b->media))
			return false;
		break;
	case LLM_BLOCK_THINKING:
		put_thinking(o, b);
		buf_append_char(o->b, '}');
		return true;
	case LLM_BLOCK_TOOL_CALL:
		put_call(o, b);
		break;
	case LLM_BLOCK_TOOL_RESULT:
		if (!put_result(o, b))
			return false;
		break;
	default:
		json_put_cstr(o->b, "type", "text");
		json_put_str(o->b, "text", trim ? trimmed(b->text) : b->text);
		break;
	}
	put_message_mark(o, b->cache);
	buf_append_char(o->b, '}');
	return true;
}

/* ---- turns ---- */

static bool put_turn(struct out *o, const struct llm_turn *t)
{
	bool assistant = t->role == LLM_ROLE_ASSISTANT, any = false;

	for (const struct llm_block *b = t->blocks; b != NULL && !any; b = b->next)
		any = is_sent(o, b);
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "role", assistant ? "assistant" : "user");
	json_put_open(o->b, "content", '[');
	if (!any) /* what is left out leaves its turn, so that the roles still alternate */
		json_put_raw(o->b, NULL, SPAN("{\"type\":\"text\",\"text\":\".\"}"));
	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
		if (is_sent(o, b) &&
			!put_block(o, b, assistant && t->next == NULL && b->next == NULL))
			return false;
	buf_append_cstr(o->b, "]}");
	return true;
}

static bool put_system(struct out *o)
{
	const char *instruction = NULL;
	bool any = false;

	if (o->q->format.kind == LLM_FORMAT_OBJECT) {
		instruction = llm_json_instruction;
		llm_note(o->notes, "approx:response_format");
	}
	for (const struct llm_turn *t = o->turns; t != NULL && t->role == LLM_ROLE_SYSTEM;
		t = t->next)
		for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
			if (b->kind != LLM_BLOCK_TEXT)
				return llm_refuse(
					o->t, "messages", "pictures in a system message", o->err);
			if (!any)
				json_put_open(o->b, "system", '[');
			any = true;
			json_put_open(o->b, NULL, '{');
			json_put_cstr(o->b, "type", "text");
			json_put_str(o->b, "text", b->text);
			put_mark(o, b->cache);
			buf_append_char(o->b, '}');
		}
	if (instruction != NULL) {
		if (!any)
			json_put_open(o->b, "system", '[');
		any = true;
		json_put_open(o->b, NULL, '{');
		json_put_cstr(o->b, "type", "text");
		json_put_cstr(o->b, "text", instruction);
		buf_append_char(o->b, '}');
	}
	if (any)
		buf_append_char(o->b, ']');
	return true;
}

static bool put_messages(struct out *o)
{
	json_put_open(o->b, "messages", '[');
	for (const struct llm_turn *t = o->turns; t != NULL; t = t->next)
		if (t->role != LLM_ROLE_SYSTEM && !put_turn(o, t))
			return false;
	buf_append_char(o->b, ']');
	return true;
}

/* ---- tools ---- */

static void put_schema(struct out *o, yyjson_val *schema)
{
	size_t i, max;
	yyjson_val *key, *v;

	json_put_open(o->b, "input_schema", '{');
	if (!span_is(text_in(schema, "type"), "object"))
		json_put_cstr(o->b, "type", "object");
	if (schema == NULL || json_get(schema, "properties") == NULL)
		json_put_raw(o->b, "properties", SPAN("{}"));
	yyjson_obj_foreach(schema, i, max, key, v)
	{
		if (yyjson_equals_str(key, "type") && !yyjson_equals_str(v, "object"))
			continue;
		json_put_next(o->b);
		json_write(o->b, key);
		buf_append_char(o->b, ':');
		json_write(o->b, v);
	}
	buf_append_char(o->b, '}');
}

static void put_function(struct out *o, struct span name, struct span description,
	yyjson_val *schema, enum llm_cache_mark mark)
{
	json_put_open(o->b, NULL, '{');
	json_put_str(o->b, "name", llm_fit_name(o->a, name, LLM_NAME_MAX));
	if (description.n > 0)
		json_put_str(o->b, "description", description);
	put_schema(o, schema);
	put_mark(o, mark);
	buf_append_char(o->b, '}');
}

static void put_custom(struct out *o, const struct llm_tool *tool)
{
	json_put_open(o->b, NULL, '{');
	json_put_str(o->b, "name", llm_fit_name(o->a, tool->name, LLM_NAME_MAX));
	if (tool->description.n > 0)
		json_put_str(o->b, "description", tool->description);
	json_put_raw(o->b, "input_schema",
		SPAN("{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
		     "\"required\":[\"input\"]}"));
	put_mark(o, tool->cache);
	buf_append_char(o->b, '}');
	llm_note(o->notes, "approx:custom_tool");
}

static void put_search(struct out *o, const struct llm_tool *tool)
{
	if (tool->native_op == LLM_OP_MESSAGES) {
		json_put_val(o->b, NULL, tool->native);
		return;
	}
	json_put_open(o->b, NULL, '{');
	llm_need_beta(o->notes, "web-search-2025-03-05");
	json_put_cstr(o->b, "type", "web_search_20250305");
	json_put_cstr(o->b, "name", "web_search");
	if (tool->max_uses > 0)
		json_put_int(o->b, "max_uses", tool->max_uses);
	if (tool->allowed_domains != NULL)
		json_put_val(o->b, "allowed_domains", tool->allowed_domains);
	if (tool->blocked_domains != NULL)
		json_put_val(o->b, "blocked_domains", tool->blocked_domains);
	if (tool->user_location != NULL)
		json_put_val(o->b, "user_location", tool->user_location);
	buf_append_char(o->b, '}');
}

static bool is_offered(const struct out *o, const struct llm_tool *tool)
{
	bool filtered =
		o->q->choice == LLM_CHOICE_ALLOWED || o->q->choice == LLM_CHOICE_ALLOWED_ONE;

	return !filtered || llm_is_named(o->q->choice_names, tool->name);
}

static bool put_tool(struct out *o, const struct llm_tool *t)
{
	switch (t->kind) {
	case LLM_TOOL_FUNCTION:
		if (t->strict == LLM_YES)
			llm_note(o->notes, "dropped:strict");
		put_function(o, t->name, t->description, t->schema, t->cache);
		return true;
	case LLM_TOOL_CUSTOM:
		put_custom(o, t);
		return true;
	case LLM_TOOL_SEARCH:
		if (o->t->quirks->no_server_tools)
			return llm_unsupported_tool(o->t, t, o->notes, o->err);
		put_search(o, t);
		return true;
	case LLM_TOOL_NATIVE:
		if (t->native_op != LLM_OP_MESSAGES || o->t->quirks->no_server_tools)
			return llm_unsupported_tool(o->t, t, o->notes, o->err);
		json_put_val(o->b, NULL, t->native);
		return true;
	}
	return true;
}

/* Stands first in the body: the prompt cache keeps tools, then system, then messages. */
static bool put_tools(struct out *o)
{
	bool any = false;

	for (const struct llm_tool *t = o->q->tools; t != NULL; t = t->next) {
		if (!is_offered(o, t))
			continue;
		if (!any)
			json_put_open(o->b, "tools", '[');
		any = true;
		if (!put_tool(o, t))
			return false;
	}
	if (o->schema_tool.n > 0) {
		if (!any)
			json_put_open(o->b, "tools", '[');
		any = true;
		put_function(o, o->schema_tool,
			SPAN("Give the final answer: call this with the answer as its input."),
			o->q->format.schema, LLM_CACHE_NONE);
	}
	if (any)
		buf_append_char(o->b, ']');
	return true;
}

static void put_choice(struct out *o)
{
	const char *type = NULL;
	struct span name = {NULL, 0};

	switch (o->q->choice) {
	case LLM_CHOICE_AUTO:
	case LLM_CHOICE_ALLOWED:
		type = "auto";
		break;
	case LLM_CHOICE_NONE:
		type = "none";
		break;
	case LLM_CHOICE_REQUIRED:
	case LLM_CHOICE_ALLOWED_ONE:
		type = "any";
		break;
	case LLM_CHOICE_NAMED:
		type = "tool";
		name = o->q->choice_names != NULL ? o->q->choice_names->text : name;
		break;
	case LLM_CHOICE_UNSET:
		break;
	}
	if (o->schema_tool.n > 0) {
		type = o->q->tools == NULL ? "tool" : "any";
		name = o->schema_tool;
	} else if (o->q->tools == NULL) {
		return;
	}
	if (type == NULL && o->q->parallel == LLM_NO)
		type = "auto";
	if (type == NULL)
		return;
	/* A model that thinks may not be forced to a tool. */
	if (o->thinks && (type[0] == 't' || (type[0] == 'a' && type[1] == 'n'))) {
		type = "auto";
		llm_note(o->notes, "approx:tool_choice");
	}
	json_put_open(o->b, "tool_choice", '{');
	json_put_cstr(o->b, "type", type);
	if (type[0] == 't')
		json_put_str(o->b, "name", llm_fit_name(o->a, name, LLM_NAME_MAX));
	if (o->q->parallel == LLM_NO && type[0] != 'n')
		json_put_bool(o->b, "disable_parallel_tool_use", true);
	buf_append_char(o->b, '}');
}

/* ---- reasoning ---- */

/*
 * A turn that called a tool must begin with the thinking that led to it; when that is lost, the
 * model cannot think in this request.
 */
static bool has_lost_thinking(const struct out *o)
{
	const struct llm_turn *last = NULL;
	bool calls = false;

	for (const struct llm_turn *t = o->turns; t != NULL; t = t->next)
		if (t->role == LLM_ROLE_ASSISTANT)
			last = t;
	if (last == NULL || last->next == NULL || last->next->blocks == NULL ||
		last->next->blocks->kind != LLM_BLOCK_TOOL_RESULT)
		return false;
	for (const struct llm_block *b = last->blocks; b != NULL; b = b->next) {
		if (b->kind == LLM_BLOCK_THINKING && fits(o, b))
			return false;
		calls |= b->kind == LLM_BLOCK_TOOL_CALL;
	}
	return calls;
}

static bool is_adaptive(const struct out *o)
{
	return version_of(o->t->model) > 406;
}

static void plan_thinking(struct out *o)
{
	const struct llm_reasoning *r = &o->q->reasoning;

	o->max_output = o->q->max_output;
	if (llm_wanted_effort(r) == LLM_EFFORT_UNSET || r->thinking == LLM_THINKING_OFF)
		return;
	if (o->t->facts != NULL && (o->t->facts->can & LLM_CAN_REASON) == 0)
		return;
	if (has_lost_thinking(o)) {
		llm_note(o->notes, "dropped:thinking");
		return;
	}
	if (is_adaptive(o)) {
		o->thinks = llm_wanted_effort(r) != LLM_EFFORT_NONE;
		return;
	}
	o->budget = llm_anthropic_budget(r, o->t, &o->max_output);
	o->thinks = o->budget > 0;
}

static void put_thinking_config(struct out *o)
{
	if (!o->thinks)
		return;
	json_put_open(o->b, "thinking", '{');
	json_put_cstr(o->b, "type", is_adaptive(o) ? "adaptive" : "enabled");
	if (!is_adaptive(o))
		json_put_int(o->b, "budget_tokens", o->budget);
	buf_append_char(o->b, '}');
}

static void put_output_config(struct out *o)
{
	enum llm_effort e = llm_wanted_effort(&o->q->reasoning);
	bool effort = o->thinks && is_adaptive(o);
	bool schema = o->q->format.kind == LLM_FORMAT_SCHEMA && o->schema_tool.n == 0;

	if (!effort && !schema)
		return;
	json_put_open(o->b, "output_config", '{');
	if (effort)
		json_put_cstr(o->b, "effort", e < LLM_EFFORT_LOW ? "low" : llm_effort_name(e));
	if (schema) {
		json_put_open(o->b, "format", '{');
		json_put_cstr(o->b, "type", "json_schema");
		json_put_key(o->b, "schema");
		llm_schema_enforced(o->b, o->q->format.schema);
		buf_append_char(o->b, '}');
	}
	buf_append_char(o->b, '}');
}

/* ---- scalars ---- */

static void put_max_tokens(struct out *o)
{
	int64_t limit = o->t->facts != NULL ? o->t->facts->max_output : 0;
	int64_t n = o->max_output > 0 ? o->max_output : limit > 0 ? limit : DEFAULT_MAX_TOKENS;

	if (limit > 0 && n > limit) {
		n = limit;
		llm_note(o->notes, "approx:max_tokens");
	}
	json_put_int(o->b, "max_tokens", n);
}

/* 0 to 1 here, 0 to 2 elsewhere. */
static struct span clamp(struct span number)
{
	bool above = number.n > 0 && number.p[0] >= '1' && number.p[0] <= '9' &&
		     !(number.p[0] == '1' && (number.n == 1 || number.p[1] == '.'));

	if (number.n > 2 && number.p[0] == '1' && number.p[1] == '.')
		for (size_t i = 2; i < number.n; i++)
			above |= number.p[i] != '0';
	return above ? SPAN("1") : number;
}

static bool put_sampling(struct out *o)
{
	const struct llm_request *q = o->q;
	bool refused = o->t->quirks->no_sampling || o->thinks || version_of(o->t->model) > 406;

	if (q->temperature.n > 0 && refused &&
		!unsupported(o, "temperature", "dropped:temperature", false))
		return false;
	if (q->temperature.n > 0 && !refused)
		json_put_raw(o->b, "temperature", clamp(q->temperature));
	/* From 4.1 on not both. */
	if (q->top_p.n > 0 && (refused || q->temperature.n > 0)) {
		if (!unsupported(o, "top_p", "dropped:top_p", false))
			return false;
	} else if (q->top_p.n > 0) {
		json_put_raw(o->b, "top_p", q->top_p);
	}
	if (q->top_k.n > 0 && refused)
		return unsupported(o, "top_k", "dropped:top_k", false);
	if (q->top_k.n > 0)
		json_put_raw(o->b, "top_k", q->top_k);
	return true;
}

static void put_stops(struct out *o)
{
	bool any = false;

	for (const struct llm_name *n = o->q->stops; n != NULL; n = n->next) {
		if (trimmed(n->text).n == 0) {
			llm_note(o->notes, "dropped:stop");
			continue;
		}
		if (!any)
			json_put_open(o->b, "stop_sequences", '[');
		any = true;
		json_put_str(o->b, NULL, n->text);
	}
	if (any)
		buf_append_char(o->b, ']');
}

static bool check(struct out *o)
{
	const struct llm_request *q = o->q;
	const struct {
		bool given;
		const char *param, *note;
		bool meaning;
	} rows[] = {
		{q->n > 1, "n", "dropped:n", true},
		{q->wants_audio, "modalities", "dropped:audio", true},
		{q->presence_penalty.n > 0, "presence_penalty", "dropped:presence_penalty", false},
		{q->frequency_penalty.n > 0, "frequency_penalty", "dropped:frequency_penalty",
			false},
		{q->seed.n > 0, "seed", "dropped:seed", false},
		{q->logit_bias != NULL, "logit_bias", "dropped:logit_bias", false},
		{q->logprobs == LLM_YES || q->top_logprobs > 0, "logprobs", "dropped:logprobs",
			false},
		{q->verbosity.n > 0, "verbosity", "dropped:verbosity", false},
		{q->metadata != NULL, "metadata", "dropped:metadata", false},
		{q->store == LLM_YES, "store", "dropped:store", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].given && !unsupported(o, rows[i].param, rows[i].note, rows[i].meaning))
			return false;
	if (q->needs_state.n > 0)
		return llm_refuse(o->t, arena_cstr(o->a, q->needs_state),
			"what only a provider that stores answers can know", o->err);
	return llm_unsupported_unknown(o->t, q->unknown, o->a, o->notes, o->err);
}

static void put_user(struct out *o)
{
	if (o->q->user.n > 0) {
		json_put_open(o->b, "metadata", '{');
		json_put_str(o->b, "user_id", span_head(o->q->user, MAX_USER_BYTES_SENT));
		buf_append_char(o->b, '}');
	}
	if (span_is(o->q->service_tier, "auto") || span_is(o->q->service_tier, "standard_only"))
		json_put_str(o->b, "service_tier", o->q->service_tier);
	else if (span_is(o->q->service_tier, "default"))
		json_put_cstr(o->b, "service_tier", "standard_only");
	else if (o->q->service_tier.n > 0)
		llm_note(o->notes, "dropped:service_tier");
}

bool anthropic_write_request(const struct llm_request *q, const struct llm_target *t,
	struct arena *a, struct buf *b, struct llm_notes *notes, struct err *err)
{
	const unsigned repairs = LLM_MERGE_ROLES | LLM_PAIR_CALLS | LLM_DROP_NAMES |
				 LLM_DROP_EMPTY | LLM_SYSTEM_AS_USER | LLM_USER_FIRST;
	struct out o = {.q = q, .t = t, .a = a, .b = b, .notes = notes, .err = err};

	if (!check(&o))
		return false;
	o.turns = llm_repair_turns(q, repairs, a, notes);
	if (a->failed)
		return err_set(err, ERR_NO_MEMORY, NULL);
	o.schema_tool = llm_schema_tool(q, t, LLM_OP_MESSAGES);
	plan_marks(&o);
	plan_thinking(&o);
	buf_append_char(b, '{');
	if (t->quirks->body_version != NULL)
		json_put_cstr(b, "anthropic_version", t->quirks->body_version);
	else
		json_put_str(b, "model", t->model);
	put_max_tokens(&o);
	if (q->cache != LLM_CACHE_NONE)
		put_mark(&o, q->cache);
	if (!put_tools(&o) || !put_system(&o) || !put_messages(&o) || !put_sampling(&o))
		return false;
	put_stops(&o);
	put_choice(&o);
	put_thinking_config(&o);
	put_output_config(&o);
	put_user(&o);
	if (q->stream)
		json_put_bool(b, "stream", true);
	buf_append_char(b, '}');
	return (!b->failed && !a->failed) || err_set(err, ERR_NO_MEMORY, NULL);
}
