/* SPDX-License-Identifier: Apache-2.0 */
#include "meaning/llm/media.h"
#include "machine/base/base64.h"
#include "machine/base/json_put.h"
#include "machine/base/text.h"

#define SNIFF_BYTES 16

struct signature {
	size_t at, n;
	const char *bytes;
	const char *mime;
};

/* Magic numbers: the formats' own specifications; ISO 14496-12 for "ftyp", RFC 9649 for WebP. */
static const struct signature signatures[] = {
	{0, 8, "\x89PNG\r\n\x1a\n", "image/png"},
	{0, 3, "\xff\xd8\xff", "image/jpeg"},
	{0, 6, "GIF87a", "image/gif"},
	{0, 6, "GIF89a", "image/gif"},
	{8, 4, "WEBP", "image/webp"},
	{0, 5, "%PDF-", "application/pdf"},
	{8, 4, "WAVE", "audio/wav"},
	{0, 3, "ID3", "audio/mpeg"},
	{0, 2, "\xff\xfb", "audio/mpeg"},
	{0, 2, "\xff\xf3", "audio/mpeg"},
	{0, 4, "OggS", "audio/ogg"},
	{0, 4, "fLaC", "audio/flac"},
	{4, 4, "ftyp", "video/mp4"},
	{0, 4, "\x1a\x45\xdf\xa3", "video/webm"},
};

/* Types by file name, and the short names that Bedrock and the audio formats use. */
static const struct {
	const char *format, *mime;
} formats[] = {
	{"png", "image/png"},
	{"jpeg", "image/jpeg"},
	{"jpg", "image/jpeg"},
	{"gif", "image/gif"},
	{"webp", "image/webp"},
	{"pdf", "application/pdf"},
	{"txt", "text/plain"},
	{"md", "text/markdown"},
	{"html", "text/html"},
	{"csv", "text/csv"},
	{"json", "application/json"},
	{"doc", "application/msword"},
	{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"xls", "application/vnd.ms-excel"},
	{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{"wav", "audio/wav"},
	{"wav", "audio/x-wav"},
	{"mp3", "audio/mpeg"},
	{"mp3", "audio/mp3"},
	{"ogg", "audio/ogg"},
	{"flac", "audio/flac"},
	{"aac", "audio/aac"},
	{"m4a", "audio/mp4"},
	{"mp4", "video/mp4"},
	{"webm", "video/webm"},
	{"mov", "video/quicktime"},
};

#define N_FORMATS (sizeof(formats) / sizeof(formats[0]))

const char *llm_media_format(struct span mime)
{
	for (size_t i = 0; i < N_FORMATS; i++)
		if (span_eq_nocase(mime, span_of(formats[i].mime)))
			return formats[i].format;
	return NULL;
}

struct span llm_media_sniff(struct span base64)
{
	const size_t chars = (SNIFF_BYTES + 2) / 3 * 4;
	char padded[24 + 1] = {0}, head[32];
	struct span found = {NULL, 0}, bytes;
	struct buf b;
	size_t n = base64.n < chars ? base64.n / 4 * 4 : chars;

	if (n == 0)
		return found;
	memcpy(padded, base64.p, n);
	buf_init(&b, sizeof(head));
	if (base64_read(&b, (struct span){padded, n})) {
		bytes = buf_span(&b);
		for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
			const struct signature *s = &signatures[i];

			if (bytes.n >= s->at + s->n &&
				memcmp(bytes.p + s->at, s->bytes, s->n) == 0) {
				found = span_of(s->mime);
				break;
			}
		}
	}
	buf_done(&b);
	return found;
}

static bool is_base64(struct span s)
{
	size_t pad = 0;

	while (pad < 2 && s.n > 0 && s.p[s.n - 1] == '=') {
		s.n--;
		pad++;
	}
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '+' || c == '/'))
			return false;
	}
	return s.n > 0 && (s.n + pad) % 4 == 0;
}

static bool is_mime(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f ||
			s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return s.n <= 128;
}

bool llm_media_is_sound(const struct llm_media *m)
{
	return is_mime(m->mime) && (m->from != LLM_FROM_BASE64 || is_base64(m->data));
}

struct span llm_media_type(const struct llm_media *m)
{
	struct span sniffed = {NULL, 0};
	ptrdiff_t dot = span_find_last_char(m->name, '.');

	if (m->from == LLM_FROM_TEXT)
		return m->mime.n > 0 && is_mime(m->mime) ? m->mime : SPAN("text/plain");
	if (m->from == LLM_FROM_BASE64)
		sniffed = llm_media_sniff(m->data);
	/* MP4 and WebM hold sound alone, too: then the client knows better. */
	if (sniffed.n > 0 && !(span_starts(sniffed, SPAN("video/")) && m->mime.n > 0))
		return sniffed;
	if (m->mime.n > 0 && is_mime(m->mime))
		return m->mime;
	if (dot >= 0)
		for (size_t i = 0; i < N_FORMATS; i++)
			if (span_eq_nocase(span_skip(m->name, (size_t)dot + 1),
				    span_of(formats[i].format)))
				return span_of(formats[i].mime);
	return (struct span){NULL, 0};
}

void llm_media_put_url(struct buf *b, const char *key, const struct llm_media *m)
{
	struct span mime = llm_media_type(m);

	/* Base64 and media types need no escapes: nothing of a large picture is looked at twice. */
	json_put_key(b, key);
	buf_append(b, SPAN("\"data:"));
	buf_append(b, mime.n > 0 ? mime : SPAN("application/octet-stream"));
	buf_append(b, SPAN(";base64,"));
	buf_append(b, m->data);
	buf_append_char(b, '"');
}

/* ---- what clients send ---- */

/* Percent-encoded text (RFC 3986 2.1) to base64. */
static bool recode(struct arena *a, struct span text, struct span *out)
{
	struct buf raw, coded;
	bool ok = true;

	buf_init(&raw, text.n + 1);
	buf_init(&coded, text.n / 3 * 4 + 8);
	for (size_t i = 0; i < text.n && ok; i++) {
		char c = text.p[i];

		if (c == '%') {
			ok = i + 2 < text.n && text_unhex(&c, 1, (struct span){text.p + i + 1, 2});
			i += 2;
		}
		buf_append_char(&raw, c);
	}
	ok = ok && !raw.failed && raw.n > 0 && base64_write(&coded, buf_span(&raw));
	if (ok)
		*out = arena_copy(a, buf_span(&coded));
	buf_done(&raw);
	buf_done(&coded);
	return ok;
}

static bool read_data_url(struct arena *a, struct span text, struct llm_media *m)
{
	struct span rest = span_skip(text, 5), head;
	ptrdiff_t comma = span_find_char(rest, ',');
	bool base64;

	if (comma < 0)
		return false;
	head = span_head(rest, (size_t)comma);
	rest = span_skip(rest, (size_t)comma + 1);
	base64 = span_ends(head, SPAN(";base64"));
	head = span_cut(&head, ';');
	if (!is_mime(head))
		return false;
	if (base64 ? !is_base64(rest) : !recode(a, rest, &rest))
		return false;
	m->from = LLM_FROM_BASE64;
	m->data = rest;
	if (head.n > 0)
		m->mime = head;
	return true;
}

static bool has_scheme(struct span s)
{
	return span_starts_nocase(s, SPAN("https://")) || span_starts_nocase(s, SPAN("http://")) ||
	       span_starts(s, SPAN("gs://")) || span_starts(s, SPAN("s3://"));
}

static bool is_address(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return s.n <= 8192;
}

bool llm_media_read(
	struct arena *a, struct span text, bool bare_ok, struct llm_media *m, struct err *err)
{
	struct llm_media out = *m;

	if (span_starts_nocase(text, SPAN("data:"))) {
		if (!read_data_url(a, text, &out))
			return a->failed ? err_set(err, ERR_NO_MEMORY, NULL)
					 : err_set(err, ERR_BAD_REQUEST,
						   "A data URL must be data:<type>;base64,<base64 "
						   "text>");
	} else if (has_scheme(text) && is_address(text)) {
		out.from = LLM_FROM_URL;
		out.data = text;
	} else if (bare_ok && is_base64(text)) {
		out.from = LLM_FROM_BASE64;
		out.data = text;
	} else {
		return err_set(err, ERR_BAD_REQUEST,
			"A picture or file must be given as an http(s) address or as a data URL%s",
			bare_ok ? " or base64" : "");
	}
	if (out.from == LLM_FROM_BASE64 && out.mime.n == 0)
		out.mime = llm_media_sniff(out.data);
	if (!is_mime(out.mime))
		return err_set(err, ERR_BAD_REQUEST, "A media type looks like image/png");
	*m = out;
	return true;
}
