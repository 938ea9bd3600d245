/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers, whole and in a stream. A stream's events say what they are in their own member "type";
 * blocks have starts and ends, and the last one, message-end, has reason and usage.
 */
#include "meaning/dialect/cohere/cohere.h"
#include "meaning/dialect/read.h"

/* ---- usage ---- */

static int64_t count(yyjson_val *usage, const char *group, const char *key)
{
	return usage_count(json_get(usage, group), key);
}

static bool read_usage(struct reading *r, yyjson_val *usage)
{
	int64_t input = count(usage, "billed_units", "input_tokens");
	int64_t output = count(usage, "billed_units", "output_tokens");
	int64_t whole = count(usage, "tokens", "input_tokens");
	int64_t cached = usage_count(usage, "cached_tokens");

	if (input < 0)
		input = whole;
	if (output < 0)
		output = count(usage, "tokens", "output_tokens");
	if (input < 0 && output < 0)
		return true;
	input = input > 0 ? input : 0;
	if (cached < 0 || whole != input)
		cached = 0;
	r->usage = (struct llm_usage){.present = true, .output = output > 0 ? output : 0};
	r->usage.cache_read = cached < input ? cached : input;
	r->usage.input_uncached = input - r->usage.cache_read;
	return flow_usage(&r->flow, &r->usage);
}

/* ---- pieces ---- */

/* Sources of the web or of documents have an address; what a tool gave has none. */
static bool read_citation(struct reading *r, yyjson_val *v)
{
	struct llm_citation c = {.start = -1, .end = -1, .document = -1};
	yyjson_val *source;
	size_t i, max;

	json_int(json_get(v, "start"), &c.start);
	json_int(json_get(v, "end"), &c.end);
	yyjson_arr_foreach(json_get(v, "sources"), i, max, source)
	{
		yyjson_val *said = json_get(source, "document");

		if (said == NULL)
			said = json_get(source, "tool_output");
		c.url = text_in(said, "url");
		c.title = text_in(said, "title");
		c.quote = text_in(said, "snippet");
		if (c.url.n > 0 && !flow_citation(&r->flow, &c))
			return false;
	}
	return true;
}

/* A part of the content: of a whole answer, or what a delta has of it. */
static bool read_part(struct reading *r, yyjson_val *part)
{
	return flow_thinking(&r->flow, text_in(part, "thinking")) &&
	       flow_text(&r->flow, text_in(part, "text"));
}

/* There is no member that asks for one call only: the first is kept. */
static bool is_too_many(const struct reading *r, int64_t key)
{
	return r->flow.request != NULL && r->flow.request->parallel == LLM_NO && key > 0;
}

static bool read_call(struct reading *r, int64_t key, yyjson_val *call, bool whole)
{
	yyjson_val *f = json_get(call, "function");

	if (is_too_many(r, key))
		return true;
	return flow_call_start(&r->flow, key, text_in(call, "id"), text_in(f, "name"), false) &&
	       flow_call_args(&r->flow, key, text_in(f, "arguments")) &&
	       (!whole || flow_call_end(&r->flow, key));
}

/* ---- the end ---- */

static bool read_finish(struct reading *r, struct span reason, struct span words)
{
	static const struct {
		const char *word;
		enum llm_stop stop;
	} rows[] = {{"COMPLETE", LLM_STOP_END}, {"STOP_SEQUENCE", LLM_STOP_SEQUENCE},
		{"MAX_TOKENS", LLM_STOP_LENGTH}, {"TOOL_CALL", LLM_STOP_TOOL},
		{"ERROR_TOXIC", LLM_STOP_FILTER}, {"ERROR_LIMIT", LLM_STOP_CONTEXT}};

	if (reason.n == 0)
		return true;
	r->stop = LLM_STOP_END;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (span_is(reason, rows[i].word)) {
			r->stop = rows[i].stop;
			r->finished = true;
		}
	/* ERROR, TIMEOUT, USER_CANCEL, and what is not known but begins like the first. */
	if (!r->finished && (span_starts(reason, SPAN("ERROR")) || span_is(reason, "TIMEOUT") ||
				    span_is(reason, "USER_CANCEL"))) {
		r->error_status = 502;
		r->from_provider = true;
		return err_set(&r->err, ERR_UPSTREAM,
			"The provider ended its answer with \"%.*s\"%s%.*s",
			SPAN_ARG(span_head(reason, 64)), words.n > 0 ? ": " : "",
			SPAN_ARG(span_head(words, 300)));
	}
	r->finished = true;
	keep_native_stop(r, reason);
	return true;
}

static bool finish(struct reading *r)
{
	const struct span none = {NULL, 0};

	if (r->flow.ended)
		return true;
	if (!r->finished)
		return err_set(&r->err, ERR_UPSTREAM_INTERRUPTED,
			"The provider's answer ended before it was complete");
	return flow_stop(&r->flow, r->stop, none, span_of(r->native_stop)) && flow_end(&r->flow);
}

/* ---- a stream ---- */

/* Errors behind the head come as an object with a message alone, or under "error". */
static bool take_error(struct reading *r, yyjson_val *root)
{
	struct said said;

	if (!said_read(root, &said))
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's stream holds an event without a type");
	r->error_status = said_status(&said);
	said_keep(r->error_status, &said, &r->err, NULL, NULL);
	r->from_provider = true;
	return false;
}

static bool read_typed(struct reading *r, struct span type, yyjson_val *root)
{
	yyjson_val *delta = json_get(root, "delta"), *message = json_get(delta, "message");
	int64_t index = 0;

	json_int(json_get(root, "index"), &index);
	if (span_is(type, "message-start"))
		return flow_start(&r->flow, text_in(root, "id"), (struct span){NULL, 0}, 0);
	if (span_is(type, "content-start") && !flow_cut(&r->flow))
		return false;
	if (span_is(type, "content-start") || span_is(type, "content-delta"))
		return read_part(r, json_get(message, "content"));
	if (span_is(type, "tool-plan-delta"))
		return flow_thinking(&r->flow, text_in(message, "tool_plan"));
	if (span_is(type, "tool-call-start"))
		return read_call(r, index, json_get(message, "tool_calls"), false);
	if (span_is(type, "tool-call-delta"))
		return is_too_many(r, index) ||
		       flow_call_args(&r->flow, index,
			       text_in(json_get(json_get(message, "tool_calls"), "function"),
				       "arguments"));
	if (span_is(type, "tool-call-end"))
		return is_too_many(r, index) || flow_call_end(&r->flow, index);
	if (span_is(type, "citation-start"))
		return read_citation(r, json_get(message, "citations"));
	if (!span_is(type, "message-end"))
		return true;
	return read_usage(r, json_get(delta, "usage")) &&
	       read_finish(r, text_in(delta, "finish_reason"), text_in(delta, "error")) &&
	       finish(r);
}

bool cohere_read_event(struct reading *r, struct span name, struct span data)
{
	yyjson_doc *doc;
	yyjson_val *root;
	struct span type;
	bool ok;

	(void)name;
	data = span_trim(data);
	if (data.n == 0 || r->flow.ended || span_is(data, "[DONE]"))
		return true;
	doc = json_read_raw(r->scratch, data, true, NULL);
	root = yyjson_doc_get_root(doc);
	type = text_in(root, "type");
	if (!yyjson_is_obj(root))
		ok = err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's stream holds an event that is not a JSON object");
	else if (type.n == 0 || json_get(root, "error") != NULL)
		ok = take_error(r, root);
	else
		ok = (r->flow.started || flow_start(&r->flow, text_in(root, "id"),
						 (struct span){NULL, 0}, 0)) &&
		     read_typed(r, type, root);
	json_free(doc);
	return ok;
}

bool cohere_read_end(struct reading *r)
{
	return finish(r);
}

/* ---- a document ---- */

bool cohere_read_answer(struct reading *r, yyjson_val *root)
{
	yyjson_val *message = json_get(root, "message"), *content = json_get(message, "content"),
		   *v;
	int64_t key = 0;
	size_t i, max;

	if (!yyjson_is_obj(message) && yyjson_is_obj(root) && json_get(root, "message") != NULL)
		return take_error(r, root);
	if (!yyjson_is_obj(message))
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's answer has no 'message': it is not in Cohere's format");
	if (!flow_start(&r->flow, text_in(root, "id"), (struct span){NULL, 0}, 0) ||
		!flow_thinking(&r->flow, text_in(message, "tool_plan")) ||
		!flow_text(&r->flow, text_of(content)))
		return false;
	yyjson_arr_foreach(content, i, max, v)
	{
		if (!flow_cut(&r->flow) || !read_part(r, v))
			return false;
	}
	yyjson_arr_foreach(json_get(message, "citations"), i, max, v)
	{
		if (!read_citation(r, v))
			return false;
	}
	yyjson_arr_foreach(json_get(message, "tool_calls"), i, max, v)
	{
		if (!read_call(r, key++, v, true))
			return false;
	}
	return read_usage(r, json_get(root, "usage")) &&
	       read_finish(r, text_in(root, "finish_reason"), (struct span){NULL, 0}) && finish(r);
}
