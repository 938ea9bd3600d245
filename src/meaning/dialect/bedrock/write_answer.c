/* SPDX-License-Identifier: Apache-2.0 */
/* Answers in this format: what the provider would have sent. */
#include "machine/base/json_put.h"
#include "meaning/dialect/bedrock/bedrock.h"
#include "meaning/llm/media.h"

static void put_stop(struct buf *out, enum llm_stop stop, struct span native, struct span sequence)
{
	static const char *const words[] = {[LLM_STOP_END] = "end_turn",
		[LLM_STOP_SEQUENCE] = "stop_sequence",
		[LLM_STOP_LENGTH] = "max_tokens",
		[LLM_STOP_CONTEXT] = "model_context_window_exceeded",
		[LLM_STOP_TOOL] = "tool_use",
		[LLM_STOP_FILTER] = "content_filtered",
		[LLM_STOP_PAUSE] = "pause_turn"};
	enum llm_stop known;

	if (bedrock_stop_read(native, &known) && known == stop)
		json_put_str(out, "stopReason", native);
	else
		json_put_cstr(out, "stopReason", words[stop]);
	if (sequence.n == 0)
		return;
	json_put_open(out, "additionalModelResponseFields", '{');
	json_put_str(out, "stop_sequence", sequence);
	buf_append_char(out, '}');
}

static void put_usage(struct buf *out, const struct llm_usage *u)
{
	int64_t written = u->cache_write_5m + u->cache_write_1h;

	json_put_open(out, "usage", '{');
	json_put_int(out, "inputTokens", u->input_uncached + u->input_audio);
	json_put_int(out, "outputTokens", u->output);
	json_put_int(out, "totalTokens", llm_usage_input(u) + u->output);
	if (u->cache_read > 0 || written > 0) {
		json_put_int(out, "cacheReadInputTokens", u->cache_read);
		json_put_int(out, "cacheWriteInputTokens", written);
	}
	if (u->cache_write_1h > 0) {
		json_put_open(out, "cacheDetails", '[');
		json_put_open(out, NULL, '{');
		json_put_cstr(out, "ttl", "1h");
		json_put_int(out, "inputTokens", u->cache_write_1h);
		buf_append_cstr(out, "}]");
	}
	buf_append_char(out, '}');
}

/* Another maker's state goes out wrapped, as everywhere. */
static void put_signature(struct buf *out, const struct llm_state *s)
{
	struct buf wrapped;

	if (s->maker == LLM_MAKER_NONE)
		return;
	if (s->maker == LLM_MAKER_ANTHROPIC) {
		json_put_str(out, "signature", s->data);
		return;
	}
	buf_init(&wrapped, out->max_bytes);
	llm_state_wrap(&wrapped, s);
	json_put_str(out, "signature", buf_span(&wrapped));
	out->failed |= wrapped.failed;
	buf_done(&wrapped);
}

static void put_citation(struct buf *out, const char *key, const struct llm_citation *c)
{
	json_put_open(out, key, '{');
	if (c->title.n > 0)
		json_put_str(out, "title", c->title);
	json_put_open(out, "sourceContent", '[');
	if (c->quote.n > 0) {
		json_put_open(out, NULL, '{');
		json_put_str(out, "text", c->quote);
		buf_append_char(out, '}');
	}
	buf_append_char(out, ']');
	json_put_open(out, "location", '{');
	json_put_open(out, c->document >= 0 ? "documentChunk" : "web", '{');
	if (c->document >= 0)
		json_put_int(out, "documentIndex", c->document);
	else
		json_put_str(out, "url", c->url);
	buf_append_cstr(out, "}}}");
}

/* ---- the whole answer ---- */

static void put_cited(struct buf *out, const struct llm_part *p)
{
	json_put_open(out, "citationsContent", '{');
	json_put_open(out, "content", '[');
	json_put_open(out, NULL, '{');
	json_put_str(out, "text", buf_span(&p->text));
	buf_append_cstr(out, "}]");
	json_put_open(out, "citations", '[');
	for (const struct llm_citation *c = p->citations; c != NULL; c = c->next)
		put_citation(out, NULL, c);
	buf_append_cstr(out, "]}");
}

static void put_call(struct buf *out, const struct llm_part *p)
{
	json_put_open(out, "toolUse", '{');
	json_put_str(out, "toolUseId", p->id);
	json_put_str(out, "name", p->name);
	put_args(out, "input", buf_span(&p->text), p->custom);
	buf_append_char(out, '}');
}

static void put_reasoning(struct buf *out, const struct llm_part *p)
{
	json_put_open(out, "reasoningContent", '{');
	if (p->redacted) {
		bedrock_put_redacted(out, &p->state);
	} else {
		json_put_open(out, "reasoningText", '{');
		json_put_str(out, "text", buf_span(&p->text));
		put_signature(out, &p->state);
		buf_append_char(out, '}');
	}
	buf_append_char(out, '}');
}

static void put_image(struct buf *out, const struct llm_media *m)
{
	const char *format = llm_media_format(llm_media_type(m));

	json_put_open(out, "image", '{');
	json_put_cstr(out, "format", format != NULL ? format : "png");
	json_put_open(out, "source", '{');
	json_put_str(out, "bytes", m->data);
	buf_append_cstr(out, "}}");
}

static void put_part(struct buf *out, const struct llm_part *p)
{
	if (p->kind == LLM_BLOCK_SEARCH)
		return;
	if (p->kind == LLM_BLOCK_NATIVE) {
		if (p->native_op == LLM_OP_CONVERSE)
			json_put_raw(out, NULL, p->native);
		return;
	}
	json_put_open(out, NULL, '{');
	if (p->kind == LLM_BLOCK_TOOL_CALL)
		put_call(out, p);
	else if (p->kind == LLM_BLOCK_THINKING)
		put_reasoning(out, p);
	else if (p->kind == LLM_BLOCK_MEDIA)
		put_image(out, &p->media);
	else if (p->citations != NULL)
		put_cited(out, p);
	else
		json_put_str(out, "text", buf_span(&p->text));
	buf_append_char(out, '}');
}

bool bedrock_write_answer(struct writing *w, const struct llm_message *m, struct buf *out)
{
	(void)w;
	buf_append_char(out, '{');
	json_put_open(out, "output", '{');
	json_put_open(out, "message", '{');
	json_put_cstr(out, "role", "assistant");
	json_put_open(out, "content", '[');
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		put_part(out, p);
	buf_append_cstr(out, "]}}");
	put_stop(out, m->stop, m->native_stop, m->stop_sequence);
	if (m->usage.present)
		put_usage(out, &m->usage);
	buf_append_char(out, '}');
	return !out->failed;
}

/* ---- the stream ---- */

static void begin(struct buf *out, const char *name)
{
	buf_append_char(out, '{');
	json_put_open(out, name, '{');
}

static void end(struct buf *out)
{
	buf_append_cstr(out, "}}\n");
}

static void begin_delta(struct buf *out, int index)
{
	begin(out, "contentBlockDelta");
	json_put_int(out, "contentBlockIndex", index);
	json_put_open(out, "delta", '{');
}

static void end_delta(struct buf *out)
{
	buf_append_char(out, '}');
	end(out);
}

static void write_input(int index, const char *piece, struct buf *out)
{
	begin_delta(out, index);
	json_put_open(out, "toolUse", '{');
	json_put_cstr(out, "input", piece);
	buf_append_char(out, '}');
	end_delta(out);
}

static void write_block(const struct llm_event *ev, struct buf *out)
{
	const char *format;

	if (ev->block != LLM_BLOCK_TOOL_CALL && ev->block != LLM_BLOCK_MEDIA)
		return;
	begin(out, "contentBlockStart");
	json_put_int(out, "contentBlockIndex", ev->index);
	json_put_open(out, "start", '{');
	if (ev->block == LLM_BLOCK_TOOL_CALL) {
		json_put_open(out, "toolUse", '{');
		json_put_str(out, "toolUseId", ev->call_id);
		json_put_str(out, "name", ev->name);
	} else {
		format = llm_media_format(llm_media_type(ev->media));
		json_put_open(out, "image", '{');
		json_put_cstr(out, "format", format != NULL ? format : "png");
	}
	buf_append_cstr(out, "}}");
	end(out);
	if (ev->block == LLM_BLOCK_TOOL_CALL) {
		if (ev->custom)
			write_input(ev->index, FREE_TEXT_OPEN, out);
		return;
	}
	begin_delta(out, ev->index);
	json_put_open(out, "image", '{');
	json_put_open(out, "source", '{');
	json_put_str(out, "bytes", ev->media->data);
	buf_append_cstr(out, "}}");
	end_delta(out);
}

static void write_delta(const struct llm_event *ev, struct buf *out)
{
	if (ev->block == LLM_BLOCK_SEARCH)
		return;
	begin_delta(out, ev->index);
	if (ev->block == LLM_BLOCK_TOOL_CALL) {
		json_put_open(out, "toolUse", '{');
		if (ev->custom)
			put_free_text(out, "input", ev->text);
		else
			json_put_str(out, "input", ev->text);
		buf_append_char(out, '}');
	} else if (ev->block == LLM_BLOCK_THINKING) {
		json_put_open(out, "reasoningContent", '{');
		json_put_str(out, "text", ev->text);
		buf_append_char(out, '}');
	} else {
		json_put_str(out, "text", ev->text);
	}
	end_delta(out);
}

static void write_state(const struct llm_event *ev, struct buf *out)
{
	if (ev->block != LLM_BLOCK_THINKING)
		return;
	begin_delta(out, ev->index);
	json_put_open(out, "reasoningContent", '{');
	if (ev->redacted)
		bedrock_put_redacted(out, ev->state);
	else
		put_signature(out, ev->state);
	buf_append_char(out, '}');
	end_delta(out);
}

static void write_end(const struct writing *w, struct buf *out)
{
	begin(out, "metadata");
	if (w->message->usage.present)
		put_usage(out, &w->message->usage);
	end(out);
}

/* The usage stands behind the stop reason: it waits for the end. */
bool bedrock_write_event(struct writing *w, const struct llm_event *ev, struct buf *out)
{
	switch (ev->kind) {
	case LLM_EVENT_START:
		begin(out, "messageStart");
		json_put_cstr(out, "role", "assistant");
		end(out);
		break;
	case LLM_EVENT_BLOCK:
		write_block(ev, out);
		break;
	case LLM_EVENT_DELTA:
		write_delta(ev, out);
		break;
	case LLM_EVENT_STATE:
		write_state(ev, out);
		break;
	case LLM_EVENT_CITATION:
		begin_delta(out, ev->index);
		put_citation(out, "citation", ev->citation);
		end_delta(out);
		break;
	case LLM_EVENT_BLOCK_END:
		if (ev->custom)
			write_input(ev->index, FREE_TEXT_CLOSE, out);
		begin(out, "contentBlockStop");
		json_put_int(out, "contentBlockIndex", ev->index);
		end(out);
		break;
	case LLM_EVENT_STOP:
		begin(out, "messageStop");
		put_stop(out, ev->stop, ev->native_stop, ev->stop_sequence);
		end(out);
		break;
	case LLM_EVENT_END:
		write_end(w, out);
		break;
	case LLM_EVENT_LOGPROBS: /* no place here */
	case LLM_EVENT_USAGE:
	case LLM_EVENT_PING:
		break;
	}
	return !out->failed;
}
