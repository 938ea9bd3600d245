/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include "machine/base/base64.h"
#include "machine/base/json_put.h"
#include "meaning/dialect/bedrock/bedrock.h"

/* Parts of the names; the first that is found counts. */
static const struct {
	const char *part;
	enum bedrock_family family;
} families[] = {
	{"claude", BEDROCK_CLAUDE},
	{"anthropic.", BEDROCK_CLAUDE},
	{"amazon.nova", BEDROCK_NOVA},
	{"openai.", BEDROCK_OPENAI},
	{"xai.", BEDROCK_OPENAI},
	{"qwen.", BEDROCK_QWEN},
	{"deepseek.v3", BEDROCK_QWEN},
	{"mistral.", BEDROCK_MISTRAL},
	{"meta.", BEDROCK_PLAIN},
	{"cohere.", BEDROCK_PLAIN},
	{"ai21.", BEDROCK_PLAIN},
};

/* "-4-5-20250929": 405; "-4-20250514": 400; "-5": 500. A number of the version is one digit. */
static int version_in(struct span name)
{
	struct span part = {NULL, 0};
	int major = -1;

	do {
		bool number;

		part = span_cut(&name, '-');
		number = part.n == 1 && isdigit((unsigned char)*part.p);
		if (major >= 0)
			return major * 100 + (number ? *part.p - '0' : 0);
		if (number)
			major = *part.p - '0';
	} while (name.n > 0);
	return major >= 0 ? major * 100 : 0;
}

void bedrock_model_read(struct span name, struct bedrock_model *out)
{
	ptrdiff_t at = -1;

	*out = (struct bedrock_model){.family = BEDROCK_OTHER};
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]) && at < 0; i++) {
		at = span_find(name, span_of(families[i].part));
		if (at >= 0)
			out->family = families[i].family;
	}
	if (at < 0 && span_starts(name, SPAN("arn:")))
		out->family = BEDROCK_OPAQUE;
	if (out->family == BEDROCK_CLAUDE || out->family == BEDROCK_NOVA)
		out->version = version_in(span_skip(name, (size_t)at));
}

/* ---- opaque reasoning ---- */

static bool is_text(struct span bytes)
{
	for (size_t i = 0; i < bytes.n; i++)
		if (bytes.p[i] <= ' ' || bytes.p[i] > '~')
			return false;
	return bytes.n > 0;
}

void bedrock_read_redacted(struct arena *a, struct span base64, struct llm_state *out)
{
	struct buf bytes;

	out->data = base64;
	out->id = SPAN(BEDROCK_BLOB);
	buf_init(&bytes, base64.n + 4);
	if (base64_read(&bytes, base64) && is_text(buf_span(&bytes))) {
		out->data = arena_copy(a, buf_span(&bytes));
		out->id = (struct span){NULL, 0};
	}
	buf_done(&bytes);
}

void bedrock_put_redacted(struct buf *out, const struct llm_state *s)
{
	if (span_is(s->id, BEDROCK_BLOB)) {
		json_put_str(out, "redactedContent", s->data);
		return;
	}
	json_put_key(out, "redactedContent");
	buf_append_char(out, '"');
	base64_write(out, s->data);
	buf_append_char(out, '"');
}
