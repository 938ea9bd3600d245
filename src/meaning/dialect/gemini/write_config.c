/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside the turns: tools, the choice of them, and the settings of the generation. */
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "meaning/dialect/gemini/gemini.h"
#include "meaning/llm/reasoning.h"

#define MAX_STOPS 5
#define MAX_CANDIDATES 8
#define MAX_LABELS 32
#define MAX_LABEL_BYTES 63
#define FLASH_BUDGET 24576
#define PRO_BUDGET 32768
#define LITE_MIN_BUDGET 512

static bool has_functions(const struct gemini_writer *w)
{
	for (const struct llm_tool *t = w->q->tools; t != NULL; t = t->next)
		if (t->kind == LLM_TOOL_FUNCTION || t->kind == LLM_TOOL_CUSTOM)
			return true;
	return false;
}

static bool wants_json(const struct gemini_writer *w)
{
	return w->q->format.kind == LLM_FORMAT_OBJECT || w->q->format.kind == LLM_FORMAT_SCHEMA;
}

/* Before Gemini 3 a JSON answer cannot stand beside tools. */
bool gemini_format_in_words(const struct gemini_writer *w)
{
	return wants_json(w) && w->model.generation < 30 && w->q->tools != NULL;
}

/* ---- tools ---- */

static void put_function(struct gemini_writer *w, const struct llm_tool *t)
{
	json_put_open(w->out, NULL, '{');
	json_put_str(w->out, "name", gemini_fit_name(w->a, t->name));
	if (t->description.n > 0)
		json_put_str(w->out, "description", t->description);
	if (t->kind == LLM_TOOL_CUSTOM) {
		json_put_raw(w->out, "parameters",
			SPAN("{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}"
			     "},\"required\":[\"input\"]}"));
		llm_note(w->notes, "approx:custom_tool");
	} else if (!gemini_schema_is_empty(t->schema)) {
		gemini_put_schema(
			w->out, "parametersJsonSchema", "parameters", t->schema, &w->model);
	}
	buf_append_char(w->out, '}');
}

static bool put_search(struct gemini_writer *w, const struct llm_tool *t)
{
	if (w->t->facts != NULL && (w->t->facts->can & LLM_CAN_SEARCH) == 0)
		return llm_unsupported_tool(w->t, t, w->notes, w->err);
	json_put_open(w->out, NULL, '{');
	/* Models before 2.0 had it under another name; of those none is served any more. */
	json_put_open(w->out, "googleSearch", '{');
	if (t->blocked_domains != NULL && w->t->quirks->vertex)
		json_put_val(w->out, "excludeDomains", t->blocked_domains);
	else if (t->blocked_domains != NULL)
		llm_note(w->notes, "dropped:blocked_domains");
	buf_append_cstr(w->out, "}}");
	if (t->allowed_domains != NULL)
		llm_note(w->notes, "dropped:allowed_domains");
	if (t->max_uses >= 0)
		llm_note(w->notes, "dropped:max_uses");
	if (t->user_location != NULL)
		llm_note(w->notes, "dropped:user_location");
	if (t->context_size.n > 0)
		llm_note(w->notes, "dropped:search_context_size");
	return true;
}

static bool put_hosted(struct gemini_writer *w, const struct llm_tool *t)
{
	if (t->kind == LLM_TOOL_SEARCH)
		return put_search(w, t);
	if (t->kind != LLM_TOOL_NATIVE)
		return true;
	if (t->native_op == LLM_OP_GENERATE) {
		json_put_val(w->out, NULL, t->native);
		return true;
	}
	return llm_unsupported_tool(w->t, t, w->notes, w->err);
}

static bool put_tool_list(struct gemini_writer *w)
{
	size_t outside = w->out->n, before;

	json_put_open(w->out, "tools", '[');
	before = w->out->n;
	if (has_functions(w)) {
		json_put_open(w->out, NULL, '{');
		json_put_open(w->out, "functionDeclarations", '[');
		for (const struct llm_tool *t = w->q->tools; t != NULL; t = t->next) {
			if (t->cache != LLM_CACHE_NONE)
				llm_note(w->notes, "dropped:cache_control");
			if (t->kind == LLM_TOOL_FUNCTION || t->kind == LLM_TOOL_CUSTOM)
				put_function(w, t);
		}
		buf_append_cstr(w->out, "]}");
	}
	for (const struct llm_tool *t = w->q->tools; t != NULL; t = t->next)
		if (!put_hosted(w, t))
			return false;
	if (w->out->n == before && !w->out->failed)
		w->out->n = outside;
	else
		buf_append_char(w->out, ']');
	return true;
}

static void put_mode(struct gemini_writer *w, const char *mode, bool names)
{
	json_put_open(w->out, "functionCallingConfig", '{');
	json_put_cstr(w->out, "mode", mode);
	if (names) {
		json_put_open(w->out, "allowedFunctionNames", '[');
		for (const struct llm_name *n = w->q->choice_names; n != NULL; n = n->next)
			json_put_str(w->out, NULL, gemini_fit_name(w->a, n->text));
		buf_append_char(w->out, ']');
	}
	buf_append_char(w->out, '}');
}

static void put_choice(struct gemini_writer *w)
{
	switch (w->q->choice) {
	case LLM_CHOICE_UNSET:
		return;
	case LLM_CHOICE_AUTO:
		put_mode(w, "AUTO", false);
		return;
	case LLM_CHOICE_NONE:
		put_mode(w, "NONE", false);
		return;
	case LLM_CHOICE_REQUIRED:
		put_mode(w, "ANY", false);
		return;
	case LLM_CHOICE_NAMED:
	case LLM_CHOICE_ALLOWED_ONE:
		put_mode(w, "ANY", true);
		return;
	case LLM_CHOICE_ALLOWED:
		put_mode(w, "VALIDATED", true);
		return;
	}
}

static bool has_hosted(const struct gemini_writer *w)
{
	for (const struct llm_tool *t = w->q->tools; t != NULL; t = t->next)
		if (t->kind == LLM_TOOL_SEARCH ||
			(t->kind == LLM_TOOL_NATIVE && t->native_op == LLM_OP_GENERATE))
			return true;
	return false;
}

bool gemini_put_tools(struct gemini_writer *w)
{
	bool functions = has_functions(w), both = functions && has_hosted(w);
	bool choice = functions && w->q->choice != LLM_CHOICE_UNSET;

	if (w->q->tools == NULL)
		return true;
	if (both && w->model.generation < 30 && !w->t->quirks->vertex) {
		err_param(w->err, "tools");
		return err_set(w->err, ERR_UNSUPPORTED_PARAM,
			"Model \"%.*s\" cannot search the web beside other tools; leave one of "
			"them "
			"out or choose a newer model",
			SPAN_ARG(span_head(w->t->model, 128)));
	}
	if (!put_tool_list(w))
		return false;
	if (w->q->parallel == LLM_NO && functions)
		llm_note(w->notes, "approx:parallel_tool_calls");
	both = both && w->model.generation >= 30 && !w->t->quirks->vertex;
	if (!choice && !both)
		return true;
	json_put_open(w->out, "toolConfig", '{');
	if (choice)
		put_choice(w);
	if (both)
		json_put_bool(w->out, "includeServerSideToolInvocations", true);
	buf_append_char(w->out, '}');
	return true;
}

/* ---- thinking ---- */

/*
 * Requesty's table (product.md 5.3): the Gemini API knows low, medium and high, Vertex takes
 * numbers. Thinking that a Messages client turned off is not asked for in either.
 */
static struct llm_reasoning as_level(const struct llm_reasoning *r)
{
	struct llm_reasoning out = *r;
	enum llm_effort effort = llm_wanted_effort(r);

	if (r->thinking == LLM_THINKING_OFF)
		return out;
	if (effort == LLM_EFFORT_NONE)
		effort = LLM_EFFORT_LOW;
	if (effort > LLM_EFFORT_HIGH)
		effort = LLM_EFFORT_HIGH;
	out.effort = effort;
	out.budget = -1;
	return out;
}

static const char *level_of(const struct gemini_model *m, enum llm_effort effort)
{
	switch (effort) {
	case LLM_EFFORT_UNSET:
	case LLM_EFFORT_NONE:
	case LLM_EFFORT_MINIMAL:
		return m->flash ? "MINIMAL" : "LOW";
	case LLM_EFFORT_LOW:
		return "LOW";
	case LLM_EFFORT_MEDIUM:
		return m->pro && m->generation == 30 ? "HIGH" : "MEDIUM";
	default:
		return "HIGH";
	}
}

static int64_t budget_of(struct gemini_writer *w, const struct llm_reasoning *r)
{
	int64_t budget = llm_gemini_budget(r, w->t, w->model.flash);
	int64_t most = w->model.flash ? FLASH_BUDGET : PRO_BUDGET;

	if (budget > most)
		budget = most;
	if (w->model.lite && budget > 0 && budget < LITE_MIN_BUDGET)
		budget = LITE_MIN_BUDGET;
	return budget;
}

static bool can_reason(const struct gemini_writer *w)
{
	if (w->t->facts != NULL)
		return (w->t->facts->can & LLM_CAN_REASON) != 0;
	return w->model.generation >= 25 && !w->model.image;
}

static void put_thinking(struct gemini_writer *w)
{
	const struct llm_reasoning *asked = &w->q->reasoning;
	struct llm_reasoning r = w->t->quirks->vertex ? *asked : as_level(asked);
	enum llm_effort effort = llm_wanted_effort(asked);
	bool show = asked->show != LLM_NO && effort != LLM_EFFORT_NONE;
	int64_t budget;

	if (effort == LLM_EFFORT_UNSET && asked->show != LLM_YES)
		return;
	if (!can_reason(w)) {
		llm_note(w->notes, "dropped:reasoning_effort");
		return;
	}
	json_put_open(w->out, "thinkingConfig", '{');
	if (effort != LLM_EFFORT_UNSET && w->model.generation >= 30) {
		json_put_cstr(w->out, "thinkingLevel",
			level_of(&w->model, r.thinking == LLM_THINKING_OFF
						    ? LLM_EFFORT_NONE
						    : llm_wanted_effort(&r)));
	} else if (effort != LLM_EFFORT_UNSET) {
		budget = budget_of(w, &r);
		json_put_int(w->out, "thinkingBudget", budget);
		show = show && budget > 0;
	}
	json_put_bool(w->out, "includeThoughts", show);
	buf_append_char(w->out, '}');
}

/* ---- the rest of generationConfig ---- */

static void put_number(struct gemini_writer *w, const char *key, struct span number)
{
	if (number.n > 0)
		json_put_raw(w->out, key, number);
}

static void put_seed(struct gemini_writer *w)
{
	int64_t n;

	if (w->q->seed.n == 0)
		return;
	if (text_i64(w->q->seed, &n) && n >= INT32_MIN && n <= INT32_MAX)
		json_put_int(w->out, "seed", n);
	else
		llm_note(w->notes, "dropped:seed");
}

static void put_logprobs(struct gemini_writer *w)
{
	if (w->q->logprobs != LLM_YES)
		return;
	json_put_bool(w->out, "responseLogprobs", true);
	if (w->q->top_logprobs > 0)
		json_put_int(w->out, "logprobs", w->q->top_logprobs);
}

static bool put_stops(struct gemini_writer *w)
{
	int n = 0;

	for (const struct llm_name *s = w->q->stops; s != NULL; s = s->next)
		n += s->text.n > 0;
	if (n > MAX_STOPS) {
		err_param(w->err, "stop");
		return err_set(w->err, ERR_UNSUPPORTED_PARAM,
			"Model \"%.*s\" takes at most %d stop sequences",
			SPAN_ARG(span_head(w->t->model, 128)), MAX_STOPS);
	}
	if (n == 0)
		return true;
	json_put_open(w->out, "stopSequences", '[');
	for (const struct llm_name *s = w->q->stops; s != NULL; s = s->next)
		if (s->text.n > 0)
			json_put_str(w->out, NULL, s->text);
	buf_append_char(w->out, ']');
	return true;
}

static void put_format(struct gemini_writer *w)
{
	const struct llm_format *f = &w->q->format;

	if (!wants_json(w) || gemini_format_in_words(w))
		return;
	json_put_cstr(w->out, "responseMimeType", "application/json");
	if (f->kind == LLM_FORMAT_SCHEMA && f->schema != NULL)
		gemini_put_schema(
			w->out, "responseJsonSchema", "responseSchema", f->schema, &w->model);
}

/* One resolution for all, by the first picture that names one: it must not change later on. */
static struct span wanted_detail(const struct llm_block *b)
{
	for (; b != NULL; b = b->next) {
		struct span inner = {NULL, 0};

		if (b->kind == LLM_BLOCK_MEDIA && b->media.detail.n > 0)
			return b->media.detail;
		if (b->kind == LLM_BLOCK_TOOL_RESULT)
			inner = wanted_detail(b->content);
		if (inner.n > 0)
			return inner;
	}
	return (struct span){NULL, 0};
}

static void put_resolution(struct gemini_writer *w)
{
	struct span detail = {NULL, 0};

	for (const struct llm_turn *t = w->q->turns; t != NULL && detail.n == 0; t = t->next)
		detail = wanted_detail(t->blocks);
	if (span_is(detail, "low"))
		json_put_cstr(w->out, "mediaResolution", "MEDIA_RESOLUTION_LOW");
	else if (span_is(detail, "high") || span_is(detail, "original"))
		json_put_cstr(w->out, "mediaResolution", "MEDIA_RESOLUTION_HIGH");
}

static void put_sampling(struct gemini_writer *w)
{
	const struct llm_request *q = w->q;

	if (w->t->quirks->no_sampling) {
		if (q->temperature.n + q->top_p.n + q->top_k.n > 0)
			llm_note(w->notes, "dropped:temperature");
		return;
	}
	put_number(w, "temperature", q->temperature);
	put_number(w, "topP", q->top_p);
	put_number(w, "topK", q->top_k);
	if (w->t->quirks->no_penalties) {
		if (q->presence_penalty.n + q->frequency_penalty.n > 0)
			llm_note(w->notes, "dropped:penalties");
		return;
	}
	put_number(w, "presencePenalty", q->presence_penalty);
	put_number(w, "frequencyPenalty", q->frequency_penalty);
}

static bool put_generation(struct gemini_writer *w)
{
	size_t before;

	json_put_open(w->out, "generationConfig", '{');
	before = w->out->n;
	put_sampling(w);
	if (w->q->max_output >= 0)
		json_put_int(w->out, "maxOutputTokens", w->q->max_output);
	if (w->q->n > 1 && w->q->n <= MAX_CANDIDATES)
		json_put_int(w->out, "candidateCount", w->q->n);
	if (!put_stops(w))
		return false;
	put_seed(w);
	put_logprobs(w);
	put_format(w);
	put_thinking(w);
	put_resolution(w);
	if (w->out->n == before && !w->out->failed) {
		/* Nothing was said: not even the object. */
		w->out->n -= sizeof("\"generationConfig\":{") - 1;
		return true;
	}
	buf_append_char(w->out, '}');
	return true;
}

/* ---- its neighbours, and what has no place ---- */

static bool is_label(struct span s, bool key)
{
	if (s.n == 0 || s.n > MAX_LABEL_BYTES || (key && !(*s.p >= 'a' && *s.p <= 'z')))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
			    s.p[i] == '_' || s.p[i] == '-'))
			return false;
	return true;
}

/* Vertex bills by labels, which are narrower than metadata: all of them fit, or none is sent. */
static void put_labels(struct gemini_writer *w)
{
	yyjson_val *key, *v;
	size_t i, max;
	bool ok = w->t->quirks->vertex && yyjson_obj_size(w->q->metadata) <= MAX_LABELS;

	if (yyjson_obj_size(w->q->metadata) == 0)
		return;
	yyjson_obj_foreach(w->q->metadata, i, max, key, v)
	{
		ok = ok && yyjson_is_str(v) &&
		     is_label((struct span){yyjson_get_str(key), yyjson_get_len(key)}, true) &&
		     is_label((struct span){yyjson_get_str(v), yyjson_get_len(v)}, false);
	}
	if (ok)
		json_put_val(w->out, "labels", w->q->metadata);
	else
		llm_note(w->notes, "dropped:metadata");
}

static void put_tier(struct gemini_writer *w)
{
	struct span tier = w->q->service_tier;

	if (tier.n == 0 || span_is(tier, "auto") || span_is(tier, "default") ||
		span_is(tier, "standard") || span_is(tier, "standard_only"))
		return;
	if (!w->t->quirks->vertex && !w->t->quirks->no_service_tier &&
		(span_is(tier, "flex") || span_is(tier, "priority")))
		json_put_str(w->out, "serviceTier", tier);
	else
		llm_note(w->notes, "dropped:service_tier");
}

static bool refuse(struct gemini_writer *w, const char *param, const char *note, bool meaning)
{
	return llm_unsupported(w->t, param, note, meaning, w->notes, w->err);
}

static bool check_params(struct gemini_writer *w)
{
	const struct llm_request *q = w->q;

	if (q->needs_state.n > 0)
		return llm_refuse(w->t, arena_cstr(w->a, q->needs_state),
			"what only a provider that stores answers can know", w->err);
	if (q->n > MAX_CANDIDATES && !refuse(w, "n", "dropped:n", true))
		return false;
	if (q->wants_audio && !refuse(w, "modalities", "dropped:modalities", true))
		return false;
	if (q->logit_bias != NULL && !refuse(w, "logit_bias", "dropped:logit_bias", false))
		return false;
	if (q->verbosity.n > 0 && !refuse(w, "verbosity", "dropped:verbosity", false))
		return false;
	if (q->store == LLM_YES && !refuse(w, "store", "dropped:store", false))
		return false;
	if (!llm_unsupported_unknown(w->t, q->unknown, w->a, w->notes, w->err))
		return false;
	if (q->user.n > 0)
		llm_note(w->notes, "dropped:user");
	if (q->prompt_cache_key.n > 0)
		llm_note(w->notes, "dropped:prompt_cache_key");
	if (q->cache != LLM_CACHE_NONE)
		llm_note(w->notes, "dropped:cache_control");
	return true;
}

bool gemini_put_config(struct gemini_writer *w)
{
	if (!check_params(w) || !put_generation(w))
		return false;
	put_tier(w);
	put_labels(w);
	return true;
}
