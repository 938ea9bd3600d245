/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers, whole and in a stream: every event of a stream is a GenerateContentResponse with what is
 * new in it. There is no end marker: STOP and END wait for the clean end of the stream.
 */
#include "meaning/dialect/gemini/gemini.h"
#include "meaning/llm/names.h"

#define MAX_ARGS_BYTES (16u << 20)
#define MAX_KEPT_JSON (1u << 20)
#define MAX_CHUNKS 100000

/* What is remembered of an answer between its events. */
struct answer {
	int64_t prompt, cached, tool_prompt, candidates, thoughts, total;
	int64_t audio_in, audio_cached, audio_out;
	int64_t n_calls;
	bool keeps_text, searched, any_part;
	bool cut_next; /* what was signed is whole: the next text is another part */
	struct gemini_text text;
	struct span grounding, citations; /* JSON, in the arena */
};

struct reason_row {
	const char *name;
	enum llm_stop stop;
	enum { REASON_GOOD, REASON_CALL, REASON_BAD } kind;
};

/* FinishReason. CALL: bad, unless there is a call that the client can judge itself. */
static const struct reason_row reasons[] = {
	{"STOP", LLM_STOP_END, REASON_GOOD},
	{"MAX_TOKENS", LLM_STOP_LENGTH, REASON_GOOD},
	{"SAFETY", LLM_STOP_FILTER, REASON_GOOD},
	{"RECITATION", LLM_STOP_FILTER, REASON_GOOD},
	{"LANGUAGE", LLM_STOP_FILTER, REASON_GOOD},
	{"BLOCKLIST", LLM_STOP_FILTER, REASON_GOOD},
	{"PROHIBITED_CONTENT", LLM_STOP_FILTER, REASON_GOOD},
	{"SPII", LLM_STOP_FILTER, REASON_GOOD},
	{"MODEL_ARMOR", LLM_STOP_FILTER, REASON_GOOD},
	{"IMAGE_SAFETY", LLM_STOP_FILTER, REASON_GOOD},
	{"IMAGE_PROHIBITED_CONTENT", LLM_STOP_FILTER, REASON_GOOD},
	{"IMAGE_RECITATION", LLM_STOP_FILTER, REASON_GOOD},
	{"CONTINUATION", LLM_STOP_PAUSE, REASON_GOOD},
	{"MALFORMED_FUNCTION_CALL", LLM_STOP_END, REASON_BAD},
	{"MALFORMED_RESPONSE", LLM_STOP_END, REASON_BAD},
	{"MISSING_THOUGHT_SIGNATURE", LLM_STOP_END, REASON_BAD},
	{"UNEXPECTED_TOOL_CALL", LLM_STOP_TOOL, REASON_CALL},
	{"TOO_MANY_TOOL_CALLS", LLM_STOP_TOOL, REASON_CALL},
};

static bool no_memory(struct reading *r)
{
	return err_set(&r->err, ERR_NO_MEMORY, NULL);
}

/* The web may be searched: then the text is kept, for the offsets of its sources. */
static bool may_search(const struct llm_request *q)
{
	for (const struct llm_tool *t = q != NULL ? q->tools : NULL; t != NULL; t = t->next)
		if (t->kind == LLM_TOOL_SEARCH || t->kind == LLM_TOOL_NATIVE)
			return true;
	return false;
}

static struct answer *get_answer(struct reading *r)
{
	struct answer *a = r->state;

	if (a != NULL)
		return a;
	a = ARENA_NEW(r->arena, struct answer);
	if (a == NULL) {
		no_memory(r);
		return NULL;
	}
	a->keeps_text = may_search(r->flow.request);
	r->state = a;
	return a;
}

/* ---- usage ---- */

static void raise_to(int64_t *have, yyjson_val *object, const char *key)
{
	int64_t n;

	if (json_get_count(object, key, &n) && n > *have)
		*have = n;
}

static void raise_audio(int64_t *have, yyjson_val *object, const char *key)
{
	yyjson_val *item;
	size_t i, max;

	yyjson_arr_foreach(json_get(object, key), i, max, item)
	{
		struct span modality = {NULL, 0};

		if (json_get_str(item, "modality", &modality) && span_is(modality, "AUDIO"))
			raise_to(have, item, "tokenCount");
	}
}

/* Of the same list, when it is there: the last one counts. */
static void take_audio(int64_t *have, yyjson_val *object, const char *key)
{
	if (json_get(object, key) != NULL)
		*have = 0;
	raise_audio(have, object, key);
}

static int64_t at_most(int64_t n, int64_t most)
{
	return n < most ? n : most;
}

/*
 * In every event, and members may be missing in any. Of the output, which grows, the highest count
 * is it. The input is an estimate at first and corrected later, downwards too: the last is it. The
 * total tells whether thoughts are counted within the candidates, as the API once had it.
 */
static bool read_usage(struct reading *r, struct answer *a, yyjson_val *usage)
{
	struct llm_usage u = {.present = true};
	int64_t audio;

	if (!yyjson_is_obj(usage))
		return true;
	json_get_count(usage, "promptTokenCount", &a->prompt);
	json_get_count(usage, "cachedContentTokenCount", &a->cached);
	json_get_count(usage, "toolUsePromptTokenCount", &a->tool_prompt);
	raise_to(&a->candidates, usage, "candidatesTokenCount");
	raise_to(&a->thoughts, usage, "thoughtsTokenCount");
	json_get_count(usage, "totalTokenCount", &a->total);
	take_audio(&a->audio_in, usage, "promptTokensDetails");
	take_audio(&a->audio_cached, usage, "cacheTokensDetails");
	raise_audio(&a->audio_out, usage, "candidatesTokensDetails");
	u.cache_read = at_most(a->cached, a->prompt);
	audio = a->audio_in > a->audio_cached ? a->audio_in - a->audio_cached : 0;
	u.input_audio = at_most(audio, a->prompt - u.cache_read);
	u.input_uncached = a->prompt - u.cache_read - u.input_audio + a->tool_prompt;
	u.output = a->candidates + a->thoughts;
	if (a->thoughts > 0 && a->candidates >= a->thoughts &&
		a->total - a->prompt - a->tool_prompt == a->candidates)
		u.output = a->candidates;
	u.reasoning = a->thoughts;
	u.output_audio = at_most(a->audio_out, u.output);
	r->usage = u;
	return flow_usage(&r->flow, &r->usage);
}

/* ---- parts ---- */

static struct span signature_of(yyjson_val *part)
{
	struct span s = {NULL, 0};

	gemini_get_str(part, "thoughtSignature", "thought_signature", &s);
	return s;
}

static struct llm_state state_of(const struct reading *r, struct span signature)
{
	return (struct llm_state){.maker = signature.n > 0 ? LLM_MAKER_GEMINI : LLM_MAKER_NONE,
		.scope = r->target->provider,
		.data = signature};
}

static bool read_call(struct reading *r, struct answer *a, yyjson_val *part, yyjson_val *call)
{
	struct llm_state state = state_of(r, signature_of(part));
	struct span id = {NULL, 0}, name = {NULL, 0};
	yyjson_val *args = json_get(call, "args");
	int64_t key = a->n_calls;
	struct buf b;
	bool ok;

	/* The API cannot be told to make one call only: the first is kept. */
	if (r->flow.request != NULL && r->flow.request->parallel == LLM_NO && key > 0)
		return true;
	a->n_calls++;
	json_get_str(call, "id", &id);
	json_get_str(call, "name", &name);
	if (name.n == 0)
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider sent a tool call without a name");
	if (!flow_call_start(
		    &r->flow, key, id, gemini_real_name(r->arena, r->flow.request, name), false) ||
		!flow_call_state(&r->flow, key, &state))
		return false;
	buf_init(&b, MAX_ARGS_BYTES);
	if (yyjson_obj_size(args) > 0)
		json_write(&b, args);
	ok = b.failed ? no_memory(r) : flow_call_args(&r->flow, key, buf_span(&b));
	buf_done(&b);
	return ok && flow_call_end(&r->flow, key);
}

static enum llm_media_kind kind_of(struct span mime)
{
	if (span_starts_nocase(mime, SPAN("image/")))
		return LLM_MEDIA_IMAGE;
	if (span_starts_nocase(mime, SPAN("audio/")))
		return LLM_MEDIA_AUDIO;
	return span_starts_nocase(mime, SPAN("video/")) ? LLM_MEDIA_VIDEO : LLM_MEDIA_DOCUMENT;
}

static bool read_media(struct reading *r, yyjson_val *part, yyjson_val *data, bool is_file)
{
	struct llm_state state = state_of(r, signature_of(part));
	struct llm_media m = {.from = is_file ? LLM_FROM_URL : LLM_FROM_BASE64};

	gemini_get_str(data, "mimeType", "mime_type", &m.mime);
	if (is_file)
		gemini_get_str(data, "fileUri", "file_uri", &m.data);
	else
		json_get_str(data, "data", &m.data);
	if (m.data.n == 0)
		return true;
	m.kind = kind_of(m.mime);
	return flow_media(&r->flow, &m) && flow_state(&r->flow, &state, false);
}

static bool read_text(struct reading *r, struct answer *a, yyjson_val *part, bool whole)
{
	struct llm_state state = state_of(r, signature_of(part));
	struct span text = {NULL, 0};
	bool thought = false;

	json_get_str(part, "text", &text);
	json_get_bool(part, "thought", &thought);
	/* In a whole answer a part is a part; in a stream a text comes in many. */
	if (text.n > 0 && (a->cut_next || (whole && state.maker != LLM_MAKER_NONE))) {
		if (!flow_cut(&r->flow))
			return false;
		a->cut_next = false;
	}
	if (!thought && a->keeps_text)
		gemini_keep_text(r->arena, &a->text, text);
	if (thought ? !flow_thinking(&r->flow, text) : !flow_text(&r->flow, text))
		return false;
	if (state.maker == LLM_MAKER_NONE)
		return true;
	a->cut_next = true;
	return flow_state(&r->flow, &state, true);
}

static bool read_part(struct reading *r, struct answer *a, yyjson_val *part, bool whole)
{
	static const char *const native[] = {"executableCode", "codeExecutionResult", "toolCall",
		"toolResponse", "functionResponse", NULL};
	yyjson_val *v;

	if (!yyjson_is_obj(part))
		return true;
	a->any_part = true;
	v = json_get(part, "functionCall");
	if (v != NULL)
		return read_call(r, a, part, v);
	v = json_get(part, "inlineData");
	if (v != NULL)
		return read_media(r, part, v, false);
	v = json_get(part, "fileData");
	if (v != NULL)
		return read_media(r, part, v, true);
	for (int i = 0; native[i] != NULL; i++)
		if (json_get(part, native[i]) != NULL)
			return flow_native(&r->flow, LLM_OP_GENERATE, part);
	return read_text(r, a, part, whole);
}

/* ---- the reason of the end ---- */

static void keep_stop(struct reading *r, enum llm_stop stop, struct span native)
{
	r->finished = r->stop_known = true;
	r->stop = stop;
	keep_native_stop(r, native);
}

static bool read_reason(struct reading *r, struct answer *a, yyjson_val *candidate)
{
	struct span reason = {NULL, 0}, message = {NULL, 0};
	enum llm_stop stop = LLM_STOP_END;

	if (!json_get_str(candidate, "finishReason", &reason) || reason.n == 0 ||
		span_is(reason, "FINISH_REASON_UNSPECIFIED"))
		return true;
	json_get_str(candidate, "finishMessage", &message);
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (!span_is(reason, reasons[i].name))
			continue;
		if (reasons[i].kind == REASON_BAD ||
			(reasons[i].kind == REASON_CALL && a->n_calls == 0)) {
			r->error_status = 502;
			return err_set(&r->err, ERR_UPSTREAM_INVALID,
				"The model's answer is not usable (%s)%s%.*s", reasons[i].name,
				message.n > 0 ? ": " : "", SPAN_ARG(span_head(message, 300)));
		}
		stop = reasons[i].stop;
	}
	keep_stop(r, stop, reason);
	return true;
}

/* ---- one response ---- */

/* The last that says something is kept: a stream may send it piece by piece or again and again. */
static bool keep_json(struct reading *r, struct span *have, yyjson_val *v)
{
	struct buf b;

	if (yyjson_obj_size(v) == 0)
		return true;
	buf_init(&b, MAX_KEPT_JSON);
	if (json_write(&b, v) && b.n >= have->n)
		*have = arena_copy(r->arena, buf_span(&b));
	buf_done(&b);
	return !r->arena->failed || no_memory(r);
}

/* Should there be more than were asked for, they are not looked at. */
static yyjson_val *find_candidate(yyjson_val *root, int choice)
{
	yyjson_val *list = json_get(root, "candidates"), *item;
	size_t i, max;

	yyjson_arr_foreach(list, i, max, item)
	{
		int64_t index = 0;

		json_get_count(item, "index", &index);
		if (index == choice)
			return item;
	}
	return NULL;
}

static bool read_candidate(struct reading *r, struct answer *a, yyjson_val *candidate, bool whole)
{
	yyjson_val *grounding = json_get(candidate, "groundingMetadata"), *part;
	size_t i, max;

	if (!a->searched && !a->any_part &&
		yyjson_arr_size(json_get(grounding, "webSearchQueries")) > 0) {
		a->searched = true;
		if (!gemini_read_searches(r, grounding))
			return false;
	}
	yyjson_arr_foreach(json_get(json_get(candidate, "content"), "parts"), i, max, part)
	{
		if (!read_part(r, a, part, whole))
			return false;
	}
	return gemini_read_logprobs(r, json_get(candidate, "logprobsResult")) &&
	       keep_json(r, &a->grounding, grounding) &&
	       keep_json(r, &a->citations, json_get(candidate, "citationMetadata")) &&
	       read_reason(r, a, candidate);
}

static bool read_response(struct reading *r, yyjson_val *root, bool whole)
{
	struct answer *a = get_answer(r);
	struct span id = {NULL, 0}, model = {NULL, 0}, blocked = {NULL, 0};
	yyjson_val *candidate;

	if (a == NULL)
		return false;
	if (!yyjson_is_obj(root))
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's answer is not a JSON object");
	if (json_get(root, "error") != NULL)
		return gemini_take_error(r, root);
	candidate = find_candidate(root, r->choice);
	/* One of several that is not there, or has nothing new in this event. */
	if (r->choice > 0 && candidate == NULL)
		return true;
	json_get_str(json_get(root, "promptFeedback"), "blockReason", &blocked);
	if (whole && candidate == NULL && blocked.n == 0)
		return err_set(
			&r->err, ERR_UPSTREAM_INVALID, "The provider's answer has no candidates");
	json_get_str(root, "responseId", &id);
	json_get_str(root, "modelVersion", &model);
	if (!flow_start(&r->flow, id, model, 0) ||
		!read_usage(r, a, json_get(root, "usageMetadata")))
		return false;
	if (candidate != NULL)
		return read_candidate(r, a, candidate, whole);
	if (blocked.n > 0)
		keep_stop(r, LLM_STOP_FILTER, blocked);
	return true;
}

/* ---- the end ---- */

static bool read_kept(struct reading *r, struct answer *a)
{
	yyjson_doc *grounding = NULL, *citations = NULL;
	bool ok = true;

	if (a->grounding.n > 0)
		grounding = json_read_raw(NULL, a->grounding, true, NULL);
	if (a->citations.n > 0)
		citations = json_read_raw(NULL, a->citations, true, NULL);
	if (grounding != NULL)
		ok = gemini_read_sources(r, yyjson_doc_get_root(grounding), &a->text);
	if (ok && citations != NULL)
		ok = gemini_read_citations(r, yyjson_doc_get_root(citations), &a->text);
	if (ok && grounding != NULL && !a->searched)
		ok = gemini_read_searches(r, yyjson_doc_get_root(grounding));
	json_free(grounding);
	json_free(citations);
	return ok;
}

static bool finish(struct reading *r)
{
	const struct span none = {NULL, 0};

	if (r->flow.ended || (r->choice > 0 && !r->flow.started))
		return true;
	if (!r->stop_known)
		return err_set(&r->err, ERR_UPSTREAM_INTERRUPTED,
			"The provider's answer ended without a finish reason");
	return read_kept(r, r->state) &&
	       flow_stop(&r->flow, r->stop, none, span_of(r->native_stop)) && flow_end(&r->flow);
}

bool gemini_read_event(struct reading *r, struct span name, struct span data)
{
	yyjson_doc *doc;
	yyjson_val *root, *item;
	struct err err = {0};
	size_t i, max;
	bool ok = true;

	(void)name;
	data = span_trim(data);
	if (data.n == 0 || span_is(data, "[DONE]"))
		return true;
	doc = json_read_raw(r->scratch, data, true, &err);
	if (doc == NULL)
		return err.code == ERR_NO_MEMORY ? no_memory(r)
						 : err_set(&r->err, ERR_UPSTREAM_INVALID,
							   "The provider's stream holds an event "
							   "that is not JSON: %s",
							   err.text);
	root = yyjson_doc_get_root(doc);
	if (!yyjson_is_arr(root))
		ok = read_response(r, root, false);
	yyjson_arr_foreach(root, i, max, item)
	{
		ok = ok && read_response(r, item, false);
	}
	json_free(doc);
	return ok;
}

bool gemini_read_end(struct reading *r)
{
	return finish(r);
}

/* A stream that was not asked for as events comes as one array of its responses. */
bool gemini_read_answer(struct reading *r, yyjson_val *root)
{
	yyjson_val *item;
	size_t i, max;

	if (!yyjson_is_arr(root))
		return read_response(r, root, true) && finish(r);
	if (yyjson_arr_size(root) == 0 || yyjson_arr_size(root) > MAX_CHUNKS)
		return err_set(&r->err, ERR_UPSTREAM_INVALID,
			"The provider's answer is not a JSON object");
	yyjson_arr_foreach(root, i, max, item)
	{
		if (!read_response(r, item, false))
			return false;
	}
	return finish(r);
}
