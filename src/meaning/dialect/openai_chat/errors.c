/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/text.h"
#include "meaning/dialect/openai_chat/openai_chat.h"

/* All four keys are always there: some clients lose the message otherwise. */
static void write_text(struct buf *out, const char *key, const char *text)
{
	buf_printf(out, ",\"%s\":", key);
	if (text != NULL && text[0] != '\0')
		text_json_string(out, span_of(text));
	else
		buf_append_cstr(out, "null");
}

void openai_write_error(const struct err *err, const char *origin, const char *request_id,
	const char *native_type, const char *native_code, struct buf *out)
{
	const struct err_row *row = err_row(err->code);
	bool native = native_type != NULL && native_type[0] != '\0';
	const char *type = native ? native_type : row->type;
	const char *code = row->code;

	/* A provider's own words stay a pair: its type with no code means no code. */
	if (native || (native_code != NULL && native_code[0] != '\0'))
		code = native_code;
	buf_append_cstr(out, "{\"error\":{\"origin\":");
	text_json_string(out, span_of(origin));
	buf_append_cstr(out, ",\"message\":");
	text_json_string(out, span_of(err->text[0] != '\0' ? err->text : row->text));
	buf_append_cstr(out, ",\"type\":");
	text_json_string(out, span_of(type[0] != '\0' ? type : "server_error"));
	write_text(out, "param", err->param);
	write_text(out, "code", code);
	write_text(out, "request_id", request_id);
	buf_append_cstr(out, "}}");
}

void openai_write_stream_error(const struct err *err, const char *origin, const char *request_id,
	int64_t sequence, struct buf *out)
{
	buf_append_cstr(out, "data: ");
	openai_write_error(err, origin, request_id, NULL, NULL, out);
	buf_append_cstr(out, "\n\n");
}

static int status(const struct err *err)
{
	return err_row(err->code)->status;
}

const struct dialect dialect_openai_chat = {
	.name = "openai_chat",
	.read_facts = openai_read_facts,
	.edit_request = openai_edit_request,
	.read_answer = openai_read_answer,
	.scan_answer = openai_scan_answer,
	.edit_answer = openai_edit_answer,
	.tap = openai_tap,
	.read_error = error_read,
	.write_error = openai_write_error,
	.write_stream_error = openai_write_stream_error,
	.keep_alive = ": keep-alive\n\n",
	.end_marker = "data: [DONE]\n\n",
	.status = status,
	.codec = &codec_openai_chat,
};

const struct codec codec_openai_chat = {
	.read_request = openai_read_request,
	.write_request = openai_write_request,
	.read_event = openai_read_event,
	.read_end = openai_read_end,
	.read_answer = openai_read_whole,
	.write_event = openai_write_event,
	.write_answer = openai_write_answer,
	.url_media = 1u << LLM_MEDIA_IMAGE,
	.maker = LLM_MAKER_NONE,
};
