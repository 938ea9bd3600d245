/* SPDX-License-Identifier: Apache-2.0 */
/* Cohere's own chat, version 2. Cohere's API reference: "Chat (v2)", "Chat with Streaming". */
#include "machine/base/json_put.h"
#include "machine/base/text.h"
#include "sim/job.h"

#define PREAMBLE_TOKENS 500 /* what it adds to a prompt by itself: counted, not billed */

static const char *finish_reason(const struct job *j)
{
	return j->n_tools > 0 ? "TOOL_CALL" : j->capped ? "MAX_TOKENS" : "COMPLETE";
}

static void put_counts(struct buf *out, const char *key, int64_t input, int64_t output)
{
	json_put_open(out, key, '{');
	json_put_int(out, "input_tokens", input);
	json_put_int(out, "output_tokens", output);
	buf_append_char(out, '}');
}

static void put_usage(struct buf *out, const struct job *j, int64_t output)
{
	if (script_is(j->script, OPT_NO_USAGE))
		return;
	json_put_open(out, "usage", '{');
	put_counts(out, "billed_units", j->input_tokens, output);
	put_counts(out, "tokens", j->input_tokens + PREAMBLE_TOKENS, output);
	json_put_int(out, "cached_tokens", j->cached_tokens);
	buf_append_char(out, '}');
}

static void put_id(struct buf *out, const struct job *j)
{
	json_put_key(out, "id");
	buf_append_cstr(out, "\"sim-");
	job_write_id(j, out);
	buf_append_char(out, '"');
}

/* {"id", "type", "function": {"name", "arguments"}}; arguments NULL: as they are. */
static void put_call(struct buf *out, const char *key, const struct job *j, int tool, bool whole)
{
	json_put_open(out, key, '{');
	json_put_key(out, "id");
	buf_append_cstr(out, "\"call_");
	job_write_id(j, out);
	buf_append_char(out, '_');
	buf_append_i64(out, tool);
	buf_append_char(out, '"');
	json_put_cstr(out, "type", "function");
	json_put_open(out, "function", '{');
	json_put_raw(out, "name", j->tools[tool].name_json);
	json_put_str(out, "arguments", whole ? j->tools[tool].args : SPAN(""));
	buf_append_cstr(out, "}}");
}

static void plain(const struct job *j, struct buf *out)
{
	buf_append_char(out, '{');
	put_id(out, j);
	json_put_open(out, "message", '{');
	json_put_cstr(out, "role", "assistant");
	if (j->n_tools > 0 && j->thinking.words > 0) {
		json_put_key(out, "tool_plan");
		answer_whole(&j->thinking, out);
	}
	json_put_open(out, "content", '[');
	if (j->n_tools == 0 && j->thinking.words > 0) {
		json_put_open(out, NULL, '{');
		json_put_cstr(out, "type", "thinking");
		json_put_key(out, "thinking");
		answer_whole(&j->thinking, out);
		buf_append_char(out, '}');
	}
	if (j->n_tools == 0) {
		json_put_open(out, NULL, '{');
		json_put_cstr(out, "type", "text");
		json_put_key(out, "text");
		job_write_text(j, out);
		buf_append_char(out, '}');
	}
	buf_append_char(out, ']');
	if (j->n_tools > 0) {
		json_put_open(out, "tool_calls", '[');
		for (int i = 0; i < j->n_tools; i++)
			put_call(out, NULL, j, i, true);
		buf_append_char(out, ']');
	}
	buf_append_char(out, '}');
	if (!script_is(j->script, OPT_NO_FINISH))
		json_put_cstr(out, "finish_reason", finish_reason(j));
	put_usage(out, j, job_output_tokens(j));
	buf_append_char(out, '}');
}

/* ---- the stream ---- */

static void begin(struct buf *out, const char *type)
{
	buf_append_cstr(out, "event: ");
	buf_append_cstr(out, type);
	buf_append_cstr(out, "\ndata: {");
	json_put_cstr(out, "type", type);
}

static void begin_message(const struct job *j, struct buf *out, const char *type)
{
	begin(out, type);
	json_put_int(out, "index", j->part == PART_TOOLS ? j->tool : j->block);
	json_put_open(out, "delta", '{');
	json_put_open(out, "message", '{');
}

static void end_message(struct buf *out)
{
	buf_append_cstr(out, "}}}\n\n");
}

static void open(struct job *j, struct buf *out)
{
	begin(out, "message-start");
	put_id(out, j);
	json_put_raw(out, "delta",
		SPAN("{\"message\":{\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\","
		     "\"tool_calls\":[],\"citations\":[]}}"));
	buf_append_cstr(out, "}\n\n");
}

/* What is thought before calls is a plan: it has no block. */
static bool is_plan(const struct job *j)
{
	return j->part == PART_THINKING && j->n_tools > 0;
}

static void part_start(struct job *j, struct buf *out)
{
	j->part_begun = true;
	if (is_plan(j))
		return;
	if (j->part == PART_TOOLS) {
		begin_message(j, out, "tool-call-start");
		put_call(out, "tool_calls", j, j->tool, false);
		j->out_bytes += (int64_t)j->tools[j->tool].name.n;
	} else {
		begin_message(j, out, "content-start");
		json_put_raw(out, "content",
			j->part == PART_THINKING ? SPAN("{\"type\":\"thinking\",\"thinking\":\"\"}")
						 : SPAN("{\"type\":\"text\",\"text\":\"\"}"));
	}
	end_message(out);
}

static void part_end(struct job *j, struct buf *out)
{
	if (!is_plan(j)) {
		begin(out, j->part == PART_TOOLS ? "tool-call-end" : "content-end");
		json_put_int(out, "index", j->part == PART_TOOLS ? j->tool : j->block);
		buf_append_cstr(out, "}\n\n");
	}
	job_next_part(j);
}

static void put_piece(struct job *j, struct buf *out)
{
	if (job_part_ended(j))
		buf_append_cstr(out, "\"\""); /* an empty text still has a delta */
	else
		job_write_piece(j, out);
}

static bool content(struct job *j, struct buf *out)
{
	if (j->part == PART_DONE)
		return false;
	if (!j->part_begun)
		part_start(j, out);
	if (is_plan(j)) {
		begin_message(j, out, "tool-plan-delta");
		json_put_key(out, "tool_plan");
		put_piece(j, out);
	} else if (j->part == PART_TOOLS) {
		begin_message(j, out, "tool-call-delta");
		json_put_open(out, "tool_calls", '{');
		json_put_open(out, "function", '{');
		json_put_key(out, "arguments");
		put_piece(j, out);
		buf_append_cstr(out, "}}");
	} else {
		begin_message(j, out, "content-delta");
		json_put_open(out, "content", '{');
		json_put_key(out, j->part == PART_THINKING ? "thinking" : "text");
		put_piece(j, out);
		buf_append_char(out, '}');
	}
	end_message(out);
	if (job_part_ended(j))
		part_end(j, out);
	return true;
}

static void close(struct job *j, struct buf *out)
{
	if (script_is(j->script, OPT_NO_DONE))
		return;
	begin(out, "message-end");
	put_id(out, j);
	json_put_open(out, "delta", '{');
	if (!script_is(j->script, OPT_NO_FINISH))
		json_put_cstr(out, "finish_reason", finish_reason(j));
	put_usage(out, j, job_output_tokens(j));
	buf_append_cstr(out, "}}\n\n");
}

static void error(const struct job *j, const struct fail *f, struct buf *out)
{
	buf_append_char(out, '{');
	put_id(out, j);
	json_put_str(out, "message",
		script_has(j->script, OPT_MESSAGE) ? j->script->v[OPT_MESSAGE].text
						   : span_of(f->message));
	buf_append_char(out, '}');
}

/* What fails behind the head ends the message with a reason of its own. */
static void error_event(const struct job *j, struct buf *out)
{
	begin(out, "message-end");
	put_id(out, j);
	json_put_open(out, "delta", '{');
	json_put_cstr(out, "finish_reason", "ERROR");
	json_put_str(out, "error",
		script_has(j->script, OPT_MESSAGE) ? j->script->v[OPT_MESSAGE].text
						   : SPAN("The model is overloaded"));
	buf_append_cstr(out, "}}\n\n");
}

const struct format format_cohere = {
	.id_field = "x-request-id",
	.fields = "x-debug-trace-id: sim\r\n",
	.ratelimit = "x-trial-endpoint-call-limit: 20\r\n"
		     "x-trial-endpoint-call-remaining: 19\r\n",
	.plain = plain,
	.open = open,
	.content = content,
	.close = close,
	.error = error,
	.error_event = error_event,
};
