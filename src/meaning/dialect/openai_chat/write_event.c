/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "meaning/dialect/openai_chat/openai_chat.h"
#include "meaning/llm/media.h"

/* What every chunk begins with, made once. */
struct state {
	struct span head;
	struct span choice; /* the head, and how its choice begins */
	int call;           /* index of the open tool call */
	int n_calls;
};

static struct state *state_of(struct writing *w)
{
	struct state *s = w->state;
	struct buf b;

	if (s != NULL)
		return s;
	s = ARENA_NEW(w->arena, struct state);
	if (s == NULL)
		return NULL;
	buf_init(&b, 4096);
	buf_append(&b, SPAN("data: {\"id\":\"chatcmpl-"));
	buf_append(&b, w->id);
	buf_append(&b, SPAN("\",\"object\":\"chat.completion.chunk\""));
	json_put_int(&b, "created", w->created);
	json_put_str(&b, "model", w->model);
	buf_append(&b, SPAN(",\"choices\":["));
	s->head = arena_copy(w->arena, buf_span(&b));
	buf_printf(&b, "{\"index\":%d,\"delta\":{", w->choice);
	s->choice = arena_copy(w->arena, buf_span(&b));
	if (b.failed)
		s->choice = (struct span){NULL, 0};
	buf_done(&b);
	if (s->head.p == NULL || s->choice.p == NULL)
		return NULL;
	w->state = s;
	return s;
}

static void begin(const struct state *s, struct buf *out)
{
	buf_append(out, s->choice);
}

/* No "usage": null before the last chunk: @requesty/ai-sdk takes it for a broken chunk. */
static void end(struct buf *out)
{
	buf_append(out, SPAN("},\"logprobs\":null,\"finish_reason\":null}]}\n\n"));
}

/* ---- what deltas and messages share ---- */

static const char *format_of(enum llm_maker maker)
{
	switch (maker) {
	case LLM_MAKER_ANTHROPIC:
		return "anthropic-claude-v1";
	case LLM_MAKER_OPENAI:
		return "openai-responses-v1";
	case LLM_MAKER_GEMINI:
		return "google-gemini-v1";
	default:
		return "unknown";
	}
}

static void put_state(struct buf *out, const char *key, const struct llm_state *s)
{
	struct buf wrapped;

	buf_init(&wrapped, out->max_bytes);
	llm_state_wrap(&wrapped, s);
	json_put_str(out, key, buf_span(&wrapped));
	out->failed |= wrapped.failed;
	buf_done(&wrapped);
}

/*
 * A reasoning block for clients that send it back: OpenRouter's list, in order. `text`: what was
 * not in the stream before.
 */
static void put_detail(struct buf *out, const struct llm_part *p, struct span text, int64_t index)
{
	json_put_open(out, NULL, '{');
	json_put_cstr(out, "type", p->redacted ? "reasoning.encrypted" : "reasoning.text");
	if (!p->redacted)
		json_put_str(out, "text", text);
	if (p->state.maker != LLM_MAKER_NONE) {
		put_state(out, p->redacted ? "data" : "signature", &p->state);
		json_put_cstr(out, "format", format_of(p->state.maker));
	}
	json_put_int(out, "index", index);
	buf_append_char(out, '}');
}

static void put_citation(struct buf *out, const struct llm_citation *c)
{
	json_put_open(out, NULL, '{');
	json_put_cstr(out, "type", "url_citation");
	json_put_open(out, "url_citation", '{');
	json_put_str(out, "url", c->url);
	json_put_str(out, "title", c->title);
	json_put_int(out, "start_index", c->start > 0 ? c->start : 0);
	json_put_int(out, "end_index", c->end > 0 ? c->end : 0);
	buf_append_cstr(out, "}}");
}

static void put_image(struct buf *out, const struct llm_media *m)
{
	json_put_open(out, NULL, '{');
	json_put_cstr(out, "type", "image_url");
	json_put_open(out, "image_url", '{');
	if (m->from == LLM_FROM_BASE64)
		llm_media_put_url(out, "url", m);
	else
		json_put_str(out, "url", m->data);
	buf_append_cstr(out, "}}");
}

static const char *finish_reason(enum llm_stop stop)
{
	switch (stop) {
	case LLM_STOP_LENGTH:
	case LLM_STOP_CONTEXT:
		return "length";
	case LLM_STOP_TOOL:
		return "tool_calls";
	case LLM_STOP_FILTER:
		return "content_filter";
	default:
		return "stop";
	}
}

static void put_usage(struct writing *w, struct buf *out, const struct llm_usage *u)
{
	int64_t input = llm_usage_input(u);
	struct span cost;
	char text[32];

	json_put_open(out, "usage", '{');
	json_put_int(out, "prompt_tokens", input);
	json_put_int(out, "completion_tokens", u->output);
	json_put_int(out, "total_tokens", input + u->output);
	json_put_open(out, "prompt_tokens_details", '{');
	json_put_int(out, "cached_tokens", u->cache_read);
	json_put_int(out, "caching_tokens", u->cache_write_5m + u->cache_write_1h);
	json_put_int(out, "audio_tokens", u->input_audio);
	buf_append_char(out, '}');
	json_put_open(out, "completion_tokens_details", '{');
	json_put_int(out, "reasoning_tokens", u->reasoning);
	json_put_int(out, "audio_tokens", u->output_audio);
	buf_append_char(out, '}');
	cost = w->cost(w->user, u, text);
	if (cost.n > 0)
		json_put_raw(out, "cost", cost);
	buf_append_char(out, '}');
}

/* ---- the stream ---- */

static void write_call_begin(struct state *s, const struct llm_event *ev, struct buf *out)
{
	s->call = s->n_calls++;
	json_put_open(out, "tool_calls", '[');
	json_put_open(out, NULL, '{');
	json_put_int(out, "index", s->call);
	json_put_str(out, "id", ev->call_id);
	json_put_cstr(out, "type", ev->custom ? "custom" : "function");
	json_put_open(out, ev->custom ? "custom" : "function", '{');
	json_put_str(out, "name", ev->name);
	json_put_cstr(out, ev->custom ? "input" : "arguments", "");
	buf_append_cstr(out, "}}]");
}

static void write_block(struct state *s, const struct llm_event *ev, struct buf *out)
{
	if (ev->block != LLM_BLOCK_TOOL_CALL && ev->block != LLM_BLOCK_MEDIA)
		return;
	begin(s, out);
	if (ev->block == LLM_BLOCK_TOOL_CALL) {
		write_call_begin(s, ev, out);
	} else {
		json_put_open(out, "images", '[');
		put_image(out, ev->media);
		buf_append_char(out, ']');
	}
	end(out);
}

static void write_delta(
	struct writing *w, struct state *s, const struct llm_event *ev, struct buf *out)
{
	switch (ev->block) {
	case LLM_BLOCK_TEXT:
		begin(s, out);
		json_put_str(out, "content", ev->text);
		break;
	case LLM_BLOCK_REFUSAL:
		begin(s, out);
		json_put_str(out, "refusal", ev->text);
		break;
	case LLM_BLOCK_THINKING:
		if (w->request->reasoning.show == LLM_NO)
			return;
		begin(s, out);
		json_put_str(out, "reasoning_content", ev->text);
		break;
	case LLM_BLOCK_TOOL_CALL:
		begin(s, out);
		json_put_open(out, "tool_calls", '[');
		json_put_open(out, NULL, '{');
		json_put_int(out, "index", s->call);
		json_put_open(out, ev->custom ? "custom" : "function", '{');
		json_put_str(out, ev->custom ? "input" : "arguments", ev->text);
		buf_append_cstr(out, "}}]");
		break;
	default:
		return;
	}
	end(out);
}

/* A call's signature goes with the call. A reasoning block's, when it is whole. */
static void write_state(struct state *s, const struct llm_event *ev, struct buf *out)
{
	if (ev->block != LLM_BLOCK_TOOL_CALL)
		return;
	begin(s, out);
	json_put_open(out, "tool_calls", '[');
	json_put_open(out, NULL, '{');
	json_put_int(out, "index", s->call);
	/* Strict parsers want it in every piece of a call. */
	json_put_raw(out, "function", SPAN("{\"arguments\":\"\"}"));
	json_put_open(out, "extra_content", '{');
	json_put_open(out, "google", '{');
	put_state(out, "thought_signature", ev->state);
	buf_append_cstr(out, "}}}]");
	end(out);
}

static void write_block_end(
	struct writing *w, struct state *s, const struct llm_event *ev, struct buf *out)
{
	const struct llm_part *p = w->message->last;

	if (ev->block != LLM_BLOCK_THINKING || p == NULL || p->state.maker == LLM_MAKER_NONE)
		return;
	begin(s, out);
	if (!p->redacted)
		put_state(out, "reasoning_signature", &p->state);
	json_put_open(out, "reasoning_details", '[');
	put_detail(out, p, SPAN(""), ev->index);
	buf_append_char(out, ']');
	end(out);
}

static void write_citation(struct state *s, const struct llm_event *ev, struct buf *out)
{
	begin(s, out);
	json_put_open(out, "annotations", '[');
	put_citation(out, ev->citation);
	buf_append_char(out, ']');
	json_put_open(out, "web_search", '{');
	json_put_open(out, "content", '[');
	json_put_open(out, NULL, '{');
	json_put_str(out, "url", ev->citation->url);
	json_put_str(out, "title", ev->citation->title);
	buf_append_cstr(out, "}]}");
	end(out);
}

/* What a text so far was; in a chunk of its own, without text. */
static void write_logprobs(struct state *s, const struct llm_event *ev, struct buf *out)
{
	begin(s, out);
	buf_append(out, SPAN("},\"logprobs\":{\"content\":"));
	json_write(out, ev->native);
	buf_append(out, SPAN(",\"refusal\":null},\"finish_reason\":null}]}\n\n"));
}

static void write_stop(struct state *s, const struct llm_event *ev, struct buf *out)
{
	begin(s, out);
	buf_append(out, SPAN("},\"logprobs\":null"));
	json_put_cstr(out, "finish_reason", finish_reason(ev->stop));
	if (ev->native_stop.n > 0)
		json_put_str(out, "native_finish_reason", ev->native_stop);
	buf_append(out, SPAN("}]}\n\n"));
}

static void write_end(struct writing *w, struct state *s, struct buf *out)
{
	if (w->request->wants_usage && w->message->usage.present) {
		buf_append(out, s->head);
		buf_append_char(out, ']');
		put_usage(w, out, &w->message->usage);
		buf_append(out, SPAN("}\n\n"));
	}
	buf_append(out, SPAN("data: [DONE]\n\n"));
}

bool openai_write_event(struct writing *w, const struct llm_event *ev, struct buf *out)
{
	struct state *s = state_of(w);

	if (s == NULL)
		return false;
	switch (ev->kind) {
	case LLM_EVENT_START:
		begin(s, out);
		buf_append(out, SPAN("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null"));
		end(out);
		break;
	case LLM_EVENT_BLOCK:
		write_block(s, ev, out);
		break;
	case LLM_EVENT_DELTA:
		write_delta(w, s, ev, out);
		break;
	case LLM_EVENT_STATE:
		write_state(s, ev, out);
		break;
	case LLM_EVENT_LOGPROBS:
		write_logprobs(s, ev, out);
		break;
	case LLM_EVENT_CITATION:
		write_citation(s, ev, out);
		break;
	case LLM_EVENT_BLOCK_END:
		write_block_end(w, s, ev, out);
		break;
	case LLM_EVENT_STOP:
		write_stop(s, ev, out);
		break;
	case LLM_EVENT_END:
		write_end(w, s, out);
		break;
	case LLM_EVENT_USAGE:
	case LLM_EVENT_PING:
		break;
	}
	return !out->failed;
}

/* ---- the whole answer ---- */

/* All texts of one kind, as one string. */
static bool put_joined(
	struct buf *out, const char *key, const struct llm_message *m, enum llm_block_kind kind)
{
	struct buf joined;
	int n = 0;

	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		n += p->kind == kind && p->text.n > 0;
	if (n == 0)
		return false;
	buf_init(&joined, m->max_bytes);
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
		if (p->kind != kind || p->text.n == 0)
			continue;
		if (n == 1)
			json_put_str(out, key, buf_span(&p->text));
		else
			buf_append(&joined, buf_span(&p->text));
	}
	if (n > 1)
		json_put_str(out, key, buf_span(&joined));
	out->failed |= joined.failed;
	buf_done(&joined);
	return true;
}

static void put_calls(struct buf *out, const struct llm_message *m)
{
	bool any = false;

	for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
		if (p->kind != LLM_BLOCK_TOOL_CALL)
			continue;
		if (!any)
			json_put_open(out, "tool_calls", '[');
		any = true;
		json_put_open(out, NULL, '{');
		json_put_str(out, "id", p->id);
		json_put_cstr(out, "type", p->custom ? "custom" : "function");
		json_put_open(out, p->custom ? "custom" : "function", '{');
		json_put_str(out, "name", p->name);
		json_put_str(out, p->custom ? "input" : "arguments", buf_span(&p->text));
		buf_append_char(out, '}');
		if (p->state.maker != LLM_MAKER_NONE) {
			json_put_open(out, "extra_content", '{');
			json_put_open(out, "google", '{');
			put_state(out, "thought_signature", &p->state);
			buf_append_cstr(out, "}}");
		}
		buf_append_char(out, '}');
	}
	if (any)
		buf_append_char(out, ']');
}

static void put_reasoning(struct writing *w, struct buf *out, const struct llm_message *m)
{
	const struct llm_part *signed_part = NULL;
	bool any = false;

	if (w->request->reasoning.show != LLM_NO)
		put_joined(out, "reasoning_content", m, LLM_BLOCK_THINKING);
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		if (p->kind == LLM_BLOCK_THINKING && p->state.maker != LLM_MAKER_NONE) {
			any = true;
			if (!p->redacted)
				signed_part = p;
		}
	if (signed_part != NULL)
		put_state(out, "reasoning_signature", &signed_part->state);
	if (!any)
		return;
	json_put_open(out, "reasoning_details", '[');
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		if (p->kind == LLM_BLOCK_THINKING)
			put_detail(out, p, buf_span(&p->text), p->index);
	buf_append_char(out, ']');
}

static void put_annotations(struct buf *out, const struct llm_message *m)
{
	json_put_open(out, "annotations", '[');
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		for (const struct llm_citation *c = p->citations; c != NULL; c = c->next)
			put_citation(out, c);
	buf_append_char(out, ']');
}

static void put_images(struct buf *out, const struct llm_message *m)
{
	bool any = false;

	for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
		if (p->kind != LLM_BLOCK_MEDIA)
			continue;
		if (!any)
			json_put_open(out, "images", '[');
		any = true;
		put_image(out, &p->media);
	}
	if (any)
		buf_append_char(out, ']');
}

static void put_logprobs(struct buf *out, const struct llm_message *m)
{
	bool any = false;

	for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
		if (p->logprobs.n == 0)
			continue;
		buf_append(out, any ? SPAN(",") : SPAN(",\"logprobs\":{\"content\":["));
		buf_append(out, buf_span(&p->logprobs));
		any = true;
	}
	buf_append(out, any ? SPAN("],\"refusal\":null}") : SPAN(",\"logprobs\":null"));
}

static void put_choice(struct writing *w, struct buf *out, const struct llm_message *m, int index)
{
	json_put_open(out, NULL, '{');
	json_put_int(out, "index", index);
	buf_append(out, SPAN(",\"message\":{\"role\":\"assistant\""));
	if (!put_joined(out, "content", m, LLM_BLOCK_TEXT))
		json_put_null(out, "content");
	if (!put_joined(out, "refusal", m, LLM_BLOCK_REFUSAL))
		json_put_null(out, "refusal");
	put_reasoning(w, out, m);
	put_calls(out, m);
	put_images(out, m);
	put_annotations(out, m);
	buf_append_char(out, '}');
	put_logprobs(out, m);
	json_put_cstr(out, "finish_reason", finish_reason(m->stop));
	if (m->native_stop.n > 0)
		json_put_str(out, "native_finish_reason", m->native_stop);
	buf_append_char(out, '}');
}

bool openai_write_answer(struct writing *w, const struct llm_message *m, struct buf *out)
{
	int index = 0;

	buf_append(out, SPAN("{\"id\":\"chatcmpl-"));
	buf_append(out, w->id);
	buf_append(out, SPAN("\",\"object\":\"chat.completion\""));
	json_put_int(out, "created", w->created);
	json_put_str(out, "model", w->model);
	json_put_open(out, "choices", '[');
	for (const struct llm_message *one = m; one != NULL; one = one->other)
		put_choice(w, out, one, index++);
	buf_append_char(out, ']');
	if (m->usage.present)
		put_usage(w, out, &m->usage);
	return buf_append_char(out, '}');
}
