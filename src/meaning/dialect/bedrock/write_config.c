/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside the turns: the settings of the generation, and what a model takes besides. */
#include "machine/base/json_put.h"
#include "meaning/dialect/bedrock/bedrock.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/names.h"
#include "meaning/llm/reasoning.h"
#include "meaning/llm/schema.h"

#define MAX_METADATA 16
#define MAX_SCHEMA_BYTES (4u << 20)
#define MAX_METADATA_BYTES 256

/* ---- inferenceConfig ---- */

static bool is_above_one(struct span number)
{
	if (number.n == 0 || number.p[0] < '1' || number.p[0] > '9')
		return false;
	if (number.p[0] != '1' || (number.n > 1 && number.p[1] != '.'))
		return true;
	for (size_t i = 2; i < number.n; i++)
		if (number.p[i] != '0')
			return true;
	return false;
}

static bool is_high_nova(const struct bedrock_writer *w)
{
	return w->model.family == BEDROCK_NOVA && w->thinks && w->max_output < 0 &&
	       llm_wanted_effort(&w->q->reasoning) >= LLM_EFFORT_HIGH;
}

static bool refuses_sampling(const struct bedrock_writer *w)
{
	if (w->t->quirks->no_sampling)
		return true;
	if (w->model.family == BEDROCK_CLAUDE)
		return w->thinks || w->model.version > 406;
	return is_high_nova(w);
}

static void put_max_tokens(struct bedrock_writer *w)
{
	int64_t limit = w->t->facts != NULL ? w->t->facts->max_output : 0;
	int64_t n = w->max_output;

	if (n <= 0)
		return;
	if (limit > 0 && n > limit) {
		n = limit;
		llm_note(w->notes, "approx:max_tokens");
	}
	json_put_int(w->out, "maxTokens", n);
}

static bool put_sampling(struct bedrock_writer *w)
{
	const struct llm_request *q = w->q;
	bool refused = refuses_sampling(w);
	/* Claude takes one of the two from 4.1 on. */
	bool alone = w->model.family == BEDROCK_CLAUDE && q->temperature.n > 0;

	if (q->temperature.n > 0 && refused &&
		!bedrock_unsupported(w, "temperature", "dropped:temperature", false))
		return false;
	if (q->temperature.n > 0 && !refused)
		json_put_raw(w->out, "temperature",
			is_above_one(q->temperature) ? SPAN("1") : q->temperature);
	if (q->top_p.n > 0 && (refused || alone))
		return bedrock_unsupported(w, "top_p", "dropped:top_p", false);
	if (q->top_p.n > 0)
		json_put_raw(w->out, "topP", q->top_p);
	return true;
}

/* True: there are some. */
static bool put_stops(struct bedrock_writer *w)
{
	bool any = false;

	for (const struct llm_name *n = w->q->stops; n != NULL; n = n->next) {
		if (bedrock_is_blank(n->text)) {
			llm_note(w->notes, "dropped:stop");
			continue;
		}
		if (!any)
			json_put_open(w->out, "stopSequences", '[');
		any = true;
		json_put_str(w->out, NULL, n->text);
	}
	if (any)
		buf_append_char(w->out, ']');
	return any;
}

/* ---- additionalModelRequestFields ---- */

static bool put_top_k(struct bedrock_writer *w)
{
	struct span k = w->q->top_k;

	if (k.n == 0)
		return true;
	if (!refuses_sampling(w) &&
		(w->model.family == BEDROCK_CLAUDE || w->model.family == BEDROCK_MISTRAL)) {
		json_put_raw(w->out, "top_k", k);
		return true;
	}
	if (!refuses_sampling(w) && w->model.family == BEDROCK_NOVA) {
		json_put_open(w->out, "inferenceConfig", '{');
		json_put_raw(w->out, "topK", k);
		buf_append_char(w->out, '}');
		return true;
	}
	return bedrock_unsupported(w, "top_k", "dropped:top_k", false);
}

static void put_claude_thinking(struct bedrock_writer *w, enum llm_effort e)
{
	json_put_open(w->out, "thinking", '{');
	if (w->model.version > 406) {
		json_put_cstr(w->out, "type", "adaptive");
		buf_append_char(w->out, '}');
		json_put_open(w->out, "output_config", '{');
		json_put_cstr(w->out, "effort", e < LLM_EFFORT_LOW ? "low" : llm_effort_name(e));
	} else {
		json_put_cstr(w->out, "type", "enabled");
		json_put_int(w->out, "budget_tokens", w->budget);
	}
	buf_append_char(w->out, '}');
}

/* The level that models with three of them have. */
static const char *level_of(enum llm_effort e)
{
	return e < LLM_EFFORT_MEDIUM ? "low" : e == LLM_EFFORT_MEDIUM ? "medium" : "high";
}

static void put_thinking(struct bedrock_writer *w)
{
	enum llm_effort e = llm_wanted_effort(&w->q->reasoning);
	const char *level = level_of(e);

	if (!w->thinks)
		return;
	switch (w->model.family) {
	case BEDROCK_CLAUDE:
		put_claude_thinking(w, e);
		return;
	case BEDROCK_OPENAI:
		json_put_cstr(w->out, "reasoning_effort", level);
		return;
	case BEDROCK_QWEN:
		json_put_cstr(w->out, "reasoning_config", level);
		return;
	case BEDROCK_NOVA:
		if (w->model.version < 200)
			break;
		/* At the highest level no cap on the output may stand beside it. */
		if (e >= LLM_EFFORT_HIGH && !is_high_nova(w)) {
			level = "medium";
			llm_note(w->notes, "approx:reasoning_effort");
		}
		json_put_open(w->out, "reasoningConfig", '{');
		json_put_cstr(w->out, "type", "enabled");
		json_put_cstr(w->out, "maxReasoningEffort", level);
		buf_append_char(w->out, '}');
		return;
	default:
		break;
	}
	llm_note(w->notes, "dropped:reasoning_effort");
}

/* One call a turn: Claude takes it from 4.5 on, in its own words, where calls are not forced. */
static void put_parallel(struct bedrock_writer *w)
{
	bool plain = w->q->choice == LLM_CHOICE_UNSET || w->q->choice == LLM_CHOICE_AUTO;

	if (w->q->parallel != LLM_NO || w->q->tools == NULL)
		return;
	if (w->model.family != BEDROCK_CLAUDE || w->model.version < 405 || !plain ||
		w->schema_tool.n > 0) {
		llm_note(w->notes, "dropped:parallel_tool_calls");
		return;
	}
	json_put_raw(w->out, "tool_choice",
		SPAN("{\"type\":\"auto\",\"disable_parallel_tool_use\":true}"));
}

/* What stands in a header field elsewhere. */
static void put_betas(struct bedrock_writer *w)
{
	struct span list = w->t->betas;

	if (list.n == 0 || w->model.family != BEDROCK_CLAUDE)
		return;
	json_put_open(w->out, "anthropic_beta", '[');
	while (list.n > 0)
		json_put_str(w->out, NULL, span_cut(&list, ','));
	buf_append_char(w->out, ']');
}

static bool put_additional(struct bedrock_writer *w)
{
	size_t outside = w->out->n, before;

	json_put_open(w->out, "additionalModelRequestFields", '{');
	before = w->out->n;
	if (!put_top_k(w))
		return false;
	put_thinking(w);
	put_parallel(w);
	put_betas(w);
	if (w->out->n == before && !w->out->failed)
		w->out->n = outside;
	else
		buf_append_char(w->out, '}');
	return true;
}

/* ---- its neighbours, and what has no place ---- */

static bool is_metadata(struct span s)
{
	if (s.n == 0 || s.n > MAX_METADATA_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    (c != '\0' && strchr(" :_@$#=/+,-.", c) != NULL)))
			return false;
	}
	return true;
}

/* Strings of few characters: what does not fit is left out. */
static void put_metadata(struct bedrock_writer *w)
{
	yyjson_val *key, *v;
	size_t i, max;
	int n = 0;

	if (w->q->user.n > 0 && is_metadata(w->q->user)) {
		json_put_open(w->out, "requestMetadata", '{');
		json_put_str(w->out, "user_id", w->q->user);
		n++;
	} else if (w->q->user.n > 0) {
		llm_note(w->notes, "dropped:user");
	}
	yyjson_obj_foreach(w->q->metadata, i, max, key, v)
	{
		if (n == MAX_METADATA || !is_metadata(text_of(key)) || !is_metadata(text_of(v)) ||
			(w->q->user.n > 0 && yyjson_equals_str(key, "user_id"))) {
			llm_note(w->notes, "dropped:metadata");
			continue;
		}
		if (n++ == 0)
			json_put_open(w->out, "requestMetadata", '{');
		json_put_next(w->out);
		json_write(w->out, key);
		buf_append_char(w->out, ':');
		json_write(w->out, v);
	}
	if (n > 0)
		buf_append_char(w->out, '}');
}

/* The schema is a JSON text in a string here. */
static void put_format(struct bedrock_writer *w)
{
	const struct llm_format *f = &w->q->format;
	struct buf schema;

	if (f->kind != LLM_FORMAT_SCHEMA || w->schema_tool.n > 0)
		return;
	buf_init(&schema, MAX_SCHEMA_BYTES);
	llm_schema_enforced(&schema, f->schema);
	w->out->failed |= schema.failed;
	json_put_raw(w->out, "outputConfig",
		SPAN("{\"textFormat\":{\"type\":\"json_schema\",\"structure\":{\"jsonSchema\":{"));
	json_put_str(w->out, "name", f->name.n > 0 ? f->name : SPAN("answer"));
	if (f->description.n > 0)
		json_put_str(w->out, "description", f->description);
	json_put_str(w->out, "schema", buf_span(&schema));
	buf_append_cstr(w->out, "}}}}");
	buf_done(&schema);
}

static void put_tier(struct bedrock_writer *w)
{
	struct span tier = w->q->service_tier;
	bool known = span_is(tier, "priority") || span_is(tier, "default") ||
		     span_is(tier, "flex") || span_is(tier, "reserved");

	if (tier.n == 0 || span_is(tier, "auto"))
		return;
	if (span_is(tier, "standard_only") || span_is(tier, "standard")) {
		tier = SPAN("default");
		known = true;
	}
	if (!known || w->t->quirks->no_service_tier) {
		llm_note(w->notes, "dropped:service_tier");
		return;
	}
	json_put_open(w->out, "serviceTier", '{');
	json_put_str(w->out, "type", tier);
	buf_append_char(w->out, '}');
}

static bool check(struct bedrock_writer *w)
{
	const struct llm_request *q = w->q;
	const struct {
		bool given;
		const char *param, *note;
		bool meaning;
	} rows[] = {
		{q->n > 1, "n", "dropped:n", true},
		{q->wants_audio, "modalities", "dropped:audio", true},
		{q->presence_penalty.n > 0, "presence_penalty", "dropped:presence_penalty", false},
		{q->frequency_penalty.n > 0, "frequency_penalty", "dropped:frequency_penalty",
			false},
		{q->seed.n > 0, "seed", "dropped:seed", false},
		{q->logit_bias != NULL, "logit_bias", "dropped:logit_bias", false},
		{q->logprobs == LLM_YES || q->top_logprobs > 0, "logprobs", "dropped:logprobs",
			false},
		{q->verbosity.n > 0, "verbosity", "dropped:verbosity", false},
		{q->store == LLM_YES, "store", "dropped:store", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].given &&
			!bedrock_unsupported(w, rows[i].param, rows[i].note, rows[i].meaning))
			return false;
	if (q->needs_state.n > 0)
		return llm_refuse(w->t, arena_cstr(w->a, q->needs_state),
			"what only a provider that stores answers can know", w->err);
	return llm_unsupported_unknown(w->t, q->unknown, w->a, w->notes, w->err);
}

bool bedrock_put_inference(struct bedrock_writer *w)
{
	size_t outside = w->out->n, before;
	bool stops;

	if (!check(w))
		return false;
	json_put_open(w->out, "inferenceConfig", '{');
	before = w->out->n;
	put_max_tokens(w);
	if (!put_sampling(w))
		return false;
	stops = put_stops(w);
	if (w->out->n == before && !w->out->failed)
		w->out->n = outside;
	else
		buf_append_char(w->out, '}');
	/* Which of them it was is not said, unless asked for. */
	if (stops && w->model.family == BEDROCK_CLAUDE)
		json_put_raw(w->out, "additionalModelResponseFieldPaths",
			w->q->stream ? SPAN("[\"/delta/stop_sequence\"]")
				     : SPAN("[\"/stop_sequence\"]"));
	if (!put_additional(w))
		return false;
	put_format(w);
	put_metadata(w);
	put_tier(w);
	return true;
}
