/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * test_neutral - requests and events of the neutral form as JSON, for golden cases.
 *
 * For tests only. Members are named as the fields are; what a case leaves out is "not given".
 */
#include <stdlib.h>
#include <string.h>
#include "machine/base/json_put.h"
#include "meaning/llm/flow.h"
#include "meaning/llm/message.h"
#include "meaning/llm/reasoning.h"
#include "meaning/llm/target.h"

static inline struct span neutral_str(yyjson_val *o, const char *key)
{
	struct span s = {NULL, 0};

	json_get_str(o, key, &s);
	return s;
}

static inline bool neutral_bool(yyjson_val *o, const char *key)
{
	bool b = false;

	json_get_bool(o, key, &b);
	return b;
}

static inline int64_t neutral_int(yyjson_val *o, const char *key, int64_t otherwise)
{
	json_int(json_get(o, key), &otherwise);
	return otherwise;
}

static inline int neutral_word(struct span word, const char *const *words, int otherwise)
{
	for (int i = 0; words[i] != NULL; i++)
		if (span_is(word, words[i]))
			return i;
	return otherwise;
}

static const char *const neutral_makers[] = {"none", "anthropic", "openai", "gemini", NULL};
static const char *const neutral_kinds[] = {
	"text", "refusal", "media", "thinking", "call", "result", "search", "native", NULL};
static const char *const neutral_media[] = {"image", "document", "audio", "video", NULL};
static const char *const neutral_from[] = {"base64", "url", "file_id", "text", NULL};
static const char *const neutral_ops[] = {"chat", "messages", "count_tokens", "embeddings",
	"responses", "generate", "converse", NULL};

static inline void neutral_blocks(struct arena *a, yyjson_val *list, struct llm_block **into)
{
	yyjson_val *v;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, v)
	{
		struct llm_block *b = llm_add_block(a, into,
			(enum llm_block_kind)neutral_word(
				neutral_str(v, "kind"), neutral_kinds, LLM_BLOCK_TEXT));
		yyjson_val *media = json_get(v, "media"), *state = json_get(v, "state");

		if (b == NULL)
			abort();
		b->text = neutral_str(v, "text");
		b->id = neutral_str(v, "id");
		b->name = neutral_str(v, "name");
		b->args = neutral_str(v, "args");
		b->custom = neutral_bool(v, "custom");
		b->is_error = neutral_bool(v, "is_error");
		b->redacted = neutral_bool(v, "redacted");
		b->cache = neutral_bool(v, "cache") ? LLM_CACHE_5M : LLM_CACHE_NONE;
		b->native = json_get(v, "native");
		b->native_op = (enum llm_op)neutral_word(
			neutral_str(v, "native_op"), neutral_ops, LLM_OP_GENERATE);
		b->state =
			(struct llm_state){.maker = (enum llm_maker)neutral_word(
						   neutral_str(state, "maker"), neutral_makers, 0),
				.scope = neutral_str(state, "scope"),
				.data = neutral_str(state, "data")};
		b->media = (struct llm_media){.kind = (enum llm_media_kind)neutral_word(
						      neutral_str(media, "kind"), neutral_media, 0),
			.from = (enum llm_media_from)neutral_word(
				neutral_str(media, "from"), neutral_from, 0),
			.data = neutral_str(media, "data"),
			.mime = neutral_str(media, "mime"),
			.name = neutral_str(media, "name"),
			.detail = neutral_str(media, "detail")};
		neutral_blocks(a, json_get(v, "content"), &b->content);
	}
}

static inline void neutral_tools(struct arena *a, struct llm_request *q, yyjson_val *list)
{
	static const char *const kinds[] = {"function", "custom", "search", "native", NULL};
	yyjson_val *v;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, v)
	{
		struct llm_tool *t = llm_add_tool(
			a, q, (enum llm_tool_kind)neutral_word(neutral_str(v, "kind"), kinds, 0));

		if (t == NULL)
			abort();
		t->name = neutral_str(v, "name");
		t->description = neutral_str(v, "description");
		t->schema = json_get(v, "schema");
		t->max_uses = neutral_int(v, "max_uses", -1);
		t->allowed_domains = json_get(v, "allowed_domains");
		t->blocked_domains = json_get(v, "blocked_domains");
		t->native = json_get(v, "native");
		t->native_op = (enum llm_op)neutral_word(
			neutral_str(v, "native_op"), neutral_ops, LLM_OP_GENERATE);
	}
}

static inline struct llm_name *neutral_names(struct arena *a, yyjson_val *list)
{
	struct llm_name *first = NULL;
	yyjson_val *v;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, v)
	{
		if (llm_add_name(a, &first, (struct span){yyjson_get_str(v), yyjson_get_len(v)}) ==
			NULL)
			abort();
	}
	return first;
}

static inline void neutral_settings(struct arena *a, struct llm_request *q, yyjson_val *v)
{
	static const char *const choices[] = {
		"unset", "auto", "none", "required", "named", "allowed", "allowed_one", NULL};
	static const char *const thinking[] = {"unset", "off", "on", "adaptive", NULL};
	static const char *const formats[] = {"unset", "text", "object", "schema", NULL};

	q->choice = (enum llm_choice)neutral_word(neutral_str(v, "choice"), choices, 0);
	q->choice_names = neutral_names(a, json_get(v, "choice_names"));
	if (json_get(v, "parallel") != NULL)
		q->parallel = neutral_bool(v, "parallel") ? LLM_YES : LLM_NO;
	llm_effort_read(neutral_str(v, "effort"), &q->reasoning);
	if (json_get(v, "thinking") != NULL)
		q->reasoning.thinking =
			(enum llm_thinking)neutral_word(neutral_str(v, "thinking"), thinking, 0);
	q->reasoning.budget = neutral_int(v, "budget", q->reasoning.budget);
	if (json_get(v, "show") != NULL)
		q->reasoning.show = neutral_bool(v, "show") ? LLM_YES : LLM_NO;
	q->format.kind = (enum llm_format_kind)neutral_word(neutral_str(v, "format"), formats, 0);
	q->format.schema = json_get(v, "format_schema");
	q->max_output = neutral_int(v, "max_output", q->max_output);
	q->n = neutral_int(v, "n", q->n);
	q->temperature = json_number(json_get(v, "temperature"));
	q->top_p = json_number(json_get(v, "top_p"));
	q->top_k = json_number(json_get(v, "top_k"));
	q->presence_penalty = json_number(json_get(v, "presence_penalty"));
	q->frequency_penalty = json_number(json_get(v, "frequency_penalty"));
	q->seed = json_number(json_get(v, "seed"));
	q->stops = neutral_names(a, json_get(v, "stops"));
	q->unknown = neutral_names(a, json_get(v, "unknown"));
	q->logit_bias = json_get(v, "logit_bias");
	q->verbosity = neutral_str(v, "verbosity");
	q->service_tier = neutral_str(v, "service_tier");
	q->user = neutral_str(v, "user");
	q->needs_state = neutral_str(v, "needs_state");
	q->metadata = json_get(v, "metadata");
	q->wants_audio = neutral_bool(v, "wants_audio");
}

static inline struct llm_request *neutral_read(struct arena *a, yyjson_val *v)
{
	static const char *const roles[] = {"system", "user", "assistant", NULL};
	struct llm_request *q = llm_request_new(a);
	yyjson_val *turn;
	size_t i, max;

	if (q == NULL)
		abort();
	yyjson_arr_foreach(json_get(v, "turns"), i, max, turn)
	{
		struct llm_turn *t = llm_add_turn(
			a, q, (enum llm_role)neutral_word(neutral_str(turn, "role"), roles, 1));

		if (t == NULL)
			abort();
		neutral_blocks(a, json_get(turn, "blocks"), &t->blocks);
	}
	neutral_tools(a, q, json_get(v, "tools"));
	neutral_settings(a, q, v);
	return q;
}

/* Quirks are named as their fields; words for what is no switch. */
static inline void neutral_quirks(yyjson_val *v, struct llm_quirks *k)
{
	static const char *const reasoning[] = {
		"effort", "none", "thinking", "object", "enable", NULL};
	static const char *const back[] = {"no", "content", "details", NULL};
	static const char *const schema[] = {"native", "tool", "none", NULL};
	const struct {
		const char *name;
		bool *quirk;
	} rows[] = {{"max_tokens", &k->max_tokens}, {"no_stream_options", &k->no_stream_options},
		{"no_developer", &k->no_developer}, {"no_name", &k->no_name},
		{"no_logit_bias", &k->no_logit_bias}, {"no_penalties", &k->no_penalties},
		{"no_stop", &k->no_stop}, {"no_seed", &k->no_seed},
		{"no_parallel", &k->no_parallel}, {"no_strict", &k->no_strict},
		{"no_tools", &k->no_tools}, {"no_user", &k->no_user},
		{"random_seed", &k->random_seed}, {"any_for_required", &k->any_for_required},
		{"alternates", &k->alternates}, {"text_only_content", &k->text_only_content},
		{"tool_ids_9", &k->tool_ids_9}, {"reasoning_apart", &k->reasoning_apart},
		{"cache_control", &k->cache_control}, {"top_k", &k->top_k},
		{"no_json_object", &k->no_json_object}, {"no_documents", &k->no_documents},
		{"no_cache_marks", &k->no_cache_marks}, {"no_sampling", &k->no_sampling},
		{"no_server_tools", &k->no_server_tools}, {"vertex", &k->vertex}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		*rows[i].quirk = neutral_bool(v, rows[i].name);
	k->reasoning = (enum llm_reasoning_style)neutral_word(
		neutral_str(v, "reasoning"), reasoning, LLM_REASON_EFFORT);
	k->back = (enum llm_reasoning_back)neutral_word(neutral_str(v, "back"), back, LLM_BACK_NO);
	k->schema = (enum llm_schema_style)neutral_word(
		neutral_str(v, "schema"), schema, LLM_SCHEMA_NATIVE);
}

static inline void neutral_target(
	yyjson_val *v, struct llm_target *t, struct llm_quirks *quirks, struct llm_model *facts)
{
	*t = (struct llm_target){.model = neutral_str(v, "model"),
		.provider = neutral_str(v, "provider"),
		.quirks = quirks,
		.drop = neutral_bool(v, "refuse") ? LLM_DROP_NONE : LLM_DROP_UNSET,
		.auto_cache = neutral_bool(v, "auto_cache")};
	neutral_quirks(v, quirks);
	facts->max_output = neutral_int(v, "max_output", 0);
	if (neutral_bool(v, "reasons"))
		facts->can |= LLM_CAN_REASON;
	if (neutral_bool(v, "searches"))
		facts->can |= LLM_CAN_SEARCH;
	if (neutral_bool(v, "caches"))
		facts->can |= LLM_CAN_CACHE;
	if (json_get(v, "known") != NULL)
		t->facts = facts;
}

/* ---- events ---- */

/* Each event is an array, its kind first; neighbouring deltas of a block stay apart. */
struct neutral_log {
	struct buf b;
};

static inline void neutral_log_init(struct neutral_log *log)
{
	buf_init(&log->b, 16 << 20);
	buf_append_char(&log->b, '[');
}

static inline void neutral_put_usage(struct buf *b, const struct llm_usage *u)
{
	json_put_open(b, NULL, '{');
	json_put_int(b, "input", u->input_uncached);
	if (u->cache_read > 0)
		json_put_int(b, "cache_read", u->cache_read);
	if (u->input_audio > 0)
		json_put_int(b, "input_audio", u->input_audio);
	json_put_int(b, "output", u->output);
	if (u->reasoning > 0)
		json_put_int(b, "reasoning", u->reasoning);
	if (u->output_audio > 0)
		json_put_int(b, "output_audio", u->output_audio);
	buf_append_char(b, '}');
}

static inline void neutral_put_block(struct buf *b, const struct llm_event *ev)
{
	json_put_int(b, NULL, ev->index);
	json_put_cstr(b, NULL, neutral_kinds[ev->block]);
	if (ev->block == LLM_BLOCK_TOOL_CALL) {
		json_put_str(b, NULL, ev->call_id);
		json_put_str(b, NULL, ev->name);
	}
	if (ev->custom)
		json_put_cstr(b, NULL, "custom");
	if (ev->media != NULL) {
		json_put_cstr(b, NULL, neutral_media[ev->media->kind]);
		json_put_cstr(b, NULL, neutral_from[ev->media->from]);
		json_put_str(b, NULL, ev->media->mime);
		json_put_str(b, NULL, ev->media->data);
	}
	if (ev->native != NULL)
		json_put_val(b, NULL, ev->native);
}

static inline void neutral_put_citation(struct buf *b, const struct llm_citation *c)
{
	json_put_str(b, NULL, c->url);
	json_put_str(b, NULL, c->title);
	json_put_str(b, NULL, c->quote);
	json_put_int(b, NULL, c->start);
	json_put_int(b, NULL, c->end);
}

static inline bool neutral_log_add(void *user, const struct llm_event *ev)
{
	static const char *const kinds[] = {"start", "block", "delta", "state", "citation",
		"logprobs", "end", "usage", "stop", "done", "ping"};
	static const char *const stops[] = {
		"end", "sequence", "length", "context", "tool", "filter", "pause"};
	struct buf *b = &((struct neutral_log *)user)->b;

	json_put_open(b, NULL, '[');
	json_put_cstr(b, NULL, kinds[ev->kind]);
	switch (ev->kind) {
	case LLM_EVENT_START:
		json_put_str(b, NULL, ev->id);
		json_put_str(b, NULL, ev->model);
		break;
	case LLM_EVENT_BLOCK:
		neutral_put_block(b, ev);
		break;
	case LLM_EVENT_DELTA:
		json_put_str(b, NULL, ev->text);
		break;
	case LLM_EVENT_STATE:
		json_put_cstr(b, NULL, neutral_makers[ev->state->maker]);
		json_put_str(b, NULL, ev->state->scope);
		json_put_str(b, NULL, ev->state->data);
		break;
	case LLM_EVENT_CITATION:
		neutral_put_citation(b, ev->citation);
		break;
	case LLM_EVENT_USAGE:
		neutral_put_usage(b, ev->usage);
		break;
	case LLM_EVENT_STOP:
		json_put_cstr(b, NULL, stops[ev->stop]);
		json_put_str(b, NULL, ev->native_stop);
		break;
	default:
		break;
	}
	buf_append_char(b, ']');
	return !b->failed;
}

static inline void neutral_log_done(struct neutral_log *log, struct buf *out, const char *key)
{
	buf_append_char(&log->b, ']');
	json_put_raw(out, key, buf_span(&log->b));
	buf_done(&log->b);
}
