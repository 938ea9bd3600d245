/* SPDX-License-Identifier: Apache-2.0 */
/* Answers in this format: what the provider would have sent. */
#include "machine/base/json_put.h"
#include "meaning/dialect/cohere/cohere.h"

static const char *reason_of(enum llm_stop stop)
{
	static const char *const words[] = {[LLM_STOP_END] = "COMPLETE",
		[LLM_STOP_SEQUENCE] = "STOP_SEQUENCE",
		[LLM_STOP_LENGTH] = "MAX_TOKENS",
		[LLM_STOP_CONTEXT] = "ERROR_LIMIT",
		[LLM_STOP_TOOL] = "TOOL_CALL",
		[LLM_STOP_FILTER] = "ERROR_TOXIC",
		[LLM_STOP_PAUSE] = "COMPLETE"};

	return words[stop];
}

static void put_counts(struct buf *out, const char *key, const struct llm_usage *u)
{
	json_put_open(out, key, '{');
	json_put_int(out, "input_tokens", llm_usage_input(u));
	json_put_int(out, "output_tokens", u->output);
	buf_append_char(out, '}');
}

static void put_usage(struct buf *out, const struct llm_usage *u)
{
	json_put_open(out, "usage", '{');
	put_counts(out, "billed_units", u);
	put_counts(out, "tokens", u);
	if (u->cache_read > 0)
		json_put_int(out, "cached_tokens", u->cache_read);
	buf_append_char(out, '}');
}

static void put_citation(struct buf *out, const char *key, const struct llm_citation *c)
{
	json_put_open(out, key, '{');
	json_put_int(out, "start", c->start > 0 ? c->start : 0);
	json_put_int(out, "end", c->end > 0 ? c->end : 0);
	json_put_open(out, "sources", '[');
	json_put_open(out, NULL, '{');
	json_put_cstr(out, "type", "document");
	json_put_open(out, "document", '{');
	json_put_str(out, "url", c->url);
	if (c->title.n > 0)
		json_put_str(out, "title", c->title);
	if (c->quote.n > 0)
		json_put_str(out, "snippet", c->quote);
	buf_append_cstr(out, "}}]}");
}

/* ---- the whole answer ---- */

static bool is_text(enum llm_block_kind kind)
{
	return kind == LLM_BLOCK_TEXT || kind == LLM_BLOCK_REFUSAL;
}

static void put_content(struct buf *out, const struct llm_message *m)
{
	json_put_open(out, "content", '[');
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next) {
		bool thinking = p->kind == LLM_BLOCK_THINKING;

		if ((!is_text(p->kind) && !thinking) || p->text.n == 0)
			continue;
		json_put_open(out, NULL, '{');
		json_put_cstr(out, "type", thinking ? "thinking" : "text");
		json_put_str(out, thinking ? "thinking" : "text", buf_span(&p->text));
		buf_append_char(out, '}');
	}
	buf_append_char(out, ']');
}

static void put_call(struct buf *out, const struct llm_part *p)
{
	struct buf args;

	json_put_open(out, NULL, '{');
	json_put_str(out, "id", p->id);
	json_put_cstr(out, "type", "function");
	json_put_open(out, "function", '{');
	json_put_str(out, "name", p->name);
	buf_init(&args, out->max_bytes);
	put_args(&args, NULL, buf_span(&p->text), p->custom);
	json_put_str(out, "arguments", buf_span(&args));
	out->failed |= args.failed;
	buf_done(&args);
	buf_append_cstr(out, "}}");
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
		put_call(out, p);
	}
	if (any)
		buf_append_char(out, ']');
}

static void put_citations(struct buf *out, const struct llm_message *m)
{
	bool any = false;

	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		for (const struct llm_citation *c = p->citations; c != NULL; c = c->next) {
			if (!any)
				json_put_open(out, "citations", '[');
			any = true;
			put_citation(out, NULL, c);
		}
	if (any)
		buf_append_char(out, ']');
}

bool cohere_write_answer(struct writing *w, const struct llm_message *m, struct buf *out)
{
	buf_append_char(out, '{');
	json_put_str(out, "id", w->id);
	json_put_cstr(out, "finish_reason", reason_of(m->stop));
	json_put_open(out, "message", '{');
	json_put_cstr(out, "role", "assistant");
	put_content(out, m);
	put_calls(out, m);
	put_citations(out, m);
	buf_append_char(out, '}');
	if (m->usage.present)
		put_usage(out, &m->usage);
	buf_append_char(out, '}');
	return !out->failed;
}

/* ---- the stream ---- */

static void begin(struct buf *out, const char *type)
{
	buf_append_cstr(out, "event: ");
	buf_append_cstr(out, type);
	buf_append_cstr(out, "\ndata: {");
	json_put_cstr(out, "type", type);
}

static void end(struct buf *out)
{
	buf_append_cstr(out, "}\n\n");
}

/* {"type", "index", "delta": {"message": { ... */
static void begin_message(struct buf *out, const char *type, int index)
{
	begin(out, type);
	json_put_int(out, "index", index);
	json_put_open(out, "delta", '{');
	json_put_open(out, "message", '{');
}

static void end_message(struct buf *out)
{
	buf_append_cstr(out, "}}");
	end(out);
}

static void write_piece(
	struct buf *out, const char *type, int index, enum llm_block_kind kind, struct span text)
{
	bool thinking = kind == LLM_BLOCK_THINKING;
	const char *name = thinking ? "thinking" : "text";

	begin_message(out, type, index);
	json_put_open(out, "content", '{');
	if (span_is(text, ""))
		json_put_cstr(out, "type", name);
	json_put_str(out, name, text);
	buf_append_char(out, '}');
	end_message(out);
}

static void write_args(struct buf *out, int index, const char *raw, struct span text)
{
	begin_message(out, "tool-call-delta", index);
	json_put_open(out, "tool_calls", '{');
	json_put_open(out, "function", '{');
	if (raw != NULL)
		json_put_cstr(out, "arguments", raw);
	else
		json_put_str(out, "arguments", text);
	buf_append_cstr(out, "}}");
	end_message(out);
}

/* A piece of free text, inside the string that FREE_TEXT_OPEN began. */
static void write_free_text(struct buf *out, int index, struct span piece)
{
	begin_message(out, "tool-call-delta", index);
	json_put_open(out, "tool_calls", '{');
	json_put_open(out, "function", '{');
	put_free_text(out, "arguments", piece);
	buf_append_cstr(out, "}}");
	end_message(out);
}

static void write_block(const struct llm_event *ev, struct buf *out)
{
	if (is_text(ev->block) || ev->block == LLM_BLOCK_THINKING) {
		write_piece(out, "content-start", ev->index, ev->block, SPAN(""));
		return;
	}
	if (ev->block != LLM_BLOCK_TOOL_CALL)
		return;
	begin_message(out, "tool-call-start", ev->index);
	json_put_open(out, "tool_calls", '{');
	json_put_str(out, "id", ev->call_id);
	json_put_cstr(out, "type", "function");
	json_put_open(out, "function", '{');
	json_put_str(out, "name", ev->name);
	json_put_cstr(out, "arguments", "");
	buf_append_cstr(out, "}}");
	end_message(out);
	if (ev->custom)
		write_args(out, ev->index, FREE_TEXT_OPEN, (struct span){NULL, 0});
}

static void write_delta(const struct llm_event *ev, struct buf *out)
{
	if (is_text(ev->block) || ev->block == LLM_BLOCK_THINKING) {
		if (ev->text.n > 0)
			write_piece(out, "content-delta", ev->index, ev->block, ev->text);
	} else if (ev->block == LLM_BLOCK_TOOL_CALL && ev->custom) {
		write_free_text(out, ev->index, ev->text);
	} else if (ev->block == LLM_BLOCK_TOOL_CALL) {
		write_args(out, ev->index, NULL, ev->text);
	}
}

static void write_block_end(const struct llm_event *ev, struct buf *out)
{
	bool call = ev->block == LLM_BLOCK_TOOL_CALL;

	if (!call && !is_text(ev->block) && ev->block != LLM_BLOCK_THINKING)
		return;
	if (call && ev->custom)
		write_args(out, ev->index, FREE_TEXT_CLOSE, (struct span){NULL, 0});
	begin(out, call ? "tool-call-end" : "content-end");
	json_put_int(out, "index", ev->index);
	end(out);
}

/* Reason and usage stand in one event: they wait for the end. */
static void write_end(const struct writing *w, struct buf *out)
{
	begin(out, "message-end");
	json_put_str(out, "id", w->id);
	json_put_open(out, "delta", '{');
	json_put_cstr(out, "finish_reason", reason_of(w->message->stop));
	if (w->message->usage.present)
		put_usage(out, &w->message->usage);
	buf_append_char(out, '}');
	end(out);
}

bool cohere_write_event(struct writing *w, const struct llm_event *ev, struct buf *out)
{
	switch (ev->kind) {
	case LLM_EVENT_START:
		begin(out, "message-start");
		json_put_str(out, "id", w->id);
		json_put_raw(out, "delta",
			SPAN("{\"message\":{\"role\":\"assistant\",\"content\":[],"
			     "\"tool_plan\":\"\",\"tool_calls\":[],\"citations\":[]}}"));
		end(out);
		break;
	case LLM_EVENT_BLOCK:
		write_block(ev, out);
		break;
	case LLM_EVENT_DELTA:
		write_delta(ev, out);
		break;
	case LLM_EVENT_CITATION:
		begin_message(out, "citation-start", ev->index);
		put_citation(out, "citations", ev->citation);
		end_message(out);
		begin(out, "citation-end");
		json_put_int(out, "index", ev->index);
		end(out);
		break;
	case LLM_EVENT_BLOCK_END:
		write_block_end(ev, out);
		break;
	case LLM_EVENT_END:
		write_end(w, out);
		break;
	case LLM_EVENT_STATE: /* no place here */
	case LLM_EVENT_LOGPROBS:
	case LLM_EVENT_STOP:
	case LLM_EVENT_USAGE:
	case LLM_EVENT_PING:
		break;
	}
	return !out->failed;
}
