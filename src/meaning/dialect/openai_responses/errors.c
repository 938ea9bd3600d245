/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/json_put.h"
#include "meaning/dialect/openai_chat/openai_chat.h"
#include "meaning/dialect/openai_responses/openai_responses.h"

static const char *code_of(const struct err *err, const char *native_code)
{
	const char *code = err_row(err->code)->code;

	if (native_code != NULL && native_code[0] != '\0')
		return native_code;
	return code != NULL && code[0] != '\0' ? code : "server_error";
}

void responses_put_error_event(const struct err *err, const char *origin, const char *request_id,
	const char *native_type, const char *native_code, int64_t sequence, struct buf *out)
{
	struct buf body;
	struct span object;

	buf_append_cstr(out, "event: error\ndata: {\"type\":\"error\"");
	json_put_int(out, "sequence_number", sequence);
	json_put_cstr(out, "code", code_of(err, native_code));
	json_put_cstr(out, "message", err->text[0] != '\0' ? err->text : err_row(err->code)->text);
	if (err->param[0] != '\0')
		json_put_cstr(out, "param", err->param);
	else
		json_put_null(out, "param");
	/* {"error": {...}} without its braces. */
	buf_init(&body, 1 << 16);
	openai_write_error(err, origin, request_id, native_type, native_code, &body);
	object = span_skip(buf_span(&body), 1);
	if (!body.failed) {
		buf_append_char(out, ',');
		buf_append(out, object);
	}
	out->failed |= body.failed;
	buf_done(&body);
	buf_append_cstr(out, "\n\n");
}

static void write_stream_error(const struct err *err, const char *origin, const char *request_id,
	int64_t sequence, struct buf *out)
{
	responses_put_error_event(err, origin, request_id, NULL, NULL, sequence, out);
}

static void edit_request(enum llm_op op, const struct llm_facts *facts,
	const struct pass_edit *edit, struct json_edit *e)
{
	edit_common(facts, edit, e);
	edit_cap(edit, "max_output_tokens", e);
}

static int status(const struct err *err)
{
	return err_row(err->code)->status;
}

const struct dialect dialect_openai_responses = {
	.name = "openai_responses",
	.read_facts = responses_read_facts,
	.edit_request = edit_request,
	.read_answer = responses_read_answer,
	.scan_answer = responses_scan_answer,
	.edit_answer = responses_edit_answer,
	.tap = responses_tap,
	.read_error = error_read,
	.write_error = openai_write_error,
	.write_stream_error = write_stream_error,
	.keep_alive = ": keep-alive\n\n",
	.end_marker = "",
	.status = status,
	.codec = &codec_openai_responses,
};

const struct codec codec_openai_responses = {
	.read_request = responses_read_request,
	.write_request = responses_write_request,
	.read_event = responses_read_event,
	.read_end = responses_read_end,
	.read_answer = responses_read_whole,
	.write_event = responses_write_event,
	.write_failure = responses_write_failure,
	.write_answer = responses_write_answer,
	.url_media = 1u << LLM_MEDIA_IMAGE | 1u << LLM_MEDIA_DOCUMENT,
	.maker = LLM_MAKER_OPENAI,
	.keeps = true,
};
