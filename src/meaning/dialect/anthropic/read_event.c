/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/anthropic/anthropic.h"
#include "meaning/dialect/read.h"

#define MAX_OBJECT_BYTES (32u << 20)
#define MAX_QUERY_BYTES 8192

enum kind { KIND_OTHER, KIND_TEXT, KIND_THINKING, KIND_CALL, KIND_SEARCH };

/* The open block. */
struct state {
	enum kind kind;
	int64_t index;
	struct span query, id; /* SEARCH: its input so far; arena */
	bool searching;        /* a search waits for its results */
	struct span sequence;  /* which stop sequence; arena */
};

static struct state *state_of(struct reading *r)
{
	if (r->state == NULL)
		r->state = ARENA_NEW(r->arena, struct state);
	if (r->state == NULL)
		err_set(&r->err, ERR_NO_MEMORY, NULL);
	return r->state;
}

static bool read_state(struct reading *r, struct span data, bool redacted)
{
	struct llm_state s = {
		.maker = LLM_MAKER_ANTHROPIC, .scope = r->target->provider, .data = data};

	if (data.n == 0)
		return true;
	return redacted ? flow_redacted(&r->flow, &s) : flow_state(&r->flow, &s, false);
}

static bool read_citation(struct reading *r, yyjson_val *v)
{
	struct llm_citation c = {.url = text_in(v, "url"),
		.title = text_in(v, "title"),
		.quote = text_in(v, "cited_text"),
		.start = -1,
		.end = -1,
		.document = -1,
		.native = v};

	json_int(json_get(v, "document_index"), &c.document);
	if (c.url.n == 0)
		c.url = text_in(v, "source");
	if (c.title.n == 0)
		c.title = text_in(v, "document_title");
	return flow_citation(&r->flow, &c);
}

static bool read_citations(struct reading *r, yyjson_val *list)
{
	size_t i, max;
	yyjson_val *v;

	yyjson_arr_foreach(list, i, max, v) if (!read_citation(r, v)) return false;
	return true;
}

/* The arguments that stand whole in a block. */
static bool read_input(struct reading *r, int64_t key, yyjson_val *input)
{
	struct buf b;
	bool ok;

	if (!yyjson_is_obj(input) || yyjson_obj_size(input) == 0)
		return true;
	buf_init(&b, MAX_OBJECT_BYTES);
	json_write(&b, input);
	ok = b.failed ? err_set(&r->err, ERR_NO_MEMORY, NULL)
		      : flow_call_args(&r->flow, key, buf_span(&b));
	buf_done(&b);
	return ok;
}

static bool end_search(struct reading *r, struct state *s, yyjson_val *results)
{
	yyjson_doc *doc = json_read_loose(NULL, s->query, NULL);
	struct span query = text_in(yyjson_doc_get_root(doc), "query");
	bool ok = flow_search(&r->flow, s->id, query, LLM_OP_MESSAGES, results);

	json_free(doc);
	s->searching = false;
	return ok;
}

static bool begin_search(struct reading *r, struct state *s, yyjson_val *block)
{
	yyjson_val *input = json_get(block, "input");

	if (s->searching && !end_search(r, s, NULL))
		return false;
	s->searching = true;
	s->id = arena_copy(r->arena, text_in(block, "id"));
	s->query = (struct span){NULL, 0};
	if (yyjson_is_obj(input) && yyjson_obj_size(input) > 0)
		s->query = text_json(r->arena, input);
	return true;
}

/* A block as it begins; in an answer that is not streamed, the whole of it. */
static bool read_block(struct reading *r, struct state *s, int64_t index, yyjson_val *block)
{
	struct span type = text_in(block, "type");

	s->index = index;
	s->kind = KIND_OTHER;
	if (span_is(type, "text")) {
		s->kind = KIND_TEXT;
		/* A text behind a text is another one: each has its own citations. */
		return flow_cut(&r->flow) && flow_text(&r->flow, text_in(block, "text")) &&
		       read_citations(r, json_get(block, "citations"));
	}
	if (span_is(type, "thinking")) {
		s->kind = KIND_THINKING;
		return flow_cut(&r->flow) && flow_thinking(&r->flow, text_in(block, "thinking")) &&
		       read_state(r, text_in(block, "signature"), false);
	}
	if (span_is(type, "redacted_thinking"))
		return read_state(r, text_in(block, "data"), true);
	if (span_is(type, "tool_use")) {
		s->kind = KIND_CALL;
		return flow_call_start(&r->flow, index, text_in(block, "id"),
			       text_in(block, "name"), false) &&
		       read_input(r, index, json_get(block, "input"));
	}
	if (span_is(type, "server_tool_use") && span_is(text_in(block, "name"), "web_search")) {
		s->kind = KIND_SEARCH;
		return begin_search(r, s, block);
	}
	if (span_is(type, "web_search_tool_result"))
		return s->searching ? end_search(r, s, json_get(block, "content")) : true;
	return flow_native(&r->flow, LLM_OP_MESSAGES, block);
}

static bool end_block(struct reading *r, const struct state *s)
{
	if (s->kind == KIND_CALL)
		return flow_call_end(&r->flow, s->index);
	return s->kind == KIND_SEARCH || flow_cut(&r->flow);
}

static bool add_query(struct reading *r, struct state *s, struct span piece)
{
	if (s->query.n + piece.n > MAX_QUERY_BYTES)
		return err_set(&r->err, ERR_UPSTREAM_INVALID, "A search's query is over %d bytes",
			MAX_QUERY_BYTES);
	s->query = arena_join(r->arena, (const struct span[]){s->query, piece}, 2);
	return s->query.p != NULL || err_set(&r->err, ERR_NO_MEMORY, NULL);
}

static bool read_delta(struct reading *r, struct state *s, int64_t index, yyjson_val *delta)
{
	struct span type = text_in(delta, "type");

	if (span_is(type, "text_delta"))
		return flow_text(&r->flow, text_in(delta, "text"));
	if (span_is(type, "thinking_delta"))
		return flow_thinking(&r->flow, text_in(delta, "thinking"));
	if (span_is(type, "signature_delta"))
		return read_state(r, text_in(delta, "signature"), false);
	if (span_is(type, "citations_delta"))
		return read_citation(r, json_get(delta, "citation"));
	if (span_is(type, "input_json_delta")) {
		if (s->kind == KIND_SEARCH)
			return add_query(r, s, text_in(delta, "partial_json"));
		return s->kind != KIND_CALL ||
		       flow_call_args(&r->flow, index, text_in(delta, "partial_json"));
	}
	return true;
}

/* ---- begin and end ---- */

static enum llm_stop stop_of(struct span reason)
{
	static const struct {
		const char *word;
		enum llm_stop stop;
	} words[] = {{"end_turn", LLM_STOP_END}, {"max_tokens", LLM_STOP_LENGTH},
		{"stop_sequence", LLM_STOP_SEQUENCE}, {"tool_use", LLM_STOP_TOOL},
		{"pause_turn", LLM_STOP_PAUSE}, {"refusal", LLM_STOP_FILTER},
		{"model_context_window_exceeded", LLM_STOP_CONTEXT}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_is(reason, words[i].word))
			return words[i].stop;
	return LLM_STOP_END;
}

static void read_stop(struct reading *r, struct state *s, yyjson_val *v)
{
	struct span reason = text_in(v, "stop_reason");

	if (reason.n == 0)
		return;
	r->finished = true;
	r->stop = stop_of(reason);
	s->sequence = arena_copy(r->arena, span_head(text_in(v, "stop_sequence"), 1024));
	keep_native_stop(r, reason);
}

static bool finish(struct reading *r, struct state *s)
{
	if (s->searching && !end_search(r, s, NULL))
		return false;
	if (r->usage.present && !flow_usage(&r->flow, &r->usage))
		return false;
	return flow_stop(&r->flow, r->stop, s->sequence, span_of(r->native_stop)) &&
	       flow_end(&r->flow);
}

static bool read_error(struct reading *r, yyjson_val *root)
{
	struct said said;

	if (!said_read(root, &said))
		return err_set(
			&r->err, ERR_UPSTREAM, "The provider's answer is an error without words");
	r->error_status = said_status(&said);
	said_keep(r->error_status, &said, &r->err, NULL, NULL);
	r->from_provider = true;
	return false;
}

static bool read_start(struct reading *r, yyjson_val *message)
{
	anthropic_read_usage(json_get(message, "usage"), &r->usage);
	if (!flow_start(&r->flow, text_in(message, "id"), text_in(message, "model"), 0))
		return false;
	/* What is known of the input so far: the counts of message_delta replace it. */
	return !r->usage.present || flow_usage(&r->flow, &r->usage);
}

static bool read_root(struct reading *r, struct state *s, yyjson_val *root)
{
	struct span type = text_in(root, "type");
	int64_t index = 0;

	json_int(json_get(root, "index"), &index);
	if (span_is(type, "content_block_delta"))
		return read_delta(r, s, index, json_get(root, "delta"));
	if (span_is(type, "content_block_start"))
		return read_block(r, s, index, json_get(root, "content_block"));
	if (span_is(type, "content_block_stop"))
		return end_block(r, s);
	if (span_is(type, "message_start"))
		return read_start(r, json_get(root, "message"));
	if (span_is(type, "message_delta")) {
		anthropic_read_usage(json_get(root, "usage"), &r->usage);
		read_stop(r, s, json_get(root, "delta"));
		return true;
	}
	if (span_is(type, "message_stop"))
		return anthropic_read_end(r);
	if (span_is(type, "ping"))
		return flow_ping(&r->flow);
	if (span_is(type, "error") || yyjson_is_obj(json_get(root, "error")))
		return read_error(r, root);
	return true;
}

bool anthropic_read_event(struct reading *r, struct span name, struct span data)
{
	struct state *s = state_of(r);
	yyjson_doc *doc;
	bool ok;

	data = span_trim(data);
	if (s == NULL)
		return false;
	if (data.n == 0 || r->flow.ended || span_is(data, "[DONE]"))
		return true;
	doc = json_read_raw(r->scratch, data, true, NULL);
	if (yyjson_is_obj(yyjson_doc_get_root(doc)))
		ok = read_root(r, s, yyjson_doc_get_root(doc));
	else
		ok = err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's stream holds an event that is not a JSON object");
	json_free(doc);
	return ok;
}

bool anthropic_read_end(struct reading *r)
{
	struct state *s = state_of(r);

	if (r->flow.ended)
		return true;
	if (s == NULL)
		return false;
	if (!r->finished)
		return err_set(&r->err, ERR_UPSTREAM_INTERRUPTED,
			"The provider's stream ended before its answer was complete");
	return finish(r, s);
}

bool anthropic_read_whole(struct reading *r, yyjson_val *root)
{
	yyjson_val *content = json_get(root, "content"), *block;
	struct state *s = state_of(r);
	size_t i, max;

	if (s == NULL)
		return false;
	if (!yyjson_is_arr(content)) {
		if (span_is(text_in(root, "type"), "error") ||
			yyjson_is_obj(json_get(root, "error")))
			return read_error(r, root);
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's answer has no 'content': it is not in the Anthropic "
			"format");
	}
	if (!read_start(r, root))
		return false;
	yyjson_arr_foreach(content, i, max,
		block) if (!read_block(r, s, (int64_t)i, block) || !end_block(r, s)) return false;
	read_stop(r, s, root);
	return finish(r, s);
}
