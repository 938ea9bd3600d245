/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Bedrock format: Converse and ConverseStream. Amazon Bedrock API reference. Its streams are
 * binary frames, so that what the script says of lines does not touch them.
 */
#include <zlib.h>
#include "machine/base/json_put.h"
#include "machine/http/eventstream.h"
#include "sim/job.h"

#define SIGNATURE "c2ltdWxhdGVkIHNpZ25hdHVyZSBvZiBhIHRoaW5raW5nIGJsb2Nr"
#define MAX_PAYLOAD_BYTES ((size_t)64 << 20)

static void put_usage(struct buf *out, const struct job *j, int64_t output)
{
	json_put_open(out, "usage", '{');
	json_put_int(
		out, "inputTokens", j->input_tokens - j->cached_tokens - j->cache_write_tokens);
	json_put_int(out, "outputTokens", output);
	json_put_int(out, "totalTokens", j->input_tokens + output);
	json_put_int(out, "cacheReadInputTokens", j->cached_tokens);
	json_put_int(out, "cacheWriteInputTokens", j->cache_write_tokens);
	buf_append_char(out, '}');
}

static void put_metrics(struct buf *out)
{
	json_put_raw(out, "metrics", SPAN("{\"latencyMs\":1}"));
}

static const char *stop_reason(const struct job *j)
{
	return j->n_tools > 0 ? "tool_use" : j->capped ? "max_tokens" : "end_turn";
}

static void put_tool_use(struct buf *out, const struct job *j, int tool)
{
	json_put_open(out, "toolUse", '{');
	json_put_key(out, "toolUseId");
	buf_append_cstr(out, "\"tooluse_sim");
	job_write_id(j, out);
	buf_append_char(out, 'x');
	buf_append_i64(out, tool);
	buf_append_char(out, '"');
	json_put_raw(out, "name", j->tools[tool].name_json);
}

static void put_thinking(struct buf *out, const struct job *j)
{
	json_put_open(out, NULL, '{');
	json_put_open(out, "reasoningContent", '{');
	json_put_open(out, "reasoningText", '{');
	json_put_key(out, "text");
	answer_whole(&j->thinking, out);
	json_put_cstr(out, "signature", SIGNATURE);
	buf_append_cstr(out, "}}}");
}

static void plain(const struct job *j, struct buf *out)
{
	buf_append_cstr(out, "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[");
	if (j->thinking.words > 0)
		put_thinking(out, j);
	for (int i = 0; i < j->n_tools; i++) {
		json_put_open(out, NULL, '{');
		put_tool_use(out, j, i);
		json_put_raw(out, "input", j->tools[i].args);
		buf_append_cstr(out, "}}");
	}
	if (j->n_tools == 0) {
		json_put_open(out, NULL, '{');
		json_put_key(out, "text");
		job_write_text(j, out);
		buf_append_char(out, '}');
	}
	buf_append_cstr(out, "]}}");
	if (!script_is(j->script, OPT_NO_FINISH))
		json_put_cstr(out, "stopReason", stop_reason(j));
	if (!script_is(j->script, OPT_NO_USAGE))
		put_usage(out, j, job_output_tokens(j));
	put_metrics(out);
	buf_append_char(out, '}');
}

/* ---- the stream ---- */

static void begin(struct buf *payload)
{
	buf_init(payload, MAX_PAYLOAD_BYTES);
	buf_append_char(payload, '{');
}

/* Payloads carry a member that is nothing but length, as the service's do. */
static void end(const struct job *j, struct buf *payload, const char *name, struct buf *out)
{
	static const char filling[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t n = 1 + (size_t)((j->seed + (uint64_t)j->events * 7) % (sizeof(filling) - 1));

	json_put_str(payload, "p", (struct span){filling, n});
	buf_append_char(payload, '}');
	out->failed |= payload->failed;
	eventstream_write(out, EVENTSTREAM_EVENT, span_of(name), buf_span(payload));
	buf_done(payload);
}

static void stream_open(struct job *j, struct buf *out)
{
	struct buf p;

	begin(&p);
	json_put_cstr(&p, "role", "assistant");
	end(j, &p, "messageStart", out);
}

/* Calls alone have a start. */
static void block_start(struct job *j, struct buf *out)
{
	struct buf p;

	j->part_begun = true;
	if (j->part != PART_TOOLS)
		return;
	begin(&p);
	json_put_int(&p, "contentBlockIndex", j->block);
	json_put_open(&p, "start", '{');
	put_tool_use(&p, j, j->tool);
	buf_append_cstr(&p, "}}");
	end(j, &p, "contentBlockStart", out);
	j->out_bytes += (int64_t)j->tools[j->tool].name.n;
}

static void begin_delta(struct buf *p, const struct job *j)
{
	begin(p);
	json_put_int(p, "contentBlockIndex", j->block);
	json_put_open(p, "delta", '{');
}

static void end_delta(const struct job *j, struct buf *p, struct buf *out)
{
	buf_append_char(p, '}');
	end(j, p, "contentBlockDelta", out);
}

static void block_stop(struct job *j, struct buf *out)
{
	struct buf p;

	if (j->part == PART_THINKING) {
		begin_delta(&p, j);
		buf_append_cstr(&p, "\"reasoningContent\":{\"signature\":\"" SIGNATURE "\"}");
		end_delta(j, &p, out);
	}
	begin(&p);
	json_put_int(&p, "contentBlockIndex", j->block);
	end(j, &p, "contentBlockStop", out);
	job_next_part(j);
}

/* What is wrong with a frame whose prelude has a right checksum. */
enum broken { BROKEN_SUM, BROKEN_LENGTH_0, BROKEN_LENGTH_MAX, BROKEN_HEADERS };

/* The frame that begins at `at`, broken as the script wants it. */
static void break_frame(const struct job *j, struct buf *out, size_t at)
{
	static const unsigned char prelude[][8] = {[BROKEN_LENGTH_0] = {0, 0, 0, 0, 0, 0, 0, 0},
		[BROKEN_LENGTH_MAX] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x10},
		[BROKEN_HEADERS] = {0, 0, 0, 0x40, 0, 0, 0, 0x40}};
	int64_t how = script_num(j->script, OPT_BAD_FRAME, BROKEN_SUM);
	unsigned char *p;
	uint32_t sum;

	if (out->failed)
		return;
	p = (unsigned char *)out->mem + out->off;
	if (how == BROKEN_SUM) {
		p[out->n - 1] ^= 1;
		return;
	}
	p += at;
	memcpy(p, prelude[how], 8);
	sum = (uint32_t)crc32(0, p, 8);
	for (int i = 0; i < 4; i++)
		p[8 + i] = (unsigned char)(sum >> (24 - 8 * i));
}

/* A block's start goes with its first delta, its stop with its last. */
static bool stream_content(struct job *j, struct buf *out)
{
	size_t at;
	struct buf p;

	if (j->part == PART_DONE)
		return false;
	if (!j->part_begun)
		block_start(j, out);
	at = out->n;
	begin_delta(&p, j);
	if (j->part == PART_THINKING)
		json_put_open(&p, "reasoningContent", '{');
	else if (j->part == PART_TOOLS)
		json_put_open(&p, "toolUse", '{');
	json_put_key(&p, j->part == PART_TOOLS ? "input" : "text");
	if (job_part_ended(j))
		buf_append_cstr(&p, "\"\""); /* an empty text still has a delta */
	else
		job_write_piece(j, &p);
	if (j->part != PART_TEXT)
		buf_append_char(&p, '}');
	end_delta(j, &p, out);
	if (j->events == 1 && script_has(j->script, OPT_BAD_FRAME))
		break_frame(j, out, at);
	if (job_part_ended(j))
		block_stop(j, out);
	return true;
}

static void message_stop(struct job *j, struct buf *out)
{
	struct buf p;

	begin(&p);
	json_put_cstr(&p, "stopReason", stop_reason(j));
	end(j, &p, "messageStop", out);
}

static void metadata(struct job *j, int64_t output, struct buf *out)
{
	struct buf p;

	begin(&p);
	if (!script_is(j->script, OPT_NO_USAGE))
		put_usage(&p, j, output);
	put_metrics(&p);
	end(j, &p, "metadata", out);
}

static void stream_close(struct job *j, struct buf *out)
{
	const struct script *s = j->script;
	int64_t output = job_output_tokens(j);

	if (!script_is(s, OPT_NO_FINISH))
		message_stop(j, out);
	if (script_is(s, OPT_TWO_USAGE))
		metadata(j, (output + 1) / 2, out);
	if (!script_is(s, OPT_NO_DONE))
		metadata(j, output, out);
	if (script_is(s, OPT_DUPLICATE_DONE))
		metadata(j, output, out);
}

static void bad_event(struct buf *out)
{
	eventstream_write(out, EVENTSTREAM_EVENT, SPAN("contentBlockDelta"),
		SPAN("{\"contentBlockIndex\":0,\"delta\":{\"text\":"));
}

/* ---- errors ---- */

static const char *exception_of(int status)
{
	switch (status) {
	case 401:
		return "UnrecognizedClientException";
	case 403:
		return "AccessDeniedException";
	case 404:
		return "ResourceNotFoundException";
	case 408:
	case 504:
		return "ModelTimeoutException";
	case 424:
		return "ModelErrorException";
	case 429:
		return "ThrottlingException";
	case 503:
		return "ServiceUnavailableException";
	default:
		return status >= 500 ? "InternalServerException" : "ValidationException";
	}
}

/* The body has the words; the name stands in a field. */
static void error_fields(const struct job *j, int status, struct buf *head)
{
	const struct script *s = j->script;

	buf_append_cstr(head, "x-amzn-errortype: ");
	if (script_has(s, OPT_ERROR_TYPE))
		buf_append(head, s->v[OPT_ERROR_TYPE].text);
	else
		buf_append_cstr(head, exception_of(status));
	buf_append_cstr(head, ":http://internal.amazon.com/coral/com.amazon.bedrock/\r\n");
}

static void error(const struct job *j, const struct fail *f, struct buf *out)
{
	const struct script *s = j->script;

	json_put_open(out, NULL, '{');
	json_put_str(out, "message",
		script_has(s, OPT_MESSAGE) ? s->v[OPT_MESSAGE].text : span_of(f->message));
	buf_append_char(out, '}');
}

static void error_event(const struct job *j, struct buf *out)
{
	const struct script *s = j->script;
	struct fail f = {.status = 503,
		.message = "Bedrock is unable to process your request. Please try again later."};
	struct buf p;

	buf_init(&p, MAX_PAYLOAD_BYTES);
	error(j, &f, &p);
	out->failed |= p.failed;
	eventstream_write(out, EVENTSTREAM_EXCEPTION,
		script_has(s, OPT_ERROR_TYPE) ? s->v[OPT_ERROR_TYPE].text
					      : SPAN("serviceUnavailableException"),
		buf_span(&p));
	buf_done(&p);
}

const struct format format_bedrock = {
	.id_field = "x-amzn-requestid",
	.fields = "",
	.ratelimit = "",
	.stream_type = "application/vnd.amazon.eventstream",
	.plain = plain,
	.open = stream_open,
	.content = stream_content,
	.close = stream_close,
	.bad_event = bad_event,
	.error = error,
	.error_event = error_event,
	.error_fields = error_fields,
};
