/* SPDX-License-Identifier: Apache-2.0 */
/* Answers in this format: what a provider of it would have sent. */
#include "machine/base/json_put.h"
#include "meaning/dialect/gemini/gemini.h"

static const char *reason_of(enum llm_stop stop)
{
	switch (stop) {
	case LLM_STOP_LENGTH:
	case LLM_STOP_CONTEXT:
		return "MAX_TOKENS";
	case LLM_STOP_FILTER:
		return "SAFETY";
	case LLM_STOP_PAUSE:
		return "CONTINUATION";
	default:
		return "STOP";
	}
}

static void put_signature(struct buf *out, const struct llm_state *s)
{
	struct buf wrapped;

	if (s == NULL || s->maker == LLM_MAKER_NONE)
		return;
	if (s->maker == LLM_MAKER_GEMINI) {
		json_put_str(out, "thoughtSignature", s->data);
		return;
	}
	buf_init(&wrapped, s->data.n + s->scope.n + s->id.n + 64);
	if (llm_state_wrap(&wrapped, s))
		json_put_str(out, "thoughtSignature", buf_span(&wrapped));
	else
		out->failed = true;
	buf_done(&wrapped);
}

static void put_text(struct buf *out, struct span text, bool thought, const struct llm_state *state)
{
	json_put_open(out, NULL, '{');
	json_put_str(out, "text", text);
	if (thought)
		json_put_bool(out, "thought", true);
	put_signature(out, state);
	buf_append_char(out, '}');
}

static void put_media(struct buf *out, const struct llm_media *m)
{
	bool inlined = m->from == LLM_FROM_BASE64;

	json_put_open(out, NULL, '{');
	json_put_open(out, inlined ? "inlineData" : "fileData", '{');
	json_put_str(out, "mimeType", m->mime);
	json_put_str(out, inlined ? "data" : "fileUri", m->data);
	buf_append_cstr(out, "}}");
}

static void put_call(struct buf *out, const struct llm_part *p)
{
	json_put_open(out, NULL, '{');
	json_put_open(out, "functionCall", '{');
	json_put_str(out, "id", p->id);
	json_put_str(out, "name", p->name);
	put_args(out, "args", buf_span(&p->text), p->custom);
	buf_append_char(out, '}');
	put_signature(out, &p->state);
	buf_append_char(out, '}');
}

static void put_part(struct buf *out, const struct llm_part *p)
{
	switch (p->kind) {
	case LLM_BLOCK_TEXT:
	case LLM_BLOCK_REFUSAL:
		put_text(out, buf_span(&p->text), false, &p->state);
		return;
	case LLM_BLOCK_THINKING:
		put_text(out, buf_span(&p->text), p->text.n > 0, &p->state);
		return;
	case LLM_BLOCK_TOOL_CALL:
		put_call(out, p);
		return;
	case LLM_BLOCK_MEDIA:
		put_media(out, &p->media);
		return;
	case LLM_BLOCK_NATIVE:
		if (p->native_op == LLM_OP_GENERATE)
			json_put_raw(out, NULL, p->native);
		return;
	default:
		return;
	}
}

/* ---- around the parts ---- */

static void open_answer(struct buf *out)
{
	buf_append_cstr(out, "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[");
}

/* Offsets become what they are elsewhere: characters, as the text is no longer at hand. */
static void put_source(struct buf *out, const struct llm_citation *c)
{
	json_put_open(out, NULL, '{');
	json_put_open(out, "web", '{');
	json_put_str(out, "uri", c->url);
	json_put_str(out, "title", c->title);
	buf_append_cstr(out, "}}");
}

static void put_support(struct buf *out, const struct llm_citation *c, int index)
{
	json_put_open(out, NULL, '{');
	json_put_open(out, "segment", '{');
	if (c->start >= 0) {
		json_put_int(out, "startIndex", c->start);
		json_put_int(out, "endIndex", c->end);
	}
	if (c->quote.n > 0)
		json_put_str(out, "text", c->quote);
	buf_append_char(out, '}');
	json_put_open(out, "groundingChunkIndices", '[');
	json_put_int(out, NULL, index);
	buf_append_cstr(out, "]}");
}

static void put_grounding(struct buf *out, const struct llm_message *m)
{
	bool any = false, search = false;
	int n = 0;

	for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
		any |= p->citations != NULL;
		search |= p->kind == LLM_BLOCK_SEARCH;
	}
	if (!any && !search)
		return;
	json_put_open(out, "groundingMetadata", '{');
	if (search) {
		json_put_open(out, "webSearchQueries", '[');
		for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
			if (p->kind == LLM_BLOCK_SEARCH)
				json_put_str(out, NULL, buf_span(&p->text));
		buf_append_char(out, ']');
	}
	if (any) {
		json_put_open(out, "groundingChunks", '[');
		for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
			for (const struct llm_citation *c = p->citations; c != NULL; c = c->next)
				put_source(out, c);
		buf_append_char(out, ']');
		json_put_open(out, "groundingSupports", '[');
		for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
			for (const struct llm_citation *c = p->citations; c != NULL; c = c->next)
				put_support(out, c, n++);
		buf_append_char(out, ']');
	}
	buf_append_char(out, '}');
}

static void put_audio(struct buf *out, const char *key, int64_t tokens)
{
	if (tokens <= 0)
		return;
	json_put_open(out, key, '[');
	json_put_open(out, NULL, '{');
	json_put_cstr(out, "modality", "AUDIO");
	json_put_int(out, "tokenCount", tokens);
	buf_append_cstr(out, "}]");
}

static void put_usage(struct buf *out, const struct llm_usage *u)
{
	if (!u->present)
		return;
	json_put_open(out, "usageMetadata", '{');
	json_put_int(out, "promptTokenCount", llm_usage_input(u));
	if (u->cache_read > 0)
		json_put_int(out, "cachedContentTokenCount", u->cache_read);
	json_put_int(out, "candidatesTokenCount", u->output - u->reasoning);
	if (u->reasoning > 0)
		json_put_int(out, "thoughtsTokenCount", u->reasoning);
	json_put_int(out, "totalTokenCount", llm_usage_input(u) + u->output);
	put_audio(out, "promptTokensDetails", u->input_audio);
	put_audio(out, "candidatesTokensDetails", u->output_audio);
	buf_append_char(out, '}');
}

static void close_answer(
	struct buf *out, const struct writing *w, const struct llm_message *m, bool last)
{
	buf_append_cstr(out, "]}");
	if (last)
		json_put_cstr(out, "finishReason", reason_of(m->stop));
	json_put_int(out, "index", 0);
	if (last)
		put_grounding(out, m);
	buf_append_cstr(out, "}]");
	if (last)
		put_usage(out, &m->usage);
	json_put_str(out, "modelVersion", w->model);
	json_put_str(out, "responseId", w->id);
	buf_append_char(out, '}');
}

bool gemini_write_answer(struct writing *w, const struct llm_message *m, struct buf *out)
{
	open_answer(out);
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		put_part(out, p);
	close_answer(out, w, m, true);
	return !out->failed;
}

/* ---- the stream ---- */

static const struct llm_part *find_part(const struct llm_message *m, int index)
{
	if (m->last != NULL && m->last->index == index)
		return m->last;
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		if (p->index == index)
			return p;
	return NULL;
}

/* Whether the event shows, and with its part written: calls come whole, at their end. */
static bool put_event(struct writing *w, const struct llm_event *ev, struct buf *out)
{
	const struct llm_part *part = NULL;
	bool thinking = ev->block == LLM_BLOCK_THINKING;

	switch (ev->kind) {
	case LLM_EVENT_DELTA:
		if (ev->block == LLM_BLOCK_TOOL_CALL || ev->block == LLM_BLOCK_SEARCH)
			return false;
		open_answer(out);
		put_text(out, ev->text, thinking, NULL);
		return true;
	case LLM_EVENT_STATE:
		if (ev->block == LLM_BLOCK_TOOL_CALL)
			return false;
		open_answer(out);
		put_text(out, (struct span){NULL, 0}, false, ev->state);
		return true;
	case LLM_EVENT_BLOCK_END:
		if (ev->block == LLM_BLOCK_TOOL_CALL || ev->block == LLM_BLOCK_MEDIA ||
			ev->block == LLM_BLOCK_NATIVE)
			part = find_part(w->message, ev->index);
		if (part == NULL)
			return false;
		open_answer(out);
		put_part(out, part);
		return true;
	case LLM_EVENT_STOP:
		open_answer(out);
		return true;
	default:
		return false;
	}
}

bool gemini_write_event(struct writing *w, const struct llm_event *ev, struct buf *out)
{
	size_t before = out->n;

	/* The comma before the first member looks at what stands before it. */
	buf_append_cstr(out, "data: ");
	if (!put_event(w, ev, out)) {
		out->n = before;
		return !out->failed;
	}
	close_answer(out, w, w->message, ev->kind == LLM_EVENT_STOP);
	buf_append_cstr(out, "\r\n\r\n");
	return !out->failed;
}
