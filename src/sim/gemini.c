/* SPDX-License-Identifier: Apache-2.0 */
/* The Gemini format: generateContent, streamGenerateContent. Google's API reference, v1beta. */
#include "machine/base/json_put.h"
#include "sim/job.h"

#define SIGNATURE "c2ltdWxhdGVkIHRob3VnaHQgc2lnbmF0dXJl"

static void put_usage(struct buf *out, const struct job *j, int64_t output)
{
	int64_t thoughts = j->reasoning_tokens < output ? j->reasoning_tokens : 0;

	if (script_is(j->script, OPT_NO_USAGE))
		return;
	json_put_open(out, "usageMetadata", '{');
	json_put_int(out, "promptTokenCount", j->input_tokens);
	if (output > 0)
		json_put_int(out, "candidatesTokenCount", output - thoughts);
	if (j->cached_tokens > 0)
		json_put_int(out, "cachedContentTokenCount", j->cached_tokens);
	if (thoughts > 0)
		json_put_int(out, "thoughtsTokenCount", thoughts);
	json_put_int(out, "totalTokenCount", j->input_tokens + output);
	json_put_open(out, "promptTokensDetails", '[');
	buf_append_char(out, '{');
	json_put_cstr(out, "modality", "TEXT");
	json_put_int(out, "tokenCount", j->input_tokens);
	buf_append_cstr(out, "}]}");
}

static void put_call(struct buf *out, const struct job *j, int tool)
{
	json_put_open(out, NULL, '{');
	json_put_open(out, "functionCall", '{');
	json_put_raw(out, "name", j->tools[tool].name_json);
	json_put_raw(out, "args", j->tools[tool].args);
	buf_append_char(out, '}');
	/* Of parallel calls the first alone is signed. */
	if (tool == 0 && j->thinking.words > 0)
		json_put_cstr(out, "thoughtSignature", SIGNATURE);
	buf_append_char(out, '}');
}

static void put_thought(struct buf *out)
{
	json_put_raw(out, "thought", SPAN("true"));
	buf_append_char(out, '}');
}

static void begin_candidate(struct buf *out)
{
	json_put_open(out, "candidates", '[');
	buf_append_char(out, '{');
	json_put_open(out, "content", '{');
	json_put_open(out, "parts", '[');
}

static void end_candidate(struct buf *out, const struct job *j, bool last)
{
	buf_append_char(out, ']');
	json_put_cstr(out, "role", "model");
	buf_append_char(out, '}');
	if (last && !script_is(j->script, OPT_NO_FINISH))
		json_put_cstr(
			out, "finishReason", j->capped && j->n_tools == 0 ? "MAX_TOKENS" : "STOP");
	json_put_int(out, "index", 0);
	buf_append_cstr(out, "}]");
}

static void end_answer(struct buf *out, const struct job *j, int64_t output)
{
	put_usage(out, j, output);
	json_put_raw(out, "modelVersion", j->model_json);
	json_put_key(out, "responseId");
	buf_append_cstr(out, "\"sim");
	job_write_id(j, out);
	buf_append_cstr(out, "\"}");
}

static void plain(const struct job *j, struct buf *out)
{
	buf_append_char(out, '{');
	begin_candidate(out);
	if (j->thinking.words > 0) {
		json_put_open(out, NULL, '{');
		json_put_key(out, "text");
		answer_whole(&j->thinking, out);
		put_thought(out);
	}
	for (int i = 0; i < j->n_tools; i++)
		put_call(out, j, i);
	if (j->n_tools == 0) {
		json_put_open(out, NULL, '{');
		json_put_key(out, "text");
		job_write_text(j, out);
		buf_append_char(out, '}');
	}
	end_candidate(out, j, true);
	end_answer(out, j, job_output_tokens(j));
}

static void open(struct job *j, struct buf *out)
{
}

/* Calls come whole, each in a chunk; texts piece by piece. */
static bool content(struct job *j, struct buf *out)
{
	if (j->part == PART_TEXT && job_part_ended(j))
		job_next_part(j);
	if (j->part == PART_DONE)
		return false;
	buf_append_cstr(out, "data: {");
	begin_candidate(out);
	if (j->part == PART_TOOLS) {
		put_call(out, j, j->tool);
		j->out_bytes += (int64_t)(j->tools[j->tool].name.n + j->tools[j->tool].args.n);
		job_next_part(j);
	} else {
		bool thought = j->part == PART_THINKING;

		json_put_open(out, NULL, '{');
		json_put_key(out, "text");
		job_write_piece(j, out);
		if (thought)
			put_thought(out);
		else
			buf_append_char(out, '}');
		if (job_part_ended(j))
			job_next_part(j);
	}
	end_candidate(out, j, false);
	end_answer(out, j, 0);
	buf_append_cstr(out, "\r\n\r\n");
	return true;
}

static void close(struct job *j, struct buf *out)
{
	if (script_is(j->script, OPT_NO_DONE))
		return;
	buf_append_cstr(out, "data: {");
	begin_candidate(out);
	json_put_raw(out, NULL, SPAN("{\"text\":\"\"}"));
	end_candidate(out, j, true);
	end_answer(out, j, job_output_tokens(j));
	buf_append_cstr(out, "\r\n\r\n");
}

static const char *status_word(int status)
{
	switch (status) {
	case 400:
	case 413:
		return "INVALID_ARGUMENT";
	case 401:
		return "UNAUTHENTICATED";
	case 403:
		return "PERMISSION_DENIED";
	case 404:
		return "NOT_FOUND";
	case 429:
		return "RESOURCE_EXHAUSTED";
	case 503:
		return "UNAVAILABLE";
	case 504:
		return "DEADLINE_EXCEEDED";
	default:
		return "INTERNAL";
	}
}

static void error(const struct job *j, const struct fail *f, struct buf *out)
{
	const struct script *s = j->script;

	json_put_open(out, NULL, '{');
	json_put_open(out, "error", '{');
	json_put_int(out, "code", f->status);
	json_put_str(out, "message",
		script_has(s, OPT_MESSAGE) ? s->v[OPT_MESSAGE].text : span_of(f->message));
	json_put_str(out, "status",
		script_has(s, OPT_ERROR_TYPE) ? s->v[OPT_ERROR_TYPE].text
					      : span_of(status_word(f->status)));
	if (f->status == 429)
		json_put_raw(out, "details",
			SPAN("[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
			     "\"retryDelay\":\"3s\"}]"));
	buf_append_cstr(out, "}}");
}

static void error_event(const struct job *j, struct buf *out)
{
	struct fail f = {
		.status = 503, .message = "The model is overloaded. Please try again later."};

	buf_append_cstr(out, "data: ");
	error(j, &f, out);
	buf_append_cstr(out, "\r\n\r\n");
}

const struct format format_gemini = {
	.id_field = "x-request-id",
	.fields = "server-timing: gfet4t7; dur=1\r\n",
	.ratelimit = "",
	.plain = plain,
	.open = open,
	.content = content,
	.close = close,
	.error = error,
	.error_event = error_event,
};
