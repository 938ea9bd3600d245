/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAI format: chat completions, embeddings, models. OpenAI's API reference, 2026. */
#include "machine/base/text.h"
#include "sim/job.h"

#define CREATED "1767225600" /* fixed, so that answers do not depend on the day */

static void write_usage(const struct job *j, int64_t output, struct buf *out)
{
	int64_t input = j->input_tokens;

	buf_append(out, SPAN("{\"prompt_tokens\":"));
	buf_append_i64(out, input);
	if (j->op == OP_EMBED) {
		buf_append(out, SPAN(",\"total_tokens\":"));
		buf_append_i64(out, input);
		buf_append_char(out, '}');
		return;
	}
	buf_append(out, SPAN(",\"completion_tokens\":"));
	buf_append_i64(out, output);
	buf_append(out, SPAN(",\"total_tokens\":"));
	buf_append_i64(out, input + output);
	buf_append(out, SPAN(",\"prompt_tokens_details\":{\"cached_tokens\":"));
	buf_append_i64(out, j->cached_tokens);
	if (j->cache_write_tokens > 0) {
		buf_append(out, SPAN(",\"cache_write_tokens\":"));
		buf_append_i64(out, j->cache_write_tokens);
	}
	buf_append(out,
		SPAN(",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":"));
	buf_append_i64(out, j->reasoning_tokens);
	buf_append(out, SPAN(",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,"
			     "\"rejected_prediction_tokens\":0}}"));
}

static void write_head(const struct job *j, const char *object, struct buf *out)
{
	buf_append(out, SPAN("{\"id\":\"chatcmpl-sim"));
	job_write_id(j, out);
	buf_append_cstr(out, object);
	buf_append(out, SPAN("\"created\":" CREATED ",\"model\":"));
	buf_append(out, j->model_json);
}

static const char *finish_reason(const struct job *j)
{
	if (script_is(j->script, OPT_NO_FINISH))
		return "null";
	return j->n_tools > 0 ? "\"tool_calls\"" : j->capped ? "\"length\"" : "\"stop\"";
}

static void write_call_id(const struct job *j, int i, struct buf *out)
{
	buf_append(out, SPAN("\"call_sim"));
	job_write_id(j, out);
	buf_append_char(out, 'x');
	buf_append_i64(out, i);
	buf_append_char(out, '"');
}

static void write_calls(const struct job *j, struct buf *out)
{
	buf_append(out, SPAN("null,\"tool_calls\":["));
	for (int i = 0; i < j->n_tools; i++) {
		buf_append_cstr(out, i > 0 ? ",{\"id\":" : "{\"id\":");
		write_call_id(j, i, out);
		buf_append(out, SPAN(",\"type\":\"function\",\"function\":{\"name\":"));
		buf_append(out, j->tools[i].name_json);
		buf_append(out, SPAN(",\"arguments\":"));
		text_json_string(out, j->tools[i].args);
		buf_append(out, SPAN("}}"));
	}
	buf_append_char(out, ']');
}

static void write_chat(const struct job *j, struct buf *out)
{
	write_head(j, "\",\"object\":\"chat.completion\",", out);
	buf_append(out, SPAN(",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","));
	if (j->thinking.words > 0) {
		buf_append(out, SPAN("\"reasoning_content\":"));
		answer_whole(&j->thinking, out);
		buf_append_char(out, ',');
	}
	buf_append(out, SPAN("\"content\":"));
	if (j->n_tools > 0)
		write_calls(j, out);
	else
		job_write_text(j, out);
	buf_append(out,
		SPAN(",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":"));
	buf_append_cstr(out, finish_reason(j));
	buf_append(out, SPAN("}]"));
	if (!script_is(j->script, OPT_NO_USAGE)) {
		buf_append(out, SPAN(",\"usage\":"));
		write_usage(j, job_output_tokens(j), out);
	}
	buf_append(out, SPAN(",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_sim\"}"));
}

static void write_embeddings(const struct job *j, struct buf *out)
{
	buf_append(out, SPAN("{\"object\":\"list\",\"data\":["));
	for (int i = 0; i < j->n_inputs; i++) {
		buf_append_cstr(out, i > 0 ? ",{\"object\":\"embedding\",\"index\":"
					   : "{\"object\":\"embedding\",\"index\":");
		buf_append_i64(out, i);
		buf_append(out, SPAN(",\"embedding\":"));
		answer_vector(j->inputs[i].seed, j->dimensions, j->base64, out);
		buf_append_char(out, '}');
	}
	buf_append(out, SPAN("],\"model\":"));
	buf_append(out, j->model_json);
	if (!script_is(j->script, OPT_NO_USAGE)) {
		buf_append(out, SPAN(",\"usage\":"));
		write_usage(j, 0, out);
	}
	buf_append_char(out, '}');
}

static void write_model(const char *id, struct buf *out)
{
	buf_append_cstr(out, "{\"id\":");
	text_json_string(out, span_of(id));
	buf_append_cstr(out, ",\"object\":\"model\",\"created\":" CREATED ",\"owned_by\":\"sim\"}");
}

static void plain(const struct job *j, struct buf *out)
{
	static const char *const models[] = {"echo", "gpt", "claude", "embed"};

	switch (j->op) {
	case OP_EMBED:
		write_embeddings(j, out);
		return;
	case OP_MODEL:
		buf_append_cstr(out, "{\"id\":");
		buf_append(out, j->model_json);
		buf_append_cstr(
			out, ",\"object\":\"model\",\"created\":" CREATED ",\"owned_by\":\"sim\"}");
		return;
	case OP_MODELS:
		buf_append_cstr(out, "{\"object\":\"list\",\"data\":[");
		for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
			if (i > 0)
				buf_append_char(out, ',');
			write_model(models[i], out);
		}
		buf_append_cstr(out, "]}");
		return;
	default:
		write_chat(j, out);
	}
}

static void chunk_begin(const struct job *j, struct buf *out)
{
	buf_append(out, SPAN("data: "));
	write_head(j, "\",\"object\":\"chat.completion.chunk\",", out);
	buf_append(out, SPAN(",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_sim\","
			     "\"choices\":["));
}

/* `finish` is JSON. */
static void choice_end(const struct job *j, struct span finish, struct buf *out)
{
	buf_append(out, SPAN("},\"logprobs\":null,\"finish_reason\":"));
	buf_append(out, finish);
	if (script_is(j->script, OPT_USAGE_NULL))
		buf_append(out, SPAN("}],\"usage\":null}\n\n"));
	else
		buf_append(out, SPAN("}]}\n\n"));
}

static void stream_open(struct job *j, struct buf *out)
{
	chunk_begin(j, out);
	buf_append(out, SPAN("{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":"));
	buf_append(out, j->n_tools > 0 ? SPAN("null") : SPAN("\"\""));
	buf_append(out, SPAN(",\"refusal\":null"));
	if (script_is(j->script, OPT_TOOL_CALLS_NULL))
		buf_append(out, SPAN(",\"tool_calls\":null"));
	choice_end(j, SPAN("null"), out);
}

static void tool_delta(struct job *j, struct buf *out)
{
	buf_append(out, SPAN("{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":"));
	buf_append_i64(out, j->tool);
	if (!j->part_begun) {
		buf_append(out, SPAN(",\"id\":"));
		write_call_id(j, j->tool, out);
		buf_append(out, SPAN(",\"type\":\"function\",\"function\":{\"name\":"));
		buf_append(out, j->tools[j->tool].name_json);
		buf_append(out, SPAN(",\"arguments\":\"\"}}]"));
		j->out_bytes += (int64_t)j->tools[j->tool].name.n;
		j->part_begun = true;
		return;
	}
	buf_append(out, SPAN(",\"function\":{\"arguments\":"));
	job_write_piece(j, out);
	buf_append(out, SPAN("}}]"));
}

static bool stream_content(struct job *j, struct buf *out)
{
	if (j->part == PART_TEXT && job_part_ended(j))
		job_next_part(j); /* an empty text has no event */
	if (j->part == PART_DONE)
		return false;
	chunk_begin(j, out);
	if (j->part == PART_TOOLS) {
		tool_delta(j, out);
	} else {
		buf_append(out, j->part == PART_THINKING
					? SPAN("{\"index\":0,\"delta\":{\"reasoning_content\":")
					: SPAN("{\"index\":0,\"delta\":{\"content\":"));
		job_write_piece(j, out);
		if (script_is(j->script, OPT_TOOL_CALLS_NULL))
			buf_append(out, SPAN(",\"tool_calls\":null"));
	}
	choice_end(j, SPAN("null"), out);
	if (job_part_ended(j))
		job_next_part(j);
	return true;
}

static void usage_chunk(const struct job *j, int64_t output, struct buf *out)
{
	buf_append(out, SPAN("data: "));
	write_head(j, "\",\"object\":\"chat.completion.chunk\",", out);
	buf_append(out, SPAN(",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_sim\","
			     "\"choices\":[],"
			     "\"usage\":"));
	write_usage(j, output, out);
	buf_append(out, SPAN("}\n\n"));
}

static void stream_close(struct job *j, struct buf *out)
{
	const struct script *s = j->script;

	if (!script_is(s, OPT_NO_FINISH)) {
		chunk_begin(j, out);
		buf_append(out, SPAN("{\"index\":0,\"delta\":{"));
		choice_end(j, span_of(finish_reason(j)), out);
	}
	if (j->include_usage && !script_is(s, OPT_NO_USAGE)) {
		if (script_is(s, OPT_TWO_USAGE))
			usage_chunk(j, (job_output_tokens(j) + 1) / 2, out);
		usage_chunk(j, job_output_tokens(j), out);
	}
	if (!script_is(s, OPT_NO_DONE))
		buf_append(out, SPAN("data: [DONE]\n\n"));
	if (script_is(s, OPT_DUPLICATE_DONE))
		buf_append(out, SPAN("data: [DONE]\n\n"));
}

static const char *type_of(int status)
{
	switch (status) {
	case 402:
	case 429:
		return "requests";
	case 403:
		return "permission_error";
	default:
		return status >= 500 ? "server_error" : "invalid_request_error";
	}
}

static void write_or_null(struct buf *out, const char *cstr)
{
	if (cstr == NULL)
		buf_append_cstr(out, "null");
	else
		text_json_string(out, span_of(cstr));
}

void job_write_openai_error(const struct job *j, const struct fail *f, struct buf *out)
{
	const struct script *s = j->script;

	buf_append_cstr(out, "{\"error\":{\"message\":");
	text_json_string(
		out, script_has(s, OPT_MESSAGE) ? s->v[OPT_MESSAGE].text : span_of(f->message));
	buf_append_cstr(out, ",\"type\":");
	text_json_string(out, script_has(s, OPT_ERROR_TYPE) ? s->v[OPT_ERROR_TYPE].text
							    : span_of(type_of(f->status)));
	buf_append_cstr(out, ",\"param\":");
	write_or_null(out, f->param);
	buf_append_cstr(out, ",\"code\":");
	if (script_has(s, OPT_ERROR_CODE))
		text_json_string(out, s->v[OPT_ERROR_CODE].text);
	else if (f->code == NULL && f->status == 429)
		buf_append_cstr(out, "\"rate_limit_exceeded\"");
	else
		write_or_null(out, f->code);
	buf_append_cstr(out, "}}");
}

static void error_event(const struct job *j, struct buf *out)
{
	struct fail f = {
		.status = 500, .message = "The server had an error while processing your request."};

	buf_append_cstr(out, "data: ");
	job_write_openai_error(j, &f, out);
	buf_append_cstr(out, "\n\n");
}

const struct format format_openai = {
	.id_field = "x-request-id",
	.fields = "openai-version: 2020-10-01\r\nopenai-processing-ms: 1\r\n",
	.ratelimit = "x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n"
		     "x-ratelimit-reset-requests: 6ms\r\nx-ratelimit-limit-tokens: 2000000\r\n"
		     "x-ratelimit-remaining-tokens: 1999000\r\nx-ratelimit-reset-tokens: 1s\r\n",
	.plain = plain,
	.open = stream_open,
	.content = stream_content,
	.close = stream_close,
	.error = job_write_openai_error,
	.error_event = error_event,
};
