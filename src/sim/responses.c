/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAI Responses format. OpenAI's API reference, 2026. */
#include "machine/base/json_put.h"
#include "sim/job.h"

#define CREATED 1767225600 /* fixed, so that answers do not depend on the day */

enum item { ITEM_REASONING, ITEM_MESSAGE, ITEM_CALL };

static enum item item_of(const struct job *j)
{
	return j->part == PART_THINKING ? ITEM_REASONING
	       : j->part == PART_TOOLS  ? ITEM_CALL
					: ITEM_MESSAGE;
}

static void put_id(struct buf *out, const char *key, const char *prefix, const struct job *j, int n)
{
	json_put_key(out, key);
	buf_append_char(out, '"');
	buf_append_cstr(out, prefix);
	buf_append_cstr(out, "sim");
	job_write_id(j, out);
	if (n >= 0) {
		buf_append_char(out, 'x');
		buf_append_i64(out, n);
	}
	buf_append_char(out, '"');
}

static void put_usage(struct buf *out, const struct job *j)
{
	int64_t output = job_output_tokens(j);

	json_put_open(out, "usage", '{');
	json_put_int(out, "input_tokens", j->input_tokens);
	json_put_open(out, "input_tokens_details", '{');
	json_put_int(out, "cached_tokens", j->cached_tokens);
	json_put_int(out, "cache_write_tokens", j->cache_write_tokens);
	buf_append_char(out, '}');
	json_put_int(out, "output_tokens", output);
	json_put_open(out, "output_tokens_details", '{');
	json_put_int(out, "reasoning_tokens", j->reasoning_tokens);
	buf_append_char(out, '}');
	json_put_int(out, "total_tokens", j->input_tokens + output);
	buf_append_char(out, '}');
}

/* ---- items ---- */

static void put_part(struct buf *out, const char *key, const struct job *j, bool whole)
{
	json_put_open(out, key, '{');
	json_put_cstr(out, "type", "output_text");
	json_put_key(out, "text");
	if (whole)
		job_write_text(j, out);
	else
		buf_append_cstr(out, "\"\"");
	json_put_raw(out, "annotations", SPAN("[]"));
	json_put_raw(out, "logprobs", SPAN("[]"));
	buf_append_char(out, '}');
}

static void put_summary_part(struct buf *out, const char *key, const struct job *j, bool whole)
{
	json_put_open(out, key, '{');
	json_put_cstr(out, "type", "summary_text");
	json_put_key(out, "text");
	if (whole)
		answer_whole(&j->thinking, out);
	else
		buf_append_cstr(out, "\"\"");
	buf_append_char(out, '}');
}

static void put_item_id(
	struct buf *out, const char *key, const struct job *j, enum item item, int index)
{
	static const char *const prefixes[] = {"rs_", "msg_", "fc_"};

	put_id(out, key, prefixes[item], j, index);
}

static void put_item(struct buf *out, const char *key, const struct job *j, enum item item,
	int index, int tool, bool done)
{
	json_put_open(out, key, '{');
	put_item_id(out, "id", j, item, index);
	if (item == ITEM_REASONING) {
		json_put_cstr(out, "type", "reasoning");
		json_put_open(out, "summary", '[');
		if (done) {
			put_summary_part(out, NULL, j, true);
			buf_append_char(out, ']');
			put_id(out, "encrypted_content", "enc_", j, index);
		} else {
			buf_append_char(out, ']');
		}
		buf_append_char(out, '}');
		return;
	}
	json_put_cstr(out, "type", item == ITEM_CALL ? "function_call" : "message");
	json_put_cstr(out, "status", done ? "completed" : "in_progress");
	if (item == ITEM_CALL) {
		put_id(out, "call_id", "call_", j, tool);
		json_put_raw(out, "name", j->tools[tool].name_json);
		json_put_str(out, "arguments", done ? j->tools[tool].args : SPAN(""));
	} else {
		json_put_cstr(out, "role", "assistant");
		json_put_open(out, "content", '[');
		if (done)
			put_part(out, NULL, j, true);
		buf_append_char(out, ']');
	}
	buf_append_char(out, '}');
}

static void put_output(struct buf *out, const struct job *j)
{
	int index = 0;

	json_put_open(out, "output", '[');
	if (j->thinking.words > 0)
		put_item(out, NULL, j, ITEM_REASONING, index++, 0, true);
	for (int i = 0; i < j->n_tools; i++)
		put_item(out, NULL, j, ITEM_CALL, index++, i, true);
	if (j->n_tools == 0)
		put_item(out, NULL, j, ITEM_MESSAGE, index, 0, true);
	buf_append_char(out, ']');
}

/* ---- the response ---- */

static const char *status_of(const struct job *j)
{
	return j->capped && j->n_tools == 0 ? "incomplete" : "completed";
}

static void put_response(struct buf *out, const char *key, const struct job *j, const char *status)
{
	bool over = status[0] == 'c' || status[2] == 'c';

	json_put_open(out, key, '{');
	put_id(out, "id", "resp_", j, -1);
	json_put_cstr(out, "object", "response");
	json_put_int(out, "created_at", CREATED);
	json_put_cstr(out, "status", status);
	json_put_raw(out, "background", SPAN("false"));
	if (status[0] == 'f')
		json_put_raw(out, "error",
			SPAN("{\"code\":\"server_error\",\"message\":\"The server had an error "
			     "while "
			     "processing your request.\"}"));
	else
		json_put_null(out, "error");
	json_put_raw(out, "incomplete_details",
		status[2] == 'c' ? SPAN("{\"reason\":\"max_output_tokens\"}") : SPAN("null"));
	json_put_null(out, "instructions");
	json_put_null(out, "max_output_tokens");
	json_put_raw(out, "model", j->model_json);
	if (over)
		put_output(out, j);
	else
		json_put_raw(out, "output", SPAN("[]"));
	json_put_raw(out, "parallel_tool_calls", SPAN("true"));
	json_put_null(out, "previous_response_id");
	json_put_raw(out, "reasoning", SPAN("{\"effort\":null,\"summary\":null}"));
	json_put_cstr(out, "service_tier", "default");
	json_put_raw(out, "store", SPAN("false"));
	json_put_raw(out, "temperature", SPAN("1.0"));
	json_put_raw(out, "text", SPAN("{\"format\":{\"type\":\"text\"}}"));
	json_put_cstr(out, "tool_choice", "auto");
	json_put_raw(out, "tools", SPAN("[]"));
	json_put_raw(out, "top_p", SPAN("1.0"));
	json_put_cstr(out, "truncation", "disabled");
	if (over && !script_is(j->script, OPT_NO_USAGE))
		put_usage(out, j);
	else
		json_put_null(out, "usage");
	json_put_null(out, "user");
	json_put_raw(out, "metadata", SPAN("{}"));
	buf_append_char(out, '}');
}

static void plain(const struct job *j, struct buf *out)
{
	put_response(out, NULL, j, status_of(j));
}

/* ---- the stream ---- */

static void begin(struct buf *out, struct job *j, const char *type)
{
	buf_append_cstr(out, "event: ");
	buf_append_cstr(out, type);
	buf_append_cstr(out, "\ndata: {");
	json_put_cstr(out, "type", type);
	json_put_int(out, "sequence_number", j->sequence++);
}

static void end(struct buf *out)
{
	buf_append_cstr(out, "}\n\n");
}

static void lifecycle(struct buf *out, struct job *j, const char *type, const char *status)
{
	begin(out, j, type);
	put_response(out, "response", j, status);
	end(out);
}

static void open(struct job *j, struct buf *out)
{
	lifecycle(out, j, "response.created", "in_progress");
	lifecycle(out, j, "response.in_progress", "in_progress");
}

/* An event about a part of the item at hand. */
static void begin_part(struct buf *out, struct job *j, const char *type)
{
	enum item item = item_of(j);

	begin(out, j, type);
	put_item_id(out, "item_id", j, item, j->block);
	json_put_int(out, "output_index", j->block);
	if (item != ITEM_CALL)
		json_put_int(out, item == ITEM_REASONING ? "summary_index" : "content_index", 0);
}

static void item_event(struct buf *out, struct job *j, const char *type, bool done)
{
	begin(out, j, type);
	json_put_int(out, "output_index", j->block);
	put_item(out, "item", j, item_of(j), j->block, j->tool, done);
	end(out);
}

static void part_start(struct buf *out, struct job *j)
{
	item_event(out, j, "response.output_item.added", false);
	if (item_of(j) == ITEM_MESSAGE) {
		begin_part(out, j, "response.content_part.added");
		put_part(out, "part", j, false);
		end(out);
	} else if (item_of(j) == ITEM_REASONING) {
		begin_part(out, j, "response.reasoning_summary_part.added");
		put_summary_part(out, "part", j, false);
		end(out);
	} else {
		j->out_bytes += (int64_t)j->tools[j->tool].name.n;
	}
	j->part_begun = true;
}

static void part_end(struct buf *out, struct job *j)
{
	switch (item_of(j)) {
	case ITEM_MESSAGE:
		begin_part(out, j, "response.output_text.done");
		json_put_key(out, "text");
		job_write_text(j, out);
		json_put_raw(out, "logprobs", SPAN("[]"));
		end(out);
		begin_part(out, j, "response.content_part.done");
		put_part(out, "part", j, true);
		end(out);
		break;
	case ITEM_REASONING:
		begin_part(out, j, "response.reasoning_summary_text.done");
		json_put_key(out, "text");
		answer_whole(&j->thinking, out);
		end(out);
		begin_part(out, j, "response.reasoning_summary_part.done");
		put_summary_part(out, "part", j, true);
		end(out);
		break;
	case ITEM_CALL:
		begin_part(out, j, "response.function_call_arguments.done");
		json_put_raw(out, "name", j->tools[j->tool].name_json);
		json_put_str(out, "arguments", j->tools[j->tool].args);
		end(out);
		break;
	}
	item_event(out, j, "response.output_item.done", true);
	job_next_part(j);
}

static bool content(struct job *j, struct buf *out)
{
	static const char *const deltas[] = {"response.reasoning_summary_text.delta",
		"response.output_text.delta", "response.function_call_arguments.delta"};

	if (j->part == PART_DONE)
		return false;
	if (!j->part_begun)
		part_start(out, j);
	if (!job_part_ended(j)) {
		begin_part(out, j, deltas[item_of(j)]);
		json_put_key(out, "delta");
		job_write_piece(j, out);
		if (item_of(j) == ITEM_MESSAGE)
			json_put_raw(out, "logprobs", SPAN("[]"));
		end(out);
	}
	if (job_part_ended(j))
		part_end(out, j);
	return true;
}

static void close(struct job *j, struct buf *out)
{
	const char *status = status_of(j);

	if (script_is(j->script, OPT_NO_DONE) || script_is(j->script, OPT_NO_FINISH))
		return;
	lifecycle(out, j, status[0] == 'c' ? "response.completed" : "response.incomplete", status);
	if (script_is(j->script, OPT_DUPLICATE_DONE))
		lifecycle(out, j, "response.completed", status);
}

static void error_event(const struct job *j, struct buf *out)
{
	buf_append_cstr(out, "event: response.failed\ndata: {");
	json_put_cstr(out, "type", "response.failed");
	json_put_int(out, "sequence_number", j->sequence);
	put_response(out, "response", j, "failed");
	end(out);
}

const struct format format_responses = {
	.id_field = "x-request-id",
	.fields = "openai-version: 2020-10-01\r\nopenai-processing-ms: 1\r\n",
	.ratelimit =
		"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n",
	.plain = plain,
	.open = open,
	.content = content,
	.close = close,
	.error = job_write_openai_error,
	.error_event = error_event,
};
