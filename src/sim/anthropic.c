/* SPDX-License-Identifier: Apache-2.0 */
/* The Anthropic format: messages, count_tokens, models. Anthropic's API reference, version
 * 2023-06-01. */
#include "machine/base/text.h"
#include "sim/job.h"

#define SIGNATURE "c2ltdWxhdGVkIHNpZ25hdHVyZSBvZiBhIHRoaW5raW5nIGJsb2Nr"

/* Input tokens here are those neither read from the cache nor written to it. */
static void write_input_usage(const struct job *j, struct buf *out)
{
	buf_append(out, SPAN("{\"input_tokens\":"));
	buf_append_i64(out, j->input_tokens - j->cached_tokens - j->cache_write_tokens);
	buf_append(out, SPAN(",\"cache_creation_input_tokens\":"));
	buf_append_i64(out, j->cache_write_tokens);
	buf_append(out, SPAN(",\"cache_read_input_tokens\":"));
	buf_append_i64(out, j->cached_tokens);
}

static void write_usage(const struct job *j, int64_t output, bool details, struct buf *out)
{
	write_input_usage(j, out);
	if (details) {
		buf_append(out, SPAN(",\"cache_creation\":{\"ephemeral_5m_input_tokens\":"));
		buf_append_i64(out, j->cache_write_tokens);
		buf_append(out, SPAN(",\"ephemeral_1h_input_tokens\":0}"));
	}
	buf_append(out, SPAN(",\"output_tokens\":"));
	buf_append_i64(out, output);
	if (j->reasoning_tokens > 0 && output > j->reasoning_tokens) {
		buf_append(out, SPAN(",\"output_tokens_details\":{\"thinking_tokens\":"));
		buf_append_i64(out, j->reasoning_tokens);
		buf_append_char(out, '}');
	}
	buf_append_cstr(out, details ? ",\"service_tier\":\"standard\"}" : "}");
}

static const char *stop_reason(const struct job *j)
{
	if (script_is(j->script, OPT_NO_FINISH))
		return "null";
	return j->n_tools > 0 ? "\"tool_use\"" : j->capped ? "\"max_tokens\"" : "\"end_turn\"";
}

static void write_tool_id(const struct job *j, int i, struct buf *out)
{
	buf_append(out, SPAN("\"toolu_sim"));
	job_write_id(j, out);
	buf_append_char(out, 'x');
	buf_append_i64(out, i);
	buf_append_char(out, '"');
}

static void write_message_head(const struct job *j, struct buf *out)
{
	buf_append(out, SPAN("{\"id\":\"msg_sim"));
	job_write_id(j, out);
	buf_append(out, SPAN("\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"));
	buf_append(out, j->model_json);
	buf_append(out, SPAN(",\"content\":["));
}

static void write_blocks(const struct job *j, struct buf *out)
{
	if (j->thinking.words > 0) {
		buf_append(out, SPAN("{\"type\":\"thinking\",\"thinking\":"));
		answer_whole(&j->thinking, out);
		buf_append(out, SPAN(",\"signature\":\"" SIGNATURE "\"},"));
	}
	for (int i = 0; i < j->n_tools; i++) {
		buf_append_cstr(out, i > 0 ? ",{\"type\":\"tool_use\",\"id\":"
					   : "{\"type\":\"tool_use\",\"id\":");
		write_tool_id(j, i, out);
		buf_append(out, SPAN(",\"name\":"));
		buf_append(out, j->tools[i].name_json);
		buf_append(out, SPAN(",\"input\":"));
		buf_append(out, j->tools[i].args);
		buf_append_char(out, '}');
	}
	if (j->n_tools == 0) {
		buf_append(out, SPAN("{\"type\":\"text\",\"text\":"));
		job_write_text(j, out);
		buf_append_char(out, '}');
	}
}

static void write_message(const struct job *j, struct buf *out)
{
	write_message_head(j, out);
	write_blocks(j, out);
	buf_append(out, SPAN("],\"stop_reason\":"));
	buf_append_cstr(out, stop_reason(j));
	buf_append(out, SPAN(",\"stop_sequence\":null"));
	if (!script_is(j->script, OPT_NO_USAGE)) {
		buf_append(out, SPAN(",\"usage\":"));
		write_usage(j, job_output_tokens(j), true, out);
	}
	buf_append_char(out, '}');
}

static void write_model(struct span id_json, struct buf *out)
{
	buf_append_cstr(out, "{\"type\":\"model\",\"id\":");
	buf_append(out, id_json);
	buf_append_cstr(out, ",\"display_name\":");
	buf_append(out, id_json);
	buf_append_cstr(out, ",\"created_at\":\"2026-01-01T00:00:00Z\"}");
}

static void plain(const struct job *j, struct buf *out)
{
	switch (j->op) {
	case OP_COUNT_TOKENS:
		buf_append_cstr(out, "{\"input_tokens\":");
		buf_append_i64(out, j->input_tokens);
		buf_append_char(out, '}');
		return;
	case OP_MODEL:
		write_model(j->model_json, out);
		return;
	case OP_MODELS:
		buf_append_cstr(out, "{\"data\":[");
		write_model(SPAN("\"echo\""), out);
		buf_append_char(out, ',');
		write_model(SPAN("\"claude\""), out);
		buf_append_cstr(
			out, "],\"has_more\":false,\"first_id\":\"echo\",\"last_id\":\"claude\"}");
		return;
	default:
		write_message(j, out);
	}
}

static void write_index(const struct job *j, struct span event, struct buf *out)
{
	buf_append(out, event);
	buf_append_i64(out, j->block);
}

static void stream_open(struct job *j, struct buf *out)
{
	buf_append(
		out, SPAN("event: message_start\ndata: {\"type\":\"message_start\",\"message\":"));
	write_message_head(j, out);
	buf_append(out, SPAN("],\"stop_reason\":null,\"stop_sequence\":null"));
	if (!script_is(j->script, OPT_NO_USAGE)) {
		buf_append(out, SPAN(",\"usage\":"));
		write_usage(j, 1, true, out);
	}
	buf_append(out, SPAN("}}\n\n"));
}

static void block_start(struct job *j, struct buf *out)
{
	write_index(j,
		SPAN("event: content_block_start\ndata: "
		     "{\"type\":\"content_block_start\",\"index\":"),
		out);
	buf_append(out, SPAN(",\"content_block\":"));
	if (j->part == PART_THINKING) {
		buf_append(out,
			SPAN("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n"));
	} else if (j->part == PART_TEXT) {
		buf_append(out, SPAN("{\"type\":\"text\",\"text\":\"\"}}\n\n"));
	} else {
		buf_append(out, SPAN("{\"type\":\"tool_use\",\"id\":"));
		write_tool_id(j, j->tool, out);
		buf_append(out, SPAN(",\"name\":"));
		buf_append(out, j->tools[j->tool].name_json);
		buf_append(out, SPAN(",\"input\":{}}}\n\n"));
		j->out_bytes += (int64_t)j->tools[j->tool].name.n;
	}
	if (j->block == 0)
		buf_append(out, SPAN("event: ping\ndata: {\"type\": \"ping\"}\n\n"));
	j->part_begun = true;
}

static void delta_begin(struct job *j, struct buf *out)
{
	write_index(j,
		SPAN("event: content_block_delta\ndata: "
		     "{\"type\":\"content_block_delta\",\"index\":"),
		out);
}

static void block_stop(struct job *j, struct buf *out)
{
	if (j->part == PART_THINKING) {
		delta_begin(j, out);
		buf_append(out,
			SPAN(",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"" SIGNATURE
			     "\"}}\n\n"));
	}
	write_index(j,
		SPAN("event: content_block_stop\ndata: "
		     "{\"type\":\"content_block_stop\",\"index\":"),
		out);
	buf_append(out, SPAN("}\n\n"));
	job_next_part(j);
}

/* A block's start goes with its first delta, its stop with its last. */
static bool stream_content(struct job *j, struct buf *out)
{
	if (j->part == PART_DONE)
		return false;
	if (!j->part_begun)
		block_start(j, out);
	delta_begin(j, out);
	buf_append(out, j->part == PART_THINKING
				? SPAN(",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":")
			: j->part == PART_TEXT
				? SPAN(",\"delta\":{\"type\":\"text_delta\",\"text\":")
				: SPAN(",\"delta\":{\"type\":\"input_json_delta\","
				       "\"partial_json\":"));
	if (job_part_ended(j))
		buf_append(out, SPAN("\"\"")); /* an empty text still has a delta */
	else
		job_write_piece(j, out);
	buf_append(out, SPAN("}}\n\n"));
	if (job_part_ended(j))
		block_stop(j, out);
	return true;
}

static void message_delta(const struct job *j, int64_t output, struct buf *out)
{
	buf_append(out, SPAN("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
			     "\"stop_reason\":"));
	buf_append_cstr(out, stop_reason(j));
	buf_append(out, SPAN(",\"stop_sequence\":null}"));
	if (!script_is(j->script, OPT_NO_USAGE)) {
		buf_append(out, SPAN(",\"usage\":"));
		write_usage(j, output, false, out);
	}
	buf_append(out, SPAN("}\n\n"));
}

static void stream_close(struct job *j, struct buf *out)
{
	const struct script *s = j->script;
	static const char stop[] = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

	if (script_is(s, OPT_TWO_USAGE))
		message_delta(j, (job_output_tokens(j) + 1) / 2, out);
	if (!script_is(s, OPT_NO_FINISH) || !script_is(s, OPT_NO_USAGE))
		message_delta(j, job_output_tokens(j), out);
	if (!script_is(s, OPT_NO_DONE))
		buf_append_cstr(out, stop);
	if (script_is(s, OPT_DUPLICATE_DONE))
		buf_append_cstr(out, stop);
}

static const char *type_of(int status)
{
	switch (status) {
	case 401:
		return "authentication_error";
	case 402:
		return "billing_error";
	case 403:
		return "permission_error";
	case 404:
		return "not_found_error";
	case 408:
	case 504:
		return "timeout_error";
	case 413:
		return "request_too_large";
	case 429:
		return "rate_limit_error";
	case 529:
		return "overloaded_error";
	default:
		return status >= 500 ? "api_error" : "invalid_request_error";
	}
}

static void write_error(const struct job *j, const struct fail *f, struct buf *out)
{
	const struct script *s = j->script;

	buf_append_cstr(out, "{\"type\":\"error\",\"error\":{\"type\":");
	text_json_string(out, script_has(s, OPT_ERROR_TYPE) ? s->v[OPT_ERROR_TYPE].text
							    : span_of(type_of(f->status)));
	buf_append_cstr(out, ",\"message\":");
	text_json_string(
		out, script_has(s, OPT_MESSAGE) ? s->v[OPT_MESSAGE].text : span_of(f->message));
	buf_append_cstr(out, "},\"request_id\":\"req_sim");
	job_write_id(j, out);
	buf_append_cstr(out, "\"}");
}

static void error_event(const struct job *j, struct buf *out)
{
	struct fail f = {.status = 529, .message = "Overloaded"};

	buf_append_cstr(out, "event: error\ndata: ");
	write_error(j, &f, out);
	buf_append_cstr(out, "\n\n");
}

const struct format format_anthropic = {
	.id_field = "request-id",
	.fields = "anthropic-organization-id: 00000000-0000-4000-8000-000000000000\r\n",
	.ratelimit = "anthropic-ratelimit-requests-limit: 4000\r\n"
		     "anthropic-ratelimit-requests-remaining: 3999\r\n"
		     "anthropic-ratelimit-requests-reset: 2026-01-01T00:00:01Z\r\n"
		     "anthropic-ratelimit-tokens-limit: 400000\r\n"
		     "anthropic-ratelimit-tokens-remaining: 399000\r\n"
		     "anthropic-ratelimit-tokens-reset: 2026-01-01T00:00:01Z\r\n",
	.plain = plain,
	.open = stream_open,
	.content = stream_content,
	.close = stream_close,
	.error = write_error,
	.error_event = error_event,
};
