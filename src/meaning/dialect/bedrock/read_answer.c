/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers, whole and in a stream. A stream names its blocks by index; texts and reasoning begin
 * without a start. The usage comes after the stop reason, and ends the answer.
 */
#include "machine/base/json_put.h"
#include "meaning/dialect/bedrock/bedrock.h"
#include "meaning/dialect/read.h"

#define MAX_OBJECT_BYTES (32u << 20)
#define MAX_REDACTED_BYTES (1u << 20)

enum kind { KIND_NONE, KIND_TEXT, KIND_CALL, KIND_HOSTED };

/* The open block of a stream, and what is kept up to the end. */
struct state {
	enum kind kind;
	int64_t index;
	struct span redacted; /* base64 in the arena, until its block ends */
	struct span format;   /* of an image */
	struct span sequence; /* which stop sequence */
};

static const struct {
	const char *word;
	enum llm_stop stop;
} stops[] = {{"end_turn", LLM_STOP_END}, {"tool_use", LLM_STOP_TOOL},
	{"max_tokens", LLM_STOP_LENGTH}, {"stop_sequence", LLM_STOP_SEQUENCE},
	{"content_filtered", LLM_STOP_FILTER}, {"guardrail_intervened", LLM_STOP_FILTER},
	{"model_context_window_exceeded", LLM_STOP_CONTEXT}, {"refusal", LLM_STOP_FILTER},
	{"pause_turn", LLM_STOP_PAUSE}};

bool bedrock_stop_read(struct span word, enum llm_stop *out)
{
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		if (span_is(word, stops[i].word)) {
			*out = stops[i].stop;
			return true;
		}
	return false;
}

static struct state *state_of(struct reading *r)
{
	if (r->state == NULL)
		r->state = ARENA_NEW(r->arena, struct state);
	if (r->state == NULL)
		err_set(&r->err, ERR_NO_MEMORY, NULL);
	return r->state;
}

/* ---- reasoning ---- */

static bool read_signature(struct reading *r, struct span data)
{
	const struct llm_state s = {
		.maker = LLM_MAKER_ANTHROPIC, .scope = r->target->provider, .data = data};

	return data.n == 0 || flow_state(&r->flow, &s, false);
}

static bool read_redacted(struct reading *r, struct span base64)
{
	struct llm_state s = {.maker = LLM_MAKER_ANTHROPIC, .scope = r->target->provider};

	if (base64.n == 0)
		return true;
	bedrock_read_redacted(r->arena, base64, &s);
	if (r->arena->failed)
		return err_set(&r->err, ERR_NO_MEMORY, NULL);
	return flow_redacted(&r->flow, &s);
}

/* It may come in pieces, each encoded alone: pieces of whole groups of four join as they are. */
static bool keep_redacted(struct reading *r, struct state *s, struct span piece)
{
	if (s->redacted.n + piece.n > MAX_REDACTED_BYTES)
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's redacted reasoning is over %u bytes", MAX_REDACTED_BYTES);
	if (s->redacted.n > 0 && s->redacted.p[s->redacted.n - 1] == '=') {
		if (!read_redacted(r, s->redacted))
			return false;
		s->redacted.n = 0;
	}
	s->redacted = arena_join(r->arena, (const struct span[]){s->redacted, piece}, 2);
	return s->redacted.p != NULL || err_set(&r->err, ERR_NO_MEMORY, NULL);
}

/* ---- citations ---- */

/* Where in its source: one of several kinds of places, of which the web and documents are known. */
static bool read_citation(struct reading *r, yyjson_val *v)
{
	struct llm_citation c = {
		.title = text_in(v, "title"), .start = -1, .end = -1, .document = -1, .native = v};
	yyjson_val *location = json_get(v, "location"), *place;

	c.url = text_in(json_get(location, "web"), "url");
	if (c.url.n == 0)
		c.url = text_in(v, "source");
	place = json_get(location, "documentChar");
	if (place == NULL)
		place = json_get(location, "documentPage");
	if (place == NULL)
		place = json_get(location, "documentChunk");
	json_int(json_get(place, "documentIndex"), &c.document);
	c.quote = text_in(yyjson_arr_get_first(json_get(v, "sourceContent")), "text");
	return flow_citation(&r->flow, &c);
}

/* ---- whole blocks ---- */

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

/* A tool that ran at the provider: neither its call nor its result is the client's. */
static bool is_hosted(yyjson_val *call)
{
	return span_is(text_in(call, "type"), "server_tool_use");
}

static bool read_call(struct reading *r, int64_t key, yyjson_val *call)
{
	if (is_hosted(call))
		return true;
	return flow_call_start(
		       &r->flow, key, text_in(call, "toolUseId"), text_in(call, "name"), false) &&
	       read_input(r, key, json_get(call, "input")) && flow_call_end(&r->flow, key);
}

static bool read_reasoning(struct reading *r, yyjson_val *v)
{
	yyjson_val *text = json_get(v, "reasoningText");

	if (text == NULL)
		return read_redacted(r, text_in(v, "redactedContent"));
	return flow_thinking(&r->flow, text_in(text, "text")) &&
	       read_signature(r, text_in(text, "signature"));
}

static bool read_cited(struct reading *r, yyjson_val *v)
{
	yyjson_val *item;
	size_t i, max;

	yyjson_arr_foreach(json_get(v, "content"), i, max, item)
	{
		if (!flow_text(&r->flow, text_in(item, "text")))
			return false;
	}
	yyjson_arr_foreach(json_get(v, "citations"), i, max, item)
	{
		if (!read_citation(r, item))
			return false;
	}
	return true;
}

static bool read_block(struct reading *r, int64_t index, yyjson_val *block)
{
	yyjson_val *v = json_get(block, "text");
	struct llm_media media;

	if (!flow_cut(&r->flow))
		return false;
	if (v != NULL)
		return flow_text(&r->flow, text_of(v));
	v = json_get(block, "toolUse");
	if (v != NULL)
		return read_call(r, index, v);
	v = json_get(block, "reasoningContent");
	if (v != NULL)
		return read_reasoning(r, v);
	v = json_get(block, "citationsContent");
	if (v != NULL)
		return read_cited(r, v);
	if (json_get(block, "toolResult") != NULL)
		return true;
	if (bedrock_read_media(block, &media))
		return flow_media(&r->flow, &media);
	return flow_native(&r->flow, LLM_OP_CONVERSE, block);
}

/* ---- a stream's blocks ---- */

static bool end_block(struct reading *r, struct state *s)
{
	enum kind kind = s->kind;
	struct span redacted = s->redacted;

	s->kind = KIND_NONE;
	s->redacted = (struct span){NULL, 0};
	if (redacted.n > 0 && !read_redacted(r, redacted))
		return false;
	if (kind == KIND_CALL)
		return flow_call_end(&r->flow, s->index);
	return flow_cut(&r->flow);
}

/* The block of that index is the open one; the one before it may have had no end. */
static bool enter_block(struct reading *r, struct state *s, int64_t index)
{
	if (s->kind != KIND_NONE && s->index == index)
		return true;
	if (!end_block(r, s))
		return false;
	s->index = index;
	s->kind = KIND_TEXT;
	return true;
}

static bool read_start(struct reading *r, struct state *s, int64_t index, yyjson_val *start)
{
	yyjson_val *call = json_get(start, "toolUse");

	if (!enter_block(r, s, index))
		return false;
	s->format =
		arena_copy(r->arena, span_head(text_in(json_get(start, "image"), "format"), 16));
	if (json_get(start, "toolResult") != NULL || is_hosted(call)) {
		s->kind = KIND_HOSTED;
		return true;
	}
	if (call == NULL)
		return true;
	s->kind = KIND_CALL;
	return flow_call_start(
		&r->flow, index, text_in(call, "toolUseId"), text_in(call, "name"), false);
}

static bool read_reasoning_delta(struct reading *r, struct state *s, yyjson_val *v)
{
	struct span redacted = text_in(v, "redactedContent");

	if (redacted.n > 0)
		return keep_redacted(r, s, redacted);
	return flow_thinking(&r->flow, text_in(v, "text")) &&
	       read_signature(r, text_in(v, "signature"));
}

static bool read_image_delta(struct reading *r, const struct state *s, yyjson_val *v)
{
	struct llm_media m = {.kind = LLM_MEDIA_IMAGE,
		.from = LLM_FROM_BASE64,
		.data = text_in(json_get(v, "source"), "bytes")};

	m.mime = bedrock_mime(LLM_MEDIA_IMAGE, s->format);
	return m.data.n == 0 || flow_media(&r->flow, &m);
}

static bool read_delta(struct reading *r, struct state *s, int64_t index, yyjson_val *delta)
{
	yyjson_val *v = json_get(delta, "text");

	if (!enter_block(r, s, index))
		return false;
	if (s->kind == KIND_HOSTED)
		return true;
	if (v != NULL)
		return flow_text(&r->flow, text_of(v));
	v = json_get(delta, "toolUse");
	if (v != NULL) {
		s->kind = KIND_CALL;
		return flow_call_args(&r->flow, index, text_in(v, "input"));
	}
	v = json_get(delta, "reasoningContent");
	if (v != NULL)
		return read_reasoning_delta(r, s, v);
	v = json_get(delta, "citation");
	if (v != NULL)
		return read_citation(r, v);
	v = json_get(delta, "image");
	return v == NULL || read_image_delta(r, s, v);
}

/* ---- the end ---- */

/* Input classes are apart from each other; what is written to the cache is told by its lifetime. */
static void read_usage(struct reading *r, yyjson_val *usage)
{
	struct llm_usage u = {.present = true};
	int64_t written = 0, n;
	yyjson_val *item;
	size_t i, max;

	if (!yyjson_is_obj(usage))
		return;
	json_get_count(usage, "inputTokens", &u.input_uncached);
	json_get_count(usage, "outputTokens", &u.output);
	json_get_count(usage, "cacheReadInputTokens", &u.cache_read);
	json_get_count(usage, "cacheWriteInputTokens", &written);
	yyjson_arr_foreach(json_get(usage, "cacheDetails"), i, max, item)
	{
		if (span_is(text_in(item, "ttl"), "1h") && json_get_count(item, "inputTokens", &n))
			u.cache_write_1h += n;
	}
	if (u.cache_write_1h > written)
		u.cache_write_1h = written;
	u.cache_write_5m = written - u.cache_write_1h;
	r->usage = u;
}

static bool read_stop(struct reading *r, struct state *s, yyjson_val *v)
{
	struct span word = span_head(text_in(v, "stopReason"), sizeof(r->native_stop) - 1);
	yyjson_val *more = json_get(v, "additionalModelResponseFields");
	struct span sequence = text_in(more, "stop_sequence");

	if (span_starts(word, SPAN("malformed_"))) {
		r->error_status = 502;
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The model's answer is not usable (%.*s)", SPAN_ARG(word));
	}
	if (sequence.n == 0)
		sequence = text_in(json_get(more, "delta"), "stop_sequence");
	r->finished = true;
	r->stop = LLM_STOP_END;
	bedrock_stop_read(word, &r->stop);
	s->sequence = arena_copy(r->arena, span_head(sequence, 1024));
	keep_native_stop(r, word);
	return true;
}

static bool finish(struct reading *r, struct state *s)
{
	if (r->usage.present && !flow_usage(&r->flow, &r->usage))
		return false;
	return flow_stop(&r->flow, r->stop, s->sequence, span_of(r->native_stop)) &&
	       flow_end(&r->flow);
}

/* ---- events ---- */

static bool read_payload(struct reading *r, struct state *s, struct span name, yyjson_val *root)
{
	const struct span none = {NULL, 0};
	int64_t index = 0;

	json_int(json_get(root, "contentBlockIndex"), &index);
	if (span_is(name, "contentBlockDelta"))
		return read_delta(r, s, index, json_get(root, "delta"));
	if (span_is(name, "contentBlockStart"))
		return read_start(r, s, index, json_get(root, "start"));
	if (span_is(name, "contentBlockStop"))
		return s->kind == KIND_NONE || s->index != index || end_block(r, s);
	if (span_is(name, "messageStart"))
		return flow_start(&r->flow, none, none, 0);
	if (span_is(name, "messageStop"))
		return end_block(r, s) && read_stop(r, s, root);
	if (!span_is(name, "metadata"))
		return true;
	read_usage(r, json_get(root, "usage"));
	return !r->finished || finish(r, s);
}

bool bedrock_read_event(struct reading *r, struct span name, struct span data)
{
	struct state *s = state_of(r);
	yyjson_doc *doc;
	bool ok;

	if (s == NULL)
		return false;
	if (r->flow.ended)
		return true;
	doc = json_read_raw(r->scratch, data, true, NULL);
	if (bedrock_is_error(name))
		ok = bedrock_take_error(r, name, yyjson_doc_get_root(doc), data);
	else if (yyjson_is_obj(yyjson_doc_get_root(doc)))
		ok = read_payload(r, s, name, yyjson_doc_get_root(doc));
	else
		ok = err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's stream holds an event that is not a JSON object");
	json_free(doc);
	return ok;
}

bool bedrock_read_end(struct reading *r)
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

bool bedrock_read_answer(struct reading *r, yyjson_val *root)
{
	yyjson_val *content = json_get(json_get(json_get(root, "output"), "message"), "content");
	const struct span none = {NULL, 0};
	struct state *s = state_of(r);
	yyjson_val *block;
	size_t i, max;

	if (s == NULL)
		return false;
	if (!yyjson_is_arr(content)) {
		if (bedrock_has_error(root))
			return bedrock_take_error(r, none, root, none);
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's answer has no 'output.message.content': it is not in the "
			"Converse format");
	}
	if (!flow_start(&r->flow, none, none, 0))
		return false;
	read_usage(r, json_get(root, "usage"));
	yyjson_arr_foreach(content, i, max, block)
	{
		if (!read_block(r, (int64_t)i, block))
			return false;
	}
	return flow_cut(&r->flow) && read_stop(r, s, root) && finish(r, s);
}
