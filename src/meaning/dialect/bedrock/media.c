/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures, documents, sound and film: a block each, with a format of a fixed list. */
#include <stdio.h>
#include "machine/base/base64.h"
#include "machine/base/json_put.h"
#include "meaning/dialect/bedrock/bedrock.h"
#include "meaning/dialect/read.h"
#include "meaning/llm/media.h"

#define MAX_NAME_BYTES 180 /* 200 with a number behind it */

static const char *const kinds[] = {[LLM_MEDIA_IMAGE] = "image",
	[LLM_MEDIA_DOCUMENT] = "document",
	[LLM_MEDIA_AUDIO] = "audio",
	[LLM_MEDIA_VIDEO] = "video"};

static const char *const formats[][10] = {[LLM_MEDIA_IMAGE] = {"png", "jpeg", "gif", "webp"},
	[LLM_MEDIA_DOCUMENT] = {"pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"},
	[LLM_MEDIA_AUDIO] = {"mp3", "wav", "ogg", "flac", "aac", "m4a"},
	[LLM_MEDIA_VIDEO] = {"mp4", "webm", "mov"}};

static bool is_format(enum llm_media_kind kind, const char *format)
{
	for (int i = 0; i < 10 && formats[kind][i] != NULL; i++)
		if (format != NULL && strcmp(formats[kind][i], format) == 0)
			return true;
	return false;
}

/* "text/plain; charset=utf-8" is text/plain. */
static struct span bare_type(struct span mime)
{
	return span_trim(span_cut(&mime, ';'));
}

static bool is_readable(struct span mime)
{
	return span_starts_nocase(mime, SPAN("text/")) ||
	       span_eq_nocase(mime, SPAN("application/json")) ||
	       span_eq_nocase(mime, SPAN("application/xml"));
}

/* The word of the list for what it is, else for what the client says; NULL: there is none. */
static const char *format_of(const struct llm_media *m)
{
	struct span mime = bare_type(llm_media_type(m));
	const char *format = llm_media_format(mime);

	if (is_format(m->kind, format))
		return format;
	format = llm_media_format(bare_type(m->mime));
	if (is_format(m->kind, format))
		return format;
	if (m->kind == LLM_MEDIA_IMAGE && mime.n == 0)
		return "png";
	if (m->kind != LLM_MEDIA_DOCUMENT)
		return NULL;
	if (mime.n == 0)
		return "pdf";
	return is_readable(mime) ? "txt" : NULL;
}

/* ---- names of documents ---- */

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '(' || c == ')' || c == '[' || c == ']';
}

/*
 * Letters, digits, '-', brackets and single blanks are allowed, and no name twice: each ends in the
 * document's number, which makes it one of a kind and leaves the names of a shorter history as
 * they were.
 */
static void put_name(struct bedrock_writer *w, const struct llm_media *m)
{
	struct span from = m->title.n > 0 ? m->title : m->name;
	ptrdiff_t dot = span_find_last_char(from, '.');
	char name[MAX_NAME_BYTES + 24], number[16];
	size_t n = 0;

	if (m->title.n == 0 && dot > 0)
		from = span_head(from, (size_t)dot);
	for (size_t i = 0; i < from.n && n < MAX_NAME_BYTES; i++) {
		char c = is_name_char(from.p[i]) ? from.p[i] : ' ';

		if (c != ' ' || (n > 0 && name[n - 1] != ' '))
			name[n++] = c;
	}
	while (n > 0 && name[n - 1] == ' ')
		n--;
	if (n == 0) {
		memcpy(name, "document", 8);
		n = 8;
	}
	snprintf(number, sizeof(number), " %d", ++w->n_documents);
	/* A name that was read again has its number already. */
	if (!span_ends((struct span){name, n}, span_of(number))) {
		memcpy(name + n, number, strlen(number));
		n += strlen(number);
	}
	json_put_str(w->out, "name", (struct span){name, n});
}

/* ---- blocks ---- */

static bool put_source(struct bedrock_writer *w, const struct llm_media *m)
{
	json_put_open(w->out, "source", '{');
	switch (m->from) {
	case LLM_FROM_BASE64:
		json_put_key(w->out, "bytes");
		buf_append_char(w->out, '"'); /* base64 needs no escapes */
		buf_append(w->out, m->data);
		buf_append_char(w->out, '"');
		break;
	case LLM_FROM_TEXT:
		json_put_key(w->out, "bytes");
		buf_append_char(w->out, '"');
		base64_write(w->out, m->data);
		buf_append_char(w->out, '"');
		break;
	case LLM_FROM_URL:
		if (!span_starts(m->data, SPAN("s3://")))
			return bedrock_unsupported(w, "messages", "dropped:url", true);
		json_put_open(w->out, "s3Location", '{');
		json_put_str(w->out, "uri", m->data);
		buf_append_char(w->out, '}');
		break;
	case LLM_FROM_FILE_ID:
		return bedrock_unsupported(w, "messages", "dropped:file_id", true);
	}
	buf_append_char(w->out, '}');
	return true;
}

bool bedrock_put_media(struct bedrock_writer *w, const struct llm_media *m)
{
	const char *format = format_of(m);

	if (m->kind == LLM_MEDIA_DOCUMENT && w->t->quirks->no_documents)
		return bedrock_unsupported(w, "messages", "dropped:documents", true);
	if (format == NULL) {
		err_param(w->err, "messages");
		return err_set(w->err, ERR_UNSUPPORTED_PARAM,
			"Provider \"%.*s\" takes no %s of type \"%.*s\"", SPAN_ARG(w->t->provider),
			kinds[m->kind], SPAN_ARG(span_head(llm_media_type(m), 64)));
	}
	json_put_open(w->out, NULL, '{');
	json_put_open(w->out, kinds[m->kind], '{');
	json_put_cstr(w->out, "format", format);
	if (m->kind == LLM_MEDIA_DOCUMENT)
		put_name(w, m);
	if (!put_source(w, m))
		return false;
	if (m->context.n > 0 && w->model.family == BEDROCK_CLAUDE)
		json_put_str(w->out, "context", m->context);
	if (m->citations && w->model.family == BEDROCK_CLAUDE)
		json_put_raw(w->out, "citations", SPAN("{\"enabled\":true}"));
	buf_append_cstr(w->out, "}}");
	return true;
}

/* ---- the other way ---- */

struct span bedrock_mime(enum llm_media_kind kind, struct span format)
{
	/* The list of types knows names of files. */
	struct llm_media m = {.kind = kind, .from = LLM_FROM_URL};
	char name[24] = "x.";

	if (span_find_char(format, '/') >= 0)
		return format; /* some write the type */
	if (format.n == 0 || format.n > 16)
		return (struct span){NULL, 0};
	memcpy(name + 2, format.p, format.n);
	m.name = (struct span){name, format.n + 2};
	return llm_media_type(&m);
}

bool bedrock_read_media(yyjson_val *block, struct llm_media *m)
{
	yyjson_val *v = NULL, *source;
	bool cites = false;
	int kind = 0;

	for (; kind <= LLM_MEDIA_VIDEO && !yyjson_is_obj(v); kind++)
		v = json_get(block, kinds[kind]);
	if (!yyjson_is_obj(v))
		return false;
	*m = (struct llm_media){.kind = (enum llm_media_kind)(kind - 1)};
	m->mime = bedrock_mime(m->kind, text_in(v, "format"));
	m->title = text_in(v, "name");
	m->context = text_in(v, "context");
	if (json_get_bool(json_get(v, "citations"), "enabled", &cites))
		m->citations = cites;
	source = json_get(v, "source");
	m->data = text_in(source, "bytes");
	if (m->data.p != NULL)
		return true;
	m->from = LLM_FROM_URL;
	m->data = text_in(json_get(source, "s3Location"), "uri");
	if (m->data.p == NULL) {
		m->from = LLM_FROM_TEXT;
		m->data = text_in(source, "text");
	}
	return true;
}
