/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_responses/openai_responses.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"

/* What was seen of an item before its end, which tells the whole again. */
struct seen {
	int64_t index;
	bool args, text;
};

#define MAX_ITEMS 512

struct state {
	struct seen items[MAX_ITEMS];
	int n;
	int n_done;
};

static struct state *state_of(struct reading *r)
{
	if (r->state == NULL)
		r->state = ARENA_NEW(r->arena, struct state);
	if (r->state == NULL)
		err_set(&r->err, ERR_NO_MEMORY, NULL);
	return r->state;
}

static struct seen *seen_of(struct reading *r, int64_t index)
{
	struct state *s = state_of(r);

	if (s == NULL)
		return NULL;
	for (int i = s->n; i-- > 0;)
		if (s->items[i].index == index)
			return &s->items[i];
	if (s->n == MAX_ITEMS) {
		err_set(&r->err, ERR_UPSTREAM_INVALID, "The provider's answer has over %d items",
			MAX_ITEMS);
		return NULL;
	}
	s->items[s->n] = (struct seen){.index = index};
	return &s->items[s->n++];
}

/* ---- parts ---- */

static bool read_annotation(struct reading *r, yyjson_val *v)
{
	struct llm_citation c = {.start = -1, .end = -1, .document = -1, .native = v};

	c.url = text_in(v, "url");
	c.title = text_in(v, "title");
	json_int(json_get(v, "start_index"), &c.start);
	json_int(json_get(v, "end_index"), &c.end);
	return c.url.n == 0 || flow_citation(&r->flow, &c);
}

static bool read_parts(struct reading *r, yyjson_val *parts)
{
	size_t i, max, j, n;
	yyjson_val *part, *v;

	yyjson_arr_foreach(parts, i, max, part)
	{
		if ((i > 0 && !flow_cut(&r->flow)) || !flow_text(&r->flow, text_in(part, "text")) ||
			!flow_logprobs(&r->flow, json_get(part, "logprobs")) ||
			!flow_refusal(&r->flow, text_in(part, "refusal")))
			return false;
		yyjson_arr_foreach(json_get(part, "annotations"), j, n,
			v) if (!read_annotation(r, v)) return false;
	}
	return true;
}

/* Pieces of a summary are paragraphs of one text. */
static bool read_summary(struct reading *r, yyjson_val *parts, bool *any)
{
	size_t i, max;
	yyjson_val *part;

	yyjson_arr_foreach(parts, i, max, part)
	{
		struct span text = text_in(part, "text");

		if (text.n == 0)
			continue;
		if ((*any && !flow_thinking(&r->flow, SPAN("\n\n"))) ||
			!flow_thinking(&r->flow, text))
			return false;
		*any = true;
	}
	return true;
}

/* ---- items ---- */

static bool is_call(struct span type)
{
	return span_is(type, "function_call") || span_is(type, "custom_tool_call");
}

static bool start_call(struct reading *r, int64_t index, yyjson_val *item)
{
	bool custom = span_is(text_in(item, "type"), "custom_tool_call");

	return flow_call_start(
		&r->flow, index, text_in(item, "call_id"), text_in(item, "name"), custom);
}

static bool end_call(struct reading *r, struct seen *seen, yyjson_val *item)
{
	struct span args = text_in(item, "arguments");

	if (args.p == NULL)
		args = text_in(item, "input");
	return start_call(r, seen->index, item) &&
	       (seen->args || flow_call_args(&r->flow, seen->index, args)) &&
	       flow_call_end(&r->flow, seen->index);
}

/*
 * Without text and without encrypted content an item is a mere reference to what the provider
 * stored: there is nothing to carry.
 */
static bool end_reasoning(struct reading *r, struct seen *seen, yyjson_val *item)
{
	struct llm_state s = {.maker = LLM_MAKER_OPENAI,
		.scope = r->target->provider,
		.id = text_in(item, "id"),
		.data = text_in(item, "encrypted_content")};
	bool any = seen->text;

	if (!any && (!read_summary(r, json_get(item, "summary"), &any) ||
			    !read_summary(r, json_get(item, "content"), &any)))
		return false;
	if (s.data.n > 0 && !(any ? flow_state(&r->flow, &s, false) : flow_redacted(&r->flow, &s)))
		return false;
	return flow_cut(&r->flow);
}

static bool end_search(struct reading *r, yyjson_val *item)
{
	yyjson_val *action = json_get(item, "action"), *sources = json_get(action, "sources");

	return flow_search(&r->flow, text_in(item, "id"), text_in(action, "query"),
		LLM_OP_RESPONSES, yyjson_is_arr(sources) ? sources : NULL);
}

static bool end_image(struct reading *r, yyjson_val *item)
{
	struct llm_media m = {
		.kind = LLM_MEDIA_IMAGE, .from = LLM_FROM_BASE64, .data = text_in(item, "result")};

	m.mime = llm_media_sniff(m.data);
	return m.data.n == 0 || flow_media(&r->flow, &m);
}

static bool end_item(struct reading *r, int64_t index, yyjson_val *item)
{
	struct span type = text_in(item, "type");
	struct state *s = state_of(r);
	struct seen *seen = s != NULL ? seen_of(r, index) : NULL;

	if (seen == NULL)
		return false;
	s->n_done++;
	if (is_call(type))
		return end_call(r, seen, item);
	if (span_is(type, "reasoning"))
		return end_reasoning(r, seen, item);
	if (span_is(type, "message"))
		return (seen->text || read_parts(r, json_get(item, "content"))) &&
		       flow_cut(&r->flow);
	if (span_is(type, "web_search_call"))
		return end_search(r, item);
	if (span_is(type, "image_generation_call"))
		return end_image(r, item);
	return flow_native(&r->flow, LLM_OP_RESPONSES, item);
}

/* ---- the response ---- */

static bool read_failure(struct reading *r, yyjson_val *root)
{
	responses_read_failure(root, &r->error_status, &r->err, NULL, NULL);
	r->from_provider = true;
	return false;
}

static bool start(struct reading *r, yyjson_val *response)
{
	int64_t created = 0;

	json_int(json_get(response, "created_at"), &created);
	return flow_start(&r->flow, text_in(response, "id"), text_in(response, "model"), created);
}

static bool read_items(struct reading *r, yyjson_val *response)
{
	size_t i, max;
	yyjson_val *item;

	yyjson_arr_foreach(json_get(response, "output"), i, max,
		item) if (!end_item(r, (int64_t)i, item)) return false;
	return true;
}

/* The end of the response, whole: of a stream whose items were not shown before, all of it. */
static bool finish(struct reading *r, yyjson_val *response)
{
	struct span reason = text_in(json_get(response, "incomplete_details"), "reason");
	struct span status = text_in(response, "status");
	struct state *s = state_of(r);
	struct llm_usage now;
	enum llm_stop stop = LLM_STOP_END;

	if (s == NULL || !start(r, response) || (s->n_done == 0 && !read_items(r, response)))
		return false;
	if (span_is(reason, "content_filter"))
		stop = LLM_STOP_FILTER;
	else if (reason.n > 0 || span_is(status, "incomplete"))
		stop = LLM_STOP_LENGTH;
	keep_native_stop(r, reason.n > 0 ? reason : status);
	responses_read_usage(json_get(response, "usage"), &now);
	if (now.present)
		usage_take(&r->usage, &now);
	r->finished = true;
	return (!r->usage.present || flow_usage(&r->flow, &r->usage)) &&
	       flow_stop(&r->flow, stop, (struct span){NULL, 0}, span_of(r->native_stop)) &&
	       flow_end(&r->flow);
}

/* ---- events ---- */

static bool read_delta(struct reading *r, struct span type, yyjson_val *root, int64_t index)
{
	struct span delta = text_in(root, "delta");
	struct seen *seen = seen_of(r, index);

	if (seen == NULL)
		return false;
	if (span_is(type, "response.output_text.delta")) {
		seen->text |= delta.n > 0;
		return flow_text(&r->flow, delta) &&
		       flow_logprobs(&r->flow, json_get(root, "logprobs"));
	}
	if (span_is(type, "response.refusal.delta")) {
		seen->text |= delta.n > 0;
		return flow_refusal(&r->flow, delta);
	}
	if (span_is(type, "response.reasoning_summary_text.delta") ||
		span_is(type, "response.reasoning_text.delta")) {
		seen->text |= delta.n > 0;
		return flow_thinking(&r->flow, delta);
	}
	if (span_is(type, "response.function_call_arguments.delta") ||
		span_is(type, "response.custom_tool_call_input.delta")) {
		seen->args |= delta.n > 0;
		return flow_call_args(&r->flow, index, delta);
	}
	return true;
}

static bool read_item_event(struct reading *r, struct span type, yyjson_val *root, int64_t index)
{
	yyjson_val *item = json_get(root, "item");
	struct seen *seen = seen_of(r, index);
	int64_t part = 0;

	if (seen == NULL)
		return false;
	if (span_is(type, "response.output_item.added"))
		return !is_call(text_in(item, "type")) || start_call(r, index, item);
	if (span_is(type, "response.output_item.done"))
		return end_item(r, index, item);
	if (span_is(type, "response.output_text.annotation.added"))
		return read_annotation(r, json_get(root, "annotation"));
	if (span_is(type, "response.content_part.added") && seen->text)
		return flow_cut(&r->flow);
	if (span_is(type, "response.function_call_arguments.done") && !seen->args) {
		seen->args = text_in(root, "arguments").n > 0;
		return flow_call_args(&r->flow, index, text_in(root, "arguments"));
	}
	json_int(json_get(root, "summary_index"), &part);
	if (span_is(type, "response.reasoning_summary_part.added") && part > 0 && seen->text)
		return flow_thinking(&r->flow, SPAN("\n\n"));
	return true;
}

static bool read_root(struct reading *r, yyjson_val *root, struct span name)
{
	struct span type = text_in(root, "type");
	yyjson_val *response = json_get(root, "response");
	int64_t index = 0;

	if (type.n == 0)
		type = name;
	if (span_is(type, "response.completed") || span_is(type, "response.incomplete"))
		return finish(r, response);
	if (span_is(type, "response.failed"))
		return read_failure(r, response);
	if (span_is(type, "error") || (response == NULL && yyjson_is_obj(json_get(root, "error"))))
		return read_failure(r, root);
	if (response != NULL)
		return start(r, response);
	json_int(json_get(root, "output_index"), &index);
	if (json_get(root, "delta") != NULL)
		return read_delta(r, type, root, index);
	return read_item_event(r, type, root, index);
}

bool responses_read_event(struct reading *r, struct span name, struct span data)
{
	yyjson_doc *doc;
	bool ok;

	data = span_trim(data);
	if (data.n == 0 || r->flow.ended || span_is(data, "[DONE]"))
		return true;
	doc = json_read_raw(r->scratch, data, true, NULL);
	if (yyjson_is_obj(yyjson_doc_get_root(doc)))
		ok = read_root(r, yyjson_doc_get_root(doc), name);
	else
		ok = err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's stream holds an event that is not a JSON object");
	json_free(doc);
	return ok;
}

bool responses_read_end(struct reading *r)
{
	return r->flow.ended ||
	       err_set(&r->err, ERR_UPSTREAM_INTERRUPTED,
		       "The provider's stream ended before its answer was complete");
}

bool responses_read_whole(struct reading *r, yyjson_val *root)
{
	if (yyjson_is_obj(json_get(root, "error")))
		return read_failure(r, root);
	if (!yyjson_is_arr(json_get(root, "output")))
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's answer has no 'output': it is not in the Responses format");
	if (span_is(text_in(root, "status"), "queued") ||
		span_is(text_in(root, "status"), "in_progress") ||
		span_is(text_in(root, "status"), "cancelled"))
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's answer is not complete: its status is \"%.*s\"",
			SPAN_ARG(text_in(root, "status")));
	return finish(r, root);
}
