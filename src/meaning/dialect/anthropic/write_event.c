/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "meaning/dialect/anthropic/anthropic.h"
#include "meaning/llm/media.h"

struct state {
	int next;     /* index of the next block */
	bool pending; /* a tool call's start waits for what must stand before it */
	struct span id, name;
	bool open, custom;
};

static struct state *state_of(struct writing *w)
{
	if (w->state == NULL)
		w->state = ARENA_NEW(w->arena, struct state);
	return w->state;
}

static void begin(struct buf *out, const char *type)
{
	buf_append(out, SPAN("event: "));
	buf_append_cstr(out, type);
	buf_append(out, SPAN("\ndata: {"));
	json_put_cstr(out, "type", type);
}

static void end(struct buf *out)
{
	buf_append(out, SPAN("}\n\n"));
}

static void begin_indexed(struct buf *out, const char *type, int index)
{
	begin(out, type);
	json_put_int(out, "index", index);
}

/* ---- what events and answers share ---- */

static void put_state(struct buf *out, const char *key, const struct llm_state *s)
{
	struct buf wrapped;

	buf_init(&wrapped, out->max_bytes);
	if (s->maker != LLM_MAKER_NONE)
		llm_state_wrap(&wrapped, s);
	json_put_str(out, key, buf_span(&wrapped));
	out->failed |= wrapped.failed;
	buf_done(&wrapped);
}

static void put_usage(struct writing *w, struct buf *out, const struct llm_usage *u)
{
	struct span cost;
	char text[32];

	json_put_open(out, "usage", '{');
	json_put_int(out, "input_tokens", u->input_uncached + u->input_audio);
	json_put_int(out, "cache_creation_input_tokens", u->cache_write_5m + u->cache_write_1h);
	json_put_int(out, "cache_read_input_tokens", u->cache_read);
	json_put_open(out, "cache_creation", '{');
	json_put_int(out, "ephemeral_5m_input_tokens", u->cache_write_5m);
	json_put_int(out, "ephemeral_1h_input_tokens", u->cache_write_1h);
	buf_append_char(out, '}');
	json_put_int(out, "output_tokens", u->output);
	if (u->reasoning > 0) {
		json_put_open(out, "output_tokens_details", '{');
		json_put_int(out, "thinking_tokens", u->reasoning);
		buf_append_char(out, '}');
	}
	cost = u->present ? w->cost(w->user, u, text) : (struct span){NULL, 0};
	if (cost.n > 0)
		json_put_raw(out, "cost", cost);
	buf_append_char(out, '}');
}

static const char *stop_reason(enum llm_stop stop)
{
	switch (stop) {
	case LLM_STOP_SEQUENCE:
		return "stop_sequence";
	case LLM_STOP_LENGTH:
		return "max_tokens";
	case LLM_STOP_CONTEXT:
		return "model_context_window_exceeded";
	case LLM_STOP_TOOL:
		return "tool_use";
	case LLM_STOP_FILTER:
		return "refusal";
	case LLM_STOP_PAUSE:
		return "pause_turn";
	default:
		return "end_turn";
	}
}

static void put_stop(struct buf *out, enum llm_stop stop, struct span sequence)
{
	json_put_cstr(out, "stop_reason", stop_reason(stop));
	if (stop == LLM_STOP_SEQUENCE && sequence.n > 0)
		json_put_str(out, "stop_sequence", sequence);
	else
		json_put_null(out, "stop_sequence");
}

static void put_message_head(struct writing *w, struct buf *out)
{
	json_put_key(out, "id");
	buf_append(out, SPAN("\"msg_"));
	buf_append(out, w->id);
	buf_append_char(out, '"');
	json_put_cstr(out, "type", "message");
	json_put_cstr(out, "role", "assistant");
	json_put_str(out, "model", w->model);
}

static void put_citation(struct buf *out, const char *key, const struct llm_citation *c)
{
	json_put_open(out, key, '{');
	json_put_cstr(out, "type", "web_search_result_location");
	json_put_str(out, "url", c->url);
	json_put_str(out, "title", c->title);
	json_put_str(out, "cited_text", c->quote);
	json_put_cstr(out, "encrypted_index", "");
	buf_append_char(out, '}');
}

/* This format has no picture in an answer: a link in the text holds all of it. */
static void put_image_text(struct buf *out, const char *key, const struct llm_media *m)
{
	struct buf link;

	buf_init(&link, out->max_bytes);
	buf_append(&link, SPAN("![image](data:"));
	buf_append(&link, llm_media_type(m));
	buf_append(&link, SPAN(";base64,"));
	buf_append(&link, m->data);
	buf_append_char(&link, ')');
	json_put_str(out, key, buf_span(&link));
	out->failed |= link.failed;
	buf_done(&link);
}

/* ---- the stream ---- */

static void write_start(struct writing *w, struct buf *out)
{
	struct llm_usage u = w->message->usage;

	begin(out, "message_start");
	json_put_open(out, "message", '{');
	put_message_head(w, out);
	json_put_raw(out, "content", SPAN("[]"));
	json_put_null(out, "stop_reason");
	json_put_null(out, "stop_sequence");
	u.present = false;
	put_usage(w, out, &u);
	buf_append_char(out, '}');
	end(out);
}

static void write_input(const struct state *s, const char *piece, struct buf *out)
{
	begin_indexed(out, "content_block_delta", s->next);
	json_put_open(out, "delta", '{');
	json_put_cstr(out, "type", "input_json_delta");
	json_put_cstr(out, "partial_json", piece);
	buf_append_char(out, '}');
	end(out);
}

static void write_call_start(struct state *s, struct buf *out)
{
	if (!s->pending)
		return;
	s->pending = false;
	s->open = true;
	begin_indexed(out, "content_block_start", s->next);
	json_put_open(out, "content_block", '{');
	json_put_cstr(out, "type", "tool_use");
	json_put_str(out, "id", s->id);
	json_put_str(out, "name", s->name);
	json_put_raw(out, "input", SPAN("{}"));
	buf_append_char(out, '}');
	end(out);
	if (s->custom)
		write_input(s, FREE_TEXT_OPEN, out);
}

static void write_text_start(struct state *s, struct buf *out)
{
	s->open = true;
	begin_indexed(out, "content_block_start", s->next);
	json_put_raw(out, "content_block", SPAN("{\"type\":\"text\",\"text\":\"\"}"));
	end(out);
}

static void write_stop_block(struct state *s, struct buf *out)
{
	if (!s->open)
		return;
	s->open = false;
	begin_indexed(out, "content_block_stop", s->next++);
	end(out);
}

static bool write_block(
	struct writing *w, struct state *s, const struct llm_event *ev, struct buf *out)
{
	switch (ev->block) {
	case LLM_BLOCK_TEXT:
	case LLM_BLOCK_REFUSAL:
		write_text_start(s, out);
		break;
	case LLM_BLOCK_THINKING:
		if (ev->redacted)
			break; /* its start carries the data */
		s->open = true;
		begin_indexed(out, "content_block_start", s->next);
		json_put_raw(out, "content_block",
			SPAN("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"));
		end(out);
		break;
	case LLM_BLOCK_TOOL_CALL:
		s->pending = true;
		s->custom = ev->custom;
		s->id = arena_copy(w->arena, ev->call_id);
		s->name = arena_copy(w->arena, ev->name);
		return !w->arena->failed;
	case LLM_BLOCK_MEDIA:
		write_text_start(s, out);
		begin_indexed(out, "content_block_delta", s->next);
		json_put_open(out, "delta", '{');
		json_put_cstr(out, "type", "text_delta");
		put_image_text(out, "text", ev->media);
		buf_append_char(out, '}');
		end(out);
		break;
	case LLM_BLOCK_SEARCH:
		s->open = true;
		begin_indexed(out, "content_block_start", s->next);
		json_put_open(out, "content_block", '{');
		json_put_cstr(out, "type", "server_tool_use");
		json_put_str(out, "id", ev->call_id);
		json_put_raw(out, "name", SPAN("\"web_search\""));
		json_put_raw(out, "input", SPAN("{}"));
		buf_append_char(out, '}');
		end(out);
		break;
	default:
		break;
	}
	return true;
}

static void write_delta(struct state *s, const struct llm_event *ev, struct buf *out)
{
	static const struct {
		const char *type, *key;
	} rows[] = {[LLM_BLOCK_TEXT] = {"text_delta", "text"},
		[LLM_BLOCK_REFUSAL] = {"text_delta", "text"},
		[LLM_BLOCK_THINKING] = {"thinking_delta", "thinking"},
		[LLM_BLOCK_TOOL_CALL] = {"input_json_delta", "partial_json"},
		[LLM_BLOCK_SEARCH] = {"input_json_delta", "partial_json"}};
	struct buf query;

	write_call_start(s, out);
	if (!s->open || ev->block >= sizeof(rows) / sizeof(rows[0]) || rows[ev->block].type == NULL)
		return;
	begin_indexed(out, "content_block_delta", s->next);
	json_put_open(out, "delta", '{');
	json_put_cstr(out, "type", rows[ev->block].type);
	if (ev->block == LLM_BLOCK_SEARCH) {
		buf_init(&query, out->max_bytes);
		buf_append_char(&query, '{');
		json_put_str(&query, "query", ev->text);
		buf_append_char(&query, '}');
		json_put_str(out, rows[ev->block].key, buf_span(&query));
		buf_done(&query);
	} else if (ev->custom) {
		put_free_text(out, rows[ev->block].key, ev->text);
	} else {
		json_put_str(out, rows[ev->block].key, ev->text);
	}
	buf_append_char(out, '}');
	end(out);
}

/* A whole block that holds nothing but the state. */
static void write_redacted(struct state *s, const struct llm_state *state, struct buf *out)
{
	begin_indexed(out, "content_block_start", s->next);
	json_put_open(out, "content_block", '{');
	json_put_cstr(out, "type", "redacted_thinking");
	put_state(out, "data", state);
	buf_append_char(out, '}');
	end(out);
	s->open = true;
}

static void write_state(struct state *s, const struct llm_event *ev, struct buf *out)
{
	struct llm_state state = *ev->state;

	if (ev->block == LLM_BLOCK_TOOL_CALL) {
		/* Before the call, and only then; the call's id says whose it is. */
		if (!s->pending)
			return;
		state.id = s->id;
		write_redacted(s, &state, out);
		write_stop_block(s, out);
		return;
	}
	if (ev->block != LLM_BLOCK_THINKING)
		return;
	if (ev->redacted) {
		write_redacted(s, &state, out);
		return;
	}
	begin_indexed(out, "content_block_delta", s->next);
	json_put_open(out, "delta", '{');
	json_put_cstr(out, "type", "signature_delta");
	put_state(out, "signature", &state);
	buf_append_char(out, '}');
	end(out);
}

static void write_citation(struct state *s, const struct llm_event *ev, struct buf *out)
{
	begin_indexed(out, "content_block_delta", s->next);
	json_put_open(out, "delta", '{');
	json_put_cstr(out, "type", "citations_delta");
	put_citation(out, "citation", ev->citation);
	buf_append_char(out, '}');
	end(out);
}

/* The results of a search are a block of their own behind it. */
static void write_results(
	struct state *s, const struct llm_event *ev, struct span id, struct buf *out)
{
	begin_indexed(out, "content_block_start", s->next);
	json_put_open(out, "content_block", '{');
	json_put_cstr(out, "type", "web_search_tool_result");
	json_put_str(out, "tool_use_id", id);
	if (ev->native != NULL && ev->native_op == LLM_OP_MESSAGES)
		json_put_val(out, "content", ev->native);
	else
		json_put_raw(out, "content", SPAN("[]"));
	buf_append_char(out, '}');
	end(out);
	s->open = true;
	write_stop_block(s, out);
}

static void write_block_end(
	struct writing *w, struct state *s, const struct llm_event *ev, struct buf *out)
{
	write_call_start(s, out);
	if (ev->custom)
		write_input(s, FREE_TEXT_CLOSE, out);
	write_stop_block(s, out);
	if (ev->block == LLM_BLOCK_SEARCH && w->message->last != NULL)
		write_results(s, ev, w->message->last->id, out);
}

static void write_stop(struct writing *w, const struct llm_event *ev, struct buf *out)
{
	begin(out, "message_delta");
	json_put_open(out, "delta", '{');
	put_stop(out, ev->stop, ev->stop_sequence);
	buf_append_char(out, '}');
	put_usage(w, out, &w->message->usage);
	end(out);
}

bool anthropic_write_event(struct writing *w, const struct llm_event *ev, struct buf *out)
{
	struct state *s = state_of(w);

	if (s == NULL)
		return false;
	switch (ev->kind) {
	case LLM_EVENT_START:
		write_start(w, out);
		break;
	case LLM_EVENT_BLOCK:
		if (!write_block(w, s, ev, out))
			return false;
		break;
	case LLM_EVENT_DELTA:
		write_delta(s, ev, out);
		break;
	case LLM_EVENT_STATE:
		write_state(s, ev, out);
		break;
	case LLM_EVENT_CITATION:
		write_citation(s, ev, out);
		break;
	case LLM_EVENT_BLOCK_END:
		write_block_end(w, s, ev, out);
		break;
	case LLM_EVENT_LOGPROBS: /* no place here */
	case LLM_EVENT_USAGE:
		break;
	case LLM_EVENT_STOP:
		write_stop(w, ev, out);
		break;
	case LLM_EVENT_END:
		begin(out, "message_stop");
		end(out);
		break;
	case LLM_EVENT_PING:
		buf_append(out, SPAN("event: ping\ndata: {\"type\": \"ping\"}\n\n"));
		break;
	}
	return !out->failed;
}

/* ---- the whole answer ---- */

static void put_redacted(struct buf *out, const struct llm_state *state)
{
	json_put_open(out, NULL, '{');
	json_put_cstr(out, "type", "redacted_thinking");
	put_state(out, "data", state);
	buf_append_char(out, '}');
}

static void put_call(struct buf *out, const struct llm_part *p)
{
	struct llm_state state = p->state;

	if (state.maker != LLM_MAKER_NONE) {
		state.id = p->id;
		put_redacted(out, &state);
	}
	json_put_open(out, NULL, '{');
	json_put_cstr(out, "type", "tool_use");
	json_put_str(out, "id", p->id);
	json_put_str(out, "name", p->name);
	put_args(out, "input", buf_span(&p->text), p->custom);
	buf_append_char(out, '}');
}

static void put_search(struct buf *out, const struct llm_part *p)
{
	json_put_open(out, NULL, '{');
	json_put_cstr(out, "type", "server_tool_use");
	json_put_str(out, "id", p->id);
	json_put_cstr(out, "name", "web_search");
	json_put_open(out, "input", '{');
	json_put_str(out, "query", buf_span(&p->text));
	buf_append_cstr(out, "}}");
	json_put_open(out, NULL, '{');
	json_put_cstr(out, "type", "web_search_tool_result");
	json_put_str(out, "tool_use_id", p->id);
	json_put_raw(out, "content",
		p->native_op == LLM_OP_MESSAGES && p->native.n > 0 ? p->native : SPAN("[]"));
	buf_append_char(out, '}');
}

static void put_text(struct buf *out, const struct llm_part *p)
{
	if (p->text.n == 0 && p->citations == NULL)
		return; /* the API has no empty text */
	json_put_open(out, NULL, '{');
	json_put_cstr(out, "type", "text");
	json_put_str(out, "text", buf_span(&p->text));
	if (p->citations != NULL) {
		json_put_open(out, "citations", '[');
		for (const struct llm_citation *c = p->citations; c != NULL; c = c->next)
			put_citation(out, NULL, c);
		buf_append_char(out, ']');
	}
	buf_append_char(out, '}');
}

static void put_part(struct buf *out, const struct llm_part *p)
{
	switch (p->kind) {
	case LLM_BLOCK_TEXT:
	case LLM_BLOCK_REFUSAL:
		put_text(out, p);
		break;
	case LLM_BLOCK_THINKING:
		if (p->redacted) {
			put_redacted(out, &p->state);
			break;
		}
		json_put_open(out, NULL, '{');
		json_put_cstr(out, "type", "thinking");
		json_put_str(out, "thinking", buf_span(&p->text));
		put_state(out, "signature", &p->state);
		buf_append_char(out, '}');
		break;
	case LLM_BLOCK_TOOL_CALL:
		put_call(out, p);
		break;
	case LLM_BLOCK_SEARCH:
		put_search(out, p);
		break;
	case LLM_BLOCK_MEDIA:
		json_put_open(out, NULL, '{');
		json_put_cstr(out, "type", "text");
		put_image_text(out, "text", &p->media);
		buf_append_char(out, '}');
		break;
	case LLM_BLOCK_NATIVE:
		if (p->native_op == LLM_OP_MESSAGES)
			json_put_raw(out, NULL, p->native);
		break;
	default:
		break;
	}
}

bool anthropic_write_answer(struct writing *w, const struct llm_message *m, struct buf *out)
{
	buf_append_char(out, '{');
	put_message_head(w, out);
	json_put_open(out, "content", '[');
	for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
		put_part(out, p);
	buf_append_char(out, ']');
	put_stop(out, m->stop, m->stop_sequence);
	put_usage(w, out, &m->usage);
	return buf_append_char(out, '}');
}
