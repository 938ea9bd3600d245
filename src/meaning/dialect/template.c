/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/base/text.h"
#include "meaning/dialect/shared.h"

/*
 * Most events of a stream are one event with another piece of text in it. Once such an event was
 * parsed, the next one that has the same bytes around the piece, and a piece that is inside of a
 * JSON string without escapes, means the same: no parse is needed to know it.
 */

/* Whether the bytes can stand between the quotes of a JSON string as they are. */
static bool is_plain_piece(struct span s)
{
	bool ascii = true;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20 || c == '"' || c == '\\')
			return false;
		ascii &= c < 0x80;
	}
	return ascii || text_is_utf8(s);
}

/* The only `key` of the text, and the piece behind it up to the next quote. */
static bool find_piece(struct span text, struct span key, size_t *at, size_t *n)
{
	ptrdiff_t first = span_find(text, key), end;
	struct span rest;

	if (first < 0)
		return false;
	*at = (size_t)first + key.n;
	rest = span_skip(text, *at);
	if (span_find(rest, key) >= 0)
		return false;
	end = span_find_char(rest, '"');
	if (end < 0)
		return false;
	*n = (size_t)end;
	return is_plain_piece(span_head(rest, *n));
}

/* Keeps the text without its piece. */
static bool keep(struct tap_frame *f, struct span text, size_t at, size_t n)
{
	if (text.n - n > sizeof(f->text))
		return false;
	f->prefix = (uint16_t)at;
	f->suffix = (uint16_t)(text.n - n - at);
	memcpy(f->text, text.p, at);
	memcpy(f->text + at, text.p + at + n, f->suffix);
	return true;
}

void template_learn(struct tap *t, struct span name, struct span data, int64_t bytes,
	enum tap_verdict verdict, struct span made)
{
	/* A quote can stand inside a JSON string only behind a backslash: these are keys. */
	static const struct span keys[] = {SPAN("\"content\":\""), SPAN("\"text\":\""),
		SPAN("\"content\": \""), SPAN("\"text\": \""), SPAN("\"reasoning_content\":\""),
		SPAN("\"thinking\":\"")};
	struct tap_template *m = &t->template;
	size_t at, n;

	m->known = false;
	if (bytes <= 0 || verdict == TAP_DROP || name.n > sizeof(m->name))
		return;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !m->known; i++) {
		if (!find_piece(data, keys[i], &at, &n) || (int64_t)n != bytes ||
			!keep(&m->in, data, at, n))
			continue;
		m->known = verdict == TAP_PASS ||
			   (find_piece(made, keys[i], &at, &n) && (int64_t)n == bytes &&
				   keep(&m->out, made, at, n));
	}
	m->replaced = verdict == TAP_REPLACE;
	m->name_n = (uint8_t)name.n;
	if (name.n > 0)
		memcpy(m->name, name.p, name.n);
}

bool template_match(struct tap *t, struct span name, struct span data, struct buf *out,
	enum tap_verdict *verdict)
{
	const struct tap_template *m = &t->template;
	struct span piece;

	if (!m->known || data.n < (size_t)m->in.prefix + m->in.suffix || name.n != m->name_n ||
		memcmp(data.p, m->in.text, m->in.prefix) != 0 ||
		memcmp(data.p + data.n - m->in.suffix, m->in.text + m->in.prefix, m->in.suffix) !=
			0 ||
		(name.n > 0 && memcmp(name.p, m->name, name.n) != 0))
		return false;
	piece = span_from(data.p + m->in.prefix, data.n - m->in.prefix - m->in.suffix);
	if (!is_plain_piece(piece))
		return false;
	t->output_bytes += (int64_t)piece.n;
	*verdict = TAP_PASS;
	if (m->replaced) {
		buf_append(out, span_from(m->out.text, m->out.prefix));
		buf_append(out, piece);
		buf_append(out, span_from(m->out.text + m->out.prefix, m->out.suffix));
		*verdict = TAP_REPLACE;
	}
	return true;
}
