/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_put.h"
#include "meaning/dialect/cohere/cohere.h"
#include "meaning/llm/media.h"
#include "meaning/llm/names.h"
#include "meaning/llm/reasoning.h"
#include "meaning/llm/repair.h"
#include "meaning/llm/schema.h"

#define NO_IMAGE "(The tool's result is the picture in the next message.)"

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

static bool reasons(const struct out *o)
{
	return o->t->facts == NULL || (o->t->facts->can & LLM_CAN_REASON) != 0;
}

/* ---- contents ---- */

static void put_text_part(struct out *o, struct span text)
{
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", "text");
	json_put_str(o->b, "text", text);
	buf_append_char(o->b, '}');
}

static bool put_media(struct out *o, const struct llm_media *m)
{
	if (m->kind == LLM_MEDIA_DOCUMENT && m->from == LLM_FROM_TEXT) {
		put_text_part(o, m->data);
		return true;
	}
	if (m->kind != LLM_MEDIA_IMAGE)
		return llm_refuse(o->t, "messages",
			m->kind == LLM_MEDIA_DOCUMENT ? "documents"
			: m->kind == LLM_MEDIA_AUDIO  ? "sound"
						      : "video",
			o->err);
	if (m->from == LLM_FROM_FILE_ID)
		return llm_refuse(o->t, "messages", "an image of another account", o->err);
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", "image_url");
	json_put_open(o->b, "image_url", '{');
	if (m->from == LLM_FROM_BASE64)
		llm_media_put_url(o->b, "url", m);
	else
		json_put_str(o->b, "url", m->data);
	if (m->detail.n > 0)
		json_put_str(o->b, "detail", m->detail);
	buf_append_cstr(o->b, "}}");
	return true;
}

static bool is_text(const struct llm_block *b)
{
	return b->kind == LLM_BLOCK_TEXT || b->kind == LLM_BLOCK_REFUSAL;
}

static void note_mark(struct out *o, const struct llm_block *b)
{
	if (b->cache != LLM_CACHE_NONE)
		llm_note(o->notes, "dropped:cache_control");
}

/* What is said in a turn, but for results and calls: one text as a string, else parts. */
static bool put_content(struct out *o, const struct llm_turn *t)
{
	const struct llm_block *only = NULL;
	int n = 0;

	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
		if (is_text(b) || b->kind == LLM_BLOCK_MEDIA) {
			note_mark(o, b);
			only = b;
			n++;
		}
	if (n == 0 || (n == 1 && is_text(only))) {
		json_put_str(o->b, "content", n == 0 ? SPAN("") : only->text);
		return true;
	}
	json_put_open(o->b, "content", '[');
	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		if (is_text(b))
			put_text_part(o, b->text);
		else if (b->kind == LLM_BLOCK_MEDIA && !put_media(o, &b->media))
			return false;
	}
	buf_append_char(o->b, ']');
	return true;
}

/* ---- messages ---- */

static void begin_message(struct out *o, const char *role)
{
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "role", role);
}

/* A tool's message is text: pictures follow in a message of the user. */
static void put_result(struct out *o, const struct llm_block *r, bool *has_media)
{
	struct span text = r->is_error ? SPAN("Error: ") : (struct span){NULL, 0};
	bool media = false;

	for (const struct llm_block *b = r->content; b != NULL; b = b->next) {
		media |= b->kind == LLM_BLOCK_MEDIA;
		if (is_text(b))
			text = arena_join(o->a,
				(const struct span[]){text,
					text.n > 0 && !r->is_error ? SPAN("\n\n") : SPAN(""),
					b->text},
				3);
	}
	note_mark(o, r);
	*has_media |= media;
	begin_message(o, "tool");
	json_put_str(o->b, "tool_call_id", r->id);
	json_put_str(o->b, "content", text.n == 0 && media ? SPAN(NO_IMAGE) : text);
	buf_append_char(o->b, '}');
}

static bool put_result_media(struct out *o, const struct llm_turn *t)
{
	begin_message(o, "user");
	json_put_open(o->b, "content", '[');
	for (const struct llm_block *r = t->blocks; r != NULL; r = r->next)
		for (const struct llm_block *b = r->kind == LLM_BLOCK_TOOL_RESULT ? r->content
										  : NULL;
			b != NULL; b = b->next)
			if (b->kind == LLM_BLOCK_MEDIA && !put_media(o, &b->media))
				return false;
	buf_append_cstr(o->b, "]}");
	llm_note(o->notes, "approx:tool_result_image");
	return true;
}

static bool put_user(struct out *o, const struct llm_turn *t)
{
	bool has_media = false, results = false, said = false;

	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		said |= is_text(b) || b->kind == LLM_BLOCK_MEDIA;
		if (b->kind != LLM_BLOCK_TOOL_RESULT)
			continue;
		results = true;
		put_result(o, b, &has_media);
	}
	if (has_media && !put_result_media(o, t))
		return false;
	if (results && !said)
		return true;
	begin_message(o, "user");
	if (!put_content(o, t))
		return false;
	buf_append_char(o->b, '}');
	return true;
}

static bool put_system(struct out *o, const struct llm_turn *t)
{
	begin_message(o, "system");
	if (!put_content(o, t))
		return false;
	buf_append_char(o->b, '}');
	return true;
}

static void put_call(struct out *o, const struct llm_block *c)
{
	struct buf args;

	json_put_open(o->b, NULL, '{');
	json_put_str(o->b, "id", c->id);
	json_put_cstr(o->b, "type", "function");
	json_put_open(o->b, "function", '{');
	json_put_str(o->b, "name", llm_fit_name(o->a, c->name, LLM_NAME_MAX));
	buf_init(&args, o->b->max_bytes);
	put_args(&args, NULL, c->args, c->custom);
	json_put_str(o->b, "arguments", buf_span(&args));
	o->b->failed |= args.failed;
	buf_done(&args);
	buf_append_cstr(o->b, "}}");
}

static struct span thought_of(struct out *o, const struct llm_turn *t)
{
	struct span text = {NULL, 0};

	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		if (b->kind != LLM_BLOCK_THINKING)
			continue;
		if (b->state.maker != LLM_MAKER_NONE)
			llm_note(o->notes, "dropped:reasoning_state");
		if (b->text.n > 0)
			text = arena_join(o->a, (const struct span[]){text, b->text}, 2);
	}
	return text;
}

/* What was thought before calls is their plan; else a part of the content, for models that do. */
static bool put_assistant(struct out *o, const struct llm_turn *t)
{
	struct span thought = thought_of(o, t), text = {NULL, 0};
	bool as_parts = false;
	int n_calls = 0;

	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		n_calls += b->kind == LLM_BLOCK_TOOL_CALL;
		note_mark(o, b);
		if (is_text(b))
			text = arena_join(o->a, (const struct span[]){text, b->text}, 2);
		if (b->kind == LLM_BLOCK_MEDIA &&
			!unsupported(o, "messages", "dropped:assistant_media", false))
			return false;
	}
	begin_message(o, "assistant");
	if (thought.n > 0 && n_calls > 0)
		json_put_str(o->b, "tool_plan", thought);
	if (thought.n > 0 && n_calls == 0 && reasons(o)) {
		as_parts = true;
		json_put_open(o->b, "content", '[');
		json_put_open(o->b, NULL, '{');
		json_put_cstr(o->b, "type", "thinking");
		json_put_str(o->b, "thinking", thought);
		buf_append_char(o->b, '}');
		put_text_part(o, text);
		buf_append_char(o->b, ']');
	}
	if (!as_parts && (text.n > 0 || n_calls == 0))
		json_put_str(o->b, "content", text);
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

static bool put_messages(struct out *o)
{
	const struct llm_turn *t = llm_repair_turns(o->q,
		LLM_PAIR_CALLS | LLM_DROP_EMPTY | LLM_USER_FIRST | LLM_DROP_NAMES, o->a, o->notes);

	if (t == NULL && o->a->failed)
		return err_set(o->err, ERR_NO_MEMORY, NULL);
	json_put_open(o->b, "messages", '[');
	for (; t != NULL; t = t->next) {
		bool ok = t->role == LLM_ROLE_SYSTEM      ? put_system(o, t)
			  : t->role == LLM_ROLE_ASSISTANT ? put_assistant(o, t)
							  : put_user(o, t);

		if (!ok)
			return false;
	}
	buf_append_char(o->b, ']');
	return true;
}

/* ---- tools ---- */

/* There is no choice of some tools: those that may be called are the ones it is told of. */
static bool is_offered(const struct out *o, const struct llm_tool *tool)
{
	switch (o->q->choice) {
	case LLM_CHOICE_NAMED:
	case LLM_CHOICE_ALLOWED:
	case LLM_CHOICE_ALLOWED_ONE:
		return llm_is_named(o->q->choice_names, tool->name);
	default:
		return true;
	}
}

static void put_function(
	struct out *o, struct span name, struct span description, yyjson_val *schema, bool custom)
{
	json_put_open(o->b, NULL, '{');
	json_put_cstr(o->b, "type", "function");
	json_put_open(o->b, "function", '{');
	json_put_str(o->b, "name", llm_fit_name(o->a, name, LLM_NAME_MAX));
	if (description.n > 0)
		json_put_str(o->b, "description", description);
	if (custom)
		json_put_raw(o->b, "parameters",
			SPAN("{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}}"
			     ",\"required\":[\"input\"]}"));
	else if (schema != NULL)
		json_put_val(o->b, "parameters", schema);
	else
		json_put_raw(o->b, "parameters", SPAN("{\"type\":\"object\",\"properties\":{}}"));
	buf_append_cstr(o->b, "}}");
}

static bool put_list(struct out *o, struct span schema_tool, bool *any)
{
	size_t outside = o->b->n, before;
	bool strict = false;

	json_put_open(o->b, "tools", '[');
	before = o->b->n;
	for (const struct llm_tool *t = o->q->tools; t != NULL; t = t->next) {
		if ((t->kind == LLM_TOOL_NATIVE || t->kind == LLM_TOOL_SEARCH) &&
			!llm_unsupported_tool(o->t, t, o->notes, o->err))
			return false;
		if (t->kind == LLM_TOOL_NATIVE || t->kind == LLM_TOOL_SEARCH || !is_offered(o, t))
			continue;
		if (t->kind == LLM_TOOL_CUSTOM)
			llm_note(o->notes, "approx:custom_tool");
		if (t->cache != LLM_CACHE_NONE)
			llm_note(o->notes, "dropped:cache_control");
		strict |= t->strict == LLM_YES;
		put_function(o, t->name, t->description, t->schema, t->kind == LLM_TOOL_CUSTOM);
	}
	if (schema_tool.n > 0)
		put_function(o, schema_tool,
			SPAN("Give the final answer: call this with the answer as its arguments."),
			o->q->format.schema, false);
	*any = o->b->n > before;
	if (!*any && !o->b->failed) {
		o->b->n = outside;
		return true;
	}
	buf_append_char(o->b, ']');
	if (strict)
		json_put_bool(o->b, "strict_tools", true);
	return true;
}

/* "auto" is what it does without the member. */
static void put_choice(struct out *o, struct span schema_tool)
{
	enum llm_choice c = o->q->choice;

	if (c == LLM_CHOICE_NAMED)
		llm_note(o->notes, "approx:tool_choice");
	if (c == LLM_CHOICE_ALLOWED || c == LLM_CHOICE_ALLOWED_ONE)
		llm_note(o->notes, "approx:allowed_tools");
	if (schema_tool.n > 0 || c == LLM_CHOICE_REQUIRED || c == LLM_CHOICE_NAMED ||
		c == LLM_CHOICE_ALLOWED_ONE)
		json_put_cstr(o->b, "tool_choice", "REQUIRED");
	else if (c == LLM_CHOICE_NONE)
		json_put_cstr(o->b, "tool_choice", "NONE");
}

/* JSON as the answer's form cannot stand beside tools: then a tool is the form. */
static struct span schema_tool_of(const struct out *o)
{
	struct llm_quirks quirks = *o->t->quirks;
	struct llm_target t = *o->t;

	if (o->q->tools != NULL && quirks.schema == LLM_SCHEMA_NATIVE)
		quirks.schema = LLM_SCHEMA_TOOL;
	t.quirks = &quirks;
	return llm_schema_tool(o->q, &t, LLM_OP_COHERE);
}

static bool put_format(struct out *o, struct span schema_tool)
{
	const struct llm_format *f = &o->q->format;

	if ((f->kind != LLM_FORMAT_OBJECT && f->kind != LLM_FORMAT_SCHEMA) || schema_tool.n > 0)
		return true;
	if (o->t->quirks->schema == LLM_SCHEMA_NONE || o->q->tools != NULL)
		return unsupported(o, "response_format", "dropped:response_format", true);
	json_put_open(o->b, "response_format", '{');
	json_put_cstr(o->b, "type", "json_object");
	if (f->schema != NULL)
		json_put_val(o->b, "json_schema", f->schema);
	buf_append_char(o->b, '}');
	return true;
}

/* ---- scalars ---- */

/* A level is a budget as the other makers' are (low 1024, medium 8192 tokens); above it is free. */
static int64_t budget_of(const struct llm_reasoning *r, enum llm_effort e)
{
	if (r->budget > 0)
		return r->budget;
	if (r->thinking == LLM_THINKING_ADAPTIVE || e > LLM_EFFORT_MEDIUM)
		return -1;
	return e == LLM_EFFORT_MEDIUM ? 8192 : 1024;
}

static void put_thinking(struct out *o)
{
	const struct llm_reasoning *r = &o->q->reasoning;
	enum llm_effort e = llm_wanted_effort(r);
	int64_t budget = budget_of(r, e);

	if (e == LLM_EFFORT_UNSET || !reasons(o))
		return;
	json_put_open(o->b, "thinking", '{');
	if (r->thinking == LLM_THINKING_OFF || e == LLM_EFFORT_NONE) {
		json_put_cstr(o->b, "type", "disabled");
	} else {
		json_put_cstr(o->b, "type", "enabled");
		if (budget > 0)
			json_put_int(o->b, "token_budget", budget);
	}
	buf_append_char(o->b, '}');
}

static void put_numbers(struct out *o)
{
	const struct llm_request *q = o->q;
	const struct {
		const char *key;
		struct span value;
	} numbers[] = {{"temperature", q->temperature}, {"p", q->top_p}, {"k", q->top_k},
		{"seed", q->seed}, {"frequency_penalty", q->frequency_penalty},
		{"presence_penalty", q->presence_penalty}};

	if (q->max_output > 0)
		json_put_int(o->b, "max_tokens", q->max_output);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].value.n > 0)
			json_put_raw(o->b, numbers[i].key, numbers[i].value);
}

static bool put_stops(struct out *o)
{
	int n = 0;

	for (const struct llm_name *s = o->q->stops; s != NULL; s = s->next)
		n++;
	if (n == 0)
		return true;
	if (n > COHERE_MAX_STOPS) {
		err_param(o->err, "stop");
		return err_set(o->err, ERR_UNSUPPORTED_PARAM,
			"Model \"%.*s\" takes at most %d stop sequences", SPAN_ARG(o->t->model),
			COHERE_MAX_STOPS);
	}
	json_put_open(o->b, "stop_sequences", '[');
	for (const struct llm_name *s = o->q->stops; s != NULL; s = s->next)
		json_put_str(o->b, NULL, s->text);
	buf_append_char(o->b, ']');
	return true;
}

/* What has no place in this format. */
static bool check(struct out *o)
{
	const struct llm_request *q = o->q;
	const struct {
		bool there;
		const char *param, *note;
		bool meaning;
	} rows[] = {{q->n > 1, "n", "dropped:n", true},
		{q->wants_audio, "modalities", "dropped:audio", true},
		{q->logit_bias != NULL, "logit_bias", "dropped:logit_bias", false},
		{q->logprobs == LLM_YES, "logprobs", "dropped:logprobs", false},
		{q->verbosity.n > 0, "verbosity", "dropped:verbosity", false},
		{q->store == LLM_YES, "store", "dropped:store", false}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].there && !unsupported(o, rows[i].param, rows[i].note, rows[i].meaning))
			return false;
	if (q->needs_state.n > 0)
		return llm_refuse(o->t, arena_cstr(o->a, q->needs_state),
			"what only a provider that stores answers can know", o->err);
	if (q->user.n > 0)
		llm_note(o->notes, "dropped:user");
	if (q->metadata != NULL)
		llm_note(o->notes, "dropped:metadata");
	if (q->service_tier.n > 0 && !span_is(q->service_tier, "auto") &&
		!span_is(q->service_tier, "default"))
		llm_note(o->notes, "dropped:service_tier");
	if (q->prompt_cache_key.n > 0)
		llm_note(o->notes, "dropped:prompt_cache_key");
	if (q->cache != LLM_CACHE_NONE)
		llm_note(o->notes, "dropped:cache_control");
	return llm_unsupported_unknown(o->t, q->unknown, o->a, o->notes, o->err);
}

bool cohere_write_request(const struct llm_request *q, const struct llm_target *t, struct arena *a,
	struct buf *b, struct llm_notes *notes, struct err *err)
{
	struct out o = {q, t, a, b, notes, err};
	struct span schema_tool = schema_tool_of(&o);
	bool tools;

	if (!check(&o))
		return false;
	buf_append_char(b, '{');
	json_put_str(b, "model", t->model);
	if (!put_messages(&o))
		return false;
	put_numbers(&o);
	if (!put_stops(&o))
		return false;
	if (q->stream)
		json_put_bool(b, "stream", true);
	put_thinking(&o);
	if (!put_list(&o, schema_tool, &tools))
		return false;
	if (tools)
		put_choice(&o, schema_tool);
	if (!put_format(&o, schema_tool))
		return false;
	buf_append_char(b, '}');
	return (!b->failed && !a->failed) || err_set(err, ERR_NO_MEMORY, NULL);
}
