/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include "machine/base/text.h"
#include "meaning/dialect/anthropic/anthropic.h"

/* The format's own words for our classes. Anthropic API reference, "Errors". */
static const char *type_of(enum err_code code)
{
	switch (code) {
	case ERR_UNAUTHENTICATED:
	case ERR_KEY_MALFORMED:
	case ERR_KEY_REFUSED:
		return "authentication_error";
	case ERR_FORBIDDEN:
		return "permission_error";
	case ERR_PAYMENT:
		return "billing_error";
	case ERR_MODEL_NOT_FOUND:
	case ERR_NOT_FOUND:
		return "not_found_error";
	case ERR_CLIENT_TIMEOUT:
	case ERR_UPSTREAM_TIMEOUT:
		return "timeout_error";
	case ERR_CONFLICT:
		return "conflict_error";
	case ERR_TOO_LARGE:
		return "request_too_large";
	case ERR_RATE_LIMITED:
		return "rate_limit_error";
	case ERR_OVERLOADED:
		return "overloaded_error";
	default:
		return err_row(code)->status < 500 ? "invalid_request_error" : "api_error";
	}
}

/* The next number of at least three digits that stands alone; 0: there is none. */
static int64_t next_number(struct span *rest)
{
	while (rest->n > 0) {
		size_t n = 0;
		int64_t v = 0;
		bool alone;

		while (n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9')
			n++;
		/* No part of a name such as gpt-4-0613 or of a decimal fraction. */
		alone = n >= 3 && n < 16 &&
			(n == rest->n || strchr(" ,.;:)>", rest->p[n]) != NULL) &&
			strchr(" (=>:", rest->p[-1]) != NULL && text_i64(span_head(*rest, n), &v);
		*rest = span_skip(*rest, n > 0 ? n : 1);
		if (alone)
			return v;
		while (n > 0 && rest->n > 0 && *rest->p != ' ')
			*rest = span_skip(*rest, 1);
	}
	return 0;
}

/*
 * Claude's clients shorten the conversation when they read these words and no others. The two
 * numbers that every maker tells are the limit and what was over it.
 */
static void write_overflow(const char *words, struct buf *out)
{
	struct span rest = span_of(words);
	int64_t a, b;

	if (span_starts(rest, SPAN("prompt is too long"))) {
		text_json_string(out, rest);
		return;
	}
	rest = rest.n > 0 ? span_skip(rest, 1) : rest;
	a = next_number(&rest);
	b = next_number(&rest);
	buf_append_cstr(out, "\"prompt is too long");
	if (a > 0 && b > 0 && a != b)
		buf_printf(out, ": %" PRId64 " tokens > %" PRId64 " maximum", a > b ? a : b,
			a > b ? b : a);
	buf_append_char(out, '"');
}

void anthropic_write_error(const struct err *err, const char *origin, const char *request_id,
	const char *native_type, const char *native_code, struct buf *out)
{
	const char *type =
		native_type != NULL && native_type[0] != '\0' ? native_type : type_of(err->code);

	buf_append_cstr(out, "{\"type\":\"error\",\"error\":{\"type\":");
	text_json_string(out, span_of(type));
	buf_append_cstr(out, ",\"message\":");
	if (err->code == ERR_CONTEXT_LENGTH)
		write_overflow(err->text, out);
	else
		text_json_string(
			out, span_of(err->text[0] != '\0' ? err->text : err_row(err->code)->text));
	buf_append_cstr(out, ",\"origin\":");
	text_json_string(out, span_of(origin));
	buf_append_cstr(out, "},\"request_id\":");
	if (request_id != NULL && request_id[0] != '\0')
		text_json_string(out, span_of(request_id));
	else
		buf_append_cstr(out, "null");
	buf_append_char(out, '}');
}

void anthropic_write_stream_error(const struct err *err, const char *origin, const char *request_id,
	int64_t sequence, struct buf *out)
{
	buf_append_cstr(out, "event: error\ndata: ");
	anthropic_write_error(err, origin, request_id, NULL, NULL, out);
	buf_append_cstr(out, "\n\n");
}

static int status(const struct err *err)
{
	return err->code == ERR_OVERLOADED ? 529 : err_row(err->code)->status;
}

static void edit_request(enum llm_op op, const struct llm_facts *facts,
	const struct pass_edit *edit, struct json_edit *e)
{
	edit_common(facts, edit, e);
	if (op == LLM_OP_MESSAGES)
		edit_cap(edit, "max_tokens", e);
	if (edit->body_version == NULL)
		return;
	json_edit_set(e, "anthropic_version", arena_printf(e->arena, "\"%s\"", edit->body_version));
	/* The address names the model, except where tokens are counted. */
	if (op == LLM_OP_MESSAGES)
		json_edit_remove(e, "model");
}

/* The envelope's own "type" is no error type. */
static void read_error(int http_status, struct span body, const struct json_scratch *scratch,
	struct err *err, char native_type[64], char native_code[64])
{
	error_read(http_status, body, scratch, err, native_type, native_code);
	if (strcmp(native_type, "error") == 0)
		native_type[0] = '\0';
}

const struct dialect dialect_anthropic = {
	.name = "anthropic",
	.read_facts = anthropic_read_facts,
	.edit_request = edit_request,
	.read_answer = anthropic_read_answer,
	.scan_answer = anthropic_scan_answer,
	.edit_answer = anthropic_edit_answer,
	.tap = anthropic_tap,
	.read_error = read_error,
	.write_error = anthropic_write_error,
	.write_stream_error = anthropic_write_stream_error,
	.keep_alive = "event: ping\ndata: {\"type\": \"ping\"}\n\n",
	.end_marker = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
	.status = status,
	.codec = &codec_anthropic,
};

const struct codec codec_anthropic = {
	.read_request = anthropic_read_request,
	.write_request = anthropic_write_request,
	.read_event = anthropic_read_event,
	.read_end = anthropic_read_end,
	.read_answer = anthropic_read_whole,
	.write_event = anthropic_write_event,
	.write_answer = anthropic_write_answer,
	.url_media = 1u << LLM_MEDIA_IMAGE | 1u << LLM_MEDIA_DOCUMENT,
	.maker = LLM_MAKER_ANTHROPIC,
};
