/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/dialect/openai_chat/openai_chat.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"

#define MAX_OBJECT_BYTES (32u << 20)

/* Calls as the provider numbers them, and the keys under which the flow knows them. */
struct call {
	int64_t index, key;
	struct span id; /* arena; empty: not given yet */
};

struct state {
	struct call calls[FLOW_MAX_CALLS];
	int n;
	int64_t n_details; /* entries of reasoning_details seen */
};

static struct state *state_of(struct reading *r)
{
	if (r->state == NULL)
		r->state = ARENA_NEW(r->arena, struct state);
	if (r->state == NULL)
		err_set(&r->err, ERR_NO_MEMORY, NULL);
	return r->state;
}

/*
 * Which call a delta belongs to. Servers leave the index out, use one for all calls, or begin with
 * 1; what is sure is that an id that differs is another call.
 */
static struct call *find_call(struct reading *r, struct state *s, yyjson_val *v)
{
	struct span id = text_in(v, "id");
	bool named = text_in(json_get(v, "function"), "name").n > 0;
	struct call *c = NULL;
	int64_t index = -1;

	json_int(json_get(v, "index"), &index);
	for (int i = s->n; i-- > 0 && c == NULL;)
		if (id.n > 0 && span_eq(s->calls[i].id, id))
			c = &s->calls[i];
	for (int i = s->n; i-- > 0 && c == NULL;)
		if (index >= 0 && s->calls[i].index == index)
			c = &s->calls[i];
	if (c == NULL && index < 0 && id.n == 0 && !named && s->n > 0)
		c = &s->calls[s->n - 1];
	if (c != NULL && (id.n == 0 || c->id.n == 0 || span_eq(c->id, id))) {
		if (c->id.n == 0 && id.n > 0)
			c->id = arena_copy(r->arena, id);
		return c;
	}
	if (s->n == FLOW_MAX_CALLS) {
		err_set(&r->err, ERR_UPSTREAM_INVALID, "The provider made over %d tool calls",
			FLOW_MAX_CALLS);
		return NULL;
	}
	c = &s->calls[s->n];
	*c = (struct call){.index = index, .key = s->n++, .id = arena_copy(r->arena, id)};
	return c;
}

static bool read_args(struct reading *r, int64_t key, yyjson_val *args)
{
	struct buf b;
	bool ok;

	if (!yyjson_is_obj(args))
		return flow_call_args(&r->flow, key, text_of(args));
	buf_init(&b, MAX_OBJECT_BYTES);
	json_write(&b, args);
	ok = b.failed ? err_set(&r->err, ERR_NO_MEMORY, NULL)
		      : flow_call_args(&r->flow, key, buf_span(&b));
	buf_done(&b);
	return ok;
}

static bool read_call(struct reading *r, yyjson_val *v, bool whole)
{
	struct state *s = state_of(r);
	struct call *c = s != NULL ? find_call(r, s, v) : NULL;
	/* The later pieces of a call name no type. */
	bool custom = json_get(v, "custom") != NULL;
	yyjson_val *f = json_get(v, custom ? "custom" : "function");
	yyjson_val *google = json_get(json_get(v, "extra_content"), "google");
	struct llm_state sign;

	if (c == NULL)
		return false;
	llm_state_read(text_in(google, "thought_signature"), LLM_MAKER_GEMINI, &sign);
	sign.scope = r->target->provider;
	if (!flow_call_start(&r->flow, c->key, text_in(v, "id"), text_in(f, "name"), custom) ||
		(sign.maker != LLM_MAKER_NONE && !flow_call_state(&r->flow, c->key, &sign)) ||
		!read_args(r, c->key, json_get(f, custom ? "input" : "arguments")))
		return false;
	return !whole || flow_call_end(&r->flow, c->key);
}

static bool read_calls(struct reading *r, yyjson_val *delta, bool whole)
{
	yyjson_val *legacy = json_get(delta, "function_call"), *v;
	size_t i, max;

	yyjson_arr_foreach(
		json_get(delta, "tool_calls"), i, max, v) if (!read_call(r, v, whole)) return false;
	if (!yyjson_is_obj(legacy))
		return true;
	return flow_call_start(
		       &r->flow, 0, (struct span){NULL, 0}, text_in(legacy, "name"), false) &&
	       read_args(r, 0, json_get(legacy, "arguments"));
}

/* ---- text and reasoning ---- */

/* Mistral's parts: {"type": "thinking", "thinking": [{"type": "text", "text"}]}. */
static bool read_parts(struct reading *r, yyjson_val *parts)
{
	size_t i, max, j, n;
	yyjson_val *part, *inner;

	yyjson_arr_foreach(parts, i, max, part)
	{
		yyjson_val *thinking = json_get(part, "thinking");

		if (!flow_text(&r->flow, text_in(part, "text")) ||
			!flow_refusal(&r->flow, text_in(part, "refusal")) ||
			!flow_thinking(&r->flow, text_of(thinking)))
			return false;
		yyjson_arr_foreach(thinking, j, n,
			inner) if (!flow_thinking(&r->flow, text_in(inner, "text"))) return false;
	}
	return true;
}

/* An entry goes back as it came, to the same provider: it is the state. */
static bool read_detail(struct reading *r, yyjson_val *v)
{
	struct llm_state s = {.maker = LLM_MAKER_OPENROUTER, .scope = r->target->provider};
	struct span text = text_in(v, "text");
	bool opaque = json_get(v, "signature") != NULL || json_get(v, "data") != NULL, ok;
	struct buf b;

	if (text.n == 0)
		text = text_in(v, "summary");
	if (!flow_thinking(&r->flow, text))
		return false;
	if (!opaque || (text_in(v, "signature").n == 0 && text_in(v, "data").n == 0))
		return true;
	buf_init(&b, MAX_OBJECT_BYTES);
	json_write(&b, v);
	s.data = buf_span(&b);
	if (b.failed)
		ok = err_set(&r->err, ERR_NO_MEMORY, NULL);
	else if (text_in(v, "data").n > 0)
		ok = flow_redacted(&r->flow, &s);
	else
		ok = flow_state(&r->flow, &s, false);
	buf_done(&b);
	return ok;
}

static bool read_reasoning(struct reading *r, yyjson_val *delta)
{
	yyjson_val *details = json_get(delta, "reasoning_details"), *v;
	struct span text = text_in(delta, "reasoning_content");
	struct span signature = text_in(delta, "reasoning_signature");
	struct llm_state s = {
		.maker = LLM_MAKER_ANTHROPIC, .scope = r->target->provider, .data = signature};
	size_t i, max;

	yyjson_arr_foreach(details, i, max, v) if (!read_detail(r, v)) return false;
	if (yyjson_arr_size(details) > 0)
		return true;
	if (text.n == 0)
		text = text_in(delta, "reasoning");
	if (!flow_thinking(&r->flow, text))
		return false;
	return signature.n == 0 || flow_state(&r->flow, &s, false);
}

static bool read_annotations(struct reading *r, yyjson_val *list)
{
	size_t i, max;
	yyjson_val *v;

	yyjson_arr_foreach(list, i, max, v)
	{
		yyjson_val *url = json_get(v, "url_citation");
		struct llm_citation c = {.start = -1, .end = -1, .document = -1};

		c.url = text_in(url, "url");
		c.title = text_in(url, "title");
		c.quote = text_in(url, "content");
		json_int(json_get(url, "start_index"), &c.start);
		json_int(json_get(url, "end_index"), &c.end);
		if (c.url.n > 0 && !flow_citation(&r->flow, &c))
			return false;
	}
	return true;
}

/* Pictures as OpenRouter and Requesty write them: data URLs. */
static bool read_images(struct reading *r, yyjson_val *list)
{
	size_t i, max;
	yyjson_val *v;

	yyjson_arr_foreach(list, i, max, v)
	{
		struct llm_media m = {.kind = LLM_MEDIA_IMAGE};
		struct span url = text_in(json_get(v, "image_url"), "url");

		if (url.n > 0 && llm_media_read(r->arena, url, false, &m, NULL) &&
			!flow_media(&r->flow, &m))
			return false;
	}
	return true;
}

/* A delta of a stream, or (whole) the message of an answer. */
static bool read_delta(struct reading *r, yyjson_val *choice, yyjson_val *delta, bool whole)
{
	yyjson_val *content = json_get(delta, "content");

	if (!read_reasoning(r, delta))
		return false;
	if (yyjson_is_arr(content) ? !read_parts(r, content)
				   : !flow_text(&r->flow, text_of(content)))
		return false;
	return flow_logprobs(&r->flow, json_get(json_get(choice, "logprobs"), "content")) &&
	       flow_refusal(&r->flow, text_in(delta, "refusal")) &&
	       read_annotations(r, json_get(delta, "annotations")) &&
	       read_images(r, json_get(delta, "images")) && read_calls(r, delta, whole);
}

/* ---- the end ---- */

static bool read_finish(struct reading *r, struct span reason)
{
	static const struct {
		const char *word;
		enum llm_stop stop;
	} words[] = {{"stop", LLM_STOP_END}, {"length", LLM_STOP_LENGTH},
		{"model_length", LLM_STOP_LENGTH}, {"max_tokens", LLM_STOP_LENGTH},
		{"tool_calls", LLM_STOP_TOOL}, {"function_call", LLM_STOP_TOOL},
		{"tool_use", LLM_STOP_TOOL}, {"content_filter", LLM_STOP_FILTER}};

	if (reason.n == 0)
		return true;
	if (span_is(reason, "error") || span_is(reason, "insufficient_system_resource"))
		return err_set(&r->err, ERR_UPSTREAM, "The provider ended its answer with \"%.*s\"",
			SPAN_ARG(span_head(reason, 64)));
	r->finished = true;
	r->stop = LLM_STOP_END;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_is(reason, words[i].word))
			r->stop = words[i].stop;
	keep_native_stop(r, reason);
	return true;
}

static void read_usage(struct reading *r, yyjson_val *v)
{
	struct llm_usage now;

	if (!yyjson_is_obj(v))
		return;
	openai_read_usage(v, &now);
	if (!now.present)
		return;
	/* xAI's completion_tokens leave the reasoning out. */
	if (r->target->quirks->reasoning_apart)
		now.output += now.reasoning;
	usage_take(&r->usage, &now);
}

static bool finish(struct reading *r)
{
	const struct span none = {NULL, 0};

	if (r->usage.present && !flow_usage(&r->flow, &r->usage))
		return false;
	return flow_stop(&r->flow, r->stop, none, span_of(r->native_stop)) && flow_end(&r->flow);
}

static bool read_choice(struct reading *r, yyjson_val *choice, const char *key, bool whole)
{
	int64_t index = 0;

	json_int(json_get(choice, "index"), &index);
	if (index != 0)
		return true; /* one answer was asked for */
	read_usage(r, json_get(choice, "usage"));
	return read_delta(r, choice, json_get(choice, key), whole) &&
	       read_finish(r, text_in(choice, "finish_reason"));
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

static bool is_error(yyjson_val *root)
{
	yyjson_val *error = json_get(root, "error");

	return yyjson_is_obj(error) || yyjson_is_str(error) ||
	       span_is(text_in(root, "object"), "error");
}

/* A chunk, or a whole answer. */
static bool read_root(struct reading *r, yyjson_val *root, const char *key, bool whole)
{
	yyjson_val *choices = json_get(root, "choices"), *choice;
	int64_t created = 0;
	size_t i, max;

	if (is_error(root))
		return read_error(r, root);
	json_int(json_get(root, "created"), &created);
	if (!flow_start(&r->flow, text_in(root, "id"), text_in(root, "model"), created))
		return false;
	read_usage(r, json_get(json_get(root, "x_groq"), "usage"));
	read_usage(r, json_get(root, "usage"));
	yyjson_arr_foreach(
		choices, i, max, choice) if (!read_choice(r, choice, key, whole)) return false;
	return true;
}

bool openai_read_event(struct reading *r, struct span name, struct span data)
{
	yyjson_doc *doc;
	bool ok;

	data = span_trim(data);
	if (data.n == 0 || r->flow.ended)
		return true;
	if (span_starts(data, SPAN("[DONE]")))
		return openai_read_end(r);
	doc = json_read_raw(r->scratch, data, true, NULL);
	if (yyjson_is_obj(yyjson_doc_get_root(doc)))
		ok = read_root(r, yyjson_doc_get_root(doc), "delta", false);
	else
		ok = err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's stream holds an event that is not a JSON object");
	json_free(doc);
	return ok;
}

bool openai_read_end(struct reading *r)
{
	if (r->flow.ended)
		return true;
	if (!r->finished)
		return err_set(&r->err, ERR_UPSTREAM_INTERRUPTED,
			"The provider's stream ended before its answer was complete");
	return finish(r);
}

bool openai_read_whole(struct reading *r, yyjson_val *root)
{
	if (!is_error(root) && !yyjson_is_arr(json_get(root, "choices")))
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's answer has no 'choices': it is not in the OpenAI format");
	return read_root(r, root, "message", true) && finish(r);
}
