/* SPDX-License-Identifier: Apache-2.0 */
/* The turns of a request: system, messages and the blocks in them. */
#include "machine/base/json_put.h"
#include "meaning/dialect/bedrock/bedrock.h"
#include "meaning/llm/names.h"
#include "meaning/llm/reasoning.h"
#include "meaning/llm/repair.h"
#include "meaning/llm/schema.h"

#define NO_CALLS "Answer in words: do not call any tool."

bool bedrock_unsupported(
	struct bedrock_writer *w, const char *param, const char *note, bool meaning)
{
	return llm_unsupported(w->t, param, note, meaning, w->notes, w->err);
}

bool bedrock_is_blank(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != ' ' && text.p[i] != '\n' && text.p[i] != '\t' && text.p[i] != '\r')
			return false;
	return true;
}

static void put_text(struct buf *out, struct span text)
{
	json_put_open(out, NULL, '{');
	json_put_str(out, "text", text);
	buf_append_char(out, '}');
}

/* ---- tool calls and their results ---- */

static void put_call(struct bedrock_writer *w, const struct llm_block *c)
{
	json_put_open(w->out, NULL, '{');
	json_put_open(w->out, "toolUse", '{');
	json_put_str(w->out, "toolUseId", llm_fit_id(w->a, c->id, LLM_NAME_MAX, 0));
	json_put_str(w->out, "name", llm_fit_name(w->a, c->name, LLM_NAME_MAX));
	if (!put_args(w->out, "input", c->args, c->custom))
		llm_note(w->notes, "approx:tool_arguments");
	buf_append_cstr(w->out, "}}");
}

/* Claude and Nova are told by a member that the tool failed, the others in words. */
static bool has_status(const struct bedrock_writer *w)
{
	return w->model.family == BEDROCK_CLAUDE || w->model.family == BEDROCK_NOVA ||
	       w->model.family == BEDROCK_OPAQUE;
}

static bool put_result(struct bedrock_writer *w, const struct llm_block *r)
{
	bool any = false;

	json_put_open(w->out, NULL, '{');
	json_put_open(w->out, "toolResult", '{');
	json_put_str(w->out, "toolUseId", llm_fit_id(w->a, r->id, LLM_NAME_MAX, 0));
	json_put_open(w->out, "content", '[');
	if (r->is_error && !has_status(w)) {
		put_text(w->out, SPAN("Error:"));
		any = true;
	}
	for (const struct llm_block *b = r->content; b != NULL; b = b->next) {
		if (b->kind != LLM_BLOCK_MEDIA && bedrock_is_blank(b->text))
			continue;
		any = true;
		if (b->kind != LLM_BLOCK_MEDIA)
			put_text(w->out, b->text);
		else if (!bedrock_put_media(w, &b->media))
			return false;
	}
	/* There must be something, and no text may be blank. */
	if (!any)
		json_put_raw(w->out, NULL, SPAN("{\"json\":{}}"));
	buf_append_char(w->out, ']');
	if (r->is_error && has_status(w))
		json_put_cstr(w->out, "status", "error");
	buf_append_cstr(w->out, "}}");
	return true;
}

/* ---- reasoning ---- */

/* Other models than Claude refuse to see their earlier reasoning. */
static bool fits(const struct bedrock_writer *w, const struct llm_block *b)
{
	return (w->model.family == BEDROCK_CLAUDE || w->model.family == BEDROCK_OPAQUE) &&
	       llm_state_fits(&b->state, LLM_MAKER_ANTHROPIC, w->t->provider);
}

static void put_thinking(struct bedrock_writer *w, const struct llm_block *b)
{
	json_put_open(w->out, NULL, '{');
	json_put_open(w->out, "reasoningContent", '{');
	if (b->redacted) {
		bedrock_put_redacted(w->out, &b->state);
	} else {
		json_put_open(w->out, "reasoningText", '{');
		json_put_str(w->out, "text", b->text);
		json_put_str(w->out, "signature", b->state.data);
		buf_append_char(w->out, '}');
	}
	buf_append_cstr(w->out, "}}");
}

/*
 * A turn that called a tool must begin with the thinking that led to it; when that is lost, the
 * model cannot think in this request.
 */
static bool has_lost_thinking(const struct bedrock_writer *w)
{
	const struct llm_turn *last = NULL;
	bool calls = false;

	for (const struct llm_turn *t = w->turns; t != NULL; t = t->next)
		if (t->role == LLM_ROLE_ASSISTANT)
			last = t;
	if (last == NULL || last->next == NULL || last->next->blocks == NULL ||
		last->next->blocks->kind != LLM_BLOCK_TOOL_RESULT)
		return false;
	for (const struct llm_block *b = last->blocks; b != NULL; b = b->next) {
		if (b->kind == LLM_BLOCK_THINKING && fits(w, b))
			return false;
		calls |= b->kind == LLM_BLOCK_TOOL_CALL;
	}
	return calls;
}

void bedrock_plan_thinking(struct bedrock_writer *w)
{
	const struct llm_reasoning *r = &w->q->reasoning;
	enum llm_effort effort = llm_wanted_effort(r);

	w->max_output = w->q->max_output;
	if (effort == LLM_EFFORT_UNSET || r->thinking == LLM_THINKING_OFF)
		return;
	if (w->t->facts != NULL && (w->t->facts->can & LLM_CAN_REASON) == 0)
		return;
	if (w->model.family != BEDROCK_CLAUDE) {
		/* OpenAI's cannot be told not to: the least is meant then. */
		w->thinks = effort != LLM_EFFORT_NONE || w->model.family == BEDROCK_OPENAI;
		return;
	}
	if (has_lost_thinking(w)) {
		llm_note(w->notes, "dropped:thinking");
		return;
	}
	if (w->model.version > 406) {
		w->thinks = effort != LLM_EFFORT_NONE;
		return;
	}
	w->budget = llm_anthropic_budget(r, w->t, &w->max_output);
	w->thinks = w->budget > 0;
}

/* ---- turns ---- */

/* What of a block goes out at all. */
static bool is_sent(struct bedrock_writer *w, const struct llm_block *b)
{
	switch (b->kind) {
	case LLM_BLOCK_TEXT:
	case LLM_BLOCK_REFUSAL:
		return !bedrock_is_blank(b->text);
	case LLM_BLOCK_THINKING:
		if (!fits(w, b))
			llm_note(w->notes, llm_left_out(b));
		return fits(w, b);
	case LLM_BLOCK_NATIVE:
		return b->native_op == LLM_OP_CONVERSE;
	case LLM_BLOCK_SEARCH:
		return false;
	default:
		return true;
	}
}

/* The last text of a turn that the model is to go on with must not end in blanks. */
static struct span trimmed(struct span text)
{
	while (text.n > 0 && bedrock_is_blank(span_skip(text, text.n - 1)))
		text.n--;
	return text;
}

static bool put_block(struct bedrock_writer *w, const struct llm_block *b, bool trim)
{
	switch (b->kind) {
	case LLM_BLOCK_MEDIA:
		if (!bedrock_put_media(w, &b->media))
			return false;
		break;
	case LLM_BLOCK_THINKING:
		put_thinking(w, b);
		return true;
	case LLM_BLOCK_TOOL_CALL:
		put_call(w, b);
		break;
	case LLM_BLOCK_TOOL_RESULT:
		if (!put_result(w, b))
			return false;
		break;
	case LLM_BLOCK_NATIVE:
		json_put_val(w->out, NULL, b->native);
		break;
	default:
		put_text(w->out, trim ? trimmed(b->text) : b->text);
		break;
	}
	bedrock_put_message_mark(w, b->cache);
	return true;
}

static bool put_turn(struct bedrock_writer *w, const struct llm_turn *t)
{
	bool assistant = t->role == LLM_ROLE_ASSISTANT, any = false, text = false, document = false;

	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
		bool sent = is_sent(w, b);

		any |= sent;
		text |= sent && b->kind == LLM_BLOCK_TEXT;
		document |= b->kind == LLM_BLOCK_MEDIA && b->media.kind == LLM_MEDIA_DOCUMENT;
	}
	json_put_open(w->out, NULL, '{');
	json_put_cstr(w->out, "role", assistant ? "assistant" : "user");
	json_put_open(w->out, "content", '[');
	for (const struct llm_block *b = t->blocks; b != NULL; b = b->next)
		if (is_sent(w, b) &&
			!put_block(w, b, assistant && t->next == NULL && b->next == NULL))
			return false;
	/* What is left out leaves its turn; and a document must not stand without a text. */
	if (!any || (document && !text))
		put_text(w->out, SPAN("."));
	buf_append_cstr(w->out, "]}");
	return true;
}

bool bedrock_put_messages(struct bedrock_writer *w)
{
	const struct llm_turn *last = NULL;

	json_put_open(w->out, "messages", '[');
	for (const struct llm_turn *t = w->turns; t != NULL; t = t->next) {
		last = t;
		if (t->role != LLM_ROLE_SYSTEM && !put_turn(w, t))
			return false;
	}
	/* Of these models Claude alone goes on with what is written for it, up to 4.5. */
	if (last != NULL && last->role == LLM_ROLE_ASSISTANT &&
		(w->model.family != BEDROCK_CLAUDE || w->model.version > 405)) {
		json_put_raw(w->out, NULL,
			SPAN("{\"role\":\"user\",\"content\":[{\"text\":\"Continue.\"}]}"));
		llm_note(w->notes, "approx:prefill");
	}
	buf_append_char(w->out, ']');
	return true;
}

/* ---- system ---- */

static void begin_system(struct bedrock_writer *w, bool *any)
{
	if (!*any)
		json_put_open(w->out, "system", '[');
	*any = true;
}

bool bedrock_put_system(struct bedrock_writer *w)
{
	bool any = false;

	for (const struct llm_turn *t = w->turns; t != NULL && t->role == LLM_ROLE_SYSTEM;
		t = t->next)
		for (const struct llm_block *b = t->blocks; b != NULL; b = b->next) {
			if (b->kind == LLM_BLOCK_NATIVE && b->native_op == LLM_OP_CONVERSE) {
				begin_system(w, &any);
				json_put_val(w->out, NULL, b->native);
				continue;
			}
			if (b->kind != LLM_BLOCK_TEXT)
				return bedrock_unsupported(
					w, "messages", "dropped:system_media", true);
			begin_system(w, &any);
			put_text(w->out, b->text);
			bedrock_put_mark(w, b->cache);
		}
	if (w->q->format.kind == LLM_FORMAT_OBJECT) {
		begin_system(w, &any);
		put_text(w->out, span_of(llm_json_instruction));
		llm_note(w->notes, "approx:response_format");
	}
	if (bedrock_forbids_calls(w)) {
		begin_system(w, &any);
		put_text(w->out, SPAN(NO_CALLS));
		llm_note(w->notes, "approx:tool_choice");
	}
	if (any)
		buf_append_char(w->out, ']');
	return true;
}
