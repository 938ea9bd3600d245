/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_put.h"
#include "meaning/dialect/openai_responses/openai_responses.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"

enum item_kind item_kind_of(const struct llm_part *p)
{
	switch (p->kind) {
	case LLM_BLOCK_TEXT:
	case LLM_BLOCK_REFUSAL:
		return ITEM_MESSAGE;
	case LLM_BLOCK_THINKING:
		return ITEM_REASONING;
	case LLM_BLOCK_TOOL_CALL:
		return ITEM_CALL;
	case LLM_BLOCK_SEARCH:
		return ITEM_SEARCH;
	case LLM_BLOCK_MEDIA:
		return p->media.from == LLM_FROM_BASE64 ? ITEM_IMAGE : ITEM_NONE;
	case LLM_BLOCK_NATIVE:
		return p->native_op == LLM_OP_RESPONSES ? ITEM_NATIVE : ITEM_NONE;
	default:
		return ITEM_NONE;
	}
}

static const char *prefix_of(const struct item *it)
{
	static const char *const prefixes[] = {[ITEM_REASONING] = "rs_",
		[ITEM_MESSAGE] = "msg_",
		[ITEM_CALL] = "fc_",
		[ITEM_SEARCH] = "ws_",
		[ITEM_IMAGE] = "ig_",
		[ITEM_NATIVE] = "item_"};

	return it->kind == ITEM_CALL && it->first->custom ? "ctc_" : prefixes[it->kind];
}

void item_put_id(struct buf *out, const char *key, const struct writing *w, const struct item *it)
{
	json_put_key(out, key);
	buf_append_char(out, '"');
	buf_append_cstr(out, prefix_of(it));
	buf_append(out, w->id);
	buf_append_char(out, '_');
	buf_append_i64(out, it->index);
	buf_append_char(out, '"');
}

/* ---- messages ---- */

void item_put_citation(struct buf *out, const char *key, const struct llm_citation *c)
{
	json_put_open(out, key, '{');
	json_put_cstr(out, "type", "url_citation");
	json_put_int(out, "start_index", c->start > 0 ? c->start : 0);
	json_put_int(out, "end_index", c->end > 0 ? c->end : 0);
	json_put_str(out, "url", c->url);
	json_put_str(out, "title", c->title);
	buf_append_char(out, '}');
}

void item_put_logprobs(struct buf *out, const struct llm_part *p)
{
	json_put_open(out, "logprobs", '[');
	buf_append(out, buf_span(&p->logprobs));
	buf_append_char(out, ']');
}

void item_put_part(struct buf *out, const char *key, const struct llm_part *p, bool whole)
{
	bool refusal = p->kind == LLM_BLOCK_REFUSAL;

	json_put_open(out, key, '{');
	json_put_cstr(out, "type", refusal ? "refusal" : "output_text");
	json_put_str(out, refusal ? "refusal" : "text", whole ? buf_span(&p->text) : SPAN(""));
	if (!refusal) {
		json_put_open(out, "annotations", '[');
		for (const struct llm_citation *c = whole ? p->citations : NULL; c != NULL;
			c = c->next)
			item_put_citation(out, NULL, c);
		buf_append_char(out, ']');
		if (whole)
			item_put_logprobs(out, p);
		else
			json_put_raw(out, "logprobs", SPAN("[]"));
	}
	buf_append_char(out, '}');
}

static const char *state_name(const struct item *it, bool done)
{
	return !done ? "in_progress" : it->cut ? "incomplete" : "completed";
}

static void put_message(struct buf *out, const struct item *it, bool done)
{
	int left = done ? it->n_parts : 0;

	json_put_cstr(out, "type", "message");
	json_put_cstr(out, "status", state_name(it, done));
	json_put_cstr(out, "role", "assistant");
	json_put_open(out, "content", '[');
	for (const struct llm_part *p = it->first; left > 0; p = p->next)
		if (item_kind_of(p) == ITEM_MESSAGE) {
			item_put_part(out, NULL, p, true);
			left--;
		}
	buf_append_char(out, ']');
}

/* ---- reasoning ---- */

void item_put_summary(struct buf *out, const char *key, struct span text)
{
	json_put_open(out, key, '{');
	json_put_cstr(out, "type", "summary_text");
	json_put_str(out, "text", text);
	buf_append_char(out, '}');
}

/* Another maker's state travels as the encrypted content: clients send it back untouched. */
static void put_state(struct buf *out, const struct item *it)
{
	struct llm_state state = it->first->state;
	struct buf wrapped;

	if (state.maker == LLM_MAKER_NONE)
		return;
	if (it->call_state)
		state.id = it->first->id;
	buf_init(&wrapped, out->max_bytes);
	llm_state_wrap(&wrapped, &state);
	json_put_str(out, "encrypted_content", buf_span(&wrapped));
	out->failed |= wrapped.failed;
	buf_done(&wrapped);
}

static void put_reasoning(
	struct buf *out, const struct writing *w, const struct item *it, bool done)
{
	bool shown = done && !it->call_state && it->first->text.n > 0 &&
		     w->request->reasoning.show != LLM_NO;

	json_put_cstr(out, "type", "reasoning");
	json_put_open(out, "summary", '[');
	if (shown)
		item_put_summary(out, NULL, buf_span(&it->first->text));
	buf_append_char(out, ']');
	if (done)
		put_state(out, it);
}

/* ---- calls and the rest ---- */

static void put_call(struct buf *out, const struct item *it, bool done)
{
	const struct llm_part *p = it->first;

	json_put_cstr(out, "type", p->custom ? "custom_tool_call" : "function_call");
	json_put_cstr(out, "status", state_name(it, done));
	json_put_str(out, "call_id", p->id);
	json_put_str(out, "name", p->name);
	json_put_str(out, p->custom ? "input" : "arguments", done ? buf_span(&p->text) : SPAN(""));
}

static void put_search(struct buf *out, const struct item *it, bool done)
{
	json_put_cstr(out, "type", "web_search_call");
	json_put_cstr(out, "status", done ? "completed" : "in_progress");
	json_put_open(out, "action", '{');
	json_put_cstr(out, "type", "search");
	json_put_str(out, "query", done ? buf_span(&it->first->text) : SPAN(""));
	buf_append_char(out, '}');
}

static void put_image(struct buf *out, const struct item *it, bool done)
{
	json_put_cstr(out, "type", "image_generation_call");
	json_put_cstr(out, "status", done ? "completed" : "in_progress");
	if (done)
		json_put_str(out, "result", it->first->media.data);
	else
		json_put_null(out, "result");
}

void item_put(
	struct buf *out, const char *key, const struct writing *w, const struct item *it, bool done)
{
	if (it->kind == ITEM_NATIVE) {
		json_put_raw(out, key, it->first->native);
		return;
	}
	json_put_open(out, key, '{');
	item_put_id(out, "id", w, it);
	switch (it->kind) {
	case ITEM_REASONING:
		put_reasoning(out, w, it, done);
		break;
	case ITEM_MESSAGE:
		put_message(out, it, done);
		break;
	case ITEM_CALL:
		put_call(out, it, done);
		break;
	case ITEM_SEARCH:
		put_search(out, it, done);
		break;
	case ITEM_IMAGE:
		put_image(out, it, done);
		break;
	default:
		break;
	}
	buf_append_char(out, '}');
}

/* ---- the response ---- */

const char *response_status(const struct llm_message *m)
{
	switch (m->stop) {
	case LLM_STOP_LENGTH:
	case LLM_STOP_CONTEXT:
		return "incomplete";
	case LLM_STOP_FILTER:
		for (const struct llm_part *p = m->parts; p != NULL; p = p->next)
			if (p->kind == LLM_BLOCK_REFUSAL)
				return "completed";
		return "incomplete";
	default:
		return "completed";
	}
}

static void put_usage(struct writing *w, struct buf *out, const struct llm_usage *u)
{
	int64_t input = llm_usage_input(u);
	struct span cost;
	char text[32];

	json_put_open(out, "usage", '{');
	json_put_int(out, "input_tokens", input);
	json_put_open(out, "input_tokens_details", '{');
	json_put_int(out, "cached_tokens", u->cache_read);
	json_put_int(out, "cache_write_tokens", u->cache_write_5m + u->cache_write_1h);
	if (u->input_audio > 0)
		json_put_int(out, "audio_tokens", u->input_audio);
	buf_append_char(out, '}');
	json_put_int(out, "output_tokens", u->output);
	json_put_open(out, "output_tokens_details", '{');
	json_put_int(out, "reasoning_tokens", u->reasoning);
	if (u->output_audio > 0)
		json_put_int(out, "audio_tokens", u->output_audio);
	buf_append_char(out, '}');
	json_put_int(out, "total_tokens", input + u->output);
	cost = w->cost(w->user, u, text);
	if (cost.n > 0)
		json_put_raw(out, "cost", cost);
	buf_append_char(out, '}');
}

static void put_echo(struct buf *out, yyjson_val *echo, const char *key, struct span otherwise)
{
	yyjson_val *v = json_get(echo, key);

	if (v != NULL && !yyjson_is_null(v))
		json_put_val(out, key, v);
	else
		json_put_raw(out, key, otherwise);
}

/* The reference requires members of a function that a request may leave out. */
static void put_tool(struct buf *out, yyjson_val *tool)
{
	static const char *const required[] = {"parameters", "strict", "description"};
	size_t i, max;
	yyjson_val *key, *v;

	if (!span_is(text_in(tool, "type"), "function")) {
		json_put_val(out, NULL, tool);
		return;
	}
	json_put_open(out, NULL, '{');
	yyjson_obj_foreach(tool, i, max, key, v) json_put_val(out, yyjson_get_str(key), v);
	for (size_t k = 0; k < sizeof(required) / sizeof(required[0]); k++)
		if (json_get(tool, required[k]) == NULL)
			json_put_null(out, required[k]);
	buf_append_char(out, '}');
}

static void put_tools(struct buf *out, yyjson_val *tools)
{
	size_t i, max;
	yyjson_val *v;

	json_put_open(out, "tools", '[');
	yyjson_arr_foreach(tools, i, max, v) put_tool(out, v);
	buf_append_char(out, ']');
}

/* The text member is an object with a format, whatever the client left out. */
static void put_text(struct buf *out, yyjson_val *text)
{
	yyjson_val *verbosity = json_get(text, "verbosity");

	json_put_open(out, "text", '{');
	put_echo(out, text, "format", SPAN("{\"type\":\"text\"}"));
	if (yyjson_is_str(verbosity))
		json_put_val(out, "verbosity", verbosity);
	buf_append_char(out, '}');
}

static void put_reasoning_echo(struct buf *out, yyjson_val *reasoning)
{
	json_put_open(out, "reasoning", '{');
	put_echo(out, reasoning, "effort", SPAN("null"));
	put_echo(out, reasoning, "summary", SPAN("null"));
	buf_append_char(out, '}');
}

static void put_outcome(
	struct buf *out, const struct writing *w, const char *status, const struct err *err)
{
	if (err != NULL) {
		const char *code = err_row(err->code)->code;

		json_put_open(out, "error", '{');
		json_put_cstr(out, "code", code[0] != '\0' ? code : "server_error");
		json_put_cstr(out, "message",
			err->text[0] != '\0' ? err->text : err_row(err->code)->text);
		buf_append_char(out, '}');
	} else {
		json_put_null(out, "error");
	}
	if (status[0] != 'i' || w->message->stop == LLM_STOP_END)
		json_put_null(out, "incomplete_details");
	else
		json_put_raw(out, "incomplete_details",
			w->message->stop == LLM_STOP_FILTER
				? SPAN("{\"reason\":\"content_filter\"}")
				: SPAN("{\"reason\":\"max_output_tokens\"}"));
}

/* Nothing of it is stored here, whatever was asked for: `store` says so. */
void response_put(struct buf *out, const char *key, struct writing *w, const struct item *items,
	const char *status, const struct err *err)
{
	yyjson_val *echo = w->request->echo;
	bool over = w->message->stopped && err == NULL;

	json_put_open(out, key, '{');
	json_put_key(out, "id");
	buf_append_cstr(out, "\"resp_");
	buf_append(out, w->id);
	buf_append_char(out, '"');
	json_put_cstr(out, "object", "response");
	json_put_int(out, "created_at", w->created);
	json_put_cstr(out, "status", status);
	json_put_bool(out, "background", false);
	put_outcome(out, w, status, err);
	put_echo(out, echo, "instructions", SPAN("null"));
	put_echo(out, echo, "max_output_tokens", SPAN("null"));
	put_echo(out, echo, "max_tool_calls", SPAN("null"));
	json_put_str(out, "model", w->model);
	json_put_open(out, "output", '[');
	for (const struct item *it = items; it != NULL; it = it->next)
		item_put(out, NULL, w, it, true);
	buf_append_char(out, ']');
	put_echo(out, echo, "parallel_tool_calls", SPAN("true"));
	put_echo(out, echo, "previous_response_id", SPAN("null"));
	put_echo(out, echo, "prompt_cache_key", SPAN("null"));
	put_reasoning_echo(out, json_get(echo, "reasoning"));
	put_echo(out, echo, "safety_identifier", SPAN("null"));
	put_echo(out, echo, "service_tier", SPAN("\"default\""));
	json_put_bool(out, "store", false);
	put_echo(out, echo, "temperature", SPAN("1.0"));
	put_text(out, json_get(echo, "text"));
	put_echo(out, echo, "tool_choice", SPAN("\"auto\""));
	put_tools(out, json_get(echo, "tools"));
	put_echo(out, echo, "top_logprobs", SPAN("0"));
	put_echo(out, echo, "top_p", SPAN("1.0"));
	put_echo(out, echo, "truncation", SPAN("\"disabled\""));
	if (over && w->message->usage.present)
		put_usage(w, out, &w->message->usage);
	else
		json_put_null(out, "usage");
	put_echo(out, echo, "user", SPAN("null"));
	put_echo(out, echo, "metadata", SPAN("{}"));
	buf_append_char(out, '}');
}
